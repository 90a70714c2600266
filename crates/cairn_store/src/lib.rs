//! The event store: one trait, one schema, two backends.
//!
//! Guarantees: rows, visits, outcome counts and the watermark of one [`Batch`] become visible and durable together or
//! not at all; a batch at or below the watermark is refused, so nothing is stored twice. Every backend passes
//! `contract.rs`, and random questions on random events get equal answers from all of them.
//! It does not know HTTP, consent or the log. Direct identifiers (user id, e-mail, traits, address) never get here.

#[cfg(test)]
mod contract;
mod error;
pub mod event_ids;
mod frozen;
pub mod plan;
pub mod reference;
pub mod schema;

#[cfg(feature = "duckdb")]
pub mod duckdb;

pub use error::{Limit, StoreError};
pub use frozen::FrozenFile;

use std::sync::Arc;

use cairn_model::question::funnel::FunnelAnswer;
use cairn_model::question::journey::JourneyAnswer;
use cairn_model::question::lists::{PersonSummary, VisitConversions, VisitorSummary, Whose};
use cairn_model::question::retention::RetentionAnswer;
use cairn_model::question::{
    AttributionQuestion, EventsQuestion, FunnelQuestion, JourneyQuestion, ListQuestion,
    RetentionQuestion,
};
use cairn_model::session::{Attribute, Attributes};
use cairn_model::touches::TouchPaths;
use cairn_model::{Answer, Event, Outcome, Question, Session, SiteId, Subject, VisitorId};

/// How far the log has been applied. Committed with the rows it speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Watermark {
    /// Offset of the last record applied; 0 = none.
    pub offset: u64,
    /// The log's clock there: the greatest `received_at_ms` seen.
    pub received_at_ms: i64,
}

/// One event with the visit it belongs to.
#[derive(Clone, PartialEq, Debug)]
pub struct Row<'a> {
    /// Its offset in the log.
    pub offset: u64,
    /// Its visit (`Session::session_id`); 0 = none (engagement without an open visit).
    pub session_id: u64,
    /// The visit's frozen attributes, which the row carries instead of the event's own.
    pub attributes: Arc<Attributes>,
    /// The event.
    pub event: Event<'a>,
}

/// A visit as it is after the batch.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionChange {
    /// Its new state.
    pub session: Session,
    /// The store holds an earlier state of it, which this one replaces.
    pub replaces: bool,
    /// No event of it so far, and no state that the store holds of it, is of an earlier time. Unix milliseconds.
    pub earliest_ms: i64,
}

impl SessionChange {
    /// A visit of which no state had an end that was earlier than now.
    pub fn new(session: Session, replaces: bool) -> Self {
        let earliest_ms = session.started_at_ms.min(session.ended_at_ms);
        SessionChange { session, replaces, earliest_ms }
    }
}

/// Hits of one site that ended with one outcome, in one hour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutcomeCount {
    /// The site.
    pub site_id: SiteId,
    /// Start of the hour, Unix milliseconds.
    pub hour_ms: i64,
    /// The outcome.
    pub outcome: Outcome,
    /// How many more.
    pub count: u64,
}

/// What one commit writes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Batch<'a> {
    /// Events, by rising offset.
    pub rows: Vec<Row<'a>>,
    /// Visits begun or changed, each once.
    pub sessions: Vec<SessionChange>,
    /// Outcomes decided while applying (accepted, or duplicate found late).
    pub outcomes: Vec<OutcomeCount>,
    /// The watermark afterwards.
    pub watermark: Watermark,
}

/// Asks for the visits of one visitor that an event at `timestamp_ms` could belong to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SessionProbe {
    /// The site.
    pub site_id: SiteId,
    /// The visitor.
    pub visitor_id: VisitorId,
    /// Visits are wanted whose span, widened by `reach_ms` on both sides, holds this time.
    pub timestamp_ms: i64,
    /// Not 0: the visit with this number of the import's own is wanted, whenever it was.
    pub session_key: u64,
}

/// A stretch of time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    /// Its first instant, Unix milliseconds.
    pub from_ms: i64,
    /// The first instant after it.
    pub until_ms: i64,
}

impl Span {
    /// Whether another one lies in it.
    pub fn covers(self, other: Span) -> bool {
        self.from_ms <= other.from_ms && other.until_ms <= self.until_ms
    }
}

/// When a pixel reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PixelActivity {
    /// Arrival of its first event.
    pub first_received_ms: Option<i64>,
    /// Arrival of its latest event.
    pub last_received_ms: Option<i64>,
    /// Events that arrived since the instant asked for.
    pub events_since: u64,
}

/// A stored event, as it is read back: its source, place and device are those of its visit.
#[derive(Clone, PartialEq, Debug)]
pub struct StoredEvent {
    /// Its offset in the log; where the next page begins.
    pub offset: u64,
    /// Its visit; 0 = none.
    pub session_id: u64,
    /// The event, without what the store does not keep (keys, user id, traits, session number of an import).
    pub event: Event<'static>,
}

/// What is kept of a subject.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SubjectSummary {
    /// Its events.
    pub events: u64,
    /// Visits that any of them belongs to.
    pub visits: u64,
    /// When the earliest of them happened, Unix milliseconds.
    pub first_ms: Option<i64>,
    /// When the latest of them happened.
    pub last_ms: Option<i64>,
    /// How many of each name, by name.
    pub names: Vec<(String, u64)>,
}

/// Rows that were deleted since they are too old.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ErasedRows {
    /// Events.
    pub events: u64,
    /// Visits that were left without any event.
    pub visits: u64,
}

/// Rows that were deleted since they are of some subjects.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ErasedSubjects {
    /// Events of all of them.
    pub events: u64,
    /// Visits that were left without any event, by subject: one that several took part in is the first one's.
    pub visits: Vec<u64>,
    /// Visitors of the subjects' users that are somebody else's as well: they keep the rest of their visits.
    pub shared: Vec<VisitorId>,
}

/// Browsers whose events name some users.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UsersBrowsers {
    /// They name nobody else, by rising number.
    pub alone: Vec<VisitorId>,
    /// They name others as well, by rising number.
    pub shared: Vec<VisitorId>,
}

/// What a step of rewriting did to the store's files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rewritten {
    /// Events that were written anew so far.
    pub events: u64,
    /// Bytes of the old file that were overwritten.
    pub overwritten_bytes: u64,
    /// No file holds anything of what was deleted; otherwise there are more steps.
    pub is_complete: bool,
}

/// Where events are kept and questions are answered.
pub trait EventStore: Send + Sync {
    /// The committed watermark.
    fn watermark(&self) -> Result<Watermark, StoreError>;

    /// Writes a batch, all or nothing, durably. Refuses one whose watermark does not rise.
    fn commit(&self, batch: &Batch<'_>) -> Result<(), StoreError>;

    /// Visits that the probes ask for, each once, in no particular order.
    fn sessions_near(
        &self,
        probes: &[SessionProbe],
        reach_ms: i64,
    ) -> Result<Vec<Session>, StoreError>;

    /// Visits whose latest event arrived at or after `received_ms`: what the memory holds after a restart.
    /// At most `visits_max` of them, those with the latest arrivals.
    fn sessions_active_since(
        &self,
        received_ms: i64,
        visits_max: usize,
    ) -> Result<Vec<Session>, StoreError>;

    /// Calls `each(offset, event_key, received_at_ms)` for events after `offset` that have a key, by rising offset.
    fn event_keys_after(
        &self,
        offset: u64,
        each: &mut dyn FnMut(u64, u128, i64),
    ) -> Result<(), StoreError>;

    /// Outcomes that applying decided for a site since an instant (whole hours), summed.
    fn outcomes_since(
        &self,
        site_id: SiteId,
        since_ms: i64,
    ) -> Result<Vec<(Outcome, u64)>, StoreError>;

    /// When each pixel of the site reported; only pixels that did.
    fn pixel_activity(
        &self,
        site_id: SiteId,
        since_ms: i64,
    ) -> Result<Vec<(cairn_model::PixelId, PixelActivity)>, StoreError>;

    /// How many events of each pixel of the site arrived in each slot; only pixels with any. A slot begins at its entry
    /// of `starts_ms`, which rise, and ends where the next one begins; the last has no end.
    fn pixel_counts(
        &self,
        site_id: SiteId,
        starts_ms: &[i64],
    ) -> Result<Vec<(cairn_model::PixelId, Vec<u64>)>, StoreError>;

    /// Events of bots that arrived since an instant, by the reason for calling them so, in the reasons' order.
    fn bots_since(&self, site_id: SiteId, since_ms: i64) -> Result<Vec<(String, u64)>, StoreError>;

    /// Key of a user other than `user_key` whom an event of this visitor names, if there is one.
    fn other_user_of(
        &self,
        site_id: SiteId,
        visitor_id: VisitorId,
        user_key: u64,
    ) -> Result<Option<u64>, StoreError>;

    /// Answers a question of the query language.
    fn ask(&self, question: &Question) -> Result<Answer, StoreError>;

    /// Answers those of several questions that cost much less together than one after the other, all from one state; `None`
    /// for the others, which are to be asked alone.
    fn ask_together(&self, questions: &[Question]) -> Result<Vec<Option<Answer>>, StoreError> {
        Ok(vec![None; questions.len()])
    }

    /// Sums up a stretch of a site's time that is over, so that questions over it need not read its rows; answers stay the same.
    /// Whatever changes the stretch later forgets the sum, and it may be made again. False: it changed meanwhile.
    fn roll_up(&self, site_id: SiteId, span: Span) -> Result<bool, StoreError>;

    /// How many events a site has.
    fn count_events(&self, site_id: SiteId) -> Result<u64, StoreError>;

    /// Stretches of a site that are summed up, in order of time.
    fn rolled_up(&self, site_id: SiteId) -> Vec<Span>;

    /// Forgets what was summed up of a site: it can be made again.
    fn forget_rollups(&self, site_id: SiteId) -> Result<(), StoreError>;

    /// Answers how far visitors got along the steps of a funnel.
    fn funnel(&self, question: &FunnelQuestion) -> Result<FunnelAnswer, StoreError>;

    /// Answers where visits went from a place, or came from.
    fn journeys(&self, question: &JourneyQuestion) -> Result<JourneyAnswer, StoreError>;

    /// Answers who came back.
    fn retention(&self, question: &RetentionQuestion) -> Result<RetentionAnswer, StoreError>;

    /// The paths to a site's conversions, by [`cairn_model::touches`].
    fn touch_paths(&self, question: &AttributionQuestion) -> Result<TouchPaths, StoreError>;

    /// Currencies that a site's events have, each once.
    fn currencies(&self, site_id: SiteId) -> Result<Vec<String>, StoreError>;

    /// How an attribute is written in a site's events, of these texts in small letters (`filters::folded`).
    fn spellings(
        &self,
        site_id: SiteId,
        attribute: Attribute,
        folded: &[String],
    ) -> Result<Vec<String>, StoreError>;

    /// Visits that pass, by start and number, the latest first.
    fn visits_page(&self, question: &ListQuestion) -> Result<Vec<Session>, StoreError>;

    /// What some visits brought in the question's range, by rising number; only those that brought anything.
    fn visit_conversions(
        &self,
        question: &ListQuestion,
        visits: &[u64],
    ) -> Result<Vec<VisitConversions>, StoreError>;

    /// Visitors of visits that pass, by the end of their last one and number, the latest first.
    fn visitors_page(&self, question: &ListQuestion) -> Result<Vec<VisitorSummary>, StoreError>;

    /// People whom events that pass name, by their last one and number, the latest first.
    fn people_page(&self, question: &ListQuestion) -> Result<Vec<PersonSummary>, StoreError>;

    /// Events of an entry of a list, newest (highest offset) first, those below `before` if it is given.
    fn timeline(
        &self,
        site_id: SiteId,
        whose: Whose,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// Stored events that pass, newest (highest offset) first.
    fn events_page(&self, question: &EventsQuestion) -> Result<Vec<StoredEvent>, StoreError>;

    /// When the site's earliest event happened, Unix milliseconds.
    fn first_event_ms(&self, site_id: SiteId) -> Result<Option<i64>, StoreError>;

    /// Moves what is in the write-ahead file into the database file.
    fn checkpoint(&self) -> Result<(), StoreError>;

    /// Makes a checkpoint, and gives the files that hold everything up to it. They do so until the next checkpoint,
    /// whatever is committed meanwhile; a store in memory has none.
    fn freeze(&self) -> Result<Vec<FrozenFile>, StoreError>;

    /// Bytes in all files of the store.
    fn size_bytes(&self) -> u64;

    /// Removes everything of a site. Its bytes leave the files with [`EventStore::rewrite_erased`].
    fn delete_site(&self, site_id: SiteId) -> Result<(), StoreError>;

    /// Visitors whose events name this user; at most `limit`.
    fn visitors_of_user(
        &self,
        site_id: SiteId,
        user_key: u64,
        limit: usize,
    ) -> Result<Vec<VisitorId>, StoreError>;

    /// Users whom events of this visitor name; at most `limit`.
    fn users_of_visitor(
        &self,
        site_id: SiteId,
        visitor_id: VisitorId,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError>;

    /// Visitors and users (0 = none) of the events with this order; at most `limit` pairs.
    fn people_of_order(
        &self,
        site_id: SiteId,
        order_id: &str,
        limit: usize,
    ) -> Result<Vec<(VisitorId, u64)>, StoreError>;

    /// What is kept of a subject.
    fn subject_summary(&self, subject: &Subject) -> Result<SubjectSummary, StoreError>;

    /// Events of a subject, newest (highest offset) first, those below `before` if it is given.
    fn subject_events(
        &self,
        subject: &Subject,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// Browsers whose events name users of a subject, without the subject's own; at most `limit` of each kind.
    fn browsers_of_users(
        &self,
        subject: &Subject,
        limit: usize,
    ) -> Result<UsersBrowsers, StoreError>;

    /// How many events each of some subjects of one site has, with one look at all of them; an event of several of them is the
    /// first one's.
    fn events_of_subjects(&self, subjects: &[Subject]) -> Result<Vec<u64>, StoreError>;

    /// Deletes events of some subjects of one site, the visits that have none afterwards, and the site's texts that no row uses
    /// any more, in one transaction that costs about what it does for one of them. Visits that others share are counted again
    /// without them. Doing it twice changes nothing. No question finds any of it from then on; the bytes leave the files with
    /// [`EventStore::rewrite_erased`].
    fn erase_subjects(&self, subjects: &[Subject]) -> Result<ErasedSubjects, StoreError>;

    /// Deletes events of a site that arrived before an instant, and visits whose last event did; at most `events_max`
    /// events, the ones stored first.
    fn erase_received_before(
        &self,
        site_id: SiteId,
        received_ms: i64,
        events_max: u64,
    ) -> Result<ErasedRows, StoreError>;

    /// When the earliest event that is held of a site arrived, Unix milliseconds.
    fn oldest_received_ms(&self, site_id: SiteId) -> Result<Option<i64>, StoreError>;

    /// Since when files may hold bytes of rows that were deleted, Unix milliseconds of the machine's clock; `None`: they hold
    /// none. Survives a restart.
    fn erased_since_ms(&self) -> Option<i64>;

    /// One bounded step of bringing it about that no file holds the bytes of deleted rows. Whoever deletes between two steps
    /// makes it begin anew, and so does a crash.
    fn rewrite_erased(&self) -> Result<Rewritten, StoreError>;
}
