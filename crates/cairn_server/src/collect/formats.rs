//! Requests in other products' formats: the HTTP around the engine's decoders.
//!
//! Guarantees: what a decoder reads goes the way of `POST /e` ([`super::delivery`]). Bodies may be
//! larger than there; how many large ones are in memory at once is bounded. No cookie is set: these
//! SDKs keep an id of their own.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use cairn_engine::ingest::consent::SentConsent;
use cairn_engine::ingest::envelope::unzipped;
use cairn_engine::ingest::formats::{Format, Request};
use cairn_engine::ingest::{Common, Rejection, Telling};
use cairn_enrich::RequestKind;
use cairn_model::Outcome;
use cairn_model::limits::{BODY_SIZE_BYTES_MAX, FORMAT_BODY_SIZE_BYTES_MAX};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Collector;
use super::answer::{Answer, Cors, refusal, whole};
use super::delivery::{Parcel, ReportShape};
use super::events::{ended_early, is_gzip, with_status};
use super::request::Head;

/// Places for bodies over the size of a `POST /e`: 64 MiB of them, packed and unpacked.
static LARGE_BODIES: Semaphore = Semaphore::const_new(64);
/// Headers that SDKs send along from browsers.
const SDK_HEADERS: &str =
    "Authorization, Content-Type, Content-Encoding, X-Retry-Count, AnonymousId, SentAt";

/// A whole body, and its place among the large ones.
struct Held {
    bytes: Bytes,
    place: Option<SemaphorePermit<'static>>,
}

type Refused = (StatusCode, Rejection);

impl Collector {
    /// Answers a body in another product's format.
    pub async fn format<B>(&self, format: &Format, request: &Parts, body: B, peer: IpAddr) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let now_ms = self.edge.app.now_ms(&request.headers);
        let head = Head::read(&request.headers);
        let held = match read(&head, body).await {
            Ok(held) => held,
            Err((status, rejection)) => {
                self.count_one(&rejection, now_ms);
                return refusal(status, &rejection, Cors::Any);
            }
        };
        let user_name = user_name(&request.headers);
        let opened = (format.open)(&Request {
            path: request.uri.path(),
            query: request.uri.query().unwrap_or(""),
            user_name: &user_name,
            body: &held.bytes,
        });
        let opened = match opened {
            Ok(opened) => opened,
            Err(broken) => {
                self.tell_of_broken(&head, &held.bytes, &broken);
                return self.broken(&broken, now_ms);
            }
        };
        let parcel = Parcel {
            key: &opened.key,
            key_in_address: opened.key_in_address,
            text: &held.bytes,
            events: &*opened.events,
            consent: SentConsent::Nothing,
            telling: Telling::default(),
            told: None,
            common: Common::default(),
        };
        let answer = match self.deliver(&head, &parcel, peer, now_ms).await {
            Ok(delivered) => delivered.report(ReportShape::Segment),
            Err(refusal) => refusal,
        };
        drop(held.place);
        answer
    }

    /// Answers what a format's SDK asks before it sends; `None` where the path asks nothing.
    pub fn format_setup(&self, format: &Format, request: &Parts, peer: IpAddr) -> Option<Answer> {
        let head = Head::read(&request.headers);
        let hit = head.hit(peer, &self.edge.trusted_proxies, RequestKind::Script, 0);
        let user_name = user_name(&request.headers);
        let asked = Request {
            path: request.uri.path(),
            query: request.uri.query().unwrap_or(""),
            user_name: &user_name,
            body: b"",
        };
        let origin = self.edge.app.public_origin(&request.headers, hit.secure);
        let body = Bytes::from((format.setup)(&asked, &origin)?);
        let mut headers = HeaderMap::with_capacity(6);
        let fixed = [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "public, max-age=300"),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let corp = header::HeaderName::from_static("cross-origin-resource-policy");
        headers.insert(corp, HeaderValue::from_static("cross-origin"));
        Some(whole(StatusCode::OK, headers, body))
    }

    /// Answers a browser that asks whether it may send in another product's format.
    pub fn format_preflight(&self, request: &Parts) -> Answer {
        self.preflight_for(request, SDK_HEADERS)
    }
}

/// The body, decompressed.
async fn read<B>(head: &Head<'_>, body: B) -> Result<Held, Refused>
where
    B: Body<Data = Bytes> + Unpin,
{
    let is_gzip = is_gzip(head)?;
    let mut held = hold(body).await?;
    if is_gzip {
        let plain = unzipped(&held.bytes, FORMAT_BODY_SIZE_BYTES_MAX).map_err(with_status)?;
        held.bytes = Bytes::from(plain);
        held.take_place()?;
    }
    Ok(held)
}

async fn hold<B>(mut body: B) -> Result<Held, Refused>
where
    B: Body<Data = Bytes> + Unpin,
{
    let too_large = || with_status(Rejection::too_large("", "the body is over 512 KiB"));
    if body.size_hint().lower() > FORMAT_BODY_SIZE_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut held = Held { bytes: Bytes::new(), place: None };
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ended_early())?;
        let Ok(data) = frame.into_data() else { continue };
        if held.bytes.is_empty() && rest.is_empty() {
            held.bytes = data;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&held.bytes);
        }
        rest.extend_from_slice(&data);
        if rest.len() > FORMAT_BODY_SIZE_BYTES_MAX {
            return Err(too_large());
        }
        if rest.len() > BODY_SIZE_BYTES_MAX && held.place.is_none() {
            held.place = Some(place()?);
        }
    }
    if !rest.is_empty() {
        held.bytes = rest.freeze();
    }
    held.take_place()?;
    Ok(held)
}

impl Held {
    fn take_place(&mut self) -> Result<(), Refused> {
        if self.bytes.len() > BODY_SIZE_BYTES_MAX && self.place.is_none() {
            self.place = Some(place()?);
        }
        Ok(())
    }
}

fn place() -> Result<SemaphorePermit<'static>, Refused> {
    LARGE_BODIES.try_acquire().map_err(|_| {
        let message = "too many large bodies at once";
        with_status(Rejection::new(Outcome::UnavailableOverloaded, message))
    })
}

/// The user name of basic authentication; empty without one.
pub(super) fn user_name(headers: &HeaderMap) -> String {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, credentials) = sent.and_then(|sent| sent.split_once(' ')).unwrap_or(("", ""));
    if !scheme.eq_ignore_ascii_case("basic") {
        return String::new();
    }
    let decoded = STANDARD.decode(credentials.trim()).ok().map(String::from_utf8);
    let Some(Ok(mut pair)) = decoded else { return String::new() };
    pair.truncate(pair.find(':').unwrap_or(pair.len()));
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(authorization: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(authorization) {
            headers.insert(header::AUTHORIZATION, value);
        }
        user_name(&headers)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_authorization_names_a_user_or_none(
            scheme in "([Bb]asic|BASIC|[Bb]earer)? {0,2}",
            credentials in "([A-Za-z0-9+/]{4}){0,8}[A-Za-z0-9+/=_-]{0,4}",
            noise in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
        ) {
            let name = named(format!("{scheme}{credentials}").as_bytes());
            proptest::prop_assert!(!name.contains(':'));
            proptest::prop_assert!(scheme.to_lowercase().starts_with("basic ") || name.is_empty());
            proptest::prop_assert!(!named(&noise).contains(':'));
            let encoded = format!("Basic {}", STANDARD.encode(&noise));
            let known = std::str::from_utf8(&noise).map_or("", |pair| pair.split(':').next().unwrap());
            proptest::prop_assert_eq!(named(encoded.as_bytes()), known);
        }

        #[test]
        fn the_name_ends_at_the_first_colon(user in "[^:]{0,40}", password in "\\PC{0,20}") {
            let pair = STANDARD.encode(format!("{user}:{password}"));
            proptest::prop_assert_eq!(named(format!("basic  {pair} ").as_bytes()), user);
        }
    }
}
