//! `/opt-out`: the page where visitors object to the sale and the sharing of their data, and where they take that back.
//!
//! Guarantees: it needs no script, no account and no name. The choice takes the road of any other choice, `POST /e`. Only
//! this page's own form can make it: a form on another site is refused. The page shows what holds, also when the browser
//! would not keep the choice.

use std::fmt::Write;
use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use cairn_catalog::PixelEntry;
use cairn_engine::ingest::Telling;
use cairn_engine::ingest::consent::SentConsent;
use cairn_enrich::RequestKind;
use cairn_model::notice::{LANGUAGES, Language};
use cairn_model::{Choice, Notice, Purpose};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::Full;
use hyper::body::Body;
use serde_json::json;

use super::Collector;
use super::answer::{Answer, read_body, whole};
use super::asking::{Query, version};
use super::request::Head;

const STYLE: &str = include_str!("opt_out.css");
/// The form has three short fields.
const FORM_SIZE_BYTES_MAX: usize = 4096;

/// What holds in this browser.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// He objected here.
    OptedOut,
    /// The browser objects for him.
    Signal,
    /// He allowed it here.
    Allowed,
    /// He said nothing.
    Silent,
}

impl Collector {
    /// Shows the page.
    pub fn opt_out_page(&self, request: &Parts, peer: IpAddr) -> Answer {
        let query = Query::read(request);
        let Some(entry) = self.asking_entry(&query.key) else { return nothing() };
        let head = Head::read(&request.headers);
        let now_ms = self.edge.app.now_ms(&request.headers);
        let hit = head.hit(peer, &self.edge.trusted_proxies, RequestKind::Script, now_ms);
        let admission =
            self.edge.app.ingest.admit(&hit, &entry, SentConsent::Nothing, Telling::default());
        let place = Purpose::ALL.iter().position(|purpose| *purpose == Purpose::Ads);
        let recorded = place.and_then(|place| admission.recorded().choices[place]);
        let standing = match recorded {
            Some(recorded) if recorded.choice == Choice::Denied => Standing::OptedOut,
            Some(recorded) if recorded.under_gpc || !hit.gpc => Standing::Allowed,
            _ if hit.gpc => Standing::Signal,
            _ => Standing::Silent,
        };
        page(&entry, query.language(&hit), standing)
    }

    /// Takes the choice, and leads back to the page.
    pub async fn opt_out<B>(&self, mut request: Parts, body: B, peer: IpAddr) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if !is_own_form(&request.headers) {
            return plain(StatusCode::FORBIDDEN, "This form was sent by another site.");
        }
        let Some(Ok(body)) = read_body(body, FORM_SIZE_BYTES_MAX).await else {
            return plain(StatusCode::BAD_REQUEST, "The form could not be read.");
        };
        let (mut key, mut choice, mut wanted) = (String::new(), None, String::new());
        for (name, value) in url::form_urlencoded::parse(&body) {
            match (name.as_ref(), value.as_ref()) {
                ("key", _) => key = value.into_owned(),
                ("language", _) => wanted = value.into_owned(),
                ("choice", "opt_out") => choice = Some("ads:denied"),
                ("choice", "opt_in") => choice = Some("ads:granted"),
                _ => {}
            }
        }
        let Some(entry) = self.asking_entry(&key) else { return nothing() };
        let Some(choice) = choice else {
            return plain(StatusCode::BAD_REQUEST, "The form says neither yes nor no.");
        };
        let language = cairn_model::notice::language([wanted.as_str()]);
        let notice = &entry.site.site.asking.notice;
        let shown = json!({"version": version(language, notice), "language": language.tag});
        let consent = json!({"choice": choice, "signal": "opt_out_page", "shown": shown});
        let envelope = json!({"key": key, "events": [], "consent": consent}).to_string();
        // The page is this host's own, whatever host that is: its visitors are here by themselves.
        for name in [header::ORIGIN, header::REFERER, header::CONTENT_ENCODING] {
            request.headers.remove(name);
        }
        let kind = HeaderValue::from_static("application/json");
        request.headers.insert(header::CONTENT_TYPE, kind);
        let taken = self.events(&request, Full::new(Bytes::from(envelope)), peer).await;
        if taken.status() != StatusCode::ACCEPTED {
            return plain(taken.status(), "The choice could not be kept. Please try again.");
        }
        let mut headers = HeaderMap::with_capacity(8);
        for cookie in taken.headers().get_all(header::SET_COOKIE) {
            headers.append(header::SET_COOKIE, cookie.clone());
        }
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("key", key.as_str()), ("language", language.tag)])
            .finish();
        if let Ok(back) = HeaderValue::try_from(format!("?{query}")) {
            headers.insert(header::LOCATION, back);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        whole(StatusCode::SEE_OTHER, headers, Bytes::new())
    }
}

/// Browsers say where a form came from in a header that pages cannot write; older ones at least name the origin.
fn is_own_form(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, host)| text(header::HOST) == Some(host))
}

fn page(entry: &PixelEntry, language: &'static Language, standing: Standing) -> Answer {
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "Please try again.");
    }
    let nonce = BASE64_STANDARD.encode(random);
    let html = html(entry, language, standing, &nonce);
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    let mut headers = page_headers("text/html; charset=utf-8");
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    whole(StatusCode::OK, headers, html.into())
}

fn html(
    entry: &PixelEntry,
    language: &'static Language,
    standing: Standing,
    nonce: &str,
) -> String {
    let notice: &Notice = &entry.site.site.asking.notice;
    let text = |name: &str| escaped(language.text(notice, name));
    let (tag, key) = (language.tag, escaped(&entry.pixel.key));
    let (state, choice, button) = match standing {
        Standing::OptedOut => ("opt_out_done", "opt_in", "opt_in_button"),
        Standing::Signal => ("opt_out_gpc", "opt_in", "opt_in_button"),
        Standing::Allowed => ("opt_out_undone", "opt_out", "opt_out_button"),
        Standing::Silent => ("opt_out_open", "opt_out", "opt_out_button"),
    };
    let title = text("opt_out_title");
    let mut html = format!(
        "<!doctype html><html lang=\"{tag}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"robots\" content=\"noindex\">\
         <title>{title}</title><style nonce=\"{nonce}\">{STYLE}</style></head><body><main>\
         <h1>{title}</h1><p>{}</p><p>{}</p><p class=\"state\" role=\"status\">{}</p>\
         <form method=\"post\"><input type=\"hidden\" name=\"key\" value=\"{key}\">\
         <input type=\"hidden\" name=\"language\" value=\"{tag}\">\
         <button name=\"choice\" value=\"{choice}\">{}</button></form>",
        escaped(&entry.site.site.name),
        text("opt_out_text"),
        text(state),
        text(button),
    );
    if !notice.policy_url.is_empty() {
        let (address, words) = (escaped(&notice.policy_url), text("policy"));
        // Writing to a String cannot fail.
        let _ = write!(html, "<p><a href=\"{address}\">{words}</a></p>");
    }
    html.push_str("<nav>");
    for other in LANGUAGES.iter().filter(|other| other.tag != tag) {
        let (tag, name) = (other.tag, other.name);
        let _ = write!(
            html,
            "<a href=\"?key={key}&amp;language={tag}\" lang=\"{tag}\" hreflang=\"{tag}\">{name}</a>"
        );
    }
    html.push_str("</nav></main></body></html>");
    html
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

fn page_headers(content_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Without it the form would name no origin.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

fn plain(status: StatusCode, words: &'static str) -> Answer {
    whole(status, page_headers("text/plain; charset=utf-8"), Bytes::from_static(words.as_bytes()))
}

fn nothing() -> Answer {
    plain(StatusCode::NOT_FOUND, "There is nothing here.")
}
