//! Answers of the collecting paths.
//!
//! Guarantees: every answer to a hit names its outcome; other sites' pages may load it (CORP), and only listed
//! origins are echoed. Values of headers are made once, when the program is built.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use cairn_engine::ingest::Rejection;
use cairn_model::Outcome;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};

use crate::error::{ApiError, Code};

/// The transparent image: 43 bytes.
pub const GIF: &[u8; 43] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\
    \x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// `Cairn-Outcome`
pub const OUTCOME: HeaderName = HeaderName::from_static("cairn-outcome");
/// `Cairn-Reason`: what is wrong with an image request, since its body must be the image.
pub const REASON: HeaderName = HeaderName::from_static("cairn-reason");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const EXPOSED: &str = "Cairn-Outcome, Cairn-Reason, Retry-After";

/// Seconds after which a sender may try again when the log is full or failing.
pub const RETRY_AFTER_S: u64 = 5;

/// A body that is at hand, or one of the router's.
pub enum AnswerBody {
    /// At hand; `None` once it was sent.
    Whole(Option<Bytes>),
    /// The router's; with it goes whatever waits for its end.
    Routed(axum::body::Body, #[allow(dead_code)] Box<dyn Send>),
}

impl AnswerBody {
    /// The same; what waits for its end waits with it, or is over where the body is at hand.
    pub fn until_sent(self, ending: impl Send + 'static) -> Self {
        match self {
            AnswerBody::Routed(body, until) => AnswerBody::Routed(body, Box::new((until, ending))),
            whole => whole,
        }
    }
}

/// An answer to any request.
pub type Answer = Response<AnswerBody>;

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            AnswerBody::Whole(bytes) => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
            AnswerBody::Routed(body, _) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Whole(bytes) => bytes.is_none(),
            AnswerBody::Routed(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Whole(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            AnswerBody::Whole(None) => SizeHint::with_exact(0),
            AnswerBody::Routed(body, _) => body.size_hint(),
        }
    }
}

/// An answer whose body is at hand.
pub fn whole(status: StatusCode, headers: HeaderMap, body: Bytes) -> Answer {
    let body = AnswerBody::Whole(if body.is_empty() { None } else { Some(body) });
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// The answer of the router as it is.
pub fn routed(answer: Response<axum::body::Body>, until_sent: Box<dyn Send>) -> Answer {
    answer.map(|body| AnswerBody::Routed(body, until_sent))
}

/// How the origin is answered.
#[derive(Clone, Copy)]
pub enum Cors<'a> {
    /// `*`, without credentials.
    Any,
    /// The site lists it.
    Listed(&'a str),
}

/// Headers that every collecting answer has.
pub fn headers(outcome: HeaderValue, cors: Cors<'_>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    add_headers(&mut headers, outcome, cors);
    headers
}

fn add_headers(headers: &mut HeaderMap, outcome: HeaderValue, cors: Cors<'_>) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(OUTCOME, outcome);
    headers.insert(CORP, HeaderValue::from_static("cross-origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    add_cors(headers, cors);
}

/// Headers by which a browser lets the page's script read the answer.
pub fn add_cors(headers: &mut HeaderMap, cors: Cors<'_>) {
    let origin = match cors {
        Cors::Any => None,
        Cors::Listed(origin) => HeaderValue::from_str(origin).ok(),
    };
    let Some(origin) = origin else {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        return;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
}

/// Adds the cookies of an answer.
pub fn add_cookies(headers: &mut HeaderMap, cookies: Vec<String>) {
    for cookie in cookies {
        if let Ok(value) = HeaderValue::try_from(cookie) {
            headers.append(header::SET_COOKIE, value);
        }
    }
}

/// The outcome's name as a header's value.
pub fn outcome_value(outcome: Outcome) -> HeaderValue {
    HeaderValue::from_static(outcome.name())
}

/// The image, with what became of the hit.
pub fn image(outcome: Outcome, reason: Option<&Rejection>, cors: Cors<'_>) -> Answer {
    let mut headers = headers(outcome_value(outcome), cors);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/gif"));
    if let Some(rejection) = reason {
        let text = match rejection.field.as_ref() {
            "" => rejection.message.to_string(),
            field => format!("{field}: {}", rejection.message),
        };
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(REASON, value);
        }
    }
    if waits(outcome) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    whole(StatusCode::OK, headers, Bytes::from_static(GIF))
}

/// The image for a hit that is kept: nearly every answer. It uses up the request's map of headers, which saves making one.
pub fn accepted_image(mut headers: HeaderMap) -> Answer {
    headers.clear();
    add_headers(&mut headers, outcome_value(Outcome::Accepted), Cors::Any);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/gif"));
    whole(StatusCode::OK, headers, Bytes::from_static(GIF))
}

/// What a `HEAD` of the image is answered: nothing came in, so there is no outcome.
pub fn image_head() -> Answer {
    let mut answer = image(Outcome::Accepted, None, Cors::Any);
    answer.headers_mut().remove(OUTCOME);
    answer
}

fn waits(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::UnavailableLogFull | Outcome::UnavailableOverloaded | Outcome::RejectedRateLimited
    )
}

/// A JSON answer for scripts and servers.
pub fn json(status: StatusCode, outcome: HeaderValue, cors: Cors<'_>, body: Vec<u8>) -> Answer {
    let mut headers = headers(outcome, cors);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    whole(status, headers, Bytes::from(body))
}

/// A refusal of the request as a whole.
pub fn refusal(status: StatusCode, rejection: &Rejection, cors: Cors<'_>) -> Answer {
    let mut error = ApiError::new(code_of(status, rejection.outcome), rejection.message.clone());
    if !rejection.field.is_empty() {
        error = error.on(rejection.field.clone());
    }
    let body = serde_json::to_vec(&error.body()).unwrap_or_default();
    let mut answer = json(status, outcome_value(rejection.outcome), cors, body);
    if waits(rejection.outcome) {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    answer
}

/// Too many connections are open.
pub fn overloaded() -> Answer {
    let rejection = Rejection::new(Outcome::UnavailableOverloaded, "too many connections are open");
    refusal(StatusCode::SERVICE_UNAVAILABLE, &rejection, Cors::Any)
}

/// The same for images.
pub fn overloaded_image() -> Answer {
    image(Outcome::UnavailableOverloaded, None, Cors::Any)
}

/// The path has no such method.
pub fn wrong_method(allowed: &'static str) -> Answer {
    let rejection = Rejection::malformed("", "this address has no such method");
    let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, &rejection, Cors::Any);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn code_of(status: StatusCode, outcome: Outcome) -> Code {
    match (status, outcome) {
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, _) => Code::UnsupportedMediaType,
        (StatusCode::METHOD_NOT_ALLOWED, _) => Code::MethodNotAllowed,
        (_, Outcome::RejectedUnknownKey) => Code::UnknownKey,
        (_, Outcome::RejectedUnknownField) => Code::UnknownField,
        (_, Outcome::RejectedTooLarge) => Code::TooLarge,
        (_, Outcome::RejectedRateLimited) => Code::RateLimited,
        (_, Outcome::UnavailableLogFull) => Code::LogFull,
        (_, Outcome::UnavailableOverloaded) => Code::Overloaded,
        _ => Code::MalformedRequest,
    }
}

/// A complete HTTP/1.1 answer for requests that never become one: an unreadable head, a head that
/// does not come, too many connections. The connection is closed after it.
pub fn without_service(status: StatusCode, rejection: &Rejection) -> Vec<u8> {
    let code = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::URI_TOO_LONG => {
            Code::HeadTooLarge
        }
        status => code_of(status, rejection.outcome),
    };
    let error = ApiError::new(code, rejection.message.clone());
    let body = serde_json::to_vec(&error.body()).unwrap_or_default();
    let retry = if waits(rejection.outcome) { "retry-after: 5\r\n" } else { "" };
    let mut answer = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         cairn-outcome: {}\r\ncache-control: no-store\r\naccess-control-allow-origin: *\r\n\
         {retry}connection: close\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error"),
        body.len(),
        rejection.outcome.name(),
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    answer
}

/// The same for an image: the image.
pub fn image_without_service(rejection: &Rejection) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: image/gif\r\ncontent-length: {}\r\n\
         cairn-outcome: {}\r\ncairn-reason: {}\r\ncache-control: no-store\r\n\
         cross-origin-resource-policy: cross-origin\r\naccess-control-allow-origin: *\r\n\
         connection: close\r\n\r\n",
        GIF.len(),
        rejection.outcome.name(),
        rejection.message,
    )
    .into_bytes();
    answer.extend_from_slice(GIF);
    answer
}

/// Reads a body up to its limit. `None`: it is longer.
pub async fn read_body<B>(body: B, size_bytes_max: usize) -> Option<Result<Bytes, B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > size_bytes_max as u64 {
        return None;
    }
    let mut body = body;
    let mut first = Bytes::new();
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let data = match body.frame().await {
            None => break,
            Some(Err(error)) => return Some(Err(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(_) => continue,
            },
        };
        if first.len().max(rest.len()) + data.len() > size_bytes_max {
            return None;
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    Some(Ok(if rest.is_empty() { first } else { Bytes::from(rest) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_the_known_one() {
        assert_eq!(GIF.len(), 43);
        assert!(GIF.starts_with(b"GIF89a\x01\x00\x01\x00") && GIF.ends_with(b";"));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn bodies_are_read_up_to_their_limit() {
        let whole = |size: usize| AnswerBody::Whole(Some(Bytes::from(vec![b'x'; size])));
        assert_eq!(read_body(whole(10), 10).await.unwrap().unwrap().len(), 10);
        assert!(read_body(whole(11), 10).await.is_none());
    }
}
