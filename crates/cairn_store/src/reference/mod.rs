//! The naive backend: everything in memory, every question answered by walking over all of it.
//!
//! Guarantees: obviously right, so that tests can hold the others against it. It is not durable and not fast.

mod answer;
mod erase;
mod lists;
mod orders;
mod paths;
mod tallies;
mod touches;
mod walk;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cairn_model::question::filters::folded as fold;
use cairn_model::question::funnel::FunnelAnswer;
use cairn_model::question::journey::JourneyAnswer;
use cairn_model::question::lists::{PersonSummary, VisitConversions, VisitorSummary, Whose};
use cairn_model::question::retention::RetentionAnswer;
use cairn_model::question::{FunnelQuestion, JourneyQuestion, ListQuestion, RetentionQuestion};
use cairn_model::session::Attribute;
use cairn_model::{Origin, Outcome, PixelId, Session, SiteId, Subject, VisitorId};

use crate::{
    Batch, ErasedRows, ErasedSubjects, EventStore, FrozenFile, OutcomeCount, PixelActivity,
    Rewritten, Row, SessionProbe, Span, StoreError, StoredEvent, SubjectSummary, UsersBrowsers,
    Watermark,
};

/// A store in memory.
#[derive(Default)]
pub struct ReferenceStore {
    state: RwLock<State>,
    /// Deletions that are still to fail.
    refusals: AtomicU32,
    /// Rewritings that are still to fail.
    rewriting_refusals: AtomicU32,
    /// Steps that rewriting takes before its last one.
    rewriting_steps: AtomicU32,
    /// Since when what was deleted waits for [`EventStore::rewrite_erased`]; 0 = nothing does.
    erased_since_ms: AtomicI64,
}

/// All that it keeps.
#[derive(Default)]
pub(crate) struct State {
    /// Events, by rising offset.
    pub(crate) rows: Vec<Row<'static>>,
    /// Visits, each once.
    pub(crate) sessions: Vec<Session>,
    outcomes: Vec<OutcomeCount>,
    watermark: Watermark,
}

impl ReferenceStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every event, by rising offset.
    pub fn rows(&self) -> Vec<Row<'static>> {
        self.state().rows.clone()
    }

    /// Every visit, in no particular order.
    pub fn sessions(&self) -> Vec<Session> {
        self.state().sessions.clone()
    }

    /// Lets the next deletions fail, as on a full disk: for tests of those who call.
    pub fn refuse_removals(&self, count: u32) {
        self.refusals.store(count, Ordering::Release);
    }

    /// Lets the next steps of rewriting fail, as where the disk has no room for a copy: for tests of those who call.
    pub fn refuse_rewriting(&self, count: u32) {
        self.rewriting_refusals.store(count, Ordering::Release);
    }

    /// Has the next rewriting take so many steps before its last one: for tests of those who call.
    pub fn rewrite_in_steps(&self, count: u32) {
        self.rewriting_steps.store(count, Ordering::Release);
    }

    /// Something is about to be deleted, unless that was told to fail.
    fn erasing(&self, doing: &'static str) -> Result<(), StoreError> {
        refuse_while_told(&self.refusals, doing)?;
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let now_ms = i64::try_from(since).unwrap_or(i64::MAX);
        let first = |since_ms: i64| (since_ms == 0).then_some(now_ms);
        // An error only says that something waits already.
        let _ = self.erased_since_ms.fetch_update(Ordering::AcqRel, Ordering::Acquire, first);
        Ok(())
    }

    /// What is kept. A panic of another thread leaves whole batches only, so a poisoned lock is as good as any.
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl EventStore for ReferenceStore {
    fn watermark(&self) -> Result<Watermark, StoreError> {
        Ok(self.state().watermark)
    }

    // Nothing here is fast, so nothing is summed up.
    fn roll_up(&self, _: SiteId, _: Span) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn count_events(&self, site_id: SiteId) -> Result<u64, StoreError> {
        let state = self.state();
        Ok(state.rows.iter().filter(|row| row.event.site_id == site_id).count() as u64)
    }

    fn rolled_up(&self, _: SiteId) -> Vec<Span> {
        Vec::new()
    }

    fn forget_rollups(&self, _: SiteId) -> Result<(), StoreError> {
        Ok(())
    }

    fn commit(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let mut state = self.state_mut();
        if batch.watermark.offset <= state.watermark.offset {
            return Err(StoreError::NotAhead {
                offset: batch.watermark.offset,
                watermark: state.watermark.offset,
            });
        }
        state.rows.extend(batch.rows.iter().map(|row| Row {
            offset: row.offset,
            session_id: row.session_id,
            attributes: Arc::clone(&row.attributes),
            event: as_stored(row),
        }));
        for change in &batch.sessions {
            if change.replaces {
                state.sessions.retain(|kept| kept.session_id != change.session.session_id);
            }
            state.sessions.push(change.session.clone());
        }
        state.outcomes.extend(&batch.outcomes);
        state.watermark = batch.watermark;
        Ok(())
    }

    fn sessions_near(
        &self,
        probes: &[SessionProbe],
        reach_ms: i64,
    ) -> Result<Vec<Session>, StoreError> {
        let asked_for = |session: &Session| {
            probes.iter().any(|probe| {
                session.site_id == probe.site_id
                    && session.visitor_id == probe.visitor_id
                    && match probe.session_key {
                        0 => {
                            let earliest_ms = session.started_at_ms.min(session.ended_at_ms);
                            let latest_ms = session.last_activity_ms;
                            earliest_ms.saturating_sub(reach_ms) <= probe.timestamp_ms
                                && probe.timestamp_ms <= latest_ms.saturating_add(reach_ms)
                        }
                        key => session.session_key == key,
                    }
            })
        };
        Ok(self.state().sessions.iter().filter(|session| asked_for(session)).cloned().collect())
    }

    fn sessions_active_since(
        &self,
        received_ms: i64,
        visits_max: usize,
    ) -> Result<Vec<Session>, StoreError> {
        let state = self.state();
        let active = |session: &&Session| session.last_received_ms >= received_ms;
        let mut found: Vec<Session> = state.sessions.iter().filter(active).cloned().collect();
        found.sort_by_key(|session| std::cmp::Reverse(session.last_received_ms));
        found.truncate(visits_max);
        Ok(found)
    }

    fn event_keys_after(
        &self,
        offset: u64,
        each: &mut dyn FnMut(u64, u128, i64),
    ) -> Result<(), StoreError> {
        for row in &self.state().rows {
            if row.offset > offset && row.event.event_key != 0 {
                each(row.offset, row.event.event_key, row.event.received_at_ms);
            }
        }
        Ok(())
    }

    fn outcomes_since(
        &self,
        site_id: SiteId,
        since_ms: i64,
    ) -> Result<Vec<(Outcome, u64)>, StoreError> {
        let state = self.state();
        let sums = Outcome::ALL.into_iter().map(|outcome| {
            let of_outcome = state.outcomes.iter().filter(|count| {
                count.site_id == site_id && count.outcome == outcome && count.hour_ms >= since_ms
            });
            (outcome, of_outcome.map(|count| count.count).sum())
        });
        Ok(sums.filter(|(_, count)| *count > 0).collect())
    }

    fn pixel_activity(
        &self,
        site_id: SiteId,
        since_ms: i64,
    ) -> Result<Vec<(PixelId, PixelActivity)>, StoreError> {
        let mut activities = std::collections::BTreeMap::<PixelId, PixelActivity>::new();
        for row in &self.state().rows {
            let event = &row.event;
            if event.site_id != site_id || event.origin == Origin::Import {
                continue;
            }
            let at = event.received_at_ms;
            let activity = activities.entry(event.pixel_id).or_default();
            let first = activity.first_received_ms.map_or(at, |first| first.min(at));
            let last = activity.last_received_ms.map_or(at, |last| last.max(at));
            activity.first_received_ms = Some(first);
            activity.last_received_ms = Some(last);
            activity.events_since += u64::from(at >= since_ms);
        }
        Ok(activities.into_iter().collect())
    }

    fn pixel_counts(
        &self,
        site_id: SiteId,
        starts_ms: &[i64],
    ) -> Result<Vec<(PixelId, Vec<u64>)>, StoreError> {
        let mut counts = std::collections::BTreeMap::<PixelId, Vec<u64>>::new();
        for row in &self.state().rows {
            let event = &row.event;
            let slot = starts_ms.iter().rposition(|start| event.received_at_ms >= *start);
            let Some(slot) = slot else { continue };
            if event.site_id == site_id && event.origin != Origin::Import {
                let slots =
                    counts.entry(event.pixel_id).or_insert_with(|| vec![0; starts_ms.len()]);
                slots[slot] += 1;
            }
        }
        Ok(counts.into_iter().collect())
    }

    fn bots_since(&self, site_id: SiteId, since_ms: i64) -> Result<Vec<(String, u64)>, StoreError> {
        let mut reasons = std::collections::BTreeMap::<String, u64>::new();
        for row in &self.state().rows {
            let reason = row.attributes.get(Attribute::Bot);
            let wanted = row.event.site_id == site_id && row.event.received_at_ms >= since_ms;
            if wanted && !reason.is_empty() {
                *reasons.entry(reason.to_owned()).or_default() += 1;
            }
        }
        Ok(reasons.into_iter().collect())
    }

    fn other_user_of(
        &self,
        site_id: SiteId,
        visitor_id: cairn_model::VisitorId,
        user_key: u64,
    ) -> Result<Option<u64>, StoreError> {
        let state = self.state();
        let others = state.rows.iter().map(|row| &row.event).filter(|event| {
            event.site_id == site_id
                && event.visitor_id == visitor_id
                && event.user_key != 0
                && event.user_key != user_key
        });
        Ok(others.map(|event| event.user_key).min())
    }

    fn ask(&self, question: &cairn_model::Question) -> Result<cairn_model::Answer, StoreError> {
        Ok(answer::answer(&self.state(), question))
    }

    fn funnel(&self, question: &FunnelQuestion) -> Result<FunnelAnswer, StoreError> {
        Ok(paths::funnel(&self.state(), question))
    }

    fn journeys(&self, question: &JourneyQuestion) -> Result<JourneyAnswer, StoreError> {
        Ok(paths::journeys(&self.state(), question))
    }

    fn retention(&self, question: &RetentionQuestion) -> Result<RetentionAnswer, StoreError> {
        Ok(paths::retention(&self.state(), question))
    }

    fn currencies(&self, site_id: SiteId) -> Result<Vec<String>, StoreError> {
        let state = self.state();
        let of_site = state.rows.iter().filter(|row| row.event.site_id == site_id);
        let currencies: BTreeSet<&str> = of_site.map(|row| &*row.event.currency).collect();
        let named = currencies.into_iter().filter(|currency| !currency.is_empty());
        Ok(named.map(str::to_owned).collect())
    }

    fn spellings(
        &self,
        site_id: SiteId,
        attribute: Attribute,
        folded: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let state = self.state();
        let of_site = state.rows.iter().filter(|row| row.event.site_id == site_id);
        let texts: BTreeSet<&str> = of_site.map(|row| row.attributes.get(attribute)).collect();
        let wanted = texts.into_iter().filter(|text| folded.contains(&fold(text)));
        Ok(wanted.map(str::to_owned).collect())
    }

    fn visits_page(&self, question: &ListQuestion) -> Result<Vec<Session>, StoreError> {
        Ok(lists::visits_page(&self.state(), question))
    }

    fn visit_conversions(
        &self,
        question: &ListQuestion,
        visits: &[u64],
    ) -> Result<Vec<VisitConversions>, StoreError> {
        Ok(lists::visit_conversions(&self.state(), question, visits))
    }

    fn visitors_page(&self, question: &ListQuestion) -> Result<Vec<VisitorSummary>, StoreError> {
        Ok(lists::visitors_page(&self.state(), question))
    }

    fn people_page(&self, question: &ListQuestion) -> Result<Vec<PersonSummary>, StoreError> {
        Ok(lists::people_page(&self.state(), question))
    }

    fn timeline(
        &self,
        site_id: SiteId,
        whose: Whose,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(lists::timeline(&self.state(), site_id, whose, before, limit))
    }

    fn events_page(
        &self,
        question: &cairn_model::question::EventsQuestion,
    ) -> Result<Vec<crate::StoredEvent>, StoreError> {
        Ok(walk::events_page(&self.state(), question))
    }

    fn touch_paths(
        &self,
        question: &cairn_model::question::AttributionQuestion,
    ) -> Result<cairn_model::touches::TouchPaths, StoreError> {
        Ok(touches::touch_paths(&self.state(), question))
    }

    fn first_event_ms(&self, site_id: SiteId) -> Result<Option<i64>, StoreError> {
        let state = self.state();
        let of_site = state.rows.iter().filter(|row| row.event.site_id == site_id);
        Ok(of_site.map(|row| row.event.timestamp_ms).min())
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn freeze(&self) -> Result<Vec<FrozenFile>, StoreError> {
        Ok(Vec::new())
    }

    fn size_bytes(&self) -> u64 {
        0
    }

    fn delete_site(&self, site_id: SiteId) -> Result<(), StoreError> {
        self.erasing("deletes a site")?;
        let mut state = self.state_mut();
        state.rows.retain(|row| row.event.site_id != site_id);
        state.sessions.retain(|session| session.site_id != site_id);
        state.outcomes.retain(|count| count.site_id != site_id);
        Ok(())
    }

    fn visitors_of_user(
        &self,
        site_id: SiteId,
        user_key: u64,
        limit: usize,
    ) -> Result<Vec<VisitorId>, StoreError> {
        Ok(erase::distinct(&self.state(), site_id, limit, |event| {
            (event.user_key == user_key).then_some(event.visitor_id)
        }))
    }

    fn users_of_visitor(
        &self,
        site_id: SiteId,
        visitor_id: VisitorId,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        Ok(erase::distinct(&self.state(), site_id, limit, |event| {
            (event.visitor_id == visitor_id && event.user_key != 0).then_some(event.user_key)
        }))
    }

    fn people_of_order(
        &self,
        site_id: SiteId,
        order_id: &str,
        limit: usize,
    ) -> Result<Vec<(VisitorId, u64)>, StoreError> {
        Ok(erase::distinct(&self.state(), site_id, limit, |event| {
            let is_wanted = !order_id.is_empty() && event.order_id == order_id;
            is_wanted.then_some((event.visitor_id, event.user_key))
        }))
    }

    fn subject_summary(&self, subject: &Subject) -> Result<SubjectSummary, StoreError> {
        Ok(erase::summary(&self.state(), subject))
    }

    fn subject_events(
        &self,
        subject: &Subject,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(erase::events(&self.state(), subject, before, limit))
    }

    fn browsers_of_users(
        &self,
        subject: &Subject,
        limit: usize,
    ) -> Result<UsersBrowsers, StoreError> {
        Ok(erase::browsers_of_users(&self.state(), subject, limit))
    }

    fn events_of_subjects(&self, subjects: &[Subject]) -> Result<Vec<u64>, StoreError> {
        Ok(erase::events_of_subjects(&self.state(), subjects))
    }

    fn erase_subjects(&self, subjects: &[Subject]) -> Result<ErasedSubjects, StoreError> {
        self.erasing("erases subjects")?;
        Ok(erase::subjects(&mut self.state_mut(), subjects))
    }

    fn erase_received_before(
        &self,
        site_id: SiteId,
        received_ms: i64,
        events_max: u64,
    ) -> Result<ErasedRows, StoreError> {
        self.erasing("removes old events")?;
        let mut state = self.state_mut();
        Ok(erase::received_before(&mut state, site_id, received_ms, events_max))
    }

    fn oldest_received_ms(&self, site_id: SiteId) -> Result<Option<i64>, StoreError> {
        let state = self.state();
        let of_site = state.rows.iter().filter(|row| row.event.site_id == site_id);
        Ok(of_site.map(|row| row.event.received_at_ms).min())
    }

    fn erased_since_ms(&self) -> Option<i64> {
        Some(self.erased_since_ms.load(Ordering::Acquire)).filter(|since_ms| *since_ms != 0)
    }

    fn rewrite_erased(&self) -> Result<Rewritten, StoreError> {
        refuse_while_told(&self.rewriting_refusals, "rewrites its file")?;
        let less = |steps: u32| steps.checked_sub(1);
        if self.rewriting_steps.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok() {
            return Ok(Rewritten::default());
        }
        self.erased_since_ms.store(0, Ordering::Release);
        let events = self.state().rows.len() as u64;
        Ok(Rewritten { events, is_complete: true, ..Rewritten::default() })
    }
}

fn refuse_while_told(refusals: &AtomicU32, doing: &'static str) -> Result<(), StoreError> {
    let less = |refusals: u32| refusals.checked_sub(1);
    match refusals.fetch_update(Ordering::AcqRel, Ordering::Acquire, less) {
        Ok(_) => Err(StoreError::Unavailable { doing, cause: "it was told to".to_owned() }),
        Err(_) => Ok(()),
    }
}

/// The event without what never enters the event store, owned.
fn as_stored(row: &Row<'_>) -> cairn_model::Event<'static> {
    let mut event = row.event.clone().into_owned();
    event.user_id = "".into();
    event.traits = "".into();
    event
}
