//! Durable, segmented, append-only log of opaque records: bytes, offsets and files, not events.
//!
//! Guarantees: a record whose append resolved to `Ok` survives `kill -9` and power loss, keeps its
//! number, and is read exactly once per pass, in order. Numbers are dense, start at 1 and are never
//! given to two acknowledged records, over restarts and trims too. Nothing that is not durable is
//! ever read. Disk space, memory and waiting bytes are bounded by [`LogOptions`].
//!
//! Does not know: what the records mean, who reads them, and whether the device tells the truth
//! about what it synced.

mod appender;
mod disk;
mod error;
mod format;
mod log;
mod options;
mod pool;
mod queue;
mod reader;
mod recovery;
mod segments;
pub mod sim;
mod status;
mod writer;

pub use appender::{Append, Appender};
pub use disk::{Disk, DiskFile, RealDisk};
pub use error::{Corruption, DiskFailure, DiskOperation, LogError};
pub use log::Log;
pub use options::{LogOptions, Offset, OnCorruption, SEGMENT_SIZE_BYTES_MAX};
pub use reader::{Batch, Reader};
pub use recovery::Recovery;
pub use status::LogStatus;
