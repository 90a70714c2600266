//! Goals of all kinds with targets, funnels, journeys and retention.

use cairn_model::{Event, Identification, VisitorId};
use serde_json::{Value, json};

use crate::rig::{NOW_MS, Rig};

const MINUTE_MS: i64 = 60_000;

/// A page view or an event of an identified visitor, so many minutes before now.
fn event(visitor: u64, minutes_ago: i64, what: &str) -> Event<'static> {
    let is_page = what.starts_with('/');
    let name = if is_page { "page_view" } else { what };
    let mut event =
        Event::bare("1".parse().unwrap(), name.to_owned(), NOW_MS - minutes_ago * MINUTE_MS);
    event.visitor_id = VisitorId(visitor);
    event.identification = Identification::Identified;
    if is_page {
        event.path = what.to_owned().into();
    }
    event
}

/// A site with its number, where three looked at a product, two had a cart and one bought.
async fn shop() -> (Rig, String) {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let mut purchase = event(1, 6, "purchase");
    purchase.value_minor = Some(5990);
    purchase.currency = "EUR".into();
    purchase.props = r#"{"items":"3"}"#.into();
    let mut read = event(1, 4, "engagement");
    read.path = "/thanks".into();
    read.section_id = "next".into();
    read.engagement_ms = Some(40_000);
    read.props = r#"{"reading":"read"}"#.into();
    let story = [
        event(1, 9, "/product"),
        event(1, 8, "/cart"),
        purchase,
        event(1, 5, "/thanks"),
        read,
        event(2, 9, "/product"),
        event(2, 7, "/cart"),
        event(2, 6, "/help"),
        event(3, 9, "/product"),
    ];
    for mut event in story {
        event.site_id = site.parse().unwrap();
        rig.store(&event).await;
    }
    (rig, site)
}

fn steps() -> Value {
    json!([
        {"condition": {"page_path": "/prod*", "display_name": "Product"}},
        {"condition": {"page_path": "/cart"}},
        {"condition": {"event_name": "purchase",
            "conditions": [{"prop": "items", "operator": "greater", "values": ["2"]}]}},
    ])
}

#[tokio::test]
async fn a_saved_funnel_is_asked_changed_and_removed() {
    let (rig, site) = shop().await;
    let base = format!("/api/v1/sites/{site}/funnels");
    let new = json!({"name": "Checkout", "steps": steps(), "window_minutes": 60});
    let funnel = rig.post(&base, &new).owner().send().await.ok(201);
    assert_eq!(funnel["steps"][1]["condition"]["display_name"], "Visit /cart");
    rig.post(&base, &new).owner().send().await.is(409, "conflict");
    let question = json!({"site_id": "shop.example", "date_range": "day",
        "funnel_id": funnel["id"], "breakdown": "event:page"});
    let answer = rig.post("/api/v2/funnel", &question).owner().send().await.ok(200);
    let visitors = |answer: &Value| -> Vec<u64> {
        let steps = answer["steps"].as_array().unwrap().iter();
        steps.map(|step| step["visitors"].as_u64().unwrap()).collect()
    };
    assert_eq!(visitors(&answer), [3, 2, 1]);
    assert_eq!(answer["conversion_rate"], 33.33);
    let cart = &answer["steps"][1];
    assert_eq!((&cart["share_of_previous"], &cart["median_s"]), (&json!(66.67), &json!(60)));
    let help =
        json!({"next": [{"kind": "page", "name": "/help", "visitors": 1}], "others": 0, "left": 0});
    assert_eq!((&cart["dropped"], &cart["instead"]), (&json!(1), &help));
    assert_eq!(answer["groups"][0]["value"], "/product");
    assert_eq!(visitors(&answer["groups"][0]), [3, 2, 1]);
    assert_eq!(answer["meta"]["exactness"], "exact");
    let path = format!("{base}/{}", funnel["id"].as_str().unwrap());
    let strict = json!({"name": "Direct", "steps": steps(), "order": "strict"});
    let changed = rig.call("PATCH", &path).owner().json(&strict).send().await.ok(200);
    assert_eq!(rig.get(&path).owner().send().await.ok(200), changed);
    let answer = rig.post("/api/v2/funnel", &question).owner().send().await.ok(200);
    assert_eq!(visitors(&answer), [3, 2, 1], "nothing lay in between");
    rig.call("DELETE", &path).owner().send().await.ok(204);
    rig.get(&path).owner().send().await.is(404, "not_found");
    rig.post("/api/v2/funnel", &question).owner().send().await.is(422, "invalid_value");
    assert_eq!(rig.get(&base).owner().send().await.ok(200)["items"], json!([]));
}

#[tokio::test]
async fn what_is_no_funnel_is_refused_with_its_place() {
    let (rig, site) = shop().await;
    let base = format!("/api/v1/sites/{site}/funnels");
    let one = json!({"condition": {"page_path": "/"}});
    let named = |steps: Value| json!({"name": "x", "steps": steps});
    for (body, status, code, field) in [
        (json!({"steps": steps()}), 400, "missing_field", "name"),
        (json!({"name": "x"}), 400, "missing_field", "steps"),
        (named(json!([one])), 422, "invalid_value", "steps"),
        (named(json!(vec![one.clone(); 21])), 422, "invalid_value", "steps"),
        (named(json!([one, {}])), 422, "invalid_value", "steps[1].goal_id"),
        (named(json!([one, {"goal_id": "77"}])), 422, "invalid_value", "steps"),
        (
            named(json!([one, {"condition": {}}])),
            400,
            "missing_field",
            "steps[1].condition.event_name",
        ),
    ] {
        let answer = rig.post(&base, &body).owner().send().await;
        answer.is(status, code);
        assert_eq!(answer.json()["error"]["field"], field, "{body}");
    }
    let question = json!({"site_id": "shop.example", "date_range": "day", "steps": steps(),
        "breakdown": "time:day"});
    rig.post("/api/v2/funnel", &question).owner().send().await.is(400, "invalid_query");
    let question = json!({"site_id": "shop.example", "date_range": "day", "steps": steps(),
        "window_minutes": 129_601});
    rig.post("/api/v2/funnel", &question).owner().send().await.is(422, "invalid_value");
}

#[tokio::test]
async fn goals_of_all_kinds_convert_and_have_targets() {
    let (rig, site) = shop().await;
    let base = format!("/api/v1/sites/{site}/goals");
    let post = |body: Value| rig.post(&base, &body).owner();
    let large = json!({"event_name": "purchase", "display_name": "Large order", "currency": "EUR",
        "value_min": 59.90, "target": {"amount": 119.80, "from": "2026-11-21", "until": "2026-11-24"}});
    let large = post(large).send().await.ok(201);
    assert_eq!((&large["value_min"], &large["target"]["amount"]), (&json!(59.9), &json!(119.8)));
    let read = json!({"section": "ne*", "target": {"conversions": 4, "until": "2026-11-22"}});
    let read = post(read).send().await.ok(201);
    assert_eq!(
        (&read["display_name"], &read["target"]["from"]),
        (&json!("Read ne*"), &json!("2026-11-22"))
    );
    post(json!({"engaged_s": 40, "page_path": "/th*"})).send().await.ok(201);
    post(json!({"engaged_s": 41})).send().await.ok(201);
    let query = json!({"site_id": "shop.example", "metrics": ["visitors"], "date_range": "day",
        "dimensions": ["event:goal"]});
    let answer = rig.post("/api/v2/query", &query).owner().send().await.ok(200);
    let row = |name: &str| json!({"dimensions": [name], "metrics": [1]});
    let wanted = json!([row("40 s on /th*"), row("Large order"), row("Read ne*")]);
    assert_eq!(answer["results"], wanted, "41 seconds were not reached");
    let progress = async |goal: &Value| {
        let path = format!("{base}/{}/progress", goal["id"].as_str().unwrap());
        rig.get(&path).owner().send().await.ok(200)
    };
    let large = progress(&large).await;
    assert_eq!((&large["share"], &large["state"]), (&json!(50.0), &json!("running")));
    assert_eq!((&large["days"], &large["share_expected"]), (&json!(4), &json!(50.0)));
    let read = progress(&read).await;
    assert_eq!((&read["conversions"], &read["share"]), (&json!(1), &json!(25.0)));
    for (body, status, code) in [
        (json!({"event_name": "a", "section": "b"}), 400, "missing_field"),
        (json!({"event_name": "a", "value_min": 1}), 400, "missing_field"),
        (json!({"section": "b", "scroll_threshold": 5}), 422, "invalid_value"),
        (json!({"engaged_s": 0}), 422, "invalid_value"),
        (json!({"engaged_s": 5, "custom_props": {"a": "b"}}), 422, "invalid_value"),
        (json!({"event_name": "a", "target": {"conversions": 1}}), 400, "missing_field"),
        (
            json!({"event_name": "a", "target": {"conversions": 1, "until": "2026-11-20"}}),
            422,
            "invalid_value",
        ),
        (
            json!({"event_name": "a",
                "conditions": [{"prop": "n", "operator": "greater", "values": ["many"]}]}),
            422,
            "invalid_value",
        ),
    ] {
        post(body).send().await.is(status, code);
    }
}

#[tokio::test]
async fn journeys_and_retention_are_answered() {
    let (rig, _) = shop().await;
    let question = json!({"site_id": "shop.example", "date_range": "day",
        "anchor": {"condition": {"page_path": "/product"}}, "steps": 2});
    let answer = rig.post("/api/v2/journeys", &question).owner().send().await.ok(200);
    assert_eq!((&answer["visits"], &answer["ended"]), (&json!(3), &json!(1)));
    let cart = &answer["next"][0];
    assert_eq!(
        (&cart["kind"], &cart["name"], &cart["visits"]),
        (&json!("page"), &json!("/cart"), &json!(2))
    );
    assert_eq!(cart["next"][0], json!({"kind": "page", "name": "/help", "visits": 1}));
    let mut wide = question.clone();
    wide["steps"] = json!(6);
    wide["top"] = json!(20);
    rig.post("/api/v2/journeys", &wide).owner().send().await.is(400, "invalid_query");
    rig.advance(2 * 24 * 60 * MINUTE_MS);
    let mut back = event(2, -2 * 24 * 60, "/");
    back.site_id = rig.app.directory.current().by_domain("shop.example").unwrap().site.id;
    rig.store(&back).await;
    let question = json!({"site_id": "shop.example", "date_range": "month", "period": "day"});
    let answer = rig.post("/api/v2/retention", &question).owner().send().await.ok(200);
    let cohorts = answer["cohorts"].as_array().unwrap();
    assert_eq!(cohorts.len(), 24, "what has not begun is not shown");
    assert_eq!(cohorts[21]["visitors"], 3);
    assert_eq!(cohorts[21]["returned"][1], json!({"visitors": 1, "share": 33.33}));
    assert_eq!(answer["periods"][23], json!({"label": "2026-11-24", "new": 0, "returning": 1}));
    assert_eq!(answer["meta"]["anonymous_visitors_left_out"], 0);
}

#[tokio::test]
async fn visits_and_people_are_listed_with_what_they_did() {
    let (rig, site) = shop().await;
    let site_id = site.parse().unwrap();
    let mut named = event(7, 3, "/account");
    (named.site_id, named.user_key) = (site_id, 99);
    rig.store(&named).await;
    let person = cairn_catalog::PersonChange {
        is_proven: false,
        offset: u64::MAX >> 2,
        site_id,
        user_key: 99,
        user_id: "ada-7".to_owned(),
        claimed_traits: r#"{"name":"Ada"}"#.to_owned(),
        seen_at_ms: NOW_MS,
    };
    rig.app.catalog.apply_log(&[person], &[], u64::MAX >> 2).unwrap();
    let goal = json!({"page_path": "/thanks", "display_name": "Read on"});
    rig.post(&format!("/api/v1/sites/{site}/goals"), &goal).owner().send().await.ok(201);
    let mut question = json!({"site_id": "shop.example", "date_range": "day", "limit": 3});
    let first = rig.post("/api/v2/visits", &question).owner().send().await.ok(200);
    assert_eq!(first["items"].as_array().unwrap().len(), 3);
    assert_eq!(first["items"][0]["entry_page"], "/account", "the latest first");
    question["after"] = first["next"].clone();
    let second = rig.post("/api/v2/visits", &question).owner().send().await.ok(200);
    assert_eq!((second["items"].as_array().unwrap().len(), &second["next"]), (1, &Value::Null));
    question["after"] = json!("soon");
    rig.post("/api/v2/visits", &question).owner().send().await.is(400, "malformed_request");
    let filtered = json!({"site_id": "shop.example", "date_range": "day",
        "filters": [["is", "event:name", ["purchase"]]]});
    let buyers = rig.post("/api/v2/visits", &filtered).owner().send().await.ok(200);
    assert_eq!(buyers["items"].as_array().unwrap().len(), 1);
    assert_eq!(buyers["items"][0]["pageviews"], 3, "the visit is whole");
    assert_eq!(buyers["items"][0]["orders"], 1);
    assert_eq!(buyers["items"][0]["revenue"], json!([{"value": 59.90, "currency": "EUR"}]));
    assert_eq!(buyers["items"][0]["goals"], json!(["Read on"]));
    assert_eq!(
        (&first["items"][0]["goals"], &first["items"][0]["orders"]),
        (&json!([]), &json!(0))
    );
    let visit = buyers["items"][0]["session_id"].as_str().unwrap();
    let path = format!("/api/v1/sites/{site}/visits/{visit}/events?limit=2");
    let told = rig.get(&path).owner().send().await.ok(200);
    assert_eq!(told["items"][1]["page"], "/thanks", "the latest first");
    let path = format!("{path}&after={}", told["next"].as_str().unwrap());
    let told = rig.get(&path).owner().send().await.ok(200);
    assert_eq!(told["items"][0]["event"], "purchase");

    let everyone = json!({"site_id": "shop.example", "date_range": "day"});
    let people = rig.post("/api/v2/people", &everyone).owner().send().await.ok(200);
    let [ada] = people["items"].as_array().unwrap().as_slice() else {
        panic!("only who may be known by name is listed: {people}")
    };
    assert_eq!((&ada["user_id"], &ada["traits"]["name"]), (&json!("ada-7"), &json!("Ada")));
    assert_eq!((&ada["events"], &ada["visits"]), (&json!(1), &json!(1)));
    let path = format!("/api/v1/sites/{site}/people/{}/events", ada["person_id"].as_str().unwrap());
    let told = rig.get(&path).owner().send().await.ok(200);
    assert_eq!(told["items"][0]["page"], "/account");
}

#[tokio::test]
async fn visitors_are_listed_known_or_not_with_what_they_did() {
    let (rig, site) = shop().await;
    let mut passing = event(8, 2, "/help");
    passing.site_id = site.parse().unwrap();
    passing.identification = Identification::Anonymous;
    rig.store(&passing).await;
    let mut question = json!({"site_id": "shop.example", "date_range": "day", "limit": 2});
    let first = rig.post("/api/v2/visitors", &question).owner().send().await.ok(200);
    let listed = |page: &Value| -> Vec<(String, String, u64)> {
        let items = page["items"].as_array().unwrap();
        let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        let told = |item: &Value| {
            let events = item["events"].as_u64().unwrap();
            (text(item, "visitor_id"), text(item, "identification"), events)
        };
        items.iter().map(told).collect()
    };
    let row = |number: u64, kind: &str, events| (format!("{number:016x}"), kind.to_owned(), events);
    assert_eq!(listed(&first), [row(8, "anonymous", 1), row(1, "identified", 4)]);
    question["after"] = first["next"].clone();
    let second = rig.post("/api/v2/visitors", &question).owner().send().await.ok(200);
    assert_eq!(listed(&second), [row(2, "identified", 3), row(3, "identified", 1)]);
    assert_eq!(second["next"], Value::Null);
    let filtered = json!({"site_id": "shop.example", "date_range": "day",
        "filters": [["is", "visit:identification", ["anonymous"]]]});
    let unknown = rig.post("/api/v2/visitors", &filtered).owner().send().await.ok(200);
    assert_eq!(listed(&unknown), [row(8, "anonymous", 1)]);

    let path = format!("/api/v1/sites/{site}/visitors/{:016x}/events?limit=2", 2);
    let told = rig.get(&path).owner().send().await.ok(200);
    assert_eq!(told["items"][0]["page"], "/help", "the latest first");
    let path = format!("{path}&after={}", told["next"].as_str().unwrap());
    let told = rig.get(&path).owner().send().await.ok(200);
    assert_eq!((told["items"].as_array().unwrap().len(), &told["next"]), (1, &Value::Null));
    assert_eq!(told["items"][0]["page"], "/product");
    let nobody = format!("/api/v1/sites/{site}/visitors/x/events");
    rig.get(&nobody).owner().send().await.is(404, "not_found");
    // Events without a visit or a person have the number 0, which is nobody's.
    for nobody in ["visits", "visitors", "people"] {
        let path = format!("/api/v1/sites/{site}/{nobody}/0/events");
        let told = rig.get(&path).owner().send().await.ok(200);
        assert_eq!(told["items"], json!([]), "{nobody}");
    }
}
