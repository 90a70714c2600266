//! Conversions that servers report, over real sockets.

use std::sync::{Arc, Mutex};

use cairn_catalog::{NewApiToken, NewPixel};
use cairn_engine::token::TokenKeys;
use cairn_engine::token::click::{CLICK_ID_MS_MAX, ClickClaims};
use cairn_model::{CrossSiteCookies, Event, Identification, Outcome, PixelKind, SiteId};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::running::{NOW_MS, Running, SHOP, Site};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const READER: [(&str, &str); 4] = [
    ("Cairn-Now", "1795341660000"),
    ("User-Agent", FIREFOX),
    ("Accept-Language", "de-CH"),
    ("Sec-Fetch-Mode", "navigate"),
];
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");

struct Shop {
    running: Running,
    site_id: SiteId,
    /// Key of the server's pixel.
    secret: String,
    /// Key of the pixel in the shop's pages.
    web: String,
    authorization: String,
}

impl Shop {
    fn new() -> Self {
        Shop::at(&SHOP)
    }

    fn at(site: &Site) -> Self {
        let running = Running::start();
        let secret = running.site(&Site { kind: PixelKind::Server, ..*site });
        let entry = running.app.directory.current().by_key(&secret).unwrap();
        let site_id = entry.site.site.id;
        let pixel = |kind| NewPixel {
            site_id,
            name: "Other".to_owned(),
            kind,
            url: String::new(),
            settings: Default::default(),
            cross_site_cookies: site.cross_site_cookies,
        };
        let web = running.app.catalog.add_pixel(&pixel(PixelKind::Web), NOW_MS).unwrap().key;
        running.app.catalog.add_pixel(&pixel(PixelKind::Ad), NOW_MS).unwrap();
        let new = NewApiToken { name: "shop".to_owned(), user: None, site_ids: None };
        let (_, token) = running.app.catalog.add_api_token(new, NOW_MS).unwrap();
        let authorization = format!("Bearer {}", token.reveal());
        Shop { running, site_id, secret, web, authorization }
    }

    fn client(&self) -> Client {
        self.running.client()
    }

    fn get(&self, query: &str) -> Answer {
        self.client().get(&format!("/postback?key={}&{query}", self.secret), &[])
    }

    fn post(&self, kind: (&str, &str), body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.secret);
        let headers = [kind, ("Authorization", &*bearer)];
        self.client().request("POST", "/postback", &headers, body.as_bytes())
    }

    /// Asks the interface for something below the site.
    fn api(&self, path: &str, body: &Value) -> Value {
        let headers = [JSON, ("Authorization", &*self.authorization)];
        let target = format!("/api/v1/sites/{}/{path}", self.site_id);
        let answer = self.client().request("POST", &target, &headers, body.to_string().as_bytes());
        assert!(matches!(answer.status, 200 | 201 | 204), "{}", answer.message());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// Where a click on the advertisement leads.
    fn click(&self, more: &Value) -> String {
        self.click_from(more, &[])
    }

    fn click_from(&self, more: &Value, of_browser: &[(&str, &str)]) -> String {
        let mut body = json!({"campaign": "spring", "source": "news", "content": "blue",
            "term": "shoes", "target": "https://shop.example/"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let ad = self.api("ads", &body);
        let link = ad["click_url"].as_str().unwrap().replace("http://collect.test", "");
        let headers = [&READER[..], of_browser].concat();
        self.client().get(&link, &headers).header("location").to_owned()
    }

    /// Where the click of a recipient who agreed leads.
    fn mail_click(&self, user_id: &str) -> String {
        let recipient = json!({"user_id": user_id, "clicks": "granted"});
        let html = "<a href=\"https://shop.example/\">x</a>";
        let mail = json!({"campaign": "letter", "recipient": recipient, "html": html});
        let mail = self.api("emails", &mail);
        let link = mail["links"][0]["url"].as_str().unwrap().replace("http://collect.test", "");
        self.client().get(&link, &READER).header("location").to_owned()
    }

    /// The landing page is seen; gives the browser's cookies.
    fn land(&self, url: &str, consent: &str, cookies: &str) -> String {
        let url: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
        let target = format!("/p.gif?key={}&url={url}&consent=analytics:{consent}", self.web);
        let headers = [&READER[..], &[("Cookie", cookies)]].concat();
        let answer = self.client().get(&target, &headers);
        assert_eq!(answer.outcome(), "accepted");
        let pairs = answer.all("set-cookie");
        let pairs: Vec<_> = pairs.iter().map(|pair| pair.split(';').next().unwrap()).collect();
        pairs.join("; ")
    }

    fn last_page_view(&self) -> Event<'static> {
        let events = self.running.events();
        events.into_iter().rfind(|event| event.is_page_view()).unwrap()
    }

    /// Figures of the day, rows in the order of their dimensions.
    fn figures(&self, metrics: &[&str], dimensions: &[&str]) -> Value {
        self.figures_of(metrics, dimensions, &json!([]))
    }

    fn figures_of(&self, metrics: &[&str], dimensions: &[&str], filters: &Value) -> Value {
        self.running.wait_applied();
        let question = json!({
            "site_id": self.site_id.to_string(), "date_range": ["2026-11-22", "2026-11-22"],
            "metrics": metrics, "dimensions": dimensions, "filters": filters,
            "order_by": dimensions.iter().map(|name| json!([name, "asc"])).collect::<Vec<_>>(),
        });
        let headers = [JSON, ("Authorization", &*self.authorization)];
        let body = question.to_string();
        let answer = self.client().request("POST", "/api/v2/query", &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.message());
        let rows = answer.json()["results"].as_array().unwrap().clone();
        rows.iter().map(|row| json!([row["dimensions"], row["metrics"]])).collect()
    }
}

fn id_in(url: &str, name: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned()
}

fn told(event: &Event<'_>) -> [String; 5] {
    [&event.utm_source, &event.utm_medium, &event.utm_campaign, &event.utm_content, &event.utm_term]
        .map(|text| text.to_string())
}

#[test]
fn a_conversion_is_taken_as_address_form_and_json() {
    let shop = Shop::new();
    let answers = [
        shop.get("transaction_id=o-1&payout=59.90&cur=USD&goal=lead&props[plan]=pro"),
        shop.post(FORM, "order_id=o-2&value=59.90&currency=USD&event=lead&props%5Bplan%5D=pro"),
        shop.post(JSON, r#"{"orderId":"o-3","amount":59.90,"currency":"USD","event":"lead","props":{"plan":"pro"}}"#),
    ];
    for answer in &answers {
        assert_eq!((answer.status, answer.outcome()), (200, "accepted"));
        assert_eq!(answer.json(), json!({"outcome": "accepted", "click": null}));
    }
    let events = shop.running.events();
    let orders: Vec<_> = events.iter().map(|event| event.order_id.as_ref()).collect();
    assert_eq!(orders, ["o-1", "o-2", "o-3"]);
    for event in &events {
        assert_eq!((event.name.as_ref(), event.value_minor), ("lead", Some(5_990)));
        assert_eq!((event.currency.as_ref(), event.bot.as_ref()), ("USD", ""));
        assert_eq!(event.props, "{\"plan\":\"pro\"}");
        assert_eq!(event.identification, Identification::Anonymous);
    }
    let bare = shop.get("value=1");
    assert_eq!(bare.outcome(), "accepted");
    let event = shop.running.last_event();
    assert_eq!((event.name.as_ref(), event.currency.as_ref()), ("purchase", "EUR"));
    shop.running.assert_conserved();
}

#[test]
fn an_order_converts_once() {
    let shop = Shop::new();
    assert_eq!(shop.get("order_id=o-1&value=5").outcome(), "accepted");
    assert_eq!(shop.get("event_id=e-1&value=5").outcome(), "accepted");
    shop.running.wait_applied();
    let again = shop.post(FORM, "txid=o-1&value=5");
    assert_eq!((again.status, again.outcome()), (200, "duplicate"));
    assert_eq!(again.json()["outcome"], "duplicate");
    assert_eq!(shop.get("event_id=e-1&order_id=o-9&value=5").outcome(), "duplicate");
    assert_eq!(shop.get("order_id=o-1&event=upsell&value=5").outcome(), "accepted");
    shop.running.assert_conserved();
}

#[test]
fn faults_are_named_by_field_and_the_secret_is_never_repeated() {
    let shop = Shop::new();
    for (query, status, outcome, field) in [
        ("payout=abc", 400, "rejected:malformed", "payout"),
        ("value=1&cur=XXY", 400, "rejected:malformed", "cur"),
        ("time=1795000000000000", 400, "rejected:in_future", "time"),
        ("timestamp=2020-01-01T00:00:00Z", 400, "rejected:too_old", "timestamp"),
        ("colour=red", 400, "rejected:unknown_field", "colour"),
        ("value=1&amount=2", 400, "rejected:malformed", "amount"),
        ("consent=perhaps", 400, "rejected:malformed", "consent"),
        ("click_id=not-ours", 400, "rejected:malformed", "click_id"),
        ("subid=%0d%0aSet-Cookie:%20a=b", 400, "rejected:malformed", "subid"),
        ("event=refund&value=1", 400, "rejected:malformed", "order_id"),
    ] {
        let answer = shop.get(query);
        assert_eq!((answer.status, answer.outcome()), (status, outcome), "{query}");
        assert_eq!(answer.json()["error"]["field"], field, "{query}");
        assert!(!answer.message().contains(&shop.secret));
        assert!(answer.all("set-cookie").is_empty());
    }
    for (body, status) in [("{\"value\": 1", 400), ("[1]", 400), (&*"x".repeat(70_000), 413)] {
        assert_eq!(shop.post(JSON, body).status, status);
    }
    assert_eq!(shop.post(("Content-Type", "text/html"), "value=1").status, 415);
    assert!(shop.running.events().is_empty());
    shop.running.assert_conserved();
}

/// Everything that is logged, however fine.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_secret_reaches_no_log_and_no_store() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing::trace!("what is logged is seen");
    let shop = Shop::new();
    for query in ["value=1", "payout=abc", "click_id=x", "colour=red", "value=1&event_id=e"] {
        shop.get(query);
        shop.post(FORM, query);
    }
    let headers = [("Origin", "https://shop.example")];
    shop.client().get(&format!("/postback?key={}", shop.secret), &headers);
    shop.client().request(
        "POST",
        "/postback",
        &[FORM],
        format!("key={}&x", shop.secret).as_bytes(),
    );
    shop.running.wait_applied();
    let text = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("what is logged is seen"));
    assert!(!text.contains(&shop.secret), "{text}");
    for event in shop.running.events() {
        assert!(!serde_json::to_string(&event).unwrap().contains(&shop.secret));
    }
}

#[test]
fn only_a_servers_key_from_a_server_is_taken() {
    let shop = Shop::new();
    let mut client = shop.client();
    for (target, status, outcome) in [
        ("/postback?value=1".to_owned(), 400, "rejected:malformed"),
        ("/postback?key=none&value=1".to_owned(), 404, "rejected:unknown_key"),
        (format!("/postback?key={}&value=1", shop.web), 400, "rejected:origin"),
    ] {
        let answer = client.get(&target, &[]);
        assert_eq!((answer.status, answer.outcome()), (status, outcome), "{target}");
        assert_eq!(answer.json()["error"]["field"], "key");
    }
    let target = format!("/postback?key={}&value=1", shop.secret);
    for header in [("Origin", "https://shop.example"), ("Sec-Fetch-Site", "cross-site")] {
        assert_eq!(client.get(&target, &[header]).outcome(), "rejected:origin");
    }
    for method in ["HEAD", "OPTIONS", "PUT"] {
        assert_eq!(client.request(method, &target, &[], b"").status, 405, "{method}");
    }
    assert_eq!(client.get(&target, &[]).outcome(), "accepted");
    let of_node = [("Sec-Fetch-Mode", "cors"), ("User-Agent", "node")];
    assert_eq!(client.get(&target, &of_node).outcome(), "accepted", "Node's own fetch");
    assert_eq!(shop.running.count(Outcome::Accepted), 2);
    shop.running.assert_conserved();
}

#[test]
fn a_click_id_brings_the_clicks_campaign() {
    let shop = Shop::new();
    let foreign = shop.click(&json!({"target": "https://partner.example/", "click_id": "subid"}));
    let own = shop.click(&json!({}));
    for id in [id_in(&foreign, "subid"), id_in(&own, "cairn_click")] {
        let answer = shop.get(&format!("order_id={}&value=5&click_id={id}", &id[40..60]));
        assert_eq!(answer.json(), json!({"outcome": "accepted", "click": "known"}));
        let event = shop.running.last_event();
        assert_eq!(told(&event), ["news", "display", "spring", "blue", "shoes"]);
        assert_eq!((event.source.as_ref(), event.channel.as_ref()), ("news", "Display"));
        assert_eq!(event.identification, Identification::Anonymous);
        assert!(!serde_json::to_string(&event).unwrap().contains(&id));
    }
    shop.running.assert_conserved();
}

#[test]
fn forged_foreign_and_old_click_ids_bring_nothing() {
    let shop = Shop::new();
    let other = shop.running.site(&Site { domain: "other.example", ..SHOP });
    let other = shop.running.app.directory.current().by_key(&other).unwrap().site.site.id;
    let keys = TokenKeys::new(shop.running.app.catalog.master_secret());
    let claims = |clicked_at_ms| ClickClaims { clicked_at_ms, ..ClickClaims::default() };
    let foreign = keys.seal_click(other, &claims(NOW_MS)).unwrap();
    let mut changed = keys.seal_click(shop.site_id, &claims(NOW_MS)).unwrap().into_bytes();
    changed[70] = if changed[70] == b'A' { b'B' } else { b'A' };
    for id in [&*foreign, &String::from_utf8(changed).unwrap(), &"A".repeat(5_000)] {
        let answer = shop.get(&format!("value=5&cid={id}"));
        assert_eq!((answer.status, answer.outcome()), (400, "rejected:malformed"));
        assert_eq!(answer.json()["error"]["field"], "cid");
    }
    let old = keys.seal_click(shop.site_id, &claims(NOW_MS - CLICK_ID_MS_MAX)).unwrap();
    let answer = shop.get(&format!("value=5&click_id={old}"));
    assert_eq!(answer.json(), json!({"outcome": "accepted", "click": "expired"}));
    assert_eq!(told(&shop.running.last_event()), [""; 5].map(str::to_owned));
}

#[test]
fn a_conversion_is_the_visitors_who_landed_with_permission() {
    let shop = Shop::new();
    let land = |consent: &str| {
        let own = shop.click(&json!({"creative": consent}));
        shop.land(&own, consent, "");
        (id_in(&own, "cairn_click"), shop.last_page_view().visitor_id)
    };
    let (id, visitor) = land("granted");
    assert_eq!(shop.get(&format!("value=5&click_id={id}")).outcome(), "accepted");
    let event = shop.running.last_event();
    assert_eq!((event.visitor_id, event.identification), (visitor, Identification::Identified));
    // The postback's own word on permission wins.
    let denied = format!("value=5&click_id={id}&consent=analytics:denied");
    assert_eq!(shop.get(&denied).outcome(), "accepted");
    assert_ne!(shop.running.last_event().visitor_id, visitor);
    let (id, visitor) = land("denied");
    assert_eq!(shop.get(&format!("value=6&click_id={id}")).outcome(), "accepted");
    let event = shop.running.last_event();
    assert_ne!(event.visitor_id, visitor);
    assert_eq!(event.identification, Identification::Anonymous);
}

#[test]
fn a_conversion_after_a_withdrawal_is_nobodys() {
    let shop = Shop::new();
    let own = shop.click(&json!({"creative": "a"}));
    let cookies = shop.land(&own, "granted", "");
    let visitor = shop.last_page_view().visitor_id;
    let id = id_in(&own, "cairn_click");
    assert_eq!(shop.get(&format!("value=5&click_id={id}")).outcome(), "accepted");
    assert_eq!(shop.running.last_event().visitor_id, visitor, "as long as he permits it");
    shop.land("https://shop.example/", "denied", &cookies);
    assert_eq!(shop.get(&format!("value=6&click_id={id}")).outcome(), "accepted");
    let event = shop.running.last_event();
    assert_ne!(event.visitor_id, visitor, "what waited for him is forgotten");
    assert_eq!(event.identification, Identification::Anonymous);
}

#[test]
fn a_conversion_of_a_mails_click_is_the_recipients_while_he_agrees() {
    let shop = Shop::new();
    let id = id_in(&shop.mail_click("anna-1"), "cairn_click");
    assert_eq!(shop.get(&format!("value=5&click_id={id}")).outcome(), "accepted");
    let event = shop.running.last_event();
    assert_eq!((event.user_id.as_ref(), event.utm_campaign.as_ref()), ("anna-1", "letter"));
    shop.api("emails/choices", &json!({"user_id": "anna-1", "clicks": "denied"}));
    assert_eq!(shop.get(&format!("value=6&click_id={id}")).outcome(), "accepted");
    let event = shop.running.last_event();
    assert_eq!((event.user_key, event.utm_campaign.as_ref()), (0, "letter"));
    // Neither is the browser that landed with his click.
    let url = shop.mail_click("anna-1");
    shop.land(&url, "granted", "");
    shop.api("emails/choices", &json!({"user_id": "anna-1", "clicks": "denied"}));
    shop.get(&format!("value=7&click_id={}", id_in(&url, "cairn_click")));
    assert_eq!(shop.running.last_event().identification, Identification::Anonymous);
}

const COOKIE_ID: &str = "00000000000000000000000000000009";
const KNOWN: (&str, &str) = (
    "Cookie",
    "cairn_id=00000000000000000000000000000009; cairn_consent=v1.analytics=1.ads=1.t=1795341600",
);

/// A shop whose advertisements may know browsers, with the click of one that they know.
fn with_a_known_browsers_click() -> (Shop, String) {
    let shop = Shop::at(&Site { cross_site_cookies: CrossSiteCookies::Partitioned, ..SHOP });
    let url = shop.click_from(&json!({}), &[KNOWN]);
    (shop, id_in(&url, "cairn_click"))
}

#[test]
fn a_clicks_permission_is_its_own_persons() {
    let (shop, of_ad) = with_a_known_browsers_click();
    let of_mail = id_in(&shop.mail_click("anna-1"), "cairn_click");
    let converts = |query: &str| {
        assert_eq!(shop.get(&format!("value=5&{query}")).outcome(), "accepted");
        let event = shop.running.last_event();
        (event.identification, event.user_id.to_string(), event.utm_campaign.to_string())
    };
    let wanted = |identification, user_id: &str, campaign: &str| {
        (identification, user_id.to_owned(), campaign.to_owned())
    };
    let (identified, anonymous) = (Identification::Identified, Identification::Anonymous);
    // The click's person.
    assert_eq!(converts(&format!("click_id={of_ad}")), wanted(identified, "", "spring"));
    assert_eq!(converts(&format!("click_id={of_mail}")), wanted(identified, "anna-1", "letter"));
    let own = format!("user_id=anna-1&click_id={of_mail}");
    assert_eq!(converts(&own), wanted(identified, "anna-1", "letter"));
    // Somebody of whom nothing is known.
    assert_eq!(converts("user_id=stranger"), wanted(anonymous, "", ""));
    for (id, campaign) in [(&of_ad, "spring"), (&of_mail, "letter")] {
        let query = format!("user_id=stranger&click_id={id}");
        assert_eq!(converts(&query), wanted(anonymous, "", campaign));
        // Who said yes himself is himself, and not the one who clicked.
        let visitor = shop.running.app.ingest.keys().of_named_visitor(shop.site_id, "stranger");
        let granted = converts(&format!("{query}&consent=analytics:granted"));
        assert_eq!(granted, wanted(identified, "stranger", campaign));
        assert_eq!(shop.running.last_event().visitor_id, visitor);
    }
    shop.running.assert_conserved();
}

#[test]
fn an_opt_out_of_the_clicks_person_ends_it() {
    let (shop, of_ad) = with_a_known_browsers_click();
    let of_mail = id_in(&shop.mail_click("anna-1"), "cairn_click");
    assert_eq!(shop.get(&format!("value=5&click_id={of_ad}")).outcome(), "accepted");
    shop.api("opt-outs", &json!({"cairn_id": COOKIE_ID}));
    shop.api("opt-outs", &json!({"user_id": "anna-1"}));
    for id in [of_ad, of_mail] {
        for more in ["", "&user_id=stranger", "&consent=analytics:denied"] {
            let answer = shop.get(&format!("value=5&click_id={id}{more}"));
            assert_eq!((answer.status, answer.outcome()), (200, "dropped:opted_out"), "{more}");
        }
    }
    assert_eq!(shop.get("value=5&user_id=stranger").outcome(), "accepted");
    shop.running.assert_conserved();
}

#[test]
fn a_recipients_conversion_is_in_the_visit_of_his_browser() {
    let shop = Shop::new();
    let url = shop.mail_click("anna-1");
    shop.land(&url, "granted", "");
    let view = shop.last_page_view();
    assert_eq!(view.user_id, "anna-1");
    let id = id_in(&url, "cairn_click");
    for more in ["", "&user_id=anna-1"] {
        shop.get(&format!("value=5&click_id={id}{more}"));
        let event = shop.running.last_event();
        assert_eq!((event.visitor_id, event.user_key), (view.visitor_id, view.user_key));
    }
    let figures = shop.figures(&["visitors", "visits", "events"], &["visit:utm_campaign"]);
    assert_eq!(figures, json!([[["letter"], [1, 1, 3]]]));
}

#[test]
fn a_conversion_of_a_mail_that_was_passed_on_is_not_the_recipients() {
    let shop = Shop::new();
    let target = format!(
        "/p.gif?key={}&event=identify&user_id=ben-2&consent=analytics:granted&url=https://shop.example/",
        shop.web
    );
    let answer = shop.client().get(&target, &READER);
    let cookies = answer.all("set-cookie");
    let cookie = cookies.iter().find(|cookie| cookie.starts_with("cairn_id=")).unwrap();
    let ben = shop.running.last_event().visitor_id;
    let url = shop.mail_click("anna-1");
    shop.land(&url, "granted", cookie.split(';').next().unwrap());
    assert_eq!(shop.last_page_view().visitor_id, ben);
    let id = id_in(&url, "cairn_click");
    shop.get(&format!("value=5&click_id={id}"));
    let event = shop.running.last_event();
    assert_eq!((event.visitor_id, event.user_key), (ben, 0));
    // Where the shop says that it is hers, it is; and not in his browser.
    shop.get(&format!("value=6&click_id={id}&user_id=anna-1"));
    let event = shop.running.last_event();
    assert_ne!(event.visitor_id, ben);
    assert_eq!(event.user_id, "anna-1");
}

#[test]
fn no_other_visit_takes_a_conversion_away_from_its_click() {
    let shop = Shop::new();
    let body = json!({"key": shop.secret, "consent": "analytics:granted",
        "events": [{"event": "login", "user_id": "bert-1"}]});
    let server = |body: &Value| {
        let answer = shop.client().post(&[JSON], body.to_string().as_bytes());
        assert_eq!(answer.json()["accepted"], 1, "{}", answer.message());
    };
    server(&body);
    let of_mail = id_in(&shop.mail_click("bert-1"), "cairn_click");
    let of_ad = id_in(&shop.click(&json!({})), "cairn_click");
    shop.get(&format!("value=5&click_id={of_mail}"));
    shop.get(&format!("value=6&click_id={of_ad}&user_id=bert-1&consent=analytics:granted"));
    server(&body);
    let events = shop.running.events();
    let own = ["login", "purchase"];
    let of_bert: Vec<_> = events.iter().filter(|event| own.contains(&&*event.name)).collect();
    assert_eq!(of_bert.len(), 4);
    assert!(of_bert.iter().all(|event| event.visitor_id == of_bert[0].visitor_id));
    let figures = shop.figures(&["visitors", "visits", "events"], &["visit:utm_campaign"]);
    let wanted =
        json!([[["(not set)"], [1, 1, 2]], [["letter"], [1, 1, 1]], [["spring"], [1, 1, 1]]]);
    assert_eq!(figures, wanted);
    assert_eq!(shop.figures(&["visitors", "visits"], &[]), json!([[[], [1, 3]]]));
}

#[test]
fn conversions_of_nobody_known_are_a_visitor_and_a_visit_each() {
    let shop = Shop::new();
    let id = id_in(&shop.click(&json!({})), "cairn_click");
    for order in ["o-1", "o-2"] {
        shop.get(&format!("order_id={order}&value=5&click_id={id}"));
    }
    shop.get("order_id=o-3&value=5");
    let metrics = ["visitors", "visits", "events", "pageviews"];
    let figures = shop.figures(&metrics, &["visit:utm_campaign"]);
    assert_eq!(figures, json!([[["(not set)"], [1, 1, 1, 0]], [["spring"], [2, 2, 2, 0]]]));
    // Reports of those who saw a page leave them out.
    shop.land("https://shop.example/", "granted", "");
    assert_eq!(shop.figures(&metrics, &[]), json!([[[], [4, 4, 4, 1]]]));
    let filters = json!([["has_done", ["is", "event:name", ["page_view"]]]]);
    assert_eq!(shop.figures_of(&metrics, &[], &filters), json!([[[], [1, 1, 1, 1]]]));
}
