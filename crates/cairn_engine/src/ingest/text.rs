//! Text as senders write it: percent-decoding, limits, white space.
//!
//! Guarantees: nothing is cut inside a character; ids are never cut. Borrowed as long as possible.

use std::borrow::Cow;

use cairn_model::limits::{ID_SIZE_BYTES_MAX, TEXT_SIZE_BYTES_MAX};

use memchr::memchr2;

use super::rejection::Rejection;

/// The longest beginning of `text` that has at most `size_bytes_max` bytes and ends with a character.
pub fn cut(text: &str, size_bytes_max: usize) -> &str {
    if text.len() <= size_bytes_max {
        return text;
    }
    let mut end = size_bytes_max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A text cut to its limit; `truncated` is set when something was lost.
pub fn bounded<'a>(text: Cow<'a, str>, truncated: &mut bool) -> Cow<'a, str> {
    bounded_to(text, TEXT_SIZE_BYTES_MAX, truncated)
}

/// The same with a limit of its own.
pub fn bounded_to<'a>(
    text: Cow<'a, str>,
    size_bytes_max: usize,
    truncated: &mut bool,
) -> Cow<'a, str> {
    if text.len() <= size_bytes_max {
        return text;
    }
    *truncated = true;
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text, size_bytes_max)),
        Cow::Owned(mut text) => {
            text.truncate(cut(&text, size_bytes_max).len());
            Cow::Owned(text)
        }
    }
}

/// An id: whole or not at all.
pub fn id<'a>(field: &'static str, text: Cow<'a, str>) -> Result<Cow<'a, str>, Rejection> {
    if text.len() > ID_SIZE_BYTES_MAX {
        return Err(Rejection::too_large(field, "longer than 256 bytes"));
    }
    Ok(text)
}

/// Parts of a query at least this long may have lost their end: the listener cuts them at 16 KiB.
const CUT_SIZE_BYTES: usize = 12 * 1024;

/// Decodes one `application/x-www-form-urlencoded` part. A `%` without two hexadecimal digits stands
/// for itself, as browsers have it. `None` if what comes out is not UTF-8.
pub fn percent_decoded(part: &str) -> Option<Cow<'_, str>> {
    let bytes = part.as_bytes();
    let next = |from: usize| memchr2(b'%', b'+', &bytes[from..]).map(|at| from + at);
    let Some(mut coded) = next(0) else {
        return Some(Cow::Borrowed(part));
    };
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    loop {
        decoded.extend_from_slice(&bytes[at..coded]);
        at = coded + 1;
        match hex_pair(bytes, at) {
            _ if bytes[coded] == b'+' => decoded.push(b' '),
            Some(value) => {
                decoded.push(value);
                at += 2;
            }
            None => decoded.push(b'%'),
        }
        coded = match next(at) {
            Some(coded) => coded,
            None => break,
        };
    }
    decoded.extend_from_slice(&bytes[at..]);
    match String::from_utf8(decoded) {
        Ok(text) => Some(Cow::Owned(text)),
        Err(fault) => {
            // A part this long may have been cut on its way in, within a character.
            let end = fault.utf8_error().valid_up_to();
            let was_cut = fault.utf8_error().error_len().is_none() && part.len() >= CUT_SIZE_BYTES;
            let mut bytes = fault.into_bytes();
            bytes.truncate(end);
            let text = if was_cut { String::from_utf8(bytes).ok() } else { None };
            text.map(Cow::Owned)
        }
    }
}

fn hex_pair(bytes: &[u8], at: usize) -> Option<u8> {
    let high = hex_digit(*bytes.get(at)?)?;
    let low = hex_digit(*bytes.get(at + 1)?)?;
    Some(high << 4 | low)
}

/// The value of one hexadecimal digit.
pub fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// `WIDTHxHEIGHT` in whole pixels, or nothing: a decoration is never worth an event.
pub fn screen(text: &str) -> &str {
    let plausible = |side: &str| {
        (1..=5).contains(&side.len()) && side.bytes().all(|byte| byte.is_ascii_digit())
    };
    match text.split_once('x') {
        Some((width, height)) if plausible(width) && plausible(height) => text,
        _ => "",
    }
}

/// A BCP 47 tag by its look, or nothing.
pub fn language(text: &str) -> &str {
    let tag = text.trim();
    let plausible = (2..=35).contains(&tag.len())
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if plausible { tag } else { "" }
}

/// The first tag of an `Accept-Language` header.
pub fn first_language(header: &str) -> &str {
    language(header.split([',', ';']).next().unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_characters_and_says_so() {
        let mut truncated = false;
        let text = "ä".repeat(1_025);
        assert_eq!(bounded(Cow::Borrowed(&text), &mut truncated).len(), 2_048);
        assert!(truncated);
        let odd = format!("a{}", "ä".repeat(1_024));
        assert_eq!(bounded(Cow::Owned(odd), &mut truncated).len(), 2_047);
        truncated = false;
        let whole = "x".repeat(2_048);
        assert_eq!(bounded(Cow::Borrowed(&whole), &mut truncated).len(), 2_048);
        assert!(!truncated);
    }

    #[test]
    fn decodes_like_a_browser() {
        for (given, wanted) in [
            ("plain", Some("plain")),
            ("a+b%20c", Some("a b c")),
            ("%C3%bc", Some("ü")),
            ("100%", Some("100%")),
            ("%zz%4", Some("%zz%4")),
            ("%%41", Some("%A")),
            ("%FF", None),
            ("%C3", None),
        ] {
            assert_eq!(percent_decoded(given).as_deref(), wanted, "{given}");
        }
    }

    #[test]
    fn decorations_are_plausible_or_empty() {
        assert_eq!(screen("1440x900"), "1440x900");
        assert_eq!(screen("1440x"), "");
        assert_eq!(screen("1440x900x24"), "");
        assert_eq!(first_language("de-CH,de;q=0.9"), "de-CH");
        assert_eq!(first_language("*"), "");
        assert_eq!(language("<script>"), "");
    }
}
