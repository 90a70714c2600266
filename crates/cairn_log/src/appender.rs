//! Where requests wait for their group.
//!
//! Guarantees: a future resolves only with the outcome of the group that holds all its records; it
//! may be dropped at any time (its records may then be durable or not, like those of a client that
//! went away). One finished group costs one wake from the writer's thread per appender: a small task
//! on the appender's own runtime wakes the requests, where a wake is a push to a local queue.
//!
//! Does not know: what is in the records.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use crate::error::LogError;
use crate::format::{RECORD_PREFIX_BYTES, push_record};
use crate::log::Shared;
use crate::queue::lock;

thread_local! {
    static ENCODED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Number of the group's first record, or why it was not stored.
pub(crate) type Outcome = Result<u64, LogError>;

/// The waiters of one appender in one group.
struct Waiting {
    group: u64,
    outcome: Option<Outcome>,
    /// One place per append, filled when its future is polled before the outcome is known.
    wakers: Vec<Option<Waker>>,
    /// Futures that have neither resolved nor been dropped.
    open: usize,
}

#[derive(Default)]
struct AppenderState {
    waiting: VecDeque<Waiting>,
    spare_wakers: Vec<Vec<Option<Waker>>>,
    /// True while a task on the appender's runtime passes wakes on.
    dispatched: bool,
    dispatcher: Option<Waker>,
}

/// The part of an appender that the writer knows.
#[derive(Default)]
pub(crate) struct AppenderCore {
    state: Mutex<AppenderState>,
}

impl AppenderCore {
    /// Tells the waiters of a group how it went. Called by the writer's thread.
    pub fn complete(&self, group: u64, outcome: &Outcome) {
        let mut state = lock(&self.state);
        let Some(at) = state.waiting.iter().position(|entry| entry.group == group) else {
            return;
        };
        if state.waiting[at].open == 0 {
            state.waiting.remove(at);
            return;
        }
        state.waiting[at].outcome = Some(outcome.clone());
        if !state.dispatched {
            drop(state);
            self.wake_waiters(&mut Vec::new());
            return;
        }
        let dispatcher = state.dispatcher.take();
        drop(state);
        if let Some(waker) = dispatcher {
            waker.wake();
        }
    }

    /// Wakes everybody whose outcome is known.
    fn wake_waiters(&self, ready: &mut Vec<Waker>) {
        let mut state = lock(&self.state);
        for entry in state.waiting.iter_mut().filter(|entry| entry.outcome.is_some()) {
            ready.extend(entry.wakers.drain(..).flatten());
        }
        drop(state);
        for waker in ready.drain(..) {
            waker.wake();
        }
    }

    fn release(state: &mut AppenderState, at: usize) {
        let entry = &mut state.waiting[at];
        entry.open -= 1;
        if entry.open == 0
            && entry.outcome.is_some()
            && let Some(mut entry) = state.waiting.remove(at)
        {
            entry.wakers.clear();
            if state.spare_wakers.len() < 4 {
                state.spare_wakers.push(entry.wakers);
            }
        }
    }
}

impl Drop for AppenderCore {
    fn drop(&mut self) {
        if let Some(waker) = lock(&self.state).dispatcher.take() {
            waker.wake();
        }
    }
}

/// The task that passes one wake of the writer on to all requests of its runtime.
struct Dispatcher {
    core: Weak<AppenderCore>,
    ready: Vec<Waker>,
}

impl Future for Dispatcher {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(core) = self.core.upgrade() else { return Poll::Ready(()) };
        lock(&core.state).dispatcher = Some(context.waker().clone());
        core.wake_waiters(&mut self.ready);
        Poll::Pending
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        if let Some(core) = self.core.upgrade() {
            let mut state = lock(&core.state);
            state.dispatched = false;
            state.dispatcher = None;
            drop(state);
            core.wake_waiters(&mut self.ready);
        }
    }
}

/// Adds records to the log; one per runtime, cheap to clone within it.
#[derive(Clone)]
pub struct Appender {
    shared: Arc<Shared>,
    core: Arc<AppenderCore>,
}

impl Appender {
    /// Inside a tokio runtime, starts the task that passes wakes on there.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let core = Arc::new(AppenderCore::default());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            lock(&core.state).dispatched = true;
            runtime.spawn(Dispatcher { core: Arc::downgrade(&core), ready: Vec::new() });
        }
        Self { shared, core }
    }

    /// Adds records to the current group at once; the future waits until that group is durable and
    /// gives their numbers.
    ///
    /// The records of one append are in one group and so are durable together or not at all. When
    /// the future gives an error, or is dropped, nobody was told that they are stored: after a crash
    /// they may turn up as a whole or not.
    pub fn append<'a>(&self, records: impl IntoIterator<Item = &'a [u8]>) -> Append {
        let mut encoded = ENCODED.take();
        encoded.clear();
        let state = match self.encode(records, &mut encoded) {
            Ok(0) => {
                let next = self.shared.segments.durable_end();
                AppendState::Done(Some(Ok(next..next)))
            }
            Ok(count) => self.enqueue(&encoded, count),
            Err(error) => AppendState::Done(Some(Err(error))),
        };
        if encoded.capacity() <= 64 << 10 {
            ENCODED.set(encoded);
        }
        Append { core: Arc::clone(&self.core), state }
    }

    fn encode<'a>(
        &self,
        records: impl IntoIterator<Item = &'a [u8]>,
        encoded: &mut Vec<u8>,
    ) -> Result<u32, LogError> {
        let options = &self.shared.options;
        let mut count = 0;
        for record in records {
            let total = encoded.len() + RECORD_PREFIX_BYTES + record.len();
            if record.len() > options.record_size_bytes_max {
                return Err(LogError::TooLarge {
                    size_bytes: record.len(),
                    size_bytes_max: options.record_size_bytes_max,
                });
            }
            if total > options.batch_size_bytes_max {
                return Err(LogError::TooLarge {
                    size_bytes: total,
                    size_bytes_max: options.batch_size_bytes_max,
                });
            }
            push_record(encoded, record);
            count += 1;
        }
        Ok(count)
    }

    fn enqueue(&self, encoded: &[u8], count: u32) -> AppendState {
        // Held over the push, so that the writer cannot finish the group before its waiter is known.
        let mut state = lock(&self.core.state);
        let place = match self.shared.queue.push(encoded, count, &self.core) {
            Ok(place) => place,
            Err(error) => return AppendState::Done(Some(Err(error))),
        };
        if state.waiting.back().is_none_or(|entry| entry.group != place.group) {
            let wakers = state.spare_wakers.pop().unwrap_or_default();
            let entry = Waiting { group: place.group, outcome: None, wakers, open: 0 };
            state.waiting.push_back(entry);
        }
        let mut slot = 0;
        if let Some(entry) = state.waiting.back_mut() {
            slot = entry.wakers.len();
            entry.wakers.push(None);
            entry.open += 1;
        }
        AppendState::Waiting { group: place.group, slot, index: place.index, count }
    }
}

enum AppendState {
    Waiting { group: u64, slot: usize, index: u32, count: u32 },
    Done(Option<Result<Range<u64>, LogError>>),
}

/// Resolves when the records are durable, to their numbers; made by [`Appender::append`].
#[must_use = "nothing is known about the records until this resolves"]
pub struct Append {
    core: Arc<AppenderCore>,
    state: AppendState,
}

impl Future for Append {
    type Output = Result<Range<u64>, LogError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (group, slot, index, count) = match &mut this.state {
            AppendState::Waiting { group, slot, index, count } => (*group, *slot, *index, *count),
            AppendState::Done(result) => {
                return Poll::Ready(result.take().unwrap_or(Err(LogError::Closed)));
            }
        };
        let mut state = lock(&this.core.state);
        let Some(at) = state.waiting.iter().position(|entry| entry.group == group) else {
            return Poll::Ready(Err(LogError::Closed));
        };
        let entry = &mut state.waiting[at];
        let Some(outcome) = entry.outcome.clone() else {
            match &mut entry.wakers[slot] {
                Some(waker) => waker.clone_from(context.waker()),
                place => *place = Some(context.waker().clone()),
            }
            return Poll::Pending;
        };
        AppenderCore::release(&mut state, at);
        drop(state);
        this.state = AppendState::Done(None);
        Poll::Ready(outcome.map(|first| {
            let start = first + u64::from(index);
            start..start + u64::from(count)
        }))
    }
}

impl Drop for Append {
    fn drop(&mut self) {
        if let AppendState::Waiting { group, slot, .. } = self.state {
            let mut state = lock(&self.core.state);
            if let Some(at) = state.waiting.iter().position(|entry| entry.group == group) {
                // A dropped waker may run a task's destructor, which may drop another of these:
                // not under the lock.
                let waker = state.waiting[at].wakers.get_mut(slot).and_then(Option::take);
                AppenderCore::release(&mut state, at);
                drop(state);
                drop(waker);
            }
        }
    }
}
