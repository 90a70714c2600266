//! The furthest run of each visitor through the steps of a funnel, from moments in order.
//!
//! Guarantees: one look at each moment, and memory that does not depend on how many there are. The definitions are those of
//! `cairn_model::question::funnel`. For each step the run is kept that ends there last: it also begins last of all that
//! end there, since each of its events is the latest possible, so whenever any run can go on, this one can.

use std::collections::HashMap;

use cairn_model::question::funnel::{Funnel, STEPS_MAX, StepFigures, StepOrder, Window};

use super::moments::{Moment, Spot};

/// Events of steps 1 to k; as many of the times count.
#[derive(Clone, Copy)]
struct Run {
    times_ms: [i64; STEPS_MAX],
    /// The group of its first step's event.
    group: u32,
    is_identified: bool,
}

/// The furthest run so far.
#[derive(Clone, Copy)]
struct Furthest {
    run: Run,
    steps: usize,
    ended: (i64, u64),
    /// What came after it.
    next: Option<Spot>,
}

/// How far visitors of a group got.
#[derive(Clone, Default)]
pub(super) struct Tally {
    visitors: [u64; STEPS_MAX],
    /// Seconds from the step before, and how many visitors took so many.
    waits: Vec<HashMap<i64, u64>>,
}

impl Tally {
    fn add(&mut self, furthest: &Furthest) {
        self.waits.resize_with(STEPS_MAX, HashMap::new);
        for step in 0..furthest.steps {
            self.visitors[step] += 1;
            if step > 0 {
                let times = &furthest.run.times_ms;
                let wait_s = (times[step] - times[step - 1]).div_euclid(1000);
                *self.waits[step].entry(wait_s).or_default() += 1;
            }
        }
    }

    /// The figures of so many steps.
    pub(super) fn figures(&self, steps: usize) -> Vec<StepFigures> {
        let median = |step: usize| median(self.waits.get(step)?, self.visitors[step]);
        (0..steps)
            .map(|step| StepFigures { visitors: self.visitors[step], median_s: median(step) })
            .collect()
    }
}

/// The smallest value that half of them do not exceed.
fn median(counts: &HashMap<i64, u64>, all: u64) -> Option<i64> {
    let mut values: Vec<(i64, u64)> =
        counts.iter().map(|(value, count)| (*value, *count)).collect();
    values.sort_unstable();
    let mut seen = 0;
    let half = values.into_iter().find(|(_, count)| {
        seen += count;
        2 * seen >= all
    });
    half.map(|(value, _)| value)
}

/// What those did next who dropped out at a step.
#[derive(Clone, Default)]
pub(super) struct Dropped {
    pub(super) left: u64,
    pub(super) next: HashMap<Spot, u64>,
}

/// All that is counted.
pub(super) struct Runs<'f> {
    funnel: &'f Funnel,
    /// By group.
    pub(super) groups: Vec<Tally>,
    pub(super) total: Tally,
    /// By step.
    pub(super) dropped: Vec<Dropped>,
    pub(super) anonymous: u64,
    /// Whose moments come, and their visit.
    of: Option<(u64, u64)>,
    /// The latest run to each step; of steps in any order, the latest event of each.
    latest: [Option<Run>; STEPS_MAX],
    /// The furthest of the visit, or of all where runs are not bound to one.
    here: Option<Furthest>,
    /// The visitor's furthest in other visits.
    elsewhere: Option<Furthest>,
}

impl<'f> Runs<'f> {
    pub(super) fn new(funnel: &'f Funnel) -> Self {
        Runs {
            funnel,
            groups: Vec::new(),
            total: Tally::default(),
            dropped: vec![Dropped::default(); funnel.steps.len()],
            anonymous: 0,
            of: None,
            latest: [None; STEPS_MAX],
            here: None,
            elsewhere: None,
        }
    }

    /// The next moment, in order; `group` is the number of its group.
    pub(super) fn add(&mut self, moment: &Moment<'_>, group: u32) {
        let visit = if self.funnel.window == Window::Visit { moment.session_id } else { 0 };
        let of = (moment.visitor_id, visit);
        if self.of != Some(of) {
            self.end_visit();
            if self.of.is_some_and(|(visitor, _)| visitor != moment.visitor_id) {
                self.end_visitor();
            }
            self.of = Some(of);
        }
        if let (Some(here), true) = (&mut self.here, moment.is_ordinary) {
            here.next.get_or_insert(moment.spot);
        }
        let reached = match self.funnel.order {
            StepOrder::Ordered => self.go_on(moment, group),
            StepOrder::Strict => self.go_on_directly(moment, group),
            StepOrder::Any => self.collect(moment, group),
        };
        if let Some((steps, run)) = reached
            && self.here.is_none_or(|here| steps > here.steps)
        {
            let ended = (moment.at_ms, moment.offset);
            self.here = Some(Furthest { run, steps, ended, next: None });
        }
    }

    fn steps(&self) -> usize {
        self.funnel.steps.len()
    }

    fn is_in_time(&self, from_ms: i64, to_ms: i64) -> bool {
        match self.funnel.window {
            Window::Visit => true,
            Window::Within(ms) => to_ms - from_ms <= ms,
        }
    }

    /// The run to a step that this moment ends, if there is one.
    fn run_to(&self, step: usize, moment: &Moment<'_>, group: u32) -> Option<Run> {
        if moment.goals & (1 << step) == 0 {
            return None;
        }
        if step == 0 {
            let times_ms = [moment.at_ms; STEPS_MAX];
            return Some(Run { times_ms, group, is_identified: moment.is_identified });
        }
        let before = self.latest[step - 1];
        let mut run = before.filter(|run| self.is_in_time(run.times_ms[0], moment.at_ms))?;
        run.times_ms[step] = moment.at_ms;
        Some(run)
    }

    /// The furthest step of which a run ends here.
    fn go_on(&mut self, moment: &Moment<'_>, group: u32) -> Option<(usize, Run)> {
        let mut reached = None;
        // Backwards, so that no event stands for two steps of a run.
        for step in (0..self.steps()).rev() {
            if let Some(run) = self.run_to(step, moment, group) {
                self.latest[step] = Some(run);
                reached = reached.or(Some((step + 1, run)));
            }
        }
        reached
    }

    /// The same where nothing may lie in between.
    fn go_on_directly(&mut self, moment: &Moment<'_>, group: u32) -> Option<(usize, Run)> {
        let mut reached = None;
        for step in (0..self.steps()).rev() {
            self.latest[step] = self.run_to(step, moment, group);
            reached = reached.or(self.latest[step].map(|run| (step + 1, run)));
        }
        reached
    }

    /// The steps from the first on of which an event is near enough.
    fn collect(&mut self, moment: &Moment<'_>, group: u32) -> Option<(usize, Run)> {
        for step in 0..self.steps() {
            if moment.goals & (1 << step) != 0 {
                let times_ms = [moment.at_ms; STEPS_MAX];
                let is_identified = moment.is_identified;
                self.latest[step] = Some(Run { times_ms, group, is_identified });
            }
        }
        let mut run = self.latest[0]?;
        let mut steps = 0;
        for (step, latest) in self.latest.iter().take(self.steps()).enumerate() {
            let Some(at_ms) = latest.map(|latest| latest.times_ms[0]) else { break };
            if !self.is_in_time(at_ms, moment.at_ms) {
                break;
            }
            let before = if step == 0 { at_ms } else { run.times_ms[step - 1] };
            run.times_ms[step] = at_ms.max(before);
            steps = step + 1;
        }
        (steps > 0).then_some((steps, run))
    }

    fn end_visit(&mut self) {
        self.latest = [None; STEPS_MAX];
        let Some(here) = self.here.take() else { return };
        let is_better = |other: &Furthest| {
            here.steps > other.steps || (here.steps == other.steps && here.ended < other.ended)
        };
        if self.elsewhere.as_ref().is_none_or(is_better) {
            self.elsewhere = Some(here);
        }
    }

    fn end_visitor(&mut self) {
        let Some(furthest) = self.elsewhere.take() else { return };
        self.total.add(&furthest);
        self.anonymous += u64::from(!furthest.run.is_identified);
        let group = furthest.run.group as usize;
        if group >= self.groups.len() {
            self.groups.resize_with(group + 1, Tally::default);
        }
        self.groups[group].add(&furthest);
        if furthest.steps < self.steps() {
            let dropped = &mut self.dropped[furthest.steps - 1];
            match furthest.next {
                Some(spot) => *dropped.next.entry(spot).or_default() += 1,
                None => dropped.left += 1,
            }
        }
    }

    /// No more moments come.
    pub(super) fn end(&mut self) {
        self.end_visit();
        self.end_visitor();
    }
}
