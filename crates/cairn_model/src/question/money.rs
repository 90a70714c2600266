//! Metrics of orders, refunds and costs: each has one definition, written here once.
//!
//! Guarantees: a store only counts [`Sum`]s; everything that is divided or subtracted is made from them here, in whole
//! numbers, rounded once, half away from zero. Amounts are in the site's currency. It does not know where costs come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::answer::Figure;
use crate::currency::minor_unit_decimals;
use crate::question::{Asked, Dimension, Field, Filter, Metric, Page, Question, TimeUnit};
use crate::rates::{Pricing, divided};

/// The event that is an order.
pub const PURCHASE: &str = "purchase";
/// The event that gives back a part of an order.
pub const REFUND: &str = "refund";
/// The event that takes back a whole order.
pub const CANCELLATION: &str = "order_cancelled";
/// Decimals in which costs are kept.
pub const COST_DECIMALS: u32 = 6;
/// Decimals of amounts and ratios in answers.
const ANSWER_DECIMALS: u32 = 4;

/// What a store counts. Amounts are minor units of the site's currency, each order converted at its own day's rate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sum {
    /// Events that convert a goal where goals are asked for, otherwise orders.
    Conversions,
    /// Purchases, but for repetitions of an order.
    Orders,
    /// Orders with an amount that could be converted.
    PricedOrders,
    /// Amounts of these.
    Revenue,
    /// What of these amounts was given back, whenever that was; never more than the order's amount.
    Refunds,
}

/// A metric of money.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Money {
    /// [`Sum::Conversions`].
    Conversions,
    /// [`Sum::Orders`].
    Orders,
    /// [`Sum::Revenue`].
    Revenue,
    /// [`Sum::Refunds`].
    Refunds,
    /// Revenue less refunds.
    NetRevenue,
    /// Revenue of an order that has an amount.
    AverageOrderValue,
    /// What was paid for advertising.
    Cost,
    /// Clicks that the cost table tells of.
    CostClicks,
    /// Impressions that the cost table tells of.
    CostImpressions,
    /// Cost of a conversion.
    CostPerConversion,
    /// Cost of a click.
    CostPerClick,
    /// Revenue for each unit of cost.
    Roas,
    /// What was earned beyond the cost, for each unit of it.
    Roi,
}

impl Money {
    /// Every one.
    pub const ALL: [Money; 13] = [
        Money::Conversions,
        Money::Orders,
        Money::Revenue,
        Money::Refunds,
        Money::NetRevenue,
        Money::AverageOrderValue,
        Money::Cost,
        Money::CostClicks,
        Money::CostImpressions,
        Money::CostPerConversion,
        Money::CostPerClick,
        Money::Roas,
        Money::Roi,
    ];

    /// Its name in the language.
    pub fn name(self) -> &'static str {
        match self {
            Money::Conversions => "conversions",
            Money::Orders => "orders",
            Money::Revenue => "revenue",
            Money::Refunds => "refunds",
            Money::NetRevenue => "net_revenue",
            Money::AverageOrderValue => "average_order_value",
            Money::Cost => "cost",
            Money::CostClicks => "cost_clicks",
            Money::CostImpressions => "cost_impressions",
            Money::CostPerConversion => "cost_per_conversion",
            Money::CostPerClick => "cost_per_click",
            Money::Roas => "roas",
            Money::Roi => "roi",
        }
    }

    /// What of the store it is made from.
    pub fn sums(self) -> &'static [Sum] {
        match self {
            Money::Conversions | Money::CostPerConversion => &[Sum::Conversions],
            Money::Orders => &[Sum::Orders],
            Money::Revenue | Money::Roas => &[Sum::Revenue],
            Money::Refunds => &[Sum::Refunds],
            Money::NetRevenue | Money::Roi => &[Sum::Revenue, Sum::Refunds],
            Money::AverageOrderValue => &[Sum::Revenue, Sum::PricedOrders],
            Money::Cost | Money::CostClicks | Money::CostImpressions | Money::CostPerClick => &[],
        }
    }

    /// It counts; the others are amounts and ratios.
    pub fn is_count(self) -> bool {
        matches!(
            self,
            Money::Conversions | Money::Orders | Money::CostClicks | Money::CostImpressions
        )
    }

    /// It needs the table of costs.
    pub fn needs_cost(self) -> bool {
        !matches!(
            self,
            Money::Conversions
                | Money::Orders
                | Money::Revenue
                | Money::Refunds
                | Money::NetRevenue
                | Money::AverageOrderValue
        )
    }

    /// Its definition: the one place that divides and subtracts.
    pub fn figure(self, of: &Account<'_>) -> Figure {
        let sum = |sum: Sum| of.sums.get(&sum).copied().unwrap_or_default();
        let micros = |sum_of: Sum| i128::from(sum(sum_of)) * of.micros_per_minor();
        let net = || micros(Sum::Revenue) - micros(Sum::Refunds);
        let spent = of.spent;
        let of_spent = |figure: &dyn Fn(Spent) -> Figure| spent.map_or(Figure::Missing, figure);
        match self {
            Money::Conversions => Figure::Whole(sum(Sum::Conversions)),
            Money::Orders => Figure::Whole(sum(Sum::Orders)),
            Money::Revenue => amount(micros(Sum::Revenue), 1),
            Money::Refunds => amount(micros(Sum::Refunds), 1),
            Money::NetRevenue => amount(net(), 1),
            Money::AverageOrderValue => amount(micros(Sum::Revenue), sum(Sum::PricedOrders)),
            Money::Cost => of_spent(&|spent| amount(spent.micros, 1)),
            Money::CostClicks => of_spent(&|spent| Figure::Whole(spent.clicks)),
            Money::CostImpressions => of_spent(&|spent| Figure::Whole(spent.impressions)),
            Money::CostPerConversion => {
                of_spent(&|spent| amount(spent.micros, sum(Sum::Conversions)))
            }
            Money::CostPerClick => of_spent(&|spent| amount(spent.micros, spent.clicks)),
            Money::Roas => of_spent(&|spent| ratio(micros(Sum::Revenue), spent.micros)),
            Money::Roi => of_spent(&|spent| ratio(net() - spent.micros, spent.micros)),
        }
    }
}

/// Millionths divided by a count, as an amount; missing where there is nothing to divide by.
fn amount(micros: i128, count: i64) -> Figure {
    let unit = 10_i128.pow(COST_DECIMALS - ANSWER_DECIMALS);
    match count {
        0 => Figure::Missing,
        count => Figure::Amount(divided(micros, i128::from(count) * unit)),
    }
}

fn ratio(part: i128, whole: i128) -> Figure {
    let scale = 10_i128.pow(ANSWER_DECIMALS);
    match whole {
        ..=0 => Figure::Missing,
        _ => Figure::TenThousandths(divided(part.saturating_mul(scale), whole)),
    }
}

/// What was spent, brought into the site's currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spent {
    /// Cost in millionths of the main unit.
    pub micros: i128,
    /// Clicks.
    pub clicks: i64,
    /// Impressions.
    pub impressions: i64,
}

impl Spent {
    /// Both together.
    pub fn add(&mut self, other: Spent) {
        self.micros = self.micros.saturating_add(other.micros);
        self.clicks = self.clicks.saturating_add(other.clicks);
        self.impressions = self.impressions.saturating_add(other.impressions);
    }
}

/// What one row's metrics of money are made from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account<'a> {
    /// What the store counted; what is not there is 0.
    pub sums: BTreeMap<Sum, i64>,
    /// What was spent; `None`: it cannot be told for this row.
    pub spent: Option<Spent>,
    /// ISO 4217 code of the site's currency.
    pub currency: &'a str,
}

impl Account<'_> {
    fn micros_per_minor(&self) -> i128 {
        10_i128.pow(COST_DECIMALS.saturating_sub(minor_unit_decimals(self.currency)))
    }
}

/// Why costs cannot be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CostProblem {
    /// A filter asks for something that costs do not have.
    Filter,
    /// Rows are about something that costs do not have.
    Dimension,
    /// Costs are of whole days of the site's zone, and the range is not.
    Range,
}

impl CostProblem {
    /// Its stable code.
    pub fn code(self) -> &'static str {
        match self {
            CostProblem::Filter => "costs_cannot_be_filtered",
            CostProblem::Dimension => "costs_cannot_be_grouped",
            CostProblem::Range => "costs_are_of_whole_days",
        }
    }

    /// What may be shown.
    pub fn text(self) -> &'static str {
        match self {
            CostProblem::Filter => {
                "Costs are known by source, channel and campaign only: take other filters away"
            }
            CostProblem::Dimension => {
                "Costs are known by day, source, channel and campaign only: group by these"
            }
            CostProblem::Range => "Costs are known by day only: ask for whole days",
        }
    }
}

/// The values of visits that costs know, too.
pub const COST_FIELDS: [Field; 7] = [
    Field::Source,
    Field::Channel,
    Field::UtmSource,
    Field::UtmMedium,
    Field::UtmCampaign,
    Field::UtmContent,
    Field::UtmTerm,
];

fn is_of_costs(dimension: &Dimension) -> bool {
    matches!(dimension, Dimension::Visit(field) if COST_FIELDS.contains(field))
}

fn costs_can_answer(filter: &Filter) -> bool {
    match filter {
        Filter::Test(test) => is_of_costs(&test.subject),
        Filter::And(members) | Filter::Or(members) => members.iter().all(costs_can_answer),
        Filter::Not(member) => costs_can_answer(member),
        Filter::Done { .. } => false,
    }
}

impl Asked {
    /// The metrics of money asked for.
    pub fn money(&self) -> impl Iterator<Item = Money> {
        self.metrics.iter().filter_map(|metric| match metric {
            Metric::Money(money) => Some(*money),
            _ => None,
        })
    }

    /// Whether goals say what a conversion is.
    pub fn converts_goals(&self) -> bool {
        self.dimensions.contains(&Dimension::Goal) || self.goals_filtered().is_some()
    }

    /// Filters that costs have to pass. Those on goals say what is counted of the visits, not what was paid for them.
    pub fn cost_filters(&self) -> impl Iterator<Item = &Filter> {
        self.filters.iter().filter(|filter| filter.as_goal_test().is_none())
    }

    /// Why costs cannot be told, where they are asked for.
    pub fn cost_problem(&self) -> Option<CostProblem> {
        if !self.money().any(Money::needs_cost) {
            return None;
        }
        let by_day =
            |one: &Dimension| matches!(one, Dimension::Time(unit) if *unit != TimeUnit::Hour);
        if !self.cost_filters().all(costs_can_answer) {
            return Some(CostProblem::Filter);
        }
        if !self.dimensions.iter().all(|one| by_day(one) || is_of_costs(one)) {
            return Some(CostProblem::Dimension);
        }
        (!self.whole_days).then_some(CostProblem::Range)
    }

    /// The sums that a store has to count, each once.
    pub fn sums(&self) -> Vec<Sum> {
        let mut sums: Vec<Sum> = self.money().flat_map(Money::sums).copied().collect();
        sums.sort_unstable();
        sums.dedup();
        sums
    }
}

impl Question {
    /// The same question as a store answers it: sums in place of what is made of them, all rows in no order asked for. The
    /// sums follow the other metrics. `metrics` may be empty: then there is nothing to ask a store.
    pub fn counted(&self, pricing: Arc<Pricing>) -> Question {
        let mut asked = self.0.clone();
        asked.metrics.retain(|metric| !matches!(metric, Metric::Money(_)));
        asked.metrics.extend(self.sums().into_iter().map(Metric::Sum));
        asked.order_by.clear();
        asked.page = Page { limit: None, offset: 0 };
        asked.include.total_rows = false;
        asked.pricing = Some(pricing);
        Question(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(spent: Option<Spent>) -> Account<'static> {
        let sums = BTreeMap::from([
            (Sum::Conversions, 3),
            (Sum::Orders, 4),
            (Sum::PricedOrders, 3),
            (Sum::Revenue, 10_000),
            (Sum::Refunds, 2_500),
        ]);
        Account { sums, spent, currency: "EUR" }
    }

    #[test]
    fn every_definition_is_what_it_says() {
        let spent = Spent { micros: 33_333_333, clicks: 7, impressions: 900 };
        let figure = |money: Money| money.figure(&account(Some(spent)));
        let expected = [
            (Money::Conversions, Figure::Whole(3)),
            (Money::Orders, Figure::Whole(4)),
            (Money::Revenue, Figure::Amount(1_000_000)),
            (Money::Refunds, Figure::Amount(250_000)),
            (Money::NetRevenue, Figure::Amount(750_000)),
            // 100.00 / 3
            (Money::AverageOrderValue, Figure::Amount(333_333)),
            // 33.333333
            (Money::Cost, Figure::Amount(333_333)),
            (Money::CostClicks, Figure::Whole(7)),
            (Money::CostImpressions, Figure::Whole(900)),
            (Money::CostPerConversion, Figure::Amount(111_111)),
            (Money::CostPerClick, Figure::Amount(47_619)),
            // 100 / 33.333333 = 3.00000003
            (Money::Roas, Figure::TenThousandths(30_000)),
            // (75 - 33.333333) / 33.333333 = 1.2500000225
            (Money::Roi, Figure::TenThousandths(12_500)),
        ];
        for (money, expected) in expected {
            assert_eq!(figure(money), expected, "{}", money.name());
            assert_eq!(money.is_count(), matches!(expected, Figure::Whole(_)), "{}", money.name());
        }
        assert_eq!(expected.len(), Money::ALL.len());
    }

    #[test]
    fn nothing_is_divided_by_nothing_and_losses_are_negative() {
        let none =
            Account { sums: BTreeMap::new(), spent: Some(Spent::default()), currency: "JPY" };
        for money in Money::ALL {
            let expected = match money {
                Money::Conversions | Money::Orders | Money::CostClicks | Money::CostImpressions => {
                    Figure::Whole(0)
                }
                Money::Revenue | Money::Refunds | Money::NetRevenue | Money::Cost => {
                    Figure::Amount(0)
                }
                _ => Figure::Missing,
            };
            assert_eq!(money.figure(&none), expected, "{}", money.name());
        }
        for money in Money::ALL {
            let told = money.figure(&account(None)) != Figure::Missing;
            assert_eq!(told, !money.needs_cost(), "{}", money.name());
        }
        let dear = Spent { micros: 100_000_000, clicks: 0, impressions: 0 };
        assert_eq!(Money::Roi.figure(&account(Some(dear))), Figure::TenThousandths(-2_500));
    }
}
