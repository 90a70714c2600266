//! What can go wrong in a store.

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
    /// The question costs more than it may (time or memory).
    #[error("the question was stopped after {limit}")]
    TooExpensive {
        /// The limit that it reached.
        limit: String,
    },
}
