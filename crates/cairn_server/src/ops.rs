//! Operations: health, readiness, metrics; and what every answer has in common.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::extract::{OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use cairn_engine::outcomes::Totals;
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
    lag: Mutex<LagWatch>,
    /// Accepted hits as last published: a counter never goes down.
    settled_accepted: AtomicU64,
}

/// Ends of the log that were seen and are not applied yet, with when they were seen.
///
/// Guarantees: a time without hits counts for nothing; while the apply loop is busy but keeps up, the lag stays small.
/// Knows only what it is asked: between two questions it sees nothing, and so never says too much.
#[derive(Default)]
struct LagWatch {
    /// The log's end and the time (Unix milliseconds), both rising.
    seen: VecDeque<(u64, i64)>,
}

/// Ends of the log that are remembered; more are not noted until the oldest is applied.
const LOG_ENDS_SEEN_MAX: usize = 256;

impl LagWatch {
    /// For how long a record that is durable waits to be applied. `next`: the first offset not applied yet.
    fn lag_ms(&mut self, next: u64, durable_end: u64, now_ms: i64) -> i64 {
        while self.seen.front().is_some_and(|(end, _)| *end <= next) {
            self.seen.pop_front();
        }
        let newest = self.seen.back().map_or(next, |(end, _)| *end);
        if durable_end > newest && self.seen.len() < LOG_ENDS_SEEN_MAX {
            self.seen.push_back((durable_end, now_ms));
        }
        self.seen.front().map_or(0, |(_, since_ms)| now_ms.saturating_sub(*since_ms).max(0))
    }
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

/// Since when the store has been behind the log; 0 when nothing waits.
fn apply_lag_ms(app: &App) -> i64 {
    let mut lag = app.requests.lag.lock().unwrap_or_else(PoisonError::into_inner);
    let next = app.apply.watermark().offset.saturating_add(1);
    lag.lag_ms(next, app.log.durable_end().0, (app.clock)())
}

/// Hits by outcome as `GET /api/v1/sites/{site_id}/outcomes` has them: accepted is what is in the store. Where hits are on
/// their way to it, they are in no outcome yet. Repetitions left over by the server's last run count against this one.
fn settled_outcomes(app: &App) -> Totals {
    // In this order: what is applied in between can only make the number too small, and the next one right.
    let apply = app.apply.status();
    let mut totals = app.counters.totals();
    let next = apply.watermark.offset.saturating_add(1);
    let on_their_way = app.log.durable_end().0.saturating_sub(next);
    let accepted = &mut totals.outcomes[Outcome::Accepted as usize];
    let settled = accepted.saturating_sub(on_their_way).saturating_sub(apply.duplicates);
    let before = app.requests.settled_accepted.fetch_max(settled, Ordering::Relaxed);
    *accepted = settled.max(before);
    totals.outcomes[Outcome::Duplicate as usize] += apply.duplicates;
    totals
}

async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    let measured = Arc::clone(&app);
    let store_bytes = tokio::task::spawn_blocking(move || measured.store.size_bytes());
    let store_bytes = store_bytes.await.unwrap_or(0);
    let text = metrics_text(&app, store_bytes);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

fn metrics_text(app: &App, store_bytes: u64) -> String {
    let (totals, log, apply) = (settled_outcomes(app), app.log.status(), app.apply.status());
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
        "For how long the store has been behind the log.",
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
    text.push_str("# HELP cairn_hit_outcomes_total Events by what became of them; those on their way to the store are in none.\n# TYPE cairn_hit_outcomes_total counter\n");
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

/// With an admin origin, everything but health, metrics, the demo shop and what recipients of mails open answers only there.
pub(crate) async fn on_admin_origin_only(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(origin) = &app.config.admin_origin else { return next.run(request).await };
    let path = request.uri().path();
    let everywhere = ["/healthz", "/readyz", "/metrics", crate::sending::ending::PATH]
        .contains(&path)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_counts_from_when_something_waits() {
        let mut lag = LagWatch::default();
        assert_eq!(lag.lag_ms(10, 10, 0), 0);
        let later = 3_600_000;
        assert_eq!(lag.lag_ms(10, 11, later), 0, "the first hit after a quiet hour");
        assert_eq!(lag.lag_ms(10, 12, later + 500), 500);
        assert_eq!(lag.lag_ms(11, 13, later + 700), 200, "that one is applied, the next waits");
        assert_eq!(lag.lag_ms(13, 13, later + 800), 0);
        assert_eq!(lag.lag_ms(13, 14, later + 9_000), 0);
        assert_eq!(lag.lag_ms(13, 14, later + 20_000), 11_000, "an apply loop that stands still");
    }

    #[test]
    fn the_lag_remembers_no_more_than_its_bound() {
        let mut lag = LagWatch::default();
        for number in 0..2_000 {
            assert_eq!(lag.lag_ms(1, 2 + number, number as i64), number as i64);
        }
        assert_eq!(lag.seen.len(), LOG_ENDS_SEEN_MAX);
    }
}
