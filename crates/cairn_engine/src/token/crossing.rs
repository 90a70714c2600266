//! What carries a visit from one of a site's domains to another: `cairn_link=…` on a link that somebody follows.
//!
//! Guarantees: sealed as every token, so the address shows nobody whose visit it is, and nobody makes one. It holds for one
//! host, for [`CROSSING_MS_MAX`], and for whoever comes first from the page that it was made for; a restart ends all that are
//! under way.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use cairn_model::SiteId;
use serde::{Deserialize, Serialize};

use super::{TokenKeys, TokenKind, TokenNotMade};
use crate::ingest::visitor::CookieId;

/// The parameter of the address that somebody arrives at.
pub const LINK_PARAMETER: &str = "cairn_link";
/// How long after it was made one is honoured: 2 minutes.
pub const CROSSING_MS_MAX: i64 = 2 * 60 * 1000;
/// Crossings that are remembered as used at once (about 40 bytes each); with so many, further ones join nobody.
const USED_MAX: usize = 65_536;

/// Whose visit goes where.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossingClaims {
    /// When the link was made, Unix milliseconds.
    pub made_at_ms: i64,
    /// 128 random bits: this link.
    pub crossing: [u8; 16],
    /// The browser's id, which the other domain's cookie is to hold.
    pub id: CookieId,
    /// The host of the page that it stands on.
    pub from: String,
    /// The host that it leads to.
    pub host: String,
}

/// Shows nothing, as other claims.
impl std::fmt::Debug for CrossingClaims {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CrossingClaims(hidden)")
    }
}

impl TokenKeys {
    /// A new token for a link to another domain of the site.
    pub fn seal_crossing(
        &self,
        site: SiteId,
        claims: &CrossingClaims,
    ) -> Result<String, TokenNotMade> {
        self.seal_any(TokenKind::Crossing, site, claims)
    }

    /// Reads one of this site's, whatever its age.
    pub fn open_crossing(&self, site: SiteId, text: &str) -> Option<CrossingClaims> {
        let (of_site, claims) = self.read::<CrossingClaims>(TokenKind::Crossing, text)?;
        (of_site == site).then_some(claims)
    }
}

/// Which crossings were used: each is the first one's who comes with it.
#[derive(Debug)]
pub struct Crossings {
    since_ms: i64,
    used: Mutex<HashMap<[u8; 16], i64>>,
}

impl Crossings {
    /// Knows nothing of crossings that were made before this time, and honours none of them.
    pub fn since(now_ms: i64) -> Self {
        Crossings { since_ms: now_ms, used: Mutex::default() }
    }

    /// Uses one up; false: it is too old, not yet made, or was used already.
    pub fn arrives(&self, claims: &CrossingClaims, now_ms: i64) -> bool {
        let is_alive = |made_at_ms: i64| (0..CROSSING_MS_MAX).contains(&(now_ms - made_at_ms));
        if claims.made_at_ms < self.since_ms || !is_alive(claims.made_at_ms) {
            return false;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= USED_MAX {
            used.retain(|_, made_at_ms| is_alive(*made_at_ms));
        }
        used.len() < USED_MAX && used.insert(claims.crossing, claims.made_at_ms).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_341_600_000;

    fn claims(crossing: u32, made_at_ms: i64) -> CrossingClaims {
        let mut number = [0; 16];
        number[..4].copy_from_slice(&crossing.to_le_bytes());
        CrossingClaims {
            made_at_ms,
            crossing: number,
            id: [7; 16],
            from: "one.example".into(),
            host: "two.example".into(),
        }
    }

    #[test]
    fn each_is_the_first_ones_for_two_minutes() {
        let crossings = Crossings::since(NOW_MS);
        let arrives =
            |number, made_at_ms, now_ms| crossings.arrives(&claims(number, made_at_ms), now_ms);
        assert!(arrives(1, NOW_MS, NOW_MS + CROSSING_MS_MAX - 1));
        assert!(!arrives(1, NOW_MS, NOW_MS + CROSSING_MS_MAX - 1), "the second");
        assert!(!arrives(2, NOW_MS, NOW_MS + CROSSING_MS_MAX));
        assert!(!arrives(3, NOW_MS + 1, NOW_MS), "made in the future");
        assert!(
            !arrives(4, NOW_MS - 1, NOW_MS),
            "made before a restart, which may have seen it used"
        );
    }

    #[test]
    fn too_many_join_nobody_until_the_first_are_over() {
        let crossings = Crossings::since(NOW_MS);
        let most = u32::try_from(USED_MAX).unwrap();
        assert!((0..most).all(|number| crossings.arrives(&claims(number, NOW_MS), NOW_MS)));
        assert!(!crossings.arrives(&claims(most, NOW_MS), NOW_MS));
        let later = NOW_MS + CROSSING_MS_MAX;
        assert!(crossings.arrives(&claims(most, later), later));
    }
}
