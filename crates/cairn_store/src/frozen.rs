//! A file of the store that stays as it is while it is copied.
//!
//! Guarantees: a copy that is reported as made holds exactly what the checkpoint left. Commits go on meanwhile: they
//! write elsewhere. A checkpoint that comes between is noticed, and the copy is refused.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// Start of the file, which every checkpoint changes: the engine keeps there which blocks are valid.
const HEAD_SIZE_BYTES: usize = 3 * 4096;

/// A file as the last checkpoint left it; made by [`crate::EventStore::freeze`].
pub struct FrozenFile {
    name: &'static str,
    source: Arc<File>,
    size_bytes: u64,
    head: Vec<u8>,
}

impl FrozenFile {
    /// Takes the file as it is now. `source` stays open as long as the store: closing it would take the engine's lock
    /// on the file away, since such locks belong to the process.
    #[cfg(feature = "duckdb")]
    pub(crate) fn take(name: &'static str, source: Arc<File>) -> io::Result<Self> {
        let size_bytes = source.metadata()?.len();
        let head = head_of(&source, size_bytes)?;
        Ok(FrozenFile { name, source, size_bytes, head })
    }

    /// Its name within the store's directory.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its size.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Writes a copy, which only its owner may read, and brings it to disk. Where the file system can, the copy shares the
    /// blocks of the original and takes no time.
    pub fn copy_to(&self, path: &Path) -> io::Result<()> {
        let copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        match share_blocks(&copy, &self.source) {
            // What was appended since is not part of it.
            Ok(()) => copy.set_len(self.size_bytes)?,
            Err(_) => self.copy_bytes(&copy)?,
        }
        copy.sync_all()?;
        if head_of(&self.source, self.size_bytes)? != self.head {
            return Err(io::Error::other("the store changed while it was copied"));
        }
        Ok(())
    }

    fn copy_bytes(&self, mut copy: &File) -> io::Result<()> {
        let mut source = &*self.source;
        source.seek(SeekFrom::Start(0))?;
        let copied = io::copy(&mut source.take(self.size_bytes), &mut copy)?;
        if copied != self.size_bytes {
            return Err(io::Error::other("the store became shorter while it was copied"));
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn share_blocks(copy: &File, source: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(copy, source)?)
}

#[cfg(not(target_os = "linux"))]
fn share_blocks(_: &File, _: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn head_of(file: &File, size_bytes: u64) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD_SIZE_BYTES.min(usize::try_from(size_bytes).unwrap_or(usize::MAX))];
    file.read_exact_at(&mut head, 0)?;
    Ok(head)
}
