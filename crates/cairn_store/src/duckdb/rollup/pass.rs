//! One pass over blocks, for all that a question counts.
//!
//! Guarantees: blocks are read, and visitors told apart, once. Visitors are taken some at a time, so that what is needed to
//! count them once fits into a processor's cache, however many there are; nothing goes on much longer than the deadline.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use foldhash::HashSet;

use super::block::Slice;
use super::file::{SEGMENTS, visitors_of};
use super::fold::{Fold, Groups, Step, Tally};
use super::order::Order;
use super::run::Cursor;
use super::{Block, RollupError};

/// Rows of all blocks whose visitors are counted at once.
const ROWS_AT_ONCE: usize = 24_576;

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
        let mut counted = by_segment(self.threads, |segment, work: &mut Work| {
            work.tallies.resize_with(self.folds.len(), Tally::default);
            match self.counts_visitors() {
                true => self.read_steps(segment, work)?,
                false => self.read_segment(segment, work)?,
            }
            self.count_steps(&matched, &buckets, work)
        })?;
        let of_fold = |fold: usize| {
            Tally::together(counted.iter_mut().filter_map(|work| work.tallies.get_mut(fold)))
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
            let mut slice = Slice::empty();
            for block in self.blocks {
                self.check_time()?;
                block.slice(segment, &mut slice)?;
                for (fold, found) in self.folds.iter().zip(&mut *found) {
                    if fold.looks_for_visits() {
                        fold.find_visits(Cursor::new(&slice).rest(), found);
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

    fn count_steps(
        &self,
        matched: &Matched,
        buckets: &[BlockBuckets],
        Work { tallies, steps, order, .. }: &mut Work,
    ) -> Result<(), RollupError> {
        let counts_visitors = self.counts_visitors();
        for Together { slice, ends } in steps {
            self.check_time()?;
            let rows = match counts_visitors {
                true => order.by_visitor(slice, ends).ok_or(RollupError::Broken)?,
                false => order.as_they_are(slice, ends),
            };
            for (place, fold) in self.folds.iter().enumerate() {
                let step = Step { slice, rows, buckets: &buckets[place] };
                fold.count(&step, &matched[place], &mut tallies[place]);
            }
        }
        Ok(())
    }

    fn counts_visitors(&self) -> bool {
        self.folds.iter().any(|fold| fold.counts_visitors)
    }

    /// A segment's parts, block after block, as they are.
    fn read_segment(&self, segment: usize, work: &mut Work) -> Result<(), RollupError> {
        work.steps.resize_with(self.blocks.len(), Together::default);
        for (block, (of_block, step)) in self.blocks.iter().zip(&mut work.steps).enumerate() {
            self.check_time()?;
            of_block.slice(segment, &mut step.slice)?;
            step.ends.clear();
            step.ends.push((block, step.slice.visitors.len()));
        }
        Ok(())
    }

    /// A segment's parts, some visitors' of all blocks at a time. They are put together because a block has few of so few
    /// visitors: reading here and there in hundreds of blocks would wait for memory.
    fn read_steps(&self, segment: usize, work: &mut Work) -> Result<(), RollupError> {
        let Work { steps, slice, .. } = work;
        let rows: usize = self.blocks.iter().map(|block| block.rows(segment)).sum();
        // Visitors are spread evenly: equal steps of their numbers have about the same number of rows.
        let count = rows / ROWS_AT_ONCE + 1;
        let (first, last) = visitors_of(segment);
        let width = (last - first) / count as u64 + 1;
        steps.resize_with(count, Together::default);
        steps.iter_mut().for_each(Together::clear);
        for (block, of_block) in self.blocks.iter().enumerate() {
            self.check_time()?;
            of_block.slice(segment, slice)?;
            let mut cursor = Cursor::new(slice);
            let mut until = first;
            for (index, step) in (1..).zip(&mut *steps) {
                until = until.saturating_add(width);
                let run = if index < count { cursor.run_until(until) } else { cursor.rest() };
                if !run.parts.is_empty() {
                    step.slice.append(&run);
                    step.ends.push((block, step.slice.visitors.len()));
                }
            }
        }
        Ok(())
    }
}

/// What a thread has counted, and its room, which serves one segment after the other.
#[derive(Default)]
struct Work {
    tallies: Vec<Tally>,
    steps: Vec<Together>,
    slice: Slice,
    order: Order,
}

/// Parts of some visitors, block after block.
#[derive(Default)]
struct Together {
    slice: Slice,
    /// By block: where its parts end.
    ends: Vec<(usize, usize)>,
}

impl Together {
    fn clear(&mut self) {
        self.slice.clear();
        self.ends.clear();
    }
}
