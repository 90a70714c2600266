//! `POST /e`, and the question that browsers ask before it.

use std::net::IpAddr;

use bytes::Bytes;
use cairn_engine::ingest::envelope::{BrokenEnvelope, envelope, status_of, unzipped};
use cairn_engine::ingest::page::origin_host;
use cairn_engine::ingest::proof::Told;
use cairn_engine::ingest::{Common, Rejection, is_listed};
use cairn_model::SiteId;
use cairn_model::limits::BODY_SIZE_BYTES_MAX;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Body;

use super::Collector;
use super::answer::{Answer, Cors, add_cookies, add_cors, read_body, refusal};
use super::delivery::{Parcel, ReportShape};
use super::request::Head;
use crate::live_test::{Road, Sighting};

/// Seconds for which a browser remembers that it may send.
const PREFLIGHT_AGE_S: &str = "7200";
/// Headers that a page may send with `POST /e`.
pub(super) const OWN_HEADERS: &str = "Content-Type, Content-Encoding";

impl Collector {
    /// Answers a body of events.
    pub async fn events<B>(&self, request: &Parts, body: B, peer: IpAddr) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let now_ms = self.edge.app.now_ms(&request.headers);
        let head = Head::read(&request.headers);
        let body = match readable(&head, body).await {
            Ok(body) => body,
            Err((status, rejection)) => {
                self.count_one(&rejection, now_ms);
                return refusal(status, &rejection, Cors::Any);
            }
        };
        let envelope = match envelope(&body) {
            Ok(envelope) => envelope,
            Err(broken) => {
                self.tell_of_broken(&head, &body, &broken);
                return self.broken(&broken, now_ms);
            }
        };
        let parcel = Parcel {
            key: &envelope.key,
            key_in_address: false,
            text: &body,
            events: &envelope,
            consent: envelope.consent,
            telling: envelope.telling,
            told: Some(Told { shown: envelope.shown.as_ref(), signal: envelope.signal }),
            common: Common { screen: &envelope.screen, language: &envelope.language },
        };
        match self.deliver(&head, &parcel, peer, now_ms).await {
            Ok(delivered) => {
                let about_consent = envelope.consent.complaint();
                let mut answer = delivered.report(ReportShape::Own(about_consent));
                add_cookies(answer.headers_mut(), delivered.cookies);
                answer
            }
            Err(refusal) => refusal,
        }
    }

    /// Lets a live test know of a body that names no key, if its code can be found.
    #[inline]
    pub(super) fn tell_of_broken(&self, head: &Head<'_>, body: &[u8], broken: &BrokenEnvelope) {
        let sighting = || Sighting {
            road: Road::Script,
            key: "".into(),
            origin: head.origin(),
            texts: [body, b""],
        };
        self.edge.app.live_tests.watch(&self.edge.app.clock, sighting).refused(&broken.rejection);
    }

    pub(super) fn count_one(&self, rejection: &Rejection, now_ms: i64) {
        let mut received = self.edge.app.counters.receive(1);
        received.settle(SiteId(0), rejection.outcome, now_ms);
    }

    /// Refuses a body whose envelope cannot be read.
    pub(super) fn broken(&self, broken: &BrokenEnvelope, now_ms: i64) -> Answer {
        let mut received = self.edge.app.counters.receive(broken.events);
        let outcome = broken.rejection.outcome;
        received.settle_many(SiteId(0), outcome, broken.events, now_ms);
        let status = StatusCode::from_u16(status_of(outcome)).unwrap_or(StatusCode::BAD_REQUEST);
        refusal(status, &broken.rejection, Cors::Any)
    }

    /// Answers a browser that asks whether it may send. No site is named yet: an origin is echoed
    /// if any site lists it; what it may do is decided with the hit itself.
    pub fn preflight(&self, request: &Parts) -> Answer {
        self.preflight_for(request, OWN_HEADERS)
    }

    /// The same for a path that takes these headers.
    pub(super) fn preflight_for(&self, request: &Parts, allowed_headers: &'static str) -> Answer {
        let origin = request.headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
        let origin = origin.unwrap_or("");
        let directory = self.edge.app.directory.current();
        let is_listed = origin_host(origin)
            .is_some_and(|host| directory.sites().any(|entry| is_listed(&entry.site, &host)));
        let mut headers = HeaderMap::with_capacity(8);
        add_cors(&mut headers, if is_listed { Cors::Listed(origin) } else { Cors::Any });
        let allowed = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers),
            (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE_S),
        ];
        for (name, value) in allowed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        super::answer::whole(StatusCode::NO_CONTENT, headers, Bytes::new())
    }
}

/// The body as plain bytes, or the status and reason of its refusal.
pub(super) async fn readable<B>(head: &Head<'_>, body: B) -> Result<Bytes, (StatusCode, Rejection)>
where
    B: Body<Data = Bytes> + Unpin,
{
    let is_gzip = is_gzip(head)?;
    let body = match read_body(body, BODY_SIZE_BYTES_MAX).await {
        Some(Ok(body)) => body,
        Some(Err(_)) => return Err(ended_early()),
        None => {
            let rejection = Rejection::too_large("", "the body is over 64 KiB");
            return Err((StatusCode::PAYLOAD_TOO_LARGE, rejection));
        }
    };
    if !is_gzip {
        return Ok(body);
    }
    unzipped(&body, BODY_SIZE_BYTES_MAX).map(Bytes::from).map_err(with_status)
}

/// Whether the body is compressed; refuses what it cannot be read as.
pub(super) fn is_gzip(head: &Head<'_>) -> Result<bool, (StatusCode, Rejection)> {
    let media_type = head.content_type.split(';').next().unwrap_or("").trim();
    // `sendBeacon` of a plain text, and `curl -d` without a header of its own, are both understood.
    let known = ["", "application/json", "text/plain", "application/x-www-form-urlencoded"];
    if !known.iter().any(|known| media_type.eq_ignore_ascii_case(known)) {
        let message = "send application/json or text/plain";
        let rejection = Rejection::malformed("Content-Type", message);
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, rejection));
    }
    let encoding = head.content_encoding.trim();
    let is_gzip = encoding.eq_ignore_ascii_case("gzip") || encoding.eq_ignore_ascii_case("x-gzip");
    if !is_gzip && !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
        let rejection = Rejection::malformed("Content-Encoding", "only gzip is understood");
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, rejection));
    }
    Ok(is_gzip)
}

pub(super) fn ended_early() -> (StatusCode, Rejection) {
    (StatusCode::BAD_REQUEST, Rejection::malformed("", "the body ended early"))
}

/// A rejection with the status that answers it.
pub(super) fn with_status(rejection: Rejection) -> (StatusCode, Rejection) {
    let status = StatusCode::from_u16(status_of(rejection.outcome));
    (status.unwrap_or(StatusCode::BAD_REQUEST), rejection)
}
