//! Advertisements: addresses for the impression image, the click link and the script that reports when an advertisement was
//! in view, and the whole tag for an ad server.

mod tags;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use cairn_engine::ingest::money::check_amount;
use cairn_engine::token::{AdClaims, Claims, Link, TokenKeys, TokenKind};
use cairn_model::{Currency, PixelKind, SiteId};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{Fields, JsonBody, missing};
use super::signed::{self, Terms, check_name, not_made};
use super::{show, sites};
use crate::App;
use crate::auth::{Connection, SiteAccess};
use crate::error::ApiError;
use tags::{AdServer, SERVERS, Tag};

/// Bytes of all names of an advertisement together: its addresses must stay short enough for every server on the way.
const NAMES_SIZE_BYTES_MAX: usize = 768;

/// An advertisement to be tracked.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewAdBody {
    /// Campaign that its impressions and clicks are counted under (`utm_campaign`).
    #[schema(max_length = 256, example = "spring-sale")]
    pub campaign: String,
    /// Where it runs (`utm_source`); default: the ad server's name, `ad` for `generic` and `none`.
    #[schema(max_length = 256, example = "news-site")]
    pub source: Option<String>,
    /// Kind of advertising (`utm_medium`); default: `display`.
    #[schema(max_length = 256)]
    pub medium: Option<String>,
    /// What tells it from others of the campaign (`utm_content`).
    #[schema(max_length = 256)]
    pub content: Option<String>,
    /// What it was bought for (`utm_term`).
    #[schema(max_length = 256)]
    pub term: Option<String>,
    /// The creative; left out: what the ad server's macro says at the time.
    #[schema(max_length = 256)]
    pub creative: Option<String>,
    /// The placement; left out: what the ad server's macro says at the time.
    #[schema(max_length = 256)]
    pub placement: Option<String>,
    /// Where a click leads: an absolute `http` or `https` address of at most 2,048 bytes, without user and password.
    pub target: String,
    /// What it costs.
    pub cost: Option<AdCostBody>,
    /// Whose macros the tag has: `generic` (default), `google_ad_manager`, `campaign_manager`, `display_video`, `xandr`,
    /// `the_trade_desk`, `amazon`, or `none`: no macros, for a page of your own.
    pub ad_server: Option<String>,
    /// Key of the pixel of kind `ad` that its events belong to; default: the site's first of that kind.
    pub pixel: Option<String>,
    /// Days for which impressions and clicks count, 1 to 400; default: 90. The link leads to its target after that too.
    pub expires_days: Option<u32>,
    /// Whether a click that lands on the site's own pages may be recognised there, by `cairn_click`; default: true.
    pub landing: Option<bool>,
    /// Name of a parameter by which the target is told an id of the click, for a postback to name; on the site's own pages it
    /// is `cairn_click`. Default: none.
    #[schema(max_length = 64, example = "subid")]
    pub click_id: Option<String>,
}

/// What an advertisement costs.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct AdCostBody {
    /// Amount, as a decimal number or its text.
    #[schema(example = 2.5)]
    pub amount: f64,
    /// ISO 4217 code.
    #[schema(example = "EUR")]
    pub currency: String,
    /// `impression`, `thousand_impressions` or `click`.
    pub per: String,
}

/// A tracked advertisement.
#[derive(Serialize, ToSchema)]
#[schema(as = Ad)]
pub struct AdBody {
    /// Address of the impression image, with the ad server's macros.
    pub impression_url: String,
    /// Address of the click link; the ad server's click macro goes before it, and nothing else changes where it leads.
    pub click_url: String,
    /// Address of the script that reports when the advertisement was in view, with the ad server's macros.
    #[schema(required)]
    pub viewable_script: Option<String>,
    /// The HTML of the advertisement for this ad server: put the creative where its comment says.
    pub tag: String,
    /// Where a click leads.
    pub target: String,
    /// When impressions and clicks stop being counted (RFC 3339).
    pub expires_at: String,
}

/// Makes addresses and the tag of an advertisement. Nothing is stored; its impressions, views and clicks are counted as
/// `ad_impression`, `ad_viewable` and `ad_click`.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/ads", tag = "ads",
    request_body = NewAdBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 201, body = AdBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    JsonBody(fields): JsonBody,
) -> Result<(StatusCode, Json<AdBody>), ApiError> {
    let new = NewAd::read(fields, &access)?;
    let keys = TokenKeys::new(app.catalog.master_secret());
    let origin = app.public_origin(&headers, connection.is_some_and(|found| found.0.https));
    let body = new.prepare(&keys, access.site_id(), &origin, app.now_ms(&headers))?;
    Ok((StatusCode::CREATED, Json(body)))
}

/// A request, read and checked.
struct NewAd {
    campaign: String,
    target: String,
    claims: AdClaims,
    server: &'static AdServer,
    terms: Terms,
}

impl NewAd {
    fn read(mut fields: Fields, access: &SiteAccess) -> Result<Self, ApiError> {
        let names: Vec<_> = SERVERS.iter().map(|server| (server.name, server)).collect();
        let server = sites::choice(&mut fields, "ad_server", &names)?.unwrap_or(&SERVERS[0]);
        let campaign = fields.required_text("campaign")?;
        let mut text = |name, default: &str| -> Result<String, ApiError> {
            Ok(fields.text(name)?.unwrap_or_else(|| default.to_owned()))
        };
        let mut claims = AdClaims {
            source: text("source", server.source)?,
            medium: text("medium", "display")?,
            content: text("content", "")?,
            term: text("term", "")?,
            creative: text("creative", "")?,
            placement: text("placement", "")?,
            ..AdClaims::default()
        };
        check_names(&campaign, &claims)?;
        let target = signed::target(&mut fields, "target")?;
        if let Some(cost) = fields.object("cost")? {
            read_cost(cost, &mut claims)?;
        }
        let terms = Terms::read_with_click_id(&mut fields, access, PixelKind::Ad)?;
        fields.finish()?;
        Ok(NewAd { campaign, target, claims, server, terms })
    }

    fn prepare(
        self,
        keys: &TokenKeys,
        site_id: SiteId,
        origin: &str,
        now_ms: i64,
    ) -> Result<AdBody, ApiError> {
        let wants_creative = self.claims.creative.is_empty();
        let wants_placement = self.claims.placement.is_empty();
        let mut claims = self.terms.claims(self.campaign, now_ms)?;
        claims.ad = Some(Box::new(self.claims));
        let seal = |kind, claims: &Claims| keys.seal(kind, site_id, claims).map_err(|_| not_made());
        let impression = seal(TokenKind::Impression, &claims)?;
        claims.link = Some(Link { target: self.target.clone(), number: 1 });
        let click = seal(TokenKind::Click, &claims)?;
        let query = self.server.query(wants_creative, wants_placement);
        let impression_url = format!("{origin}/i/{impression}.gif{query}");
        let viewable_script = format!("{origin}/i/{impression}.js{query}");
        let click_url = format!("{origin}/l/{click}");
        let tag = Tag {
            server: self.server,
            impression_url: &impression_url,
            click_url: &click_url,
            viewable_script: &viewable_script,
        };
        Ok(AdBody {
            tag: tag.html(),
            impression_url,
            click_url,
            viewable_script: Some(viewable_script),
            target: self.target,
            expires_at: show::instant(claims.expires_at_ms),
        })
    }
}

fn check_names(campaign: &str, claims: &AdClaims) -> Result<(), ApiError> {
    let named = [
        ("campaign", campaign),
        ("source", &claims.source),
        ("medium", &claims.medium),
        ("content", &claims.content),
        ("term", &claims.term),
        ("creative", &claims.creative),
        ("placement", &claims.placement),
    ];
    for (name, text) in named {
        check_name(name, text)?;
    }
    let all: usize = named.iter().map(|(_, text)| text.len()).sum();
    if all > NAMES_SIZE_BYTES_MAX {
        let message = format!("All names together are longer than {NAMES_SIZE_BYTES_MAX} bytes.");
        return Err(ApiError::invalid("campaign", message));
    }
    Ok(())
}

fn read_cost(mut cost: Fields, claims: &mut AdClaims) -> Result<(), ApiError> {
    let amount = match cost.take("amount") {
        None => return Err(missing("cost.amount")),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text,
        Some(_) => return Err(ApiError::invalid("cost.amount", "The field must be a number.")),
    };
    let currency = cost.required_text("currency")?;
    let per =
        [("impression", (false, 0)), ("thousand_impressions", (false, 3)), ("click", (true, 0))];
    let (costs_clicks, places) =
        sites::choice(&mut cost, "per", &per)?.ok_or_else(|| missing("cost.per"))?;
    cost.finish()?;
    let currency = Currency::from_code(&currency)
        .ok_or_else(|| ApiError::invalid("cost.currency", "The field must be an ISO 4217 code."))?;
    let is_plain = amount.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let amount = Some(amount).filter(|amount| is_plain && check_amount("", amount).is_ok());
    let amount = amount.ok_or_else(|| {
        ApiError::invalid(
            "cost.amount",
            "The amount must be a decimal number that is not negative.",
        )
    })?;
    claims.cost = moved_left(&amount, places);
    claims.cost_currency = currency.code.to_owned();
    claims.costs_clicks = costs_clicks;
    Ok(())
}

/// A decimal number with its point so many places further left, exactly.
fn moved_left(amount: &str, places: usize) -> String {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let digits = format!("{}{whole}{fraction}", "0".repeat(places + 1));
    let point = digits.len() - fraction.len() - places;
    let whole = digits[..point].trim_start_matches('0');
    let fraction = digits[point..].trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_of_a_thousand_is_divided_exactly() {
        for (amount, places, wanted) in [
            ("2.5", 3, "0.0025"),
            ("2.50", 0, "2.5"),
            ("1000", 3, "1"),
            ("1234.5", 3, "1.2345"),
            ("0", 3, "0"),
            ("0.10", 0, "0.1"),
            ("10", 0, "10"),
        ] {
            assert_eq!(moved_left(amount, places), wanted, "{amount}");
        }
    }
}
