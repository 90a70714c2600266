//! The answer: rows of raw values, before any label is put on them.
//!
//! Guarantees: rates are exact integers of their last decimal, so two stores that agree are equal to the bit.
//! Missing text is the empty string here; what it is called (`Direct / None`) is decided at the edge.

/// The value of one dimension in one row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// Text as stored; empty = missing.
    Text(String),
    /// Position of the bucket in its range.
    Bucket(i64),
    /// Position of the goal in the question's list.
    Goal(usize),
}

/// The value of one metric in one row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Figure {
    /// There is none.
    Missing,
    /// A count, or a rate in whole numbers.
    Whole(i64),
    /// A rate in tenths.
    Tenths(i64),
    /// A rate in hundredths.
    Hundredths(i64),
    /// An amount in thousandths of the currency's main unit.
    Thousandths(i64),
    /// A score in ten-thousandths.
    TenThousandths(i64),
    /// An amount in billionths of the currency's main unit.
    Billionths(i64),
    /// An amount in ten-thousandths of the main unit of the site's currency.
    Amount(i64),
}

impl Figure {
    /// The number itself, without its scale; `None` when missing.
    pub fn raw(self) -> Option<i64> {
        match self {
            Figure::Missing => None,
            Figure::Whole(raw)
            | Figure::Tenths(raw)
            | Figure::Hundredths(raw)
            | Figure::Thousandths(raw)
            | Figure::TenThousandths(raw)
            | Figure::Billionths(raw)
            | Figure::Amount(raw) => Some(raw),
        }
    }

    /// The number as a decimal.
    pub fn decimal(self) -> Option<f64> {
        let divisor = match self {
            Figure::Missing => return None,
            Figure::Whole(_) => 1.0,
            Figure::Tenths(_) => 10.0,
            Figure::Hundredths(_) => 100.0,
            Figure::Thousandths(_) => 1000.0,
            Figure::TenThousandths(_) | Figure::Amount(_) => 10_000.0,
            Figure::Billionths(_) => 1_000_000_000.0,
        };
        self.raw().map(|raw| raw as f64 / divisor)
    }
}

/// `scale * part / whole`, rounded half away from zero; both at least 0, `whole` above 0.
pub fn rounded(part: i64, whole: i64, scale: i64) -> i64 {
    let (part, whole, scale) = (i128::from(part), i128::from(whole), i128::from(scale));
    let rounded = (2 * scale * part + whole).div_euclid(2 * whole);
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

/// One row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// One per dimension of the question.
    pub keys: Vec<Key>,
    /// One per metric of the question.
    pub figures: Vec<Figure>,
}

/// Amounts in a currency for which no rate is known: told apart, never added to others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Unconverted {
    /// ISO 4217 code.
    pub currency: String,
    /// Orders.
    pub orders: u64,
    /// Their amounts, in minor units.
    pub minor: i64,
    /// What of that was given back.
    pub refunded_minor: i64,
}

/// What is to be known beside sums of orders.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OrderNotes {
    /// Purchases that repeat an order and count for nothing.
    pub repeated: u64,
    /// Refunds and cancellations of orders that are not known, or in another currency than their order: they changed nothing.
    pub unmatched_refunds: u64,
    /// What could not be converted, by currency.
    pub unconverted: Vec<Unconverted>,
}

/// Rows in the order and of the page that the question asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// The rows.
    pub rows: Vec<Row>,
    /// Rows before the page was cut; known only when the question asked for it.
    pub total_rows: Option<u64>,
    /// Visitors are counted, and the range has identified ones and anonymous ones.
    pub mixed_identification: bool,
    /// There where orders are counted.
    pub notes: Option<OrderNotes>,
}
