//! Retention: who came back, by the period of the start.

use cairn_model::question::retention::RetentionAnswer;
use cairn_model::question::{Engagement, Goal, RetentionQuestion};

use super::predicate::{Predicates, Table, ordinary_condition};
use super::sides::bucket;
use super::statement::all_of;
use crate::duckdb::connection::Connection;
use crate::duckdb::error::DuckError;
use crate::schema::ENGAGEMENT_CODE;

/// What counts: an event, or a conversion of the goal.
fn counted(goal: Option<&Goal>, predicates: &mut Predicates<'_>) -> String {
    match goal {
        Some(goal) => format!(
            "(name <> {ENGAGEMENT_CODE} OR session_id <> 0) AND {}",
            predicates.converts(goal)
        ),
        None => ordinary_condition(Engagement::Hidden, false),
    }
}

/// Answers who came back.
pub(in crate::duckdb) fn retention(
    connection: &Connection,
    asked: &RetentionQuestion,
) -> Result<RetentionAnswer, DuckError> {
    let (question, buckets) = (asked.question(), asked.buckets());
    let mut answer = RetentionAnswer::empty(buckets.count());
    let mut predicates = Predicates::new(question);
    let stored = all_of(&predicates.stored_in_range());
    let mut started = vec![stored.clone(), counted(asked.start(), &mut predicates)];
    started.extend(predicates.conditions(&question.filters, Table::Events));
    let started = all_of(&started);
    let back = counted(asked.returning(), &mut predicates);
    let (from_ms, until_ms) = (buckets.range().from_ms(), buckets.range().until_ms());
    let period = |instant: &str| bucket(buckets, instant, until_ms - 1);
    let (first, at) = (period("first_ms"), period("timestamp_ms"));
    // Kinds of rows: 0 the size of a cohort, 1 who returned so many periods later, 2 who had started before, 3 the anonymous.
    let sql = format!(
        "WITH starts AS MATERIALIZED (
            SELECT visitor_id, CASE WHEN first_ms < {from_ms} THEN -1 ELSE {first} END AS cohort
            FROM (SELECT visitor_id, min(timestamp_ms) AS first_ms FROM events
                  WHERE {started} AND identified GROUP BY visitor_id)),
         back AS MATERIALIZED (
            SELECT cohort, period, count(*) AS visitors
            FROM (SELECT DISTINCT visitor_id, {at} AS period FROM events
                  WHERE {stored} AND timestamp_ms >= {from_ms} AND identified AND {back})
                 JOIN starts USING (visitor_id)
            WHERE period > cohort GROUP BY cohort, period)
         SELECT 0::UTINYINT, cohort::BIGINT, 0::BIGINT, count(*)::UBIGINT FROM starts
             WHERE cohort >= 0 GROUP BY cohort
         UNION ALL SELECT 1::UTINYINT, cohort::BIGINT, (period - cohort)::BIGINT, visitors::UBIGINT FROM back
             WHERE cohort >= 0
         UNION ALL SELECT 2::UTINYINT, period::BIGINT, 0::BIGINT, sum(visitors)::UBIGINT FROM back GROUP BY period
         UNION ALL SELECT 3::UTINYINT, 0::BIGINT, 0::BIGINT, count(DISTINCT visitor_id)::UBIGINT FROM events
             WHERE {started} AND timestamp_ms >= {from_ms} AND NOT identified"
    );
    let values = predicates.parameters.values();
    connection.query(&sql, &values)?.for_each(|row| {
        let (kind, period, later): (u8, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let place = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        let count: u64 = row.get(3)?;
        let slot = match kind {
            0 => answer.sizes.get_mut(place(period)),
            1 => {
                answer.returned.get_mut(place(period)).and_then(|row| row.get_mut(place(later - 1)))
            }
            2 => answer.returning.get_mut(place(period)),
            _ => Some(&mut answer.anonymous),
        };
        if let Some(slot) = slot {
            *slot = count;
        }
        Ok::<(), DuckError>(())
    })?;
    Ok(answer)
}
