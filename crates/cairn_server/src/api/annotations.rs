//! Annotations: notes of an owner about days, shown on charts.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use cairn_catalog::Annotation;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{Fields, JsonBody, Parameters, missing};
use super::page::{Page, PageRequest};
use super::show;
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::ApiError;

/// A note, bytes.
const NOTE_SIZE_BYTES_MAX: usize = 500;

/// A note about a day.
#[derive(Serialize, ToSchema)]
#[schema(as = Annotation)]
pub struct AnnotationBody {
    /// Its number.
    pub id: String,
    /// The day in the site's zone.
    #[schema(example = "2026-11-21")]
    pub date: String,
    /// What was noted.
    pub note: String,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// A note to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewAnnotationBody {
    /// The day in the site's zone, `YYYY-MM-DD`.
    #[schema(example = "2026-11-21")]
    pub date: String,
    /// What is noted, at most 500 bytes.
    pub note: String,
}

/// What to change of a note.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct AnnotationPatch {
    /// Another day.
    pub date: Option<String>,
    /// Another text.
    pub note: Option<String>,
}

/// Lists the annotations of a site, by time of creation.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/annotations", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<AnnotationBody>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<AnnotationBody>>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    parameters.finish()?;
    let after = page.key(|text| text.parse::<i64>().ok())?.unwrap_or(0);
    let found = of_site(&app, &access).await?;
    let entries = found.into_iter().skip_while(|entry| entry.id <= after);
    Ok(Json(Page::cut(entries, &page, |entry| entry.id.to_string(), body)))
}

/// Notes something of a day.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/annotations", tag = "queries",
    request_body = NewAnnotationBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 201, body = AnnotationBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<(StatusCode, Json<AnnotationBody>), ApiError> {
    let date = date(&mut fields)?.ok_or_else(|| missing("date"))?;
    let note = note(&mut fields)?.ok_or_else(|| missing("note"))?;
    fields.finish()?;
    let (site_id, now_ms) = (access.site_id(), app.now_ms(&headers));
    let made = blocking(&app, move |catalog| catalog.annotate(site_id, &date, &note, now_ms));
    Ok((StatusCode::CREATED, Json(body(made.await?))))
}

/// Changes an annotation.
#[utoipa::path(patch, path = "/api/v1/sites/{site_id}/annotations/{annotation_id}", tag = "queries",
    request_body = AnnotationPatch,
    params(("site_id" = String, Path, description = "Number of the site"),
           ("annotation_id" = String, Path, description = "Number of the annotation")),
    responses((status = 200, body = AnnotationBody)))]
pub async fn change(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, annotation_id)): Path<(String, String)>,
    JsonBody(mut fields): JsonBody,
) -> Result<Json<AnnotationBody>, ApiError> {
    let mut known = of_site(&app, &access).await?;
    known.retain(|entry| entry.id.to_string() == annotation_id);
    let mut entry = known.pop().ok_or_else(ApiError::not_found)?;
    entry.date = date(&mut fields)?.unwrap_or(entry.date);
    entry.note = note(&mut fields)?.unwrap_or(entry.note);
    fields.finish()?;
    let (site_id, changed) = (access.site_id(), entry.clone());
    let is_changed = blocking(&app, move |catalog| catalog.change_annotation(site_id, &changed));
    if is_changed.await? { Ok(Json(body(entry))) } else { Err(ApiError::not_found()) }
}

/// Removes an annotation.
#[utoipa::path(delete, path = "/api/v1/sites/{site_id}/annotations/{annotation_id}", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("annotation_id" = String, Path, description = "Number of the annotation")),
    responses((status = 204, description = "It is gone")))]
pub async fn remove(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, annotation_id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let id: i64 = annotation_id.parse().map_err(|_| ApiError::not_found())?;
    let site_id = access.site_id();
    if blocking(&app, move |catalog| catalog.delete_annotation(site_id, id)).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found())
}

async fn of_site(app: &App, access: &SiteAccess) -> Result<Vec<Annotation>, ApiError> {
    let site_id = access.site_id();
    blocking(app, move |catalog| catalog.annotations(site_id)).await
}

fn date(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let Some(text) = fields.text("date")? else { return Ok(None) };
    // Other ways to write a date would not be found by their labels.
    let is_day = text.parse::<jiff::civil::Date>().is_ok_and(|date| date.to_string() == text);
    let wrong = || ApiError::invalid("date", "The date must be a day such as 2026-11-21.");
    if is_day { Ok(Some(text)) } else { Err(wrong()) }
}

fn note(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    if !fields.has("note") {
        return fields.text("note");
    }
    let note = fields.required_text("note")?;
    if note.len() > NOTE_SIZE_BYTES_MAX {
        let message = format!("The note is longer than {NOTE_SIZE_BYTES_MAX} bytes.");
        return Err(ApiError::invalid("note", message));
    }
    Ok(Some(note))
}

fn body(entry: Annotation) -> AnnotationBody {
    AnnotationBody {
        id: entry.id.to_string(),
        date: entry.date,
        note: entry.note,
        created_at: show::instant(entry.created_at_ms),
    }
}
