//! `POST /m`: what a site has remembered for its visitors.
//!
//! Guarantees: a browser is asked for by its own cookie only, from a listed origin only, and with permission for
//! `functional` only; the cookie is set with the first value that is kept, and not before. A person's memory opens to a
//! browser by a valid token and by nothing else; whoever merely knows a user id gets nothing and changes nothing. A *no*
//! forgets everything before it is answered. What a call itself says is recorded and proven as `POST /e` does it.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use cairn_catalog::{MemoryHolder, PixelEntry};
use cairn_engine::identity::{IdentitySecret, TokenFault};
use cairn_engine::ingest::consent::SentConsent;
use cairn_engine::ingest::cookies::MEMORY_COOKIE;
use cairn_engine::ingest::gate::MemoryPermission;
use cairn_engine::ingest::json::Raw;
use cairn_engine::ingest::proof::Told;
use cairn_engine::ingest::query;
use cairn_engine::ingest::statement::{Statement, statement};
use cairn_engine::ingest::visitor::{CookieId, new_cookie_id};
use cairn_engine::ingest::{Admission, Rejection, Telling};
use cairn_enrich::RequestKind;
use cairn_model::limits::MEMORY_TIE_AGE_DAYS_MAX;
use cairn_model::{Choice, Outcome, PixelKind, Purpose, Verdict, VisitorId};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use hyper::body::Body;
use serde_json::Value;

use super::answer::{Answer, Cors, RETRY_AFTER_S, add_cookies, headers, outcome_value};
use super::choice::{is_refusal, proven};
use super::delivery::cors_of;
use super::events::readable;
use super::postback::key_of;
use super::request::Head;
use super::{Collector, RateLimit, answer};
use crate::api::body::{Fields, missing, parse, wrong_type};
use crate::auth::blocking;
use crate::error::{ApiError, Code};
use crate::memory::{MemoryBody, Wanted, user_id};

/// Calls of one place with one key in a minute; each may wait for the disk.
const CALLS_PER_MINUTE_MAX: u32 = 3_000;
const TIE_AGE_MS: i64 = MEMORY_TIE_AGE_DAYS_MAX as i64 * 24 * 60 * 60 * 1000;

/// The limit of calls; where hits have none, these have none either.
pub(super) fn rate_limit(of_hits: RateLimit) -> RateLimit {
    let hits_per_minute_max = of_hits.hits_per_minute_max.min(CALLS_PER_MINUTE_MAX);
    RateLimit { hits_per_minute_max, ..of_hits }
}

const NEW_HOLDER_RETRY_S: u64 = 60;

/// A request that was read.
struct Call {
    wanted: Wanted,
    /// User id and token.
    identify: Option<(String, String)>,
    signs_out: bool,
    /// Whose memory, as a server names him.
    user_id: Option<String>,
    said: Statement<'static>,
}

impl Call {
    fn telling(&self) -> Telling {
        let Statement { age_ms, is_repeated, .. } = self.said;
        Telling { alone: true, age_ms, is_repeated }
    }
}

/// What a call is answered with.
#[derive(Default)]
struct Done {
    body: Option<MemoryBody>,
    /// What went wrong after the call had been tied to a person: the cookies belong to the answer all the same.
    fault: Option<ApiError>,
    cookies: Vec<String>,
}

impl Collector {
    /// Answers a call.
    pub async fn memory<B>(&self, request: &Parts, body: B, peer: IpAddr) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let head = Head::read(&request.headers);
        let read = match readable(&head, body).await {
            Ok(body) => read(&body, &key_of(&request.headers)),
            Err((status, rejection)) => {
                let mut refusal = answer::refusal(status, &rejection, Cors::Any);
                refusal.headers_mut().remove(answer::OUTCOME);
                return refusal;
            }
        };
        let (entry, call) = match read.and_then(|(key, call)| Ok((self.entry_of(&key)?, call))) {
            Ok(read) => read,
            Err(error) => return refused(&error, Cors::Any),
        };
        let cors = cors_of(&head, &entry);
        let done = match entry.pixel.kind {
            PixelKind::Server => self.for_server(request, &entry, call, peer).await,
            _ => self.for_browser(request, &head, &entry, call, peer).await,
        };
        match done {
            Ok(Done { body, fault, cookies }) => {
                let mut told = match fault {
                    Some(error) => refused(&error, cors),
                    None => {
                        let body = body.unwrap_or_else(MemoryBody::refused);
                        whole(StatusCode::OK, cors, serde_json::to_vec(&body).unwrap_or_default())
                    }
                };
                add_cookies(told.headers_mut(), cookies);
                told
            }
            Err(error) => refused(&error, cors),
        }
    }

    fn entry_of(&self, key: &str) -> Result<Arc<PixelEntry>, ApiError> {
        self.edge
            .app
            .directory
            .current()
            .by_key(key)
            .ok_or_else(|| ApiError::new(Code::UnknownKey, "No pixel has this key.").on("key"))
    }

    fn require_rate(&self, entry: &PixelEntry, ip: IpAddr) -> Result<(), ApiError> {
        if self.edge.memory_limiter.allows(&entry.pixel.key, ip) {
            return Ok(());
        }
        let message = "Too many calls from one place with this key.";
        Err(ApiError::new(Code::RateLimited, message).retry_after(RETRY_AFTER_S))
    }

    /// A server that has the secret key speaks for the site: it names the person, and answers for the permission.
    async fn for_server(
        &self,
        request: &Parts,
        entry: &PixelEntry,
        call: Call,
        peer: IpAddr,
    ) -> Result<Done, ApiError> {
        let app = &self.edge.app;
        let headers = &request.headers;
        if [header::ORIGIN.as_str(), "sec-fetch-site"]
            .iter()
            .any(|name| headers.contains_key(*name))
        {
            let message = "This key is a server's secret and was sent by a browser.";
            return Err(ApiError::new(Code::SecretInBrowser, message).on("key"));
        }
        if call.identify.is_some() || call.signs_out {
            let field = if call.signs_out { "sign_out" } else { "identify" };
            let message = "A server names the person in user_id.";
            return Err(ApiError::new(Code::MalformedRequest, message).on(field));
        }
        self.require_rate(entry, peer)?;
        let named = call.user_id.ok_or_else(|| missing("user_id"))?;
        let (site, now_ms) = (entry.site.site.id, app.now_ms(headers));
        let keys = app.ingest.keys();
        let holder = MemoryHolder::Person(keys.of_remembered(site, &named));
        debug_assert_eq!(Purpose::ALL[3], Purpose::Functional);
        let said = call.said.sent.answer(3);
        let is_denied = said.is_some_and(|said| said.choice == Choice::Denied);
        if is_denied || entry.site.is_opted_out(keys.of_user(site, &named)) {
            blocking(app, move |catalog| catalog.forget_memory(site, holder, now_ms)).await?;
            return Ok(Done::default());
        }
        let wanted = call.wanted;
        let body =
            blocking(app, move |catalog| wanted.run(catalog, site, Some(holder), now_ms)).await?;
        Ok(Done { body: Some(body), ..Done::default() })
    }

    async fn for_browser(
        &self,
        request: &Parts,
        head: &Head<'_>,
        entry: &PixelEntry,
        call: Call,
        peer: IpAddr,
    ) -> Result<Done, ApiError> {
        let app = &self.edge.app;
        let now_ms = app.now_ms(&request.headers);
        let hit = head.hit(peer, &self.edge.trusted_proxies, RequestKind::Script, now_ms);
        self.require_rate(entry, hit.address.ip())?;
        if call.user_id.is_some() {
            let message = "A browser says who somebody is by identify, with a token.";
            return Err(ApiError::new(Code::MalformedRequest, message).on("user_id"));
        }
        let admission = app.ingest.admit(&hit, entry, call.said.sent, call.telling()).for_memory();
        if !admission.has_listed_origin() {
            let message = "The site does not list the origin of this page.";
            return Err(ApiError::new(Code::OriginNotListed, message));
        }
        if let Some(browser) = admission.withdrawn_memory() {
            self.forget_memory(&admission, browser).await?;
        }
        // What another request tells is kept and proven by that one.
        let is_told_here = !call.said.is_repeated;
        let cookies: Vec<String> = match is_told_here {
            true => admission.set_cookies(),
            false => admission.forget_memory().into_iter().collect(),
        };
        if is_told_here && let Err(rejection) = self.prove(&admission, &call.said).await {
            let error = ApiError::new(Code::LogFull, rejection.message).retry_after(RETRY_AFTER_S);
            return match is_refusal(&call.said.sent) {
                true => Ok(Done { body: None, fault: Some(error), cookies }),
                false => Err(error),
            };
        }
        let mut done = match admission.memory_permission() {
            MemoryPermission::Granted => self.for_permitted(&admission, call, now_ms).await?,
            MemoryPermission::Silent | MemoryPermission::Denied => Done::default(),
        };
        done.cookies.extend(cookies);
        Ok(done)
    }

    /// Keeps the proof of what a call says, before it is done.
    async fn prove(
        &self,
        admission: &Admission<'_>,
        said: &Statement<'static>,
    ) -> Result<(), Rejection> {
        let told = Told { shown: said.shown.as_ref(), signal: said.signal };
        proven(self.note_choice(admission, told)).await
    }

    async fn for_permitted(
        &self,
        admission: &Admission<'_>,
        call: Call,
        now_ms: i64,
    ) -> Result<Done, ApiError> {
        let app = &self.edge.app;
        let (site, jar) = (admission.entry().site.site.id, admission.jar());
        let mut cookie = admission.memory_cookie();
        let mut cookies = Vec::new();
        if let Some((user_id, token)) = &call.identify {
            if !self.signed(admission, user_id, token, now_ms).await? {
                return Ok(Done::default());
            }
            let fresh = fresh_id()?;
            let keys = app.ingest.keys();
            let browser = keys.of_memory(site, &cookie.unwrap_or(fresh));
            let (fresh_number, person) =
                (keys.of_memory(site, &fresh), keys.of_remembered(site, user_id));
            let until_ms = now_ms + TIE_AGE_MS;
            let moved = blocking(app, move |catalog| {
                catalog.tie_memory(site, (browser, fresh_number), person, until_ms, now_ms)
            });
            if moved.await? {
                cookie = Some(fresh);
                cookies = vec![jar.memory(&fresh)];
            }
        }
        let tied = cookies.clone();
        if call.wanted.remembers() {
            self.require_holder(admission, cookie, now_ms).await?;
            let known = match cookie {
                Some(known) => known,
                None => fresh_id()?,
            };
            cookie = Some(known);
            cookies = vec![jar.memory(&known)];
        }
        let browser = cookie.map(|cookie| app.ingest.keys().of_memory(site, &cookie));
        let whose = whose(admission);
        let body = blocking(app, move |catalog| {
            if let Some(browser) = browser.filter(|_| call.signs_out) {
                catalog.sign_out_memory(site, browser, now_ms)?;
            }
            let told =
                call.wanted.run(catalog, site, browser.map(MemoryHolder::Browser), now_ms)?;
            if let (Some(browser), Some(visitor)) = (browser, whose) {
                catalog.note_memory_visitor(site, browser, visitor)?;
            }
            Ok(told)
        });
        Ok(match body.await {
            Ok(body) => Done { body: Some(body), fault: None, cookies },
            // Nothing of it was done but the tie.
            Err(error) => Done { body: None, fault: Some(error), cookies: tied },
        })
    }

    /// Refuses one browser more of a place that had too many new ones. A cookie that was made up is a new browser's.
    async fn require_holder(
        &self,
        admission: &Admission<'_>,
        cookie: Option<CookieId>,
        now_ms: i64,
    ) -> Result<(), ApiError> {
        let (app, site) = (&self.edge.app, admission.entry().site.site.id);
        if let Some(cookie) = cookie {
            let browser = app.ingest.keys().of_memory(site, &cookie);
            let asked = blocking(app, move |catalog| catalog.has_memory(site, browser, now_ms));
            if asked.await? {
                return Ok(());
            }
        }
        let ip = admission.hit().address.ip();
        if self.edge.memory_holders.allows(&site.to_string(), ip) {
            return Ok(());
        }
        let message = "Too many new browsers from one place have something remembered.";
        Err(ApiError::new(Code::RateLimited, message).retry_after(NEW_HOLDER_RETRY_S))
    }

    /// Whether the token says that the visitor is this user; false: it does, and he has opted out.
    async fn signed(
        &self,
        admission: &Admission<'_>,
        user_id: &str,
        token: &str,
        now_ms: i64,
    ) -> Result<bool, ApiError> {
        let app = &self.edge.app;
        let entry = admission.entry();
        let site = entry.site.site.id;
        let seed = blocking(app, move |catalog| catalog.identity_seed(site)).await?;
        let verified = match seed {
            Some(seed) => IdentitySecret::derive(app.catalog.master_secret(), site, &seed.seed)
                .verify(user_id, token, now_ms),
            None => Err(TokenFault::Unsigned),
        };
        verified.map_err(|fault| {
            ApiError::new(Code::IdentityTokenInvalid, fault.to_string()).on("identify.token")
        })?;
        Ok(!entry.site.is_opted_out(app.ingest.keys().of_user(site, user_id)))
    }

    /// Forgets a browser whose visitor says no by an image, before the hit itself is looked at; `Err`: the answer where that
    /// fails. A request that is not to be understood is left to the steps that follow, which refuse it.
    pub(super) async fn withdraw_by_image(
        &self,
        request: &Parts,
        peer: IpAddr,
    ) -> Result<(), Answer> {
        let app = &self.edge.app;
        let now_ms = app.now_ms(&request.headers);
        let head = Head::read(&request.headers);
        let asked = request.uri.query().unwrap_or("");
        let entry = query::key(asked).ok().and_then(|key| app.directory.current().by_key(&key));
        let Some(entry) = entry else { return Ok(()) };
        let Ok(read) = query::image(asked, head.referer()) else { return Ok(()) };
        let hit = head.hit(peer, &self.edge.trusted_proxies, RequestKind::Image, now_ms);
        let admission = app.ingest.admit(&hit, &entry, read.consent, Telling::default());
        let Some(browser) = admission.withdrawn_memory() else { return Ok(()) };
        // Each one writes: whoever sends many of them is refused before, with his cookie.
        let rejection = match self.require_rate(&entry, hit.address.ip()) {
            Ok(()) => match self.forget_memory(&admission, browser).await {
                Ok(()) => return Ok(()),
                Err(error) => Rejection::new(Outcome::UnavailableOverloaded, error.message),
            },
            Err(error) => Rejection::new(Outcome::RejectedRateLimited, error.message),
        };
        self.count_one(&rejection, now_ms);
        Err(answer::image(rejection.outcome, Some(&rejection), cors_of(&head, &entry)))
    }

    /// Forgets a browser whose visitor said no.
    pub(super) async fn forget_memory(
        &self,
        admission: &Admission<'_>,
        browser: CookieId,
    ) -> Result<(), ApiError> {
        let app = &self.edge.app;
        let site = admission.entry().site.site.id;
        let holder = MemoryHolder::Browser(app.ingest.keys().of_memory(site, &browser));
        let now_ms = admission.hit().received_at_ms;
        blocking(app, move |catalog| catalog.forget_memory(site, holder, now_ms)).await?;
        Ok(())
    }
}

/// Whose browser remembers, as far as analytics permits to know it: `None` where the request does not tell.
fn whose(admission: &Admission<'_>) -> Option<Option<VisitorId>> {
    match admission.known_visitor() {
        None if admission.decision().verdict == Verdict::Full => None,
        known => Some(known),
    }
}

/// Whether a `Cookie` header may have a memory's.
pub(super) fn holds_memory(cookies: &[u8]) -> bool {
    let name = MEMORY_COOKIE.as_bytes();
    cookies.windows(name.len()).any(|part| part == name)
}

fn fresh_id() -> Result<CookieId, ApiError> {
    new_cookie_id().ok_or_else(|| ApiError::new(Code::Unavailable, "There is no randomness now."))
}

/// The key, from the body or the header, and what is wanted.
fn read(body: &[u8], key_of_header: &str) -> Result<(String, Call), ApiError> {
    let mut fields = Fields::new(parse(body)?)?;
    let key = fields.text("key")?.unwrap_or_else(|| key_of_header.to_owned());
    if key.is_empty() {
        return Err(missing("key"));
    }
    let said = match fields.take("consent") {
        None => Statement::default(),
        Some(value) => consent(&value)?,
    };
    let identify = match fields.object("identify")? {
        None => None,
        Some(mut inner) => {
            let user_id = user_id(&mut inner)?.ok_or_else(|| missing("identify.user_id"))?;
            let token = inner.required_secret("token")?;
            inner.finish()?;
            Some((user_id, token))
        }
    };
    let signs_out = fields.boolean("sign_out")?.unwrap_or(false);
    let user_id = user_id(&mut fields)?;
    let wanted = Wanted::read(&mut fields)?;
    fields.finish()?;
    if identify.is_some() && signs_out {
        let message = "One call identifies or signs out, not both.";
        return Err(ApiError::new(Code::MalformedRequest, message).on("sign_out"));
    }
    if wanted.is_empty() && identify.is_none() && !signs_out && said.sent == SentConsent::Nothing {
        return Err(missing("recall"));
    }
    Ok((key, Call { wanted, identify, signs_out, user_id, said }))
}

fn consent(value: &Value) -> Result<Statement<'static>, ApiError> {
    if !value.is_string() && !value.is_object() {
        return Err(wrong_type("consent", "a text or an object"));
    }
    let text = value.to_string();
    statement(Raw(&text)).map(Statement::into_owned).map_err(|rejection| {
        ApiError::new(Code::MalformedRequest, rejection.message).on(rejection.field)
    })
}

/// An answer without an outcome: no event came in.
fn whole(status: StatusCode, cors: Cors<'_>, body: Vec<u8>) -> Answer {
    let mut fields = headers(outcome_value(Outcome::Accepted), cors);
    fields.remove(answer::OUTCOME);
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer::whole(status, fields, Bytes::from(body))
}

fn refused(error: &ApiError, cors: Cors<'_>) -> Answer {
    let body = serde_json::to_vec(&error.body()).unwrap_or_default();
    let mut refusal = whole(error.code.status(), cors, body);
    if let Some(seconds) = error.retry_after_s {
        refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    refusal
}
