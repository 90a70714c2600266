//! `GET /o/TOKEN.gif` and `GET /l/TOKEN`: opens of mails, and clicks of mails, links and advertisements.
//!
//! Guarantees: a link leads to the address that was signed, and nowhere else: no value of the request chooses or changes
//! it. An image is answered with the image, whatever its token. A person is sent on even where nothing may or can be kept.
//! No cookie is set. `HEAD` and requests ahead of the reader are answered alike and count nothing.

use std::net::IpAddr;

use bytes::Bytes;
use cairn_catalog::SiteEntry;
use cairn_engine::ingest::ad::AdAct;
use cairn_engine::ingest::mail::{JudgedMail, MailHit, MailPermission};
use cairn_engine::ingest::traces::Sender;
use cairn_engine::ingest::{Hit, Rejection};
use cairn_engine::token::click::ClickClaims;
use cairn_engine::token::{Token, TokenFault, TokenKind};
use cairn_enrich::RequestKind;
use cairn_enrich::ad::AdTraces;
use cairn_enrich::mail::{MailAct, MailTraces, SenderClass};
use cairn_model::{Outcome, SiteId};
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};

use super::ad::AdFetch;
use super::answer::{Answer, Cors, headers, image, image_head, outcome_value, whole};
use super::delivery::Waiting;
use super::handover::Handover;
use super::landing::click_of;
use super::request::Head;
use super::{Collector, rate_limited, unknown_key};
use crate::auth::blocking;
use crate::error::{ApiError, Code};
use crate::live_test::{Road, Sighting, Watched};

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
/// Bytes that a record's buffer begins with.
pub(super) const RECORD_SIZE_BYTES: usize = 640;

/// What became of a fetched image or a followed link.
struct Outcomes {
    outcome: Option<Outcome>,
    /// Where a link leads.
    target: Option<String>,
}

/// What became of a request with a valid token.
pub(super) struct Kept {
    pub outcome: Outcome,
    /// What the landing page of a click may know; `None`: nothing was clicked, or by a machine, or nothing may be kept.
    pub click: Option<ClickClaims>,
}

impl Collector {
    /// Answers the image of a mail.
    pub async fn mail_open(&self, request: &Parts, peer: IpAddr) -> Answer {
        let text = request.uri.path().strip_prefix("/o/").unwrap_or("");
        let text = text.strip_suffix(".gif").unwrap_or(text);
        let done = self.mail(request, peer, MailAct::Open, text).await;
        match done.outcome {
            Some(outcome) => image(outcome, None, Cors::Any),
            None => image_head(),
        }
    }

    /// Answers a link of a mail.
    pub async fn mail_click(&self, request: &Parts, peer: IpAddr) -> Answer {
        let text = request.uri.path().strip_prefix("/l/").unwrap_or("");
        let done = self.mail(request, peer, MailAct::Click, text).await;
        // Targets were checked when they were signed; what a header cannot hold is not sent.
        let location = done.target.and_then(|target| HeaderValue::try_from(target).ok());
        let outcome = done.outcome.unwrap_or(Outcome::Accepted);
        let mut fields = headers(outcome_value(outcome), Cors::Any);
        if done.outcome.is_none() {
            fields.remove(super::answer::OUTCOME);
        }
        fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        fields.insert(ROBOTS, HeaderValue::from_static("noindex, nofollow"));
        let Some(location) = location else {
            let error = ApiError::new(Code::NotFound, "This link leads nowhere.");
            let body = serde_json::to_vec(&error.body()).unwrap_or_default();
            fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            return whole(StatusCode::NOT_FOUND, fields, Bytes::from(body));
        };
        fields.insert(header::LOCATION, location);
        whole(StatusCode::FOUND, fields, Bytes::new())
    }

    async fn mail(&self, request: &Parts, peer: IpAddr, act: MailAct, text: &str) -> Outcomes {
        let edge = &*self.edge;
        let app = &edge.app;
        let now_ms = app.now_ms(&request.headers);
        let head = Head::read(&request.headers);
        let hit = head.hit(peer, &edge.trusted_proxies, RequestKind::Image, now_ms);
        let counts = request.method == Method::GET && hit.agent.headers.purpose.is_empty();
        let kind = match act {
            MailAct::Open => TokenKind::Open,
            MailAct::Click => TokenKind::Click,
        };
        let read = edge.tokens.open(kind, text, now_ms);
        let (token, fault) = match read {
            Ok(token) => (Some(token), None),
            Err(TokenFault::Expired(token)) => (Some(*token), Some(expired())),
            Err(TokenFault::Foreign) => (None, Some(unknown_key())),
        };
        let site = token.as_ref().and_then(|token| self.site_of(token));
        let known = token.as_ref().zip(site.as_ref());
        // A site that is gone takes its links with it.
        let link = known.and_then(|(token, _)| token.claims.link.as_ref());
        let mut target = link.map(|link| link.target.clone());
        if !counts {
            if let Some((token, _)) = known {
                self.note_head(request, &hit, token, now_ms);
            }
            return Outcomes { outcome: None, target };
        }
        let fault = if known.is_none() { Some(unknown_key()) } else { fault };
        let outcome = match (known, fault) {
            (Some((token, site)), None) => {
                let kept = match token.claims.ad {
                    None => self.keep_mail(&hit, site, token, act, now_ms).await,
                    Some(_) => {
                        let query = request.uri.query().unwrap_or("");
                        self.keep_ad(&AdFetch {
                            traces: self.notes_ad_click(&hit, token, now_ms),
                            act: AdAct::Click,
                            hit: &hit,
                            site,
                            token,
                            query,
                            now_ms,
                        })
                        .await
                    }
                };
                let landing = kept.click.and_then(|click| self.landing_target(site, token, &click));
                target = landing.or(target);
                kept.outcome
            }
            (known, fault) => {
                let outcome = fault.unwrap_or_else(unknown_key).outcome;
                if let Some((token, site)) = known {
                    self.watch_mail(site, token).refused(&expired());
                }
                let site_id = known.map_or(SiteId(0), |(token, _)| token.site_id);
                app.counters.receive(1).settle(site_id, outcome, now_ms);
                outcome
            }
        };
        Outcomes { outcome: Some(outcome), target }
    }

    /// The site of a token, unless it or the pixel is gone.
    pub(super) fn site_of(&self, token: &Token) -> Option<std::sync::Arc<SiteEntry>> {
        let site = self.edge.app.directory.current().by_id(token.site_id)?;
        let pixel_id = token.claims.pixel_id;
        let is_there = pixel_id.0 == 0 || site.pixels.iter().any(|pixel| pixel.id == pixel_id);
        is_there.then_some(site)
    }

    fn note_head(&self, request: &Parts, hit: &Hit<'_>, token: &Token, now_ms: i64) {
        if let Some(link) = &token.claims.link
            && request.method == Method::HEAD
        {
            let recent = match token.claims.ad {
                None => &self.edge.recent_mail,
                Some(_) => &self.edge.recent_ads,
            };
            recent.head(&sender(hit, token), link.number, now_ms);
        }
    }

    /// From a valid token of a mail or a link to a durable record.
    async fn keep_mail(
        &self,
        hit: &Hit<'_>,
        site: &SiteEntry,
        token: &Token,
        act: MailAct,
        now_ms: i64,
    ) -> Kept {
        let mut judged = None;
        let stored = self.store_mail(hit, site, token, act, now_ms, &mut judged).await;
        let outcome = stored.map_or_else(|rejection| rejection.outcome, |()| Outcome::Accepted);
        let is_kept = matches!(outcome, Outcome::Accepted | Outcome::Duplicate);
        let click = judged.filter(|judged| {
            is_kept && act == MailAct::Click && judged.verdict.class != SenderClass::Machine
        });
        let click = click.and_then(|judged| {
            let was_human = judged.verdict.class == SenderClass::Human;
            let mut click = click_of(token, was_human, now_ms)?;
            click.counted = outcome == Outcome::Accepted;
            if judged.is_recipients {
                click.recipient = token.claims.recipient;
            }
            Some(click)
        });
        Kept { outcome, click }
    }

    /// Notes a click for the signs that one request alone does not show.
    fn notes_click(&self, hit: &Hit<'_>, token: &Token, now_ms: i64) -> MailTraces {
        match &token.claims.link {
            Some(link) => self.edge.recent_mail.click(&sender(hit, token), link.number, now_ms),
            None => self.edge.recent_mail.open(&sender(hit, token), now_ms),
        }
    }

    fn notes_ad_click(&self, hit: &Hit<'_>, token: &Token, now_ms: i64) -> AdTraces {
        let number = token.claims.link.as_ref().map_or(0, |link| link.number);
        self.edge.recent_ads.ad_click(&sender(hit, token), number, now_ms)
    }

    async fn store_mail(
        &self,
        hit: &Hit<'_>,
        site: &SiteEntry,
        token: &Token,
        act: MailAct,
        now_ms: i64,
        judged: &mut Option<JudgedMail>,
    ) -> Result<(), Rejection> {
        let (edge, site_id) = (&*self.edge, token.site_id);
        let app = &edge.app;
        let received = app.counters.receive(1);
        let mut waiting = Waiting { received, site: site_id, now_ms };
        let watched = self.watch_mail(site, token);
        // Many readers share a proxy's address: the mail and the address together are one sender.
        let mail = format!("{:032x}", u128::from_be_bytes(token.claims.message));
        if !edge.limiter.allows(&mail, hit.address.ip()) {
            waiting.settle_rest(Outcome::RejectedRateLimited);
            watched.refused(&rate_limited());
            return Err(rate_limited());
        }
        let traces = self.notes_click(hit, token, now_ms);
        let permission = match self.permission(token, act).await {
            Ok(permission) => permission,
            Err(rejection) => {
                waiting.settle_rest(rejection.outcome);
                return Err(rejection);
            }
        };
        let mail = MailHit { act, claims: &token.claims, permission: &permission, traces };
        let buffer = Vec::with_capacity(RECORD_SIZE_BYTES);
        let (record, taken) = app.ingest.take_mail(hit, site, &mail, buffer);
        match taken {
            Ok(found) => *judged = Some(found),
            Err(rejection) => {
                waiting.settle_rest(rejection.outcome);
                watched.refused(&rejection);
                // Somebody who follows a link again goes on as before; he is only not counted again.
                if rejection.outcome == Outcome::Duplicate {
                    *judged = app.ingest.judge_mail(hit, site, &mail).ok();
                }
                return Err(rejection);
            }
        }
        let append = self.appender.append([record.as_slice()]);
        watched.admitted_mail(&record);
        drop(record);
        let mut handover = Handover::new(app, append, site_id, waiting.received.part(1), now_ms);
        let kept = (&mut handover).await;
        match &kept {
            Ok(()) => watched.kept(app, handover.offsets.clone()),
            Err(rejection) => watched.lost(rejection),
        }
        kept
    }

    /// The live tests of the token's pixel.
    pub(super) fn watch_mail(&self, site: &SiteEntry, token: &Token) -> Watched {
        self.edge.app.live_tests.watch(&self.edge.app.clock, || {
            let pixel_id = token.claims.pixel_id;
            let pixel = site.pixels.iter().find(|pixel| pixel.id == pixel_id);
            Sighting {
                road: Road::Signed,
                key: pixel.map_or("", |pixel| pixel.key.as_str()).into(),
                origin: "",
                texts: [b"", b""],
            }
        })
    }

    /// What the recipient says now, whatever he said when the mail was sent.
    async fn permission(&self, token: &Token, act: MailAct) -> Result<MailPermission, Rejection> {
        let (site_id, user_key) = (token.site_id, token.claims.user_key());
        if user_key == 0 {
            return Ok(MailPermission::Nobody);
        }
        let found =
            blocking(&self.edge.app, move |catalog| catalog.mail_recipient(site_id, user_key));
        let recipient = found.await.map_err(|_| {
            Rejection::new(Outcome::UnavailableLogFull, "permissions cannot be read")
        })?;
        let choice = match act {
            MailAct::Open => recipient.choices.opens,
            MailAct::Click => recipient.choices.clicks,
        };
        Ok(match choice {
            Some(false) => MailPermission::Withdrawn,
            Some(true) if !recipient.user_id.is_empty() => {
                MailPermission::Granted(recipient.user_id)
            }
            _ => MailPermission::Nobody,
        })
    }
}

pub(super) fn sender<'a>(hit: &'a Hit<'_>, token: &'a Token) -> Sender<'a> {
    Sender {
        message: &token.claims.message,
        shared: token.claims.shared,
        ip: hit.address.ip(),
        user_agent: hit.agent.user_agent,
    }
}

pub(super) fn expired() -> Rejection {
    Rejection::new(Outcome::RejectedTooOld, "the token has expired")
}
