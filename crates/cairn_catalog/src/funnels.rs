//! Saved funnels: steps that are asked about again and again.

use cairn_model::SiteId;
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::error::is_unique_violation;
use crate::goals::NewGoal;
use crate::sites::{read_json, require_room};
use crate::{Catalog, CatalogError, FUNNELS_PER_SITE_MAX};

/// A step of a funnel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunnelStep {
    /// The goal of this number.
    Goal(i64),
    /// A condition of its own.
    Condition(Box<NewGoal>),
}

/// A funnel to be saved; checked by the caller.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NewFunnel {
    /// Name shown, unique on the site.
    pub name: String,
    /// Its steps.
    pub steps: Vec<FunnelStep>,
    /// `ordered`, `any` or `strict`.
    pub order: String,
    /// Minutes from its first event to its last; `None`: within the visit.
    pub window_minutes: Option<i64>,
}

/// A saved funnel.
#[derive(Clone, PartialEq, Debug)]
pub struct Funnel {
    /// Its number.
    pub id: i64,
    /// What it asks.
    pub definition: NewFunnel,
    /// When it was saved, Unix milliseconds.
    pub created_at_ms: i64,
}

const COLUMNS: &str = "SELECT id, definition, created_at_ms FROM funnels WHERE site_id = ?1";

impl Catalog {
    /// Saves a funnel.
    pub fn add_funnel(
        &self,
        site_id: SiteId,
        new: NewFunnel,
        now_ms: i64,
    ) -> Result<Funnel, CatalogError> {
        let definition = serde_json::to_string(&new).unwrap_or_default();
        let id = self.connections.write("saves a funnel", |transaction| {
            let count = format!("SELECT count(*) FROM funnels WHERE site_id = {site_id}");
            require_room(transaction, &count, "funnels of a site", FUNNELS_PER_SITE_MAX)?;
            let inserted = transaction.execute(
                "INSERT INTO funnels (site_id, name, definition, created_at_ms) VALUES (?1, ?2, ?3, ?4)",
                params![site_id.0, new.name, definition, now_ms],
            );
            named_once(inserted).map(|_| transaction.last_insert_rowid())
        })?;
        Ok(Funnel { id, definition: new, created_at_ms: now_ms })
    }

    /// Puts another definition in a funnel's place; `None`: the site has none with this number.
    pub fn change_funnel(
        &self,
        site_id: SiteId,
        id: i64,
        new: NewFunnel,
    ) -> Result<Option<Funnel>, CatalogError> {
        let definition = serde_json::to_string(&new).unwrap_or_default();
        let changed = self.connections.write("changes a funnel", |transaction| {
            named_once(transaction.execute(
                "UPDATE funnels SET name = ?3, definition = ?4 WHERE site_id = ?1 AND id = ?2",
                params![site_id.0, id, new.name, definition],
            ))
        })?;
        if changed == 0 { Ok(None) } else { self.funnel(site_id, id) }
    }

    /// A funnel of a site.
    pub fn funnel(&self, site_id: SiteId, id: i64) -> Result<Option<Funnel>, CatalogError> {
        self.connections.read("reads a funnel", |connection| {
            let mut statement = connection.prepare_cached(&format!("{COLUMNS} AND id = ?2"))?;
            statement.query_row(params![site_id.0, id], read).optional()
        })
    }

    /// The funnels of a site, by rising number.
    pub fn funnels(&self, site_id: SiteId) -> Result<Vec<Funnel>, CatalogError> {
        self.connections.read("lists funnels", |connection| {
            let mut statement = connection.prepare_cached(&format!("{COLUMNS} ORDER BY id"))?;
            statement.query_map([site_id.0], read)?.collect()
        })
    }

    /// Removes a funnel; false if the site has none with this number.
    pub fn delete_funnel(&self, site_id: SiteId, id: i64) -> Result<bool, CatalogError> {
        let doing = "removes a funnel";
        let removed = self.connections.write(doing, |transaction| {
            let sql = "DELETE FROM funnels WHERE site_id = ?1 AND id = ?2";
            transaction.execute(sql, params![site_id.0, id]).map_err(CatalogError::during(doing))
        })?;
        Ok(removed > 0)
    }
}

fn named_once(written: rusqlite::Result<usize>) -> Result<usize, CatalogError> {
    match written {
        Err(error) if is_unique_violation(&error) => {
            Err(CatalogError::Conflict { what: "a funnel with this name" })
        }
        other => other.map_err(CatalogError::during("saves a funnel")),
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Funnel> {
    Ok(Funnel { id: row.get(0)?, definition: read_json(row, 1)?, created_at_ms: row.get(2)? })
}
