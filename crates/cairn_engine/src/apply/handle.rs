//! What the rest of the program may know of the apply loop, and ask of it.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use cairn_catalog::ErasureId;
use cairn_model::{SiteId, Subject};
use cairn_store::{Row, Watermark};
use foldhash::{HashMap, HashSet};
use tokio::sync::{broadcast, watch};

use super::batch::Applied;
use super::snapshot::{Snapshot, SnapshotError, Snapshots};

/// A row as it was stored, for the live view.
pub type LiveEvent = Row<'static>;

/// Live events waiting for a slow reader.
const LIVE_EVENTS_MAX: usize = 1024;
/// Live events of one site in one commit: nobody reads faster.
const LIVE_EVENTS_PER_COMMIT_MAX: u32 = 256;
/// Late repetitions whose offsets are remembered for imports that are being answered.
const DUPLICATES_REMEMBERED_MAX: usize = 1_000_000;
/// Pause between two counts of the people there now.
const VISITORS_INTERVAL: Duration = Duration::from_secs(1);

/// What became of records of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AppliedCounts {
    /// Stored.
    pub accepted: u64,
    /// Found to be stored already.
    pub duplicate: u64,
}

/// Where the loop stands.
#[derive(Clone, Copy, Debug)]
pub struct ApplyStatus {
    /// Committed in the store.
    pub watermark: Watermark,
    /// A database fails, and the loop is waiting for it.
    pub failing: bool,
    /// The loop has ended.
    pub stopped: bool,
    /// Events that came later than the session timeout, since the start.
    pub late: u64,
    /// Repetitions found late, since the start.
    pub duplicates: u64,
    /// Records that could not be read, since the start: a bug.
    pub bugs: u64,
}

pub(super) struct Shared {
    pub stopping: AtomicBool,
    pub failing: AtomicBool,
    pub bugs: AtomicU64,
    stopped: AtomicBool,
    late: AtomicU64,
    duplicates_total: AtomicU64,
    watermark: watch::Sender<Watermark>,
    /// Removed sites of which store and log hold nothing.
    removed: watch::Sender<HashSet<SiteId>>,
    /// Erasures that were done lately.
    erased: watch::Sender<BTreeSet<ErasureId>>,
    /// Erasures that somebody waits for: the store's file is rewritten without delay until they are done.
    awaited: Mutex<BTreeSet<ErasureId>>,
    /// Erasures whose place in the backups is settled, which the loop has not heard yet.
    settled_in_backups: Mutex<Vec<ErasureId>>,
    /// Told that there is somebody to be erased in backups.
    backups_wanted: RwLock<Option<Wake>>,
    forgetting: RwLock<Vec<Forget>>,
    duplicates: Mutex<VecDeque<u64>>,
    live: broadcast::Sender<Arc<LiveEvent>>,
    visitors_now: RwLock<HashMap<SiteId, u32>>,
    visitors_counted: Mutex<Option<Instant>>,
    stop_signal: (Mutex<bool>, Condvar),
    pub snapshots: Snapshots,
}

/// Takes somebody out of what a part of the program keeps in memory.
type Forget = Box<dyn Fn(&Subject) + Send + Sync>;

/// Tells whoever looks after the backups.
type Wake = Box<dyn Fn() + Send + Sync>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new(watermark: Watermark) -> Self {
        Shared {
            stopping: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            bugs: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            late: AtomicU64::new(0),
            duplicates_total: AtomicU64::new(0),
            watermark: watch::Sender::new(watermark),
            removed: watch::Sender::new(HashSet::default()),
            erased: watch::Sender::new(BTreeSet::new()),
            awaited: Mutex::default(),
            settled_in_backups: Mutex::default(),
            backups_wanted: RwLock::default(),
            forgetting: RwLock::default(),
            duplicates: Mutex::new(VecDeque::new()),
            live: broadcast::Sender::new(LIVE_EVENTS_MAX),
            visitors_now: RwLock::new(HashMap::default()),
            visitors_counted: Mutex::new(None),
            stop_signal: (Mutex::new(false), Condvar::new()),
            snapshots: Snapshots::default(),
        }
    }

    /// Waits for at most `pause`, less when the loop shall stop.
    pub fn wait_stop(&self, pause: Duration) {
        let (stop, signal) = &self.stop_signal;
        let guard = lock(stop);
        if !*guard {
            drop(signal.wait_timeout_while(guard, pause, |stop| !*stop));
        }
    }

    /// Waits between two tries; the order to stop ends a wait that had begun before.
    pub fn wait_retry(&self, pause: Duration) {
        let (stop, signal) = &self.stop_signal;
        let guard = lock(stop);
        match *guard {
            true => {
                drop(guard);
                std::thread::park_timeout(pause);
            }
            false => drop(signal.wait_timeout_while(guard, pause, |stop| !*stop)),
        }
    }

    /// Tells everybody about a commit.
    pub fn publish(&self, applied: &Applied<'_>, watermark: Watermark) {
        self.late.fetch_add(applied.late, Ordering::Relaxed);
        self.duplicates_total.fetch_add(applied.duplicates.len() as u64, Ordering::Relaxed);
        if !applied.duplicates.is_empty() {
            let mut duplicates = lock(&self.duplicates);
            duplicates.extend(&applied.duplicates);
            let surplus = duplicates.len().saturating_sub(DUPLICATES_REMEMBERED_MAX);
            duplicates.drain(..surplus);
        }
        if self.live.receiver_count() > 0 {
            let mut sent: HashMap<SiteId, u32> = HashMap::default();
            for row in &applied.batch.rows {
                // A busy site must not push the others out.
                let sent = sent.entry(row.event.site_id).or_default();
                *sent += 1;
                if *sent <= LIVE_EVENTS_PER_COMMIT_MAX {
                    // Nobody listening any more is no error.
                    let _ = self.live.send(Arc::new(owned(row)));
                }
            }
        }
        self.watermark.send_replace(watermark);
    }

    pub fn visitors_due(&self) -> bool {
        let mut counted = lock(&self.visitors_counted);
        let due = counted.is_none_or(|at| at.elapsed() >= VISITORS_INTERVAL);
        if due {
            *counted = Some(Instant::now());
        }
        due
    }

    pub fn set_visitors_now(&self, visitors: Option<HashMap<SiteId, u32>>) {
        if let Some(visitors) = visitors {
            *self.visitors_now.write().unwrap_or_else(PoisonError::into_inner) = visitors;
        }
    }

    pub fn set_removed(&self, sites: impl Iterator<Item = SiteId>) {
        let sites: HashSet<SiteId> = sites.collect();
        self.removed.send_if_modified(|known| {
            let differs = *known != sites;
            *known = sites;
            differs
        });
    }

    pub fn set_erased(&self, ids: &BTreeSet<ErasureId>) {
        self.erased.send_if_modified(|known| {
            let differs = known != ids;
            if differs {
                known.clone_from(ids);
            }
            differs
        });
    }

    /// Forgets who need not be waited for any more; true while somebody waits for another one.
    pub fn is_any_awaited(&self, is_to_come: impl Fn(ErasureId) -> bool) -> bool {
        let mut awaited = lock(&self.awaited);
        awaited.retain(|id| is_to_come(*id));
        !awaited.is_empty()
    }

    /// What was told with [`ApplyHandle::settle_in_backups`] since the last call.
    pub fn take_settled(&self) -> Vec<ErasureId> {
        std::mem::take(&mut *lock(&self.settled_in_backups))
    }

    /// There is somebody to be erased in backups.
    pub fn want_backups(&self) {
        let wanted = self.backups_wanted.read().unwrap_or_else(PoisonError::into_inner);
        wanted.iter().for_each(|wake| wake());
    }

    /// Takes a subject out of every memory that was told of.
    pub fn forget(&self, subject: &Subject) {
        let forgetting = self.forgetting.read().unwrap_or_else(PoisonError::into_inner);
        forgetting.iter().for_each(|forget| forget(subject));
    }

    pub fn set_stopped(&self) {
        self.stopped.store(true, Ordering::Release);
        self.snapshots.end();
    }
}

fn owned(row: &Row<'_>) -> LiveEvent {
    Row {
        offset: row.offset,
        session_id: row.session_id,
        attributes: Arc::clone(&row.attributes),
        event: row.event.clone().into_owned(),
    }
}

/// A handle on the running loop. Cheap to clone.
#[derive(Clone)]
pub struct ApplyHandle {
    shared: Arc<Shared>,
}

impl ApplyHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        ApplyHandle { shared }
    }

    /// What the store has.
    pub fn watermark(&self) -> Watermark {
        *self.shared.watermark.borrow()
    }

    /// Waits until the record at `offset` is in the store; false when `limit` passed first.
    pub async fn wait_applied(&self, offset: u64, limit: Duration) -> bool {
        let mut watermark = self.shared.watermark.subscribe();
        let applied = watermark.wait_for(|watermark| watermark.offset >= offset);
        matches!(tokio::time::timeout(limit, applied).await, Ok(Ok(_)))
    }

    /// Waits until store and log hold nothing of a removed site; false when `limit` passed first.
    pub async fn wait_removed(&self, site_id: SiteId, limit: Duration) -> bool {
        let mut removed = self.shared.removed.subscribe();
        let gone = removed.wait_for(|sites| sites.contains(&site_id));
        matches!(tokio::time::timeout(limit, gone).await, Ok(Ok(_)))
    }

    /// Waits until an erasure, which is on record, is done, also in the backups, without the delay that the rewriting of the
    /// store's file may have otherwise; false when `limit` passed first, and the delay is left out still. For one that an earlier
    /// process completed, ask the catalog.
    pub async fn wait_erased(&self, id: ErasureId, limit: Duration) -> bool {
        lock(&self.shared.awaited).insert(id);
        let mut erased = self.shared.erased.subscribe();
        let done = erased.wait_for(|ids| ids.contains(&id));
        matches!(tokio::time::timeout(limit, done).await, Ok(Ok(_)))
    }

    /// No backup holds what these erased, or their records say why one does.
    pub fn settle_in_backups(&self, ids: &[ErasureId]) {
        lock(&self.shared.settled_in_backups).extend(ids);
    }

    /// Has `wake` tell whoever looks after the backups that there is somebody to be erased in them. It must not wait.
    pub fn on_backups_wanted(&self, wake: impl Fn() + Send + Sync + 'static) {
        let mut wanted = self.shared.backups_wanted.write().unwrap_or_else(PoisonError::into_inner);
        *wanted = Some(Box::new(wake));
    }

    /// Has `forget` take erased subjects out of what is kept in memory elsewhere. It must not wait.
    pub fn on_erasure(&self, forget: impl Fn(&Subject) + Send + Sync + 'static) {
        let mut forgetting = self.shared.forgetting.write().unwrap_or_else(PoisonError::into_inner);
        forgetting.push(Box::new(forget));
    }

    /// What became of the records of these ranges, all of them applied lately.
    pub fn counts(&self, ranges: &[Range<u64>]) -> AppliedCounts {
        let duplicates = lock(&self.shared.duplicates);
        let mut counts = AppliedCounts::default();
        for range in ranges {
            let from = duplicates.partition_point(|offset| *offset < range.start);
            let to = duplicates.partition_point(|offset| *offset < range.end);
            counts.duplicate += (to - from) as u64;
            counts.accepted += (range.end - range.start) - (to - from) as u64;
        }
        counts
    }

    /// Rows as they are stored, from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<LiveEvent>> {
        self.shared.live.subscribe()
    }

    /// People (no bots) active on the site within the last five minutes.
    pub fn visitors_now(&self, site_id: SiteId) -> u32 {
        let visitors = self.shared.visitors_now.read().unwrap_or_else(PoisonError::into_inner);
        visitors.get(&site_id).copied().unwrap_or(0)
    }

    /// Where the loop stands.
    pub fn status(&self) -> ApplyStatus {
        ApplyStatus {
            watermark: self.watermark(),
            failing: self.shared.failing.load(Ordering::Acquire),
            stopped: self.shared.stopped.load(Ordering::Acquire),
            late: self.shared.late.load(Ordering::Relaxed),
            duplicates: self.shared.duplicates_total.load(Ordering::Relaxed),
            bugs: self.shared.bugs.load(Ordering::Relaxed),
        }
    }

    /// One moment of both databases that has all records before `end`; the catalog's copy is put into a directory. Blocks,
    /// at most for `patience`.
    pub fn snapshot(
        &self,
        catalog_directory: &std::path::Path,
        end: u64,
        patience: Duration,
    ) -> Result<Snapshot, SnapshotError> {
        self.shared.snapshots.ask(catalog_directory, end, patience)
    }

    /// Asks the loop to apply what is durable, and to end.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        let (stop, signal) = &self.shared.stop_signal;
        *lock(stop) = true;
        signal.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::Event;
    use cairn_model::event::PAGE_VIEW;
    use cairn_store::Batch;

    use super::*;

    const BUSY: SiteId = SiteId(1);
    const QUIET: SiteId = SiteId(2);
    const NOW_MS: i64 = 1_795_341_600_000;

    fn commit(shared: &Shared, sites: impl Iterator<Item = SiteId>) {
        let rows = sites.zip(1..).map(|(site_id, offset)| Row {
            offset,
            session_id: 0,
            attributes: Arc::default(),
            event: Event::bare(site_id, PAGE_VIEW, NOW_MS),
        });
        let applied = Applied {
            batch: Batch { rows: rows.collect(), ..Batch::default() },
            people: Vec::new(),
            receipts: Vec::new(),
            refusals: Vec::new(),
            people_watermark: 0,
            event_keys: Vec::new(),
            duplicates: Vec::new(),
            late: 0,
            size_bytes: 0,
            undecodable: 0,
            of_removed: HashMap::default(),
            of_erased: HashMap::default(),
        };
        shared.publish(&applied, Watermark::default());
    }

    fn received(live: &mut broadcast::Receiver<Arc<LiveEvent>>) -> Vec<(SiteId, u64)> {
        let next = || live.try_recv().ok().map(|event| (event.event.site_id, event.offset));
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_busy_site_leaves_room_for_the_others_in_the_live_view() {
        let shared = Arc::new(Shared::new(Watermark::default()));
        let mut live = ApplyHandle::new(Arc::clone(&shared)).subscribe();
        let busy = std::iter::repeat_n(BUSY, 3 * LIVE_EVENTS_MAX);
        commit(&shared, busy.chain(std::iter::repeat_n(QUIET, 5)));
        let shown = received(&mut live);
        let of = |site: SiteId| shown.iter().filter(|(shown, _)| *shown == site).count();
        assert_eq!((of(BUSY), of(QUIET)), (LIVE_EVENTS_PER_COMMIT_MAX as usize, 5));
        let first = shown.iter().map(|(_, offset)| *offset).take(of(BUSY));
        assert!(first.eq(1..=u64::from(LIVE_EVENTS_PER_COMMIT_MAX)), "the first ones, in order");
        commit(&shared, std::iter::once(BUSY));
        assert_eq!(received(&mut live), [(BUSY, 1)], "the next commit starts anew");
    }
}
