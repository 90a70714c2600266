//! The question behind a funnel: how many visitors got how far along some steps, and its answer.
//!
//! What is meant, word by word (docs/funnels.md has it for readers):
//! - Events of the range that pass all filters take part, in the order of their times, equal times in order of arrival. Reports
//!   of engagement take part only where they are a step.
//! - A *run* is one event for each of the steps 1 to k. `Ordered`: each later than the one before. `Strict`: each the very
//!   next one. `Any`: in whatever order, and one event may stand for several steps.
//! - A run lies within one visit, or its last event comes at most the window after its first.
//! - A visitor *reached* step k if there is a run to it, and is counted where the furthest one ends. Of several runs that
//!   get as far, the one that ends first counts; and of those, the one whose events come last, looked at from its end.

use serde_json::{Value, json};

use crate::question::{Asking, Dimension, Goal, Question, QuestionError};

/// Fewest steps of a funnel.
pub const STEPS_MIN: usize = 2;
/// Most steps of a funnel.
pub const STEPS_MAX: usize = 20;
/// Longest window, minutes: 90 days.
pub const WINDOW_MINUTES_MAX: i64 = 90 * 24 * 60;
/// Most places that are listed for those who dropped out at a step.
pub const INSTEAD_MAX: u32 = 50;
/// Groups of a breakdown that are answered: those with most visitors.
pub const GROUPS_MAX: usize = 50;

/// In what order steps are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepOrder {
    /// One after the other, anything in between.
    Ordered,
    /// In whatever order.
    Any,
    /// One after the other, nothing in between.
    Strict,
}

impl StepOrder {
    /// All of them.
    pub const ALL: [StepOrder; 3] = [StepOrder::Ordered, StepOrder::Any, StepOrder::Strict];

    /// Its name in the interface.
    pub fn name(self) -> &'static str {
        match self {
            StepOrder::Ordered => "ordered",
            StepOrder::Any => "any",
            StepOrder::Strict => "strict",
        }
    }
}

/// How long a run may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// It lies within one visit.
    Visit,
    /// From its first event to its last, of one visitor, at most so many milliseconds.
    Within(i64),
}

/// The steps, and what a run of them is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Funnel {
    /// What has to happen, 2 to 20.
    pub steps: Vec<Goal>,
    /// In what order.
    pub order: StepOrder,
    /// How fast.
    pub window: Window,
}

/// Asks how far visitors got.
#[derive(Clone, PartialEq, Debug)]
pub struct FunnelQuestion {
    question: Question,
    funnel: Funnel,
    instead: u32,
}

impl FunnelQuestion {
    /// Checks what was asked: range and filters as in a query, one dimension to break down by, and how many places to list
    /// for those who dropped out.
    pub fn parse(
        date_range: &Value,
        filters: &Value,
        breakdown: Option<&str>,
        instead: u32,
        funnel: Funnel,
        asking: &Asking<'_>,
    ) -> Result<FunnelQuestion, QuestionError> {
        let steps = funnel.steps.len();
        if !(STEPS_MIN..=STEPS_MAX).contains(&steps) {
            let why = format!("a funnel has {STEPS_MIN} to {STEPS_MAX} steps, not {steps}");
            return Err(QuestionError::at("#/steps", why));
        }
        if let Window::Within(ms) = funnel.window
            && !(60_000..=WINDOW_MINUTES_MAX * 60_000).contains(&ms)
        {
            let why = format!("a window has 1 to {WINDOW_MINUTES_MAX} minutes");
            return Err(QuestionError::at("#/window", why));
        }
        if instead > INSTEAD_MAX {
            return Err(QuestionError::at("#/instead", format!("at most {INSTEAD_MAX}")));
        }
        let dimensions: Vec<&str> = breakdown.into_iter().collect();
        let question = parse_base(date_range, filters, &dimensions, asking)?;
        let refused = |dimension: &Dimension| {
            matches!(
                dimension,
                Dimension::Goal | Dimension::Time(_) | Dimension::Section | Dimension::FirstProp(_)
            )
        };
        if let Some(dimension) = question.dimensions.iter().find(|one| refused(one)) {
            let why = format!("a funnel is not broken down by {}", dimension.name());
            return Err(QuestionError::at("#/breakdown", why));
        }
        Ok(FunnelQuestion { question, funnel, instead })
    }

    /// Site, range and filters; its dimension is the breakdown's.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// The steps.
    pub fn funnel(&self) -> &Funnel {
        &self.funnel
    }

    /// What the event is grouped by that a visitor's run begins with.
    pub fn breakdown(&self) -> Option<&Dimension> {
        self.question.dimensions.first()
    }

    /// How many places are listed for those who dropped out at a step.
    pub fn instead(&self) -> usize {
        self.instead as usize
    }
}

/// Range, filters and groups of a question that counts in another way than a query.
pub(super) fn parse_base(
    date_range: &Value,
    filters: &Value,
    dimensions: &[&str],
    asking: &Asking<'_>,
) -> Result<Question, QuestionError> {
    let body = json!({
        "site_id": "",
        "metrics": ["visitors"],
        "date_range": date_range,
        "dimensions": dimensions,
        "filters": if filters.is_null() { json!([]) } else { filters.clone() },
    });
    Question::parse(&body, asking)
}

/// Something that visitors did, as paths name it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Waypoint {
    /// A page view of this path.
    Page(String),
    /// An event of this name.
    Event(String),
}

/// Visitors who came to a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StepFigures {
    /// How many.
    pub visitors: u64,
    /// Median of the seconds (cut to whole ones) from the step before: the smallest that half of them do not exceed. With
    /// steps in any order: from when all steps before it were done. `None` for the first step, and without visitors.
    pub median_s: Option<i64>,
}

/// What those did next whose run ended at a step that is not the last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Instead {
    /// Nothing more: in the visit, or in the range.
    pub left: u64,
    /// The next page or event, most visitors first.
    pub next: Vec<(Waypoint, u64)>,
    /// Went elsewhere.
    pub others: u64,
}

/// How far visitors got.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FunnelAnswer {
    /// By step.
    pub steps: Vec<StepFigures>,
    /// By step but the last; empty unless asked for.
    pub instead: Vec<Instead>,
    /// The same figures by value of the breakdown, most visitors of the first step first.
    pub groups: Vec<(String, Vec<StepFigures>)>,
    /// How many values there are, shown or not.
    pub group_count: u64,
    /// Visitors of the first step who are anonymous: on another day they would be others.
    pub anonymous: u64,
}

/// The largest counts, equal ones in order of what they count, and the sum of the others.
pub fn ranked<T: Ord>(mut counts: Vec<(T, u64)>, most: usize) -> (Vec<(T, u64)>, u64) {
    counts.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    let others = counts.iter().skip(most).map(|(_, count)| count).sum();
    counts.truncate(most);
    (counts, others)
}
