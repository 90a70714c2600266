//! The directory of everything Cairn keeps, held by one process at a time.
//!
//! Guarantees: it exists, it can be written, and no other process serves from it. Readable by its owner only. The copy of a
//! restore that was broken off is gone.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cairn_engine::backup::{UNFINISHED_FILE, remove_staged};

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// It cannot be made or written.
    #[error("the data directory {} cannot be used ({doing}): {cause}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        cause: std::io::Error,
    },
    /// It is half of one instance and half of another.
    #[error("a restore into {} was broken off: restore again", path.display())]
    HalfRestored {
        /// The directory.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("the data directory {} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// The directory, locked for as long as this lives.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Makes the directory if it is missing, and takes it, to use what it holds.
    pub fn take(path: &Path) -> Result<DataDirectory, DataDirectoryError> {
        let directory = DataDirectory::take_to_restore(path)?;
        match directory.join(UNFINISHED_FILE).exists() {
            true => Err(DataDirectoryError::HalfRestored { path: path.to_owned() }),
            false => Ok(directory),
        }
    }

    /// The same to put a backup into it, also where that was broken off once.
    pub fn take_to_restore(path: &Path) -> Result<DataDirectory, DataDirectoryError> {
        let unusable = |doing| {
            move |cause| DataDirectoryError::Unusable { path: path.to_owned(), doing, cause }
        };
        if !path.is_dir() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(unusable("making it"))?;
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(unusable("writing to it"))?;
        let private = fs::Permissions::from_mode(0o600);
        lock.set_permissions(private).map_err(unusable("setting permissions"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirectoryError::InUse { path: path.to_owned() });
            }
            Err(TryLockError::Error(cause)) => return Err(unusable("locking it")(cause)),
        }
        remove_staged(path).map_err(unusable("removing what a restore left"))?;
        Ok(DataDirectory { path: path.to_owned(), _lock: lock })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or directory within.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Address databases that the owner put here.
    pub fn databases(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = fs::read_dir(self.join("databases"))
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.extension().is_some_and(|ending| ending == "mmdb" || ending == "csv")
            })
            .collect();
        found.sort();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_the_directory_removes_what_a_killed_restore_left() {
        let directory = tempfile::tempdir().unwrap();
        let left = directory.path().join(".restoring");
        let leave = || {
            fs::create_dir_all(left.join("store")).unwrap();
            fs::write(left.join("catalog.sqlite"), "somebody who was erased").unwrap();
        };
        leave();
        let held = DataDirectory::take(directory.path()).unwrap();
        assert!(!left.exists());
        // Whoever restores now has it: nobody else touches it.
        leave();
        assert!(DataDirectory::take_to_restore(directory.path()).is_err());
        assert!(left.exists());
        drop(held);
        fs::write(directory.path().join(UNFINISHED_FILE), "").unwrap();
        assert!(DataDirectory::take(directory.path()).is_err());
        assert!(!left.exists());
    }
}
