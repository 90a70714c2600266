//! Questions as statements: one statement per question, planned by [`crate::plan`].
//!
//! Guarantees: rates come out as exact integers of their last decimal, rounded half away from zero; ordering and paging
//! happen in the statement, on what rows are called. Zones are constants computed beforehand, never DuckDB's own.

mod events;
mod funnel;
mod goals;
mod journeys;
mod lists;
mod moments;
mod orders;
mod predicate;
mod retention;
mod runs;
mod sides;
mod statement;
mod tallies;
mod touches;

use cairn_model::answer::{Answer, Figure, Key, Row};
use cairn_model::event::PAGE_VIEW;
use cairn_model::question::countries::COUNTRIES;
use cairn_model::question::filters::PAGE_VIEW_ASKED;
use cairn_model::question::revenue::minor_unit_decimals;
use cairn_model::question::{Column, Dimension, Direction, Field, Metric, Question, TimeUnit};

use super::connection::{Connection, RowRef};
use super::error::DuckError;
use super::rollup::{Asked, Rolling};
use super::texts::texts_of;
use crate::plan::{Plan, Sides, Source};
pub(super) use events::{events_page, events_where, first_event_ms};
pub(super) use funnel::funnel;
pub(super) use journeys::journeys;
pub(super) use lists::{people_page, timeline, visit_conversions, visitors_page, visits_page};
use orders::OrderNames;
pub(super) use orders::{currencies, spellings};
use predicate::Predicates;
pub(super) use predicate::{dimension_texts, ordinary_events};
pub(super) use retention::retention;
pub(super) use statement::Parameters;
pub(super) use touches::touch_paths;

/// Answers a question on a connection.
pub(super) fn ask(
    connection: &Connection,
    question: &Question,
    rolling: &Rolling<'_>,
) -> Result<Answer, DuckError> {
    let answer = run(connection, question, rolling)?;
    let beyond_the_end = answer.rows.is_empty() && question.page.offset > 0;
    if !beyond_the_end {
        return Ok(answer);
    }
    // What is said about all rows rides on each row, so an empty page has to ask for another one.
    let all = run(connection, &question.with_all_rows(), rolling)?;
    Ok(Answer { rows: Vec::new(), ..all })
}

/// Answers those questions that rollups can answer whole, all of a range in one pass.
pub(super) fn ask_together(
    connection: &Connection,
    questions: &[Question],
    rolling: &Rolling<'_>,
) -> Result<Vec<Option<Answer>>, DuckError> {
    let mut answers: Vec<Option<Answer>> = vec![None; questions.len()];
    let mut begun: Vec<(usize, Plan<'_>, Predicates<'_>)> = questions
        .iter()
        .enumerate()
        .map(|(place, question)| (place, Plan::of(question), Predicates::new(question)))
        .collect();
    let about = |plan: &Plan<'_>| (plan.question.site_id, plan.question.range);
    while let Some(first) = begun.first().map(|(_, plan, _)| about(plan)) {
        let (mut same, others): (Vec<_>, Vec<_>) =
            begun.into_iter().partition(|(_, plan, _)| about(plan) == first);
        begun = others;
        let asked = same
            .iter_mut()
            .map(|(_, plan, predicates)| Asked { plan, parameters: &mut predicates.parameters });
        let rolled = rolling.sides(connection, &mut asked.collect::<Vec<_>>())?;
        for ((place, plan, mut predicates), rolled) in same.into_iter().zip(rolled) {
            if rolled.is_whole(&plan) {
                predicates.rolled = rolled;
                let answer = read(connection, &plan, predicates)?;
                // What is said about all rows rides on each row: an empty page is asked for alone.
                let is_told = !answer.rows.is_empty() || plan.question.page.offset == 0;
                answers[place] = is_told.then_some(answer);
            }
        }
    }
    Ok(answers)
}

fn run(
    connection: &Connection,
    question: &Question,
    rolling: &Rolling<'_>,
) -> Result<Answer, DuckError> {
    let plan = Plan::of(question);
    let mut predicates = Predicates::new(question);
    let asked = Asked { plan: &plan, parameters: &mut predicates.parameters };
    predicates.rolled = rolling.sides(connection, &mut [asked])?.pop().unwrap_or_default();
    read(connection, &plan, predicates)
}

/// Runs the statement of a question.
fn read(
    connection: &Connection,
    plan: &Plan<'_>,
    mut predicates: Predicates<'_>,
) -> Result<Answer, DuckError> {
    let question = plan.question;
    if !plan.sums.is_empty() {
        predicates.order_names = OrderNames::of(connection, question.site_id)?;
    }
    let sql = statement(plan, &mut predicates);
    let values = predicates.parameters.values();
    let mut answer =
        Answer { total_rows: question.include.total_rows.then_some(0), ..Answer::default() };
    let rows = connection.query(&sql, &values)?;
    rows.for_each(|row| read_row(plan, row, &mut answer))?;
    if !plan.sums.is_empty() {
        answer.notes = Some(orders::notes(connection, plan, predicates.order_names)?);
    }
    Ok(answer)
}

/// Rounded half away from zero; the whole is above 0.
fn rounded(part: &str, whole: &str, scale: i64) -> String {
    format!("(({} * {part}::HUGEINT + {whole}) // (2 * {whole}))", 2 * scale)
}

/// The same, 0 where there is nothing to divide by.
fn rate(part: &str, whole: &str, scale: i64) -> String {
    format!("CASE WHEN {whole} > 0 THEN {} ELSE 0 END", rounded(part, whole, scale))
}

/// A metric in terms of the sides' columns.
fn metric(plan: &Plan<'_>, metric: Metric) -> String {
    let side = if plan.source(metric) == Source::Visits { "v" } else { "e" };
    // A row may come from the other side: what is missing on this one counts as 0.
    let column = |name: &str| match plan.sides {
        Sides::Both => format!("coalesce({side}.{name}, 0)"),
        _ => format!("{side}.{name}"),
    };
    match metric {
        Metric::Visitors => column("visitors"),
        Metric::Visits => column("visits"),
        Metric::Pageviews => column("pageviews"),
        Metric::Events => column("events"),
        Metric::ViewsPerVisit => rate(&column("visit_pageviews"), &column("visits"), 100),
        Metric::BounceRate => rate(&column("bounces"), &column("bounce_visits"), 100),
        Metric::VisitDuration => rate(&column("seconds"), &column("visits"), 1),
        Metric::Percentage => {
            let share = rounded(&column("visitors"), "t.total", 1000);
            format!("CASE WHEN t.total > 0 THEN {share} END")
        }
        Metric::ConversionRate => rate(&column("visitors"), "c.total", 10_000),
        Metric::GroupConversionRate => rate(&column("visitors"), "coalesce(g.visitors, 0)", 10_000),
        Metric::ScrollDepth => {
            let mean = rounded("n.depth_sum", "n.depth_visits", 1);
            format!("CASE WHEN n.depth_visits > 0 THEN {mean} END")
        }
        Metric::TimeOnPage => {
            let mean = rounded("n.engaged_ms", "(1000 * n.engaged_visits)", 1);
            format!("CASE WHEN n.engaged_visits > 0 THEN {mean} END")
        }
        Metric::ExitRate => {
            let share = rounded(&column("visits"), "p.pageviews", 1000);
            format!("CASE WHEN p.pageviews > 0 THEN {share} END")
        }
        Metric::TotalRevenue | Metric::AverageRevenue => revenue(plan, metric),
        Metric::Tally(tally) => tallies::metric(plan, tally),
        Metric::Sum(sum) => column(orders::column_name(sum)),
        // Made of sums, after they are counted.
        Metric::Money(_) => "NULL".to_owned(),
    }
}

/// Amounts in thousandths of the main unit; what is smaller is cut.
fn revenue(plan: &Plan<'_>, metric: Metric) -> String {
    let question = plan.question;
    if question.revenue_problem().is_some() {
        return "NULL".to_owned();
    }
    let minor_units = |currency: &str| 10_i64.pow(minor_unit_decimals(currency)).to_string();
    let goal = question.dimensions.iter().position(|one| *one == Dimension::Goal);
    let units = match goal {
        Some(position) => {
            let goals = question.goals.iter().enumerate();
            let units: Vec<String> = goals
                .map(|(index, goal)| format!("WHEN {index} THEN {}", minor_units(&goal.currency)))
                .collect();
            format!("CASE e.k{position} {} END", units.join(" "))
        }
        None => minor_units(question.revenue_currency(&[]).unwrap_or_default()),
    };
    match metric {
        Metric::TotalRevenue => format!("((e.revenue::HUGEINT * 1000) // ({units}))"),
        _ => format!("((e.revenue::HUGEINT * 1000) // (({units}) * e.amounts))"),
    }
}

/// What rows are called where they are put in order.
fn label(plan: &Plan<'_>, index: usize, predicates: &mut Predicates<'_>) -> String {
    let key = format!("r.k{index}");
    let Some(dimension) = plan.question.dimensions.get(index) else { return key };
    if *dimension == Dimension::Goal {
        let mut text = format!("CASE {key}");
        for (index, goal) in plan.question.goals.iter().enumerate() {
            let name = predicates.parameters.bind(&goal.name);
            text.push_str(&format!(" WHEN {index} THEN {name}"));
        }
        return format!("{text} END");
    }
    let missing = dimension.missing_label();
    if !missing.is_empty() {
        return format!("CASE {key} WHEN '' THEN '{missing}' ELSE {key} END");
    }
    match dimension {
        Dimension::EventName => {
            format!("CASE {key} WHEN '{PAGE_VIEW}' THEN '{PAGE_VIEW_ASKED}' ELSE {key} END")
        }
        Dimension::Visit(Field::CountryName) => {
            let mut text = format!("CASE {key}");
            for (code, name) in COUNTRIES {
                let name = predicates.parameters.bind(name);
                text.push_str(&format!(" WHEN '{code}' THEN {name}"));
            }
            text.push_str(&format!(" ELSE {key} END"));
            text
        }
        _ => key,
    }
}

fn order(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> String {
    let question = plan.question;
    let dimensions = question.dimensions.len();
    if dimensions == 0 {
        return String::new();
    }
    let mut columns = Vec::new();
    for order in &question.order_by {
        let column = match order.column {
            Column::Metric(index) => format!("r.m{index}"),
            Column::Dimension(index) => label(plan, index, predicates),
        };
        let direction = if order.direction == Direction::Ascending { "ASC" } else { "DESC" };
        columns.push(format!("{column} {direction} NULLS LAST"));
    }
    columns.extend((0..dimensions).map(|index| label(plan, index, predicates)));
    columns.extend((0..dimensions).map(|index| format!("r.k{index}")));
    format!("ORDER BY {}", columns.join(", "))
}

fn page(question: &Question) -> String {
    match question.page.limit {
        Some(limit) if !question.dimensions.is_empty() => {
            format!("LIMIT {limit} OFFSET {}", question.page.offset)
        }
        // The single row without dimensions is the first page.
        Some(_) if question.page.offset > 0 => "LIMIT 0".to_owned(),
        _ => String::new(),
    }
}

/// Rows that a comparison asked for.
fn only_groups(question: &Question, predicates: &mut Predicates<'_>) -> String {
    let Some(groups) = &question.only_groups else { return String::new() };
    let columns: Vec<String> = question
        .dimensions
        .iter()
        .enumerate()
        .filter(|(_, dimension)| !matches!(dimension, Dimension::Time(_)))
        .map(|(index, _)| format!("r.k{index}"))
        .collect();
    let mut rows = Vec::new();
    for group in groups.iter().filter(|group| group.len() == columns.len()) {
        let mut values = Vec::new();
        for key in group {
            values.push(match key {
                Key::Text(text) => predicates.parameters.bind(text),
                Key::Bucket(number) => number.to_string(),
                Key::Goal(number) => number.to_string(),
            });
        }
        rows.push(format!("({})", values.join(", ")));
    }
    match (columns.is_empty(), rows.is_empty()) {
        (true, false) => String::new(),
        (_, true) => "WHERE FALSE".to_owned(),
        (false, false) => format!("WHERE ({}) IN ({})", columns.join(", "), rows.join(", ")),
    }
}

/// The whole statement. Columns: `k0…`, `m0…`, rows in all, whether the range mixes identified and
/// anonymous visitors.
fn statement(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> String {
    let question = plan.question;
    let keys = question.dimensions.len();
    let visits_side = plan.sides == Sides::Visits || plan.counts_in(Source::Visits);
    let from = match plan.sides {
        Sides::Visits => format!("({}) v", sides::visits(plan, predicates)),
        Sides::Both if visits_side => {
            let (events, visits) =
                (sides::events(plan, predicates), sides::visits(plan, predicates));
            format!("({events}) e {} ({visits}) v {}", join(plan), on(keys))
        }
        _ => format!("({}) e", sides::events(plan, predicates)),
    };
    let main = if plan.sides == Sides::Visits { "v" } else { "e" };
    let both = plan.sides == Sides::Both && visits_side;
    let key = |index: usize| match both {
        true => format!("coalesce(e.k{index}, v.k{index})"),
        false => format!("{main}.k{index}"),
    };
    let (with, constants) = constants(plan, predicates);
    let from = format!("{from}{constants}{}", others(plan, predicates, &key));
    let (from, mut columns) = with_texts(question, from, &key);
    for (index, wanted) in question.metrics.iter().enumerate() {
        columns.push(format!("{} AS m{index}", metric(plan, *wanted)));
    }
    if plan.watches_identification() {
        columns.push("i.mixed AS mixed".to_owned());
    }
    let inner = format!("SELECT {} FROM {from}", columns.join(", "));
    let mut shown: Vec<String> = (0..keys).map(|index| format!("r.k{index}")).collect();
    shown.extend((0..question.metrics.len()).map(|index| format!("r.m{index}::BIGINT")));
    if question.include.total_rows {
        shown.push("count(*) OVER ()".to_owned());
    }
    if plan.watches_identification() {
        shown.push("r.mixed".to_owned());
    }
    let only = only_groups(question, predicates);
    let order = order(plan, predicates);
    format!("{with}SELECT {} FROM ({inner}) r {only} {order} {}", shown.join(", "), page(question))
}

/// Groups are made of codes; here, where only they are left, they get their texts: the tables joined, and the keys.
fn with_texts(
    question: &Question,
    mut from: String,
    key: &dyn Fn(usize) -> String,
) -> (String, Vec<String>) {
    let mut columns = Vec::new();
    for (index, dimension) in question.dimensions.iter().enumerate() {
        let key = key(index);
        columns.push(match dimension_texts(dimension) {
            Some(field) => {
                let texts = texts_of(question.site_id.0, field);
                // Every code has its text, so this leaves no row out; and for few rows few texts are read.
                from.push_str(&format!(" JOIN {texts} d{index} ON d{index}.code = {key}"));
                format!("d{index}.text AS k{index}")
            }
            None => format!("{key} AS k{index}"),
        });
    }
    (from, columns)
}

/// Values that are the same for all rows, each computed once, ahead of the statement: `WITH …`, and how they are joined.
fn constants(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> (String, String) {
    let filters = &plan.question.filters;
    let mut values = Vec::new();
    if plan.asks(Metric::Percentage) {
        let (engagement, off_site) = (plan.total_engagement(), plan.off_site_filtered);
        let total = match predicates.rolled.total.take() {
            Some(total) => total,
            None => sides::total_visitors(plan, predicates, filters, engagement, off_site),
        };
        values.push(("t", total));
    }
    if plan.asks(Metric::ConversionRate) {
        let filters = Plan::without_conversion_filters(filters);
        let engagement = plan.total_engagement_without_goals();
        let total = sides::total_visitors(plan, predicates, &filters, engagement, false);
        values.push(("c", total));
    }
    if plan.watches_identification() {
        values.push(("i", sides::mixes_identification(plan, predicates)));
    }
    let joins = values.iter().map(|(name, _)| format!(" CROSS JOIN {name}")).collect();
    if !plan.sums.is_empty() {
        values.push((orders::LEDGER, orders::ledger(plan.question, predicates)));
    }
    let named = values.iter().map(|(name, sql)| format!("{name} AS MATERIALIZED ({sql})"));
    let with = match values.is_empty() {
        true => String::new(),
        false => format!("WITH {} ", named.collect::<Vec<_>>().join(", ")),
    };
    (with, joins)
}

/// What some metrics need besides the sides themselves, joined to them by group.
fn others(
    plan: &Plan<'_>,
    predicates: &mut Predicates<'_>,
    key: &dyn Fn(usize) -> String,
) -> String {
    let question = plan.question;
    let mut text = String::new();
    let keys: Vec<String> = (0..question.dimensions.len()).map(key).collect();
    let mut join = |sql: String, name: &str, keys: Vec<String>| {
        let equal = keys.iter().enumerate().map(|(index, key)| format!("{key} = {name}.k{index}"));
        let equal = equal.collect::<Vec<_>>().join(" AND ");
        text.push_str(&match equal.as_str() {
            "" => format!(" CROSS JOIN ({sql}) {name}"),
            _ => format!(" LEFT JOIN ({sql}) {name} ON {equal}"),
        });
    };
    if plan.asks(Metric::GroupConversionRate) {
        let dimensions = question.dimensions.iter().zip(&keys);
        let no_goal = dimensions.filter(|(dimension, _)| **dimension != Dimension::Goal);
        let keys = no_goal.map(|(_, key)| key.clone()).collect();
        join(sides::everyone(plan, predicates), "g", keys);
    }
    if plan.counts_in(Source::Engagement) {
        join(sides::engagement(plan, predicates), "n", keys.clone());
    }
    if plan.asks(Metric::ExitRate) {
        join(sides::exit_pageviews(plan, predicates), "p", keys.clone());
    }
    text
}

/// Rows are those of the events; by hour, those found on either side.
fn join(plan: &Plan<'_>) -> &'static str {
    let dimensions = &plan.question.dimensions;
    match dimensions.is_empty() {
        true => "CROSS JOIN",
        false if dimensions.contains(&Dimension::Time(TimeUnit::Hour)) => "FULL JOIN",
        false => "LEFT JOIN",
    }
}

fn on(keys: usize) -> String {
    let equal: Vec<String> = (0..keys).map(|index| format!("e.k{index} = v.k{index}")).collect();
    if equal.is_empty() { String::new() } else { format!("ON {}", equal.join(" AND ")) }
}

fn figure(metric: Metric, raw: Option<i64>) -> Figure {
    if let Metric::Tally(tally) = metric {
        return tally.figure(raw);
    }
    let Some(raw) = raw else { return Figure::Missing };
    match metric {
        Metric::ViewsPerVisit | Metric::ConversionRate | Metric::GroupConversionRate => {
            Figure::Hundredths(raw)
        }
        Metric::Percentage | Metric::ExitRate => Figure::Tenths(raw),
        Metric::TotalRevenue | Metric::AverageRevenue => Figure::Thousandths(raw),
        _ => Figure::Whole(raw),
    }
}

fn read_row(plan: &Plan<'_>, row: RowRef<'_>, answer: &mut Answer) -> Result<(), DuckError> {
    let question = plan.question;
    let mut column = 0;
    let mut next = || {
        column += 1;
        column - 1
    };
    let mut keys = Vec::with_capacity(question.dimensions.len());
    for dimension in &question.dimensions {
        keys.push(match dimension {
            Dimension::Time(_) => Key::Bucket(row.get(next())?),
            Dimension::Goal => Key::Goal(row.get::<u32>(next())? as usize),
            _ => Key::Text(row.get(next())?),
        });
    }
    let mut figures = Vec::with_capacity(question.metrics.len());
    for metric in &question.metrics {
        figures.push(figure(*metric, row.optional(next())?));
    }
    if question.include.total_rows {
        answer.total_rows = Some(row.get(next())?);
    }
    if plan.watches_identification() {
        answer.mixed_identification = row.get(next())?;
    }
    answer.rows.push(Row { keys, figures });
    Ok(())
}
