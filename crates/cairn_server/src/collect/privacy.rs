//! `/privacy`: the page where a visitor sees what is known about his browser, changes his choice, opts out of pixels, takes
//! his data along and has them erased.
//!
//! Guarantees: it speaks of the browser that asks, by its cookies and by nothing else, and only to it; of other origins, only
//! scripts on the site's listed ones may read what is held. It needs no script and no account. Changes come from its own
//! forms only; erasing asks once more. Whose browser it is, is shown only where the site's server signed for it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_catalog::{
    ErasureReason, ErasureState, MemoryHolder, NewRequest, NewStep, PixelEntry, RequestSource,
    RightsRequest,
};
use cairn_engine::ingest::Admission;
use cairn_engine::ingest::consent::{RecordedConsent, SentConsent, Telling};
use cairn_engine::ingest::visitor::CookieId;
use cairn_engine::rights::find::{Finder, Found, Identifier};
use cairn_enrich::RequestKind;
use cairn_model::notice::{self, Language};
use cairn_model::rights::{Law, RequestKind as Asked};
use cairn_model::{Choice, Purpose, SiteId, Subject, VisitorId};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Body;

use super::answer::{Answer, Cors, add_cookies, add_cors, routed};
use super::page::{Choosing, Form, as_own_page, back, nothing, page, plain};
use super::privacy_page::{Shown, View, confirmation, overview, progress};
use super::request::Head;
use super::{Collector, RateLimit};
use crate::api::with_store;
use crate::auth::blocking;
use crate::error::ApiError;
use crate::rights::{Export, Format, Held, Viewer, latest, with_erasure};

/// Requests of one place with one key in a minute: each reads what is held.
const REQUESTS_PER_MINUTE_MAX: u32 = 60;
/// How long the page waits for what is on its way to the store.
const FRESHNESS_LIMIT: Duration = Duration::from_secs(2);
/// Events of which the page shows something.
const EVENTS_SHOWN: usize = 50;

/// The limit of requests; where hits have none, these have none either.
pub(super) fn rate_limit(of_hits: RateLimit) -> RateLimit {
    let hits_per_minute_max = of_hits.hits_per_minute_max.min(REQUESTS_PER_MINUTE_MAX);
    RateLimit { hits_per_minute_max, ..of_hits }
}

/// What the address asks for.
#[derive(Default)]
struct Query {
    key: String,
    language: String,
    reference: String,
    download: String,
    framed: String,
}

impl Query {
    fn read(request: &Parts) -> Self {
        let mut read = Query::default();
        let query = request.uri.query().unwrap_or("").as_bytes();
        for (name, value) in url::form_urlencoded::parse(query) {
            let place = match name.as_ref() {
                "key" => &mut read.key,
                "language" => &mut read.language,
                "reference" => &mut read.reference,
                "download" => &mut read.download,
                "framed" => &mut read.framed,
                _ => continue,
            };
            *place = value.into_owned();
        }
        read
    }
}

/// The browser that asks.
struct Browser {
    visitor: Option<VisitorId>,
    memory: Option<CookieId>,
    recorded: RecordedConsent,
    is_opted_out: bool,
    uses_cookies: bool,
    law: Law,
}

impl Browser {
    fn of(admission: &Admission<'_>) -> Self {
        let (country, part) = admission.place();
        Browser {
            visitor: admission.held_visitor(),
            memory: admission.memory_cookie(),
            recorded: admission.recorded(),
            is_opted_out: admission.is_opted_out(),
            uses_cookies: admission.uses_cookies(),
            law: Law::of_place(country, part),
        }
    }

    fn subject(&self, entry: &PixelEntry) -> Subject {
        let site_id = entry.site.site.id;
        Subject { site_id, visitors: self.visitor.into_iter().collect(), ..Subject::default() }
    }

    fn choice(&self) -> BTreeMap<&'static str, &'static str> {
        let recorded = Purpose::ALL.iter().zip(self.recorded.choices);
        recorded.filter_map(|(purpose, it)| Some((purpose.name(), it?.choice.name()))).collect()
    }
}

impl Collector {
    /// Shows the page, or gives what is held as a file.
    pub async fn privacy_page(&self, mut request: Parts, peer: IpAddr) -> Answer {
        let query = Query::read(&request);
        let Some(entry) = self.asking_entry(&query.key) else { return nothing() };
        let is_framed = settle_frame(&mut request.headers, &entry, &query);
        let now_ms = self.edge.app.now_ms(&request.headers);
        let head = Head::read(&request.headers);
        let hit = head.hit(peer, &self.edge.trusted_proxies, RequestKind::Script, now_ms);
        if !self.edge.rights_limiter.allows(&entry.pixel.key, hit.address.ip()) {
            return too_many();
        }
        let accepted =
            hit.accept_language.split(',').map(|one| one.split(';').next().unwrap_or(""));
        let language = notice::language(query.language.split(',').chain(accepted));
        let admission =
            self.edge.app.ingest.admit(&hit, &entry, SentConsent::Nothing, Telling::default());
        let browser = Browser::of(&admission);
        let looked = Look { entry: &entry, language, browser, is_framed, now_ms };
        let answer = match (query.reference.as_str(), query.download.as_str()) {
            ("", "") => self.show(&looked, false).await,
            ("", download) => match Format::from_name(download) {
                Some(format) => {
                    let listed = admission.has_listed_origin().then(|| head.origin());
                    self.download(&looked, format, listed, hit.address.ip()).await
                }
                None => return nothing(),
            },
            (reference, _) => self.show_progress(&looked, reference).await,
        };
        answer.unwrap_or_else(|error| failed(&error))
    }

    /// Does what one of the page's forms asks for.
    pub async fn privacy_form<B>(&self, mut request: Parts, body: B, peer: IpAddr) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (form, entry) = match self.asking_form(&request.headers, body).await {
            Ok(asking) => asking,
            Err(refusal) => return refusal,
        };
        let (language, is_framed) = (form.language(), form.get("framed") == "1");
        as_own_page(&mut request.headers, &entry, is_framed);
        let now_ms = self.edge.app.now_ms(&request.headers);
        let asked = request.headers.clone();
        let head = Head::read(&asked);
        let hit = head.hit(peer, &self.edge.trusted_proxies, RequestKind::Script, now_ms);
        if !self.edge.rights_limiter.allows(&entry.pixel.key, hit.address.ip()) {
            return too_many();
        }
        let admission =
            self.edge.app.ingest.admit(&hit, &entry, SentConsent::Nothing, Telling::default());
        let browser = Browser::of(&admission);
        let looked = Look { entry: &entry, language, browser, is_framed, now_ms };
        let done = match form.get("action") {
            "choose" => self.take_choice(&mut request, peer, &looked, &form).await,
            "opt_out" => self.opt_out_of_pixels(&mut request, peer, &looked, &admission).await,
            "opt_in" => Ok(looked.opt_in(&admission)),
            "erase" => self.show(&looked, true).await,
            "erase_now" => self.erase(&looked, &admission).await,
            _ => return plain(StatusCode::BAD_REQUEST, "The form does not say what to do."),
        };
        done.unwrap_or_else(|error| failed(&error))
    }

    async fn show(&self, looked: &Look<'_>, asks_to_erase: bool) -> Result<Answer, ApiError> {
        let app = &self.edge.app;
        let held = self.held(looked).await?;
        let latest = match looked.browser.visitor {
            Some(_) => latest(app, &held.subject, EVENTS_SHOWN).await?,
            None => Vec::new(),
        };
        let shown = Shown { held: &held, latest: &latest };
        let view = looked.view();
        Ok(looked.page(HeaderMap::new(), |nonce| match asks_to_erase {
            true => confirmation(&view, &shown, nonce),
            false => overview(&view, &shown, nonce),
        }))
    }

    async fn held(&self, looked: &Look<'_>) -> Result<Held, ApiError> {
        let subject = looked.browser.subject(looked.entry);
        let found = Found { subject, ..Found::default() };
        let viewer = Viewer::Browser(looked.browser.memory);
        // So that a choice of a moment ago stands there with its receipt.
        self.edge.app.wait_applied(FRESHNESS_LIMIT).await;
        let site = Arc::clone(&looked.entry.site);
        Held::gather(&self.edge.app, site, found, viewer, looked.now_ms).await
    }

    /// Nothing is held of the browser. While something is still on its way to the store, that cannot be said: it may be his.
    async fn holds_nothing(&self, looked: &Look<'_>) -> Result<bool, ApiError> {
        let is_fresh = self.edge.app.wait_applied(FRESHNESS_LIMIT).await;
        Ok(is_fresh && self.held(looked).await?.is_empty())
    }

    /// Everything as a file; a script on a page of a listed origin may read it.
    async fn download(
        &self,
        looked: &Look<'_>,
        format: Format,
        listed_origin: Option<&str>,
        address: IpAddr,
    ) -> Result<Answer, ApiError> {
        let place = self.edge.exports.place(address)?;
        let held = self.held(looked).await?;
        let (language, now_ms) = (looked.language, looked.now_ms);
        let choice = Some(looked.browser.choice());
        let export = Export { held, choice, format, language, now_ms };
        let mut answer = routed(export.answer(&self.edge.app, place), Box::new(()));
        if let Some(origin) = listed_origin {
            add_cors(answer.headers_mut(), Cors::Listed(origin));
        }
        Ok(answer)
    }

    async fn take_choice(
        &self,
        request: &mut Parts,
        peer: IpAddr,
        looked: &Look<'_>,
        form: &Form,
    ) -> Result<Answer, ApiError> {
        let choices = Purpose::ALL.map(|purpose| {
            let choice = match form.get(purpose.name()) {
                "granted" => Choice::Granted,
                _ => Choice::Denied,
            };
            format!("{}:{}", purpose.name(), choice.name())
        });
        Ok(match self.choose(request, peer, &looked.choosing(&choices.join(","))).await {
            Ok(cookies) => looked.back(cookies),
            Err(refusal) => refusal,
        })
    }

    /// A no to every purpose with its receipt, the visitor's number on record, and a word in the browser.
    async fn opt_out_of_pixels(
        &self,
        request: &mut Parts,
        peer: IpAddr,
        looked: &Look<'_>,
        admission: &Admission<'_>,
    ) -> Result<Answer, ApiError> {
        let no = Purpose::ALL.map(|purpose| format!("{}:denied", purpose.name())).join(",");
        let mut cookies = match self.choose(request, peer, &looked.choosing(&no)).await {
            Ok(cookies) => cookies,
            Err(refusal) => return Ok(refusal),
        };
        if let Some(visitor) = looked.browser.visitor
            && !self.holds_nothing(looked).await?
        {
            let (site_id, now_ms) = (looked.entry.site.site.id, looked.now_ms);
            let app = &self.edge.app;
            blocking(app, move |catalog| catalog.add_opt_outs(site_id, &[visitor.0], now_ms))
                .await?;
        }
        let record = RecordedConsent::of_opt_out(looked.now_ms);
        // Of two cookies with one name the later one stays.
        add_cookies(&mut cookies, vec![admission.jar().consent(&record)]);
        Ok(looked.back(cookies))
    }

    async fn erase(
        &self,
        looked: &Look<'_>,
        admission: &Admission<'_>,
    ) -> Result<Answer, ApiError> {
        let (app, entry, now_ms) = (&self.edge.app, looked.entry, looked.now_ms);
        let browser = &looked.browser;
        let mut headers = HeaderMap::with_capacity(8);
        let jar = admission.jar();
        add_cookies(&mut headers, [jar.forget_id(), jar.forget_memory()].concat());
        // A number that somebody made up is no reason to keep one.
        let is_nobody = browser.visitor.is_none() && browser.memory.is_none();
        if is_nobody || self.holds_nothing(looked).await? {
            return Ok(looked.back(headers));
        }
        let site_id = entry.site.site.id;
        // Only here, and by site: whoever asks again for what is gone takes no room, and pixels are no way around it.
        if !self.edge.erasure_limiter.allows(&site_id.to_string(), admission.hit().address.ip()) {
            return Ok(too_many_erasures());
        }
        let found = self.browsers(site_id, browser.visitor).await?;
        let holder = browser.memory.map(|id| app.ingest.keys().of_memory(site_id, &id));
        let new = NewRequest {
            site_id,
            kind: Asked::Erase,
            law: browser.law,
            source: RequestSource::Visitor,
            identifier_kind: "cairn_id".to_owned(),
            identifier: String::new(),
            subject: found.subject.clone(),
            received_at_ms: now_ms,
            due_at_ms: browser.law.due_at_ms(Asked::Erase, now_ms, &entry.site.zone, false),
        };
        // Not waited for: that would have the store's files written anew for every visitor who asks.
        let request = blocking(app, move |catalog| {
            let step = |step| NewStep { user: None, step, note: String::new(), at_ms: now_ms };
            let mut erasure = found.erasure(ErasureReason::Visitor, None);
            erasure.holders.extend(holder.map(MemoryHolder::Browser));
            let steps = [&step("received"), &step("erasing")];
            catalog.add_erasing_request(&new, &erasure, steps)
        })
        .await?;
        Ok(looked.back_with(headers, Some(("reference", &request.reference))))
    }

    /// What a browser's erasure is about: its events, and the people's entries that nothing else made.
    async fn browsers(
        &self,
        site_id: SiteId,
        visitor: Option<VisitorId>,
    ) -> Result<Found, ApiError> {
        let app = &self.edge.app;
        let Some(visitor) = visitor else {
            let subject = Subject { site_id, ..Subject::default() };
            return Ok(Found { subject, ..Found::default() });
        };
        let (ingest, catalog) = (Arc::clone(&app.ingest), Arc::clone(&app.catalog));
        let found = with_store(app, move |store| {
            let finder = Finder { store, catalog: &catalog, keys: ingest.keys(), site_id };
            finder.find(&Identifier::Visitor(visitor))
        });
        Ok(found.await??)
    }

    async fn show_progress(&self, looked: &Look<'_>, reference: &str) -> Result<Answer, ApiError> {
        let app = &self.edge.app;
        let (site_id, asked) = (looked.entry.site.site.id, reference.to_owned());
        let found =
            blocking(app, move |catalog| catalog.request_by_reference(site_id, &asked)).await?;
        let Some(request) = found else { return Ok(nothing()) };
        let (request, erasure): (RightsRequest, _) = with_erasure(app, request).await?;
        let state = erasure.map_or(ErasureState::Waiting, |erasure| erasure.state);
        let view = looked.view();
        Ok(looked.page(HeaderMap::new(), |nonce| progress(&view, &request, state, nonce)))
    }
}

/// A look at the page: by whom, of which site, in which language.
struct Look<'a> {
    entry: &'a PixelEntry,
    language: &'static Language,
    browser: Browser,
    /// In a frame on another site.
    is_framed: bool,
    now_ms: i64,
}

impl Look<'_> {
    fn choosing<'c>(&'c self, choice: &'c str) -> Choosing<'c> {
        let (entry, language, is_framed) = (self.entry, self.language, self.is_framed);
        Choosing { entry, language, choice, signal: "privacy_page", is_framed }
    }

    fn view(&self) -> View<'_> {
        View {
            entry: self.entry,
            language: self.language,
            recorded: &self.browser.recorded,
            is_opted_out: self.browser.is_opted_out,
            // Nothing is known of a browser whose cookies cannot be seen, which is another thing than nothing being known.
            sees_cookies: self.browser.uses_cookies,
            is_framed: self.is_framed,
        }
    }

    fn page(&self, headers: HeaderMap, html: impl FnOnce(&str) -> String) -> Answer {
        page(headers, &framed_by(self.entry), html)
    }

    fn back(&self, headers: HeaderMap) -> Answer {
        self.back_with(headers, None)
    }

    fn back_with(&self, headers: HeaderMap, parameter: Option<(&str, &str)>) -> Answer {
        let (key, tag) = (self.entry.pixel.key.as_str(), self.language.tag);
        let mut parameters = vec![("key", key), ("language", tag)];
        parameters.extend(self.is_framed.then_some(("framed", "1")));
        parameters.extend(parameter);
        back(headers, &parameters)
    }

    /// The word in the browser is taken back; the no to every purpose stays until something else is chosen.
    fn opt_in(&self, admission: &Admission<'_>) -> Answer {
        let mut headers = HeaderMap::with_capacity(8);
        if self.browser.recorded.opted_out {
            let record = RecordedConsent { opted_out: false, ..self.browser.recorded };
            add_cookies(&mut headers, vec![admission.jar().consent(&record)]);
        }
        self.back(headers)
    }
}

/// Who may show the page in a frame: the site's listed origins, on any port.
fn framed_by(entry: &PixelEntry) -> String {
    let site = &entry.site.site;
    let mut sources = vec!["'self'".to_owned()];
    if !site.domain.is_empty() {
        sources.extend([format!("{}:*", site.domain), format!("*.{}:*", site.domain)]);
    }
    sources.extend(site.hosts.iter().map(|host| format!("{host}:*")));
    sources.join(" ")
}

/// Whether the page is in a frame on another site. What is followed inside of the frame comes from the frame itself, and
/// says by its address where that is. Only a script of another page names an origin; all else comes from the visitor.
fn settle_frame(headers: &mut HeaderMap, entry: &PixelEntry, query: &Query) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_frame = matches!(text("sec-fetch-dest"), Some("iframe" | "frame" | "embed" | "object"));
    let (from, is_script) = (text("sec-fetch-site"), headers.contains_key(header::ORIGIN));
    let is_inside = is_frame && from == Some("same-origin") && query.framed == "1";
    let is_framed = is_frame && from == Some("cross-site") || is_inside;
    if is_inside || !(is_frame || is_script) {
        as_own_page(headers, entry, is_inside);
    }
    is_framed
}

fn too_many() -> Answer {
    let mut answer =
        plain(StatusCode::TOO_MANY_REQUESTS, "Too many requests. Please wait a minute.");
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
    answer
}

/// Whoever asks keeps his cookies, by which he can ask later.
fn too_many_erasures() -> Answer {
    let why = "Too many erasures from this network. Please try again in an hour.";
    let mut answer = plain(StatusCode::TOO_MANY_REQUESTS, why);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("3600"));
    answer
}

fn failed(error: &ApiError) -> Answer {
    let mut answer = plain(error.code.status(), "This does not work now. Please try again.");
    if let Some(seconds) = error.retry_after_s {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}
