//! Exchange rates from a file: the published history of the European Central Bank as it is, or a list.
//!
//! Either a line a day with a column for each currency (`Date,USD,JPY,…`), or a line for each rate (`date,currency,rate`).
//! A rate is units of the currency for one unit of the base.

use cairn_model::rates::{RATE_DECIMALS, RATE_MAX, RATE_ONE, Rate, day_of};
use cairn_model::{Currency, rates::Day};
use jiff::civil::Date;

use super::table::{Table, plain};
use super::{Faults, decimal};

/// Cells that say that there is no rate.
const NONE: [&str; 4] = ["", "n/a", "-", "."];

/// What a file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReadRates {
    /// Its rates.
    pub rates: Vec<Rate>,
    /// Columns whose names are no currency of today: not read.
    pub skipped: Vec<String>,
}

/// Reads a file with rates against `base`.
pub fn read(text: &str, base: &str) -> Result<ReadRates, Faults> {
    let is_header = |names: &[String]| names.iter().any(|name| plain(name) == "date");
    let table = Table::read(text, is_header)?;
    let place = |name: &str| table.header.iter().position(|known| plain(known) == name);
    let date = place("date").unwrap_or(0);
    let (mut read, mut faults) = (ReadRates::default(), Faults::default());
    let columns = match (place("currency"), place("rate")) {
        (Some(currency), Some(rate)) => Columns::List { currency, rate },
        _ => Columns::of_days(&table.header, date, base, &mut read.skipped),
    };
    for line in &table.lines {
        let cell = |place: usize| line.cells.get(place).unwrap_or_default().trim();
        let day: Day = match cell(date).parse::<Date>() {
            Ok(date) => day_of(date),
            Err(_) => {
                faults.add(line.number, &table.header[date], "not a date such as 2026-01-31");
                continue;
            }
        };
        for (place, code) in columns.of_line(&cell) {
            let Some(code) = code else {
                faults.add(line.number, "currency", "not an ISO 4217 code");
                continue;
            };
            if code == base || NONE.contains(&cell(place).to_lowercase().as_str()) {
                continue;
            }
            match units(cell(place)) {
                Ok(units) => read.rates.push(Rate { day, currency: code.to_owned(), units }),
                Err(message) => faults.add(line.number, &table.header[place], message),
            }
        }
    }
    if faults.count == 0 && read.rates.is_empty() {
        return Err(Faults::of_file("the file has no rate of any currency"));
    }
    if faults.count > 0 { Err(faults) } else { Ok(read) }
}

/// Where rates are.
enum Columns {
    /// A line for each rate.
    List { currency: usize, rate: usize },
    /// A line for each day: columns and their currencies.
    Days(Vec<(usize, &'static str)>),
}

impl Columns {
    fn of_days(header: &[String], date: usize, base: &str, skipped: &mut Vec<String>) -> Columns {
        let mut columns = Vec::new();
        for (place, name) in header.iter().enumerate().filter(|(place, _)| *place != date) {
            match Currency::from_code(name) {
                Some(currency) if currency.code != base => columns.push((place, currency.code)),
                // The history ends its lines with a comma.
                _ if name.is_empty() => {}
                _ => skipped.push(name.clone()),
            }
        }
        Columns::Days(columns)
    }

    /// Places of a line's rates with the codes of their currencies.
    fn of_line<'c>(&self, cell: &impl Fn(usize) -> &'c str) -> Vec<(usize, Option<&'static str>)> {
        match self {
            Columns::List { currency, rate } => {
                let code = Currency::from_code(cell(*currency)).map(|currency| currency.code);
                vec![(*rate, code)]
            }
            Columns::Days(columns) => {
                columns.iter().map(|(place, code)| (*place, Some(*code))).collect()
            }
        }
    }
}

fn units(text: &str) -> Result<i64, String> {
    let units = decimal(text, '.', RATE_DECIMALS)?;
    match units {
        1.. if units <= RATE_MAX * RATE_ONE => Ok(units),
        _ => Err(format!("a rate is above 0 and at most {RATE_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(day: &str, currency: &str, units: i64) -> Rate {
        let day = day_of(day.parse().expect("a date"));
        Rate { day, currency: currency.to_owned(), units }
    }

    #[test]
    fn both_forms_are_read() {
        let history =
            "Date,USD,JPY,CYP,\n2026-11-20,1.1525,180.14,N/A,\n2026-11-19,1.1577,N/A,N/A,\n";
        let expected = [
            rate("2026-11-20", "USD", 115_250_000),
            rate("2026-11-20", "JPY", 18_014_000_000),
            rate("2026-11-19", "USD", 115_770_000),
        ];
        let read_history = read(history, "EUR").expect("rates");
        assert_eq!(read_history.rates, expected);
        assert_eq!(read_history.skipped, ["CYP"]);
        let list = "currency;date;rate\r\nusd;2026-11-20;1.1525\r\nJPY;2026-11-20;180.14\r\nEUR;2026-11-20;1\r\n";
        assert_eq!(read(list, "EUR").expect("rates").rates, expected[..2]);
    }

    #[test]
    fn a_fault_names_its_line_and_column() {
        let faults = |text: &str| read(text, "EUR").expect_err("faults").to_string();
        assert_eq!(
            faults(
                "Date,USD,JPY\n2026-11-20,1.1,x\n20.11.2026,1.1,180\n2026-11-18,0,1.123456789\n"
            ),
            "line 2, column \"JPY\": not a number of 0 or more; \
             line 3, column \"Date\": not a date such as 2026-01-31; \
             line 4, column \"USD\": a rate is above 0 and at most 100000000; \
             line 4, column \"JPY\": more decimals than are kept"
        );
        assert_eq!(
            faults("Date,USD\n2026-11-20,1.1,2\n"),
            "line 2, the line has 3 cells, and there are 2 columns"
        );
        assert_eq!(
            faults("USD,JPY\n1,2\n"),
            "no line has the names of the columns; the first has \"USD\", \"JPY\""
        );
        assert_eq!(faults("Date,USD\n2026-11-20,N/A\n"), "the file has no rate of any currency");
    }
}
