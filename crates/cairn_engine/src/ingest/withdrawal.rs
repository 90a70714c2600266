//! Who took permission back lately, for hits that left the browser before it knew.
//!
//! Guarantees: asking costs one read of memory, without lock or allocation; a number that is noted holds until its visitor
//! says yes again, another takes its place, or the process ends. No other visitor is ever mistaken for one of them. Memory:
//! [`PLACES`] numbers with their times. Whose browser keeps a record of the choice needs no more; what senders without one
//! say is kept with their site ([`SiteEntry::refusal_of`]).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use cairn_catalog::SiteEntry;
use cairn_model::VisitorId;

use super::Ingest;
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
        let mark = u64::from(mark_of(by));
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
        let by = u8::try_from(noted & PLACE_BITS).ok().and_then(of_mark)?;
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

/// A speaker as a number that is stored; none is 0. Strings of the United States never speak of measuring.
pub(super) fn mark_of(by: Speaker) -> u8 {
    match by {
        Speaker::Words | Speaker::UsString(_) => 1,
        Speaker::ConsentString | Speaker::Strings(_) => 2,
    }
}

fn of_mark(mark: u8) -> Option<Speaker> {
    match mark {
        1 | 3 => Some(Speaker::Words),
        2 => Some(Speaker::ConsentString),
        _ => None,
    }
}

impl Ingest {
    /// By what a visitor took permission back, and when, Unix seconds: lately, or as a sender that keeps no record of ours.
    pub(super) fn withdrawal_of(
        &self,
        site: &SiteEntry,
        visitor: VisitorId,
        now_ms: i64,
    ) -> Option<(Speaker, i64)> {
        let kept = site.refusal_of(visitor, now_ms);
        let kept = kept.and_then(|(mark, at_s)| Some((of_mark(mark)?, at_s)));
        [self.withdrawals.of(visitor), kept].into_iter().flatten().max_by_key(|(_, at_s)| *at_s)
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
        withdrawals.note(one, Speaker::ConsentString, 7);
        assert_eq!(withdrawals.of(one), Some((Speaker::ConsentString, 7)));
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
