//! One fault at a time, with its exact outcome.

#![allow(clippy::unwrap_used)] // a test stops at what it does not expect

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_log::sim::{Faults, Machine};
use cairn_log::{
    DiskOperation, Log, LogError, LogOptions, Offset, OnCorruption, RealDisk, Recovery,
};

const HEADER_BYTES: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(20);

fn options() -> LogOptions {
    LogOptions {
        segment_size_bytes: 16 << 10,
        size_bytes_max: 64 << 10,
        record_size_bytes_max: 2000,
        batch_size_bytes_max: 8 << 10,
        retry_pause_min: Duration::from_micros(100),
        retry_pause_max: Duration::from_millis(1),
        ..LogOptions::new("/log")
    }
}

fn open(machine: &Machine) -> Result<(Log, Recovery), LogError> {
    Log::open(options(), machine.disk())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Appends one record, alone in its group.
fn append(log: &Log, record: &[u8]) -> Result<u64, LogError> {
    block_on(async { log.appender().append([record]).await.map(|numbers| numbers.start) })
}

fn append_many(log: &Log, count: u64) {
    for _ in 0..count {
        let next = log.durable_end().0;
        assert_eq!(append(log, record(next).as_bytes()), Ok(next));
    }
}

fn record(number: u64) -> String {
    format!("canary {number} {}", "x".repeat(300))
}

fn read_all(log: &Log, from: u64) -> Result<Vec<u64>, LogError> {
    let mut reader = log.reader(Offset(from));
    let mut numbers = Vec::new();
    loop {
        let batch = reader.next_batch(4096)?;
        if batch.is_empty() {
            return Ok(numbers);
        }
        for (number, bytes) in batch.iter() {
            assert_eq!(bytes, record(number).as_bytes());
            numbers.push(number);
        }
    }
}

fn segments(machine: &Machine) -> Vec<PathBuf> {
    let mut files = machine.files();
    files.retain(|path| path.to_string_lossy().contains("segment-"));
    files
}

fn last_segment(machine: &Machine) -> PathBuf {
    segments(machine).pop().unwrap()
}

/// Position of the group that holds a record, one record of `record` to a group.
fn group_position(number: u64) -> usize {
    HEADER_BYTES + usize::try_from(number - 1).unwrap() * 512
}

/// Ten records in groups of their own; the process was killed, so there is no closing mark.
fn ten_records() -> Machine {
    let machine = Machine::new(1);
    let (log, _) = open(&machine).unwrap();
    append_many(&log, 10);
    machine.kill();
    machine
}

#[test]
fn a_torn_last_write_is_cut_and_told() {
    let machine = ten_records();
    let path = last_segment(&machine);
    machine.edit(&path, |bytes| {
        let position = group_position(11);
        bytes.copy_within(group_position(10)..group_position(10) + 200, position);
    });
    let (log, recovery) = open(&machine).unwrap();
    assert_eq!((recovery.next, recovery.torn_bytes, recovery.records), (Offset(11), 200, 10));
    assert!(machine.read(&path).unwrap()[group_position(11)..].iter().all(|byte| *byte == 0));
    assert_eq!(read_all(&log, 1), Ok((1..=10).collect()));
    append_many(&log, 3);
    machine.lose_power();
    let (log, recovery) = open(&machine).unwrap();
    assert_eq!((recovery.next, recovery.torn_bytes), (Offset(14), 0));
    assert_eq!(read_all(&log, 1), Ok((1..=13).collect()));
}

#[test]
fn a_zero_filled_tail_is_no_tear() {
    let machine = ten_records();
    machine.edit(&last_segment(&machine), |bytes| bytes[group_position(10)..].fill(0));
    let (_, recovery) = open(&machine).unwrap();
    assert_eq!((recovery.next, recovery.torn_bytes), (Offset(10), 0));
}

#[test]
fn a_bit_flip_in_the_last_group_without_closing_mark_looks_torn() {
    let machine = ten_records();
    machine.edit(&last_segment(&machine), |bytes| bytes[group_position(10) + 100] ^= 4);
    let (_, recovery) = open(&machine).unwrap();
    assert_eq!(recovery.next, Offset(10));
    assert!(recovery.torn_bytes > 300);
}

#[test]
fn a_bit_flip_in_the_last_group_after_a_clean_close_is_damage() {
    let machine = Machine::new(1);
    let (log, _) = open(&machine).unwrap();
    append_many(&log, 10);
    log.close();
    machine.edit(&last_segment(&machine), |bytes| bytes[group_position(10) + 100] ^= 4);
    let Err(LogError::Corrupt(corruption)) = open(&machine) else { panic!("not noticed") };
    assert_eq!(corruption.lost, 10..11);
    assert_eq!(corruption.position, group_position(10) as u64);
}

#[test]
fn every_single_bit_flip_in_front_of_the_last_group_is_damage() {
    let machine = ten_records();
    let path = last_segment(&machine);
    let end = 32 + 4 + record(5).len();
    for bit in (0..end * 8).step_by(7) {
        let flip = |bytes: &mut Vec<u8>| bytes[group_position(5) + bit / 8] ^= 1 << (bit % 8);
        machine.edit(&path, flip);
        let Err(LogError::Corrupt(corruption)) = open(&machine) else {
            // The reserved header bytes are covered too; nothing may pass.
            panic!("bit {bit} was not noticed")
        };
        assert_eq!(corruption.lost, 5..6, "bit {bit}");
        machine.edit(&path, flip);
    }
    assert_eq!(open(&machine).unwrap().1.records, 10);
}

#[test]
fn damage_is_skipped_only_when_the_operator_says_so() {
    let machine = ten_records();
    machine.edit(&last_segment(&machine), |bytes| bytes[group_position(5)..][..1024].fill(0));
    let accepting = LogOptions { on_corruption: OnCorruption::Skip, ..options() };
    let (log, recovery) = Log::open(accepting, machine.disk()).unwrap();
    assert_eq!(recovery.lost.as_slice(), std::slice::from_ref(&(5..7)));
    assert_eq!(recovery.records, 8);
    assert_eq!(read_all(&log, 1), Ok(vec![1, 2, 3, 4, 7, 8, 9, 10]));
    assert_eq!(read_all(&log, 6), Ok(vec![7, 8, 9, 10]));
    assert_eq!(append(&log, record(11).as_bytes()), Ok(11));
}

#[test]
fn damage_to_consumed_records_is_no_loss() {
    let machine = ten_records();
    machine.edit(&last_segment(&machine), |bytes| bytes[group_position(5)] ^= 1);
    let consumed = LogOptions { consumed_before: Offset(6), ..options() };
    let (log, recovery) = Log::open(consumed, machine.disk()).unwrap();
    assert!(recovery.lost.is_empty());
    assert_eq!(read_all(&log, 6), Ok((6..=10).collect()));
}

#[test]
fn a_reader_meets_damage_while_the_log_runs() {
    let machine = Machine::new(1);
    let (log, _) = open(&machine).unwrap();
    append_many(&log, 10);
    machine.edit(&last_segment(&machine), |bytes| bytes[group_position(8) + 50] ^= 1);
    let Err(LogError::Corrupt(corruption)) = read_all(&log, 1) else { panic!("not noticed") };
    assert_eq!(corruption.lost, 8..9);
    assert_eq!(append(&log, b"the writer goes on"), Ok(11));
}

#[test]
fn a_truncated_file_is_damage() {
    let machine = ten_records();
    machine.edit(&last_segment(&machine), |bytes| bytes.truncate(group_position(8)));
    let Err(LogError::Corrupt(corruption)) = open(&machine) else { panic!("not noticed") };
    assert_eq!(corruption.position, group_position(8) as u64);
    let accepting = LogOptions { on_corruption: OnCorruption::Skip, ..options() };
    let (log, recovery) = Log::open(accepting, machine.disk()).unwrap();
    assert_eq!(recovery.next, Offset(8));
    assert_eq!(append(&log, record(8).as_bytes()), Ok(8));
    assert_eq!(read_all(&log, 1), Ok((1..=8).collect()));
}

/// A reader that asks for what the file no longer has must not ask for ever.
#[test]
fn a_file_cut_off_while_the_log_runs_costs_only_what_is_missing() {
    for (kept_of_the_last_group, lost) in [(400, None), (100, Some(10..11)), (20, Some(10..11))] {
        let machine = Machine::new(1);
        let (log, _) = open(&machine).unwrap();
        append_many(&log, 10);
        let end = group_position(10) + kept_of_the_last_group;
        machine.edit(&last_segment(&machine), |bytes| bytes.truncate(end));
        match (read_all(&log, 1), lost) {
            // Only padding is gone.
            (Ok(numbers), None) => assert_eq!(numbers, (1..=10).collect::<Vec<_>>()),
            (Err(LogError::Corrupt(corruption)), Some(lost)) => assert_eq!(corruption.lost, lost),
            (outcome, _) => panic!("{kept_of_the_last_group} bytes kept: {outcome:?}"),
        }
    }
}

#[test]
fn a_file_cut_off_behind_consumed_damage_is_damage() {
    let machine = ten_records();
    machine.edit(&last_segment(&machine), |bytes| {
        bytes[group_position(5)] ^= 1;
        bytes.truncate(group_position(10) + 400);
    });
    let consumed = LogOptions { consumed_before: Offset(6), ..options() };
    let Err(LogError::Corrupt(corruption)) = Log::open(consumed.clone(), machine.disk()) else {
        panic!("not noticed")
    };
    assert_eq!(corruption.position, (group_position(10) + 400) as u64);
    let accepting = LogOptions { on_corruption: OnCorruption::Skip, ..consumed };
    let (log, _) = Log::open(accepting, machine.disk()).unwrap();
    assert_eq!(read_all(&log, 6), Ok((6..=10).collect()));
}

#[test]
fn a_damaged_header_and_a_missing_middle_segment_are_damage() {
    let machine = Machine::new(1);
    let (log, _) = open(&machine).unwrap();
    append_many(&log, 70);
    log.close();
    let paths = segments(&machine);
    assert_eq!(paths.len(), 3);
    machine.edit(&paths[1], |bytes| bytes[20] ^= 1);
    let Err(LogError::Corrupt(corruption)) = open(&machine) else { panic!("not noticed") };
    assert_eq!((corruption.position, corruption.lost.start), (0, 25));
    assert!(corruption.to_string().ends_with("records 25 to 48 cannot be read"));
    machine.disk().remove(&paths[1]).unwrap();
    let Err(LogError::Corrupt(corruption)) = open(&machine) else { panic!("not noticed") };
    assert_eq!(corruption.lost, 25..49);
}

#[test]
fn a_stale_file_is_never_taken_for_new_records() {
    let machine = Machine::new(1);
    let (log, _) = open(&machine).unwrap();
    append_many(&log, 10);
    let old = machine.read(&last_segment(&machine)).unwrap();
    append_many(&log, 15);
    assert_eq!(log.scrub(Offset(1)), Ok(true));
    machine.kill();
    // The newest file gets the whole content that an older one had, behind its own first group.
    let path = last_segment(&machine);
    machine.edit(&path, |bytes| {
        let from = group_position(2);
        bytes[from..].copy_from_slice(&old[from..]);
    });
    let (log, recovery) = open(&machine).unwrap();
    assert_eq!(recovery.next, Offset(26));
    assert!(recovery.torn_bytes > 0);
    assert_eq!(read_all(&log, 1), Ok((1..=25).collect()));
}

#[test]
fn a_full_disk_refuses_quickly_and_recovers_by_itself() {
    let machine = Machine::new(1);
    let (log, _) = open(&machine).unwrap();
    append_many(&log, 2);
    machine.set_faults(Faults { full: true, ..Faults::default() });
    let refused = loop {
        let next = log.durable_end().0;
        match append(&log, record(next).as_bytes()) {
            Ok(number) => assert_eq!(number, next),
            Err(error) => break error,
        }
    };
    let LogError::Broken(failure) = refused else { panic!("{refused}") };
    assert!(failure.is_disk_full());
    assert_eq!(failure.operation, DiskOperation::Preallocate);
    assert!(!log.status().healthy);
    let end = log.durable_end().0;
    machine.set_faults(Faults::default());
    assert!(log.wait_healthy(PATIENCE));
    append_many(&log, 5);
    assert_eq!(read_all(&log, 1), Ok((1..end + 5).collect()));
}

#[test]
fn a_log_opens_and_reads_on_a_full_disk() {
    let machine = ten_records();
    machine.set_faults(Faults { full: true, ..Faults::default() });
    let (log, recovery) = open(&machine).unwrap();
    assert_eq!(recovery.records, 10);
    assert_eq!(read_all(&log, 1), Ok((1..=10).collect()));
    assert_eq!(append(&log, record(11).as_bytes()), Ok(11));
}

#[test]
fn a_failed_sync_fails_its_group_and_gives_its_number_to_the_next() {
    for power in [false, true] {
        let machine = Machine::new(7);
        let (log, _) = open(&machine).unwrap();
        append_many(&log, 3);
        machine.set_faults(Faults { syncs_fail: true, ..Faults::default() });
        let refused = append(&log, b"nobody is told this");
        assert!(matches!(refused, Err(LogError::Broken(failure))
            if failure.operation == DiskOperation::Sync && failure.code == Some(5)));
        assert_eq!(log.durable_end(), Offset(4));
        machine.set_faults(Faults::default());
        assert!(log.wait_healthy(PATIENCE));
        append_many(&log, 3);
        assert_eq!(read_all(&log, 1), Ok((1..=6).collect()));
        if power {
            machine.lose_power()
        } else {
            machine.kill()
        }
        let (log, recovery) = open(&machine).unwrap();
        assert_eq!(recovery.next, Offset(7));
        assert_eq!(read_all(&log, 1), Ok((1..=6).collect()));
    }
}

#[test]
fn a_read_only_directory_is_a_clear_error() {
    let machine = Machine::new(1);
    machine.set_faults(Faults { read_only: true, ..Faults::default() });
    let Err(LogError::Open(failure)) = open(&machine) else { panic!("it opened") };
    assert_eq!(failure.kind, std::io::ErrorKind::ReadOnlyFilesystem);
    let machine = ten_records();
    machine.set_faults(Faults { read_only: true, ..Faults::default() });
    let Err(LogError::Open(failure)) = open(&machine) else { panic!("it opened") };
    assert_eq!(failure.kind, std::io::ErrorKind::ReadOnlyFilesystem);
    let refused = Log::open(LogOptions::new("/proc/no/such/place"), Arc::new(RealDisk));
    assert!(matches!(refused, Err(LogError::Open(_))));
}

#[test]
fn a_slow_reader_fills_the_log_and_a_trim_empties_it() {
    let machine = Machine::new(1);
    let (log, _) = open(&machine).unwrap();
    let refused = loop {
        let next = log.durable_end().0;
        match append(&log, record(next).as_bytes()) {
            Ok(_) => assert!(log.size_bytes() <= options().size_bytes_max),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, LogError::Full);
    let end = log.durable_end().0;
    assert_eq!(end, 1 + 4 * 24, "four segments of 24 groups");
    assert!(log.status().full);
    assert_eq!(append(&log, b"x"), Err(LogError::Full));
    log.trim(Offset(40));
    assert!(log.wait_healthy(PATIENCE));
    append_many(&log, 24);
    assert_eq!(read_all(&log, 40), Ok((40..end + 24).collect()));
    let trimmed = LogError::Trimmed { first_available: Offset(25) };
    assert_eq!(read_all(&log, 1), Err(trimmed));
}

fn holds(machine: &Machine, needle: &[u8]) -> bool {
    let files = machine.files();
    assert!(!files.is_empty());
    files.iter().any(|path| {
        let bytes = machine.read(path).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn scrubbed_records_are_in_no_file_and_their_numbers_are_not_used_again() {
    let machine = Machine::new(1);
    let (log, _) = open(&machine).unwrap();
    append_many(&log, 30);
    assert!(holds(&machine, b"canary 30 ") && holds(&machine, b"canary 1 "));
    log.trim(Offset(30));
    assert_eq!(log.scrub(Offset(30)), Ok(false), "record 30 is not trimmed and shares a file");
    assert!(!holds(&machine, b"canary 1 ") && holds(&machine, b"canary 30 "));
    log.trim(Offset(31));
    assert_eq!(log.scrub(Offset(31)), Ok(true));
    assert!(!holds(&machine, b"canary"));
    assert!(log.size_bytes() <= 2 * options().segment_size_bytes);
    machine.lose_power();
    let (log, recovery) = open(&machine).unwrap();
    assert_eq!((recovery.next, recovery.first, recovery.records), (Offset(31), Offset(31), 0));
    assert_eq!(append(&log, b"x"), Ok(31));
}

#[test]
fn an_idle_log_empties_itself_once_everything_is_trimmed() {
    let machine = Machine::new(1);
    let idle = LogOptions { idle_scrub_after: Duration::from_millis(1), ..options() };
    let (log, _) = Log::open(idle, machine.disk()).unwrap();
    append_many(&log, 5);
    log.trim(log.durable_end());
    // Its file is gone, in name, when the log's first record is the next one.
    while log.first() != Offset(6) {
        std::thread::yield_now();
    }
    assert_eq!(log.scrub(Offset(6)), Ok(true));
    assert!(!holds(&machine, b"canary"));
}

#[test]
fn numbers_go_on_even_if_the_files_were_lost() {
    let machine = Machine::new(1);
    let consumed = LogOptions { consumed_before: Offset(500), ..options() };
    let (log, recovery) = Log::open(consumed, machine.disk()).unwrap();
    assert_eq!(recovery.next, Offset(500));
    assert_eq!(append(&log, b"x"), Ok(500));
}

#[test]
fn nobody_waits_for_a_writer_that_ended_unexpectedly() {
    let machine = Machine::new(1);
    let (log, _) = open(&machine).unwrap();
    append_many(&log, 2);
    machine.set_faults(Faults { writes_panic: true, ..Faults::default() });
    assert_eq!(append(&log, b"x"), Err(LogError::Closed));
    assert_eq!(append(&log, b"x"), Err(LogError::Closed));
    assert!(!log.status().healthy);
}

#[test]
fn limits_and_closing_are_told_apart() {
    let machine = Machine::new(1);
    let (log, _) = open(&machine).unwrap();
    assert!(matches!(append(&log, &[0; 2001]), Err(LogError::TooLarge { .. })));
    let much: Vec<&[u8]> = vec![&[0; 2000]; 5];
    let refused = block_on(async { log.appender().append(much).await });
    assert!(matches!(refused, Err(LogError::TooLarge { size_bytes: 10020, .. })));
    let none: [&[u8]; 0] = [];
    assert_eq!(block_on(async { log.appender().append(none).await }), Ok(1..1));
    assert!(matches!(open(&machine), Err(LogError::InUse)));
    log.close();
    assert_eq!(append(&log, b"x"), Err(LogError::Closed));
    assert!(!log.wait_durable_after(Offset(0), PATIENCE));
    assert!(open(&machine).is_ok());
    let odd = LogOptions { segment_size_bytes: 5000, ..options() };
    assert!(matches!(Log::open(odd, machine.disk()), Err(LogError::Options(_))));
}
