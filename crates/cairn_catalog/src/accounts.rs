//! Accounts, browser sessions, one-time links and who may see which site.

use cairn_model::SiteId;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::secret::Token;
use crate::sites::require_room;
use crate::{BROWSER_SESSION_AGE_MS_MAX, Catalog, CatalogError};

/// Accounts of one instance.
const USERS_MAX: usize = 1_000;
/// Open browser sessions of one account; the oldest ends when another begins.
const BROWSER_SESSIONS_PER_USER_MAX: i64 = 100;
/// A session's expiry is moved at most this often, so that reading a page seldom writes.
const SLIDE_STEP_MS: i64 = 60 * 60 * 1000;

/// An account's number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct UserId(pub i64);

/// An account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Its number.
    pub id: UserId,
    /// Address it logs in with.
    pub email: String,
}

/// An account with the hash of its password.
#[derive(Clone)]
pub struct UserWithPassword {
    /// The account.
    pub user: User,
    /// Argon2id hash in PHC form.
    pub password_phc: String,
}

/// What a member may do on a site.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Everything.
    Owner,
}

pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
    }
}

/// What a one-time link lets its bearer do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkPurpose {
    /// Make the first account.
    Setup,
    /// Log in as an account.
    LogIn,
}

impl LinkPurpose {
    fn name(self) -> &'static str {
        match self {
            LinkPurpose::Setup => "setup",
            LinkPurpose::LogIn => "log_in",
        }
    }
}

impl Catalog {
    /// Whether no account exists yet.
    pub fn setup_needed(&self) -> Result<bool, CatalogError> {
        self.connections.read("looks for accounts", |connection| {
            connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM users)", [], |row| row.get(0))
        })
    }

    /// Makes the first account with a setup link, which is used up; `None` if the link is not valid or an account exists.
    /// Sites that belong to nobody become its own.
    pub fn set_up(
        &self,
        link: &str,
        email: &str,
        password_phc: &str,
        now_ms: i64,
    ) -> Result<Option<User>, CatalogError> {
        self.connections.write("makes the first account", |transaction| {
            let doing = || CatalogError::during("makes the first account");
            let exists: bool = transaction
                .query_row("SELECT EXISTS (SELECT 1 FROM users)", [], |row| row.get(0))
                .map_err(doing())?;
            if exists || take_link(transaction, link, LinkPurpose::Setup, now_ms)?.is_none() {
                return Ok(None);
            }
            // Any other setup link is void from now on.
            transaction
                .execute(
                    "DELETE FROM one_time_links WHERE purpose = ?1",
                    [LinkPurpose::Setup.name()],
                )
                .map_err(doing())?;
            insert_user(transaction, email, password_phc, true, now_ms).map(Some)
        })
    }

    /// Makes an account. One of the instance's owners becomes owner of every site that has none.
    pub fn add_user(
        &self,
        email: &str,
        password_phc: &str,
        instance_owner: bool,
        now_ms: i64,
    ) -> Result<User, CatalogError> {
        self.connections.write("makes an account", |transaction| {
            insert_user(transaction, email, password_phc, instance_owner, now_ms)
        })
    }

    /// Whether the account is that of whoever set the instance up, and sees every site.
    pub fn is_instance_owner(&self, user: UserId) -> Result<bool, CatalogError> {
        self.connections.read("looks whose the instance is", |connection| {
            let sql = "SELECT instance_owner FROM users WHERE id = ?1";
            let owns = connection.prepare_cached(sql)?.query_row([user.0], |row| row.get(0));
            Ok(owns.optional()?.unwrap_or(false))
        })
    }

    /// The account with this address, with the hash of its password.
    pub fn user_by_email(&self, email: &str) -> Result<Option<UserWithPassword>, CatalogError> {
        self.connections.read("looks for an account", |connection| {
            connection
                .query_row(
                    "SELECT id, email, password_phc FROM users WHERE email = ?1",
                    [email],
                    |row| {
                        let user = User { id: UserId(row.get(0)?), email: row.get(1)? };
                        Ok(UserWithPassword { user, password_phc: row.get(2)? })
                    },
                )
                .optional()
        })
    }

    /// Begins a browser session and returns its token.
    pub fn begin_browser_session(&self, user: UserId, now_ms: i64) -> Result<Token, CatalogError> {
        let token = Token::generate("")?;
        self.connections.write("begins a browser session", |transaction| {
            begin_session(transaction, user, &Token::hash(token.reveal()), now_ms)
                .map_err(CatalogError::during("begins a browser session"))
        })?;
        Ok(token)
    }

    /// The account of an unexpired browser session. Using it moves its expiry.
    pub fn browser_session(&self, token: &str, now_ms: i64) -> Result<Option<User>, CatalogError> {
        let hash = Token::hash(token);
        let found = self.connections.read("looks for a browser session", |connection| {
            connection
                .query_row(
                    "SELECT users.id, email, expires_at_ms FROM browser_sessions
                     JOIN users ON users.id = user_id WHERE token_hash = ?1 AND expires_at_ms > ?2",
                    params![&hash[..], now_ms],
                    |row| {
                        let expires_at_ms: i64 = row.get(2)?;
                        Ok((User { id: UserId(row.get(0)?), email: row.get(1)? }, expires_at_ms))
                    },
                )
                .optional()
        })?;
        let Some((user, expires_at_ms)) = found else { return Ok(None) };
        let renewed_ms = now_ms.saturating_add(BROWSER_SESSION_AGE_MS_MAX);
        if renewed_ms.saturating_sub(expires_at_ms) > SLIDE_STEP_MS {
            self.connections.write("renews a browser session", |transaction| {
                transaction
                    .execute(
                        "UPDATE browser_sessions SET expires_at_ms = ?2 WHERE token_hash = ?1",
                        params![&hash[..], renewed_ms],
                    )
                    .map_err(CatalogError::during("renews a browser session"))
            })?;
        }
        Ok(Some(user))
    }

    /// Ends a browser session; one that does not exist stays so.
    pub fn end_browser_session(&self, token: &str) -> Result<(), CatalogError> {
        self.connections.write("ends a browser session", |transaction| {
            transaction
                .execute(
                    "DELETE FROM browser_sessions WHERE token_hash = ?1",
                    [&Token::hash(token)[..]],
                )
                .map_err(CatalogError::during("ends a browser session"))
        })?;
        Ok(())
    }

    /// Makes a link that works once, until it expires. `user`: whom it logs in.
    pub fn add_one_time_link(
        &self,
        purpose: LinkPurpose,
        user: Option<UserId>,
        expires_at_ms: i64,
        now_ms: i64,
    ) -> Result<Token, CatalogError> {
        let token = Token::generate("")?;
        self.connections.write("makes a one-time link", |transaction| {
            let doing = || CatalogError::during("makes a one-time link");
            transaction
                .execute("DELETE FROM one_time_links WHERE expires_at_ms <= ?1", [now_ms])
                .map_err(doing())?;
            transaction
                .execute(
                    "INSERT INTO one_time_links (token_hash, purpose, user_id, expires_at_ms)
                     VALUES (?1, ?2, ?3, ?4)",
                    params![
                        &Token::hash(token.reveal())[..],
                        purpose.name(),
                        user.map(|user| user.0),
                        expires_at_ms
                    ],
                )
                .map_err(doing())
        })?;
        Ok(token)
    }

    /// Uses up a log-in link; `None` if it is not valid.
    pub fn use_log_in_link(&self, link: &str, now_ms: i64) -> Result<Option<User>, CatalogError> {
        self.connections.write("uses a one-time link", |transaction| {
            let Some(Some(user)) = take_link(transaction, link, LinkPurpose::LogIn, now_ms)? else {
                return Ok(None);
            };
            transaction
                .query_row("SELECT id, email FROM users WHERE id = ?1", [user.0], |row| {
                    Ok(User { id: UserId(row.get(0)?), email: row.get(1)? })
                })
                .optional()
                .map_err(CatalogError::during("uses a one-time link"))
        })
    }

    /// What an account may do on a site; `None`: nothing, not even know of it.
    pub fn role(&self, user: UserId, site_id: SiteId) -> Result<Option<Role>, CatalogError> {
        self.connections.read("looks for a membership", |connection| {
            connection
                .query_row(
                    "SELECT 1 FROM memberships WHERE user_id = ?1 AND site_id = ?2",
                    params![user.0, site_id.0],
                    |_| Ok(Role::Owner),
                )
                .optional()
        })
    }

    /// The sites of an account.
    pub fn site_ids(&self, user: UserId) -> Result<Vec<SiteId>, CatalogError> {
        self.connections.read("lists an account's sites", |connection| {
            let mut statement =
                connection.prepare_cached("SELECT site_id FROM memberships WHERE user_id = ?1")?;
            statement.query_map([user.0], |row| Ok(SiteId(row.get(0)?)))?.collect()
        })
    }
}

fn insert_user(
    transaction: &Transaction<'_>,
    email: &str,
    password_phc: &str,
    instance_owner: bool,
    now_ms: i64,
) -> Result<User, CatalogError> {
    let doing = || CatalogError::during("makes an account");
    require_room(transaction, "SELECT count(*) FROM users", "accounts", USERS_MAX)?;
    let inserted = transaction
        .execute(
            "INSERT OR IGNORE INTO users (email, password_phc, instance_owner, created_at_ms)
             VALUES (?1, ?2, ?3, ?4)",
            params![email, password_phc, instance_owner, now_ms],
        )
        .map_err(doing())?;
    if inserted == 0 {
        return Err(CatalogError::Conflict { what: "an account with this address" });
    }
    let id = UserId(transaction.last_insert_rowid());
    if instance_owner {
        transaction
            .execute(
                "INSERT INTO memberships (user_id, site_id, role)
                 SELECT ?1, id, ?2 FROM sites
                 WHERE id NOT IN (SELECT site_id FROM memberships)",
                params![id.0, role_name(Role::Owner)],
            )
            .map_err(doing())?;
    }
    Ok(User { id, email: email.to_owned() })
}

fn begin_session(
    transaction: &Transaction<'_>,
    user: UserId,
    hash: &[u8],
    now_ms: i64,
) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM browser_sessions WHERE expires_at_ms <= ?1", [now_ms])?;
    transaction.execute(
        "DELETE FROM browser_sessions WHERE token_hash IN (
            SELECT token_hash FROM browser_sessions WHERE user_id = ?1
            ORDER BY expires_at_ms DESC LIMIT -1 OFFSET ?2)",
        params![user.0, BROWSER_SESSIONS_PER_USER_MAX - 1],
    )?;
    transaction.execute(
        "INSERT INTO browser_sessions (token_hash, user_id, created_at_ms, expires_at_ms)
         VALUES (?1, ?2, ?3, ?4)",
        params![hash, user.0, now_ms, now_ms.saturating_add(BROWSER_SESSION_AGE_MS_MAX)],
    )?;
    Ok(())
}

/// Removes a valid link and tells whose it was.
fn take_link(
    transaction: &Transaction<'_>,
    link: &str,
    purpose: LinkPurpose,
    now_ms: i64,
) -> Result<Option<Option<UserId>>, CatalogError> {
    transaction
        .query_row(
            "DELETE FROM one_time_links
             WHERE token_hash = ?1 AND purpose = ?2 AND expires_at_ms > ?3 RETURNING user_id",
            params![&Token::hash(link)[..], purpose.name(), now_ms],
            |row| Ok(row.get::<_, Option<i64>>(0)?.map(UserId)),
        )
        .optional()
        .map_err(CatalogError::during("uses a one-time link"))
}
