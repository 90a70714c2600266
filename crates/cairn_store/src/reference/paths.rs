//! Funnels, journeys and retention by their definitions: every run is tried, nothing is clever.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::answer::Key;
use cairn_model::event::PAGE_VIEW;
use cairn_model::question::funnel::{
    Funnel, FunnelAnswer, GROUPS_MAX, Instead, StepFigures, StepOrder, Waypoint, Window, ranked,
};
use cairn_model::question::journey::{Branches, JourneyAnswer, JourneyDirection, JourneyNode};
use cairn_model::question::retention::RetentionAnswer;
use cairn_model::question::{
    Engagement, FunnelQuestion, Goal, JourneyQuestion, Question, RetentionQuestion,
};
use cairn_model::{Event, Identification};

use super::State;
use super::walk::{Happening, Thing, Walk, names_engagement, takes_part};

fn waypoint(event: &Event<'_>) -> Waypoint {
    match &*event.name {
        PAGE_VIEW => Waypoint::Page(event.path.to_string()),
        name => Waypoint::Event(name.to_owned()),
    }
}

fn is_identified(happening: Happening<'_>) -> bool {
    happening.row.event.identification == Identification::Identified
}

fn is_ordinary(happening: Happening<'_>) -> bool {
    takes_part(Engagement::Hidden, false, happening.row)
}

/// An event on somebody's way, with the goals that it converts.
#[derive(Clone)]
struct Moment<'a> {
    happening: Happening<'a>,
    converts: Vec<bool>,
}

impl Moment<'_> {
    fn at_ms(&self) -> i64 {
        self.happening.row.event.timestamp_ms
    }

    fn place(&self) -> (i64, u64) {
        (self.at_ms(), self.happening.row.offset)
    }
}

/// Moments of each visitor, or of each of his visits, in order.
fn ways<'a>(
    walk: &Walk<'a>,
    question: &Question,
    goals: &[Goal],
    by_visit: bool,
) -> BTreeMap<u64, Vec<Vec<Moment<'a>>>> {
    let mut ways: BTreeMap<u64, BTreeMap<u64, Vec<Moment<'a>>>> = BTreeMap::new();
    for happening in walk.events.iter().copied() {
        let thing = Thing::Event(happening);
        if !question.filters.iter().all(|filter| walk.passes(filter, thing)) {
            continue;
        }
        let visit = happening.row.session_id;
        let counts = !names_engagement(&happening.row.event) || visit != 0;
        let converts: Vec<bool> =
            goals.iter().map(|goal| counts && walk.converts(goal, happening)).collect();
        let takes_part = is_ordinary(happening) || converts.contains(&true);
        if takes_part && (visit != 0 || !by_visit) {
            let visitor = ways.entry(happening.row.event.visitor_id.0).or_default();
            let way = visitor.entry(if by_visit { visit } else { 0 }).or_default();
            way.push(Moment { happening, converts });
        }
    }
    let sorted = |mut way: Vec<Moment<'a>>| {
        way.sort_by_key(Moment::place);
        way
    };
    let visits =
        |visits: BTreeMap<u64, Vec<Moment<'a>>>| visits.into_values().map(sorted).collect();
    ways.into_iter().map(|(visitor, of_visitor)| (visitor, visits(of_visitor))).collect()
}

/// The furthest run of one way.
struct Furthest {
    steps: usize,
    ended: (i64, u64),
    times_ms: Vec<i64>,
    begins: usize,
    next: Option<Waypoint>,
}

fn is_in_time(funnel: &Funnel, from_ms: i64, to_ms: i64) -> bool {
    match funnel.window {
        Window::Visit => true,
        Window::Within(ms) => to_ms - from_ms <= ms,
    }
}

/// The run to a step that ends at a moment and whose events come last: their places on the way.
fn run_to(funnel: &Funnel, way: &[Moment<'_>], step: usize, end: usize) -> Option<Vec<usize>> {
    if !way[end].converts[step] {
        return None;
    }
    if step == 0 {
        return Some(vec![end]);
    }
    let mut candidates: Vec<usize> = (0..end).rev().collect();
    if funnel.order == StepOrder::Strict {
        candidates.truncate(1);
    }
    candidates.into_iter().find_map(|before| {
        let mut run = run_to(funnel, way, step - 1, before)?;
        is_in_time(funnel, way[run[0]].at_ms(), way[end].at_ms()).then(|| {
            run.push(end);
            run
        })
    })
}

/// Events of the steps up to this one, in whatever order, of which the last is at `end`: the latest of each.
fn collected(funnel: &Funnel, way: &[Moment<'_>], step: usize, end: usize) -> Option<Vec<usize>> {
    let latest = |step: usize| (0..=end).rev().find(|place| way[*place].converts[step]);
    let events: Vec<usize> = (0..=step).map(latest).collect::<Option<_>>()?;
    let in_time = |place: &usize| is_in_time(funnel, way[*place].at_ms(), way[end].at_ms());
    events.iter().all(in_time).then_some(events)
}

fn furthest(funnel: &Funnel, way: &[Moment<'_>]) -> Option<Furthest> {
    for step in (0..funnel.steps.len()).rev() {
        for end in 0..way.len() {
            let run = match funnel.order {
                StepOrder::Any => collected(funnel, way, step, end),
                _ => run_to(funnel, way, step, end),
            };
            let Some(run) = run else { continue };
            let until = |step: usize| run[..=step].iter().map(|place| way[*place].at_ms()).max();
            let mut after = way[end + 1..].iter().filter(|moment| is_ordinary(moment.happening));
            return Some(Furthest {
                steps: step + 1,
                ended: way[end].place(),
                times_ms: (0..=step).filter_map(until).collect(),
                begins: run[0],
                next: after.next().map(|moment| waypoint(&moment.happening.row.event)),
            });
        }
    }
    None
}

/// How far a visitor got, and the event that the run begins with.
struct Reached<'a> {
    furthest: Furthest,
    first: Happening<'a>,
}

fn reached<'a>(funnel: &Funnel, way: &[Moment<'a>]) -> Option<Reached<'a>> {
    let furthest = furthest(funnel, way)?;
    let first = way[furthest.begins].happening;
    Some(Reached { furthest, first })
}

fn figures(reached: &[&Reached<'_>], steps: usize) -> Vec<StepFigures> {
    let of_step = |step: usize| {
        let there = reached.iter().map(|one| &one.furthest).filter(|one| one.steps > step);
        let mut waits_s: Vec<i64> = Vec::new();
        let mut visitors = 0;
        for one in there {
            visitors += 1;
            if step > 0 {
                waits_s.push((one.times_ms[step] - one.times_ms[step - 1]).div_euclid(1000));
            }
        }
        waits_s.sort_unstable();
        let median_s = waits_s.get(waits_s.len().div_ceil(2).saturating_sub(1)).copied();
        StepFigures { visitors, median_s }
    };
    (0..steps).map(of_step).collect()
}

/// Answers how far visitors got.
pub(super) fn funnel(state: &State, asked: &FunnelQuestion) -> FunnelAnswer {
    let (question, funnel) = (asked.question(), asked.funnel());
    let walk = Walk::over(state, question);
    let steps = funnel.steps.len();
    let by_visit = funnel.window == Window::Visit;
    let mut all = Vec::new();
    for visits in ways(&walk, question, &funnel.steps, by_visit).into_values() {
        let order = |one: &Reached<'_>| (std::cmp::Reverse(one.furthest.steps), one.furthest.ended);
        all.extend(visits.iter().filter_map(|way| reached(funnel, way)).min_by_key(order));
    }
    let everyone: Vec<&Reached<'_>> = all.iter().collect();
    let mut groups: BTreeMap<String, Vec<&Reached<'_>>> = BTreeMap::new();
    if let Some(dimension) = asked.breakdown() {
        for one in &all {
            for key in walk.key(question, dimension, Thing::Event(one.first)) {
                let Key::Text(text) = key else { continue };
                groups.entry(text).or_default().push(one);
            }
        }
    }
    let group_count = groups.len() as u64;
    let sizes = groups.iter().map(|(name, of_group)| (name.clone(), of_group.len() as u64));
    let (shown, _) = ranked(sizes.collect(), GROUPS_MAX);
    let of_group = |name: String| {
        let figures = figures(groups.get(&name).map_or(&[], Vec::as_slice), steps);
        (name, figures)
    };
    FunnelAnswer {
        steps: figures(&everyone, steps),
        instead: instead(asked, &all),
        groups: shown.into_iter().map(|(name, _)| of_group(name)).collect(),
        group_count,
        anonymous: all.iter().filter(|one| !is_identified(one.first)).count() as u64,
    }
}

fn instead(asked: &FunnelQuestion, all: &[Reached<'_>]) -> Vec<Instead> {
    if asked.instead() == 0 {
        return Vec::new();
    }
    let of_step = |steps: usize| {
        let dropped = all.iter().map(|one| &one.furthest).filter(|one| one.steps == steps);
        let mut counts: BTreeMap<Waypoint, u64> = BTreeMap::new();
        let mut left = 0;
        for one in dropped {
            match &one.next {
                Some(waypoint) => *counts.entry(waypoint.clone()).or_default() += 1,
                None => left += 1,
            }
        }
        let (next, others) = ranked(counts.into_iter().collect(), asked.instead());
        Instead { left, next, others }
    };
    (1..asked.funnel().steps.len()).map(of_step).collect()
}

/// Answers where visits went, or came from.
pub(super) fn journeys(state: &State, asked: &JourneyQuestion) -> JourneyAnswer {
    let question = asked.question();
    let walk = Walk::over(state, question);
    let goals = std::slice::from_ref(&asked.anchor);
    let mut followed: Vec<Vec<Waypoint>> = Vec::new();
    for visit in ways(&walk, question, goals, true).into_values().flatten() {
        let Some(anchor) = visit.iter().position(|moment| moment.converts[0]) else { continue };
        let ordinary = |moments: &[Moment<'_>]| {
            let moments = moments.iter().filter(|moment| is_ordinary(moment.happening));
            moments.map(|moment| waypoint(&moment.happening.row.event)).collect::<Vec<_>>()
        };
        // What lies at the near end is compared with the anchor, or with what is next to it where the anchor is no event.
        let mut way = match asked.direction {
            JourneyDirection::After => ordinary(&visit[anchor + 1..]),
            JourneyDirection::Before => {
                let mut way = ordinary(&visit[..anchor]);
                way.reverse();
                way
            }
        };
        let near = match asked.direction {
            JourneyDirection::After => ordinary(&visit[..=anchor]).pop(),
            JourneyDirection::Before => ordinary(&visit[anchor..=anchor]).pop(),
        };
        if asked.is_collapsed {
            let whole: Vec<Waypoint> = near.clone().into_iter().chain(way).collect();
            let mut collapsed: Vec<Waypoint> = Vec::new();
            for waypoint in whole {
                if collapsed.last() != Some(&waypoint) {
                    collapsed.push(waypoint);
                }
            }
            way = collapsed.into_iter().skip(usize::from(near.is_some())).collect();
        }
        way.truncate(asked.steps as usize);
        followed.push(way);
    }
    let all: Vec<&[Waypoint]> = followed.iter().map(Vec::as_slice).collect();
    JourneyAnswer { visits: all.len() as u64, branches: branches(asked, &all, 0) }
}

fn branches(asked: &JourneyQuestion, ways: &[&[Waypoint]], depth: usize) -> Branches {
    if depth >= asked.steps as usize {
        return Branches::default();
    }
    let mut counts: BTreeMap<Waypoint, u64> = BTreeMap::new();
    for waypoint in ways.iter().filter_map(|way| way.get(depth)) {
        *counts.entry(waypoint.clone()).or_default() += 1;
    }
    let ended = ways.iter().filter(|way| way.len() <= depth).count() as u64;
    let (shown, others) = ranked(counts.into_iter().collect(), asked.top as usize);
    let node = |(waypoint, visits): (Waypoint, u64)| {
        let through: Vec<&[Waypoint]> =
            ways.iter().copied().filter(|way| way.get(depth) == Some(&waypoint)).collect();
        let branches = branches(asked, &through, depth + 1);
        JourneyNode { waypoint, visits, branches }
    };
    Branches { nodes: shown.into_iter().map(node).collect(), others, ended }
}

/// Answers who came back.
pub(super) fn retention(state: &State, asked: &RetentionQuestion) -> RetentionAnswer {
    let (question, buckets) = (asked.question(), asked.buckets());
    let walk = Walk::over(state, question);
    let counts = |goal: Option<&Goal>, happening: Happening<'_>| match goal {
        Some(goal) => {
            (!names_engagement(&happening.row.event) || happening.row.session_id != 0)
                && walk.converts(goal, happening)
        }
        None => is_ordinary(happening),
    };
    let mut answer = RetentionAnswer::empty(buckets.count());
    let mut starts: BTreeMap<u64, i64> = BTreeMap::new();
    let mut anonymous: BTreeSet<u64> = BTreeSet::new();
    for happening in walk.events.iter().copied() {
        let passes = |filter| walk.passes(filter, Thing::Event(happening));
        if !counts(asked.start(), happening) || !question.filters.iter().all(passes) {
            continue;
        }
        let event = &happening.row.event;
        if is_identified(happening) {
            let first = starts.entry(event.visitor_id.0).or_insert(event.timestamp_ms);
            *first = event.timestamp_ms.min(*first);
        } else if buckets.range().covers_ms(event.timestamp_ms) {
            anonymous.insert(event.visitor_id.0);
        }
    }
    answer.anonymous = anonymous.len() as u64;
    let covers = |at_ms: i64| buckets.range().covers_ms(at_ms);
    let cohort = |first_ms: i64| if covers(first_ms) { buckets.index_of(first_ms) } else { -1 };
    for first_ms in starts.values().filter(|first_ms| covers(**first_ms)) {
        answer.sizes[cohort(*first_ms) as usize] += 1;
    }
    for (visitor, first_ms) in &starts {
        let back = walk.events.iter().copied().filter(|happening| {
            happening.row.event.visitor_id.0 == *visitor
                && is_identified(*happening)
                && covers(happening.row.event.timestamp_ms)
                && counts(asked.returning(), *happening)
        });
        let periods: BTreeSet<i64> =
            back.map(|happening| buckets.index_of(happening.row.event.timestamp_ms)).collect();
        let cohort = cohort(*first_ms);
        for period in periods.into_iter().filter(|period| *period > cohort) {
            answer.returning[period as usize] += 1;
            if cohort >= 0 {
                answer.returned[cohort as usize][(period - cohort - 1) as usize] += 1;
            }
        }
    }
    answer
}
