//! What the pages for visitors share: their form, the way of a choice, the frame around their words.
//!
//! Guarantees: only a page's own form can send anything: one on another site is refused. A choice takes the road of any
//! other, `POST /e`. Pages need no script, and browsers run none in them.

use std::fmt::Write;
use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use cairn_catalog::PixelEntry;
use cairn_model::notice::{self, LANGUAGES, Language};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::Full;
use hyper::body::Body;
use serde_json::json;

use super::Collector;
use super::answer::{Answer, read_body, whole};
use super::asking::version;
use crate::rights::html::escaped;

/// How every page looks.
pub(crate) const STYLE: &str = include_str!("page.css");
/// Forms have a few short fields.
const FORM_SIZE_BYTES_MAX: usize = 4096;

/// The fields of a form that one of these pages sent.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads it; `Err`: the answer, where it is not to be had.
    pub(super) async fn read<B>(headers: &HeaderMap, body: B) -> Result<Form, Answer>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if !is_own_form(headers) {
            return Err(plain(StatusCode::FORBIDDEN, "This form was sent by another site."));
        }
        let Some(Ok(body)) = read_body(body, FORM_SIZE_BYTES_MAX).await else {
            return Err(plain(StatusCode::BAD_REQUEST, "The form could not be read."));
        };
        let pairs = url::form_urlencoded::parse(&body);
        Ok(Form(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
    }

    /// A field; empty where it is missing.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The language of the page that it was sent from.
    pub(super) fn language(&self) -> &'static Language {
        notice::language([self.get("language")])
    }
}

/// Browsers say where a form came from in a header that pages cannot write; older ones at least name the origin.
fn is_own_form(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, host)| text(header::HOST) == Some(host))
}

/// A choice that a page's form made.
pub(super) struct Choosing<'a> {
    pub(super) entry: &'a PixelEntry,
    pub(super) language: &'static Language,
    pub(super) choice: &'a str,
    pub(super) signal: &'static str,
    /// The page is in a frame on another site, where the browser has other cookies.
    pub(super) is_framed: bool,
}

impl Collector {
    /// Takes a choice; gives the cookies that it sets, or the answer where it could not be kept.
    pub(super) async fn choose(
        &self,
        request: &mut Parts,
        peer: IpAddr,
        choosing: &Choosing<'_>,
    ) -> Result<HeaderMap, Answer> {
        let notice = &choosing.entry.site.site.asking.notice;
        let language = choosing.language;
        let shown = json!({"version": version(language, notice), "language": language.tag});
        let consent = json!({"choice": choosing.choice, "signal": choosing.signal, "shown": shown});
        let key = &choosing.entry.pixel.key;
        let envelope = json!({"key": key, "events": [], "consent": consent}).to_string();
        as_own_page(&mut request.headers, choosing.entry, choosing.is_framed);
        request.headers.remove(header::CONTENT_ENCODING);
        let kind = HeaderValue::from_static("application/json");
        request.headers.insert(header::CONTENT_TYPE, kind);
        let taken = self.events(request, Full::new(Bytes::from(envelope)), peer).await;
        if taken.status() != StatusCode::ACCEPTED {
            return Err(plain(taken.status(), "The choice could not be kept. Please try again."));
        }
        let mut cookies = HeaderMap::with_capacity(8);
        for cookie in taken.headers().get_all(header::SET_COOKIE) {
            cookies.append(header::SET_COOKIE, cookie.clone());
        }
        Ok(cookies)
    }
}

/// The page is this host's own, whatever host that is: its visitors are here by themselves. In a frame on another site they
/// are there, which the browser tells with the frame and not with what is sent from inside it.
pub(super) fn as_own_page(headers: &mut HeaderMap, entry: &PixelEntry, is_framed: bool) {
    for name in [header::ORIGIN, header::REFERER] {
        headers.remove(name);
    }
    headers.remove("sec-fetch-site");
    let site = format!("https://{}", entry.site.site.domain);
    if let (true, Ok(site)) = (is_framed, HeaderValue::try_from(site)) {
        headers.insert(header::ORIGIN, site);
        headers.insert("sec-fetch-site", HeaderValue::from_static("cross-site"));
    }
}

/// Leads back to the page, with these parameters.
pub(super) fn back(mut headers: HeaderMap, parameters: &[(&str, &str)]) -> Answer {
    let query =
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    if let Ok(back) = HeaderValue::try_from(format!("?{query}")) {
        headers.insert(header::LOCATION, back);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    whole(StatusCode::SEE_OTHER, headers, Bytes::new())
}

/// A page; `framed_by`: the sources of a policy's `frame-ancestors`. `html` is given the nonce of its style.
pub(crate) fn page(
    mut headers: HeaderMap,
    framed_by: &str,
    html: impl FnOnce(&str) -> String,
) -> Answer {
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "Please try again.");
    }
    let nonce = BASE64_STANDARD.encode(random);
    let html = html(&nonce);
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; \
         frame-ancestors {framed_by}"
    );
    add_page_headers(&mut headers, "text/html; charset=utf-8");
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    whole(StatusCode::OK, headers, html.into())
}

/// Links to the page in the other languages, with these parameters.
pub(super) fn languages(current: &Language, parameters: &[(&str, &str)]) -> String {
    let mut html = String::from("<nav>");
    for other in LANGUAGES.iter().filter(|other| other.tag != current.tag) {
        let (tag, name) = (other.tag, other.name);
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters.iter().chain(&[("language", tag)]))
            .finish();
        let query = escaped(&query);
        // Writing to a String cannot fail.
        let _ = write!(html, "<a href=\"?{query}\" lang=\"{tag}\" hreflang=\"{tag}\">{name}</a>");
    }
    html.push_str("</nav>");
    html
}

fn add_page_headers(headers: &mut HeaderMap, content_type: &'static str) {
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Without it the form would name no origin.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A few words by themselves.
pub(super) fn plain(status: StatusCode, words: &'static str) -> Answer {
    let mut headers = HeaderMap::with_capacity(8);
    add_page_headers(&mut headers, "text/plain; charset=utf-8");
    whole(status, headers, Bytes::from_static(words.as_bytes()))
}

/// No such pixel.
pub(super) fn nothing() -> Answer {
    plain(StatusCode::NOT_FOUND, "There is nothing here.")
}
