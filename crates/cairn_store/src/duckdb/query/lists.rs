//! Lists of visits and of people, the latest first.

use cairn_model::Session;
use cairn_model::question::ListQuestion;
use cairn_model::question::lists::PersonSummary;

use super::predicate::Predicates;
use crate::duckdb::connection::Connection;
use crate::duckdb::error::DuckError;
use crate::duckdb::sessions::{self, SESSION_COLUMNS};
use crate::plan::Plan;

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
