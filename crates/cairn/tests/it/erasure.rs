//! Erased means erased: nothing of an erased visitor is in any file, in any table, in any usual hash of it; others keep what
//! is theirs; and a crash half-way changes nothing of that.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cairn_catalog::{Catalog, ErasureId};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::search;
use crate::server::{AGENT, Server, TOKEN, WITHOUT_WAITING};

/// Others than the erased.
const OTHERS: usize = 200;

/// What one visitor could be recognised by.
struct Visitor {
    user_id: String,
    email: String,
    cookie: String,
    path: String,
    title: String,
    query: String,
    order_id: String,
    size: String,
}

fn visitor(kind: &str, number: usize) -> Visitor {
    // Spread over the number's digits, so that no two share a long text.
    let mixed = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let of = |what: &str| format!("{kind}-{what}-{:016x}", mixed.rotate_left(what.len() as u32));
    Visitor {
        user_id: of("user"),
        email: format!("{kind}.{mixed:x}@mail.example"),
        cookie: format!("{mixed:016x}{:016x}", mixed.rotate_left(17)),
        path: format!("/letter/{}", of("path")),
        title: of("the title"),
        query: of("query"),
        order_id: of("order"),
        size: of("size"),
    }
}

impl Visitor {
    fn texts(&self) -> Vec<&str> {
        let Visitor { user_id, email, cookie, path, title, query, order_id, size } = self;
        vec![user_id, email, cookie, path, title, query, order_id, size]
    }

    /// Two page views, one shared with everybody, and a purchase.
    fn events(&self) -> Value {
        let url =
            format!("https://erasure.test{}?q={}&email={}", self.path, self.query, self.email);
        let event = |name: &str, url: &str| {
            json!({"event": name, "event_id": format!("{name}-{url}-{}", self.user_id), "url": url,
                "title": self.title, "user_id": self.user_id, "traits": {"email": self.email},
                "props": {"size": self.size}})
        };
        let mut bought = event("purchase", "https://erasure.test/thanks");
        bought["order_id"] = json!(self.order_id);
        (bought["value"], bought["currency"]) = (json!("12.50"), json!("EUR"));
        json!([event("page_view", &url), event("page_view", "https://erasure.test/"), bought])
    }

    fn send(&self, server: &Server, key: &str) -> String {
        self.send_at(server, key, jiff::Timestamp::now())
    }

    /// The same at another time, which a server under the test clock believes.
    fn send_at(&self, server: &Server, key: &str, now: jiff::Timestamp) -> String {
        let (cookie, now) = (format!("cairn_id={}", self.cookie), now.to_string());
        let headers = [
            ("user-agent", AGENT),
            ("cookie", cookie.as_str()),
            ("origin", "https://erasure.test"),
            ("accept-language", "de-DE"),
            ("cairn-now", now.as_str()),
        ];
        let body = json!({"key": key, "consent": "analytics:granted,ads:granted",
            "events": self.events()});
        let body = body.to_string();
        let answer = server.client().send("POST", "/e", &headers, body.as_bytes()).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.outcome().to_owned()
    }
}

/// A site with its visitors.
struct Shop {
    site: String,
    key: String,
}

impl Shop {
    fn open(server: &Server) -> Shop {
        let (site, key) = server.site("erasure.test", &json!({"policy": "opt_in"}));
        Shop { site, key }
    }

    /// What else is kept of somebody: his address by the site's own word, his memory, his choice about mails, and an answer
    /// that is kept for repetitions.
    fn know(&self, server: &Server, visitor: &Visitor) {
        let told = json!({"event": "identify", "timestamp": jiff::Timestamp::now().to_string(),
            "url": "https://erasure.test/", "user_id": visitor.user_id,
            "traits": {"email": visitor.email}});
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("authorization", &*bearer), ("content-type", "application/x-ndjson")];
        let path = format!("/api/v1/sites/{}/import", self.site);
        let told = told.to_string();
        let told = server.client().send("POST", &path, &headers, told.as_bytes()).unwrap();
        assert_eq!((told.status, told.json()["accepted"].clone()), (200, json!(1)));
        let memory = json!({"user_id": visitor.user_id, "remember": {"size": visitor.size}});
        let path = format!("/api/v1/sites/{}/memory", self.site);
        assert_eq!(server.api("POST", &path, &memory).status, 200);
        let target = format!("https://erasure.test/?for={}", visitor.email);
        let recipient =
            json!({"user_id": visitor.user_id, "opens": "granted", "clicks": "granted"});
        let mail = json!({"campaign": "spring", "recipient": recipient,
            "html": format!("<a href=\"{target}\">x</a>")});
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", visitor.order_id.as_str()),
        ];
        let path = format!("/api/v1/sites/{}/emails", self.site);
        let body = mail.to_string();
        let prepared = server.client().send("POST", &path, &headers, body.as_bytes()).unwrap();
        assert_eq!(prepared.status, 201, "{}", prepared.text());
    }

    fn totals(&self, server: &Server) -> Vec<i64> {
        // Answered when all acknowledged hits are in.
        server.outcomes(&self.site);
        server.totals(&self.site, &["visitors", "visits", "pageviews", "events"])
    }
}

/// `cairn erase` with these arguments; what it printed.
fn erase(data: &Path, arguments: &[&str]) -> String {
    let output = command(data, arguments).output().unwrap();
    let (said, errors) = (output.stdout, output.stderr);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&errors));
    String::from_utf8(said).unwrap()
}

fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
    command.args(["erase", "--site", "erasure.test", "--data"]).arg(data).args(arguments);
    command.stdin(Stdio::null());
    command
}

/// The numbers of browsers that it printed, as tables show them.
fn visitor_numbers(said: &str) -> Vec<String> {
    let lines = said.lines().filter_map(|line| line.strip_prefix("browser "));
    let digits = lines.filter_map(|line| line.split(' ').next());
    digits.map(|digits| u64::from_str_radix(digits, 16).unwrap().to_string()).collect()
}

fn in_store(data: &Path, text: &str) -> bool {
    let mut tables = std::collections::BTreeMap::new();
    search::tables(data, &mut tables);
    tables.values().any(|bytes| holds(bytes, text))
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn nothing_of_an_erased_visitor_is_kept() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let shop = Shop::open(&server);
    let others: Vec<Visitor> = (0..OTHERS).map(|number| visitor("other", number)).collect();
    let canary = visitor("canary", OTHERS);
    for other in &others[..OTHERS / 2] {
        assert_eq!(other.send(&server, &shop.key), "accepted");
    }
    assert_eq!(canary.send(&server, &shop.key), "accepted");
    shop.know(&server, &canary);
    for other in &others[OTHERS / 2..] {
        assert_eq!(other.send(&server, &shop.key), "accepted");
    }
    let all = OTHERS as i64 + 1;
    assert_eq!(shop.totals(&server), [all + 1, all + 1, 2 * all, 3 * all + 1]);
    assert_eq!(server.stop(), Some(0));

    let preview = erase(directory.path(), &["--user-id", &canary.user_id, "--preview"]);
    assert!(preview.contains("kept: 4 events in 2 visits"), "{preview}");
    let numbers = visitor_numbers(&preview);
    assert_eq!(numbers.len(), 2, "{preview}");
    assert!(numbers.iter().all(|number| in_store(directory.path(), number)));
    let found = search::search(directory.path(), &[canary.texts()]);
    let places: Vec<&str> = found.iter().map(|(_, place)| place.as_str()).collect();
    for place in ["events of the store", "texts of the store", "catalog", "events.duckdb"] {
        assert!(places.iter().any(|known| known.contains(place)), "{place} is not in {places:?}");
    }

    let said = erase(directory.path(), &["--email", &canary.email]);
    for line in [
        "people: 1 ",
        "mail_choices: 1 ",
        "memory: 1 ",
        "answers: 1 ",
        "events: 4 ",
        "visits: 2 ",
        "receipts: 1 ",
        ": done",
    ] {
        assert!(said.contains(line), "{line} is not in {said}");
    }
    assert_eq!(search::search(directory.path(), &[canary.texts()]), []);
    assert!(!numbers.iter().any(|number| in_store(directory.path(), number)));
    let texts: Vec<Vec<&str>> = others.iter().map(|other| vec![other.path.as_str()]).collect();
    let kept = search::search(directory.path(), &texts);
    let with_texts = kept.iter().filter(|(_, place)| place.contains("texts of the store"));
    assert_eq!(with_texts.count(), OTHERS);

    // Others keep what is theirs, and nothing new of the erased is kept.
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let kept = OTHERS as i64;
    assert_eq!(shop.totals(&server), [kept, kept, 2 * kept, 3 * kept]);
    assert_eq!(canary.send(&server, &shop.key), "dropped:opted_out");
    assert_eq!(shop.totals(&server), [kept, kept, 2 * kept, 3 * kept]);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(search::search(directory.path(), &[canary.texts()]), []);
}

#[test]
fn nothing_of_somebody_who_opted_out_is_kept() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let shop = Shop::open(&server);
    let gone: Vec<Visitor> = (0..40).map(|number| visitor("opted-out", number)).collect();
    let canary = visitor("canary", 40);
    for (number, visitor) in gone.iter().enumerate() {
        let who = match number % 2 {
            0 => json!({"user_id": visitor.user_id}),
            _ => json!({"cairn_id": visitor.cookie}),
        };
        let path = format!("/api/v1/sites/{}/opt-outs", shop.site);
        assert_eq!(server.api("POST", &path, &who).status, 204);
        assert_eq!(visitor.send(&server, &shop.key), "dropped:opted_out");
        let said = json!({"user_id": visitor.user_id, "opens": "granted", "clicks": "granted"});
        let path = format!("/api/v1/sites/{}/emails/choices", shop.site);
        // The word of the cookie is about the browser; that of the user id about the person.
        if number % 2 == 0 {
            assert_eq!(server.api("POST", &path, &said).json()["opens"], "denied");
        }
    }
    assert_eq!(canary.send(&server, &shop.key), "accepted");
    assert_eq!(shop.totals(&server), [1, 1, 2, 3]);
    assert_eq!(server.stop(), Some(0));
    assert!(!search::search(directory.path(), &[canary.texts()]).is_empty());
    let texts: Vec<Vec<&str>> = gone.iter().map(Visitor::texts).collect();
    assert_eq!(search::search(directory.path(), &texts), []);
}

#[test]
fn nothing_of_an_expired_visitor_is_kept() {
    let directory = TempDir::new().unwrap();
    let days: i64 = 30;
    // Requests say what time it is; what runs by itself waits for a server that knows.
    let told = [("CAIRN_SERVER__TEST_CLOCK", "true")];
    let server = Server::start_in(directory.path(), &told).unwrap();
    let shop = Shop::open(&server);
    let path = format!("/api/v1/sites/{}", shop.site);
    let chosen = json!({"privacy": {"retention": {"events": days, "people": days}}});
    let changed = server.api("PATCH", &path, &chosen);
    assert_eq!(changed.status, 200, "{}", changed.text());
    let canaries: Vec<Visitor> = (0..3).map(|number| visitor("expired", number)).collect();
    let others: Vec<Visitor> = (0..OTHERS).map(|number| visitor("other", 3 + number)).collect();
    let now = jiff::Timestamp::now();
    let ago = |hours: i64| now - jiff::SignedDuration::from_hours(hours);
    for canary in &canaries {
        assert_eq!(canary.send_at(&server, &shop.key, ago(24 * days + 1)), "accepted");
    }
    for other in &others {
        assert_eq!(other.send_at(&server, &shop.key, ago(24 * days - 1)), "accepted");
    }
    let (all, kept) = ((OTHERS + canaries.len()) as i64, OTHERS as i64);
    assert_eq!(shop.totals(&server), [all, all, 2 * all, 3 * all]);
    assert_eq!(server.stop(), Some(0));
    let texts: Vec<Vec<&str>> = canaries.iter().map(Visitor::texts).collect();
    let found = search::search(directory.path(), &texts);
    let whose: std::collections::BTreeSet<usize> = found.iter().map(|(whose, _)| *whose).collect();
    assert_eq!(whose.len(), canaries.len(), "each is found before");
    let places: Vec<&str> = found.iter().map(|(_, place)| place.as_str()).collect();
    for place in ["events of the store", "texts of the store", "catalog", "events.duckdb"] {
        assert!(places.iter().any(|known| known.contains(place)), "{place} is not in {places:?}");
    }

    let server = Server::start_in(directory.path(), &WITHOUT_WAITING).unwrap();
    server.line_with("kept long enough: gone");
    server.line_with("erased bytes are gone");
    // The log as well, whose only file would be full in some years.
    let log_holds = |text: &str| {
        let files = std::fs::read_dir(directory.path().join("log")).unwrap();
        // A file may be gone before it is read.
        let mut bytes = files.map(|file| std::fs::read(file.unwrap().path()).unwrap_or_default());
        bytes.any(|bytes| holds(&bytes, text))
    };
    let deadline = Instant::now() + STAGE_TIME_MAX;
    while canaries.iter().any(|canary| log_holds(&canary.path)) {
        assert!(Instant::now() < deadline, "the log still holds what expired");
        std::thread::yield_now();
    }
    assert_eq!(shop.totals(&server), [kept, kept, 2 * kept, 3 * kept]);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(search::search(directory.path(), &texts), []);
    let texts: Vec<Vec<&str>> = others.iter().map(|other| vec![other.path.as_str()]).collect();
    let kept = search::search(directory.path(), &texts);
    let with_texts = kept.iter().filter(|(_, place)| place.contains("texts of the store"));
    assert_eq!(with_texts.count(), OTHERS);
}

/// How far an erasure is, as its files tell. Each comes after the one before it.
const STAGES: [fn(&Path) -> bool; 3] = [
    |store| store.join("rewrite-due").exists(),
    |store| store.join("fresh/events.duckdb").exists(),
    |store| store.join("fresh/events.duckdb").metadata().is_ok_and(|file| file.len() > 1 << 16),
];
/// Longest wait for one of them, or for an expiry.
const STAGE_TIME_MAX: Duration = Duration::from_secs(120);

/// Begins to erase somebody and kills the program when it is that far, or a little later.
/// True if it was killed: it may have ended by itself. So many erasures were on record before.
fn erase_and_kill(
    data: &Path,
    visitor: &Visitor,
    (before, stage): (usize, fn(&Path) -> bool),
    later: u64,
) -> bool {
    let mut command = command(data, &["--user-id", &visitor.user_id]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
    let deadline = Instant::now() + STAGE_TIME_MAX;
    let store = data.join("store");
    // What an erasure before it left there says nothing about this one.
    let catalog = Catalog::open(&data.join("catalog.sqlite")).unwrap();
    let is_begun = || catalog.erasures_after(ErasureId(0)).unwrap().len() > before;
    while !(is_begun() && stage(&store)) && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the erasure does not go on");
        std::thread::yield_now();
    }
    // As many looks later, which is another moment each time.
    for _ in 0..later {
        std::thread::yield_now();
        let _ = stage(&store);
    }
    let _ = child.kill();
    child.wait().unwrap().code().is_none()
}

#[test]
fn a_crash_half_way_changes_nothing_of_it() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let shop = Shop::open(&server);
    let others: Vec<Visitor> = (0..OTHERS).map(|number| visitor("other", number)).collect();
    let canaries: Vec<Visitor> = (0..4).map(|number| visitor("canary", OTHERS + number)).collect();
    for visitor in canaries[..2].iter().chain(&others).chain(&canaries[2..]) {
        assert_eq!(visitor.send(&server, &shop.key), "accepted");
    }
    canaries.iter().for_each(|canary| shop.know(&server, canary));
    assert_eq!(server.stop(), Some(0));
    let texts: Vec<Vec<&str>> = canaries.iter().map(Visitor::texts).collect();
    let found = search::search(directory.path(), &texts);
    let whose: std::collections::BTreeSet<usize> = found.iter().map(|(whose, _)| *whose).collect();
    assert_eq!(whose.len(), canaries.len(), "each is found before");

    // Seeded: the moments differ between cycles and not between runs.
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let (last, killed) = canaries.split_last().unwrap();
    let mut kills = 0;
    for (number, canary) in killed.iter().enumerate() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let stage = STAGES[number % STAGES.len()];
        let stage = (number, stage);
        kills += u32::from(erase_and_kill(directory.path(), canary, stage, random % 200));
    }
    assert!(kills > 0, "no erasure was interrupted");
    // The server goes on with it by itself, and nobody sees anything of them meanwhile.
    let server = Server::start_in(directory.path(), &WITHOUT_WAITING).unwrap();
    assert_eq!(killed[0].send(&server, &shop.key), "dropped:opted_out");
    assert_eq!(server.stop(), Some(0));
    let said = erase(directory.path(), &["--user-id", &last.user_id]);
    assert!(said.contains(": done"), "{said}");
    assert_eq!(search::search(directory.path(), &texts), []);
    assert!(!directory.path().join("store/fresh").exists());
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let kept = OTHERS as i64;
    assert_eq!(shop.totals(&server), [kept, kept, 2 * kept, 3 * kept]);
}
