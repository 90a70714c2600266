//! Models that are a rule for one conversion, whatever the others did.

use super::{Credit, Journey, Journeys, Model, Number};

/// What each channel is credited with.
pub(super) fn credit<N: Number>(journeys: &Journeys<N>, model: Model) -> Vec<Credit<N>> {
    let mut credits = vec![Credit::nothing(); journeys.channels()];
    for journey in &journeys.journeys {
        if model == Model::TimeDecay {
            let shares = journey.decay.iter().zip(&journey.decay_value);
            for (channel, (share, weighted)) in journey.touches.iter().zip(shares) {
                credits[*channel].add(share.clone(), weighted.clone());
            }
            continue;
        }
        for (channel, share) in journey.touches.iter().zip(shares(journeys, journey, model)) {
            let conversions = journey.conversions.clone() * share.clone();
            credits[*channel].add(conversions, journey.value.clone() * share);
        }
    }
    credits
}

/// The share of each touch; together 1.
fn shares<N: Number>(journeys: &Journeys<N>, journey: &Journey<N>, model: Model) -> Vec<N> {
    let count = journey.touches.len();
    let last = count.saturating_sub(1);
    let all_to =
        |winner: usize| (0..count).map(|place| N::of(i64::from(place == winner))).collect();
    match model {
        Model::First => all_to(0),
        Model::LastNonDirect => {
            let came_from_somewhere = |channel: &usize| !journeys.is_direct[*channel];
            all_to(journey.touches.iter().rposition(came_from_somewhere).unwrap_or(last))
        }
        Model::Linear => vec![N::of(1) / N::of(count as i64); count],
        Model::PositionBased => by_position(count),
        _ => all_to(last),
    }
}

fn by_position<N: Number>(count: usize) -> Vec<N> {
    if count < 3 {
        return vec![N::of(1) / N::of(count as i64); count];
    }
    let end = N::of(2) / N::of(5);
    let mut shares = vec![N::of(1) / N::of(5) / N::of(count as i64 - 2); count];
    shares[0] = end.clone();
    shares[count - 1] = end;
    shares
}
