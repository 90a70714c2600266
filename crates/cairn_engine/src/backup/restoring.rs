//! Putting a backup back.
//!
//! Guarantees: a data directory is touched only when the backup was found whole and its copy could be opened. One that was
//! left in the middle is marked, and no server starts in it. A copy that is not used is removed: at once where the restore
//! fails, and after a crash by whoever takes the directory next, since people may be in it who were erased.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use cairn_catalog::{CATALOG_FILE, Catalog, HEADS_FILE};

use super::erasing::{erase_in, remove_journal};
use super::making::{check, make_private};
use super::manifest::verify;
use super::opt_outs::{OPT_OUTS_FILE, OptOuts};
use super::withdrawals::{WITHDRAWALS_FILE, Withdrawals};
use super::{BackupError, LEDGER_FILE, Ledger, Manifest, OpenStore, STORE_DIRECTORY, list};

/// A data directory with a file of this name is half of one instance and half of another.
pub const UNFINISHED_FILE: &str = "restore-unfinished";
/// Where the copy is put together, within the data directory.
const STAGING: &str = ".restoring";
/// Everything that an instance keeps in its data directory, apart from the backups and the owner's address databases.
const KEPT: [&str; 7] = [
    CATALOG_FILE,
    "catalog.sqlite-wal",
    "catalog.sqlite-shm",
    HEADS_FILE,
    STORE_DIRECTORY,
    "event-ids",
    "log",
];

/// What is to be restored.
pub struct Restoring {
    /// A backup, or a directory of backups, of which the latest is taken.
    pub from: PathBuf,
    /// The data directory, which is there and held by this process.
    pub data: PathBuf,
    /// The directory of the instance's backups, which keeps the ledger from now on.
    pub backups: PathBuf,
    /// What it has may be removed.
    pub replace: bool,
    /// A ledger of erasures besides the one beside the backup: that file, or the one in that directory.
    pub ledger: Option<PathBuf>,
}

/// What was restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// The backup.
    pub from: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Erasures and removals of sites that came after it, carried out in what was restored.
    pub erased: usize,
    /// Opt-outs that came after it, on record in what was restored.
    pub opted_out: usize,
    /// A ledger of erasures was found: beside the backup, beside the instance's own, or where the caller said.
    pub had_ledger: bool,
}

/// Makes a data directory of a backup.
pub fn restore(asked: &Restoring, open_store: &OpenStore) -> Result<Restored, BackupError> {
    let Restoring { data, replace, .. } = asked;
    // As it is: a backup that is called `.` has a directory above it, too.
    let asked_from = fs::canonicalize(&asked.from).unwrap_or_else(|_| asked.from.clone());
    let from = backup_in(&asked_from)?;
    let manifest = Manifest::read(&from)?;
    if manifest.is_being_changed {
        return Err(BackupError::BeingChanged { directory: from });
    }
    let mut ledgers = ledgers_for(&from, &asked.backups, asked.ledger.as_deref())?;
    verify(&from, &manifest)?;
    // Where an earlier try was broken off, what is there is of no use any more.
    let may_replace = *replace || data.join(UNFINISHED_FILE).exists();
    let present = KEPT.into_iter().find(|name| data.join(name).exists());
    if let (Some(name), false) = (present, may_replace) {
        return Err(BackupError::NotEmpty { directory: data.clone(), name });
    }
    remove_staged(data).map_err(BackupError::disk("removes what an earlier try left"))?;
    let staging = data.join(STAGING);
    let mut staged = || {
        stage(&from, &manifest, &staging, open_store)?;
        let entries = ledgers.erasures.entries().map(|(_, entry)| entry);
        let stop = AtomicBool::new(false);
        let erased = erase_in(&staging, entries, open_store, &stop)?;
        let opted_out = bring_up_to_date(&staging, &ledgers)?;
        // Other backups may be restored later, or brought here: what was erased before counts for them, too.
        keep(&mut ledgers, &asked.backups).map_err(BackupError::disk("writes the ledgers"))?;
        put_in_place(data, &staging).map_err(BackupError::disk("puts the copy in its place"))?;
        Ok((erased, opted_out))
    };
    let staged: Result<_, BackupError> = staged();
    if staged.is_err() {
        // What cannot be removed now goes when the directory is taken next.
        let _ = remove_staged(data);
    }
    let (erased, opted_out) = staged?;
    Ok(Restored { from, manifest, erased, opted_out, had_ledger: ledgers.had_ledger })
}

/// Removes the copy that a restore left which was broken off: people may be in it who were erased, and keys.
pub fn remove_staged(data: &Path) -> io::Result<()> {
    remove(&data.join(STAGING))
}

/// The backup itself, or the latest one in a directory of them.
fn backup_in(directory: &Path) -> Result<PathBuf, BackupError> {
    if directory.join(super::MANIFEST_FILE).is_file() {
        return Ok(directory.to_owned());
    }
    let latest = list(directory)?.into_iter().find(|listed| listed.manifest.is_ok());
    let none = || BackupError::NoBackup { directory: directory.to_owned() };
    latest.map(|listed| directory.join(listed.id)).ok_or_else(none)
}

/// Who must not come back.
#[derive(Default)]
struct Ledgers {
    erasures: Ledger,
    opt_outs: OptOuts,
    withdrawals: Withdrawals,
    /// There is a ledger of erasures at all.
    had_ledger: bool,
}

fn keep(ledgers: &mut Ledgers, backups: &Path) -> io::Result<()> {
    ledgers.erasures.keep_in(backups)?;
    ledgers.opt_outs.keep_in(backups)?;
    ledgers.withdrawals.keep_in(backups)
}

/// Carries out in the copy of the catalog what was said since, and ends log-ins, of which some may have been ended since.
/// Returns how many opt-outs are new there.
fn bring_up_to_date(staging: &Path, ledgers: &Ledgers) -> Result<usize, BackupError> {
    let catalog = Catalog::open(&staging.join(CATALOG_FILE))?;
    let opted_out = ledgers.opt_outs.put_into(&catalog)?;
    ledgers.withdrawals.carry_out(&catalog)?;
    catalog.end_log_ins()?;
    catalog.checkpoint()?;
    drop(catalog);
    remove_journal(staging).map_err(BackupError::disk("tidies a backup up"))?;
    Ok(opted_out)
}

/// All that is known of erasures and opt-outs: beside the backup, beside the instance's own backups, and where the caller says.
fn ledgers_for(from: &Path, backups: &Path, given: Option<&Path>) -> Result<Ledgers, BackupError> {
    let mut ledgers = Ledgers { had_ledger: given.is_some(), ..Ledgers::default() };
    let beside = from.parent().map(Path::to_owned);
    for directory in beside.into_iter().chain([backups.to_owned()]) {
        let file = directory.join(LEDGER_FILE);
        ledgers.had_ledger |= file.is_file();
        ledgers.erasures.join(Ledger::read(&file)?);
        ledgers.opt_outs.join(OptOuts::read(&directory.join(OPT_OUTS_FILE))?.all());
        let file = directory.join(WITHDRAWALS_FILE);
        ledgers.withdrawals.join(Withdrawals::read(&file)?.all());
    }
    if let Some(given) = given {
        // A directory may have one of the two only, and either may be named for both.
        let is_of_opt_outs = given.file_name() == Some(OPT_OUTS_FILE.as_ref());
        let file = match given.is_dir() {
            true => given.join(LEDGER_FILE),
            false if is_of_opt_outs => given.with_file_name(LEDGER_FILE),
            false => given.to_owned(),
        };
        let beside = file.with_file_name(OPT_OUTS_FILE);
        let may_be_missing = (given.is_dir() || is_of_opt_outs) && beside.is_file();
        if !file.is_file() && !may_be_missing {
            return Err(BackupError::NoBackup { directory: file });
        }
        ledgers.erasures.join(Ledger::read(&file)?);
        ledgers.opt_outs.join(OptOuts::read(&beside)?.all());
        let beside = file.with_file_name(WITHDRAWALS_FILE);
        ledgers.withdrawals.join(Withdrawals::read(&beside)?.all());
    }
    Ok(ledgers)
}

/// Copies a backup, and opens the copy.
fn stage(
    from: &Path,
    manifest: &Manifest,
    staging: &Path,
    open_store: &OpenStore,
) -> Result<(), BackupError> {
    let copy = || {
        make_private(staging)?;
        for file in &manifest.files {
            let target = staging.join(&file.path);
            make_private(target.parent().unwrap_or(staging))?;
            fs::copy(from.join(&file.path), target)?;
        }
        Ok(())
    };
    copy().map_err(BackupError::disk("copies the backup"))?;
    verify(staging, manifest)?;
    check(staging, manifest.log_offset, open_store)
}

fn put_in_place(data: &Path, staging: &Path) -> io::Result<()> {
    sync_below(staging)?;
    let sync = || File::open(data)?.sync_all();
    let mark = data.join(UNFINISHED_FILE);
    File::create(&mark)?.sync_all()?;
    sync()?;
    for name in KEPT {
        remove(&data.join(name))?;
    }
    for entry in fs::read_dir(staging)? {
        let entry = entry?;
        fs::rename(entry.path(), data.join(entry.file_name()))?;
    }
    remove(staging)?;
    sync()?;
    fs::remove_file(&mark)?;
    sync()
}

/// Brings everything below a directory to disk.
fn sync_below(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            sync_below(&entry?.path())?;
        }
    }
    File::open(path)?.sync_all()
}

/// Removes a file or a directory, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
