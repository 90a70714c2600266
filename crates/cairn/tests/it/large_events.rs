//! Events of the largest size: lists of them stay within bounds.

use serde_json::{Value, json};

use crate::server::{Server, TOKEN};

/// More than the store's memory holds twice.
const EVENTS: usize = 1_000;
/// Texts of one event, and their size: 50 KB that do not compress.
const TEXTS: usize = 25;
const TEXT_SIZE_BYTES: usize = 2_000;
/// Largest page that the server may answer with: 4 MiB of events, and what is around them.
const PAGE_SIZE_BYTES_MAX: usize = 4 * 1024 * 1024 + 4096;

/// Letters of a generator that repeats nothing within this test (Knuth's MMIX constants).
struct Letters(u64);

impl Letters {
    fn text(&mut self) -> String {
        let letter = |_| {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
            self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + u8::try_from(self.0 >> 58).unwrap_or(0))
        };
        let text: String = (0..TEXT_SIZE_BYTES).map(letter).collect();
        text.replace('\\', "z")
    }
}

fn lines() -> String {
    let mut letters = Letters(1);
    let line = |number: usize| {
        let texts = (0..TEXTS).map(|text| (format!("p{text}"), Value::from(letters.text())));
        let props: serde_json::Map<String, Value> = texts.collect();
        json!({"event": "page_view", "url": format!("https://large.test/{number}"),
               "timestamp": "2026-11-01T10:00:00Z", "props": props})
        .to_string()
    };
    (0..EVENTS).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn pages_of_large_events_end_earlier_and_lose_none() {
    let server = Server::start(&[]);
    let (site, _) = server.site("large.test", &json!({"policy": "opt_out"}));
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/x-ndjson")];
    let path = format!("/api/v1/sites/{site}/import");
    let imported = server.client().send("POST", &path, &headers, lines().as_bytes()).unwrap();
    assert_eq!(imported.json()["accepted"], EVENTS, "{}", imported.text());

    let (mut found, mut pages, mut after) = (Vec::new(), 0, String::new());
    loop {
        let path = format!("/api/v1/sites/{site}/events?limit=1000{after}");
        let page = server.api("GET", &path, &Value::Null);
        assert_eq!(page.status, 200, "page {pages}: {}", page.text());
        assert!(page.body.len() <= PAGE_SIZE_BYTES_MAX, "{} bytes", page.body.len());
        let page = page.json();
        let items = page["items"].as_array().unwrap();
        assert!(!items.is_empty(), "a page without events");
        found.extend(items.iter().map(|event| event["page"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let wanted: Vec<String> = (0..EVENTS).rev().map(|number| format!("/{number}")).collect();
    assert!(found == wanted, "{} events on {pages} pages", found.len());
    assert!(pages > 10, "{pages} pages");
}
