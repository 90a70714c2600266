//! The ledger of opt-outs, beside the backups: of whom nothing is kept after a restore, either.
//!
//! Guarantees: what the catalog has on record is brought here within seconds, and stays also when the catalog is replaced by
//! an older one; it goes with its site. The file is replaced as a whole. It names nobody: its numbers are hashes under a key of
//! the instance. Nothing takes an opt-out by number back, so none is ever taken out.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use cairn_catalog::{Catalog, Departures, OptOut};
use cairn_model::SiteId;

use super::ledger::{LEDGER_FILE, Ledger, replace};
use super::making::make_private;
use super::withdrawals::Withdrawals;
use super::{BackupError, Backups, lock};

/// Name of the ledger of opt-outs, in the directory of the backups.
pub const OPT_OUTS_FILE: &str = "opt-outs.ledger";
/// It is written again after so many times the time that it took, so that millions of opt-outs cost a hundredth of one core.
const PAUSE_FACTOR: u32 = 100;

/// When the file was last brought up to date.
#[derive(Default)]
pub(super) struct Kept {
    /// What the catalog said then: it says something else once anything is added, or a site is removed.
    departures: Option<Departures>,
    not_before: Option<Instant>,
}

/// What a file of opt-outs says: since when, by site and number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct OptOuts(BTreeMap<(SiteId, u64), i64>);

impl OptOuts {
    /// Reads a file; one that is missing is empty.
    pub fn read(path: &Path) -> Result<OptOuts, BackupError> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(BackupError::disk("reads the ledger of opt-outs"))?,
        };
        let mut opt_outs = OptOuts::default();
        for (line, number) in text.lines().zip(1..) {
            let opt_out = parsed(line).ok_or_else(|| BackupError::Damaged {
                file: path.to_owned(),
                why: format!("line {number} is no opt-out"),
            })?;
            opt_outs.join([opt_out]);
        }
        Ok(opt_outs)
    }

    /// Adds what another one has; the latest time counts, since a number of a site may be given out again.
    pub fn join(&mut self, others: impl IntoIterator<Item = OptOut>) {
        for OptOut { site_id, identifier, recorded_at_ms } in others {
            let known = self.0.entry((site_id, identifier)).or_insert(recorded_at_ms);
            *known = recorded_at_ms.max(*known);
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = OptOut> {
        self.0.iter().map(|(&(site_id, identifier), &recorded_at_ms)| OptOut {
            site_id,
            identifier,
            recorded_at_ms,
        })
    }

    /// Takes out those of sites that were removed since.
    fn forget_removed(&mut self, ledger: &Ledger) {
        for (removed, asked_at_ms) in ledger.removed_sites() {
            self.0.retain(|(site_id, _), at_ms| *site_id != removed.id || *at_ms > asked_at_ms);
        }
    }

    /// Writes them into a directory, as a whole; where there are none there is nothing to keep.
    pub fn keep_in(&self, directory: &Path) -> io::Result<()> {
        let path = directory.join(OPT_OUTS_FILE);
        if self.0.is_empty() && !path.exists() {
            return Ok(());
        }
        make_private(directory)?;
        replace(&path, |file| {
            let mut file = BufWriter::new(file);
            for OptOut { site_id, identifier, recorded_at_ms } in self.all() {
                writeln!(file, "{site_id} {identifier:016x} {recorded_at_ms}")?;
            }
            file.flush()
        })
    }

    /// Puts them on record in a copy of the catalog. Returns how many are new there.
    pub fn put_into(&self, catalog: &Catalog) -> Result<usize, BackupError> {
        let opt_outs: Vec<OptOut> = self.all().collect();
        Ok(catalog.take_opt_outs(&opt_outs)?)
    }
}

fn parsed(line: &str) -> Option<OptOut> {
    let mut parts = line.split(' ');
    let site_id = SiteId(parts.next()?.parse().ok()?);
    let identifier = u64::from_str_radix(parts.next()?, 16).ok()?;
    let recorded_at_ms = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some(OptOut { site_id, identifier, recorded_at_ms })
}

impl Backups {
    /// Brings what the catalog has on record to the ledgers of opt-outs and of withdrawals, if that is something new. Where no backup was ever made
    /// there is none.
    pub(super) fn keep_opt_outs(&self) -> Result<(), BackupError> {
        let directory = &self.options.directory;
        let mut kept = lock(&self.opt_outs_kept);
        // Read first: what is added meanwhile makes it another one.
        let departures = Some(self.sources.catalog.departures());
        let must_wait = kept.not_before.is_some_and(|at| Instant::now() < at);
        if kept.departures == departures || must_wait || !directory.is_dir() {
            return Ok(());
        }
        let path = directory.join(OPT_OUTS_FILE);
        let begun = Instant::now();
        let removed = Ledger::read(&directory.join(LEDGER_FILE))?;
        let known = OptOuts::read(&path)?;
        let mut opt_outs = known.clone();
        opt_outs.join(self.sources.catalog.opt_outs()?);
        opt_outs.forget_removed(&removed);
        if opt_outs != known {
            let written = opt_outs.keep_in(directory);
            written.map_err(BackupError::disk("writes the ledger of opt-outs"))?;
        }
        Withdrawals::follow(&self.sources.catalog, directory, &removed)?;
        kept.departures = departures;
        let pause: Duration = begun.elapsed().saturating_mul(PAUSE_FACTOR);
        kept.not_before = Some(Instant::now() + pause);
        Ok(())
    }
}

#[cfg(test)]
impl Kept {
    pub fn end_pause(&mut self) {
        self.not_before = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::Entry;
    use crate::backup::ledger::{Erased, RemovedSite};

    const GONE: SiteId = SiteId(1);
    const KEPT: SiteId = SiteId(2);

    fn of(site_id: SiteId, identifier: u64, recorded_at_ms: i64) -> OptOut {
        OptOut { site_id, identifier, recorded_at_ms }
    }

    #[test]
    fn opt_outs_are_written_read_joined_and_go_with_their_site() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(OPT_OUTS_FILE);
        OptOuts::default().keep_in(directory.path()).unwrap();
        assert!(!path.exists(), "there is nothing to keep");
        let mut opt_outs = OptOuts::read(&path).unwrap();
        let (before, after) = (of(GONE, u64::MAX, 5), of(GONE, 7, 11));
        opt_outs.join([before, after, of(KEPT, 7, 4), of(KEPT, 7, 3)]);
        opt_outs.keep_in(directory.path()).unwrap();
        assert_eq!(OptOuts::read(&path).unwrap(), opt_outs);
        let mut ledger = Ledger::default();
        let what = Erased::Site(RemovedSite { id: GONE, created_at_ms: 1 });
        ledger.add(Entry { asked_at_ms: 10, what }).unwrap();
        opt_outs.forget_removed(&ledger);
        assert!(opt_outs.all().eq([after, of(KEPT, 7, 4)]), "{opt_outs:?}");
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("2 00");
        fs::write(&path, text).unwrap();
        let error = OptOuts::read(&path).unwrap_err().to_string();
        assert!(error.contains(OPT_OUTS_FILE) && error.contains("line 4"), "{error}");
    }
}
