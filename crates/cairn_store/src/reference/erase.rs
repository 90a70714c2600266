//! Finding and deleting what is kept of somebody, and what is too old: by walking over all of it.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::{Event, Session, SiteId, Subject, VisitorId};

use super::State;
use crate::{ErasedRows, ErasedSubjects, Row, StoredEvent, SubjectSummary, UsersBrowsers};

fn is_of(subject: &Subject, event: &Event<'_>) -> bool {
    subject.names(event.site_id, event.visitor_id, event.user_key)
}

/// Distinct values of the site's events, in order.
pub(super) fn distinct<T: Ord>(
    state: &State,
    site_id: SiteId,
    limit: usize,
    value: impl Fn(&Event<'_>) -> Option<T>,
) -> Vec<T> {
    let events = state.rows.iter().map(|row| &row.event);
    let of_site = events.filter(|event| event.site_id == site_id);
    let values: BTreeSet<T> = of_site.filter_map(value).collect();
    values.into_iter().take(limit).collect()
}

pub(super) fn summary(state: &State, subject: &Subject) -> SubjectSummary {
    let rows: Vec<&Row<'static>> =
        state.rows.iter().filter(|row| is_of(subject, &row.event)).collect();
    let mut names = BTreeMap::<String, u64>::new();
    for row in &rows {
        *names.entry(row.event.name.to_string()).or_default() += 1;
    }
    let visits = rows.iter().map(|row| row.session_id).filter(|visit| *visit != 0);
    let times = || rows.iter().map(|row| row.event.timestamp_ms);
    SubjectSummary {
        events: rows.len() as u64,
        visits: visits.collect::<BTreeSet<u64>>().len() as u64,
        first_ms: times().min(),
        last_ms: times().max(),
        names: names.into_iter().collect(),
    }
}

pub(super) fn events(
    state: &State,
    subject: &Subject,
    before: Option<u64>,
    limit: usize,
) -> Vec<StoredEvent> {
    let is_of = |row: &Row<'_>| is_of(subject, &row.event);
    super::lists::events_of(state, subject.site_id, is_of, before, limit)
}

fn place_of(subjects: &[Subject], event: &Event<'_>) -> Option<usize> {
    subjects.iter().position(|subject| is_of(subject, event))
}

pub(super) fn events_of_subjects(state: &State, subjects: &[Subject]) -> Vec<u64> {
    let mut counts = vec![0; subjects.len()];
    for place in state.rows.iter().filter_map(|row| place_of(subjects, &row.event)) {
        counts[place] += 1;
    }
    counts
}

pub(super) fn browsers_of_users(state: &State, subject: &Subject, limit: usize) -> UsersBrowsers {
    let mut named = BTreeMap::<VisitorId, BTreeSet<u64>>::new();
    let events = state.rows.iter().map(|row| &row.event);
    for event in events.filter(|it| it.site_id == subject.site_id && it.user_key != 0) {
        named.entry(event.visitor_id).or_default().insert(event.user_key);
    }
    let mut found = UsersBrowsers::default();
    for (visitor, users) in named {
        let is_named = users.iter().any(|user| subject.users.contains(user));
        if !is_named || subject.visitors.contains(&visitor) {
            continue;
        }
        match users.iter().all(|user| subject.users.contains(user)) {
            true => found.alone.push(visitor),
            false => found.shared.push(visitor),
        }
    }
    found.alone.truncate(limit);
    found.shared.truncate(limit);
    found
}

pub(super) fn subjects(state: &mut State, subjects: &[Subject]) -> ErasedSubjects {
    let all = Subject::union(subjects);
    let site_id = all.site_id;
    let shared: BTreeSet<VisitorId> = state
        .rows
        .iter()
        .map(|row| &row.event)
        .filter(|event| event.site_id == site_id && all.users.contains(&event.user_key))
        .map(|event| event.visitor_id)
        .filter(|visitor| !all.visitors.contains(visitor))
        .collect();
    let is_of_site = |session: &&Session| session.site_id == site_id;
    let own = state.sessions.iter().filter(is_of_site).filter_map(|session| {
        let place = subjects.iter().position(|one| one.visitors.contains(&session.visitor_id));
        Some((session.session_id, place?))
    });
    let rows = state.rows.iter();
    let of_events = rows.filter_map(|row| Some((row.session_id, place_of(subjects, &row.event)?)));
    let mut first = BTreeMap::<u64, usize>::new();
    for (session_id, place) in own.chain(of_events) {
        let known = first.entry(session_id).or_insert(place);
        *known = place.min(*known);
    }
    let touched = delete(
        state,
        |row| is_of(&all, &row.event),
        |session| session.site_id == site_id && all.visitors.contains(&session.visitor_id),
    );
    let mut visits = vec![0; subjects.len()];
    for session_id in delete_visits(state, &touched.visits, |_| true) {
        visits[first[&session_id]] += 1;
    }
    recount(state, &touched.visits);
    ErasedSubjects { events: touched.events, visits, shared: shared.into_iter().collect() }
}

pub(super) fn received_before(
    state: &mut State,
    site_id: SiteId,
    received_ms: i64,
    events_max: u64,
) -> ErasedRows {
    let is_old = |event: &Event<'_>| event.site_id == site_id && event.received_at_ms < received_ms;
    let old: BTreeSet<u64> = state
        .rows
        .iter()
        .filter(|row| is_old(&row.event))
        .map(|row| row.offset)
        .take(usize::try_from(events_max).unwrap_or(usize::MAX))
        .collect();
    let is_over =
        |session: &Session| session.site_id == site_id && session.last_received_ms < received_ms;
    let touched = delete(state, |row| old.contains(&row.offset), is_over);
    let visits = delete_visits(state, &touched.visits, is_over).len() as u64;
    ErasedRows { events: touched.events, visits }
}

struct Touched {
    events: u64,
    visits: BTreeSet<u64>,
}

fn delete(
    state: &mut State,
    is_event: impl Fn(&Row<'static>) -> bool,
    is_visit: impl Fn(&Session) -> bool,
) -> Touched {
    let visits = state.sessions.iter().filter(|session| is_visit(session));
    let mut touched =
        Touched { events: 0, visits: visits.map(|session| session.session_id).collect() };
    state.rows.retain(|row| {
        let is_gone = is_event(row);
        if is_gone {
            touched.events += 1;
            touched.visits.extend((row.session_id != 0).then_some(row.session_id));
        }
        !is_gone
    });
    touched
}

/// Events in the order of their arrival that happened in this visit.
fn happened(state: &State, session_id: u64) -> Vec<&Event<'static>> {
    let rows = state.rows.iter().filter(|row| row.session_id == session_id);
    rows.map(|row| &row.event).filter(|event| !event.is_engagement()).collect()
}

fn delete_visits(
    state: &mut State,
    touched: &BTreeSet<u64>,
    condition: impl Fn(&Session) -> bool,
) -> BTreeSet<u64> {
    let emptied: BTreeSet<u64> = state
        .sessions
        .iter()
        .filter(|session| touched.contains(&session.session_id) && condition(session))
        .map(|session| session.session_id)
        .filter(|session_id| happened(state, *session_id).is_empty())
        .collect();
    state.sessions.retain(|session| !emptied.contains(&session.session_id));
    for row in &mut state.rows {
        if emptied.contains(&row.session_id) {
            row.session_id = 0;
        }
    }
    emptied
}

fn recount(state: &mut State, touched: &BTreeSet<u64>) {
    let mut sessions = std::mem::take(&mut state.sessions);
    for session in sessions.iter_mut().filter(|one| touched.contains(&one.session_id)) {
        let rows = state.rows.iter().filter(|row| row.session_id == session.session_id);
        let all: Vec<&Event<'static>> = rows.map(|row| &row.event).collect();
        let happened = happened(state, session.session_id);
        let pages: Vec<_> = happened.iter().filter(|event| event.is_page_view()).collect();
        let of = |place: Option<&&&Event<'static>>| {
            place.map_or_else(Default::default, |event| {
                (event.hostname.to_string(), event.path.to_string())
            })
        };
        (session.entry_hostname, session.entry_page) = of(pages.first());
        (session.exit_hostname, session.exit_page) = of(pages.last());
        session.pageviews = u32::try_from(pages.len()).unwrap_or(u32::MAX);
        session.events = u32::try_from(happened.len()).unwrap_or(u32::MAX);
        let time = |event: Option<&&Event<'static>>| event.map(|event| event.timestamp_ms);
        session.started_at_ms = time(happened.first()).unwrap_or(session.started_at_ms);
        session.ended_at_ms = time(happened.last()).unwrap_or(session.ended_at_ms);
        let latest = all.iter().map(|event| event.timestamp_ms).max();
        session.last_activity_ms = latest.unwrap_or(session.last_activity_ms);
        let received = all.iter().map(|event| event.received_at_ms).max();
        session.last_received_ms = received.unwrap_or(session.last_received_ms);
    }
    state.sessions = sessions;
}
