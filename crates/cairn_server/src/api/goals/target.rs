//! What a goal is to reach until a day, and how far it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use cairn_catalog::{Goal, GoalTarget};
use cairn_engine::report::{self, ReportSite};
use cairn_model::question::Goal as QuestionGoal;
use http::HeaderMap;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::definition;
use crate::App;
use crate::api::body::{Fields, missing};
use crate::api::{events, query};
use crate::auth::{SiteAccess, blocking};
use crate::error::ApiError;

/// Most conversions that a target may ask for.
const CONVERSIONS_MAX: i64 = 1_000_000_000;

/// What a goal is to reach.
#[derive(Serialize, ToSchema)]
#[schema(as = GoalTarget)]
pub struct TargetBody {
    /// So many conversions; null: an amount.
    #[schema(required)]
    pub conversions: Option<u64>,
    /// So much revenue, in the main unit of the goal's currency.
    #[schema(value_type = Option<f64>, required)]
    pub amount: Option<Box<RawValue>>,
    /// First day, in the site's zone.
    pub from: String,
    /// Last day.
    pub until: String,
}

/// How far a goal is from its target.
#[derive(Serialize, ToSchema)]
pub struct GoalProgress {
    /// What it is to reach.
    pub target: TargetBody,
    /// Conversions since its first day.
    pub conversions: u64,
    /// Revenue since then, for goals with a currency: `value`, `currency`, `short`, `long`.
    #[schema(value_type = Option<Object>, required)]
    pub revenue: Value,
    /// What was reached, in percent of the target.
    pub share: f64,
    /// Days from the first to the last.
    pub days: i64,
    /// Days that are over or running.
    pub days_begun: i64,
    /// What would have been reached by now if each day brought the same, in percent.
    pub share_expected: f64,
    /// `waiting`, `running`, `reached` or `missed`.
    #[schema(example = "running")]
    pub state: String,
}

fn date(fields: &mut Fields, name: &'static str) -> Result<Option<Date>, ApiError> {
    let path = fields.path(name);
    let wrong = || ApiError::invalid(path, "The day must be a date such as 2026-12-31.");
    let Some(text) = fields.text(name)? else { return Ok(None) };
    if text.len() != 10 { Err(wrong()) } else { text.parse().map(Some).map_err(|_| wrong()) }
}

/// Today in a zone.
fn today(timezone: &str, now_ms: i64) -> Date {
    let zone = TimeZone::get(timezone).unwrap_or(TimeZone::UTC);
    let now = Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    now.to_zoned(zone).date()
}

/// Reads what a goal is to reach; it begins today unless it says when.
pub(super) fn read(
    fields: &mut Fields,
    currency: &str,
    (timezone, now_ms): (&str, i64),
) -> Result<Option<GoalTarget>, ApiError> {
    let Some(mut target) = fields.object("target")? else { return Ok(None) };
    let conversions = target.whole("conversions", 1..=CONVERSIONS_MAX)?;
    let conversions = conversions.and_then(|count| u64::try_from(count).ok());
    let amount_minor = definition::amount(&mut target, "amount", currency)?;
    let from = date(&mut target, "from")?.unwrap_or_else(|| today(timezone, now_ms));
    let until = date(&mut target, "until")?.ok_or_else(|| missing("target.until"))?;
    target.finish()?;
    if conversions.is_some() == amount_minor.is_some() {
        let message = "A target has either conversions or an amount.";
        return Err(ApiError::invalid("target", message));
    }
    if amount_minor == Some(0) {
        return Err(ApiError::invalid("target.amount", "The amount must be above 0."));
    }
    if until < from {
        return Err(ApiError::invalid("target.until", "The target ends before it begins."));
    }
    let (from, until) = (from.to_string(), until.to_string());
    Ok(Some(GoalTarget { conversions, amount_minor, from, until }))
}

/// A target as the API writes it.
pub(super) fn body(target: GoalTarget, currency: &str) -> TargetBody {
    TargetBody {
        conversions: target.conversions,
        amount: target.amount_minor.and_then(|amount| events::amount(amount, currency)),
        from: target.from,
        until: target.until,
    }
}

/// Shows how far a goal is from its target. Reports of engagement (depth, section, time) count once for each visit; other
/// goals count every conversion.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/goals/{goal_id}/progress", tag = "goals",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("goal_id" = String, Path, description = "Number of the goal")),
    responses((status = 200, body = GoalProgress)))]
pub async fn progress(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    Path((_, goal_id)): Path<(String, String)>,
) -> Result<Json<GoalProgress>, ApiError> {
    let goal_id: i64 = goal_id.parse().map_err(|_| ApiError::not_found())?;
    let (site_id, timezone) = (access.site_id(), access.site().timezone.clone());
    let goals = blocking(&app, move |catalog| catalog.goals(site_id)).await?;
    let goal = goals.into_iter().find(|goal| goal.id == goal_id).ok_or_else(ApiError::not_found)?;
    let Goal { definition: goal, .. } = goal;
    let target = goal.target.clone().ok_or_else(ApiError::not_found)?;
    let today = today(&timezone, app.now_ms(&headers));
    let counted = definition::question_goal(goal.clone())?;
    let (conversions, revenue) =
        reached(&app, (site_id, timezone), counted, &target, app.now_ms(&headers)).await?;
    let days = |text: &str| text.parse::<Date>().unwrap_or(today);
    let span = |from: Date, until: Date| i64::from(until.since(from).map_or(0, |s| s.get_days()));
    let (from, until) = (days(&target.from), days(&target.until));
    let all = span(from, until) + 1;
    let begun = (span(from, today) + 1).clamp(0, all);
    let (part, whole) = match (target.conversions, target.amount_minor) {
        (Some(wanted), _) => (conversions as f64, wanted as f64),
        (None, amount) => {
            let scale = 10_f64.powi(decimals(&goal.currency));
            let value = revenue["value"].as_f64().unwrap_or_default();
            (value * scale, amount.unwrap_or(1) as f64)
        }
    };
    let percent = |part: f64, whole: f64| (part / whole * 10_000.0).round() / 100.0;
    let state = match () {
        () if part >= whole => "reached",
        () if today < from => "waiting",
        () if today > until => "missed",
        () => "running",
    };
    Ok(Json(GoalProgress {
        conversions,
        share: percent(part, whole),
        days: all,
        days_begun: begun,
        share_expected: percent(begun as f64, all as f64),
        state: state.to_owned(),
        target: body(target, &goal.currency),
        revenue,
    }))
}

fn decimals(currency: &str) -> i32 {
    i32::try_from(cairn_model::currency::minor_unit_decimals(currency)).unwrap_or(2)
}

/// Conversions and revenue from the target's first day to its last.
async fn reached(
    app: &Arc<App>,
    (site_id, timezone): (cairn_model::SiteId, String),
    goal: QuestionGoal,
    target: &GoalTarget,
    now_ms: i64,
) -> Result<(u64, Value), ApiError> {
    let count = if goal.trigger.is_engagement() { "visits" } else { "events" };
    let body = json!({
        "site_id": "goal",
        "metrics": [count, "total_revenue"],
        "date_range": [target.from, target.until],
        "filters": [["is", "event:goal", [goal.name]]],
    });
    let answer = crate::api::with_store(app, move |store| {
        let goals = [goal];
        let (goals, restarts_ms) = (&goals, &[]);
        let site = ReportSite { site_id, timezone: &timezone, goals, restarts_ms, books: None };
        report::ask(store, site, &body, now_ms)
    });
    let mut answer = answer.await?.map_err(query::failed)?;
    let metrics = answer["results"][0]["metrics"].take();
    Ok((metrics[0].as_u64().unwrap_or_default(), metrics[1].clone()))
}
