//! Tracked links outside of mails: in posts, on printed codes, behind an advertisement's click macro.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use cairn_engine::ingest::mail::rewrite::checked_target;
use cairn_engine::token::{Claims, Link, TokenKeys, TokenKind};
use cairn_model::PixelKind;
use cairn_model::limits::ID_SIZE_BYTES_MAX;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{Fields, JsonBody};
use super::emails::{DAY_MS, EXPIRY_DAYS, EXPIRY_DAYS_MAX, not_made, pixel};
use super::show;
use crate::App;
use crate::auth::{Connection, SiteAccess};
use crate::error::ApiError;

/// Characters of the parameter that tells a click's id.
const CLICK_ID_NAME_SIZE_MAX: usize = 64;

/// A link to be tracked.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewLinkBody {
    /// Where it leads: an absolute `http` or `https` address of at most 2,048 bytes, without user and password.
    pub url: String,
    /// Campaign that its clicks are counted under.
    #[schema(max_length = 256, example = "poster-berlin")]
    pub campaign: String,
    /// Key of the pixel of kind `email` that its events belong to; default: the site's first of that kind.
    pub pixel: Option<String>,
    /// Days for which clicks count, 1 to 400; default: 90. The link leads to its target after that too.
    pub expires_days: Option<u32>,
    /// Whether a click that lands on the site's own pages may be recognised there, by `cairn_click`; default: true.
    pub landing: Option<bool>,
    /// Name of a parameter by which the target is told an id of the click, for a postback to name; on the site's own pages it
    /// is `cairn_click`. Default: none.
    #[schema(max_length = 64, example = "subid")]
    pub click_id: Option<String>,
}

/// A tracked link.
#[derive(Serialize, ToSchema)]
#[schema(as = Link)]
pub struct LinkBody {
    /// The address to hand out; whatever is put behind or before it, it leads to `target`.
    pub url: String,
    /// Where it leads.
    pub target: String,
    /// When clicks stop being counted (RFC 3339).
    pub expires_at: String,
}

/// Makes a tracked link. Nothing is stored; clicks are counted as `link_click` for the campaign, for each sender once a day.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/links", tag = "emails",
    request_body = NewLinkBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 201, body = LinkBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<(StatusCode, Json<LinkBody>), ApiError> {
    let url = fields.required_text("url")?;
    let campaign = fields.required_text("campaign")?;
    let pixel_id = pixel(&mut fields, &access, PixelKind::Email)?;
    let expires_days = fields.whole("expires_days", 1..=EXPIRY_DAYS_MAX)?.unwrap_or(EXPIRY_DAYS);
    let landing = fields.boolean("landing")?.unwrap_or(true);
    let click_id = click_id(&mut fields)?;
    fields.finish()?;
    if campaign.len() > ID_SIZE_BYTES_MAX {
        let message = format!("The name is longer than {ID_SIZE_BYTES_MAX} bytes.");
        return Err(ApiError::invalid("campaign", message));
    }
    let target = checked_target(&url).map_err(|_| {
        let message =
            "The URL must be an absolute http or https address without user and password.";
        ApiError::invalid("url", message)
    })?;
    let mut message = [0; 16];
    getrandom::fill(&mut message).map_err(|_| not_made())?;
    let now_ms = app.now_ms(&headers);
    let claims = Claims {
        issued_at_ms: now_ms,
        expires_at_ms: now_ms.saturating_add(expires_days * DAY_MS),
        pixel_id,
        message,
        shared: true,
        mail: false,
        recipient: [0; 8],
        campaign,
        template: String::new(),
        link: Some(Link { target: target.clone(), number: 1 }),
        untied: !landing,
        click_id,
        ad: None,
    };
    let keys = TokenKeys::new(app.catalog.master_secret());
    let token = keys.seal(TokenKind::Click, access.site_id(), &claims).map_err(|_| not_made())?;
    let origin = app.public_origin(&headers, connection.is_some_and(|found| found.0.https));
    let body = LinkBody {
        url: format!("{origin}/l/{token}"),
        target,
        expires_at: show::instant(claims.expires_at_ms),
    };
    Ok((StatusCode::CREATED, Json(body)))
}

/// The name of the parameter for the click's id; empty = none.
pub(super) fn click_id(fields: &mut Fields) -> Result<String, ApiError> {
    let name = fields.text("click_id")?.unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.len() > CLICK_ID_NAME_SIZE_MAX || !name.bytes().all(is_plain) {
        let message = "The name must have 1 to 64 letters, digits, dots, hyphens or underscores.";
        return Err(ApiError::invalid("click_id", message));
    }
    Ok(name)
}
