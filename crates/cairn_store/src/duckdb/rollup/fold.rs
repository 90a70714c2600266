//! Counting over blocks.
//!
//! Guarantees: what is counted is exactly what the rows of the blocks' stretches would give. Blocks follow one another in
//! time without a gap; a visit that several of them know is counted once. Visitors are taken some at a time, so that what is
//! needed to count them once fits into a processor's cache, however many there are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use cairn_model::question::Buckets;
use cairn_model::session::Attribute;
use foldhash::HashSet;

use super::block::{ACTIVE, CROSSES, Column, Crossing, IDENTIFIED, KNOWN, Slice, Wanted};
use super::file::{SEGMENTS, visitors_of};
use super::{Block, RollupError};
use crate::schema::PAGE_VIEW_CODE;

/// Rows of all blocks whose visitors are counted at once.
const ROWS_AT_ONCE: usize = 8_192;
/// Most groups that there may be: an array has a place for each.
pub(super) const GROUPS_MAX: usize = 1_000_000;

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

/// Which side of a question is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Visits,
    Events,
}

/// What is counted.
pub(super) struct Fold<'q> {
    pub side: Side,
    pub people_only: bool,
    /// On parts.
    pub conditions: Vec<Condition>,
    /// On entries. On the visits' side: the visit has an entry that fulfils all of them at once.
    pub entry_conditions: Vec<Condition>,
    pub grouping: Vec<Grouping>,
    /// Places of each grouping: codes are below it.
    pub bases: Vec<usize>,
    /// Whose bounces are counted.
    pub bounce_conditions: Vec<Condition>,
    /// First millisecond asked about and the first one after, for visits that lie across the ends.
    pub range_ms: (i64, i64),
    /// How time is cut, where rows are grouped by it.
    pub buckets: Option<&'q Buckets>,
    /// Distinct visitors are asked for.
    pub counts_visitors: bool,
    /// Entries are looked at one by one; otherwise what a part has of them in all suffices.
    pub by_entry: bool,
    pub wanted: Wanted,
}

/// Counts of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    pub visitors: u64,
    pub visits: u64,
    pub pageviews: u64,
    pub events: u64,
    pub bounces: u64,
    pub bounce_visits: u64,
    pub seconds: u64,
    pub visit_pageviews: u64,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.visitors += other.visitors;
        self.visits += other.visits;
        self.pageviews += other.pageviews;
        self.events += other.events;
        self.bounces += other.bounces;
        self.bounce_visits += other.bounce_visits;
        self.seconds += other.seconds;
        self.visit_pageviews += other.visit_pageviews;
    }
}

/// What one thread has counted.
#[derive(Default)]
struct Tally {
    groups: Groups,
    /// Of the visits' side: visits that several blocks know and that were counted.
    counted: HashSet<u64>,
    /// Of the events' side: visits that several blocks know, by visit and group.
    visits: HashSet<(u64, u32)>,
}

/// Counts of the groups that there are.
#[derive(Default)]
pub(super) struct Groups {
    /// By group: the place of its counts and one; 0 = there is none.
    places: Vec<u32>,
    counts: Vec<(u32, Counts)>,
}

impl Groups {
    #[inline]
    fn at(&mut self, group: u32) -> &mut Counts {
        let index = group as usize;
        if let Some(place) = self.places.get(index)
            && *place != 0
        {
            return &mut self.counts[*place as usize - 1].1;
        }
        self.add(index, group)
    }

    #[cold]
    fn add(&mut self, index: usize, group: u32) -> &mut Counts {
        if index >= self.places.len() {
            self.places.resize((index + 1).next_power_of_two(), 0);
        }
        self.counts.push((group, Counts::default()));
        let place = self.counts.len();
        self.places[index] = place as u32;
        &mut self.counts[place - 1].1
    }

    /// The groups that there are, with their counts.
    pub(super) fn list(&self) -> &[(u32, Counts)] {
        &self.counts
    }
}

/// Visitors that were counted in a group.
#[derive(Default)]
struct Seen {
    /// The visitor, and the group's number and one; 0 = free.
    places: Vec<(u64, u32)>,
    mask: usize,
}

impl Seen {
    /// Forgets them; there is room for so many.
    fn clear(&mut self, rows: usize) {
        if rows * 2 >= self.places.len() {
            let size = ((rows + 1) * 2).next_power_of_two();
            *self = Seen { places: vec![(0, 0); size], mask: size - 1 };
        } else {
            self.places.fill((0, 0));
        }
    }

    /// Whether the visitor is new in the group.
    #[inline]
    fn insert(&mut self, visitor: u64, group: u32) -> bool {
        let mixed = visitor ^ u64::from(group).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut at = (mixed ^ (mixed >> 29)) as usize & self.mask;
        loop {
            let place = &mut self.places[at];
            if place.1 == 0 {
                *place = (visitor, group + 1);
                return true;
            }
            if *place == (visitor, group + 1) {
                return false;
            }
            at = (at + 1) & self.mask;
        }
    }
}

/// A block's parts, as far as they were counted.
struct Cursor {
    slice: Slice,
    part: usize,
    entry: usize,
    crossing: usize,
    bucket: Option<u32>,
}

impl Cursor {
    fn new(slice: Slice, bucket: Option<u32>) -> Cursor {
        Cursor { slice, part: 0, entry: 0, crossing: 0, bucket }
    }

    /// What other blocks know of this part's visit; parts are asked for in their order.
    #[inline]
    fn crossing_of(&mut self, part: usize) -> Option<Crossing> {
        if self.slice.column(Column::Flags)[part] & CROSSES == 0 {
            return None;
        }
        let left = &self.slice.crossing[self.crossing..];
        self.crossing += left.partition_point(|crossing| (crossing.part as usize) < part);
        self.slice.crossing.get(self.crossing).copied()
    }

    /// The part's entries; parts are asked for in their order.
    fn entries_of(&mut self, part: usize) -> std::ops::Range<usize> {
        let entries = self.slice.column(Column::Entries).get(part).copied().unwrap_or(0);
        let first = self.entry;
        self.entry += entries as usize;
        first..self.entry
    }

    /// The first part of a visitor from this one on.
    fn until(&self, visitor: Option<u64>) -> usize {
        let left = &self.slice.visitors[self.part..];
        let some = |until: u64| left.partition_point(|visitor| *visitor < until);
        self.part + visitor.map_or(left.len(), some)
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

    fn holds(&self, slice: &Slice, part: usize, entry: usize) -> bool {
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

/// What a number of threads work on, one segment after the other.
fn by_segment<T: Default + Send>(
    threads: usize,
    work: impl Fn(usize, &mut T) -> Result<(), RollupError> + Sync,
) -> Result<Vec<T>, RollupError> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = T::default();
        loop {
            let segment = next.fetch_add(1, Ordering::Relaxed);
            if segment >= SEGMENTS {
                return Ok(done);
            }
            work(segment, &mut done)?;
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let own = run();
        let others =
            others.into_iter().map(|thread| thread.join().unwrap_or(Err(RollupError::Broken)));
        std::iter::once(own).chain(others).collect()
    })
}

impl Fold<'_> {
    /// Counts over blocks, by group.
    pub(super) fn over(
        &self,
        blocks: &[Block],
        threads: usize,
        deadline: Instant,
    ) -> Result<Groups, RollupError> {
        let matched = self.visits_that_match(blocks, threads)?;
        let tallies = by_segment(threads, |segment, tally: &mut Tally| {
            self.count_segment(blocks, segment, &matched, tally, deadline)
        })?;
        let mut groups = Groups::default();
        let mut visits: HashSet<(u64, u32)> = HashSet::default();
        for tally in tallies {
            for (group, counts) in tally.groups.list() {
                groups.at(*group).add(counts);
            }
            visits.extend(tally.visits);
        }
        for (_, group) in visits {
            groups.at(group).visits += 1;
        }
        Ok(groups)
    }

    /// Of the visits that several blocks know: those with an event that fulfils the conditions on events.
    fn visits_that_match(
        &self,
        blocks: &[Block],
        threads: usize,
    ) -> Result<HashSet<u64>, RollupError> {
        if self.side == Side::Events || self.entry_conditions.is_empty() {
            return Ok(HashSet::default());
        }
        let found = by_segment(threads, |segment, matched: &mut HashSet<u64>| {
            for block in blocks {
                let mut cursor = Cursor::new(block.slice(segment)?, None);
                for part in 0..cursor.slice.visitors.len() {
                    let (entries, crossing) = (cursor.entries_of(part), cursor.crossing_of(part));
                    let Some(crossing) = crossing.filter(|one| one.session_id != 0) else {
                        continue;
                    };
                    let is_asked_about = !self.people_only || is_person(&cursor.slice, part);
                    if is_asked_about && self.matches(&cursor.slice, part, entries) {
                        matched.insert(crossing.session_id);
                    }
                }
            }
            Ok(())
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    fn count_segment(
        &self,
        blocks: &[Block],
        segment: usize,
        matched: &HashSet<u64>,
        tally: &mut Tally,
        deadline: Instant,
    ) -> Result<(), RollupError> {
        let mut cursors = Vec::with_capacity(blocks.len());
        for block in blocks {
            let slice = block.slice(segment)?;
            cursors.push(Cursor::new(slice, self.bucket_of(block.span().from_ms)));
        }
        let rows: usize = cursors.iter().map(|cursor| cursor.slice.rows()).sum();
        // Visitors are spread evenly: equal steps of their numbers have about the same number of rows.
        let steps = (rows / ROWS_AT_ONCE + 1) as u64;
        let (first, last) = visitors_of(segment);
        let step = (last - first) / steps + 1;
        let mut seen = Seen::default();
        for index in 1..=steps {
            if Instant::now() > deadline {
                return Err(RollupError::TooSlow);
            }
            let until = (index < steps).then(|| first + step * index);
            let ends: Vec<usize> = cursors.iter().map(|cursor| cursor.until(until)).collect();
            if self.counts_visitors {
                seen.clear(self.rows_until(&cursors, &ends));
            }
            for (cursor, end) in cursors.iter_mut().zip(ends) {
                match self.side {
                    Side::Visits => self.count_visits(cursor, end, matched, tally, &mut seen),
                    Side::Events if self.by_entry => {
                        self.count_entries(cursor, end, tally, &mut seen);
                    }
                    Side::Events => self.count_parts(cursor, end, tally, &mut seen),
                }
                cursor.part = end;
            }
        }
        Ok(())
    }

    fn rows_until(&self, cursors: &[Cursor], ends: &[usize]) -> usize {
        let rows = |(cursor, end): (&Cursor, &usize)| {
            let parts = cursor.part..*end;
            match self.side == Side::Events && self.by_entry {
                false => parts.len(),
                true => {
                    let entries = &cursor.slice.column(Column::Entries)[parts];
                    entries.iter().map(|entries| *entries as usize).sum()
                }
            }
        };
        cursors.iter().zip(ends).map(rows).sum()
    }

    #[inline]
    fn passes(&self, slice: &Slice, part: usize) -> bool {
        (!self.people_only || is_person(slice, part))
            && (self.conditions.is_empty()
                || self.conditions.iter().all(|condition| condition.holds(slice, part, 0)))
    }

    fn entry_passes(&self, slice: &Slice, part: usize, entry: usize) -> bool {
        self.entry_conditions.iter().all(|condition| condition.holds(slice, part, entry))
    }

    fn matches(&self, slice: &Slice, part: usize, mut entries: std::ops::Range<usize>) -> bool {
        self.entry_conditions.is_empty()
            || entries.any(|entry| self.entry_passes(slice, part, entry))
    }

    fn group(&self, slice: &Slice, part: usize, entry: usize, bucket: u32) -> u32 {
        let mut group = 0;
        for (grouping, base) in self.grouping.iter().zip(&self.bases) {
            let place = match grouping {
                Grouping::Time => bucket,
                Grouping::Code(column) if column.is_of_entries() => slice.column(*column)[entry],
                Grouping::Code(column) => slice.column(*column)[part],
                Grouping::Bot => u32::from(!is_person(slice, part)),
                Grouping::Identification => {
                    u32::from(slice.column(Column::Flags)[part] & IDENTIFIED != 0)
                }
            };
            group = group * *base as u32 + place;
        }
        group
    }

    fn count_visits(
        &self,
        cursor: &mut Cursor,
        end: usize,
        matched: &HashSet<u64>,
        tally: &mut Tally,
        seen: &mut Seen,
    ) {
        for part in cursor.part..end {
            let (entries, crossing) = (cursor.entries_of(part), cursor.crossing_of(part));
            let slice = &cursor.slice;
            let is_active = slice.column(Column::Flags)[part] & ACTIVE != 0;
            if !is_active || !self.passes(slice, part) {
                continue;
            }
            let bucket = match crossing {
                None if self.matches(slice, part, entries) => cursor.bucket,
                None => None,
                Some(crossing) => self.bucket_of_crossing(&crossing, matched),
            };
            let Some(bucket) = bucket else { continue };
            if crossing.is_some_and(|crossing| !tally.counted.insert(crossing.session_id)) {
                continue;
            }
            let group = self.group(slice, part, 0, bucket);
            let counted = tally.groups.at(group);
            counted.visits += 1;
            if let Some(seconds) = slice.column(Column::Seconds).get(part) {
                counted.seconds += u64::from(*seconds);
            }
            if let Some(pageviews) = slice.column(Column::Pageviews).get(part) {
                counted.visit_pageviews += u64::from(*pageviews);
            }
            if let Some(events) = slice.column(Column::Events).get(part)
                && self.bounce_conditions.iter().all(|one| one.holds(slice, part, 0))
            {
                counted.bounce_visits += 1;
                counted.bounces += u64::from(*events == 1);
            }
            if self.counts_visitors && seen.insert(slice.visitors[part], group) {
                counted.visitors += 1;
            }
        }
    }

    /// The bucket of an instant; `None` outside the range.
    fn bucket_of(&self, at_ms: i64) -> Option<u32> {
        let Some(buckets) = self.buckets else { return Some(0) };
        let index = buckets.index_of(at_ms);
        u32::try_from(index).ok().filter(|_| index < buckets.count())
    }

    /// Where a visit that other blocks may know is counted, if at all.
    fn bucket_of_crossing(&self, crossing: &Crossing, matched: &HashSet<u64>) -> Option<u32> {
        let (from_ms, until_ms) = self.range_ms;
        let is_in_range = crossing.ended_at_ms >= from_ms && crossing.started_at_ms < until_ms;
        let is_matched = self.entry_conditions.is_empty() || matched.contains(&crossing.session_id);
        (is_in_range && is_matched).then(|| self.bucket_of(crossing.ended_at_ms)).flatten()
    }

    /// Events of parts of which no single one is asked about.
    fn count_parts(&self, cursor: &mut Cursor, end: usize, tally: &mut Tally, seen: &mut Seen) {
        let Some(bucket) = cursor.bucket else { return };
        for part in cursor.part..end {
            let crossing = cursor.crossing_of(part);
            let slice = &cursor.slice;
            let events = slice.column(Column::PartEvents)[part];
            if events == 0 || !self.passes(slice, part) {
                continue;
            }
            let group = self.group(slice, part, 0, bucket);
            let counted = tally.groups.at(group);
            counted.events += u64::from(events);
            counted.pageviews += u64::from(slice.column(Column::PartPageviews)[part]);
            match crossing {
                None => counted.visits += 1,
                Some(crossing) => {
                    tally.visits.insert((crossing.session_id, group));
                }
            }
            if self.counts_visitors && seen.insert(slice.visitors[part], group) {
                counted.visitors += 1;
            }
        }
    }

    fn count_entries(&self, cursor: &mut Cursor, end: usize, tally: &mut Tally, seen: &mut Seen) {
        let mut groups: Vec<u32> = Vec::new();
        for part in cursor.part..end {
            let (entries, crossing) = (cursor.entries_of(part), cursor.crossing_of(part));
            let Some(bucket) = cursor.bucket else { continue };
            let slice = &cursor.slice;
            if !self.passes(slice, part) {
                continue;
            }
            groups.clear();
            for entry in entries {
                if !self.entry_passes(slice, part, entry) {
                    continue;
                }
                let group = self.group(slice, part, entry, bucket);
                let count = u64::from(slice.column(Column::Count)[entry]);
                let counted = tally.groups.at(group);
                counted.events += count;
                if slice.column(Column::Name)[entry] == PAGE_VIEW_CODE {
                    counted.pageviews += count;
                }
                if groups.contains(&group) {
                    continue;
                }
                groups.push(group);
                match crossing {
                    None => counted.visits += 1,
                    Some(crossing) => {
                        tally.visits.insert((crossing.session_id, group));
                    }
                }
                if self.counts_visitors && seen.insert(slice.visitors[part], group) {
                    counted.visitors += 1;
                }
            }
        }
    }
}

const BOT: Column = Column::Attribute(Attribute::Bot as u8);

#[inline]
fn is_person(slice: &Slice, part: usize) -> bool {
    slice.column(BOT)[part] == 0
}
