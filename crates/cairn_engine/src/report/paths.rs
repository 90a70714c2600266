//! Reports about ways: funnels, journeys, retention, and how far a goal is from its target.
//!
//! Guarantees: every number is exact, and the reply says so; where anonymous visitors cannot be known again, it says how many
//! they are. It does not know HTTP, nor where goals and funnels are kept.

use cairn_model::answer::rounded;
use cairn_model::question::funnel::{Funnel, FunnelAnswer, Instead, StepFigures, Waypoint};
use cairn_model::question::journey::{Branches, JourneyDirection};
use cairn_model::question::labels::text_label;
use cairn_model::question::retention::RetentionAnswer;
use cairn_model::question::{
    FunnelQuestion, Goal, JourneyQuestion, Question, RetentionQuestion, TimeUnit,
};
use cairn_store::EventStore;
use serde_json::{Map, Value, json};

use super::{QueryError, ReportSite};

/// What all of them are asked about.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// As in a query.
    pub date_range: &'a Value,
    /// As in a query; null for none.
    pub filters: &'a Value,
    /// The present, Unix milliseconds.
    pub now_ms: i64,
}

/// A funnel as it is asked.
#[derive(Clone, Debug)]
pub struct FunnelRequest {
    /// Its steps.
    pub funnel: Funnel,
    /// A dimension by which it is broken down.
    pub breakdown: Option<String>,
    /// How many places are listed for those who dropped out at a step.
    pub instead: u32,
}

/// Journeys as they are asked.
#[derive(Clone, Debug)]
pub struct JourneyRequest {
    /// Where they begin, or end.
    pub anchor: Goal,
    /// Which way they are followed.
    pub direction: JourneyDirection,
    /// How many steps.
    pub steps: u32,
    /// How many branches of each place.
    pub top: u32,
    /// What follows itself is one step.
    pub is_collapsed: bool,
}

/// Retention as it is asked.
#[derive(Clone, Debug)]
pub struct RetentionRequest {
    /// Length of its periods.
    pub unit: TimeUnit,
    /// What a start has to be besides.
    pub start: Option<Goal>,
    /// What counts as coming back.
    pub returning: Option<Goal>,
}

/// A share in percent, two decimals; null of nothing.
fn share(part: u64, whole: u64) -> Value {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    match whole {
        0 => Value::Null,
        _ => json!(rounded(number(part), number(whole), 10_000) as f64 / 100.0),
    }
}

fn waypoint(waypoint: &Waypoint, count: (&str, u64)) -> Map<String, Value> {
    let (kind, name) = match waypoint {
        Waypoint::Page(path) => ("page", path),
        Waypoint::Event(name) => ("event", name),
    };
    let mut shown = Map::new();
    shown.insert("kind".to_owned(), json!(kind));
    shown.insert("name".to_owned(), json!(name));
    shown.insert(count.0.to_owned(), json!(count.1));
    shown
}

/// The range that was covered and the filters, as they may be asked again.
fn echo(question: &Question) -> Value {
    json!({"date_range": question.echo["date_range"], "filters": question.echo["filters"]})
}

/// Answers a funnel: `steps`, `groups`, `meta` and `query`.
pub fn funnel(
    store: &dyn EventStore,
    site: ReportSite<'_>,
    scope: Scope<'_>,
    request: FunnelRequest,
) -> Result<Value, QueryError> {
    let asking = site.asking(store, scope.date_range, scope.now_ms)?;
    let FunnelRequest { funnel, breakdown, instead } = request;
    let breakdown = breakdown.as_deref();
    let (range, filters) = (scope.date_range, scope.filters);
    let question = FunnelQuestion::parse(range, filters, breakdown, instead, funnel, &asking)?;
    let answer = store.funnel(&question)?;
    let steps = steps(&question, &answer.steps, &answer.instead);
    let groups: Vec<Value> = answer.groups.iter().map(|one| group(&question, one)).collect();
    let meta = json!({
        "exactness": "exact",
        "group_count": answer.group_count,
        "anonymous_visitors": answer.anonymous,
    });
    let rate = conversion(&answer);
    Ok(json!({
        "steps": steps, "conversion_rate": rate, "groups": groups, "meta": meta,
        "query": echo(question.question()),
    }))
}

fn conversion(answer: &FunnelAnswer) -> Value {
    let visitors = |step: Option<&StepFigures>| step.map_or(0, |step| step.visitors);
    share(visitors(answer.steps.last()), visitors(answer.steps.first()))
}

fn group(question: &FunnelQuestion, (value, figures): &(String, Vec<StepFigures>)) -> Value {
    let label = question.breakdown().map(|dimension| text_label(dimension, value).into_owned());
    json!({"value": label, "steps": steps(question, figures, &[])})
}

fn steps(question: &FunnelQuestion, figures: &[StepFigures], instead: &[Instead]) -> Vec<Value> {
    let first = figures.first().map_or(0, |step| step.visitors);
    let mut before = first;
    let mut shown = Vec::with_capacity(figures.len());
    for (index, figure) in figures.iter().enumerate() {
        let visitors = figure.visitors;
        let after = figures.get(index + 1).map_or(visitors, |next| next.visitors);
        let mut step = json!({
            "name": question.funnel().steps[index].name,
            "visitors": visitors,
            "share_of_first": share(visitors, first),
            "share_of_previous": share(visitors, before),
            "dropped": visitors - after,
            "median_s": figure.median_s,
        });
        if let Some(instead) = instead.get(index) {
            let next = instead.next.iter().map(|(to, count)| waypoint(to, ("visitors", *count)));
            let next: Vec<_> = next.collect();
            step["instead"] = json!({"next": next, "others": instead.others, "left": instead.left});
        }
        shown.push(step);
        before = visitors;
    }
    shown
}

/// Answers journeys: `visits`, the tree (`next`, `others`, `ended`), `meta` and `query`.
pub fn journeys(
    store: &dyn EventStore,
    site: ReportSite<'_>,
    scope: Scope<'_>,
    request: JourneyRequest,
) -> Result<Value, QueryError> {
    let asking = site.asking(store, scope.date_range, scope.now_ms)?;
    let JourneyRequest { anchor, direction, steps, top, is_collapsed } = request;
    let question = JourneyQuestion::parse(
        scope.date_range,
        scope.filters,
        (anchor, direction),
        (steps, top),
        is_collapsed,
        &asking,
    )?;
    let answer = store.journeys(&question)?;
    let mut reply = branches(&answer.branches, question.steps);
    reply.insert("visits".to_owned(), json!(answer.visits));
    reply.insert("meta".to_owned(), json!({"exactness": "exact"}));
    reply.insert("query".to_owned(), echo(question.question()));
    Ok(Value::Object(reply))
}

/// Branches of a place from which so many steps are followed.
fn branches(from: &Branches, steps: u32) -> Map<String, Value> {
    let mut shown = Map::new();
    let node = |node: &cairn_model::question::journey::JourneyNode| {
        let mut shown = waypoint(&node.waypoint, ("visits", node.visits));
        if steps > 1 {
            shown.append(&mut branches(&node.branches, steps - 1));
        }
        Value::Object(shown)
    };
    shown.insert("next".to_owned(), from.nodes.iter().map(node).collect());
    shown.insert("others".to_owned(), json!(from.others));
    shown.insert("ended".to_owned(), json!(from.ended));
    shown
}

/// Answers retention: `cohorts`, `periods`, `meta` and `query`.
pub fn retention(
    store: &dyn EventStore,
    site: ReportSite<'_>,
    scope: Scope<'_>,
    request: RetentionRequest,
) -> Result<Value, QueryError> {
    let asking = site.asking(store, scope.date_range, scope.now_ms)?;
    let goals = (request.start, request.returning);
    let question =
        RetentionQuestion::parse(scope.date_range, scope.filters, request.unit, goals, &asking)?;
    let answer = store.retention(&question)?;
    // Periods that have not begun have nothing to show.
    let begun =
        (question.buckets().index_of(scope.now_ms) + 1).clamp(0, question.buckets().count());
    let begun = usize::try_from(begun).unwrap_or_default();
    let labels = question.buckets().labels();
    let cohort = |index: usize| cohort(&answer, index, begun, &labels);
    let period = |index: usize| json!({"label": labels[index], "new": answer.sizes[index], "returning": answer.returning[index]});
    let meta = json!({
        "exactness": "exact",
        "anonymous_visitors_left_out": answer.anonymous,
        "anonymous_reason": "Anonymous visitors get a new number every day, so that nobody knows whether they came back.",
        "last_period_is_complete": question.buckets().range().to_s * 1000 < scope.now_ms,
    });
    let asked = question.buckets().range();
    let instant = |at_s: i64| jiff::Timestamp::from_second(at_s).map(|at| at.to_string()).ok();
    Ok(json!({
        "cohorts": (0..begun).map(cohort).collect::<Vec<_>>(),
        "periods": (0..begun).map(period).collect::<Vec<_>>(),
        "meta": meta,
        "query": {
            "date_range": [instant(asked.from_s), instant(asked.to_s)],
            "period": question.buckets().unit().name(),
            "filters": question.question().echo["filters"],
        },
    }))
}

fn cohort(answer: &RetentionAnswer, index: usize, begun: usize, labels: &[String]) -> Value {
    let size = answer.sizes[index];
    let returned: Vec<Value> = answer.returned[index]
        .iter()
        .take(begun - 1 - index)
        .map(|count| json!({"visitors": count, "share": share(*count, size)}))
        .collect();
    json!({"label": labels[index], "visitors": size, "returned": returned})
}
