//! The visitor's page: what it tells to whom, and what its forms do.

use cairn_catalog::{
    ErasureReason, MemoryChange, MemoryHolder, NewErasure, NewReceipt, Receipt, ReceiptFilter,
    ReceiptOrder, RequestList, RightsRequest,
};
use cairn_engine::identity::IdentitySecret;
use cairn_engine::ingest::visitor::parse_cookie_id;
use cairn_model::receipt::{ChoiceMade, answers_text};
use cairn_model::{
    CrossSiteCookies, Identification, Outcome, PixelKind, Policy, SiteId, Subject, VisitorId,
};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::running::{NOW_MS, Running, SHOP, Site};

const OWN: (&str, &str) = ("Origin", "https://shop.example");
const SAME: (&str, &str) = ("Sec-Fetch-Site", "same-origin");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const ALL: &str = "analytics:granted,ads:granted,personalization:granted,functional:granted";

/// A browser with its jar.
struct Browser {
    client: Client,
    key: String,
    cookies: Vec<(String, String)>,
}

impl Browser {
    fn new(running: &Running, key: &str) -> Browser {
        Browser { client: running.client(), key: key.to_owned(), cookies: Vec::new() }
    }

    /// One that permits everything, with these pages seen.
    fn known(running: &Running, key: &str, paths: &[&str]) -> Browser {
        let mut browser = Browser::new(running, key);
        for path in paths {
            let url = format!("https://shop.example{path}");
            browser.send(json!({"event": "page_view", "url": url, "title": "Shop"}));
        }
        running.wait_applied();
        browser
    }

    fn send(&mut self, event: Value) -> Answer {
        self.post_e(json!({"events": [event], "consent": ALL}))
    }

    fn post_e(&mut self, fields: Value) -> Answer {
        let mut body = json!({"key": self.key});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.request("POST", "/e", &[OWN], &body.to_string())
    }

    fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let jar = self.jar();
        let mut headers = headers.to_vec();
        if !jar.is_empty() {
            headers.push(("Cookie", &jar));
        }
        let answer = self.client.request(method, target, &headers, body.as_bytes());
        for set in answer.all("set-cookie") {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !set.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    fn jar(&self) -> String {
        let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn cookie(&self, name: &str) -> &str {
        self.cookies.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn look(&mut self, more: &str, headers: &[(&str, &str)]) -> Answer {
        let target = format!("/privacy?key={}&language=en{more}", self.key);
        self.request("GET", &target, headers, "")
    }

    fn page(&mut self) -> String {
        let answer = self.look("", &[]);
        assert_eq!(answer.status, 200);
        String::from_utf8(answer.body).unwrap()
    }

    fn submit(&mut self, fields: &str) -> Answer {
        let form = format!("key={}&language=en&{fields}", self.key);
        self.request("POST", "/privacy", &[SAME, FORM], &form)
    }
}

fn site_of(running: &Running, key: &str) -> SiteId {
    running.app.directory.current().by_key(key).unwrap().site.site.id
}

fn receipts(running: &Running, site: SiteId) -> Vec<Receipt> {
    running.wait_applied();
    let order = ReceiptOrder::OldestAfter(0);
    running.app.catalog.receipts(site, &ReceiptFilter::default(), order, 100).unwrap()
}

fn requests(running: &Running, site: SiteId) -> Vec<RightsRequest> {
    let list = RequestList::Newest { state: None, before: None };
    running.app.catalog.requests(site, list, 100).unwrap()
}

#[test]
fn whoever_has_no_cookie_is_told_that_nothing_is_known() {
    let running = Running::start();
    let key = running.site(&SHOP);
    Browser::known(&running, &key, &["/secret-page"]);
    let mut stranger = Browser::new(&running, &key);
    // Counted anonymously: that leads nobody back to him.
    stranger.post_e(json!({"events": [{"event": "page_view", "url": "https://shop.example/a"}]}));
    running.wait_applied();
    let answer = stranger.look("", &[]);
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    assert!(answer.all("set-cookie").is_empty(), "looking leaves nothing behind");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(policy.ends_with("frame-ancestors 'self' shop.example:* *.shop.example:*"), "{policy}");
    let html = String::from_utf8(answer.body).unwrap();
    assert!(html.contains("Nothing is known about this browser"), "{html}");
    assert!(!html.contains("secret-page") && !html.contains("<script"));
    assert!(!html.contains("download") && !html.contains("value=\"erase\""));
    assert_eq!(running.client().get("/privacy?key=unheard-of", &[]).status, 404);
    assert_eq!(running.client().request("PUT", "/privacy", &[], b"").status, 405);
    let german = running.client().get(&format!("/privacy?key={key}"), &[("Accept-Language", "de")]);
    assert!(String::from_utf8(german.body).unwrap().contains("ist nichts bekannt"));
}

#[test]
fn a_browser_sees_what_is_known_of_it_and_of_no_other() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut ada = Browser::known(&running, &key, &["/one", "/<b>two"]);
    let mut bob = Browser::known(&running, &key, &["/bobs"]);
    let html = ada.page();
    assert!(html.contains("<dt>Events</dt><dd>2</dd>"), "{html}");
    assert!(html.contains("<dt>Visits</dt><dd>1</dd>"), "{html}");
    assert!(html.contains("shop.example/one") && !html.contains("/bobs"));
    assert!(!html.contains("<b>two"), "what a page is called is shown as text");
    assert!(html.contains("Statistics: allowed, Advertising: allowed"), "its receipts: {html}");
    assert!(html.contains("name=\"analytics\" value=\"granted\" checked"), "{html}");
    assert!(bob.page().contains("/bobs"));
    // A link on any other site leads to the same page.
    let headers = [
        ("Referer", "https://mail.example/"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Dest", "document"),
    ];
    let led = ada.look("", &headers);
    assert!(String::from_utf8(led.body).unwrap().contains("shop.example/one"));
    // In a frame on another site the cookies are not the browser's here.
    let headers = [
        ("Referer", "https://shop.example/"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Dest", "iframe"),
    ];
    let framed = ada.look("", &headers);
    let framed = String::from_utf8(framed.body).unwrap();
    assert!(framed.contains("cannot see the cookies") && !framed.contains("/one"), "{framed}");
    let headers = [
        ("Referer", "https://shop.example/"),
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Dest", "iframe"),
    ];
    let framed = String::from_utf8(ada.look("", &headers).body).unwrap();
    assert!(framed.contains("/one"), "a frame on the site's own pages: {framed}");
}

#[test]
fn a_frame_elsewhere_works_where_the_owner_chose_cookies_there() {
    let running = Running::start();
    let key = running.site(&Site { cross_site_cookies: CrossSiteCookies::Partitioned, ..SHOP });
    let mut ada = Browser::known(&running, &key, &["/one"]);
    let frame = [
        ("Referer", "https://shop.example/"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Dest", "iframe"),
    ];
    let html = String::from_utf8(ada.look("", &frame).body).unwrap();
    assert!(html.contains("/one") && html.contains("name=\"framed\" value=\"1\""), "{html}");
    let chosen = ada.submit("action=choose&framed=1&analytics=granted");
    let set = chosen.all("set-cookie");
    assert!(set[0].ends_with("SameSite=None; Secure; Partitioned"), "{set:?}");
    // Inside of the frame the browser names the frame, whose address remembers where it is.
    let place = chosen.header("location").to_owned();
    assert!(place.ends_with("&framed=1"), "{place}");
    let inside = [SAME, ("Sec-Fetch-Dest", "iframe")];
    let html = ada.request("GET", &format!("/privacy{place}"), &inside, "").body;
    let html = String::from_utf8(html).unwrap();
    assert!(html.contains("/one") && html.contains("name=\"framed\" value=\"1\""), "{html}");
    assert!(html.contains("&amp;framed=1&amp;language=de"), "{html}");
}

#[test]
fn a_choice_for_each_purpose_has_its_receipt() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut ada = Browser::new(&running, &key);
    let answer = ada.submit("action=choose&analytics=granted&functional=granted");
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, &*format!("?key={key}&language=en"))
    );
    assert!(
        ada.cookie("cairn_consent")
            .starts_with("v1.analytics=1.ads=0.personalization=0.functional=1.")
    );
    let found = receipts(&running, site_of(&running, &key));
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].signal, &*found[0].language), ("privacy_page", "en"));
    assert!(!found[0].version.is_empty());
    let said = "analytics:granted,ads:denied,personalization:denied,functional:granted";
    assert_eq!(answers_text(&found[0].answers), said);
    assert!(ada.page().contains("Chosen on 2026-11-22."));
    let none = ada.submit("action=choose");
    assert_eq!(none.status, 303);
    assert_eq!(ada.cookie("cairn_id"), "", "a no takes the number back");
    assert_eq!(running.count(Outcome::Consent), 2);
}

#[test]
fn who_opts_out_of_pixels_is_not_even_counted() {
    let running = Running::start();
    let key = running.site(&Site { policy: Policy::OptOut, ..SHOP });
    let site = site_of(&running, &key);
    let mut ada = Browser::known(&running, &key, &["/one"]);
    let before = ada.jar();
    assert_eq!(ada.submit("action=opt_out").status, 303);
    let names: Vec<_> = ada.cookies.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["cairn_consent"], "nothing that tells one visitor from another");
    assert_eq!(
        ada.cookie("cairn_consent"),
        "v1.analytics=0.ads=0.personalization=0.functional=0.out=1.t=1795341600"
    );
    assert_eq!(receipts(&running, site).last().unwrap().signal, "privacy_page");
    let kept = running.events().len();
    for consent in ["", ALL] {
        let body = json!({"events": [{"event": "page_view"}], "consent": consent});
        let dropped = ada.post_e(body);
        assert_eq!(dropped.outcome(), "dropped:opted_out", "{consent}");
        assert!(dropped.all("set-cookie").is_empty());
    }
    let image = ada.request("GET", &format!("/p.gif?key={key}"), &[OWN], "");
    assert_eq!(image.outcome(), "dropped:opted_out");
    let late = running.client().get(&format!("/p.gif?key={key}"), &[OWN, ("Cookie", &before)]);
    assert_eq!(late.outcome(), "dropped:opted_out", "the number is on record, too");
    assert_eq!(running.events().len(), kept);
    let html = ada.page();
    assert!(
        html.contains("not even anonymously") && html.contains("Take the opt-out back"),
        "{html}"
    );
    assert!(!html.contains("value=\"choose\"") && !html.contains("value=\"opt_out\""));
    assert_eq!(ada.submit("action=opt_in").status, 303);
    assert!(!ada.cookie("cairn_consent").contains("out"));
    let counted = ada.post_e(json!({"events": [{"event": "page_view"}]}));
    assert_eq!(counted.outcome(), "accepted");
    assert_eq!(running.last_event().identification, Identification::Anonymous, "the no stays");
    running.assert_conserved();
}

#[test]
fn everything_can_be_taken_along() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let paths: Vec<String> = (0..120).map(|number| format!("/page-{number}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut ada = Browser::known(&running, &key, &paths);
    Browser::known(&running, &key, &["/bobs"]);
    ada.send(json!({"event": "purchase", "value": 12.5, "currency": "EUR", "order_id": "<o-1>",
        "url": "https://shop.example/thanks", "props": {"note": "a & b"}}));
    let remember = json!({"key": key, "consent": ALL, "remember": {"size": "M"}}).to_string();
    assert_eq!(ada.request("POST", "/m", &[OWN], &remember).status, 200);
    running.wait_applied();
    let file = ada.look("&download=json", &[]);
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"data.json\"");
    assert_eq!(file.header("cross-origin-resource-policy"), "same-origin");
    assert!(file.header("access-control-allow-origin").is_empty());
    let data = file.json();
    assert_eq!((&data["summary"]["events"], &data["summary"]["visits"]), (&json!(121), &json!(1)));
    let events = data["events"].as_array().unwrap();
    assert_eq!(events.len(), 121);
    assert_eq!((&events[0]["order_id"], &events[0]["value"]), (&json!("<o-1>"), &json!(12.5)));
    assert_eq!(events[120]["page"], "/page-0");
    assert_eq!(
        (&data["visits"][0]["events"], &data["visits"][0]["page_views"]),
        (&json!(121), &json!(120))
    );
    assert_eq!(data["memory"][0]["value"], "M");
    assert_eq!(data["choice"]["analytics"], "granted");
    assert_eq!(data["receipts"][0]["choices"]["ads"], "granted");
    assert!(!data.to_string().contains("/bobs"));
    let html = String::from_utf8(ada.look("&download=html", &[]).body).unwrap();
    assert!(html.ends_with("</main></body></html>\n") && html.contains("/page-0"));
    assert!(html.contains("&lt;o-1&gt;") && !html.contains("<o-1>"), "texts are no HTML");
    assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("href="));
    assert_eq!(ada.look("&download=exe", &[]).status, 404);
}

#[test]
fn however_many_receipts_there_are_all_can_be_taken_along() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut ada = Browser::known(&running, &key, &["/one"]);
    let first = receipts(&running, site_of(&running, &key)).remove(0);
    let more = (0..2_500).map(|number| NewReceipt {
        offset: u64::MAX >> 2,
        choice: ChoiceMade {
            site_id: site_of(&running, &key),
            at_ms: NOW_MS + number,
            subject: first.subject.unwrap(),
            answers: first.answers,
            version: "".into(),
            language: "".into(),
            signal: "page".into(),
            region: "eea".into(),
            policy: "opt_in".into(),
            gpc: false,
        },
    });
    running.app.catalog.apply_log(&[], &more.collect::<Vec<_>>(), u64::MAX >> 2).unwrap();
    let data = ada.look("&download=json", &[]).json();
    let sequences: Vec<_> = data["receipts"].as_array().unwrap().iter().collect();
    assert_eq!(sequences.len(), 2_501);
    assert_eq!(
        (&data["more_browsers_or_users"], &data["visits_not_listed"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(data["events"].as_array().unwrap().len(), 1);
    let html = ada.look("&download=html", &[]);
    let html = String::from_utf8_lossy(&html.body);
    for number in [1, 1_500, 2_501] {
        assert!(html.contains(&format!("<tr><td>{number}</td>")), "{number}");
    }
    assert_eq!(html.matches("<table>").count(), html.matches("</table>").count());
}

#[test]
fn a_script_on_a_listed_page_reads_its_visitors_data_and_no_other_does() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut ada = Browser::known(&running, &key, &["/one"]);
    let script = [OWN, ("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Dest", "empty")];
    let file = ada.look("&download=json", &script);
    assert_eq!(file.header("access-control-allow-origin"), OWN.1);
    assert_eq!(file.header("access-control-allow-credentials"), "true");
    assert_eq!(file.json()["summary"]["events"], 1);
    for origin in ["https://evil.example", "null"] {
        let stranger = [("Origin", origin), ("Sec-Fetch-Site", "cross-site")];
        let file = ada.look("&download=json", &stranger);
        assert!(file.header("access-control-allow-origin").is_empty());
        assert_eq!(file.json()["summary"]["events"], 0, "{origin}");
    }
}

#[test]
fn contact_data_are_shown_only_where_the_site_signed_for_the_person() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let site = site_of(&running, &key);
    let identify = json!({"event": "identify", "user_id": "user-7",
        "traits": {"email": "ada@shop.example"}});
    let mut ada = Browser::new(&running, &key);
    ada.send(identify.clone());
    let mut stranger = Browser::new(&running, &key);
    stranger.send(identify);
    running.wait_applied();
    let seed = running.app.catalog.renew_identity_seed(site, NOW_MS).unwrap();
    let secret = IdentitySecret::derive(running.app.catalog.master_secret(), site, &seed.seed);
    let token = crate::memory::token(secret.reveal(), "user-7", NOW_MS / 1000 + 600);
    let call = json!({"key": key, "consent": ALL, "remember": {"size": "M"},
        "identify": {"user_id": "user-7", "token": token}});
    assert_eq!(ada.request("POST", "/m", &[OWN], &call.to_string()).status, 200);
    for (browser, is_hers) in [(&mut ada, true), (&mut stranger, false)] {
        let html = browser.page();
        let data = browser.look("&download=json", &[]).json();
        let file = String::from_utf8(browser.look("&download=html", &[]).body).unwrap();
        assert_eq!(html.contains("user-7"), is_hers, "{html}");
        assert_eq!(data.to_string().contains("ada@shop.example"), is_hers, "{data}");
        assert_eq!(data.to_string().contains("user-7"), is_hers, "{data}");
        assert_eq!(file.contains("ada@shop.example"), is_hers, "{file}");
        assert_eq!(data["account_not_shown"], !is_hers);
        assert_eq!(html.contains("has not confirmed that the account is yours"), !is_hers);
    }
}

#[test]
fn erasing_asks_once_more_and_leaves_nothing_of_the_browser() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let site = site_of(&running, &key);
    let mut ada = Browser::known(&running, &key, &["/kanarienvogel", "/two"]);
    let mut bob = Browser::known(&running, &key, &["/bobs"]);
    let remember = json!({"key": key, "consent": ALL, "remember": {"bird": "zeisig"}}).to_string();
    assert_eq!(ada.request("POST", "/m", &[OWN], &remember).status, 200);
    let before = ada.jar();
    let asked = ada.submit("action=erase");
    assert_eq!(asked.status, 200);
    let asked = String::from_utf8(asked.body).unwrap();
    assert!(
        asked.contains("Events: 2. Visits: 1.") && asked.contains("value=\"erase_now\""),
        "{asked}"
    );
    assert!(ada.page().contains("/kanarienvogel"), "asking erases nothing");
    let erased = ada.submit("action=erase_now");
    assert_eq!(erased.status, 303);
    let names: Vec<_> = ada.cookies.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["cairn_consent"]);
    let place = erased.header("location").to_owned();
    let reference = place.split_once("reference=").unwrap().1.to_owned();
    let progress = |client: &mut Client| {
        let answer = client.get(&format!("/privacy{place}"), &[]);
        String::from_utf8(answer.body).unwrap()
    };
    let mut client = running.client();
    assert!(progress(&mut client).contains("Nothing new is kept"));
    running.wait_erased(site);
    let waiting = running.app.catalog.waiting_requests(site, i64::MAX).unwrap();
    assert_eq!(waiting, (0, 0), "nobody needs to look for it to be over");
    let html = progress(&mut client);
    assert!(html.contains("Everything was erased on 2026-") && html.contains(&reference), "{html}");
    let other = running.site(&Site { domain: "two.example", ..SHOP });
    let elsewhere = format!("/privacy?key={other}&reference={reference}");
    assert_eq!(client.get(&elsewhere, &[]).status, 404, "another site knows nothing of it");
    // Nothing is left, nothing new is kept of what was under way, and others are as they were.
    let late = client.get(&format!("/p.gif?key={key}"), &[OWN, ("Cookie", &before)]);
    assert_eq!(late.outcome(), "dropped:opted_out");
    let mut again = Browser::new(&running, &key);
    again.cookies = before
        .split("; ")
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let html = again.page();
    assert!(!html.contains("kanarienvogel") && !html.contains("zeisig"), "{html}");
    assert!(!running.files_hold("kanarienvogel") && !running.files_hold("zeisig"));
    assert!(bob.page().contains("/bobs"));
    let found = requests(&running, site);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].state.name(), found[0].source.name()), ("done", "visitor"));
    assert_eq!(
        (found[0].reference.as_str(), found[0].identifier.as_str()),
        (reference.as_str(), "")
    );
    // Whoever has nothing to be erased makes no request, nor does a number that somebody made up.
    let mut made_up = Browser::new(&running, &key);
    made_up.cookies = vec![("cairn_id".to_owned(), "ab".repeat(16))];
    assert!(!made_up.submit("action=erase_now").header("location").contains("reference"));
    assert_eq!(made_up.cookie("cairn_id"), "");
    assert_eq!(
        ada.submit("action=erase_now").header("location"),
        format!("?key={key}&language=en")
    );
    assert_eq!(requests(&running, site).len(), 1);
}

#[test]
fn one_network_cannot_fill_the_room_for_erasures() {
    let running = Running::with(|options| options.rate_limit.erasures_per_hour_max = 3);
    let key = running.site(&SHOP);
    let browsers: Vec<Browser> =
        (0..5).map(|_| Browser::known(&running, &key, &["/one"])).collect();
    let form = format!("key={key}&language=en&action=erase_now");
    let erase = |browser: &Browser, place: &str| {
        let jar = browser.jar();
        let headers = [("X-Forwarded-For", place), ("Cookie", &*jar), SAME, FORM];
        running.client().request("POST", "/privacy", &headers, form.as_bytes())
    };
    let many: Vec<_> = browsers[..4].iter().map(|it| erase(it, "203.0.113.9")).collect();
    assert_eq!(many.iter().map(|it| it.status).collect::<Vec<_>>(), [303, 303, 303, 429]);
    assert_eq!(many[3].header("retry-after"), "3600");
    assert!(many[3].all("set-cookie").is_empty(), "he can ask again");
    assert_eq!(requests(&running, site_of(&running, &key)).len(), 3);
    assert_eq!(erase(&browsers[3], "203.0.113.10").status, 303, "another network");
    let nobody = Browser::new(&running, &key);
    assert_eq!(erase(&nobody, "203.0.113.9").status, 303, "who is nobody takes no room");
}

#[test]
fn a_stranger_who_says_a_user_id_has_no_power_over_its_owner() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let site = site_of(&running, &key);
    let (catalog, keys) = (&running.app.catalog, running.app.ingest.keys());
    let (victim, user) =
        (MemoryHolder::Person(keys.of_remembered(site, "user-7")), keys.of_user(site, "user-7"));
    let size = MemoryChange { name: "size".into(), value: Some("\"M\"".into()) };
    catalog.remember(site, victim, &[size], NOW_MS).unwrap();
    let mut stranger = Browser::new(&running, &key);
    let said = json!({"event": "identify", "user_id": "user-7", "traits": {"plan": "gold"}});
    assert_eq!(stranger.send(said).outcome(), "accepted");
    running.wait_applied();
    assert!(catalog.person(site, user).unwrap().is_some());
    let own = stranger.jar();
    assert!(stranger.submit("action=erase_now").header("location").contains("reference"));
    running.wait_erased(site);
    assert!(!catalog.directory().current().is_opted_out(site, user), "he is not blocked");
    assert_eq!(catalog.recall(site, victim, NOW_MS).unwrap().len(), 1, "his memory stays");
    assert!(catalog.person(site, user).unwrap().is_none(), "what the stranger said is gone");
    let late = running.client().get(&format!("/p.gif?key={key}"), &[OWN, ("Cookie", &own)]);
    assert_eq!(late.outcome(), "dropped:opted_out", "the browser that asked is blocked");
    let mut his = Browser::new(&running, &key);
    let event = json!({"event": "page_view", "url": "https://shop.example/", "user_id": "user-7"});
    assert_eq!(his.send(event).outcome(), "accepted");
    running.wait_applied();
    assert!(catalog.person(site, user).unwrap().is_some(), "his own events are kept");
}

#[test]
fn a_wish_counts_also_while_what_it_is_about_is_on_its_way() {
    let mut running = Running::lagging(|_| {});
    let key = running.site(&SHOP);
    let site = site_of(&running, &key);
    let [mut ada, mut bob] = ["/kanarienvogel", "/zeisig"].map(|path| {
        let mut browser = Browser::new(&running, &key);
        let url = format!("https://shop.example{path}");
        let sent = browser.send(json!({"event": "page_view", "url": url, "title": "Shop"}));
        assert_eq!(sent.outcome(), "accepted");
        browser
    });
    let keys = running.app.ingest.keys();
    let number = |browser: &Browser| {
        keys.of_cookie(site, &parse_cookie_id(browser.cookie("cairn_id")).unwrap())
    };
    let [adas, bobs] = [number(&ada), number(&bob)];
    // Nothing is in the store yet.
    let erased = ada.submit("action=erase_now");
    assert!(erased.header("location").contains("reference="));
    assert_eq!(bob.submit("action=opt_out").status, 303);
    let directory = running.app.catalog.directory().current();
    assert!([adas, bobs].iter().all(|visitor| directory.is_opted_out(site, visitor.0)));
    // Whoever has no number is no reason for one.
    let mut nobody = Browser::new(&running, &key);
    assert!(!nobody.submit("action=erase_now").header("location").contains("reference"));
    running.apply();
    running.wait_applied();
    running.wait_erased(site);
    assert!(!running.files_hold("kanarienvogel"));
}

#[test]
fn only_the_sites_own_word_makes_an_address_somebodys() {
    let running = Running::start();
    let (of_browser, of_server) = (
        running.site(&SHOP),
        running.site(&Site { domain: "two.example", kind: PixelKind::Server, ..SHOP }),
    );
    let told = json!({"event": "identify", "user_id": "user-7",
        "traits": {"email": "canary@mail.example"}});
    let mut browser = Browser::new(&running, &of_browser);
    assert_eq!(browser.send(told.clone()).outcome(), "accepted");
    let mut server = Browser::new(&running, &of_server);
    let body = json!({"key": of_server, "consent": ALL, "events": [told]}).to_string();
    assert_eq!(server.request("POST", "/e", &[], &body).outcome(), "accepted");
    running.wait_applied();
    let catalog = &running.app.catalog;
    for (key, is_proven) in [(&of_browser, false), (&of_server, true)] {
        let site = site_of(&running, key);
        let is_his = !catalog.people_by_email(site, "Canary@mail.example").unwrap().is_empty();
        let claimed = catalog.people_claiming_email(site, "Canary@mail.example").unwrap();
        assert_eq!((is_his, claimed.is_empty()), (is_proven, is_proven));
    }
}

#[test]
fn what_a_browser_remembers_goes_with_whoever_is_erased_by_the_owner() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let site = site_of(&running, &key);
    let (catalog, keys) = (&running.app.catalog, running.app.ingest.keys());
    let remember = |browser: &mut Browser, consent: &str, changes: Value| {
        let body = json!({"key": key, "consent": consent, "remember": changes}).to_string();
        assert_eq!(browser.request("POST", "/m", &[OWN], &body).status, 200);
    };
    let number = |browser: &Browser| {
        keys.of_cookie(site, &parse_cookie_id(browser.cookie("cairn_id")).unwrap())
    };
    let found = |visitor: VisitorId| catalog.memory_of_visitors(site, &[visitor], NOW_MS).unwrap();
    // Permitted both, permitted both and taken back, and never known.
    let mut ada = Browser::known(&running, &key, &["/one"]);
    remember(&mut ada, ALL, json!({"bird": "kanarienvogel"}));
    assert_eq!(found(number(&ada)).len(), 1);
    let mut bob = Browser::known(&running, &key, &["/two"]);
    remember(&mut bob, ALL, json!({"bird": "zeisig"}));
    let bobs = number(&bob);
    remember(&mut bob, "analytics:denied,functional:granted", json!({"size": "M"}));
    assert!(found(bobs).is_empty(), "a no to being known parts the two");
    let mut eve = Browser::new(&running, &key);
    let hers = json!({"email": "Canary@Mail.example", "note": {"to": ["canary@mail.example"]}});
    remember(&mut eve, "functional:granted", hers);
    remember(&mut eve, "functional:granted", json!({"bird": "distelfink", "mate": "canary"}));
    // A word that is somebody's user id, too, is a word of everybody.
    remember(&mut eve, "functional:granted", json!({"plan": "standard", "friend": "user-7777"}));
    let texts = ["kanarienvogel", "zeisig", "Canary@Mail", "canary@mail", "distelfink"];
    assert!(texts.iter().all(|text| running.files_hold(text)), "the search finds what is there");
    let visitors = vec![number(&ada), bobs];
    let erasure = NewErasure {
        subject: Subject { site_id: site, visitors, ..Subject::default() },
        holders: Vec::new(),
        reason: ErasureReason::Owner,
        request_id: None,
        names: ["canary@mail.example", "M", "standard", "user-7777"].map(str::to_owned).to_vec(),
    };
    let counts = catalog.subject_counts(&erasure.subject, &[]).unwrap();
    assert_eq!(counts.memory, 1);
    let id = catalog.begin_erasure(&erasure, NOW_MS).unwrap();
    running.wait_erased(site);
    let held = texts.map(|text| running.files_hold(text));
    assert_eq!(held, [false, true, false, false, true], "{texts:?}");
    let memory = catalog.erasure(id).unwrap().unwrap().place("memory").unwrap().clone();
    assert_eq!(memory.count, 4);
    assert!(running.files_hold("standard") && !running.files_hold("user-7777"));
    assert!(memory.remaining_reason.unwrap().contains("never permitted"));
}

#[test]
fn forms_of_other_sites_do_nothing() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut ada = Browser::known(&running, &key, &["/one"]);
    for action in ["choose", "opt_out", "opt_in", "erase", "erase_now"] {
        let form = format!("key={key}&language=en&action={action}");
        for headers in [
            &[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")][..],
            &[("Sec-Fetch-Site", "same-site"), ("Origin", "https://shop.example")],
            &[("Sec-Fetch-Site", "none")],
            &[("Origin", "null")],
            &[],
        ] {
            // Refused unread, which ends the connection.
            ada.client = running.client();
            let refused = ada.request("POST", "/privacy", headers, &form);
            assert_eq!((refused.status, refused.header("set-cookie")), (403, ""), "{headers:?}");
        }
    }
    ada.client = running.client();
    assert!(ada.page().contains("/one"));
    assert_eq!(ada.submit("action=dance").status, 400);
    assert_eq!(ada.submit(&format!("action=choose&x={}", "x".repeat(5000))).status, 400);
    assert!(requests(&running, site_of(&running, &key)).is_empty());
}

#[test]
fn a_flood_of_looks_is_held_back() {
    let running = Running::with(|options| options.rate_limit.hits_per_minute_max = 3);
    let key = running.site(&SHOP);
    let mut client = running.client();
    let from = [("X-Forwarded-For", "203.0.113.9")];
    let mut look = || client.get(&format!("/privacy?key={key}"), &from);
    for _ in 0..3 {
        assert_eq!(look().status, 200);
    }
    let refused = look();
    assert_eq!((refused.status, refused.header("retry-after")), (429, "60"));
}
