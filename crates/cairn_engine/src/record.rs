//! Events, choices and refusals as records of the log: one byte that tells kind and version, then postcard.
//!
//! Guarantees: what one version wrote, later versions read; decoding copies no text. The fixture in
//! the tests holds version 1 as it was first written.

use cairn_model::Event;
use cairn_model::receipt::ChoiceMade;
use cairn_model::refusal::Refusal;
use postcard::Serializer;
use postcard::ser_flavors::Flavor;
use serde::Serialize;

/// The version of events that is written.
pub const VERSION: u8 = 1;
/// The same of choices; no event ever has this byte.
pub const CHOICE_VERSION: u8 = 0x81;
/// The same of the words of senders that keep no record of ours.
pub const REFUSAL_VERSION: u8 = 0x82;

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
    append_any(VERSION, event, buffer)
}

/// The record of a choice.
pub fn encode_choice(choice: &ChoiceMade<'_>) -> Result<Vec<u8>, RecordError> {
    let (buffer, written) = append_any(CHOICE_VERSION, choice, Vec::new());
    written.map(|()| buffer)
}

/// The record of a sender's word.
pub fn encode_refusal(refusal: &Refusal) -> Result<Vec<u8>, RecordError> {
    let (buffer, written) = append_any(REFUSAL_VERSION, refusal, Vec::new());
    written.map(|()| buffer)
}

fn append_any(
    version: u8,
    value: &impl Serialize,
    mut buffer: Vec<u8>,
) -> (Vec<u8>, Result<(), RecordError>) {
    let before = buffer.len();
    buffer.push(version);
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

/// Whether the record is a choice.
pub fn is_choice(record: &[u8]) -> bool {
    record.first() == Some(&CHOICE_VERSION)
}

/// Reads the record of a choice.
pub fn decode_choice(record: &[u8]) -> Result<ChoiceMade<'_>, RecordError> {
    match record.split_first() {
        None => Err(RecordError::Empty),
        Some((&CHOICE_VERSION, body)) => Ok(postcard::from_bytes(body)?),
        Some((&version, _)) => Err(RecordError::Version(version)),
    }
}

/// Whether the record is a sender's word.
pub fn is_refusal(record: &[u8]) -> bool {
    record.first() == Some(&REFUSAL_VERSION)
}

/// Reads the record of a sender's word.
pub fn decode_refusal(record: &[u8]) -> Result<Refusal, RecordError> {
    match record.split_first() {
        None => Err(RecordError::Empty),
        Some((&REFUSAL_VERSION, body)) => Ok(postcard::from_bytes(body)?),
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
    fn a_choice_is_no_event_and_reads_back_as_it_was_first_written() {
        let choice = ChoiceMade {
            site_id: SiteId(3),
            at_ms: 1_795_341_600_000,
            subject: cairn_model::VisitorId(7),
            answers: [Some(cairn_model::Choice::Granted), None, None, None],
            version: "a".into(),
            language: "de".into(),
            signal: "page".into(),
            region: "eea".into(),
            policy: "opt_in".into(),
            gpc: true,
        };
        let record = encode_choice(&choice).unwrap();
        let hex: String = record.iter().map(|byte| format!("{byte:02x}")).collect();
        let wanted = "8103809496abc0680701000000000161026465047061676503656561066f70745f696e01";
        assert_eq!(hex, wanted);
        assert!(is_choice(&record) && decode_choice(&record).unwrap() == choice);
        assert_eq!(decode(&record), Err(RecordError::Version(CHOICE_VERSION)));
        let event = encode(&Event::bare(SiteId(3), PAGE_VIEW, 0), Vec::new()).unwrap();
        assert!(!is_choice(&event) && decode_choice(&event).is_err());
    }

    #[test]
    fn a_record_that_cannot_be_written_leaves_those_before_it() {
        let event = Event::bare(SiteId(3), PAGE_VIEW, 0);
        let (buffer, written) = append(&event, Vec::new());
        written.unwrap();
        let before = buffer.clone();
        let (buffer, written) = append_any(VERSION, &Broken, buffer);
        assert!(written.is_err());
        assert_eq!(buffer, before);
        let (buffer, written) = append(&event, buffer);
        written.unwrap();
        assert_eq!(buffer, [&before[..], &before[..]].concat());
        assert_eq!(decode(&buffer[before.len()..]).unwrap(), event);
        assert_eq!(encode(&event, before.clone()).unwrap(), buffer);
    }
}
