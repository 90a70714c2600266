//! Other places to put the groups of `cairn_log`: its writer, its group commit and its wakes stay
//! the same, only what "write these bytes and make them durable" means is exchanged.
//!
//! Bytes that are only preallocation (zeros) or a segment's header are left out for the databases,
//! and what was trimmed is not deleted from them: both in their favour.

use std::any::Any;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_log::{Disk, DiskFile, RealDisk};

/// Size that every file claims to have.
pub const SEGMENT_SIZE_BYTES: u64 = 16 << 20;

/// Makes one blob durable.
pub trait Sink: Send + Sync + 'static {
    fn put(&self, blob: &[u8]) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

/// A `Disk` whose files are all the same sink.
pub struct SinkDisk<S>(pub Arc<S>);

struct SinkFile<S>(Arc<S>);

impl<S: Sink> Disk for SinkDisk<S> {
    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        RealDisk.create_directory(directory)
    }
    fn lock(&self, directory: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        RealDisk.lock(directory)
    }
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn open(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SinkFile(Arc::clone(&self.0))))
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Sink> DiskFile for SinkFile<S> {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        if position < 4096 || bytes.first() == Some(&0) {
            return Ok(());
        }
        self.0.put(bytes)
    }
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn size(&self) -> io::Result<u64> {
        Ok(SEGMENT_SIZE_BYTES)
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

/// One row with a blob per group; WAL, `synchronous = FULL`.
pub struct Sqlite {
    connection: Mutex<(rusqlite::Connection, Option<Vec<u8>>)>,
}

impl Sqlite {
    pub fn open(path: &Path) -> io::Result<Self> {
        let connection = rusqlite::Connection::open(path).map_err(other)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 CREATE TABLE log (number INTEGER PRIMARY KEY, records BLOB NOT NULL);",
            )
            .map_err(other)?;
        Ok(Self { connection: Mutex::new((connection, None)) })
    }
}

impl Sink for Sqlite {
    fn put(&self, blob: &[u8]) -> io::Result<()> {
        let mut guard = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        guard.1 = Some(blob.to_vec());
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        let mut guard = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(blob) = guard.1.take() else { return Ok(()) };
        let mut insert =
            guard.0.prepare_cached("INSERT INTO log (records) VALUES (?1)").map_err(other)?;
        insert.execute([blob]).map(drop).map_err(other)
    }
}

/// One entry per group; `PersistMode::SyncData`.
pub struct Fjall {
    database: fjall::Database,
    keyspace: fjall::Keyspace,
    number: Mutex<u64>,
}

impl Fjall {
    pub fn open(path: &Path) -> io::Result<Self> {
        let database = fjall::Database::builder(path).open().map_err(other)?;
        let keyspace =
            database.keyspace("log", fjall::KeyspaceCreateOptions::default).map_err(other)?;
        Ok(Self { database, keyspace, number: Mutex::new(0) })
    }
}

impl Sink for Fjall {
    fn put(&self, blob: &[u8]) -> io::Result<()> {
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        *number += 1;
        self.keyspace.insert(number.to_be_bytes(), blob).map_err(other)
    }
    fn sync(&self) -> io::Result<()> {
        self.database.persist(fjall::PersistMode::SyncData).map_err(other)
    }
}

/// A plain file that grows with every group: what preallocation is measured against.
pub struct Growing {
    file: File,
    end: Mutex<u64>,
}

impl Growing {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create_new(true).write(true).open(path)?;
        Ok(Self { file, end: Mutex::new(0) })
    }
}

impl Sink for Growing {
    fn put(&self, blob: &[u8]) -> io::Result<()> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.write_all_at(blob, *end)?;
        *end += blob.len() as u64;
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
