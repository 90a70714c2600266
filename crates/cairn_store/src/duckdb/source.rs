//! The database's file as a thing to copy, and the room that all files take.
//!
//! Guarantees: once opened, the file stays open as long as it is the database's. Closing it would take the engine's lock on
//! it away, since such locks belong to the process and not to a handle.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::rewrite::{MARKER, write_ahead};
use super::store::{FILE_NAME, lock};
use crate::FrozenFile;

/// The open file.
#[derive(Default)]
pub(super) struct Source {
    file: Mutex<Option<Arc<File>>>,
}

impl Source {
    /// The database's file, of which a checkpoint has just emptied the write-ahead file; and, where it still has bytes of
    /// deleted rows, what says so.
    pub fn frozen(&self, directory: &Path) -> io::Result<Vec<FrozenFile>> {
        let path = directory.join(FILE_NAME);
        if fs::metadata(write_ahead(&path)).is_ok_and(|file| file.len() > 0) {
            return Err(io::Error::other("the checkpoint left its write-ahead file"));
        }
        let mut frozen = vec![FrozenFile::take(FILE_NAME, self.open(&path)?)?];
        match File::open(directory.join(MARKER)) {
            Ok(marker) => frozen.push(FrozenFile::take(MARKER, Arc::new(marker))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(frozen)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<File>> {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let now = identity(fs::metadata(path)?);
        let mut file = lock(&self.file);
        if let Some(known) = &*file
            && identity(known.metadata()?) == now
        {
            return Ok(Arc::clone(known));
        }
        // Another file took its place: nothing is locked in the one before.
        let opened = Arc::new(File::open(path)?);
        *file = Some(Arc::clone(&opened));
        Ok(opened)
    }
}

/// Bytes in all files of a directory and of those in it.
pub(super) fn size_bytes(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
