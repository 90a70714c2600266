//! What browsers see: cross-origin rules, cookies, the script.

use std::io::Read as _;

use cairn_catalog::{ReceiptFilter, ReceiptOrder};
use cairn_engine::ingest::visitor::parse_cookie_id;
use cairn_model::{CrossSiteCookies, Identification, Outcome, Policy, TrackerSettings};
use serde_json::json;

use crate::client::{Answer, Client};
use crate::running::{NOW_MS, Running, SHOP, Site};

const OWN: (&str, &str) = ("Origin", "https://shop.example");
const YES: &str = "analytics:granted,ads:granted";

fn send(client: &mut Client, key: &str, consent: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"key": key, "events": [{"event": "page_view", "url": "https://shop.example/?gclid=c1"}],
                      "consent": consent});
    client.post(headers, body.to_string().as_bytes())
}

/// `name=value` of a cookie that was set.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let set = answer.all("set-cookie").into_iter().find(|set| set.starts_with(name))?;
    Some(set.split(';').next().unwrap().to_owned())
}

#[test]
fn listed_origins_are_echoed_with_credentials() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    for (origin, echoed) in [
        ("https://shop.example", true),
        ("http://www.shop.example:8080", true),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let post = send(&mut client, &key, YES, &[("Origin", origin)]);
        let image = client.get(&format!("/p.gif?key={key}&consent={YES}"), &[("Origin", origin)]);
        let ask = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type"),
        ];
        let preflight = client.request("OPTIONS", "/e", &ask, b"");
        assert_eq!(preflight.status, 204);
        assert!(preflight.header("access-control-allow-headers").contains("Content-Type"));
        for answer in [&post, &image, &preflight] {
            let allowed = answer.header("access-control-allow-origin");
            let credentials = answer.header("access-control-allow-credentials");
            match echoed {
                true => assert_eq!((allowed, credentials), (origin, "true")),
                false => assert_eq!((allowed, credentials), ("*", "")),
            }
            assert_eq!(answer.header("vary").contains("Origin"), echoed);
        }
        for answer in [&post, &image] {
            assert_eq!(answer.all("set-cookie").is_empty(), !echoed, "{origin}");
            assert_eq!(answer.outcome(), "accepted");
        }
        let kind = running.last_event().identification;
        assert_eq!(kind == Identification::Identified, echoed, "{origin}");
    }
}

#[test]
fn a_choice_is_remembered_and_can_be_taken_back() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    let silent = send(&mut client, &key, "", &[OWN]);
    assert!(silent.all("set-cookie").is_empty(), "nothing before a choice");
    let yes = send(&mut client, &key, YES, &[OWN, ("X-Forwarded-Proto", "https")]);
    let (id, choice) = (cookie(&yes, "cairn_id").unwrap(), cookie(&yes, "cairn_consent").unwrap());
    assert!(yes.all("set-cookie").iter().all(|set| set.ends_with("; SameSite=Lax; Secure")));
    assert!(yes.all("set-cookie")[0].contains("; HttpOnly"));
    let first = running.last_event();
    let jar = format!("{id}; {choice}");
    let later = send(&mut client, &key, "", &[OWN, ("Cookie", &jar)]);
    assert!(later.all("set-cookie").is_empty(), "nothing is refreshed");
    let second = running.last_event();
    assert_eq!((second.visitor_id, second.click_id.as_ref()), (first.visitor_id, "c1"));
    let gpc = send(&mut client, &key, YES, &[OWN, ("Cookie", &jar), ("Sec-GPC", "1")]);
    assert_eq!((gpc.outcome(), running.last_event().click_id.as_ref()), ("accepted", ""));
    let no = send(&mut client, &key, "analytics:denied", &[OWN, ("Cookie", &jar)]);
    assert!(no.all("set-cookie").iter().any(|set| set.starts_with("cairn_id=; Max-Age=0")));
    let denied = cookie(&no, "cairn_consent").unwrap();
    let jar = format!("{id}; {denied}");
    send(&mut client, &key, "", &[OWN, ("Cookie", &jar)]);
    assert_eq!(running.last_event().identification, Identification::Anonymous);
}

#[test]
fn cross_site_pixels_need_the_owners_choice() {
    let running = Running::start();
    let plain = running.site(&SHOP);
    let chosen = running.site(&Site {
        domain: "two.example",
        cross_site_cookies: CrossSiteCookies::Partitioned,
        ..SHOP
    });
    let cross = ("Sec-Fetch-Site", "cross-site");
    let mut client = running.client();
    let answer = send(&mut client, &plain, YES, &[OWN, cross]);
    assert!(answer.all("set-cookie").is_empty());
    assert_eq!(running.last_event().identification, Identification::Anonymous);
    let own = ("Origin", "https://two.example");
    let answer = send(&mut client, &chosen, YES, &[own, cross]);
    let set = answer.all("set-cookie");
    assert!(
        set.len() == 2 && set.iter().all(|set| set.ends_with("SameSite=None; Secure; Partitioned"))
    );
    // A browser that keeps no cookies there stays anonymous, however often it comes.
    assert_eq!(running.last_event().identification, Identification::Anonymous);
    let id = cookie(&answer, "cairn_id").unwrap();
    send(&mut client, &chosen, YES, &[own, cross, ("Cookie", &id)]);
    assert_eq!(running.last_event().identification, Identification::Identified);
    running.wait_applied();
    let app = &running.app;
    let site = app.directory.current().by_key(&chosen).unwrap().site.site.id;
    let order = ReceiptOrder::OldestAfter(0);
    let receipts = app.catalog.receipts(site, &ReceiptFilter::default(), order, 10).unwrap();
    let visitor = running.last_event().visitor_id;
    assert_eq!(receipts[0].subject, Some(visitor), "the proof is of the one who comes back");
}

#[test]
fn strict_sites_keep_nothing_of_the_silent() {
    let running = Running::start();
    let key = running.site(&Site { policy: Policy::OptInStrict, ..SHOP });
    let mut client = running.client();
    let answer = send(&mut client, &key, "", &[OWN]);
    assert_eq!((answer.status, answer.outcome()), (202, "dropped:policy"));
    let image = client.get(&format!("/p.gif?key={key}"), &[OWN]);
    assert_eq!((image.status, image.outcome()), (200, "dropped:policy"));
    assert!(running.events().is_empty());
    running.assert_conserved();
}

#[test]
fn a_choice_alone_is_recorded_without_an_event() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let body = json!({"key": key, "events": [], "consent": YES}).to_string();
    let answer = running.client().post(&[OWN], body.as_bytes());
    assert_eq!((answer.status, answer.outcome()), (202, "consent"));
    assert!(cookie(&answer, "cairn_consent").is_some() && cookie(&answer, "cairn_id").is_some());
    assert_eq!(running.count(Outcome::Consent), 1);
    let unknown = json!({"key": "px_unknown", "events": [], "consent": YES}).to_string();
    let answer = running.client().post(&[OWN], unknown.as_bytes());
    assert_eq!((answer.status, answer.outcome()), (404, "rejected:unknown_key"));
    assert_eq!(running.assert_conserved().received, 2, "each is a hit with an outcome");
}

#[test]
fn a_choice_alone_of_who_opted_out_is_dropped() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let yes = send(&mut running.client(), &key, YES, &[OWN]);
    let id = cookie(&yes, "cairn_id").unwrap();
    let entry = running.app.directory.current().by_key(&key).unwrap();
    let (site, digits) = (entry.site.site.id, id.split_once('=').unwrap().1);
    let cookie_id = parse_cookie_id(digits).unwrap();
    let number = running.app.ingest.keys().of_cookie(site, &cookie_id).0;
    running.app.catalog.add_opt_outs(site, &[number], NOW_MS).unwrap();
    let body = json!({"key": key, "events": [], "consent": YES}).to_string();
    let answer = running.client().post(&[OWN, ("Cookie", id.as_str())], body.as_bytes());
    assert_eq!((answer.status, answer.outcome()), (202, "dropped:opted_out"));
    assert_eq!(running.count(Outcome::DroppedOptedOut), 1);
    assert_eq!(running.assert_conserved().received, 2);
}

#[test]
fn the_script_is_cached_by_its_tag() {
    let running = Running::start();
    let mut client = running.client();
    let answer = client.get("/cairn.js?key=anything", &[]);
    if answer.status == 404 {
        eprintln!("NOT RUN: the_script_is_cached_by_its_tag: tracker/dist/cairn.js is missing");
        return;
    }
    assert_eq!(answer.header("cache-control"), "public, max-age=3600");
    let tag = answer.header("etag").to_owned();
    let known = client.get("/cairn.js?key=anything", &[("If-None-Match", &tag)]);
    assert_eq!((known.status, known.body.len()), (304, 0));
    let mut sent = |accepted| client.get("/cairn.js", &[("Accept-Encoding", accepted)]);
    let [brotli, gzip] = [sent("gzip, deflate, br, zstd"), sent("br;q=0.5, gzip")];
    for (packed, coding) in [(&brotli, "br"), (&gzip, "gzip")] {
        assert_eq!((packed.status, packed.header("content-encoding")), (200, coding));
        assert_eq!(packed.header("vary"), "Accept-Encoding");
    }
    assert!(brotli.body.len() < gzip.body.len() && gzip.body.len() < answer.body.len());
    assert!(brotli.body.len() <= 2050, "a page pays {} bytes", brotli.body.len());
    let mut unpacked = Vec::new();
    brotli::BrotliDecompress(&mut &brotli.body[..], &mut unpacked).unwrap();
    assert_eq!(unpacked, answer.body);
    let mut unpacked_gzip = Vec::new();
    flate2::read::GzDecoder::new(&gzip.body[..]).read_to_end(&mut unpacked_gzip).unwrap();
    assert_eq!(unpacked_gzip, answer.body);
    assert_eq!(sent("br;q=0, gzip;q=0").body, answer.body);
}

#[test]
fn the_script_brings_the_settings_of_its_pixel_and_their_parts() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    let script = format!("/cairn.js?key={key}");
    let before = client.get(&script, &[]);
    if before.status == 404 {
        eprintln!(
            "NOT RUN: the_script_brings_the_settings_of_its_pixel_and_their_parts: tracker/dist/cairn.js is missing"
        );
        return;
    }
    let entry = running.app.directory.current().by_key(&key).unwrap();
    let mut pixel = entry.pixel.clone();
    pixel.settings = TrackerSettings {
        clicks: true,
        scroll: false,
        hash_routes: true,
        download_extensions: vec!["pdf".to_owned()],
        ..TrackerSettings::default()
    };
    assert!(running.app.catalog.update_pixel(&pixel).unwrap());
    let settings = client.get(&format!("/cairn.json?key={key}"), &[]);
    assert_eq!(settings.header("access-control-allow-origin"), "*");
    let settings: serde_json::Value = serde_json::from_slice(&settings.body).unwrap();
    let source = settings["clicks"]["src"].as_str().unwrap().to_owned();
    let wanted = json!({"clicks": {"src": source, "extensions": ["pdf"]}, "hash_routes": true});
    assert_eq!(settings, wanted);
    // Every form of the script ends with them, and has a tag of its own.
    let after = client.get(&script, &[("If-None-Match", before.header("etag"))]);
    assert_eq!(after.status, 200);
    assert_ne!(after.header("etag"), before.header("etag"));
    let brotli = client.get(&script, &[("Accept-Encoding", "br")]);
    let mut unpacked = Vec::new();
    brotli::BrotliDecompress(&mut &brotli.body[..], &mut unpacked).unwrap();
    let gzip = client.get(&script, &[("Accept-Encoding", "gzip")]);
    let mut unpacked_gzip = Vec::new();
    flate2::read::GzDecoder::new(&gzip.body[..]).read_to_end(&mut unpacked_gzip).unwrap();
    for form in [&after.body, &unpacked, &unpacked_gzip] {
        assert!(
            form.ends_with(format!("({wanted})").as_bytes()),
            "{}",
            String::from_utf8_lossy(form)
        );
    }
    // A part is kept for ever under its name, and found under the name that it had before.
    let part = client.get(&format!("/{source}"), &[]);
    assert_eq!(part.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(part.header("access-control-allow-origin"), "*");
    let older = client.get("/cairn/clicks-OLDER.js", &[]);
    assert_eq!((older.header("cache-control"), &older.body), ("no-cache", &part.body));
    assert_eq!(client.get("/cairn/nothing-OLDER.js", &[]).status, 404);
    assert_eq!(client.get("/cairn/clicks.js", &[]).status, 404);
}
