//! Against a plain map, with restarts, damage and files that are ahead of the store.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::contract::row;
use crate::reference::ReferenceStore;
use crate::{Batch, Watermark};

/// Few keys fill a set, so that small tests write, merge and drop files.
const FRESH_KEYS: usize = 16;

struct Rig {
    directory: tempfile::TempDir,
    store: ReferenceStore,
    ids: Option<EventIds>,
    kept: HashMap<u128, i64>,
    offset: u64,
    now_ms: i64,
}

impl Rig {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = ReferenceStore::new();
        let now_ms = 20_000 * DAY_MS;
        let ids = Some(EventIds::open_with(directory.path(), &store, FRESH_KEYS).unwrap());
        Rig { directory, store, ids, kept: HashMap::new(), offset: 0, now_ms }
    }

    fn ids(&self) -> &EventIds {
        self.ids.as_ref().unwrap()
    }

    /// Commits events with these keys to the store, and to the index.
    fn commit(&mut self, keys: &[u128]) {
        let mut batch = Batch::default();
        let mut committed = Vec::new();
        for key in keys {
            self.offset += 1;
            let mut row = row(self.offset, 1);
            row.event.event_key = *key;
            row.event.received_at_ms = self.now_ms;
            batch.rows.push(row);
            if *key != 0 {
                committed.push((*key, self.offset, self.now_ms));
                self.kept.insert(*key, self.now_ms);
            }
        }
        self.offset += 1;
        batch.watermark = Watermark { offset: self.offset, received_at_ms: self.now_ms };
        self.store.commit(&batch).unwrap();
        self.ids().insert_committed(&committed);
    }

    fn reopen(&mut self) {
        self.ids = None;
        let ids = EventIds::open_with(self.directory.path(), &self.store, FRESH_KEYS).unwrap();
        self.ids = Some(ids);
    }

    /// Every key of the last seven days is found, and no other.
    fn check(&self) {
        for (key, at) in &self.kept {
            if self.now_ms - at <= 7 * DAY_MS {
                assert!(self.ids().contains(*key, self.now_ms), "{key} was forgotten");
            }
            assert!(!self.ids().contains(!key, self.now_ms));
            assert!(!self.ids().contains(key ^ 1 << 120, self.now_ms));
        }
        assert!(!self.ids().contains(0, self.now_ms));
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "keys"));
        files.sort();
        files
    }
}

/// Keys of which some share halves, so that neither half alone may decide.
fn keys(count: std::ops::Range<u64>) -> Vec<u128> {
    count.map(|number| u128::from(number / 3) << 64 | u128::from(number % 3 + 5)).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<u16>),
    Pass(i64),
    Settle,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(any::<u16>(), 0..40).prop_map(Step::Commit),
        2 => (0..3 * DAY_MS).prop_map(Step::Pass),
        1 => Just(Step::Settle),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_index_equals_a_map_whatever_happens(steps in prop::collection::vec(step(), 1..30)) {
        let mut rig = Rig::new();
        for step in steps {
            match step {
                Step::Commit(numbers) => {
                    let mut keys: Vec<u128> = numbers.into_iter().map(|n| u128::from(n) << 40).collect();
                    // The apply loop hands in every key once within seven days.
                    keys.retain(|key| !rig.ids().contains(*key, rig.now_ms));
                    rig.commit(&keys);
                }
                Step::Pass(time_ms) => rig.now_ms += time_ms,
                Step::Settle => rig.ids().settle(),
                Step::Reopen => rig.reopen(),
            }
            rig.check();
        }
    }
}

#[test]
fn sets_become_files_and_files_are_merged() {
    let mut rig = Rig::new();
    for part in 0..64 {
        rig.commit(&keys(part * 16..part * 16 + 16));
        rig.check();
    }
    rig.ids().settle();
    let (written, files) = rig.ids().written();
    assert!(written >= 1008, "{written}");
    assert!(files <= 2 * MERGE_WIDTH, "{files}");
    assert_eq!(rig.files().len(), files);
    rig.check();
    rig.reopen();
    rig.check();
    assert_eq!(rig.ids().written(), (written, files));
}

#[test]
fn days_that_are_over_become_one_file_and_old_ones_go() {
    let mut rig = Rig::new();
    for day in 0..20 {
        rig.commit(&keys(day * 100..day * 100 + 100));
        rig.now_ms += DAY_MS;
        rig.check();
    }
    rig.ids().settle();
    let (written, files) = rig.ids().written();
    assert!(written < 900, "eight days at most: {written}");
    assert_eq!(rig.files().len(), files);
    assert!(!rig.ids().contains(keys(0..1)[0], rig.now_ms), "what is too old is forgotten");
    rig.check();
}

#[test]
fn damaged_and_missing_files_are_rebuilt_from_the_store() {
    for harm in 0..4 {
        let mut rig = Rig::new();
        rig.commit(&keys(0..200));
        rig.commit(&keys(200..400));
        rig.ids().settle();
        rig.ids = None;
        let files = rig.files();
        let victim = &files[files.len() / 2];
        match harm {
            0 => std::fs::remove_file(victim).unwrap(),
            1 => std::fs::write(victim, b"short").unwrap(),
            2 => {
                let mut bytes = std::fs::read(victim).unwrap();
                let last = bytes.len() - 20;
                bytes[last] ^= 1;
                std::fs::write(victim, bytes).unwrap();
            }
            _ => std::fs::write(rig.directory.path().join(MANIFEST), "nonsense").unwrap(),
        }
        rig.reopen();
        rig.check();
        rig.ids().settle();
        rig.check();
    }
}

#[test]
fn files_ahead_of_the_store_are_dropped() {
    let mut rig = Rig::new();
    rig.commit(&keys(0..100));
    rig.ids().settle();
    let lost = keys(1000..1100);
    let at = rig.now_ms;
    let unknown: Vec<_> =
        lost.iter().zip(10_000..).map(|(key, offset)| (*key, offset, at)).collect();
    rig.ids().insert_committed(&unknown);
    rig.ids().settle();
    assert!(rig.ids().contains(lost[0], at));
    rig.reopen();
    rig.check();
    assert!(lost.iter().all(|key| !rig.ids().contains(*key, at)), "the store never had them");
}

#[test]
fn many_threads_may_ask_while_one_inserts() {
    let mut rig = Rig::new();
    rig.commit(&keys(0..500));
    let (ids, at) = (rig.ids(), rig.now_ms);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for key in keys(0..500).iter().cycle().take(5_000) {
                    assert!(ids.contains(*key, at));
                }
            });
        }
        for (key, offset) in keys(1000..4000).into_iter().zip(10_000..) {
            ids.insert_committed(&[(key, offset, at)]);
            assert!(ids.contains(key, at));
        }
    });
}

#[test]
fn large_runs_keep_every_key_through_merges() {
    let directory = tempfile::tempdir().unwrap();
    let make = |name: &str, numbers: std::ops::Range<u64>, last_offset| {
        let mut entries: Vec<Entry> = numbers.map(|number| entry_of(number.into())).collect();
        entries.sort_unstable();
        let coverage = Coverage { day: 1, after_offset: 0, last_offset, level: 0 };
        let mut entries = entries.into_iter();
        let count = entries.len() as u64;
        let path = directory.path().join(name);
        Arc::new(write_run(&path, coverage, count, || Ok(entries.next())).unwrap())
    };
    // Below and above the size from which the first byte of an entry is told by its bucket.
    let parts = [make("a.keys", 1..20_000, 1), make("b.keys", 20_000..80_000, 2)];
    let path = directory.path().join("c.keys");
    let merged = merge_runs(&path, parts[1].coverage, &parts, || false).unwrap();
    let opened = Run::open(&path, merged.coverage).unwrap();
    let mut passed = 0;
    for run in [&merged, &opened] {
        for number in 1..80_000u64 {
            let entry = entry_of(number.into());
            assert!(run.may_contain(entry) && run.contains(entry).unwrap(), "{number}");
            let absent = entry_of((number + 1_000_000).into());
            passed += u32::from(run.may_contain(absent));
            assert!(!run.contains(absent).unwrap());
        }
    }
    assert!(passed < 2 * 80_000 / 10, "the filter lets through {passed} of 160,000");
    assert!(opened.memory_bytes() * 8 < 7 * 80_000, "{}", opened.memory_bytes());
    assert!(merge_runs(&path, merged.coverage, &parts, || true).is_err(), "it can be stopped");
}
