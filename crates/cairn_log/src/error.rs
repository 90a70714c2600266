//! What can go wrong, in the variants a caller branches on. No text here names a file's content.

use std::io;
use std::ops::Range;

use crate::Offset;

/// The step of the disk's work that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOperation {
    /// Making, locking or listing the directory.
    Directory,
    /// Making a segment file and filling it with zeros.
    Preallocate,
    /// Writing a group or a header.
    Write,
    /// Waiting for the device.
    Sync,
    /// Renaming or removing a segment file.
    Rename,
    /// Reading records or headers.
    Read,
}

/// A failed disk operation; small and copyable because every waiter of a group gets one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation:?} failed: {kind} (code {code:?})")]
pub struct DiskFailure {
    /// The step that failed.
    pub operation: DiskOperation,
    /// The standard library's classification (`StorageFull`, `ReadOnlyFilesystem`, …).
    pub kind: io::ErrorKind,
    /// The operating system's error number, if it gave one.
    pub code: Option<i32>,
}

impl DiskFailure {
    pub(crate) fn new(operation: DiskOperation, error: &io::Error) -> Self {
        Self { operation, kind: error.kind(), code: error.raw_os_error() }
    }

    /// True if the device has no room left, which goes away when somebody makes room.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Turns an `io::Result` into one that names the step.
pub(crate) trait Step<T> {
    fn step(self, operation: DiskOperation) -> Result<T, DiskFailure>;
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, operation: DiskOperation) -> Result<T, DiskFailure> {
        self.map_err(|error| DiskFailure::new(operation, &error))
    }
}

/// Acknowledged bytes that are no longer what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log file {file} is damaged at byte {position}: {}", self.loss())]
pub struct Corruption {
    /// Name of the damaged file inside the log's directory.
    pub file: String,
    /// Where in the file the damage begins, in bytes.
    pub position: u64,
    /// Numbers of the records that cannot be read; empty if their end is unknown.
    pub lost: Range<u64>,
}

impl Corruption {
    fn loss(&self) -> String {
        match self.lost.end.saturating_sub(self.lost.start) {
            0 => format!("which records from {} on are lost is unknown", self.lost.start),
            1 => format!("record {} cannot be read", self.lost.start),
            _ => format!("records {} to {} cannot be read", self.lost.start, self.lost.end - 1),
        }
    }
}

/// Why the log did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// `size_bytes_max` is reached because the reader is behind. Goes away when records are trimmed.
    #[error("the log has reached its size limit: its reader is behind")]
    Full,
    /// A write or sync failed. The log retries at its own pace; the records were not stored.
    #[error("the log cannot write: {0}")]
    Broken(DiskFailure),
    /// More bytes wait for the device than `batch_size_bytes_max` allows. Goes away at once.
    #[error("the log's device is slower than the records arrive")]
    Busy,
    /// A record, or all records of one append together, are larger than the options allow.
    #[error("{size_bytes} bytes are more than the limit of {size_bytes_max}")]
    TooLarge {
        /// What was offered.
        size_bytes: usize,
        /// What is allowed.
        size_bytes_max: usize,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// Acknowledged records cannot be read; see [`crate::OnCorruption`].
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The records asked for were trimmed.
    #[error("records before {} were trimmed", first_available.0)]
    Trimmed {
        /// The oldest record that can still be read.
        first_available: Offset,
    },
    /// Another process has this log open.
    #[error("another process uses this log's directory")]
    InUse,
    /// The directory cannot be used; nothing was started.
    #[error("the log's directory cannot be used: {0}")]
    Open(DiskFailure),
    /// Reading failed; the records are probably still there.
    #[error("the log cannot be read: {0}")]
    Read(DiskFailure),
    /// The options contradict each other.
    #[error("log options: {0}")]
    Options(&'static str),
}
