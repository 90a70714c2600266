//! Digests: reports of a finished period that are mailed by themselves, and when one is due.
//!
//! Guarantees: at every moment exactly one period is the one to be sent, whatever clocks do in the site's zone; after a time
//! without sending that is the last one alone.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// What a digest is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Every {
    /// The day before.
    Day,
    /// The week before, Monday to Sunday.
    Week,
    /// The calendar month before.
    Month,
}

impl Every {
    /// Every one.
    pub const ALL: [Every; 3] = [Every::Day, Every::Week, Every::Month];

    /// Its name in API and catalog.
    pub fn name(self) -> &'static str {
        match self {
            Every::Day => "day",
            Every::Week => "week",
            Every::Month => "month",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|every| every.name() == name)
    }

    /// First day of the period that a day is in.
    fn first_of(self, date: Date) -> Date {
        match self {
            Every::Day => date,
            Every::Week => {
                let days = date.weekday().since(Weekday::Monday);
                date.saturating_sub(i32::from(days).days())
            }
            Every::Month => date.first_of_month(),
        }
    }
}

/// The days that a digest is about, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Period {
    /// What kind of period it is.
    pub every: Every,
    /// Its first day.
    pub first: Date,
    /// Its last day.
    pub last: Date,
}

impl Period {
    /// What tells it from all others: a digest of it is sent once.
    pub fn occasion(&self) -> String {
        format!("{} {}", self.every.name(), self.first)
    }
}

/// The period whose digest is to be sent, and since when, Unix milliseconds: the one before the last beginning of a period
/// at which `hour` has come in the zone.
pub fn due(every: Every, hour: i8, zone: &TimeZone, now_ms: i64) -> Option<(Period, i64)> {
    let today = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(zone.clone()).date();
    let sent_at = |date: Date| {
        let at = date.at(hour, 0, 0, 0).to_zoned(zone.clone()).ok()?;
        Some(at.timestamp().as_millisecond())
    };
    let mut begin = every.first_of(today);
    if sent_at(begin)? > now_ms {
        begin = every.first_of(begin.yesterday().ok()?);
    }
    let last = begin.yesterday().ok()?;
    Some((Period { every, first: every.first_of(last), last }, sent_at(begin)?))
}

/// When the next one is due, Unix milliseconds.
pub fn next(every: Every, hour: i8, zone: &TimeZone, now_ms: i64) -> Option<i64> {
    let (period, _) = due(every, hour, zone, now_ms)?;
    let begin = period.last.tomorrow().ok()?;
    let ahead = match every {
        Every::Day => begin.tomorrow().ok()?,
        Every::Week => begin.saturating_add(7.days()),
        Every::Month => begin.saturating_add(1.month()),
    };
    Some(ahead.at(hour, 0, 0, 0).to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn the_last_finished_period_is_due_from_its_hour_on() {
        for (every, now, first, last, since) in [
            (
                Every::Day,
                "2026-11-23T06:59:59Z",
                "2026-11-21",
                "2026-11-21",
                "2026-11-22T07:00:00Z",
            ),
            (
                Every::Day,
                "2026-11-23T07:00:00Z",
                "2026-11-22",
                "2026-11-22",
                "2026-11-23T07:00:00Z",
            ),
            (
                Every::Week,
                "2026-11-23T06:59:59Z",
                "2026-11-09",
                "2026-11-15",
                "2026-11-16T07:00:00Z",
            ),
            (
                Every::Week,
                "2026-11-23T07:00:00Z",
                "2026-11-16",
                "2026-11-22",
                "2026-11-23T07:00:00Z",
            ),
            (
                Every::Week,
                "2026-11-29T23:00:00Z",
                "2026-11-16",
                "2026-11-22",
                "2026-11-23T07:00:00Z",
            ),
            (
                Every::Month,
                "2026-11-01T06:00:00Z",
                "2026-09-01",
                "2026-09-30",
                "2026-10-01T06:00:00Z",
            ),
            (
                Every::Month,
                "2026-11-01T07:00:00Z",
                "2026-10-01",
                "2026-10-31",
                "2026-11-01T07:00:00Z",
            ),
            // Weeks without a server: one digest, not three.
            (
                Every::Month,
                "2027-03-31T12:00:00Z",
                "2027-02-01",
                "2027-02-28",
                "2027-03-01T07:00:00Z",
            ),
        ] {
            let zone = TimeZone::get("Europe/Berlin").unwrap();
            let (period, at_ms) = due(every, 8, &zone, ms(now)).unwrap();
            let wanted = (first.parse().unwrap(), last.parse().unwrap(), ms(since));
            assert_eq!((period.first, period.last, at_ms), wanted, "{every:?} {now}");
            let next_ms = next(every, 8, &zone, ms(now)).unwrap();
            assert!(next_ms > ms(now) && due(every, 8, &zone, next_ms - 1).unwrap().0 == period);
            assert_ne!(due(every, 8, &zone, next_ms).unwrap().0, period);
        }
    }

    #[test]
    fn an_hour_that_a_day_does_not_have_comes_all_the_same() {
        // At 02:00 clocks went on to 03:00.
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let (period, at_ms) = due(Every::Day, 2, &zone, ms("2027-03-28T01:00:00Z")).unwrap();
        assert_eq!(
            (period.first.to_string().as_str(), at_ms),
            ("2027-03-27", ms("2027-03-28T01:00:00Z"))
        );
    }
}
