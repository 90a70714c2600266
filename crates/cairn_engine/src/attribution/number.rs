//! What models reckon with: floating point in the product, exact fractions where a test demands them.

use std::ops::{Add, Div, Mul, Sub};

/// A number of a field. Whoever divides knows that the divisor is not 0.
pub trait Number:
    Clone
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    /// A whole number.
    fn of(whole: i64) -> Self;
}

impl Number for f64 {
    fn of(whole: i64) -> Self {
        whole as f64
    }
}

/// Sum of all.
pub(super) fn sum<N: Number>(numbers: impl Iterator<Item = N>) -> N {
    numbers.fold(N::of(0), |sum, number| sum + number)
}
