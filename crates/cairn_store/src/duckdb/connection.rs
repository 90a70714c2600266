//! Databases, connections, statements and results, safe to use in any order.
//!
//! Guarantees: reading a column as another type than it has, or a row that does not exist, is an error. A database stays
//! open as long as anything made from it. It does not know Cairn's tables.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use super::error::DuckError;
use super::ffi::{
    ChunkHandle, ConnectionHandle, DatabaseHandle, Fixed, Halves, Huge, ResultHandle,
    StatementHandle, Text, Truth, UHuge,
};
use super::types::{ColumnType, Value};

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// Most memory that DuckDB may use for buffers and running statements, in megabytes (10^6 bytes).
    pub memory_limit_mb: u32,
    /// Threads of DuckDB's own, the calling one included.
    pub threads: u32,
    /// Where statements that need more memory spill.
    pub temp_directory: Option<PathBuf>,
    /// Most bytes that may be spilled, in megabytes.
    pub temp_size_mb_max: u32,
    /// The one directory whose files statements may attach as further databases.
    pub attachable_directory: Option<PathBuf>,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        DatabaseOptions {
            memory_limit_mb: 128,
            threads: 2,
            temp_directory: None,
            temp_size_mb_max: 4096,
            attachable_directory: None,
        }
    }
}

/// The write-ahead file may grow to this size before DuckDB would checkpoint in the middle of a commit, which stalls it.
/// The store checkpoints long before, on its own schedule.
const AUTOMATIC_CHECKPOINT: &str = "1TB";

/// Format of new files: the newest that the pinned DuckDB writes, since it compresses text best (`dict_fsst`).
const FILE_FORMAT: &str = "v1.5.0";

/// Rows of a row group: a quarter of the engine's default. A checkpoint joins groups that are not full, up to three at a
/// time, in memory: with groups of the default size that took more than the store may have, and the engine moved what did
/// not fit into thousands of small files.
const ROW_GROUP_SIZE: &str = "30720";

/// The name under which statements may also find the store's own file.
const FILE: &str = "store";

/// Size of a new file's blocks: a quarter of the engine's default. Each column of the rows that were appended last has
/// blocks of its own in memory, filled or not; smaller ones are less memory to be taken, cleared and given back with each
/// commit.
const BLOCK_SIZE_BYTES: &str = "65536";

/// An open database file.
#[derive(Clone)]
pub struct Database {
    handle: Arc<DatabaseHandle>,
}

impl Database {
    /// Opens or creates a file. Extensions, other files and the network are out of reach of every statement, and no
    /// statement can change that.
    pub fn open(path: &Path, options: &DatabaseOptions) -> Result<Self, DuckError> {
        let path = path_text(path)?;
        let memory = format!("{}MB", options.memory_limit_mb.max(16));
        let threads = options.threads.max(1).to_string();
        let temp_size = format!("{}MB", options.temp_size_mb_max);
        let temp = options.temp_directory.as_deref().map(path_text).transpose()?;
        let mut settings = vec![
            ("autoinstall_known_extensions", "false"),
            ("autoload_known_extensions", "false"),
            ("allow_community_extensions", "false"),
            ("memory_limit", memory.as_str()),
            ("threads", threads.as_str()),
            ("checkpoint_threshold", AUTOMATIC_CHECKPOINT),
            ("preserve_insertion_order", "true"),
        ];
        if let Some(temp) = temp {
            settings.push(("temp_directory", temp));
            settings.push(("max_temp_directory_size", temp_size.as_str()));
        }
        // Only a file that is attached takes a size of row groups.
        let handle = Arc::new(DatabaseHandle::open(":memory:", &settings)?);
        let connection = Connection::open(&handle)?;
        connection.run(&attach(path, FILE))?;
        let database = Database { handle };
        if let Some(directory) = options.attachable_directory.as_deref() {
            let directory = quoted(path_text(directory)?);
            connection.run(&format!("SET allowed_directories = [{directory}]"))?;
        }
        connection.run("SET enable_external_access = false")?;
        connection.run("SET lock_configuration = true")?;
        Ok(database)
    }

    /// A new connection. Each sees only what was committed when its transaction began.
    pub fn connect(&self) -> Result<Connection, DuckError> {
        let connection = Connection::open(&self.handle)?;
        connection.run("USE store")?;
        Ok(connection)
    }
}

/// Opens or creates a file beside others.
pub(super) fn attach(path: &str, name: &str) -> String {
    format!(
        "ATTACH {} AS {name} (BLOCK_SIZE {BLOCK_SIZE_BYTES}, STORAGE_VERSION '{FILE_FORMAT}',
         ROW_GROUP_SIZE {ROW_GROUP_SIZE})",
        quoted(path)
    )
}

/// A text as a literal of SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(super) fn path_text(path: &Path) -> Result<&str, DuckError> {
    path.to_str().ok_or_else(|| DuckError::misuse("a path of the store is not UTF-8"))
}

/// A connection: one statement runs on it at a time.
pub struct Connection {
    pub(super) handle: Arc<ConnectionHandle>,
    /// `Send` but not `Sync`.
    _one_thread_at_a_time: std::marker::PhantomData<std::cell::Cell<()>>,
}

impl Connection {
    fn open(database: &Arc<DatabaseHandle>) -> Result<Self, DuckError> {
        let handle = Arc::new(ConnectionHandle::open(database)?);
        Ok(Connection { handle, _one_thread_at_a_time: std::marker::PhantomData })
    }

    /// Runs statements that have no parameters and whose rows do not matter.
    pub fn run(&self, sql: &str) -> Result<(), DuckError> {
        self.handle.run(sql)
    }

    /// Prepares one statement, with parameters as `?` or `$1`.
    pub fn prepare(&self, sql: &str) -> Result<Statement, DuckError> {
        Ok(Statement { handle: StatementHandle::prepare(&self.handle, sql)? })
    }

    /// Prepares, binds and runs a statement; its whole result is in memory (or spilled) before the first row is read.
    pub fn query(&self, sql: &str, parameters: &[Value<'_>]) -> Result<Rows, DuckError> {
        self.prepare(sql)?.query(parameters)
    }

    /// Prepares, binds and runs a statement; tells how many rows it changed.
    pub fn execute(&self, sql: &str, parameters: &[Value<'_>]) -> Result<u64, DuckError> {
        self.prepare(sql)?.execute(parameters)
    }

    /// What stops the statement that runs on this connection, from any thread.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle { handle: Arc::downgrade(&self.handle) }
    }
}

/// Stops what runs on a connection. Stopping an idle connection does nothing: the next statement clears the flag.
/// It does not keep the database open.
#[derive(Clone)]
pub struct InterruptHandle {
    handle: Weak<ConnectionHandle>,
}

impl InterruptHandle {
    /// Makes the running statement end with [`super::DuckErrorKind::Interrupted`].
    pub fn interrupt(&self) {
        if let Some(handle) = self.handle.upgrade() {
            handle.interrupt();
        }
    }
}

/// A prepared statement, which can be run again with other values.
pub struct Statement {
    handle: StatementHandle,
}

impl Statement {
    fn bind(&mut self, parameters: &[Value<'_>]) -> Result<(), DuckError> {
        let wanted = self.handle.parameter_count();
        if wanted != parameters.len() as u64 {
            return Err(DuckError::misuse(format!(
                "the statement has {wanted} parameters, {} were given",
                parameters.len()
            )));
        }
        (1..).zip(parameters).try_for_each(|(index, value)| self.handle.bind(index, *value))
    }

    /// Runs it; the whole result is computed first.
    pub fn query(&mut self, parameters: &[Value<'_>]) -> Result<Rows, DuckError> {
        self.bind(parameters)?;
        Ok(Rows { handle: self.handle.execute(false)? })
    }

    /// Runs it; the result is computed while it is read, and running anything else on the connection ends it.
    pub fn stream(&mut self, parameters: &[Value<'_>]) -> Result<Rows, DuckError> {
        self.bind(parameters)?;
        Ok(Rows { handle: self.handle.execute(true)? })
    }

    /// Runs it; tells how many rows it changed.
    pub fn execute(&mut self, parameters: &[Value<'_>]) -> Result<u64, DuckError> {
        self.bind(parameters)?;
        Ok(self.handle.execute_sleeping()?.rows_changed())
    }
}

/// A result, read chunk by chunk.
pub struct Rows {
    handle: ResultHandle,
}

impl Rows {
    /// Types of the columns.
    pub fn column_types(&self) -> &[ColumnType] {
        self.handle.types()
    }

    /// The next rows, at most 2,048; `None` after the last.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, DuckError> {
        Ok(self.handle.next_chunk()?.map(|handle| Chunk { handle }))
    }

    /// Calls `each` for every row.
    pub fn for_each<E: From<DuckError>>(
        mut self,
        mut each: impl FnMut(RowRef<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(chunk) = self.next_chunk()? {
            for row in 0..chunk.length() {
                each(RowRef { chunk: &chunk, row })?;
            }
        }
        Ok(())
    }

    /// The first row turned into a value; `None` when there are no rows.
    pub fn first<T>(
        mut self,
        read: impl FnOnce(RowRef<'_>) -> Result<T, DuckError>,
    ) -> Result<Option<T>, DuckError> {
        match self.next_chunk()? {
            Some(chunk) => read(RowRef { chunk: &chunk, row: 0 }).map(Some),
            None => Ok(None),
        }
    }
}

/// One row of a chunk.
#[derive(Clone, Copy)]
pub struct RowRef<'a> {
    chunk: &'a Chunk,
    row: usize,
}

impl<'a> RowRef<'a> {
    /// The value of a column; NULL is an error.
    pub fn get<T: FromCell<'a>>(&self, column: usize) -> Result<T, DuckError> {
        self.chunk.get(column, self.row)
    }

    /// The value of a column, `None` for NULL.
    pub fn optional<T: FromCell<'a>>(&self, column: usize) -> Result<Option<T>, DuckError> {
        self.chunk.optional(column, self.row)
    }
}

/// Up to 2,048 rows.
pub struct Chunk {
    handle: ChunkHandle,
}

impl Chunk {
    /// Rows in it.
    pub fn length(&self) -> usize {
        self.handle.length()
    }

    /// Columns in it.
    pub fn column_count(&self) -> usize {
        self.handle.types().len()
    }

    /// Whether a cell is NULL.
    pub fn is_null(&self, column: usize, row: usize) -> Result<bool, DuckError> {
        if row >= self.length() {
            return Err(DuckError::misuse(format!("there is no row {row}")));
        }
        let mask = self.handle.validity(column)?;
        Ok(mask.is_some_and(|mask| mask[row / 64] >> (row % 64) & 1 == 0))
    }

    /// The value of a cell; NULL is an error.
    pub fn get<'a, T: FromCell<'a>>(&'a self, column: usize, row: usize) -> Result<T, DuckError> {
        self.optional(column, row)?
            .ok_or_else(|| DuckError::misuse(format!("column {column} is NULL")))
    }

    /// The value of a cell, `None` for NULL. Integers widen and narrow where the value fits.
    pub fn optional<'a, T: FromCell<'a>>(
        &'a self,
        column: usize,
        row: usize,
    ) -> Result<Option<T>, DuckError> {
        if self.is_null(column, row)? {
            return Ok(None);
        }
        T::from_cell(self, column, row).map(Some)
    }

    /// A whole BIGINT column at once; the values of NULLs are arbitrary.
    pub fn i64s(&self, column: usize) -> Result<&[i64], DuckError> {
        self.handle.values(column)
    }

    /// A whole UBIGINT column at once; the values of NULLs are arbitrary.
    pub fn u64s(&self, column: usize) -> Result<&[u64], DuckError> {
        self.handle.values(column)
    }

    /// A whole DOUBLE column at once; the values of NULLs are arbitrary.
    pub fn f64s(&self, column: usize) -> Result<&[f64], DuckError> {
        self.handle.values(column)
    }

    fn cell<T: Fixed>(&self, column: usize, row: usize) -> Result<T, DuckError> {
        Ok(self.handle.values::<T>(column)?[row])
    }

    fn column_type(&self, column: usize) -> ColumnType {
        self.handle.types().get(column).copied().unwrap_or(ColumnType::Other(0))
    }

    fn integer(&self, column: usize, row: usize) -> Result<Integer, DuckError> {
        Ok(match self.column_type(column) {
            ColumnType::TinyInt => Integer::Signed(self.cell::<i8>(column, row)?.into()),
            ColumnType::SmallInt => Integer::Signed(self.cell::<i16>(column, row)?.into()),
            ColumnType::Integer => Integer::Signed(self.cell::<i32>(column, row)?.into()),
            ColumnType::BigInt => Integer::Signed(self.cell::<i64>(column, row)?.into()),
            ColumnType::UTinyInt => Integer::Unsigned(self.cell::<u8>(column, row)?.into()),
            ColumnType::USmallInt => Integer::Unsigned(self.cell::<u16>(column, row)?.into()),
            ColumnType::UInteger => Integer::Unsigned(self.cell::<u32>(column, row)?.into()),
            ColumnType::UBigInt => Integer::Unsigned(self.cell::<u64>(column, row)?.into()),
            ColumnType::UHugeInt => Integer::Unsigned(self.cell::<UHuge>(column, row)?.0.into()),
            ColumnType::HugeInt => {
                let halves: Halves = self.cell::<Huge>(column, row)?.0;
                Integer::Signed(u128::from(halves) as i128)
            }
            found => {
                return Err(DuckError::misuse(format!("column {column} is {found:?}, no integer")));
            }
        })
    }
}

enum Integer {
    Signed(i128),
    Unsigned(u128),
}

/// A Rust type that a cell can be read as.
pub trait FromCell<'a>: Sized {
    /// Reads a cell that is not NULL.
    fn from_cell(chunk: &'a Chunk, column: usize, row: usize) -> Result<Self, DuckError>;
}

macro_rules! integer_from_cell {
    ($($rust:ty),*) => { $(
        impl FromCell<'_> for $rust {
            fn from_cell(chunk: &Chunk, column: usize, row: usize) -> Result<Self, DuckError> {
                let narrowed = match chunk.integer(column, row)? {
                    Integer::Signed(value) => <$rust>::try_from(value).ok(),
                    Integer::Unsigned(value) => <$rust>::try_from(value).ok(),
                };
                narrowed.ok_or_else(|| {
                    let wanted = stringify!($rust);
                    DuckError::misuse(format!("a value of column {column} is out of {wanted}'s range"))
                })
            }
        }
    )* };
}
integer_from_cell!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

impl FromCell<'_> for f64 {
    fn from_cell(chunk: &Chunk, column: usize, row: usize) -> Result<Self, DuckError> {
        match chunk.column_type(column) {
            ColumnType::Double => chunk.cell::<f64>(column, row),
            ColumnType::Float => Ok(chunk.cell::<f32>(column, row)?.into()),
            _ => Ok(match chunk.integer(column, row)? {
                Integer::Signed(value) => value as f64,
                Integer::Unsigned(value) => value as f64,
            }),
        }
    }
}

impl FromCell<'_> for bool {
    fn from_cell(chunk: &Chunk, column: usize, row: usize) -> Result<Self, DuckError> {
        Ok(chunk.cell::<Truth>(column, row)?.0 != 0)
    }
}

impl<'a> FromCell<'a> for &'a str {
    fn from_cell(chunk: &'a Chunk, column: usize, row: usize) -> Result<Self, DuckError> {
        debug_assert_eq!(Text::TYPE, ColumnType::Varchar);
        chunk.handle.text(column, row)
    }
}

impl FromCell<'_> for String {
    fn from_cell(chunk: &Chunk, column: usize, row: usize) -> Result<Self, DuckError> {
        chunk.handle.text(column, row).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChunkAppender, DuckErrorKind};
    use super::*;

    fn memory() -> Connection {
        Database::open(Path::new(":memory:"), &DatabaseOptions::default())
            .unwrap()
            .connect()
            .unwrap()
    }

    #[test]
    fn values_come_back_as_they_were_bound() {
        let connection = memory();
        let text = "four bytes \u{1F980}, right to left \u{5D0}\u{5D1}, NUL \0 inside";
        let rows = connection
            .query(
                "SELECT ?::BIGINT, ?::UBIGINT, ?::UHUGEINT, ?::BOOLEAN, ?::VARCHAR, ?::VARCHAR, ?::DOUBLE",
                &[
                    i64::MIN.into(),
                    u64::MAX.into(),
                    u128::MAX.into(),
                    true.into(),
                    text.into(),
                    Value::Null,
                    0.5.into(),
                ],
            )
            .unwrap();
        rows.first(|row| {
            assert_eq!(row.get::<i64>(0)?, i64::MIN);
            assert_eq!(row.get::<u64>(1)?, u64::MAX);
            assert_eq!(row.get::<u128>(2)?, u128::MAX);
            assert!(row.get::<bool>(3)?);
            assert_eq!(row.get::<&str>(4)?, text);
            assert_eq!(row.optional::<&str>(5)?, None);
            assert_eq!(row.get::<f64>(6)?, 0.5);
            Ok(())
        })
        .unwrap()
        .unwrap();
    }

    #[test]
    fn wrong_reads_are_errors() {
        let chunk = memory()
            .query("SELECT 'text', 300, NULL::INTEGER, -1::HUGEINT", &[])
            .unwrap()
            .next_chunk()
            .unwrap()
            .unwrap();
        assert_eq!(chunk.get::<i64>(0, 0).unwrap_err().kind, DuckErrorKind::Misuse);
        assert!(chunk.get::<&str>(1, 0).is_err());
        assert!(chunk.get::<u8>(1, 0).is_err(), "300 does not fit");
        assert_eq!(chunk.get::<u16>(1, 0).unwrap(), 300);
        assert!(chunk.get::<i64>(2, 0).is_err(), "NULL");
        assert_eq!(chunk.get::<i64>(3, 0).unwrap(), -1);
        assert!(chunk.get::<u64>(3, 0).is_err(), "negative");
        assert!(chunk.get::<i64>(4, 0).is_err(), "no such column");
        assert!(chunk.get::<i64>(1, 1).is_err(), "no such row");
        assert!(chunk.i64s(1).is_err(), "INTEGER is no BIGINT");
    }

    #[test]
    fn parameters_are_counted() {
        let connection = memory();
        assert!(connection.query("SELECT ?", &[]).is_err());
        assert!(connection.query("SELECT 1", &[1i64.into()]).is_err());
        let error = connection.prepare("SELEC 1").err().unwrap();
        assert_eq!(error.kind, DuckErrorKind::Statement);
        assert!(connection.run("SELECT \0").is_err());
    }

    #[test]
    fn many_rows_come_in_chunks_and_streams() {
        let connection = memory();
        let sql = "SELECT range::BIGINT, CASE WHEN range % 3 = 0 THEN NULL ELSE range::VARCHAR END FROM range(?)";
        let mut statement = connection.prepare(sql).unwrap();
        for streamed in [false, true] {
            let parameters = [5000i64.into()];
            let rows = if streamed {
                statement.stream(&parameters).unwrap()
            } else {
                statement.query(&parameters).unwrap()
            };
            let mut next = 0i64;
            rows.for_each(|row| {
                assert_eq!(row.get::<i64>(0)?, next);
                let text = row.optional::<&str>(1)?;
                assert_eq!(text.is_none(), next % 3 == 0);
                assert!(text.is_none_or(|text| text == next.to_string()));
                next += 1;
                Ok::<(), DuckError>(())
            })
            .unwrap();
            assert_eq!(next, 5000);
        }
    }

    #[test]
    fn appending_checks_types_counts_and_columns() {
        let connection = memory();
        connection.run("CREATE TABLE t (a BIGINT, b VARCHAR, c UTINYINT)").unwrap();
        let mut appender = ChunkAppender::open(&connection, "t").unwrap();
        assert!(ChunkAppender::open(&connection, "missing").is_err());
        assert!(appender.chunk(appender.capacity() + 1).is_err());
        let mut chunk = appender.chunk(2).unwrap();
        assert!(chunk.u64s([1, 2].into_iter()).is_err(), "BIGINT is not UBIGINT");
        assert!(chunk.i64s([1].into_iter()).is_err(), "too few");
        assert!(chunk.i64s(0..).is_err(), "too many");
        chunk.i64s([1, 2].into_iter()).unwrap();
        assert!(chunk.finish().is_err(), "two columns are missing");
        for start in (0..6144).step_by(2048) {
            let mut chunk = appender.chunk(2048).unwrap();
            let texts: Vec<String> =
                (start..start + 2048).map(|n| format!("a longer text {n}")).collect();
            chunk.i64s(start..start + 2048).unwrap();
            chunk.texts(texts.iter().map(String::as_str)).unwrap();
            chunk.optional_u8s((0..2048).map(|n| (n % 2 == 0).then_some(7))).unwrap();
            assert!(chunk.u8s(std::iter::repeat_n(1, 2048)).is_err(), "no fourth column");
            chunk.finish().unwrap();
        }
        appender.flush().unwrap();
        let wrong =
            "SELECT count(*) FROM t WHERE b <> 'a longer text ' || a OR (c IS NULL) <> (a % 2 = 1)";
        let count =
            |sql| connection.query(sql, &[]).unwrap().first(|row| row.get::<u64>(0)).unwrap();
        assert_eq!(count(wrong), Some(0));
        assert_eq!(count("SELECT count(*) FROM t"), Some(6144));
    }

    #[test]
    fn rolled_back_and_cleared_rows_are_gone() {
        let connection = memory();
        connection.run("CREATE TABLE t (a BIGINT)").unwrap();
        let mut appender = ChunkAppender::open(&connection, "t").unwrap();
        let mut append = |then: &str| {
            connection.run("BEGIN").unwrap();
            let mut chunk = appender.chunk(1).unwrap();
            chunk.i64s([1].into_iter()).unwrap();
            chunk.finish().unwrap();
            appender.flush().unwrap();
            connection.run(then).unwrap();
        };
        append("ROLLBACK");
        append("COMMIT");
        let mut chunk = appender.chunk(1).unwrap();
        chunk.i64s([1].into_iter()).unwrap();
        chunk.finish().unwrap();
        drop(appender);
        let count = connection.query("SELECT count(*) FROM t", &[]).unwrap();
        assert_eq!(count.first(|row| row.get::<u64>(0)).unwrap(), Some(1));
    }

    #[test]
    fn a_running_statement_can_be_stopped() {
        let connection = memory();
        let handle = connection.interrupt_handle();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let stopper = std::thread::spawn(move || {
            // Again and again: the flag does nothing before the statement has begun.
            while wait.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                handle.interrupt();
                std::thread::yield_now();
            }
        });
        let endless =
            "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range = 7";
        let error = connection.query(endless, &[]).err().unwrap();
        drop(done);
        stopper.join().unwrap();
        assert_eq!(error.kind, DuckErrorKind::Interrupted, "{error}");
        assert!(connection.query("SELECT 1", &[]).is_ok());
    }

    #[test]
    fn a_file_has_small_row_groups_also_where_they_were_joined() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.duckdb");
        let groups = |connection: &Connection| {
            let sql = "SELECT count(*), max(rows) FROM (SELECT sum(count)::BIGINT AS rows
                FROM pragma_storage_info('numbers') WHERE segment_type = 'BIGINT' GROUP BY row_group_id)";
            let found = connection.query(sql, &[]).unwrap();
            found.first(|row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))).unwrap().unwrap()
        };
        let database = Database::open(&path, &DatabaseOptions::default()).unwrap();
        let connection = database.connect().unwrap();
        connection.run("CREATE TABLE numbers (number BIGINT)").unwrap();
        for _ in 0..10 {
            connection.run("INSERT INTO numbers SELECT range * 7919 FROM range(20000)").unwrap();
            connection.run("FORCE CHECKPOINT").unwrap();
        }
        let (count, rows_max) = groups(&connection);
        assert!((7..=10).contains(&count) && rows_max <= 30_720, "{count} groups, {rows_max} rows");
        drop((connection, database));
        let database = Database::open(&path, &DatabaseOptions::default()).unwrap();
        let connection = database.connect().unwrap();
        connection.run("INSERT INTO numbers SELECT range FROM range(100000)").unwrap();
        connection.run("FORCE CHECKPOINT").unwrap();
        assert!(groups(&connection).1 <= 30_720);
    }

    #[test]
    fn statements_reach_no_other_file_and_no_setting() {
        let connection = memory();
        for sql in [
            "SELECT * FROM read_csv('/etc/passwd')",
            "COPY (SELECT 1) TO 'out.csv'",
            "ATTACH 'other.duckdb'",
            "INSTALL httpfs",
            "SET memory_limit = '8GB'",
            "SET enable_external_access = true",
        ] {
            assert!(connection.run(sql).is_err(), "{sql}");
        }
    }
}
