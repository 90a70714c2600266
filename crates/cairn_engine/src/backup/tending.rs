//! Looking after the backups that there are: erasing in them, and removing those that are too old.
//!
//! Guarantees: what was erased leaves every backup within [`BackupOptions::rewrite_wait_max`] of the first erasure that it still
//! holds; all of that time share one change of each backup. The ledgers have it within seconds. A look at backups that need
//! nothing reads no file and no table.
//!
//! [`BackupOptions::rewrite_wait_max`]: super::BackupOptions::rewrite_wait_max

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::TryLockError;
use std::time::{Duration, Instant};

use cairn_catalog::{Counted, Departures, Erasure, ErasureId, ErasureState};

use super::{
    BackupError, Backups, DAY_MS, ERASING_TRIES_MAX, Ledger, Listed, Manifest, erasing, lock,
    manifest,
};

/// The place of backups in the record of an erasure.
pub(super) const PLACE: &str = "backups";
/// Everything is looked at so often although nothing is known to have changed: somebody may have put a backup there.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// How the last look left the backups.
#[derive(Default)]
pub(super) struct Tended {
    /// Nothing is to be done as long as this holds.
    quiet: Option<Quiet>,
    /// Since when there is somebody in a backup who was erased, as far as this process has seen.
    waiting_since: Option<Instant>,
    /// When the latest of the backups was made, if that is known.
    latest_ms: Option<Option<i64>>,
    /// Of no erasure up to this one there is anything to be done or to be noted.
    pub(super) settled_until: ErasureId,
}

struct Quiet {
    departures: Departures,
    looked_at: Instant,
    /// Then a backup is too old, or what was erased has waited for as long as it may.
    until_ms: i64,
}

impl Tended {
    /// There are others than before.
    pub fn forget_backups(&mut self) {
        (self.quiet, self.latest_ms) = (None, None);
    }

    /// When the latest backup was made; `None`: that has to be read.
    pub fn latest_ms(&self) -> Option<Option<i64>> {
        self.latest_ms
    }

    fn is_quiet(&self, departures: Departures, wait_max: Duration, now_ms: i64) -> bool {
        let has_waited = self.waiting_since.is_some_and(|since| since.elapsed() >= wait_max);
        let is_quiet = |quiet: &Quiet| {
            quiet.departures.erasures == departures.erasures
                && quiet.looked_at.elapsed() < LOOK_EVERY
                && now_ms < quiet.until_ms
        };
        !has_waited && self.quiet.as_ref().is_some_and(is_quiet)
    }
}

/// When the latest of these was made.
pub(super) fn latest_ms(listed: &[Listed]) -> Option<i64> {
    listed.iter().find_map(|one| Some(one.manifest.as_ref().ok()?.made_at_ms))
}

/// What became of the erasures in the backups.
enum Reached {
    /// So many backups are free of them.
    All(u64),
    /// They wait for others until then.
    Waits { until_ms: i64 },
}

impl Backups {
    /// Erases in every backup what was erased since it was made, where that has waited for as long as it may, and removes those
    /// that are too many or too old. Returns at once when nothing changed. Warns once of what fails; it is tried again with the
    /// next call.
    pub fn tend(&self, now_ms: i64) {
        self.look_after(now_ms, false);
    }

    /// The same for somebody who waits for an erasure: it does not wait for others.
    pub fn tend_at_once(&self, now_ms: i64) {
        self.look_after(now_ms, true);
    }

    fn look_after(&self, now_ms: i64, is_awaited: bool) {
        // Whoever changes them now leaves them as they should be, or the next call does.
        let _changing = match self.changing.try_lock() {
            Err(TryLockError::WouldBlock) => return,
            Err(TryLockError::Poisoned(left)) => left.into_inner(),
            Ok(changing) => changing,
        };
        if self.is_stopping() {
            return;
        }
        // Read before the tables are: what comes later makes it another one.
        let departures = self.sources.catalog.departures();
        let opt_outs_kept = self.keep_opt_outs();
        let wait_max = self.options.rewrite_wait_max;
        let is_quiet = lock(&self.tended).is_quiet(departures, wait_max, now_ms);
        let looked = match is_quiet && !is_awaited {
            true => Ok(()),
            false => self.look_at_all(departures, now_ms, is_awaited),
        };
        let problem = looked.and(opt_outs_kept).err().map(|error| error.to_string());
        let mut progress = lock(&self.progress);
        if problem != progress.problem {
            match &problem {
                Some(error) => tracing::warn!(error, "backups are not as they should be yet"),
                None => tracing::info!("backups are as they should be again"),
            }
        }
        progress.problem = problem;
    }

    fn look_at_all(
        &self,
        departures: Departures,
        now_ms: i64,
        is_awaited: bool,
    ) -> Result<(), BackupError> {
        lock(&self.tended).forget_backups();
        // One that cannot be removed keeps nobody in the others.
        let expired = self.expire(now_ms);
        let waits_until_ms = self.erase(now_ms, is_awaited)?;
        let (oldest_until_ms, latest_ms) = expired?;
        let mut tended = lock(&self.tended);
        tended.latest_ms = Some(latest_ms);
        let until_ms = waits_until_ms.min(oldest_until_ms);
        tended.quiet = Some(Quiet { departures, looked_at: Instant::now(), until_ms });
        Ok(())
    }

    /// Erases in every backup what was erased since it was made, and notes in the catalog that it is. Returns when to look again.
    fn erase(&self, now_ms: i64, is_awaited: bool) -> Result<i64, BackupError> {
        // Read before the ledger is: of what comes later nobody knows whether it is in it. Of three years only what is open.
        let settled_until = lock(&self.tended).settled_until;
        let catalog = &self.sources.catalog;
        let (known, last) = catalog.erasures_unsettled(settled_until, PLACE)?;
        let first = known.first().map(|erasure| ErasureId(erasure.id.0 - 1));
        lock(&self.tended).settled_until = first.unwrap_or(last);
        let erased = self.erase_in_all(now_ms, is_awaited);
        if self.is_stopping() {
            return Ok(now_ms);
        }
        self.note_erased(&known, &erased, now_ms)?;
        Ok(match erased? {
            Reached::All(_) => i64::MAX,
            Reached::Waits { until_ms } => until_ms,
        })
    }

    /// One that cannot be changed keeps nobody in the others.
    fn erase_in_all(&self, now_ms: i64, is_awaited: bool) -> Result<Reached, BackupError> {
        let ledger = self.ledger(now_ms)?;
        let listed = self.list()?;
        if let Some(until_ms) = self.gathering_until_ms(&ledger, &listed, now_ms)
            && !is_awaited
        {
            return Ok(Reached::Waits { until_ms });
        }
        lock(&self.tended).waiting_since = None;
        let mut problem = None;
        let mut count = 0;
        for Listed { id, manifest } in listed {
            let directory = self.options.directory.join(&id);
            let erased = match manifest {
                Ok(manifest) => self.erase_in_one(&directory, manifest, &ledger),
                Err(why) => Err(BackupError::NotErased { why }),
            };
            match erased {
                Ok(()) => count += 1,
                Err(error) => problem = Some(BackupError::InBackup { id, why: error.to_string() }),
            }
        }
        problem.map_or(Ok(Reached::All(count)), Err)
    }

    /// Until when the backups may stay as they are: others may be erased meanwhile. `None`: no backup holds anybody, one is
    /// half-changed, or the time is over.
    fn gathering_until_ms(&self, ledger: &Ledger, listed: &[Listed], now_ms: i64) -> Option<i64> {
        let manifests = || listed.iter().filter_map(|one| one.manifest.as_ref().ok());
        if manifests().any(|manifest| manifest.is_being_changed) {
            return None;
        }
        let is_in_one = |id: &String| manifests().any(|it| !it.erasures.contains(id));
        let held = ledger.entries().filter(|(id, _)| is_in_one(id));
        let first_ms = held.map(|(_, entry)| entry.asked_at_ms).min()?;
        let wait_max = self.options.rewrite_wait_max;
        let wait_max_ms = i64::try_from(wait_max.as_millis()).unwrap_or(i64::MAX);
        let until_ms = first_ms.saturating_add(wait_max_ms);
        let since = *lock(&self.tended).waiting_since.get_or_insert_with(Instant::now);
        // The clock of whoever asked may be another one.
        (now_ms < until_ms && since.elapsed() < wait_max).then_some(until_ms)
    }

    fn erase_in_one(
        &self,
        directory: &Path,
        mut manifest: Manifest,
        ledger: &Ledger,
    ) -> Result<(), BackupError> {
        let is_new = |id: &String| !manifest.erasures.contains(id);
        if !manifest.is_being_changed && !ledger.entries().any(|(id, _)| is_new(id)) {
            return Ok(());
        }
        let written = BackupError::disk("writes the manifest");
        if !manifest.is_being_changed {
            // What is damaged must not become what is described.
            manifest::verify(directory, &manifest)?;
            manifest.is_being_changed = true;
            manifest.write(directory).map_err(&written)?;
        }
        let entries = ledger.entries().map(|(_, entry)| entry);
        let open_store = &self.sources.open_store;
        let erased = erasing::erase_in(directory, entries, open_store, &self.stopping)?;
        manifest.files =
            manifest::files_of(directory).map_err(BackupError::disk("reads the backup"))?;
        manifest.erasures = ledger.entries().map(|(id, _)| id.clone()).collect();
        manifest.is_being_changed = false;
        manifest.write(directory).map_err(&written)?;
        if erased > 0 {
            tracing::info!(backup = %directory.display(), erased, "erasures reached a backup");
        }
        Ok(())
    }

    /// Completes the records of erasures: in how many backups, or why not. Tells the apply loop of which it need not wait any more.
    fn note_erased(
        &self,
        known: &[Erasure],
        erased: &Result<Reached, BackupError>,
        now_ms: i64,
    ) -> Result<(), BackupError> {
        let catalog = &self.sources.catalog;
        let mut tries = lock(&self.tries);
        let is_open = |erasure: &Erasure| erasure.state != ErasureState::Done;
        let mut failed = BTreeMap::new();
        let mut settled = Vec::new();
        let mut counted: Vec<Counted> = Vec::new();
        for erasure in known {
            let Some(place) = erasure.place(PLACE) else { continue };
            let mut is_settled = place.done_at_ms.is_some();
            match erased {
                _ if is_settled => {}
                Ok(Reached::Waits { .. }) => {}
                Ok(Reached::All(count)) => {
                    counted.push((erasure.id, vec![(PLACE, *count)]));
                    is_settled = true;
                }
                Err(error) => {
                    let reason = error.to_string();
                    if place.remaining_reason.as_ref() != Some(&reason) {
                        catalog.note_remaining(&[erasure.id], PLACE, &reason)?;
                    }
                    let count = tries.get(&erasure.id).map_or(1, |count| count.saturating_add(1));
                    is_settled = count >= ERASING_TRIES_MAX;
                    failed.insert(erasure.id, count);
                }
            }
            settled.extend((is_settled && is_open(erasure)).then_some(erasure.id));
        }
        if !counted.is_empty() {
            catalog.note_erased(&counted, now_ms)?;
        }
        *tries = failed;
        drop(tries);
        self.sources.apply.settle_in_backups(&settled);
        Ok(())
    }

    /// Removes those that are too many or too old. Returns from when on the oldest of the others is, and when the latest was made.
    pub(super) fn expire(&self, now_ms: i64) -> Result<(i64, Option<i64>), BackupError> {
        let age_ms_max = i64::from(self.options.age_days_max) * DAY_MS;
        let (mut until_ms, mut latest_ms) = (i64::MAX, None);
        let listed = self.list()?;
        let whole = listed.iter().filter_map(|one| Some((&one.id, one.manifest.as_ref().ok()?)));
        for (place, (id, manifest)) in whole.enumerate() {
            let is_old = now_ms - manifest.made_at_ms > age_ms_max;
            if is_old || place >= self.options.count_max {
                self.take_away(id)?;
            } else {
                until_ms = until_ms.min(manifest.made_at_ms.saturating_add(age_ms_max + 1));
                latest_ms = latest_ms.or(Some(manifest.made_at_ms));
            }
        }
        Ok((until_ms, latest_ms))
    }
}
