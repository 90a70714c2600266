//! Live tests over real sockets: what a visit's stages tell, and what they do not.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use cairn_catalog::NewApiToken;
use cairn_model::{Outcome, PixelKind, Policy, SiteId};
use serde_json::{Value, json};

use crate::client::Answer;
use crate::running::{NOW_MS, Running, SHOP, Site};

const FIREFOX: (&str, &str) =
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0");
const OWN: (&str, &str) = ("Origin", "https://shop.example");
/// Long enough for any machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const ADDRESS: &str = "203.0.113.77";
const FROM: (&str, &str) = ("X-Forwarded-For", ADDRESS);

struct Tested {
    lines: BufReader<TcpStream>,
    running: Running,
    site_id: SiteId,
    key: String,
    authorization: String,
    code: String,
    /// Everything that the stream said.
    said: String,
}

impl Tested {
    fn new(site: &Site) -> Self {
        let running = Running::start();
        let key = running.site(site);
        let site_id = running.app.directory.current().by_key(&key).unwrap().site.site.id;
        let new = NewApiToken { name: "owner".to_owned(), user: None, site_ids: None };
        let (_, token) = running.app.catalog.add_api_token(new, NOW_MS).unwrap();
        let authorization = format!("Bearer {}", token.reveal());
        let base = format!("/api/v1/sites/{site_id}/pixels/{key}/live-test");
        let headers = [("Authorization", &*authorization), ("Content-Type", "application/json")];
        let test = running.client().request("POST", &base, &headers, b"{}").json();
        let code = test["code"].as_str().unwrap().to_owned();
        let mut stream = TcpStream::connect(running.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "GET {base}/{code} HTTP/1.1\r\nHost: collect.test\r\nAuthorization: {authorization}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let lines = BufReader::new(stream);
        Tested { running, site_id, key, authorization, code, lines, said: String::new() }
    }

    /// The next stage that is told.
    fn stage(&mut self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut line = String::new();
            assert!(Instant::now() < deadline, "no further stage after {}", self.said);
            let read = self.lines.read_line(&mut line);
            assert!(read.is_ok_and(|size| size > 0), "the stream goes on after {}", self.said);
            self.said.push_str(&line);
            if let Some(data) = line.strip_prefix("data: {\"hit\"") {
                return serde_json::from_str(&format!("{{\"hit\"{data}")).unwrap();
            }
        }
    }

    fn stages(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.stage()).collect()
    }

    fn url(&self) -> String {
        format!("https://shop.example/cart?sku=7&cairn_test={}", self.code)
    }

    fn post(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let headers = [headers, &[FIREFOX, FROM]].concat();
        self.running.client().post(&headers, body.to_string().as_bytes())
    }

    fn view(&self, key: &str, more: Value, headers: &[(&str, &str)]) -> Answer {
        let mut event = json!({"event": "page_view", "url": self.url()});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.post(&json!({"key": key, "events": [event]}), headers)
    }
}

impl Drop for Tested {
    fn drop(&mut self) {
        // As the program does: a server that stops waits for open streams.
        self.running.app.live_places.end();
    }
}

fn opted_out_region() -> Site {
    Site { policy: Policy::OptOut, ..SHOP }
}

#[test]
fn a_visit_is_told_stage_by_stage() {
    let mut tested = Tested::new(&opted_out_region());
    let key = tested.key.clone();
    // Somebody else's hit, at the same time, is none of the test.
    let other =
        json!({"key": key, "events": [{"event": "sign_up", "url": "https://shop.example/"}]});
    tested.post(&other, &[OWN]);
    let user = json!({"user_id": "anna-4711", "event_id": "id-1"});
    let answer = tested.view(&key, user, &[OWN]);
    let [received, permission, recognised, stored] = &tested.stages(4)[..] else { panic!() };
    assert_eq!(
        received,
        &json!({"hit": 1, "stage": "received", "passed": true, "event": "page_view",
            "road": "script", "origin": "shop.example", "key": "this", "certain": true})
    );
    assert_eq!(
        permission,
        &json!({"hit": 1, "stage": "permission", "passed": true, "verdict": "full",
            "basis": "policy", "reason": "silence; policy opt_out",
            "granted": ["analytics", "ads", "personalization", "functional"]})
    );
    assert_eq!(
        (&recognised["visitor"], &recognised["browser"], &recognised["device"]),
        (&json!("new"), &json!("Firefox"), &json!("desktop"))
    );
    assert_eq!((&stored["stage"], &stored["passed"]), (&json!("stored"), &json!(true)));
    // Stored means that it can be asked for; the code is not in what is kept.
    let row = tested.running.last_event();
    assert_eq!((&*row.path, &*row.query), ("/cart", "sku=7"));
    // The same browser comes back.
    let cookie = answer.all("set-cookie")[0].split(';').next().unwrap().to_owned();
    tested.view(&key, json!({}), &[OWN, ("Cookie", &cookie)]);
    assert_eq!(tested.stages(4)[2]["visitor"], "known");
    for secret in [ADDRESS, "anna-4711", "id-1", "sku", "/cart", &cookie[9..]] {
        assert!(!tested.said.contains(secret), "{secret} in {}", tested.said);
    }
    tested.running.assert_conserved();
}

#[test]
fn the_rule_that_decided_is_named() {
    let mut tested = Tested::new(&SHOP);
    let key = tested.key.clone();
    let gpc = ("Sec-GPC", "1");
    for (headers, consent, verdict, basis, reason, visitor) in [
        (&[OWN][..], "", "anonymous", "policy", "silence; policy opt_in", "anonymous"),
        (&[OWN], "analytics:granted", "full", "sent_choice", "granted with the hit", "new"),
        (
            &[OWN],
            "analytics:denied",
            "anonymous",
            "sent_choice",
            "denied with the hit",
            "anonymous",
        ),
        (
            &[("Origin", "https://strange.example"), gpc],
            "analytics:granted",
            "anonymous",
            "foreign_origin",
            "origin that the site does not list",
            "anonymous",
        ),
    ] {
        let event = json!({"event": "page_view", "url": tested.url()});
        let mut body = json!({"key": key, "events": [event]});
        if !consent.is_empty() {
            body["consent"] = consent.into();
        }
        tested.post(&body, headers);
        let stages = tested.stages(4);
        let permission = &stages[1];
        assert_eq!(
            (&permission["verdict"], &permission["basis"], &permission["reason"]),
            (&json!(verdict), &json!(basis), &json!(reason))
        );
        assert_eq!(stages[2]["visitor"], visitor);
        assert_eq!((&stages[3]["stage"], &stages[3]["passed"]), (&json!("stored"), &json!(true)));
    }
}

#[test]
fn what_fails_says_where_and_why() {
    let mut tested = Tested::new(&SHOP);
    let key = tested.key.clone();
    let refused = |stage: &Value, outcome: &str| {
        assert_eq!(
            (&stage["passed"], &stage["outcome"]),
            (&json!(false), &json!(outcome)),
            "{stage}"
        );
    };
    tested.view("px_removed", json!({}), &[OWN]);
    let stage = tested.stage();
    refused(&stage, "rejected:unknown_key");
    assert_eq!((&stage["stage"], &stage["key"]), (&json!("received"), &json!("unknown")));
    tested.view(&key, json!({"colour": "red"}), &[OWN]);
    let stage = tested.stage();
    refused(&stage, "rejected:unknown_field");
    assert_eq!(stage["field"], "colour");
    tested.view(&key, json!({"props": 7}), &[OWN]);
    refused(&tested.stage(), "rejected:malformed");
    tested.post(
        &json!({"key": key, "colour": 1, "events": [{"event": "e", "url": tested.url()}]}),
        &[],
    );
    refused(&tested.stage(), "rejected:unknown_field");
    // Another site's pixel on the page: what becomes of it is not this owner's business.
    let other = tested.running.site(&Site { domain: "other.example", ..SHOP });
    tested.view(&other, json!({}), &[OWN]);
    let stage = tested.stage();
    assert_eq!((&stage["key"], &stage["passed"]), (&json!("other_site"), &json!(false)));
    // A repetition is told as one.
    tested.view(&key, json!({"event_id": "again"}), &[OWN]);
    assert_eq!(tested.stages(4)[3]["passed"], true);
    tested.view(&key, json!({"event_id": "again"}), &[OWN]);
    refused(&tested.stage(), "duplicate");
    let counted = tested.running.app.counters.totals();
    assert_eq!(counted.unsettled, 0);
}

#[test]
fn a_policy_that_keeps_nothing_is_told_at_the_permission() {
    let mut tested = Tested::new(&Site { policy: Policy::OptInStrict, ..SHOP });
    let key = tested.key.clone();
    tested.view(&key, json!({}), &[OWN]);
    let [received, permission] = &tested.stages(2)[..] else { panic!() };
    assert_eq!(received["passed"], true);
    assert_eq!(
        permission,
        &json!({"hit": 1, "stage": "permission", "passed": false, "verdict": "drop",
            "outcome": "dropped:policy", "reason": "the site keeps nothing without a yes"})
    );
    assert_eq!(tested.running.count(Outcome::DroppedPolicy), 1);
}

#[test]
fn an_image_is_known_by_its_address_its_referer_or_its_pixel() {
    let mut tested = Tested::new(&Site { kind: PixelKind::Image, ..opted_out_region() });
    let key = tested.key.clone();
    let image = |tested: &Tested, more: &str, referer: &str| {
        let target = format!("/p.gif?key={key}{more}");
        tested.running.client().get(&target, &[FIREFOX, FROM, ("Referer", referer)]);
    };
    image(&tested, "", "https://shop.example/");
    let stages = tested.stages(4);
    assert_eq!((&stages[0]["certain"], &stages[0]["road"]), (&json!(false), &json!("image")));
    image(&tested, "", &tested.url());
    assert_eq!(tested.stages(4)[0]["certain"], true);
    assert_eq!(&*tested.running.last_event().query, "sku=7");
    image(&tested, "", "https://shop.example/somebody-else");
    let url: String = url::form_urlencoded::byte_serialize(tested.url().as_bytes()).collect();
    image(&tested, &format!("&url={url}&event_id=e-1"), "https://shop.example/");
    let last = tested.stages(4);
    assert_eq!((&last[0]["hit"], &last[0]["certain"]), (&json!(3), &json!(true)), "{last:?}");
}

#[test]
fn a_server_and_a_mail_are_watched_as_a_whole() {
    let mut tested = Tested::new(&Site { kind: PixelKind::Server, ..SHOP });
    let key = tested.key.clone();
    let body = json!({"key": key, "consent": "analytics:granted", "events": [
        {"event": "log_in", "user_id": "u"}, {"event": "sign_up"}, {"event": ""}]});
    tested.post(&body, &[]);
    let stages = tested.stages(9);
    let names: Vec<_> = stages.iter().filter(|stage| stage["stage"] == "received").collect();
    assert_eq!(names.len(), 3);
    assert_eq!((&names[0]["event"], &names[0]["road"]), (&json!("log_in"), &json!("direct")));
    assert_eq!(names[2]["passed"], false);
    let visitors: Vec<_> = stages.iter().filter_map(|stage| stage["visitor"].as_str()).collect();
    assert_eq!(visitors, ["named", "anonymous"]);
    assert_eq!(stages.iter().filter(|stage| stage["stage"] == "stored").count(), 2);

    let mut tested = Tested::new(&Site { kind: PixelKind::Email, ..SHOP });
    let authorization = tested.authorization.clone();
    let headers = [("Authorization", &*authorization), ("Content-Type", "application/json")];
    let path = format!("/api/v1/sites/{}/emails", tested.site_id);
    let mail =
        tested.running.client().request("POST", &path, &headers, br#"{"campaign": "spring"}"#);
    let open = mail.json()["open_url"].as_str().unwrap().replace("http://collect.test", "");
    tested.running.client().get(&open, &[FIREFOX, ("Cairn-Now", "1795341660000")]);
    let stages = tested.stages(4);
    assert_eq!((&stages[0]["event"], &stages[0]["road"]), (&json!("email_open"), &json!("signed")));
    assert_eq!(stages[1]["verdict"], "anonymous");
    assert_eq!(stages[3]["passed"], true);
}

#[test]
fn an_advertisement_is_watched_as_a_whole() {
    let mut tested = Tested::new(&Site { kind: PixelKind::Ad, ..SHOP });
    let authorization = tested.authorization.clone();
    let headers = [("Authorization", &*authorization), ("Content-Type", "application/json")];
    let path = format!("/api/v1/sites/{}/ads", tested.site_id);
    let body = br#"{"campaign": "spring", "target": "https://shop.example/sale"}"#;
    let ad = tested.running.client().request("POST", &path, &headers, body).json();
    let address = |name: &str| ad[name].as_str().unwrap().replace("http://collect.test", "");
    let later = ("Cairn-Now", "1795341660000");
    for (address, event) in
        [(address("impression_url"), "ad_impression"), (address("click_url"), "ad_click")]
    {
        tested.running.client().get(&address, &[FIREFOX, FROM, later]);
        let stages = tested.stages(4);
        assert_eq!((&stages[0]["event"], &stages[0]["road"]), (&json!(event), &json!("signed")));
        assert_eq!(stages[3]["passed"], true, "{stages:?}");
    }
}
