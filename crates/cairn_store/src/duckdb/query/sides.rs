//! The two sides of a question as sub-queries, one row per group: raw counts, from which the rates are made.

use cairn_model::event::{ENGAGEMENT, PAGE_VIEW};
use cairn_model::question::{Buckets, Dimension, Metric, TimeUnit};

use super::predicate::{Predicates, Table, column};
use super::statement::all_of;
use crate::plan::{Plan, Source};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Added before a division and taken off after it, so that instants before 1970 round down as well: 40,000 years, a
/// whole number of weeks.
const SHIFT_DAYS: i64 = 7 * 2_100_000;

/// The bucket of an instant, as arithmetic: a constant for each stretch of unchanged clock.
pub(super) fn bucket(buckets: &Buckets, instant: &str, last_ms: i64) -> String {
    let stretches = buckets.stretches_until(last_ms);
    let mut text = String::from("CASE");
    for (index, stretch) in stretches.iter().enumerate() {
        let number = number(buckets, instant, stretch.offset_ms, stretch.base);
        if index + 1 < stretches.len() {
            text.push_str(&format!(" WHEN {instant} < {} THEN {number}", stretch.until_ms));
        } else if index == 0 {
            return number;
        } else {
            text.push_str(&format!(" ELSE {number}"));
        }
    }
    text.push_str(" END");
    text
}

fn number(buckets: &Buckets, instant: &str, offset_ms: i64, base: i64) -> String {
    let first = buckets.first();
    let shifted = |unit_ms: i64, extra_ms: i64| {
        let sum = offset_ms + SHIFT_DAYS * DAY_MS + extra_ms;
        format!("({instant} + {sum}) // {unit_ms}")
    };
    match buckets.unit() {
        TimeUnit::Hour => format!("({} + {})", shifted(HOUR_MS, 0), base - SHIFT_DAYS * 24),
        TimeUnit::Day => format!("({} - {})", shifted(DAY_MS, 0), SHIFT_DAYS + first),
        // 1 January 1970 was a Thursday: its week began three days before.
        TimeUnit::Week => {
            format!("({} - {})", shifted(7 * DAY_MS, 3 * DAY_MS), SHIFT_DAYS / 7 + first)
        }
        TimeUnit::Month => {
            let local = format!("epoch_ms({instant} + {offset_ms})");
            format!("(year({local}) * 12 + month({local}) - {})", first + 1)
        }
    }
}

/// The visits' own columns that events need for grouping.
fn visit_columns(plan: &Plan<'_>) -> Vec<&'static str> {
    let only = plan.question.dimensions.iter().filter_map(|dimension| match dimension {
        Dimension::Visit(field) if field.is_visit_only() => Some(column(*field)),
        _ => None,
    });
    only.collect()
}

fn group_by(keys: usize) -> String {
    if keys == 0 {
        return String::new();
    }
    let numbers: Vec<String> = (1..=keys).map(|key| key.to_string()).collect();
    format!("GROUP BY {}", numbers.join(", "))
}

fn columns(keys: &[String], counts: &[String]) -> String {
    let keys = keys.iter().enumerate().map(|(index, key)| format!("{key} AS k{index}"));
    keys.chain(counts.iter().cloned()).collect::<Vec<_>>().join(", ")
}

fn asks(plan: &Plan<'_>, source: Source, metrics: &[Metric]) -> bool {
    let asked = &plan.question.metrics;
    asked.iter().any(|metric| metrics.contains(metric) && plan.source(*metric) == source)
}

const VISITOR_METRICS: [Metric; 2] = [Metric::Visitors, Metric::Percentage];

/// Events by group: columns `k0…`, `visitors`, `visits`, `pageviews`, `events`, `identified_rows`, `all_rows`.
pub(super) fn events(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> String {
    let last_ms = plan.question.range.until_ms() - 1;
    let keys: Vec<String> = plan
        .question
        .dimensions
        .iter()
        .map(|dimension| match dimension {
            Dimension::Time(_) => {
                let buckets = plan.question.buckets.as_ref();
                buckets.map_or_else(String::new, |buckets| bucket(buckets, "timestamp_ms", last_ms))
            }
            Dimension::EventName => "name".to_owned(),
            Dimension::Page => "path".to_owned(),
            Dimension::Hostname => "hostname".to_owned(),
            Dimension::Visit(field) => column(*field).to_owned(),
            // Refused when the question was checked.
            Dimension::Goal | Dimension::Prop(_) => "''".to_owned(),
        })
        .collect();
    let mut counts = Vec::new();
    if asks(plan, Source::Events, &VISITOR_METRICS) {
        counts.push("count(DISTINCT visitor_id) AS visitors".to_owned());
    }
    if asks(plan, Source::Events, &[Metric::Visits]) {
        counts.push("count(DISTINCT session_id) AS visits".to_owned());
    }
    if asks(plan, Source::Events, &[Metric::Pageviews]) {
        counts.push(format!("count(*) FILTER (WHERE name = '{PAGE_VIEW}') AS pageviews"));
    }
    if asks(plan, Source::Events, &[Metric::Events]) {
        counts.push(if plan.with_engagement {
            format!("count(*) FILTER (WHERE name <> '{ENGAGEMENT}') AS events")
        } else {
            "count(*) AS events".to_owned()
        });
    }
    if plan.watches_identification() {
        counts.push("count(*) FILTER (WHERE identified) AS identified_rows".to_owned());
        counts.push("count(*) AS all_rows".to_owned());
    }
    if keys.is_empty() && counts.is_empty() {
        counts.push("0 AS nothing".to_owned());
    }
    let visit_columns = visit_columns(plan);
    let visits = if visit_columns.is_empty() {
        String::new()
    } else {
        let (site, columns) = (plan.question.site_id, visit_columns.join(", "));
        format!(
            "JOIN (SELECT session_id, {columns} FROM sessions WHERE site_id = {site}) USING (session_id)"
        )
    };
    let kept = predicates.kept_events(&plan.filters, plan.with_engagement);
    format!(
        "SELECT {} FROM events {visits} WHERE {kept} {}",
        columns(&keys, &counts),
        group_by(keys.len())
    )
}

/// Visits by group: columns `k0…`, `visitors`, `visits`, `bounces`, `bounce_visits`, `seconds`, `visit_pageviews`,
/// `identified_rows`, `all_rows`.
pub(super) fn visits(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> String {
    let question = plan.question;
    let hourly = question.dimensions.contains(&Dimension::Time(TimeUnit::Hour));
    let mut having = String::new();
    let keys: Vec<String> = question
        .dimensions
        .iter()
        .enumerate()
        .map(|(index, dimension)| match (dimension, &question.buckets) {
            (Dimension::Time(TimeUnit::Hour), _) => "hour".to_owned(),
            (Dimension::Time(_), Some(buckets)) => {
                having = format!("HAVING k{index} BETWEEN 0 AND {}", buckets.count() - 1);
                bucket(buckets, "ended_at_ms", i64::MAX - 1)
            }
            (Dimension::Page, _) => "entry_page".to_owned(),
            (Dimension::Visit(field), _) => column(*field).to_owned(),
            // A question with these has no visits' side.
            _ => "''".to_owned(),
        })
        .collect();
    let mut counts = visit_counts(plan, predicates);
    if keys.is_empty() && counts.is_empty() {
        counts.push("0 AS nothing".to_owned());
    }
    let kept = predicates.kept_visits(&plan.visit_filters, plan.with_engagement);
    let from = if hourly { hours(plan, &kept) } else { format!("sessions WHERE {kept}") };
    format!("SELECT {} FROM {from} {} {having}", columns(&keys, &counts), group_by(keys.len()))
}

fn visit_counts(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> Vec<String> {
    let mut counts = Vec::new();
    if asks(plan, Source::Visits, &VISITOR_METRICS) {
        counts.push("count(DISTINCT visitor_id) AS visitors".to_owned());
    }
    let divided = [Metric::Visits, Metric::VisitDuration, Metric::ViewsPerVisit];
    if asks(plan, Source::Visits, &divided) {
        counts.push("count(*) AS visits".to_owned());
    }
    if asks(plan, Source::Visits, &[Metric::BounceRate]) {
        let mut entered = predicates.conditions(&plan.bounce_filters, Table::Visits);
        let visits = if entered.is_empty() {
            "count(*) AS bounce_visits".to_owned()
        } else {
            format!("count(*) FILTER (WHERE {}) AS bounce_visits", all_of(&entered))
        };
        entered.push("events = 1".to_owned());
        counts.push(format!("count(*) FILTER (WHERE {}) AS bounces", all_of(&entered)));
        counts.push(visits);
    }
    if asks(plan, Source::Visits, &[Metric::VisitDuration]) {
        let shift_ms = SHIFT_DAYS * DAY_MS;
        let second = |column: &str| format!("({column} + {shift_ms}) // 1000");
        let (start, end) = (second("started_at_ms"), second("ended_at_ms"));
        counts.push(format!("coalesce(sum(abs({end} - {start})), 0) AS seconds"));
    }
    if asks(plan, Source::Visits, &[Metric::ViewsPerVisit]) {
        counts.push("coalesce(sum(pageviews), 0) AS visit_pageviews".to_owned());
    }
    if plan.watches_identification() && plan.source(Metric::Visitors) == Source::Visits {
        counts.push("count(*) FILTER (WHERE identified) AS identified_rows".to_owned());
        counts.push("count(*) AS all_rows".to_owned());
    }
    counts
}

/// Visits once per hour that they lasted, within the range.
fn hours(plan: &Plan<'_>, kept: &str) -> String {
    let range = plan.question.range;
    let Some(buckets) = &plan.question.buckets else { return format!("sessions WHERE {kept}") };
    let last_ms = range.until_ms() - 1;
    let first = format!("greatest(least(started_at_ms, ended_at_ms), {})", range.from_ms());
    let last = format!("least(greatest(started_at_ms, ended_at_ms), {last_ms})");
    let (first_hour, last_hour) =
        (bucket(buckets, "first_ms", last_ms), bucket(buckets, "last_ms", last_ms));
    format!(
        "(SELECT *, unnest(range({first_hour}, {last_hour} + 1)) AS hour
            FROM (SELECT *, {first} AS first_ms, {last} AS last_ms FROM sessions WHERE {kept}))"
    )
}

/// Visitors of the whole question as a sub-query of one value, counted where its rows count them.
pub(super) fn total_visitors(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> String {
    let filters = &plan.question.filters;
    if plan.source(Metric::Visitors) == Source::Visits {
        let kept = predicates.kept_visits(filters, plan.with_engagement);
        format!("(SELECT count(DISTINCT visitor_id) FROM sessions WHERE {kept})")
    } else {
        let kept = predicates.kept_events(filters, plan.with_engagement);
        format!("(SELECT count(DISTINCT visitor_id) FROM events WHERE {kept})")
    }
}
