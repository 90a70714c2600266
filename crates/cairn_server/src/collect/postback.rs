//! `GET` and `POST /postback`: conversions that a server reports, with the secret key of a server pixel.
//!
//! Guarantees: the answer says what became of the conversion, and names the field at fault. A browser is refused: the key
//! is no secret any more where one sends it. Nothing of the address is logged or repeated. A conversion has the campaign of
//! the click that it names, and its person only where that was permitted when the click was made and still is, as far as
//! this server can know. A click's permission is its own person's: it serves nobody else whom a postback names.

use std::net::IpAddr;

use bytes::Bytes;
use cairn_engine::ingest::ParsedEvent;
use cairn_engine::ingest::consent::SentConsent;
use cairn_engine::ingest::envelope::status_of;
use cairn_engine::ingest::formats::{Events, Terms};
use cairn_engine::ingest::landing::conversion;
use cairn_engine::ingest::postback::{self, Postback};
use cairn_engine::ingest::{Common, Rejection, Telling};
use cairn_engine::token::click::ClickClaims;
use cairn_model::{Choice, Outcome, PixelKind, SiteId, VisitorId};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use hyper::body::Body;
use serde::Serialize;
use tokio::time::Instant;

use super::answer::{Answer, Cors, json, outcome_value, refusal};
use super::delivery::{Delivered, Parcel};
use super::events::readable;
use super::formats::user_name;
use super::landing::ANSWER_WAIT;
use super::request::Head;
use super::{Collector, unknown_key, used_in_browser};
use crate::auth::blocking;
use crate::live_test::{Road, Sighting};

/// What is known of the click that a conversion names.
enum Click {
    /// It names none.
    None,
    /// It was given out here, and its time is not over.
    Known(Box<ClickClaims>),
    /// It was given out here, too long ago.
    Expired,
    /// It was not given out here.
    Foreign,
}

/// A conversion with its click.
struct Conversion<'a> {
    postback: Postback<'a>,
    click: Click,
    /// The recipient whose click it is; empty = nobody in particular.
    user_id: String,
    /// An opt-out of the click's browser or recipient is on record.
    is_opted_out: bool,
}

impl<'a> Events<'a> for Conversion<'a> {
    fn count(&self) -> usize {
        1
    }

    fn event(&self, index: usize, terms: &Terms<'_>) -> Result<ParsedEvent<'a>, Rejection> {
        let event = self.postback.event(index, terms)?;
        match &self.click {
            Click::Foreign => Err(self.postback.refused_click_id()),
            Click::Known(_) if self.is_opted_out => {
                let message = "an opt-out or an erasure of the click's person is on record";
                Err(Rejection::new(Outcome::DroppedOptedOut, message))
            }
            Click::Known(claims) => Ok(conversion(event, claims, &self.user_id)),
            Click::None | Click::Expired => Ok(event),
        }
    }
}

/// The answer's body.
#[derive(Serialize)]
struct Report {
    outcome: &'static str,
    /// `known`, `expired` or null: none was named.
    click: Option<&'static str>,
}

impl Collector {
    /// Answers a postback.
    pub async fn postback<B>(&self, request: &Parts, body: B, peer: IpAddr) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let now_ms = self.edge.app.now_ms(&request.headers);
        let head = Head::read(&request.headers);
        let body = match request.method {
            Method::POST => readable(&head, body).await,
            _ => Ok(Bytes::new()),
        };
        let body = match body {
            Ok(body) => body,
            Err((status, rejection)) => {
                self.count_one(&rejection, now_ms);
                return refusal(status, &rejection, Cors::Any);
            }
        };
        let read = postback::read(request.uri.query().unwrap_or(""), &body);
        let mut postback = match read {
            Ok(postback) => postback,
            Err(broken) => return self.broken(&broken, now_ms),
        };
        if postback.key.is_empty() {
            postback.key = key_of(&request.headers).into();
        }
        let consent = match self.refused(request, &postback) {
            Ok(consent) => consent,
            Err((site, rejection)) => {
                let app = &self.edge.app;
                let sighting = || Sighting {
                    road: Road::Direct,
                    key: postback.key.clone(),
                    origin: "",
                    texts: [b"", b""],
                };
                app.live_tests.watch(&app.clock, sighting).refused(&rejection);
                let mut received = app.counters.receive(1);
                received.settle(site, rejection.outcome, now_ms);
                return refused(&rejection);
            }
        };
        let mut conversion = self.with_click(postback, now_ms).await;
        let consent = self.with_permission(consent, &mut conversion, now_ms).await;
        let key = conversion.postback.key.to_string();
        let parcel = Parcel {
            key: &key,
            key_in_address: false,
            text: b"",
            events: &conversion,
            consent,
            telling: Telling::default(),
            told: None,
            common: Common::default(),
        };
        match self.deliver(&head, &parcel, peer, now_ms).await {
            Ok(delivered) => report(&delivered, &conversion.click),
            Err(refusal) => refusal,
        }
    }

    /// What the postback says of permission, unless nobody may send it.
    fn refused(
        &self,
        request: &Parts,
        postback: &Postback<'_>,
    ) -> Result<SentConsent, (SiteId, Rejection)> {
        let nobody = SiteId(0);
        if postback.key.is_empty() {
            return Err((nobody, Rejection::malformed("key", "missing")));
        }
        let entry = self.edge.app.directory.current().by_key(&postback.key);
        let entry = entry.ok_or_else(|| (nobody, unknown_key()))?;
        let site = entry.site.site.id;
        if entry.pixel.kind != PixelKind::Server {
            let message = "postbacks need the secret key of a pixel of kind server";
            let rejection = Rejection::new(Outcome::RejectedOrigin, message).named("key");
            return Err((site, rejection));
        }
        let headers = &request.headers;
        // Servers' libraries send others of that family (Node's `Sec-Fetch-Mode`).
        let browsers = [header::ORIGIN.as_str(), "sec-fetch-site"];
        if browsers.iter().any(|name| headers.contains_key(*name)) {
            return Err((site, used_in_browser()));
        }
        postback.consent().map_err(|rejection| (site, rejection))
    }

    async fn with_click<'a>(&self, postback: Postback<'a>, now_ms: i64) -> Conversion<'a> {
        let entry = self.edge.app.directory.current().by_key(&postback.key);
        let site = entry.map_or(SiteId(0), |entry| entry.site.site.id);
        let opened = postback.click_id().map(|text| self.edge.tokens.open_click(site, text));
        let click = match opened {
            None => Click::None,
            Some(None) => Click::Foreign,
            Some(Some(claims)) if claims.may_convert(now_ms) => Click::Known(Box::new(claims)),
            Some(Some(_)) => Click::Expired,
        };
        Conversion { postback, click, user_id: String::new(), is_opted_out: false }
    }

    /// Permission that was given with the click holds for the click's own person, unless the postback or the recipient says
    /// otherwise. It says nothing about anybody else whom the postback names.
    async fn with_permission(
        &self,
        sent: SentConsent,
        conversion: &mut Conversion<'_>,
        now_ms: i64,
    ) -> SentConsent {
        let Click::Known(claims) = &mut conversion.click else { return sent };
        let entry = self.edge.app.directory.current().by_key(&conversion.postback.key);
        let Some(entry) = entry else { return sent };
        let (site, user_key) = (&entry.site, claims.user_key());
        if claims.visitor_id() == VisitorId(0) {
            let landed = self.edge.clicks_like(claims).visitor(&claims.click);
            claims.visitor = landed.to_le_bytes();
        }
        conversion.is_opted_out =
            site.is_opted_out(claims.visitor_id().0) || site.is_opted_out(user_key);
        let mut agreed = self.agreed_recipient(site.site.id, user_key).await;
        let named = conversion.postback.user_id();
        let names_another = !named.is_empty() && named != agreed;
        let has_withdrawn = user_key != 0 && agreed.is_empty();
        if names_another || has_withdrawn {
            claims.visitor = [0; 8];
        }
        let browser = (site.site.id, claims.visitor_id());
        let until = Instant::now() + ANSWER_WAIT;
        if user_key != 0
            && browser.1 != VisitorId(0)
            && !self.is_free(claims, browser, until, now_ms).await
        {
            // A mail that was passed on: the conversion is the browser's, as its landing page is, unless the postback
            // says that it is the recipient's.
            match named.is_empty() {
                true => agreed.clear(),
                false => claims.visitor = [0; 8],
            }
        }
        if !names_another {
            conversion.user_id = agreed;
        }
        let is_known = !conversion.user_id.is_empty() || claims.visitor_id() != VisitorId(0);
        match sent {
            SentConsent::Nothing if is_known => {
                SentConsent::Choices([Some(Choice::Granted), None, None, None])
            }
            sent => sent,
        }
    }

    /// The recipient's user id, if he agrees to be known by his clicks now; otherwise empty.
    async fn agreed_recipient(&self, site: SiteId, user_key: u64) -> String {
        if user_key == 0 {
            return String::new();
        }
        let found = blocking(&self.edge.app, move |catalog| catalog.mail_recipient(site, user_key));
        let recipient = found.await.ok();
        let agreed = recipient.filter(|recipient| recipient.choices.clicks == Some(true));
        agreed.map_or_else(String::new, |recipient| recipient.user_id)
    }
}

/// The key of `Authorization: Basic` (as user name) or `Bearer`.
pub(super) fn key_of(headers: &HeaderMap) -> String {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = sent.and_then(|sent| sent.split_once(' ')).unwrap_or(("", ""));
    match scheme.eq_ignore_ascii_case("bearer") {
        true => token.trim().to_owned(),
        false => user_name(headers),
    }
}

fn refused(rejection: &Rejection) -> Answer {
    let status = StatusCode::from_u16(status_of(rejection.outcome));
    refusal(status.unwrap_or(StatusCode::BAD_REQUEST), rejection, Cors::Any)
}

/// A conversion that is known already or may not be kept needs no second attempt: 200.
fn report(delivered: &Delivered<'_>, click: &Click) -> Answer {
    let outcome = match delivered.refused.first() {
        None => Outcome::Accepted,
        Some((_, rejection)) => match rejection.outcome {
            Outcome::Duplicate | Outcome::DroppedOptedOut | Outcome::DroppedPolicy => {
                rejection.outcome
            }
            _ => return refused(rejection),
        },
    };
    let click = match click {
        Click::Known(_) => Some("known"),
        Click::Expired => Some("expired"),
        Click::None | Click::Foreign => None,
    };
    let body = serde_json::to_vec(&Report { outcome: outcome.name(), click }).unwrap_or_default();
    json(StatusCode::OK, outcome_value(outcome), Cors::Any, body)
}
