//! Headers that decide about permission: consent, cookies, origins, addresses of pages.
#![no_main]

use std::borrow::Cow;

use cairn_engine::ingest::consent::{self, RecordedConsent};
use cairn_engine::ingest::cookies::Cookies;
use cairn_engine::ingest::page::{Page, origin_host};
use cairn_engine::ingest::{text, timestamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    let _ = consent::parse(data);
    let _ = Cookies::parse(data, i64::MAX);
    if let Some(record) = RecordedConsent::parse(data) {
        assert_eq!(RecordedConsent::parse(&record.cookie_value()), Some(record));
    }
    let _ = origin_host(data);
    if let Ok(page) = Page::parse("url", Cow::Borrowed(data)) {
        let host = page.hostname();
        assert!(!host.bytes().any(|byte| byte.is_ascii_uppercase()) && host.is_ascii());
        assert!(data.is_empty() || page.path().starts_with('/'));
        assert!(!page.raw_query().contains('#'));
    }
    let _ = timestamp::parse(data);
    let _ = text::percent_decoded(data);
    let _ = text::first_language(data);
});
