//! Files in the program: the dashboard, the tracker and the demo shop.
//!
//! Guarantees: every file has an ETag of its content; only files whose names hold a hash are cached for ever. Texts are
//! packed when the program is built, as brotli and gzip: sending them costs neither time nor memory.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

/// An embedded file.
pub struct Asset {
    /// Path without the leading slash.
    pub path: &'static str,
    /// Media type.
    pub content_type: &'static str,
    /// Content.
    pub bytes: &'static [u8],
    /// Content, compressed; `None` where that does not pay.
    pub gzip: Option<&'static [u8]>,
    /// Content, compressed further; `None` in the same cases.
    pub brotli: Option<&'static [u8]>,
    /// Quoted hash of the content.
    pub etag: &'static str,
    /// The name holds a hash of the content.
    pub immutable: bool,
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Shown where the program was built without the dashboard.
const NO_DASHBOARD: &str = "<!doctype html><meta charset=utf-8><title>Cairn</title>\
    <h1>Cairn is running</h1><p>This program was built without its dashboard. \
    Build it with <code>make dashboard</code>, then build the program again. \
    The API is complete: <a href=\"/api/openapi.json\">/api/openapi.json</a>.";

/// What pages of the dashboard may load: its own files only, nothing written into the page.
const CSP_DASHBOARD: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";
/// The demo shop carries the snippet as a customer's page does: inline.
const CSP_DEMO: &str = "default-src 'self'; script-src 'self' 'unsafe-inline'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self'";

/// Stands in the shop's pages where the key of its pixel belongs.
const DEMO_KEY_PLACE: &str = "__CAIRN_KEY__";

/// The embedded file of this path (no leading slash).
pub fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

/// The tracker without its settings, which are written behind it: each compressed form ends at a byte, unfinished.
pub struct Tracker {
    /// As it is.
    pub plain: &'static [u8],
    /// As the beginning of a gzip member.
    pub gzip: &'static [u8],
    /// As the beginning of a brotli stream.
    pub brotli: &'static [u8],
    /// Hash of the content.
    pub tag: &'static str,
}

/// The tracker; `None` where the program was built without it.
pub static TRACKER: Option<Tracker> = include!(concat!(env!("OUT_DIR"), "/tracker.rs"));

/// The part of the tracker with this name, such as `clicks`.
pub fn tracker_part(name: &str) -> Option<&'static Asset> {
    let file = |asset: &Asset| {
        let rest = asset.path.strip_prefix("cairn/")?.strip_prefix(name)?.strip_prefix('-')?;
        rest.strip_suffix(".js").map(|_| ())
    };
    ASSETS.iter().find(|asset| file(asset).is_some())
}

/// Answers a GET for a path below the dashboard or the demo shop; `None`: there is nothing. The shop is there only with
/// the key of its pixel.
pub fn answer(
    path: &str,
    headers: &HeaderMap,
    method: &Method,
    demo_pixel_key: Option<&str>,
) -> Option<Response> {
    let name = path.strip_prefix('/')?;
    let in_demo = name == "demo" || name.starts_with("demo/");
    let shop = demo_pixel_key.filter(|_| in_demo);
    if in_demo && shop.is_none() {
        return None;
    }
    if name == "demo" {
        return Some(redirect("/demo/"));
    }
    if !in_demo && (name.is_empty() || (is_page(name) && accepts_html(headers))) {
        return Some(page(headers, method));
    }
    if in_demo && name.ends_with('/') {
        let asset = find(&format!("{name}index.html"))?;
        return Some(shop_page(asset, method, shop.unwrap_or_default()));
    }
    let asset = find(name).or_else(|| {
        // The shop's pages have addresses without an ending.
        in_demo.then(|| find(&format!("{name}.html"))).flatten()
    })?;
    match shop {
        Some(key) if asset.content_type.starts_with("text/html") => {
            Some(shop_page(asset, method, key))
        }
        _ => Some(file(asset, headers, method)),
    }
}

/// A page of the demo shop, with the key of its pixel in the snippet.
fn shop_page(asset: &'static Asset, method: &Method, key: &str) -> Response {
    let text = String::from_utf8_lossy(asset.bytes).replace(DEMO_KEY_PLACE, key);
    let mut response = Response::new(Body::empty());
    let set = response.headers_mut();
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    set.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP_DEMO));
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    set.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    if method != Method::HEAD {
        *response.body_mut() = Body::from(text);
    }
    response
}

/// Addresses that the dashboard's own router answers.
fn is_page(name: &str) -> bool {
    name == "index.html"
        || ["setup", "login", "sites", "account", "shared"].iter().any(|first| {
            name.strip_prefix(first).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accept.contains("text/html") || accept.contains("*/*")
}

fn page(headers: &HeaderMap, method: &Method) -> Response {
    if let Some(asset) = find("index.html") {
        return file(asset, headers, method);
    }
    let mut response = Response::new(Body::from(NO_DASHBOARD));
    let set = response.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    set.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP_DASHBOARD));
    response
}

/// Answers with a file, or with 304 where the caller has it.
pub fn file(asset: &'static Asset, headers: &HeaderMap, method: &Method) -> Response {
    let mut response = Response::new(Body::empty());
    let set = response.headers_mut();
    set.insert(header::ETAG, HeaderValue::from_static(asset.etag));
    let caching = if asset.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    set.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if asset.content_type.starts_with("text/html") {
        let policy = if asset.path.starts_with("demo/") { CSP_DEMO } else { CSP_DASHBOARD };
        set.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known == "*" || known.contains(asset.etag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    let (coding, bytes) = asset.packed(headers).unwrap_or(("", asset.bytes));
    if !coding.is_empty() {
        set.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    set.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    if method != Method::HEAD {
        *response.body_mut() = Body::from(bytes);
    }
    response
}

impl Asset {
    /// Name of the content coding and the bytes to send under it; `None`: as it is.
    pub fn packed(&self, headers: &HeaderMap) -> Option<(&'static str, &'static [u8])> {
        preferred(headers, [("br", self.brotli), ("gzip", self.gzip)])
    }
}

/// The form that the caller wants most; of equals the first. `None`: as it is.
pub fn preferred<Form>(
    headers: &HeaderMap,
    forms: [(&'static str, Option<Form>); 2],
) -> Option<(&'static str, Form)> {
    let forms = forms.into_iter().filter_map(|(name, form)| Some((name, form?)));
    let mut best = (weight(headers, "identity"), None);
    for form in forms {
        let weight = weight(headers, form.0);
        if weight > 0.0 && (weight > best.0 || (weight >= best.0 && best.1.is_none())) {
            best = (weight, Some(form));
        }
    }
    best.1
}

/// How much the caller wants a content coding, 0 (not at all) to 1 (RFC 9110, 12.5.3). What is sent as it is needs no
/// mention, but yields to anything that is mentioned.
fn weight(headers: &HeaderMap, coding: &str) -> f32 {
    let lines =
        headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let (mut named, mut others) = (None, None);
    for entry in lines.flat_map(|line| line.split(',')) {
        let (name, parameter) = entry.split_once(';').unwrap_or((entry, ""));
        let (key, value) = parameter.split_once('=').unwrap_or(("q", "1"));
        let told = if key.trim().eq_ignore_ascii_case("q") { value.trim() } else { "0" };
        let told = told.parse().ok().filter(|told| (0.0..=1.0).contains(told)).unwrap_or(0.0);
        match name.trim() {
            "*" => others = Some(told),
            name if name.eq_ignore_ascii_case(coding) => named = Some(told),
            _ => {}
        }
    }
    match named.or(others) {
        _ if coding == "identity" => named.unwrap_or(0.0),
        weight => weight.unwrap_or(0.0),
    }
}

fn redirect(to: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(to));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_smallest_form_that_is_wanted_most_is_sent() {
        let asset = Asset {
            path: "",
            content_type: "",
            bytes: b"plain",
            gzip: Some(b"gzip"),
            brotli: Some(b"br"),
            etag: "",
            immutable: false,
        };
        let sent = |value: &'static str| {
            let wanted = headers(&[(header::ACCEPT_ENCODING, value)]);
            asset.packed(&wanted).map_or("plain", |(coding, _)| coding)
        };
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", "br"),
            ("BR", "br"),
            ("GZIP;q=0.5", "gzip"),
            ("br;q=0.5, gzip;q=0.8", "gzip"),
            ("br;q=0.8, gzip;q=0.8", "br"),
            ("br;q=0, gzip", "gzip"),
            ("br; Q=0.000, *", "gzip"),
            ("*", "br"),
            ("*;q=0", "plain"),
            ("gzip;q=0, br;q=0", "plain"),
            ("identity, gzip;q=0.5", "plain"),
            ("identity;q=0.5, gzip", "gzip"),
            ("identity", "plain"),
            ("gzip;q=2, br;q=x, brotli", "plain"),
            ("", "plain"),
        ] {
            assert_eq!(sent(accepted), coding, "{accepted}");
        }
        assert!(asset.packed(&HeaderMap::new()).is_none());
        let two: HeaderMap = ["gzip;q=0.1", "br;q=0.2"]
            .map(|value| (header::ACCEPT_ENCODING, HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        assert_eq!(asset.packed(&two).map(|(coding, _)| coding), Some("br"), "two lines are one");
    }

    #[test]
    fn texts_are_sent_packed_as_the_caller_likes() {
        let texts = ["text/html", "text/javascript", "text/css"];
        let is_text =
            |asset: &&Asset| texts.iter().any(|kind| asset.content_type.starts_with(kind));
        let large = ASSETS.iter().filter(is_text).filter(|asset| asset.bytes.len() > 2_000);
        let large: Vec<&'static Asset> = large.collect();
        assert!(!large.is_empty(), "the demo shop is part of every build");
        for asset in large {
            let sizes = [("gzip, deflate, br, zstd", "br"), ("gzip, deflate", "gzip"), ("", "")]
                .map(|(accepted, coding)| {
                    let wanted = headers(&[(header::ACCEPT_ENCODING, accepted)]);
                    let response = file(asset, &wanted, &Method::GET);
                    let told = response.headers();
                    let sent = told
                        .get(header::CONTENT_ENCODING)
                        .map_or("", |sent| sent.to_str().unwrap());
                    assert_eq!(sent, coding, "{} for {accepted:?}", asset.path);
                    assert_eq!(told[header::VARY], "accept-encoding", "{}", asset.path);
                    told[header::CONTENT_LENGTH].to_str().unwrap().parse::<usize>().unwrap()
                });
            assert!(sizes[0] < sizes[1] && sizes[1] < sizes[2], "{}: {sizes:?}", asset.path);
            let mut unpacked = Vec::new();
            brotli::BrotliDecompress(&mut asset.brotli.unwrap(), &mut unpacked).unwrap();
            assert!(unpacked == asset.bytes, "{}", asset.path);
        }
    }

    #[test]
    fn a_page_of_the_dashboard_has_a_strict_policy_and_the_demo_is_hidden() {
        let html = headers(&[(header::ACCEPT, "text/html")]);
        for path in ["/", "/login", "/shared", "/sites/1/pixels", "/sites/1/settings"] {
            let response = answer(path, &html, &Method::GET, None).unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains("script-src 'self'; style-src 'self';"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
        }
        assert!(answer("/demo/", &html, &Method::GET, None).is_none());
        assert!(answer("/nothing", &html, &Method::GET, None).is_none());
        assert!(answer("/../Cargo.toml", &html, &Method::GET, Some("px_k")).is_none());
    }

    #[test]
    fn every_file_is_answered_with_304_once_it_is_known() {
        for asset in ASSETS {
            let response = file(asset, &HeaderMap::new(), &Method::GET);
            assert_eq!(response.headers()[header::CONTENT_LENGTH], asset.bytes.len().to_string());
            let known = headers(&[(header::IF_NONE_MATCH, asset.etag)]);
            assert_eq!(file(asset, &known, &Method::GET).status(), StatusCode::NOT_MODIFIED);
        }
    }
}
