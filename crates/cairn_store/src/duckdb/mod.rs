//! The embedded backend: DuckDB.
//!
//! `ffi` owns the C handles (the only unsafe code), `connection` and `appender` make them safe to use.

mod appender;
mod connection;
mod erase;
mod error;
mod ffi;
mod pixels;
mod query;
mod rewrite;
mod sessions;
mod source;
mod store;
mod texts;
mod time_limit;
mod turns;
mod types;
mod write;

#[cfg(test)]
mod tests;

pub use appender::{ChunkAppender, ChunkWriter};
pub use connection::{
    Chunk, Connection, Database, DatabaseOptions, FromCell, InterruptHandle, RowRef, Rows,
    Statement,
};
pub use error::{DuckError, DuckErrorKind};
pub use store::{DuckOptions, DuckStore, EventKeyOf};
pub use types::{ColumnType, Value};
