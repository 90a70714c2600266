//! Sites, pixels, goals, opt-outs and repeated writes.

use std::time::Duration;

use cairn_model::{Event, PixelId, SiteId};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::rig::{NOW_MS, Rig};

#[tokio::test]
async fn a_site_lives_from_its_making_to_its_removal() {
    let rig = Rig::new();
    let body = json!({"name": " Bücher ", "domain": "https://Bücher.example/", "timezone": "europe/berlin",
        "currency": "chf", "privacy": {"policy": "opt_in"}});
    let site = rig.post("/api/v1/sites", &body).owner().send().await.ok(201);
    let id = site["id"].as_str().unwrap().to_owned();
    let wanted = json!({"id": id, "name": "Bücher", "domain": "xn--bcher-kva.example", "hosts": [],
        "timezone": "Europe/Berlin", "currency": "CHF",
        "privacy": {"policy": "opt_in", "gpc": "ads", "cross_site_cookies": false},
        "created_at": "2026-11-22T10:00:00Z"});
    assert_eq!(site, wanted);
    let again = json!({"name": "Again", "domain": "bücher.example"});
    rig.post("/api/v1/sites", &again).owner().send().await.is(409, "conflict");
    let path = format!("/api/v1/sites/{id}");
    let changes = json!({"name": "Books", "privacy": {"gpc": "all"}, "hosts": ["Shop.example"]});
    let changed = rig.call("PATCH", &path).owner().json(&changes).send().await.ok(200);
    let mut wanted = wanted;
    wanted["name"] = json!("Books");
    wanted["privacy"]["gpc"] = json!("all");
    wanted["hosts"] = json!(["shop.example"]);
    assert_eq!(changed, wanted);
    assert_eq!(rig.get(&path).owner().send().await.ok(200), wanted);
    let site_id: SiteId = id.parse().unwrap();
    rig.store(&Event::bare(site_id, "page_view", NOW_MS)).await;
    rig.call("DELETE", &path).owner().send().await.ok(204);
    rig.get(&path).owner().send().await.is(404, "not_found");
    assert!(rig.app.store.pixel_activity(site_id, 0).unwrap().is_empty(), "its events are gone");
}

#[tokio::test]
async fn rules_for_places_and_own_words_are_kept_until_they_are_replaced() {
    let rig = Rig::new();
    let body = json!({"name": "Shop", "domain": "shop.example", "privacy": {
        "places": {"de": "opt_in_strict", "US-CA": "opt_in", "eea": "opt_in"},
        "notice": {"policy_url": "https://shop.example/privacy"}}});
    let made = rig.post("/api/v1/sites", &body).owner().send().await.ok(201);
    let path = format!("/api/v1/sites/{}", made["id"].as_str().unwrap());
    let places = json!({"DE": "opt_in_strict", "EEA": "opt_in", "US-CA": "opt_in"});
    assert_eq!(made["privacy"]["places"], places);
    let texts = json!({"de": {"title": "Ihre Wahl bei uns"}});
    let words = json!({"privacy": {"notice": {"texts": texts}}});
    let changed = rig.call("PATCH", &path).owner().json(&words).send().await.ok(200);
    let notice = json!({"policy_url": "https://shop.example/privacy", "texts": texts});
    assert_eq!(changed["privacy"]["notice"], notice);
    assert_eq!(changed["privacy"]["places"], places, "what is left out stays");
    let none = json!({"privacy": {"places": {}, "notice": {"policy_url": "", "texts": {}}}});
    let bare = rig.call("PATCH", &path).owner().json(&none).send().await.ok(200);
    let wanted = json!({"policy": "regional", "gpc": "ads", "cross_site_cookies": false});
    assert_eq!(bare["privacy"], wanted);
}

#[tokio::test]
async fn the_table_of_places_names_law_and_source() {
    let rig = Rig::new();
    let table = rig.get("/api/v1/places").owner().send().await.ok(200);
    let rows = table["items"].as_array().unwrap();
    let row = |code: &str| rows.iter().find(|row| row["code"] == code).unwrap();
    assert_eq!(
        (&row("EEA")["silence"], &row("US-CA")["silence"]),
        (&json!("opt_in"), &json!("opt_out"))
    );
    assert_eq!(row("DE")["advised"], "opt_in_strict");
    assert_eq!(row("US-CA")["gpc"], true);
    assert!(row("CA-QC")["law"].as_str().unwrap().contains("8.1"));
    rig.get("/api/v1/places").send().await.is(401, "unauthorized");
}

#[tokio::test]
async fn retention_is_shown_and_chosen() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    rig.store(&Event::bare(site.parse().unwrap(), "page_view", NOW_MS)).await;
    let (path, place) =
        (format!("/api/v1/sites/{site}/retention"), format!("/api/v1/sites/{site}"));
    let class = |table: &Value, name: &str| {
        let classes = table["classes"].as_array().unwrap();
        classes.iter().find(|one| one["class"] == name).unwrap().clone()
    };
    let table = rig.get(&path).owner().send().await.ok(200);
    let events = class(&table, "events");
    assert_eq!((&events["days"], &events["is_chosen"]), (&json!(760), &json!(false)));
    assert_eq!(events["bounds"], json!({"days_min": 1, "days_max": 3660, "days_default": 760}));
    assert!(events["oldest_held_at"].as_str().unwrap().starts_with("2026-"), "{events}");
    assert_eq!(class(&table, "opt_outs")["days"], Value::Null);
    assert_eq!(class(&table, "receipts")["bounds"], Value::Null);
    let change = async |days: Value| {
        let body = json!({"privacy": {"retention": {"events": days}}});
        rig.call("PATCH", &place).owner().json(&body).send().await
    };
    let changed = change(json!(400)).await.ok(200);
    assert_eq!(changed["privacy"]["retention"], json!({"events": 400}));
    let events = class(&rig.get(&path).owner().send().await.ok(200), "events");
    assert_eq!((&events["days"], &events["is_chosen"]), (&json!(400), &json!(true)));
    for (wrong, status) in [(json!(0), 422), (json!(3661), 422), (json!("long"), 400)] {
        assert_eq!(change(wrong).await.status, status);
    }
    let changed = change(Value::Null).await.ok(200);
    assert_eq!(changed["privacy"].get("retention"), None, "the default again");
    rig.get(&path).send().await.is(401, "unauthorized");
}

#[tokio::test]
async fn a_removal_that_fails_once_is_answered_when_it_is_done() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    rig.store(&Event::bare(site.parse().unwrap(), "page_view", NOW_MS)).await;
    rig.store.refuse_removals(1);
    rig.call("DELETE", &format!("/api/v1/sites/{site}")).owner().send().await.ok(204);
    assert!(rig.store.rows().is_empty());
}

#[tokio::test]
async fn a_removal_that_must_wait_says_so_and_is_completed() {
    let mut rig = Rig::not_applying(|config| config.removal_patience = Duration::ZERO);
    let site = rig.site("shop.example").await;
    let site_id: SiteId = site.parse().unwrap();
    rig.append(&Event::bare(site_id, "page_view", NOW_MS)).await;
    let path = format!("/api/v1/sites/{site}");
    let answer = rig.call("DELETE", &path).owner().send().await.ok(202);
    assert_eq!(answer, json!({"status": "removing"}));
    rig.get(&path).owner().send().await.is(404, "not_found");
    rig.call("DELETE", &path).owner().send().await.is(404, "not_found");
    let last = rig.append(&Event::bare(site_id, "page_view", NOW_MS)).await;
    rig.start_applying();
    rig.applied(last).await;
    assert!(rig.app.apply.wait_removed(site_id, Duration::from_secs(20)).await);
    assert!(rig.store.rows().is_empty() && rig.store.sessions().is_empty());
    rig.site("shop.example").await;
}

#[tokio::test]
async fn an_import_into_a_site_that_goes_meanwhile_is_no_success() {
    let mut rig = Rig::not_applying(|config| config.removal_patience = Duration::ZERO);
    let site = rig.site("shop.example").await;
    let line = json!({"event": "page_view", "timestamp": "2026-11-21T09:00:00Z",
        "url": "https://shop.example/", "visitor_id": "v"});
    let path = format!("/api/v1/sites/{site}");
    let call = rig.call("POST", &format!("{path}/import")).owner();
    let request = call.header("content-type", "application/x-ndjson").body(line.to_string());
    let import = tokio::spawn(rig.router().oneshot(request.request()));
    // In the log, and not applied: the import waits.
    while rig.app.log.durable_end().0 < 2 {
        tokio::task::yield_now().await;
    }
    rig.call("DELETE", &path).owner().send().await.ok(202);
    rig.start_applying();
    let answer = import.await.unwrap().unwrap();
    assert_eq!(answer.status(), 404);
    assert!(rig.store.rows().is_empty());
}

#[tokio::test]
async fn sites_come_in_pages() {
    let rig = Rig::new();
    let mut made = Vec::new();
    for number in 0..5 {
        made.push(rig.site(&format!("shop-{number}.example")).await);
        rig.advance(1);
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/sites?limit=2{after}");
        let page = rig.get(&path).owner().send().await.ok(200);
        let ids = page["items"].as_array().unwrap().iter();
        seen.extend(ids.map(|site| site["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn a_pixel_waits_receives_and_falls_silent() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let base = format!("/api/v1/sites/{site}/pixels");
    let body = json!({"name": "Shop", "kind": "web", "url": "https://shop.example"});
    let pixel = rig.post(&base, &body).owner().send().await.ok(201);
    let key = pixel["key"].as_str().unwrap().to_owned();
    assert!(key.len() == 23 && key.starts_with("px_"), "{key}");
    assert_eq!(pixel["status"], "waiting");
    assert_eq!(pixel["first_event_at"], Value::Null);
    let snippet = pixel["snippet"].as_str().unwrap();
    let script = format!("<script async src=\"http://stats.example/cairn.js?key={key}\"></script>");
    assert!(snippet.ends_with(&script), "{snippet}");
    let settings = json!({"clicks": false, "forms": false, "not_found": false, "scroll": true, "search": false,
        "sections": false, "vitals": false, "banner": false, "hash_routes": false, "consent_managers": [],
        "download_extensions": [], "search_parameters": []});
    assert_eq!(pixel["settings"], settings);
    let found = rig.app.directory.current().by_key(&key).unwrap();
    assert_eq!(found.site.site.domain, "shop.example");
    let mut event = Event::bare(site.parse().unwrap(), "page_view", NOW_MS);
    event.pixel_id = PixelId(found.pixel.id.0);
    event.bot = "declared".into();
    rig.store(&event).await;
    let path = format!("{base}/{key}");
    let receiving = rig.get(&path).owner().send().await.ok(200);
    assert_eq!((&receiving["status"], &receiving["events_24h"]), (&json!("receiving"), &json!(1)));
    assert_eq!(receiving["first_event_at"], "2026-11-22T10:00:00Z");
    rig.advance(24 * 60 * 60 * 1000 + 1);
    let silent = rig.get(&path).owner().send().await.ok(200);
    assert_eq!((&silent["status"], &silent["events_24h"]), (&json!("silent"), &json!(0)));
    let renamed = rig.call("PATCH", &path).owner().json(&json!({"name": "Store"})).send().await;
    assert_eq!(renamed.ok(200)["name"], "Store");
    let change = json!({"settings": {"search": true, "scroll": false, "download_extensions": [".PDF", "zip"],
        "banner": true, "consent_managers": ["consent_mode", "tcf"]}});
    let changed = rig.call("PATCH", &path).owner().json(&change).send().await.ok(200);
    let mut wanted = settings;
    wanted["search"] = json!(true);
    wanted["scroll"] = json!(false);
    wanted["download_extensions"] = json!(["pdf", "zip"]);
    wanted["banner"] = json!(true);
    wanted["consent_managers"] = json!(["tcf", "consent_mode"]);
    assert_eq!((&changed["settings"], &changed["name"]), (&wanted, &json!("Store")));
    assert_eq!(rig.get(&path).owner().send().await.ok(200)["settings"], wanted);
    for (settings, status, code) in [
        (json!({"clicks": "yes"}), 400, "malformed_request"),
        (json!({"heatmap": true}), 400, "unknown_field"),
        (json!({"download_extensions": ["tar.gz"]}), 422, "invalid_value"),
        (json!({"search_parameters": [""]}), 422, "invalid_value"),
        (json!({"consent_managers": ["onetrust"]}), 422, "invalid_value"),
        (json!({"consent_managers": ["tcf", "tcf"]}), 422, "invalid_value"),
        (json!({"search_parameters": vec!["q"; 21]}), 422, "invalid_value"),
    ] {
        let body = json!({"settings": settings});
        rig.call("PATCH", &path).owner().json(&body).send().await.is(status, code);
    }
    rig.call("DELETE", &path).owner().send().await.ok(204);
    rig.get(&path).owner().send().await.is(404, "not_found");
    assert!(rig.app.directory.current().by_key(&key).is_none());
}

#[tokio::test]
async fn pixels_are_checked_and_kept_apart() {
    let rig = Rig::new();
    let (site, other) = (rig.site("shop.example").await, rig.site("other.example").await);
    let base = format!("/api/v1/sites/{site}/pixels");
    let post = |body: Value| rig.post(&base, &body).owner();
    post(json!({"name": "x"})).send().await.is(400, "missing_field");
    post(json!({"name": "x", "kind": "fax"})).send().await.is(422, "invalid_value");
    let url = json!({"name": "x", "kind": "web", "url": "javascript:alert(1)"});
    post(url).send().await.is(422, "invalid_value");
    let server = post(json!({"name": "Backend", "kind": "server"})).send().await.ok(201);
    let key = server["key"].as_str().unwrap();
    assert!(key.starts_with("sk_") && key.len() == 43, "a server's key is a secret");
    assert_eq!(server["noscript"], Value::Null);
    rig.get(&format!("/api/v1/sites/{other}/pixels/{key}"))
        .owner()
        .send()
        .await
        .is(404, "not_found");
    let call = rig.call("DELETE", &format!("/api/v1/sites/{other}/pixels/{key}")).owner();
    call.send().await.is(404, "not_found");
    // A host header that is no host name does not get into HTML.
    let (list, evil) = (rig.get(&base).owner(), "x\"onload=\"alert(1)");
    let request = list.header("x-forwarded-host", evil).send().await.ok(200);
    assert!(!request.to_string().contains("onload"));
}

#[tokio::test]
async fn goals_are_checked() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let base = format!("/api/v1/sites/{site}/goals");
    let post = |body: Value| rig.post(&base, &body).owner();
    let goal = post(json!({"page_path": "/blog/**", "scroll_threshold": 50})).send().await.ok(201);
    assert_eq!(goal["display_name"], "Scroll 50 /blog/**");
    let revenue =
        json!({"event_name": "Payment", "currency": "EUR", "custom_props": {"plan": "pro"}});
    let revenue = post(revenue).send().await.ok(201);
    assert_eq!(revenue["display_name"], "Payment");
    assert_eq!(revenue["custom_props"], json!({"plan": "pro"}));
    for (body, status, code) in [
        (json!({}), 400, "missing_field"),
        (json!({"event_name": "a", "page_path": "/"}), 400, "missing_field"),
        (json!({"event_name": "Payment"}), 409, "conflict"),
        (json!({"event_name": "x".repeat(65)}), 422, "invalid_value"),
        (json!({"page_path": "blog"}), 422, "invalid_value"),
        (json!({"page_path": "/", "currency": "EUR"}), 422, "invalid_value"),
        (json!({"event_name": "a", "scroll_threshold": 5}), 422, "invalid_value"),
        (json!({"page_path": "/", "scroll_threshold": 101}), 422, "invalid_value"),
        (json!({"page_path": "/", "scroll_threshold": -1}), 422, "invalid_value"),
        (json!({"event_name": "a", "custom_props": {"n": 1}}), 400, "malformed_request"),
    ] {
        post(body).send().await.is(status, code);
    }
    let list = rig.get(&base).owner().send().await.ok(200);
    assert_eq!(list["items"], json!([goal, revenue]));
    let path = format!("{base}/{}", goal["id"].as_str().unwrap());
    rig.call("DELETE", &path).owner().send().await.ok(204);
    rig.call("DELETE", &path).owner().send().await.is(404, "not_found");
}

#[tokio::test]
async fn an_opt_out_is_kept_as_a_hash_and_known_at_once() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let site_id: SiteId = site.parse().unwrap();
    let path = format!("/api/v1/sites/{site}/opt-outs");
    let cookie = "00112233445566778899aabbccddeeff";
    let post = |body: Value| rig.post(&path, &body).owner();
    post(json!({"user_id": "user-7"})).send().await.ok(204);
    post(json!({"cairn_id": cookie})).send().await.ok(204);
    post(json!({"anonymous_id": "device-1"})).send().await.ok(204);
    post(json!({"anonymous_id": ""})).send().await.is(422, "invalid_value");
    post(json!({"cairn_id": "short"})).send().await.is(422, "invalid_value");
    post(json!({"user_id": "a", "cairn_id": cookie})).send().await.is(400, "missing_field");
    post(json!({})).send().await.is(400, "missing_field");
    post(json!({"user_id": "x".repeat(257)})).send().await.is(422, "invalid_value");
    let directory = rig.app.directory.current();
    let keys = rig.app.ingest.keys();
    assert!(directory.is_opted_out(site_id, keys.of_user(site_id, "user-7")));
    assert!(!directory.is_opted_out(site_id, keys.of_user(site_id, "user-8")));
    let id = cairn_engine::ingest::visitor::parse_cookie_id(cookie).unwrap();
    assert!(directory.is_opted_out(site_id, keys.of_cookie(site_id, &id).0));
}

#[tokio::test]
async fn a_repeated_write_is_done_once() {
    let rig = Rig::new();
    let body = json!({"name": "Shop", "domain": "shop.example"});
    let post = |key: &str| rig.post("/api/v1/sites", &body).owner().header("idempotency-key", key);
    let first = post("a").send().await;
    let second = post("a").send().await;
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert_eq!(first.ok(201), second.ok(201));
    post("b").send().await.is(409, "conflict");
    let other = json!({"name": "Shop", "domain": "other.example"});
    let other = rig.post("/api/v1/sites", &other).owner().header("idempotency-key", "a");
    other.send().await.is(409, "idempotency_key_reused");
    // The key belongs to the caller, and lives for a day.
    let (_, stranger) = rig.tenant("stranger@other.example");
    let theirs = rig.post("/api/v1/sites", &body).bearer(stranger.reveal());
    theirs.header("idempotency-key", "a").send().await.is(409, "conflict");
    rig.advance(24 * 60 * 60 * 1000);
    post("a").send().await.is(409, "conflict");
    post(&"k".repeat(256)).send().await.is(400, "malformed_request");
    // A secret is not kept for repetition.
    let token = || {
        let call = rig.post("/api/v1/tokens", &json!({"name": "script"})).owner();
        call.header("idempotency-key", "token")
    };
    token().send().await.ok(201);
    token().send().await.is(409, "idempotency_key_reused");
    let tokens = rig.get("/api/v1/tokens").owner().send().await.ok(200);
    assert_eq!(tokens["items"].as_array().unwrap().len(), 1);
}
