//! Completing erasures: people and receipts in the catalog, what is in memory, rows and texts in the store, records in the
//! log, bytes in every file.
//!
//! Guarantees: it runs on the thread that writes the rows, which leaves out events of the subject from the moment the erasure
//! is on record, so no row can come behind it. Those that wait are deleted together, a bounded number in each turn, and between
//! two turns a batch of the log is applied. Each step may be repeated; what is done is on record in the catalog, so that
//! a crash at any moment is followed by the rest. What fails keeps nobody else: it is tried again in a turn of its own, after
//! the others, and its record says why it is not done. An erasure is done when no question, no table and no file has anything of
//! the subject but what its record names. It does not know how the subject was found.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use cairn_catalog::{
    Catalog, Counted, Erasure, ErasureId, ErasureReason, ErasureState, NewErasure,
};
use cairn_model::subject::{SUBJECT_USERS_MAX, SUBJECT_VISITORS_MAX};
use cairn_model::{SiteId, Subject, VisitorId};
use cairn_store::{EventStore, SessionProbe};

use super::remains::{Databases, Failure, Patience, Trail, clear_log, empty_journal};
use crate::session::Sessions;

/// One erasure that is not over for good.
struct Open {
    subject: Subject,
    state: ErasureState,
    trail: Trail,
    /// The store's file was rewritten since its rows were deleted.
    is_out_of_file: bool,
    /// No backup holds anything of it, or its record says why one does.
    is_settled: bool,
    /// How often deleting it alone failed.
    failures: u32,
    /// What its record says of places that could not be cleaned yet.
    obstacles: BTreeMap<&'static str, String>,
}

impl Open {
    /// Its rows are deleted.
    fn is_deleted(&self) -> bool {
        !matches!(self.state, ErasureState::Waiting | ErasureState::Held)
    }
}

/// The erasures that are not over for good.
pub(super) struct Erasures {
    open: BTreeMap<ErasureId, Open>,
    /// Those done lately, for whoever waits for one.
    done: BTreeSet<ErasureId>,
    /// Somebody waits for one that this process has to bring to its end.
    is_one_urgent: bool,
    /// There are more to be deleted than the last turn could take.
    has_more: bool,
    /// How many the next turn takes: fewer after one that failed, until who fails is alone.
    at_once_max: usize,
    /// Somebody looks after backups, and tells when they are clean.
    has_backups: bool,
    patience: Patience,
}

/// Name of the place that whoever looks after the backups settles.
const BACKUPS: &str = "backups";
/// Erasures remembered as done; of more the oldest are forgotten.
const DONE_REMEMBERED_MAX: usize = 10_000;
/// Erasures of one site that a turn deletes together. A turn costs about the same for one as for all of them.
const ERASURES_AT_ONCE_MAX: usize = 100;
/// Their browsers and users: of as many as four of the largest subjects.
const NUMBERS_AT_ONCE_MAX: usize = 4 * (SUBJECT_VISITORS_MAX + SUBJECT_USERS_MAX);

impl Erasures {
    /// Takes up what an earlier process did not complete.
    pub fn at_start(
        catalog: &Catalog,
        has_backups: bool,
    ) -> Result<Self, cairn_catalog::CatalogError> {
        let mut erasures = Erasures {
            open: BTreeMap::new(),
            done: BTreeSet::new(),
            is_one_urgent: false,
            has_more: false,
            at_once_max: ERASURES_AT_ONCE_MAX,
            has_backups,
            patience: Patience::default(),
        };
        erasures.note_new(catalog, None)?;
        Ok(erasures)
    }

    /// Returns whether there are any.
    fn note_new(
        &mut self,
        catalog: &Catalog,
        known_since: Option<Instant>,
    ) -> Result<bool, cairn_catalog::CatalogError> {
        let known = self.open.len();
        for id in catalog.directory().current().open_erasures() {
            if self.open.contains_key(&id) {
                continue;
            }
            if let Some(erasure) = catalog.erasure(id)? {
                let in_backups = erasure.place(BACKUPS);
                let is_settled = in_backups.is_none_or(|place| place.done_at_ms.is_some());
                let Erasure { subject, state, .. } = erasure;
                let mut open = Open {
                    subject,
                    state,
                    trail: Trail::new(known_since),
                    is_out_of_file: false,
                    is_settled: is_settled || !self.has_backups,
                    failures: 0,
                    obstacles: BTreeMap::new(),
                };
                // What an earlier process left out is in the log, if it was not overwritten.
                open.trail.in_log_before = open.is_deleted().then_some(u64::MAX);
                self.open.insert(id, open);
            }
        }
        Ok(self.open.len() > known)
    }

    /// A record of this site was left out since an erasure names its visitor or user.
    pub fn left_out(&mut self, site_id: SiteId, offset: u64) {
        for open in self.open.values_mut().filter(|open| open.subject.site_id == site_id) {
            open.trail.left_out(offset);
        }
    }

    /// Somebody waits for an erasure that is not done. One that is on record and not taken up yet counts: a wish that comes
    /// between two looks is not lost.
    pub fn is_one_awaited(&mut self, databases: &Databases<'_>) -> bool {
        let Databases { catalog, shared, .. } = *databases;
        let is_to_come = |id: ErasureId| match self.open.get(&id) {
            Some(open) => open.state != ErasureState::Done,
            // The wish came after the record; the directory is read after the wish.
            None => catalog.directory().current().is_erasure_open(id),
        };
        let is_one_awaited = shared.is_any_awaited(is_to_come);
        // Backups are cleaned elsewhere, and take their time.
        let is_ours = |open: &Open| match open.state {
            ErasureState::Done => false,
            ErasureState::InBackups => open.is_settled,
            _ => true,
        };
        self.is_one_urgent = is_one_awaited && self.open.values().any(is_ours);
        is_one_awaited
    }

    /// Somebody waits for what this loop has to do, as far as it knew when it looked last.
    pub fn is_one_urgent(&self) -> bool {
        self.is_one_urgent
    }

    /// There are some to be deleted, and nothing keeps this loop from it.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// Takes note where the store's files have no bytes of deleted rows.
    pub fn note_file(&mut self, store: &dyn EventStore) {
        let is_clean = store.erased_since_ms().is_none();
        for open in self.open.values_mut().filter(|open| is_clean && open.is_deleted()) {
            open.is_out_of_file = true;
        }
    }

    /// Does what can be done now. `may_delete`: the store's file is not being rewritten.
    pub fn complete(
        &mut self,
        databases: &Databases<'_>,
        sessions: &mut Sessions,
        may_delete: bool,
    ) {
        for id in databases.shared.take_settled() {
            if let Some(open) = self.open.get_mut(&id) {
                open.is_settled = true;
            }
        }
        let directory = databases.catalog.directory().current();
        if directory.open_erasures().is_empty() && self.open.is_empty() {
            return;
        }
        if !self.patience.may_try() {
            return;
        }
        let taken_up = self.note_new(databases.catalog, Some(Instant::now()));
        if matches!(taken_up, Ok(true)) {
            databases.shared.want_backups();
        }
        let deleted = match may_delete {
            true => self.delete(databases, sessions),
            false => self.hold(databases),
        };
        // One that fails keeps nobody else from the end.
        let cleaned = self.clean_files(databases);
        let ended = self.end(databases);
        let taken_up = taken_up.map(|_| ()).map_err(Failure::from);
        let outcome = taken_up.and(deleted).and(cleaned).and(ended);
        self.has_more =
            outcome.is_ok() && may_delete && self.open.values().any(|it| !it.is_deleted());
        self.patience.note("somebody who was erased", outcome);
        databases.shared.set_erased(&self.done);
    }

    /// Deletes what the databases hold of those that wait, as far as it is this turn's.
    fn delete(
        &mut self,
        databases: &Databases<'_>,
        sessions: &mut Sessions,
    ) -> Result<(), Failure> {
        let turn = self.next_turn();
        let ids: Vec<ErasureId> = turn.iter().map(|(id, _)| *id).collect();
        let Err(failure) = self.delete_turn(databases, turn, sessions) else {
            self.at_once_max = (2 * self.at_once_max).min(ERASURES_AT_ONCE_MAX);
            return Ok(());
        };
        self.at_once_max = match ids.len() {
            0 | 1 => ERASURES_AT_ONCE_MAX,
            count => count / 2,
        };
        let reason = failure.to_string();
        for id in &ids {
            if let (Some(open), 1) = (self.open.get_mut(id), ids.len()) {
                open.failures = open.failures.saturating_add(1);
            }
        }
        self.note_obstacle(databases, "events", &reason, |id, _| ids.contains(id))?;
        Err(failure)
    }

    fn delete_turn(
        &mut self,
        databases: &Databases<'_>,
        turn: Vec<Waiting>,
        sessions: &mut Sessions,
    ) -> Result<(), Failure> {
        let end = databases.log.durable_end().0;
        let turn = self.with_their_browsers(databases, turn)?;
        if turn.is_empty() {
            return Ok(());
        }
        delete_together(databases, &turn, sessions)?;
        let ids: Vec<ErasureId> = turn.into_iter().map(|(id, _)| id).collect();
        self.set_states(databases, &ids, ErasureState::Running)?;
        for id in &ids {
            if let Some(open) = self.open.get_mut(id) {
                open.trail.in_log_before = open.trail.in_log_before.max(Some(end));
            }
        }
        Ok(())
    }

    /// Puts on record why a place of some is not clean yet, where their records do not say so already.
    fn note_obstacle(
        &mut self,
        databases: &Databases<'_>,
        place: &'static str,
        reason: &str,
        is_of: impl Fn(&ErasureId, &Open) -> bool,
    ) -> Result<(), Failure> {
        let is_new = |open: &Open| open.obstacles.get(place).is_none_or(|known| known != reason);
        let told = self.open.iter().filter(|(id, open)| is_new(open) && is_of(id, open));
        let told: Vec<ErasureId> = told.map(|(id, _)| *id).collect();
        if told.is_empty() {
            return Ok(());
        }
        databases.catalog.note_remaining(&told, place, reason)?;
        for id in told {
            if let Some(open) = self.open.get_mut(&id) {
                open.obstacles.insert(place, reason.to_owned());
            }
        }
        Ok(())
    }

    /// Puts on record that the store's file could not be written anew.
    pub fn note_unwritten(&mut self, databases: &Databases<'_>, reason: &str) {
        let is_of = |_: &ErasureId, open: &Open| {
            open.state == ErasureState::Running && !open.is_out_of_file
        };
        let noted = self.note_obstacle(databases, "store_file", reason, is_of);
        self.patience.note("the record of somebody who was erased", noted);
    }

    /// Those that wait for the longest time, all of one site; who failed alone comes after the others.
    fn next_turn(&self) -> Vec<Waiting> {
        let waiting = || self.open.iter().filter(|(_, open)| !open.is_deleted());
        let first = waiting().min_by_key(|(id, open)| (open.failures, **id));
        let Some((site_id, failures)) =
            first.map(|(_, open)| (open.subject.site_id, open.failures))
        else {
            return Vec::new();
        };
        let mut numbers = 0;
        waiting()
            .filter(|(_, open)| open.subject.site_id == site_id && open.failures == failures)
            .take(self.at_once_max)
            .take_while(|(_, open)| {
                let is_first = numbers == 0;
                numbers += open.subject.identifiers().count();
                is_first || numbers <= NUMBERS_AT_ONCE_MAX
            })
            .map(|(id, open)| (*id, open.subject.clone()))
            .collect()
    }

    /// Browsers that name those to be deleted and nobody else, and that their erasures do not name, get an erasure of their own.
    /// Where a turn cannot take all of them, whose they are waits: nothing tells it any more once the events that name him are
    /// gone.
    fn with_their_browsers(
        &mut self,
        databases: &Databases<'_>,
        mut turn: Vec<Waiting>,
    ) -> Result<Vec<Waiting>, Failure> {
        let Databases { store, catalog, now_ms, .. } = *databases;
        let all = Subject::union(turn.iter().map(|(_, subject)| subject));
        let mut visitors = match all.users.is_empty() {
            true => Vec::new(),
            false => store.browsers_of_users(&all, SUBJECT_VISITORS_MAX)?.alone,
        };
        let has_users = |(_, subject): &Waiting| !subject.users.is_empty();
        let are_all = visitors.len() < SUBJECT_VISITORS_MAX;
        let person = turn.iter().find(|one| has_users(one)).map(|(id, _)| *id);
        let theirs = self.waiting_for(all.site_id, &mut visitors);
        if !are_all {
            let is_new = |(id, _): &Waiting| !turn.iter().any(|(known, _)| known == id);
            let theirs: Vec<Waiting> = theirs.into_iter().filter(is_new).collect();
            turn.retain(|one| !has_users(one));
            turn.extend(theirs);
        }
        if visitors.is_empty() {
            return Ok(turn);
        }
        let person = person.map(|id| catalog.erasure(id)).transpose()?.flatten();
        let reason = person.map(|erasure| erasure.reason);
        let new = NewErasure {
            subject: Subject { site_id: all.site_id, visitors, ..Subject::default() },
            holders: Vec::new(),
            reason: reason.unwrap_or(ErasureReason::Owner),
            request_id: None,
            names: Vec::new(),
        };
        let id = catalog.begin_erasure(&new, now_ms)?;
        self.note_new(catalog, Some(Instant::now()))?;
        turn.push((id, new.subject));
        Ok(turn)
    }

    /// Erasures of a site that wait and name some of these browsers, as of a turn that failed; takes those away from `visitors`.
    fn waiting_for(&self, site_id: SiteId, visitors: &mut Vec<VisitorId>) -> Vec<Waiting> {
        let asked: HashSet<VisitorId> = visitors.iter().copied().collect();
        let names_one = |open: &Open| open.subject.visitors.iter().any(|one| asked.contains(one));
        let waiting = self.open.iter().filter(|(_, open)| {
            open.subject.site_id == site_id && !open.is_deleted() && names_one(open)
        });
        let waiting: Vec<Waiting> = waiting.map(|(id, open)| (*id, open.subject.clone())).collect();
        let named = waiting.iter().flat_map(|(_, subject)| &subject.visitors);
        let named: HashSet<VisitorId> = named.copied().collect();
        visitors.retain(|visitor| !named.contains(visitor));
        waiting
    }

    /// Puts on record that those that wait do so for the rewriting of the store's file.
    fn hold(&mut self, databases: &Databases<'_>) -> Result<(), Failure> {
        let waiting = |(_, open): &(_, &Open)| open.state == ErasureState::Waiting;
        let ids: Vec<ErasureId> = self.open.iter().filter(waiting).map(|(id, _)| *id).collect();
        self.set_states(databases, &ids, ErasureState::Held)
    }

    fn set_states(
        &mut self,
        databases: &Databases<'_>,
        ids: &[ErasureId],
        state: ErasureState,
    ) -> Result<(), Failure> {
        if ids.is_empty() {
            return Ok(());
        }
        databases.catalog.set_erasure_states(ids, state, databases.now_ms)?;
        for id in ids {
            if let Some(open) = self.open.get_mut(id) {
                open.state = state;
            }
        }
        Ok(())
    }

    /// Brings the bytes of deleted rows and records out of the files; what is clean is done.
    fn clean_files(&mut self, databases: &Databases<'_>) -> Result<(), Failure> {
        let Databases { catalog, now_ms, .. } = *databases;
        let end = databases.log.durable_end().0;
        let deleted = |open: &&mut Open| open.is_deleted();
        for open in self.open.values_mut() {
            open.trail.in_log_before = open.trail.in_log_before.map(|before| before.min(end));
        }
        let trails = self.open.values_mut().filter(deleted).map(|open| &mut open.trail);
        let cleared = clear_log(databases, trails);
        if let Err(failure) = &cleared {
            let is_in_log = |_: &ErasureId, open: &Open| {
                open.state == ErasureState::Running && open.trail.in_log_before.is_some()
            };
            self.note_obstacle(databases, "log", &failure.to_string(), is_in_log)?;
        }
        let is_clean = |open: &Open| {
            let is_running = open.state == ErasureState::Running;
            is_running && open.is_out_of_file && open.trail.in_log_before.is_none()
        };
        if self.open.values().any(is_clean)
            && let Err(failure) = empty_journal(catalog)
        {
            let reason = failure.to_string();
            self.note_obstacle(databases, "catalog_file", &reason, |_, open| is_clean(open))?;
            return Err(failure);
        }
        let (mut cleaned, mut in_backups, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for (id, open) in &self.open {
            if is_clean(open) {
                let places = vec![("store_file", 0), ("log", 0), ("catalog_file", 0)];
                cleaned.push((*id, places));
            }
            match (open.state, open.is_settled) {
                (ErasureState::Running, false) if is_clean(open) => in_backups.push(*id),
                (ErasureState::Running, true) if is_clean(open) => done.push(*id),
                (ErasureState::InBackups, true) => done.push(*id),
                _ => {}
            }
        }
        if !cleaned.is_empty() {
            catalog.note_erased(&cleaned, now_ms)?;
        }
        self.set_states(databases, &in_backups, ErasureState::InBackups)?;
        self.set_states(databases, &done, ErasureState::Done)?;
        self.done.extend(done);
        cleared
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
        if !over.is_empty() {
            databases.catalog.erase_people(&over, databases.now_ms)?;
            empty_journal(databases.catalog)?;
            databases.catalog.end_erasures(&over)?;
            self.open.retain(|id, _| !over.contains(id));
            self.done.extend(over);
        }
        while self.done.len() > DONE_REMEMBERED_MAX {
            self.done.pop_first();
        }
        Ok(())
    }
}

/// One that is to be deleted.
type Waiting = (ErasureId, Subject);

fn delete_together(
    databases: &Databases<'_>,
    turn: &[Waiting],
    sessions: &mut Sessions,
) -> Result<(), Failure> {
    let Databases { store, catalog, shared, now_ms, .. } = *databases;
    let (ids, subjects): (Vec<ErasureId>, Vec<Subject>) = turn.iter().cloned().unzip();
    let all = Subject::union(&subjects);
    let site_id = all.site_id;
    // Counted before: a crash between deleting and noting loses no count.
    let mut found = Vec::with_capacity(turn.len());
    for ((id, subject), events) in turn.iter().zip(store.events_of_subjects(&subjects)?) {
        let receipts = catalog.receipts_naming(site_id, &subject.visitors)?;
        found.push((*id, vec![("events", events), ("receipts", receipts)]));
    }
    catalog.note_erasing(&found)?;
    catalog.erase_people(&ids, now_ms)?;
    catalog.erase_receipt_subjects(site_id, &all.visitors, now_ms)?;
    let erased = store.erase_subjects(&subjects)?;
    shared.forget(&all);
    sessions.forget_visitors(site_id, &all.visitors);
    if !erased.shared.is_empty() {
        // Their visits are what the others did in them.
        sessions.forget_visitors(site_id, &erased.shared);
        let probe = |visitor_id: &VisitorId| SessionProbe {
            site_id,
            visitor_id: *visitor_id,
            timestamp_ms: now_ms,
            session_key: 0,
        };
        let probes: Vec<SessionProbe> = erased.shared.iter().map(probe).collect();
        sessions.load(store.sessions_near(&probes, i64::MAX)?);
    }
    let of_each = ids.into_iter().zip(erased.visits);
    let places = |visits| vec![("events", 0), ("visits", visits), ("receipts", 0), ("process", 0)];
    let noted: Vec<Counted> = of_each.map(|(id, visits)| (id, places(visits))).collect();
    catalog.note_erased(&noted, now_ms)?;
    Ok(())
}

#[cfg(test)]
impl Erasures {
    pub fn end_pause(&mut self) {
        self.patience.end_pause();
    }
}

#[cfg(test)]
mod tests;
