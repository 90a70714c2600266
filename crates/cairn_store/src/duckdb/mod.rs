//! The embedded backend: DuckDB.
//!
//! `ffi` owns the C handles, `connection` and `appender` make them safe to use; `code_pages` gives back what opening took.
//! Unsafe code is in `ffi` and `code_pages` only.

mod appender;
mod code_pages;
mod connection;
mod erase;
mod error;
mod ffi;
mod pixels;
mod query;
mod rewrite;
mod rollup;
mod sessions;
mod source;
mod store;
mod tables;
mod texts;
mod time_limit;
mod turns;
mod types;
mod write;

#[cfg(test)]
mod tests;

pub use appender::{ChunkAppender, ChunkWriter};
pub use code_pages::release_code_pages;
pub use connection::{
    Chunk, Connection, Database, DatabaseOptions, FromCell, InterruptHandle, RowRef, Rows,
    Statement,
};
pub use error::{DuckError, DuckErrorKind};
pub use store::{DuckOptions, DuckStore, EventKeyOf};
pub use types::{ColumnType, Value};
