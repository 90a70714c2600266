//! The event store: schema, plan and backends (DuckDB, and a naive reference).
