//! The reply's JSON: values get their names here and nowhere else.

use cairn_model::answer::{Figure, Key};
use cairn_model::question::revenue::thousandths;
use cairn_model::question::{Metric, Money, Question, Tally};
use cairn_model::rates::divided;
use serde_json::{Map, Value, json};

use super::accounts::MoneyNotes;
use super::comparison::{Compared, Pair};
use super::{ReportSite, money};

/// The whole reply.
pub(super) fn reply(question: &Question, compared: &Compared, site: ReportSite<'_>) -> Value {
    let currency = site.books.map_or("", |books| books.currency);
    let results: Vec<Value> =
        compared.pairs.iter().map(|pair| row(question, pair, currency)).collect();
    let meta = meta(question, compared, site.restarts_ms, currency);
    json!({"results": results, "meta": meta, "query": question.echo})
}

fn meta(question: &Question, compared: &Compared, restarts_ms: &[i64], currency: &str) -> Value {
    let mut meta = Map::new();
    if question.include.imports {
        meta.insert("imports_included".to_owned(), json!(false));
        meta.insert("imports_skip_reason".to_owned(), json!("no_imported_data"));
    }
    if let (true, Some(buckets)) = (question.include.time_labels, &question.buckets) {
        meta.insert("time_labels".to_owned(), json!(buckets.labels()));
    }
    if let Some(total) = compared.total_rows {
        meta.insert("total_rows".to_owned(), json!(total));
    }
    let warnings = warnings(question);
    if !warnings.is_empty() {
        meta.insert("metric_warnings".to_owned(), Value::Object(warnings));
    }
    if let Some(notes) = &compared.money {
        meta.insert("money".to_owned(), money_notes(notes, currency));
    }
    if compared.mixed_identification {
        // Anonymous numbers change every day: such visitors are counted once a day, identified ones once.
        meta.insert("identification".to_owned(), json!("mixed"));
    }
    let restarts = restarts_within(question, restarts_ms);
    if !restarts.is_empty() {
        meta.insert("anonymous_restarts".to_owned(), json!(restarts));
    }
    Value::Object(meta)
}

/// Metrics that could not be computed, and why.
fn warnings(question: &Question) -> Map<String, Value> {
    let mut warnings = Map::new();
    for metric in &question.metrics {
        let warning = match metric {
            Metric::Money(money) if money.needs_cost() => {
                question.cost_problem().map(|problem| (problem.code(), problem.text()))
            }
            metric if metric.is_revenue() => {
                question.revenue_problem().map(|problem| (problem.code(), problem.text()))
            }
            _ => None,
        };
        if let Some((code, text)) = warning {
            warnings.insert(metric.name().to_owned(), json!({"code": code, "warning": text}));
        }
    }
    warnings
}

/// What is to be known about amounts; of each entry only what there is.
fn money_notes(notes: &MoneyNotes, currency: &str) -> Value {
    let mut told = Map::new();
    told.insert("currency".to_owned(), json!(currency));
    let counts =
        [("repeated_orders", notes.repeated), ("unmatched_refunds", notes.unmatched_refunds)];
    for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        told.insert(name.to_owned(), json!(count));
    }
    let minor = |minor: i64, currency: &str| {
        money::shown(thousandths(i128::from(minor), currency, 1), currency)
    };
    let orders: Vec<Value> = notes
        .orders
        .iter()
        .map(|apart| {
            let currency = apart.currency.as_str();
            json!({
                "orders": apart.orders,
                "revenue": minor(apart.minor, currency),
                "refunds": minor(apart.refunded_minor, currency),
            })
        })
        .collect();
    let cost = |(currency, micros): (&String, &i128)| {
        money::exact(i64::try_from(micros.saturating_mul(1000)).unwrap_or(i64::MAX), currency)
    };
    let costs: Vec<Value> = notes.costs.iter().map(cost).collect();
    for (name, list) in [("orders_not_converted", orders), ("costs_not_converted", costs)] {
        if !list.is_empty() {
            told.insert(name.to_owned(), json!(list));
        }
    }
    Value::Object(told)
}

/// Restarts in the range asked for, to the second. Whether an anonymous visitor was there to be counted twice is not
/// asked of the store: the mark says that it may be.
fn restarts_within(question: &Question, restarts_ms: &[i64]) -> Vec<String> {
    let seconds = restarts_ms.iter().map(|restart_ms| restart_ms.div_euclid(1000));
    let within =
        seconds.filter(|at_s| (question.range.from_s..=question.range.to_s).contains(at_s));
    within
        .filter_map(|at_s| jiff::Timestamp::from_second(at_s).ok())
        .map(|at| at.to_string())
        .collect()
}

fn shown(question: &Question, keys: &[Key], figure: Figure, currency: &str) -> Value {
    match figure {
        Figure::Missing => Value::Null,
        Figure::Whole(number) => json!(number),
        Figure::Thousandths(amount) => {
            question.revenue_currency(keys).map_or(Value::Null, |code| money::shown(amount, code))
        }
        Figure::Billionths(amount) => {
            question.cost_currency(keys).map_or(Value::Null, |code| money::exact(amount, code))
        }
        Figure::Amount(amount) => money::four_decimals(amount, currency),
        other => json!(other.decimal()),
    }
}

fn row(question: &Question, pair: &Pair, currency: &str) -> Value {
    let labels: Vec<String> =
        pair.row.keys.iter().enumerate().map(|(index, key)| question.label(index, key)).collect();
    let shown = |figure: &Figure| shown(question, &pair.row.keys, *figure, currency);
    let metrics: Vec<Value> = pair.row.figures.iter().map(shown).collect();
    let mut row = json!({"dimensions": labels, "metrics": metrics});
    if let Some(earlier) = &pair.earlier {
        row["comparison"] = comparison(question, pair, earlier, currency);
    }
    row
}

fn comparison(question: &Question, pair: &Pair, earlier: &[Figure], currency: &str) -> Value {
    let buckets = question.include.comparison.as_ref().and_then(|one| one.buckets.as_ref());
    let label = |(index, key): (usize, &Key)| match (key, buckets) {
        (Key::Bucket(bucket), Some(buckets)) if *bucket < buckets.count() => {
            json!(buckets.label(*bucket))
        }
        // The earlier range has fewer buckets than this one.
        (Key::Bucket(_), _) => Value::Null,
        _ => json!(question.label(index, key)),
    };
    let labels: Vec<Value> = pair.row.keys.iter().enumerate().map(label).collect();
    let shown = |figure: &Figure| shown(question, &pair.row.keys, *figure, currency);
    let metrics: Vec<Value> = earlier.iter().map(shown).collect();
    let figures = pair.row.figures.iter().zip(earlier).zip(&question.metrics);
    let change: Vec<Value> =
        figures.map(|((now, earlier), metric)| change(*metric, *now, *earlier)).collect();
    json!({"dimensions": labels, "metrics": metrics, "change": change})
}

/// Growth in whole percent; for rates that are shares already, the difference in points.
fn change(metric: Metric, now: Figure, earlier: Figure) -> Value {
    let (Some(new), Some(old)) = (now.raw(), earlier.raw()) else { return Value::Null };
    match metric {
        Metric::BounceRate if old == 0 => Value::Null,
        Metric::BounceRate => json!(new - old),
        Metric::ConversionRate | Metric::GroupConversionRate => {
            json!(divided(i128::from(new - old), 10) as f64 / 10.0)
        }
        Metric::ExitRate => json!((new - old) as f64 / 10.0),
        Metric::Tally(Tally::AdClickThroughRate) => {
            json!(divided(i128::from(new - old), 10) as f64 / 10.0)
        }
        // A return that was negative, or has become it, has no growth in percent: the difference in points.
        Metric::Money(Money::Roi) => json!(divided(i128::from(new - old), 10) as f64 / 10.0),
        Metric::Tally(tally) if tally.is_share() => json!((new - old) as f64 / 10.0),
        _ if old == 0 => json!(if new > 0 { 100 } else { 0 }),
        _ if old < 0 => Value::Null,
        _ => json!(divided(100 * i128::from(new) - 100 * i128::from(old), i128::from(old))),
    }
}
