//! What of somebody is found by his names, and blanked.

use super::*;
use crate::NewSite;

#[test]
fn many_visitors_who_ask_at_once_leave_room_for_the_owner_and_other_sites() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
    let add = |domain| catalog.add_site(&NewSite::of(domain), None, 1).unwrap().id;
    let (site, crowd) = (add("shop.example"), ["a.example", "b.example", "c.example"].map(add));
    let begin_of = |site_id, reason: ErasureReason| {
        let subject = Subject { site_id, visitors: vec![VisitorId(7)], ..Subject::default() };
        let (holders, names) = (Vec::new(), Vec::new());
        let new = NewErasure { subject, holders, reason, request_id: None, names };
        catalog.begin_erasure(&new, 1)
    };
    let begin = |reason| begin_of(site, reason);
    let fill_of = |site_id: SiteId, state: ErasureState, count: usize| {
        let state = state.name();
        let sql = format!(
            "WITH RECURSIVE number (n) AS
                (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {count})
             INSERT INTO erasures (site_id, asked_at_ms, reason, visitors, users, holders,
                state, is_watched, places)
             SELECT {site_id}, 1, 'visitor', '7', '', x'', '{state}', 1, '[]' FROM number"
        );
        catalog.connections.write("fills", |transaction| {
            transaction.execute(&sql, []).map_err(CatalogError::during("fills"))
        })
    };
    let fill = |site_id, count| fill_of(site_id, ErasureState::Waiting, count).unwrap();
    let is_full_of = |begun: Result<ErasureId, CatalogError>, full: &str| matches!(begun, Err(CatalogError::LimitReached { what, .. }) if what == full);
    let is_full = |begun| is_full_of(begun, "erasures at once");
    // What is done takes no room of what is not.
    fill_of(crowd[0], ErasureState::Done, ERASURES_OPEN_MAX - 1).unwrap();
    let share = ERASURES_OPEN_MAX / SITES_PART;
    fill(crowd[0], share - 1);
    let of_crowd = |site_id| begin_of(site_id, ErasureReason::Visitor);
    let of_watched = "erasures of a site at once";
    assert!(is_full_of(of_crowd(crowd[0]), of_watched), "of what is watched");
    fill(crowd[1], share - 1);
    of_crowd(crowd[1]).unwrap();
    assert!(is_full_of(of_crowd(crowd[1]), of_watched), "of what is open");
    begin_of(crowd[1], ErasureReason::Owner).unwrap();
    // Another site's visitors have room, as long as there is any that is not the owners'.
    begin(ErasureReason::Visitor).unwrap();
    fill(crowd[2], share - 2);
    begin(ErasureReason::Visitor).unwrap();
    assert!(is_full(begin(ErasureReason::Visitor)));
    begin(ErasureReason::Command).unwrap();
    fill(site, ERASURES_OPEN_MAX / OWNERS_PART - 2);
    begin(ErasureReason::Owner).unwrap();
    assert!(is_full(begin(ErasureReason::Owner)), "the bound is for all");
}
