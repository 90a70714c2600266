//! `GET /i/TOKEN.gif`, `GET /i/TOKEN.js` and the link of an advertisement.
//!
//! Guarantees: an image is answered with the image, whatever its token, and a link leads to its signed target whatever its
//! address says besides. No cookie is set. `HEAD` and requests ahead of the reader count nothing. The script is the same
//! for everybody and asks nothing of the page it runs in.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use cairn_catalog::SiteEntry;
use cairn_engine::ingest::ad::request::AdRequest;
use cairn_engine::ingest::ad::{AdAct, AdHit, JudgedAd};
use cairn_engine::ingest::{Hit, Rejection};
use cairn_engine::token::{Token, TokenFault, TokenKind};
use cairn_enrich::RequestKind;
use cairn_enrich::ad::AdTraces;
use cairn_enrich::mail::SenderClass;
use cairn_model::{Outcome, SiteId};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::answer::{Answer, Cors, image, image_head, whole};
use super::delivery::Waiting;
use super::handover::Handover;
use super::mail::{Kept, RECORD_SIZE_BYTES, expired, sender};
use super::request::Head;
use super::{Collector, rate_limited, unknown_key};

/// The script that watches an advertisement until half of it was in view for a second.
const VIEWABLE_SCRIPT: &str = include_str!("viewable.js");

/// A valid token, and what came with it.
pub(super) struct AdFetch<'a> {
    pub hit: &'a Hit<'a>,
    pub site: &'a Arc<SiteEntry>,
    pub token: &'a Token,
    pub act: AdAct,
    pub query: &'a str,
    pub traces: AdTraces,
    pub now_ms: i64,
}

impl Collector {
    /// Answers the image, or the script, of an advertisement.
    pub async fn ad_image(&self, request: &Parts, peer: IpAddr) -> Answer {
        let text = request.uri.path().strip_prefix("/i/").unwrap_or("");
        if text.ends_with(".js") {
            return viewable_script();
        }
        let edge = &*self.edge;
        let app = &edge.app;
        let now_ms = app.now_ms(&request.headers);
        let head = Head::read(&request.headers);
        let hit = head.hit(peer, &edge.trusted_proxies, RequestKind::Image, now_ms);
        if request.method != Method::GET || !hit.agent.headers.purpose.is_empty() {
            return image_head();
        }
        let text = text.strip_suffix(".gif").unwrap_or(text);
        let read = edge.tokens.open(TokenKind::Impression, text, now_ms);
        let (token, fault) = match read {
            Ok(token) => (Some(token), None),
            Err(TokenFault::Expired(token)) => (Some(*token), Some(expired())),
            Err(TokenFault::Foreign) => (None, Some(unknown_key())),
        };
        let site = token.as_ref().and_then(|token| self.site_of(token));
        let known = token.as_ref().zip(site.as_ref());
        let query = request.uri.query().unwrap_or("");
        let fault = if known.is_none() { Some(unknown_key()) } else { fault };
        let outcome = match (known, fault) {
            (Some((token, site)), None) => {
                let act = match AdRequest::read(query).is_view {
                    true => AdAct::View,
                    false => AdAct::Impression,
                };
                let traces = AdTraces::default();
                let fetch = AdFetch { hit: &hit, site, token, act, query, traces, now_ms };
                if act == AdAct::Impression {
                    edge.recent_ads.shown(&sender(&hit, token), now_ms);
                }
                self.keep_ad(&fetch).await.outcome
            }
            (known, fault) => {
                let outcome = fault.unwrap_or_else(unknown_key).outcome;
                let site_id = known.map_or(SiteId(0), |(token, _)| token.site_id);
                app.counters.receive(1).settle(site_id, outcome, now_ms);
                outcome
            }
        };
        image(outcome, None, Cors::Any)
    }

    /// From a valid token to a durable record.
    pub(super) async fn keep_ad(&self, fetch: &AdFetch<'_>) -> Kept {
        let Some(ad) = fetch.token.claims.ad.as_deref() else {
            return Kept { outcome: unknown_key().outcome, click: None };
        };
        let request = AdRequest::read(fetch.query);
        let ad = AdHit {
            act: fetch.act,
            claims: &fetch.token.claims,
            ad,
            request: &request,
            traces: fetch.traces,
        };
        let stored = self.store_ad(fetch, &ad).await;
        let outcome =
            stored.as_ref().map_or_else(|rejection| rejection.outcome, |_| Outcome::Accepted);
        let judged = match stored {
            Ok(judged) => Some(judged),
            // Somebody who follows a link again goes on as before; he is only not counted again.
            Err(rejection) if rejection.outcome == Outcome::Duplicate => {
                self.edge.app.ingest.judge_ad(fetch.hit, fetch.site, &ad).ok()
            }
            Err(_) => None,
        };
        let is_machine = |judged: &JudgedAd| judged.verdict.class == SenderClass::Machine;
        let click = judged.filter(|judged| fetch.act == AdAct::Click && !is_machine(judged));
        let click = click.and_then(|judged| {
            let was_human = judged.verdict.class == SenderClass::Human;
            let mut click = super::landing::click_of(fetch.token, was_human, fetch.now_ms)?;
            click.counted = outcome == Outcome::Accepted;
            click.visitor = judged.visitor.unwrap_or_default().0.to_le_bytes();
            click.creative = or_signed(&ad.ad.creative, &request.creative);
            click.placement = or_signed(&ad.ad.placement, &request.placement);
            Some(click)
        });
        Kept { outcome, click }
    }

    async fn store_ad(&self, fetch: &AdFetch<'_>, ad: &AdHit<'_>) -> Result<JudgedAd, Rejection> {
        let (edge, site_id, now_ms) = (&*self.edge, fetch.token.site_id, fetch.now_ms);
        let app = &edge.app;
        let mut waiting = Waiting { received: app.counters.receive(1), site: site_id, now_ms };
        let watched = self.watch_mail(fetch.site, fetch.token);
        let message = format!("{:032x}", u128::from_be_bytes(fetch.token.claims.message));
        if !edge.limiter.allows(&message, fetch.hit.address.ip()) {
            waiting.settle_rest(Outcome::RejectedRateLimited);
            watched.refused(&rate_limited());
            return Err(rate_limited());
        }
        // Before the event: it relies on it.
        let heard = app.ingest.hear_ad(fetch.hit, fetch.site, ad);
        let proof = heard.and_then(|heard| self.note_heard(heard, fetch.site));
        let buffer = Vec::with_capacity(RECORD_SIZE_BYTES);
        let (record, taken) = app.ingest.take_ad(fetch.hit, fetch.site, ad, buffer);
        let judged = match taken {
            Ok(judged) => judged,
            Err(rejection) => {
                waiting.settle_rest(rejection.outcome);
                watched.refused(&rejection);
                if let Some(proof) = proof {
                    proof.durable(&app.ingest).await?;
                }
                return Err(rejection);
            }
        };
        let append = self.appender.append([record.as_slice()]);
        watched.admitted_mail(&record);
        drop(record);
        let mut handover = Handover::new(app, append, site_id, waiting.received.part(1), now_ms);
        let mut kept = (&mut handover).await;
        match &kept {
            Ok(()) => watched.kept(app, handover.offsets.clone()),
            Err(rejection) => watched.lost(rejection),
        }
        if let Some(proof) = proof {
            kept = kept.and(proof.durable(&app.ingest).await);
        }
        kept.map(|()| judged)
    }
}

fn or_signed(signed: &str, told: &str) -> String {
    if signed.is_empty() { told.to_owned() } else { signed.to_owned() }
}

/// The same bytes for every token, so nothing can be learned by asking.
fn viewable_script() -> Answer {
    let mut headers = HeaderMap::with_capacity(6);
    let corp = HeaderName::from_static("cross-origin-resource-policy");
    for (name, value) in [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (corp, "cross-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    whole(StatusCode::OK, headers, Bytes::from_static(VIEWABLE_SCRIPT.as_bytes()))
}
