//! Alerts: spikes, drops and silence, told by mail and webhook (docs/reports.md).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use cairn_catalog::{Alert, Dispatch, NewAlert, Sender};
use cairn_engine::alert::{Counted, Rule, Watch};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::body::{Fields, JsonBody, Parameters, missing};
use super::digests::{
    DISPATCHES_SHOWN_MAX, DispatchBody, RecipientBody, SentBody, dispatch, recipients, send_now,
    shown_recipients,
};
use super::page::{Page, PageRequest};
use super::{show, sites};
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::ApiError;
use crate::sending;

/// Minutes of silence, and of the pause, that may be said: up to a week.
const MINUTES_MAX: i64 = 7 * 24 * 60;

/// An alert.
#[derive(Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertBody {
    /// Its number.
    pub id: String,
    /// Name shown.
    pub name: String,
    /// What is watched for.
    pub rule: RuleBody,
    /// Whom it tells by mail.
    pub recipients: Vec<RecipientBody>,
    /// Where it is posted to.
    pub webhook_url: Option<String>,
    /// With what its posts are signed; there where there is a webhook.
    pub webhook_secret: Option<String>,
    /// Since when it goes on (RFC 3339); null while all is well.
    pub since: Option<String>,
    /// The last messages, the newest first.
    pub dispatches: Vec<DispatchBody>,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// What is watched for.
#[derive(Serialize, ToSchema)]
pub struct RuleBody {
    /// `spike`, `drop` or `silence`.
    pub kind: &'static str,
    /// `visitors`, `pageviews` or `events`, for spikes and drops.
    #[schema(nullable = false)]
    pub metric: Option<&'static str>,
    /// Change against the same hours of earlier weeks, in percent.
    #[schema(nullable = false)]
    pub percent: Option<u32>,
    /// A spike has at least so many; a drop is one where earlier weeks had at least so many.
    #[schema(nullable = false)]
    pub least: Option<u64>,
    /// Full hours that are looked at.
    #[schema(nullable = false)]
    pub hours: Option<u8>,
    /// Minutes without an event, for silence.
    #[schema(nullable = false)]
    pub minutes: Option<u32>,
    /// Minutes from one beginning to the next at the earliest.
    pub pause_minutes: u32,
}

/// An alert to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewAlertBody {
    /// Name shown.
    pub name: String,
    /// `spike`, `drop` or `silence`.
    pub kind: String,
    /// `visitors` (default), `pageviews` or `events`.
    pub metric: Option<String>,
    /// 10 to 10000 for a spike (default 100), 10 to 100 for a drop (default 50).
    pub percent: Option<u32>,
    /// Fewer do not count, 1 to a million; default 20.
    pub least: Option<u64>,
    /// Full hours that are looked at, 1 to 24; default 1.
    pub hours: Option<u8>,
    /// Minutes of silence, 5 to 10080; default 60.
    pub minutes: Option<u32>,
    /// Minutes from one beginning to the next at the earliest, 0 to 10080; default 60.
    pub pause_minutes: Option<u32>,
    /// Mail addresses, at most 20.
    pub recipients: Option<Vec<String>>,
    /// Address that is posted to, `https://…`.
    pub webhook_url: Option<String>,
}

/// What changes of an alert; what is left out stays. One that watches for something else begins where things stand.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct AlertPatch {
    /// Name shown.
    pub name: Option<String>,
    /// `spike`, `drop` or `silence`; of another kind what is left out is as in a new one.
    pub kind: Option<String>,
    /// `visitors`, `pageviews` or `events`.
    pub metric: Option<String>,
    /// 10 to 10000 for a spike, 10 to 100 for a drop.
    pub percent: Option<u32>,
    /// Fewer do not count, 1 to a million.
    pub least: Option<u64>,
    /// Full hours that are looked at, 1 to 24.
    pub hours: Option<u8>,
    /// Minutes of silence, 5 to 10080.
    pub minutes: Option<u32>,
    /// Minutes from one beginning to the next at the earliest, 0 to 10080.
    pub pause_minutes: Option<u32>,
    /// Mail addresses, at most 20. Who ended it for himself gets none of it, also where he is named again.
    pub recipients: Option<Vec<String>>,
    /// Address that is posted to, `https://…`; empty: none.
    pub webhook_url: Option<String>,
}

/// Lists the alerts of a site, by time of creation.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/alerts", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<AlertBody>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<AlertBody>>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    parameters.finish()?;
    let after = page.key(|text| text.parse::<i64>().ok())?.unwrap_or(0);
    let site_id = access.site_id();
    let known = blocking(&app, move |catalog| {
        let alerts = catalog.alerts(Some(site_id))?;
        let told =
            |alert: &Alert| catalog.dispatches_of(Sender::Alert(alert.id), DISPATCHES_SHOWN_MAX);
        let newer = alerts.into_iter().filter(|alert| alert.id > after);
        newer.map(|alert| told(&alert).map(|told| (alert, told))).collect::<Result<Vec<_>, _>>()
    });
    let known = known.await?.into_iter();
    let shown = |(alert, told)| body(&app, alert, told);
    Ok(Json(Page::cut(known, &page, |(alert, _)| alert.id.to_string(), shown)))
}

/// Watches a site.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/alerts", tag = "queries",
    request_body = NewAlertBody,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 201, body = AlertBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<(StatusCode, Json<AlertBody>), ApiError> {
    let name = sites::name(&mut fields)?.ok_or_else(|| missing("name"))?;
    let rule = serde_json::to_string(&rule(&mut fields, None)?).unwrap_or_default();
    let recipients = recipients(&mut fields)?.unwrap_or_default();
    let webhook_url = fields.text("webhook_url")?.unwrap_or_default();
    fields.finish()?;
    let new = NewAlert { name, rule, recipients, webhook_url };
    check_targets(&app, &new)?;
    let (site_id, now_ms) = (access.site_id(), app.now_ms(&headers));
    let made = blocking(&app, move |catalog| catalog.add_alert(site_id, new, now_ms)).await?;
    Ok((StatusCode::CREATED, Json(body(&app, made, Vec::new()))))
}

/// Changes an alert.
#[utoipa::path(patch, path = "/api/v1/sites/{site_id}/alerts/{alert_id}", tag = "queries",
    request_body = AlertPatch,
    params(("site_id" = String, Path, description = "Number of the site"),
           ("alert_id" = String, Path, description = "Number of the alert")),
    responses((status = 200, body = AlertBody)))]
pub async fn change(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    Path((_, alert_id)): Path<(String, String)>,
    JsonBody(mut fields): JsonBody,
) -> Result<Json<AlertBody>, ApiError> {
    let Alert { id, definition: mut new, .. } = known(&app, &access, &alert_id).await?;
    if let Some(name) = sites::name(&mut fields)? {
        new.name = name;
    }
    let changed = rule(&mut fields, Some(rule_of(&new)))?;
    new.rule = serde_json::to_string(&changed).unwrap_or_default();
    if let Some(recipients) = recipients(&mut fields)? {
        new.recipients = recipients;
    }
    if let Some(webhook_url) = fields.text("webhook_url")? {
        new.webhook_url = webhook_url;
    }
    fields.finish()?;
    check_targets(&app, &new)?;
    let (site_id, now_ms) = (access.site_id(), app.now_ms(&headers));
    let is_there = blocking(&app, move |catalog| catalog.change_alert(site_id, id, &new, now_ms));
    if !is_there.await? {
        return Err(ApiError::not_found());
    }
    shown_now(&app, &access, &alert_id).await
}

/// Gives the webhook of an alert another secret: posts from now on are signed with it, those that wait included.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/alerts/{alert_id}/secret", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("alert_id" = String, Path, description = "Number of the alert")),
    responses((status = 200, body = AlertBody)))]
pub async fn renew_secret(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, alert_id)): Path<(String, String)>,
) -> Result<Json<AlertBody>, ApiError> {
    let (site_id, id) = (access.site_id(), known(&app, &access, &alert_id).await?.id);
    blocking(&app, move |catalog| catalog.renew_alert_secret(site_id, id)).await?;
    shown_now(&app, &access, &alert_id).await
}

/// Removes an alert; what waits of it is not sent any more.
#[utoipa::path(delete, path = "/api/v1/sites/{site_id}/alerts/{alert_id}", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("alert_id" = String, Path, description = "Number of the alert")),
    responses((status = 204, description = "It is gone")))]
pub async fn remove(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, alert_id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let id: i64 = alert_id.parse().map_err(|_| ApiError::not_found())?;
    let site_id = access.site_id();
    if blocking(&app, move |catalog| catalog.delete_alert(site_id, id)).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found())
}

/// Sends a test to everybody whom the alert would tell.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/alerts/{alert_id}/dispatches", tag = "queries",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("alert_id" = String, Path, description = "Number of the alert")),
    responses((status = 200, body = SentBody)))]
pub async fn test(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    Path((_, alert_id)): Path<(String, String)>,
) -> Result<Json<SentBody>, ApiError> {
    let known = known(&app, &access, &alert_id).await?;
    app.limits.sending(access.site_id())?;
    let now_ms = app.now_ms(&headers);
    let content = json!({"at_ms": now_ms});
    let new = sending::addressed(&known, &format!("test {now_ms}"), &content);
    Ok(Json(send_now(&app, Sender::Alert(known.id), new, now_ms).await?))
}

async fn known(app: &App, access: &SiteAccess, alert_id: &str) -> Result<Alert, ApiError> {
    let id: i64 = alert_id.parse().map_err(|_| ApiError::not_found())?;
    let known = blocking(app, move |catalog| catalog.alert(id)).await?;
    known.filter(|alert| alert.site_id == access.site_id()).ok_or_else(ApiError::not_found)
}

/// An alert as it is after a change.
async fn shown_now(
    app: &App,
    access: &SiteAccess,
    alert_id: &str,
) -> Result<Json<AlertBody>, ApiError> {
    let alert = known(app, access, alert_id).await?;
    let sender = Sender::Alert(alert.id);
    let told = blocking(app, move |catalog| catalog.dispatches_of(sender, DISPATCHES_SHOWN_MAX));
    Ok(Json(body(app, alert, told.await?)))
}

/// The rule of a body; what it leaves out is as in the `known` one of the same kind.
fn rule(fields: &mut Fields, known: Option<Rule>) -> Result<Rule, ApiError> {
    let kind = match (fields.text("kind")?, known) {
        (Some(kind), _) => kind,
        (None, Some(known)) => known.watch.kind().to_owned(),
        (None, None) => return Err(missing("kind")),
    };
    let known = known.map(shown);
    let same = known.as_ref().filter(|known| known.kind == kind);
    let metric = match fields.text("metric")?.as_deref().or(same.and_then(|known| known.metric)) {
        None | Some("visitors") => Counted::Visitors,
        Some("pageviews") => Counted::Pageviews,
        Some("events") => Counted::Events,
        Some(_) => {
            let message = "Counted are visitors, pageviews or events.";
            return Err(ApiError::invalid("metric", message));
        }
    };
    let percents = if kind == "drop" { 10..=100 } else { 10..=10_000 };
    let percent = fields.whole("percent", percents)?;
    let percent = percent.or(same.and_then(|known| known.percent.map(i64::from)));
    let least = fields.whole("least", 1..=1_000_000)?.map(i64::unsigned_abs);
    let least = least.or(same.and_then(|known| known.least)).unwrap_or(20);
    let hours = fields.whole("hours", 1..=24)?.and_then(|hours| u8::try_from(hours).ok());
    let hours = hours.or(same.and_then(|known| known.hours)).unwrap_or(1);
    let minutes = same.and_then(|known| known.minutes).unwrap_or(60);
    let minutes = small(fields.whole("minutes", 5..=MINUTES_MAX)?, minutes);
    let pause_minutes = known.as_ref().map_or(60, |known| known.pause_minutes);
    let pause_minutes = small(fields.whole("pause_minutes", 0..=MINUTES_MAX)?, pause_minutes);
    let watch = match kind.as_str() {
        "spike" => Watch::Spike { metric, percent: small(percent, 100), least, hours },
        "drop" => Watch::Drop { metric, percent: small(percent, 50), least, hours },
        "silence" => Watch::Silence { minutes },
        _ => return Err(ApiError::invalid("kind", "Alerts are spike, drop or silence.")),
    };
    Ok(Rule { watch, pause_minutes })
}

fn small(told: Option<i64>, otherwise: u32) -> u32 {
    told.and_then(|number| u32::try_from(number).ok()).unwrap_or(otherwise)
}

/// Somebody is told; of a webhook what its text tells is looked at now, and where its name leads each time.
fn check_targets(app: &App, new: &NewAlert) -> Result<(), ApiError> {
    let NewAlert { recipients, webhook_url, .. } = new;
    if let Some(client) = app.outgoing.client.as_ref().filter(|_| !webhook_url.is_empty()) {
        let wrong = |error| ApiError::invalid("webhook_url", format!("No post: {error}."));
        client.check(webhook_url).map_err(wrong)?;
    }
    if recipients.is_empty() && webhook_url.is_empty() {
        let message = "Somebody has to be told: name a mail address or a webhook.";
        return Err(ApiError::invalid("recipients", message));
    }
    Ok(())
}

fn rule_of(definition: &NewAlert) -> Rule {
    let otherwise = Rule { watch: Watch::Silence { minutes: 60 }, pause_minutes: 60 };
    serde_json::from_str(&definition.rule).unwrap_or(otherwise)
}

fn body(app: &App, alert: Alert, told: Vec<Dispatch>) -> AlertBody {
    let rule = shown(rule_of(&alert.definition));
    let has_webhook = !alert.definition.webhook_url.is_empty();
    let secret = || sending::webhook_secret(app.catalog.master_secret(), &alert);
    let webhook_secret = has_webhook.then(secret);
    let NewAlert { name, recipients, webhook_url, .. } = alert.definition;
    AlertBody {
        id: alert.id.to_string(),
        name,
        rule,
        recipients: shown_recipients(recipients, &alert.ended),
        webhook_secret,
        webhook_url: has_webhook.then_some(webhook_url),
        since: alert.state.since_ms.map(show::instant),
        dispatches: told.into_iter().map(dispatch).collect(),
        created_at: show::instant(alert.created_at_ms),
    }
}

fn shown(rule: Rule) -> RuleBody {
    let (kind, pause_minutes) = (rule.watch.kind(), rule.pause_minutes);
    let (metric, percent, least, hours) = match rule.watch {
        Watch::Silence { minutes } => {
            let minutes = Some(minutes);
            let (metric, percent, least, hours) = (None, None, None, None);
            return RuleBody { kind, metric, percent, least, hours, minutes, pause_minutes };
        }
        Watch::Spike { metric, percent, least, hours }
        | Watch::Drop { metric, percent, least, hours } => (metric, percent, least, hours),
    };
    RuleBody {
        kind,
        metric: Some(metric.name()),
        percent: Some(percent),
        least: Some(least),
        hours: Some(hours),
        minutes: None,
        pause_minutes,
    }
}
