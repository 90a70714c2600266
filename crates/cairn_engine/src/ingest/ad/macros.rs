//! Macros that an ad server should have filled and did not: they say nothing (docs/ads.md).

use crate::ingest::text::percent_decoded;

/// How often a macro may have been percent-encoded on its way.
const ENCODINGS_MAX: usize = 3;
/// Pairs that a macro's name stands between.
const PAIRS: [(&str, &str); 7] =
    [("%%", "%%"), ("${", "}"), ("{{", "}}"), ("{", "}"), ("[", "]"), ("__", "__"), ("%", "%")];
/// Macros that cannot stand inside of a value unless nobody filled them.
const PAIRS_INSIDE: [(&str, &str); 3] = [("%%", "%%"), ("${", "}"), ("{{", "}}")];

/// Whether a parameter's value, as it stands in the address, is empty or holds an unfilled macro.
pub fn is_missing(raw: &str) -> bool {
    if raw.is_empty() || is_macro(raw) {
        return true;
    }
    let mut text = std::borrow::Cow::Borrowed(raw);
    for _ in 0..ENCODINGS_MAX {
        let Some(decoded) = percent_decoded(&text) else { return false };
        if *decoded == *text {
            return false;
        }
        if decoded.is_empty() || is_macro(&decoded) {
            return true;
        }
        text = std::borrow::Cow::Owned(decoded.into_owned());
    }
    false
}

fn is_macro(text: &str) -> bool {
    let whole = |(open, close): &(&str, &str)| {
        let rest = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        rest.is_some_and(is_name)
    };
    let inside = |(open, close): &(&str, &str)| {
        let after = text.split_once(open).map(|(_, after)| after);
        after.and_then(|after| after.split_once(close)).is_some_and(|(name, _)| is_name(name))
    };
    // Campaign Manager's: `%n`, `%c`, `%epid!`.
    let is_short = matches!(text, "%n" | "%c" | "%u")
        || text.strip_prefix("%e").and_then(|rest| rest.strip_suffix('!')).is_some_and(is_name);
    PAIRS.iter().any(whole) || PAIRS_INSIDE.iter().any(inside) || is_short
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    !name.is_empty() && name.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unfilled_macros_are_missing() {
        for raw in [
            "",
            "%%CACHEBUSTER%%",
            "%%PATTERN:key%%",
            "%25%25CACHEBUSTER%25%25",
            "${GDPR_CONSENT_755}",
            "%24%7BGDPR%7D",
            "%2524%257BGDPR%257D",
            "{CACHEBUSTER}",
            "%7BCACHEBUSTER%7D",
            "[timestamp]",
            "%5BCLICK_URL%5D",
            "__CALLBACK_PARAM__",
            "{{campaign.id}}",
            "%7B%7Bcampaign.id%7D%7D",
            "{keyword:default}",
            "%RANDOM%",
            "%n",
            "%epid!",
            "%ecid!",
            "https://a.example/${SITE}",
        ] {
            assert!(is_missing(raw), "{raw}");
        }
    }

    #[test]
    fn values_are_not() {
        for raw in [
            "1",
            "4294967295",
            "spring_sale",
            "__x",
            "{}",
            "[a b]",
            "50%",
            "100%25",
            "%25",
            "a{b}c",
            "%C3%BC",
            "%FF",
            "{\"a\":1}",
        ] {
            assert!(!is_missing(raw), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn any_name_in_any_brackets_is_missing(
            name in "[A-Za-z0-9_.:-]{1,20}", pair in 0..PAIRS.len(), encoded in 0..3_u8,
        ) {
            let (open, close) = PAIRS[pair];
            let mut text = format!("{open}{name}{close}");
            for _ in 0..encoded {
                text = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            }
            prop_assert!(is_missing(&text), "{}", text);
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}", tail in "[%{}$_\\[\\]a-f0-9]{0,40}") {
            let _ = is_missing(&text);
            let _ = is_missing(&tail);
        }
    }
}
