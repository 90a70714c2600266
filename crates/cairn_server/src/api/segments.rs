//! Saved segments: filters with a name, which questions name by number.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use cairn_catalog::Segment;
use cairn_model::question::{Asking, EventsQuestion};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{Fields, JsonBody, Parameters, missing};
use super::page::{Page, PageRequest};
use super::{query, show, sites};
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::ApiError;

/// Filters of a segment as JSON text, bytes.
const FILTERS_SIZE_BYTES_MAX: usize = 32 * 1024;

/// A saved segment.
#[derive(Serialize, ToSchema)]
#[schema(as = Segment)]
pub struct SegmentBody {
    /// Its number, as filters take it: `["is", "segment", [12]]`.
    pub id: i64,
    /// Name shown, unique on the site.
    pub name: String,
    /// Its filters, all of which hold.
    #[schema(value_type = Vec<Object>, example = json!([["is", "visit:country", ["DE"]]]))]
    pub filters: Vec<Value>,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// A segment to be saved.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewSegmentBody {
    /// Name shown, unique on the site.
    pub name: String,
    /// Filters as in queries, at least one, and none by segment.
    #[schema(value_type = Vec<Object>, example = json!([["is", "visit:country", ["DE"]]]))]
    pub filters: Vec<Value>,
}

/// What to change of a segment.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct SegmentPatch {
    /// Another name.
    pub name: Option<String>,
    /// Other filters.
    #[schema(value_type = Option<Vec<Object>>)]
    pub filters: Option<Vec<Value>>,
}

/// Lists the segments of a site, by time of creation.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/segments", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<SegmentBody>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<SegmentBody>>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    parameters.finish()?;
    let after = page.key(|text| text.parse::<i64>().ok())?.unwrap_or(0);
    let mut segments = of_site(&app, &access).await?;
    segments.retain(|segment| segment.id > after);
    Ok(Json(Page::cut(segments.into_iter(), &page, |segment| segment.id.to_string(), body)))
}

/// Saves a segment: filters that questions name by its number.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/segments", tag = "queries",
    request_body = NewSegmentBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 201, body = SegmentBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<(StatusCode, Json<SegmentBody>), ApiError> {
    let now_ms = app.now_ms(&headers);
    let name = sites::name(&mut fields)?.ok_or_else(|| missing("name"))?;
    let filters = filters(&app, &access, &mut fields, now_ms).await?;
    let filters = filters.ok_or_else(|| missing("filters"))?;
    fields.finish()?;
    let site_id = access.site_id();
    let segment =
        blocking(&app, move |catalog| catalog.add_segment(site_id, &name, &filters, now_ms))
            .await?;
    Ok((StatusCode::CREATED, Json(body(segment))))
}

/// Changes a segment; questions that name it mean its new filters from then on.
#[utoipa::path(patch, path = "/api/v1/sites/{site_id}/segments/{segment_id}", tag = "queries",
    request_body = SegmentPatch,
    params(("site_id" = String, Path, description = "Number of the site"),
           ("segment_id" = String, Path, description = "Number of the segment")),
    responses((status = 200, body = SegmentBody)))]
pub async fn change(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, segment_id)): Path<(String, String)>,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<Json<SegmentBody>, ApiError> {
    let known = of_site(&app, &access).await?;
    let found = known.into_iter().find(|segment| segment.id.to_string() == segment_id);
    let mut segment = found.ok_or_else(ApiError::not_found)?;
    if let Some(name) = sites::name(&mut fields)? {
        segment.name = name;
    }
    if let Some(other) = filters(&app, &access, &mut fields, app.now_ms(&headers)).await? {
        segment.filters = other;
    }
    fields.finish()?;
    let (site_id, changed) = (access.site_id(), segment.clone());
    if !blocking(&app, move |catalog| catalog.change_segment(site_id, &changed)).await? {
        return Err(ApiError::not_found());
    }
    Ok(Json(body(segment)))
}

/// Removes a segment; questions that name it are refused from then on.
#[utoipa::path(delete, path = "/api/v1/sites/{site_id}/segments/{segment_id}", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("segment_id" = String, Path, description = "Number of the segment")),
    responses((status = 204, description = "It is gone")))]
pub async fn remove(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, segment_id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let id: i64 = segment_id.parse().map_err(|_| ApiError::not_found())?;
    let site_id = access.site_id();
    let removed = blocking(&app, move |catalog| catalog.delete_segment(site_id, id)).await?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::not_found()) }
}

async fn of_site(app: &App, access: &SiteAccess) -> Result<Vec<Segment>, ApiError> {
    let site_id = access.site_id();
    blocking(app, move |catalog| catalog.segments(site_id)).await
}

/// Filters that a question of this site may have; parsing them is the check.
pub(super) async fn filters(
    app: &App,
    access: &SiteAccess,
    fields: &mut Fields,
    now_ms: i64,
) -> Result<Option<Vec<Value>>, ApiError> {
    let Some(value) = fields.take("filters") else { return Ok(None) };
    if value.to_string().len() > FILTERS_SIZE_BYTES_MAX {
        let message = format!("The filters are larger than {FILTERS_SIZE_BYTES_MAX} bytes.");
        return Err(ApiError::invalid("filters", message));
    }
    let site = access.site();
    let asking = Asking {
        site_id: site.id,
        timezone: &site.timezone,
        now_ms,
        first_event_ms: None,
        goals: &query::goals(app, site.id).await?,
    };
    EventsQuestion::parse(&value, &Value::Null, None, None, &asking).map_err(query::rejected)?;
    match value {
        Value::Array(filters) if !filters.is_empty() => Ok(Some(filters)),
        _ => Err(ApiError::invalid("filters", "There has to be at least one filter.")),
    }
}

fn body(segment: Segment) -> SegmentBody {
    SegmentBody {
        id: segment.id,
        name: segment.name,
        filters: segment.filters,
        created_at: show::instant(segment.created_at_ms),
    }
}
