//! Opens and clicks through gate and record: what is in it, and what is not.

use cairn_model::{
    Basis, Event, Identification, Outcome, PixelId, PixelKind, Policy, PrivacySettings,
};

use super::*;
use crate::ingest::cookies::CONSENT_COOKIE;
use crate::ingest::tests::{AGENT, NOW_MS, Shop, everything, hit};
use crate::record;
use crate::token::Link;

const COOKIE: &str = "00112233445566778899aabbccddeeff";
const MESSAGE: [u8; 16] = [0xab; 16];

fn shop(policy: Policy) -> Shop {
    let privacy = PrivacySettings { policy, ..PrivacySettings::default() };
    Shop::new(privacy, PixelKind::Email)
}

fn claims(shop: &Shop, link: Option<(&str, u16)>) -> Claims {
    let site = shop.entry.site.site.id;
    Claims {
        issued_at_ms: NOW_MS - 60_000,
        expires_at_ms: NOW_MS + 60_000,
        pixel_id: PixelId(7),
        message: MESSAGE,
        shared: false,
        mail: true,
        recipient: shop.ingest.keys().of_user(site, "anna-1").to_le_bytes(),
        campaign: "spring".to_owned(),
        template: "short".to_owned(),
        link: link.map(|(target, number)| Link { target: target.to_owned(), number }),
        ..Claims::default()
    }
}

fn anna() -> MailPermission {
    MailPermission::Granted("anna-1".to_owned())
}

/// A browser that follows a link.
fn browser<'a>() -> Hit<'a> {
    let mut hit = Hit { origin: "", ..hit() };
    hit.agent.headers.has_accept_language = true;
    hit.agent.headers.has_sec_fetch = true;
    hit
}

struct Taken {
    record: Vec<u8>,
    result: Result<JudgedMail, Rejection>,
}

impl Taken {
    fn event(&self) -> Event<'_> {
        self.result.as_ref().unwrap();
        record::decode(&self.record).unwrap()
    }

    fn refusal(&self) -> Outcome {
        assert!(self.record.is_empty());
        self.result.as_ref().unwrap_err().outcome
    }
}

const LINK: (&str, u16) = ("https://shop.example/p?customer=anna#c", 3);

fn take(shop: &Shop, hit: &Hit<'_>, permission: &MailPermission, act: MailAct) -> Taken {
    let claims = claims(shop, (act == MailAct::Click).then_some(LINK));
    take_of(shop, hit, permission, act, &claims)
}

fn take_of(
    shop: &Shop,
    hit: &Hit<'_>,
    permission: &MailPermission,
    act: MailAct,
    claims: &Claims,
) -> Taken {
    let traces = MailTraces::default();
    let mail = MailHit { act, claims, permission, traces };
    let (record, result) = shop.ingest.take_mail(hit, &shop.entry.site, &mail, Vec::new());
    Taken { record, result }
}

#[test]
fn with_permission_a_click_is_the_recipients() {
    let shop = shop(Policy::OptIn);
    let taken = take(&shop, &browser(), &anna(), MailAct::Click);
    let event = taken.event();
    let site = shop.entry.site.site.id;
    assert_eq!((event.name.as_ref(), event.user_id.as_ref()), ("email_click", "anna-1"));
    assert_eq!(event.identification, Identification::Identified);
    assert_eq!(event.visitor_id, shop.ingest.keys().of_named_visitor(site, "anna-1"));
    assert_eq!((event.pixel_id, event.basis), (PixelId(7), Basis::Server));
    assert_eq!((event.medium.as_ref(), event.channel.as_ref()), ("email", "Email"));
    assert_eq!((event.utm_campaign.as_ref(), event.bot.as_ref()), ("spring", ""));
    assert_eq!(
        event.props,
        "{\"campaign\":\"spring\",\"template\":\"short\",\"link\":\"https://shop.example/p\",\
         \"link_number\":\"3\",\"mail\":\"abababababababababababababababab\",\
         \"verdict\":\"human\",\"reasons\":\"browser\"}"
    );
    assert_eq!((event.browser.as_ref(), event.language.as_ref()), ("Firefox", "de-CH"));
    assert!(!everything(&event).contains(AGENT));
}

#[test]
fn without_permission_only_the_campaign_is_counted() {
    let shop = shop(Policy::OptIn);
    for act in [MailAct::Open, MailAct::Click] {
        let taken = take(&shop, &browser(), &MailPermission::Nobody, act);
        let event = taken.event();
        assert_eq!(event.identification, Identification::Anonymous);
        assert_eq!((event.user_key, event.event_id.as_ref()), (0, ""));
        assert!(event.event_key != 0 && event.props.contains("\"campaign\":\"spring\""));
        let kept = everything(&event);
        for identifier in ["anna", "abababab", "203.0.113.9", "customer"] {
            assert!(!kept.contains(identifier), "{identifier} in {kept}");
        }
        // Everybody without permission is the same visitor: the campaign.
        let mut other = browser();
        other.address = cairn_enrich::Address::new("198.51.100.7".parse().unwrap());
        let second = take(&shop, &other, &MailPermission::Nobody, act);
        assert_eq!(second.event().visitor_id, event.visitor_id);
    }
}

#[test]
fn permission_that_was_taken_back_keeps_nothing() {
    for policy in [Policy::OptOut, Policy::OptInStrict, Policy::Regional] {
        let shop = shop(policy);
        let taken = take(&shop, &browser(), &MailPermission::Withdrawn, MailAct::Open);
        assert_eq!(taken.refusal(), Outcome::DroppedOptedOut);
    }
}

#[test]
fn an_opt_out_of_recipient_or_browser_holds() {
    let mut shop = shop(Policy::OptOut);
    let site = shop.entry.site.site.id;
    let cookie = crate::ingest::visitor::parse_cookie_id(COOKIE).unwrap();
    let of_cookie = shop.ingest.keys().of_cookie(site, &cookie).0;
    shop.catalog.add_opt_outs(site, &[of_cookie], NOW_MS).unwrap();
    shop.refresh();
    let header = format!("cairn_id={COOKIE}");
    let shown = Hit { cookies: &header, ..browser() };
    let refused = take(&shop, &shown, &anna(), MailAct::Click);
    assert_eq!(refused.refusal(), Outcome::DroppedOptedOut);
    assert!(take(&shop, &browser(), &anna(), MailAct::Click).result.is_ok());
    // The word in the browser's cookie, which names nobody.
    let word = format!("{CONSENT_COOKIE}=v1.analytics=0.out=1.t={}", NOW_MS / 1000);
    let shown = Hit { cookies: &word, ..browser() };
    for act in [MailAct::Open, MailAct::Click] {
        for permission in [anna(), MailPermission::Nobody] {
            let refused = take(&shop, &shown, &permission, act);
            assert_eq!(refused.refusal(), Outcome::DroppedOptedOut);
        }
    }
    let of_user = shop.ingest.keys().of_user(site, "anna-1");
    shop.catalog.add_opt_outs(site, &[of_user], NOW_MS).unwrap();
    shop.refresh();
    for permission in [anna(), MailPermission::Nobody] {
        let refused = take(&shop, &browser(), &permission, MailAct::Click);
        assert_eq!(refused.refusal(), Outcome::DroppedOptedOut);
    }
}

#[test]
fn a_click_never_takes_the_browsers_visitor() {
    let shop = shop(Policy::OptOut);
    let site = shop.entry.site.site.id;
    // The mail was forwarded: this browser is somebody else's, who agreed to be known.
    let header = format!("cairn_id={COOKIE}; {CONSENT_COOKIE}=v1.analytics=1.t={}", NOW_MS / 1000);
    let forwarded = Hit { cookies: &header, ..browser() };
    let cookie = crate::ingest::visitor::parse_cookie_id(COOKIE).unwrap();
    let theirs = shop.ingest.keys().of_cookie(site, &cookie);
    for permission in [anna(), MailPermission::Nobody] {
        let taken = take(&shop, &forwarded, &permission, MailAct::Click);
        let event = taken.event();
        assert_ne!(event.visitor_id, theirs);
        assert_ne!(event.previous_visitor_id, theirs);
    }
}

#[test]
fn a_browser_that_said_no_makes_the_click_nobodys() {
    let shop = shop(Policy::OptOut);
    let header = format!("{CONSENT_COOKIE}=v1.analytics=0.t={}", NOW_MS / 1000);
    let denying = Hit { cookies: &header, ..browser() };
    let taken = take(&shop, &denying, &anna(), MailAct::Click);
    assert_eq!((taken.event().user_key, taken.event().user_id.as_ref()), (0, ""));
    let strict = self::shop(Policy::OptInStrict);
    let taken = take(&strict, &denying, &anna(), MailAct::Click);
    assert_eq!(taken.refusal(), Outcome::DroppedPolicy);
}

#[test]
fn a_machine_is_marked_and_is_not_the_recipient() {
    let shop = shop(Policy::OptIn);
    let mut scanner = browser();
    scanner.agent.user_agent = "BarracudaCentral";
    let taken = take(&shop, &scanner, &anna(), MailAct::Click);
    let event = taken.event();
    assert_eq!((event.bot.as_ref(), event.user_key), ("mail:security_scanner", 0));
    assert_eq!(event.identification, Identification::Anonymous);
    assert!(event.props.contains("\"verdict\":\"machine\""));
    assert!(!everything(&event).contains("abababab"), "nothing joins it to the mail");
    // The reader behind it is another visitor, and not a repetition.
    let taken = take(&shop, &browser(), &anna(), MailAct::Click);
    let human = taken.event();
    assert_ne!((human.visitor_id, human.event_key), (event.visitor_id, event.event_key));
    let again = take(&shop, &browser(), &anna(), MailAct::Click);
    assert_eq!(again.event().event_key, human.event_key, "a repetition is recognised");
}

#[test]
fn a_shared_mail_counts_each_sender_once() {
    let shop = shop(Policy::OptIn);
    let claims = Claims { shared: true, recipient: [0; 8], ..claims(&shop, None) };
    let key = |ip: &str, user_agent| {
        let mut hit = browser();
        hit.address = cairn_enrich::Address::new(ip.parse().unwrap());
        hit.agent.user_agent = user_agent;
        let taken = take_of(&shop, &hit, &MailPermission::Nobody, MailAct::Open, &claims);
        let event = taken.event();
        assert!(!everything(&event).contains(ip));
        event.event_key
    };
    let proxy =
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
    assert_eq!(key("203.0.113.9", AGENT), key("203.0.113.9", AGENT), "the same reader");
    assert_ne!(key("203.0.113.9", AGENT), key("203.0.113.10", AGENT));
    // Behind one address of a proxy are many readers: there is nothing to tell them by.
    assert_eq!((key("203.0.113.9", proxy), key("203.0.113.9", proxy)), (0, 0));
}

#[test]
fn a_link_outside_of_mails_says_so() {
    let shop = shop(Policy::OptIn);
    let claims =
        Claims { shared: true, mail: false, recipient: [0; 8], ..claims(&shop, Some(LINK)) };
    let hit = Hit { referer: "https://www.google.com/", ..browser() };
    let taken = take_of(&shop, &hit, &MailPermission::Nobody, MailAct::Click, &claims);
    let event = taken.event();
    assert_eq!((event.name.as_ref(), event.source.as_ref()), ("link_click", "Google"));
    assert_eq!((event.utm_campaign.as_ref(), event.medium.as_ref()), ("spring", "organic"));
}
