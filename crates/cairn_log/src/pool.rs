//! Prepared, zero-filled files for the next segments, and the thread that makes them.
//!
//! Guarantees: a file handed out holds nothing but zeros and is durable at its full size; a trimmed
//! segment loses its name before its bytes, so no half-emptied file is ever taken for a segment;
//! after a failure the next attempt comes after a pause that doubles up to a limit.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::disk::{Disk, DiskFile, write_zeros};
use crate::error::{DiskFailure, DiskOperation, LogError, Step};
use crate::options::LogOptions;
use crate::queue::lock;
use crate::segments::{Segment, file_name};

pub(crate) const SPARE_PREFIX: &str = "spare-";

/// A durable file full of zeros.
pub(crate) struct Spare {
    pub path: PathBuf,
    pub file: Arc<dyn DiskFile>,
}

/// A segment on its way out.
struct Retired {
    path: PathBuf,
    /// It has lost the name of a segment.
    renamed: bool,
    /// Only zeros are at or behind this position.
    touched: u64,
    file: Arc<dyn DiskFile>,
}

struct PoolInner {
    spares: Vec<Spare>,
    retired: VecDeque<Retired>,
    /// Files of a segment's size: segments, spares and retired ones.
    files: usize,
    spare_number: u64,
    failure: Option<DiskFailure>,
    working: bool,
    closing: bool,
}

enum Task {
    Retire(Retired),
    Create(u64),
}

pub(crate) struct Pool {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    segment_size_bytes: u64,
    files_max: usize,
    retry_pause_min: Duration,
    retry_pause_max: Duration,
    inner: Mutex<PoolInner>,
    changed: Condvar,
}

impl Pool {
    /// `files`: how many files of a segment's size there are already.
    pub fn new(disk: Arc<dyn Disk>, options: &LogOptions, files: usize) -> Self {
        Self {
            disk,
            directory: options.directory.clone(),
            segment_size_bytes: options.segment_size_bytes,
            files_max: options.files_max(),
            retry_pause_min: options.retry_pause_min,
            retry_pause_max: options.retry_pause_max,
            inner: Mutex::new(PoolInner {
                spares: Vec::new(),
                retired: VecDeque::new(),
                files,
                spare_number: 0,
                failure: None,
                working: false,
                closing: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// All files of the log, in bytes.
    pub fn size_bytes(&self) -> u64 {
        lock(&self.inner).files as u64 * self.segment_size_bytes
    }

    /// How many more segments can be begun before trims are needed.
    pub fn segments_left(&self) -> usize {
        let inner = lock(&self.inner);
        self.files_max.saturating_sub(inner.files) + inner.spares.len() + inner.retired.len()
    }

    /// Empties these segments and keeps one of them for later.
    pub fn retire(&self, segments: Vec<Arc<Segment>>) {
        if segments.is_empty() {
            return;
        }
        let mut inner = lock(&self.inner);
        inner.retired.extend(segments.into_iter().map(|segment| Retired {
            path: segment.path.clone(),
            renamed: false,
            touched: segment.touched.load(Ordering::Relaxed),
            file: Arc::clone(&segment.file),
        }));
        drop(inner);
        self.changed.notify_all();
    }

    /// Gives back a file that could not be made a segment, whatever name it has now.
    pub fn give_back(&self, spare: Spare) {
        let mut inner = lock(&self.inner);
        let retired =
            Retired { path: spare.path, renamed: false, touched: u64::MAX, file: spare.file };
        inner.retired.push_back(retired);
        drop(inner);
        self.changed.notify_all();
    }

    /// A prepared file; waits only if one is being made. `Full` if trims are needed first.
    pub fn take(&self) -> Result<Spare, LogError> {
        let mut inner = lock(&self.inner);
        loop {
            if let Some(spare) = inner.spares.pop() {
                drop(inner);
                self.changed.notify_all();
                return Ok(spare);
            }
            if inner.closing {
                return Err(LogError::Closed);
            }
            if let Some(refusal) = self.refusal(&inner) {
                return Err(refusal);
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Why no file will be there soon.
    fn refusal(&self, inner: &PoolInner) -> Option<LogError> {
        if let Some(failure) = inner.failure {
            return Some(LogError::Broken(failure));
        }
        let full = inner.files >= self.files_max && inner.retired.is_empty() && !inner.working;
        full.then_some(LogError::Full)
    }

    /// Waits until a prepared file is there; false if the log closes first. Tells on the way why
    /// there is none.
    pub fn wait_available(&self, closing: impl Fn() -> bool, refused: impl Fn(LogError)) -> bool {
        let mut inner = lock(&self.inner);
        loop {
            if inner.closing || closing() {
                return false;
            }
            if !inner.spares.is_empty() {
                return true;
            }
            if let Some(refusal) = self.refusal(&inner) {
                refused(refusal);
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for a pause of the caller's; false if the log closes first.
    pub fn wait_pause(&self, pause: Duration, closing: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + pause;
        let mut inner = lock(&self.inner);
        loop {
            if inner.closing || closing() {
                return false;
            }
            let now = Instant::now();
            if now >= deadline {
                return true;
            }
            let waited = self.changed.wait_timeout(inner, deadline - now);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until every retired segment is emptied or gone; gives the failure that prevents it.
    pub fn wait_retired(&self, deadline: Instant) -> Result<bool, LogError> {
        let mut inner = lock(&self.inner);
        loop {
            if inner.retired.is_empty() && !inner.working {
                return Ok(true);
            }
            if let Some(failure) = inner.failure {
                return Err(LogError::Broken(failure));
            }
            let now = Instant::now();
            if now >= deadline || inner.closing {
                return Ok(false);
            }
            let waited = self.changed.wait_timeout(inner, deadline - now);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Wakes everybody who waits here, to look at their own conditions again.
    pub fn nudge(&self) {
        drop(lock(&self.inner));
        self.changed.notify_all();
    }

    /// Ends the thread after the retired segments, unless they fail.
    pub fn close(&self) {
        lock(&self.inner).closing = true;
        self.changed.notify_all();
    }

    /// The thread: until `close`.
    pub fn run(&self) {
        let mut pause = self.retry_pause_min;
        loop {
            let Some(task) = self.next_task() else { return };
            match self.perform(task) {
                Ok(()) => pause = self.retry_pause_min,
                Err((failure, task)) => {
                    if self.fail(failure, task, pause) {
                        return;
                    }
                    pause = (pause * 2).min(self.retry_pause_max);
                }
            }
        }
    }

    fn next_task(&self) -> Option<Task> {
        let mut inner = lock(&self.inner);
        loop {
            if let Some(retired) = inner.retired.pop_front() {
                inner.working = true;
                return Some(Task::Retire(retired));
            }
            if inner.closing {
                return None;
            }
            if inner.spares.is_empty() && inner.files < self.files_max {
                inner.working = true;
                inner.files += 1;
                inner.spare_number += 1;
                return Some(Task::Create(inner.spare_number));
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finish(&self, change: impl FnOnce(&mut PoolInner)) {
        let mut inner = lock(&self.inner);
        inner.working = false;
        change(&mut inner);
        drop(inner);
        self.changed.notify_all();
    }

    /// Notes a failure and waits; true if the log is closing.
    fn fail(&self, failure: DiskFailure, task: Task, pause: Duration) -> bool {
        let known = lock(&self.inner).failure.is_some();
        if !known {
            tracing::warn!(%failure, "the log cannot prepare its next file; trying again");
        }
        self.finish(|inner| {
            inner.failure = Some(failure);
            match task {
                Task::Retire(retired) => inner.retired.push_front(retired),
                Task::Create(_) => inner.files -= 1,
            }
        });
        !self.wait_pause(pause, || false)
    }

    fn perform(&self, task: Task) -> Result<(), (DiskFailure, Task)> {
        match task {
            Task::Create(number) => match self.create(number) {
                Ok(spare) => {
                    self.finish(|inner| {
                        inner.failure = None;
                        inner.spares.push(spare);
                    });
                    Ok(())
                }
                Err(failure) => Err((failure, Task::Create(number))),
            },
            Task::Retire(mut retired) => match self.empty(&mut retired) {
                Ok(kept) => {
                    self.finish(|inner| {
                        inner.failure = None;
                        match kept {
                            true => {
                                inner.spares.push(Spare { path: retired.path, file: retired.file })
                            }
                            false => inner.files -= 1,
                        }
                    });
                    Ok(())
                }
                Err(failure) => Err((failure, Task::Retire(retired))),
            },
        }
    }

    fn spare_path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{SPARE_PREFIX}{number:010}.log"))
    }

    fn create(&self, number: u64) -> Result<Spare, DiskFailure> {
        let path = self.spare_path(number);
        let made = self.disk.create(&path).and_then(|file| {
            write_zeros(&*file, 0, self.segment_size_bytes)?;
            file.sync_data()?;
            self.disk.sync_directory(&self.directory)?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(Spare { path, file: Arc::from(file) }),
            Err(error) => {
                // Half a file helps nobody and takes the room that is missing.
                let _ = self.disk.remove(&path);
                Err(DiskFailure::new(DiskOperation::Preallocate, &error))
            }
        }
    }

    /// Takes the segment's name away, then its bytes; true if the file is a spare now.
    fn empty(&self, retired: &mut Retired) -> Result<bool, DiskFailure> {
        if !retired.renamed {
            let number = {
                let mut inner = lock(&self.inner);
                inner.spare_number += 1;
                inner.spare_number
            };
            let path = self.spare_path(number);
            match self.disk.rename(&retired.path, &path) {
                // Somebody else removed it: there is nothing to empty.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                result => result.step(DiskOperation::Rename)?,
            }
            retired.path = path;
            retired.renamed = true;
        }
        self.disk.sync_directory(&self.directory).step(DiskOperation::Rename)?;
        let wanted = {
            let inner: MutexGuard<'_, PoolInner> = lock(&self.inner);
            inner.spares.is_empty() && inner.files <= self.files_max
        };
        let size = retired.file.size().step(DiskOperation::Preallocate)?;
        if wanted && size == self.segment_size_bytes {
            let touched = size.min(retired.touched);
            let emptied =
                write_zeros(&*retired.file, 0, touched).and_then(|()| retired.file.sync_data());
            if emptied.is_ok() {
                return Ok(true);
            }
            tracing::warn!(file = file_name(&retired.path), "a trimmed log file cannot be reused");
        }
        match self.disk.remove(&retired.path) {
            // Removed by the attempt before, whose directory sync failed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.step(DiskOperation::Rename)?,
        }
        self.disk.sync_directory(&self.directory).step(DiskOperation::Rename)?;
        Ok(false)
    }
}
