//! TC strings: read or refused, and what is read is what stands at the specification's offsets.
#![no_main]

use cairn_consent::bits::NumberSet;
use cairn_consent::{TcString, VendorSet, purposes};
use cairn_model::Choice;
use libfuzzer_sys::fuzz_target;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Bits of the core by their offset, read another way than the decoder does.
fn field(text: &str, offset: usize, count: usize) -> u64 {
    (offset..offset + count).fold(0, |number, at| {
        let byte = text.as_bytes()[at / 6];
        let value = ALPHABET.iter().position(|known| *known == byte).unwrap();
        number << 1 | (value as u64 >> (5 - at % 6) & 1)
    })
}

fn mask(set: NumberSet) -> u64 {
    set.iter().fold(0, |mask, number| mask | 1 << (24 - u64::from(number)))
}

fn check_vendors(set: &VendorSet) {
    let ids: Vec<u16> = set.iter().collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(ids.last().copied(), set.maximum());
    assert!(!set.contains(0));
    assert!(ids.iter().all(|id| set.contains(*id)));
}

/// The bytes as they are, or as characters of the alphabet, a dot now and then.
fn text_of(data: &[u8]) -> Option<String> {
    let (kind, rest) = data.split_first()?;
    if kind & 1 == 0 {
        return String::from_utf8(rest.to_vec()).ok();
    }
    let character = |byte: &u8| match byte {
        255 => '.',
        byte => char::from(ALPHABET[usize::from(byte & 63)]),
    };
    Some(std::iter::once('C').chain(rest.iter().map(character)).collect())
}

fuzz_target!(|data: &[u8]| {
    let Some(text) = text_of(data) else { return };
    let Ok(tcf) = TcString::decode(&text) else { return };
    assert_eq!(field(&text, 0, 6), 2);
    assert_eq!(field(&text, 6, 36) * 100, tcf.header.created_at_ms as u64);
    assert_eq!(field(&text, 78, 12), u64::from(tcf.header.cmp_id));
    assert_eq!(field(&text, 138, 1) == 1, tcf.is_service_specific);
    assert_eq!(field(&text, 152, 24), mask(tcf.purpose_consents));
    assert_eq!(field(&text, 176, 24), mask(tcf.purpose_interests));
    assert_eq!(field(&text, 213, 16), u64::from(tcf.vendor_consents_maximum));
    for vendors in [&tcf.vendor_consents, &tcf.vendor_interests] {
        check_vendors(vendors);
    }
    for vendors in [&tcf.disclosed, &tcf.allowed].into_iter().flatten() {
        check_vendors(vendors);
    }
    let Ok(answers) = purposes::of_tcf(&tcf) else { return };
    let consents = match &tcf.publisher {
        Some(publisher) if publisher.says_something() => publisher.consents,
        _ => tcf.purpose_consents,
    };
    for (answer, rule) in answers.by_purpose.iter().zip(purposes::TCF_RULES) {
        let granted = answer.unwrap().choice == Choice::Granted;
        assert_eq!(granted, rule.needs.iter().all(|number| consents.contains(*number)));
    }
});
