//! The log as its users see it; the parts are put together here.

use std::any::Any;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::appender::Appender;
use crate::disk::{Disk, write_zeros};
use crate::error::{DiskFailure, DiskOperation, LogError};
use crate::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::options::{LogOptions, Offset};
use crate::pool::{Pool, SPARE_PREFIX, Spare};
use crate::queue::{Queue, QueueState, lock};
use crate::reader::Reader;
use crate::recovery::{Found, Recovered, Recovery, recover};
use crate::segments::{Segment, Segments};
use crate::status::{Counters, LogStatus};
use crate::writer::{ROLL_LOOK_EVERY, ROLL_WAIT_MAX, Writer, make_segment};

/// What the threads and handles of one log share.
pub(crate) struct Shared {
    pub options: LogOptions,
    pub queue: Queue,
    pub segments: Segments,
    pub pool: Pool,
    pub status: Counters,
}

impl Shared {
    /// Hands segments that nobody needs to the pool.
    pub fn retire_trimmed(&self) {
        self.pool.retire(self.segments.trim(0));
    }
}

struct Handle {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Keeps other processes out; dropped when the threads have ended.
    directory_lock: Mutex<Option<Box<dyn Any + Send + Sync>>>,
}

impl Handle {
    fn close(&self) {
        self.shared.queue.start_closing();
        self.shared.pool.nudge();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the log ended unexpectedly");
            }
        }
        lock(&self.directory_lock).take();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// A durable log of opaque records. Cheap to clone; closed when the last clone is dropped.
#[derive(Clone)]
pub struct Log {
    handle: Arc<Handle>,
}

impl Log {
    /// Opens or makes the log in `options.directory` and starts its two threads.
    pub fn open(options: LogOptions, disk: Arc<dyn Disk>) -> Result<(Self, Recovery), LogError> {
        options.check()?;
        let failed = |error: std::io::Error| {
            LogError::Open(DiskFailure::new(DiskOperation::Directory, &error))
        };
        disk.create_directory(&options.directory).map_err(failed)?;
        let directory_lock = disk.lock(&options.directory).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => LogError::InUse,
            _ => failed(error),
        })?;
        let mut recovered = recover(&options, &*disk)?;
        prepare(&options, &*disk, &mut recovered)?;
        let Some(current) = recovered.segments.last() else {
            return Err(LogError::Options("no segment"));
        };
        let next = recovered.report.next.0;
        let current = (Arc::clone(&current.segment), current.limit);
        let files = recovered.segments.len() + recovered.obsolete.len();
        let segments =
            recovered.segments.into_iter().map(|found| (found.segment, found.limit)).collect();
        let shared = Arc::new(Shared {
            queue: Queue::new(options.batch_size_bytes_max),
            segments: Segments::new(segments, next, options.consumed_before.0),
            pool: Pool::new(Arc::clone(&disk), &options, files),
            status: Counters::default(),
            options,
        });
        shared.pool.retire(recovered.obsolete);
        shared.retire_trimmed();
        let writer = Writer {
            shared: Arc::clone(&shared),
            disk,
            current: current.0,
            position: current.1,
            next,
            generation: recovered.generation,
            spoiled: false,
        };
        let threads = Mutex::new(start_threads(&shared, writer)?);
        let directory_lock = Mutex::new(Some(directory_lock));
        let handle = Arc::new(Handle { shared, threads, directory_lock });
        Ok((Self { handle }, recovered.report))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// A way to add records; make one on every runtime, inside it.
    pub fn appender(&self) -> Appender {
        Appender::new(Arc::clone(self.shared()))
    }

    /// Number of the record behind the last durable one.
    pub fn durable_end(&self) -> Offset {
        Offset(self.shared().segments.durable_end())
    }

    /// Blocks until a record with a larger number is durable; false if the time is over or the log
    /// is closed before. For a thread of its own, not for a runtime's.
    pub fn wait_durable_after(&self, offset: Offset, timeout: Duration) -> bool {
        self.shared().segments.wait_durable_after(offset.0, timeout)
    }

    /// Blocks until appends are taken; false if the time is over or the log is closed before.
    pub fn wait_healthy(&self, timeout: Duration) -> bool {
        self.shared().queue.wait_open(timeout)
    }

    /// Reads from a record on. The number may lie ahead of the log's end.
    pub fn reader(&self, from: Offset) -> Reader {
        Reader::new(Arc::clone(self.shared()), from)
    }

    /// Number of the oldest record in any file.
    pub fn first(&self) -> Offset {
        Offset(self.shared().segments.first())
    }

    /// Records before this one are not needed any more. Returns at once; whole segments of them are
    /// emptied in the background, one of them is kept for later.
    pub fn trim(&self, before: Offset) {
        self.shared().pool.retire(self.shared().segments.trim(before.0));
    }

    /// Makes sure that no file holds a record before `before`, as far as such records are trimmed:
    /// begins a new segment if the current one holds any, and waits (at most ten seconds) until
    /// trimmed segments are overwritten. True if nothing is left; false if records before `before`,
    /// or records that share a segment with them, still wait for a trim: trim further, then ask again.
    pub fn scrub(&self, before: Offset) -> Result<bool, LogError> {
        let shared = self.shared();
        let deadline = Instant::now() + ROLL_WAIT_MAX;
        let before = before.0.min(shared.segments.durable_end());
        if shared.segments.current_base() < before {
            shared.queue.request_roll();
            while !shared.segments.wait_rolled(before, ROLL_LOOK_EVERY) {
                if let Some(error) = shared.queue.roll_refusal() {
                    return Err(error);
                }
                if Instant::now() >= deadline {
                    return Ok(false);
                }
            }
        }
        shared.retire_trimmed();
        let emptied = shared.pool.wait_retired(deadline)?;
        Ok(emptied && shared.segments.first() >= before)
    }

    /// All files of the log, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.shared().pool.size_bytes()
    }

    /// Room for more records, in whole segments, in bytes.
    pub fn capacity_left_bytes(&self) -> u64 {
        let segments = self.shared().pool.segments_left() as u64;
        segments * self.shared().options.segment_size_bytes
    }

    /// The state for readiness and metrics.
    pub fn status(&self) -> LogStatus {
        let shared = self.shared();
        let refusal = match shared.queue.state() {
            QueueState::Open => None,
            QueueState::Suspended(error) => Some(error),
            QueueState::Closing | QueueState::Closed => Some(LogError::Closed),
        };
        LogStatus {
            healthy: refusal.is_none() && !shared.status.writer_lost.load(Ordering::Relaxed),
            full: matches!(refusal, Some(LogError::Full)),
            refusal,
            size_bytes: self.size_bytes(),
            capacity_left_bytes: self.capacity_left_bytes(),
            durable_end: self.durable_end(),
            first: self.first(),
            groups: shared.status.groups(),
            records: shared.status.records(),
            written_bytes: shared.status.written_bytes(),
            sync_p50_us: shared.status.sync_us(500),
            sync_p99_us: shared.status.sync_us(990),
        }
    }

    /// Makes everything that was appended durable, tells its waiters and ends the threads. Appends
    /// give [`LogError::Closed`] from then on; readers still work.
    pub fn close(&self) {
        self.handle.close();
    }
}

/// Makes sure that there is a segment to go on in.
fn prepare(
    options: &LogOptions,
    disk: &dyn Disk,
    recovered: &mut Recovered,
) -> Result<(), LogError> {
    let next = recovered.report.next.0;
    if recovered.continues {
        return Ok(());
    }
    let path = options.directory.join(format!("{SPARE_PREFIX}first.log"));
    let failed = |error: std::io::Error| {
        let _ = disk.remove(&path);
        LogError::Open(DiskFailure::new(DiskOperation::Preallocate, &error))
    };
    let file = disk.create(&path).map_err(failed)?;
    write_zeros(&*file, 0, options.segment_size_bytes)
        .and_then(|()| file.sync_data())
        .map_err(failed)?;
    let mut spare = Spare { path: path.clone(), file: Arc::from(file) };
    recovered.generation += 1;
    let header = SegmentHeader {
        base: next,
        generation: recovered.generation,
        size_bytes: options.segment_size_bytes,
    };
    let segment: Arc<Segment> =
        make_segment(disk, &options.directory, &mut spare, header).map_err(LogError::Open)?;
    let limit = SEGMENT_HEADER_BYTES as u64;
    recovered.segments.push(Found { segment, limit });
    Ok(())
}

fn start_threads(shared: &Arc<Shared>, writer: Writer) -> Result<Vec<JoinHandle<()>>, LogError> {
    let failed = |error: std::io::Error| {
        shared.pool.close();
        LogError::Open(DiskFailure::new(DiskOperation::Directory, &error))
    };
    let pool = Arc::clone(shared);
    let preparer = std::thread::Builder::new()
        .name("log-files".to_owned())
        .spawn(move || pool.pool.run())
        .map_err(failed)?;
    let writing = std::thread::Builder::new()
        .name("log-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(failed)?;
    Ok(vec![writing, preparer])
}
