//! Counts of what became of hits, as far as the edge decides it.
//!
//! Guarantees: each received event is counted in exactly one outcome, [`Received`] sees to it;
//! counting waits for no other core. `accepted`, and repetitions found late, are counted by the apply
//! loop with the rows themselves, never here. What was not drained yet is lost in a crash.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use cairn_catalog::{Catalog, CatalogError, EdgeOutcome};
use cairn_model::{Outcome, SiteId};

/// Independent parts of the counters; threads are spread over them.
const SHARDS: usize = 8;
/// Sites and hours that one part remembers between two drains; more are counted under site 0.
const ENTRIES_PER_SHARD_MAX: usize = 20_000;
const HOUR_MS: i64 = 60 * 60 * 1000;

type Counts = [u64; Outcome::ALL.len()];

#[derive(Default)]
struct Shard {
    waiting: Mutex<HashMap<(SiteId, i64), Counts>>,
    totals: [AtomicU64; Outcome::ALL.len()],
    received: AtomicU64,
}

/// The counters of one server.
#[derive(Default)]
pub struct OutcomeCounters {
    shards: [Shard; SHARDS],
    /// Events that ended without an outcome: a bug.
    unsettled: AtomicU64,
    /// Held by whoever stores them.
    storing: Mutex<()>,
}

static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SHARD: usize = NEXT_SHARD.fetch_add(1, Ordering::Relaxed) % SHARDS;
}

/// Sums since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Totals {
    /// Events that came in.
    pub received: u64,
    /// Events by outcome, in the order of [`Outcome::ALL`]; those handed to the log are under
    /// `accepted`, whatever the apply loop finds.
    pub outcomes: [u64; Outcome::ALL.len()],
    /// Events without an outcome: a bug.
    pub unsettled: u64,
}

impl OutcomeCounters {
    fn shard(&self) -> &Shard {
        SHARD.with(|shard| &self.shards[*shard])
    }

    /// Notes events that came in; the guard must be settled for each of them.
    pub fn receive(&self, events: usize) -> Received<'_> {
        let events = events as u64;
        self.shard().received.fetch_add(events, Ordering::Relaxed);
        Received { counters: self, open: events }
    }

    /// Counts events that were handed over ([`Received::hand_over`]). Site 0: no known site.
    pub fn settle(&self, site: SiteId, outcome: Outcome, events: usize, now_ms: i64) {
        let events = events as u64;
        self.shard().totals[outcome as usize].fetch_add(events, Ordering::Relaxed);
        if outcome != Outcome::Accepted && events > 0 {
            self.remember(site, now_ms.div_euclid(HOUR_MS), outcome, events);
        }
    }

    /// Brings what waits to the catalog; what cannot be stored now waits on. Who returns from it finds all there that was
    /// counted before: two do not store at once.
    pub fn store(&self, catalog: &Catalog) -> Result<(), CatalogError> {
        let _turn = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.drain();
        catalog.add_outcomes(&waiting).inspect_err(|_| self.restore(&waiting))
    }

    /// What waits to be stored, and starts anew.
    fn drain(&self) -> Vec<EdgeOutcome> {
        let mut drained = Vec::new();
        for shard in &self.shards {
            let waiting =
                std::mem::take(&mut *shard.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            for ((site_id, hour), counts) in waiting {
                let named = Outcome::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0);
                drained.extend(named.map(|(outcome, count)| EdgeOutcome {
                    site_id,
                    hour_ms: hour * HOUR_MS,
                    outcome,
                    count,
                }));
            }
        }
        drained
    }

    /// Takes counts back that could not be stored.
    fn restore(&self, counts: &[EdgeOutcome]) {
        for entry in counts {
            let hour = entry.hour_ms.div_euclid(HOUR_MS);
            self.remember(entry.site_id, hour, entry.outcome, entry.count);
        }
    }

    /// Sums since the start, for `/metrics`.
    pub fn totals(&self) -> Totals {
        let sum = |pick: &dyn Fn(&Shard) -> u64| self.shards.iter().map(pick).sum();
        let mut outcomes = [0; Outcome::ALL.len()];
        for (place, total) in outcomes.iter_mut().enumerate() {
            *total = sum(&|shard| shard.totals[place].load(Ordering::Relaxed));
        }
        Totals {
            received: sum(&|shard| shard.received.load(Ordering::Relaxed)),
            outcomes,
            unsettled: self.unsettled.load(Ordering::Relaxed),
        }
    }

    fn remember(&self, site: SiteId, hour: i64, outcome: Outcome, count: u64) {
        let mut waiting = self.shard().waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = waiting.len() >= ENTRIES_PER_SHARD_MAX;
        let site = if is_full && !waiting.contains_key(&(site, hour)) { SiteId(0) } else { site };
        waiting.entry((site, hour)).or_default()[outcome as usize] += count;
    }
}

/// Events that came in and have no outcome yet.
#[must_use = "every received event needs an outcome"]
pub struct Received<'c> {
    counters: &'c OutcomeCounters,
    open: u64,
}

impl Received<'_> {
    /// One event ended. Site 0: it named no site that is known.
    pub fn settle(&mut self, site: SiteId, outcome: Outcome, now_ms: i64) {
        self.settle_many(site, outcome, 1, now_ms);
    }

    /// Several events ended alike.
    pub fn settle_many(&mut self, site: SiteId, outcome: Outcome, events: usize, now_ms: i64) {
        debug_assert!(events as u64 <= self.open, "more outcomes than events");
        self.open = self.open.saturating_sub(events as u64);
        self.counters.settle(site, outcome, events, now_ms);
    }

    /// Gives the open events to somebody who will call [`OutcomeCounters::settle`] for them.
    pub fn hand_over(mut self) -> usize {
        usize::try_from(std::mem::take(&mut self.open)).unwrap_or(usize::MAX)
    }

    /// Splits off events that get their outcome elsewhere.
    pub fn part(&mut self, events: usize) -> Self {
        let events = (events as u64).min(self.open);
        self.open -= events;
        Received { counters: self.counters, open: events }
    }

    /// Events without an outcome so far.
    pub fn open(&self) -> usize {
        usize::try_from(self.open).unwrap_or(usize::MAX)
    }
}

impl Drop for Received<'_> {
    fn drop(&mut self) {
        if self.open == 0 {
            return;
        }
        self.counters.unsettled.fetch_add(self.open, Ordering::Relaxed);
        debug_assert!(std::thread::panicking(), "{} events without an outcome", self.open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_341_600_000;

    #[test]
    fn every_event_is_in_one_outcome() {
        let counters = OutcomeCounters::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let mut received = counters.receive(3);
                        received.settle(SiteId(7), Outcome::Accepted, NOW);
                        received.settle_many(SiteId(7), Outcome::RejectedMalformed, 2, NOW);
                    }
                });
            }
        });
        let totals = counters.totals();
        assert_eq!(totals.received, 12_000);
        assert_eq!(totals.outcomes.iter().sum::<u64>(), 12_000);
        assert_eq!(totals.unsettled, 0);
        let drained = counters.drain();
        assert_eq!(drained.iter().map(|entry| entry.count).sum::<u64>(), 8_000);
        assert!(drained.iter().all(|entry| entry.outcome == Outcome::RejectedMalformed));
        assert!(counters.drain().is_empty());
        counters.restore(&drained);
        assert_eq!(counters.drain().iter().map(|entry| entry.count).sum::<u64>(), 8_000);
    }

    #[test]
    #[should_panic(expected = "2 events without an outcome")]
    fn a_forgotten_event_is_a_bug() {
        let counters = OutcomeCounters::default();
        let mut received = counters.receive(3);
        received.settle(SiteId(7), Outcome::Accepted, NOW);
    }
}
