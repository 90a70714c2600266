//! Touches: what brought somebody to a site, in order, up to a conversion.
//!
//! The rules that every store follows:
//! - A *person* is a user, where all events of a visitor that name anybody name this one user; else the visitor. Only events
//!   from the start of the look-back on are asked.
//! - A *touch* is a visit, at its start, or (where asked for) an advertisement in view of an identified visitor.
//! - A *conversion* looks back over the touches of its person at or before it, within their window; the whole window, also
//!   where the person converted before. Without any, its own source is its only touch.
//! - A person without a conversion in the range, but with a touch in it, is a path without conversion: from the last touch
//!   of the range it looks back in the same way.
//! - Touches are in order of time; at the same instant visits stand before views, and lower numbers before higher ones.

use std::cmp::Ordering;

/// What kind of touch it is. Kinds are never added up silently: each is a channel of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TouchKind {
    /// A visit without a source.
    Direct,
    /// A visit that came from somewhere.
    Visit,
    /// An advertisement that was in view.
    View,
}

impl TouchKind {
    /// All, by their number.
    pub const ALL: [TouchKind; 3] = [TouchKind::Direct, TouchKind::Visit, TouchKind::View];
}

/// One touch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Touch {
    /// Its kind.
    pub kind: TouchKind,
    /// Value of the dimension asked for, as stored; empty = missing. Always empty for a direct visit.
    pub value: String,
}

/// The same touches in the same order, of however many people and conversions.
#[derive(Clone, PartialEq, Debug)]
pub struct TouchPath {
    /// The touches, earliest first; at least one.
    pub touches: Vec<Touch>,
    /// Conversions at its end.
    pub conversions: u64,
    /// Their amounts, minor units of the currency.
    pub value_minor: i128,
    /// People who went it and did not convert.
    pub without: u64,
    /// Sum over the conversions of the time from the first touch to the conversion, milliseconds.
    pub duration_ms: i128,
    /// Time-decay share of each touch, summed over the conversions.
    pub decay: Vec<f64>,
    /// The same, weighted with the conversions' amounts in minor units.
    pub decay_value: Vec<f64>,
}

impl TouchPath {
    /// Paths that tell more come first. Equal ones keep their order, which is that of their first conversion in the log, or
    /// of the number of their last touch.
    pub fn compare(&self, other: &TouchPath) -> Ordering {
        let rank = |path: &TouchPath| (path.conversions, path.value_minor, path.without);
        rank(other).cmp(&rank(self))
    }
}

/// All paths of a question, and what was left out of them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TouchPaths {
    /// The paths, those that tell most first.
    pub paths: Vec<TouchPath>,
    /// Different paths before any was cut.
    pub paths_total: u64,
    /// Conversions before any path was cut.
    pub conversions: u64,
    /// Their amounts, minor units.
    pub value_minor: i128,
    /// People without a conversion before any path was cut.
    pub without: u64,
    /// Conversions whose path lost its earlier touches.
    pub shortened: u64,
    /// Conversions of visitors who are known for a day only.
    pub anonymous: u64,
    /// Conversions with an amount in another currency, which is not in `value_minor`.
    pub other_currency: u64,
}

/// Shares of one conversion by time decay: each touch weighs 2^(-age / half-life), shares add up to 1.
pub fn decay_shares(ages_ms: &[i64], half_life_ms: i64) -> Vec<f64> {
    let weight = |age_ms: &i64| (-(*age_ms as f64) / half_life_ms as f64).exp2();
    let weights: Vec<f64> = ages_ms.iter().map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}
