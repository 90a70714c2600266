//! Everything that a broken or hostile client may send, while an honest one sends events.
//!
//! Each bad request has its named outcome and an error that says what is wrong; none of them ends in a 500 or a panic or
//! costs the honest client an event; and the counts of the outcomes grow by exactly what was sent.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, Response};
use crate::server::{AGENT, Server};

/// Longest wait for a condition.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Outcomes by name.
type Outcomes = BTreeMap<String, u64>;

/// The server, its pixel, and what the metrics must have counted.
struct Trial<'s> {
    server: &'s Server,
    key: String,
    expected: Outcomes,
    /// What was not answered as it should be.
    faults: Vec<String>,
}

/// What a request must lead to: status, outcome, and words of the error.
type Verdict = (u16, &'static str, &'static str);

impl Trial<'_> {
    fn hold(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }

    /// Status, outcome, and an error that says what is wrong.
    fn check(&mut self, what: &str, answer: &Response, (status, outcome, says): Verdict) {
        let text = answer.text();
        let has_code = serde_json::from_str::<Value>(&text)
            .is_ok_and(|body| body["error"]["code"].as_str().is_some_and(|code| !code.is_empty()));
        let as_told = (answer.status, answer.outcome()) == (status, outcome);
        let holds = as_told && has_code && text.contains(says);
        self.hold(holds, || {
            let (status, outcome) = (answer.status, answer.outcome());
            format!("{what}: {status} {outcome} {text}; should say {says:?}")
        });
    }

    fn expect(&mut self, outcome: &str, events: u64) {
        *self.expected.entry(outcome.to_owned()).or_default() += events;
    }

    /// Sends a body to `/e` and holds the answer to its verdict; it counts for this many events.
    fn body(&mut self, what: &str, body: &[u8], headers: &[(&str, &str)], verdict: Verdict) {
        let answer = self.server.client().send("POST", "/e", headers, body).unwrap();
        self.check(what, &answer, verdict);
        self.expect(verdict.1, 1);
    }

    /// One bad event in a sound body: the answer names its field.
    fn event(&mut self, field: &str, event: &Value, outcome: &'static str) {
        let body = json!({"key": self.key, "events": [event]}).to_string();
        let answer = self.server.client().send("POST", "/e", &[], body.as_bytes()).unwrap();
        let rejected = &answer.json()["rejected"][0];
        let text = |name: &str| rejected[name].as_str().unwrap_or("").to_owned();
        let holds = (answer.status, answer.outcome()) == (202, outcome)
            && text("field") == field
            && !text("message").is_empty();
        self.hold(holds, || format!("{event}: {}, not {outcome} on {field:?}", answer.text()));
        self.expect(outcome, 1);
    }

    /// An image request: the image, with the outcome and the reason in the headers.
    fn image(&mut self, query: &str, outcome: &'static str, says: &str) {
        let path = format!("/p.gif?{query}");
        let answer = self.server.client().send("GET", &path, &[("user-agent", AGENT)], b"");
        let answer = answer.unwrap();
        let reason = answer.header("cairn-reason").unwrap_or("");
        let found = (answer.status, answer.body.len(), answer.outcome());
        let holds = found == (200, 43, outcome) && reason.contains(says);
        self.hold(holds, || {
            format!("{}: {found:?} {reason:?}, not {outcome}", &query[..query.len().min(80)])
        });
        self.expect(outcome, 1);
    }

    /// Bytes that may not be HTTP at all.
    fn bytes(&mut self, what: &str, bytes: &[u8], verdict: Verdict) {
        let mut client = self.server.client();
        // The server may answer and close before all is sent.
        let _ = client.send_bytes(bytes);
        let answer = client.read_answer(None).unwrap_or_else(|error| panic!("{what}: {error}"));
        self.check(what, &answer, verdict);
        self.expect(verdict.1, 1);
    }
}

/// A page view that is in order.
fn sound(id: &str) -> Value {
    json!({"event": "page_view", "event_id": id, "url": "https://bad.test/sound"})
}

fn with(field: &str, value: Value) -> Value {
    let mut event = json!({"event": "purchase", "url": "https://bad.test/"});
    event[field] = value;
    event
}

// --- the honest client ----------------------------------------------------------------------------------------------

/// Sends events one after the other until told to stop; each must be accepted.
fn honest(server: &Server, key: &str, stop: &AtomicBool, sent: &AtomicU64) {
    let mut client = server.client();
    while !stop.load(Ordering::Relaxed) {
        let number = sent.load(Ordering::Relaxed);
        let answer = if number.is_multiple_of(2) {
            let url = format!("https%3A%2F%2Fbad.test%2Fhonest%2F{}", number % 5);
            let path = format!("/p.gif?key={key}&event_id=honest-{number}&url={url}");
            client.send("GET", &path, &[("user-agent", AGENT)], b"").unwrap()
        } else {
            let body = json!({"key": key, "events": [sound(&format!("honest-{number}"))]});
            let headers = [("user-agent", AGENT)];
            client.send("POST", "/e", &headers, body.to_string().as_bytes()).unwrap()
        };
        assert_eq!(answer.outcome(), "accepted", "an honest event was refused: {}", answer.text());
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

// --- the bad ones ---------------------------------------------------------------------------------------------------

fn bad_envelopes(trial: &mut Trial<'_>) {
    let key = trial.key.clone();
    let good = sound("never");
    let body = |value: &Value| value.to_string().into_bytes();
    let unknown = body(&json!({"key": "nobody-has-it", "events": [good]}));
    trial.body("unknown key", &unknown, &[], (404, "rejected:unknown_key", "key"));
    let colour = body(&json!({"key": key, "events": [good], "colour": 1}));
    trial.body("envelope field", &colour, &[], (400, "rejected:unknown_field", "colour"));
    let large = vec![b' '; 64 * 1024 + 1];
    trial.body("oversized body", &large, &[], (413, "rejected:too_large", "64 KiB"));
    let malformed = |says| (400, "rejected:malformed", says);
    trial.body("UTF-8", b"{\"key\":\n\"\xff\xfe\"}", &[], malformed("line 2, column 2"));
    trial.body("JSON", b"{\"key\": \"x\",\n\n  nonsense}", &[], malformed("line 3, column 3"));
    trial.body("cut JSON", b"{\"key\": \"x\", \"events\": [{", &[], malformed("line 1"));
    trial.body("nothing", b"", &[], malformed("JSON"));
    trial.body("a list", b"[]", &[], malformed("JSON object"));
    trial.body("NaN", br#"{"key":"x","events":[{"value":NaN}]}"#, &[], malformed("column"));
    let deep = [b"{\"key\":".as_slice(), &vec![b'['; 60_000]].concat();
    trial.body("open brackets", &deep, &[], malformed("column"));
    let twice = format!(r#"{{"key":"{key}","key":"{key}","events":[]}}"#);
    trial.body("a field twice", twice.as_bytes(), &[], malformed("twice"));
    let xml = [("content-type", "application/xml")];
    let media = |says| (415, "rejected:malformed", says);
    trial.body("content type", b"<a/>", &xml, media("application/json"));
    let brotli = [("content-encoding", "br")];
    trial.body("encoding", b"x", &brotli, media("gzip"));
    let gzip = [("content-encoding", "gzip")];
    trial.body("no gzip", b"not gzip at all", &gzip, malformed("gzip"));
    let bomb = bomb();
    assert!(bomb.len() < 64 * 1024, "the bomb itself is small: {} bytes", bomb.len());
    trial.body("gzip bomb", &bomb, &gzip, (413, "rejected:too_large", "64 KiB"));
    let many = body(&json!({"key": key, "events": vec![json!({"event": "x"}); 101]}));
    trial.body("101 events", &many, &[], (413, "rejected:too_large", "100 events"));
    // All of them came in, and all of them are counted.
    trial.expect("rejected:too_large", 100);
    let long = format!("https://bad.test/{}", "a".repeat(100_000));
    let long = body(&json!({"key": key, "events": [with("url", json!(long))]}));
    trial.body("100,000 characters", &long, &[], (413, "rejected:too_large", "64 KiB"));
}

/// Thirty megabytes of blanks in thirty kilobytes.
fn bomb() -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..30 {
        packer.write_all(&vec![b' '; 1_000_000]).unwrap();
    }
    packer.finish().unwrap()
}

fn bad_events(trial: &mut Trial<'_>) {
    trial.event("colour", &with("colour", json!("red")), "rejected:unknown_field");
    trial.event("visitor_id", &with("visitor_id", json!("v")), "rejected:unknown_field");
    let malformed = "rejected:malformed";
    trial.event("event", &json!({"url": "https://bad.test/"}), malformed);
    trial.event("", &json!("no object"), malformed);
    for date in [
        json!("2026-02-30T10:00:00Z"),
        json!("2026-13-01T10:00:00Z"),
        json!("2026-01-01T25:00:00Z"),
        json!("2026-01-01T10:00:00"),
        json!("yesterday"),
        json!(true),
        json!(1e300),
        json!("99999999999999999999999"),
    ] {
        trial.event("timestamp", &with("timestamp", date), malformed);
    }
    trial.event("timestamp", &with("timestamp", json!("1999-12-31T23:59:59Z")), "rejected:too_old");
    trial.event("timestamp", &with("timestamp", json!(-5)), "rejected:too_old");
    trial.event("timestamp", &with("timestamp", json!(i64::MAX)), "rejected:in_future");
    let priced = |value: Value| {
        let mut event = with("value", value);
        event["currency"] = json!("EUR");
        event
    };
    for value in [json!(-1), json!(1e300), json!("NaN"), json!("Infinity"), json!("1e999")] {
        trial.event("value", &priced(value), malformed);
    }
    trial.event("value", &priced(json!(1.005)), malformed);
    trial.event("currency", &with("value", json!(1)), malformed);
    for number in [json!(-1), json!("x"), json!(1e300)] {
        trial.event("engagement_ms", &with("engagement_ms", number), malformed);
    }
    for number in [json!(-1), json!(101), json!([])] {
        trial.event("scroll_percent", &with("scroll_percent", number), malformed);
    }
    trial.event("event_id", &with("event_id", json!("i".repeat(257))), "rejected:too_large");
    trial.event("url", &with("url", json!("no address")), malformed);
    let mut deep = json!(1);
    for _ in 0..60 {
        deep = json!([deep]);
    }
    trial.event("props.deep", &with("props", json!({"deep": deep})), malformed);
}

/// What is wrong, body, headers, verdict, and the events that it counts for.
type Case<'c> = (&'c str, &'c [u8], &'c [(&'c str, &'c str)], Verdict, u64);

/// Other products' formats are held to the same.
fn bad_messages(trial: &mut Trial<'_>) {
    let bomb = bomb();
    let deep = format!("{{\"batch\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let many = json!({"batch": vec![json!({}); 2_501], "writeKey": trial.key}).to_string();
    let gzip: &[(&str, &str)] = &[("content-encoding", "gzip")];
    let malformed = |says| (400, "rejected:malformed", says);
    let cases: [Case<'_>; 8] = [
        ("no JSON", b"{", &[], malformed("broken JSON"), 1),
        ("no UTF-8", b"{\"event\":\"\xff\"}", &[], malformed("broken UTF-8"), 1),
        ("no key", b"{\"batch\":[1,2]}", &[], malformed("writeKey"), 2),
        ("no batch", b"{\"batch\":{}}", &[], malformed("batch"), 1),
        ("no gzip", b"{}", gzip, malformed("gzip"), 1),
        ("a bomb", &bomb, gzip, (413, "rejected:too_large", "decompressed"), 1),
        ("too deep", deep.as_bytes(), &[], malformed("writeKey"), 1),
        ("too many", many.as_bytes(), &[], (413, "rejected:too_large", "2500"), 2_501),
    ];
    for (what, body, headers, verdict, events) in cases {
        let answer = trial.server.client().send("POST", "/v1/batch", headers, body).unwrap();
        trial.check(what, &answer, verdict);
        trial.expect(verdict.1, events);
    }
}

fn bad_images(trial: &mut Trial<'_>) {
    let key = trial.key.clone();
    let malformed = "rejected:malformed";
    trial.image("", malformed, "key");
    trial.image("key=nobody-has-it", "rejected:unknown_key", "key");
    trial.image("key=%ff%fe", malformed, "key");
    trial.image(&format!("key={key}&title=%ff"), malformed, "title");
    trial.image(&format!("key={key}&colour=red"), "rejected:unknown_field", "colour");
    trial.image(&format!("key={key}&timestamp=2026-02-30T10:00:00Z"), malformed, "timestamp");
    trial.image(&format!("key={key}&value=-1&currency=EUR"), malformed, "value");
    trial.image(&format!("key={key}&value=NaN&currency=EUR"), malformed, "value");
    trial.image(&format!("key={key}&url=a&url=b"), malformed, "url");
    let id = "i".repeat(257);
    trial.image(&format!("key={key}&event_id={id}"), "rejected:too_large", "event_id");
    // A page with a very long address was still seen; what is over the limit is cut off.
    let long = "a".repeat(100_000);
    trial.image(&format!("key={key}&url=https://bad.test/{long}&event=long"), "accepted", "");
}

fn bad_heads(trial: &mut Trial<'_>) {
    let key = trial.key.clone();
    let head = |line: &str, rest: &str| format!("{line}\r\nhost: localhost\r\n{rest}\r\n");
    let flood: String = (0..500).map(|number| format!("x-flood-{number}: 1\r\n")).collect();
    let flood = head("POST /e HTTP/1.1", &flood).into_bytes();
    trial.bytes("500 headers", &flood, (431, "rejected:too_large", "100 headers"));
    let wide = format!("x-wide: {}\r\n", "w".repeat(200 * 1024));
    let wide = head("POST /e HTTP/1.1", &wide).into_bytes();
    trial.bytes("a wide header", &wide, (431, "rejected:too_large", "128 KiB"));
    let malformed = (400, "rejected:malformed", "HTTP/1.1");
    trial.bytes("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 \r\n\r\n", malformed);
    trial.bytes("words", b"hello, is anybody there?\r\n\r\n", malformed);
    for (method, path) in [("PUT", "/e"), ("GET", "/e"), ("POST", "/p.gif"), ("DELETE", "/p.gif")] {
        let path = format!("{path}?key={key}");
        let answer = trial.server.client().send(method, &path, &[], b"").unwrap();
        let code = &answer.json()["error"]["code"];
        assert_eq!((answer.status, code), (405, &json!("method_not_allowed")), "{method} {path}");
        assert!(answer.header("allow").is_some(), "{method} {path}");
    }
}

/// Requests outside of collection: errors in the one shape, never a 500.
fn bad_questions(trial: &mut Trial<'_>, site: &str) {
    let server = trial.server;
    let bearer = format!("Bearer {}", crate::server::TOKEN);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let deep = "[".repeat(200_000);
    let import = format!("/api/v1/sites/{site}/import");
    for (path, body, status, says) in [
        ("/api/v2/query", "{\"metrics\":\n oops}", 400, "line 2"),
        ("/api/v2/query", deep.as_str(), 400, ""),
        (
            "/api/v2/query",
            "{\"site_id\": \"bad.test\", \"date_range\": \"all\", \"metrics\": 1}",
            400,
            "#/metrics",
        ),
        ("/api/v1/sites", "{\"name\": \"\\ud800\"}", 400, ""),
        (
            "/api/v1/sites",
            "{\"name\": \"a\", \"domain\": \"b.test\", \"colour\": 1}",
            400,
            "colour",
        ),
        ("/api/v1/sites/99999999999999999999/import", "", 404, ""),
    ] {
        let answer = server.client().send("POST", path, &headers, body.as_bytes()).unwrap();
        let text = answer.text();
        let holds = answer.status == status && text.contains(says) && text.contains("\"code\"");
        trial.hold(holds, || format!("{path}: {} {text}", answer.status));
    }
    let lines = b"{\"event\": \"x\", \"colour\": 1}\nnonsense\n\xff\n{\"event\": \"y\"}\n";
    let answer = server.client().send("POST", &import, &headers, lines).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(
        (&answer["accepted"], &answer["rejected_count"]),
        (&json!(1), &json!(3)),
        "{answer}"
    );
    for (index, (reason, field, says)) in [
        ("rejected:unknown_field", Some("colour"), "no such field"),
        ("rejected:malformed", None, "column"),
        ("rejected:malformed", None, "UTF-8"),
    ]
    .into_iter()
    .enumerate()
    {
        let rejected = &answer["rejected"][index];
        assert_eq!(rejected["line"], json!(index + 1), "{answer}");
        assert_eq!((&rejected["reason"], rejected["field"].as_str()), (&json!(reason), field));
        assert!(rejected["message"].as_str().unwrap().contains(says), "{answer}");
    }
    trial.expect("accepted", 1);
    trial.expect("rejected:unknown_field", 1);
    trial.expect("rejected:malformed", 2);
}

/// Clients that begin a request and never end it are cut off by the server's clock, the one that drips as well.
fn slow_clients(trial: &mut Trial<'_>) {
    const SILENT: usize = 40;
    let begun = Instant::now();
    let head = b"POST /e HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{\"key\"";
    let mut silent: Vec<Client> = (0..SILENT).map(|_| trial.server.client()).collect();
    for (number, client) in silent.iter_mut().enumerate() {
        // Half of them stop within the head, half within the body.
        let size = if number % 2 == 0 { 20 } else { head.len() };
        client.send_bytes(&head[..size]).unwrap();
    }
    let mut dripping = trial.server.client();
    dripping.send_bytes(b"GET /p.gif?key=").unwrap();
    let answer = loop {
        // Each turn waits for the answer for a moment and then sends one byte more.
        match dripping.read_answer(Some(Duration::from_millis(300))) {
            Ok(answer) => break answer,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                assert!(begun.elapsed() < WAIT_MAX, "a dripping client is never cut off");
                let _ = dripping.send_bytes(b"x");
            }
            Err(error) => panic!("no answer for the dripping client: {error}"),
        }
    };
    trial.check("dripping", &answer, (408, "rejected:malformed", "too long"));
    for client in &mut silent {
        let answer = client.read_answer(None).unwrap();
        trial.check("silent", &answer, (408, "rejected:malformed", "too long"));
    }
    trial.expect("rejected:malformed", SILENT as u64 + 1);
    println!("bad input: {} slow clients cut off after {:?}", SILENT + 1, begun.elapsed());
}

/// Clients that leave in the middle: what had begun as a request is counted.
fn leavers(trial: &mut Trial<'_>) {
    const LEAVERS: u64 = 20;
    for _ in 0..LEAVERS {
        let mut client = trial.server.client();
        let head = b"POST /e HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{\"key\"";
        client.send_bytes(head).unwrap();
    }
    trial.expect("rejected:malformed", LEAVERS);
}

/// A repetition within one body is stored once.
fn repetition(trial: &mut Trial<'_>) {
    let events = json!([sound("same"), sound("same"), sound("same")]);
    let body = json!({"key": trial.key, "events": events}).to_string();
    let headers = [("user-agent", AGENT)];
    let answer = trial.server.client().send("POST", "/e", &headers, body.as_bytes()).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    let report = answer.json();
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!((count("accepted") + count("duplicate"), &report["rejected"]), (3, &json!([])));
    trial.expect("accepted", count("accepted"));
    trial.expect("duplicate", count("duplicate"));
}

// --- the counts -----------------------------------------------------------------------------------------------------

/// The value of one of the metrics.
fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

fn outcomes(text: &str) -> Outcomes {
    let lines = text.lines().filter_map(|line| line.strip_prefix("cairn_hit_outcomes_total"));
    let counts = lines.map(|line| {
        let (name, count) = line.strip_prefix("{outcome=\"").unwrap().split_once("\"} ").unwrap();
        (name.to_owned(), count.parse().unwrap())
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

/// Waits until the metrics show exactly these outcomes: those of clients that left are counted a moment later.
fn settled(server: &Server, wanted: &Outcomes) -> String {
    let begun = Instant::now();
    loop {
        let text = server.api("GET", "/metrics", &Value::Null).text();
        if outcomes(&text) == *wanted {
            return text;
        }
        assert!(begun.elapsed() < WAIT_MAX, "counted {:?}, sent {wanted:?}", outcomes(&text));
    }
}

#[test]
fn bad_input_has_its_outcome_and_costs_nobody_an_event() {
    // Every request comes from one address here.
    let server = Server::start(&[("CAIRN_SERVER__HITS_PER_MINUTE_MAX", "0")]);
    let (site, key) = server.site("bad.test", &json!({"policy": "opt_out"}));
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut trial =
        Trial { server: &server, key: key.clone(), expected: Outcomes::new(), faults: Vec::new() };
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| honest(&server, &key, &stop, &sent));
        let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            bad_envelopes(&mut trial);
            bad_events(&mut trial);
            bad_messages(&mut trial);
            bad_images(&mut trial);
            bad_heads(&mut trial);
            bad_questions(&mut trial, &site);
            leavers(&mut trial);
            repetition(&mut trial);
            slow_clients(&mut trial);
        }));
        // The honest client ends whatever happened, or the failure would never be told.
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap();
        if let Err(failure) = attempt {
            std::panic::resume_unwind(failure);
        }
    });
    let none: [String; 0] = [];
    assert_eq!(trial.faults, none);
    let honest = sent.load(Ordering::Relaxed);
    trial.expect("accepted", honest);
    let text = settled(&server, &trial.expected);
    let sum: u64 = trial.expected.values().sum();
    println!("bad input: {honest} honest events, outcomes {:?}", trial.expected);
    assert_eq!(metric(&text, "cairn_received_events_total"), sum);
    assert_eq!(metric(&text, "cairn_unsettled_events_total"), 0);
    assert_eq!(metric(&text, "cairn_panics_total"), 0);
    assert_eq!(metric(&text, "cairn_api_responses_total{class=\"5xx\"}"), 0);
    // Stored: the honest ones, the long address, the repeated one, and one imported line.
    server.outcomes(&site);
    let stored = server.totals(&site, &["events"])[0];
    assert_eq!(stored, i64::try_from(honest).unwrap() + 3);
    assert!(!server.said().contains("panicked"), "{}", server.said());
}
