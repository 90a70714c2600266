//! `GET /p.gif`.

use std::net::IpAddr;

use cairn_engine::ingest::consent::{SentConsent, UNSUPPORTED_MESSAGE};
use cairn_engine::ingest::query::{self, ImageQuery};
use cairn_engine::ingest::{Common, Rejection};
use cairn_engine::outcomes::Received;
use cairn_enrich::RequestKind;
use cairn_model::{Outcome, PixelKind, SiteId};
use http::request::Parts;
use http::{HeaderValue, Method};

use super::answer::{Answer, Cors, REASON, accepted_image, add_cookies, image, image_head};
use super::handover::Handover;
use super::request::Head;
use super::{Collector, rate_limited, secret_in_address, unknown_key};

/// Bytes that a record's buffer begins with: most records fit.
const RECORD_SIZE_BYTES: usize = 640;

/// A hit that was handed to the log. What waits for the log is kept small: it is part of every connection.
struct Taken<'r> {
    handover: Handover<'r>,
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
        let Taken { handover, cookies, cors, consent } = match self.take_image(&request, peer) {
            Ok(taken) => taken,
            Err(answer) => return answer,
        };
        if let Err(rejection) = handover.await {
            return image(rejection.outcome, Some(&rejection), cors);
        }
        let mut answer = match cors {
            Cors::Listed(_) => image(Outcome::Accepted, None, cors),
            Cors::Any => accepted_image(request.headers),
        };
        if consent == SentConsent::Unsupported {
            let message = HeaderValue::from_static(UNSUPPORTED_MESSAGE);
            answer.headers_mut().insert(REASON, message);
        }
        add_cookies(answer.headers_mut(), cookies);
        answer
    }

    /// Takes a hit through the pipeline; `Err`: the answer to one that is not kept.
    fn take_image<'r>(&'r self, request: &'r Parts, peer: IpAddr) -> Result<Taken<'r>, Answer> {
        let edge = &*self.edge;
        let app = &edge.app;
        let now_ms = app.now_ms(&request.headers);
        let mut received = app.counters.receive(1);
        let query = request.uri.query().unwrap_or("");
        let refused =
            |received: &mut Received<'_>, site: SiteId, rejection: &Rejection, cors: Cors<'_>| {
                received.settle(site, rejection.outcome, now_ms);
                image(rejection.outcome, Some(rejection), cors)
            };
        let key = match query::key(query) {
            Ok(key) if key.is_empty() => {
                let missing = Rejection::malformed("key", "missing");
                return Err(refused(&mut received, SiteId(0), &missing, Cors::Any));
            }
            Ok(key) => key,
            Err(broken) => return Err(refused(&mut received, SiteId(0), &broken, Cors::Any)),
        };
        let Some(entry) = app.directory.current().by_key(&key) else {
            return Err(refused(&mut received, SiteId(0), &unknown_key(), Cors::Any));
        };
        let site = entry.site.site.id;
        let head = Head::read(&request.headers);
        if entry.pixel.kind == PixelKind::Server {
            return Err(refused(&mut received, site, &secret_in_address(), Cors::Any));
        }
        let hit = head.hit(peer, &edge.trusted_proxies, RequestKind::Image, now_ms);
        if !edge.limiter.allows(&key, hit.address.ip()) {
            return Err(refused(&mut received, site, &rate_limited(), Cors::Any));
        }
        let ImageQuery { event, consent } = query::image(query, head.referer())
            .map_err(|rejection| refused(&mut received, site, &rejection, Cors::Any))?;
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
            return Err(answer);
        }
        let append = self.appender.append([record.as_slice()]);
        let cookies = admission.set_cookies();
        let handover = Handover::new(app, append, site, received, now_ms);
        Ok(Taken { handover, cookies, cors, consent })
    }
}
