//! Measures the index of event keys: CPU per key, memory, disk.
//!
//! `cargo run --release -p cairn_store --example event_ids -- [directory] [keys] [days]`
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cairn_store::event_ids::EventIds;
use cairn_store::reference::ReferenceStore;

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn key(number: u64) -> u128 {
    let mix = |n: u64| {
        let z = n.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb)
    };
    u128::from(mix(number)) << 64 | u128::from(mix(!number))
}

fn resident_mb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory =
        arguments.next().map_or_else(|| PathBuf::from("target/event_ids"), PathBuf::from);
    let keys: u64 = arguments.next().map_or(Ok(3_000_000), |text| text.parse())?;
    let days: u64 = arguments.next().map_or(Ok(7), |text| text.parse())?;
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    let store = ReferenceStore::new();
    let ids = EventIds::open(&directory, &store)?;
    let at = |number: u64| (20_000 * 86_400_000 + number * days * 86_400_000 / keys) as i64;
    let (cpu, mut lookups, mut wrong) = (cpu_time(), Duration::ZERO, 0);
    let mut batch = Vec::new();
    for first in (1..=keys).step_by(12_500) {
        batch.clear();
        batch.extend((first..(first + 12_500).min(keys + 1)).map(|n| (key(n), n, at(n))));
        let start = Instant::now();
        wrong += batch.iter().filter(|(key, _, at)| ids.contains(*key, *at)).count();
        lookups += start.elapsed();
        ids.insert_committed(&batch);
    }
    ids.settle();
    let total = cpu_time() - cpu;
    let per_key = |time: Duration| time.as_secs_f64() * 1e6 / keys as f64;
    println!("{keys} keys over {days} days, {wrong} wrongly known");
    println!(
        "CPU per key, all included: {:.3} µs (asking before inserting: {:.3} µs)",
        per_key(total),
        per_key(lookups)
    );
    let start = Instant::now();
    let missing = (1..=keys).filter(|n| !ids.contains(key(*n), at(keys))).count();
    println!("asking for a known key: {:.3} µs, {missing} missing", per_key(start.elapsed()));
    let (written, files) = ids.written();
    let sizes = std::fs::read_dir(&directory)?.flatten().flat_map(|entry| entry.metadata());
    let bytes: u64 = sizes.map(|metadata| metadata.len()).sum();
    println!("{written} keys in {files} files, {:.2} bytes per key", bytes as f64 / written as f64);
    println!(
        "memory of the tables: {:.2} MB; resident {} MB, at most {} MB",
        ids.memory_bytes() as f64 / 1e6,
        resident_mb("VmRSS:"),
        resident_mb("VmHWM:")
    );
    Ok(())
}
