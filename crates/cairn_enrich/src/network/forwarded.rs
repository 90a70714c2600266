//! The visitor's address behind proxies, believed only as far as each proxy is trusted.
//!
//! Read from the right: every address that a trusted proxy vouched for is followed until one is not
//! trusted; that is the visitor. What an untrusted peer writes is never read, and text that is no
//! address ends the walk at the last trustworthy one.

use std::net::IpAddr;

use crate::address::unmapped;

/// A range of addresses, `10.0.0.0/8` or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    network: u128,
    mask: u128,
    is_v4: bool,
}

impl std::str::FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = match text.trim().split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text.trim(), None),
        };
        let ip: IpAddr = address.parse().map_err(|_| PrefixError)?;
        let width = if ip.is_ipv4() { 32 } else { 128 };
        match length {
            Some(length) => {
                let length = length.parse().ok().filter(|&n| n <= width).ok_or(PrefixError)?;
                Ok(Prefix::new(ip, length))
            }
            None => Ok(Prefix::new(ip, width)),
        }
    }
}

/// The text is neither an address nor `address/length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an IP address or a range such as 10.0.0.0/8")]
pub struct PrefixError;

impl Prefix {
    /// The range of addresses that share the leading `bits` of `ip`; more bits than it has mean all of them.
    pub fn new(ip: IpAddr, length: u8) -> Self {
        let width: u8 = if ip.is_ipv4() { 32 } else { 128 };
        let host_bits = u32::from(width - length.min(width));
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        Prefix { network: bits(ip) & mask, mask, is_v4: ip.is_ipv4() }
    }

    /// Whether the range holds an address; mapped addresses count as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = unmapped(ip);
        ip.is_ipv4() == self.is_v4 && bits(ip) & self.mask == self.network
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// The forwarding headers of a request, each with its lines joined by commas; empty if absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardedHeaders<'a> {
    /// `Forwarded` (RFC 7239); if there, it alone is read.
    pub forwarded: &'a str,
    /// `X-Forwarded-For`.
    pub x_forwarded_for: &'a str,
}

/// The address of the visitor, as far as trusted proxies vouch for it.
pub fn client_address(peer: IpAddr, headers: &ForwardedHeaders<'_>, trusted: &[Prefix]) -> IpAddr {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|prefix| prefix.contains(ip));
    let mut client = unmapped(peer);
    if !is_trusted(client) {
        return client;
    }
    let is_rfc = !headers.forwarded.trim().is_empty();
    let list = if is_rfc { headers.forwarded } else { headers.x_forwarded_for };
    for element in list.rsplit(',') {
        let node = if is_rfc { for_parameter(element) } else { Some(element) };
        let Some(ip) = node.and_then(address_of) else { return client };
        client = ip;
        if !is_trusted(client) {
            return client;
        }
    }
    client
}

/// The value of `for=` in one element of `Forwarded`.
fn for_parameter(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })
}

/// An address without quotes, brackets, port and zone.
fn address_of(node: &str) -> Option<IpAddr> {
    let node = node.trim().trim_matches('"').trim();
    let bare = match node.strip_prefix('[') {
        Some(rest) => {
            let (address, tail) = rest.split_once(']')?;
            let is_port = tail.strip_prefix(':').is_some_and(is_digits);
            if !tail.is_empty() && !is_port {
                return None;
            }
            address
        }
        None => match node.split_once(':') {
            Some((address, port)) if is_digits(port) && !address.is_empty() => address,
            _ => node,
        },
    };
    let bare = bare.split_once('%').map_or(bare, |(address, _)| address);
    bare.parse().ok().map(unmapped)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &str, x_forwarded_for: &str) -> String {
        let trusted = ["10.0.0.0/8", "127.0.0.1", "fd00::/8"].map(|text| text.parse().unwrap());
        let headers = ForwardedHeaders { forwarded, x_forwarded_for };
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_peers_are_believed() {
        assert_eq!(client("203.0.113.1", "", "198.51.100.7"), "203.0.113.1");
        assert_eq!(client("10.1.1.1", "", "198.51.100.7"), "198.51.100.7");
        assert_eq!(client("::ffff:10.1.1.1", "", "198.51.100.7"), "198.51.100.7");
        assert_eq!(client("10.1.1.1", "", ""), "10.1.1.1");
    }

    #[test]
    fn the_rightmost_untrusted_address_wins() {
        assert_eq!(client("10.1.1.1", "", "6.6.6.6, 198.51.100.7, 10.2.2.2"), "198.51.100.7");
        assert_eq!(client("10.1.1.1", "", "10.9.9.9, 10.2.2.2"), "10.9.9.9");
        assert_eq!(client("10.1.1.1", "", "6.6.6.6, garbage, 10.2.2.2"), "10.2.2.2");
        assert_eq!(client("10.1.1.1", "", "6.6.6.6, garbage"), "10.1.1.1");
        assert_eq!(client("10.1.1.1", "", "6.6.6.6,,10.2.2.2"), "10.2.2.2");
    }

    #[test]
    fn ports_brackets_and_rfc_7239() {
        assert_eq!(client("127.0.0.1", "", "198.51.100.7:4711"), "198.51.100.7");
        assert_eq!(client("127.0.0.1", "", "[2001:db8::7]:4711"), "2001:db8::7");
        assert_eq!(client("127.0.0.1", "", "2001:db8::7"), "2001:db8::7");
        assert_eq!(client("127.0.0.1", "", "[2001:db8::7]x"), "127.0.0.1");
        assert_eq!(client("127.0.0.1", "", "::ffff:198.51.100.7"), "198.51.100.7");
        let rfc = "for=6.6.6.6, For=\"[2001:db8::9]:99\";proto=https;by=10.0.0.1";
        assert_eq!(client("fd00::1", rfc, "1.1.1.1"), "2001:db8::9");
        assert_eq!(client("fd00::1", "for=_hidden", "1.1.1.1"), "fd00::1");
        assert_eq!(client("fd00::1", "for=unknown", ""), "fd00::1");
    }

    #[test]
    fn prefixes_parse_and_match() {
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "x/8"] {
            assert_eq!(wrong.parse::<Prefix>(), Err(PrefixError), "{wrong:?}");
        }
        let everything: Prefix = "0.0.0.0/0".parse().unwrap();
        assert!(everything.contains("255.255.255.255".parse().unwrap()));
        assert!(!everything.contains("::1".parse().unwrap()));
    }
}
