//! Who took permission back lately, and for which purposes, for hits that left the browser before it knew.
//!
//! Guarantees: a no that is noted holds until its visitor says yes to that purpose, another visitor takes the place, or the
//! process ends. No other visitor is ever mistaken for one of them. Memory: [`PLACES`] numbers with their times. Whose browser
//! keeps a record of the choice needs no more; what senders without one say is kept with their site
//! ([`SiteEntry::refusal_of`]).

use std::sync::{PoisonError, RwLock};

use cairn_catalog::SiteEntry;
use cairn_consent::purposes::UsFields;
use cairn_model::{Choice, VisitorId};

use super::Ingest;
use super::consent::Speaker;
use super::gate::{Signals, Standing};

/// Visitors that are remembered at most; two whose numbers end alike share one place. A power of two.
pub const PLACES: usize = 4096;

const PLACE_BITS: u64 = PLACES as u64 - 1;

/// To which purposes somebody says no, and by what: two bits of each purpose, the first in the lowest. It is stored as that
/// number, so that what the bits mean never changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Refused(u8);

impl Refused {
    /// Of a number that was stored.
    pub fn of_mark(mark: u8) -> Self {
        Refused(mark)
    }

    /// The number to be stored; `None`: there is no no.
    pub fn mark(self) -> Option<u8> {
        (self.0 != 0).then_some(self.0)
    }

    /// By what the purpose at this place of [`cairn_model::Purpose::ALL`] was refused. Which fields of the United States
    /// objected is not kept: nothing but a yes takes such an objection back.
    pub fn by(self, place: usize) -> Option<Speaker> {
        match (self.0 >> (2 * place)) & 3 {
            1 => Some(Speaker::Words),
            2 => Some(Speaker::ConsentString),
            3 => Some(Speaker::UsString(UsFields::UNKNOWN)),
            _ => None,
        }
    }

    fn with(self, place: usize, by: Speaker) -> Self {
        let bits = match by {
            Speaker::Words => 1,
            Speaker::ConsentString => 2,
            Speaker::UsString(_) | Speaker::Strings(_) => 3,
        };
        Refused(self.without(place).0 | bits << (2 * place))
    }

    fn without(self, place: usize) -> Self {
        Refused(self.0 & !(3 << (2 * place)))
    }

    /// Either; what the other says of a purpose goes first.
    fn and(self, other: Refused) -> Self {
        (0..4).fold(self, |all, place| match other.by(place) {
            Some(by) => all.with(place, by),
            None => all,
        })
    }
}

/// What somebody says with a hit that goes before what is on record: of each purpose a no, a yes, or nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Spoken {
    /// The nos.
    pub refused: Refused,
    /// The yeses.
    pub allowed: [bool; 4],
}

impl Spoken {
    /// What signals say. From elsewhere than the site's own pages nothing is allowed.
    pub fn of(signals: &Signals) -> Self {
        let Signals { recorded, sent, said, .. } = signals;
        let mut spoken = Spoken::default();
        for place in 0..4 {
            match recorded.newest(sent, *said, place) {
                Some((Choice::Denied, true)) => {
                    let by = Speaker::of_sent(sent, place);
                    spoken.refused = spoken.refused.with(place, by);
                }
                Some((Choice::Granted, true)) => {
                    spoken.allowed[place] = signals.standing == Standing::Own;
                }
                _ => {}
            }
        }
        spoken
    }

    /// The same without its nos.
    pub fn allowing(self) -> Self {
        Spoken { refused: Refused::default(), ..self }
    }

    /// The same without objections under the law of the United States: a browser's own record tells which fields of theirs
    /// objected, and with them when that is over.
    pub fn without_objections(self) -> Self {
        let is_objection = |place| matches!(self.refused.by(place), Some(Speaker::UsString(_)));
        let refused =
            (0..4).filter(|place| is_objection(*place)).fold(self.refused, Refused::without);
        Spoken { refused, ..self }
    }

    /// What is refused after it, where this was before.
    pub fn after(self, known: Refused) -> Refused {
        let allowed = (0..4).filter(|place| self.allowed[*place]);
        allowed.fold(known, Refused::without).and(self.refused)
    }
}

/// Nobody, or who said no, to what, and when (Unix milliseconds).
#[derive(Clone, Copy, Default)]
struct Noted {
    visitor: VisitorId,
    refused: Refused,
    at_ms: i64,
}

/// The memory; shared by all threads.
pub(super) struct Withdrawals(Box<[RwLock<Noted>]>);

impl Default for Withdrawals {
    fn default() -> Self {
        Withdrawals((0..PLACES).map(|_| RwLock::default()).collect())
    }
}

impl Withdrawals {
    fn place(&self, visitor: VisitorId) -> &RwLock<Noted> {
        // A keyed hash: its last bits are as good as any.
        &self.0[(visitor.0 & PLACE_BITS) as usize]
    }

    /// Notes what a visitor says at this time.
    pub fn note(&self, visitor: VisitorId, spoken: Spoken, at_ms: i64) {
        if spoken == Spoken::default() {
            return;
        }
        let mut noted = self.place(visitor).write().unwrap_or_else(PoisonError::into_inner);
        let is_known = noted.visitor == visitor;
        let refused = spoken.after(if is_known { noted.refused } else { Refused::default() });
        if is_known || refused.mark().is_some() {
            let at_ms = if is_known { noted.at_ms.max(at_ms) } else { at_ms };
            *noted = Noted { visitor, refused, at_ms };
        }
    }

    /// To what the visitor said no, and when he spoke last, Unix milliseconds; `None`: he did not lately.
    pub fn of(&self, visitor: VisitorId) -> Option<(Refused, i64)> {
        let noted = *self.place(visitor).read().unwrap_or_else(PoisonError::into_inner);
        let is_no = noted.visitor == visitor && noted.refused.mark().is_some();
        is_no.then_some((noted.refused, noted.at_ms))
    }
}

impl Ingest {
    /// To what a visitor said no, and when he spoke last, Unix milliseconds: lately, or as a sender that keeps no record of ours.
    pub(super) fn withdrawal_of(
        &self,
        site: &SiteEntry,
        visitor: VisitorId,
        now_ms: i64,
    ) -> Option<(Refused, i64)> {
        let kept = site.refusal_of(visitor, now_ms);
        let kept = kept.map(|(mark, at_s)| (Refused::of_mark(mark), at_s * 1000));
        match (self.withdrawals.of(visitor), kept) {
            (Some((lately, at_ms)), Some((kept, kept_at_ms))) => {
                Some((kept.and(lately), at_ms.max(kept_at_ms)))
            }
            (lately, kept) => lately.or(kept),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no(places: &[usize], by: Speaker) -> Spoken {
        let refused = places.iter().fold(Refused::default(), |all, place| all.with(*place, by));
        Spoken { refused, allowed: [false; 4] }
    }

    fn yes(place: usize) -> Spoken {
        let mut allowed = [false; 4];
        allowed[place] = true;
        Spoken { allowed, ..Spoken::default() }
    }

    #[test]
    fn a_visitor_is_held_until_he_says_yes_or_is_displaced() {
        let withdrawals = Withdrawals::default();
        let (one, same_place) = (VisitorId(7), VisitorId(7 + PLACES as u64));
        let by = |visitor| withdrawals.of(visitor).map(|(refused, at_ms)| (refused.by(0), at_ms));
        assert_eq!((by(one), by(VisitorId(1)), by(VisitorId(0))), (None, None, None));
        withdrawals.note(one, no(&[0], Speaker::ConsentString), 7);
        assert_eq!(by(one), Some((Some(Speaker::ConsentString), 7)));
        assert_eq!(by(same_place), None);
        withdrawals.note(same_place, yes(0), 8);
        assert!(by(one).is_some(), "nobody speaks for another");
        withdrawals.note(one, yes(0), 8);
        assert_eq!(by(one), None);
        withdrawals.note(one, no(&[0], Speaker::Words), 8);
        withdrawals.note(same_place, no(&[0], Speaker::ConsentString), 9);
        assert_eq!(by(one), None);
        assert_eq!(by(same_place), Some((Some(Speaker::ConsentString), 9)));
    }

    #[test]
    fn a_yes_takes_back_the_no_to_its_own_purpose_only() {
        let withdrawals = Withdrawals::default();
        let visitor = VisitorId(7);
        withdrawals.note(visitor, no(&[0, 1, 3], Speaker::Words), 7);
        withdrawals.note(visitor, yes(0), 8);
        withdrawals.note(visitor, no(&[3], Speaker::ConsentString), 6);
        let (refused, at_ms) = withdrawals.of(visitor).unwrap();
        let by = [0, 1, 2, 3].map(|place| refused.by(place));
        assert_eq!(by, [None, Some(Speaker::Words), None, Some(Speaker::ConsentString)]);
        assert_eq!(at_ms, 8);
        assert_eq!(refused.mark(), Some(0b10_00_01_00));
        let objected = no(&[1], Speaker::UsString(UsFields::objections(8)));
        assert_eq!(objected.refused.by(1), Some(Speaker::UsString(UsFields::UNKNOWN)));
        assert_eq!(objected.without_objections(), Spoken::default());
    }
}
