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

/// Polls a future once, without anybody to wake.
fn poll_once<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    let waker = std::task::Waker::noop();
    std::pin::Pin::new(future).poll(&mut std::task::Context::from_waker(waker))
}

#[test]
fn requests_that_vanish_disturb_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(directory.path()), Arc::new(RealDisk)).unwrap();
    runtime().block_on(async {
        let appender = log.appender();
        for round in 0..200u64 {
            let mut futures: Vec<_> =
                (0..8).map(|_| appender.append([b"record".as_slice()])).collect();
            for (index, future) in futures.iter_mut().enumerate() {
                // Polled by a task that is gone: its wake leads nowhere.
                if index % 2 == 0 && poll_once(future).is_ready() {
                    continue;
                }
            }
            let last = futures.pop().unwrap();
            futures.rotate_left(usize::try_from(round % 7).unwrap());
            futures.truncate(3);
            drop(futures);
            let range = last.await.unwrap();
            assert_eq!(range, round * 8 + 8..round * 8 + 9);
            log.trim(Offset(range.start));
        }
    });
    assert_eq!(log.status().records, 1600);
}

#[test]
fn many_appenders_on_many_runtimes_get_dense_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(directory.path()), Arc::new(RealDisk)).unwrap();
    let threads: Vec<_> = (0..3)
        .map(|thread| {
            let log = log.clone();
            std::thread::spawn(move || {
                runtime().block_on(async {
                    let appender = log.appender();
                    let tasks: Vec<_> = (0..50)
                        .map(|task| {
                            let (log, appender) = (log.clone(), appender.clone());
                            tokio::spawn(async move {
                                let mut stored = Vec::new();
                                for count in 0..20 {
                                    let record = format!("{thread} {task} {count}");
                                    let parts = [record.as_bytes(), b"second".as_slice()];
                                    let range = appender.append(parts).await.unwrap();
                                    assert_eq!(range.end, range.start + 2);
                                    assert!(log.durable_end().0 >= range.end);
                                    stored.push((range.start, record.into_bytes()));
                                }
                                stored
                            })
                        })
                        .collect();
                    let mut stored = Vec::new();
                    for task in tasks {
                        stored.extend(task.await.unwrap());
                    }
                    stored
                })
            })
        })
        .collect();
    let mut stored: Vec<_> =
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    stored.sort();
    let read = read_all(&log, 1);
    assert_eq!(read.len(), 6000);
    assert!(read.iter().zip(1..).all(|((number, _), expected)| *number == expected));
    let firsts: Vec<_> = read.into_iter().step_by(2).collect();
    assert_eq!(stored, firsts);
    let status = log.status();
    assert!(status.healthy && status.groups < 3000, "{status:?}");
}

#[test]
fn an_appender_works_outside_a_runtime_and_across_runtimes() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(directory.path()), Arc::new(RealDisk)).unwrap();
    let outside = log.appender();
    assert_eq!(runtime().block_on(outside.append([b"a".as_slice()])), Ok(1..2));
    // Its runtime ends before the append is awaited elsewhere.
    let (appender, early) = runtime().block_on(async {
        let appender = log.appender();
        let early = appender.append([b"b".as_slice()]);
        (appender, early)
    });
    assert_eq!(runtime().block_on(early), Ok(2..3));
    assert_eq!(runtime().block_on(appender.append([b"c".as_slice()])), Ok(3..4));
}

#[test]
fn a_reader_waits_for_what_becomes_durable() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(directory.path()), Arc::new(RealDisk)).unwrap();
    let follower = {
        let log = log.clone();
        std::thread::spawn(move || {
            let mut reader = log.reader(Offset(1));
            let mut seen = 0;
            while seen < 500 {
                assert!(log.wait_durable_after(Offset(seen), Duration::from_secs(20)));
                let batch = reader.next_batch(2000).unwrap();
                assert!(batch.iter().all(|(number, _)| number <= log.durable_end().0));
                seen += batch.len() as u64;
                assert_eq!(batch.next(), Offset(seen + 1));
                log.trim(batch.next());
            }
            seen
        })
    };
    runtime().block_on(async {
        let appender = log.appender();
        for number in 1..=500u64 {
            let range = appender.append([vec![7; 1000].as_slice()]).await.unwrap();
            assert_eq!(range.start, number);
        }
    });
    assert_eq!(follower.join().unwrap(), 500);
}
