//! Answers of questions as files: all rows, sent part by part as the reader takes them.
//!
//! Guarantees: the store works only while a part is made, so a slow reader holds nobody up; what is on its way is bounded;
//! a file that could not be finished ends with an error, not as if it were whole.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use cairn_engine::report::export::{Export, ExportFormat, ExportPart};
use http::{HeaderMap, HeaderValue, header};
use hyper::body::Frame;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::body::Parameters;
use super::query::{Asked, failed};
use crate::App;
use crate::error::{ApiError, Code};

/// Files sent at once.
const EXPORTS_MAX: usize = 16;
/// Parts that wait for a reader.
const PARTS_MAX: usize = 1;

const PARQUET: &str = "application/vnd.apache.parquet";

static PLACES: Semaphore = Semaphore::const_new(EXPORTS_MAX);

/// The kind of file that is asked for; `None`: an ordinary answer.
pub(super) fn format(
    parameters: Option<&str>,
    headers: &HeaderMap,
) -> Result<Option<ExportFormat>, ApiError> {
    let mut parameters = Parameters::new(parameters)?;
    let named = parameters.text("format")?;
    parameters.finish()?;
    match named.as_deref() {
        Some("csv") => return Ok(Some(ExportFormat::Csv)),
        Some("ndjson") => return Ok(Some(ExportFormat::Ndjson)),
        Some("parquet") => return Ok(Some(ExportFormat::Parquet)),
        Some("json") => return Ok(None),
        Some(_) => {
            let message = "The parameter format must be json, csv, ndjson or parquet.";
            return Err(ApiError::new(Code::MalformedRequest, message).on("format"));
        }
        None => {}
    }
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let first = accepted.unwrap_or("").split([',', ';']).next().unwrap_or("").trim();
    Ok(match first.to_ascii_lowercase().as_str() {
        "text/csv" => Some(ExportFormat::Csv),
        "application/x-ndjson" => Some(ExportFormat::Ndjson),
        PARQUET => Some(ExportFormat::Parquet),
        _ => None,
    })
}

/// Begins a file. What is wrong with the question is told before its first byte.
pub(super) async fn stream(
    app: Arc<App>,
    asked: Asked,
    format: ExportFormat,
) -> Result<Response, ApiError> {
    let overloaded = || ApiError::new(Code::Overloaded, "Too many files are being made.");
    let place = PLACES.try_acquire().map_err(|_| overloaded())?;
    let asked = Arc::new(asked);
    let (about, question) = (Arc::clone(&app), Arc::clone(&asked));
    let export = super::with_store(&app, move |store| {
        Export::new(store, question.site(&about), &question.body, question.now_ms, format)
    });
    let export = export.await?.map_err(failed)?;
    let (file, first) = File { app, asked, export }.next_part().await?;
    let (sender, parts) = mpsc::channel(PARTS_MAX);
    tokio::spawn(feed(file, first, sender, place));
    let mut response = Response::new(Body::new(Parts(parts)));
    let (content_type, name) = match format {
        ExportFormat::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"report.csv\""),
        ExportFormat::Ndjson => ("application/x-ndjson", "attachment; filename=\"report.ndjson\""),
        ExportFormat::Parquet => (PARQUET, "attachment; filename=\"report.parquet\""),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
    Ok(response)
}

/// A file that is being made.
struct File {
    app: Arc<App>,
    asked: Arc<Asked>,
    export: Export,
}

impl File {
    /// The file itself comes back with the part: it knows where it is.
    async fn next_part(mut self) -> Result<(File, ExportPart), ApiError> {
        let app = Arc::clone(&self.app);
        let made = super::with_store(&app, move |store| {
            let part = self.export.next_part(store, self.asked.site(&self.app));
            part.map(|part| (self, part))
        });
        made.await?.map_err(failed)
    }
}

async fn feed(
    mut file: File,
    mut next: ExportPart,
    sender: mpsc::Sender<io::Result<Bytes>>,
    _place: SemaphorePermit<'static>,
) {
    loop {
        let ExportPart { bytes, is_last } = next;
        if sender.send(Ok(Bytes::from(bytes))).await.is_err() || is_last {
            return;
        }
        (file, next) = match file.next_part().await {
            Ok(made) => made,
            Err(error) => {
                let broken = io::Error::other(error.message);
                // Without a reader nobody has to be told.
                let _ = sender.send(Err(broken)).await;
                return;
            }
        };
    }
}

/// A body that ends when its feeder does, or breaks when it says so.
struct Parts(mpsc::Receiver<io::Result<Bytes>>);

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| part.map(Frame::data)))
    }
}
