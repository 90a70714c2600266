//! The `Cookie` header, the record of a choice in it, and what a hit changes of the record.
#![no_main]

use cairn_engine::ingest::consent::{self, RecordedConsent};
use cairn_engine::ingest::cookies::Cookies;
use cairn_model::Choice;
use libfuzzer_sys::fuzz_target;

/// 2026-11-22T10:00:00Z.
const NOW_S: i64 = 1_795_341_600;

fuzz_target!(|data: &str| {
    let (header, sent) = data.split_once('\n').unwrap_or((data, ""));
    let cookies = Cookies::parse(header);
    assert!(cookies.id.is_none() || cookies.has_id);
    let record = cookies.consent.unwrap_or_default();
    assert_eq!(RecordedConsent::parse(&record.cookie_value()), Some(record));
    let Ok(sent) = consent::parse(sent) else { return };
    let sent = sent.at(NOW_S * 1000);
    let Some(updated) = record.updated(&sent, false, NOW_S) else { return };
    assert_eq!(RecordedConsent::parse(&updated.cookie_value()), Some(updated));
    assert_eq!(updated.updated(&sent, false, NOW_S), None, "it says all that was said");
    for place in 0..4 {
        let choice = |record: &RecordedConsent| record.newest(&sent, place).map(|it| it.0);
        assert_eq!(choice(&record), choice(&updated));
        let granted = updated.choices[place].is_some_and(|it| it.choice == Choice::Granted);
        assert!(!granted || choice(&record) == Some(Choice::Granted));
    }
});
