//! Rollups: stretches of time that are over, summed up once, so that questions over long ranges read few rows.
//!
//! Guarantees: an answer made with them equals the one made from the rows. A rollup is a file beside the database that holds
//! what the rows of its stretch say; whatever changes such a row (a late event, an import, an erasure, retention) removes it
//! *before* it is committed, and a question uses those alone that are no newer than what it sees. Losing them costs time only:
//! `roll_up` makes them again. It does not know zones or reports: which stretches are worth it, the caller decides.
//!
//! `block` is a stretch in memory, `build` makes it from rows, `file` keeps it. `ask` turns a question's sides into folds:
//! `condition` is what a fold asks of a row, `fold` what it counts of a `run` of rows, `pass` counts several of them over many
//! blocks, `order` tells visitors apart.

mod ask;
mod block;
mod build;
mod condition;
mod file;
mod fold;
mod order;
mod pass;
mod run;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Batch, SessionChange, Span};
use cairn_model::SiteId;

use super::connection::Connection;
use super::error::{DuckError, DuckErrorKind};
use super::store::lock;
use block::{Slice, Wanted};
use build::Making;
use file::{Reader, SEGMENTS, visitors_of};
use run::Cursor;

pub(super) use ask::{Asked, Rolled, Rolling};

/// Directory of the files, within that of the store.
pub(super) const DIRECTORY: &str = "rollups";
const EXTENSION: &str = "rollup";
/// Events of a stretch from which it is read in several passes, each of some visitors.
const EVENTS_PER_PASS: u64 = 500_000;

/// Why rollups could not answer.
#[derive(Debug)]
pub(super) enum RollupError {
    /// The time for the question is over.
    TooSlow,
    /// A file is gone: something of its stretch changes.
    Gone,
    /// A file cannot be read.
    Damaged(PathBuf),
    /// A thread ended early, or there were more visits than it has numbers for.
    Broken,
    /// The rows could not be read.
    Rows(DuckError),
}

impl From<DuckError> for RollupError {
    fn from(error: DuckError) -> Self {
        RollupError::Rows(error)
    }
}

/// A stretch that was summed up, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Known {
    until_ms: i64,
    /// It says what the rows up to this offset do.
    watermark: u64,
    /// Tells two files of one stretch apart.
    serial: u64,
}

/// What a batch changes of a site.
struct Changed {
    end_ms: i64,
    /// First and last instants.
    spans: Vec<(i64, i64)>,
}

fn failed(error: io::Error) -> DuckError {
    DuckError::new(DuckErrorKind::Other, error.to_string())
}

#[derive(Default)]
struct State {
    /// By site, start and end.
    known: BTreeMap<(u32, i64, i64), Known>,
    /// What is being made, and whether it has changed meanwhile.
    making: Option<(SiteId, Span, bool)>,
    next_serial: u64,
    /// Files were removed, and it is not known whether the disk knows.
    is_unsynced: bool,
}

/// The rollups of a store.
pub(super) struct Rollups {
    directory: PathBuf,
    state: Mutex<State>,
    /// Held by whoever makes one.
    making: Mutex<()>,
    /// Sides of questions that were answered.
    answered: AtomicU64,
}

/// A stretch, summed up in a file or in memory.
enum Block {
    InFile { span: Span, path: PathBuf, reader: Reader },
    InMemory { span: Span, slice: Slice },
}

impl Block {
    fn span(&self) -> Span {
        match self {
            Block::InFile { span, .. } | Block::InMemory { span, .. } => *span,
        }
    }

    /// About how many rows a segment has: parts, or entries where they are wanted.
    fn rows(&self, segment: usize) -> usize {
        match self {
            Block::InFile { reader, .. } => reader.rows(segment),
            Block::InMemory { slice, .. } => {
                slice.columns.iter().map(Vec::len).max().unwrap_or_default() / SEGMENTS
            }
        }
    }

    /// The parts of a segment's visitors.
    fn slice(&self, segment: usize, slice: &mut Slice) -> Result<(), RollupError> {
        match self {
            Block::InFile { path, reader, .. } => {
                reader.slice(segment, slice).map_err(|error| unreadable(error, path))
            }
            Block::InMemory { slice: whole, .. } => {
                whole.of_visitors(visitors_of(segment), slice);
                Ok(())
            }
        }
    }
}

fn unreadable(error: io::Error, path: &Path) -> RollupError {
    match error.kind() {
        io::ErrorKind::NotFound => RollupError::Gone,
        _ => RollupError::Damaged(path.to_owned()),
    }
}

impl Rollups {
    /// Those in a directory, which is made when something is put into it.
    pub(super) fn open(store: &Path) -> io::Result<Rollups> {
        let directory = store.join(DIRECTORY);
        let mut state = State::default();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry.path();
            match parse_name(&path) {
                Some((site, span, known)) => {
                    state.next_serial = state.next_serial.max(known.serial + 1);
                    state.known.insert((site, span.from_ms, span.until_ms), known);
                }
                // Whoever wrote it did not come to its end.
                None => wipe(&path)?,
            }
        }
        Ok(Rollups {
            directory,
            state: Mutex::new(state),
            making: Mutex::default(),
            answered: AtomicU64::default(),
        })
    }

    fn path(&self, site_id: SiteId, span: Span, known: &Known) -> PathBuf {
        let Span { from_ms, until_ms } = span;
        let Known { watermark, serial, .. } = known;
        let name = format!("{site_id}_{from_ms}_{until_ms}_{watermark}_{serial}.{EXTENSION}");
        self.directory.join(name)
    }

    /// What there is of a site, in order of time.
    pub(super) fn spans(&self, site_id: SiteId) -> Vec<Span> {
        let state = lock(&self.state);
        state.of_site(site_id).map(|(span, _)| span).collect()
    }

    /// How many sides of questions were answered since the start.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether writing to a site has anything to think of.
    pub(super) fn has_any(&self, site_id: SiteId) -> bool {
        let state = lock(&self.state);
        let is_being_made = state.making.is_some_and(|(making, _, _)| making == site_id);
        is_being_made || state.of_site(site_id).next().is_some()
    }

    /// Removes what covers any of some instants (each a first and a last one), before they change. Nothing of it stays on the
    /// disk either: somebody in it may be erased later, when nobody can find its blocks any more.
    fn forget(&self, site_id: SiteId, changed: &[(i64, i64)]) -> io::Result<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let concerns = |span: Span| {
            let meets =
                |(first, last): &(i64, i64)| *last >= span.from_ms && *first < span.until_ms;
            changed.iter().any(meets)
        };
        let mut state = lock(&self.state);
        if let Some((making, span, has_changed)) = &mut state.making
            && *making == site_id
            && concerns(*span)
        {
            *has_changed = true;
        }
        let gone: Vec<(Span, Known)> =
            state.of_site(site_id).filter(|(span, _)| concerns(*span)).collect();
        if gone.is_empty() && !state.is_unsynced {
            return Ok(());
        }
        state.is_unsynced = true;
        for (span, known) in gone {
            let path = self.path(site_id, span, &known);
            wipe(&path)?;
            state.known.remove(&(site_id.0, span.from_ms, span.until_ms));
        }
        // A file that came back after a loss of power would say what is no longer so.
        File::open(&self.directory)?.sync_all()?;
        state.is_unsynced = false;
        Ok(())
    }

    /// Removes what a batch changes, before it is committed.
    pub(super) fn forget_changed(&self, batch: &Batch<'_>) -> Result<(), DuckError> {
        let mut changed: BTreeMap<SiteId, Changed> = BTreeMap::new();
        let mut note = |site_id: SiteId, first_ms: i64, last_ms: i64| {
            let known = || Changed { end_ms: self.end_ms(site_id), spans: Vec::new() };
            let changed = changed.entry(site_id).or_insert_with(known);
            if first_ms < changed.end_ms {
                changed.spans.push((first_ms, last_ms));
            }
        };
        for row in &batch.rows {
            note(row.event.site_id, row.event.timestamp_ms, row.event.timestamp_ms);
        }
        for SessionChange { session, earliest_ms, .. } in &batch.sessions {
            let last_ms = session.last_activity_ms.max(session.started_at_ms);
            note(session.site_id, *earliest_ms, last_ms.max(session.ended_at_ms));
        }
        for (site_id, Changed { spans, .. }) in changed {
            self.forget(site_id, &spans).map_err(failed)?;
        }
        Ok(())
    }

    /// The end of the last stretch of a site; what happens after it changes none.
    fn end_ms(&self, site_id: SiteId) -> i64 {
        let state = lock(&self.state);
        let making = state.making.filter(|(making, _, _)| *making == site_id);
        let making = making.map(|(_, span, _)| span.until_ms);
        let known = state.of_site(site_id).map(|(span, _)| span.until_ms).max();
        making.max(known).unwrap_or(i64::MIN)
    }

    /// The same before rows are deleted.
    pub(super) fn erase(&self, site_id: SiteId, changed: &[(i64, i64)]) -> Result<(), DuckError> {
        self.forget(site_id, changed).map_err(failed)
    }

    /// Removes all of a site.
    pub(super) fn forget_site(&self, site_id: SiteId) -> io::Result<()> {
        self.forget(site_id, &[(i64::MIN, i64::MAX)])
    }

    fn forget_damaged(&self, path: &Path) {
        if let Some((site, span, known)) = parse_name(path) {
            // One that was overwritten while it was read is gone and not damaged.
            let key = (site, span.from_ms, span.until_ms);
            if lock(&self.state).known.get(&key) != Some(&known) {
                return;
            }
            tracing::warn!("a rollup could not be read and is made again");
            // Answers are made from rows instead; what cannot be removed is found again.
            let _ = self.forget(SiteId(site), &[(span.from_ms, span.until_ms - 1)]);
        }
    }

    /// Makes one. `begin` opens a connection between two commits, with the watermark that it sees.
    pub(super) fn make(
        &self,
        site_id: SiteId,
        span: Span,
        begin: impl FnOnce(&dyn Fn()) -> Result<(Connection, u64), DuckError>,
    ) -> Result<bool, DuckError> {
        let _turn = lock(&self.making);
        let key = (site_id.0, span.from_ms, span.until_ms);
        if lock(&self.state).known.contains_key(&key) {
            return Ok(true);
        }
        let note = || lock(&self.state).making = Some((site_id, span, false));
        let made = begin(&note).and_then(|(connection, watermark)| {
            let block = whole_block(&connection, site_id, span)?;
            Ok((block, watermark))
        });
        let kept = made.and_then(|(block, watermark)| {
            self.keep(site_id, span, watermark, &block).map_err(failed)
        });
        lock(&self.state).making = None;
        kept
    }

    fn keep(&self, site_id: SiteId, span: Span, watermark: u64, block: &Slice) -> io::Result<bool> {
        fs::create_dir_all(&self.directory)?;
        let serial = {
            let mut state = lock(&self.state);
            state.next_serial += 1;
            state.next_serial - 1
        };
        let known = Known { until_ms: span.until_ms, watermark, serial };
        let path = self.path(site_id, span, &known);
        let unnamed = path.with_extension("new");
        let written = file::write(&unnamed, block);
        let mut state = lock(&self.state);
        if written.is_err() || state.making != Some((site_id, span, false)) {
            // It may say what was erased meanwhile.
            wipe(&unnamed)?;
            return written.map(|()| false);
        }
        // Named while nobody can forget it, and known from the same moment on.
        fs::rename(&unnamed, &path)?;
        state.known.insert((site_id.0, span.from_ms, span.until_ms), known);
        // The whole takes the place of its parts.
        let parts: Vec<(Span, Known)> = state
            .of_site(site_id)
            .filter(|(part, _)| *part != span && span.covers(*part))
            .collect();
        for (part, known) in parts {
            let path = self.path(site_id, part, &known);
            wipe(&path)?;
            state.known.remove(&(site_id.0, part.from_ms, part.until_ms));
        }
        Ok(true)
    }
}

impl State {
    fn of_site(&self, site_id: SiteId) -> impl Iterator<Item = (Span, Known)> {
        let range = (site_id.0, i64::MIN, i64::MIN)..=(site_id.0, i64::MAX, i64::MAX);
        self.known.range(range).map(|((_, from_ms, until_ms), known)| {
            (Span { from_ms: *from_ms, until_ms: *until_ms }, known.clone())
        })
    }
}

/// Removes a file whose blocks on the disk say nothing any more.
fn wipe(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let size_bytes = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    file.write_all(&vec![0; size_bytes])?;
    file.sync_data()?;
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Site, stretch and watermark of a file.
fn parse_name(path: &Path) -> Option<(u32, Span, Known)> {
    let name = path.file_name()?.to_str()?.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    let mut parts = name.split('_');
    let site = parts.next()?.parse().ok()?;
    let from_ms = parts.next()?.parse().ok()?;
    let until_ms = parts.next()?.parse().ok()?;
    let watermark = parts.next()?.parse().ok()?;
    let serial = parts.next()?.parse().ok()?;
    let known = Known { until_ms, watermark, serial };
    parts.next().is_none().then_some((site, Span { from_ms, until_ms }, known))
}

/// Everything of a stretch.
fn whole_block(connection: &Connection, site_id: SiteId, span: Span) -> Result<Slice, DuckError> {
    let passes = events_in(connection, site_id, span)? / EVENTS_PER_PASS + 1;
    let step = u64::MAX / passes;
    let mut block = Slice::empty();
    for pass in 0..passes {
        let last = if pass + 1 == passes { u64::MAX } else { step * (pass + 1) - 1 };
        let visitors = (step * pass, last);
        let wanted = Wanted::all();
        let making = Making { connection, site_id, span, visitors, wanted, with_visits: true };
        block.append(&Cursor::new(&making.block()?).rest());
    }
    Ok(block)
}

/// Events of a site in a stretch.
fn events_in(connection: &Connection, site_id: SiteId, span: Span) -> Result<u64, DuckError> {
    let sql =
        "SELECT count(*) FROM events WHERE site_id = ? AND timestamp_ms >= ? AND timestamp_ms < ?";
    let asked = [site_id.0.into(), span.from_ms.into(), span.until_ms.into()];
    let counted = connection.query(sql, &asked)?.first(|row| row.get(0))?;
    Ok(counted.unwrap_or_default())
}
