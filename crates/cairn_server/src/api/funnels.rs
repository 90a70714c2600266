//! Saved funnels. How they are counted is in docs/funnels.md.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use cairn_catalog::{Funnel, FunnelStep, NewFunnel};
use cairn_model::question::Goal;
use cairn_model::question::funnel::{
    self, STEPS_MAX, STEPS_MIN, StepOrder, WINDOW_MINUTES_MAX, Window,
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{Fields, JsonBody, Parameters, missing};
use super::goals::definition::{self, question_goal};
use super::goals::{DefinitionBody, NewDefinition, definition_body};
use super::page::{Page, PageRequest};
use super::{show, sites};
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::ApiError;

/// A saved funnel.
#[derive(Serialize, ToSchema)]
#[schema(as = Funnel)]
pub struct FunnelBody {
    /// Its number.
    pub id: String,
    /// Name shown; unique on the site.
    pub name: String,
    /// Its steps.
    pub steps: Vec<StepBody>,
    /// `ordered`, `any` or `strict`.
    #[schema(example = "ordered")]
    pub order: String,
    /// Minutes from the first step to the last; null: within the visit.
    #[schema(required)]
    pub window_minutes: Option<i64>,
    /// When it was saved (RFC 3339).
    pub created_at: String,
}

/// A step of a funnel: one of both.
#[derive(Serialize, ToSchema)]
#[schema(as = FunnelStep)]
pub struct StepBody {
    /// Number of the goal that has to be fulfilled.
    #[schema(required)]
    pub goal_id: Option<String>,
    /// What has to happen.
    #[schema(required)]
    pub condition: Option<DefinitionBody>,
}

/// A funnel to be saved.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewFunnelBody {
    /// Name shown.
    pub name: String,
    /// Its 2 to 20 steps.
    pub steps: Vec<NewStep>,
    /// `ordered` (default), `any` or `strict` (nothing in between).
    pub order: Option<String>,
    /// Minutes from the first step to the last, 1 to 129600 (90 days); default: within the visit.
    pub window_minutes: Option<i64>,
}

/// A step: one of both.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewStep {
    /// Number of a goal.
    pub goal_id: Option<String>,
    /// What has to happen, in the form of a goal.
    pub condition: Option<NewDefinition>,
}

/// Lists the funnels of a site, by time of creation.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/funnels", tag = "funnels",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<FunnelBody>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<FunnelBody>>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    parameters.finish()?;
    let after = page.key(|text| text.parse::<i64>().ok())?;
    let site_id = access.site_id();
    let funnels = blocking(&app, move |catalog| catalog.funnels(site_id)).await?;
    let funnels = funnels.into_iter().filter(|funnel| after.is_none_or(|after| funnel.id > after));
    Ok(Json(Page::cut(funnels, &page, |funnel| funnel.id.to_string(), body)))
}

/// Saves a funnel.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/funnels", tag = "funnels",
    request_body = NewFunnelBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 201, body = FunnelBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    JsonBody(fields): JsonBody,
) -> Result<(StatusCode, Json<FunnelBody>), ApiError> {
    let (site_id, now_ms) = (access.site_id(), app.now_ms(&headers));
    let new = read_new(&app, &access, fields).await?;
    let funnel = blocking(&app, move |catalog| catalog.add_funnel(site_id, new, now_ms)).await?;
    Ok((StatusCode::CREATED, Json(body(funnel))))
}

/// Shows a funnel.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/funnels/{funnel_id}", tag = "funnels",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("funnel_id" = String, Path, description = "Number of the funnel")),
    responses((status = 200, body = FunnelBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, funnel_id)): Path<(String, String)>,
) -> Result<Json<FunnelBody>, ApiError> {
    let id: i64 = funnel_id.parse().map_err(|_| ApiError::not_found())?;
    let site_id = access.site_id();
    let funnel = blocking(&app, move |catalog| catalog.funnel(site_id, id)).await?;
    funnel.map(|funnel| Json(body(funnel))).ok_or_else(ApiError::not_found)
}

/// Puts another definition in a funnel's place: all of it is sent again.
#[utoipa::path(patch, path = "/api/v1/sites/{site_id}/funnels/{funnel_id}", tag = "funnels",
    request_body = NewFunnelBody,
    params(("site_id" = String, Path, description = "Number of the site"),
           ("funnel_id" = String, Path, description = "Number of the funnel")),
    responses((status = 200, body = FunnelBody)))]
pub async fn change(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, funnel_id)): Path<(String, String)>,
    JsonBody(fields): JsonBody,
) -> Result<Json<FunnelBody>, ApiError> {
    let id: i64 = funnel_id.parse().map_err(|_| ApiError::not_found())?;
    let site_id = access.site_id();
    let new = read_new(&app, &access, fields).await?;
    let funnel = blocking(&app, move |catalog| catalog.change_funnel(site_id, id, new)).await?;
    funnel.map(|funnel| Json(body(funnel))).ok_or_else(ApiError::not_found)
}

/// Removes a funnel; goals and events stay as they are.
#[utoipa::path(delete, path = "/api/v1/sites/{site_id}/funnels/{funnel_id}", tag = "funnels",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("funnel_id" = String, Path, description = "Number of the funnel")),
    responses((status = 204, description = "It is gone")))]
pub async fn remove(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, funnel_id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let id: i64 = funnel_id.parse().map_err(|_| ApiError::not_found())?;
    let site_id = access.site_id();
    if !blocking(&app, move |catalog| catalog.delete_funnel(site_id, id)).await? {
        return Err(ApiError::not_found());
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn read_new(
    app: &Arc<App>,
    access: &SiteAccess,
    mut fields: Fields,
) -> Result<NewFunnel, ApiError> {
    let name = sites::name(&mut fields)?.ok_or_else(|| missing("name"))?;
    let new = NewFunnel { name, ..read(&mut fields)? };
    fields.finish()?;
    // Every goal exists now; one that goes later is missed when the funnel is asked.
    as_asked(app, access.site_id(), new.clone()).await?;
    Ok(new)
}

/// Reads steps, order and window.
pub(super) fn read(fields: &mut Fields) -> Result<NewFunnel, ApiError> {
    let path = fields.path("steps");
    let given = fields.objects("steps", STEPS_MAX)?.ok_or_else(|| missing(&path))?;
    if given.len() < STEPS_MIN {
        let message = format!("A funnel has {STEPS_MIN} to {STEPS_MAX} steps.");
        return Err(ApiError::invalid(path, message));
    }
    let steps = given.into_iter().map(read_step).collect::<Result<_, _>>()?;
    let order = fields.text("order")?.unwrap_or_else(|| StepOrder::Ordered.name().to_owned());
    order_named(&order)?;
    let window_minutes = fields.whole("window_minutes", 1..=WINDOW_MINUTES_MAX)?;
    Ok(NewFunnel { name: String::new(), steps, order, window_minutes })
}

/// A goal by its number, or a condition of its own.
pub(super) fn read_step(mut fields: Fields) -> Result<FunnelStep, ApiError> {
    let path = fields.path("goal_id");
    let goal_id = fields.text("goal_id")?;
    let condition = fields.object("condition")?;
    fields.finish()?;
    match (goal_id, condition) {
        (Some(id), None) => {
            let id = id.parse().map_err(|_| unknown_goal(path))?;
            Ok(FunnelStep::Goal(id))
        }
        (None, Some(condition)) => {
            Ok(FunnelStep::Condition(Box::new(definition::read(condition)?)))
        }
        _ => Err(ApiError::invalid(path, "Give exactly one of goal_id and condition.")),
    }
}

fn unknown_goal(path: String) -> ApiError {
    ApiError::invalid(path, "The site has no goal of this number.")
}

fn order_named(name: &str) -> Result<StepOrder, ApiError> {
    StepOrder::ALL.into_iter().find(|order| order.name() == name).ok_or_else(|| {
        let names = StepOrder::ALL.map(StepOrder::name).join(", ");
        ApiError::invalid("order", format!("The order must be one of {names}."))
    })
}

/// Steps as questions take them.
pub(super) async fn as_goals(
    app: &Arc<App>,
    site_id: cairn_model::SiteId,
    steps: Vec<FunnelStep>,
) -> Result<Vec<Goal>, ApiError> {
    let known = blocking(app, move |catalog| catalog.goals(site_id)).await?;
    let goal = |step| match step {
        FunnelStep::Condition(definition) => question_goal(*definition),
        FunnelStep::Goal(id) => {
            let found = known.iter().find(|goal| goal.id == id);
            let found = found.ok_or_else(|| unknown_goal("steps".to_owned()))?;
            question_goal(found.definition.clone())
        }
    };
    steps.into_iter().map(goal).collect()
}

/// A funnel as questions take it.
pub(super) async fn as_asked(
    app: &Arc<App>,
    site_id: cairn_model::SiteId,
    funnel: NewFunnel,
) -> Result<funnel::Funnel, ApiError> {
    Ok(funnel::Funnel {
        order: order_named(&funnel.order)?,
        window: match funnel.window_minutes {
            Some(minutes) => Window::Within(minutes * 60_000),
            None => Window::Visit,
        },
        steps: as_goals(app, site_id, funnel.steps).await?,
    })
}

fn body(funnel: Funnel) -> FunnelBody {
    let NewFunnel { name, steps, order, window_minutes } = funnel.definition;
    let step = |step| match step {
        FunnelStep::Goal(id) => StepBody { goal_id: Some(id.to_string()), condition: None },
        FunnelStep::Condition(definition) => {
            StepBody { goal_id: None, condition: Some(definition_body(*definition)) }
        }
    };
    FunnelBody {
        id: funnel.id.to_string(),
        name,
        steps: steps.into_iter().map(step).collect(),
        order,
        window_minutes,
        created_at: show::instant(funnel.created_at_ms),
    }
}
