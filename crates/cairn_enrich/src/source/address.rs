//! Host, path and query of a page address or referrer, taken apart without trusting it.
//!
//! Referrers come from anywhere: any text yields parts or nothing, never an error. User information,
//! port, letter case and the trailing dot of the host are removed; hosts in national scripts are
//! compared in their ASCII form.

use std::borrow::Cow;

/// An address taken apart; the host is lower case and ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub scheme: Cow<'a, str>,
    pub host: Cow<'a, str>,
    pub path: &'a str,
    pub query: &'a str,
    pub fragment: &'a str,
}

/// Takes an address apart; `None` if it has no host.
pub(super) fn parts(text: &str) -> Option<Parts<'_>> {
    let text = text.trim();
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (lower(scheme), rest),
        _ => (Cow::Borrowed(""), text.strip_prefix("//")?),
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (before, fragment) = tail.split_once('#').unwrap_or((tail, ""));
    let (path, query) = before.split_once('?').unwrap_or((before, ""));
    let host = normal_host(authority)?;
    Some(Parts { scheme, host, path, query, fragment })
}

/// A host without user information, port and trailing dot, lower case, ASCII.
pub(super) fn normal_host(authority: &str) -> Option<Cow<'_, str>> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = if host.starts_with('[') {
        &host[..=host.find(']')?]
    } else {
        host.split_once(':').map_or(host, |(host, _)| host)
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if !host.is_ascii() || host.contains('%') {
        return url::Host::parse(host).ok().map(|host| Cow::Owned(host.to_string()));
    }
    let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let is_sound = host.starts_with('[') || host.bytes().all(is_host);
    let is_sound = is_sound && !host.is_empty() && host.len() <= 253 && !host.starts_with('.');
    is_sound.then(|| lower(host))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

pub(super) fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// The pairs of a query, still encoded.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split(['&', ';'])
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Undoes percent encoding and `+`; bytes that are no UTF-8 become the replacement character.
pub(super) fn decoded(text: &str) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let (byte, used) = match bytes[index] {
            b'+' => (b' ', 1),
            b'%' => match (hex(bytes.get(index + 1)), hex(bytes.get(index + 2))) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => (b'%', 1),
            },
            byte => (byte, 1),
        };
        out.push(byte);
        index += used;
    }
    String::from_utf8(out)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex(byte: Option<&u8>) -> Option<u8> {
    byte.and_then(|&byte| (byte as char).to_digit(16)).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_addresses_come_apart() {
        let host = |text| parts(text).map(|parts| parts.host.into_owned());
        assert_eq!(
            host("https://User:pw@WWW.Example.COM.:8443/a?b#c").as_deref(),
            Some("www.example.com")
        );
        assert_eq!(host("http://münchen.example/").as_deref(), Some("xn--mnchen-3ya.example"));
        assert_eq!(host("http://[2001:db8::1]:80/").as_deref(), Some("[2001:db8::1]"));
        assert_eq!(host("//cdn.example/x").as_deref(), Some("cdn.example"));
        for nothing in ["", "about:blank", "javascript:alert(1)", "http://", "http:///x", "no host"]
        {
            assert_eq!(host(nothing), None, "{nothing:?}");
        }
        assert_eq!(decoded("a%20b+c%zz%"), "a b c%zz%");
        assert_eq!(decoded("%E4%BA%8C"), "二");
    }
}
