//! Making one backup.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use cairn_catalog::{CATALOG_FILE, Catalog};
use jiff::Timestamp;

use super::erasing::erase_in;
use super::manifest::files_of;
use super::{BackupError, Backups, FORMAT, Listed, Manifest, OpenStore, STORE_DIRECTORY};
use crate::apply::SnapshotError;

/// Start of the name of one that is being made.
pub(super) const MAKING: &str = ".making-";
/// How long the apply loop is waited for, to have in the databases what the log had when the backup was asked for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Room that must be left on the disk: the log needs some to take hits.
const ROOM_LEFT_SIZE_BYTES_MIN: u64 = 128 << 20;

impl Backups {
    pub(super) fn make_whole(&self, now_ms: i64) -> Result<Listed, BackupError> {
        if self.is_stopping() {
            return Err(SnapshotError::Stopping.into());
        }
        let directory = &self.options.directory;
        make_private(directory).map_err(BackupError::disk("makes the directory of backups"))?;
        self.require_room()?;
        let id = name_of(now_ms);
        let unfinished = directory.join(format!("{MAKING}{id}"));
        let made = self.fill(&unfinished, now_ms).and_then(|manifest| {
            fs::rename(&unfinished, directory.join(&id))
                .and_then(|()| File::open(directory)?.sync_all())
                .map_err(BackupError::disk("gives the backup its name"))?;
            Ok(manifest)
        });
        if made.is_err() {
            // Half a backup helps nobody; what cannot be removed now goes at the next start.
            let _ = fs::remove_dir_all(&unfinished);
        }
        made.map(|manifest| Listed { id, manifest: Ok(manifest) })
    }

    fn require_room(&self) -> Result<(), BackupError> {
        let directory = &self.options.directory;
        let room = rustix::fs::statvfs(directory)
            .map_err(|error| BackupError::disk("asks for its room")(error.into()))?;
        let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
        let copied_bytes = self.sources.store.size_bytes() + self.sources.catalog.size_bytes();
        let needed_bytes = copied_bytes + ROOM_LEFT_SIZE_BYTES_MIN;
        match free_bytes < needed_bytes {
            true => Err(BackupError::NoRoom { needed_bytes, free_bytes }),
            false => Ok(()),
        }
    }

    /// Puts everything into a new directory.
    fn fill(&self, directory: &Path, now_ms: i64) -> Result<Manifest, BackupError> {
        let store = directory.join(STORE_DIRECTORY);
        make_private(&store).map_err(BackupError::disk("makes the backup's directory"))?;
        let end = self.sources.log.durable_end().0;
        let snapshot = self.sources.apply.snapshot(directory, end, PATIENCE)?;
        for file in &snapshot.files {
            let copied = file.copy_to(&store.join(file.name()));
            copied.map_err(BackupError::disk("copies the store"))?;
        }
        let log_offset = snapshot.watermark.offset;
        drop(snapshot);
        let open_store = &self.sources.open_store;
        check(directory, log_offset, open_store)?;
        // An erasure that was under way is brought to its end here as well.
        let ledger = self.ledger(now_ms)?;
        let entries = ledger.entries().map(|(_, entry)| entry);
        erase_in(directory, entries, open_store, &self.stopping)?;
        let files = files_of(directory).map_err(BackupError::disk("reads the copy"))?;
        let manifest = Manifest {
            format: FORMAT,
            made_at_ms: now_ms,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            log_offset,
            files,
            erasures: ledger.entries().map(|(id, _)| id.clone()).collect(),
            is_being_changed: false,
        };
        manifest.write(directory).map_err(BackupError::disk("writes the manifest"))?;
        Ok(manifest)
    }
}

/// The time, as names of files can hold it.
fn name_of(now_ms: i64) -> String {
    let time = Timestamp::from_millisecond(now_ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H-%M-%S.%3fZ").to_string()
}

/// Opens the databases below a directory as the server would, and closes them.
pub(super) fn check(
    directory: &Path,
    log_offset: u64,
    open_store: &OpenStore,
) -> Result<(), BackupError> {
    let store = open_store(&directory.join(STORE_DIRECTORY))?;
    let found = store.watermark()?.offset;
    drop(store);
    let catalog = Catalog::open(&directory.join(CATALOG_FILE))?;
    let people = catalog.people_watermark()?;
    catalog.checkpoint()?;
    drop(catalog);
    // People and receipts are never ahead: both databases are of one moment.
    for found in [found, people.max(log_offset)] {
        if found != log_offset {
            return Err(BackupError::OtherMoment { found, expected: log_offset });
        }
    }
    Ok(())
}

/// Makes a directory that only its owner may enter, if it is missing.
pub(super) fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}
