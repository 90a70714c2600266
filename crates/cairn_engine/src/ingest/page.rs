//! The address of a page, split into the parts that are kept.
//!
//! Guarantees: host in lower case and ASCII form without port, log-in or trailing dot; never a
//! fragment, unless it is a client-side route (`#/…`, `#!…`); never a parameter that names a mail's
//! recipient, ours (`cairn_click`) included, a live test, or what a link between the owner's domains carries. It does not decode or reorder paths: a page is called what its server
//! calls it.

use std::borrow::Cow;
use std::ops::Range;

use super::rejection::Rejection;
use crate::token::click::CLICK_PARAMETER;
use crate::token::crossing::LINK_PARAMETER;

/// Parameters that identify the recipient of a mail, as mail services document them: kept by nobody.
const RECIPIENT_PARAMETERS: [&str; 9] = [
    "mc_eid",
    "mkt_tok",
    "_hsenc",
    "_hsmi",
    "vero_id",
    "ck_subscriber_id",
    "oly_enc_id",
    "_kx",
    CLICK_PARAMETER,
];
/// The parameter by which a live test knows the hits of its visit: kept nowhere, so that a test leaves no page of its own.
pub const TEST_PARAMETER: &str = "cairn_test";

/// A page address as sent, with the places of its parts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page<'a> {
    text: Cow<'a, str>,
    host: Host,
    path: Range<usize>,
    query: Range<usize>,
    /// Path and route together, where a fragment counts as part of the path.
    routed_path: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Host {
    AsSent(Range<usize>),
    Normal(String),
}

impl Default for Host {
    fn default() -> Self {
        Host::AsSent(0..0)
    }
}

impl<'a> Page<'a> {
    /// Splits an address; the empty text is the empty page.
    pub fn parse(field: &'static str, text: Cow<'a, str>) -> Result<Self, Rejection> {
        if text.is_empty() {
            return Ok(Page::default());
        }
        let (scheme_size, host_required) = match scheme(&text) {
            Some("http" | "https") => (text.find("://").unwrap_or(0) + 3, true),
            Some(scheme) => (scheme.len() + 3, false),
            None => return Err(not_absolute(field)),
        };
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err(Rejection::malformed(field, "contains control characters"));
        }
        let rest = &text[scheme_size..];
        let authority_size = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let host = host(&text, scheme_size..scheme_size + authority_size, host_required)
            .filter(|_| !rest[authority_size..].starts_with('\\'))
            .ok_or_else(|| Rejection::malformed(field, "its host is not a valid host name"))?;
        let mut page = Page { host, ..Page::default() };
        page.split_rest(&text, scheme_size + authority_size);
        page.text = text;
        Ok(page)
    }

    fn split_rest(&mut self, text: &str, start: usize) {
        // An address on somebody's own disk says who he is.
        if text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:")) {
            return;
        }
        let rest = &text[start..];
        let hash = rest.find('#').unwrap_or(rest.len());
        let query = rest[..hash].find('?').unwrap_or(hash);
        self.path = start..start + query;
        self.query = (start + query + 1).min(start + hash)..start + hash;
        let route = &rest[hash..];
        if route.starts_with("#/") || route.starts_with("#!") {
            let path = if query == 0 { "/" } else { &rest[..query] };
            self.routed_path = Some(format!("{path}{route}"));
        }
    }

    /// Host, empty for an address without one.
    pub fn hostname(&self) -> &str {
        match &self.host {
            Host::AsSent(range) => &self.text[range.clone()],
            Host::Normal(host) => host,
        }
    }

    /// Path with its leading slash; empty only where there is no address at all.
    pub fn path(&self) -> &str {
        if let Some(path) = &self.routed_path {
            return path;
        }
        match &self.text[self.path.clone()] {
            "" if self.text.is_empty() => "",
            "" => "/",
            path => path,
        }
    }

    /// The whole query as sent, without `?`.
    pub fn raw_query(&self) -> &str {
        &self.text[self.query.clone()]
    }

    /// What one of our links told this landing page; nearly always nothing, which is seen at a glance.
    pub fn click_token(&self) -> Option<&str> {
        let query = self.raw_query();
        if query.is_empty() || !query.contains(CLICK_PARAMETER) {
            return None;
        }
        query.split('&').find_map(|pair| pair.strip_prefix(CLICK_PARAMETER)?.strip_prefix('='))
    }

    /// What carries a visit here from another domain of the site; nearly always nothing, which is seen at a glance.
    pub fn link_token(&self) -> Option<&str> {
        let query = self.raw_query();
        if query.is_empty() || !query.contains(LINK_PARAMETER) {
            return None;
        }
        query.split('&').find_map(|pair| pair.strip_prefix(LINK_PARAMETER)?.strip_prefix('='))
    }

    /// The address as sent.
    pub fn as_sent(&self) -> &str {
        &self.text
    }
}

/// The query without the parameters that `keeps` refuses and without those that name a person, a test or a link. A name
/// counts as servers read it, with its percent-encoding undone.
pub fn filtered_query(query: &str, keeps: impl Fn(&str) -> bool) -> Cow<'_, str> {
    let kept = |pair: &str| {
        let name = pair.split('=').next().unwrap_or("");
        let decoded = name.contains(['%', '+']).then(|| decoded_name(name));
        let name = decoded.as_deref().unwrap_or(name);
        !RECIPIENT_PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(name))
            && name != TEST_PARAMETER
            && !name.eq_ignore_ascii_case(LINK_PARAMETER)
            && keeps(name)
    };
    if query.split('&').all(kept) {
        return Cow::Borrowed(query);
    }
    let mut filtered = String::with_capacity(query.len());
    for pair in query.split('&').filter(|pair| kept(pair)) {
        if !filtered.is_empty() {
            filtered.push('&');
        }
        filtered.push_str(pair);
    }
    Cow::Owned(filtered)
}

fn decoded_name(name: &str) -> String {
    let mut pairs = url::form_urlencoded::parse(name.as_bytes());
    pairs.next().map_or_else(String::new, |(name, _)| name.into_owned())
}

/// A path whose client-side route has a query of its own, with what of that may be kept; as it is where it has none.
pub fn filtered_route(path: &str, keeps: impl Fn(&str) -> bool) -> Cow<'_, str> {
    let Some((place, query)) = path.split_once('?') else { return Cow::Borrowed(path) };
    match filtered_query(query, keeps) {
        Cow::Borrowed(_) => Cow::Borrowed(path),
        Cow::Owned(kept) if kept.is_empty() => Cow::Owned(place.to_owned()),
        Cow::Owned(kept) => Cow::Owned(format!("{place}?{kept}")),
    }
}

/// Address without query and fragment: all that is used of a referrer without permission.
pub fn without_query(address: &str) -> &str {
    &address[..address.find(['?', '#']).unwrap_or(address.len())]
}

fn not_absolute(field: &'static str) -> Rejection {
    Rejection::malformed(field, "not an absolute address (https://shop.example/page)")
}

fn scheme(text: &str) -> Option<&str> {
    if text.starts_with("https://") {
        return Some("https");
    }
    let scheme = &text[..text.find("://")?];
    let valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.len() <= 32
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !valid {
        return None;
    }
    match () {
        () if scheme.eq_ignore_ascii_case("http") => Some("http"),
        () if scheme.eq_ignore_ascii_case("https") => Some("https"),
        () => Some(scheme),
    }
}

/// The host inside an authority; `None` if it is not one.
fn host(text: &str, authority: Range<usize>, required: bool) -> Option<Host> {
    let after_login = text[authority.clone()].rfind('@').map_or(0, |at| at + 1);
    let start = authority.start + after_login;
    let host_and_port = &text[start..authority.end];
    let size = match host_and_port.rfind(':') {
        Some(colon) if !host_and_port[colon..].contains(']') => {
            let port = &host_and_port[colon + 1..];
            if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.len() > 5 {
                return None;
            }
            colon
        }
        _ => host_and_port.len(),
    };
    let host = &host_and_port[..size];
    if host.is_empty() {
        return (!required).then(Host::default);
    }
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let odd_dots = host.starts_with('.') || host.ends_with('.') || host.contains("..");
    if host.len() <= 253 && host.bytes().all(plain) && !odd_dots {
        return Some(Host::AsSent(start..start + size));
    }
    normal_host(host).map(Host::Normal)
}

/// Lower case, ASCII form, no trailing dot.
pub fn normal_host(host: &str) -> Option<String> {
    let host = url::Host::parse(host).ok()?.to_string();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let sound = !host.is_empty() && host.len() <= 253 && !host.starts_with('.');
    (sound && !host.contains("..")).then(|| host.to_owned())
}

/// Host of an `Origin` or `Referer` header in the same form; `None` where it names none.
pub fn origin_host(header: &str) -> Option<Cow<'_, str>> {
    let scheme_size = scheme(header)?.len() + 3;
    let rest = &header[scheme_size..];
    let end = scheme_size + rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    match host(header, scheme_size..end, true)? {
        Host::AsSent(range) => Some(Cow::Borrowed(&header[range])),
        Host::Normal(host) => Some(Cow::Owned(host)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str) -> Option<(String, String, String)> {
        let page = Page::parse("url", Cow::Borrowed(text)).ok()?;
        Some((page.hostname().into(), page.path().into(), page.raw_query().into()))
    }

    #[test]
    fn splits_what_browsers_send() {
        for (text, host, path, query) in [
            ("https://shop.example/p/7?utm_source=mail", "shop.example", "/p/7", "utm_source=mail"),
            ("https://shop.example", "shop.example", "/", ""),
            ("http://shop.example:8080?a=1#top", "shop.example", "/", "a=1"),
            ("HTTPS://Shop.Example/A#frag", "shop.example", "/A", ""),
            ("https://bücher.example/süß", "xn--bcher-kva.example", "/süß", ""),
            ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", "/", ""),
            ("https://user:secret@shop.example/", "shop.example", "/", ""),
            ("http://[::1]:8080/x", "[::1]", "/x", ""),
            ("http://127.0.0.1:8080/demo/", "127.0.0.1", "/demo/", ""),
            ("https://shop.example./", "shop.example", "/", ""),
            ("https://app.example/x?a=1#/inbox", "app.example", "/x#/inbox", "a=1"),
            ("https://app.example/#access_token=secret", "app.example", "/", ""),
            ("app://home/basket", "home", "/basket", ""),
            ("file:///C:/Users/anna/page.html?x", "", "/", ""),
            ("a://", "", "/", ""),
            ("", "", "", ""),
        ] {
            let wanted = (host.to_owned(), path.to_owned(), query.to_owned());
            assert_eq!(parts(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in [
            "shop.example/p",
            "/p/7",
            "javascript:alert(1)",
            "about:blank",
            "https://",
            "https:///x",
            "https://a b.example/",
            "https://shop..example/",
            "https://shop.example:http/",
            "https://shop.example/\u{0}",
            "://x",
            "1http://x/",
            "https://[::1/",
            "https://shop.example\\p",
            "https://@/",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn filters_parameters() {
        let utm_only = |name: &str| name.starts_with("utm_");
        assert_eq!(
            filtered_query("q=me@x.example&utm_source=a&utm_medium=b", utm_only),
            "utm_source=a&utm_medium=b"
        );
        assert_eq!(filtered_query("q=1&MC_EID=77&b=", |_| true), "q=1&b=");
        assert_eq!(filtered_query("m%63_eid=77&%75tm_source=a&x=1", utm_only), "%75tm_source=a");
        assert_eq!(filtered_route("/a#/b?mc_eid=7", |_| true), "/a#/b");
        assert_eq!(filtered_route("/a#/b?q=1&mc_eid=7", |_| true), "/a#/b?q=1");
        assert!(matches!(filtered_route("/a#/b?q=1", |_| true), Cow::Borrowed(_)));
        assert!(matches!(filtered_query("q=1&b", |_| true), Cow::Borrowed("q=1&b")));
        assert_eq!(without_query("https://a.example/b?c#d"), "https://a.example/b");
    }

    #[test]
    fn finds_what_a_link_told() {
        let told = |text: &str| {
            let page = Page::parse("url", Cow::Owned(text.to_owned())).unwrap();
            page.click_token().map(str::to_owned)
        };
        assert_eq!(told("https://a.example/?a=1&cairn_click=T-_1#x").as_deref(), Some("T-_1"));
        assert_eq!(told("https://a.example/?cairn_click=T#/r").as_deref(), Some("T"));
        for text in ["https://a.example/cairn_click=T", "https://a.example/?xcairn_click=T", ""] {
            assert_eq!(told(text), None, "{text}");
        }
        assert_eq!(filtered_query("a=1&cairn_click=T&b=2", |_| true), "a=1&b=2");
        assert_eq!(filtered_query("Cairn_Click=T", |_| true), "");
        assert_eq!(filtered_query("a=1&cairn_link=T&Cairn_Link=T", |_| true), "a=1");
        let page = Page::parse("url", Cow::Borrowed("https://a.example/?b&cairn_link=L-_1#x"));
        assert_eq!(page.unwrap().link_token(), Some("L-_1"));
    }

    #[test]
    fn reads_origins() {
        assert_eq!(origin_host("https://Shop.example:8443").as_deref(), Some("shop.example"));
        assert_eq!(origin_host("null"), None);
        assert_eq!(origin_host("https://"), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,60}", tail in "[a-zA-Z0-9:/?#@.\\[\\]é-]{0,40}") {
            let _ = parts(&text);
            let _ = parts(&format!("https://{tail}"));
            let _ = origin_host(&format!("http://{tail}"));
        }
    }
}
