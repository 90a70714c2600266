//! Reports for whoever holds a link: few questions, and no group of fewer people than the owner says.
//!
//! Guarantees: a row is shown only if it tells of no visitor at all or of at least `group_size_min`. What is left out cannot
//! be had by subtracting what is shown from the total: as long as the hidden rows hold fewer visitors together, the smallest
//! shown one is hidden, too (complementary suppression, as statistical offices do: Willenborg and de Waal, "Elements of
//! Statistical Disclosure Control", 2001, section 1.4). Whoever asks
//! chooses no filters, so that no two answers differ by a condition; those of the owner are the same in all answers of a link.
//! Ranges lie weeks apart. What it does not prevent: somebody who asks every day can subtract the answers of two days, and a
//! group that hardly grew in the weeks between two ranges can be told from them.

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
/// Ranges that it may be of: each reaches weeks further than the one before, so that two answers do not differ by a few days.
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
            .filter_map(|(row, is_hidden)| (!is_hidden).then_some(row))
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
    fn only_what_may_be_asked_is_asked() {
        assert!(SharedQuestion::new("30d", None).is_ok());
        assert!(SharedQuestion::new("30d", Some("visit:country")).is_ok());
        // Two that differ by days would show, subtracted, who came on these.
        for range in ["day", "28d", "month", "6mo"] {
            let refused = SharedQuestion::new(range, None).unwrap_err();
            assert_eq!(refused.field.unwrap(), "date_range", "{range}");
        }
        let error = SharedQuestion::new("7d", Some("event:props:plan")).unwrap_err();
        assert_eq!((error.status, error.field.as_deref()), (400, Some("dimension")));
    }
}
