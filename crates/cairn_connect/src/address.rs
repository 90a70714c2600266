//! Which addresses belong to the open internet.
//!
//! Guarantees: every block of the IANA registries of special-purpose addresses that is not globally reachable is refused
//! (RFC 6890 and its successors, registries as of 2025), and with it multicast, addresses outside of what is assigned as
//! global unicast, and addresses that carry such an IPv4 address within. It knows no names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressClass {
    /// Reachable from everywhere.
    Global,
    /// Within one network, one link or one machine, or for nobody.
    Special,
}

/// Blocks of IPv4 that are not for the open internet: first address, leading bits that count.
const V4_SPECIAL: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),        // this network
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // shared by carriers; metadata of one cloud
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // metadata of one cloud, though assigned to it
    ([169, 254, 0, 0], 16),   // link-local; metadata of most clouds
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 88, 99, 0], 24),   // 6to4 relays
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved, broadcast
];

/// Blocks within the global unicast space of IPv6 that are not for the open internet.
const V6_SPECIAL: &[([u16; 8], u32)] = &[
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // protocol assignments, Teredo
    ([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32), // documentation
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), // 6to4, which leads to any IPv4 address
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation
];

/// The only block of IPv6 that is assigned as global unicast.
const V6_GLOBAL: ([u16; 8], u32) = ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// IPv4 addresses behind a translator (NAT64): they are what the last four bytes are.
const V6_TRANSLATED: ([u16; 8], u32) = ([0x0064, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// What an address is for. One that holds an IPv4 address is what that one is.
pub fn class_of(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(address) => class_of_v4(address),
        IpAddr::V6(address) => class_of_v6(address),
    }
}

fn class_of_v4(address: Ipv4Addr) -> AddressClass {
    let is_in = |(first, bits): &([u8; 4], u32)| {
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        u32::from(address) & mask == u32::from(Ipv4Addr::from(*first))
    };
    if V4_SPECIAL.iter().any(is_in) { AddressClass::Special } else { AddressClass::Global }
}

fn class_of_v6(address: Ipv6Addr) -> AddressClass {
    let is_in = |(first, bits): &([u16; 8], u32)| {
        let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
        u128::from(address) & mask == u128::from(Ipv6Addr::from(*first))
    };
    if let Some(mapped) = address.to_ipv4_mapped() {
        return class_of_v4(mapped);
    }
    if is_in(&V6_TRANSLATED) {
        let [.., a, b, c, d] = address.octets();
        return class_of_v4(Ipv4Addr::new(a, b, c, d));
    }
    if !is_in(&V6_GLOBAL) || V6_SPECIAL.iter().any(is_in) {
        return AddressClass::Special;
    }
    AddressClass::Global
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class(text: &str) -> AddressClass {
        class_of(text.parse().unwrap())
    }

    #[test]
    fn edges_of_every_block_are_where_the_registries_have_them() {
        use AddressClass::{Global, Special};
        for (inside, outside) in [
            ("0.255.255.255", "1.0.0.0"),
            ("10.0.0.0", "9.255.255.255"),
            ("10.255.255.255", "11.0.0.0"),
            ("100.64.0.0", "100.63.255.255"),
            ("100.127.255.255", "100.128.0.0"),
            ("127.0.0.0", "126.255.255.255"),
            ("127.255.255.255", "128.0.0.0"),
            ("168.63.129.16", "168.63.129.17"),
            ("169.254.0.0", "169.253.255.255"),
            ("169.254.169.254", "169.255.0.0"),
            ("172.16.0.0", "172.15.255.255"),
            ("172.31.255.255", "172.32.0.0"),
            ("192.0.0.255", "192.0.1.0"),
            ("192.0.2.255", "192.0.3.0"),
            ("192.88.99.1", "192.88.100.0"),
            ("192.168.255.255", "192.169.0.0"),
            ("198.19.255.255", "198.20.0.0"),
            ("198.51.100.7", "198.51.101.0"),
            ("203.0.113.7", "203.0.114.0"),
            ("224.0.0.0", "223.255.255.255"),
            ("255.255.255.255", "8.8.8.8"),
            ("::", "2000::"),
            ("::1", "2600::1"),
            ("::7f00:1", "2a00::"),
            ("100::1", "2001:200::1"),
            ("64:ff9b:1::808:808", "64:ff9b::808:808"),
            ("64:ff9b::a00:1", "64:ff9b::b00:1"),
            ("64:ff9b::a9fe:a9fe", "64:ff9b::a9ff:1"),
            ("::ffff:127.0.0.1", "::ffff:8.8.8.8"),
            ("2001::1", "2001:200::"),
            ("2001:1ff:ffff::1", "2001:4860:4860::8888"),
            ("2001:db8::1", "2001:db9::1"),
            ("2002:7f00:1::", "2003::1"),
            ("2002:808:808::", "2001:ffff::1"),
            ("3fff::1", "3fff:1000::1"),
            ("4000::1", "3ffe::1"),
            ("5f00::1", "2620:4f:8000::1"),
            ("fc00::1", "2400::1"),
            ("fd00:ec2::254", "2800::1"),
            ("fe80::1", "2c00::1"),
            ("fec0::1", "2606::1"),
            ("ff02::1", "2001:500::1"),
        ] {
            assert_eq!((class(inside), class(outside)), (Special, Global), "{inside} {outside}");
        }
    }

    proptest! {
        /// The standard library knows fewer blocks; whatever it knows is refused here, too.
        #[test]
        fn nothing_that_is_known_to_be_local_is_global(number in any::<u32>()) {
            let address = Ipv4Addr::from(number);
            let is_local = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_broadcast() || address.is_documentation() || address.is_unspecified()
                || address.is_multicast();
            prop_assert!(!is_local || class_of(address.into()) == AddressClass::Special);
        }

        /// However an IPv4 address is dressed, it is what it is, or refused.
        #[test]
        fn an_address_within_an_address_gains_nothing(number in any::<u32>(), block in 0usize..16) {
            let (first, bits) = V4_SPECIAL[block];
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::from(first)) | (number & !mask));
            prop_assert_eq!(class_of(address.into()), AddressClass::Special);
            let [a, b, c, d] = address.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            for dressed in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ] {
                prop_assert_eq!(class_of(dressed.into()), AddressClass::Special, "{}", dressed);
            }
        }

        /// Outside of 2000::/3 there is nothing global but what is translated or mapped.
        #[test]
        fn what_is_not_assigned_is_refused(number in any::<u128>()) {
            let address = Ipv6Addr::from(number);
            let is_assigned = number >> 125 == 1;
            let is_global = class_of(address.into()) == AddressClass::Global;
            prop_assert!(is_assigned || !is_global || address.to_ipv4_mapped().is_some()
                || number >> 32 == 0x0064_ff9b_u128 << 64);
        }
    }
}
