//! Shared reports: links that show a site's figures without a log-in, and no small group of people.
//!
//! Guarantees: of a link only a hash is stored; it ends with its row.

use cairn_model::SiteId;
use rusqlite::{OptionalExtension, Row, params};

use crate::secret::Token;
use crate::sites::require_room;
use crate::{Catalog, CatalogError, SHARES_PER_SITE_MAX};

/// A shared report without its link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    /// Its number.
    pub id: i64,
    /// The site whose figures it shows.
    pub site_id: SiteId,
    /// Name shown to its owner.
    pub name: String,
    /// Fewest visitors that a row of it may tell of.
    pub group_size_min: u32,
    /// Creation, Unix milliseconds.
    pub created_at_ms: i64,
}

const COLUMNS: &str = "SELECT id, site_id, name, group_size_min, created_at_ms FROM shares";

impl Catalog {
    /// Makes a link. Its text is returned here and never again.
    pub fn add_share(
        &self,
        site_id: SiteId,
        name: &str,
        group_size_min: u32,
        now_ms: i64,
    ) -> Result<(Share, Token), CatalogError> {
        let doing = "shares a report";
        let secret = Token::generate("share_")?;
        let id = self.connections.write(doing, |transaction| {
            let count = format!("SELECT count(*) FROM shares WHERE site_id = {site_id}");
            require_room(transaction, &count, "shared reports of a site", SHARES_PER_SITE_MAX)?;
            transaction
                .execute(
                    "INSERT INTO shares (token_hash, site_id, name, group_size_min, created_at_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![
                        &Token::hash(secret.reveal())[..],
                        site_id.0,
                        name,
                        group_size_min,
                        now_ms
                    ],
                )
                .map_err(CatalogError::during(doing))?;
            Ok(transaction.last_insert_rowid())
        })?;
        let name = name.to_owned();
        Ok((Share { id, site_id, name, group_size_min, created_at_ms: now_ms }, secret))
    }

    /// The shared report of a link.
    pub fn share(&self, text: &str) -> Result<Option<Share>, CatalogError> {
        self.connections.read("looks for a shared report", |connection| {
            connection
                .prepare_cached(&format!("{COLUMNS} WHERE token_hash = ?1"))?
                .query_row([&Token::hash(text)[..]], read)
                .optional()
        })
    }

    /// The shared reports of a site, by rising number.
    pub fn shares(&self, site_id: SiteId) -> Result<Vec<Share>, CatalogError> {
        self.connections.read("lists shared reports", |connection| {
            let mut statement =
                connection.prepare_cached(&format!("{COLUMNS} WHERE site_id = ?1 ORDER BY id"))?;
            statement.query_map([site_id.0], read)?.collect()
        })
    }

    /// Ends a shared report of a site; false if it has none with this number.
    pub fn delete_share(&self, site_id: SiteId, id: i64) -> Result<bool, CatalogError> {
        let doing = "ends a shared report";
        let removed = self.connections.write(doing, |transaction| {
            transaction
                .execute(
                    "DELETE FROM shares WHERE site_id = ?1 AND id = ?2",
                    params![site_id.0, id],
                )
                .map_err(CatalogError::during(doing))
        })?;
        Ok(removed > 0)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Share> {
    Ok(Share {
        id: row.get(0)?,
        site_id: SiteId(row.get(1)?),
        name: row.get(2)?,
        group_size_min: row.get(3)?,
        created_at_ms: row.get(4)?,
    })
}
