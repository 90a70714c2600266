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

#[cfg(test)]
mod tests {
    use cairn_catalog::CATALOG_FILE;
    use cairn_store::reference::ReferenceStore;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    struct Databases {
        directory: tempfile::TempDir,
        catalog: Catalog,
        store: ReferenceStore,
    }

    impl Databases {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let catalog = Catalog::open(&directory.path().join(CATALOG_FILE)).unwrap();
            Databases { directory, catalog, store: ReferenceStore::new() }
        }

        fn turn(&self, snapshots: &Snapshots, applied: u64) -> bool {
            let watermark = Watermark { offset: applied, received_at_ms: 0 };
            snapshots.take(applied, watermark, &self.store, &self.catalog)
        }
    }

    #[test]
    fn a_moment_has_all_that_was_durable_and_is_held_until_it_is_dropped() {
        let databases = Databases::new();
        let snapshots = Snapshots::default();
        let copy = databases.directory.path().join("copy");
        std::fs::create_dir(&copy).unwrap();
        let answer = snapshots.put(copy.clone(), 8).unwrap();
        assert!(!databases.turn(&snapshots, 6), "record 7 is not applied");
        assert!(answer.try_recv().is_err());
        assert!(databases.turn(&snapshots, 7));
        let snapshot = answer.try_recv().unwrap().unwrap();
        assert_eq!(snapshot.watermark.offset, 7);
        assert!(copy.join(CATALOG_FILE).is_file());
        assert!(snapshots.is_held());
        assert!(matches!(snapshots.put(copy.clone(), 1), Err(SnapshotError::Busy)));
        drop(snapshot);
        assert!(!snapshots.is_held());
        assert!(snapshots.put(copy, 1).is_ok());
    }

    #[test]
    fn nobody_waits_for_ever() {
        let databases = Databases::new();
        let snapshots = Snapshots::default();
        let directory = databases.directory.path();
        let behind = snapshots.ask(directory, 2, Duration::ZERO);
        assert!(matches!(behind, Err(SnapshotError::Behind { .. })));
        assert!(!databases.turn(&snapshots, 9), "who gave up is not served");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| snapshots.ask(directory, 2, PATIENCE));
            while snapshots.state().asked.is_none() {
                std::thread::yield_now();
            }
            snapshots.end();
            assert!(matches!(waiting.join().unwrap(), Err(SnapshotError::Stopping)));
        });
        assert!(matches!(snapshots.ask(directory, 2, PATIENCE), Err(SnapshotError::Stopping)));
    }

    #[test]
    fn a_moment_that_nobody_waits_for_any_more_is_not_held() {
        let databases = Databases::new();
        let snapshots = Snapshots::default();
        // The copy's place is taken: the catalog cannot be copied.
        let answer = snapshots.put(databases.directory.path().to_owned(), 1).unwrap();
        assert!(!databases.turn(&snapshots, 0));
        let failed = answer.try_recv().unwrap().err().unwrap();
        assert!(failed.to_string().starts_with("the catalog cannot be copied"), "{failed}");
        assert!(!snapshots.is_held());
    }
}
