//! What a backup says of itself: a list of its files with their sizes and hashes.
//!
//! Guarantees: a backup has its manifest only when all its files are on disk, and files that do not agree with it are
//! named. It holds no personal data.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cairn_catalog::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::BackupError;

/// Name of the manifest within a backup.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Version of the form of backups that this program writes and reads.
pub const FORMAT: u32 = 1;
/// Bytes that are read at once for hashing.
const READ_SIZE_BYTES: usize = 1 << 20;
/// A manifest is no larger: more is not one. It names the erasures of three years, 35 bytes each.
const MANIFEST_SIZE_BYTES_MAX: u64 = 64 << 20;

/// What a backup says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the form.
    pub format: u32,
    /// When it was made, Unix milliseconds.
    pub made_at_ms: i64,
    /// The program that made it.
    pub program_version: String,
    /// The last record of the log that is in it.
    pub log_offset: u64,
    /// Its files, by name.
    pub files: Vec<BackupFile>,
    /// Entries of the ledger that were carried out in it.
    pub erasures: BTreeSet<String>,
    /// Somebody is being erased in it: its files are not those that are described.
    pub is_being_changed: bool,
}

/// A manifest as it is written: what it says has a hash, too.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    manifest: Manifest,
    manifest_sha256: String,
}

/// One file of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its path within the backup, with `/`.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// Bytes of all files.
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// Reads the manifest of a backup.
    pub fn read(directory: &Path) -> Result<Manifest, BackupError> {
        let path = directory.join(MANIFEST_FILE);
        let damaged = |why: String| BackupError::Damaged { file: path.clone(), why };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupError::NoBackup { directory: directory.to_owned() });
            }
            opened => opened.map_err(BackupError::disk("reads the manifest"))?,
        };
        let mut text = String::new();
        file.take(MANIFEST_SIZE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|error| damaged(error.to_string()))?;
        let written: Written =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        let Written { manifest, manifest_sha256 } = written;
        if manifest.format != FORMAT {
            return Err(BackupError::OtherFormat { found: manifest.format });
        }
        if manifest.sha256().map_err(|error| damaged(error.to_string()))? != manifest_sha256 {
            return Err(damaged("it does not say what was written".to_owned()));
        }
        let is_within = |file: &BackupFile| {
            file.path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        };
        match manifest.files.iter().find(|file| !is_within(file)) {
            Some(_) => Err(damaged("it names a file outside of the backup".to_owned())),
            None => Ok(manifest),
        }
    }

    fn sha256(&self) -> serde_json::Result<String> {
        Ok(hex(&Sha256::digest(serde_json::to_vec(self)?).into()))
    }

    /// Writes the manifest of a backup as a whole and brings it to disk.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let next = directory.join("manifest.next");
        let written = Written { manifest: self.clone(), manifest_sha256: self.sha256()? };
        let mut text = serde_json::to_string_pretty(&written)?;
        text.push('\n');
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, directory.join(MANIFEST_FILE))?;
        File::open(directory)?.sync_all()
    }
}

/// Every file below a directory but the manifest, with size and hash, by path; brings them and their names to disk.
pub(super) fn files_of(directory: &Path) -> io::Result<Vec<BackupFile>> {
    let mut paths = Vec::new();
    walk(directory, "", &mut paths)?;
    paths.sort();
    let described = paths.into_iter().filter(|path| path != MANIFEST_FILE).map(|path| {
        let file = File::open(directory.join(&path))?;
        file.sync_all()?;
        let (size_bytes, sha256) = hash_of(file)?;
        Ok(BackupFile { path, size_bytes, sha256 })
    });
    described.collect()
}

fn walk(directory: &Path, within: &str, paths: &mut Vec<String>) -> io::Result<()> {
    let here: PathBuf = directory.join(within);
    for entry in fs::read_dir(&here)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| io::ErrorKind::InvalidFilename)?;
        let path = if within.is_empty() { name } else { format!("{within}/{name}") };
        match entry.file_type()?.is_dir() {
            true => walk(directory, &path, paths)?,
            false => paths.push(path),
        }
    }
    File::open(&here)?.sync_all()
}

/// Size and hash of what can be read.
fn hash_of(mut file: impl Read) -> io::Result<(u64, String)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_SIZE_BYTES];
    let mut size_bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size_bytes, hex(&hasher.finalize().into()))),
            count => {
                hasher.update(&buffer[..count]);
                size_bytes += count as u64;
            }
        }
    }
}

/// Compares a backup's files with what its manifest says of them.
pub(super) fn verify(directory: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    for file in &manifest.files {
        let path = directory.join(&file.path);
        let damaged = |why: String| BackupError::Damaged { file: path.clone(), why };
        let opened = File::open(&path).map_err(|error| damaged(error.to_string()))?;
        let (size_bytes, sha256) = hash_of(opened).map_err(|error| damaged(error.to_string()))?;
        if size_bytes != file.size_bytes {
            let expected = file.size_bytes;
            return Err(damaged(format!("it has {size_bytes} bytes instead of {expected}")));
        }
        if sha256 != file.sha256 {
            return Err(damaged("its bytes are not those that were written".to_owned()));
        }
    }
    Ok(())
}
