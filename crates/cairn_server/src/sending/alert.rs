//! Alerts: looked at every minute, told by mail and webhook (docs/reports.md).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_catalog::{Alert, AlertState, Dispatch, MasterSecret, NewDispatch, Sender};
use cairn_connect::{Mail, OutgoingRequest};
use cairn_engine::alert::{self, Change, Finding, Rule, Watch};
use cairn_engine::identity::hmac_sha256;
use cairn_model::Site;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};

use super::{Outbound, ending, mail_key, zone_of};
use crate::App;
use crate::api::{query, show};
use crate::auth::blocking;
use crate::error::ApiError;

/// For so long it is waited that the store has what the log has; a store that lags looks silent.
const LAG_MAX: Duration = Duration::from_secs(10);

/// The secret with which an alert's posts are signed, after so many renewals.
pub(crate) fn webhook_secret(secret: &MasterSecret, known: &Alert) -> String {
    let key = secret.derive("cairn 2026 webhook of an alert");
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(&known.id.to_be_bytes());
    if known.secret_renewals > 0 {
        hasher.update(&known.secret_renewals.to_be_bytes());
    }
    format!("whsec_{}", hasher.finalize().to_hex())
}

/// Looks at every alert that can have something new.
pub(super) async fn watch(app: &Arc<App>, now_ms: i64) -> Result<(), ApiError> {
    let alerts = blocking(app, |catalog| catalog.alerts(None)).await?;
    if alerts.is_empty() || !app.wait_applied(LAG_MAX).await {
        return Ok(());
    }
    for known in alerts {
        let Some(entry) = app.directory.current().by_id(known.site_id) else { continue };
        let Ok(rule) = serde_json::from_str::<Rule>(&known.definition.rule) else { continue };
        if alert::is_due(&rule, known.state, &zone_of(&entry.site), now_ms) {
            // One that cannot be looked at now must not hold up those of other sites.
            if let Err(error) = look(app, &known, &entry.site, rule, now_ms).await {
                tracing::warn!(alert = known.id, error = error.message, "an alert waits");
            }
        }
    }
    Ok(())
}

async fn look(
    app: &Arc<App>,
    known: &Alert,
    site: &Site,
    rule: Rule,
    now_ms: i64,
) -> Result<(), ApiError> {
    let asked = query::asked(app, site, Value::Null, now_ms).await?;
    let held = Arc::clone(app);
    let found = crate::api::with_store(app, move |store| {
        alert::look(store, asked.site(&held), &rule, asked.now_ms)
    });
    let found = found.await?.map_err(query::failed)?;
    let (state, change) = alert::decide(&rule, known.state, found, now_ms);
    let told = match (change, found) {
        (Some(change), Some(found)) => dispatches(known, change, found, known.state, now_ms),
        _ => Vec::new(),
    };
    let id = known.id;
    blocking(app, move |catalog| catalog.note_alert(id, state, &told)).await
}

fn dispatches(
    known: &Alert,
    change: Change,
    found: Finding,
    before: AlertState,
    now_ms: i64,
) -> Vec<NewDispatch> {
    let since_ms = before.since_ms.unwrap_or(now_ms);
    let content = json!({"change": change, "found": found, "since_ms": since_ms, "at_ms": now_ms});
    let occasion = match change {
        Change::Began => format!("began {now_ms}"),
        Change::Ended => format!("ended {now_ms}"),
    };
    addressed(known, &occasion, &content)
}

/// One for each recipient, and one for the webhook.
pub(crate) fn addressed(known: &Alert, occasion: &str, content: &Value) -> Vec<NewDispatch> {
    let hook = (!known.definition.webhook_url.is_empty()).then(String::new);
    let targets = known.readers().cloned().chain(hook);
    let one = |target| NewDispatch {
        site_id: known.site_id,
        sender: Sender::Alert(known.id),
        target,
        occasion: occasion.to_owned(),
        content: content.to_string(),
    };
    targets.map(one).collect()
}

/// The mail or post of a dispatch.
pub(super) async fn message(
    app: &Arc<App>,
    alert_id: i64,
    dispatch: &Dispatch,
) -> Result<Option<Outbound>, ApiError> {
    let known = blocking(app, move |catalog| catalog.alert(alert_id)).await?;
    let (Some(known), Some(entry)) = (known, app.directory.current().by_id(dispatch.what.site_id))
    else {
        return Ok(None);
    };
    let told: Value = serde_json::from_str(&dispatch.what.content).unwrap_or_default();
    let Ok(rule) = serde_json::from_str::<Rule>(&known.definition.rule) else { return Ok(None) };
    if dispatch.what.target.is_empty() {
        return Ok(Some(Outbound::Hook(Box::new(hook(
            app,
            &known,
            &entry.site,
            rule,
            &told,
            dispatch,
        )))));
    }
    let (subject, text) = words(app, &known, &entry.site, rule, &told);
    let (to, key) = (dispatch.what.target.clone(), mail_key(app, dispatch));
    let unsubscribe_url = ending::url(app, dispatch.what.sender, &to);
    let text = format!("{text}\nEnd these messages: {unsubscribe_url}\n");
    let html = String::new();
    Ok(Some(Outbound::Mail(Box::new(Mail { to, subject, text, html, key, unsubscribe_url }))))
}

fn state(told: &Value) -> &'static str {
    match told["change"].as_str() {
        Some("began") => "began",
        Some("ended") => "ended",
        _ => "test",
    }
}

fn words(app: &App, known: &Alert, site: &Site, rule: Rule, told: &Value) -> (String, String) {
    let name = &known.definition.name;
    let (value, expected) = (&told["found"]["value"], &told["found"]["expected"]);
    let what = match (state(told), rule.watch) {
        ("test", _) => "This is a test: alerts reach you.".to_owned(),
        (_, Watch::Silence { .. }) => {
            format!("Minutes since the last event: {value}; allowed: {expected}.")
        }
        (_, Watch::Spike { metric, hours, .. } | Watch::Drop { metric, hours, .. }) => {
            let metric = metric.name();
            format!(
                "Last {hours} full hours: {value} {metric}; the same hours of earlier weeks: {expected}."
            )
        }
    };
    let state = match state(told) {
        "began" => rule.watch.kind(),
        "ended" => "over",
        _ => "test",
    };
    let link = app.config.dashboard_origin(app.config.listen);
    let text = format!("{name} ({})\n\n{what}\n\n{link}/sites/{}\n", site.name, site.id);
    (format!("{}: {name}: {state}", site.name), text)
}

/// A post that is signed when it goes out.
pub(super) struct Hook {
    url: String,
    body: String,
    secret: String,
    delivery: String,
}

impl Hook {
    /// As it goes out at this time.
    pub fn signed(self, now_ms: i64) -> OutgoingRequest {
        let Hook { url, body, secret, delivery } = self;
        let timestamp = now_ms.div_euclid(1000).to_string();
        let signed = hmac_sha256(secret.as_bytes(), format!("{timestamp}.{body}").as_bytes());
        let signature = format!("v1={}", cairn_catalog::hex(&signed));
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [
            ("cairn-timestamp", timestamp),
            ("cairn-delivery", delivery),
            ("cairn-signature", signature),
        ] {
            // Digits and letters are a value of a header.
            let Ok(mut value) = HeaderValue::try_from(value) else { continue };
            value.set_sensitive(name == "cairn-signature");
            headers.insert(name, value);
        }
        OutgoingRequest { method: Method::POST, url, headers, body: Bytes::from(body) }
    }
}

fn hook(
    app: &App,
    known: &Alert,
    site: &Site,
    rule: Rule,
    told: &Value,
    dispatch: &Dispatch,
) -> Hook {
    let instant = |name: &str| told[name].as_i64().map(show::instant);
    let body = json!({
        "state": state(told),
        "alert": {"id": known.id.to_string(), "name": known.definition.name, "kind": rule.watch.kind()},
        "site": {"id": site.id.to_string(), "domain": site.domain},
        "value": told["found"]["value"],
        "expected": told["found"]["expected"],
        "since": instant("since_ms"),
        "at": instant("at_ms"),
    });
    Hook {
        url: known.definition.webhook_url.clone(),
        body: body.to_string(),
        secret: webhook_secret(app.catalog.master_secret(), known),
        delivery: mail_key(app, dispatch),
    }
}
