//! Which events are stored already: recognises repetitions for seven days.
//!
//! Keys of the latest events are in memory; older ones in sorted files, one set of files per day of arrival, each with a
//! filter (6 bits a key) and a directory (a quarter of a bit) in memory. Days that are over are merged into one file,
//! and dropped whole when they are too old.
//!
//! Guarantees: every key inserted within the last seven days is found; a key that was not inserted is found with odds
//! below 2^-96 per key kept. Files are written for stored events only, by a thread of its own, and nothing waits for a
//! sync: what is missing after a crash is read from the store again, and files that are ahead of the store are dropped.
//! It does not notice flipped bits within the entries of a file.

mod run;

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::thread::JoinHandle;

use run::{Coverage, Entry, Run, entry_of, merge_runs, write_run};

use crate::{EventStore, StoreError};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Days for which keys are kept, besides the running one.
const DAYS_KEPT: i64 = cairn_model::limits::AGE_MS_MAX / DAY_MS;
/// Keys in memory before they go to a file (2.2 MB).
const FRESH_KEYS_MAX: usize = 1 << 16;
/// Full sets of keys that may wait for the writing thread; then inserting waits.
const FULL_SETS_MAX: usize = 2;
/// Files of one level that are merged into one of the next.
const MERGE_WIDTH: usize = 4;
/// Name of the list of files.
const MANIFEST: &str = "manifest";
/// First line of that list.
const MANIFEST_HEAD: &str = "cairn event ids 1";

/// Entries are uniform already: their upper half is their hash.
#[derive(Default)]
struct UpperHalf(u64);

impl Hasher for UpperHalf {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, entry: u128) {
        self.0 = (entry >> 64) as u64;
    }
}

type KeySet = HashSet<Entry, BuildHasherDefault<UpperHalf>>;

/// A set that is full and waits to be written.
struct FullSet {
    keys: KeySet,
    coverage: Coverage,
}

struct State {
    fresh: KeySet,
    fresh_day: i64,
    /// Keys of events up to here are in full sets or files.
    fresh_after: u64,
    last_offset: u64,
    full: Vec<Arc<FullSet>>,
    runs: Vec<Arc<Run>>,
}

/// What the writing thread is told, and tells.
#[derive(Default)]
struct Signals {
    stop: bool,
    /// Something may need to be written.
    awake: bool,
    /// Nothing is left to write or to merge.
    settled: bool,
    /// Writing fails; nobody waits for it.
    failing: bool,
}

struct Shared {
    directory: PathBuf,
    /// [`FRESH_KEYS_MAX`], or less in tests.
    fresh_keys_max: usize,
    state: RwLock<State>,
    signals: Mutex<Signals>,
    changed: Condvar,
}

/// The keys of stored events.
pub struct EventIds {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |error| StoreError::Unavailable { doing, cause: error.to_string() }
}

impl EventIds {
    /// Opens the files in a directory (made if missing), and reads from the store what they lack.
    pub fn open(directory: &Path, store: &dyn EventStore) -> Result<EventIds, StoreError> {
        Self::open_with(directory, store, FRESH_KEYS_MAX)
    }

    fn open_with(
        directory: &Path,
        store: &dyn EventStore,
        fresh_keys_max: usize,
    ) -> Result<EventIds, StoreError> {
        let doing = "opens the event keys";
        std::fs::create_dir_all(directory).map_err(failed(doing))?;
        let watermark = store.watermark()?;
        let (runs, persisted) = load(directory, watermark.offset).map_err(failed(doing))?;
        let state = State {
            fresh: KeySet::default(),
            fresh_day: 0,
            fresh_after: persisted,
            last_offset: persisted,
            full: Vec::new(),
            runs,
        };
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            fresh_keys_max,
            state: RwLock::new(state),
            signals: Mutex::default(),
            changed: Condvar::new(),
        });
        let worker = std::thread::Builder::new()
            .name("event-ids".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.work()
            })
            .map_err(failed(doing))?;
        let event_ids = EventIds { shared, worker: Some(worker) };
        let oldest_ms = (watermark.received_at_ms.div_euclid(DAY_MS) - DAYS_KEPT) * DAY_MS;
        let mut some = Vec::with_capacity(4096);
        store.event_keys_after(persisted, &mut |offset, key, received_at_ms| {
            if received_at_ms >= oldest_ms {
                some.push((key, offset, received_at_ms));
            }
            if some.len() == some.capacity() {
                event_ids.insert_committed(&some);
                some.clear();
            }
        })?;
        event_ids.insert_committed(&some);
        Ok(event_ids)
    }

    /// True when an event with this key is stored, and arrived at most seven days before `received_at_ms`.
    pub fn contains(&self, key: u128, received_at_ms: i64) -> bool {
        if key == 0 {
            return false;
        }
        let entry = entry_of(key);
        let oldest_day = received_at_ms.div_euclid(DAY_MS) - DAYS_KEPT;
        let state = self.shared.state();
        if state.fresh.contains(&entry) || state.full.iter().any(|set| set.keys.contains(&entry)) {
            return true;
        }
        let mut candidates = state.runs.iter().filter(|run| run.may_contain(entry));
        candidates.any(|run| {
            run.coverage.day >= oldest_day
                && run.contains(entry).unwrap_or_else(|error| {
                    tracing::error!(%error, "cannot read the event keys");
                    false
                })
        })
    }

    /// Adds the keys of a committed batch: key, offset, arrival; by rising offset.
    pub fn insert_committed(&self, committed: &[(u128, u64, i64)]) {
        let mut filled = false;
        let mut state = self.shared.state_mut();
        for (key, offset, received_at_ms) in committed {
            let day = received_at_ms.div_euclid(DAY_MS);
            if day > state.fresh_day || state.fresh.len() >= self.shared.fresh_keys_max {
                filled |= state.set_aside();
                state.fresh_day = state.fresh_day.max(day);
            }
            if *key != 0 {
                state.fresh.insert(entry_of(*key));
            }
            state.last_offset = state.last_offset.max(*offset);
        }
        let too_many = state.full.len() > FULL_SETS_MAX;
        drop(state);
        if filled {
            self.shared.wake();
        }
        if too_many {
            self.shared.wait_for(|state| state.full.len() <= FULL_SETS_MAX);
        }
    }

    /// Waits until everything that is full is in files and merged; returns at once when writing fails.
    pub fn settle(&self) {
        self.shared.wake();
        self.shared.wait_settled();
    }

    /// Bytes of memory that the tables take, as far as they are counted: filters, directories, keys in memory.
    pub fn memory_bytes(&self) -> usize {
        let state = self.shared.state();
        let set_bytes = |set: &KeySet| set.capacity() * 8 / 7 * 17;
        state.runs.iter().map(|run| run.memory_bytes()).sum::<usize>()
            + state.full.iter().map(|set| set_bytes(&set.keys)).sum::<usize>()
            + set_bytes(&state.fresh)
    }

    /// Keys in files, and how many files there are.
    pub fn written(&self) -> (u64, usize) {
        let state = self.shared.state();
        (state.runs.iter().map(|run| run.count()).sum(), state.runs.len())
    }
}

impl Drop for EventIds {
    fn drop(&mut self) {
        self.shared.signals().stop = true;
        self.shared.changed.notify_all();
        if let Some(worker) = self.worker.take() {
            // A panic of the thread was reported when it happened; nothing is lost that the store does not have.
            let _ = worker.join();
        }
    }
}

impl State {
    /// Makes the fresh keys a full set; false when there are none.
    fn set_aside(&mut self) -> bool {
        if self.fresh.is_empty() {
            return false;
        }
        let coverage = Coverage {
            day: self.fresh_day,
            after_offset: self.fresh_after,
            last_offset: self.last_offset,
            level: 0,
        };
        self.fresh_after = self.last_offset;
        let keys = std::mem::take(&mut self.fresh);
        self.full.push(Arc::new(FullSet { keys, coverage }));
        true
    }

    /// Files that should become one: all of a day that is over, or enough of one level.
    fn to_merge(&self) -> Option<Vec<Arc<Run>>> {
        let newest = self.runs.last()?.coverage.day;
        let mut start = 0;
        while start < self.runs.len() {
            let Coverage { day, level, .. } = self.runs[start].coverage;
            let same = |run: &&Arc<Run>| {
                run.coverage.day == day && (day < newest || run.coverage.level == level)
            };
            let group = self.runs[start..].iter().take_while(same).count();
            let wanted = if day < newest { 2 } else { MERGE_WIDTH };
            if group >= wanted {
                return Some(self.runs[start..start + group].to_vec());
            }
            start += group;
        }
        None
    }
}

impl Shared {
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn signals(&self) -> MutexGuard<'_, Signals> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let mut signals = self.signals();
        signals.awake = true;
        signals.settled = false;
        drop(signals);
        self.changed.notify_all();
    }

    fn wait_for(&self, reached: impl Fn(&State) -> bool) {
        let mut signals = self.signals();
        while !signals.failing && !signals.stop && !reached(&self.state()) {
            signals = self.changed.wait(signals).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn wait_settled(&self) {
        let mut signals = self.signals();
        while !signals.failing && !signals.stop && !signals.settled {
            signals = self.changed.wait(signals).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The writing thread: full sets first, then what can be merged, then what is too old.
    fn work(&self) {
        loop {
            let mut signals = self.signals();
            while !signals.awake && !signals.stop {
                signals = self.changed.wait(signals).unwrap_or_else(PoisonError::into_inner);
            }
            if signals.stop {
                return;
            }
            signals.awake = false;
            drop(signals);
            let result = self.work_until_settled();
            let mut signals = self.signals();
            signals.failing = result.is_err() && !signals.stop;
            signals.settled = result.is_ok() && !signals.awake;
            if signals.failing {
                tracing::warn!(error = ?result.err(), "cannot write the event keys");
            }
            drop(signals);
            self.changed.notify_all();
        }
    }

    fn work_until_settled(&self) -> io::Result<()> {
        loop {
            if self.signals().stop {
                return Ok(());
            }
            let state = self.state();
            let (full, merge) = (state.full.first().cloned(), state.to_merge());
            drop(state);
            match (full, merge) {
                (Some(set), _) => self.write_full(&set)?,
                (None, Some(runs)) => self.merge(&runs)?,
                (None, None) => return Ok(()),
            }
            self.changed.notify_all();
        }
    }

    fn write_full(&self, set: &Arc<FullSet>) -> io::Result<()> {
        let mut entries: Vec<Entry> = set.keys.iter().copied().collect();
        entries.sort_unstable();
        let mut entries = entries.into_iter();
        let path = self.path_of(set.coverage);
        let count = entries.len() as u64;
        let run = write_run(&path, set.coverage, count, || Ok(entries.next()))?;
        self.replace(&[], run, set.coverage.day)?;
        self.state_mut().full.retain(|kept| !Arc::ptr_eq(kept, set));
        Ok(())
    }

    fn merge(&self, runs: &[Arc<Run>]) -> io::Result<()> {
        let [Some(first), Some(last)] = [runs.first(), runs.last()] else { return Ok(()) };
        let level = runs.iter().map(|run| run.coverage.level).max().unwrap_or(0) + 1;
        let coverage = Coverage {
            day: first.coverage.day,
            after_offset: first.coverage.after_offset,
            last_offset: last.coverage.last_offset,
            level,
        };
        let path = self.path_of(coverage);
        let merged = merge_runs(&path, coverage, runs, || self.signals().stop)?;
        self.replace(runs, merged, i64::MIN)
    }

    /// Puts a new run in the place of others, drops what is too old on `today`, and writes the list. Lookups find every
    /// key throughout; files go only when the list no longer names them.
    fn replace(&self, old: &[Arc<Run>], new: Run, today: i64) -> io::Result<()> {
        let runs = self.state().runs.clone();
        let (gone, mut runs): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| {
            old.iter().any(|replaced| Arc::ptr_eq(run, replaced))
                || run.coverage.day < today.saturating_sub(DAYS_KEPT)
        });
        runs.push(Arc::new(new));
        runs.sort_by_key(|run| run.coverage.last_offset);
        write_manifest(&self.directory, &runs)?;
        self.state_mut().runs = runs;
        for run in gone {
            std::fs::remove_file(&run.path)?;
        }
        Ok(())
    }

    fn path_of(&self, coverage: Coverage) -> PathBuf {
        let Coverage { day, after_offset, last_offset, level } = coverage;
        self.directory.join(format!("{day}-{level}-{after_offset}-{last_offset}.keys"))
    }
}

/// Writes the list of runs, all or nothing.
fn write_manifest(directory: &Path, runs: &[Arc<Run>]) -> io::Result<()> {
    let mut list = format!("{MANIFEST_HEAD}\n");
    for run in runs {
        let Coverage { day, after_offset, last_offset, level } = run.coverage;
        list.push_str(&format!("{day} {level} {after_offset} {last_offset}\n"));
    }
    let aside = directory.join("manifest.new");
    std::fs::write(&aside, list)?;
    std::fs::File::open(&aside)?.sync_all()?;
    std::fs::rename(&aside, directory.join(MANIFEST))?;
    std::fs::File::open(directory)?.sync_all()
}

fn parse_manifest(list: &str) -> Option<Vec<Coverage>> {
    let mut lines = list.lines();
    (lines.next()? == MANIFEST_HEAD).then_some(())?;
    lines
        .map(|line| {
            let mut fields = line.split(' ');
            Some(Coverage {
                day: fields.next()?.parse().ok()?,
                level: fields.next()?.parse().ok()?,
                after_offset: fields.next()?.parse().ok()?,
                last_offset: fields.next()?.parse().ok()?,
            })
        })
        .collect()
}

/// The runs that can be used, and the offset up to which they hold every key. Everything else in the directory is removed;
/// a run that is damaged, or ahead of the store, takes all later ones with it.
fn load(directory: &Path, watermark: u64) -> io::Result<(Vec<Arc<Run>>, u64)> {
    let list = std::fs::read_to_string(directory.join(MANIFEST)).unwrap_or_default();
    let mut runs: Vec<Arc<Run>> = Vec::new();
    let mut persisted = 0;
    for coverage in parse_manifest(&list).unwrap_or_default() {
        let Coverage { day, after_offset, last_offset, level } = coverage;
        let path = directory.join(format!("{day}-{level}-{after_offset}-{last_offset}.keys"));
        let follows = runs.last().is_none_or(|run| run.coverage.last_offset == after_offset);
        if !follows || last_offset > watermark {
            break;
        }
        match Run::open(&path, coverage) {
            Ok(run) => runs.push(Arc::new(run)),
            Err(error) => {
                tracing::warn!(%error, "event keys are read from the store again");
                break;
            }
        }
        persisted = last_offset;
    }
    write_manifest(directory, &runs)?;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let known = runs.iter().any(|run| run.path == path);
        if !known && path.file_name().is_some_and(|name| name != MANIFEST) {
            std::fs::remove_file(path)?;
        }
    }
    Ok((runs, persisted))
}

#[cfg(test)]
mod tests;
