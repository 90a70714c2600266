//! The few disk operations the log needs, so that a test can put a lying disk in their place.
//!
//! Guarantees asked of an implementation: `sync_data` returns after the file's bytes and size are on
//! the device; `sync_directory` after its names are; `rename` replaces one name by another at once.

use std::any::Any;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// A directory tree that can hold a log.
pub trait Disk: Send + Sync + 'static {
    /// Makes the directory and its parents if missing, and makes the new names durable.
    fn create_directory(&self, directory: &Path) -> io::Result<()>;
    /// Holds the directory for this process until the returned value is dropped; `WouldBlock` if
    /// somebody else holds it.
    fn lock(&self, directory: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
    /// Names of the files in the directory, in any order.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Makes a new, empty file that only its owner may read; fails if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name, replacing what had that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes all names in the directory durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Sync + 'static {
    /// Writes all bytes at a position; the file grows if needed.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Reads into the buffer from a position; returns how many bytes there were, 0 at the end.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Makes the file's bytes and size durable.
    fn sync_data(&self) -> io::Result<()>;
    /// The file's size in bytes.
    fn size(&self) -> io::Result<u64>;
}

/// The operating system's file system. Linux: `fdatasync`. macOS: the standard library's
/// `F_FULLFSYNC`, because a plain `fsync` there stops at the drive's cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        if directory.is_dir() {
            return Ok(());
        }
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.create_directory(parent)?;
            std::fs::create_dir(directory)?;
            return self.sync_directory(parent);
        }
        std::fs::create_dir(directory)
    }

    fn lock(&self, directory: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let handle = File::open(directory)?;
        rustix::fs::flock(&handle, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(handle))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?,
        ))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }
}

impl DiskFile for File {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, position)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, buffer, position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Reads until the buffer is full or the file ends; returns how many bytes were read.
pub(crate) fn read_full(
    file: &dyn DiskFile,
    buffer: &mut [u8],
    position: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], position + done as u64)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

/// Overwrites a range with zeros, without holding more than a small block of them.
pub(crate) fn write_zeros(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 128 << 10] = [0; 128 << 10];
    let mut position = from;
    while position < to {
        let count = usize::try_from(to - position).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_at(&ZEROS[..count], position)?;
        position += count as u64;
    }
    Ok(())
}
