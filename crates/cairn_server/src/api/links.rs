//! Tracked links outside of mails: in posts, on printed codes, behind an advertisement's click macro.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use cairn_engine::token::{Link, TokenKeys, TokenKind};
use cairn_model::PixelKind;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::JsonBody;
use super::show;
use super::signed::{self, Terms, check_name, not_made};
use crate::App;
use crate::auth::{Connection, SiteAccess};
use crate::error::ApiError;

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
    let campaign = fields.required_text("campaign")?;
    check_name("campaign", &campaign)?;
    let target = signed::target(&mut fields, "url")?;
    let terms = Terms::read_with_click_id(&mut fields, &access, PixelKind::Email)?;
    fields.finish()?;
    let mut claims = terms.claims(campaign, app.now_ms(&headers))?;
    claims.link = Some(Link { target: target.clone(), number: 1 });
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
