//! What can go wrong in a store.

use std::fmt;
use std::time::Duration;

/// An error of the event store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine or its files failed; trying again may help.
    #[error("the event store failed while it {doing}: {cause}")]
    Unavailable {
        /// What was being done, as `commits a batch`.
        doing: &'static str,
        /// The engine's own words.
        cause: String,
    },
    /// The batch is at or below the watermark: it is stored already.
    #[error("the batch ends at offset {offset}, and offset {watermark} is stored already")]
    NotAhead {
        /// Where the batch ends.
        offset: u64,
        /// What is stored.
        watermark: u64,
    },
    /// The files were written by a version that this one does not know.
    #[error("the event store has schema version {found}; this program knows up to {known}")]
    NewerSchema {
        /// Version found.
        found: u32,
        /// Newest known.
        known: u32,
    },
    /// The files were written by a version before the first release.
    #[error(
        "the event store has schema version {found}, from before the first release; this program knows {known}: \
         begin with an empty data directory"
    )]
    OlderSchema {
        /// Version found.
        found: u32,
        /// The one known.
        known: u32,
    },
    /// The question costs more than it may.
    #[error("the question was stopped at {limit}")]
    TooExpensive {
        /// The limit that it reached.
        limit: Limit,
    },
}

/// What bounds a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// The time that it may take.
    Time(Duration),
    /// The memory that the store may use.
    Memory,
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Time(time) => write!(formatter, "{} seconds", time.as_secs_f64()),
            Limit::Memory => formatter.write_str("its limit of memory"),
        }
    }
}
