//! `kill -9` and a full disk: what is committed stays, whole, and nothing else.
#![cfg(all(unix, feature = "duckdb"))]
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use cairn_model::session::Attributes;
use cairn_model::{Event, Identification, Outcome, PixelId, Session, SiteId, VisitorId};
use cairn_store::duckdb::{DuckOptions, DuckStore};
use cairn_store::{Batch, EventStore, OutcomeCount, Row, SessionChange, StoreError, Watermark};

const SITE: SiteId = SiteId(7);
const ROWS: u64 = 100;
/// Set for the child: where its store is.
const DIRECTORY: &str = "CAIRN_CRASH_DIRECTORY";

fn open(directory: &Path) -> DuckStore {
    DuckStore::open(directory, DuckOptions::default()).unwrap()
}

/// Batch `number`, counted from 0: a hundred events, and the next state of the only visit.
fn batch(number: u64) -> Batch<'static> {
    let rows = (number * ROWS + 1..=number * ROWS + ROWS).map(|offset| {
        let mut event = Event::bare(SITE, "page_view", offset as i64);
        event.event_key = offset.into();
        event.pixel_id = PixelId(1);
        event.path = format!("/page/{offset}/{}", "x".repeat(100)).into();
        Row { offset, session_id: 1, attributes: Arc::default(), event }
    });
    let session = Session {
        site_id: SITE,
        session_id: 1,
        visitor_id: VisitorId(5),
        identification: Identification::Identified,
        session_key: 0,
        started_at_ms: 1,
        ended_at_ms: 1,
        last_activity_ms: 1,
        last_received_ms: 1,
        pageviews: (number * ROWS + ROWS) as u32,
        events: number as u32 + 1,
        entry_hostname: String::new(),
        entry_page: String::new(),
        exit_hostname: String::new(),
        exit_page: String::new(),
        attributes: Arc::new(Attributes::default()),
    };
    Batch {
        rows: rows.collect(),
        sessions: vec![SessionChange::new(session, number > 0)],
        outcomes: vec![OutcomeCount {
            site_id: SITE,
            hour_ms: 0,
            outcome: Outcome::Accepted,
            count: ROWS,
        }],
        watermark: Watermark { offset: number * ROWS + ROWS, received_at_ms: number as i64 },
    }
}

/// The store holds exactly its first batches; tells how many.
fn whole_batches(store: &dyn EventStore) -> u64 {
    let offset = store.watermark().unwrap().offset;
    assert_eq!(offset % ROWS, 0, "a part of a batch");
    let mut keys = Vec::new();
    store.event_keys_after(0, &mut |offset, key, _| keys.push((offset, key))).unwrap();
    let expected: Vec<_> = (1..=offset).map(|offset| (offset, u128::from(offset))).collect();
    assert_eq!(keys, expected);
    let sessions = store.sessions_active_since(i64::MIN, 1_000_000).unwrap();
    let states: Vec<_> = sessions.iter().map(|session| u64::from(session.pageviews)).collect();
    let outcomes = store.outcomes_since(SITE, 0).unwrap();
    if offset == 0 {
        assert!(states.is_empty() && outcomes.is_empty());
    } else {
        assert_eq!(states, [offset]);
        assert_eq!(outcomes, [(Outcome::Accepted, offset)]);
    }
    offset / ROWS
}

fn child(test: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(DIRECTORY, directory);
    command
}

fn childs_directory() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

/// Not a test by itself: writes until it is killed, telling of every batch after its commit.
#[test]
fn child_that_writes() {
    let Some(directory) = childs_directory() else { return };
    let store = open(&directory);
    for number in whole_batches(&store).. {
        store.commit(&batch(number)).unwrap();
        println!("committed {number}");
        std::io::stdout().flush().unwrap();
        if number % 7 == 6 {
            store.checkpoint().unwrap();
        }
    }
}

#[test]
fn killed_at_any_moment_it_holds_what_was_committed() {
    let directory = tempfile::tempdir().unwrap();
    let mut told = 0;
    for cycle in 0..6u64 {
        let mut child = child("child_that_writes", directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let committed = lines.map(|line| line.unwrap()).filter_map(|line| {
            line.rsplit_once("committed ").map(|(_, number)| number.parse::<u64>().unwrap())
        });
        // 0 to 20 batches more, so that it dies in commits, in checkpoints and right after opening.
        let wanted = (cycle * 8 + 3) % 21;
        told = committed.take(wanted as usize).last().map_or(told, |number| number + 1);
        child.kill().unwrap();
        child.wait().unwrap();
        let store = open(directory.path());
        let found = whole_batches(&store);
        assert!(found >= told, "batch {told} was committed, {found} are there");
        told = found;
    }
    assert!(told > 20);
}

/// Not a test by itself: runs under a soft limit on the size of files, which acts as a full disk does.
#[test]
fn child_with_a_full_disk() {
    let Some(directory) = childs_directory() else { return };
    let store = open(&directory);
    let mut number = 0;
    let error = loop {
        match store.commit(&batch(number)) {
            Ok(()) => number += 1,
            Err(error) => break error,
        }
        assert!(number < 10_000, "the limit was never reached");
    };
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(store.commit(&batch(number)).is_err(), "it is still full");
    assert_eq!(whole_batches(&store), number, "what was committed can be read");
    let hard = rustix::process::getrlimit(rustix::process::Resource::Fsize).maximum;
    let unlimited = rustix::process::Rlimit { current: hard, maximum: hard };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, unlimited).unwrap();
    store.commit(&batch(number)).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(whole_batches(&store), number + 1);
    drop(store);
    assert_eq!(whole_batches(&open(&directory)), number + 1);
    println!("recovered after {number} batches");
}

#[test]
fn a_full_disk_is_an_error_and_then_it_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let test = child("child_with_a_full_disk", directory.path());
    // The shell ignores SIGXFSZ for what it becomes, so that writing fails instead of killing.
    let script = r#"trap "" XFSZ; ulimit -S -f 1500; exec "$0" "$@""#;
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(test.get_program())
        .args(test.get_args())
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("recovered after"), "{text}{errors}");
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let error = DuckStore::open(&file.join("store"), DuckOptions::default()).err().unwrap();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}
