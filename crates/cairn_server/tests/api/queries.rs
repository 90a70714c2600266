//! Several questions in one request: each has its own answer, and none sees more than it would alone.

use serde_json::{Value, json};

use crate::rig::{Answer, Rig};

/// Lines by the question that they answer.
fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["content-type"]),
        (200, &"application/x-ndjson".parse().unwrap()),
        "{}",
        answer.text
    );
    let mut lines: Vec<Value> =
        answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["index"].as_u64());
    lines
}

fn question(metric: &str) -> Value {
    json!({"metrics": [metric], "date_range": "7d"})
}

#[tokio::test]
async fn each_question_has_the_answer_that_it_would_have_alone() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let import = format!("/api/v1/sites/{site}/import");
    let event = json!({"event": "page_view", "url": "https://shop.example/", "visitor_id": "v",
        "timestamp": "2026-11-20T09:00:00Z"});
    let import = rig.call("POST", &import).owner().body(format!("{event}\n"));
    import.header("content-type", "application/x-ndjson").send().await.ok(200);
    let mut queries: Vec<Value> =
        ["visitors", "pageviews", "no_such_metric"].map(question).to_vec();
    queries.push(json!(7));
    queries.push(json!({"site_id": "other.example", "metrics": ["visitors"], "date_range": "7d"}));
    let body = json!({"site_id": "shop.example", "queries": queries});
    let found = lines(&rig.post("/api/v2/queries", &body).owner().send().await);
    let statuses: Vec<Value> = found.iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, [200, 200, 400, 400, 400]);
    for (line, question) in found.iter().zip(&queries).take(3) {
        let mut alone = question.clone();
        alone["site_id"] = json!("shop.example");
        let alone = rig.post("/api/v2/query", &alone).owner().send().await;
        assert_eq!(line["status"], alone.status.as_u16());
        assert_eq!(line["body"], alone.json());
    }
    assert_eq!(found[1]["body"]["results"][0]["metrics"], json!([1]));
    assert_eq!(found[4]["body"]["error"]["field"], "#/site_id");
    let none = json!({"site_id": "shop.example", "queries": []});
    assert_eq!(lines(&rig.post("/api/v2/queries", &none).owner().send().await), [] as [Value; 0]);
}

#[tokio::test]
async fn the_site_is_asked_for_once_and_questions_are_bounded() {
    let rig = Rig::new();
    rig.site("shop.example").await;
    let (_, stranger) = rig.tenant("stranger@other.example");
    let body = |queries: Value| json!({"site_id": "shop.example", "queries": queries});
    let few = body(json!([question("visitors")]));
    rig.post("/api/v2/queries", &few)
        .bearer(stranger.reveal())
        .send()
        .await
        .is(401, "unauthorized");
    let ask = async |body: Value| rig.post("/api/v2/queries", &body).owner().send().await;
    let most = vec![question("visitors"); 24];
    assert_eq!(lines(&ask(body(json!(most))).await).len(), 24);
    ask(body(json!(vec![question("visitors"); 25]))).await.is(422, "invalid_value");
    ask(body(json!({}))).await.is(400, "malformed_request");
    ask(json!({"site_id": "shop.example"})).await.is(400, "missing_field");
    ask(json!({"queries": []})).await.is(400, "invalid_query");
}
