//! Choices: their receipts, and what a withdrawal does at once.

use cairn_catalog::{Receipt, ReceiptFilter, ReceiptOrder};
use cairn_model::receipt::answers_text;
use cairn_model::{Identification, Outcome, Policy};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::running::{NOW_MS, Running, SHOP, Site};

const OWN: (&str, &str) = ("Origin", "https://shop.example");
const YES: &str = "analytics:granted,ads:granted";
const NO: &str = "analytics:denied,ads:denied";

fn choose(client: &mut Client, key: &str, consent: &Value, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"key": key, "events": [], "consent": consent});
    client.post(headers, body.to_string().as_bytes())
}

fn view(client: &mut Client, key: &str, consent: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"key": key, "events": [{"event": "page_view"}], "consent": consent});
    client.post(headers, body.to_string().as_bytes())
}

/// `name=value` of the cookies that were set.
fn jar(answer: &Answer) -> String {
    let set = answer.all("set-cookie").into_iter().map(|set| set.split(';').next().unwrap());
    set.collect::<Vec<_>>().join("; ")
}

pub fn receipts(running: &Running) -> Vec<Receipt> {
    running.wait_applied();
    let catalog = &running.app.catalog;
    let site = running.app.directory.current().sites().next().unwrap().site.id;
    assert!(catalog.verify_receipts(site, NOW_MS).unwrap().is_sound());
    let order = ReceiptOrder::OldestAfter(0);
    catalog.receipts(site, &ReceiptFilter::default(), order, 100).unwrap()
}

#[test]
fn a_choice_has_its_receipt_when_it_is_answered() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    let banner = json!({"choice": YES, "signal": "banner",
                        "shown": {"version": "2026-11-a", "language": "de"}});
    let answer = choose(&mut client, &key, &banner, &[OWN, ("Sec-GPC", "1")]);
    assert_eq!((answer.status, answer.outcome()), (202, "consent"));
    let cookies = jar(&answer);
    let again = view(&mut client, &key, YES, &[OWN, ("Cookie", &cookies)]);
    assert_eq!(again.outcome(), "accepted");
    let image = format!("/p.gif?key={key}&consent={NO}");
    let refusal = client.get(&image, &[OWN, ("Cookie", &cookies)]);
    assert_eq!(refusal.outcome(), "accepted");
    let silent = client.get(&format!("/p.gif?key={key}"), &[OWN]);
    assert_eq!(silent.outcome(), "accepted");
    let found = receipts(&running);
    assert_eq!(found.len(), 2, "{found:?}");
    let (yes, no) = (&found[0], &found[1]);
    assert_eq!(answers_text(&yes.answers), YES);
    assert_eq!((yes.version.as_str(), yes.language.as_str()), ("2026-11-a", "de"));
    assert_eq!((yes.signal.as_str(), yes.gpc, yes.policy.as_str()), ("banner", true, "opt_in"));
    assert_eq!(yes.subject, Some(running.events()[0].visitor_id), "the event can be told by it");
    assert_eq!(answers_text(&no.answers), NO);
    assert_eq!((no.signal.as_str(), no.subject, no.commitment), ("page", None, None));
    running.assert_conserved();
}

#[test]
fn a_refusal_that_keeps_nothing_has_its_receipt() {
    let running = Running::start();
    let key = running.site(&Site { policy: Policy::OptInStrict, ..SHOP });
    let mut client = running.client();
    let image = client.get(&format!("/p.gif?key={key}&consent={NO}"), &[OWN]);
    assert_eq!(image.outcome(), "dropped:policy");
    assert!(jar(&image).starts_with("cairn_consent=v1.analytics=0"));
    let cookies = jar(&image);
    let body = view(&mut client, &key, "ads:granted", &[OWN, ("Cookie", &cookies)]);
    assert_eq!(body.outcome(), "dropped:policy");
    let found = receipts(&running);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|receipt| receipt.subject.is_none()));
    assert!(running.events().is_empty());
}

#[test]
fn without_its_receipt_there_is_no_yes_and_a_no_holds_all_the_same() {
    let mut running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    let cookies = jar(&choose(&mut client, &key, &json!(YES), &[OWN]));
    running.stop_applying();
    running.app.log.close();
    for consent in [json!(YES), json!({"choice": YES, "signal": "banner"})] {
        let yes = choose(&mut client, &key, &consent, &[OWN]);
        assert_eq!((yes.status, yes.outcome()), (503, "unavailable:log_full"));
        assert_eq!(jar(&yes), "", "nothing is set that cannot be proven");
    }
    let no = choose(&mut client, &key, &json!(NO), &[OWN, ("Cookie", &cookies)]);
    assert_eq!(no.status, 503);
    assert!(jar(&no).contains("cairn_id=; cairn_consent=v1.analytics=0"), "{}", jar(&no));
    let own = [OWN, ("Cookie", cookies.as_str())];
    let view = view(&mut client, &key, NO, &own);
    assert_eq!(view.status, 503);
    assert!(jar(&view).contains("cairn_consent=v1.analytics=0"), "{}", jar(&view));
    let image = client.get(&format!("/p.gif?key={key}&consent={NO}"), &own);
    assert_eq!((image.status, image.outcome()), (200, "unavailable:log_full"));
    assert!(jar(&image).contains("cairn_consent=v1.analytics=0"), "{}", jar(&image));
    let image = client.get(&format!("/p.gif?key={key}&consent={YES}"), &[OWN]);
    assert_eq!(jar(&image), "");
    assert_eq!(running.count(Outcome::UnavailableLogFull), 6);
}

#[test]
fn a_withdrawal_holds_for_hits_that_left_the_browser_before_it() {
    let running = Running::start();
    let key = running.site(&Site { policy: Policy::OptOut, ..SHOP });
    let mut client = running.client();
    let cookies = jar(&view(&mut client, &key, YES, &[OWN]));
    let known = [OWN, ("Cookie", cookies.as_str())];
    // Two connections: one brings the refusal, the other what was sent before it and comes after it.
    let mut late = running.client();
    assert_eq!(view(&mut late, &key, "", &known).outcome(), "accepted");
    assert_eq!(running.last_event().identification, Identification::Identified);
    let no = choose(&mut client, &key, &json!(NO), &known);
    assert!(jar(&no).contains("cairn_id=;"), "{}", jar(&no));
    for _ in 0..2 {
        let answer = view(&mut late, &key, "", &known);
        assert_eq!(answer.outcome(), "accepted");
        assert_eq!(running.last_event().identification, Identification::Anonymous);
        assert_eq!(jar(&answer), "cairn_id=", "taken back once more, and nothing else");
    }
    let image = late.get(&format!("/p.gif?key={key}"), &known);
    assert_eq!(image.outcome(), "accepted");
    assert_eq!(running.last_event().identification, Identification::Anonymous);
    let again = choose(&mut client, &key, &json!(YES), &known);
    assert_eq!(again.outcome(), "consent");
    view(&mut late, &key, "", &known);
    assert_eq!(running.last_event().identification, Identification::Identified);
    assert_eq!(receipts(&running).len(), 3);
}

/// The rest of a jar after an answer: what it sets replaces what was there.
fn kept(before: &str, answer: &Answer) -> String {
    let set = jar(answer);
    let name = |pair: &str| pair.split('=').next().unwrap().to_owned();
    let is_new = |pair: &&str| !set.split("; ").any(|new| name(new) == name(pair));
    let old = before.split("; ").filter(is_new);
    let pairs = old.chain(set.split("; ")).filter(|pair| !pair.is_empty() && !pair.ends_with('='));
    pairs.collect::<Vec<_>>().join("; ")
}

#[test]
fn a_tab_that_was_left_open_does_not_undo_a_no() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    let banner = |answers: &str| json!({"choice": answers, "signal": "banner"});
    let repeated = json!({"choice": YES, "signal": "banner", "repeated": true}).to_string();
    let batch = |client: &mut Client, cookies: &str, consent: &str| {
        let body = format!(
            r#"{{"key": "{key}", "consent": {consent}, "events": [
                {{"event": "page_view", "url": "https://shop.example/p?sku=7", "user_id": "ada"}}]}}"#
        );
        client.post(&[OWN, ("Cookie", cookies)], body.as_bytes())
    };
    let cookies = kept("", &choose(&mut client, &key, &banner(YES), &[OWN]));
    let view = batch(&mut client, &cookies, &repeated);
    assert_eq!((view.outcome(), jar(&view).as_str()), ("accepted", ""));
    assert_eq!(running.last_event().identification, Identification::Identified);
    // Another tab: no. The first one goes on with what it knows.
    let no = choose(&mut client, &key, &banner(NO), &[OWN, ("Cookie", &cookies)]);
    let cookies = kept(&cookies, &no);
    assert!(cookies.starts_with("cairn_consent=v1.analytics=0.ads=0.t="), "{cookies}");
    for _ in 0..2 {
        let view = batch(&mut client, &cookies, &repeated);
        assert_eq!((view.outcome(), jar(&view).as_str()), ("accepted", ""));
        let event = running.last_event();
        assert_eq!(event.identification, Identification::Anonymous);
        assert_eq!((event.user_key, event.query.as_ref()), (0, ""));
    }
    let found = receipts(&running);
    let made = found.iter().map(|it| (answers_text(&it.answers), it.signal.as_str()));
    assert_eq!(made.collect::<Vec<_>>(), [(YES.to_owned(), "banner"), (NO.to_owned(), "banner")]);
    // Without cookies the batch is all that tells: it holds, and does not say that somebody clicked.
    let view = batch(&mut client, "", &repeated);
    assert!(jar(&view).contains("cairn_consent=v1.analytics=1"), "{}", jar(&view));
    assert_eq!(running.last_event().identification, Identification::Identified);
    assert_eq!(receipts(&running).last().unwrap().signal, "page");
}

#[test]
fn what_could_not_be_told_in_time_goes_behind_what_was_said_since_then() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    let late = |answers: &str, age_ms: i64| json!({"choice": answers, "signal": "banner", "age_ms": age_ms});
    let no = kept("", &choose(&mut client, &key, &late(NO, 60_000), &[OWN]));
    // Said a minute before the no, and told after it.
    let yes = choose(&mut client, &key, &late(YES, 120_000), &[OWN, ("Cookie", &no)]);
    assert_eq!((yes.outcome(), jar(&yes).as_str()), ("consent", ""));
    assert_eq!(receipts(&running).len(), 1, "nothing will rely on it");
    let yes = choose(&mut client, &key, &late(YES, 30_000), &[OWN, ("Cookie", &no)]);
    assert!(jar(&yes).contains("cairn_consent=v1.analytics=1"), "{}", jar(&yes));
    assert_eq!(receipts(&running).len(), 2);
    // A no that waited holds as well, and one that is older than the yes does not.
    let cookies = kept(&no, &yes);
    let known = [OWN, ("Cookie", cookies.as_str())];
    assert_eq!(jar(&choose(&mut client, &key, &late(NO, 40_000), &known)), "");
    let no = choose(&mut client, &key, &late(NO, 20_000), &known);
    assert!(jar(&no).contains("cairn_id=; cairn_consent=v1.analytics=0"), "{}", jar(&no));
}

#[test]
fn a_call_of_memory_records_and_proves_its_choice() {
    let mut running = Running::start();
    let key = running.site(&SHOP);
    let mut client = running.client();
    let call = |client: &mut Client, consent: Value, headers: &[(&str, &str)]| {
        let body = json!({"key": key, "consent": consent, "recall": ["size"]}).to_string();
        client.request("POST", "/m", headers, body.as_bytes())
    };
    let both = json!("functional:granted,analytics:granted");
    let yes = call(&mut client, both, &[OWN]);
    let set = jar(&yes);
    assert!(set.starts_with("cairn_consent=v1.analytics=1.functional=1"), "no cairn_id: {set}");
    let shown = json!({"functional": "denied", "signal": "page", "shown": {"version": "3"}});
    let no = call(&mut client, shown, &[OWN, ("Cookie", &set)]);
    let cookies = kept(&set, &no);
    assert!(cookies.starts_with("cairn_consent=v1.analytics=1.functional=0"), "{cookies}");
    // What the tracker tells by itself is neither recorded nor proven once more.
    let again = json!({"functional": "granted", "repeated": true});
    let refused = call(&mut client, again.clone(), &[OWN, ("Cookie", &cookies)]);
    assert_eq!((refused.json()["allowed"].clone(), jar(&refused)), (json!(false), String::new()));
    let allowed = call(&mut client, again, &[OWN]);
    assert_eq!((allowed.json()["allowed"].clone(), jar(&allowed)), (json!(true), String::new()));
    let found = receipts(&running);
    let made = found.iter().map(|it| (answers_text(&it.answers), it.version.as_str()));
    assert_eq!(
        made.collect::<Vec<_>>(),
        [
            ("analytics:granted,functional:granted".to_owned(), ""),
            ("functional:denied".to_owned(), "3")
        ]
    );
    assert!(found.iter().all(|receipt| receipt.subject.is_none()), "no cairn_id is known");
    running.stop_applying();
    running.app.log.close();
    let yes = call(&mut client, json!("functional:granted"), &[OWN]);
    assert_eq!((yes.status, jar(&yes)), (503, String::new()));
    let no = call(&mut client, json!("functional:denied"), &[OWN]);
    assert_eq!((no.status, jar(&no).starts_with("cairn_consent=v1.functional=0")), (503, true));
}
