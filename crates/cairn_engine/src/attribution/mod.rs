//! Attribution: how much of the conversions each channel is credited with, by eight models.
//!
//! Guarantees: pure arithmetic over paths that were counted before. Every model hands out exactly what the paths have (up to
//! rounding of floating point), never more; a channel in no path gets nothing. The same code runs on exact fractions in the
//! tests. It does not know what a channel is called, where paths come from, or how figures are shown. No model knows
//! causes: `docs/attribution.md` says how far each errs in a shop whose causes are known.

mod markov;
mod number;
mod rules;
mod shapley;

#[cfg(test)]
mod fraction;
#[cfg(test)]
mod tests;

pub use markov::{RemovalEffects, removal_effects};
pub use number::Number;

/// A way to share out conversions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Model {
    /// All to the last touch.
    Last,
    /// All to the last touch that is not direct; to the last one where all are.
    LastNonDirect,
    /// All to the first touch.
    First,
    /// Equal parts to all touches.
    Linear,
    /// A touch has half of the weight of one that is a half-life later.
    TimeDecay,
    /// 40 % to the first touch, 40 % to the last, 20 % to those between.
    PositionBased,
    /// By what would be lost if the channel led nowhere, in a Markov chain of order 1.
    Markov,
    /// By the mean of what the channel adds, over all orders in which channels could join.
    Shapley,
}

impl Model {
    /// All, in the order in which they are shown.
    pub const ALL: [Model; 8] = [
        Model::Last,
        Model::LastNonDirect,
        Model::First,
        Model::Linear,
        Model::TimeDecay,
        Model::PositionBased,
        Model::Markov,
        Model::Shapley,
    ];

    /// Its name in the interface.
    pub fn name(self) -> &'static str {
        match self {
            Model::Last => "last",
            Model::LastNonDirect => "last_non_direct",
            Model::First => "first",
            Model::Linear => "linear",
            Model::TimeDecay => "time_decay",
            Model::PositionBased => "position_based",
            Model::Markov => "markov",
            Model::Shapley => "shapley",
        }
    }

    /// The model of a name.
    pub fn named(name: &str) -> Option<Model> {
        Model::ALL.into_iter().find(|model| model.name() == name)
    }

    /// How its figures are found. All of them are computed, none is estimated by drawing.
    pub fn method(self) -> &'static str {
        match self {
            Model::Markov => "removal effects of the order-1 chain, from the inverse of its matrix",
            Model::Shapley => "sum over the sets of channels that occur, each shared equally",
            _ => "a rule applied to each conversion",
        }
    }
}

/// The same channels in the same order, of however many conversions and people without one.
#[derive(Clone, PartialEq, Debug)]
pub struct Journey<N> {
    /// The touches, earliest first, by the channels' numbers; at least one.
    pub touches: Vec<usize>,
    /// Conversions at its end.
    pub conversions: N,
    /// Their amounts together.
    pub value: N,
    /// People who went it and did not convert.
    pub without: N,
    /// Time-decay share of each touch, summed over the conversions.
    pub decay: Vec<N>,
    /// The same, weighted with the amounts.
    pub decay_value: Vec<N>,
}

/// All journeys of a question.
#[derive(Clone, PartialEq, Debug)]
pub struct Journeys<N> {
    /// One entry per channel: whether it is direct visits.
    pub is_direct: Vec<bool>,
    /// The journeys.
    pub journeys: Vec<Journey<N>>,
}

/// What a channel is credited with.
#[derive(Clone, PartialEq, Debug)]
pub struct Credit<N> {
    /// Conversions.
    pub conversions: N,
    /// Amounts.
    pub value: N,
}

impl<N: Number> Credit<N> {
    fn nothing() -> Credit<N> {
        Credit { conversions: N::of(0), value: N::of(0) }
    }

    fn add(&mut self, conversions: N, value: N) {
        self.conversions = self.conversions.clone() + conversions;
        self.value = self.value.clone() + value;
    }
}

impl<N: Number> Journeys<N> {
    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.is_direct.len()
    }

    /// What each channel is credited with by a model, by the channels' numbers.
    pub fn credit(&self, model: Model) -> Vec<Credit<N>> {
        match model {
            Model::Markov => markov::credit(self),
            Model::Shapley => shapley::credit(self),
            _ => rules::credit(self, model),
        }
    }

    /// The channels of a journey, each once, in the order in which they first occur.
    fn distinct(journey: &Journey<N>) -> Vec<usize> {
        let mut channels: Vec<usize> = Vec::new();
        for touch in &journey.touches {
            if !channels.contains(touch) {
                channels.push(*touch);
            }
        }
        channels
    }

    /// Each channel's conversions in which it was a touch, and those of them in which it was not the last.
    pub fn presence(&self) -> Vec<(N, N)> {
        let mut presence = vec![(N::of(0), N::of(0)); self.channels()];
        for journey in &self.journeys {
            let conversions = &journey.conversions;
            for channel in Self::distinct(journey) {
                let (touched, assisted) = &mut presence[channel];
                *touched = touched.clone() + conversions.clone();
                if journey.touches.last() != Some(&channel) {
                    *assisted = assisted.clone() + conversions.clone();
                }
            }
        }
        presence
    }
}
