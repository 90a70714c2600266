//! Counting over blocks.
//!
//! Guarantees: what is counted is exactly what the rows of the blocks' stretches would give. Blocks follow one another in
//! time without a gap; a visit that several of them know is counted once. Visitors are taken some at a time, so that what is
//! needed to count them once fits into a processor's cache, however many there are. All that a question counts is counted in
//! one pass: blocks are read, and visitors told apart, once.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use cairn_model::question::Buckets;
use cairn_model::session::Attribute;
use foldhash::HashSet;

use super::block::{ACTIVE, CROSSES, Column, Crossing, IDENTIFIED, KNOWN, Slice, Wanted};
use super::file::{SEGMENTS, visitors_of};
use super::seen::{Numbering, Seen};
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
    /// Distinct visits of events are asked for; of the visits' side they are counted anyway.
    pub counts_visits: bool,
    /// Of the visits' side: durations, page views and bounces are asked for.
    pub with_seconds: bool,
    pub with_pageviews: bool,
    pub with_bounces: bool,
    /// Entries are looked at one by one; otherwise what a part has of them in all suffices.
    pub by_entry: bool,
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

/// A block's parts, as far as they were counted.
struct Cursor {
    slice: Slice,
    part: usize,
    entry: usize,
    crossing: usize,
}

/// Parts that follow one another in a block.
#[derive(Clone)]
struct Run<'a> {
    slice: &'a Slice,
    parts: Range<usize>,
    /// The first entry of the first part.
    entry: usize,
    /// What of [`Slice::crossing`] is not of earlier parts.
    crossing: &'a [Crossing],
    /// A number for each part's visitor, the same for the same; empty where visitors are not counted.
    visitors: &'a [u32],
    /// Where the block lies; `None` outside the range.
    bucket: Option<u32>,
}

impl Cursor {
    fn new(slice: Slice) -> Cursor {
        Cursor { slice, part: 0, entry: 0, crossing: 0 }
    }

    /// The parts up to that one.
    fn run<'a>(&'a self, end: usize, visitors: &'a [u32]) -> Run<'a> {
        let crossing = self.slice.crossing.get(self.crossing..).unwrap_or_default();
        let (parts, entry) = (self.part..end, self.entry);
        Run { slice: &self.slice, parts, entry, crossing, visitors, bucket: None }
    }

    /// Goes on to that part.
    fn advance(&mut self, end: usize) {
        let entries = self.slice.column(Column::Entries).get(self.part..end).unwrap_or_default();
        self.entry += sum_of(entries);
        let left = self.slice.crossing.get(self.crossing..).unwrap_or_default();
        self.crossing += left.partition_point(|crossing| (crossing.part as usize) < end);
        self.part = end;
    }

    /// The first part of a visitor from this one on.
    fn until(&self, visitor: Option<u64>) -> usize {
        let left = &self.slice.visitors[self.part..];
        let some = |until: u64| left.partition_point(|visitor| *visitor < until);
        self.part + visitor.map_or(left.len(), some)
    }
}

impl<'a> Run<'a> {
    /// A column's numbers of the parts; `None` where it was not wanted.
    fn of_parts(&self, column: Column) -> Option<&'a [u32]> {
        self.slice.column(column).get(self.parts.clone())
    }

    /// What other blocks know of this part's visit; parts are asked for in their order.
    #[inline]
    fn crossing_of(&mut self, part: usize, flags: u32) -> Option<Crossing> {
        if flags & CROSSES == 0 {
            return None;
        }
        let before = self.crossing.partition_point(|crossing| (crossing.part as usize) < part);
        self.crossing = &self.crossing[before..];
        self.crossing.first().copied()
    }

    /// The part's entries; parts are asked for in their order.
    #[inline]
    fn entries_of(&mut self, part: usize) -> Range<usize> {
        let entries = self.slice.column(Column::Entries).get(part).copied().unwrap_or(0);
        let first = self.entry;
        self.entry += entries as usize;
        first..self.entry
    }
}

fn sum_of(numbers: &[u32]) -> usize {
    numbers.iter().map(|number| *number as usize).sum()
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
struct Places<'a>(Vec<(Place<'a>, u32)>);

impl Places<'_> {
    #[inline]
    fn group(&self, part: usize, entry: usize, bucket: u32) -> u32 {
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

/// Folds over the same blocks, counted in one pass.
pub(super) struct Pass<'a, 'q> {
    pub folds: &'a [Fold<'q>],
    pub blocks: &'a [Block],
    pub threads: usize,
    pub deadline: Instant,
}

/// By fold: visits that several blocks know and that have an event as asked for.
type Matched = Vec<HashSet<u64>>;
/// By block: the bucket that it lies in; `None` outside the range.
type BlockBuckets = Vec<Option<u32>>;

impl Pass<'_, '_> {
    /// What each fold counts, by group.
    pub(super) fn count(&self) -> Result<Vec<Groups>, RollupError> {
        let matched = self.visits_that_match()?;
        let starts = || self.blocks.iter().map(|block| block.span().from_ms);
        let buckets_of =
            |fold: &Fold<'_>| starts().map(|from_ms| fold.bucket_of(from_ms)).collect();
        let buckets: Vec<BlockBuckets> = self.folds.iter().map(buckets_of).collect();
        let mut counted = by_segment(self.threads, |segment, tallies: &mut Vec<Tally>| {
            tallies.resize_with(self.folds.len(), Tally::default);
            self.count_segment(segment, &matched, &buckets, tallies)
        })?;
        let of_fold = |fold: usize| {
            Tally::together(counted.iter_mut().filter_map(|tallies| tallies.get_mut(fold)))
        };
        Ok((0..self.folds.len()).map(of_fold).collect())
    }

    fn check_time(&self) -> Result<(), RollupError> {
        match Instant::now() > self.deadline {
            true => Err(RollupError::TooSlow),
            false => Ok(()),
        }
    }

    fn visits_that_match(&self) -> Result<Matched, RollupError> {
        let mut matched = Matched::new();
        matched.resize_with(self.folds.len(), HashSet::default);
        if !self.folds.iter().any(Fold::looks_for_visits) {
            return Ok(matched);
        }
        let found = by_segment(self.threads, |segment, found: &mut Matched| {
            found.resize_with(self.folds.len(), HashSet::default);
            for block in self.blocks {
                self.check_time()?;
                let cursor = Cursor::new(block.slice(segment)?);
                for (fold, found) in self.folds.iter().zip(&mut *found) {
                    if fold.looks_for_visits() {
                        fold.find_visits(cursor.run(cursor.slice.visitors.len(), &[]), found);
                    }
                }
            }
            Ok(())
        })?;
        for found in found {
            for (matched, found) in matched.iter_mut().zip(found) {
                matched.extend(found);
            }
        }
        Ok(matched)
    }

    fn count_segment(
        &self,
        segment: usize,
        matched: &Matched,
        buckets: &[BlockBuckets],
        tallies: &mut [Tally],
    ) -> Result<(), RollupError> {
        let slices = self.blocks.iter().map(|block| Ok(Cursor::new(block.slice(segment)?)));
        let mut cursors = slices.collect::<Result<Vec<Cursor>, RollupError>>()?;
        let rows: usize = cursors.iter().map(|cursor| cursor.slice.visitors.len()).sum();
        // Visitors are spread evenly: equal steps of their numbers have about the same number of rows.
        let steps = (rows / ROWS_AT_ONCE + 1) as u64;
        let (first, last) = visitors_of(segment);
        let step = (last - first) / steps + 1;
        let mut telling = Telling::of(self.folds);
        for index in 1..=steps {
            self.check_time()?;
            let until = (index < steps).then(|| first + step * index);
            let ends: Vec<usize> = cursors.iter().map(|cursor| cursor.until(until)).collect();
            telling.begin(self.folds, &cursors, &ends);
            let mut visitors = telling.numbers.as_slice();
            for (block, (cursor, end)) in cursors.iter_mut().zip(ends).enumerate() {
                let (of_run, others) = visitors.split_at((end - cursor.part).min(visitors.len()));
                visitors = others;
                for (place, fold) in self.folds.iter().enumerate() {
                    let mut run = cursor.run(end, of_run);
                    run.bucket = buckets[place][block];
                    let (tally, seen) = (&mut tallies[place], &mut telling.seen[place]);
                    fold.count(run, &matched[place], tally, seen);
                }
                cursor.advance(end);
            }
        }
        Ok(())
    }
}

/// Who was counted where, for the rows of one step.
struct Telling {
    numbering: Numbering,
    /// The numbers of the step's rows, cursor after cursor; none where no fold counts visitors.
    numbers: Vec<u32>,
    /// By fold.
    seen: Vec<Seen>,
}

impl Telling {
    fn of(folds: &[Fold<'_>]) -> Telling {
        let seen = folds.iter().map(|fold| Seen::new(fold.bases.iter().product()));
        Telling { numbering: Numbering::default(), numbers: Vec::new(), seen: seen.collect() }
    }

    /// Begins a step that ends at those parts.
    fn begin(&mut self, folds: &[Fold<'_>], cursors: &[Cursor], ends: &[usize]) {
        self.numbers.clear();
        if !folds.iter().any(|fold| fold.counts_visitors) {
            return;
        }
        let runs = || cursors.iter().zip(ends).map(|(cursor, end)| (cursor, cursor.part..*end));
        let parts = runs().map(|(_, parts)| parts.len()).sum();
        self.numbering.begin(parts);
        for (cursor, parts) in runs() {
            self.numbering.number(&cursor.slice.visitors[parts], &mut self.numbers);
        }
        let entries = |(cursor, parts): (&Cursor, Range<usize>)| {
            let entries = cursor.slice.column(Column::Entries);
            entries.get(parts).map_or(0, sum_of)
        };
        for (fold, seen) in folds.iter().zip(&mut self.seen) {
            if fold.counts_visitors {
                let is_by_entry = fold.side == Side::Events && fold.by_entry;
                let rows = if is_by_entry { runs().map(entries).sum() } else { parts };
                seen.begin(self.numbering.below(), rows);
            }
        }
    }
}

impl Tally {
    /// What several threads counted of one fold.
    fn together<'t>(tallies: impl Iterator<Item = &'t mut Tally>) -> Groups {
        let mut groups = Groups::default();
        let mut visits: HashSet<(u64, u32)> = HashSet::default();
        for tally in tallies {
            for (group, counts) in tally.groups.list() {
                groups.at(*group).add(counts);
            }
            visits.extend(std::mem::take(&mut tally.visits));
        }
        for (_, group) in visits {
            groups.at(group).visits += 1;
        }
        groups
    }
}

impl Fold<'_> {
    /// What it looks at.
    pub(super) fn want(&self, wanted: &mut Wanted) {
        wanted.add(Column::Flags);
        if self.people_only {
            wanted.add(BOT);
        }
        self.grouping.iter().for_each(|grouping| grouping.want(wanted));
        let conditions = self.conditions.iter().chain(&self.entry_conditions);
        conditions.chain(&self.bounce_conditions).for_each(|condition| condition.want(wanted));
        let columns: &[(bool, Column)] = match (self.side, self.by_entry) {
            (_, true) => &[(true, Column::Entries), (true, Column::Name), (true, Column::Count)],
            (Side::Events, false) => &[(true, Column::PartPageviews), (true, Column::PartEvents)],
            (Side::Visits, false) => &[],
        };
        let of_visits = [
            (self.with_seconds, Column::Seconds),
            (self.with_pageviews, Column::Pageviews),
            (self.with_bounces, Column::Events),
        ];
        let of_visits = of_visits.iter().filter(|_| self.side == Side::Visits);
        for (_, column) in columns.iter().chain(of_visits).filter(|(is_wanted, _)| *is_wanted) {
            wanted.add(*column);
        }
    }

    /// Of the visits that several blocks know, those with an event that fulfils the conditions on events have to be found first.
    fn looks_for_visits(&self) -> bool {
        self.side == Side::Visits && !self.entry_conditions.is_empty()
    }

    fn find_visits(&self, mut run: Run<'_>, found: &mut HashSet<u64>) {
        let Some(flags) = run.of_parts(Column::Flags) else { return };
        for (part, flags) in run.parts.clone().zip(flags) {
            let entries = run.entries_of(part);
            let Some(crossing) = run.crossing_of(part, *flags) else { continue };
            let is_asked_about = !self.people_only || is_person(run.slice, part);
            if crossing.session_id != 0 && is_asked_about && self.matches(run.slice, part, entries)
            {
                found.insert(crossing.session_id);
            }
        }
    }

    fn count(&self, run: Run<'_>, matched: &HashSet<u64>, tally: &mut Tally, seen: &mut Seen) {
        if run.parts.is_empty() {
            return;
        }
        match self.side {
            Side::Visits => self.count_visits(run, matched, tally, seen),
            Side::Events if run.bucket.is_none() => {}
            Side::Events if self.by_entry => self.count_entries(run, tally, seen),
            Side::Events => self.count_parts(run, tally, seen),
        }
    }

    #[inline]
    fn passes(&self, slice: &Slice, part: usize) -> bool {
        (!self.people_only || is_person(slice, part))
            && (self.conditions.is_empty()
                || self.conditions.iter().all(|condition| condition.holds(slice, part, 0)))
    }

    #[inline]
    fn entry_passes(&self, slice: &Slice, part: usize, entry: usize) -> bool {
        self.entry_conditions.iter().all(|condition| condition.holds(slice, part, entry))
    }

    fn matches(&self, slice: &Slice, part: usize, mut entries: Range<usize>) -> bool {
        self.entry_conditions.is_empty()
            || entries.any(|entry| self.entry_passes(slice, part, entry))
    }

    /// Where the groups of a run's rows come from.
    fn places<'a>(&self, slice: &'a Slice) -> Places<'a> {
        let place = |grouping: &Grouping| match grouping {
            Grouping::Time => Place::Bucket,
            Grouping::Code(column) if column.is_of_entries() => {
                Place::OfEntry(slice.column(*column))
            }
            Grouping::Code(column) => Place::OfPart(slice.column(*column)),
            Grouping::Bot => Place::Bot(slice.column(BOT)),
            Grouping::Identification => Place::Identified(slice.column(Column::Flags)),
        };
        let bases = self.bases.iter().map(|base| *base as u32);
        Places(self.grouping.iter().map(place).zip(bases).collect())
    }

    fn count_visits(
        &self,
        mut run: Run<'_>,
        matched: &HashSet<u64>,
        tally: &mut Tally,
        seen: &mut Seen,
    ) {
        let slice = run.slice;
        let Some(flags) = run.of_parts(Column::Flags) else { return };
        let places = self.places(slice);
        let [seconds, pageviews, events] =
            [Column::Seconds, Column::Pageviews, Column::Events].map(|one| run.of_parts(one));
        for (row, part) in run.parts.clone().enumerate() {
            let entries = if self.by_entry { run.entries_of(part) } else { 0..0 };
            if flags[row] & ACTIVE == 0 || !self.passes(slice, part) {
                continue;
            }
            let crossing = run.crossing_of(part, flags[row]);
            let bucket = match crossing {
                None if self.matches(slice, part, entries) => run.bucket,
                None => None,
                Some(crossing) => self.bucket_of_crossing(&crossing, matched),
            };
            let Some(bucket) = bucket else { continue };
            if crossing.is_some_and(|crossing| !tally.counted.insert(crossing.session_id)) {
                continue;
            }
            let group = places.group(part, 0, bucket);
            let counted = tally.groups.at(group);
            counted.visits += 1;
            counted.seconds += seconds.map_or(0, |seconds| u64::from(seconds[row]));
            counted.visit_pageviews += pageviews.map_or(0, |views| u64::from(views[row]));
            if let Some(events) = events
                && self.bounce_conditions.iter().all(|one| one.holds(slice, part, 0))
            {
                counted.bounce_visits += 1;
                counted.bounces += u64::from(events[row] == 1);
            }
            if self.counts_visitors {
                counted.visitors += seen.insert(run.visitors[row], group);
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
    fn count_parts(&self, mut run: Run<'_>, tally: &mut Tally, seen: &mut Seen) {
        let (slice, bucket) = (run.slice, run.bucket.unwrap_or_default());
        let columns = [Column::Flags, Column::PartEvents, Column::PartPageviews];
        let [Some(flags), Some(events), Some(pageviews)] = columns.map(|one| run.of_parts(one))
        else {
            return;
        };
        let places = self.places(slice);
        for (row, part) in run.parts.clone().enumerate() {
            if events[row] == 0 || !self.passes(slice, part) {
                continue;
            }
            let group = places.group(part, 0, bucket);
            let counted = tally.groups.at(group);
            counted.events += u64::from(events[row]);
            counted.pageviews += u64::from(pageviews[row]);
            if self.counts_visitors {
                counted.visitors += seen.insert(run.visitors[row], group);
            }
            if self.counts_visits {
                match run.crossing_of(part, flags[row]) {
                    None => counted.visits += 1,
                    Some(crossing) => {
                        tally.visits.insert((crossing.session_id, group));
                    }
                }
            }
        }
    }

    fn count_entries(&self, mut run: Run<'_>, tally: &mut Tally, seen: &mut Seen) {
        let (slice, bucket) = (run.slice, run.bucket.unwrap_or_default());
        let Some(flags) = run.of_parts(Column::Flags) else { return };
        let (names, counts) = (slice.column(Column::Name), slice.column(Column::Count));
        let places = self.places(slice);
        // Groups of one part: its visit counts once in each.
        let mut groups: Vec<u32> = Vec::new();
        for (row, part) in run.parts.clone().enumerate() {
            let entries = run.entries_of(part);
            if !self.passes(slice, part) {
                continue;
            }
            groups.clear();
            for entry in entries {
                if !self.entry_passes(slice, part, entry) {
                    continue;
                }
                let group = places.group(part, entry, bucket);
                let counted = tally.groups.at(group);
                let count = u64::from(counts[entry]);
                counted.events += count;
                counted.pageviews += if names[entry] == PAGE_VIEW_CODE { count } else { 0 };
                if self.counts_visitors {
                    counted.visitors += seen.insert(run.visitors[row], group);
                }
                if self.counts_visits && !groups.contains(&group) {
                    groups.push(group);
                    match run.crossing_of(part, flags[row]) {
                        None => counted.visits += 1,
                        Some(crossing) => {
                            tally.visits.insert((crossing.session_id, group));
                        }
                    }
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
