//! `POST /api/v2/query` and the filters of `GET …/events`: any JSON is a question or an error that says why, a question
//! keeps the limits, and what it says it was may be asked again. Any text is a pattern or none.
#![no_main]

use std::sync::LazyLock;

use cairn_model::SiteId;
use cairn_model::question::pattern::PATTERN_SIZE_BYTES_MAX;
use cairn_model::question::{
    Asking, BUCKETS_MAX, Buckets, CLAUSES_MAX, DIMENSIONS_MAX, EventsQuestion, FILTER_DEPTH_MAX,
    FILTERS_MAX, Filter, Goal, Operator, Pattern, Question, ROWS_PER_PAGE_MAX, Trigger,
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

/// Clocks that change, that never do, and that once skipped a day.
const ZONES: [&str; 4] = ["Europe/Berlin", "UTC", "Pacific/Apia", "America/New_York"];
const NOW_MS: i64 = 1_795_341_600_000;
/// Keys of a body, in the order in which its lines give their values.
const KEYS: [&str; 7] =
    ["filters", "date_range", "dimensions", "metrics", "order_by", "include", "pagination"];

static GOALS: LazyLock<Vec<Goal>> = LazyLock::new(|| {
    let goal = |name: &str, trigger, currency: &str| Goal {
        name: name.to_owned(),
        trigger,
        currency: currency.to_owned(),
        props: vec![("plan".to_owned(), "pro".to_owned())],
    };
    let read = Trigger::Scroll { path: "/blog/*".to_owned(), threshold: 80 };
    vec![
        goal("Purchase", Trigger::Event("purchase".to_owned()), "EUR"),
        goal("Opened", Trigger::Event("email_open".to_owned()), ""),
        goal("Read", read, ""),
    ]
});

// The first byte chooses the zone, and whether the rest is a whole body or a value a line.
fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let (pattern, sample) = text.split_once('\n').unwrap_or((text, text));
    pattern_holds(pattern, sample);
    let asking = Asking {
        site_id: SiteId(7),
        timezone: ZONES[usize::from(*choice) % ZONES.len()],
        now_ms: NOW_MS,
        first_event_ms: (choice & 64 == 0).then_some(NOW_MS - 40 * 86_400_000),
        goals: &GOALS,
    };
    let body = if choice & 128 == 0 { serde_json::from_str(text).ok() } else { Some(lines(text)) };
    let Some(body) = body else { return };
    let _ = Question::needs_first_event(&body);
    let (filters, range) = (&body["filters"], &body["date_range"]);
    if let Ok(events) = EventsQuestion::parse(filters, range, None, Some(1_000), &asking) {
        holds(events.question());
    }
    match Question::parse(&body, &asking) {
        Ok(question) => {
            holds(&question);
            asked_again(&question, &asking);
        }
        Err(error) => {
            assert!(!error.message.is_empty() && !error.code.is_empty());
            assert!(error.field.is_none_or(|field| field.starts_with('#')));
        }
    }
});

/// A body with a value in each line; lines that are no JSON are left out.
fn lines(text: &str) -> Value {
    let mut body = Map::new();
    body.insert("site_id".to_owned(), "7".into());
    body.insert("metrics".to_owned(), serde_json::json!(["visitors"]));
    body.insert("date_range".to_owned(), "30d".into());
    for (key, line) in KEYS.into_iter().zip(text.lines()) {
        if let Ok(value) = serde_json::from_str(line) {
            body.insert(key.to_owned(), value);
        }
    }
    Value::Object(body)
}

fn pattern_holds(text: &str, sample: &str) {
    let Ok(pattern) = Pattern::parse(text) else { return };
    assert!(text.len() <= PATTERN_SIZE_BYTES_MAX && pattern.text() == text);
    assert_eq!(pattern.is_found_in(sample), pattern.clone().is_found_in(sample));
}

fn holds(question: &Question) {
    let unique =
        |names: &[String]| names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
    let metrics: Vec<String> = question.metrics.iter().map(|one| one.name().to_owned()).collect();
    let dimensions: Vec<String> = question.dimensions.iter().map(|one| one.name()).collect();
    assert!(!metrics.is_empty() && unique(&metrics) && unique(&dimensions));
    assert!(dimensions.len() <= DIMENSIONS_MAX && !question.order_by.is_empty());
    assert!(question.page.limit.is_some_and(|limit| limit <= ROWS_PER_PAGE_MAX));
    let mut left = FILTERS_MAX;
    for filter in &question.filters {
        filter_holds(filter, FILTER_DEPTH_MAX, &mut left);
    }
    assert_eq!(question.time_position().is_some(), question.buckets.is_some());
    if let Some(buckets) = &question.buckets {
        cut_soundly(buckets);
    }
    let _ = (question.names_off_site(), question.goals_filtered());
    let whole = question.without_dimensions();
    assert!(whole.dimensions.is_empty() && whole.buckets.is_none());
    let compared = question.compared(None);
    assert_eq!(compared.is_some(), question.include.comparison.is_some());
    if let Some(buckets) = compared.as_ref().and_then(|earlier| earlier.buckets.as_ref()) {
        cut_soundly(buckets);
    }
}

fn filter_holds(filter: &Filter, depth: usize, left: &mut usize) {
    assert!(depth > 0 && *left > 0);
    *left -= 1;
    match filter {
        Filter::Test(test) => {
            assert!(test.clauses.len() <= CLAUSES_MAX);
            assert!(test.stored_clauses().len() >= test.clauses.len());
            if let Operator::Matches(patterns) = &test.operator {
                assert_eq!(patterns.len(), test.clauses.len());
            }
            let _ = (test.accepts("/blog/first"), test.accepts_prop(None));
        }
        Filter::And(members) | Filter::Or(members) => {
            assert!(!members.is_empty());
            members.iter().for_each(|member| filter_holds(member, depth - 1, left));
        }
        Filter::Not(member) | Filter::Done { filter: member, .. } => {
            filter_holds(member, depth - 1, left);
        }
    }
}

/// First and last instant lie in the first and last bucket, and both have a name.
fn cut_soundly(buckets: &Buckets) {
    let (range, count) = (buckets.range(), buckets.count());
    assert!(count <= BUCKETS_MAX);
    if range.from_s > range.to_s {
        return;
    }
    assert!(count > 0 && buckets.index_of(range.from_ms()) == 0);
    assert_eq!(buckets.index_of(range.until_ms() - 1), count - 1);
    assert!(!buckets.label(0).is_empty() && !buckets.label(count - 1).is_empty());
}

/// An empty range (of a day that a zone skipped) cannot be written as two instants.
fn asked_again(question: &Question, asking: &Asking<'_>) {
    if question.range.from_s > question.range.to_s {
        return;
    }
    let again = Question::parse(&question.echo, asking);
    let again = again.unwrap_or_else(|error| panic!("{error}: {}", question.echo));
    assert_eq!((again.range, &again.metrics), (question.range, &question.metrics));
    assert_eq!((&again.filters, again.page), (&question.filters, question.page));
    assert_eq!((&again.dimensions, &again.order_by), (&question.dimensions, &question.order_by));
}
