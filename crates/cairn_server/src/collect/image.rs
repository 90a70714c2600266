//! `GET /p.gif`.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use cairn_catalog::PixelEntry;
use cairn_engine::ingest::consent::SentConsent;
use cairn_engine::ingest::proof::Told;
use cairn_engine::ingest::query::{self, ImageQuery};
use cairn_engine::ingest::{Admission, Common, Hit, ParsedEvent, Rejection, Telling};
use cairn_engine::outcomes::Received;
use cairn_enrich::RequestKind;
use cairn_model::{Outcome, PixelKind, SiteId};
use http::request::Parts;
use http::{HeaderValue, Method, header};

use super::answer::{Answer, Cors, REASON, accepted_image, add_cookies, image, image_head};
use super::choice::{Proof, is_refusal, proven};
use super::delivery::Waiting;
use super::handover::Handover;
use super::landing::may_land;
use super::memory::holds_memory;
use super::request::Head;
use super::{Collector, rate_limited, secret_in_address, unknown_key};
use crate::live_test::{Road, Sighting, Watched};

/// Bytes that a record's buffer begins with: most records fit.
const RECORD_SIZE_BYTES: usize = 640;

/// The answer to a hit that is not kept; in a box, since few are refused and every step would have to carry it.
type Refused = Box<Unkept>;

/// The answer to a hit that is not kept, and the receipt of its choice if that has one.
struct Unkept {
    answer: Answer,
    proof: Option<Proof>,
}

impl Unkept {
    /// The answer, once the receipt is written: a refusal holds also where it cannot be.
    async fn answer(self: Box<Self>) -> Answer {
        let _ = proven(self.proof).await;
        self.answer
    }
}

/// An image request whose pixel is known.
struct Asked<'r> {
    entry: Arc<PixelEntry>,
    head: Head<'r>,
    key: Cow<'r, str>,
    now_ms: i64,
}

/// A hit that was handed to the log. What waits for the log is kept small: it is part of every connection.
struct Taken<'r> {
    handover: Handover<'r>,
    proof: Option<Proof>,
    watched: Watched,
    cookies: Vec<String>,
    cors: Cors<'r>,
    consent: SentConsent,
}

impl Collector {
    /// Answers an image request; always with the image. Asking only for the head is no hit.
    pub async fn image(&self, request: Parts, peer: IpAddr) -> Answer {
        if request.method == Method::HEAD {
            return image_head();
        }
        if withdraws(&request)
            && let Err(answer) = Box::pin(self.withdraw_by_image(&request, peer)).await
        {
            return answer;
        }
        if lands(&request) {
            // In a box: what is asked seldom must not make the state of every request larger.
            return Box::pin(self.image_of_landing(&request, peer)).await;
        }
        let taken = match self.take_image(&request, peer) {
            Ok(taken) => taken,
            Err(unkept) => return unkept.answer().await,
        };
        let (cors, consent) = (taken.cors, taken.consent);
        let cookies = match self.kept(taken).await {
            Ok(cookies) => cookies,
            Err(unkept) => return unkept.answer,
        };
        let answer = match cors {
            Cors::Listed(_) => image(Outcome::Accepted, None, cors),
            Cors::Any => accepted_image(request.headers),
        };
        accepted(answer, consent, cookies)
    }

    /// The same for a page that one of our links may have led to.
    async fn image_of_landing(&self, request: &Parts, peer: IpAddr) -> Answer {
        let mut received = self.edge.app.counters.receive(1);
        let (asked, watched) = match self.asked(request, &mut received) {
            Ok(asked) => asked,
            Err(unkept) => return unkept.answer,
        };
        // What follows may be given up, as long as it waits.
        let (site, now_ms) = (asked.entry.site.site.id, asked.now_ms);
        let mut waiting = Waiting { received, site, now_ms };
        let hit = asked.hit(self, peer);
        let (event, mut admission, consent) =
            match self.admit(request, &asked, &hit, (&mut waiting.received, &watched)) {
                Ok(admitted) => admitted,
                Err(unkept) => return unkept.answer,
            };
        self.arrive(&mut admission, &event, now_ms);
        let (event, landing) = self.with_landing(event, &admission, now_ms).await;
        let received = waiting.received.part(1);
        let taken =
            match self.hand_over(&asked, &mut admission, event, consent, (received, watched)) {
                Ok(taken) => taken,
                Err(unkept) => return unkept.answer().await,
            };
        let (cors, consent) = (taken.cors, taken.consent);
        let cookies = match self.kept(taken).await {
            Ok(cookies) => cookies,
            Err(unkept) => return unkept.answer,
        };
        if let Some(landing) = landing {
            self.confirm(&admission, &landing, asked.now_ms).await;
        }
        accepted(image(Outcome::Accepted, None, cors), consent, cookies)
    }

    /// Takes a hit through the pipeline; `Err`: the answer to one that is not kept.
    fn take_image<'r>(&'r self, request: &'r Parts, peer: IpAddr) -> Result<Taken<'r>, Refused> {
        let mut received = self.edge.app.counters.receive(1);
        let (asked, watched) = self.asked(request, &mut received)?;
        let hit = asked.hit(self, peer);
        let (event, mut admission, consent) =
            self.admit(request, &asked, &hit, (&mut received, &watched))?;
        self.arrive(&mut admission, &event, asked.now_ms);
        self.hand_over(&asked, &mut admission, event, consent, (received, watched))
    }

    /// Waits until the hit is durable: the cookies of the answer.
    async fn kept(&self, taken: Taken<'_>) -> Result<Vec<String>, Refused> {
        let Taken { mut handover, proof, watched, cookies, cors, consent } = taken;
        let mut kept = (&mut handover).await;
        match &kept {
            Ok(()) => watched.kept(&self.edge.app, handover.offsets.clone()),
            Err(rejection) => watched.lost(rejection),
        }
        if let Some(proof) = proof {
            kept = kept.and(proof.durable().await);
        }
        kept.map_err(|rejection| {
            let answer = image(rejection.outcome, Some(&rejection), cors);
            let cookies = if is_refusal(&consent) { cookies.clone() } else { Vec::new() };
            Box::new(Unkept { answer: accepted(answer, consent, cookies), proof: None })
        })
        .map(|()| cookies)
    }

    /// Finds the pixel.
    fn asked<'r>(
        &self,
        request: &'r Parts,
        received: &mut Received<'_>,
    ) -> Result<(Asked<'r>, Watched), Refused> {
        let app = &self.edge.app;
        let now_ms = app.now_ms(&request.headers);
        let watched = app.live_tests.watch(&app.clock, || sighting(request));
        let mut refused = |site: SiteId, rejection: &Rejection| {
            watched.refused(rejection);
            refused(received, site, rejection, Cors::Any, now_ms)
        };
        let key = match query::key(request.uri.query().unwrap_or("")) {
            Ok(key) if key.is_empty() => {
                return Err(refused(SiteId(0), &Rejection::malformed("key", "missing")));
            }
            Ok(key) => key,
            Err(broken) => return Err(refused(SiteId(0), &broken)),
        };
        let Some(entry) = app.directory.current().by_key(&key) else {
            return Err(refused(SiteId(0), &unknown_key()));
        };
        if entry.pixel.kind == PixelKind::Server {
            return Err(refused(entry.site.site.id, &secret_in_address()));
        }
        Ok((Asked { entry, head: Head::read(&request.headers), key, now_ms }, watched))
    }

    /// Reads the event and judges the request.
    fn admit<'a>(
        &'a self,
        request: &'a Parts,
        asked: &'a Asked<'a>,
        hit: &'a Hit<'a>,
        (received, watched): (&mut Received<'_>, &Watched),
    ) -> Result<(ParsedEvent<'a>, Admission<'a>, SentConsent), Refused> {
        let site = asked.entry.site.site.id;
        let mut refused = |rejection: &Rejection| {
            watched.refused(rejection);
            refused(received, site, rejection, Cors::Any, asked.now_ms)
        };
        if !self.edge.limiter.allows(&asked.key, hit.address.ip()) {
            return Err(refused(&rate_limited()));
        }
        let query = request.uri.query().unwrap_or("");
        let ImageQuery { event, consent } =
            query::image(query, asked.head.referer()).map_err(|rejection| refused(&rejection))?;
        let admission = self.edge.app.ingest.admit(hit, &asked.entry, consent, Telling::default());
        Ok((event, admission, consent))
    }

    /// Makes the record and hands it to the log.
    fn hand_over<'r>(
        &'r self,
        asked: &Asked<'r>,
        admission: &mut Admission<'_>,
        event: ParsedEvent<'_>,
        consent: SentConsent,
        (mut received, watched): (Received<'_>, Watched),
    ) -> Result<Taken<'r>, Refused> {
        let (site, now_ms) = (asked.entry.site.site.id, asked.now_ms);
        let cors = match admission.has_listed_origin() {
            true => Cors::Listed(asked.head.origin()),
            false => Cors::Any,
        };
        let proof = self.note_choice(admission, Told::default());
        let buffer = Vec::with_capacity(RECORD_SIZE_BYTES);
        let (record, taken) = admission.take(event, Common::default(), buffer);
        if let Err(rejection) = taken {
            watched.refused(&rejection);
            let mut unkept = refused(&mut received, site, &rejection, cors, now_ms);
            add_cookies(unkept.answer.headers_mut(), admission.set_cookies());
            unkept.proof = proof;
            return Err(unkept);
        }
        let append = self.appender.append([record.as_slice()]);
        watched.admitted(&record, admission);
        let cookies = admission.set_cookies();
        let handover = Handover::new(&self.edge.app, append, site, received, now_ms);
        Ok(Taken { handover, proof, watched, cookies, cors, consent })
    }
}

impl Asked<'_> {
    fn hit(&self, collector: &Collector, peer: IpAddr) -> Hit<'_> {
        self.head.hit(peer, &collector.edge.trusted_proxies, RequestKind::Image, self.now_ms)
    }
}

/// Whether the page may be one that a link of ours led to.
fn lands(request: &Parts) -> bool {
    let referer = request.headers.get(header::REFERER).and_then(|value| value.to_str().ok());
    may_land(request.uri.query().unwrap_or("")) || may_land(referer.unwrap_or(""))
}

/// Whether it may end a memory: by what it says, by what is on record, or by an opt-out.
fn withdraws(request: &Parts) -> bool {
    request.headers.get_all(header::COOKIE).iter().any(|sent| holds_memory(sent.as_bytes()))
}

fn refused(
    received: &mut Received<'_>,
    site: SiteId,
    rejection: &Rejection,
    cors: Cors<'_>,
    now_ms: i64,
) -> Refused {
    received.settle(site, rejection.outcome, now_ms);
    Box::new(Unkept { answer: image(rejection.outcome, Some(rejection), cors), proof: None })
}

fn accepted(mut answer: Answer, consent: SentConsent, cookies: Vec<String>) -> Answer {
    if let Some(message) = consent.complaint() {
        answer.headers_mut().insert(REASON, HeaderValue::from_static(message));
    }
    add_cookies(answer.headers_mut(), cookies);
    answer
}

/// What a live test knows the request by.
fn sighting(request: &Parts) -> Sighting<'_> {
    let text = |name| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let query = request.uri.query().unwrap_or("");
    let (origin, referer) = (text(header::ORIGIN), text(header::REFERER));
    Sighting {
        road: Road::Image,
        key: query::key(query).unwrap_or_default(),
        origin: if origin.is_empty() { referer } else { origin },
        texts: [query.as_bytes(), referer.as_bytes()],
    }
}
