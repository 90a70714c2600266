//! Advertisements over real sockets: prepared by the API, fetched and followed by people, machines and attackers.

use cairn_catalog::NewApiToken;
use cairn_engine::token::{AdClaims, Claims, Link, TokenKeys, TokenKind};
use cairn_model::{Event, Identification, Outcome, PixelKind, SiteId};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::running::{NOW_MS, Running, SHOP, Site};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const READER: [(&str, &str); 5] = [
    ("Cairn-Now", "1795341660000"),
    ("User-Agent", FIREFOX),
    ("Accept-Language", "de-CH"),
    ("Sec-Fetch-Site", "cross-site"),
    ("Referer", "https://news.example/"),
];
const TARGET: &str = "https://partner.example/p?a=1#c";

struct Ads {
    running: Running,
    site_id: SiteId,
    authorization: String,
}

impl Ads {
    fn new() -> Self {
        let running = Running::start();
        let key = running.site(&Site { kind: PixelKind::Ad, ..SHOP });
        let entry = running.app.directory.current().by_key(&key).unwrap();
        let new = NewApiToken { name: "ads".to_owned(), user: None, site_ids: None };
        let (_, token) = running.app.catalog.add_api_token(new, NOW_MS).unwrap();
        let authorization = format!("Bearer {}", token.reveal());
        Ads { site_id: entry.site.site.id, authorization, running }
    }

    fn client(&self) -> Client {
        self.running.client()
    }

    fn create(&self, more: &Value) -> Answer {
        let mut body = json!({"campaign": "spring", "target": TARGET});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let headers =
            [("Authorization", &*self.authorization), ("Content-Type", "application/json")];
        let target = format!("/api/v1/sites/{}/ads", self.site_id);
        self.client().request("POST", &target, &headers, body.to_string().as_bytes())
    }

    /// Paths of image and link, without the macros.
    fn ad(&self, more: &Value) -> (String, String) {
        let answer = self.create(more);
        assert_eq!(answer.status, 201, "{:?}", String::from_utf8_lossy(&answer.body));
        let ad = answer.json();
        let path = |name: &str| ad[name].as_str().unwrap().replace("http://collect.test", "");
        let image = path("impression_url");
        (image.split('?').next().unwrap().to_owned(), path("click_url"))
    }

    fn token(&self, kind: TokenKind, expires_at_ms: i64) -> String {
        let link = Link { target: TARGET.to_owned(), number: 1 };
        let claims = Claims {
            issued_at_ms: NOW_MS,
            expires_at_ms,
            message: [5; 16],
            shared: true,
            campaign: "spring".to_owned(),
            link: (kind == TokenKind::Click).then_some(link),
            ad: Some(Box::new(AdClaims::default())),
            ..Claims::default()
        };
        let keys = TokenKeys::new(self.running.app.catalog.master_secret());
        keys.seal(kind, self.site_id, &claims).unwrap()
    }
}

fn prop(event: &Event<'_>, name: &str) -> String {
    let props: Value = serde_json::from_str(&event.props).unwrap();
    props[name].as_str().unwrap_or("").to_owned()
}

#[test]
fn an_advertisement_is_shown_seen_and_followed() {
    let ads = Ads::new();
    let more = json!({"source": "news", "content": "blue", "creative": "c-7", "term": "shoes",
        "cost": {"amount": 2.5, "currency": "EUR", "per": "thousand_impressions"}});
    let (image, link) = ads.ad(&more);
    let mut client = ads.client();
    let answer = client.get(&format!("{image}?cb=1&placement=top"), &READER);
    assert_eq!((answer.status, answer.outcome(), answer.body.len()), (200, "accepted", 43));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(client.get(&format!("{image}?cb=1&v=1"), &READER).outcome(), "accepted");
    let later = [&[("Cairn-Now", "1795341661000")], &READER[1..]].concat();
    let answer = client.get(&link, &later);
    assert_eq!((answer.status, answer.outcome()), (302, "accepted"));
    assert_eq!(answer.header("location"), TARGET, "nothing is told to others' pages");
    assert!(answer.all("set-cookie").is_empty());
    let events = ads.running.events();
    let names: Vec<_> = events.iter().map(|event| event.name.as_ref()).collect();
    assert_eq!(names, ["ad_impression", "ad_viewable", "ad_click"]);
    for event in &events {
        assert_eq!((event.utm_campaign.as_ref(), event.source.as_ref()), ("spring", "news"));
        assert_eq!((event.medium.as_ref(), event.channel.as_ref()), ("display", "Display"));
        assert_eq!((event.utm_content.as_ref(), event.utm_term.as_ref()), ("blue", "shoes"));
        assert_eq!((prop(event, "verdict").as_str(), event.bot.as_ref()), ("human", ""));
        assert_eq!(prop(event, "creative"), "c-7");
        assert_eq!(event.identification, Identification::Anonymous);
        assert_ne!(event.pixel_id.0, 0, "the site's pixel for advertisements");
    }
    let costs: Vec<_> = events.iter().map(|event| prop(event, "cost")).collect();
    assert_eq!(costs, ["0.0025", "", ""]);
    assert_eq!(prop(&events[0], "cost_currency"), "EUR");
    assert_eq!(prop(&events[0], "placement"), "top");
    ads.running.assert_conserved();
}

#[test]
fn every_ad_server_gets_its_tag_with_macros_that_say_nothing_unfilled() {
    let ads = Ads::new();
    for (server, buster, click) in [
        ("generic", "cb={CACHEBUSTER}", "{CLICKURL}"),
        ("google_ad_manager", "cb=%%CACHEBUSTER%%", "%%CLICK_URL_UNESC%%"),
        ("campaign_manager", "cb=%n", "%c"),
        ("display_video", "cb=${CACHEBUSTER}", "${CLICK_URL}"),
        ("xandr", "cb=${CACHEBUSTER}", "${CLICK_URL}"),
        ("the_trade_desk", "cb=%%TTD_CACHEBUSTER%%", "%%TTD_CLK%%"),
        ("amazon", "cb={CACHEBUSTER}", "{CLICKURL}"),
    ] {
        let ad = ads.create(&json!({"ad_server": server})).json();
        let text = |name: &str| ad[name].as_str().unwrap().to_owned();
        let tag = text("tag");
        assert!(text("impression_url").contains(buster), "{server}");
        assert!(tag.contains(&format!("href=\"{click}{}\"", text("click_url"))), "{tag}");
        assert!(tag.contains(&text("impression_url").replace('&', "&amp;")));
        assert!(tag.contains(&text("viewable_script").replace('&', "&amp;")));
        // As it stands: no macro was filled.
        let image = text("impression_url").replace("http://collect.test", "");
        // Bytes that no address may hold are percent-encoded by browsers.
        let sent = image.replace('{', "%7B").replace('}', "%7D");
        assert_eq!(ads.client().get(&sent, &READER).outcome(), "accepted", "{server}");
        let event = ads.running.last_event();
        for name in ["creative", "placement", "site", "price"] {
            assert_eq!(prop(&event, name), "", "{server}: {name}");
        }
    }
}

#[test]
fn without_an_ad_server_the_tag_works_as_it_is() {
    let ads = Ads::new();
    let ad = ads.create(&json!({"ad_server": "none"})).json();
    let text = |name: &str| ad[name].as_str().unwrap().to_owned();
    let tag = text("tag");
    assert!(tag.contains(&format!("href=\"{}\"", text("click_url"))), "{tag}");
    for macro_sign in ["{", "}", "%", "$", "?"] {
        assert!(!tag.contains(macro_sign), "{macro_sign} in {tag}");
    }
    let image = text("impression_url").replace("http://collect.test", "");
    assert!(image.ends_with(".gif"), "{image}");
    assert_eq!(ads.client().get(&image, &READER).outcome(), "accepted");
    let seen = format!("{image}?v=1");
    assert_eq!(ads.client().get(&seen, &READER).outcome(), "accepted");
    assert_eq!(ads.running.last_event().name.as_ref(), "ad_viewable");
}

#[test]
fn what_cannot_be_an_advertisement_is_refused_by_field() {
    let ads = Ads::new();
    let cost = |amount: Value, currency: &str, per: &str| json!({"cost": {"amount": amount, "currency": currency, "per": per}});
    for (more, field) in [
        (json!({"target": "javascript:alert(1)"}), "target"),
        (json!({"target": "https://anna:secret@x.example/"}), "target"),
        (json!({"ad_server": "other"}), "ad_server"),
        (json!({"campaign": ""}), "campaign"),
        (json!({"creative": "x".repeat(257)}), "creative"),
        (json!({"click_id": "a b"}), "click_id"),
        (json!({"click_id": "a&b=c"}), "click_id"),
        (json!({"pixel": "none"}), "pixel"),
        (json!({"expires_days": 401}), "expires_days"),
        (json!({"colour": "red"}), "colour"),
        (cost(json!(-1), "EUR", "click"), "cost.amount"),
        (cost(json!("1e3"), "EUR", "click"), "cost.amount"),
        (cost(json!(1), "XXY", "click"), "cost.currency"),
        (cost(json!(1), "EUR", "view"), "cost.per"),
        (json!({"cost": {"currency": "EUR", "per": "click"}}), "cost.amount"),
    ] {
        let answer = ads.create(&more);
        assert!(matches!(answer.status, 400 | 422), "{more}: {}", answer.status);
        assert_eq!(answer.json()["error"]["field"], field, "{more}");
    }
    let long = "x".repeat(200);
    let all = json!({"source": long, "content": long, "term": long, "creative": long});
    assert_eq!(ads.create(&all).json()["error"]["field"], "campaign");
}

#[test]
fn a_repeated_impression_counts_once_and_a_click_still_leads_on() {
    let ads = Ads::new();
    let (image, link) = ads.ad(&json!({"click_id": "subid"}));
    let mut client = ads.client();
    let first = format!("{image}?cb=1");
    let click = client.get(&link, &READER);
    assert_eq!(client.get(&first, &READER).outcome(), "accepted");
    assert_eq!(click.outcome(), "accepted");
    ads.running.wait_applied();
    assert_eq!(client.get(&first, &READER).outcome(), "duplicate");
    assert_eq!(client.get(&format!("{image}?cb=2"), &READER).outcome(), "accepted");
    let later = [&[("Cairn-Now", "1795341660900")], &READER[1..]].concat();
    let again = client.get(&link, &later);
    assert_eq!((again.status, again.outcome()), (302, "duplicate"));
    for answer in [click, again] {
        let told = answer.header("location");
        assert!(told.starts_with("https://partner.example/p?a=1&subid="), "{told}");
        assert!(told.ends_with("#c") && !told.contains("cairn_click"), "{told}");
    }
    ads.running.assert_conserved();
}

#[test]
fn clicks_that_come_too_soon_or_too_often_are_a_machines() {
    let ads = Ads::new();
    let (image, link) = ads.ad(&json!({"click_id": "subid"}));
    let mut client = ads.client();
    let mut at = |path: &str, after_ms: i64| {
        let now = (NOW_MS + 60_000 + after_ms).to_string();
        let headers = [&[("Cairn-Now", &*now)], &READER[1..]].concat();
        client.get(path, &headers)
    };
    at(&image, 0);
    assert_eq!(at(&link, 299).header("location"), TARGET);
    assert_eq!(ads.running.last_event().bot, "ad:too_soon");
    for (after_ms, bot) in [(2_300, ""), (3_300, ""), (4_300, "ad:burst"), (6_400, "")] {
        at(&link, after_ms);
        assert_eq!(ads.running.last_event().bot, bot, "{after_ms}");
    }
}

#[test]
fn head_and_prefetch_count_nothing_and_machines_say_why() {
    let ads = Ads::new();
    let (image, link) = ads.ad(&json!({"click_id": "subid"}));
    let mut client = ads.client();
    for path in [&image, &link] {
        let head = client.request("HEAD", path, &READER, b"");
        assert_eq!((head.outcome(), head.body.len()), ("", 0));
        let early = [&READER[..], &[("Sec-Purpose", "prefetch")]].concat();
        let answer = client.get(path, &early);
        assert_eq!(answer.outcome(), "");
        assert!(path == &image || answer.header("location") == TARGET);
    }
    assert!(ads.running.events().is_empty());
    let clicked = client.get(&link, &READER);
    assert_eq!(clicked.header("location"), TARGET, "a machine is told nothing");
    assert_eq!(ads.running.last_event().bot, "ad:head_before_get");
    let robot = [("User-Agent", "Googlebot/2.1"), READER[0], READER[2]];
    assert_eq!(client.get(&image, &robot).outcome(), "accepted");
    let event = ads.running.last_event();
    assert_eq!(event.bot, "ad:declared:Googlebot");
    assert_eq!(prop(&event, "verdict"), "machine");
    ads.running.assert_conserved();
}

#[test]
fn forged_and_foreign_tokens_count_nothing_and_lead_nowhere() {
    let ads = Ads::new();
    let (image, link) = ads.ad(&json!({}));
    let of = |path: &str| path[3..].trim_end_matches(".gif").to_owned();
    let (shown, clicked) = (of(&image), of(&link));
    let mut changed = shown.clone().into_bytes();
    changed[60] = if changed[60] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    let mut client = ads.client();
    for token in ["", "x", &clicked, &changed, &shown[..shown.len() - 1], &"A".repeat(9_000)] {
        let answer = client.get(&format!("/i/{token}.gif"), &READER);
        assert_eq!((answer.status, answer.outcome()), (200, "rejected:unknown_key"), "{token}");
        assert_eq!(answer.body.len(), 43);
    }
    for token in [&shown, &changed] {
        let answer = client.get(&format!("/l/{token}"), &READER);
        assert_eq!((answer.status, answer.header("location")), (404, ""));
        assert_eq!(
            client.get(&format!("/o/{token}.gif"), &READER).outcome(),
            "rejected:unknown_key"
        );
    }
    let late = ads.token(TokenKind::Impression, NOW_MS);
    assert_eq!(client.get(&format!("/i/{late}.gif"), &READER).outcome(), "rejected:too_old");
    let late = ads.token(TokenKind::Click, NOW_MS);
    let answer = client.get(&format!("/l/{late}"), &READER);
    assert_eq!((answer.outcome(), answer.header("location")), ("rejected:too_old", TARGET));
    assert_eq!(ads.running.count(Outcome::Accepted), 0);
    ads.running.assert_conserved();
}

#[test]
fn no_value_of_the_request_changes_where_a_click_leads() {
    let ads = Ads::new();
    let (image, link) = ads.ad(&json!({}));
    let mut client = ads.client();
    for behind in [
        "?url=https://evil.example/",
        "?adurl=https://evil.example/&redirect=//evil.example",
        "?creative=%0d%0aLocation:%20https://evil.example/",
        "?cairn_click=x&subid=y",
        "?placement=%0D%0ASet-Cookie:%20a=b",
    ] {
        let answer = client.get(&format!("{link}{behind}"), &READER);
        assert_eq!((answer.status, answer.header("location")), (302, TARGET), "{behind}");
        assert!(answer.all("set-cookie").is_empty());
        let answer = client.get(&format!("{image}{behind}"), &READER);
        assert_eq!((answer.status, answer.header("location")), (200, ""));
        assert!(answer.all("set-cookie").is_empty());
    }
    // Behind the token, a path makes another token of it.
    for behind in ["//evil.example", "/https://evil.example/", "%2F..%2F"] {
        let answer = client.get(&format!("{link}{behind}"), &READER);
        assert_eq!((answer.status, answer.header("location")), (404, ""), "{behind}");
    }
    for event in ads.running.events() {
        assert!(!event.props.contains("evil") && !event.props.contains("Set-Cookie"));
    }
}

#[test]
fn the_script_is_the_same_for_everybody() {
    let ads = Ads::new();
    let (image, _) = ads.ad(&json!({}));
    let script = image.replace(".gif", ".js");
    let mut client = ads.client();
    let answer = client.get(&format!("{script}?cb=1"), &READER);
    assert_eq!(answer.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(answer.body, client.get("/i/none.js", &READER).body);
    assert!(answer.header("cairn-outcome").is_empty() && ads.running.events().is_empty());
}

#[test]
fn who_opted_out_is_not_counted_and_still_led_on() {
    let ads = Ads::new();
    let (image, link) = ads.ad(&json!({}));
    let word = [("Cookie", "cairn_consent=v1.analytics=0.ads=0.out=1.t=1795341000")];
    let headers = [&READER[..], &word].concat();
    let mut client = ads.client();
    let shown = client.get(&format!("{image}?cb=1"), &headers);
    let outcome = Outcome::DroppedOptedOut.name();
    assert_eq!((shown.status, shown.outcome(), shown.body.len()), (200, outcome, 43));
    assert_eq!(client.get(&format!("{image}?cb=1&v=1"), &headers).outcome(), outcome);
    let followed = client.get(&link, &headers);
    assert_eq!((followed.status, followed.outcome()), (302, outcome));
    assert_eq!(followed.header("location"), TARGET);
    assert!(ads.running.events().is_empty());
    ads.running.assert_conserved();
}
