//! One connection: its requests, one after the other.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use axum::extract::ConnectInfo;
use bytes::Bytes;
use cairn_engine::ingest::Rejection;
use cairn_engine::ingest::formats::{Format, format_of};
use cairn_model::limits::HEAD_SIZE_BYTES_MAX;
use cairn_model::{Outcome, SiteId};
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tower::ServiceExt;

use super::Core;
use super::guarded::{ConnectionState, Guarded};
use crate::collect::{
    Answer, Collector, overloaded, overloaded_image, routed, without_service, wrong_method,
};

/// Headers of one request.
const HEADERS_MAX: usize = 100;
/// What the parser may hold of a request: a head and some of what follows.
const BUFFER_SIZE_BYTES_MAX: usize = HEAD_SIZE_BYTES_MAX + 64 * 1024;

/// Serves until the client, the clock or the server ends it.
pub(super) async fn serve_connection(
    core: &Arc<Core>,
    stream: TcpStream,
    peer: SocketAddr,
    state: Arc<ConnectionState>,
    is_over_limit: bool,
) {
    // A small answer must not wait for the client's acknowledgement of an earlier one.
    let _ = stream.set_nodelay(true);
    let guarded = Guarded::new(stream, Arc::clone(&state), Arc::clone(&core.tick));
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        async move {
            let answer = answer(core, request, peer, &state, is_over_limit).await;
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_SIZE_BYTES_MAX)
        .max_buf_size(BUFFER_SIZE_BYTES_MAX)
        // Otherwise the parser reads ahead while a request is being answered, for which it takes a new buffer each time. Who
        // hangs up is noticed when the answer is written.
        .half_close(true)
        .serve_connection(TokioIo::new(guarded), service);
    let mut was_told = false;
    poll_fn(|context| {
        state.wakes(context.waker());
        if state.finishing.load(Ordering::Relaxed) && !was_told {
            was_told = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        match Pin::new(&mut connection).poll(context) {
            Poll::Pending if !state.expired.load(Ordering::Relaxed) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
    let guarded = connection.into_parts().io.into_inner();
    if let Some(outcome) = guarded.refused {
        count(core, outcome);
    } else if state.expired.load(Ordering::Relaxed) && state.is_in_request() {
        count(core, Outcome::RejectedMalformed);
        farewell(guarded.into_inner()).await;
    }
}

/// A request that never became one.
fn count(core: &Core, outcome: Outcome) {
    let app = &core.edge.app;
    app.counters.receive(1).settle(SiteId(0), outcome, (app.clock)());
}

/// Tells a client that was too slow; what does not fit into the socket at once is not sent.
async fn farewell(mut stream: TcpStream) {
    let message = "the request took too long to arrive";
    let rejection = Rejection::new(Outcome::RejectedMalformed, message);
    let answer = without_service(StatusCode::REQUEST_TIMEOUT, &rejection);
    if stream.try_write(&answer).is_ok() {
        let _ = stream.shutdown().await;
    }
}

async fn answer(
    core: &Arc<Core>,
    request: Request<Incoming>,
    peer: SocketAddr,
    state: &Arc<ConnectionState>,
    is_over_limit: bool,
) -> Answer {
    let now = || core.tick.load(Ordering::Relaxed);
    let has_body = !request.body().is_end_stream();
    state.begin(now(), has_body);
    let path = request.uri().path();
    let format = match path {
        "/p.gif" | "/e" | "/cairn.js" => None,
        path => format_of(path),
    };
    let mut answer = match path {
        _ if is_over_limit && (is_hit(path) || format.is_some()) => {
            let app = &core.edge.app;
            let outcome = Outcome::UnavailableOverloaded;
            app.counters.receive(1).settle(SiteId(0), outcome, (app.clock)());
            let is_image =
                path == "/p.gif" || ["/o/", "/i/"].iter().any(|start| path.starts_with(start));
            if is_image { overloaded_image() } else { overloaded() }
        }
        _ if is_over_limit => overloaded(),
        "/p.gif" | "/e" | "/cairn.js" | "/cairn.json" => collect(core, request, peer, state).await,
        "/postback" | "/m" => collect(core, request, peer, state).await,
        "/consent.json" | "/link.json" | "/opt-out" | "/.well-known/gpc.json" => {
            Box::pin(ask(core, request, peer, state)).await
        }
        "/privacy" => return Box::pin(own_data(core, request, peer, state)).await,
        _ if path.starts_with("/cairn/") || is_signed(path) => {
            collect(core, request, peer, state).await
        }
        _ => match format {
            // In boxes: what is asked seldom must not make the state of every request larger.
            Some(format) => Box::pin(collect_format(core, format, request, peer, state)).await,
            None => return Box::pin(route(core, request, peer, state)).await,
        },
    };
    if is_over_limit || core.is_stopping.load(Ordering::Relaxed) {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    state.end(now());
    answer
}

/// Paths on which events come in, other products' formats aside.
fn is_hit(path: &str) -> bool {
    matches!(path, "/p.gif" | "/e" | "/postback") || is_signed(path)
}

/// Images and links of mails and advertisements: their paths hold signed tokens.
fn is_signed(path: &str) -> bool {
    ["/o/", "/l/", "/i/"].iter().any(|start| path.starts_with(start))
}

async fn collect(
    core: &Core,
    request: Request<Incoming>,
    peer: SocketAddr,
    state: &ConnectionState,
) -> Answer {
    let (parts, body) = request.into_parts();
    let watched = WatchedBody { body, state, tick: &core.tick, is_new: true };
    let is_read = parts.method == Method::GET || parts.method == Method::HEAD;
    match parts.uri.path() {
        "/p.gif" if is_read => core.collector.image(parts, peer.ip()).await,
        "/cairn.js" if is_read => core.collector.script(&parts),
        "/cairn.json" if is_read => core.collector.script_settings(&parts),
        path if is_read && path.starts_with("/cairn/") => Collector::script_part(&parts),
        path if is_read && path.starts_with("/o/") => {
            Box::pin(core.collector.mail_open(&parts, peer.ip())).await
        }
        path if is_read && path.starts_with("/l/") => {
            Box::pin(core.collector.mail_click(&parts, peer.ip())).await
        }
        path if is_read && path.starts_with("/i/") => {
            Box::pin(core.collector.ad_image(&parts, peer.ip())).await
        }
        "/e" if parts.method == Method::POST => {
            Box::pin(core.collector.events(&parts, watched, peer.ip())).await
        }
        "/postback" if matches!(parts.method, Method::GET | Method::POST) => {
            Box::pin(core.collector.postback(&parts, watched, peer.ip())).await
        }
        "/m" if is_read => Collector::script_part(&parts),
        "/m" if parts.method == Method::POST => {
            Box::pin(core.collector.memory(&parts, watched, peer.ip())).await
        }
        "/postback" => wrong_method("GET, POST"),
        _ if parts.method == Method::OPTIONS => core.collector.preflight(&parts),
        "/e" => wrong_method("POST, OPTIONS"),
        "/m" => wrong_method("GET, HEAD, POST, OPTIONS"),
        _ => wrong_method("GET, HEAD, OPTIONS"),
    }
}

/// What asks visitors, and where they object.
async fn ask(
    core: &Core,
    request: Request<Incoming>,
    peer: SocketAddr,
    state: &ConnectionState,
) -> Answer {
    let (parts, body) = request.into_parts();
    let watched = WatchedBody { body, state, tick: &core.tick, is_new: true };
    let is_read = parts.method == Method::GET || parts.method == Method::HEAD;
    match parts.uri.path() {
        "/link.json" if parts.method == Method::POST => core.collector.link(&parts, peer.ip()),
        "/link.json" => wrong_method("POST"),
        "/consent.json" if is_read => core.collector.asking(&parts, peer.ip()),
        "/.well-known/gpc.json" if is_read => Collector::gpc_statement(),
        "/opt-out" if is_read => core.collector.opt_out_page(&parts, peer.ip()),
        "/opt-out" if parts.method == Method::POST => {
            core.collector.opt_out(parts, watched, peer.ip()).await
        }
        "/opt-out" => wrong_method("GET, HEAD, POST"),
        _ => wrong_method("GET, HEAD"),
    }
}

/// A visitor's own page: its files are sent while they are made, and the request lasts until they are.
async fn own_data(
    core: &Core,
    request: Request<Incoming>,
    peer: SocketAddr,
    state: &Arc<ConnectionState>,
) -> Answer {
    let ending = Ending { state: Arc::clone(state), tick: Arc::clone(&core.tick) };
    let (parts, body) = request.into_parts();
    let mut answer = match parts.method {
        Method::GET | Method::HEAD => core.collector.privacy_page(parts, peer.ip()).await,
        Method::POST => {
            let watched = WatchedBody { body, state, tick: &core.tick, is_new: true };
            core.collector.privacy_form(parts, watched, peer.ip()).await
        }
        _ => wrong_method("GET, HEAD, POST"),
    };
    if core.is_stopping.load(Ordering::Relaxed) {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer.map(|body| body.until_sent(ending))
}

async fn collect_format(
    core: &Core,
    format: &Format,
    request: Request<Incoming>,
    peer: SocketAddr,
    state: &ConnectionState,
) -> Answer {
    let (parts, body) = request.into_parts();
    let watched = WatchedBody { body, state, tick: &core.tick, is_new: true };
    match parts.method {
        Method::POST => core.collector.format(format, &parts, watched, peer.ip()).await,
        Method::OPTIONS => core.collector.format_preflight(&parts),
        Method::GET | Method::HEAD => {
            let setup = core.collector.format_setup(format, &parts, peer.ip());
            setup.unwrap_or_else(|| wrong_method("POST, OPTIONS"))
        }
        _ => wrong_method("POST, OPTIONS"),
    }
}

async fn route(
    core: &Core,
    request: Request<Incoming>,
    peer: SocketAddr,
    state: &Arc<ConnectionState>,
) -> Answer {
    let mut request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    let ending = Ending { state: Arc::clone(state), tick: Arc::clone(&core.tick) };
    let answered = core.router.clone().oneshot(request).await;
    let mut answer = match answered {
        Ok(answer) => routed(answer, Box::new(ending)),
        Err(never) => match never {},
    };
    if core.is_stopping.load(Ordering::Relaxed) {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Notes the end of a streamed answer when its body is dropped.
struct Ending {
    state: Arc<ConnectionState>,
    tick: Arc<AtomicU32>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.state.end(self.tick.load(Ordering::Relaxed));
    }
}

/// A body that a slow client may not stretch: the time of the whole request counts.
struct WatchedBody<'a> {
    body: Incoming,
    state: &'a ConnectionState,
    tick: &'a AtomicU32,
    is_new: bool,
}

impl Body for WatchedBody<'_> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        let now = this.tick.load(Ordering::Relaxed);
        match &polled {
            Poll::Pending if this.is_new => {
                this.is_new = false;
                this.state.reads_body(now);
            }
            Poll::Ready(None) => this.state.body_read(now),
            Poll::Ready(Some(_)) if this.body.is_end_stream() => this.state.body_read(now),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
