//! Answers kept for repeated requests with an `Idempotency-Key`.
//!
//! Guarantees: a key is bound to the request it came with first; of the key only a hash is kept, for 24 hours. Answers are
//! bounded in number and in bytes: beyond, the oldest go first.

use rusqlite::{OptionalExtension, params};

use crate::{
    Catalog, CatalogError, IDEMPOTENCY_AGE_MS_MAX, IDEMPOTENCY_ENTRIES_MAX,
    IDEMPOTENCY_SIZE_BYTES_MAX,
};

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
