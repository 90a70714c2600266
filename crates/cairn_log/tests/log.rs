//! The log on the real file system.

#![allow(clippy::unwrap_used)] // a test stops at what it does not expect

use std::sync::Arc;
use std::time::Duration;

use cairn_log::{Log, LogOptions, Offset, RealDisk};

fn options(directory: &std::path::Path) -> LogOptions {
    LogOptions {
        segment_size_bytes: 64 << 10,
        size_bytes_max: 512 << 10,
        record_size_bytes_max: 8 << 10,
        batch_size_bytes_max: 32 << 10,
        ..LogOptions::new(directory)
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn read_all(log: &Log, from: u64) -> Vec<(u64, Vec<u8>)> {
    let mut reader = log.reader(Offset(from));
    let mut records = Vec::new();
    loop {
        let batch = reader.next_batch(4096).unwrap();
        if batch.is_empty() {
            return records;
        }
        records.extend(batch.iter().map(|(number, bytes)| (number, bytes.to_vec())));
    }
}

#[test]
fn what_was_appended_is_read_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk);
    let (log, recovery) = Log::open(options(directory.path()), disk.clone()).unwrap();
    assert_eq!(recovery.next, Offset(1));
    runtime().block_on(async {
        let appender = log.appender();
        for number in 1..=1000u64 {
            let record = format!("record {number} {}", "x".repeat(200));
            let range = appender.append([record.as_bytes()]).await.unwrap();
            assert_eq!(range, number..number + 1);
            if number % 100 == 0 {
                log.trim(Offset(number - 50));
            }
        }
    });
    let before = read_all(&log, 950);
    assert_eq!(before.first().map(|record| record.0), Some(950));
    assert_eq!(before.len(), 51);
    assert!(log.wait_durable_after(Offset(999), Duration::ZERO));
    assert!(!log.wait_durable_after(Offset(1000), Duration::ZERO));
    drop(log);
    let (log, recovery) = Log::open(options(directory.path()), disk).unwrap();
    assert_eq!(recovery.next, Offset(1001));
    assert_eq!(recovery.torn_bytes, 0);
    assert_eq!(read_all(&log, 950), before);
}
