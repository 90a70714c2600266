//! Completing the removal of sites: rows, visits and texts in the store, records in the log.
//!
//! Guarantees: it runs on the thread that writes the rows, which leaves out events of removed sites from the same moment
//! on, so no row can come behind the removal. What fails is tried again until it is done, also after a restart: the
//! catalog's record of a removal goes only when store and log hold nothing of the site and no hit of it can be under way.
//! It does not know what else a site was.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use cairn_catalog::Catalog;
use cairn_log::{Log, Offset};
use cairn_model::SiteId;
use cairn_store::EventStore;

use super::handle::Shared;
use crate::session::Sessions;

/// A hit that found its site before the removal is in the log by then: the slowest is an import at the lowest rate that
/// is accepted, which takes less than half of it.
const UNDER_WAY_MAX: Duration = Duration::from_secs(60 * 60);
/// Pause before a database that failed is asked again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// One removed site.
struct Removal {
    /// Since when this process knows of it. `None`: since its start, so that no hit is under way.
    known_since: Option<Instant>,
    /// The store holds nothing of it.
    is_out_of_store: bool,
    /// The log may hold something of it before this record; `None`: it does not.
    in_log_before: Option<u64>,
}

impl Removal {
    fn is_done(&self) -> bool {
        self.is_out_of_store && self.in_log_before.is_none()
    }

    fn is_final(&self) -> bool {
        let is_over = |since: Instant| since.elapsed() >= UNDER_WAY_MAX;
        self.is_done() && self.known_since.is_none_or(is_over)
    }
}

/// The removals that are not completed for good.
pub(super) struct Removals {
    removals: HashMap<SiteId, Removal>,
    retry_at: Option<Instant>,
    has_warned: bool,
}

/// What completing them needs.
pub(super) struct Databases<'a> {
    pub log: &'a Log,
    pub store: &'a dyn EventStore,
    pub catalog: &'a Catalog,
    pub shared: &'a Shared,
    /// Everything up to here is applied.
    pub applied: u64,
}

impl Removals {
    /// Takes up what an earlier process did not complete.
    pub fn at_start(catalog: &Catalog) -> Self {
        let mut removals = Removals { removals: HashMap::new(), retry_at: None, has_warned: false };
        removals.note(catalog.directory().current().removed_sites(), None);
        removals
    }

    fn note(&mut self, removed: &HashSet<SiteId>, known_since: Option<Instant>) {
        for site_id in removed {
            self.removals.entry(*site_id).or_insert(Removal {
                known_since,
                is_out_of_store: false,
                in_log_before: None,
            });
        }
    }

    /// An event of a removed site was left out: the log still holds it.
    pub fn left_out(&mut self, site_id: SiteId, offset: u64) {
        let end = Some(offset + 1);
        if let Some(removal) = self.removals.get_mut(&site_id)
            && removal.is_out_of_store
        {
            removal.in_log_before = removal.in_log_before.max(end);
        }
    }

    /// Does what can be done now.
    pub fn complete(&mut self, databases: &Databases<'_>, sessions: &mut Sessions) {
        let directory = databases.catalog.directory().current();
        if directory.removed_sites().is_empty() && self.removals.is_empty() {
            return;
        }
        self.note(directory.removed_sites(), Some(Instant::now()));
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let outcome = self
            .clear_store(databases, sessions)
            .and_then(|()| self.clear_log(databases))
            .and_then(|()| self.forget(databases.catalog));
        self.retry_at = outcome.is_err().then(|| Instant::now() + RETRY_PAUSE);
        match outcome {
            Err(error) if !self.has_warned => {
                tracing::warn!(%error, "a removed site is not gone yet; trying again until it is");
                self.has_warned = true;
            }
            Err(_) => {}
            Ok(()) => self.has_warned = false,
        }
        let done = self.removals.iter().filter(|(_, removal)| removal.is_done());
        databases.shared.set_removed(done.map(|(site_id, _)| *site_id));
    }

    fn clear_store(
        &mut self,
        databases: &Databases<'_>,
        sessions: &mut Sessions,
    ) -> Result<(), Failure> {
        let mut has_deleted = false;
        for (site_id, removal) in &mut self.removals {
            if !removal.is_out_of_store {
                databases.store.delete_site(*site_id)?;
                sessions.forget(*site_id);
                has_deleted = true;
            }
        }
        if !has_deleted {
            return Ok(());
        }
        // What was deleted is in neither write-ahead file afterwards.
        databases.store.checkpoint()?;
        if !databases.catalog.checkpoint()? {
            return Err(Failure::Journal);
        }
        let end = databases.log.durable_end().0;
        for removal in self.removals.values_mut().filter(|removal| !removal.is_out_of_store) {
            removal.is_out_of_store = true;
            removal.in_log_before = Some(end);
        }
        Ok(())
    }

    fn clear_log(&mut self, databases: &Databases<'_>) -> Result<(), Failure> {
        let applied = |before: &u64| *before <= databases.applied + 1;
        let ends = self.removals.values().filter_map(|removal| removal.in_log_before);
        let Some(before) = ends.filter(applied).max() else { return Ok(()) };
        // Under load it takes another turn: what shares a file with these records must be applied first.
        if databases.log.scrub(Offset(before))? {
            for removal in self.removals.values_mut() {
                removal.in_log_before = removal.in_log_before.filter(|end| *end > before);
            }
        }
        Ok(())
    }

    fn forget(&mut self, catalog: &Catalog) -> Result<(), Failure> {
        let last: Vec<SiteId> = self
            .removals
            .iter()
            .filter(|(_, removal)| removal.is_final())
            .map(|(site_id, _)| *site_id)
            .collect();
        for site_id in last {
            catalog.forget_removed_site(site_id)?;
            self.removals.remove(&site_id);
        }
        Ok(())
    }
}

/// Why a removal is not complete.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] cairn_store::StoreError),
    #[error(transparent)]
    Catalog(#[from] cairn_catalog::CatalogError),
    #[error(transparent)]
    Log(#[from] cairn_log::LogError),
    #[error("the catalog's journal is being read")]
    Journal,
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use cairn_catalog::NewSite;
    use cairn_log::{LogOptions, RealDisk};
    use cairn_model::event::PAGE_VIEW;
    use cairn_model::{Event, PrivacySettings, VisitorId};
    use cairn_store::event_ids::EventIds;
    use cairn_store::reference::ReferenceStore;
    use tempfile::TempDir;

    use super::*;
    use crate::apply::{ApplyHandle, ApplyLoop, ApplyOptions};
    use crate::record;

    const NOW_MS: i64 = 1_795_341_600_000;

    /// A loop that takes one turn when it is told to.
    struct Machine {
        apply: ApplyLoop,
        handle: ApplyHandle,
        log: Log,
        store: Arc<ReferenceStore>,
        catalog: Arc<Catalog>,
        directory: TempDir,
    }

    impl Machine {
        fn new() -> Self {
            let store = Arc::new(ReferenceStore::new());
            Machine::open(TempDir::new().unwrap(), store)
        }

        fn open(directory: TempDir, store: Arc<ReferenceStore>) -> Self {
            let path = |name: &str| directory.path().join(name);
            let options = LogOptions {
                segment_size_bytes: 1 << 20,
                batch_size_bytes_max: 512 << 10,
                record_size_bytes_max: 256 << 10,
                ..LogOptions::new(path("log"))
            };
            let (log, _) = Log::open(options, Arc::new(RealDisk)).unwrap();
            let catalog = Arc::new(Catalog::open(&path("catalog.sqlite")).unwrap());
            let ids = Arc::new(EventIds::open(&path("ids"), &*store).unwrap());
            let (apply, handle) = ApplyLoop::open(
                log.clone(),
                Arc::clone(&store) as Arc<dyn EventStore>,
                Arc::clone(&catalog),
                ids,
                ApplyOptions::default(),
                || NOW_MS,
            )
            .unwrap();
            Machine { apply, handle, log, store, catalog, directory }
        }

        /// The process ends here, and another one begins.
        fn restarted(self) -> Self {
            let Machine { apply, handle, log, store, catalog, directory } = self;
            log.close();
            drop((apply, handle, log, catalog));
            Machine::open(directory, store)
        }

        fn site(&self, domain: &str) -> SiteId {
            let site = NewSite {
                asking: Default::default(),
                name: domain.to_owned(),
                domain: domain.to_owned(),
                hosts: Vec::new(),
                timezone: "Etc/UTC".to_owned(),
                currency: "EUR".to_owned(),
                privacy: PrivacySettings::default(),
            };
            self.catalog.add_site(&site, None, NOW_MS).unwrap().id
        }

        fn append(&self, site_id: SiteId, path: &'static str) {
            let mut event = Event::bare(site_id, PAGE_VIEW, NOW_MS);
            event.visitor_id = VisitorId(7);
            event.path = path.into();
            let record = record::encode(&event, Vec::new()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(self.log.appender().append([&record[..]])).unwrap();
        }

        fn apply_all(&mut self) {
            while self.apply.resume_offset() + 1 < self.log.durable_end().0 {
                let mut reader = self.log.reader(Offset(self.apply.resume_offset() + 1));
                self.apply.apply(&reader.next_batch(1 << 20).unwrap()).unwrap();
            }
        }

        /// The loop's other duties; a pause after a failure is over.
        fn housekeep(&mut self) {
            self.apply.removals.retry_at = None;
            self.apply.housekeep(false);
        }

        fn is_done(&self, site_id: SiteId) -> bool {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(self.handle.wait_removed(site_id, Duration::ZERO))
        }

        fn paths(&self) -> Vec<String> {
            self.store.rows().iter().map(|row| row.event.path.to_string()).collect()
        }

        fn log_holds(&self, text: &str) -> bool {
            holds(&self.directory.path().join("log"), text.as_bytes())
        }
    }

    fn holds(directory: &Path, text: &[u8]) -> bool {
        std::fs::read_dir(directory).unwrap().any(|entry| {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(text.len()).any(|window| window == text)
        })
    }

    #[test]
    fn what_the_store_refuses_is_tried_again() {
        let mut machine = Machine::new();
        let (gone, kept) = (machine.site("gone.example"), machine.site("kept.example"));
        machine.append(gone, "/gone");
        machine.append(kept, "/kept");
        machine.apply_all();
        machine.store.refuse_removals(1);
        assert!(machine.catalog.delete_site(gone, NOW_MS).unwrap());
        machine.housekeep();
        assert_eq!(machine.paths(), ["/gone", "/kept"]);
        assert!(!machine.is_done(gone));
        machine.housekeep();
        assert_eq!(machine.paths(), ["/kept"]);
        assert!(machine.is_done(gone));
        assert_eq!(machine.store.sessions().len(), 1, "its visits, too");
        assert_eq!(machine.apply.sessions.in_memory(), 1, "in memory as well");
        assert!(!machine.log_holds("/gone"));
    }

    #[test]
    fn events_on_their_way_are_left_out_and_leave_the_log() {
        let mut machine = Machine::new();
        let (gone, kept) = (machine.site("gone.example"), machine.site("kept.example"));
        machine.append(gone, "/early");
        machine.append(kept, "/kept");
        machine.catalog.delete_site(gone, NOW_MS).unwrap();
        machine.housekeep();
        assert!(machine.log_holds("/early"), "nothing that is not applied leaves the log");
        assert!(!machine.is_done(gone), "the loop lags");
        machine.apply_all();
        machine.housekeep();
        assert!(machine.is_done(gone));
        assert!(!machine.log_holds("/early"));
        // A hit that had found its site before.
        machine.append(gone, "/late");
        machine.apply_all();
        assert!(machine.log_holds("/late"));
        machine.housekeep();
        assert!(machine.is_done(gone) && !machine.log_holds("/late"));
        assert_eq!(machine.paths(), ["/kept"]);
        assert!(machine.catalog.directory().current().is_removed(gone), "more may be under way");
        let hour_ago = Instant::now().checked_sub(UNDER_WAY_MAX);
        machine.apply.removals.removals.get_mut(&gone).unwrap().known_since = hour_ago;
        machine.housekeep();
        assert!(!machine.catalog.directory().current().is_removed(gone));
    }

    #[test]
    fn a_restart_completes_what_was_begun() {
        let mut machine = Machine::new();
        let gone = machine.site("gone.example");
        machine.append(gone, "/applied");
        machine.apply_all();
        machine.append(gone, "/waiting");
        machine.catalog.delete_site(gone, NOW_MS).unwrap();
        let mut machine = machine.restarted();
        machine.apply_all();
        machine.housekeep();
        assert!(machine.paths().is_empty());
        assert!(!machine.log_holds("/applied") && !machine.log_holds("/waiting"));
        assert!(!machine.catalog.directory().current().is_removed(gone), "nothing is under way");
    }
}
