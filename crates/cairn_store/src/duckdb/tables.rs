//! The tables of a file, and whether this program knows them.

use super::connection::Database;
use super::error::DuckError;
use crate::{StoreError, Watermark, schema};

/// Makes the tables of a new file; refuses a file of a newer program. Tells the watermark.
pub(super) fn prepare_schema(database: &Database) -> Result<Watermark, StoreError> {
    let prepare = || -> Result<Result<Watermark, u32>, DuckError> {
        let connection = database.connect()?;
        let known = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'meta'";
        let tables = connection.query(known, &[])?.first(|row| row.get::<u64>(0))?;
        if tables == Some(0) {
            connection.run("BEGIN TRANSACTION")?;
            schema::CREATE.iter().try_for_each(|sql| connection.run(sql))?;
            connection.execute("INSERT INTO meta VALUES (?, 0, 0)", &[schema::VERSION.into()])?;
            connection.run("COMMIT")?;
        }
        let version = connection.query("SELECT schema_version FROM meta", &[])?;
        let version = version.first(|row| row.get::<u32>(0))?.unwrap_or_default();
        if version != schema::VERSION {
            return Ok(Err(version));
        }
        let watermark = connection.query("SELECT watermark, received_at_ms FROM meta", &[])?;
        let watermark = watermark
            .first(|row| Ok(Watermark { offset: row.get(0)?, received_at_ms: row.get(1)? }))?;
        Ok(Ok(watermark.unwrap_or_default()))
    };
    match prepare() {
        Ok(Ok(watermark)) => Ok(watermark),
        Ok(Err(found)) if found < schema::VERSION => {
            Err(StoreError::OlderSchema { found, known: schema::VERSION })
        }
        Ok(Err(found)) => Err(StoreError::NewerSchema { found, known: schema::VERSION }),
        Err(error) => Err(error.while_it("prepares its tables")),
    }
}
