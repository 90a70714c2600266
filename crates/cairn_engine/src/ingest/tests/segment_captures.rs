//! Every request that the real libraries of Segment and RudderStack were recorded sending.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn_model::PixelKind;
use serde_json::Value;

use crate::ingest::envelope::unzipped;
use crate::ingest::formats::{Request, Terms, format_of};

/// Recorded requests, by file; `None` after saying that the test did not run.
fn captures() -> Option<Vec<(String, Vec<Value>)>> {
    let root = std::env::var_os("CAIRN_SHARED_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let wire = root.join("wire");
    let Ok(files) = std::fs::read_dir(&wire) else {
        eprintln!("NOT RUN: every_recorded_request_is_understood: {} is missing", wire.display());
        return None;
    };
    let mut found: Vec<_> = files
        .map(|file| file.unwrap().path())
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let requests = text.lines().map(|line| serde_json::from_str(line).unwrap());
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, requests.collect())
        })
        .collect();
    found.sort_by(|left, right| left.0.cmp(&right.0));
    Some(found)
}

fn header<'r>(request: &'r Value, name: &str) -> &'r str {
    let headers = request["headers"].as_array().unwrap();
    let found = headers.iter().find(|pair| pair[0].as_str().unwrap().eq_ignore_ascii_case(name));
    found.map_or("", |pair| pair[1].as_str().unwrap())
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for digit in text.bytes().filter(|digit| *digit != b'=') {
        let value = DIGITS.iter().position(|known| *known == digit).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    bytes
}

fn body(request: &Value) -> Vec<u8> {
    match request["body_raw_b64"].as_str() {
        Some(raw) if header(request, "content-encoding") == "gzip" => {
            unzipped(&base64(raw), 512 * 1024).unwrap()
        }
        _ => request["body"].as_str().unwrap().as_bytes().to_vec(),
    }
}

/// Names of the events in a file's requests, with how many of each.
fn events(name: &str, requests: &[Value]) -> BTreeMap<String, usize> {
    let kind = if name.contains("browser") { PixelKind::Web } else { PixelKind::Server };
    let mut found = BTreeMap::new();
    for request in requests.iter().filter(|request| request["method"] == "POST") {
        let path = request["path"].as_str().unwrap();
        let format = format_of(path).unwrap_or_else(|| panic!("{name}: {path} is unknown"));
        let body = body(request);
        let user = header(request, "authorization").strip_prefix("Basic ").map(base64);
        let user = String::from_utf8(user.unwrap_or_default()).unwrap();
        let query = request["query"].as_str().unwrap().trim_start_matches('?');
        let request_read =
            Request { path, query, user_name: user.trim_end_matches(':'), body: &body };
        let opened = (format.open)(&request_read).ok().unwrap();
        assert_eq!(opened.key, "WRITEKEY", "{name}: {path}");
        let arrival: jiff::Timestamp = request["t"].as_str().unwrap().parse().unwrap();
        let received_at_ms = arrival.as_millisecond();
        let terms = Terms { kind, currency: "EUR", received_at_ms };
        for index in 0..opened.events.count() {
            let event = opened.events.event(index, &terms);
            let event = event.unwrap_or_else(|fault| panic!("{name}: {path} {index}: {fault}"));
            assert!(!event.event_id.is_empty() && !event.truncated, "{name}");
            assert!(event.user_id == "u-123" || event.sender_id == "anon-7f3a", "{name}");
            if event.name == "purchase" {
                assert_eq!((event.value_minor, event.currency), (Some(3_998), "EUR"), "{name}");
                assert_eq!(event.order_id, "O-1001", "{name}");
            }
            let happened_at_ms = event.timestamp_ms.unwrap();
            let is_old = event.name.starts_with("Na") && kind == PixelKind::Server;
            assert!(is_old || received_at_ms - happened_at_ms < 10_000, "{name}: {}", event.name);
            *found.entry(event.name.into_owned()).or_default() += 1;
        }
    }
    found
}

#[test]
fn every_recorded_request_is_understood() {
    let Some(captures) = captures() else { return };
    assert!(captures.len() >= 14, "recorded files are gone");
    let mut sum = 0;
    for (name, requests) in captures {
        let found = events(&name, &requests);
        for wanted in ["identify", "page_view", "purchase", "join_group", "alias"] {
            assert!(found.contains_key(wanted), "{name} has no {wanted}: {found:?}");
        }
        if name.contains("browser") {
            let wanted = [("add_to_cart", 1), ("page_view", 2), ("Naïve ☕ 事件", 1), ("Left", 1)];
            for (event, count) in wanted {
                let is_beaconless = name == "rudder-browser-xorigin" && event == "Left";
                assert!(
                    is_beaconless || found.get(event) == Some(&count),
                    "{name}: {event} {found:?}"
                );
            }
        }
        sum += found.values().sum::<usize>();
        eprintln!("{name}: {found:?}");
    }
    eprintln!("{sum} events");
}
