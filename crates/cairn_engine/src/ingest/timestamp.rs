//! When an event happened: RFC 3339 or Unix milliseconds.
//!
//! Guarantees: an instant is checked against the calendar (30 February is malformed) and against
//! the accepted window. It knows no zones but the offset in the text.

use cairn_model::Outcome;
use cairn_model::limits::{AGE_MS_MAX, FUTURE_MS_MAX};

use super::rejection::Rejection;

const UNREADABLE: &str =
    "not an RFC 3339 date and time with its offset (2026-11-22T10:00:00Z) or Unix milliseconds";

/// Reads a timestamp in either form.
pub fn parse(text: &str) -> Result<i64, Rejection> {
    let bytes = text.as_bytes();
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let milliseconds = if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
        text.parse().ok()
    } else {
        parse_rfc3339(bytes)
    };
    milliseconds.ok_or_else(|| Rejection::malformed("timestamp", UNREADABLE))
}

/// The sender's time if it is near enough to the arrival.
pub fn checked(timestamp_ms: i64, received_at_ms: i64) -> Result<i64, Rejection> {
    if timestamp_ms > received_at_ms.saturating_add(FUTURE_MS_MAX) {
        return Err(in_future());
    }
    if timestamp_ms < received_at_ms.saturating_sub(AGE_MS_MAX) {
        let mut rejection = Rejection::new(Outcome::RejectedTooOld, "more than 7 days old");
        rejection.field = "timestamp".into();
        return Err(rejection);
    }
    Ok(timestamp_ms)
}

/// The rejection of a time ahead of the clock.
pub(super) fn in_future() -> Rejection {
    let mut rejection = Rejection::new(Outcome::RejectedInFuture, "more than 5 minutes ahead");
    rejection.field = "timestamp".into();
    rejection
}

/// Unix milliseconds of an RFC 3339 text; digits beyond milliseconds are cut off.
pub fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    if text.len() < 20 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    if !matches!(text[10], b'T' | b't' | b' ') || text[13] != b':' || text[16] != b':' {
        return None;
    }
    let year = number(&text[..4])?;
    let month = number(&text[5..7])?;
    let day = number(&text[8..10])?;
    let (hour, minute) = (number(&text[11..13])?, number(&text[14..16])?);
    let second = number(&text[17..19])?;
    let date_is_real = (1..=12).contains(&month) && day >= 1 && day <= days_in(year, month);
    // A leap second counts as the first moment of the next minute.
    if !date_is_real || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (milliseconds, rest) = fraction(&text[19..])?;
    let offset_minutes = offset(rest)?;
    let minutes = (days_from_epoch(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    Some((minutes * 60 + second) * 1000 + milliseconds)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| match digit {
        b'0'..=b'9' => Some(value * 10 + i64::from(digit - b'0')),
        _ => None,
    })
}

fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else { return Some((0, text)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let milliseconds = (0..3).fold(0, |value, place| {
        let digit = if place < count { digits[place] - b'0' } else { 0 };
        value * 10 + i64::from(digit)
    });
    Some((milliseconds, &digits[count..]))
}

fn offset(text: &[u8]) -> Option<i64> {
    match text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
            let (hours, minutes) = (number(hours)?, number(&[*tens, *ones])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let total = hours * 60 + minutes;
            Some(if *sign == b'-' { -total } else { total })
        }
        _ => None,
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_both_forms() {
        for (text, wanted) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-22T10:00:00.123Z", 1_795_341_600_123),
            ("2026-11-22t10:00:00.123456789z", 1_795_341_600_123),
            ("2026-11-22 15:30:00.1+05:30", 1_795_341_600_100),
            ("2026-11-22T01:30:00-08:30", 1_795_341_600_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
            ("1795341600123", 1_795_341_600_123),
            ("-5", -5),
        ] {
            assert_eq!(parse(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn refuses_what_no_calendar_has() {
        for text in [
            "",
            "now",
            "2026-02-30T10:00:00Z",
            "2025-02-29T10:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0530",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01",
            "99999999999999999999",
            "20é6-01-01T00:00:00Z",
            "-",
            "1e3",
        ] {
            assert_eq!(parse(text).unwrap_err().outcome, Outcome::RejectedMalformed, "{text}");
        }
    }

    #[test]
    fn the_window_ends_are_inside() {
        let now = 1_795_341_600_000;
        assert!(checked(now - AGE_MS_MAX, now).is_ok());
        assert!(checked(now + FUTURE_MS_MAX, now).is_ok());
        let old = checked(now - AGE_MS_MAX - 1, now).unwrap_err();
        assert_eq!(old.outcome, Outcome::RejectedTooOld);
        let ahead = checked(now + FUTURE_MS_MAX + 1, now).unwrap_err();
        assert_eq!(ahead.outcome, Outcome::RejectedInFuture);
        assert!(checked(i64::MIN, now).is_err() && checked(i64::MAX, now).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(second in -60_000_000_000_i64..250_000_000_000, millis in 0..1000_i64) {
            let instant = jiff::Timestamp::from_millisecond(second * 1000 + millis).unwrap();
            let text = instant.to_string();
            prop_assume!(!text.starts_with('-'));
            prop_assert_eq!(parse_rfc3339(text.as_bytes()), Some(instant.as_millisecond()));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
