//! What can go wrong in the catalog.

/// An error of the transactional database.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The engine or its file failed; trying again may help.
    #[error("the catalog failed while it {doing}")]
    Unavailable {
        /// What was being done, as `adds a site`.
        doing: &'static str,
        /// The engine's own error.
        #[source]
        source: rusqlite::Error,
    },
    /// The file or its directory cannot be used.
    #[error("the catalog's file cannot be opened")]
    File(#[from] std::io::Error),
    /// The file was written by a version that this one does not know.
    #[error("the catalog has schema version {found}; this program knows up to {known}")]
    NewerSchema {
        /// Version found.
        found: u32,
        /// Newest known.
        known: u32,
    },
    /// Something with this unique name exists already.
    #[error("{what} exists already")]
    Conflict {
        /// What, as `a site with this domain`.
        what: &'static str,
    },
    /// A list is at its bound.
    #[error("there may be at most {limit} {what}")]
    LimitReached {
        /// What, as `sites`.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// A stored value cannot be read: the file was changed from outside.
    #[error("the catalog holds an unreadable {what}")]
    Corrupt {
        /// Which value.
        what: &'static str,
    },
    /// The system's random source failed.
    #[error("the system's random source failed")]
    Random,
}

impl CatalogError {
    pub(crate) fn during(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> CatalogError {
        move |source| CatalogError::Unavailable { doing, source }
    }
}

/// Whether a statement failed because a unique name is taken.
pub(crate) fn is_unique_violation(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::SqliteFailure(failure, _)
            if failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
                || failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
    )
}
