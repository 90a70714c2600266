//! Erasures on record, and what is removed because it was kept long enough.
#![allow(clippy::unwrap_used)] // Helpers outside of test functions unwrap.

mod older;

use cairn_catalog::{
    Catalog, ErasureId, ErasureReason, ErasureState, MailChoices, MemoryChange, MemoryHolder,
    NewErasure, NewRequest, NewSite, NewStep, PersonChange, Replay, RequestList, RequestSource,
    RequestState, StoredResponse,
};
use cairn_model::retention::{DataClass, Retention};
use cairn_model::rights::{Law, RequestKind};
use cairn_model::{SiteId, Subject, VisitorId};
use tempfile::TempDir;

const NOW_MS: i64 = 1_795_341_600_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const BROWSER: [u8; 32] = [1; 32];
const FRESH: [u8; 32] = [2; 32];
const PERSON: [u8; 32] = [3; 32];

fn open(directory: &TempDir) -> Catalog {
    Catalog::open(&directory.path().join("catalog.sqlite")).unwrap()
}

fn site(catalog: &Catalog) -> SiteId {
    site_of(catalog, "shop.example")
}

fn site_of(catalog: &Catalog, domain: &str) -> SiteId {
    let new = NewSite::of(domain);
    catalog.add_site(&new, None, NOW_MS).unwrap().id
}

fn of_anna(site_id: SiteId) -> NewErasure {
    NewErasure {
        subject: Subject {
            site_id,
            visitors: vec![VisitorId(70)],
            users: vec![u64::MAX],
            ..Subject::default()
        },
        holders: vec![MemoryHolder::Person(PERSON), MemoryHolder::Browser(FRESH)],
        reason: ErasureReason::Owner,
        request_id: Some(5),
        names: vec!["anna+1@mail.example".into()],
    }
}

fn person(user_key: u64, user_id: &str, offset: u64, seen_at_ms: i64) -> PersonChange {
    PersonChange {
        offset,
        site_id: SiteId(0),
        user_key,
        user_id: user_id.into(),
        claimed_traits: String::new(),
        is_proven: false,
        seen_at_ms,
    }
}

#[test]
fn an_erasure_blocks_at_once_and_is_on_record_until_it_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let site_id = site(&catalog);
    let id = catalog.begin_erasure(&of_anna(site_id), NOW_MS).unwrap();
    let now = catalog.directory().current();
    assert!(now.is_opted_out(site_id, 70) && now.is_opted_out(site_id, u64::MAX));
    assert_eq!(now.open_erasures(), [id]);
    assert!(
        now.is_erased(site_id, VisitorId(70), 0) && now.is_erased(site_id, VisitorId(1), u64::MAX)
    );
    assert!(!now.is_erased(site_id, VisitorId(1), 0));
    assert!(!now.is_erased(SiteId(site_id.0 ^ 1), VisitorId(70), 0));
    drop(catalog);
    let catalog = open(&directory);
    assert_eq!(catalog.directory().current().open_erasures(), [id]);
    let erasure = catalog.erasure(id).unwrap().unwrap();
    let new = of_anna(site_id);
    assert_eq!((&erasure.subject, &erasure.holders), (&new.subject, &new.holders));
    assert_eq!((erasure.request_id, erasure.state), (Some(5), ErasureState::Waiting));
    catalog.note_erasing(&[(id, vec![("events", 7)])]).unwrap();
    catalog.note_erased(&[(id, vec![("events", 0), ("visits", 2)])], NOW_MS + 1).unwrap();
    catalog.note_remaining(&[id], "log", "the disk is read only").unwrap();
    catalog.set_erasure_states(&[id], ErasureState::Done, NOW_MS + 2).unwrap();
    catalog.set_erasure_states(&[id], ErasureState::Done, NOW_MS + 3).unwrap();
    catalog.end_erasures(&[id]).unwrap();
    let erasure = catalog.erasure(id).unwrap().unwrap();
    assert_eq!((erasure.state, erasure.done_at_ms), (ErasureState::Done, Some(NOW_MS + 2)));
    let events = erasure.place("events").unwrap();
    assert_eq!((events.count, events.done_at_ms), (7, Some(NOW_MS + 1)));
    assert_eq!(erasure.place("visits").unwrap().count, 2);
    assert!(erasure.place("log").unwrap().remaining_reason.is_some());
    assert_eq!(erasure.place("people").unwrap().done_at_ms, None);
    let now = catalog.directory().current();
    assert!(now.open_erasures().is_empty() && now.is_opted_out(site_id, 70));
    let second = catalog.begin_erasure(&of_anna(site_id), NOW_MS).unwrap();
    let listed: Vec<ErasureId> =
        catalog.erasures(site_id, None, 10).unwrap().iter().map(|one| one.id).collect();
    assert_eq!(listed, [second, id]);
    assert_eq!(catalog.erasures(site_id, Some(second), 10).unwrap()[0].id, id);
}

#[test]
fn everything_that_the_catalog_holds_of_somebody_goes() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let site_id = site(&catalog);
    let people = [
        PersonChange { site_id, ..person(u64::MAX, "anna", 1, NOW_MS) },
        PersonChange { site_id, ..person(6, "benno", 2, NOW_MS) },
    ];
    catalog.apply_log(&people, &[], 2).unwrap();
    let yes = MailChoices { opens: Some(true), clicks: None };
    catalog.record_mail_choices(site_id, u64::MAX, "anna", yes, NOW_MS).unwrap();
    let remember = |holder, name: &str| {
        let change = MemoryChange { name: name.into(), value: Some("\"M\"".into()) };
        catalog.remember(site_id, holder, &[change], NOW_MS).unwrap();
    };
    // What she left in a browser when she signed out, and what somebody else has remembered.
    remember(MemoryHolder::Browser(BROWSER), "email");
    assert!(
        catalog.tie_memory(site_id, (BROWSER, FRESH), PERSON, NOW_MS + DAY_MS, NOW_MS).unwrap()
    );
    catalog.sign_out_memory(site_id, FRESH, NOW_MS).unwrap();
    remember(MemoryHolder::Person([9; 32]), "size");
    let answer = |text: &str| StoredResponse { status: 201, body: text.as_bytes().to_vec() };
    for (key, text) in [
        (1, r#"{"html":"to anna+1@mail.example"}"#),
        (2, r#"{"html":"?for=anna%2B1%40mail.example"}"#),
        (3, r#"{"html":"to benno@mail.example"}"#),
    ] {
        catalog.keep_answer(&[key; 32], &[key; 32], &answer(text), NOW_MS).unwrap();
    }
    let new = of_anna(site_id);
    let counts = catalog.subject_counts(&new.subject, &new.holders).unwrap();
    assert_eq!((counts.people, counts.mail_choices), (1, 1));
    assert!(counts.memory >= 2, "{counts:?}");
    let id = catalog.begin_erasure(&new, NOW_MS).unwrap();
    let replay = |key: u8, request: u8| catalog.replay(&[key; 32], &[request; 32], NOW_MS).unwrap();
    // They are still known: nothing is done twice.
    assert_eq!([replay(1, 1), replay(2, 2)], [Replay::Erased, Replay::Erased]);
    assert_eq!(replay(1, 2), Replay::Mismatch);
    let benno = answer(r#"{"html":"to benno@mail.example"}"#);
    assert_eq!(replay(3, 3), Replay::Answered(benno));
    catalog.erase_people(&[id], NOW_MS).unwrap();
    catalog.erase_people(&[id], NOW_MS).unwrap();
    let counts = catalog.subject_counts(&new.subject, &new.holders).unwrap();
    assert_eq!((counts.people, counts.mail_choices, counts.memory), (0, 0, 0));
    let recalled = |holder| catalog.recall(site_id, holder, NOW_MS).unwrap().len();
    assert_eq!(recalled(MemoryHolder::Browser(FRESH)), 0);
    assert_eq!(recalled(MemoryHolder::Person([9; 32])), 1);
    assert!(catalog.person(site_id, 6).unwrap().is_some());
    let erasure = catalog.erasure(id).unwrap().unwrap();
    let count = |name: &str| erasure.place(name).unwrap().count;
    assert_eq!((count("people"), count("mail_choices"), count("answers")), (1, 1, 2));
}

fn ask(catalog: &Catalog, identifier: &str, subject: Subject, received_at_ms: i64) -> i64 {
    let new = NewRequest {
        site_id: subject.site_id,
        kind: RequestKind::Access,
        law: Law::Gdpr,
        source: RequestSource::Owner,
        identifier_kind: "email".into(),
        identifier: identifier.into(),
        subject,
        received_at_ms,
        due_at_ms: NOW_MS + 30 * DAY_MS,
    };
    let step = NewStep { user: None, step: "received", note: String::new(), at_ms: received_at_ms };
    catalog.add_request(&new, &step).unwrap().id
}

#[test]
fn who_has_a_short_name_takes_no_other_answers_along() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let site_id = site(&catalog);
    for (key, text) in [
        (1, r#"{"id":"11","created_at":"2026-11-23T16:01:11Z","count":1}"#),
        (2, r#"{"user_id":"1"}"#),
    ] {
        let answer = StoredResponse { status: 201, body: text.as_bytes().to_vec() };
        catalog.keep_answer(&[key; 32], &[key; 32], &answer, NOW_MS).unwrap();
    }
    let new = NewErasure { names: vec!["1".into()], ..of_anna(site_id) };
    let id = catalog.begin_erasure(&new, NOW_MS).unwrap();
    assert!(matches!(catalog.replay(&[1; 32], &[1; 32], NOW_MS).unwrap(), Replay::Answered(_)));
    assert_eq!(catalog.replay(&[2; 32], &[2; 32], NOW_MS).unwrap(), Replay::Erased);
    let erasure = catalog.erasure(id).unwrap().unwrap();
    assert_eq!(erasure.place("answers").unwrap().count, 1);
}

#[test]
fn open_requests_of_the_erased_name_nobody_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let site_id = site(&catalog);
    let traits = r#"{"email":"Anna@mail.example"}"#.to_owned();
    let anna = PersonChange {
        site_id,
        claimed_traits: traits,
        is_proven: true,
        ..person(u64::MAX, "anna", 1, NOW_MS)
    };
    // What a browser says of her is nobody's name.
    let claimed = r#"{"email":"benno@mail.example"}"#.to_owned();
    let dora = PersonChange { site_id, claimed_traits: claimed, ..person(9, "dora", 2, NOW_MS) };
    catalog.apply_log(&[anna, dora], &[], 2).unwrap();
    let of_dora = Subject { site_id, users: vec![9], ..Subject::default() };
    let of = |visitors: &[u64], users: &[u64]| Subject {
        site_id,
        visitors: visitors.iter().copied().map(VisitorId).collect(),
        users: users.to_vec(),
        ..Subject::default()
    };
    let elsewhere = site_of(&catalog, "elsewhere.example");
    let (other_site, now) = (Subject { site_id: elsewhere, ..of(&[70], &[]) }, NOW_MS);
    let by_number = ask(&catalog, "known@mail.example", of(&[], &[4, u64::MAX]), now);
    let by_browser = ask(&catalog, "70", of(&[70], &[]), now);
    let by_name = ask(&catalog, "ANNA+1@mail.example", of(&[], &[]), now);
    let by_trait = ask(&catalog, "anna@mail.example", of(&[], &[]), now);
    let kept = [
        ask(&catalog, "benno@mail.example", of(&[71], &[5]), now),
        ask(&catalog, "anna+12@mail.example", of(&[], &[]), now),
        ask(&catalog, "anna+1@mail.example", of(&[70], &[]), now + 1),
    ];
    let far = ask(&catalog, "anna+1@mail.example", other_site, now);
    let identifier = |site_id, id| catalog.request(site_id, id).unwrap().unwrap().identifier;
    let names = Vec::new();
    let dora = NewErasure { subject: of_dora, holders: Vec::new(), names, ..of_anna(site_id) };
    let dora = catalog.begin_erasure(&dora, now).unwrap();
    catalog.erase_people(&[dora], now).unwrap();
    let id = catalog.begin_erasure(&of_anna(site_id), now).unwrap();
    for id in [by_number, by_browser, by_name] {
        assert_eq!(identifier(site_id, id), "", "{id}");
    }
    // One that came while the erasure was begun, and one that only the people's entry explains, as in a backup.
    let meanwhile = ask(&catalog, "known@mail.example", of(&[], &[u64::MAX]), now);
    catalog.erase_people(&[id], now).unwrap();
    for id in [meanwhile, by_trait] {
        assert_eq!(identifier(site_id, id), "", "{id}");
    }
    assert!(kept.iter().all(|id| !identifier(site_id, *id).is_empty()));
    assert!(!identifier(elsewhere, far).is_empty(), "another site's");
    let still_about = catalog.request(site_id, by_number).unwrap().unwrap().subject;
    assert_eq!(still_about, of(&[], &[4, u64::MAX]));
    let erasure = catalog.erasure(id).unwrap().unwrap();
    let place = erasure.place("requests").unwrap();
    assert_eq!((place.count, place.done_at_ms), (5, Some(now)));
}

#[test]
fn an_entry_goes_as_it_was_and_its_person_is_not_blocked() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let site_id = site(&catalog);
    let people = [
        PersonChange { site_id, ..person(5, "carla", 1, NOW_MS) },
        PersonChange { site_id, ..person(6, "dora", 2, NOW_MS) },
    ];
    catalog.apply_log(&people, &[], 2).unwrap();
    let subject =
        Subject { site_id, visitors: vec![VisitorId(70)], users: vec![], entries: vec![5, 6] };
    let new = NewErasure { subject, holders: Vec::new(), names: Vec::new(), ..of_anna(site_id) };
    assert_eq!(catalog.subject_counts(&new.subject, &[]).unwrap().people, 2);
    let id = catalog.begin_erasure(&new, NOW_MS).unwrap();
    assert_eq!(catalog.erasure(id).unwrap().unwrap().subject, new.subject);
    let now = catalog.directory().current();
    assert!(now.is_opted_out(site_id, 70));
    assert!(!now.is_opted_out(site_id, 5) && !now.is_erased(site_id, VisitorId(1), 5));
    // Somebody else names her meanwhile.
    let later = [PersonChange { site_id, ..person(6, "dora", 3, NOW_MS + 1) }];
    catalog.apply_log(&later, &[], 3).unwrap();
    catalog.erase_people(&[id], NOW_MS + 2).unwrap();
    assert!(catalog.person(site_id, 5).unwrap().is_none());
    assert!(catalog.person(site_id, 6).unwrap().is_some());
    assert_eq!(catalog.erasure(id).unwrap().unwrap().place("people").unwrap().count, 1);
}

fn step(step: &'static str) -> NewStep {
    NewStep { user: None, step, note: String::new(), at_ms: NOW_MS }
}

fn request_to_erase(site_id: SiteId) -> NewRequest {
    NewRequest {
        site_id,
        kind: RequestKind::Erase,
        law: Law::Gdpr,
        source: RequestSource::Visitor,
        identifier_kind: "cairn_id".into(),
        identifier: String::new(),
        subject: of_anna(site_id).subject,
        received_at_ms: NOW_MS,
        due_at_ms: NOW_MS + 30 * DAY_MS,
    }
}

#[test]
fn a_request_is_closed_with_its_erasure() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let site_id = site(&catalog);
    let steps = [&step("received"), &step("erasing")];
    let new = request_to_erase(site_id);
    let by_visitor = catalog.add_erasing_request(&new, &of_anna(site_id), steps).unwrap();
    let other = catalog.add_request(&new, &step("received")).unwrap();
    let of_other = catalog
        .begin_request_erasure(site_id, other.id, &of_anna(site_id), &step("erasing"))
        .unwrap()
        .unwrap();
    let again = catalog.begin_request_erasure(site_id, other.id, &of_anna(site_id), steps[1]);
    assert_eq!(again.unwrap(), None, "it is being carried out");
    assert_eq!(catalog.erasures(site_id, None, 10).unwrap().len(), 2);
    assert_eq!((by_visitor.state, other.state), (RequestState::Erasing, RequestState::Open));
    let erasure = ErasureId(by_visitor.erasure_id.unwrap());
    assert_eq!(catalog.erasure(erasure).unwrap().unwrap().request_id, Some(by_visitor.id));
    assert!(catalog.directory().current().is_opted_out(site_id, 70));
    let close = |state| catalog.close_request(site_id, by_visitor.id, state, &step("done"));
    assert!(!close(RequestState::Done).unwrap(), "only its erasure closes it");
    catalog.set_erasure_states(&[erasure], ErasureState::Running, NOW_MS + 1).unwrap();
    assert_eq!(catalog.waiting_requests(site_id, NOW_MS).unwrap().0, 2);
    catalog.set_erasure_states(&[erasure], ErasureState::Done, NOW_MS + 2).unwrap();
    catalog.set_erasure_states(&[erasure], ErasureState::Done, NOW_MS + 3).unwrap();
    assert_eq!(catalog.waiting_requests(site_id, NOW_MS).unwrap().0, 1);
    let closed = catalog.request(site_id, by_visitor.id).unwrap().unwrap();
    assert_eq!((closed.state, closed.closed_at_ms), (RequestState::Done, Some(NOW_MS + 2)));
    let steps = catalog.steps(by_visitor.id).unwrap();
    let names: Vec<_> = steps.iter().map(|step| (step.step.as_str(), step.at_ms)).collect();
    assert_eq!(names, [("received", NOW_MS), ("erasing", NOW_MS), ("done", NOW_MS + 2)]);
    let waits = catalog.request(site_id, other.id).unwrap().unwrap();
    assert_eq!((waits.state, waits.erasure_id), (RequestState::Erasing, Some(of_other.0)));
}

#[test]
fn a_request_that_nobody_looked_for_since_its_erasure_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let site_id = site(&catalog);
    let steps = [&step("received"), &step("erasing")];
    let add = || catalog.add_erasing_request(&request_to_erase(site_id), &of_anna(site_id), steps);
    let (done, waits) = (add().unwrap(), add().unwrap());
    let erasure = ErasureId(done.erasure_id.unwrap());
    catalog.set_erasure_states(&[erasure], ErasureState::Done, NOW_MS + 2).unwrap();
    drop(catalog);
    // As it was before they were closed together.
    let file = rusqlite::Connection::open(directory.path().join("catalog.sqlite")).unwrap();
    older::back_to(&file, 12);
    drop(file);
    let catalog = open(&directory);
    let closed = catalog.request(site_id, done.id).unwrap().unwrap();
    assert_eq!((closed.state, closed.closed_at_ms), (RequestState::Done, Some(NOW_MS + 2)));
    assert_eq!(catalog.steps(done.id).unwrap().last().unwrap().step, "done");
    let waits = catalog.request(site_id, waits.id).unwrap().unwrap();
    assert_eq!((waits.state, waits.closed_at_ms), (RequestState::Erasing, None));
}

#[test]
fn an_erasure_that_cannot_begin_leaves_no_request() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let site_id = site(&catalog);
    let failing = rusqlite::Connection::open(directory.path().join("catalog.sqlite")).unwrap();
    let full =
        "CREATE TRIGGER full BEFORE INSERT ON erasures BEGIN SELECT raise(ABORT, 'full'); END";
    failing.execute_batch(full).unwrap();
    let new = request_to_erase(site_id);
    let steps = [&step("received"), &step("erasing")];
    catalog.add_erasing_request(&new, &of_anna(site_id), steps).unwrap_err();
    let all = RequestList::Newest { state: None, before: None };
    assert!(catalog.requests(site_id, all, 10).unwrap().is_empty());
    // One that waited still does, with the identifier by which it can be served.
    let new = NewRequest { identifier: "ab".into(), ..new };
    let waits = catalog.add_request(&new, &step("received")).unwrap();
    catalog.begin_request_erasure(site_id, waits.id, &of_anna(site_id), steps[1]).unwrap_err();
    let waits = catalog.request(site_id, waits.id).unwrap().unwrap();
    assert_eq!((waits.state, waits.identifier.as_str()), (RequestState::Open, "ab"));
}

#[test]
fn what_was_kept_long_enough_goes_and_the_run_is_on_record() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let site_id = site(&catalog);
    let people = [
        PersonChange { site_id, ..person(1, "old", 1, NOW_MS - 31 * DAY_MS) },
        PersonChange { site_id, ..person(2, "young", 2, NOW_MS - 29 * DAY_MS) },
    ];
    catalog.apply_log(&people, &[], 2).unwrap();
    let retention = Retention { people: Some(30), ..Retention::default() };
    let removed = catalog.expire_site(site_id, &retention, NOW_MS).unwrap();
    assert!(removed.contains(&(DataClass::People, 1)), "{removed:?}");
    assert!(catalog.person(site_id, 1).unwrap().is_none());
    assert!(catalog.person(site_id, 2).unwrap().is_some());
    catalog.note_retention(Some(site_id), &removed, NOW_MS).unwrap();
    let run = catalog.retention_run(site_id, DataClass::People).unwrap().unwrap();
    assert_eq!((run.ran_at_ms, run.removed), (NOW_MS, 1));
    let oldest = catalog.oldest_held_ms(site_id, DataClass::People).unwrap();
    assert_eq!(oldest, Some(NOW_MS - 29 * DAY_MS));
    // A record of an erasure is evidence: it goes after its time, and only when it is done.
    let done = catalog.begin_erasure(&of_anna(site_id), NOW_MS).unwrap();
    let open = catalog.begin_erasure(&of_anna(site_id), NOW_MS).unwrap();
    catalog.set_erasure_states(&[done], ErasureState::Done, NOW_MS).unwrap();
    catalog.end_erasures(&[done]).unwrap();
    let in_time = NOW_MS + 3 * 366 * DAY_MS;
    catalog.expire_site(site_id, &retention, in_time).unwrap();
    assert!(catalog.erasure(done).unwrap().is_some());
    catalog.expire_site(site_id, &retention, in_time + 1).unwrap();
    assert!(catalog.erasure(done).unwrap().is_none());
    assert!(catalog.erasure(open).unwrap().is_some());
    assert!(catalog.directory().current().is_opted_out(site_id, 70), "the block has no end");
    let answer = StoredResponse { status: 200, body: Vec::new() };
    catalog.keep_answer(&[1; 32], &[1; 32], &answer, NOW_MS).unwrap();
    let removed = catalog.expire_instance(NOW_MS + DAY_MS).unwrap();
    assert!(removed.contains(&(DataClass::Answers, 1)), "{removed:?}");
}
