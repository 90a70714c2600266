//! The question: what a report asks, typed and checked.
//!
//! Guarantees: a [`Question`] exists only if [`Question::parse`] accepted a body, so whoever holds one may rely on
//! every rule of the query language: names exist, metrics and dimensions go together, the range is two instants,
//! patterns are regular expressions. It does not know how the numbers are found, and reads neither clock nor store:
//! both come in with [`Asking`].

pub mod attribution;
pub mod buckets;
mod checks;
pub mod countries;
pub mod events;
mod filter_parse;
pub mod filters;
pub mod funnel;
pub mod goal;
pub mod journey;
pub mod labels;
pub mod lists;
pub mod money;
mod names;
mod ordering;
mod parse;
pub mod pattern;
pub mod range;
pub mod reference;
pub mod retention;
pub mod revenue;
pub mod segments;
pub mod tallies;

use std::ops::Deref;
use std::sync::Arc;

pub use attribution::AttributionQuestion;
pub use buckets::{Buckets, TimeUnit};
pub use events::EventsQuestion;
pub use filters::{Filter, Operator, Subject, Test};
pub use funnel::FunnelQuestion;
pub use goal::{Condition, Goal, Trigger};
pub use journey::JourneyQuestion;
pub use lists::ListQuestion;
pub use money::{Money, Sum};
pub use names::{Dimension, Field, Metric};
pub use pattern::Pattern;
pub use range::Range;
pub use retention::RetentionQuestion;
pub use tallies::{FirstProp, Tally};

use crate::answer::Key;
use crate::event::OFF_SITE;
use crate::ids::SiteId;
use crate::rates::Pricing;

/// Rows of one page, unless asked otherwise; also the most.
pub const ROWS_PER_PAGE_MAX: u32 = 10_000;
/// Dimensions of one question.
pub const DIMENSIONS_MAX: usize = 32;
/// Depth to which filters nest.
pub const FILTER_DEPTH_MAX: usize = 12;
/// Filters in one question, nested ones included.
pub const FILTERS_MAX: usize = 256;
/// Clauses of one filter.
pub const CLAUSES_MAX: usize = 1_000;
/// Hours, days, weeks or months that one question may cut its range into.
pub const BUCKETS_MAX: i64 = 200_000;

/// What parsing needs to know besides the body.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The site that `site_id` stands for.
    pub site_id: SiteId,
    /// IANA name of the site's zone.
    pub timezone: &'a str,
    /// The present, Unix milliseconds.
    pub now_ms: i64,
    /// The site's first event, Unix milliseconds; used by the range `all` only.
    pub first_event_ms: Option<i64>,
    /// The site's goals.
    pub goals: &'a [Goal],
}

/// Which way a column is sorted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// What rows are sorted by: a position in the question's own lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    /// Index into `metrics`.
    Metric(usize),
    /// Index into `dimensions`.
    Dimension(usize),
}

/// One sort key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// What is compared.
    pub column: Column,
    /// Which way.
    pub direction: Direction,
}

/// Which engagement events take part where ordinary events are counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Engagement {
    /// None.
    Hidden,
    /// Reports of sections: the question names `event:section`.
    Sections,
    /// All: a goal is asked for that engagement events convert.
    All,
}

/// Which rows are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// At most so many rows; `None` = all (never asked from outside, comparisons need it).
    pub limit: Option<u32>,
    /// Rows skipped.
    pub offset: u64,
}

/// What a comparison compares with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ComparisonMode {
    /// The same number of days directly before.
    PreviousPeriod,
    /// One year back.
    YearOverYear,
    /// Dates of the asker's choice.
    Custom,
}

/// A comparison: how it was asked and what range that makes.
#[derive(Clone, PartialEq, Debug)]
pub struct Comparison {
    /// How it was asked.
    pub mode: ComparisonMode,
    /// The range compared with.
    pub range: Range,
    /// Its buckets, where the question has a time dimension.
    pub buckets: Option<Buckets>,
}

/// Extras of the reply.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Include {
    /// All labels of the time dimension.
    pub time_labels: bool,
    /// Number of rows before pagination.
    pub total_rows: bool,
    /// Imported aggregates (there are none: it only adds two words to `meta`).
    pub imports: bool,
    /// An earlier range beside each row.
    pub comparison: Option<Comparison>,
}

/// What was asked. Anyone may read it; only parsing makes a [`Question`] of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Asked {
    /// The site.
    pub site_id: SiteId,
    /// Columns wanted, each once, at least one.
    pub metrics: Vec<Metric>,
    /// Grouping, each once.
    pub dimensions: Vec<Dimension>,
    /// All of these hold.
    pub filters: Vec<Filter>,
    /// Whether bots are kept because the question names `visit:bot` itself.
    pub names_bots: bool,
    /// The instants covered.
    pub range: Range,
    /// The range is made of whole days of the site's zone, and so is the one compared with.
    pub whole_days: bool,
    /// How the range is cut, where there is a time dimension.
    pub buckets: Option<Buckets>,
    /// Sort keys; never empty when there are dimensions.
    pub order_by: Vec<Order>,
    /// Rows wanted.
    pub page: Page,
    /// Extras.
    pub include: Include,
    /// The site's goals.
    pub goals: Vec<Goal>,
    /// Only these groups (values of all dimensions but time): what a comparison asks for.
    pub only_groups: Option<Vec<Vec<Key>>>,
    /// How amounts are brought into one currency; there where orders are counted.
    pub pricing: Option<Arc<Pricing>>,
    /// What was run, in the form in which it may be asked again.
    pub echo: serde_json::Value,
}

/// A checked question.
#[derive(Clone, PartialEq, Debug)]
pub struct Question(Asked);

impl Deref for Question {
    type Target = Asked;
    fn deref(&self) -> &Asked {
        &self.0
    }
}

/// Why a body is no question. `message` may be shown; it quotes only what the asker sent.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct QuestionError {
    /// Stable code.
    pub code: &'static str,
    /// What is wrong, with the JSON pointer where there is one.
    pub message: String,
    /// JSON pointer to the offending part (`#/metrics/1`).
    pub field: Option<String>,
}

impl QuestionError {
    /// An error at a place of the body.
    fn at(pointer: impl Into<String>, message: impl std::fmt::Display) -> Self {
        let pointer = pointer.into();
        QuestionError {
            code: "invalid_query",
            message: format!("{pointer}: {message}"),
            field: Some(pointer),
        }
    }
}

impl Asked {
    /// Position of the time dimension.
    pub fn time_position(&self) -> Option<usize> {
        self.dimensions.iter().position(|dimension| matches!(dimension, Dimension::Time(_)))
    }

    /// The goals that every top-level goal filter selects, by position; `None` without such a filter.
    pub fn goals_filtered(&self) -> Option<Vec<usize>> {
        let tests: Vec<&Test> = self.filters.iter().filter_map(Filter::as_goal_test).collect();
        if tests.is_empty() {
            return None;
        }
        let selected = |goal: &Goal| tests.iter().all(|test| test.accepts(&goal.name));
        Some((0..self.goals.len()).filter(|&index| selected(&self.goals[index])).collect())
    }
}

impl Question {
    /// The same question without grouping: its single row is the total.
    pub fn without_dimensions(&self) -> Question {
        let mut asked = self.0.clone();
        asked.dimensions.clear();
        asked.buckets = None;
        asked.order_by.clear();
        asked.only_groups = None;
        asked.page = Page { limit: None, offset: 0 };
        Question(asked)
    }

    /// Whether it asks for what happened away from the site, which is left out otherwise: events by name, or a filter or a
    /// goal that names some of them.
    pub fn names_off_site(&self) -> bool {
        let by_goal = self.dimensions.contains(&Dimension::Goal);
        self.dimensions.contains(&Dimension::EventName)
            || (by_goal && self.goals.iter().any(Goal::is_off_site))
            || self.filters_off_site()
    }

    /// Whether a filter does.
    pub fn filters_off_site(&self) -> bool {
        let names = |test: &Test| match test.subject {
            Dimension::EventName => {
                !test.negated && OFF_SITE.into_iter().any(|name| test.accepts(name))
            }
            Dimension::Goal => {
                self.goals.iter().any(|goal| goal.is_off_site() && test.accepts(&goal.name))
            }
            _ => false,
        };
        self.filters.iter().any(|filter| filter.any_wanted_test(&names))
    }

    /// Which engagement events a filter may be about.
    pub fn engagement_of(&self, filter: &Filter) -> Engagement {
        if self.looks_for_engagement(filter) {
            Engagement::All
        } else if filter.any_test(|test| test.subject == Dimension::Section) {
            Engagement::Sections
        } else {
            Engagement::Hidden
        }
    }

    /// Whether a filter looks for conversions that engagement events make.
    fn looks_for_engagement(&self, filter: &Filter) -> bool {
        filter.any_test(|test| {
            let selected = |goal: &Goal| goal.trigger.is_engagement() && test.accepts(&goal.name);
            test.subject == Dimension::Goal && self.goals.iter().any(selected)
        })
    }

    /// The same question with other rows: at most so many behind so many.
    pub fn with_page(&self, limit: u32, offset: u64) -> Question {
        let mut asked = self.0.clone();
        asked.page = Page { limit: Some(limit), offset };
        Question(asked)
    }

    /// The same question with every row, for callers that fill gaps before they cut the page.
    pub fn with_all_rows(&self) -> Question {
        let mut asked = self.0.clone();
        asked.page = Page { limit: None, offset: 0 };
        Question(asked)
    }

    /// The question that a comparison asks: the earlier range, for these groups only (all dimensions but time).
    pub fn compared(&self, groups: Option<Vec<Vec<Key>>>) -> Option<Question> {
        let comparison = self.include.comparison.as_ref()?;
        let mut asked = self.0.clone();
        asked.range = comparison.range;
        asked.buckets.clone_from(&comparison.buckets);
        asked.page = Page { limit: None, offset: 0 };
        asked.only_groups = groups;
        asked.include = Include::default();
        Some(Question(asked))
    }
}
