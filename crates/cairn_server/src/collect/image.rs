//! `GET /p.gif`.

use std::net::IpAddr;

use cairn_engine::ingest::consent::{SentConsent, UNSUPPORTED_MESSAGE};
use cairn_engine::ingest::query::{self, ImageQuery};
use cairn_engine::ingest::{Common, Rejection};
use cairn_enrich::RequestKind;
use cairn_model::{Outcome, PixelKind, SiteId};
use http::request::Parts;
use http::{HeaderValue, Method, header};

use super::answer::{Answer, Cors, REASON, add_cookies, image, image_head};
use super::handover::Handover;
use super::request::Head;
use super::{Collector, rate_limited, secret_in_address, unknown_key};
use crate::live_test::{Road, Sighting};

/// Bytes that a record's buffer begins with: most records fit.
const RECORD_SIZE_BYTES: usize = 640;

impl Collector {
    /// Answers an image request; always with the image. Asking only for the head is no hit.
    pub async fn image(&self, request: &Parts, peer: IpAddr) -> Answer {
        if request.method == Method::HEAD {
            return image_head();
        }
        let edge = &*self.edge;
        let app = &edge.app;
        let now_ms = self.edge.app.now_ms(&request.headers);
        let mut received = app.counters.receive(1);
        let query = request.uri.query().unwrap_or("");
        let watched = app.live_tests.watch(&app.clock, || sighting(request));
        let refused = |received: &mut cairn_engine::outcomes::Received<'_>,
                       site: SiteId,
                       rejection: &Rejection,
                       cors: Cors<'_>| {
            received.settle(site, rejection.outcome, now_ms);
            watched.refused(rejection);
            image(rejection.outcome, Some(rejection), cors)
        };
        let key = match query::key(query) {
            Ok(key) if key.is_empty() => {
                let missing = Rejection::malformed("key", "missing");
                return refused(&mut received, SiteId(0), &missing, Cors::Any);
            }
            Ok(key) => key,
            Err(broken) => return refused(&mut received, SiteId(0), &broken, Cors::Any),
        };
        let Some(entry) = self.edge.app.directory.current().by_key(&key) else {
            return refused(&mut received, SiteId(0), &unknown_key(), Cors::Any);
        };
        let site = entry.site.site.id;
        let head = Head::read(&request.headers);
        if entry.pixel.kind == PixelKind::Server {
            return refused(&mut received, site, &secret_in_address(), Cors::Any);
        }
        let hit = head.hit(peer, &edge.trusted_proxies, RequestKind::Image, now_ms);
        if !edge.limiter.allows(&key, hit.address.ip()) {
            return refused(&mut received, site, &rate_limited(), Cors::Any);
        }
        let ImageQuery { event, consent } = match query::image(query, head.referer()) {
            Ok(read) => read,
            Err(rejection) => return refused(&mut received, site, &rejection, Cors::Any),
        };
        let mut admission = app.ingest.admit(&hit, &entry, consent, false);
        let cors = match admission.has_listed_origin() {
            true => Cors::Listed(head.origin()),
            false => Cors::Any,
        };
        let buffer = Vec::with_capacity(RECORD_SIZE_BYTES);
        let (record, taken) = admission.take(event, Common::default(), buffer);
        if let Err(rejection) = taken {
            let mut answer = refused(&mut received, site, &rejection, cors);
            add_cookies(answer.headers_mut(), admission.set_cookies());
            return answer;
        }
        let append = self.appender.append([record.as_slice()]);
        watched.admitted(&record, &admission);
        drop(record);
        let cookies = admission.set_cookies();
        let mut handover = Handover::new(&self.edge.app, append, site, received, now_ms);
        match (&mut handover).await {
            Ok(()) => {
                watched.kept(app, handover.offsets.clone());
                let mut answer = image(Outcome::Accepted, None, cors);
                if consent == SentConsent::Unsupported {
                    let message = HeaderValue::from_static(UNSUPPORTED_MESSAGE);
                    answer.headers_mut().insert(REASON, message);
                }
                add_cookies(answer.headers_mut(), cookies);
                answer
            }
            Err(rejection) => {
                watched.lost(&rejection);
                image(rejection.outcome, Some(&rejection), cors)
            }
        }
    }
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
