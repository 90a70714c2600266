//! The buffer that appenders fill while the writer writes the one before it.
//!
//! Guarantees: a record is in exactly one group; nobody waits under the lock for the device; the
//! writer is woken at most once per group, and while it is busy not at all.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::appender::{AppenderCore, Outcome};
use crate::error::LogError;
use crate::format::{FRAME_HEADER_BYTES, start_frame};

/// Below this many records in flight a group is never held back.
const GATHER_RECORDS_MIN: u32 = 4;

/// Each record of the group before buys the next group this much more time: a sync costs as much as some records, so
/// that the busier the log is, the fewer syncs a record has to pay for.
const GATHER_DELAY_PER_RECORD: Duration = Duration::from_micros(16);

/// The same for a busy log: so many times the time given, and no longer.
const GATHER_DELAY_FACTOR_MAX: u32 = 4;

/// Takes a lock whose holder may have panicked: every critical section leaves its data whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records that are written and acknowledged together.
pub(crate) struct Group {
    /// Room for a frame's header, then the records.
    pub bytes: Vec<u8>,
    pub records: u32,
    /// Distinguishes groups for their waiters; grows by one per group.
    pub number: u64,
    /// Whom to tell.
    pub appenders: Vec<Arc<AppenderCore>>,
}

/// How long a group may be held back.
fn gather_delay(last_records: u32, delay: Duration) -> Duration {
    let busy = GATHER_DELAY_PER_RECORD.saturating_mul(last_records);
    delay.saturating_add(busy).min(delay.saturating_mul(GATHER_DELAY_FACTOR_MAX))
}

impl Group {
    pub fn new(number: u64) -> Self {
        let mut bytes = Vec::new();
        start_frame(&mut bytes);
        Self { bytes, records: 0, number, appenders: Vec::new() }
    }

    fn payload_bytes(&self) -> usize {
        self.bytes.len() - FRAME_HEADER_BYTES
    }

    /// Tells the waiters how it went, once.
    pub fn tell(&mut self, outcome: &Outcome) {
        for appender in self.appenders.drain(..) {
            appender.complete(self.number, outcome);
        }
    }
}

impl Drop for Group {
    /// Whoever was not told, because the writer ended unexpectedly, does not wait for ever.
    fn drop(&mut self) {
        self.tell(&Err(LogError::Closed));
    }
}

#[derive(Clone, Debug)]
pub(crate) enum QueueState {
    Open,
    /// The writer cannot write at the moment: fail fast.
    Suspended(LogError),
    /// The writer empties the queue and ends.
    Closing,
    Closed,
}

enum WriterWait {
    Busy,
    Idle,
    Gathering { records: u32 },
}

pub(crate) struct QueueInner {
    pub state: QueueState,
    filling: Group,
    spare_bytes: Vec<u8>,
    spare_appenders: Vec<Arc<AppenderCore>>,
    writer: WriterWait,
    roll_requested: bool,
    /// Why the last request came to nothing.
    roll_refusal: Option<LogError>,
    batch_size_bytes_max: usize,
}

/// What the writer should do next.
pub(crate) enum Work {
    Commit(Group),
    /// Begin a new segment although this one has room.
    Roll,
    /// Nothing came for the time given.
    Idle,
    Close,
}

/// Where an append landed.
pub(crate) struct Place {
    pub group: u64,
    /// Position of its first record among the group's records.
    pub index: u32,
}

pub(crate) struct Queue {
    inner: Mutex<QueueInner>,
    writer_signal: Condvar,
    state_changed: Condvar,
}

impl Queue {
    pub fn new(batch_size_bytes_max: usize) -> Self {
        Self {
            inner: Mutex::new(QueueInner {
                state: QueueState::Open,
                filling: Group::new(0),
                spare_bytes: Vec::new(),
                spare_appenders: Vec::new(),
                writer: WriterWait::Busy,
                roll_requested: false,
                roll_refusal: None,
                batch_size_bytes_max,
            }),
            writer_signal: Condvar::new(),
            state_changed: Condvar::new(),
        }
    }

    pub fn state(&self) -> QueueState {
        lock(&self.inner).state.clone()
    }

    /// Adds encoded records to the group being filled.
    pub fn push(
        &self,
        payload: &[u8],
        records: u32,
        appender: &Arc<AppenderCore>,
    ) -> Result<Place, LogError> {
        let mut inner = lock(&self.inner);
        match &inner.state {
            QueueState::Open => {}
            QueueState::Suspended(error) => return Err(error.clone()),
            QueueState::Closing | QueueState::Closed => return Err(LogError::Closed),
        }
        if inner.filling.payload_bytes() + payload.len() > inner.batch_size_bytes_max {
            return Err(LogError::Busy);
        }
        let group = &mut inner.filling;
        let place = Place { group: group.number, index: group.records };
        group.bytes.extend_from_slice(payload);
        group.records += records;
        if !group.appenders.iter().any(|known| Arc::ptr_eq(known, appender)) {
            group.appenders.push(Arc::clone(appender));
        }
        let ready = match inner.writer {
            WriterWait::Busy => false,
            WriterWait::Idle => true,
            WriterWait::Gathering { records } => {
                inner.filling.records >= records
                    || inner.filling.payload_bytes() > inner.batch_size_bytes_max / 2
            }
        };
        if ready {
            inner.writer = WriterWait::Busy;
            drop(inner);
            self.writer_signal.notify_one();
        }
        Ok(place)
    }

    /// Waits for the next thing to do. `last_records`: size of the group just finished, which is how
    /// many records a closed loop of clients is about to send again. `delay_max`: see `gather_delay`.
    pub fn next_work(&self, last_records: u32, delay_max: Duration, idle_max: Duration) -> Work {
        let mut inner = lock(&self.inner);
        let target = last_records.saturating_add(inner.filling.records);
        if target >= GATHER_RECORDS_MIN && !delay_max.is_zero() {
            inner = self.gather(inner, target, gather_delay(last_records, delay_max));
        }
        let deadline = Instant::now() + idle_max;
        loop {
            // First, or steady traffic would put it off for ever.
            if inner.roll_requested {
                inner.roll_requested = false;
                return Work::Roll;
            }
            if inner.filling.records > 0 {
                return Work::Commit(inner.take_group());
            }
            if matches!(inner.state, QueueState::Closing | QueueState::Closed) {
                return Work::Close;
            }
            let now = Instant::now();
            if now >= deadline {
                return Work::Idle;
            }
            inner.writer = WriterWait::Idle;
            let waited = self.writer_signal.wait_timeout(inner, deadline - now);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
            inner.writer = WriterWait::Busy;
        }
    }

    /// Holds the group back until as many records are there as were in flight, or the time is over.
    fn gather<'a>(
        &'a self,
        mut inner: MutexGuard<'a, QueueInner>,
        target: u32,
        delay_max: Duration,
    ) -> MutexGuard<'a, QueueInner> {
        let deadline = Instant::now() + delay_max;
        loop {
            let enough = inner.filling.records >= target
                || inner.filling.payload_bytes() > inner.batch_size_bytes_max / 2
                || inner.roll_requested
                || !matches!(inner.state, QueueState::Open);
            let now = Instant::now();
            if enough || now >= deadline {
                inner.writer = WriterWait::Busy;
                return inner;
            }
            inner.writer = WriterWait::Gathering { records: target };
            let waited = self.writer_signal.wait_timeout(inner, deadline - now);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gives a finished group's memory back.
    pub fn recycle(&self, mut group: Group) {
        if group.bytes.capacity() > 1 << 20 {
            group.bytes.shrink_to(1 << 20);
        }
        let mut inner = lock(&self.inner);
        inner.spare_bytes = std::mem::take(&mut group.bytes);
        inner.spare_appenders = std::mem::take(&mut group.appenders);
    }

    /// Refuses appends from now on and hands out what was waiting, so that it can be told.
    pub fn suspend(&self, error: LogError) -> Group {
        let mut inner = lock(&self.inner);
        if matches!(inner.state, QueueState::Open | QueueState::Suspended(_)) {
            inner.state = QueueState::Suspended(error);
        }
        inner.take_group()
    }

    /// The reason for refusing has changed.
    pub fn explain(&self, error: LogError) {
        let mut inner = lock(&self.inner);
        if matches!(inner.state, QueueState::Suspended(_)) {
            inner.state = QueueState::Suspended(error);
        }
    }

    /// Takes appends again.
    pub fn resume(&self) {
        let mut inner = lock(&self.inner);
        if matches!(inner.state, QueueState::Suspended(_)) {
            inner.state = QueueState::Open;
        }
        drop(inner);
        self.state_changed.notify_all();
    }

    /// Blocks until appends are taken, nobody will take any, or the time is over.
    pub fn wait_open(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut inner = lock(&self.inner);
        loop {
            match inner.state {
                QueueState::Open => return true,
                QueueState::Suspended(_) => {}
                QueueState::Closing | QueueState::Closed => return false,
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            let waited = self.state_changed.wait_timeout(inner, deadline - now);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes no more appends; the writer finishes what is there and ends.
    pub fn start_closing(&self) {
        let mut inner = lock(&self.inner);
        if !matches!(inner.state, QueueState::Closed) {
            inner.state = QueueState::Closing;
        }
        drop(inner);
        self.writer_signal.notify_one();
    }

    /// The writer has ended: hands out what nobody will write.
    pub fn finish_closing(&self) -> Group {
        let mut inner = lock(&self.inner);
        inner.state = QueueState::Closed;
        self.state_changed.notify_all();
        inner.take_group()
    }

    pub fn is_closing(&self) -> bool {
        matches!(lock(&self.inner).state, QueueState::Closing | QueueState::Closed)
    }

    /// Asks the writer to begin a new segment.
    pub fn request_roll(&self) {
        let mut inner = lock(&self.inner);
        inner.roll_requested = true;
        inner.roll_refusal = None;
        drop(inner);
        self.writer_signal.notify_one();
    }

    /// The writer could not begin a new segment.
    pub fn refuse_roll(&self, error: LogError) {
        lock(&self.inner).roll_refusal = Some(error);
    }

    /// Why a requested segment will not be begun soon.
    pub fn roll_refusal(&self) -> Option<LogError> {
        let inner = lock(&self.inner);
        match &inner.state {
            QueueState::Open => inner.roll_refusal.clone(),
            QueueState::Suspended(error) => Some(error.clone()),
            QueueState::Closing | QueueState::Closed => Some(LogError::Closed),
        }
    }
}

impl QueueInner {
    fn take_group(&mut self) -> Group {
        let mut bytes = std::mem::take(&mut self.spare_bytes);
        start_frame(&mut bytes);
        let next = Group {
            bytes,
            records: 0,
            number: self.filling.number + 1,
            appenders: std::mem::take(&mut self.spare_appenders),
        };
        std::mem::replace(&mut self.filling, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busier_log_gathers_for_longer_up_to_a_bound() {
        let delay = Duration::from_millis(1);
        let micros = |records| gather_delay(records, delay).as_micros();
        assert_eq!(
            [0, 10, 100, 187, 188, u32::MAX].map(micros),
            [1000, 1160, 2600, 3992, 4000, 4000]
        );
        assert!(gather_delay(1000, Duration::ZERO).is_zero());
    }
}
