//! Telling visitors apart, some at a time.
//!
//! Guarantees: exact, and of a size that the rows of one step bound. It does not know what is counted.

/// A free place.
const FREE: u64 = 0;
/// Groups up to which each visitor has a bit for each.
const GROUPS_WITH_BITS: usize = u64::BITS as usize;

/// Numbers of visitors: small, the same for the same visitor, and another one for another.
#[derive(Default)]
pub(super) struct Numbering {
    /// By number: the visitor.
    places: Vec<u64>,
    mask: usize,
}

/// Places of a table that is at most half full.
fn places_for(rows: usize) -> usize {
    (rows.max(1) * 2).next_power_of_two()
}

/// The bits of a product that say most.
#[inline]
fn mixed(value: u64) -> usize {
    (value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

impl Numbering {
    /// Forgets all; at most so many rows follow.
    pub(super) fn begin(&mut self, rows: usize) {
        let places = places_for(rows);
        self.places.clear();
        self.places.resize(places, FREE);
        self.mask = places - 1;
    }

    /// Numbers are below this.
    pub(super) fn below(&self) -> usize {
        self.places.len() + 1
    }

    /// Adds the numbers of visitors, those of one visitor one after the other where possible.
    pub(super) fn number(&mut self, visitors: &[u64], numbers: &mut Vec<u32>) {
        numbers.reserve(visitors.len());
        let mut before = (FREE, self.mask as u32 + 1);
        for visitor in visitors {
            if *visitor != before.0 {
                before = (*visitor, self.number_of(*visitor));
            }
            numbers.push(before.1);
        }
    }

    #[inline]
    fn number_of(&mut self, visitor: u64) -> u32 {
        if visitor == FREE {
            return self.mask as u32 + 1;
        }
        let mut at = mixed(visitor) & self.mask;
        loop {
            match self.places[at] {
                FREE => {
                    self.places[at] = visitor;
                    return at as u32;
                }
                known if known == visitor => return at as u32,
                _ => at = (at + 1) & self.mask,
            }
        }
    }
}

/// Visitors that were counted in a group.
pub(super) enum Seen {
    /// A bit for each group, by the visitor's number.
    Bits(Vec<u64>),
    /// Visitor and group; at most half of the places are taken.
    Pairs { places: Vec<u64>, mask: usize },
}

impl Seen {
    /// For so many groups.
    pub(super) fn new(groups: usize) -> Seen {
        match groups <= GROUPS_WITH_BITS {
            true => Seen::Bits(Vec::new()),
            false => Seen::Pairs { places: Vec::new(), mask: 0 },
        }
    }

    /// Forgets all; at most so many rows follow, of visitors whose numbers are below `numbers`.
    pub(super) fn begin(&mut self, numbers: usize, rows: usize) {
        match self {
            Seen::Bits(bits) => {
                bits.clear();
                bits.resize(numbers, 0);
            }
            Seen::Pairs { places, mask } => {
                let size = places_for(rows);
                places.clear();
                places.resize(size, FREE);
                *mask = size - 1;
            }
        }
    }

    /// Whether the visitor is new in the group.
    #[inline]
    pub(super) fn insert(&mut self, visitor: u32, group: u32) -> bool {
        match self {
            Seen::Bits(bits) => {
                let bits = &mut bits[visitor as usize];
                let is_new = *bits >> group & 1 == 0;
                *bits |= 1 << group;
                is_new
            }
            Seen::Pairs { places, mask } => {
                let pair = u64::from(visitor + 1) << 32 | u64::from(group);
                let mut at = mixed(pair) & *mask;
                loop {
                    match places[at] {
                        FREE => {
                            places[at] = pair;
                            return true;
                        }
                        known if known == pair => return false,
                        _ => at = (at + 1) & *mask,
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn visitors_are_told_apart_whatever_their_numbers() {
        let visitors = [0, 0, 7, u64::MAX, 1, 7, 0, u64::MAX, 1 << 32, 2];
        let mut numbering = Numbering::default();
        for _ in 0..2 {
            let mut numbers = Vec::new();
            numbering.begin(visitors.len());
            numbering.number(&visitors[..4], &mut numbers);
            numbering.number(&visitors[4..], &mut numbers);
            for (left, one) in visitors.iter().zip(&numbers) {
                assert!((*one as usize) < numbering.below());
                for (right, other) in visitors.iter().zip(&numbers) {
                    assert_eq!(left == right, one == other, "{left} {right}");
                }
            }
        }
    }

    #[test]
    fn a_visitor_is_new_once_in_each_group() {
        for groups in [1, 64, 65, 1_000_000] {
            let mut seen = Seen::new(groups as usize);
            for _ in 0..2 {
                seen.begin(9, 20);
                let groups: BTreeSet<u32> = [0, groups - 1].into();
                for (visitor, group) in
                    (0..9).flat_map(|one| groups.iter().map(move |of| (one, of)))
                {
                    assert!(seen.insert(visitor, *group), "{visitor} {group}");
                    assert!(!seen.insert(visitor, *group), "{visitor} {group}");
                }
            }
        }
    }
}
