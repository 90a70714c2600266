//! The given vectors, exactly; and what must hold for any journeys.

use std::path::PathBuf;

use cairn_model::touches::decay_shares;
use proptest::prelude::*;
use serde_json::Value;

use super::fraction::Fraction;
use super::{Credit, Journey, Journeys, Model, Number, removal_effects};

const CHANNELS: [&str; 5] = ["search", "email", "social", "display", "direct"];
/// Figures of the vectors have ten decimals.
const LAST_DECIMAL: f64 = 6e-11;
const DAY_MS: f64 = 86_400_000.0;

/// The vectors, or `None` with a word about it where they are missing.
fn vectors(test: &str) -> Option<Value> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("CAIRN_SHARED_DATA").map_or(beside, PathBuf::from);
    let path = data.join("../vectors/attribution.json");
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("NOT RUN: {test}: {} is missing", path.display());
        return None;
    };
    Some(serde_json::from_slice(&bytes).unwrap())
}

fn journeys<N: Number>(vectors: &Value) -> Journeys<N> {
    let number = |value: &Value| N::of(value.as_i64().unwrap());
    let journey = |path: &Value| Journey {
        touches: path["path"].as_array().unwrap().iter().map(channel).collect(),
        conversions: number(&path["conversions"]),
        value: number(&path["value"]),
        without: number(&path["nulls"]),
        decay: Vec::new(),
        decay_value: Vec::new(),
    };
    Journeys {
        is_direct: CHANNELS.iter().map(|name| *name == "direct").collect(),
        journeys: vectors["paths"].as_array().unwrap().iter().map(journey).collect(),
    }
}

fn channel(name: &Value) -> usize {
    CHANNELS.iter().position(|known| *known == name.as_str().unwrap()).unwrap()
}

fn exact(pair: &Value) -> Fraction {
    Fraction::new(pair[0].as_i64().unwrap().into(), pair[1].as_i64().unwrap().into())
}

fn assert_near(found: f64, wanted: &Value, what: &str) {
    let wanted = wanted.as_f64().unwrap();
    assert!((found - wanted).abs() <= LAST_DECIMAL, "{what}: {found} instead of {wanted}");
}

#[test]
fn rules_give_the_wanted_figures() {
    let Some(vectors) = vectors("rules_give_the_wanted_figures") else { return };
    let journeys = journeys::<f64>(&vectors);
    let wanted = &vectors["heuristic"];
    for (model, name) in [
        (Model::First, "first"),
        (Model::Last, "last"),
        (Model::LastNonDirect, "last_non_direct"),
        (Model::Linear, "linear"),
        (Model::PositionBased, "position_40_20_40"),
    ] {
        for (credit, channel) in journeys.credit(model).iter().zip(CHANNELS) {
            assert_near(credit.conversions, &wanted[name][channel], &format!("{name} {channel}"));
        }
    }
    for row in vectors["cross_check"]["heuristic_models"].as_array().unwrap() {
        let channel = channel(&row["channel_name"]);
        for (model, key) in [
            (Model::First, "first_touch_value"),
            (Model::Last, "last_touch_value"),
            (Model::Linear, "linear_touch_value"),
        ] {
            assert_near(journeys.credit(model)[channel].value, &row[key], key);
        }
    }
}

#[test]
fn time_decay_gives_the_wanted_shares() {
    let Some(vectors) = vectors("time_decay_gives_the_wanted_shares") else { return };
    let half_life_ms = vectors["time_decay"]["half_life_days"].as_f64().unwrap() * DAY_MS;
    let examples = vectors["time_decay"]["examples"].as_array().unwrap();
    assert!(!examples.is_empty());
    for example in examples {
        let ages = example["ages_days"].as_array().unwrap().iter();
        let ages_ms: Vec<i64> = ages.map(|days| (days.as_f64().unwrap() * DAY_MS) as i64).collect();
        let wanted = example["credit"].as_array().unwrap();
        let shares = decay_shares(&ages_ms, half_life_ms as i64);
        assert_eq!(shares.len(), wanted.len());
        for (share, wanted) in shares.into_iter().zip(wanted) {
            assert_near(share, wanted, "time decay");
        }
    }
}

#[test]
fn removal_effects_are_the_wanted_fractions() {
    let Some(vectors) = vectors("removal_effects_are_the_wanted_fractions") else { return };
    let wanted = &vectors["markov_order1"];
    let effects = removal_effects(&journeys::<Fraction>(&vectors)).unwrap();
    assert_eq!(effects.conversion, exact(&wanted["p_conversion"]));
    let floating = journeys::<f64>(&vectors);
    let (in_floats, credits) =
        (removal_effects(&floating).unwrap(), floating.credit(Model::Markov));
    for (channel, name) in CHANNELS.iter().enumerate() {
        let fraction = exact(&wanted["removal_effect_exact"][name]);
        assert_eq!(effects.conversions[channel], fraction, "{name}");
        assert_near(in_floats.conversions[channel], &wanted["removal_effect"][name], name);
        assert_near(credits[channel].conversions, &wanted["credit_conversions"][name], name);
    }
    // Another library finds effects on amounts by drawing journeys: nearly the same.
    for row in vectors["cross_check"]["removal_effects"].as_array().unwrap() {
        let drawn = row["removal_effects_conversion_value"].as_f64().unwrap();
        let found = in_floats.value[channel(&row["channel_name"])];
        assert!((found / drawn - 1.0).abs() < 0.05, "{row}: {found}");
    }
}

#[test]
fn shapley_values_are_the_wanted_fractions() {
    let Some(vectors) = vectors("shapley_values_are_the_wanted_fractions") else { return };
    let credits = journeys::<Fraction>(&vectors).credit(Model::Shapley);
    for (credit, name) in credits.iter().zip(CHANNELS) {
        assert_eq!(credit.conversions, exact(&vectors["shapley"]["exact"][name]), "{name}");
    }
}

/// The Shapley value as it is defined, over all subsets.
fn by_subsets(journeys: &Journeys<f64>) -> Vec<f64> {
    let channels = journeys.channels();
    let set_of =
        |journey: &Journey<f64>| journey.touches.iter().fold(0u32, |set, one| set | 1 << one);
    let worth = |set: u32| -> f64 {
        let within = journeys.journeys.iter().filter(|journey| set_of(journey) & !set == 0);
        within.map(|journey| journey.conversions).sum()
    };
    let factorial = |number: u32| (1..=number).map(f64::from).product::<f64>();
    let all = factorial(channels as u32);
    let of_channel = |channel: usize| {
        let without = (0..1u32 << channels).filter(|set| set & 1 << channel == 0);
        let added = without.map(|set| {
            let orders =
                factorial(set.count_ones()) * factorial(channels as u32 - set.count_ones() - 1);
            orders / all * (worth(set | 1 << channel) - worth(set))
        });
        added.sum()
    };
    (0..channels).map(of_channel).collect()
}

/// Probability of a conversion by going on step by step, with steps into `removed` leading nowhere.
fn by_steps(journeys: &Journeys<f64>, removed: Option<usize>) -> f64 {
    let channels = journeys.channels();
    let (start, end) = (channels, channels + 1);
    let mut counts = vec![vec![0.0; channels + 3]; channels + 1];
    for journey in &journeys.journeys {
        let mut at = start;
        for touch in &journey.touches {
            counts[at][*touch] += journey.conversions + journey.without;
            at = *touch;
        }
        counts[at][end] += journey.conversions;
        counts[at][end + 1] += journey.without;
    }
    let mut here = vec![0.0; channels + 1];
    here[start] = 1.0;
    let mut converted = 0.0;
    for _ in 0..2_000 {
        let mut next = vec![0.0; channels + 1];
        for (from, share) in here.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            let total: f64 = counts[from].iter().sum();
            converted += share * counts[from][end] / total;
            for to in (0..channels).filter(|to| Some(*to) != removed) {
                next[to] += share * counts[from][to] / total;
            }
        }
        here = next;
    }
    converted
}

const MOST: usize = 5;

prop_compose! {
    fn any_journey()(
        touches in prop::collection::vec(0..MOST - 1, 1..6),
        (conversions, without) in (0..50u32, 0..50u32),
        value in 0..100_000u32,
        ages in prop::collection::vec(0..40i64, 6),
    ) -> Journey<f64> {
        // Whoever is counted did one or the other.
        let conversions = f64::from(if without == 0 { conversions.max(1) } else { conversions });
        let value = if conversions == 0.0 { 0.0 } else { f64::from(value) };
        let ages_ms: Vec<i64> = ages[..touches.len()].iter().map(|age| age * 86_400_000).collect();
        let shares = decay_shares(&ages_ms, 7 * 86_400_000);
        let weighted = |by: f64| shares.iter().map(|share| share * by).collect();
        let (decay, decay_value) = (weighted(conversions), weighted(value));
        Journey { touches, conversions, value, without: f64::from(without), decay, decay_value }
    }
}

prop_compose! {
    /// Channel 0 is direct, the last channel is in no journey.
    fn any_journeys()(journeys in prop::collection::vec(any_journey(), 1..8)) -> Journeys<f64> {
        Journeys { is_direct: (0..MOST).map(|channel| channel == 0).collect(), journeys }
    }
}

fn near(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-7 * left.abs().max(1.0)
}

fn totals(credits: &[Credit<f64>]) -> (f64, f64) {
    let conversions = credits.iter().map(|credit| credit.conversions).sum();
    (conversions, credits.iter().map(|credit| credit.value).sum())
}

/// The same journeys with channels 1 and 2 in each other's place.
fn exchanged(journeys: &Journeys<f64>) -> Journeys<f64> {
    let mut exchanged = journeys.clone();
    for touch in exchanged.journeys.iter_mut().flat_map(|journey| &mut journey.touches) {
        *touch = [0, 2, 1, 3, 4][*touch];
    }
    exchanged
}

proptest! {
    #[test]
    fn models_hand_out_all_and_nothing_else(journeys in any_journeys()) {
        let conversions: f64 = journeys.journeys.iter().map(|journey| journey.conversions).sum();
        let value: f64 = journeys.journeys.iter().map(|journey| journey.value).sum();
        for model in Model::ALL {
            let credits = journeys.credit(model);
            let (of_conversions, of_value) = totals(&credits);
            prop_assert!(near(of_conversions, conversions), "{model:?}: {of_conversions}");
            prop_assert!(near(of_value, value), "{model:?}: {of_value} of {value}");
            prop_assert_eq!(&credits[MOST - 1], &Credit { conversions: 0.0, value: 0.0 });
            prop_assert!(credits.iter().all(|credit| credit.conversions >= -1e-9));
        }
    }

    #[test]
    fn channels_that_play_the_same_part_are_credited_the_same(journeys in any_journeys()) {
        let mut both = journeys.clone();
        both.journeys.extend(exchanged(&journeys).journeys);
        for model in Model::ALL {
            let credits = both.credit(model);
            prop_assert!(near(credits[1].conversions, credits[2].conversions), "{model:?}");
            prop_assert!(near(credits[1].value, credits[2].value), "{model:?}");
        }
    }

    #[test]
    fn names_of_channels_do_not_matter(journeys in any_journeys()) {
        let other = exchanged(&journeys);
        for model in Model::ALL {
            let (mine, theirs) = (journeys.credit(model), other.credit(model));
            prop_assert!(near(mine[1].conversions, theirs[2].conversions), "{model:?}");
            prop_assert!(near(mine[3].conversions, theirs[3].conversions), "{model:?}");
        }
    }

    #[test]
    fn shapley_values_are_those_of_all_subsets(journeys in any_journeys()) {
        let credits = journeys.credit(Model::Shapley);
        for (credit, wanted) in credits.iter().zip(by_subsets(&journeys)) {
            prop_assert!(near(credit.conversions, wanted), "{credit:?} {wanted}");
        }
    }

    #[test]
    fn removing_a_channel_loses_what_its_effect_says(journeys in any_journeys()) {
        let effects = removal_effects(&journeys).unwrap();
        let whole = by_steps(&journeys, None);
        prop_assert!(near(effects.conversion, whole));
        for channel in 0..MOST {
            let lost = whole - by_steps(&journeys, Some(channel));
            prop_assert!(near(effects.conversions[channel] * whole, lost), "{channel}");
        }
    }
}

#[test]
fn amounts_have_removal_effects_of_their_own() {
    let journey = |touch: usize, value: i64| Journey {
        touches: vec![touch],
        conversions: Fraction::of(1),
        value: Fraction::of(value),
        without: Fraction::of(1),
        decay: Vec::new(),
        decay_value: Vec::new(),
    };
    let mut journeys =
        Journeys { is_direct: vec![false, false], journeys: vec![journey(0, 30), journey(1, 10)] };
    let values = |journeys: &Journeys<Fraction>| {
        journeys.credit(Model::Markov).into_iter().map(|credit| credit.value).collect::<Vec<_>>()
    };
    assert_eq!(values(&journeys), [Fraction::of(30), Fraction::of(10)]);
    // With a refund among them the effects on conversions share the amounts out.
    journeys.journeys.push(Journey { value: Fraction::of(-20), ..journey(0, 0) });
    assert_eq!(values(&journeys), [Fraction::new(40, 3), Fraction::new(20, 3)]);
}

#[test]
fn presence_tells_touches_and_assists() {
    let journey = |touches: &[usize], conversions: f64| Journey {
        touches: touches.to_vec(),
        conversions,
        value: 0.0,
        without: 9.0,
        decay: Vec::new(),
        decay_value: Vec::new(),
    };
    let journeys = Journeys {
        is_direct: vec![true, false],
        journeys: vec![journey(&[1, 1, 0], 3.0), journey(&[1, 0, 1], 2.0), journey(&[0], 4.0)],
    };
    assert_eq!(journeys.presence(), [(9.0, 2.0), (5.0, 3.0)]);
}

#[test]
fn nothing_counted_is_nothing_credited() {
    let journeys = Journeys::<f64> { is_direct: vec![false], journeys: Vec::new() };
    for model in Model::ALL {
        assert_eq!(journeys.credit(model), [Credit { conversions: 0.0, value: 0.0 }]);
        assert_eq!(Model::named(model.name()), Some(model));
    }
}
