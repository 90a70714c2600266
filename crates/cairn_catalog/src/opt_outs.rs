//! Opt-outs as a whole, for the ledger beside the backups and back from it.
//!
//! Purpose: whoever opted out stays opted out when an older catalog takes the place of this one. Keyed numbers only; kept as
//! long as the site.

use cairn_model::SiteId;

use crate::sites::insert_opt_outs;
use crate::{Catalog, CatalogError};

/// One opt-out on record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OptOut {
    /// Of which site nothing is kept.
    pub site_id: SiteId,
    /// The keyed number of a visitor or user.
    pub identifier: u64,
    /// Since when, Unix milliseconds.
    pub recorded_at_ms: i64,
}

impl Catalog {
    /// Every opt-out of every site, by site and number as the table has them.
    pub fn opt_outs(&self) -> Result<Vec<OptOut>, CatalogError> {
        self.connections.read("lists opt-outs", |connection| {
            let row = |row: &rusqlite::Row<'_>| {
                Ok(OptOut {
                    site_id: SiteId(row.get(0)?),
                    identifier: row.get::<_, i64>(1)?.cast_unsigned(),
                    recorded_at_ms: row.get(2)?,
                })
            };
            connection
                .prepare_cached("SELECT site_id, identifier_hash, recorded_at_ms FROM opt_outs")?
                .query_map([], row)?
                .collect()
        })
    }

    /// Adds opt-outs that another catalog had, in one transaction. Returns how many are new. A site that this catalog has not,
    /// or that was added later than the opt-out, is another one. No bound is looked at: each was within it before.
    pub fn take_opt_outs(&self, opt_outs: &[OptOut]) -> Result<usize, CatalogError> {
        let directory = self.directory().current();
        let is_of_ours = |opt_out: &&OptOut| {
            let entry = directory.by_id(opt_out.site_id);
            entry.is_some_and(|entry| entry.site.created_at_ms <= opt_out.recorded_at_ms)
        };
        let doing = "takes opt-outs over";
        let taken = self.connections.write(doing, |transaction| {
            let mut taken = 0;
            for OptOut { site_id, identifier, recorded_at_ms } in
                opt_outs.iter().filter(is_of_ours).copied()
            {
                let added = insert_opt_outs(transaction, site_id, [identifier], recorded_at_ms);
                taken += added.map_err(CatalogError::during(doing))?;
            }
            Ok(taken)
        })?;
        for opt_out in opt_outs.iter().filter(is_of_ours) {
            self.note_opted_out(opt_out.site_id, [opt_out.identifier]);
        }
        Ok(taken)
    }
}
