//! How long erasing takes in a store of some size, how much the files grow meanwhile, and whether a search of their bytes
//! finds anything of the erased afterwards.
//!
//! `cargo run -p cairn_store --example erase_speed [EVENTS]`: DuckDB does the work, so a debug build measures as well. Before
//! the one with the canary, one other visitor is erased, a hundred together, and a hundred one after the other.
#![allow(clippy::print_stdout)] // Printing is what it is for.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_model::event::PAGE_VIEW;
use cairn_model::session::Attributes;
use cairn_model::{Event, Identification, Session, SiteId, Subject, VisitorId};
use cairn_store::duckdb::{DuckOptions, DuckStore};
use cairn_store::{Batch, EventStore, Row, SessionChange, StoreError, Watermark};

const SITE: SiteId = SiteId(7);
/// No two bytes are alike, so that it stands in the file as it is.
const ERASED: VisitorId = VisitorId(0x9d3a_c441_7be2_5f13);
const CANARY: &str = "canary-of-the-erased-visitor";
const EVENTS_PER_BATCH: u64 = 5_000;
const EVENTS_PER_VISIT: u64 = 4;
/// One of the erased in so many visits.
const VISITS_PER_ERASED: u64 = 12_503;

fn main() {
    let events = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let directory = std::env::temp_dir().join(format!("cairn-erase-speed-{}", std::process::id()));
    let result = run(&directory, events);
    let _ = fs::remove_dir_all(&directory);
    if let Err(error) = result {
        println!("{error}");
        std::process::exit(1);
    }
}

fn run(directory: &Path, events: u64) -> Result<(), StoreError> {
    let store = DuckStore::open(directory, DuckOptions::default())?;
    let attributes = Arc::new(Attributes::new(std::array::from_fn(|index| {
        ["", "Google", "organic", "DE", "Firefox"][index % 5]
    })));
    let begun = Instant::now();
    for first in (1..=events).step_by(EVENTS_PER_BATCH as usize) {
        store.commit(&batch(first, &attributes))?;
        if first % (EVENTS_PER_BATCH * 40) == 1 {
            store.checkpoint()?;
        }
    }
    store.checkpoint()?;
    println!("{events} events written in {:.1?}", begun.elapsed());
    tell(&store, directory, "before");

    for (part, together, times) in [(1, 1, 1), (2, 100, 1), (3, 1, 100)] {
        tell_speed(&store, events * part / 4, together, times)?;
    }
    let subject = Subject { site_id: SITE, visitors: vec![ERASED], ..Subject::default() };
    let begun = Instant::now();
    let summary = store.subject_summary(&subject)?;
    println!("summary in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    let erased = store.erase_subjects(std::slice::from_ref(&subject))?;
    println!("{} of {} events erased in {:.1?}", erased.events, summary.events, begun.elapsed());
    store.checkpoint()?;
    tell(&store, directory, "deleted, and a checkpoint");

    let (begun, mut steps, mut longest, mut largest) = (Instant::now(), 0, Duration::ZERO, 0);
    loop {
        let step = Instant::now();
        let rewritten = store.rewrite_erased()?;
        (steps, longest) = (steps + 1, longest.max(step.elapsed()));
        largest = largest.max(store.size_bytes());
        if rewritten.is_complete {
            break;
        }
    }
    println!("rewritten in {:.1?}: {steps} steps, the longest {longest:.1?}", begun.elapsed());
    println!("at most {:.1} MB on the disk meanwhile", largest as f64 / 1e6);
    tell(&store, directory, "rewritten");
    Ok(())
}

/// Erases so many others at once, so many times: those whose visits begin here.
fn tell_speed(store: &DuckStore, from: u64, together: u64, times: u64) -> Result<(), StoreError> {
    let subjects: Vec<Subject> = (0..together * times)
        .map(|number| {
            let visit = (from / EVENTS_PER_VISIT + number) * EVENTS_PER_VISIT + 1;
            let visitors = vec![VisitorId(mixed(visit / 3 + 1))];
            Subject { site_id: SITE, visitors, ..Subject::default() }
        })
        .collect();
    let begun = Instant::now();
    let (mut events, mut longest) = (0, Duration::ZERO);
    for part in subjects.chunks(together as usize) {
        let turn = Instant::now();
        store.events_of_subjects(part)?;
        events += store.erase_subjects(part)?.events;
        longest = longest.max(turn.elapsed());
    }
    let all = begun.elapsed();
    println!(
        "{together} together, {times} times: {events} events in {all:.1?}, the longest {longest:.1?}"
    );
    Ok(())
}

fn mixed(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn batch(first: u64, attributes: &Arc<Attributes>) -> Batch<'static> {
    let offsets = first..first + EVENTS_PER_BATCH;
    let rows: Vec<Row<'static>> = offsets.map(|offset| row(offset, attributes)).collect();
    let sessions = rows.chunks(EVENTS_PER_VISIT as usize).map(|rows| {
        let (session, replaces) = (visit(&rows[0], rows.len() as u32), false);
        SessionChange::new(session, replaces)
    });
    let sessions = sessions.collect();
    let offset = first + EVENTS_PER_BATCH - 1;
    let watermark = Watermark { offset, received_at_ms: offset as i64 };
    Batch { rows, sessions, watermark, ..Batch::default() }
}

fn row(offset: u64, attributes: &Arc<Attributes>) -> Row<'static> {
    let visit = (offset - 1) / EVENTS_PER_VISIT * EVENTS_PER_VISIT + 1;
    let is_erased = (visit / EVENTS_PER_VISIT).is_multiple_of(VISITS_PER_ERASED);
    let mut event = Event::bare(SITE, PAGE_VIEW, 1_700_000_000_000 + offset as i64 * 10);
    event.visitor_id = if is_erased { ERASED } else { VisitorId(mixed(visit / 3 + 1)) };
    event.identification = Identification::Identified;
    event.hostname = "shop.example".into();
    event.event_key = u128::from(mixed(offset)) << 64 | u128::from(mixed(offset + 1));
    event.path = format!("/products/{}", mixed(offset) % 20_000).into();
    event.title = format!("Product {}", mixed(offset) % 20_000).into();
    if is_erased {
        event.path = format!("/{CANARY}/{offset}").into();
        event.query = format!("for={CANARY}-{offset}").into();
        event.props = format!("{{\"who\":\"{CANARY}\"}}").into();
    }
    Row { offset, session_id: visit, attributes: Arc::clone(attributes), event }
}

fn visit(first: &Row<'_>, events: u32) -> Session {
    let at_ms = first.event.timestamp_ms;
    Session {
        site_id: SITE,
        session_id: first.session_id,
        visitor_id: first.event.visitor_id,
        identification: Identification::Identified,
        session_key: 0,
        started_at_ms: at_ms,
        ended_at_ms: at_ms,
        last_activity_ms: at_ms,
        last_received_ms: at_ms,
        pageviews: events,
        events,
        entry_hostname: first.event.hostname.to_string(),
        entry_page: first.event.path.to_string(),
        exit_hostname: first.event.hostname.to_string(),
        exit_page: first.event.path.to_string(),
        attributes: Arc::clone(&first.attributes),
    }
}

/// What the files hold, byte for byte.
fn tell(store: &DuckStore, directory: &Path, when: &str) {
    let (mut number, mut text) = (0, 0);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(bytes) = fs::read(entry.path()) else { continue };
        let count =
            |needle: &[u8]| bytes.windows(needle.len()).filter(|window| *window == needle).count();
        number += count(&ERASED.0.to_le_bytes());
        text += count(CANARY.as_bytes());
    }
    let size_mb = store.size_bytes() as f64 / 1e6;
    println!("{when}: {size_mb:.1} MB; its number {number} times, its texts {text} times");
}
