//! A connection's stream, watched.
//!
//! Guarantees: a request line of any length reaches the parser as one that it can read: parameters
//! beyond their limit lose their end, the others stay whole. Answers that the parser gives by itself
//! are replaced by ones with an outcome and a reason, and for an image by the image. Knows bytes and
//! time, not requests.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};

use cairn_engine::ingest::Rejection;
use cairn_model::Outcome;
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::collect::{image_without_service, without_service};

/// One parameter of a request line: more than any limit of a field allows.
const PARAMETER_SIZE_BYTES_MAX: usize = 16 * 1024;
/// The address in a request line; the parser refuses 64 KiB.
const TARGET_SIZE_BYTES_MAX: usize = 60_000;

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

/// What a connection is doing, for the thread that looks after all of them.
pub(super) struct ConnectionState {
    phase: AtomicU8,
    /// Tick at which the phase, or the last progress of a write, began.
    since: AtomicU32,
    /// The bytes that come next begin a request.
    expects_line: AtomicBool,
    write_waits: AtomicBool,
    /// Wakes the connection to look at its orders.
    waker: OnceLock<Waker>,
    pub expired: AtomicBool,
    pub finishing: AtomicBool,
}

/// How long a connection may stay as it is, in ticks.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub head: u32,
    pub idle: u32,
    pub stalled: u32,
}

impl ConnectionState {
    pub fn new(now: u32) -> Self {
        ConnectionState {
            phase: AtomicU8::new(IDLE),
            since: AtomicU32::new(now),
            expects_line: AtomicBool::new(true),
            write_waits: AtomicBool::new(false),
            waker: OnceLock::new(),
            expired: AtomicBool::new(false),
            finishing: AtomicBool::new(false),
        }
    }

    /// Who is woken. The first time is enough: the waker of a task stays the same.
    pub fn wakes(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// Has the connection look at its orders.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    fn enter(&self, phase: u8, now: u32) {
        self.phase.store(phase, Ordering::Relaxed);
        self.since.store(now, Ordering::Relaxed);
    }

    /// The head of a request was read.
    pub fn begin(&self, now: u32, has_body: bool) {
        self.enter(BUSY, now);
        self.expects_line.store(!has_body, Ordering::Relaxed);
    }

    /// The body of a request is being read by somebody who has no clock of his own.
    pub fn reads_body(&self, now: u32) {
        self.enter(HEAD, now);
    }

    /// The body was read.
    pub fn body_read(&self, now: u32) {
        self.begin(now, false);
    }

    /// The answer is complete.
    pub fn end(&self, now: u32) {
        self.enter(IDLE, now);
        self.expects_line.store(true, Ordering::Relaxed);
    }

    /// A request has begun and is not read to its end.
    pub fn is_in_request(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == HEAD
    }

    /// Whether the connection has used up its time.
    pub fn is_overdue(&self, now: u32, patience: Patience) -> bool {
        let waited = now.saturating_sub(self.since.load(Ordering::Relaxed));
        let stalled = self.write_waits.load(Ordering::Relaxed) && waited > patience.stalled;
        match self.phase.load(Ordering::Relaxed) {
            HEAD => waited > patience.head,
            IDLE => waited > patience.idle,
            _ => stalled,
        }
    }
}

/// The stream.
pub(super) struct Guarded<S> {
    inner: S,
    state: Arc<ConnectionState>,
    tick: Arc<AtomicU32>,
    line: LineFilter,
    /// An answer of our own that is on its way in place of the parser's.
    replacement: Option<(Vec<u8>, usize)>,
    /// The parser refused a request.
    pub refused: Option<Outcome>,
}

impl<S> Guarded<S> {
    pub fn new(inner: S, state: Arc<ConnectionState>, tick: Arc<AtomicU32>) -> Self {
        let line = LineFilter::default();
        Guarded { inner, state, tick, line, replacement: None, refused: None }
    }

    pub fn into_inner(self) -> S {
        self.inner
    }

    fn now(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
            let read = &mut buffer.filled_mut()[before..];
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if this.state.phase.load(Ordering::Relaxed) == IDLE {
                this.state.enter(HEAD, this.now());
            }
            if !this.state.expects_line.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            let (kept, ended) = this.line.filter(read);
            if ended {
                this.state.expects_line.store(false, Ordering::Relaxed);
            }
            buffer.set_filled(before + kept);
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.replacement.is_none()
            && let Some((answer, outcome)) = parser_refusal(bytes, this.line.asks_for_image())
        {
            this.replacement = Some((answer, 0));
            this.refused = Some(outcome);
        }
        let written = match &mut this.replacement {
            None => Pin::new(&mut this.inner).poll_write(context, bytes),
            Some((answer, sent)) => loop {
                match Pin::new(&mut this.inner).poll_write(context, &answer[*sent..]) {
                    Poll::Ready(Ok(count)) if count > 0 && *sent + count < answer.len() => {
                        *sent += count;
                    }
                    Poll::Ready(Ok(_)) => break Poll::Ready(Ok(bytes.len())),
                    other => break other,
                }
            },
        };
        let waits = written.is_pending();
        if this.state.write_waits.swap(waits, Ordering::Relaxed) != waits || !waits {
            this.state.since.store(this.now(), Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

/// Our answer in place of the parser's own, which has neither body nor outcome.
fn parser_refusal(bytes: &[u8], for_image: bool) -> Option<(Vec<u8>, Outcome)> {
    let status = bytes.strip_prefix(b"HTTP/1.1 4")?.get(..2)?;
    let (status, outcome, message) = match status {
        b"00" => (
            StatusCode::BAD_REQUEST,
            Outcome::RejectedMalformed,
            "the request's head is not HTTP/1.1, or its address has characters that must be escaped",
        ),
        b"14" | b"31" => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Outcome::RejectedTooLarge,
            "the request's head has over 128 KiB or 100 headers",
        ),
        _ => return None,
    };
    let has_no_body = bytes.windows(19).any(|part| part == b"content-length: 0\r\n");
    let is_ours = bytes.windows(13).any(|part| part == b"cairn-outcome");
    if !has_no_body || is_ours {
        return None;
    }
    let rejection = Rejection::new(outcome, message);
    let answer = match for_image {
        true => image_without_service(&rejection),
        false => without_service(status, &rejection),
    };
    Some((answer, outcome))
}

/// Shortens over-long request lines.
#[derive(Default)]
struct LineFilter {
    /// How the line begins; stays until the next one begins.
    start: [u8; IMAGE_LINE.len() + 1],
    started: usize,
    spaces: u8,
    target: usize,
    parameter: usize,
}

/// How the request line of an image begins.
const IMAGE_LINE: &[u8] = b"GET /p.gif";

impl LineFilter {
    /// Moves what is kept to the front; answers its size and whether the line has ended.
    fn filter(&mut self, bytes: &mut [u8]) -> (usize, bool) {
        if self.started < self.start.len() {
            let taken = bytes.len().min(self.start.len() - self.started);
            self.start[self.started..self.started + taken].copy_from_slice(&bytes[..taken]);
            self.started += taken;
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let line_size = end.unwrap_or(bytes.len());
        if end.is_some() && self.target + line_size < PARAMETER_SIZE_BYTES_MAX {
            self.end_line();
            return (bytes.len(), true);
        }
        let mut kept = 0;
        for at in 0..line_size {
            let byte = bytes[at];
            if self.keeps(byte) {
                bytes[kept] = byte;
                kept += 1;
            }
        }
        if end.is_none() {
            return (kept, false);
        }
        bytes.copy_within(line_size.., kept);
        self.end_line();
        (kept + bytes.len() - line_size, true)
    }

    fn end_line(&mut self) {
        *self = LineFilter { start: self.start, ..LineFilter::default() };
    }

    /// The latest line asks for the image.
    fn asks_for_image(&self) -> bool {
        self.start.starts_with(IMAGE_LINE) && matches!(self.start[IMAGE_LINE.len()], b'?' | b' ')
    }

    fn keeps(&mut self, byte: u8) -> bool {
        match byte {
            b' ' => {
                self.spaces = self.spaces.saturating_add(1);
                true
            }
            b'&' | b'?' if self.spaces == 1 && self.target < TARGET_SIZE_BYTES_MAX => {
                self.parameter = 0;
                self.target += 1;
                true
            }
            _ if self.spaces == 1 => {
                let fits = self.parameter < PARAMETER_SIZE_BYTES_MAX
                    && self.target < TARGET_SIZE_BYTES_MAX;
                self.parameter += usize::from(fits);
                self.target += usize::from(fits);
                fits
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(request: &str, read_size: usize) -> String {
        let mut filter = LineFilter::default();
        let mut expects = true;
        let mut seen = Vec::new();
        for chunk in request.as_bytes().chunks(read_size) {
            let mut chunk = chunk.to_vec();
            if expects {
                let (kept, ended) = filter.filter(&mut chunk);
                chunk.truncate(kept);
                expects = !ended;
            }
            seen.extend_from_slice(&chunk);
        }
        String::from_utf8(seen).unwrap()
    }

    #[test]
    fn long_parameters_lose_their_end_and_others_stay() {
        let long = "x".repeat(100_000);
        let request = format!("GET /p.gif?url={long}&key=K&title=T HTTP/1.1\r\nHost: a\r\n\r\n");
        for read_size in [7, 4_096, 300_000] {
            let seen = filtered(&request, read_size);
            assert!(seen.ends_with("&key=K&title=T HTTP/1.1\r\nHost: a\r\n\r\n"), "{read_size}");
            assert!(seen.len() < 17_000 && seen.starts_with("GET /p.gif?url=xxx"));
        }
        let many = format!("GET /p.gif?{} HTTP/1.1\r\n\r\n", "a=1&".repeat(50_000));
        let seen = filtered(&many, 4_096);
        assert!(seen.len() < 60_100 && seen.ends_with(" HTTP/1.1\r\n\r\n"));
    }

    #[test]
    fn everything_else_passes_untouched() {
        let request =
            "POST /e HTTP/1.1\r\nContent-Length: 30\r\n\r\n{\"key\": \"a b & c ? d\"}       ";
        for read_size in [1, 5, 1_000] {
            assert_eq!(filtered(request, read_size), request);
        }
    }

    #[test]
    fn only_the_parsers_own_answers_are_replaced() {
        let own = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        let (answer, outcome) = parser_refusal(own, false).unwrap();
        assert_eq!(outcome, Outcome::RejectedTooLarge);
        let text = String::from_utf8(answer).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 431 ") && text.contains("cairn-outcome: rejected:too_large")
        );
        let ours = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 17\r\n\r\n{\"error\":\"\"}";
        assert!(parser_refusal(ours, true).is_none());
        let fine = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        assert!(parser_refusal(fine, true).is_none() && parser_refusal(b"", true).is_none());
    }
}
