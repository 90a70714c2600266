//! Deleting rows, and putting a copy of the file without their bytes in its place.
//!
//! Guarantees: that the file has to be rewritten is on disk before anything is deleted. It does not know whose rows they are.

use super::super::error::DuckError;
use super::super::rewrite;
use super::super::write::Writer;
use super::{DuckStore, lock};
use crate::{Rewritten, StoreError};

impl DuckStore {
    /// Deletes on the writing connection, after it is on disk that the file has to be rewritten.
    pub(super) fn erasing<T>(
        &self,
        doing: &'static str,
        erase: impl FnOnce(&mut Writer) -> Result<T, DuckError>,
    ) -> Result<T, StoreError> {
        let _turn = lock(&self.erasing);
        rewrite::note_erased(&self.directory)
            .map_err(|error| StoreError::Unavailable { doing, cause: error.to_string() })?;
        self.with_writer(doing, |writer| {
            rewrite::abandon(writer, &self.directory)?;
            writer.changes += 1;
            erase(writer)
        })
    }

    /// Puts the copy in the file's place. Nobody reads or writes meanwhile.
    pub(super) fn replace_file(&self, ready: rewrite::Ready) -> Result<Rewritten, StoreError> {
        let mut guard = self.opened_alone();
        let changes = guard.as_ref().map(|opened| lock(&opened.writer).changes);
        if changes != Some(ready.changes) {
            // Somebody wrote between the copy and this moment: the next step begins anew.
            return Ok(ready.rewritten);
        }
        // Closing brings what is in the write-ahead file into the old file; the copy has it already.
        *guard = None;
        let old = rewrite::put_in_place(&self.directory);
        drop(guard);
        let old = old.map_err(|error| StoreError::Unavailable {
            doing: "puts the rewritten file in place",
            cause: error.to_string(),
        })?;
        let overwritten_bytes = rewrite::overwrite(old, &self.directory).map_err(|error| {
            StoreError::Unavailable { doing: "overwrites its old file", cause: error.to_string() }
        })?;
        Ok(Rewritten { overwritten_bytes, is_complete: true, ..ready.rewritten })
    }
}
