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
mod tests {
    use std::sync::Arc;

    use cairn_catalog::{MailChoices, ReceiptOrder};
    use cairn_catalog::{MemoryChange, MemoryHolder, ReceiptFilter};
    use cairn_model::receipt::ChoiceMade;
    use cairn_model::{Choice, SiteId};
    use cairn_store::reference::ReferenceStore;

    use super::*;
    use crate::apply::ApplyOptions;
    use crate::apply::machine::{Machine, NOW_MS, page, set_clock};
    use crate::apply::remains::UNDER_WAY_MAX;
    use crate::record;

    const HOME: VisitorId = VisitorId(70);
    const SHARED: VisitorId = VisitorId(80);
    const HOLDER: MemoryHolder = MemoryHolder::Person([3; 32]);

    fn machine() -> Machine<ReferenceStore> {
        set_clock(NOW_MS);
        Machine::new(Arc::new(ReferenceStore::new()))
    }

    /// Anna (user 4) at home and on a device that Benno (user 5) uses, too.
    fn filled() -> (Machine<ReferenceStore>, SiteId) {
        let mut machine = machine();
        let site = machine.site("erasure.example");
        for event in [
            page(site, HOME, "anna", "/of-anna"),
            page(site, SHARED, "anna", "/also-of-anna"),
            page(site, SHARED, "benno", "/of-benno"),
            page(site, VisitorId(90), "", "/of-nobody"),
        ] {
            machine.append(&event);
        }
        machine.apply_all();
        let yes = MailChoices { opens: Some(true), clicks: Some(true) };
        machine.catalog.record_mail_choices(site, 4, "anna", yes, NOW_MS).unwrap();
        let remembered = MemoryChange { name: "size".into(), value: Some("\"M\"".into()) };
        machine.catalog.remember(site, HOLDER, &[remembered], NOW_MS).unwrap();
        (machine, site)
    }

    fn erase_anna(machine: &Machine<ReferenceStore>, site_id: SiteId) -> ErasureId {
        let erasure = NewErasure {
            subject: Subject {
                site_id,
                visitors: vec![HOME],
                users: vec![4],
                ..Subject::default()
            },
            holders: vec![HOLDER],
            reason: ErasureReason::Owner,
            request_id: None,
            names: vec!["anna".into()],
        };
        machine.catalog.begin_erasure(&erasure, NOW_MS).unwrap()
    }

    fn paths(machine: &Machine<ReferenceStore>) -> Vec<String> {
        machine.store.rows().iter().map(|row| row.event.path.to_string()).collect()
    }

    fn counts(machine: &Machine<ReferenceStore>, id: ErasureId) -> Vec<(String, u64)> {
        let places = machine.erasure(id).places;
        let counted = places.into_iter().filter(|place| place.count > 0);
        counted.map(|place| (place.name, place.count)).collect()
    }

    #[test]
    fn an_erased_person_is_gone_everywhere_and_others_are_not() {
        let (mut machine, site) = filled();
        let forgotten = Arc::new(std::sync::Mutex::new(Vec::new()));
        let heard = Arc::clone(&forgotten);
        machine.handle.on_erasure(move |subject| heard.lock().unwrap().push(subject.clone()));
        let id = erase_anna(&machine, site);
        let directory = machine.catalog.directory().current();
        assert!(directory.is_opted_out(site, HOME.0) && directory.is_opted_out(site, 4));
        machine.finish(id);
        assert_eq!(paths(&machine), ["/of-benno", "/of-nobody"]);
        assert_eq!(machine.catalog.person(site, 4).unwrap(), None);
        assert!(machine.catalog.person(site, 5).unwrap().is_some());
        assert_eq!(machine.catalog.mail_recipient(site, 4).unwrap(), Default::default());
        assert!(machine.catalog.recall(site, HOLDER, NOW_MS).unwrap().is_empty());
        for path in ["/of-anna", "/also-of-anna"] {
            assert!(!machine.log_holds(path), "{path}");
        }
        let expected =
            [("people", 1), ("mail_choices", 1), ("memory", 1), ("events", 2), ("visits", 1)];
        assert_eq!(counts(&machine, id), expected.map(|(name, count)| (name.to_owned(), count)));
        let erasure = machine.erasure(id);
        assert_eq!((erasure.state, erasure.done_at_ms), (ErasureState::Done, Some(NOW_MS)));
        for place in &erasure.places {
            let is_named = place.done_at_ms.is_some() || place.remaining_reason.is_some();
            assert!(is_named, "{} is neither done nor explained", place.name);
        }
        let shared = erasure.place("visit_attributes").unwrap();
        assert!(shared.remaining_reason.as_deref().unwrap().contains("referrer"), "{shared:?}");
        assert_eq!(forgotten.lock().unwrap().len(), 1);
        // What Benno does next joins what is left of the visit on the shared device.
        machine.append(&page(site, SHARED, "benno", "/more-of-benno"));
        machine.apply_all();
        let visits = machine.store.sessions();
        let shared = visits.iter().find(|visit| visit.visitor_id == SHARED).unwrap();
        assert_eq!((shared.pageviews, &*shared.entry_page), (2, "/of-benno"));
    }

    #[test]
    fn what_is_under_way_is_left_out_and_leaves_the_log() {
        let (mut machine, site) = filled();
        machine.append(&page(site, HOME, "anna", "/waiting"));
        let id = erase_anna(&machine, site);
        machine.housekeep();
        assert!(!machine.is_erased(id), "the loop lags");
        assert!(machine.log_holds("/waiting"), "nothing that is not applied leaves the log");
        machine.apply_all();
        machine.finish(id);
        assert!(!machine.log_holds("/waiting"));
        // Hits that were let in before, and a choice: it stays as proof, without a name.
        machine.append(&page(site, VisitorId(91), "anna", "/late"));
        let choice = ChoiceMade {
            site_id: site,
            at_ms: NOW_MS,
            subject: HOME,
            answers: [Some(Choice::Granted); 4],
            version: "".into(),
            language: "".into(),
            signal: "banner".into(),
            region: "eea".into(),
            policy: "opt_in".into(),
            gpc: false,
        };
        let record = record::encode_choice(&choice).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(machine.log.appender().append([&record[..]])).unwrap();
        machine.apply_all();
        assert!(machine.log_holds("/late"));
        machine.housekeep();
        assert!(!machine.log_holds("/late"));
        assert_eq!(paths(&machine), ["/of-benno", "/of-nobody"]);
        assert_eq!(machine.catalog.person(site, 4).unwrap(), None);
        let filter = ReceiptFilter::default();
        let newest = ReceiptOrder::NewestBefore(None);
        let receipts = machine.catalog.receipts(site, &filter, newest, 10).unwrap();
        assert_eq!((receipts.len(), receipts[0].subject), (1, None));
        // Others wrote into the catalog meanwhile; when nothing more can come, that goes as well.
        let yes = MailChoices { opens: Some(true), clicks: None };
        machine.catalog.record_mail_choices(site, 4, "anna", yes, NOW_MS).unwrap();
        let hour_ago = Instant::now().checked_sub(UNDER_WAY_MAX);
        machine.apply.erasures.open.get_mut(&id).unwrap().trail.known_since = hour_ago;
        machine.housekeep();
        assert!(machine.catalog.directory().current().open_erasures().is_empty());
        assert_eq!(machine.catalog.person(site, 4).unwrap(), None);
    }

    #[test]
    fn what_the_store_refuses_is_tried_again() {
        let (mut machine, site) = filled();
        machine.store.refuse_removals(1);
        let id = erase_anna(&machine, site);
        machine.housekeep();
        assert_eq!(paths(&machine).len(), 4);
        assert_eq!(machine.erasure(id).state, ErasureState::Waiting);
        machine.finish(id);
        assert_eq!(paths(&machine), ["/of-benno", "/of-nobody"]);
        assert_eq!(machine.erasure(id).place("events").unwrap().count, 2, "counted once");
    }

    #[test]
    fn one_that_cannot_be_deleted_keeps_nobody_else() {
        let mut machine = machine();
        let sites = [machine.site("broken.example"), machine.site("whole.example")];
        let of = |site_id, number| Subject {
            site_id,
            visitors: vec![VisitorId(number)],
            ..Subject::default()
        };
        for (site, number) in sites.into_iter().flat_map(|site| (1..=3).map(move |n| (site, n))) {
            machine.append(&page(site, VisitorId(number), "", "/a"));
        }
        machine.apply_all();
        // It is deleted already, and only its bytes are left.
        let earlier = begin(&machine, of(sites[1], 3));
        machine.housekeep();
        let broken: Vec<ErasureId> =
            (1..=3).map(|number| begin(&machine, of(sites[0], number))).collect();
        let other = begin(&machine, of(sites[1], 1));
        let ids = [&broken[..], &[other]].concat();
        let (waiting, running) = (ErasureState::Waiting, ErasureState::Running);
        // All three of a turn fail, and the first of them alone.
        machine.store.refuse_removals(2);
        assert!(!machine.is_erased(earlier));
        (0..2).for_each(|_| machine.housekeep());
        assert_eq!(states(&machine, &ids), [waiting; 4]);
        assert_eq!(states(&machine, &[earlier]), [ErasureState::Done], "its bytes are gone");
        let reason = |id| machine.erasure(id).place("events").unwrap().remaining_reason.clone();
        assert!(reason(broken[0]).unwrap().contains("it was told to"), "{:?}", reason(broken[0]));
        machine.housekeep();
        assert_eq!(states(&machine, &ids), [waiting, running, running, waiting]);
        machine.housekeep();
        assert_eq!(states(&machine, &ids), [waiting, running, running, running]);
        machine.finish(broken[0]);
        let place = machine.erasure(broken[0]).place("events").unwrap().clone();
        assert_eq!((place.count, place.remaining_reason), (1, None), "overcome");
    }

    #[test]
    fn a_person_who_cannot_be_deleted_gets_no_second_erasure_for_his_browsers() {
        let mut machine = machine();
        let site = machine.site("erasure.example");
        machine.append(&page(site, HOME, "anna", "/of-anna"));
        machine.apply_all();
        let id = begin(&machine, Subject { site_id: site, users: vec![4], ..Subject::default() });
        machine.store.refuse_removals(5);
        machine.finish(id);
        assert_eq!(machine.catalog.erasures(site, None, 10).unwrap().len(), 2);
    }

    #[test]
    fn a_record_says_why_a_file_is_not_clean_yet() {
        let (mut machine, site) = filled();
        let id = erase_anna(&machine, site);
        machine.store.refuse_rewriting(1);
        assert!(!machine.is_erased(id));
        (0..3).for_each(|_| machine.housekeep());
        assert_eq!(states(&machine, &[id]), [ErasureState::Running]);
        let place = machine.erasure(id).place("store_file").unwrap().clone();
        assert_eq!(place.done_at_ms, None);
        let reason = place.remaining_reason.unwrap();
        assert!(reason.contains("rewrites its file"), "{reason}");
        machine.apply.rewriting.end_pause();
        machine.finish(id);
        let place = machine.erasure(id).place("store_file").unwrap().clone();
        assert_eq!((place.done_at_ms, place.remaining_reason), (Some(NOW_MS), None));
    }

    #[test]
    fn a_restart_completes_what_was_begun() {
        let (machine, site) = filled();
        let id = erase_anna(&machine, site);
        let mut machine = machine.restarted();
        machine.housekeep();
        assert_eq!(machine.erasure(id).state, ErasureState::Running);
        let mut machine = machine.restarted();
        machine.apply_all();
        assert!(machine.store.erased_since_ms().is_some(), "the file waits");
        machine.finish(id);
        assert_eq!(paths(&machine), ["/of-benno", "/of-nobody"]);
        // Nothing is under way after a start.
        assert!(machine.catalog.directory().current().open_erasures().is_empty());
    }

    fn states(machine: &Machine<ReferenceStore>, ids: &[ErasureId]) -> Vec<ErasureState> {
        ids.iter().map(|id| machine.erasure(*id).state).collect()
    }

    #[test]
    fn who_waits_for_a_rewriting_is_told_and_neither_starves_the_other() {
        let (mut machine, site) = filled();
        let next = |machine: &Machine<ReferenceStore>, user: u64| {
            begin(machine, Subject { site_id: site, users: vec![user], ..Subject::default() })
        };
        let mut ids = vec![erase_anna(&machine, site)];
        assert!(!machine.is_erased(ids[0]));
        // Every erasure comes in the middle of the rewriting for the one before it, and a site is removed, too.
        for user in 5..10 {
            let gone = machine.site(&format!("gone-{user}.example"));
            machine.append(&page(gone, VisitorId(7), "", "/gone"));
            machine.apply_all();
            machine.store.rewrite_in_steps(3);
            machine.housekeep();
            assert!(machine.catalog.delete_site(gone, NOW_MS).unwrap());
            ids.push(next(&machine, user));
            machine.housekeep();
            let [.., earlier, later] = &states(&machine, &ids)[..] else { panic!("two at least") };
            assert_eq!((*earlier, *later), (ErasureState::Running, ErasureState::Held));
            assert!(paths(&machine).contains(&"/gone".to_owned()), "it waits as well");
            // Three steps and the last one; the turn after it is that of whoever waits.
            (0..3).for_each(|_| machine.housekeep());
            let [.., earlier, later] = &states(&machine, &ids)[..] else { panic!("two at least") };
            assert_eq!((*earlier, *later), (ErasureState::Done, ErasureState::Running));
            assert!(!paths(&machine).contains(&"/gone".to_owned()));
            assert!(!machine.is_erased(ids[ids.len() - 1]));
        }
    }

    fn begin(machine: &Machine<ReferenceStore>, subject: Subject) -> ErasureId {
        let (holders, names) = (Vec::new(), Vec::new());
        let reason = ErasureReason::Owner;
        let new = NewErasure { subject, holders, reason, request_id: None, names };
        machine.catalog.begin_erasure(&new, NOW_MS).unwrap()
    }

    #[test]
    fn those_that_wait_are_deleted_together_and_batches_go_on_between_two_turns() {
        let mut machine = machine();
        let sites = [machine.site("busy.example"), machine.site("quiet.example")];
        let some_more = ERASURES_AT_ONCE_MAX as u64 + 7;
        for (site, count) in sites.into_iter().zip([some_more, 3]) {
            (1..=count).for_each(|number| machine.append(&page(site, VisitorId(number), "", "/a")));
        }
        machine.apply_all();
        let ids: Vec<ErasureId> = sites
            .into_iter()
            .zip([some_more, 3])
            .flat_map(|(site_id, count)| (1..=count).map(move |number| (site_id, number)))
            .map(|(site_id, number)| {
                let visitors = vec![VisitorId(number)];
                begin(&machine, Subject { site_id, visitors, ..Subject::default() })
            })
            .collect();
        let last = ids[ids.len() - 1];
        assert!(!machine.is_erased(last), "somebody waits");
        let left = |machine: &Machine<ReferenceStore>| machine.store.rows().len();
        let mut seen = Vec::new();
        for round in 0.. {
            // A batch of the log is applied between two turns.
            machine.append(&page(sites[0], VisitorId(9_000 + round), "", "/meanwhile"));
            machine.apply_all();
            machine.housekeep();
            seen.push(left(&machine) as u64 - (round + 1));
            if !machine.apply.erasures.has_more() {
                break;
            }
            assert!(machine.store.erased_since_ms().is_some(), "one rewriting is for all of them");
            if round == 0 {
                // A crash between two turns.
                machine = machine.restarted();
                assert!(!machine.is_erased(last));
            }
        }
        assert_eq!(seen, [10, 3, 0], "as many as a turn takes, the rest, and the other site's");
        machine.finish(last);
        let done = |id: &&ErasureId| machine.erasure(**id).state == ErasureState::Done;
        assert_eq!(ids.iter().filter(done).count(), ids.len());
        let counts = ids.iter().map(|id| machine.erasure(*id).place("events").unwrap().count);
        assert!(counts.eq(ids.iter().map(|_| 1)), "each has its own count");
    }

    #[test]
    fn a_person_with_more_browsers_than_an_erasure_names_leaves_nothing() {
        let mut machine = machine();
        let site = machine.site("erasure.example");
        let browsers = 2 * SUBJECT_VISITORS_MAX as u64 + 5;
        for number in 1..=browsers {
            machine.append(&page(site, VisitorId(number), "", "/before-the-login"));
            machine.append(&page(site, VisitorId(number), "anna", "/of-anna"));
        }
        for (user, path) in [("anna", "/also-of-anna"), ("benno", "/of-benno")] {
            machine.append(&page(site, VisitorId(9_000), user, path));
        }
        machine.apply_all();
        let users = vec![4];
        let of_anna = Subject { site_id: site, users, ..Subject::default() };
        let found = machine.store.browsers_of_users(&of_anna, SUBJECT_VISITORS_MAX).unwrap();
        let id = begin(&machine, Subject { visitors: found.alone, ..of_anna });
        machine.finish(id);
        assert_eq!(paths(&machine), ["/of-benno"]);
        let directory = machine.catalog.directory().current();
        assert!((1..=browsers).all(|number| directory.is_opted_out(site, number)));
        assert!(!directory.is_opted_out(site, 9_000), "Benno's as well");
        let all = machine.catalog.erasures(site, None, 10).unwrap();
        let events = all.iter().map(|erasure| erasure.place("events").unwrap().count);
        assert_eq!((all.len(), events.sum()), (3, 2 * browsers + 1));
    }

    #[test]
    fn a_wish_that_comes_between_two_looks_is_not_lost() {
        let (mut machine, site) = filled();
        machine.housekeep();
        // The loop has looked for erasures before, and asks what is awaited afterwards.
        let id = erase_anna(&machine, site);
        assert!(!machine.is_erased(id), "somebody waits from now on");
        for _ in 0..2 {
            let apply = &mut machine.apply;
            let databases = Databases {
                log: &apply.log,
                store: &*apply.store,
                catalog: &apply.catalog,
                shared: &apply.shared,
                applied: 0,
                now_ms: NOW_MS,
            };
            assert!(apply.erasures.is_one_awaited(&databases));
        }
        (0..2).for_each(|_| machine.housekeep());
        assert_eq!(states(&machine, &[id]), [ErasureState::Done], "the hour is not waited for");
    }

    #[test]
    fn an_erasure_is_done_only_when_the_backups_are_settled() {
        let (mut machine, site) = filled();
        machine.options.has_backups = true;
        let mut machine = machine.restarted();
        let wakes = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let heard = Arc::clone(&wakes);
        machine.handle.on_backups_wanted(move || {
            heard.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        let first = erase_anna(&machine, site);
        for _ in 0..10 {
            assert!(!machine.is_erased(first));
            machine.housekeep();
        }
        assert_eq!(states(&machine, &[first]), [ErasureState::InBackups]);
        assert_eq!(machine.erasure(first).done_at_ms, None);
        assert_eq!(wakes.load(std::sync::atomic::Ordering::Relaxed), 1);
        // What was settled before a crash is found after it.
        machine.catalog.note_erased(&[(first, vec![(BACKUPS, 2)])], NOW_MS).unwrap();
        let mut machine = machine.restarted();
        machine.finish(first);
        // Also what is settled before the rest is.
        let second = erase_anna(&machine, site);
        machine.housekeep();
        machine.handle.settle_in_backups(&[second]);
        machine.finish(second);
    }

    #[test]
    fn the_file_is_rewritten_within_its_bound() {
        let (mut machine, site) = filled();
        erase_anna(&machine, site);
        machine.housekeep();
        machine.housekeep();
        assert!(machine.store.erased_since_ms().is_some(), "an hour may pass");
        let rewrite_wait_max = std::time::Duration::ZERO;
        machine.options = ApplyOptions { rewrite_wait_max, ..machine.options };
        let mut machine = machine.restarted();
        machine.housekeep();
        assert_eq!(machine.store.erased_since_ms(), None);
    }
}
