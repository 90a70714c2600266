//! Reading durable records, in order.
//!
//! Guarantees: only durable records; every frame's checksum is proven before a record of it is
//! handed out; at most about `size_bytes_max`, or one group if that is larger, is held in memory.

use std::ops::Range;
use std::sync::Arc;

use crate::disk::read_full;
use crate::error::{Corruption, DiskFailure, DiskOperation, LogError};
use crate::format::{
    FRAME_HEADER_BYTES, FrameHeader, SECTOR_BYTES, SEGMENT_HEADER_BYTES, find_frame, split_record,
};
use crate::log::Shared;
use crate::options::{Offset, OnCorruption};
use crate::segments::{NoView, Segment, View};

struct BatchFrame {
    first: u64,
    payload: Range<usize>,
}

/// Records read together; they are not copied one by one.
pub struct Batch {
    bytes: Vec<u8>,
    frames: Vec<BatchFrame>,
    /// Records before this one are in the first frame but were not asked for.
    from: u64,
    next: u64,
    records: u64,
}

impl Batch {
    fn empty(from: u64) -> Self {
        Self { bytes: Vec::new(), frames: Vec::new(), from, next: from, records: 0 }
    }

    /// The records with their numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.frames
            .iter()
            .flat_map(|frame| {
                let mut payload = &self.bytes[frame.payload.clone()];
                let mut number = frame.first;
                std::iter::from_fn(move || {
                    let (record, rest) = split_record(payload)?;
                    payload = rest;
                    number += 1;
                    Some((number - 1, record))
                })
            })
            .filter(|(number, _)| *number >= self.from)
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.records).unwrap_or(usize::MAX)
    }

    /// True if nothing more is durable at the moment.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Number of the record behind the last one: the reader's new watermark.
    pub fn next(&self) -> Offset {
        Offset(self.next)
    }

    /// Memory held, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Reads a log from a record on; made by [`crate::Log::reader`].
pub struct Reader {
    shared: Arc<Shared>,
    next: u64,
    /// Segment and position of the frame to read next, once known.
    place: Option<(Arc<Segment>, u64)>,
    /// Memory of a batch that is not needed any more.
    spare: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, from: Offset) -> Self {
        Self { shared, next: from.0, place: None, spare: Vec::new() }
    }

    /// Number of the record that the next batch begins with.
    pub fn position(&self) -> Offset {
        Offset(self.next)
    }

    /// Takes a batch's memory back for the next one.
    pub fn recycle(&mut self, batch: Batch) {
        self.spare = batch.bytes;
    }

    /// Gives the memory back that was taken for the next batch.
    pub fn release(&mut self) {
        self.spare = Vec::new();
    }

    /// The next records, about as many as fit; an empty batch if nothing more is durable yet.
    pub fn next_batch(&mut self, size_bytes_max: usize) -> Result<Batch, LogError> {
        loop {
            let view = match self.shared.segments.view(self.next) {
                Ok(view) => view,
                Err(NoView::NotYet) => return Ok(Batch::empty(self.next)),
                Err(NoView::Trimmed(first)) => {
                    return Err(LogError::Trimmed { first_available: Offset(first) });
                }
            };
            match self.read_segment(&view, size_bytes_max) {
                Ok(batch) if batch.is_empty() => {}
                Ok(batch) => return Ok(batch),
                Err(error) => return Err(self.explain(error)),
            }
        }
    }

    /// A segment trimmed while it was read looks damaged, but is only gone.
    fn explain(&self, error: LogError) -> LogError {
        let first = self.shared.segments.first();
        if self.next < first {
            return LogError::Trimmed { first_available: Offset(first) };
        }
        error
    }

    fn read_segment(&mut self, view: &View, size_bytes_max: usize) -> Result<Batch, LogError> {
        let known = self.place.as_ref().filter(|(segment, _)| Arc::ptr_eq(segment, &view.segment));
        let mut position = match known {
            Some((_, position)) => *position,
            None => self.find(view)?,
        };
        let mut batch = Batch::empty(self.next);
        batch.bytes = std::mem::take(&mut self.spare);
        let mut wanted = size_bytes_max.max(SECTOR_BYTES);
        while batch.is_empty() && batch.next < view.end {
            let left = usize::try_from(view.limit.saturating_sub(position)).unwrap_or(usize::MAX);
            batch.bytes.resize(wanted.min(left), 0);
            let count = read_full(&*view.segment.file, &mut batch.bytes, position)
                .map_err(|error| LogError::Read(DiskFailure::new(DiskOperation::Read, &error)))?;
            batch.bytes.truncate(count);
            let used = self.walk(view, &mut batch, left);
            if used == 0 {
                match frame_size(&batch.bytes, view.segment.generation) {
                    // Not what was asked for already: the file may end before the frame does.
                    Some(size) if size > wanted && size <= left => wanted = size,
                    _ => position = self.skip_damage(view, position, &mut batch)?,
                }
                continue;
            }
            position += used as u64;
        }
        self.next = batch.next;
        self.place = Some((Arc::clone(&view.segment), position));
        Ok(batch)
    }

    /// Takes all whole frames at the buffer's start; returns how many bytes they are.
    fn walk(&self, view: &View, batch: &mut Batch, left: usize) -> usize {
        let mut used = 0;
        while batch.next < view.end && used < left {
            // The padding of the last frame may be missing, in the buffer or in the file.
            let bytes = batch.bytes.get(used..).unwrap_or_default();
            let Some(frame) = FrameHeader::decode_whole(bytes, view.segment.generation) else {
                break;
            };
            // A reader may begin within a group, never behind one.
            if frame.first > batch.next {
                break;
            }
            if frame.end() > batch.next {
                batch.records += frame.end() - batch.next;
                batch.next = frame.end();
                let start = used + FRAME_HEADER_BYTES;
                let payload = start..start + frame.payload_bytes;
                batch.frames.push(BatchFrame { first: frame.first, payload });
            }
            used += frame.size_bytes();
        }
        used
    }

    /// Position of the frame that holds the next record: hops from header to header.
    fn find(&self, view: &View) -> Result<u64, LogError> {
        let mut position = SEGMENT_HEADER_BYTES as u64;
        let mut header = [0; FRAME_HEADER_BYTES];
        while position < view.limit {
            read_full(&*view.segment.file, &mut header, position)
                .map_err(|error| LogError::Read(DiskFailure::new(DiskOperation::Read, &error)))?;
            match FrameHeader::decode(&header, view.segment.generation) {
                Some(frame) if frame.end() <= self.next => position += frame.size_bytes() as u64,
                // The frame with the record, or damage, which reading it will tell.
                _ => return Ok(position),
            }
        }
        Ok(position)
    }

    /// Durable bytes are not what was written: finds out how much is lost and what to do.
    fn skip_damage(&self, view: &View, position: u64, batch: &mut Batch) -> Result<u64, LogError> {
        let rest = usize::try_from(view.limit.saturating_sub(position)).unwrap_or(0);
        let mut bytes = vec![0; rest];
        let count = read_full(&*view.segment.file, &mut bytes, position)
            .map_err(|error| LogError::Read(DiskFailure::new(DiskOperation::Read, &error)))?;
        bytes.truncate(count);
        let generation = view.segment.generation;
        // Looking again from the start: the first frame may be sound and begin behind a gap.
        let behind = find_frame(&bytes, 0, generation, |frame| {
            frame.end() > batch.next || frame.first > batch.next
        });
        let (resume, found) = match behind {
            Some((at, frame)) => (frame.first.max(batch.next), position + at as u64),
            None => (view.end, view.limit),
        };
        let lost = batch.next..resume;
        if lost.is_empty() {
            return Ok(found.max(position));
        }
        let corruption = Corruption { file: view.segment.file_name(), position, lost };
        if self.shared.options.on_corruption == OnCorruption::Refuse {
            return Err(corruption.into());
        }
        tracing::error!(%corruption, "going on without these records, as the operator decided");
        batch.next = resume;
        batch.from = resume;
        Ok(found)
    }
}

/// Size of the frame whose header is at the buffer's start, whatever its content is.
fn frame_size(bytes: &[u8], generation: u64) -> Option<usize> {
    FrameHeader::decode(bytes, generation).map(|frame| frame.size_bytes())
}
