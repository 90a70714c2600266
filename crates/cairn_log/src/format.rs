//! The bytes of a segment file.
//!
//! A file is a header of 4096 bytes and then frames. A frame is one group: 32 bytes of header, each
//! record as a length (u32) and its bytes, zeros up to the next multiple of 512. All numbers are
//! little-endian.
//!
//! Guarantees: a frame is taken as valid only in the file generation and at the record number it was
//! written for; frames share no 512-byte sector, so an interrupted write cannot touch an older one.
//! A group is written only after the one before it was synced: so an invalid frame with a valid one
//! behind it is damage, and an invalid frame with nothing behind it is an interrupted write.
//!
//! Does not know: whether the very last group was cut by a crash or damaged later. A clean close
//! writes an empty frame, after which that too is known.

use std::ops::Range;

pub(crate) const SECTOR_BYTES: usize = 512;
pub(crate) const SEGMENT_HEADER_BYTES: usize = 4096;
pub(crate) const FRAME_HEADER_BYTES: usize = 32;
pub(crate) const RECORD_PREFIX_BYTES: usize = 4;

const SEGMENT_MAGIC: &[u8; 8] = b"cairnlog";
const SEGMENT_VERSION: u32 = 1;
const FRAME_MAGIC: &[u8; 4] = b"clg1";

/// Rounds up to whole sectors.
pub(crate) fn aligned(size_bytes: usize) -> usize {
    size_bytes.div_ceil(SECTOR_BYTES) * SECTOR_BYTES
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// What a segment file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Number of the first record.
    pub base: u64,
    /// Counts the segments ever made in this log; part of every frame's checksum.
    pub generation: u64,
    /// The preallocated size; a shorter file was cut by somebody else.
    pub size_bytes: u64,
}

impl SegmentHeader {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.extend_from_slice(SEGMENT_MAGIC);
        bytes.extend_from_slice(&SEGMENT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&0u32.to_le_bytes());
        bytes.extend_from_slice(&self.base.to_le_bytes());
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&self.size_bytes.to_le_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.resize(SEGMENT_HEADER_BYTES, 0);
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..8)? != SEGMENT_MAGIC
            || u32_at(bytes, 8)? != SEGMENT_VERSION
            || u32_at(bytes, 40)? != crc32fast::hash(&bytes[..40])
        {
            return None;
        }
        Some(Self {
            base: u64_at(bytes, 16)?,
            generation: u64_at(bytes, 24)?,
            size_bytes: u64_at(bytes, 32)?,
        })
    }
}

/// A frame's header whose own checksum was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub first: u64,
    pub records: u32,
    pub payload_bytes: usize,
    payload_checksum: u32,
}

impl FrameHeader {
    /// Number of the record behind this group.
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.records)
    }

    /// Bytes in the file, padding included.
    pub fn size_bytes(&self) -> usize {
        aligned(FRAME_HEADER_BYTES + self.payload_bytes)
    }

    /// Reads a header; `None` if it is not one of this generation.
    pub fn decode(bytes: &[u8], generation: u64) -> Option<Self> {
        if bytes.get(..4)? != FRAME_MAGIC {
            return None;
        }
        let header = bytes.get(..FRAME_HEADER_BYTES)?;
        if u32_at(header, 28)? != header_checksum(&header[..28], generation) {
            return None;
        }
        let frame = Self {
            payload_bytes: usize::try_from(u32_at(header, 4)?).ok()?,
            first: u64_at(header, 8)?,
            records: u32_at(header, 16)?,
            payload_checksum: u32_at(header, 24)?,
        };
        frame.first.checked_add(u64::from(frame.records))?;
        Some(frame)
    }

    /// Reads a header and proves the records behind it; `None` if anything is not as written.
    pub fn decode_whole(bytes: &[u8], generation: u64) -> Option<Self> {
        let frame = Self::decode(bytes, generation)?;
        let end = FRAME_HEADER_BYTES.checked_add(frame.payload_bytes)?;
        let payload = bytes.get(FRAME_HEADER_BYTES..end)?;
        let sound = crc32fast::hash(payload) == frame.payload_checksum
            && record_count(payload) == Some(frame.records);
        sound.then_some(frame)
    }
}

fn header_checksum(header: &[u8], generation: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&generation.to_le_bytes());
    hasher.update(header);
    hasher.finalize()
}

fn record_count(mut payload: &[u8]) -> Option<u32> {
    let mut count = 0u32;
    while !payload.is_empty() {
        let (_, rest) = split_record(payload)?;
        payload = rest;
        count = count.checked_add(1)?;
    }
    Some(count)
}

/// The first record of a payload and what is behind it.
pub(crate) fn split_record(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let size_bytes = usize::try_from(u32_at(payload, 0)?).ok()?;
    payload[RECORD_PREFIX_BYTES..].split_at_checked(size_bytes)
}

/// Starts a group in an empty buffer: leaves room for the frame's header.
pub(crate) fn start_frame(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.resize(FRAME_HEADER_BYTES, 0);
}

/// Adds a record to a payload. The caller has checked the size against the options.
pub(crate) fn push_record(payload: &mut Vec<u8>, record: &[u8]) {
    let size_bytes = u32::try_from(record.len()).unwrap_or(u32::MAX);
    payload.extend_from_slice(&size_bytes.to_le_bytes());
    payload.extend_from_slice(record);
}

/// Fills in the header of a started frame and pads it to whole sectors.
pub(crate) fn finish_frame(buffer: &mut Vec<u8>, generation: u64, first: u64, records: u32) {
    let payload_bytes = buffer.len() - FRAME_HEADER_BYTES;
    let payload_checksum = crc32fast::hash(&buffer[FRAME_HEADER_BYTES..]);
    buffer[..4].copy_from_slice(FRAME_MAGIC);
    let size = u32::try_from(payload_bytes).unwrap_or(u32::MAX);
    buffer[4..8].copy_from_slice(&size.to_le_bytes());
    buffer[8..16].copy_from_slice(&first.to_le_bytes());
    buffer[16..20].copy_from_slice(&records.to_le_bytes());
    buffer[20..24].fill(0);
    buffer[24..28].copy_from_slice(&payload_checksum.to_le_bytes());
    let checksum = header_checksum(&buffer[..28], generation);
    buffer[28..32].copy_from_slice(&checksum.to_le_bytes());
    buffer.resize(aligned(buffer.len()), 0);
}

/// Unreadable bytes in front of readable ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub position: usize,
    pub lost: Range<u64>,
}

/// What a segment's bytes hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Number of the record behind the last readable one.
    pub next: u64,
    /// Position behind the last valid frame.
    pub end: usize,
    /// Bytes behind `end` up to the last one that is not zero: an interrupted write.
    pub torn_bytes: usize,
    /// Records that should be there and are not.
    pub damage: Vec<Damage>,
    /// The file can be written on; decided by who knows its header and size.
    pub sound: bool,
}

/// The next valid and acceptable frame at or behind `from`, with its position.
pub(crate) fn find_frame(
    bytes: &[u8],
    from: usize,
    generation: u64,
    accept: impl Fn(&FrameHeader) -> bool,
) -> Option<(usize, FrameHeader)> {
    (aligned(from)..bytes.len()).step_by(SECTOR_BYTES).find_map(|position| {
        let frame = FrameHeader::decode_whole(&bytes[position..], generation)?;
        accept(&frame).then_some((position, frame))
    })
}

/// Walks the frames of a whole segment file. `sealed_at` is the number with which the next segment
/// begins: what lies behind it was never acknowledged and was written again there.
pub(crate) fn scan_segment(
    bytes: &[u8],
    generation: u64,
    base: u64,
    sealed_at: Option<u64>,
) -> Scan {
    let limit = sealed_at.unwrap_or(u64::MAX);
    let mut scan =
        Scan { next: base, end: SEGMENT_HEADER_BYTES, torn_bytes: 0, damage: vec![], sound: true };
    while scan.next < limit {
        let here = bytes.get(scan.end..).unwrap_or_default();
        let frame = FrameHeader::decode_whole(here, generation)
            .filter(|frame| frame.first == scan.next && frame.end() <= limit);
        if let Some(frame) = frame {
            scan.next = frame.end();
            scan.end += frame.size_bytes();
            continue;
        }
        let behind = find_frame(bytes, scan.end + SECTOR_BYTES, generation, |frame| {
            frame.first >= scan.next && frame.end() <= limit
        });
        let Some((position, frame)) = behind else { break };
        if frame.first > scan.next {
            scan.damage.push(Damage { position: scan.end, lost: scan.next..frame.first });
        }
        scan.next = frame.first;
        scan.end = position;
    }
    if let Some(limit) = sealed_at.filter(|limit| scan.next < *limit) {
        scan.damage.push(Damage { position: scan.end, lost: scan.next..limit });
        scan.next = limit;
    }
    if sealed_at.is_none() {
        let rest = bytes.get(scan.end..).unwrap_or_default();
        scan.torn_bytes = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    }
    scan
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(generation: u64, first: u64, records: &[Vec<u8>]) -> Vec<u8> {
        let mut buffer = Vec::new();
        start_frame(&mut buffer);
        for record in records {
            push_record(&mut buffer, record);
        }
        let count = u32::try_from(records.len()).unwrap();
        finish_frame(&mut buffer, generation, first, count);
        buffer
    }

    /// A file of two sound groups, its length, and the number behind them.
    fn file(generation: u64) -> (Vec<u8>, usize, u64) {
        let header = SegmentHeader { base: 7, generation, size_bytes: 32 << 10 };
        let mut bytes = header.encode();
        bytes.extend(frame(generation, 7, &[vec![1; 10], vec![], vec![2; 700]]));
        bytes.extend(frame(generation, 10, &[vec![3; 30]]));
        let end = bytes.len();
        bytes.resize(32 << 10, 0);
        (bytes, end, 11)
    }

    #[test]
    fn a_whole_file_is_read_back() {
        let (bytes, end, next) = file(3);
        let header = SegmentHeader::decode(&bytes).unwrap();
        assert_eq!((header.base, header.generation), (7, 3));
        let scan = scan_segment(&bytes, 3, 7, None);
        assert_eq!((scan.end, scan.next, scan.torn_bytes), (end, next, 0));
        assert!(scan.damage.is_empty());
    }

    #[test]
    fn frames_of_another_generation_or_number_are_not_taken() {
        let (bytes, _, _) = file(3);
        assert_eq!(scan_segment(&bytes, 4, 7, None).next, 7);
        assert_eq!(scan_segment(&bytes, 3, 20, None).next, 20);
    }

    #[test]
    fn what_a_later_segment_supersedes_is_ignored() {
        let (bytes, _, _) = file(3);
        let scan = scan_segment(&bytes, 3, 7, Some(10));
        assert_eq!((scan.next, scan.damage.len()), (10, 0));
        let scan = scan_segment(&bytes, 3, 7, Some(15));
        assert_eq!((scan.next, scan.damage[0].lost.clone()), (15, 11..15));
    }

    proptest! {
        #[test]
        fn any_bytes_are_scanned_without_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..20_000),
            sealed_at in proptest::option::of(0u64..50),
            spots in proptest::collection::vec(0usize..40, 0..6),
        ) {
            // Sound headers and magic numbers in between, or hardly any byte would be looked at.
            for (index, spot) in spots.into_iter().enumerate() {
                let good = frame(5, index as u64 + 1, &[vec![9; spot * 40]]);
                let at = spot * SECTOR_BYTES;
                for (place, byte) in bytes.iter_mut().skip(at).zip(good) {
                    *place = byte;
                }
            }
            let scan = scan_segment(&bytes, 5, 1, sealed_at);
            prop_assert!(scan.end <= bytes.len().max(SEGMENT_HEADER_BYTES) + SECTOR_BYTES);
            prop_assert!(scan.damage.len() <= bytes.len() / SECTOR_BYTES + 1);
            prop_assert!(scan.torn_bytes <= bytes.len());
            let _ = SegmentHeader::decode(&bytes);
        }

        #[test]
        fn one_changed_byte_never_yields_other_records(
            at in 0usize..2560, change in 1u8..,
        ) {
            let (mut bytes, end, next) = file(3);
            let at = SEGMENT_HEADER_BYTES + at;
            bytes[at] ^= change;
            let scan = scan_segment(&bytes, 3, 7, None);
            if !scan.damage.is_empty() {
                prop_assert_eq!(scan.damage[0].lost.clone(), 7..10);
            } else if scan.next == next {
                // Padding, or behind everything.
                prop_assert_eq!(scan.end, end);
            } else {
                prop_assert_eq!(scan.next, 10);
                prop_assert!(scan.torn_bytes > 0);
            }
        }
    }
}
