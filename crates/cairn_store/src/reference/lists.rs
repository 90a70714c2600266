//! Lists of visits, of visitors and of people, the latest first, and what visits brought.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use cairn_model::question::ListQuestion;
use cairn_model::question::lists::{PersonSummary, VisitConversions, VisitorSummary, Whose};
use cairn_model::{Session, SiteId};

use super::State;
use super::orders::Purchase;
use super::walk::{Walk, stored};
use crate::plan::Plan;
use crate::{Row, StoredEvent};

/// The entries of a page, by time and number.
fn page<T>(asked: &ListQuestion, mut entries: Vec<T>, place: impl Fn(&T) -> (i64, u64)) -> Vec<T> {
    entries.retain(|entry| asked.before().is_none_or(|before| place(entry) < before));
    entries.sort_by_key(|entry| Reverse(place(entry)));
    entries.truncate(asked.limit());
    entries
}

/// A page of visits.
pub(super) fn visits_page(state: &State, asked: &ListQuestion) -> Vec<Session> {
    let question = asked.question();
    let walk = Walk::over(state, question);
    let kept = walk.kept_visits(&question.filters, Plan::of(question).engagement);
    let visits = kept.into_iter().cloned().collect();
    page(asked, visits, |visit: &Session| (visit.started_at_ms, visit.session_id))
}

/// What visits brought.
pub(super) fn visit_conversions(
    state: &State,
    asked: &ListQuestion,
    visits: &[u64],
) -> Vec<VisitConversions> {
    let question = asked.question();
    let walk = Walk::over(state, question);
    let mut wanted = visits.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let brought = wanted.into_iter().map(|session_id| {
        let own = || walk.events.iter().filter(|one| one.row.session_id == session_id);
        let converts = |index: &usize| {
            own().any(|happening| walk.converts(&question.goals[*index], *happening))
        };
        let goals = (0..question.goals.len()).filter(converts).collect();
        let (mut orders, mut sums) = (0, BTreeMap::<String, i128>::new());
        for happening in own() {
            let Some(purchase) = Purchase::of(state, question, *happening) else { continue };
            if purchase.repeats {
                continue;
            }
            orders += 1;
            if let Some((minor, given)) = purchase.own {
                *sums.entry(happening.row.event.currency.to_string()).or_default() +=
                    i128::from(minor) - i128::from(given);
            }
        }
        let bounded = |sum: i128| sum.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        let revenue = sums.into_iter().map(|(currency, sum)| (currency, bounded(sum))).collect();
        VisitConversions { session_id, goals, orders, revenue }
    });
    brought.filter(|visit| !visit.goals.is_empty() || visit.orders > 0).collect()
}

/// A page of visitors.
pub(super) fn visitors_page(state: &State, asked: &ListQuestion) -> Vec<VisitorSummary> {
    let question = asked.question();
    let walk = Walk::over(state, question);
    let mut visitors: BTreeMap<u64, Vec<&Session>> = BTreeMap::new();
    for visit in walk.kept_visits(&question.filters, Plan::of(question).engagement) {
        visitors.entry(visit.visitor_id.0).or_default().push(visit);
    }
    let summary = |visits: Vec<&Session>| {
        let last_visit = visits.iter().max_by_key(|visit| visit.session_id)?;
        Some(VisitorSummary {
            visits: visits.len() as u64,
            pageviews: visits.iter().map(|visit| u64::from(visit.pageviews)).sum(),
            events: visits.iter().map(|visit| u64::from(visit.events)).sum(),
            first_ms: visits.iter().map(|visit| visit.started_at_ms).min()?,
            last_ms: visits.iter().map(|visit| visit.ended_at_ms).max()?,
            last_visit: Session::clone(last_visit),
        })
    };
    let visitors = visitors.into_values().filter_map(summary).collect();
    page(asked, visitors, |visitor: &VisitorSummary| {
        (visitor.last_ms, visitor.last_visit.visitor_id.0)
    })
}

/// A page of people.
pub(super) fn people_page(state: &State, asked: &ListQuestion) -> Vec<PersonSummary> {
    let question = asked.question();
    let walk = Walk::over(state, question);
    let kept = walk.kept_events(&question.filters, Plan::of(question).engagement);
    let mut people: BTreeMap<u64, Vec<&Row<'static>>> = BTreeMap::new();
    for row in kept.iter().map(|happening| happening.row) {
        if row.event.user_key != 0 {
            people.entry(row.event.user_key).or_default().push(row);
        }
    }
    let summary = |(user_key, rows): (u64, Vec<&Row<'static>>)| {
        let visitors: BTreeSet<u64> = rows.iter().map(|row| row.event.visitor_id.0).collect();
        let visits: BTreeSet<u64> =
            rows.iter().map(|row| row.session_id).filter(|visit| *visit != 0).collect();
        let times = || rows.iter().map(|row| row.event.timestamp_ms);
        PersonSummary {
            user_key,
            visitors: visitors.len() as u64,
            visits: visits.len() as u64,
            events: rows.len() as u64,
            first_ms: times().min().unwrap_or_default(),
            last_ms: times().max().unwrap_or_default(),
        }
    };
    let people = people.into_iter().map(summary).collect();
    page(asked, people, |person: &PersonSummary| (person.last_ms, person.user_key))
}

/// Events of a site that fulfil a condition, newest first.
pub(super) fn events_of(
    state: &State,
    site_id: SiteId,
    is_wanted: impl Fn(&Row<'_>) -> bool,
    before: Option<u64>,
    limit: usize,
) -> Vec<StoredEvent> {
    let wanted = |row: &&Row<'static>| {
        row.event.site_id == site_id
            && is_wanted(row)
            && before.is_none_or(|before| row.offset < before)
    };
    state.rows.iter().rev().filter(wanted).take(limit).map(stored).collect()
}

/// Events of an entry of a list, newest first.
pub(super) fn timeline(
    state: &State,
    site_id: SiteId,
    whose: Whose,
    before: Option<u64>,
    limit: usize,
) -> Vec<StoredEvent> {
    let is_own =
        |visit: &&Session| visit.site_id == site_id && Whose::Visitor(visit.visitor_id) == whose;
    let visits = state.sessions.iter().filter(is_own);
    let first = visits.map(|visit| visit.session_id).min();
    let wanted = |row: &Row<'_>| match whose {
        _ if whose.number() == 0 => false,
        Whose::Visit(session_id) => row.session_id == session_id,
        Whose::Person(user_key) => row.event.user_key == user_key,
        Whose::Visitor(visitor_id) => {
            row.event.visitor_id == visitor_id && first.is_some_and(|first| row.offset >= first)
        }
    };
    events_of(state, site_id, wanted, before, limit)
}
