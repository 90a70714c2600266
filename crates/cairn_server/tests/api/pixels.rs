//! Pixels: what they reported over time, and their live tests.

use axum::body::Body;
use cairn_model::{Event, PixelId, SiteId};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::rig::{NOW_MS, Rig};

struct Shop {
    rig: Rig,
    base: String,
    site_id: SiteId,
}

impl Shop {
    async fn new() -> Self {
        let rig = Rig::new();
        let site = rig.site("shop.example").await;
        Shop { base: format!("/api/v1/sites/{site}/pixels"), site_id: site.parse().unwrap(), rig }
    }

    /// A new pixel: its key.
    async fn pixel(&self, kind: &str, url: &str) -> String {
        let body = json!({"name": kind, "kind": kind, "url": url});
        let pixel = self.rig.post(&self.base, &body).owner().send().await.ok(201);
        pixel["key"].as_str().unwrap().to_owned()
    }

    async fn start(&self, key: &str, body: Value) -> Value {
        let path = format!("{}/{key}/live-test", self.base);
        self.rig.post(&path, &body).owner().send().await.ok(201)
    }

    /// The stream of a test.
    async fn follow(&self, key: &str, code: &str, last: &str) -> Body {
        let path = format!("{}/{key}/live-test/{code}", self.base);
        let call = self.rig.get(&path).owner().header("last-event-id", last);
        let response = self.rig.router().oneshot(call.request()).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        response.into_body()
    }
}

/// Reads the stream until it says this.
async fn until(stream: &mut Body, wanted: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(wanted) {
        let frame = stream.frame().await.expect("the stream goes on").unwrap();
        seen.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    seen
}

#[tokio::test]
async fn events_of_each_pixel_are_counted_by_hour_and_day() {
    let shop = Shop::new().await;
    let (busy, quiet) = (shop.pixel("web", "").await, shop.pixel("image", "").await);
    const HOUR_MS: i64 = 60 * 60 * 1000;
    for hours_ago in [0, 0, 1, 23, 24, 29 * 24, 31 * 24] {
        let mut event = Event::bare(shop.site_id, "page_view", NOW_MS - hours_ago * HOUR_MS);
        event.pixel_id = PixelId(1);
        shop.rig.store(&event).await;
    }
    let show = async |query: &str| {
        shop.rig.get(&format!("{}/activity{query}", shop.base)).owner().send().await
    };
    let hours = show("").await.ok(200);
    assert_eq!(
        (&hours["period"], &hours["starts"][23]),
        (&json!("24h"), &json!("2026-11-22T10:00:00Z"))
    );
    let mut wanted = vec![0; 24];
    (wanted[23], wanted[22], wanted[0]) = (2, 1, 1);
    assert_eq!(
        hours["items"],
        json!([{"key": busy, "events": wanted}, {"key": quiet, "events": vec![0; 24]}])
    );
    let days = show("?period=30d").await.ok(200);
    assert_eq!(days["starts"][0], "2026-10-24T00:00:00Z");
    let events: Vec<u64> = serde_json::from_value(days["items"][0]["events"].clone()).unwrap();
    assert_eq!((events.len(), events[29], events[28], events[0]), (30, 3, 2, 1));
    assert_eq!(events.iter().sum::<u64>(), 6, "older ones are left out");
    show("?period=1y").await.is(422, "invalid_value");
    show("?colour=red").await.is(400, "unknown_field");
}

#[tokio::test]
async fn a_live_test_opens_the_page_of_its_pixel() {
    let shop = Shop::new().await;
    let place = "https://shop.example/p?a=1#top";
    for (kind, url, body, opened, watches) in [
        ("web", "", json!({}), Some("https://shop.example/?cairn_test=CODE"), "visit"),
        ("web", place, json!({}), Some("https://shop.example/p?a=1&cairn_test=CODE#top"), "visit"),
        (
            "web",
            place,
            json!({"url": "http://other.example"}),
            Some("http://other.example/?cairn_test=CODE"),
            "visit",
        ),
        ("image", "", json!({}), Some("https://shop.example/?cairn_test=CODE"), "visit_or_pixel"),
        ("email", place, json!({}), None, "pixel"),
        ("ad", "", json!({}), None, "pixel"),
        ("server", "", json!({}), None, "pixel"),
        ("app", "", json!({}), None, "pixel"),
    ] {
        let key = shop.pixel(kind, url).await;
        let test = shop.start(&key, body).await;
        let code = test["code"].as_str().unwrap();
        assert!(code.len() == 16 && code.bytes().all(|byte| byte.is_ascii_hexdigit()), "{code}");
        let opened = opened.map(|url| url.replace("CODE", code));
        assert_eq!((&test["url"], &test["watches"]), (&json!(opened), &json!(watches)));
        assert_eq!(test["expires_at"], "2026-11-22T10:05:00Z");
    }
    let path = format!("{}/px_none/live-test", shop.base);
    shop.rig.post(&path, &json!({})).owner().send().await.is(404, "not_found");
}

#[tokio::test]
async fn a_test_where_nothing_arrives_says_so_and_ends() {
    let shop = Shop::new().await;
    let key = shop.pixel("web", "").await;
    for (body, status, field) in
        [(json!({"url": "javascript:1"}), 422, "url"), (json!({"page": "x"}), 400, "page")]
    {
        let path = format!("{}/{key}/live-test", shop.base);
        let answer = shop.rig.post(&path, &body).owner().send().await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]["field"]),
            (status, &json!(field))
        );
    }
    let test = shop.start(&key, json!({})).await;
    let code = test["code"].as_str().unwrap();
    let mut stream = shop.follow(&key, code, "").await;
    until(&mut stream, "retry: 2000").await;
    shop.rig.advance(10_000);
    let told = until(&mut stream, "\n\n").await;
    assert_eq!(
        told,
        "event: nothing\ndata: {\"after_s\":10,\"check\":[\"not_installed\",\"script_blocked\",\
         \"content_security_policy\",\"wrong_host\",\"parameter_lost\"],\"script\":false}\n\n"
    );
    shop.rig.advance(290_000);
    assert_eq!(until(&mut stream, "\n\n").await, "event: end\ndata: {\"after_s\":300}\n\n");
    assert!(stream.frame().await.is_none(), "the stream is over");
    let path = format!("{}/{key}/live-test/{code}", shop.base);
    shop.rig.get(&path).owner().send().await.is(404, "not_found");
}

#[tokio::test]
async fn a_test_is_followed_by_its_owner_only_and_ends_with_the_server() {
    let shop = Shop::new().await;
    let (key, other) = (shop.pixel("web", "").await, shop.pixel("web", "").await);
    let test = shop.start(&key, json!({})).await;
    let code = test["code"].as_str().unwrap();
    let (_, stranger) = shop.rig.tenant("stranger@other.example");
    let path = format!("{}/{key}/live-test/{code}", shop.base);
    shop.rig.get(&path).bearer(stranger.reveal()).send().await.is(404, "not_found");
    shop.rig.get(&path).send().await.is(401, "unauthorized");
    let elsewhere = format!("{}/{other}/live-test/{code}", shop.base);
    shop.rig.get(&elsewhere).owner().send().await.is(404, "not_found");
    let mut stream = shop.follow(&key, code, "3").await;
    shop.rig.app.live_places.end();
    while let Some(frame) = stream.frame().await {
        frame.unwrap();
    }
    shop.rig.get(&path).owner().send().await.is(503, "overloaded");
}
