//! Lists of visits, of visitors and of people, the latest first, and what visits brought.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::question::ListQuestion;
use cairn_model::question::lists::{PersonSummary, VisitConversions, VisitorSummary, Whose};
use cairn_model::{Session, SiteId};

use super::events::events_where;
use super::orders::{OrderNames, ledger_of};
use super::predicate::Predicates;
use super::statement::all_of;
use crate::StoredEvent;
use crate::duckdb::connection::Connection;
use crate::duckdb::error::DuckError;
use crate::duckdb::sessions::{self, SESSION_COLUMNS};
use crate::duckdb::texts::{joined, texts_of};
use crate::plan::Plan;
use crate::schema::TextField;

/// What comes after the last entry of the page before.
fn after(asked: &ListQuestion, time: &str, number: &str) -> String {
    asked.before().map_or_else(
        || "TRUE".to_owned(),
        |(at, id)| format!("({time} < {at} OR ({time} = {at} AND {number} < {id}))"),
    )
}

/// A page of visits; see [`crate::EventStore::visits_page`].
pub(in crate::duckdb) fn visits_page(
    connection: &Connection,
    asked: &ListQuestion,
) -> Result<Vec<Session>, DuckError> {
    let question = asked.question();
    let mut predicates = Predicates::new(question);
    let kept = predicates.kept_visits(&question.filters, Plan::of(question).engagement);
    let after = after(asked, "started_at_ms", "session_id");
    let sql = format!(
        "SELECT {SESSION_COLUMNS} FROM (
            SELECT * FROM sessions WHERE {kept} AND {after}
            ORDER BY started_at_ms DESC, session_id DESC LIMIT {}) s
         ORDER BY s.started_at_ms DESC, s.session_id DESC",
        asked.limit()
    );
    sessions::read(connection, &sql, &predicates.parameters.values())
}

/// Visits by their numbers. The bounds let a scan skip what lies far from all of them.
fn among(visits: &[u64]) -> String {
    let (first, last) = (visits.iter().min(), visits.iter().max());
    match (first, last) {
        (Some(first), Some(last)) => format!(
            "session_id BETWEEN {first} AND {last} AND session_id IN ({})",
            joined(visits.iter())
        ),
        _ => "FALSE".to_owned(),
    }
}

/// What visits brought; see [`crate::EventStore::visit_conversions`].
pub(in crate::duckdb) fn visit_conversions(
    connection: &Connection,
    asked: &ListQuestion,
    visits: &[u64],
) -> Result<Vec<VisitConversions>, DuckError> {
    let mut found = BTreeMap::new();
    if visits.is_empty() {
        return Ok(Vec::new());
    }
    goals_of(connection, asked, visits, &mut found)?;
    orders_of(connection, asked, visits, &mut found)?;
    Ok(found.into_values().collect())
}

type Found = BTreeMap<u64, VisitConversions>;

fn entry(found: &mut Found, session_id: u64) -> &mut VisitConversions {
    found
        .entry(session_id)
        .or_insert_with(|| VisitConversions { session_id, ..VisitConversions::default() })
}

fn goals_of(
    connection: &Connection,
    asked: &ListQuestion,
    visits: &[u64],
    found: &mut Found,
) -> Result<(), DuckError> {
    let question = asked.question();
    if question.goals.is_empty() {
        return Ok(());
    }
    let mut predicates = Predicates::new(question);
    let converted = question.goals.iter().map(|goal| predicates.converts(goal));
    let converted: Vec<String> =
        converted.map(|converts| format!("coalesce(bool_or({converts}), FALSE)")).collect();
    let mut conditions = predicates.stored_in_range();
    conditions.push(among(visits));
    let sql = format!(
        "SELECT session_id, {} FROM events WHERE {} GROUP BY session_id",
        converted.join(", "),
        all_of(&conditions)
    );
    connection.query(&sql, &predicates.parameters.values())?.for_each(|row| {
        let session_id = row.get(0)?;
        for index in 0..question.goals.len() {
            if row.get(index + 1)? {
                entry(found, session_id).goals.push(index);
            }
        }
        Ok::<(), DuckError>(())
    })
}

fn orders_of(
    connection: &Connection,
    asked: &ListQuestion,
    visits: &[u64],
    found: &mut Found,
) -> Result<(), DuckError> {
    let question = asked.question();
    let mut predicates = Predicates::new(question);
    predicates.order_names = OrderNames::of(connection, question.site_id)?;
    let among = among(visits);
    let ledger = ledger_of(question, &mut predicates, &among);
    let mut conditions = predicates.stored_in_range();
    conditions.push(among);
    let currencies = texts_of(question.site_id.0, TextField::Currency);
    // A sender may say any amount: a sum beyond all bounds must not fail the whole page.
    let (least, most) = (i64::MIN, i64::MAX);
    let sql = format!(
        "SELECT session_id, coalesce(text, ''), orders,
                CASE WHEN minor IS NOT NULL
                    THEN greatest(least(minor, {most}), {least})::BIGINT END AS minor
         FROM (SELECT session_id, currency, count(*)::UBIGINT AS orders,
                    sum(own_minor::HUGEINT - own_refund_minor) AS minor
                FROM events JOIN ({ledger}) USING (event_offset)
                WHERE is_order AND {}
                GROUP BY session_id, currency)
            LEFT JOIN {currencies} ON code = currency
         ORDER BY session_id, 2",
        all_of(&conditions)
    );
    connection.query(&sql, &predicates.parameters.values())?.for_each(|row| {
        let visit = entry(found, row.get(0)?);
        visit.orders += row.get::<u64>(2)?;
        if let Some(minor) = row.optional(3)? {
            visit.revenue.push((row.get(1)?, minor));
        }
        Ok::<(), DuckError>(())
    })
}

/// Visits looked at for each visitor of a page, before all of the range are grouped.
const VISITS_PER_VISITOR: usize = 4;

/// A page of visitors; see [`crate::EventStore::visitors_page`].
pub(in crate::duckdb) fn visitors_page(
    connection: &Connection,
    asked: &ListQuestion,
) -> Result<Vec<VisitorSummary>, DuckError> {
    let (latest, complete_after_ms) = latest_visitors(connection, asked)?;
    let mut visitors = visitors_of(connection, asked, &latest)?;
    if let Some(complete_after_ms) = complete_after_ms {
        visitors.retain(|visitor| visitor.last_ms > complete_after_ms);
        if visitors.len() < asked.limit() {
            visitors = visitors_of(connection, asked, "TRUE")?;
        }
    }
    let numbers: Vec<u64> = visitors.iter().map(|visitor| visitor.last_visit).collect();
    let sql = format!(
        "SELECT {SESSION_COLUMNS} FROM sessions s WHERE site_id = {} AND {}",
        asked.question().site_id,
        among(&numbers)
    );
    let read = sessions::read(connection, &sql, &[])?;
    let mut last: BTreeMap<u64, Session> =
        read.into_iter().map(|visit| (visit.session_id, visit)).collect();
    let summary = |visitor: Grouped| {
        let Grouped { visits, pageviews, events, first_ms, last_ms, last_visit } = visitor;
        let last_visit = last.remove(&last_visit)?;
        Some(VisitorSummary { visits, pageviews, events, first_ms, last_ms, last_visit })
    };
    Ok(visitors.into_iter().filter_map(summary).collect())
}

/// Whose visits ended last, as a condition, and the time after which nobody else's last visit ended (none: at any time).
/// Most pages are found among them, and the visits of millions of others need not be grouped.
fn latest_visitors(
    connection: &Connection,
    asked: &ListQuestion,
) -> Result<(String, Option<i64>), DuckError> {
    let question = asked.question();
    let mut predicates = Predicates::new(question);
    let kept = predicates.kept_visits(&question.filters, Plan::of(question).engagement);
    let until =
        asked.before().map_or_else(String::new, |(at, _)| format!("AND ended_at_ms <= {at}"));
    let visits_max = asked.limit() * VISITS_PER_VISITOR;
    let sql = format!(
        "SELECT visitor_id, ended_at_ms FROM sessions WHERE {kept} {until}
         ORDER BY ended_at_ms DESC LIMIT {visits_max}"
    );
    let (mut visitors, mut visits, mut earliest_ms) = (BTreeSet::new(), 0, i64::MAX);
    connection.query(&sql, &predicates.parameters.values())?.for_each(|row| {
        visitors.insert(row.get::<u64>(0)?);
        earliest_ms = earliest_ms.min(row.get(1)?);
        visits += 1;
        Ok::<(), DuckError>(())
    })?;
    let is_cut = visits == visits_max;
    let of_them = match visitors.is_empty() {
        true => "FALSE".to_owned(),
        false => format!("visitor_id IN ({})", joined(visitors.iter())),
    };
    Ok((of_them, is_cut.then_some(earliest_ms)))
}

/// Visits of one visitor, grouped.
struct Grouped {
    visits: u64,
    pageviews: u64,
    events: u64,
    first_ms: i64,
    last_ms: i64,
    last_visit: u64,
}

fn visitors_of(
    connection: &Connection,
    asked: &ListQuestion,
    condition: &str,
) -> Result<Vec<Grouped>, DuckError> {
    let question = asked.question();
    let mut predicates = Predicates::new(question);
    let kept = predicates.kept_visits(&question.filters, Plan::of(question).engagement);
    let after = after(asked, "last_ms", "visitor_id");
    let sql = format!(
        "SELECT count(*)::UBIGINT, sum(pageviews)::UBIGINT, sum(events)::UBIGINT,
                min(started_at_ms), max(ended_at_ms) AS last_ms, max(session_id)
         FROM sessions WHERE {kept} AND {condition}
         GROUP BY visitor_id HAVING {after} ORDER BY last_ms DESC, visitor_id DESC LIMIT {}",
        asked.limit()
    );
    let mut visitors = Vec::new();
    connection.query(&sql, &predicates.parameters.values())?.for_each(|row| {
        visitors.push(Grouped {
            visits: row.get(0)?,
            pageviews: row.get(1)?,
            events: row.get(2)?,
            first_ms: row.get(3)?,
            last_ms: row.get(4)?,
            last_visit: row.get(5)?,
        });
        Ok::<(), DuckError>(())
    })?;
    Ok(visitors)
}

/// A page of people; see [`crate::EventStore::people_page`].
pub(in crate::duckdb) fn people_page(
    connection: &Connection,
    asked: &ListQuestion,
) -> Result<Vec<PersonSummary>, DuckError> {
    let question = asked.question();
    let mut predicates = Predicates::new(question);
    let kept = predicates.kept_events(&question.filters, Plan::of(question).engagement);
    let after = after(asked, "last_ms", "user_key");
    let sql = format!(
        "SELECT user_key, count(DISTINCT visitor_id)::UBIGINT,
                count(DISTINCT nullif(session_id, 0))::UBIGINT, count(*)::UBIGINT,
                min(timestamp_ms) AS first_ms, max(timestamp_ms) AS last_ms
         FROM events WHERE {kept} AND user_key <> 0
         GROUP BY user_key HAVING {after} ORDER BY last_ms DESC, user_key DESC LIMIT {}",
        asked.limit()
    );
    let mut people = Vec::new();
    connection.query(&sql, &predicates.parameters.values())?.for_each(|row| {
        people.push(PersonSummary {
            user_key: row.get(0)?,
            visitors: row.get(1)?,
            visits: row.get(2)?,
            events: row.get(3)?,
            first_ms: row.get(4)?,
            last_ms: row.get(5)?,
        });
        Ok::<(), DuckError>(())
    })?;
    Ok(people)
}

/// Events one after the other; see [`crate::EventStore::timeline`].
pub(in crate::duckdb) fn timeline(
    connection: &Connection,
    site_id: SiteId,
    whose: Whose,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<StoredEvent>, DuckError> {
    let of_site = format!("site_id = {site_id}");
    let condition = match whose {
        _ if whose.number() == 0 => return Ok(Vec::new()),
        Whose::Visit(session_id) => format!("{of_site} AND session_id = {session_id}"),
        Whose::Person(user_key) => format!("{of_site} AND user_key = {user_key}"),
        Whose::Visitor(visitor_id) => {
            // The number of a visit is the offset of its first event: what is older need not be looked through.
            let sql = format!(
                "SELECT min(session_id) FROM sessions WHERE {of_site} AND visitor_id = {visitor_id}"
            );
            let first = connection.query(&sql, &[])?.first(|row| row.optional::<u64>(0))?;
            let Some(first) = first.flatten() else { return Ok(Vec::new()) };
            format!("{of_site} AND visitor_id = {visitor_id} AND event_offset >= {first}")
        }
    };
    events_where(connection, site_id, &condition, before, limit)
}
