//! A copy of the catalog beside which work goes on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::PoisonError;

use crate::receipts::HEADS_FILE;
use crate::{CATALOG_FILE, Catalog, CatalogError};

impl Catalog {
    /// Writes the catalog as it is at one moment into a directory, with the ends of its receipts' chains, readable by their
    /// owner only, and brings both to disk. Deleted values are not in the copy: it is written row by row.
    pub fn copy_into(&self, directory: &Path) -> Result<(), CatalogError> {
        let copy = directory.join(CATALOG_FILE);
        // The ends are those of this moment's chains as long as nobody else may append.
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        // It must exist to be private from the start; an empty file is one that may be written to.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&copy)?;
        let path = copy.to_str().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
        self.connections.read("copies itself", |connection| {
            connection.execute("VACUUM INTO ?1", [path]).map(|_| ())
        })?;
        let ends = self.path.with_file_name(HEADS_FILE);
        if ends.is_file() {
            fs::copy(&ends, directory.join(HEADS_FILE))?;
            File::open(directory.join(HEADS_FILE))?.sync_all()?;
        }
        drop(heads);
        Ok(file.sync_all()?)
    }
}
