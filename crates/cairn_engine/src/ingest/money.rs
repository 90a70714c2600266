//! Amounts: from the digits a sender wrote to the currency's minor unit, with no float in between.
//!
//! Guarantees: an amount is exact or rejected. It does not convert between currencies.

use cairn_model::Currency;

use super::rejection::Rejection;

/// Digits before the decimal point that are taken: far above any price, far below `i64::MAX` cents.
const INTEGER_DIGITS_MAX: i64 = 12;

/// A decimal number as written, split into its parts.
#[derive(Clone, Copy)]
struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

fn split(text: &str) -> Option<Decimal<'_>> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
            (mantissa, exponent.parse::<i64>().ok().filter(|value| value.abs() <= 400)?)
        }
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let bare_point = mantissa.ends_with('.') || whole.is_empty();
    (!bare_point && digits(whole) && digits(fraction)).then_some(Decimal {
        negative,
        whole,
        fraction,
        exponent,
    })
}

/// Reads a number's source text as minor units of a currency.
pub fn minor_units(field: &'static str, text: &str, currency: Currency) -> Result<i64, Rejection> {
    let decimal = split(text).ok_or_else(|| not_decimal(field))?;
    amount(field, decimal, scaled(decimal, i64::from(currency.decimals)), currency)
}

/// The same, rounded to the currency's decimals, halves up: for senders that add prices up as
/// binary fractions and send 59.970000000000006.
pub fn rounded_minor_units(
    field: &'static str,
    text: &str,
    currency: Currency,
) -> Result<i64, Rejection> {
    let decimal = split(text).ok_or_else(|| not_decimal(field))?;
    let decimals = i64::from(currency.decimals);
    amount(field, decimal, scaled_and_rounded(decimal, decimals), currency)
}

fn amount(
    field: &'static str,
    decimal: Decimal<'_>,
    scaled: Result<i64, Fault>,
    currency: Currency,
) -> Result<i64, Rejection> {
    let amount = scaled.map_err(|fault| match fault {
        Fault::TooLarge => Rejection::malformed(field, "over the largest amount, 999999999999"),
        Fault::TooFine => Rejection::malformed(
            field,
            format!("more than the {} decimals of {}", currency.decimals, currency.code),
        ),
    })?;
    if decimal.negative && amount != 0 {
        return Err(Rejection::malformed(
            field,
            "negative; a refund is the event refund with a positive value",
        ));
    }
    Ok(amount)
}

/// Whether a text is a finite number that is not negative, of a size that a price or a count can have.
pub fn check_amount(field: &'static str, text: &str) -> Result<(), Rejection> {
    let decimal = split(text).ok_or_else(|| not_decimal(field))?;
    let (Ok(_) | Err(Fault::TooFine)) = scaled(decimal, 4) else {
        return Err(Rejection::malformed(field, "over the largest amount, 999999999999"));
    };
    let zero = decimal.whole.bytes().chain(decimal.fraction.bytes()).all(|byte| byte == b'0');
    if decimal.negative && !zero {
        return Err(Rejection::malformed(field, "negative"));
    }
    Ok(())
}

fn not_decimal(field: &'static str) -> Rejection {
    Rejection::malformed(field, "not a decimal number")
}

enum Fault {
    TooLarge,
    TooFine,
}

/// The digits moved by `decimals` places; exact or a fault.
fn scaled(decimal: Decimal<'_>, decimals: i64) -> Result<i64, Fault> {
    let (value, is_exact, _) = moved(decimal, decimals)?;
    if is_exact { Ok(value) } else { Err(Fault::TooFine) }
}

/// The same, with what is too fine rounded.
fn scaled_and_rounded(decimal: Decimal<'_>, decimals: i64) -> Result<i64, Fault> {
    let (value, _, rounds_up) = moved(decimal, decimals)?;
    Ok(value + i64::from(rounds_up))
}

/// The digits moved by `decimals` places; whether none was lost; whether the first lost one is five
/// or more.
fn moved(decimal: Decimal<'_>, decimals: i64) -> Result<(i64, bool, bool), Fault> {
    let shift = decimal.exponent + decimals;
    // Position of a digit counted from the new decimal point: positive ones are kept.
    let mut place = i64::try_from(decimal.whole.len()).unwrap_or(i64::MAX).saturating_add(shift);
    let mut value: i64 = 0;
    let (mut is_exact, mut rounds_up) = (true, false);
    for digit in decimal.whole.bytes().chain(decimal.fraction.bytes()) {
        let digit = i64::from(digit - b'0');
        if place <= 0 && digit != 0 {
            is_exact = false;
            rounds_up |= place == 0 && digit >= 5;
        }
        if place > 0 {
            if digit != 0 && place > INTEGER_DIGITS_MAX + decimals {
                return Err(Fault::TooLarge);
            }
            value = value * 10 + digit;
        }
        place = place.saturating_sub(1);
    }
    if value == 0 {
        return Ok((0, is_exact, rounds_up));
    }
    for _ in 0..place.max(0) {
        value = value.checked_mul(10).ok_or(Fault::TooLarge)?;
    }
    Ok((value, is_exact, rounds_up))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, code: &str) -> Option<i64> {
        minor_units("value", text, Currency::from_code(code).unwrap()).ok()
    }

    #[test]
    fn decimals_follow_the_currency() {
        assert_eq!(read("59.90", "EUR"), Some(5_990));
        assert_eq!(read("59.9", "eur"), Some(5_990));
        assert_eq!(read("0.10", "USD"), Some(10));
        assert_eq!(read("59.905", "EUR"), None);
        assert_eq!(read("59.9000", "EUR"), Some(5_990));
        assert_eq!(read("1200", "JPY"), Some(1_200));
        assert_eq!(read("1200.5", "JPY"), None);
        assert_eq!(read("1.234", "KWD"), Some(1_234));
        assert_eq!(read("1.2345", "CLF"), Some(12_345));
        assert_eq!(read("5.99e1", "EUR"), Some(5_990));
        assert_eq!(read("599E-1", "EUR"), Some(5_990));
        assert_eq!(read("0e400", "EUR"), Some(0));
        assert_eq!(read("-0.00", "EUR"), Some(0));
        assert_eq!(read("999999999999.99", "EUR"), Some(99_999_999_999_999));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "+1",
            "1,5",
            "1e",
            "1e999",
            "1e9999999999",
            "NaN",
            "Infinity",
            "-1",
            "1000000000000",
            "0x10",
            "１",
            "1e13",
            "12345678901234567890",
        ] {
            assert_eq!(read(text, "EUR"), None, "{text}");
        }
        assert!(check_amount("price", "1e400").is_err());
        assert!(check_amount("price", "-1").is_err());
        assert!(check_amount("price", "0.333333").is_ok());
    }

    proptest! {
        #[test]
        fn every_amount_reads_back(cents in 0..99_999_999_999_999_i64) {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            prop_assert_eq!(read(&text, "EUR"), Some(cents));
        }

        #[test]
        fn never_panics(text in "[-+0-9eE.]{0,30}") {
            let _ = read(&text, "EUR");
            let _ = check_amount("price", &text);
        }
    }
}
