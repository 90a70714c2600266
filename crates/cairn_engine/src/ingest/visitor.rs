//! Numbers for visitors: kept by permission, or passing.
//!
//! Guarantees: every number is a keyed hash over the site, so two sites' numbers cannot be joined.
//! The keys of anonymous numbers are random, live in memory only, change at the site's midnight, and
//! are overwritten one session timeout later. Memory: at most two keys per site.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use cairn_catalog::{MasterSecret, SiteEntry};
use cairn_model::{SiteId, VisitorId};
use foldhash::HashMap;
use jiff::{Timestamp, ToSpan, tz::TimeZone};

use super::text::hex_digit;

/// Keys of what is kept: derived from the instance's master secret, one for each kind of identifier.
pub struct IdentityKeys {
    cookie: [u8; 32],
    event: [u8; 32],
    user: [u8; 32],
    import: [u8; 32],
    memory: [u8; 32],
}

/// 128 random bits that a browser keeps as `cairn_id`.
pub type CookieId = [u8; 16];

impl IdentityKeys {
    /// Derives the keys.
    pub fn new(master: &MasterSecret) -> Self {
        IdentityKeys {
            cookie: master.derive("cairn 2026 visitor number of a cookie"),
            event: master.derive("cairn 2026 key of an event id"),
            user: master.derive("cairn 2026 key of a user id"),
            import: master.derive("cairn 2026 imported visitor and session"),
            memory: master.derive("cairn 2026 holder of a memory"),
        }
    }

    /// The visitor behind a cookie, on this site.
    pub fn of_cookie(&self, site: SiteId, cookie: &CookieId) -> VisitorId {
        VisitorId(number(&self.cookie, site, &[cookie]))
    }

    /// Key of the sender's event id; never 0.
    pub fn of_event(&self, site: SiteId, event_id: &str) -> u128 {
        wide(&hash(&self.event, site, &[event_id.as_bytes()]))
    }

    /// Key of a line without an event id, in an import call that names itself; never 0.
    pub fn of_import_line(&self, site: SiteId, call: &[u8; 32], line: u64) -> u128 {
        wide(&hash(&self.event, site, &[b"line", call, &line.to_le_bytes()]))
    }

    /// Key of a user id, also the number on record after an opt-out or an erasure.
    pub fn of_user(&self, site: SiteId, user_id: &str) -> u64 {
        number(&self.user, site, &[user_id.as_bytes()])
    }

    /// The visitor for whom a server or an import gives a name of its own.
    pub fn of_named_visitor(&self, site: SiteId, name: &str) -> VisitorId {
        VisitorId(number(&self.import, site, &[b"visitor", name.as_bytes()]))
    }

    /// The visitor whom a browser, an app or a server knows by an id of the sender's making. Its
    /// numbers meet none of [`Self::of_named_visitor`]: public senders cannot speak as an owner's user.
    pub fn of_sender(&self, site: SiteId, sender_id: &str) -> VisitorId {
        VisitorId(number(&self.import, site, &[b"sender", sender_id.as_bytes()]))
    }

    /// The visit for which an import gives a name of its own.
    pub fn of_named_session(&self, site: SiteId, name: &str) -> u64 {
        number(&self.import, site, &[b"session", name.as_bytes()])
    }

    /// The browser behind a `cairn_memory`, on this site. Nothing else in any database has this number.
    pub fn of_memory(&self, site: SiteId, cookie: &CookieId) -> [u8; 32] {
        *hash(&self.memory, site, &[b"browser", cookie]).as_bytes()
    }

    /// The person whose memory a user id is, on this site.
    pub fn of_remembered(&self, site: SiteId, user_id: &str) -> [u8; 32] {
        *hash(&self.memory, site, &[b"person", user_id.as_bytes()]).as_bytes()
    }

    /// The visitor whom an import describes by address and agent, with the owner's permission.
    pub fn of_context(&self, site: SiteId, address: Option<IpAddr>, agent: &str) -> VisitorId {
        let address = address.map_or([0; 16], address_bytes);
        VisitorId(number(&self.import, site, &[b"context", &address, agent.as_bytes()]))
    }
}

fn hash(key: &[u8; 32], site: SiteId, parts: &[&[u8]]) -> blake3::Hash {
    let mut input = InputBuffer::new(site);
    for part in parts {
        input.push(part);
    }
    input.hash(key)
}

fn wide(hash: &blake3::Hash) -> u128 {
    let mut wide = [0; 16];
    wide.copy_from_slice(&hash.as_bytes()[..16]);
    // 0 means "none" everywhere.
    u128::from_le_bytes(wide).max(1)
}

fn number(key: &[u8; 32], site: SiteId, parts: &[&[u8]]) -> u64 {
    let hash = hash(key, site, parts);
    let mut narrow = [0; 8];
    narrow.copy_from_slice(&hash.as_bytes()[..8]);
    // 0 means "none" everywhere.
    u64::from_le_bytes(narrow).max(1)
}

/// One contiguous input makes one call of the hash function; almost all fit the stack.
struct InputBuffer {
    short: [u8; 512],
    size: usize,
    long: Vec<u8>,
}

impl InputBuffer {
    fn new(site: SiteId) -> Self {
        let mut input = InputBuffer { short: [0; 512], size: 0, long: Vec::new() };
        input.push(&site.0.to_le_bytes());
        input
    }

    /// Each part is preceded by its length: no two lists of parts give the same input.
    fn push(&mut self, part: &[u8]) {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
        for bytes in [&length[..], part] {
            let end = self.size + bytes.len();
            if self.long.is_empty() && end <= self.short.len() {
                self.short[self.size..end].copy_from_slice(bytes);
                self.size = end;
                continue;
            }
            if self.long.is_empty() {
                self.long.extend_from_slice(&self.short[..self.size]);
            }
            self.long.extend_from_slice(bytes);
        }
    }

    fn hash(&self, key: &[u8; 32]) -> blake3::Hash {
        let input = if self.long.is_empty() { &self.short[..self.size] } else { &self.long };
        blake3::keyed_hash(key, input)
    }
}

fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
        IpAddr::V6(six) => six.octets(),
    }
}

/// A new random cookie id; `None` if the machine has no randomness to give.
pub fn new_cookie_id() -> Option<CookieId> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).ok()?;
    Some(id)
}

/// A number that nobody gets twice, for a sender who told nothing about a visitor.
pub fn lone_visitor() -> VisitorId {
    let mut bytes = [0; 8];
    // Without randomness such visitors are counted as one, which loses no event.
    let _ = getrandom::fill(&mut bytes);
    VisitorId(u64::from_le_bytes(bytes).max(1))
}

/// Reads the cookie's 32 hexadecimal digits.
pub fn parse_cookie_id(text: &str) -> Option<CookieId> {
    let digits: &[u8; 32] = text.as_bytes().try_into().ok()?;
    let mut id = [0; 16];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
    }
    Some(id)
}

/// A passing number, and the one the same browser had before midnight while that key still exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnonymousNumber {
    /// Today's number.
    pub current: VisitorId,
    /// Yesterday's; 0 once its key is destroyed.
    pub previous: VisitorId,
}

struct DayKey {
    start_ms: i64,
    end_ms: i64,
    secret: [u8; 32],
}

impl DayKey {
    fn covers(&self, now_ms: i64) -> bool {
        (self.start_ms..self.end_ms).contains(&now_ms)
    }
}

impl Drop for DayKey {
    fn drop(&mut self) {
        self.secret.fill(0);
        // Keeps the compiler from leaving out a write that nobody reads.
        std::hint::black_box(&self.secret);
    }
}

#[derive(Default)]
struct SiteDays {
    current: Option<Box<DayKey>>,
    previous: Option<Box<DayKey>>,
}

/// The keys of anonymous numbers, per site.
pub struct AnonymousKeys {
    sites: RwLock<HashMap<SiteId, Arc<RwLock<SiteDays>>>>,
    session_timeout_ms: i64,
}

impl AnonymousKeys {
    /// No keys yet: they are drawn when a site's first visitor of the day comes.
    pub fn new(session_timeout_ms: i64) -> Self {
        AnonymousKeys { sites: RwLock::default(), session_timeout_ms }
    }

    /// The number of this address and agent on this site today.
    pub fn number(
        &self,
        site: &SiteEntry,
        now_ms: i64,
        address: IpAddr,
        agent: &str,
    ) -> AnonymousNumber {
        let days = self.days_of(site.site.id);
        {
            let days = days.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = self.of_day(&days, site.site.id, now_ms, address, agent) {
                return found;
            }
        }
        let mut days = days.write().unwrap_or_else(PoisonError::into_inner);
        self.turn(&mut days, &site.zone, now_ms);
        self.of_day(&days, site.site.id, now_ms, address, agent)
            .unwrap_or_else(|| AnonymousNumber { current: lone_visitor(), previous: VisitorId(0) })
    }

    /// Overwrites every key whose time is over; sites without visitors are forgotten.
    pub fn destroy_expired(&self, now_ms: i64) {
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        sites.retain(|_, days| {
            // Somebody may be about to draw a key into it.
            let in_use = Arc::strong_count(days) > 1;
            let mut days = days.write().unwrap_or_else(PoisonError::into_inner);
            let expired = |key: &Option<Box<DayKey>>| {
                key.as_ref().is_some_and(|key| now_ms >= key.end_ms + self.session_timeout_ms)
            };
            if expired(&days.previous) {
                days.previous = None;
            }
            if expired(&days.current) {
                days.current = None;
            }
            in_use || days.current.is_some() || days.previous.is_some()
        });
    }

    fn days_of(&self, site: SiteId) -> Arc<RwLock<SiteDays>> {
        if let Some(days) = self.sites.read().unwrap_or_else(PoisonError::into_inner).get(&site) {
            return Arc::clone(days);
        }
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sites.entry(site).or_default())
    }

    fn of_day(
        &self,
        days: &SiteDays,
        site: SiteId,
        now_ms: i64,
        address: IpAddr,
        agent: &str,
    ) -> Option<AnonymousNumber> {
        let input = [&address_bytes(address)[..], agent.as_bytes()];
        let of = |key: &DayKey| VisitorId(number(&key.secret, site, &input));
        let current = days.current.as_deref()?;
        if current.covers(now_ms) {
            let alive = |key: &&DayKey| now_ms < key.end_ms + self.session_timeout_ms;
            let previous = days.previous.as_deref().filter(alive).map_or(VisitorId(0), of);
            return Some(AnonymousNumber { current: of(current), previous });
        }
        // A clock that was set back over midnight by a moment.
        let earlier = days.previous.as_deref().filter(|key| key.covers(now_ms))?;
        Some(AnonymousNumber { current: of(earlier), previous: VisitorId(0) })
    }

    fn turn(&self, days: &mut SiteDays, zone: &TimeZone, now_ms: i64) {
        let covered =
            |key: &Option<Box<DayKey>>| key.as_ref().is_some_and(|key| key.covers(now_ms));
        if covered(&days.current) || covered(&days.previous) {
            return;
        }
        let Some(fresh) = new_day(zone, now_ms) else { return };
        let ended = days.current.take();
        days.previous = ended
            .filter(|key| key.end_ms <= now_ms && now_ms < key.end_ms + self.session_timeout_ms);
        days.current = Some(fresh);
    }
}

/// A key for the day that `now_ms` is in, from midnight to midnight in the site's zone.
fn new_day(zone: &TimeZone, now_ms: i64) -> Option<Box<DayKey>> {
    let now = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(zone.clone());
    let start = now.start_of_day().ok()?;
    let end = start.checked_add(1.day()).ok()?.start_of_day().ok()?;
    let mut key = Box::new(DayKey {
        start_ms: start.timestamp().as_millisecond(),
        end_ms: end.timestamp().as_millisecond(),
        secret: [0; 32],
    });
    getrandom::fill(&mut key.secret).ok()?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_341_600_000;
    const SITE: SiteId = SiteId(7);

    #[test]
    fn a_key_that_is_being_drawn_is_the_one_that_all_find() {
        let keys = AnonymousKeys::new(30 * 60 * 1000);
        let number = |days: &SiteDays| {
            let address = IpAddr::from([203, 0, 113, 9]);
            keys.of_day(days, SITE, NOW_MS, address, "agent").map(|number| number.current)
        };
        // Between finding the site's place and drawing its key, expired keys are destroyed.
        let place = keys.days_of(SITE);
        keys.destroy_expired(NOW_MS);
        keys.turn(&mut place.write().unwrap(), &TimeZone::UTC, NOW_MS);
        let drawn = number(&place.read().unwrap());
        drop(place);
        assert!(drawn.is_some());
        let found = keys.days_of(SITE);
        assert_eq!(number(&found.read().unwrap()), drawn, "one browser, two numbers on one day");
        drop(found);
        keys.destroy_expired(NOW_MS + 2 * 24 * 60 * 60 * 1000);
        assert!(keys.sites.read().unwrap().is_empty(), "a site without visitors is forgotten");
    }
}
