//! Receipts: every choice of a visitor, in a chain for each site.
//!
//! Purpose: proof of permission. Kept for [`RECEIPT_AGE_DAYS_MAX`]; after it an entry's content goes, and its time and
//! hashes stay as a link. Guarantees: an entry is added once for each record of the log, in the log's order; entries are
//! never changed but for two ways of forgetting that the chain knows of: a person is taken out (and an entry says so), or
//! the time of keeping is over. A removed site's chain goes with the site.

mod chain;
mod counts;
mod heads;
mod verify;

use std::collections::HashMap;
use std::sync::PoisonError;

use cairn_model::receipt::{Answers, ChoiceMade};
use cairn_model::{Choice, Purpose, SiteId, VisitorId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::{Catalog, CatalogError};

use chain::{FIRST_PREVIOUS, Salt, commitment, numbers_of, numbers_text};

pub use chain::{EntryKind, Hash, Head, Receipt, hex, parse_hex};
pub use counts::{Permission, PermissionCounts, VERSIONS_SHOWN_MAX};
pub(crate) use heads::Heads;
pub use heads::{HEADS_FILE, KeptHead};
pub use verify::{
    ChainState, FINDINGS_MAX, Finding, GivenHead, Problem, Verification, verify_receipts,
};

/// How long an entry's content is kept, days: as long as a choice can be relied upon (the cookie's 395 days), and three
/// years in which it may have to be proven.
pub const RECEIPT_AGE_DAYS_MAX: i64 = 395 + 3 * 366;
const RECEIPT_AGE_MS_MAX: i64 = RECEIPT_AGE_DAYS_MAX * 24 * 60 * 60 * 1000;
/// Entries out of which one entry of an erasure tells that a person was taken.
const ERASED_PER_ENTRY_MAX: usize = 1_000;
/// Entries whose content goes in one transaction.
const EXPIRED_PER_COMMIT_MAX: usize = 1_000;

const COLUMNS: &str = "sequence, at_ms, kind, subject, salt, commitment, analytics, ads, \
     personalization, functional, version, language, signal, region, policy, gpc, erased, \
     previous_hash, content_hash, hash";

/// A choice that the log holds.
#[derive(Clone, PartialEq, Debug)]
pub struct NewReceipt {
    /// Offset of its record in the log.
    pub offset: u64,
    /// The choice.
    pub choice: ChoiceMade<'static>,
}

/// Which entries are wanted.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ReceiptFilter {
    /// From this instant on, Unix milliseconds.
    pub from_ms: Option<i64>,
    /// Before this instant.
    pub before_ms: Option<i64>,
    /// Choices said by this signal.
    pub signal: Option<String>,
    /// Choices that said this about the purpose.
    pub answer: Option<(Purpose, Choice)>,
}

/// From which end a list is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReceiptOrder {
    /// The newest first; of those before this entry, if one is given.
    NewestBefore(Option<u64>),
    /// In the order of the chain, behind this entry; 0 = from its beginning.
    OldestAfter(u64),
}

/// Adds choices in order; what is of a removed site is left out. Gives the new ends.
pub(crate) fn append_choices(
    transaction: &Transaction<'_>,
    receipts: &[NewReceipt],
    heads: &Heads,
) -> Result<Ends, CatalogError> {
    let mut ends = Ends::default();
    for NewReceipt { choice, .. } in receipts {
        let Some(previous) = ends.previous(transaction, choice.site_id, heads)? else { continue };
        let receipt = of_choice(choice)?.linked(choice.site_id, &previous);
        insert(transaction, choice.site_id, &receipt)
            .map_err(CatalogError::during("adds a receipt"))?;
        ends.0.insert(choice.site_id, Some((receipt.head(), ends.continues(choice.site_id))));
    }
    Ok(ends)
}

/// Begins to keep the ends of these sites' chains. Before the first entry: a crash must not look like a lost file.
pub(crate) fn begin_heads(
    catalog: &Catalog,
    receipts: &[NewReceipt],
    heads: &mut Heads,
) -> Result<(), CatalogError> {
    for NewReceipt { choice, .. } in receipts {
        let site_id = choice.site_id;
        if heads.get(site_id).is_some() {
            continue;
        }
        let found = catalog.connections.read("reads the end of a chain", |connection| {
            let is_there = connection
                .prepare_cached("SELECT 1 FROM sites WHERE id = ?1")?
                .exists([site_id.0])?;
            is_there.then(|| head_of(connection, site_id)).transpose()
        })?;
        if let Some(head) = found {
            heads.begin(site_id, head);
        }
    }
    Ok(heads.save()?)
}

/// Where the chains of some sites end, and whether they go on from the end that was kept. `None`: no such site.
#[derive(Default)]
pub(crate) struct Ends(HashMap<SiteId, Option<(Head, bool)>>);

impl Ends {
    fn continues(&self, site_id: SiteId) -> bool {
        self.0.get(&site_id).copied().flatten().is_some_and(|(_, continues)| continues)
    }

    fn previous(
        &mut self,
        transaction: &Transaction<'_>,
        site_id: SiteId,
        heads: &Heads,
    ) -> Result<Option<Head>, CatalogError> {
        let doing = || CatalogError::during("reads the end of a chain of receipts");
        if let Some(known) = self.0.get(&site_id) {
            return Ok(known.map(|(head, _)| head));
        }
        let is_there = transaction
            .prepare_cached("SELECT 1 FROM sites WHERE id = ?1")
            .and_then(|mut statement| statement.exists([site_id.0]))
            .map_err(doing())?;
        let mut found = None;
        if is_there {
            let head = head_of(transaction, site_id).map_err(doing())?;
            let kept = heads.get(site_id);
            let continues = match kept {
                None => true,
                Some(kept) if kept.head.sequence == 0 => true,
                Some(kept) => {
                    let hash = hash_at(transaction, site_id, kept.head.sequence).map_err(doing())?;
                    hash == Some(kept.head.hash)
                }
            };
            found = Some((head, continues));
        }
        self.0.insert(site_id, found);
        Ok(found.map(|(head, _)| head))
    }

    /// Keeps the new ends.
    pub fn keep(self, heads: &mut Heads) {
        for (site_id, end) in self.0 {
            match end {
                Some((head, true)) => heads.moved(site_id, head),
                Some((_, false)) => tracing::error!(
                    site = site_id.0,
                    "receipts were changed from outside; see `cairn verify-receipts`"
                ),
                None => {}
            }
        }
    }
}

fn head_of(connection: &Connection, site_id: SiteId) -> rusqlite::Result<Head> {
    let found = connection
        .prepare_cached(
            "SELECT sequence, hash FROM receipts WHERE site_id = ?1 ORDER BY sequence DESC LIMIT 1",
        )?
        .query_row([site_id.0], |row| {
            Ok(Head { sequence: row.get::<_, i64>(0)?.cast_unsigned(), hash: row.get(1)? })
        })
        .optional()?;
    Ok(found.unwrap_or(Head::EMPTY))
}

fn hash_at(
    transaction: &Transaction<'_>,
    site_id: SiteId,
    sequence: u64,
) -> rusqlite::Result<Option<Hash>> {
    transaction
        .prepare_cached("SELECT hash FROM receipts WHERE site_id = ?1 AND sequence = ?2")?
        .query_row(params![site_id.0, sequence.cast_signed()], |row| row.get(0))
        .optional()
}

fn of_choice(choice: &ChoiceMade<'_>) -> Result<Receipt, CatalogError> {
    let mut receipt = empty(EntryKind::Choice, choice.at_ms);
    if choice.subject != VisitorId(0) {
        let mut salt: Salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| CatalogError::Random)?;
        receipt.commitment = Some(commitment(choice.site_id, choice.subject, &salt));
        receipt.subject = Some(choice.subject);
        receipt.salt = Some(salt);
    }
    receipt.answers = choice.answers;
    receipt.version = choice.version.to_string();
    receipt.language = choice.language.to_string();
    receipt.signal = choice.signal.to_string();
    receipt.region = choice.region.to_string();
    receipt.policy = choice.policy.to_string();
    receipt.gpc = choice.gpc;
    Ok(receipt)
}

fn empty(kind: EntryKind, at_ms: i64) -> Receipt {
    let none = String::new;
    Receipt {
        sequence: 0,
        at_ms,
        kind,
        subject: None,
        salt: None,
        commitment: None,
        answers: [None; 4],
        version: none(),
        language: none(),
        signal: none(),
        region: none(),
        policy: none(),
        gpc: false,
        erased: Vec::new(),
        previous_hash: FIRST_PREVIOUS,
        content_hash: FIRST_PREVIOUS,
        hash: FIRST_PREVIOUS,
    }
}

fn insert(
    transaction: &Transaction<'_>,
    site_id: SiteId,
    receipt: &Receipt,
) -> rusqlite::Result<()> {
    let answers = receipt.answers.map(|answer| answer.map(|choice| choice == Choice::Granted));
    let sql = format!(
        "INSERT INTO receipts (site_id, {COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, \
         ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)"
    );
    transaction.prepare_cached(&sql)?.execute(params![
        site_id.0,
        receipt.sequence.cast_signed(),
        receipt.at_ms,
        receipt.kind.name(),
        receipt.subject.map(|subject| subject.0.cast_signed()),
        receipt.salt,
        receipt.commitment,
        answers[0],
        answers[1],
        answers[2],
        answers[3],
        receipt.version,
        receipt.language,
        receipt.signal,
        receipt.region,
        receipt.policy,
        receipt.gpc,
        numbers_text(&receipt.erased),
        receipt.previous_hash,
        receipt.content_hash,
        receipt.hash,
    ])?;
    Ok(())
}

/// Reads an entry from [`COLUMNS`]; fails where the file was changed from outside into something that none can be.
fn read(row: &Row<'_>) -> rusqlite::Result<Receipt> {
    let unreadable = |column: usize| {
        rusqlite::Error::InvalidColumnType(column, String::new(), rusqlite::types::Type::Text)
    };
    let mut answers: Answers = [None; 4];
    for (place, answer) in answers.iter_mut().enumerate() {
        *answer = match row.get::<_, Option<i64>>(6 + place)? {
            None => None,
            Some(1) => Some(Choice::Granted),
            Some(0) => Some(Choice::Denied),
            Some(_) => return Err(unreadable(6 + place)),
        };
    }
    let gpc = match row.get::<_, i64>(15)? {
        0 => false,
        1 => true,
        _ => return Err(unreadable(15)),
    };
    let kind: String = row.get(2)?;
    let erased: String = row.get(16)?;
    Ok(Receipt {
        sequence: u64::try_from(row.get::<_, i64>(0)?).map_err(|_| unreadable(0))?,
        at_ms: row.get(1)?,
        kind: EntryKind::from_name(&kind).ok_or_else(|| unreadable(2))?,
        subject: row.get::<_, Option<i64>>(3)?.map(|number| VisitorId(number.cast_unsigned())),
        salt: row.get(4)?,
        commitment: row.get(5)?,
        answers,
        version: row.get(10)?,
        language: row.get(11)?,
        signal: row.get(12)?,
        region: row.get(13)?,
        policy: row.get(14)?,
        gpc,
        erased: numbers_of(&erased).ok_or_else(|| unreadable(16))?,
        previous_hash: row.get(17)?,
        content_hash: row.get(18)?,
        hash: row.get(19)?,
    })
}

impl Catalog {
    /// How many entries name these visitors.
    pub fn receipts_naming(
        &self,
        site_id: SiteId,
        subjects: &[VisitorId],
    ) -> Result<u64, CatalogError> {
        self.connections.read("counts receipts", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT count(*) FROM receipts WHERE site_id = ?1 AND subject = ?2",
            )?;
            let mut count = 0;
            for subject in subjects {
                let asked = params![site_id.0, subject.0.cast_signed()];
                count += statement.query_row(asked, |row| row.get::<_, i64>(0))?.cast_unsigned();
            }
            Ok(count)
        })
    }

    /// Takes persons out of the receipts that name them: numbers and salts are overwritten, and an entry of each chain says
    /// which entries it was. What is left of them there tells nobody. Gives how many entries named them.
    pub fn erase_receipt_subjects(
        &self,
        site_id: SiteId,
        subjects: &[VisitorId],
        now_ms: i64,
    ) -> Result<usize, CatalogError> {
        let doing = || CatalogError::during("takes a person out of receipts");
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let (ends, count) =
            self.connections.write("takes a person out of receipts", |transaction| {
                let mut named: Vec<u64> = Vec::new();
                for subject in subjects {
                    let mut update = transaction
                        .prepare_cached(
                            "UPDATE receipts SET subject = NULL, salt = NULL
                         WHERE site_id = ?1 AND subject = ?2 RETURNING sequence",
                        )
                        .map_err(doing())?;
                    let rows = update
                        .query_map(params![site_id.0, subject.0.cast_signed()], |row| {
                            Ok(row.get::<_, i64>(0)?.cast_unsigned())
                        })
                        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
                        .map_err(doing())?;
                    named.extend(rows);
                }
                named.sort_unstable();
                let mut ends = Ends::default();
                for part in named.chunks(ERASED_PER_ENTRY_MAX) {
                    let Some(previous) = ends.previous(transaction, site_id, &heads)? else {
                        break;
                    };
                    let mut entry = empty(EntryKind::Erasure, now_ms);
                    entry.erased = part.to_vec();
                    let entry = entry.linked(site_id, &previous);
                    insert(transaction, site_id, &entry).map_err(doing())?;
                    ends.0.insert(site_id, Some((entry.head(), ends.continues(site_id))));
                }
                Ok((ends, named.len()))
            })?;
        ends.keep(&mut heads);
        heads.save()?;
        Ok(count)
    }

    /// Lets the content of entries go whose time of keeping is over. Gives how many.
    pub fn expire_receipts(&self, now_ms: i64) -> Result<usize, CatalogError> {
        let doing = "lets old receipts go";
        let mut expired = 0;
        loop {
            let count = self.connections.write(doing, |transaction| {
                transaction
                    .prepare_cached(
                        "UPDATE receipts SET kind = 'expired', subject = NULL, salt = NULL,
                            commitment = NULL, analytics = NULL, ads = NULL, personalization = NULL,
                            functional = NULL, version = '', language = '', signal = '', region = '',
                            policy = '', gpc = 0, erased = ''
                         WHERE (site_id, sequence) IN (
                            SELECT site_id, sequence FROM receipts
                            WHERE at_ms < ?1 AND kind <> 'expired' LIMIT ?2)",
                    )
                    .and_then(|mut update| {
                        update.execute(params![
                            now_ms.saturating_sub(RECEIPT_AGE_MS_MAX),
                            EXPIRED_PER_COMMIT_MAX
                        ])
                    })
                    .map_err(CatalogError::during(doing))
            })?;
            expired += count;
            if count < EXPIRED_PER_COMMIT_MAX {
                return Ok(expired);
            }
        }
    }

    /// Entries of a site's chain.
    pub fn receipts(
        &self,
        site_id: SiteId,
        filter: &ReceiptFilter,
        order: ReceiptOrder,
        limit: usize,
    ) -> Result<Vec<Receipt>, CatalogError> {
        let (behind, end, direction) = match order {
            ReceiptOrder::NewestBefore(before) => ("<", before.unwrap_or(u64::MAX / 2), "DESC"),
            ReceiptOrder::OldestAfter(after) => (">", after, "ASC"),
        };
        let answered = filter.answer.map_or(String::new(), |(purpose, choice)| {
            let yes = i32::from(choice == Choice::Granted);
            format!("AND {} = {yes}", purpose.name())
        });
        let sql = format!(
            "SELECT {COLUMNS} FROM receipts WHERE site_id = ?1 AND sequence {behind} ?2
             AND (?3 IS NULL OR at_ms >= ?3) AND (?4 IS NULL OR at_ms < ?4)
             AND (?5 IS NULL OR signal = ?5) {answered} ORDER BY sequence {direction} LIMIT ?6"
        );
        self.connections.read("lists receipts", |connection| {
            connection
                .prepare_cached(&sql)?
                .query_map(
                    params![
                        site_id.0,
                        end.cast_signed(),
                        filter.from_ms,
                        filter.before_ms,
                        filter.signal,
                        limit
                    ],
                    read,
                )?
                .collect()
        })
    }

    /// Receipts that name one of these visitors, the newest first.
    pub fn receipts_of(
        &self,
        site_id: SiteId,
        visitors: &[VisitorId],
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Receipt>, CatalogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM receipts WHERE site_id = ?1 AND subject = ?2 AND sequence < ?3
             ORDER BY sequence DESC LIMIT ?4"
        );
        let before = before.map_or(i64::MAX, u64::cast_signed);
        self.connections.read("looks for a visitor's receipts", |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = Vec::new();
            for visitor in visitors {
                let rows = params![site_id.0, visitor.0.cast_signed(), before, limit];
                for receipt in statement.query_map(rows, read)? {
                    found.push(receipt?);
                }
                found.sort_by_key(|receipt: &Receipt| std::cmp::Reverse(receipt.sequence));
                found.truncate(limit);
            }
            Ok(found)
        })
    }

    /// For each visitor and instant the newest receipt by which he permitted `analytics` by then: what events rely on.
    pub fn receipts_relied_on(
        &self,
        site_id: SiteId,
        asked: &[(VisitorId, i64)],
    ) -> Result<Vec<Option<Receipt>>, CatalogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM receipts WHERE site_id = ?1 AND subject = ?2 AND at_ms <= ?3
             AND analytics = 1 ORDER BY sequence DESC LIMIT 1"
        );
        self.connections.read("looks for receipts", |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut find = |(visitor, at_ms): &(VisitorId, i64)| {
                statement
                    .query_row(params![site_id.0, visitor.0.cast_signed(), at_ms], read)
                    .optional()
            };
            asked.iter().map(&mut find).collect()
        })
    }

    /// Where every chain ends.
    pub fn receipt_heads(&self) -> Result<Vec<(SiteId, Head)>, CatalogError> {
        self.connections.read("reads the ends of the chains of receipts", |connection| {
            connection
                .prepare_cached(
                    "SELECT id, sequence, hash FROM sites JOIN receipts ON site_id = id
                     AND sequence = (SELECT max(sequence) FROM receipts WHERE site_id = id)
                     ORDER BY id",
                )?
                .query_map([], |row| {
                    let sequence = row.get::<_, i64>(1)?.cast_unsigned();
                    Ok((SiteId(row.get(0)?), Head { sequence, hash: row.get(2)? }))
                })?
                .collect()
        })
    }
}
