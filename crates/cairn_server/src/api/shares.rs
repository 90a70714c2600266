//! Shared reports: links that show a site's figures without a log-in, and no small group of people.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, RawQuery, State};
use axum::{Extension, Json};
use cairn_catalog::{MasterSecret, NewShare, Share};
use cairn_engine::report::ReportSite;
use cairn_engine::report::shared::SharedQuestion;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::body::{JsonBody, Parameters, missing};
use super::idempotency::Unrepeatable;
use super::page::{Page, PageRequest};
use super::{account, query, segments, show, sites};
use crate::App;
use crate::auth::{Connection, Passwords, SiteAccess, bearer_token, blocking};
use crate::error::{ApiError, Code};

/// Fewest visitors in a row, where the owner says nothing.
const GROUP_SIZE_DEFAULT: i64 = 10;
/// What the owner may say. Below 3 a row could tell of one visitor to another one.
const GROUP_SIZES: std::ops::RangeInclusive<i64> = 3..=1000;
/// How long a link may live, where its owner says an end.
const EXPIRY_DAYS: std::ops::RangeInclusive<i64> = 1..=3660;
/// For how long a password that was said opens the report.
const KEY_AGE_MS: i64 = 12 * 60 * 60 * 1000;
/// Header with what a said password was answered with.
const KEY_HEADER: &str = "cairn-share-key";

/// A shared report without its link.
#[derive(Serialize, ToSchema)]
#[schema(as = Share)]
pub struct ShareBody {
    /// Its number.
    pub id: String,
    /// Name shown to its owner.
    pub name: String,
    /// Fewest visitors that a row of it tells of.
    pub group_size_min: u32,
    /// It opens with a password only.
    pub has_password: bool,
    /// When its link ends (RFC 3339); null: it does not by itself.
    pub expires_at: Option<String>,
    /// Filters that all of its answers have, as in a query.
    #[schema(value_type = Vec<Object>)]
    pub filters: Value,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// A new shared report with its link.
#[derive(Serialize, ToSchema)]
pub struct CreatedShare {
    /// The shared report.
    #[serde(flatten)]
    pub share: ShareBody,
    /// What opens it, shown this once: send it as `Authorization: Bearer TOKEN`.
    pub token: String,
    /// Where its page is, on this server. What is behind the `#` is not sent to any server when the page is opened.
    pub path: String,
}

/// A shared report to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewShareBody {
    /// Name shown to its owner.
    pub name: String,
    /// Fewest visitors that a row may tell of, 3 to 1000; default 10. Smaller groups are left out.
    pub group_size_min: Option<u32>,
    /// Whoever opens it has to know this, 10 characters or more.
    pub password: Option<String>,
    /// Days until its link ends, 1 to 3660.
    pub expires_in_days: Option<u32>,
    /// Filters that all of its answers have, as in a query, without segments.
    #[schema(value_type = Option<Vec<Object>>)]
    pub filters: Option<Value>,
}

/// Lists the shared reports of a site, by time of creation.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/shares", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<ShareBody>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<ShareBody>>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    parameters.finish()?;
    let after = page.key(|text| text.parse::<i64>().ok())?;
    let site_id = access.site_id();
    let shares = blocking(&app, move |catalog| catalog.shares(site_id)).await?;
    let shares = shares.into_iter().filter(|share| after.is_none_or(|after| share.id > after));
    Ok(Json(Page::cut(shares, &page, |share| share.id.to_string(), body)))
}

/// Shares a site's figures by a link. The answer holds the link, which is never shown again; a repetition with the same
/// `Idempotency-Key` is therefore answered with 409.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/shares", tag = "queries",
    request_body = NewShareBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 201, body = CreatedShare)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<(StatusCode, Unrepeatable, Json<CreatedShare>), ApiError> {
    let name = sites::name(&mut fields)?.ok_or_else(|| missing("name"))?;
    let now_ms = app.now_ms(&headers);
    let size = fields.whole("group_size_min", GROUP_SIZES)?.unwrap_or(GROUP_SIZE_DEFAULT);
    let days = fields.whole("expires_in_days", EXPIRY_DAYS)?;
    let filters = segments::filters(&app, &access, &mut fields, now_ms).await?;
    let password = fields.secret("password")?;
    fields.finish()?;
    let filters = Value::Array(filters.unwrap_or_default());
    let password_hash = match password {
        None => String::new(),
        Some(password) => {
            Passwords::check_length(&password)?;
            app.auth.passwords.hash(password).await?
        }
    };
    let group_size_min = u32::try_from(size).unwrap_or(u32::MAX);
    let expires_at_ms = days.map(|days| now_ms + days * 24 * 60 * 60 * 1000);
    let new = NewShare { name, group_size_min, password_hash, expires_at_ms, filters };
    let site_id = access.site_id();
    let (share, token) =
        blocking(&app, move |catalog| catalog.add_share(site_id, new, now_ms)).await?;
    let path = format!("/shared#{}", token.reveal());
    let created = CreatedShare { share: body(share), token: token.reveal().to_owned(), path };
    Ok((StatusCode::CREATED, Unrepeatable, Json(created)))
}

/// Ends a shared report at once.
#[utoipa::path(delete, path = "/api/v1/sites/{site_id}/shares/{share_id}", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("share_id" = String, Path, description = "Number of the shared report")),
    responses((status = 204, description = "Its link opens nothing any more")))]
pub async fn remove(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, share_id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let share_id: i64 = share_id.parse().map_err(|_| ApiError::not_found())?;
    let site_id = access.site_id();
    if !blocking(&app, move |catalog| catalog.delete_share(site_id, share_id)).await? {
        return Err(ApiError::not_found());
    }
    Ok(StatusCode::NO_CONTENT)
}

/// What a shared report is about.
#[derive(Serialize, ToSchema)]
pub struct SharedSite {
    /// Name of the site.
    pub name: String,
    /// Its domain.
    pub domain: String,
    /// IANA name of the zone in which its days begin.
    pub timezone: String,
    /// Fewest visitors that a row tells of.
    pub group_size_min: u32,
    /// Only visits that fit the owner's filters are counted.
    pub is_filtered: bool,
}

/// The password of a shared report.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct UnlockBody {
    /// What its owner told.
    pub password: String,
}

/// What opens a shared report that has a password.
#[derive(Serialize, ToSchema)]
pub struct UnlockedShare {
    /// To be sent as `Cairn-Share-Key` beside the link's token, for twelve hours.
    pub key: String,
}

/// A question to a shared report.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct SharedQuery {
    /// `7d`, `30d`, `91d`, `12mo`.
    pub date_range: String,
    /// What to group by, as `visit:source` or `time:day`; nothing: one row for all.
    pub dimension: Option<String>,
}

/// An answer of a shared report.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the engine writes")]
pub struct SharedAnswer {
    /// What stands in the rows.
    pub metrics: Vec<String>,
    /// The rows, without those of too few visitors.
    pub results: Vec<query::QueryRow>,
    /// Rows left out: those of too few visitors, and as many more as keep them from being computed.
    pub withheld: u64,
    /// There are more groups than were looked at.
    pub has_more: bool,
    /// Fewest visitors that a row tells of.
    pub group_size_min: u32,
    /// Every label of the range, where it is grouped by time.
    #[schema(nullable = false)]
    pub time_labels: Option<Vec<String>>,
    /// `mixed`: visitors hold identified ones, counted once, and anonymous ones, counted once a day.
    #[schema(nullable = false)]
    pub identification: Option<String>,
}

/// Proof that the caller holds the link of a shared report.
pub struct SharedAccess(Share);

impl FromRequestParts<Arc<App>> for SharedAccess {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let share = found(app, &parts.headers).await?;
        let key = parts.headers.get(KEY_HEADER).and_then(|key| key.to_str().ok());
        let now_ms = app.now_ms(&parts.headers);
        let secret = app.catalog.master_secret();
        if share.definition.password_hash.is_empty()
            || key.is_some_and(|key| is_key(secret, &share, key, now_ms))
        {
            return Ok(SharedAccess(share));
        }
        Err(ApiError::new(Code::PasswordNeeded, "This report opens with its password."))
    }
}

/// The shared report whose link a request has, if it has not ended.
async fn found(app: &App, headers: &HeaderMap) -> Result<Share, ApiError> {
    let token = bearer_token(headers)?.ok_or_else(ApiError::unauthorized)?.to_owned();
    let share = blocking(app, move |catalog| catalog.share(&token)).await?;
    let now_ms = app.now_ms(headers);
    let lasts = |share: &Share| share.definition.expires_at_ms.is_none_or(|end_ms| now_ms < end_ms);
    share.filter(lasts).ok_or_else(ApiError::unauthorized)
}

/// What a said password is answered with: it ends by itself, and with the password.
fn key(secret: &MasterSecret, share: &Share, expires_at_ms: i64) -> String {
    let mut hasher = blake3::Hasher::new_keyed(&secret.derive("cairn 2026 key of a shared report"));
    hasher.update(&share.id.to_be_bytes()).update(&expires_at_ms.to_be_bytes());
    hasher.update(share.definition.password_hash.as_bytes());
    format!("{expires_at_ms}.{}", hasher.finalize().to_hex())
}

fn is_key(secret: &MasterSecret, share: &Share, told: &str, now_ms: i64) -> bool {
    let expiry = told.split_once('.').and_then(|(expiry, _)| expiry.parse().ok());
    expiry.is_some_and(|expires_at_ms: i64| {
        let wanted = key(secret, share, expires_at_ms);
        now_ms < expires_at_ms && bool::from(wanted.as_bytes().ct_eq(told.as_bytes()))
    })
}

/// Takes the password of a shared report, sent with its link's token. After several wrong ones there is a pause.
#[utoipa::path(post, path = "/api/v1/shared/key", tag = "queries", request_body = UnlockBody,
    responses((status = 200, body = UnlockedShare)))]
pub async fn unlock(
    State(app): State<Arc<App>>,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<Json<UnlockedShare>, ApiError> {
    let share = found(&app, &headers).await?;
    let password = fields.required_secret("password")?;
    fields.finish()?;
    let now_ms = app.now_ms(&headers);
    let address = connection.map(|Extension(connection)| connection.address);
    let attempt = app.auth.limiter.attempt(Some(&format!("shared report {}", share.id)), address);
    app.auth.limiter.begin(attempt, now_ms).map_err(account::too_many)?;
    let hash = Some(share.definition.password_hash.clone()).filter(|hash| !hash.is_empty());
    if !app.auth.passwords.fits(password, hash).await? {
        return Err(ApiError::new(Code::PasswordNeeded, "This is not its password."));
    }
    app.auth.limiter.succeeded(attempt);
    Ok(Json(UnlockedShare { key: key(app.catalog.master_secret(), &share, now_ms + KEY_AGE_MS) }))
}

impl SharedAccess {
    /// The site; one that was removed meanwhile took its shared reports along.
    fn site(&self, app: &App) -> Result<Arc<cairn_catalog::SiteEntry>, ApiError> {
        let entry = app.directory.current().by_id(self.0.site_id);
        entry.ok_or_else(ApiError::unauthorized)
    }
}

/// Tells whose figures a link shows.
#[utoipa::path(get, path = "/api/v1/shared", tag = "queries",
    responses((status = 200, body = SharedSite)))]
pub async fn about(
    State(app): State<Arc<App>>,
    access: SharedAccess,
) -> Result<Json<SharedSite>, ApiError> {
    let entry = access.site(&app)?;
    let site = &entry.site;
    Ok(Json(SharedSite {
        name: site.name.clone(),
        domain: site.domain.clone(),
        timezone: site.timezone.clone(),
        group_size_min: access.0.definition.group_size_min,
        is_filtered: access.0.definition.filters != json!([]),
    }))
}

/// Answers a question of whoever holds a link, without bots, in rows of at least `group_size_min` visitors and with counts
/// rounded to multiples of it: `visitors`, `visits` and `pageviews`; of all `views_per_visit`, `bounce_rate` and
/// `visit_duration`, too.
#[utoipa::path(post, path = "/api/v1/shared/query", tag = "queries", request_body = SharedQuery,
    responses((status = 200, body = SharedAnswer)))]
pub async fn ask(
    State(app): State<Arc<App>>,
    access: SharedAccess,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let address = connection.map(|Extension(connection)| connection.address);
    app.limits.question(access.0.id, address)?;
    let range = fields.required_text("date_range")?;
    let dimension = fields.text("dimension")?;
    fields.finish()?;
    let question = SharedQuestion::new(&range, dimension.as_deref()).map_err(query::failed)?;
    let entry = access.site(&app)?;
    let (site_id, timezone) = (entry.site.id, entry.site.timezone.clone());
    let goals = query::goals(&app, site_id).await?;
    let (now_ms, NewShare { group_size_min, filters, .. }) =
        (app.now_ms(&headers), access.0.definition);
    let answer = super::with_store(&app, move |store| {
        let (timezone, goals, restarts_ms) = (&timezone, &goals[..], &[]);
        let site = ReportSite { site_id, timezone, goals, restarts_ms, books: None };
        question.answer(store, site, &filters, u64::from(group_size_min), now_ms)
    });
    answer.await?.map(Json).map_err(query::failed)
}

fn body(share: Share) -> ShareBody {
    let NewShare { name, group_size_min, password_hash, expires_at_ms, filters } = share.definition;
    ShareBody {
        id: share.id.to_string(),
        name,
        group_size_min,
        has_password: !password_hash.is_empty(),
        expires_at: expires_at_ms.map(show::instant),
        filters,
        created_at: show::instant(share.created_at_ms),
    }
}
