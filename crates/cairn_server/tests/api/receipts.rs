//! Receipts over the API: lists, exports that verify elsewhere, permission rates, and why an event was kept.

use std::time::Duration;

use cairn_engine::record;
use cairn_model::event::PAGE_VIEW;
use cairn_model::receipt::ChoiceMade;
use cairn_model::{Basis, Choice, Event, Identification, SiteId, VisitorId};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::rig::{NOW_MS, Rig};

const YES: Option<Choice> = Some(Choice::Granted);
const NO: Option<Choice> = Some(Choice::Denied);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn choice(site: &str, visitor: u64, answer: Option<Choice>, at_ms: i64) -> ChoiceMade<'static> {
    ChoiceMade {
        site_id: site.parse().unwrap(),
        at_ms,
        subject: VisitorId(visitor),
        answers: [answer, NO, None, None],
        version: "2026-11-a".into(),
        language: "de".into(),
        signal: "banner".into(),
        region: "eea".into(),
        policy: "regional".into(),
        gpc: false,
    }
}

async fn choose(rig: &Rig, choice: &ChoiceMade<'_>) {
    let record = record::encode_choice(choice).unwrap();
    rig.app.log.appender().append([&record[..]]).await.unwrap();
    assert!(rig.app.wait_applied(Duration::from_secs(60)).await);
}

async fn get(rig: &Rig, path: &str) -> Value {
    rig.get(path).owner().send().await.ok(200)
}

fn numbers(page: &Value) -> Vec<u64> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["receipt"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn receipts_are_listed_by_page_and_filter() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    for (visitor, answer, at_ms) in
        [(7, YES, NOW_MS - 2 * DAY_MS), (0, NO, NOW_MS - DAY_MS), (8, YES, NOW_MS)]
    {
        choose(&rig, &choice(&site, visitor, answer, at_ms)).await;
    }
    let path = format!("/api/v1/sites/{site}/receipts");
    let first = get(&rig, &format!("{path}?limit=2")).await;
    assert_eq!((numbers(&first), &first["next"]), (vec![3, 2], &json!("2")));
    let second = get(&rig, &format!("{path}?limit=2&after=2")).await;
    assert_eq!((numbers(&second), &second["next"]), (vec![1], &Value::Null));
    let yes = &second["items"][0];
    assert_eq!(yes["choices"], json!({"analytics": "granted", "ads": "denied"}));
    assert_eq!(yes["visitor_id"], "0000000000000007");
    assert_eq!((&yes["version"], &yes["language"]), (&json!("2026-11-a"), &json!("de")));
    let no = &first["items"][1];
    assert_eq!((&no["visitor_id"], &no["commitment"]), (&json!(""), &json!("")));
    let denied = get(&rig, &format!("{path}?choice=analytics:denied")).await;
    assert_eq!(numbers(&denied), [2]);
    let days = format!("{path}?from={}&before={}", NOW_MS - DAY_MS, NOW_MS);
    assert_eq!(numbers(&get(&rig, &days).await), [2]);
    assert_eq!(numbers(&get(&rig, &format!("{path}?signal=page")).await), [0; 0]);
    for wrong in ["choice=analytics", "choice=all:granted", "after=x", "from=soon", "colour=red"] {
        let answer = rig.get(&format!("{path}?{wrong}")).owner().send().await;
        assert_eq!(answer.status.as_u16() / 100, 4, "{wrong}: {}", answer.text);
    }
}

/// What `docs/receipts.md` tells an auditor to do.
fn netstrings(fields: &[&str]) -> String {
    let bytes = fields.iter().map(|field| format!("{}:{field},", field.len()));
    let hash = Sha256::digest(bytes.collect::<String>());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn an_export_can_be_verified_by_anybody() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    for (visitor, answer) in [(7, YES), (0, NO), (8, YES)] {
        choose(&rig, &choice(&site, visitor, answer, NOW_MS + visitor as i64)).await;
    }
    let number: SiteId = site.parse().unwrap();
    rig.app.catalog.erase_receipt_subjects(number, &[VisitorId(7)], NOW_MS + 9).unwrap();
    let path = format!("/api/v1/sites/{site}/receipts");
    let part = rig.get(&format!("{path}/export?limit=3")).owner().send().await;
    assert_eq!(part.headers["content-type"], "application/x-ndjson");
    assert_eq!(part.headers["cairn-next"], "3");
    let rest = rig.get(&format!("{path}/export?limit=3&after=3")).owner().send().await;
    assert!(!rest.headers.contains_key("cairn-next"));
    let lines = format!("{}{}", part.text, rest.text);
    let mut previous = "0".repeat(64);
    for line in lines.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| entry[name].as_str().unwrap().to_owned();
        let purposes = ["analytics", "ads", "personalization", "functional"].into_iter();
        let said = purposes.filter_map(|purpose| {
            Some(format!("{purpose}:{}", entry["choices"].get(purpose)?.as_str()?))
        });
        let erased = entry["erased"].as_array().unwrap().iter().map(Value::to_string);
        let content = netstrings(&[
            "cairn-receipt-1",
            &text("kind"),
            &said.collect::<Vec<_>>().join(","),
            &text("version"),
            &text("language"),
            &text("signal"),
            &text("region"),
            &text("policy"),
            if entry["gpc"] == true { "1" } else { "0" },
            &text("commitment"),
            &erased.collect::<Vec<_>>().join(","),
        ]);
        assert_eq!(content, text("content_hash"), "{line}");
        let at: jiff::Timestamp = text("at").parse().unwrap();
        let link = netstrings(&[
            "cairn-chain-1",
            &site,
            &entry["receipt"].to_string(),
            &at.as_millisecond().to_string(),
            &previous,
            &content,
        ]);
        assert_eq!(link, text("hash"), "{line}");
        previous = link;
    }
    let verified = get(&rig, &format!("{path}/verification")).await;
    assert_eq!((&verified["sound"], &verified["entries"]), (&json!(true), &json!(4)));
    assert_eq!(verified["end"], format!("{site}:4:{previous}"));
    assert_eq!(verified["findings"], json!([]));
    let csv = rig.get(&format!("{path}/export?format=csv&limit=1")).owner().send().await;
    let lines: Vec<&str> = csv.text.lines().collect();
    assert!(lines[0].starts_with("receipt,at,kind,analytics,ads"));
    assert!(lines[1].starts_with("1,") && lines[1].contains(",choice,granted,denied,,,2026-11-a,"));
    let next = rig.get(&format!("{path}/export?format=csv&after=1")).owner().send().await;
    assert!(next.text.starts_with("2,"), "the names stand in the first part only");
    rig.get(&format!("{path}/export?format=xml")).owner().send().await.is(400, "malformed_request");
}

#[tokio::test]
async fn permission_is_told_by_day_region_and_version() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    for (visitor, answer, days) in [(7, YES, 2), (0, NO, 2), (8, YES, 2), (9, YES, 1)] {
        choose(&rig, &choice(&site, visitor, answer, NOW_MS - days * DAY_MS)).await;
    }
    let mut other = choice(&site, 10, YES, NOW_MS - DAY_MS);
    (other.region, other.version, other.answers) =
        ("US".into(), "b".into(), [None, None, None, NO]);
    choose(&rig, &other).await;
    let path = format!("/api/v1/sites/{site}/permission");
    let all = get(&rig, &format!("{path}?date_range=7d")).await;
    assert_eq!(all["total"]["choices"], 5);
    assert_eq!(
        (&all["total"]["asked"]["analytics"], &all["total"]["granted"]["analytics"]),
        (&json!(4), &json!(3))
    );
    let days: Vec<_> = all["by_day"].as_array().unwrap().iter().collect();
    assert_eq!(days.len(), 7);
    let busy: Vec<_> = days.iter().filter(|day| day["choices"] != 0).collect();
    assert_eq!((busy[0]["choices"].as_u64(), busy[1]["choices"].as_u64()), (Some(3), Some(2)));
    assert_eq!(all["by_region"][0]["region"], "eea");
    assert_eq!(all["by_region"][1]["region"], "US");
    assert_eq!(all["by_version"][1]["version"], "b");
    assert_eq!(all["has_more_versions"], false);
    let us = get(&rig, &format!("{path}?date_range=7d&region=US")).await;
    assert_eq!(
        (&us["total"]["choices"], &us["total"]["asked"]["functional"]),
        (&json!(1), &json!(1))
    );
    rig.get(&format!("{path}?date_range=soon")).owner().send().await.is(400, "invalid_query");
}

#[tokio::test]
async fn an_event_says_why_it_was_kept() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let number: SiteId = site.parse().unwrap();
    choose(&rig, &choice(&site, 7, YES, NOW_MS)).await;
    choose(&rig, &choice(&site, 7, YES, NOW_MS + 100)).await;
    for (visitor, after_ms, basis, kind) in [
        (7, 50, Basis::SentChoice, Identification::Identified),
        (7, 200, Basis::RecordedChoice, Identification::Identified),
        (8, 300, Basis::RecordedChoice, Identification::Identified),
        (9, 400, Basis::SentChoice, Identification::Anonymous),
        (7, 500, Basis::PolicyOptOut, Identification::Identified),
    ] {
        let mut event = Event::bare(number, PAGE_VIEW, NOW_MS + after_ms);
        event.visitor_id = VisitorId(visitor);
        (event.basis, event.identification) = (basis, kind);
        rig.store(&event).await;
    }
    let page = get(&rig, &format!("/api/v1/sites/{site}/events")).await;
    let why: Vec<&Value> =
        page["items"].as_array().unwrap().iter().map(|item| &item["why"]).collect();
    assert_eq!(why.len(), 5);
    let receipts: Vec<&Value> = why.iter().map(|why| &why["receipt"]["receipt"]).collect();
    assert_eq!(receipts, [&json!(null), &json!(null), &json!(null), &json!(2), &json!(1)]);
    let first = why[4];
    assert_eq!((&first["verdict"], &first["rule"]), (&json!("full"), &json!("sent_choice")));
    assert_eq!(first["receipt"]["version"], "2026-11-a");
    assert_eq!(first["receipt"]["choices"]["analytics"], "granted");
    assert_eq!(first["receipt"]["signal"], "banner");
    assert_eq!((&why[1]["verdict"], &why[0]["rule"]), (&json!("anonymous"), &json!("policy")));
    assert_eq!((&why[0]["policy"], &why[1]["policy"]), (&json!("opt_out"), &json!("")));
    let words = why.iter().map(|why| why["explanation"].as_str().unwrap());
    assert_eq!(words.collect::<std::collections::BTreeSet<_>>().len(), 4);
}
