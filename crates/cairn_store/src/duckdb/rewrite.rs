//! Getting the bytes of deleted rows out of the file: a copy without them takes its place.
//!
//! Deleting leaves bytes behind in DuckDB's file: in row groups that keep other rows, in freed blocks, and in blocks that
//! segments of several row groups share, which are in use for ever. A copy has none of them
//! (`docs/decisions/010-erasure.md`). Guarantees: a marker is on disk before anything is deleted, and goes only when no file
//! holds any of it; the rows keep their order; a crash at any moment leaves either the old file or the whole copy.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::connection::{Connection, attach, path_text};
use super::error::{DuckError, DuckErrorKind};
use super::store::FILE_NAME;
use super::write::Writer;
use crate::{Rewritten, schema};

/// Directory of the copy, within that of the store; the only one whose files statements may attach.
pub(super) const DIRECTORY: &str = "fresh";
/// File that says that something was deleted, and since when.
pub(super) const MARKER: &str = "rewrite-due";
/// Events that one step copies: about a second of work. Whole row groups, since each that is not full costs a block for
/// every column.
pub(super) const ROWS_PER_STEP: u64 = 2 * 122_880;
/// Bytes overwritten with one call of the system.
const OVERWRITTEN_AT_ONCE: usize = 1 << 20;
/// Room that stays free on the disk beside the copy: the log's.
const ROOM_LEFT_BYTES: u64 = 64 << 20;

/// A copy that is being written.
pub(super) struct Copying {
    /// Events below this offset are in it.
    next: u64,
    events: u64,
}

/// What a step came to.
pub(super) enum Step {
    /// There is more to copy.
    More(Rewritten),
    /// The copy is whole, as of the writer's changes until then.
    Ready(Ready),
}

/// A whole copy.
pub(super) struct Ready {
    pub changes: u64,
    pub rewritten: Rewritten,
}

/// Brings to disk that something is about to be deleted.
pub(super) fn note_erased(directory: &Path) -> io::Result<()> {
    let marker = directory.join(MARKER);
    if marker.exists() {
        return Ok(());
    }
    File::create(marker)?.sync_all()?;
    File::open(directory)?.sync_all()
}

/// Since when the file may hold bytes of deleted rows.
pub(super) fn erased_since_ms(directory: &Path) -> Option<i64> {
    let modified = fs::metadata(directory.join(MARKER)).and_then(|marker| marker.modified());
    match modified {
        Ok(at) => {
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            Some(i64::try_from(since.as_millis()).unwrap_or(0))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        // Nothing is known: as if it had been for ever.
        Err(_) => Some(0),
    }
}

/// Copies some more.
pub(super) fn step(
    writer: &mut Writer,
    directory: &Path,
    rows_max: u64,
) -> Result<Step, DuckError> {
    let stepped = advance(writer, directory, rows_max);
    if stepped.is_err() {
        // The first error is the one that says what happened.
        let _ = abandon(writer, directory);
    }
    stepped
}

/// Lets go of a copy that is being written: what it was made of has changed.
pub(super) fn abandon(writer: &mut Writer, directory: &Path) -> Result<(), DuckError> {
    if writer.copying.take().is_none() {
        return Ok(());
    }
    // Opened again, the database knows nothing of the copy.
    let fatal = |error: DuckError| DuckError::new(DuckErrorKind::Fatal, error.message);
    writer.connection.run("DETACH fresh").map_err(fatal)?;
    remove_copy(directory).map_err(failed)
}

fn advance(writer: &mut Writer, directory: &Path, rows_max: u64) -> Result<Step, DuckError> {
    let mut copying = match writer.copying.take() {
        Some(copying) => copying,
        None => begin(&writer.connection, directory)?,
    };
    let next = copying.next;
    writer.copying = Some(Copying { ..copying });
    // Rows lie in the order of their offsets, so the first ones are found without looking at the others.
    let sql = format!(
        "SELECT max(event_offset), count(*) FROM
         (SELECT event_offset FROM events WHERE event_offset >= ? LIMIT {rows_max})"
    );
    let found = writer.connection.query(&sql, &[next.into()])?;
    let found = found.first(|row| Ok((row.optional::<u64>(0)?, row.get::<u64>(1)?)))?;
    if let Some((Some(last), rows)) = found
        && rows == rows_max
    {
        let sql = "INSERT INTO fresh.events SELECT * FROM events
            WHERE event_offset >= ? AND event_offset <= ?";
        copying.events += writer.connection.execute(sql, &[next.into(), last.into()])?;
        copying.next = last + 1;
        // All at the end would leave more free blocks in the copy.
        writer.work("FORCE CHECKPOINT fresh")?;
        let events = copying.events;
        writer.copying = Some(copying);
        return Ok(Step::More(Rewritten { events, ..Rewritten::default() }));
    }
    let events = finish(writer, next)?;
    writer.copying = None;
    let rewritten = Rewritten { events: copying.events + events, ..Rewritten::default() };
    Ok(Step::Ready(Ready { changes: writer.changes, rewritten }))
}

fn begin(connection: &Connection, directory: &Path) -> Result<Copying, DuckError> {
    remove_copy(directory).map_err(failed)?;
    require_room(directory)?;
    fs::create_dir_all(directory.join(DIRECTORY)).map_err(failed)?;
    let path = copy_path(directory);
    connection.run(&attach(path_text(&path)?, "fresh"))?;
    for sql in schema::CREATE {
        connection.run(&sql.replace("IF NOT EXISTS ", "IF NOT EXISTS fresh."))?;
    }
    Ok(Copying { next: 0, events: 0 })
}

/// Copies what is left, and closes the copy. Gives how many events it were.
fn finish(writer: &mut Writer, next: u64) -> Result<u64, DuckError> {
    let sql = "INSERT INTO fresh.events SELECT * FROM events WHERE event_offset >= ?";
    let events = writer.connection.execute(sql, &[next.into()])?;
    for table in ["sessions", "texts", "outcomes", "meta"] {
        writer.work(&format!("INSERT INTO fresh.{table} SELECT * FROM {table}"))?;
    }
    for table in ["events", "sessions", "texts", "outcomes", "meta"] {
        let rows = |from: &str| {
            let rows = writer.connection.query(&format!("SELECT count(*) FROM {from}"), &[])?;
            rows.first(|row| row.get::<u64>(0))
        };
        if rows(table)? != rows(&format!("fresh.{table}"))? {
            return Err(DuckError::misuse(format!("the copy of {table} is not whole")));
        }
    }
    writer.work("FORCE CHECKPOINT fresh")?;
    writer.connection.run("DETACH fresh")?;
    // Closing the old file does the same, but does not say when it fails.
    writer.work("FORCE CHECKPOINT")?;
    Ok(events)
}

/// The copy takes a little less than the file.
fn require_room(directory: &Path) -> Result<(), DuckError> {
    let size_bytes = fs::metadata(directory.join(FILE_NAME)).map_err(failed)?.len();
    let disk = rustix::fs::statvfs(directory).map_err(|error| failed(error.into()))?;
    let room_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
    if room_bytes < size_bytes.saturating_add(ROOM_LEFT_BYTES) {
        let needed_mb = (size_bytes + ROOM_LEFT_BYTES) / 1_000_000;
        let message = format!("the disk has no room for a copy of the file ({needed_mb} MB)");
        return Err(DuckError::new(DuckErrorKind::Other, message));
    }
    Ok(())
}

fn failed(error: io::Error) -> DuckError {
    DuckError::new(DuckErrorKind::Other, error.to_string())
}

fn copy_path(directory: &Path) -> PathBuf {
    directory.join(DIRECTORY).join(FILE_NAME)
}

fn remove_copy(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory.join(DIRECTORY)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

pub(super) fn write_ahead(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".wal");
    name.into()
}

/// Puts the copy where the file is. Both are closed. Gives the old file, which has no name any more.
pub(super) fn put_in_place(directory: &Path) -> io::Result<File> {
    let (path, copy) = (directory.join(FILE_NAME), copy_path(directory));
    for waiting in [write_ahead(&path), write_ahead(&copy)] {
        // What waits there would be applied to the wrong file.
        if waiting.exists() {
            return Err(io::Error::other("a write-ahead file was not emptied"));
        }
    }
    let old = OpenOptions::new().write(true).open(&path)?;
    File::open(&copy)?.sync_all()?;
    fs::rename(&copy, &path)?;
    File::open(directory)?.sync_all()?;
    remove_copy(directory)?;
    Ok(old)
}

/// Overwrites the old file, so that its blocks on the disk say nothing either; then nothing is due any more.
pub(super) fn overwrite(mut old: File, directory: &Path) -> io::Result<u64> {
    let size_bytes = old.metadata()?.len();
    let zeros = vec![0; OVERWRITTEN_AT_ONCE];
    let mut left = size_bytes;
    while left > 0 {
        let part = left.min(zeros.len() as u64);
        old.write_all(&zeros[..part as usize])?;
        left -= part;
    }
    old.sync_data()?;
    drop(old);
    fs::remove_file(directory.join(MARKER))?;
    File::open(directory)?.sync_all()?;
    Ok(size_bytes)
}

#[cfg(test)]
mod tests;
