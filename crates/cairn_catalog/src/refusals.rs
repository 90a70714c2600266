//! What senders that keep no record of ours, as an SDK's own id, say no to: in the catalog and in memory.
//!
//! Purpose: that a no holds for what such a sender sends without a word, also after a restart. Keyed numbers and times only;
//! kept for [`REFUSAL_AGE_DAYS_MAX`] after it was last said, or until the sender says yes, is erased, or its site is removed.
//! Guarantees: of two words the later one counts, whichever is written first, so that writing again changes nothing; a site
//! without any costs a look at one pointer. What is in memory is what holds; who puts it there sees to it that it is written.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_model::refusal::{REFUSAL_AGE_DAYS_MAX, Refusal};
use cairn_model::{SiteId, VisitorId};
use rusqlite::{Connection, Row, Transaction, params};

use crate::refused::{Parts, read, write};
use crate::{Catalog, CatalogError, SENDER_REFUSALS_PER_SITE_MAX, SiteEntry};

const DAY_S: i64 = 24 * 60 * 60;
/// A no that is said with everything is written again after so long.
const WRITTEN_AGAIN_S: i64 = 30 * DAY_S;
/// `said_by` of a sender who says no to nothing any more, and of whom that is not written.
const NOBODY: u8 = 0;

#[derive(Clone, Copy, Debug)]
struct Known {
    said_by: u8,
    is_written: bool,
    /// Unix seconds.
    said_at_s: u32,
}

/// Refusals of one site.
#[derive(Debug, Default)]
pub(crate) struct RefusalSet {
    parts: Parts<HashMap<u64, Known>>,
    count: AtomicUsize,
}

impl RefusalSet {
    fn of(&self, sender: u64) -> Option<Known> {
        read(self.parts.get(sender)?).get(&sender).copied()
    }

    fn put(&self, sender: u64, known: Known) {
        if write(self.parts.get_or_make(sender)).insert(sender, known).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn remove(&self, sender: u64) {
        let Some(part) = self.parts.get(sender) else { return };
        if write(part).remove(&sender).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// What is on record, whatever came before.
    fn note(&self, refusal: &Refusal) {
        let said_at_s = seconds(refusal.said_at_ms);
        if self.of(refusal.sender.0).is_some_and(|known| known.said_at_s > said_at_s) {
            return;
        }
        match refusal.said_by {
            Some(said_by) => {
                self.put(refusal.sender.0, Known { said_by, is_written: true, said_at_s });
            }
            None => self.remove(refusal.sender.0),
        }
    }
}

fn seconds(at_ms: i64) -> u32 {
    u32::try_from(at_ms.div_euclid(1000).max(0)).unwrap_or(u32::MAX)
}

impl SiteEntry {
    /// What a sender says no to, and when it spoke last, Unix seconds; `None`: to nothing, or so long ago that it is over.
    pub fn refusal_of(&self, sender: VisitorId, now_ms: i64) -> Option<(u8, i64)> {
        let known = self.refusals.of(sender.0).filter(|known| known.said_by != NOBODY)?;
        let said_at_s = i64::from(known.said_at_s);
        let is_over = now_ms.div_euclid(1000) - said_at_s > i64::from(REFUSAL_AGE_DAYS_MAX) * DAY_S;
        (!is_over).then_some((known.said_by, said_at_s))
    }

    /// Takes a word of a sender, which holds at once: `after` makes of what it said no to before what it says no to now
    /// (`None` = nothing). Gives what is to be written, if that is not on record. There is room for
    /// [`SENDER_REFUSALS_PER_SITE_MAX`]; who comes behind them is not taken.
    pub fn take_word(
        &self,
        sender: VisitorId,
        said_at_ms: i64,
        after: impl Fn(Option<u8>) -> Option<u8>,
    ) -> Option<Refusal> {
        let known = self.refusals.of(sender.0);
        let said_at_s = seconds(said_at_ms);
        if known.is_some_and(|known| known.said_at_s > said_at_s) {
            return None;
        }
        let said_by = after(known.map(|known| known.said_by).filter(|by| *by != NOBODY));
        let taken = Refusal { site_id: self.site.id, sender, said_by, said_at_ms };
        let Some(said_by) = said_by else {
            self.refusals.remove(sender.0);
            return known.map(|_| taken);
        };
        let is_full = self.refusals.count.load(Ordering::Relaxed) >= SENDER_REFUSALS_PER_SITE_MAX;
        let age_s = |known: Known| i64::from(said_at_s) - i64::from(known.said_at_s);
        let says_it = |known: Known| {
            known.said_by == said_by && known.is_written && age_s(known) < WRITTEN_AGAIN_S
        };
        if known.is_some_and(says_it) || known.is_none() && is_full {
            return None;
        }
        self.refusals.put(sender.0, Known { said_by, is_written: true, said_at_s });
        Some(taken)
    }

    /// A sender's word could not be written: it is to be when it comes again.
    pub fn unwritten(&self, sender: VisitorId) {
        let silent = Known { said_by: NOBODY, is_written: false, said_at_s: 0 };
        let known = self.refusals.of(sender.0).unwrap_or(silent);
        self.refusals.put(sender.0, Known { is_written: false, ..known });
    }

    /// For the entry that takes the place of this one.
    pub(crate) fn refusals(&self) -> Arc<RefusalSet> {
        Arc::clone(&self.refusals)
    }
}

impl Catalog {
    /// Makes a refusal hold that is on its way here, as in the log when the process starts.
    pub fn note_refusal(&self, refusal: &Refusal) {
        if let Some(entry) = self.directory.current().by_id(refusal.site_id) {
            entry.refusals.note(refusal);
        }
    }

    /// Puts words of senders on record, in one transaction. Doing it again changes nothing; those to removed sites are left out.
    pub fn apply_refusals(&self, refusals: &[Refusal]) -> Result<(), CatalogError> {
        let doing = "applies refusals";
        self.connections.write(doing, |transaction| {
            let mut each = refusals.iter().map(|refusal| record(transaction, refusal));
            each.try_for_each(|done| done.map(|_| ()).map_err(CatalogError::during(doing)))
        })?;
        self.note_withdrawn();
        Ok(())
    }
}

/// Puts a word on record, unless a later one is. `true`: there is a new no.
pub(crate) fn record(transaction: &Transaction<'_>, refusal: &Refusal) -> rusqlite::Result<bool> {
    let Refusal { site_id, sender, said_by, said_at_ms } = *refusal;
    let sender = sender.0.cast_signed();
    let changed = match said_by {
        Some(_) => transaction
            .prepare_cached(
                "INSERT INTO refusals (site_id, sender, said_at_ms, said_by)
                 SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM sites WHERE id = ?1)
                 ON CONFLICT DO UPDATE SET said_at_ms = excluded.said_at_ms,
                    said_by = excluded.said_by
                 WHERE excluded.said_at_ms >= said_at_ms",
            )?
            .execute(params![site_id.0, sender, said_at_ms, said_by])?,
        None => transaction
            .prepare_cached(
                "DELETE FROM refusals WHERE site_id = ?1 AND sender = ?2 AND said_at_ms <= ?3",
            )?
            .execute(params![site_id.0, sender, said_at_ms])?,
    };
    Ok(said_by.is_some() && changed > 0)
}

/// All that are on record.
pub(crate) fn all(connection: &Connection) -> rusqlite::Result<Vec<Refusal>> {
    let sql = "SELECT site_id, sender, said_by, said_at_ms FROM refusals";
    connection.prepare_cached(sql)?.query_map([], from_row)?.collect()
}

pub(crate) fn of_site(connection: &Connection, site_id: SiteId) -> rusqlite::Result<RefusalSet> {
    let set = RefusalSet::default();
    let sql = "SELECT site_id, sender, said_by, said_at_ms FROM refusals WHERE site_id = ?1";
    for refusal in connection.prepare_cached(sql)?.query_map([site_id.0], from_row)? {
        set.note(&refusal?);
    }
    Ok(set)
}

/// Forgets the refusals of an erased visitor: nothing of him is kept, whatever he says. Returns how many there were.
pub(crate) fn forget(
    transaction: &Transaction<'_>,
    site_id: SiteId,
    sender: VisitorId,
) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM refusals WHERE site_id = ?1 AND sender = ?2";
    transaction.prepare_cached(sql)?.execute(params![site_id.0, sender.0.cast_signed()])
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Refusal> {
    let sender = VisitorId(row.get::<_, i64>(1)?.cast_unsigned());
    Ok(Refusal {
        site_id: SiteId(row.get(0)?),
        sender,
        said_by: Some(row.get(2)?),
        said_at_ms: row.get(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewSite;

    const NOW_MS: i64 = 1_795_341_600_000;
    const DAY_MS: i64 = DAY_S * 1000;

    fn opened(directory: &tempfile::TempDir) -> Catalog {
        Catalog::open(&directory.path().join(crate::CATALOG_FILE)).unwrap()
    }

    fn word(site_id: SiteId, sender: u64, said_by: Option<u8>, said_at_ms: i64) -> Refusal {
        Refusal { site_id, sender: VisitorId(sender), said_by, said_at_ms }
    }

    /// Whether that is to be written.
    fn takes(entry: &SiteEntry, word: Refusal) -> bool {
        let taken = entry.take_word(word.sender, word.said_at_ms, |_| word.said_by);
        taken.is_some_and(|taken| taken == word)
    }

    #[test]
    fn a_no_is_written_at_a_change_only_and_outlives_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = opened(&directory);
        let site_id = catalog.add_site(&NewSite::of("shop.example"), None, NOW_MS).unwrap().id;
        let no = |sender| word(site_id, sender, Some(2), NOW_MS);
        let entry = catalog.directory().current().by_id(site_id).unwrap();
        assert_eq!(entry.refusal_of(VisitorId(7), NOW_MS), None);
        assert!(!takes(&entry, word(site_id, 7, None, NOW_MS)), "there is nothing to take back");
        // Whose numbers end alike are not one.
        let same_end = 7 + (1_u64 << 32);
        assert!(takes(&entry, no(7)) && takes(&entry, no(same_end)));
        assert!(!takes(&entry, no(7)), "it is on its way");
        let later = |age_ms| word(site_id, 7, Some(2), NOW_MS + age_ms);
        assert!(!takes(&entry, later(DAY_MS)) && takes(&entry, later(40 * DAY_MS)));
        assert!(!takes(&entry, word(site_id, 7, None, NOW_MS)), "an older yes changes nothing");
        entry.unwritten(VisitorId(7));
        assert!(takes(&entry, later(40 * DAY_MS)), "it was not written");
        let after = |known: Option<u8>| known.map(|known| known | 4);
        let taken = entry.take_word(VisitorId(same_end), NOW_MS, after);
        assert_eq!(taken, Some(word(site_id, same_end, Some(6), NOW_MS)), "one no beside another");
        assert!(takes(&entry, no(same_end)));
        catalog.apply_refusals(&[later(40 * DAY_MS), no(7), no(same_end)]).unwrap();
        drop((entry, catalog));
        let catalog = opened(&directory);
        let entry = catalog.directory().current().by_id(site_id).unwrap();
        let said_at_s = (NOW_MS + 40 * DAY_MS) / 1000;
        assert_eq!(entry.refusal_of(VisitorId(7), NOW_MS), Some((2, said_at_s)));
        assert_eq!(entry.refusal_of(VisitorId(same_end), NOW_MS), Some((2, NOW_MS / 1000)));
        let over_ms = NOW_MS + (i64::from(REFUSAL_AGE_DAYS_MAX) + 1) * DAY_MS;
        assert_eq!(entry.refusal_of(VisitorId(same_end), over_ms), None);
        let yes = word(site_id, same_end, None, NOW_MS + 1_000);
        assert!(takes(&entry, yes) && !takes(&entry, yes));
        catalog.apply_refusals(&[yes, yes]).unwrap();
        assert_eq!(opened(&directory).withdrawals().unwrap().len(), 1);
    }

    #[test]
    fn a_yes_that_was_not_written_is_written_when_it_comes_again() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = opened(&directory);
        let site_id = catalog.add_site(&NewSite::of("shop.example"), None, NOW_MS).unwrap().id;
        let entry = catalog.directory().current().by_id(site_id).unwrap();
        assert!(takes(&entry, word(site_id, 7, Some(1), NOW_MS)));
        let yes = word(site_id, 7, None, NOW_MS);
        assert!(takes(&entry, yes));
        entry.unwritten(VisitorId(7));
        assert_eq!(entry.refusal_of(VisitorId(7), NOW_MS), None);
        assert!(takes(&entry, yes));
        catalog.note_refusal(&word(site_id, 7, Some(1), NOW_MS));
        catalog.note_refusal(&word(SiteId(99), 7, Some(1), NOW_MS));
        assert!(entry.refusal_of(VisitorId(7), NOW_MS).is_some(), "as a start finds it in the log");
    }
}
