//! The query behind an advertisement's address: what ad servers' macros fill in.
//!
//! Guarantees: it describes and decides nothing; an unfilled macro, a value that cannot be read and any parameter that is
//! not known say nothing. What the token says already is not changed by it.

use std::borrow::Cow;

use super::macros::is_missing;
use crate::ingest::consent::{SentConsent, Strings};
use crate::ingest::money::check_amount;
use crate::ingest::page::origin_host;
use crate::ingest::text::{cut, percent_decoded};

/// Longest value of a parameter that is kept.
const VALUE_SIZE_BYTES_MAX: usize = 256;
/// Parameters of one address that are looked at.
const PARAMETERS_MAX: usize = 64;

/// What an address says besides its token. Texts that are missing are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdRequest<'a> {
    /// The random number against caches: with it, one impression is told from the next.
    pub cache_buster: Cow<'a, str>,
    /// The ad server's id of the impression.
    pub impression_id: Cow<'a, str>,
    /// The creative.
    pub creative: Cow<'a, str>,
    /// The placement.
    pub placement: Cow<'a, str>,
    /// Where it was shown: a host or a name.
    pub site: Cow<'a, str>,
    /// What was paid, as a decimal number.
    pub price: Cow<'a, str>,
    /// What the publisher's page says about permission.
    pub consent: SentConsent,
    /// It reports that the advertisement was in view.
    pub is_view: bool,
}

impl<'a> AdRequest<'a> {
    /// Reads a query; there is none that it refuses.
    pub fn read(query: &'a str) -> Self {
        let mut request = AdRequest::default();
        let mut strings = Strings::default();
        let pairs = query.split('&').take(PARAMETERS_MAX).filter_map(|pair| pair.split_once('='));
        for (name, raw) in pairs {
            let Some(text) = text(raw) else { continue };
            if strings.set(name, text.clone()) {
                continue;
            }
            let value = bounded(text);
            let place = match name {
                "cb" | "ord" | "rnd" | "cachebuster" | "timestamp" => &mut request.cache_buster,
                "impid" | "auction_id" => &mut request.impression_id,
                "creative" => &mut request.creative,
                "placement" => &mut request.placement,
                "site" => &mut request.site,
                "price" => &mut request.price,
                "v" => {
                    request.is_view |= value == "1";
                    continue;
                }
                _ => continue,
            };
            if place.is_empty() {
                *place = value;
            }
        }
        request.consent = request.consent.with_strings(&strings);
        request.site = place_of(request.site);
        if check_amount("price", &request.price).is_err() {
            request.price = Cow::Borrowed("");
        }
        request
    }

    /// What tells this impression from others of the same sender; empty = nothing.
    pub fn impression(&self) -> &str {
        if self.impression_id.is_empty() { &self.cache_buster } else { &self.impression_id }
    }
}

/// A value that somebody filled in; `None` = it says nothing.
fn text(raw: &str) -> Option<Cow<'_, str>> {
    if is_missing(raw) {
        return None;
    }
    percent_decoded(raw).filter(|value| !value.chars().any(char::is_control))
}

fn bounded(value: Cow<'_, str>) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(value) => Cow::Borrowed(cut(value, VALUE_SIZE_BYTES_MAX)),
        Cow::Owned(value) => Cow::Owned(cut(&value, VALUE_SIZE_BYTES_MAX).to_owned()),
    }
}

/// The host of an address: its path and query may be about a person. A name stays one.
fn place_of(site: Cow<'_, str>) -> Cow<'_, str> {
    if !site.contains([':', '/', '?', '#', '@']) {
        return site;
    }
    origin_host(&site).map_or(Cow::Borrowed(""), |host| Cow::Owned(host.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_model::Choice;
    use proptest::prelude::*;

    #[test]
    fn what_macros_filled_is_read() {
        let request = AdRequest::read(
            "cb=123&ord=9&impid=a-1&creative=c%207&placement=top&price=1.25&v=1&\
             site=https%3A%2F%2Fnews.example%2Fp%3Fuser%3Danna&own=x",
        );
        assert_eq!((&*request.cache_buster, request.impression()), ("123", "a-1"));
        assert_eq!((&*request.creative, &*request.placement), ("c 7", "top"));
        assert_eq!((&*request.site, &*request.price), ("news.example", "1.25"));
        assert!(request.is_view && request.consent == SentConsent::Nothing);
    }

    #[test]
    fn unfilled_macros_and_nonsense_say_nothing() {
        for query in [
            "cb=%%CACHEBUSTER%%&creative=${CREATIVE_ID}&placement=%epid!&site=%%SITE%%&price=[PRICE]",
            "gdpr=${GDPR}&gdpr_consent=${GDPR_CONSENT_0}&gpp=${GPP_STRING}&us_privacy={US_PRIVACY}",
            "creative=a%0D%0ASet-Cookie:x&placement=%00&site=anna@x.example&price=-1&gdpr=0&v=2",
            "creative=%FF&=&&&price=1e999&site=https:///",
        ] {
            assert_eq!(AdRequest::read(query), AdRequest::default(), "{query}");
        }
    }

    #[test]
    fn consent_strings_are_read() {
        let of = |query: &str| {
            let consent = AdRequest::read(query).consent;
            [0, 1].map(|place| consent.answer(place).map(|answer| answer.choice))
        };
        let (yes, no) = (Some(Choice::Granted), Some(Choice::Denied));
        let all = "CQgcD4AQgcD4AEsAHBENB4FsAP_gAEPgAAYgAKP__8AFH__-AAAA.IAKP__8A.YAAAAAAAAAAA";
        assert_eq!(of(&format!("gdpr=1&gdpr_consent={all}")), [yes, yes]);
        assert_eq!(of(&format!("gdpr_consent={all}&us_privacy=1YYN")), [yes, no]);
        assert_eq!(of("gpp=DBABBg~BVVVVUCA.YA&gpp_sid=8"), [None, no]);
        assert_eq!(of("gpp=DBABBg%7EBVVVVUCA.YA"), [None, no]);
        assert_eq!(
            of("gpp=DBABBg~BVVVVUCA.YA&gpp_sid=7"),
            [None, None],
            "California does not apply"
        );
        assert_eq!(of("us_privacy=1YYN"), [None, no]);
        for query in ["gdpr=1", "gdpr_consent=CPx", "gpp=DBABBg~BUoAAACA.QA&gpp_sid=x"] {
            assert_eq!(of(query), [no, no], "{query}");
        }
        for query in ["gdpr=0", "us_privacy=1---", "gpp_sid=7"] {
            assert_eq!(AdRequest::read(query).consent, SentConsent::Nothing, "{query}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_keeps_its_bounds(query in "[a-z=&%{}$\\[\\]0-9\\PC]{0,200}") {
            let request = AdRequest::read(&query);
            for text in [&request.creative, &request.placement, &request.site, &request.price] {
                prop_assert!(text.len() <= VALUE_SIZE_BYTES_MAX);
                prop_assert!(!text.chars().any(char::is_control));
            }
        }
    }
}
