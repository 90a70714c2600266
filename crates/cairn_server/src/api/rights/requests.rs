//! Requests: written down, answered, closed.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use cairn_catalog::{
    Catalog, ErasureReason, NewRequest, NewStep, RequestList, RequestSource, RequestState,
    RightsRequest,
};
use cairn_model::notice::{self, LANGUAGES};
use cairn_model::rights::{Law, RequestKind};
use http::{HeaderMap, StatusCode};
use utoipa::ToSchema;

use super::asked::{Asked, Open, Reason, ReasonBody, RequestPath, closed};
use super::find::{FindBody, Identifier, found, held_of, law_of};
use super::{RightsRequestBody, WaitingRequests};
use crate::App;
use crate::api::body::{Fields, JsonBody, Parameters};
use crate::api::idempotency::Unrepeatable;
use crate::api::page::{Page, PageRequest};
use crate::auth::{SiteAccess, blocking};
use crate::error::{ApiError, Code};
use crate::rights::{Export, Format, owners_place, with_erasure};

/// How long the answer waits for an erasure: longer ones are told as under way.
const ERASURE_PATIENCE: Duration = Duration::from_secs(2);

/// What somebody asks for, and who he is: exactly one identifier.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewRequestBody {
    /// `access`, `erase`, `opt_out` or `rectification`.
    #[schema(example = "erase")]
    pub kind: String,
    /// `gdpr` or `ccpa`. Default: by where he was last seen, California or elsewhere.
    pub law: Option<String>,
    /// When it came (RFC 3339 or Unix milliseconds). Default: now.
    #[schema(value_type = Option<String>)]
    pub received_at: Option<String>,
    /// Who he is.
    #[serde(flatten)]
    pub whom: FindBody,
}

/// Writes a request down. One to opt out is carried out at once. No answer is kept for repetitions, since it names somebody:
/// a repetition with the same `Idempotency-Key` does nothing and is answered with 409.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/rights/requests", tag = "rights",
    request_body = NewRequestBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 201, body = RightsRequestBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<(StatusCode, Unrepeatable, Json<RightsRequestBody>), ApiError> {
    let now_ms = app.now_ms(&headers);
    let kind = fields.required_text("kind")?;
    let kind = RequestKind::from_name(&kind).ok_or_else(|| {
        ApiError::invalid("kind", "Known kinds: access, erase, opt_out, rectification.")
    })?;
    let law = match fields.text("law")? {
        None => None,
        Some(name) => Some(
            Law::from_name(&name)
                .ok_or_else(|| ApiError::invalid("law", "Known laws: gdpr, ccpa."))?,
        ),
    };
    let received_at_ms = received(&mut fields, now_ms)?;
    let identifier = Identifier::read(&mut fields)?;
    fields.finish()?;
    let found = found(&app, &access, &identifier).await?;
    let law = match law {
        Some(law) => law,
        None => law_of(&app, &found.subject).await?,
    };
    let (site_id, zone) = (access.site_id(), access.entry().zone.clone());
    let is_opt_out = kind == RequestKind::OptOut;
    let new = NewRequest {
        site_id,
        kind,
        law,
        source: RequestSource::Owner,
        identifier_kind: identifier.kind().to_owned(),
        identifier: if is_opt_out { String::new() } else { identifier.value().to_owned() },
        subject: found.subject.clone(),
        received_at_ms,
        due_at_ms: law.due_at_ms(kind, received_at_ms, &zone, false),
    };
    let user = access.caller().user_id();
    let holders = found.holders;
    let request = blocking(&app, move |catalog| {
        let step = |step| NewStep { user, step, note: String::new(), at_ms: now_ms };
        let request = catalog.add_request(&new, &step("received"))?;
        if !is_opt_out {
            return Ok(request);
        }
        let numbers: Vec<u64> = new.subject.identifiers().collect();
        catalog.add_opt_outs(site_id, &numbers, now_ms)?;
        for holder in holders {
            catalog.forget_memory(site_id, holder, now_ms)?;
        }
        catalog.close_request(site_id, request.id, RequestState::Done, &step("done"))?;
        Ok(catalog.request(site_id, request.id)?.unwrap_or(request))
    })
    .await?;
    let shown = Asked { app, access, request, now_ms }.shown().await?;
    Ok((StatusCode::CREATED, Unrepeatable, shown))
}

/// Lists requests: those that wait by the day they are due, others the newest first.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/rights/requests", tag = "rights",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("state" = Option<String>, Query, description = "`waiting` (open or being erased, the earliest due first), `open`, `erasing`, `done`, `refused`, `withdrawn`; default: all"),
           ("overdue" = Option<String>, Query, description = "`true`: only those that wait and whose last day is over"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<RightsRequestBody>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<RightsRequestBody>>, ApiError> {
    let now_ms = app.now_ms(&headers);
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    let state = parameters.text("state")?.unwrap_or_default();
    let overdue = match parameters.text("overdue")?.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(wrong("overdue", "true or false")),
    };
    parameters.finish()?;
    let waits = overdue || state == "waiting";
    let list = match (waits, state.as_str()) {
        (true, _) => RequestList::Waiting {
            due_by_ms: if overdue { now_ms } else { i64::MAX },
            after: page.key(|text| {
                let (due, id) = text.split_once(':')?;
                Some((due.parse().ok()?, id.parse().ok()?))
            })?,
        },
        (false, name) => RequestList::Newest {
            state: match name {
                "" => None,
                name => Some(state_of(name)?),
            },
            before: page.key(|text| text.parse().ok())?,
        },
    };
    let (site_id, limit) = (access.site_id(), page.limit + 1);
    let requests = blocking(&app, move |catalog| catalog.requests(site_id, list, limit)).await?;
    let mut items = Vec::with_capacity(requests.len());
    for request in requests {
        items.push(with_erasure(&app, request).await?);
    }
    let key = |(request, _): &(RightsRequest, _)| match waits {
        true => format!("{}:{}", request.due_at_ms, request.id),
        false => request.id.to_string(),
    };
    let zone = &access.entry().zone;
    Ok(Json(Page::cut(items.into_iter(), &page, key, |(request, erasure)| {
        RightsRequestBody::new(request, erasure.as_ref(), Vec::new(), (zone, now_ms))
    })))
}

/// Says how many requests wait.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/rights", tag = "rights",
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 200, body = WaitingRequests)))]
pub async fn waiting(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
) -> Result<Json<WaitingRequests>, ApiError> {
    let (site_id, now_ms) = (access.site_id(), app.now_ms(&headers));
    let counted = blocking(&app, move |catalog| catalog.waiting_requests(site_id, now_ms));
    let (open, overdue) = counted.await?;
    Ok(Json(WaitingRequests { open, overdue }))
}

/// Shows a request with what was done about it.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/rights/requests/{request_id}", tag = "rights",
    params(RequestPath),
    responses((status = 200, body = RightsRequestBody)))]
pub async fn show(asked: Asked) -> Result<Json<RightsRequestBody>, ApiError> {
    asked.shown().await
}

/// Gives everything that is held of whom an open request names, as a file for him.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/rights/requests/{request_id}/export", tag = "rights",
    params(RequestPath,
           ("format" = Option<String>, Query, description = "`json` (default), or `html`, to be read"),
           ("language" = Option<String>, Query, description = "Of the page to be read: `en` (default), `de`, `fr` or `es`")),
    responses((status = 200, content_type = "application/json", body = String)))]
pub async fn export(Open(asked): Open, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let format = parameters.text("format")?.unwrap_or_else(|| "json".to_owned());
    let format = Format::from_name(&format).ok_or_else(|| wrong("format", "json or html"))?;
    let language = parameters.text("language")?.unwrap_or_else(|| LANGUAGES[0].tag.to_owned());
    parameters.finish()?;
    let place = owners_place()?;
    let found = asked.found().await?;
    let step = asked.step("exported", String::new());
    let Asked { app, access, request, now_ms } = asked;
    let held = held_of(&app, &access, found, now_ms).await?;
    let language = notice::language([language.as_str()]);
    let answer = Export { held, choice: None, format, language, now_ms }.answer(&app, place);
    blocking(&app, move |catalog| catalog.note_step(request.id, &step)).await?;
    Ok(answer)
}

/// Erases whom an open request to erase names, everywhere on the machine. The answer waits a moment for the end; later the
/// request's own address tells it.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/rights/requests/{request_id}/erase", tag = "rights",
    params(RequestPath),
    responses((status = 200, body = RightsRequestBody)))]
pub async fn erase(Open(asked): Open) -> Result<Json<RightsRequestBody>, ApiError> {
    if asked.request.kind != RequestKind::Erase {
        return Err(ApiError::new(Code::NotOpen, "This request does not ask for an erasure."));
    }
    let found = asked.found().await?;
    let (site_id, id) = (asked.access.site_id(), asked.request.id);
    let step = asked.step("erasing", String::new());
    let new = found.erasure(ErasureReason::Owner, Some(id));
    let begin = move |catalog: &Catalog| catalog.begin_request_erasure(site_id, id, &new, &step);
    let erasure = blocking(&asked.app, begin).await?.ok_or_else(closed)?;
    asked.app.apply.wait_erased(erasure, ERASURE_PATIENCE).await;
    asked.again().await?.shown().await
}

/// Extends the time of an open request, once and before it is over, for a reason that whoever asked was told: under the GDPR
/// to three months (Art. 12(3)), under the CCPA to 90 days (§ 1798.130(a)(2)(A)).
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/rights/requests/{request_id}/extend", tag = "rights",
    request_body = ReasonBody,
    params(RequestPath),
    responses((status = 200, body = RightsRequestBody)))]
pub async fn extend(
    Open(asked): Open,
    Reason(reason): Reason,
) -> Result<Json<RightsRequestBody>, ApiError> {
    let RightsRequest { id, law, kind, received_at_ms, extended, due_at_ms, .. } = asked.request;
    if !law.may_extend(kind) {
        let message = "The law gives no extension for this kind of request.";
        return Err(ApiError::new(Code::NotOpen, message));
    }
    if extended {
        let message = "The time of this request was extended already.";
        return Err(ApiError::new(Code::NotOpen, message));
    }
    if asked.now_ms >= due_at_ms {
        let message = "The time is over: it may be extended only before.";
        return Err(ApiError::new(Code::NotOpen, message));
    }
    let (site_id, zone) = (asked.access.site_id(), &asked.access.entry().zone);
    let due_at_ms = law.due_at_ms(kind, received_at_ms, zone, true);
    let step = asked.step("extended", reason);
    asked.changed(move |catalog| catalog.extend_request(site_id, id, due_at_ms, &step)).await
}

/// Refuses an open request, for a reason that whoever asked was told.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/rights/requests/{request_id}/refuse", tag = "rights",
    request_body = ReasonBody,
    params(RequestPath),
    responses((status = 200, body = RightsRequestBody)))]
pub async fn refuse(
    Open(asked): Open,
    Reason(reason): Reason,
) -> Result<Json<RightsRequestBody>, ApiError> {
    asked.close(RequestState::Refused, "refused", reason).await
}

/// Closes an open request as withdrawn by whoever made it.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/rights/requests/{request_id}/withdraw", tag = "rights",
    params(RequestPath),
    responses((status = 200, body = RightsRequestBody)))]
pub async fn withdraw(Open(asked): Open) -> Result<Json<RightsRequestBody>, ApiError> {
    asked.close(RequestState::Withdrawn, "withdrawn", String::new()).await
}

/// Closes an open request as fulfilled, as after its export was handed over. One to erase is done by its erasure.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/rights/requests/{request_id}/done", tag = "rights",
    params(RequestPath),
    responses((status = 200, body = RightsRequestBody)))]
pub async fn done(Open(asked): Open) -> Result<Json<RightsRequestBody>, ApiError> {
    if asked.request.kind == RequestKind::Erase {
        let message = "A request to erase is done by its erasure.";
        return Err(ApiError::new(Code::NotOpen, message));
    }
    asked.close(RequestState::Done, "done", String::new()).await
}

/// When a request came: not in the future.
fn received(fields: &mut Fields, now_ms: i64) -> Result<i64, ApiError> {
    let Some(text) = fields.text("received_at")? else { return Ok(now_ms) };
    let instant = || text.parse::<jiff::Timestamp>().ok().map(|at| at.as_millisecond());
    let at_ms = text.parse().ok().or_else(instant);
    let known = at_ms.filter(|at_ms| (0..=now_ms).contains(at_ms));
    known.ok_or_else(|| {
        let message = "The time must be an instant such as 2026-11-22T10:00:00Z, and not to come.";
        ApiError::invalid("received_at", message)
    })
}

fn state_of(name: &str) -> Result<RequestState, ApiError> {
    let wanted = "waiting, open, erasing, done, refused or withdrawn";
    let found = RequestState::ALL.into_iter().find(|state| state.name() == name);
    found.ok_or_else(|| wrong("state", wanted))
}

fn wrong(name: &'static str, wanted: &str) -> ApiError {
    ApiError::new(Code::MalformedRequest, format!("The parameter {name} must be {wanted}."))
        .on(name)
}
