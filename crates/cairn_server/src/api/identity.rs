//! The secret with which a site's server signs the ids of its users.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use cairn_engine::identity::IdentitySecret;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::idempotency::Unrepeatable;
use super::show;
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::ApiError;

/// Whether the site has an identity secret.
#[derive(Serialize, ToSchema)]
#[schema(as = IdentitySecretStatus)]
pub struct IdentityBody {
    /// When it was made (RFC 3339); null: there is none.
    #[schema(required)]
    pub made_at: Option<String>,
}

/// A new identity secret.
#[derive(Serialize, ToSchema)]
#[schema(as = IdentitySecret)]
pub struct NewIdentityBody {
    /// When it was made (RFC 3339).
    pub made_at: String,
    /// The secret, shown this once. Its text, as bytes, is the key of the HMAC.
    #[schema(example = "ids_5d41402abc4b2a76b9719d911017c592…")]
    pub secret: String,
}

/// Tells whether the site has an identity secret, and since when.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/identity-secret", tag = "memory",
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 200, body = IdentityBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    access: SiteAccess,
) -> Result<Json<IdentityBody>, ApiError> {
    let site = access.site_id();
    let seed = blocking(&app, move |catalog| catalog.identity_seed(site)).await?;
    Ok(Json(IdentityBody { made_at: seed.map(|seed| show::instant(seed.made_at_ms)) }))
}

/// Makes an identity secret, in place of the one before, whose tokens are worth nothing from that moment. The answer holds
/// it this once; a repetition with the same `Idempotency-Key` is therefore answered with 409.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/identity-secret", tag = "memory",
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 201, body = NewIdentityBody)))]
pub async fn renew(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
) -> Result<(StatusCode, Unrepeatable, Json<NewIdentityBody>), ApiError> {
    let (site, now_ms) = (access.site_id(), app.now_ms(&headers));
    let seed = blocking(&app, move |catalog| catalog.renew_identity_seed(site, now_ms)).await?;
    let secret = IdentitySecret::derive(app.catalog.master_secret(), site, &seed.seed);
    let made = NewIdentityBody {
        made_at: show::instant(seed.made_at_ms),
        secret: secret.reveal().to_owned(),
    };
    Ok((StatusCode::CREATED, Unrepeatable, Json(made)))
}

/// Removes the identity secret: from then on no identification is a signed one.
#[utoipa::path(delete, path = "/api/v1/sites/{site_id}/identity-secret", tag = "memory",
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 204, description = "There is none any more")))]
pub async fn remove(
    State(app): State<Arc<App>>,
    access: SiteAccess,
) -> Result<StatusCode, ApiError> {
    let site = access.site_id();
    match blocking(&app, move |catalog| catalog.remove_identity_seed(site)).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found()),
    }
}
