//! Opt-outs of pixels, recorded by the owner for somebody who asked.

use std::sync::Arc;

use axum::extract::State;
use cairn_catalog::MemoryHolder;
use cairn_engine::ingest::visitor::parse_cookie_id;
use cairn_model::limits::ID_SIZE_BYTES_MAX;
use http::{HeaderMap, StatusCode};
use utoipa::ToSchema;

use super::body::JsonBody;
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::{ApiError, Code};

/// Who opted out: exactly one of them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct OptOutBody {
    /// User id, as `identify` sends it.
    pub user_id: Option<String>,
    /// Value of the visitor's cookie `cairn_id`.
    pub cairn_id: Option<String>,
    /// Id that an SDK made for a browser or device: Segment's `anonymousId`.
    pub anonymous_id: Option<String>,
}

/// Records an opt-out: hits of this visitor or user are dropped from now on, and what the site remembers for this user is
/// forgotten. Only a keyed hash of the identifier is kept.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/opt-outs", tag = "events",
    request_body = OptOutBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 204, description = "It is on record")))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<StatusCode, ApiError> {
    let user_id = fields.text("user_id")?;
    let cairn_id = fields.text("cairn_id")?;
    let anonymous_id = fields.text("anonymous_id")?;
    fields.finish()?;
    let (site_id, keys) = (access.site_id(), app.ingest.keys());
    let sent = (user_id.as_deref(), cairn_id.as_deref(), anonymous_id.as_deref());
    let identifier_hash = match sent {
        (Some(user_id), None, None) => keys.of_user(site_id, checked("user_id", user_id)?),
        (None, None, Some(anonymous_id)) => {
            keys.of_sender(site_id, checked("anonymous_id", anonymous_id)?).0
        }
        (None, Some(cairn_id), None) => {
            let cookie = parse_cookie_id(cairn_id).ok_or_else(|| {
                ApiError::invalid("cairn_id", "The id must be the 32 digits of the cookie.")
            })?;
            keys.of_cookie(site_id, &cookie).0
        }
        _ => {
            let message = "An opt-out needs exactly one of user_id, cairn_id and anonymous_id.";
            return Err(ApiError::new(Code::MissingField, message).on("user_id"));
        }
    };
    let now_ms = app.now_ms(&headers);
    let remembered = user_id.map(|user_id| keys.of_remembered(site_id, &user_id));
    blocking(&app, move |catalog| {
        catalog.add_opt_outs(site_id, &[identifier_hash], now_ms)?;
        // Recorded first: from then on nothing new is remembered of him.
        remembered.map_or(Ok(false), |person| {
            catalog.forget_memory(site_id, MemoryHolder::Person(person), now_ms)
        })
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn checked<'i>(field: &'static str, id: &'i str) -> Result<&'i str, ApiError> {
    if id.is_empty() || id.len() > ID_SIZE_BYTES_MAX {
        let message = format!("The id must have 1 to {ID_SIZE_BYTES_MAX} bytes.");
        return Err(ApiError::invalid(field, message));
    }
    Ok(id)
}
