//! `/opt-out`: the page where visitors object to the sale and the sharing of their data, and where they take that back.
//!
//! Guarantees: it needs no script, no account and no name. The choice takes the road of any other choice, `POST /e`. Only
//! this page's own form can make it: a form on another site is refused. The page shows what holds, also when the browser
//! would not keep the choice.

use std::fmt::Write;
use std::net::IpAddr;

use bytes::Bytes;
use cairn_catalog::PixelEntry;
use cairn_engine::ingest::Telling;
use cairn_engine::ingest::consent::SentConsent;
use cairn_enrich::RequestKind;
use cairn_model::notice::Language;
use cairn_model::{Choice, Notice, Purpose};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use hyper::body::Body;

use super::Collector;
use super::answer::Answer;
use super::asking::Query;
use super::page::{Choosing, STYLE, back, languages, nothing, page, plain};
use super::request::Head;
use crate::rights::html::escaped;

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
        let language = query.language(&hit);
        let headers = HeaderMap::with_capacity(8);
        page(headers, "'none'", |nonce| html(&entry, language, standing, nonce))
    }

    /// Takes the choice, and leads back to the page.
    pub async fn opt_out<B>(&self, mut request: Parts, body: B, peer: IpAddr) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (form, entry) = match self.asking_form(&request.headers, body).await {
            Ok(asking) => asking,
            Err(refusal) => return refusal,
        };
        let choice = match form.get("choice") {
            "opt_out" => "ads:denied",
            "opt_in" => "ads:granted",
            _ => return plain(StatusCode::BAD_REQUEST, "The form says neither yes nor no."),
        };
        let language = form.language();
        let (signal, is_framed) = ("opt_out_page", false);
        let choosing = Choosing { entry: &entry, language, choice, signal, is_framed };
        match self.choose(&mut request, peer, &choosing).await {
            Ok(cookies) => back(cookies, &[("key", form.get("key")), ("language", language.tag)]),
            Err(refusal) => refusal,
        }
    }
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
    html.push_str(&languages(language, &[("key", &entry.pixel.key)]));
    html.push_str("</main></body></html>");
    html
}
