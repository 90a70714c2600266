//! Erasing in a copy of both databases.
//!
//! Guarantees: it is done by the loop that does it in the running databases, on a log of its own that has no records: rows,
//! people, texts, and the bytes in every file. Doing it again changes nothing; a crash at any moment is followed by the rest
//! when it is done again. What was asked for before the copy was made is in its catalog and only brought to its end: that it is
//! there decides, and no clock, which may have been set back since.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn_catalog::{CATALOG_FILE, Catalog, ErasureId, ErasureState, NewErasure};
use cairn_log::{Log, LogOptions, Offset, RealDisk};
use cairn_model::SiteId;
use cairn_store::EventStore;
use cairn_store::event_ids::EventIds;

use super::ledger::{Entry, Erased, RemovedSite, holders_of, reason_of};
use super::{BackupError, OpenStore, STORE_DIRECTORY};
use crate::apply::{ApplyHandle, ApplyLoop, ApplyOptions};

/// How long one erasure in a copy may take: its store is written anew.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// Pause between two looks whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Erasures that are carried out together; more take further rounds.
const AT_ONCE_MAX: usize = 1_000;
/// Size of the one file of the log without records.
const SEGMENT_SIZE_BYTES: u64 = 1 << 20;

/// What there is to do in a copy.
#[derive(Default)]
struct Work {
    erasures: Vec<ErasureId>,
    sites: Vec<SiteId>,
}

/// Carries out in a copy what the entries say, as far as that is not on record there. Returns how many erasures and removals
/// it took.
pub(super) fn erase_in<'a>(
    directory: &Path,
    entries: impl Iterator<Item = &'a Entry>,
    open_store: &OpenStore,
    stop: &AtomicBool,
) -> Result<usize, BackupError> {
    let catalog = Arc::new(Catalog::open(&directory.join(CATALOG_FILE))?);
    let store = open_store(&directory.join(STORE_DIRECTORY))?;
    let (open, is_known) = on_record(&catalog)?;
    let mut new = Vec::new();
    for entry in entries {
        if !is_known.contains(&entry.id()?) {
            new.push(entry);
        }
    }
    drop(is_known);
    // The first round is what the copy's catalog has open.
    let rounds = new.chunks(AT_ONCE_MAX).map(|round| begin(&catalog, round));
    let rounds = std::iter::once(still_there(&catalog, open)).chain(rounds);
    let mut count = 0;
    for work in rounds {
        let work = work?;
        if work.erasures.is_empty() && work.sites.is_empty() {
            continue;
        }
        count += work.erasures.len() + work.sites.len();
        // Answers may name somebody, and nobody will ask for them again.
        catalog.forget_answers()?;
        carry_out(directory, &catalog, &store, &work, stop)?;
    }
    // Also what was deleted before the copy was made leaves bytes in it.
    while store.erased_since_ms().is_some() {
        if stop.load(Ordering::Acquire) {
            return Err(BackupError::NotErased { why: "it was broken off".to_owned() });
        }
        store.rewrite_erased()?;
    }
    catalog.checkpoint()?;
    drop((catalog, store));
    let tidy = || {
        remove_working_files(directory)?;
        remove_journal(directory)
    };
    tidy().map_err(BackupError::disk("tidies a backup up"))?;
    Ok(count)
}

/// What the copy's catalog has on record: the erasures that are not done, and what all of them are called.
fn on_record(catalog: &Catalog) -> Result<(Work, HashSet<String>), BackupError> {
    let known = catalog.erasures_after(ErasureId(0))?;
    let open = known.iter().filter(|erasure| erasure.state != ErasureState::Done);
    let work = Work { erasures: open.map(|erasure| erasure.id).collect(), sites: Vec::new() };
    let called = known.iter().map(|erasure| Entry::of_erasure(erasure).id());
    Ok((work, called.collect::<Result<_, BackupError>>()?))
}

/// Puts on record in the copy what is not, and tells what is to be done.
fn begin(catalog: &Catalog, entries: &[&Entry]) -> Result<Work, BackupError> {
    let mut work = Work::default();
    for entry in entries {
        let directory = catalog.directory().current();
        // A number may be drawn again: what was erased is of the site that was there then.
        let has_site = |removed: &RemovedSite| {
            let site = directory.by_id(removed.id);
            site.is_some_and(|there| there.site.created_at_ms == removed.created_at_ms)
        };
        match &entry.what {
            Erased::Site(removed) if has_site(removed) => {
                catalog.delete_site(removed.id, entry.asked_at_ms)?;
                work.sites.push(removed.id);
            }
            Erased::Subject { subject, holders, reason }
                if directory.by_id(subject.site_id).is_some() =>
            {
                let new = NewErasure {
                    subject: subject.clone(),
                    holders: holders_of(holders),
                    reason: reason_of(reason),
                    request_id: None,
                    names: Vec::new(),
                };
                work.erasures.push(catalog.begin_erasure(&new, entry.asked_at_ms)?);
            }
            _ => {}
        }
    }
    still_there(catalog, work)
}

/// With a site that is gone, its erasures are.
fn still_there(catalog: &Catalog, mut work: Work) -> Result<Work, BackupError> {
    let erasures = std::mem::take(&mut work.erasures);
    for id in erasures {
        if catalog.erasure(id)?.is_some() {
            work.erasures.push(id);
        }
    }
    Ok(work)
}

/// Runs the apply loop on the copy until all of it is done.
fn carry_out(
    directory: &Path,
    catalog: &Arc<Catalog>,
    store: &Arc<dyn EventStore>,
    work: &Work,
    stop: &AtomicBool,
) -> Result<(), BackupError> {
    remove_working_files(directory).map_err(BackupError::disk("tidies a backup up"))?;
    let event_ids = Arc::new(EventIds::open(&directory.join(EVENT_IDS), &**store)?);
    let batch_size_bytes_max = SEGMENT_SIZE_BYTES as usize / 2;
    let options = LogOptions {
        segment_size_bytes: SEGMENT_SIZE_BYTES,
        batch_size_bytes_max,
        record_size_bytes_max: batch_size_bytes_max / 2,
        consumed_before: Offset(store.watermark()?.offset + 1),
        ..LogOptions::new(directory.join(LOG))
    };
    let in_copy = |error: &dyn std::fmt::Display| BackupError::NotErased { why: error.to_string() };
    let (log, _) = Log::open(options, Arc::new(RealDisk)).map_err(|error| in_copy(&error))?;
    let clock = || jiff::Timestamp::now().as_millisecond();
    let waiting = Arc::clone(catalog);
    let (store, catalog) = (Arc::clone(store), Arc::clone(catalog));
    // What is too old goes with the backup, which is kept for a shorter time.
    let options = ApplyOptions { is_retention_on: false, ..ApplyOptions::default() };
    let (apply, handle) = ApplyLoop::open(log.clone(), store, catalog, event_ids, options, clock)
        .map_err(|error| in_copy(&error))?;
    let thread = std::thread::Builder::new().name("erase-in-copy".to_owned());
    let thread = thread.spawn(move || apply.run()).map_err(|error| in_copy(&error))?;
    let done = wait(&handle, &waiting, work, stop);
    log.close();
    handle.stop();
    match thread.join() {
        Ok(Ok(())) if done => Ok(()),
        Ok(Ok(())) => Err(in_copy(&"it was broken off")),
        Ok(Err(error)) => Err(in_copy(&error)),
        Err(_) => Err(in_copy(&"the loop panicked")),
    }
}

/// Waits until the catalog says that all is done: what an earlier try began is done for good at once, and the loop tells
/// nobody of it.
fn wait(handle: &ApplyHandle, catalog: &Catalog, work: &Work, stop: &AtomicBool) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return false };
    let deadline = Instant::now() + PATIENCE;
    let is_stopping = || stop.load(Ordering::Acquire) || handle.status().stopped;
    let may_wait = || Instant::now() < deadline && !is_stopping();
    let is_erased = |id: ErasureId| {
        let state = catalog.erasure(id).map(|erasure| erasure.map(|erasure| erasure.state));
        matches!(state, Ok(None | Some(ErasureState::Done)))
    };
    for site_id in &work.sites {
        while catalog.directory().current().is_removed(*site_id) {
            if !may_wait() {
                return false;
            }
            runtime.block_on(handle.wait_removed(*site_id, LOOK_EVERY));
        }
    }
    for id in &work.erasures {
        while !is_erased(*id) {
            if !may_wait() {
                return false;
            }
            runtime.block_on(handle.wait_erased(*id, LOOK_EVERY));
        }
    }
    true
}

/// Removes the catalog's journal, which is empty: it is closed.
pub(super) fn remove_journal(directory: &Path) -> std::io::Result<()> {
    let journal = directory.join(format!("{CATALOG_FILE}-wal"));
    if fs::metadata(&journal).is_ok_and(|file| file.len() > 0) {
        return Err(std::io::Error::other("the catalog's journal is not empty"));
    }
    for path in [journal, directory.join(format!("{CATALOG_FILE}-shm"))] {
        match fs::remove_file(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

const EVENT_IDS: &str = "event-ids";
const LOG: &str = "log";

/// What the loop needed and a backup has not.
fn remove_working_files(directory: &Path) -> std::io::Result<()> {
    for name in [EVENT_IDS, LOG] {
        match fs::remove_dir_all(directory.join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}
