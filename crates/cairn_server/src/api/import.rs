//! The owner's import: NDJSON, one canonical event a line.
//!
//! Guarantees: memory is bounded whatever the size of the body, and so is the time for which a slow caller holds a
//! place; lines enter the log in the order given; the answer comes when they are durable and queryable. It does not undo:
//! lines that were taken before an error stay.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cairn_engine::ingest::Rejection;
use cairn_engine::ingest::import::Importer;
use cairn_log::LogError;
use cairn_model::Outcome;
use cairn_model::limits::{IMPORT_LINE_SIZE_BYTES_MAX, IMPORT_SIZE_BYTES_MAX};
use http::{HeaderMap, header};
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::idempotency::{ANSWER_SIZE_BYTES_MAX, DoneInPart, RepeatableCall};
use super::upload::{Upload, UploadFault};
use crate::App;
use crate::auth::SiteAccess;
use crate::error::{ApiError, Code};

/// Imports at work in this process: each holds a batch in memory and takes a core.
static PLACES: Semaphore = Semaphore::const_new(2);
/// Bytes of lines that are decoded together.
const BATCH_SIZE_BYTES: usize = 256 * 1024;
/// Bad lines that the answer names; more are only counted.
const REJECTIONS_SHOWN_MAX: usize = 10_000;
/// Size of the bad lines' JSON in the answer: what is left of the largest answer is for the counts.
const REJECTIONS_SIZE_BYTES_MAX: usize = ANSWER_SIZE_BYTES_MAX - 1024;
/// Tries to append while the log is busy, and the pause between them.
const BUSY_TRIES: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// How long the answer waits until all is queryable.
const APPLY_LIMIT: Duration = Duration::from_secs(120);

/// What became of the lines.
#[derive(Serialize, ToSchema)]
pub struct ImportResult {
    /// Stored.
    pub accepted: u64,
    /// Known already by their `event_id`.
    pub duplicate: u64,
    /// Lines that were not taken: the first 10,000 of them, fewer where that would be over 2 MiB.
    pub rejected: Vec<RejectedLine>,
    /// All lines that were not taken.
    pub rejected_count: u64,
}

/// A line that was not taken.
#[derive(Serialize, ToSchema)]
pub struct RejectedLine {
    /// Its number, from 1.
    pub line: u64,
    /// The outcome it is counted in.
    #[schema(example = "rejected:unknown_field")]
    pub reason: &'static str,
    /// What is wrong.
    #[schema(example = "no such field; put your own in props")]
    pub message: String,
    /// The field at fault; absent where it is none in particular.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(example = "colour", required = false)]
    pub field: String,
}

/// Imports events, one canonical event a line, any time in the past. Answers once they are durable and queryable.
/// With an `Idempotency-Key`, lines without `event_id` are recognised when the same call is repeated, for 7 days.
/// At most 64 MiB; empty lines are skipped; a bad line is rejected alone. The caller asserts permission for identifiers.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/import", tag = "events",
    params(("site_id" = String, Path, description = "Number of the site")),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 200, body = ImportResult)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    request: Request,
) -> Result<Response, ApiError> {
    refuse_early(request.headers())?;
    let _place = PLACES.acquire().await.map_err(|_| overloaded())?;
    let received_at_ms = app.now_ms(request.headers());
    let call = request.extensions().get::<RepeatableCall>().map(|call| call.0);
    let mut run = Run {
        call,
        appender: app.log.appender(),
        app,
        access,
        received_at_ms,
        lines_seen: 0,
        lines_done: 0,
        ranges: Vec::new(),
        rejections: Rejections::default(),
    };
    // On a task of its own: a caller who hangs up must not leave lines without an outcome.
    let work = tokio::spawn(async move {
        let done = run.read(request.into_body()).await;
        let done = if done.is_ok() { run.wait_queryable().await } else { done };
        match done {
            Ok(()) => Json(run.result()).into_response(),
            Err(error) => run.failure(error),
        }
    });
    work.await.map_err(|_| ApiError::new(Code::Internal, "The import was broken off."))
}

fn refuse_early(headers: &HeaderMap) -> Result<(), ApiError> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes());
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        let message = "The body of an import must not be compressed.";
        return Err(ApiError::new(Code::UnsupportedMediaType, message)
            .helped_by("Send the lines as they are, without Content-Encoding."));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length
        .and_then(|text| text.parse().ok())
        .is_some_and(|size: u64| size > IMPORT_SIZE_BYTES_MAX as u64)
    {
        return Err(told(UploadFault::TooLarge));
    }
    Ok(())
}

struct Run {
    app: Arc<App>,
    access: SiteAccess,
    appender: cairn_log::Appender,
    received_at_ms: i64,
    /// Hash of caller, key and request, where the call has an `Idempotency-Key`.
    call: Option<[u8; 32]>,
    lines_seen: u64,
    /// Lines that have their outcome: the log took them, or they were rejected.
    lines_done: u64,
    ranges: Vec<Range<u64>>,
    rejections: Rejections,
}

/// The bad lines: all counted, and as many named as the answer holds.
#[derive(Default)]
struct Rejections {
    shown: Vec<RejectedLine>,
    shown_size_bytes: usize,
    is_full: bool,
    count: u64,
}

impl Rejections {
    fn add(&mut self, line: u64, rejection: Rejection) {
        self.count += 1;
        if self.is_full {
            return;
        }
        let rejected = RejectedLine {
            line,
            reason: rejection.outcome.name(),
            message: rejection.message.into_owned(),
            field: rejection.field.into_owned(),
        };
        let size_bytes = serde_json::to_vec(&rejected).map_or(usize::MAX, |json| json.len() + 1);
        let size_bytes = self.shown_size_bytes.saturating_add(size_bytes);
        // The first that does not fit ends the list, so that it is the beginning of all.
        self.is_full =
            size_bytes > REJECTIONS_SIZE_BYTES_MAX || self.shown.len() == REJECTIONS_SHOWN_MAX;
        if !self.is_full {
            self.shown_size_bytes = size_bytes;
            self.shown.push(rejected);
        }
    }
}

/// Records of one batch of lines.
struct Decoded {
    records: Vec<u8>,
    ends: Vec<usize>,
    rejected: Vec<(u64, Rejection)>,
    lines: u64,
}

impl Run {
    async fn read(&mut self, body: Body) -> Result<(), ApiError> {
        let patience = self.app.config.upload_patience;
        let mut upload = Upload::new(body, IMPORT_SIZE_BYTES_MAX, patience);
        let mut pending = Vec::new();
        while let Some(data) = upload.next().await.map_err(told)? {
            self.take(&mut pending, &data).await?;
        }
        if pending.is_empty() { Ok(()) } else { self.batch(pending).await }
    }

    /// Cuts at line ends, so that a batch holds whole lines. Of a line far over its limit only a beginning is kept, enough
    /// to be refused.
    async fn take(&mut self, pending: &mut Vec<u8>, data: &Bytes) -> Result<(), ApiError> {
        for piece in data.chunks(BATCH_SIZE_BYTES) {
            pending.extend_from_slice(piece);
            if pending.len() < BATCH_SIZE_BYTES {
                continue;
            }
            let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else {
                shorten(pending);
                continue;
            };
            let rest = pending.split_off(end + 1);
            self.batch(std::mem::replace(pending, rest)).await?;
        }
        Ok(())
    }

    async fn batch(&mut self, lines: Vec<u8>) -> Result<(), ApiError> {
        let (app, access) = (Arc::clone(&self.app), self.access.clone());
        let (received_at_ms, before) = (self.received_at_ms, self.lines_seen);
        let call = self.call;
        let work = move || {
            let importer = Importer::new(&app.ingest, access.entry(), received_at_ms).of_call(call);
            decode(&importer, before, &lines)
        };
        let decoded = tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| ApiError::new(Code::Internal, "Decoding was broken off."))?;
        self.lines_seen += decoded.lines;
        let site_id = self.access.site_id();
        let total = decoded.ends.len() + decoded.rejected.len();
        let counters = Arc::clone(&self.app.counters);
        let mut received = counters.receive(total);
        for (line, rejection) in decoded.rejected {
            received.settle(site_id, rejection.outcome, self.received_at_ms);
            self.rejections.add(line, rejection);
        }
        let appended = self.append(&decoded.records, &decoded.ends).await;
        let outcome = match &appended {
            Ok(_) => Outcome::Accepted,
            Err((outcome, _)) => *outcome,
        };
        received.settle_many(site_id, outcome, decoded.ends.len(), self.received_at_ms);
        self.ranges.extend(appended.map_err(|(_, error)| error)?);
        self.lines_done = self.lines_seen;
        Ok(())
    }

    async fn append(
        &self,
        records: &[u8],
        ends: &[usize],
    ) -> Result<Option<Range<u64>>, (Outcome, ApiError)> {
        if ends.is_empty() {
            return Ok(None);
        }
        let mut tries = 0;
        loop {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let slices = starts.zip(ends).map(|(start, end)| &records[start..*end]);
            match self.appender.append(slices).await {
                Ok(range) => return Ok(Some(range)),
                // The device is behind for a moment: an import can wait where a visitor cannot.
                Err(LogError::Busy) if tries < BUSY_TRIES => {
                    tries += 1;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(error) => return Err(refused(&error)),
            }
        }
    }

    async fn wait_queryable(&self) -> Result<(), ApiError> {
        let last = self.ranges.last().map_or(0, |range| range.end.saturating_sub(1));
        if !self.app.apply.wait_applied(last, APPLY_LIMIT).await {
            let message = "The events are durable, but not queryable yet.";
            return Err(ApiError::new(Code::Unavailable, message)
                .helped_by("They will appear by themselves; repeat only what has an event_id."));
        }
        // Of a site that was removed meanwhile nothing is kept.
        match self.app.directory.current().by_id(self.access.site_id()) {
            Some(_) => Ok(()),
            None => Err(ApiError::not_found()),
        }
    }

    fn result(self) -> ImportResult {
        let counts = self.app.apply.counts(&self.ranges);
        ImportResult {
            accepted: counts.accepted,
            duplicate: counts.duplicate,
            rejected: self.rejections.shown,
            rejected_count: self.rejections.count,
        }
    }

    /// Says what stays of an import that failed. Repeating it with its key must not take those lines again.
    fn failure(self, mut error: ApiError) -> Response {
        let taken: u64 = self.ranges.iter().map(|range| range.end - range.start).sum();
        if taken == 0 {
            return error.into_response();
        }
        let done = format!(
            "Of the lines 1 to {}, {taken} were taken; no later line was.",
            self.lines_done,
        );
        let in_part = ApiError::new(Code::ImportedInPart, done.clone());
        error.message = format!("{} {done}", error.message);
        (DoneInPart(in_part), error).into_response()
    }
}

/// Keeps only what shows that the line is too long.
fn shorten(pending: &mut Vec<u8>) {
    pending.truncate(IMPORT_LINE_SIZE_BYTES_MAX + 1);
}

fn decode(importer: &Importer<'_>, lines_before: u64, lines: &[u8]) -> Decoded {
    // A buffer of its own for each line: what a bad line leaves in it is thrown away.
    let mut scratch = Vec::new();
    let mut decoded =
        Decoded { records: Vec::new(), ends: Vec::new(), rejected: Vec::new(), lines: 0 };
    let whole = lines.strip_suffix(b"\n").unwrap_or(lines);
    for line in whole.split(|byte| *byte == b'\n') {
        decoded.lines += 1;
        let number = lines_before + decoded.lines;
        scratch.clear();
        let (record, result) = importer.line(number, line, scratch);
        scratch = record;
        match result {
            Ok(true) => {
                decoded.records.extend_from_slice(&scratch);
                decoded.ends.push(decoded.records.len());
            }
            Ok(false) => {}
            Err(rejection) => decoded.rejected.push((number, rejection)),
        }
    }
    decoded
}

fn refused(error: &LogError) -> (Outcome, ApiError) {
    match error {
        LogError::Busy => (Outcome::UnavailableOverloaded, overloaded()),
        LogError::TooLarge { .. } => (
            Outcome::RejectedTooLarge,
            ApiError::new(Code::TooLarge, "The lines are larger than the log takes."),
        ),
        _ => (
            Outcome::UnavailableLogFull,
            ApiError::new(Code::LogFull, "The log takes nothing now; the lines before were taken."),
        ),
    }
}

fn told(fault: UploadFault) -> ApiError {
    let mut error = fault.told(IMPORT_SIZE_BYTES_MAX);
    if fault == UploadFault::EndedEarly {
        error.message.push_str(" Whole lines before its end may have been taken.");
    }
    error
}

fn overloaded() -> ApiError {
    ApiError::new(Code::Overloaded, "Too much is being imported at once.")
}
