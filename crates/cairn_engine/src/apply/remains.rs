//! What is left of somebody who is gone from the databases: records in the log, hits under way, bytes in journals.
//!
//! Guarantees: nothing that is not applied leaves the log. What fails is tried again after a pause, with one warning.

use std::time::{Duration, Instant};

use cairn_catalog::Catalog;
use cairn_log::{Log, Offset};
use cairn_store::EventStore;

use super::handle::Shared;

/// A hit that was let in before is in the log by then: the slowest is an import at the lowest rate that is accepted,
/// which takes less than half of it.
pub(super) const UNDER_WAY_MAX: Duration = Duration::from_secs(60 * 60);
/// Pause before a database that failed is asked again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What completing a removal or an erasure needs.
pub(super) struct Databases<'a> {
    pub log: &'a Log,
    pub store: &'a dyn EventStore,
    pub catalog: &'a Catalog,
    pub shared: &'a Shared,
    /// Everything up to here is applied.
    pub applied: u64,
    /// The clock, Unix milliseconds.
    pub now_ms: i64,
}

/// Why something is not complete.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Store(#[from] cairn_store::StoreError),
    #[error(transparent)]
    Catalog(#[from] cairn_catalog::CatalogError),
    #[error(transparent)]
    Log(#[from] cairn_log::LogError),
    #[error("the catalog's journal is being read")]
    Journal,
}

/// Empties the catalog's journal, so that overwritten values are in neither file.
pub(super) fn empty_journal(catalog: &Catalog) -> Result<(), Failure> {
    match catalog.checkpoint()? {
        true => Ok(()),
        false => Err(Failure::Journal),
    }
}

/// What may still come or lie in the log of one that is gone.
pub(super) struct Trail {
    /// Since when this process knows of it. `None`: since its start, so that no hit is under way.
    pub known_since: Option<Instant>,
    /// The log may hold something of it before this record; `None`: it does not.
    pub in_log_before: Option<u64>,
}

impl Trail {
    pub fn new(known_since: Option<Instant>) -> Self {
        Trail { known_since, in_log_before: None }
    }

    /// A record of it was left out: the log still holds it.
    pub fn left_out(&mut self, offset: u64) {
        self.in_log_before = self.in_log_before.max(Some(offset + 1));
    }

    /// No hit of it can be under way.
    pub fn is_cold(&self) -> bool {
        self.known_since.is_none_or(|since| since.elapsed() >= UNDER_WAY_MAX)
    }
}

/// Overwrites the records of these in the log's files, as far as they are applied.
pub(super) fn clear_log<'t>(
    databases: &Databases<'_>,
    trails: impl Iterator<Item = &'t mut Trail>,
) -> Result<(), Failure> {
    let mut trails: Vec<&mut Trail> = trails.collect();
    let applied = |before: &u64| *before <= databases.applied + 1;
    let ends = trails.iter().filter_map(|trail| trail.in_log_before);
    let Some(before) = ends.filter(applied).max() else { return Ok(()) };
    // After a restart nothing may have been applied yet, and so nothing let go of.
    databases.log.trim(Offset(databases.applied + 1));
    // Under load it takes another turn: what shares a file with these records must be applied first.
    if databases.log.scrub(Offset(before))? {
        for trail in &mut trails {
            trail.in_log_before = trail.in_log_before.filter(|end| *end > before);
        }
    }
    Ok(())
}

/// When to try again what failed.
pub(super) struct Patience {
    pause: Duration,
    retry_at: Option<Instant>,
    has_warned: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Patience::of(RETRY_PAUSE)
    }
}

impl Patience {
    /// For what costs much to try.
    pub fn of(pause: Duration) -> Self {
        Patience { pause, retry_at: None, has_warned: false }
    }

    /// The pause after a failure is over.
    pub fn may_try(&self) -> bool {
        self.retry_at.is_none_or(|at| Instant::now() >= at)
    }

    /// Takes what came of a try; warns once, with `what` is not done.
    pub fn note(&mut self, what: &'static str, outcome: Result<(), Failure>) {
        self.retry_at = outcome.is_err().then(|| Instant::now() + self.pause);
        match outcome {
            Err(error) if !self.has_warned => {
                tracing::warn!(%error, "{what} is not gone yet; trying again until it is");
                self.has_warned = true;
            }
            Err(_) => {}
            Ok(()) => self.has_warned = false,
        }
    }

    #[cfg(test)]
    pub fn end_pause(&mut self) {
        self.retry_at = None;
    }
}
