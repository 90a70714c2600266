//! The files that hold records, and how far they are durable: what readers and trims look at.
//!
//! Guarantees: nothing at or behind `durable_end` is ever handed to a reader; segments are listed in
//! the order of their records, without gaps, and the last one is the one being written.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::disk::DiskFile;
use crate::format::SEGMENT_HEADER_BYTES;
use crate::queue::lock;

/// A file with a header, being written or full.
pub(crate) struct Segment {
    pub base: u64,
    pub generation: u64,
    pub path: PathBuf,
    pub file: Arc<dyn DiskFile>,
    /// Nothing but zeros is at or behind this position; what emptying it has to overwrite.
    pub touched: AtomicU64,
}

impl Segment {
    pub fn name(base: u64, generation: u64) -> String {
        format!("segment-{base:020}-{generation:010}.log")
    }

    pub fn parse_name(name: &str) -> Option<(u64, u64)> {
        let middle = name.strip_prefix("segment-")?.strip_suffix(".log")?;
        let (base, generation) = middle.split_once('-')?;
        Some((base.parse().ok()?, generation.parse().ok()?))
    }

    pub fn file_name(&self) -> String {
        file_name(&self.path)
    }
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

struct Entry {
    segment: Arc<Segment>,
    /// Position behind the last durable frame.
    limit: u64,
}

struct SegmentsInner {
    entries: VecDeque<Entry>,
    durable_end: u64,
    trimmed_before: u64,
    waiters: usize,
    closed: bool,
}

/// A segment as a reader sees it.
pub(crate) struct View {
    pub segment: Arc<Segment>,
    pub limit: u64,
    /// Number of the first record that is not in this segment, as far as it is durable.
    pub end: u64,
}

/// Why there is no view.
pub(crate) enum NoView {
    /// Nothing durable there yet.
    NotYet,
    /// Trimmed; this is the first record that is left.
    Trimmed(u64),
}

pub(crate) struct Segments {
    inner: Mutex<SegmentsInner>,
    changed: Condvar,
    /// A copy of the one under the lock, for those who only look.
    durable_end: AtomicU64,
}

impl Segments {
    /// `segments`: each with the position behind its last durable frame, in order, at least one.
    pub fn new(segments: Vec<(Arc<Segment>, u64)>, durable_end: u64, trimmed_before: u64) -> Self {
        let entries =
            segments.into_iter().map(|(segment, limit)| Entry { segment, limit }).collect();
        Self {
            inner: Mutex::new(SegmentsInner {
                entries,
                durable_end,
                trimmed_before,
                waiters: 0,
                closed: false,
            }),
            changed: Condvar::new(),
            durable_end: AtomicU64::new(durable_end),
        }
    }

    pub fn durable_end(&self) -> u64 {
        self.durable_end.load(Ordering::Acquire)
    }

    pub fn trimmed_before(&self) -> u64 {
        lock(&self.inner).trimmed_before
    }

    /// The writer made a group durable.
    pub fn publish(&self, limit: u64, durable_end: u64) {
        let mut inner = lock(&self.inner);
        if let Some(entry) = inner.entries.back_mut() {
            entry.limit = limit;
        }
        inner.durable_end = durable_end;
        self.durable_end.store(durable_end, Ordering::Release);
        let waiting = inner.waiters > 0;
        drop(inner);
        if waiting {
            self.changed.notify_all();
        }
    }

    /// The writer began a new segment; hands out the one before if it holds no durable record.
    pub fn push(&self, segment: Arc<Segment>) -> Option<Arc<Segment>> {
        let mut inner = lock(&self.inner);
        let superseded = match inner.entries.back() {
            Some(last) if last.segment.base == segment.base => inner.entries.pop_back(),
            _ => None,
        };
        inner.entries.push_back(Entry { segment, limit: SEGMENT_HEADER_BYTES as u64 });
        drop(inner);
        self.changed.notify_all();
        superseded.map(|entry| entry.segment)
    }

    /// Nobody will make anything durable any more.
    pub fn close(&self) {
        lock(&self.inner).closed = true;
        self.changed.notify_all();
    }

    /// Blocks until `done` holds, the log is closed or the time is over; returns whether it holds.
    fn wait(&self, timeout: Duration, done: impl Fn(&SegmentsInner) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut inner = lock(&self.inner);
        inner.waiters += 1;
        while !done(&inner) && !inner.closed {
            let now = Instant::now();
            if now >= deadline {
                break;
            }
            let waited = self.changed.wait_timeout(inner, deadline - now);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        inner.waiters -= 1;
        done(&inner)
    }

    pub fn wait_durable_after(&self, offset: u64, timeout: Duration) -> bool {
        self.wait(timeout, |inner| inner.durable_end > offset.saturating_add(1))
    }

    /// Waits until the current segment begins at or behind a record.
    pub fn wait_rolled(&self, base_min: u64, timeout: Duration) -> bool {
        self.wait(timeout, |inner| current_base(inner) >= base_min)
    }

    pub fn current_base(&self) -> u64 {
        current_base(&lock(&self.inner))
    }

    /// The segment with a durable record.
    pub fn view(&self, offset: u64) -> Result<View, NoView> {
        let inner = lock(&self.inner);
        let first = inner.entries.front().map_or(inner.durable_end, |entry| entry.segment.base);
        if offset < first {
            return Err(NoView::Trimmed(first));
        }
        if offset >= inner.durable_end {
            return Err(NoView::NotYet);
        }
        let behind = inner.entries.partition_point(|entry| entry.segment.base <= offset);
        let Some(entry) = behind.checked_sub(1).and_then(|at| inner.entries.get(at)) else {
            return Err(NoView::Trimmed(first));
        };
        let end = inner.entries.get(behind).map_or(inner.durable_end, |next| next.segment.base);
        Ok(View { segment: Arc::clone(&entry.segment), limit: entry.limit, end })
    }

    /// Number of the oldest record still in a file, or of the next one if there is none.
    pub fn first(&self) -> u64 {
        let inner = lock(&self.inner);
        inner.entries.front().map_or(inner.durable_end, |entry| entry.segment.base)
    }

    /// Notes that records are not needed any more; hands out the segments that hold only such.
    pub fn trim(&self, before: u64) -> Vec<Arc<Segment>> {
        let mut inner = lock(&self.inner);
        inner.trimmed_before = inner.trimmed_before.max(before.min(inner.durable_end));
        let mut removed = Vec::new();
        while inner.entries.len() > 1 && inner.entries[1].segment.base <= inner.trimmed_before {
            removed.extend(inner.entries.pop_front().map(|entry| entry.segment));
        }
        removed
    }
}

fn current_base(inner: &SegmentsInner) -> u64 {
    inner.entries.back().map_or(inner.durable_end, |entry| entry.segment.base)
}
