//! The two sides of a question as sub-queries, one row per group: raw counts, from which the rates are made.

use cairn_model::SiteId;
use cairn_model::question::{Buckets, Dimension, Engagement, Filter, Metric, TimeUnit};

use super::predicate::{Predicates, Table, first_prop, place};
use super::statement::all_of;
use super::{orders, tallies};
use crate::duckdb::texts::texts_of;
use crate::plan::{Plan, Source};
use crate::schema::{ENGAGEMENT_CODE, MISSING_CODE, PAGE_VIEW_CODE, TextField};

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

/// The visits' own columns that events need for grouping, joined to them.
pub(super) fn joined_visits(site_id: SiteId, dimensions: &[Dimension]) -> String {
    let only = dimensions.iter().filter_map(|dimension| match dimension {
        Dimension::Visit(field) if field.is_visit_only() => Some(place(*field).sql),
        _ => None,
    });
    let columns = only.collect::<Vec<_>>().join(", ");
    if columns.is_empty() {
        return String::new();
    }
    format!(
        "LEFT JOIN (SELECT session_id, {columns} FROM sessions WHERE site_id = {site_id}) USING (session_id)"
    )
}

/// Dimensions without goals: what everyone is grouped by, converted or not.
pub(super) fn without_goal(plan: &Plan<'_>) -> Vec<Dimension> {
    let dimensions = plan.question.dimensions.iter();
    dimensions.filter(|dimension| **dimension != Dimension::Goal).cloned().collect()
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

const VISITOR_METRICS: [Metric; 4] =
    [Metric::Visitors, Metric::Percentage, Metric::ConversionRate, Metric::GroupConversionRate];

fn event_keys(
    plan: &Plan<'_>,
    dimensions: &[Dimension],
    predicates: &mut Predicates<'_>,
) -> Vec<String> {
    let last_ms = plan.question.range.until_ms() - 1;
    let buckets = plan.question.buckets.as_ref();
    let key = |dimension: &Dimension| match dimension {
        Dimension::Time(_) => {
            buckets.map_or_else(String::new, |buckets| bucket(buckets, "timestamp_ms", last_ms))
        }
        other => event_key(other, predicates),
    };
    dimensions.iter().map(key).collect()
}

/// What an event is grouped by; not for time.
pub(super) fn event_key(dimension: &Dimension, predicates: &mut Predicates<'_>) -> String {
    match dimension {
        Dimension::Time(_) => String::new(),
        Dimension::EventName => "name".to_owned(),
        Dimension::Page => "path".to_owned(),
        Dimension::Hostname => "hostname".to_owned(),
        Dimension::Goal => "goal".to_owned(),
        Dimension::Section => "section_id".to_owned(),
        Dimension::FirstProp(first) => first_prop(*first),
        Dimension::Prop(key) => format!("coalesce({}, '')", predicates.prop(key)),
        // Events that belong to no visit have the missing text.
        Dimension::Visit(field) if field.is_visit_only() => {
            format!("coalesce({}, {MISSING_CODE})", place(*field).sql)
        }
        Dimension::Visit(field) => place(*field).sql.to_owned(),
    }
}

/// Rows of events that pass `kept`, with what is joined to them; once per goal that they convert, where rows are goals.
fn event_rows(
    plan: &Plan<'_>,
    dimensions: &[Dimension],
    predicates: &mut Predicates<'_>,
    kept: &str,
    joined: &str,
) -> String {
    let visits = joined_visits(plan.question.site_id, dimensions) + joined;
    if !dimensions.contains(&Dimension::Goal) {
        return format!("events {visits} WHERE {kept}");
    }
    let mut goals = Vec::new();
    for index in plan.goals() {
        if let Some(goal) = plan.question.goals.get(index) {
            goals.push(format!("CASE WHEN {} THEN {index} END", predicates.converts(goal)));
        }
    }
    let goals = goals.join(", ");
    format!(
        "(SELECT * FROM (SELECT *, unnest([{goals}]::INTEGER[]) AS goal FROM events {visits} WHERE {kept})
            WHERE goal IS NOT NULL)"
    )
}

/// Events by group: columns `k0…`, `visitors`, `visits`, `pageviews`, `events`, `revenue`, `amounts`, and `c0…` for
/// tallies; those that are needed.
pub(super) fn events(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> String {
    if let Some(rolled) = predicates.rolled.events.take() {
        return rolled;
    }
    let dimensions = &plan.question.dimensions;
    let keys = event_keys(plan, dimensions, predicates);
    // Rows that only tallies are about count for nothing else.
    let mut ordinary = Vec::new();
    if plan.counts_ordinary && !plan.scopes.is_empty() {
        ordinary.push(predicates.ordinary(plan));
    }
    let filtered = |more: Option<String>| {
        let all: Vec<String> = ordinary.iter().cloned().chain(more).collect();
        if all.is_empty() { String::new() } else { format!(" FILTER (WHERE {})", all_of(&all)) }
    };
    let mut counts = Vec::new();
    if asks(plan, Source::Events, &VISITOR_METRICS) {
        counts.push(format!("count(DISTINCT visitor_id){} AS visitors", filtered(None)));
    }
    if asks(plan, Source::Events, &[Metric::Visits]) {
        counts.push(format!("count(DISTINCT session_id){} AS visits", filtered(None)));
    }
    if asks(plan, Source::Events, &[Metric::Pageviews]) {
        let views = filtered(Some(format!("name = {PAGE_VIEW_CODE}")));
        counts.push(format!("count(*){views} AS pageviews"));
    }
    if asks(plan, Source::Events, &[Metric::Events]) {
        let shows_engagement = plan.engagement != Engagement::Hidden;
        let others = shows_engagement.then(|| format!("name <> {ENGAGEMENT_CODE}"));
        counts.push(format!("count(*){} AS events", filtered(others)));
    }
    counts.extend(revenue(plan, predicates, &ordinary));
    counts.extend(tallies::columns(plan, predicates));
    counts.extend(plan.sums.iter().map(|sum| orders::column(plan, *sum, &filtered(None))));
    if keys.is_empty() && counts.is_empty() {
        counts.push("count(*) AS nothing".to_owned());
    }
    let kept = predicates.kept_rows(plan);
    let rows = event_rows(plan, dimensions, predicates, &kept, orders::join(plan));
    format!("SELECT {} FROM {rows} {}", columns(&keys, &counts), group_by(keys.len()))
}

/// Sum and number of the amounts in the currency that the row is about. Where rows are not goals, an amount counts once,
/// and only for a goal with a currency.
fn revenue(
    plan: &Plan<'_>,
    predicates: &mut Predicates<'_>,
    ordinary: &[String],
) -> Option<String> {
    let asked = asks(plan, Source::Events, &[Metric::TotalRevenue, Metric::AverageRevenue]);
    if !asked || plan.question.revenue_problem().is_some() {
        return None;
    }
    let currency_texts = texts_of(plan.question.site_id.0, TextField::Currency);
    let code = |text: String| format!("(SELECT code FROM {currency_texts} WHERE text = {text})");
    let mut conditions = ordinary.to_vec();
    let currency = if plan.question.dimensions.contains(&Dimension::Goal) {
        let mut text = String::from("CASE goal");
        for (index, goal) in plan.question.goals.iter().enumerate() {
            if !goal.currency.is_empty() {
                let currency = code(predicates.parameters.bind(&goal.currency));
                text.push_str(&format!(" WHEN {index} THEN {currency}"));
            }
        }
        format!("{text} END")
    } else {
        let goals = plan.question.revenue_goals();
        let earned: Vec<String> = goals.map(|goal| predicates.converts(goal)).collect();
        conditions.push(format!("({})", earned.join(" OR ")));
        code(predicates.parameters.bind(plan.question.revenue_currency(&[])?))
    };
    conditions.push(format!("currency = {currency}"));
    let counted = all_of(&conditions);
    Some(format!(
        "sum(value_minor) FILTER (WHERE {counted}) AS revenue,
         count(value_minor) FILTER (WHERE {counted}) AS amounts"
    ))
}

fn visit_keys(plan: &Plan<'_>, dimensions: &[Dimension]) -> (Vec<String>, String) {
    let mut having = String::new();
    let keys = dimensions.iter().enumerate().map(|(index, dimension)| {
        match (dimension, &plan.question.buckets) {
            (Dimension::Time(TimeUnit::Hour), _) => "hour".to_owned(),
            (Dimension::Time(_), Some(buckets)) => {
                having = format!("HAVING k{index} BETWEEN 0 AND {}", buckets.count() - 1);
                bucket(buckets, "ended_at_ms", i64::MAX - 1)
            }
            (Dimension::Page, _) => "entry_page".to_owned(),
            (Dimension::Visit(field), _) => place(*field).sql.to_owned(),
            // A question with these has no visits' side.
            _ => "''".to_owned(),
        }
    });
    let keys = keys.collect();
    (keys, having)
}

fn visit_rows(plan: &Plan<'_>, kept: &str) -> String {
    let hourly = plan.question.dimensions.contains(&Dimension::Time(TimeUnit::Hour));
    if hourly { hours(plan, kept) } else { format!("sessions WHERE {kept}") }
}

/// Visits by group: columns `k0…`, `visitors`, `visits`, `bounces`, `bounce_visits`, `seconds`, `visit_pageviews`;
/// those that are needed.
pub(super) fn visits(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> String {
    if let Some(rolled) = predicates.rolled.visits.take() {
        return rolled;
    }
    let (keys, having) = visit_keys(plan, &plan.question.dimensions);
    let mut counts = visit_counts(plan, predicates);
    if keys.is_empty() && counts.is_empty() {
        counts.push("count(*) AS nothing".to_owned());
    }
    let kept = predicates.kept_visits(&plan.visit_filters, plan.engagement);
    let rows = visit_rows(plan, &kept);
    format!("SELECT {} FROM {rows} {} {having}", columns(&keys, &counts), group_by(keys.len()))
}

fn visit_counts(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> Vec<String> {
    let mut counts = Vec::new();
    if asks(plan, Source::Visits, &VISITOR_METRICS) {
        counts.push("count(DISTINCT visitor_id) AS visitors".to_owned());
    }
    let divided = [Metric::Visits, Metric::VisitDuration, Metric::ViewsPerVisit, Metric::ExitRate];
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

/// Visitors of the whole question, one row `total`, counted where its rows count them.
pub(super) fn total_visitors(
    plan: &Plan<'_>,
    predicates: &mut Predicates<'_>,
    filters: &[Filter],
    engagement: Engagement,
    off_site: bool,
) -> String {
    let (table, kept) = if plan.source(Metric::Visitors) == Source::Visits {
        ("sessions", predicates.kept_visits(filters, engagement))
    } else {
        ("events", predicates.kept_anywhere(filters, engagement, off_site))
    };
    format!("SELECT count(DISTINCT visitor_id) AS total FROM {table} WHERE {kept}")
}

/// Whether the range has identified visitors and anonymous ones, one row `mixed`. Each half ends at the first row found,
/// and skips stretches of rows that are all of the other kind.
pub(super) fn mixes_identification(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> String {
    let filters = plan.identification_filters();
    let (table, kept) = if plan.source(Metric::Visitors) == Source::Visits {
        ("sessions", predicates.kept_visits(&filters, Engagement::Hidden))
    } else {
        ("events", predicates.kept_events(&filters, Engagement::Hidden))
    };
    format!(
        "SELECT EXISTS (SELECT 1 FROM {table} WHERE {kept} AND identified)
            AND EXISTS (SELECT 1 FROM {table} WHERE {kept} AND NOT identified) AS mixed"
    )
}

/// Visitors of the same groups, goals left aside, before goal and property filters: columns `k0…`, `visitors`.
pub(super) fn everyone(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> String {
    let dimensions = without_goal(plan);
    let visitors = ["count(DISTINCT visitor_id) AS visitors".to_owned()];
    let (keys, rows, having) = if plan.source(Metric::Visitors) == Source::Visits {
        let filters = Plan::without_conversion_filters(&plan.visit_filters);
        let kept = predicates.kept_visits(&filters, plan.engagement_without_goals);
        let (keys, having) = visit_keys(plan, &dimensions);
        (keys, visit_rows(plan, &kept), having)
    } else {
        let filters = Plan::without_conversion_filters(&plan.filters);
        let mut kept = vec![predicates.kept_events(&filters, plan.engagement_without_goals)];
        for dimension in &dimensions {
            kept.extend(predicates.has_value(dimension));
        }
        let kept = all_of(&kept);
        let keys = event_keys(plan, &dimensions, predicates);
        (keys, event_rows(plan, &dimensions, predicates, &kept, ""), String::new())
    };
    format!("SELECT {} FROM {rows} {} {having}", columns(&keys, &visitors), group_by(keys.len()))
}

/// How pages were read, by group: columns `k0…`, `depth_sum`, `depth_visits`, `engaged_ms`, `engaged_visits`.
pub(super) fn engagement(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> String {
    let dimensions = &plan.question.dimensions;
    let keys = event_keys(plan, dimensions, predicates);
    let kept = predicates.kept_events(&plan.filters, Engagement::All);
    let kept = format!("{kept} AND name = {ENGAGEMENT_CODE}");
    let rows = event_rows(plan, dimensions, predicates, &kept, "");
    let of_visit = [
        "session_id".to_owned(),
        "max(scroll_percent) FILTER (WHERE scroll_percent <= 100) AS depth".to_owned(),
        "sum(engagement_ms) AS visit_ms".to_owned(),
    ];
    let visits =
        format!("SELECT {} FROM {rows} {}", columns(&keys, &of_visit), group_by(keys.len() + 1));
    let mut shown: Vec<String> = (0..keys.len()).map(|index| format!("k{index}")).collect();
    shown.push(
        "sum(depth) AS depth_sum, count(depth) AS depth_visits, sum(visit_ms) AS engaged_ms,
            count(*) FILTER (WHERE visit_ms > 0) AS engaged_visits"
            .to_owned(),
    );
    format!("SELECT {} FROM ({visits}) {}", shown.join(", "), group_by(keys.len()))
}

/// Page views by path: columns `k0`, `pageviews`.
pub(super) fn exit_pageviews(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> String {
    let filters = Plan::without_exit_filters(&plan.question.filters);
    let kept = predicates.kept_events(&filters, Engagement::Hidden);
    format!(
        "SELECT path AS k0, count(*) AS pageviews FROM events WHERE {kept} AND name = {PAGE_VIEW_CODE} GROUP BY 1"
    )
}
