//! Import, stored events, outcomes, the live view and queries.

use cairn_model::{Event, Outcome, SiteId, VisitorId};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::rig::{NOW_MS, Rig};

fn page_view(number: usize, more: Value) -> Value {
    let mut line = json!({"event": "page_view", "timestamp": "2026-11-21T09:00:00Z",
        "url": format!("https://shop.example/p/{number}?a=1"), "visitor_id": format!("v{number}")});
    for (name, value) in more.as_object().unwrap() {
        line[name] = value.clone();
    }
    line
}

async fn import(rig: &Rig, site: &str, body: String) -> Value {
    let call = rig.call("POST", &format!("/api/v1/sites/{site}/import")).owner();
    call.header("content-type", "application/x-ndjson").body(body).send().await.ok(200)
}

#[tokio::test]
async fn an_import_is_queryable_when_it_is_answered() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let mut lines: Vec<String> = (0..3000)
        .map(|number| page_view(number, json!({"event_id": number.to_string()})).to_string())
        .collect();
    lines[10] = "{broken".to_owned();
    lines[20] = page_view(20, json!({"colour": "red"})).to_string();
    lines[30] = page_view(30, json!({"event_id": "5"})).to_string();
    lines[40] = String::new();
    lines[50] = format!("{{\"event\": \"{}", "x".repeat(600_000));
    let result = import(&rig, &site, lines.join("\n")).await;
    assert_eq!((&result["accepted"], &result["duplicate"]), (&json!(2995), &json!(1)));
    let rejected: Vec<_> = result["rejected"].as_array().unwrap().iter().collect();
    let numbers: Vec<_> = rejected.iter().map(|line| line["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [11, 21, 51]);
    let message = "no such field; put your own in props";
    let colour = json!({"line": 21, "reason": "rejected:unknown_field", "message": message,
        "field": "colour"});
    assert_eq!(rejected[1], &colour);
    let long = json!({"line": 51, "reason": "rejected:too_large",
        "message": "the line is over 64 KiB"});
    assert_eq!(rejected[2], &long);
    let query = json!({"site_id": "shop.example", "metrics": ["pageviews", "visitors"],
        "date_range": ["2026-11-21", "2026-11-21"]});
    let answer = rig.post("/api/v2/query", &query).owner().send().await.ok(200);
    assert_eq!(answer["results"], json!([{"dimensions": [], "metrics": [2995, 2995]}]));
    let again = import(&rig, &site, lines[0].clone()).await;
    assert_eq!(again, json!({"accepted": 0, "duplicate": 1, "rejected": [], "rejected_count": 0}));
    let outcomes = rig.get(&format!("/api/v1/sites/{site}/outcomes")).owner().send().await.ok(200);
    assert_eq!(outcomes["outcomes"]["accepted"], 2995);
    assert_eq!(outcomes["outcomes"]["duplicate"], 2);
    assert_eq!(outcomes["outcomes"]["rejected:malformed"], 1);
    assert_eq!(outcomes["received"], 3000);
}

#[tokio::test]
async fn reports_mark_the_restarts_in_their_range() {
    const HOUR_MS: i64 = 3_600_000;
    let rig = Rig::new();
    let starts = |starts_ms: &[i64]| {
        for start_ms in starts_ms {
            rig.app.catalog.add_start(*start_ms).unwrap();
        }
    };
    // The first ever is no restart, and one before the site existed parted no visitor of it.
    starts(&[NOW_MS - 30 * HOUR_MS, NOW_MS - HOUR_MS]);
    rig.site("shop.example").await;
    let meta = async |from: &str, to: &str| {
        let query = json!({"site_id": "shop.example", "metrics": ["visitors"],
            "date_range": [from, to]});
        rig.post("/api/v2/query", &query).owner().send().await.ok(200)["meta"].clone()
    };
    assert_eq!(meta("2026-11-01", "2026-12-31").await, json!({}));
    starts(&[NOW_MS + 1_250, NOW_MS + 50 * HOUR_MS]);
    let [first, second] = [NOW_MS + 1_000, NOW_MS + 50 * HOUR_MS]
        .map(|at_ms| jiff::Timestamp::from_millisecond(at_ms).unwrap().to_string());
    let both = json!({"anonymous_restarts": [first, second]});
    assert_eq!(meta("2026-11-01", "2026-12-31").await, both);
    assert_eq!(meta(&first, &first).await, json!({"anonymous_restarts": [first]}));
    assert_eq!(meta("2026-10-01", "2026-10-31").await, json!({}));
}

#[tokio::test]
async fn an_import_that_cannot_be_read_is_refused_before_its_lines() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let path = format!("/api/v1/sites/{site}/import");
    let large = rig.call("POST", &path).owner().header("content-length", "67108865");
    large.send().await.is(413, "too_large");
    let packed = rig.call("POST", &path).owner().header("content-encoding", "gzip");
    packed.send().await.is(415, "unsupported_media_type");
    let empty = import(&rig, &site, "\n\n".to_owned()).await;
    assert_eq!(empty["accepted"], 0);
    let key = || {
        let call = rig.call("POST", &path).owner().header("idempotency-key", "one");
        call.body(page_view(1, json!({})).to_string())
    };
    let (first, second) = (key().send().await.ok(200), key().send().await.ok(200));
    assert_eq!((&first["accepted"], &first), (&json!(1), &second));
    let outcomes = rig.get(&format!("/api/v1/sites/{site}/outcomes")).owner().send().await.ok(200);
    assert_eq!(outcomes["received"], 1, "the repetition was not imported");
}

#[tokio::test]
async fn events_come_newest_first_in_pages() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let lines: Vec<_> = (0..5).map(|number| page_view(number, json!({})).to_string()).collect();
    import(&rig, &site, lines.join("\n")).await;
    let more = json!({"event": "purchase", "value": 59.90, "currency": "EUR", "order_id": "o1",
        "items": [{"item_id": "7"}], "props": {"plan": "pro"}});
    import(&rig, &site, page_view(5, more).to_string()).await;
    let path = format!("/api/v1/sites/{site}/events");
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let page = rig.get(&format!("{path}?limit=4{after}")).owner().send().await.ok(200);
        let items = page["items"].as_array().unwrap().iter();
        pages.extend(items.map(|event| event["page"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(pages, ["/p/5", "/p/4", "/p/3", "/p/2", "/p/1", "/p/0"]);
    let whole = rig.get(&format!("{path}?limit=6")).owner().send().await.ok(200);
    assert_eq!(whole["next"], Value::Null, "a full last page knows that it is the last");
    let filters = "filters=%5B%5B%22is%22%2C%22event%3Aname%22%2C%5B%22purchase%22%5D%5D%5D";
    let found = rig.get(&format!("{path}?{filters}")).owner().send().await;
    assert!(found.text.contains("\"value\":59.90"), "money keeps its digits: {}", found.text);
    let found = found.ok(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let event = &found["items"][0];
    assert_eq!(event["url"], "https://shop.example/p/5?a=1");
    assert_eq!(event["imported"], true);
    assert_eq!(event["identification"], "identified");
    assert_eq!(event["props"]["plan"], "pro");
    assert_eq!(event["items"][0]["item_id"], "7");
    rig.get(&format!("{path}?filters=%5B")).owner().send().await.is(400, "malformed_request");
    rig.get(&format!("{path}?filters=%5B1%5D")).owner().send().await.is(400, "invalid_query");
}

#[tokio::test]
async fn outcomes_add_what_is_stored_and_what_is_on_its_way() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let site_id: SiteId = site.parse().unwrap();
    let mut bot = Event::bare(site_id, "page_view", NOW_MS);
    bot.bot = "declared".into();
    rig.store(&bot).await;
    let mut person = Event::bare(site_id, "page_view", NOW_MS);
    person.visitor_id = VisitorId(1);
    rig.store(&person).await;
    rig.app.counters.receive(2).settle_many(site_id, Outcome::DroppedPolicy, 2, NOW_MS);
    let path = format!("/api/v1/sites/{site}/outcomes?since=2026-11-22T10:30:00Z");
    let outcomes = rig.get(&path).owner().send().await.ok(200);
    assert_eq!(outcomes["since"], "2026-11-22T10:00:00Z", "whole hours");
    assert_eq!(outcomes["outcomes"]["accepted"], 2);
    assert_eq!(outcomes["outcomes"]["dropped:policy"], 2);
    assert_eq!(outcomes["received"], 4);
    assert_eq!(outcomes["outcomes"].as_object().unwrap().len(), Outcome::ALL.len());
    assert_eq!(outcomes["bots"], json!({"declared": 1}));
    let again = rig.get(&path).owner().send().await.ok(200);
    assert_eq!(again, outcomes, "counting twice adds nothing");
    let later = format!("/api/v1/sites/{site}/outcomes?since={}", NOW_MS + 3_600_000);
    assert_eq!(rig.get(&later).owner().send().await.ok(200)["received"], 0);
}

#[tokio::test]
async fn the_live_view_shows_each_event_of_its_site() {
    let rig = Rig::new();
    let (site, other) = (rig.site("shop.example").await, rig.site("other.example").await);
    let request = rig.get(&format!("/api/v1/sites/{site}/live")).owner().request();
    let response = rig.router().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut theirs = Event::bare(other.parse().unwrap(), "page_view", NOW_MS);
    theirs.title = "of the other site".into();
    rig.store(&theirs).await;
    let mut mine = Event::bare(site.parse().unwrap(), "page_view", NOW_MS);
    mine.title = "of this site".into();
    rig.store(&mine).await;
    let mut seen = String::new();
    while !seen.contains("of this site") {
        let frame = body.frame().await.expect("the stream goes on").unwrap();
        seen.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    assert!(!seen.contains("of the other site"));
    assert!(seen.contains("event: visitors\ndata: {\"visitors_now\":"), "{seen}");
    rig.app.live_places.end();
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
    let closed = rig.get(&format!("/api/v1/sites/{site}/live")).owner().send().await;
    closed.is(503, "overloaded");
}

#[tokio::test]
async fn a_question_names_its_site_by_number_or_domain() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let ask = |site: &str, metric: &str| {
        let body = json!({"site_id": site, "metrics": [metric], "date_range": "7d"});
        rig.post("/api/v2/query", &body).owner()
    };
    for name in [&*site, "shop.example", "Shop.Example"] {
        let answer = ask(name, "visitors").send().await.ok(200);
        assert_eq!(answer["results"], json!([{"dimensions": [], "metrics": [0]}]));
    }
    ask("nothing.example", "visitors").send().await.is(401, "unauthorized");
    ask("", "visitors").send().await.is(400, "invalid_query");
    ask("shop.example", "colours").send().await.is(400, "invalid_query");
    rig.post("/api/v2/query", &json!([])).owner().send().await.is(400, "invalid_query");
    rig.post("/api/v2/query", &json!({})).owner().send().await.is(400, "invalid_query");
}
