//! Amounts as reports show them.

use serde_json::{Value, json};

/// Signs of the currencies that have a usual one; others are shown by their code.
const SIGNS: [(&str, &str); 12] = [
    ("AUD", "A$"),
    ("BRL", "R$"),
    ("CAD", "CA$"),
    ("CNY", "CN¥"),
    ("EUR", "€"),
    ("GBP", "£"),
    ("ILS", "₪"),
    ("INR", "₹"),
    ("JPY", "¥"),
    ("KRW", "₩"),
    ("USD", "$"),
    ("VND", "₫"),
];

fn sign(currency: &str) -> String {
    let known = SIGNS.iter().find(|(code, _)| *code == currency);
    known.map_or_else(|| format!("{currency} "), |(_, sign)| (*sign).to_owned())
}

/// `amount / unit` rounded to the nearest, halves up.
fn rounded(amount: u64, unit: u64) -> u64 {
    (amount + unit / 2) / unit
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1000), number % 1000),
    }
}

/// One decimal, with a suffix for large amounts.
fn short(thousandths: u64) -> String {
    const LARGE: [(u64, &str); 3] = [(1_000_000_000, "B"), (1_000_000, "M"), (1_000, "K")];
    let large = LARGE.into_iter().find(|(size, _)| thousandths / 1000 >= *size);
    let (unit, suffix) = large.unwrap_or((1, ""));
    // A half goes down: 50.45 is shown as 50.4.
    let tenths = (thousandths + unit * 50 - 1) / (unit * 100);
    format!("{}.{}{suffix}", tenths / 10, tenths % 10)
}

/// An amount in thousandths of the currency's main unit.
pub(super) fn shown(thousandths: i64, currency: &str) -> Value {
    let (minus, size) = (if thousandths < 0 { "-" } else { "" }, thousandths.unsigned_abs());
    let cents = rounded(size, 10);
    let sign = sign(currency);
    json!({
        "value": thousandths as f64 / 1000.0,
        "currency": currency,
        "short": format!("{minus}{sign}{}", short(size)),
        "long": format!("{minus}{sign}{}.{:02}", grouped(cents / 100), cents % 100),
    })
}

/// An amount in billionths of the currency's main unit: the value has all of them, the words do not.
pub(super) fn exact(billionths: i64, currency: &str) -> Value {
    let thousandths = rounded(billionths.unsigned_abs(), 1_000_000);
    let mut money = shown(signed(thousandths, billionths), currency);
    money["value"] = json!(billionths as f64 / 1_000_000_000.0);
    money
}

/// An amount in ten-thousandths of the currency's main unit.
pub(super) fn four_decimals(ten_thousandths: i64, currency: &str) -> Value {
    let thousandths = rounded(ten_thousandths.unsigned_abs(), 10);
    let mut money = shown(signed(thousandths, ten_thousandths), currency);
    money["value"] = json!(ten_thousandths as f64 / 10_000.0);
    money
}

fn signed(size: u64, like: i64) -> i64 {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    if like < 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_cut_and_shortened() {
        let words = |amount, currency| {
            let money = shown(amount, currency);
            (money["short"].clone(), money["long"].clone())
        };
        assert_eq!(words(67_066, "USD"), (json!("$67.1"), json!("$67.07")));
        assert_eq!(words(50_450, "USD"), (json!("$50.4"), json!("$50.45")));
        assert_eq!(words(100_000, "EUR"), (json!("€100.0"), json!("€100.00")));
        assert_eq!(words(166_733_566_748, "EUR"), (json!("€166.7M"), json!("€166,733,566.75")));
        assert_eq!(words(1_234_000, "CHF"), (json!("CHF 1.2K"), json!("CHF 1,234.00")));
        assert_eq!(words(0, "EUR"), (json!("€0.0"), json!("€0.00")));
        let cost = exact(12_345_600_001, "EUR");
        let shown =
            json!({"value": 12.345600001, "currency": "EUR", "short": "€12.3", "long": "€12.35"});
        assert_eq!(cost, shown);
        let loss = four_decimals(-12_345, "EUR");
        assert_eq!(
            loss,
            json!({"value": -1.2345, "currency": "EUR", "short": "-€1.2", "long": "-€1.24"})
        );
    }
}
