//! Orders by walking over everything: what the ledger of other backends has to agree with.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::Event;
use cairn_model::answer::{Key, OrderNotes, Unconverted};
use cairn_model::question::money::{CANCELLATION, PURCHASE, REFUND};
use cairn_model::question::{Question, Sum};

use super::State;
use super::walk::{Happening, Thing, Walk};
use crate::plan::Plan;

/// What is known of a purchase.
#[derive(Default)]
pub(super) struct Purchase {
    /// Another one of the same order came before.
    pub(super) repeats: bool,
    /// Amount and what was given back, as they were said.
    pub(super) own: Option<(i64, i64)>,
    /// The same in the answer's currency.
    converted: Option<(i64, i64)>,
}

/// Sums by group.
#[derive(Default)]
pub(super) struct Sums {
    groups: BTreeMap<Vec<Key>, BTreeMap<Sum, i64>>,
    pub(super) notes: Option<OrderNotes>,
}

fn of_order<'a>(
    state: &'a State,
    question: &Question,
    order_id: &str,
) -> impl Iterator<Item = &'a Event<'static>> {
    let (site_id, order_id) = (question.site_id, order_id.to_owned());
    let events = state.rows.iter().map(|row| &row.event);
    events.filter(move |event| event.site_id == site_id && event.order_id == *order_id)
}

/// What of an amount was given back.
fn given_back(state: &State, question: &Question, purchase: &Event<'_>, minor: i64) -> i64 {
    if purchase.order_id.is_empty() {
        return 0;
    }
    let mut given = 0_i128;
    for event in of_order(state, question, &purchase.order_id) {
        if event.name == CANCELLATION {
            return minor;
        }
        if event.name == REFUND && event.currency == purchase.currency {
            given += i128::from(event.value_minor.unwrap_or_default());
        }
    }
    i64::try_from(given.min(i128::from(minor))).unwrap_or(minor)
}

impl Purchase {
    /// What an event says, where it is a purchase.
    pub(super) fn of(
        state: &State,
        question: &Question,
        happening: Happening<'_>,
    ) -> Option<Purchase> {
        let (event, offset) = (&happening.row.event, happening.row.offset);
        if event.name != PURCHASE {
            return None;
        }
        let is_other = |row: &&crate::Row<'_>| {
            row.event.name == PURCHASE
                && row.event.site_id == event.site_id
                && row.event.order_id == event.order_id
                && row.offset < offset
        };
        if !event.order_id.is_empty() && state.rows.iter().find(is_other).is_some() {
            return Some(Purchase { repeats: true, ..Purchase::default() });
        }
        let own = event.value_minor.map(|minor| (minor, given_back(state, question, event, minor)));
        let convert = |minor: i64| {
            let pricing = question.pricing.as_ref()?;
            pricing.converted(minor, &event.currency, event.timestamp_ms)
        };
        let converted = own.and_then(|(minor, given)| Some((convert(minor)?, convert(given)?)));
        Some(Purchase { repeats: false, own, converted })
    }
}

impl Sums {
    /// Counts what the plan asks for.
    pub(super) fn of(state: &State, walk: &Walk<'_>, plan: &Plan<'_>) -> Sums {
        let mut sums = Sums::default();
        if plan.sums.is_empty() {
            return sums;
        }
        let (question, mut notes) = (plan.question, OrderNotes::default());
        let mut unconverted = BTreeMap::<String, Unconverted>::new();
        for happening in walk.kept_anywhere(&plan.filters, plan.engagement, plan.off_site) {
            let purchase = Purchase::of(state, question, happening);
            for keys in walk.keys(question, &question.dimensions, Thing::Event(happening)) {
                sums.add(plan, keys, purchase.as_ref());
            }
            let Some(purchase) = purchase else { continue };
            notes.repeated += u64::from(purchase.repeats);
            if let (Some((minor, given)), None) = (purchase.own, purchase.converted) {
                let currency = happening.row.event.currency.to_string();
                let apart = unconverted.entry(currency.clone()).or_default();
                apart.currency = currency;
                apart.orders += 1;
                apart.minor = apart.minor.saturating_add(minor);
                apart.refunded_minor = apart.refunded_minor.saturating_add(given);
            }
        }
        notes.unconverted = unconverted.into_values().collect();
        notes.unmatched_refunds = unmatched(state, walk, question);
        sums.notes = Some(notes);
        sums
    }

    fn add(&mut self, plan: &Plan<'_>, keys: Vec<Key>, purchase: Option<&Purchase>) {
        let order = purchase.filter(|purchase| !purchase.repeats);
        let converts = plan.converts_goals && plan.sums.contains(&Sum::Conversions);
        if order.is_none() && !converts {
            return;
        }
        let group = self.groups.entry(keys).or_default();
        let mut add = |sum: Sum, amount: i64| {
            let known = group.entry(sum).or_default();
            *known = known.saturating_add(amount);
        };
        add(Sum::Conversions, i64::from(plan.converts_goals || order.is_some()));
        add(Sum::Orders, i64::from(order.is_some()));
        if let Some((minor, given)) = order.and_then(|order| order.converted) {
            add(Sum::PricedOrders, 1);
            add(Sum::Revenue, minor);
            add(Sum::Refunds, given);
        }
    }

    /// Groups that have any.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Vec<Key>> {
        self.groups.keys()
    }

    /// A sum of a group.
    pub(super) fn get(&self, sum: Sum, keys: &Vec<Key>) -> i64 {
        self.groups.get(keys).and_then(|group| group.get(&sum)).copied().unwrap_or_default()
    }
}

/// Refunds of the site and range that changed no order.
fn unmatched(state: &State, walk: &Walk<'_>, question: &Question) -> u64 {
    let changes_nothing = |happening: &&Happening<'_>| {
        let event = &happening.row.event;
        let first = of_order(state, question, &event.order_id).find(|other| other.name == PURCHASE);
        let Some(first) = first.filter(|_| !event.order_id.is_empty()) else { return true };
        event.name == REFUND && event.currency != first.currency
    };
    let names: BTreeSet<&str> = BTreeSet::from([REFUND, CANCELLATION]);
    let refunds =
        walk.everything.iter().filter(|happening| names.contains(&*happening.row.event.name));
    refunds.filter(changes_nothing).count() as u64
}
