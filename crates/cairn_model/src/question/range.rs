//! Ranges of time: what `date_range` covers, as two instants.
//!
//! Guarantees: both ends are whole seconds and belong to the range. A day starts at the first instant that exists
//! after its midnight, at the later midnight where there are two, and ends at the earlier 23:59:59.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// A range, Unix seconds, both ends inclusive. Empty when the only day in it does not exist in the zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// First second.
    pub from_s: i64,
    /// Last second.
    pub to_s: i64,
}

impl Range {
    /// First millisecond of the range.
    pub fn from_ms(self) -> i64 {
        self.from_s * 1000
    }

    /// First millisecond after the range.
    pub fn until_ms(self) -> i64 {
        (self.to_s + 1) * 1000
    }

    /// Whole days of the zone.
    pub fn of_days(first: Date, last: Date, zone: &TimeZone) -> Option<Range> {
        Some(Range { from_s: day_start_s(first, zone)?, to_s: day_end_s(last, zone)? })
    }

    /// First and last day, if the range is whole days of the zone.
    pub fn days(self, zone: &TimeZone) -> Option<(Date, Date)> {
        let (first, last) = (date_of(self.from_s, zone)?, date_of(self.to_s, zone)?);
        (Range::of_days(first, last, zone)? == self).then_some((first, last))
    }

    /// Covers the instant, compared in whole seconds.
    pub fn covers_ms(self, instant_ms: i64) -> bool {
        (self.from_s..=self.to_s).contains(&instant_ms.div_euclid(1000))
    }
}

/// Local date of an instant.
pub fn date_of(instant_s: i64, zone: &TimeZone) -> Option<Date> {
    Some(zone.to_datetime(Timestamp::from_second(instant_s).ok()?).date())
}

/// The instant at which a clock change happened that skipped the local time `date time`.
fn change_after(date: Date, time: Time, before: jiff::tz::Offset, zone: &TimeZone) -> Option<i64> {
    // Read with the offset before the change, a skipped local time lies at or after the change.
    let instant = before.to_timestamp(date.to_datetime(time)).ok()?;
    let next = instant.checked_add(jiff::SignedDuration::from_secs(1)).ok()?;
    let change = zone.preceding(next).next()?;
    Some(change.timestamp().as_second())
}

/// First second of a day.
pub fn day_start_s(date: Date, zone: &TimeZone) -> Option<i64> {
    let midnight = Time::midnight();
    match zone.to_ambiguous_timestamp(date.to_datetime(midnight)).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { after: offset, .. } => {
            Some(offset.to_timestamp(date.to_datetime(midnight)).ok()?.as_second())
        }
        AmbiguousOffset::Gap { before, .. } => change_after(date, midnight, before, zone),
    }
}

/// Last second of a day.
pub fn day_end_s(date: Date, zone: &TimeZone) -> Option<i64> {
    let last = Time::constant(23, 59, 59, 0);
    match zone.to_ambiguous_timestamp(date.to_datetime(last)).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            Some(offset.to_timestamp(date.to_datetime(last)).ok()?.as_second())
        }
        AmbiguousOffset::Gap { before, .. } => Some(change_after(date, last, before, zone)? - 1),
    }
}
