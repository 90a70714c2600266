//! From a readable body to its events' durability: what `POST /e` and every other format share.
//!
//! Guarantees: every event of the body gets exactly one outcome, also when the client goes away;
//! events enter the log in their order; a long body is taken in parts, so that it holds up nobody.

use std::net::IpAddr;

use cairn_catalog::PixelEntry;
use cairn_engine::ingest::consent::SentConsent;
use cairn_engine::ingest::envelope::status_of;
use cairn_engine::ingest::formats::{Events, Terms};
use cairn_engine::ingest::landing::recent::NamedUser;
use cairn_engine::ingest::page::origin_host;
use cairn_engine::ingest::proof::Told;
use cairn_engine::ingest::{Admission, Common, Rejection, Telling, is_listed};
use cairn_engine::outcomes::Received;
use cairn_engine::token::crossing::LINK_PARAMETER;
use cairn_enrich::RequestKind;
use cairn_model::limits::EVENTS_PER_BODY_MAX;
use cairn_model::{Outcome, PixelKind, SiteId};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::answer::{Answer, Cors, add_cookies, json, outcome_value, refusal};
use super::choice::{ProofOfWord, is_refusal, proven};
use super::handover::Handover;
use super::landing::{Beside, Landing, landing_token};
use super::request::Head;
use super::{Collector, rate_limited, secret_in_address, unknown_key, used_in_browser};
use crate::live_test::{Road, Sighting, Watched};

/// Records that are handed to the log together, unless they are too many: a whole `POST /e`.
const RECORDS_PER_PART: usize = EVENTS_PER_BODY_MAX;
/// Their size, unless a single one is larger.
const PART_SIZE_BYTES: usize = 512 * 1024;

/// A body whose envelope was read.
pub(super) struct Parcel<'a, E: ?Sized> {
    /// The pixel's key.
    pub key: &'a str,
    /// The key stood in the address.
    pub key_in_address: bool,
    /// The body as text, for live tests.
    pub text: &'a [u8],
    /// The events, unread.
    pub events: &'a E,
    /// What the visitor said, of the request as a whole.
    pub consent: SentConsent,
    /// How the request tells it.
    pub telling: Telling,
    /// How he said it; `None`: not himself.
    pub told: Option<Told<'a>>,
    /// What belongs to all events.
    pub common: Common<'a>,
}

/// What became of a body.
pub(super) struct Delivered<'h> {
    /// Events that are durable.
    pub accepted: usize,
    /// The others, with their places.
    pub refused: Vec<(usize, Rejection)>,
    /// `Set-Cookie` headers that the answer may carry.
    pub cookies: Vec<String>,
    /// How the origin is answered.
    pub cors: Cors<'h>,
    /// What became of the choice, which is all that a body without events tells.
    of_choice: Outcome,
}

/// Records of one part, one behind the other.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Receipts of the words that events brought: in the log already, before the events.
    proofs: Vec<ProofOfWord>,
}

impl Records {
    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    fn last(&self) -> &[u8] {
        let end = self.ends.len().saturating_sub(1);
        let start = end.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..]
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.proofs.is_empty()
    }

    fn is_full(&self) -> bool {
        self.ends.len() >= RECORDS_PER_PART || self.bytes.len() >= PART_SIZE_BYTES
    }
}

/// Events that wait for their outcome. Those that were not come to when the client went away have
/// not been kept: he will send them again.
pub(super) struct Waiting<'c> {
    pub received: Received<'c>,
    pub site: SiteId,
    pub now_ms: i64,
}

impl Waiting<'_> {
    pub(super) fn settle_rest(&mut self, outcome: Outcome) {
        let open = self.received.open();
        if open > 0 {
            self.received.settle_many(self.site, outcome, open, self.now_ms);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.settle_rest(Outcome::UnavailableOverloaded);
    }
}

impl Collector {
    /// Takes the events of a body through the pipeline; `Err`: the request as a whole is refused.
    pub(super) async fn deliver<'h, 'e, E>(
        &self,
        head: &Head<'h>,
        parcel: &Parcel<'_, E>,
        peer: IpAddr,
        now_ms: i64,
    ) -> Result<Delivered<'h>, Answer>
    where
        E: Events<'e> + Sync + ?Sized,
    {
        let edge = &*self.edge;
        let app = &edge.app;
        let count = parcel.events.count();
        // A body without events tells a choice, which is a hit as well.
        let hits = count.max(1);
        let mut received = app.counters.receive(hits);
        let watched = app.live_tests.watch(&app.clock, || sighting(head, parcel));
        let Some(entry) = app.directory.current().by_key(parcel.key) else {
            received.settle_many(SiteId(0), Outcome::RejectedUnknownKey, hits, now_ms);
            watched.refused(&unknown_key());
            return Err(refusal(StatusCode::NOT_FOUND, &unknown_key(), Cors::Any));
        };
        let kind = match entry.pixel.kind {
            PixelKind::Server => RequestKind::Server,
            _ => RequestKind::Script,
        };
        let hit = head.hit(peer, &edge.trusted_proxies, kind, now_ms);
        let mut waiting = Waiting { received, site: entry.site.site.id, now_ms };
        if !edge.limiter.allows(parcel.key, hit.address.ip()) {
            waiting.settle_rest(Outcome::RejectedRateLimited);
            watched.refused(&rate_limited());
            let cors = cors_of(head, &entry);
            return Err(refusal(StatusCode::TOO_MANY_REQUESTS, &rate_limited(), cors));
        }
        let mut admission = app.ingest.admit(&hit, &entry, parcel.consent, parcel.telling);
        let cors = match admission.has_listed_origin() {
            true => Cors::Listed(head.origin()),
            false => Cors::Any,
        };
        if let Some(browser) = admission.withdrawn_memory() {
            Box::pin(self.forget_memory(&admission, browser)).await.map_err(|error| {
                let rejection = Rejection::new(Outcome::UnavailableOverloaded, error.message);
                watched.refused(&rejection);
                waiting.settle_rest(rejection.outcome);
                refusal(StatusCode::SERVICE_UNAVAILABLE, &rejection, cors)
            })?;
        }
        let terms = Terms {
            kind: entry.pixel.kind,
            currency: &entry.site.site.currency,
            received_at_ms: now_ms,
        };
        // Before its choice is proven: the proof is of whom it is about.
        if admission.is_new() && parcel.told.is_some() && may_cross(parcel.text) {
            for event in (0..count).filter_map(|at| parcel.events.event(at, &terms).ok()) {
                self.arrive(&mut admission, &event, now_ms);
            }
        }
        // Before the events: they rely on it.
        let proof = parcel.told.and_then(|told| self.note_choice(&admission, told));
        let of_choice = admission.outcome_of_choice();
        let misuse = misuse(head, parcel, entry.pixel.kind);
        let mut delivered =
            Delivered { accepted: 0, refused: Vec::new(), cookies: Vec::new(), cors, of_choice };
        let mut records = Records::default();
        let mut landings = Vec::new();
        let mut beside = None;
        for index in 0..count {
            let mut taken = match misuse {
                Some(misuse) => Err(misuse()),
                None => self.take_one(&mut admission, index, parcel, &terms, &mut records, None),
            };
            if let Ok(Taken::Landing(token)) = taken {
                let beside = *beside.get_or_insert_with(|| beside_in(&admission, parcel, &terms));
                let landing = self.landing(&admission, &token, beside, now_ms);
                let mut landing = Box::pin(landing).await;
                let told = Some(landing.as_deref_mut());
                taken = self.take_one(&mut admission, index, parcel, &terms, &mut records, told);
                landings.extend(landing.filter(|_| taken.is_ok()));
            }
            if let Err(rejection) = taken {
                waiting.received.settle(waiting.site, rejection.outcome, now_ms);
                if watched.is_watched() {
                    let event = parcel.events.event(index, &terms);
                    watched
                        .refused_event(event.as_ref().map_or("", |event| &event.name), &rejection);
                }
                delivered.refused.push((index, rejection));
            } else if watched.is_watched() {
                watched.admitted(records.last(), &admission);
            }
            let is_last = index + 1 == count;
            if !records.is_empty() && (is_last || records.is_full()) {
                let stored = self.store(&mut records, &mut waiting, &watched).await;
                delivered.accepted += stored.map_err(|rejection| {
                    watched.lost(&rejection);
                    lost(&rejection, &mut waiting, &admission, parcel.consent)
                })?;
            }
        }
        let proven = proven(proof).await;
        proven.map_err(|rejection| lost(&rejection, &mut waiting, &admission, parcel.consent))?;
        for landing in landings {
            Box::pin(self.confirm(&admission, &landing, now_ms)).await;
        }
        delivered.cookies = admission.set_cookies();
        if count == 0 {
            waiting.received.settle(waiting.site, of_choice, now_ms);
        }
        Ok(delivered)
    }

    /// `told`: what its address says of the link that led to it, once that was looked at.
    fn take_one<'e, E: Events<'e> + ?Sized>(
        &self,
        admission: &mut Admission<'_>,
        index: usize,
        parcel: &Parcel<'_, E>,
        terms: &Terms<'_>,
        records: &mut Records,
        told: Option<Option<&mut Landing>>,
    ) -> Result<Taken, Rejection> {
        let mut parsed = parcel.events.event(index, terms)?;
        if told.is_none() && parcel.told.is_some() {
            self.arrive(admission, &parsed, terms.received_at_ms);
        }
        match told {
            None if terms.kind != PixelKind::Server => {
                if let Some(token) = landing_token(&parsed) {
                    return Ok(Taken::Landing(token.to_owned()));
                }
            }
            Some(Some(landing)) => landing.tell(&mut parsed),
            _ => {}
        }
        let (bytes, taken) =
            admission.take(parsed, parcel.common, std::mem::take(&mut records.bytes));
        records.bytes = bytes;
        if let Some(heard) = admission.heard() {
            records.proofs.extend(self.note_heard(*heard, &admission.entry().site));
        }
        taken?;
        records.ends.push(records.bytes.len());
        Ok(Taken::Record)
    }

    /// Waits until records are durable: how many.
    async fn store(
        &self,
        records: &mut Records,
        waiting: &mut Waiting<'_>,
        watched: &Watched,
    ) -> Result<usize, Rejection> {
        let (app, site, now_ms) = (&self.edge.app, waiting.site, waiting.now_ms);
        let count = records.ends.len();
        let proofs = std::mem::take(&mut records.proofs);
        let mut kept = Ok(());
        if count > 0 {
            let append = self.appender.append(records.slices());
            let part = waiting.received.part(count);
            *records = Records::default();
            let mut handover = Handover::new(app, append, site, part, now_ms);
            kept = (&mut handover).await;
            if kept.is_ok() {
                watched.kept(app, handover.offsets.clone());
            }
        }
        for proof in proofs {
            kept = kept.and(proof.durable(&app.ingest).await);
        }
        kept.map(|()| count)
    }
}

/// The answer to a body that cannot be kept now. A refusal holds all the same.
fn lost(
    rejection: &Rejection,
    waiting: &mut Waiting<'_>,
    admission: &Admission<'_>,
    consent: SentConsent,
) -> Answer {
    waiting.settle_rest(rejection.outcome);
    let cors = match admission.has_listed_origin() {
        true => Cors::Listed(admission.hit().origin),
        false => Cors::Any,
    };
    let status = StatusCode::from_u16(status_of(rejection.outcome));
    let mut answer = refusal(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), rejection, cors);
    if is_refusal(&consent) {
        add_cookies(answer.headers_mut(), admission.set_cookies());
    }
    answer
}

/// Whether a body may have an address that a link between own domains led to.
fn may_cross(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.contains(LINK_PARAMETER))
}

/// What a live test knows the request by.
fn sighting<'s, E: ?Sized>(head: &Head<'s>, parcel: &Parcel<'s, E>) -> Sighting<'s> {
    Sighting {
        road: if head.origin().is_empty() { Road::Direct } else { Road::Script },
        key: parcel.key.into(),
        origin: if head.origin().is_empty() { head.referer() } else { head.origin() },
        texts: [parcel.text, b""],
    }
}

/// Why no event of the body may be taken: a server's secret where secrets must not be.
fn misuse<E: ?Sized>(
    head: &Head<'_>,
    parcel: &Parcel<'_, E>,
    kind: PixelKind,
) -> Option<fn() -> Rejection> {
    match kind {
        PixelKind::Server if !head.origin().is_empty() => Some(used_in_browser),
        PixelKind::Server if parcel.key_in_address => Some(secret_in_address),
        _ => None,
    }
}

pub(super) fn cors_of<'a>(head: &Head<'a>, entry: &PixelEntry) -> Cors<'a> {
    let host = origin_host(head.origin());
    match host.is_some_and(|host| is_listed(&entry.site.site, &host)) {
        true => Cors::Listed(head.origin()),
        false => Cors::Any,
    }
}

/// Whom the events of a body name, those behind a landing included.
fn beside_in<'e, E: Events<'e> + ?Sized>(
    admission: &Admission<'_>,
    parcel: &Parcel<'_, E>,
    terms: &Terms<'_>,
) -> Beside {
    let events = (0..parcel.events.count()).filter_map(|at| parcel.events.event(at, terms).ok());
    Beside::new(events.fold(NamedUser::Nobody, |named, event| admission.names(&event, named)))
}

/// What became of one event of a body.
enum Taken {
    /// It is among the records.
    Record,
    /// Not yet: its address has what one of our links told it, and that has to be looked at first.
    Landing(String),
}

/// The answer's body: what became of each event.
#[derive(Serialize)]
struct Report<'a> {
    /// Segment's word for an answer that needs no reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
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

/// Which answer reports a delivery.
pub(super) enum ReportShape {
    /// That of `POST /e`, with a word about the consent that was sent.
    Own(Option<&'static str>),
    /// Segment's.
    Segment,
}

impl Delivered<'_> {
    /// The answer, without cookies.
    pub(super) fn report(&self, shape: ReportShape) -> Answer {
        let is_duplicate =
            |(_, rejection): &&(usize, Rejection)| rejection.outcome == Outcome::Duplicate;
        let duplicate = self.refused.iter().filter(is_duplicate).count();
        let rejected = self.refused.iter().filter(|refused| !is_duplicate(refused));
        let rejected: Vec<Rejected<'_>> = rejected
            .map(|(index, rejection)| Rejected {
                index: *index,
                reason: rejection.outcome.name(),
                message: &rejection.message,
                field: &rejection.field,
            })
            .collect();
        let (status, success, consent) = match shape {
            ReportShape::Own(consent) => (StatusCode::ACCEPTED, None, consent),
            ReportShape::Segment => (StatusCode::OK, Some(rejected.is_empty()), None),
        };
        let report = Report { success, accepted: self.accepted, duplicate, rejected, consent };
        let mut outcomes = self.refused.iter().map(|(_, rejection)| rejection.outcome);
        let first = match self.accepted {
            0 => outcomes.next().unwrap_or(self.of_choice),
            _ => Outcome::Accepted,
        };
        let outcome = match outcomes.all(|outcome| outcome == first) {
            true => outcome_value(first),
            false => HeaderValue::from_static("mixed"),
        };
        let body = serde_json::to_vec(&report).unwrap_or_default();
        json(status, outcome, self.cors, body)
    }
}
