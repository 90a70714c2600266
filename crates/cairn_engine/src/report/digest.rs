//! What a digest tells: the figures of a finished period with those of the one before, and its largest groups.
//!
//! It asks the questions that anybody may ask; it does not know how they are shown, nor to whom.

use cairn_model::digest::Period;
use cairn_store::EventStore;
use serde_json::{Value, json};

use super::{QueryError, ReportSite, ask};

/// Rows of a table.
const ROWS_MAX: u32 = 10;
/// Figures of visits.
const TRAFFIC: &[&str] = &["visitors", "visits", "pageviews", "bounce_rate", "visit_duration"];
/// Figures of money.
const MONEY: &[&str] = &["conversions", "revenue"];

/// A figure of the whole period.
#[derive(Clone, PartialEq, Debug)]
pub struct DigestFigure {
    /// Its metric.
    pub metric: &'static str,
    /// Its value, as an answer has it.
    pub value: Value,
    /// Change against the period before, in percent; `None`: there is nothing to compare with.
    pub change: Option<i64>,
}

/// The largest groups of the period.
#[derive(Clone, PartialEq, Debug)]
pub struct DigestTable {
    /// What it is grouped by.
    pub dimension: &'static str,
    /// What stands in its columns.
    pub metrics: &'static [&'static str],
    /// Names with their values.
    pub rows: Vec<(String, Vec<Value>)>,
}

/// What a digest tells.
#[derive(Clone, PartialEq, Debug)]
pub struct DigestFigures {
    /// The days that it is about.
    pub period: Period,
    /// Its figures.
    pub figures: Vec<DigestFigure>,
    /// Its groups; those without a row are not there.
    pub tables: Vec<DigestTable>,
}

/// Gathers it.
pub fn digest(
    store: &dyn EventStore,
    site: ReportSite<'_>,
    period: Period,
    now_ms: i64,
) -> Result<DigestFigures, QueryError> {
    let range = json!([period.first.to_string(), period.last.to_string()]);
    let mut figures = Vec::new();
    for metrics in [TRAFFIC, MONEY] {
        // Without a currency of its own a site has no money to be told of.
        if metrics == MONEY && site.currency().is_empty() {
            continue;
        }
        let body = json!({
            "site_id": "digest", "metrics": metrics, "date_range": range,
            "include": {"comparisons": {"mode": "previous_period"}},
        });
        let answer = ask(store, site, &body, now_ms)?;
        let row = &answer["results"][0];
        figures.extend(metrics.iter().enumerate().map(|(place, metric)| DigestFigure {
            metric,
            value: row["metrics"][place].clone(),
            change: row["comparison"]["change"][place].as_f64().map(|change| change.round() as i64),
        }));
    }
    let mut tables = Vec::new();
    for (dimension, metrics) in [
        ("event:page", &["visitors", "pageviews"]),
        ("visit:source", &["visitors", "visits"]),
        ("event:goal", &["visitors", "events"]),
    ] {
        if dimension == "event:goal" && site.goals.is_empty() {
            continue;
        }
        let body = json!({
            "site_id": "digest", "metrics": metrics, "date_range": range,
            "dimensions": [dimension], "pagination": {"limit": ROWS_MAX},
        });
        let answer = ask(store, site, &body, now_ms)?;
        let rows = answer["results"].as_array().into_iter().flatten().map(|row| {
            let name = row["dimensions"][0].as_str().unwrap_or_default().to_owned();
            (name, row["metrics"].as_array().cloned().unwrap_or_default())
        });
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            tables.push(DigestTable { dimension, metrics, rows });
        }
    }
    Ok(DigestFigures { period, figures, tables })
}
