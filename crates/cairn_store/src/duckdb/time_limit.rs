//! The longest time that answering may take.
//!
//! Guarantees: what runs on the connection is stopped soon after its time is over, also when that is several statements
//! one after the other. It does not count the time spent waiting for a connection.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::connection::Connection;
use super::error::{DuckError, DuckErrorKind};
use crate::{Limit, StoreError};

/// Pause between two attempts to stop what runs: the first may fall between two statements, where it does nothing.
const STOP_PAUSE: Duration = Duration::from_millis(20);

/// Runs `read`, and stops what runs on the connection when its time is over.
pub(super) fn within<T>(
    connection: &Connection,
    limit: Duration,
    doing: &'static str,
    read: impl FnOnce() -> Result<T, DuckError>,
) -> Result<T, StoreError> {
    let interrupt = connection.interrupt_handle();
    let (done, over) = mpsc::channel::<()>();
    let result = std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut patience = limit;
            while over.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                interrupt.interrupt();
                patience = STOP_PAUSE;
            }
        });
        let result = read();
        drop(done);
        result
    });
    result.map_err(|error| match error.kind {
        DuckErrorKind::Interrupted => StoreError::TooExpensive { limit: Limit::Time(limit) },
        DuckErrorKind::OutOfMemory => StoreError::TooExpensive { limit: Limit::Memory },
        _ => error.while_it(doing),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duckdb::{Database, DatabaseOptions, DuckOptions, DuckStore};

    const LIMIT: Duration = Duration::from_millis(30);
    /// Days of work.
    const ENDLESS: &str =
        "SELECT sum(hash(a.range, b.range) % 7) FROM range(1000000000) a, range(1000000000) b";

    fn is_too_expensive<T>(result: &Result<T, StoreError>) -> bool {
        matches!(result, Err(StoreError::TooExpensive { limit: Limit::Time(time) }) if *time == LIMIT)
    }

    #[test]
    fn what_takes_too_long_is_stopped_and_the_connection_stays_usable() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.duckdb");
        let database = Database::open(&file, &DatabaseOptions::default()).unwrap();
        let connection = database.connect().unwrap();
        assert!(is_too_expensive(&within(&connection, LIMIT, "tests", || connection.run(ENDLESS))));
        // A statement of its own each time: the end of one clears what was meant to stop it.
        let many = || -> Result<(), DuckError> {
            loop {
                connection.run("SELECT sum(range) FROM range(1000000)")?;
            }
        };
        assert!(is_too_expensive(&within(&connection, LIMIT, "tests", many)));
        let one = within(&connection, Duration::from_secs(60), "tests", || {
            connection.query("SELECT 1", &[])?.first(|row| row.get::<i64>(0))
        });
        assert_eq!(one.unwrap(), Some(1));
    }

    #[test]
    fn the_store_holds_every_answer_to_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let options = DuckOptions { question_time_max: LIMIT, ..DuckOptions::default() };
        let store = DuckStore::open(directory.path(), options).unwrap();
        assert!(is_too_expensive(&store.answer("tests", |connection| connection.run(ENDLESS))));
    }
}
