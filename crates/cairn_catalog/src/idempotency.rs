//! Answers kept for repeated requests with an `Idempotency-Key`.
//!
//! Guarantees: a key is bound to the request it came with first; of the key only a hash is kept, for 24 hours. Answers are
//! bounded in number and in bytes: beyond, the oldest go first. One that names somebody who is erased loses its text and
//! keeps its hashes, so that a repetition is still known and nothing is done twice.

use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::Value;

use crate::{
    Catalog, CatalogError, IDEMPOTENCY_AGE_MS_MAX, IDEMPOTENCY_ENTRIES_MAX,
    IDEMPOTENCY_SIZE_BYTES_MAX,
};

/// Status of an answer that was blanked: no answer is given with it.
const ERASED_STATUS: u16 = 0;

/// An answer that was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredResponse {
    /// HTTP status.
    pub status: u16,
    /// JSON body; empty = none.
    pub body: Vec<u8>,
}

/// What is known of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replay {
    /// Nothing: do the work.
    New,
    /// The same request was answered: give this answer again.
    Answered(StoredResponse),
    /// The same request was answered, and the answer is gone: it named somebody who was erased.
    Erased,
    /// The key belongs to another request.
    Mismatch,
}

impl Catalog {
    /// What is known of a key. `key_hash` covers the caller and the key, `request_hash` route and body.
    pub fn replay(
        &self,
        key_hash: &[u8; 32],
        request_hash: &[u8; 32],
        now_ms: i64,
    ) -> Result<Replay, CatalogError> {
        let found: Option<(Vec<u8>, StoredResponse)> =
            self.connections.read("looks for an answer", |connection| {
                connection
                    .query_row(
                        "SELECT request_hash, status, body FROM idempotency
                         WHERE key_hash = ?1 AND created_at_ms > ?2",
                        params![&key_hash[..], now_ms.saturating_sub(IDEMPOTENCY_AGE_MS_MAX)],
                        |row| {
                            let answer = StoredResponse { status: row.get(1)?, body: row.get(2)? };
                            Ok((row.get(0)?, answer))
                        },
                    )
                    .optional()
            })?;
        Ok(match found {
            None => Replay::New,
            Some((hash, answer)) if hash == request_hash && answer.status == ERASED_STATUS => {
                Replay::Erased
            }
            Some((hash, answer)) if hash == request_hash => Replay::Answered(answer),
            Some(_) => Replay::Mismatch,
        })
    }

    /// Forgets every kept answer.
    pub fn forget_answers(&self) -> Result<(), CatalogError> {
        let doing = "forgets its answers";
        self.connections.write(doing, |transaction| {
            transaction
                .execute("DELETE FROM idempotency", [])
                .map_err(CatalogError::during(doing))
                .map(|_| ())
        })
    }

    /// Keeps an answer; drops what is too old, and the oldest above the bound.
    pub fn keep_answer(
        &self,
        key_hash: &[u8; 32],
        request_hash: &[u8; 32],
        answer: &StoredResponse,
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let doing = "keeps an answer";
        self.connections.write(doing, |transaction| {
            transaction
                .execute("DELETE FROM idempotency WHERE created_at_ms <= ?1", [
                    now_ms.saturating_sub(IDEMPOTENCY_AGE_MS_MAX)
                ])
                .map_err(CatalogError::during(doing))?;
            transaction
                .execute(
                    "DELETE FROM idempotency WHERE key_hash IN (
                        SELECT key_hash FROM idempotency ORDER BY created_at_ms DESC LIMIT -1 OFFSET ?1)",
                    [IDEMPOTENCY_ENTRIES_MAX - 1],
                )
                .map_err(CatalogError::during(doing))?;
            // Newest first, an answer stays as long as it and all newer ones, the new one included, keep the bound.
            let size_bytes = i64::try_from(answer.body.len()).unwrap_or(i64::MAX);
            let size_bytes_max = i64::try_from(IDEMPOTENCY_SIZE_BYTES_MAX).unwrap_or(i64::MAX);
            transaction
                .execute(
                    "DELETE FROM idempotency WHERE key_hash IN (
                        SELECT key_hash FROM (
                            SELECT key_hash, sum(length(body)) OVER (
                                ORDER BY created_at_ms DESC, key_hash DESC
                                ROWS UNBOUNDED PRECEDING) AS newer_bytes
                            FROM idempotency)
                        WHERE newer_bytes > ?1)",
                    [size_bytes_max.saturating_sub(size_bytes)],
                )
                .map_err(CatalogError::during(doing))?;
            transaction
                .execute(
                    "INSERT OR REPLACE INTO idempotency
                        (key_hash, request_hash, status, body, created_at_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![&key_hash[..], &request_hash[..], answer.status, answer.body, now_ms],
                )
                .map_err(CatalogError::during(doing))?;
            Ok(())
        })
    }
}

/// Blanks the kept answers in whose texts any of the names stands. Returns how many. Of which site an answer is, nothing says.
pub(crate) fn blank_answers(
    transaction: &Transaction<'_>,
    names: &[String],
) -> rusqlite::Result<usize> {
    let names: Vec<String> =
        names.iter().filter(|name| !name.is_empty()).map(|name| name.to_lowercase()).collect();
    if names.is_empty() {
        return Ok(0);
    }
    let mut statement =
        transaction.prepare_cached("SELECT key_hash, body FROM idempotency WHERE body <> x''")?;
    let naming = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Option<Vec<u8>>> {
        let is_naming = names_any(row.get_ref(1)?.as_blob()?, &names);
        Ok(if is_naming { Some(row.get(0)?) } else { None })
    };
    let found: Vec<Option<Vec<u8>>> =
        statement.query_map([], naming)?.collect::<rusqlite::Result<_>>()?;
    let mut blank = transaction
        .prepare_cached("UPDATE idempotency SET body = x'', status = ?2 WHERE key_hash = ?1")?;
    let mut count = 0;
    for key_hash in found.into_iter().flatten() {
        count += blank.execute(params![key_hash, ERASED_STATUS])?;
    }
    Ok(count)
}

/// Whether a JSON text has one of the names, in small letters, in one of its strings; numbers are nobody's names.
pub(crate) fn names_any(body: &[u8], names: &[String]) -> bool {
    fn any(value: &Value, names: &[String]) -> bool {
        match value {
            Value::String(text) => stands_in(text, names),
            Value::Array(items) => items.iter().any(|item| any(item, names)),
            Value::Object(fields) => {
                fields.iter().any(|(name, value)| stands_in(name, names) || any(value, names))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    match serde_json::from_slice(body) {
        Ok(value) => any(&value, names),
        Err(_) => stands_in(&String::from_utf8_lossy(body), names),
    }
}

/// Whether one of the names stands in a text by itself, as it is or as addresses write it; letters count alike.
fn stands_in(text: &str, names: &[String]) -> bool {
    let text = text.to_lowercase();
    let decoded = text.contains('%').then(|| percent_decoded(&text));
    names.iter().any(|name| {
        let stands = |text: &str| {
            text.match_indices(name.as_str()).any(|(at, _)| {
                let (before, after) = (&text[..at], &text[at + name.len()..]);
                !goes_on(before.chars().rev()) && !goes_on(after.chars())
            })
        };
        stands(&text) || decoded.as_deref().is_some_and(stands)
    })
}

/// Whether a word goes on there: with a letter or digit, or with one behind a sign that addresses, dates and ids join by.
fn goes_on(mut rest: impl Iterator<Item = char>) -> bool {
    match rest.next() {
        Some('_' | '-' | '.' | '+' | '@') => rest.next().is_some_and(char::is_alphanumeric),
        next => next.is_some_and(char::is_alphanumeric),
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let encoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, encoded) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_by_itself_or_not_at_all() {
        let stands = |text: &str, name: &str| names_any(text.as_bytes(), &[name.to_owned()]);
        for (text, name) in [
            (r#"{"user_id":"1"}"#, "1"),
            (r#"{"url":"https://shop.example/?user=1&b=2"}"#, "1"),
            (r#"{"html":"write to Anna@Mail.example."}"#, "anna@mail.example"),
            (r#"{"html":"?for=%20anna%2B1%40mail.example%20"}"#, "anna+1@mail.example"),
            (r#"{"a":[{"z\u00fcrich-7":true}]}"#, "zürich-7"),
            (r#"{"props":"{\"by\":\"anna\"}"}"#, "anna"),
            ("no JSON, anna", "anna"),
        ] {
            assert!(stands(text, name), "{name} in {text}");
        }
        for (text, name) in [
            (r#"{"count":1,"total":11,"id":"a1","at":"2026-11-01T10:11:12Z"}"#, "1"),
            (r#"{"html":"to anna@mail.example"}"#, "anna"),
            (r#"{"html":"to susanna@mail.example"}"#, "anna@mail.example"),
            (r#"{"html":"to anna+12@mail.example"}"#, "anna+1@mail.example"),
            (r#"{"price":"1.50"}"#, "1"),
            (r#"{"broken":"100%"}"#, "1"),
        ] {
            assert!(!stands(text, name), "{name} in {text}");
        }
    }
}
