//! Writing batches: events, visits, outcome counts and the watermark in one transaction.
//!
//! Guarantees: after an error nothing of the batch is stored, and the next batch can be written.

use std::fmt::Write as _;

use cairn_model::session::Attribute;
use cairn_model::{Identification, Origin};

use super::appender::{ChunkAppender, ChunkWriter};
use super::connection::{Connection, Database};
use super::error::DuckError;
use crate::{Batch, OutcomeCount, Row, SessionChange, Watermark};

/// The one writing connection with its appenders.
pub(super) struct Writer {
    events: ChunkAppender,
    sessions: ChunkAppender,
    outcomes: ChunkAppender,
    pub(super) connection: Connection,
    /// Keys of events with an id can be computed again, so they are not stored.
    keys_are_computed: bool,
    /// Rows of `outcomes` since they were last summed, and the earliest of their hours.
    outcomes_unsummed: usize,
    outcomes_since_ms: i64,
}

/// Rows of `outcomes` from which a checkpoint sums them by hour: every commit adds some.
const OUTCOMES_UNSUMMED_MAX: usize = 1000;

impl Writer {
    pub(super) fn open(database: &Database, keys_are_computed: bool) -> Result<Self, DuckError> {
        let connection = database.connect()?;
        Ok(Writer {
            events: ChunkAppender::open(&connection, "events")?,
            sessions: ChunkAppender::open(&connection, "sessions")?,
            outcomes: ChunkAppender::open(&connection, "outcomes")?,
            connection,
            keys_are_computed,
            outcomes_unsummed: 0,
            outcomes_since_ms: i64::MAX,
        })
    }

    /// Writes a batch; what it replaces is deleted first.
    pub(super) fn commit(&mut self, batch: &Batch<'_>) -> Result<(), DuckError> {
        self.connection.run("BEGIN TRANSACTION")?;
        let written = self.write(batch).and_then(|()| self.work("COMMIT"));
        if written.is_err() {
            self.undo();
        } else {
            self.outcomes_unsummed += batch.outcomes.len();
            let earliest = batch.outcomes.iter().map(|count| count.hour_ms).min();
            self.outcomes_since_ms = self.outcomes_since_ms.min(earliest.unwrap_or(i64::MAX));
        }
        written
    }

    /// Moves the write-ahead file into the database file. Readers go on reading what they see.
    pub(super) fn checkpoint(&mut self) -> Result<(), DuckError> {
        if self.outcomes_unsummed > OUTCOMES_UNSUMMED_MAX {
            self.connection.run("BEGIN TRANSACTION")?;
            let summed = self.sum_outcomes().and_then(|()| self.work("COMMIT"));
            if let Err(error) = summed {
                self.undo();
                return Err(error);
            }
            (self.outcomes_unsummed, self.outcomes_since_ms) = (0, i64::MAX);
        }
        // Without FORCE it fails while anything is being read.
        self.work("FORCE CHECKPOINT")
    }

    /// Makes one row of each site, hour and outcome.
    fn sum_outcomes(&mut self) -> Result<(), DuckError> {
        let since = [self.outcomes_since_ms.into()];
        let mut sums: Vec<(u32, i64, u8, u64)> = Vec::new();
        let sql = "SELECT site_id, hour_ms, outcome, sum(count) FROM outcomes
            WHERE hour_ms >= ? GROUP BY ALL ORDER BY ALL";
        self.connection.query(sql, &since)?.for_each(|row| {
            sums.push((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            Ok::<(), DuckError>(())
        })?;
        self.connection.execute("DELETE FROM outcomes WHERE hour_ms >= ?", &since)?;
        append(&mut self.outcomes, &sums, |chunk, sums| {
            chunk.u32s(sums.iter().map(|sum| sum.0))?;
            chunk.i64s(sums.iter().map(|sum| sum.1))?;
            chunk.u8s(sums.iter().map(|sum| sum.2))?;
            chunk.u64s(sums.iter().map(|sum| sum.3))
        })
    }

    /// Runs a statement that takes long; this thread sleeps while the engine's own threads work on it.
    fn work(&self, sql: &str) -> Result<(), DuckError> {
        self.connection.execute(sql, &[]).map(|_| ())
    }

    /// Leaves no trace of a failed batch. Errors say nothing new here: the first one is reported.
    fn undo(&mut self) {
        for appender in [&mut self.events, &mut self.sessions, &mut self.outcomes] {
            let _ = appender.clear();
        }
        let _ = self.connection.run("ROLLBACK");
    }

    fn write(&mut self, batch: &Batch<'_>) -> Result<(), DuckError> {
        self.delete_replaced(&batch.sessions)?;
        let computed = self.keys_are_computed;
        append(&mut self.events, &batch.rows, |chunk, rows| write_events(chunk, rows, computed))?;
        append(&mut self.sessions, &batch.sessions, write_sessions)?;
        append(&mut self.outcomes, &batch.outcomes, write_outcomes)?;
        let Watermark { offset, received_at_ms } = batch.watermark;
        let sql = "UPDATE meta SET watermark = ?, received_at_ms = ?";
        self.connection.execute(sql, &[offset.into(), received_at_ms.into()])?;
        Ok(())
    }

    fn delete_replaced(&mut self, changes: &[SessionChange]) -> Result<(), DuckError> {
        let replaced = changes.iter().filter(|change| change.replaces);
        let (mut least, mut greatest, mut list) = (u64::MAX, 0, String::new());
        for SessionChange { session, .. } in replaced {
            let id = session.session_id;
            (least, greatest) = (least.min(id), greatest.max(id));
            let comma = if list.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(list, "{comma}{id}");
        }
        if list.is_empty() {
            return Ok(());
        }
        // Prepared anew each time: what was prepared before a checkpoint may see the table as it was then.
        let sql = "DELETE FROM sessions WHERE session_id >= ? AND session_id <= ?
            AND session_id IN (SELECT unnest(string_split(?, ','))::UBIGINT)";
        self.connection.execute(sql, &[least.into(), greatest.into(), list.as_str().into()])?;
        Ok(())
    }
}

/// Appends `items` in chunks, each filled by `fill`.
fn append<T>(
    appender: &mut ChunkAppender,
    items: &[T],
    fill: impl Fn(&mut ChunkWriter<'_>, &[T]) -> Result<(), DuckError>,
) -> Result<(), DuckError> {
    if items.is_empty() {
        return Ok(());
    }
    for part in items.chunks(appender.capacity()) {
        let mut chunk = appender.chunk(part.len())?;
        fill(&mut chunk, part)?;
        chunk.finish()?;
    }
    appender.flush()
}

/// The columns of `events`, in the order of the schema.
fn write_events(
    chunk: &mut ChunkWriter<'_>,
    rows: &[Row<'_>],
    keys_are_computed: bool,
) -> Result<(), DuckError> {
    chunk.u32s(rows.iter().map(|row| row.event.site_id.0))?;
    chunk.u64s(rows.iter().map(|row| row.offset))?;
    chunk.u64s(rows.iter().map(|row| row.session_id))?;
    chunk.u64s(rows.iter().map(|row| row.event.visitor_id.0))?;
    chunk.bools(rows.iter().map(|row| row.event.identification == Identification::Identified))?;
    chunk.u64s(rows.iter().map(|row| row.event.user_key))?;
    chunk.i64s(rows.iter().map(|row| row.event.timestamp_ms))?;
    chunk.i64s(rows.iter().map(|row| row.event.received_at_ms))?;
    chunk.u32s(rows.iter().map(|row| row.event.pixel_id.0))?;
    chunk.bools(rows.iter().map(|row| row.event.origin == Origin::Import))?;
    chunk.u8s(rows.iter().map(|row| row.event.basis as u8))?;
    chunk.texts(rows.iter().map(|row| &*row.event.name))?;
    write_event_ids(chunk, rows, keys_are_computed)?;
    chunk.texts(rows.iter().map(|row| &*row.event.hostname))?;
    chunk.texts(rows.iter().map(|row| &*row.event.path))?;
    chunk.texts(rows.iter().map(|row| &*row.event.query))?;
    chunk.texts(rows.iter().map(|row| &*row.event.title))?;
    for attribute in Attribute::ALL {
        chunk.texts(rows.iter().map(|row| row.attributes.get(attribute)))?;
    }
    chunk.texts(rows.iter().map(|row| &*row.event.click_id_kind))?;
    chunk.texts(rows.iter().map(|row| &*row.event.click_id))?;
    chunk.u32s(rows.iter().map(|row| row.event.asn))?;
    chunk.texts(rows.iter().map(|row| &*row.event.organization))?;
    chunk.texts(rows.iter().map(|row| &*row.event.network_marks))?;
    chunk.texts(rows.iter().map(|row| &*row.event.screen))?;
    chunk.texts(rows.iter().map(|row| &*row.event.language))?;
    chunk.optional_i64s(rows.iter().map(|row| row.event.value_minor))?;
    chunk.texts(rows.iter().map(|row| &*row.event.currency))?;
    chunk.texts(rows.iter().map(|row| &*row.event.order_id))?;
    chunk.texts(rows.iter().map(|row| &*row.event.items))?;
    chunk.optional_u32s(rows.iter().map(|row| row.event.engagement_ms))?;
    chunk.optional_u8s(rows.iter().map(|row| row.event.scroll_percent))?;
    chunk.texts(rows.iter().map(|row| &*row.event.section_id))?;
    chunk.optional_u32s(rows.iter().map(|row| row.event.section_visible_ms))?;
    chunk.optional_u8s(rows.iter().map(|row| row.event.section_visible_percent))?;
    chunk.texts(rows.iter().map(|row| &*row.event.props))?;
    chunk.bools(rows.iter().map(|row| row.event.truncated))
}

/// `event_key`, `event_uuid`, `event_id`: what is random is stored once, in as few bytes as it takes.
fn write_event_ids(
    chunk: &mut ChunkWriter<'_>,
    rows: &[Row<'_>],
    keys_are_computed: bool,
) -> Result<(), DuckError> {
    let uuids: Vec<Option<u128>> = rows.iter().map(|row| uuid(&row.event.event_id)).collect();
    chunk.optional_u128s(rows.iter().map(|row| {
        let known = row.event.event_key == 0 || keys_are_computed && !row.event.event_id.is_empty();
        (!known).then_some(row.event.event_key)
    }))?;
    chunk.optional_u128s(uuids.iter().copied())?;
    chunk.texts(rows.iter().zip(&uuids).map(|(row, uuid)| match uuid {
        Some(_) => "",
        None => &*row.event.event_id,
    }))
}

/// The columns of `sessions`, in the order of the schema.
fn write_sessions(chunk: &mut ChunkWriter<'_>, changes: &[SessionChange]) -> Result<(), DuckError> {
    let sessions = || changes.iter().map(|change| &change.session);
    chunk.u32s(sessions().map(|session| session.site_id.0))?;
    chunk.u64s(sessions().map(|session| session.session_id))?;
    chunk.u64s(sessions().map(|session| session.visitor_id.0))?;
    chunk.bools(sessions().map(|session| session.identification == Identification::Identified))?;
    chunk.u64s(sessions().map(|session| session.session_key))?;
    chunk.i64s(sessions().map(|session| session.started_at_ms))?;
    chunk.i64s(sessions().map(|session| session.ended_at_ms))?;
    chunk.i64s(sessions().map(|session| session.last_activity_ms))?;
    chunk.i64s(sessions().map(|session| session.last_received_ms))?;
    chunk.u32s(sessions().map(|session| session.pageviews))?;
    chunk.u32s(sessions().map(|session| session.events))?;
    chunk.texts(sessions().map(|session| session.entry_hostname.as_str()))?;
    chunk.texts(sessions().map(|session| session.entry_page.as_str()))?;
    chunk.texts(sessions().map(|session| session.exit_hostname.as_str()))?;
    chunk.texts(sessions().map(|session| session.exit_page.as_str()))?;
    for attribute in Attribute::ALL {
        chunk.texts(sessions().map(|session| session.attributes.get(attribute)))?;
    }
    Ok(())
}

/// The columns of `outcomes`, in the order of the schema.
fn write_outcomes(chunk: &mut ChunkWriter<'_>, counts: &[OutcomeCount]) -> Result<(), DuckError> {
    chunk.u32s(counts.iter().map(|count| count.site_id.0))?;
    chunk.i64s(counts.iter().map(|count| count.hour_ms))?;
    chunk.u8s(counts.iter().map(|count| count.outcome as u8))?;
    chunk.u64s(counts.iter().map(|count| count.count))
}

/// The number in a UUID in canonical form (lower case, hyphens in place), which alone can be written back unchanged.
pub(super) fn uuid(text: &str) -> Option<u128> {
    let bytes: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut value = 0u128;
    for (index, byte) in bytes.iter().enumerate() {
        let digit = match (index, byte) {
            (8 | 13 | 18 | 23, b'-') => continue,
            (8 | 13 | 18 | 23, _) => return None,
            (_, b'0'..=b'9') => byte - b'0',
            (_, b'a'..=b'f') => byte - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u128::from(digit);
    }
    Some(value)
}

/// The canonical form of [`uuid`].
pub(super) fn uuid_text(value: u128) -> String {
    let [a, b, c, d, e] = [value >> 96, value >> 80, value >> 64, value >> 48, value];
    let (b, c, d) = (b & 0xffff, c & 0xffff, d & 0xffff);
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{:012x}", e & 0xffff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_uuids_become_numbers_and_all_of_them_come_back() {
        let text = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let number = 0x0f8f_ad5b_d9cb_469f_a165_7086_7728_950e;
        assert_eq!(uuid(text), Some(number));
        assert_eq!(uuid_text(number), text);
        for value in [0, 1, u128::MAX, 1 << 64, 1 << 48] {
            assert_eq!(uuid(&uuid_text(value)), Some(value));
        }
        for other in [
            "",
            "0F8FAD5B-D9CB-469F-A165-70867728950E",
            "0f8fad5bd9cb469fa16570867728950e",
            "{0f8fad5b-d9cb-469f-a165-70867728950}",
            "0f8fad5b-d9cb-469f-a165-70867728950g",
            "0f8fad5b-d9cb-469f-a165+70867728950e",
            "-f8fad5b-d9cb-469f-a165-70867728950e",
        ] {
            assert_eq!(uuid(other), None, "{other}");
        }
    }
}
