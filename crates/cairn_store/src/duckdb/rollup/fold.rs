//! What is counted of a block's parts.
//!
//! Guarantees: what is counted is exactly what the rows of the blocks' stretches would give. Blocks follow one another in
//! time without a gap; a visit that several of them know is counted once.

use std::ops::Range;

use cairn_model::question::Buckets;
use foldhash::HashSet;

use super::block::{ACTIVE, Column, Crossing, Slice, Wanted};
use super::condition::{BOT, Condition, Grouping, Places, is_person};
use super::run::Run;
use super::seen::Seen;
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

    pub(super) fn count(
        &self,
        run: Run<'_>,
        matched: &HashSet<u64>,
        tally: &mut Tally,
        seen: &mut Seen,
    ) {
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

    /// What tells bots among a run's parts, where they do not count.
    fn bots<'a>(&self, run: &Run<'a>) -> Option<&'a [u32]> {
        run.of_parts(BOT).filter(|_| self.people_only)
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

    fn count_visits(
        &self,
        mut run: Run<'_>,
        matched: &HashSet<u64>,
        tally: &mut Tally,
        seen: &mut Seen,
    ) {
        let slice = run.slice;
        let Some(flags) = run.of_parts(Column::Flags) else { return };
        let places = Places::of(&self.grouping, &self.bases, slice);
        let bots = self.bots(&run);
        let [seconds, pageviews, events] =
            [Column::Seconds, Column::Pageviews, Column::Events].map(|one| run.of_parts(one));
        for (row, part) in run.parts.clone().enumerate() {
            let entries = if self.by_entry { run.entries_of(part) } else { 0..0 };
            let is_bot = bots.is_some_and(|bots| bots[row] != 0);
            if is_bot || flags[row] & ACTIVE == 0 || !self.passes(slice, part) {
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
            let is_new = self.counts_visitors && seen.insert(run.visitors[row], group);
            if !is_new && !self.counts_rows {
                continue;
            }
            let counted = tally.groups.at(group);
            counted.visitors += u64::from(is_new);
            counted.visits += 1;
            counted.seconds += seconds.map_or(0, |seconds| u64::from(seconds[row]));
            counted.visit_pageviews += pageviews.map_or(0, |views| u64::from(views[row]));
            if let Some(events) = events
                && self.bounce_conditions.iter().all(|one| one.holds(slice, part, 0))
            {
                counted.bounce_visits += 1;
                counted.bounces += u64::from(events[row] == 1);
            }
        }
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
    fn count_parts(&self, mut run: Run<'_>, tally: &mut Tally, seen: &mut Seen) {
        let (slice, bucket) = (run.slice, run.bucket.unwrap_or_default());
        let columns = [Column::Flags, Column::PartEvents, Column::PartPageviews];
        let [Some(flags), Some(events), Some(pageviews)] = columns.map(|one| run.of_parts(one))
        else {
            return;
        };
        let places = Places::of(&self.grouping, &self.bases, slice);
        let bots = self.bots(&run);
        for (row, part) in run.parts.clone().enumerate() {
            let is_bot = bots.is_some_and(|bots| bots[row] != 0);
            if is_bot || events[row] == 0 || !self.passes(slice, part) {
                continue;
            }
            let group = places.group(part, 0, bucket);
            let is_new = self.counts_visitors && seen.insert(run.visitors[row], group);
            if !is_new && !self.counts_rows {
                continue;
            }
            let counted = tally.groups.at(group);
            counted.visitors += u64::from(is_new);
            counted.events += u64::from(events[row]);
            counted.pageviews += u64::from(pageviews[row]);
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
        let places = Places::of(&self.grouping, &self.bases, slice);
        let bots = self.bots(&run);
        // Groups of one part: its visit counts once in each.
        let mut groups: Vec<u32> = Vec::new();
        for (row, part) in run.parts.clone().enumerate() {
            let entries = run.entries_of(part);
            if bots.is_some_and(|bots| bots[row] != 0) || !self.passes(slice, part) {
                continue;
            }
            groups.clear();
            for entry in entries {
                if !self.entry_passes(slice, part, entry) {
                    continue;
                }
                let group = places.group(part, entry, bucket);
                let is_new = self.counts_visitors && seen.insert(run.visitors[row], group);
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
