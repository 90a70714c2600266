//! Events as records of the log: one version byte, then postcard.
//!
//! Guarantees: what one version wrote, later versions read; decoding copies no text. The fixture in
//! the tests holds version 1 as it was first written.

use cairn_model::Event;

/// The version that is written.
pub const VERSION: u8 = 1;

/// A record that is not an event.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    /// The record is empty.
    #[error("the record is empty")]
    Empty,
    /// A newer Cairn wrote it.
    #[error("the record has version {0}; this program reads version {VERSION}")]
    Version(u8),
    /// Its bytes are not an event, or the event could not be written.
    #[error("the record is not an event: {0}")]
    Malformed(#[from] postcard::Error),
}

/// Appends the event's record to a buffer.
pub fn encode(event: &Event<'_>, mut buffer: Vec<u8>) -> Result<Vec<u8>, RecordError> {
    buffer.push(VERSION);
    Ok(postcard::to_extend(event, buffer)?)
}

/// Reads a record; the event borrows from it.
pub fn decode(record: &[u8]) -> Result<Event<'_>, RecordError> {
    match record.split_first() {
        None => Err(RecordError::Empty),
        Some((&VERSION, body)) => Ok(postcard::from_bytes(body)?),
        Some((&version, _)) => Err(RecordError::Version(version)),
    }
}
