//! Outcomes that are decided at the edge, counted per site and hour.

use cairn_model::{Outcome, SiteId};
use rusqlite::params;

use crate::{Catalog, CatalogError};

/// Hits of one site that ended with one outcome, in one hour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EdgeOutcome {
    /// The site; 0 where the hit named none that is known.
    pub site_id: SiteId,
    /// Start of the hour, Unix milliseconds.
    pub hour_ms: i64,
    /// The outcome.
    pub outcome: Outcome,
    /// How many more.
    pub count: u64,
}

impl Catalog {
    /// Adds counts, all or none; those of a removed site are left out.
    pub fn add_outcomes(&self, counts: &[EdgeOutcome]) -> Result<(), CatalogError> {
        if counts.is_empty() {
            return Ok(());
        }
        let doing = "counts outcomes";
        self.connections.write(doing, |transaction| {
            let mut statement = transaction
                .prepare_cached(
                    "INSERT INTO edge_outcomes (site_id, hour_ms, outcome, count) SELECT ?1, ?2, ?3, ?4
                     WHERE NOT EXISTS (SELECT 1 FROM removed_sites WHERE site_id = ?1)
                     ON CONFLICT DO UPDATE SET count = count + excluded.count",
                )
                .map_err(CatalogError::during(doing))?;
            for entry in counts {
                let count = i64::try_from(entry.count).unwrap_or(i64::MAX);
                statement
                    .execute(params![entry.site_id.0, entry.hour_ms, entry.outcome.name(), count])
                    .map_err(CatalogError::during(doing))?;
            }
            Ok(())
        })
    }

    /// Outcomes of a site since an instant (whole hours), summed. Site 0: hits that named no known site.
    pub fn outcomes_since(
        &self,
        site_id: SiteId,
        since_ms: i64,
    ) -> Result<Vec<(Outcome, u64)>, CatalogError> {
        let named = self.connections.read("sums outcomes", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT outcome, sum(count) FROM edge_outcomes
                 WHERE site_id = ?1 AND hour_ms >= ?2 GROUP BY outcome",
            )?;
            statement
                .query_map(params![site_id.0, since_ms], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        named
            .into_iter()
            .map(|(name, count)| {
                let outcome = Outcome::from_name(&name)
                    .ok_or(CatalogError::Corrupt { what: "outcome's name" })?;
                Ok((outcome, u64::try_from(count).unwrap_or(0)))
            })
            .collect()
    }
}
