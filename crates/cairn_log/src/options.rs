//! What a log is opened with, and the bounds that hold whatever the options say.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::LogError;
use crate::format::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, aligned};

/// Number of a record: dense, starting at 1, never used twice, kept over restarts and trims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

/// What to do when acknowledged records turn out to be unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnCorruption {
    /// Stop with [`LogError::Corrupt`]; nothing is changed on disk.
    #[default]
    Refuse,
    /// An operator accepted the loss: go on behind it and list it in [`crate::Recovery::lost`].
    Skip,
}

/// Largest segment that is accepted: recovery holds one segment in memory.
pub const SEGMENT_SIZE_BYTES_MAX: u64 = 256 << 20;

/// Options of [`crate::Log::open`]. `new` gives the defaults.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Directory of the log's files; made if missing; used by nothing else.
    pub directory: PathBuf,
    /// Size of each preallocated file.
    pub segment_size_bytes: u64,
    /// All files together, the prepared one included; reaching it is [`LogError::Full`].
    pub size_bytes_max: u64,
    /// Largest single record.
    pub record_size_bytes_max: usize,
    /// Most bytes that one group may hold, and so most bytes that may wait in memory.
    pub batch_size_bytes_max: usize,
    /// How long a group is held back, with a few records in flight, to become larger; up to four times as long where many
    /// are.
    pub group_delay_max: Duration,
    /// Pause before the first new attempt after the disk failed.
    pub retry_pause_min: Duration,
    /// Longest pause between attempts; each is twice the one before.
    pub retry_pause_max: Duration,
    /// A fully trimmed segment is emptied when nothing was appended for this long.
    pub idle_scrub_after: Duration,
    /// Records before this one are not needed any more (the reader's watermark plus one). The next
    /// record gets at least this number, even if the log's files were lost.
    pub consumed_before: Offset,
    /// What to do when acknowledged records turn out to be unreadable.
    pub on_corruption: OnCorruption,
}

impl LogOptions {
    /// The defaults, for a log in this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            segment_size_bytes: 16 << 20,
            size_bytes_max: 1 << 30,
            record_size_bytes_max: 1 << 20,
            batch_size_bytes_max: 4 << 20,
            group_delay_max: Duration::from_micros(1000),
            retry_pause_min: Duration::from_millis(100),
            retry_pause_max: Duration::from_secs(5),
            idle_scrub_after: Duration::from_secs(60),
            consumed_before: Offset(1),
            on_corruption: OnCorruption::Refuse,
        }
    }

    pub(crate) fn check(&self) -> Result<(), LogError> {
        let room = self.segment_size_bytes.saturating_sub(SEGMENT_HEADER_BYTES as u64);
        let group = aligned(FRAME_HEADER_BYTES + self.batch_size_bytes_max) as u64;
        if self.segment_size_bytes > SEGMENT_SIZE_BYTES_MAX {
            return Err(LogError::Options("segment_size_bytes is larger than 256 MiB"));
        }
        if !self.segment_size_bytes.is_multiple_of(4096) {
            return Err(LogError::Options("segment_size_bytes is not a multiple of 4096"));
        }
        if group > room {
            return Err(LogError::Options("a batch does not fit into a segment"));
        }
        if self.record_size_bytes_max + 4 > self.batch_size_bytes_max {
            return Err(LogError::Options("a record does not fit into a batch"));
        }
        if self.size_bytes_max < 2 * self.segment_size_bytes {
            return Err(LogError::Options("size_bytes_max is less than two segments"));
        }
        Ok(())
    }

    /// How many files of one segment each may exist.
    pub(crate) fn files_max(&self) -> usize {
        usize::try_from(self.size_bytes_max / self.segment_size_bytes).unwrap_or(usize::MAX)
    }
}
