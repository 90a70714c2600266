//! Removed sites: gone from the catalog at once, and on record until the rest of them is gone too.
//!
//! Guarantees: the transaction that removes a site records that it was removed; a number on that record is not given out
//! again. The catalog does not know store and log: who cleans them says when the record may go.

use std::collections::HashSet;
use std::sync::PoisonError;

use cairn_model::SiteId;
use rusqlite::{Connection, params};

use crate::sites::require_room;
use crate::{Catalog, CatalogError, REMOVED_SITES_MAX};

/// A removed site.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SiteRemoved {
    /// Its number.
    pub site_id: SiteId,
    /// When it was added, Unix milliseconds.
    pub created_at_ms: i64,
    /// When it was removed.
    pub removed_at_ms: i64,
}

impl Catalog {
    /// Removes a site with its pixels, goals, funnels, people, receipts, opt-outs and outcomes, and records that store and log must follow.
    /// False if there is none with this number.
    pub fn delete_site(&self, id: SiteId, now_ms: i64) -> Result<bool, CatalogError> {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let removed = self.connections.write("removes a site", |transaction| {
            let doing = || CatalogError::during("removes a site");
            let count = "SELECT count(*) FROM removed_sites";
            require_room(transaction, count, "sites being removed", REMOVED_SITES_MAX)?;
            transaction
                .execute("DELETE FROM edge_outcomes WHERE site_id = ?1", [id.0])
                .map_err(doing())?;
            transaction
                .execute("DELETE FROM retention_runs WHERE site_id = ?1", [id.0])
                .map_err(doing())?;
            // Before it goes: when it was added tells it from another site of its number.
            transaction
                .execute(
                    "INSERT INTO removed_sites (site_id, removed_at_ms, created_at_ms)
                     SELECT id, ?2, created_at_ms FROM sites WHERE id = ?1",
                    params![id.0, now_ms],
                )
                .map_err(doing())?;
            transaction.execute("DELETE FROM sites WHERE id = ?1", [id.0]).map_err(doing())
        })?;
        heads.forget(id);
        if let Err(error) = heads.save() {
            tracing::warn!(%error, "the end of a removed site's receipts is still kept");
        }
        drop(heads);
        self.note_site_removed(id);
        self.rebuild_directory()?;
        // The site is gone either way: who completes the removal empties the journal again.
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the journal still holds what was removed");
        }
        Ok(removed > 0)
    }

    /// Sites whose removal is on record.
    pub fn sites_removed(&self) -> Result<Vec<SiteRemoved>, CatalogError> {
        self.connections.read("lists removed sites", |connection| {
            let sql = "SELECT site_id, created_at_ms, removed_at_ms FROM removed_sites";
            let row = |row: &rusqlite::Row<'_>| {
                let (site_id, created_at_ms) = (SiteId(row.get(0)?), row.get(1)?);
                Ok(SiteRemoved { site_id, created_at_ms, removed_at_ms: row.get(2)? })
            };
            connection.prepare_cached(sql)?.query_map([], row)?.collect()
        })
    }

    /// Forgets that a site was removed: nothing of it is left anywhere, and nothing more can come.
    pub fn forget_removed_site(&self, id: SiteId) -> Result<(), CatalogError> {
        self.connections.write("completes a removal", |transaction| {
            transaction
                .execute("DELETE FROM removed_sites WHERE site_id = ?1", [id.0])
                .map_err(CatalogError::during("completes a removal"))
        })?;
        self.rebuild_directory()
    }
}

pub(crate) fn read_removed(connection: &Connection) -> rusqlite::Result<HashSet<SiteId>> {
    let mut statement = connection.prepare_cached("SELECT site_id FROM removed_sites")?;
    statement.query_map([], |row| Ok(SiteId(row.get(0)?)))?.collect()
}
