//! Which clicks may still land, and which browser did: the recipient's, or the one whose conversions they are. And whose a
//! browser was said to be so lately that the store may not know.
//!
//! Guarantees: the first browser that lands with a click has it, and no other ever does: whoever is not in this memory ties
//! nobody. A browser is tied to one user only, however many land in it at once. In memory only, so after a restart earlier
//! clicks tie nobody either. Bounded: past [`ENTRIES_MAX`] the older half is forgotten early.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cairn_model::VisitorId;

use crate::ingest::halves::Halves;
use crate::token::click::TIE_MS_MAX;

/// Clicks in one half (about 60 bytes each), and browsers.
pub const ENTRIES_MAX: usize = 65_536;
/// How long the store's word that a browser is nobody else's holds: one minute. Its *no* holds as long as the click.
pub const ANSWER_MS_MAX: i64 = 60 * 1000;
/// Stands for several users where one is expected.
const SEVERAL: u64 = 0;
/// Stands for a visitor who took permission back: equal to no number of a visitor but by a chance of one in 2^64.
const WITHDRAWN: u64 = u64::MAX;

/// Who landed with a click so far; 0 = nobody.
#[derive(Clone, Copy, Default)]
struct Landed {
    /// Anonymous number of the day: the same before and after a permission.
    sender: u64,
    /// The visitor who gave permission.
    visitor: u64,
    /// What is known of that visitor.
    answer: Answer,
}

/// Whether the browser that landed is known as somebody else's.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Answer {
    #[default]
    NotAsked,
    UnderWay,
    SomebodyElse,
    /// Since when, Unix milliseconds.
    Free(i64),
}

/// What is to be done before a browser that landed becomes the recipient's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// The store is to be asked; whoever gets this answer calls [`RecentClicks::answered`].
    Ask,
    /// It said lately that the browser is nobody else's.
    Free,
    /// It is somebody else's, or another request asks just now.
    Taken,
}

/// The memory of clicks; shared by all threads.
pub struct RecentClicks {
    clicks: Mutex<Halves<[u8; 16], Landed>>,
}

impl Default for RecentClicks {
    fn default() -> Self {
        RecentClicks { clicks: Mutex::new(Halves::new(TIE_MS_MAX, ENTRIES_MAX)) }
    }
}

impl RecentClicks {
    /// Notes a click.
    pub fn clicked(&self, click: [u8; 16], now_ms: i64) {
        lock(&self.clicks).insert(click, Landed::default(), now_ms);
    }

    /// Whether this browser is the one that landed with the click; the first one becomes it. `visitor`: 0 = without
    /// permission, which takes the click for this sender and ties nobody.
    pub fn lands(&self, click: &[u8; 16], sender: u64, visitor: u64) -> bool {
        let mut clicks = lock(&self.clicks);
        let Some(landed) = clicks.get_mut(click) else { return false };
        let is_same = |known: u64, shown: u64| known == 0 || known == shown;
        if !is_same(landed.sender, sender) || visitor != 0 && !is_same(landed.visitor, visitor) {
            return false;
        }
        landed.sender = sender;
        if visitor != 0 {
            landed.visitor = visitor;
        }
        visitor != 0
    }

    /// Whether the store has to be asked about the browser that landed with the click: a page that is loaded again asks
    /// nothing.
    pub fn asks(&self, click: &[u8; 16], now_ms: i64) -> Asked {
        let mut clicks = lock(&self.clicks);
        let Some(landed) = clicks.get_mut(click) else { return Asked::Taken };
        match landed.answer {
            Answer::Free(since_ms) if now_ms.saturating_sub(since_ms) < ANSWER_MS_MAX => {
                Asked::Free
            }
            Answer::NotAsked | Answer::Free(_) => {
                landed.answer = Answer::UnderWay;
                Asked::Ask
            }
            Answer::UnderWay | Answer::SomebodyElse => Asked::Taken,
        }
    }

    /// What the store said: the browser is somebody else's, or not; `None`: it said nothing.
    pub fn answered(&self, click: &[u8; 16], is_somebody_else: Option<bool>, now_ms: i64) {
        if let Some(landed) = lock(&self.clicks).get_mut(click) {
            landed.answer = match is_somebody_else {
                None => Answer::NotAsked,
                Some(true) => Answer::SomebodyElse,
                Some(false) => Answer::Free(now_ms),
            };
        }
    }

    /// Forgets a visitor who takes permission back: no click is his any more, and none of them becomes another's. Looks at
    /// every click that is remembered: few take back, and an index would be one more place that knows them.
    pub fn forget(&self, visitor: VisitorId) {
        for landed in lock(&self.clicks).values_mut() {
            if landed.visitor == visitor.0 {
                (landed.visitor, landed.answer) = (WITHDRAWN, Answer::SomebodyElse);
            }
        }
    }

    /// The visitor who landed with the click and gave permission; 0 = none that is remembered.
    pub fn visitor(&self, click: &[u8; 16]) -> u64 {
        lock(&self.clicks).get(click).map_or(0, |landed| match landed.visitor {
            WITHDRAWN => 0,
            visitor => visitor,
        })
    }
}

/// Whose browsers are by what is not in the store yet: ties just made, and users that events beside a landing named.
pub struct RecentUsers {
    users: Mutex<Halves<u64, u64>>,
}

impl Default for RecentUsers {
    fn default() -> Self {
        RecentUsers { users: Mutex::new(Halves::new(TIE_MS_MAX, ENTRIES_MAX)) }
    }
}

impl RecentUsers {
    /// Makes the browser the user's, for as long as the store may not know; false: it is somebody else's.
    pub fn claims(&self, visitor: VisitorId, user_key: u64, now_ms: i64) -> bool {
        let mut users = lock(&self.users);
        let is_free = users.get(&visitor.0).is_none_or(|known| *known == user_key);
        if is_free {
            users.insert(visitor.0, user_key, now_ms);
        }
        is_free
    }

    /// Notes whose the browser's own events say that it is.
    pub fn named(&self, visitor: VisitorId, user: NamedUser, now_ms: i64) {
        let user_key = match user {
            NamedUser::Nobody => return,
            NamedUser::One(user_key) => user_key,
            NamedUser::Several => SEVERAL,
        };
        if !self.claims(visitor, user_key, now_ms) {
            lock(&self.users).insert(visitor.0, SEVERAL, now_ms);
        }
    }

    /// Forgets a visitor who takes permission back.
    pub fn forget(&self, visitor: VisitorId) {
        lock(&self.users).remove(&visitor.0);
    }

    /// Whether the browser is somebody else's.
    pub fn is_somebody_else(&self, visitor: VisitorId, user_key: u64) -> bool {
        lock(&self.users).get(&visitor.0).is_some_and(|known| *known != user_key)
    }
}

/// Whom the events of one request name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NamedUser {
    /// Nobody.
    #[default]
    Nobody,
    /// This user, by his key.
    One(u64),
    /// Two or more.
    Several,
}

impl NamedUser {
    /// One more event that names a user.
    pub fn and(self, user_key: u64) -> Self {
        match self {
            NamedUser::Nobody => NamedUser::One(user_key),
            NamedUser::One(known) if known == user_key => self,
            _ => NamedUser::Several,
        }
    }

    /// Whether somebody else than this user is named.
    pub fn is_somebody_else(self, user_key: u64) -> bool {
        !matches!(self, NamedUser::Nobody) && self != NamedUser::One(user_key)
    }
}

fn lock<T>(memory: &Mutex<T>) -> MutexGuard<'_, T> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_341_600_000;
    const CLICK: [u8; 16] = [1; 16];

    #[test]
    fn the_first_browser_has_the_click() {
        let clicks = RecentClicks::default();
        assert!(!clicks.lands(&CLICK, 1, 11), "nobody clicked");
        clicks.clicked(CLICK, NOW_MS);
        assert!(clicks.lands(&CLICK, 1, 11));
        assert!(clicks.lands(&CLICK, 1, 11), "the same browser loads the page again");
        assert!(!clicks.lands(&CLICK, 2, 12), "a link that was passed on");
        assert!(!clicks.lands(&CLICK, 1, 12), "another browser behind one address");
        assert_eq!((clicks.visitor(&CLICK), clicks.visitor(&[2; 16])), (11, 0));
    }

    #[test]
    fn a_landing_without_permission_takes_the_click_for_its_sender() {
        let clicks = RecentClicks::default();
        clicks.clicked(CLICK, NOW_MS);
        assert!(!clicks.lands(&CLICK, 1, 0));
        assert!(!clicks.lands(&CLICK, 2, 12), "somebody else");
        assert!(clicks.lands(&CLICK, 1, 11), "permission came after the landing");
    }

    #[test]
    fn memory_is_bounded() {
        let clicks = RecentClicks::default();
        for click in 0..3 * ENTRIES_MAX as u128 {
            clicks.clicked(click.to_le_bytes(), NOW_MS);
        }
        assert!(clicks.clicks.lock().unwrap().len() <= 2 * ENTRIES_MAX + 1);
    }

    #[test]
    fn the_store_is_asked_once_and_not_by_two_at_a_time() {
        let clicks = RecentClicks::default();
        assert_eq!(clicks.asks(&CLICK, NOW_MS), Asked::Taken, "nobody clicked");
        clicks.clicked(CLICK, NOW_MS);
        assert_eq!(clicks.asks(&CLICK, NOW_MS), Asked::Ask);
        assert_eq!(clicks.asks(&CLICK, NOW_MS), Asked::Taken, "under way");
        clicks.answered(&CLICK, None, NOW_MS);
        assert_eq!(clicks.asks(&CLICK, NOW_MS), Asked::Ask, "the answer never came");
        clicks.answered(&CLICK, Some(false), NOW_MS);
        assert_eq!(clicks.asks(&CLICK, NOW_MS + ANSWER_MS_MAX - 1), Asked::Free);
        assert_eq!(clicks.asks(&CLICK, NOW_MS + ANSWER_MS_MAX), Asked::Ask, "long ago");
        clicks.answered(&CLICK, Some(true), NOW_MS);
        assert_eq!(clicks.asks(&CLICK, NOW_MS + TIE_MS_MAX), Asked::Taken);
    }

    #[test]
    fn whoever_takes_permission_back_is_forgotten() {
        let (clicks, users) = (RecentClicks::default(), RecentUsers::default());
        clicks.clicked(CLICK, NOW_MS);
        clicks.clicked([2; 16], NOW_MS);
        assert!(clicks.lands(&CLICK, 1, 11) && clicks.lands(&[2; 16], 2, 12));
        assert_eq!(clicks.asks(&CLICK, NOW_MS), Asked::Ask);
        assert!(users.claims(VisitorId(11), 1, NOW_MS));
        clicks.forget(VisitorId(11));
        users.forget(VisitorId(11));
        assert_eq!((clicks.visitor(&CLICK), clicks.visitor(&[2; 16])), (0, 12));
        assert!(!clicks.lands(&CLICK, 1, 11), "his click ties nobody any more");
        assert!(!clicks.lands(&CLICK, 1, 13), "and is nobody else's");
        assert_eq!(clicks.asks(&CLICK, NOW_MS), Asked::Taken);
        assert!(users.claims(VisitorId(11), 2, NOW_MS));
    }

    #[test]
    fn a_browser_is_one_users() {
        let users = RecentUsers::default();
        let visitor = VisitorId(11);
        assert!(!users.is_somebody_else(visitor, 1));
        assert!(users.claims(visitor, 1, NOW_MS) && users.claims(visitor, 1, NOW_MS));
        assert!(!users.claims(visitor, 2, NOW_MS + TIE_MS_MAX), "a tie before");
        assert!(users.claims(VisitorId(12), 2, NOW_MS));
        users.named(visitor, NamedUser::Nobody, NOW_MS);
        assert!(users.claims(visitor, 1, NOW_MS));
        users.named(visitor, NamedUser::One(2), NOW_MS);
        assert!(users.is_somebody_else(visitor, 1) && users.is_somebody_else(visitor, 2));
        let several = NamedUser::Nobody.and(1).and(1).and(2);
        assert_eq!(several, NamedUser::Several);
        assert!(several.is_somebody_else(1) && !NamedUser::One(1).is_somebody_else(1));
    }
}
