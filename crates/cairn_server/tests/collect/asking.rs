//! Whom the collector has asked, where visitors object, and what it states about Global Privacy Control.

use cairn_model::{Asking, Notice, Outcome, PlaceRule, Policy};
use serde_json::{Value, json};

use crate::client::Answer;
use crate::running::{NOW_MS, Running, SHOP, Site};

const OWN: (&str, &str) = ("Origin", "https://www.shop.example");
const GPC: (&str, &str) = ("Sec-GPC", "1");
const DENIED: (&str, &str) = ("Cookie", "cairn_consent=v1.analytics=0.ads=0.t=1795341600");

fn asked(running: &Running, key: &str, headers: &[(&str, &str)]) -> Value {
    let answer = running.client().get(&format!("/consent.json?key={key}"), headers);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("set-cookie"), "", "asking leaves nothing behind");
    answer.json()
}

fn change(running: &Running, key: &str, change: impl FnOnce(&mut Asking)) {
    let mut site = running.app.directory.current().by_key(key).unwrap().site.site.clone();
    change(&mut site.asking);
    assert!(running.app.catalog.update_site(&site).unwrap());
}

#[test]
fn who_said_nothing_where_silence_means_no_is_asked_and_nobody_else() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let other = |domain, policy| running.site(&Site { domain, policy, ..SHOP });
    let agreed = |days: i64| {
        let at_s = NOW_MS / 1000 - days * 86_400;
        format!("cairn_consent=v1.analytics=1.t={at_s}")
    };
    let (young, old) = (agreed(395), agreed(396));
    let asks = |key: &str, headers: &[_]| asked(&running, key, headers)["ask"] == true;
    assert!(asks(&key, &[OWN]));
    assert!(asks(&key, &[]), "the page's own host sends no origin");
    assert!(!asks(&key, &[OWN, DENIED]), "he answered");
    assert!(!asks(&key, &[OWN, ("Cookie", &young)]));
    assert!(asks(&key, &[OWN, ("Cookie", &old)]), "after 13 months anew");
    assert!(asks(&key, &[OWN, ("Cookie", "cairn_consent=v1.ads=0.t=1")]), "not about analytics");
    assert!(!asks(&key, &[("Origin", "https://stranger.example")]), "no answer could be kept");
    assert!(asks(&other("a.example", Policy::Regional), &[]), "where the region is unknown");
    assert!(asks(&other("b.example", Policy::OptInStrict), &[]));
    assert!(!asks(&other("c.example", Policy::OptOut), &[]));
    assert!(!asks(&other("d.example", Policy::Anonymous), &[]));
    let unknown = running.client().get("/consent.json?key=unheard-of", &[OWN]);
    assert_eq!(unknown.status, 404);
    assert_eq!(running.assert_conserved().received, 0, "a question is no hit");
}

#[test]
fn the_answer_tells_what_to_show() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let silent = asked(&running, &key, &[OWN, DENIED]);
    assert_eq!(
        silent,
        json!({"ask": false, "gpc": false,
        "choices": {"analytics": "denied", "ads": "denied"}})
    );
    let german = running.client().get(
        &format!("/consent.json?key={key}&language=nl,de-AT&texts"),
        &[OWN, DENIED, ("Accept-Language", "fr")],
    );
    assert_eq!(german.header("access-control-allow-origin"), OWN.1);
    assert_eq!(german.header("access-control-allow-credentials"), "true");
    let german = german.json();
    assert_eq!(german["language"], "de");
    assert_eq!(german["texts"]["no"], "Alles ablehnen");
    assert_eq!(german["texts"].as_object().unwrap().len(), 19);
    let french = asked(&running, &key, &[OWN, GPC, ("Accept-Language", "pt, fr-CH;q=0.8, en")]);
    assert_eq!((&french["language"], &french["gpc"]), (&json!("fr"), &json!(true)));
    assert_ne!(french["version"], german["version"]);

    let before = asked(&running, &key, &[OWN]);
    assert_eq!(before["version"], asked(&running, &key, &[OWN])["version"]);
    change(&running, &key, |asking| {
        let title = [("title".to_owned(), "Biscuits?".to_owned())].into();
        asking.notice = Notice {
            policy_url: "https://shop.example/privacy".to_owned(),
            texts: [("en".to_owned(), title)].into(),
        };
    });
    let after = asked(&running, &key, &[OWN]);
    assert_eq!(after["texts"]["title"], "Biscuits?");
    assert_eq!(after["texts"]["no"], before["texts"]["no"]);
    assert_eq!(after["policy_url"], "https://shop.example/privacy");
    assert_ne!(after["version"], before["version"], "other words are another version");
}

#[test]
fn the_banner_costs_at_most_four_kilobytes_with_its_words() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let Some(part) = cairn_server::assets::tracker_part("banner") else {
        eprintln!(
            "NOT RUN: the_banner_costs_at_most_four_kilobytes_with_its_words: tracker/dist/cairn is missing"
        );
        return;
    };
    let part = part.brotli.map_or(part.bytes.len(), <[u8]>::len);
    for language in ["en", "de", "fr", "es"] {
        let target = format!("/consent.json?key={key}&language={language}");
        let words = running.client().get(&target, &[OWN, GPC]).body.len();
        assert!(part + words <= 4096, "{language}: {part} and {words} bytes");
    }
}

#[test]
fn a_rule_for_a_place_holds_there_instead_of_the_policy() {
    let running = Running::start();
    let key = running.site(&Site { policy: Policy::OptOut, ..SHOP });
    let send = || {
        let body = json!({"key": key, "events": [{"event": "page_view",
            "url": "https://www.shop.example/"}]});
        running.client().post(&[OWN], body.to_string().as_bytes())
    };
    assert!(send().header("set-cookie").starts_with("cairn_id="), "silence permits");
    change(&running, &key, |asking| {
        let code = "unknown".to_owned();
        asking.places = vec![PlaceRule { code, policy: Policy::OptInStrict }];
    });
    let dropped = send();
    assert_eq!(dropped.outcome(), "dropped:policy");
    assert_eq!(dropped.header("set-cookie"), "");
    assert_eq!(asked(&running, &key, &[OWN])["ask"], true);
    assert_eq!(running.count(Outcome::DroppedPolicy), 1);
    assert_eq!(running.assert_conserved().received, 2);
}

#[test]
fn global_privacy_control_is_stated() {
    let running = Running::start();
    let answer = running.client().get("/.well-known/gpc.json", &[]);
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let statement = answer.json();
    assert_eq!(statement["gpc"], true);
    let day = statement["lastUpdate"].as_str().unwrap();
    assert!(day.parse::<jiff::civil::Date>().is_ok(), "{day}");
    assert_eq!(running.client().request("POST", "/.well-known/gpc.json", &[], b"").status, 405);
}

fn page(running: &Running, key: &str, headers: &[(&str, &str)]) -> String {
    let answer = running.client().get(&format!("/opt-out?key={key}&language=en"), headers);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    let html = String::from_utf8(answer.body).unwrap();
    assert!(!html.contains("<script"));
    html
}

fn object(running: &Running, form: &str, headers: &[(&str, &str)]) -> Answer {
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    running.client().request("POST", "/opt-out", &[headers, &[kind]].concat(), form.as_bytes())
}

const SAME: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

#[test]
fn an_objection_is_a_choice_like_any_other() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let open = page(&running, &key, &[]);
    assert!(open.contains("You have not objected") && open.contains("value=\"opt_out\""));
    let form = format!("key={key}&language=en&choice=opt_out");
    let taken = object(&running, &form, &[SAME, ("Origin", "https://collect.test")]);
    assert_eq!(taken.status, 303);
    assert_eq!(taken.header("location"), format!("?key={key}&language=en"));
    let cookie = taken.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("cairn_consent=v1.ads=0.t="), "{cookie}");
    let done = page(&running, &key, &[("Cookie", &cookie)]);
    assert!(done.contains("You have opted out") && done.contains("value=\"opt_in\""));
    assert_eq!(running.count(Outcome::Consent), 1);
    assert_eq!(running.assert_conserved().received, 1, "looking at the page is no hit");

    let back = object(&running, &format!("key={key}&choice=opt_in"), &[SAME, ("Cookie", &cookie)]);
    let cookie = back.header("set-cookie").split(';').next().unwrap();
    assert!(cookie.starts_with("cairn_consent=v1.ads=1.t="), "{cookie}");
    assert!(page(&running, &key, &[("Cookie", cookie)]).contains("You allow sale"));
}

#[test]
fn the_signal_of_the_browser_is_an_objection_until_it_is_overruled_here() {
    let running = Running::start();
    let key = running.site(&SHOP);
    assert!(page(&running, &key, &[GPC]).contains("It is honoured here"));
    let before = ("Cookie", "cairn_consent=v1.ads=1.t=1795341600");
    assert!(page(&running, &key, &[GPC, before]).contains("It is honoured here"));
    let form = format!("key={key}&choice=opt_in");
    let allowed = object(&running, &form, &[SAME, GPC]);
    let cookie = allowed.header("set-cookie").split(';').next().unwrap();
    assert!(cookie.starts_with("cairn_consent=v1.ads=1g.t="), "{cookie}");
    assert!(page(&running, &key, &[GPC, ("Cookie", cookie)]).contains("You allow sale"));
}

#[test]
fn a_form_of_another_site_chooses_nothing() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let form = format!("key={key}&choice=opt_in");
    for headers in [
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")][..],
        &[("Sec-Fetch-Site", "same-site"), ("Origin", "https://evil.collect.test")],
        &[("Sec-Fetch-Site", "none")],
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[],
    ] {
        let refused = object(&running, &form, headers);
        assert_eq!((refused.status, refused.header("set-cookie")), (403, ""), "{headers:?}");
    }
    let older = object(&running, &form, &[("Origin", "http://collect.test")]);
    assert_eq!(older.status, 303, "a browser that says only the origin");
    assert_eq!(object(&running, &format!("key={key}&choice=maybe"), &[SAME]).status, 400);
    assert_eq!(object(&running, "key=unheard-of&choice=opt_in", &[SAME]).status, 404);
    let long = format!("key={key}&choice=opt_in&x={}", "x".repeat(5000));
    assert_eq!(object(&running, &long, &[SAME]).status, 400);
    assert_eq!(running.assert_conserved().received, 1);
}

#[test]
fn an_owners_words_are_shown_as_text() {
    let running = Running::start();
    let key = running.site(&SHOP);
    change(&running, &key, |asking| {
        let words =
            [("opt_out_title".to_owned(), "<script>alert(1)</script> & \"you\"".to_owned())];
        asking.notice.texts.insert("en".to_owned(), words.into());
        asking.notice.policy_url = "https://shop.example/?a=\"&b".to_owned();
    });
    let html = page(&running, &key, &[]);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;you&quot;"), "{html}");
    assert!(html.contains("href=\"https://shop.example/?a=&quot;&amp;b\""));
    let spanish =
        running.client().get(&format!("/opt-out?key={key}"), &[("Accept-Language", "es")]);
    let spanish = String::from_utf8(spanish.body).unwrap();
    assert!(spanish.contains("<html lang=\"es\">") && spanish.contains("Oponerse"));
}
