//! What people may ask a site for about themselves, and by when the law wants an answer.
//!
//! Guarantees: due days are counted by the calendar, in the site's zone, as the sources at each rule say; a holiday never
//! moves a day later, so that what is counted here is never later than what the law permits. It knows no clock and no person.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RequestKind {
    /// A copy of what is held (GDPR Art. 15 and 20; Cal. Civ. Code § 1798.110).
    Access,
    /// That it goes (GDPR Art. 17; § 1798.105).
    Erase,
    /// That nothing more is collected, sold or shared (GDPR Art. 21; § 1798.120).
    OptOut,
    /// That something is put right (GDPR Art. 16; § 1798.106); the owner does it where his data come from.
    Rectification,
}

impl RequestKind {
    /// Every kind.
    pub const ALL: [RequestKind; 4] =
        [RequestKind::Access, RequestKind::Erase, RequestKind::OptOut, RequestKind::Rectification];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            RequestKind::Access => "access",
            RequestKind::Erase => "erase",
            RequestKind::OptOut => "opt_out",
            RequestKind::Rectification => "rectification",
        }
    }

    /// The kind of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        RequestKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Under which law it is answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Law {
    /// Regulation (EU) 2016/679, and the United Kingdom's.
    Gdpr,
    /// California Consumer Privacy Act with its regulations, 11 CCR § 7000 and following.
    Ccpa,
}

/// Calendar days that the CCPA gives (§ 1798.130(a)(2)(A); 11 CCR § 7021(b)), and once more for a reason.
const CCPA_DAYS: i64 = 45;
/// Business days that it gives for an opt-out (11 CCR § 7026(f), § 7027(g)); no extension.
const CCPA_OPT_OUT_BUSINESS_DAYS: u32 = 15;
/// Months that the GDPR gives (Art. 12(3)), and how many with its extension.
const GDPR_MONTHS: i64 = 1;
const GDPR_MONTHS_EXTENDED: i64 = 3;

impl Law {
    /// Both.
    pub const ALL: [Law; 2] = [Law::Gdpr, Law::Ccpa];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Law::Gdpr => "gdpr",
            Law::Ccpa => "ccpa",
        }
    }

    /// The law of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Law::ALL.into_iter().find(|law| law.name() == name)
    }

    /// Where somebody was last seen decides: California's law there, else the GDPR, whose time is the shortest.
    pub fn of_place(country: &str, part: &str) -> Self {
        match crate::jurisdiction::jurisdiction(country, part).code {
            "US-CA" => Law::Ccpa,
            _ => Law::Gdpr,
        }
    }

    /// Whether the time may be extended.
    pub fn may_extend(self, kind: RequestKind) -> bool {
        !(self == Law::Ccpa && kind == RequestKind::OptOut)
    }

    /// The last day for the answer to what was received on this day.
    ///
    /// GDPR: the same date a month (extended: three months) later, or the last day of a month that has no such date
    /// (EDPB Guidelines 01/2022, 157 to 159; Regulation 1182/71, Art. 3(2)(c)). A last day at a week-end or a holiday would
    /// move to the next working day (Art. 3(4)); it stays here. CCPA: 45 (extended: 90) calendar days later; an opt-out
    /// 15 business days later, Monday to Friday.
    pub fn due_on(self, kind: RequestKind, received_on: Date, extended: bool) -> Date {
        let extended = extended && self.may_extend(kind);
        let due = match (self, kind) {
            (Law::Gdpr, _) => {
                let months = if extended { GDPR_MONTHS_EXTENDED } else { GDPR_MONTHS };
                received_on.checked_add(months.months())
            }
            (Law::Ccpa, RequestKind::OptOut) => {
                return business_days_after(received_on, CCPA_OPT_OUT_BUSINESS_DAYS);
            }
            (Law::Ccpa, _) => {
                let days = if extended { 2 * CCPA_DAYS } else { CCPA_DAYS };
                received_on.checked_add(days.days())
            }
        };
        due.unwrap_or(Date::MAX)
    }

    /// The end of the last day, Unix milliseconds: from then on it is overdue.
    pub fn due_at_ms(
        self,
        kind: RequestKind,
        received_at_ms: i64,
        zone: &TimeZone,
        extended: bool,
    ) -> i64 {
        let Some(received_on) = day_of(received_at_ms, zone) else { return i64::MAX };
        end_of(self.due_on(kind, received_on, extended), zone)
    }
}

/// The day in a zone.
pub fn day_of(at_ms: i64, zone: &TimeZone) -> Option<Date> {
    Some(Timestamp::from_millisecond(at_ms).ok()?.to_zoned(zone.clone()).date())
}

/// The first instant after a day, Unix milliseconds.
fn end_of(day: Date, zone: &TimeZone) -> i64 {
    let next = day.checked_add(1.day()).and_then(|next| next.to_zoned(zone.clone()));
    next.map_or(i64::MAX, |next| next.timestamp().as_millisecond())
}

fn business_days_after(day: Date, days: u32) -> Date {
    let mut at = day;
    let mut left = days;
    while left > 0 {
        let Ok(next) = at.tomorrow() else { return Date::MAX };
        at = next;
        if !matches!(at.weekday(), Weekday::Saturday | Weekday::Sunday) {
            left -= 1;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_month_is_a_month_of_the_calendar() {
        // The examples of the EDPB's guidelines 01/2022, and what follows from them.
        for (received, due, extended) in [
            (date(2026, 3, 5), date(2026, 4, 5), date(2026, 6, 5)),
            (date(2026, 8, 31), date(2026, 9, 30), date(2026, 11, 30)),
            (date(2026, 1, 31), date(2026, 2, 28), date(2026, 4, 30)),
            (date(2028, 1, 30), date(2028, 2, 29), date(2028, 4, 30)),
            (date(2026, 11, 30), date(2026, 12, 30), date(2027, 2, 28)),
        ] {
            for kind in RequestKind::ALL {
                assert_eq!(Law::Gdpr.due_on(kind, received, false), due);
                assert_eq!(Law::Gdpr.due_on(kind, received, true), extended);
            }
        }
    }

    #[test]
    fn california_counts_days() {
        let received = date(2026, 11, 20);
        for kind in [RequestKind::Access, RequestKind::Erase, RequestKind::Rectification] {
            assert_eq!(Law::Ccpa.due_on(kind, received, false), date(2027, 1, 4));
            assert_eq!(Law::Ccpa.due_on(kind, received, true), date(2027, 2, 18));
        }
        let opt_out = |day| Law::Ccpa.due_on(RequestKind::OptOut, day, true);
        assert_eq!(opt_out(date(2026, 11, 20)), date(2026, 12, 11), "from a Friday");
        assert_eq!(opt_out(date(2026, 11, 22)), date(2026, 12, 11), "from a Sunday");
        assert_eq!(opt_out(date(2026, 11, 23)), date(2026, 12, 14), "from a Monday");
        assert!(!Law::Ccpa.may_extend(RequestKind::OptOut));
    }

    #[test]
    fn a_day_ends_at_the_sites_midnight() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        let due = |received: &str, zone: &TimeZone| {
            Law::Gdpr.due_at_ms(RequestKind::Erase, at(received), zone, false)
        };
        // In Berlin it is the 24th already; summer time ends between the two days.
        assert_eq!(due("2026-09-23T22:30:00Z", &berlin), at("2026-10-24T22:00:00Z"));
        assert_eq!(due("2026-09-25T12:00:00Z", &berlin), at("2026-10-25T23:00:00Z"));
        assert_eq!(due("2026-09-23T22:30:00Z", &TimeZone::UTC), at("2026-10-24T00:00:00Z"));
    }

    #[test]
    fn the_law_follows_the_place() {
        assert_eq!(Law::of_place("US", "California"), Law::Ccpa);
        assert_eq!(Law::of_place("US", "CA"), Law::Ccpa);
        for (country, part) in [("US", "TX"), ("US", ""), ("DE", "BY"), ("", ""), ("CA", "QC")] {
            assert_eq!(Law::of_place(country, part), Law::Gdpr, "{country} {part}");
        }
    }
}
