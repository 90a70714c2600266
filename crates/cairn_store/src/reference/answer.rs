//! Answers by walking over everything: the naive counterpart of every other backend.
//!
//! Guarantees: follows QUERY.md word by word, without cleverness. Slow.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::answer::{Answer, Figure, Key, Row as AnswerRow, rounded};
use cairn_model::event::PAGE_VIEW;
use cairn_model::question::revenue::thousandths;
use cairn_model::question::{Dimension, Engagement, Filter, Metric, Question, TimeUnit};
use cairn_model::{Identification, Session};

use super::State;
use super::orders::Sums;
use super::tallies::Tallied;
use super::walk::{Happening, Thing, Walk, names_engagement};
use crate::plan::{Plan, Sides, Source};

/// Counts of one group.
#[derive(Default)]
struct Tally {
    visitors: BTreeSet<u64>,
    visits: BTreeSet<u64>,
    pageviews: i64,
    events: i64,
    bounces: i64,
    bounce_visits: i64,
    seconds: i64,
    visit_pageviews: i64,
    /// Currency and minor units of each event that carries an amount.
    amounts: Vec<(String, i64)>,
    /// Deepest scroll of each visit.
    depths: BTreeMap<u64, u8>,
    /// Engaged milliseconds of each visit.
    engaged_ms: BTreeMap<u64, i64>,
}

impl Tally {
    fn add_event(&mut self, happening: Happening<'_>, earns: bool) {
        let event = &happening.row.event;
        self.visitors.insert(event.visitor_id.0);
        self.visits.insert(happening.row.session_id);
        self.pageviews += i64::from(event.name == PAGE_VIEW);
        self.events += i64::from(!names_engagement(event));
        if let Some(amount) = event.value_minor.filter(|_| earns) {
            self.amounts.push((event.currency.to_string(), amount));
        }
    }

    fn add_engagement(&mut self, happening: Happening<'_>) {
        let (event, visit) = (&happening.row.event, happening.row.session_id);
        if let Some(depth) = event.scroll_percent.filter(|depth| *depth <= 100) {
            let deepest = self.depths.entry(visit).or_default();
            *deepest = depth.max(*deepest);
        }
        if let Some(engaged_ms) = event.engagement_ms.filter(|engaged_ms| *engaged_ms > 0) {
            *self.engaged_ms.entry(visit).or_default() += i64::from(engaged_ms);
        }
    }

    fn add_visit(&mut self, visit: &Session, entered: bool) {
        self.visitors.insert(visit.visitor_id.0);
        self.visits.insert(visit.session_id);
        self.bounces += i64::from(entered && visit.is_bounce());
        self.bounce_visits += i64::from(entered);
        self.seconds += visit.duration_s();
        self.visit_pageviews += i64::from(visit.pageviews);
    }

    fn visitors(&self) -> i64 {
        self.visitors.len() as i64
    }

    /// Amounts in a currency: their number and their sum.
    fn revenue(&self, currency: &str) -> (i64, i128) {
        let of_currency = self.amounts.iter().filter(|(known, _)| known == currency);
        let amounts: Vec<i128> = of_currency.map(|(_, amount)| i128::from(*amount)).collect();
        (amounts.len() as i64, amounts.iter().sum())
    }
}

type Groups = BTreeMap<Vec<Key>, Tally>;

fn rate(part: i64, whole: i64, scale: i64) -> i64 {
    if whole == 0 { 0 } else { rounded(part, whole, scale) }
}

/// All that rows are made from.
struct Counted<'p> {
    plan: &'p Plan<'p>,
    events: Groups,
    visits: Groups,
    engagement: Groups,
    /// The same groups, goals left aside, before goal and property filters.
    everyone: Groups,
    /// Page views by path, for exit rates.
    pageviews: BTreeMap<String, i64>,
    total: i64,
    total_before_conversion: i64,
    tallied: Tallied,
    sums: Sums,
}

/// Answers a question.
pub(super) fn answer(state: &State, question: &Question) -> Answer {
    let plan = Plan::of(question);
    let walk = Walk::over(state, question);
    let counted = count(state, &walk, &plan);
    let mut groups: BTreeSet<&Vec<Key>> = match plan.sides {
        Sides::Visits => counted.visits.keys().collect(),
        _ if plan.counts_ordinary => {
            counted.events.keys().chain(counted.tallied.groups()).collect()
        }
        _ => counted.tallied.groups().chain(counted.sums.groups()).collect(),
    };
    let hourly = question.dimensions.contains(&Dimension::Time(TimeUnit::Hour));
    if plan.sides == Sides::Both && hourly && plan.counts_in(Source::Visits) {
        groups.extend(counted.visits.keys());
    }
    let mut rows = Vec::new();
    for keys in groups.into_iter().filter(|keys| is_wanted(question, keys)) {
        let figures = question.metrics.iter().map(|metric| counted.figure(*metric, keys)).collect();
        rows.push(AnswerRow { keys: keys.clone(), figures });
    }
    // Without rows there is nobody to speak of.
    let mixed = !rows.is_empty() && plan.watches_identification();
    let answer = finish(question, rows, mixed && mixes_identification(&walk, &plan));
    Answer { notes: counted.sums.notes, ..answer }
}

/// The range has identified visitors and anonymous ones.
fn mixes_identification(walk: &Walk<'_>, plan: &Plan<'_>) -> bool {
    let filters = plan.identification_filters();
    let kinds: Vec<Identification> = if plan.sides == Sides::Visits {
        let visits = walk.kept_visits(&filters, Engagement::Hidden);
        visits.iter().map(|visit| visit.identification).collect()
    } else {
        let events = walk.kept_events(&filters, Engagement::Hidden);
        events.iter().map(|happening| happening.row.event.identification).collect()
    };
    kinds.contains(&Identification::Identified) && kinds.contains(&Identification::Anonymous)
}

fn count<'p>(state: &State, walk: &Walk<'_>, plan: &'p Plan<'p>) -> Counted<'p> {
    let dimensions = &plan.question.dimensions;
    let without_goal: Vec<Dimension> =
        dimensions.iter().filter(|one| **one != Dimension::Goal).cloned().collect();
    let everyone = if plan.sides == Sides::Visits {
        let filters = Plan::without_conversion_filters(&plan.visit_filters);
        let visits = walk.kept_visits(&filters, plan.engagement_without_goals);
        group_visits(walk, plan, visits, &without_goal)
    } else {
        let filters = Plan::without_conversion_filters(&plan.filters);
        let happenings = walk.kept_events(&filters, plan.engagement_without_goals);
        group_events(walk, plan, happenings, &without_goal)
    };
    let asked = &plan.question.filters;
    let happenings = walk.kept_anywhere(&plan.filters, plan.engagement, plan.off_site);
    let kept_visits = walk.kept_visits(&plan.visit_filters, plan.engagement);
    Counted {
        plan,
        events: group_events(walk, plan, happenings, dimensions),
        visits: group_visits(walk, plan, kept_visits, dimensions),
        engagement: group_engagement(walk, plan),
        everyone,
        pageviews: exit_pageviews(walk, plan),
        tallied: Tallied::of(walk, plan),
        sums: Sums::of(state, walk, plan),
        total: total_visitors(walk, plan, asked, plan.total_engagement(), plan.off_site_filtered),
        total_before_conversion: total_visitors(
            walk,
            plan,
            &Plan::without_conversion_filters(asked),
            plan.total_engagement_without_goals(),
            false,
        ),
    }
}

fn group_events(
    walk: &Walk<'_>,
    plan: &Plan<'_>,
    happenings: Vec<Happening<'_>>,
    dimensions: &[Dimension],
) -> Groups {
    let mut groups = Groups::new();
    if dimensions.is_empty() {
        groups.entry(Vec::new()).or_default();
    }
    // Where rows are goals, each speaks for itself.
    let by_goal = dimensions.contains(&Dimension::Goal);
    for happening in happenings {
        let mut earning = plan.question.revenue_goals();
        let earns = by_goal || earning.any(|goal| walk.converts(goal, happening));
        for keys in walk.keys(plan.question, dimensions, Thing::Event(happening)) {
            groups.entry(keys).or_default().add_event(happening, earns);
        }
    }
    groups
}

fn group_visits<'a>(
    walk: &Walk<'a>,
    plan: &Plan<'_>,
    visits: Vec<&'a Session>,
    dimensions: &[Dimension],
) -> Groups {
    let mut groups = Groups::new();
    if dimensions.is_empty() {
        groups.entry(Vec::new()).or_default();
    }
    for visit in visits {
        let thing = Thing::Visit(visit);
        let entered = plan.bounce_filters.iter().all(|filter| walk.passes(filter, thing));
        for keys in walk.keys(plan.question, dimensions, thing) {
            groups.entry(keys).or_default().add_visit(visit, entered);
        }
    }
    groups
}

fn group_engagement(walk: &Walk<'_>, plan: &Plan<'_>) -> Groups {
    let mut groups = Groups::new();
    for happening in walk.kept_events(&plan.filters, Engagement::All) {
        if names_engagement(&happening.row.event) {
            for keys in walk.keys(plan.question, &plan.question.dimensions, Thing::Event(happening))
            {
                groups.entry(keys).or_default().add_engagement(happening);
            }
        }
    }
    groups
}

fn exit_pageviews(walk: &Walk<'_>, plan: &Plan<'_>) -> BTreeMap<String, i64> {
    let mut pageviews = BTreeMap::new();
    for happening in
        walk.kept_events(&Plan::without_exit_filters(&plan.question.filters), Engagement::Hidden)
    {
        let event = &happening.row.event;
        if event.name == PAGE_VIEW {
            *pageviews.entry(event.path.to_string()).or_default() += 1;
        }
    }
    pageviews
}

/// Visitors of the whole question, counted where its rows count them, without the filters that grouping adds.
fn total_visitors(
    walk: &Walk<'_>,
    plan: &Plan<'_>,
    filters: &[Filter],
    engagement: Engagement,
    off_site: bool,
) -> i64 {
    let visitors: BTreeSet<u64> = if plan.sides == Sides::Visits {
        let visits = walk.kept_visits(filters, engagement);
        visits.iter().map(|visit| visit.visitor_id.0).collect()
    } else {
        let events = walk.kept_anywhere(filters, engagement, off_site);
        events.iter().map(|happening| happening.row.event.visitor_id.0).collect()
    };
    visitors.len() as i64
}

/// Whether a comparison asked for this group.
fn is_wanted(question: &Question, keys: &[Key]) -> bool {
    let Some(wanted) = &question.only_groups else { return true };
    let others: Vec<&Key> = keys.iter().filter(|key| !matches!(key, Key::Bucket(_))).collect();
    wanted.iter().any(|group| group.iter().collect::<Vec<_>>() == others)
}

impl Counted<'_> {
    fn figure(&self, metric: Metric, keys: &Vec<Key>) -> Figure {
        match metric {
            Metric::Tally(tally) => return self.tallied.figure(tally, keys),
            Metric::Sum(sum) => return Figure::Whole(self.sums.get(sum, keys)),
            _ => {}
        }
        let nothing = Tally::default();
        let groups = match self.plan.source(metric) {
            Source::Events => &self.events,
            Source::Visits => &self.visits,
            Source::Engagement => &self.engagement,
        };
        let tally = groups.get(keys).unwrap_or(&nothing);
        let (visits, visitors) = (tally.visits.len() as i64, tally.visitors());
        match metric {
            Metric::Visitors => Figure::Whole(visitors),
            Metric::Visits => Figure::Whole(visits),
            Metric::Pageviews => Figure::Whole(tally.pageviews),
            Metric::Events => Figure::Whole(tally.events),
            Metric::ViewsPerVisit => Figure::Hundredths(rate(tally.visit_pageviews, visits, 100)),
            Metric::BounceRate => Figure::Whole(rate(tally.bounces, tally.bounce_visits, 100)),
            Metric::VisitDuration => Figure::Whole(rate(tally.seconds, visits, 1)),
            Metric::Percentage if self.total == 0 => Figure::Missing,
            Metric::Percentage => Figure::Tenths(rounded(visitors, self.total, 1000)),
            Metric::ConversionRate => {
                Figure::Hundredths(rate(visitors, self.total_before_conversion, 10_000))
            }
            Metric::GroupConversionRate => {
                let no_goal = |key: &&Key| !matches!(key, Key::Goal(_));
                let group: Vec<Key> = keys.iter().filter(no_goal).cloned().collect();
                let everyone = self.everyone.get(&group).unwrap_or(&nothing).visitors();
                Figure::Hundredths(rate(visitors, everyone, 10_000))
            }
            Metric::ScrollDepth => {
                let sum: i64 = tally.depths.values().map(|depth| i64::from(*depth)).sum();
                mean(sum, tally.depths.len() as i64)
            }
            Metric::TimeOnPage => {
                let sum_ms: i64 = tally.engaged_ms.values().sum();
                mean(sum_ms, tally.engaged_ms.len() as i64 * 1000)
            }
            Metric::TotalRevenue | Metric::AverageRevenue => self.revenue(metric, keys, tally),
            // Sums and tallies were told before; the rest is made of sums, after they are counted.
            Metric::Tally(_) | Metric::Sum(_) | Metric::Money(_) => Figure::Missing,
            Metric::ExitRate => {
                let page = keys.first().cloned().unwrap_or(Key::Text(String::new()));
                let Key::Text(page) = page else { return Figure::Missing };
                match self.pageviews.get(&page) {
                    Some(pageviews) => Figure::Tenths(rounded(visits, *pageviews, 1000)),
                    None => Figure::Missing,
                }
            }
        }
    }

    fn revenue(&self, metric: Metric, keys: &[Key], tally: &Tally) -> Figure {
        let Some(currency) = self.plan.question.revenue_currency(keys) else {
            return Figure::Missing;
        };
        match (tally.revenue(currency), metric) {
            ((0, _), _) => Figure::Missing,
            ((_, sum), Metric::TotalRevenue) => Figure::Thousandths(thousandths(sum, currency, 1)),
            ((count, sum), _) => Figure::Thousandths(thousandths(sum, currency, count)),
        }
    }
}

fn mean(sum: i64, count: i64) -> Figure {
    if count == 0 { Figure::Missing } else { Figure::Whole(rounded(sum, count, 1)) }
}

/// Orders the rows and cuts the page.
fn finish(question: &Question, mut rows: Vec<AnswerRow>, mixed_identification: bool) -> Answer {
    rows.sort_by(|left, right| question.compare_rows(left, right));
    let total_rows = question.include.total_rows.then_some(rows.len() as u64);
    let rows = question.cut_page(rows);
    Answer { rows, total_rows, mixed_identification, notes: None }
}
