//! The embedded backend: DuckDB.
