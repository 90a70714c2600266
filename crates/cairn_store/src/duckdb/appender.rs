//! The fast way in: columns are written straight into DuckDB's own memory, 2,048 rows at a time.
//!
//! Guarantees: a column of the wrong type, a missing column or a wrong count of values is an error, and nothing of that
//! chunk is appended. Rows take part in the transaction that runs when they are flushed.

use std::sync::Arc;

use super::connection::Connection;
use super::error::DuckError;
use super::ffi::{AppenderHandle, ChunkHandle, Fixed, Truth, UHuge};

/// Appends to one table, in the order of its columns.
pub struct ChunkAppender {
    handle: AppenderHandle,
    chunk: ChunkHandle,
    capacity: usize,
}

impl ChunkAppender {
    /// An appender for a table of this connection.
    pub fn open(connection: &Connection, table: &str) -> Result<Self, DuckError> {
        let mut handle = AppenderHandle::open(&Arc::clone(&connection.handle), table)?;
        let (chunk, capacity) = handle.new_chunk()?;
        Ok(ChunkAppender { handle, chunk, capacity })
    }

    /// Most rows of one chunk.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Begins a chunk of `length` rows.
    pub fn chunk(&mut self, length: usize) -> Result<ChunkWriter<'_>, DuckError> {
        self.handle.start(&mut self.chunk, length, self.capacity)?;
        Ok(ChunkWriter { appender: self, column: 0, length })
    }

    /// Moves what was appended into the table, within the connection's transaction.
    pub fn flush(&mut self) -> Result<(), DuckError> {
        self.handle.flush()
    }

    /// Forgets what was not flushed.
    pub fn clear(&mut self) -> Result<(), DuckError> {
        self.handle.clear()
    }
}

/// Fills one chunk, column by column.
pub struct ChunkWriter<'a> {
    appender: &'a mut ChunkAppender,
    column: usize,
    length: usize,
}

macro_rules! number_columns {
    ($($all:ident, $optional:ident, $rust:ty, $to:expr;)*) => { $(
        /// The next column, without NULLs.
        pub fn $all(&mut self, values: impl Iterator<Item = $rust>) -> Result<(), DuckError> {
            self.numbers(values.map(|value| Some($to(value))))
        }

        /// The next column; `None` becomes NULL.
        pub fn $optional(
            &mut self,
            values: impl Iterator<Item = Option<$rust>>,
        ) -> Result<(), DuckError> {
            self.numbers(values.map(|value| value.map($to)))
        }
    )* };
}

impl ChunkWriter<'_> {
    number_columns! {
        u8s, optional_u8s, u8, |value| value;
        u32s, optional_u32s, u32, |value| value;
        u64s, optional_u64s, u64, |value| value;
        i64s, optional_i64s, i64, |value| value;
        f64s, optional_f64s, f64, |value| value;
        u128s, optional_u128s, u128, |value: u128| UHuge(value.into());
        bools, optional_bools, bool, |value| Truth(u8::from(value));
    }

    /// The next column, of text.
    pub fn texts<'t>(&mut self, values: impl Iterator<Item = &'t str>) -> Result<(), DuckError> {
        let count = self.appender.chunk.fill_text(self.column, values)?;
        self.filled(count)
    }

    fn numbers<T: Fixed>(
        &mut self,
        values: impl Iterator<Item = Option<T>>,
    ) -> Result<(), DuckError> {
        let count = self.appender.chunk.fill(self.column, values)?;
        self.filled(count)
    }

    fn filled(&mut self, count: usize) -> Result<(), DuckError> {
        if count != self.length {
            let (column, length) = (self.column, self.length);
            return Err(DuckError::misuse(format!("column {column} needs {length} values")));
        }
        self.column += 1;
        Ok(())
    }

    /// Appends the chunk, if every column was filled.
    pub fn finish(self) -> Result<(), DuckError> {
        let wanted = self.appender.chunk.types().len();
        if self.column != wanted {
            let filled = self.column;
            return Err(DuckError::misuse(format!("{filled} of {wanted} columns were filled")));
        }
        self.appender.handle.append(&self.appender.chunk)
    }
}
