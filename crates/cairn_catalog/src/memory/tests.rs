use tempfile::TempDir;

use super::*;
use crate::NewSite;

const ADA: [u8; 32] = [1; 32];
const BOB: [u8; 32] = [2; 32];
const PHONE: [u8; 32] = [3; 32];
const LAPTOP: [u8; 32] = [4; 32];
const FRESH: [u8; 32] = [5; 32];
const LATER: i64 = i64::MAX;

struct Shop {
    catalog: Catalog,
    site: SiteId,
    directory: TempDir,
}

fn shop() -> Shop {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
    let site = catalog.add_site(&new_site("shop.example"), None, 1).unwrap().id;
    Shop { catalog, site, directory }
}

fn new_site(domain: &str) -> NewSite {
    NewSite::of(domain)
}

impl Shop {
    fn set(&self, holder: MemoryHolder, name: &str, value: &str, now_ms: i64) {
        self.try_set(holder, name, value, now_ms).unwrap();
    }

    fn try_set(
        &self,
        holder: MemoryHolder,
        name: &str,
        value: &str,
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let change = MemoryChange { name: name.into(), value: Some(value.into()) };
        self.catalog.remember(self.site, holder, &[change], now_ms)
    }

    fn get(&self, holder: MemoryHolder, name: &str, now_ms: i64) -> Option<String> {
        let rows = self.catalog.recall(self.site, holder, now_ms).unwrap();
        rows.into_iter().find(|row| row.name == name).map(|row| row.value)
    }

    fn size_bytes(&self) -> i64 {
        let read = |connection: &Connection| {
            connection.query_row("SELECT sum(size_bytes) FROM memory_sizes", [], |row| row.get(0))
        };
        self.catalog.connections.read("measures", read).unwrap()
    }
}

use MemoryHolder::{Browser, Person};

#[test]
fn each_has_a_memory_of_its_own() {
    let shop = shop();
    shop.set(Browser(PHONE), "size", "\"M\"", 10);
    shop.set(Browser(PHONE), "size", "\"L\"", 20);
    shop.set(Person(ADA), "size", "\"S\"", 30);
    assert_eq!(shop.get(Browser(PHONE), "size", 40).as_deref(), Some("\"L\""));
    assert_eq!(shop.get(Person(ADA), "size", 40).as_deref(), Some("\"S\""));
    assert_eq!(shop.get(Browser(LAPTOP), "size", 40), None);
    let other = shop.catalog.add_site(&new_site("other.example"), None, 1).unwrap().id;
    assert_eq!(shop.catalog.recall(other, Browser(PHONE), 40).unwrap(), []);
    let forget = MemoryChange { name: "size".into(), value: None };
    shop.catalog.remember(shop.site, Browser(PHONE), &[forget], 50).unwrap();
    assert_eq!(shop.get(Browser(PHONE), "size", 60), None);
    assert_eq!(shop.size_bytes(), 4 + 3);
}

#[test]
fn memories_join_and_follow_the_person() {
    let shop = shop();
    shop.set(Person(ADA), "size", "\"S\"", 10);
    shop.set(Person(ADA), "colour", "\"moss\"", 30);
    shop.set(Person(ADA), "cart", r#"[{"item_id":"a","quantity":5}]"#, 10);
    shop.set(Browser(PHONE), "size", "\"M\"", 20);
    shop.set(Browser(PHONE), "colour", "\"rust\"", 20);
    shop.set(
        Browser(PHONE),
        "cart",
        r#"[{"item_id":"b","quantity":1},{"item_id":"a","quantity":2}]"#,
        20,
    );
    assert!(shop.catalog.tie_memory(shop.site, (PHONE, FRESH), ADA, LATER, 40).unwrap());
    for holder in [Person(ADA), Browser(FRESH)] {
        assert_eq!(shop.get(holder, "size", 50).as_deref(), Some("\"M\""), "the newest");
        assert_eq!(shop.get(holder, "colour", 50).as_deref(), Some("\"moss\""), "the newest");
        let cart = r#"[{"item_id":"b","quantity":1},{"item_id":"a","quantity":2}]"#;
        assert_eq!(shop.get(holder, "cart", 50).as_deref(), Some(cart));
    }
    assert_eq!(shop.get(Browser(PHONE), "size", 50), None, "its number before is nobody's");
    assert!(shop.catalog.tie_memory(shop.site, (LAPTOP, [6; 32]), ADA, LATER, 60).unwrap());
    shop.set(Browser([6; 32]), "size", "\"XL\"", 70);
    assert_eq!(shop.get(Browser(FRESH), "size", 80).as_deref(), Some("\"XL\""));
    assert!(!shop.catalog.tie_memory(shop.site, (FRESH, [7; 32]), ADA, LATER, 90).unwrap());
    assert_eq!(shop.get(Browser(FRESH), "size", 95).as_deref(), Some("\"XL\""), "as before");
}

#[test]
fn a_shared_browser_passes_nothing_on() {
    let shop = shop();
    shop.set(Browser(PHONE), "size", "\"M\"", 10);
    shop.set(Browser(PHONE), "email", "\"ada@shop.example\"", 10);
    shop.catalog.tie_memory(shop.site, (PHONE, FRESH), ADA, LATER, 20).unwrap();
    shop.catalog.sign_out_memory(shop.site, FRESH, 30).unwrap();
    assert_eq!(shop.get(Browser(FRESH), "size", 40), None);
    let email = shop.get(Browser(FRESH), "email", 40);
    assert_eq!(email.as_deref(), Some("\"ada@shop.example\""), "for the log-in form");
    shop.catalog.tie_memory(shop.site, (FRESH, LAPTOP), BOB, LATER, 50).unwrap();
    assert_eq!(shop.catalog.recall(shop.site, Person(BOB), 60).unwrap(), []);
    // Without signing out, too: the browser's memory went with Ada.
    shop.catalog.tie_memory(shop.site, (LAPTOP, PHONE), ADA, LATER, 70).unwrap();
    shop.catalog.tie_memory(shop.site, (PHONE, FRESH), BOB, LATER, 80).unwrap();
    assert_eq!(shop.catalog.recall(shop.site, Browser(FRESH), 90).unwrap(), []);
    assert_eq!(shop.get(Person(ADA), "size", 90).as_deref(), Some("\"M\""));
}

#[test]
fn a_tie_ends_and_values_expire() {
    let shop = shop();
    shop.set(Browser(PHONE), "size", "\"M\"", 10);
    shop.catalog.tie_memory(shop.site, (PHONE, FRESH), ADA, 100, 20).unwrap();
    assert_eq!(shop.size_bytes(), 4 + 3 + 72, "who is whose counts, too");
    let has = |browser, now_ms| shop.catalog.has_memory(shop.site, browser, now_ms).unwrap();
    assert_eq!((has(FRESH, 99), has(FRESH, 100), has(PHONE, 99)), (true, false, false));
    assert!(shop.get(Browser(FRESH), "size", 99).is_some());
    assert_eq!(shop.get(Browser(FRESH), "size", 100), None);
    let end = 10 + 395 * DAY_MS;
    assert!(shop.get(Person(ADA), "size", end - 1).is_some());
    assert_eq!(shop.get(Person(ADA), "size", end), None);
    assert_eq!(shop.catalog.expire_memory(end - 1).unwrap(), 1, "the tie");
    assert_eq!(shop.catalog.expire_memory(end).unwrap(), 1, "the value");
    assert_eq!((shop.catalog.expire_memory(end).unwrap(), shop.size_bytes()), (0, 0));
}

#[test]
fn a_full_site_lets_people_leave_and_keeps_nothing_for_it() {
    let shop = shop();
    shop.set(Browser(PHONE), "email", "\"ada@shop.example\"", 10);
    shop.catalog.tie_memory(shop.site, (PHONE, FRESH), ADA, LATER, 20).unwrap();
    let fill = |connection: &Connection| {
        let full = crate::MEMORY_PER_SITE_SIZE_BYTES_MAX;
        connection
            .execute("UPDATE memory_sizes SET size_bytes = ?1 + 72", [full])
            .map_err(CatalogError::during("fills it"))
    };
    shop.catalog.connections.write("fills it", |transaction| fill(transaction)).unwrap();
    shop.catalog.sign_out_memory(shop.site, FRESH, 30).unwrap();
    assert_eq!(shop.get(Browser(FRESH), "email", 40), None);
    assert!(shop.get(Person(ADA), "email", 40).is_some());
    let full = shop.try_set(Browser(FRESH), "size", &format!("\"{}\"", "x".repeat(80)), 50);
    assert!(matches!(full, Err(CatalogError::LimitReached { .. })));
}

#[test]
fn what_is_forgotten_is_in_no_file() {
    let shop = shop();
    let canary = "\"kanarienvogel\"";
    let holds = || {
        std::fs::read_dir(shop.directory.path()).unwrap().any(|file| {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            bytes.windows(13).any(|part| part == b"kanarienvogel")
        })
    };
    shop.set(Browser(PHONE), "bird", canary, 10);
    assert!(holds());
    assert!(shop.catalog.forget_memory(shop.site, Browser(PHONE), 9).unwrap());
    assert!(!holds() && !shop.catalog.forget_memory(shop.site, Browser(PHONE), 9).unwrap());
    // A tied browser speaks for its person; the other browsers of the person lose their tie.
    shop.set(Person(ADA), "bird", canary, 20);
    shop.catalog.tie_memory(shop.site, (PHONE, FRESH), ADA, LATER, 30).unwrap();
    shop.catalog.tie_memory(shop.site, (LAPTOP, [6; 32]), ADA, LATER, 30).unwrap();
    assert!(holds() && shop.catalog.forget_memory(shop.site, Browser(FRESH), 9).unwrap());
    assert!(!holds());
    shop.set(Person(ADA), "bird", canary, 40);
    assert_eq!(shop.get(Browser([6; 32]), "bird", 50), None);
    assert!(holds() && shop.catalog.delete_site(shop.site, 60).unwrap());
    assert!(!holds(), "it goes with its site");
}

#[test]
fn bounds_hold_and_a_refused_change_changes_nothing() {
    let shop = shop();
    for at in 0..MEMORY_NAMES_MAX {
        shop.set(Browser(PHONE), &format!("name{at}"), "1", 10);
    }
    shop.set(Browser(PHONE), "name0", "2", 20);
    let full = shop.try_set(Browser(PHONE), "more", "1", 30);
    assert!(matches!(full, Err(CatalogError::LimitReached { limit: MEMORY_NAMES_MAX, .. })));
    assert_eq!(shop.get(Browser(PHONE), "more", 40), None);
    let eight = format!("\"{}\"", "x".repeat(8 * 1024 - 2));
    for at in 0..7 {
        shop.set(Browser(LAPTOP), &format!("name{at}"), &eight, 10);
    }
    let full = shop.try_set(Browser(LAPTOP), "more", &eight, 30);
    assert!(matches!(full, Err(CatalogError::LimitReached { limit: MEMORY_SIZE_BYTES_MAX, .. })));
    assert_eq!(shop.get(Browser(LAPTOP), "more", 40), None);
    // Two full memories join within the bounds: the newest stays.
    for at in 0..MEMORY_NAMES_MAX {
        shop.set(Person(ADA), &format!("hers{at}"), "1", 50);
    }
    shop.catalog.tie_memory(shop.site, (PHONE, FRESH), ADA, LATER, 60).unwrap();
    let rows = shop.catalog.recall(shop.site, Person(ADA), 70).unwrap();
    assert!(rows.len() == MEMORY_NAMES_MAX && rows.iter().all(|row| row.name.starts_with("hers")));
}

#[test]
fn an_identity_seed_is_renewed_and_removed() {
    let shop = shop();
    assert_eq!(shop.catalog.identity_seed(shop.site).unwrap(), None);
    let first = shop.catalog.renew_identity_seed(shop.site, 10).unwrap();
    assert_eq!(shop.catalog.identity_seed(shop.site).unwrap(), Some(first));
    let second = shop.catalog.renew_identity_seed(shop.site, 20).unwrap();
    assert!(second.seed != first.seed && second.made_at_ms == 20);
    assert_eq!(shop.catalog.identity_seed(shop.site).unwrap(), Some(second));
    assert!(shop.catalog.remove_identity_seed(shop.site).unwrap());
    assert_eq!(shop.catalog.identity_seed(shop.site).unwrap(), None);
}
