//! `cairn backup` and `cairn restore`.

use cairn_engine::backup::{Listed, Restoring};

use crate::Failure;
use crate::cli::Restore;
use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::wire;

/// Opens everything as the server does, applies what waits in the log, makes a backup and closes.
pub fn make(config: &Config) -> Result<(), Failure> {
    let parts = wire::open(config)?;
    let made = parts.backups.make(wire::now_ms());
    let directory = parts.backups.directory().to_owned();
    wire::close(parts)?;
    let Listed { id, manifest } = made?;
    crate::print(&format!("{}", directory.join(id).display()))?;
    let manifest = manifest?;
    let files = manifest.files.len();
    Ok(crate::print(&format!("{} bytes in {files} files", manifest.size_bytes()))?)
}

/// Puts a backup into a data directory.
pub fn restore(config: &Config, asked: &Restore) -> Result<(), Failure> {
    let directory = DataDirectory::take_to_restore(&config.data.directory)?;
    let Restore { from, replace, ledger, .. } = asked.clone();
    let asked = Restoring { from, data: directory.path().to_owned(), replace, ledger };
    let restored = cairn_engine::backup::restore(&asked, &wire::open_copy(config)?)?;
    let (from, into) = (restored.from.display(), directory.path().display());
    let erased = restored.erased;
    crate::print(&format!("{from} is restored into {into}"))?;
    Ok(crate::print(&format!("erasures carried out in it: {erased}"))?)
}
