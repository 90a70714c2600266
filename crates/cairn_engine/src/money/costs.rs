//! Costs from a file, with a mapping of its columns.
//!
//! Rows about the same day and campaign are added: files that tell costs by device or ad group are summed up. What a file
//! says replaces what was known about the same day and campaign, so that importing it again changes nothing.

use std::collections::{BTreeMap, HashMap};

use cairn_model::question::money::COST_DECIMALS;
use cairn_model::rates::{Day, day_of};
use cairn_model::{Cost, Currency};
use jiff::civil::Date;

use super::table::{Line, Table, plain};
use super::{Faults, decimal};

/// Bytes of a source, campaign and so on, as links may carry them.
pub const TEXT_SIZE_BYTES_MAX: usize = 512;

/// What a column tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CostColumn {
    /// The day.
    Date,
    /// What was paid.
    Cost,
    /// ISO 4217 code of what was paid in.
    Currency,
    /// As `utm_source`.
    Source,
    /// As `utm_medium`.
    Medium,
    /// As `utm_campaign`.
    Campaign,
    /// As `utm_content`: the creative.
    Content,
    /// As `utm_term`: the keyword.
    Term,
    /// How often it was shown.
    Impressions,
    /// How often it was clicked.
    Clicks,
}

/// Names, and what such columns are usually called.
const COLUMNS: [(CostColumn, &str, &[&str]); 10] = [
    (CostColumn::Date, "date", &["date", "day", "datum", "tag", "reporting starts"]),
    (
        CostColumn::Cost,
        "cost",
        &["cost", "costs", "spend", "amount spent", "total spend", "kosten", "ausgaben"],
    ),
    (CostColumn::Currency, "currency", &["currency", "currency code", "währung"]),
    (CostColumn::Source, "source", &["source", "utm source", "quelle"]),
    (CostColumn::Medium, "medium", &["medium", "utm medium"]),
    (
        CostColumn::Campaign,
        "campaign",
        &["campaign", "campaign name", "utm campaign", "kampagne", "kampagnenname"],
    ),
    (
        CostColumn::Content,
        "content",
        &["content", "utm content", "creative", "ad", "ad name", "creative name", "anzeige"],
    ),
    (CostColumn::Term, "term", &["term", "utm term", "keyword", "search keyword", "suchbegriff"]),
    (
        CostColumn::Impressions,
        "impressions",
        &["impressions", "impr.", "views", "impressionen", "impr"],
    ),
    (CostColumn::Clicks, "clicks", &["clicks", "link clicks", "klicks"]),
];

impl CostColumn {
    /// Every one.
    pub fn all() -> impl Iterator<Item = CostColumn> {
        COLUMNS.into_iter().map(|(column, _, _)| column)
    }

    /// Its name in a mapping.
    pub fn name(self) -> &'static str {
        COLUMNS.iter().find(|(column, _, _)| *column == self).map_or("", |(_, name, _)| name)
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<CostColumn> {
        COLUMNS.iter().find(|(_, known, _)| *known == name).map(|(column, _, _)| *column)
    }

    fn usual_names(self) -> &'static [&'static str] {
        COLUMNS.iter().find(|(column, _, _)| *column == self).map_or(&[], |(_, _, names)| names)
    }

    fn is_text(self) -> bool {
        matches!(
            self,
            CostColumn::Source
                | CostColumn::Medium
                | CostColumn::Campaign
                | CostColumn::Content
                | CostColumn::Term
        )
    }
}

/// In which order dates are written. Years first are always read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DateOrder {
    /// `2026-01-31` or `20260131`.
    #[default]
    YearFirst,
    /// `31.01.2026`, `31/1/2026`.
    DayFirst,
    /// `01/31/2026`.
    MonthFirst,
}

/// How a file is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// The file's own names of columns; those that are not named here are found by their usual names.
    pub columns: BTreeMap<CostColumn, String>,
    /// What holds for every row, where a column is missing.
    pub fixed: BTreeMap<CostColumn, String>,
    /// What stands before decimals: `.` or `,`.
    pub decimal_mark: char,
    /// In which order dates are written.
    pub date_order: DateOrder,
    /// ISO 4217 code of rows without a currency of their own.
    pub currency: String,
}

impl Mapping {
    /// Columns by their usual names, amounts in this currency.
    pub fn usual(currency: &str) -> Mapping {
        Mapping {
            columns: BTreeMap::new(),
            fixed: BTreeMap::new(),
            decimal_mark: '.',
            date_order: DateOrder::default(),
            currency: currency.to_owned(),
        }
    }

    /// Which column of the file tells what.
    fn places(&self, header: &[String]) -> BTreeMap<CostColumn, usize> {
        let plain_header: Vec<String> = header.iter().map(|name| plain(name)).collect();
        let usual = |column: CostColumn| {
            let mut names = column.usual_names().iter();
            names.find_map(|name| plain_header.iter().position(|known| known == name))
        };
        let place = |column: CostColumn| match self.columns.get(&column) {
            Some(name) => header.iter().position(|known| known == name.trim()),
            None if self.fixed.contains_key(&column) => None,
            None => usual(column),
        };
        CostColumn::all().filter_map(|column| Some((column, place(column)?))).collect()
    }
}

/// What a file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReadCosts {
    /// The file's names of columns.
    pub header: Vec<String>,
    /// Which of them tells what.
    pub columns: BTreeMap<CostColumn, String>,
    /// Rows of the file.
    pub rows: usize,
    /// What they say, each day and campaign once, in order.
    pub costs: Vec<Cost>,
    /// What is wrong; then nothing of it may be stored.
    pub faults: Faults,
}

/// Reads a file. A header without the necessary columns is a fault like others, so that a mapping can be made from it.
pub fn read(text: &str, mapping: &Mapping) -> Result<ReadCosts, Faults> {
    let is_header = |names: &[String]| {
        let places = mapping.places(names);
        places.contains_key(&CostColumn::Date) && places.contains_key(&CostColumn::Cost)
    };
    let table = match Table::read(text, is_header) {
        Ok(table) => table,
        // The first line, so that it can be told which columns there are.
        Err(faults) if faults.shown.iter().all(|fault| fault.line == 0) => {
            Table::read(text, |names| names.len() > 1).map_err(|_| faults)?
        }
        Err(faults) => return Err(faults),
    };
    let places = mapping.places(&table.header);
    let columns = places.iter().map(|(column, place)| (*column, table.header[*place].clone()));
    let mut read = ReadCosts {
        columns: columns.collect(),
        rows: table.lines.len(),
        header: table.header,
        ..ReadCosts::default()
    };
    missing_columns(mapping, &places, &mut read.faults);
    if read.faults.count > 0 {
        return Ok(read);
    }
    let mut together: HashMap<(Day, [String; 5]), usize> = HashMap::new();
    for line in &table.lines {
        let mut reader = Reader {
            mapping,
            places: &places,
            header: &read.header,
            line,
            faults: &mut read.faults,
        };
        let Some(cost) = reader.cost() else { continue };
        let (day, texts) = cost.key();
        match together.get(&(day, texts.map(str::to_owned))) {
            None => {
                together.insert((day, texts.map(str::to_owned)), read.costs.len());
                read.costs.push(cost);
            }
            Some(index) => add(&mut read.costs[*index], cost, line.number, &mut read.faults),
        }
    }
    read.costs.sort_by(|left, right| left.key().cmp(&right.key()));
    Ok(read)
}

fn missing_columns(mapping: &Mapping, places: &BTreeMap<CostColumn, usize>, faults: &mut Faults) {
    for (column, name) in &mapping.columns {
        if !places.contains_key(column) {
            faults.add(1, name, format!("the file has no such column for {}", column.name()));
        }
    }
    for column in [CostColumn::Date, CostColumn::Cost] {
        let is_named = mapping.columns.contains_key(&column);
        if !places.contains_key(&column) && !is_named {
            faults.add(1, "", format!("no column is known to tell the {}", column.name()));
        }
    }
}

/// Rows of one file about the same are added.
fn add(known: &mut Cost, more: Cost, line: u64, faults: &mut Faults) {
    if known.currency != more.currency {
        let message = "another row about the same day and campaign is in another currency";
        faults.add(line, "", message);
    }
    known.micros = known.micros.saturating_add(more.micros);
    known.impressions = known.impressions.saturating_add(more.impressions);
    known.clicks = known.clicks.saturating_add(more.clicks);
}

/// Reads one line.
struct Reader<'a> {
    mapping: &'a Mapping,
    places: &'a BTreeMap<CostColumn, usize>,
    header: &'a [String],
    line: &'a Line,
    faults: &'a mut Faults,
}

impl Reader<'_> {
    fn text(&self, column: CostColumn) -> &str {
        match self.places.get(&column) {
            Some(place) => self.line.cells.get(*place).unwrap_or_default().trim(),
            None => self.mapping.fixed.get(&column).map_or("", |text| text.trim()),
        }
    }

    fn wrong(&mut self, column: CostColumn, message: &str) {
        let name = self.places.get(&column).and_then(|place| self.header.get(*place));
        let name = name.map_or(column.name(), String::as_str);
        self.faults.add(self.line.number, name, message);
    }

    /// The cost, with what is wrong put on record: all of the line's faults, not only the first.
    fn cost(&mut self) -> Option<Cost> {
        let before = self.faults.count;
        let date = date(self.text(CostColumn::Date), self.mapping.date_order);
        let amount = decimal(self.text(CostColumn::Cost), self.mapping.decimal_mark, COST_DECIMALS);
        if date.is_none() {
            self.wrong(CostColumn::Date, "not a date in the order that was said");
        }
        if let Err(message) = amount {
            self.wrong(CostColumn::Cost, message);
        }
        let impressions = self.count(CostColumn::Impressions);
        let clicks = self.count(CostColumn::Clicks);
        let currency = match self.text(CostColumn::Currency) {
            "" => Some(self.mapping.currency.clone()),
            code => Currency::from_code(code).map(|currency| currency.code.to_owned()),
        };
        if currency.is_none() {
            self.wrong(CostColumn::Currency, "not an ISO 4217 code such as EUR");
        }
        for column in CostColumn::all().filter(|column| column.is_text()) {
            if self.text(column).len() > TEXT_SIZE_BYTES_MAX {
                self.wrong(column, "longer than 512 bytes");
            }
        }
        if self.faults.count > before {
            return None;
        }
        let text = |column: CostColumn| self.text(column).to_owned();
        Some(Cost {
            day: day_of(date?),
            source: text(CostColumn::Source),
            medium: text(CostColumn::Medium),
            campaign: text(CostColumn::Campaign),
            content: text(CostColumn::Content),
            term: text(CostColumn::Term),
            currency: currency?,
            micros: amount.ok()?,
            impressions,
            clicks,
        })
    }

    /// A whole number; 0 where the cell is empty.
    fn count(&mut self, column: CostColumn) -> i64 {
        let text = self.text(column);
        if text.is_empty() {
            return 0;
        }
        match decimal(text, self.mapping.decimal_mark, 0) {
            Ok(count) => count,
            Err(_) => {
                self.wrong(column, "not a whole number of 0 or more");
                0
            }
        }
    }
}

/// A date as it is written in the file.
pub fn date(text: &str, order: DateOrder) -> Option<Date> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if text.len() == 8 && all_digits {
        let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
        return of_numbers(number(0..4)?, number(4..6)?, number(6..8)?);
    }
    let parts: Option<Vec<i16>> =
        text.split(['-', '/', '.']).map(|part| part.parse().ok()).collect();
    let [first, second, third] = parts?.try_into().ok()?;
    match order {
        _ if first > 31 => of_numbers(first, second, third),
        DateOrder::YearFirst => None,
        DateOrder::DayFirst => of_numbers(third, second, first),
        DateOrder::MonthFirst => of_numbers(third, first, second),
    }
}

fn of_numbers(year: i16, month: i16, day: i16) -> Option<Date> {
    // Two digits do not say which century.
    let year = Some(year).filter(|year| (1970..=9000).contains(year))?;
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(day: &str, campaign: &str, micros: i64, clicks: i64) -> Cost {
        Cost {
            day: day_of(day.parse().expect("a date")),
            source: "google".to_owned(),
            medium: "cpc".to_owned(),
            campaign: campaign.to_owned(),
            currency: "EUR".to_owned(),
            micros,
            clicks,
            ..Cost::default()
        }
    }

    fn google() -> Mapping {
        let fixed = [(CostColumn::Source, "google"), (CostColumn::Medium, "cpc")];
        let fixed = fixed.map(|(column, text)| (column, text.to_owned()));
        Mapping { fixed: fixed.into(), ..Mapping::usual("EUR") }
    }

    #[test]
    fn a_table_with_usual_names_needs_no_mapping() {
        let text = "\u{feff}Campaign report\nAll time, by Day,Campaign,Cost,Impr.,Clicks\nDay,Campaign,Cost,Impr.,Clicks\n\
            2026-11-20,Tents,12.5,900,30\n2026-11-20,\"Packs, light\",0.123456,,1\n\
            2026-11-20,Tents,0.5,100,2\n";
        let read = read(text, &google()).expect("a table");
        assert_eq!(read.faults, Faults::default());
        let mut tents = cost("2026-11-20", "Tents", 13_000_000, 32);
        tents.impressions = 1_000;
        assert_eq!(read.costs, [cost("2026-11-20", "Packs, light", 123_456, 1), tents]);
        assert_eq!((read.rows, read.columns.len()), (3, 5));
    }

    #[test]
    fn a_mapping_names_columns_marks_and_dates() {
        let text = "Kampagne;Betrag (netto);Wann;Währung\nTents;1.234,5;31.1.2026;usd\n";
        let mut mapping = google();
        mapping.columns.insert(CostColumn::Cost, "Betrag (netto)".to_owned());
        mapping.columns.insert(CostColumn::Date, "Wann".to_owned());
        (mapping.decimal_mark, mapping.date_order) = (',', DateOrder::DayFirst);
        let read = read(text, &mapping).expect("a table");
        let expected =
            Cost { currency: "USD".to_owned(), ..cost("2026-01-31", "Tents", 1_234_500_000, 0) };
        assert_eq!((read.costs, read.faults.count), (vec![expected], 0));
    }

    #[test]
    fn faults_name_line_and_column_and_none_is_left_out() {
        let text = "date,cost,campaign,clicks,currency\n\
            2026-11-20,1,a,1,EUR\n31.1.2026,x,b,1.5,EURO\n\n2026-11-21,-3,a,,\n";
        let read = read(text, &google()).expect("a table");
        let told: Vec<String> = read.faults.shown.iter().map(|fault| fault.to_string()).collect();
        assert_eq!(
            told,
            [
                "line 3, column \"date\": not a date in the order that was said",
                "line 3, column \"cost\": not a number of 0 or more",
                "line 3, column \"clicks\": not a whole number of 0 or more",
                "line 3, column \"currency\": not an ISO 4217 code such as EUR",
                "line 5, column \"cost\": not a number of 0 or more",
            ]
        );
        assert_eq!(read.costs.len(), 1, "what can be read is shown, and not stored");
    }

    #[test]
    fn a_file_without_the_columns_tells_which_it_has() {
        let mut mapping = google();
        mapping.columns.insert(CostColumn::Cost, "Spent".to_owned());
        let read = read("when,how much\n1,2\n", &mapping).expect("a header");
        assert_eq!(read.header, ["when", "how much"]);
        assert_eq!(
            read.faults.to_string(),
            "line 1, column \"Spent\": the file has no such column for cost; \
             line 1, no column is known to tell the date"
        );
    }

    #[test]
    fn dates_are_read_in_one_order_only() {
        let of = |text, order| date(text, order).map(|date| date.to_string());
        for order in [DateOrder::YearFirst, DateOrder::DayFirst, DateOrder::MonthFirst] {
            for text in ["2026-02-01", "20260201", "2026/2/1"] {
                assert_eq!(of(text, order).as_deref(), Some("2026-02-01"), "{text}");
            }
            for text in ["", "today", "1/2/26", "2026-02-30", "2026-02", "99999999"] {
                assert_eq!(of(text, order), None, "{text}");
            }
        }
        assert_eq!(of("1/2/2026", DateOrder::DayFirst).as_deref(), Some("2026-02-01"));
        assert_eq!(of("1/2/2026", DateOrder::MonthFirst).as_deref(), Some("2026-01-02"));
        assert_eq!(of("1/2/2026", DateOrder::YearFirst), None);
    }
}
