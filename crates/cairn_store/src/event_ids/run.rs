//! Immutable files of sorted keys.
//!
//! Guarantees: a run is complete or does not exist (written aside, synced, renamed). What its tables say was checked
//! when it was opened. It does not know which events its keys belong to.
//!
//! A key is kept as its upper 96 bits, so two different keys of one run are mistaken for each other with odds of 2^-96.
//! File: header, entries of 12 bytes (11 where the bucket tells the first) in rising order, directory, filter, and the
//! checksum of all but the entries.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of an entry that count.
const ENTRY_END: usize = 12;
/// Bytes before the entries: magic, count, and padding.
const HEADER_SIZE_BYTES: usize = 16;
const MAGIC: &[u8; 8] = b"CAIRNID1";
/// Keys per directory entry, about: how much one look-up reads (1.5 kB).
const KEYS_PER_BUCKET: u64 = 128;
/// Bits of the filter per key. With four bits set per key in one cache line, one absent key in fifteen passes.
const FILTER_BITS_PER_KEY: u64 = 6;
/// Bits of one filter block: a cache line.
const BLOCK_BITS: u64 = 512;

/// The upper 96 bits of a mixed key, in the upper bits of a `u128`; the lower 32 bits are 0.
pub(super) type Entry = u128;

/// The entry of a key. Mixing is reversible, and makes keys uniform even where their hash was not.
pub(super) fn entry_of(key: u128) -> Entry {
    const ODD: u128 = 0x2d35_8dcc_aa6c_78a5_8bb8_4b93_962e_acc9;
    let mixed = (key ^ key >> 64).wrapping_mul(ODD);
    let mixed = (mixed ^ mixed >> 64).wrapping_mul(ODD);
    (mixed ^ mixed >> 64) >> 32 << 32
}

/// What a run covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Coverage {
    /// Day of arrival (days since 1970, UTC) of all its keys.
    pub day: i64,
    /// Its keys belong to events after this offset …
    pub after_offset: u64,
    /// … up to this one.
    pub last_offset: u64,
    /// How often it was merged.
    pub level: u32,
}

/// A block of the filter.
type Block = [u64; 8];

/// A run that can be asked.
pub(super) struct Run {
    pub coverage: Coverage,
    pub path: PathBuf,
    file: File,
    count: u64,
    /// Entries before each bucket, and their number at the end.
    directory: Box<[u32]>,
    filter: Box<[Block]>,
}

fn bucket_bits(count: u64) -> u32 {
    (count / KEYS_PER_BUCKET).max(1).ilog2()
}

/// Where the stored bytes of entries begin: the first byte is not stored where the bucket tells it.
fn entry_start(count: u64) -> usize {
    usize::from(bucket_bits(count) >= 8)
}

fn entry_size_bytes(count: u64) -> usize {
    ENTRY_END - entry_start(count)
}

fn bucket_of(entry: Entry, bits: u32) -> usize {
    if bits == 0 { 0 } else { (entry >> (128 - bits)) as usize }
}

fn block_count(count: u64) -> u64 {
    (count * FILTER_BITS_PER_KEY).div_ceil(BLOCK_BITS).max(1)
}

/// The block of an entry and the four bits within it.
fn filter_places(entry: Entry, blocks: usize) -> (usize, [u32; 4]) {
    let block = (((entry >> 64) * blocks as u128) >> 64) as usize;
    let hash = ((entry >> 32) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (block, [55, 46, 37, 28].map(|shift| (hash >> shift) as u32 & 511))
}

fn checksum(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for chunk in parts.iter().flat_map(|part| part.chunks(8)) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
    }
    hash
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a file of event keys {what}"))
}

/// Bytes at `offset`, and where they end.
fn read_bytes(file: &File, offset: u64, size: usize) -> io::Result<(Vec<u8>, u64)> {
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, offset)?;
    let end = offset + bytes.len() as u64;
    Ok((bytes, end))
}

impl Run {
    /// Opens a run and checks its tables.
    pub(super) fn open(path: &Path, coverage: Coverage) -> io::Result<Run> {
        let file = File::open(path)?;
        let mut header = [0; HEADER_SIZE_BYTES];
        file.read_exact_at(&mut header, 0)?;
        let mut count = [0; 8];
        count.copy_from_slice(&header[8..]);
        let count = u64::from_le_bytes(count);
        if &header[..8] != MAGIC || count > u64::from(u32::MAX) {
            return Err(broken("has an unknown format"));
        }
        let entries_end = HEADER_SIZE_BYTES as u64 + count * entry_size_bytes(count) as u64;
        let buckets = (1usize << bucket_bits(count)) + 1;
        let blocks = block_count(count) as usize;
        let expected = entries_end + buckets as u64 * 4 + blocks as u64 * 64 + 8;
        if file.metadata()?.len() != expected {
            return Err(broken("has the wrong size"));
        }
        let (directory, end) = read_bytes(&file, entries_end, buckets * 4)?;
        let (filter, end) = read_bytes(&file, end, blocks * 64)?;
        let (sum, _) = read_bytes(&file, end, 8)?;
        if sum != checksum(&[&header, &directory, &filter]).to_le_bytes() {
            return Err(broken("is damaged"));
        }
        let word =
            |bytes: &[u8]| bytes.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        Ok(Run {
            coverage,
            path: path.to_owned(),
            count,
            directory: directory.chunks_exact(4).map(|bytes| word(bytes) as u32).collect(),
            filter: filter
                .chunks_exact(64)
                .map(|bytes| std::array::from_fn(|index| word(&bytes[index * 8..][..8])))
                .collect(),
            file,
        })
    }

    /// Keys in it.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.directory.len() * 4 + self.filter.len() * 64
    }

    /// False: certainly absent.
    pub(super) fn may_contain(&self, entry: Entry) -> bool {
        let (block, bits) = filter_places(entry, self.filter.len());
        let block = &self.filter[block];
        bits.into_iter().all(|bit| block[bit as usize / 64] >> (bit % 64) & 1 == 1)
    }

    /// Reads the bucket of `entry` and looks for it.
    pub(super) fn contains(&self, entry: Entry) -> io::Result<bool> {
        let entry_size = entry_size_bytes(self.count);
        let bucket = bucket_of(entry, bucket_bits(self.count));
        let (first, last) = (self.directory[bucket] as u64, self.directory[bucket + 1] as u64);
        let size = (last.saturating_sub(first) as usize) * entry_size;
        let mut in_place = [0u8; 4096];
        let mut large = Vec::new();
        let bytes = match in_place.get_mut(..size) {
            Some(bytes) => bytes,
            None => {
                large.resize(size, 0);
                &mut large[..]
            }
        };
        let start = HEADER_SIZE_BYTES as u64 + first * entry_size as u64;
        self.file.read_exact_at(bytes, start)?;
        let entry = entry.to_be_bytes();
        let wanted = &entry[entry_start(self.count)..ENTRY_END];
        let (mut low, mut high) = (0, bytes.len() / entry_size);
        while low < high {
            let middle = low + (high - low) / 2;
            match bytes[middle * entry_size..][..entry_size].cmp(wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(true),
            }
        }
        Ok(false)
    }

    fn entries(&self) -> io::Result<Entries<'_>> {
        let mut file = BufReader::with_capacity(64 * 1024, File::open(&self.path)?);
        file.read_exact(&mut [0; HEADER_SIZE_BYTES])?;
        Ok(Entries { run: self, file, read: 0, bucket: 0 })
    }
}

/// Reads a run's entries in order.
struct Entries<'a> {
    run: &'a Run,
    file: BufReader<File>,
    read: u64,
    bucket: usize,
}

impl Entries<'_> {
    fn next(&mut self) -> io::Result<Option<Entry>> {
        if self.read == self.run.count {
            return Ok(None);
        }
        while self.read >= u64::from(self.run.directory[self.bucket + 1]) {
            self.bucket += 1;
        }
        self.read += 1;
        let start = entry_start(self.run.count);
        let mut bytes = [0; 16];
        if start == 1 {
            bytes[0] = (self.bucket >> (bucket_bits(self.run.count) - 8)) as u8;
        }
        self.file.read_exact(&mut bytes[start..ENTRY_END])?;
        Ok(Some(Entry::from_be_bytes(bytes)))
    }
}

/// Writes a run of entries that come in rising order, each once. `count` is how many come.
pub(super) fn write_run(
    path: &Path,
    coverage: Coverage,
    count: u64,
    mut next: impl FnMut() -> io::Result<Option<Entry>>,
) -> io::Result<Run> {
    let aside = path.with_extension("new");
    let mut file = BufWriter::with_capacity(64 * 1024, File::create(&aside)?);
    let mut header = [0; HEADER_SIZE_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..].copy_from_slice(&count.to_le_bytes());
    file.write_all(&header)?;
    let bits = bucket_bits(count);
    let mut directory = vec![0u32; (1 << bits) + 1];
    let mut filter = vec![[0u64; 8]; block_count(count) as usize];
    let mut written = 0;
    while let Some(entry) = next()? {
        file.write_all(&entry.to_be_bytes()[entry_start(count)..ENTRY_END])?;
        directory[bucket_of(entry, bits) + 1] += 1;
        let (block, places) = filter_places(entry, filter.len());
        for place in places {
            filter[block][place as usize / 64] |= 1 << (place % 64);
        }
        written += 1;
    }
    if written != count {
        return Err(broken("was promised another number of keys"));
    }
    for bucket in 1..directory.len() {
        directory[bucket] += directory[bucket - 1];
    }
    let directory_bytes: Vec<u8> = directory.iter().flat_map(|word| word.to_le_bytes()).collect();
    let filter_bytes: Vec<u8> =
        filter.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
    file.write_all(&directory_bytes)?;
    file.write_all(&filter_bytes)?;
    let sum = checksum(&[&header, &directory_bytes, &filter_bytes]);
    file.write_all(&sum.to_le_bytes())?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    Ok(Run {
        coverage,
        path: path.to_owned(),
        file: File::open(path)?,
        count,
        directory: directory.into(),
        filter: filter.into(),
    })
}

/// Merges runs into one. `stop` is asked now and then; true ends it with an error.
pub(super) fn merge_runs(
    path: &Path,
    coverage: Coverage,
    runs: &[std::sync::Arc<Run>],
    stop: impl Fn() -> bool,
) -> io::Result<Run> {
    let mut heads = Vec::new();
    for run in runs {
        let mut entries = run.entries()?;
        if let Some(head) = entries.next()? {
            heads.push((head, entries));
        }
    }
    let count = runs.iter().map(|run| run.count).sum();
    let mut handed_out = 0u64;
    write_run(path, coverage, count, || {
        handed_out += 1;
        if handed_out & 0xffff == 0 && stop() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the program ends"));
        }
        let least = (0..heads.len()).min_by_key(|index| heads[*index].0);
        let Some(least) = least else { return Ok(None) };
        let entry = heads[least].0;
        match heads[least].1.next()? {
            Some(head) => heads[least].0 = head,
            None => drop(heads.swap_remove(least)),
        }
        Ok(Some(entry))
    })
}
