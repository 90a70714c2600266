//! Starts of the process: each one begins new anonymous visitors, which reports have to say.

use crate::{Catalog, CatalogError, STARTS_MAX};

impl Catalog {
    /// Records that the process started; the oldest above the bound are forgotten.
    pub fn add_start(&self, now_ms: i64) -> Result<(), CatalogError> {
        let doing = "records a start";
        self.connections.write(doing, |transaction| {
            transaction
                .execute("INSERT INTO starts (started_at_ms) VALUES (?1)", [now_ms])
                .map_err(CatalogError::during(doing))?;
            transaction
                .execute(
                    "DELETE FROM starts WHERE id <= (SELECT max(id) FROM starts) - ?1",
                    [STARTS_MAX],
                )
                .map_err(CatalogError::during(doing))?;
            Ok(())
        })
    }

    /// Starts other than the first ever, Unix milliseconds, in order of time.
    pub fn restarts_ms(&self) -> Result<Vec<i64>, CatalogError> {
        self.connections.read("lists its starts", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT started_at_ms FROM starts WHERE id > 1 ORDER BY started_at_ms",
            )?;
            statement.query_map([], |row| row.get(0))?.collect()
        })
    }
}
