//! `GET /cairn.js`: the tracker.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Collector;
use super::answer::{Answer, whole};
use crate::assets::Asset;

/// The script, packed when the program was built.
pub(super) struct Tracker(&'static Asset);

impl Tracker {
    /// The embedded script; `None` where the program was built without it.
    pub(super) fn embedded() -> Option<Self> {
        crate::assets::tracker().map(Tracker)
    }
}

impl Collector {
    /// Answers with the script. The key is the script's own business: it is served for any.
    pub fn script(&self, request: &Parts) -> Answer {
        let mut headers = HeaderMap::with_capacity(8);
        let Some(Tracker(asset)) = &self.edge.tracker else {
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
        headers.insert(header::ETAG, HeaderValue::from_static(asset.etag));
        if knows(&request.headers, asset.etag) {
            return whole(StatusCode::NOT_MODIFIED, headers, Bytes::new());
        }
        let javascript = HeaderValue::from_static("text/javascript; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, javascript);
        let (coding, bytes) = asset.packed(&request.headers).unwrap_or(("", asset.bytes));
        if !coding.is_empty() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        whole(StatusCode::OK, headers, Bytes::from_static(bytes))
    }
}

fn knows(headers: &HeaderMap, etag: &str) -> bool {
    text(headers, header::IF_NONE_MATCH).split(',').any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag
    })
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}
