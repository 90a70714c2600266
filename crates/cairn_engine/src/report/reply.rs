//! The reply's JSON: values get their names here and nowhere else.

use cairn_model::answer::{Figure, Key};
use cairn_model::question::{Metric, Question, Tally};
use serde_json::{Map, Value, json};

use super::comparison::{Compared, Pair};
use super::money;

/// The whole reply.
pub(super) fn reply(question: &Question, compared: &Compared, restarts_ms: &[i64]) -> Value {
    let results: Vec<Value> = compared.pairs.iter().map(|pair| row(question, pair)).collect();
    let meta = meta(question, compared, restarts_ms);
    json!({"results": results, "meta": meta, "query": question.echo})
}

fn meta(question: &Question, compared: &Compared, restarts_ms: &[i64]) -> Value {
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
    if let Some(problem) = question.revenue_problem() {
        let warning = json!({"code": problem.code(), "warning": problem.text()});
        let asked = question.metrics.iter().filter(|metric| metric.is_revenue());
        let warnings: Map<String, Value> =
            asked.map(|metric| (metric.name().to_owned(), warning.clone())).collect();
        meta.insert("metric_warnings".to_owned(), Value::Object(warnings));
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

fn shown(question: &Question, keys: &[Key], figure: Figure) -> Value {
    match figure {
        Figure::Missing => Value::Null,
        Figure::Whole(number) => json!(number),
        Figure::Thousandths(amount) => {
            question.revenue_currency(keys).map_or(Value::Null, |code| money::shown(amount, code))
        }
        Figure::Billionths(amount) => {
            question.cost_currency(keys).map_or(Value::Null, |code| money::exact(amount, code))
        }
        other => json!(other.decimal()),
    }
}

/// One row, as answers have it.
pub(super) fn row(question: &Question, pair: &Pair) -> Value {
    let labels: Vec<String> =
        pair.row.keys.iter().enumerate().map(|(index, key)| question.label(index, key)).collect();
    let shown = |figure: &Figure| shown(question, &pair.row.keys, *figure);
    let metrics: Vec<Value> = pair.row.figures.iter().map(shown).collect();
    let mut row = json!({"dimensions": labels, "metrics": metrics});
    if let Some(earlier) = &pair.earlier {
        row["comparison"] = comparison(question, pair, earlier);
    }
    row
}

fn comparison(question: &Question, pair: &Pair, earlier: &[Figure]) -> Value {
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
    let shown = |figure: &Figure| shown(question, &pair.row.keys, *figure);
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
            json!(divided(new - old, 10) as f64 / 10.0)
        }
        Metric::ExitRate => json!((new - old) as f64 / 10.0),
        Metric::Tally(Tally::AdClickThroughRate) => json!(divided(new - old, 10) as f64 / 10.0),
        Metric::Tally(tally) if tally.is_share() => json!((new - old) as f64 / 10.0),
        _ if old == 0 => json!(if new > 0 { 100 } else { 0 }),
        _ => json!(divided(100 * (new - old), old)),
    }
}

/// Rounded half away from zero; the divisor is above 0.
fn divided(number: i64, by: i64) -> i64 {
    let size = (2 * number.abs() + by) / (2 * by);
    if number < 0 { -size } else { size }
}
