//! Records of the log: any bytes are an event or an error, and an event is written as it was read.
#![no_main]

use cairn_engine::record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(event) = record::decode(data) else { return };
    let written = record::encode(&event, Vec::new()).unwrap();
    assert_eq!(record::decode(&written).unwrap(), event);
});
