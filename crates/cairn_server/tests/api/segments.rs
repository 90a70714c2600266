//! Segments and annotations of a site, and answers as files.

use serde_json::{Value, json};

use crate::rig::{Answer, Rig};

/// Visits of one page view each: path, title, country.
async fn visits(rig: &Rig, site: &str, of: &[(&str, &str)]) {
    let lines = of.iter().enumerate().map(|(number, (path, country))| {
        json!({"event": "page_view", "timestamp": "2026-11-21T09:00:00Z",
            "url": format!("https://shop.example{path}"), "props": {"note": path},
            "visitor_id": format!("v{number}"), "geo": {"country": country}})
        .to_string()
    });
    let body = lines.collect::<Vec<_>>().join("\n");
    let path = format!("/api/v1/sites/{site}/import");
    rig.call("POST", &path).owner().body(body).send().await.ok(200);
}

async fn ask(rig: &Rig, dimensions: Value, filters: Value, parameters: &str) -> Answer {
    let body = json!({"site_id": "shop.example", "metrics": ["visitors"], "dimensions": dimensions,
        "filters": filters, "date_range": ["2026-11-21", "2026-11-21"]});
    rig.post(&format!("/api/v2/query{parameters}"), &body).owner().send().await
}

async fn visitors(rig: &Rig, filters: Value) -> Value {
    ask(rig, json!([]), filters, "").await.ok(200)["results"][0]["metrics"][0].take()
}

async fn shop() -> (Rig, String) {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    visits(&rig, &site, &[("/", "DE"), ("/", "AT"), ("/a", "DE"), ("/b", "FR")]).await;
    (rig, site)
}

async fn segment(rig: &Rig, site: &str, name: &str, filters: Value) -> Answer {
    let body = json!({"name": name, "filters": filters});
    rig.post(&format!("/api/v1/sites/{site}/segments"), &body).owner().send().await
}

#[tokio::test]
async fn a_question_names_segments_by_number() {
    let (rig, site) = shop().await;
    let german = json!([["is", "visit:country", ["DE"]], ["is", "event:page", ["/"]]]);
    let german = segment(&rig, &site, "German home", german).await.ok(201)["id"].take();
    let french = json!([["is", "visit:country", ["FR"]]]);
    let french = segment(&rig, &site, "French", french).await.ok(201)["id"].take();
    assert_eq!(visitors(&rig, json!([["is", "segment", [german]]])).await, 1);
    assert_eq!(visitors(&rig, json!([["is", "segment", [german, french]]])).await, 2);
    assert_eq!(visitors(&rig, json!([["not", ["is", "segment", [french]]]])).await, 3);
    // At the top level: a metric that asks for a page there is satisfied.
    let body = json!({"site_id": "shop.example", "metrics": ["scroll_depth"],
        "filters": [["is", "segment", [german]]], "date_range": "7d"});
    let echo = rig.post("/api/v2/query", &body).owner().send().await.ok(200)["query"].take();
    rig.post("/api/v2/query", &echo).owner().send().await.ok(200);
    // The list of events takes it, too.
    let filters = format!("%5B%5B%22is%22,%22segment%22,%5B{french}%5D%5D%5D");
    let path = format!("/api/v1/sites/{site}/events?filters={filters}");
    let events = rig.get(&path).owner().send().await.ok(200);
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
    assert_eq!(events["items"][0]["page"], "/b");

    for (filter, word) in [
        (json!(["is", "segment", ["1"]]), "numbers"),
        (json!(["is", "segment", [404]]), "no segment 404"),
        (json!(["is", "segment", [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]]), "at most 10"),
        (json!(["is_not", "segment", [french]]), "#/filters/1"),
        (json!(["is", "segment", [french], {"case_sensitive": false}]), "#/filters/1"),
    ] {
        let filters = json!([["is", "visit:country", ["DE"]], filter]);
        let refused = ask(&rig, json!([]), filters, "").await;
        refused.is(400, "invalid_query");
        assert!(refused.text.contains(word) && refused.text.contains("#/filters/1"), "{word}");
    }
}

#[tokio::test]
async fn segments_are_checked_changed_removed_and_only_their_sites() {
    let (rig, site) = shop().await;
    let path = format!("/api/v1/sites/{site}/segments");
    let french = json!([["is", "visit:country", ["FR"]]]);
    let made = segment(&rig, &site, "French", french.clone()).await.ok(201);
    segment(&rig, &site, "French", french.clone()).await.is(409, "conflict");
    for wrong in [
        json!([]),
        json!("x"),
        json!([["is", "visit:planet", ["Mars"]]]),
        json!([["is", "segment", [made["id"]]]]),
        json!([["is", "event:goal", ["nothing"]]]),
    ] {
        let refused = segment(&rig, &site, "Wrong", wrong.clone()).await;
        assert!(refused.status.is_client_error(), "{wrong}");
    }
    let one = format!("{path}/{}", made["id"]);
    let austria = json!({"filters": [["is", "visit:country", ["AT", "DE"]]]});
    let changed = rig.call("PATCH", &one).json(&austria).owner().send().await.ok(200);
    assert_eq!((&changed["name"], &changed["filters"]), (&json!("French"), &austria["filters"]));
    assert_eq!(visitors(&rig, json!([["is", "segment", [made["id"]]]])).await, 3);
    let listed = rig.get(&path).owner().send().await.ok(200);
    assert_eq!(listed["items"], json!([changed]));

    // Another site's questions do not know it, nor does who may not see the site.
    rig.site("other.example").await;
    let body = json!({"site_id": "other.example", "metrics": ["visitors"], "date_range": "7d",
        "filters": [["is", "segment", [made["id"]]]]});
    rig.post("/api/v2/query", &body).owner().send().await.is(400, "invalid_query");
    let (_, token) = rig.tenant("ada@else.example");
    let seen = rig.get(&path).bearer(token.reveal()).send().await;
    assert_eq!(seen.status.as_u16(), 404);

    assert_eq!(rig.call("DELETE", &one).owner().send().await.status.as_u16(), 204);
    assert_eq!(rig.call("DELETE", &one).owner().send().await.status.as_u16(), 404);
    let filters = json!([["is", "segment", [made["id"]]]]);
    ask(&rig, json!([]), filters, "").await.is(400, "invalid_query");
}

#[tokio::test]
async fn days_are_annotated() {
    let (rig, site) = shop().await;
    let path = format!("/api/v1/sites/{site}/annotations");
    let note = |date: &str, note: &str| json!({"date": date, "note": note});
    let made = rig.post(&path, &note("2026-11-21", "<b>Sale</b> began")).owner().send().await;
    let made = made.ok(201);
    assert_eq!(made["note"], "<b>Sale</b> began");
    for (date, text) in [
        ("2026-02-30", "x"),
        ("21.11.2026", "x"),
        ("2026-11-21T00:00:00Z", "x"),
        ("2026-11-21", ""),
    ] {
        let refused = rig.post(&path, &note(date, text)).owner().send().await;
        assert!(refused.status.is_client_error(), "{date} {text}");
    }
    let long = note("2026-11-21", &"x".repeat(501));
    assert!(rig.post(&path, &long).owner().send().await.status.is_client_error());
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    let patch = json!({"date": "2026-11-20"});
    let changed = rig.call("PATCH", &one).json(&patch).owner().send().await.ok(200);
    assert_eq!((&changed["date"], &changed["note"]), (&json!("2026-11-20"), &made["note"]));
    let listed = rig.get(&path).owner().send().await.ok(200);
    assert_eq!(listed["items"], json!([changed]));
    let other = rig.site("other.example").await;
    let elsewhere = one.replace(&format!("/sites/{site}/"), &format!("/sites/{other}/"));
    assert_eq!(rig.call("DELETE", &elsewhere).owner().send().await.status.as_u16(), 404);
    assert_eq!(rig.call("DELETE", &one).owner().send().await.status.as_u16(), 204);
    assert_eq!(rig.call("PATCH", &one).json(&patch).owner().send().await.status.as_u16(), 404);
}

#[tokio::test]
async fn answers_are_files_without_formulas() {
    let (rig, site) = shop().await;
    visits(&rig, &site, &[("=HYPERLINK(\"x\")", "DE"), ("/,\"", "DE")]).await;
    let by_note = json!(["event:props:note"]);
    let file = ask(&rig, by_note.clone(), json!([]), "?format=csv").await;
    assert_eq!(file.headers["content-type"], "text/csv; charset=utf-8");
    let mut lines: Vec<&str> = file.text.split("\r\n").collect();
    assert_eq!(lines.remove(0), "event:props:note,visitors");
    let wanted = ["/,2", "\"'=HYPERLINK(\"\"x\"\")\",1", "\"/,\"\"\",1", "/a,1", "/b,1", ""];
    lines.sort_unstable();
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);

    let body = json!({"site_id": "shop.example", "metrics": ["visitors"], "date_range": "7d"});
    let call = rig.post("/api/v2/query", &body).owner().header("accept", "application/x-ndjson");
    let file = call.send().await;
    assert_eq!(file.text, "{\"visitors\":4}\n");
    let file = ask(&rig, by_note.clone(), json!([]), "?format=parquet").await;
    assert_eq!(file.headers["content-type"], "application/vnd.apache.parquet");
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"report.parquet\"");
    assert!(file.text.starts_with("PAR1") && file.text.ends_with("PAR1"));
    ask(&rig, by_note, json!([]), "?format=xlsx").await.is(400, "malformed_request");
    // What is wrong with a question is told as always.
    let refused = ask(&rig, json!(["visit:planet"]), json!([]), "?format=csv").await;
    refused.is(400, "invalid_query");
}
