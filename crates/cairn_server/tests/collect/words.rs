//! Words that events bring, from senders which keep no record of ours: their receipts, and what taking permission back does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_catalog::NewPixel;
use cairn_engine::record;
use cairn_engine::token::{AdClaims, Claims, TokenKeys, TokenKind};
use cairn_log::Offset;
use cairn_model::receipt::answers_text;
use cairn_model::{CrossSiteCookies, Identification, Outcome, PixelKind, Policy};
use serde_json::{Value, json};

use crate::choices::receipts;
use crate::client::{Answer, Client};
use crate::running::{NOW_MS, Running, SHOP, Site};

const OWN: (&str, &str) = ("Origin", "https://shop.example");
const YES: &str = "analytics:granted,ads:granted";
const NO: &str = "analytics:denied,ads:denied";

/// A message; an empty word is none.
fn message(sender: &str, word: &str) -> Value {
    let context = if word.is_empty() { json!({}) } else { json!({"consent": word}) };
    json!({"type": "track", "anonymousId": sender, "event": "e", "context": context})
}

fn send(client: &mut Client, path: &str, key: &str, body: &Value) -> Answer {
    send_with(client, path, key, body, &[OWN])
}

fn send_with(
    client: &mut Client,
    path: &str,
    key: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> Answer {
    let authorization = format!("Basic {}", STANDARD.encode(format!("{key}:")));
    let headers = [&[("Authorization", &*authorization)], headers].concat();
    client.request("POST", path, &headers, body.to_string().as_bytes())
}

fn made(running: &Running) -> Vec<String> {
    receipts(running)
        .iter()
        .map(|it| format!("{} {}", answers_text(&it.answers), it.signal))
        .collect()
}

/// Receipts in the log, however many.
fn count(running: &Running) -> usize {
    let mut reader = running.app.log.reader(Offset(1));
    let mut count = 0;
    loop {
        let batch = reader.next_batch(1 << 20).unwrap();
        if batch.is_empty() {
            return count;
        }
        count += batch.iter().filter(|(_, bytes)| record::is_choice(bytes)).count();
    }
}

#[test]
fn a_messages_word_has_its_receipt_once() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    for _ in 0..3 {
        let answer = send(&mut client, "/v1/track", &key, &message("a-1", YES));
        assert_eq!(answer.outcome(), "accepted");
    }
    let preferences = json!({"Analytics": true, "Advertising": false});
    let mut shown = message("a-1", "");
    shown["context"] = json!({"consent": {"categoryPreferences": preferences}});
    let batch =
        json!({"batch": [shown, message("a-1", NO), message("a-1", NO), message("b-2", "1YYN")]});
    assert_eq!(send(&mut client, "/v1/batch", &key, &batch).outcome(), "accepted");
    assert_eq!(
        made(&running),
        [
            "analytics:granted,ads:granted page",
            "analytics:granted,ads:denied page",
            "analytics:denied,ads:denied page",
            "ads:denied us_privacy"
        ]
    );
    let (found, events) = (receipts(&running), running.events());
    assert_eq!(events[0].identification, Identification::Identified);
    assert_eq!(found[0].subject, Some(events[0].visitor_id), "the event can be told by it");
    assert_eq!(found[1].subject, Some(events[0].visitor_id));
    assert_eq!((found[2].subject, found[2].commitment), (None, None));
    running.assert_conserved();
}

#[test]
fn a_word_is_not_proven_that_the_browser_has_on_record_or_that_is_nobodys() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    let recorded = [OWN, ("Cookie", "cairn_consent=v1.analytics=1.ads=1.t=1795341000")];
    send_with(&mut client, "/v1/track", &key, &message("a-1", YES), &recorded);
    let foreign = [("Origin", "https://evil.example")];
    send_with(&mut client, "/v1/track", &key, &message("a-2", YES), &foreign);
    let server = running.site(&Site { domain: "api.example", kind: PixelKind::Server, ..SHOP });
    send_with(&mut client, "/v1/track", &server, &message("a-3", YES), &[]);
    let entry = running.app.directory.current().by_key(&key).unwrap();
    let site = entry.site.site.id;
    let sender = running.app.ingest.keys().of_sender(site, "a-4");
    running.app.catalog.add_opt_outs(site, &[sender.0], NOW_MS).unwrap();
    let out = send(&mut client, "/v1/track", &key, &message("a-4", YES));
    assert_eq!(out.outcome(), "dropped:opted_out");
    let mut refused = message("a-5", YES);
    refused["timestamp"] = json!(NOW_MS - 8 * 86_400_000);
    assert_eq!(send(&mut client, "/v1/track", &key, &refused).outcome(), "rejected:too_old");
    assert_eq!(count(&running), 0);
}

#[test]
fn a_refusal_in_a_message_that_keeps_nothing_has_its_receipt() {
    let running = Running::start();
    let key = running.site(&Site { policy: Policy::OptInStrict, ..SHOP });
    let answer = send(&mut running.client(), "/v1/track", &key, &message("a-1", NO));
    assert_eq!(answer.outcome(), "dropped:policy");
    assert_eq!(made(&running), ["analytics:denied,ads:denied page"]);
    assert!(running.events().is_empty());
}

#[test]
fn a_no_in_a_message_holds_until_its_sender_says_yes_again() {
    let running = Running::start();
    let key = running.site(&Site { policy: Policy::OptOut, ..SHOP });
    let mut client = running.client();
    let mut kind_of = |mut message: Value, id: &str, age_ms: i64| {
        message["timestamp"] = json!(NOW_MS - age_ms);
        message["messageId"] = json!(id);
        let answer = send(&mut client, "/v1/track", &key, &message);
        assert!(["accepted", "duplicate"].contains(&answer.outcome()), "{answer:?}");
        running.wait_applied();
        running.last_event().identification
    };
    assert_eq!(kind_of(message("a", ""), "m-1", 90_000), Identification::Identified);
    assert_eq!(kind_of(message("a", YES), "m-2", 80_000), Identification::Identified);
    assert_eq!(kind_of(message("a", NO), "m-3", 60_000), Identification::Anonymous);
    assert_eq!(kind_of(message("a", ""), "m-4", 50_000), Identification::Anonymous);
    // What waited in the sender's queue, and what it sends once more.
    assert_eq!(kind_of(message("a", YES), "m-5", 70_000), Identification::Anonymous);
    kind_of(message("a", YES), "m-2", 0);
    assert_eq!(kind_of(message("a", ""), "m-6", 0), Identification::Anonymous);
    assert_eq!(kind_of(message("b", ""), "m-7", 0), Identification::Identified, "somebody else");
    assert_eq!(kind_of(message("a", YES), "m-8", 30_000), Identification::Identified);
    assert_eq!(kind_of(message("a", ""), "m-9", 0), Identification::Identified);
    assert_eq!(
        kind_of(message("a", NO), "m-10", 40_000),
        Identification::Anonymous,
        "its own word"
    );
    assert_eq!(kind_of(message("a", ""), "m-11", 0), Identification::Identified, "it was late");
    assert_eq!(count(&running), 3);
}

#[test]
fn a_no_in_a_message_holds_for_the_browsers_cookie() {
    let running = Running::start();
    let key = running.site(&Site { policy: Policy::OptOut, ..SHOP });
    let mut client = running.client();
    let known = [OWN, ("Cookie", "cairn_id=00112233445566778899aabbccddeeff")];
    let image = format!("/p.gif?key={key}");
    client.get(&image, &known);
    assert_eq!(running.last_event().identification, Identification::Identified);
    send_with(&mut client, "/v1/track", &key, &message("a-1", NO), &known);
    client.get(&image, &known);
    assert_eq!(running.last_event().identification, Identification::Anonymous);
    send_with(&mut client, "/v1/track", &key, &message("a-1", YES), &known);
    client.get(&image, &known);
    assert_eq!(running.last_event().identification, Identification::Identified);
    assert_eq!(made(&running).len(), 2);
}

/// What is kept of senders' words in the log.
fn refusals(running: &Running) -> usize {
    let mut reader = running.app.log.reader(Offset(1));
    let batch = reader.next_batch(1 << 20).unwrap();
    batch.iter().filter(|(_, bytes)| record::is_refusal(bytes)).count()
}

#[test]
fn a_no_in_a_message_survives_restarts_and_whoever_shares_its_place_in_memory() {
    let running = Running::lagging(|_| {});
    let key = running.site(&Site { policy: Policy::OptOut, ..SHOP });
    let site = running.app.directory.current().by_key(&key).unwrap().site.site.id;
    let number = |sender: &str| running.app.ingest.keys().of_sender(site, sender).0;
    let kind_of = |running: &Running, sender: &str, word: &str| {
        let mut client = running.client();
        let known = [OWN, ("Cookie", "cairn_id=00112233445566778899aabbccddeeff")];
        let headers = if sender == "with a cookie" { &known[..] } else { &known[..1] };
        let answer = send_with(&mut client, "/v1/track", &key, &message(sender, word), headers);
        assert_eq!(answer.outcome(), "accepted");
        running.last_event().identification
    };
    let of_place = number("a") % 4096;
    let mut others = (0..).map(|at| format!("b-{at}"));
    let other = others.find(|other| number(other) % 4096 == of_place).unwrap();
    for sender in ["a", "a", "with a cookie", &other] {
        assert_eq!(kind_of(&running, sender, NO), Identification::Anonymous);
    }
    assert_eq!(kind_of(&running, "a", ""), Identification::Anonymous, "the other took its place");
    assert_eq!(refusals(&running), 4, "at a change only; of the cookie and of the sender");
    // It ends before anything was applied, and before the next one applies anything.
    let running = running.restarted();
    assert_eq!(kind_of(&running, "a", ""), Identification::Anonymous, "it waits in the log");
    let mut running = running.restarted();
    running.apply();
    running.wait_applied();
    let running = running.restarted();
    for sender in ["a", "with a cookie", &other] {
        assert_eq!(kind_of(&running, sender, ""), Identification::Anonymous, "it is on record");
    }
    assert_eq!(kind_of(&running, "c", ""), Identification::Identified, "somebody else");
    for sender in ["a", "with a cookie"] {
        assert_eq!(kind_of(&running, sender, YES), Identification::Identified);
    }
    let mut running = running.restarted();
    running.apply();
    running.wait_applied();
    assert_eq!(running.app.catalog.withdrawals().unwrap().len(), 1, "the other's");
    let running = running.restarted();
    assert_eq!(kind_of(&running, "a", ""), Identification::Identified);
    assert_eq!(kind_of(&running, &other, ""), Identification::Anonymous);
}

#[test]
fn a_yes_of_a_cookie_ends_the_no_that_a_message_brought() {
    let running = Running::start();
    let key = running.site(&Site { policy: Policy::OptOut, ..SHOP });
    let mut client = running.client();
    let known = [OWN, ("Cookie", "cairn_id=00112233445566778899aabbccddeeff")];
    send_with(&mut client, "/v1/track", &key, &message("a-1", NO), &known);
    running.wait_applied();
    let count = || running.app.catalog.withdrawals().unwrap().len();
    assert_eq!(count(), 2);
    client.get(&format!("/p.gif?key={key}&consent={YES}"), &known);
    running.wait_applied();
    assert_eq!(count(), 1, "the sender's own id said nothing since");
}

#[test]
fn strangers_cannot_fill_the_disk_with_messages() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    let mut batch = |word: &str, many: usize| {
        let before = count(&running);
        let senders = (0..many).map(|number| message(&format!("{word} {number}"), word));
        let batch = json!({"batch": senders.collect::<Vec<_>>()});
        let answer = send(&mut client, "/v1/batch", &key, &batch);
        assert_eq!(answer.json()["accepted"], json!(many));
        count(&running) - before
    };
    assert_eq!(batch(NO, 60), 32);
    assert_eq!(batch(YES, 700), 600);
    let key = running.site(&Site { domain: "two.example", policy: Policy::OptOut, ..SHOP });
    let many = (0..700).map(|number| message(&format!("no {number}"), NO)).collect::<Vec<_>>();
    let two = [("Origin", "https://two.example")];
    send_with(&mut client, "/v1/batch", &key, &json!({"batch": many}), &two);
    assert_eq!(refusals(&running), 600);
}

#[test]
fn a_word_whose_receipt_cannot_be_written_is_refused() {
    let mut running = Running::start();
    let key = running.site(&Site { policy: Policy::OptInStrict, ..SHOP });
    running.stop_applying();
    running.app.log.close();
    let mut client = running.client();
    for word in [NO, YES] {
        let answer = send(&mut client, "/v1/track", &key, &message("a-1", word));
        assert_eq!((answer.status, answer.outcome()), (503, "unavailable:log_full"), "{word}");
    }
}

/// A site with pages and an advertisement: the pages' key, the advertisement's, and its image.
fn advertised(running: &Running, cookies: CrossSiteCookies) -> (String, String, String) {
    let pages = running.site(&Site { policy: Policy::OptOut, ..SHOP });
    let site_id = running.app.directory.current().by_key(&pages).unwrap().site.site.id;
    let pixel = NewPixel {
        site_id,
        name: "Ad".to_owned(),
        kind: PixelKind::Ad,
        url: String::new(),
        settings: Default::default(),
        cross_site_cookies: cookies,
    };
    let pixel = running.app.catalog.add_pixel(&pixel, NOW_MS).unwrap();
    let claims = Claims {
        issued_at_ms: NOW_MS,
        expires_at_ms: NOW_MS + 60_000,
        pixel_id: pixel.id,
        message: [5; 16],
        shared: true,
        campaign: "spring".to_owned(),
        ad: Some(Box::new(AdClaims::default())),
        ..Claims::default()
    };
    let keys = TokenKeys::new(running.app.catalog.master_secret());
    let token = keys.seal(TokenKind::Impression, site_id, &claims).unwrap();
    (pages, pixel.key, format!("/i/{token}.gif"))
}

const ALL: &str = "CQgcD4AQgcD4AEsAHBENB4FsAP_gAEPgAAYgAKP__8AFH__-AAAA.IAKP__8A.YAAAAAAAAAAA";
const NONE: &str = "CQgcD4AQgcD4AEsAHBENB4FgAAAAAAAAAAYgAAAAAAAA.IAKP__8A.YAAAAAAAAAAA";
const COOKIE: (&str, &str) = ("Cookie", "cairn_id=00112233445566778899aabbccddeeff");
const READER: [(&str, &str); 3] = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("Accept-Language", "de-CH"),
    ("Sec-Fetch-Site", "cross-site"),
];

#[test]
fn a_string_in_an_advertisement_is_the_word_of_a_browser_that_is_known() {
    let running = Running::start();
    let (pages, _, image) = advertised(&running, CrossSiteCookies::ThirdParty);
    let mut client = running.client();
    let known = [&READER[..], &[COOKIE, ("Referer", "https://shop.example/")]].concat();
    let mut shown = |string: &str, number: u32| {
        let answer = client.get(&format!("{image}?cb={number}&{string}"), &known);
        assert_eq!(answer.outcome(), "accepted");
        running.last_event().identification
    };
    assert_eq!(shown(&format!("gdpr_consent={ALL}"), 1), Identification::Identified);
    assert_eq!(shown(&format!("gdpr_consent={ALL}"), 2), Identification::Identified);
    assert_eq!(shown(&format!("gdpr_consent={ALL}&us_privacy=1YYN"), 3), Identification::Anonymous);
    assert_eq!(shown(&format!("gdpr_consent={NONE}"), 4), Identification::Anonymous);
    assert_eq!(shown("", 5), Identification::Anonymous, "it was taken back");
    let found = receipts(&running);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(
        (found[0].signal.as_str(), found[0].subject),
        ("tcf", Some(running.events()[0].visitor_id))
    );
    assert!(found[1..].iter().all(|receipt| receipt.subject.is_none()), "{found:?}");
    let mut client = running.client();
    client.get(&format!("/p.gif?key={pages}"), &[OWN, COOKIE]);
    assert_eq!(running.last_event().identification, Identification::Anonymous, "on pages as well");
    running.assert_conserved();
}

#[test]
fn a_string_in_an_advertisement_that_knows_nobody_proves_nothing() {
    let running = Running::start();
    let (pages, fixed, image) = advertised(&running, CrossSiteCookies::ThirdParty);
    let mut client = running.client();
    let own = ("Referer", "https://shop.example/");
    let elsewhere = ("Referer", "https://news.example/");
    for (number, more) in [&[own][..], &[elsewhere], &[elsewhere, COOKIE]].into_iter().enumerate() {
        let headers = [&READER[..], more].concat();
        let address = format!("{image}?cb={number}&gdpr_consent={NONE}");
        assert_eq!(client.get(&address, &headers).outcome(), "accepted");
        let fixed = format!("/p.gif?key={fixed}&gdpr_consent={NONE}");
        assert_eq!(client.get(&fixed, &headers).outcome(), "accepted");
    }
    assert_eq!(count(&running), 0);
    client.get(&format!("/p.gif?key={pages}"), &[OWN, COOKIE]);
    assert_eq!(running.last_event().identification, Identification::Identified, "it was not his");
    let page = format!("/p.gif?key={pages}&gdpr_consent={NONE}");
    assert_eq!(client.get(&page, &[OWN]).outcome(), "accepted");
    assert_eq!(count(&running), 1, "an image on a page of the site is another thing");
    assert_eq!(running.count(Outcome::Accepted), 8);
}
