//! The apply loop: one thread that turns the log into rows.
//!
//! Guarantees: records are taken strictly in order; each becomes a row, or is counted as a duplicate, exactly once: rows,
//! visits, outcome counts and the watermark go into the store in one commit, and after a crash the loop goes on
//! behind the store's watermark. Direct identifiers go to the people table, choices to the chains of receipts; both share a watermark of their own.
//! Events of removed sites and erased visitors are left out, and the rest of them is removed.
//! An unavailable store is waited for (one warning); the log grows meanwhile, and hits are refused once it is full.
//! It does not know HTTP, consent or where an event came from.

mod batch;
mod erasure;
mod handle;
#[cfg(test)]
pub(crate) mod machine;
mod remains;
mod removal;
mod retention;
mod rewriting;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cairn_catalog::Catalog;
use cairn_log::{Log, Offset};
use cairn_store::event_ids::EventIds;
use cairn_store::{EventStore, Row, Watermark};
use foldhash::HashMap;

use crate::record;
use crate::session::{SessionOptions, Sessions};

pub use handle::{AppliedCounts, ApplyHandle, ApplyStatus, LiveEvent};
pub use snapshot::{Snapshot, SnapshotError};

use batch::Applied;
use erasure::Erasures;
use handle::Shared;
use remains::Databases;
use removal::Removals;
use retention::Retaining;
use rewriting::Rewriting;

/// How the loop runs.
#[derive(Clone, Copy, Debug)]
pub struct ApplyOptions {
    /// Session rules.
    pub sessions: SessionOptions,
    /// Pause between two commits under load: longer makes commits cheaper, shorter makes rows visible sooner.
    pub commit_interval: Duration,
    /// Log bytes in one commit.
    pub batch_size_bytes_max: usize,
    /// Time after which rows written since are moved from the write-ahead file into the database.
    pub checkpoint_interval: Duration,
    /// Log bytes after which the same happens earlier.
    pub checkpoint_size_bytes: u64,
    /// Longest time for which the store's file may hold bytes of rows that were deleted, before it is rewritten.
    pub rewrite_wait_max: Duration,
    /// What was kept long enough is removed.
    pub is_retention_on: bool,
    /// Somebody looks after backups, so that an erasure is done only when they are clean or its record says why not.
    pub has_backups: bool,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        ApplyOptions {
            sessions: SessionOptions::default(),
            commit_interval: Duration::from_millis(750),
            batch_size_bytes_max: 4 * 1024 * 1024,
            checkpoint_interval: Duration::from_secs(60),
            checkpoint_size_bytes: 40 * 1024 * 1024,
            rewrite_wait_max: Duration::from_secs(60 * 60),
            is_retention_on: true,
            has_backups: false,
        }
    }
}

/// Longest wait before a failing store is tried again.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Tries, and the pause between them, that a failing store gets when the loop shall stop.
const STOP_TRIES: u32 = 20;
const STOP_PAUSE: Duration = Duration::from_millis(50);
/// How long the loop waits for records before it looks at its other duties.
const IDLE_WAIT: Duration = Duration::from_millis(500);
/// The same while there is something to be done.
const BUSY_WAIT: Duration = Duration::from_millis(5);
/// People seen within this time are "now".
const NOW_WINDOW_MS: i64 = 5 * 60 * 1000;

/// An error that ends the loop.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The store could not be read at the start.
    #[error(transparent)]
    Store(#[from] cairn_store::StoreError),
    /// The people table could not be read at the start.
    #[error(transparent)]
    Catalog(#[from] cairn_catalog::CatalogError),
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] cairn_log::LogError),
    /// The loop was told to stop while a database failed; what is not applied waits in the log.
    #[error("a database still failed while it {doing}; what is not applied waits in the log")]
    StoppedWhileFailing {
        /// What was tried.
        doing: &'static str,
    },
}

/// The loop's parts, before it runs.
pub struct ApplyLoop {
    log: Log,
    store: Arc<dyn EventStore>,
    catalog: Arc<Catalog>,
    event_ids: Arc<EventIds>,
    sessions: Sessions,
    removals: Removals,
    erasures: Erasures,
    rewriting: Rewriting,
    retaining: Retaining,
    shared: Arc<Shared>,
    options: ApplyOptions,
    clock: fn() -> i64,
    /// Committed in the store.
    watermark: Watermark,
    /// Committed in the people table.
    people_watermark: u64,
    last_checkpoint: Instant,
    bytes_since_checkpoint: u64,
    /// Memory of the batch before, while there is one after the other.
    spare_rows: Vec<Row<'static>>,
}

impl ApplyLoop {
    /// Reads where the databases stand. `clock` gives Unix milliseconds.
    pub fn open(
        log: Log,
        store: Arc<dyn EventStore>,
        catalog: Arc<Catalog>,
        event_ids: Arc<EventIds>,
        options: ApplyOptions,
        clock: fn() -> i64,
    ) -> Result<(ApplyLoop, ApplyHandle), ApplyError> {
        let watermark = store.watermark()?;
        let people_watermark = catalog.people_watermark()?;
        let window_ms = options.sessions.reach_ms() + cairn_model::limits::FUTURE_MS_MAX;
        let active_since_ms = watermark.received_at_ms - window_ms;
        let visits_max = options.sessions.in_memory_max;
        let active = store.sessions_active_since(active_since_ms, visits_max)?;
        // The last event of every other visit arrived before those of all these, or before the window; it was active
        // at most the permitted lead of a timestamp later.
        let earliest_ms = active.iter().map(|session| session.last_received_ms).min();
        let others_received_ms = match earliest_ms {
            Some(earliest_ms) if active.len() == visits_max => earliest_ms,
            _ => active_since_ms,
        };
        let others_until_ms = match watermark.offset {
            0 => i64::MIN,
            _ => others_received_ms + cairn_model::limits::FUTURE_MS_MAX,
        };
        let sessions = Sessions::new(options.sessions, active, others_until_ms);
        let removals = Removals::at_start(&catalog);
        let erasures = Erasures::at_start(&catalog, options.has_backups)?;
        let rewriting = Rewriting::new(options.rewrite_wait_max);
        let retaining = Retaining::new(options.is_retention_on);
        let shared = Arc::new(Shared::new(watermark));
        let handle = ApplyHandle::new(Arc::clone(&shared));
        let mut apply = ApplyLoop {
            log,
            store,
            catalog,
            event_ids,
            sessions,
            removals,
            erasures,
            rewriting,
            retaining,
            shared,
            options,
            clock,
            watermark,
            people_watermark,
            last_checkpoint: Instant::now(),
            bytes_since_checkpoint: 0,
            spare_rows: Vec::new(),
        };
        apply.note_refusals()?;
        Ok((apply, handle))
    }

    /// What senders said that waits in the log holds before anything is collected.
    fn note_refusals(&mut self) -> Result<(), ApplyError> {
        self.pass_what_is_gone();
        let mut reader = self.log.reader(Offset(self.resume_offset() + 1));
        loop {
            let records = reader.next_batch(self.options.batch_size_bytes_max)?;
            if records.is_empty() {
                return Ok(());
            }
            let refusals = records.iter().filter(|(_, bytes)| record::is_refusal(bytes));
            for refusal in refusals.filter_map(|(_, bytes)| record::decode_refusal(bytes).ok()) {
                self.catalog.note_refusal(&refusal);
            }
            reader.recycle(records);
        }
    }

    /// Runs until [`ApplyHandle::stop`], after which it still applies what is durable in the log, unless a database fails.
    pub fn run(mut self) -> Result<(), ApplyError> {
        let _ended = Ended(Arc::clone(&self.shared));
        self.pass_what_is_gone();
        let mut reader = self.log.reader(Offset(self.resume_offset() + 1));
        let mut last_commit = Instant::now() - self.options.commit_interval;
        let mut behind = false;
        loop {
            let stopping = self.shared.stopping.load(Ordering::Acquire);
            let more = self.log.wait_durable_after(Offset(self.resume_offset()), self.idle_wait());
            if more {
                // Under load commits are spaced: each costs a sync and a search for the visits it replaces.
                let pause = self.options.commit_interval.saturating_sub(last_commit.elapsed());
                if !stopping && !behind && !pause.is_zero() {
                    self.shared.wait_stop(pause);
                }
                last_commit = Instant::now();
                let records = reader.next_batch(self.options.batch_size_bytes_max)?;
                // A full batch: more is waiting, and there is nothing to gain by letting it grow.
                let full_bytes = self.options.batch_size_bytes_max as u64 / 8 * 7;
                behind = self.apply(&records)? >= full_bytes;
                reader.recycle(records);
            } else if stopping {
                self.checkpoint();
                return Ok(());
            } else {
                reader.release();
                self.spare_rows = Vec::new();
            }
            self.housekeep(more);
        }
    }

    /// People and receipts have no watermark for records without them: what the log has let go of was not for them.
    fn pass_what_is_gone(&mut self) {
        let gone = self.log.first().0.min(self.watermark.offset + 1);
        self.people_watermark = self.people_watermark.max(gone - 1);
    }

    /// Everything up to here is in both databases.
    fn resume_offset(&self) -> u64 {
        self.watermark.offset.min(self.people_watermark)
    }

    /// Applies one batch of the log. Returns its bytes when both databases have it.
    fn apply(&mut self, records: &cairn_log::Batch) -> Result<u64, ApplyError> {
        let mut gave_up = None;
        let directory = self.catalog.directory().current();
        let rows = emptied(std::mem::take(&mut self.spare_rows));
        let applied = Applied::decide(
            records,
            rows,
            self.watermark,
            &directory,
            &mut self.sessions,
            &self.event_ids,
            |probes, reach_ms| {
                let near = || self.store.sessions_near(probes, reach_ms);
                retry("looks visits up", &self.shared, near).unwrap_or_else(|error| {
                    gave_up = Some(error);
                    Vec::new()
                })
            },
        );
        if let Some(error) = gave_up {
            return Err(error);
        }
        self.shared.bugs.fetch_add(applied.undecodable, Ordering::Relaxed);
        for (site_id, offset) in &applied.of_removed {
            self.removals.left_out(*site_id, *offset);
        }
        for (site_id, offset) in &applied.of_erased {
            self.erasures.left_out(*site_id, *offset);
        }
        if !applied.refusals.is_empty() {
            let write = || self.catalog.apply_refusals(&applied.refusals);
            retry("writes refusals", &self.shared, write)?;
        }
        if !applied.people.is_empty() || !applied.receipts.is_empty() {
            retry("writes people and receipts", &self.shared, || {
                let (people, receipts) = (&applied.people, &applied.receipts);
                self.catalog.apply_log(people, receipts, applied.people_watermark)
            })?;
        }
        // Without changes there is nothing to commit: after a crash the same records say the same again.
        self.people_watermark = self.people_watermark.max(applied.people_watermark);
        if applied.batch.watermark.offset > self.watermark.offset {
            retry("commits a batch", &self.shared, || self.store.commit(&applied.batch))?;
            self.watermark = applied.batch.watermark;
            self.event_ids.insert_committed(&applied.event_keys);
            self.bytes_since_checkpoint += applied.size_bytes;
            self.shared.publish(&applied, self.watermark);
        }
        self.spare_rows = emptied(applied.batch.rows);
        self.sessions.evict(self.watermark.received_at_ms);
        self.log.trim(Offset(self.resume_offset() + 1));
        Ok(applied.size_bytes)
    }

    fn housekeep(&mut self, busy: bool) {
        self.shared.set_visitors_now(self.visitors_now());
        let applied = self.resume_offset();
        if self.shared.snapshots.take(applied, self.watermark, &*self.store, &self.catalog) {
            self.last_checkpoint = Instant::now();
            self.bytes_since_checkpoint = 0;
        }
        // What is being copied stays as it is.
        if self.shared.snapshots.is_held() {
            return;
        }
        let databases = Databases {
            log: &self.log,
            store: &*self.store,
            catalog: &self.catalog,
            shared: &self.shared,
            applied: self.resume_offset(),
            now_ms: (self.clock)(),
        };
        // A deletion would make the rewriting begin anew. It waits for one at most: between two of them all have their turn.
        let may_delete = !self.rewriting.is_running();
        self.removals.complete(&databases, &mut self.sessions, may_delete);
        self.erasures.complete(&databases, &mut self.sessions, may_delete);
        if may_delete {
            self.retaining.step(&databases);
        }
        // Who waits for an erasure waits for those that are deleted next as well: one rewriting is for all of them.
        let is_forced = self.erasures.is_one_awaited(&databases) && !self.erasures.has_more();
        if let Some(reason) = self.rewriting.step(&databases, is_forced) {
            self.erasures.note_unwritten(&databases, &reason);
        }
        // Whoever deletes next makes it hold bytes again, but not of these.
        self.erasures.note_file(databases.store);
        let due = self.last_checkpoint.elapsed() >= self.options.checkpoint_interval
            || self.bytes_since_checkpoint >= self.options.checkpoint_size_bytes;
        // Waiting for a quiet moment costs nothing; waiting for ever would.
        if self.bytes_since_checkpoint > 0
            && (due || (!busy && self.last_checkpoint.elapsed() >= Duration::from_secs(5)))
        {
            self.checkpoint();
        }
    }

    /// Nobody waits for the rest of a rewriting, or of the erasures, longer than it takes.
    fn idle_wait(&self) -> Duration {
        let is_busy = self.rewriting.is_running() || self.retaining.is_running();
        match is_busy || self.erasures.is_one_urgent() || self.erasures.has_more() {
            true => BUSY_WAIT,
            false => IDLE_WAIT,
        }
    }

    fn visitors_now(&self) -> Option<HashMap<cairn_model::SiteId, u32>> {
        self.shared
            .visitors_due()
            .then(|| self.sessions.visitors_since((self.clock)() - NOW_WINDOW_MS))
    }

    fn checkpoint(&mut self) {
        let begun = Instant::now();
        if let Err(error) = self.store.checkpoint() {
            tracing::warn!(%error, "the checkpoint failed; the write-ahead file keeps growing");
        }
        self.last_checkpoint = Instant::now();
        let (bytes, took_ms) = (self.bytes_since_checkpoint, begun.elapsed().as_millis());
        tracing::debug!(bytes, took_ms, "a checkpoint");
        self.bytes_since_checkpoint = 0;
    }
}

/// The same memory, for rows that borrow from something else.
fn emptied<'a>(rows: Vec<Row<'_>>) -> Vec<Row<'a>> {
    rows.into_iter().map_while(|_| None).collect()
}

/// Says that the loop has ended, however it ended.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.set_stopped();
    }
}

/// Repeats `action` until it succeeds: the log keeps what is not applied. Warns once, and says when it is well again.
/// Gives up only when the loop shall stop: a disk that stays full must not keep the server from ending.
fn retry<T, E: std::error::Error>(
    doing: &'static str,
    shared: &Shared,
    mut action: impl FnMut() -> Result<T, E>,
) -> Result<T, ApplyError> {
    let mut tries_while_stopping = 0;
    let mut pause = Duration::from_millis(50);
    loop {
        match action() {
            Ok(value) => {
                if shared.failing.swap(false, Ordering::AcqRel) {
                    tracing::info!(doing, "the database works again");
                }
                return Ok(value);
            }
            Err(error) => {
                if !shared.failing.swap(true, Ordering::AcqRel) {
                    tracing::warn!(doing, %error, "the database failed; trying again until it works");
                }
                if shared.stopping.load(Ordering::Acquire) {
                    tries_while_stopping += 1;
                    pause = STOP_PAUSE;
                }
                if tries_while_stopping == STOP_TRIES {
                    return Err(ApplyError::StoppedWhileFailing { doing });
                }
                shared.wait_retry(pause);
                pause = (pause * 2).min(RETRY_PAUSE_MAX);
            }
        }
    }
}
