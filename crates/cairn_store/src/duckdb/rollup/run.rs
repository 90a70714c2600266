//! Going through the parts of a slice, some at a time.
//!
//! Guarantees: entries and crossings come with the parts that they belong to.

use std::ops::Range;

use super::block::{CROSSES, Column, Crossing, Slice};

/// A slice, as far as one went through it.
pub(super) struct Cursor<'a> {
    slice: &'a Slice,
    part: usize,
    entry: usize,
    crossing: usize,
}

/// Parts that follow one another in a slice.
#[derive(Clone)]
pub(super) struct Run<'a> {
    pub slice: &'a Slice,
    pub parts: Range<usize>,
    pub entries: Range<usize>,
    /// What other blocks know of the parts' visits.
    pub crossing: &'a [Crossing],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(slice: &'a Slice) -> Cursor<'a> {
        Cursor { slice, part: 0, entry: 0, crossing: 0 }
    }

    /// Goes on to a part.
    pub(super) fn run_to(&mut self, end: usize) -> Run<'a> {
        let slice = self.slice;
        let parts = self.part..end;
        let entries = slice.column(Column::Entries).get(parts.clone()).unwrap_or_default();
        let entries = self.entry..self.entry + sum_of(entries);
        let left = slice.crossing.get(self.crossing..).unwrap_or_default();
        let here = left.partition_point(|crossing| (crossing.part as usize) < end);
        let crossing = left.get(..here).unwrap_or_default();
        (self.part, self.entry, self.crossing) = (end, entries.end, self.crossing + here);
        Run { slice, parts, entries, crossing }
    }

    /// Goes on to the first part of a visitor from that number on.
    pub(super) fn run_until(&mut self, visitor: u64) -> Run<'a> {
        let left = self.slice.visitors.get(self.part..).unwrap_or_default();
        self.run_to(self.part + left.partition_point(|other| *other < visitor))
    }

    /// Goes to the end.
    pub(super) fn rest(&mut self) -> Run<'a> {
        self.run_to(self.slice.visitors.len())
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
        let first = self.entries.start;
        self.entries.start += entries as usize;
        first..self.entries.start
    }
}

fn sum_of(numbers: &[u32]) -> usize {
    numbers.iter().map(|number| *number as usize).sum()
}
