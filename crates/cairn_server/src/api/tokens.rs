//! API tokens: what scripts log in with.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use cairn_catalog::{ApiToken, NewApiToken};
use cairn_model::SiteId;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{JsonBody, Parameters, missing};
use super::idempotency::Unrepeatable;
use super::page::{Page, PageRequest};
use super::{show, sites};
use crate::App;
use crate::auth::{Caller, blocking, site_access};
use crate::error::ApiError;

/// Sites to which one token may be limited.
const TOKEN_SITES_MAX: usize = 1000;

/// An API token without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenBody {
    /// Its number.
    pub id: String,
    /// Name shown.
    pub name: String,
    /// The only sites that it may use; null: all that its maker may.
    #[schema(required)]
    pub site_ids: Option<Vec<String>>,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// A new API token with its secret.
#[derive(Serialize, ToSchema)]
pub struct CreatedToken {
    /// The token.
    #[serde(flatten)]
    pub token: TokenBody,
    /// The secret, shown this once: send it as `Authorization: Bearer SECRET`.
    pub secret: String,
}

/// An API token to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewTokenBody {
    /// Name shown.
    pub name: String,
    /// Limits it to these sites: it may then neither make nor remove sites and tokens.
    pub site_ids: Option<Vec<String>>,
}

/// Lists the caller's API tokens, by time of creation.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "account",
    params(("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<TokenBody>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<TokenBody>>, ApiError> {
    caller.require_unlimited()?;
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    parameters.finish()?;
    let after = page.key(|text| text.parse::<i64>().ok())?;
    let user = caller.user_id();
    let tokens = blocking(&app, move |catalog| catalog.api_tokens(user)).await?;
    let tokens = tokens.into_iter().filter(|token| after.is_none_or(|after| token.id > after));
    Ok(Json(Page::cut(tokens, &page, |token| token.id.to_string(), body)))
}

/// Makes an API token. The answer holds its secret, which is never shown again; a repetition with the same
/// `Idempotency-Key` is therefore answered with 409.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "account", request_body = NewTokenBody,
    responses((status = 201, body = CreatedToken)))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<(StatusCode, Unrepeatable, Json<CreatedToken>), ApiError> {
    caller.require_unlimited()?;
    let name = sites::name(&mut fields)?.ok_or_else(|| missing("name"))?;
    let told = fields.texts("site_ids", TOKEN_SITES_MAX)?;
    fields.finish()?;
    let site_ids = match told {
        None => None,
        Some(told) => Some(visible(&app, &caller, &told).await?),
    };
    let new = NewApiToken { name, user: caller.user_id(), site_ids };
    let now_ms = app.now_ms(&headers);
    let (token, secret) = blocking(&app, move |catalog| catalog.add_api_token(new, now_ms)).await?;
    let created = CreatedToken { token: body(token), secret: secret.reveal().to_owned() };
    Ok((StatusCode::CREATED, Unrepeatable, Json(created)))
}

/// Revokes an API token at once.
#[utoipa::path(delete, path = "/api/v1/tokens/{token_id}", tag = "account",
    params(("token_id" = String, Path, description = "Number of the token")),
    responses((status = 204, description = "It is revoked")))]
pub async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(token_id): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.require_unlimited()?;
    let token_id: i64 = token_id.parse().map_err(|_| ApiError::not_found())?;
    let user = caller.user_id();
    if !blocking(&app, move |catalog| catalog.delete_api_token(user, token_id)).await? {
        return Err(ApiError::not_found());
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn visible(app: &App, caller: &Caller, told: &[String]) -> Result<Vec<SiteId>, ApiError> {
    let directory = app.directory.current();
    let mut site_ids = Vec::with_capacity(told.len());
    for (index, text) in told.iter().enumerate() {
        let entry = text.parse().ok().and_then(|id| directory.by_id(id));
        let Some(access) = site_access(app, caller, entry).await? else {
            let field = format!("site_ids[{index}]");
            return Err(ApiError::invalid(field, "There is no site with this number."));
        };
        site_ids.push(access.site_id());
    }
    Ok(site_ids)
}

fn body(token: ApiToken) -> TokenBody {
    let site_ids = token.site_ids;
    TokenBody {
        id: token.id.to_string(),
        name: token.name,
        site_ids: site_ids.map(|ids| ids.iter().map(ToString::to_string).collect()),
        created_at: show::instant(token.created_at_ms),
    }
}
