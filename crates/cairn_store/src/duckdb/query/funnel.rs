//! Funnels: moments from the database, runs from moments.

use std::collections::HashMap;

use cairn_model::question::FunnelQuestion;
use cairn_model::question::funnel::{
    FunnelAnswer, GROUPS_MAX, Instead, StepFigures, StepOrder, Window,
};

use super::moments::{Moments, Spots};
use super::runs::{Dropped, Runs, Tally};
use crate::duckdb::connection::Connection;
use crate::duckdb::error::{DuckError, DuckErrorKind};

/// Values of a breakdown that are counted; with more of them the question costs too much.
const GROUPS_COUNTED_MAX: usize = 20_000;

/// Numbers for the values of a breakdown.
#[derive(Default)]
struct Groups {
    numbers: HashMap<String, u32>,
}

impl Groups {
    fn number(&mut self, name: &str) -> Result<u32, DuckError> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        if self.numbers.len() >= GROUPS_COUNTED_MAX {
            return Err(DuckError::new(DuckErrorKind::OutOfMemory, "too many groups"));
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(name.to_owned(), number);
        Ok(number)
    }

    /// Their figures, most visitors first, and how many have any.
    fn ranked(self, tallies: &[Tally], steps: usize) -> (Vec<(String, Vec<StepFigures>)>, u64) {
        let figures = |number: u32| tallies.get(number as usize).map(|tally| tally.figures(steps));
        let visitors = |figures: &[StepFigures]| figures.first().map_or(0, |step| step.visitors);
        let named = self.numbers.into_iter();
        let mut groups: Vec<(String, Vec<StepFigures>)> =
            named.filter_map(|(name, number)| Some((name, figures(number)?))).collect();
        groups.retain(|(_, figures)| visitors(figures) > 0);
        groups.sort_by(|(left, some), (right, others)| {
            visitors(others).cmp(&visitors(some)).then_with(|| left.cmp(right))
        });
        let count = groups.len() as u64;
        groups.truncate(GROUPS_MAX);
        (groups, count)
    }
}

/// Answers how far visitors got.
pub(in crate::duckdb) fn funnel(
    connection: &Connection,
    asked: &FunnelQuestion,
) -> Result<FunnelAnswer, DuckError> {
    let funnel = asked.funnel();
    let moments = Moments {
        question: asked.question(),
        goals: &funnel.steps,
        // What lies between the steps matters only where it parts them, or where it is asked for.
        only_goals: funnel.order != StepOrder::Strict && asked.instead() == 0,
        by_visit: funnel.window == Window::Visit,
    };
    let mut runs = Runs::new(funnel);
    let mut groups = Groups::default();
    moments.for_each(connection, |moment| {
        let begins = asked.breakdown().is_some() && moment.goals & 1 != 0;
        let group = if begins { groups.number(moment.group)? } else { 0 };
        runs.add(&moment, group);
        Ok(())
    })?;
    runs.end();
    let steps = funnel.steps.len();
    let (groups, group_count) = groups.ranked(&runs.groups, steps);
    Ok(FunnelAnswer {
        steps: runs.total.figures(steps),
        instead: instead(connection, asked, &runs.dropped)?,
        groups,
        group_count,
        anonymous: runs.anonymous,
    })
}

fn instead(
    connection: &Connection,
    asked: &FunnelQuestion,
    dropped: &[Dropped],
) -> Result<Vec<Instead>, DuckError> {
    if asked.instead() == 0 {
        return Ok(Vec::new());
    }
    let steps = &dropped[..dropped.len() - 1];
    let all = steps.iter().flat_map(|dropped| dropped.next.keys().copied());
    let spots = Spots::read(connection, asked.question().site_id.0, all)?;
    let of_step = |dropped: &Dropped| {
        let (next, others) = spots.ranked(&dropped.next, asked.instead())?;
        Ok(Instead { left: dropped.left, next, others })
    };
    steps.iter().map(of_step).collect()
}
