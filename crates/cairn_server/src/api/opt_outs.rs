//! Opt-outs of pixels, recorded by the owner for somebody who asked.

use std::sync::Arc;

use axum::extract::State;
use cairn_engine::ingest::visitor::parse_cookie_id;
use cairn_model::limits::ID_SIZE_BYTES_MAX;
use http::{HeaderMap, StatusCode};
use utoipa::ToSchema;

use super::body::JsonBody;
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::{ApiError, Code};

/// Who opted out: exactly one of both.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct OptOutBody {
    /// User id, as `identify` sends it.
    pub user_id: Option<String>,
    /// Value of the visitor's cookie `cairn_id`.
    pub cairn_id: Option<String>,
}

/// Records an opt-out: hits of this visitor or user are dropped from now on. Only a keyed hash of the identifier is kept.
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
    fields.finish()?;
    let (site_id, keys) = (access.site_id(), app.ingest.keys());
    let identifier_hash = match (user_id.as_deref(), cairn_id.as_deref()) {
        (Some(user_id), None) => {
            if user_id.is_empty() || user_id.len() > ID_SIZE_BYTES_MAX {
                let message = format!("The id must have 1 to {ID_SIZE_BYTES_MAX} bytes.");
                return Err(ApiError::invalid("user_id", message));
            }
            keys.of_user(site_id, user_id)
        }
        (None, Some(cairn_id)) => {
            let cookie = parse_cookie_id(cairn_id).ok_or_else(|| {
                ApiError::invalid("cairn_id", "The id must be the 32 digits of the cookie.")
            })?;
            keys.of_cookie(site_id, &cookie).0
        }
        _ => {
            let message = "An opt-out needs exactly one of user_id and cairn_id.";
            return Err(ApiError::new(Code::MissingField, message).on("user_id"));
        }
    };
    let now_ms = app.now_ms(&headers);
    blocking(&app, move |catalog| catalog.add_opt_out(site_id, identifier_hash, now_ms)).await?;
    Ok(StatusCode::NO_CONTENT)
}
