//! People: direct identifiers, with the watermark of the log that was applied to them and to the receipts.

use std::sync::PoisonError;

use cairn_model::SiteId;
use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::{Map, Value};

use crate::receipts::{self, Ends, NewReceipt};
use crate::{Catalog, CatalogError};

/// People whom one e-mail address finds at most.
pub const PEOPLE_FOUND_MAX: usize = cairn_model::subject::SUBJECT_USERS_MAX;

/// What one event says about a person.
#[derive(Clone, PartialEq, Debug)]
pub struct PersonChange {
    /// Offset of the event in the log.
    pub offset: u64,
    /// The site.
    pub site_id: SiteId,
    /// Keyed hash of the user id, per site.
    pub user_key: u64,
    /// The user id.
    pub user_id: String,
    /// Traits as a JSON object; empty = none. Claimed by the browser, not proven.
    pub claimed_traits: String,
    /// The site itself says so: its server with the secret key, or its owner's import.
    pub is_proven: bool,
    /// When it arrived, Unix milliseconds.
    pub seen_at_ms: i64,
}

impl Catalog {
    /// Offset of the last record of the log that was applied to people and receipts; 0 = none.
    pub fn people_watermark(&self) -> Result<u64, CatalogError> {
        self.connections.read("reads its watermark", |connection| {
            let stored: Option<i64> = connection
                .prepare_cached("SELECT value FROM meta WHERE name = 'people_watermark'")?
                .query_row([], read_number)
                .optional()?;
            Ok(stored.unwrap_or(0).cast_unsigned())
        })
    }

    /// Applies changes of people and choices, and moves the watermark, in one commit. What is at or below the stored
    /// watermark is applied already and skipped, so repeating a batch after a crash changes nothing.
    pub fn apply_log(
        &self,
        changes: &[PersonChange],
        receipts: &[NewReceipt],
        watermark: u64,
    ) -> Result<(), CatalogError> {
        let doing = "applies people and receipts";
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        receipts::begin_heads(self, receipts, &mut heads)?;
        let ends = self.connections.write(doing, |transaction| {
            let applied = stored_watermark(transaction).map_err(CatalogError::during(doing))?;
            if watermark <= applied {
                return Ok(Ends::default());
            }
            for change in changes.iter().filter(|change| change.offset > applied) {
                apply(transaction, change).map_err(CatalogError::during(doing))?;
            }
            let from = receipts.partition_point(|receipt| receipt.offset <= applied);
            let ends = receipts::append_choices(transaction, &receipts[from..], &heads)?;
            transaction
                .execute(
                    "INSERT INTO meta (name, value) VALUES ('people_watermark', ?1)
                     ON CONFLICT DO UPDATE SET value = excluded.value",
                    [&watermark.to_le_bytes()[..]],
                )
                .map_err(CatalogError::during(doing))?;
            Ok(ends)
        })?;
        ends.keep(&mut heads);
        Ok(heads.save()?)
    }

    /// The people whose e-mail address this is, as far as their site said so, or whose user id it is; letters count alike.
    pub fn people_by_email(
        &self,
        site_id: SiteId,
        email: &str,
    ) -> Result<Vec<(u64, String)>, CatalogError> {
        self.people_where("user_id = ?2 COLLATE NOCASE OR proven_email = ?2", site_id, email)
    }

    /// The people who claimed this e-mail address and of whom nobody but a browser said it: anybody may claim any for anybody.
    pub fn people_claiming_email(
        &self,
        site_id: SiteId,
        email: &str,
    ) -> Result<Vec<(u64, String)>, CatalogError> {
        let claiming = "user_id <> ?2 COLLATE NOCASE AND proven_email <> ?2
            AND CASE json_valid(claimed_traits)
                WHEN 1 THEN json_extract(claimed_traits, '$.email') = ?2 COLLATE NOCASE END";
        self.people_where(claiming, site_id, email)
    }

    /// Keys and user ids.
    fn people_where(
        &self,
        condition: &str,
        site_id: SiteId,
        email: &str,
    ) -> Result<Vec<(u64, String)>, CatalogError> {
        let sql = format!(
            "SELECT user_key, user_id FROM people WHERE site_id = ?1 AND ({condition})
             ORDER BY user_key LIMIT ?3"
        );
        self.connections.read("looks for people", |connection| {
            connection
                .prepare_cached(&sql)?
                .query_map(params![site_id.0, email, PEOPLE_FOUND_MAX], |row| {
                    Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
                })?
                .collect()
        })
    }

    /// The e-mail address of a person, as far as his site said it; empty = none.
    pub fn proven_email(&self, site_id: SiteId, user_key: u64) -> Result<String, CatalogError> {
        self.connections.read("looks for an address", |connection| {
            let found: Option<String> = connection
                .prepare_cached(
                    "SELECT proven_email FROM people WHERE site_id = ?1 AND user_key = ?2",
                )?
                .query_row(params![site_id.0, user_key.cast_signed()], |row| row.get(0))
                .optional()?;
            Ok(found.unwrap_or_default())
        })
    }

    /// User id and claimed traits of a person.
    pub fn person(
        &self,
        site_id: SiteId,
        user_key: u64,
    ) -> Result<Option<(String, String)>, CatalogError> {
        self.connections.read("looks for a person", |connection| {
            connection
                .query_row(
                    "SELECT user_id, claimed_traits FROM people WHERE site_id = ?1 AND user_key = ?2",
                    params![site_id.0, user_key.cast_signed()],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()
        })
    }
}

fn stored_watermark(transaction: &Transaction<'_>) -> rusqlite::Result<u64> {
    let stored: Option<i64> = transaction
        .prepare_cached("SELECT value FROM meta WHERE name = 'people_watermark'")?
        .query_row([], read_number)
        .optional()?;
    Ok(stored.unwrap_or(0).cast_unsigned())
}

fn read_number(row: &rusqlite::Row<'_>) -> rusqlite::Result<i64> {
    let bytes: [u8; 8] = row.get(0)?;
    Ok(i64::from_le_bytes(bytes))
}

fn apply(transaction: &Transaction<'_>, change: &PersonChange) -> rusqlite::Result<()> {
    // The site may be gone by now: its people go with it, and late events bring none back.
    let known: Option<(Option<String>, Option<String>)> = transaction
        .prepare_cached(
            "SELECT claimed_traits, proven_email FROM sites
             LEFT JOIN people ON site_id = id AND user_key = ?2
             WHERE id = ?1",
        )?
        .query_row(params![change.site_id.0, change.user_key.cast_signed()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((traits, proven_email)) = known else { return Ok(()) };
    let mut proven_email = proven_email.unwrap_or_default();
    let mut told = change.claimed_traits.clone();
    if change.is_proven {
        proven_email = email_of(&told).unwrap_or(proven_email);
    } else if !proven_email.is_empty() {
        told = without_email(told);
    }
    let traits = merged(traits.as_deref().unwrap_or(""), &told);
    transaction
        .prepare_cached(
            "INSERT INTO people (site_id, user_key, user_id, claimed_traits, first_seen_ms,
                last_seen_ms, proven_email)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)
             ON CONFLICT DO UPDATE SET claimed_traits = excluded.claimed_traits,
                first_seen_ms = min(first_seen_ms, excluded.first_seen_ms),
                last_seen_ms = max(last_seen_ms, excluded.last_seen_ms),
                proven_email = excluded.proven_email",
        )?
        .execute(params![
            change.site_id.0,
            change.user_key.cast_signed(),
            change.user_id,
            traits,
            change.seen_at_ms,
            proven_email
        ])?;
    Ok(())
}

fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// The e-mail address that traits tell; an empty one takes a known one back.
fn email_of(traits: &str) -> Option<String> {
    Some(object(traits).get("email")?.as_str().unwrap_or("").to_owned())
}

/// Traits of a browser, which has no say about an address that the site told.
fn without_email(traits: String) -> String {
    let mut told = object(&traits);
    match told.remove("email") {
        Some(_) => Value::Object(told).to_string(),
        None => traits,
    }
}

/// Old traits with new ones laid over them, bounded by what one event may carry: past that, old names are dropped.
fn merged(old: &str, new: &str) -> String {
    if new.is_empty() {
        return old.to_owned();
    }
    let mut traits = object(new);
    for (name, value) in object(old) {
        if traits.len() >= cairn_model::limits::PROPS_MAX {
            break;
        }
        traits.entry(name).or_insert(value);
    }
    Value::Object(traits).to_string()
}
