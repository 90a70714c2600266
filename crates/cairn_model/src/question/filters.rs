//! Filters: trees of tests on one value each.
//!
//! The tests' meaning is written here once, in plain Rust: a store that keeps its data elsewhere must agree with it.

use crate::event::PAGE_VIEW;
use crate::question::{Dimension, Field, Pattern};

/// How page views are called in the query language.
pub const PAGE_VIEW_ASKED: &str = "pageview";
/// Stands for an absent property, in filters and in rows.
pub const PROP_ABSENT: &str = "(none)";

/// How a test compares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operator {
    /// Equals a clause.
    Is,
    /// Contains a clause.
    Contains,
    /// A regular expression is found; one per clause.
    Matches(Vec<Pattern>),
}

/// What a test looks at.
pub type Subject = Dimension;

/// One test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Test {
    /// What it looks at; never time.
    pub subject: Subject,
    /// How it compares.
    pub operator: Operator,
    /// `is_not`, `contains_not`, `matches_not`.
    pub negated: bool,
    /// One of these; as the asker wrote them.
    pub clauses: Vec<String>,
    /// Capitals matter.
    pub case_sensitive: bool,
}

/// A tree of tests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Filter {
    /// A test.
    Test(Test),
    /// All hold.
    And(Vec<Filter>),
    /// At least one holds.
    Or(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// The visit has an event in the range that satisfies it (or, negated, has none).
    Done {
        /// `has_not_done`.
        negated: bool,
        /// What the event satisfies.
        filter: Box<Filter>,
    },
}

/// Small letters, character by character, so that every store can do the same.
pub fn folded(text: &str) -> String {
    let small = |letter: char| match letter {
        'İ' => 'i',
        _ => letter.to_lowercase().next().unwrap_or(letter),
    };
    text.chars().map(small).collect()
}

impl Test {
    /// The values that `is` compares with, in the form in which they are stored.
    pub fn stored_clauses(&self) -> Vec<String> {
        let mut stored = Vec::with_capacity(self.clauses.len());
        for clause in &self.clauses {
            stored.push(self.stored_clause(clause));
            let direct = self.subject == Dimension::Visit(Field::Channel)
                && clause == Field::Channel.missing_label();
            if direct {
                stored.push(String::new());
            }
            // Referrers are kept without their scheme, and often pasted with it.
            let bare = clause.strip_prefix("https://").or_else(|| clause.strip_prefix("http://"));
            if let (Dimension::Visit(Field::Referrer), Some(bare)) = (&self.subject, bare) {
                stored.push(bare.strip_suffix('/').unwrap_or(bare).to_owned());
            }
        }
        stored
    }

    fn stored_clause(&self, clause: &str) -> String {
        match &self.subject {
            Dimension::EventName if clause == PAGE_VIEW_ASKED => PAGE_VIEW.to_owned(),
            Dimension::Visit(field) if field.clause_means_missing(clause) => String::new(),
            _ => clause.to_owned(),
        }
    }

    /// Whether a clause speaks of this text, negation left aside.
    fn hits(&self, value: &str) -> bool {
        match &self.operator {
            Operator::Matches(patterns) => {
                patterns.iter().any(|pattern| pattern.is_found_in(value))
            }
            Operator::Is if self.case_sensitive => {
                self.stored_clauses().iter().any(|clause| clause == value)
            }
            Operator::Is => {
                let value = folded(value);
                self.stored_clauses().iter().any(|clause| folded(clause) == value)
            }
            Operator::Contains if self.case_sensitive => {
                self.clauses.iter().any(|clause| value.contains(clause.as_str()))
            }
            Operator::Contains => {
                let value = folded(value);
                self.clauses.iter().any(|clause| value.contains(&folded(clause)))
            }
        }
    }

    /// Whether the text, as stored, passes. Page views answer to both of their names.
    pub fn accepts(&self, value: &str) -> bool {
        let two_names = self.subject == Dimension::EventName && value == PAGE_VIEW;
        let hit = self.hits(value) || (two_names && self.hits(PAGE_VIEW_ASKED));
        hit != self.negated
    }

    /// Whether the property passes; `None` = the event does not have it.
    pub fn accepts_prop(&self, value: Option<&str>) -> bool {
        let names_absent = self.clauses.iter().any(|clause| clause == PROP_ABSENT);
        match (&self.operator, value) {
            (Operator::Is, None) => names_absent != self.negated,
            (_, None) => false,
            (_, Some(value)) => self.hits(value) != self.negated,
        }
    }
}

impl Filter {
    /// Calls `each` for every test outside of `has_done`.
    pub fn for_each_test<'a>(&'a self, each: &mut dyn FnMut(&'a Test)) {
        match self {
            Filter::Test(test) => each(test),
            Filter::And(members) | Filter::Or(members) => {
                members.iter().for_each(|member| member.for_each_test(each));
            }
            Filter::Not(member) => member.for_each_test(each),
            Filter::Done { .. } => {}
        }
    }

    /// Whether a test outside of `has_done` satisfies the condition.
    pub fn any_test(&self, condition: impl Fn(&Test) -> bool) -> bool {
        let mut found = false;
        self.for_each_test(&mut |test| found |= condition(test));
        found
    }

    /// Whether a test that is neither negated as a whole nor within `has_done` satisfies the condition.
    pub fn any_wanted_test(&self, condition: &impl Fn(&Test) -> bool) -> bool {
        match self {
            Filter::Test(test) => condition(test),
            Filter::And(members) | Filter::Or(members) => {
                members.iter().any(|member| member.any_wanted_test(condition))
            }
            Filter::Not(_) | Filter::Done { .. } => false,
        }
    }

    /// The test itself, where the filter is one.
    pub fn as_test(&self) -> Option<&Test> {
        match self {
            Filter::Test(test) => Some(test),
            _ => None,
        }
    }

    /// The test, where the filter is a single one on goals.
    pub fn as_goal_test(&self) -> Option<&Test> {
        self.as_test().filter(|test| test.subject == Dimension::Goal)
    }

    /// Whether it looks at something that only an event has.
    pub fn needs_event(&self) -> bool {
        self.any_test(|test| test.subject.is_event())
    }

    /// Whether it looks at something that only a visit has.
    pub fn needs_visit(&self) -> bool {
        self.any_test(|test| test.subject.is_visit_only())
    }

    /// The same filter with one subject put in place of another.
    pub fn replacing(&self, from: &Subject, to: &Subject) -> Filter {
        let all =
            |members: &[Filter]| members.iter().map(|member| member.replacing(from, to)).collect();
        match self {
            Filter::Test(test) if test.subject == *from => {
                Filter::Test(Test { subject: to.clone(), ..test.clone() })
            }
            Filter::Test(test) => Filter::Test(test.clone()),
            Filter::And(members) => Filter::And(all(members)),
            Filter::Or(members) => Filter::Or(all(members)),
            Filter::Not(member) => Filter::Not(Box::new(member.replacing(from, to))),
            Filter::Done { .. } => self.clone(),
        }
    }
}
