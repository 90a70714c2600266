//! Annotations: what an owner notes of a day, to be seen on charts.

use cairn_model::SiteId;
use rusqlite::{Row, params};

use crate::sites::require_room;
use crate::{ANNOTATIONS_PER_SITE_MAX, Catalog, CatalogError};

/// A note about a day of a site.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Annotation {
    /// Its number.
    pub id: i64,
    /// The day in the site's zone, `YYYY-MM-DD`.
    pub date: String,
    /// What its owner wrote.
    pub note: String,
    /// Creation, Unix milliseconds.
    pub created_at_ms: i64,
}

impl Catalog {
    /// Notes something of a day.
    pub fn annotate(
        &self,
        site_id: SiteId,
        date: &str,
        note: &str,
        now_ms: i64,
    ) -> Result<Annotation, CatalogError> {
        let doing = "annotates a day";
        let id = self.connections.write(doing, |transaction| {
            let count = format!("SELECT count(*) FROM annotations WHERE site_id = {site_id}");
            require_room(transaction, &count, "annotations of a site", ANNOTATIONS_PER_SITE_MAX)?;
            let sql =
                "INSERT INTO annotations (site_id, date, note, created_at_ms) VALUES (?1, ?2, ?3, ?4)";
            transaction
                .execute(sql, params![site_id.0, date, note, now_ms])
                .map_err(CatalogError::during(doing))?;
            Ok(transaction.last_insert_rowid())
        })?;
        let (date, note) = (date.to_owned(), note.to_owned());
        Ok(Annotation { id, date, note, created_at_ms: now_ms })
    }

    /// The annotations of a site, by rising number.
    pub fn annotations(&self, site_id: SiteId) -> Result<Vec<Annotation>, CatalogError> {
        let sql =
            "SELECT id, date, note, created_at_ms FROM annotations WHERE site_id = ?1 ORDER BY id";
        self.connections.read("lists annotations", |connection| {
            connection.prepare_cached(sql)?.query_map([site_id.0], read)?.collect()
        })
    }

    /// Gives an annotation another day and text; false if the site has none with its number.
    pub fn change_annotation(
        &self,
        site_id: SiteId,
        annotation: &Annotation,
    ) -> Result<bool, CatalogError> {
        let doing = "changes an annotation";
        let Annotation { id, date, note, .. } = annotation;
        let changed = self.connections.write(doing, |transaction| {
            let sql = "UPDATE annotations SET date = ?3, note = ?4 WHERE site_id = ?1 AND id = ?2";
            transaction
                .execute(sql, params![site_id.0, id, date, note])
                .map_err(CatalogError::during(doing))
        })?;
        Ok(changed > 0)
    }

    /// Removes an annotation; false if the site has none with this number.
    pub fn delete_annotation(&self, site_id: SiteId, id: i64) -> Result<bool, CatalogError> {
        let sql = "DELETE FROM annotations WHERE site_id = ?1 AND id = ?2";
        self.delete_of_site(sql, "removes an annotation", site_id, id)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Annotation> {
    Ok(Annotation {
        id: row.get(0)?,
        date: row.get(1)?,
        note: row.get(2)?,
        created_at_ms: row.get(3)?,
    })
}
