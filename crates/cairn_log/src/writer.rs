//! The one thread that writes groups, waits for the device and tells the waiters.
//!
//! Guarantees: a group is written only after the one before it is durable; an outcome `Ok` is given
//! only after a successful sync. After a failed write or sync the file is never written again (what
//! the page cache holds is then unknown): the group fails, and the same numbers are given out again
//! in a new file, which supersedes whatever the failed write left behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::disk::Disk;
use crate::error::{DiskFailure, DiskOperation, LogError, Step};
use crate::format::{
    FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, aligned, finish_frame, start_frame,
};
use crate::log::Shared;
use crate::pool::Spare;
use crate::queue::{Group, Work};
use crate::segments::Segment;

/// Where the writer goes on.
pub(crate) struct Writer {
    pub shared: Arc<Shared>,
    pub disk: Arc<dyn Disk>,
    pub current: Arc<Segment>,
    /// Position of the next frame in the current segment.
    pub position: u64,
    /// Number of the next record.
    pub next: u64,
    /// The last generation given to any file.
    pub generation: u64,
    /// A write to the current segment failed: it must not be written again.
    pub spoiled: bool,
}

impl Writer {
    /// The thread: until the log is closed.
    pub fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let ended = catch_unwind(AssertUnwindSafe(|| self.work()));
        if ended.is_err() {
            tracing::error!("the log's writer ended unexpectedly; nothing more can be stored");
            shared.status.writer_lost.store(true, Ordering::Relaxed);
        }
        shared.queue.finish_closing().tell(&Err(LogError::Closed));
        shared.segments.close();
        shared.pool.close();
    }

    fn work(&mut self) {
        let delay_max = self.shared.options.group_delay_max;
        let idle_max = self.shared.options.idle_scrub_after;
        let mut last_records = 0;
        loop {
            match self.shared.queue.next_work(last_records, delay_max, idle_max) {
                Work::Commit(group) => {
                    last_records = group.records;
                    self.commit(group);
                }
                Work::Roll => {
                    last_records = 0;
                    self.roll_on_request();
                }
                Work::Idle => {
                    last_records = 0;
                    if self.shared.segments.trimmed_before() == self.next {
                        self.roll_on_request();
                    }
                }
                Work::Close => {
                    self.mark_clean_close();
                    return;
                }
            }
        }
    }

    fn commit(&mut self, mut group: Group) {
        let size_bytes = aligned(group.bytes.len()) as u64;
        if (self.spoiled || self.position + size_bytes > self.shared.options.segment_size_bytes)
            && let Err(error) = self.roll()
        {
            self.suspend(group, error);
            return;
        }
        finish_frame(&mut group.bytes, self.current.generation, self.next, group.records);
        let began = Instant::now();
        match self.write_durably(&group.bytes) {
            Ok(()) => {
                let first = self.next;
                self.position += size_bytes;
                self.next += u64::from(group.records);
                self.shared.status.group_done(group.records, size_bytes, began.elapsed());
                self.shared.segments.publish(self.position, self.next);
                group.tell(&Ok(first));
                self.shared.queue.recycle(group);
            }
            Err(failure) => {
                self.spoiled = true;
                self.suspend(group, LogError::Broken(failure));
            }
        }
    }

    fn write_durably(&self, frame: &[u8]) -> Result<(), DiskFailure> {
        self.current.touched.fetch_max(self.position + frame.len() as u64, Ordering::Relaxed);
        self.current.file.write_at(frame, self.position).step(DiskOperation::Write)?;
        self.current.file.sync_data().step(DiskOperation::Sync)
    }

    /// Begins a new segment at the next record.
    fn roll(&mut self) -> Result<(), LogError> {
        let mut spare = self.shared.pool.take()?;
        self.generation += 1;
        match self.activate(&mut spare) {
            Ok(segment) => {
                self.current = Arc::clone(&segment);
                self.position = SEGMENT_HEADER_BYTES as u64;
                self.spoiled = false;
                let superseded = self.shared.segments.push(segment);
                self.shared.pool.retire(superseded.into_iter().collect());
                self.shared.retire_trimmed();
                Ok(())
            }
            Err(failure) => {
                self.shared.pool.give_back(spare);
                Err(LogError::Broken(failure))
            }
        }
    }

    fn activate(&self, spare: &mut Spare) -> Result<Arc<Segment>, DiskFailure> {
        let options = &self.shared.options;
        make_segment(
            &*self.disk,
            &options.directory,
            spare,
            SegmentHeader {
                base: self.next,
                generation: self.generation,
                size_bytes: options.segment_size_bytes,
            },
        )
    }

    /// Begins a new segment if the current one holds anything, so that the old one can be emptied.
    fn roll_on_request(&mut self) {
        if self.position == SEGMENT_HEADER_BYTES as u64 && !self.spoiled {
            return;
        }
        if let Err(error) = self.roll() {
            // The current segment is still sound: nobody has to be refused for this.
            tracing::debug!(%error, "the log cannot begin a new file now");
            self.shared.queue.refuse_roll(error);
        }
    }

    /// Fails the group and everything behind it, then waits until the log can write again.
    fn suspend(&mut self, mut group: Group, error: LogError) {
        let mut waiting = self.shared.queue.suspend(error.clone());
        group.tell(&Err(error.clone()));
        waiting.tell(&Err(error.clone()));
        self.shared.queue.recycle(group);
        self.recover(error);
    }

    fn recover(&mut self, error: LogError) {
        tracing::warn!(%error, "the log refuses records until its disk is well again");
        let shared = Arc::clone(&self.shared);
        let closing = || shared.queue.is_closing();
        let mut pause = shared.options.retry_pause_min;
        while shared.pool.wait_available(closing, |refusal| shared.queue.explain(refusal)) {
            match self.roll() {
                Ok(()) => {
                    tracing::info!("the log takes records again");
                    shared.queue.resume();
                    return;
                }
                Err(error) => {
                    shared.queue.suspend(error.clone()).tell(&Err(error));
                }
            }
            if !shared.pool.wait_pause(pause, closing) {
                return;
            }
            pause = (pause * 2).min(shared.options.retry_pause_max);
        }
    }

    /// Writes an empty frame, so that damage to the last group can be told from an interrupted write.
    fn mark_clean_close(&mut self) {
        let mut frame = Vec::new();
        start_frame(&mut frame);
        finish_frame(&mut frame, self.current.generation, self.next, 0);
        let fits = self.position + aligned(FRAME_HEADER_BYTES) as u64
            <= self.shared.options.segment_size_bytes;
        let empty = self.position == SEGMENT_HEADER_BYTES as u64;
        if !self.spoiled && fits && !empty && self.write_durably(&frame).is_err() {
            // Nothing is lost without the mark, and all records are durable already.
            tracing::warn!("the log was closed without its closing mark");
        }
    }
}

/// Makes a spare file the segment with this header; durable, name included, when it returns. On an
/// error `spare.path` is the name the file has.
pub(crate) fn make_segment(
    disk: &dyn Disk,
    directory: &std::path::Path,
    spare: &mut Spare,
    header: SegmentHeader,
) -> Result<Arc<Segment>, DiskFailure> {
    spare.file.write_at(&header.encode(), 0).step(DiskOperation::Write)?;
    spare.file.sync_data().step(DiskOperation::Sync)?;
    let path = directory.join(Segment::name(header.base, header.generation));
    disk.rename(&spare.path, &path).step(DiskOperation::Rename)?;
    spare.path = path.clone();
    disk.sync_directory(directory).step(DiskOperation::Sync)?;
    Ok(Arc::new(Segment {
        base: header.base,
        generation: header.generation,
        path,
        file: Arc::clone(&spare.file),
        touched: AtomicU64::new(SEGMENT_HEADER_BYTES as u64),
    }))
}

/// How long a caller may wait for the writer to begin a new segment.
pub(crate) const ROLL_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often such a caller looks whether the writer cannot.
pub(crate) const ROLL_LOOK_EVERY: Duration = Duration::from_millis(10);
