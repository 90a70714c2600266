//! `GET /p.gif`: any query is read or refused, and what is read keeps the limits.
#![no_main]

use cairn_engine::ingest::query;
use cairn_model::limits::{EVENT_NAME_SIZE_BYTES_MAX, ID_SIZE_BYTES_MAX, TEXT_SIZE_BYTES_MAX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    let (query, referer) = data.split_once('\n').unwrap_or((data, ""));
    let _ = query::key(query);
    let Ok(read) = query::image(query, referer) else { return };
    let event = read.event;
    assert!(!event.name.is_empty() && event.name.len() <= EVENT_NAME_SIZE_BYTES_MAX);
    for id in [&event.event_id, &event.user_id, &event.order_id] {
        assert!(id.len() <= ID_SIZE_BYTES_MAX);
    }
    for text in [&event.title, &event.referrer] {
        assert!(text.len() <= TEXT_SIZE_BYTES_MAX);
    }
    assert!(event.page.as_sent().len() <= TEXT_SIZE_BYTES_MAX);
    assert!(event.value_minor.is_none() || event.currency.len() == 3);
});
