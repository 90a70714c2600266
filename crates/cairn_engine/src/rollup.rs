//! Which stretches of a site's time the store sums up, and when.
//!
//! Guarantees: days of the site's zone that are over, the latest first, and the hours of the day that is not, each once it has
//! been over for [`CLOSED_AFTER_MS`]; what changed later is summed up anew. It takes at most half of a processor's time, and
//! small sites are left alone: their rows are read as fast. Answers do not depend on any of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn_catalog::Catalog;
use cairn_model::SiteId;
use cairn_model::question::Range;
use cairn_store::{EventStore, Span, StoreError};
use foldhash::{HashMap, HashSet};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

const HOUR_MS: i64 = 3_600_000;
/// Events are late, and visits go on: what is summed up sooner changes again.
pub const CLOSED_AFTER_MS: i64 = 3 * HOUR_MS;
/// Pause between two looks when there was nothing to do.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Longest pause after a stretch was summed up.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Sums up what is due.
pub struct RollingUp {
    store: Arc<dyn EventStore>,
    catalog: Arc<Catalog>,
    /// Sites with fewer events are left alone.
    events_min: u64,
    stop: Arc<AtomicBool>,
    /// Sites that have so many events.
    large: HashSet<SiteId>,
    /// When the first event of each site was, as of the last look that found nothing to do.
    first_ms: HashMap<SiteId, i64>,
    /// What could not be summed up, and when: it is tried again with a later look.
    failed: HashMap<(SiteId, Span), Instant>,
}

/// What was done in one step.
enum Step {
    Summed(Duration),
    Nothing,
}

impl RollingUp {
    /// Nothing is done before [`RollingUp::run`]. It ends soon after `stop` is set and its thread is unparked.
    pub fn new(
        store: Arc<dyn EventStore>,
        catalog: Arc<Catalog>,
        events_min: u64,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let (large, first_ms, failed) = Default::default();
        RollingUp { store, catalog, events_min, stop, large, first_ms, failed }
    }

    /// Runs until it is stopped.
    pub fn run(mut self, clock: fn() -> i64) {
        let mut is_available = true;
        while !self.stop.load(Ordering::Relaxed) {
            let pause = match self.step(clock()) {
                Ok(Step::Summed(took)) => {
                    is_available = true;
                    took.min(PAUSE_MAX)
                }
                Ok(Step::Nothing) => LOOK_EVERY,
                Err(error) => {
                    if is_available {
                        tracing::warn!(%error, "stretches of time wait to be summed up");
                    }
                    is_available = false;
                    LOOK_EVERY
                }
            };
            std::thread::park_timeout(pause);
        }
    }

    /// Sums everything up anew, and tells how many stretches each site has then.
    pub fn rebuild(&mut self, now_ms: i64) -> Result<Vec<(SiteId, usize)>, StoreError> {
        let sites: Vec<SiteId> = self.sites().into_iter().map(|(site_id, _)| site_id).collect();
        for site_id in &sites {
            self.store.forget_rollups(*site_id)?;
        }
        while let Step::Summed(_) = self.step(now_ms)? {}
        let count = |site_id: SiteId| (site_id, self.store.rolled_up(site_id).len());
        Ok(sites.into_iter().map(count).collect())
    }

    fn sites(&self) -> Vec<(SiteId, TimeZone)> {
        let directory = self.catalog.directory().current();
        let sites = directory.sites();
        sites.map(|entry| (entry.site.id, entry.zone.clone())).collect()
    }

    /// Sums up the first stretch that is due.
    fn step(&mut self, now_ms: i64) -> Result<Step, StoreError> {
        self.failed.retain(|_, since| since.elapsed() < LOOK_EVERY);
        for (site_id, zone) in self.sites() {
            if !self.is_large(site_id)? {
                continue;
            }
            let Some(first_ms) = self.first_event_ms(site_id)? else { continue };
            let rolled = self.store.rolled_up(site_id);
            if rolled.iter().any(|span| !is_of_zone(*span, &zone)) {
                // The site's zone is another one now: its days are others.
                self.store.forget_rollups(site_id)?;
                continue;
            }
            let skipped = |span: Span| self.failed.contains_key(&(site_id, span));
            let Some(span) = due(&rolled, &skipped, first_ms, now_ms, &zone) else { continue };
            let started = Instant::now();
            if !self.store.roll_up(site_id, span)? {
                self.failed.insert((site_id, span), Instant::now());
            }
            return Ok(Step::Summed(started.elapsed()));
        }
        // Something earlier may be imported.
        self.first_ms.clear();
        Ok(Step::Nothing)
    }

    /// The store looks at all of a site's events for it.
    fn first_event_ms(&mut self, site_id: SiteId) -> Result<Option<i64>, StoreError> {
        if let Some(first_ms) = self.first_ms.get(&site_id) {
            return Ok(Some(*first_ms));
        }
        let first_ms = self.store.first_event_ms(site_id)?;
        self.first_ms.extend(first_ms.map(|first_ms| (site_id, first_ms)));
        Ok(first_ms)
    }

    fn is_large(&mut self, site_id: SiteId) -> Result<bool, StoreError> {
        if !self.large.contains(&site_id) && self.store.count_events(site_id)? >= self.events_min {
            self.large.insert(site_id);
        }
        Ok(self.large.contains(&site_id))
    }
}

/// The day that an instant lies in.
fn day_of(at_ms: i64, zone: &TimeZone) -> Option<jiff::civil::Date> {
    Some(zone.to_datetime(Timestamp::from_millisecond(at_ms).ok()?).date())
}

fn span_of(day: jiff::civil::Date, zone: &TimeZone) -> Option<Span> {
    let range = Range::of_days(day, day, zone)?;
    Some(Span { from_ms: range.from_ms(), until_ms: range.until_ms() })
}

/// The hours of a day, as time passes.
fn hours_of(day: Span) -> impl Iterator<Item = Span> {
    let from_ms = (day.from_ms..day.until_ms).step_by(HOUR_MS as usize);
    from_ms.map(move |from_ms| Span { from_ms, until_ms: (from_ms + HOUR_MS).min(day.until_ms) })
}

/// Whether it is a day of the zone, or an hour of one.
fn is_of_zone(span: Span, zone: &TimeZone) -> bool {
    let day = day_of(span.from_ms, zone).and_then(|day| span_of(day, zone));
    day.is_some_and(|day| day == span || hours_of(day).any(|hour| hour == span))
}

/// The stretch that is summed up next.
fn due(
    rolled: &[Span],
    skipped: &dyn Fn(Span) -> bool,
    first_ms: i64,
    now_ms: i64,
    zone: &TimeZone,
) -> Option<Span> {
    let rolled: BTreeSet<Span> = rolled.iter().copied().collect();
    let is_wanted = |span: &Span| !rolled.contains(span) && !skipped(*span);
    let closed_ms = now_ms - CLOSED_AFTER_MS;
    let mut day = day_of(closed_ms, zone)?;
    let today = span_of(day, zone)?;
    let has_hours = closed_ms < today.until_ms;
    if has_hours {
        let over = hours_of(today).filter(|hour| hour.until_ms <= closed_ms);
        let mut over: Vec<Span> = over.filter(|hour| hour.until_ms > first_ms).collect();
        over.reverse();
        if let Some(hour) = over.into_iter().find(is_wanted) {
            return Some(hour);
        }
    }
    loop {
        // A day that does not exist in the zone has no stretch.
        let span = span_of(day, zone).filter(|span| span.from_ms < span.until_ms);
        if span.is_some_and(|span| span.until_ms <= first_ms) {
            return None;
        }
        let over = span.filter(|span| span.until_ms <= closed_ms);
        if let Some(span) = over.filter(is_wanted) {
            return Some(span);
        }
        day = day.checked_sub(1.day()).ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: &str = "Europe/Berlin";

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn all(first: &str, now: &str, zone: &str) -> Vec<Span> {
        let zone = TimeZone::get(zone).unwrap();
        let mut rolled = Vec::new();
        while let Some(span) = due(&rolled, &|_| false, at(first), at(now), &zone) {
            assert!(is_of_zone(span, &zone), "{span:?}");
            rolled.push(span);
        }
        rolled
    }

    fn span(from: &str, until: &str) -> Span {
        Span { from_ms: at(from), until_ms: at(until) }
    }

    #[test]
    fn hours_that_are_over_come_first_and_then_days_backwards() {
        let rolled = all("2024-03-29T12:00:00Z", "2024-04-01T03:30:00Z", BERLIN);
        assert_eq!(
            rolled,
            [
                // Three hours ago it was 2:30 there: one and two hours are over.
                span("2024-03-31T23:00:00Z", "2024-04-01T00:00:00Z"),
                span("2024-03-31T22:00:00Z", "2024-03-31T23:00:00Z"),
                // A day of 23 hours.
                span("2024-03-30T23:00:00Z", "2024-03-31T22:00:00Z"),
                span("2024-03-29T23:00:00Z", "2024-03-30T23:00:00Z"),
                span("2024-03-28T23:00:00Z", "2024-03-29T23:00:00Z"),
            ]
        );
    }

    #[test]
    fn a_day_waits_until_nothing_of_it_is_expected_any_more() {
        let first = "2024-06-09T22:00:00Z";
        let day = span(first, "2024-06-10T22:00:00Z");
        assert!(!all(first, "2024-06-11T00:59:59Z", BERLIN).contains(&day));
        assert_eq!(all(first, "2024-06-11T01:00:00Z", BERLIN), [day]);
    }

    #[test]
    fn days_that_do_not_exist_and_what_failed_are_passed_over() {
        // Samoa had no 30 December 2011.
        let rolled = all("2011-12-29T00:00:00Z", "2011-12-31T16:00:00Z", "Pacific/Apia");
        assert!(rolled.iter().all(|span| span.from_ms < span.until_ms));
        assert!(rolled.contains(&span("2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z")));
        let zone = TimeZone::UTC;
        let now_ms = at("2024-06-03T04:00:00Z");
        let latest = due(&[], &|_| false, 0, now_ms, &zone).unwrap();
        let next = due(&[], &|span| span == latest, 0, now_ms, &zone).unwrap();
        assert!(next < latest);
    }

    #[test]
    fn days_of_another_zone_are_none_of_this_one() {
        let zone = TimeZone::get(BERLIN).unwrap();
        assert!(!is_of_zone(span("2024-06-10T00:00:00Z", "2024-06-11T00:00:00Z"), &zone));
        assert!(is_of_zone(span("2024-06-10T00:00:00Z", "2024-06-10T01:00:00Z"), &zone));
    }
}
