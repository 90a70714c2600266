//! Getting the bytes of deleted rows out of the store's files, some time after they were deleted.
//!
//! Guarantees: it begins at most [`Rewriting::new`]'s bound after the first deletion, or at once when somebody waits for an
//! erasure; many deletions share one rewriting. It works in steps between which batches are applied.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::remains::{Databases, Failure, Patience};

/// Pause after a failure: half a copy of the file may have been written for nothing.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// The store's files and what they may hold.
pub(super) struct Rewriting {
    wait_max: Duration,
    is_running: bool,
    patience: Patience,
}

impl Rewriting {
    /// It may wait so long after a deletion.
    pub fn new(wait_max: Duration) -> Self {
        Rewriting { wait_max, is_running: false, patience: Patience::of(RETRY_PAUSE) }
    }

    /// It has begun, and has more steps to do: who deletes now makes it begin anew.
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// Takes a step if one is due. Returns why it failed, if it did.
    pub fn step(&mut self, databases: &Databases<'_>, is_forced: bool) -> Option<String> {
        if !self.patience.may_try() {
            return None;
        }
        let Some(since_ms) = databases.store.erased_since_ms() else {
            self.is_running = false;
            return None;
        };
        // The store's time is the machine's.
        let wait_max_ms = i64::try_from(self.wait_max.as_millis()).unwrap_or(i64::MAX);
        let is_due = machine_ms().saturating_sub(since_ms) >= wait_max_ms;
        if !(self.is_running || is_forced || is_due) {
            return None;
        }
        let stepped = databases.store.rewrite_erased().map_err(Failure::from).map(|rewritten| {
            self.is_running = !rewritten.is_complete;
            if rewritten.is_complete {
                let (events, bytes) = (rewritten.events, rewritten.overwritten_bytes);
                tracing::info!(events, overwritten_bytes = bytes, "erased bytes are gone");
            }
        });
        self.is_running &= stepped.is_ok();
        let failure = stepped.as_ref().err().map(ToString::to_string);
        self.patience.note("what was deleted from the store's file", stepped);
        failure
    }
}

#[cfg(test)]
impl Rewriting {
    pub fn end_pause(&mut self) {
        self.patience.end_pause();
    }
}

fn machine_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
