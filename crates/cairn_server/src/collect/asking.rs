//! `GET /consent.json`: whether this visitor is to be asked, in which words, and what he said before.
//! `GET /.well-known/gpc.json`: that Global Privacy Control is honoured here.
//!
//! Guarantees: nothing is stored, set or counted; the address is used for its place and forgotten. The script is the same
//! for everybody and kept by caches, so it cannot hold this; the choice lies in a cookie of this host, which scripts of
//! the page's host need not be able to read.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use cairn_catalog::PixelEntry;
use cairn_engine::ingest::consent::SentConsent;
use cairn_engine::ingest::{Hit, Telling};
use cairn_enrich::RequestKind;
use cairn_model::notice::{self, Language};
use cairn_model::{Choice, Notice, PixelKind, Purpose};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Body;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Cors, add_cors, refusal, whole};
use super::page::{Form, nothing};
use super::request::Head;
use super::{Collector, unknown_key};

/// Changes with the arrangement of banner and preference centre, which a proof of consent depends on as on the words.
const ARRANGEMENT: &str = "1";
/// The day of the statement on Global Privacy Control (Global Privacy Control, W3C: `lastUpdate`).
const GPC_STATEMENT: &[u8] = br#"{"gpc":true,"lastUpdate":"2026-11-23"}"#;

impl Collector {
    /// Answers whether to ask.
    pub fn asking(&self, request: &Parts, peer: IpAddr) -> Answer {
        let head = Head::read(&request.headers);
        let query = Query::read(request);
        let Some(entry) = self.asking_entry(&query.key) else {
            return refusal(StatusCode::NOT_FOUND, &unknown_key(), Cors::Any);
        };
        let now_ms = self.edge.app.now_ms(&request.headers);
        let hit = head.hit(peer, &self.edge.trusted_proxies, RequestKind::Script, now_ms);
        let admission =
            self.edge.app.ingest.admit(&hit, &entry, SentConsent::Nothing, Telling::default());
        let asks = admission.asks();
        let mut body = json!({"ask": asks, "gpc": hit.gpc});
        let recorded = Purpose::ALL.iter().zip(admission.recorded().choices);
        let choices: Map<String, Value> = recorded
            .filter_map(|(purpose, recorded)| {
                let word = if recorded?.choice == Choice::Granted { "granted" } else { "denied" };
                Some((purpose.name().to_owned(), word.into()))
            })
            .collect();
        body["choices"] = Value::Object(choices);
        if asks || hit.gpc || query.wants_texts {
            let notice = &entry.site.site.asking.notice;
            let language = query.language(&hit);
            body["language"] = language.tag.into();
            body["version"] = version(language, notice).into();
            body["policy_url"] = notice.policy_url.as_str().into();
            let texts = language.banner(notice).into_iter();
            let texts = texts.map(|(name, text)| (name.to_owned(), text.into()));
            body["texts"] = Value::Object(texts.collect());
        }
        let cors = match admission.has_listed_origin() {
            true => Cors::Listed(head.origin()),
            false => Cors::Any,
        };
        let mut headers = json_headers("no-store");
        add_cors(&mut headers, cors);
        whole(StatusCode::OK, headers, body.to_string().into())
    }

    /// Answers with the statement.
    pub fn gpc_statement() -> Answer {
        let mut headers = json_headers("public, max-age=86400");
        add_cors(&mut headers, Cors::Any);
        whole(StatusCode::OK, headers, Bytes::from_static(GPC_STATEMENT))
    }

    /// The pixel whose visitors are asked; a server's secret names none.
    pub(super) fn asking_entry(&self, key: &str) -> Option<Arc<PixelEntry>> {
        let entry = self.edge.app.directory.current().by_key(key)?;
        (entry.pixel.kind != PixelKind::Server).then_some(entry)
    }

    /// A form that one of its pages sent; `Err`: the answer, where it is not to be had.
    pub(super) async fn asking_form<B>(
        &self,
        headers: &HeaderMap,
        body: B,
    ) -> Result<(Form, Arc<PixelEntry>), Answer>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let form = Form::read(headers, body).await?;
        let entry = self.asking_entry(form.get("key")).ok_or_else(nothing)?;
        Ok((form, entry))
    }
}

/// What the query says.
pub(super) struct Query {
    /// The pixel's key.
    pub key: String,
    languages: String,
    wants_texts: bool,
}

impl Query {
    pub(super) fn read(request: &Parts) -> Self {
        let mut read = Query { key: String::new(), languages: String::new(), wants_texts: false };
        let query = request.uri.query().unwrap_or("").as_bytes();
        for (name, value) in url::form_urlencoded::parse(query) {
            match name.as_ref() {
                "key" => read.key = value.into_owned(),
                "language" => read.languages = value.into_owned(),
                "texts" => read.wants_texts = true,
                _ => {}
            }
        }
        read
    }

    /// The page's language, else the browser's.
    pub(super) fn language(&self, hit: &Hit<'_>) -> &'static Language {
        let accepted = hit.accept_language.split(',');
        let accepted = accepted.map(|entry| entry.split(';').next().unwrap_or(""));
        notice::language(self.languages.split(',').chain(accepted))
    }
}

/// Names what is shown: the same words in the same arrangement have the same version.
pub(super) fn version(language: &'static Language, notice: &Notice) -> String {
    let mut hasher = blake3::Hasher::new();
    let names = notice::names().map(|name| language.text(notice, name));
    for text in names.chain([language.tag, &notice.policy_url]) {
        hasher.update(&text.len().to_le_bytes());
        hasher.update(text.as_bytes());
    }
    format!("{ARRANGEMENT}-{}", &hasher.finalize().to_hex()[..12])
}

fn json_headers(caching: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, caching),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}
