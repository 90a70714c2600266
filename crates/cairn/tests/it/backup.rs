//! Backups: whole while hits arrive, restored to the same answers, refused when they are damaged.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn_catalog::{Catalog, ErasureId, ErasureReason, RequestList};
use cairn_engine::backup::{Manifest, OPT_OUTS_FILE, WITHDRAWALS_FILE};
use cairn_engine::ingest::visitor::IdentityKeys;
use cairn_engine::rights::find::{Finder, Identifier};
use cairn_store::duckdb::{DuckOptions, DuckStore};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::disk::{IN_NAMESPACE, can_mount, limit_files};
use crate::refusal::{Visitor, search, visitor};
use crate::server::{AGENT, Server, TOKEN, WITHOUT_WAITING};

const BACKUPS: &str = "/api/v1/instance/backups";
/// Senders at once, while a backup is made.
const SENDERS: usize = 4;

fn cairn(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cairn")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn restore(from: &Path, data: &Path, more: &[&str]) -> Output {
    let (from, data) = (from.to_str().unwrap(), data.to_str().unwrap());
    cairn(&[&["restore", "--from", from, "--data", data], more].concat())
}

fn restored(from: &Path, data: &Path) {
    let output = restore(from, data, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Makes a backup by the API, and tells its directory.
fn back_up(server: &Server) -> PathBuf {
    let made = server.api("POST", BACKUPS, &Value::Null);
    assert_eq!(made.status, 201, "{}", made.text());
    server.data().join("backups").join(made.json()["id"].as_str().unwrap())
}

fn send(server: &Server, visitor: u32, body: &Value) {
    let cookie = format!("cairn_id={:032x}", visitor + 1);
    let headers =
        [("user-agent", AGENT), ("content-type", "application/json"), ("cookie", cookie.as_str())];
    let body = body.to_string();
    let answer = server.client().send("POST", "/e", &headers, body.as_bytes()).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
}

/// What the reports say of a site.
fn reports(server: &Server, site: &str) -> Vec<Value> {
    let questions = [
        json!({"metrics": ["visitors", "visits", "pageviews", "events", "bounce_rate"]}),
        json!({"metrics": ["visitors", "events"], "dimensions": ["event:page"]}),
        json!({"metrics": ["visitors"], "dimensions": ["visit:source", "visit:browser"]}),
        json!({"metrics": ["events"], "dimensions": ["event:name"]}),
    ];
    let answers = questions.into_iter().map(|mut question| {
        question["site_id"] = json!(site);
        question["date_range"] = json!("all");
        let answer = server.api("POST", "/api/v2/query", &question);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["results"].clone()
    });
    // This answers only when all that was acknowledged is in.
    server.outcomes(site);
    let mut answers: Vec<Value> = answers.collect();
    for path in ["events?limit=1000", "receipts", "outcomes", "pixels"] {
        let mut answer =
            server.api("GET", &format!("/api/v1/sites/{site}/{path}"), &Value::Null).json();
        // How long ago the counting began depends on when it is asked.
        answer.as_object_mut().unwrap().remove("since");
        answers.push(answer);
    }
    answers
}

/// A site with visits, people and receipts.
fn filled(server: &Server) -> String {
    let (site, key) = server.site("backup.test", &json!({"policy": "opt_out"}));
    for number in 0..40_u32 {
        let page = format!("https://backup.test/{}?utm_source=s{}", number % 7, number % 3);
        let user = number % 5;
        let body = json!({"key": key, "consent": {"choice": "analytics:granted", "signal": "page"},
            "events": [{"event": "page_view", "url": page, "event_id": format!("e{number}")},
                       {"event": "identify", "user_id": format!("user-{user}"),
                        "traits": {"email": format!("u{user}@mail.example")}}]});
        send(server, number % 11, &body);
    }
    site
}

#[test]
fn a_restored_backup_gives_the_same_answers() {
    let server = Server::start(&[]);
    let site = filled(&server);
    let expected = reports(&server, &site);
    assert!(expected[0][0]["metrics"][3].as_i64().unwrap() >= 40, "{:?}", expected[0]);
    let backup = back_up(&server);
    let list = server.api("GET", BACKUPS, &Value::Null).json();
    assert_eq!(
        (list["items"].as_array().unwrap().len(), &list["running_since"]),
        (1, &Value::Null)
    );
    assert!(list["items"][0]["size_bytes"].as_u64().unwrap() > 100_000, "{list}");

    let manifest = Manifest::read(&backup).unwrap();
    let files: Vec<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(files, ["catalog.sqlite", "receipt-heads", "store/events.duckdb"]);

    let data = TempDir::new().unwrap();
    restored(&backup, data.path());
    let again = Server::start_in(data.path(), &[]).unwrap();
    assert_eq!(reports(&again, &site), expected);
    // A hit that was in the backup is known as a repetition, and new ones are taken.
    let path = format!("/api/v1/sites/{site}/pixels");
    let key = again.api("GET", &path, &Value::Null).json()["items"][0]["key"].clone();
    send(
        &again,
        1,
        &json!({"key": key, "events": [
        {"event": "page_view", "url": "https://backup.test/", "event_id": "e1"},
        {"event": "page_view", "url": "https://backup.test/", "event_id": "new"}]}),
    );
    let outcomes = again.outcomes(&site)["outcomes"].clone();
    assert_eq!(outcomes["duplicate"], 1, "{outcomes}");
    let before = expected[0][0]["metrics"][3].as_i64().unwrap();
    assert_eq!(again.totals(&site, &["events"])[0], before + 1);
    assert_eq!(again.stop(), Some(0));
    let verified = cairn(&["verify-receipts", "--data", data.path().to_str().unwrap()]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}

/// Sends until told to stop; every event that was acknowledged is noted.
fn keep_sending(
    server: &Server,
    key: &str,
    sender: usize,
    stop: &AtomicBool,
    known: &Mutex<Vec<String>>,
) {
    let mut client = server.client();
    let headers = [("user-agent", AGENT)];
    for number in 0.. {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let id = format!("{sender}-{number}");
        let path = format!("/p.gif?key={key}&event_id={id}&url=https://backup.test/{}", number % 9);
        let answer = client.send("GET", &path, &headers, b"").unwrap();
        assert_eq!(answer.outcome(), "accepted", "{}", answer.text());
        known.lock().unwrap().push(id);
    }
}

#[test]
fn what_was_acknowledged_before_a_backup_under_load_is_in_it_once() {
    let server = Server::start(&[]);
    let (site, key) = server.site("backup.test", &json!({"policy": "opt_out"}));
    let (stop, known) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let (before, backup) = std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (server, key, stop, known) = (&server, &key, &stop, &known);
            scope.spawn(move || keep_sending(server, key, sender, stop, known));
        }
        while known.lock().unwrap().len() < 500 {
            std::thread::yield_now();
        }
        let before: Vec<String> = known.lock().unwrap().clone();
        let backup = back_up(&server);
        let acknowledged = known.lock().unwrap().len();
        // Hits are acknowledged again behind the backup: the log never stopped.
        while known.lock().unwrap().len() < acknowledged + 100 {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Release);
        (before, backup)
    });
    let all = known.lock().unwrap().len();
    assert_eq!(server.outcomes(&site)["outcomes"]["accepted"], all);
    assert_eq!(server.totals(&site, &["events"])[0] as usize, all, "the running server has all");
    let data = TempDir::new().unwrap();
    restored(&backup, data.path());
    let again = Server::start_in(data.path(), &[]).unwrap();
    let stored = crate::crash::stored_ids(&again, &site);
    let once: HashSet<&String> = stored.iter().collect();
    assert_eq!(once.len(), stored.len(), "nothing twice");
    let lost = before.iter().filter(|id| !once.contains(id)).count();
    assert_eq!(lost, 0, "of {} acknowledged before", before.len());
    assert!(stored.len() < all, "it is of its moment, not of a later one");
    assert_eq!(again.totals(&site, &["events"])[0] as usize, stored.len());
}

#[test]
fn what_waits_in_the_log_after_a_crash_is_in_a_backup_of_the_stopped_directory() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let site = filled(&server);
    server.outcomes(&site);
    let events = server.totals(&site, &["events"])[0];
    let path = format!("/api/v1/sites/{site}/pixels");
    let key = server.api("GET", &path, &Value::Null).json()["items"][0]["key"].clone();
    send(
        &server,
        1,
        &json!({"key": key, "events": [
        {"event": "page_view", "url": "https://backup.test/", "event_id": "last"}]}),
    );
    server.kill();
    let made = cairn(&["backup", "--data", directory.path().to_str().unwrap()]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let said = text(&made.stdout);
    let data = TempDir::new().unwrap();
    restored(Path::new(said.lines().next().unwrap()), data.path());
    let again = Server::start_in(data.path(), &[]).unwrap();
    assert_eq!(again.totals(&site, &["events"])[0], events + 1);
}

#[test]
fn the_command_asks_a_running_server() {
    let server = Server::start(&[]);
    let site = filled(&server);
    let expected = reports(&server, &site);
    let data = server.data().to_str().unwrap();
    let ask = |token: Option<&str>, listen: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(["backup", "--data", data, "--listen", listen]);
        command.env_remove("CAIRN_BOOTSTRAP_TOKEN");
        command.envs(token.map(|token| ("CAIRN_API_TOKEN", token))).output().unwrap()
    };
    let listen = server.address.to_string();
    let made = ask(Some(TOKEN), &listen);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let copy = TempDir::new().unwrap();
    restored(Path::new(text(&made.stdout).lines().next().unwrap()), copy.path());
    let again = Server::start_in(copy.path(), &[]).unwrap();
    assert_eq!(reports(&again, &site), expected);
    for (token, listen, said) in [
        (None, listen.as_str(), "put an owner's API token into CAIRN_API_TOKEN"),
        (Some("wrong"), listen.as_str(), "refused with 401"),
        (Some(TOKEN), "127.0.0.1:1", "does not answer at 127.0.0.1:1"),
    ] {
        let refused = ask(token, listen);
        assert!(!refused.status.success() && text(&refused.stderr).contains(said), "{said}");
    }
    let nothing = TempDir::new().unwrap();
    let refused = cairn(&["backup", "--data", nothing.path().to_str().unwrap()]);
    assert!(text(&refused.stderr).contains("nothing to back up"), "{}", text(&refused.stderr));
}

#[test]
fn a_damaged_backup_is_refused_by_the_name_of_the_file_and_nothing_is_touched() {
    let server = Server::start(&[]);
    filled(&server);
    let backup = back_up(&server);
    let data = TempDir::new().unwrap();
    for name in ["catalog.sqlite", "store/events.duckdb", "manifest.json"] {
        let path = backup.join(name);
        let sound = fs::read(&path).unwrap();
        for damaged in [
            [
                &sound[..sound.len() / 2],
                &[sound[sound.len() / 2] ^ 1],
                &sound[sound.len() / 2 + 1..],
            ]
            .concat(),
            sound[..sound.len() - 2].to_vec(),
        ] {
            fs::write(&path, damaged).unwrap();
            let refused = restore(&backup, data.path(), &[]);
            let said = text(&refused.stderr);
            let named = said.contains("damaged") && said.contains(path.to_str().unwrap());
            assert!(!refused.status.success() && named, "{name}: {said}");
        }
        fs::write(&path, sound).unwrap();
    }
    fs::remove_file(backup.join("receipt-heads")).unwrap();
    let refused = restore(&backup, data.path(), &[]);
    assert!(text(&refused.stderr).contains("receipt-heads"), "{}", text(&refused.stderr));
    let left: Vec<_> =
        fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn a_restore_replaces_only_what_it_is_told_to_and_keeps_the_backups() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let site = filled(&server);
    let expected = reports(&server, &site);
    back_up(&server);
    assert_eq!(
        server.api("DELETE", &format!("/api/v1/sites/{site}/goals/1"), &Value::Null).status,
        404
    );
    let in_use = restore(&directory.path().join("backups"), directory.path(), &["--replace"]);
    assert!(text(&in_use.stderr).contains("in use by another process"), "{}", text(&in_use.stderr));
    let (other, _) = server.site("later.test", &json!({}));
    assert_eq!(server.stop(), Some(0));
    let from = directory.path().join("backups");
    let refused = restore(&from, directory.path(), &[]);
    assert!(text(&refused.stderr).contains("is not empty"), "{}", text(&refused.stderr));
    // What a try left that was broken off: no server starts, and the next try needs no permission.
    fs::write(directory.path().join("restore-unfinished"), "").unwrap();
    let started = Server::start_in(directory.path(), &[]).err().unwrap();
    assert!(started.contains("restore again"), "{started}");
    restored(&from, directory.path());
    let again = Server::start_in(directory.path(), &[]).unwrap();
    assert_eq!(reports(&again, &site), expected);
    assert_eq!(again.api("GET", &format!("/api/v1/sites/{other}"), &Value::Null).status, 404);
    let list = again.api("GET", BACKUPS, &Value::Null).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
}

#[test]
fn only_its_owner_may_read_a_backup_and_old_ones_go() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start(&[("CAIRN_BACKUP__COUNT_MAX", "2")]);
    filled(&server);
    let first = back_up(&server);
    let mut files = Vec::new();
    for directory in [first.clone(), first.join("store"), first.parent().unwrap().to_owned()] {
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        files.extend(fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()));
    }
    for file in files.into_iter().filter(|path| path.is_file()) {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
    let second = back_up(&server);
    let third = back_up(&server);
    assert!(!first.exists() && second.exists() && third.exists());
    let name = second.file_name().unwrap().to_str().unwrap();
    let removed = server.api("DELETE", &format!("{BACKUPS}/{name}"), &Value::Null);
    assert_eq!((removed.status, second.exists()), (204, false));
    let removed = server.api("DELETE", &format!("{BACKUPS}/{name}"), &Value::Null);
    assert_eq!(removed.status, 404);
}

/// Copies a directory, as somebody carries a backup elsewhere.
fn carry(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => carry(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// Everything that a visitor could be recognised by, and a page of his own.
fn meet(server: &Server, key: &str, visitor: &Visitor) {
    let Visitor { agent, cookie, email, user_id, .. } = visitor;
    let page = format!("https://backup.test/of/{user_id}?email={email}");
    let events = json!([
        {"event": "page_view", "url": page, "title": format!("For {email}")},
        {"event": "identify", "user_id": user_id, "traits": {"email": email}},
        {"event": "bought", "url": page, "props": {"by": user_id}}]);
    let body = json!({"key": key, "consent": {"choice": "analytics:granted", "signal": "page"},
        "events": events});
    let cookie = format!("cairn_id={cookie}");
    let headers = [
        ("user-agent", agent.as_str()),
        ("content-type", "application/json"),
        ("cookie", cookie.as_str()),
    ];
    let body = body.to_string();
    let answer = server.client().send("POST", "/e", &headers, body.as_bytes()).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
}

/// Puts an erasure on record in a data directory that no server uses.
fn ask_to_erase(data: &Path, site: &str, user_id: &str) -> ErasureId {
    let catalog = Catalog::open(&data.join("catalog.sqlite")).unwrap();
    let store = DuckStore::open(&data.join("store"), DuckOptions::default()).unwrap();
    let keys = IdentityKeys::new(catalog.master_secret());
    let site_id = site.parse().unwrap();
    let finder = Finder { store: &store, catalog: &catalog, keys: &keys, site_id };
    let found = finder.find(&Identifier::UserId(user_id.to_owned())).unwrap();
    let now_ms = jiff::Timestamp::now().as_millisecond();
    catalog.begin_erasure(&found.erasure(ErasureReason::Owner, None), now_ms).unwrap()
}

#[test]
fn who_was_erased_leaves_the_backups_and_does_not_come_back_with_an_old_copy() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let (site, key) = server.site("backup.test", &json!({"policy": "opt_in"}));
    let (canary, kept) = ([visitor("canary", 1)], [visitor("kept", 2)]);
    meet(&server, &key, &canary[0]);
    meet(&server, &key, &kept[0]);
    for [visitor] in [&canary, &kept] {
        let asked = json!({"kind": "access", "user_id": visitor.user_id});
        let requests = format!("/api/v1/sites/{site}/rights/requests");
        let written = server.api("POST", &requests, &asked);
        assert_eq!(written.status, 201, "{}", written.text());
    }
    let backup = back_up(&server);
    let requests_of = |data: &Path| -> Vec<String> {
        let catalog = Catalog::open(&data.join("catalog.sqlite")).unwrap();
        let list = RequestList::Newest { state: None, before: None };
        let requests = catalog.requests(site.parse().unwrap(), list, 10).unwrap();
        requests.into_iter().map(|request| request.identifier).collect()
    };
    let elsewhere = TempDir::new().unwrap();
    carry(&backup, elsewhere.path());
    assert_eq!(server.stop(), Some(0));
    let places = |data: &Path, whom: &[Visitor]| -> Vec<String> {
        search(data, whom).into_iter().map(|(_, place)| place).collect()
    };
    let found = places(&backup, &canary);
    for place in ["events of the store", "texts of the store", "catalog.sqlite"] {
        assert!(found.iter().any(|found| found.contains(place)), "{place} is not in {found:?}");
    }

    let erasure = ask_to_erase(directory.path(), &site, &canary[0].user_id);
    let server = Server::start_in(directory.path(), &WITHOUT_WAITING).unwrap();
    server.line_with("erasures reached a backup");
    // The running databases may be behind: then the backup is made while the erasure is under way.
    let later = back_up(&server);
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.totals(&site, &["events"]) != [3] {
        assert!(Instant::now() < deadline, "the canary is still counted");
    }
    assert_eq!(server.stop(), Some(0));
    for data in [&backup, &later] {
        assert_eq!(places(data, &canary), [""; 0], "in {}", data.display());
        assert!(!places(data, &kept).is_empty(), "the other visitor is still there");
    }
    let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
    let record = catalog.erasure(erasure).unwrap().unwrap();
    let place = record.place("backups").unwrap();
    assert!(place.done_at_ms.is_some() && place.count == 1, "{place:?}");

    // The copy that was carried elsewhere still has everything, unless the ledger is at hand.
    let without = TempDir::new().unwrap();
    let output = restore(elsewhere.path(), without.path(), &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("no ledger of erasures was found"), "{output:?}");
    assert!(!places(without.path(), &canary).is_empty(), "the control");
    let with = TempDir::new().unwrap();
    let ledger = directory.path().join("backups");
    let output = restore(elsewhere.path(), with.path(), &["--ledger", ledger.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("erasures carried out in it: 1"),
        "{}",
        text(&output.stdout)
    );
    assert!(!text(&output.stdout).contains("no ledger"), "{}", text(&output.stdout));
    // The ledger beside a backup is found from within it, too.
    let beside = TempDir::new().unwrap();
    let carried = beside.path().join("carried");
    carry(elsewhere.path(), &carried);
    fs::copy(ledger.join("erasures.ledger"), beside.path().join("erasures.ledger")).unwrap();
    let within = TempDir::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cairn"))
        .current_dir(&carried)
        .args(["restore", "--from", ".", "--data", within.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert!(
        text(&output.stdout).contains("erasures carried out in it: 1"),
        "{}",
        text(&output.stdout)
    );
    assert_eq!(places(within.path(), &canary), [""; 0]);
    // From now on the new place knows who was erased.
    let once_more = restore(elsewhere.path(), with.path(), &["--replace"]);
    assert!(once_more.status.success(), "{}", text(&once_more.stderr));
    let of_backup = TempDir::new().unwrap();
    restored(&backup, of_backup.path());
    for data in [with.path(), of_backup.path()] {
        assert_eq!(places(data, &canary), [""; 0], "in {}", data.display());
        let again = Server::start_in(data, &[]).unwrap();
        assert_eq!(again.totals(&site, &["events"]), [3]);
        assert_eq!(again.stop(), Some(0));
        assert_eq!(requests_of(data), [kept[0].user_id.as_str(), ""]);
    }
    assert_eq!(requests_of(directory.path()), [kept[0].user_id.as_str(), ""]);
}

#[test]
fn who_opted_out_after_a_backup_stays_opted_out_after_a_restore() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let (site, key) = server.site("backup.test", &json!({"policy": "opt_in"}));
    let (gone, kept) = (visitor("gone", 5), visitor("kept", 6));
    // Another one says no to what is remembered of him, and nothing else.
    let memory = format!("/api/v1/sites/{site}/memory");
    let remember = json!({"user_id": "user-7", "remember": {"size": "M"}});
    assert_eq!(server.api("POST", &memory, &remember).status, 200);
    let backup = back_up(&server);
    let elsewhere = TempDir::new().unwrap();
    carry(&backup, elsewhere.path());
    let forget = json!({"user_id": "user-7", "forget_all": true});
    assert_eq!(server.api("POST", &memory, &forget).status, 200);
    let path = format!("/api/v1/sites/{site}/opt-outs");
    let who = json!({"cairn_id": gone.cookie});
    assert_eq!(server.api("POST", &path, &who).status, 204);
    let backups = directory.path().join("backups");
    let ledger = backups.join(OPT_OUTS_FILE);
    let deadline = Instant::now() + Duration::from_secs(60);
    for ledger in [&ledger, &backups.join(WITHDRAWALS_FILE)] {
        while fs::read_to_string(ledger).map_or(0, |text| text.lines().count()) == 0 {
            assert!(Instant::now() < deadline, "{} stays empty", ledger.display());
            std::thread::yield_now();
        }
    }
    server.kill();
    let text_of_ledger = fs::read_to_string(&ledger).unwrap();
    assert!(!text_of_ledger.contains(&gone.cookie), "a keyed number only");
    let beside = backups.to_str().unwrap();
    let cases = [
        (backup.as_path(), &[][..], 1),
        (elsewhere.path(), &["--ledger", beside][..], 1),
        // The control: without the ledger nobody knows.
        (elsewhere.path(), &[][..], 0),
    ];
    for (from, more, opted_out) in cases {
        let data = TempDir::new().unwrap();
        let output = restore(from, data.path(), more);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = format!("opt-outs since then, on record in it: {opted_out}");
        assert!(text(&output.stdout).contains(&said), "{}", text(&output.stdout));
        let again = Server::start_in(data.path(), &[]).unwrap();
        let recall = json!({"user_id": "user-7", "recall": ["size"]});
        let recalled = again.api("POST", &memory, &recall).json()["memory"]["size"].clone();
        assert_eq!(recalled.is_null(), opted_out == 1, "{recalled}");
        meet(&again, &key, &gone);
        meet(&again, &key, &kept);
        let expected = if opted_out == 1 { 3 } else { 6 };
        let deadline = Instant::now() + Duration::from_secs(60);
        while again.totals(&site, &["events"]) != [expected] {
            assert!(Instant::now() < deadline, "{:?}", again.totals(&site, &["events"]));
        }
        assert_eq!(again.stop(), Some(0));
        let found = search(data.path(), std::slice::from_ref(&gone));
        assert_eq!(found.is_empty(), opted_out == 1, "{found:?}");
    }
}

#[test]
fn a_removed_site_leaves_the_backups_also_where_that_was_broken_off() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &WITHOUT_WAITING).unwrap();
    let (gone, gone_key) = server.site("gone.test", &json!({"policy": "opt_in"}));
    let (site, key) = server.site("kept.test", &json!({"policy": "opt_in"}));
    let (canary, kept) = ([visitor("canary", 3)], [visitor("kept", 4)]);
    meet(&server, &gone_key, &canary[0]);
    meet(&server, &key, &kept[0]);
    let backup = back_up(&server);
    assert!(!search(&backup, &canary).is_empty());
    assert_eq!(server.api("DELETE", &format!("/api/v1/sites/{gone}"), &Value::Null).status, 204);
    server.line_with("erasures reached a backup");
    server.kill();
    assert_eq!(search(&backup, &canary), []);

    // As after a crash in the middle: the manifest says that its files are being changed.
    let mut broken = Manifest::read(&backup).unwrap();
    broken.is_being_changed = true;
    broken.files.clear();
    broken.write(&backup).unwrap();
    let data = TempDir::new().unwrap();
    let refused = restore(&backup, data.path(), &[]);
    assert!(text(&refused.stderr).contains("was broken off"), "{}", text(&refused.stderr));
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while Manifest::read(&backup).unwrap().is_being_changed {
        assert!(Instant::now() < deadline, "it is not completed");
        std::thread::yield_now();
    }
    drop(server);
    restored(&backup, data.path());
    let again = Server::start_in(data.path(), &[]).unwrap();
    assert_eq!(again.api("GET", &format!("/api/v1/sites/{gone}"), &Value::Null).status, 404);
    assert_eq!(again.totals(&site, &["events"]), [3]);
}

#[test]
fn a_disk_that_fails_half_way_leaves_no_half_backup() {
    let name = "a_disk_that_fails_half_way_leaves_no_half_backup";
    if Command::new("prlimit").arg("--version").output().is_err() {
        eprintln!("NOT RUN: {name}: prlimit is missing");
        return;
    }
    let directory = TempDir::new().unwrap();
    // The signal would end the program; ignored, the write fails.
    let program = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let server = Server::start_under(&program, directory.path(), &[]).unwrap();
    let site = filled(&server);
    let whole = back_up(&server);
    let size = |name: &str| fs::metadata(whole.join(name)).unwrap().len();
    let (catalog, store) = (size("catalog.sqlite"), size("store/events.duckdb"));
    // The smaller of the two files can be written, the larger one cannot be to its end.
    assert!(limit_files(&server, &((catalog.min(store) + catalog.max(store)) / 2).to_string()));
    let refused = server.api("POST", BACKUPS, &Value::Null);
    assert_eq!(refused.status, 503, "{}", refused.text());
    let list = server.api("GET", BACKUPS, &Value::Null).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    assert!(list["last_failure"]["reason"].is_string(), "{list}");
    let left = fs::read_dir(directory.path().join("backups")).unwrap().count();
    assert_eq!(left, 1, "nothing else is in the directory");
    assert!(limit_files(&server, "unlimited"));
    let expected = reports(&server, &site);
    let data = TempDir::new().unwrap();
    restored(&back_up(&server), data.path());
    assert_eq!(reports(&Server::start_in(data.path(), &[]).unwrap(), &site), expected);
}

#[test]
fn no_backup_is_begun_where_the_log_would_have_no_room_left() {
    let name = "no_backup_is_begun_where_the_log_would_have_no_room_left";
    let script = "mount -t tmpfs -o size=100m,mode=700 tmpfs \"$0\" &&";
    if !can_mount(name, script) {
        return;
    }
    let (data, small) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (script, place) = (format!("{script} exec \"$@\""), small.path().to_str().unwrap());
    let program = [&IN_NAMESPACE[..], &[script.as_str(), place]].concat();
    let settings = [("CAIRN_BACKUP__DIRECTORY", place)];
    let server = Server::start_under(&program, data.path(), &settings).unwrap();
    filled(&server);
    let refused = server.api("POST", BACKUPS, &Value::Null);
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("a backup needs"), "{}", refused.text());
}
