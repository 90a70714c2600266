use cairn_model::{SiteId, Subject, VisitorId};

use super::*;
use crate::contract::{SITE, row, session};
use crate::duckdb::{DuckOptions, DuckStore};
use crate::{Batch, EventStore, SessionChange, Watermark};

/// No two bytes are alike, so that it stands in the file as it is.
const ERASED: VisitorId = VisitorId(0x9d3a_c441_7be2_5f13);
/// Events that a step copies here.
const ROWS: u64 = 200;
const CANARY: &str = "canary-of-the-erased";

fn open(directory: &Path) -> DuckStore {
    let options = DuckOptions { rewrite_rows_per_step: ROWS, ..DuckOptions::default() };
    DuckStore::open(directory, options).unwrap()
}

/// Events of many, and some of the erased among them.
fn fill(store: &DuckStore) {
    for batch in 0..6_u64 {
        let offset = |number: u64| batch * 200 + number + 1;
        let rows: Vec<_> = (0..200)
            .map(|number| {
                let mut row = row(offset(number), offset(number));
                row.event.visitor_id =
                    VisitorId((offset(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
                if number % 67 == 5 {
                    row.event.visitor_id = ERASED;
                    row.event.query = format!("{CANARY}={number}").into();
                    row.event.title = format!("{CANARY} {number}").into();
                }
                row
            })
            .collect();
        let sessions = rows.iter().map(|row| {
            let mut session = session(row.session_id, 1, 1);
            session.visitor_id = row.event.visitor_id;
            SessionChange::new(session, false)
        });
        let watermark = Watermark { offset: offset(199), received_at_ms: offset(199) as i64 };
        let batch = Batch { sessions: sessions.collect(), rows, watermark, ..Batch::default() };
        store.commit(&batch).unwrap();
        store.checkpoint().unwrap();
    }
}

fn erased() -> Subject {
    Subject { site_id: SITE, visitors: vec![ERASED], ..Subject::default() }
}

/// How often the files hold it.
fn raw(directory: &Path, needle: &[u8]) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += raw(&path, needle);
            continue;
        }
        let bytes = fs::read(path).unwrap();
        count += bytes.windows(needle.len()).filter(|window| *window == needle).count();
    }
    count
}

fn offsets(store: &DuckStore) -> Vec<u64> {
    let sql = "SELECT event_offset FROM events";
    let read = store.with_reader(|connection| {
        let mut offsets = Vec::new();
        let rows = connection.query(sql, &[]).unwrap();
        rows.for_each(|row| {
            offsets.push(row.get::<u64>(0)?);
            Ok::<(), DuckError>(())
        })
        .unwrap();
        Ok(offsets)
    });
    read.unwrap()
}

fn rewrite(store: &DuckStore) -> Rewritten {
    loop {
        let rewritten = store.rewrite_erased().unwrap();
        if rewritten.is_complete {
            return rewritten;
        }
    }
}

#[test]
fn deleting_leaves_bytes_behind_and_rewriting_none() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store);
    assert!(raw(directory.path(), CANARY.as_bytes()) > 0);
    assert_eq!(store.erase_subjects(&[erased()]).unwrap().events, 18);
    store.checkpoint().unwrap();
    // What makes it necessary: nobody finds it any more, and it is there.
    assert!(raw(directory.path(), CANARY.as_bytes()) > 0);
    assert!(raw(directory.path(), &ERASED.0.to_le_bytes()) > 0);
    let rewritten = rewrite(&store);
    assert_eq!(rewritten.events, 6 * 200 - 18);
    assert!(rewritten.overwritten_bytes > 0);
    assert_eq!(raw(directory.path(), CANARY.as_bytes()), 0);
    assert_eq!(raw(directory.path(), &ERASED.0.to_le_bytes()), 0);
    let kept = offsets(&store);
    assert_eq!(kept.len(), 6 * 200 - 18);
    assert!(kept.is_sorted(), "rows lie in the order of their offsets");
    drop(store);
    let store = open(directory.path());
    assert_eq!(offsets(&store), kept);
    assert_eq!(store.erased_since_ms(), None);
}

#[test]
fn who_deletes_or_writes_between_two_steps_is_not_lost() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store);
    store.erase_subjects(&[erased()]).unwrap();
    assert!(!store.rewrite_erased().unwrap().is_complete);
    // A batch comes while the copy is being written.
    let last = store.watermark().unwrap().offset;
    let batch = Batch {
        rows: vec![row(last + 1, last + 1)],
        watermark: Watermark { offset: last + 1, received_at_ms: 1 },
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
    assert!(!store.rewrite_erased().unwrap().is_complete);
    let other = Subject { visitors: vec![VisitorId(last + 1 + 1000)], ..erased() };
    assert_eq!(store.erase_subjects(&[other]).unwrap().events, 1);
    rewrite(&store);
    assert_eq!(offsets(&store).len(), 6 * 200 - 18);
    assert_eq!(store.watermark().unwrap().offset, last + 1);
    store.delete_site(SITE).unwrap();
    assert!(store.erased_since_ms().is_some(), "a removed site's bytes as well");
    rewrite(&store);
    assert_eq!(raw(directory.path(), b"shop.example"), 0);
    assert_eq!(store.first_event_ms(SiteId(SITE.0)).unwrap(), None);
}

#[test]
fn a_copy_that_a_crash_left_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store);
    store.erase_subjects(&[erased()]).unwrap();
    assert!(!store.rewrite_erased().unwrap().is_complete);
    assert!(copy_path(directory.path()).exists());
    drop(store);
    let store = open(directory.path());
    assert!(store.erased_since_ms().is_some());
    rewrite(&store);
    assert_eq!(offsets(&store).len(), 6 * 200 - 18);
    assert!(!directory.path().join(DIRECTORY).exists());
    assert_eq!(raw(directory.path(), CANARY.as_bytes()), 0);
}

#[test]
fn a_file_with_a_journal_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    fs::create_dir_all(directory.path().join(DIRECTORY)).unwrap();
    fs::write(copy_path(directory.path()), "the copy").unwrap();
    let journal = write_ahead(&directory.path().join(FILE_NAME));
    fs::write(&journal, "what is not in the file").unwrap();
    assert!(put_in_place(directory.path()).is_err());
    fs::remove_file(journal).unwrap();
    assert!(put_in_place(directory.path()).is_ok());
    assert_eq!(fs::read(directory.path().join(FILE_NAME)).unwrap(), b"the copy");
}

#[test]
fn a_file_that_a_crash_left_with_its_journal_is_rewritten_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store);
    store.erase_subjects(&[erased()]).unwrap();
    // What a crash leaves: the deletion is in the write-ahead file only.
    let crashed = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, crashed.path().join(path.file_name().unwrap())).unwrap();
    }
    assert!(write_ahead(&crashed.path().join(FILE_NAME)).metadata().unwrap().len() > 0);
    let store = open(crashed.path());
    rewrite(&store);
    assert_eq!(offsets(&store).len(), 6 * 200 - 18);
    assert_eq!(raw(crashed.path(), CANARY.as_bytes()), 0);
}
