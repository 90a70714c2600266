//! Goals: what turns an event into a conversion. Steps of funnels, returns of retention and anchors of journeys are goals
//! too, saved or not.
//!
//! The meaning of conditions is written here once, in plain Rust: a store that keeps its data elsewhere must agree with it.

use crate::event::OFF_SITE;
use crate::question::tallies::decimal;
use crate::question::{Dimension, Operator, Pattern, Test};

/// Conditions of one goal.
pub const CONDITIONS_MAX: usize = 20;
/// Values of one condition.
pub const CONDITION_VALUES_MAX: usize = 50;
/// Decimals in which numbers of properties are compared.
pub const NUMBER_DECIMALS: u32 = 9;
/// How a condition may compare.
pub const CONDITION_OPERATORS: [&str; 8] =
    ["is", "is_not", "contains", "contains_not", "matches", "matches_not", "greater", "less"];

/// What turns an event into a conversion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// An event of this name.
    Event(String),
    /// A page view whose path fits this pattern (`*` = any run of characters).
    Page(String),
    /// A page that fits the pattern, scrolled at least this far (percent).
    Scroll {
        /// Pattern of the path.
        path: String,
        /// Smallest depth that converts, percent.
        threshold: u8,
    },
    /// A section that was read, on a page that fits the pattern.
    Section {
        /// Pattern of the section.
        section: String,
        /// Pattern of the path.
        path: String,
    },
    /// The report of engagement with which a visit has spent this time, since the start of the range asked about.
    Engaged {
        /// Time on one page that fits the pattern; `None`: on all pages of the visit together.
        path: Option<String>,
        /// Milliseconds in view and in use.
        time_ms: u32,
    },
}

impl Trigger {
    /// Whether engagement events convert, which are no events otherwise.
    pub fn is_engagement(&self) -> bool {
        !matches!(self, Trigger::Event(_) | Trigger::Page(_))
    }
}

/// What a property of the converting event must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// As a filter on the property says.
    Text(Test),
    /// A plain decimal number on this side of a bound.
    Number {
        /// The property.
        key: String,
        /// Above the bound; else below it.
        above: bool,
        /// The bound, in units of its last decimal ([`NUMBER_DECIMALS`]).
        than: i64,
    },
}

impl Condition {
    /// Reads a condition. The error says what is wrong with it.
    pub fn parse(key: &str, operator: &str, values: &[String]) -> Result<Condition, String> {
        if key.is_empty() {
            return Err("a condition names a property".to_owned());
        }
        if !(1..=CONDITION_VALUES_MAX).contains(&values.len()) {
            return Err(format!("a condition has 1 to {CONDITION_VALUES_MAX} values"));
        }
        if let "greater" | "less" = operator {
            let [bound] = values else {
                return Err(format!("{operator} takes exactly one number"));
            };
            let than = decimal(bound, NUMBER_DECIMALS)
                .ok_or_else(|| format!("{operator} takes a plain decimal number"))?;
            return Ok(Condition::Number {
                key: key.to_owned(),
                above: operator == "greater",
                than,
            });
        }
        let (base, negated) = match operator.strip_suffix("_not") {
            Some(base) => (base, true),
            None => (operator, false),
        };
        let operator = match base {
            "is" => Operator::Is,
            "contains" => Operator::Contains,
            "matches" => Operator::Matches(
                values.iter().map(|value| Pattern::parse(value)).collect::<Result<_, _>>()?,
            ),
            _ => return Err(format!("an operator is one of {}", CONDITION_OPERATORS.join(", "))),
        };
        let subject = Dimension::Prop(key.to_owned());
        let clauses = values.to_vec();
        Ok(Condition::Text(Test { subject, operator, negated, clauses, case_sensitive: true }))
    }

    /// The property has exactly this value.
    pub fn equals(key: &str, value: &str) -> Condition {
        let subject = Dimension::Prop(key.to_owned());
        let clauses = vec![value.to_owned()];
        let operator = Operator::Is;
        Condition::Text(Test { subject, operator, negated: false, clauses, case_sensitive: true })
    }

    /// Whether the property passes; `value` gives the value of a property that the event has.
    pub fn accepts<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> bool {
        match self {
            Condition::Text(test) => match &test.subject {
                Dimension::Prop(key) => test.accepts_prop(value(key)),
                _ => false,
            },
            Condition::Number { key, above, than } => {
                let number = value(key).and_then(|text| decimal(text, NUMBER_DECIMALS));
                number.is_some_and(|number| if *above { number > *than } else { number < *than })
            }
        }
    }
}

/// A goal of a site, or a condition of the same form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Goal {
    /// Name shown, and used in filters.
    pub name: String,
    /// What converts.
    pub trigger: Trigger,
    /// ISO 4217 code of a revenue goal; empty = no revenue.
    pub currency: String,
    /// What the converting event's properties must be; all of it.
    pub conditions: Vec<Condition>,
    /// Smallest amount in the goal's currency that converts, in its minor unit.
    pub value_minor_min: Option<i64>,
}

impl Goal {
    /// A goal without currency and conditions.
    pub fn new(name: impl Into<String>, trigger: Trigger) -> Goal {
        Goal {
            name: name.into(),
            trigger,
            currency: String::new(),
            conditions: Vec::new(),
            value_minor_min: None,
        }
    }

    /// Its conversions happen away from the site.
    pub fn is_off_site(&self) -> bool {
        matches!(&self.trigger, Trigger::Event(name) if OFF_SITE.contains(&name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(operator: &str, values: &[&str], value: Option<&str>) -> bool {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        let condition = Condition::parse("seats", operator, &values).unwrap();
        condition.accepts(|key| (key == "seats").then_some(value).flatten())
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert!(accepts("greater", &["9.5"], Some("10")));
        assert!(!accepts("greater", &["10"], Some("10.0")));
        assert!(accepts("less", &["0.000000002"], Some("0.000000001")));
        for none in [None, Some(""), Some("many"), Some("-3"), Some("1e3")] {
            assert!(
                !accepts("greater", &["0"], none) && !accepts("less", &["5"], none),
                "{none:?}"
            );
        }
    }

    #[test]
    fn texts_are_compared_as_filters_compare_them() {
        assert!(accepts("is", &["pro", "team"], Some("team")));
        assert!(accepts("is_not", &["pro"], None), "as in a filter");
        assert!(!accepts("contains_not", &["pro"], None));
        assert!(accepts("matches", &["^p.o$"], Some("pro")));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        let refused = |key: &str, operator: &str, values: &[&str]| {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            Condition::parse(key, operator, &values).is_err()
        };
        assert!(refused("", "is", &["a"]));
        assert!(refused("a", "is", &[]));
        assert!(refused("a", "equals", &["a"]));
        assert!(refused("a", "greater", &["many"]));
        assert!(refused("a", "less", &["1", "2"]));
        assert!(refused("a", "matches", &["("]));
    }
}
