//! Counters for readiness and metrics; reading them stops nobody.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::Offset;

/// How the log is at this moment.
#[derive(Clone, Debug)]
pub struct LogStatus {
    /// Appends are taken.
    pub healthy: bool,
    /// Appends are refused because `size_bytes_max` is reached.
    pub full: bool,
    /// Why appends are refused, if they are.
    pub refusal: Option<crate::LogError>,
    /// All files of the log, the prepared one included, in bytes.
    pub size_bytes: u64,
    /// Room for more, in whole segments, in bytes.
    pub capacity_left_bytes: u64,
    /// Number of the record behind the last durable one.
    pub durable_end: Offset,
    /// Number of the oldest record in any file.
    pub first: Offset,
    /// Groups made durable since the log was opened.
    pub groups: u64,
    /// Records made durable since the log was opened.
    pub records: u64,
    /// Bytes of groups written since the log was opened, padding included.
    pub written_bytes: u64,
    /// Half of the groups were written and synced faster, in microseconds (within 25 %).
    pub sync_p50_us: u64,
    /// 99 of 100 groups were written and synced faster, in microseconds (within 25 %).
    pub sync_p99_us: u64,
}

const STEPS_PER_DOUBLING: usize = 4;
const BUCKETS: usize = 32 * STEPS_PER_DOUBLING;

pub(crate) struct Counters {
    groups: AtomicU64,
    records: AtomicU64,
    written_bytes: AtomicU64,
    sync_us: [AtomicU64; BUCKETS],
    pub writer_lost: AtomicBool,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            groups: AtomicU64::new(0),
            records: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            sync_us: [const { AtomicU64::new(0) }; BUCKETS],
            writer_lost: AtomicBool::new(false),
        }
    }
}

/// Upper bound of a bucket, in microseconds: four steps per doubling.
fn bucket_end(bucket: usize) -> u64 {
    let quarter = (bucket % STEPS_PER_DOUBLING + 1) as u64;
    let doubling = 4u64 << (bucket / STEPS_PER_DOUBLING);
    doubling + doubling * quarter / STEPS_PER_DOUBLING as u64
}

fn bucket_of(value_us: u64) -> usize {
    if value_us < 4 {
        return 0;
    }
    let doubling = value_us.ilog2() as usize;
    let quarter = ((value_us >> (doubling - 2)) & 3) as usize;
    ((doubling - 2) * STEPS_PER_DOUBLING + quarter).min(BUCKETS - 1)
}

impl Counters {
    pub fn group_done(&self, records: u32, size_bytes: u64, duration: Duration) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(u64::from(records), Ordering::Relaxed);
        self.written_bytes.fetch_add(size_bytes, Ordering::Relaxed);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sync_us[bucket_of(micros)].fetch_add(1, Ordering::Relaxed);
    }

    pub fn groups(&self) -> u64 {
        self.groups.load(Ordering::Relaxed)
    }

    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    pub fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    /// Upper bound of the bucket in which a share of the durations, in thousandths, is reached.
    pub fn sync_us(&self, thousandths: u64) -> u64 {
        let counts: Vec<u64> =
            self.sync_us.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let mut seen = 0;
        for (bucket, count) in counts.iter().enumerate() {
            seen += count;
            if total > 0 && seen * 1000 >= total * thousandths {
                return bucket_end(bucket);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_values_within_a_quarter() {
        for value in (0..4000).chain([1 << 20, (1 << 30) + 12345]) {
            let end = bucket_end(bucket_of(value));
            assert!(end > value, "{value} is not below {end}");
            assert!(end <= (value + value / 4 + 1).max(5), "{value} is far below {end}");
        }
    }

    #[test]
    fn percentiles_come_from_the_counts() {
        let counters = Counters::default();
        assert_eq!(counters.sync_us(500), 0);
        for micros in [100, 100, 100, 100, 9000] {
            counters.group_done(1, 512, Duration::from_micros(micros));
        }
        assert!((100..=128).contains(&counters.sync_us(500)));
        assert!((9000..=11000).contains(&counters.sync_us(990)));
        assert_eq!((counters.groups(), counters.written_bytes()), (5, 2560));
    }
}
