//! Shared reports: links that show a site's figures without a log-in, and no small group of people.
//!
//! Guarantees: of a link and of its password only hashes are stored; it ends with its row. Whether its time has come is the
//! caller's to tell.

use cairn_model::SiteId;
use rusqlite::{OptionalExtension, Row, params};
use serde_json::Value;

use crate::secret::Token;
use crate::sites::{read_json, require_room};
use crate::{Catalog, CatalogError, SHARES_PER_SITE_MAX};

/// A shared report to be made; checked by the caller.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NewShare {
    /// Name shown to its owner.
    pub name: String,
    /// Fewest visitors that a row of it may tell of.
    pub group_size_min: u32,
    /// Hash of its password, in PHC form; empty: it has none.
    pub password_hash: String,
    /// When its link ends, Unix milliseconds; `None`: it does not by itself.
    pub expires_at_ms: Option<i64>,
    /// Filters of a question, which its answers always have; empty list: none.
    pub filters: Value,
}

/// A shared report without its link.
#[derive(Clone, PartialEq, Debug)]
pub struct Share {
    /// Its number.
    pub id: i64,
    /// The site whose figures it shows.
    pub site_id: SiteId,
    /// What it shows, to whom, and for how long.
    pub definition: NewShare,
    /// Creation, Unix milliseconds.
    pub created_at_ms: i64,
}

const COLUMNS: &str = "SELECT id, site_id, name, group_size_min, password_hash, expires_at_ms, \
                       filters, created_at_ms FROM shares";

impl Catalog {
    /// Makes a link. Its text is returned here and never again.
    pub fn add_share(
        &self,
        site_id: SiteId,
        new: NewShare,
        now_ms: i64,
    ) -> Result<(Share, Token), CatalogError> {
        let doing = "shares a report";
        let secret = Token::generate("share_")?;
        let id = self.connections.write(doing, |transaction| {
            let count = format!("SELECT count(*) FROM shares WHERE site_id = {site_id}");
            require_room(transaction, &count, "shared reports of a site", SHARES_PER_SITE_MAX)?;
            let NewShare { name, group_size_min, password_hash, expires_at_ms, filters } = &new;
            let hash = Token::hash(secret.reveal());
            let values = params![
                &hash[..],
                site_id.0,
                name,
                group_size_min,
                password_hash,
                expires_at_ms,
                filters.to_string(),
                now_ms
            ];
            let sql = "INSERT INTO shares (token_hash, site_id, name, group_size_min,
                password_hash, expires_at_ms, filters, created_at_ms)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            transaction.execute(sql, values).map_err(CatalogError::during(doing))?;
            Ok(transaction.last_insert_rowid())
        })?;
        Ok((Share { id, site_id, definition: new, created_at_ms: now_ms }, secret))
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
    let definition = NewShare {
        name: row.get(2)?,
        group_size_min: row.get(3)?,
        password_hash: row.get(4)?,
        expires_at_ms: row.get(5)?,
        filters: read_json(row, 6)?,
    };
    Ok(Share {
        id: row.get(0)?,
        site_id: SiteId(row.get(1)?),
        definition,
        created_at_ms: row.get(7)?,
    })
}
