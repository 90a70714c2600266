//! What is asked of a row, and what rows are grouped by.
//!
//! Guarantees: it reads the columns that it says it wants, and no others.

use cairn_model::session::Attribute;

use super::block::{Column, IDENTIFIED, KNOWN, Slice, Wanted};

/// A condition on a part, or on one of its entries.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// The column's code is one of those marked.
    Code(Column, Vec<bool>),
    /// The visitor was identified.
    Identified(bool),
    /// A bot, or a person.
    Bot(bool),
    /// The visit is known and its number fulfils this.
    OfVisit(Box<Condition>),
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

/// What rows are grouped by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grouping {
    /// The bucket that the block lies in.
    Time,
    /// A column's code.
    Code(Column),
    /// 1: a bot.
    Bot,
    /// 1: identified.
    Identification,
}
/// Where a row's place in a grouping comes from.
enum Place<'a> {
    Bucket,
    OfPart(&'a [u32]),
    OfEntry(&'a [u32]),
    Bot(&'a [u32]),
    Identified(&'a [u32]),
}

/// Where a row's group comes from: the place in each grouping, and how many places that has.
pub(super) struct Places<'a>(Vec<(Place<'a>, u32)>);

impl<'a> Places<'a> {
    /// Of rows of a slice, by groupings that have so many places.
    pub(super) fn of(grouping: &[Grouping], bases: &[usize], slice: &'a Slice) -> Places<'a> {
        let place = |grouping: &Grouping| match grouping {
            Grouping::Time => Place::Bucket,
            Grouping::Code(column) if column.is_of_entries() => {
                Place::OfEntry(slice.column(*column))
            }
            Grouping::Code(column) => Place::OfPart(slice.column(*column)),
            Grouping::Bot => Place::Bot(slice.column(BOT)),
            Grouping::Identification => Place::Identified(slice.column(Column::Flags)),
        };
        let bases = bases.iter().map(|base| *base as u32);
        Places(grouping.iter().map(place).zip(bases).collect())
    }

    #[inline]
    pub(super) fn group(&self, part: usize, entry: usize, bucket: u32) -> u32 {
        let mut group = 0;
        for (place, base) in &self.0 {
            let place = match place {
                Place::Bucket => bucket,
                Place::OfPart(codes) => codes[part],
                Place::OfEntry(codes) => codes[entry],
                Place::Bot(codes) => u32::from(codes[part] != 0),
                Place::Identified(flags) => u32::from(flags[part] & IDENTIFIED != 0),
            };
            group = group * base + place;
        }
        group
    }
}

impl Grouping {
    /// What it looks at.
    pub(super) fn want(self, wanted: &mut Wanted) {
        match self {
            Grouping::Time => {}
            Grouping::Code(column) => wanted.add(column),
            Grouping::Bot => wanted.add(BOT),
            Grouping::Identification => wanted.add(Column::Flags),
        }
    }
}

impl Condition {
    /// What it looks at.
    pub(super) fn want(&self, wanted: &mut Wanted) {
        match self {
            Condition::Code(column, _) => wanted.add(*column),
            Condition::Identified(_) => wanted.add(Column::Flags),
            Condition::Bot(_) => wanted.add(BOT),
            Condition::OfVisit(condition) | Condition::Not(condition) => condition.want(wanted),
            Condition::All(members) | Condition::Any(members) => {
                members.iter().for_each(|member| member.want(wanted));
            }
        }
    }

    pub(super) fn holds(&self, slice: &Slice, part: usize, entry: usize) -> bool {
        let flags = || slice.column(Column::Flags)[part];
        match self {
            Condition::Code(column, passing) => {
                let row = if column.is_of_entries() { entry } else { part };
                passing.get(slice.column(*column)[row] as usize).copied().unwrap_or(false)
            }
            Condition::Identified(wanted) => (flags() & IDENTIFIED != 0) == *wanted,
            Condition::Bot(wanted) => (slice.column(BOT)[part] != 0) == *wanted,
            Condition::OfVisit(condition) => {
                flags() & KNOWN != 0 && condition.holds(slice, part, entry)
            }
            Condition::Not(condition) => !condition.holds(slice, part, entry),
            Condition::All(members) => members.iter().all(|one| one.holds(slice, part, entry)),
            Condition::Any(members) => members.iter().any(|one| one.holds(slice, part, entry)),
        }
    }
}
pub(super) const BOT: Column = Column::Attribute(Attribute::Bot as u8);

#[inline]
pub(super) fn is_person(slice: &Slice, part: usize) -> bool {
    slice.column(BOT)[part] == 0
}
