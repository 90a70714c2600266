//! Column types and parameter values.

use libduckdb_sys as sys;

/// Column types that this wrapper reads and writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum ColumnType {
    Boolean,
    TinyInt,
    SmallInt,
    Integer,
    BigInt,
    UTinyInt,
    USmallInt,
    UInteger,
    UBigInt,
    HugeInt,
    UHugeInt,
    Float,
    Double,
    Varchar,
    /// Anything else: cast it in the statement.
    Other(u32),
}

impl ColumnType {
    /// From the C interface's number.
    pub(super) fn from_raw(raw: sys::duckdb_type) -> Self {
        match raw {
            sys::DUCKDB_TYPE_DUCKDB_TYPE_BOOLEAN => ColumnType::Boolean,
            sys::DUCKDB_TYPE_DUCKDB_TYPE_TINYINT => ColumnType::TinyInt,
            sys::DUCKDB_TYPE_DUCKDB_TYPE_SMALLINT => ColumnType::SmallInt,
            sys::DUCKDB_TYPE_DUCKDB_TYPE_INTEGER => ColumnType::Integer,
            sys::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT => ColumnType::BigInt,
            sys::DUCKDB_TYPE_DUCKDB_TYPE_UTINYINT => ColumnType::UTinyInt,
            sys::DUCKDB_TYPE_DUCKDB_TYPE_USMALLINT => ColumnType::USmallInt,
            sys::DUCKDB_TYPE_DUCKDB_TYPE_UINTEGER => ColumnType::UInteger,
            sys::DUCKDB_TYPE_DUCKDB_TYPE_UBIGINT => ColumnType::UBigInt,
            sys::DUCKDB_TYPE_DUCKDB_TYPE_HUGEINT => ColumnType::HugeInt,
            sys::DUCKDB_TYPE_DUCKDB_TYPE_UHUGEINT => ColumnType::UHugeInt,
            sys::DUCKDB_TYPE_DUCKDB_TYPE_FLOAT => ColumnType::Float,
            sys::DUCKDB_TYPE_DUCKDB_TYPE_DOUBLE => ColumnType::Double,
            sys::DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR => ColumnType::Varchar,
            other => ColumnType::Other(other),
        }
    }
}

/// A value for a parameter.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// BOOLEAN.
    Bool(bool),
    /// BIGINT.
    I64(i64),
    /// UBIGINT.
    U64(u64),
    /// UHUGEINT.
    U128(u128),
    /// DOUBLE.
    F64(f64),
    /// VARCHAR.
    Text(&'a str),
}

macro_rules! value_from {
    ($($rust:ty => $variant:ident),*) => { $(
        impl From<$rust> for Value<'_> {
            fn from(value: $rust) -> Self {
                Value::$variant(value.into())
            }
        }
    )* };
}
value_from!(bool => Bool, i64 => I64, u32 => U64, u64 => U64, u128 => U128, f64 => F64);

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(value)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}
