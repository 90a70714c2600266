//! `GET` and `POST /postback`: any address and body are read or refused, and what is read keeps the limits.
#![no_main]

use cairn_engine::ingest::formats::{Events, Terms};
use cairn_engine::ingest::landing::conversion;
use cairn_engine::ingest::postback;
use cairn_engine::token::click::ClickClaims;
use cairn_model::PixelKind;
use cairn_model::limits::{EVENT_NAME_SIZE_BYTES_MAX, ID_SIZE_BYTES_MAX};
use libfuzzer_sys::fuzz_target;

const TERMS: Terms<'_> =
    Terms { kind: PixelKind::Server, currency: "EUR", received_at_ms: 1_795_341_600_000 };

// Up to the first line end comes the query, then the body.
fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (query, body) = data.split_at(end);
    let query = std::str::from_utf8(query).unwrap_or("");
    let Ok(read) = postback::read(query, body) else { return };
    let _ = (read.consent(), read.click_id(), read.refused_click_id());
    let Ok(event) = read.event(0, &TERMS) else { return };
    assert!(!event.name.is_empty() && event.name.len() <= EVENT_NAME_SIZE_BYTES_MAX);
    for id in [&event.event_id, &event.user_id, &event.order_id] {
        assert!(id.len() <= ID_SIZE_BYTES_MAX);
    }
    assert_eq!(event.value_minor.is_some(), !event.currency.is_empty());
    let props = &event.props;
    assert!(props.is_empty() || serde_json::from_str::<serde_json::Value>(props).is_ok());
    let user_id = event.user_id.clone().into_owned();
    let event = conversion(event, &ClickClaims::default(), "anna");
    assert!(user_id.is_empty() || event.user_id == user_id, "its own word wins");
});
