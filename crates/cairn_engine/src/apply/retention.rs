//! The daily job that removes what was kept long enough, by the table in [`cairn_model::retention`].
//!
//! Guarantees: a site that fails keeps no other: it comes again after them. It works in bounded steps on the thread that writes the rows, between which batches are applied; nothing goes
//! that is younger than its rule says; each run is on record, to be shown. With each run the log lets go of what is applied:
//! where few hits come, its files would hold them for longer than the tables do. Memory and receipts have jobs of their own.

use std::collections::VecDeque;

use cairn_catalog::CatalogError;
use cairn_model::SiteId;
use cairn_model::retention::{DataClass, Retention};

use super::remains::{Databases, Failure, Patience, Trail, clear_log};

/// Time between two runs.
const INTERVAL_MS: i64 = 24 * 60 * 60 * 1000;
/// Events that one step removes: about a second of work.
const EVENTS_PER_STEP: u64 = 100_000;

/// One site in the run.
struct Turn {
    site_id: SiteId,
    retention: Retention,
    removed: Vec<(DataClass, u64)>,
}

/// The job.
pub(super) struct Retaining {
    next_ms: i64,
    turns: VecDeque<Turn>,
    /// What the log held when the run began.
    trail: Trail,
    patience: Patience,
}

impl Retaining {
    /// `is_on`: false leaves everything.
    pub fn new(is_on: bool) -> Self {
        let next_ms = if is_on { i64::MIN } else { i64::MAX };
        let (turns, trail) = (VecDeque::new(), Trail::new(None));
        Retaining { next_ms, turns, trail, patience: Patience::default() }
    }

    /// Takes one step if there is anything to do.
    pub fn step(&mut self, databases: &Databases<'_>) {
        if !self.patience.may_try() {
            return;
        }
        let outcome = match self.turns.is_empty() {
            true if databases.now_ms >= self.next_ms => self.begin(databases),
            true if self.trail.in_log_before.is_none() => return,
            true => clear_log(databases, std::iter::once(&mut self.trail)),
            false => self.advance(databases),
        };
        self.patience.note("what was kept long enough", outcome);
    }

    /// A run has begun and is not over.
    pub fn is_running(&self) -> bool {
        !self.turns.is_empty()
    }

    fn begin(&mut self, databases: &Databases<'_>) -> Result<(), Failure> {
        let removed = databases.catalog.expire_instance(databases.now_ms)?;
        databases.catalog.note_retention(None, &removed, databases.now_ms)?;
        let directory = databases.catalog.directory().current();
        self.turns = directory
            .sites()
            .map(|entry| Turn {
                site_id: entry.site.id,
                retention: entry.site.privacy.retention,
                removed: Vec::new(),
            })
            .collect();
        self.trail.in_log_before = Some(databases.log.durable_end().0);
        self.next_ms = databases.now_ms + INTERVAL_MS;
        Ok(())
    }

    fn advance(&mut self, databases: &Databases<'_>) -> Result<(), Failure> {
        let Some(turn) = self.turns.front_mut() else { return Ok(()) };
        let advanced = turn.advance(databases);
        match &advanced {
            Ok(true) => {
                self.turns.pop_front();
            }
            Ok(false) => {}
            Err(_) => self.turns.rotate_left(1),
        }
        advanced.map(|_| ())
    }
}

impl Turn {
    /// Takes one step. True when nothing too old is left, and the run is on record.
    fn advance(&mut self, databases: &Databases<'_>) -> Result<bool, Failure> {
        let Databases { catalog, now_ms, .. } = *databases;
        if !self.step(databases)? {
            return Ok(false);
        }
        catalog.note_retention(Some(self.site_id), &self.removed, now_ms)?;
        let total: u64 = self.removed.iter().map(|(_, count)| count).sum();
        if total > 0 {
            tracing::info!(site = self.site_id.0, removed = total, "kept long enough: gone");
            catalog.checkpoint()?;
        }
        Ok(true)
    }

    /// True when nothing too old is left.
    fn step(&mut self, databases: &Databases<'_>) -> Result<bool, Failure> {
        let events = self.events(databases)?;
        self.add(DataClass::Events, events);
        let mut is_over = events == 0;
        for (class, count) in self.catalog(databases)? {
            self.add(class, count);
            is_over &= count == 0;
        }
        Ok(is_over)
    }

    fn events(&self, databases: &Databases<'_>) -> Result<u64, Failure> {
        let Databases { store, now_ms, .. } = *databases;
        let Some(cutoff_ms) = self.retention.cutoff_ms(DataClass::Events, now_ms) else {
            return Ok(0);
        };
        // Asked first: who deletes nothing gives no cause to rewrite the file.
        if store.oldest_received_ms(self.site_id)?.is_none_or(|oldest_ms| oldest_ms >= cutoff_ms) {
            return Ok(0);
        }
        Ok(store.erase_received_before(self.site_id, cutoff_ms, EVENTS_PER_STEP)?.events)
    }

    fn catalog(&self, databases: &Databases<'_>) -> Result<Vec<(DataClass, u64)>, CatalogError> {
        databases.catalog.expire_site(self.site_id, &self.retention, databases.now_ms)
    }

    fn add(&mut self, class: DataClass, count: u64) {
        match self.removed.iter_mut().find(|(known, _)| *known == class) {
            Some((_, removed)) => *removed += count,
            None => self.removed.push((class, count)),
        }
    }
}

#[cfg(test)]
impl Retaining {
    pub fn end_pause(&mut self) {
        self.patience.end_pause();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cairn_catalog::MailChoices;
    use cairn_model::VisitorId;
    use cairn_store::EventStore;
    use cairn_store::duckdb::{DuckOptions, DuckStore};
    use cairn_store::reference::ReferenceStore;

    use crate::apply::ApplyOptions;
    use crate::apply::machine::{Machine, NOW_MS, holds, page, set_clock};

    use super::*;

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    /// Visitors whose numbers stand in the file as they are, since no two bytes of them are alike.
    const EARLY: VisitorId = VisitorId(0x9d3a_c441_7be2_5f13);
    const LATE: VisitorId = VisitorId(0x8e17_5b26_f0a4_93c1);

    #[test]
    fn a_site_that_fails_keeps_no_other() {
        set_clock(NOW_MS);
        let directory = tempfile::TempDir::new().unwrap();
        let store = Arc::new(ReferenceStore::new());
        let mut machine = Machine::open(directory, store, ApplyOptions::default());
        let sites = [machine.site("one.example"), machine.site("other.example")];
        sites.iter().for_each(|site| machine.append_page(*site, "/old"));
        machine.apply_all();
        set_clock(NOW_MS + 800 * DAY_MS);
        machine.store.refuse_removals(1);
        // The run begins; the first site fails; the other one is cleaned.
        (0..3).for_each(|_| machine.housekeep());
        assert_eq!(machine.store.rows().len(), 1);
        let rows = machine.store.rows();
        (0..3).for_each(|_| machine.housekeep());
        assert_eq!(machine.store.rows().len(), 0, "it came again");
        let first = machine.catalog.directory().current().sites().next().unwrap().site.id;
        assert_eq!(rows[0].event.site_id, first);
        set_clock(NOW_MS);
    }

    #[test]
    fn what_was_kept_long_enough_goes_also_from_the_file() {
        set_clock(NOW_MS);
        let files = tempfile::tempdir().unwrap();
        let store = Arc::new(DuckStore::open(files.path(), DuckOptions::default()).unwrap());
        let rewrite_wait_max = std::time::Duration::ZERO;
        let options = ApplyOptions { rewrite_wait_max, ..ApplyOptions::default() };
        let directory = tempfile::TempDir::new().unwrap();
        let mut machine = Machine::open(directory, store, options);
        let site = machine.site("kept.example");
        let other = machine.site("forever.example");
        let mut old = page(site, EARLY, "anna", "/early-visit");
        // It happened long before it arrived, as an import tells it.
        old.timestamp_ms = NOW_MS - 3_000 * DAY_MS;
        machine.append(&old);
        machine.append(&page(other, EARLY, "", "/elsewhere"));
        machine.apply_all();
        let no = MailChoices { opens: Some(false), clicks: Some(false) };
        machine.catalog.record_mail_choices(site, 4, "anna", no, NOW_MS).unwrap();
        let mut settings = machine.catalog.directory().current().by_id(other).unwrap().site.clone();
        settings.privacy.retention.events = Some(3_660);
        assert!(machine.catalog.update_site(&settings).unwrap());
        let path = |machine: &Machine<DuckStore>, site| {
            let subject =
                cairn_model::Subject { site_id: site, visitors: vec![EARLY], ..Default::default() };
            let events = machine.store.subject_events(&subject, None, 10).unwrap();
            events.first().map(|event| event.event.path.to_string())
        };
        let runs = |machine: &mut Machine<DuckStore>| (0..20).for_each(|_| machine.housekeep());
        runs(&mut machine);
        assert_eq!(path(&machine, site).as_deref(), Some("/early-visit"), "it arrived just now");
        let run = machine.catalog.retention_run(site, DataClass::Events).unwrap().unwrap();
        assert_eq!((run.ran_at_ms, run.removed), (NOW_MS, 0));
        let knows =
            |machine: &Machine<DuckStore>| machine.catalog.person(site, 4).unwrap().is_some();
        assert!(knows(&machine), "and so did the person");

        let in_time = NOW_MS + 760 * DAY_MS;
        set_clock(in_time);
        machine.append(&page(site, LATE, "", "/late-visit"));
        machine.apply_all();
        runs(&mut machine);
        machine.store.checkpoint().unwrap();
        assert_eq!(path(&machine, site).as_deref(), Some("/early-visit"));
        assert!(knows(&machine));
        assert!(holds(files.path(), b"early-visit") && holds(files.path(), b"late-visit"));

        set_clock(in_time + DAY_MS);
        runs(&mut machine);
        assert_eq!(path(&machine, site), None);
        assert_eq!(path(&machine, other).as_deref(), Some("/elsewhere"), "by its own choice");
        let run = machine.catalog.retention_run(site, DataClass::Events).unwrap().unwrap();
        assert_eq!((run.ran_at_ms, run.removed), (in_time + DAY_MS, 1));
        assert!(!knows(&machine) && !holds(files.path(), b"early-visit"));
        assert!(holds(files.path(), b"late-visit") && holds(files.path(), b"elsewhere"));
        assert!(!machine.log_holds("visit") && !machine.log_holds("elsewhere"), "it is applied");
        let mails = machine.catalog.mail_recipient(site, 4).unwrap();
        assert_eq!(mails.choices, no, "three years are not over");
        set_clock(NOW_MS + 1_097 * DAY_MS);
        runs(&mut machine);
        let mails = machine.catalog.mail_recipient(site, 4).unwrap();
        assert_eq!(mails.choices, MailChoices::default());
    }
}
