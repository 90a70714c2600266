//! Digests: which reports are mailed by themselves, how often, and to whom.
//!
//! Guarantees: whoever ended a digest for himself gets none of it any more, also when its owner names him again.

use cairn_model::SiteId;
use cairn_model::digest::Every;
use rusqlite::{OptionalExtension, Row, params};

use crate::dispatches::Sender;
use crate::sites::{read_json, require_room};
use crate::{Catalog, CatalogError, DIGESTS_PER_SITE_MAX};

/// A digest to be made; checked by the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewDigest {
    /// What it is about.
    pub every: Every,
    /// Hour of the day at which it is sent, in the site's zone.
    pub hour: i8,
    /// Mail addresses.
    pub recipients: Vec<String>,
}

/// A digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Digest {
    /// Its number.
    pub id: i64,
    /// The site that it is about.
    pub site_id: SiteId,
    /// What, when, to whom.
    pub definition: NewDigest,
    /// Those of its recipients who ended it for themselves.
    pub ended: Vec<String>,
    /// Creation, Unix milliseconds.
    pub created_at_ms: i64,
}

impl Digest {
    /// Those who get it.
    pub fn readers(&self) -> impl Iterator<Item = &String> {
        self.definition.recipients.iter().filter(|email| !self.ended.contains(email))
    }
}

const COLUMNS: &str =
    "SELECT id, site_id, every, hour, recipients, ended, created_at_ms FROM digests";

impl Catalog {
    /// Makes a digest.
    pub fn add_digest(
        &self,
        site_id: SiteId,
        new: NewDigest,
        now_ms: i64,
    ) -> Result<Digest, CatalogError> {
        let doing = "makes a digest";
        let id = self.connections.write(doing, |transaction| {
            let count = format!("SELECT count(*) FROM digests WHERE site_id = {site_id}");
            require_room(transaction, &count, "digests of a site", DIGESTS_PER_SITE_MAX)?;
            let recipients = serde_json::to_string(&new.recipients).unwrap_or_default();
            transaction
                .execute(
                    "INSERT INTO digests (site_id, every, hour, recipients, ended, created_at_ms)
                     VALUES (?1, ?2, ?3, ?4, '[]', ?5)",
                    params![site_id.0, new.every.name(), new.hour, recipients, now_ms],
                )
                .map_err(CatalogError::during(doing))?;
            Ok(transaction.last_insert_rowid())
        })?;
        let ended = Vec::new();
        Ok(Digest { id, site_id, definition: new, ended, created_at_ms: now_ms })
    }

    /// The digests of a site, or of all, by rising number.
    pub fn digests(&self, site_id: Option<SiteId>) -> Result<Vec<Digest>, CatalogError> {
        self.connections.read("lists digests", |connection| {
            let sql = format!("{COLUMNS} WHERE ?1 IS NULL OR site_id = ?1 ORDER BY id");
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map([site_id.map(|site| site.0)], read)?.collect()
        })
    }

    /// A digest by its number.
    pub fn digest(&self, id: i64) -> Result<Option<Digest>, CatalogError> {
        self.connections.read("reads a digest", |connection| {
            let mut statement = connection.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?;
            statement.query_row([id], read).optional()
        })
    }

    /// Removes a digest with what waits of it; false if the site has none with this number.
    pub fn delete_digest(&self, site_id: SiteId, id: i64) -> Result<bool, CatalogError> {
        let sql = "DELETE FROM digests WHERE site_id = ?1 AND id = ?2";
        self.delete_sender("removes a digest", sql, site_id, id, Sender::Digest(id))
    }

    /// Changes a digest; what waits for whoever is no recipient any more goes. False if the site has none with this number.
    pub fn change_digest(
        &self,
        site_id: SiteId,
        id: i64,
        new: &NewDigest,
    ) -> Result<bool, CatalogError> {
        let recipients = serde_json::to_string(&new.recipients).unwrap_or_default();
        let sql = "UPDATE digests SET every = ?3, hour = ?4, recipients = ?5
                   WHERE site_id = ?1 AND id = ?2";
        let values = params![site_id.0, id, new.every.name(), new.hour, recipients];
        self.change_sender("changes a digest", sql, values, Sender::Digest(id))
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Digest> {
    let every: String = row.get(2)?;
    let definition = NewDigest {
        every: Every::named(&every).unwrap_or(Every::Week),
        hour: row.get(3)?,
        recipients: read_json(row, 4)?,
    };
    Ok(Digest {
        id: row.get(0)?,
        site_id: SiteId(row.get(1)?),
        definition,
        ended: read_json(row, 5)?,
        created_at_ms: row.get(6)?,
    })
}
