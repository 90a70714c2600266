//! Shared reports: what a link opens, what it leaves out, and what it does not open.

use serde_json::{Value, json};

use crate::rig::{Answer, Rig};

/// Visits of one page each, by people of these countries.
async fn visits(rig: &Rig, site: &str, countries: &[(&str, usize)]) {
    visits_at(rig, site, "2026-11-21T09:00:00Z", countries).await;
}

async fn visits_at(rig: &Rig, site: &str, at: &str, countries: &[(&str, usize)]) {
    let lines = countries.iter().flat_map(|(country, count)| {
        (0..*count).map(move |number| {
            json!({"event": "page_view", "timestamp": at, "url": "https://shop.example/",
                "visitor_id": format!("{country}{number}"), "geo": {"country": country}})
            .to_string()
        })
    });
    let body = lines.collect::<Vec<_>>().join("\n");
    let path = format!("/api/v1/sites/{site}/import");
    rig.call("POST", &path).owner().body(body).send().await.ok(200);
}

async fn share(rig: &Rig, site: &str, body: Value) -> Value {
    rig.post(&format!("/api/v1/sites/{site}/shares"), &body).owner().send().await.ok(201)
}

async fn ask(rig: &Rig, share: &Value, body: Value) -> Answer {
    let token = share["token"].as_str().unwrap();
    rig.post("/api/v1/shared/query", &body).bearer(token).send().await
}

fn groups(answer: &Value) -> Vec<(&str, u64)> {
    let rows = answer["results"].as_array().unwrap();
    let named = rows.iter().map(|row| {
        (row["dimensions"][0].as_str().unwrap_or(""), row["metrics"][0].as_u64().unwrap())
    });
    named.collect()
}

#[tokio::test]
async fn a_link_shows_no_group_of_fewer_people_than_its_owner_says() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    visits(&rig, &site, &[("DE", 30), ("AT", 12), ("FR", 4), ("CH", 1)]).await;
    let made = share(&rig, &site, json!({"name": "For the press"})).await;
    assert_eq!(made["group_size_min"], 10);
    assert_eq!(made["path"], format!("/shared#{}", made["token"].as_str().unwrap()));
    let by_country = json!({"date_range": "7d", "dimension": "visit:country"});
    let answer = ask(&rig, &made, by_country.clone()).await.ok(200);
    // Austria, too: from all without Germany and Austria the five others would follow.
    assert_eq!(groups(&answer), [("DE", 30)]);
    assert_eq!((&answer["withheld"], &answer["group_size_min"]), (&json!(3), &json!(10)));
    let all = ask(&rig, &made, json!({"date_range": "7d"})).await.ok(200);
    assert_eq!(groups(&all), [("", 50)]);
    let fine = share(&rig, &site, json!({"name": "Fine", "group_size_min": 4})).await;
    let answer = ask(&rig, &fine, by_country).await.ok(200);
    assert_eq!(groups(&answer), [("DE", 32), ("AT", 12)]);
    let days = ask(&rig, &made, json!({"date_range": "7d", "dimension": "time:day"})).await.ok(200);
    assert_eq!(groups(&days), [("2026-11-21", 50)]);
    assert_eq!(days["time_labels"].as_array().unwrap().len(), 7);
    let more = share(&rig, &site, json!({"name": "Few", "group_size_min": 48})).await;
    let all = ask(&rig, &more, json!({"date_range": "7d"})).await.ok(200);
    assert_eq!((groups(&all), &all["withheld"]), (vec![], &json!(1)));
}

/// Somebody who asks all that a link allows and subtracts the answers from one another.
#[tokio::test]
async fn no_two_answers_differ_by_a_smaller_group() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    visits(&rig, &site, &[("DE", 33), ("AT", 14), ("FR", 11), ("CH", 1)]).await;
    // Two more in another hour of that day, three of another week, four of another month.
    visits_at(&rig, &site, "2026-11-21T07:00:00Z", &[("IT", 2)]).await;
    visits_at(&rig, &site, "2026-11-10T07:00:00Z", &[("ES", 3)]).await;
    visits_at(&rig, &site, "2026-09-10T07:00:00Z", &[("PT", 4)]).await;
    let made = share(&rig, &site, json!({"name": "For the press"})).await;
    let mut counts = Vec::new();
    for range in ["7d", "30d", "91d", "12mo"] {
        for dimension in [
            "",
            "time:hour",
            "time:day",
            "time:week",
            "time:month",
            "visit:source",
            "visit:channel",
            "event:page",
            "visit:country",
            "visit:device",
            "visit:browser",
            "visit:os",
        ] {
            let mut body = json!({"date_range": range});
            if !dimension.is_empty() {
                body["dimension"] = json!(dimension);
            }
            let answer = ask(&rig, &made, body).await.ok(200);
            for row in answer["results"].as_array().unwrap() {
                let metrics = row["metrics"].as_array().unwrap();
                counts.extend(metrics.iter().take(3).map(|it| it.as_u64().unwrap()));
            }
        }
    }
    assert!(counts.iter().any(|count| *count > 0), "there is something to subtract");
    for one in &counts {
        for other in &counts {
            let difference = one.abs_diff(*other);
            assert!(difference == 0 || difference >= 10, "{one} and {other}");
        }
    }
}

#[tokio::test]
async fn a_link_opens_its_report_and_nothing_else() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let made = share(&rig, &site, json!({"name": "For the press"})).await;
    let token = made["token"].as_str().unwrap();
    let about = rig.get("/api/v1/shared").bearer(token).send().await.ok(200);
    assert_eq!((&about["domain"], &about["group_size_min"]), (&json!("shop.example"), &json!(10)));
    for (method, path) in [
        ("GET", "/api/v1/sites".to_owned()),
        ("GET", format!("/api/v1/sites/{site}")),
        ("GET", format!("/api/v1/sites/{site}/events")),
        ("GET", format!("/api/v1/sites/{site}/shares")),
        ("GET", "/api/v1/tokens".to_owned()),
        ("POST", "/api/v2/query".to_owned()),
    ] {
        let body = json!({"site_id": "shop.example", "metrics": ["visitors"], "date_range": "7d"});
        let answer = rig.call(method, &path).bearer(token).json(&body).send().await;
        answer.is(401, "unauthorized");
    }
    for owner in ["/api/v1/shared"] {
        rig.get(owner).owner().send().await.is(401, "unauthorized");
    }
    let narrow = json!({"date_range": "7d", "filters": [["is", "visit:country", ["DE"]]]});
    ask(&rig, &made, narrow).await.is(400, "unknown_field");
    let props = json!({"date_range": "7d", "dimension": "event:props:plan"});
    ask(&rig, &made, props).await.is(400, "invalid_query");
    ask(&rig, &made, json!({"date_range": "day"})).await.is(400, "invalid_query");
}

/// What a `429` says to wait, seconds.
fn wait_s(answer: &Answer) -> u64 {
    answer.is(429, "rate_limited").headers["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_network_that_asks_a_link_too_often_waits_and_others_do_not() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let made = share(&rig, &site, json!({"name": "For the press"})).await;
    let body = json!({"date_range": "7d"});
    let mut answered = 0;
    let refused = loop {
        let answer = ask(&rig, &made, body.clone()).await;
        if answer.status != 200 {
            break answer;
        }
        answered += 1;
        assert!(answered < 1_000, "there is a limit");
    };
    assert!(answered >= 120, "{answered}");
    assert!((1..=60).contains(&wait_s(&refused)));
    let token = made["token"].as_str().unwrap();
    let elsewhere = rig.post("/api/v1/shared/query", &body).bearer(token);
    elsewhere.send_from([203, 0, 113, 7]).await.ok(200);
    let other = share(&rig, &site, json!({"name": "Another link"})).await;
    ask(&rig, &other, body).await.ok(200);
}

#[tokio::test]
async fn a_link_ends_with_its_share_and_with_its_site() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let path = format!("/api/v1/sites/{site}/shares");
    for (body, field) in [
        (json!({"name": "x", "group_size_min": 2}), "group_size_min"),
        (json!({"group_size_min": 20}), "name"),
    ] {
        let refused = rig.post(&path, &body).owner().send().await;
        assert_eq!(refused.json()["error"]["field"], field, "{}", refused.text);
    }
    let first = share(&rig, &site, json!({"name": "First"})).await;
    let second = share(&rig, &site, json!({"name": "Second"})).await;
    let list = rig.get(&path).owner().send().await.ok(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert!(!list.to_string().contains(first["token"].as_str().unwrap()), "told once");
    let gone = format!("{path}/{}", first["id"].as_str().unwrap());
    assert_eq!(rig.call("DELETE", &gone).owner().send().await.status, 204);
    rig.call("DELETE", &gone).owner().send().await.is(404, "not_found");
    ask(&rig, &first, json!({"date_range": "7d"})).await.is(401, "unauthorized");
    ask(&rig, &second, json!({"date_range": "7d"})).await.ok(200);
    assert_eq!(
        rig.call("DELETE", &format!("/api/v1/sites/{site}")).owner().send().await.status,
        204
    );
    ask(&rig, &second, json!({"date_range": "7d"})).await.is(401, "unauthorized");
}

#[tokio::test]
async fn a_password_is_asked_for_and_guessed_a_few_times_only() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    visits(&rig, &site, &[("DE", 30)]).await;
    let body = json!({"name": "x", "password": "open sesame"});
    let made = share(&rig, &site, body).await;
    assert_eq!(made["has_password"], true);
    assert!(!made.to_string().contains("argon2"), "{made}");
    let question = json!({"date_range": "7d"});
    ask(&rig, &made, question.clone()).await.is(401, "password_needed");
    let token = made["token"].as_str().unwrap();
    let say = |password: &str| {
        rig.post("/api/v1/shared/key", &json!({"password": password})).bearer(token).send()
    };
    say("open barley").await.is(401, "password_needed");
    let key = say("open sesame").await.ok(200)["key"].as_str().unwrap().to_owned();
    let with = |token: String, key: String| {
        let call = rig.post("/api/v1/shared/query", &question).bearer(&token);
        call.header("cairn-share-key", &key).send()
    };
    assert_eq!(groups(&with(token.to_owned(), key.clone()).await.ok(200)), [("", 30)]);
    // A key is for its report, and for half a day.
    let other = share(&rig, &site, json!({"name": "y", "password": "open sesame"})).await;
    let other = other["token"].as_str().unwrap().to_owned();
    with(other, key.clone()).await.is(401, "password_needed");
    with(token.to_owned(), format!("9{key}")).await.is(401, "password_needed");
    rig.advance(12 * 60 * 60 * 1000);
    with(token.to_owned(), key).await.is(401, "password_needed");
    for _ in 0..5 {
        say("open barley").await.is(401, "password_needed");
    }
    say("open sesame").await.is(429, "rate_limited");
    let short = json!({"name": "z", "password": "short"});
    let path = format!("/api/v1/sites/{site}/shares");
    rig.post(&path, &short).owner().send().await.is(422, "invalid_value");
}

#[tokio::test]
async fn a_link_ends_on_its_day_and_shows_what_its_owner_chose() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    visits(&rig, &site, &[("DE", 30), ("AT", 12)]).await;
    let filters = json!([["is", "visit:country", ["AT"]]]);
    let body = json!({"name": "Austria", "filters": filters, "expires_in_days": 2});
    let made = share(&rig, &site, body).await;
    assert_eq!(made["filters"], filters);
    let question = json!({"date_range": "30d"});
    let answer = ask(&rig, &made, question.clone()).await.ok(200);
    assert_eq!(groups(&answer), [("", 10)]);
    let token = made["token"].as_str().unwrap();
    let about = rig.get("/api/v1/shared").bearer(token).send().await.ok(200);
    assert_eq!(about["is_filtered"], true);
    rig.advance(2 * 24 * 60 * 60 * 1000 - 1);
    ask(&rig, &made, question.clone()).await.ok(200);
    rig.advance(1);
    ask(&rig, &made, question).await.is(401, "unauthorized");
    let wrong = json!({"name": "x", "filters": [["is", "visit:colour", ["red"]]]});
    let path = format!("/api/v1/sites/{site}/shares");
    rig.post(&path, &wrong).owner().send().await.is(400, "invalid_query");
}
