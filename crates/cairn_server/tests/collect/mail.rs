//! Mails over real sockets: prepared by the API, fetched and followed by readers, machines and attackers.

use cairn_catalog::NewApiToken;
use cairn_engine::token::{Claims, Link, TokenKeys, TokenKind};
use cairn_model::{Event, Identification, Outcome, PixelId, PixelKind, SiteId};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::running::{NOW_MS, Running, SHOP, Site, until};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
/// A minute after the mail was prepared.
const LATER: (&str, &str) = ("Cairn-Now", "1795341660000");
const READER: [(&str, &str); 4] =
    [LATER, ("User-Agent", FIREFOX), ("Accept-Language", "de-CH"), ("Sec-Fetch-Mode", "navigate")];
const HTML: &str = "<body><a href=\"https://shop.example/p?a=1&amp;b=2#c\">x</a>\
                    <a href=\"https://partner.example/\">y</a>\
                    <a href=\"https://shop.example/unsubscribe\">z</a></body>";

struct Mails {
    running: Running,
    site_id: SiteId,
    authorization: String,
}

impl Mails {
    fn new() -> Self {
        let running = Running::start();
        let key = running.site(&Site { kind: PixelKind::Email, ..SHOP });
        let entry = running.app.directory.current().by_key(&key).unwrap();
        let new = NewApiToken { name: "mailer".to_owned(), user: None, site_ids: None };
        let (_, token) = running.app.catalog.add_api_token(new, NOW_MS).unwrap();
        let authorization = format!("Bearer {}", token.reveal());
        Mails { site_id: entry.site.site.id, authorization, running }
    }

    fn client(&self) -> Client {
        self.running.client()
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        let target = format!("/api/v1/sites/{}/{path}", self.site_id);
        let headers =
            [("Authorization", &*self.authorization), ("Content-Type", "application/json")];
        self.client().request("POST", &target, &headers, body.to_string().as_bytes())
    }

    /// A mail of the campaign `spring`: paths of its image and of its links.
    fn mail(&self, more: &Value) -> (String, Vec<String>) {
        let mut body = json!({"campaign": "spring", "template": "short", "html": HTML});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.post("emails", &body);
        assert_eq!(answer.status, 201, "{:?}", String::from_utf8_lossy(&answer.body));
        let mail = answer.json();
        let path = |url: &Value| url.as_str().unwrap().replace("http://collect.test", "");
        let links = mail["links"].as_array().unwrap().iter().map(|link| path(&link["url"]));
        (path(&mail["open_url"]), links.collect())
    }

    fn token(&self, kind: TokenKind, target: Option<&str>, expires_at_ms: i64) -> String {
        self.token_of(self.site_id, kind, target, expires_at_ms)
    }

    fn token_of(
        &self,
        site_id: SiteId,
        kind: TokenKind,
        target: Option<&str>,
        expires_at_ms: i64,
    ) -> String {
        let claims = Claims {
            issued_at_ms: NOW_MS - 60_000,
            expires_at_ms,
            pixel_id: PixelId(0),
            message: [5; 16],
            shared: false,
            mail: true,
            recipient: [0; 8],
            campaign: "spring".to_owned(),
            template: String::new(),
            link: target.map(|target| Link { target: target.to_owned(), number: 1 }),
            ..Claims::default()
        };
        let keys = TokenKeys::new(self.running.app.catalog.master_secret());
        keys.seal(kind, site_id, &claims).unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.running.events().iter().map(|event| event.name.to_string()).collect()
    }
}

fn prop(event: &Event<'_>, name: &str) -> String {
    let props: Value = serde_json::from_str(&event.props).unwrap();
    props[name].as_str().unwrap_or("").to_owned()
}

#[test]
fn a_mail_is_prepared_opened_and_followed() {
    let mails = Mails::new();
    let recipient = json!({"user_id": "anna-1", "opens": "granted", "clicks": "granted"});
    let (open, links) = mails.mail(&json!({"recipient": recipient}));
    assert_eq!(links.len(), 2);
    let mut client = mails.client();
    let answer = client.get(&open, &READER);
    assert_eq!((answer.status, answer.outcome(), answer.body.len()), (200, "accepted", 43));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "image/gif");
    let answer = client.get(&links[0], &READER);
    assert_eq!((answer.status, answer.outcome()), (302, "accepted"));
    let told = answer.header("location");
    assert!(told.starts_with("https://shop.example/p?a=1&b=2&cairn_click="), "{told}");
    assert!(told.ends_with("#c"), "{told}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("x-robots-tag"), "noindex, nofollow");
    assert!(answer.all("set-cookie").is_empty(), "a click gives no browser to anybody");
    let events = mails.running.events();
    assert_eq!(mails.names(), ["email_open", "email_click"]);
    for event in &events {
        assert_eq!((event.user_id.as_ref(), event.bot.as_ref()), ("anna-1", ""));
        assert_eq!(event.identification, Identification::Identified);
        assert_eq!(
            (prop(event, "campaign").as_str(), prop(event, "verdict").as_str()),
            ("spring", "human")
        );
        assert_ne!(event.pixel_id, PixelId(0), "the site's pixel for mails");
    }
    assert_eq!(prop(&events[1], "link"), "https://shop.example/p");
    mails.running.assert_conserved();
}

#[test]
fn a_repeated_open_or_click_counts_once() {
    let mails = Mails::new();
    let (open, links) = mails.mail(&json!({}));
    let mut client = mails.client();
    for path in [&open, &links[0]] {
        assert_eq!(client.get(path, &READER).outcome(), "accepted");
    }
    mails.running.wait_applied();
    for path in [&open, &links[0]] {
        assert_eq!(client.get(path, &READER).outcome(), "duplicate");
    }
    assert_eq!(client.get(&links[1], &READER).outcome(), "accepted", "another link");
    mails.running.assert_conserved();
}

#[test]
fn a_mail_for_many_counts_each_reader_once_a_day() {
    let mails = Mails::new();
    let (open, _) = mails.mail(&json!({}));
    let link = mails.post("links", &json!({"url": "https://shop.example/", "campaign": "poster"}));
    let link = link.json()["url"].as_str().unwrap().replace("http://collect.test", "");
    let mut client = mails.client();
    let mut fetch = |path: &str, address: &str| {
        let headers = [&READER[..], &[("X-Forwarded-For", address)]].concat();
        client.get(path, &headers).outcome().to_owned()
    };
    for address in ["198.51.100.1", "198.51.100.2", "198.51.100.3"] {
        assert_eq!(fetch(&open, address), "accepted");
        assert_eq!(fetch(&link, address), "accepted");
    }
    mails.running.wait_applied();
    assert_eq!(fetch(&open, "198.51.100.2"), "duplicate");
    assert_eq!(fetch(&link, "198.51.100.2"), "duplicate");
    let bots: Vec<_> = mails.running.events().iter().map(|event| event.bot.to_string()).collect();
    assert_eq!(bots, [""; 6], "what one reader does says nothing about another");
    assert_eq!(mails.names()[..2], ["email_open", "link_click"]);
    mails.running.assert_conserved();
}

#[test]
fn without_permission_there_is_no_identity() {
    let mails = Mails::new();
    for recipient in [
        json!({}),
        json!({"recipient": {"user_id": "anna-1"}}),
        json!({"recipient": {"user_id": "ben-2", "opens": "denied", "clicks": "denied"}}),
    ] {
        let (open, links) = mails.mail(&recipient);
        let mut client = mails.client();
        assert_eq!(client.get(&open, &READER).outcome(), "accepted");
        assert_eq!(client.get(&links[0], &READER).outcome(), "accepted");
    }
    let events = mails.running.events();
    assert_eq!(events.len(), 6);
    for event in &events {
        assert_eq!((event.user_id.as_ref(), event.user_key), ("", 0));
        assert_eq!(event.identification, Identification::Anonymous);
        let kept = serde_json::to_string(event).unwrap();
        assert!(
            !kept.contains("anna") && !kept.contains("ben-2") && prop(event, "mail").is_empty()
        );
    }
    let visitors: std::collections::HashSet<_> =
        events.iter().map(|event| event.visitor_id).collect();
    assert_eq!(visitors.len(), 1, "the campaign");
}

#[test]
fn permission_taken_back_stops_mails_that_were_sent() {
    let mails = Mails::new();
    let recipient = json!({"user_id": "anna-1", "opens": "granted", "clicks": "granted"});
    let (open, links) = mails.mail(&json!({"recipient": recipient}));
    let said = mails.post("emails/choices", &json!({"user_id": "anna-1", "opens": "denied"}));
    assert_eq!(said.json(), json!({"opens": "denied", "clicks": "granted"}));
    let mut client = mails.client();
    let answer = client.get(&open, &READER);
    assert_eq!(
        (answer.status, answer.outcome(), answer.body.len()),
        (200, "dropped:opted_out", 43)
    );
    assert_eq!(client.get(&links[0], &READER).outcome(), "accepted");
    mails.post("emails/choices", &json!({"user_id": "anna-1", "clicks": "denied"}));
    let answer = client.get(&links[1], &READER);
    assert_eq!((answer.status, answer.outcome()), (302, "dropped:opted_out"));
    assert_eq!(answer.header("location"), "https://partner.example/");
    assert_eq!(mails.names(), ["email_click"]);
}

#[test]
fn head_and_prefetch_are_no_clicks() {
    let mails = Mails::new();
    let (open, links) = mails.mail(&json!({}));
    let mut client = mails.client();
    for path in [&open, &links[0]] {
        let answer = client.request("HEAD", path, &[LATER], b"");
        assert_eq!(answer.outcome(), "");
        assert_eq!(answer.header("location").is_empty(), path == &open);
        for (name, value) in [
            ("Sec-Purpose", "prefetch;prerender"),
            ("Purpose", "prefetch"),
            ("X-Purpose", "preview"),
            ("X-Moz", "prefetch"),
        ] {
            let answer = client.get(path, &[LATER, ("User-Agent", FIREFOX), (name, value)]);
            assert!(answer.status == 200 || answer.status == 302);
            assert_eq!(answer.outcome(), "", "{name}");
        }
    }
    assert_eq!(mails.running.assert_conserved().received, 0);
    // Who asked with HEAD first is a machine, and his click is another than the reader's.
    let machine = client.request("HEAD", &links[1], &READER, b"");
    assert_eq!(machine.header("location"), "https://partner.example/");
    assert_eq!(client.get(&links[1], &READER).outcome(), "accepted");
    assert_eq!(mails.running.last_event().bot, "mail:head_before_get");
}

#[test]
fn forged_tokens_lead_nowhere_and_count_nothing() {
    let mails = Mails::new();
    let sound = mails.token(TokenKind::Click, Some("https://shop.example/"), NOW_MS + 1_000);
    let open = mails.token(TokenKind::Open, None, NOW_MS + 1_000);
    let of_no_site =
        mails.token_of(SiteId(1), TokenKind::Click, Some("https://evil.example/"), NOW_MS + 1_000);
    let cut = &sound[..sound.len() - 1];
    let longer = format!("{sound}A");
    let with_target = format!("{sound}?url=https://evil.example/");
    let mut client = mails.client();
    for token in ["", "x", cut, &longer, &open, &of_no_site, "..%2F..%2Fevil.example"] {
        let answer = client.get(&format!("/l/{token}"), &READER);
        assert_eq!((answer.status, answer.outcome()), (404, "rejected:unknown_key"), "{token}");
        assert_eq!(answer.header("location"), "");
        let answer = client.get(&format!("/o/{token}x.gif"), &READER);
        assert_eq!((answer.status, answer.outcome()), (200, "rejected:unknown_key"), "{token}");
        assert_eq!(answer.body.len(), 43, "a broken image would show in the mail");
    }
    // A sound token leads where it was signed to lead, whatever else the request says.
    for (path, headers) in [
        (with_target.as_str(), vec![]),
        (
            sound.as_str(),
            vec![("X-Forwarded-Host", "evil.example"), ("Referer", "https://evil.example/")],
        ),
        (sound.as_str(), vec![("Origin", "https://evil.example"), ("X-Original-URL", "/l/evil")]),
    ] {
        let answer = client.get(&format!("/l/{path}"), &headers);
        assert_eq!((answer.status, answer.header("location")), (302, "https://shop.example/"));
        assert_eq!(answer.all("location").len(), 1);
    }
    mails.running.assert_conserved();
}

#[test]
fn no_header_can_be_smuggled_into_a_redirect() {
    let mails = Mails::new();
    // Addresses with line ends are refused or encoded before they are signed …
    let html = "<a href=\"https://shop.example/&#13;&#10;Set-Cookie:x=1\">a</a>\
                <a href=\"https://shop.example/\r\nSet-Cookie:x=1\">b</a>\
                <a href=\"https://shop.example/%0d%0aSet-Cookie:x=1\">c</a>";
    let mail = json!({"campaign": "spring", "html": html, "landing": false});
    let mail = mails.post("emails", &mail).json();
    let mut client = mails.client();
    for link in mail["links"].as_array().unwrap() {
        let path = link["url"].as_str().unwrap().replace("http://collect.test", "");
        let answer = client.get(&path, &READER);
        assert_eq!(answer.header("location"), link["target"].as_str().unwrap());
        assert!(answer.all("set-cookie").is_empty());
    }
    // … and a token that holds one all the same gets no redirect at all.
    let smuggled = "https://shop.example/\r\nSet-Cookie: x=1";
    let token = mails.token(TokenKind::Click, Some(smuggled), NOW_MS + 1_000);
    let answer = client.get(&format!("/l/{token}"), &[("User-Agent", FIREFOX)]);
    assert_eq!((answer.status, answer.header("location")), (404, ""));
    assert!(answer.all("set-cookie").is_empty());
    let answer = client.get("/l/x%0d%0aSet-Cookie:%20x=1", &READER);
    assert_eq!((answer.status, answer.all("set-cookie").len()), (404, 0));
}

#[test]
fn an_expired_token_counts_nothing_and_still_leads_home() {
    let mails = Mails::new();
    let click = mails.token(TokenKind::Click, Some("https://shop.example/"), NOW_MS);
    let open = mails.token(TokenKind::Open, None, NOW_MS);
    let mut client = mails.client();
    let answer = client.get(&format!("/l/{click}"), &[]);
    assert_eq!((answer.status, answer.outcome()), (302, "rejected:too_old"));
    assert_eq!(answer.header("location"), "https://shop.example/");
    let answer = client.get(&format!("/o/{open}.gif"), &[]);
    assert_eq!((answer.status, answer.outcome()), (200, "rejected:too_old"));
    assert_eq!(mails.running.count(Outcome::RejectedTooOld), 2);
    mails.running.assert_conserved();
}

#[test]
fn a_scanner_is_told_from_the_reader_behind_it() {
    let mails = Mails::new();
    let recipient = json!({"user_id": "anna-1", "opens": "granted", "clicks": "granted"});
    let (open, links) = mails.mail(&json!({"recipient": recipient, "honeypot": true}));
    let answer = mails
        .post("emails", &json!({"campaign": "spring", "html": "<body>x</body>", "honeypot": true}));
    let html = answer.json()["html"].as_str().unwrap().to_owned();
    let trap = html.split("href=\"http://collect.test").nth(1).unwrap();
    let trap = trap.split('"').next().unwrap();
    let mut client = mails.client();
    let scanner = [
        LATER,
        (
            "User-Agent",
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
        ),
        ("Accept-Language", "en"),
    ];
    // It takes the link that no person sees, and from then on all that it does is a machine's.
    assert_eq!(client.get(trap, &scanner).status, 302);
    assert_eq!(client.get(&links[0], &scanner).status, 302);
    assert_eq!(client.get(&open, &READER).outcome(), "accepted");
    assert_eq!(client.get(&links[0], &READER).outcome(), "accepted");
    let verdicts: Vec<_> = mails
        .running
        .events()
        .iter()
        .map(|event| (event.bot.to_string(), event.user_id.to_string()))
        .collect();
    let machine = ("mail:honeypot".to_owned(), String::new());
    let anna = (String::new(), "anna-1".to_owned());
    assert_eq!(verdicts, [machine.clone(), machine, anna.clone(), anna]);
}

#[test]
fn three_links_in_two_seconds_are_a_machine() {
    let mails = Mails::new();
    let html = "<a href=\"https://a.example\">1</a>".repeat(4);
    let (_, links) = mails.mail(&json!({"html": html}));
    let mut client = mails.client();
    for link in &links {
        assert_eq!(client.get(link, &READER).status, 302);
    }
    let bots: Vec<_> = mails.running.events().iter().map(|event| event.bot.to_string()).collect();
    assert_eq!(bots, ["", "", "mail:burst", "mail:burst"], "known once there are three");
}

#[test]
fn other_methods_are_refused() {
    let mails = Mails::new();
    let (open, links) = mails.mail(&json!({}));
    for path in [&open, &links[0]] {
        let answer = mails.client().request("POST", path, &[], b"");
        assert_eq!((answer.status, answer.header("location")), (405, ""));
    }
}

#[test]
fn the_three_figures_are_asked_for_by_verdict() {
    let mails = Mails::new();
    let apple = [LATER, ("User-Agent", "Mozilla/5.0")];
    let scanner = [LATER, ("User-Agent", "BarracudaCentral")];
    for headers in [&READER[..], &READER, &apple, &scanner] {
        let recipient = json!({"user_id": "anna-1", "opens": "granted"});
        let (open, _) = mails.mail(&json!({"recipient": recipient}));
        assert_eq!(mails.client().get(&open, headers).outcome(), "accepted");
    }
    mails.running.wait_applied();
    let figures = |bots: &Value| {
        let question = json!({
            "site_id": mails.site_id.to_string(), "metrics": ["events"],
            "date_range": ["2026-11-22", "2026-11-22"], "dimensions": ["event:props:verdict"],
            "filters": [["is", "event:name", ["email_open"]], ["is", "visit:bot", bots]],
        });
        let headers =
            [("Authorization", &*mails.authorization), ("Content-Type", "application/json")];
        let body = question.to_string();
        let answer = mails.client().request("POST", "/api/v2/query", &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let rows = answer.json()["results"].as_array().unwrap().clone();
        let mut rows: Vec<_> = rows
            .iter()
            .map(|row| {
                (row["dimensions"][0].as_str().unwrap().to_owned(), row["metrics"][0].as_u64())
            })
            .collect();
        rows.sort();
        rows
    };
    let row = |verdict: &str, events| (verdict.to_owned(), Some(events));
    assert_eq!(figures(&json!(["false"])), [row("human", 2), row("unknown", 1)]);
    let all = [row("human", 2), row("machine", 1), row("unknown", 1)];
    assert_eq!(figures(&json!(["true", "false"])), all);
}

#[test]
fn a_reader_who_hangs_up_while_his_permission_is_read_is_counted_all_the_same() {
    let mails = Mails::new();
    let recipient = json!({"user_id": "anna-1", "opens": "granted"});
    let (open, _) = mails.mail(&json!({"recipient": recipient}));
    let request =
        format!("GET {open} HTTP/1.1\r\nHost: collect.test\r\nCairn-Now: {}\r\n\r\n", LATER.1);
    for _ in 0..50 {
        mails.client().send(request.as_bytes());
    }
    let totals = || mails.running.app.counters.totals();
    let settled = || {
        let totals = totals();
        totals.received == totals.outcomes.iter().sum::<u64>()
    };
    // A request that a closed connection overtook was never received; one that was has its outcome.
    until("every hit has its outcome", || totals().received > 0 && settled());
    assert_eq!(totals().unsettled, 0);
}

#[test]
fn who_opted_out_in_his_browser_is_not_counted_and_still_led_on() {
    let mails = Mails::new();
    let recipient = json!({"user_id": "anna-1", "opens": "granted", "clicks": "granted"});
    let (open, links) = mails.mail(&json!({"recipient": recipient}));
    let word = [("Cookie", "cairn_consent=v1.analytics=0.ads=0.out=1.t=1795341000")];
    let headers = [&READER[..], &word].concat();
    let mut client = mails.client();
    let outcome = Outcome::DroppedOptedOut.name();
    let opened = client.get(&open, &headers);
    assert_eq!((opened.status, opened.outcome(), opened.body.len()), (200, outcome, 43));
    let followed = client.get(&links[0], &headers);
    assert_eq!((followed.status, followed.outcome()), (302, outcome));
    assert_eq!(followed.header("location"), "https://shop.example/p?a=1&b=2#c");
    assert!(mails.running.events().is_empty());
    mails.running.assert_conserved();
}
