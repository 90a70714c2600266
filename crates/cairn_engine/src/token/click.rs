//! What a click gives its landing page: `cairn_click=…`, or a parameter of the link's own choosing.
//!
//! Guarantees: sealed as every token, so it shows nobody whose click it was or what was clicked, and nobody makes one.
//! Recognising a browser by it is limited to [`TIE_MS_MAX`]; naming the campaign of a conversion to [`CLICK_ID_MS_MAX`].

use cairn_model::{PixelId, SiteId, VisitorId};
use serde::{Deserialize, Serialize};

use super::{TokenKeys, TokenKind, TokenNotMade};

/// The parameter that the site's own pages are given.
pub const CLICK_PARAMETER: &str = "cairn_click";
/// How long after a click its landing is recognised: 30 minutes.
pub const TIE_MS_MAX: i64 = 30 * 60 * 1000;
/// How long a conversion may name its click: 90 days.
pub const CLICK_ID_MS_MAX: i64 = 90 * 24 * 60 * 60 * 1000;

/// What was clicked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum ClickKind {
    /// A link of a mail.
    #[default]
    Mail,
    /// A link that stands anywhere else.
    Link,
    /// An advertisement.
    Ad,
}

/// A click that was counted, as its landing page and its conversions know it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClickClaims {
    /// When, Unix milliseconds.
    pub clicked_at_ms: i64,
    /// 128 random bits: this click.
    pub click: [u8; 16],
    /// What was clicked.
    pub kind: ClickKind,
    /// It was counted, and not a repetition.
    pub counted: bool,
    /// The verdict was `human`; otherwise `unknown`.
    pub was_human: bool,
    /// The pixel of the click; 0 = none.
    pub pixel_id: PixelId,
    /// Keyed hash of the recipient who agreed to be known, little-endian; zeros = nobody in particular.
    pub recipient: [u8; 8],
    /// The browser's visitor where it was known by permission, little-endian; zeros = not.
    pub visitor: [u8; 8],
    /// Place of the link in its mail; 0 elsewhere.
    pub link_number: u16,
    /// `utm_source`, `_medium`, `_campaign`, `_content`, `_term`.
    pub utm: [String; 5],
    /// Template of a mail.
    pub template: String,
    /// Creative of an advertisement.
    pub creative: String,
    /// Its placement.
    pub placement: String,
}

impl ClickClaims {
    /// Keyed hash of the recipient's user id; 0 = nobody in particular.
    pub fn user_key(&self) -> u64 {
        u64::from_le_bytes(self.recipient)
    }

    /// The browser's visitor; 0 = not known.
    pub fn visitor_id(&self) -> VisitorId {
        VisitorId(u64::from_le_bytes(self.visitor))
    }

    /// Whether a landing at this time is this click's.
    pub fn may_land(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.clicked_at_ms) < TIE_MS_MAX
    }

    /// Whether a conversion at this time may still name it.
    pub fn may_convert(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.clicked_at_ms) < CLICK_ID_MS_MAX
    }
}

/// Shows nothing, as other claims.
impl std::fmt::Debug for ClickClaims {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ClickClaims(hidden)")
    }
}

impl TokenKeys {
    /// A new token for a landing page.
    pub fn seal_click(&self, site: SiteId, claims: &ClickClaims) -> Result<String, TokenNotMade> {
        self.seal_any(TokenKind::Landing, site, claims)
    }

    /// Reads one of this site's, whatever its age.
    pub fn open_click(&self, site: SiteId, text: &str) -> Option<ClickClaims> {
        let (of_site, claims) = self.read::<ClickClaims>(TokenKind::Landing, text)?;
        (of_site == site).then_some(claims)
    }
}

/// The address with one parameter more, before its fragment; what is there stays byte for byte.
pub fn with_parameter(target: &str, name: &str, value: &str) -> String {
    let (address, fragment) = match target.find('#') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let separator = match address.find('?') {
        None => "?",
        Some(at) if at + 1 == address.len() || address.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{address}{separator}{name}={value}{fragment}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_goes_behind_the_query_and_before_the_fragment() {
        for (target, wanted) in [
            ("https://a.example/", "https://a.example/?c=T"),
            ("https://a.example/p?a=1#x?y", "https://a.example/p?a=1&c=T#x?y"),
            ("https://a.example/p?#x", "https://a.example/p?c=T#x"),
            ("https://a.example/p?a&", "https://a.example/p?a&c=T"),
            ("https://a.example/#/route?b=1", "https://a.example/?c=T#/route?b=1"),
        ] {
            assert_eq!(with_parameter(target, "c", "T"), wanted);
        }
    }
}
