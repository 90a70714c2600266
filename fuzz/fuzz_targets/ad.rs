//! `GET /i/TOKEN.gif?…`: any query is read, and what is read of it keeps its bounds and holds no unfilled macro.
#![no_main]

use cairn_engine::ingest::ad::macros::is_missing;
use cairn_engine::ingest::ad::request::AdRequest;
use cairn_engine::ingest::money::check_amount;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &str| {
    let request = AdRequest::read(query);
    let told = [&request.cache_buster, &request.impression_id, &request.creative];
    for text in told.into_iter().chain([&request.placement, &request.site, &request.price]) {
        assert!(text.len() <= 256 && !text.chars().any(char::is_control));
        assert!(!text.starts_with("${") || !text.ends_with('}') || !is_missing(text));
    }
    assert!(request.price.is_empty() || check_amount("price", &request.price).is_ok());
    assert!(!request.site.contains(['/', '?', '#', '@']));
});
