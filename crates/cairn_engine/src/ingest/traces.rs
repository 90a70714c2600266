//! What each mail, link or advertisement saw in the last minutes, for the signs that one request alone does not show.
//!
//! Guarantees: in memory only, and forgotten after at most twice [`GENERATION_MS`]; a mail and a sender are known by a
//! hash under a key of this process. Memory is bounded: past [`ENTRIES_MAX`] the older half is forgotten early.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use cairn_enrich::ad::{AdTraces, BURST_CLICKS_MIN};
use cairn_enrich::mail::{BURST_WINDOW_MS, MailTraces};

use super::halves::Halves;

/// How long one half remembers.
pub const GENERATION_MS: i64 = 10 * 60 * 1000;
/// Mails and senders in one half (about 100 bytes each).
pub const ENTRIES_MAX: usize = 32_768;
/// Links of one mail that are remembered as followed.
const LINKS_MAX: usize = 8;
/// Links that one sender asked for with `HEAD`, per mail.
const HEADS_MAX: usize = 64;
/// Clicks of one sender on one advertisement that are remembered.
const FOLLOWED_MAX: usize = BURST_CLICKS_MIN;
/// How long a honeypot's hit speaks against everybody who fetches from the same mail: scanners change addresses, but the
/// reader comes later.
pub const HONEYPOT_MAIL_MS: i64 = 60_000;

#[derive(Clone, Default)]
struct Seen {
    /// Links followed, with the time; the latest last.
    clicks: Vec<(u16, i64)>,
    /// Links asked for with `HEAD`.
    heads: Vec<u16>,
    /// When the honeypot was followed last.
    honeypot_ms: Option<i64>,
    /// When the advertisement was shown last.
    shown_ms: Option<i64>,
    /// When its link was followed; the latest last.
    followed_ms: Vec<i64>,
}

/// The memory; shared by all threads.
pub struct RecentTraces {
    hasher: RandomState,
    halves: Mutex<Halves<u64, Seen>>,
}

impl Default for RecentTraces {
    fn default() -> Self {
        let halves = Halves::new(GENERATION_MS, ENTRIES_MAX);
        RecentTraces { hasher: RandomState::default(), halves: Mutex::new(halves) }
    }
}

/// Who did something with which mail.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// The mail.
    pub message: &'a [u8; 16],
    /// Many people have it: what one does says nothing about another.
    pub shared: bool,
    /// Address of the sender.
    pub ip: IpAddr,
    /// His `User-Agent`.
    pub user_agent: &'a str,
}

impl RecentTraces {
    /// Notes that a link was asked for with `HEAD`, which is no click.
    pub fn head(&self, sender: &Sender<'_>, link: u16, now_ms: i64) {
        let key = self.key_of_both(sender);
        self.with(now_ms, |halves| {
            let seen = halves.entry(key);
            if !seen.heads.contains(&link) && seen.heads.len() < HEADS_MAX {
                seen.heads.push(link);
            }
        });
    }

    /// Notes a click (number 0 is the honeypot), and tells what the mail saw up to it.
    pub fn click(&self, sender: &Sender<'_>, link: u16, now_ms: i64) -> MailTraces {
        let (mail, both) = (self.key_of_mail(sender), self.key_of_both(sender));
        let person = self.key_of_person(sender);
        self.with(now_ms, |halves| {
            if link == 0 {
                halves.entry(person).honeypot_ms = Some(now_ms);
                halves.entry(mail).honeypot_ms = Some(now_ms);
            }
            let head_before = halves.get(&both).is_some_and(|seen| seen.heads.contains(&link));
            let honeypot = honeypot(halves, mail, person, now_ms);
            let seen = halves.entry(mail);
            seen.clicks.retain(|(known, _)| *known != link);
            if seen.clicks.len() == LINKS_MAX {
                seen.clicks.remove(0);
            }
            seen.clicks.push((link, now_ms));
            let lately = |at_ms: i64| now_ms.saturating_sub(at_ms) <= BURST_WINDOW_MS;
            let links = seen.clicks.iter().filter(|(_, at_ms)| lately(*at_ms)).count();
            MailTraces { links, honeypot, head_before }
        })
    }

    /// Tells what the mail saw before an open.
    pub fn open(&self, sender: &Sender<'_>, now_ms: i64) -> MailTraces {
        let (mail, person) = (self.key_of_mail(sender), self.key_of_person(sender));
        self.with(now_ms, |halves| MailTraces {
            honeypot: honeypot(halves, mail, person, now_ms),
            ..MailTraces::default()
        })
    }

    /// Notes that an advertisement was shown.
    pub fn shown(&self, sender: &Sender<'_>, now_ms: i64) {
        let key = self.key_of_both(sender);
        self.with(now_ms, |halves| halves.entry(key).shown_ms = Some(now_ms));
    }

    /// Notes a click on an advertisement, and tells what this sender did with it up to it.
    pub fn ad_click(&self, sender: &Sender<'_>, link: u16, now_ms: i64) -> AdTraces {
        let key = self.key_of_both(sender);
        self.with(now_ms, |halves| {
            let seen = halves.entry(key);
            if seen.followed_ms.len() == FOLLOWED_MAX {
                seen.followed_ms.remove(0);
            }
            seen.followed_ms.push(now_ms);
            let lately = |at_ms: &&i64| now_ms.saturating_sub(**at_ms) <= BURST_WINDOW_MS;
            AdTraces {
                head_before: seen.heads.contains(&link),
                clicks: seen.followed_ms.iter().filter(lately).count(),
                since_shown_ms: seen.shown_ms.map(|at_ms| now_ms.saturating_sub(at_ms)),
            }
        })
    }

    fn key_of_mail(&self, sender: &Sender<'_>) -> u64 {
        match sender.shared {
            true => self.key_of_both(sender),
            false => self.hasher.hash_one(sender.message),
        }
    }

    fn key_of_person(&self, sender: &Sender<'_>) -> u64 {
        self.hasher.hash_one((sender.ip, sender.user_agent))
    }

    fn key_of_both(&self, sender: &Sender<'_>) -> u64 {
        self.hasher.hash_one((sender.message, sender.ip, sender.user_agent))
    }

    fn with<T>(&self, now_ms: i64, work: impl FnOnce(&mut Halves<u64, Seen>) -> T) -> T {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.age(now_ms);
        work(&mut halves)
    }
}

/// Whether the mail's honeypot was followed: by this sender, or lately by anybody.
fn honeypot(halves: &Halves<u64, Seen>, mail: u64, person: u64, now_ms: i64) -> bool {
    let at_ms = |key| halves.get(&key).and_then(|seen| seen.honeypot_ms);
    at_ms(person).is_some()
        || at_ms(mail).is_some_and(|at_ms| now_ms.saturating_sub(at_ms) <= HONEYPOT_MAIL_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_341_600_000;

    fn sender(message: &[u8; 16]) -> Sender<'_> {
        Sender { message, shared: false, ip: IpAddr::from([203, 0, 113, 9]), user_agent: "agent" }
    }

    #[test]
    fn different_links_within_two_seconds_are_counted() {
        let recent = RecentTraces::default();
        let links = |link, after_ms| recent.click(&sender(&[1; 16]), link, NOW_MS + after_ms).links;
        assert_eq!([links(1, 0), links(1, 10), links(2, 20), links(3, 2_000)], [1, 1, 2, 3]);
        assert_eq!(links(4, 4_001), 1, "the others are too long ago");
        assert_eq!(recent.click(&sender(&[2; 16]), 9, NOW_MS + 4_001).links, 1, "another mail");
    }

    #[test]
    fn a_head_marks_its_link_and_sender_alone() {
        let recent = RecentTraces::default();
        recent.head(&sender(&[1; 16]), 1, NOW_MS);
        assert!(recent.click(&sender(&[1; 16]), 1, NOW_MS).head_before);
        assert!(!recent.click(&sender(&[1; 16]), 2, NOW_MS).head_before);
        assert!(!recent.click(&sender(&[2; 16]), 1, NOW_MS).head_before);
        let reader = Sender { user_agent: "another", ..sender(&[1; 16]) };
        assert!(!recent.click(&reader, 1, NOW_MS).head_before, "the reader behind a scanner");
    }

    #[test]
    fn the_honeypot_marks_its_sender_and_for_a_minute_its_mail() {
        let recent = RecentTraces::default();
        assert!(recent.click(&sender(&[1; 16]), 0, NOW_MS).honeypot);
        assert!(recent.open(&sender(&[2; 16]), NOW_MS).honeypot, "same sender, another mail");
        let reader = Sender { user_agent: "another", ..sender(&[1; 16]) };
        assert!(recent.click(&reader, 1, NOW_MS + HONEYPOT_MAIL_MS).honeypot, "same mail");
        assert!(!recent.click(&reader, 1, NOW_MS + HONEYPOT_MAIL_MS + 1).honeypot);
        let stranger = Sender { user_agent: "another", ..sender(&[2; 16]) };
        assert!(!recent.open(&stranger, NOW_MS).honeypot);
        assert!(!recent.open(&sender(&[2; 16]), NOW_MS + 2 * GENERATION_MS + 1).honeypot);
    }

    #[test]
    fn readers_of_a_shared_mail_are_told_apart() {
        let recent = RecentTraces::default();
        for reader in 1..=5 {
            let ip = IpAddr::from([203, 0, 113, reader]);
            let sender = Sender { ip, shared: true, ..sender(&[1; 16]) };
            let traces = recent.click(&sender, u16::from(reader), NOW_MS);
            assert_eq!(traces, MailTraces { links: 1, ..MailTraces::default() });
        }
    }

    #[test]
    fn an_advertisement_remembers_when_it_was_shown_and_followed() {
        let recent = RecentTraces::default();
        let click = |after_ms| recent.ad_click(&sender(&[1; 16]), 1, NOW_MS + after_ms);
        assert_eq!(click(0), AdTraces { clicks: 1, ..AdTraces::default() });
        recent.shown(&sender(&[1; 16]), NOW_MS + 3_000);
        recent.head(&sender(&[1; 16]), 1, NOW_MS + 3_000);
        let traces = click(3_100);
        assert_eq!((traces.clicks, traces.since_shown_ms), (1, Some(100)));
        assert!(traces.head_before);
        assert_eq!([click(3_200).clicks, click(5_100).clicks, click(5_300).clicks], [2, 3, 2]);
        let other = recent.ad_click(&sender(&[2; 16]), 1, NOW_MS + 5_300);
        assert_eq!(other, AdTraces { clicks: 1, ..AdTraces::default() });
    }

    #[test]
    fn memory_is_bounded() {
        let recent = RecentTraces::default();
        for mail in 0..3 * ENTRIES_MAX as u128 {
            recent.click(&sender(&mail.to_le_bytes()), 1, NOW_MS);
        }
        let halves = recent.halves.lock().unwrap();
        assert!(halves.len() <= 2 * ENTRIES_MAX + 1);
    }
}
