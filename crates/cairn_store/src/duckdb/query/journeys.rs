//! Journeys: what visits did after an anchor, or before it, as a tree.

use std::collections::{BTreeMap, HashMap};

use cairn_model::question::JourneyQuestion;
use cairn_model::question::funnel::ranked;
use cairn_model::question::journey::{
    Branches, JOURNEY_STEPS_MAX, JourneyAnswer, JourneyDirection, JourneyNode,
};

use super::moments::{Moment, Moments, Spot, Spots};
use crate::duckdb::connection::Connection;
use crate::duckdb::error::{DuckError, DuckErrorKind};

/// Different ways that are counted; with more of them the question costs too much. Each takes some 80 bytes.
const WAYS_MAX: usize = 1_000_000;

/// The steps from the anchor; `None`: there were no more.
type Way = [Option<Spot>; JOURNEY_STEPS_MAX as usize];

/// The visit that is being followed.
#[derive(Default)]
struct Visit {
    session_id: u64,
    has_anchor: bool,
    way: Vec<Spot>,
    last: Option<Spot>,
}

struct Follower<'q> {
    asked: &'q JourneyQuestion,
    visit: Visit,
    ways: HashMap<Way, u64>,
}

impl Follower<'_> {
    fn add(&mut self, moment: &Moment<'_>) -> Result<(), DuckError> {
        if self.visit.session_id != moment.session_id {
            self.end_visit()?;
            self.visit = Visit { session_id: moment.session_id, ..Visit::default() };
        }
        let (asked, visit) = (self.asked, &mut self.visit);
        let is_anchor = !visit.has_anchor && moment.goals & 1 != 0;
        let follows_itself =
            asked.is_collapsed && moment.is_ordinary && visit.last == Some(moment.spot);
        match asked.direction {
            JourneyDirection::After if is_anchor => {}
            JourneyDirection::After if !visit.has_anchor => {}
            JourneyDirection::Before if visit.has_anchor => {}
            JourneyDirection::Before if is_anchor => {
                // The anchor after itself is one step.
                if follows_itself {
                    visit.way.pop();
                }
            }
            _ if !moment.is_ordinary || follows_itself => {}
            JourneyDirection::After => {
                if visit.way.len() < asked.steps as usize {
                    visit.way.push(moment.spot);
                }
            }
            JourneyDirection::Before => {
                // One more than are ever shown: the last may turn out to be the anchor's own.
                if visit.way.len() > JOURNEY_STEPS_MAX as usize {
                    visit.way.remove(0);
                }
                visit.way.push(moment.spot);
            }
        }
        visit.has_anchor |= is_anchor;
        if moment.is_ordinary {
            visit.last = Some(moment.spot);
        }
        Ok(())
    }

    fn end_visit(&mut self) -> Result<(), DuckError> {
        let visit = std::mem::take(&mut self.visit);
        if !visit.has_anchor {
            return Ok(());
        }
        let mut way: Way = [None; JOURNEY_STEPS_MAX as usize];
        let steps = self.asked.steps as usize;
        match self.asked.direction {
            JourneyDirection::After => put(&mut way, visit.way.into_iter().take(steps)),
            JourneyDirection::Before => put(&mut way, visit.way.into_iter().rev().take(steps)),
        }
        if self.ways.len() >= WAYS_MAX && !self.ways.contains_key(&way) {
            return Err(DuckError::new(DuckErrorKind::OutOfMemory, "too many different ways"));
        }
        *self.ways.entry(way).or_default() += 1;
        Ok(())
    }
}

fn put(way: &mut Way, spots: impl Iterator<Item = Spot>) {
    way.iter_mut().zip(spots).for_each(|(place, spot)| *place = Some(spot));
}

/// Answers where visits went, or came from.
pub(in crate::duckdb) fn journeys(
    connection: &Connection,
    asked: &JourneyQuestion,
) -> Result<JourneyAnswer, DuckError> {
    let moments = Moments {
        question: asked.question(),
        goals: std::slice::from_ref(&asked.anchor),
        only_goals: false,
        by_visit: true,
    };
    let mut follower = Follower { asked, visit: Visit::default(), ways: HashMap::new() };
    moments.for_each(connection, |moment| follower.add(&moment))?;
    follower.end_visit()?;
    let ways: Vec<(Way, u64)> = follower.ways.into_iter().collect();
    let met = ways.iter().flat_map(|(way, _)| way.iter().flatten().copied());
    let spots = Spots::read(connection, asked.question().site_id.0, met)?;
    Ok(JourneyAnswer {
        visits: ways.iter().map(|(_, visits)| visits).sum(),
        branches: branches(asked, &spots, ways, 0)?,
    })
}

/// Where visits went that came the same way so far.
fn branches(
    asked: &JourneyQuestion,
    spots: &Spots,
    ways: Vec<(Way, u64)>,
    depth: usize,
) -> Result<Branches, DuckError> {
    if depth >= asked.steps as usize {
        return Ok(Branches::default());
    }
    let mut ended = 0;
    let mut parted: BTreeMap<_, Vec<(Way, u64)>> = BTreeMap::new();
    for (way, visits) in ways {
        match way[depth] {
            Some(spot) => {
                parted.entry(spots.waypoint(spot)?).or_default().push((way, visits));
            }
            None => ended += visits,
        }
    }
    let count = |ways: &[(Way, u64)]| ways.iter().map(|(_, visits)| visits).sum();
    let counts = parted.iter().map(|(waypoint, ways)| (waypoint.clone(), count(ways))).collect();
    let (shown, others) = ranked(counts, asked.top as usize);
    let mut nodes = Vec::with_capacity(shown.len());
    for (waypoint, visits) in shown {
        let ways = parted.remove(&waypoint).unwrap_or_default();
        let branches = branches(asked, spots, ways, depth + 1)?;
        nodes.push(JourneyNode { waypoint, visits, branches });
    }
    Ok(Branches { nodes, others, ended })
}
