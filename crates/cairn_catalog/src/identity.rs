//! What a site's identity secret is made from.
//!
//! Guarantees: the secret itself is not stored. The random number here makes it together with the master secret; a new
//! number makes another secret, and what the old one signed is worth nothing from that moment.

use cairn_model::SiteId;
use rusqlite::{OptionalExtension, params};

use crate::{Catalog, CatalogError};

/// The random half of a site's identity secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdentitySeed {
    /// 256 random bits.
    pub seed: [u8; 32],
    /// When it was drawn, Unix milliseconds.
    pub made_at_ms: i64,
}

/// Shows nothing of the random number.
impl std::fmt::Debug for IdentitySeed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("IdentitySeed").field("made_at_ms", &self.made_at_ms).finish()
    }
}

impl Catalog {
    /// Draws the number anew.
    pub fn renew_identity_seed(
        &self,
        site: SiteId,
        now_ms: i64,
    ) -> Result<IdentitySeed, CatalogError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| CatalogError::Random)?;
        self.connections.write("makes an identity secret", |transaction| {
            transaction
                .execute(
                    "INSERT INTO identity_seeds (site_id, seed, made_at_ms) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET seed = excluded.seed,
                        made_at_ms = excluded.made_at_ms",
                    params![site.0, seed, now_ms],
                )
                .map_err(CatalogError::during("makes an identity secret"))?;
            Ok(IdentitySeed { seed, made_at_ms: now_ms })
        })
    }

    /// The number; `None`: the site has no identity secret.
    pub fn identity_seed(&self, site: SiteId) -> Result<Option<IdentitySeed>, CatalogError> {
        self.connections.read("reads an identity secret", |connection| {
            connection
                .prepare_cached("SELECT seed, made_at_ms FROM identity_seeds WHERE site_id = ?1")?
                .query_row([site.0], |row| {
                    Ok(IdentitySeed { seed: row.get(0)?, made_at_ms: row.get(1)? })
                })
                .optional()
        })
    }

    /// Removes it: nothing is signed for this site any more. False: there was none.
    pub fn remove_identity_seed(&self, site: SiteId) -> Result<bool, CatalogError> {
        self.connections.write("removes an identity secret", |transaction| {
            let removed = transaction
                .execute("DELETE FROM identity_seeds WHERE site_id = ?1", [site.0])
                .map_err(CatalogError::during("removes an identity secret"))?;
            Ok(removed > 0)
        })
    }
}
