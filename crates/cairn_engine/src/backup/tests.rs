//! What an erasure's record says of backups that cannot be changed, how long it waits for them, and they for others.

use cairn_catalog::{
    CATALOG_FILE, Erasure, ErasureReason, ErasureState, MailChoices, MemoryChange, MemoryHolder,
    NewErasure, OptOut, Withdrawal,
};
use cairn_model::{SiteId, Subject};
use cairn_store::reference::ReferenceStore;

use super::tending::PLACE;
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
    waiting_backups(machine, Duration::ZERO)
}

fn waiting_backups(machine: &Machine<ReferenceStore>, rewrite_wait_max: Duration) -> Backups {
    let sources = Sources {
        apply: machine.handle.clone(),
        log: machine.log.clone(),
        catalog: Arc::clone(&machine.catalog),
        store: Arc::clone(&machine.store) as Arc<dyn EventStore>,
        open_store: Arc::new(|_| Ok(Arc::new(ReferenceStore::new()))),
    };
    let directory = machine.directory.path().join(BACKUPS_DIRECTORY);
    let options = BackupOptions { directory, count_max: 7, age_days_max: 30, rewrite_wait_max };
    Backups::open(options, sources, NOW_MS).unwrap()
}

fn of_user(site_id: SiteId, user: u64) -> NewErasure {
    NewErasure {
        subject: Subject { site_id, users: vec![user], ..Subject::default() },
        holders: Vec::new(),
        reason: ErasureReason::Owner,
        request_id: None,
        names: Vec::new(),
    }
}

fn erase(machine: &Machine<ReferenceStore>, site_id: SiteId) -> ErasureId {
    machine.catalog.begin_erasure(&of_user(site_id, 4), NOW_MS).unwrap()
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
fn what_a_no_took_away_does_not_come_back_with_an_older_catalog() {
    let (machine, site) = machine();
    // The older catalog: it knows what was remembered and permitted before.
    let older = Machine::new(Arc::new(ReferenceStore::new()));
    let there = older.site("backups.example");
    let (browser, fresh, person, other) = ([1; 32], [2; 32], [3; 32], [4; 32]);
    let change = |name: &str| MemoryChange { name: name.into(), value: Some("\"M\"".into()) };
    let yes = MailChoices { opens: Some(true), clicks: None };
    for (Machine { catalog, .. }, site) in [(&machine, site), (&older, there)] {
        let until_ms = NOW_MS + 1_000_000;
        catalog.tie_memory(site, (browser, fresh), person, until_ms, NOW_MS).unwrap();
        for holder in [MemoryHolder::Browser(fresh), MemoryHolder::Browser(other)] {
            catalog.remember(site, holder, &[change("size")], NOW_MS).unwrap();
        }
        catalog.record_mail_choices(site, 9, "anna", yes, NOW_MS).unwrap();
    }
    let directory = machine.directory.path().join(BACKUPS_DIRECTORY);
    fs::create_dir(&directory).unwrap();
    let kept = backups(&machine);
    let catalog = &machine.catalog;
    assert!(catalog.forget_memory(site, MemoryHolder::Browser(fresh), NOW_MS + 5).unwrap());
    let no = MailChoices { opens: Some(false), clicks: None };
    catalog.record_mail_choices(site, 9, "anna", no, NOW_MS + 5).unwrap();
    lock(&kept.opt_outs_kept).end_pause();
    kept.tend(NOW_MS + 5);
    let path = directory.join(WITHDRAWALS_FILE);
    let written = withdrawals::Withdrawals::read(&path).unwrap();
    assert_eq!(written.all().count(), 3, "the browser, its person, and the mails");
    assert_eq!(written.carry_out(&older.catalog).unwrap(), 0, "another site");
    let mut of_older = withdrawals::Withdrawals::default();
    of_older.join(written.all().map(|one| Withdrawal { site_id: there, ..one }));
    let written = of_older;
    assert_eq!(written.carry_out(&older.catalog).unwrap(), 3);
    assert_eq!(written.carry_out(&older.catalog).unwrap(), 0, "it has them");
    let held = |number| {
        let holder = MemoryHolder::Browser(number);
        older.catalog.recall(there, holder, NOW_MS).unwrap().len()
    };
    assert_eq!([held(fresh), held(person), held(other)], [0, 0, 1]);
    assert_eq!(older.catalog.mail_recipient(there, 9).unwrap().choices, no);
    // A yes that came after the copy's own no stays.
    older.catalog.record_mail_choices(there, 9, "anna", yes, NOW_MS + 6).unwrap();
    older.catalog.remember(there, MemoryHolder::Browser(fresh), &[change("cart")], NOW_MS).unwrap();
    assert_eq!(written.carry_out(&older.catalog).unwrap(), 0);
    assert_eq!((held(fresh), older.catalog.mail_recipient(there, 9).unwrap().choices), (1, yes));
    // A file that cannot be read is named with the line.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + "1 memory 00 5").unwrap();
    let error = withdrawals::Withdrawals::read(&path).unwrap_err().to_string();
    assert!(error.contains(WITHDRAWALS_FILE) && error.contains("line 4"), "{error}");
}

#[test]
fn opt_outs_reach_the_ledger_and_stay_when_an_older_catalog_comes() {
    let (machine, site) = machine();
    let directory = machine.directory.path().join(BACKUPS_DIRECTORY);
    let path = directory.join(OPT_OUTS_FILE);
    machine.catalog.add_opt_outs(site, &[7], NOW_MS).unwrap();
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
    machine.catalog.add_opt_outs(site, &[8], NOW_MS).unwrap();
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

/// A backup of a site without events, made before anybody was erased.
fn empty_backup(backups: &Backups) -> PathBuf {
    backup_made_at(backups, NOW_MS - 1)
}

fn backup_made_at(backups: &Backups, made_at_ms: i64) -> PathBuf {
    let directory = backups.directory().join("2026-11-22T12-00-00.000Z");
    fs::create_dir_all(directory.join(STORE_DIRECTORY)).unwrap();
    assert!(backups.sources.catalog.checkpoint().unwrap());
    let catalog = backups.directory().with_file_name(CATALOG_FILE);
    fs::copy(catalog, directory.join(CATALOG_FILE)).unwrap();
    let manifest = Manifest {
        format: FORMAT,
        made_at_ms,
        program_version: String::new(),
        log_offset: 0,
        files: manifest::files_of(&directory).unwrap(),
        erasures: Default::default(),
        is_being_changed: false,
    };
    manifest.write(&directory).unwrap();
    directory
}

#[test]
fn erasures_of_some_time_share_one_change_of_a_backup() {
    let hour_ms = 60 * 60 * 1000;
    let (mut machine, site) = machine();
    let backups = waiting_backups(&machine, Duration::from_secs(60 * 60));
    let backup = empty_backup(&backups);
    let carried_out = || Manifest::read(&backup).unwrap().erasures.len();
    let looks = |machine: &mut Machine<ReferenceStore>, now_ms: i64| {
        (0..4).for_each(|_| machine.housekeep());
        backups.tend(now_ms);
        (0..4).for_each(|_| machine.housekeep());
    };
    let first = erase(&machine, site);
    machine.is_erased(first);
    looks(&mut machine, NOW_MS);
    let second = erase(&machine, site);
    machine.is_erased(second);
    looks(&mut machine, NOW_MS + hour_ms - 1);
    let states = |machine: &Machine<_>| [first, second].map(|id| machine.erasure(id).state);
    assert_eq!(states(&machine), [ErasureState::InBackups; 2]);
    assert_eq!(carried_out(), 0, "the hour is not over");
    // The ledger has them at once, for a restore.
    let ledger = Ledger::read(&backups.directory().join(LEDGER_FILE)).unwrap();
    assert_eq!(ledger.entries().count(), 1, "both are of the same person and the same moment");
    looks(&mut machine, NOW_MS + hour_ms);
    assert_eq!(states(&machine), [ErasureState::Done; 2]);
    assert_eq!(carried_out(), 1);
    // Somebody who waits for his erasure does not wait for others.
    let third = machine.catalog.begin_erasure(&of_user(site, 9), NOW_MS + hour_ms).unwrap();
    looks(&mut machine, NOW_MS + hour_ms);
    assert_eq!(carried_out(), 1);
    backups.tend_at_once(NOW_MS + hour_ms);
    assert_eq!(carried_out(), 2);
    machine.finish(third);
}

#[test]
fn a_look_at_backups_that_need_nothing_reads_nothing() {
    let (machine, site) = machine();
    let backups = backups(&machine);
    let backup = empty_backup(&backups);
    erase(&machine, site);
    backups.tend(NOW_MS);
    assert_eq!(backups.progress().problem, None);
    // Whoever reads it now says so.
    fs::write(backups.directory().join(LEDGER_FILE), "half a line\n").unwrap();
    fs::remove_file(backup.join(MANIFEST_FILE)).unwrap();
    backups.tend(NOW_MS);
    assert!(!backups.is_due(2, NOW_MS), "the latest is known");
    assert_eq!(backups.progress().problem, None);
    machine.catalog.add_opt_outs(site, &[7], NOW_MS).unwrap();
    lock(&backups.opt_outs_kept).end_pause();
    backups.tend(NOW_MS);
    assert!(backups.progress().problem.is_some(), "the ledger of opt-outs needs it");
    fs::write(backups.directory().join(LEDGER_FILE), "").unwrap();
    backups.tend(NOW_MS);
    assert_eq!(backups.progress().problem, None);
    let days_ms = 30 * DAY_MS;
    backups.tend(NOW_MS + days_ms);
    let problem = backups.progress().problem.unwrap_or_default();
    assert!(problem.contains("there is no backup in"), "it would be too old: {problem}");
    erase(&machine, site);
    assert!(backups.is_due(2, NOW_MS), "that is read");
}

/// What the catalog of a backup has on record.
fn erasures_in(backup: &Path, site_id: SiteId) -> Vec<Erasure> {
    let catalog = Catalog::open(&backup.join(CATALOG_FILE)).unwrap();
    catalog.erasures(site_id, None, 10).unwrap()
}

#[test]
fn a_clock_that_was_set_back_after_a_backup_keeps_nobody_in_it() {
    let (machine, site) = machine();
    let backups = backups(&machine);
    let backup = backup_made_at(&backups, NOW_MS + DAY_MS);
    erase(&machine, site);
    backups.tend(NOW_MS);
    assert_eq!(backups.progress().problem, None);
    let erasures = erasures_in(&backup, site);
    assert_eq!(erasures.len(), 1);
    assert_eq!(erasures[0].state, ErasureState::Done);
    // What is on record there is not begun again.
    machine.catalog.begin_erasure(&of_user(site, 9), NOW_MS).unwrap();
    backups.tend(NOW_MS);
    assert_eq!(erasures_in(&backup, site).len(), 2);
}

#[test]
fn a_removed_site_leaves_a_backup_whatever_the_clock_said() {
    let (machine, site) = machine();
    let backups = backups(&machine);
    let backup = backup_made_at(&backups, NOW_MS + DAY_MS);
    let had = |backup: &Path| {
        let catalog = Catalog::open(&backup.join(CATALOG_FILE)).unwrap();
        catalog.directory().current().by_id(site).is_some()
    };
    assert!(had(&backup));
    // The clock was set back to before the site was added.
    machine.catalog.delete_site(site, NOW_MS - DAY_MS).unwrap();
    backups.tend(NOW_MS);
    assert_eq!(backups.progress().problem, None);
    assert!(!had(&backup));
}

#[test]
fn a_site_that_drew_the_number_of_a_removed_one_stays_in_backups() {
    let (machine, site) = machine();
    let backups = backups(&machine);
    let backup = empty_backup(&backups);
    let of_another_time = super::ledger::RemovedSite { id: site, created_at_ms: NOW_MS - DAY_MS };
    let entry = Entry { asked_at_ms: NOW_MS, what: Erased::Site(of_another_time) };
    let line = serde_json::to_string(&entry).unwrap() + "\n";
    fs::write(backups.directory().join(LEDGER_FILE), line).unwrap();
    backups.tend(NOW_MS);
    let carried_out = Manifest::read(&backup).unwrap().erasures.len();
    let catalog = Catalog::open(&backup.join(CATALOG_FILE)).unwrap();
    let is_there = catalog.directory().current().by_id(site).is_some();
    assert_eq!((carried_out, is_there), (1, true));
}

#[test]
fn a_restore_that_fails_leaves_no_copy_behind() {
    let (machine, site) = machine();
    let backups = backups(&machine);
    let backup = empty_backup(&backups);
    erase(&machine, site);
    backups.ledger(NOW_MS).unwrap();
    let (data, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let asked = Restoring {
        from: backup,
        data: data.path().to_owned(),
        backups: others.path().to_owned(),
        replace: false,
        ledger: None,
    };
    // The ledger is the last that is written before the copy is put in its place.
    let obstacle = others.path().join(LEDGER_FILE).with_extension("next");
    fs::create_dir(&obstacle).unwrap();
    let open_store = &backups.sources.open_store;
    let error = restore(&asked, open_store).unwrap_err();
    assert!(error.to_string().contains("writes the ledgers"), "{error}");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(restore(&asked, open_store).unwrap().erased, 1);
}

#[test]
fn a_new_erasure_reads_no_settled_ones() {
    let (mut machine, site) = machine();
    let backups = backups(&machine);
    let settled_until = || lock(&backups.tended).settled_until;
    let first = erase(&machine, site);
    backups.tend(NOW_MS);
    machine.finish(first);
    let second = machine.catalog.begin_erasure(&of_user(site, 9), NOW_MS).unwrap();
    backups.tend(NOW_MS);
    assert_eq!(settled_until(), first);
    machine.finish(second);
    // One that is done but for a backup is looked at until it is.
    empty_backup(&backups);
    let read = || Ledger::read(&backups.directory().join(LEDGER_FILE)).unwrap().entries().count();
    let third = machine.catalog.begin_erasure(&of_user(site, 10), NOW_MS).unwrap();
    backups.tend(NOW_MS);
    assert_eq!((settled_until(), lock(&backups.taken).until, read()), (second, third, 3));
    machine.finish(third);
    // The ledger of somebody else, or none, takes all of them again.
    fs::remove_file(backups.directory().join(LEDGER_FILE)).unwrap();
    let fourth = machine.catalog.begin_erasure(&of_user(site, 11), NOW_MS).unwrap();
    backups.tend(NOW_MS);
    assert_eq!((settled_until(), lock(&backups.taken).until, read()), (third, fourth, 4));
}
