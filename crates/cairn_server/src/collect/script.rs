//! `GET /cairn.js`: the tracker with the settings of a pixel. `GET /cairn/NAME-HASH.js`: its parts, `GET /m` the one that
//! remembers.
//! `GET /cairn.json`: the settings alone, for pages that bring the tracker in a bundle of their own.
//!
//! Guarantees: there is one tracker for all pixels. Its settings are a call at its very end, which is appended to the
//! packed form as it is, so that no request pays for compression.

use std::borrow::Cow;

use bytes::Bytes;
use cairn_model::tracker::ConsentManager;
use cairn_model::{Site, TrackerSettings};
use crc32fast::Hasher;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::Collector;
use super::answer::{Answer, whole};
use crate::assets::{self, preferred, tracker_part};

/// How long a browser may use the script without asking: also the time that new settings take to arrive.
const SCRIPT_CACHING: &str = "public, max-age=3600";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
/// Most bytes of a call with settings; both packed forms can hold this much in one uncompressed block.
const CALL_SIZE_BYTES_MAX: usize = 1 << 16;

/// The script, packed when the program was built.
pub(super) struct Tracker {
    script: &'static assets::Tracker,
    checksum: Hasher,
}

impl Tracker {
    /// The embedded script; `None` where the program was built without it.
    pub(super) fn embedded() -> Option<Self> {
        let script = assets::TRACKER.as_ref()?;
        let mut checksum = Hasher::new();
        checksum.update(script.plain);
        Some(Tracker { script, checksum })
    }

    /// The script with this call behind it, in the form that the caller wants most.
    fn with_call(&self, call: &[u8], headers: &HeaderMap) -> (&'static str, Bytes) {
        let forms = [("br", Some(self.script.brotli)), ("gzip", Some(self.script.gzip))];
        let (coding, head) = preferred(headers, forms).unwrap_or(("", self.script.plain));
        let mut body = Vec::with_capacity(head.len() + call.len() + 16);
        body.extend_from_slice(head);
        match coding {
            "br" => finish_brotli(&mut body, call),
            "gzip" => self.finish_gzip(&mut body, call),
            _ => body.extend_from_slice(call),
        }
        (coding, body.into())
    }

    /// RFC 1951, 3.2.4: a last, stored block; RFC 1952, 2.3.1: checksum and size of the content.
    fn finish_gzip(&self, body: &mut Vec<u8>, call: &[u8]) {
        let size = u16::try_from(call.len()).unwrap_or(u16::MAX);
        body.push(0b001);
        body.extend_from_slice(&size.to_le_bytes());
        body.extend_from_slice(&(!size).to_le_bytes());
        body.extend_from_slice(call);
        let mut checksum = self.checksum.clone();
        checksum.update(call);
        body.extend_from_slice(&checksum.finalize().to_le_bytes());
        let whole_size = u32::try_from(self.script.plain.len() + call.len()).unwrap_or(u32::MAX);
        body.extend_from_slice(&whole_size.to_le_bytes());
    }
}

/// RFC 7932, 9.2: an uncompressed meta-block (not the last, size in four nibbles), then a last, empty one.
fn finish_brotli(body: &mut Vec<u8>, call: &[u8]) {
    let size = u32::try_from(call.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let [first, second, third, _] = (size << 3 | 1 << 19).to_le_bytes();
    body.extend_from_slice(&[first, second, third]);
    body.extend_from_slice(call);
    body.push(0b11);
}

impl Collector {
    /// Answers with the script. One without a known key has the settings of a new pixel.
    pub fn script(&self, request: &Parts) -> Answer {
        let Some(tracker) = &self.edge.tracker else { return nothing() };
        let mut call = format!("({})", self.settings(request));
        if call.len() >= CALL_SIZE_BYTES_MAX {
            call = String::from("({})");
        }
        let settings_tag = blake3::hash(call.as_bytes()).to_hex();
        let tag = format!("\"{}-{}\"", tracker.script.tag, &settings_tag[..16]);
        let mut headers = headers(SCRIPT_CACHING);
        if knows(&mut headers, request, &tag) {
            return whole(StatusCode::NOT_MODIFIED, headers, Bytes::new());
        }
        let (coding, body) = tracker.with_call(call.as_bytes(), &request.headers);
        send(headers, coding, body)
    }

    /// Answers with the settings that the script would have.
    pub fn script_settings(&self, request: &Parts) -> Answer {
        let mut headers = headers(SCRIPT_CACHING);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let settings = self.settings(request);
        whole(StatusCode::OK, headers, settings.to_string().into())
    }

    /// Answers with a part of the script, by its path.
    pub fn script_part(request: &Parts) -> Answer {
        let path = request.uri.path();
        let file = path.strip_prefix("/cairn/").and_then(|file| file.strip_suffix(".js"));
        // The part that remembers has one name for ever, where its own calls go: it is loaded by whoever calls it, also
        // where no settings name it.
        let name = match path {
            "/m" => "memory",
            _ => file.and_then(|file| file.rsplit_once('-')).map_or("", |(name, _)| name),
        };
        let Some(part) = tracker_part(name) else { return nothing() };
        // A script that a browser kept over an upgrade asks for what the part was called before.
        let is_named_so = path.strip_prefix('/') == Some(part.path);
        let mut headers = headers(if is_named_so { FOR_EVER } else { "no-cache" });
        if knows(&mut headers, request, part.etag) {
            return whole(StatusCode::NOT_MODIFIED, headers, Bytes::new());
        }
        let (coding, bytes) = part.packed(&request.headers).unwrap_or(("", part.bytes));
        send(headers, coding, Bytes::from_static(bytes))
    }

    fn settings(&self, request: &Parts) -> Value {
        let query = request.uri.query().unwrap_or("").as_bytes();
        let key = url::form_urlencoded::parse(query).find(|(name, _)| name == "key");
        let key = key.map_or(Cow::Borrowed(""), |(_, key)| key);
        self.edge.app.live_tests.note_script(&key);
        let entry = self.edge.app.directory.current().by_key(&key);
        match entry {
            Some(entry) => written(&entry.pixel.settings, &key, Some(&entry.site.site)),
            None => written(&TrackerSettings::default(), "", None),
        }
    }
}

/// The settings as the tracker reads them: each part that is asked for, with the address of its module.
fn written(settings: &TrackerSettings, key: &str, site: Option<&Site>) -> Value {
    let mut object = Map::new();
    for (name, is_wanted) in settings.parts() {
        let Some(part) = tracker_part(name).filter(|_| is_wanted) else { continue };
        let mut options = json!({"src": part.path});
        match name {
            "clicks" if !settings.download_extensions.is_empty() => {
                options["extensions"] = json!(settings.download_extensions);
            }
            "banner" => options["key"] = json!(key),
            "links" => {
                let hosts =
                    site.iter().flat_map(|site| std::iter::once(&site.domain).chain(&site.hosts));
                options["key"] = json!(key);
                options["hosts"] = hosts.map(String::as_str).collect();
            }
            "managers" if settings.consent_managers.len() < ConsentManager::ALL.len() => {
                options["read"] = json!(settings.consent_managers);
            }
            "search" if !settings.search_parameters.is_empty() => {
                options["parameters"] = json!(settings.search_parameters);
            }
            _ => {}
        }
        object.insert(name.to_owned(), options);
    }
    if settings.hash_routes {
        object.insert("hash_routes".to_owned(), Value::Bool(true));
    }
    Value::Object(object)
}

fn headers(caching: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    let fixed = [
        (header::CACHE_CONTROL, caching),
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
    headers
}

fn nothing() -> Answer {
    whole(StatusCode::NOT_FOUND, HeaderMap::new(), Bytes::new())
}

fn send(mut headers: HeaderMap, coding: &'static str, body: Bytes) -> Answer {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JAVASCRIPT));
    if !coding.is_empty() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    whole(StatusCode::OK, headers, body)
}

/// Sets the tag; true where the caller has what it names.
fn knows(headers: &mut HeaderMap, request: &Parts, tag: &str) -> bool {
    if let Ok(value) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, value);
    }
    let known = request.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.unwrap_or("").split(',').any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn a_call_of_any_size_is_read_behind_each_packed_form() {
        const HEAD: &[u8] = b"(settings=>{console.log(settings)})";
        let mut brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 11, 22);
        brotli.write_all(HEAD).unwrap();
        brotli.flush().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(HEAD).unwrap();
        gzip.flush().unwrap();
        let script: &'static assets::Tracker = Box::leak(Box::new(assets::Tracker {
            plain: HEAD,
            gzip: gzip.get_ref().clone().leak(),
            brotli: brotli.get_ref().clone().leak(),
            tag: "",
        }));
        let mut checksum = Hasher::new();
        checksum.update(HEAD);
        let tracker = Tracker { script, checksum };
        for size in [4, 5, 255, 256, 257, 4_000, CALL_SIZE_BYTES_MAX - 1] {
            let call: Vec<u8> = (0..size).map(|at| b' ' + (at * 7 % 90) as u8).collect();
            let wanted = [HEAD, &call].concat();
            for coding in ["br", "gzip", "identity"] {
                let mut headers = HeaderMap::new();
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(coding));
                let (sent, body) = tracker.with_call(&call, &headers);
                let mut read = Vec::new();
                match sent {
                    "br" => brotli::BrotliDecompress(&mut &body[..], &mut read).unwrap(),
                    "gzip" => {
                        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut read).unwrap();
                    }
                    _ => read.extend_from_slice(&body),
                }
                assert!(read == wanted, "{size} bytes as {coding}");
            }
        }
    }
}
