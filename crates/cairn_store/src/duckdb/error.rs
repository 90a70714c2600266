//! What the engine says when it fails, without the values it was given.
//!
//! Guarantees: a message that may quote stored or asked-for values (conversions, constraints) is replaced by the name of
//! its kind, so that no visitor's data reaches a log through an error.

use crate::StoreError;

/// What a caller may decide upon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DuckErrorKind {
    /// Stopped by [`super::InterruptHandle::interrupt`].
    Interrupted,
    /// Over `memory_limit`, or over the limit of the temporary directory.
    OutOfMemory,
    /// Reading or writing a file failed (disk full, no permission).
    InputOutput,
    /// The database refuses everything until it is opened again.
    Fatal,
    /// A statement, name or type that does not fit: a mistake of this program.
    Statement,
    /// The wrapper was asked for a column with another type, count or place than it has.
    Misuse,
    /// Anything else.
    Other,
}

/// An error of DuckDB.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct DuckError {
    /// What a caller may decide upon.
    pub kind: DuckErrorKind,
    /// Words without values.
    pub message: String,
}

/// Longest message kept, in bytes.
const MESSAGE_SIZE_BYTES_MAX: usize = 400;

impl DuckError {
    pub(super) fn new(kind: DuckErrorKind, message: impl Into<String>) -> Self {
        DuckError { kind, message: message.into() }
    }

    pub(super) fn misuse(message: impl Into<String>) -> Self {
        Self::new(DuckErrorKind::Misuse, message)
    }

    /// From the engine's text, whose first words name its kind (`IO Error: …`).
    pub(super) fn from_engine(text: &str) -> Self {
        let label = text.split(" Error:").next().unwrap_or_default();
        let kind = match label {
            "INTERRUPT" => DuckErrorKind::Interrupted,
            "Out of Memory" => DuckErrorKind::OutOfMemory,
            "IO" => DuckErrorKind::InputOutput,
            "FATAL" | "INTERNAL" => DuckErrorKind::Fatal,
            "Parser" | "Syntax" | "Binder" | "Catalog" | "Not implemented" => {
                DuckErrorKind::Statement
            }
            _ => DuckErrorKind::Other,
        };
        let quotes_values = matches!(kind, DuckErrorKind::Other)
            && !matches!(label, "TransactionContext" | "Transaction" | "Connection" | "Settings");
        let message = if quotes_values && text.contains(" Error:") {
            format!("{label} Error")
        } else {
            let line = text.lines().next().unwrap_or_default();
            let mut end = line.len().min(MESSAGE_SIZE_BYTES_MAX);
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line[..end].to_owned()
        };
        DuckError { kind, message }
    }

    /// As the store's error: what it was doing when this happened.
    pub fn while_it(self, doing: &'static str) -> StoreError {
        StoreError::Unavailable { doing, cause: self.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_from_the_engines_words() {
        let kind = |text| DuckError::from_engine(text).kind;
        assert_eq!(kind("INTERRUPT Error: Interrupted!"), DuckErrorKind::Interrupted);
        assert_eq!(kind("Out of Memory Error: failed"), DuckErrorKind::OutOfMemory);
        assert_eq!(kind("IO Error: No space left on device"), DuckErrorKind::InputOutput);
        assert_eq!(kind("Binder Error: no column"), DuckErrorKind::Statement);
        assert_eq!(kind("something else"), DuckErrorKind::Other);
    }

    #[test]
    fn values_are_left_out() {
        let error = DuckError::from_engine("Conversion Error: Could not convert 'ada@example.org'");
        assert_eq!(error.message, "Conversion Error");
    }
}
