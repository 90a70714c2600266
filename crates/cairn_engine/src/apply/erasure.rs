//! Completing erasures: people and receipts in the catalog, what is in memory, rows and texts in the store, records in the
//! log, bytes in every file.
//!
//! Guarantees: it runs on the thread that writes the rows, which leaves out events of the subject from the moment the erasure
//! is on record, so no row can come behind it. Each step may be repeated; what is done is on record in the catalog, so that
//! a crash at any moment is followed by the rest. An erasure is done when no question, no table and no file has anything of
//! the subject but what its record names. It does not know how the subject was found.

use std::collections::BTreeMap;
use std::time::Instant;

use cairn_catalog::{Catalog, Erasure, ErasureId, ErasureState};
use cairn_model::{SiteId, Subject, VisitorId};
use cairn_store::SessionProbe;

use super::remains::{Databases, Failure, Patience, Trail, clear_log, empty_journal};
use crate::session::Sessions;

/// One erasure that is not over for good.
struct Open {
    subject: Subject,
    state: ErasureState,
    trail: Trail,
}

/// The erasures that are not over for good.
pub(super) struct Erasures {
    open: BTreeMap<ErasureId, Open>,
    patience: Patience,
}

impl Erasures {
    /// Takes up what an earlier process did not complete.
    pub fn at_start(catalog: &Catalog) -> Result<Self, cairn_catalog::CatalogError> {
        let mut erasures = Erasures { open: BTreeMap::new(), patience: Patience::default() };
        erasures.note_new(catalog, None)?;
        Ok(erasures)
    }

    fn note_new(
        &mut self,
        catalog: &Catalog,
        known_since: Option<Instant>,
    ) -> Result<(), cairn_catalog::CatalogError> {
        for id in catalog.directory().current().open_erasures() {
            if self.open.contains_key(id) {
                continue;
            }
            if let Some(Erasure { subject, state, .. }) = catalog.erasure(*id)? {
                let mut trail = Trail::new(known_since);
                // What an earlier process left out is in the log, if it was not overwritten.
                trail.in_log_before = (state != ErasureState::Waiting).then_some(u64::MAX);
                self.open.insert(*id, Open { subject, state, trail });
            }
        }
        Ok(())
    }

    /// A record of this site was left out since an erasure names its visitor or user.
    pub fn left_out(&mut self, site_id: SiteId, offset: u64) {
        for open in self.open.values_mut().filter(|open| open.subject.site_id == site_id) {
            open.trail.left_out(offset);
        }
    }

    /// There is something to be done, and somebody may be waiting for it.
    pub fn are_waiting(&self) -> bool {
        self.open.values().any(|open| open.state != ErasureState::Done)
    }

    /// Does what can be done now. `may_delete`: the store's file is not being rewritten.
    pub fn complete(
        &mut self,
        databases: &Databases<'_>,
        sessions: &mut Sessions,
        may_delete: bool,
    ) {
        let directory = databases.catalog.directory().current();
        if directory.open_erasures().is_empty() && self.open.is_empty() {
            return;
        }
        if !self.patience.may_try() {
            return;
        }
        let outcome = self
            .note_new(databases.catalog, Some(Instant::now()))
            .map_err(Failure::from)
            .and_then(|()| match may_delete {
                true => self.delete(databases, sessions),
                false => Ok(()),
            })
            .and_then(|()| self.clean_files(databases))
            .and_then(|()| self.end(databases));
        self.patience.note("somebody who was erased", outcome);
        let done = self.open.iter().filter(|(_, open)| open.state == ErasureState::Done);
        databases.shared.set_erased(done.map(|(id, _)| *id));
    }

    /// Deletes what the databases hold of those that are waiting.
    fn delete(
        &mut self,
        databases: &Databases<'_>,
        sessions: &mut Sessions,
    ) -> Result<(), Failure> {
        let end = databases.log.durable_end().0;
        for (id, open) in &mut self.open {
            if open.state != ErasureState::Waiting {
                continue;
            }
            delete_one(databases, *id, &open.subject, sessions)?;
            let state = ErasureState::Running;
            databases.catalog.set_erasure_state(*id, state, databases.now_ms)?;
            open.state = state;
            open.trail.in_log_before = open.trail.in_log_before.max(Some(end));
        }
        Ok(())
    }

    /// Brings the bytes of deleted rows and records out of the files; what is clean is done.
    fn clean_files(&mut self, databases: &Databases<'_>) -> Result<(), Failure> {
        let Databases { catalog, now_ms, .. } = *databases;
        let end = databases.log.durable_end().0;
        let deleted = |open: &&mut Open| open.state != ErasureState::Waiting;
        for open in self.open.values_mut() {
            open.trail.in_log_before = open.trail.in_log_before.map(|before| before.min(end));
        }
        clear_log(databases, self.open.values_mut().filter(deleted).map(|open| &mut open.trail))?;
        if databases.store.erased_since_ms().is_some() {
            return Ok(());
        }
        let is_clean =
            |open: &Open| open.state == ErasureState::Running && open.trail.in_log_before.is_none();
        if !self.open.values().any(is_clean) {
            return Ok(());
        }
        empty_journal(catalog)?;
        for (id, open) in self.open.iter_mut().filter(|(_, open)| is_clean(open)) {
            let places = [("store_file", 0), ("log", 0), ("catalog_file", 0)];
            catalog.note_erased(*id, &places, now_ms)?;
            catalog.set_erasure_state(*id, ErasureState::Done, now_ms)?;
            open.state = ErasureState::Done;
        }
        Ok(())
    }

    /// Forgets those of which nothing more can come. What others wrote into the catalog meanwhile goes once more.
    fn end(&mut self, databases: &Databases<'_>) -> Result<(), Failure> {
        let is_over = |open: &Open| {
            open.state == ErasureState::Done
                && open.trail.is_cold()
                && open.trail.in_log_before.is_none()
        };
        let over = self.open.iter().filter(|(_, open)| is_over(open));
        let over: Vec<ErasureId> = over.map(|(id, _)| *id).collect();
        for id in over {
            databases.catalog.erase_people(id, databases.now_ms)?;
            empty_journal(databases.catalog)?;
            databases.catalog.end_erasure(id)?;
            self.open.remove(&id);
        }
        Ok(())
    }
}

fn delete_one(
    databases: &Databases<'_>,
    id: ErasureId,
    subject: &Subject,
    sessions: &mut Sessions,
) -> Result<(), Failure> {
    let Databases { store, catalog, shared, now_ms, .. } = *databases;
    let Subject { site_id, visitors, .. } = subject;
    // Counted before: a crash between deleting and noting loses no count.
    let events = store.subject_summary(subject)?.events;
    let receipts = catalog.receipts_naming(*site_id, visitors)?;
    catalog.note_erasing(id, &[("events", events), ("receipts", receipts)])?;
    catalog.erase_people(id, now_ms)?;
    catalog.erase_receipt_subjects(*site_id, visitors, now_ms)?;
    let erased = store.erase_subject(subject)?;
    shared.forget(subject);
    sessions.forget_visitors(*site_id, visitors);
    if !erased.shared.is_empty() {
        // Their visits are what the others did in them.
        sessions.forget_visitors(*site_id, &erased.shared);
        let probe = |visitor_id: &VisitorId| SessionProbe {
            site_id: *site_id,
            visitor_id: *visitor_id,
            timestamp_ms: now_ms,
            session_key: 0,
        };
        let probes: Vec<SessionProbe> = erased.shared.iter().map(probe).collect();
        sessions.load(store.sessions_near(&probes, i64::MAX)?);
    }
    let places = [("events", 0), ("visits", erased.visits), ("receipts", 0), ("process", 0)];
    catalog.note_erased(id, &places, now_ms)?;
    Ok(())
}
