use std::sync::Arc;
use std::time::Duration;

use cairn_catalog::{Catalog, NewSite, ReceiptFilter, ReceiptOrder};
use cairn_log::{Log, LogOptions, Offset, RealDisk};
use cairn_model::event::PAGE_VIEW;
use cairn_model::receipt::ChoiceMade;
use cairn_model::{Choice, Event, Identification, Outcome, SiteId, VisitorId};
use cairn_store::event_ids::EventIds;
use cairn_store::reference::ReferenceStore;
use cairn_store::{EventStore, Row, Watermark};
use tempfile::TempDir;

use super::{ApplyHandle, ApplyLoop, ApplyOptions, emptied};
use crate::record;

const SITE: SiteId = SiteId(3);
const NOW_MS: i64 = 1_763_800_000_000;

/// The databases of one machine. The store outlives a crash here because it is kept in memory.
struct Machine {
    directory: TempDir,
    store: Arc<ReferenceStore>,
}

impl Machine {
    fn new() -> Self {
        Machine { directory: TempDir::new().unwrap(), store: Arc::new(ReferenceStore::new()) }
    }

    fn catalog(&self) -> Arc<Catalog> {
        Arc::new(Catalog::open(&self.directory.path().join("catalog.sqlite")).unwrap())
    }

    /// Opens everything, appends these events, and applies until all are in.
    fn run(&self, catalog: &Arc<Catalog>, events: &[Event<'_>]) -> ApplyHandle {
        let records: Vec<Vec<u8>> =
            events.iter().map(|event| record::encode(event, Vec::new()).unwrap()).collect();
        self.run_records(catalog, &records)
    }

    fn run_records(&self, catalog: &Arc<Catalog>, records: &[Vec<u8>]) -> ApplyHandle {
        let log = LogOptions::new(self.directory.path().join("log"));
        let (log, _) = Log::open(log, Arc::new(RealDisk)).unwrap();
        let store = Arc::clone(&self.store) as Arc<dyn EventStore>;
        let ids = EventIds::open(&self.directory.path().join("ids"), &*store).unwrap();
        let options = ApplyOptions::default();
        let (apply, handle) = ApplyLoop::open(
            log.clone(),
            store,
            Arc::clone(catalog),
            Arc::new(ids),
            options,
            || NOW_MS,
        )
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let append = log.appender().append(records.iter().map(Vec::as_slice));
        runtime.block_on(append).unwrap();
        let thread = std::thread::spawn(move || apply.run());
        let last = log.durable_end().0 - 1;
        assert!(runtime.block_on(handle.wait_applied(last, Duration::from_secs(60))));
        handle.stop();
        thread.join().unwrap().unwrap();
        log.close();
        handle
    }
}

fn view(visitor: u64, key: u128, after_ms: i64) -> Event<'static> {
    let mut event = Event::bare(SITE, PAGE_VIEW, NOW_MS + after_ms);
    event.visitor_id = VisitorId(visitor);
    event.event_key = key;
    event.path = "/".into();
    event
}

#[test]
fn events_become_rows_and_visits() {
    let machine = Machine::new();
    let catalog = machine.catalog();
    let handle = machine.run(&catalog, &[view(1, 0, 0), view(2, 0, 10), view(1, 0, 20)]);
    let rows = machine.store.rows();
    assert_eq!(rows.iter().map(|row| row.session_id).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(machine.store.sessions().len(), 2);
    assert_eq!(handle.watermark(), Watermark { offset: 3, received_at_ms: NOW_MS + 20 });
    assert_eq!(handle.visitors_now(SITE), 2);
}

#[test]
fn a_repetition_is_stored_once_and_counted() {
    let machine = Machine::new();
    let catalog = machine.catalog();
    // Within one batch, and against what is stored.
    let handle = machine.run(&catalog, &[view(1, 77, 0), view(1, 77, 5), view(1, 78, 9)]);
    assert_eq!(handle.counts(std::slice::from_ref(&(1..4))).duplicate, 1);
    let handle = machine.run(&catalog, &[view(1, 78, 15), view(1, 79, 20)]);
    assert_eq!(machine.store.rows().len(), 3);
    assert_eq!(handle.counts(std::slice::from_ref(&(4..6))).accepted, 1);
    let mut outcomes = machine.store.outcomes_since(SITE, 0).unwrap();
    outcomes.sort();
    assert_eq!(outcomes, [(Outcome::Accepted, 3), (Outcome::Duplicate, 2)]);
}

#[test]
fn a_restart_goes_on_where_the_store_stands() {
    let machine = Machine::new();
    let catalog = machine.catalog();
    machine.run(&catalog, &[view(1, 0, 0), view(1, 0, 1_000)]);
    // Half an hour has not passed: the visit goes on.
    machine.run(&catalog, &[view(1, 0, 60_000)]);
    let rows = machine.store.rows();
    assert_eq!(rows.iter().map(|row| row.offset).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(machine.store.sessions().len(), 1);
    assert_eq!(machine.store.sessions()[0].pageviews, 3);
}

#[test]
fn choices_become_receipts_once_and_no_rows() {
    let machine = Machine::new();
    let catalog = machine.catalog();
    let site = NewSite::of("shop.example");
    let site_id = catalog.add_site(&site, None, NOW_MS).unwrap().id;
    let choice = |subject| ChoiceMade {
        site_id,
        at_ms: NOW_MS,
        subject: VisitorId(subject),
        answers: [Some(Choice::Granted), None, None, None],
        version: "a".into(),
        language: "".into(),
        signal: "page".into(),
        region: "eea".into(),
        policy: "regional".into(),
        gpc: false,
    };
    let encoded = |subject| record::encode_choice(&choice(subject)).unwrap();
    let event = record::encode(&view(1, 0, 0), Vec::new()).unwrap();
    let handle = machine.run_records(&catalog, &[encoded(7), event, encoded(8)]);
    assert_eq!(handle.watermark().offset, 3, "a choice moves the store's watermark, too");
    assert_eq!((machine.store.rows().len(), handle.status().bugs), (1, 0));
    let subjects = |catalog: &Catalog| -> Vec<u64> {
        let order = ReceiptOrder::OldestAfter(0);
        let found = catalog.receipts(site_id, &ReceiptFilter::default(), order, 10).unwrap();
        found.iter().map(|receipt| receipt.subject.unwrap().0).collect()
    };
    assert_eq!(subjects(&catalog), [7, 8]);
    // The store forgets what it committed last: the log is read again from there.
    let forgetful = Machine { store: Arc::new(ReferenceStore::new()), ..machine };
    let handle = forgetful.run_records(&catalog, &[encoded(9)]);
    assert_eq!((handle.watermark().offset, forgetful.store.rows().len()), (4, 1));
    assert_eq!(subjects(&catalog), [7, 8, 9], "the chain has each choice once");
    assert!(catalog.verify_receipts(site_id, NOW_MS).unwrap().is_sound());
}

#[test]
fn direct_identifiers_go_to_the_people_only() {
    let machine = Machine::new();
    let catalog = machine.catalog();
    let mut event = view(1, 0, 0);
    event.identification = Identification::Identified;
    event.user_key = 9;
    event.user_id = "user-7".into();
    event.traits = r#"{"email":"u@mail.example"}"#.into();
    machine.run(&catalog, &[event]);
    let rows = machine.store.rows();
    assert!(rows[0].event.user_id.is_empty() && rows[0].event.traits.is_empty());
    assert_eq!(rows[0].event.user_key, 9);
    // The site is not in the catalog: a person of a deleted site is not kept, but the watermark moves.
    assert_eq!(catalog.person(SITE, 9).unwrap(), None);
    assert_eq!(catalog.people_watermark().unwrap(), Offset(1).0);
}

#[test]
fn rows_leave_their_memory_to_those_of_the_next_batch() {
    let name = "sign_up".to_owned();
    let event = Event::bare(SITE, name.as_str(), NOW_MS);
    let row = Row { offset: 1, session_id: 0, attributes: Arc::default(), event };
    let rows = vec![row; 100];
    let (place, room) = (rows.as_ptr() as usize, rows.capacity());
    let next: Vec<Row<'static>> = emptied(rows);
    assert_eq!((next.len(), next.as_ptr() as usize, next.capacity()), (0, place, room));
}
