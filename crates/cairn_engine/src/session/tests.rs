use foldhash::HashSet;

use cairn_model::event::{ENGAGEMENT, OFF_SITE, PAGE_VIEW};
use cairn_model::{Event, Origin, Session, SiteId, VisitorId};
use cairn_store::SessionProbe;

use super::{SessionOptions, Sessions};

const SITE: SiteId = SiteId(7);
const START_MS: i64 = 1_700_000_000_000;
const MINUTE_MS: i64 = 60_000;

fn event(name: &'static str, visitor: u64, after_ms: i64, path: &'static str) -> Event<'static> {
    let mut event = Event::bare(SITE, name, START_MS + after_ms);
    event.visitor_id = VisitorId(visitor);
    event.path = path.into();
    event
}

fn fresh() -> Sessions {
    Sessions::new(SessionOptions::default(), Vec::new(), i64::MIN)
}

/// The visits after these events, by start.
fn visits(events: &[Event<'_>]) -> Vec<Session> {
    let mut sessions = fresh();
    for (index, event) in events.iter().enumerate() {
        sessions.assign(index as u64 + 1, event);
    }
    sessions.take_changes().into_iter().map(|change| change.session).collect()
}

#[test]
fn thirty_whole_minutes_still_join() {
    let joined =
        visits(&[event(PAGE_VIEW, 1, 0, "/"), event(PAGE_VIEW, 1, 31 * MINUTE_MS - 1, "/late")]);
    assert_eq!(joined.len(), 1);
    assert_eq!(joined[0].pageviews, 2);
    let split =
        visits(&[event(PAGE_VIEW, 1, 0, "/"), event(PAGE_VIEW, 1, 31 * MINUTE_MS, "/late")]);
    assert_eq!(split.len(), 2);
}

#[test]
fn a_visit_that_was_away_tells_how_early_an_event_of_it_may_be() {
    let mut sessions = fresh();
    sessions.assign(1, &event(PAGE_VIEW, 1, 0, "/"));
    // Late, of the evening before: it joins, and changes nothing of the visit.
    sessions.assign(2, &event(ENGAGEMENT, 1, -30 * MINUTE_MS, "/"));
    let made = sessions.take_changes().remove(0);
    assert_eq!(made.earliest_ms, START_MS - 30 * MINUTE_MS);
    assert_eq!(made.session.started_at_ms, START_MS);
    let until_ms = START_MS + MINUTE_MS;
    let mut again = Sessions::new(SessionOptions::default(), vec![made.session.clone()], until_ms);
    again.assign(3, &event(PAGE_VIEW, 1, 2 * MINUTE_MS, "/exit"));
    let changed = again.take_changes().remove(0);
    assert!(changed.replaces && changed.session.exit_page == "/exit");
    assert!(changed.earliest_ms <= made.earliest_ms, "the day before has its exit page, too");
    // Of a named visit any event may be.
    let named = Session { session_key: 9, ..made.session };
    let mut again = Sessions::new(SessionOptions::default(), vec![named], until_ms);
    let mut late = event(PAGE_VIEW, 1, 3 * MINUTE_MS, "/exit");
    late.session_key = 9;
    again.assign(4, &late);
    assert_eq!(again.take_changes().remove(0).earliest_ms, i64::MIN);
}

#[test]
fn engagement_keeps_a_visit_open_but_changes_nothing_of_it() {
    let visits = visits(&[
        event(PAGE_VIEW, 1, 0, "/"),
        event(ENGAGEMENT, 1, 25 * MINUTE_MS, "/"),
        event("add_to_cart", 1, 50 * MINUTE_MS, "/cart"),
    ]);
    assert_eq!(visits.len(), 1);
    let visit = &visits[0];
    assert_eq!((visit.pageviews, visit.events, visit.is_bounce()), (1, 2, false));
    assert_eq!((visit.entry_page.as_str(), visit.exit_page.as_str()), ("/", "/"));
    assert_eq!(visit.duration_s(), 50 * 60);
}

#[test]
fn what_happens_away_from_the_site_neither_makes_a_visit_nor_joins_one() {
    for name in OFF_SITE {
        let mut sessions = fresh();
        let off_site = |visitor, after_ms| {
            let mut event = event(name, visitor, after_ms, "");
            event.origin = Origin::OffSite;
            event
        };
        let alone = sessions.assign(1, &off_site(1, 0));
        assert_eq!((alone.session_id, alone.visitor_id), (0, VisitorId(1)), "{name}");
        sessions.assign(2, &event(PAGE_VIEW, 1, MINUTE_MS, "/"));
        assert_eq!(sessions.assign(3, &off_site(1, 2 * MINUTE_MS)).session_id, 0, "{name}");
        let mut probes = HashSet::default();
        sessions.probes_for(&off_site(2, 0), &mut probes);
        assert!(probes.is_empty());
        let visits: Vec<Session> =
            sessions.take_changes().into_iter().map(|change| change.session).collect();
        assert_eq!(visits.len(), 1, "{name}");
        assert_eq!((visits[0].events, visits[0].duration_s()), (1, 0), "{name}");
        // A page's own event of that name is one of its visit.
        assert_eq!(sessions.assign(4, &event(name, 1, 3 * MINUTE_MS, "")).session_id, 2, "{name}");
        let mut imported = event(name, 1, 3 * MINUTE_MS, "");
        imported.origin = Origin::Import;
        assert_eq!(sessions.assign(5, &imported).session_id, 0, "{name}");
    }
}

#[test]
fn engagement_without_a_visit_belongs_to_none() {
    let mut sessions = fresh();
    assert_eq!(sessions.assign(1, &event(ENGAGEMENT, 1, 0, "/")).session_id, 0);
    assert!(sessions.take_changes().is_empty());
}

#[test]
fn arrival_decides_the_exit_and_the_entry_is_the_first_page_view() {
    let visits = visits(&[
        event("sign_up", 1, 5_000, "/form"),
        event(PAGE_VIEW, 1, 9_000, "/b"),
        event(PAGE_VIEW, 1, 2_000, "/a"),
    ]);
    let visit = &visits[0];
    assert_eq!((visit.entry_page.as_str(), visit.exit_page.as_str()), ("/b", "/a"));
    // Start 5 s, end 2 s: the duration is their distance.
    assert_eq!(visit.duration_s(), 3);
}

#[test]
fn a_late_event_lands_in_the_visit_of_its_time() {
    let mut sessions = fresh();
    let first = sessions.assign(1, &event(PAGE_VIEW, 1, 0, "/morning"));
    let second = sessions.assign(2, &event(PAGE_VIEW, 1, 300 * MINUTE_MS, "/noon"));
    assert_ne!(first.session_id, second.session_id);
    let late = sessions.assign(3, &event("scroll", 1, 10 * MINUTE_MS, "/morning"));
    assert_eq!(late.session_id, first.session_id);
}

#[test]
fn a_visit_goes_on_under_the_number_of_the_day_before() {
    let mut sessions = fresh();
    let before = sessions.assign(1, &event(PAGE_VIEW, 1, 0, "/"));
    let mut after = event(PAGE_VIEW, 2, 10 * MINUTE_MS, "/next");
    after.previous_visitor_id = VisitorId(1);
    let continued = sessions.assign(2, &after);
    assert_eq!((continued.session_id, continued.visitor_id), (before.session_id, VisitorId(1)));
    after.timestamp_ms += 60 * MINUTE_MS;
    assert_eq!(sessions.assign(3, &after).visitor_id, VisitorId(2));
}

#[test]
fn attributes_are_those_of_the_first_event() {
    let mut first = event(PAGE_VIEW, 1, 0, "/");
    first.source = "Google".into();
    let mut second = event(PAGE_VIEW, 1, 1_000, "/");
    second.source = "Newsletter".into();
    second.utm_campaign = "spring".into();
    let mut sessions = fresh();
    sessions.assign(1, &first);
    let assigned = sessions.assign(2, &second);
    assert_eq!(assigned.session_id, 1);
    assert!(assigned.attributes.are_of(&first));
}

#[test]
fn a_visit_with_a_number_of_its_own_is_asked_for_by_it() {
    let mut sessions = fresh();
    let mut first = event(PAGE_VIEW, 1, 0, "/");
    first.session_key = 77;
    sessions.assign(1, &first);
    let stored = sessions.take_changes().remove(0).session;
    sessions.evict(START_MS + 1_000 * MINUTE_MS);
    assert_eq!(sessions.in_memory(), 0);
    let mut second = event(PAGE_VIEW, 1, 120 * MINUTE_MS, "/b");
    second.session_key = 77;
    let mut probes = HashSet::default();
    sessions.probes_for(&second, &mut probes);
    assert!(probes.iter().all(|probe| probe.session_key == 77) && probes.len() == 1);
    sessions.load(vec![stored]);
    assert_eq!(sessions.assign(2, &second).session_id, 1);
}

/// Whatever leaves the memory is asked for again: with room for a few visits only, the result is the same.
#[test]
fn forgetting_changes_nothing() {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    let names = [PAGE_VIEW, "add_to_cart", ENGAGEMENT];
    let paths = ["/", "/a", "/b", "/c"];
    let events: Vec<Event<'static>> = (0..3_000_i64)
        .map(|arrival| {
            let jitter = next(200) as i64 - 150;
            let name = names[next(3) as usize];
            let mut event = event(
                name,
                next(40) + 1,
                (arrival + jitter) * MINUTE_MS / 2,
                paths[next(4) as usize],
            );
            event.received_at_ms = START_MS + arrival * MINUTE_MS / 2;
            event
        })
        .collect();
    let run = |in_memory_max: usize| {
        let options = SessionOptions { in_memory_max, ..SessionOptions::default() };
        let mut sessions = Sessions::new(options, Vec::new(), i64::MIN);
        let mut store: std::collections::BTreeMap<u64, Session> = Default::default();
        let mut given = Vec::new();
        for (number, batch) in events.chunks(50).enumerate() {
            let mut probes: HashSet<SessionProbe> = HashSet::default();
            for event in batch {
                sessions.probes_for(event, &mut probes);
            }
            let reach_ms = sessions.reach_ms();
            let near = |session: &&Session| {
                probes.iter().any(|probe| {
                    probe.visitor_id == session.visitor_id
                        && session.started_at_ms.min(session.ended_at_ms) - reach_ms
                            <= probe.timestamp_ms
                        && probe.timestamp_ms <= session.last_activity_ms + reach_ms
                })
            };
            sessions.load(store.values().filter(near).cloned().collect());
            for (index, event) in batch.iter().enumerate() {
                given.push(sessions.assign((number * 50 + index + 1) as u64, event).session_id);
            }
            for change in sessions.take_changes() {
                let old = store.insert(change.session.session_id, change.session);
                assert_eq!(old.is_some(), change.replaces);
            }
            sessions.evict(batch[batch.len() - 1].received_at_ms);
            assert!(sessions.in_memory() <= in_memory_max.max(50));
        }
        (given, store)
    };
    assert_eq!(run(4), run(1_000_000));
}
