//! What is counted of a block's parts.
//!
//! Guarantees: what is counted is exactly what the rows of the blocks' stretches would give. Blocks follow one another in
//! time without a gap; a visit that several of them know is counted once.

use std::ops::Range;

use cairn_model::question::Buckets;
use foldhash::HashSet;

use super::block::{ACTIVE, Column, Crossing, Slice, Wanted};
use super::condition::{BOT, Condition, Grouping, Places, is_person};
use super::order::Row;
use super::run::Run;
use crate::schema::PAGE_VIEW_CODE;

/// Most groups that there may be: an array has a place for each.
pub(super) const GROUPS_MAX: usize = 1_000_000;

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
    /// Numbers of visits or events are asked for, or what is measured by them; otherwise visitors alone are counted.
    pub counts_rows: bool,
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
pub(super) struct Tally {
    groups: Groups,
    /// Of the visits' side: visits that several blocks know and that were counted.
    counted: HashSet<u64>,
    /// Of the events' side: visits that several blocks know, by visit and group.
    visits: HashSet<(u64, u32)>,
}

/// Parts of some visitors, all that there are of each.
pub(super) struct Step<'a> {
    pub slice: &'a Slice,
    /// Visitor after visitor, where those are counted.
    pub rows: &'a [Row],
    /// By block: the bucket that it lies in; `None` outside the range.
    pub buckets: &'a [Option<u32>],
}

impl Step<'_> {
    #[inline]
    fn bucket(&self, row: &Row) -> Option<u32> {
        self.buckets[row.block as usize]
    }

    /// The entries of a part; none where they were not wanted.
    #[inline]
    fn entries(&self, row: &Row) -> Range<usize> {
        let entries = self.slice.column(Column::Entries).get(row.part as usize);
        let first = row.entry as usize;
        first..first + entries.copied().unwrap_or_default() as usize
    }
}

/// Counts of the groups that there are.
#[derive(Default)]
pub(super) struct Groups {
    places: Vec<Place>,
    counts: Vec<(u32, Counts)>,
}

/// Of a group.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The place of its counts and one; 0 = there is none.
    counts: u32,
    /// The visitor who was counted last.
    visitor: u32,
}

impl Groups {
    /// Whether the visitor is new in the group. Visitors come one after the other, each once.
    #[inline]
    fn is_new(&mut self, group: u32, visitor: u32) -> bool {
        let index = group as usize;
        if index >= self.places.len() {
            self.grow(index);
        }
        let before = std::mem::replace(&mut self.places[index].visitor, visitor);
        before != visitor
    }

    #[inline]
    fn at(&mut self, group: u32) -> &mut Counts {
        let index = group as usize;
        if let Some(place) = self.places.get(index)
            && place.counts != 0
        {
            return &mut self.counts[place.counts as usize - 1].1;
        }
        self.add(index, group)
    }

    #[cold]
    fn grow(&mut self, index: usize) {
        self.places.resize((index + 1).next_power_of_two(), Place::default());
    }

    #[cold]
    fn add(&mut self, index: usize, group: u32) -> &mut Counts {
        if index >= self.places.len() {
            self.grow(index);
        }
        self.counts.push((group, Counts::default()));
        let place = self.counts.len();
        self.places[index].counts = place as u32;
        &mut self.counts[place - 1].1
    }

    /// The groups that there are, with their counts.
    pub(super) fn list(&self) -> &[(u32, Counts)] {
        &self.counts
    }
}
impl Tally {
    /// What several threads counted of one fold.
    pub(super) fn together<'t>(tallies: impl Iterator<Item = &'t mut Tally>) -> Groups {
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
    pub(super) fn looks_for_visits(&self) -> bool {
        self.side == Side::Visits && !self.entry_conditions.is_empty()
    }

    pub(super) fn find_visits(&self, mut run: Run<'_>, found: &mut HashSet<u64>) {
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

    pub(super) fn count(&self, step: &Step<'_>, matched: &HashSet<u64>, tally: &mut Tally) {
        match self.side {
            Side::Visits => self.count_visits(step, matched, tally),
            Side::Events if self.by_entry => self.count_entries(step, tally),
            Side::Events => self.count_parts(step, tally),
        }
    }

    #[inline]
    fn passes(&self, slice: &Slice, part: usize) -> bool {
        self.conditions.iter().all(|condition| condition.holds(slice, part, 0))
    }

    #[inline]
    fn entry_passes(&self, slice: &Slice, part: usize, entry: usize) -> bool {
        self.entry_conditions.iter().all(|condition| condition.holds(slice, part, entry))
    }

    fn matches(&self, slice: &Slice, part: usize, mut entries: Range<usize>) -> bool {
        self.entry_conditions.is_empty()
            || entries.any(|entry| self.entry_passes(slice, part, entry))
    }

    fn count_visits(&self, step: &Step<'_>, matched: &HashSet<u64>, tally: &mut Tally) {
        let slice = step.slice;
        let flags = slice.column(Column::Flags);
        let places = Places::of(&self.grouping, &self.bases, slice);
        let bots = self.bots(slice);
        let [seconds, pageviews, events] =
            [Column::Seconds, Column::Pageviews, Column::Events].map(|one| slice.wanted(one));
        for row in step.rows {
            let part = row.part as usize;
            let is_bot = bots.is_some_and(|bots| bots[part] != 0);
            if is_bot || flags[part] & ACTIVE == 0 || !self.passes(slice, part) {
                continue;
            }
            let crossing = slice.crossing_of(part, flags[part]);
            let bucket = match crossing {
                None if self.matches(slice, part, step.entries(row)) => step.bucket(row),
                None => None,
                Some(crossing) => self.bucket_of_crossing(crossing, matched),
            };
            let Some(bucket) = bucket else { continue };
            if crossing.is_some_and(|crossing| !tally.counted.insert(crossing.session_id)) {
                continue;
            }
            let group = places.group(part, 0, bucket);
            let is_new = self.counts_visitors && tally.groups.is_new(group, row.visitor);
            if !is_new && !self.counts_rows {
                continue;
            }
            let counted = tally.groups.at(group);
            counted.visitors += u64::from(is_new);
            counted.visits += 1;
            counted.seconds += seconds.map_or(0, |seconds| u64::from(seconds[part]));
            counted.visit_pageviews += pageviews.map_or(0, |views| u64::from(views[part]));
            if let Some(events) = events
                && self.bounce_conditions.iter().all(|one| one.holds(slice, part, 0))
            {
                counted.bounce_visits += 1;
                counted.bounces += u64::from(events[part] == 1);
            }
        }
    }

    /// What tells bots among parts, where they do not count.
    fn bots<'s>(&self, slice: &'s Slice) -> Option<&'s [u32]> {
        slice.wanted(BOT).filter(|_| self.people_only)
    }

    /// The bucket of an instant; `None` outside the range.
    pub(super) fn bucket_of(&self, at_ms: i64) -> Option<u32> {
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
    fn count_parts(&self, step: &Step<'_>, tally: &mut Tally) {
        let slice = step.slice;
        let [flags, events, pageviews] =
            [Column::Flags, Column::PartEvents, Column::PartPageviews].map(|one| slice.column(one));
        let places = Places::of(&self.grouping, &self.bases, slice);
        let bots = self.bots(slice);
        for row in step.rows {
            let part = row.part as usize;
            let is_bot = bots.is_some_and(|bots| bots[part] != 0);
            if is_bot || events[part] == 0 || !self.passes(slice, part) {
                continue;
            }
            let Some(bucket) = step.bucket(row) else { continue };
            let group = places.group(part, 0, bucket);
            let is_new = self.counts_visitors && tally.groups.is_new(group, row.visitor);
            if !is_new && !self.counts_rows {
                continue;
            }
            let counted = tally.groups.at(group);
            counted.visitors += u64::from(is_new);
            counted.events += u64::from(events[part]);
            counted.pageviews += u64::from(pageviews[part]);
            if self.counts_visits {
                match slice.crossing_of(part, flags[part]) {
                    None => counted.visits += 1,
                    Some(crossing) => {
                        tally.visits.insert((crossing.session_id, group));
                    }
                }
            }
        }
    }

    fn count_entries(&self, step: &Step<'_>, tally: &mut Tally) {
        let slice = step.slice;
        let [flags, names, counts] =
            [Column::Flags, Column::Name, Column::Count].map(|one| slice.column(one));
        let places = Places::of(&self.grouping, &self.bases, slice);
        let bots = self.bots(slice);
        // Groups of one part: its visit counts once in each.
        let mut groups: Vec<u32> = Vec::new();
        for row in step.rows {
            let part = row.part as usize;
            if bots.is_some_and(|bots| bots[part] != 0) || !self.passes(slice, part) {
                continue;
            }
            let Some(bucket) = step.bucket(row) else { continue };
            groups.clear();
            for entry in step.entries(row) {
                if !self.entry_passes(slice, part, entry) {
                    continue;
                }
                let group = places.group(part, entry, bucket);
                let is_new = self.counts_visitors && tally.groups.is_new(group, row.visitor);
                if !is_new && !self.counts_rows {
                    continue;
                }
                let counted = tally.groups.at(group);
                counted.visitors += u64::from(is_new);
                let count = u64::from(counts[entry]);
                counted.events += count;
                counted.pageviews += if names[entry] == PAGE_VIEW_CODE { count } else { 0 };
                if self.counts_visits && !groups.contains(&group) {
                    groups.push(group);
                    match slice.crossing_of(part, flags[part]) {
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
