//! Events as records of the log: one version byte, then postcard.
//!
//! Guarantees: what one version wrote, later versions read; decoding copies no text. The fixture in
//! the tests holds version 1 as it was first written.

use cairn_model::Event;
use postcard::Serializer;
use postcard::ser_flavors::Flavor;
use serde::Serialize;

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

/// The event's record behind what is in the buffer.
pub fn encode(event: &Event<'_>, buffer: Vec<u8>) -> Result<Vec<u8>, RecordError> {
    let (buffer, written) = append(event, buffer);
    written.map(|()| buffer)
}

/// Appends the event's record. The buffer that comes back holds what it held, and behind it the whole record or nothing:
/// whoever keeps several records in it knows where each of them lies, also after one that failed.
pub fn append(event: &Event<'_>, buffer: Vec<u8>) -> (Vec<u8>, Result<(), RecordError>) {
    append_any(event, buffer)
}

fn append_any(value: &impl Serialize, mut buffer: Vec<u8>) -> (Vec<u8>, Result<(), RecordError>) {
    let before = buffer.len();
    buffer.push(VERSION);
    let mut serializer = Serializer { output: Growing(buffer) };
    let written = value.serialize(&mut serializer);
    let Growing(mut buffer) = serializer.output;
    if written.is_err() {
        buffer.truncate(before);
    }
    (buffer, written.map_err(RecordError::from))
}

/// postcard's own does not give the buffer back when writing fails.
struct Growing(Vec<u8>);

impl Flavor for Growing {
    type Output = Vec<u8>;

    #[inline(always)]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline(always)]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

/// Reads a record; the event borrows from it.
pub fn decode(record: &[u8]) -> Result<Event<'_>, RecordError> {
    match record.split_first() {
        None => Err(RecordError::Empty),
        Some((&VERSION, body)) => Ok(postcard::from_bytes(body)?),
        Some((&version, _)) => Err(RecordError::Version(version)),
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::SiteId;
    use cairn_model::event::PAGE_VIEW;
    use serde::ser::{Error, SerializeSeq, Serializer};

    use super::*;

    /// Fails when some of it is written.
    struct Broken;

    impl Serialize for Broken {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut list = serializer.serialize_seq(Some(2))?;
            list.serialize_element("first")?;
            Err(S::Error::custom("no second"))
        }
    }

    #[test]
    fn a_record_that_cannot_be_written_leaves_those_before_it() {
        let event = Event::bare(SiteId(3), PAGE_VIEW, 0);
        let (buffer, written) = append(&event, Vec::new());
        written.unwrap();
        let before = buffer.clone();
        let (buffer, written) = append_any(&Broken, buffer);
        assert!(written.is_err());
        assert_eq!(buffer, before);
        let (buffer, written) = append(&event, buffer);
        written.unwrap();
        assert_eq!(buffer, [&before[..], &before[..]].concat());
        assert_eq!(decode(&buffer[before.len()..]).unwrap(), event);
        assert_eq!(encode(&event, before.clone()).unwrap(), buffer);
    }
}
