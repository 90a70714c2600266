//! Revenue: which currency a row's amounts are in, and why there may be none.

use crate::answer::Key;
pub use crate::currency::minor_unit_decimals;
use crate::question::{Asked, Dimension, Goal};

/// Why a question's amounts cannot be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RevenueProblem {
    /// No revenue goal is selected.
    NoRevenueGoals,
    /// The selected goals have several currencies.
    SeveralCurrencies,
}

impl RevenueProblem {
    /// Its stable code.
    pub fn code(self) -> &'static str {
        match self {
            RevenueProblem::NoRevenueGoals => "no_revenue_goals_matching",
            RevenueProblem::SeveralCurrencies => "no_single_revenue_currency",
        }
    }

    /// What may be shown.
    pub fn text(self) -> &'static str {
        match self {
            RevenueProblem::NoRevenueGoals => {
                "There are no amounts, because no goal with a currency is selected"
            }
            RevenueProblem::SeveralCurrencies => {
                "Amounts in several currencies cannot be added: select goals of one currency"
            }
        }
    }
}

/// An amount in minor units, divided by a count, in thousandths of the main unit; what is smaller is cut.
pub fn thousandths(minor: i128, currency: &str, count: i64) -> i64 {
    let decimals = minor_unit_decimals(currency);
    let divisor = 10_i128.pow(decimals) * i128::from(count.max(1));
    i64::try_from(minor.saturating_mul(1000) / divisor).unwrap_or(i64::MAX)
}

impl Asked {
    fn selected_goals(&self) -> Vec<&Goal> {
        let by_goal = self.dimensions.contains(&Dimension::Goal);
        match self.goals_filtered() {
            Some(selected) => selected.iter().filter_map(|index| self.goals.get(*index)).collect(),
            None if by_goal => self.goals.iter().collect(),
            None => Vec::new(),
        }
    }

    /// The goals whose amounts are meant: those with a currency, of the goals selected.
    pub fn revenue_goals(&self) -> impl Iterator<Item = &Goal> {
        self.selected_goals().into_iter().filter(|goal| !goal.currency.is_empty())
    }

    /// Why the question's amounts cannot be told, where it asks for any.
    pub fn revenue_problem(&self) -> Option<RevenueProblem> {
        if !self.metrics.iter().any(|metric| metric.is_revenue()) {
            return None;
        }
        let mut currencies: Vec<&str> =
            self.revenue_goals().map(|goal| goal.currency.as_str()).collect();
        currencies.sort_unstable();
        currencies.dedup();
        match currencies.len() {
            0 => Some(RevenueProblem::NoRevenueGoals),
            1 => None,
            _ if self.dimensions.contains(&Dimension::Goal) => None,
            _ => Some(RevenueProblem::SeveralCurrencies),
        }
    }

    /// Currency of the amounts of a row: its goal's, or the only one of the goals selected.
    pub fn revenue_currency(&self, keys: &[Key]) -> Option<&str> {
        if self.revenue_problem().is_some() {
            return None;
        }
        let by_goal = keys.iter().find_map(|key| match key {
            Key::Goal(index) => {
                Some(self.goals.get(*index).map_or("", |goal| goal.currency.as_str()))
            }
            _ => None,
        });
        let only = || self.revenue_goals().next().map(|goal| goal.currency.as_str());
        by_goal.or_else(only).filter(|currency| !currency.is_empty())
    }
}
