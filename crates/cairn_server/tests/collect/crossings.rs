//! Links between a site's own domains: who becomes whom, and who does not.

use cairn_model::{Identification, Policy, VisitorId};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::running::{NOW_MS, Running, SHOP, Site};

const ONE: &str = "https://shop.example";
const TWO: &str = "https://two.example";
const YES: &str = "analytics:granted";

/// A site with two domains whose pixel carries visits over.
fn shop(policy: Policy) -> (Running, String) {
    let running = Running::start();
    let key = running.site(&Site { policy, ..SHOP });
    let entry = running.app.directory.current().by_key(&key).unwrap();
    let mut site = entry.site.site.clone();
    site.hosts = vec!["two.example".into(), "three.example".into()];
    assert!(running.app.catalog.update_site(&site).unwrap());
    let mut pixel = entry.pixel.clone();
    pixel.settings.links = true;
    assert!(running.app.catalog.update_pixel(&pixel).unwrap());
    (running, key)
}

/// `name=value` of the cookies that were set.
fn jar(answer: &Answer) -> String {
    let set = answer.all("set-cookie").into_iter().map(|set| set.split(';').next().unwrap());
    set.collect::<Vec<_>>().join("; ")
}

/// A view of a page by a browser that holds these cookies and comes from the first domain.
fn view(client: &mut Client, key: &str, url: &str, consent: &str, cookies: &str) -> Answer {
    view_from(client, key, (url, ONE), consent, cookies)
}

fn view_from(
    client: &mut Client,
    key: &str,
    (url, referrer): (&str, &str),
    consent: &str,
    cookies: &str,
) -> Answer {
    let origin = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let events = json!([{"event": "page_view", "url": url, "referrer": referrer}]);
    let body = json!({"key": key, "events": events, "consent": consent}).to_string();
    client.post(&[("Origin", &origin), ("Cookie", cookies)], body.as_bytes())
}

/// The word for a link from the first domain, or nothing.
fn word(client: &mut Client, key: &str, to: &str, headers: &[(&str, &str)]) -> Option<String> {
    let headers = [&[("Origin", ONE)], headers].concat();
    let answer = client.request("POST", &format!("/link.json?key={key}&to={to}"), &headers, b"");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, ONE));
    assert!(answer.all("set-cookie").is_empty(), "it only answers");
    match &answer.json()["link"] {
        Value::String(word) => Some(word.clone()),
        none => {
            assert!(none.is_null());
            None
        }
    }
}

/// Somebody with permission on the first domain: his cookies, and who he is.
fn known(running: &Running, client: &mut Client, key: &str) -> (String, VisitorId) {
    let cookies = jar(&view(client, key, &format!("{ONE}/"), YES, ""));
    let event = running.last_event();
    assert_eq!(event.identification, Identification::Identified);
    (cookies, event.visitor_id)
}

#[test]
fn a_visit_goes_over_once_and_to_its_host_only() {
    let (running, key) = shop(Policy::OptIn);
    let mut client = running.client();
    let (cookies, visitor) = known(&running, &mut client, &key);
    let cookie = [("Cookie", cookies.as_str())];
    let arrive = |client: &mut Client, host: &str, word: &str| {
        let url = format!("https://{host}/p?sku=7&cairn_link={word}&utm_source=one");
        let answer = view(client, &key, &url, YES, "");
        assert_eq!(answer.outcome(), "accepted");
        let event = running.last_event();
        assert_eq!(event.identification, Identification::Identified);
        assert_eq!(event.query, "sku=7&utm_source=one", "the word is kept nowhere");
        (event.visitor_id, jar(&answer))
    };
    let first = word(&mut client, &key, "two.example", &cookie).unwrap();
    assert!(!first.contains(&cookies[9..41]), "it shows no id");
    let (arrived, set) = arrive(&mut client, "two.example", &first);
    assert_eq!(arrived, visitor, "the same on both");
    assert!(set.contains(&cookies[..41]), "with a cookie of its own there: {set}");
    let (second, _) = arrive(&mut client, "two.example", &first);
    assert_ne!(second, visitor, "whoever gets the same link is somebody else");
    let other = word(&mut client, &key, "two.example", &cookie).unwrap();
    assert_ne!(other, first);
    assert_ne!(arrive(&mut client, "three.example", &other).0, visitor, "made for another host");
    assert_eq!(arrive(&mut client, "two.example", &other).0, visitor, "which did not use it up");
    for broken in 0..3 {
        let mut word = word(&mut client, &key, "two.example", &cookie).unwrap();
        match broken {
            0 => word.replace_range(40..41, if &word[40..41] == "A" { "B" } else { "A" }),
            1 => word.truncate(word.len() - 1),
            _ => word = "nonsense".into(),
        }
        assert_ne!(arrive(&mut client, "two.example", &word).0, visitor);
    }
}

#[test]
fn it_ends_after_two_minutes() {
    let (running, key) = shop(Policy::OptIn);
    let mut client = running.client();
    let (cookies, visitor) = known(&running, &mut client, &key);
    let at = |after_ms: i64| (NOW_MS + after_ms).to_string();
    for (after_ms, is_same) in [(119_999, true), (120_000, false)] {
        let word = word(&mut client, &key, "two.example", &[("Cookie", &cookies)]).unwrap();
        let url = format!("{TWO}/?cairn_link={word}");
        let body = json!({"key": key, "consent": YES, "events": [{"event": "page_view", "url": url, "referrer": ONE}]});
        let headers = [("Origin", TWO), ("Cairn-Now", &at(after_ms))];
        client.post(&headers, body.to_string().as_bytes());
        assert_eq!(running.last_event().visitor_id == visitor, is_same, "{after_ms}");
    }
}

#[test]
fn nobody_is_joined_who_is_somebody_already_or_may_not_be_known() {
    let (running, key) = shop(Policy::OptIn);
    let mut client = running.client();
    let (cookies, visitor) = known(&running, &mut client, &key);
    let cookie = [("Cookie", cookies.as_str())];
    let theirs = jar(&view(&mut client, &key, &format!("{TWO}/"), YES, ""));
    let they = running.last_event().visitor_id;
    // Somebody who is known there stays who he is, and the link is used up.
    let first = word(&mut client, &key, "two.example", &cookie).unwrap();
    let url = format!("{TWO}/?cairn_link={first}");
    let answer = view(&mut client, &key, &url, "", &theirs);
    assert_eq!((running.last_event().visitor_id, jar(&answer).as_str()), (they, ""));
    view(&mut client, &key, &url, YES, "");
    assert!(![they, visitor].contains(&running.last_event().visitor_id));
    // Without permission there nobody is known, whatever he permitted on the other domain.
    let second = word(&mut client, &key, "two.example", &cookie).unwrap();
    let url = format!("{TWO}/?cairn_link={second}");
    let answer = view(&mut client, &key, &url, "", "");
    assert_eq!(running.last_event().identification, Identification::Anonymous);
    assert_eq!((running.last_event().query.as_ref(), jar(&answer).as_str()), ("", ""));
    view(&mut client, &key, &url, YES, "");
    assert_ne!(running.last_event().visitor_id, visitor, "it was used up");
    // A no on the first domain ends what is under way.
    let third = word(&mut client, &key, "two.example", &cookie).unwrap();
    view(&mut client, &key, &format!("{ONE}/"), "analytics:denied", &cookies);
    view(&mut client, &key, &format!("{TWO}/?cairn_link={third}"), YES, "");
    assert_ne!(running.last_event().visitor_id, visitor);
}

#[test]
fn a_word_is_for_known_browsers_on_own_pages_and_own_hosts() {
    let (running, key) = shop(Policy::OptIn);
    let mut client = running.client();
    let (cookies, _) = known(&running, &mut client, &key);
    let cookie = ("Cookie", cookies.as_str());
    assert!(word(&mut client, &key, "two.example", &[cookie]).is_some());
    assert!(word(&mut client, &key, "Two.Example.", &[cookie]).is_some(), "as hosts are written");
    for to in ["shop.example", "evil.example", "sub.two.example", "", "two.example/x"] {
        assert_eq!(word(&mut client, &key, to, &[cookie]), None, "{to}");
    }
    assert_eq!(word(&mut client, &key, "two.example", &[]), None, "nobody");
    let id = cookies.split("; ").find(|pair| pair.starts_with("cairn_id")).unwrap();
    let denied = format!("{id}; cairn_consent=v1.analytics=0.t=1795341000");
    assert_eq!(word(&mut client, &key, "two.example", &[("Cookie", &denied)]), None, "a no");
    assert_eq!(word(&mut client, &key, "two.example", &[("Cookie", id)]), None, "silence");
    let path = format!("/link.json?key={key}&to=two.example");
    let foreign = client.request("POST", &path, &[("Origin", "https://evil.example"), cookie], b"");
    assert_eq!(foreign.json(), json!({"link": null}));
    assert_eq!(foreign.header("access-control-allow-origin"), "*");
    let unnamed = client.request("POST", &path, &[cookie], b"");
    assert_eq!(unnamed.json(), json!({"link": null}));
    let unknown = "/link.json?key=px_x&to=two.example";
    assert_eq!(client.request("POST", unknown, &[], b"").status, 404);
    assert_eq!(client.get(&path, &[cookie]).status, 405, "browsers name no page with it");
    // Where the pixel's settings do not ask for it, nothing is carried.
    let mut pixel = running.app.directory.current().by_key(&key).unwrap().pixel.clone();
    pixel.settings.links = false;
    assert!(running.app.catalog.update_pixel(&pixel).unwrap());
    assert_eq!(word(&mut client, &key, "two.example", &[cookie]), None);
}

#[test]
fn whoever_was_sent_the_address_is_nobody_elses_visitor() {
    let (running, key) = shop(Policy::OptIn);
    let mut client = running.client();
    let (cookies, visitor) = known(&running, &mut client, &key);
    for referrer in ["", "https://mail.example/", "https://three.example/", "https://two.example/"]
    {
        let word = word(&mut client, &key, "two.example", &[("Cookie", &cookies)]).unwrap();
        let url = format!("{TWO}/?cairn_link={word}");
        view_from(&mut client, &key, (&url, referrer), YES, "");
        assert_eq!(running.last_event().identification, Identification::Identified);
        assert_ne!(running.last_event().visitor_id, visitor, "from {referrer}");
        view(&mut client, &key, &url, YES, "");
        assert_ne!(running.last_event().visitor_id, visitor, "it was used up");
    }
}
