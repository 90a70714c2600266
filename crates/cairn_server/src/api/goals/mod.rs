//! Goals: what counts as a conversion.

pub(crate) mod definition;
pub mod target;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use cairn_catalog::{Goal, GoalCondition, NewGoal};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{JsonBody, Parameters};
use super::page::{Page, PageRequest};
use super::{events, show};
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::ApiError;
use serde_json::value::RawValue;
use target::TargetBody;

/// What a goal asks for.
#[derive(Serialize, ToSchema)]
#[schema(as = GoalDefinition)]
pub struct DefinitionBody {
    /// Name shown and used in queries; unique on the site.
    pub display_name: String,
    /// Name of the event that fulfils it; null for other goals.
    #[schema(required)]
    pub event_name: Option<String>,
    /// Path of the page that fulfils it (`*` = any run of characters); with a section or a time, the pages that count.
    #[schema(required)]
    pub page_path: Option<String>,
    /// Section that is to be read, with `*`.
    #[schema(required)]
    pub section: Option<String>,
    /// Seconds in view and in use that a visit is to reach: on one page where there is a path, else on all.
    #[schema(required)]
    pub engaged_s: Option<u32>,
    /// ISO 4217 code of a revenue goal.
    #[schema(required)]
    pub currency: Option<String>,
    /// Smallest amount that fulfils it, in the currency's main unit.
    #[schema(value_type = Option<f64>, required)]
    pub value_min: Option<Box<RawValue>>,
    /// Depth in percent that must be reached on the page.
    #[schema(required)]
    pub scroll_threshold: Option<u8>,
    /// Properties that the event must have.
    pub custom_props: BTreeMap<String, String>,
    /// What the event's properties must be besides.
    pub conditions: Vec<ConditionBody>,
}

/// What a property of the event must be.
#[derive(Serialize, ToSchema)]
#[schema(as = GoalCondition)]
pub struct ConditionBody {
    /// The property.
    pub prop: String,
    /// `is`, `is_not`, `contains`, `contains_not`, `matches`, `matches_not`, `greater` or `less`.
    #[schema(example = "greater")]
    pub operator: String,
    /// What it is compared with: one of these; with `greater` and `less` one plain decimal number.
    pub values: Vec<String>,
}

/// A goal.
#[derive(Serialize, ToSchema)]
#[schema(as = Goal)]
pub struct GoalBody {
    /// Its number.
    pub id: String,
    /// What it asks for.
    #[serde(flatten)]
    pub definition: DefinitionBody,
    /// What it is to reach, if anything.
    #[schema(required)]
    pub target: Option<TargetBody>,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// What a goal, or a step of a funnel, is to ask for: exactly one of `event_name`, `page_path`, `section`, `engaged_s`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewDefinition {
    /// Name of the event that fulfils it.
    pub event_name: Option<String>,
    /// Path of the page that fulfils it, with `*` wildcards; with `section` or `engaged_s` the pages that count.
    pub page_path: Option<String>,
    /// Section that is to be read, with `*`.
    pub section: Option<String>,
    /// Seconds in view and in use that a visit is to reach, 1 to 86400: on one page with a path, else on all.
    pub engaged_s: Option<u32>,
    /// Name shown; default: the event's name, or `Visit PATH`.
    pub display_name: Option<String>,
    /// ISO 4217 code: makes it a revenue goal; event goals only.
    pub currency: Option<String>,
    /// Smallest amount of the event, in the currency's main unit.
    pub value_min: Option<f64>,
    /// Depth in percent, 0 to 100; page goals only.
    pub scroll_threshold: Option<u8>,
    /// Properties that the event must have.
    pub custom_props: Option<BTreeMap<String, String>>,
    /// What the event's properties must be besides, at most 20.
    pub conditions: Option<Vec<ConditionBody>>,
}

/// A goal to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewGoalBody {
    /// What it asks for.
    #[serde(flatten)]
    pub definition: NewDefinition,
    /// What it is to reach.
    pub target: Option<NewTarget>,
}

/// What a goal is to reach: `conversions`, or an `amount`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewTarget {
    /// So many conversions.
    pub conversions: Option<u64>,
    /// So much revenue, in the main unit of the goal's currency.
    pub amount: Option<f64>,
    /// First day in the site's zone; default: today.
    pub from: Option<String>,
    /// Last day.
    pub until: String,
}

/// Lists the goals of a site, by time of creation.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/goals", tag = "goals",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<GoalBody>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<GoalBody>>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    parameters.finish()?;
    let after = page.key(|text| text.parse::<i64>().ok())?;
    let site_id = access.site_id();
    let goals = blocking(&app, move |catalog| catalog.goals(site_id)).await?;
    let goals = goals.into_iter().filter(|goal| after.is_none_or(|after| goal.id > after));
    Ok(Json(Page::cut(goals, &page, |goal| goal.id.to_string(), body)))
}

/// Makes a goal. It counts in reports on all events, past ones included.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/goals", tag = "goals",
    request_body = NewGoalBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 201, body = GoalBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    JsonBody(fields): JsonBody,
) -> Result<(StatusCode, Json<GoalBody>), ApiError> {
    let (site_id, now_ms) = (access.site_id(), app.now_ms(&headers));
    let today = (access.site().timezone.as_str(), now_ms);
    let new =
        definition::read_with(fields, |fields, currency| target::read(fields, currency, today))?;
    let goal = blocking(&app, move |catalog| catalog.add_goal(site_id, new, now_ms)).await?;
    Ok((StatusCode::CREATED, Json(body(goal))))
}

/// Removes a goal; events stay as they are.
#[utoipa::path(delete, path = "/api/v1/sites/{site_id}/goals/{goal_id}", tag = "goals",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("goal_id" = String, Path, description = "Number of the goal")),
    responses((status = 204, description = "It is gone")))]
pub async fn remove(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, goal_id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let goal_id: i64 = goal_id.parse().map_err(|_| ApiError::not_found())?;
    let site_id = access.site_id();
    if !blocking(&app, move |catalog| catalog.delete_goal(site_id, goal_id)).await? {
        return Err(ApiError::not_found());
    }
    Ok(StatusCode::NO_CONTENT)
}

fn some(text: String) -> Option<String> {
    if text.is_empty() { None } else { Some(text) }
}

/// What a goal asks for, as the API writes it.
pub(super) fn definition_body(definition: NewGoal) -> DefinitionBody {
    let NewGoal { conditions, value_minor_min, .. } = definition;
    let condition =
        |GoalCondition { prop, operator, values }| ConditionBody { prop, operator, values };
    DefinitionBody {
        display_name: definition.display_name,
        event_name: some(definition.event_name),
        page_path: some(definition.page_path),
        section: some(definition.section),
        engaged_s: definition.engaged_s,
        value_min: value_minor_min.and_then(|least| events::amount(least, &definition.currency)),
        currency: some(definition.currency),
        scroll_threshold: definition.scroll_threshold,
        custom_props: definition.custom_props,
        conditions: conditions.into_iter().map(condition).collect(),
    }
}

fn body(goal: Goal) -> GoalBody {
    let mut definition = goal.definition;
    let target = definition.target.take();
    GoalBody {
        id: goal.id.to_string(),
        target: target.map(|target| target::body(target, &definition.currency)),
        definition: definition_body(definition),
        created_at: show::instant(goal.created_at_ms),
    }
}
