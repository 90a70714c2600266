//! The visitor's address, in a type that cannot leak by accident.
//!
//! [`Address`] has neither `Serialize` nor `Display`, and its `Debug` prints `***`: it can be looked
//! up and compared, and nothing else. It does not know whether its owner consented to anything.

use std::fmt;
use std::net::IpAddr;

/// An IP address that can be looked up but neither printed nor serialised.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(IpAddr);

impl Address {
    /// Takes the address of a visitor; an IPv4-mapped IPv6 address becomes the IPv4 address it means.
    pub fn new(ip: IpAddr) -> Self {
        Self(unmapped(ip))
    }

    /// The address itself, for a lookup, a keyed hash or a rate limit; never for storing.
    pub fn ip(&self) -> IpAddr {
        self.0
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// `::ffff:a.b.c.d` as the IPv4 address it stands for; every other address as it is.
pub(crate) fn unmapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_and_mapped_addresses_become_ipv4() {
        let address = Address::new("::ffff:203.0.113.9".parse().unwrap());
        assert_eq!(format!("{address:?}"), "***");
        assert_eq!(address.ip(), "203.0.113.9".parse::<IpAddr>().unwrap());
        assert_eq!(address, Address::new("203.0.113.9".parse().unwrap()));
    }
}
