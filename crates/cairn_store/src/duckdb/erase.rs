//! Finding and deleting what is kept of somebody, and what is too old.
//!
//! Guarantees: events, the visits that are left without any, the changed counts of shared visits and texts that no row uses
//! any more go in one transaction, for many subjects as for one. Bytes stay in the file until it is rewritten.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_model::session::Attribute;
use cairn_model::subject::{SUBJECT_USERS_MAX, SUBJECT_VISITORS_MAX};
use cairn_model::{SiteId, Subject, VisitorId};

use super::connection::Connection;
use super::error::DuckError;
use super::rollup::Rollups;
use super::texts::{joined, texts_of};
use super::write::Writer;
use crate::schema::{ENGAGEMENT_CODE, EVENT_TEXTS, OWN_CODES_FROM, PAGE_VIEW_CODE, TextField};
use crate::{ErasedRows, ErasedSubjects, SubjectSummary, UsersBrowsers};

const DAY_MS: i64 = 86_400_000;

/// The condition that an event is a subject's. Numbers only, so there is nothing to escape.
pub(super) fn of_subject(subject: &Subject) -> String {
    let Subject { site_id, visitors, users, .. } = subject;
    let mut either = Vec::new();
    if !visitors.is_empty() {
        either.push(format!("visitor_id IN ({})", joined(visitors.iter())));
    }
    if !users.is_empty() {
        either.push(format!("user_key IN ({})", joined(users.iter())));
    }
    match either.is_empty() {
        true => "FALSE".to_owned(),
        false => format!("(site_id = {site_id} AND ({}))", either.join(" OR ")),
    }
}

pub(super) fn visitors_of_user(
    connection: &Connection,
    site_id: SiteId,
    user_key: u64,
    limit: usize,
) -> Result<Vec<VisitorId>, DuckError> {
    let sql = format!(
        "SELECT DISTINCT visitor_id FROM events WHERE site_id = ? AND user_key = ?
         ORDER BY visitor_id LIMIT {limit}"
    );
    let mut visitors = Vec::new();
    connection.query(&sql, &[site_id.0.into(), user_key.into()])?.for_each(|row| {
        visitors.push(VisitorId(row.get(0)?));
        Ok::<(), DuckError>(())
    })?;
    Ok(visitors)
}

pub(super) fn users_of_visitor(
    connection: &Connection,
    site_id: SiteId,
    visitor_id: VisitorId,
    limit: usize,
) -> Result<Vec<u64>, DuckError> {
    let sql = format!(
        "SELECT DISTINCT user_key FROM events WHERE site_id = ? AND visitor_id = ? AND user_key <> 0
         ORDER BY user_key LIMIT {limit}"
    );
    let mut users = Vec::new();
    connection.query(&sql, &[site_id.0.into(), visitor_id.0.into()])?.for_each(|row| {
        users.push(row.get(0)?);
        Ok::<(), DuckError>(())
    })?;
    Ok(users)
}

pub(super) fn people_of_order(
    connection: &Connection,
    site_id: SiteId,
    order_id: &str,
    limit: usize,
) -> Result<Vec<(VisitorId, u64)>, DuckError> {
    let sql = format!(
        "SELECT DISTINCT visitor_id, user_key FROM events WHERE site_id = ? AND order_id = ?
         AND order_id <> '' ORDER BY ALL LIMIT {limit}"
    );
    let mut people = Vec::new();
    connection.query(&sql, &[site_id.0.into(), order_id.into()])?.for_each(|row| {
        people.push((VisitorId(row.get(0)?), row.get(1)?));
        Ok::<(), DuckError>(())
    })?;
    Ok(people)
}

pub(super) fn summary(
    connection: &Connection,
    subject: &Subject,
) -> Result<SubjectSummary, DuckError> {
    let condition = of_subject(subject);
    let sql = format!(
        "SELECT count(*), count(DISTINCT session_id) FILTER (WHERE session_id <> 0),
            min(timestamp_ms), max(timestamp_ms) FROM events WHERE {condition}"
    );
    let summary = connection.query(&sql, &[])?.first(|row| {
        Ok(SubjectSummary {
            events: row.get(0)?,
            visits: row.get(1)?,
            first_ms: row.optional(2)?,
            last_ms: row.optional(3)?,
            names: Vec::new(),
        })
    })?;
    let mut summary = summary.unwrap_or_default();
    let texts = texts_of(subject.site_id.0, TextField::Name);
    let sql = format!(
        "SELECT t.text, e.events FROM (
            SELECT name, count(*) AS events FROM events WHERE {condition} GROUP BY name) e
         JOIN {texts} t ON t.code = e.name ORDER BY t.text"
    );
    connection.query(&sql, &[])?.for_each(|row| {
        summary.names.push((row.get(0)?, row.get(1)?));
        Ok::<(), DuckError>(())
    })?;
    Ok(summary)
}

pub(super) fn oldest_received_ms(
    connection: &Connection,
    site_id: SiteId,
) -> Result<Option<i64>, DuckError> {
    let sql = "SELECT min(received_at_ms) FROM events WHERE site_id = ?";
    let oldest = connection.query(sql, &[site_id.0.into()])?.first(|row| row.optional(0))?;
    Ok(oldest.flatten())
}

/// Deletes a site.
pub(super) fn site(writer: &mut Writer, site_id: SiteId) -> Result<(), DuckError> {
    let rollups = Arc::clone(&writer.rollups);
    in_transaction(writer, |connection| {
        rollups.erase(site_id, &[(i64::MIN, i64::MAX)])?;
        for table in ["events", "sessions", "outcomes", "texts"] {
            let sql = format!("DELETE FROM {table} WHERE site_id = ?");
            connection.execute(&sql, &[site_id.0.into()])?;
        }
        Ok(())
    })
}

/// Deletes subjects of one site.
pub(super) fn subjects(
    writer: &mut Writer,
    subjects: &[Subject],
) -> Result<ErasedSubjects, DuckError> {
    let all = Subject::union(subjects);
    let site_id = all.site_id;
    let of_all = of_subject(&all);
    let events = Chosen { from: with_places(subjects), place: PLACE, condition: of_all.clone() };
    let visits = match all.visitors.is_empty() {
        true => "FALSE".to_owned(),
        false => format!("site_id = {site_id} AND visitor_id IN ({})", joined(all.visitors.iter())),
    };
    let visits = Chosen {
        from: format!("sessions {}", visitors_places(subjects)),
        place: "v.place",
        condition: visits,
    };
    let rollups = Arc::clone(&writer.rollups);
    in_transaction(writer, |connection| {
        let shared = shared(connection, &all)?;
        let codes = touch(connection, &events, &visits)?;
        forget_rollups(connection, &rollups, site_id, &of_all)?;
        let events = delete_events(connection, &of_all)?;
        let visits = delete_visits(connection, site_id, "TRUE", subjects.len())?;
        recount_visits(connection, site_id)?;
        delete_texts(connection, site_id, &codes)?;
        Ok(ErasedSubjects { events, visits, shared })
    })
}

/// How many events each subject has.
pub(super) fn events_of_subjects(
    connection: &Connection,
    subjects: &[Subject],
) -> Result<Vec<u64>, DuckError> {
    let sql = format!(
        "SELECT {PLACE}, count(*) FROM {} WHERE {} GROUP BY ALL",
        with_places(subjects),
        of_subject(&Subject::union(subjects))
    );
    counted(connection, &sql, subjects.len())
}

/// Counts by place: a query for places and counts.
fn counted(connection: &Connection, sql: &str, places: usize) -> Result<Vec<u64>, DuckError> {
    let mut counts = vec![0; places];
    connection.query(sql, &[])?.for_each(|row| {
        let place: i64 = row.get(0)?;
        if let Some(count) = usize::try_from(place).ok().and_then(|place| counts.get_mut(place)) {
            *count = row.get(1)?;
        }
        Ok::<(), DuckError>(())
    })?;
    Ok(counts)
}

/// Browsers that name users of a subject and are not its own.
pub(super) fn browsers_of_users(
    connection: &Connection,
    subject: &Subject,
    limit: usize,
) -> Result<UsersBrowsers, DuckError> {
    let Subject { site_id, visitors, users, .. } = subject;
    let mut found = UsersBrowsers::default();
    if users.is_empty() {
        return Ok(found);
    }
    let users = joined(users.iter());
    let others = others_than(visitors);
    let sql = format!(
        "SELECT visitor_id, is_alone FROM (
            SELECT visitor_id, bool_and(user_key IN ({users})) AS is_alone FROM events
            WHERE site_id = {site_id} AND user_key <> 0 AND visitor_id IN (
                SELECT visitor_id FROM events
                WHERE site_id = {site_id} AND user_key IN ({users}) {others})
            GROUP BY visitor_id)
         QUALIFY row_number() OVER (PARTITION BY is_alone ORDER BY visitor_id) <= {limit}
         ORDER BY visitor_id"
    );
    connection.query(&sql, &[])?.for_each(|row| {
        let visitor = VisitorId(row.get(0)?);
        match row.get(1)? {
            true => found.alone.push(visitor),
            false => found.shared.push(visitor),
        }
        Ok::<(), DuckError>(())
    })?;
    Ok(found)
}

fn others_than(visitors: &[VisitorId]) -> String {
    match visitors.is_empty() {
        true => String::new(),
        false => format!("AND visitor_id NOT IN ({})", joined(visitors.iter())),
    }
}

/// The first subject that an event is of, where events have the places of their visitor (`v`) and their user (`u`).
const PLACE: &str = "least(v.place, u.place)";

/// Events with the places of subjects by visitor and by user.
fn with_places(subjects: &[Subject]) -> String {
    let users = places(subjects.iter().map(|subject| subject.users.iter().copied()));
    let of_users = format!("LEFT JOIN {users} u ON u.number = user_key");
    format!("events {} {of_users}", visitors_places(subjects))
}

fn visitors_places(subjects: &[Subject]) -> String {
    let visitors = subjects.iter().map(|subject| subject.visitors.iter().map(|one| one.0));
    format!("LEFT JOIN {} v ON v.number = visitor_id", places(visitors))
}

/// Numbers with the first place of each, as a table.
fn places(numbers: impl Iterator<Item = impl Iterator<Item = u64>>) -> String {
    let mut first = BTreeMap::new();
    for (numbers, place) in numbers.zip(0_u64..) {
        for number in numbers {
            first.entry(number).or_insert(place);
        }
    }
    if first.is_empty() {
        return "(SELECT 0::UBIGINT AS number, 0::BIGINT AS place WHERE FALSE)".to_owned();
    }
    let rows: Vec<String> =
        first.iter().map(|(number, place)| format!("({number},{place})")).collect();
    format!(
        "(SELECT number::UBIGINT AS number, place::BIGINT AS place
          FROM (VALUES {}) given(number, place))",
        rows.join(",")
    )
}

/// Rows that deleting concerns.
struct Chosen {
    /// Their table.
    from: String,
    /// The place of the subject that a row is of.
    place: &'static str,
    condition: String,
}

/// Deletes events that arrived before an instant, those with the lowest offsets first.
pub(super) fn received_before(
    writer: &mut Writer,
    site_id: SiteId,
    received_ms: i64,
    events_max: u64,
) -> Result<ErasedRows, DuckError> {
    let rollups = Arc::clone(&writer.rollups);
    in_transaction(writer, |connection| {
        let old = format!("site_id = {site_id} AND received_at_ms < {received_ms}");
        // Arrival never decreases along the log: they are the first ones.
        let sql = format!(
            "SELECT max(event_offset) FROM (SELECT event_offset FROM events WHERE {old}
             ORDER BY event_offset LIMIT {events_max})"
        );
        let last = connection.query(&sql, &[])?.first(|row| row.optional::<u64>(0))?.flatten();
        let events = match last {
            Some(last) => format!("({old} AND event_offset <= {last})"),
            None => "FALSE".to_owned(),
        };
        let visits = format!("site_id = {site_id} AND last_received_ms < {received_ms}");
        let [events, visits] = [("events", events), ("sessions", visits)]
            .map(|(from, condition)| Chosen { from: from.to_owned(), place: "0", condition });
        let codes = touch(connection, &events, &visits)?;
        forget_rollups(connection, &rollups, site_id, &events.condition)?;
        let events = delete_events(connection, &events.condition)?;
        // A visit that reaches into the time of keeping stays as it was.
        let is_over = format!("last_received_ms < {received_ms}");
        let visits = delete_visits(connection, site_id, &is_over, 1)?;
        delete_texts(connection, site_id, &codes)?;
        Ok(ErasedRows { events, visits: visits.into_iter().sum() })
    })
}

fn in_transaction<T>(
    writer: &mut Writer,
    work: impl FnOnce(&Connection) -> Result<T, DuckError>,
) -> Result<T, DuckError> {
    writer.forget_texts();
    let connection = &writer.connection;
    connection.run("BEGIN TRANSACTION")?;
    work(connection).and_then(|done| connection.run("COMMIT").map(|()| done)).inspect_err(|_| {
        // The first error is the one that says what happened.
        let _ = connection.run("ROLLBACK");
    })
}

/// Visitors of the subject's users that are not the subject's own.
fn shared(connection: &Connection, subject: &Subject) -> Result<Vec<VisitorId>, DuckError> {
    let Subject { site_id, visitors, users, .. } = subject;
    let mut shared = Vec::new();
    if users.is_empty() {
        return Ok(shared);
    }
    let sql = format!(
        "SELECT DISTINCT visitor_id FROM events WHERE site_id = {site_id}
         AND user_key IN ({}) {} ORDER BY visitor_id LIMIT {}",
        joined(users.iter()),
        others_than(visitors),
        SUBJECT_VISITORS_MAX * SUBJECT_USERS_MAX
    );
    connection.query(&sql, &[])?.for_each(|row| {
        shared.push(VisitorId(row.get(0)?));
        Ok::<(), DuckError>(())
    })?;
    Ok(shared)
}

/// Columns of codes with what they stand for: of events, or of visits.
fn event_codes() -> impl Iterator<Item = (&'static str, TextField)> {
    let attributes = Attribute::ALL.into_iter();
    let attributes = attributes.map(|one| (one.column(), TextField::Visit(one)));
    EVENT_TEXTS.into_iter().chain(attributes)
}

fn visit_codes() -> impl Iterator<Item = (&'static str, TextField)> {
    let pages = [
        ("entry_hostname", TextField::Hostname),
        ("entry_page", TextField::Path),
        ("exit_hostname", TextField::Hostname),
        ("exit_page", TextField::Path),
    ];
    let attributes = Attribute::ALL.into_iter();
    let attributes = attributes.map(|one| (one.column(), TextField::Visit(one)));
    pages.into_iter().chain(attributes)
}

/// Notes the visits that deleting concerns in a table of its own, and gives the codes that may be unused afterwards.
fn touch(
    connection: &Connection,
    events: &Chosen,
    visits: &Chosen,
) -> Result<Vec<(TextField, Vec<u32>)>, DuckError> {
    let places = [events, visits].map(|chosen| {
        let Chosen { from, place, condition } = chosen;
        format!("SELECT session_id, {place} AS place FROM {from} WHERE {condition}")
    });
    connection.run(&format!(
        "CREATE OR REPLACE TEMP TABLE touched AS SELECT session_id, min(place) AS place
         FROM ({}) WHERE session_id <> 0 GROUP BY session_id",
        places.join(" UNION ALL ")
    ))?;
    let mut codes: Vec<(TextField, Vec<u32>)> =
        TextField::all().map(|field| (field, Vec::new())).collect();
    let mut note = |from: &str, columns: &[(&'static str, TextField)]| {
        // One look for all columns; a set for each of them at once would take more memory than there is.
        let names: Vec<&str> = columns.iter().map(|(column, _)| *column).collect();
        connection.run(&format!(
            "CREATE OR REPLACE TEMP TABLE codes AS SELECT {} FROM {from}",
            names.join(", ")
        ))?;
        for (column, field) in columns {
            let Some((_, known)) = codes.iter_mut().find(|(known, _)| known == field) else {
                continue;
            };
            let sql =
                format!("SELECT DISTINCT {column} FROM codes WHERE {column} >= {OWN_CODES_FROM}");
            connection.query(&sql, &[])?.for_each(|row| {
                known.push(row.get(0)?);
                Ok::<(), DuckError>(())
            })?;
        }
        connection.run("DROP TABLE codes")
    };
    note(&format!("events WHERE {}", events.condition), &event_codes().collect::<Vec<_>>())?;
    let touched = "sessions WHERE session_id IN (SELECT session_id FROM touched)";
    note(touched, &visit_codes().collect::<Vec<_>>())?;
    for (_, known) in &mut codes {
        known.sort_unstable();
        known.dedup();
    }
    codes.retain(|(_, known)| !known.is_empty());
    Ok(codes)
}

/// Removes rollups of days on which events are deleted, or touched visits were or will be.
fn forget_rollups(
    connection: &Connection,
    rollups: &Rollups,
    site_id: SiteId,
    events: &str,
) -> Result<(), DuckError> {
    if !rollups.has_any(site_id) {
        return Ok(());
    }
    let touched = "session_id IN (SELECT session_id FROM touched)";
    let sql = format!(
        "SELECT DISTINCT timestamp_ms // {DAY_MS}, timestamp_ms // {DAY_MS} FROM events
            WHERE site_id = {site_id} AND (({events}) OR (session_id <> 0 AND {touched}))
         UNION SELECT DISTINCT least(started_at_ms, ended_at_ms) // {DAY_MS},
            greatest(started_at_ms, ended_at_ms) // {DAY_MS}
            FROM sessions WHERE site_id = {site_id} AND {touched}"
    );
    let mut days: Vec<(i64, i64)> = Vec::new();
    connection.query(&sql, &[])?.for_each(|row| {
        let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
        // Before 1970 days are rounded up.
        let first = if first > 0 { first } else { first - 1 };
        days.push((first * DAY_MS, (last + 1) * DAY_MS));
        Ok::<(), DuckError>(())
    })?;
    rollups.erase(site_id, &days)
}

fn delete_events(connection: &Connection, events: &str) -> Result<u64, DuckError> {
    connection.execute(&format!("DELETE FROM events WHERE {events}"), &[])
}

/// Deletes touched visits in which nothing happened any more. Reports of how their pages were read have no visit then. Returns
/// how many by place.
fn delete_visits(
    connection: &Connection,
    site_id: SiteId,
    condition: &str,
    places: usize,
) -> Result<Vec<u64>, DuckError> {
    connection.run(&format!(
        "CREATE OR REPLACE TEMP TABLE emptied AS SELECT session_id FROM sessions
         WHERE site_id = {site_id} AND {condition}
         AND session_id IN (SELECT session_id FROM touched)
         AND session_id NOT IN (SELECT DISTINCT session_id FROM events WHERE site_id = {site_id}
            AND session_id IN (SELECT session_id FROM touched) AND name <> {ENGAGEMENT_CODE})"
    ))?;
    let emptied = "session_id IN (SELECT session_id FROM emptied)";
    let sql = format!("SELECT place, count(*) FROM touched WHERE {emptied} GROUP BY place");
    let visits = counted(connection, &sql, places)?;
    connection.execute(&format!("DELETE FROM sessions WHERE {emptied}"), &[])?;
    let sql = format!(
        "UPDATE events SET session_id = 0 WHERE site_id = {site_id} AND session_id <> 0 AND {emptied}"
    );
    connection.execute(&sql, &[])?;
    Ok(visits)
}

/// Counts touched visits that are still there again, from the events they have left, in the order of their arrival.
fn recount_visits(connection: &Connection, site_id: SiteId) -> Result<(), DuckError> {
    let ordinary = format!("name <> {ENGAGEMENT_CODE}");
    let page = format!("name = {PAGE_VIEW_CODE}");
    let sql = format!(
        "UPDATE sessions SET
            started_at_ms = c.started_at_ms, ended_at_ms = c.ended_at_ms,
            last_activity_ms = c.last_activity_ms, last_received_ms = c.last_received_ms,
            pageviews = c.pageviews, events = c.events,
            entry_hostname = c.entry_hostname, entry_page = c.entry_page,
            exit_hostname = c.exit_hostname, exit_page = c.exit_page
         FROM (SELECT session_id,
                arg_min(timestamp_ms, event_offset) FILTER (WHERE {ordinary}) AS started_at_ms,
                arg_max(timestamp_ms, event_offset) FILTER (WHERE {ordinary}) AS ended_at_ms,
                max(timestamp_ms) AS last_activity_ms, max(received_at_ms) AS last_received_ms,
                count(*) FILTER (WHERE {page}) AS pageviews,
                count(*) FILTER (WHERE {ordinary}) AS events,
                coalesce(arg_min(hostname, event_offset) FILTER (WHERE {page}), 0) AS entry_hostname,
                coalesce(arg_min(path, event_offset) FILTER (WHERE {page}), 0) AS entry_page,
                coalesce(arg_max(hostname, event_offset) FILTER (WHERE {page}), 0) AS exit_hostname,
                coalesce(arg_max(path, event_offset) FILTER (WHERE {page}), 0) AS exit_page
            FROM events WHERE site_id = {site_id}
            AND session_id IN (SELECT session_id FROM touched) GROUP BY session_id) c
         WHERE sessions.site_id = {site_id} AND sessions.session_id = c.session_id"
    );
    connection.execute(&sql, &[])?;
    Ok(())
}

/// Deletes those of the texts that no row of the site uses any more.
fn delete_texts(
    connection: &Connection,
    site_id: SiteId,
    codes: &[(TextField, Vec<u32>)],
) -> Result<(), DuckError> {
    for (field, codes) in codes {
        let codes = joined(codes.iter());
        let uses = |table: &str, columns: &mut dyn Iterator<Item = (&'static str, TextField)>| {
            let of_field = columns.filter(|(_, known)| known == field);
            let uses = of_field.map(|(column, _)| {
                format!(
                    " AND code NOT IN (SELECT DISTINCT {column} FROM {table}
                        WHERE site_id = {site_id} AND {column} IN ({codes}))"
                )
            });
            uses.collect::<String>()
        };
        let sql = format!(
            "DELETE FROM texts WHERE site_id = {site_id} AND field = {} AND code IN ({codes}){}{}",
            field.number(),
            uses("events", &mut event_codes()),
            uses("sessions", &mut visit_codes())
        );
        connection.execute(&sql, &[])?;
    }
    Ok(())
}
