//! All rows of a question as a file, part by part.
//!
//! Guarantees: rows stand in the order of the question, each once, as long as nothing arrives in its range meanwhile;
//! a part holds a bounded number of them; texts are no formulas. The range is fixed when the export begins.

use std::fmt::Write;

use cairn_model::question::{Metric, Question, ROWS_PER_PAGE_MAX, Tally};
use cairn_store::EventStore;
use serde_json::{Map, Value, json};

use super::accounts::Asker;
use super::csv::cell;
use super::{QueryError, ReportSite, comparison, parsed, reply};

/// Rows that the store is asked for at once.
const ROWS_AT_ONCE: u32 = 50_000;

/// How rows are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExportFormat {
    /// Comma-separated values with a line of names.
    Csv,
    /// One JSON object in each line.
    Ndjson,
}

/// A question whose rows are written one after the other.
#[derive(Debug)]
pub struct Export {
    question: Question,
    format: ExportFormat,
    /// The asker wanted these rows only.
    has_page: bool,
    /// Rows of one part.
    rows_max: u32,
}

/// Some rows.
#[derive(Debug)]
pub struct ExportPart {
    /// Their text.
    pub text: String,
    /// There are no more.
    pub is_last: bool,
}

impl Export {
    /// Checks a question. With `pagination` only its rows are exported, else all.
    pub fn new(
        store: &dyn EventStore,
        site: ReportSite<'_>,
        body: &Value,
        now_ms: i64,
        format: ExportFormat,
    ) -> Result<Export, QueryError> {
        let question = parsed(store, site, body, now_ms)?;
        let has_page = body.get("pagination").is_some();
        // A comparison names every group of its part, which is bounded as those of ordinary answers are.
        let is_compared = question.include.comparison.is_some();
        let rows_max = if is_compared { ROWS_PER_PAGE_MAX } else { ROWS_AT_ONCE };
        Ok(Export { question, format, has_page, rows_max })
    }

    /// The part at this position, from 0.
    pub fn part(
        &self,
        store: &dyn EventStore,
        site: ReportSite<'_>,
        index: u64,
    ) -> Result<ExportPart, QueryError> {
        let asker = Asker { store, site };
        let compared = if self.has_page {
            comparison::answer(&asker, &self.question)?
        } else {
            let offset = index * u64::from(self.rows_max);
            comparison::answer(&asker, &self.question.with_page(self.rows_max, offset))?
        };
        let is_full = compared.pairs.len() >= self.rows_max as usize;
        let mut text = String::new();
        if index == 0 && self.format == ExportFormat::Csv {
            self.names(&mut text);
        }
        for pair in &compared.pairs {
            let row = reply::row(&self.question, pair, site.currency());
            match self.format {
                ExportFormat::Csv => self.cells(&row, &mut text),
                ExportFormat::Ndjson => self.object(&row, &mut text),
            }
        }
        Ok(ExportPart { text, is_last: self.has_page || !is_full })
    }

    fn is_compared(&self) -> bool {
        self.question.include.comparison.is_some()
    }

    fn names(&self, text: &mut String) {
        let mut names: Vec<String> =
            self.question.dimensions.iter().map(|dimension| cell(&dimension.name())).collect();
        for metric in &self.question.metrics {
            let name = metric.name();
            names.push(name.to_owned());
            if is_money(*metric) {
                names.push(format!("{name}_currency"));
            }
            if self.is_compared() {
                names.extend([format!("{name}_earlier"), format!("{name}_change")]);
            }
        }
        text.push_str(&names.join(","));
        text.push_str("\r\n");
    }

    fn cells(&self, row: &Value, text: &mut String) {
        let labels = row["dimensions"].as_array().into_iter().flatten();
        let mut cells: Vec<String> =
            labels.map(|label| cell(label.as_str().unwrap_or_default())).collect();
        for (index, metric) in self.question.metrics.iter().enumerate() {
            let value = &row["metrics"][index];
            cells.push(number(value));
            if is_money(*metric) {
                cells.push(value["currency"].as_str().unwrap_or_default().to_owned());
            }
            if self.is_compared() {
                let comparison = &row["comparison"];
                cells.push(number(&comparison["metrics"][index]));
                cells.push(number(&comparison["change"][index]));
            }
        }
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }

    fn object(&self, row: &Value, text: &mut String) {
        let metrics = |row: &Value, key: &str| -> Map<String, Value> {
            let values = self.question.metrics.iter().enumerate();
            values.map(|(at, metric)| (metric.name().to_owned(), row[key][at].clone())).collect()
        };
        let mut object = metrics(row, "metrics");
        for (at, dimension) in self.question.dimensions.iter().enumerate() {
            object.insert(dimension.name(), row["dimensions"][at].clone());
        }
        if let Some(comparison) = row.get("comparison") {
            let mut earlier = metrics(comparison, "metrics");
            earlier.insert("change".to_owned(), json!(metrics(comparison, "change")));
            object.insert("comparison".to_owned(), Value::Object(earlier));
        }
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{}", Value::Object(object));
    }
}

fn is_money(metric: Metric) -> bool {
    metric.is_revenue() || metric == Metric::Tally(Tally::AdCost)
}

/// A figure as it stands in answers, money by its value, and nothing for what is missing.
fn number(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(money) => money.get("value").map(Value::to_string).unwrap_or_default(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cairn_model::session::Attributes;
    use cairn_model::{Event, SiteId, VisitorId};
    use cairn_store::reference::ReferenceStore;
    use cairn_store::{Batch, Row};

    use super::*;

    const SITE: SiteId = SiteId(1);
    /// 1 June 2026, noon.
    const NOON_MS: i64 = 1_780_315_200_000;

    const SITE_ASKED: ReportSite<'_> = ReportSite {
        site_id: SITE,
        timezone: "Etc/UTC",
        goals: &[],
        restarts_ms: &[],
        books: None,
    };

    /// Page `/0` is seen once, `/1` twice, and so on.
    fn store(pages: u64) -> ReferenceStore {
        let mut batch = Batch::default();
        for page in 0..pages {
            for view in 0..=page {
                let mut event = Event::bare(SITE, "page_view", NOON_MS);
                event.path = format!("/{page}").into();
                event.visitor_id = VisitorId(view + 1);
                let attributes = Arc::new(Attributes::of(&event));
                let offset = batch.rows.len() as u64 + 1;
                batch.rows.push(Row { offset, session_id: view + 1, attributes, event });
            }
        }
        let store = ReferenceStore::new();
        batch.watermark.offset = batch.rows.len() as u64;
        store.commit(&batch).unwrap();
        store
    }

    fn export(store: &ReferenceStore, more: Value, format: ExportFormat) -> Export {
        let mut body = json!({
            "site_id": "s", "metrics": ["pageviews"], "dimensions": ["event:page"],
            "date_range": ["2026-06-01", "2026-06-01"],
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let mut export = Export::new(store, SITE_ASKED, &body, NOON_MS, format).unwrap();
        export.rows_max = 3;
        export
    }

    fn whole(export: &Export, store: &ReferenceStore) -> (String, u64) {
        let mut text = String::new();
        for index in 0.. {
            let part = export.part(store, SITE_ASKED, index).unwrap();
            text.push_str(&part.text);
            if part.is_last {
                return (text, index + 1);
            }
        }
        unreachable!("parts end")
    }

    #[test]
    fn all_rows_are_there_once_and_in_order_however_many_parts_they_take() {
        let store = store(7);
        let (text, parts) = whole(&export(&store, json!({}), ExportFormat::Csv), &store);
        assert_eq!(parts, 3);
        let wanted =
            "event:page,pageviews\r\n/6,7\r\n/5,6\r\n/4,5\r\n/3,4\r\n/2,3\r\n/1,2\r\n/0,1\r\n";
        assert_eq!(text, wanted);
        let page = json!({"pagination": {"limit": 2, "offset": 1}});
        let (text, parts) = whole(&export(&store, page, ExportFormat::Csv), &store);
        assert_eq!((text.as_str(), parts), ("event:page,pageviews\r\n/5,6\r\n/4,5\r\n", 1));
    }

    #[test]
    fn earlier_figures_stand_beside_those_of_today() {
        let store = store(1);
        let compared = json!({"include": {"comparisons": {"mode": "previous_period"}}});
        let (text, _) = whole(&export(&store, compared.clone(), ExportFormat::Csv), &store);
        let names = "event:page,pageviews,pageviews_earlier,pageviews_change";
        assert_eq!(text, format!("{names}\r\n/0,1,0,100\r\n"));
        let (text, _) = whole(&export(&store, compared, ExportFormat::Ndjson), &store);
        let row: Value = serde_json::from_str(text.trim()).unwrap();
        let earlier = json!({"pageviews": 0, "change": {"pageviews": 100}});
        assert_eq!(row, json!({"event:page": "/0", "pageviews": 1, "comparison": earlier}));
    }
}
