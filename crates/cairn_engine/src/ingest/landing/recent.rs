//! Which clicks may still land, and which browser did: the recipient's, or the one whose conversions they are.
//!
//! Guarantees: the first browser that lands with a click has it, and no other ever does: whoever is not in this memory ties
//! nobody. In memory only, so after a restart earlier clicks tie nobody either. Bounded: past [`ENTRIES_MAX`] the older
//! half is forgotten early.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::token::click::TIE_MS_MAX;

/// Clicks in one half (about 60 bytes each).
pub const ENTRIES_MAX: usize = 65_536;

/// Who landed with a click so far; 0 = nobody.
#[derive(Clone, Copy, Default)]
struct Landed {
    /// Anonymous number of the day: the same before and after a permission.
    sender: u64,
    /// The visitor who gave permission.
    visitor: u64,
}

#[derive(Default)]
struct Halves {
    since_ms: i64,
    young: HashMap<[u8; 16], Landed>,
    old: HashMap<[u8; 16], Landed>,
}

/// The memory; shared by all threads.
#[derive(Default)]
pub struct RecentClicks {
    halves: Mutex<Halves>,
}

impl RecentClicks {
    /// Notes a click.
    pub fn clicked(&self, click: [u8; 16], now_ms: i64) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let age_ms = now_ms.saturating_sub(halves.since_ms);
        if age_ms >= TIE_MS_MAX || halves.young.len() >= ENTRIES_MAX {
            halves.old = std::mem::take(&mut halves.young);
            if age_ms >= 2 * TIE_MS_MAX {
                halves.old.clear();
            }
            halves.since_ms = now_ms;
        }
        halves.young.insert(click, Landed::default());
    }

    /// Whether this browser is the one that landed with the click; the first one becomes it. `visitor`: 0 = without
    /// permission, which takes the click for this sender and ties nobody.
    pub fn lands(&self, click: &[u8; 16], sender: u64, visitor: u64) -> bool {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let halves = &mut *halves;
        let Some(landed) = halves.young.get_mut(click).or_else(|| halves.old.get_mut(click)) else {
            return false;
        };
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
}

impl RecentClicks {
    /// The visitor who landed with the click and gave permission; 0 = none that is remembered.
    pub fn visitor(&self, click: &[u8; 16]) -> u64 {
        let halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let landed = halves.young.get(click).or_else(|| halves.old.get(click));
        landed.map_or(0, |landed| landed.visitor)
    }
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
        let halves = clicks.halves.lock().unwrap();
        assert!(halves.young.len() + halves.old.len() <= 2 * ENTRIES_MAX + 1);
    }
}
