//! DuckDB against the contract, against the oracle, and against restarts.

use std::sync::Arc;

use cairn_model::question::{Asking, EventsQuestion};
use cairn_model::session::{Attribute, Attributes};
use cairn_model::{
    Basis, Event, Identification, Origin, Outcome, PixelId, SiteId, Subject, VisitorId,
};
use proptest::prelude::*;
use serde_json::Value;

use super::write::uuid_text;
use super::{Database, DatabaseOptions, DuckError, DuckOptions, DuckStore, RowRef};
use crate::contract::{any_batches, assert_equal, holds, row, session};
use crate::reference::ReferenceStore;
use crate::schema::TextField;
use crate::{Batch, EventStore, OutcomeCount, Row, SessionChange, StoreError, Watermark, schema};

/// A store in a directory of its own, which goes with it.
struct Temporary {
    store: Option<DuckStore>,
    directory: tempfile::TempDir,
}

impl Temporary {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = DuckStore::open(directory.path(), DuckOptions::default()).unwrap();
        Temporary { store: Some(store), directory }
    }

    fn store(&self) -> &DuckStore {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(DuckStore::open(self.directory.path(), DuckOptions::default()).unwrap());
    }
}

#[test]
fn duckdb_holds_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    holds(&|| {
        count.set(count.get() + 1);
        let path = directory.path().join(count.get().to_string());
        Box::new(DuckStore::open(&path, DuckOptions::default()).unwrap())
    });
}

fn texts<const N: usize>(row: RowRef<'_>, first: usize) -> Result<[String; N], DuckError> {
    let mut texts = std::array::from_fn(|_| String::new());
    for (index, text) in texts.iter_mut().enumerate() {
        *text = row.get(first + index)?;
    }
    Ok(texts)
}

/// The rows as SQL sees them, by the columns' names.
fn rows_of(store: &DuckStore) -> Vec<Row<'static>> {
    let text = |column: &str, field: TextField| {
        format!(
            "(SELECT t.text FROM texts t WHERE t.site_id IN (0, e.site_id) AND t.field = {}
                AND t.code = e.{column})",
            field.number()
        )
    };
    let attributes = Attribute::ALL.map(|one| text(one.column(), TextField::Visit(one)));
    let name = text("name", TextField::Name);
    let hostname = text("hostname", TextField::Hostname);
    let path = text("path", TextField::Path);
    let title = text("title", TextField::Title);
    let click_id_kind = text("click_id_kind", TextField::ClickIdKind);
    let organization = text("organization", TextField::Organization);
    let network_marks = text("network_marks", TextField::NetworkMarks);
    let screen = text("screen", TextField::Screen);
    let language = text("language", TextField::Language);
    let currency = text("currency", TextField::Currency);
    let section_id = text("section_id", TextField::SectionId);
    let sql = format!(
        "SELECT site_id, event_offset, session_id, visitor_id, identified, user_key, timestamp_ms,
            received_at_ms, pixel_id, imported, basis, event_key, event_uuid, asn, value_minor,
            engagement_ms, scroll_percent, section_visible_ms, section_visible_percent, truncated,
            event_id, {name}, {hostname}, {path}, query, {title}, {click_id_kind}, click_id,
            {organization}, {network_marks}, {screen}, {language}, {currency}, order_id, items,
            {section_id}, props, {}
        FROM events e ORDER BY event_offset",
        attributes.join(", ")
    );
    let mut rows = Vec::new();
    let each = |row: RowRef<'_>| {
        rows.push(read_row(row)?);
        Ok::<(), DuckError>(())
    };
    store
        .with_reader(|connection| {
            connection
                .query(&sql, &[])
                .and_then(|rows| rows.for_each(each))
                .map_err(|error| error.while_it("reads for a test"))
        })
        .unwrap();
    rows
}

fn read_row(row: RowRef<'_>) -> Result<Row<'static>, DuckError> {
    let mut event = Event::bare(SiteId(row.get(0)?), "", row.get(6)?);
    event.visitor_id = VisitorId(row.get(3)?);
    if row.get(4)? {
        event.identification = Identification::Identified;
    }
    event.user_key = row.get(5)?;
    event.received_at_ms = row.get(7)?;
    event.pixel_id = PixelId(row.get(8)?);
    if row.get(9)? {
        event.origin = Origin::Import;
    }
    let basis: u8 = row.get(10)?;
    event.basis = Basis::ALL[usize::from(basis)];
    event.event_key = row.optional(11)?.unwrap_or(0);
    let event_id: String = match row.optional(12)? {
        Some(uuid) => uuid_text(uuid),
        None => row.get(20)?,
    };
    event.event_id = event_id.into();
    event.asn = row.get(13)?;
    event.value_minor = row.optional(14)?;
    event.engagement_ms = row.optional(15)?;
    event.scroll_percent = row.optional(16)?;
    event.section_visible_ms = row.optional(17)?;
    event.section_visible_percent = row.optional(18)?;
    event.truncated = row.get(19)?;
    let [name, hostname, path, query, title] = texts(row, 21)?.map(Into::into);
    (event.name, event.hostname, event.path) = (name, hostname, path);
    (event.query, event.title) = (query, title);
    let [kind, id, organization, marks, screen, language] = texts(row, 26)?.map(Into::into);
    (event.click_id_kind, event.click_id) = (kind, id);
    (event.organization, event.network_marks) = (organization, marks);
    (event.screen, event.language) = (screen, language);
    let [currency, order_id, items, section_id, props] = texts(row, 32)?.map(Into::into);
    (event.currency, event.order_id, event.items) = (currency, order_id, items);
    (event.section_id, event.props) = (section_id, props);
    let attributes: [String; 18] = texts(row, 37)?;
    let attributes = Arc::new(Attributes::new(std::array::from_fn(|i| attributes[i].as_str())));
    Ok(Row { offset: row.get(1)?, session_id: row.get(2)?, attributes, event })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever is written comes back, before and after a restart, and equals what the oracle keeps.
    #[test]
    fn random_batches_equal_the_reference(batches in any_batches(), checkpoint in any::<bool>()) {
        let mut duck = Temporary::new();
        let oracle = ReferenceStore::new();
        for batch in &batches {
            duck.store().commit(batch).unwrap();
            oracle.commit(batch).unwrap();
        }
        if checkpoint {
            duck.store().checkpoint().unwrap();
        }
        assert_equal(duck.store(), &oracle);
        assert_eq!(rows_of(duck.store()), oracle.rows());
        duck.reopen();
        assert_equal(duck.store(), &oracle);
        assert_eq!(rows_of(duck.store()), oracle.rows());
    }

    /// Whoever is erased, what is left equals what the oracle keeps, before and after the file is rewritten.
    #[test]
    fn random_erasures_equal_the_reference(
        batches in any_batches(),
        whom in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<bool>(), 1_usize..4),
            1..4,
        ),
    ) {
        let mut duck = Temporary::new();
        let oracle = ReferenceStore::new();
        for batch in &batches {
            duck.store().commit(batch).unwrap();
            oracle.commit(batch).unwrap();
        }
        for (index, by_user, together) in whom {
            let rows = oracle.rows();
            if rows.is_empty() {
                break;
            }
            // He himself, his neighbours in the table, and somebody of whom nothing is kept, all at once.
            let site_id = index.get(&rows).event.site_id;
            let of_site: Vec<_> = rows.iter().filter(|row| row.event.site_id == site_id).collect();
            let mut subjects: Vec<Subject> = Vec::new();
            for distance in 0..together {
                let event = &of_site[(index.index(of_site.len()) + distance) % of_site.len()].event;
                let (visitors, users) = match by_user && event.user_key != 0 {
                    true => (Vec::new(), vec![event.user_key]),
                    false => (vec![event.visitor_id], Vec::new()),
                };
                subjects.push(Subject { site_id, visitors, users, ..Subject::default() });
            }
            subjects.push(Subject { site_id, ..Subject::default() });
            let [mine, theirs] = [duck.store() as &dyn EventStore, &oracle].map(|store| {
                let summary = store.subject_summary(&subjects[0]).unwrap();
                let browsers = store.browsers_of_users(&subjects[0], 2).unwrap();
                let events = store.events_of_subjects(&subjects).unwrap();
                (summary, browsers, events, store.erase_subjects(&subjects).unwrap())
            });
            assert_eq!(mine.2.iter().sum::<u64>(), mine.3.events);
            assert_eq!(mine, theirs);
            assert_equal(duck.store(), &oracle);
            assert_eq!(rows_of(duck.store()), oracle.rows());
        }
        while !duck.store().rewrite_erased().unwrap().is_complete {}
        assert_equal(duck.store(), &oracle);
        assert_eq!(rows_of(duck.store()), oracle.rows());
        duck.reopen();
        assert_eq!(rows_of(duck.store()), oracle.rows());
    }
}

#[test]
fn keys_of_ids_are_computed_where_they_can_be() {
    let directory = tempfile::tempdir().unwrap();
    let options = DuckOptions {
        event_key_of: Some(Arc::new(|site, id| u128::from(site.0) << 64 | id.len() as u128)),
        ..DuckOptions::default()
    };
    let store = DuckStore::open(directory.path(), options).unwrap();
    let ids = ["0f8fad5b-d9cb-469f-a165-70867728950e", "order 17", "", ""];
    let mut batch = Batch::default();
    for (index, id) in ids.into_iter().enumerate() {
        let mut row = row(index as u64 + 1, 1);
        row.event.event_id = id.into();
        row.event.event_key = [7 << 64 | 36, 7 << 64 | 8, 99, 0][index];
        batch.rows.push(row);
    }
    batch.watermark.offset = 4;
    store.commit(&batch).unwrap();
    let mut keys = Vec::new();
    store.event_keys_after(0, &mut |offset, key, _| keys.push((offset, key))).unwrap();
    assert_eq!(keys, [(1, 7 << 64 | 36), (2, 7 << 64 | 8), (3, 99)]);
    let stored: Vec<u128> = rows_of(&store).iter().map(|row| row.event.event_key).collect();
    assert_eq!(stored, [0, 0, 99, 0], "what can be computed is not stored");
}

#[test]
fn a_file_of_another_schema_is_refused() {
    let refused = |version: u32| {
        let mut duck = Temporary::new();
        duck.store = None;
        let file = duck.directory.path().join("events.duckdb");
        let database = Database::open(&file, &DatabaseOptions::default()).unwrap();
        let connection = database.connect().unwrap();
        connection.execute("UPDATE meta SET schema_version = ?", &[version.into()]).unwrap();
        drop((connection, database));
        DuckStore::open(duck.directory.path(), DuckOptions::default()).err().unwrap()
    };
    let newer = refused(schema::VERSION + 1);
    assert!(
        matches!(newer, StoreError::NewerSchema { found, known } if found == known + 1),
        "{newer}"
    );
    let older = refused(schema::VERSION - 1);
    assert!(
        matches!(older, StoreError::OlderSchema { found, known } if found + 1 == known),
        "{older}"
    );
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("events.duckdb"), [b'x'; 20_000]).unwrap();
    let error = DuckStore::open(directory.path(), DuckOptions::default()).err().unwrap();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

#[test]
fn readers_see_whole_batches_only() {
    let duck = Temporary::new();
    let (store, batches) = (duck.store(), 150u64);
    let finished = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let end = Finish(&finished);
        let reader = scope.spawn(|| {
            let mut seen = 0;
            let mut last_round = false;
            while !last_round {
                last_round = finished.load(std::sync::atomic::Ordering::SeqCst);
                let counts = store
                    .with_reader(|connection| {
                        let sql = "SELECT (SELECT count(*) FROM events),
                            (SELECT count(*) FROM sessions), (SELECT watermark FROM meta)";
                        let rows = connection.query(sql, &[]).unwrap();
                        let read = |row: RowRef<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?]);
                        Ok(rows.first(read).unwrap().unwrap())
                    })
                    .unwrap();
                let [events, visits, watermark]: [u64; 3] = counts;
                assert_eq!(events, watermark);
                assert_eq!(visits, watermark.min(1));
                assert!(watermark >= seen, "time does not run backwards");
                seen = watermark;
            }
            seen
        });
        for number in 0..batches {
            let rows: Vec<_> = (1..=50).map(|index| row(number * 50 + index, 1)).collect();
            let change = SessionChange::new(session(1, 0, 9), number > 0);
            let watermark = Watermark { offset: number * 50 + 50, received_at_ms: 0 };
            let batch = Batch { rows, sessions: vec![change], outcomes: Vec::new(), watermark };
            store.commit(&batch).unwrap();
            if number % 3 == 2 {
                store.checkpoint().unwrap();
            }
        }
        drop(end);
        assert_eq!(reader.join().unwrap(), batches * 50);
    });
}

/// Says that the writer is done, also when it failed.
struct Finish<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn a_checkpoint_sums_the_outcomes_of_an_hour() {
    let mut duck = Temporary::new();
    let count =
        |outcome| OutcomeCount { site_id: SiteId(7), hour_ms: 3_600_000, outcome, count: 2 };
    for offset in 1..=4 {
        let batch = Batch {
            outcomes: [Outcome::Accepted, Outcome::Duplicate].map(count).repeat(200),
            watermark: Watermark { offset, received_at_ms: 0 },
            ..Batch::default()
        };
        duck.store().commit(&batch).unwrap();
    }
    let rows = |duck: &Temporary| {
        let count = |connection: &super::Connection| {
            let rows = connection.query("SELECT count(*) FROM outcomes", &[]).unwrap();
            Ok(rows.first(|row| row.get::<u64>(0)).unwrap().unwrap())
        };
        duck.store().with_reader(count).unwrap()
    };
    let sums = [(Outcome::Accepted, 1600), (Outcome::Duplicate, 1600)];
    assert_eq!(rows(&duck), 1600);
    duck.store().checkpoint().unwrap();
    assert_eq!(rows(&duck), 2);
    assert_eq!(duck.store().outcomes_since(SiteId(7), 0).unwrap(), sums);
    duck.reopen();
    assert_eq!(duck.store().outcomes_since(SiteId(7), 0).unwrap(), sums);
}

#[test]
fn visits_that_change_again_and_again_do_not_grow_the_file() {
    let duck = Temporary::new();
    let mut sizes = Vec::new();
    for round in 0..12u64 {
        let sessions = (0..5_000)
            .map(|id| SessionChange::new(session(id + 1, 0, round as i64), round > 0))
            .collect();
        let watermark = Watermark { offset: round + 1, received_at_ms: 0 };
        duck.store().commit(&Batch { sessions, watermark, ..Batch::default() }).unwrap();
        duck.store().checkpoint().unwrap();
        sizes.push(duck.store().size_bytes());
    }
    assert!(sizes[11] <= 3 * sizes[1], "{sizes:?}");
}

#[test]
fn pages_of_events_reach_back_as_far_as_there_are_events() {
    let duck = Temporary::new();
    // Far more than one look's reach apart; the last one is nobody's yet.
    let offsets = [1, 2, 9_000, 9_001, 700_000, 90_000_000, 90_000_001];
    for offset in offsets {
        let watermark = Watermark { offset, received_at_ms: 0 };
        let batch = Batch { rows: vec![row(offset, 1)], watermark, ..Batch::default() };
        duck.store().commit(&batch).unwrap();
    }
    let asking = Asking {
        site_id: crate::contract::SITE,
        timezone: "Etc/UTC",
        now_ms: 0,
        first_event_ms: None,
        goals: &[],
    };
    let page = |before: Option<u64>, limit: u32| -> Vec<u64> {
        let question =
            EventsQuestion::parse(&Value::Null, &Value::Null, before, Some(limit), &asking);
        let events = duck.store().events_page(&question.unwrap()).unwrap();
        events.iter().map(|event| event.offset).collect()
    };
    assert_eq!(page(None, 2), [90_000_001, 90_000_000]);
    assert_eq!(page(Some(90_000_000), 2), [700_000, 9_001]);
    assert_eq!(page(Some(9_001), 9), [9_000, 2, 1]);
    assert_eq!(page(None, 100), offsets.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(page(Some(1), 9), [0; 0]);
}

#[test]
fn texts_of_a_refused_batch_or_a_deleted_site_are_nowhere() {
    let duck = Temporary::new();
    let texts = || {
        let count = |connection: &super::Connection| {
            let rows = connection.query("SELECT count(*) FROM texts WHERE site_id <> 0", &[]);
            Ok(rows.unwrap().first(|row| row.get::<u64>(0)).unwrap().unwrap())
        };
        duck.store().with_reader(count).unwrap()
    };
    let batch = |offset: u64, path: &str| {
        let mut row = row(offset, 1);
        row.event.path = path.to_owned().into();
        let watermark = Watermark { offset, received_at_ms: 0 };
        Batch { rows: vec![row], watermark, ..Batch::default() }
    };
    duck.store().commit(&batch(1, "/one")).unwrap();
    let known = texts();
    assert!(duck.store().commit(&batch(1, "/refused")).is_err());
    assert_eq!(texts(), known);
    duck.store().commit(&batch(2, "/two")).unwrap();
    assert_eq!(texts(), known + 1);
    duck.store().delete_site(crate::contract::SITE).unwrap();
    assert_eq!(texts(), 0);
    duck.store().commit(&batch(3, "/two")).unwrap();
    assert_eq!(rows_of(duck.store()).last().unwrap().event.path, "/two");
}

#[test]
fn a_frozen_file_is_the_store_as_it_was() {
    let duck = Temporary::new();
    let store = duck.store();
    let commit = |offset| {
        let watermark = Watermark { offset, received_at_ms: 0 };
        let rows = vec![row(offset, 1)];
        store.commit(&Batch { rows, watermark, ..Batch::default() }).unwrap();
    };
    commit(1);
    let copies = tempfile::tempdir().unwrap();
    let copied = |name: &str| {
        let directory = copies.path().join(name);
        std::fs::create_dir(&directory).unwrap();
        directory
    };
    // Somebody reads all the time, and events go on arriving.
    let frozen = store.with_reader(|_| store.freeze()).unwrap();
    commit(2);
    let first = copied("first");
    frozen[0].copy_to(&first.join(frozen[0].name())).unwrap();
    let copy = DuckStore::open(&first, DuckOptions::default()).unwrap();
    assert_eq!(copy.watermark().unwrap().offset, 1);
    assert_eq!(copy.pixel_activity(crate::contract::SITE, 0).unwrap()[0].1.events_since, 1);
    store.checkpoint().unwrap();
    let second = copied("second");
    let refused = frozen[0].copy_to(&second.join(frozen[0].name())).unwrap_err();
    assert!(refused.to_string().contains("changed while it was copied"), "{refused}");
    let now = store.freeze().unwrap();
    let third = copied("third");
    now[0].copy_to(&third.join(now[0].name())).unwrap();
    let copy = DuckStore::open(&third, DuckOptions::default()).unwrap();
    assert_eq!(copy.watermark().unwrap().offset, 2);
}

#[test]
fn what_a_killed_process_spilled_is_gone_at_the_next_start() {
    let mut duck = Temporary::new();
    let spilled = duck.directory.path().join("spilled");
    duck.store = None;
    std::fs::create_dir_all(spilled.join("deeper")).unwrap();
    let files = [spilled.join("duckdb_temp_storage_DEFAULT-0.tmp"), spilled.join("deeper/row")];
    files.iter().for_each(|file| std::fs::write(file, "a row of somebody").unwrap());
    duck.reopen();
    assert_eq!(files.map(|file| file.exists()), [false; 2]);
}
