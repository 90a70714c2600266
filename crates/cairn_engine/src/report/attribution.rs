//! Attribution as a report: from a body to channels by models, side by side, and the paths behind them.
//!
//! Guarantees: what was cut or put together is told; rounded credits add up to the rounded total, to the last digit shown.

use std::collections::BTreeMap;

use cairn_model::question::attribution::{PATHS_MAX, TOUCHES_MAX};
use cairn_model::question::labels::text_label;
use cairn_model::question::revenue::{minor_unit_decimals, thousandths};
use cairn_model::question::{AttributionQuestion, Dimension, Field};
use cairn_model::touches::{Touch, TouchKind, TouchPath, TouchPaths};
use cairn_store::EventStore;
use serde_json::{Map, Value, json};

use super::{QueryError, ReportSite, invalid, money};
use crate::attribution::{Credit, Journey, Journeys, Model};

/// Channels that models tell apart; the less frequent ones are put together, by their kind.
pub const CHANNELS_MAX: usize = 200;
/// Paths of one page, unless asked otherwise.
const PATHS_PER_PAGE: u64 = 20;
/// Most paths of one page.
const PATHS_PER_PAGE_MAX: u64 = 1_000;
/// Credits of conversions are told in ten-thousandths.
const CREDIT_UNITS: f64 = 10_000.0;
const HOUR_MS: f64 = 3_600_000.0;

/// A channel: a touch as it is told apart, or the rest of its kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Channel {
    Of(Touch),
    Others(TouchKind),
}

/// What is to be answered besides the question itself.
struct Wanted {
    models: Vec<Model>,
    limit: u64,
    offset: u64,
}

/// All that an answer is made from.
struct Report<'a> {
    asked: &'a AttributionQuestion,
    found: &'a TouchPaths,
    channels: Vec<Channel>,
    /// Channels that were put together.
    merged: usize,
    journeys: Journeys<f64>,
}

/// Answers a body: `channels`, `totals`, `models`, `paths`, `bounds` and `query`.
pub fn attribution(
    store: &dyn EventStore,
    site: ReportSite<'_>,
    currency: &str,
    body: &Value,
    now_ms: i64,
) -> Result<Value, QueryError> {
    let asking = site.asking(store, &body["date_range"], now_ms)?;
    let asked = AttributionQuestion::parse(body, &asking, currency)?;
    let wanted = wanted(body)?;
    let found = store.touch_paths(&asked)?;
    Ok(Report::of(&asked, &found).answer(body, &wanted))
}

fn wanted(body: &Value) -> Result<Wanted, QueryError> {
    let models = match body.get("models") {
        None | Some(Value::Null) => Model::ALL.to_vec(),
        Some(models) => parse_models(models)?,
    };
    let (mut limit, mut offset) = (PATHS_PER_PAGE, 0);
    let page = match body.get("pagination") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(page)) => page.clone(),
        Some(_) => {
            return Err(invalid("#/pagination: pagination has to be an object", "#/pagination"));
        }
    };
    for (key, value) in &page {
        let pointer = format!("#/pagination/{}", key.chars().take(64).collect::<String>());
        let (place, range) = match key.as_str() {
            "limit" => (&mut limit, 1..=PATHS_PER_PAGE_MAX),
            "offset" => (&mut offset, 0..=u64::from(PATHS_MAX)),
            _ => {
                let why = format!("{pointer}: there are limit and offset here");
                return Err(invalid(&why, &pointer));
            }
        };
        *place = value.as_u64().filter(|number| range.contains(number)).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            let why = format!("{pointer}: it has to be a whole number from {least} to {most}");
            invalid(&why, &pointer)
        })?;
    }
    Ok(Wanted { models, limit, offset })
}

fn parse_models(value: &Value) -> Result<Vec<Model>, QueryError> {
    let names = Model::ALL.map(Model::name).join(", ");
    let list = value.as_array().filter(|list| !list.is_empty()).ok_or_else(|| {
        let why = format!("#/models: models has to be a list of at least one of {names}");
        invalid(&why, "#/models")
    })?;
    let mut models = Vec::new();
    for (index, name) in list.iter().enumerate() {
        let pointer = format!("#/models/{index}");
        let model = name.as_str().and_then(Model::named);
        let model = model.filter(|model| !models.contains(model)).ok_or_else(|| {
            invalid(&format!("{pointer}: it has to be another one of {names}"), &pointer)
        })?;
        models.push(model);
    }
    Ok(models)
}

/// Whole numbers next to these that add up to `total`: the ones with the largest remainders are rounded up.
fn apportioned(numbers: &[f64], total: i64) -> Vec<i64> {
    let mut parts: Vec<i64> = numbers.iter().map(|number| number.floor() as i64).collect();
    let left = total - parts.iter().sum::<i64>();
    let mut by_remainder: Vec<usize> = (0..numbers.len()).collect();
    let remainder = |place: usize| numbers[place] - numbers[place].floor();
    by_remainder.sort_by(|left, right| remainder(*right).total_cmp(&remainder(*left)));
    for place in by_remainder.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        parts[place] += 1;
    }
    parts
}

/// Credits of one model as they are shown: conversions in ten-thousandths, amounts in thousandths of the main unit.
struct Shown {
    conversions: Vec<i64>,
    revenue: Vec<i64>,
}

impl<'a> Report<'a> {
    fn of(asked: &'a AttributionQuestion, found: &'a TouchPaths) -> Report<'a> {
        let mut touched: BTreeMap<&Touch, u64> = BTreeMap::new();
        for path in &found.paths {
            for touch in &path.touches {
                *touched.entry(touch).or_default() += path.conversions + path.without;
            }
        }
        let mut touches: Vec<(&Touch, u64)> = touched.into_iter().collect();
        touches.sort_by_key(|(touch, count)| (std::cmp::Reverse(*count), *touch));
        let mut numbers: BTreeMap<Touch, usize> = BTreeMap::new();
        let mut channels: Vec<Channel> = Vec::new();
        for (place, (touch, _)) in touches.iter().enumerate() {
            let is_own = place < CHANNELS_MAX || touch.kind == TouchKind::Direct;
            let channel = match is_own {
                true => Channel::Of((*touch).clone()),
                false => Channel::Others(touch.kind),
            };
            let known = channels.iter().position(|known| *known == channel);
            let number = known.unwrap_or_else(|| {
                channels.push(channel);
                channels.len() - 1
            });
            numbers.insert((*touch).clone(), number);
        }
        let merged =
            numbers.len() - channels.iter().filter(|one| matches!(one, Channel::Of(_))).count();
        let is_direct = |channel: &Channel| {
            matches!(channel, Channel::Of(Touch { kind: TouchKind::Direct, .. }))
        };
        let is_direct = channels.iter().map(is_direct).collect();
        let journeys = found.paths.iter().map(|path| journey(path, &numbers)).collect();
        let journeys = Journeys { is_direct, journeys };
        Report { asked, found, channels, merged, journeys }
    }

    fn answer(&self, body: &Value, wanted: &Wanted) -> Value {
        let mut query = self.asked.echo(body);
        query["models"] = json!(wanted.models.iter().map(|model| model.name()).collect::<Vec<_>>());
        query["pagination"] = json!({"limit": wanted.limit, "offset": wanted.offset});
        let model = |model: &Model| {
            // Whatever is too much is refused or cut, and told; nothing is estimated from a sample.
            json!({"model": model.name(), "exact": true, "method": model.method()})
        };
        json!({
            "channels": self.channels(&wanted.models),
            "totals": self.totals(),
            "models": wanted.models.iter().map(model).collect::<Vec<_>>(),
            "paths": self.paths(wanted),
            "bounds": self.bounds(),
            "query": query,
        })
    }

    fn currency(&self) -> &str {
        &self.asked.terms().currency
    }

    fn money(&self, thousandths: i64) -> Value {
        money::shown(thousandths, self.currency())
    }

    fn amount(&self, minor: i128) -> Value {
        self.money(thousandths(minor, self.currency(), 1))
    }

    /// Conversions and amounts of the paths that were kept.
    fn kept(&self) -> (u64, i128) {
        let paths = &self.found.paths;
        let conversions = paths.iter().map(|path| path.conversions).sum();
        (conversions, paths.iter().map(|path| path.value_minor).sum())
    }

    fn totals(&self) -> Value {
        let found = self.found;
        json!({
            "conversions": found.conversions,
            "revenue": self.amount(found.value_minor),
            "people_without_conversion": found.without,
            "anonymous_conversions": found.anonymous,
            "other_currency_conversions": found.other_currency,
        })
    }

    fn bounds(&self) -> Value {
        let (conversions, value_minor) = self.kept();
        json!({
            "paths_max": PATHS_MAX,
            "paths_cut": self.found.paths_total - self.found.paths.len() as u64,
            "conversions_cut": self.found.conversions - conversions,
            "revenue_cut": self.amount(self.found.value_minor - value_minor),
            "touches_max": TOUCHES_MAX,
            "conversions_shortened": self.found.shortened,
            "channels_max": CHANNELS_MAX,
            "channels_merged": self.merged,
        })
    }

    fn shown(&self, credits: &[Credit<f64>]) -> Shown {
        let (conversions, value_minor) = self.kept();
        let units: Vec<f64> =
            credits.iter().map(|credit| credit.conversions * CREDIT_UNITS).collect();
        let all = i64::try_from(conversions).unwrap_or(i64::MAX);
        let per_minor = 1000.0 / 10_f64.powi(minor_unit_decimals(self.currency()) as i32);
        let amounts: Vec<f64> = credits.iter().map(|credit| credit.value * per_minor).collect();
        Shown {
            conversions: apportioned(&units, all.saturating_mul(CREDIT_UNITS as i64)),
            revenue: apportioned(&amounts, thousandths(value_minor, self.currency(), 1)),
        }
    }

    /// Rows of the table, those first that the first model credits most.
    fn channels(&self, models: &[Model]) -> Vec<Value> {
        let shown: Vec<Shown> =
            models.iter().map(|model| self.shown(&self.journeys.credit(*model))).collect();
        let presence = self.journeys.presence();
        let mut order: Vec<usize> = (0..self.channels.len()).collect();
        let first = |channel: usize| shown.first().map_or(0, |first| first.conversions[channel]);
        order.sort_by_key(|channel| {
            (std::cmp::Reverse(first(*channel)), self.channels[*channel].clone())
        });
        let row = |channel: usize| {
            let conversions = |shown: &Shown| shown.conversions[channel] as f64 / CREDIT_UNITS;
            let mut credits = Map::new();
            for (model, shown) in models.iter().zip(&shown) {
                let revenue = self.money(shown.revenue[channel]);
                let credit = json!({"conversions": conversions(shown), "revenue": revenue});
                credits.insert(model.name().to_owned(), credit);
            }
            let all = shown.iter().map(conversions);
            let range = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), one| {
                (least.min(one), most.max(one))
            });
            let revenues = || shown.iter().map(|shown| shown.revenue[channel]);
            let revenue =
                [revenues().min(), revenues().max()].map(|one| self.money(one.unwrap_or(0)));
            let (name, via) = self.named(&self.channels[channel]);
            let (touched, assisted) = presence[channel];
            json!({
                "channel": name,
                "via": via,
                "credits": credits,
                "range": {"conversions": [range.0, range.1], "revenue": revenue},
                "touched_conversions": touched as u64,
                "assisted_conversions": assisted as u64,
            })
        };
        order.into_iter().map(row).collect()
    }

    fn paths(&self, wanted: &Wanted) -> Value {
        let skipped = usize::try_from(wanted.offset).unwrap_or(usize::MAX);
        let page = self.found.paths.iter().skip(skipped).take(wanted.limit as usize);
        let path = |path: &TouchPath| {
            let touch = |touch: &Touch| {
                let (channel, via) = self.named(&Channel::Of(touch.clone()));
                json!({"channel": channel, "via": via})
            };
            let mean_ms = path.duration_ms as f64 / path.conversions as f64;
            let mean_hours =
                (path.conversions > 0).then(|| (mean_ms / HOUR_MS * 10.0).round() / 10.0);
            json!({
                "touches": path.touches.iter().map(touch).collect::<Vec<_>>(),
                "conversions": path.conversions,
                "revenue": self.amount(path.value_minor),
                "people_without_conversion": path.without,
                "mean_hours": mean_hours,
            })
        };
        json!({"results": page.map(path).collect::<Vec<_>>(), "total": self.found.paths.len()})
    }

    /// What a channel is called, and whether people came by it or only saw it.
    fn named(&self, channel: &Channel) -> (String, &'static str) {
        let via = |kind: TouchKind| if kind == TouchKind::View { "view" } else { "visit" };
        let touch = match channel {
            Channel::Others(kind) => return ("(other)".to_owned(), via(*kind)),
            Channel::Of(touch) => touch,
        };
        let field = self.asked.terms().field;
        let name = match (touch.kind, touch.value.as_str()) {
            (TouchKind::Direct, _) if field == Field::Channel => "Direct".to_owned(),
            (TouchKind::Direct, _) => Field::Source.missing_label().to_owned(),
            (_, "") => "(not set)".to_owned(),
            (_, value) => text_label(&Dimension::Visit(field), value).into_owned(),
        };
        (name, via(touch.kind))
    }
}

fn journey(path: &TouchPath, numbers: &BTreeMap<Touch, usize>) -> Journey<f64> {
    Journey {
        touches: path.touches.iter().filter_map(|touch| numbers.get(touch).copied()).collect(),
        conversions: path.conversions as f64,
        value: path.value_minor as f64,
        without: path.without as f64,
        decay: path.decay.clone(),
        decay_value: path.decay_value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounded_parts_add_up_and_are_next_to_what_they_stand_for(
            numbers in prop::collection::vec(-1000.0..100_000.0f64, 1..20),
        ) {
            let total = numbers.iter().sum::<f64>().round() as i64;
            let parts = apportioned(&numbers, total);
            let sum: i64 = parts.iter().sum();
            prop_assert_eq!(sum, total);
            prop_assert!(numbers.iter().zip(&parts).all(|(number, part)| (*part as f64 - number).abs() <= 1.0));
        }
    }

    #[test]
    fn rounded_parts_of_a_whole_are_the_whole() {
        assert_eq!(apportioned(&[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0], 1), [1, 0, 0]);
        assert_eq!(apportioned(&[2.5, 2.5, -1.0], 4), [3, 2, -1]);
        assert_eq!(apportioned(&[0.0, 0.0], 0), [0, 0]);
    }
}
