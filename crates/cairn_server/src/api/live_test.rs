//! Live tests of a pixel: to start one, and to follow it.
//!
//! Guarantees: only who may see the site starts and follows its tests. Streams share the places and the end of the live
//! views.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use bytes::Bytes;
use cairn_model::Pixel;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use url::Url;
use utoipa::ToSchema;

use super::body::JsonBody;
use super::live::Messages;
use super::pixels::{find, url};
use super::show;
use crate::App;
use crate::auth::{Connection, SiteAccess};
use crate::error::{ApiError, Code};
use crate::live_test::{Follower, LIFE_MS, LiveTestStage, PARAMETER, Watches, message};

/// When nothing came for this long, the stream says so and names what to look at.
const PATIENCE_MS: i64 = 10_000;
/// How often the time is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A comment is sent at least so often: both ends see that the other is there.
const LOOKS_PER_SIGN: u32 = 40;
/// Messages waiting for one reader.
const MESSAGES_MAX: usize = 16;

/// Where to look when nothing arrives, in the order of how often it is the cause.
const CHECKS: [&str; 5] =
    ["not_installed", "script_blocked", "content_security_policy", "wrong_host", "parameter_lost"];

/// A live test to be started.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewLiveTestBody {
    /// Page to open; default: the pixel's address, else the site's.
    pub url: Option<String>,
}

/// A live test.
#[derive(Serialize, ToSchema)]
#[schema(as = LiveTest)]
pub struct LiveTestBody {
    /// Its code.
    #[schema(example = "3f09c1d27ab84e65")]
    pub code: String,
    /// The page to open, with the code in its address; null for kinds without a page, whose next hits are watched.
    #[schema(required)]
    pub url: Option<String>,
    /// `visit` (hits that carry the code), `visit_or_pixel` (until one does, any of the pixel) or `pixel` (any of it).
    pub watches: &'static str,
    /// When it ends (RFC 3339).
    pub expires_at: String,
}

/// Starts a live test: open `url` in a browser, and follow what becomes of the visit. It runs for five minutes; at most 64
/// at once, 8 of a site.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/pixels/{key}/live-test", tag = "pixels",
    request_body = NewLiveTestBody,
    params(("site_id" = String, Path, description = "Number of the site"),
           ("key" = String, Path, description = "Key of the pixel")),
    responses((status = 201, body = LiveTestBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    Path((_, key)): Path<(String, String)>,
    JsonBody(mut fields): JsonBody,
) -> Result<(StatusCode, Json<LiveTestBody>), ApiError> {
    let pixel = find(&access, &key)?;
    let wanted = url(&mut fields)?.filter(|url| !url.is_empty());
    fields.finish()?;
    let watches = Watches::of(pixel.kind);
    let origin = app.public_origin(&headers, connection.is_some_and(|found| found.0.https));
    let page = match watches {
        Watches::Pixel => None,
        _ => Some(page(wanted, pixel, &access.site().domain, &origin)?),
    };
    let now_ms = (app.clock)();
    let test = app.live_tests.start(access.site_id(), &key, watches, now_ms).map_err(|_| {
        ApiError::new(Code::Overloaded, "Too many live tests are running; they end by themselves.")
    })?;
    let page = page.map(|mut page| {
        page.query_pairs_mut().append_pair(PARAMETER, &test.code);
        String::from(page)
    });
    let body = LiveTestBody {
        code: test.code.clone(),
        url: page,
        watches: watches.name(),
        expires_at: show::instant(test.expires_at_ms()),
    };
    Ok((StatusCode::CREATED, Json(body)))
}

/// The page that the test opens.
fn page(
    wanted: Option<String>,
    pixel: &Pixel,
    domain: &str,
    origin: &str,
) -> Result<Url, ApiError> {
    let page = match (wanted, pixel.url.as_str()) {
        (Some(wanted), _) => wanted,
        (None, "") => format!("https://{domain}/"),
        // The demonstration's shop lives where the server does.
        (None, path) if path.starts_with('/') => format!("{origin}{path}"),
        (None, url) => url.to_owned(),
    };
    let no_page = |_| ApiError::invalid("url", "The site has no address that could be opened.");
    Url::parse(&page).map_err(no_page)
}

/// Follows a live test: `event: stage` with each stage of each hit, at most 20 of them; `event: nothing` with
/// `{"after_s", "script", "check"}` when nothing came within ten seconds; `event: end` when the test is over.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/pixels/{key}/live-test/{code}", tag = "pixels",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("key" = String, Path, description = "Key of the pixel"),
           ("code" = String, Path, description = "Code of the test")),
    responses((status = 200, content_type = "text/event-stream", body = LiveTestStage)))]
pub async fn stream(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    Path((_, key, code)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    let test = app.live_tests.find(access.site_id(), &key, &code, (app.clock)());
    let test = test.ok_or_else(ApiError::not_found)?;
    let place = app.live_places.take()?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let clock = Arc::clone(&app.clock);
    let follower = test.follow(move || clock());
    let (sender, messages) = mpsc::channel(MESSAGES_MAX);
    tokio::spawn(feed(app, follower, last.unwrap_or(0), sender, place));
    let mut response = Response::new(Body::new(Messages(messages)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Asks nginx not to hold messages back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

async fn feed(
    app: Arc<App>,
    mut follower: Follower,
    mut seen: usize,
    sender: mpsc::Sender<Bytes>,
    _place: OwnedSemaphorePermit,
) {
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    let mut ended = app.live_places.ended();
    let (mut has_complained, mut looks) = (seen > 0, 0);
    if sender.send(Bytes::from_static(b"retry: 2000\n\n")).await.is_err() {
        return;
    }
    loop {
        for message in follower.from(seen) {
            seen += 1;
            if sender.send(message).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = sender.closed() => return,
            _ = ended.wait_for(|ended| *ended) => return,
            () = follower.wait_for_more(seen) => continue,
            _ = look.tick() => {}
        }
        let now_ms = (app.clock)();
        if now_ms >= follower.test.expires_at_ms() {
            let _ = sender.send(message("end", None, &json!({"after_s": LIFE_MS / 1000}))).await;
            return;
        }
        let is_late = follower.test.waiting_ms(now_ms).is_some_and(|waited| waited >= PATIENCE_MS);
        looks += 1;
        let sign = match () {
            () if is_late && !has_complained => {
                has_complained = true;
                nothing(&follower)
            }
            () if looks % LOOKS_PER_SIGN == 0 => Bytes::from_static(b": here\n\n"),
            () => continue,
        };
        if sender.send(sign).await.is_err() {
            return;
        }
    }
}

fn nothing(follower: &Follower) -> Bytes {
    let script = follower.test.saw_script();
    message(
        "nothing",
        None,
        &json!({"after_s": PATIENCE_MS / 1000, "script": script, "check": CHECKS}),
    )
}
