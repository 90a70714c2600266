//! Which choices become receipts, whom they name, and what taking permission back does at once.

use cairn_model::receipt::{ChoiceMade, answers_text};
use cairn_model::{Identification, PixelKind, Policy, PrivacySettings, VisitorId};

use super::{NOW_MS, Shop, hit};
use crate::ingest::fields::{Sender, event};
use crate::ingest::json::Raw;
use crate::ingest::proof::{REFUSALS_MAX, Told};
use crate::ingest::statement::{Shown, Signal};
use crate::ingest::{Common, Heard, Hit, Telling, consent};
use crate::record;

const YES: &str = "analytics:granted,ads:denied";
const NO: &str = "analytics:denied,ads:denied";
const COOKIE: &str = "cairn_id=00112233445566778899aabbccddeeff";

fn shop(policy: Policy) -> Shop {
    Shop::new(PrivacySettings { policy, ..PrivacySettings::default() }, PixelKind::Web)
}

fn proof(shop: &Shop, hit: &Hit<'_>, sent: &str, alone: bool, told: Told<'_>) -> Option<Vec<u8>> {
    let sent = consent::parse(sent).unwrap();
    shop.ingest.admit(hit, &shop.entry, sent, Telling { alone, ..Telling::default() }).receipt(told)
}

fn made(record: &Option<Vec<u8>>) -> ChoiceMade<'_> {
    record::decode_choice(record.as_ref().unwrap()).unwrap()
}

#[test]
fn a_choice_that_is_new_is_proven_with_what_was_shown() {
    let shop = shop(Policy::OptIn);
    let shown = Shown { version: "2026-11-a".into(), language: "de".into() };
    let told = Told { shown: Some(&shown), signal: Some(Signal::PreferenceCentre) };
    let under_gpc = Hit { gpc: true, cookies: COOKIE, ..hit() };
    let record = proof(&shop, &under_gpc, YES, false, told);
    assert!(record::is_choice(record.as_ref().unwrap()));
    let choice = made(&record);
    assert_eq!(answers_text(&choice.answers), YES);
    assert_eq!((choice.version.as_ref(), choice.language.as_ref()), ("2026-11-a", "de"));
    assert_eq!((choice.signal.as_ref(), choice.gpc), ("preference_centre", true));
    assert_eq!((choice.region.as_ref(), choice.policy.as_ref()), ("unknown", "opt_in"));
    assert_eq!((choice.site_id, choice.at_ms), (shop.entry.site.site.id, NOW_MS));
    assert_ne!(choice.subject, VisitorId(0));
    let plain = proof(&shop, &hit(), YES, false, Told::default());
    assert_eq!(made(&plain).signal, "page");
}

#[test]
fn what_is_on_record_is_proven_again_only_on_a_deliberate_act() {
    let shop = shop(Policy::OptIn);
    let lately_s = NOW_MS / 1000 - 7;
    let cookies = format!("{COOKIE}; cairn_consent=v1.analytics=1.ads=0.t={lately_s}");
    let known = Hit { cookies: &cookies, ..hit() };
    let banner = Told { signal: Some(Signal::Banner), ..Told::default() };
    assert_eq!(proof(&shop, &known, "", false, Told::default()), None, "nothing was said");
    assert_eq!(proof(&shop, &known, YES, false, banner), None, "the page repeats it");
    assert_eq!(proof(&shop, &known, YES, true, Told::default()), None, "so does a script");
    assert!(proof(&shop, &known, YES, true, banner).is_some());
    let record = proof(&shop, &known, "ads:granted", false, Told::default());
    assert_ne!(made(&record).subject, VisitorId(0));
}

#[test]
fn whoever_permits_nothing_is_not_named() {
    let id = |shop: &Shop| {
        let id = [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb];
        let id = [&id[..], &[0xcc, 0xdd, 0xee, 0xff]].concat().try_into().unwrap();
        shop.ingest.keys().of_cookie(shop.entry.site.site.id, &id)
    };
    for (policy, sent, is_named) in [
        (Policy::OptIn, YES, true),
        (Policy::OptIn, NO, false),
        (Policy::OptIn, "analytics:denied,ads:granted", false),
        (Policy::OptIn, "functional:granted", false),
        (Policy::OptOut, "functional:granted", false),
        (Policy::OptOut, "ads:denied", false),
        (Policy::OptOut, "ads:granted", true),
        (Policy::OptInStrict, NO, false),
    ] {
        let shop = shop(policy);
        let known = Hit { cookies: COOKIE, ..hit() };
        let record = proof(&shop, &known, sent, false, Told::default());
        let wanted = if is_named { id(&shop) } else { VisitorId(0) };
        assert_eq!(made(&record).subject, wanted, "{policy:?} {sent}");
        for trace in [&id(&shop).0.to_le_bytes()[..], b"203.0.113.9", b"Firefox"] {
            let bytes = record.as_ref().unwrap();
            let found = bytes.windows(trace.len()).any(|part| part == trace);
            assert!(!found || is_named, "{policy:?} {sent}");
        }
    }
    let all = PrivacySettings {
        policy: Policy::OptIn,
        gpc: cairn_model::site::GpcReach::All,
        ..PrivacySettings::default()
    };
    let shop = Shop::new(all, PixelKind::Web);
    let under_gpc = Hit { gpc: true, cookies: COOKIE, ..hit() };
    let record = proof(&shop, &under_gpc, YES, false, Told::default());
    assert_eq!(made(&record).subject, VisitorId(0), "the signal permits nobody to be known");
}

#[test]
fn others_prove_nothing_of_a_visitor() {
    let open = shop(Policy::OptIn);
    let foreign = Hit { origin: "https://evil.example", ..hit() };
    assert_eq!(proof(&open, &foreign, YES, true, Told::default()), None);
    let server = Shop::new(PrivacySettings::default(), PixelKind::Server);
    let from_server = Hit { origin: "", ..hit() };
    assert_eq!(proof(&server, &from_server, YES, false, Told::default()), None);
    let mut shop = shop(Policy::OptIn);
    let site = shop.entry.site.site.id;
    let id = crate::ingest::visitor::parse_cookie_id(&COOKIE[9..]).unwrap();
    let visitor = shop.ingest.keys().of_cookie(site, &id);
    shop.catalog.add_opt_outs(site, &[visitor.0], NOW_MS).unwrap();
    shop.refresh();
    let opted_out = Hit { cookies: COOKIE, ..hit() };
    assert_eq!(proof(&shop, &opted_out, YES, true, Told::default()), None);
}

#[test]
fn one_sender_cannot_fill_the_disk_with_refusals() {
    let shop = shop(Policy::OptIn);
    let count =
        (0..200).filter(|_| proof(&shop, &hit(), NO, false, Told::default()).is_some()).count();
    assert_eq!(count, usize::from(REFUSALS_MAX));
    let other = Hit { address: cairn_enrich::Address::new([203, 0, 113, 10].into()), ..hit() };
    assert!(proof(&shop, &other, NO, false, Told::default()).is_some());
    let later = Hit { received_at_ms: NOW_MS + 20 * 60 * 1000, ..hit() };
    assert!(proof(&shop, &later, NO, false, Told::default()).is_some());
    assert!(proof(&shop, &hit(), NO, true, Told::default()).is_some(), "a deliberate act");
}

/// The kind of a page view's visitor, and the cookies of the answer.
fn view(shop: &Shop, hit: &Hit<'_>, sent: &str) -> (Identification, Vec<String>) {
    let sent = consent::parse(sent).unwrap();
    let mut admission = shop.ingest.admit(hit, &shop.entry, sent, Telling::default());
    let parsed = event(Raw(r#"{"event":"page_view"}"#), Sender::Public).unwrap();
    let (record, taken) = admission.take(parsed, Common::default(), Vec::new());
    taken.unwrap();
    let kind = record::decode(&record).unwrap().identification;
    (kind, admission.set_cookies())
}

#[test]
fn hits_under_way_when_permission_is_taken_back_know_nobody() {
    let shop = shop(Policy::OptOut);
    let cookies = format!("{COOKIE}; cairn_consent=v1.analytics=1.t=7");
    // What the browser sent before it heard of the change.
    let early = Hit { cookies: &cookies, ..hit() };
    assert_eq!(view(&shop, &early, "").0, Identification::Identified);
    let (kind, set) = view(&shop, &early, NO);
    assert_eq!(kind, Identification::Anonymous);
    assert!(set.iter().any(|cookie| cookie.starts_with("cairn_id=; Max-Age=0")), "{set:?}");
    let (kind, set) = view(&shop, &early, "");
    assert_eq!(kind, Identification::Anonymous, "a hit that was under way");
    assert!(set.iter().any(|cookie| cookie.starts_with("cairn_id=; Max-Age=0")), "{set:?}");
    assert!(!set.iter().any(|cookie| cookie.starts_with("cairn_consent")), "{set:?}");
    let other = "cairn_id=ffeeddccbbaa99887766554433221100";
    let other = Hit { cookies: other, ..hit() };
    assert_eq!(view(&shop, &other, "").0, Identification::Identified, "somebody else");
    assert_eq!(view(&shop, &early, YES).0, Identification::Identified, "yes again");
    assert_eq!(view(&shop, &early, "").0, Identification::Identified);
}

/// What the word of one message calls for, sent by a browser that names itself.
fn heard(shop: &Shop, sent: &str) -> Heard {
    let hit = hit();
    let nothing = consent::SentConsent::Nothing;
    let mut admission = shop.ingest.admit(&hit, &shop.entry, nothing, Telling::default());
    let mut parsed = event(Raw(r#"{"event":"page_view"}"#), Sender::Public).unwrap();
    parsed.consent = consent::parse(sent).unwrap();
    parsed.sender_id = "a-1".into();
    let (_, taken) = admission.take(parsed, Common::default(), Vec::new());
    taken.unwrap();
    *admission.heard().unwrap()
}

#[test]
fn a_word_whose_receipt_was_lost_is_proven_when_it_comes_again() {
    let shop = shop(Policy::OptIn);
    let first = heard(&shop, YES);
    assert_eq!(made(&first.receipt).subject, first.visitor);
    assert_eq!(heard(&shop, YES).receipt, None);
    shop.ingest.unproven(first.visitor);
    assert!(heard(&shop, YES).receipt.is_some());
    assert_eq!(heard(&shop, YES).receipt, None);
    let no = heard(&shop, NO);
    assert_eq!(made(&no.receipt).subject, VisitorId(0));
    assert_eq!(no.withdrawn, [None, Some(first.visitor)]);
    let unknown = heard(&self::shop(Policy::OptIn), NO);
    assert_eq!(unknown.withdrawn, [None, None], "whoever is nobody takes nobody's place");
}
