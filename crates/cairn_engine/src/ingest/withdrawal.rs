//! Who took permission back lately, for hits that left the browser before it knew.
//!
//! Guarantees: asking costs one read of memory, without lock or allocation; a number that is noted holds until its visitor
//! says yes again, another takes its place, or the process ends. No other visitor is ever mistaken for one of them. Memory:
//! [`PLACES`] numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use cairn_model::VisitorId;

use super::consent::Speaker;

/// Visitors that are remembered at most; two whose numbers end alike share one place. A power of two.
pub const PLACES: usize = 4096;

/// The memory; shared by all threads. A number's last bits are told by its place; there stands by what it was said.
pub(super) struct Withdrawals {
    places: Box<[AtomicU64]>,
}

const PLACE_BITS: u64 = PLACES as u64 - 1;

impl Default for Withdrawals {
    fn default() -> Self {
        Withdrawals { places: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Withdrawals {
    fn place(&self, visitor: VisitorId) -> &AtomicU64 {
        // A keyed hash: its last bits are as good as any.
        &self.places[(visitor.0 & PLACE_BITS) as usize]
    }

    pub fn note(&self, visitor: VisitorId, by: Speaker) {
        let mark = match by {
            Speaker::Words => 1,
            Speaker::ConsentString => 2,
            Speaker::UsString => 3,
        };
        self.place(visitor).store((visitor.0 & !PLACE_BITS) | mark, Ordering::Relaxed);
    }

    /// By what the visitor took permission back; `None`: he did not lately.
    pub fn of(&self, visitor: VisitorId) -> Option<Speaker> {
        let noted = self.place(visitor).load(Ordering::Relaxed);
        if (noted ^ visitor.0) & !PLACE_BITS != 0 {
            return None;
        }
        match noted & PLACE_BITS {
            1 => Some(Speaker::Words),
            2 => Some(Speaker::ConsentString),
            3 => Some(Speaker::UsString),
            _ => None,
        }
    }

    /// He said yes again.
    pub fn forget(&self, visitor: VisitorId) {
        let place = self.place(visitor);
        let noted = place.load(Ordering::Relaxed);
        if (noted ^ visitor.0) & !PLACE_BITS == 0 {
            let _ = place.compare_exchange(noted, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_is_held_until_he_says_yes_or_is_displaced() {
        let withdrawals = Withdrawals::default();
        let (one, same_place) = (VisitorId(7), VisitorId(7 + PLACES as u64));
        let small = VisitorId(1);
        assert_eq!((withdrawals.of(one), withdrawals.of(small)), (None, None));
        withdrawals.note(one, Speaker::UsString);
        assert_eq!(withdrawals.of(one), Some(Speaker::UsString));
        assert_eq!(withdrawals.of(same_place), None);
        withdrawals.forget(same_place);
        assert!(withdrawals.of(one).is_some(), "nobody speaks for another");
        withdrawals.forget(one);
        assert_eq!(withdrawals.of(one), None);
        withdrawals.note(one, Speaker::Words);
        withdrawals.note(same_place, Speaker::ConsentString);
        assert_eq!(withdrawals.of(one), None);
        assert_eq!(withdrawals.of(same_place), Some(Speaker::ConsentString));
    }
}
