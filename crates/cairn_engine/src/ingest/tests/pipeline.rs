//! Whole hits through decode, gate, enrich and encode: what is in the record, and what is not.

use cairn_model::{
    Basis, CrossSiteCookies, Event, Identification, Origin, Outcome, PixelKind, Policy,
    PrivacySettings, SiteId,
};

use super::{AGENT, NOW_MS, Shop, everything, hit};
use crate::ingest::fields::{Sender, event};
use crate::ingest::import::Importer;
use crate::ingest::json::Raw;
use crate::ingest::landing::landed;
use crate::ingest::visitor::parse_cookie_id;
use crate::ingest::{Common, Hit, Rejection, Telling, consent, query};
use crate::record;
use crate::token::click::ClickClaims;

const CONSENTED: &str = "analytics:granted,ads:granted";
const COOKIE: &str = "00112233445566778899aabbccddeeff";

/// A hit full of identifiers.
const EVENT: &str = r#"{"event":"purchase","event_id":"id-4711","user_id":"user-7",
    "traits":{"email":"anna@mail.example"},"value":59.90,"currency":"EUR","order_id":"order-9",
    "url":"https://shop.example/p?email=anna@mail.example&gclid=click-5&utm_source=mail&fbclid=f5",
    "referrer":"https://www.google.com/search?q=anna","title":"A page"}"#;

fn policy(policy: Policy) -> PrivacySettings {
    PrivacySettings { policy, ..PrivacySettings::default() }
}

struct Taken {
    record: Vec<u8>,
    result: Result<(), Rejection>,
    cookies: Vec<String>,
    listed: bool,
}

impl Taken {
    fn event(&self) -> Event<'_> {
        self.result.as_ref().unwrap();
        record::decode(&self.record).unwrap()
    }
}

fn take(shop: &Shop, hit: &Hit<'_>, sent: &str, json: &str) -> Taken {
    let sent = consent::parse(sent).unwrap();
    let mut admission = shop.ingest.admit(hit, &shop.entry, sent, Telling::default());
    let sender = match shop.entry.pixel.kind {
        PixelKind::Server => Sender::Server,
        _ => Sender::Public,
    };
    let parsed = event(Raw(json), sender).unwrap();
    let (record, result) = admission.take(parsed, Common::default(), Vec::new());
    let listed = admission.has_listed_origin();
    Taken { record, result, cookies: admission.set_cookies(), listed }
}

#[test]
fn with_permission_identifiers_are_kept() {
    let shop = Shop::new(policy(Policy::OptIn), PixelKind::Web);
    let cookie = format!("cairn_id={COOKIE}");
    let hit = Hit { cookies: &cookie, ..hit() };
    let taken = take(&shop, &hit, CONSENTED, EVENT);
    let event = taken.event();
    assert_eq!((event.event_id.as_ref(), event.user_id.as_ref()), ("id-4711", "user-7"));
    assert!(event.traits.contains("anna@mail.example") && event.user_key != 0);
    assert_eq!((event.click_id_kind.as_ref(), event.click_id.as_ref()), ("gclid", "click-5"));
    assert_eq!(event.query, "email=anna@mail.example&gclid=click-5&utm_source=mail&fbclid=f5");
    assert_eq!(event.identification, Identification::Identified);
    let id = parse_cookie_id(COOKIE).unwrap();
    assert_eq!(event.visitor_id, shop.ingest.keys().of_cookie(shop.entry.site.site.id, &id));
    assert_eq!((event.value_minor, event.currency.as_ref()), (Some(5_990), "EUR"));
    assert_eq!((event.basis, event.origin), (Basis::SentChoice, Origin::Live));
    assert_eq!((event.browser.as_ref(), event.os.as_ref()), ("Firefox", "Linux"));
    assert_eq!((event.language.as_ref(), event.utm_source.as_ref()), ("de-CH", "mail"));
    assert!(!everything(&event).contains(AGENT), "the agent's text is never stored");
    assert_eq!(taken.cookies.len(), 1, "the choice; the id is there already");
    assert!(taken.cookies[0].starts_with("cairn_consent=v1.analytics=1.ads=1.t="));
}

#[test]
fn without_permission_no_identifier_is_kept() {
    for (name, sent) in [("denied", "analytics:denied,ads:granted"), ("silent", "")] {
        let shop = Shop::new(policy(Policy::OptIn), PixelKind::Web);
        let cookie = format!("cairn_id={COOKIE}");
        let hit = Hit { cookies: &cookie, ..hit() };
        let taken = take(&shop, &hit, sent, EVENT);
        let event = taken.event();
        let kept = everything(&event);
        for identifier in
            ["anna", "user-7", "click-5", "f5", "id-4711", COOKIE, "203.0.113.9", AGENT]
        {
            assert!(!kept.contains(identifier), "{name}: {identifier} in {kept}");
            let found =
                taken.record.windows(identifier.len()).any(|part| part == identifier.as_bytes());
            assert!(!found, "{name}: {identifier}");
        }
        assert_eq!((event.query.as_ref(), event.user_key), ("utm_source=mail", 0));
        assert_eq!(event.identification, Identification::Anonymous);
        assert_eq!((event.order_id.as_ref(), event.title.as_ref()), ("order-9", "A page"));
        assert_ne!(event.event_key, 0, "a repetition is still recognised");
        let forgets = taken.cookies.iter().any(|cookie| cookie.starts_with("cairn_id=; Max-Age=0"));
        assert_eq!(forgets, name == "denied");
    }
}

#[test]
fn click_ids_need_permission_for_ads() {
    let shop = Shop::new(policy(Policy::OptIn), PixelKind::Web);
    let taken = take(&shop, &hit(), "analytics:granted,ads:denied", EVENT);
    let event = taken.event();
    assert_eq!(event.identification, Identification::Identified);
    assert_eq!(event.query, "email=anna@mail.example&utm_source=mail");
    assert_eq!((event.click_id.as_ref(), event.click_id_kind.as_ref()), ("", ""));
    let under_gpc = Hit { gpc: true, ..hit() };
    assert_eq!(take(&shop, &under_gpc, CONSENTED, EVENT).event().click_id, "");
}

#[test]
fn a_new_visitor_gets_one_id_and_keeps_it() {
    let shop = Shop::new(policy(Policy::OptOut), PixelKind::Web);
    let first = take(&shop, &hit(), "", r#"{"event":"page_view"}"#);
    let cookie = first.cookies[0].split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("cairn_id=") && cookie.len() == 9 + 32);
    let hit = Hit { cookies: &cookie, ..hit() };
    let second = take(&shop, &hit, "", r#"{"event":"page_view"}"#);
    assert_eq!(second.event().visitor_id, first.event().visitor_id);
    assert!(second.cookies.is_empty(), "not refreshed");
}

#[test]
fn nothing_is_set_without_permission_or_choice() {
    let shop = Shop::new(PrivacySettings::default(), PixelKind::Web);
    assert!(take(&shop, &hit(), "", EVENT).cookies.is_empty());
    let tcf = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA";
    let taken = take(&shop, &hit(), tcf, EVENT);
    assert_eq!(taken.event().identification, Identification::Anonymous);
    assert_eq!(taken.cookies.len(), 1, "the choice, and no id");
    assert!(taken.cookies[0].starts_with("cairn_consent=v1.analytics=0s.ads=0s."));
    let broken = take(&shop, &hit(), &tcf[..20], EVENT);
    assert_eq!(broken.event().identification, Identification::Anonymous);
    assert!(broken.cookies.is_empty(), "nobody chose anything");
}

#[test]
fn origins_decide_what_is_echoed_and_kept() {
    let shop = Shop::new(PrivacySettings::default(), PixelKind::Web);
    for (origin, referer, cross_site, listed, identified) in [
        ("https://shop.example", "", false, true, true),
        ("http://www.shop.example:8080", "", false, true, true),
        ("https://partner.example", "", false, true, true),
        ("https://SHOP.example", "", false, true, true),
        ("", "https://shop.example/p", false, false, true),
        ("", "", false, false, true),
        ("https://evilshop.example", "", false, false, false),
        ("https://shop.example.evil.example", "", false, false, false),
        ("https://sub.partner.example", "", false, false, false),
        ("null", "", false, false, false),
        ("", "https://other.example/", false, false, false),
        ("https://shop.example", "", true, true, false),
        ("", "", true, false, false),
    ] {
        let hit = Hit { origin, referer, cross_site, ..hit() };
        let taken = take(&shop, &hit, CONSENTED, EVENT);
        let kind = taken.event().identification;
        let about = format!("{origin} {referer} {cross_site}");
        assert_eq!(taken.listed, listed, "{about}");
        assert_eq!(kind == Identification::Identified, identified, "{about}");
        assert_eq!(taken.cookies.is_empty(), !identified, "{about}");
    }
}

#[test]
fn cross_site_cookies_only_where_the_owner_chose_them() {
    let shop = |kind| Shop::new(PrivacySettings::default(), PixelKind::Web).with_cookies(kind);
    let on_own = hit();
    let hit = Hit { cross_site: true, ..hit() };
    for (kind, own, wanted) in [
        (CrossSiteCookies::Partitioned, "Lax; Secure", "None; Secure; Partitioned"),
        (CrossSiteCookies::ThirdParty, "None; Secure", "None; Secure"),
    ] {
        for (hit, wanted) in [(&on_own, own), (&hit, wanted)] {
            let shop = shop(kind);
            let taken = take(&shop, hit, CONSENTED, EVENT);
            // Whether other sites' pages may keep cookies is seen when one comes back.
            let is_known = taken.event().identification == Identification::Identified;
            assert_eq!(is_known, !hit.cross_site);
            let cookies: Vec<_> =
                taken.cookies.iter().map(|set| set.split(';').next().unwrap()).collect();
            let cookies = cookies.join("; ");
            let next = take(&shop, &Hit { cookies: &cookies, ..hit.clone() }, "", EVENT);
            assert_eq!(next.event().identification, Identification::Identified);
            assert!(next.cookies.is_empty());
            let wanted = format!("; SameSite={wanted}");
            assert_eq!(taken.cookies.len(), 2);
            assert!(taken.cookies.iter().all(|set| set.ends_with(&wanted)), "{:?}", taken.cookies);
        }
    }
    let plain = take(&shop(CrossSiteCookies::None), &hit, CONSENTED, EVENT);
    assert_eq!(plain.event().identification, Identification::Anonymous);
    assert!(plain.cookies.is_empty());
    let shop = shop(CrossSiteCookies::ThirdParty);
    // A link on a page that hides its name leads to the image: nobody says that it is one of the owner's.
    let unnamed = Hit { origin: "", referer: "", ..hit };
    let taken = take(&shop, &unnamed, CONSENTED, EVENT);
    assert_eq!(taken.event().identification, Identification::Anonymous);
    assert!(taken.cookies.is_empty());
}

#[test]
fn a_fixed_image_of_a_mail_or_an_advertisement_knows_nobody() {
    let cookie = format!("cairn_id={COOKIE}; cairn_consent=v1.analytics=1.ads=1.t=1795341000");
    // As mail programs fetch: no page is named, and nothing says that it is another site's.
    let silent = Hit { origin: "", ..hit() };
    let known = Hit { cookies: &cookie, ..silent.clone() };
    let on_own_page = Hit { referer: "https://shop.example/p", ..known.clone() };
    for (kind, name) in [(PixelKind::Email, "email_open"), (PixelKind::Ad, "ad_impression")] {
        for cookies in [CrossSiteCookies::None, CrossSiteCookies::ThirdParty] {
            let mut shop = Shop::new(policy(Policy::OptOut), kind).with_cookies(cookies);
            let asked = format!("event={name}&user_id=anna&consent=analytics:granted,ads:granted");
            let image = |shop: &Shop, hit: &Hit<'_>, asked: &str| {
                let query::ImageQuery { event, consent } =
                    query::image(asked, hit.referer).unwrap();
                let mut admission =
                    shop.ingest.admit(hit, &shop.entry, consent, Telling::default());
                let (record, result) = admission.take(event, Common::default(), Vec::new());
                Taken { record, result, cookies: admission.set_cookies(), listed: false }
            };
            for hit in [&silent, &known, &on_own_page] {
                for asked in [&format!("event={name}"), &asked] {
                    let taken = image(&shop, hit, asked);
                    let event = taken.event();
                    assert_eq!(event.identification, Identification::Anonymous, "{asked}");
                    assert_eq!((event.user_id.as_ref(), event.user_key), ("", 0), "{asked}");
                    assert!(!everything(&event).contains("anna"), "{asked}");
                    assert_eq!((event.name.as_ref(), event.origin), (name, Origin::OffSite));
                    assert!(taken.cookies.is_empty(), "{asked}: {:?}", taken.cookies);
                }
            }
            // A consent of the event's own says no more than that of the request.
            let mut own_word =
                event(Raw(r#"{"event":"a","user_id":"anna"}"#), Sender::Public).unwrap();
            own_word.consent = consent::parse(CONSENTED).unwrap();
            let nothing = consent::parse("").unwrap();
            let mut admission = shop.ingest.admit(&known, &shop.entry, nothing, Telling::default());
            let (record, result) = admission.take(own_word, Common::default(), Vec::new());
            result.unwrap();
            let kept = record::decode(&record).unwrap();
            assert_eq!((kept.identification, kept.user_key), (Identification::Anonymous, 0));
            let site = shop.entry.site.site.id;
            let anna = shop.ingest.keys().of_user(site, "anna");
            let browser = shop.ingest.keys().of_cookie(site, &parse_cookie_id(COOKIE).unwrap()).0;
            for number in [anna, browser] {
                shop.catalog.add_opt_outs(site, &[number], NOW_MS).unwrap();
            }
            shop.refresh();
            for (hit, asked) in [(&silent, &asked), (&known, &format!("event={name}"))] {
                let refused = image(&shop, hit, asked).result.unwrap_err();
                assert_eq!(refused.outcome, Outcome::DroppedOptedOut, "{asked}");
            }
        }
    }
}

#[test]
fn an_override_of_the_signal_is_a_click_of_its_own() {
    let shop = Shop::new(policy(Policy::OptIn), PixelKind::Web);
    let under_gpc = Hit { gpc: true, ..hit() };
    let record = |alone: bool| {
        let sent = consent::parse(CONSENTED).unwrap();
        let admission = shop.ingest.admit(
            &under_gpc,
            &shop.entry,
            sent,
            Telling { alone, ..Telling::default() },
        );
        let cookies = admission.set_cookies();
        let cookie = cookies.iter().find(|cookie| cookie.starts_with("cairn_consent")).unwrap();
        cookie.split(';').next().unwrap().to_owned()
    };
    for (alone, wanted) in [(false, ""), (true, "click-5")] {
        let cookie = record(alone);
        let hit = Hit { cookies: &cookie, ..under_gpc.clone() };
        assert_eq!(take(&shop, &hit, "", EVENT).event().click_id, wanted, "{alone}");
    }
}

#[test]
fn opt_outs_and_strict_policies_keep_nothing() {
    let mut shop = Shop::new(policy(Policy::OptInStrict), PixelKind::Web);
    let site = shop.entry.site.site.id;
    for sent in ["", "analytics:denied"] {
        let taken = take(&shop, &hit(), sent, EVENT);
        assert_eq!(taken.result.unwrap_err().outcome, Outcome::DroppedPolicy);
        assert!(taken.record.is_empty());
    }
    let cookie = format!("cairn_id={COOKIE}");
    let id = parse_cookie_id(COOKIE).unwrap();
    let number = shop.ingest.keys().of_cookie(site, &id).0;
    shop.catalog.add_opt_outs(site, &[number], NOW_MS).unwrap();
    shop.catalog.add_opt_outs(site, &[shop.ingest.keys().of_user(site, "user-9")], NOW_MS).unwrap();
    shop.refresh();
    let known = Hit { cookies: &cookie, ..hit() };
    let taken = take(&shop, &known, CONSENTED, EVENT);
    assert_eq!(taken.result.unwrap_err().outcome, Outcome::DroppedOptedOut);
    assert!(taken.cookies.is_empty());
    // Also where the cookie serves nothing else.
    for foreign in [
        Hit { origin: "https://blog.example", ..known.clone() },
        Hit { cross_site: true, ..known.clone() },
    ] {
        let taken = take(&shop, &foreign, CONSENTED, EVENT);
        assert_eq!(taken.result.unwrap_err().outcome, Outcome::DroppedOptedOut);
    }
    let by_user = take(&shop, &hit(), CONSENTED, r#"{"event":"a","user_id":"user-9"}"#);
    assert_eq!(by_user.result.unwrap_err().outcome, Outcome::DroppedOptedOut);
    assert!(take(&shop, &hit(), CONSENTED, EVENT).result.is_ok());
    // Nor does an import of what was exported before, in which he has his number.
    let importer = Importer::new(&shop.ingest, &shop.entry.site, NOW_MS);
    let import = |name: String| {
        let line = format!(
            r#"{{"event":"page_view","timestamp":{NOW_MS},"url":"https://shop.example/",
                "visitor_id":"{name}"}}"#
        );
        importer.line(1, line.replace('\n', "").as_bytes(), Vec::new()).1
    };
    let refused = import(format!("{number:016x}")).unwrap_err();
    assert_eq!(refused.outcome, Outcome::DroppedOptedOut);
    assert!(import(format!("{:016x}", number ^ 1)).unwrap());
}

#[test]
fn addresses_of_items_keep_what_the_page_may_keep() {
    let shop = Shop::new(policy(Policy::OptIn), PixelKind::Web);
    let json = r#"{"event":"add_to_cart","items":[{"item_id":"a?b","price":59.90,
        "url":"https://shop.example/p?tok=secretq&utm_source=mail#x","image_url":"/i.png?t=1"}]}"#;
    let admission = |consent| {
        let hit = hit();
        let mut admission = shop.ingest.admit(&hit, &shop.entry, consent, Telling::default());
        let (record, result) = admission.take(
            event(Raw(json), Sender::Public).unwrap(),
            Common::default(),
            Vec::new(),
        );
        result.unwrap();
        record::decode(&record).unwrap().items.into_owned()
    };
    assert_eq!(
        admission(consent::SentConsent::Nothing),
        r#"[{"item_id":"a?b","price":59.90,"url":"https://shop.example/p?utm_source=mail","image_url":"/i.png"}]"#
    );
    let agreed = consent::parse("analytics:granted,ads:granted").unwrap();
    assert!(admission(agreed).contains("tok=secretq"));
}

#[test]
fn times_and_repetitions() {
    let shop = Shop::new(policy(Policy::OptOut), PixelKind::Web);
    let hit = hit();
    let mut admission =
        shop.ingest.admit(&hit, &shop.entry, consent::SentConsent::Nothing, Telling::default());
    let mut take = |json: &str| {
        let parsed = event(Raw(json), Sender::Public).unwrap();
        let (record, result) = admission.take(parsed, Common::default(), Vec::new());
        result.map(|()| record::decode(&record).unwrap().timestamp_ms)
    };
    assert_eq!(take(r#"{"event":"a"}"#), Ok(NOW_MS));
    assert_eq!(take(&format!(r#"{{"event":"a","timestamp":{}}}"#, NOW_MS - 5)), Ok(NOW_MS - 5));
    let day = 24 * 60 * 60 * 1000;
    for (timestamp, wanted) in [
        (NOW_MS - 7 * day - 1, Outcome::RejectedTooOld),
        (NOW_MS + 5 * 60 * 1000 + 1, Outcome::RejectedInFuture),
    ] {
        let json = format!(r#"{{"event":"a","timestamp":{timestamp}}}"#);
        assert_eq!(take(&json).unwrap_err().outcome, wanted);
    }
    assert!(take(r#"{"event":"a","event_id":"1"}"#).is_ok());
    let again = take(r#"{"event":"b","event_id":"1"}"#).unwrap_err();
    assert_eq!(again.outcome, Outcome::Duplicate);
    assert!(take(r#"{"event":"b","event_id":"2"}"#).is_ok());
}

#[test]
fn a_server_speaks_for_its_visitors() {
    let shop = Shop::new(policy(Policy::OptIn), PixelKind::Server);
    let hit = Hit {
        origin: "",
        agent: crate::ingest::enrich::AgentFacts { user_agent: "python/3", ..Default::default() },
        ..hit()
    };
    let json = format!(
        r#"{{"event":"page_view","user_id":"u","context":{{"ip":"198.51.100.1","user_agent":"{AGENT}"}}}}"#
    );
    let full = take(&shop, &hit, CONSENTED, &json);
    let event = full.event();
    assert_eq!((event.browser.as_ref(), event.bot.as_ref()), ("Firefox", ""));
    assert_eq!((event.basis, event.identification), (Basis::Server, Identification::Identified));
    assert!(full.cookies.is_empty(), "a server has no cookie jar of the visitor's");
    assert!(!everything(&event).contains("198.51.100.1"));
    let silent = take(&shop, &hit, "", &json);
    assert_eq!(silent.event().identification, Identification::Anonymous);
    assert_eq!(silent.event().user_id, "");
    let again = take(&shop, &hit, "", &json);
    assert_eq!(again.event().visitor_id, silent.event().visitor_id, "same address and agent");
    let lone = take(&shop, &hit, "", r#"{"event":"page_view"}"#);
    let other = take(&shop, &hit, "", r#"{"event":"page_view"}"#);
    assert_ne!(lone.event().visitor_id, other.event().visitor_id);
    assert_eq!((lone.event().browser.as_ref(), lone.event().bot.as_ref()), ("", ""));
}

#[test]
fn routes_and_fragments() {
    let shop = Shop::new(policy(Policy::OptIn), PixelKind::Web);
    let json = r#"{"event":"page_view","url":"https://shop.example/app#/reset?token=secret"}"#;
    assert_eq!(take(&shop, &hit(), CONSENTED, json).event().path, "/app#/reset?token=secret");
    let taken = take(&shop, &hit(), "", json);
    assert_eq!(taken.event().path, "/app#/reset");
}

#[test]
fn prefetched_images_are_bots() {
    let shop = Shop::new(policy(Policy::OptIn), PixelKind::Image);
    let mut hit = hit();
    hit.agent.headers.purpose = "prefetch;prerender";
    let read = query::image("", "https://shop.example/p").unwrap();
    let mut admission = shop.ingest.admit(&hit, &shop.entry, read.consent, Telling::default());
    let (record, result) = admission.take(read.event, Common::default(), Vec::new());
    result.unwrap();
    assert_eq!(record::decode(&record).unwrap().bot, "prefetch");
}

#[test]
fn imports_say_what_they_know() {
    let shop = Shop::new(policy(Policy::Anonymous), PixelKind::Web);
    let importer = Importer::new(&shop.ingest, &shop.entry.site, NOW_MS);
    let line = |text: &str| {
        let (record, result) = importer.line(1, text.as_bytes(), Vec::new());
        result.map(|is_event| is_event.then_some(record))
    };
    let record = line(
        r#"{"event":"page_view","timestamp":"2015-05-17T10:05:03Z","visitor_id":"v1",
        "session_id":"s1","url":"https://shop.example/a?gclid=7","referrer":"example.com",
        "source":"Newsletter","geo":{"country":"US","region":"US-CA","city":"5391959"},
        "device":{"browser":"Chrome","type":"Mobile"},"bot":true}"#,
    );
    let record = record.unwrap().unwrap();
    let event = record::decode(&record).unwrap();
    assert_eq!((event.origin, event.basis), (Origin::Import, Basis::OwnerAssertion));
    assert_eq!(event.timestamp_ms, 1_431_857_103_000);
    assert_eq!((event.referrer.as_ref(), event.source.as_ref()), ("example.com", "Newsletter"));
    assert_eq!((event.country.as_ref(), event.city.as_ref()), ("US", "5391959"));
    assert_eq!((event.browser.as_ref(), event.device.as_ref()), ("Chrome", "Mobile"));
    assert_eq!((event.bot.as_ref(), event.click_id.as_ref()), ("import", "7"));
    assert_ne!(event.session_key, 0);
    for (given, kept) in [("DE", "DE"), ("fr", "FR"), ("", "")] {
        let text = format!(r#"{{"event":"a","geo":{{"country":"{given}"}}}}"#);
        let record = line(&text).unwrap().unwrap();
        assert_eq!(record::decode(&record).unwrap().country, kept, "{given}");
    }
    for given in ["Germany", "DEU", "ZZ", "D", "ÄÖ", "276"] {
        let text = format!(r#"{{"event":"a","geo":{{"country":"{given}"}}}}"#);
        let rejection = line(&text).unwrap_err();
        let found = (rejection.outcome, rejection.field.as_ref());
        assert_eq!(found, (Outcome::RejectedMalformed, "geo.country"), "{given}");
    }
    let visitor = |context: &str| {
        let text = format!(r#"{{"event":"a","context":{context}}}"#);
        let record = line(&text).unwrap().unwrap();
        record::decode(&record).unwrap().visitor_id
    };
    let one = r#"{"ip":"203.0.113.9","user_agent":"x"}"#;
    assert_eq!(visitor(one), visitor(one));
    assert_ne!(visitor(one), visitor(r#"{"ip":"203.0.113.8","user_agent":"x"}"#));
    let lone = |text| record::decode(&line(text).unwrap().unwrap()).unwrap().visitor_id;
    assert_ne!(lone(r#"{"event":"a"}"#), lone(r#"{"event":"a"}"#));
    assert_eq!(line("  \r"), Ok(None));
    let ahead = format!(r#"{{"event":"a","timestamp":{}}}"#, NOW_MS + 6 * 60 * 1000);
    assert_eq!(line(&ahead).unwrap_err().outcome, Outcome::RejectedInFuture);
    assert_eq!(line("{").unwrap_err().outcome, Outcome::RejectedMalformed);
    assert_eq!(line(r#"{"event":"a","x":1}"#).unwrap_err().outcome, Outcome::RejectedUnknownField);
}

#[test]
fn an_imported_user_is_one_named_visitor() {
    let shop = Shop::new(policy(Policy::Anonymous), PixelKind::Web);
    let (keys, site) = (shop.ingest.keys(), shop.entry.site.site.id);
    let importer = Importer::new(&shop.ingest, &shop.entry.site, NOW_MS);
    let line = |text: &str| {
        let (record, result) = importer.line(1, text.as_bytes(), Vec::new());
        result.unwrap();
        let event = record::decode(&record).unwrap().into_owned();
        (event.visitor_id, event.identification, event.user_key, event.user_id)
    };
    let (user_key, user) = (keys.of_user(site, "u7"), keys.of_named_visitor(site, "u7"));
    let identified = |visitor| (visitor, Identification::Identified, user_key, "u7".into());
    assert_eq!(line(r#"{"event":"a","user_id":"u7"}"#), identified(user));
    assert_eq!(line(r#"{"event":"b","user_id":"u7"}"#), identified(user), "also the next time");
    assert_ne!(line(r#"{"event":"a","user_id":"u8"}"#).0, user);
    let named = keys.of_named_visitor(site, "v1");
    assert_eq!(line(r#"{"event":"a","user_id":"u7","visitor_id":"v1"}"#), identified(named));
    let (nobody, kind, key, _) = line(r#"{"event":"a"}"#);
    assert_ne!(nobody, user);
    assert_eq!((kind, key), (Identification::Anonymous, 0));
}

#[test]
fn a_repeated_import_call_gives_its_lines_the_same_keys() {
    let shop = Shop::new(policy(Policy::Anonymous), PixelKind::Web);
    let key = |call: Option<[u8; 32]>, number: u64, text: &str| {
        let importer = Importer::new(&shop.ingest, &shop.entry.site, NOW_MS).of_call(call);
        let (record, result) = importer.line(number, text.as_bytes(), Vec::new());
        result.unwrap();
        record::decode(&record).unwrap().event_key
    };
    let (one, other, bare) = (Some([1; 32]), Some([2; 32]), r#"{"event":"a"}"#);
    assert_eq!(
        key(None, 1, bare),
        0,
        "without a call an event without an id is never a repetition"
    );
    assert_eq!(key(one, 1, bare), key(one, 1, bare));
    assert_ne!(key(one, 1, bare), 0);
    assert_ne!(key(one, 1, bare), key(one, 2, bare), "equal lines are two events");
    assert_ne!(key(one, 1, bare), key(other, 1, bare));
    let named = r#"{"event":"a","event_id":"7"}"#;
    assert_eq!(key(one, 1, named), key(other, 2, named), "an id of its own wins");
}

/// Version 1 as it was first written: must be read for ever.
const FIXTURE: &str = include_str!("record_v1.hex");

fn fixture_event() -> Event<'static> {
    let mut event = Event::bare(SiteId(7), "purchase", NOW_MS);
    event.received_at_ms = NOW_MS + 40;
    event.event_key = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
    event.hostname = "shop.example".into();
    event.path = "/p/7".into();
    event.value_minor = Some(5_990);
    event.currency = "EUR".into();
    event.props = r#"{"plan":"pro"}"#.into();
    event
}

#[test]
fn records_of_version_1_stay_readable() {
    let written = record::encode(&fixture_event(), Vec::new()).unwrap();
    println!("{}", written.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let bytes: Vec<u8> = FIXTURE
        .trim()
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    assert_eq!(record::decode(&bytes).unwrap(), fixture_event());
    assert_eq!(written, bytes);
    assert!(matches!(record::decode(&[]), Err(record::RecordError::Empty)));
    assert!(matches!(record::decode(&[9, 1]), Err(record::RecordError::Version(9))));
    for end in 1..bytes.len() {
        assert!(record::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
}

/// A page view at this address, to which one of our links led.
fn landing(shop: &Shop, sent: &str, url: &str) -> [String; 3] {
    let hit = hit();
    let mut admission =
        shop.ingest.admit(&hit, &shop.entry, consent::parse(sent).unwrap(), Telling::default());
    let json = format!(r#"{{"event":"page_view","url":"{url}"}}"#);
    let mut parsed = event(Raw(&json), Sender::Public).unwrap();
    let utm = ["ads", "display", "spring", "", ""].map(str::to_owned);
    landed(&mut parsed, &ClickClaims { utm, ..ClickClaims::default() });
    let (record, result) = admission.take(parsed, Common::default(), Vec::new());
    result.unwrap();
    let event = record::decode(&record).unwrap();
    [&event.source, &event.channel, &event.utm_campaign].map(|text| text.to_string())
}

#[test]
fn the_campaign_of_a_landing_is_what_its_address_names_whoever_agrees_to_what() {
    let shop = Shop::new(policy(Policy::OptIn), PixelKind::Web);
    for sent in [CONSENTED, "analytics:granted,ads:denied", "analytics:denied"] {
        let of_click = landing(&shop, sent, "https://shop.example/p?a=1");
        assert_eq!(of_click, ["ads", "Display", "spring"], "{sent}");
        let bought = landing(&shop, sent, "https://shop.example/p?gclid=click-5");
        assert_eq!(bought, ["Google", "Paid Search", ""], "{sent}");
        let named = landing(&shop, sent, "https://shop.example/p?utm_source=own&utm_medium=email");
        assert_eq!(named, ["own", "Email", ""], "{sent}");
    }
}
