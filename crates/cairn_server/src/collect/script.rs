//! `GET /cairn.js`: the tracker.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Collector;
use super::answer::{Answer, whole};

/// The script, packed when the program was built.
pub(super) struct Tracker {
    plain: Bytes,
    gzip: Option<Bytes>,
    etag: HeaderValue,
}

impl Tracker {
    /// The embedded script; `None` where the program was built without it.
    pub(super) fn embedded() -> Option<Self> {
        let asset = crate::assets::tracker()?;
        Some(Tracker {
            plain: Bytes::from_static(asset.bytes),
            gzip: asset.gzip.map(Bytes::from_static),
            etag: HeaderValue::from_static(asset.etag),
        })
    }
}

impl Collector {
    /// Answers with the script. The key is the script's own business: it is served for any.
    pub fn script(&self, request: &Parts) -> Answer {
        let mut headers = HeaderMap::with_capacity(8);
        let Some(tracker) = &self.edge.tracker else {
            return whole(StatusCode::NOT_FOUND, headers, Bytes::new());
        };
        let fixed = [
            (header::CACHE_CONTROL, "public, max-age=3600"),
            (header::VARY, "Accept-Encoding"),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(
            header::HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        );
        headers.insert(header::ETAG, tracker.etag.clone());
        if knows(&request.headers, &tracker.etag) {
            return whole(StatusCode::NOT_MODIFIED, headers, Bytes::new());
        }
        let javascript = HeaderValue::from_static("text/javascript; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, javascript);
        let accepted = text(&request.headers, header::ACCEPT_ENCODING);
        let accepts = |name: &str| {
            accepted.split(',').any(|entry| {
                let (coding, weight) = entry.split_once(';').unwrap_or((entry, ""));
                coding.trim().eq_ignore_ascii_case(name) && weight.trim() != "q=0"
            })
        };
        if let Some(packed) = tracker.gzip.as_ref().filter(|_| accepts("gzip")) {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            return whole(StatusCode::OK, headers, packed.clone());
        }
        whole(StatusCode::OK, headers, tracker.plain.clone())
    }
}

fn knows(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let etag = etag.to_str().unwrap_or("");
    text(headers, header::IF_NONE_MATCH).split(',').any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag
    })
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}
