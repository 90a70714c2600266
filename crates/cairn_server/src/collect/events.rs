//! `POST /e`, and the question that browsers ask before it.

use std::net::IpAddr;

use bytes::Bytes;
use cairn_catalog::PixelEntry;
use cairn_engine::ingest::consent::{SentConsent, UNSUPPORTED_MESSAGE};
use cairn_engine::ingest::envelope::{Envelope, envelope, status_of, unzipped};
use cairn_engine::ingest::fields::{Sender, event};
use cairn_engine::ingest::json::Raw;
use cairn_engine::ingest::page::origin_host;
use cairn_engine::ingest::{Admission, Common, Rejection, is_listed};
use cairn_enrich::RequestKind;
use cairn_model::limits::BODY_SIZE_BYTES_MAX;
use cairn_model::{Outcome, PixelKind, SiteId};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Body;
use serde::Serialize;

use super::answer::{Answer, Cors, add_cookies, add_cors, json, outcome_value, read_body, refusal};
use super::handover::Handover;
use super::request::Head;
use super::{Collector, rate_limited, unknown_key, used_in_browser};

/// Seconds for which a browser remembers that it may send.
const PREFLIGHT_AGE_S: &str = "7200";

#[derive(Serialize)]
struct Report<'a> {
    accepted: usize,
    duplicate: usize,
    rejected: Vec<Rejected<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consent: Option<&'static str>,
}

#[derive(Serialize)]
struct Rejected<'a> {
    index: usize,
    reason: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
}

/// Records of one body, one behind the other.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Records {
    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

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
                let mut received = self.edge.app.counters.receive(broken.events);
                let outcome = broken.rejection.outcome;
                received.settle_many(SiteId(0), outcome, broken.events, now_ms);
                let status = StatusCode::from_u16(status_of(outcome));
                let status = status.unwrap_or(StatusCode::BAD_REQUEST);
                return refusal(status, &broken.rejection, Cors::Any);
            }
        };
        self.envelope(&head, &envelope, peer, now_ms).await
    }

    fn count_one(&self, rejection: &Rejection, now_ms: i64) {
        let mut received = self.edge.app.counters.receive(1);
        received.settle(SiteId(0), rejection.outcome, now_ms);
    }

    async fn envelope(
        &self,
        head: &Head<'_>,
        envelope: &Envelope<'_>,
        peer: IpAddr,
        now_ms: i64,
    ) -> Answer {
        let edge = &*self.edge;
        let app = &edge.app;
        // A body without events tells a choice, which is a hit as well.
        let count = envelope.events.len().max(1);
        let mut received = app.counters.receive(count);
        let Some(entry) = self.edge.app.directory.current().by_key(&envelope.key) else {
            received.settle_many(SiteId(0), Outcome::RejectedUnknownKey, count, now_ms);
            return refusal(StatusCode::NOT_FOUND, &unknown_key(), Cors::Any);
        };
        let site = entry.site.site.id;
        let kind = match entry.pixel.kind {
            PixelKind::Server => RequestKind::Server,
            _ => RequestKind::Script,
        };
        let hit = head.hit(peer, &edge.trusted_proxies, kind, now_ms);
        if !edge.limiter.allows(&envelope.key, hit.address.ip()) {
            received.settle_many(site, Outcome::RejectedRateLimited, count, now_ms);
            let cors = cors_of(head, &entry);
            return refusal(StatusCode::TOO_MANY_REQUESTS, &rate_limited(), cors);
        }
        let alone = envelope.events.is_empty();
        let mut admission = app.ingest.admit(&hit, &entry, envelope.consent, alone);
        let cors = match admission.has_listed_origin() {
            true => Cors::Listed(head.origin()),
            false => Cors::Any,
        };
        let (records, refused) = take_all(&mut admission, envelope, &entry, head);
        for (_, rejection) in &refused {
            received.settle(site, rejection.outcome, now_ms);
        }
        let cookies = admission.set_cookies();
        if alone {
            received.settle(site, admission.outcome_of_choice(), now_ms);
        }
        if !records.ends.is_empty() {
            let append = self.appender.append(records.slices());
            let stored = Handover::new(&self.edge.app, append, site, received, now_ms).await;
            if let Err(rejection) = stored {
                let status = StatusCode::from_u16(status_of(rejection.outcome));
                let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                return refusal(status, &rejection, cors);
            }
        }
        let otherwise = admission.outcome_of_choice();
        let mut answer = report(records.ends.len(), &refused, envelope.consent, otherwise, cors);
        add_cookies(answer.headers_mut(), cookies);
        answer
    }

    /// Answers a browser that asks whether it may send. No site is named yet: an origin is echoed
    /// if any site lists it; what it may do is decided with the hit itself.
    pub fn preflight(&self, request: &Parts) -> Answer {
        let origin = request.headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
        let origin = origin.unwrap_or("");
        let directory = self.edge.app.directory.current();
        let is_listed = origin_host(origin)
            .is_some_and(|host| directory.sites().any(|entry| is_listed(&entry.site, &host)));
        let mut headers = HeaderMap::with_capacity(8);
        add_cors(&mut headers, if is_listed { Cors::Listed(origin) } else { Cors::Any });
        let allowed = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type, Content-Encoding"),
            (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE_S),
        ];
        for (name, value) in allowed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        super::answer::whole(StatusCode::NO_CONTENT, headers, Bytes::new())
    }
}

/// The body as plain bytes, or the status and reason of its refusal.
async fn readable<B>(head: &Head<'_>, body: B) -> Result<Bytes, (StatusCode, Rejection)>
where
    B: Body<Data = Bytes> + Unpin,
{
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
    let body = match read_body(body, BODY_SIZE_BYTES_MAX).await {
        Some(Ok(body)) => body,
        Some(Err(_)) => {
            let rejection = Rejection::malformed("", "the body ended early");
            return Err((StatusCode::BAD_REQUEST, rejection));
        }
        None => {
            let rejection = Rejection::too_large("", "the body is over 64 KiB");
            return Err((StatusCode::PAYLOAD_TOO_LARGE, rejection));
        }
    };
    if !is_gzip {
        return Ok(body);
    }
    unzipped(&body).map(Bytes::from).map_err(|rejection| {
        let status = StatusCode::from_u16(status_of(rejection.outcome));
        (status.unwrap_or(StatusCode::BAD_REQUEST), rejection)
    })
}

fn cors_of<'a>(head: &Head<'a>, entry: &PixelEntry) -> Cors<'a> {
    let host = origin_host(head.origin());
    match host.is_some_and(|host| is_listed(&entry.site.site, &host)) {
        true => Cors::Listed(head.origin()),
        false => Cors::Any,
    }
}

fn take_all(
    admission: &mut Admission<'_>,
    envelope: &Envelope<'_>,
    entry: &PixelEntry,
    head: &Head<'_>,
) -> (Records, Vec<(usize, Rejection)>) {
    let is_server = entry.pixel.kind == PixelKind::Server;
    let sender = if is_server { Sender::Server } else { Sender::Public };
    let common = Common { screen: &envelope.screen, language: &envelope.language };
    let mut records = Records::default();
    let mut refused = Vec::new();
    for (index, raw) in envelope.events.iter().enumerate() {
        if is_server && !head.origin().is_empty() {
            refused.push((index, used_in_browser()));
            continue;
        }
        if let Err(rejection) = take_one(admission, *raw, sender, common, &mut records) {
            refused.push((index, rejection));
        }
    }
    (records, refused)
}

fn take_one(
    admission: &mut Admission<'_>,
    raw: Raw<'_>,
    sender: Sender,
    common: Common<'_>,
    records: &mut Records,
) -> Result<(), Rejection> {
    let parsed = event(raw, sender)?;
    let (bytes, taken) = admission.take(parsed, common, std::mem::take(&mut records.bytes));
    records.bytes = bytes;
    taken?;
    records.ends.push(records.bytes.len());
    Ok(())
}

fn report(
    accepted: usize,
    refused: &[(usize, Rejection)],
    consent: SentConsent,
    without_events: Outcome,
    cors: Cors<'_>,
) -> Answer {
    let is_duplicate =
        |(_, rejection): &&(usize, Rejection)| rejection.outcome == Outcome::Duplicate;
    let duplicate = refused.iter().filter(is_duplicate).count();
    let rejected = refused.iter().filter(|refused| !is_duplicate(refused));
    let report = Report {
        accepted,
        duplicate,
        rejected: rejected
            .map(|(index, rejection)| Rejected {
                index: *index,
                reason: rejection.outcome.name(),
                message: &rejection.message,
                field: &rejection.field,
            })
            .collect(),
        consent: (consent == SentConsent::Unsupported).then_some(UNSUPPORTED_MESSAGE),
    };
    let mut outcomes = refused.iter().map(|(_, rejection)| rejection.outcome);
    let first =
        if accepted > 0 { Outcome::Accepted } else { outcomes.next().unwrap_or(without_events) };
    let outcome = match outcomes.all(|outcome| outcome == first) {
        true => outcome_value(first),
        false => HeaderValue::from_static("mixed"),
    };
    let body = serde_json::to_vec(&report).unwrap_or_default();
    json(StatusCode::ACCEPTED, outcome, cors, body)
}
