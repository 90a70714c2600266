//! Looking for tampering: every chain is computed again, and compared with the ends that are kept elsewhere.
//!
//! Guarantees: finds an entry that was changed, removed, put in or moved, and an end that was cut off, as long as one end
//! behind it is known: from the file of kept ends, or from whoever asks. It cannot find what was done by somebody who wrote
//! the database and that file anew from some entry on, if no end behind that entry was kept anywhere else; nor a choice
//! that never became an entry. It changes nothing, and may run beside a server.

use std::collections::BTreeSet;
use std::path::Path;

use cairn_model::SiteId;
use rusqlite::{Connection, OpenFlags, params};

use super::chain::{EntryKind, Hash, Head, Receipt, commitment};
use super::heads::{Heads, KeptHead};
use super::{COLUMNS, FIRST_PREVIOUS, RECEIPT_AGE_MS_MAX, read};
use crate::{Catalog, CatalogError};

/// Entries that are read at once.
const ENTRIES_PER_READ: usize = 2_000;
/// Findings that are listed for one chain; the others are counted.
pub const FINDINGS_MAX: usize = 100;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Problem {
    /// The entry does not hash to what stands in it.
    Changed,
    /// What stands before the entry is not what stood there when it was written.
    Unlinked,
    /// An entry with this number is missing.
    Missing,
    /// The entry cannot be read.
    Unreadable,
    /// The visitor it names is not the one it was written for.
    OtherSubject,
    /// Its person was taken out, and no entry of an erasure says so.
    SubjectTaken,
    /// Its content went before its time of keeping was over.
    ExpiredEarly,
    /// The chain ends before an end that is known.
    CutOff,
    /// The chain is not the one whose end is known.
    Rewritten,
    /// No end of this chain is kept: whether its end was cut off cannot be told.
    EndNotKept,
    /// Ends are kept from this entry on only: what was cut off before cannot be told.
    EndKeptLate,
    /// The file of kept ends has lines that cannot be read.
    EndsUnreadable,
}

impl Problem {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Problem::Changed => "changed",
            Problem::Unlinked => "unlinked",
            Problem::Missing => "missing",
            Problem::Unreadable => "unreadable",
            Problem::OtherSubject => "other_subject",
            Problem::SubjectTaken => "subject_taken",
            Problem::ExpiredEarly => "expired_early",
            Problem::CutOff => "cut_off",
            Problem::Rewritten => "rewritten",
            Problem::EndNotKept => "end_not_kept",
            Problem::EndKeptLate => "end_kept_late",
            Problem::EndsUnreadable => "ends_unreadable",
        }
    }

    /// In words.
    pub fn meaning(self) -> &'static str {
        match self {
            Problem::Changed => "the entry does not hash to what stands in it: it was changed",
            Problem::Unlinked => {
                "what stands before the entry is not what stood there when it was written: one was \
                 changed, put in or moved"
            }
            Problem::Missing => "the entry with this number is missing",
            Problem::Unreadable => "the entry cannot be read: it was changed",
            Problem::OtherSubject => "the entry names another visitor than it was written for",
            Problem::SubjectTaken => {
                "the visitor was taken out of the entry, and no erasure in the chain says so"
            }
            Problem::ExpiredEarly => {
                "the entry lost its content before its time of keeping was over"
            }
            Problem::CutOff => "the chain ends before an end that is known: its tail was cut off",
            Problem::Rewritten => {
                "the chain is not the one whose end is known: it was written anew"
            }
            Problem::EndNotKept => {
                "no end of this chain is kept, so a cut-off tail could not be told"
            }
            Problem::EndKeptLate => {
                "the kept end was lost once: a tail cut off before this entry could not be told"
            }
            Problem::EndsUnreadable => "the file of kept ends has lines that cannot be read",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The chain; 0: none in particular.
    pub site_id: SiteId,
    /// The entry that it shows at; 0: none in particular.
    pub sequence: u64,
    /// What.
    pub problem: Problem,
}

/// One chain as it was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainState {
    /// The site.
    pub site_id: SiteId,
    /// Entries.
    pub entries: u64,
    /// Those of them that are older than their content is kept.
    pub expired: u64,
    /// Its end.
    pub head: Head,
    /// The end in the file of kept ends.
    pub kept: Option<KeptHead>,
}

/// The end of a chain as whoever asks knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GivenHead {
    /// The site.
    pub site_id: SiteId,
    /// The end, as it once was published.
    pub head: Head,
}

/// What a look at all chains came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verification {
    /// The chains, by site.
    pub chains: Vec<ChainState>,
    /// What is wrong; at most [`FINDINGS_MAX`] of each chain.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more_findings: u64,
}

impl Verification {
    /// Nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// An entry as it was read: its number, and the rest if it can be read.
type Found = (i64, Option<Receipt>);

/// Verifies the chains in a catalog's file, of one site or of all, reading only.
pub fn verify_receipts(
    path: &Path,
    site_id: Option<SiteId>,
    given: &[GivenHead],
    now_ms: i64,
) -> Result<Verification, CatalogError> {
    // Before the chains: they may grow meanwhile, and never shrink.
    let heads = Heads::load(path)?;
    let doing = || CatalogError::during("reads its receipts");
    let access = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, access).map_err(doing())?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(doing())?;
    let read = |site_id, after| read_part(&connection, site_id, after).map_err(doing());
    let present = sites_with_receipts(&connection).map_err(doing())?;
    verify(&heads, site_id, given, now_ms, present, read)
}

impl Catalog {
    /// Verifies the chain of a site. The catalog is free for others between two parts of it.
    pub fn verify_receipts(
        &self,
        site_id: SiteId,
        now_ms: i64,
    ) -> Result<Verification, CatalogError> {
        let doing = "verifies receipts";
        let heads = Heads::load(&self.path)?;
        let read =
            |site_id, after| self.connections.read(doing, |found| read_part(found, site_id, after));
        let present = self.connections.read(doing, sites_with_receipts)?;
        verify(&heads, Some(site_id), &[], now_ms, present, read)
    }
}

fn sites_with_receipts(connection: &Connection) -> rusqlite::Result<BTreeSet<u32>> {
    connection
        .prepare_cached("SELECT DISTINCT site_id FROM receipts")?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn read_part(
    connection: &Connection,
    site_id: SiteId,
    after: Option<i64>,
) -> rusqlite::Result<Vec<Found>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM receipts WHERE site_id = ?1 AND (?2 IS NULL OR sequence > ?2)
         ORDER BY sequence LIMIT ?3"
    );
    connection
        .prepare_cached(&sql)?
        .query_map(params![site_id.0, after, ENTRIES_PER_READ], |row| {
            Ok((row.get(0)?, read(row).ok()))
        })?
        .collect()
}

fn verify(
    heads: &Heads,
    wanted: Option<SiteId>,
    given: &[GivenHead],
    now_ms: i64,
    present: BTreeSet<u32>,
    read: impl Fn(SiteId, Option<i64>) -> Result<Vec<Found>, CatalogError>,
) -> Result<Verification, CatalogError> {
    let mut verification = Verification::default();
    if heads.unreadable() > 0 {
        let problem = Problem::EndsUnreadable;
        verification.findings.push(Finding { site_id: SiteId(0), sequence: 0, problem });
    }
    let mut sites = present;
    sites.extend(heads.sites().chain(given.iter().map(|given| given.site_id)).map(|site| site.0));
    for site_id in sites.into_iter().map(SiteId).filter(|site| wanted.is_none_or(|w| w == *site)) {
        let known = given.iter().filter(|given| given.site_id == site_id).map(|given| given.head);
        let mut check = ChainCheck::new(site_id, heads.get(site_id), known.collect(), now_ms);
        let mut after = None;
        loop {
            let part = read(site_id, after)?;
            part.iter().for_each(|found| check.take(found));
            match part.last() {
                Some((last, _)) if part.len() == ENTRIES_PER_READ => after = Some(*last),
                _ => break,
            }
        }
        check.finish(&mut verification);
    }
    Ok(verification)
}

/// One chain, entry by entry.
struct ChainCheck {
    state: ChainState,
    /// Ends that must be part of the chain.
    known: Vec<Head>,
    oldest_kept_ms: i64,
    last: Head,
    /// Entries whose person was taken, until an erasure says so.
    taken: BTreeSet<u64>,
    findings: Vec<Finding>,
    more_findings: u64,
}

impl ChainCheck {
    fn new(site_id: SiteId, kept: Option<KeptHead>, mut known: Vec<Head>, now_ms: i64) -> Self {
        known.extend(kept.map(|kept| kept.head));
        known.retain(|head| head.sequence > 0);
        ChainCheck {
            state: ChainState { site_id, entries: 0, expired: 0, head: Head::EMPTY, kept },
            known,
            oldest_kept_ms: now_ms.saturating_sub(RECEIPT_AGE_MS_MAX),
            last: Head { sequence: 0, hash: FIRST_PREVIOUS },
            taken: BTreeSet::new(),
            findings: Vec::new(),
            more_findings: 0,
        }
    }

    fn found(&mut self, sequence: u64, problem: Problem) {
        if self.findings.len() == FINDINGS_MAX {
            self.more_findings += 1;
            return;
        }
        self.findings.push(Finding { site_id: self.state.site_id, sequence, problem });
    }

    fn take(&mut self, (number, receipt): &Found) {
        self.state.entries += 1;
        let sequence = u64::try_from(*number).unwrap_or(0);
        let expected = self.last.sequence + 1;
        let Some(receipt) = receipt else {
            self.found(sequence, Problem::Unreadable);
            self.last.sequence = sequence.max(self.last.sequence);
            return;
        };
        if sequence != expected {
            self.found(expected, Problem::Missing);
        } else if receipt.previous_hash != self.last.hash {
            self.found(sequence, Problem::Unlinked);
        }
        self.look_into(receipt);
        let is_other = |hash: &Hash| *hash != receipt.hash;
        if self.known.iter().any(|head| head.sequence == sequence && is_other(&head.hash)) {
            self.found(sequence, Problem::Rewritten);
        }
        self.last = receipt.head();
    }

    /// What the entry says of itself.
    fn look_into(&mut self, receipt: &Receipt) {
        let (sequence, site_id) = (receipt.sequence, self.state.site_id);
        let is_expired = receipt.kind == EntryKind::Expired;
        if is_expired {
            self.state.expired += 1;
            if receipt.at_ms >= self.oldest_kept_ms {
                self.found(sequence, Problem::ExpiredEarly);
            }
        }
        let has_content = is_expired || receipt.content_hash == receipt.hashed_content();
        if !has_content || receipt.hash != receipt.hashed_link(site_id) {
            self.found(sequence, Problem::Changed);
        }
        match (&receipt.subject, &receipt.salt, &receipt.commitment) {
            (None, None, None) => {}
            (None, None, Some(_)) => drop(self.taken.insert(sequence)),
            (Some(subject), Some(salt), Some(known)) => {
                if commitment(site_id, *subject, salt) != *known {
                    self.found(sequence, Problem::OtherSubject);
                }
            }
            _ => self.found(sequence, Problem::OtherSubject),
        }
        for erased in &receipt.erased {
            self.taken.remove(erased);
        }
    }

    fn finish(mut self, verification: &mut Verification) {
        for sequence in std::mem::take(&mut self.taken) {
            self.found(sequence, Problem::SubjectTaken);
        }
        let last = self.last.sequence;
        if self.known.iter().any(|head| head.sequence > last) {
            self.found(last, Problem::CutOff);
        }
        match self.state.kept {
            None if self.state.entries > 0 => self.found(0, Problem::EndNotKept),
            Some(kept) if kept.since > 0 => self.found(kept.since, Problem::EndKeptLate),
            _ => {}
        }
        self.state.head = self.last;
        verification.chains.push(self.state);
        verification.findings.extend(self.findings);
        verification.more_findings += self.more_findings;
    }
}
