//! What a log's directory holds when it is opened.
//!
//! Guarantees: every record that was acknowledged is found, or the damage is named; what was found
//! is durable (written and synced again) before anybody reads it, because after a crash of only the
//! process the page cache may show bytes that never reached the device.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::disk::{Disk, DiskFile, read_full, write_zeros};
use crate::error::{Corruption, DiskFailure, DiskOperation, LogError};
use crate::format::{SEGMENT_HEADER_BYTES, Scan, SegmentHeader, scan_segment};
use crate::options::{LogOptions, Offset, OnCorruption, SEGMENT_SIZE_BYTES_MAX};
use crate::pool::SPARE_PREFIX;
use crate::segments::Segment;

/// What was found when the log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Number the next record gets.
    pub next: Offset,
    /// Number of the oldest record that can be read; equals `next` if there is none.
    pub first: Offset,
    /// Records that can be read.
    pub records: u64,
    /// Bytes of an interrupted last write that were cut; nobody was told they were stored.
    pub torn_bytes: u64,
    /// Acknowledged records that cannot be read; only with [`OnCorruption::Skip`].
    pub lost: Vec<Range<u64>>,
}

/// A segment with the position behind its last durable frame.
pub(crate) struct Found {
    pub segment: Arc<Segment>,
    pub limit: u64,
}

/// The log's files after recovery.
pub(crate) struct Recovered {
    pub report: Recovery,
    /// In the order of their records; empty if the log is new or everything was consumed.
    pub segments: Vec<Found>,
    /// Files that hold no record anybody can ask for.
    pub obsolete: Vec<Arc<Segment>>,
    /// The highest generation seen.
    pub generation: u64,
    /// True if the last segment is sound and ends with the record before `report.next`.
    pub continues: bool,
}

fn open_failure(operation: DiskOperation) -> impl Fn(std::io::Error) -> LogError {
    move |error| LogError::Open(DiskFailure::new(operation, &error))
}

pub(crate) fn recover(options: &LogOptions, disk: &dyn Disk) -> Result<Recovered, LogError> {
    let directory = &options.directory;
    let mut headers = Vec::new();
    for name in disk.list(directory).map_err(open_failure(DiskOperation::Directory))? {
        let path = directory.join(&name);
        if name.starts_with(SPARE_PREFIX) {
            disk.remove(&path).map_err(open_failure(DiskOperation::Rename))?;
        } else if let Some((base, generation)) = Segment::parse_name(&name) {
            let file = disk.open(&path).map_err(open_failure(DiskOperation::Read))?;
            headers.push(Arc::new(Segment {
                base,
                generation,
                path,
                file: Arc::from(file),
                touched: AtomicU64::new(u64::MAX),
            }));
        }
    }
    headers.sort_by_key(|segment| segment.generation);
    let generation = headers.last().map_or(0, |segment| segment.generation);
    let (segments, obsolete) = supersede(headers);
    let mut recovery = Walk {
        options,
        bytes: Vec::new(),
        report: Recovery {
            next: options.consumed_before,
            first: options.consumed_before,
            records: 0,
            torn_bytes: 0,
            lost: Vec::new(),
        },
        continues: false,
    };
    let segments = recovery.walk(&segments, disk)?;
    let Walk { report, continues, .. } = recovery;
    Ok(Recovered { report, segments, obsolete, generation, continues })
}

/// Splits off the segments without a record of their own: a later one begins at or before them.
#[allow(clippy::type_complexity)]
fn supersede(headers: Vec<Arc<Segment>>) -> (Vec<Arc<Segment>>, Vec<Arc<Segment>>) {
    let mut base_min = u64::MAX;
    let mut live = Vec::new();
    let mut obsolete = Vec::new();
    for segment in headers.into_iter().rev() {
        if segment.base < base_min {
            base_min = segment.base;
            live.push(segment);
        } else {
            obsolete.push(segment);
        }
    }
    live.reverse();
    (live, obsolete)
}

struct Walk<'a> {
    options: &'a LogOptions,
    /// One segment's bytes.
    bytes: Vec<u8>,
    report: Recovery,
    continues: bool,
}

impl Walk<'_> {
    fn walk(&mut self, found: &[Arc<Segment>], disk: &dyn Disk) -> Result<Vec<Found>, LogError> {
        let consumed_before = self.options.consumed_before.0;
        let mut segments = Vec::new();
        let mut next = None;
        for (at, segment) in found.iter().enumerate() {
            let sealed_at = found.get(at + 1).map(|later| later.base);
            if sealed_at.is_some_and(|end| end <= consumed_before) {
                // Nobody needs it: its damage, if any, is no loss. The next trim takes it away.
                let limit = SEGMENT_HEADER_BYTES as u64;
                segments.push(Found { segment: Arc::clone(segment), limit });
                continue;
            }
            let scan = self.scan(segment, sealed_at)?;
            if sealed_at.is_none() {
                self.harden(segment, &scan)?;
                next = Some(scan.next);
                self.continues = scan.sound && scan.next >= consumed_before;
                self.report.torn_bytes = scan.torn_bytes as u64;
            }
            let limit = scan.end as u64;
            segments.push(Found { segment: Arc::clone(segment), limit });
        }
        disk.sync_directory(&self.options.directory)
            .map_err(open_failure(DiskOperation::Directory))?;
        let next = next.unwrap_or(1);
        self.report.next = Offset(next.max(consumed_before));
        let first = found.first().map_or(next, |segment| segment.base);
        self.report.first = Offset(first);
        let lost: u64 = self.report.lost.iter().map(|range| range.end - range.start).sum();
        self.report.records = next.saturating_sub(first).saturating_sub(lost);
        Ok(segments)
    }

    /// Reads a whole segment and checks every frame.
    fn scan(&mut self, segment: &Segment, sealed_at: Option<u64>) -> Result<Scan, LogError> {
        let size = self.read(&*segment.file)?;
        let header = SegmentHeader::decode(&self.bytes).filter(|header| {
            header.base == segment.base && header.generation == segment.generation
        });
        let Some(header) = header else {
            let lost = segment.base..sealed_at.unwrap_or(segment.base);
            self.damaged(segment, 0, lost)?;
            let next = sealed_at.unwrap_or(segment.base);
            let end = SEGMENT_HEADER_BYTES;
            return Ok(Scan { next, end, torn_bytes: 0, damage: vec![], sound: false });
        };
        let mut scan = scan_segment(&self.bytes, segment.generation, segment.base, sealed_at);
        for damage in &scan.damage {
            self.damaged(segment, damage.position as u64, damage.lost.clone())?;
        }
        let told = sealed_at.is_some() && !scan.damage.is_empty();
        if size < header.size_bytes && !told {
            // Segments are written at their full size: records may have been cut off.
            self.damaged(segment, size, scan.next..sealed_at.unwrap_or(scan.next))?;
        }
        scan.sound = size == self.options.segment_size_bytes;
        Ok(scan)
    }

    fn read(&mut self, file: &dyn DiskFile) -> Result<u64, LogError> {
        let size = file.size().map_err(open_failure(DiskOperation::Read))?;
        let wanted = usize::try_from(size.min(SEGMENT_SIZE_BYTES_MAX)).unwrap_or(0);
        self.bytes.resize(wanted, 0);
        let count =
            read_full(file, &mut self.bytes, 0).map_err(open_failure(DiskOperation::Read))?;
        self.bytes.truncate(count);
        Ok(size)
    }

    /// Refuses, or notes what is lost, as the options say.
    fn damaged(
        &mut self,
        segment: &Segment,
        position: u64,
        lost: Range<u64>,
    ) -> Result<(), LogError> {
        let consumed_before = self.options.consumed_before.0;
        if !lost.is_empty() && lost.end <= consumed_before {
            return Ok(());
        }
        let corruption = Corruption { file: segment.file_name(), position, lost };
        if self.options.on_corruption == OnCorruption::Refuse {
            return Err(corruption.into());
        }
        tracing::error!(%corruption, "going on without these records, as the operator decided");
        let from = corruption.lost.start.max(consumed_before);
        if from < corruption.lost.end {
            self.report.lost.push(from..corruption.lost.end);
        }
        Ok(())
    }

    /// Writes the last segment's content again and zeros behind it, and syncs: afterwards the device
    /// holds what was just read.
    fn harden(&mut self, segment: &Segment, scan: &Scan) -> Result<(), LogError> {
        let end = scan.end.min(self.bytes.len());
        let torn_end = (scan.end + scan.torn_bytes) as u64;
        let header_sound = SegmentHeader::decode(&self.bytes).is_some();
        let written = if header_sound {
            segment
                .file
                .write_at(&self.bytes[..end], 0)
                .and_then(|()| write_zeros(&*segment.file, scan.end as u64, torn_end))
        } else {
            Ok(())
        };
        written
            .and_then(|()| segment.file.sync_data())
            .map_err(|error| LogError::Open(DiskFailure::new(DiskOperation::Write, &error)))
    }
}
