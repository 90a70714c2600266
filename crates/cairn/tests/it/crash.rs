//! `kill -9` at random moments under load: what was acknowledged is there once, after any number of crashes.
//!
//! A few cycles run with the other tests; `make crash` runs 200 (`CAIRN_CRASH_CYCLES`).

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use crate::client::{Client, Response};
use crate::server::{AGENT, Server, TOKEN};

const CLIENTS: usize = 8;
/// The first kill hits the server after at least this many answers, so that there is something to lose.
const ANSWERS_MIN: u64 = 20;

fn cycles() -> u64 {
    std::env::var("CAIRN_CRASH_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// What the clients know.
#[derive(Default)]
struct Ledger {
    sent: AtomicU64,
    answers: AtomicU64,
    stop: AtomicBool,
    /// Ids acknowledged as accepted or as duplicate.
    acknowledged: Mutex<HashSet<String>>,
    /// Ids whose answer never came; they are sent again, as a browser would.
    unanswered: Mutex<Vec<String>>,
}

/// Sends until the server dies or `stop`; every fifth event once more, on purpose.
fn send(address: SocketAddr, key: &str, ledger: &Ledger, thread: usize) {
    let Ok(mut client) = Client::connect(address) else { return };
    let mut again: Vec<String> = std::mem::take(&mut *ledger.unanswered.lock().unwrap());
    while !ledger.stop.load(Ordering::Relaxed) {
        let number = ledger.sent.fetch_add(1, Ordering::Relaxed);
        let id = again.pop().unwrap_or_else(|| format!("event-{thread}-{number}"));
        let times = 1 + u64::from(number.is_multiple_of(5));
        for _ in 0..times {
            if !deliver(&mut client, key, &id, number) {
                let mut unanswered = ledger.unanswered.lock().unwrap();
                unanswered.push(id);
                unanswered.append(&mut again);
                return;
            }
            ledger.acknowledged.lock().unwrap().insert(id.clone());
            ledger.answers.fetch_add(1, Ordering::Relaxed);
        }
    }
    ledger.unanswered.lock().unwrap().append(&mut again);
}

/// What a browser sends along.
const HEADERS: [(&str, &str); 2] = [("user-agent", AGENT), ("accept-language", "en")];

/// True when the event was acknowledged.
fn deliver(client: &mut Client, key: &str, id: &str, number: u64) -> bool {
    if number.is_multiple_of(2) {
        let path = format!("/p.gif?key={key}&event_id={id}&url=https://crash.test/{}", number % 7);
        let answer = client.send("GET", &path, &HEADERS, b"");
        return answer.is_ok_and(|answer| ["accepted", "duplicate"].contains(&answer.outcome()));
    }
    let body = json!({"key": key, "events": [
        {"event": "page_view", "event_id": id, "url": "https://crash.test/script"}]});
    let answer = client.send("POST", "/e", &HEADERS, body.to_string().as_bytes());
    answer.is_ok_and(|answer| answer.status == 202 && answer.json()["rejected"] == json!([]))
}

#[test]
fn nothing_acknowledged_is_lost_or_counted_twice() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let (site, key) = server.site("crash.test", &json!({"policy": "opt_out"}));
    let ledger = Arc::new(Ledger::default());
    let mut server = Some(server);
    // Seeded: the moments differ between cycles and not between runs.
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let cycles = cycles();
    for _ in 0..cycles {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let running = match server.take() {
            Some(server) => server,
            None => Server::start_in(directory.path(), &[]).unwrap(),
        };
        let kill_after = ledger.answers.load(Ordering::Relaxed) + ANSWERS_MIN + random % 400;
        let deadline = Instant::now() + std::time::Duration::from_secs(60);
        std::thread::scope(|scope| {
            for thread in 0..CLIENTS {
                let (ledger, key) = (Arc::clone(&ledger), key.as_str());
                let address = running.address;
                scope.spawn(move || send(address, key, &ledger, thread));
            }
            while ledger.answers.load(Ordering::Relaxed) < kill_after {
                assert!(Instant::now() < deadline, "the server answers too slowly");
                std::thread::yield_now();
            }
            running.kill();
        });
    }
    let server = Server::start_in(directory.path(), &[]).unwrap();
    check(&server, &site, &ledger, cycles);
}

/// Lines of an import that is broken off: enough that it is not over when its first are in the log.
const LINES: usize = 30_000;

/// An import call without event ids, which its caller may repeat.
fn import(client: &mut Client, site: &str) -> std::io::Result<Response> {
    let line = |number: usize| {
        json!({"event": "page_view", "timestamp": "2026-11-01T10:00:00Z",
               "url": format!("https://crash.test/{}", number % 7)})
        .to_string()
    };
    let body = (0..LINES).map(line).collect::<Vec<_>>().join("\n");
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "import-1")];
    client.send("POST", &format!("/api/v1/sites/{site}/import"), &headers, body.as_bytes())
}

#[test]
fn a_repeated_import_counts_once_what_it_took_before_the_crash() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let (site, _) = server.site("crash.test", &json!({"policy": "opt_out"}));
    let deadline = Instant::now() + std::time::Duration::from_secs(60);
    let taken = std::thread::scope(|scope| {
        let mut client = server.client();
        let first = scope.spawn({
            let site = site.as_str();
            move || import(&mut client, site)
        });
        let metrics = || server.client().send("GET", "/metrics", &[], b"").unwrap().text();
        while metrics().lines().any(|line| line == "cairn_log_records_total 0") {
            assert!(Instant::now() < deadline, "nothing of the import is in the log");
            std::thread::yield_now();
        }
        server.kill();
        let answer = first.join().unwrap();
        assert!(answer.is_err(), "the import was answered before the crash: it is too small");
        let server = Server::start_in(directory.path(), &[]).unwrap();
        let answer = import(&mut server.client(), &site).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        let count = |name: &str| usize::try_from(answer[name].as_u64().unwrap()).unwrap();
        assert_eq!(count("accepted") + count("duplicate"), LINES, "{answer}");
        assert_eq!(server.totals(&site, &["events"])[0] as usize, LINES);
        count("duplicate")
    });
    println!("crash: {taken} of {LINES} lines were taken before, none of them twice");
    assert!(taken > 0, "the crash came before the first line");
}

/// Every acknowledged id once; of the others at most one event each.
fn check(server: &Server, site: &str, ledger: &Ledger, cycles: u64) {
    let acknowledged = ledger.acknowledged.lock().unwrap();
    let unanswered: HashSet<String> = ledger.unanswered.lock().unwrap().drain(..).collect();
    let outcomes = server.outcomes(site);
    let stored = stored_ids(server, site);
    let once: HashSet<&String> = stored.iter().collect();
    let lost = acknowledged.iter().filter(|id| !once.contains(id)).count();
    let twice = stored.len() - once.len();
    let strangers = once
        .iter()
        .filter(|id| !acknowledged.contains(id.as_str()) && !unanswered.contains(id.as_str()))
        .count();
    println!(
        "crash: {cycles} cycles, {} acknowledged, {} stored, {lost} lost, {twice} twice",
        acknowledged.len(),
        stored.len()
    );
    assert_eq!((lost, twice, strangers), (0, 0, 0));
    let events = server.totals(site, &["events"])[0];
    assert_eq!(events as usize, stored.len(), "the report counts what is stored");
    assert_eq!(outcomes["outcomes"]["accepted"].as_u64(), Some(stored.len() as u64));
}

pub fn stored_ids(server: &Server, site: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/v1/sites/{site}/events?limit=1000{after}");
        let page = server.api("GET", &path, &serde_json::Value::Null);
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        for event in page["items"].as_array().unwrap() {
            ids.push(event["event_id"].as_str().unwrap().to_owned());
        }
        match &page["next"] {
            serde_json::Value::Null => return ids,
            next => {
                let next = next.as_str().map_or_else(|| next.to_string(), str::to_owned);
                after = format!("&after={next}");
            }
        }
    }
}
