//! Other products' formats over real sockets: the same outcomes, bounds and answers as `POST /e`.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_model::{CrossSiteCookies, Identification, Outcome, PixelKind, Policy};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::running::{NOW_MS, Running, SHOP, Site, until};

const SERVER: Site = Site {
    domain: "shop.example",
    policy: Policy::OptOut,
    cross_site_cookies: CrossSiteCookies::None,
    kind: PixelKind::Server,
};
const WEB: Site = Site { kind: PixelKind::Web, ..SERVER };

fn basic(key: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{key}:")))
}

fn send(client: &mut Client, path: &str, key: &str, body: &Value) -> Answer {
    let headers = [("Authorization", &*basic(key)), ("Content-Type", "application/json")];
    client.request("POST", path, &headers, body.to_string().as_bytes())
}

fn track(event: &str) -> Value {
    json!({"anonymousId": "a-1", "userId": "u-1", "event": event, "type": "track"})
}

#[test]
fn a_message_is_answered_as_segments_libraries_expect() {
    let running = Running::start();
    let key = running.site(&SERVER);
    let mut client = running.client();
    let mut message = track("Order Completed");
    message["messageId"] = "m-1".into();
    message["properties"] = json!({"order_id": "o", "revenue": 12.5});
    let answer = send(&mut client, "/v1/track", &key, &message);
    assert_eq!((answer.status, answer.outcome()), (200, "accepted"));
    let report = json!({"success": true, "accepted": 1, "duplicate": 0, "rejected": []});
    assert_eq!(answer.json(), report);
    let event = running.last_event();
    assert_eq!((event.name.as_ref(), event.value_minor), ("purchase", Some(1_250)));
    assert_eq!((event.user_id.as_ref(), event.event_id.as_ref()), ("u-1", "m-1"));
    running.wait_applied();
    let again = send(&mut client, "/v1/t", &key, &message);
    assert_eq!((again.status, again.outcome()), (200, "duplicate"));
    assert_eq!((&again.json()["success"], &again.json()["duplicate"]), (&json!(true), &json!(1)));
    running.assert_conserved();
}

#[test]
fn a_bad_message_is_named_and_spoils_no_sibling() {
    let running = Running::start();
    let key = running.site(&SERVER);
    let old = json!({"type": "track", "userId": "u", "event": "old", "timestamp": NOW_MS - 8 * 86_400_000});
    let ahead =
        json!({"type": "track", "userId": "u", "event": "x", "timestamp": NOW_MS + 6 * 60_000});
    let body =
        json!({"batch": [track("a"), {"type": "track", "userId": "u"}, old, ahead, track("b")]});
    let answer = send(&mut running.client(), "/v1/batch", &key, &body);
    assert_eq!((answer.status, answer.outcome()), (200, "mixed"));
    let report = answer.json();
    assert_eq!((&report["success"], &report["accepted"]), (&json!(false), &json!(2)));
    let rejected: Vec<_> = report["rejected"].as_array().unwrap().iter().collect();
    let reasons = rejected.iter().map(|one| (&one["index"], &one["reason"], &one["field"]));
    let reasons: Vec<String> =
        reasons.map(|(at, reason, field)| format!("{at} {reason} {field}")).collect();
    assert_eq!(
        reasons,
        [
            r#"1 "rejected:malformed" "event""#,
            r#"2 "rejected:too_old" "timestamp""#,
            r#"3 "rejected:in_future" "timestamp""#,
        ]
    );
    assert_eq!(running.assert_conserved().received, 5);
}

#[test]
fn broken_requests_have_the_status_and_outcome_of_any_hit() {
    let running = Running::start();
    let key = running.site(&SERVER);
    let authorized = basic(&key);
    let message = track("e").to_string();
    let batch = json!({"batch": [track("a"), track("b")]}).to_string();
    let unknown = basic("nobody");
    let large =
        format!(r#"{{"userId":"u","event":"e","properties":{{"a":"{}"}}}}"#, "x".repeat(600_000));
    let json_type = ("Content-Type", "application/json");
    for (path, headers, body, status, outcome, field) in [
        ("/v1/track", vec![("Authorization", &*authorized)], "{", 400, "rejected:malformed", ""),
        ("/v1/track", vec![], message.as_str(), 400, "rejected:malformed", "writeKey"),
        (
            "/v1/track",
            vec![("Authorization", "Basic %%%")],
            &message,
            400,
            "rejected:malformed",
            "writeKey",
        ),
        (
            "/v1/track",
            vec![("Authorization", "Bearer abc")],
            &message,
            400,
            "rejected:malformed",
            "writeKey",
        ),
        (
            "/v1/batch",
            vec![("Authorization", &*unknown)],
            &batch,
            404,
            "rejected:unknown_key",
            "key",
        ),
        (
            "/v1/batch",
            vec![("Authorization", &*authorized)],
            r#"{"batch":[]}"#,
            400,
            "rejected:malformed",
            "batch",
        ),
        (
            "/v1/track",
            vec![("Authorization", &*authorized), ("Content-Type", "image/png")],
            &message,
            415,
            "rejected:malformed",
            "Content-Type",
        ),
        (
            "/v1/track",
            vec![("Authorization", &*authorized), ("Content-Encoding", "br")],
            &message,
            415,
            "rejected:malformed",
            "Content-Encoding",
        ),
        (
            "/v1/track",
            vec![("Authorization", &*authorized), ("Content-Encoding", "gzip")],
            &message,
            400,
            "rejected:malformed",
            "",
        ),
        (
            "/v1/track",
            vec![("Authorization", &*authorized), json_type],
            &large,
            413,
            "rejected:too_large",
            "",
        ),
    ] {
        // A body that was not read to its end takes its connection along.
        let answer = running.client().request("POST", path, &headers, body.as_bytes());
        let about = format!("{path} {headers:?} {}", &body[..body.len().min(40)]);
        assert_eq!((answer.status, answer.outcome()), (status, outcome), "{about}");
        assert_eq!(answer.json()["error"]["field"].as_str().unwrap_or(""), field, "{about}");
    }
    let mut client = running.client();
    let wrong = client.request("PUT", "/v1/track", &[], b"");
    assert_eq!((wrong.status, wrong.header("allow")), (405, "POST, OPTIONS"));
    assert_eq!(client.get("/v1/track", &[]).status, 405);
    assert_eq!(client.get("/v1/nothing", &[]).status, 404);
    assert!(running.events().is_empty());
    assert_eq!(running.assert_conserved().received, 11, "the unknown key brought two events");
}

#[test]
fn a_servers_secret_is_refused_in_browsers_and_addresses() {
    let running = Running::start();
    let key = running.site(&SERVER);
    let mut client = running.client();
    let (authorized, body) = (basic(&key), track("e").to_string());
    let origin = [("Authorization", &*authorized), ("Origin", "https://shop.example")];
    let answer = client.request("POST", "/v1/track", &origin, body.as_bytes());
    assert_eq!((answer.status, answer.outcome()), (200, "rejected:origin"));
    let path = format!("/beacon/v1/batch?writeKey={key}");
    let batch = json!({"batch": [track("e")]}).to_string();
    let answer = client.request("POST", &path, &[], batch.as_bytes());
    assert_eq!((answer.status, answer.outcome()), (200, "rejected:origin"));
    assert!(running.events().is_empty());
    let web = running.site(&Site { domain: "web.example", ..WEB });
    let path = format!("/beacon/v1/batch?writeKey={web}");
    assert_eq!(client.request("POST", &path, &[], batch.as_bytes()).outcome(), "accepted");
    running.assert_conserved();
}

#[test]
fn browsers_are_let_through_and_get_no_cookie() {
    let running = Running::start();
    let key = running.site(&WEB);
    let mut client = running.client();
    let asked = [
        ("Origin", "https://shop.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "anonymousid,authorization,content-type,sentat"),
    ];
    let answer = client.request("OPTIONS", "/v1/t", &asked, b"");
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example");
    let allowed = answer.header("access-control-allow-headers").to_lowercase();
    for name in ["authorization", "content-type", "x-retry-count", "anonymousid", "sentat"] {
        assert!(allowed.split(", ").any(|known| known == name), "{name}");
    }
    let authorized = basic(&key);
    let headers = [
        ("Authorization", &*authorized),
        ("Content-Type", "text/plain"),
        ("Origin", "https://shop.example"),
    ];
    let body = track("Signed Up").to_string();
    let answer = client.request("POST", "/v1/t", &headers, body.as_bytes());
    assert_eq!((answer.outcome(), answer.header("set-cookie")), ("accepted", ""));
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example");
    let event = running.last_event();
    assert_eq!(
        (event.name.as_ref(), event.identification),
        ("sign_up", Identification::Identified)
    );
    let gpc =
        [headers.as_slice(), &[("Sec-GPC", "1"), ("Cookie", "cairn_consent=v1.analytics=0.t=1")]]
            .concat();
    client.request("POST", "/v1/t", &gpc, body.as_bytes());
    assert_eq!(running.last_event().identification, Identification::Anonymous, "a no on record");
    let foreign = [("Authorization", &*authorized), ("Origin", "https://evil.example")];
    let answer = client.request("POST", "/v1/t", &foreign, body.as_bytes());
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(running.last_event().identification, Identification::Anonymous);
}

#[test]
fn libraries_learn_where_to_send() {
    let running = Running::start();
    let mut client = running.client();
    let proxied = [("X-Forwarded-Proto", "https"), ("Origin", "https://shop.example")];
    let answer = client.get("/v1/projects/px_k/settings", &proxied);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "*"));
    let own = &answer.json()["integrations"]["Segment.io"];
    assert_eq!((&own["apiHost"], &own["protocol"]), (&json!("collect.test/v1"), &json!("https")));
    assert_eq!(answer.outcome(), "", "no hit");
    let answer = client.get("/sourceConfig/?p=npm&writeKey=px_k", &[]);
    assert_eq!(answer.json()["source"]["writeKey"], "px_k");
    assert_eq!(client.request("OPTIONS", "/sourceConfig/", &proxied, b"").status, 204);
    assert_eq!(running.assert_conserved().received, 0);
}

#[test]
fn a_long_batch_is_taken_in_parts_and_whole() {
    let running = Running::start();
    let key = running.site(&SERVER);
    let many: Vec<Value> = (0..1_000)
        .map(|number| {
            let mut message = track("e");
            message["messageId"] = number.to_string().into();
            message["properties"] = json!({"text": "x".repeat(300)});
            message
        })
        .collect();
    let body = json!({"batch": many}).to_string();
    assert!(body.len() > 256 * 1024);
    let authorized = basic(&key);
    let answer = running.client().request(
        "POST",
        "/v1/batch",
        &[("Authorization", &*authorized)],
        body.as_bytes(),
    );
    assert_eq!((answer.outcome(), &answer.json()["accepted"]), ("accepted", &json!(1_000)));
    let ids: Vec<_> = running.events().into_iter().map(|event| event.event_id).collect();
    assert!(ids.iter().enumerate().all(|(at, id)| *id == at.to_string()), "in their order");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(body.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let headers = [("Authorization", &*authorized), ("Content-Encoding", "gzip")];
    running.wait_applied();
    let again = running.client().request("POST", "/v1/batch", &headers, &packed);
    assert_eq!((again.outcome(), &again.json()["duplicate"]), ("duplicate", &json!(1_000)));
    running.assert_conserved();
}

#[test]
fn senders_that_leave_lose_no_count() {
    let running = Running::start();
    let key = running.site(&SERVER);
    let body = json!({"batch": vec![track("e"); 500], "writeKey": key}).to_string();
    for _ in 0..20 {
        let head =
            format!("POST /v1/batch HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        running.client().send(head.as_bytes()).send(body.as_bytes());
    }
    until("everything is settled", || {
        let totals = running.app.counters.totals();
        totals.received == totals.outcomes.iter().sum::<u64>() && totals.received > 0
    });
    let last = send(&mut running.client(), "/v1/track", &key, &track("last"));
    assert_eq!(last.outcome(), "accepted");
}

#[test]
fn limits_and_a_closed_log_are_answered_as_for_any_hit() {
    let running = Running::with(|options| options.rate_limit.hits_per_minute_max = 3);
    let key = running.site(&SHOP);
    let mut client = running.client();
    let (authorized, body) = (basic(&key), track("e").to_string());
    let headers = [("Authorization", &*authorized), ("X-Forwarded-For", "203.0.113.9")];
    for wanted in ["accepted", "accepted", "accepted", "rejected:rate_limited"] {
        let answer = client.request("POST", "/v1/track", &headers, body.as_bytes());
        assert_eq!(answer.outcome(), wanted);
        assert_eq!(answer.header("retry-after").is_empty(), wanted == "accepted");
    }
    running.app.log.close();
    let batch = json!({"batch": vec![track("e"); 250]});
    let answer = send(&mut client, "/v1/batch", &key, &batch);
    assert_eq!((answer.status, answer.outcome()), (503, "unavailable:log_full"));
    assert_eq!(running.count(Outcome::UnavailableLogFull), 250);
    let totals = running.app.counters.totals();
    assert_eq!(totals.received, totals.outcomes.iter().sum::<u64>());
}
