//! Slow, flooding, leaving and too many clients; a log that takes nothing; the end of the server.

use std::time::Duration;

use cairn_model::Outcome;
use serde_json::json;

use crate::running::{Running, SHOP, until};

/// Short enough to wait for, long enough for a request that is not slow.
fn impatient() -> Running {
    Running::with(|options| {
        options.tick = Duration::from_millis(100);
        options.request_time_max = Duration::from_millis(1_000);
    })
}

#[test]
fn slow_clients_are_told_and_nobody_else_waits() {
    let running = impatient();
    let key = running.site(&SHOP);
    let (mut head, mut body) = (running.client(), running.client());
    head.send(b"GET /p.gif?key=");
    body.send(b"POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n{\"key\"");
    let quick = running.client().get(&format!("/p.gif?key={key}"), &[]);
    assert_eq!(quick.outcome(), "accepted");
    for client in [&mut head, &mut body] {
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.outcome()), (408, "rejected:malformed"));
        assert!(answer.message().contains("too long") && client.ends());
    }
    until("both are counted", || running.count(Outcome::RejectedMalformed) == 2);
    running.assert_conserved();
}

#[test]
fn idle_connections_end_without_an_outcome() {
    let running = Running::with(|options| {
        options.tick = Duration::from_millis(50);
        options.idle_time_max = Duration::from_millis(300);
    });
    let key = running.site(&SHOP);
    let mut client = running.client();
    assert_eq!(client.get(&format!("/p.gif?key={key}"), &[]).outcome(), "accepted");
    assert!(client.ends());
    assert_eq!(running.assert_conserved().received, 1);
}

#[test]
fn floods_of_headers_are_refused_with_an_outcome() {
    let running = Running::start();
    let flood: String = (0..200).map(|number| format!("X-{number}: a\r\n")).collect();
    let wide = format!("X-Wide: {}\r\n", "a".repeat(300_000));
    for headers in [&flood, &wide] {
        let mut client = running.client();
        client.send(format!("POST /e HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes());
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.outcome()), (431, "rejected:too_large"));
        assert_eq!(answer.json()["error"]["code"], "head_too_large");
    }
    let mut client = running.client();
    client.send(b"\x16\x03\x01\x02\x00\x01\x00 no HTTP\r\n\r\n");
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.outcome()), (400, "rejected:malformed"));
    let unreadable =
        ["GET /p.gif?key=<b> HTTP/1.1\r\n\r\n".as_bytes(), b"GET /p.gif?key=\xff HTTP/1.1\r\n\r\n"];
    let flooded = format!("GET /p.gif HTTP/1.1\r\nHost: a\r\n{flood}\r\n");
    for (bytes, outcome) in [
        (unreadable[0], "rejected:malformed"),
        (unreadable[1], "rejected:malformed"),
        (flooded.as_bytes(), "rejected:too_large"),
    ] {
        let mut client = running.client();
        let answer = client.send(bytes).answer(false);
        assert_eq!((answer.status, answer.outcome()), (200, outcome), "the image, always");
        assert_eq!(answer.body.len(), 43);
    }
    until("all are counted", || running.app.counters.totals().received == 6);
    running.assert_conserved();
}

#[test]
fn connections_over_the_limit_are_told_so() {
    let running = Running::with(|options| options.connections_max = 2);
    let key = running.site(&SHOP);
    let target = format!("/p.gif?key={key}");
    let (mut one, mut two) = (running.client(), running.client());
    assert_eq!(one.get(&target, &[]).outcome(), "accepted");
    assert_eq!(two.get(&target, &[]).outcome(), "accepted");
    let answer = running.client().get(&target, &[]);
    assert_eq!((answer.status, answer.outcome()), (200, "unavailable:overloaded"));
    let answer = running.client().post(&[], b"{}");
    assert_eq!((answer.status, answer.outcome()), (503, "unavailable:overloaded"));
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(one.get(&target, &[]).outcome(), "accepted", "those inside stay");
    drop((one, two));
    until("there is room again", || running.client().get(&target, &[]).outcome() == "accepted");
    running.assert_conserved();
}

#[test]
fn one_place_may_not_send_without_end() {
    let running = Running::with(|options| {
        options.rate_limit.hits_per_minute_max = 5;
    });
    let key = running.site(&SHOP);
    let mut client = running.client();
    let target = format!("/p.gif?key={key}");
    let from = |address: &'static str| [("X-Forwarded-For", address)];
    let mut allowed = 0;
    for _ in 0..20 {
        let answer = client.get(&target, &from("203.0.113.9"));
        allowed += usize::from(answer.outcome() == "accepted");
    }
    assert!((5..=6).contains(&allowed), "{allowed}");
    let body = json!({"key": key, "events": [{"event": "a"}]}).to_string();
    let answer = client.post(&from("203.0.113.9"), body.as_bytes());
    assert_eq!((answer.status, answer.outcome()), (429, "rejected:rate_limited"));
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(client.get(&target, &from("203.0.113.10")).outcome(), "accepted");
    running.assert_conserved();
}

#[test]
fn a_log_that_takes_nothing_is_said_and_the_image_still_sent() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    assert_eq!(client.get(&format!("/p.gif?key={key}"), &[]).outcome(), "accepted");
    running.app.log.close();
    let image = client.get(&format!("/p.gif?key={key}"), &[]);
    assert_eq!((image.status, image.outcome()), (200, "unavailable:log_full"));
    assert_eq!(image.body.len(), 43);
    let body = json!({"key": key, "events": [{"event": "a"}, {"event": "b"}]}).to_string();
    let answer = client.post(&[], body.as_bytes());
    assert_eq!((answer.status, answer.outcome()), (503, "unavailable:log_full"));
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(running.count(Outcome::UnavailableLogFull), 3);
    running.assert_conserved();
}

#[test]
fn clients_that_leave_lose_no_count() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let requests = 200;
    for _ in 0..requests {
        // Gone before any answer can come.
        running
            .client()
            .send(format!("GET /p.gif?key={key} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    }
    // A request whose client is gone before it is read may never come in; those that did are settled.
    until("everything is settled", || {
        let totals = running.app.counters.totals();
        totals.received == totals.outcomes.iter().sum::<u64>() && totals.received > 0
    });
    let last = running.client().get(&format!("/p.gif?key={key}"), &[]);
    assert_eq!(last.outcome(), "accepted");
}

#[test]
fn stopping_lets_requests_finish_and_ends_idle_connections() {
    let mut running = Running::start();
    let key = running.site(&SHOP);
    let mut idle = running.client();
    assert_eq!(idle.get(&format!("/p.gif?key={key}"), &[]).outcome(), "accepted");
    running.stop_listening();
    assert!(idle.ends());
    running.assert_conserved();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    let one = format!("GET /p.gif?key={key} HTTP/1.1\r\nHost: a\r\n\r\n");
    let other = "GET /p.gif?key=nobody HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(format!("{one}{other}{one}").as_bytes());
    let outcomes: Vec<String> = (0..3).map(|_| client.answer(false).outcome().to_owned()).collect();
    assert_eq!(outcomes, ["accepted", "rejected:unknown_key", "accepted"]);
}
