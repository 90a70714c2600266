//! What the collecting paths read from a request's head.
//!
//! Guarantees: one pass over the headers, nothing copied. A header that is not text is absent.

use std::borrow::Cow;
use std::net::IpAddr;

use cairn_engine::ingest::Hit;
use cairn_engine::ingest::enrich::AgentFacts;
use cairn_enrich::network::{ForwardedHeaders, Prefix, client_address};
use cairn_enrich::{Address, ClientHints, HeaderFacts, RequestKind};
use http::HeaderMap;

/// Headers of interest; empty where missing.
#[derive(Default)]
pub struct Head<'a> {
    user_agent: &'a str,
    accept_language: &'a str,
    origin: &'a str,
    referer: &'a str,
    cookies: Cow<'a, str>,
    purpose: &'a str,
    hints: ClientHints<'a>,
    has_sec_fetch: bool,
    cross_site: bool,
    gpc: bool,
    forwarded: Cow<'a, str>,
    x_forwarded_for: Cow<'a, str>,
    forwarded_proto: &'a str,
    /// `Content-Type`.
    pub content_type: &'a str,
    /// `Content-Encoding`.
    pub content_encoding: &'a str,
}

impl<'a> Head<'a> {
    /// Reads the headers.
    pub fn read(headers: &'a HeaderMap) -> Self {
        let mut head = Head::default();
        for (name, value) in headers {
            // Agents and pages may have bytes beyond ASCII; those that are UTF-8 are kept.
            if let Ok(text) = std::str::from_utf8(value.as_bytes()) {
                head.add(name.as_str(), text);
            }
        }
        head
    }

    fn add(&mut self, name: &str, text: &'a str) {
        match name {
            "user-agent" => self.user_agent = text,
            "accept-language" => self.accept_language = text,
            "origin" => self.origin = text,
            "referer" => self.referer = text,
            "cookie" => join(&mut self.cookies, text, "; "),
            "content-type" => self.content_type = text,
            "content-encoding" => self.content_encoding = text,
            "x-forwarded-for" => join(&mut self.x_forwarded_for, text, ","),
            "x-forwarded-proto" => self.forwarded_proto = text,
            "forwarded" => join(&mut self.forwarded, text, ","),
            "sec-gpc" => self.gpc |= text == "1",
            "sec-purpose" => self.purpose = text,
            "purpose" | "x-purpose" | "x-moz" if self.purpose.is_empty() => self.purpose = text,
            "x-requested-with" => self.hints.requested_with = text,
            _ if name.starts_with("sec-") => self.add_sec(name, text),
            _ => {}
        }
    }

    fn add_sec(&mut self, name: &str, text: &'a str) {
        if let Some(what) = name.strip_prefix("sec-fetch-") {
            self.has_sec_fetch = true;
            self.cross_site |= what == "site" && text == "cross-site";
        }
        match name {
            "sec-ch-ua" => self.hints.brands = text,
            "sec-ch-ua-full-version-list" => self.hints.full_versions = text,
            "sec-ch-ua-full-version" if self.hints.full_versions.is_empty() => {
                self.hints.full_versions = text;
            }
            "sec-ch-ua-mobile" => self.hints.mobile = text,
            "sec-ch-ua-platform" => self.hints.platform = text,
            "sec-ch-ua-platform-version" => self.hints.platform_version = text,
            "sec-ch-ua-model" => self.hints.model = text,
            "sec-ch-ua-form-factors" => self.hints.form_factors = text,
            _ => {}
        }
    }

    /// The hit, as seen from this peer. Forwarding headers count only from trusted proxies.
    pub fn hit(
        &self,
        peer: IpAddr,
        trusted: &[Prefix],
        kind: RequestKind,
        received_at_ms: i64,
    ) -> Hit<'_> {
        let peer_is_trusted = trusted.iter().any(|prefix| prefix.contains(peer));
        let forwarded =
            ForwardedHeaders { forwarded: &self.forwarded, x_forwarded_for: &self.x_forwarded_for };
        let ip = if peer_is_trusted { client_address(peer, &forwarded, trusted) } else { peer };
        let secure = peer_is_trusted && self.was_https();
        Hit {
            address: Address::new(ip),
            agent: AgentFacts {
                user_agent: self.user_agent,
                hints: self.hints,
                headers: HeaderFacts {
                    kind,
                    secure,
                    has_accept_language: !self.accept_language.is_empty(),
                    has_sec_fetch: self.has_sec_fetch,
                    purpose: self.purpose,
                },
            },
            accept_language: self.accept_language,
            origin: self.origin,
            referer: self.referer,
            cross_site: self.cross_site,
            gpc: self.gpc,
            cookies: &self.cookies,
            secure,
            received_at_ms,
        }
    }

    /// Scheme that the visitor used, as the nearest proxy tells it.
    fn was_https(&self) -> bool {
        let proto = self.forwarded_proto.rsplit(',').next().unwrap_or("").trim();
        let rfc_proto = || {
            let nearest = self.forwarded.rsplit(',').next().unwrap_or("");
            nearest.split(';').any(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or(("", ""));
                name.trim().eq_ignore_ascii_case("proto")
                    && value.trim().trim_matches('"').eq_ignore_ascii_case("https")
            })
        };
        proto.eq_ignore_ascii_case("https") || rfc_proto()
    }

    /// `Referer`, which an image without `url` stands for.
    pub fn referer(&self) -> &'a str {
        self.referer
    }

    /// `Origin`.
    pub fn origin(&self) -> &'a str {
        self.origin
    }
}

/// Several lines of one header are one list.
fn join<'a>(known: &mut Cow<'a, str>, text: &'a str, separator: &str) {
    if known.is_empty() {
        *known = Cow::Borrowed(text);
        return;
    }
    let joined = known.to_mut();
    joined.push_str(separator);
    joined.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn gpc_is_exactly_one() {
        for (lines, wanted) in [
            (&["1"][..], true),
            (&["0", "1"], true),
            (&["1, 1"], false),
            (&["01"], false),
            (&["true"], false),
            (&[], false),
        ] {
            let pairs: Vec<_> = lines.iter().map(|line| ("sec-gpc", *line)).collect();
            assert_eq!(Head::read(&map(&pairs)).gpc, wanted, "{lines:?}");
        }
    }

    #[test]
    fn forwarding_counts_only_from_trusted_proxies() {
        let headers = map(&[
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-for", "203.0.113.9, 10.0.0.2"),
            ("x-forwarded-proto", "https"),
        ]);
        let head = Head::read(&headers);
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let trusted: Vec<Prefix> = vec!["10.0.0.0/8".parse().unwrap()];
        let hit = head.hit(peer, &trusted, RequestKind::Image, 0);
        assert_eq!(hit.address.ip().to_string(), "203.0.113.9");
        assert!(hit.secure);
        let hit = head.hit(peer, &[], RequestKind::Image, 0);
        assert_eq!(hit.address.ip(), peer);
        assert!(!hit.secure);
    }
}
