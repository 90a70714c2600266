//! The question behind journeys: what visits did next, or before, and its answer.
//!
//! A visit is looked at from its first event that is the anchor: the page views and events after it, or before it, in order
//! of their times, as far as so many steps. Reports of engagement are no steps. Collapsed, a page or event that follows itself
//! is one step, the anchor's own among them. Events of the range that pass all filters take part.

use serde_json::Value;

use crate::question::funnel::{Waypoint, parse_base};
use crate::question::{Asking, Goal, Question, QuestionError};

/// Most steps from the anchor.
pub const JOURNEY_STEPS_MAX: u32 = 6;
/// Most branches of a node.
pub const JOURNEY_TOP_MAX: u32 = 20;
/// Most nodes at the last step.
pub const JOURNEY_LEAVES_MAX: u64 = 20_000;

/// Which way journeys are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JourneyDirection {
    /// From the anchor on.
    After,
    /// Up to the anchor.
    Before,
}

/// Asks where visits went, or came from.
#[derive(Clone, PartialEq, Debug)]
pub struct JourneyQuestion {
    question: Question,
    /// Where journeys begin, or end.
    pub anchor: Goal,
    /// Which way.
    pub direction: JourneyDirection,
    /// How many steps.
    pub steps: u32,
    /// How many branches of each node.
    pub top: u32,
    /// What follows itself is one step.
    pub is_collapsed: bool,
}

impl JourneyQuestion {
    /// Checks what was asked: range and filters are those of a query.
    pub fn parse(
        date_range: &Value,
        filters: &Value,
        (anchor, direction): (Goal, JourneyDirection),
        (steps, top): (u32, u32),
        is_collapsed: bool,
        asking: &Asking<'_>,
    ) -> Result<JourneyQuestion, QuestionError> {
        if !(1..=JOURNEY_STEPS_MAX).contains(&steps) {
            return Err(QuestionError::at("#/steps", format!("1 to {JOURNEY_STEPS_MAX} steps")));
        }
        let leaves = u64::from(top).pow(steps);
        if !(1..=JOURNEY_TOP_MAX).contains(&top) || leaves > JOURNEY_LEAVES_MAX {
            let why = format!(
                "1 to {JOURNEY_TOP_MAX} branches, and at most {JOURNEY_LEAVES_MAX} at the last step"
            );
            return Err(QuestionError::at("#/top", why));
        }
        let question = parse_base(date_range, filters, &[], asking)?;
        Ok(JourneyQuestion { question, anchor, direction, steps, top, is_collapsed })
    }

    /// Site, range and filters.
    pub fn question(&self) -> &Question {
        &self.question
    }
}

/// Where visits went from one place.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Branches {
    /// The most usual places, most visits first.
    pub nodes: Vec<JourneyNode>,
    /// Visits that went elsewhere.
    pub others: u64,
    /// Visits that did nothing more (or had done nothing before).
    pub ended: u64,
}

/// A place on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JourneyNode {
    /// What was done.
    pub waypoint: Waypoint,
    /// Visits that came this way.
    pub visits: u64,
    /// Where they went from here; empty at the last step.
    pub branches: Branches,
}

/// The tree of journeys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JourneyAnswer {
    /// Visits with the anchor.
    pub visits: u64,
    /// The first step.
    pub branches: Branches,
}
