//! Attribution over the API: what it answers, and which part of a body it finds wrong.

use serde_json::{Value, json};

use crate::rig::{Answer, Rig};

/// Visits of one page each, by one visitor each, a day apart; the last one buys for 12.50.
async fn journey(rig: &Rig, site: &str, visitor: &str, sources: &[&str], buys: bool) {
    let mut lines = Vec::new();
    for (day, source) in sources.iter().enumerate() {
        let utm = if source.is_empty() { json!({}) } else { json!({"source": source}) };
        let event = |name: &str, minute: u32| {
            json!({"event": name, "timestamp": format!("2026-11-{}T09:{minute:02}:00Z", 15 + day),
                "url": "https://shop.example/", "visitor_id": visitor,
                "session_id": format!("{visitor} {day}"), "utm": utm})
        };
        lines.push(event("page_view", 0).to_string());
        if buys && day + 1 == sources.len() {
            let mut purchase = event("purchase", 30);
            purchase["value"] = json!("12.50");
            purchase["currency"] = json!("EUR");
            lines.push(purchase.to_string());
        }
    }
    let path = format!("/api/v1/sites/{site}/import");
    rig.call("POST", &path).owner().body(lines.join("\n")).send().await.ok(200);
}

async fn ask(rig: &Rig, body: Value) -> Answer {
    rig.post("/api/v2/attribution", &body).owner().send().await
}

fn channel<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let channels = answer["channels"].as_array().unwrap();
    channels.iter().find(|row| row["channel"] == name).unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn channels_stand_side_by_side_with_their_range() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    for visitor in ["a", "b"] {
        journey(&rig, &site, visitor, &["newsletter", "search", ""], true).await;
    }
    journey(&rig, &site, "c", &["search"], true).await;
    journey(&rig, &site, "d", &["search", "newsletter"], false).await;
    let body = json!({"site_id": "shop.example", "date_range": "30d", "revenue": true,
        "dimension": "visit:utm_source"});
    let answer = ask(&rig, body.clone()).await.ok(200);
    assert_eq!(answer["totals"]["conversions"], 3, "{answer}");
    assert_eq!(answer["totals"]["revenue"]["long"], "€37.50");
    assert_eq!(answer["totals"]["people_without_conversion"], 1);
    let search = channel(&answer, "search");
    assert_eq!(search["via"], "visit");
    assert_eq!(search["credits"]["last"]["conversions"], 1.0);
    assert_eq!(search["credits"]["last_non_direct"]["conversions"], 3.0);
    let linear = search["credits"]["linear"]["conversions"].as_f64().unwrap();
    assert!((linear - 5.0 / 3.0).abs() < 1e-4, "{linear}");
    assert_eq!(search["credits"]["position_based"]["revenue"]["long"], "€17.50");
    assert_eq!(search["range"]["conversions"], json!([1.0, 3.0]));
    assert_eq!(
        (&search["touched_conversions"], &search["assisted_conversions"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(channel(&answer, "Direct / None")["credits"]["last"]["conversions"], 2.0);
    let sum = |model: &str| -> f64 {
        let rows = answer["channels"].as_array().unwrap().iter();
        rows.map(|row| row["credits"][model]["revenue"]["value"].as_f64().unwrap()).sum()
    };
    let models = answer["models"].as_array().unwrap();
    assert_eq!(models.len(), 8);
    for model in models {
        assert!((sum(model["model"].as_str().unwrap()) - 37.5).abs() < 1e-9, "{model}");
        assert_eq!(model["exact"], true);
    }
    let first = &answer["paths"]["results"][0];
    let words: Vec<&str> = first["touches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["channel"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["newsletter", "search", "Direct / None"]);
    assert_eq!((&first["conversions"], &first["mean_hours"]), (&json!(2), &json!(48.5)));
    assert_eq!(answer["paths"]["total"], 3);
    assert_eq!(answer["bounds"]["paths_cut"], 0);
    // What was run gives the same when it is run again.
    assert_eq!(ask(&rig, answer["query"].clone()).await.ok(200)["channels"], answer["channels"]);
    let mut page = body;
    page["pagination"] = json!({"limit": 1, "offset": 2});
    page["models"] = json!(["markov"]);
    let page = ask(&rig, page).await.ok(200);
    assert_eq!(page["paths"]["results"][0]["people_without_conversion"], 1);
    assert_eq!(page["paths"]["results"][0]["mean_hours"], Value::Null);
    let credits = page["channels"][0]["credits"].as_object().unwrap();
    assert_eq!(credits.keys().collect::<Vec<_>>(), ["markov"]);
}

#[tokio::test]
async fn errors_name_the_part_that_is_wrong() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let goal = json!({"event_name": "purchase", "display_name": "Sale"});
    rig.post(&format!("/api/v1/sites/{site}/goals"), &goal).owner().send().await.ok(201);
    let asked = |more: Value| {
        let mut body = json!({"site_id": "shop.example", "date_range": "7d", "goal": "Sale"});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    ask(&rig, asked(json!({}))).await.ok(200);
    for (more, field) in [
        (json!({"goal": "Other"}), "#/goal"),
        (json!({"date_range": "soon"}), "#/date_range"),
        (json!({"dimension": "event:page"}), "#/dimension"),
        (json!({"models": []}), "#/models"),
        (json!({"models": ["last", "last"]}), "#/models/1"),
        (json!({"lookback_days": 0}), "#/lookback_days"),
        (json!({"view_through": {"window_days": 0}}), "#/view_through/window_days"),
        (json!({"pagination": {"limit": 0}}), "#/pagination/limit"),
        (json!({"pagination": {"page": 1}}), "#/pagination/page"),
        (json!({"filters": "none"}), "#/filters"),
    ] {
        let answer = ask(&rig, asked(more)).await;
        answer.is(400, "invalid_query");
        assert_eq!(answer.json()["error"]["field"], field);
    }
}
