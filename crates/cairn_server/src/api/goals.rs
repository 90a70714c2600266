//! Goals: what counts as a conversion.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use cairn_catalog::{Goal, NewGoal};
use cairn_model::limits::{EVENT_NAME_SIZE_BYTES_MAX, PROPS_MAX};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{Fields, JsonBody, Parameters};
use super::page::{Page, PageRequest};
use super::{show, sites};
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::{ApiError, Code};

/// A goal.
#[derive(Serialize, ToSchema)]
#[schema(as = Goal)]
pub struct GoalBody {
    /// Its number.
    pub id: String,
    /// Name shown and used in queries; unique on the site.
    pub display_name: String,
    /// Name of the event that fulfils it; null for page goals.
    #[schema(required)]
    pub event_name: Option<String>,
    /// Path of the page that fulfils it, with `*` (within a part) and `**` wildcards; null for event goals.
    #[schema(required)]
    pub page_path: Option<String>,
    /// ISO 4217 code of a revenue goal.
    #[schema(required)]
    pub currency: Option<String>,
    /// Depth in percent that must be reached on the page.
    #[schema(required)]
    pub scroll_threshold: Option<u8>,
    /// Properties that the event must have.
    pub custom_props: BTreeMap<String, String>,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// A goal to be made: exactly one of `event_name` and `page_path`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewGoalBody {
    /// Name of the event that fulfils it.
    pub event_name: Option<String>,
    /// Path of the page that fulfils it, with `*` wildcards.
    pub page_path: Option<String>,
    /// Name shown; default: the event's name, or `Visit PATH`.
    pub display_name: Option<String>,
    /// ISO 4217 code: makes it a revenue goal; event goals only.
    pub currency: Option<String>,
    /// Depth in percent, 0 to 100; page goals only.
    pub scroll_threshold: Option<u8>,
    /// Properties that the event must have.
    pub custom_props: Option<BTreeMap<String, String>>,
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
    let new = read(fields)?;
    let (site_id, now_ms) = (access.site_id(), app.now_ms(&headers));
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

fn read(mut fields: Fields) -> Result<NewGoal, ApiError> {
    let event_name = fields.text("event_name")?.unwrap_or_default();
    let page_path = fields.text("page_path")?.unwrap_or_default();
    let display_name = fields.text("display_name")?.unwrap_or_default();
    let currency = sites::currency(&mut fields)?.unwrap_or_default();
    let scroll_threshold = fields.whole("scroll_threshold", 0..=100)?;
    let custom_props = fields.text_map("custom_props", PROPS_MAX)?;
    fields.finish()?;
    if event_name.is_empty() == page_path.is_empty() {
        let message = "A goal needs exactly one of event_name and page_path.";
        return Err(ApiError::new(Code::MissingField, message).on("event_name"));
    }
    if event_name.len() > EVENT_NAME_SIZE_BYTES_MAX {
        let message = format!("The name is longer than {EVENT_NAME_SIZE_BYTES_MAX} bytes.");
        return Err(ApiError::invalid("event_name", message));
    }
    if !page_path.is_empty() && !page_path.starts_with(['/', '*']) {
        return Err(ApiError::invalid("page_path", "The path must begin with a slash."));
    }
    if !currency.is_empty() && event_name.is_empty() {
        return Err(ApiError::invalid("currency", "Only an event goal can have revenue."));
    }
    if scroll_threshold.is_some() && page_path.is_empty() {
        return Err(ApiError::invalid("scroll_threshold", "Only a page goal can have a depth."));
    }
    if scroll_threshold.is_some() && !custom_props.is_empty() {
        let message = "A goal with a depth cannot ask for properties.";
        return Err(ApiError::invalid("custom_props", message));
    }
    let display_name = match (display_name.is_empty(), scroll_threshold) {
        (false, _) => display_name,
        (true, Some(depth)) => format!("Scroll {depth} {page_path}"),
        (true, None) if event_name.is_empty() => format!("Visit {page_path}"),
        (true, None) => event_name.clone(),
    };
    let scroll_threshold = scroll_threshold.and_then(|depth| u8::try_from(depth).ok());
    Ok(NewGoal { event_name, page_path, display_name, currency, scroll_threshold, custom_props })
}

fn body(goal: Goal) -> GoalBody {
    let some = |text: String| if text.is_empty() { None } else { Some(text) };
    let definition = goal.definition;
    GoalBody {
        id: goal.id.to_string(),
        display_name: definition.display_name,
        event_name: some(definition.event_name),
        page_path: some(definition.page_path),
        currency: some(definition.currency),
        scroll_threshold: definition.scroll_threshold,
        custom_props: definition.custom_props,
        created_at: show::instant(goal.created_at_ms),
    }
}
