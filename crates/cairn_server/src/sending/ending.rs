//! `/digests/end`: where a recipient ends a digest for himself, from the link in each mail.
//!
//! Guarantees: the link holds no mail address; only `POST` ends anything, so that whoever looks links up in advance does not.
//! A link that is not valid any more is answered like one that worked.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cairn_catalog::MasterSecret;
use http::HeaderMap;
use subtle::ConstantTimeEq;

use crate::App;
use crate::auth::blocking;
use crate::collect::page::{STYLE, page};
use crate::error::ApiError;
use crate::rights::html::escaped;

/// Where it is.
const PATH: &str = "/digests/end";

/// The page's route.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route(PATH, get(ask).post(end))
}

/// Where this recipient ends this digest.
pub(super) fn url(app: &App, digest_id: i64, email: &str) -> String {
    let origin = app.config.dashboard_origin(app.config.listen);
    let mark = mark(app.catalog.master_secret(), digest_id, email);
    format!("{origin}{PATH}?token={digest_id}-{mark}")
}

/// What only this server can say of a digest and a recipient.
fn mark(secret: &MasterSecret, digest_id: i64, email: &str) -> String {
    let key = secret.derive("cairn 2026 end of a digest");
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(&digest_id.to_be_bytes()).update(email.as_bytes());
    hasher.finalize().to_hex()[..40].to_owned()
}

fn token(query: Option<&str>) -> Option<(i64, String)> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let (_, token) = pairs.find(|(name, _)| name == "token")?;
    let (id, mark) = token.split_once('-')?;
    Some((id.parse().ok()?, mark.to_owned()))
}

async fn ask(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let Some((id, mark)) = token(query.as_deref()) else { return Err(ApiError::not_found()) };
    let name = blocking(&app, move |catalog| catalog.digest(id)).await?.and_then(|digest| {
        app.directory.current().by_id(digest.site_id).map(|entry| entry.site.name.clone())
    });
    let text = match name {
        // The name is for those who got the mail.
        Some(name) if reader(&app, id, &mark).await?.is_some() => {
            format!("You will get no more of these reports about {}.", escaped(&name))
        }
        _ => "You will get no more of these reports.".to_owned(),
    };
    let form = "<form method=\"post\"><button>End these reports</button></form>";
    Ok(shown("End these reports?", &format!("<p>{text}</p>{form}")))
}

async fn end(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let Some((id, mark)) = token(query.as_deref()) else { return Err(ApiError::not_found()) };
    if let Some(email) = reader(&app, id, &mark).await? {
        blocking(&app, move |catalog| catalog.end_digest(id, &email)).await?;
    }
    Ok(shown("Done", "<p class=\"state\" role=\"status\">You get no more of these reports.</p>"))
}

/// The recipient whom a link was made for.
async fn reader(app: &App, digest_id: i64, told: &str) -> Result<Option<String>, ApiError> {
    let digest = blocking(app, move |catalog| catalog.digest(digest_id)).await?;
    let secret = app.catalog.master_secret();
    let is_meant = |email: &String| {
        bool::from(mark(secret, digest_id, email).as_bytes().ct_eq(told.as_bytes()))
    };
    Ok(digest.and_then(|digest| digest.definition.recipients.into_iter().find(is_meant)))
}

fn shown(title: &str, body: &str) -> Response {
    let answer = page(HeaderMap::new(), "'none'", |nonce| {
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <meta name=\"robots\" content=\"noindex\"><title>{title}</title>\
             <style nonce=\"{nonce}\">{STYLE}</style></head><body><main><h1>{title}</h1>{body}\
             </main></body></html>"
        )
    });
    answer.map(Body::new).into_response()
}
