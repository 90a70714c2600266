//! A loop for tests that takes one turn when it is told to, with a clock of its own.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_catalog::{Catalog, Erasure, ErasureId, NewSite};
use cairn_log::{Log, LogOptions, Offset, RealDisk};
use cairn_model::event::PAGE_VIEW;
use cairn_model::{Event, Identification, SiteId, VisitorId};
use cairn_store::EventStore;
use cairn_store::event_ids::EventIds;
use tempfile::TempDir;

use super::{ApplyHandle, ApplyLoop, ApplyOptions};
use crate::record;

/// Where the clock stands at first.
pub const NOW_MS: i64 = 1_795_341_600_000;

thread_local! {
    static CLOCK_MS: Cell<i64> = const { Cell::new(NOW_MS) };
}

/// The clock of this thread's machine.
pub fn set_clock(now_ms: i64) {
    CLOCK_MS.set(now_ms);
}

/// The databases and the loop of one process.
pub struct Machine<S> {
    pub apply: ApplyLoop,
    pub handle: ApplyHandle,
    pub log: Log,
    pub store: Arc<S>,
    pub catalog: Arc<Catalog>,
    pub options: ApplyOptions,
    pub directory: TempDir,
}

impl<S: EventStore + 'static> Machine<S> {
    pub fn new(store: Arc<S>) -> Self {
        let options = ApplyOptions { is_retention_on: false, ..ApplyOptions::default() };
        Machine::open(TempDir::new().unwrap(), store, options)
    }

    pub fn open(directory: TempDir, store: Arc<S>, options: ApplyOptions) -> Self {
        let path = |name: &str| directory.path().join(name);
        let log_options = LogOptions {
            segment_size_bytes: 1 << 20,
            batch_size_bytes_max: 512 << 10,
            record_size_bytes_max: 256 << 10,
            ..LogOptions::new(path("log"))
        };
        let (log, _) = Log::open(log_options, Arc::new(RealDisk)).unwrap();
        let catalog = Arc::new(Catalog::open(&path("catalog.sqlite")).unwrap());
        let ids = Arc::new(EventIds::open(&path("ids"), &*store).unwrap());
        let (mut apply, handle) = ApplyLoop::open(
            log.clone(),
            Arc::clone(&store) as Arc<dyn EventStore>,
            Arc::clone(&catalog),
            ids,
            options,
            || CLOCK_MS.get(),
        )
        .unwrap();
        apply.pass_what_is_gone();
        Machine { apply, handle, log, store, catalog, options, directory }
    }

    /// The process ends here, and another one begins.
    pub fn restarted(self) -> Self {
        let Machine { apply, handle, log, store, catalog, options, directory } = self;
        log.close();
        drop((apply, handle, log, catalog));
        Machine::open(directory, store, options)
    }

    pub fn site(&self, domain: &str) -> SiteId {
        let site = NewSite::of(domain);
        self.catalog.add_site(&site, None, NOW_MS).unwrap().id
    }

    /// A page view of visitor 7.
    pub fn append_page(&self, site_id: SiteId, path: &'static str) {
        self.append(&page(site_id, VisitorId(7), "", path));
    }

    pub fn append(&self, event: &Event<'_>) {
        let record = record::encode(event, Vec::new()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.log.appender().append([&record[..]])).unwrap();
    }

    pub fn apply_all(&mut self) {
        while self.apply.resume_offset() + 1 < self.log.durable_end().0 {
            let mut reader = self.log.reader(Offset(self.apply.resume_offset() + 1));
            self.apply.apply(&reader.next_batch(1 << 20).unwrap()).unwrap();
        }
    }

    /// The loop's other duties; a pause after a failure is over.
    pub fn housekeep(&mut self) {
        self.apply.removals.end_pause();
        self.apply.erasures.end_pause();
        self.apply.retaining.end_pause();
        self.apply.housekeep(false);
    }

    /// Its other duties until an erasure is done, as if somebody waited for it.
    pub fn finish(&mut self, id: ErasureId) {
        assert!(!self.is_erased(id));
        for _ in 0..1_000 {
            self.housekeep();
            if self.is_erased(id) {
                return;
            }
        }
        panic!("the erasure does not end: {:?}", self.erasure(id));
    }

    pub fn is_erased(&self, id: ErasureId) -> bool {
        self.wait(self.handle.wait_erased(id, Duration::ZERO))
    }

    pub fn is_removed(&self, site_id: SiteId) -> bool {
        self.wait(self.handle.wait_removed(site_id, Duration::ZERO))
    }

    fn wait(&self, waiting: impl Future<Output = bool>) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(waiting)
    }

    pub fn erasure(&self, id: ErasureId) -> Erasure {
        self.catalog.erasure(id).unwrap().unwrap()
    }

    pub fn log_holds(&self, text: &str) -> bool {
        holds(&self.directory.path().join("log"), text.as_bytes())
    }
}

/// A page view of somebody who may have said who he is; his user key is the length of his user id.
pub fn page(
    site_id: SiteId,
    visitor_id: VisitorId,
    user_id: &'static str,
    path: &'static str,
) -> Event<'static> {
    let mut event = Event::bare(site_id, PAGE_VIEW, CLOCK_MS.get());
    event.visitor_id = visitor_id;
    event.identification = Identification::Identified;
    event.user_key = user_id.len() as u64;
    event.user_id = user_id.into();
    event.path = path.into();
    event
}

/// Whether any file below a directory holds these bytes.
pub fn holds(directory: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds(&path, bytes),
            false => {
                let file = std::fs::read(path).unwrap();
                file.windows(bytes.len()).any(|window| window == bytes)
            }
        }
    })
}
