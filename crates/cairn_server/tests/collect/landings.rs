//! Clicks and the pages they land on: whose browser it becomes, and above all whose it does not.

use cairn_catalog::{NewApiToken, NewPixel};
use cairn_engine::ingest::visitor::parse_cookie_id;
use cairn_engine::token::TokenKeys;
use cairn_engine::token::click::{ClickClaims, ClickKind};
use cairn_model::{Event, Identification, Outcome, PixelKind, SiteId};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::running::{NOW_MS, Running, SHOP, Site, until};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const CLICK_MS: i64 = NOW_MS + 60_000;
const YES: &str = "analytics:granted";

struct Shop {
    running: Running,
    site_id: SiteId,
    /// Key of the pixel in the shop's pages.
    web: String,
    authorization: String,
}

/// A browser: its address and its cookies.
#[derive(Clone)]
struct Browser {
    address: &'static str,
    agent: &'static str,
    cookies: String,
    now_ms: i64,
}

impl Browser {
    fn at(address: &'static str) -> Self {
        Browser { address, agent: FIREFOX, cookies: String::new(), now_ms: CLICK_MS }
    }

    fn get(&mut self, client: &mut Client, target: &str) -> Answer {
        let now = self.now_ms.to_string();
        let headers = [
            ("Cairn-Now", &*now),
            ("User-Agent", self.agent),
            ("Accept-Language", "de-CH"),
            ("Sec-Fetch-Mode", "navigate"),
            ("X-Forwarded-For", self.address),
            ("Cookie", &*self.cookies),
        ];
        let answer = client.get(target, &headers);
        self.keep_cookies(&answer);
        answer
    }

    fn keep_cookies(&mut self, answer: &Answer) {
        for cookie in answer.all("set-cookie") {
            let pair = cookie.split(';').next().unwrap();
            self.cookies = format!("{}; {pair}", self.cookies).trim_start_matches("; ").to_owned();
        }
    }
}

impl Shop {
    fn new() -> Self {
        Shop::of(Running::start())
    }

    fn of(running: Running) -> Self {
        let web = running.site(&SHOP);
        let entry = running.app.directory.current().by_key(&web).unwrap();
        let site_id = entry.site.site.id;
        for kind in [PixelKind::Email, PixelKind::Ad] {
            let pixel = NewPixel {
                site_id,
                name: "Other".to_owned(),
                kind,
                url: String::new(),
                settings: Default::default(),
                cross_site_cookies: Default::default(),
            };
            running.app.catalog.add_pixel(&pixel, NOW_MS).unwrap();
        }
        let new = NewApiToken { name: "shop".to_owned(), user: None, site_ids: None };
        let (_, token) = running.app.catalog.add_api_token(new, NOW_MS).unwrap();
        let authorization = format!("Bearer {}", token.reveal());
        Shop { running, site_id, web, authorization }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let headers =
            [("Authorization", &*self.authorization), ("Content-Type", "application/json")];
        let target = format!("/api/v1/sites/{}/{path}", self.site_id);
        let body = body.to_string();
        let answer = self.running.client().request("POST", &target, &headers, body.as_bytes());
        assert_eq!(answer.status / 100, 2, "{:?}", String::from_utf8_lossy(&answer.body));
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// Path of the link in a mail to this customer, who agreed to everything.
    fn mail_to(&self, user_id: &str, more: &Value) -> String {
        let mut body = json!({
            "campaign": "spring",
            "recipient": {"user_id": user_id, "opens": "granted", "clicks": "granted"},
            "html": "<a href=\"https://shop.example/p?a=1#c\">x</a>",
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mail = self.post("emails", &body);
        mail["links"][0]["url"].as_str().unwrap().replace("http://collect.test", "")
    }

    /// Follows a link: the address that the browser shows then.
    fn follow(&self, browser: &mut Browser, link: &str) -> String {
        let answer = browser.get(&mut self.running.client(), link);
        assert_eq!(answer.status, 302);
        assert!(answer.all("set-cookie").is_empty());
        answer.header("location").to_owned()
    }

    /// The tracker of the landing page reports it.
    fn land(&self, browser: &mut Browser, url: &str, consent: &str) -> Answer {
        let url: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
        let target = format!("/p.gif?key={}&url={url}&consent={consent}", self.web);
        browser.get(&mut self.running.client(), &target)
    }

    fn page_views(&self) -> Vec<Event<'static>> {
        let events = self.running.events().into_iter();
        events.filter(|event| event.is_page_view()).collect()
    }

    fn landed(&self) -> Vec<Event<'static>> {
        let events = self.running.events().into_iter();
        events.filter(|event| event.name == "click_landed").collect()
    }
}

fn prop(event: &Event<'_>, name: &str) -> String {
    let props: Value = serde_json::from_str(&event.props).unwrap();
    props[name].as_str().unwrap_or("").to_owned()
}

#[test]
fn a_landing_with_permission_makes_the_browser_the_recipients_and_confirms_the_click() {
    let shop = Shop::new();
    let link = shop.mail_to("anna-1", &json!({"template": "short"}));
    let mut browser = Browser::at("198.51.100.1");
    let url = shop.follow(&mut browser, &link);
    assert!(url.starts_with("https://shop.example/p?a=1&cairn_click=") && url.ends_with("#c"));
    assert_eq!(shop.land(&mut browser, &url, YES).outcome(), "accepted");
    let view = &shop.page_views()[0];
    assert_eq!((view.user_id.as_ref(), view.query.as_ref()), ("anna-1", "a=1"));
    assert_eq!(view.identification, Identification::Identified);
    assert_eq!((view.source.as_ref(), view.channel.as_ref()), ("email", "Email"));
    assert_eq!(view.utm_campaign, "spring", "the visit came by the campaign");
    let landed = &shop.landed()[0];
    let click = &shop.running.events()[0];
    assert_eq!((landed.visitor_id, landed.user_key), (click.visitor_id, click.user_key));
    assert_ne!(landed.visitor_id, view.visitor_id, "the visit of the browser is not touched");
    let props = ["click", "campaign", "template", "link_number", "verdict", "reasons"];
    let told: Vec<_> = props.map(|name| prop(landed, name)).into();
    assert_eq!(told, ["email_click", "spring", "short", "1", "human", "landed"]);
    assert_eq!(prop(landed, "click_verdict"), "human");
    assert_eq!((landed.medium.as_ref(), landed.utm_campaign.as_ref()), ("email", "spring"));
    // The page is loaded again.
    shop.running.wait_applied();
    assert_eq!(shop.land(&mut browser, &url, YES).outcome(), "accepted");
    assert_eq!((shop.page_views().len(), shop.landed().len()), (2, 1));
    assert_eq!(shop.page_views()[1].user_id, "anna-1");
    shop.running.assert_conserved();
}

#[test]
fn the_parameter_is_stored_nowhere() {
    let shop = Shop::new();
    let mut browser = Browser::at("198.51.100.1");
    let url = shop.follow(&mut browser, &shop.mail_to("anna-1", &json!({})));
    let token = url.split("cairn_click=").nth(1).unwrap().split('#').next().unwrap().to_owned();
    shop.land(&mut browser, &url, YES);
    shop.land(&mut browser, &url, "analytics:denied");
    let body = json!({"key": shop.web, "consent": "analytics:granted", "events": [
        {"event": "page_view", "url": url, "referrer": url},
        {"event": "add_to_cart", "url": url, "items": [{"item_id": "a", "url": url}]},
    ]});
    let headers = [("Content-Type", "application/json"), ("User-Agent", FIREFOX)];
    let answer = shop.running.client().post(&headers, body.to_string().as_bytes());
    assert_eq!(answer.json()["accepted"], 2);
    assert_eq!(shop.page_views().len(), 3);
    for event in shop.running.events() {
        let kept = serde_json::to_string(&event).unwrap();
        assert!(!kept.contains("cairn_click") && !kept.contains(&token), "{kept}");
    }
    shop.running.assert_conserved();
}

#[test]
fn without_permission_the_click_is_confirmed_and_nobody_known() {
    let shop = Shop::new();
    let mut browser = Browser::at("198.51.100.1");
    let url = shop.follow(&mut browser, &shop.mail_to("anna-1", &json!({})));
    assert_eq!(shop.land(&mut browser, &url, "analytics:denied").outcome(), "accepted");
    let (view, landed) = (&shop.page_views()[0], &shop.landed()[0]);
    for event in [view, landed] {
        assert_eq!((event.user_key, event.user_id.as_ref()), (0, ""));
        assert_eq!(event.identification, Identification::Anonymous);
    }
    // The same browser says yes and loads the page again.
    browser.cookies.clear();
    shop.land(&mut browser, &url, YES);
    assert_eq!(shop.page_views()[1].user_id, "anna-1");
}

#[test]
fn a_link_that_is_passed_on_joins_no_two_people() {
    let shop = Shop::new();
    let (mut anna, mut ben) = (Browser::at("198.51.100.1"), Browser::at("198.51.100.2"));
    let url = shop.follow(&mut anna, &shop.mail_to("anna-1", &json!({})));
    shop.land(&mut anna, &url, YES);
    shop.running.wait_applied();
    assert_eq!(shop.land(&mut ben, &url, YES).outcome(), "accepted");
    let views = shop.page_views();
    assert_eq!((views[0].user_id.as_ref(), views[1].user_id.as_ref()), ("anna-1", ""));
    assert_ne!(views[0].visitor_id, views[1].visitor_id);
    assert_eq!(shop.landed().len(), 1);
    // Even from Anna's own address: another browser has another cookie.
    let mut other = Browser::at("198.51.100.1");
    shop.land(&mut other, &url, YES);
    assert_eq!(shop.page_views()[2].user_id, "");
}

#[test]
fn a_forwarded_mail_never_takes_a_browser_that_is_somebody_elses() {
    let shop = Shop::new();
    let mut ben = Browser::at("198.51.100.2");
    let target = format!(
        "/p.gif?key={}&event=identify&user_id=ben-2&consent={YES}&url=https://shop.example/",
        shop.web
    );
    assert_eq!(ben.get(&mut shop.running.client(), &target).outcome(), "accepted");
    let url = shop.follow(&mut ben, &shop.mail_to("anna-1", &json!({})));
    assert_eq!(shop.land(&mut ben, &url, YES).outcome(), "accepted");
    let view = &shop.page_views()[0];
    assert_eq!((view.user_id.as_ref(), view.user_key), ("", 0));
    assert_eq!(view.visitor_id, shop.running.events()[0].visitor_id, "Ben's own browser");
    let landed = &shop.landed()[0];
    assert_eq!(landed.user_key, 0, "the click landed, nobody knows with whom");
    // His own mail is his.
    let url = shop.follow(&mut ben, &shop.mail_to("ben-2", &json!({})));
    shop.land(&mut ben, &url, YES);
    assert_eq!(shop.page_views()[1].user_id, "ben-2");
}

#[test]
fn time_permission_and_the_owner_end_it() {
    let shop = Shop::new();
    let (mut browser, mut late) = (Browser::at("198.51.100.1"), Browser::at("198.51.100.3"));
    let url = shop.follow(&mut late, &shop.mail_to("anna-1", &json!({})));
    late.now_ms = CLICK_MS + 30 * 60_000;
    shop.land(&mut late, &url, YES);
    assert_eq!((shop.page_views()[0].user_key, shop.landed().len()), (0, 0), "too late");
    let url = shop.follow(&mut browser, &shop.mail_to("anna-2", &json!({})));
    shop.post("emails/choices", &json!({"user_id": "anna-2", "clicks": "denied"}));
    shop.land(&mut browser, &url, YES);
    assert_eq!((shop.page_views()[1].user_key, shop.landed().len()), (0, 0), "taken back");
    let url = shop.follow(&mut browser, &shop.mail_to("anna-3", &json!({"landing": false})));
    assert_eq!(url, "https://shop.example/p?a=1#c", "switched off");
}

#[test]
fn forged_and_foreign_parameters_do_nothing() {
    let shop = Shop::new();
    let other = shop.running.site(&Site { domain: "other.example", ..SHOP });
    let other = shop.running.app.directory.current().by_key(&other).unwrap().site.site.id;
    let keys = TokenKeys::new(shop.running.app.catalog.master_secret());
    let user_key = shop.running.app.ingest.keys().of_user(shop.site_id, "anna-1");
    let claims = ClickClaims {
        clicked_at_ms: CLICK_MS,
        counted: true,
        recipient: user_key.to_le_bytes(),
        ..ClickClaims::default()
    };
    let foreign = keys.seal_click(other, &claims).unwrap();
    let link = shop.mail_to("anna-1", &json!({}));
    let of_link = link.trim_start_matches("/l/").to_owned();
    let mut changed = keys.seal_click(shop.site_id, &claims).unwrap().into_bytes();
    changed[60] = if changed[60] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    for token in [&*foreign, &of_link, &changed, "", "x", "%0d%0a", &"A".repeat(1_500)] {
        let mut browser = Browser::at("198.51.100.1");
        let url = format!("https://shop.example/?cairn_click={token}");
        assert_eq!(shop.land(&mut browser, &url, YES).outcome(), "accepted");
        assert_eq!(shop.running.last_event().user_key, 0);
    }
    // Our own, but of a click that this process does not remember: it confirms, and ties nobody.
    let own = keys.seal_click(shop.site_id, &claims).unwrap();
    let mut browser = Browser::at("198.51.100.1");
    shop.land(&mut browser, &format!("https://shop.example/?cairn_click={own}"), YES);
    assert!(shop.running.events().iter().all(|event| event.user_key == 0));
    assert_eq!(shop.landed().len(), 1);
    shop.running.assert_conserved();
}

#[test]
fn a_robots_landing_and_a_machines_click_prove_nothing() {
    let shop = Shop::new();
    let ad = shop.post("ads", &json!({"campaign": "spring", "target": "https://shop.example/"}));
    let link = ad["click_url"].as_str().unwrap().replace("http://collect.test", "");
    let mut browser = Browser::at("198.51.100.1");
    let url = shop.follow(&mut browser, &link);
    let encoded: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
    let target = format!("/p.gif?key={}&url={encoded}", shop.web);
    let robot = [("User-Agent", "Googlebot/2.1"), ("Cairn-Now", "1795341660000")];
    assert_eq!(shop.running.client().get(&target, &robot).outcome(), "accepted");
    assert!(shop.landed().is_empty());
    shop.land(&mut browser, &url, "analytics:denied");
    assert_eq!(prop(&shop.landed()[0], "click"), "ad_click");
    let answer = shop.running.client().get(&link, &robot);
    assert_eq!(answer.header("location"), "https://shop.example/", "a machine is told nothing");
}

#[test]
fn a_link_tells_its_landing_and_others_only_what_was_asked_for() {
    let shop = Shop::new();
    let link = |body: Value| {
        let made = shop.post("links", &body);
        made["url"].as_str().unwrap().replace("http://collect.test", "")
    };
    let own = "https://shop.example/p?a=1";
    let mut browser = Browser::at("198.51.100.1");
    let url = shop.follow(&mut browser, &link(json!({"url": own, "campaign": "poster"})));
    assert!(url.starts_with("https://shop.example/p?a=1&cairn_click="), "{url}");
    shop.land(&mut browser, &url, YES);
    let landed = &shop.landed()[0];
    assert_eq!((prop(landed, "click").as_str(), landed.user_key), ("link_click", 0));
    assert_eq!(landed.utm_campaign, "poster");
    let foreign = "https://partner.example/?a=1#c";
    for (body, wanted) in [
        (json!({"url": own, "campaign": "x", "landing": false}), "https://shop.example/p?a=1"),
        (json!({"url": foreign, "campaign": "x"}), foreign),
    ] {
        assert_eq!(shop.follow(&mut browser, &link(body)), wanted);
    }
    let asked = json!({"url": foreign, "campaign": "x", "click_id": "aff.sub_1"});
    let url = shop.follow(&mut browser, &link(asked));
    assert!(url.starts_with("https://partner.example/?a=1&aff.sub_1=") && url.ends_with("#c"));
    let named = json!({"url": "https://shop.example/?utm_source=own", "campaign": "x"});
    let url = shop.follow(&mut browser, &link(named));
    shop.land(&mut browser, &url, YES);
    let views = shop.page_views();
    assert_eq!(views[0].utm_campaign, "poster");
    let told = (views[1].utm_source.as_ref(), views[1].utm_campaign.as_ref());
    assert_eq!(told, ("own", ""), "what the address itself says wins");
    let both = json!({"url": own, "campaign": "x", "click_id": "subid"});
    let url = url::Url::parse(&shop.follow(&mut browser, &link(both))).unwrap();
    let names: Vec<_> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, ["a", "cairn_click"], "the same id by one name, which is stored nowhere");
}

#[test]
fn a_landing_has_the_campaign_of_its_click_unless_its_address_names_one() {
    let shop = Shop::new();
    let link = shop.mail_to("anna-1", &json!({}));
    // Without permission: a campaign tells nothing of a person.
    let mut browser = Browser::at("198.51.100.1");
    let url = shop.follow(&mut browser, &link);
    shop.land(&mut browser, &url, "analytics:denied");
    let view = &shop.page_views()[0];
    assert_eq!((view.utm_campaign.as_ref(), view.utm_medium.as_ref()), ("spring", "email"));
    assert_eq!((view.channel.as_ref(), view.user_id.as_ref()), ("Email", ""));
    assert_eq!(prop(&shop.landed()[0], "link"), "https://shop.example/p");

    let named =
        json!({"html": "<a href=\"https://shop.example/p?utm_campaign=own&utm_source=s\">x</a>"});
    let link = shop.mail_to("anna-2", &named);
    let url = shop.follow(&mut browser, &link);
    shop.land(&mut browser, &url, "analytics:denied");
    let view = &shop.page_views()[1];
    assert_eq!((view.utm_campaign.as_ref(), view.utm_medium.as_ref()), ("own", ""));
}

impl Shop {
    /// Several events of one body, with the tracker's or any other browser.
    fn send(&self, browser: &mut Browser, consent: &str, events: &Value) {
        let body = json!({"key": self.web, "consent": consent, "events": events}).to_string();
        let now = browser.now_ms.to_string();
        let headers = [
            ("Cairn-Now", &*now),
            ("Content-Type", "application/json"),
            ("User-Agent", browser.agent),
            ("Accept-Language", "de-CH"),
            ("X-Forwarded-For", browser.address),
            ("Cookie", &*browser.cookies),
        ];
        let answer = self.running.client().post(&headers, body.as_bytes());
        assert_eq!(answer.json()["accepted"], events.as_array().unwrap().len());
        browser.keep_cookies(&answer);
    }

    /// The browser is known from a visit before.
    fn visit(&self, browser: &mut Browser) {
        self.land(browser, "https://shop.example/", YES);
        assert!(browser.cookies.contains("cairn_id="));
    }

    /// Whom the page views name that were landings.
    fn tied(&self) -> Vec<String> {
        let views = self.page_views().into_iter().filter(|view| view.path == "/p");
        views.map(|view| view.user_id.into_owned()).collect()
    }
}

#[test]
fn two_landings_of_one_body_tie_one_person() {
    let shop = Shop::new();
    for is_known in [false, true] {
        let mut browser = Browser::at("198.51.100.1");
        if is_known {
            shop.visit(&mut browser);
        }
        let anna = shop.follow(&mut browser, &shop.mail_to("anna-1", &json!({})));
        let bert = shop.follow(&mut browser, &shop.mail_to("bert-1", &json!({})));
        let events = json!([
            {"event": "page_view", "url": anna},
            {"event": "page_view", "url": bert},
        ]);
        let before = shop.tied().len();
        shop.send(&mut browser, YES, &events);
        assert_eq!(shop.tied()[before..], ["anna-1", ""], "known before: {is_known}");
    }
    let of_bert = shop.landed().into_iter().filter(|event| event.user_id == "bert-1").count();
    assert_eq!(of_bert, 0);
}

#[test]
fn a_body_that_names_somebody_else_ties_nobody() {
    let shop = Shop::new();
    for place in [0, 1] {
        let mut browser = Browser::at("198.51.100.1");
        let carl = shop.follow(&mut browser, &shop.mail_to("carl-1", &json!({})));
        let mut events = vec![json!({"event": "page_view", "url": carl})];
        let login = json!({"event": "login", "user_id": "dora-1", "url": "https://shop.example/"});
        events.insert(place, login);
        let before = shop.tied().len();
        shop.send(&mut browser, YES, &json!(events));
        assert_eq!(shop.tied()[before..], [""], "login at {place}");
        // What that body said holds for the browser's next landing, whatever the store knows.
        let emil = shop.follow(&mut browser, &shop.mail_to("emil-1", &json!({})));
        shop.land(&mut browser, &emil, YES);
        assert_eq!(shop.tied()[before + 1..], [""]);
    }
    let mut browser = Browser::at("198.51.100.1");
    let url = shop.follow(&mut browser, &shop.mail_to("carl-2", &json!({})));
    let view = json!({"event": "page_view", "url": url, "user_id": "dora-2"});
    shop.send(&mut browser, YES, &json!([view]));
    assert_eq!(shop.landed().last().unwrap().user_key, 0, "the page itself says who it is");
}

#[test]
fn two_tabs_at_once_tie_one_person() {
    let shop = Shop::new();
    for round in 0..4 {
        let mut browser = Browser::at("198.51.100.1");
        shop.visit(&mut browser);
        let urls = ["anna", "bert"].map(|name| {
            shop.follow(&mut browser, &shop.mail_to(&format!("{name}-{round}"), &json!({})))
        });
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for url in &urls {
                let mut tab = browser.clone();
                let (shop, start) = (&shop, &start);
                scope.spawn(move || {
                    start.wait();
                    shop.land(&mut tab, url, YES);
                });
            }
        });
        let tied = shop.tied();
        let names: Vec<_> = tied[2 * round..].iter().filter(|name| !name.is_empty()).collect();
        assert_eq!(names.len(), 1, "{tied:?}");
    }
}

#[test]
fn many_land_at_once_and_each_is_tied() {
    let shop = Shop::new();
    let visitors = 24;
    let mut landings = Vec::new();
    for number in 0..visitors {
        let mut browser = Browser::at("198.51.100.1");
        shop.visit(&mut browser);
        let link = shop.mail_to(&format!("anna-{number}"), &json!({}));
        landings.push((shop.follow(&mut browser, &link), browser));
    }
    let start = std::sync::Barrier::new(visitors);
    std::thread::scope(|scope| {
        for (url, browser) in &mut landings {
            let (shop, start) = (&shop, &start);
            scope.spawn(move || {
                start.wait();
                shop.land(browser, url, YES);
            });
        }
    });
    let mut tied = shop.tied();
    tied.sort();
    tied.dedup();
    assert_eq!((tied.len(), tied.contains(&String::new())), (visitors, false), "{tied:?}");
    shop.running.assert_conserved();
}

#[test]
fn the_stores_word_is_asked_for_again_after_a_minute() {
    let shop = Shop::new();
    let mut browser = Browser::at("198.51.100.1");
    shop.visit(&mut browser);
    let url = shop.follow(&mut browser, &shop.mail_to("anna-1", &json!({})));
    shop.land(&mut browser, &url, YES);
    let login = format!(
        "/p.gif?key={}&event=login&user_id=dora-1&consent={YES}&url=https://shop.example/",
        shop.web
    );
    browser.get(&mut shop.running.client(), &login);
    browser.now_ms += 60_000;
    shop.land(&mut browser, &url, YES);
    assert_eq!(shop.tied(), ["anna-1", ""]);
}

#[test]
fn an_opt_out_or_a_no_holds_at_the_landing() {
    let shop = Shop::new();
    let opt_out = |body: Value| shop.post("opt-outs", &body);
    // The recipient opted out, or took his word back; the browser is nobody's.
    let mut browser = Browser::at("198.51.100.1");
    let url = shop.follow(&mut browser, &shop.mail_to("anna-1", &json!({})));
    opt_out(json!({"user_id": "anna-1"}));
    shop.land(&mut browser, &url, "analytics:denied");
    browser.cookies.clear();
    let url = shop.follow(&mut browser, &shop.mail_to("bert-1", &json!({})));
    shop.post("emails/choices", &json!({"user_id": "bert-1", "clicks": "denied"}));
    shop.land(&mut browser, &url, "analytics:denied");
    assert_eq!(shop.tied(), ["", ""]);
    assert!(shop.landed().is_empty());
    // The browser that clicked an advertisement opted out; it lands without its cookie.
    let keys = TokenKeys::new(shop.running.app.catalog.master_secret());
    let cookie = "0123456789abcdef0123456789abcdef";
    let id = parse_cookie_id(cookie).unwrap();
    let of_cookie = shop.running.app.ingest.keys().of_cookie(shop.site_id, &id);
    let click = |number: u8| {
        let claims = ClickClaims {
            clicked_at_ms: CLICK_MS,
            click: [number; 16],
            kind: ClickKind::Ad,
            counted: true,
            was_human: true,
            visitor: of_cookie.0.to_le_bytes(),
            ..ClickClaims::default()
        };
        let token = keys.seal_click(shop.site_id, &claims).unwrap();
        format!("https://shop.example/p?cairn_click={token}")
    };
    // It says no at the landing, which is its word about the proof as well.
    browser.cookies = format!("cairn_id={cookie}");
    shop.land(&mut browser, &click(1), "analytics:denied");
    let landed = shop.landed().pop().unwrap();
    assert_eq!(landed.identification, Identification::Anonymous);
    assert_ne!(landed.visitor_id, of_cookie);
    // Another browser says yes; that is no word about the one that clicked.
    let mut other = Browser::at("198.51.100.2");
    shop.land(&mut other, &click(2), YES);
    assert_eq!(shop.landed().pop().unwrap().identification, Identification::Anonymous);
    // The same one says yes.
    browser.cookies = format!("cairn_id={cookie}");
    shop.land(&mut browser, &click(3), YES);
    let landed = shop.landed().pop().unwrap();
    assert_eq!((landed.visitor_id, landed.identification), (of_cookie, Identification::Identified));
    let before = shop.landed().len();
    opt_out(json!({"cairn_id": cookie}));
    shop.land(&mut other, &click(4), YES);
    assert_eq!(shop.landed().len(), before);
    shop.running.assert_conserved();
}

#[test]
fn the_log_in_of_an_address_is_kept_nowhere() {
    let shop = Shop::new();
    let mut browser = Browser::at("198.51.100.1");
    let url = shop.follow(&mut browser, &shop.mail_to("anna-1", &json!({})));
    let url = url.replace("https://", "HTTPS://emil:geheim@").replace("example/", "example:8443/");
    shop.land(&mut browser, &url, "analytics:denied");
    assert_eq!(prop(&shop.landed()[0], "link"), "https://shop.example/p");
    for event in shop.running.events() {
        assert!(!serde_json::to_string(&event).unwrap().contains("geheim"));
    }
}

#[test]
fn an_address_that_would_be_too_long_is_given_nothing() {
    let shop = Shop::new();
    for (size, is_told) in [(1_600, true), (1_900, false), (2_000, false)] {
        let mut browser = Browser::at("198.51.100.1");
        let target = format!("https://shop.example/p?x={}", "y".repeat(size));
        let made = shop.post("links", &json!({"url": target, "campaign": "long"}));
        let link = made["url"].as_str().unwrap().replace("http://collect.test", "");
        let landed = shop.landed().len();
        let url = shop.follow(&mut browser, &link);
        assert!(url.len() <= 2_048, "{size}: {}", url.len());
        assert_eq!(url != target, is_told, "{size}");
        shop.send(&mut browser, YES, &json!([{"event": "page_view", "url": url}]));
        assert!(!shop.page_views().pop().unwrap().truncated);
        assert_eq!(shop.landed().len() - landed, usize::from(is_told));
    }
}

#[test]
fn a_robot_that_lands_first_takes_nothing() {
    let shop = Shop::new();
    let mut robot = Browser {
        agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                HeadlessChrome/130.0.0.0 Safari/537.36",
        ..Browser::at("198.51.100.9")
    };
    let mut browser = Browser::at("198.51.100.1");
    let url = shop.follow(&mut browser, &shop.mail_to("anna-1", &json!({})));
    shop.land(&mut robot, &url, YES);
    assert!(shop.landed().is_empty());
    shop.land(&mut browser, &url, YES);
    assert_eq!(shop.tied(), ["", "anna-1"]);
    assert_eq!(shop.landed().len(), 1);
}

#[test]
fn a_landing_that_is_given_up_while_it_waits_is_counted() {
    let mut shop = Shop::of(Running::with(|options| {
        options.tick = std::time::Duration::from_millis(5);
        options.stop_time_max = std::time::Duration::from_millis(5);
    }));
    let mut browser = Browser::at("198.51.100.1");
    let url = shop.follow(&mut browser, &shop.mail_to("anna-1", &json!({})));
    // The landing waits for this visit, which does not come to the store.
    shop.running.stop_applying();
    shop.visit(&mut browser);
    let received = shop.running.app.counters.totals().received;
    let url: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
    let (key, now, cookies) = (&shop.web, browser.now_ms, &browser.cookies);
    let head = format!(
        "GET /p.gif?key={key}&url={url}&consent={YES} HTTP/1.1\r\nHost: collect.test\r\n\
         Cairn-Now: {now}\r\nUser-Agent: {FIREFOX}\r\nX-Forwarded-For: 198.51.100.1\r\n\
         Cookie: {cookies}\r\n\r\n"
    );
    let mut client = shop.running.client();
    client.send(head.as_bytes());
    until("the landing came in", || shop.running.app.counters.totals().received > received);
    shop.running.stop_listening();
    shop.running.assert_conserved();
    assert_eq!(shop.running.count(Outcome::UnavailableOverloaded), 1);
}

#[test]
fn what_cannot_be_told_in_time_ties_nobody() {
    let mut shop = Shop::new();
    let mut browser = Browser::at("198.51.100.1");
    let url = shop.follow(&mut browser, &shop.mail_to("anna-1", &json!({})));
    shop.running.stop_applying();
    shop.visit(&mut browser);
    assert_eq!(shop.land(&mut browser, &url, YES).outcome(), "accepted");
    assert_eq!(shop.tied(), [""]);
    assert_eq!(shop.landed()[0].user_key, 0, "the click is confirmed all the same");
}
