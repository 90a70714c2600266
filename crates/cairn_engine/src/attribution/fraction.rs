//! Exact fractions, for tests: a result is the wanted one, or it is not.

use std::cmp::Ordering;
use std::ops::{Add, Div, Mul, Sub};

use super::Number;

/// A fraction in lowest terms, its denominator above 0. An overflow panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fraction {
    over: i128,
    under: i128,
}

fn greatest_common(mut left: i128, mut right: i128) -> i128 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left.abs()
}

impl Fraction {
    /// `over` divided by `under`, which is not 0.
    pub(super) fn new(over: i128, under: i128) -> Fraction {
        let common = greatest_common(over, under) * under.signum();
        Fraction { over: over / common, under: under / common }
    }
}

impl Number for Fraction {
    fn of(whole: i64) -> Self {
        Fraction { over: whole.into(), under: 1 }
    }
}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some((self.over * other.under).cmp(&(other.over * self.under)))
    }
}

impl Add for Fraction {
    type Output = Fraction;
    fn add(self, other: Fraction) -> Fraction {
        Fraction::new(self.over * other.under + other.over * self.under, self.under * other.under)
    }
}

impl Sub for Fraction {
    type Output = Fraction;
    fn sub(self, other: Fraction) -> Fraction {
        self + Fraction { over: -other.over, ..other }
    }
}

impl Mul for Fraction {
    type Output = Fraction;
    fn mul(self, other: Fraction) -> Fraction {
        Fraction::new(self.over * other.over, self.under * other.under)
    }
}

impl Div for Fraction {
    type Output = Fraction;
    fn div(self, other: Fraction) -> Fraction {
        Fraction::new(self.over * other.under, self.under * other.over)
    }
}
