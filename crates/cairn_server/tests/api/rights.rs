//! The owner's side of people's rights: finding somebody, deadlines, exports, erasures, and what stays on record.

use std::time::Duration;

use cairn_model::retention::{DataClass, Retention};
use cairn_model::subject::SUBJECT_VISITORS_MAX;
use serde_json::{Value, json};

use crate::rig::{Answer, NOW_MS, Rig};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Imports lines; each is a page view of the shop unless it says otherwise.
async fn import(rig: &Rig, site: &str, lines: &[Value]) {
    let lines = lines.iter().map(|more| {
        let mut line = json!({"event": "page_view", "timestamp": "2026-11-21T09:00:00Z",
            "url": "https://shop.example/"});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line.to_string()
    });
    let body = lines.collect::<Vec<_>>().join("\n");
    let call = rig.call("POST", &format!("/api/v1/sites/{site}/import")).owner();
    let call = call.header("content-type", "application/x-ndjson").body(body);
    let result = call.send().await.ok(200);
    assert_eq!(result["rejected"], json!([]), "{result}");
}

/// Ada with two devices and an order, Bob with one.
async fn ada_and_bob(rig: &Rig, site: &str) {
    let ada = json!({"event": "identify", "visitor_id": "phone", "user_id": "ada-7",
        "traits": {"email": "Ada@Shop.example", "plan": "gold"}});
    import(rig, site, &[
        ada,
        json!({"visitor_id": "phone", "user_id": "ada-7", "url": "https://shop.example/kanarienvogel"}),
        json!({"visitor_id": "laptop", "user_id": "ada-7", "event": "purchase", "order_id": "o-1",
            "value": 12.5, "currency": "EUR"}),
        json!({"visitor_id": "tablet", "user_id": "bob-1", "url": "https://shop.example/bobs"}),
    ])
    .await;
}

struct Desk<'r> {
    rig: &'r Rig,
    path: String,
}

impl<'r> Desk<'r> {
    async fn with_people(rig: &'r Rig) -> Desk<'r> {
        let site = rig.site("shop.example").await;
        ada_and_bob(rig, &site).await;
        Desk { rig, path: format!("/api/v1/sites/{site}/rights") }
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.rig.post(&format!("{}/{path}", self.path), &body).owner().send().await
    }

    async fn get(&self, path: &str) -> Answer {
        let path = format!("{}/{path}", self.path);
        self.rig.get(path.trim_end_matches('/')).owner().send().await
    }

    async fn find(&self, body: Value) -> Value {
        self.post("find", body).await.ok(200)
    }

    async fn request(&self, body: Value) -> Value {
        self.post("requests", body).await.ok(201)
    }

    /// Something that is done about a request.
    async fn act(&self, request: &Value, step: &str, body: Value) -> Answer {
        self.post(&format!("requests/{}/{step}", request["id"].as_str().unwrap()), body).await
    }

    async fn list(&self, query: &str) -> Value {
        self.get(&format!("requests?{query}")).await.ok(200)
    }
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn somebody_is_found_by_any_identifier_in_the_body() {
    let rig = Rig::new();
    let desk = Desk::with_people(&rig).await;
    let events = desk.path.replace("rights", "events");
    let events = rig.get(&events).owner().send().await.ok(200);
    let phones = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["page"] == "/kanarienvogel")
        .unwrap();
    for (identifier, value) in
        [("user_id", "ada-7"), ("email", "ada@shop.example"), ("order_id", "o-1")]
    {
        let found = desk.find(json!({identifier: value})).await;
        assert_eq!(found["found"], true, "{identifier}");
        assert_eq!(
            (&found["events"], &found["visits"]),
            (&json!(3), &json!(2)),
            "{identifier}: {found}"
        );
        assert_eq!(found["people"][0]["user_id"], "ada-7", "{identifier}");
        assert_eq!(found["people"][0]["claimed_traits"]["plan"], "gold");
        assert_eq!(found["names"], json!({"identify": 1, "page_view": 1, "purchase": 1}));
        assert_eq!(found["visitor_ids"].as_array().unwrap().len(), 2);
        assert_eq!((&found["opted_out"], &found["law"]), (&json!(false), &json!("gdpr")));
        assert_eq!(found["first"], "2026-11-21T09:00:00Z");
    }
    // Bob's address was never told by the site; a browser's word for it makes him a candidate and nothing more.
    let bob = cairn_catalog::PersonChange {
        offset: u64::MAX >> 1,
        site_id: desk.path.split('/').nth(4).unwrap().parse().unwrap(),
        user_key: 0xB0B,
        user_id: "bob-1".to_owned(),
        claimed_traits: r#"{"email":"mallory@evil.example"}"#.to_owned(),
        is_proven: false,
        seen_at_ms: NOW_MS,
    };
    rig.app.catalog.apply_log(&[bob], &[], u64::MAX >> 1).unwrap();
    let claimed = desk.find(json!({"email": "mallory@evil.example"})).await;
    assert_eq!((&claimed["found"], &claimed["candidates"]), (&json!(false), &json!(["bob-1"])));
    // A browser is not the person whom an `identify` named in it: only what it did is found.
    let phone = phones["visitor_id"].as_str().unwrap();
    let found = desk.find(json!({"visitor_id": phone})).await;
    assert_eq!((&found["events"], &found["visitor_ids"]), (&json!(2), &json!([phone])));
    assert_eq!(found["people"], json!([]), "{found}");
    let nobody = desk.find(json!({"user_id": "ada-8"})).await;
    assert_eq!((&nobody["found"], &nobody["events"]), (&json!(false), &json!(0)));
    desk.post("find", json!({})).await.is(400, "missing_field");
    desk.post("find", json!({"user_id": "a", "email": "b"})).await.is(400, "malformed_request");
    desk.post("find", json!({"user_id": "x".repeat(300)})).await.is(422, "invalid_value");
    desk.post("find", json!({"visitor_id": "7"})).await.is(422, "invalid_value");
    desk.post("find", json!({"cairn_id": "7"})).await.is(422, "invalid_value");
    let (_, stranger) = rig.tenant("other@example.com");
    let path = format!("{}/find", desk.path);
    let body = json!({"user_id": "ada-7"});
    rig.post(&path, &body).bearer(stranger.reveal()).send().await.is(404, "not_found");
    rig.post(&path, &body).send().await.is(401, "unauthorized");
    let once = || rig.post(&path, &body).owner().header("Idempotency-Key", "k").send();
    once().await.ok(200);
    once().await.is(409, "idempotency_key_reused");
}

#[tokio::test]
async fn each_law_has_its_time_and_its_extension() {
    let rig = Rig::new();
    let desk = Desk::with_people(&rig).await;
    let site = desk.path.split('/').nth(4).unwrap().to_owned();
    let there = json!({"country": "US", "region": "California"});
    import(&rig, &site, &[json!({"visitor_id": "car", "user_id": "cal-1", "geo": there})]).await;
    // NOW is the 22nd of November.
    let erase = desk.request(json!({"kind": "erase", "user_id": "ada-7"})).await;
    assert_eq!((&erase["law"], &erase["due_on"]), (&json!("gdpr"), &json!("2026-12-22")));
    assert_eq!((&erase["days_left"], &erase["overdue"]), (&json!(30), &json!(false)));
    let access = desk.request(json!({"kind": "access", "user_id": "cal-1"})).await;
    assert_eq!((&access["law"], &access["due_on"]), (&json!("ccpa"), &json!("2027-01-06")));
    let told = json!({"kind": "access", "user_id": "ada-7", "law": "ccpa",
        "received_at": "2026-11-01T08:00:00Z"});
    assert_eq!(desk.request(told).await["due_on"], "2026-12-16");
    let reason = json!({"reason": "Three systems have to be asked."});
    let extended = desk.act(&erase, "extend", reason.clone()).await.ok(200);
    assert_eq!((&extended["due_on"], &extended["extended"]), (&json!("2027-02-22"), &json!(true)));
    assert_eq!(extended["reason"], reason["reason"]);
    desk.act(&erase, "extend", reason.clone()).await.is(409, "not_open");
    desk.act(&access, "extend", json!({})).await.is(400, "missing_field");
    assert_eq!(desk.act(&access, "extend", reason.clone()).await.ok(200)["due_on"], "2027-02-20");
    let late = json!({"kind": "access", "user_id": "ada-7", "received_at": "2026-10-01T08:00:00Z"});
    let late = desk.request(late).await;
    assert_eq!((&late["overdue"], &late["days_left"]), (&json!(true), &json!(-21)));
    assert_eq!(late["extendable"], false);
    desk.act(&late, "extend", reason).await.is(409, "not_open");
    for body in [
        json!({"kind": "forget", "user_id": "ada-7"}),
        json!({"kind": "erase", "user_id": "ada-7", "law": "lgpd"}),
        json!({"kind": "erase", "user_id": "ada-7", "received_at": "2026-11-23T10:00:00Z"}),
        json!({"kind": "erase", "user_id": "ada-7", "received_at": "yesterday"}),
    ] {
        desk.post("requests", body).await.is(422, "invalid_value");
    }
    desk.post("requests", json!({"kind": "erase"})).await.is(400, "missing_field");
}

#[tokio::test]
async fn the_inbox_has_what_is_due_first() {
    let rig = Rig::new();
    let desk = Desk::with_people(&rig).await;
    let mut made = Vec::new();
    for received_at in ["2026-11-20T08:00:00Z", "2026-09-01T08:00:00Z", "2026-11-01T08:00:00Z"] {
        let body = json!({"kind": "access", "user_id": "ada-7", "received_at": received_at});
        made.push(desk.request(body).await);
    }
    let made_id = |at: usize| made[at]["id"].as_str().unwrap();
    let (third, first, second) = (made_id(0), made_id(1), made_id(2));
    assert_eq!(desk.get("").await.ok(200), json!({"open": 3, "overdue": 1}));
    let page = desk.list("state=waiting&limit=2").await;
    assert_eq!(ids(&page), [first, second]);
    let rest =
        desk.list(&format!("state=waiting&limit=2&after={}", page["next"].as_str().unwrap())).await;
    assert_eq!((ids(&rest), &rest["next"]), (vec![third], &Value::Null));
    assert_eq!(ids(&desk.list("overdue=true").await), [first]);
    let refused = desk
        .act(&made[1], "refuse", json!({"reason": "Nobody could be told by it."}))
        .await
        .ok(200);
    assert_eq!((&refused["state"], &refused["days_left"]), (&json!("refused"), &Value::Null));
    let withdrawn = desk.act(&made[2], "withdraw", json!({})).await.ok(200);
    assert_eq!(withdrawn["state"], "withdrawn");
    assert_eq!(ids(&desk.list("state=waiting").await), [third]);
    assert_eq!(ids(&desk.list("state=refused").await), [first]);
    let all = desk.list("limit=2").await;
    assert_eq!(ids(&all), [second, first], "the newest first");
    assert_eq!(ids(&desk.list(&format!("after={}", all["next"].as_str().unwrap())).await), [third]);
    assert_eq!(desk.get("").await.ok(200), json!({"open": 1, "overdue": 0}));
    for step in ["extend", "refuse", "withdraw", "done", "erase"] {
        desk.act(&made[1], step, json!({"reason": "Again."})).await.is(409, "not_open");
    }
    desk.get("requests/999").await.is(404, "not_found");
    desk.get("requests?state=lost").await.is(400, "malformed_request");
    let (_, stranger) = rig.tenant("other@example.com");
    let path = format!("{}/requests/{}", desk.path, made[0]["id"].as_str().unwrap());
    rig.get(&path).bearer(stranger.reveal()).send().await.is(404, "not_found");
}

#[tokio::test]
async fn a_copy_is_complete_and_ends_with_its_request() {
    let rig = Rig::new();
    let desk = Desk::with_people(&rig).await;
    let site = desk.path.split('/').nth(4).unwrap().to_owned();
    let remember = json!({"user_id": "ada-7", "remember": {"size": "M"}});
    let memory = format!("/api/v1/sites/{site}/memory");
    rig.post(&memory, &remember).owner().send().await.ok(200);
    let request = desk.request(json!({"kind": "access", "email": "ada@shop.example"})).await;
    assert_eq!(request["identifier"], "ada@shop.example");
    let export = format!("requests/{}/export", request["id"].as_str().unwrap());
    let data = desk.get(&export).await.ok(200);
    assert_eq!(
        data["people"][0],
        json!({"user_id": "ada-7",
        "claimed_traits": {"email": "Ada@Shop.example", "plan": "gold"}})
    );
    assert_eq!(data["events"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&data["memory"][0]["name"], &data["memory"][0]["value"]),
        (&json!("size"), &json!("M"))
    );
    assert_eq!(data["visits"].as_array().unwrap().len(), 2);
    assert!(!data.to_string().contains("bob"), "{data}");
    let html = desk.get(&format!("{export}?format=html&language=de")).await;
    assert!(html.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(html.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert!(html.text.contains("<html lang=\"de\">") && html.text.contains("Ada@Shop.example"));
    desk.get(&format!("{export}?format=pdf")).await.is(400, "malformed_request");
    let closed = desk.act(&request, "done", json!({})).await.ok(200);
    let steps: Vec<_> = closed["log"].as_array().unwrap().iter().map(|it| &it["step"]).collect();
    assert_eq!(steps, ["received", "exported", "exported", "done"]);
    assert_eq!(closed["identifier"], "", "what it was about is gone with the answer");
    desk.get(&export).await.is(409, "not_open");
}

#[tokio::test]
async fn a_copy_that_is_not_whole_says_so() {
    let rig = Rig::new();
    let desk = Desk::with_people(&rig).await;
    let site = desk.path.split('/').nth(4).unwrap().to_owned();
    let browsers = |from: usize, to: usize| -> Vec<Value> {
        let of = |number| json!({"visitor_id": format!("b{number}"), "user_id": "eve-9"});
        (from..to).map(of).collect()
    };
    let notice = "This is not all";
    import(&rig, &site, &browsers(0, SUBJECT_VISITORS_MAX)).await;
    let request = desk.request(json!({"kind": "access", "user_id": "eve-9"})).await;
    let export = format!("requests/{}/export", request["id"].as_str().unwrap());
    let data = desk.get(&export).await.ok(200);
    assert_eq!(data["more_browsers_or_users"], false, "all of them fit");
    assert_eq!(data["visitors"].as_array().unwrap().len(), SUBJECT_VISITORS_MAX);
    assert_eq!(data["visits_not_listed"], 0);
    let html = desk.get(&format!("{export}?format=html&language=en")).await;
    assert!(!html.text.contains(notice));
    import(&rig, &site, &browsers(SUBJECT_VISITORS_MAX, SUBJECT_VISITORS_MAX + 1)).await;
    let data = desk.get(&export).await.ok(200);
    assert_eq!(data["more_browsers_or_users"], true);
    assert_eq!(data["visitors"].as_array().unwrap().len(), SUBJECT_VISITORS_MAX);
    let html = desk.get(&format!("{export}?format=html&language=en")).await;
    let said = html.text.find(notice).expect("the page says so");
    assert!(said < html.text.find("<h2>").unwrap(), "at its beginning");
    let found = desk.find(json!({"user_id": "eve-9"})).await;
    assert_eq!(found["is_cut"], true);
}

#[tokio::test]
async fn who_has_no_entry_is_found_with_memory_and_choices() {
    let rig = Rig::new();
    let desk = Desk::with_people(&rig).await;
    let site = desk.path.split('/').nth(4).unwrap().to_owned();
    let remember = json!({"user_id": "eve-9", "remember": {"size": "M"}});
    let memory = format!("/api/v1/sites/{site}/memory");
    rig.post(&memory, &remember).owner().send().await.ok(200);
    let (id, user) = (site.parse().unwrap(), "eve-9");
    let key = rig.app.ingest.keys().of_user(id, user);
    let no = cairn_catalog::MailChoices { opens: Some(false), clicks: Some(false) };
    rig.app.catalog.record_mail_choices(id, key, user, no, NOW_MS).unwrap();
    assert!(rig.app.catalog.person(id, key).unwrap().is_none(), "a no makes no entry");
    let found = desk.find(json!({"user_id": "eve-9"})).await;
    assert_eq!((&found["found"], &found["memory"]), (&json!(true), &json!(1)), "{found}");
    assert_eq!((&found["mail_choices"], &found["people"]), (&json!(1), &json!([])), "{found}");
    let request = desk.request(json!({"kind": "access", "user_id": "eve-9"})).await;
    let export = format!("requests/{}/export", request["id"].as_str().unwrap());
    let data = desk.get(&export).await.ok(200);
    assert_eq!(data["memory"][0]["value"], "M", "{data}");
    assert_eq!(data["mail_choices"].as_array().unwrap().len(), 1, "{data}");
}

#[tokio::test]
async fn a_browser_is_found_with_the_entry_that_it_alone_made() {
    let rig = Rig::new();
    let desk = Desk::with_people(&rig).await;
    let found = desk.find(json!({"user_id": "bob-1"})).await;
    let tablet = found["visitor_ids"][0].as_str().unwrap();
    let found = desk.find(json!({"visitor_id": tablet})).await;
    assert_eq!(found["people"][0]["user_id"], "bob-1", "{found}");
    let opt_out = desk.request(json!({"kind": "opt_out", "visitor_id": tablet})).await;
    assert_eq!(opt_out["state"], "done");
    let site = desk.path.split('/').nth(4).unwrap().parse().unwrap();
    let user = rig.app.ingest.keys().of_user(site, "bob-1");
    let now = rig.app.directory.current();
    assert!(!now.is_opted_out(site, user), "nobody is blocked for what a browser said");
    assert!(now.is_opted_out(site, u64::from_str_radix(tablet, 16).unwrap()));
}

#[tokio::test]
async fn the_account_that_acts_is_on_record() {
    let rig = Rig::new();
    let (_, token) = rig.tenant("owner@shop.example");
    let site = json!({"name": "Shop", "domain": "shop.example"});
    let made = rig.post("/api/v1/sites", &site).bearer(token.reveal()).send().await.ok(201);
    let path = format!("/api/v1/sites/{}/rights/requests", made["id"].as_str().unwrap());
    let asked = json!({"kind": "rectification", "user_id": "ada-7"});
    let request = rig.post(&path, &asked).bearer(token.reveal()).send().await.ok(201);
    let step = format!("{path}/{}/done", request["id"].as_str().unwrap());
    let done = rig.post(&step, &json!({})).bearer(token.reveal()).send().await.ok(200);
    let log = done["log"].as_array().unwrap();
    assert_eq!(log.len(), 2);
    assert!(log.iter().all(|step| step["account"] == "owner@shop.example"), "{done}");
}

#[tokio::test]
async fn an_erasure_fulfils_its_request_and_says_where() {
    let rig = Rig::new();
    let desk = Desk::with_people(&rig).await;
    let request = desk.request(json!({"kind": "erase", "user_id": "ada-7"})).await;
    desk.act(&request, "done", json!({})).await.is(409, "not_open");
    let access = desk.request(json!({"kind": "access", "user_id": "ada-7"})).await;
    desk.act(&access, "erase", json!({})).await.is(409, "not_open");
    let begun = desk.act(&request, "erase", json!({})).await.ok(200);
    assert_eq!(begun["identifier"], "", "{begun}");
    let path = format!("requests/{}", request["id"].as_str().unwrap());
    let erased = loop {
        let now = desk.get(&path).await.ok(200);
        if now["state"] != "erasing" {
            break now;
        }
        let erasure = now["erasure"]["id"].as_str().unwrap().parse().unwrap();
        let id = cairn_catalog::ErasureId(erasure);
        rig.app.apply.wait_erased(id, Duration::from_secs(60)).await;
    };
    assert_eq!((&erased["state"], &erased["erasure"]["state"]), (&json!("done"), &json!("done")));
    let places = erased["erasure"]["places"].as_array().unwrap();
    let count = |name: &str| {
        let place = places.iter().find(|place| place["place"] == name).unwrap();
        assert!(place["done_at"].is_string(), "{place}");
        place["count"].as_u64().unwrap()
    };
    assert_eq!((count("events"), count("visits"), count("people")), (3, 2, 1));
    let found = desk.find(json!({"user_id": "ada-7"})).await;
    assert_eq!((&found["found"], &found["opted_out"]), (&json!(false), &json!(true)), "{found}");
    let bob = desk.find(json!({"user_id": "bob-1"})).await;
    assert_eq!((&bob["events"], &bob["opted_out"]), (&json!(1), &json!(false)));
    let steps: Vec<_> = erased["log"].as_array().unwrap().iter().map(|it| &it["step"]).collect();
    assert_eq!(steps, ["received", "erasing", "done"]);
    desk.act(&request, "erase", json!({})).await.is(409, "not_open");
}

#[tokio::test]
async fn other_requests_and_answers_of_the_erased_name_nobody() {
    let rig = Rig::new();
    let desk = Desk::with_people(&rig).await;
    let write = |name: &str, domain: &str| {
        let body = json!({"name": name, "domain": domain});
        rig.post("/api/v1/sites", &body).owner().header("idempotency-key", domain).send()
    };
    write("Of Ada@Shop.example", "ada.example").await.ok(201);
    let of_bob = write("Of bob-1", "bob.example").await.ok(201);
    let request = desk.request(json!({"kind": "erase", "user_id": "ada-7"})).await;
    let again = desk.request(json!({"kind": "erase", "email": "ada@shop.example"})).await;
    let access = desk.request(json!({"kind": "access", "order_id": "o-1"})).await;
    let of_others = desk.request(json!({"kind": "access", "user_id": "bob-1"})).await;
    desk.act(&request, "erase", json!({})).await.ok(200);
    for (asked, identifier) in [(&again, ""), (&access, ""), (&of_others, "bob-1")] {
        let path = format!("requests/{}", asked["id"].as_str().unwrap());
        let now = desk.get(&path).await.ok(200);
        assert_eq!((&now["state"], &now["identifier"]), (&json!("open"), &json!(identifier)));
    }
    // They are answered by the keyed numbers that they were found to be about.
    let export = format!("requests/{}/export", access["id"].as_str().unwrap());
    desk.get(&export).await.ok(200);
    let begun = desk.act(&again, "erase", json!({})).await.ok(200);
    assert_ne!(begun["state"], "open", "{begun}");
    // What was written once is not written again, and nothing repeats the name.
    write("Of Ada@Shop.example", "ada.example").await.is(409, "idempotency_key_reused");
    assert_eq!(write("Of bob-1", "bob.example").await.ok(201), of_bob);
}

#[tokio::test]
async fn an_opt_out_is_carried_out_at_once() {
    let rig = Rig::new();
    let desk = Desk::with_people(&rig).await;
    let site = desk.path.split('/').nth(4).unwrap().to_owned();
    let remember = json!({"user_id": "ada-7", "remember": {"size": "M"}, "recall": ["size"]});
    let memory = format!("/api/v1/sites/{site}/memory");
    rig.post(&memory, &remember).owner().send().await.ok(200);
    let request = desk.request(json!({"kind": "opt_out", "user_id": "ada-7"})).await;
    assert_eq!((&request["state"], &request["identifier"]), (&json!("done"), &json!("")));
    let found = desk.find(json!({"user_id": "ada-7"})).await;
    assert_eq!(
        (&found["opted_out"], &found["events"], &found["memory"]),
        (&json!(true), &json!(3), &json!(0)),
        "what is held is kept: {found}"
    );
    assert_eq!(rig.post(&memory, &remember).owner().send().await.ok(200)["allowed"], false);
}

#[tokio::test]
async fn closed_requests_go_when_their_time_is_over() {
    let rig = Rig::new();
    let desk = Desk::with_people(&rig).await;
    let request = desk.request(json!({"kind": "access", "user_id": "ada-7"})).await;
    let waits = desk.request(json!({"kind": "access", "user_id": "bob-1"})).await;
    desk.act(&request, "withdraw", json!({})).await.ok(200);
    let site = desk.path.split('/').nth(4).unwrap().parse().unwrap();
    let removed = |now_ms| {
        let removed = rig.app.catalog.expire_site(site, &Retention::default(), now_ms).unwrap();
        removed.into_iter().find(|(class, _)| *class == DataClass::Requests).unwrap().1
    };
    let end = NOW_MS + 3 * 366 * DAY_MS;
    assert_eq!(removed(end), 0);
    assert_eq!(removed(end + 1), 1);
    assert_eq!(ids(&desk.list("").await), [waits["id"].as_str().unwrap()]);
}
