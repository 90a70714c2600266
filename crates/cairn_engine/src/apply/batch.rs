//! From log records to one batch: the pure part of the apply loop.

use std::sync::Arc;

use cairn_catalog::{Directory, NewReceipt, PersonChange};
use cairn_model::refusal::Refusal;
use cairn_model::session::Attributes;
use cairn_model::{Event, Identification, Origin, Outcome, PixelKind, Session, SiteId, VisitorId};
use cairn_store::event_ids::EventIds;
use cairn_store::{Batch, OutcomeCount, Row, SessionProbe, Watermark};
use foldhash::{HashMap, HashSet};

use crate::record::{self, RecordError};
use crate::session::Sessions;

const HOUR_MS: i64 = 3_600_000;

/// What applying some records comes to.
pub(super) struct Applied<'a> {
    /// For the store.
    pub batch: Batch<'a>,
    /// For the people table.
    pub people: Vec<PersonChange>,
    /// For the chains of receipts.
    pub receipts: Vec<NewReceipt>,
    /// The last words of senders that keep no record of ours.
    pub refusals: Vec<Refusal>,
    /// Offset of the last record seen, which the people table and the receipts reach with these.
    pub people_watermark: u64,
    /// For the index of event ids: key, offset, arrival.
    pub event_keys: Vec<(u128, u64, i64)>,
    /// Offsets that turned out to be repetitions.
    pub duplicates: Vec<u64>,
    /// Events that came later than the session timeout.
    pub late: u64,
    /// Bytes of the records.
    pub size_bytes: u64,
    /// Records that no version of the format explains: a bug, counted.
    pub undecodable: u64,
    /// Removed sites of which events were left out, with the offset of the last one.
    pub of_removed: HashMap<SiteId, u64>,
    /// Sites of which records of erased visitors or users were left out, with the offset of the last one.
    pub of_erased: HashMap<SiteId, u64>,
}

impl<'a> Applied<'a> {
    /// Decides about records in order. Those at or below the store's watermark only feed the people table. `rows`: memory
    /// for theirs.
    pub fn decide(
        records: &'a cairn_log::Batch,
        rows: Vec<Row<'a>>,
        from: Watermark,
        directory: &Directory,
        sessions: &mut Sessions,
        event_ids: &EventIds,
        look_up: impl FnOnce(&[SessionProbe], i64) -> Vec<Session>,
    ) -> Applied<'a> {
        let mut applied = Applied {
            batch: Batch { watermark: from, ..Batch::default() },
            people: Vec::new(),
            receipts: Vec::new(),
            refusals: Vec::new(),
            people_watermark: 0,
            event_keys: Vec::new(),
            duplicates: Vec::new(),
            late: 0,
            size_bytes: 0,
            undecodable: 0,
            of_removed: HashMap::default(),
            of_erased: HashMap::default(),
        };
        let mut rows = applied.decode(records, rows, from, directory);
        let mut probes = HashSet::default();
        for row in &rows {
            sessions.probes_for(&row.event, &mut probes);
        }
        if !probes.is_empty() {
            let probes: Vec<SessionProbe> = probes.into_iter().collect();
            sessions.load(look_up(&probes, sessions.reach_ms()));
        }
        let mut outcomes = HashMap::default();
        let mut keys = HashSet::default();
        rows.retain_mut(|row| {
            let outcome = applied.apply(row, sessions, event_ids, &mut keys);
            let hour_ms = row.event.received_at_ms.div_euclid(HOUR_MS) * HOUR_MS;
            *outcomes.entry((row.event.site_id, hour_ms, outcome)).or_insert(0) += 1;
            outcome == Outcome::Accepted
        });
        applied.batch.rows = rows;
        applied.batch.sessions = sessions.take_changes();
        applied.batch.outcomes = counts(outcomes);
        applied
    }

    fn decode(
        &mut self,
        records: &'a cairn_log::Batch,
        mut rows: Vec<Row<'a>>,
        from: Watermark,
        directory: &Directory,
    ) -> Vec<Row<'a>> {
        // Rows are large: they are made where they stay, and get their visits later.
        rows.reserve(records.len());
        let no_attributes = Arc::<Attributes>::default();
        for (offset, bytes) in records.iter() {
            self.people_watermark = offset;
            self.size_bytes += bytes.len() as u64;
            self.batch.watermark.offset = self.batch.watermark.offset.max(offset);
            if record::is_choice(bytes) {
                self.note_choice(offset, bytes, directory);
                continue;
            }
            if record::is_refusal(bytes) {
                self.note_refusal(offset, bytes, directory);
                continue;
            }
            match record::decode(bytes) {
                Ok(event) if directory.is_removed(event.site_id) => {
                    self.of_removed.insert(event.site_id, offset);
                }
                Ok(event)
                    if directory.is_erased(event.site_id, event.visitor_id, event.user_key) =>
                {
                    self.of_erased.insert(event.site_id, offset);
                }
                Ok(mut event) => {
                    self.people.extend(person_change(offset, &mut event, directory));
                    if offset > from.offset {
                        let attributes = Arc::clone(&no_attributes);
                        rows.push(Row { offset, session_id: 0, attributes, event });
                    }
                }
                Err(error) => self.leave_out(offset, &error),
            }
        }
        rows
    }

    fn note_choice(&mut self, offset: u64, bytes: &[u8], directory: &Directory) {
        match record::decode_choice(bytes) {
            Ok(choice) if directory.is_removed(choice.site_id) => {
                self.of_removed.insert(choice.site_id, offset);
            }
            Ok(mut choice) => {
                // The choice stays as proof; whose it was goes.
                if directory.is_erased(choice.site_id, choice.subject, 0) {
                    self.of_erased.insert(choice.site_id, offset);
                    choice.subject = VisitorId(0);
                }
                self.receipts.push(NewReceipt { offset, choice: choice.into_owned() });
            }
            Err(error) => self.leave_out(offset, &error),
        }
    }

    fn note_refusal(&mut self, offset: u64, bytes: &[u8], directory: &Directory) {
        match record::decode_refusal(bytes) {
            Ok(refusal) if directory.is_removed(refusal.site_id) => {
                self.of_removed.insert(refusal.site_id, offset);
            }
            Ok(refusal) if directory.is_erased(refusal.site_id, refusal.sender, 0) => {
                self.of_erased.insert(refusal.site_id, offset);
            }
            Ok(refusal) => self.refusals.push(refusal),
            Err(error) => self.leave_out(offset, &error),
        }
    }

    fn leave_out(&mut self, offset: u64, error: &RecordError) {
        debug_assert!(false, "record {offset}: {error}");
        tracing::error!(offset, %error, "a log record cannot be read; it is left out");
        self.undecodable += 1;
    }

    /// Gives a row its visit, unless it repeats an event.
    fn apply(
        &mut self,
        row: &mut Row<'a>,
        sessions: &mut Sessions,
        event_ids: &EventIds,
        keys: &mut HashSet<u128>,
    ) -> Outcome {
        let Row { offset, event, .. } = row;
        let clock_ms = self.batch.watermark.received_at_ms.max(event.received_at_ms);
        self.batch.watermark.received_at_ms = clock_ms;
        if event.event_key != 0 {
            let repeated = !keys.insert(event.event_key)
                || event_ids.contains(event.event_key, event.received_at_ms);
            if repeated {
                self.duplicates.push(*offset);
                return Outcome::Duplicate;
            }
            self.event_keys.push((event.event_key, *offset, event.received_at_ms));
        }
        if event.origin != Origin::Import
            && event.received_at_ms - event.timestamp_ms > sessions.reach_ms()
        {
            self.late += 1;
        }
        let assigned = sessions.assign(*offset, event);
        event.visitor_id = assigned.visitor_id;
        event.identification = assigned.identification;
        row.session_id = assigned.session_id;
        row.attributes = assigned.attributes;
        Outcome::Accepted
    }
}

/// Takes the direct identifiers out of an event: they belong into the people table only.
fn person_change(
    offset: u64,
    event: &mut Event<'_>,
    directory: &Directory,
) -> Option<PersonChange> {
    let user_id = std::mem::take(&mut event.user_id);
    let traits = std::mem::take(&mut event.traits);
    if user_id.is_empty() || event.identification != Identification::Identified {
        return None;
    }
    Some(PersonChange {
        offset,
        site_id: event.site_id,
        user_key: event.user_key,
        user_id: user_id.into_owned(),
        is_proven: !traits.is_empty() && is_the_sites_word(event, directory),
        claimed_traits: traits.into_owned(),
        // An import tells of old days; its people are as new as its events.
        seen_at_ms: event.received_at_ms,
    })
}

/// Whether the site itself said it: by its owner's import, or its server with the secret key.
fn is_the_sites_word(event: &Event<'_>, directory: &Directory) -> bool {
    let sender = || directory.pixel(event.site_id, event.pixel_id);
    match event.origin {
        Origin::Import => true,
        Origin::Live => sender().is_some_and(|pixel| pixel.kind == PixelKind::Server),
        Origin::OffSite => false,
    }
}

fn counts(outcomes: HashMap<(SiteId, i64, Outcome), u64>) -> Vec<OutcomeCount> {
    let mut counts: Vec<OutcomeCount> = outcomes
        .into_iter()
        .map(|((site_id, hour_ms, outcome), count)| OutcomeCount {
            site_id,
            hour_ms,
            outcome,
            count,
        })
        .collect();
    counts.sort_by_key(|count| (count.site_id, count.hour_ms, count.outcome));
    counts
}
