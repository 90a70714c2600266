//! One entry of a site's chain, and the bytes that its hashes are taken over.
//!
//! Guarantees: the hash of an entry depends on every field of it and on every entry before it. The encoding is a list of
//! netstrings (`LENGTH:BYTES,`), so no two entries have the same bytes; the hash is SHA-256: anybody can compute it again
//! from an export (`docs/receipts.md`). Two layers: the content's hash, and the link's over it, so that an entry whose time
//! of keeping is over can lose its content and still be a link.

use cairn_model::receipt::{Answers, answers_text};
use cairn_model::{SiteId, VisitorId};
use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];
/// Random bytes that hide whose entry it is from everybody who does not have them.
pub(super) type Salt = [u8; 16];

/// What stands before the first entry.
pub const FIRST_PREVIOUS: Hash = [0; 32];

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A visitor's choice.
    Choice,
    /// Persons were taken out of the entries that it names.
    Erasure,
    /// It is older than entries are kept: only its time and its hashes are left.
    Expired,
}

impl EntryKind {
    /// The name, as stored and exported.
    pub fn name(self) -> &'static str {
        match self {
            EntryKind::Choice => "choice",
            EntryKind::Erasure => "erasure",
            EntryKind::Expired => "expired",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [EntryKind::Choice, EntryKind::Erasure, EntryKind::Expired]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// One entry of a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Its place in the site's chain; the first has 1.
    pub sequence: u64,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// What it is.
    pub kind: EntryKind,
    /// The visitor whom the choice permits to know. `None`: it names nobody, or he was erased.
    pub subject: Option<VisitorId>,
    pub(super) salt: Option<Salt>,
    /// SHA-256 over salt, site and subject; stays when both are erased. `None`: it never named anybody.
    pub commitment: Option<Hash>,
    /// What was chosen.
    pub answers: Answers,
    /// Version of what was shown; empty = not told.
    pub version: String,
    /// Language in which it was shown; empty = not told.
    pub language: String,
    /// By what it was said.
    pub signal: String,
    /// Where the visitor was, as the policy sees it.
    pub region: String,
    /// The site's policy in force.
    pub policy: String,
    /// The browser sent Global Privacy Control.
    pub gpc: bool,
    /// Entries out of which an erasure took the person.
    pub erased: Vec<u64>,
    /// Hash of the entry before it.
    pub previous_hash: Hash,
    /// Hash of its content.
    pub content_hash: Hash,
    /// Its own hash.
    pub hash: Hash,
}

impl Receipt {
    /// What its fields hash to. Nothing can be said of an entry whose content is gone.
    pub(super) fn hashed_content(&self) -> Hash {
        let commitment = self.commitment.as_ref().map(hex).unwrap_or_default();
        let fields: [&str; 11] = [
            "cairn-receipt-1",
            self.kind.name(),
            &answers_text(&self.answers),
            &self.version,
            &self.language,
            &self.signal,
            &self.region,
            &self.policy,
            if self.gpc { "1" } else { "0" },
            &commitment,
            &numbers_text(&self.erased),
        ];
        hashed(&fields.map(str::as_bytes))
    }

    /// What ties it to its place and to the entry before it.
    pub(super) fn hashed_link(&self, site_id: SiteId) -> Hash {
        let numbers = [
            site_id.0.to_string(),
            self.sequence.to_string(),
            self.at_ms.to_string(),
            hex(&self.previous_hash),
            hex(&self.content_hash),
        ];
        let [site, sequence, at, previous, content] = &numbers;
        let fields = ["cairn-chain-1", site, sequence, at, previous, content];
        hashed(&fields.map(str::as_bytes))
    }

    /// Gives it its place behind an entry.
    pub(super) fn linked(mut self, site_id: SiteId, previous: &Head) -> Self {
        self.sequence = previous.sequence + 1;
        self.previous_hash = previous.hash;
        self.content_hash = self.hashed_content();
        self.hash = self.hashed_link(site_id);
        self
    }

    /// Its end of the chain.
    pub fn head(&self) -> Head {
        Head { sequence: self.sequence, hash: self.hash }
    }
}

/// The end of a chain: whoever knows it knows whether anything before it was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Number of the last entry; 0 = there is none.
    pub sequence: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Head {
    /// The head of an empty chain.
    pub const EMPTY: Head = Head { sequence: 0, hash: FIRST_PREVIOUS };
}

/// What an entry keeps of a visitor besides his number: it tells nothing without the salt.
pub(super) fn commitment(site_id: SiteId, subject: VisitorId, salt: &Salt) -> Hash {
    let site = site_id.0.to_string();
    let number = format!("{:016x}", subject.0);
    hashed(&[b"cairn-subject-1", salt, site.as_bytes(), number.as_bytes()])
}

fn hashed(fields: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for field in fields {
        hasher.update(field.len().to_string().as_bytes());
        hasher.update(b":");
        hasher.update(field);
        hasher.update(b",");
    }
    hasher.finalize().into()
}

/// `3,17,20`.
pub(super) fn numbers_text(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

/// Reads [`numbers_text`].
pub(super) fn numbers_of(text: &str) -> Option<Vec<u64>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split(',').map(|number| number.parse().ok()).collect()
}

/// A hash as 64 hexadecimal digits.
pub fn hex(hash: &Hash) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    hash.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Reads [`hex`].
pub fn parse_hex(text: &str) -> Option<Hash> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use cairn_model::Choice;

    use super::*;

    fn choice() -> Receipt {
        Receipt {
            sequence: 0,
            at_ms: 1_795_341_600_000,
            kind: EntryKind::Choice,
            subject: None,
            salt: None,
            commitment: None,
            answers: [Some(Choice::Granted), Some(Choice::Denied), None, None],
            version: "2026-11-a".to_owned(),
            language: "de".to_owned(),
            signal: "banner".to_owned(),
            region: "eea".to_owned(),
            policy: "regional".to_owned(),
            gpc: false,
            erased: Vec::new(),
            previous_hash: FIRST_PREVIOUS,
            content_hash: FIRST_PREVIOUS,
            hash: FIRST_PREVIOUS,
        }
    }

    const CONTENT: &str = "77e264a6db1bd170bc86847347c92826f85c83dee2594831962de87f0f995787";
    const LINK: &str = "d966a39023bfed6c75f4b026801d180bd12801430038d20d6b9c13b8e84bbf29";

    /// Computed elsewhere, from what `docs/receipts.md` says.
    #[test]
    fn the_encoding_is_the_documented_one() {
        let receipt = choice().linked(SiteId(3), &Head::EMPTY);
        assert_eq!(hex(&receipt.content_hash), CONTENT);
        assert_eq!(hex(&receipt.hash), LINK);
        assert_eq!(parse_hex(LINK), Some(receipt.hash));
        assert_eq!(parse_hex(&"é".repeat(32)), None);
    }

    #[test]
    fn fields_cannot_be_moved_into_each_other() {
        let mut moved = choice();
        moved.version = "2026-11-a2:d".to_owned();
        moved.language = "e".to_owned();
        assert_ne!(moved.hashed_content(), choice().hashed_content());
    }
}
