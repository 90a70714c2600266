//! Bodies of questions: most of them are questions, some break a rule of the language.

use std::sync::LazyLock;

use super::*;

pub const EVENT_DIMENSIONS: [&str; 14] = [
    "event:props:cost_currency",
    "event:section",
    "event:section",
    "event:form",
    "event:element",
    "event:props:campaign",
    "event:props:verdict",
    "event:name",
    "event:page",
    "event:hostname",
    "event:goal",
    "event:props:plan",
    "event:props:a/b",
    "event:props:it's",
];
pub const VISIT_DIMENSIONS: [&str; 25] = [
    "visit:entry_page",
    "visit:exit_page",
    "visit:entry_page_hostname",
    "visit:exit_page_hostname",
    "visit:source",
    "visit:referrer",
    "visit:channel",
    "visit:utm_source",
    "visit:utm_medium",
    "visit:utm_campaign",
    "visit:utm_content",
    "visit:utm_term",
    "visit:country",
    "visit:country_name",
    "visit:region",
    "visit:region_name",
    "visit:city",
    "visit:city_name",
    "visit:device",
    "visit:browser",
    "visit:browser_version",
    "visit:os",
    "visit:os_version",
    "visit:bot",
    "visit:identification",
];
const TIMES: [&str; 5] = ["time", "time:hour", "time:day", "time:week", "time:month"];
const METRICS: [&str; 15] = [
    "visitors",
    "visits",
    "pageviews",
    "events",
    "views_per_visit",
    "bounce_rate",
    "visit_duration",
    "percentage",
    "conversion_rate",
    "group_conversion_rate",
    "scroll_depth",
    "time_on_page",
    "total_revenue",
    "average_revenue",
    "exit_rate",
];

/// Names of the metrics that are not among [`METRICS`].
pub fn tallies() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let names = Metric::all().map(|metric| metric.name());
        names.filter(|name| !METRICS.contains(name)).collect()
    });
    &NAMES
}

const PATTERNS: [&str; 10] =
    ["^/", "a|b", "\\d+", "(?i)ä", "^.$", "blog/.", "[^a-z]", "\\bb\\b", "\\w\\s", "é*$"];
const CLAUSES: [&str; 14] = [
    "",
    "a",
    "A",
    "Ä",
    "(not set)",
    "(none)",
    "Direct / None",
    "/blog",
    "pageview",
    "page_view",
    "PageView",
    "it's",
    "İ",
    "b",
];

fn clauses(dice: &mut Dice, subject: &str) -> Value {
    let pool: &[&str] = match subject {
        "event:page" | "visit:entry_page" | "visit:exit_page" => &PAGES,
        "event:hostname" | "visit:entry_page_hostname" | "visit:exit_page_hostname" => &HOSTS,
        "event:name" => {
            &["pageview", "page_view", "Signup", "GRÖSSE", "größe", "e", "_", "email_open", "ad_"]
        }
        "event:goal" => {
            &["Signup", "Blog", "Deep", "Paid", "o", "Opened", "Stayed", "Studied", "Large order"]
        }
        "event:section" => &SECTIONS,
        "event:form" => &["signup", "news", "/a", "", "S"],
        "event:props:verdict" => &["human", "machine", "(none)"],
        "event:props:cost_currency" => &["EUR", "USD"],
        "visit:country" => &["EE", "DE", "ZZ", "ee"],
        "visit:country_name" => &["Estonia", "Germany", "german", "XX", "an", ""],
        "visit:bot" => &["true", "false"],
        "visit:identification" => &["identified", "anonymous"],
        _ if dice.chance(50) => &TEXTS,
        _ => &CLAUSES,
    };
    let mut picked = dice.some(pool, 3);
    if picked.is_empty() && dice.chance(95) {
        picked.push(dice.pick(pool));
    }
    json!(picked)
}

fn test(dice: &mut Dice, event_only: bool) -> Value {
    let subject = match dice.chance(if event_only { 100 } else { 55 }) {
        true => dice.pick(&EVENT_DIMENSIONS),
        false => dice.pick(&VISIT_DIMENSIONS),
    };
    let operator =
        dice.pick(&["is", "is_not", "contains", "contains_not", "matches", "matches_not", "is"]);
    if operator.starts_with("matches") {
        return json!([operator, subject, dice.some(&PATTERNS, 2)]);
    }
    let clauses = clauses(dice, subject);
    match dice.roll(4) {
        0 => json!([operator, subject, clauses, {"case_sensitive": false}]),
        1 => json!([operator, subject, clauses, {"case_sensitive": true}]),
        _ => json!([operator, subject, clauses]),
    }
}

fn filter(dice: &mut Dice, depth: u64, event_only: bool) -> Value {
    let several = |dice: &mut Dice| {
        (0..=dice.roll(2)).map(|_| filter(dice, depth - 1, event_only)).collect::<Vec<_>>()
    };
    match (depth, dice.roll(10)) {
        (1.., 0) => json!(["and", several(dice)]),
        (1.., 1 | 2) => json!(["or", several(dice)]),
        (1.., 3) => json!(["not", filter(dice, depth - 1, event_only)]),
        (1.., 4) if !event_only => {
            json!([dice.pick(&["has_done", "has_not_done"]), filter(dice, depth - 1, true)])
        }
        _ => test(dice, event_only),
    }
}

fn comparison(dice: &mut Dice, first: jiff::civil::Date, last: jiff::civil::Date) -> Value {
    let mode = dice.pick(&["previous_period", "year_over_year", "custom"]);
    let mut asked = json!({"mode": mode});
    if dice.chance(30) {
        asked["match_day_of_week"] = json!(true);
    }
    if mode == "custom" {
        let back = jiff::Span::new().days(dice.roll(5) as i64);
        let moved = |day: jiff::civil::Date| day.checked_sub(back).expect("a day").to_string();
        asked["date_range"] = json!([moved(first), moved(last)]);
    }
    asked
}

pub fn random_body(dice: &mut Dice, day: &str) -> Value {
    let mut dimensions = Vec::new();
    if dice.chance(35) {
        dimensions.push(dice.pick(&TIMES));
    }
    if dice.chance(35) {
        dimensions.push(dice.pick(&EVENT_DIMENSIONS));
    }
    if dice.chance(35) {
        dimensions.push(dice.pick(&VISIT_DIMENSIONS));
    }
    if dice.chance(10) {
        dimensions.push(dice.pick(&VISIT_DIMENSIONS));
    }
    let mut metrics = dice.some(&METRICS, 4);
    if dice.chance(60) {
        metrics.push(dice.pick(&METRICS));
    } else {
        metrics.truncate(dice.roll(2) as usize);
        metrics.push(dice.pick(tallies()));
        metrics.extend(dice.some(tallies(), 3));
    }
    if dice.chance(30) {
        metrics.truncate(dice.roll(3) as usize);
        metrics.push(dice.pick(&MONEY));
        metrics.extend(dice.some(&MONEY, 3));
    }
    let mut mixes_goals = false;
    match dice.roll(20) {
        // Metrics and dimensions that go with few others.
        0 => (dimensions, metrics) = (vec!["visit:exit_page"], vec!["exit_rate", "visitors"]),
        1 => (dimensions, metrics) = (vec!["event:goal"], vec!["group_conversion_rate"]),
        2 => metrics = vec!["visits", "bounce_rate"],
        // Amounts of goals with a currency, beside goals without one that the same or other events convert.
        3 => {
            metrics = vec!["total_revenue", "average_revenue"];
            dimensions.truncate(1);
            mixes_goals = true;
        }
        _ => {}
    }
    metrics.sort_by_key(|metric| (metric.len() % 5, *metric));
    metrics.dedup();
    let mut filters: Vec<Value> = (0..dice.roll(4)).map(|_| filter(dice, 2, false)).collect();
    if mixes_goals {
        let goals = [["Signup", "Large order"], ["Blog", "Odd"], ["Odd", "Signup"]];
        filters = vec![json!(["is", "event:goal", goals[filters.len() % goals.len()]])];
    }
    let day: jiff::civil::Date = day.parse().expect("a day");
    let first = day.checked_sub(jiff::Span::new().days(dice.roll(6) as i64)).expect("a day");
    let last = first.checked_add(jiff::Span::new().days(dice.roll(7) as i64)).expect("a day");
    let range = match dice.roll(10) {
        0 => json!("all"),
        8 => json!(dice.pick(&["day", "7d", "30d", "month", "2mo", "year"])),
        1 => json!([format!("{first}T07:11:13Z"), format!("{last}T19:05:01Z")]),
        _ => json!([first.to_string(), last.to_string()]),
    };
    let mut order = Vec::new();
    for name in dimensions.iter().chain(&metrics) {
        if dice.chance(25) {
            order.push(json!([name, dice.pick(&["asc", "desc"])]));
        }
    }
    let mut body = json!({
        "site_id": "s", "metrics": metrics, "dimensions": dimensions, "filters": filters, "date_range": range,
        "order_by": order, "include": {"total_rows": dice.chance(30)},
    });
    if dice.chance(40) {
        body["pagination"] = json!({"limit": dice.roll(8) + 1, "offset": dice.roll(5)});
    }
    if dice.chance(20) {
        body["include"]["comparisons"] = comparison(dice, first, last);
    }
    body
}
