//! Who took permission back lately, for hits that left the browser before it knew.
//!
//! Guarantees: asking costs one read of memory, without lock or allocation; a number that is noted holds until its visitor
//! says yes again, another takes its place, or the process ends. No other visitor is ever mistaken for one of them. Memory:
//! [`PLACES`] numbers with their times.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use cairn_model::VisitorId;

use super::consent::Speaker;

/// Visitors that are remembered at most; two whose numbers end alike share one place. A power of two.
pub const PLACES: usize = 4096;

/// The memory; shared by all threads. A number's last bits are told by its place; there stands by what it was said.
pub(super) struct Withdrawals {
    places: Box<[AtomicU64]>,
    /// When the visitor of each place said it, Unix seconds.
    times_s: Box<[AtomicI64]>,
}

const PLACE_BITS: u64 = PLACES as u64 - 1;

impl Default for Withdrawals {
    fn default() -> Self {
        Withdrawals {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            times_s: (0..PLACES).map(|_| AtomicI64::new(0)).collect(),
        }
    }
}

impl Withdrawals {
    fn place(&self, visitor: VisitorId) -> (&AtomicU64, &AtomicI64) {
        // A keyed hash: its last bits are as good as any.
        let place = (visitor.0 & PLACE_BITS) as usize;
        (&self.places[place], &self.times_s[place])
    }

    pub fn note(&self, visitor: VisitorId, by: Speaker, at_s: i64) {
        let mark = match by {
            Speaker::Words => 1,
            Speaker::ConsentString => 2,
            Speaker::UsString => 3,
        };
        let (place, time_s) = self.place(visitor);
        // Before the number: whoever sees that sees a time that is not older.
        time_s.store(at_s, Ordering::Relaxed);
        place.store((visitor.0 & !PLACE_BITS) | mark, Ordering::Release);
    }

    /// By what the visitor took permission back, and when, Unix seconds; `None`: he did not lately.
    pub fn of(&self, visitor: VisitorId) -> Option<(Speaker, i64)> {
        let (place, time_s) = self.place(visitor);
        let noted = place.load(Ordering::Acquire);
        if (noted ^ visitor.0) & !PLACE_BITS != 0 {
            return None;
        }
        let by = match noted & PLACE_BITS {
            1 => Speaker::Words,
            2 => Speaker::ConsentString,
            3 => Speaker::UsString,
            _ => return None,
        };
        Some((by, time_s.load(Ordering::Relaxed)))
    }

    /// He said yes again.
    pub fn forget(&self, visitor: VisitorId) {
        let (place, _) = self.place(visitor);
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
        withdrawals.note(one, Speaker::UsString, 7);
        assert_eq!(withdrawals.of(one), Some((Speaker::UsString, 7)));
        assert_eq!(withdrawals.of(same_place), None);
        withdrawals.forget(same_place);
        assert!(withdrawals.of(one).is_some(), "nobody speaks for another");
        withdrawals.forget(one);
        assert_eq!(withdrawals.of(one), None);
        withdrawals.note(one, Speaker::Words, 8);
        withdrawals.note(same_place, Speaker::ConsentString, 9);
        assert_eq!(withdrawals.of(one), None);
        assert_eq!(withdrawals.of(same_place), Some((Speaker::ConsentString, 9)));
    }
}
