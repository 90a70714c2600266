//! Orders, each once, with what was given back and with their amounts in one currency: a sub-query to which events are joined.
//!
//! Computed when asked, from the events: whatever arrives late or in another order changes the next answer as if it had come
//! in time. Only the range's own orders are held in memory; the rest of the site's purchases and refunds is looked through.
//! The naive store does the same by walking, and random questions hold the two together.

use cairn_model::SiteId;
use cairn_model::answer::{OrderNotes, Unconverted};
use cairn_model::question::money::{CANCELLATION, PURCHASE, REFUND};
use cairn_model::question::{Question, Sum};
use cairn_model::session::Attribute;

use super::predicate::Predicates;
use super::statement::all_of;
use crate::duckdb::Value;
use crate::duckdb::connection::Connection;
use crate::duckdb::error::DuckError;
use crate::duckdb::texts::texts_of;
use crate::plan::Plan;
use crate::schema::TextField;

/// Name of the sub-query: `event_offset`, `is_order`, `is_repeated`, `order_minor` and `refund_minor` (converted),
/// `own_minor` and `own_refund_minor` (as they were said).
pub(super) const LEDGER: &str = "ledger";
/// Texts looked for at once.
const SPELLINGS_AT_ONCE: usize = 500;

/// The column of a sum.
pub(super) fn column_name(sum: Sum) -> &'static str {
    match sum {
        Sum::Conversions => "conversions",
        Sum::Orders => "orders",
        Sum::PricedOrders => "priced_orders",
        Sum::Revenue => "order_revenue",
        Sum::Refunds => "order_refunds",
    }
}

/// A sum over rows of events. `ordinary`: leaves out rows that only tallies are about.
pub(super) fn column(plan: &Plan<'_>, sum: Sum, ordinary: &str) -> String {
    // A sender may say any amount: a sum beyond all bounds must not fail the whole answer.
    let bounded = |column: &str| format!("least(coalesce(sum({column}), 0), {})", i64::MAX);
    let counted = match sum {
        Sum::Conversions if plan.counts_goals(sum) => format!("count(*){ordinary}"),
        Sum::Conversions | Sum::Orders => "count(*) FILTER (WHERE is_order)".to_owned(),
        Sum::PricedOrders => "count(order_minor)".to_owned(),
        Sum::Revenue => bounded("order_minor"),
        Sum::Refunds => bounded("refund_minor"),
    };
    format!("{counted} AS {}", column_name(sum))
}

/// How events are joined with [`LEDGER`].
pub(super) fn join(plan: &Plan<'_>) -> &'static str {
    match (plan.sums.is_empty(), plan.counts_ordinary || !plan.scopes.is_empty()) {
        (true, _) => "",
        (false, true) => " LEFT JOIN ledger USING (event_offset)",
        (false, false) => " JOIN ledger USING (event_offset)",
    }
}

/// Codes of the names of events about orders. Looked up beforehand: a scan that compares with a number skips what a join with
/// the texts would have to look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderNames {
    purchase: u32,
    refund: u32,
    cancellation: u32,
}

impl Default for OrderNames {
    fn default() -> Self {
        // The last code is never given out: no event has it.
        OrderNames { purchase: u32::MAX, refund: u32::MAX, cancellation: u32::MAX }
    }
}

impl OrderNames {
    /// Those that a site has.
    pub(super) fn of(connection: &Connection, site_id: SiteId) -> Result<Self, DuckError> {
        let texts = texts_of(site_id.0, TextField::Name);
        let sql = format!(
            "SELECT text, code FROM {texts} WHERE text IN ('{PURCHASE}', '{REFUND}', '{CANCELLATION}')"
        );
        let mut names = OrderNames::default();
        connection.query(&sql, &[])?.for_each(|row| {
            let code = row.get(1)?;
            match row.get::<String>(0)?.as_str() {
                PURCHASE => names.purchase = code,
                REFUND => names.refund = code,
                _ => names.cancellation = code,
            }
            Ok::<(), DuckError>(())
        })?;
        Ok(names)
    }
}

/// The sub-query [`LEDGER`]: purchases of the question's site and range, whoever made them.
pub(super) fn ledger(question: &Question, predicates: &mut Predicates<'_>) -> String {
    ledger_of(question, predicates, "TRUE")
}

/// The same of those purchases alone that fulfil a condition: the rest of the range is not held.
pub(super) fn ledger_of(
    question: &Question,
    predicates: &mut Predicates<'_>,
    condition: &str,
) -> String {
    let tables = tables(question, predicates, condition);
    format!("WITH {tables} {}", orders(question, predicates))
}

/// What the ledger is made from: `told` (all about orders in the range, where a condition holds), `others` (all about the same orders, whenever it was),
/// `firsts` (purchases that count), `given` (what was given back, by currency) and `wholes` (cancelled orders).
fn tables(question: &Question, predicates: &mut Predicates<'_>, condition: &str) -> String {
    let site = question.site_id;
    let OrderNames { purchase, refund, cancellation } = predicates.order_names;
    let about_orders = format!("name IN ({purchase}, {refund}, {cancellation})");
    let in_range = all_of(&predicates.in_range());
    format!(
        "told AS MATERIALIZED (
            SELECT event_offset, order_id, timestamp_ms, value_minor, currency, name FROM events
            WHERE {in_range} AND {about_orders} AND {condition}),
        others AS MATERIALIZED (
            SELECT event_offset, order_id, value_minor, currency, name FROM events
            WHERE site_id = {site} AND {about_orders} AND order_id <> ''
                AND order_id IN (SELECT order_id FROM told)),
        firsts AS (
            SELECT order_id, min(event_offset) AS first_offset,
                arg_min(currency, event_offset) AS first_currency
            FROM others WHERE name = {purchase} GROUP BY 1),
        given AS (
            SELECT order_id, currency, sum(value_minor) AS given FROM others
            WHERE name = {refund} GROUP BY 1, 2),
        wholes AS (
            SELECT DISTINCT order_id, TRUE AS is_whole FROM others WHERE name = {cancellation})"
    )
}

/// The ledger, from [`tables`].
fn orders(question: &Question, predicates: &mut Predicates<'_>) -> String {
    let purchase = predicates.order_names.purchase;
    let (prices, on) = prices(question, predicates);
    let converted = |amount: &str| {
        let rounded = format!("(2 * {amount}::HUGEINT * p.part + p.whole) // (2 * p.whole)");
        let others = match prices.is_empty() {
            true => String::new(),
            false => format!("WHEN timestamp_ms < p.until_ms THEN {rounded}"),
        };
        format!("CASE WHEN is_own THEN {amount}::HUGEINT {others} END")
    };
    let own = predicates.parameters.bind(currency(question));
    let currencies = texts_of(question.site_id.0, TextField::Currency);
    format!(
        "SELECT event_offset, is_order, NOT is_order AS is_repeated, own_minor,
            CASE WHEN own_minor IS NOT NULL THEN given_minor END AS own_refund_minor,
            {} AS order_minor, CASE WHEN own_minor IS NOT NULL THEN {} END AS refund_minor
        FROM (
            SELECT t.event_offset, t.timestamp_ms, t.currency,
                coalesce(t.event_offset = f.first_offset, TRUE) AS is_order,
                CASE WHEN coalesce(t.event_offset = f.first_offset, TRUE) THEN t.value_minor END AS own_minor,
                CASE WHEN w.is_whole THEN t.value_minor
                    ELSE least(t.value_minor, coalesce(g.given, 0)) END AS given_minor,
                coalesce(t.currency = (SELECT code FROM {currencies} WHERE text = {own}), FALSE) AS is_own
            FROM told t LEFT JOIN firsts f USING (order_id) LEFT JOIN wholes w USING (order_id)
                LEFT JOIN given g ON g.order_id = t.order_id AND g.currency = t.currency
            WHERE t.name = {purchase}) o {prices} {on}",
        converted("own_minor"),
        converted("given_minor"),
    )
}

fn currency(question: &Question) -> &str {
    question.pricing.as_ref().map_or("", |pricing| &pricing.currency)
}

/// What joins an order with the period that its time is in; empty where there are none.
fn prices(question: &Question, predicates: &mut Predicates<'_>) -> (String, &'static str) {
    let periods = question.pricing.as_ref().map_or(&[][..], |pricing| &pricing.periods);
    if periods.is_empty() {
        return (String::new(), "");
    }
    let rows = periods.iter().map(|period| {
        let currency = predicates.parameters.bind(&period.currency);
        let factor = period.factor;
        format!(
            "({currency}, {}::BIGINT, {}::BIGINT, {}::HUGEINT, {}::HUGEINT)",
            period.from_ms, period.until_ms, factor.numerator, factor.denominator
        )
    });
    let rows = rows.collect::<Vec<_>>().join(", ");
    let currencies = texts_of(question.site_id.0, TextField::Currency);
    let prices = format!(
        "ASOF LEFT JOIN (
            SELECT t.code, v.from_ms, v.until_ms, v.part, v.whole
            FROM (VALUES {rows}) v(text, from_ms, until_ms, part, whole) JOIN {currencies} t ON t.text = v.text) p"
    );
    (prices, "ON o.currency = p.code AND o.timestamp_ms >= p.from_ms")
}

/// What is to be known beside the sums.
pub(super) fn notes(
    connection: &Connection,
    plan: &Plan<'_>,
    names: OrderNames,
) -> Result<OrderNotes, DuckError> {
    let mut predicates = Predicates::new(plan.question);
    predicates.order_names = names;
    let sql = notes_statement(plan, &mut predicates);
    let mut notes = OrderNotes::default();
    connection.query(&sql, &predicates.parameters.values())?.for_each(|row| {
        notes.repeated += row.get::<u64>(1)?;
        let unconverted = Unconverted {
            currency: row.get(0)?,
            orders: row.get(2)?,
            minor: row.get(3)?,
            refunded_minor: row.get(4)?,
        };
        notes.unmatched_refunds += row.get::<u64>(5)?;
        if unconverted.orders > 0 {
            notes.unconverted.push(unconverted);
        }
        Ok::<(), DuckError>(())
    })?;
    Ok(notes)
}

/// A row for each currency of orders that pass the filters, and one for refunds of the site and range that changed no order.
fn notes_statement(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> String {
    let question = plan.question;
    let OrderNames { purchase, refund, .. } = predicates.order_names;
    let tables = tables(question, predicates, "TRUE");
    let orders = orders(question, predicates);
    let kept = predicates.kept_anywhere(&plan.filters, plan.engagement, plan.off_site);
    let currencies = texts_of(question.site_id.0, TextField::Currency);
    let apart = "own_minor IS NOT NULL AND order_minor IS NULL";
    let bounded = |column: &str| {
        format!("least(coalesce(sum({column}) FILTER (WHERE {apart}), 0), {})::BIGINT", i64::MAX)
    };
    format!(
        "WITH {tables}, {LEDGER} AS MATERIALIZED ({orders})
        SELECT t.text, n.* EXCLUDE (currency) FROM (
            SELECT currency, count(*) FILTER (WHERE is_repeated) AS repeated,
                count(*) FILTER (WHERE {apart}) AS orders, {} AS minor, {} AS refunded, 0 AS unmatched
            FROM events JOIN {LEDGER} USING (event_offset) WHERE {kept} GROUP BY 1) n
        JOIN {currencies} t ON t.code = n.currency
        UNION ALL
        SELECT '', 0, 0, 0, 0, count(*) FROM told LEFT JOIN firsts USING (order_id)
        WHERE name <> {purchase}
            AND (first_currency IS NULL OR (name = {refund} AND currency <> first_currency))
        ORDER BY 1",
        bounded("own_minor"),
        bounded("own_refund_minor"),
    )
}

/// Currencies that events of a site have.
pub(in crate::duckdb) fn currencies(
    connection: &Connection,
    site_id: SiteId,
) -> Result<Vec<String>, DuckError> {
    let texts = texts_of(site_id.0, TextField::Currency);
    texts_where(connection, &format!("SELECT text FROM {texts} WHERE text <> '' ORDER BY 1"), &[])
}

/// How an attribute is written in events of a site, of these texts in small letters.
pub(in crate::duckdb) fn spellings(
    connection: &Connection,
    site_id: SiteId,
    attribute: Attribute,
    folded: &[String],
) -> Result<Vec<String>, DuckError> {
    let texts = texts_of(site_id.0, TextField::Visit(attribute));
    let mut found = Vec::new();
    for some in folded.chunks(SPELLINGS_AT_ONCE) {
        let places: Vec<String> = (1..=some.len()).map(|place| format!("${place}")).collect();
        let sql = format!("SELECT text FROM {texts} WHERE lower(text) IN ({})", places.join(", "));
        let values: Vec<Value<'_>> = some.iter().map(|text| Value::Text(text)).collect();
        found.extend(texts_where(connection, &sql, &values)?);
    }
    found.sort_unstable();
    Ok(found)
}

fn texts_where(
    connection: &Connection,
    sql: &str,
    values: &[Value<'_>],
) -> Result<Vec<String>, DuckError> {
    let mut texts = Vec::new();
    connection.query(sql, values)?.for_each(|row| {
        texts.push(row.get(0)?);
        Ok::<(), DuckError>(())
    })?;
    Ok(texts)
}
