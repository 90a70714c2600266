//! Backups: copies of both databases at one moment, in a directory that Cairn looks after.
//!
//! Guarantees: every event that was acknowledged before a backup was asked for is in it, with its visit, person and
//! receipt. What has the name of a backup is whole: it was opened, its files were hashed and are on disk. At most as many
//! are kept, and for as long, as the options say. Collection goes on meanwhile. It does not know copies that were
//! carried elsewhere.

mod erasing;
mod ledger;
mod making;
mod manifest;
mod opt_outs;
mod restoring;
mod tending;
#[cfg(test)]
mod tests;
mod withdrawals;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_catalog::{Catalog, CatalogError, ErasureId};
use cairn_log::Log;
use cairn_store::{EventStore, StoreError};

use crate::apply::{ApplyHandle, SnapshotError};

pub use ledger::{Entry, Erased, LEDGER_AGE_DAYS_MAX, LEDGER_FILE, Ledger};
pub use manifest::{BackupFile, FORMAT, MANIFEST_FILE, Manifest};
pub use opt_outs::OPT_OUTS_FILE;
use tending::{Tended, latest_ms};
pub use withdrawals::WITHDRAWALS_FILE;

pub use restoring::{Restored, Restoring, UNFINISHED_FILE, remove_staged, restore};

/// Name of the store's directory, within a backup as within a data directory.
pub const STORE_DIRECTORY: &str = "store";
/// Name of the directory of backups within a data directory, where no other is configured.
pub const BACKUPS_DIRECTORY: &str = "backups";
/// What is not a backup, or not yet, or not any more, has a name with this start.
const HIDDEN: &str = ".";
/// Pause after a backup that failed, before one is made by itself again.
const RETRY_PAUSE_MS: i64 = 15 * 60 * 1000;
/// Tries to erase in the backups for which an erasure waits, about a minute; then it is done but for what its record names. It
/// is tried again nevertheless.
pub const ERASING_TRIES_MAX: u32 = 12;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Opens the event store in a directory.
pub type OpenStore = Arc<dyn Fn(&Path) -> Result<Arc<dyn EventStore>, StoreError> + Send + Sync>;

/// Why a backup cannot be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The disk refused.
    #[error("the disk refused while it {doing}: {cause}")]
    Disk {
        /// What was being done, as `copies the store`.
        doing: &'static str,
        /// The system's answer.
        cause: io::Error,
    },
    /// Too little room.
    #[error("a backup needs {needed_bytes} bytes, and {free_bytes} are free")]
    NoRoom {
        /// What it takes, with what must be left for new hits.
        needed_bytes: u64,
        /// What there is.
        free_bytes: u64,
    },
    /// The databases could not be copied.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The store of a backup cannot be used.
    #[error("the backup's store cannot be used: {0}")]
    Store(#[from] StoreError),
    /// The catalog of a backup cannot be used.
    #[error("the backup's catalog cannot be used: {0}")]
    Catalog(#[from] CatalogError),
    /// There is no backup here.
    #[error("there is no backup in {}", directory.display())]
    NoBackup {
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// A file is not what was written.
    #[error("the backup is damaged: {}: {why}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another program made it.
    #[error("the backup has the form {found}; this program reads {FORMAT}")]
    OtherFormat {
        /// The form found.
        found: u32,
    },
    /// What was copied is not the moment that was asked for.
    #[error("the copy ends at record {found} of the log instead of {expected}")]
    OtherMoment {
        /// Where it ends.
        found: u64,
        /// Where it should.
        expected: u64,
    },
    /// Somebody who was erased is still in it.
    #[error("what was erased cannot be erased in the backup: {why}")]
    NotErased {
        /// Why.
        why: String,
    },
    /// The same, of the one with this name.
    #[error("the backup {id} could not be changed: {why}")]
    InBackup {
        /// Its name.
        id: String,
        /// Why.
        why: String,
    },
    /// An erasure in it was broken off.
    #[error(
        "{} is being changed by an erasure that was broken off: start the server that it is of, which completes it",
        directory.display()
    )]
    BeingChanged {
        /// The backup.
        directory: PathBuf,
    },
    /// There is something already where it should go.
    #[error("{} is not empty: it has {name}", directory.display())]
    NotEmpty {
        /// The data directory.
        directory: PathBuf,
        /// What it has.
        name: &'static str,
    },
}

impl BackupError {
    pub(crate) fn disk(doing: &'static str) -> impl Fn(io::Error) -> BackupError {
        move |cause| BackupError::Disk { doing, cause }
    }
}

/// Where backups are and how long they are kept.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The directory; made when the first backup is.
    pub directory: PathBuf,
    /// Most that are kept; older ones are removed.
    pub count_max: usize,
    /// Longest that one is kept, in days.
    pub age_days_max: u32,
    /// Longest time for which one may hold what was erased, before it is changed: the erasures of this time share that.
    pub rewrite_wait_max: Duration,
}

/// What is backed up.
pub struct Sources {
    /// The way to the databases of this moment.
    pub apply: ApplyHandle,
    /// The log, which knows what was acknowledged.
    pub log: Log,
    /// Settings, people, receipts.
    pub catalog: Arc<Catalog>,
    /// Events.
    pub store: Arc<dyn EventStore>,
    /// Opens a copy of the store.
    pub open_store: OpenStore,
}

/// A backup in the directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its name.
    pub id: String,
    /// What it says of itself, or why that cannot be read.
    pub manifest: Result<Manifest, String>,
}

/// What is under way, and what went wrong last.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Since when a backup is being made.
    pub running_since_ms: Option<i64>,
    /// When the last one failed and why; none once one is made.
    pub last_failure: Option<(i64, String)>,
    /// Why backups are not as they should be: somebody who was erased is still in one, or one is too old.
    pub problem: Option<String>,
}

/// The backups of one instance.
pub struct Backups {
    options: BackupOptions,
    sources: Sources,
    progress: Mutex<Progress>,
    /// Held by whoever changes what is in the directory.
    changing: Mutex<()>,
    /// Erasures that are not done, and how often erasing in the backups failed since this process knows of them.
    tries: Mutex<BTreeMap<ErasureId, u32>>,
    /// What the ledger of erasures has from the catalog.
    taken: Mutex<ledger::Taken>,
    /// When the ledger of opt-outs was last brought up to date.
    opt_outs_kept: Mutex<opt_outs::Kept>,
    /// How the last look at all of them left them.
    tended: Mutex<Tended>,
    /// Nothing is begun any more, and erasing is broken off.
    stopping: AtomicBool,
}

impl Backups {
    /// Takes the directory over: what an earlier process began and did not finish is removed, and the catalog's erasures are
    /// put into the ledger before its apply loop forgets that it removed a site.
    pub fn open(
        options: BackupOptions,
        sources: Sources,
        now_ms: i64,
    ) -> Result<Self, BackupError> {
        let directory = &options.directory;
        for name in names_in(directory).map_err(BackupError::disk("reads the backups"))? {
            if name.starts_with(making::MAKING) || name.starts_with(REMOVING) {
                let removed = fs::remove_dir_all(directory.join(&name));
                removed.map_err(BackupError::disk("removes an unfinished backup"))?;
            }
        }
        let (progress, changing, tries, taken, opt_outs_kept, tended, stopping) =
            Default::default();
        let backups = Backups {
            options,
            sources,
            progress,
            changing,
            tries,
            taken,
            opt_outs_kept,
            tended,
            stopping,
        };
        backups.ledger(now_ms)?;
        backups.keep_opt_outs()?;
        Ok(backups)
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.options.directory
    }

    /// Begins nothing any more, and waits until what is under way is done or broken off: the next start completes it.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        drop(lock(&self.changing));
    }

    /// Nothing is begun any more.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// What is under way.
    pub fn progress(&self) -> Progress {
        lock(&self.progress).clone()
    }

    /// All backups, latest first.
    pub fn list(&self) -> Result<Vec<Listed>, BackupError> {
        list(&self.options.directory)
    }

    /// Makes a backup and removes those that are too many or too old. Blocks until it is whole.
    pub fn make(&self, now_ms: i64) -> Result<Listed, BackupError> {
        if lock(&self.progress).running_since_ms.replace(now_ms).is_some() {
            return Err(SnapshotError::Busy.into());
        }
        // Whoever erases in the others now is waited for.
        let _changing = lock(&self.changing);
        let running = Running(&self.progress);
        let made = self.make_whole(now_ms);
        lock(&self.tended).forget_backups();
        drop(running);
        let mut progress = lock(&self.progress);
        progress.last_failure = made.as_ref().err().map(|error| (now_ms, error.to_string()));
        drop(progress);
        match &made {
            Err(error) => tracing::warn!(%error, "there is no backup"),
            Ok(listed) => {
                tracing::info!(id = listed.id, "a backup is made");
                if let Err(error) = self.expire(now_ms) {
                    tracing::warn!(%error, "old backups are not removed yet");
                }
            }
        }
        made
    }

    /// Removes one; false if there is none of this name.
    pub fn remove(&self, id: &str) -> Result<bool, BackupError> {
        let _changing = lock(&self.changing);
        let is_known = self.list()?.iter().any(|listed| listed.id == id);
        if is_known {
            self.take_away(id)?;
            lock(&self.tended).forget_backups();
        }
        Ok(is_known)
    }

    /// Whether one shall be made, where that is done every so many milliseconds.
    pub fn is_due(&self, every_ms: i64, now_ms: i64) -> bool {
        let known = lock(&self.tended).latest_ms();
        let latest = known.unwrap_or_else(|| latest_ms(&self.list().unwrap_or_default()));
        let Progress { running_since_ms, last_failure, .. } = self.progress();
        let failed_at_ms = last_failure.map(|(at_ms, _)| at_ms);
        // A failure is not repeated every minute, but sooner than a success.
        let failed_lately = failed_at_ms.is_some_and(|at_ms| now_ms - at_ms < RETRY_PAUSE_MS);
        let is_old = latest.is_none_or(|made_at_ms| now_ms - made_at_ms >= every_ms);
        is_old && running_since_ms.is_none() && !failed_lately
    }

    /// The ledger, with everything that the catalog has on record. Where no backup was ever made there is none.
    fn ledger(&self, now_ms: i64) -> Result<Ledger, BackupError> {
        let directory = &self.options.directory;
        let mut ledger = Ledger::read(&directory.join(LEDGER_FILE))?;
        if directory.is_dir() {
            ledger.take_over(&self.sources.catalog, &mut lock(&self.taken), now_ms)?;
        }
        Ok(ledger)
    }

    /// From the moment on that it has another name it is no backup.
    fn take_away(&self, id: &str) -> Result<(), BackupError> {
        let directory = &self.options.directory;
        let hidden = directory.join(format!("{REMOVING}{id}"));
        fs::rename(directory.join(id), &hidden)
            .and_then(|()| fs::remove_dir_all(&hidden))
            .map_err(BackupError::disk("removes a backup"))
    }
}

/// Says that a backup is not being made any more, however that ended.
struct Running<'a>(&'a Mutex<Progress>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        lock(self.0).running_since_ms = None;
    }
}

/// Start of the names of those that are being removed.
const REMOVING: &str = ".removing-";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        // A name that is not Unicode is none of ours.
        if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
            names.push(name);
        }
    }
    Ok(names)
}

/// The backups in a directory, latest first; those that cannot be read come last.
fn list(directory: &Path) -> Result<Vec<Listed>, BackupError> {
    let names = names_in(directory).map_err(BackupError::disk("reads the backups"))?;
    let mut listed: Vec<Listed> = names
        .into_iter()
        .filter(|name| !name.starts_with(HIDDEN))
        .map(|id| {
            let manifest = Manifest::read(&directory.join(&id)).map_err(|error| error.to_string());
            Listed { id, manifest }
        })
        .collect();
    let made_at = |one: &Listed| one.manifest.as_ref().ok().map(|manifest| manifest.made_at_ms);
    listed.sort_by(|one, other| {
        made_at(other).cmp(&made_at(one)).then_with(|| other.id.cmp(&one.id))
    });
    Ok(listed)
}
