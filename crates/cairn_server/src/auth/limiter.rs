//! Log-in attempts: few per account from one network, more per address, in memory.
//!
//! Guarantees: accounts and addresses are held as hashes under a key of this process; the table is bounded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Failed attempts on one account from one network before a pause there: who knows only the account's name must not
/// lock its owner out, who is elsewhere.
const FAILURES_PER_ACCOUNT_AND_NETWORK_MAX: u32 = 5;
/// Failed attempts on one account from everywhere before a pause: a bound for guessing from many networks.
const FAILURES_PER_ACCOUNT_MAX: u32 = 100;
/// Failed attempts from one address before a pause: several people may share one.
const FAILURES_PER_ADDRESS_MAX: u32 = 20;
/// Length of the window in which failures count, and of the pause.
const WINDOW_MS: i64 = 15 * 60 * 1000;
/// Accounts and addresses remembered.
const ENTRIES_MAX: usize = 20_000;

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    since_ms: i64,
}

/// Counts failed log-ins.
pub struct LogInLimiter {
    key: [u8; 32],
    entries: Mutex<HashMap<[u8; 16], Failures>>,
}

/// What an attempt counts against.
#[derive(Clone, Copy)]
pub struct Attempt {
    /// Account from this network, account, address.
    buckets: [Option<([u8; 16], u32)>; 3],
}

impl LogInLimiter {
    /// A limiter that remembers nothing yet; `key` is random.
    pub fn new(key: [u8; 32]) -> Self {
        LogInLimiter { key, entries: Mutex::new(HashMap::new()) }
    }

    /// Names account and address of an attempt. IPv6 counts by /64, what one customer has.
    pub fn attempt(&self, account: Option<&str>, address: Option<IpAddr>) -> Attempt {
        let address = address.map(|address| match address {
            IpAddr::V4(address) => self.hash(b"address", &address.octets()),
            IpAddr::V6(address) => self.hash(b"address", &address.octets()[..8]),
        });
        let account = account.map(|name| self.hash(b"account", name.to_lowercase().as_bytes()));
        let from_here = account.map(|account| {
            let both = [account, address.unwrap_or_default()].concat();
            self.hash(b"account and address", &both)
        });
        Attempt {
            buckets: [
                from_here.map(|hash| (hash, FAILURES_PER_ACCOUNT_AND_NETWORK_MAX)),
                account.map(|hash| (hash, FAILURES_PER_ACCOUNT_MAX)),
                address.map(|hash| (hash, FAILURES_PER_ADDRESS_MAX)),
            ],
        }
    }

    /// Counts the attempt as failed until [`LogInLimiter::succeeded`] takes that back; `Err`: seconds to wait.
    /// Counting before checking keeps attempts made at the same time within the bound.
    pub fn begin(&self, attempt: Attempt, now_ms: i64) -> Result<(), u64> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for (hash, limit) in attempt.buckets.into_iter().flatten() {
            let Some(entry) = entries.get(&hash) else { continue };
            let left_ms = entry.since_ms.saturating_add(WINDOW_MS).saturating_sub(now_ms);
            if entry.count >= limit && left_ms > 0 {
                return Err(u64::try_from(left_ms).unwrap_or(0).div_ceil(1000));
            }
        }
        if entries.len() + 3 > ENTRIES_MAX {
            entries.retain(|_, entry| now_ms.saturating_sub(entry.since_ms) < WINDOW_MS);
        }
        if entries.len() + 3 > ENTRIES_MAX {
            // So many at once is an attack on all accounts together: everybody waits a little.
            return Err(60);
        }
        for (hash, _) in attempt.buckets.into_iter().flatten() {
            let entry = entries.entry(hash).or_insert(Failures { count: 0, since_ms: now_ms });
            if now_ms.saturating_sub(entry.since_ms) >= WINDOW_MS {
                *entry = Failures { count: 0, since_ms: now_ms };
            }
            entry.count += 1;
        }
        Ok(())
    }

    /// The attempt succeeded: the account's failures from there are forgotten, account and address get this one back.
    pub fn succeeded(&self, attempt: Attempt) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let [from_here, account, address] = attempt.buckets;
        if let Some((hash, _)) = from_here {
            entries.remove(&hash);
        }
        for (hash, _) in [account, address].into_iter().flatten() {
            if let Some(entry) = entries.get_mut(&hash) {
                entry.count = entry.count.saturating_sub(1);
            }
        }
    }

    fn hash(&self, kind: &[u8], value: &[u8]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(kind).update(&[0]).update(value);
        let mut short = [0; 16];
        short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    #[test]
    fn five_failures_from_one_network_do_not_lock_the_owner_out_elsewhere() {
        let limiter = LogInLimiter::new([7; 32]);
        for _ in 0..5 {
            let attempt = limiter.attempt(Some("Owner@shop.example"), Some(ADDRESS));
            assert_eq!(limiter.begin(attempt, 1000), Ok(()));
        }
        let attempt = limiter.attempt(Some("owner@shop.example"), Some(ADDRESS));
        assert_eq!(limiter.begin(attempt, 2000), Err(899));
        let elsewhere = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
        let owner = limiter.attempt(Some("owner@shop.example"), Some(elsewhere));
        assert_eq!(limiter.begin(owner, 2000), Ok(()), "the owner is somewhere else");
        limiter.succeeded(owner);
        assert_eq!(limiter.begin(attempt, 2000), Err(899), "the guesser gains nothing by that");
        assert_eq!(limiter.begin(attempt, 1000 + WINDOW_MS), Ok(()), "the pause ends");
    }

    #[test]
    fn an_account_pauses_after_a_hundred_failures_from_many_networks() {
        let limiter = LogInLimiter::new([7; 32]);
        let from = |last| {
            let address = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, last));
            limiter.attempt(Some("owner@shop.example"), Some(address))
        };
        for last in 0..100 {
            assert_eq!(limiter.begin(from(last), 1000), Ok(()), "attempt {last}");
        }
        assert_eq!(limiter.begin(from(100), 1000), Err(900));
        let other = limiter.attempt(Some("other@shop.example"), Some(ADDRESS));
        assert_eq!(limiter.begin(other, 1000), Ok(()), "other accounts go on");
    }

    #[test]
    fn success_forgets_the_accounts_failures_but_not_the_addresss() {
        let limiter = LogInLimiter::new([7; 32]);
        for number in 0..4 {
            let attempt = limiter.attempt(Some("owner@shop.example"), Some(ADDRESS));
            assert_eq!(limiter.begin(attempt, number), Ok(()));
        }
        let attempt = limiter.attempt(Some("owner@shop.example"), Some(ADDRESS));
        limiter.begin(attempt, 5).unwrap();
        limiter.succeeded(attempt);
        for number in 4..20 {
            let other = limiter.attempt(Some(&format!("{number}@shop.example")), Some(ADDRESS));
            assert_eq!(limiter.begin(other, 6), Ok(()), "attempt {number}");
        }
        let other = limiter.attempt(Some("last@shop.example"), Some(ADDRESS));
        assert!(limiter.begin(other, 6).is_err());
    }

    #[test]
    fn the_table_is_bounded() {
        let limiter = LogInLimiter::new([7; 32]);
        let begun = (0..ENTRIES_MAX + 10).filter(|number| {
            let attempt = limiter.attempt(Some(&number.to_string()), None);
            limiter.begin(attempt, 0).is_ok()
        });
        assert!(begun.count() < ENTRIES_MAX);
        let attempt = limiter.attempt(Some("late"), None);
        assert_eq!(limiter.begin(attempt, WINDOW_MS), Ok(()), "old entries make room");
    }
}
