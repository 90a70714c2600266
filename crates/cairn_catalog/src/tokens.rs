//! API tokens: what scripts log in with.

use cairn_model::SiteId;
use rusqlite::{Connection, OptionalExtension, params};

use crate::accounts::UserId;
use crate::secret::Token;
use crate::sites::require_room;
use crate::{API_TOKENS_MAX, Catalog, CatalogError};

/// An API token without its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiToken {
    /// Its number.
    pub id: i64,
    /// Name shown.
    pub name: String,
    /// The account whose rights it has; `None`: those of the instance.
    pub user: Option<UserId>,
    /// The only sites that it may use; `None`: all of the account's.
    pub site_ids: Option<Vec<SiteId>>,
    /// Creation, Unix milliseconds.
    pub created_at_ms: i64,
}

/// An API token to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewApiToken {
    /// Name shown.
    pub name: String,
    /// The account whose rights it has; `None`: those of the instance.
    pub user: Option<UserId>,
    /// The only sites that it may use; `None`: all of the account's.
    pub site_ids: Option<Vec<SiteId>>,
}

impl Catalog {
    /// Makes a token. Its text is returned here and never again.
    pub fn add_api_token(
        &self,
        new: NewApiToken,
        now_ms: i64,
    ) -> Result<(ApiToken, Token), CatalogError> {
        let secret = Token::generate("cairn_")?;
        let id = self.connections.write("makes an API token", |transaction| {
            let doing = || CatalogError::during("makes an API token");
            let count = "SELECT count(*) FROM api_tokens";
            require_room(transaction, count, "API tokens", API_TOKENS_MAX)?;
            transaction
                .execute(
                    "INSERT INTO api_tokens (token_hash, user_id, name, limited, created_at_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![
                        &Token::hash(secret.reveal())[..],
                        new.user.map(|user| user.0),
                        new.name,
                        new.site_ids.is_some(),
                        now_ms
                    ],
                )
                .map_err(doing())?;
            let id = transaction.last_insert_rowid();
            for site_id in new.site_ids.iter().flatten() {
                transaction
                    .execute(
                        "INSERT OR IGNORE INTO api_token_sites (token_id, site_id) VALUES (?1, ?2)",
                        params![id, site_id.0],
                    )
                    .map_err(doing())?;
            }
            Ok(id)
        })?;
        let NewApiToken { name, user, site_ids } = new;
        Ok((ApiToken { id, name, user, site_ids, created_at_ms: now_ms }, secret))
    }

    /// The token with this text.
    pub fn api_token(&self, text: &str) -> Result<Option<ApiToken>, CatalogError> {
        self.connections.read("looks for an API token", |connection| {
            let found = connection
                .prepare_cached(
                    "SELECT id, name, user_id, limited, created_at_ms FROM api_tokens
                     WHERE token_hash = ?1",
                )?
                .query_row([&Token::hash(text)[..]], read_token)
                .optional()?;
            found.map(|found| with_sites(connection, found)).transpose()
        })
    }

    /// The tokens of an account (`None`: of the instance), by rising number.
    pub fn api_tokens(&self, user: Option<UserId>) -> Result<Vec<ApiToken>, CatalogError> {
        self.connections.read("lists API tokens", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, name, user_id, limited, created_at_ms FROM api_tokens
                 WHERE user_id IS ?1 ORDER BY id",
            )?;
            let found = statement
                .query_map([user.map(|user| user.0)], read_token)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            found.into_iter().map(|found| with_sites(connection, found)).collect()
        })
    }

    /// Revokes a token of an account (`None`: of the instance); false if it has none with this number.
    pub fn delete_api_token(&self, user: Option<UserId>, id: i64) -> Result<bool, CatalogError> {
        let removed = self.connections.write("revokes an API token", |transaction| {
            transaction
                .execute(
                    "DELETE FROM api_tokens WHERE user_id IS ?1 AND id = ?2",
                    params![user.map(|user| user.0), id],
                )
                .map_err(CatalogError::during("revokes an API token"))
        })?;
        Ok(removed > 0)
    }
}

fn read_token(row: &rusqlite::Row<'_>) -> rusqlite::Result<ApiToken> {
    let limited: bool = row.get(3)?;
    Ok(ApiToken {
        id: row.get(0)?,
        name: row.get(1)?,
        user: row.get::<_, Option<i64>>(2)?.map(UserId),
        site_ids: limited.then(Vec::new),
        created_at_ms: row.get(4)?,
    })
}

fn with_sites(connection: &Connection, mut token: ApiToken) -> rusqlite::Result<ApiToken> {
    if let Some(site_ids) = &mut token.site_ids {
        let mut statement = connection.prepare_cached(
            "SELECT site_id FROM api_token_sites WHERE token_id = ?1 ORDER BY site_id",
        )?;
        let found = statement.query_map([token.id], |row| Ok(SiteId(row.get(0)?)))?;
        *site_ids = found.collect::<rusqlite::Result<_>>()?;
    }
    Ok(token)
}
