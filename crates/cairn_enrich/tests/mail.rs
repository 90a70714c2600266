//! The verdict on opens and clicks of mails, scored on a labelled set.
//!
//! The set is our own, written from documented behaviour of mail providers, security products and browsers
//! (docs/email.md, "Person or machine"), and holds rows that one request cannot tell. The verdict's thresholds and the floors below
//! were fixed before any row was scored; the rows with even numbers were scored once, and are held to the same floors.

#![allow(clippy::unwrap_used)]

use cairn_enrich::mail::{MailAct, MailFacts, MailTraces, MailVerdict, SenderClass, judge};
use cairn_enrich::{HeaderFacts, Marks};
use serde::Deserialize;

/// Share of the verdicts *machine* that are right.
const MACHINE_PRECISION_MIN: f64 = 0.95;
/// Share of the machines that are found.
const MACHINE_RECALL_MIN: f64 = 0.85;
/// Share of the verdicts *human* that are right.
const HUMAN_PRECISION_MIN: f64 = 0.90;
/// Share of the people that are confirmed.
const HUMAN_RECALL_MIN: f64 = 0.80;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    what: String,
    label: String,
    act: String,
    user_agent: String,
    age_ms: i64,
    accept_language: bool,
    sec_fetch: bool,
    secure: bool,
    hosting: bool,
    asn: u32,
    links: usize,
    honeypot: bool,
    head_before: bool,
    purpose: String,
}

impl Row {
    fn judge(&self) -> MailVerdict {
        let headers = HeaderFacts {
            secure: self.secure,
            has_accept_language: self.accept_language,
            has_sec_fetch: self.sec_fetch,
            purpose: &self.purpose,
            ..HeaderFacts::default()
        };
        let (links, honeypot, head_before) = (self.links, self.honeypot, self.head_before);
        judge(&MailFacts {
            act: if self.act == "click" { MailAct::Click } else { MailAct::Open },
            user_agent: &self.user_agent,
            headers,
            marks: Marks { hosting: self.hosting, ..Marks::default() },
            asn: self.asn,
            age_ms: self.age_ms,
            traces: MailTraces { links, honeypot, head_before },
        })
    }
}

fn rows() -> Vec<Row> {
    let text = include_str!("data/mail_fetches.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Precision and recall of one class.
fn score(rows: &[&Row], class: SenderClass) -> (f64, f64) {
    let said = |row: &&&Row| row.judge().class == class;
    let is = |row: &&&Row| row.label == class.name();
    let right = rows.iter().filter(|row| said(row) && is(row)).count() as f64;
    let precision = right / rows.iter().filter(said).count() as f64;
    (precision, right / rows.iter().filter(is).count() as f64)
}

fn assert_half(name: &str, rows: &[&Row]) {
    let (machine_precision, machine_recall) = score(rows, SenderClass::Machine);
    let (human_precision, human_recall) = score(rows, SenderClass::Human);
    eprintln!(
        "{name}: {} rows; machine: precision {machine_precision:.3}, recall {machine_recall:.3}; \
         human: precision {human_precision:.3}, recall {human_recall:.3}",
        rows.len()
    );
    for row in rows {
        let verdict = row.judge();
        if verdict.class.name() != row.label {
            eprintln!("  {} is {}: {}", row.label, verdict.class.name(), row.what);
        }
    }
    assert!(machine_precision >= MACHINE_PRECISION_MIN && machine_recall >= MACHINE_RECALL_MIN);
    assert!(human_precision >= HUMAN_PRECISION_MIN && human_recall >= HUMAN_RECALL_MIN);
}

fn half(rows: &[Row], remainder: usize) -> Vec<&Row> {
    // The first line is row 1.
    let of_half = |(at, _): &(usize, &Row)| (at + 1) % 2 == remainder;
    rows.iter().enumerate().filter(of_half).map(|(_, row)| row).collect()
}

#[test]
fn the_open_half_keeps_the_floors() {
    assert_half("odd rows", &half(&rows(), 1));
}

#[test]
fn the_held_out_half_keeps_the_floors() {
    assert_half("even rows (held out)", &half(&rows(), 0));
}

#[test]
fn a_readers_proxy_is_never_a_machine_and_apples_relay_never_a_person() {
    for row in rows() {
        let verdict = row.judge();
        let is_proxy = row.user_agent.contains("GoogleImageProxy")
            || row.user_agent.contains("YahooMailProxy");
        assert!(!is_proxy || verdict.class != SenderClass::Machine, "{}", row.what);
        assert!(
            row.user_agent != "Mozilla/5.0" || verdict.class != SenderClass::Human,
            "{}",
            row.what
        );
        assert!(!verdict.signs.is_empty(), "{}", row.what);
    }
}
