//! Connections: one writer, a few readers, all blocking. Callers on async threads use `spawn_blocking`.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::CatalogError;

/// Readers that may work at once; others wait.
const READERS: usize = 3;
/// How long a statement waits for another program's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Connections {
    writer: Mutex<Connection>,
    readers: Vec<Mutex<Connection>>,
    next_reader: AtomicUsize,
}

impl Connections {
    pub(crate) fn open(path: &Path) -> Result<Self, CatalogError> {
        make_private(path)?;
        let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        writer
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            .map_err(CatalogError::during("sets up its journal"))?;
        crate::migrations::migrate(&mut writer)?;
        let readers = (0..READERS)
            .map(|_| connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map(Mutex::new))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Connections { writer: Mutex::new(writer), readers, next_reader: AtomicUsize::new(0) })
    }

    /// Runs `work` in one transaction, committed if it succeeds.
    pub(crate) fn write<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let mut connection = locked(&self.writer);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(CatalogError::during(doing))?;
        let result = work(&transaction)?;
        transaction.commit().map_err(CatalogError::during(doing))?;
        Ok(result)
    }

    /// Runs `work` on the writer outside a transaction.
    pub(crate) fn maintain<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, CatalogError> {
        work(&locked(&self.writer)).map_err(CatalogError::during(doing))
    }

    pub(crate) fn read<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, CatalogError> {
        let idle = self.readers.iter().find_map(|reader| reader.try_lock().ok());
        let connection = idle.unwrap_or_else(|| {
            let turn = self.next_reader.fetch_add(1, Ordering::Relaxed);
            locked(&self.readers[turn % self.readers.len()])
        });
        work(&connection).map_err(CatalogError::during(doing))
    }
}

/// A panic while the lock was held rolled its transaction back: the connection is as good as before.
fn locked(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, CatalogError> {
    let doing = "opens its file";
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(CatalogError::during(doing))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(CatalogError::during(doing))?;
    connection
        .execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -1024; PRAGMA trusted_schema = OFF;",
        )
        .map_err(CatalogError::during(doing))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Only the program's own user may read the file (its journal files inherit the mode).
fn make_private(path: &Path) -> Result<(), CatalogError> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let file = options.mode(0o600).open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    options.open(path)?;
    Ok(())
}
