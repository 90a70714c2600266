//! What browsers and persons asked to be remembered, and who is whose browser.
//!
//! Purpose: `functional`; kept until `expires_at_ms`, then removed by a job. Holders are keyed hashes of a cookie or of a
//! user id: the names behind them are not in these tables. The values are what sites gave, an e-mail address among them.
//!
//! Guarantees: a value is on disk when a method has answered. A browser that is tied to a person reads and changes the
//! person's memory and has none of its own; a tie is made by [`Catalog::tie_memory`] only, which moves the browser's memory
//! to the person and gives the browser another number. A value of a browser that nobody signed for is found by its visitor's
//! number, too, where that was permitted; a person's is not. What was removed is overwritten.

use cairn_model::limits::{MEMORY_NAMES_MAX, MEMORY_SIZE_BYTES_MAX};
use cairn_model::memory::{kind_of, united};
use cairn_model::{SiteId, VisitorId, memory};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::idempotency::names_any;
use crate::withdrawals::note_forgotten;
use crate::{Catalog, CatalogError, MEMORY_PER_SITE_SIZE_BYTES_MAX};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// No value lasts longer, whatever its kind.
const LIFETIME_DAYS_MAX: i64 = 395;
/// Rows that one round of the job removes: the lock is not held for long.
const EXPIRED_PER_ROUND: usize = 1_000;
/// Names of which a value is somebody's have at least so many bytes, unless they are addresses.
const NAME_SIZE_BYTES_MIN: usize = 8;

/// Whose memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryHolder {
    /// Keyed hash of the browser's cookie: its own memory, or that of the person it is tied to.
    Browser([u8; 32]),
    /// Keyed hash of a user id.
    Person([u8; 32]),
}

/// One change; the name and the value were checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemoryChange {
    /// The name.
    pub name: String,
    /// Its JSON; `None` forgets it.
    pub value: Option<String>,
}

/// One remembered value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remembered {
    /// The name.
    pub name: String,
    /// Its JSON.
    pub value: String,
    /// When it was last changed, Unix milliseconds.
    pub changed_at_ms: i64,
    /// From then on it is gone, Unix milliseconds.
    pub expires_at_ms: i64,
    /// The person who left it when signing out.
    left_by: Option<[u8; 32]>,
}

impl Remembered {
    fn size_bytes(&self) -> usize {
        self.name.len() + self.value.len()
    }
}

impl Catalog {
    /// Everything that the holder has remembered, by name.
    pub fn recall(
        &self,
        site: SiteId,
        holder: MemoryHolder,
        now_ms: i64,
    ) -> Result<Vec<Remembered>, CatalogError> {
        self.connections.read("recalls", |connection| {
            let holder = behind(connection, site, holder, now_ms)?;
            rows(connection, site, &holder, now_ms)
        })
    }

    /// The person whose browser it is, as long as that was signed for; a keyed hash of his user id.
    pub fn memory_person(
        &self,
        site: SiteId,
        browser: [u8; 32],
        now_ms: i64,
    ) -> Result<Option<[u8; 32]>, CatalogError> {
        self.connections.read("looks whose browser it is", |connection| {
            tie_of(connection, site, &browser, now_ms)
        })
    }

    /// Whether a browser has anything remembered, or is a person's.
    pub fn has_memory(
        &self,
        site: SiteId,
        browser: [u8; 32],
        now_ms: i64,
    ) -> Result<bool, CatalogError> {
        self.connections.read("looks for a memory", |connection| {
            connection
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM memory
                                    WHERE site_id = ?1 AND holder = ?2 AND expires_at_ms > ?3)
                         OR EXISTS (SELECT 1 FROM memory_ties
                                    WHERE site_id = ?1 AND browser = ?2 AND expires_at_ms > ?3)",
                )?
                .query_row(params![site.0, browser, now_ms], |row| row.get(0))
        })
    }

    /// Notes whose browser remembers its own values, so that they are found by the visitor's number; `None` where that may not
    /// be known any more. What a person remembers is found by his user id.
    pub fn note_memory_visitor(
        &self,
        site: SiteId,
        browser: [u8; 32],
        visitor: Option<VisitorId>,
    ) -> Result<(), CatalogError> {
        let number = visitor.map_or(0, |visitor| visitor.0.cast_signed());
        let asked = params![site.0, browser, number];
        let other = "FROM memory WHERE site_id = ?1 AND holder = ?2 AND visitor <> ?3";
        let is_known = self.connections.read("looks whose memory it is", |connection| {
            let sql = format!("SELECT NOT EXISTS (SELECT 1 {other})");
            connection.prepare_cached(&sql)?.query_row(asked, |row| row.get(0))
        })?;
        if is_known {
            return Ok(());
        }
        let doing = "notes whose memory it is";
        self.connections.write(doing, |transaction| {
            let sql = "UPDATE memory SET visitor = ?3 WHERE site_id = ?1 AND holder = ?2";
            let noted = transaction.prepare_cached(sql).and_then(|mut note| note.execute(asked));
            noted.map(|_| ()).map_err(CatalogError::during(doing))
        })
    }

    /// What the browsers of visitors remember, as far as it is known whose they are.
    pub fn memory_of_visitors(
        &self,
        site: SiteId,
        visitors: &[VisitorId],
        now_ms: i64,
    ) -> Result<Vec<Remembered>, CatalogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM memory INDEXED BY memory_by_visitor
             WHERE site_id = ?1 AND visitor = ?2 AND visitor <> 0 AND expires_at_ms > ?3
             ORDER BY name"
        );
        self.connections.read("recalls", |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = Vec::new();
            for visitor in visitors {
                let asked = params![site.0, visitor.0.cast_signed(), now_ms];
                for row in statement.query_map(asked, remembered_row)? {
                    found.push(row?);
                }
            }
            Ok(found)
        })
    }

    /// Makes changes, all of them or none: fails where the holder would have more than its bounds allow.
    pub fn remember(
        &self,
        site: SiteId,
        holder: MemoryHolder,
        changes: &[MemoryChange],
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let doing = || CatalogError::during("remembers");
        self.connections.write("remembers", |transaction| {
            let holder = behind(transaction, site, holder, now_ms).map_err(doing())?;
            let mut present = rows(transaction, site, &holder, now_ms).map_err(doing())?;
            for change in changes {
                present.retain(|known| known.name != change.name);
                match &change.value {
                    None => remove(transaction, site, &holder, &change.name).map_err(doing())?,
                    Some(value) => {
                        let row = remembered(&change.name, value.clone(), now_ms);
                        write(transaction, site, &holder, &row).map_err(doing())?;
                        present.push(row);
                    }
                }
            }
            if present.len() > MEMORY_NAMES_MAX {
                let what = "names remembered for one visitor";
                return Err(CatalogError::LimitReached { what, limit: MEMORY_NAMES_MAX });
            }
            if present.iter().map(Remembered::size_bytes).sum::<usize>() > MEMORY_SIZE_BYTES_MAX {
                let what = "bytes remembered for one visitor";
                return Err(CatalogError::LimitReached { what, limit: MEMORY_SIZE_BYTES_MAX });
            }
            require_room(transaction, site)
        })
    }

    /// Makes the browser the person's, whose identification was signed: the browser's memory joins the person's, and the
    /// browser is `fresh` from now on, so that nobody who knew its number before shares what follows. False: it was the
    /// person's already and keeps its number.
    pub fn tie_memory(
        &self,
        site: SiteId,
        (browser, fresh): ([u8; 32], [u8; 32]),
        person: [u8; 32],
        tied_until_ms: i64,
        now_ms: i64,
    ) -> Result<bool, CatalogError> {
        let doing = || CatalogError::during("joins two memories");
        let moved = self.connections.write("joins two memories", |transaction| {
            let known = tie_of(transaction, site, &browser, now_ms).map_err(doing())?;
            if known == Some(person) {
                tie(transaction, site, &browser, &person, tied_until_ms).map_err(doing())?;
                return Ok(false);
            }
            join(transaction, site, &browser, &person, now_ms).map_err(doing())?;
            clear(transaction, site, &browser).map_err(doing())?;
            untie(transaction, site, &browser).map_err(doing())?;
            tie(transaction, site, &fresh, &person, tied_until_ms).map_err(doing())?;
            require_room(transaction, site)?;
            Ok(true)
        })?;
        Ok(moved)
    }

    /// Takes a browser from its person again. What the log-in form needs stays with the browser, where the site has room for
    /// it; all else is the person's.
    pub fn sign_out_memory(
        &self,
        site: SiteId,
        browser: [u8; 32],
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        self.connections.write("parts two memories", |transaction| {
            let doing = || CatalogError::during("parts two memories");
            let tied = tie_of(transaction, site, &browser, now_ms).map_err(doing())?;
            let Some(person) = tied else { return Ok(()) };
            untie(transaction, site, &browser).map_err(doing())?;
            let mut staying = rows(transaction, site, &person, now_ms).map_err(doing())?;
            staying.retain(|row| kind_of(&row.name).stays);
            for mut row in staying {
                row.left_by = Some(person);
                write(transaction, site, &browser, &row).map_err(doing())?;
            }
            match require_room(transaction, site) {
                // Whoever leaves must not be kept by what he would leave behind.
                Err(CatalogError::LimitReached { .. }) => {
                    clear(transaction, site, &browser).map_err(doing())?;
                    Ok(())
                }
                other => other,
            }
        })
    }

    /// Forgets everything of the holder; of a tied browser's person, too, with all ties. False: there was nothing. That it was
    /// forgotten is on record, so that no older copy of the catalog brings it back.
    pub fn forget_memory(
        &self,
        site: SiteId,
        holder: MemoryHolder,
        now_ms: i64,
    ) -> Result<bool, CatalogError> {
        let forgotten = self.connections.write("forgets", |transaction| {
            forget_for_good(transaction, site, holder, now_ms)
                .map_err(CatalogError::during("forgets"))
        })?;
        if forgotten == 0 {
            return Ok(false);
        }
        self.note_withdrawn();
        // The values are gone either way; emptying the journal again is tried with the next removal.
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the journal still holds what was forgotten");
        }
        Ok(true)
    }

    /// Removes what has expired, some at a time: how much. Ask again until it is nothing.
    pub fn expire_memory(&self, now_ms: i64) -> Result<usize, CatalogError> {
        self.connections.write("removes what has expired", |transaction| {
            let expired = |transaction: &Transaction<'_>| {
                let values = transaction
                    .prepare_cached(
                        "DELETE FROM memory WHERE (site_id, holder, name) IN
                         (SELECT site_id, holder, name FROM memory WHERE expires_at_ms <= ?1 LIMIT ?2)",
                    )?
                    .execute(params![now_ms, EXPIRED_PER_ROUND])?;
                let ties = transaction
                    .prepare_cached(
                        "DELETE FROM memory_ties WHERE (site_id, browser) IN
                         (SELECT site_id, browser FROM memory_ties WHERE expires_at_ms <= ?1 LIMIT ?2)",
                    )?
                    .execute(params![now_ms, EXPIRED_PER_ROUND])?;
                let over_ms = now_ms - LIFETIME_DAYS_MAX * DAY_MS;
                let forgotten = transaction
                    .prepare_cached(
                        "DELETE FROM memory_forgotten WHERE (site_id, holder) IN
                         (SELECT site_id, holder FROM memory_forgotten
                          WHERE forgotten_at_ms <= ?1 LIMIT ?2)",
                    )?
                    .execute(params![over_ms, EXPIRED_PER_ROUND])?;
                Ok(values + ties + forgotten)
            };
            expired(transaction).map_err(CatalogError::during("removes what has expired"))
        })
    }
}

/// How many values [`forget`] would remove.
pub(crate) fn count(
    connection: &Connection,
    site: SiteId,
    holder: MemoryHolder,
) -> rusqlite::Result<i64> {
    let (own, person) = match holder {
        MemoryHolder::Person(person) => (None, Some(person)),
        MemoryHolder::Browser(browser) => {
            (Some(browser), tie_of(connection, site, &browser, i64::MIN)?)
        }
    };
    connection
        .prepare_cached(
            "SELECT count(*) FROM memory WHERE site_id = ?1
             AND (holder = ?2 OR holder = ?3 OR left_by = ?3)",
        )?
        .query_row(params![site.0, own, person], |row| row.get(0))
}

/// [`forget`], with a note of whoever it was.
fn forget_for_good(
    transaction: &Transaction<'_>,
    site: SiteId,
    holder: MemoryHolder,
    now_ms: i64,
) -> rusqlite::Result<usize> {
    let (number, person) = match holder {
        MemoryHolder::Person(person) => (person, None),
        MemoryHolder::Browser(browser) => (browser, tie_of(transaction, site, &browser, i64::MIN)?),
    };
    let count = forget(transaction, site, holder)?;
    if count > 0 {
        for number in std::iter::once(number).chain(person) {
            note_forgotten(transaction, site, &number, now_ms)?;
        }
    }
    Ok(count)
}

/// Removes values and ties of the holder; of a tied browser's person, too. Gives how many.
pub(crate) fn forget(
    transaction: &Transaction<'_>,
    site: SiteId,
    holder: MemoryHolder,
) -> rusqlite::Result<usize> {
    let person = match holder {
        MemoryHolder::Person(person) => Some(person),
        // Also of a tie that is over: it says whose the browser was.
        MemoryHolder::Browser(browser) => tie_of(transaction, site, &browser, i64::MIN)?,
    };
    let mut count = 0;
    if let MemoryHolder::Browser(browser) = holder {
        count += clear(transaction, site, &browser)?;
        count += untie(transaction, site, &browser)?;
    }
    if let Some(person) = person {
        count += clear(transaction, site, &person)?;
        count += untie_all(transaction, site, &person)?;
        // What he left in browsers when he signed out.
        count += transaction
            .prepare_cached("DELETE FROM memory WHERE site_id = ?1 AND left_by = ?2")?
            .execute(params![site.0, person])?;
    }
    Ok(count)
}

/// How many values [`forget_visitor`] would remove.
pub(crate) fn count_of_visitor(
    connection: &Connection,
    site: SiteId,
    visitor: VisitorId,
) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "SELECT count(*) FROM memory WHERE site_id = ?1 AND visitor = ?2 AND visitor <> 0",
        )?
        .query_row(params![site.0, visitor.0.cast_signed()], |row| row.get(0))
}

/// Removes what a visitor's browsers remember, as far as it is known whose they are. Gives how many.
pub(crate) fn forget_visitor(
    transaction: &Transaction<'_>,
    site: SiteId,
    visitor: VisitorId,
) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached("DELETE FROM memory WHERE site_id = ?1 AND visitor = ?2 AND visitor <> 0")?
        .execute(params![site.0, visitor.0.cast_signed()])
}

/// Removes values of a site in which one of the names stands, whoever remembers them. Names that are no addresses, and short
/// or without a digit, are left out: they are sizes and words as well, and somebody else's values would go. Gives how many.
pub(crate) fn forget_naming(
    transaction: &Transaction<'_>,
    site: SiteId,
    names: &[String],
) -> rusqlite::Result<usize> {
    let has_digit = |name: &str| name.bytes().any(|byte| byte.is_ascii_digit());
    let is_number_like = |name: &str| name.len() >= NAME_SIZE_BYTES_MIN && has_digit(name);
    let is_telling = |name: &&String| name.contains('@') || is_number_like(name);
    let names: Vec<String> =
        names.iter().filter(is_telling).map(|name| name.to_lowercase()).collect();
    if names.is_empty() {
        return Ok(0);
    }
    let mut statement =
        transaction.prepare_cached("SELECT holder, name, value FROM memory WHERE site_id = ?1")?;
    let mut found: Vec<([u8; 32], String)> = Vec::new();
    let mut values = statement.query([site.0])?;
    while let Some(row) = values.next()? {
        if names_any(row.get_ref(2)?.as_str()?.as_bytes(), &names) {
            found.push((row.get(0)?, row.get(1)?));
        }
    }
    for (holder, name) in &found {
        remove(transaction, site, holder, name)?;
    }
    Ok(found.len())
}

fn remembered(name: &str, value: String, now_ms: i64) -> Remembered {
    let lifetime_ms = i64::from(memory::kind_of(name).lifetime_days) * DAY_MS;
    let expires_at_ms = now_ms + lifetime_ms;
    Remembered { name: name.to_owned(), value, changed_at_ms: now_ms, expires_at_ms, left_by: None }
}

/// Whose rows they are.
fn behind(
    connection: &Connection,
    site: SiteId,
    holder: MemoryHolder,
    now_ms: i64,
) -> rusqlite::Result<[u8; 32]> {
    Ok(match holder {
        MemoryHolder::Person(person) => person,
        MemoryHolder::Browser(browser) => {
            tie_of(connection, site, &browser, now_ms)?.unwrap_or(browser)
        }
    })
}

fn tie_of(
    connection: &Connection,
    site: SiteId,
    browser: &[u8; 32],
    now_ms: i64,
) -> rusqlite::Result<Option<[u8; 32]>> {
    connection
        .prepare_cached(
            "SELECT person FROM memory_ties
             WHERE site_id = ?1 AND browser = ?2 AND expires_at_ms > ?3",
        )?
        .query_row(params![site.0, browser, now_ms], |row| row.get(0))
        .optional()
}

fn tie(
    transaction: &Transaction<'_>,
    site: SiteId,
    browser: &[u8; 32],
    person: &[u8; 32],
    until_ms: i64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO memory_ties (site_id, browser, person, expires_at_ms)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET person = excluded.person,
                expires_at_ms = excluded.expires_at_ms",
        )?
        .execute(params![site.0, browser, person, until_ms])?;
    Ok(())
}

fn untie(
    transaction: &Transaction<'_>,
    site: SiteId,
    browser: &[u8; 32],
) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached("DELETE FROM memory_ties WHERE site_id = ?1 AND browser = ?2")?
        .execute(params![site.0, browser])
}

fn untie_all(
    transaction: &Transaction<'_>,
    site: SiteId,
    person: &[u8; 32],
) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached("DELETE FROM memory_ties WHERE site_id = ?1 AND person = ?2")?
        .execute(params![site.0, person])
}

fn rows(
    connection: &Connection,
    site: SiteId,
    holder: &[u8; 32],
    now_ms: i64,
) -> rusqlite::Result<Vec<Remembered>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM memory
         WHERE site_id = ?1 AND holder = ?2 AND expires_at_ms > ?3 ORDER BY name"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![site.0, holder, now_ms], remembered_row)?;
    rows.collect()
}

const COLUMNS: &str = "name, value, changed_at_ms, expires_at_ms, left_by";

fn remembered_row(row: &Row<'_>) -> rusqlite::Result<Remembered> {
    Ok(Remembered {
        name: row.get(0)?,
        value: row.get(1)?,
        changed_at_ms: row.get(2)?,
        expires_at_ms: row.get(3)?,
        left_by: row.get(4)?,
    })
}

fn write(
    transaction: &Transaction<'_>,
    site: SiteId,
    holder: &[u8; 32],
    row: &Remembered,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO memory (site_id, holder, name, value, changed_at_ms, expires_at_ms, left_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET value = excluded.value,
                changed_at_ms = excluded.changed_at_ms, expires_at_ms = excluded.expires_at_ms,
                left_by = excluded.left_by",
        )?
        .execute(params![
            site.0,
            holder,
            row.name,
            row.value,
            row.changed_at_ms,
            row.expires_at_ms,
            row.left_by
        ])?;
    Ok(())
}

fn remove(
    transaction: &Transaction<'_>,
    site: SiteId,
    holder: &[u8; 32],
    name: &str,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM memory WHERE site_id = ?1 AND holder = ?2 AND name = ?3")?
        .execute(params![site.0, holder, name])?;
    Ok(())
}

fn clear(
    transaction: &Transaction<'_>,
    site: SiteId,
    holder: &[u8; 32],
) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached("DELETE FROM memory WHERE site_id = ?1 AND holder = ?2")?
        .execute(params![site.0, holder])
}

/// Adds what the browser remembers to what the person does. What somebody else left in the browser is not the person's.
fn join(
    transaction: &Transaction<'_>,
    site: SiteId,
    browser: &[u8; 32],
    person: &[u8; 32],
    now_ms: i64,
) -> rusqlite::Result<()> {
    let mut joined = rows(transaction, site, person, now_ms)?;
    for brought in rows(transaction, site, browser, now_ms)? {
        if brought.left_by.is_some_and(|left_by| left_by != *person) {
            continue;
        }
        match joined.iter_mut().find(|known| known.name == brought.name) {
            None => joined.push(Remembered { left_by: None, ..brought }),
            Some(known) => {
                let (older, newer) = match brought.changed_at_ms >= known.changed_at_ms {
                    true => (&*known, &brought),
                    false => (&brought, &*known),
                };
                let value = united(&known.name, &older.value, &newer.value);
                let newer = Remembered { value, left_by: None, ..newer.clone() };
                *known = newer;
            }
        }
    }
    // Of too much the newest stays.
    joined.sort_by_key(|row| std::cmp::Reverse(row.changed_at_ms));
    let mut size_bytes = 0;
    clear(transaction, site, person)?;
    for row in joined.iter().take(MEMORY_NAMES_MAX) {
        size_bytes += row.size_bytes();
        if size_bytes <= MEMORY_SIZE_BYTES_MAX {
            write(transaction, site, person, row)?;
        }
    }
    Ok(())
}

/// The sizes are kept by triggers, so that no change counts a whole site.
fn require_room(transaction: &Transaction<'_>, site: SiteId) -> Result<(), CatalogError> {
    let size_bytes: Option<i64> = transaction
        .prepare_cached("SELECT size_bytes FROM memory_sizes WHERE site_id = ?1")
        .and_then(|mut sizes| sizes.query_row([site.0], |row| row.get(0)).optional())
        .map_err(CatalogError::during("measures a site's memory"))?;
    if size_bytes.unwrap_or(0) > MEMORY_PER_SITE_SIZE_BYTES_MAX {
        let limit = usize::try_from(MEMORY_PER_SITE_SIZE_BYTES_MAX).unwrap_or(usize::MAX);
        return Err(CatalogError::LimitReached { what: "bytes remembered by one site", limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
