use std::sync::Arc;

use cairn_catalog::{Catalog, MailChoices, MemoryHolder, NewSite, PersonChange};
use cairn_model::event::PAGE_VIEW;
use cairn_model::{Event, SiteId, VisitorId};
use cairn_store::reference::ReferenceStore;
use cairn_store::{Batch, EventStore, Row, Watermark};
use tempfile::TempDir;

use super::find::{Finder, Found, Identifier, Lead};
use crate::ingest::visitor::{CookieId, IdentityKeys};

const HOME: VisitorId = VisitorId(70);
const SHARED: VisitorId = VisitorId(80);
const STRANGER: VisitorId = VisitorId(90);

struct Machine {
    store: ReferenceStore,
    catalog: Catalog,
    keys: IdentityKeys,
    site: SiteId,
    offset: u64,
    _directory: TempDir,
}

impl Machine {
    /// Anna at home and on a device that Benno uses, too; a stranger who says that he is Anna.
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
        let site = NewSite::of("shop.example");
        let site = catalog.add_site(&site, None, 1).unwrap().id;
        let keys = IdentityKeys::new(catalog.master_secret());
        let store = ReferenceStore::new();
        let mut machine = Machine { store, catalog, keys, site, offset: 0, _directory: directory };
        machine.event(HOME, "anna", "order-1");
        machine.event(HOME, "", "");
        machine.event(SHARED, "anna", "");
        machine.event(SHARED, "benno", "");
        machine
    }

    fn event(&mut self, visitor: VisitorId, user_id: &str, order_id: &'static str) {
        self.offset += 1;
        let mut event = Event::bare(self.site, PAGE_VIEW, 1);
        event.visitor_id = visitor;
        event.order_id = order_id.into();
        if !user_id.is_empty() {
            event.user_key = self.keys.of_user(self.site, user_id);
            let change = PersonChange {
                offset: self.offset,
                site_id: self.site,
                user_key: event.user_key,
                user_id: user_id.to_owned(),
                claimed_traits: format!(r#"{{"email":"{user_id}@mail.example"}}"#),
                is_proven: true,
                seen_at_ms: 1,
            };
            self.catalog.apply_log(&[change], &[], self.offset).unwrap();
        }
        let attributes = Arc::default();
        let row = Row { offset: self.offset, session_id: 0, attributes, event };
        let watermark = Watermark { offset: self.offset, received_at_ms: 1 };
        let batch = Batch { rows: vec![row], watermark, ..Batch::default() };
        self.store.commit(&batch).unwrap();
    }

    fn find(&self, identifier: Identifier) -> Found {
        let Machine { store, catalog, keys, site, .. } = self;
        Finder { store, catalog, keys, site_id: *site }.find(&identifier).unwrap()
    }

    fn user(&self, user_id: &str) -> u64 {
        self.keys.of_user(self.site, user_id)
    }
}

#[test]
fn a_person_is_found_with_the_browsers_that_are_his_alone() {
    let machine = Machine::new();
    let found = machine.find(Identifier::UserId("anna".into()));
    assert_eq!(found.subject.users, [machine.user("anna")]);
    assert_eq!(found.subject.visitors, [HOME]);
    assert_eq!(found.shared, [SHARED]);
    assert_eq!(
        (&found.user_leads[..], &found.visitor_leads[..]),
        (&[Lead::Named][..], &[Lead::BrowserOfPerson][..])
    );
    assert_eq!(found.names, ["anna", "anna@mail.example"]);
    let person = machine.keys.of_remembered(machine.site, "anna");
    assert_eq!(found.holders, [MemoryHolder::Person(person)]);
    assert!(!found.is_cut);
}

#[test]
fn an_address_finds_whom_the_site_said_it_of() {
    let machine = Machine::new();
    let email = "Anna@Mail.example";
    let found = machine.find(Identifier::Email(email.into()));
    // Also as a user id, which may be on record where nothing else is.
    assert_eq!(found.subject.users, [machine.user(email), machine.user("anna")]);
    assert_eq!(found.user_leads, [Lead::Named, Lead::ProvenEmail]);
    assert_eq!(found.subject.visitors, [HOME]);
    let nobody = machine.find(Identifier::Email("nobody@mail.example".into()));
    assert_eq!(nobody.subject.users.len(), 1);
    assert!(nobody.subject.visitors.is_empty());
}

#[test]
fn an_address_that_a_browser_claims_gives_no_power_over_anybody() {
    let mut machine = Machine::new();
    let claims = |machine: &mut Machine, user_id: &str, email: &str| {
        machine.offset += 1;
        let change = PersonChange {
            offset: machine.offset,
            site_id: machine.site,
            user_key: machine.user(user_id),
            user_id: user_id.to_owned(),
            claimed_traits: format!(r#"{{"email":"{email}","plan":"gold"}}"#),
            is_proven: false,
            seen_at_ms: 2,
        };
        machine.catalog.apply_log(&[change], &[], machine.offset).unwrap();
    };
    claims(&mut machine, "benno", "mallory@evil.example");
    claims(&mut machine, "dora", "mallory@evil.example");
    let mallory = "Mallory@evil.example";
    let found = machine.find(Identifier::Email(mallory.into()));
    assert_eq!(found.subject.users, [machine.user(mallory)], "nobody but the address itself");
    assert!(found.subject.visitors.is_empty() && found.shared.is_empty());
    // Of Benno the site itself had said another one, which stays.
    assert_eq!(
        (&found.names[..], &found.candidates[..]),
        (&[mallory.into()][..], &["dora".into()][..])
    );
    let holder = machine.keys.of_remembered(machine.site, mallory);
    assert_eq!(found.holders, [MemoryHolder::Person(holder)]);
    let benno = machine.find(Identifier::Email("benno@mail.example".into()));
    assert!(benno.subject.users.contains(&machine.user("benno")) && benno.candidates.is_empty());
    let (_, traits) = machine.catalog.person(machine.site, machine.user("benno")).unwrap().unwrap();
    assert!(traits.contains("benno@mail") && traits.contains("gold"), "{traits}");
    // Asked for by name, she is erased without the names that a browser gave her.
    assert_eq!(machine.find(Identifier::UserId("dora".into())).names, ["dora"]);
}

#[test]
fn an_order_finds_who_placed_it() {
    let machine = Machine::new();
    let found = machine.find(Identifier::OrderId("order-1".into()));
    assert_eq!(
        (found.subject.users, found.user_leads),
        (vec![machine.user("anna")], vec![Lead::Order])
    );
    assert!(machine.find(Identifier::OrderId("order-2".into())).subject.is_empty());
}

#[test]
fn a_browser_has_no_power_over_the_persons_that_it_names() {
    let mut machine = Machine::new();
    machine.event(STRANGER, "anna", "");
    let found = machine.find(Identifier::Visitor(STRANGER));
    assert_eq!((&found.subject.visitors[..], &found.subject.users[..]), (&[STRANGER][..], &[][..]));
    assert!(found.holders.is_empty() && found.names.is_empty());
    // The entry that nothing but this browser made goes with it. The person is not blocked, and the memory, which was
    // signed for, stays.
    machine.event(STRANGER, "carla", "");
    let found = machine.find(Identifier::Visitor(STRANGER));
    assert_eq!(
        (&found.subject.entries, &found.subject.users),
        (&vec![machine.user("carla")], &vec![])
    );
    assert!(found.subject.identifiers().eq([STRANGER.0]));
    assert!(found.holders.is_empty() && found.names.is_empty() && found.user_leads.is_empty());
    let Machine { store, catalog, keys, site, .. } = &machine;
    let kept = Finder { store, catalog, keys, site_id: *site }.kept(&found).unwrap();
    assert_eq!(kept.counts.people, 1);
    // Unless somebody else said something of the person.
    let no = MailChoices { opens: Some(false), clicks: None };
    let carla = machine.user("carla");
    machine.catalog.record_mail_choices(machine.site, carla, "carla", no, 1).unwrap();
    let found = machine.find(Identifier::Visitor(STRANGER));
    assert!(found.subject.users.is_empty() && found.subject.entries.is_empty());
}

#[test]
fn the_owner_finds_a_browser_without_power_over_whom_it_names() {
    let mut machine = Machine::new();
    let cookie: CookieId = [7; 16];
    let visitor = machine.keys.of_cookie(machine.site, &cookie);
    machine.event(visitor, "carla", "order-9");
    let found = machine.find(Identifier::CairnId(cookie));
    assert!(found.subject.identifiers().eq([visitor.0]));
    assert_eq!(found.subject.entries, [machine.user("carla")]);
    // Asked for by name, she is meant herself.
    let found = machine.find(Identifier::UserId("carla".into()));
    assert_eq!(found.subject.users, [machine.user("carla")]);
    assert!(found.subject.entries.is_empty());
}

#[test]
fn what_is_kept_is_counted_before_anything_is_erased() {
    let machine = Machine::new();
    let found = machine.find(Identifier::UserId("anna".into()));
    let Machine { store, catalog, keys, site, .. } = &machine;
    let kept = Finder { store, catalog, keys, site_id: *site }.kept(&found).unwrap();
    assert_eq!((kept.summary.events, kept.counts.people), (3, 1));
}
