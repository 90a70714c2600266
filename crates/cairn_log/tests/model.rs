//! Random histories on a lying disk against a model: after every crash, every acknowledged record is
//! there exactly once and in order; and proof that the rig notices a log that is not safe.

#![allow(clippy::unwrap_used)] // a test stops at what it does not expect

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use cairn_log::sim::{Chance, Faults, Machine};
use cairn_log::{Append, Log, LogError, LogOptions, Offset};

const DIRECTORY: &str = "/log";
const PATIENCE: Duration = Duration::from_secs(20);
/// No history takes as long, on however busy a machine: one that does waits for what never comes.
const HISTORY_PATIENCE: Duration = Duration::from_secs(300);

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// Outcome of an append, if it is known already.
fn peek(append: &mut Append) -> Option<Result<std::ops::Range<u64>, LogError>> {
    let waker = Waker::from(Arc::new(Nobody));
    match Pin::new(append).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What must hold, kept beside the log.
struct Model {
    /// Acknowledged or read: these stay.
    fixed: BTreeMap<u64, Vec<u8>>,
    /// Everything ever offered: its identity, and the number under which it was seen.
    offered: HashMap<Vec<u8>, Option<u64>>,
    /// The reader's watermark: records before it may be trimmed.
    consumed_before: u64,
    /// Numbers from here on may be given to new records.
    end: u64,
    identity: u64,
}

#[derive(Debug)]
struct Broken(String);

macro_rules! hold {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err(Broken(format!($($text)*)));
        }
    };
}

impl Model {
    fn new() -> Self {
        let (fixed, offered) = (BTreeMap::new(), HashMap::new());
        Self { fixed, offered, consumed_before: 1, end: 1, identity: 0 }
    }

    fn make(&mut self, chance: &mut Chance) -> Vec<u8> {
        self.identity += 1;
        let size_max = if chance.happens(100) { 1500 } else { 200 };
        let size = chance.below(size_max);
        let mut record = self.identity.to_le_bytes().to_vec();
        record.extend((0..size).map(|_| chance.number().to_le_bytes()[0]));
        self.offered.insert(record.clone(), None);
        record
    }

    fn saw(&mut self, number: u64, record: &[u8]) -> Result<(), Broken> {
        if let Some(known) = self.fixed.get(&number) {
            hold!(known == record, "record {number} has changed or its number was given twice");
            return Ok(());
        }
        hold!(number >= self.end, "record {number} turned up late; {} was the end", self.end);
        let place = self.offered.get_mut(record);
        hold!(place.is_some(), "record {number} was never offered");
        if let Some(place) = place {
            hold!(place.is_none(), "record {number} is also there as {place:?}");
            *place = Some(number);
        }
        self.fixed.insert(number, record.to_vec());
        self.end = number + 1;
        Ok(())
    }

    fn acknowledged(&mut self, first: u64, records: &[Vec<u8>]) -> Result<(), Broken> {
        for (number, record) in (first..).zip(records) {
            if let Some(known) = self.fixed.get(&number) {
                hold!(known == record, "number {number} was given twice");
                continue;
            }
            let place = self.offered.get_mut(record);
            hold!(matches!(place, Some(None)), "record {number} was acknowledged twice");
            if let Some(place) = place {
                *place = Some(number);
            }
            self.fixed.insert(number, record.clone());
        }
        Ok(())
    }

    /// Everything that must be there from the watermark on is there, in order and without gaps.
    fn read_all(&mut self, log: &Log, size_bytes_max: usize) -> Result<(), Broken> {
        let mut reader = log.reader(Offset(self.consumed_before));
        let mut next = self.consumed_before;
        loop {
            let batch = match reader.next_batch(size_bytes_max) {
                Ok(batch) => batch,
                Err(error) => return Err(Broken(format!("reading at {next}: {error}"))),
            };
            if batch.is_empty() {
                break;
            }
            let mut count = 0;
            for (number, record) in batch.iter() {
                hold!(number == next, "read {number} instead of {next}");
                self.saw(number, record)?;
                next += 1;
                count += 1;
            }
            hold!(count == batch.len(), "a batch of {} had {count} records", batch.len());
        }
        let last = self.fixed.keys().next_back().map_or(1, |number| number + 1);
        hold!(next >= last, "the log ends at {next}, but {last} was acknowledged");
        self.end = self.end.max(next);
        Ok(())
    }
}

fn options(model: &Model, chance: &mut Chance) -> LogOptions {
    LogOptions {
        segment_size_bytes: 16 << 10,
        size_bytes_max: (16 << 10) * (2 + chance.below(4)),
        record_size_bytes_max: 2000,
        batch_size_bytes_max: 8 << 10,
        group_delay_max: Duration::from_micros(chance.below(3) * 50),
        retry_pause_min: Duration::from_micros(100),
        retry_pause_max: Duration::from_millis(1),
        consumed_before: Offset(model.consumed_before),
        ..LogOptions::new(DIRECTORY)
    }
}

/// One process: opens the log, does random things, ends in one of four ways.
fn live(
    machine: &Machine,
    model: &mut Model,
    chance: &mut Chance,
    lies: bool,
) -> Result<(), Broken> {
    machine.set_faults(Faults { syncs_lie: lies, ..Faults::default() });
    let (log, recovery) = match Log::open(options(model, chance), machine.disk()) {
        Ok(opened) => opened,
        Err(error) => return Err(Broken(format!("opening: {error}"))),
    };
    hold!(recovery.lost.is_empty(), "lost {:?}", recovery.lost);
    model.read_all(&log, 1 + chance.below(5000) as usize)?;
    hold!(recovery.next == log.durable_end(), "{recovery:?} but {:?}", log.durable_end());
    let runtime = runtime();
    runtime.block_on(act(machine, model, chance, &log, lies))?;
    match chance.below(4) {
        0 => log.close(),
        1 => machine.kill(),
        _ => machine.lose_power(),
    }
    Ok(())
}

async fn act(
    machine: &Machine,
    model: &mut Model,
    chance: &mut Chance,
    log: &Log,
    lies: bool,
) -> Result<(), Broken> {
    let appenders = [log.appender(), log.appender()];
    let mut waiting: Vec<(Vec<Vec<u8>>, Append)> = Vec::new();
    for _ in 0..chance.below(40) {
        match chance.below(12) {
            0..=5 => {
                let records: Vec<Vec<u8>> =
                    (0..chance.below(5)).map(|_| model.make(chance)).collect();
                let appender = &appenders[chance.below(2) as usize];
                let append = appender.append(records.iter().map(Vec::as_slice));
                if chance.happens(900) {
                    waiting.push((records, append));
                }
            }
            6..=8 => {
                for (records, append) in waiting.drain(..) {
                    settle(model, &records, append.await)?;
                }
            }
            9 => {
                let syncs_fail = chance.happens(100);
                let failures_per_1000 = chance.below(2) * 150;
                let full = chance.happens(200);
                let faults = Faults {
                    syncs_fail,
                    failures_per_1000,
                    full,
                    syncs_lie: lies,
                    ..Faults::default()
                };
                machine.set_faults(faults);
            }
            10 => {
                machine.set_faults(Faults { syncs_lie: lies, ..Faults::default() });
                model.read_all(log, 4096)?;
                model.consumed_before = model.end;
                log.trim(Offset(model.consumed_before));
                hold!(log.wait_healthy(PATIENCE), "it stays broken: {:?}", log.status());
            }
            _ => {
                model.read_all(log, 1 + chance.below(9000) as usize)?;
                model.consumed_before += chance.below(model.end - model.consumed_before + 1);
                log.trim(Offset(model.consumed_before));
                if chance.happens(200) {
                    // Its success depends on the faults; what it may not do is checked by reading.
                    let _ = log.scrub(Offset(model.consumed_before));
                }
            }
        }
    }
    for (records, mut append) in waiting {
        if let Some(outcome) = peek(&mut append) {
            settle(model, &records, outcome)?;
        }
    }
    Ok(())
}

fn settle(
    model: &mut Model,
    records: &[Vec<u8>],
    outcome: Result<std::ops::Range<u64>, LogError>,
) -> Result<(), Broken> {
    match outcome {
        Ok(numbers) => {
            hold!(numbers.end - numbers.start == records.len() as u64, "{numbers:?}");
            model.acknowledged(numbers.start, records)
        }
        Err(LogError::Full | LogError::Broken(_) | LogError::Busy) => Ok(()),
        Err(error) => Err(Broken(format!("append: {error}"))),
    }
}

fn history(seed: u64, lies: bool) -> Result<usize, Broken> {
    let machine = Machine::new(seed);
    let mut chance = Chance::new(seed ^ 0x5eed);
    let mut model = Model::new();
    for life in 0..8 {
        live(&machine, &mut model, &mut chance, lies)
            .map_err(|Broken(text)| Broken(format!("seed {seed}, life {life}: {text}")))?;
    }
    Ok(model.fixed.len())
}

/// The same, on a thread of its own: a history that does not end is named.
fn history_in_time(seed: u64, lies: bool) -> Result<usize, Broken> {
    let (told, outcome) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(history(seed, lies)));
    match outcome.recv_timeout(HISTORY_PATIENCE) {
        Ok(outcome) => outcome,
        Err(reason) => panic!("seed {seed}, syncs lie: {lies}: no outcome: {reason}"),
    }
}

fn seeds() -> u64 {
    std::env::var("CAIRN_LOG_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
}

#[test]
fn acknowledged_records_survive_every_history() {
    let mut records = 0;
    for seed in 0..seeds() {
        match history_in_time(seed, false) {
            Ok(count) => records += count,
            Err(Broken(text)) => panic!("{text}"),
        }
    }
    assert!(records as u64 > seeds() * 20, "only {records} records were ever stored");
}

/// A disk whose syncs do nothing turns the log into one that acknowledges before it syncs.
#[test]
fn the_rig_notices_acknowledgement_before_sync() {
    let caught = (0..20).filter(|seed| history_in_time(*seed, true).is_err()).count();
    assert!(caught >= 15, "only {caught} of 20 histories noticed it");
}
