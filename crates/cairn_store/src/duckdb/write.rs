//! Writing batches: events, visits, outcome counts and the watermark in one transaction.
//!
//! Guarantees: after an error nothing of the batch is stored, and the next batch can be written.

use std::fmt::Write as _;
use std::sync::Arc;

use cairn_model::session::{ATTRIBUTES, Attribute, Attributes};
use cairn_model::{Identification, Origin};
use foldhash::HashMap;

use super::appender::{ChunkAppender, ChunkWriter};
use super::connection::{Connection, Database};
use super::error::DuckError;
use super::rewrite::Copying;
use super::rollup::Rollups;
use super::texts::{Coding, NewText, TextCodes, write_texts};
use crate::schema::{EVENT_TEXTS, TextField};
use crate::{Batch, OutcomeCount, Row, SessionChange, Watermark};

/// The one writing connection with its appenders.
pub(super) struct Writer {
    /// `None`: not read yet, or not known since something failed.
    texts: Option<TextCodes>,
    new_texts: ChunkAppender,
    events: ChunkAppender,
    sessions: ChunkAppender,
    outcomes: ChunkAppender,
    pub(super) connection: Connection,
    /// Keys of events with an id can be computed again, so they are not stored.
    keys_are_computed: bool,
    /// Rows of `outcomes` since they were last summed, and the earliest of their hours.
    outcomes_unsummed: usize,
    outcomes_since_ms: i64,
    /// Changes so far: a copy of the file is whole only as of one of them.
    pub(super) changes: u64,
    /// The copy of the file that is being written.
    pub(super) copying: Option<Copying>,
    pub(super) rollups: Arc<Rollups>,
}

/// Rows of `outcomes` from which a checkpoint sums them by hour: every commit adds some.
const OUTCOMES_UNSUMMED_MAX: usize = 1000;

impl Writer {
    pub(super) fn open(
        database: &Database,
        keys_are_computed: bool,
        rollups: Arc<Rollups>,
    ) -> Result<Self, DuckError> {
        let connection = database.connect()?;
        Ok(Writer {
            texts: None,
            new_texts: ChunkAppender::open(&connection, "texts")?,
            events: ChunkAppender::open(&connection, "events")?,
            sessions: ChunkAppender::open(&connection, "sessions")?,
            outcomes: ChunkAppender::open(&connection, "outcomes")?,
            connection,
            keys_are_computed,
            outcomes_unsummed: 0,
            outcomes_since_ms: i64::MAX,
            changes: 0,
            copying: None,
            rollups,
        })
    }

    /// Writes a batch; what it replaces is deleted first.
    pub(super) fn commit(&mut self, batch: &Batch<'_>) -> Result<(), DuckError> {
        self.changes += 1;
        self.connection.run("BEGIN TRANSACTION")?;
        let written = self.write(batch).and_then(|()| {
            self.rollups.forget_changed(batch)?;
            self.work("COMMIT")
        });
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
            self.changes += 1;
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
    pub(super) fn work(&self, sql: &str) -> Result<(), DuckError> {
        self.connection.execute(sql, &[]).map(|_| ())
    }

    /// Leaves no trace of a failed batch. Errors say nothing new here: the first one is reported.
    fn undo(&mut self) {
        for appender in
            [&mut self.new_texts, &mut self.events, &mut self.sessions, &mut self.outcomes]
        {
            let _ = appender.clear();
        }
        let _ = self.connection.run("ROLLBACK");
        self.forget_texts();
    }

    /// What the table of texts holds is read anew before the next batch.
    pub(super) fn forget_texts(&mut self) {
        self.texts = None;
    }

    fn write(&mut self, batch: &Batch<'_>) -> Result<(), DuckError> {
        self.delete_replaced(&batch.sessions)?;
        let (codes, added) = self.code(batch)?;
        append(&mut self.new_texts, &added, write_texts)?;
        let computed = self.keys_are_computed;
        let rows: Vec<_> = batch.rows.iter().zip(codes.of_rows()).collect();
        append(&mut self.events, &rows, |chunk, rows| write_events(chunk, rows, computed))?;
        let sessions: Vec<_> = batch.sessions.iter().zip(codes.of_sessions()).collect();
        append(&mut self.sessions, &sessions, write_sessions)?;
        append(&mut self.outcomes, &batch.outcomes, write_outcomes)?;
        let Watermark { offset, received_at_ms } = batch.watermark;
        let sql = "UPDATE meta SET watermark = ?, received_at_ms = ?";
        self.connection.execute(sql, &[offset.into(), received_at_ms.into()])?;
        Ok(())
    }

    /// The codes of all texts of the batch, and the texts that are new.
    fn code(&mut self, batch: &Batch<'_>) -> Result<(BatchCodes, Vec<NewText>), DuckError> {
        let texts = match &mut self.texts {
            Some(texts) => texts,
            none => none.insert(TextCodes::load(&self.connection)?),
        };
        let mut attributes = AttributeSets::default();
        let mut coding = Coding::default();
        let of_sessions: Vec<Places> = batch
            .sessions
            .iter()
            .map(|SessionChange { session, .. }| {
                let site_id = session.site_id.0;
                let attributes = attributes.place(texts, &mut coding, site_id, &session.attributes);
                let own = coding.position();
                let pages: [_; SESSION_PAGES] = [
                    (TextField::Hostname, &session.entry_hostname),
                    (TextField::Path, &session.entry_page),
                    (TextField::Hostname, &session.exit_hostname),
                    (TextField::Path, &session.exit_page),
                ];
                for (field, text) in pages {
                    texts.code(&mut coding, site_id, field, text);
                }
                Places { own, attributes }
            })
            .collect();
        let of_rows: Vec<Places> = batch
            .rows
            .iter()
            .map(|row| {
                let site_id = row.event.site_id.0;
                let attributes = attributes.place(texts, &mut coding, site_id, &row.attributes);
                let own = coding.position();
                for ((_, field), text) in EVENT_TEXTS.into_iter().zip(event_texts(row)) {
                    texts.code(&mut coding, site_id, field, text);
                }
                Places { own, attributes }
            })
            .collect();
        let (codes, added) = texts.finish(&self.connection, coding)?;
        Ok((BatchCodes { codes, of_rows, of_sessions }, added))
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

/// The texts of [`EVENT_TEXTS`].
fn event_texts<'r>(row: &'r Row<'_>) -> [&'r str; EVENT_TEXTS.len()] {
    let event = &row.event;
    [
        &event.name,
        &event.hostname,
        &event.path,
        &event.title,
        &event.click_id_kind,
        &event.organization,
        &event.network_marks,
        &event.screen,
        &event.language,
        &event.currency,
        &event.section_id,
    ]
}

/// Texts that a visit has of its own: host and path of its entry and its exit.
const SESSION_PAGES: usize = 4;

/// Where the codes of one row begin.
#[derive(Clone, Copy)]
struct Places {
    own: usize,
    attributes: usize,
}

/// The codes of a batch.
struct BatchCodes {
    codes: Vec<u32>,
    of_rows: Vec<Places>,
    of_sessions: Vec<Places>,
}

/// The codes of one row.
#[derive(Clone, Copy)]
struct RowCodes<'c> {
    own: &'c [u32],
    attributes: &'c [u32],
}

impl BatchCodes {
    fn at(&self, places: &Places) -> RowCodes<'_> {
        RowCodes { own: &self.codes[places.own..], attributes: &self.codes[places.attributes..] }
    }

    fn of_rows(&self) -> impl Iterator<Item = RowCodes<'_>> {
        self.of_rows.iter().map(|places| self.at(places))
    }

    fn of_sessions(&self) -> impl Iterator<Item = RowCodes<'_>> {
        self.of_sessions.iter().map(|places| self.at(places))
    }
}

/// Attributes of visits that were coded already: a visit and its events share theirs.
#[derive(Default)]
struct AttributeSets {
    places: HashMap<(u32, *const Attributes), usize>,
}

impl AttributeSets {
    fn place<'t>(
        &mut self,
        texts: &mut TextCodes,
        coding: &mut Coding<'t>,
        site_id: u32,
        attributes: &'t Arc<Attributes>,
    ) -> usize {
        *self.places.entry((site_id, Arc::as_ptr(attributes))).or_insert_with(|| {
            let place = coding.position();
            for attribute in Attribute::ALL {
                let field = TextField::Visit(attribute);
                texts.code(coding, site_id, field, attributes.get(attribute));
            }
            place
        })
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
    coded: &[(&Row<'_>, RowCodes<'_>)],
    keys_are_computed: bool,
) -> Result<(), DuckError> {
    let rows = || coded.iter().map(|(row, _)| *row);
    chunk.u32s(rows().map(|row| row.event.site_id.0))?;
    chunk.u64s(rows().map(|row| row.offset))?;
    chunk.u64s(rows().map(|row| row.session_id))?;
    chunk.u64s(rows().map(|row| row.event.visitor_id.0))?;
    chunk.bools(rows().map(|row| row.event.identification == Identification::Identified))?;
    chunk.u64s(rows().map(|row| row.event.user_key))?;
    chunk.i64s(rows().map(|row| row.event.timestamp_ms))?;
    chunk.i64s(rows().map(|row| row.event.received_at_ms))?;
    chunk.u32s(rows().map(|row| row.event.pixel_id.0))?;
    chunk.bools(rows().map(|row| row.event.origin == Origin::Import))?;
    chunk.u8s(rows().map(|row| row.event.basis as u8))?;
    write_event_ids(chunk, rows, keys_are_computed)?;
    write_codes(chunk, coded.iter().map(|(_, codes)| codes), EVENT_TEXTS.len())?;
    chunk.texts(rows().map(|row| &*row.event.query))?;
    chunk.texts(rows().map(|row| &*row.event.click_id))?;
    chunk.u32s(rows().map(|row| row.event.asn))?;
    chunk.optional_i64s(rows().map(|row| row.event.value_minor))?;
    chunk.texts(rows().map(|row| &*row.event.order_id))?;
    chunk.texts(rows().map(|row| &*row.event.items))?;
    chunk.optional_u32s(rows().map(|row| row.event.engagement_ms))?;
    chunk.optional_u8s(rows().map(|row| row.event.scroll_percent))?;
    chunk.optional_u32s(rows().map(|row| row.event.section_visible_ms))?;
    chunk.optional_u8s(rows().map(|row| row.event.section_visible_percent))?;
    chunk.texts(rows().map(|row| &*row.event.props))?;
    chunk.bools(rows().map(|row| row.event.truncated))
}

/// The codes of `own` texts, then those of the visit's attributes.
fn write_codes<'c>(
    chunk: &mut ChunkWriter<'_>,
    codes: impl Iterator<Item = &'c RowCodes<'c>> + Clone,
    own: usize,
) -> Result<(), DuckError> {
    for column in 0..own {
        chunk.u32s(codes.clone().map(|codes| codes.own[column]))?;
    }
    for column in 0..ATTRIBUTES {
        chunk.u32s(codes.clone().map(|codes| codes.attributes[column]))?;
    }
    Ok(())
}

/// `event_key`, `event_uuid`, `event_id`: what is random is stored once, in as few bytes as it takes.
fn write_event_ids<'r, 'e: 'r, I: Iterator<Item = &'r Row<'e>>>(
    chunk: &mut ChunkWriter<'_>,
    rows: impl Fn() -> I,
    keys_are_computed: bool,
) -> Result<(), DuckError> {
    let uuids: Vec<Option<u128>> = rows().map(|row| uuid(&row.event.event_id)).collect();
    chunk.optional_u128s(rows().map(|row| {
        let known = row.event.event_key == 0 || keys_are_computed && !row.event.event_id.is_empty();
        (!known).then_some(row.event.event_key)
    }))?;
    chunk.optional_u128s(uuids.iter().copied())?;
    chunk.texts(rows().zip(&uuids).map(|(row, uuid)| match uuid {
        Some(_) => "",
        None => &*row.event.event_id,
    }))
}

/// The columns of `sessions`, in the order of the schema.
fn write_sessions(
    chunk: &mut ChunkWriter<'_>,
    coded: &[(&SessionChange, RowCodes<'_>)],
) -> Result<(), DuckError> {
    let sessions = || coded.iter().map(|(change, _)| &change.session);
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
    write_codes(chunk, coded.iter().map(|(_, codes)| codes), SESSION_PAGES)
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
    let hyphens = [8, 13, 18, 23].iter().all(|at| bytes[*at] == b'-');
    // One table look-up a digit and one check at the end: this is done for every event.
    let (mut value, mut seen) = (0u128, 0u8);
    for part in [0..8, 9..13, 14..18, 19..23, 24..36] {
        let mut digits = 0u64;
        let size_bits = part.len() * 4;
        for byte in &bytes[part] {
            let digit = DIGITS[usize::from(*byte)];
            seen |= digit;
            digits = digits << 4 | u64::from(digit);
        }
        value = value << size_bits | u128::from(digits);
    }
    (hyphens && seen & NO_DIGIT == 0).then_some(value)
}

/// A bit that no digit has.
const NO_DIGIT: u8 = 0x80;

/// Values of the hexadecimal digits in lower case.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

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
