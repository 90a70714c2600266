//! The `Cookie` header, the record of a choice in it, and what a hit changes of the record, whenever it was said.
#![no_main]

use cairn_engine::ingest::consent::{self, RecordedConsent, Said};
use cairn_engine::ingest::cookies::Cookies;
use cairn_model::Choice;
use libfuzzer_sys::fuzz_target;

/// 2026-11-22T10:00:00Z.
const NOW_S: i64 = 1_795_341_600;

/// `a60`: it was said a minute ago; `r60`: and told before; `r`: told before, nobody knows when.
fn said(text: &str) -> Said {
    let ago = |age: &str| age.parse::<u32>().ok().map(|age_s| NOW_S - i64::from(age_s));
    match text.split_at_checked(1) {
        Some(("a", age)) => ago(age).map_or(Said::Now, Said::At),
        Some(("r", age)) => Said::Repeated(ago(age)),
        _ => Said::Now,
    }
}

fuzz_target!(|data: &str| {
    let mut lines = data.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (header, sent, when) = (line(), line(), said(line()));
    let cookies = Cookies::parse(header, NOW_S * 1000);
    assert!(cookies.id.is_none() || cookies.has_id);
    let record = cookies.consent.unwrap_or_default();
    assert_eq!(RecordedConsent::parse(&record.cookie_value()), Some(record));
    let Ok(sent) = consent::parse(sent) else { return };
    let sent = sent.at(NOW_S * 1000);
    let Some(updated) = record.updated(&sent, when, false, NOW_S) else { return };
    assert_eq!(RecordedConsent::parse(&updated.cookie_value()), Some(updated));
    assert_eq!(updated.updated(&sent, when, false, NOW_S), None, "it says all that was said");
    for place in 0..4 {
        let choice = |record: &RecordedConsent| record.newest(&sent, when, place).map(|it| it.0);
        assert_eq!(choice(&record), choice(&updated));
        let granted = updated.choices[place].is_some_and(|it| it.choice == Choice::Granted);
        assert!(!granted || choice(&record) == Some(Choice::Granted));
    }
});
