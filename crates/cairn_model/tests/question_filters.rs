//! What a test accepts: the tables of the query language, row by row.

use cairn_model::SiteId;
use cairn_model::question::{Asking, Filter, Question, Test};
use serde_json::{Value, json};

fn test(filter: Value) -> Test {
    let asking = Asking {
        site_id: SiteId(1),
        timezone: "Etc/UTC",
        now_ms: 0,
        first_event_ms: None,
        goals: &[],
    };
    let body =
        json!({"site_id": "s", "metrics": ["visitors"], "date_range": "day", "filters": [filter]});
    let question = Question::parse(&body, &asking).expect("a question");
    question.filters.first().and_then(Filter::as_test).expect("a test").clone()
}

#[track_caller]
fn accepts(filter: Value, values: &[&str], others: &[&str]) {
    let test = test(filter);
    for value in values {
        assert!(test.accepts(value), "{test:?} should accept {value:?}");
    }
    for value in others {
        assert!(!test.accepts(value), "{test:?} should not accept {value:?}");
    }
}

#[test]
fn operators_on_text() {
    let page = "event:page";
    accepts(json!(["is", page, ["/a", "/b"]]), &["/a", "/b"], &["/A", "/ab", ""]);
    accepts(json!(["is_not", page, ["/a"]]), &["/A", ""], &["/a"]);
    accepts(json!(["is", page, []]), &[], &["/a", ""]);
    accepts(json!(["is", page, ["/Ä"], {"case_sensitive": false}]), &["/ä", "/Ä"], &["/a"]);
    accepts(json!(["contains", page, ["a|b", "*"]]), &["xa|by", "*"], &["a", "b"]);
    accepts(json!(["contains_not", page, ["a"]]), &["", "A"], &["cat"]);
    accepts(json!(["contains", page, ["IX"], {"case_sensitive": false}]), &["İx", "six"], &["x"]);
    accepts(json!(["matches", page, ["^/a|b$"]]), &["/ax", "xb"], &["xa", "bx"]);
    accepts(json!(["matches_not", page, ["a", "b"]]), &["c"], &["a", "xb"]);
    // As RE2 reads them: ASCII digits, words and spaces.
    accepts(json!(["matches", page, ["^\\d$", "^\\w\\W$"]]), &["7", "aä"], &["٣", "ää"]);
}

#[test]
fn labels_stand_for_missing_values_in_is_alone() {
    accepts(json!(["is", "visit:source", ["Direct / None"]]), &[""], &["Google"]);
    accepts(json!(["is_not", "visit:utm_term", ["(not set)"]]), &["x"], &[""]);
    accepts(json!(["is", "visit:os", ["(not set)", "Linux"]]), &["", "Linux"], &["Mac"]);
    accepts(json!(["contains", "visit:source", ["Direct"]]), &["Directory"], &[""]);
    accepts(json!(["is", "visit:channel", ["Direct"]]), &["Direct", ""], &["Email"]);
    accepts(
        json!(["is", "visit:referrer", ["https://a.example/"]]),
        &["a.example"],
        &["b.example"],
    );
    accepts(json!(["is", "event:name", ["pageview"]]), &["page_view"], &["Signup"]);
    accepts(json!(["is", "event:name", ["page_view"]]), &["page_view"], &["Signup"]);
    accepts(json!(["contains", "event:name", ["gev"]]), &["page_view"], &["Signup"]);
    accepts(json!(["is_not", "event:name", ["pageview"]]), &["Signup"], &["page_view"]);
}

#[test]
fn properties_may_be_absent() {
    let accepts = |filter: Value, value: Option<&str>| test(filter).accepts_prop(value);
    let plan = "event:props:plan";
    let table = [
        (json!(["is", plan, ["pro"]]), false, false, true),
        (json!(["is", plan, ["(none)"]]), true, false, false),
        (json!(["is", plan, ["(none)", "pro"]]), true, false, true),
        (json!(["is_not", plan, ["pro"]]), true, true, false),
        (json!(["is_not", plan, ["(none)"]]), false, true, true),
        (json!(["is_not", plan, ["(none)", "pro"]]), false, true, false),
        (json!(["contains", plan, ["pr"]]), false, false, true),
        (json!(["contains_not", plan, ["pr"]]), false, true, false),
        (json!(["matches", plan, ["^p"]]), false, false, true),
        (json!(["matches_not", plan, ["^p"]]), false, true, false),
    ];
    for (filter, absent, empty, pro) in table {
        assert_eq!(accepts(filter.clone(), None), absent, "{filter} without the property");
        assert_eq!(accepts(filter.clone(), Some("")), empty, "{filter}, empty");
        assert_eq!(accepts(filter.clone(), Some("pro")), pro, "{filter}, pro");
    }
}
