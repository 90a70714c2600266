//! Removal effects in a Markov chain of order 1 (Anderl et al. 2016).
//!
//! States are a start, the channels, conversion and none; a step from one to another is as probable as it is frequent in
//! the journeys, those without conversion included. Removing a channel sends every step into it to *none*. By the
//! strong Markov property what is lost then is the probability of ever getting there, times that of converting from
//! there. With G = (I - Q)^-1, Q the steps between channels and s those from the start:
//!
//! P(c is ever visited) = (s G)_c / G_cc,   P(conversion from c) = (G r)_c,   removal effect = their product / (s G r).
//!
//! So one inverse answers for all channels. For amounts, r is the probability of converting times the mean amount of the
//! conversions that a channel was last before.

use super::number::sum;
use super::{Credit, Journeys, Number};

/// Share of conversions, and of amounts, that would be lost without each channel; by the channels' numbers.
#[derive(Clone, PartialEq, Debug)]
pub struct RemovalEffects<N> {
    /// Probability of a conversion from the start.
    pub conversion: N,
    /// Effects on conversions.
    pub conversions: Vec<N>,
    /// Effects on amounts.
    pub value: Vec<N>,
}

/// The chain as counts of steps.
struct Chain<N> {
    starts: Vec<N>,
    steps: Vec<Vec<N>>,
    conversions: Vec<N>,
    value: Vec<N>,
    totals: Vec<N>,
    all: N,
}

impl<N: Number> Chain<N> {
    fn of(journeys: &Journeys<N>) -> Chain<N> {
        let none = vec![N::of(0); journeys.channels()];
        let mut chain = Chain {
            starts: none.clone(),
            steps: vec![none.clone(); journeys.channels()],
            conversions: none.clone(),
            value: none.clone(),
            totals: none,
            all: N::of(0),
        };
        let add = |place: &mut N, count: &N| *place = place.clone() + count.clone();
        for journey in &journeys.journeys {
            let count = journey.conversions.clone() + journey.without.clone();
            let (Some(first), Some(last)) = (journey.touches.first(), journey.touches.last())
            else {
                continue;
            };
            add(&mut chain.all, &count);
            add(&mut chain.starts[*first], &count);
            journey.touches.iter().for_each(|touch| add(&mut chain.totals[*touch], &count));
            for pair in journey.touches.windows(2) {
                add(&mut chain.steps[pair[0]][pair[1]], &count);
            }
            add(&mut chain.conversions[*last], &journey.conversions);
            add(&mut chain.value[*last], &journey.value);
        }
        chain
    }

    /// I - Q. A channel that nobody touched leads to nothing.
    fn matrix(&self) -> Vec<Vec<N>> {
        let rows = self.steps.iter().zip(&self.totals).enumerate();
        let row = |(from, (steps, total)): (usize, (&Vec<N>, &N))| {
            let entry = |(to, count): (usize, &N)| {
                let identity = N::of(i64::from(from == to));
                if *total == N::of(0) { identity } else { identity - count.clone() / total.clone() }
            };
            steps.iter().enumerate().map(entry).collect()
        };
        rows.map(row).collect()
    }

    /// Counts at the ends, per visit of the channel.
    fn per_touch(&self, counts: &[N]) -> Vec<N> {
        let rate = |(count, total): (&N, &N)| match *total == N::of(0) {
            true => N::of(0),
            false => count.clone() / total.clone(),
        };
        counts.iter().zip(&self.totals).map(rate).collect()
    }
}

/// The inverse by Gauss and Jordan. Every channel leads to an end sooner or later, so I - Q is an M-matrix: pivots on the
/// diagonal are above 0 and need no exchange of rows.
fn inverse<N: Number>(mut matrix: Vec<Vec<N>>) -> Vec<Vec<N>> {
    let size = matrix.len();
    for (place, row) in matrix.iter_mut().enumerate() {
        row.extend((0..size).map(|column| N::of(i64::from(column == place))));
    }
    for place in 0..size {
        let pivot = matrix[place][place].clone();
        let scaled: Vec<N> =
            matrix[place].iter().map(|entry| entry.clone() / pivot.clone()).collect();
        for (other, row) in matrix.iter_mut().enumerate() {
            if other == place || row[place] == N::of(0) {
                continue;
            }
            let factor = row[place].clone();
            for (entry, of_pivot) in row.iter_mut().zip(&scaled) {
                *entry = entry.clone() - factor.clone() * of_pivot.clone();
            }
        }
        matrix[place] = scaled;
    }
    matrix.into_iter().map(|row| row.into_iter().skip(size).collect()).collect()
}

fn dot<N: Number>(left: &[N], right: &[N]) -> N {
    sum(left.iter().zip(right).map(|(left, right)| left.clone() * right.clone()))
}

/// Removal effects of all channels; `None` where nothing was counted.
pub fn removal_effects<N: Number>(journeys: &Journeys<N>) -> Option<RemovalEffects<N>> {
    let chain = Chain::of(journeys);
    if chain.all == N::of(0) {
        return None;
    }
    let starts: Vec<N> =
        chain.starts.iter().map(|count| count.clone() / chain.all.clone()).collect();
    let visits = inverse(chain.matrix());
    let channels = 0..journeys.channels();
    let reached: Vec<N> = channels
        .map(|channel| {
            let expected =
                starts.iter().zip(&visits).map(|(start, row)| start.clone() * row[channel].clone());
            sum(expected) / visits[channel][channel].clone()
        })
        .collect();
    let effects = |ends: &[N]| {
        let from: Vec<N> = visits.iter().map(|row| dot(row, ends)).collect();
        let whole = dot(&starts, &from);
        let lost = |(reached, from): (&N, N)| match whole == N::of(0) {
            true => N::of(0),
            false => reached.clone() * from / whole.clone(),
        };
        let lost: Vec<N> = reached.iter().zip(from.clone()).map(lost).collect();
        (whole.clone(), lost)
    };
    let (conversion, conversions) = effects(&chain.per_touch(&chain.conversions));
    let (_, value) = effects(&chain.per_touch(&chain.value));
    Some(RemovalEffects { conversion, conversions, value })
}

/// What each channel is credited with: its part of all removal effects.
pub(super) fn credit<N: Number>(journeys: &Journeys<N>) -> Vec<Credit<N>> {
    let nothing = vec![Credit::nothing(); journeys.channels()];
    let Some(effects) = removal_effects(journeys) else { return nothing };
    let conversions = sum(journeys.journeys.iter().map(|journey| journey.conversions.clone()));
    let value = sum(journeys.journeys.iter().map(|journey| journey.value.clone()));
    // Refunds could turn effects on amounts around: then those on conversions share the amounts out.
    let has_refunds = journeys.journeys.iter().any(|journey| journey.value < N::of(0));
    let of_value = if has_refunds { &effects.conversions } else { &effects.value };
    let conversions = parts(conversions, &effects.conversions);
    let value = parts(value, of_value);
    let credits = conversions.into_iter().zip(value);
    credits.map(|(conversions, value)| Credit { conversions, value }).collect()
}

/// A total in parts of these sizes; nothing where all of them are 0.
fn parts<N: Number>(total: N, sizes: &[N]) -> Vec<N> {
    let whole = sum(sizes.iter().cloned());
    if whole == N::of(0) {
        return vec![N::of(0); sizes.len()];
    }
    sizes.iter().map(|size| total.clone() * size.clone() / whole.clone()).collect()
}
