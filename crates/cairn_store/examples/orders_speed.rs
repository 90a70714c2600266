//! How long questions about orders take in a store of some size, beside one that only counts.
//!
//! `cargo run -p cairn_store --example orders_speed [EVENTS]`: DuckDB does the work, so a debug build measures as well. Two years
//! of one site; one event in a hundred is a purchase, every tenth order comes twice and every twentieth is given back.
#![allow(clippy::print_stdout)] // Printing is what it is for.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cairn_model::event::PAGE_VIEW;
use cairn_model::question::{Asking, Question};
use cairn_model::session::Attributes;
use cairn_model::{Event, Pricing, Rate, Rates, SiteId, VisitorId};
use cairn_store::duckdb::{DuckOptions, DuckStore};
use cairn_store::{Batch, EventStore, Row, Watermark};
use serde_json::json;

type Failure = Box<dyn std::error::Error>;

const SITE: SiteId = SiteId(7);
const EVENTS_PER_BATCH: u64 = 20_000;
/// Of so many tries the fastest counts: others may use the machine.
const RUNS: usize = 9;
const DAY_MS: i64 = 86_400_000;
const DAYS: i64 = 730;
const START_MS: i64 = 1_700_000_000_000 / DAY_MS * DAY_MS;

fn main() {
    let events = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let directory = std::env::temp_dir().join(format!("cairn-orders-{}", std::process::id()));
    let result = run(&directory, events);
    let _ = fs::remove_dir_all(&directory);
    if let Err(error) = result {
        println!("{error}");
        std::process::exit(1);
    }
}

fn run(directory: &Path, events: u64) -> Result<(), Failure> {
    let store = DuckStore::open(directory, DuckOptions::default())?;
    let campaigns: Vec<Arc<Attributes>> = (0..40)
        .map(|number| {
            let name = format!("campaign-{number}");
            let text = |index: usize| if index == 6 { name.as_str() } else { "" };
            Arc::new(Attributes::new(std::array::from_fn(text)))
        })
        .collect();
    for first in (1..=events).step_by(usize::try_from(EVENTS_PER_BATCH)?) {
        let offsets = first..first + EVENTS_PER_BATCH;
        let rows = offsets.map(|offset| row(offset, events, &campaigns)).collect();
        let offset = first + EVENTS_PER_BATCH - 1;
        let watermark = Watermark { offset, received_at_ms: 0 };
        store.commit(&Batch { rows, watermark, ..Batch::default() })?;
    }
    store.checkpoint()?;
    println!("{events} events, {:.0} MB", store.size_bytes() as f64 / 1e6);
    for (label, days) in [("30 days", 30), ("12 months", 365)] {
        for metrics in [&["pageviews"][..], &["revenue"], &["revenue", "net_revenue", "orders"]] {
            let question = question(metrics, days, &store)?;
            let (mut fastest_ms, cpu) = (f64::MAX, cpu_ms());
            for _ in 0..RUNS {
                let begun = Instant::now();
                store.ask(&question)?;
                fastest_ms = fastest_ms.min(begun.elapsed().as_secs_f64() * 1e3);
            }
            let (names, cpu_ms) = (metrics.join(", "), (cpu_ms() - cpu) / RUNS as u64);
            println!("{label}, {names} by campaign: {fastest_ms:.0} ms, {cpu_ms} ms of CPU");
        }
    }
    Ok(())
}

/// CPU time of this process so far, all threads: it does not depend on who else uses the machine. 0 where it cannot be read.
fn cpu_ms() -> u64 {
    const TICK_MS: u64 = 10;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * TICK_MS
}

fn question(metrics: &[&str], days: i64, store: &DuckStore) -> Result<Question, Failure> {
    let now_ms = START_MS + DAYS * DAY_MS;
    let asking = Asking {
        site_id: SITE,
        timezone: "Europe/Berlin",
        now_ms,
        first_event_ms: None,
        goals: &[],
    };
    let body = json!({"site_id": "s", "metrics": metrics, "date_range": format!("{days}d"),
        "dimensions": ["visit:utm_campaign"]});
    let question = Question::parse(&body, &asking)?;
    let first = i32::try_from(START_MS / DAY_MS)?;
    let rate =
        |day: i32| Rate { day, currency: "USD".to_owned(), units: 110_000_000 + i64::from(day) };
    let rates = Rates::new("EUR", 7, (first..first + i32::try_from(DAYS)?).map(rate));
    let zone = jiff::tz::TimeZone::get("Europe/Berlin")?;
    let currencies = store.currencies(SITE)?;
    let pricing = Pricing::of(&rates, "EUR", &currencies, question.range, &zone);
    Ok(match question.sums().is_empty() {
        true => question,
        false => question.counted(Arc::new(pricing)),
    })
}

fn row(offset: u64, events: u64, campaigns: &[Arc<Attributes>]) -> Row<'static> {
    let mixed = offset.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 8;
    let at_ms =
        START_MS + (i128::from(offset) * i128::from(DAYS * DAY_MS) / i128::from(events)) as i64;
    let mut event = Event::bare(SITE, PAGE_VIEW, at_ms);
    event.visitor_id = VisitorId(mixed % (events / 8 + 1));
    event.path = format!("/products/{}", mixed % 5_000).into();
    let order = |number: u64| format!("order-{number:08}");
    if offset.is_multiple_of(100) {
        event.name = "purchase".into();
        let repeats = (offset / 100).is_multiple_of(10) && offset > 100;
        event.order_id = order(if repeats { offset - 100 } else { offset }).into();
        event.value_minor = Some(i64::try_from(mixed % 20_000).unwrap_or_default());
        event.currency = if mixed.is_multiple_of(3) { "USD" } else { "EUR" }.into();
    } else if offset % 2_000 == 1 && offset > 100 {
        event.name = "refund".into();
        event.order_id = order(offset - 101).into();
        (event.value_minor, event.currency) = (Some(500), "EUR".into());
    }
    let campaign = &campaigns[mixed as usize % campaigns.len()];
    Row { offset, session_id: offset / 4 + 1, attributes: Arc::clone(campaign), event }
}
