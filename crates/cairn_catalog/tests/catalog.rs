//! The catalog over its file: what it keeps, what it forgets, and what never gets into it.

#![allow(clippy::unwrap_used)]

use std::path::Path;

mod older;

use cairn_catalog::{
    Catalog, CatalogError, EdgeOutcome, IDEMPOTENCY_AGE_MS_MAX, IDEMPOTENCY_SIZE_BYTES_MAX,
    LinkPurpose, NewApiToken, NewGoal, NewPixel, NewSite, PersonChange, Replay, STARTS_MAX,
    StoredResponse, VERSION,
};
use cairn_model::{CrossSiteCookies, Outcome, PixelKind, SiteId, TrackerSettings};

const NOW_MS: i64 = 1_795_341_600_000;

fn open(directory: &tempfile::TempDir) -> Catalog {
    Catalog::open(&directory.path().join("catalog.sqlite")).unwrap()
}

fn site(catalog: &Catalog, domain: &str) -> SiteId {
    let new = NewSite {
        hosts: vec!["cdn.example".to_owned()],
        timezone: "Asia/Kathmandu".to_owned(),
        ..NewSite::of(domain)
    };
    catalog.add_site(&new, None, NOW_MS).unwrap().id
}

/// Every byte of every file in the directory.
fn contents(directory: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    bytes
}

fn holds(directory: &Path, text: &str) -> bool {
    contents(directory).windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn everything_is_there_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(&directory);
    let id = site(&first, "shop.example");
    let new = NewPixel {
        site_id: id,
        name: "Shop".to_owned(),
        kind: PixelKind::Web,
        url: String::new(),
        settings: TrackerSettings { clicks: true, ..TrackerSettings::default() },
        cross_site_cookies: Default::default(),
    };
    let mut pixel = first.add_pixel(&new, NOW_MS).unwrap();
    pixel.settings.search_parameters.push("suche".to_owned());
    assert!(first.update_pixel(&pixel).unwrap());
    first.add_opt_outs(id, &[u64::MAX], NOW_MS).unwrap();
    let key = first.master_secret().derive("cairn test");
    drop(first);
    let second = open(&directory);
    assert_eq!(second.master_secret().derive("cairn test"), key);
    let current = second.directory().current();
    let found = current.by_key(&pixel.key).unwrap();
    assert_eq!(found.pixel, pixel);
    assert_eq!(found.site.zone.iana_name(), Some("Asia/Kathmandu"));
    assert_eq!(current.by_domain("shop.example").unwrap().site.hosts, ["cdn.example"]);
    assert!(current.is_opted_out(id, u64::MAX) && !current.is_opted_out(id, 1));
    assert!(!current.is_opted_out(SiteId(id.0 ^ 1), u64::MAX));
    let other = tempfile::tempdir().unwrap();
    assert_ne!(open(&other).master_secret().derive("cairn test"), key, "secrets are random");
}

#[test]
fn every_start_but_the_first_ever_is_a_restart_and_the_latest_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    catalog.add_start(NOW_MS).unwrap();
    assert_eq!(catalog.restarts_ms().unwrap(), Vec::<i64>::new());
    drop(catalog);
    let catalog = open(&directory);
    let last = NOW_MS + STARTS_MAX as i64 + 5;
    for start_ms in NOW_MS + 1..=last {
        catalog.add_start(start_ms).unwrap();
    }
    let kept: Vec<i64> = (last - STARTS_MAX as i64 + 1..=last).collect();
    assert_eq!(catalog.restarts_ms().unwrap(), kept);
}

#[test]
fn what_had_sites_before_starts_were_recorded_was_started_before() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    site(&catalog, "shop.example");
    drop(catalog);
    let file = rusqlite::Connection::open(directory.path().join("catalog.sqlite")).unwrap();
    older::back_to(&file, 10);
    // All that came after the first version, which had these tables.
    let first =
        "'meta','users','browser_sessions','one_time_links','api_tokens','sites','api_token_sites',
        'memberships','pixels','goals','opt_outs','people','edge_outcomes','idempotency'";
    let later = format!(
        "SELECT group_concat('DROP TABLE ' || name, ';') FROM sqlite_schema
         WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT IN ({first})"
    );
    let drops: String = file.query_row(&later, [], |row| row.get(0)).unwrap();
    let undo = "ALTER TABLE pixels DROP COLUMN tracker_settings; PRAGMA user_version = 1";
    file.execute_batch(&format!("PRAGMA foreign_keys = OFF; {drops}; {undo}")).unwrap();
    drop(file);
    let catalog = open(&directory);
    catalog.add_start(NOW_MS + 7).unwrap();
    assert_eq!(catalog.restarts_ms().unwrap(), [NOW_MS + 7]);
}

#[test]
fn cookies_of_other_sites_were_a_setting_of_the_site() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let pixel = |site_id, kind| NewPixel {
        site_id,
        name: "Shop".to_owned(),
        kind,
        url: String::new(),
        settings: TrackerSettings::default(),
        cross_site_cookies: CrossSiteCookies::ThirdParty,
    };
    let mut keys = Vec::new();
    for domain in ["chosen.example", "plain.example"] {
        let id = site(&catalog, domain);
        for kind in [PixelKind::Web, PixelKind::Server] {
            keys.push(catalog.add_pixel(&pixel(id, kind), NOW_MS).unwrap().key);
        }
    }
    drop(catalog);
    let file = rusqlite::Connection::open(directory.path().join("catalog.sqlite")).unwrap();
    older::back_to(&file, 10);
    file.execute_batch(
        "UPDATE sites SET privacy = json_set(privacy, '$.cross_site_cookies', json('true'))
        WHERE domain = 'chosen.example'",
    )
    .unwrap();
    drop(file);
    let catalog = open(&directory);
    let directory = catalog.directory().current();
    let of = |key: &String| directory.by_key(key).unwrap().pixel.cross_site_cookies;
    let found: Vec<_> = keys.iter().map(of).collect();
    use CrossSiteCookies::{None, Partitioned};
    assert_eq!(found, [Partitioned, None, None, None]);
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.sqlite");
    std::fs::write(&path, b"").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let catalog = Catalog::open(&path).unwrap();
    site(&catalog, "shop.example");
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
    }
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.sqlite");
    drop(Catalog::open(&path).unwrap());
    let file = rusqlite::Connection::open(&path).unwrap();
    file.pragma_update(None, "user_version", VERSION + 1).unwrap();
    let refused = Catalog::open(&path).map(|_| ()).unwrap_err();
    assert!(
        matches!(refused, CatalogError::NewerSchema { found, known } if (found, known) == (VERSION + 1, VERSION)),
        "{refused}"
    );
    std::fs::write(&path, b"this is no database, whatever its name says").unwrap();
    assert!(Catalog::open(&path).is_err());
}

#[test]
fn nothing_that_lets_someone_in_is_in_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let user = catalog.add_user("owner@shop.example", "$argon2id$x", true, NOW_MS).unwrap();
    let session = catalog.begin_browser_session(user.id, NOW_MS).unwrap();
    let purpose = LinkPurpose::LogIn;
    let link = catalog.add_one_time_link(purpose, Some(user.id), NOW_MS + 1, NOW_MS).unwrap();
    let new = NewApiToken { name: "script".to_owned(), user: Some(user.id), site_ids: None };
    let (token, secret) = catalog.add_api_token(new, NOW_MS).unwrap();
    assert!(holds(directory.path(), "owner@shop.example"), "the search finds what is there");
    for hidden in [&session, &link, &secret] {
        assert!(!holds(directory.path(), hidden.reveal()));
        assert!(!format!("{hidden:?}").contains(hidden.reveal()));
    }
    assert_eq!(catalog.api_token(secret.reveal()).unwrap(), Some(token.clone()));
    assert_eq!(catalog.browser_session(session.reveal(), NOW_MS).unwrap(), Some(user.clone()));
    assert_eq!(catalog.use_log_in_link(link.reveal(), NOW_MS).unwrap(), Some(user.clone()));
    assert_eq!(catalog.use_log_in_link(link.reveal(), NOW_MS).unwrap(), None);
    // After a restore nobody is logged in any more, and no link lets anybody in; tokens stay.
    let link = catalog.add_one_time_link(purpose, Some(user.id), NOW_MS + 1, NOW_MS).unwrap();
    catalog.end_log_ins().unwrap();
    assert_eq!(catalog.browser_session(session.reveal(), NOW_MS).unwrap(), None);
    assert_eq!(catalog.use_log_in_link(link.reveal(), NOW_MS).unwrap(), None);
    assert_eq!(catalog.api_token(secret.reveal()).unwrap(), Some(token.clone()));
    assert!(catalog.delete_api_token(Some(user.id), token.id).unwrap());
    assert_eq!(catalog.api_token(secret.reveal()).unwrap(), None);
}

#[test]
fn people_are_applied_once_whatever_is_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let id = site(&catalog, "shop.example");
    let change = |offset, traits: &str, seen_at_ms| PersonChange {
        offset,
        site_id: id,
        user_key: u64::MAX,
        user_id: "user-7".to_owned(),
        claimed_traits: traits.to_owned(),
        is_proven: false,
        seen_at_ms,
    };
    assert_eq!(catalog.people_watermark().unwrap(), 0);
    let first =
        [change(3, r#"{"plan":"free","city":"Rome"}"#, 10), change(5, r#"{"plan":"pro"}"#, 20)];
    catalog.apply_log(&first, &[], 6).unwrap();
    // The same batch again, and one that begins before the watermark.
    catalog.apply_log(&[change(3, r#"{"plan":"free"}"#, 10)], &[], 6).unwrap();
    catalog.apply_log(&[change(5, r#"{"plan":"free"}"#, 20), change(8, "", 5)], &[], 9).unwrap();
    assert_eq!(catalog.people_watermark().unwrap(), 9);
    let (user_id, traits) = catalog.person(id, u64::MAX).unwrap().unwrap();
    let traits: serde_json::Value = serde_json::from_str(&traits).unwrap();
    assert_eq!(
        (user_id.as_str(), traits),
        ("user-7", serde_json::json!({"plan": "pro", "city": "Rome"}))
    );
    let gone = PersonChange { site_id: SiteId(id.0 ^ 1), ..change(11, "", 0) };
    catalog.apply_log(&[gone], &[], 12).unwrap();
    assert_eq!(catalog.people_watermark().unwrap(), 12, "a removed site stops nothing");
}

#[test]
fn removing_a_site_overwrites_what_it_held() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let id = site(&catalog, "shop.example");
    let person = PersonChange {
        offset: 1,
        site_id: id,
        user_key: 7,
        user_id: "canary-user-7".to_owned(),
        claimed_traits: r#"{"email":"canary@visitor.example"}"#.to_owned(),
        is_proven: false,
        seen_at_ms: NOW_MS,
    };
    catalog.apply_log(&[person], &[], 1).unwrap();
    let goal = NewGoal {
        event_name: "purchase".to_owned(),
        display_name: "Bought".to_owned(),
        ..NewGoal::default()
    };
    catalog.add_goal(id, goal, NOW_MS).unwrap();
    assert!(holds(directory.path(), "canary-user-7"));
    assert!(catalog.delete_site(id, NOW_MS).unwrap());
    assert!(!catalog.delete_site(id, NOW_MS).unwrap());
    for text in ["canary-user-7", "canary@visitor.example", "shop.example"] {
        assert!(!holds(directory.path(), text), "{text} is still in a file");
    }
    assert!(catalog.goals(id).unwrap().is_empty());
}

#[test]
fn a_removal_is_on_record_until_it_is_complete() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(&directory);
    let id = site(&first, "shop.example");
    assert!(!first.delete_site(SiteId(id.0 ^ 1), NOW_MS).unwrap());
    assert!(first.directory().current().removed_sites().is_empty(), "there was none");
    assert!(first.delete_site(id, NOW_MS).unwrap());
    drop(first);
    let catalog = open(&directory);
    assert!(catalog.directory().current().is_removed(id));
    let count = EdgeOutcome { site_id: id, hour_ms: 0, outcome: Outcome::DroppedPolicy, count: 1 };
    catalog.add_outcomes(&[count]).unwrap();
    assert!(catalog.outcomes_since(id, 0).unwrap().is_empty(), "counted too late");
    catalog.forget_removed_site(id).unwrap();
    assert!(!catalog.directory().current().is_removed(id));
    drop(catalog);
    assert!(open(&directory).directory().current().removed_sites().is_empty());
}

#[test]
fn outcomes_add_up_by_site_and_hour() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let count = |site, hour_ms, count| EdgeOutcome {
        site_id: SiteId(site),
        hour_ms,
        outcome: Outcome::DroppedPolicy,
        count,
    };
    catalog.add_outcomes(&[count(1, 0, 2), count(1, 3_600_000, 3), count(2, 0, 5)]).unwrap();
    catalog.add_outcomes(&[count(1, 0, 10)]).unwrap();
    let sum = |site, since| catalog.outcomes_since(SiteId(site), since).unwrap();
    assert_eq!(sum(1, 0), [(Outcome::DroppedPolicy, 15)]);
    assert_eq!(sum(1, 1), [(Outcome::DroppedPolicy, 3)]);
    assert_eq!(sum(2, 0), [(Outcome::DroppedPolicy, 5)]);
    assert!(sum(3, 0).is_empty());
}

#[test]
fn answers_are_kept_for_a_day() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let answer = StoredResponse { status: 201, body: b"{}".to_vec() };
    let (key, request) = ([1; 32], [2; 32]);
    assert_eq!(catalog.replay(&key, &request, NOW_MS).unwrap(), Replay::New);
    catalog.keep_answer(&key, &request, &answer, NOW_MS).unwrap();
    assert_eq!(catalog.replay(&key, &request, NOW_MS).unwrap(), Replay::Answered(answer));
    assert_eq!(catalog.replay(&key, &[3; 32], NOW_MS).unwrap(), Replay::Mismatch);
    let later = NOW_MS + IDEMPOTENCY_AGE_MS_MAX;
    assert_eq!(catalog.replay(&key, &request, later).unwrap(), Replay::New);
}

#[test]
fn kept_answers_are_bounded_in_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let keep = |number: u8, size_bytes: usize| {
        let answer = StoredResponse { status: 200, body: vec![number; size_bytes] };
        let at_ms = NOW_MS + i64::from(number);
        catalog.keep_answer(&[number; 32], &[0; 32], &answer, at_ms).unwrap();
    };
    let kept = || {
        let is_kept = |number: &u8| {
            let replay = catalog.replay(&[*number; 32], &[0; 32], NOW_MS).unwrap();
            matches!(replay, Replay::Answered(_))
        };
        (1..=9).filter(is_kept).collect::<Vec<u8>>()
    };
    let quarter = IDEMPOTENCY_SIZE_BYTES_MAX / 4;
    (1..=4).for_each(|number| keep(number, quarter));
    assert_eq!(kept(), [1, 2, 3, 4], "the bound itself");
    keep(5, 1);
    assert_eq!(kept(), [2, 3, 4, 5], "the oldest goes first");
    keep(6, 2 * quarter);
    assert_eq!(kept(), [4, 5, 6]);
    keep(7, IDEMPOTENCY_SIZE_BYTES_MAX + 1);
    assert_eq!(kept(), [7], "one alone is kept at any size");
    keep(8, 10);
    assert_eq!(kept(), [8]);
}

#[test]
fn two_sites_may_not_share_a_domain_and_writers_do_not_get_in_each_others_way() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let made = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|number| {
                let catalog = &catalog;
                scope.spawn(move || {
                    let domain = format!("shop-{}.example", number % 4);
                    let new = NewSite::of(domain);
                    catalog.add_site(&new, None, NOW_MS)
                })
            })
            .collect();
        tries.into_iter().map(|made| made.join().unwrap().is_ok()).filter(|ok| *ok).count()
    });
    assert_eq!(made, 4);
    assert_eq!(catalog.directory().current().sites().count(), 4);
}
