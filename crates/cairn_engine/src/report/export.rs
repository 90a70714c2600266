//! All rows of a question as a file, part by part.
//!
//! Guarantees: rows stand in the order of the question, each once, as long as nothing arrives in its range meanwhile;
//! a part holds a bounded number of them; CSV has no texts that are formulas. The range is fixed when the export begins.

use std::fmt::Write;

use cairn_model::question::{Dimension, Metric, Question, ROWS_PER_PAGE_MAX, Tally, TimeUnit};
use cairn_store::EventStore;
use serde_json::{Map, Value, json};

use super::Prefetched;
use super::accounts::Asker;
use super::csv::cell;
use super::parquet::ParquetFile;
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
    /// Columns with types; a part is a row group.
    Parquet,
}

/// A column of a file.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A label.
    Text,
    /// A whole number.
    Whole,
    /// A number with decimals.
    Decimal,
    /// A day, also as the first of a week or month.
    Day,
    /// A day with an hour, by the clock of the site's zone.
    Hour,
}

/// What rows are added to.
#[derive(Debug)]
enum Format {
    Csv,
    Ndjson,
    Parquet(Box<ParquetFile>),
}

/// A question whose rows are written one after the other.
#[derive(Debug)]
pub struct Export {
    question: Question,
    columns: Vec<Column>,
    format: Format,
    /// The asker wanted these rows only.
    has_page: bool,
    /// Rows of one part.
    rows_max: u32,
    /// Parts that were made.
    parts: u64,
}

/// Some rows.
#[derive(Debug)]
pub struct ExportPart {
    /// Their bytes.
    pub bytes: Vec<u8>,
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
        let columns = columns(&question);
        let format = match format {
            ExportFormat::Csv => Format::Csv,
            ExportFormat::Ndjson => Format::Ndjson,
            ExportFormat::Parquet => Format::Parquet(Box::new(ParquetFile::new(&columns)?)),
        };
        Ok(Export { question, columns, format, has_page, rows_max, parts: 0 })
    }

    /// The part after the last one that was made.
    pub fn next_part(
        &mut self,
        store: &dyn EventStore,
        site: ReportSite<'_>,
    ) -> Result<ExportPart, QueryError> {
        let asker = Asker { store, site, prefetched: &Prefetched::default() };
        let compared = if self.has_page {
            comparison::answer(&asker, &self.question)?
        } else {
            let offset = self.parts * u64::from(self.rows_max);
            comparison::answer(&asker, &self.question.with_page(self.rows_max, offset))?
        };
        let is_last = self.has_page || compared.pairs.len() < self.rows_max as usize;
        let rows =
            compared.pairs.iter().map(|pair| reply::row(&self.question, pair, site.currency()));
        let bytes = match &mut self.format {
            Format::Csv => {
                let mut text = String::new();
                if self.parts == 0 {
                    line(self.columns.iter().map(|column| cell(&column.name)), &mut text);
                }
                rows.for_each(|row| {
                    line(values(&self.question, &row).iter().map(shown), &mut text)
                });
                text.into_bytes()
            }
            Format::Ndjson => {
                let mut text = String::new();
                rows.for_each(|row| object(&self.question, &row, &mut text));
                text.into_bytes()
            }
            Format::Parquet(file) => {
                let rows: Vec<_> = rows.map(|row| values(&self.question, &row)).collect();
                file.part(&self.columns, &rows, is_last)?
            }
        };
        self.parts += 1;
        Ok(ExportPart { bytes, is_last })
    }
}

/// The columns of a file that has no objects, in the order of [`values`].
fn columns(question: &Question) -> Vec<Column> {
    let of = |dimension: &Dimension| match dimension {
        Dimension::Time(TimeUnit::Hour) => Kind::Hour,
        Dimension::Time(_) => Kind::Day,
        _ => Kind::Text,
    };
    let label = |dimension: &Dimension| Column { name: dimension.name(), kind: of(dimension) };
    let mut columns: Vec<Column> = question.dimensions.iter().map(label).collect();
    for metric in &question.metrics {
        let name = metric.name();
        let kind = if metric.is_whole() { Kind::Whole } else { Kind::Decimal };
        columns.push(Column { name: name.to_owned(), kind });
        if is_money(*metric) {
            columns.push(Column { name: format!("{name}_currency"), kind: Kind::Text });
        }
        if question.include.comparison.is_some() {
            columns.push(Column { name: format!("{name}_earlier"), kind });
            columns.push(Column { name: format!("{name}_change"), kind: Kind::Decimal });
        }
    }
    columns
}

/// A row without objects: texts, numbers, and null for what is missing.
fn values(question: &Question, row: &Value) -> Vec<Value> {
    let mut values = row["dimensions"].as_array().cloned().unwrap_or_default();
    for (index, metric) in question.metrics.iter().enumerate() {
        let value = &row["metrics"][index];
        values.push(number(value));
        if is_money(*metric) {
            values.push(value["currency"].clone());
        }
        if question.include.comparison.is_some() {
            let comparison = &row["comparison"];
            values.push(number(&comparison["metrics"][index]));
            values.push(number(&comparison["change"][index]));
        }
    }
    values
}

fn object(question: &Question, row: &Value, text: &mut String) {
    let metrics = |row: &Value, key: &str| -> Map<String, Value> {
        let values = question.metrics.iter().enumerate();
        values.map(|(at, metric)| (metric.name().to_owned(), row[key][at].clone())).collect()
    };
    let mut object = metrics(row, "metrics");
    for (at, dimension) in question.dimensions.iter().enumerate() {
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

fn line(cells: impl Iterator<Item = String>, text: &mut String) {
    let cells: Vec<String> = cells.collect();
    text.push_str(&cells.join(","));
    text.push_str("\r\n");
}

fn is_money(metric: Metric) -> bool {
    metric.is_revenue() || metric == Metric::Tally(Tally::AdCost)
}

/// A figure as it stands in answers, money by its value.
fn number(value: &Value) -> Value {
    value.get("value").unwrap_or(value).clone()
}

/// A cell; nothing for what is missing.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => cell(text),
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
    use bytes::Bytes;
    use parquet::file::reader::{FileReader, SerializedFileReader};

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

    fn whole(mut export: Export, store: &ReferenceStore) -> (Vec<u8>, u64) {
        let mut bytes = Vec::new();
        loop {
            let part = export.next_part(store, SITE_ASKED).unwrap();
            bytes.extend(part.bytes);
            if part.is_last {
                return (bytes, export.parts);
            }
        }
    }

    fn text(export: Export, store: &ReferenceStore) -> (String, u64) {
        let (bytes, parts) = whole(export, store);
        (String::from_utf8(bytes).unwrap(), parts)
    }

    #[test]
    fn all_rows_are_there_once_and_in_order_however_many_parts_they_take() {
        let store = store(7);
        let (csv, parts) = text(export(&store, json!({}), ExportFormat::Csv), &store);
        assert_eq!(parts, 3);
        let wanted =
            "event:page,pageviews\r\n/6,7\r\n/5,6\r\n/4,5\r\n/3,4\r\n/2,3\r\n/1,2\r\n/0,1\r\n";
        assert_eq!(csv, wanted);
        let page = json!({"pagination": {"limit": 2, "offset": 1}});
        let (csv, parts) = text(export(&store, page, ExportFormat::Csv), &store);
        assert_eq!((csv.as_str(), parts), ("event:page,pageviews\r\n/5,6\r\n/4,5\r\n", 1));
    }

    #[test]
    fn earlier_figures_stand_beside_those_of_today() {
        let store = store(1);
        let compared = json!({"include": {"comparisons": {"mode": "previous_period"}}});
        let (csv, _) = text(export(&store, compared.clone(), ExportFormat::Csv), &store);
        let names = "event:page,pageviews,pageviews_earlier,pageviews_change";
        assert_eq!(csv, format!("{names}\r\n/0,1,0,100\r\n"));
        let (lines, _) = text(export(&store, compared, ExportFormat::Ndjson), &store);
        let row: Value = serde_json::from_str(lines.trim()).unwrap();
        let earlier = json!({"pageviews": 0, "change": {"pageviews": 100}});
        assert_eq!(row, json!({"event:page": "/0", "pageviews": 1, "comparison": earlier}));
    }

    /// Names, stored types and what they mean; rows; row groups.
    fn read_back(bytes: Vec<u8>) -> (Vec<String>, Vec<String>, usize) {
        let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        let described = reader.metadata().file_metadata().schema_descr().columns().iter();
        let columns = described.map(|column| {
            format!("{} {} {:?}", column.name(), column.physical_type(), column.logical_type_ref())
        });
        let rows = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string());
        (columns.collect(), rows.collect(), reader.num_row_groups())
    }

    #[test]
    fn a_file_of_columns_has_the_same_rows_with_their_types() {
        let store = store(7);
        let more = json!({
            "dimensions": ["event:page", "time:hour"],
            "metrics": ["pageviews", "percentage"],
        });
        let (bytes, parts) = whole(export(&store, more, ExportFormat::Parquet), &store);
        let (columns, rows, groups) = read_back(bytes);
        assert_eq!((parts, groups), (3, 3));
        let hours = "Timestamp(TimestampType { is_adjusted_to_u_t_c: false, unit: MILLIS })";
        assert_eq!(
            columns,
            [
                "event:page BYTE_ARRAY Some(String)",
                &format!("time:hour INT64 Some({hours})"),
                "pageviews INT64 None",
                "percentage DOUBLE None",
            ]
        );
        let shares = ["100.0", "85.7", "71.4", "57.1", "42.9", "28.6", "14.3"];
        let wanted: Vec<String> = (0..7)
            .rev()
            .zip(shares)
            .map(|(page, share)| {
                let labels =
                    format!("event:page: \"/{page}\", time:hour: 2026-06-01 12:00:00.000 +00:00");
                format!("{{{labels}, pageviews: {}, percentage: {share}}}", page + 1)
            })
            .collect();
        assert_eq!(rows, wanted);
    }

    #[test]
    fn a_file_of_columns_has_days_amounts_and_earlier_figures() {
        let more = json!({
            "dimensions": ["time:day"],
            "metrics": ["visitors", "total_revenue"],
            "include": {"comparisons": {"mode": "previous_period"}},
        });
        let store = store(1);
        let (bytes, _) = whole(export(&store, more, ExportFormat::Parquet), &store);
        let (columns, rows, _) = read_back(bytes);
        assert_eq!(
            columns,
            [
                "time:day INT32 Some(Date)",
                "visitors INT64 None",
                "visitors_earlier INT64 None",
                "visitors_change DOUBLE None",
                "total_revenue DOUBLE None",
                "total_revenue_currency BYTE_ARRAY Some(String)",
                "total_revenue_earlier DOUBLE None",
                "total_revenue_change DOUBLE None",
            ]
        );
        let visitors = "visitors: 1, visitors_earlier: 0, visitors_change: 100.0";
        let revenue = "total_revenue: null, total_revenue_currency: null, \
                       total_revenue_earlier: null, total_revenue_change: null";
        assert_eq!(rows, [format!("{{time:day: 2026-06-01, {visitors}, {revenue}}}")]);
    }

    #[test]
    fn a_file_of_columns_without_rows_is_one_all_the_same() {
        let store = store(1);
        let none = json!({"date_range": ["2026-05-01", "2026-05-01"]});
        let (bytes, _) = whole(export(&store, none, ExportFormat::Parquet), &store);
        let (columns, rows, groups) = read_back(bytes);
        assert_eq!((columns.len(), rows.len(), groups), (2, 0, 0));
    }
}
