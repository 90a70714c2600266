//! Exchange rates that an owner provided, and converting by them.
//!
//! Guarantees: no float; a converted amount is rounded once, half away from zero, to the minor unit of its currency. A rate
//! that is older than allowed is no rate: then there is no conversion, and the amount is told apart. It fetches nothing and
//! knows no rate by itself.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::currency::minor_unit_decimals;
use crate::question::Range;
use crate::question::range::{date_of, day_start_s};

/// Decimals of a rate that are kept; more are refused, not cut.
pub const RATE_DECIMALS: u32 = 8;
/// A rate of one.
pub const RATE_ONE: i64 = 10_i64.pow(RATE_DECIMALS);
/// Most units of a currency that one unit of the base may be worth.
pub const RATE_MAX: i64 = 100_000_000;
/// Days for which a rate is used when no newer one is known, unless set otherwise: a long weekend and then some.
pub const RATE_AGE_DAYS_MAX: u16 = 7;

/// A day as a number: days since 1 January 1970 of the local calendar.
pub type Day = i32;

/// The number of a date.
pub fn day_of(date: Date) -> Day {
    let epoch = Date::constant(1970, 1, 1);
    // A calendar of 20,000 years has some seven million days.
    epoch.until(date).map_or(0, |span| span.get_days())
}

/// The date of a number.
pub fn date_of_day(day: Day) -> Option<Date> {
    Date::constant(1970, 1, 1).checked_add(jiff::Span::new().try_days(day).ok()?).ok()
}

/// The rate of one currency on one day: units of it for one unit of the base, in [`RATE_ONE`]ths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rate {
    /// The day.
    pub day: Day,
    /// ISO 4217 code.
    pub currency: String,
    /// Units for one unit of the base, in [`RATE_ONE`]ths; above 0.
    pub units: i64,
}

/// Daily rates, all against one base.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rates {
    base: String,
    age_days_max: Day,
    by_currency: BTreeMap<String, Vec<(Day, i64)>>,
}

/// What an amount in minor units is multiplied by, as a fraction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Factor {
    /// Above 0, at most 10^20.
    pub numerator: i128,
    /// Above 0.
    pub denominator: i128,
}

/// `part / whole` rounded half away from zero; `whole` above 0. What does not fit is the largest or smallest number.
pub fn divided(part: i128, whole: i128) -> i64 {
    let twice = part.unsigned_abs().saturating_mul(2).saturating_add(whole.unsigned_abs());
    let size = twice / whole.unsigned_abs().saturating_mul(2).max(1);
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    if part < 0 { -size } else { size }
}

impl Factor {
    /// Leaves an amount as it is.
    pub const ONE: Factor = Factor { numerator: 1, denominator: 1 };

    fn reduced(numerator: i128, denominator: i128) -> Factor {
        let divisor = greatest_common_divisor(numerator, denominator).max(1);
        Factor { numerator: numerator / divisor, denominator: denominator / divisor }
    }

    /// The amount converted.
    pub fn apply(self, amount: i64) -> i64 {
        divided(i128::from(amount).saturating_mul(self.numerator), self.denominator)
    }
}

fn greatest_common_divisor(mut left: i128, mut right: i128) -> i128 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

impl Rates {
    /// Rates against `base`, each good for `age_days_max` days when no newer one is known.
    pub fn new(base: &str, age_days_max: u16, rates: impl IntoIterator<Item = Rate>) -> Rates {
        let mut by_currency = BTreeMap::<String, Vec<(Day, i64)>>::new();
        for Rate { day, currency, units } in rates {
            if currency != base && units > 0 {
                by_currency.entry(currency).or_default().push((day, units));
            }
        }
        for days in by_currency.values_mut() {
            days.sort_unstable();
        }
        Rates { base: base.to_owned(), age_days_max: Day::from(age_days_max), by_currency }
    }

    /// Units of a currency for one of the base on a day: the last rate that is known then.
    fn units(&self, currency: &str, day: Day) -> Option<i64> {
        if currency == self.base && !currency.is_empty() {
            return Some(RATE_ONE);
        }
        let days = self.by_currency.get(currency)?;
        let after = days.partition_point(|(known, _)| *known <= day);
        let (known, units) = *days.get(after.checked_sub(1)?)?;
        (day - known <= self.age_days_max).then_some(units)
    }

    /// What makes minor units of one currency minor units of another one on a day.
    pub fn factor(&self, from: &str, to: &str, day: Day) -> Option<Factor> {
        if from == to {
            return Some(Factor::ONE);
        }
        let minor = |currency: &str| 10_i128.pow(minor_unit_decimals(currency));
        let numerator = i128::from(self.units(to, day)?) * minor(to);
        let denominator = i128::from(self.units(from, day)?) * minor(from);
        Some(Factor::reduced(numerator, denominator))
    }

    /// The same for amounts that are told in equal parts of the main unit, whatever the currency's minor unit is.
    pub fn factor_of_main(&self, from: &str, to: &str, day: Day) -> Option<Factor> {
        if from == to {
            return Some(Factor::ONE);
        }
        Some(Factor::reduced(self.units(to, day)?.into(), self.units(from, day)?.into()))
    }

    /// Days from which on another rate holds, between two days.
    fn changes(&self, currency: &str, first: Day, last: Day) -> Vec<Day> {
        let days = self.by_currency.get(currency).map_or(&[][..], Vec::as_slice);
        let changes = days.iter().flat_map(|(day, _)| [*day, day + self.age_days_max + 1]);
        changes.filter(|day| (first + 1..=last).contains(day)).collect()
    }
}

/// A stretch of time in which one currency is converted in one way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Period {
    /// The currency that is converted.
    pub currency: String,
    /// Its first millisecond.
    pub from_ms: i64,
    /// The first millisecond after it.
    pub until_ms: i64,
    /// How.
    pub factor: Factor,
}

/// How the amounts of a question are brought into one currency.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pricing {
    /// The currency of the answer.
    pub currency: String,
    /// Periods of the other currencies, by currency and time; they do not overlap.
    pub periods: Vec<Period>,
}

impl Pricing {
    /// How amounts of these currencies become `currency` within a range; days are those of the zone.
    pub fn of(
        rates: &Rates,
        currency: &str,
        others: &[String],
        range: Range,
        zone: &TimeZone,
    ) -> Pricing {
        let mut pricing = Pricing { currency: currency.to_owned(), periods: Vec::new() };
        let days = (date_of(range.from_s, zone), date_of(range.to_s, zone));
        let (Some(first), Some(last)) = days else { return pricing };
        let (first, last) = (day_of(first), day_of(last));
        let mut others: Vec<&String> = others.iter().filter(|other| *other != currency).collect();
        others.sort_unstable();
        others.dedup();
        for other in others {
            let mut starts = vec![first];
            starts.extend(rates.changes(other, first, last));
            starts.extend(rates.changes(currency, first, last));
            starts.sort_unstable();
            starts.dedup();
            pricing.take_periods(rates, other, &starts, last + 1, zone);
        }
        pricing
    }

    fn take_periods(
        &mut self,
        rates: &Rates,
        other: &str,
        starts: &[Day],
        end: Day,
        zone: &TimeZone,
    ) {
        let instant = |day: Day| day_start_s(date_of_day(day)?, zone)?.checked_mul(1000);
        for (index, start) in starts.iter().enumerate() {
            let next = starts.get(index + 1).copied().unwrap_or(end);
            let Some(factor) = rates.factor(other, &self.currency, *start) else { continue };
            let (Some(from_ms), Some(until_ms)) = (instant(*start), instant(next)) else {
                continue;
            };
            match self.periods.last_mut() {
                Some(last)
                    if last.currency == other
                        && last.until_ms == from_ms
                        && last.factor == factor =>
                {
                    last.until_ms = until_ms;
                }
                _ => {
                    let currency = other.to_owned();
                    self.periods.push(Period { currency, from_ms, until_ms, factor });
                }
            }
        }
    }

    /// An amount in minor units of a currency, in minor units of the answer's; `None`: no rate is known.
    pub fn converted(&self, amount: i64, currency: &str, instant_ms: i64) -> Option<i64> {
        if currency == self.currency {
            return Some(amount);
        }
        let holds = |period: &&Period| {
            period.currency == currency && (period.from_ms..period.until_ms).contains(&instant_ms)
        };
        self.periods.iter().find(holds).map(|period| period.factor.apply(amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        day_of(text.parse().expect("a date"))
    }

    fn rates() -> Rates {
        let rate = |day_text: &str, currency: &str, units: i64| Rate {
            day: day(day_text),
            currency: currency.to_owned(),
            units,
        };
        Rates::new(
            "EUR",
            7,
            [
                rate("2026-03-06", "USD", 110_000_000),
                rate("2026-03-02", "USD", 125_000_000),
                rate("2026-03-02", "JPY", 16_000_000_000),
                rate("2026-03-02", "KWD", 33_333_333),
            ],
        )
    }

    #[test]
    fn the_last_rate_known_on_the_day_counts_and_not_for_ever() {
        let factor = |from, to, at| rates().factor(from, to, day(at));
        let amount = |from, to, at, amount| factor(from, to, at).map(|factor| factor.apply(amount));
        assert_eq!(amount("USD", "EUR", "2026-03-02", 12_500), Some(10_000));
        assert_eq!(amount("USD", "EUR", "2026-03-05", 12_500), Some(10_000), "none since");
        assert_eq!(amount("USD", "EUR", "2026-03-06", 11_000), Some(10_000));
        assert_eq!(amount("USD", "EUR", "2026-03-13", 11_000), Some(10_000), "seven days old");
        assert_eq!(factor("USD", "EUR", "2026-03-14"), None, "too old");
        assert_eq!(factor("USD", "EUR", "2026-03-01"), None, "none yet");
        assert_eq!(factor("CHF", "EUR", "2026-03-02"), None, "none at all");
        assert_eq!(factor("CHF", "CHF", "2026-03-02"), Some(Factor::ONE));
        // By way of the base: 100 yen are 0.625 euros, and those 0.78125 dollars.
        assert_eq!(amount("JPY", "USD", "2026-03-02", 100), Some(78));
        // 1 dinar has a thousand fils: 1000 / 333.33333 * 100 = 300.000003 cents.
        assert_eq!(amount("KWD", "EUR", "2026-03-02", 1_000), Some(300));
    }

    #[test]
    fn halves_go_away_from_zero_and_nothing_overflows() {
        assert_eq!([divided(5, 2), divided(-5, 2), divided(4, 3)], [3, -3, 1]);
        let largest = Factor { numerator: 100_000_000_000_000_000_000, denominator: 1 };
        assert_eq!(largest.apply(i64::MAX), i64::MAX);
        assert_eq!(largest.apply(-1), -i64::MAX);
    }

    #[test]
    fn periods_say_what_the_rates_say() {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let of = |text: &str| text.parse::<Date>().expect("a date");
        let range = Range::of_days(of("2026-02-27"), of("2026-04-02"), &zone).expect("a range");
        let others = ["USD", "JPY", "USD", "EUR", "CHF"].map(str::to_owned);
        let pricing = Pricing::of(&rates(), "EUR", &others, range, &zone);
        for number in day("2026-02-27")..=day("2026-04-02") {
            let date = date_of_day(number).expect("a date");
            let start_ms = day_start_s(date, &zone).expect("a day") * 1000;
            for currency in ["USD", "JPY", "CHF", "EUR"] {
                let factor = rates().factor(currency, "EUR", number);
                for instant_ms in [start_ms, start_ms + 82_799_999] {
                    assert_eq!(
                        pricing.converted(123_457, currency, instant_ms),
                        factor.map(|factor| factor.apply(123_457)),
                        "{currency} on {date}"
                    );
                }
            }
        }
        assert_eq!(pricing.periods.len(), 3, "{:?}", pricing.periods);
    }
}
