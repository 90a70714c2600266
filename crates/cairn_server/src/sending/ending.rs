//! `/unsubscribe`: where a recipient ends a digest or an alert for himself, from the link in each mail.
//!
//! Guarantees: the link holds no mail address; only `POST` ends anything, so that whoever looks links up in advance does not.
//! A link that is not valid any more is answered like one that worked. It answers where visitors reach the server: recipients
//! need not reach the dashboard.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cairn_catalog::{MasterSecret, Sender};
use cairn_model::SiteId;
use http::HeaderMap;
use subtle::ConstantTimeEq;

use crate::App;
use crate::auth::blocking;
use crate::collect::page::{STYLE, page};
use crate::error::ApiError;
use crate::rights::html::escaped;

/// Where it is.
pub(crate) const PATH: &str = "/unsubscribe";

/// The page's route.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route(PATH, get(ask).post(end))
}

/// Where this recipient ends what this sender sends.
pub(super) fn url(app: &App, sender: Sender, email: &str) -> String {
    let origin = app.config.visitor_origin(app.config.listen);
    let mark = mark(app.catalog.master_secret(), sender, email);
    let (kind, id) = match sender {
        Sender::Digest(id) => ("digest", id),
        Sender::Alert(id) => ("alert", id),
    };
    format!("{origin}{PATH}?token={kind}-{id}-{mark}")
}

/// What only this server can say of a sender and a recipient.
fn mark(secret: &MasterSecret, sender: Sender, email: &str) -> String {
    let key = secret.derive("cairn 2026 end of a digest or an alert");
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(sender.to_string().as_bytes()).update(b"\n").update(email.as_bytes());
    hasher.finalize().to_hex()[..40].to_owned()
}

fn token(query: Option<&str>) -> Option<(Sender, String)> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let (_, token) = pairs.find(|(name, _)| name == "token")?;
    let mut parts = token.splitn(3, '-');
    let (kind, id) = (parts.next()?, parts.next()?.parse().ok()?);
    let sender = match kind {
        "digest" => Sender::Digest(id),
        "alert" => Sender::Alert(id),
        _ => return None,
    };
    Some((sender, parts.next()?.to_owned()))
}

/// The words of the page for what is ended.
fn words(sender: Sender) -> (&'static str, &'static str) {
    match sender {
        Sender::Digest(_) => ("End these reports", "You get no more of these reports"),
        Sender::Alert(_) => ("End these messages", "You get no more of these messages"),
    }
}

async fn ask(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let Some((sender, mark)) = token(query.as_deref()) else { return Err(ApiError::not_found()) };
    let (action, done) = words(sender);
    let text = match reader(&app, sender, &mark).await? {
        // The name is for those who got the mail.
        Some((site_id, _)) => match app.directory.current().by_id(site_id) {
            Some(entry) => format!("{done} about {}.", escaped(&entry.site.name)),
            None => format!("{done}."),
        },
        None => format!("{done}."),
    };
    let form = format!("<form method=\"post\"><button>{action}</button></form>");
    Ok(shown(
        &format!("{action}?"),
        &format!("<p>{}</p>{form}", text.replace("You get", "You will get")),
    ))
}

async fn end(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let Some((sender, mark)) = token(query.as_deref()) else { return Err(ApiError::not_found()) };
    if let Some((_, email)) = reader(&app, sender, &mark).await? {
        blocking(&app, move |catalog| catalog.end_for_recipient(sender, &email)).await?;
    }
    let (_, done) = words(sender);
    Ok(shown("Done", &format!("<p class=\"state\" role=\"status\">{done}.</p>")))
}

/// The recipient whom a link was made for, and the site that he is told about.
async fn reader(
    app: &Arc<App>,
    sender: Sender,
    told: &str,
) -> Result<Option<(SiteId, String)>, ApiError> {
    let known = blocking(app, move |catalog| catalog.recipients_of(sender)).await?;
    let Some((site_id, recipients)) = known else { return Ok(None) };
    let secret = app.catalog.master_secret();
    let is_meant =
        |email: &String| bool::from(mark(secret, sender, email).as_bytes().ct_eq(told.as_bytes()));
    Ok(recipients.into_iter().find(is_meant).map(|email| (site_id, email)))
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
