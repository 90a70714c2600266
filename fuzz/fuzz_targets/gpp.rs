//! GPP strings with their sections, the list of those that apply, US Privacy, consent mode.
#![no_main]

use cairn_consent::purposes::{of_gpp, of_mode, of_us_privacy};
use cairn_consent::{Applicable, ConsentMode, GppString, Section, UsPrivacy};
use cairn_model::Choice;
use libfuzzer_sys::fuzz_target;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Headers of one section, of all kinds.
const HEADERS: [&str; 8] =
    ["DBABM~", "DBABTA~", "DBABLA~", "DBABBg~", "DBABRg~", "DBABEw~", "DBACMMA~", "DBABjA~"];

/// The bytes as they are, or a header and characters of the alphabet.
fn text_of(data: &[u8]) -> Option<String> {
    let (kind, rest) = data.split_first()?;
    if kind & 1 == 0 {
        return String::from_utf8(rest.to_vec()).ok();
    }
    let character = |byte: &u8| match byte {
        255 => '.',
        254 => '~',
        byte => char::from(ALPHABET[usize::from(byte & 63)]),
    };
    let header = HEADERS[usize::from(kind >> 1 & 7)];
    Some(header.chars().chain(rest.iter().map(character)).collect())
}

fuzz_target!(|data: &[u8]| {
    let Some(text) = text_of(data) else { return };
    let (text, applicable) = text.split_once('&').unwrap_or((&text, ""));
    let _ = ConsentMode::of_gcd(text).map(|mode| of_mode(&mode));
    if let Ok(string) = UsPrivacy::decode(text) {
        let denied = of_us_privacy(&string).by_purpose[1].is_some();
        assert_eq!(denied, text.as_bytes()[2] == b'Y');
    }
    let Ok(gpp) = GppString::decode(text) else { return };
    assert_eq!(gpp.sections.len(), text.split('~').count() - 1);
    assert!(gpp.sections.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let Ok(applicable) = Applicable::parse(applicable) else { return };
    let Ok(answers) = of_gpp(&gpp, &applicable) else { return };
    let asks = |section: &Section| matches!(section, Section::Europe(_) | Section::Canada(_));
    let grants = answers.by_purpose.iter().flatten().any(|it| it.choice == Choice::Granted);
    assert!(!grants || gpp.sections.iter().any(|(_, section)| asks(section)));
    let tells = |section: &Section| matches!(section, Section::Us(us) if us.gpc == Some(true));
    let told = gpp.sections.iter().any(|(id, it)| applicable.includes(*id) && tells(it));
    assert_eq!(answers.under_gpc, told);
});
