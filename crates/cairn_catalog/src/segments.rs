//! Saved segments: filters of questions with a name and a number.

use cairn_model::SiteId;
use rusqlite::{Row, params};
use serde_json::Value;

use crate::error::is_unique_violation;
use crate::sites::{read_json, require_room};
use crate::{Catalog, CatalogError, SEGMENTS_PER_SITE_MAX};

/// A saved segment.
#[derive(Clone, PartialEq, Debug)]
pub struct Segment {
    /// Its number, by which questions name it.
    pub id: i64,
    /// Name shown, unique on the site.
    pub name: String,
    /// Its filters, in the language of questions; checked by the caller.
    pub filters: Vec<Value>,
    /// Creation, Unix milliseconds.
    pub created_at_ms: i64,
}

/// A name that is taken has its own error.
fn kept(changed: rusqlite::Result<usize>, doing: &'static str) -> Result<usize, CatalogError> {
    match changed {
        Err(error) if is_unique_violation(&error) => {
            Err(CatalogError::Conflict { what: "a segment with this name" })
        }
        other => other.map_err(CatalogError::during(doing)),
    }
}

fn written(filters: &[Value]) -> String {
    serde_json::to_string(filters).unwrap_or_default()
}

impl Catalog {
    /// Saves a segment.
    pub fn add_segment(
        &self,
        site_id: SiteId,
        name: &str,
        filters: &[Value],
        now_ms: i64,
    ) -> Result<Segment, CatalogError> {
        let doing = "saves a segment";
        let id = self.connections.write(doing, |transaction| {
            let count = format!("SELECT count(*) FROM segments WHERE site_id = {site_id}");
            require_room(transaction, &count, "segments of a site", SEGMENTS_PER_SITE_MAX)?;
            let inserted = transaction.execute(
                "INSERT INTO segments (site_id, name, filters, created_at_ms) VALUES (?1, ?2, ?3, ?4)",
                params![site_id.0, name, written(filters), now_ms],
            );
            kept(inserted, doing)?;
            Ok(transaction.last_insert_rowid())
        })?;
        let (name, filters) = (name.to_owned(), filters.to_vec());
        Ok(Segment { id, name, filters, created_at_ms: now_ms })
    }

    /// The segments of a site, by rising number.
    pub fn segments(&self, site_id: SiteId) -> Result<Vec<Segment>, CatalogError> {
        self.connections.read("lists segments", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, name, filters, created_at_ms FROM segments WHERE site_id = ?1 ORDER BY id",
            )?;
            statement.query_map([site_id.0], read)?.collect()
        })
    }

    /// Gives a segment this name and these filters; false if the site has none with its number.
    pub fn change_segment(&self, site_id: SiteId, segment: &Segment) -> Result<bool, CatalogError> {
        let doing = "changes a segment";
        let changed = self.connections.write(doing, |transaction| {
            let updated = transaction.execute(
                "UPDATE segments SET name = ?3, filters = ?4 WHERE site_id = ?1 AND id = ?2",
                params![site_id.0, segment.id, segment.name, written(&segment.filters)],
            );
            kept(updated, doing)
        })?;
        Ok(changed > 0)
    }

    /// Removes a segment; false if the site has none with this number.
    pub fn delete_segment(&self, site_id: SiteId, id: i64) -> Result<bool, CatalogError> {
        let sql = "DELETE FROM segments WHERE site_id = ?1 AND id = ?2";
        self.delete_of_site(sql, "removes a segment", site_id, id)
    }

    /// Removes one of a site's things by its number; false if there is none.
    pub(crate) fn delete_of_site(
        &self,
        sql: &'static str,
        doing: &'static str,
        site_id: SiteId,
        id: i64,
    ) -> Result<bool, CatalogError> {
        let removed = self.connections.write(doing, |transaction| {
            transaction.execute(sql, params![site_id.0, id]).map_err(CatalogError::during(doing))
        })?;
        Ok(removed > 0)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Segment> {
    Ok(Segment {
        id: row.get(0)?,
        name: row.get(1)?,
        filters: read_json(row, 2)?,
        created_at_ms: row.get(3)?,
    })
}
