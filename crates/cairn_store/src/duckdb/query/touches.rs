//! Paths to conversions as one statement: journeys are put together and counted in the database, so what comes out is
//! as large as the number of different paths, not of people. What counts is told in [`cairn_model::touches`].
//!
//! A touch is a word, `KIND.CODE`; a path is its words with spaces between them, which get their texts last.

use cairn_model::question::AttributionQuestion;
use cairn_model::question::attribution::{REVENUE_EVENT, Target, Terms, VIEW_EVENT};
use cairn_model::touches::{Touch, TouchKind, TouchPath, TouchPaths};

use super::predicate::{Place, Predicates, Table, place};
use super::statement::all_of;
use crate::duckdb::connection::{Connection, RowRef};
use crate::duckdb::error::DuckError;
use crate::duckdb::texts::{Decoded, Wanted, texts_of};
use crate::plan::Plan;
use crate::schema::{MISSING_CODE, TextField};

/// Users are numbers from here on, above those of all visitors.
const USERS_FROM: u128 = 1 << 64;

/// A path whose touches are still codes.
struct CodedPath {
    words: Vec<(TouchKind, u32)>,
    path: TouchPath,
}

/// All paths of a question.
pub(in crate::duckdb) fn touch_paths(
    connection: &Connection,
    asked: &AttributionQuestion,
) -> Result<TouchPaths, DuckError> {
    let mut predicates = Predicates::new(asked.question());
    let sql = statement(asked, &mut predicates);
    let values = predicates.parameters.values();
    let (mut found, mut coded) = (TouchPaths::default(), Vec::new());
    connection.query(&sql, &values)?.for_each(|row| {
        coded.push(read_path(row)?);
        found.paths_total = row.get(7)?;
        found.conversions = row.get(8)?;
        found.value_minor = row.get(9)?;
        found.without = row.get(10)?;
        found.shortened = row.get(11)?;
        found.anonymous = row.get(12)?;
        found.other_currency = row.get(13)?;
        Ok::<(), DuckError>(())
    })?;
    let (site, place) = (asked.question().site_id.0, place(asked.terms().field));
    let field = texts(place)?;
    let mut wanted = Wanted::default();
    let codes = coded.iter().flat_map(|coded| &coded.words);
    codes.for_each(|(_, code)| wanted.insert(site, field, *code));
    let texts = wanted.read(connection)?;
    for CodedPath { words, mut path } in coded {
        path.touches = with_texts(&words, &texts, site, field)?;
        found.paths.push(path);
    }
    Ok(found)
}

fn texts(place: Place) -> Result<TextField, DuckError> {
    place.texts.ok_or_else(|| DuckError::misuse("a dimension of touches has no codes"))
}

fn with_texts(
    words: &[(TouchKind, u32)],
    texts: &Decoded,
    site: u32,
    field: TextField,
) -> Result<Vec<Touch>, DuckError> {
    let touch = |(kind, code): &(TouchKind, u32)| {
        Ok(Touch { kind: *kind, value: texts.get(site, field, *code)?.to_owned() })
    };
    words.iter().map(touch).collect()
}

fn read_path(row: RowRef<'_>) -> Result<CodedPath, DuckError> {
    let words: Vec<(TouchKind, u32)> =
        row.get::<&str>(0)?.split(' ').map(word).collect::<Result<_, _>>()?;
    let shares = |column: usize| -> Result<Vec<f64>, DuckError> {
        let Some(text) = row.optional::<&str>(column)? else { return Ok(vec![0.0; words.len()]) };
        let number = |text: &str| {
            text.parse().map_err(|_| DuckError::misuse("a share of a touch is no number"))
        };
        text.split(' ').map(number).collect()
    };
    let path = TouchPath {
        touches: Vec::new(),
        conversions: row.get(1)?,
        value_minor: row.get(2)?,
        without: row.get(3)?,
        duration_ms: row.get(4)?,
        decay: shares(5)?,
        decay_value: shares(6)?,
    };
    Ok(CodedPath { words, path })
}

fn word(text: &str) -> Result<(TouchKind, u32), DuckError> {
    let parts = text.split_once('.').and_then(|(kind, code)| {
        let kind = TouchKind::ALL.get(kind.parse::<usize>().ok()?)?;
        Some((*kind, code.parse().ok()?))
    });
    parts.ok_or_else(|| DuckError::misuse("a word of a path is no touch"))
}

/// A visit's word, or that of an event with its visit's source.
fn visit_word(column: &str) -> String {
    let (direct, visit) = (TouchKind::Direct as u8, TouchKind::Visit as u8);
    format!("CASE WHEN source = 0 THEN '{direct}.{MISSING_CODE}' ELSE '{visit}.' || {column} END")
}

/// The only user whom a visitor's events name; visitors whose events name none or several are left out.
fn who(asked: &AttributionQuestion) -> String {
    let (site, range) = (asked.question().site_id, asked.question().range);
    format!(
        "SELECT visitor_id, min(user_key) AS user_key FROM events
         WHERE site_id = {site} AND timestamp_ms >= {} AND timestamp_ms < {} AND bot = 0 AND user_key <> 0
         GROUP BY visitor_id HAVING min(user_key) = max(user_key)",
        asked.earliest_ms(),
        range.until_ms()
    )
}

fn person() -> String {
    format!("coalesce(who.user_key::HUGEINT + {USERS_FROM}, visitor_id::HUGEINT) AS person")
}

/// Everything that could be part of a path: `person`, `at_ms`, `is_view`, `id`, `word`.
fn touches(asked: &AttributionQuestion, predicates: &mut Predicates<'_>) -> String {
    let (terms, question) = (asked.terms(), asked.question());
    let (site, range, person) = (question.site_id, question.range, person());
    let column = place(terms.field).sql;
    let since = |window_ms: i64| range.from_ms().saturating_sub(window_ms);
    let visits = format!(
        "SELECT {person}, started_at_ms AS at_ms, FALSE AS is_view, session_id AS id, {} AS word
         FROM sessions LEFT JOIN who USING (visitor_id)
         WHERE site_id = {site} AND bot = 0 AND started_at_ms > {} AND started_at_ms < {}",
        visit_word(column),
        since(terms.lookback_ms),
        range.until_ms()
    );
    let Some(window_ms) = terms.view_window_ms else { return visits };
    let view = TouchKind::View as u8;
    format!(
        "{visits} UNION ALL
         SELECT {person}, timestamp_ms, TRUE, event_offset, '{view}.' || {column}
         FROM events LEFT JOIN who USING (visitor_id)
         WHERE site_id = {site} AND bot = 0 AND identified AND {}
            AND timestamp_ms > {} AND timestamp_ms < {}",
        predicates.named(&[VIEW_EVENT]),
        since(window_ms),
        range.until_ms()
    )
}

/// Whether an event is a conversion, whatever the filters say.
fn is_conversion(target: &Target, predicates: &mut Predicates<'_>) -> String {
    match target {
        Target::Goal(goal) if target.is_once_per_visit() => {
            format!("{} AND session_id <> 0", predicates.converts(goal))
        }
        Target::Goal(goal) => predicates.converts(goal),
        Target::Revenue => {
            let (site, named) = (predicates.question.site_id, predicates.named(&[REVENUE_EVENT]));
            let in_range = all_of(&predicates.in_range());
            format!(
                "value_minor IS NOT NULL AND {named} AND (order_id = '' OR event_offset IN (
                    SELECT min(event_offset) FROM events WHERE site_id = {site} AND {named} AND order_id IN (
                        SELECT order_id FROM events WHERE {in_range} AND {named} AND order_id <> '')
                    GROUP BY order_id))"
            )
        }
    }
}

/// People of whom a visit in the range passes the filters: `person`. Nothing where there are none.
fn among(asked: &AttributionQuestion, predicates: &mut Predicates<'_>) -> Option<String> {
    let question = asked.question();
    if question.filters.is_empty() {
        return None;
    }
    let kept = predicates.kept_visits(&question.filters, Plan::of(question).engagement);
    let person = person();
    Some(format!("SELECT {person} FROM sessions LEFT JOIN who USING (visitor_id) WHERE {kept}"))
}

/// Conversions: `id`, `person`, `at_ms`, `identified`, `value_minor`, `is_other`, `word`, and whether each `counts`.
fn conversions(asked: &AttributionQuestion, predicates: &mut Predicates<'_>) -> String {
    let terms = asked.terms();
    let mut conditions = predicates.stored_in_range();
    conditions.push(is_conversion(&terms.target, predicates));
    let currencies = texts_of(asked.question().site_id.0, TextField::Currency);
    let currency = predicates.parameters.bind(&terms.currency);
    let is_ours = format!(
        "coalesce(currency = (SELECT code FROM {currencies} WHERE text = {currency}), FALSE)"
    );
    let counts = all_of(&predicates.conditions(&asked.question().filters, Table::Events));
    let first = match terms.target.is_once_per_visit() {
        true => {
            "QUALIFY row_number() OVER (PARTITION BY session_id ORDER BY timestamp_ms, event_offset) = 1"
        }
        false => "",
    };
    format!(
        "SELECT event_offset AS id, {}, timestamp_ms AS at_ms, identified,
            CASE WHEN {is_ours} THEN coalesce(value_minor, 0) ELSE 0 END AS value_minor,
            value_minor IS NOT NULL AND NOT {is_ours} AS is_other, {} AS word, ({counts}) AS counts
         FROM events LEFT JOIN who USING (visitor_id) WHERE {} {first}",
        person(),
        visit_word(place(terms.field).sql),
        all_of(&conditions)
    )
}

/// Every touch of every journey that its window lets in: a journey is a conversion or a person without one.
fn steps(asked: &AttributionQuestion, among: Option<String>) -> String {
    let Terms { lookback_ms, view_window_ms, .. } = asked.terms();
    let (from_ms, view_ms) = (asked.question().range.from_ms(), view_window_ms.unwrap_or(0));
    let among =
        among.map_or_else(String::new, |people| format!("SEMI JOIN ({people}) USING (person)"));
    let journey = "PARTITION BY e.has_converted, e.journey";
    format!(
        "SELECT e.has_converted, e.journey, e.value_minor, t.is_view, t.id,
            coalesce(e.at_ms - t.at_ms, 0) AS age_ms, coalesce(t.word, e.word) AS word,
            row_number() OVER ({journey} ORDER BY t.at_ms DESC, t.is_view DESC, t.id DESC) AS back,
            count(*) OVER ({journey}) AS length
         FROM (SELECT TRUE AS has_converted, id::HUGEINT AS journey, person, at_ms, value_minor, word FROM conversions
            WHERE counts
            UNION ALL
            SELECT FALSE, person, person, max(at_ms), 0, ''
            FROM (SELECT * FROM touches {among}) ANTI JOIN conversions USING (person)
            WHERE at_ms >= {from_ms} GROUP BY person) e
         LEFT JOIN touches t ON t.person = e.person AND t.at_ms <= e.at_ms
            AND t.at_ms > e.at_ms - CASE WHEN t.is_view THEN {view_ms} ELSE {lookback_ms} END"
    )
}

/// The whole statement. Columns: a path's words, its conversions, amount, people without conversion, duration, shares by
/// time decay, these weighted; then the sums of [`TouchPaths`], the same in every row.
fn statement(asked: &AttributionQuestion, predicates: &mut Predicates<'_>) -> String {
    let Terms { half_life_ms, paths_max, touches_max, .. } = asked.terms();
    let weight = format!("pow(2.0, -age_ms::DOUBLE / {half_life_ms})");
    let (who, touches) = (who(asked), touches(asked, predicates));
    let among = among(asked, predicates);
    let (conversions, steps) = (conversions(asked, predicates), steps(asked, among));
    let order = "conversions DESC, value_minor DESC, without DESC, first_conversion, last_touch";
    format!(
        "WITH who AS MATERIALIZED ({who}),
        touches AS MATERIALIZED ({touches}),
        conversions AS MATERIALIZED ({conversions}),
        steps AS MATERIALIZED (
            SELECT *, {weight} / sum({weight}) OVER (PARTITION BY has_converted, journey) AS share
            FROM ({steps}) WHERE back <= {touches_max}),
        journeys AS MATERIALIZED (
            SELECT has_converted, journey, string_agg(word, ' ' ORDER BY back DESC) AS path,
                any_value(value_minor) AS value_minor, max(age_ms) AS duration_ms, max(length) > {touches_max} AS is_shortened,
                min(id::HUGEINT * 2 + is_view::INTEGER) FILTER (WHERE back = 1) AS last_touch
            FROM steps GROUP BY has_converted, journey),
        paths AS (
            SELECT path, count(*) FILTER (WHERE has_converted) AS conversions, sum(value_minor) AS value_minor,
                count(*) FILTER (WHERE NOT has_converted) AS without,
                coalesce(sum(duration_ms) FILTER (WHERE has_converted), 0) AS duration_ms,
                count(*) FILTER (WHERE has_converted AND is_shortened) AS shortened,
                min(journey) FILTER (WHERE has_converted) AS first_conversion,
                min(last_touch) FILTER (WHERE NOT has_converted) AS last_touch
            FROM journeys GROUP BY path),
        kept AS MATERIALIZED (
            SELECT *, count(*) OVER () AS paths_total, sum(conversions) OVER () AS all_conversions,
                sum(value_minor) OVER () AS all_value, sum(without) OVER () AS all_without,
                sum(shortened) OVER () AS all_shortened
            FROM paths ORDER BY {order} LIMIT {paths_max}),
        places AS (
            SELECT path, back, sum(s.share) AS share, sum(s.share * s.value_minor) AS weighted
            FROM steps s JOIN journeys j USING (has_converted, journey) SEMI JOIN kept USING (path)
            WHERE has_converted GROUP BY path, back),
        decay AS (
            SELECT path, string_agg(share::VARCHAR, ' ' ORDER BY back DESC) AS shares,
                string_agg(weighted::VARCHAR, ' ' ORDER BY back DESC) AS weighted
            FROM places GROUP BY path)
        SELECT path, conversions, value_minor, without, duration_ms, shares, weighted,
            paths_total, all_conversions, all_value, all_without, all_shortened,
            (SELECT count(*) FROM conversions WHERE counts AND NOT identified),
            (SELECT count(*) FROM conversions WHERE counts AND is_other)
        FROM kept LEFT JOIN decay USING (path) ORDER BY {order}"
    )
}
