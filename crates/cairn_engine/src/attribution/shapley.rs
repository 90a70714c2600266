//! Shapley values: the mean of what a channel adds, over all orders in which channels could join (Shapley 1953).
//!
//! The worth of a set of channels is the conversions of the journeys that need no other channel. That game is a sum of
//! unanimity games, one for each set of channels that occurs, and the Shapley value of a unanimity game is an equal part
//! for each of its members; the value is additive. So the value is exact for any number of channels, from the sets that
//! occur alone. The tests hold it against the sum over all subsets.

use super::{Credit, Journeys, Number};

/// What each channel is credited with.
pub(super) fn credit<N: Number>(journeys: &Journeys<N>) -> Vec<Credit<N>> {
    let mut credits = vec![Credit::nothing(); journeys.channels()];
    for journey in &journeys.journeys {
        let members = Journeys::distinct(journey);
        let part = N::of(1) / N::of(members.len().max(1) as i64);
        for channel in members {
            let conversions = journey.conversions.clone() * part.clone();
            credits[channel].add(conversions, journey.value.clone() * part.clone());
        }
    }
    credits
}
