//! What permission lets through, event by event: parameters by any spelling, words by their purpose and order.

use cairn_model::{Event, PixelKind, Policy, PrivacySettings, Purpose};

use super::{NOW_MS, Shop, hit};
use crate::ingest::consent::SentConsent;
use crate::ingest::fields::{Sender, event};
use crate::ingest::json::Raw;
use crate::ingest::{Common, Hit, Telling, consent};
use crate::record;

fn shop(policy: Policy) -> Shop {
    Shop::new(PrivacySettings { policy, ..PrivacySettings::default() }, PixelKind::Web)
}

/// Path and query that are kept of an address.
fn kept(sent: &str, url: &str) -> (String, String) {
    let shop = shop(Policy::OptIn);
    let at = hit();
    let sent = consent::parse(sent).unwrap();
    let mut admission = shop.ingest.admit(&at, &shop.entry, sent, Telling::default());
    let json = format!(r#"{{"event":"page_view","url":"{url}"}}"#);
    let parsed = event(Raw(&json), Sender::Public).unwrap();
    let (bytes, result) = admission.take(parsed, Common::default(), Vec::new());
    result.unwrap();
    let event: Event<'_> = record::decode(&bytes).unwrap();
    (event.path.to_string(), event.query.to_string())
}

#[test]
fn parameters_are_left_out_of_routes_and_by_any_spelling() {
    let (all, no_ads) = ("analytics:granted,ads:granted", "analytics:granted,ads:denied");
    let address = |rest: &str| format!("https://shop.example/{rest}");
    for (sent, rest, path, query) in [
        (all, "#/x?gclid=5&a=1", "/#/x?gclid=5&a=1", ""),
        (no_ads, "#/x?gclid=5&a=1", "/#/x?a=1", ""),
        (no_ads, "#/x?gclid=5", "/#/x", ""),
        (all, "#/x?mc_eid=anna", "/#/x", ""),
        ("", "#/x?a=1&utm_source=s", "/#/x", ""),
        (all, "?%67clid=5", "/", "%67clid=5"),
        (no_ads, "?%67clid=5&a=1", "/", "a=1"),
        (all, "?mc%5Feid=anna", "/", ""),
    ] {
        let wanted = (path.to_owned(), query.to_owned());
        assert_eq!(kept(sent, &address(rest)), wanted, "{sent} {rest}");
    }
}

#[test]
fn a_choice_that_is_told_again_is_no_answer_to_gpc() {
    let shop = shop(Policy::OptIn);
    let at = Hit { gpc: true, ..hit() };
    let record = |is_repeated| {
        let telling = Telling { alone: true, age_ms: None, is_repeated };
        let sent = consent::parse("analytics:granted,ads:granted").unwrap();
        let cookies = shop.ingest.admit(&at, &shop.entry, sent, telling).set_cookies();
        cookies.into_iter().find(|it| it.starts_with("cairn_consent=")).unwrap()
    };
    assert!(record(false).contains("ads=1g"));
    assert!(!record(true).contains("ads=1g"));
}

/// What is granted to an event of one sender with this word, said at this time.
fn granted(shop: &Shop, sent: &str, at_ms: Option<i64>) -> [bool; 4] {
    let at = hit();
    let nothing = SentConsent::Nothing;
    let mut admission = shop.ingest.admit(&at, &shop.entry, nothing, Telling::default());
    let mut parsed = event(Raw(r#"{"event":"e"}"#), Sender::Public).unwrap();
    parsed.sender_id = "a-1".into();
    parsed.timestamp_ms = at_ms;
    parsed.consent = consent::parse(sent).unwrap();
    let (_, result) = admission.take(parsed, Common::default(), Vec::new());
    result.unwrap();
    Purpose::ALL.map(|purpose| admission.latest_decision().grants(purpose))
}

#[test]
fn a_no_to_one_purpose_holds_for_later_messages_until_a_yes_to_it() {
    let shop = shop(Policy::OptOut);
    let said = |sent| granted(&shop, sent, None);
    assert_eq!(said("analytics:granted,ads:denied"), [true, false, true, true]);
    assert_eq!(said(""), [true, false, true, true]);
    assert_eq!(said("personalization:denied"), [true, false, false, true]);
    assert_eq!(said("analytics:denied"), [false; 4]);
    assert_eq!(said("functional:denied"), [false; 4]);
    assert_eq!(said("analytics:granted"), [true, false, false, false]);
    assert_eq!(said("ads:granted,functional:granted"), [true, true, false, true]);
    assert_eq!(said("personalization:granted"), [true; 4]);
    assert_eq!(said(""), [true; 4]);
}

#[test]
fn an_older_yes_of_the_same_second_is_no_yes() {
    let shop = shop(Policy::OptOut);
    assert!(granted(&shop, "analytics:granted", Some(NOW_MS - 5_000))[0]);
    assert!(!granted(&shop, "analytics:denied", Some(NOW_MS - 100))[0]);
    assert!(!granted(&shop, "analytics:granted", Some(NOW_MS - 900))[0]);
    assert!(!granted(&shop, "", None)[0]);
}
