//! The ledger of erasures, beside the backups: who must not come back, in keyed numbers.
//!
//! Guarantees: what the catalog has on record is in the ledger before any backup is said to be free of it, and stays there
//! also when the catalog is replaced by an older one. What is new is appended; what a crash left of a line is cut off before
//! more is, and never hides what stands before it. It is written as a whole only when entries are too old, once a day at
//! most. It names nobody: its numbers are hashes under a key of the instance. It is kept for [`LEDGER_AGE_DAYS_MAX`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cairn_catalog::{Catalog, Erasure, ErasureId, ErasureReason, MemoryHolder, hex, parse_hex};
use cairn_model::{SiteId, Subject};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::making::make_private;
use super::{BackupError, DAY_MS};

/// Name of the ledger, in the directory of the backups.
pub const LEDGER_FILE: &str = "erasures.ledger";
/// Days for which an erasure is in the ledger: as long as the catalog has it on record (the class `erasures` of the table of
/// retention), so that who came back since is not erased again.
pub const LEDGER_AGE_DAYS_MAX: i64 = 3 * 366;

/// One erasure, or one removed site.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When it was asked for, Unix milliseconds.
    pub asked_at_ms: i64,
    /// What was erased.
    pub what: Erased,
}

/// What was erased.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Erased {
    /// A site with everything of it.
    Site(RemovedSite),
    /// Somebody's data on a site.
    Subject {
        /// Whose events, visits, people and mail choices.
        subject: Subject,
        /// Whose memory: `b` or `p` and 64 hexadecimal digits.
        holders: Vec<String>,
        /// Who asked.
        reason: String,
    },
}

/// A site that was removed. Numbers of sites are drawn: one may be drawn again, by a site of another time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RemovedSite {
    /// Its number.
    pub id: SiteId,
    /// When it was added, Unix milliseconds: by that, and by no order of clocks, it is told from another one of its number.
    pub created_at_ms: i64,
}

impl Entry {
    pub(super) fn of_erasure(erasure: &Erasure) -> Entry {
        let holder = |holder: &MemoryHolder| match holder {
            MemoryHolder::Browser(number) => format!("b{}", hex(number)),
            MemoryHolder::Person(number) => format!("p{}", hex(number)),
        };
        let what = Erased::Subject {
            subject: erasure.subject.clone(),
            holders: erasure.holders.iter().map(holder).collect(),
            reason: erasure.reason.name().to_owned(),
        };
        Entry { asked_at_ms: erasure.asked_at_ms, what }
    }

    /// What it is called in manifests.
    pub(super) fn id(&self) -> Result<String, BackupError> {
        let text = serde_json::to_vec(self)
            .map_err(|error| BackupError::disk("writes the ledger of erasures")(error.into()))?;
        let mut id = hex(&Sha256::digest(text).into());
        id.truncate(32);
        Ok(id)
    }
}

/// Memory that an entry names; what cannot be read is nobody's.
pub(super) fn holders_of(texts: &[String]) -> Vec<MemoryHolder> {
    let holder = |text: &String| match text.split_at_checked(1)? {
        ("b", number) => Some(MemoryHolder::Browser(parse_hex(number)?)),
        ("p", number) => Some(MemoryHolder::Person(parse_hex(number)?)),
        _ => None,
    };
    texts.iter().filter_map(holder).collect()
}

/// Who asked, as an entry says it.
pub(super) fn reason_of(name: &str) -> ErasureReason {
    let known = [ErasureReason::Visitor, ErasureReason::Owner, ErasureReason::Command];
    known.into_iter().find(|reason| reason.name() == name).unwrap_or(ErasureReason::Owner)
}

/// The ledger, read.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    path: PathBuf,
    /// By what they are called.
    entries: BTreeMap<String, Entry>,
    /// Where the last whole line of the file ends.
    end: u64,
}

impl Ledger {
    /// Reads a ledger; one that is missing is empty.
    pub fn read(path: &Path) -> Result<Ledger, BackupError> {
        let path = path.to_owned();
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(BackupError::disk("reads the ledger of erasures"))?,
        };
        // A crash while it was appended to leaves a part of a line; of whom it was, the catalog still knows.
        let (whole, torn) = text.split_at(text.rfind('\n').map_or(0, |at| at + 1));
        let mut entries = BTreeMap::new();
        for (line, number) in whole.lines().zip(1..) {
            let entry: Entry = serde_json::from_str(line).map_err(|error| {
                BackupError::Damaged { file: path.clone(), why: format!("line {number}: {error}") }
            })?;
            entries.insert(entry.id()?, entry);
        }
        if let Ok(entry) = serde_json::from_str::<Entry>(torn) {
            entries.insert(entry.id()?, entry);
        } else if !torn.is_empty() {
            tracing::warn!(file = %path.display(), "the last line of the ledger is cut off");
        }
        // A line that lacks nothing but its end is written again.
        Ok(Ledger { path, entries, end: whole.len() as u64 })
    }

    /// Its entries, with what they are called.
    pub fn entries(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter()
    }

    #[cfg(test)]
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), BackupError> {
        self.entries.insert(entry.id()?, entry);
        Ok(())
    }

    /// Adds what another one has.
    pub(super) fn join(&mut self, other: Ledger) {
        self.entries.extend(other.entries);
    }

    /// Writes it into a directory of backups, which is made; where it has no entries there is nothing to keep.
    pub(super) fn keep_in(&mut self, directory: &Path) -> io::Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        make_private(directory)?;
        self.path = directory.join(LEDGER_FILE);
        self.write()
    }

    /// Whom it says to be removed of a site's number, and when that was asked for.
    pub(super) fn removed_sites(&self) -> impl Iterator<Item = (RemovedSite, i64)> {
        self.entries.values().filter_map(|entry| match entry.what {
            Erased::Site(removed) => Some((removed, entry.asked_at_ms)),
            Erased::Subject { .. } => None,
        })
    }

    /// Adds what a catalog has on record, and brings it to disk where that is new. `taken`: what is in the file already, as long
    /// as nobody else wrote it; of what is there only the rest is read.
    pub(super) fn take_over(
        &mut self,
        catalog: &Catalog,
        taken: &mut Taken,
        now_ms: i64,
    ) -> Result<(), BackupError> {
        let oldest_ms = now_ms - LEDGER_AGE_DAYS_MAX * DAY_MS;
        let is_as_left = taken.stamp.is_some() && taken.stamp == stamp_of(&self.path);
        let until = if is_as_left { taken.until } else { ErasureId(0) };
        // One that fails half-way is begun anew.
        *taken = Taken::default();
        let erasures = catalog.erasures_after(until)?;
        let last = erasures.last().map_or(until, |erasure| erasure.id);
        let kept = erasures.iter().filter(|erasure| erasure.asked_at_ms >= oldest_ms);
        let removed = catalog.sites_removed()?.into_iter();
        let removed = removed.filter(|removed| removed.removed_at_ms >= oldest_ms).map(|removed| {
            let cairn_catalog::SiteRemoved { site_id: id, created_at_ms, removed_at_ms } = removed;
            let what = Erased::Site(RemovedSite { id, created_at_ms });
            Entry { asked_at_ms: removed_at_ms, what }
        });
        let is_overdue = |entry: &Entry| entry.asked_at_ms < oldest_ms - DAY_MS;
        let must_shrink = self.entries.values().any(is_overdue);
        self.entries.retain(|_, entry| entry.asked_at_ms >= oldest_ms);
        let mut added = Vec::new();
        for entry in kept.map(Entry::of_erasure).chain(removed) {
            let id = entry.id()?;
            if let MapEntry::Vacant(place) = self.entries.entry(id) {
                added.push(place.insert(entry).clone());
            }
        }
        let written = match must_shrink {
            true => self.write(),
            false if added.is_empty() => Ok(()),
            false => self.append(&added),
        };
        written.map_err(BackupError::disk("writes the ledger of erasures"))?;
        *taken = Taken { until: last, stamp: stamp_of(&self.path) };
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let mut entries: Vec<&Entry> = self.entries.values().collect();
        entries.sort_by_key(|entry| entry.asked_at_ms);
        let text = lines_of(entries)?;
        replace(&self.path, |file| file.write_all(&text))?;
        self.end = text.len() as u64;
        Ok(())
    }

    /// Adds lines behind the last whole one, in the place of what a crash left of another.
    fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        let is_new = file.metadata()?.len() == 0;
        let torn = match file.metadata()?.len() > self.end {
            true => self.torn_entry()?,
            false => None,
        };
        file.set_len(self.end)?;
        file.seek(SeekFrom::Start(self.end))?;
        let text = lines_of(torn.iter().chain(entries))?;
        file.write_all(&text)?;
        file.sync_all()?;
        self.end += text.len() as u64;
        match self.path.parent().filter(|_| is_new) {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }

    /// What stands behind the last whole line, where it lacks nothing but its end.
    fn torn_entry(&self) -> io::Result<Option<Entry>> {
        let bytes = fs::read(&self.path)?;
        let torn = usize::try_from(self.end).ok().and_then(|end| bytes.get(end..));
        Ok(torn.and_then(|torn| serde_json::from_slice(torn).ok()))
    }
}

fn lines_of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, entry)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// What a ledger has taken over from the catalog.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Erasures up to this one.
    pub(super) until: ErasureId,
    /// The file as it was left.
    stamp: Option<(u64, u64, SystemTime)>,
}

/// Number, size and time of a file, by which another one of the same name is told.
fn stamp_of(path: &Path) -> Option<(u64, u64, SystemTime)> {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.modified().ok()?))
}

/// Replaces a file as a whole and brings it to disk.
pub(super) fn replace(
    path: &Path,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    fill(&mut file)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::retention::{DataClass, RULES, Term};

    use super::*;

    #[test]
    fn the_ledger_remembers_as_long_as_the_catalog() {
        let rule = RULES.iter().find(|rule| rule.class == DataClass::Erasures).unwrap();
        let Term::Fixed(days) = rule.term else { panic!("{rule:?}") };
        assert_eq!(i64::from(days), LEDGER_AGE_DAYS_MAX);
    }

    fn removed(asked_at_ms: i64) -> Entry {
        let what = Erased::Site(RemovedSite { id: SiteId(1), created_at_ms: 1 });
        Entry { asked_at_ms, what }
    }

    #[test]
    fn a_ledger_that_was_cut_off_anywhere_says_what_was_whole_and_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LEDGER_FILE);
        let added = [1, 2, 3].map(removed);
        let read = || Ledger::read(&path).unwrap();
        let asked = |ledger: &Ledger| {
            let mut asked: Vec<i64> = ledger.entries().map(|(_, it)| it.asked_at_ms).collect();
            asked.sort_unstable();
            asked
        };
        read().append(&added).unwrap();
        let whole = fs::read(&path).unwrap();
        let length = whole.len() / 3;
        for end in 0..=whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let mut ledger = read();
            let known = asked(&ledger);
            // The end of a line is no part of what it says.
            assert_eq!(known, [1, 2, 3][..(end + 1) / length], "{end}");
            ledger.append(&[removed(9)]).unwrap();
            assert_eq!(asked(&read()), [&known[..], &[9]].concat(), "{end}");
            ledger.append(&[removed(10)]).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), known.len() + 2, "{end}: {text}");
        }
    }

    #[test]
    fn what_is_new_is_appended_and_what_is_too_old_goes_once_a_day() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&directory.path().join(cairn_catalog::CATALOG_FILE)).unwrap();
        let path = directory.path().join(LEDGER_FILE);
        let mut taken = Taken::default();
        let remove = |domain: &str, at_ms: i64| {
            let site = catalog.add_site(&cairn_catalog::NewSite::of(domain), None, at_ms).unwrap();
            catalog.delete_site(site.id, at_ms).unwrap();
        };
        let mut take_over = |now_ms: i64| {
            Ledger::read(&path).unwrap().take_over(&catalog, &mut taken, now_ms).unwrap();
            let file = fs::metadata(&path).unwrap();
            (file.ino(), fs::read_to_string(&path).unwrap().lines().count())
        };
        remove("one.example", DAY_MS);
        let (file, lines) = take_over(DAY_MS);
        assert_eq!(lines, 1);
        remove("two.example", 10 * DAY_MS);
        assert_eq!(take_over(10 * DAY_MS), (file, 2), "the same file");
        let until = LEDGER_AGE_DAYS_MAX + 1;
        assert_eq!(take_over(until * DAY_MS + DAY_MS / 2), (file, 2), "it waits for others");
        let (smaller, lines) = take_over((until + 2) * DAY_MS);
        assert_eq!((smaller == file, lines), (false, 1));
    }

    #[test]
    fn a_ledger_that_cannot_be_read_is_named_with_the_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LEDGER_FILE);
        assert_eq!(Ledger::read(&path).unwrap().entries().count(), 0, "a missing one is empty");
        let subject = Subject { site_id: SiteId(7), users: vec![u64::MAX], ..Subject::default() };
        let holders = vec![format!("b{}", hex(&[3; 32])), "x".to_owned(), String::new()];
        assert_eq!(holders_of(&holders), [MemoryHolder::Browser([3; 32])]);
        let what = Erased::Subject { subject, holders, reason: "owner".to_owned() };
        let entry = Entry { asked_at_ms: 5, what };
        let site = removed(4);
        let entries = [&entry, &site].map(|entry| (entry.id().unwrap(), entry.clone()));
        let mut ledger = Ledger { path: path.clone(), entries: entries.into(), end: 0 };
        ledger.write().unwrap();
        let read = Ledger::read(&path).unwrap();
        assert_eq!(read.entries, ledger.entries);
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("half a line\n");
        fs::write(&path, text).unwrap();
        let error = Ledger::read(&path).unwrap_err().to_string();
        assert!(error.contains(LEDGER_FILE) && error.contains("line 3"), "{error}");
    }
}
