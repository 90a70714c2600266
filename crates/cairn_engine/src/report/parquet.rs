//! Rows of an export as a Parquet file.
//!
//! Guarantees: columns have the type of what they hold, the same in every part; no more than one part is in memory, which is
//! one row group; texts stand as they are, for nothing takes them for formulas.

use std::sync::Arc;

use jiff::civil::{Date, DateTime};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Stored};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;

use super::export::{Column, Kind};

const EPOCH: Date = Date::constant(1970, 1, 1);

/// A file that grows by a row group at a time.
pub(super) struct ParquetFile {
    writer: SerializedFileWriter<Vec<u8>>,
}

impl std::fmt::Debug for ParquetFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ParquetFile").finish_non_exhaustive()
    }
}

impl ParquetFile {
    /// Begins a file.
    pub(super) fn new(columns: &[Column]) -> Result<ParquetFile> {
        let fields = columns.iter().map(field).collect::<Result<_>>()?;
        let schema = Type::group_type_builder("report").with_fields(fields).build()?;
        // Figures of pages would make the end of a large file large, and rows are sorted by one column at best.
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_created_by("cairn".to_owned());
        let properties = Arc::new(properties.build());
        let writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), properties)?;
        Ok(ParquetFile { writer })
    }

    /// Adds rows and gives back the bytes that they are, with the file's end after the last ones.
    pub(super) fn part(
        &mut self,
        columns: &[Column],
        rows: &[Vec<Value>],
        is_last: bool,
    ) -> Result<Vec<u8>> {
        if !rows.is_empty() {
            let mut group = self.writer.next_row_group()?;
            for (index, column) in columns.iter().enumerate() {
                let Some(mut writer) = group.next_column()? else { return Err(no_such(column)) };
                write(&mut writer, column, rows.iter().map(|row| &row[index]))?;
                writer.close()?;
            }
            group.close()?;
        }
        if is_last {
            self.writer.finish()?;
        }
        self.writer.flush()?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }
}

fn field(column: &Column) -> Result<TypePtr> {
    let (stored, means) = match column.kind {
        Kind::Text => (Stored::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Whole => (Stored::INT64, None),
        Kind::Decimal => (Stored::DOUBLE, None),
        Kind::Day => (Stored::INT32, Some(LogicalType::Date)),
        // The clock of the site's zone, as in other answers: no instant of universal time.
        Kind::Hour => (Stored::INT64, Some(LogicalType::timestamp(false, TimeUnit::MILLIS))),
    };
    let field = Type::primitive_type_builder(&column.name, stored)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(means);
    Ok(Arc::new(field.build()?))
}

fn write<'a>(
    writer: &mut SerializedColumnWriter<'_>,
    column: &Column,
    values: impl Iterator<Item = &'a Value>,
) -> Result<()> {
    match column.kind {
        Kind::Text => batch::<ByteArrayType>(writer, column, values, |value| {
            value.as_str().map(ByteArray::from)
        }),
        Kind::Whole => batch::<Int64Type>(writer, column, values, Value::as_i64),
        Kind::Decimal => batch::<DoubleType>(writer, column, values, Value::as_f64),
        Kind::Day => batch::<Int32Type>(writer, column, values, |value| {
            let day: Date = value.as_str()?.parse().ok()?;
            Some((day - EPOCH).get_days())
        }),
        Kind::Hour => batch::<Int64Type>(writer, column, values, |value| {
            let hour: DateTime = value.as_str()?.parse().ok()?;
            Some(hour.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
        }),
    }
}

/// Writes all values of a column; a value that its type cannot hold breaks the file, so that no figure goes missing.
fn batch<'a, T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    column: &Column,
    values: impl Iterator<Item = &'a Value>,
    typed: impl Fn(&Value) -> Option<T::T>,
) -> Result<()> {
    let (mut present, mut levels) = (Vec::new(), Vec::new());
    for value in values {
        if !value.is_null() {
            present.push(typed(value).ok_or_else(|| no_such(column))?);
        }
        levels.push(i16::from(!value.is_null()));
    }
    writer.typed::<T>().write_batch(&present, Some(&levels), None)?;
    Ok(())
}

fn no_such(column: &Column) -> ParquetError {
    ParquetError::General(format!("the column {} holds something else", column.name))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use serde_json::json;

    use super::*;

    fn file(values: &[(Kind, Value)]) -> Result<Vec<u8>> {
        let kinds = values.iter().enumerate();
        let columns: Vec<Column> =
            kinds.map(|(at, (kind, _))| Column { name: format!("c{at}"), kind: *kind }).collect();
        let row: Vec<Value> = values.iter().map(|(_, value)| value.clone()).collect();
        ParquetFile::new(&columns)?.part(&columns, &[row], true)
    }

    #[test]
    fn values_are_read_back_as_they_are() {
        let row = [
            (Kind::Text, json!("=1+1")),
            (Kind::Whole, json!(i64::MAX)),
            (Kind::Decimal, json!(-1.2345)),
            (Kind::Decimal, json!(100)),
            (Kind::Day, json!("1969-12-31")),
            (Kind::Hour, json!("2026-10-25 02:00:00")),
            (Kind::Whole, Value::Null),
        ];
        let reader = SerializedFileReader::new(Bytes::from(file(&row).unwrap())).unwrap();
        let rows: Vec<String> =
            reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        let wanted = "{c0: \"=1+1\", c1: 9223372036854775807, c2: -1.2345E0, c3: 100.0, \
                      c4: 1969-12-31, c5: 2026-10-25 02:00:00.000 +00:00, c6: null}";
        assert_eq!(rows, [wanted]);
    }

    #[test]
    fn what_a_column_cannot_hold_breaks_the_file() {
        for (kind, value) in [
            (Kind::Whole, json!(1.5)),
            (Kind::Decimal, json!("1")),
            (Kind::Text, json!(1)),
            (Kind::Day, json!("today")),
            (Kind::Hour, json!("2026-06-31 10:00:00")),
        ] {
            assert!(file(&[(kind, value)]).is_err(), "{kind:?}");
        }
    }
}
