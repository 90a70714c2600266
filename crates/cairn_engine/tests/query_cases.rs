//! The query cases, in process: events become visits, questions become replies, on both stores.
//!
//! What arrives at the product over HTTP is checked by the same cases' runner against a server; here nothing stands
//! between a case and the reports.

use std::path::PathBuf;

use cairn_engine::report::{QueryError, ReportSite, ask};
use cairn_engine::session::{SessionOptions, Sessions};
use cairn_model::question::{Condition, Goal, Trigger};
use cairn_model::{Event, Identification, Origin, SiteId, VisitorId};
use cairn_store::duckdb::{DuckOptions, DuckStore};
use cairn_store::reference::ReferenceStore;
use cairn_store::{Batch, EventStore, Row, Watermark};
use serde_json::{Value, json};

fn data_file(name: &str) -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    std::env::var_os("CAIRN_SHARED_DATA").map_or(beside, PathBuf::from).join(name)
}

fn cases() -> Option<Vec<Value>> {
    let path = data_file("query_cases.json");
    match std::fs::read(&path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).expect("the cases are JSON")),
        Err(_) => {
            eprintln!("NOT RUN: query_cases: {} is missing", path.display());
            None
        }
    }
}

fn seconds(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("an instant").as_second()
}

/// `$day-7`, `$month-1`, `$year+0`: midnight UTC relative to the day of the run.
fn resolve(text: &str, now_s: i64) -> i64 {
    use jiff::{Span, Timestamp, tz::TimeZone};
    let Some(rest) = text.strip_prefix('$') else { return seconds(text) };
    let today = TimeZone::UTC.to_datetime(Timestamp::from_second(now_s).expect("now")).date();
    let at = rest.find(['+', '-']).expect("a sign");
    let number: i64 = rest[at..].parse().expect("a number");
    let date = match &rest[..at] {
        "day" => today + Span::new().days(number),
        "month" => today.first_of_month() + Span::new().months(number),
        _ => today.first_of_year() + Span::new().years(number),
    };
    date.to_zoned(TimeZone::UTC).expect("a day").timestamp().as_second()
}

/// What deriving the channel makes of the few sources that the cases name; the table itself has its own tests.
fn channel(source: &str, utm_source: &str) -> &'static str {
    match (source, utm_source) {
        ("", _) => "Direct",
        (_, "fb-ads") => "Paid Social",
        ("Google" | "DuckDuckGo" | "Bing", _) => "Organic Search",
        _ => "Referral",
    }
}

fn visitor(name: &str) -> VisitorId {
    VisitorId(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    }))
}

fn event(site_id: SiteId, index: usize, case: &Value, now_s: i64) -> Event<'static> {
    let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
    let name = match text("name").as_str() {
        "pageview" => "page_view".to_owned(),
        other => other.to_owned(),
    };
    let mut event = Event::bare(site_id, name, resolve(&text("timestamp"), now_s) * 1000);
    event.origin = Origin::Import;
    let user = case["user"].as_str().map_or_else(|| format!("anon-{index}"), str::to_owned);
    event.visitor_id = visitor(&user);
    event.identification = Identification::Identified;
    event.hostname = case["hostname"].as_str().unwrap_or("site.test").to_owned().into();
    event.path = text("pathname").into();
    let referrer = text("referrer");
    event.referrer = referrer.strip_prefix("https://").unwrap_or(&referrer).to_owned().into();
    event.source = text("referrer_source").into();
    event.utm_source = text("utm_source").into();
    event.utm_medium = text("utm_medium").into();
    event.utm_campaign = text("utm_campaign").into();
    event.utm_content = text("utm_content").into();
    event.utm_term = text("utm_term").into();
    event.channel = channel(&event.source, &event.utm_source).into();
    event.country = text("country_code").into();
    event.region = text("subdivision1_code").into();
    let city = case["city_geoname_id"].as_i64().map(|id| id.to_string());
    event.city = city.unwrap_or_default().into();
    event.browser = text("browser").into();
    event.browser_version = text("browser_version").into();
    event.os = text("operating_system").into();
    event.os_version = text("operating_system_version").into();
    event.device = text("screen_size").into();
    let props = case["props"].as_object().filter(|props| !props.is_empty());
    event.props = props.map_or_else(String::new, |props| json!(props).to_string()).into();
    event.value_minor = amount(&case["revenue_amount"]);
    event.currency = text("revenue_currency").into();
    let engagement_ms = case["engagement_time_ms"].as_u64();
    event.engagement_ms = engagement_ms.and_then(|ms| u32::try_from(ms).ok());
    let depth = case["scroll_depth"].as_u64().and_then(|depth| u8::try_from(depth).ok());
    event.scroll_percent = depth.filter(|depth| *depth <= 100);
    event
}

fn amount(value: &Value) -> Option<i64> {
    let amount = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    Some((amount * 100.0).round() as i64)
}

fn goals(case: &Value) -> Vec<Goal> {
    let goal = |goal: &Value| {
        let text = |key: &str| goal[key].as_str().unwrap_or_default().to_owned();
        let trigger = match (goal["page_path"].as_str(), goal["scroll_threshold"].as_u64()) {
            (Some(path), Some(threshold)) => {
                Trigger::Scroll { path: path.to_owned(), threshold: threshold as u8 }
            }
            (Some(path), None) => Trigger::Page(path.to_owned()),
            (None, _) => Trigger::Event(text("event_name")),
        };
        let equals = |(key, value): (&String, &Value)| {
            Condition::equals(key, value.as_str().unwrap_or_default())
        };
        let props = goal["custom_props"].as_object();
        Goal {
            currency: text("currency"),
            conditions: props.into_iter().flatten().map(equals).collect(),
            ..Goal::new(text("display_name"), trigger)
        }
    };
    case["goals"].as_array().into_iter().flatten().map(goal).collect()
}

/// Brings the events of a site into the stores, in batches of a few.
fn fill(stores: &[&dyn EventStore], next_offset: &mut u64, events: &[Event<'static>]) {
    let mut sessions = Sessions::new(SessionOptions::default(), Vec::new(), i64::MIN);
    for part in events.chunks(3) {
        let mut rows = Vec::new();
        for event in part {
            *next_offset += 1;
            let assigned = sessions.assign(*next_offset, event);
            let mut event = event.clone();
            event.visitor_id = assigned.visitor_id;
            event.identification = assigned.identification;
            rows.push(Row {
                offset: *next_offset,
                session_id: assigned.session_id,
                attributes: assigned.attributes,
                event,
            });
        }
        let batch = Batch {
            rows,
            sessions: sessions.take_changes(),
            outcomes: Vec::new(),
            watermark: Watermark { offset: *next_offset, received_at_ms: 0 },
        };
        for store in stores {
            store.commit(&batch).expect("the batch is stored");
        }
    }
}

fn same_money(left: &Value, right: &Value) -> bool {
    let value = |money: &Value| money["value"].as_f64();
    let (Some(one), Some(other)) = (value(left), value(right)) else { return false };
    let same = |key: &str| left[key].is_null() || left[key] == right[key];
    (one - other).abs() <= 0.001 && ["currency", "long", "short"].into_iter().all(same)
}

fn same_figure(left: &Value, right: &Value, round: Option<u64>) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => {
            let whole = left.fract() == 0.0 && right.fract() == 0.0;
            let round = round.filter(|_| !whole);
            let slack = round.map_or(0.0, |round| 0.5 * 10f64.powi(-(round as i32)));
            (left - right).abs() <= slack + 1e-9
        }
        _ if left.is_object() => same_money(left, right),
        _ => left == right,
    }
}

fn same_dimension(left: &Value, right: &Value) -> bool {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    left.is_null() == right.is_null() && text(left) == text(right)
}

fn same_row(expected: &Value, found: &Value, round: Option<u64>) -> bool {
    let lists = |key: &str, same: &dyn Fn(&Value, &Value) -> bool| match (
        expected[key].as_array(),
        found[key].as_array(),
    ) {
        (Some(left), Some(right)) => {
            let pairs = left.iter().zip(right);
            left.len() == right.len() && pairs.into_iter().all(|(left, right)| same(left, right))
        }
        (left, right) => left.is_none() && right.is_none(),
    };
    let figures = |left: &Value, right: &Value| same_figure(left, right, round);
    let compared = match expected.get("comparison") {
        Some(comparison) => same_row(comparison, &found["comparison"], round),
        None => true,
    };
    lists("dimensions", &same_dimension)
        && lists("metrics", &figures)
        && lists("change", &figures)
        && compared
}

/// Columns that decide the order: ties beyond them are free.
fn order_columns(query: &Value) -> Vec<(&'static str, usize)> {
    let list = |key: &str| query[key].as_array().cloned().unwrap_or_default();
    let (dimensions, metrics) = (list("dimensions"), list("metrics"));
    let is_time = |value: &Value| value.as_str().is_some_and(|name| name.starts_with("time"));
    let time = dimensions.iter().position(is_time);
    let mut order: Vec<Value> = list("order_by").iter().map(|entry| entry[0].clone()).collect();
    if order.is_empty() {
        order.extend(time.map(|index| dimensions[index].clone()));
        order.push(metrics[0].clone());
    }
    let place = |name: &Value| {
        let dimension = dimensions.iter().position(|one| one == name);
        let dimension = dimension.or(if name == "time" { time } else { None });
        match dimension {
            Some(index) => ("dimensions", index),
            None => ("metrics", metrics.iter().position(|one| one == name).expect("a column")),
        }
    };
    order.iter().map(place).collect()
}

fn compare_rows(case: &Value, expected: &[Value], found: &[Value]) -> Result<(), String> {
    let round = case["compare"]["round"].as_u64();
    let mut left: Vec<&Value> = found.iter().collect();
    for row in expected {
        let Some(at) = left.iter().position(|found| same_row(row, found, round)) else {
            return Err(format!("row missing: {row}\n   among {}", json!(found)));
        };
        left.remove(at);
    }
    if case["compare"]["subset"] == true {
        return Ok(());
    }
    if let Some(row) = left.first() {
        return Err(format!("unexpected row: {row}"));
    }
    if case["compare"]["order"] == "any" {
        return Ok(());
    }
    for (expected, found) in expected.iter().zip(found) {
        for (part, index) in order_columns(&case["query"]) {
            let (expected, found) = (&expected[part][index], &found[part][index]);
            if !same_dimension(expected, found) && !same_figure(expected, found, round) {
                return Err(format!("order: expected {expected}, got {found}"));
            }
        }
    }
    Ok(())
}

fn compare_part(expected: &Value, found: &Value, path: &str) -> Result<(), String> {
    let Some(object) = expected.as_object() else {
        let same = expected == found;
        return if same { Ok(()) } else { Err(format!("{path}: {expected}, got {found}")) };
    };
    let list = found.as_array().cloned().unwrap_or_default();
    for (key, value) in object {
        let fits = match key.as_str() {
            "$absent" => found.is_null() || found.as_object().is_some_and(|one| one.is_empty()),
            "$length" => value.as_u64() == Some(list.len() as u64),
            "$last" => list.last() == Some(value),
            "$excludes" => {
                !value.as_array().is_some_and(|odd| odd.iter().any(|one| list.contains(one)))
            }
            _ => {
                compare_part(value, &found[key], &format!("{path}.{key}"))?;
                true
            }
        };
        if !fits {
            return Err(format!("{path}: {key} {value} does not hold for {found}"));
        }
    }
    Ok(())
}

fn compare(case: &Value, reply: &Result<Value, QueryError>) -> Result<(), String> {
    let expected = &case["expect"];
    match (expected["status"].as_u64(), reply) {
        (Some(200), Ok(reply)) => {
            if let Some(rows) = expected["results"].as_array() {
                compare_rows(case, rows, reply["results"].as_array().expect("results"))?;
            }
            compare_part(expected.get("meta").unwrap_or(&json!({})), &reply["meta"], "meta")
        }
        (Some(status), Err(error)) if status == u64::from(error.status) => {
            let field = error.field.as_deref().unwrap_or_default();
            let words = format!("{} {} {field}", error.code, error.message);
            let tokens = expected["error_tokens"].as_array().into_iter().flatten();
            let missing = tokens.filter_map(Value::as_str).find(|token| !words.contains(token));
            missing.map_or(Ok(()), |token| Err(format!("{words:?} does not name {token}")))
        }
        (status, reply) => Err(format!("expected status {status:?}, got {reply:?}")),
    }
}

/// Cases that cannot hold here, and why.
const EXCEPTIONS: [(&str, &str); 1] = [(
    "conversions/large-revenue-formatting",
    "its amounts are finer than the cent: money is kept in whole minor units, and such a value is rejected on arrival",
)];

/// Every case: the expected reply from both stores, and the same rows when its echo is asked again.
#[test]
fn cases_hold_on_both_stores() {
    let Some(cases) = cases() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let duck = DuckStore::open(directory.path(), DuckOptions::default()).expect("the store opens");
    let reference = ReferenceStore::new();
    let stores: [(&str, &dyn EventStore); 2] = [("reference", &reference), ("duckdb", &duck)];
    let (mut held, mut offset) = (0, 0);
    let mut failures = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let name = case["name"].as_str().expect("a name");
        let now_s = case["now"].as_str().map_or(seconds("2026-11-23T01:00:00Z"), seconds);
        let site_id = SiteId(index as u32 + 1);
        let goals = goals(case);
        let listed = case["events"].as_array().into_iter().flatten().enumerate();
        let events: Vec<Event<'static>> =
            listed.map(|(index, one)| event(site_id, index, one, now_s)).collect();
        fill(&[&reference, &duck], &mut offset, &events);
        let timezone = case["site"]["timezone"].as_str().expect("a zone");
        let site = ReportSite { site_id, timezone, goals: &goals, restarts_ms: &[], books: None };
        let mut body = case["query"].clone();
        body["site_id"] = json!("site.test");
        for (store_name, store) in stores {
            let reply = ask(store, site, &body, now_s * 1000);
            match compare(case, &reply) {
                Err(_) if EXCEPTIONS.iter().any(|(exception, _)| *exception == name) => {}
                Ok(()) => held += 1,
                Err(why) => failures.push(format!("{store_name} {name}\n   {body}\n   {why}")),
            }
            if let Ok(reply) = reply {
                let again = ask(store, site, &reply["query"], now_s * 1000);
                if again.as_ref().map(|again| &again["results"]) != Ok(&reply["results"]) {
                    let echo = &reply["query"];
                    failures
                        .push(format!("{store_name} {name}\n   the echo {echo} gives {again:?}"));
                }
            }
        }
    }
    eprintln!("{held} replies hold, {} fail", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(
        held,
        2 * (cases.len() - EXCEPTIONS.len()),
        "every case but the exceptions, on both"
    );
}
