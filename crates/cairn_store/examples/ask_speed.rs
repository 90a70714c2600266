//! Asks a store the same questions again and again, without a server: what an answer costs in the store alone.
//!
//! `cargo run --release -p cairn_store --example ask_speed -- <store> <site> <zone> <rounds> <now, Unix milliseconds> < questions`
//!
//! Reads a question a line, as JSON, from standard input, and prints milliseconds of the clock and of processors for each, and
//! for all of them together.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io::BufRead;
use std::path::PathBuf;
use std::time::Instant;

use cairn_model::SiteId;
use cairn_model::question::{Asking, Question};
use cairn_store::duckdb::{DuckOptions, DuckStore};
use cairn_store::{EventStore, StoreError};
use serde_json::Value;

const TICK_MS: u64 = 10;

/// Milliseconds of processors so far, in steps of ten.
fn processor_ms() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let after = text.rsplit(") ").next().unwrap_or_default();
    let fields: Vec<&str> = after.split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    Ok((ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default()) * TICK_MS)
}

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: ask_speed <store> <site> <zone> <rounds> <now, Unix milliseconds>";
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or(usage);
    let store = DuckStore::open(&PathBuf::from(next()?), DuckOptions::default())?;
    let site_id = SiteId(next()?.parse()?);
    let timezone = next()?;
    let rounds: u32 = next()?.parse()?;
    let now_ms = next()?.parse()?;
    let mut questions = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let body: Value = serde_json::from_str(&line?)?;
        let asking =
            Asking { site_id, timezone: &timezone, now_ms, first_event_ms: None, goals: &[] };
        questions.push(Question::parse(&body, &asking)?);
        let name = format!("{} by {}", body["metrics"], body["dimensions"]);
        if let Some(question) = questions.last() {
            measured(rounds, &name, || store.ask(question).map(|_| ()))?;
        }
    }
    measured(rounds, "all together", || store.ask_together(&questions).map(|_| ()))
}

fn measured(
    rounds: u32,
    name: &str,
    ask: impl Fn() -> Result<(), StoreError>,
) -> Result<(), Box<dyn Error>> {
    ask()?;
    let (started, before) = (Instant::now(), processor_ms()?);
    for _ in 0..rounds {
        ask()?;
    }
    let clock_ms = started.elapsed().as_secs_f64() * 1000.0 / f64::from(rounds);
    let processor_ms = (processor_ms()? - before) as f64 / f64::from(rounds);
    println!("{clock_ms:8.1} ms, processors {processor_ms:8.1} ms: {name}");
    Ok(())
}
