//! Operations: health, readiness, metrics; and what every answer has in common.

use std::fmt::Write as _;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::extract::{OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use cairn_model::Outcome;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Serialize;

use crate::error::{ApiError, Code};
use crate::{App, assets};

/// Requests that came to the router, by class of status, and faults.
#[derive(Default)]
pub struct RequestCounters {
    by_class: [AtomicU64; 5],
    panics: AtomicU64,
    next_id: AtomicU64,
}

/// Health, readiness, metrics.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

async fn alive() -> &'static str {
    "ok\n"
}

/// What readiness depends on.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    log_writable: bool,
    store_reachable: bool,
    catalog_reachable: bool,
    apply_lag_ms: i64,
    apply_lag_ms_max: i64,
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let probed = Arc::clone(&app);
    let probe = move || (probed.store.watermark().is_ok(), probed.catalog.ping().is_ok());
    let (store_reachable, catalog_reachable) =
        tokio::task::spawn_blocking(probe).await.unwrap_or((false, false));
    let (log, apply) = (app.log.status(), app.apply.status());
    let apply_lag_ms = apply_lag_ms(&app);
    let lag_is_bounded = apply_lag_ms <= app.config.apply_lag_ms_max;
    let log_writable = log.healthy && !log.full;
    let runs = !apply.failing && !apply.stopped;
    let ready = log_writable && store_reachable && catalog_reachable && runs && lag_is_bounded;
    let body = Readiness {
        ready,
        log_writable,
        store_reachable: store_reachable && runs,
        catalog_reachable,
        apply_lag_ms,
        apply_lag_ms_max: app.config.apply_lag_ms_max,
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = (status, Json(body)).into_response();
    if !ready {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

/// Age of the last event applied, while others wait behind it; 0 when none waits.
fn apply_lag_ms(app: &App) -> i64 {
    let watermark = app.apply.watermark();
    if watermark.offset.saturating_add(1) >= app.log.durable_end().0 {
        return 0;
    }
    (app.clock)().saturating_sub(watermark.received_at_ms).max(0)
}

async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    let measured = Arc::clone(&app);
    let store_bytes = tokio::task::spawn_blocking(move || measured.store.size_bytes());
    let store_bytes = store_bytes.await.unwrap_or(0);
    let text = metrics_text(&app, store_bytes);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

fn metrics_text(app: &App, store_bytes: u64) -> String {
    let (totals, log, apply) = (app.counters.totals(), app.log.status(), app.apply.status());
    let mut text = String::with_capacity(4096);
    let mut one = |name: &str, kind: &str, help: &str, value: u64| {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    };
    one("cairn_received_events_total", "counter", "Events that came in by hits.", totals.received);
    one(
        "cairn_unsettled_events_total",
        "counter",
        "Events without an outcome: a bug.",
        totals.unsettled,
    );
    one(
        "cairn_apply_duplicate_events_total",
        "counter",
        "Repetitions found while applying.",
        apply.duplicates,
    );
    one(
        "cairn_apply_late_events_total",
        "counter",
        "Events later than the session timeout.",
        apply.late,
    );
    one(
        "cairn_apply_unreadable_records_total",
        "counter",
        "Records that could not be read: a bug.",
        apply.bugs,
    );
    one(
        "cairn_apply_failing",
        "gauge",
        "1 while a database fails and the apply loop waits.",
        u64::from(apply.failing),
    );
    let lag = u64::try_from(apply_lag_ms(app)).unwrap_or(0);
    one(
        "cairn_apply_lag_milliseconds",
        "gauge",
        "Age of the last applied event while others wait.",
        lag,
    );
    let behind = log.durable_end.0.saturating_sub(1).saturating_sub(apply.watermark.offset);
    one("cairn_apply_lag_records", "gauge", "Durable records that are not applied yet.", behind);
    one("cairn_log_size_bytes", "gauge", "Size of all files of the log.", log.size_bytes);
    one("cairn_log_capacity_left_bytes", "gauge", "Room left in the log.", log.capacity_left_bytes);
    one(
        "cairn_log_writable",
        "gauge",
        "1 while the log takes records.",
        u64::from(log.healthy && !log.full),
    );
    one("cairn_log_records_total", "counter", "Records made durable.", log.records);
    one("cairn_log_groups_total", "counter", "Groups made durable.", log.groups);
    one("cairn_log_written_bytes_total", "counter", "Bytes written to the log.", log.written_bytes);
    one(
        "cairn_log_sync_p50_microseconds",
        "gauge",
        "Median time to make a group durable.",
        log.sync_p50_us,
    );
    one(
        "cairn_log_sync_p99_microseconds",
        "gauge",
        "99th percentile of the same.",
        log.sync_p99_us,
    );
    one("cairn_store_size_bytes", "gauge", "Size of all files of the event store.", store_bytes);
    one(
        "cairn_panics_total",
        "counter",
        "Requests that ended in a panic: a bug.",
        app.requests.panics.load(Ordering::Relaxed),
    );
    text.push_str("# HELP cairn_hit_outcomes_total Events by what became of them at the edge.\n# TYPE cairn_hit_outcomes_total counter\n");
    for (outcome, count) in Outcome::ALL.into_iter().zip(totals.outcomes) {
        let _ =
            writeln!(text, "cairn_hit_outcomes_total{{outcome=\"{}\"}} {count}", outcome.name());
    }
    text.push_str("# HELP cairn_api_responses_total Answers of API and dashboard by class of status.\n# TYPE cairn_api_responses_total counter\n");
    for (class, count) in app.requests.by_class.iter().enumerate() {
        let count = count.load(Ordering::Relaxed);
        let _ = writeln!(text, "cairn_api_responses_total{{class=\"{}xx\"}} {count}", class + 1);
    }
    text
}

/// Where no route matches: a page or file of the dashboard, or a JSON 404.
pub(crate) async fn page_or_nothing(
    State(app): State<Arc<App>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let path = uri.path();
    let is_api = path == "/api" || path.starts_with("/api/");
    if !is_api
        && let Some(answer) =
            assets::answer(path, &headers, &method, app.config.demo_pixel_key.as_deref())
    {
        if method == Method::GET || method == Method::HEAD {
            return answer;
        }
        let error = ApiError::new(Code::MethodNotAllowed, "This address can only be read.");
        let mut response = error.into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    ApiError::not_found().into_response()
}

/// With an admin origin, everything but health, metrics and the demo shop answers only there.
pub(crate) async fn on_admin_origin_only(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(origin) = &app.config.admin_origin else { return next.run(request).await };
    let path = request.uri().path();
    let everywhere = ["/healthz", "/readyz", "/metrics"].contains(&path)
        || path == "/demo"
        || path.starts_with("/demo/");
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = origin.split_once("://").map_or(origin.as_str(), |(_, authority)| authority);
    if everywhere || host.is_some_and(|host| host.eq_ignore_ascii_case(authority)) {
        return next.run(request).await;
    }
    ApiError::not_found()
        .helped_by("Dashboard and API answer only under the server's admin_origin.")
        .into_response()
}

/// Counts answers, sets the security headers and turns a panic into an answer.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match CatchPanic(Box::pin(next.run(request))).await {
        Some(response) => response,
        None => {
            app.requests.panics.fetch_add(1, Ordering::Relaxed);
            let id = app.requests.next_id.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::error!(request_id = id, "a request ended in a panic");
            let message = format!("The server failed; the request has the id {id} in its log.");
            ApiError::new(Code::Internal, message).into_response()
        }
    };
    let class = usize::from(response.status().as_u16() / 100).clamp(1, 5) - 1;
    app.requests.by_class[class].fetch_add(1, Ordering::Relaxed);
    let headers = response.headers_mut();
    let mut default = |name, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    default(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    default(header::REFERRER_POLICY, "same-origin");
    default(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    response
}

/// A future whose panic becomes `None`. What it held is dropped; what it shares is behind locks that survive this.
struct CatchPanic<F>(Pin<Box<F>>);

impl<F: Future> Future for CatchPanic<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.0.as_mut();
        match std::panic::catch_unwind(AssertUnwindSafe(|| inner.poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    }
}
