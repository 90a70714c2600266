//! One moment of both databases, for a copy of them.
//!
//! Guarantees: the moment lies between two commits of the loop, and everything that was durable in the log when it was
//! asked for is in both databases, so a copy needs nothing of the log. Until [`Snapshot`] is dropped the store's files hold
//! that moment: the loop goes on committing and leaves checkpoints and removals for later.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use cairn_catalog::{Catalog, CatalogError};
use cairn_store::{EventStore, FrozenFile, StoreError, Watermark};

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Another one is being taken or copied.
    #[error("the databases are being copied already")]
    Busy,
    /// The loop did not come so far in time.
    #[error("what the log holds is not in the databases after {} seconds", waited.as_secs())]
    Behind {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The loop has ended, or ends.
    #[error("the server is stopping")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog failed.
    #[error("the catalog cannot be copied: {}", cause(.0))]
    Catalog(#[from] CatalogError),
}

fn cause(error: &CatalogError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Both databases at one moment. The catalog is copied already.
pub struct Snapshot {
    /// The store's files.
    pub files: Vec<FrozenFile>,
    /// How far they go.
    pub watermark: Watermark,
    _held: Arc<()>,
}

struct Asked {
    catalog_directory: PathBuf,
    /// Number of the record behind the last one that must be in it.
    end: u64,
    answer: SyncSender<Result<Snapshot, SnapshotError>>,
}

#[derive(Default)]
struct State {
    asked: Option<Asked>,
    held: Weak<()>,
    ended: bool,
}

/// Where snapshots are asked for, and taken.
#[derive(Default)]
pub(super) struct Snapshots {
    state: Mutex<State>,
}

impl Snapshots {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and waits for the answer.
    pub fn ask(
        &self,
        catalog_directory: &Path,
        end: u64,
        patience: Duration,
    ) -> Result<Snapshot, SnapshotError> {
        let answer = self.put(catalog_directory.to_owned(), end)?;
        match answer.recv_timeout(patience) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => Err(SnapshotError::Stopping),
            Err(RecvTimeoutError::Timeout) => {
                // One that was taken in this moment is dropped with the channel.
                self.state().asked = None;
                Err(SnapshotError::Behind { waited: patience })
            }
        }
    }

    fn put(
        &self,
        catalog_directory: PathBuf,
        end: u64,
    ) -> Result<Receiver<Result<Snapshot, SnapshotError>>, SnapshotError> {
        let mut state = self.state();
        if state.ended {
            return Err(SnapshotError::Stopping);
        }
        if state.asked.is_some() || state.held.strong_count() > 0 {
            return Err(SnapshotError::Busy);
        }
        let (answer, receiver) = sync_channel(1);
        state.asked = Some(Asked { catalog_directory, end, answer });
        Ok(receiver)
    }

    /// Whether the store's files must stay as they are.
    pub fn is_held(&self) -> bool {
        self.state().held.strong_count() > 0
    }

    /// Takes a snapshot if one is asked for and everything up to its end is applied. True: it made a checkpoint.
    pub fn take(
        &self,
        applied: u64,
        watermark: Watermark,
        store: &dyn EventStore,
        catalog: &Catalog,
    ) -> bool {
        let mut state = self.state();
        let is_due = |asked: &mut Asked| applied + 1 >= asked.end;
        let Some(asked) = state.asked.take_if(is_due) else { return false };
        let held = Arc::new(());
        state.held = Arc::downgrade(&held);
        drop(state);
        let taken = store.freeze().map_err(SnapshotError::from).and_then(|files| {
            catalog.copy_into(&asked.catalog_directory)?;
            Ok(Snapshot { files, watermark, _held: held })
        });
        let has_taken = taken.is_ok();
        // Whoever does not wait any more needs none.
        let _ = asked.answer.send(taken);
        has_taken
    }

    /// The loop has ended: whoever waits is told, and nobody waits again.
    pub fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.asked = None;
    }
}
