//! A block in a file.
//!
//! Guarantees: a file is whole or not there (it gets its name last), and every byte that is read was checked. Each column has
//! its different numbers once, sorted, and a place among them for each part, in as few bytes as that takes; a column that has
//! one number only takes none. Visitors are cut into [`SEGMENTS`] by their first bits, so that a part of a block can be read.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::block::{COLUMNS, Column, Crossing, PART_COLUMNS, Slice, Wanted};

/// Segments of a block, by the first four bits of a visitor.
pub(super) const SEGMENTS: usize = 16;
const SEGMENT_SHIFT: u32 = 60;

/// First bytes of a file; the last one is the version of its form.
const MAGIC: [u8; 8] = *b"CAIRNRU\x01";
const PLACE_SIZES: [usize; 4] = [0, 1, 2, 4];
/// Bytes of a visit that crosses.
const CROSSING_SIZE_BYTES: usize = 28;
const VISITOR_SIZE_BYTES: usize = 8;

/// Where a stretch of bytes lies, and what they sum to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Extent {
    at: u64,
    size_bytes: u32,
    crc32: u32,
}

const EXTENT_SIZE_BYTES: usize = 16;

/// Of each column: its different numbers, and its segments.
const EXTENTS: usize = COLUMNS * (1 + SEGMENTS) + 2 * SEGMENTS;
const HEADER_SIZE_BYTES: usize = MAGIC.len() + EXTENTS * EXTENT_SIZE_BYTES + 4;

/// Where everything lies in a file.
struct Directory {
    extents: Vec<Extent>,
}

impl Directory {
    fn numbers(&self, column: usize) -> Extent {
        self.extents[column * (1 + SEGMENTS)]
    }

    fn places(&self, column: usize, segment: usize) -> Extent {
        self.extents[column * (1 + SEGMENTS) + 1 + segment]
    }

    fn visitors(&self, segment: usize) -> Extent {
        self.extents[COLUMNS * (1 + SEGMENTS) + segment]
    }

    fn crossing(&self, segment: usize) -> Extent {
        self.extents[COLUMNS * (1 + SEGMENTS) + SEGMENTS + segment]
    }
}

/// The segment of a visitor.
pub(super) fn segment_of(visitor: u64) -> usize {
    (visitor >> SEGMENT_SHIFT) as usize
}

/// First and last visitor of a segment.
pub(super) fn visitors_of(segment: usize) -> (u64, u64) {
    let first = (segment as u64) << SEGMENT_SHIFT;
    (first, first | (u64::MAX >> (u64::BITS - SEGMENT_SHIFT)))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a rollup is damaged: {what}"))
}

/// Writes a block whose parts are sorted. All of it is on the disk afterwards; whoever keeps it gives it its name.
pub(super) fn write(path: &Path, block: &Slice) -> io::Result<()> {
    let mut body = Vec::new();
    let mut extents = Vec::with_capacity(EXTENTS);
    let mut add = |extents: &mut Vec<Extent>, bytes: &[u8]| {
        extents.push(Extent {
            at: (HEADER_SIZE_BYTES + body.len()) as u64,
            size_bytes: bytes.len() as u32,
            crc32: crc32fast::hash(bytes),
        });
        body.extend_from_slice(bytes);
    };
    let parts = segments(&block.visitors);
    let entries = entries_before(block);
    for place in 0..COLUMNS {
        let column = &block.columns[place];
        let mut numbers = column.clone();
        numbers.sort_unstable();
        numbers.dedup();
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        add(&mut extents, &bytes);
        let size = place_size_bytes(numbers.len());
        for segment in 0..SEGMENTS {
            let (mut from, mut to) = (parts[segment], parts[segment + 1]);
            if place >= PART_COLUMNS {
                (from, to) = (entries[from], entries[to]);
            }
            let mut bytes = Vec::with_capacity((to - from) * size);
            for number in &column[from..to] {
                let place = numbers.partition_point(|known| known < number) as u32;
                bytes.extend_from_slice(&place.to_le_bytes()[..size]);
            }
            add(&mut extents, &bytes);
        }
    }
    for segment in 0..SEGMENTS {
        let visitors = &block.visitors[parts[segment]..parts[segment + 1]];
        let bytes: Vec<u8> = visitors.iter().flat_map(|visitor| visitor.to_le_bytes()).collect();
        add(&mut extents, &bytes);
    }
    for segment in 0..SEGMENTS {
        let range = parts[segment]..parts[segment + 1];
        let inside = block.crossing.iter().filter(|one| range.contains(&(one.part as usize)));
        let mut bytes = Vec::new();
        for crossing in inside {
            let part = crossing.part - parts[segment] as u32;
            bytes.extend_from_slice(&part.to_le_bytes());
            bytes.extend_from_slice(&crossing.session_id.to_le_bytes());
            bytes.extend_from_slice(&crossing.started_at_ms.to_le_bytes());
            bytes.extend_from_slice(&crossing.ended_at_ms.to_le_bytes());
        }
        add(&mut extents, &bytes);
    }
    let mut header = Vec::with_capacity(HEADER_SIZE_BYTES);
    header.extend_from_slice(&MAGIC);
    for Extent { at, size_bytes, crc32 } in extents {
        header.extend_from_slice(&at.to_le_bytes());
        header.extend_from_slice(&size_bytes.to_le_bytes());
        header.extend_from_slice(&crc32.to_le_bytes());
    }
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    let mut file = File::create(path)?;
    file.write_all(&header)?;
    file.write_all(&body)?;
    file.sync_data()
}

/// Where each segment's parts begin, and where the last one's end.
fn segments(visitors: &[u64]) -> [usize; SEGMENTS + 1] {
    std::array::from_fn(|segment| {
        visitors.partition_point(|visitor| segment_of(*visitor) < segment)
    })
}

/// Entries before each part, and all of them.
fn entries_before(block: &Slice) -> Vec<usize> {
    let mut before = vec![0];
    let mut sum = 0;
    for entries in block.column(Column::Entries) {
        sum += *entries as usize;
        before.push(sum);
    }
    before
}

/// Bytes of a place among so many numbers.
fn place_size_bytes(numbers: usize) -> usize {
    match numbers {
        0 | 1 => PLACE_SIZES[0],
        2..=0x100 => PLACE_SIZES[1],
        0x101..=0x1_0000 => PLACE_SIZES[2],
        _ => PLACE_SIZES[3],
    }
}

/// Where what is wanted lies in a file, and the numbers of its columns.
pub(super) struct Reader {
    path: PathBuf,
    directory: Directory,
    wanted: Wanted,
    /// By column; empty where it is not wanted.
    numbers: Vec<Vec<u32>>,
}

fn take<const SIZE: usize>(bytes: &[u8], at: usize) -> io::Result<[u8; SIZE]> {
    let taken = bytes.get(at..at + SIZE).and_then(|bytes| bytes.try_into().ok());
    taken.ok_or_else(|| damaged("it is cut off"))
}

impl Reader {
    /// Reads what all segments share. The file is not kept open: there may be thousands.
    pub(super) fn open(path: &Path, wanted: &Wanted) -> io::Result<Reader> {
        let file = File::open(path)?;
        let mut header = vec![0; HEADER_SIZE_BYTES];
        file.read_exact_at(&mut header, 0)?;
        let told = u32::from_le_bytes(take(&header, HEADER_SIZE_BYTES - 4)?);
        let is_whole = crc32fast::hash(&header[..HEADER_SIZE_BYTES - 4]) == told;
        if !is_whole || header[..MAGIC.len()] != MAGIC {
            return Err(damaged("its header"));
        }
        let mut extents = Vec::with_capacity(EXTENTS);
        for index in 0..EXTENTS {
            let at = MAGIC.len() + index * EXTENT_SIZE_BYTES;
            extents.push(Extent {
                at: u64::from_le_bytes(take(&header, at)?),
                size_bytes: u32::from_le_bytes(take(&header, at + 8)?),
                crc32: u32::from_le_bytes(take(&header, at + 12)?),
            });
        }
        let directory = Directory { extents };
        let mut numbers = vec![Vec::new(); COLUMNS];
        let mut bytes = Vec::new();
        for place in (0..COLUMNS).filter(|place| wanted.has(*place)) {
            read(&file, directory.numbers(place), &mut bytes)?;
            let (of_column, _) = bytes.as_chunks::<4>();
            numbers[place] = of_column.iter().map(|one| u32::from_le_bytes(*one)).collect();
        }
        Ok(Reader { path: path.to_owned(), directory, wanted: *wanted, numbers })
    }

    /// Parts in a segment.
    fn parts(&self, segment: usize) -> usize {
        self.directory.visitors(segment).size_bytes as usize / VISITOR_SIZE_BYTES
    }

    /// Rows of a segment: parts, or entries where they are wanted, as far as columns that differ tell.
    pub(super) fn rows(&self, segment: usize) -> usize {
        let wanted = (0..COLUMNS).filter(|place| self.wanted.has(*place));
        let rows = wanted.map(|place| {
            let size_bytes = self.directory.places(place, segment).size_bytes as usize;
            size_bytes / place_size_bytes(self.numbers[place].len()).max(1)
        });
        rows.fold(self.parts(segment), usize::max)
    }

    /// A segment's parts, into what a slice had room for.
    pub(super) fn slice(&self, segment: usize, slice: &mut Slice) -> io::Result<()> {
        let file = File::open(&self.path)?;
        let mut bytes = Vec::new();
        slice.clear();
        read(&file, self.directory.visitors(segment), &mut bytes)?;
        let (visitors, _) = bytes.as_chunks::<VISITOR_SIZE_BYTES>();
        slice.visitors.extend(visitors.iter().map(|visitor| u64::from_le_bytes(*visitor)));
        read(&file, self.directory.crossing(segment), &mut bytes)?;
        for crossing in bytes.chunks_exact(CROSSING_SIZE_BYTES) {
            slice.crossing.push(Crossing {
                part: u32::from_le_bytes(take(crossing, 0)?),
                session_id: u64::from_le_bytes(take(crossing, 4)?),
                started_at_ms: i64::from_le_bytes(take(crossing, 12)?),
                ended_at_ms: i64::from_le_bytes(take(crossing, 20)?),
            });
        }
        let mut entries = 0;
        for place in (0..COLUMNS).filter(|place| self.wanted.has(*place)) {
            let rows = if place < PART_COLUMNS { self.parts(segment) } else { entries };
            read(&file, self.directory.places(place, segment), &mut bytes)?;
            let column = &mut slice.columns[place];
            decode(&self.numbers[place], &bytes, rows, column)?;
            if place == Column::Entries.place() {
                entries = column.iter().map(|entries| *entries as usize).sum();
            }
        }
        Ok(())
    }
}

fn read(file: &File, extent: Extent, into: &mut Vec<u8>) -> io::Result<()> {
    into.resize(extent.size_bytes as usize, 0);
    file.read_exact_at(into, extent.at)?;
    match crc32fast::hash(into) == extent.crc32 {
        true => Ok(()),
        false => Err(damaged("a column")),
    }
}

/// Puts down the numbers at some places.
fn decode(numbers: &[u32], places: &[u8], rows: usize, column: &mut Vec<u32>) -> io::Result<()> {
    let size = place_size_bytes(numbers.len());
    if places.len() != rows * size {
        return Err(damaged("its columns differ in length"));
    }
    // Checked beforehand, so that the numbers are put down without a look at each.
    let within = |highest: Option<usize>| match highest.is_none_or(|place| place < numbers.len()) {
        true => Ok(()),
        false => Err(damaged("a place")),
    };
    match size {
        0 if rows == 0 => {}
        0 => {
            within(Some(0))?;
            column.resize(rows, numbers[0]);
        }
        1 => {
            within(places.iter().max().map(|place| usize::from(*place)))?;
            column.extend(places.iter().map(|place| numbers[usize::from(*place)]));
        }
        2 => {
            let (places, _) = places.as_chunks::<2>();
            let place = |bytes: &[u8; 2]| usize::from(u16::from_le_bytes(*bytes));
            within(places.iter().map(place).max())?;
            column.extend(places.iter().map(|bytes| numbers[place(bytes)]));
        }
        _ => {
            let (places, _) = places.as_chunks::<4>();
            let place = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes) as usize;
            within(places.iter().map(place).max())?;
            column.extend(places.iter().map(|bytes| numbers[place(bytes)]));
        }
    }
    Ok(())
}
