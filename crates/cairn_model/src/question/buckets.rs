//! Buckets: how a range is cut into hours, days, weeks or months of a zone.
//!
//! Guarantees: every instant has one bucket, found by adding a constant per stretch of unchanged clock, so a store can
//! do the same with plain arithmetic and needs no time zones of its own. Buckets are numbered from 0 in order of time;
//! a repeated hour has two of them with one label.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::question::{BUCKETS_MAX, Range};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How far past the range clock changes are known: a visit may end later than the range, in the same month.
const MARGIN_S: i64 = 40 * 86_400;

/// Length of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TimeUnit {
    /// An hour of the local clock.
    Hour,
    /// A local day.
    Day,
    /// Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
}

impl TimeUnit {
    /// Its name in the language.
    pub fn name(self) -> &'static str {
        match self {
            TimeUnit::Hour => "hour",
            TimeUnit::Day => "day",
            TimeUnit::Week => "week",
            TimeUnit::Month => "month",
        }
    }

    /// What `time` means for a range of this length.
    pub fn fitting(range: Range) -> TimeUnit {
        let hours = (range.to_s - range.from_s) / 3600;
        match hours {
            _ if hours <= 48 => TimeUnit::Hour,
            _ if hours / 24 <= 40 => TimeUnit::Day,
            _ if hours / 24 / 7 <= 52 => TimeUnit::Week,
            _ => TimeUnit::Month,
        }
    }
}

/// A stretch of time in which the local clock runs evenly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// First millisecond after it.
    pub until_ms: i64,
    /// Local minus universal time, milliseconds.
    pub offset_ms: i64,
    /// For hours: the bucket of the stretch's hour number 0 (hours since 1970, local clock).
    pub base: i64,
}

/// A range, cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Buckets {
    unit: TimeUnit,
    range: Range,
    stretches: Vec<Stretch>,
    /// Number of the first bucket, counted from 1970 in local days, weeks or months; 0 for hours.
    first: i64,
    count: i64,
    start: Date,
}

fn month_number(date: Date) -> i64 {
    i64::from(date.year()) * 12 + i64::from(date.month()) - 1
}

fn week_number(day: i64) -> i64 {
    // 1 January 1970 was a Thursday: Monday of that week is day -3.
    (day + 3).div_euclid(7)
}

fn date_of_day(day: i64) -> Option<Date> {
    DateTime::constant(1970, 1, 1, 0, 0, 0, 0).checked_add(day.days()).ok().map(DateTime::date)
}

fn local_ms(instant_ms: i64, offset_ms: i64) -> i64 {
    instant_ms + offset_ms
}

impl Buckets {
    /// Cuts a range. `None`: it would have too many buckets, or lies outside the calendar.
    pub fn cut(unit: TimeUnit, range: Range, zone: &TimeZone) -> Option<Buckets> {
        let last_ms = range.to_s.max(range.from_s) * 1000;
        let margin_s = if unit == TimeUnit::Hour { 0 } else { MARGIN_S };
        let mut stretches = stretches_of(range.from_s, last_ms / 1000 + margin_s, zone)?;
        let first_stretch = *stretches.first()?;
        let start =
            date_of_day(local_ms(range.from_ms(), first_stretch.offset_ms).div_euclid(DAY_MS))?;
        let mut buckets = Buckets { unit, range, stretches: Vec::new(), first: 0, count: 0, start };
        if unit == TimeUnit::Hour {
            number_hours(&mut stretches, range.from_ms());
            buckets.stretches = stretches;
        } else {
            buckets.stretches = stretches;
            buckets.first = buckets.number_of(range.from_ms());
        }
        buckets.count = buckets.index_of(last_ms) + 1;
        (buckets.count <= BUCKETS_MAX).then_some(buckets)
    }

    /// Length of a bucket.
    pub fn unit(&self) -> TimeUnit {
        self.unit
    }

    /// The range that was cut.
    pub fn range(&self) -> Range {
        self.range
    }

    /// How many there are.
    pub fn count(&self) -> i64 {
        self.count
    }

    /// Number of the first bucket, counted from 1970 in local days, weeks or months; 0 for hours.
    pub fn first(&self) -> i64 {
        self.first
    }

    /// The stretches that a range of instants touches, in order; the last one has no end.
    pub fn stretches_until(&self, last_ms: i64) -> &[Stretch] {
        let end = self.stretches.iter().position(|stretch| stretch.until_ms > last_ms);
        self.stretches.get(..=end.unwrap_or(usize::MAX - 1)).unwrap_or(&self.stretches)
    }

    fn stretch_of(&self, instant_ms: i64) -> Stretch {
        let found = self.stretches.iter().find(|stretch| instant_ms < stretch.until_ms);
        *found.or(self.stretches.last()).unwrap_or(&Stretch {
            until_ms: i64::MAX,
            offset_ms: 0,
            base: 0,
        })
    }

    fn number_of(&self, instant_ms: i64) -> i64 {
        let stretch = self.stretch_of(instant_ms);
        let local_ms = local_ms(instant_ms, stretch.offset_ms);
        let day = local_ms.div_euclid(DAY_MS);
        match self.unit {
            TimeUnit::Hour => stretch.base + local_ms.div_euclid(HOUR_MS),
            TimeUnit::Day => day,
            TimeUnit::Week => week_number(day),
            TimeUnit::Month => date_of_day(day).map_or(0, month_number),
        }
    }

    /// The bucket of an instant; below 0 or at least [`Buckets::count`] outside the range.
    pub fn index_of(&self, instant_ms: i64) -> i64 {
        self.number_of(instant_ms) - self.first
    }

    /// What a bucket is called.
    pub fn label(&self, index: i64) -> String {
        let number = self.first + index;
        let date = match self.unit {
            TimeUnit::Hour => return self.hour_label(number),
            TimeUnit::Day => date_of_day(number),
            TimeUnit::Week => date_of_day(number * 7 - 3).map(|monday| monday.max(self.start)),
            TimeUnit::Month => i16::try_from(number.div_euclid(12)).ok().and_then(|year| {
                Date::new(year, i8::try_from(number.rem_euclid(12)).ok()? + 1, 1).ok()
            }),
        };
        date.map_or_else(String::new, |date| date.to_string())
    }

    fn hour_label(&self, number: i64) -> String {
        // The first stretch whose last hour is not before the bucket.
        let holds = |stretch: &&Stretch| {
            let last_hour =
                || local_ms(stretch.until_ms - 1, stretch.offset_ms).div_euclid(HOUR_MS);
            stretch.until_ms == i64::MAX || number <= stretch.base + last_hour()
        };
        let Some(stretch) = self.stretches.iter().find(holds) else { return String::new() };
        let hour = number - stretch.base;
        let date = date_of_day(hour.div_euclid(24));
        date.map_or_else(String::new, |date| format!("{date} {:02}:00:00", hour.rem_euclid(24)))
    }

    /// All labels, in order.
    pub fn labels(&self) -> Vec<String> {
        (0..self.count).map(|index| self.label(index)).collect()
    }
}

/// Cuts time at the changes of the clock; the last stretch never ends.
fn stretches_of(from_s: i64, to_s: i64, zone: &TimeZone) -> Option<Vec<Stretch>> {
    let from = Timestamp::from_second(from_s).ok()?;
    let offset_ms = |at: Timestamp| i64::from(zone.to_offset(at).seconds()) * 1000;
    let mut stretches = vec![Stretch { until_ms: i64::MAX, offset_ms: offset_ms(from), base: 0 }];
    for change in zone.following(from) {
        let at = change.timestamp();
        if at.as_second() > to_s {
            break;
        }
        let next_ms = i64::from(change.offset().seconds()) * 1000;
        let last = stretches.last_mut()?;
        if last.offset_ms != next_ms {
            last.until_ms = at.as_millisecond();
            stretches.push(Stretch { until_ms: i64::MAX, offset_ms: next_ms, base: 0 });
        }
    }
    Some(stretches)
}

/// Gives every stretch the number of its first hour, so that hours count on across changes of the clock.
fn number_hours(stretches: &mut [Stretch], from_ms: i64) {
    let (mut starts_ms, mut next) = (from_ms, 0);
    for stretch in stretches {
        stretch.base = next - local_ms(starts_ms, stretch.offset_ms).div_euclid(HOUR_MS);
        if stretch.until_ms < i64::MAX {
            let last = local_ms(stretch.until_ms - 1, stretch.offset_ms).div_euclid(HOUR_MS);
            next = stretch.base + last + 1;
            starts_ms = stretch.until_ms;
        }
    }
}
