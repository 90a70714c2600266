//! Completing the removal of sites: rows, visits and texts in the store, records in the log.
//!
//! Guarantees: it runs on the thread that writes the rows, which leaves out events of removed sites from the same moment
//! on, so no row can come behind the removal. What fails is tried again until it is done, also after a restart: the
//! catalog's record of a removal goes only when store and log hold nothing of the site and no hit of it can be under way.
//! It does not know what else a site was.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use cairn_catalog::Catalog;
use cairn_model::SiteId;

use super::remains::{Databases, Failure, Patience, Trail, clear_log, empty_journal};
use crate::session::Sessions;

/// One removed site.
struct Removal {
    trail: Trail,
    /// The store holds nothing of it.
    is_out_of_store: bool,
}

impl Removal {
    fn is_done(&self) -> bool {
        self.is_out_of_store && self.trail.in_log_before.is_none()
    }
}

/// The removals that are not completed for good.
pub(super) struct Removals {
    removals: HashMap<SiteId, Removal>,
    patience: Patience,
}

impl Removals {
    /// Takes up what an earlier process did not complete.
    pub fn at_start(catalog: &Catalog) -> Self {
        let mut removals = Removals { removals: HashMap::new(), patience: Patience::default() };
        removals.note(catalog.directory().current().removed_sites(), None);
        removals
    }

    fn note(&mut self, removed: &HashSet<SiteId>, known_since: Option<Instant>) {
        for site_id in removed {
            let removal = || Removal { trail: Trail::new(known_since), is_out_of_store: false };
            self.removals.entry(*site_id).or_insert_with(removal);
        }
    }

    /// An event of a removed site was left out: the log still holds it.
    pub fn left_out(&mut self, site_id: SiteId, offset: u64) {
        if let Some(removal) = self.removals.get_mut(&site_id)
            && removal.is_out_of_store
        {
            removal.trail.left_out(offset);
        }
    }

    /// Does what can be done now.
    pub fn complete(&mut self, databases: &Databases<'_>, sessions: &mut Sessions) {
        let directory = databases.catalog.directory().current();
        if directory.removed_sites().is_empty() && self.removals.is_empty() {
            return;
        }
        self.note(directory.removed_sites(), Some(Instant::now()));
        if !self.patience.may_try() {
            return;
        }
        let outcome = self
            .clear_store(databases, sessions)
            .and_then(|()| {
                clear_log(databases, self.removals.values_mut().map(|removal| &mut removal.trail))
            })
            .and_then(|()| self.forget(databases.catalog));
        self.patience.note("a removed site", outcome);
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
        empty_journal(databases.catalog)?;
        let end = databases.log.durable_end().0;
        for removal in self.removals.values_mut().filter(|removal| !removal.is_out_of_store) {
            removal.is_out_of_store = true;
            removal.trail.in_log_before = Some(end);
        }
        Ok(())
    }

    fn forget(&mut self, catalog: &Catalog) -> Result<(), Failure> {
        let last: Vec<SiteId> = self
            .removals
            .iter()
            .filter(|(_, removal)| removal.is_done() && removal.trail.is_cold())
            .map(|(site_id, _)| *site_id)
            .collect();
        for site_id in last {
            catalog.forget_removed_site(site_id)?;
            self.removals.remove(&site_id);
        }
        Ok(())
    }
}

#[cfg(test)]
impl Removals {
    pub fn end_pause(&mut self) {
        self.patience.end_pause();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use cairn_catalog::NewSite;
    use cairn_log::{Log, LogOptions, Offset, RealDisk};
    use cairn_model::event::PAGE_VIEW;
    use cairn_model::{Event, PrivacySettings, VisitorId};
    use cairn_store::EventStore;
    use cairn_store::event_ids::EventIds;
    use cairn_store::reference::ReferenceStore;
    use tempfile::TempDir;

    use super::*;
    use crate::apply::remains::UNDER_WAY_MAX;
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
            self.apply.removals.end_pause();
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
        machine.apply.removals.removals.get_mut(&gone).unwrap().trail.known_since = hour_ago;
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
