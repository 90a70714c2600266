//! Reports for whoever holds a link: few questions, and no group of fewer people than the owner says.
//!
//! Guarantees: a row is shown only if it tells of no visitor at all or of at least `group_size_min`, and every count is a multiple
//! of that number: answers are functions of rounded counts alone. So no difference of answers, of the hours of a day from the
//! day, of sources from their channel, of one range from a longer one or of today's answer from yesterday's, has the
//! size of a smaller group (controlled rounding and suppression, as statistical offices do: Willenborg and de Waal, "Elements of
//! Statistical Disclosure Control", 2001, sections 1.4 and 9). What is left out cannot be had from the total either: as long as the
//! hidden rows hold fewer visitors together, the smallest shown one is hidden, too. Whoever asks chooses no filters, so
//! that no two answers differ by a condition; those of the owner are the same in all answers of a link.
//! What it does not prevent: whoever asks again and again sees when a rounded count takes its next step.

use cairn_store::EventStore;
use serde_json::{Map, Value, json};

use super::{QueryError, ReportSite, ask, invalid};

/// Metrics of a shared report, in its order.
const METRICS: [&str; 6] =
    ["visitors", "visits", "pageviews", "views_per_visit", "bounce_rate", "visit_duration"];
/// As many of them do groups have.
const GROUPED_METRICS: usize = 3;
/// Groupings that a shared report may have.
const DIMENSIONS: [&str; 16] = [
    "time:hour",
    "time:day",
    "time:week",
    "time:month",
    "visit:source",
    "visit:channel",
    "visit:utm_source",
    "visit:utm_medium",
    "visit:utm_campaign",
    "event:page",
    "visit:entry_page",
    "visit:exit_page",
    "visit:country",
    "visit:device",
    "visit:browser",
    "visit:os",
];
/// Ranges that it may be of.
const RANGES: [&str; 4] = ["7d", "30d", "91d", "12mo"];
/// Rows of an answer.
const ROWS_MAX: usize = 100;
/// Groups that are looked at; the smaller ones beyond count as hidden.
const GROUPS_MAX: usize = 10_000;

/// A question that a link may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SharedQuestion {
    range: &'static str,
    dimension: Option<&'static str>,
}

impl SharedQuestion {
    /// A question of this range, grouped or not.
    pub fn new(range: &str, dimension: Option<&str>) -> Result<Self, QueryError> {
        let known = |list: &'static [&'static str], name: &str, field: &str| {
            list.iter().copied().find(|known| *known == name).ok_or_else(|| {
                let message = format!("{field} must be one of {}.", list.join(", "));
                invalid(&message, field)
            })
        };
        Ok(SharedQuestion {
            range: known(&RANGES, range, "date_range")?,
            dimension: dimension.map(|name| known(&DIMENSIONS, name, "dimension")).transpose()?,
        })
    }

    fn is_by_time(&self) -> bool {
        self.dimension.is_some_and(|name| name.starts_with("time:"))
    }

    fn metrics(&self) -> &'static [&'static str] {
        if self.dimension.is_none() { &METRICS } else { &METRICS[..GROUPED_METRICS] }
    }

    fn body(&self, filters: &Value) -> Value {
        json!({
            "site_id": "shared",
            "metrics": self.metrics(),
            "date_range": self.range,
            "filters": filters,
            "dimensions": self.dimension.into_iter().collect::<Vec<_>>(),
            "include": {"time_labels": self.is_by_time()},
            "pagination": {"limit": GROUPS_MAX},
        })
    }

    /// Its answer about what fits the owner's filters: `results` as those of a query; `withheld` groups too small to be shown.
    pub fn answer(
        &self,
        store: &dyn EventStore,
        site: ReportSite<'_>,
        filters: &Value,
        group_size_min: u64,
        now_ms: i64,
    ) -> Result<Value, QueryError> {
        let mut answer = ask(store, site, &self.body(filters), now_ms)?;
        let rows = match answer["results"].take() {
            Value::Array(rows) => rows,
            _ => Vec::new(),
        };
        // Of more groups than are looked at the rest is hidden, so that nothing can be said about what is hidden together.
        let is_cut = rows.len() >= GROUPS_MAX;
        let sizes: Vec<u64> =
            rows.iter().map(|row| row["metrics"][0].as_u64().unwrap_or(0)).collect();
        let is_hidden = hidden(&sizes, group_size_min);
        let withheld = is_hidden.iter().filter(|hidden| **hidden).count();
        let results: Vec<Value> = rows
            .into_iter()
            .zip(is_hidden)
            .filter_map(|(row, is_hidden)| (!is_hidden).then(|| rounded_row(row, group_size_min)))
            .take(if self.is_by_time() { GROUPS_MAX } else { ROWS_MAX })
            .collect();
        let mut reply = Map::new();
        reply.insert("metrics".to_owned(), json!(self.metrics()));
        reply.insert("results".to_owned(), json!(results));
        reply.insert("withheld".to_owned(), json!(withheld));
        reply.insert("has_more".to_owned(), json!(is_cut));
        reply.insert("group_size_min".to_owned(), json!(group_size_min));
        if let Some(labels) = answer["meta"].get("time_labels") {
            reply.insert("time_labels".to_owned(), labels.clone());
        }
        if answer["meta"]["identification"] == "mixed" {
            reply.insert("identification".to_owned(), json!("mixed"));
        }
        Ok(Value::Object(reply))
    }
}

/// A row with its counts rounded, and what follows from them. Rates are whole per cent and seconds, as in every answer.
fn rounded_row(mut row: Value, group_size_min: u64) -> Value {
    let Some(values) = row["metrics"].as_array_mut() else { return row };
    let counts: Vec<u64> = values
        .iter()
        .take(GROUPED_METRICS)
        .map(|value| rounded(value.as_u64().unwrap_or(0), group_size_min))
        .collect();
    if let ([_, visits, pageviews], Some(views_per_visit)) = (&counts[..], values.get_mut(3)) {
        *views_per_visit = match visits {
            0 => Value::Null,
            // Two decimals, as in every answer.
            _ => json!((*pageviews as f64 / *visits as f64 * 100.0).round() / 100.0),
        };
    }
    for (value, count) in values.iter_mut().zip(counts) {
        *value = json!(count);
    }
    row
}

/// The nearest multiple of the smallest group; half of one is rounded up.
fn rounded(count: u64, group_size_min: u64) -> u64 {
    let step = group_size_min.max(1);
    count.saturating_add(step / 2) / step * step
}

/// Which groups of these sizes are hidden.
fn hidden(sizes: &[u64], group_size_min: u64) -> Vec<bool> {
    let mut is_hidden: Vec<bool> =
        sizes.iter().map(|size| (1..group_size_min).contains(size)).collect();
    let mut together: u64 =
        sizes.iter().zip(&is_hidden).filter(|(_, hidden)| **hidden).map(|(size, _)| size).sum();
    let mut shown: Vec<usize> =
        (0..sizes.len()).filter(|at| !is_hidden[*at] && sizes[*at] > 0).collect();
    // The smallest last; of equal ones the last one of the answer.
    shown.sort_by_key(|at| (std::cmp::Reverse(sizes[*at]), *at));
    while together > 0
        && together < group_size_min
        && let Some(smallest) = shown.pop()
    {
        is_hidden[smallest] = true;
        together += sizes[smallest];
    }
    is_hidden
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_groups_take_the_smallest_shown_one_with_them() {
        assert_eq!(hidden(&[50, 20, 10, 0], 10), [false; 4]);
        assert_eq!(hidden(&[50, 20, 9], 10), [false, true, true]);
        assert_eq!(hidden(&[50, 20, 9, 1], 10), [false, false, true, true]);
        assert_eq!(hidden(&[9], 10), [true]);
        assert_eq!(hidden(&[30, 12, 12, 3], 10), [false, false, true, true]);
        assert_eq!(hidden(&[3, 0, 2], 1), [false; 3], "everybody may be shown");
        assert_eq!(hidden(&[], 10), Vec::<bool>::new());
    }

    proptest! {
        #[test]
        fn what_is_hidden_holds_enough_people_or_all_of_them(
            sizes in prop::collection::vec(0u64..40, 0..30),
            group_size_min in 1u64..30,
        ) {
            let is_hidden = hidden(&sizes, group_size_min);
            let of = |wanted: bool| {
                let chosen = sizes.iter().zip(&is_hidden).filter(move |(_, hidden)| **hidden == wanted);
                chosen.map(|(size, _)| *size)
            };
            prop_assert!(of(false).all(|size| size == 0 || size >= group_size_min));
            let together: u64 = of(true).sum();
            prop_assert!(together == 0 || together >= group_size_min || of(false).all(|size| size == 0));
        }
    }

    #[test]
    fn counts_are_multiples_of_the_smallest_group() {
        for (count, size, wanted) in [
            (0, 10, 0),
            (4, 10, 0),
            (5, 10, 10),
            (10, 10, 10),
            (47, 10, 50),
            (44, 10, 40),
            (7, 3, 6),
            (9, 1, 9),
        ] {
            assert_eq!(rounded(count, size), wanted, "{count} by {size}");
        }
        let row = json!({"dimensions": [], "metrics": [47, 52, 151, 2.9, 33, 71]});
        assert_eq!(rounded_row(row, 10)["metrics"], json!([50, 50, 150, 3.0, 33, 71]));
        let empty = json!({"dimensions": [], "metrics": [0, 0, 0, 0.0, null, null]});
        assert_eq!(rounded_row(empty, 10)["metrics"], json!([0, 0, 0, null, null, null]));
    }

    #[test]
    fn only_what_may_be_asked_is_asked() {
        assert!(SharedQuestion::new("30d", None).is_ok());
        assert!(SharedQuestion::new("30d", Some("visit:country")).is_ok());
        for range in ["day", "28d", "month", "6mo"] {
            let refused = SharedQuestion::new(range, None).unwrap_err();
            assert_eq!(refused.field.unwrap(), "date_range", "{range}");
        }
        let error = SharedQuestion::new("7d", Some("event:props:plan")).unwrap_err();
        assert_eq!((error.status, error.field.as_deref()), (400, Some("dimension")));
    }
}
