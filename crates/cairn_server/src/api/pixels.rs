//! Pixels: the managed data sources of a site.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, RawQuery, State};
use cairn_catalog::NewPixel;
use cairn_model::{CrossSiteCookies, Pixel, PixelId, PixelKind, TrackerSettings};
use cairn_store::PixelActivity;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{Fields, JsonBody, Parameters, missing};
use super::page::{Page, PageRequest};
use super::tracker::{self, TrackerBody, TrackerPatch};
use super::{show, sites};
use crate::App;
use crate::auth::{Connection, SiteAccess, blocking};
use crate::error::ApiError;

/// A pixel that reported nothing for this long is `silent`.
const SILENT_AFTER_MS: i64 = 24 * 60 * 60 * 1000;

/// A pixel.
#[derive(Serialize, ToSchema)]
#[schema(as = Pixel)]
pub struct PixelBody {
    /// Its public name; for kind `server` a secret.
    #[schema(example = "px_7k2m9q4w8x3z5v1n6b0c")]
    pub key: String,
    /// Name shown.
    pub name: String,
    /// `web`, `image`, `email`, `ad`, `server` or `app`.
    #[schema(example = "web")]
    pub kind: String,
    /// Where it is installed; empty = not told.
    pub url: String,
    /// `waiting` (never reported), `receiving` (within 24 hours) or `silent` (not for 24 hours). Bots count.
    #[schema(example = "receiving")]
    pub status: String,
    /// What to install: HTML, or a command for kind `server`.
    pub snippet: String,
    /// What its script does in the browser; for kind `web`.
    pub settings: TrackerBody,
    /// Cookies on your pages of other sites than the collector's: `none` (hits from there are anonymous), `partitioned` (a cookie
    /// of its own on each of your sites) or `third_party` (one on all of them, where browsers allow it). For kinds `web`, `image`, `ad`.
    #[schema(example = "none", pattern = "^(none|partitioned|third_party)$")]
    pub cross_site_cookies: &'static str,
    /// What counts where scripts do not run; null for kinds other than `web`.
    #[schema(required)]
    pub noscript: Option<String>,
    /// Arrival of its first event (RFC 3339).
    #[schema(required)]
    pub first_event_at: Option<String>,
    /// Arrival of its latest event (RFC 3339).
    #[schema(required)]
    pub last_event_at: Option<String>,
    /// Events that arrived within 24 hours, bots included.
    pub events_24h: u64,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// A pixel to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewPixelBody {
    /// Name shown.
    #[schema(max_length = 200)]
    pub name: String,
    /// `web`, `image`, `email`, `ad`, `server` or `app`.
    pub kind: String,
    /// Where it is installed.
    pub url: Option<String>,
    /// What its script does in the browser; what is left out has its default.
    pub settings: Option<TrackerPatch>,
    /// `none` (default), `partitioned` or `third_party`; for kinds `web`, `image` and `ad`.
    pub cross_site_cookies: Option<String>,
}

/// Changes of a pixel; what is left out stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct PixelPatch {
    /// Name shown.
    pub name: Option<String>,
    /// Where it is installed.
    pub url: Option<String>,
    /// What its script does in the browser; what is left out stays.
    pub settings: Option<TrackerPatch>,
    /// `none`, `partitioned` or `third_party`; for kinds `web`, `image` and `ad`. Holds from the next hit on.
    pub cross_site_cookies: Option<String>,
}

/// Lists the pixels of a site, by time of creation.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/pixels", tag = "pixels",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<PixelBody>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<PixelBody>>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    parameters.finish()?;
    let after = page.key(|text| text.parse::<PixelId>().ok())?;
    let view = View::read(&app, &access, connection.map(|found| found.0), &headers).await?;
    let pixels = access.entry().pixels.iter();
    let pixels = pixels.filter(|pixel| after.is_none_or(|after| pixel.id > after));
    let key = |pixel: &&Pixel| pixel.id.to_string();
    Ok(Json(Page::cut(pixels, &page, key, |pixel| view.body(pixel))))
}

/// Makes a pixel and answers with the snippet to install.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/pixels", tag = "pixels",
    request_body = NewPixelBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 201, body = PixelBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<(StatusCode, Json<PixelBody>), ApiError> {
    let kinds = PixelKind::ALL.map(|kind| (kind.name(), kind));
    let kind = sites::choice(&mut fields, "kind", &kinds)?.ok_or_else(|| missing("kind"))?;
    let new = NewPixel {
        site_id: access.site_id(),
        name: sites::name(&mut fields)?.ok_or_else(|| missing("name"))?,
        kind,
        cross_site_cookies: cookies(&mut fields, kind)?.unwrap_or_default(),
        url: url(&mut fields)?.unwrap_or_default(),
        settings: tracker::settings(&mut fields, TrackerSettings::default())?,
    };
    fields.finish()?;
    let now_ms = app.now_ms(&headers);
    let pixel = blocking(&app, move |catalog| catalog.add_pixel(&new, now_ms)).await?;
    let view = View::fresh(&app, connection.map(|found| found.0), &headers);
    Ok((StatusCode::CREATED, Json(view.body(&pixel))))
}

/// Shows a pixel.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/pixels/{key}", tag = "pixels",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("key" = String, Path, description = "Key of the pixel")),
    responses((status = 200, body = PixelBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    Path((_, key)): Path<(String, String)>,
) -> Result<Json<PixelBody>, ApiError> {
    let pixel = find(&access, &key)?;
    let view = View::read(&app, &access, connection.map(|found| found.0), &headers).await?;
    Ok(Json(view.body(pixel)))
}

/// Changes name, place or settings of a pixel. Settings reach a browser within an hour.
#[utoipa::path(patch, path = "/api/v1/sites/{site_id}/pixels/{key}", tag = "pixels",
    request_body = PixelPatch,
    params(("site_id" = String, Path, description = "Number of the site"),
           ("key" = String, Path, description = "Key of the pixel")),
    responses((status = 200, body = PixelBody)))]
pub async fn change(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    Path((_, key)): Path<(String, String)>,
    JsonBody(mut fields): JsonBody,
) -> Result<Json<PixelBody>, ApiError> {
    let mut pixel = find(&access, &key)?.clone();
    pixel.name = sites::name(&mut fields)?.unwrap_or(pixel.name);
    pixel.url = url(&mut fields)?.unwrap_or(pixel.url);
    pixel.settings = tracker::settings(&mut fields, pixel.settings)?;
    let chosen = cookies(&mut fields, pixel.kind)?;
    pixel.cross_site_cookies = chosen.unwrap_or(pixel.cross_site_cookies);
    fields.finish()?;
    let changed = pixel.clone();
    if !blocking(&app, move |catalog| catalog.update_pixel(&changed)).await? {
        return Err(ApiError::not_found());
    }
    let view = View::read(&app, &access, connection.map(|found| found.0), &headers).await?;
    Ok(Json(view.body(&pixel)))
}

/// Removes a pixel: its key is unknown from then on, its events stay.
#[utoipa::path(delete, path = "/api/v1/sites/{site_id}/pixels/{key}", tag = "pixels",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("key" = String, Path, description = "Key of the pixel")),
    responses((status = 204, description = "It is gone")))]
pub async fn remove(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, key)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let site_id = access.site_id();
    if !blocking(&app, move |catalog| catalog.delete_pixel(site_id, &key)).await? {
        return Err(ApiError::not_found());
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn find<'a>(access: &'a SiteAccess, key: &str) -> Result<&'a Pixel, ApiError> {
    let found = access.entry().pixels.iter().find(|pixel| pixel.key == key);
    found.ok_or_else(ApiError::not_found)
}

pub(super) fn url(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let Some(text) = fields.text("url")? else { return Ok(None) };
    let web = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    match url::Url::parse(&text) {
        _ if text.is_empty() => Ok(Some(text)),
        Ok(url) if web(&url) => Ok(Some(url.into())),
        _ => Err(ApiError::invalid("url", "The URL must begin with http:// or https://.")),
    }
}

fn cookies(fields: &mut Fields, kind: PixelKind) -> Result<Option<CrossSiteCookies>, ApiError> {
    let kinds = CrossSiteCookies::ALL.map(|kind| (kind.name(), kind));
    let chosen = sites::choice(fields, "cross_site_cookies", &kinds)?;
    let is_none = chosen.unwrap_or_default() == CrossSiteCookies::None;
    if !is_none && !CrossSiteCookies::are_for(kind) {
        let message = "Only pixels of kind web, image and ad stand in pages that have cookies.";
        return Err(ApiError::invalid("cross_site_cookies", message));
    }
    Ok(chosen)
}

/// What showing pixels takes: their activity, and the address to install.
struct View {
    origin: String,
    now_ms: i64,
    activity: HashMap<PixelId, PixelActivity>,
}

impl View {
    async fn read(
        app: &Arc<App>,
        access: &SiteAccess,
        connection: Option<Connection>,
        headers: &HeaderMap,
    ) -> Result<Self, ApiError> {
        let mut view = View::fresh(app, connection, headers);
        let (site_id, since_ms) = (access.site_id(), view.now_ms.saturating_sub(SILENT_AFTER_MS));
        let activity =
            super::store(app, move |store| store.pixel_activity(site_id, since_ms)).await?;
        view.activity = activity.into_iter().collect();
        Ok(view)
    }

    /// For pixels that cannot have reported yet.
    fn fresh(app: &App, connection: Option<Connection>, headers: &HeaderMap) -> Self {
        let https = connection.is_some_and(|connection| connection.https);
        View {
            origin: app.public_origin(headers, https),
            now_ms: app.now_ms(headers),
            activity: HashMap::new(),
        }
    }

    fn body(&self, pixel: &Pixel) -> PixelBody {
        let activity = self.activity.get(&pixel.id).copied().unwrap_or_default();
        let status = match activity.last_received_ms {
            None => "waiting",
            Some(last) if self.now_ms.saturating_sub(last) <= SILENT_AFTER_MS => "receiving",
            Some(_) => "silent",
        };
        let (snippet, noscript) = snippet(&self.origin, pixel);
        PixelBody {
            key: pixel.key.clone(),
            name: pixel.name.clone(),
            kind: pixel.kind.name().to_owned(),
            url: pixel.url.clone(),
            status: status.to_owned(),
            snippet,
            settings: TrackerBody::from(&pixel.settings),
            cross_site_cookies: pixel.cross_site_cookies.name(),
            noscript,
            first_event_at: activity.first_received_ms.map(show::instant),
            last_event_at: activity.last_received_ms.map(show::instant),
            events_24h: activity.events_since,
            created_at: show::instant(pixel.created_at_ms),
        }
    }
}

/// What to install, and what counts where scripts do not run.
fn snippet(origin: &str, pixel: &Pixel) -> (String, Option<String>) {
    let key = &pixel.key;
    let image = |more: &str| {
        format!(r#"<img src="{origin}/p.gif?key={key}{more}" alt="" width="1" height="1">"#)
    };
    // Without this attribute browsers tell an image of another host the origin of its page only.
    let on_page =
        || image("").replace(" alt=", r#" referrerpolicy="no-referrer-when-downgrade" alt="#);
    // A mail or an advertisement sends no page address by itself.
    let place = || match pixel.url.as_str() {
        "" => String::new(),
        url => {
            let url: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
            format!("&amp;url={url}")
        }
    };
    match pixel.kind {
        PixelKind::Web => {
            let stub = "<script>window.cairn=window.cairn||function(){(cairn.q=cairn.q||[]).push(arguments)}</script>";
            let script = format!(r#"<script async src="{origin}/cairn.js?key={key}"></script>"#);
            (format!("{stub}\n{script}"), Some(format!("<noscript>{}</noscript>", on_page())))
        }
        PixelKind::Image => (on_page(), None),
        PixelKind::Email => (image(&format!("&amp;event=email_open{}", place())), None),
        PixelKind::Ad => (image(&format!("&amp;event=ad_impression{}", place())), None),
        PixelKind::Server | PixelKind::App => {
            let url = if pixel.url.is_empty() { "https://example.com/" } else { &pixel.url };
            let body = serde_json::json!({
                "key": key, "events": [{"event": "page_view", "url": url}],
            });
            let body = body.to_string().replace('\'', "%27");
            let command = format!(
                "curl -X POST {origin}/e \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'"
            );
            (command, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::SiteId;

    use super::*;

    fn pixel(kind: PixelKind, url: &str) -> Pixel {
        Pixel {
            id: PixelId(1),
            key: "px_k".to_owned(),
            site_id: SiteId(1),
            name: String::new(),
            kind,
            url: url.to_owned(),
            settings: TrackerSettings::default(),
            cross_site_cookies: CrossSiteCookies::None,
            created_at_ms: 0,
        }
    }

    #[test]
    fn each_kind_has_its_snippet() {
        let origin = "https://stats.example";
        let (web, noscript) = snippet(origin, &pixel(PixelKind::Web, ""));
        assert!(
            web.ends_with(
                r#"<script async src="https://stats.example/cairn.js?key=px_k"></script>"#
            )
        );
        assert_eq!(
            noscript.as_deref(),
            Some(
                r#"<noscript><img src="https://stats.example/p.gif?key=px_k" referrerpolicy="no-referrer-when-downgrade" alt="" width="1" height="1"></noscript>"#
            )
        );
        let (email, none) =
            snippet(origin, &pixel(PixelKind::Email, "https://shop.example/?a=b&c"));
        assert_eq!(none, None);
        assert!(
            email.contains(
                "&amp;event=email_open&amp;url=https%3A%2F%2Fshop.example%2F%3Fa%3Db%26c\""
            )
        );
        let (server, _) = snippet(origin, &pixel(PixelKind::Server, "https://shop.example/it's"));
        assert!(server.contains("-d '{") && server.matches('\'').count() == 4, "{server}");
    }
}
