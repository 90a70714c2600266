use super::*;
use crate::Clock;
use crate::live_test::sighting::{Road, Sighting};

const NOW_MS: i64 = 1_795_341_600_000;
const SITE: SiteId = SiteId(1);

fn sighting<'a>(key: &'a str, text: &'a str) -> Sighting<'a> {
    Sighting { road: Road::Script, key: key.into(), origin: "", texts: [text.as_bytes(), b""] }
}

fn at(now_ms: i64) -> Clock {
    Arc::new(move || now_ms)
}

fn is_watched(tests: &LiveTests, key: &str, text: &str, now_ms: i64) -> bool {
    tests.watch(&at(now_ms), || sighting(key, text)).is_watched()
}

#[test]
fn while_no_test_runs_nothing_is_looked_at() {
    let tests = LiveTests::default();
    assert!(!tests.watch(&at(NOW_MS), || panic!("nobody asked for it")).is_watched());
    let test = tests.start(SITE, "px_a", Watches::Visit, NOW_MS).unwrap();
    let address = format!("https://shop.example/?cairn_test={}", test.code);
    assert!(is_watched(&tests, "px_a", &address, NOW_MS));
    // The first look after its end lets it go.
    assert!(!is_watched(&tests, "px_a", &address, NOW_MS + LIFE_MS));
    assert!(!tests.watch(&at(NOW_MS), || panic!("nobody asked for it")).is_watched());
}

#[test]
fn a_visit_is_known_by_its_code_wherever_it_stands() {
    let tests = LiveTests::default();
    let code = tests.start(SITE, "px_a", Watches::Visit, NOW_MS).unwrap().code.clone();
    for text in [
        format!("?utm_source=a&cairn_test={code}"),
        format!("key=px_a&url=https%3A%2F%2Fshop.example%2F%3Fcairn_test%3D{code}%26a%3D1"),
        format!("{{\"events\":[{{\"url\":\"https://shop.example/?cairn_test={code}#top\"}}]}}"),
    ] {
        assert!(is_watched(&tests, "px_a", &text, NOW_MS), "{text}");
        assert!(
            is_watched(&tests, "px_gone", &text, NOW_MS),
            "also with a key that is wrong: {text}"
        );
    }
    for text in ["", "cairn_test", "cairn_test=", "cairn_test=0123456789abcdef", "cairn_test%3D12"]
    {
        assert!(!is_watched(&tests, "px_a", text, NOW_MS), "{text}");
    }
}

#[test]
fn kinds_without_a_page_are_watched_by_their_key() {
    let tests = LiveTests::default();
    tests.start(SITE, "px_mail", Watches::Pixel, NOW_MS).unwrap();
    let image = tests.start(SITE, "px_image", Watches::VisitOrPixel, NOW_MS).unwrap();
    assert!(
        is_watched(&tests, "px_mail", "", NOW_MS) && is_watched(&tests, "px_image", "", NOW_MS)
    );
    assert!(!is_watched(&tests, "px_other", "", NOW_MS) && !is_watched(&tests, "", "", NOW_MS));
    // Once the visit itself was seen, others of the pixel are others.
    assert_eq!(image.begin_hit(false), Some(1));
    assert_eq!(image.begin_hit(true), Some(2));
    assert_eq!((image.begin_hit(false), image.begin_hit(true)), (None, Some(3)));
}

#[test]
fn tests_and_what_they_tell_are_bounded() {
    let tests = LiveTests::default();
    let start = |site| tests.start(SiteId(site), "px", Watches::Pixel, NOW_MS);
    let left = start(1).unwrap();
    let followed = || start(1).map(|test| test.follow(|| NOW_MS));
    let kept: Vec<_> = (1..=TESTS_PER_SITE_MAX).map(|_| followed().unwrap()).collect();
    assert!(
        tests.find(SITE, "px", &left.code, NOW_MS).is_none(),
        "one that nobody follows gave way"
    );
    assert!(start(1).is_err(), "one site does not take all the room");
    let others = (TESTS_PER_SITE_MAX..TESTS_MAX).map(|number| start(2 + number as u32 / 8));
    assert!(others.into_iter().all(|test| test.is_ok()));
    assert!(start(99).is_err());
    let hits = (0..100).filter_map(|_| kept[0].test.begin_hit(true)).count();
    assert_eq!(hits, HITS_MAX as usize);
    // All of them end, and there is room again.
    assert!(tests.start(SITE, "px", Watches::Pixel, NOW_MS + LIFE_MS).is_ok());
    assert_eq!(lock(&tests.tests).len(), 1);
}

#[test]
fn a_test_that_nobody_follows_ends() {
    let tests = LiveTests::default();
    let code = tests.start(SITE, "px", Watches::Pixel, NOW_MS).unwrap().code.clone();
    let find = |after_ms| tests.find(SITE, "px", &code, NOW_MS + after_ms);
    let follower = find(UNFOLLOWED_MS).unwrap().follow(|| NOW_MS + 100_000);
    assert!(find(UNFOLLOWED_MS + 1).is_some(), "somebody is there");
    drop(follower);
    assert!(find(100_000 + UNFOLLOWED_MS).is_some(), "he may come back");
    assert!(find(100_001 + UNFOLLOWED_MS).is_none());
    assert!(tests.find(SiteId(2), "px", &code, NOW_MS).is_none());
}
