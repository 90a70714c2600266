//! The live view: server-sent events.
//!
//! Guarantees: streams are few and bounded in length; a reader who is too slow is told how many events it missed, and
//! slows nobody.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use cairn_engine::apply::LiveEvent;
use http::{HeaderValue, header};
use hyper::body::Frame;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, watch};

use super::events::EventBody;
use crate::App;
use crate::auth::SiteAccess;
use crate::error::{ApiError, Code};

/// Streams open at once.
const STREAMS_MAX: usize = 256;
/// Messages waiting for one reader.
const MESSAGES_MAX: usize = 64;
/// How often the number of visitors is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// It is sent at least so often, which also shows both ends that the other is there.
const SEND_INTERVAL: Duration = Duration::from_secs(10);
/// Life of a stream: the browser reconnects by itself, and its right to look is checked anew.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// Places for open streams.
pub struct LivePlaces {
    free: Arc<Semaphore>,
    ended: watch::Sender<bool>,
}

impl Default for LivePlaces {
    fn default() -> Self {
        let free = Arc::new(Semaphore::new(STREAMS_MAX));
        LivePlaces { free, ended: watch::Sender::new(false) }
    }
}

impl LivePlaces {
    /// A place for a stream, until it is dropped.
    pub(super) fn take(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let place = Arc::clone(&self.free).try_acquire_owned();
        place.map_err(|_| ApiError::new(Code::Overloaded, "Too many live views are open."))
    }

    /// Becomes true when all streams shall end.
    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// Ends all streams and opens no more: the server stops, and waits for open requests.
    pub fn end(&self) {
        self.free.close();
        self.ended.send_replace(true);
    }
}

/// Streams what happens on a site: `event: visitors` with `{"visitors_now"}` at each change and at least every 10 seconds,
/// `event: event` with each event as it is stored, `event: lagged` with `{"missed"}` to a reader who is too slow.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/live", tag = "events",
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub async fn stream(State(app): State<Arc<App>>, access: SiteAccess) -> Result<Response, ApiError> {
    let place = app.live_places.take()?;
    // Subscribed before the answer begins: what is stored after it is in the stream.
    let events = app.apply.subscribe();
    let (sender, messages) = mpsc::channel(MESSAGES_MAX);
    tokio::spawn(feed(app, access, events, sender, place));
    let mut response = Response::new(Body::new(Messages(messages)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Asks nginx not to hold messages back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

async fn feed(
    app: Arc<App>,
    access: SiteAccess,
    mut events: broadcast::Receiver<Arc<LiveEvent>>,
    sender: mpsc::Sender<Bytes>,
    _place: OwnedSemaphorePermit,
) {
    let begun = Instant::now();
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    let mut shown: Option<(u32, Instant)> = None;
    let mut ended = app.live_places.ended();
    if sender.send(Bytes::from_static(b"retry: 2000\n\n")).await.is_err() {
        return;
    }
    loop {
        let message = tokio::select! {
            () = sender.closed() => return,
            _ = ended.wait_for(|ended| *ended) => return,
            _ = look.tick() => {
                if begun.elapsed() > LIFE || app.apply.status().stopped {
                    return;
                }
                let now = app.apply.visitors_now(access.site_id());
                let fresh = shown.is_some_and(|(before, at)| before == now && at.elapsed() < SEND_INTERVAL);
                if fresh {
                    continue;
                }
                shown = Some((now, Instant::now()));
                message("visitors", &serde_json::json!({ "visitors_now": now }))
            }
            event = events.recv() => match event {
                Ok(row) if row.event.site_id == access.site_id() => {
                    let body = EventBody::new(access.entry(), row.session_id, &row.event, &row.attributes);
                    message("event", &body)
                }
                Ok(_) => continue,
                Err(RecvError::Lagged(missed)) => message("lagged", &serde_json::json!({ "missed": missed })),
                Err(RecvError::Closed) => return,
            },
        };
        if sender.send(message).await.is_err() {
            return;
        }
    }
}

fn message(name: &str, data: &impl serde::Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

/// A body that ends when its feeder does.
pub(crate) struct Messages(pub(crate) mpsc::Receiver<Bytes>);

impl hyper::body::Body for Messages {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|message| message.map(|data| Ok(Frame::data(data))))
    }
}
