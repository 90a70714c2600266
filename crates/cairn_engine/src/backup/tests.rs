//! What an erasure's record says of backups that cannot be changed, and how long it waits for them.

use cairn_catalog::{ErasureReason, NewErasure, OptOut};
use cairn_model::{SiteId, Subject};
use cairn_store::reference::ReferenceStore;

use super::*;
use crate::apply::machine::{Machine, NOW_MS};

fn machine() -> (Machine<ReferenceStore>, SiteId) {
    let mut machine = Machine::new(Arc::new(ReferenceStore::new()));
    machine.options.has_backups = true;
    let machine = machine.restarted();
    let site = machine.site("backups.example");
    (machine, site)
}

fn backups(machine: &Machine<ReferenceStore>) -> Backups {
    let sources = Sources {
        apply: machine.handle.clone(),
        log: machine.log.clone(),
        catalog: Arc::clone(&machine.catalog),
        store: Arc::clone(&machine.store) as Arc<dyn EventStore>,
        open_store: Arc::new(|_| Ok(Arc::new(ReferenceStore::new()))),
    };
    let directory = machine.directory.path().join(BACKUPS_DIRECTORY);
    let options = BackupOptions { directory, count_max: 7, age_days_max: 30 };
    Backups::open(options, sources, NOW_MS).unwrap()
}

fn erase(machine: &Machine<ReferenceStore>, site_id: SiteId) -> ErasureId {
    let new = NewErasure {
        subject: Subject { site_id, visitors: Vec::new(), users: vec![4], entries: Vec::new() },
        holders: Vec::new(),
        reason: ErasureReason::Owner,
        request_id: None,
        names: Vec::new(),
    };
    machine.catalog.begin_erasure(&new, NOW_MS).unwrap()
}

fn in_backups(erasure: &Erasure) -> (Option<i64>, String) {
    let place = erasure.place(PLACE).unwrap();
    (place.done_at_ms, place.remaining_reason.clone().unwrap_or_default())
}

#[test]
fn an_erasure_waits_for_a_damaged_backup_so_many_tries_and_names_it() {
    let (mut machine, site) = machine();
    let backups = backups(&machine);
    let damaged = backups.directory().join("20261123T120000Z");
    fs::create_dir_all(&damaged).unwrap();
    fs::write(damaged.join(MANIFEST_FILE), "{").unwrap();
    let id = erase(&machine, site);
    let standing = in_backups(&machine.erasure(id)).1;
    for _ in 1..ERASING_TRIES_MAX {
        assert!(!machine.is_erased(id));
        backups.tend(NOW_MS);
        machine.housekeep();
    }
    (0..3).for_each(|_| machine.housekeep());
    assert_eq!(machine.erasure(id).state, ErasureState::InBackups);
    let (done_at_ms, reason) = in_backups(&machine.erasure(id));
    assert_eq!(done_at_ms, None);
    assert!(reason.contains("20261123T120000Z could not be changed"), "{reason}");
    // The last try: from now on it is done but for what its record names.
    backups.tend(NOW_MS);
    machine.finish(id);
    assert_eq!(in_backups(&machine.erasure(id)), (None, reason));
    // What can be reached later is on record, too, and an obstacle that is gone is none.
    fs::remove_dir_all(&damaged).unwrap();
    backups.tend(NOW_MS + 1);
    assert_eq!(in_backups(&machine.erasure(id)), (Some(NOW_MS + 1), standing));
}

#[test]
fn an_erasure_that_no_backup_holds_is_done_after_one_look() {
    let (mut machine, site) = machine();
    let backups = backups(&machine);
    let id = erase(&machine, site);
    backups.tend(NOW_MS);
    machine.finish(id);
    assert_eq!(in_backups(&machine.erasure(id)).0, Some(NOW_MS));
}

#[test]
fn a_directory_that_cannot_be_read_is_named_after_as_many_tries() {
    let (mut machine, site) = machine();
    let backups = backups(&machine);
    fs::write(backups.directory(), "a file where the directory should be").unwrap();
    let id = erase(&machine, site);
    machine.housekeep();
    (0..ERASING_TRIES_MAX).for_each(|_| backups.tend(NOW_MS));
    machine.finish(id);
    assert!(in_backups(&machine.erasure(id)).1.contains("the disk refused"));
}

#[test]
fn opt_outs_reach_the_ledger_and_stay_when_an_older_catalog_comes() {
    let (machine, site) = machine();
    let directory = machine.directory.path().join(BACKUPS_DIRECTORY);
    let path = directory.join(OPT_OUTS_FILE);
    machine.catalog.add_opt_out(site, 7, NOW_MS).unwrap();
    backups(&machine).tend(NOW_MS);
    assert!(!directory.exists(), "nothing was ever backed up");
    fs::create_dir(&directory).unwrap();
    let kept = backups(&machine);
    let numbers = || -> Vec<u64> {
        opt_outs::OptOuts::read(&path).unwrap().all().map(|one| one.identifier).collect()
    };
    assert_eq!(numbers(), [7]);
    // One that only the file knows stays there when the catalog says something new.
    let foreign = format!("{site} 0000000000000009 {NOW_MS}\n");
    fs::write(&path, fs::read_to_string(&path).unwrap() + &foreign).unwrap();
    machine.catalog.add_opt_out(site, 8, NOW_MS).unwrap();
    lock(&kept.opt_outs_kept).end_pause();
    kept.tend(NOW_MS);
    assert_eq!(numbers(), [7, 8, 9]);
    // Another catalog takes it over, but not for a site that came later than the opt-out.
    let other = Machine::new(Arc::new(ReferenceStore::new()));
    let known = other.site("older.example");
    let of_other = |one: OptOut| OptOut { site_id: known, ..one };
    let all = opt_outs::OptOuts::read(&path).unwrap();
    let all: Vec<OptOut> = all.all().map(of_other).collect();
    let earlier = OptOut { recorded_at_ms: NOW_MS - 1, identifier: 10, ..all[0] };
    assert_eq!(other.catalog.take_opt_outs(&[&all[..], &[earlier]].concat()).unwrap(), 3);
    assert_eq!(other.catalog.take_opt_outs(&all).unwrap(), 0, "it has them");
    let sites = other.catalog.directory().current();
    let told: Vec<u64> = (7..=10).filter(|number| sites.is_opted_out(known, *number)).collect();
    assert_eq!(told, [7, 8, 9]);
}
