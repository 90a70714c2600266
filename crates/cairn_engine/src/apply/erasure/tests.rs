//! Erasures under a loop that lags, a store that fails and restarts; many at once, and one of many browsers.

use std::sync::Arc;

use cairn_catalog::{MailChoices, ReceiptOrder};
use cairn_catalog::{MemoryChange, MemoryHolder, ReceiptFilter};
use cairn_model::receipt::ChoiceMade;
use cairn_model::{Choice, SiteId};
use cairn_store::reference::ReferenceStore;

use super::*;
use crate::apply::ApplyOptions;
use crate::apply::machine::{Machine, NOW_MS, page, set_clock};
use crate::apply::remains::UNDER_WAY_MAX;
use crate::record;

const HOME: VisitorId = VisitorId(70);
const SHARED: VisitorId = VisitorId(80);
const HOLDER: MemoryHolder = MemoryHolder::Person([3; 32]);

fn machine() -> Machine<ReferenceStore> {
    set_clock(NOW_MS);
    Machine::new(Arc::new(ReferenceStore::new()))
}

/// Anna (user 4) at home and on a device that Benno (user 5) uses, too.
fn filled() -> (Machine<ReferenceStore>, SiteId) {
    let mut machine = machine();
    let site = machine.site("erasure.example");
    for event in [
        page(site, HOME, "anna", "/of-anna"),
        page(site, SHARED, "anna", "/also-of-anna"),
        page(site, SHARED, "benno", "/of-benno"),
        page(site, VisitorId(90), "", "/of-nobody"),
    ] {
        machine.append(&event);
    }
    machine.apply_all();
    let yes = MailChoices { opens: Some(true), clicks: Some(true) };
    machine.catalog.record_mail_choices(site, 4, "anna", yes, NOW_MS).unwrap();
    let remembered = MemoryChange { name: "size".into(), value: Some("\"M\"".into()) };
    machine.catalog.remember(site, HOLDER, &[remembered], NOW_MS).unwrap();
    (machine, site)
}

fn erase_anna(machine: &Machine<ReferenceStore>, site_id: SiteId) -> ErasureId {
    let erasure = NewErasure {
        subject: Subject { site_id, visitors: vec![HOME], users: vec![4], ..Subject::default() },
        holders: vec![HOLDER],
        reason: ErasureReason::Owner,
        request_id: None,
        names: vec!["anna".into()],
    };
    machine.catalog.begin_erasure(&erasure, NOW_MS).unwrap()
}

fn paths(machine: &Machine<ReferenceStore>) -> Vec<String> {
    machine.store.rows().iter().map(|row| row.event.path.to_string()).collect()
}

fn counts(machine: &Machine<ReferenceStore>, id: ErasureId) -> Vec<(String, u64)> {
    let places = machine.erasure(id).places;
    let counted = places.into_iter().filter(|place| place.count > 0);
    counted.map(|place| (place.name, place.count)).collect()
}

#[test]
fn an_erased_person_is_gone_everywhere_and_others_are_not() {
    let (mut machine, site) = filled();
    let forgotten = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&forgotten);
    machine.handle.on_erasure(move |subject| heard.lock().unwrap().push(subject.clone()));
    let id = erase_anna(&machine, site);
    let directory = machine.catalog.directory().current();
    assert!(directory.is_opted_out(site, HOME.0) && directory.is_opted_out(site, 4));
    machine.finish(id);
    assert_eq!(paths(&machine), ["/of-benno", "/of-nobody"]);
    assert_eq!(machine.catalog.person(site, 4).unwrap(), None);
    assert!(machine.catalog.person(site, 5).unwrap().is_some());
    assert_eq!(machine.catalog.mail_recipient(site, 4).unwrap(), Default::default());
    assert!(machine.catalog.recall(site, HOLDER, NOW_MS).unwrap().is_empty());
    for path in ["/of-anna", "/also-of-anna"] {
        assert!(!machine.log_holds(path), "{path}");
    }
    let expected =
        [("people", 1), ("mail_choices", 1), ("memory", 1), ("events", 2), ("visits", 1)];
    assert_eq!(counts(&machine, id), expected.map(|(name, count)| (name.to_owned(), count)));
    let erasure = machine.erasure(id);
    assert_eq!((erasure.state, erasure.done_at_ms), (ErasureState::Done, Some(NOW_MS)));
    for place in &erasure.places {
        let is_named = place.done_at_ms.is_some() || place.remaining_reason.is_some();
        assert!(is_named, "{} is neither done nor explained", place.name);
    }
    let shared = erasure.place("visit_attributes").unwrap();
    assert!(shared.remaining_reason.as_deref().unwrap().contains("referrer"), "{shared:?}");
    assert_eq!(forgotten.lock().unwrap().len(), 1);
    // What Benno does next joins what is left of the visit on the shared device.
    machine.append(&page(site, SHARED, "benno", "/more-of-benno"));
    machine.apply_all();
    let visits = machine.store.sessions();
    let shared = visits.iter().find(|visit| visit.visitor_id == SHARED).unwrap();
    assert_eq!((shared.pageviews, &*shared.entry_page), (2, "/of-benno"));
}

#[test]
fn what_is_under_way_is_left_out_and_leaves_the_log() {
    let (mut machine, site) = filled();
    machine.append(&page(site, HOME, "anna", "/waiting"));
    let id = erase_anna(&machine, site);
    machine.housekeep();
    assert!(!machine.is_erased(id), "the loop lags");
    assert!(machine.log_holds("/waiting"), "nothing that is not applied leaves the log");
    machine.apply_all();
    machine.finish(id);
    assert!(!machine.log_holds("/waiting"));
    // Hits that were let in before, and a choice: it stays as proof, without a name.
    machine.append(&page(site, VisitorId(91), "anna", "/late"));
    let choice = ChoiceMade {
        site_id: site,
        at_ms: NOW_MS,
        subject: HOME,
        answers: [Some(Choice::Granted); 4],
        version: "".into(),
        language: "".into(),
        signal: "banner".into(),
        region: "eea".into(),
        policy: "opt_in".into(),
        gpc: false,
    };
    let record = record::encode_choice(&choice).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(machine.log.appender().append([&record[..]])).unwrap();
    machine.apply_all();
    assert!(machine.log_holds("/late"));
    machine.housekeep();
    assert!(!machine.log_holds("/late"));
    assert_eq!(paths(&machine), ["/of-benno", "/of-nobody"]);
    assert_eq!(machine.catalog.person(site, 4).unwrap(), None);
    let filter = ReceiptFilter::default();
    let newest = ReceiptOrder::NewestBefore(None);
    let receipts = machine.catalog.receipts(site, &filter, newest, 10).unwrap();
    assert_eq!((receipts.len(), receipts[0].subject), (1, None));
    // Others wrote into the catalog meanwhile; when nothing more can come, that goes as well.
    let yes = MailChoices { opens: Some(true), clicks: None };
    machine.catalog.record_mail_choices(site, 4, "anna", yes, NOW_MS).unwrap();
    let hour_ago = Instant::now().checked_sub(UNDER_WAY_MAX);
    machine.apply.erasures.open.get_mut(&id).unwrap().trail.known_since = hour_ago;
    machine.housekeep();
    assert!(machine.catalog.directory().current().open_erasures().is_empty());
    assert_eq!(machine.catalog.person(site, 4).unwrap(), None);
}

#[test]
fn what_the_store_refuses_is_tried_again() {
    let (mut machine, site) = filled();
    machine.store.refuse_removals(1);
    let id = erase_anna(&machine, site);
    machine.housekeep();
    assert_eq!(paths(&machine).len(), 4);
    assert_eq!(machine.erasure(id).state, ErasureState::Waiting);
    machine.finish(id);
    assert_eq!(paths(&machine), ["/of-benno", "/of-nobody"]);
    assert_eq!(machine.erasure(id).place("events").unwrap().count, 2, "counted once");
}

#[test]
fn one_that_cannot_be_deleted_keeps_nobody_else() {
    let mut machine = machine();
    let sites = [machine.site("broken.example"), machine.site("whole.example")];
    let of = |site_id, number| Subject {
        site_id,
        visitors: vec![VisitorId(number)],
        ..Subject::default()
    };
    for (site, number) in sites.into_iter().flat_map(|site| (1..=3).map(move |n| (site, n))) {
        machine.append(&page(site, VisitorId(number), "", "/a"));
    }
    machine.apply_all();
    // It is deleted already, and only its bytes are left.
    let earlier = begin(&machine, of(sites[1], 3));
    machine.housekeep();
    let broken: Vec<ErasureId> =
        (1..=3).map(|number| begin(&machine, of(sites[0], number))).collect();
    let other = begin(&machine, of(sites[1], 1));
    let ids = [&broken[..], &[other]].concat();
    let (waiting, running) = (ErasureState::Waiting, ErasureState::Running);
    // All three of a turn fail, and the first of them alone.
    machine.store.refuse_removals(2);
    assert!(!machine.is_erased(earlier));
    (0..2).for_each(|_| machine.housekeep());
    assert_eq!(states(&machine, &ids), [waiting; 4]);
    assert_eq!(states(&machine, &[earlier]), [ErasureState::Done], "its bytes are gone");
    let reason = |id| machine.erasure(id).place("events").unwrap().remaining_reason.clone();
    assert!(reason(broken[0]).unwrap().contains("it was told to"), "{:?}", reason(broken[0]));
    machine.housekeep();
    assert_eq!(states(&machine, &ids), [waiting, running, running, waiting]);
    machine.housekeep();
    assert_eq!(states(&machine, &ids), [waiting, running, running, running]);
    machine.finish(broken[0]);
    let place = machine.erasure(broken[0]).place("events").unwrap().clone();
    assert_eq!((place.count, place.remaining_reason), (1, None), "overcome");
}

#[test]
fn a_person_who_cannot_be_deleted_gets_no_second_erasure_for_his_browsers() {
    let mut machine = machine();
    let site = machine.site("erasure.example");
    machine.append(&page(site, HOME, "anna", "/of-anna"));
    machine.apply_all();
    let id = begin(&machine, Subject { site_id: site, users: vec![4], ..Subject::default() });
    machine.store.refuse_removals(5);
    machine.finish(id);
    assert_eq!(machine.catalog.erasures(site, None, 10).unwrap().len(), 2);
}

#[test]
fn a_record_says_why_a_file_is_not_clean_yet() {
    let (mut machine, site) = filled();
    let id = erase_anna(&machine, site);
    machine.store.refuse_rewriting(1);
    assert!(!machine.is_erased(id));
    (0..3).for_each(|_| machine.housekeep());
    assert_eq!(states(&machine, &[id]), [ErasureState::Running]);
    let place = machine.erasure(id).place("store_file").unwrap().clone();
    assert_eq!(place.done_at_ms, None);
    let reason = place.remaining_reason.unwrap();
    assert!(reason.contains("rewrites its file"), "{reason}");
    machine.apply.rewriting.end_pause();
    machine.finish(id);
    let place = machine.erasure(id).place("store_file").unwrap().clone();
    assert_eq!((place.done_at_ms, place.remaining_reason), (Some(NOW_MS), None));
}

#[test]
fn a_restart_completes_what_was_begun() {
    let (machine, site) = filled();
    let id = erase_anna(&machine, site);
    let mut machine = machine.restarted();
    machine.housekeep();
    assert_eq!(machine.erasure(id).state, ErasureState::Running);
    let mut machine = machine.restarted();
    machine.apply_all();
    assert!(machine.store.erased_since_ms().is_some(), "the file waits");
    machine.finish(id);
    assert_eq!(paths(&machine), ["/of-benno", "/of-nobody"]);
    // Nothing is under way after a start.
    assert!(machine.catalog.directory().current().open_erasures().is_empty());
}

fn states(machine: &Machine<ReferenceStore>, ids: &[ErasureId]) -> Vec<ErasureState> {
    ids.iter().map(|id| machine.erasure(*id).state).collect()
}

#[test]
fn who_waits_for_a_rewriting_is_told_and_neither_starves_the_other() {
    let (mut machine, site) = filled();
    let next = |machine: &Machine<ReferenceStore>, user: u64| {
        begin(machine, Subject { site_id: site, users: vec![user], ..Subject::default() })
    };
    let mut ids = vec![erase_anna(&machine, site)];
    assert!(!machine.is_erased(ids[0]));
    // Every erasure comes in the middle of the rewriting for the one before it, and a site is removed, too.
    for user in 5..10 {
        let gone = machine.site(&format!("gone-{user}.example"));
        machine.append(&page(gone, VisitorId(7), "", "/gone"));
        machine.apply_all();
        machine.store.rewrite_in_steps(3);
        machine.housekeep();
        assert!(machine.catalog.delete_site(gone, NOW_MS).unwrap());
        ids.push(next(&machine, user));
        machine.housekeep();
        let [.., earlier, later] = &states(&machine, &ids)[..] else { panic!("two at least") };
        assert_eq!((*earlier, *later), (ErasureState::Running, ErasureState::Held));
        assert!(paths(&machine).contains(&"/gone".to_owned()), "it waits as well");
        // Three steps and the last one; the turn after it is that of whoever waits.
        (0..3).for_each(|_| machine.housekeep());
        let [.., earlier, later] = &states(&machine, &ids)[..] else { panic!("two at least") };
        assert_eq!((*earlier, *later), (ErasureState::Done, ErasureState::Running));
        assert!(!paths(&machine).contains(&"/gone".to_owned()));
        assert!(!machine.is_erased(ids[ids.len() - 1]));
    }
}

fn begin(machine: &Machine<ReferenceStore>, subject: Subject) -> ErasureId {
    let (holders, names) = (Vec::new(), Vec::new());
    let reason = ErasureReason::Owner;
    let new = NewErasure { subject, holders, reason, request_id: None, names };
    machine.catalog.begin_erasure(&new, NOW_MS).unwrap()
}

#[test]
fn those_that_wait_are_deleted_together_and_batches_go_on_between_two_turns() {
    let mut machine = machine();
    let sites = [machine.site("busy.example"), machine.site("quiet.example")];
    let some_more = ERASURES_AT_ONCE_MAX as u64 + 7;
    for (site, count) in sites.into_iter().zip([some_more, 3]) {
        (1..=count).for_each(|number| machine.append(&page(site, VisitorId(number), "", "/a")));
    }
    machine.apply_all();
    let ids: Vec<ErasureId> = sites
        .into_iter()
        .zip([some_more, 3])
        .flat_map(|(site_id, count)| (1..=count).map(move |number| (site_id, number)))
        .map(|(site_id, number)| {
            let visitors = vec![VisitorId(number)];
            begin(&machine, Subject { site_id, visitors, ..Subject::default() })
        })
        .collect();
    let last = ids[ids.len() - 1];
    assert!(!machine.is_erased(last), "somebody waits");
    let left = |machine: &Machine<ReferenceStore>| machine.store.rows().len();
    let mut seen = Vec::new();
    for round in 0.. {
        // A batch of the log is applied between two turns.
        machine.append(&page(sites[0], VisitorId(9_000 + round), "", "/meanwhile"));
        machine.apply_all();
        machine.housekeep();
        seen.push(left(&machine) as u64 - (round + 1));
        if !machine.apply.erasures.has_more() {
            break;
        }
        assert!(machine.store.erased_since_ms().is_some(), "one rewriting is for all of them");
        if round == 0 {
            // A crash between two turns.
            machine = machine.restarted();
            assert!(!machine.is_erased(last));
        }
    }
    assert_eq!(seen, [10, 3, 0], "as many as a turn takes, the rest, and the other site's");
    machine.finish(last);
    let done = |id: &&ErasureId| machine.erasure(**id).state == ErasureState::Done;
    assert_eq!(ids.iter().filter(done).count(), ids.len());
    let counts = ids.iter().map(|id| machine.erasure(*id).place("events").unwrap().count);
    assert!(counts.eq(ids.iter().map(|_| 1)), "each has its own count");
}

#[test]
fn a_person_with_more_browsers_than_an_erasure_names_leaves_nothing() {
    let mut machine = machine();
    let site = machine.site("erasure.example");
    let browsers = 2 * SUBJECT_VISITORS_MAX as u64 + 5;
    for number in 1..=browsers {
        machine.append(&page(site, VisitorId(number), "", "/before-the-login"));
        machine.append(&page(site, VisitorId(number), "anna", "/of-anna"));
    }
    for (user, path) in [("anna", "/also-of-anna"), ("benno", "/of-benno")] {
        machine.append(&page(site, VisitorId(9_000), user, path));
    }
    machine.apply_all();
    let users = vec![4];
    let of_anna = Subject { site_id: site, users, ..Subject::default() };
    let found = machine.store.browsers_of_users(&of_anna, SUBJECT_VISITORS_MAX).unwrap();
    let id = begin(&machine, Subject { visitors: found.alone, ..of_anna });
    machine.finish(id);
    assert_eq!(paths(&machine), ["/of-benno"]);
    let directory = machine.catalog.directory().current();
    assert!((1..=browsers).all(|number| directory.is_opted_out(site, number)));
    assert!(!directory.is_opted_out(site, 9_000), "Benno's as well");
    let all = machine.catalog.erasures(site, None, 10).unwrap();
    let events = all.iter().map(|erasure| erasure.place("events").unwrap().count);
    assert_eq!((all.len(), events.sum()), (3, 2 * browsers + 1));
}

#[test]
fn a_wish_that_comes_between_two_looks_is_not_lost() {
    let (mut machine, site) = filled();
    machine.housekeep();
    // The loop has looked for erasures before, and asks what is awaited afterwards.
    let id = erase_anna(&machine, site);
    assert!(!machine.is_erased(id), "somebody waits from now on");
    for _ in 0..2 {
        let apply = &mut machine.apply;
        let databases = Databases {
            log: &apply.log,
            store: &*apply.store,
            catalog: &apply.catalog,
            shared: &apply.shared,
            applied: 0,
            now_ms: NOW_MS,
        };
        assert!(apply.erasures.is_one_awaited(&databases));
    }
    (0..2).for_each(|_| machine.housekeep());
    assert_eq!(states(&machine, &[id]), [ErasureState::Done], "the hour is not waited for");
}

#[test]
fn an_erasure_is_done_only_when_the_backups_are_settled() {
    let (mut machine, site) = filled();
    machine.options.has_backups = true;
    let mut machine = machine.restarted();
    let wakes = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let heard = Arc::clone(&wakes);
    machine.handle.on_backups_wanted(move || {
        heard.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let first = erase_anna(&machine, site);
    for _ in 0..10 {
        assert!(!machine.is_erased(first));
        machine.housekeep();
    }
    assert_eq!(states(&machine, &[first]), [ErasureState::InBackups]);
    assert_eq!(machine.erasure(first).done_at_ms, None);
    assert_eq!(wakes.load(std::sync::atomic::Ordering::Relaxed), 1);
    // What was settled before a crash is found after it.
    machine.catalog.note_erased(&[(first, vec![(BACKUPS, 2)])], NOW_MS).unwrap();
    let mut machine = machine.restarted();
    machine.finish(first);
    // Also what is settled before the rest is.
    let second = erase_anna(&machine, site);
    machine.housekeep();
    machine.handle.settle_in_backups(&[second]);
    machine.finish(second);
}

#[test]
fn the_file_is_rewritten_within_its_bound() {
    let (mut machine, site) = filled();
    erase_anna(&machine, site);
    machine.housekeep();
    machine.housekeep();
    assert!(machine.store.erased_since_ms().is_some(), "an hour may pass");
    let rewrite_wait_max = std::time::Duration::ZERO;
    machine.options = ApplyOptions { rewrite_wait_max, ..machine.options };
    let mut machine = machine.restarted();
    machine.housekeep();
    assert_eq!(machine.store.erased_since_ms(), None);
}
