//! Imports that are repeated with their `Idempotency-Key`.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use cairn_catalog::IDEMPOTENCY_AGE_MS_MAX;
use cairn_model::limits::IMPORT_LINE_SIZE_BYTES_MAX;
use http_body_util::BodyExt;
use hyper::body::Frame;
use serde_json::json;
use tower::ServiceExt;

use crate::rig::{Call, Rig};

fn keyed<'r>(rig: &'r Rig, site: &str, body: &str) -> Call<'r> {
    let call = rig.call("POST", &format!("/api/v1/sites/{site}/import")).owner();
    call.header("idempotency-key", "one").body(body)
}

fn line(number: usize) -> String {
    json!({"event": "page_view", "timestamp": "2026-11-21T09:00:00Z",
        "url": format!("https://shop.example/p/{number}"), "visitor_id": format!("v{number}")})
    .to_string()
}

#[tokio::test]
async fn the_largest_answer_is_remembered_too() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    // Names of unknown fields are repeated in the answer, and quotes in them take two bytes there.
    let name = "\\\"".repeat(IMPORT_LINE_SIZE_BYTES_MAX / 2 - 50);
    let long = format!("{{\"event\":\"page_view\",\"{name}\":1}}\n").repeat(60);
    let body =
        format!("{}\n{long}{}", line(0), "{\"event\":\"page_view\",\"a\":1}\n".repeat(12_000));
    let first = keyed(&rig, &site, &body).send().await;
    assert!(first.text.len() <= 2 * 1024 * 1024, "{} bytes", first.text.len());
    let result = first.json();
    assert_eq!((&result["accepted"], &result["rejected_count"]), (&json!(1), &json!(12_060)));
    let shown = result["rejected"].as_array().unwrap();
    assert!(!shown.is_empty() && shown.len() <= 10_000, "{}", shown.len());
    assert_eq!(shown.last().unwrap()["line"], shown.len() + 1, "the first ones, without a gap");
    let second = keyed(&rig, &site, &body).send().await;
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert_eq!(second.text, first.text);
    let outcomes = rig.get(&format!("/api/v1/sites/{site}/outcomes")).owner().send().await.ok(200);
    assert_eq!(
        (&outcomes["outcomes"]["accepted"], &outcomes["received"]),
        (&json!(1), &json!(12_061))
    );
}

#[tokio::test]
async fn an_answer_of_hundreds_of_kibibytes_is_remembered() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let body = format!("{}\n{}", line(0), "{\"event\":\"page_view\",\"a\":1}\n".repeat(12_000));
    let first = keyed(&rig, &site, &body).send().await;
    assert!(first.text.len() > 256 * 1024, "{} bytes", first.text.len());
    assert_eq!(first.json()["rejected"].as_array().unwrap().len(), 10_000);
    let second = keyed(&rig, &site, &body).send().await;
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert_eq!(second.text, first.text);
}

#[tokio::test]
async fn what_was_taken_before_a_failure_is_not_taken_again() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let lines: Vec<_> = (0..30_000).map(line).collect();
    let body = lines.join("\n");
    let before = rig.app.log.durable_end().0;
    let close_after_the_first = async {
        while rig.app.log.durable_end().0 == before {
            tokio::task::yield_now().await;
        }
        rig.app.log.close();
    };
    let (first, ()) = tokio::join!(keyed(&rig, &site, &body).send(), close_after_the_first);
    first.is(503, "log_full");
    let taken = rig.app.log.durable_end().0 - before;
    assert!(taken > 0 && taken < 30_000, "{taken}");
    let counts = format!("Of the lines 1 to {taken}, {taken} were taken; no later line was.");
    assert!(first.text.contains(&counts), "{}", first.text);
    let second = keyed(&rig, &site, &body).send().await;
    second.is(409, "imported_in_part");
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert!(second.text.contains(&counts), "{}", second.text);
}

#[tokio::test]
async fn an_import_of_which_nothing_was_taken_may_be_tried_again() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    rig.app.log.close();
    for _ in 0..2 {
        let answer = keyed(&rig, &site, &line(0)).send().await;
        answer.is(503, "log_full");
        assert!(!answer.headers.contains_key("idempotency-replayed"));
    }
}

#[tokio::test]
async fn a_call_whose_answer_was_lost_counts_nothing_twice() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    // Two equal lines are two events; neither has an id.
    let body = format!("{}\n{}\n{}", line(0), line(0), line(1));
    let first = keyed(&rig, &site, &body).send().await.ok(200);
    assert_eq!((&first["accepted"], &first["duplicate"]), (&json!(3), &json!(0)));
    // After a crash between the import and its kept answer this remains: the events, and no answer. Age brings it about.
    rig.advance(IDEMPOTENCY_AGE_MS_MAX);
    let again = keyed(&rig, &site, &body).send().await;
    assert!(!again.headers.contains_key("idempotency-replayed"), "the work was done again");
    let again = again.ok(200);
    assert_eq!((&again["accepted"], &again["duplicate"]), (&json!(0), &json!(3)));
    // Another body, another key, or none: other events.
    rig.advance(IDEMPOTENCY_AGE_MS_MAX);
    let longer = format!("{body}\n{}", line(2));
    assert_eq!(keyed(&rig, &site, &longer).send().await.ok(200)["accepted"], 4);
    let path = format!("/api/v1/sites/{site}/import");
    let two = rig.call("POST", &path).owner().header("idempotency-key", "two").body(&*body);
    assert_eq!(two.send().await.ok(200)["accepted"], 3);
    assert_eq!(rig.call("POST", &path).owner().body(&*body).send().await.ok(200)["accepted"], 3);
}

/// A body of which the beginning comes, and then nothing.
struct Stalled(Option<Bytes>);

impl hyper::body::Body for Stalled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |first| Poll::Ready(Some(Ok(Frame::data(first)))))
    }
}

#[tokio::test]
async fn stalled_uploads_give_their_places_to_others() {
    let rig = Rig::with(|config| config.upload_patience = Duration::from_millis(100));
    let site = rig.site("shop.example").await;
    for with_key in [false, true] {
        let call = |name: &str| {
            let call = rig.call("POST", &format!("/api/v1/sites/{site}/import")).owner();
            if with_key { call.header("idempotency-key", name) } else { call }
        };
        let stalled = async |name: &str| {
            let beginning = format!("{}\n{{\"event\":", line(0));
            let body = Body::new(Stalled(Some(beginning.into())));
            let response = rig.router().oneshot(call(name).request().map(|_| body)).await.unwrap();
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice::<serde_json::Value>(&body).unwrap())
        };
        let good = call("good").body(line(1)).send();
        let all = async { tokio::join!(stalled("one"), stalled("two"), stalled("three"), good) };
        let limit = Duration::from_secs(30);
        let (one, two, three, good) = tokio::time::timeout(limit, all).await.expect("no place");
        for (status, told) in [one, two, three] {
            assert_eq!((status, &told["error"]["code"]), (408, &json!("too_slow")), "{told}");
            let message = told["error"]["message"].as_str().unwrap();
            assert!(message.contains("slower than 65536 bytes a second"), "{message}");
        }
        assert_eq!(good.ok(200)["accepted"], 1);
    }
}
