//! Tables that an owner provides: what advertising cost, and exchange rates.
//!
//! Guarantees: amounts are exact or refused; every fault names its line and column; a file is taken whole or not at all.
//! It reads text and writes nothing: what is stored, and where, the callers decide.

pub mod costs;
pub mod rates;
mod table;

use std::fmt;

pub use table::{FILE_SIZE_BYTES_MAX, ROWS_MAX};

/// Faults that are told; more are only counted.
pub const FAULTS_SHOWN_MAX: usize = 20;

/// What is wrong with a file at one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Number of the line, from 1; 0: the file as a whole.
    pub line: u64,
    /// Name of the column; empty: the line as a whole.
    pub column: String,
    /// What is wrong. It does not repeat the cell.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(formatter, "line {}, ", self.line)?;
        }
        if !self.column.is_empty() {
            write!(formatter, "column \"{}\": ", self.column)?;
        }
        formatter.write_str(&self.message)
    }
}

/// The faults of a file: the first few, and how many there are.
#[derive(Clone, PartialEq, Eq, Debug, Default, thiserror::Error)]
#[error("{}", self.told())]
pub struct Faults {
    /// The first of them.
    pub shown: Vec<Fault>,
    /// All of them.
    pub count: usize,
}

impl Faults {
    /// A fault of the file as a whole.
    pub fn of_file(message: impl Into<String>) -> Faults {
        let mut faults = Faults::default();
        faults.add(0, "", message);
        faults
    }

    fn add(&mut self, line: u64, column: &str, message: impl Into<String>) {
        self.count += 1;
        if self.shown.len() < FAULTS_SHOWN_MAX {
            let (column, message) = (column.to_owned(), message.into());
            self.shown.push(Fault { line, column, message });
        }
    }

    fn told(&self) -> String {
        let lines: Vec<String> = self.shown.iter().map(Fault::to_string).collect();
        let rest = match self.count - self.shown.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        format!("{}{rest}", lines.join("; "))
    }
}

/// A number with at most `decimals` decimals, as a whole number of its last one. `mark` stands before the decimals; points,
/// commas, apostrophes and spaces may part groups of three digits.
pub fn decimal(text: &str, mark: char, decimals: u32) -> Result<i64, &'static str> {
    const NOT_A_NUMBER: &str = "not a number of 0 or more";
    let text = text.trim();
    let (whole, fraction) = text.split_once(mark).unwrap_or((text, ""));
    let parts: Vec<&str> =
        whole.split(|letter| ".,' \u{a0}\u{202f}\u{2019}".contains(letter)).collect();
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let grouped = parts.iter().skip(1).all(|part| part.len() == 3)
        && (parts.len() == 1 || (1..=3).contains(&parts[0].len()));
    let bare_mark = text.contains(mark) && fraction.is_empty();
    if !parts.iter().all(|part| are_digits(part))
        || !are_digits(fraction)
        || parts[0].is_empty()
        || !grouped
        || bare_mark
    {
        return Err(NOT_A_NUMBER);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > decimals as usize {
        return Err("more decimals than are kept");
    }
    let digits = format!("{}{fraction:0<width$}", parts.concat(), width = decimals as usize);
    let digits = digits.trim_start_matches('0');
    match digits.len() {
        0 => Ok(0),
        1..=18 => digits.parse().map_err(|_| NOT_A_NUMBER),
        _ => Err("too large"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_or_refused() {
        for (text, mark, expected) in [
            ("12", '.', Ok(12_000_000)),
            (" 0.1 ", '.', Ok(100_000)),
            ("12.345678", '.', Ok(12_345_678)),
            ("12.3456780000", '.', Ok(12_345_678)),
            ("1,234.5", '.', Ok(1_234_500_000)),
            ("1.234,5", ',', Ok(1_234_500_000)),
            ("1'234'567", '.', Ok(1_234_567_000_000)),
            ("1\u{a0}234,00", ',', Ok(1_234_000_000)),
            ("0", '.', Ok(0)),
            ("12.3456789", '.', Err("more decimals than are kept")),
            ("1234567890123", '.', Err("too large")),
        ] {
            assert_eq!(decimal(text, mark, 6), expected, "{text}");
        }
        for text in
            ["", "-1", "1.", ".5", "1,23", "12,34.5", "1e3", "€ 5", "1,2345", "1.2.3", "N/A"]
        {
            assert!(decimal(text, '.', 6).is_err(), "{text}");
        }
        assert!(decimal("1,5", '.', 6).is_err(), "the other mark does not part decimals");
    }
}
