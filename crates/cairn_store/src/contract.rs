//! What every backend must do: one suite, run on each of them.
//!
//! The functions take an empty store. Random batches are compared with the reference backend, which is the oracle.

mod erasure;

use std::sync::Arc;

use cairn_model::session::Attributes;
use cairn_model::{
    Basis, Event, Identification, Origin, Outcome, PixelId, Session, SiteId, Subject, VisitorId,
};
use proptest::prelude::*;

use crate::reference::ReferenceStore;
use crate::{
    Batch, ErasedRows, ErasedSubjects, EventStore, OutcomeCount, PixelActivity, Row, SessionChange,
    SessionProbe, StoreError, Watermark,
};

pub(crate) const SITE: SiteId = SiteId(7);
const OTHER_SITE: SiteId = SiteId(u32::MAX);
const MINUTE_MS: i64 = 60_000;

/// Runs the suite; `make` gives an empty store each time.
pub(crate) fn holds(make: &dyn Fn() -> Box<dyn EventStore>) {
    let checks: [fn(&dyn EventStore); 17] = [
        a_new_store_is_empty,
        batches_advance_the_watermark_and_old_ones_are_refused,
        changed_visits_replace_their_earlier_state,
        probes_find_visits_within_reach,
        active_visits_are_those_with_late_arrivals,
        outcomes_add_up_by_site_and_time,
        pixels_report_when_they_were_heard,
        bots_are_counted_by_reason,
        a_visitors_other_user_is_found,
        keys_come_back_in_order,
        a_deleted_site_leaves_the_others,
        large_batches_are_whole,
        erasure::a_subject_is_found,
        erasure::an_erased_subject_leaves_the_others,
        erasure::erased_together_is_as_one_after_the_other,
        erasure::browsers_of_somebody_are_told_from_shared_ones,
        erasure::what_is_too_old_goes_in_bounded_steps,
    ];
    for check in checks {
        check(&*make());
    }
}

/// A page view of one site.
pub(crate) fn row(offset: u64, session_id: u64) -> Row<'static> {
    let mut event = Event::bare(SITE, "page_view", offset as i64 * 1000);
    event.pixel_id = PixelId(3);
    event.visitor_id = VisitorId(session_id + 1000);
    event.hostname = "shop.example".into();
    event.path = format!("/page/{offset}").into();
    Row { offset, session_id, attributes: Arc::default(), event }
}

/// A visit of one site from `start_ms` to `last_ms`.
pub(crate) fn session(session_id: u64, start_ms: i64, last_ms: i64) -> Session {
    Session {
        site_id: SITE,
        session_id,
        visitor_id: VisitorId(session_id + 1000),
        identification: Identification::Identified,
        session_key: 0,
        started_at_ms: start_ms,
        ended_at_ms: last_ms,
        last_activity_ms: last_ms,
        last_received_ms: last_ms,
        pageviews: 1,
        events: 1,
        entry_hostname: "shop.example".into(),
        entry_page: "/".into(),
        exit_hostname: "shop.example".into(),
        exit_page: "/cart".into(),
        attributes: Arc::new(Attributes::new(std::array::from_fn(|index| {
            ["", "Google", "a", "b", "c"][index % 5]
        }))),
    }
}

fn batch_of(rows: Vec<Row<'static>>, sessions: Vec<SessionChange>) -> Batch<'static> {
    let offset = rows.last().map_or(1, |row| row.offset);
    let watermark = Watermark { offset, received_at_ms: offset as i64 * 1000 };
    Batch { rows, sessions, outcomes: Vec::new(), watermark }
}

fn begun(session: Session) -> SessionChange {
    SessionChange::new(session, false)
}

fn changed(session: Session) -> SessionChange {
    SessionChange::new(session, true)
}

/// Every visit, by number.
pub(crate) fn all_sessions(store: &dyn EventStore) -> Vec<Session> {
    let mut sessions = store.sessions_active_since(i64::MIN, 1_000_000).unwrap();
    sessions.sort_by_key(|session| (session.site_id, session.session_id));
    sessions
}

/// Every key, as (offset, key, arrival).
pub(crate) fn keys_after(store: &dyn EventStore, offset: u64) -> Vec<(u64, u128, i64)> {
    let mut keys = Vec::new();
    store.event_keys_after(offset, &mut |offset, key, at| keys.push((offset, key, at))).unwrap();
    keys
}

fn a_new_store_is_empty(store: &dyn EventStore) {
    assert_eq!(store.watermark().unwrap(), Watermark::default());
    assert!(all_sessions(store).is_empty());
    assert!(keys_after(store, 0).is_empty());
    assert!(store.outcomes_since(SITE, i64::MIN).unwrap().is_empty());
    assert!(store.pixel_activity(SITE, 0).unwrap().is_empty());
    store.checkpoint().unwrap();
}

fn batches_advance_the_watermark_and_old_ones_are_refused(store: &dyn EventStore) {
    let first = batch_of(vec![row(1, 1), row(5, 1)], vec![begun(session(1, 1000, 5000))]);
    store.commit(&first).unwrap();
    assert_eq!(store.watermark().unwrap(), first.watermark);
    for offset in [5, 4, 0] {
        let mut again = first.clone();
        again.watermark.offset = offset;
        let refused = store.commit(&again).unwrap_err();
        let StoreError::NotAhead { offset: told, watermark: 5 } = refused else {
            panic!("{refused}")
        };
        assert_eq!(told, offset);
    }
    assert_eq!(store.pixel_activity(SITE, 0).unwrap()[0].1.events_since, 2, "nothing twice");
    assert_eq!(all_sessions(store).len(), 1);
    let nothing =
        Batch { watermark: Watermark { offset: 9, received_at_ms: 77 }, ..Batch::default() };
    store.commit(&nothing).unwrap();
    assert_eq!(store.watermark().unwrap(), nothing.watermark);
}

fn changed_visits_replace_their_earlier_state(store: &dyn EventStore) {
    let visits = (1..=300).map(|id| begun(session(id, id as i64, id as i64))).collect();
    store.commit(&batch_of(vec![row(300, 1)], visits)).unwrap();
    let mut later = session(7, 7, 9999);
    later.events = 12;
    later.exit_page = "/thanks".into();
    let mut swapped_site = session(299, 299, 299);
    swapped_site.pageviews = u32::MAX;
    let changes =
        vec![changed(later.clone()), begun(session(301, 5, 5)), changed(swapped_site.clone())];
    store.commit(&batch_of(vec![row(301, 7)], changes)).unwrap();
    let sessions = all_sessions(store);
    assert_eq!(sessions.len(), 301);
    assert_eq!(sessions[6], later);
    assert_eq!(sessions[298], swapped_site);
    assert_eq!(sessions[0], session(1, 1, 1));
}

fn probes_find_visits_within_reach(store: &dyn EventStore) {
    let reach = 30 * MINUTE_MS;
    let mut foreign = session(2, 0, 0);
    foreign.site_id = OTHER_SITE;
    foreign.visitor_id = VisitorId(1001);
    let sessions = [
        session(1, 100 * MINUTE_MS, 110 * MINUTE_MS),
        foreign,
        Session { visitor_id: VisitorId(1001), ..session(3, 200 * MINUTE_MS, 200 * MINUTE_MS) },
        Session { visitor_id: VisitorId(u64::MAX), ..session(4, i64::MIN, i64::MAX) },
    ];
    let batch = batch_of(vec![row(9, 1)], sessions.into_iter().map(begun).collect());
    store.commit(&batch).unwrap();
    let near = |visitor: u64, timestamp_ms: i64| {
        let visitor_id = VisitorId(visitor);
        let probe = SessionProbe { site_id: SITE, visitor_id, timestamp_ms, session_key: 0 };
        let found = store.sessions_near(&[probe, probe], reach).unwrap();
        found.into_iter().map(|session| session.session_id).collect::<Vec<_>>()
    };
    assert_eq!(near(1001, 105 * MINUTE_MS), [1]);
    assert_eq!(near(1001, 140 * MINUTE_MS), [1], "the reach is inclusive");
    assert_eq!(near(1001, 70 * MINUTE_MS), [1], "before the start as well");
    assert_eq!(near(1001, 140 * MINUTE_MS + 1), [0u64; 0]);
    assert_eq!(near(1001, 70 * MINUTE_MS - 1), [0u64; 0]);
    assert_eq!(near(1001, 0), [0u64; 0], "another site's visit");
    assert_eq!(near(5, 105 * MINUTE_MS), [0u64; 0]);
    assert_eq!(near(u64::MAX, i64::MAX), [4], "no overflow");
    assert_eq!(near(u64::MAX, i64::MIN), [4], "no overflow");
    assert!(store.sessions_near(&[], reach).unwrap().is_empty());
    let probe = |visitor, timestamp_ms| SessionProbe {
        site_id: SITE,
        visitor_id: VisitorId(visitor),
        timestamp_ms,
        session_key: 0,
    };
    let two = [probe(1001, 170 * MINUTE_MS), probe(1001, 139 * MINUTE_MS), probe(6, 0)];
    let mut found = store.sessions_near(&two, reach).unwrap();
    found.sort_by_key(|session| session.session_id);
    assert_eq!(found.len(), 2, "each once");
    assert_eq!(found[0], session(1, 100 * MINUTE_MS, 110 * MINUTE_MS));
    let mut numbered = session(20, 100 * MINUTE_MS, 110 * MINUTE_MS);
    numbered.session_key = 77;
    store.commit(&batch_of(vec![row(20, 1)], vec![begun(numbered)])).unwrap();
    let by_number = SessionProbe { session_key: 77, ..probe(1020, 9_000 * MINUTE_MS) };
    let found = store.sessions_near(&[by_number, probe(6, 0)], reach).unwrap();
    assert_eq!(found.len(), 1, "a visit asked for by its number may have been at any time");
    assert_eq!(found[0].session_id, 20);
}

fn active_visits_are_those_with_late_arrivals(store: &dyn EventStore) {
    let visits = (1..=5).map(|id| begun(session(id, 0, id as i64 * 10))).collect();
    store.commit(&batch_of(vec![row(9, 1)], visits)).unwrap();
    let mut ids: Vec<u64> = store
        .sessions_active_since(30, 1_000)
        .unwrap()
        .iter()
        .map(|each| each.session_id)
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [3, 4, 5]);
    assert!(store.sessions_active_since(51, 1_000).unwrap().is_empty());
    let latest = store.sessions_active_since(30, 1).unwrap();
    assert_eq!(latest.len(), 1);
    assert_eq!(latest[0].session_id, 5, "the latest arrivals first");
}

fn outcomes_add_up_by_site_and_time(store: &dyn EventStore) {
    let hour = 3_600_000;
    let count =
        |site_id, hour_ms, outcome, count| OutcomeCount { site_id, hour_ms, outcome, count };
    for (offset, hour_ms) in [(1, 0), (2, hour), (3, hour)] {
        let mut batch = batch_of(vec![row(offset, 1)], Vec::new());
        batch.outcomes = vec![
            count(SITE, hour_ms, Outcome::Accepted, 10),
            count(SITE, hour_ms, Outcome::Duplicate, offset),
            count(OTHER_SITE, hour_ms, Outcome::UnavailableOverloaded, 1 << 40),
        ];
        store.commit(&batch).unwrap();
    }
    let since = |site_id, since_ms| store.outcomes_since(site_id, since_ms).unwrap();
    assert_eq!(since(SITE, 0), [(Outcome::Accepted, 30), (Outcome::Duplicate, 6)]);
    assert_eq!(since(SITE, hour), [(Outcome::Accepted, 20), (Outcome::Duplicate, 5)]);
    assert_eq!(since(SITE, hour + 1), []);
    assert_eq!(since(OTHER_SITE, hour), [(Outcome::UnavailableOverloaded, 2 << 40)]);
}

fn pixels_report_when_they_were_heard(store: &dyn EventStore) {
    let mut rows: Vec<_> = (1..=6).map(|offset| row(offset, 1)).collect();
    rows[0].event.pixel_id = PixelId(u32::MAX);
    rows[1].event.origin = Origin::Import;
    rows[1].event.pixel_id = PixelId(0);
    rows[5].event.site_id = OTHER_SITE;
    store.commit(&batch_of(rows, Vec::new())).unwrap();
    let activity = |first, last, events_since| PixelActivity {
        first_received_ms: Some(first),
        last_received_ms: Some(last),
        events_since,
    };
    assert_eq!(
        store.pixel_activity(SITE, 4000).unwrap(),
        [(PixelId(3), activity(3000, 5000, 2)), (PixelId(u32::MAX), activity(1000, 1000, 0))]
    );
    let counts = |starts: &[i64]| store.pixel_counts(SITE, starts).unwrap();
    assert_eq!(
        counts(&[1000, 1001, 3001, 5000]),
        [(PixelId(3), vec![0, 1, 1, 1]), (PixelId(u32::MAX), vec![1, 0, 0, 0])]
    );
    assert_eq!(counts(&[4000, 9000]), [(PixelId(3), vec![2, 0])], "before the first: not counted");
    assert_eq!(counts(&[]), []);
}

fn bots_are_counted_by_reason(store: &dyn EventStore) {
    let bot = |reason| {
        let mut event = Event::bare(SITE, "page_view", 0);
        event.bot = std::borrow::Cow::Borrowed(reason);
        Arc::new(Attributes::of(&event))
    };
    let mut rows: Vec<_> = (1..=6).map(|offset| row(offset, 1)).collect();
    for (index, reason) in [(0, "headless"), (2, "declared"), (3, "headless"), (5, "declared")] {
        rows[index].attributes = bot(reason);
    }
    rows[5].event.site_id = OTHER_SITE;
    store.commit(&batch_of(rows, Vec::new())).unwrap();
    let counted = |since_ms| store.bots_since(SITE, since_ms).unwrap();
    assert_eq!(counted(0), [("declared".to_owned(), 1), ("headless".to_owned(), 2)]);
    assert_eq!(counted(4000), [("headless".to_owned(), 1)]);
    assert!(counted(5000).is_empty());
}

fn a_visitors_other_user_is_found(store: &dyn EventStore) {
    let mut rows: Vec<_> = (1..=4).map(|offset| row(offset, 1)).collect();
    for (row, (visitor, user)) in rows.iter_mut().zip([(5, 0), (5, u64::MAX), (6, 9), (5, 8)]) {
        row.event.visitor_id = cairn_model::VisitorId(visitor);
        row.event.user_key = user;
    }
    rows[3].event.site_id = OTHER_SITE;
    store.commit(&batch_of(rows, Vec::new())).unwrap();
    let other =
        |visitor, user| store.other_user_of(SITE, cairn_model::VisitorId(visitor), user).unwrap();
    assert_eq!([other(5, u64::MAX), other(5, 8), other(7, 8)], [None, Some(u64::MAX), None]);
    assert_eq!([other(6, 9), other(6, 8)], [None, Some(9)]);
}

fn keys_come_back_in_order(store: &dyn EventStore) {
    let mut expected = Vec::new();
    for first in [1u64, 5001] {
        let rows: Vec<_> = (first..first + 5000)
            .map(|offset| {
                let mut row = row(offset, 1);
                if offset % 3 > 0 {
                    row.event.event_key = u128::MAX - u128::from(offset);
                    expected.push((offset, row.event.event_key, row.event.received_at_ms));
                }
                row
            })
            .collect();
        store.commit(&batch_of(rows, Vec::new())).unwrap();
        store.checkpoint().unwrap();
    }
    assert_eq!(keys_after(store, 0), expected);
    let late: Vec<_> = expected.iter().filter(|(offset, ..)| *offset > 4711).copied().collect();
    assert_eq!(keys_after(store, 4711), late);
    assert!(keys_after(store, 10_000).is_empty());
}

fn a_deleted_site_leaves_the_others(store: &dyn EventStore) {
    let mut rows = vec![row(1, 1), row(2, 2)];
    rows[1].event.site_id = OTHER_SITE;
    rows[0].event.event_key = 1;
    rows[1].event.event_key = 2;
    let foreign = Session { site_id: OTHER_SITE, ..session(2, 0, 0) };
    let mut batch = batch_of(rows, vec![begun(session(1, 0, 0)), begun(foreign.clone())]);
    batch.outcomes = [SITE, OTHER_SITE]
        .map(|site_id| OutcomeCount { site_id, hour_ms: 0, outcome: Outcome::Accepted, count: 1 })
        .to_vec();
    store.commit(&batch).unwrap();
    store.delete_site(SITE).unwrap();
    assert_eq!(all_sessions(store), [foreign]);
    assert_eq!(keys_after(store, 0), [(2, 2, 2000)]);
    assert!(store.outcomes_since(SITE, 0).unwrap().is_empty());
    assert_eq!(store.outcomes_since(OTHER_SITE, 0).unwrap().len(), 1);
    assert!(store.pixel_activity(SITE, 0).unwrap().is_empty());
    assert_eq!(store.watermark().unwrap(), batch.watermark, "what is applied stays applied");
}

fn large_batches_are_whole(store: &dyn EventStore) {
    let rows = (1..=10_000).map(|offset| row(offset, offset)).collect();
    let visits = (1..=10_000).map(|id| begun(session(id, 0, id as i64))).collect();
    store.commit(&batch_of(rows, visits)).unwrap();
    let visits = (1..=9_999).map(|id| changed(session(id, 0, -1))).collect();
    store.commit(&batch_of(vec![row(10_001, 1)], visits)).unwrap();
    assert_eq!(store.pixel_activity(SITE, 0).unwrap()[0].1.events_since, 10_001);
    assert_eq!(all_sessions(store).len(), 10_000);
    assert_eq!(store.sessions_active_since(0, 1_000).unwrap().len(), 1);
}

/// Texts that break what is careless: NUL, four bytes, right to left, quotes, the lengths around in-place storage.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        4 => "[a-z]{1,20}",
        1 => "\\PC{0,40}",
        1 => Just("NUL \0 inside".to_owned()),
        1 => Just("\u{1F980}\u{10FFFF} \u{5D0}\u{5D1}\u{202E} \u{FEFF}".to_owned()),
        1 => Just("'; DROP TABLE events; --\"\\".to_owned()),
        1 => Just("exactly 12 b".to_owned()),
        1 => Just("13 bytes long".to_owned()),
        1 => Just("x".repeat(2048)),
    ]
}

fn extreme() -> impl Strategy<Value = i64> {
    prop_oneof![3 => 0..1_000_000i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX), 1 => any::<i64>()]
}

/// Which texts of an event are filled comes from one list, so that the strategy stays small.
fn fill_texts(event: &mut Event<'static>, texts: &[String]) {
    let places = [
        &mut event.name,
        &mut event.hostname,
        &mut event.path,
        &mut event.query,
        &mut event.title,
        &mut event.click_id_kind,
        &mut event.click_id,
        &mut event.organization,
        &mut event.network_marks,
        &mut event.screen,
        &mut event.language,
        &mut event.currency,
        &mut event.order_id,
        &mut event.items,
        &mut event.section_id,
        &mut event.props,
    ];
    for (place, text) in places.into_iter().zip(texts) {
        *place = text.clone().into();
    }
}

/// Number of texts that [`fill_texts`] and the attributes take.
const TEXTS: usize = 34;

prop_compose! {
    fn any_row()(
        texts in prop::collection::vec(text(), TEXTS),
        id in prop_oneof![
            Just(String::new()),
            Just("0f8fad5b-d9cb-469f-a165-70867728950e".to_owned()),
            Just("0F8FAD5B-D9CB-469F-A165-70867728950E".to_owned()),
            text(),
        ],
        (ids, key) in (prop::array::uniform4(any::<u64>()), prop_oneof![Just(0u128), any::<u128>()]),
        (received_at_ms, timestamp_ms, value) in (extreme(), extreme(), prop::option::of(extreme())),
        (small, bytes) in (prop::array::uniform4(prop::option::of(any::<u32>())), any::<[u8; 4]>()),
        flags in any::<[bool; 5]>(),
    ) -> Row<'static> {
        let site_id = if flags[0] { SITE } else { OTHER_SITE };
        let mut event = Event::bare(site_id, "", timestamp_ms);
        fill_texts(&mut event, &texts);
        event.received_at_ms = received_at_ms;
        event.pixel_id = PixelId(small[3].unwrap_or(1));
        event.origin = if flags[1] { Origin::Live } else { Origin::Import };
        event.identification =
            if flags[2] { Identification::Identified } else { Identification::Anonymous };
        event.visitor_id = VisitorId(ids[0]);
        event.user_key = ids[1];
        event.event_key = if id.is_empty() || key != 0 { key } else { 1 };
        event.event_id = id.into();
        event.basis = Basis::ALL[bytes[0] as usize % Basis::ALL.len()];
        event.asn = small[0].unwrap_or(0);
        event.value_minor = value;
        event.engagement_ms = small[1];
        event.section_visible_ms = small[2];
        event.scroll_percent = flags[3].then_some(bytes[1]);
        event.section_visible_percent = flags[0].then_some(bytes[2]);
        event.truncated = flags[4];
        event.user_id = "never stored".into();
        event.traits = "{}".into();
        let attributes = Attributes::new(std::array::from_fn(|index| texts[16 + index].as_str()));
        Row { offset: 0, session_id: ids[2], attributes: Arc::new(attributes), event }
    }
}

/// A few batches of anything: rows, visits begun and changed, outcomes.
pub(crate) fn any_batches() -> impl Strategy<Value = Vec<Batch<'static>>> {
    let change = (any_row(), 1..40u64, extreme(), extreme(), any::<[u32; 2]>());
    let batch = (prop::collection::vec(any_row(), 0..5), prop::collection::vec(change, 0..5));
    prop::collection::vec(batch, 1..5).prop_map(|parts| {
        let (mut known, mut offset) = (std::collections::BTreeSet::new(), 0);
        let mut batches = Vec::new();
        for (mut rows, changes) in parts {
            for row in &mut rows {
                offset += 1;
                row.offset = offset;
            }
            let mut sessions = std::collections::BTreeMap::new();
            for (row, session_id, start, last, [pageviews, events]) in changes {
                let session = Session {
                    site_id: row.event.site_id,
                    visitor_id: row.event.visitor_id,
                    identification: row.event.identification,
                    session_key: row.event.user_key,
                    pageviews,
                    events,
                    entry_page: row.event.path.to_string(),
                    exit_page: row.event.title.to_string(),
                    attributes: row.attributes,
                    ..session(session_id, start, last)
                };
                sessions.insert(session_id, session);
            }
            let changes = sessions.into_values().map(|session| {
                let replaces = !known.insert(session.session_id);
                SessionChange::new(session, replaces)
            });
            let sessions = changes.collect();
            let outcomes = rows.iter().map(|row| OutcomeCount {
                site_id: row.event.site_id,
                hour_ms: row.event.received_at_ms,
                outcome: Outcome::ALL[row.offset as usize % 14],
                count: row.offset,
            });
            let outcomes = outcomes.collect();
            offset += 1;
            let watermark = Watermark { offset, received_at_ms: offset as i64 };
            batches.push(Batch { rows, sessions, outcomes, watermark });
        }
        batches
    })
}

/// Everything that the trait tells about the two is equal.
pub(crate) fn assert_equal(store: &dyn EventStore, oracle: &ReferenceStore) {
    assert_eq!(store.watermark().unwrap(), oracle.watermark().unwrap());
    assert_eq!(all_sessions(store), all_sessions(oracle));
    assert_eq!(keys_after(store, 0), keys_after(oracle, 0));
    assert_eq!(keys_after(store, 2), keys_after(oracle, 2));
    for site in [SITE, OTHER_SITE] {
        for since in [i64::MIN, 0, i64::MAX] {
            let [mine, theirs] = [store, oracle as &dyn EventStore].map(|store| {
                let outcomes = store.outcomes_since(site, since).unwrap();
                let counts = store.pixel_counts(site, &[since, since.saturating_add(3)]);
                (outcomes, store.pixel_activity(site, since).unwrap(), counts.unwrap())
            });
            assert_eq!(mine, theirs);
        }
    }
    let probes: Vec<_> = oracle
        .sessions()
        .iter()
        .map(|session| SessionProbe {
            site_id: session.site_id,
            visitor_id: session.visitor_id,
            timestamp_ms: session.started_at_ms,
            session_key: 0,
        })
        .collect();
    let [mine, theirs] = [store, oracle as &dyn EventStore].map(|store| {
        let mut found = store.sessions_near(&probes, 1000).unwrap();
        found.sort_by_key(|session| session.session_id);
        found
    });
    assert_eq!(mine, theirs);
}

#[test]
fn the_reference_backend_holds_the_contract() {
    holds(&|| Box::new(ReferenceStore::new()));
}
