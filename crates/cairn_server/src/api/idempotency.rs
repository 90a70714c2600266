//! `Idempotency-Key`: a write that is sent twice is done once.
//!
//! Guarantees: for 24 hours the same key with the same request gets the same answer; with another request, or while the
//! first is being answered, 409. Failures of the server are not kept: repeating tries again, unless a part was done
//! already; then a repetition is told so, and nothing is done again. So it is where the answer named somebody who was
//! erased since.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use cairn_catalog::{Replay, StoredResponse};
use cairn_model::limits::{API_BODY_SIZE_BYTES_MAX, IMPORT_SIZE_BYTES_MAX};
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;

use super::body::read_body_of;
use crate::App;
use crate::auth::{Caller, blocking};
use crate::error::{ApiError, Code};

/// Longest key, in bytes.
const KEY_SIZE_BYTES_MAX: usize = 255;
/// Largest answer that is kept; an import keeps its answers below it.
pub(super) const ANSWER_SIZE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The body of an import with a key is held whole, to tell whether it is the same again: one at a time in this process.
static LARGE_BODIES: Semaphore = Semaphore::const_new(1);

/// Marks an answer that holds a secret and must not be kept.
#[derive(Clone, Copy)]
pub struct Unrepeatable;

impl IntoResponseParts for Unrepeatable {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// Marks a failure after which a part of the work stays done: a repetition gets this error and does nothing.
#[derive(Clone)]
pub struct DoneInPart(pub ApiError);

impl IntoResponseParts for DoneInPart {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// Goes with a request that has a key: the hash of caller, key, address and body, the same when it is repeated. Work that
/// cannot be undone is known by it, also when the process ended before the answer was kept.
#[derive(Clone, Copy)]
pub struct RepeatableCall(pub [u8; 32]);

/// Answers repeated writes from memory.
pub async fn once(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let key = request.headers().get("idempotency-key").cloned();
    let caller = request.extensions().get::<Caller>().cloned();
    match (key, caller) {
        (Some(key), Some(caller)) if !request.method().is_safe() => {
            answer(app, key, caller, request, next)
                .await
                .unwrap_or_else(IntoResponse::into_response)
        }
        _ => next.run(request).await,
    }
}

async fn answer(
    app: Arc<App>,
    key: HeaderValue,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if key.is_empty() || key.len() > KEY_SIZE_BYTES_MAX {
        let message = format!("The Idempotency-Key must have 1 to {KEY_SIZE_BYTES_MAX} bytes.");
        return Err(ApiError::new(Code::MalformedRequest, message));
    }
    let now_ms = app.now_ms(request.headers());
    let (parts, body) = request.into_parts();
    let is_import = parts.uri.path().ends_with("/import");
    let _place = match is_import {
        true => Some(LARGE_BODIES.acquire().await.map_err(|_| broken())?),
        false => None,
    };
    let limit = if is_import { IMPORT_SIZE_BYTES_MAX } else { API_BODY_SIZE_BYTES_MAX };
    let bytes = read_body_of(body, limit, app.config.upload_patience).await?;
    let key_hash = hash(&[caller.scope().as_bytes(), key.as_bytes()]);
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let request_hash = hash(&[parts.method.as_str().as_bytes(), target.as_bytes(), &bytes]);
    let _in_use = InUse::claim(&app, key_hash)?;
    match blocking(&app, move |catalog| catalog.replay(&key_hash, &request_hash, now_ms)).await? {
        Replay::Answered(stored) => return Ok(replayed(stored)),
        Replay::Erased => {
            let message =
                "This request was answered, but its answer named somebody who was erased since.";
            return Err(ApiError::new(Code::IdempotencyKeyReused, message));
        }
        Replay::Mismatch => {
            let message = "This Idempotency-Key was used for another request.";
            return Err(ApiError::new(Code::IdempotencyKeyReused, message));
        }
        Replay::New => {}
    }
    // On a task of its own: a caller who hangs up must not leave the work done and the answer unknown.
    let mut request = Request::from_parts(parts, Body::from(bytes));
    request.extensions_mut().insert(RepeatableCall(hash(&[&key_hash, &request_hash])));
    let work = tokio::spawn(async move {
        let response = next.run(request).await;
        let response = keep(&app, key_hash, request_hash, response, now_ms).await;
        drop(_in_use);
        response
    });
    work.await.map_err(|_| broken())?
}

fn broken() -> ApiError {
    ApiError::new(Code::Internal, "The request was broken off.")
}

async fn keep(
    app: &Arc<App>,
    key_hash: [u8; 32],
    request_hash: [u8; 32],
    response: Response,
    now_ms: i64,
) -> Result<Response, ApiError> {
    let status = response.status();
    let temporary = status.is_server_error()
        || matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
        );
    let in_part = response.extensions().get::<DoneInPart>().cloned();
    if temporary && in_part.is_none() {
        return Ok(response);
    }
    let secret = response.extensions().get::<Unrepeatable>().is_some();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(|_| broken())?.to_bytes();
    let stored = if let Some(DoneInPart(error)) = in_part {
        stored_error(&error)
    } else if secret {
        stored_error(&ApiError::new(
            Code::IdempotencyKeyReused,
            "This request was fulfilled, but its answer held a secret and is not repeated.",
        ))
    } else {
        StoredResponse { status: status.as_u16(), body: bytes.to_vec() }
    };
    if stored.body.len() <= ANSWER_SIZE_BYTES_MAX {
        // The work is done: failing to remember that must not turn its answer into an error. The failure is logged.
        let kept = blocking(app, move |catalog| {
            catalog.keep_answer(&key_hash, &request_hash, &stored, now_ms)
        });
        drop(kept.await);
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn stored_error(error: &ApiError) -> StoredResponse {
    let body = serde_json::to_vec(&error.body()).unwrap_or_default();
    StoredResponse { status: error.code.status().as_u16(), body }
}

fn replayed(stored: StoredResponse) -> Response {
    let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK);
    let mut response = status.into_response();
    let headers = response.headers_mut();
    headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    if !stored.body.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *response.body_mut() = Body::from(stored.body);
    }
    response
}

/// Hash of parts whose borders count.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}

/// A key that is being answered; free again when dropped.
struct InUse {
    app: Arc<App>,
    key_hash: [u8; 32],
}

impl InUse {
    fn claim(app: &Arc<App>, key_hash: [u8; 32]) -> Result<Self, ApiError> {
        let mut keys = app.auth.keys_in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.insert(key_hash) {
            let message = "A request with this Idempotency-Key is being answered.";
            return Err(ApiError::new(Code::IdempotencyKeyInUse, message));
        }
        Ok(InUse { app: Arc::clone(app), key_hash })
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut keys = self.app.auth.keys_in_use.lock().unwrap_or_else(PoisonError::into_inner);
        keys.remove(&self.key_hash);
    }
}
