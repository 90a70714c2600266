//! Segment's API: any request is read or refused, and what was read of a message is sound.
#![no_main]

use cairn_engine::ingest::formats::{Request, Terms, format_of};
use cairn_model::PixelKind;
use cairn_model::limits::{
    EVENT_NAME_SIZE_BYTES_MAX, FORMAT_EVENTS_PER_BODY_MAX, ID_SIZE_BYTES_MAX,
};
use libfuzzer_sys::fuzz_target;

const PATHS: [&str; 8] = [
    "/v1/batch",
    "/v1/track",
    "/v1/page",
    "/v1/screen",
    "/v1/identify",
    "/v1/group",
    "/v1/alias",
    "/v1/projects/key/settings",
];

// The first byte chooses the path; up to the first line end comes the query, then the body.
fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let path = PATHS[usize::from(*choice) % PATHS.len()];
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (query, body) = rest.split_at(end);
    let query = std::str::from_utf8(query).unwrap_or("");
    let user_name = if choice & 128 == 0 { "key" } else { "" };
    let request = Request { path, query, user_name, body };
    let format = format_of(path).unwrap();
    if let Some(json) = (format.setup)(&request, "https://stats.example") {
        assert!(is_json(&json));
    }
    let Ok(opened) = (format.open)(&request) else { return };
    assert!(!opened.key.is_empty() && opened.events.count() <= FORMAT_EVENTS_PER_BODY_MAX);
    for kind in [PixelKind::Web, PixelKind::App, PixelKind::Server] {
        let terms = Terms { kind, currency: "EUR", received_at_ms: 1_795_341_600_000 };
        for index in 0..opened.events.count() {
            let Ok(event) = opened.events.event(index, &terms) else { continue };
            assert!(!event.name.is_empty() && event.name.len() <= EVENT_NAME_SIZE_BYTES_MAX);
            for id in [&event.event_id, &event.user_id, &event.order_id, &event.sender_id] {
                assert!(id.len() <= ID_SIZE_BYTES_MAX);
            }
            for json in [&event.props, &event.items, &event.traits] {
                assert!(json.is_empty() || is_json(json));
            }
            assert_eq!(event.value_minor.is_some(), !event.currency.is_empty());
            assert!(kind != PixelKind::Web || event.context.is_none());
        }
    }
});

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
