//! Advertisements through gate and record: what is in it, and what is not.

use cairn_model::{Event, Identification, Outcome, PixelId, PixelKind, Policy, PrivacySettings};

use super::*;
use crate::ingest::cookies::CONSENT_COOKIE;
use crate::ingest::tests::{AGENT, NOW_MS, Shop, everything, hit};
use crate::record;
use crate::token::Link;

const COOKIE: &str = "00112233445566778899aabbccddeeff";

fn shop(policy: Policy, cross_site_cookies: bool) -> Shop {
    let privacy = PrivacySettings { policy, ..PrivacySettings::default() };
    let kind = match cross_site_cookies {
        true => CrossSiteCookies::Partitioned,
        false => CrossSiteCookies::None,
    };
    Shop::new(privacy, PixelKind::Ad).with_cookies(kind)
}

fn claims() -> Claims {
    Claims {
        issued_at_ms: NOW_MS - 60_000,
        expires_at_ms: NOW_MS + 60_000,
        pixel_id: PixelId(7),
        message: [0xab; 16],
        shared: true,
        campaign: "spring".to_owned(),
        ad: Some(Box::new(AdClaims {
            source: "news".to_owned(),
            medium: "display".to_owned(),
            content: "blue".to_owned(),
            term: "shoes".to_owned(),
            creative: "c-7".to_owned(),
            cost: "0.0025".to_owned(),
            cost_currency: "EUR".to_owned(),
            ..AdClaims::default()
        })),
        ..Claims::default()
    }
}

/// A browser that shows a publisher's page.
fn browser<'a>() -> Hit<'a> {
    let mut hit =
        Hit { origin: "", referer: "https://news.example/a?user=anna", cross_site: true, ..hit() };
    hit.agent.headers.has_accept_language = true;
    hit.agent.headers.has_sec_fetch = true;
    hit
}

fn take(
    shop: &Shop,
    hit: &Hit<'_>,
    act: AdAct,
    query: &str,
) -> (Vec<u8>, Result<JudgedAd, Rejection>) {
    let mut claims = Claims { pixel_id: shop.entry.pixel.id, ..claims() };
    if act == AdAct::Click {
        let target = "https://shop.example/p?customer=anna#c".to_owned();
        claims.link = Some(Link { target, number: 1 });
    }
    let request = AdRequest::read(query);
    let ad = claims.ad.clone().unwrap();
    let ad =
        AdHit { act, claims: &claims, ad: &ad, request: &request, traces: AdTraces::default() };
    shop.ingest.take_ad(hit, &shop.entry.site, &ad, Vec::new())
}

fn event(record: &[u8]) -> Event<'_> {
    record::decode(record).unwrap()
}

#[test]
fn an_impression_has_its_campaign_and_nobody() {
    let shop = shop(Policy::OptOut, false);
    let cookies = format!("cairn_id={COOKIE}");
    let shown = Hit { cookies: &cookies, ..browser() };
    let query = "cb=1&creative=other&placement=top&site=news.example&price=1.5";
    let (record, taken) = take(&shop, &shown, AdAct::Impression, query);
    assert_eq!(taken.unwrap().visitor, None);
    let event = event(&record);
    assert_eq!((event.name.as_ref(), event.pixel_id), ("ad_impression", shop.entry.pixel.id));
    assert_eq!(event.identification, Identification::Anonymous);
    assert_eq!((event.source.as_ref(), event.medium.as_ref()), ("news", "display"));
    assert_eq!((event.utm_campaign.as_ref(), event.channel.as_ref()), ("spring", "Display"));
    assert_eq!((event.utm_content.as_ref(), event.utm_term.as_ref()), ("blue", "shoes"));
    assert_eq!(
        event.props,
        "{\"campaign\":\"spring\",\"creative\":\"c-7\",\"placement\":\"top\",\
         \"site\":\"news.example\",\"price\":\"1.5\",\"cost\":\"0.0025\",\"cost_currency\":\"EUR\",\
         \"verdict\":\"human\",\"reasons\":\"browser\"}"
    );
    let kept = everything(&event);
    for identifier in ["anna", AGENT, "203.0.113.9", COOKIE] {
        assert!(!kept.contains(identifier), "{identifier} in {kept}");
    }
}

#[test]
fn only_the_owners_choice_and_both_permissions_let_the_browser_be_known() {
    let header = |analytics: u8, ads: u8| {
        format!(
            "cairn_id={COOKIE}; {CONSENT_COOKIE}=v1.analytics={analytics}.ads={ads}.t={}",
            NOW_MS / 1000
        )
    };
    let known = |shop: &Shop, cookies: &str, referer: &'static str, query: &str| {
        let hit = Hit { cookies, referer, ..browser() };
        take(shop, &hit, AdAct::Impression, query).1.unwrap().visitor.is_some()
    };
    let (chosen, not) = (shop(Policy::OptIn, true), shop(Policy::OptIn, false));
    let listed = "https://partner.example/page";
    assert!(known(&chosen, &header(1, 1), listed, ""));
    assert!(!known(&not, &header(1, 1), listed, ""), "the owner chose no cookies across sites");
    assert!(!known(&chosen, &header(1, 0), listed, ""), "no to advertising");
    assert!(!known(&chosen, &header(0, 1), listed, ""), "no to analysis");
    assert!(!known(&chosen, &header(1, 1), "https://news.example/", ""), "a page not listed");
    assert!(!known(&chosen, &header(1, 1), listed, "gdpr_consent=CPx"), "a string counts as no");
    assert!(!known(&chosen, &header(1, 1), listed, "gdpr=1"));
    // Strings that say yes, no, and no to the sale, newer than no record and as old as none.
    let all =
        "gdpr_consent=CQgcD4AQgcD4AEsAHBENB4FsAP_gAEPgAAYgAKP__8AFH__-AAAA.IAKP__8A.YAAAAAAAAAAA";
    let none = "gdpr_consent=CQgcD4AQgcD4AEsAHBENB4FgAAAAAAAAAAYgAAAAAAAA.IAKP__8A.YAAAAAAAAAAA";
    let cookie = format!("cairn_id={COOKIE}");
    assert!(!known(&chosen, &cookie, listed, ""), "nobody said yes");
    assert!(known(&chosen, &cookie, listed, all));
    assert!(!known(&chosen, &cookie, listed, none));
    assert!(!known(&not, &cookie, listed, all));
    assert!(!known(&chosen, &cookie, "https://news.example/", all));
    assert!(!known(&chosen, &cookie, listed, &format!("{all}&us_privacy=1YYN")));
    assert!(!known(&chosen, &header(1, 1), listed, "gpp=DBABBg~BVVVVUCA.YA&gpp_sid=8"));
    assert!(!known(&chosen, &header(1, 0), listed, all), "the record is newer");
    let cookies = header(1, 1);
    let robot = Hit { cookies: &cookies, referer: listed, ..browser() };
    let mut robot = robot;
    robot.agent.user_agent = "Googlebot/2.1";
    assert_eq!(take(&chosen, &robot, AdAct::Impression, "").1.unwrap().visitor, None);
}

#[test]
fn nothing_joins_a_known_browser_to_its_anonymous_number() {
    let shop = shop(Policy::OptIn, true);
    let cookies =
        format!("cairn_id={COOKIE}; {CONSENT_COOKIE}=v1.analytics=1.ads=1.t={}", NOW_MS / 1000);
    let hit = Hit { cookies: &cookies, referer: "https://partner.example/page", ..browser() };
    let (record, taken) = take(&shop, &hit, AdAct::Impression, "cb=77");
    assert!(taken.unwrap().visitor.is_some());
    let (ip, agent) = (hit.address.ip(), hit.agent.user_agent);
    let passing = shop.ingest.anonymous.number(&shop.entry.site, NOW_MS, ip, agent).current;
    let event = event(&record);
    assert_ne!(event.visitor_id, passing);
    assert!(!format!("{event:?}").contains(&format!("{:x}", passing.0)), "{}", event.event_id);
}

#[test]
fn strict_sites_keep_nothing_and_an_opt_out_holds() {
    let strict = shop(Policy::OptInStrict, false);
    let (record, taken) = take(&strict, &browser(), AdAct::Impression, "gdpr_consent=CPx");
    assert_eq!((taken.unwrap_err().outcome, record.len()), (Outcome::DroppedPolicy, 0));
    let mut shop = shop(Policy::OptOut, false);
    let site = shop.entry.site.site.id;
    let cookie = crate::ingest::visitor::parse_cookie_id(COOKIE).unwrap();
    let visitor = shop.ingest.keys().of_cookie(site, &cookie).0;
    shop.catalog.add_opt_outs(site, &[visitor], NOW_MS).unwrap();
    shop.refresh();
    let cookies = format!("cairn_id={COOKIE}");
    let (_, taken) = take(&shop, &Hit { cookies: &cookies, ..browser() }, AdAct::Click, "");
    assert_eq!(taken.unwrap_err().outcome, Outcome::DroppedOptedOut);
}

#[test]
fn one_impression_of_one_sender_has_one_key() {
    let shop = shop(Policy::OptOut, false);
    let key = |hit: &Hit<'_>, act, query: &str| event(&take(&shop, hit, act, query).0).event_key;
    let first = key(&browser(), AdAct::Impression, "cb=1");
    assert_eq!(first, key(&browser(), AdAct::Impression, "cb=1&price=2"));
    assert_ne!(first, key(&browser(), AdAct::Impression, "cb=2"));
    assert_ne!(first, key(&browser(), AdAct::View, "cb=1"));
    let mut other = browser();
    other.address = cairn_enrich::Address::new("198.51.100.7".parse().unwrap());
    assert_ne!(first, key(&other, AdAct::Impression, "cb=1"), "another person, same number");
    let later = |ms| Hit { received_at_ms: NOW_MS + ms, ..browser() };
    let unfilled = "cb=%%CACHEBUSTER%%";
    let first = key(&later(0), AdAct::Impression, unfilled);
    assert_eq!(first, key(&later(999), AdAct::Impression, unfilled), "within a second");
    assert_ne!(first, key(&later(1_000), AdAct::Impression, unfilled));
}

#[test]
fn a_click_costs_and_leads_without_saying_whom() {
    let shop = shop(Policy::OptOut, false);
    let (record, taken) = take(&shop, &browser(), AdAct::Click, "");
    assert_eq!(taken.unwrap().verdict.class, SenderClass::Human);
    let clicked = event(&record);
    assert_eq!(clicked.name, "ad_click");
    assert!(clicked.props.contains("\"link\":\"https://shop.example/p\""), "{}", clicked.props);
    assert!(!clicked.props.contains("cost"), "impressions cost here");
    let mut robot = browser();
    robot.agent.user_agent = "Googlebot/2.1";
    let (record, _) = take(&shop, &robot, AdAct::Click, "");
    let machine = event(&record);
    assert_eq!(machine.bot, "ad:declared:Googlebot");
    assert_ne!(machine.visitor_id, clicked.visitor_id);
}

#[test]
fn a_browser_that_opted_out_is_not_counted() {
    for cross_site_cookies in [false, true] {
        let shop = shop(Policy::OptOut, cross_site_cookies);
        for (word, refused) in [(".out=1", Some(Outcome::DroppedOptedOut)), ("", None)] {
            let cookies =
                format!("{CONSENT_COOKIE}=v1.analytics=0.ads=0{word}.t={}", NOW_MS / 1000);
            let hit = Hit { cookies: &cookies, ..browser() };
            for act in [AdAct::Impression, AdAct::View, AdAct::Click] {
                let (record, taken) = take(&shop, &hit, act, "");
                assert_eq!(taken.err().map(|rejection| rejection.outcome), refused, "{word}");
                assert_eq!(record.is_empty(), refused.is_some());
            }
        }
    }
}
