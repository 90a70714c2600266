//! The memory of a site's persons, for the site's own servers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use cairn_catalog::MemoryHolder;
use http::HeaderMap;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::body::{JsonBody, missing};
use super::idempotency::Unrepeatable;
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::ApiError;
use crate::memory::{MemoryBody, Wanted, user_id};

/// What to do with a person's memory. Forgetting comes before remembering, both before recalling.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Wanted` reads")]
pub struct MemoryCallBody {
    /// The owner's id of the person, as `identify` sends it.
    #[schema(max_length = 256)]
    pub user_id: String,
    /// Values by name; null forgets. At most 64 names of 64 bytes, 8 KiB of JSON a value, 64 KiB together.
    #[schema(value_type = Option<Object>, example = json!({"size": "M"}))]
    pub remember: Option<Map<String, Value>>,
    /// Names to be forgotten.
    pub forget: Option<Vec<String>>,
    /// Forgets everything, and which browsers are the person's.
    pub forget_all: Option<bool>,
    /// Names to be answered; `*` for all.
    #[schema(example = json!(["size", "cart"]))]
    pub recall: Option<Vec<String>>,
}

/// Remembers, recalls and forgets for a person, whose permission for `functional` the owner asserts. Nothing is kept of
/// somebody who opted out. No answer is kept for repetitions, since it tells what is remembered of somebody: a repetition
/// with the same `Idempotency-Key` does nothing and is answered with 409.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/memory", tag = "memory",
    request_body = MemoryCallBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 200, body = MemoryBody)))]
pub async fn ask(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<(Unrepeatable, Json<MemoryBody>), ApiError> {
    let user_id = user_id(&mut fields)?.ok_or_else(|| missing("user_id"))?;
    let wanted = Wanted::read(&mut fields)?;
    fields.finish()?;
    if wanted.is_empty() {
        return Err(missing("recall"));
    }
    let (site, keys, now_ms) = (access.site_id(), app.ingest.keys(), app.now_ms(&headers));
    let holder = MemoryHolder::Person(keys.of_remembered(site, &user_id));
    if access.entry().is_opted_out(keys.of_user(site, &user_id)) {
        blocking(&app, move |catalog| catalog.forget_memory(site, holder, now_ms)).await?;
        return Ok((Unrepeatable, Json(MemoryBody::refused())));
    }
    let run = move |catalog: &_| wanted.run(catalog, site, Some(holder), now_ms);
    Ok((Unrepeatable, Json(blocking(&app, run).await?)))
}
