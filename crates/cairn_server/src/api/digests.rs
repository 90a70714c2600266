//! Digests: reports of finished days, weeks or months that are mailed by themselves (docs/reports.md).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use cairn_catalog::{Digest, Dispatch, NewDigest, Sender};
use cairn_model::Site;
use cairn_model::digest::{self, Every};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{Fields, JsonBody, Parameters, missing};
use super::page::{Page, PageRequest};
use super::show;
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::ApiError;
use crate::sending;

/// Recipients of one digest or alert.
const RECIPIENTS_MAX: usize = 20;
/// Dispatches that are shown of one sender.
pub(super) const DISPATCHES_SHOWN_MAX: usize = 20;
/// The hour of a digest that names none.
const HOUR: i8 = 8;

/// A recipient of a digest or an alert.
#[derive(Serialize, ToSchema)]
#[schema(as = Recipient)]
pub struct RecipientBody {
    /// Mail address.
    pub email: String,
    /// He ended it for himself.
    pub ended: bool,
}

/// What was sent, or is to be.
#[derive(Serialize, ToSchema)]
#[schema(as = Dispatch)]
pub struct DispatchBody {
    /// Mail address; of an alert's webhook it is empty.
    pub target: String,
    /// What it is about, as `week 2026-11-16`.
    pub occasion: String,
    /// `waiting`, `sent` or `given_up`.
    pub state: &'static str,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was sent or given up (RFC 3339).
    pub settled_at: Option<String>,
    /// Why the last attempt failed.
    pub problem: Option<String>,
}

/// A digest.
#[derive(Serialize, ToSchema)]
#[schema(as = Digest)]
pub struct DigestBody {
    /// Its number.
    pub id: String,
    /// `day`, `week` or `month`: what it is about, and how often it is sent.
    pub every: &'static str,
    /// Hour in the site's zone at which it is sent.
    pub hour: i8,
    /// Whom it is for.
    pub recipients: Vec<RecipientBody>,
    /// When the next one is due (RFC 3339).
    pub next_at: Option<String>,
    /// The last ones, the newest first.
    pub dispatches: Vec<DispatchBody>,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// A digest to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewDigestBody {
    /// `day`, `week` (Monday to Sunday) or `month`.
    pub every: String,
    /// Hour in the site's zone, 0 to 23; default 8.
    pub hour: Option<u8>,
    /// Mail addresses, 1 to 20.
    pub recipients: Vec<String>,
}

/// What changes of a digest; what is left out stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct DigestPatch {
    /// `day`, `week` (Monday to Sunday) or `month`.
    pub every: Option<String>,
    /// Hour in the site's zone, 0 to 23.
    pub hour: Option<u8>,
    /// Mail addresses, 1 to 20. Who ended it for himself gets none of it, also where he is named again.
    pub recipients: Option<Vec<String>>,
}

/// How a digest looks.
#[derive(Serialize, ToSchema)]
pub struct DigestPreview {
    /// Subject of the mail.
    pub subject: String,
    /// The mail as text.
    pub text: String,
    /// The mail as HTML, which needs nothing from outside.
    pub html: String,
}

/// What was sent.
#[derive(Serialize, ToSchema)]
pub struct SentBody {
    /// What became of it so far, the newest first.
    pub items: Vec<DispatchBody>,
}

/// Lists the digests of a site, by time of creation.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/digests", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<DigestBody>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<DigestBody>>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    parameters.finish()?;
    let after = page.key(|text| text.parse::<i64>().ok())?.unwrap_or(0);
    let (site_id, now_ms) = (access.site_id(), app.now_ms(&headers));
    let known = blocking(&app, move |catalog| {
        let known = catalog.digests(Some(site_id))?.into_iter().filter(|one| one.id > after);
        let with_sent = known.map(|one| {
            let sent = catalog.dispatches_of(Sender::Digest(one.id), DISPATCHES_SHOWN_MAX)?;
            Ok((one, sent))
        });
        with_sent.collect::<Result<Vec<_>, _>>()
    });
    let known = known.await?.into_iter();
    let shown = |(one, sent)| body(one, sent, access.site(), now_ms);
    Ok(Json(Page::cut(known, &page, |(one, _)| one.id.to_string(), shown)))
}

/// Has a report mailed by itself, beginning with the next period that ends.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/digests", tag = "queries",
    request_body = NewDigestBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 201, body = DigestBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<(StatusCode, Json<DigestBody>), ApiError> {
    let every = every(&mut fields)?.ok_or_else(|| missing("every"))?;
    let hour = hour(&mut fields)?.unwrap_or(HOUR);
    let recipients = readers(&mut fields)?.ok_or_else(|| missing("recipients"))?;
    fields.finish()?;
    let (site_id, now_ms) = (access.site_id(), app.now_ms(&headers));
    let new = NewDigest { every, hour, recipients };
    let made = blocking(&app, move |catalog| catalog.add_digest(site_id, new, now_ms)).await?;
    Ok((StatusCode::CREATED, Json(body(made, Vec::new(), access.site(), now_ms))))
}

/// Changes a digest, from the next period that ends.
#[utoipa::path(patch, path = "/api/v1/sites/{site_id}/digests/{digest_id}", tag = "queries",
    request_body = DigestPatch,
    params(("site_id" = String, Path, description = "Number of the site"),
           ("digest_id" = String, Path, description = "Number of the digest")),
    responses((status = 200, body = DigestBody)))]
pub async fn change(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    Path((_, digest_id)): Path<(String, String)>,
    JsonBody(mut fields): JsonBody,
) -> Result<Json<DigestBody>, ApiError> {
    let mut digest = known(&app, &access, &digest_id).await?;
    let definition = &mut digest.definition;
    definition.every = every(&mut fields)?.unwrap_or(definition.every);
    definition.hour = hour(&mut fields)?.unwrap_or(definition.hour);
    if let Some(recipients) = readers(&mut fields)? {
        definition.recipients = recipients;
    }
    fields.finish()?;
    let (site_id, id, new) = (access.site_id(), digest.id, definition.clone());
    let changed = blocking(&app, move |catalog| {
        let is_there = catalog.change_digest(site_id, id, &new)?;
        Ok((is_there, catalog.dispatches_of(Sender::Digest(id), DISPATCHES_SHOWN_MAX)?))
    });
    let (true, sent) = changed.await? else { return Err(ApiError::not_found()) };
    Ok(Json(body(digest, sent, access.site(), app.now_ms(&headers))))
}

/// Removes a digest; what waits of it is not sent any more.
#[utoipa::path(delete, path = "/api/v1/sites/{site_id}/digests/{digest_id}", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("digest_id" = String, Path, description = "Number of the digest")),
    responses((status = 204, description = "It is gone")))]
pub async fn remove(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, digest_id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let id: i64 = digest_id.parse().map_err(|_| ApiError::not_found())?;
    let site_id = access.site_id();
    if blocking(&app, move |catalog| catalog.delete_digest(site_id, id)).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found())
}

/// Shows how a digest of the last finished period looks.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/digests/{digest_id}/preview", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("digest_id" = String, Path, description = "Number of the digest")),
    responses((status = 200, body = DigestPreview)))]
pub async fn preview(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    Path((_, digest_id)): Path<(String, String)>,
) -> Result<Json<DigestPreview>, ApiError> {
    let now_ms = app.now_ms(&headers);
    let (_, period) = of_site(&app, &access, &digest_id, now_ms).await?;
    let written = sending::write(&app, access.site_id(), period, now_ms).await?;
    let sending::Written { subject, text, html } = written.ok_or_else(ApiError::not_found)?;
    Ok(Json(DigestPreview { subject, text, html }))
}

/// Sends the digest of the last finished period now, beside those that are sent by themselves.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/digests/{digest_id}/dispatches", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("digest_id" = String, Path, description = "Number of the digest")),
    responses((status = 200, body = SentBody)))]
pub async fn send(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    Path((_, digest_id)): Path<(String, String)>,
) -> Result<Json<SentBody>, ApiError> {
    let now_ms = app.now_ms(&headers);
    let (digest, period) = of_site(&app, &access, &digest_id, now_ms).await?;
    app.limits.sending(access.site_id())?;
    let new = sending::dispatches(&digest, period, &format!("now {now_ms}"));
    Ok(Json(send_now(&app, Sender::Digest(digest.id), new, now_ms).await?))
}

/// Notes what is to be sent, tries it at once, and tells what became of it.
pub(super) async fn send_now(
    app: &Arc<App>,
    sender: Sender,
    new: Vec<cairn_catalog::NewDispatch>,
    now_ms: i64,
) -> Result<SentBody, ApiError> {
    let count = new.len();
    blocking(app, move |catalog| catalog.add_dispatches(&new, now_ms)).await?;
    sending::deliver(app, now_ms).await?;
    let sent = blocking(app, move |catalog| catalog.dispatches_of(sender, count)).await?;
    Ok(SentBody { items: sent.into_iter().map(dispatch).collect() })
}

async fn of_site(
    app: &App,
    access: &SiteAccess,
    digest_id: &str,
    now_ms: i64,
) -> Result<(Digest, digest::Period), ApiError> {
    let known = known(app, access, digest_id).await?;
    let zone = sending::zone_of(access.site());
    // What is finished now, also before the hour at which it is sent by itself.
    let due = digest::due(known.definition.every, 0, &zone, now_ms);
    let (period, _) = due.ok_or_else(ApiError::not_found)?;
    Ok((known, period))
}

async fn known(app: &App, access: &SiteAccess, digest_id: &str) -> Result<Digest, ApiError> {
    let id: i64 = digest_id.parse().map_err(|_| ApiError::not_found())?;
    let known = blocking(app, move |catalog| catalog.digest(id)).await?;
    known.filter(|digest| digest.site_id == access.site_id()).ok_or_else(ApiError::not_found)
}

fn every(fields: &mut Fields) -> Result<Option<Every>, ApiError> {
    let wrong = || ApiError::invalid("every", "Digests are sent every day, week or month.");
    let named = |name: String| Every::named(&name).ok_or_else(wrong);
    fields.text("every")?.map(named).transpose()
}

fn hour(fields: &mut Fields) -> Result<Option<i8>, ApiError> {
    let hour = fields.whole("hour", sending::is_hour())?;
    Ok(hour.and_then(|hour| i8::try_from(hour).ok()))
}

/// The mail addresses of a digest, of which there is one at least.
fn readers(fields: &mut Fields) -> Result<Option<Vec<String>>, ApiError> {
    let readers = recipients(fields)?;
    if readers.as_ref().is_some_and(Vec::is_empty) {
        return Err(ApiError::invalid("recipients", "Somebody has to get it."));
    }
    Ok(readers)
}

/// The mail addresses of a body, each once.
pub(super) fn recipients(fields: &mut Fields) -> Result<Option<Vec<String>>, ApiError> {
    let Some(told) = fields.texts("recipients", RECIPIENTS_MAX)? else { return Ok(None) };
    let mut known: Vec<String> = Vec::new();
    for (place, email) in told.into_iter().enumerate() {
        if !cairn_connect::is_mail_address(&email) {
            let field = format!("recipients[{place}]");
            return Err(ApiError::invalid(field, "This is no mail address."));
        }
        if !known.contains(&email) {
            known.push(email);
        }
    }
    Ok(Some(known))
}

fn body(digest: Digest, sent: Vec<Dispatch>, site: &Site, now_ms: i64) -> DigestBody {
    let NewDigest { every, hour, recipients } = digest.definition;
    let next_ms = digest::next(every, hour, &sending::zone_of(site), now_ms);
    DigestBody {
        id: digest.id.to_string(),
        every: every.name(),
        hour,
        recipients: shown_recipients(recipients, &digest.ended),
        next_at: next_ms.map(show::instant),
        dispatches: sent.into_iter().map(dispatch).collect(),
        created_at: show::instant(digest.created_at_ms),
    }
}

pub(super) fn shown_recipients(emails: Vec<String>, ended: &[String]) -> Vec<RecipientBody> {
    let shown = emails.into_iter().map(|email| {
        let ended = ended.contains(&email);
        RecipientBody { email, ended }
    });
    shown.collect()
}

pub(super) fn dispatch(sent: Dispatch) -> DispatchBody {
    DispatchBody {
        target: sent.what.target,
        occasion: sent.what.occasion,
        state: sent.state.name(),
        attempts: sent.attempts,
        settled_at: sent.settled_at_ms.map(show::instant),
        problem: (!sent.problem.is_empty()).then_some(sent.problem),
    }
}
