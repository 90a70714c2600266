//! `POST /e`: any body is read or refused; so is each event of a body that was read.
#![no_main]

use cairn_engine::ingest::envelope::{envelope, unzipped};
use cairn_engine::ingest::fields::{Sender, event};
use cairn_model::limits::{BODY_SIZE_BYTES_MAX, EVENTS_PER_BODY_MAX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(plain) = unzipped(data, BODY_SIZE_BYTES_MAX) {
        assert!(plain.len() <= BODY_SIZE_BYTES_MAX);
    }
    let Ok(envelope) = envelope(data) else { return };
    assert!(!envelope.key.is_empty() && envelope.events.len() <= EVENTS_PER_BODY_MAX);
    for raw in envelope.events {
        for sender in [Sender::Public, Sender::Server, Sender::Import] {
            let _ = event(raw, sender);
        }
    }
});
