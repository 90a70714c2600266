//! Visitor numbers: stable where they should be, gone where they should be.

use std::net::IpAddr;

use cairn_model::{PixelKind, PrivacySettings, SiteId, VisitorId};

use super::{AGENT, NOW_MS, Shop, TIMEOUT_MS};
use crate::ingest::visitor::{AnonymousKeys, IdentityKeys, lone_visitor, parse_cookie_id};

/// 2026-11-22 23:00 UTC is midnight in Berlin.
const MIDNIGHT_MS: i64 = 1_795_388_400_000;
const MINUTE_MS: i64 = 60_000;

fn ip() -> IpAddr {
    "203.0.113.9".parse().unwrap()
}

fn shop() -> Shop {
    Shop::new(PrivacySettings::default(), PixelKind::Web)
}

#[test]
fn the_anonymous_number_changes_at_the_sites_midnight() {
    let shop = shop();
    let keys = AnonymousKeys::new(TIMEOUT_MS);
    let at = |now_ms: i64| keys.number(&shop.entry.site, now_ms, ip(), AGENT);
    let noon = at(NOW_MS);
    assert_eq!(noon.previous, VisitorId(0));
    assert_eq!(at(MIDNIGHT_MS - 1), noon, "the same all day");
    let after = at(MIDNIGHT_MS);
    assert_ne!(after.current, noon.current);
    assert_eq!(after.previous, noon.current, "an open visit can be continued");
    assert_eq!(at(MIDNIGHT_MS + TIMEOUT_MS - 1).previous, noon.current);
    assert_eq!(at(MIDNIGHT_MS + TIMEOUT_MS).previous, VisitorId(0), "then the key is gone");
    assert_eq!(at(MIDNIGHT_MS - 1).current, noon.current, "a clock that was set back a moment");
}

#[test]
fn destroyed_keys_do_not_come_back() {
    let shop = shop();
    let keys = AnonymousKeys::new(TIMEOUT_MS);
    let at = |now_ms: i64| keys.number(&shop.entry.site, now_ms, ip(), AGENT);
    let noon = at(NOW_MS).current;
    keys.destroy_expired(MIDNIGHT_MS + TIMEOUT_MS - 1);
    assert_eq!(at(NOW_MS).current, noon, "not yet due");
    keys.destroy_expired(MIDNIGHT_MS + TIMEOUT_MS);
    assert_ne!(at(NOW_MS).current, noon, "the same day again has another key");
    let other = AnonymousKeys::new(TIMEOUT_MS);
    assert_ne!(other.number(&shop.entry.site, NOW_MS, ip(), AGENT).current, noon, "a restart too");
}

#[test]
fn the_number_depends_on_site_address_and_agent() {
    let (one, two) = (shop(), shop());
    let keys = AnonymousKeys::new(TIMEOUT_MS);
    let of = |shop: &Shop, ip: &str, agent: &str| {
        keys.number(&shop.entry.site, NOW_MS, ip.parse().unwrap(), agent).current
    };
    let first = of(&one, "203.0.113.9", AGENT);
    assert_ne!(of(&two, "203.0.113.9", AGENT), first);
    assert_ne!(of(&one, "203.0.113.8", AGENT), first);
    assert_ne!(of(&one, "203.0.113.9", "curl/8"), first);
    assert_eq!(of(&one, "::ffff:203.0.113.9", AGENT), first);
    let long = "x".repeat(5_000);
    assert_ne!(of(&one, "203.0.113.9", &long), of(&one, "203.0.113.9", &long[1..]));
}

#[test]
fn kept_numbers_differ_by_site_and_by_kind() {
    let shop = shop();
    let keys = IdentityKeys::new(shop.catalog.master_secret());
    let cookie = parse_cookie_id("00112233445566778899aabbccddeeff").unwrap();
    let number = keys.of_cookie(SiteId(1), &cookie);
    assert_eq!(keys.of_cookie(SiteId(1), &cookie), number);
    assert_ne!(keys.of_cookie(SiteId(2), &cookie), number);
    assert_ne!(keys.of_event(SiteId(1), "a"), keys.of_event(SiteId(2), "a"));
    assert_ne!(keys.of_user(SiteId(1), "a"), keys.of_named_session(SiteId(1), "a"));
    assert_ne!(keys.of_named_visitor(SiteId(1), "a").0, keys.of_named_session(SiteId(1), "a"));
    assert_ne!(keys.of_context(SiteId(1), None, "a"), keys.of_context(SiteId(1), Some(ip()), "a"));
    assert_ne!(lone_visitor(), lone_visitor());
    for bad in ["", "0", "00112233445566778899aabbccddeefg", "00112233445566778899aabbccddeeff0"] {
        assert_eq!(parse_cookie_id(bad), None);
    }
}

#[test]
fn days_follow_the_zone_over_a_change_of_clocks() {
    let shop = shop();
    let keys = AnonymousKeys::new(TIMEOUT_MS);
    let at = |now_ms: i64| keys.number(&shop.entry.site, now_ms, ip(), AGENT).current;
    // 2026-03-29, the day that has 23 hours in Berlin: 00:00 is 23:00 UTC, its end 22:00 UTC.
    let start_ms = 1_774_738_800_000;
    let number = at(start_ms);
    assert_eq!(at(start_ms + 23 * 60 * MINUTE_MS - 1), number);
    assert_ne!(at(start_ms + 23 * 60 * MINUTE_MS), number);
}
