//! Answers SQL written by hand on a database file, as a person at DuckDB's own prompt would: for comparison.
//!
//! `cargo run --release -p cairn_store --example by_hand -- <file> <memory in megabytes> <threads>`
//!
//! Reads one statement a line, as a JSON string, from standard input. Answers each with one line of JSON: `rows`, and
//! `ms`, the milliseconds from the text of the statement to the last row. All statements run on one connection.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io::BufRead;
use std::path::PathBuf;
use std::time::Instant;

use cairn_store::duckdb::{ColumnType, Database, DatabaseOptions, DuckError, RowRef};
use serde_json::{Value, json};

fn cell(row: RowRef<'_>, column: usize, kind: ColumnType) -> Result<Value, DuckError> {
    Ok(match kind {
        ColumnType::Varchar => json!(row.optional::<&str>(column)?),
        ColumnType::Double | ColumnType::Float => match row.optional::<f64>(column)? {
            // JSON has one kind of number: 42.0 is written as 42.
            Some(number) if number.fract() == 0.0 => json!(number as i64),
            number => json!(number),
        },
        _ => json!(row.optional::<i64>(column)?),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: by_hand <file> <memory in megabytes> <threads>";
    let path = arguments.next().map(PathBuf::from).ok_or(usage)?;
    let memory_limit_mb = arguments.next().ok_or(usage)?.parse()?;
    let threads = arguments.next().ok_or(usage)?.parse()?;
    let temp_directory = Some(path.with_extension("spilled"));
    let defaults = DatabaseOptions::default();
    let options = DatabaseOptions { memory_limit_mb, threads, temp_directory, ..defaults };
    let database = Database::open(&path, &options)?;
    let connection = database.connect()?;
    for line in std::io::stdin().lock().lines() {
        let sql: String = serde_json::from_str(&line?)?;
        let started = Instant::now();
        let rows = connection.query(&sql, &[])?;
        let kinds = rows.column_types().to_vec();
        let mut answer = Vec::new();
        rows.for_each(|row| {
            let cells = kinds.iter().enumerate().map(|(index, kind)| cell(row, index, *kind));
            answer.push(Value::Array(cells.collect::<Result<_, DuckError>>()?));
            Ok::<(), DuckError>(())
        })?;
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        println!("{}", json!({"ms": ms, "rows": answer}));
    }
    Ok(())
}
