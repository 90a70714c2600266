//! Summing stretches up.

use std::time::Instant;

use cairn_model::SiteId;

use super::{DuckStore, Opened, lock};
use crate::duckdb::connection::Connection;
use crate::duckdb::error::DuckError;
use crate::duckdb::rollup::Rolling;
use crate::{Span, StoreError};

const DOING: &str = "sums up a stretch";

impl DuckStore {
    /// How many sides of questions were answered with rollups since the start.
    pub fn rollups_answered(&self) -> u64 {
        self.rollups.answered()
    }

    /// For a question that begins now: waiting for a turn does not count.
    pub(super) fn rolling(&self) -> Rolling<'_> {
        Rolling {
            rollups: &self.rollups,
            threads: self.options.threads.max(1) as usize,
            deadline: Instant::now() + self.options.question_time_max,
        }
    }

    pub(super) fn sum_up(&self, site_id: SiteId, span: Span) -> Result<bool, StoreError> {
        let _place = self.place_for_reader();
        self.with_opened(|opened| {
            let begin = |note: &dyn Fn()| begin(opened, note);
            self.rollups.make(site_id, span, begin).map_err(|error| error.while_it(DOING))
        })
    }
}

/// A connection that sees what is committed. No commit is under way while it begins, so whatever it does not see is written
/// after `note`, and finds what is being made.
fn begin(opened: &Opened, note: &dyn Fn()) -> Result<(Connection, u64), DuckError> {
    let connection = opened.database.connect()?;
    let _between_commits = lock(&opened.writer);
    note();
    connection.run("BEGIN TRANSACTION READ ONLY")?;
    // The first statement decides what the transaction sees.
    let watermark = connection.query("SELECT watermark FROM meta", &[])?;
    let watermark = watermark.first(|row| row.get(0))?;
    Ok((connection, watermark.unwrap_or_default()))
}
