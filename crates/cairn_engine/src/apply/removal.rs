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

    /// Does what can be done now. `may_delete`: the store's file is not being rewritten.
    pub fn complete(
        &mut self,
        databases: &Databases<'_>,
        sessions: &mut Sessions,
        may_delete: bool,
    ) {
        let directory = databases.catalog.directory().current();
        if directory.removed_sites().is_empty() && self.removals.is_empty() {
            return;
        }
        self.note(directory.removed_sites(), Some(Instant::now()));
        if !self.patience.may_try() {
            return;
        }
        let cleared = if may_delete { self.clear_store(databases, sessions) } else { Ok(()) };
        let outcome = cleared
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
    use std::sync::Arc;

    use cairn_store::reference::ReferenceStore;

    use super::*;
    use crate::apply::machine::{Machine, NOW_MS};
    use crate::apply::remains::UNDER_WAY_MAX;

    impl Machine<ReferenceStore> {
        fn paths(&self) -> Vec<String> {
            self.store.rows().iter().map(|row| row.event.path.to_string()).collect()
        }
    }

    fn machine() -> Machine<ReferenceStore> {
        Machine::new(Arc::new(ReferenceStore::new()))
    }

    #[test]
    fn what_the_store_refuses_is_tried_again() {
        let mut machine = machine();
        let (gone, kept) = (machine.site("gone.example"), machine.site("kept.example"));
        machine.append_page(gone, "/gone");
        machine.append_page(kept, "/kept");
        machine.apply_all();
        machine.store.refuse_removals(1);
        assert!(machine.catalog.delete_site(gone, NOW_MS).unwrap());
        machine.housekeep();
        assert_eq!(machine.paths(), ["/gone", "/kept"]);
        assert!(!machine.is_removed(gone));
        machine.housekeep();
        assert_eq!(machine.paths(), ["/kept"]);
        assert!(machine.is_removed(gone));
        assert_eq!(machine.store.sessions().len(), 1, "its visits, too");
        assert_eq!(machine.apply.sessions.in_memory(), 1, "in memory as well");
        assert!(!machine.log_holds("/gone"));
    }

    #[test]
    fn events_on_their_way_are_left_out_and_leave_the_log() {
        let mut machine = machine();
        let (gone, kept) = (machine.site("gone.example"), machine.site("kept.example"));
        machine.append_page(gone, "/early");
        machine.append_page(kept, "/kept");
        machine.catalog.delete_site(gone, NOW_MS).unwrap();
        machine.housekeep();
        assert!(machine.log_holds("/early"), "nothing that is not applied leaves the log");
        assert!(!machine.is_removed(gone), "the loop lags");
        machine.apply_all();
        machine.housekeep();
        assert!(machine.is_removed(gone));
        assert!(!machine.log_holds("/early"));
        // A hit that had found its site before.
        machine.append_page(gone, "/late");
        machine.apply_all();
        assert!(machine.log_holds("/late"));
        machine.housekeep();
        assert!(machine.is_removed(gone) && !machine.log_holds("/late"));
        assert_eq!(machine.paths(), ["/kept"]);
        assert!(machine.catalog.directory().current().is_removed(gone), "more may be under way");
        let hour_ago = Instant::now().checked_sub(UNDER_WAY_MAX);
        machine.apply.removals.removals.get_mut(&gone).unwrap().trail.known_since = hour_ago;
        machine.housekeep();
        assert!(!machine.catalog.directory().current().is_removed(gone));
    }

    #[test]
    fn a_restart_completes_what_was_begun() {
        let mut machine = machine();
        let gone = machine.site("gone.example");
        machine.append_page(gone, "/applied");
        machine.apply_all();
        machine.append_page(gone, "/waiting");
        machine.catalog.delete_site(gone, NOW_MS).unwrap();
        let mut machine = machine.restarted();
        machine.apply_all();
        machine.housekeep();
        assert!(machine.paths().is_empty());
        assert!(!machine.log_holds("/applied") && !machine.log_holds("/waiting"));
        assert!(!machine.catalog.directory().current().is_removed(gone), "nothing is under way");
    }
}
