//! The parts of a step in the order of their visitors, so that whoever counts meets each visitor once.
//!
//! Guarantees: exact, and of a size that the parts of one step bound. It does not know what is counted.

use super::block::{Column, Slice};

/// A part, and what is needed to count it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Row {
    /// Its place in the slice.
    pub part: u32,
    /// Its first entry.
    pub entry: u32,
    /// The block that it came from.
    pub block: u32,
    /// A number for its visitor: parts that follow one another have the same only if the visitor is; it comes never again.
    pub visitor: u32,
}

/// A part and the visitor that it is put in order by.
#[derive(Clone, Copy, Default)]
struct Keyed {
    visitor: u64,
    row: Row,
}

/// Numbers visitors.
#[derive(Default)]
pub(super) struct Order {
    rows: Vec<Row>,
    keyed: Vec<Keyed>,
    /// By the first bits of visitors' numbers: where those that have them end.
    ends: Vec<u32>,
    /// The number that was given last.
    last: u32,
}

impl Order {
    /// The parts of a slice as they are, with nothing to tell their visitors; `ends` are the blocks and where their parts end.
    pub(super) fn as_they_are(&mut self, slice: &Slice, ends: &[(usize, usize)]) -> &[Row] {
        self.rows.clear();
        self.rows.extend(rows_of(slice, ends));
        &self.rows
    }

    /// The parts of a slice, visitor after visitor. `None`: there are no more numbers.
    pub(super) fn by_visitor(&mut self, slice: &Slice, ends: &[(usize, usize)]) -> Option<&[Row]> {
        self.rows.clear();
        let visitors = &slice.visitors;
        let low = visitors.iter().min().copied().unwrap_or_default();
        let high = visitors.iter().max().copied().unwrap_or_default();
        let shift = shift_for(high - low, visitors.len());
        let place = |visitor: u64| ((visitor - low) >> shift) as usize;
        self.ends.clear();
        self.ends.resize(place(high) + 2, 0);
        visitors.iter().for_each(|visitor| self.ends[place(*visitor) + 1] += 1);
        let mut before = 0;
        for end in &mut self.ends {
            before += *end;
            *end = before;
        }
        self.keyed.clear();
        self.keyed.resize(visitors.len(), Keyed::default());
        for (row, visitor) in rows_of(slice, ends).zip(visitors) {
            // Where the next of its place goes, and in the end where the place ends.
            let next = &mut self.ends[place(*visitor)];
            self.keyed[*next as usize] = Keyed { visitor: *visitor, row };
            *next += 1;
        }
        self.number()
    }

    /// Puts the few of each place in order, and numbers all.
    fn number(&mut self) -> Option<&[Row]> {
        let mut start = 0;
        for end in &self.ends {
            let some = self.keyed.get_mut(start..*end as usize).unwrap_or_default();
            start = *end as usize;
            if some.len() > 1 && !some.is_sorted_by_key(|one| one.visitor) {
                some.sort_by_key(|one| one.visitor);
            }
            let mut before = None;
            for Keyed { visitor, row } in some {
                if before != Some(*visitor) {
                    self.last = self.last.checked_add(1)?;
                    before = Some(*visitor);
                }
                self.rows.push(Row { visitor: self.last, ..*row });
            }
        }
        Some(&self.rows)
    }
}

/// Bits to be left out so that there are about two places for each of so many parts.
fn shift_for(span: u64, parts: usize) -> u32 {
    let bits = u64::BITS - span.leading_zeros();
    bits.saturating_sub(parts.next_power_of_two().trailing_zeros() + 1)
}

/// The parts in their order.
fn rows_of<'s>(slice: &'s Slice, ends: &'s [(usize, usize)]) -> impl Iterator<Item = Row> + 's {
    let mut entries = slice.column(Column::Entries).iter();
    let mut ends = ends.iter().copied();
    let (mut block, mut end) = ends.next().unwrap_or_default();
    let mut entry = 0;
    (0..slice.visitors.len()).map(move |part| {
        while part >= end
            && let Some(next) = ends.next()
        {
            (block, end) = next;
        }
        let row = Row { part: part as u32, entry, block: block as u32, visitor: 0 };
        entry += entries.next().copied().unwrap_or_default();
        row
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(visitors: &[u64]) -> Slice {
        let mut slice = Slice { visitors: visitors.to_vec(), ..Slice::empty() };
        slice.columns[Column::Entries.place()] = (0..visitors.len() as u32).collect();
        slice
    }

    #[test]
    fn visitors_are_told_apart_whatever_their_numbers() {
        let mut order = Order::default();
        let many: Vec<u64> = (0..700_u64).map(|one| one.wrapping_mul(one % 7) << 40).collect();
        let skewed: Vec<u64> = (0..300).map(|one| if one % 2 == 0 { 5 } else { 6 }).collect();
        for visitors in [
            &[0, 0, 7, u64::MAX, 1, 7, 0, u64::MAX, 1 << 32, 2][..],
            &[u64::MAX],
            &[3, 3],
            &[],
            &many,
            &skewed,
        ] {
            let before = order.last;
            let middle = visitors.len() / 2;
            let ends = [(0, middle), (4, visitors.len())];
            let rows = order.by_visitor(&slice(visitors), &ends).unwrap().to_vec();
            let of = |row: &Row| visitors[row.part as usize];
            for pair in rows.windows(2) {
                assert_eq!(of(&pair[0]) == of(&pair[1]), pair[0].visitor == pair[1].visitor);
                assert!(of(&pair[0]) <= of(&pair[1]), "visitor after visitor");
            }
            for row in &rows {
                assert!(row.visitor > before, "no number comes again");
                assert_eq!(row.block, if (row.part as usize) < middle { 0 } else { 4 });
                assert_eq!(row.entry, (0..row.part).sum::<u32>());
            }
            let mut parts: Vec<u32> = rows.iter().map(|row| row.part).collect();
            parts.sort_unstable();
            assert!(parts.into_iter().eq(0..visitors.len() as u32), "each part once");
        }
    }

    #[test]
    fn numbers_end_once() {
        let mut order = Order { last: u32::MAX - 1, ..Order::default() };
        assert!(order.by_visitor(&slice(&[9]), &[(0, 1)]).is_some());
        assert!(order.by_visitor(&slice(&[9]), &[(0, 1)]).is_none());
        assert_eq!(order.as_they_are(&slice(&[9]), &[(0, 1)])[0].visitor, 0);
    }
}
