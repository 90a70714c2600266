//! What every backend must do when somebody is erased, and when something is too old.

use cairn_model::event::{ENGAGEMENT, PAGE_VIEW};

use super::*;

const ANNA: u64 = 501;
const BEN: u64 = 502;
const AT_HOME: VisitorId = VisitorId(1);
const SHARED: VisitorId = VisitorId(2);
const ELSEWHERE: VisitorId = VisitorId(3);

fn happened(
    offset: u64,
    session_id: u64,
    visitor_id: VisitorId,
    user_key: u64,
    name: &'static str,
) -> Row<'static> {
    let mut row = row(offset, session_id);
    row.event.name = name.into();
    row.event.visitor_id = visitor_id;
    row.event.user_key = user_key;
    row.event.order_id = format!("order-{}", offset / 10).into();
    row
}

/// Anna at home and on a device that she shares with Ben, who is elsewhere as well; and somebody on another site.
fn fill(store: &dyn EventStore) {
    let rows = vec![
        happened(10, 10, AT_HOME, 0, PAGE_VIEW),
        happened(11, 10, AT_HOME, ANNA, "sign_up"),
        happened(20, 20, SHARED, ANNA, PAGE_VIEW),
        happened(21, 20, SHARED, BEN, PAGE_VIEW),
        happened(22, 20, SHARED, BEN, "purchase"),
        happened(23, 20, SHARED, 0, ENGAGEMENT),
        happened(30, 30, SHARED, ANNA, PAGE_VIEW),
        happened(31, 30, SHARED, 0, ENGAGEMENT),
        happened(40, 40, ELSEWHERE, BEN, PAGE_VIEW),
        Row {
            event: Event {
                site_id: OTHER_SITE,
                ..happened(50, 50, AT_HOME, ANNA, PAGE_VIEW).event
            },
            ..row(50, 50)
        },
    ];
    let visit = |session_id: u64, visitor_id, pageviews, events| {
        let mut session = session(session_id, session_id as i64 * 1000, session_id as i64 * 1000);
        session.visitor_id = visitor_id;
        (session.pageviews, session.events) = (pageviews, events);
        session.entry_page = format!("/page/{session_id}");
        SessionChange::new(session, false)
    };
    let mut other = visit(50, AT_HOME, 1, 1);
    other.session.site_id = OTHER_SITE;
    let sessions = vec![
        visit(10, AT_HOME, 1, 2),
        visit(20, SHARED, 2, 3),
        visit(30, SHARED, 1, 1),
        visit(40, ELSEWHERE, 1, 1),
        other,
    ];
    store.commit(&batch_of(rows, sessions)).unwrap();
}

fn of(visitors: &[VisitorId], users: &[u64]) -> Subject {
    let (visitors, users) = (visitors.to_vec(), users.to_vec());
    Subject { site_id: SITE, visitors, users, ..Subject::default() }
}

fn offsets(store: &dyn EventStore, subject: &Subject) -> Vec<u64> {
    let events = store.subject_events(subject, None, 100).unwrap();
    events.iter().map(|event| event.offset).collect()
}

fn visits(store: &dyn EventStore) -> Vec<Session> {
    let mut found = store.sessions_active_since(i64::MIN, 100).unwrap();
    found.sort_by_key(|session| session.session_id);
    found
}

pub(super) fn a_subject_is_found(store: &dyn EventStore) {
    fill(store);
    assert_eq!(store.visitors_of_user(SITE, ANNA, 10).unwrap(), [AT_HOME, SHARED]);
    assert_eq!(store.visitors_of_user(SITE, ANNA, 1).unwrap(), [AT_HOME]);
    assert_eq!(store.users_of_visitor(SITE, SHARED, 10).unwrap(), [ANNA, BEN]);
    assert!(store.users_of_visitor(SITE, VisitorId(9), 10).unwrap().is_empty());
    let of_order = store.people_of_order(SITE, "order-2", 10).unwrap();
    assert_eq!(of_order, [(SHARED, 0), (SHARED, ANNA), (SHARED, BEN)]);
    assert_eq!(store.people_of_order(SITE, "", 10).unwrap(), []);
    let anna = of(&[AT_HOME], &[ANNA]);
    let summary = store.subject_summary(&anna).unwrap();
    assert_eq!((summary.events, summary.visits), (4, 3));
    assert_eq!((summary.first_ms, summary.last_ms), (Some(10_000), Some(30_000)));
    assert_eq!(summary.names, [("page_view".to_owned(), 3), ("sign_up".to_owned(), 1)]);
    assert_eq!(offsets(store, &anna), [30, 20, 11, 10]);
    let page = store.subject_events(&anna, Some(20), 1).unwrap();
    assert_eq!((page.len(), page[0].offset, &*page[0].event.path), (1, 11, "/page/11"));
    assert_eq!(store.subject_summary(&of(&[], &[])).unwrap().events, 0);
    assert_eq!(store.oldest_received_ms(SITE).unwrap(), Some(10_000));
}

pub(super) fn an_erased_subject_leaves_the_others(store: &dyn EventStore) {
    fill(store);
    assert_eq!(store.erased_since_ms(), None);
    let anna = of(&[AT_HOME], &[ANNA]);
    let erased = store.erase_subjects(std::slice::from_ref(&anna)).unwrap();
    assert_eq!((erased.events, erased.visits, erased.shared), (4, vec![2], vec![SHARED]));
    assert!(offsets(store, &anna).is_empty());
    assert_eq!(offsets(store, &of(&[SHARED, ELSEWHERE], &[])), [40, 31, 23, 22, 21]);
    let kept = visits(store);
    assert_eq!(kept.iter().map(|one| one.session_id).collect::<Vec<_>>(), [20, 40, 50]);
    // The visit on the shared device is what Ben did.
    let shared = &kept[0];
    assert_eq!((shared.pageviews, shared.events), (1, 2));
    assert_eq!((&*shared.entry_page, &*shared.exit_page), ("/page/21", "/page/21"));
    assert_eq!((shared.started_at_ms, shared.ended_at_ms), (21_000, 22_000));
    assert_eq!((shared.last_activity_ms, shared.last_received_ms), (23_000, 23_000));
    // How the erased visit's page was read is a report without a visit.
    let reading = store.subject_events(&of(&[SHARED], &[]), None, 1).unwrap();
    assert_eq!((reading[0].offset, reading[0].session_id), (31, 0));
    let elsewhere = Subject { site_id: OTHER_SITE, ..of(&[], &[ANNA]) };
    assert_eq!(offsets(store, &elsewhere), [50]);
    let again = store.erase_subjects(std::slice::from_ref(&anna)).unwrap();
    assert_eq!((again.events, again.visits), (0, vec![0]));
    assert!(store.erased_since_ms().is_some());
    while !store.rewrite_erased().unwrap().is_complete {}
    assert_eq!(store.erased_since_ms(), None);
    assert_eq!(visits(store), kept);
    assert_eq!(offsets(store, &of(&[SHARED, ELSEWHERE], &[])), [40, 31, 23, 22, 21]);
    // New rows come behind it, with texts that were gone.
    let more = batch_of(vec![happened(60, 60, AT_HOME, ANNA, "sign_up")], vec![]);
    store.commit(&more).unwrap();
    assert_eq!(offsets(store, &anna), [60]);
}

pub(super) fn erased_together_is_as_one_after_the_other(store: &dyn EventStore) {
    fill(store);
    let nobody = of(&[VisitorId(9)], &[]);
    let subjects = [of(&[], &[ANNA]), of(&[SHARED], &[BEN]), nobody];
    // An event of both is the first one's; of the shared device the rest is the second one's.
    assert_eq!(store.events_of_subjects(&subjects).unwrap(), [3, 5, 0]);
    let erased = store.erase_subjects(&subjects).unwrap();
    let expected =
        ErasedSubjects { events: 8, visits: vec![2, 1, 0], shared: vec![AT_HOME, ELSEWHERE] };
    assert_eq!(erased, expected);
    let kept: Vec<u64> = visits(store).iter().map(|one| one.session_id).collect();
    assert_eq!(kept, [10, 50], "her own browser did something before it named her");
    assert_eq!(offsets(store, &of(&[AT_HOME, SHARED, ELSEWHERE], &[])), [10]);
    assert_eq!(store.erase_subjects(&[]).unwrap(), ErasedSubjects::default());
}

pub(super) fn browsers_of_somebody_are_told_from_shared_ones(store: &dyn EventStore) {
    fill(store);
    let browsers = |visitors: &[VisitorId], users: &[u64], limit| {
        let found = store.browsers_of_users(&of(visitors, users), limit).unwrap();
        (found.alone, found.shared)
    };
    assert_eq!(browsers(&[], &[ANNA], 10), (vec![AT_HOME], vec![SHARED]));
    assert_eq!(browsers(&[AT_HOME], &[ANNA], 10), (vec![], vec![SHARED]), "known already");
    let all = vec![AT_HOME, SHARED, ELSEWHERE];
    assert_eq!(browsers(&[], &[ANNA, BEN], 10), (all, vec![]), "two who are both meant");
    assert_eq!(browsers(&[], &[ANNA, BEN], 2), (vec![AT_HOME, SHARED], vec![]));
    assert_eq!(browsers(&[AT_HOME], &[], 10), (vec![], vec![]));
}

pub(super) fn what_is_too_old_goes_in_bounded_steps(store: &dyn EventStore) {
    fill(store);
    let first = store.erase_received_before(SITE, 30_000, 3).unwrap();
    assert_eq!((first.events, first.visits), (3, 1), "the visit that is not over stays");
    assert_eq!(store.oldest_received_ms(SITE).unwrap(), Some(21_000));
    let second = store.erase_received_before(SITE, 30_000, 3).unwrap();
    assert_eq!((second.events, second.visits), (3, 1));
    assert_eq!(store.erase_received_before(SITE, 30_000, 3).unwrap(), ErasedRows::default());
    assert_eq!(store.oldest_received_ms(SITE).unwrap(), Some(30_000));
    let kept: Vec<u64> = visits(store).iter().map(|one| one.session_id).collect();
    assert_eq!(kept, [30, 40, 50], "another site's stay");
}
