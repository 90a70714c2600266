//! Going through a block's parts, some at a time.
//!
//! Guarantees: entries and crossings come with the parts that they belong to.

use std::ops::Range;

use super::block::{CROSSES, Column, Crossing, Slice};

/// A block's parts, as far as they were counted.
pub(super) struct Cursor {
    pub slice: Slice,
    pub part: usize,
    entry: usize,
    crossing: usize,
}

/// Parts that follow one another in a block.
#[derive(Clone)]
pub(super) struct Run<'a> {
    pub slice: &'a Slice,
    pub parts: Range<usize>,
    /// The first entry of the first part.
    entry: usize,
    /// What of [`Slice::crossing`] is not of earlier parts.
    crossing: &'a [Crossing],
    /// A number for each part's visitor, the same for the same; empty where visitors are not counted.
    pub visitors: &'a [u32],
    /// Where the block lies; `None` outside the range.
    pub bucket: Option<u32>,
}

impl Cursor {
    pub(super) fn new(slice: Slice) -> Cursor {
        Cursor { slice, part: 0, entry: 0, crossing: 0 }
    }

    /// The parts up to that one.
    pub(super) fn run<'a>(&'a self, end: usize, visitors: &'a [u32]) -> Run<'a> {
        let crossing = self.slice.crossing.get(self.crossing..).unwrap_or_default();
        let (parts, entry) = (self.part..end, self.entry);
        Run { slice: &self.slice, parts, entry, crossing, visitors, bucket: None }
    }

    /// Goes on to that part.
    pub(super) fn advance(&mut self, end: usize) {
        let entries = self.slice.column(Column::Entries).get(self.part..end).unwrap_or_default();
        self.entry += sum_of(entries);
        let left = self.slice.crossing.get(self.crossing..).unwrap_or_default();
        self.crossing += left.partition_point(|crossing| (crossing.part as usize) < end);
        self.part = end;
    }

    /// The first part of a visitor from this one on.
    pub(super) fn until(&self, visitor: Option<u64>) -> usize {
        let left = &self.slice.visitors[self.part..];
        let some = |until: u64| left.partition_point(|visitor| *visitor < until);
        self.part + visitor.map_or(left.len(), some)
    }
}

impl<'a> Run<'a> {
    /// A column's numbers of the parts; `None` where it was not wanted.
    pub(super) fn of_parts(&self, column: Column) -> Option<&'a [u32]> {
        self.slice.column(column).get(self.parts.clone())
    }

    /// What other blocks know of this part's visit; parts are asked for in their order.
    #[inline]
    pub(super) fn crossing_of(&mut self, part: usize, flags: u32) -> Option<Crossing> {
        if flags & CROSSES == 0 {
            return None;
        }
        let before = self.crossing.partition_point(|crossing| (crossing.part as usize) < part);
        self.crossing = &self.crossing[before..];
        self.crossing.first().copied()
    }

    /// The part's entries; parts are asked for in their order.
    #[inline]
    pub(super) fn entries_of(&mut self, part: usize) -> Range<usize> {
        let entries = self.slice.column(Column::Entries).get(part).copied().unwrap_or(0);
        let first = self.entry;
        self.entry += entries as usize;
        first..self.entry
    }
}

pub(super) fn sum_of(numbers: &[u32]) -> usize {
    numbers.iter().map(|number| *number as usize).sum()
}
