//! What is known of a network beyond its name: hosting, VPN, Tor.
//!
//! A mark is never a verdict on its own. From the AS number and organisation: the large clouds and
//! hosters by number, the rest by words that hosters put in their names. Databases with marks of
//! their own (GeoIP Anonymous, IPinfo) add to them.

use std::ops::BitOr;

/// Marks of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    /// A data centre, cloud or hoster.
    pub hosting: bool,
    /// A VPN service.
    pub vpn: bool,
    /// A Tor exit.
    pub tor: bool,
    /// A public proxy.
    pub proxy: bool,
}

impl BitOr for Marks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            hosting: self.hosting || other.hosting,
            vpn: self.vpn || other.vpn,
            tor: self.tor || other.tor,
            proxy: self.proxy || other.proxy,
        }
    }
}

/// Clouds, content networks and hosters by AS number, ascending.
const HOSTING: &[u32] = &[
    8075, 12876, 13335, 14061, 14618, 15169, 16276, 16509, 19551, 20473, 20940, 24940, 31898,
    32934, 36351, 37963, 45090, 45102, 46606, 51167, 54113, 60781, 62567, 63949, 132203, 136907,
    197540, 200019, 212238, 396982,
];

/// Words in the names of hosters.
const HOSTING_WORDS: &[&str] = &[
    "hosting",
    "hoster",
    "datacenter",
    "data center",
    "datacentre",
    "data centre",
    "cloud",
    "server",
    "vps",
    "colocation",
    "colo ",
    "dedicated",
];

/// Words in the names of VPN services.
const VPN_WORDS: &[&str] = &["vpn", "m247", "mullvad", "datacamp", "privatelayer", "tzulo"];

impl Marks {
    /// Marks that follow from number and name of an autonomous system.
    pub fn of(asn: u32, organization: &str) -> Self {
        if asn == 0 && organization.is_empty() {
            return Self::default();
        }
        let has = |word: &&str| contains(organization, word);
        let vpn = VPN_WORDS.iter().any(&has);
        let hosting = vpn || HOSTING.binary_search(&asn).is_ok() || HOSTING_WORDS.iter().any(&has);
        Self { hosting, vpn, tor: contains(organization, "tor exit"), proxy: false }
    }
}

fn contains(text: &str, word: &str) -> bool {
    let word = word.as_bytes();
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}
