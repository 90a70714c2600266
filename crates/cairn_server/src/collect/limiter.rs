//! How many hits one place may send with one key, and how often whatever else costs much may be asked for.
//!
//! Guarantees: fixed memory, no locks. Senders are known by a hash of key and network only (an IPv4
//! address, an IPv6 /56). Two busy senders that share a place in the table may be let through more
//! often, never less. Loopback is not limited: behind an undeclared proxy everybody is loopback.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Places in the table: 512 KiB.
const PLACES: usize = 1 << 16;
/// Places that one sender may fall back to.
const WAYS: usize = 4;
const TAG_BITS: u32 = 16;
const MINUTE_US: u64 = 60_000_000;
const HOUR_US: u64 = 60 * MINUTE_US;

/// Limit of one sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// Hits in a minute over a long time, and at once after a pause; 0 = no limit.
    pub hits_per_minute_max: u32,
    /// Browsers that one site begins to remember something for, in an hour: with 64 KiB each, one place needs days to fill
    /// a site's memory; 0 = no limit.
    pub new_memories_per_hour_max: u32,
    /// Erasures that visitors of one site begin on their own page, in an hour: each takes room that all of them share, and has
    /// files written anew; 0 = no limit.
    pub erasures_per_hour_max: u32,
}

impl Default for RateLimit {
    fn default() -> Self {
        RateLimit {
            hits_per_minute_max: 60_000,
            new_memories_per_hour_max: 1_000,
            erasures_per_hour_max: 30,
        }
    }
}

/// The table: for each sender the time at which his credit is whole again.
pub struct RateLimiter {
    /// In one window over a long time, and at once after a pause; 0 = no limit.
    most: u32,
    window_us: u64,
    places: Vec<AtomicU64>,
    hasher: RandomState,
    start: Instant,
}

/// Who counts as one sender: an IPv4 address, or an IPv6 network of 56 bits, which one customer has.
pub(crate) fn network(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(four) => u128::from(u32::from(four)),
        IpAddr::V6(six) => u128::from(six) >> 72 | 1 << 127,
    }
}

impl RateLimiter {
    /// An empty table.
    pub fn new(limit: RateLimit) -> Self {
        Self::within(limit.hits_per_minute_max, MINUTE_US)
    }

    /// The same for what is seldom: so many in an hour; 0 = no limit.
    pub fn hourly(most: u32) -> Self {
        Self::within(most, HOUR_US)
    }

    fn within(most: u32, window_us: u64) -> Self {
        let places = if most == 0 { 0 } else { PLACES };
        RateLimiter {
            most,
            window_us,
            places: (0..places).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            start: Instant::now(),
        }
    }

    /// The same for what is often: so many in a minute; 0 = no limit.
    pub fn by_the_minute(most: u32) -> Self {
        Self::within(most, MINUTE_US)
    }

    /// Whether this sender may send one more hit now.
    pub fn allows(&self, key: &str, ip: IpAddr) -> bool {
        self.admits(key, ip).is_ok()
    }

    /// The same; `Err`: seconds to wait.
    pub fn admits(&self, key: &str, ip: IpAddr) -> Result<(), u64> {
        if ip.is_loopback() {
            return Ok(());
        }
        self.admits_at(key, Some(ip), self.now_us())
    }

    /// Whether there may be one more of this now, wherever it comes from; `Err`: seconds to wait.
    pub fn admits_from_anywhere(&self, key: &str) -> Result<(), u64> {
        self.admits_at(key, None, self.now_us())
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn admits_at(&self, key: &str, ip: Option<IpAddr>, now_us: u64) -> Result<(), u64> {
        if self.places.is_empty() {
            return Ok(());
        }
        let hash = self.hasher.hash_one((key, ip.map(network)));
        let tag = hash >> (u64::BITS - TAG_BITS);
        let first = usize::try_from(hash).unwrap_or(0) % PLACES;
        for way in 0..WAYS {
            let place = &self.places[(first + way) % PLACES];
            let mut known = place.load(Ordering::Relaxed);
            loop {
                let (owner, whole_at_us) = (known & ((1 << TAG_BITS) - 1), known >> TAG_BITS);
                let is_free = whole_at_us <= now_us;
                if owner != tag && !is_free {
                    break;
                }
                let from_us = if owner == tag { whole_at_us.max(now_us) } else { now_us };
                let whole_at_us = from_us + self.step_us();
                let most_us = now_us + self.window_us.max(self.step_us());
                if whole_at_us > most_us {
                    return Err((whole_at_us - most_us).div_ceil(1_000_000));
                }
                let fresh = whole_at_us << TAG_BITS | tag;
                let done =
                    place.compare_exchange_weak(known, fresh, Ordering::Relaxed, Ordering::Relaxed);
                match done {
                    Ok(_) => return Ok(()),
                    Err(changed) => known = changed,
                }
            }
        }
        Ok(())
    }

    fn step_us(&self) -> u64 {
        self.window_us / u64::from(self.most.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_minute(hits_per_minute_max: u32) -> RateLimit {
        RateLimit { hits_per_minute_max, ..RateLimit::default() }
    }

    fn allows(limiter: &RateLimiter, key: &str, ip: IpAddr, now_us: u64) -> bool {
        limiter.admits_at(key, Some(ip), now_us).is_ok()
    }

    #[test]
    fn lets_a_burst_through_and_then_the_rate() {
        let limiter = RateLimiter::new(per_minute(60));
        let ip: IpAddr = "203.0.113.9".parse().unwrap();
        let sent = |at_us: u64| (0..200).filter(|_| allows(&limiter, "key", ip, at_us)).count();
        assert_eq!(sent(1_000_000), 60);
        assert_eq!(sent(3_000_000), 2, "two seconds refill two");
        assert_eq!(sent(63_000_000), 60);
        let other: IpAddr = "203.0.113.10".parse().unwrap();
        assert!(allows(&limiter, "key", other, 63_000_000));
        assert!(allows(&limiter, "other key", ip, 63_000_000));
    }

    #[test]
    fn a_network_of_ipv6_is_one_sender() {
        let limiter = RateLimiter::new(per_minute(1));
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(allows(&limiter, "key", at("2001:db8:0:1::1"), 5));
        assert!(!allows(&limiter, "key", at("2001:db8:0:2::9"), 5), "same /56");
        assert!(allows(&limiter, "key", at("2001:db8:0:100::1"), 5), "another /56");
        assert!(limiter.allows("key", at("127.0.0.1")) && limiter.allows("key", at("127.0.0.1")));
    }

    #[test]
    fn whoever_waits_as_long_as_told_is_let_through() {
        let limiter = RateLimiter::hourly(10);
        let at = |now_us: u64| limiter.admits_at("site", None, now_us);
        assert!((0..10).all(|_| at(1_000_000).is_ok()));
        assert_eq!(at(1_000_000), Err(360), "one of ten in an hour");
        assert_eq!(at(2_500_000), Err(359));
        assert_eq!((at(361_000_000), at(361_000_000)), (Ok(()), Err(360)));
    }

    #[test]
    fn zero_is_no_limit() {
        let limiter = RateLimiter::new(per_minute(0));
        let ip: IpAddr = "203.0.113.9".parse().unwrap();
        assert!((0..10_000).all(|_| limiter.allows("key", ip)));
    }
}
