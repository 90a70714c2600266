//! Health, metrics, headers and the embedded pages.

use cairn_model::{Event, SiteId};
use serde_json::json;

use crate::rig::{NOW_MS, Rig};

#[tokio::test]
async fn a_fresh_server_is_alive_and_ready() {
    let rig = Rig::new();
    assert_eq!(rig.get("/healthz").send().await.text, "ok\n");
    let ready = rig.get("/readyz").send().await.ok(200);
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["apply_lag_ms"], 0);
}

#[tokio::test]
async fn a_closed_log_is_not_ready() {
    let rig = Rig::new();
    rig.app.log.close();
    let answer = rig.get("/readyz").send().await;
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.ok(503)["log_writable"], false);
}

#[tokio::test]
async fn a_store_too_far_behind_the_log_is_not_ready() {
    let mut rig = Rig::not_applying(|config| config.apply_lag_ms_max = 2_000);
    let offset = rig.append(&Event::bare(SiteId(1), "page_view", NOW_MS)).await;
    let ready = rig.get("/readyz").send().await.ok(200);
    assert_eq!((&ready["ready"], &ready["apply_lag_ms"]), (&json!(true), &json!(0)));
    rig.advance(2_000);
    assert_eq!(rig.get("/readyz").send().await.ok(200)["apply_lag_ms"], 2_000, "the bound itself");
    rig.advance(1);
    let answer = rig.get("/readyz").send().await;
    assert!(answer.headers.contains_key("retry-after"));
    let wanted = json!({"ready": false, "log_writable": true, "store_reachable": true,
        "catalog_reachable": true, "apply_lag_ms": 2_001, "apply_lag_ms_max": 2_000});
    assert_eq!(answer.ok(503), wanted, "the lag alone");
    let metrics = rig.get("/metrics").send().await.text;
    assert!(metrics.contains("cairn_apply_lag_milliseconds 2001\n"), "{metrics}");
    rig.start_applying();
    rig.applied(offset).await;
    let ready = rig.get("/readyz").send().await.ok(200);
    assert_eq!((&ready["ready"], &ready["apply_lag_ms"]), (&json!(true), &json!(0)));
}

#[tokio::test]
async fn metrics_count_answers_and_name_every_outcome() {
    let rig = Rig::new();
    rig.get("/api/v1/sites").send().await.is(401, "unauthorized");
    let metrics = rig.get("/metrics").send().await;
    assert!(
        metrics.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4")
    );
    assert!(
        metrics.text.contains("cairn_api_responses_total{class=\"4xx\"} 1\n"),
        "{}",
        metrics.text
    );
    assert!(metrics.text.contains("cairn_received_events_total 0\n"));
    for outcome in cairn_model::Outcome::ALL {
        let line = format!("cairn_hit_outcomes_total{{outcome=\"{}\"}} 0\n", outcome.name());
        assert!(metrics.text.contains(&line), "{line}");
    }
    for line in metrics.text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("cairn_") && value.parse::<u64>().is_ok(), "{line}");
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let rig = Rig::new();
    for path in ["/", "/healthz", "/api/v1/session", "/api/v1/nothing", "/nothing"] {
        let answer = rig.get(path).header("accept", "text/html").send().await;
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers["referrer-policy"], "same-origin", "{path}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        if path.starts_with("/api") {
            assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        }
    }
}

#[tokio::test]
async fn the_dashboards_addresses_are_pages_and_others_are_not() {
    let rig = Rig::new();
    for path in ["/", "/login", "/setup?token=x", "/sites/1/pixels"] {
        let page = rig.get(path).header("accept", "text/html").send().await;
        assert_eq!(page.status.as_u16(), 200, "{path}");
        assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"), "{path}");
    }
    for path in ["/nothing", "/demo/", "/assets/nothing.js", "/sitesx"] {
        rig.get(path).header("accept", "text/html").send().await.is(404, "not_found");
    }
    let posted = rig.call("POST", "/").header("accept", "text/html").send().await;
    posted.is(405, "method_not_allowed");
    assert_eq!(posted.headers["allow"], "GET, HEAD");
}

#[tokio::test]
async fn the_published_outcomes_are_those_of_the_site() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let line = r#"{"event":"page_view","timestamp":"2026-11-21T09:00:00Z","url":"https://shop.example/","visitor_id":"v","event_id":"a"}"#;
    let path = format!("/api/v1/sites/{site}/import");
    let body = format!("{line}\n{line}\n{{broken");
    let result = rig.call("POST", &path).owner().body(body).send().await.ok(200);
    assert_eq!((&result["accepted"], &result["duplicate"]), (&1.into(), &1.into()));
    let outcomes = rig.get(&format!("/api/v1/sites/{site}/outcomes")).owner().send().await.ok(200);
    let metrics = rig.get("/metrics").send().await.text;
    for (outcome, count) in outcomes["outcomes"].as_object().unwrap() {
        let line = format!("cairn_hit_outcomes_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    assert!(metrics.contains("cairn_hit_outcomes_total{outcome=\"duplicate\"} 1\n"));
    assert!(metrics.contains("cairn_received_events_total 3\n"));
}
