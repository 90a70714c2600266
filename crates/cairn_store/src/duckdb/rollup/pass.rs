//! One pass over blocks, for all that a question counts.
//!
//! Guarantees: blocks are read, and visitors told apart, once. Visitors are taken some at a time, so that what is needed to
//! count them once fits into a processor's cache, however many there are; nothing goes on much longer than the deadline.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use foldhash::HashSet;

use super::block::Column;
use super::file::{SEGMENTS, visitors_of};
use super::fold::{Fold, Groups, Side, Tally};
use super::run::{Cursor, sum_of};
use super::seen::{Numbering, Seen};
use super::{Block, RollupError};

/// Rows of all blocks whose visitors are counted at once.
const ROWS_AT_ONCE: usize = 8_192;

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
