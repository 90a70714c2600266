//! Good and bad input: each has its outcome, and costs nobody else an event.

use std::io::Write;

use cairn_model::{Outcome, PixelKind};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::client::Client;
use crate::running::{NOW_MS, Running, SHOP, Site, until};

fn body(key: &str, events: &Value) -> Vec<u8> {
    json!({"key": key, "events": events}).to_string().into_bytes()
}

#[test]
fn an_image_is_acknowledged_after_it_is_in_the_log() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    let target = format!(
        "/p.gif?key={key}&event=purchase&value=59.90&currency=EUR&order_id=7&title=a+b&props[plan]=pro&screen=1440x900"
    );
    let answer = client.get(&target, &[("Referer", "https://shop.example/p?utm_source=mail&x=1")]);
    assert_eq!((answer.status, answer.outcome()), (200, "accepted"));
    assert_eq!((answer.body.len(), &answer.body[..6]), (43, &b"GIF89a"[..]));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "image/gif");
    assert_eq!(answer.header("cross-origin-resource-policy"), "cross-origin");
    let event = running.last_event();
    assert_eq!((event.name.as_ref(), event.value_minor), ("purchase", Some(5_990)));
    assert_eq!((event.hostname.as_ref(), event.path.as_ref()), ("shop.example", "/p"));
    assert_eq!((event.query.as_ref(), event.title.as_ref()), ("utm_source=mail", "a b"));
    assert_eq!((event.props.as_ref(), event.received_at_ms), (r#"{"plan":"pro"}"#, NOW_MS));
    let head = client.request("HEAD", &target, &[], b"");
    assert_eq!((head.status, head.header("content-length")), (200, "43"));
    assert_eq!((head.outcome(), head.header("content-type")), ("", "image/gif"));
    assert_eq!(running.assert_conserved().received, 1, "a HEAD is no hit");
}

#[test]
fn a_bad_event_does_not_spoil_its_siblings() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let events = json!([
        {"event": "page_view", "event_id": "a"},
        {"event": "page_view", "foo": 1},
        {"event": "page_view", "event_id": "a"},
        {"event": "page_view", "timestamp": NOW_MS - 8 * 24 * 60 * 60 * 1000_i64},
        {"event": "page_view", "timestamp": NOW_MS + 6 * 60 * 1000},
        7,
        {"event": "sign_up"},
    ]);
    let answer = running.client().post(&[], &body(&key, &events));
    assert_eq!((answer.status, answer.outcome()), (202, "mixed"));
    let report = answer.json();
    assert_eq!((&report["accepted"], &report["duplicate"]), (&json!(2), &json!(1)));
    let reasons: Vec<_> = report["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rejected| {
            (rejected["index"].as_u64().unwrap(), rejected["reason"].as_str().unwrap().to_owned())
        })
        .collect();
    let wanted = [
        (1, "rejected:unknown_field"),
        (3, "rejected:too_old"),
        (4, "rejected:in_future"),
        (5, "rejected:malformed"),
    ];
    assert_eq!(reasons, wanted.map(|(index, reason)| (index, reason.to_owned())));
    assert_eq!(report["rejected"][0]["field"], "foo");
    let names: Vec<_> = running.events().into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["page_view", "sign_up"]);
    running.assert_conserved();
}

#[test]
fn a_repetition_is_known_once_it_is_stored() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let body = body(&key, &json!([{"event": "page_view", "event_id": "a"}]));
    let first = running.client().post(&[], &body);
    assert_eq!(first.outcome(), "accepted");
    running.wait_applied();
    let second = running.client().post(&[], &body);
    assert_eq!((second.status, second.outcome()), (202, "duplicate"));
    assert_eq!((&second.json()["accepted"], &second.json()["duplicate"]), (&json!(0), &json!(1)));
    assert_eq!(running.events().len(), 1);
    running.assert_conserved();
}

#[test]
fn bodies_and_their_faults() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let good = body(&key, &json!([{"event": "page_view"}]));
    let zipped = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    };
    let bomb = zipped(&vec![b' '; 40 << 20]);
    assert!(bomb.len() < 64 * 1024);
    let big = vec![b' '; 64 * 1024 + 1];
    let many = body(&key, &json!(vec![json!({"event": "a"}); 101]));
    let none = body("px_nobody", &json!([{"event": "a"}, {"event": "b"}]));
    let gzip = ("Content-Encoding", "gzip");
    for (headers, bytes, status, outcome, part) in [
        (&[][..], &good[..], 202, "accepted", ""),
        (&[("Content-Type", "application/json")], &good, 202, "accepted", ""),
        (&[("Content-Type", "text/plain;charset=UTF-8")], &good, 202, "accepted", ""),
        (&[gzip], &zipped(&good), 202, "accepted", ""),
        (&[("Content-Type", "image/png")], &good, 415, "rejected:malformed", "application/json"),
        (&[("Content-Encoding", "br")], &good, 415, "rejected:malformed", "gzip"),
        (&[gzip], &good, 400, "rejected:malformed", "gzip"),
        (&[gzip], &bomb, 413, "rejected:too_large", "64 KiB"),
        (&[], &big, 413, "rejected:too_large", "64 KiB"),
        (&[], &many, 413, "rejected:too_large", "100 events"),
        (&[], &none, 404, "rejected:unknown_key", "key"),
        (&[], b"{\"key\": \"a\"\n,,}", 400, "rejected:malformed", "line 2, column 2"),
        (&[], b"{\"key\": \"\xff\"}", 400, "rejected:malformed", "UTF-8 at line 1, column 10"),
        (&[], b"", 400, "rejected:malformed", "line 1"),
        (&[], b"[]", 400, "rejected:malformed", "object"),
    ] {
        let answer = running.client().post(headers, bytes);
        assert_eq!((answer.status, answer.outcome()), (status, outcome), "{part}");
        if status != 202 {
            let error = answer.json();
            let message = error["error"]["message"].as_str().unwrap();
            assert!(message.contains(part), "{message}");
            assert!(!error["error"]["code"].as_str().unwrap().is_empty());
        }
    }
    assert_eq!(running.count(Outcome::RejectedUnknownKey), 2, "each of its events");
    running.assert_conserved();
}

#[test]
fn images_and_their_faults() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let long = "x".repeat(100_000);
    let mut client = running.client();
    for (query, outcome, reason) in [
        (String::new(), "rejected:malformed", "key: missing"),
        ("key=px_nobody".to_owned(), "rejected:unknown_key", "key: no pixel has this key"),
        (format!("key={key}&foo=1"), "rejected:unknown_field", "foo: no such parameter"),
        (format!("key={key}&title=%FF"), "rejected:malformed", "title: not UTF-8"),
        (format!("key={key}&timestamp=2026-02-30T00:00:00Z"), "rejected:malformed", "timestamp:"),
        (format!("key={key}&value=-1&currency=EUR"), "rejected:malformed", "value: negative"),
        (format!("key={key}&event_id={}", "x".repeat(300)), "rejected:too_large", "event_id:"),
        (format!("key={key}&url=https://shop.example/{long}"), "accepted", ""),
        (format!("url=https://shop.example/{long}&key={key}&title=T"), "accepted", ""),
        (format!("key={key}&event=%00%01"), "accepted", ""),
    ] {
        let answer = client.get(&format!("/p.gif?{query}"), &[]);
        assert_eq!((answer.status, answer.body.len()), (200, 43), "always the image");
        assert_eq!(answer.outcome(), outcome, "{reason}");
        assert!(answer.header("cairn-reason").starts_with(reason), "{:?}", answer.headers);
    }
    let long = running.events().into_iter().find(|event| event.title == "T").unwrap();
    assert!(long.truncated && long.path.len() > 2_000 && long.path.len() <= 2_048);
    running.assert_conserved();
}

#[test]
fn methods() {
    let running = Running::start();
    let mut client = running.client();
    for (method, target, status) in [
        ("PUT", "/e", 405),
        ("GET", "/e", 405),
        ("DELETE", "/p.gif", 405),
        ("GET", "/healthz", 200),
    ] {
        let answer = client.request(method, target, &[], b"");
        assert_eq!(answer.status, status, "{method} {target}");
        if status == 405 {
            assert!(!answer.header("allow").is_empty());
        }
    }
}

#[test]
fn server_keys_are_secrets() {
    let running = Running::start();
    let key = running.site(&Site { kind: PixelKind::Server, ..SHOP });
    let events =
        json!([{"event": "sign_up", "context": {"ip": "198.51.100.1", "user_agent": "x"}}]);
    let body = body(&key, &events);
    let answer = running.client().post(&[("User-Agent", "python/3")], &body);
    assert_eq!((answer.status, answer.outcome()), (202, "accepted"));
    assert_eq!(running.last_event().bot, "");
    let answer = running.client().post(&[("Origin", "https://shop.example")], &body);
    assert_eq!((answer.status, answer.outcome()), (202, "rejected:origin"));
    let image =
        running.client().get(&format!("/p.gif?key={key}"), &[("Origin", "https://a.example")]);
    assert_eq!((image.status, image.outcome()), (200, "rejected:origin"));
    let image = running.client().get(&format!("/p.gif?key={key}"), &[]);
    assert_eq!((image.status, image.outcome()), (200, "rejected:origin"));
    let reason = image.header("cairn-reason");
    assert!(reason.contains("server's secret and was sent in an address"), "{reason}");
    running.assert_conserved();
}

#[test]
fn an_unreadable_consent_string_is_told_and_counts_as_no() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let tcf = "CPXxRfAPXxRfAAfKABENB";
    let body = json!({"key": key, "events": [{"event": "a", "user_id": "u"}], "consent": tcf});
    let answer = running.client().post(&[], body.to_string().as_bytes());
    assert_eq!((answer.status, answer.outcome()), (202, "accepted"));
    let told = answer.json()["consent"].as_str().unwrap().to_owned();
    assert!(told.contains("counts as no"));
    assert_eq!(running.last_event().user_id, "");
    for query in [format!("consent={tcf}"), format!("gdpr_consent={tcf}")] {
        let image = running.client().get(&format!("/p.gif?key={key}&{query}"), &[]);
        assert_eq!((image.outcome(), image.header("cairn-reason")), ("accepted", &*told));
    }
    let image = running.client().get(&format!("/p.gif?key={key}&consent=analytics:granted"), &[]);
    assert_eq!((image.outcome(), image.header("cairn-reason")), ("accepted", ""));
}

/// The strings of consent managers decide by what they say, in bodies and in addresses.
#[test]
fn consent_strings_permit_and_refuse() {
    let running = Running::start();
    let key = running.site(&SHOP);
    // Made with IAB Tech Lab's encoder on 2026-03-02: everything, nothing, legitimate interests only.
    let all = "CQgcD4AQgcD4AEsAHBENB4FsAP_gAEPgAAYgAKP__8AFH__-AAAA.IAKP__8A.YAAAAAAAAAAA";
    let none = "CQgcD4AQgcD4AEsAHBENB4FgAAAAAAAAAAYgAAAAAAAA.IAKP__8A.YAAAAAAAAAAA";
    let interests =
        "CQgcD4AQgcD4AEsAHBENB4FgAAAAAEPgAAYgAAALzgBQABAAMBeYAAAA.IF5wAoAAgAGAvMAA.YAAAAAAAAAAA";
    let kept = |consent: Value| {
        let event = json!({"event": "a", "user_id": "u", "url": "https://shop.example/?gclid=c"});
        let body = json!({"key": key, "events": [event], "consent": consent});
        let answer = running.client().post(&[], body.to_string().as_bytes());
        assert_eq!((answer.status, answer.outcome()), (202, "accepted"));
        assert_eq!(answer.json().get("consent"), None);
        let event = running.last_event();
        (event.user_id == "u", event.click_id == "c")
    };
    assert_eq!(kept(json!(all)), (true, true));
    assert_eq!(kept(json!({"tcf": all})), (true, true));
    assert_eq!(kept(json!({"tcf": all, "us_privacy": "1YYN"})), (true, false));
    assert_eq!(
        kept(json!({"tcf": all, "gpp": "DBABBg~BVVVVUCA.YA", "gpp_sid": [8]})),
        (true, false)
    );
    assert_eq!(
        kept(json!({"tcf": all, "gpp": "DBABBg~BVVVVUCA.YA", "gpp_sid": [7]})),
        (true, true)
    );
    assert_eq!(kept(json!({"tcf": all, "choice": "analytics:denied"})), (false, false));
    assert_eq!(kept(json!(none)), (false, false));
    assert_eq!(kept(json!(interests)), (false, false));
    let image = |query: &str| {
        let url = "https://shop.example/?gclid=c";
        let target = format!("/p.gif?key={key}&event=a&user_id=u&url={url}&{query}");
        assert_eq!(running.client().get(&target, &[]).outcome(), "accepted");
        let event = running.last_event();
        (event.user_id == "u", event.click_id == "c")
    };
    assert_eq!(image(&format!("gdpr=1&gdpr_consent={all}")), (true, true));
    assert_eq!(
        image(&format!("gdpr_consent={all}&gpp=DBABBg~BVVVVUCA.YA&gpp_sid=8")),
        (true, false)
    );
    assert_eq!(image(&format!("consent=analytics:granted&gdpr_consent={none}")), (false, false));
    assert_eq!(image("gdpr=1"), (false, false));
    assert_eq!(image("consent=analytics:granted&gdpr=1"), (true, false));
    let unfilled = "gdpr=${GDPR}&gdpr_consent=${GDPR_CONSENT_0}&gpp=&us_privacy=1---";
    assert_eq!(image(&format!("consent=analytics:granted&{unfilled}")), (true, false));
}

/// Requests of every sort, none of which may be lost from the counts.
#[test]
fn random_garbage_is_conserved() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut runner =
        TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let target = "[ -~]{0,60}".prop_map(|text| text.replace([' ', '\n', '#'], "+"));
    let event = prop_oneof![
        Just(json!({"event": "a"})),
        Just(json!({"event": "a", "event_id": "1"})),
        Just(json!({"event": "a", "x": 1})),
        Just(json!({"event": "refund"})),
        Just(json!([])),
    ];
    let events = proptest::collection::vec(event, 0..6);
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    runner
        .run(&(target, events, bytes, any::<bool>()), |(target, events, bytes, known)| {
            let key = if known { key.as_str() } else { "nobody" };
            let image = running.client().get(&format!("/p.gif?key={key}&{target}"), &[]);
            prop_assert_eq!((image.status, image.body.len()), (200, 43));
            let mut client = running.client();
            let answer = client.post(&[], &body(key, &json!(events)));
            prop_assert!([202, 400, 404].contains(&answer.status), "{}", answer.status);
            let answer = client.post(&[], &bytes);
            prop_assert_eq!(answer.status, 400);
            let mut raw: Client = running.client();
            raw.send(&bytes).finish();
            prop_assert!(raw.ends());
            Ok(())
        })
        .unwrap();
    // Connections that ended without an answer are counted when their end is seen.
    until("nothing is open", || {
        let totals = running.app.counters.totals();
        totals.received == totals.outcomes.iter().sum::<u64>()
    });
    let totals = running.assert_conserved();
    assert!(totals.received > 600, "{totals:?}");
    println!("{totals:?}");
}
