//! Disks that are full, read-only, or were left in the middle of a write.
//!
//! What is acknowledged is never lost; what cannot be kept is said at once and names its outcome; when there is room again
//! the server goes on by itself. Power loss (writes that were never synced disappear, in any order) needs a disk that can
//! forget: `cairn_log::sim` is one, and `crates/cairn_log/tests` hold the log to it over random histories.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Response;
use crate::server::{AGENT, Server};

/// Longest wait for a condition.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A small log: a few hundred events of the largest size fill it.
const SMALL_LOG: [(&str, &str); 2] =
    [("CAIRN_LOG__SEGMENT_SIZE_BYTES", "8388608"), ("CAIRN_LOG__SIZE_BYTES_MAX", "33554432")];
/// Makes a file system of its own in a user namespace, which needs no rights, and becomes the server there.
pub const IN_NAMESPACE: [&str; 6] = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"];

/// Sends events and knows which were acknowledged.
struct Sender<'s> {
    server: &'s Server,
    key: String,
    sent: usize,
    acknowledged: Vec<String>,
}

impl<'s> Sender<'s> {
    fn new(server: &'s Server, key: &str) -> Self {
        Sender { server, key: key.to_owned(), sent: 0, acknowledged: Vec::new() }
    }

    /// One event of this many bytes, and what became of it.
    fn send(&mut self, size_bytes: usize) -> Response {
        self.sent += 1;
        let id = format!("event-{}", self.sent);
        let props: serde_json::Map<String, Value> = (0..size_bytes / 1000)
            .map(|number| (format!("p{number}"), Value::from("x".repeat(1000))))
            .collect();
        let event = json!({"event": "page_view", "event_id": id, "url": "https://disk.test/",
                           "props": props});
        let body = json!({"key": self.key, "events": [event]}).to_string();
        let headers = [("user-agent", AGENT)];
        let answer = self.server.client().send("POST", "/e", &headers, body.as_bytes()).unwrap();
        if answer.outcome() == "accepted" {
            self.acknowledged.push(id);
        }
        answer
    }

    /// Sends until the server cannot keep more.
    fn until_refused(&mut self) -> Response {
        let begun = Instant::now();
        loop {
            let answer = self.send(50_000);
            if answer.outcome() != "accepted" {
                return answer;
            }
            assert!(begun.elapsed() < WAIT_MAX, "the disk never fills up");
        }
    }

    /// Sends until the server takes events again.
    fn until_accepted(&mut self) {
        let begun = Instant::now();
        while self.send(0).outcome() != "accepted" {
            assert!(begun.elapsed() < WAIT_MAX, "it does not recover: {}", self.server.said());
        }
    }
}

/// The refusal is the contract's, for scripts and for images.
fn check_refusal(sender: &mut Sender<'_>, refused: &Response) {
    let server = sender.server;
    assert_eq!((refused.status, refused.outcome()), (503, "unavailable:log_full"));
    assert_eq!(refused.json()["error"]["code"], "log_full", "{}", refused.text());
    let seconds = refused.header("retry-after").expect("Retry-After").parse::<u64>();
    assert!(seconds.is_ok_and(|seconds| seconds > 0), "{:?}", refused.headers);
    let path = format!("/p.gif?key={}&url=https://disk.test/", sender.key);
    let image = server.client().send("GET", &path, &[("user-agent", AGENT)], b"").unwrap();
    assert_eq!((image.status, image.body.len()), (200, 43));
    assert_eq!(image.outcome(), "unavailable:log_full");
    assert!(image.header("retry-after").is_some(), "{:?}", image.headers);
    let ready = server.api("GET", "/readyz", &Value::Null);
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert_eq!(server.api("GET", "/healthz", &Value::Null).status, 200);
}

/// The stored ids of a site, in no order; waits until everything acknowledged is applied.
fn stored(server: &Server, site: &str) -> Vec<String> {
    let begun = Instant::now();
    let is_applied = || {
        let metrics = server.api("GET", "/metrics", &Value::Null).text();
        metrics.lines().any(|line| line == "cairn_apply_lag_records 0")
    };
    while !is_applied() {
        assert!(begun.elapsed() < WAIT_MAX, "events wait in the log: {}", server.said());
    }
    let (mut ids, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/sites/{site}/events?limit=200{after}");
        let page = server.api("GET", &path, &Value::Null);
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        let items = page["items"].as_array().unwrap().iter();
        ids.extend(items.map(|event| event["event_id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return ids,
        }
    }
}

/// Exactly what was acknowledged is stored, each event once.
fn check_stored(server: &Server, site: &str, acknowledged: &[String]) {
    let mut stored = stored(server, site);
    let mut wanted = acknowledged.to_vec();
    stored.sort();
    wanted.sort();
    let lost: Vec<_> = wanted.iter().filter(|id| stored.binary_search(id).is_err()).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}; {}", server.said());
    assert_eq!(stored, wanted, "stored without acknowledgement, or twice");
    assert_eq!(server.totals(site, &["events"]), [i64::try_from(wanted.len()).unwrap()]);
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

/// Whether this system lets a user make a file system; says which test did not run if not.
pub fn can_mount(test: &str, script: &str) -> bool {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new(IN_NAMESPACE[0]);
    command.args(&IN_NAMESPACE[1..]).arg(format!("{script} true")).arg(directory.path());
    let works = command.output().is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("NOT RUN: {test}: unshare with a user namespace is missing");
    }
    works
}

// --- full -----------------------------------------------------------------------------------------------------------

/// Fills what is left of a file system.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    // Ever smaller pieces, so that nothing is left at the end.
    let mut size = 1 << 20;
    while size > 0 {
        if file.write_all(&vec![7; size]).is_err() {
            size /= 2;
        }
    }
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_recovers() {
    let script = "mount -t tmpfs -o size=96m,mode=700 tmpfs \"$0\" &&";
    if !can_mount("a_full_disk_refuses_loses_nothing_and_recovers", script) {
        return;
    }
    let directory = TempDir::new().unwrap();
    let (script, place) = (format!("{script} exec \"$@\""), directory.path().to_str().unwrap());
    let program = [&IN_NAMESPACE[..], &[script.as_str(), place]].concat();
    let server = Server::start_under(&program, directory.path(), &SMALL_LOG).unwrap();
    let (site, key) = server.site("disk.test", &json!({"policy": "opt_out"}));
    let mut sender = Sender::new(&server, &key);
    sender.until_accepted();
    // The file system as the server sees it.
    let inside = PathBuf::from(format!("/proc/{}/root{place}", server.id()));
    let filler = inside.join("filler");
    for round in 0..2 {
        fill(&filler);
        let refused = sender.until_refused();
        check_refusal(&mut sender, &refused);
        println!("disk: full in round {round} after {} events", sender.acknowledged.len());
        std::fs::remove_file(&filler).unwrap();
        sender.until_accepted();
        check_stored(&server, &site, &sender.acknowledged);
    }
    assert_eq!(server.api("GET", "/readyz", &Value::Null).status, 200);
}

/// Limits the size of each file that a running program may write; true if that worked.
pub fn limit_files(server: &Server, limit: &str) -> bool {
    let process = format!("--pid={}", server.id());
    let limit = format!("--fsize={limit}:unlimited");
    Command::new("prlimit").args([process, limit]).status().is_ok_and(|status| status.success())
}

/// Every write of the log and of both databases fails, also of what seemed to be reserved.
#[test]
fn failing_writes_refuse_lose_nothing_and_recover() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        eprintln!("NOT RUN: failing_writes_refuse_lose_nothing_and_recover: prlimit is missing");
        return;
    }
    let directory = TempDir::new().unwrap();
    let messages = TempDir::new().unwrap();
    let messages = messages.path().join("messages");
    // The signal would end the program; ignored, the write fails with EFBIG. What the program says goes to a file that
    // fails in the same way, as it does where both are on one disk.
    let script = "trap '' XFSZ; place=$0; exec \"$@\" 2>> \"$place\"";
    let program = ["sh", "-c", script, messages.to_str().unwrap()];
    let server = Server::start_under(&program, directory.path(), &SMALL_LOG).unwrap();
    let (site, key) = server.site("disk.test", &json!({"policy": "opt_out"}));
    let mut sender = Sender::new(&server, &key);
    sender.until_accepted();
    for round in 0..3 {
        assert!(limit_files(&server, "0"));
        let refused = sender.until_refused();
        check_refusal(&mut sender, &refused);
        println!("disk: failing in round {round} after {} events", sender.acknowledged.len());
        assert!(limit_files(&server, "unlimited"));
        sender.until_accepted();
        check_stored(&server, &site, &sender.acknowledged);
    }
    // It can be ended while nothing can be written, and what it had acknowledged is there afterwards.
    sender.until_accepted();
    assert!(limit_files(&server, "0"));
    sender.until_refused();
    let acknowledged = sender.acknowledged;
    assert_eq!(server.stop(), Some(0), "what was acknowledged is durable, so it may end");
    let messages = std::fs::read_to_string(&messages).unwrap();
    assert!(messages.contains("the log takes records again"), "{messages}");
    assert!(!messages.contains("panicked"), "{messages}");
    let server = Server::start_in(directory.path(), &SMALL_LOG).unwrap();
    check_stored(&server, &site, &acknowledged);
}

// --- read-only ------------------------------------------------------------------------------------------------------

#[test]
fn a_read_only_directory_is_named() {
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" &&";
    if !can_mount("a_read_only_directory_is_named", script) {
        return;
    }
    let directory = TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let (site, key) = server.site("disk.test", &json!({"policy": "opt_out"}));
    let mut sender = Sender::new(&server, &key);
    sender.until_accepted();
    let acknowledged = sender.acknowledged;
    assert_eq!(server.stop(), Some(0));
    let (script, place) = (format!("{script} exec \"$@\""), directory.path().to_str().unwrap());
    let program = [&IN_NAMESPACE[..], &[script.as_str(), place]].concat();
    // Permissions do not bind root; a mount without writing binds everybody.
    let refused = Server::start_under(&program, directory.path(), &[]).err().unwrap();
    let names_it = refused.contains("data directory") && refused.contains(place);
    assert!(names_it && refused.contains("Read-only"), "{refused}");
    assert!(!refused.contains("panicked"), "{refused}");
    let server = Server::start_in(directory.path(), &[]).unwrap();
    check_stored(&server, &site, &acknowledged);
}

// --- torn -----------------------------------------------------------------------------------------------------------

/// The newest segment of the log and where its last record ends.
fn newest_segment(data: &Path) -> (PathBuf, u64) {
    let files = std::fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let is_segment = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_str().unwrap().starts_with("segment-"))
    };
    let path = files.filter(is_segment).max().expect("a segment");
    let mut bytes = Vec::new();
    File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
    // The rest of the file is prepared and full of zeros.
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    (path, used)
}

fn write_at(path: &Path, position: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(position)).unwrap();
    file.write_all(bytes).unwrap();
}

/// What a write may leave behind that a crash cut off.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    /// Bytes of no meaning behind the last record.
    Garbage,
    /// The beginning of a sound record that ends too early.
    HalfRecord,
    /// The last record itself is there in part only; it counts as never acknowledged.
    HalfOfLast,
}

fn damage(kind: Damage, data: &Path) {
    let (path, used) = newest_segment(data);
    let next = used.div_ceil(512) * 512;
    match kind {
        Damage::Garbage => {
            let garbage: Vec<u8> = (0..10_000_u32).map(|at| ((at * at) >> 3) as u8 | 1).collect();
            write_at(&path, next, &garbage);
        }
        Damage::HalfRecord => {
            // The first record of the file again, cut after 300 bytes: a header that promises more.
            let mut bytes = vec![0; 300];
            let mut file = File::open(&path).unwrap();
            file.seek(SeekFrom::Start(4096)).unwrap();
            file.read_exact(&mut bytes).unwrap();
            write_at(&path, next, &bytes);
        }
        Damage::HalfOfLast => write_at(&path, used - 2_000, &[0; 2_000]),
    }
}

#[test]
fn a_torn_last_write_costs_nothing_that_was_acknowledged() {
    let directory = TempDir::new().unwrap();
    let mut server = Server::start_in(directory.path(), &[]).unwrap();
    let (site, key) = server.site("disk.test", &json!({"policy": "opt_out"}));
    let mut acknowledged: Vec<String> = Vec::new();
    let mut sent = 0;
    for kind in [Damage::Garbage, Damage::HalfRecord, Damage::HalfOfLast] {
        let mut sender = Sender { server: &server, key: key.clone(), sent, acknowledged };
        for _ in 0..20 {
            assert_eq!(sender.send(3_000).outcome(), "accepted", "before {kind:?}");
        }
        (sent, acknowledged) = (sender.sent, sender.acknowledged);
        let data = server.data().to_owned();
        server.kill();
        damage(kind, &data);
        server = Server::start_in(directory.path(), &[])
            .unwrap_or_else(|said| panic!("{kind:?} keeps it from starting: {said}"));
        if kind == Damage::HalfOfLast {
            // It may have reached the store before its record was torn.
            let torn = acknowledged.pop().unwrap();
            if stored(&server, &site).contains(&torn) {
                acknowledged.push(torn);
            }
        }
        check_stored(&server, &site, &acknowledged);
        println!("disk: {kind:?}: {} events, all there", acknowledged.len());
    }
    let mut sender = Sender { server: &server, key, sent, acknowledged };
    sender.until_accepted();
    check_stored(&server, &site, &sender.acknowledged);
}

/// Files of the log have their full size before anything is acknowledged: one that is shorter was cut by somebody, and
/// records that were acknowledged may be gone. The server does not decide that alone.
#[test]
fn a_log_that_somebody_cut_is_named_and_left_as_it_is() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let (site, key) = server.site("disk.test", &json!({"policy": "opt_out"}));
    let mut sender = Sender::new(&server, &key);
    sender.until_accepted();
    let acknowledged = sender.acknowledged;
    server.kill();
    let (path, used) = newest_segment(directory.path());
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let size = file.metadata().unwrap().len();
    file.set_len(used.div_ceil(512) * 512).unwrap();
    let refused = Server::start_in(directory.path(), &[]).err().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(refused.contains(name) && refused.contains("damaged"), "{refused}");
    file.set_len(size).unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    check_stored(&server, &site, &acknowledged);
}
