//! Owned handles of DuckDB's C interface: the only place that calls it.
//!
//! Guarantees, and why they hold:
//! - Every handle is freed exactly once, by its `Drop`, and keeps alive what it depends on (statement, result and appender
//!   hold their connection, the connection its database).
//! - No pointer leaves this file. Slices borrow the chunk they point into, and a chunk's types are checked before each
//!   access, so a wrong column is an error and never a wrong read.
//! - `duckdb_interrupt` is the only call made on one connection from several threads at once; DuckDB makes it an atomic
//!   flag. Every other call needs `&mut` or goes through a type that is not `Sync` (`super::Connection`).
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use libduckdb_sys as sys;

use super::error::{DuckError, DuckErrorKind};
use super::types::{ColumnType, Value};

/// A Rust type whose memory layout is that of one column type.
///
/// # Safety
/// `TYPE`'s vectors must hold values of exactly this layout, and every bit pattern that DuckDB writes must be valid.
pub(super) unsafe trait Fixed: Copy {
    /// The column type.
    const TYPE: ColumnType;
}

macro_rules! fixed {
    ($($rust:ty => $column:ident),*) => { $(
        // SAFETY: DuckDB stores this type as the same plain number, little endian like the target.
        unsafe impl Fixed for $rust { const TYPE: ColumnType = ColumnType::$column; }
    )* };
}
fixed!(i8 => TinyInt, i16 => SmallInt, i32 => Integer, i64 => BigInt, u8 => UTinyInt, u16 => USmallInt,
    u32 => UInteger, u64 => UBigInt, f32 => Float, f64 => Double);

#[cfg(target_endian = "big")]
compile_error!("DuckDB's 128-bit numbers are read as two little-endian halves");

/// A 128-bit number as DuckDB lays it out: two halves, aligned to 8 bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Halves {
    lower: u64,
    upper: u64,
}

impl From<u128> for Halves {
    fn from(value: u128) -> Self {
        Halves { lower: value as u64, upper: (value >> 64) as u64 }
    }
}

impl From<Halves> for u128 {
    fn from(value: Halves) -> Self {
        u128::from(value.upper) << 64 | u128::from(value.lower)
    }
}

/// An unsigned 128-bit element.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct UHuge(pub Halves);
/// A signed 128-bit element.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Huge(pub Halves);
/// A truth value as the byte that DuckDB keeps; anything but 0 is true.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Truth(pub u8);
/// A text element: 12 bytes in place, or a prefix and a pointer.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Text(sys::duckdb_string_t);

// SAFETY: `duckdb_uhugeint` is {lower: u64, upper: u64}.
unsafe impl Fixed for UHuge {
    const TYPE: ColumnType = ColumnType::UHugeInt;
}
// SAFETY: `duckdb_hugeint` is {lower: u64, upper: i64}, two's complement.
unsafe impl Fixed for Huge {
    const TYPE: ColumnType = ColumnType::HugeInt;
}
// SAFETY: DuckDB stores booleans as one byte.
unsafe impl Fixed for Truth {
    const TYPE: ColumnType = ColumnType::Boolean;
}
// SAFETY: `duckdb_string_t` is the element of VARCHAR vectors; read only through `ChunkHandle::text`.
unsafe impl Fixed for Text {
    const TYPE: ColumnType = ColumnType::Varchar;
}

fn c_string(text: &str) -> Result<CString, DuckError> {
    CString::new(text).map_err(|_| DuckError::misuse("a statement or name contains NUL"))
}

/// Copies the engine's words. `text` is null or a C string that lives during the call.
fn engine_error(text: *const c_char) -> DuckError {
    if text.is_null() {
        return DuckError::new(DuckErrorKind::Other, "the engine gave no reason");
    }
    // SAFETY: not null, and by the callers' contract a C string owned by a live handle.
    let text = unsafe { CStr::from_ptr(text) };
    DuckError::from_engine(&text.to_string_lossy())
}

/// An open database.
pub(super) struct DatabaseHandle(sys::duckdb_database);

// SAFETY: DuckDB's database object is internally synchronised; connections may be made from any thread.
unsafe impl Send for DatabaseHandle {}
// SAFETY: as above.
unsafe impl Sync for DatabaseHandle {}

impl DatabaseHandle {
    pub(super) fn open(path: &str, options: &[(&str, &str)]) -> Result<Self, DuckError> {
        let path = c_string(path)?;
        let mut config: sys::duckdb_config = ptr::null_mut();
        // SAFETY: `config` is a valid place; it is destroyed below on every path.
        if unsafe { sys::duckdb_create_config(&mut config) } != sys::DuckDBSuccess {
            return Err(DuckError::new(DuckErrorKind::OutOfMemory, "no memory for the options"));
        }
        let opened = Self::open_with(&path, config, options);
        // SAFETY: made above, used no more.
        unsafe { sys::duckdb_destroy_config(&mut config) };
        opened
    }

    fn open_with(
        path: &CStr,
        config: sys::duckdb_config,
        options: &[(&str, &str)],
    ) -> Result<Self, DuckError> {
        for (name, value) in options {
            let (c_name, c_value) = (c_string(name)?, c_string(value)?);
            // SAFETY: a live config and two C strings.
            let state =
                unsafe { sys::duckdb_set_config(config, c_name.as_ptr(), c_value.as_ptr()) };
            if state != sys::DuckDBSuccess {
                return Err(DuckError::misuse(format!("DuckDB knows no option {name}")));
            }
        }
        let mut raw: sys::duckdb_database = ptr::null_mut();
        let mut words: *mut c_char = ptr::null_mut();
        // SAFETY: all pointers are valid; the error text is freed below.
        let state = unsafe { sys::duckdb_open_ext(path.as_ptr(), &mut raw, config, &mut words) };
        if state == sys::DuckDBSuccess {
            return Ok(DatabaseHandle(raw));
        }
        let error = engine_error(words);
        // SAFETY: the text is DuckDB's to free (null is allowed); so is a half-open database.
        unsafe {
            sys::duckdb_free(words.cast());
            sys::duckdb_close(&mut raw);
        }
        Err(error)
    }
}

impl Drop for DatabaseHandle {
    fn drop(&mut self) {
        // SAFETY: opened by `open_with`, closed once.
        unsafe { sys::duckdb_close(&mut self.0) }
    }
}

/// A connection.
pub(super) struct ConnectionHandle {
    raw: sys::duckdb_connection,
    _database: Arc<DatabaseHandle>,
}

// SAFETY: DuckDB's connections are bound to no thread.
unsafe impl Send for ConnectionHandle {}
// SAFETY: shared only so that `interrupt` can be called from elsewhere (see the module's header).
unsafe impl Sync for ConnectionHandle {}

impl ConnectionHandle {
    pub(super) fn open(database: &Arc<DatabaseHandle>) -> Result<Self, DuckError> {
        let mut raw: sys::duckdb_connection = ptr::null_mut();
        // SAFETY: a live database and a valid place.
        if unsafe { sys::duckdb_connect(database.0, &mut raw) } != sys::DuckDBSuccess {
            return Err(DuckError::new(DuckErrorKind::Other, "DuckDB refused a connection"));
        }
        Ok(ConnectionHandle { raw, _database: Arc::clone(database) })
    }

    pub(super) fn interrupt(&self) {
        // SAFETY: a live connection; the call sets an atomic flag.
        unsafe { sys::duckdb_interrupt(self.raw) }
    }

    pub(super) fn run(&self, sql: &str) -> Result<(), DuckError> {
        let sql = c_string(sql)?;
        let mut result = empty_result();
        // SAFETY: a live connection, a C string and a valid place; the result is destroyed on every path.
        unsafe {
            let state = sys::duckdb_query(self.raw, sql.as_ptr(), &mut result);
            let outcome = if state == sys::DuckDBSuccess {
                Ok(())
            } else {
                Err(engine_error(sys::duckdb_result_error(&mut result)))
            };
            sys::duckdb_destroy_result(&mut result);
            outcome
        }
    }
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, closed once, before its database.
        unsafe { sys::duckdb_disconnect(&mut self.raw) }
    }
}

fn empty_result() -> sys::duckdb_result {
    sys::duckdb_result {
        deprecated_column_count: 0,
        deprecated_row_count: 0,
        deprecated_rows_changed: 0,
        deprecated_columns: ptr::null_mut(),
        deprecated_error_message: ptr::null_mut(),
        internal_data: ptr::null_mut(),
    }
}

/// A prepared statement.
pub(super) struct StatementHandle {
    raw: sys::duckdb_prepared_statement,
    connection: Arc<ConnectionHandle>,
}

// SAFETY: bound to no thread; used by one at a time since every call needs `&mut`.
unsafe impl Send for StatementHandle {}

impl StatementHandle {
    pub(super) fn prepare(
        connection: &Arc<ConnectionHandle>,
        sql: &str,
    ) -> Result<Self, DuckError> {
        let sql = c_string(sql)?;
        let mut raw: sys::duckdb_prepared_statement = ptr::null_mut();
        // SAFETY: a live connection, a C string, a valid place. Destroyed by `Drop` even if preparing failed.
        let state = unsafe { sys::duckdb_prepare(connection.raw, sql.as_ptr(), &mut raw) };
        let handle = StatementHandle { raw, connection: Arc::clone(connection) };
        if state == sys::DuckDBSuccess {
            return Ok(handle);
        }
        // SAFETY: `duckdb_prepare_error` takes a failed statement; the text lives as long as it.
        Err(engine_error(unsafe { sys::duckdb_prepare_error(handle.raw) }))
    }

    pub(super) fn parameter_count(&self) -> u64 {
        // SAFETY: a live statement.
        unsafe { sys::duckdb_nparams(self.raw) }
    }

    /// Binds parameter `index`, counted from 1.
    pub(super) fn bind(&mut self, index: u64, value: Value<'_>) -> Result<(), DuckError> {
        // SAFETY: a live statement; DuckDB copies the value and checks the index.
        let state = unsafe {
            match value {
                Value::Null => sys::duckdb_bind_null(self.raw, index),
                Value::Bool(value) => sys::duckdb_bind_boolean(self.raw, index, value),
                Value::I64(value) => sys::duckdb_bind_int64(self.raw, index, value),
                Value::U64(value) => sys::duckdb_bind_uint64(self.raw, index, value),
                Value::F64(value) => sys::duckdb_bind_double(self.raw, index, value),
                Value::U128(value) => {
                    let Halves { lower, upper } = value.into();
                    let value = sys::duckdb_uhugeint { lower, upper };
                    sys::duckdb_bind_uhugeint(self.raw, index, value)
                }
                Value::Text(value) => sys::duckdb_bind_varchar_length(
                    self.raw,
                    index,
                    value.as_ptr().cast(),
                    value.len() as u64,
                ),
            }
        };
        if state == sys::DuckDBSuccess {
            Ok(())
        } else {
            Err(DuckError::misuse(format!("parameter {index} cannot be bound")))
        }
    }

    /// Runs it like [`Self::execute`]; while the engine's own threads work on it, the caller sleeps. `execute` would keep
    /// asking them whether they are done, which costs as much as the work itself.
    pub(super) fn execute_sleeping(&mut self) -> Result<ResultHandle, DuckError> {
        let mut pending = PendingHandle { raw: ptr::null_mut() };
        // SAFETY: a live statement and a valid place; `PendingHandle::drop` destroys it even after a failure.
        let state = unsafe { sys::duckdb_pending_prepared(self.raw, &mut pending.raw) };
        if state != sys::DuckDBSuccess {
            return Err(pending.error());
        }
        pending.work()?;
        let mut raw = empty_result();
        // SAFETY: a live pending result that is ready, and a valid place.
        let state = unsafe { sys::duckdb_execute_pending(pending.raw, &mut raw) };
        let connection = Arc::clone(&self.connection);
        let mut result = ResultHandle { raw, types: Arc::default(), _connection: connection };
        if state != sys::DuckDBSuccess {
            // SAFETY: a failed result carries its reason.
            return Err(engine_error(unsafe { sys::duckdb_result_error(&mut result.raw) }));
        }
        Ok(result)
    }

    /// Runs it. A streamed result is computed while it is read, and ends when the connection runs something else.
    pub(super) fn execute(&mut self, streamed: bool) -> Result<ResultHandle, DuckError> {
        let mut raw = empty_result();
        // SAFETY: a live statement and a valid place. `ResultHandle::drop` destroys the result even after a failure.
        let state = unsafe {
            if streamed {
                sys::duckdb_execute_prepared_streaming(self.raw, &mut raw)
            } else {
                sys::duckdb_execute_prepared(self.raw, &mut raw)
            }
        };
        let mut result =
            ResultHandle { raw, types: Arc::default(), _connection: Arc::clone(&self.connection) };
        if state != sys::DuckDBSuccess {
            // SAFETY: a failed result carries its reason.
            return Err(engine_error(unsafe { sys::duckdb_result_error(&mut result.raw) }));
        }
        // SAFETY: a live result; indexes are below its column count.
        result.types = unsafe {
            (0..sys::duckdb_column_count(&mut result.raw))
                .map(|index| ColumnType::from_raw(sys::duckdb_column_type(&mut result.raw, index)))
                .collect()
        };
        Ok(result)
    }
}

impl Drop for StatementHandle {
    fn drop(&mut self) {
        // SAFETY: made by `prepare`, destroyed once.
        unsafe { sys::duckdb_destroy_prepare(&mut self.raw) }
    }
}

/// Pause between two looks at a statement that the engine's own threads work on.
const PENDING_PAUSE: Duration = Duration::from_millis(1);

/// A statement that is being run piece by piece.
struct PendingHandle {
    raw: sys::duckdb_pending_result,
}

impl PendingHandle {
    /// Does what there is to do until the result is ready.
    fn work(&mut self) -> Result<(), DuckError> {
        loop {
            // SAFETY: a live pending result.
            match unsafe { sys::duckdb_pending_execute_task(self.raw) } {
                sys::duckdb_pending_state_DUCKDB_PENDING_RESULT_READY => return Ok(()),
                sys::duckdb_pending_state_DUCKDB_PENDING_ERROR => return Err(self.error()),
                sys::duckdb_pending_state_DUCKDB_PENDING_NO_TASKS_AVAILABLE => {
                    std::thread::sleep(PENDING_PAUSE);
                }
                _ => {}
            }
        }
    }

    fn error(&self) -> DuckError {
        // SAFETY: a pending result, possibly null, which the function takes; the text lives as long as it.
        engine_error(unsafe { sys::duckdb_pending_error(self.raw) })
    }
}

impl Drop for PendingHandle {
    fn drop(&mut self) {
        // SAFETY: made by `execute_sleeping`, destroyed once; null is allowed.
        unsafe { sys::duckdb_destroy_pending(&mut self.raw) }
    }
}

/// A result that is being read.
pub(super) struct ResultHandle {
    raw: sys::duckdb_result,
    types: Arc<[ColumnType]>,
    _connection: Arc<ConnectionHandle>,
}

// SAFETY: bound to no thread; used by one at a time since every call needs `&mut`.
unsafe impl Send for ResultHandle {}

impl ResultHandle {
    pub(super) fn types(&self) -> &[ColumnType] {
        &self.types
    }

    pub(super) fn rows_changed(&mut self) -> u64 {
        // SAFETY: a live result.
        unsafe { sys::duckdb_rows_changed(&mut self.raw) }
    }

    /// The next chunk; `None` after the last.
    pub(super) fn next_chunk(&mut self) -> Result<Option<ChunkHandle>, DuckError> {
        // SAFETY: a live result, passed by value as the interface wants; the chunk is owned by us.
        let raw = unsafe { sys::duckdb_fetch_chunk(self.raw) };
        if raw.is_null() {
            // SAFETY: a live result; null means that nothing went wrong.
            let words = unsafe { sys::duckdb_result_error(&mut self.raw) };
            return if words.is_null() { Ok(None) } else { Err(engine_error(words)) };
        }
        let chunk = ChunkHandle::adopt(raw, Arc::clone(&self.types));
        Ok((chunk.length() > 0).then_some(chunk))
    }
}

impl Drop for ResultHandle {
    fn drop(&mut self) {
        // SAFETY: filled by an execute call, destroyed once.
        unsafe { sys::duckdb_destroy_result(&mut self.raw) }
    }
}

/// A chunk of columns: read from a result, or being filled for an appender.
pub(super) struct ChunkHandle {
    raw: sys::duckdb_data_chunk,
    types: Arc<[ColumnType]>,
    length: usize,
}

// SAFETY: plain memory, bound to no thread; writing needs `&mut`.
unsafe impl Send for ChunkHandle {}

impl ChunkHandle {
    fn adopt(raw: sys::duckdb_data_chunk, types: Arc<[ColumnType]>) -> Self {
        // SAFETY: a live chunk.
        let (columns, length) = unsafe {
            (sys::duckdb_data_chunk_get_column_count(raw), sys::duckdb_data_chunk_get_size(raw))
        };
        let types = if columns as usize == types.len() {
            types
        } else {
            Arc::from([ColumnType::Other(0); 0])
        };
        ChunkHandle { raw, types, length: length as usize }
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    pub(super) fn types(&self) -> &[ColumnType] {
        &self.types
    }

    fn vector(&self, column: usize) -> Result<sys::duckdb_vector, DuckError> {
        if column >= self.types.len() {
            return Err(DuckError::misuse(format!("there is no column {column}")));
        }
        // SAFETY: a live chunk; the index was just checked.
        Ok(unsafe { sys::duckdb_data_chunk_get_vector(self.raw, column as u64) })
    }

    fn typed_vector<T: Fixed>(&self, column: usize) -> Result<sys::duckdb_vector, DuckError> {
        let vector = self.vector(column)?;
        let found = self.types[column];
        if found != T::TYPE {
            let wanted = T::TYPE;
            return Err(DuckError::misuse(format!("column {column} is {found:?}, not {wanted:?}")));
        }
        Ok(vector)
    }

    /// The values of a column; those of NULLs are arbitrary.
    pub(super) fn values<T: Fixed>(&self, column: usize) -> Result<&[T], DuckError> {
        let vector = self.typed_vector::<T>(column)?;
        if self.length == 0 {
            return Ok(&[]);
        }
        // SAFETY: fetched chunks are flat: the vector holds `length` values of the checked type. They live, unchanged, as
        // long as the chunk, which the slice borrows.
        Ok(unsafe {
            let data = sys::duckdb_vector_get_data(vector).cast::<T>();
            std::slice::from_raw_parts(data, self.length)
        })
    }

    /// One bit per row, 1 = present; `None` when no value of the column is NULL.
    pub(super) fn validity(&self, column: usize) -> Result<Option<&[u64]>, DuckError> {
        let vector = self.vector(column)?;
        // SAFETY: a live vector. The mask, where there is one, covers all rows and lives as long as the chunk.
        unsafe {
            let mask = sys::duckdb_vector_get_validity(vector);
            Ok((!mask.is_null())
                .then(|| std::slice::from_raw_parts(mask, self.length.div_ceil(64))))
        }
    }

    /// The text of a cell that is not NULL.
    pub(super) fn text(&self, column: usize, row: usize) -> Result<&str, DuckError> {
        let element = &self.values::<Text>(column)?[row].0;
        // SAFETY: every element of a VARCHAR vector that is not NULL is a valid string_t: up to 12 bytes lie in place, longer
        // ones behind a pointer into memory that the chunk keeps. The callers check for NULL first.
        let bytes = unsafe {
            let length = element.value.inlined.length as usize;
            let start: *const u8 = if length <= 12 {
                ptr::addr_of!(element.value.inlined.inlined).cast()
            } else {
                element.value.pointer.ptr.cast_const().cast()
            };
            std::slice::from_raw_parts(start, length)
        };
        std::str::from_utf8(bytes)
            .map_err(|_| DuckError::new(DuckErrorKind::Other, "a stored text is not UTF-8"))
    }

    /// Empties it and makes room for `length` rows.
    fn reset(&mut self, length: usize) {
        // SAFETY: a live chunk that we made; `length` is at most its capacity (checked by `AppenderHandle::start`).
        unsafe {
            sys::duckdb_data_chunk_reset(self.raw);
            sys::duckdb_data_chunk_set_size(self.raw, length as u64);
        }
        self.length = length;
    }

    /// Fills a column of numbers; `None` becomes NULL. Tells how many values came, at most one more than there is room for.
    pub(super) fn fill<T: Fixed>(
        &mut self,
        column: usize,
        values: impl Iterator<Item = Option<T>>,
    ) -> Result<usize, DuckError> {
        let vector = self.typed_vector::<T>(column)?;
        // SAFETY: the vector has room for the chunk's capacity of the checked type, and rows stay below `length`.
        unsafe {
            let data = sys::duckdb_vector_get_data(vector).cast::<T>();
            let mut mask: *mut u64 = ptr::null_mut();
            let mut count = 0;
            for value in values {
                if count < self.length {
                    match value {
                        Some(value) => data.add(count).write(value),
                        None => {
                            if mask.is_null() {
                                sys::duckdb_vector_ensure_validity_writable(vector);
                                mask = sys::duckdb_vector_get_validity(vector);
                            }
                            *mask.add(count / 64) &= !(1u64 << (count % 64));
                        }
                    }
                }
                count += 1;
                if count > self.length {
                    break;
                }
            }
            Ok(count)
        }
    }

    /// Fills a column of texts, as [`Self::fill`] does.
    pub(super) fn fill_text<'a>(
        &mut self,
        column: usize,
        values: impl Iterator<Item = &'a str>,
    ) -> Result<usize, DuckError> {
        let vector = self.typed_vector::<Text>(column)?;
        let mut count = 0;
        for value in values {
            if count < self.length {
                // SAFETY: a live vector, a row below its capacity, and bytes that Rust knows to be UTF-8; DuckDB copies them.
                unsafe {
                    sys::duckdb_unsafe_vector_assign_string_element_len(
                        vector,
                        count as u64,
                        value.as_ptr().cast(),
                        value.len() as u64,
                    );
                }
            }
            count += 1;
            if count > self.length {
                break;
            }
        }
        Ok(count)
    }
}

impl Drop for ChunkHandle {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once.
        unsafe { sys::duckdb_destroy_data_chunk(&mut self.raw) }
    }
}

/// Appends chunks to one table.
pub(super) struct AppenderHandle {
    raw: sys::duckdb_appender,
    types: Arc<[ColumnType]>,
    _connection: Arc<ConnectionHandle>,
}

// SAFETY: bound to no thread; used by one at a time since every call needs `&mut`.
unsafe impl Send for AppenderHandle {}

impl AppenderHandle {
    pub(super) fn open(connection: &Arc<ConnectionHandle>, table: &str) -> Result<Self, DuckError> {
        let name = c_string(table)?;
        let mut raw: sys::duckdb_appender = ptr::null_mut();
        // SAFETY: a live connection, a C string, a valid place. Destroyed by `Drop` even if this failed.
        let state = unsafe {
            sys::duckdb_appender_create(connection.raw, ptr::null(), name.as_ptr(), &mut raw)
        };
        let mut appender =
            AppenderHandle { raw, types: Arc::default(), _connection: Arc::clone(connection) };
        if state != sys::DuckDBSuccess {
            return Err(appender.error());
        }
        // SAFETY: a live appender; indexes are below its column count; each logical type is destroyed.
        appender.types = unsafe {
            (0..sys::duckdb_appender_column_count(appender.raw))
                .map(|index| {
                    let mut logical = sys::duckdb_appender_column_type(appender.raw, index);
                    let id = ColumnType::from_raw(sys::duckdb_get_type_id(logical));
                    sys::duckdb_destroy_logical_type(&mut logical);
                    id
                })
                .collect()
        };
        Ok(appender)
    }

    /// A chunk with the table's columns and DuckDB's own capacity, which is returned with it.
    pub(super) fn new_chunk(&mut self) -> Result<(ChunkHandle, usize), DuckError> {
        // SAFETY: as in `open`; the chunk copies the types, which are destroyed afterwards.
        unsafe {
            let mut logical: Vec<sys::duckdb_logical_type> = (0..self.types.len() as u64)
                .map(|index| sys::duckdb_appender_column_type(self.raw, index))
                .collect();
            let raw = sys::duckdb_create_data_chunk(logical.as_mut_ptr(), logical.len() as u64);
            for each in &mut logical {
                sys::duckdb_destroy_logical_type(each);
            }
            if raw.is_null() {
                return Err(DuckError::misuse("the table has columns that no chunk can hold"));
            }
            let chunk = ChunkHandle::adopt(raw, Arc::clone(&self.types));
            Ok((chunk, sys::duckdb_vector_size() as usize))
        }
    }

    /// Empties `chunk`, which must be one of this appender's, for `length` rows.
    pub(super) fn start(
        &self,
        chunk: &mut ChunkHandle,
        length: usize,
        capacity: usize,
    ) -> Result<(), DuckError> {
        if length > capacity || !Arc::ptr_eq(&chunk.types, &self.types) {
            return Err(DuckError::misuse(format!("{length} rows do not fit into a chunk")));
        }
        chunk.reset(length);
        Ok(())
    }

    pub(super) fn append(&mut self, chunk: &ChunkHandle) -> Result<(), DuckError> {
        // SAFETY: a live appender and a live chunk, whose columns DuckDB checks; it copies them.
        let state = unsafe { sys::duckdb_append_data_chunk(self.raw, chunk.raw) };
        self.check(state)
    }

    pub(super) fn flush(&mut self) -> Result<(), DuckError> {
        // SAFETY: a live appender.
        let state = unsafe { sys::duckdb_appender_flush(self.raw) };
        self.check(state)
    }

    /// Forgets what was appended and not flushed.
    pub(super) fn clear(&mut self) -> Result<(), DuckError> {
        // SAFETY: a live appender.
        let state = unsafe { sys::duckdb_appender_clear(self.raw) };
        self.check(state)
    }

    fn check(&mut self, state: sys::duckdb_state) -> Result<(), DuckError> {
        if state == sys::DuckDBSuccess { Ok(()) } else { Err(self.error()) }
    }

    fn error(&mut self) -> DuckError {
        // SAFETY: a live (or failed) appender; the data is destroyed after its text was copied.
        unsafe {
            let mut data = sys::duckdb_appender_error_data(self.raw);
            let error = engine_error(sys::duckdb_error_data_message(data));
            sys::duckdb_destroy_error_data(&mut data);
            error
        }
    }
}

impl Drop for AppenderHandle {
    fn drop(&mut self) {
        // SAFETY: destroyed once. Rows that were not flushed are dropped first: destroying would flush them, outside of any
        // transaction of ours.
        unsafe {
            sys::duckdb_appender_clear(self.raw);
            sys::duckdb_appender_destroy(&mut self.raw);
        }
    }
}
