//! Bodies that are no questions: each is refused with its place and its name.

use cairn_model::SiteId;
use cairn_model::answer::Key;
use cairn_model::question::{Asking, Goal, Question, QuestionError, Trigger};
use serde_json::{Value, json};

fn parse(body: &Value) -> Result<Question, QuestionError> {
    let goals = [Goal::new("Signup", Trigger::Event("Signup".to_owned()))];
    let asking = Asking {
        site_id: SiteId(1),
        timezone: "Etc/UTC",
        now_ms: 1_700_000_000_000,
        first_event_ms: None,
        goals: &goals,
    };
    Question::parse(body, &asking)
}

fn with(extra: Value) -> Value {
    let mut body = json!({"site_id": "s", "metrics": ["visitors"], "date_range": "all"});
    for (key, value) in extra.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

#[track_caller]
fn refused(body: &Value, words: &[&str]) {
    let error = parse(body).expect_err("it should be refused");
    for word in words {
        assert!(error.message.contains(word), "{:?} does not name {word}", error.message);
    }
}

#[test]
fn structure() {
    for body in [json!(null), json!([]), json!("x"), json!(1)] {
        refused(&body, &["object"]);
    }
    refused(&json!({"metrics": ["visitors"]}), &["site_id", "date_range"]);
    refused(&with(json!({"date": "2021-01-01"})), &["#/date"]);
    refused(&with(json!({"metrics": []})), &["#/metrics"]);
    refused(&with(json!({"metrics": "visitors"})), &["#/metrics"]);
    refused(&with(json!({"metrics": ["visits", "baa"]})), &["#/metrics/1", "\"baa\""]);
    refused(&with(json!({"metrics": ["visits", 7]})), &["#/metrics/1", "7"]);
    refused(&with(json!({"metrics": ["visits", "visits"]})), &["#/metrics"]);
    refused(&with(json!({"dimensions": "event:page"})), &["#/dimensions"]);
    refused(&with(json!({"dimensions": ["visit:device", "visit:screen"]})), &["#/dimensions"]);
    refused(&with(json!({"dimensions": ["time:day", "time"]})), &["#/dimensions"]);
    refused(
        &with(json!({"dimensions": ["event:page", "event:props:"]})),
        &["#/dimensions/1", "event:props:"],
    );
    refused(&with(json!({"dimensions": ["time:minute"]})), &["#/dimensions/0"]);
    refused(&with(json!({"include": "foobar"})), &["#/include"]);
    refused(&with(json!({"include": {"foo": true}})), &["#/include", "foo"]);
    refused(&with(json!({"include": {"time_labels": 1}})), &["#/include/time_labels"]);
    refused(&with(json!({"pagination": {"limit": 0}})), &["#/pagination/limit"]);
    refused(&with(json!({"pagination": {"limit": 10_001}})), &["#/pagination/limit"]);
    refused(&with(json!({"pagination": {"offset": -5}})), &["#/pagination/offset"]);
    refused(&with(json!({"pagination": {"offset": 1.5}})), &["#/pagination/offset"]);
}

#[test]
fn ranges() {
    let odd = [
        json!("-1d"),
        json!("0d"),
        json!("5001d"),
        json!("101mo"),
        json!("30m"),
        json!("realtime"),
        json!("foo"),
        json!("+7d"),
        json!("99999999999d"),
        json!(7),
        json!(null),
        json!([]),
        json!(["2021-01-01"]),
        json!(["21415-00", "eee"]),
        json!(["2021-01-01", "2021-01-02T00:00:00Z"]),
        json!(["2021-01-01T00:00:00", "2021-01-02T00:00:00"]),
        json!(["2021-02-30", "2021-03-01"]),
        json!(["2021-01-02", "2021-01-01"]),
        json!(["20210101", "20210102"]),
        json!(["2021-01-01T00:00:00+99:00", "2021-01-02T00:00:00Z"]),
        json!(["2021-01-01T00:00:00+25:00", "2021-01-02T00:00:00+25:00"]),
        json!(["2021-01-01T00:00:00-24:00", "2021-01-02T00:00:00Z"]),
        json!(["2021-01-01", "2021-01-02", "2021-01-03"]),
    ];
    for range in odd {
        refused(&with(json!({"date_range": range})), &["#/date_range", "date_range"]);
    }
}

#[test]
fn filters() {
    let odd = [
        json!("is"),
        json!([]),
        json!(["is"]),
        json!(["is", "event:page"]),
        json!(["is", "event:page", "x"]),
        json!(["is", "event:page", [["x"]]]),
        json!(["is", "event:page", [null]]),
        json!(["is", "event:page", ["x"], {}, 1]),
        json!(["is", "event:page", ["x"], true]),
        json!(["is", "event:page", ["x"], {"case": true}]),
        json!(["is", "event:page", ["x"], {"case_sensitive": 1}]),
        json!(["matches", "event:page", ["x"], {"case_sensitive": true}]),
        json!(["matches", "event:page", ["("]]),
        json!(["matches", "event:page", ["(?=x)"]]),
        json!(["matches", "event:page", ["[a&&b]"]]),
        json!(["matches", "event:page", ["a{1001}"]]),
        json!(["matches", "event:page", ["((a{1000}){1000}){9}"]]),
        json!(["is", "event:device", ["x"]]),
        json!(["is", "time:day", ["x"]]),
        json!(["is", "event:props:", ["x"]]),
        json!(["matches_wildcard", "event:name", ["x"]]),
        json!(["and", []]),
        json!(["or", []]),
        json!(["and", ["is", "event:page", ["/"]]]),
        json!(["not"]),
        json!(["not", ["is", "event:page", ["/"]], 1]),
        json!(["has_done", []]),
        json!(["has_not_done"]),
        json!(["is_not", "event:goal", ["Signup"]]),
        json!(["matches", "event:goal", ["x"]]),
        json!(["is", "visit:os", [1]]),
        json!(["is", "visit:city", ["a", 1]]),
        json!(["is", "visit:country", ["USA"]]),
        json!(["is", "visit:bot", ["yes"]]),
    ];
    for filter in odd {
        let body = with(json!({"filters": [["is", "event:page", ["/"]], filter]}));
        refused(&body, &["#/filters/1"]);
    }
    refused(&with(json!({"filters": "x"})), &["#/filters"]);
    refused(&with(json!({"filters": [["is", "visit:os_version", [123]]]})), &["visit:os_version"]);
    let mut deep = json!(["is", "event:page", ["/"]]);
    for _ in 0..40 {
        deep = json!(["not", deep]);
    }
    refused(&with(json!({"filters": [deep]})), &["#/filters/0", "deep"]);
}

#[test]
fn combinations() {
    let page = json!(["is", "event:page", ["/"]]);
    refused(&with(json!({"metrics": ["conversion_rate"]})), &["conversion_rate", "event:goal"]);
    refused(
        &with(json!({"metrics": ["scroll_depth"], "filters": [["or", [page]]]})),
        &["scroll_depth", "event:page"],
    );
    refused(
        &with(json!({"metrics": ["time_on_page"], "filters": [["has_done", page]]})),
        &["time_on_page", "event:page"],
    );
    refused(
        &with(json!({"metrics": ["views_per_visit"], "filters": [page]})),
        &["views_per_visit"],
    );
    refused(
        &with(json!({"metrics": ["views_per_visit"], "dimensions": ["visit:os"]})),
        &["views_per_visit"],
    );
    refused(
        &with(json!({"metrics": ["bounce_rate"], "dimensions": ["event:name"]})),
        &["bounce_rate", "event:name"],
    );
    refused(
        &with(json!({"metrics": ["bounce_rate"], "dimensions": ["event:page", "event:hostname"]})),
        &["bounce_rate", "event:page"],
    );
    refused(
        &with(json!({"metrics": ["pageviews"], "dimensions": ["visit:exit_page"]})),
        &["pageviews", "visit:exit_page"],
    );
    refused(
        &with(json!({"metrics": ["exit_rate"], "dimensions": ["visit:entry_page"]})),
        &["exit_rate", "visit:exit_page"],
    );
    refused(
        &with(
            json!({"metrics": ["exit_rate"], "dimensions": ["visit:exit_page"], "filters": [page]}),
        ),
        &["exit_rate"],
    );
    refused(
        &with(json!({"filters": [["or", [["is", "event:goal", ["Signup"]]]]]})),
        &["event:goal", "#/filters/0"],
    );
    refused(
        &with(json!({"filters": [["not", ["is", "event:hostname", ["a"]]]]})),
        &["event:hostname"],
    );
    refused(&with(json!({"filters": [["is", "event:goal", ["Nope"]]]})), &["Nope"]);
    refused(&with(json!({"filters": [["has_done", ["is", "event:goal", ["Nope"]]]]})), &["Nope"]);
    refused(&with(json!({"filters": [["has_done", ["is", "visit:os", ["x"]]]]})), &["has_done"]);
    refused(
        &with(json!({"filters": [["has_done", ["not", ["has_not_done", page]]]]})),
        &["has_done"],
    );
    refused(
        &with(
            json!({"metrics": ["conversion_rate"], "dimensions": ["event:goal"], "filters": [["not", ["is", "event:props:a", ["b"]]]]}),
        ),
        &["conversion_rate", "event:props"],
    );
    refused(&with(json!({"order_by": [["events", "desc"]]})), &["order_by", "events"]);
    refused(&with(json!({"order_by": [["time", "desc"]]})), &["order_by", "time"]);
    refused(&with(json!({"order_by": [["visssss", "desc"]]})), &["#/order_by/0/0", "visssss"]);
    refused(&with(json!({"order_by": [["visitors", "down"]]})), &["#/order_by/0/1"]);
    refused(&with(json!({"include": {"time_labels": true}})), &["time_labels"]);
    refused(
        &with(json!({"include": {"comparisons": {"mode": "custom"}}})),
        &["#/include/comparisons"],
    );
    refused(
        &with(
            json!({"include": {"comparisons": {"mode": "previous_period", "date_range": ["2021-01-01", "2021-01-01"]}}}),
        ),
        &["#/include/comparisons"],
    );
}

#[test]
fn errors_quote_at_most_a_hundred_letters() {
    let error = parse(&with(json!({"metrics": ["ä".repeat(100_000)]}))).expect_err("refused");
    assert!(error.message.len() < 2_000);
}

#[test]
fn the_simplest_question_gets_its_defaults() {
    let question =
        parse(&with(json!({"metrics": ["visits", "visitors"], "dimensions": ["time:day"]})))
            .expect("a question");
    assert_eq!(question.echo["order_by"], json!([["time:day", "asc"], ["visits", "desc"]]));
    assert_eq!(question.echo["pagination"], json!({"limit": 10_000, "offset": 0}));
    assert_eq!(question.echo["filters"], json!([]));
    assert_eq!(question.echo["include"], json!({}));
}

#[test]
fn costs_need_one_currency() {
    let asked = |filters: Value, dimensions: Value| {
        with(json!({"metrics": ["ad_cost"], "filters": filters, "dimensions": dimensions}))
    };
    let currency = "event:props:cost_currency";
    for filters in [
        json!([]),
        json!([["is", currency, ["EUR", "USD"]]]),
        json!([["is_not", currency, ["EUR"]]]),
        json!([["contains", currency, ["EUR"]]]),
        json!([["is", currency, ["EUR"], {"case_sensitive": false}]]),
        json!([["or", [["is", currency, ["EUR"]]]]]),
        json!([["has_done", ["is", currency, ["EUR"]]]]),
    ] {
        refused(&asked(filters, json!([])), &["ad_cost", currency]);
    }
    let euros = parse(&asked(json!([["is", currency, ["EUR"]]]), json!(["event:props:creative"])));
    assert_eq!(euros.expect("a question").cost_currency(&[]), Some("EUR"));
    let by_currency = parse(&asked(json!([]), json!(["visit:utm_campaign", currency])));
    let keys = ["spring", "USD"].map(|text| Key::Text(text.to_owned()));
    assert_eq!(by_currency.expect("a question").cost_currency(&keys), Some("USD"));
}

#[test]
fn what_happened_goes_with_dimensions_of_events_only() {
    refused(
        &with(json!({"metrics": ["section_views"], "dimensions": ["visit:exit_page"]})),
        &["section_views", "visit:exit_page"],
    );
    refused(
        &with(json!({"metrics": ["bounce_rate"], "dimensions": ["event:section"]})),
        &["bounce_rate", "event:section"],
    );
    refused(&with(json!({"dimensions": ["event:sections"]})), &["#/dimensions/0"]);
    let body = json!({"metrics": ["lcp_p75_ms", "email_human_opens", "visits"],
                      "dimensions": ["time:day", "event:form", "visit:country"]});
    assert!(parse(&with(body)).is_ok());
}
