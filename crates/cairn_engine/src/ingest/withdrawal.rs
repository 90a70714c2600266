//! Who took permission back lately, for hits that left the browser before it knew.
//!
//! Guarantees: asking costs one read of memory, without lock or allocation; a number that is noted holds until its visitor
//! says yes again, another takes its place, or the process ends. No other visitor is ever mistaken for one of them. Memory:
//! [`PLACES`] numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use cairn_model::VisitorId;

/// Visitors that are remembered at most; two whose numbers end alike share one place.
pub const PLACES: usize = 4096;

/// The memory; shared by all threads.
pub(super) struct Withdrawals {
    places: Box<[AtomicU64]>,
}

impl Default for Withdrawals {
    fn default() -> Self {
        Withdrawals { places: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Withdrawals {
    fn place(&self, visitor: VisitorId) -> &AtomicU64 {
        // A keyed hash: its last bits are as good as any.
        &self.places[visitor.0 as usize % PLACES]
    }

    pub fn note(&self, visitor: VisitorId) {
        self.place(visitor).store(visitor.0, Ordering::Relaxed);
    }

    pub fn holds(&self, visitor: VisitorId) -> bool {
        self.place(visitor).load(Ordering::Relaxed) == visitor.0
    }

    /// He said yes again.
    pub fn forget(&self, visitor: VisitorId) {
        let place = self.place(visitor);
        let _ = place.compare_exchange(visitor.0, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_is_held_until_he_says_yes_or_is_displaced() {
        let withdrawals = Withdrawals::default();
        let (one, same_place) = (VisitorId(7), VisitorId(7 + PLACES as u64));
        assert!(!withdrawals.holds(one));
        withdrawals.note(one);
        assert!(withdrawals.holds(one) && !withdrawals.holds(same_place));
        withdrawals.forget(same_place);
        assert!(withdrawals.holds(one), "nobody speaks for another");
        withdrawals.forget(one);
        assert!(!withdrawals.holds(one));
        withdrawals.note(one);
        withdrawals.note(same_place);
        assert!(!withdrawals.holds(one) && withdrawals.holds(same_place));
    }
}
