//! Live tests: an owner opens a page and is told what becomes of its hits, stage by stage.
//!
//! Guarantees: while no test runs, a hit pays one relaxed load. Tests, their hits and their time are bounded; they live in
//! memory only. What is told holds no address, no id, no page and no value that was sent. It decides nothing: the hit
//! goes its way as if nobody looked.

mod sighting;
mod stage;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cairn_model::{PixelKind, SiteId};
use serde::Serialize;
use tokio::sync::watch;

pub(crate) use sighting::{Road, Sighting, Watched};
pub use stage::LiveTestStage;

/// Tests that run at once.
const TESTS_MAX: usize = 64;
/// Tests of one site that run at once.
const TESTS_PER_SITE_MAX: usize = 8;
/// How long a test runs.
pub const LIFE_MS: i64 = 5 * 60 * 1000;
/// A test that nobody follows ends after this.
const UNFOLLOWED_MS: i64 = 60 * 1000;
/// Hits that one test tells about.
pub const HITS_MAX: u32 = 20;
/// The parameter of a page's address by which its hits are known. The gate keeps it out of what is stored.
pub const PARAMETER: &str = cairn_engine::ingest::page::TEST_PARAMETER;
/// Characters of a code.
const CODE_LENGTH: usize = 16;

/// What a test looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watches {
    /// Hits of the visit that carries the code.
    Visit,
    /// The same, and until one is seen every hit of the pixel: browsers tell an image only the origin of its page.
    VisitOrPixel,
    /// Every hit of the pixel: it has no page that could carry a code.
    Pixel,
}

impl Watches {
    /// What suits a kind of pixel.
    pub fn of(kind: PixelKind) -> Self {
        match kind {
            PixelKind::Web => Watches::Visit,
            PixelKind::Image => Watches::VisitOrPixel,
            PixelKind::Email | PixelKind::Ad | PixelKind::Server | PixelKind::App => Watches::Pixel,
        }
    }

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Watches::Visit => "visit",
            Watches::VisitOrPixel => "visit_or_pixel",
            Watches::Pixel => "pixel",
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tests of this server.
#[derive(Default)]
pub struct LiveTests {
    /// How many there are in the list.
    running: AtomicUsize,
    tests: Mutex<Vec<Arc<Test>>>,
}

/// Too many tests run, or no code could be drawn.
#[derive(Debug, PartialEq, Eq)]
pub struct NoRoom;

impl LiveTests {
    /// Starts a test.
    pub fn start(
        &self,
        site_id: SiteId,
        pixel_key: &str,
        watches: Watches,
        now_ms: i64,
    ) -> Result<Arc<Test>, NoRoom> {
        let mut random = [0; CODE_LENGTH / 2];
        getrandom::fill(&mut random).map_err(|_| NoRoom)?;
        let code = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut tests = lock(&self.tests);
        self.sweep(&mut tests, now_ms);
        let of_site = tests.iter().filter(|test| test.site_id == site_id).count();
        if of_site >= TESTS_PER_SITE_MAX {
            // Somebody who tries again and again leaves tests behind that nobody looks at any more.
            let left = tests.iter().position(|test| test.site_id == site_id && !test.is_followed());
            tests.remove(left.ok_or(NoRoom)?);
        }
        if tests.len() >= TESTS_MAX {
            return Err(NoRoom);
        }
        let test = Arc::new(Test {
            code,
            site_id,
            pixel_key: pixel_key.to_owned(),
            watches,
            started_at_ms: now_ms,
            script_asked_for: AtomicBool::new(false),
            state: Mutex::new(State { left_at_ms: now_ms, ..State::default() }),
            grown: watch::Sender::new(0),
        });
        tests.push(Arc::clone(&test));
        self.running.store(tests.len(), Ordering::Relaxed);
        Ok(test)
    }

    /// The test of this code, unless it has ended.
    pub fn find(
        &self,
        site_id: SiteId,
        pixel_key: &str,
        code: &str,
        now_ms: i64,
    ) -> Option<Arc<Test>> {
        let mut tests = lock(&self.tests);
        self.sweep(&mut tests, now_ms);
        let is_it = |test: &&Arc<Test>| {
            test.site_id == site_id && test.pixel_key == pixel_key && test.code == code
        };
        tests.iter().find(is_it).cloned()
    }

    /// Whether any test may be running.
    #[inline]
    fn is_idle(&self) -> bool {
        self.running.load(Ordering::Relaxed) == 0
    }

    /// Notes that the script of a pixel was asked for: then it is not the script that a browser keeps back.
    #[inline]
    pub(crate) fn note_script(&self, key: &str) {
        if !self.is_idle() {
            for test in lock(&self.tests).iter().filter(|test| test.pixel_key == key) {
                test.script_asked_for.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Lets go of tests that have ended.
    fn sweep(&self, tests: &mut Vec<Arc<Test>>, now_ms: i64) {
        tests.retain(|test| !test.has_ended(now_ms));
        self.running.store(tests.len(), Ordering::Relaxed);
    }
}

/// One test.
pub struct Test {
    /// What its visit carries in the address.
    pub code: String,
    site_id: SiteId,
    pixel_key: String,
    watches: Watches,
    started_at_ms: i64,
    script_asked_for: AtomicBool,
    state: Mutex<State>,
    /// Number of messages, for those who wait for more.
    grown: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    /// At most four for each of [`HITS_MAX`] hits.
    messages: Vec<Bytes>,
    hits: u32,
    /// A hit with the code was seen.
    has_certain: bool,
    readers: u32,
    /// When the last reader left.
    left_at_ms: i64,
}

impl Test {
    /// When it ends, Unix milliseconds.
    pub fn expires_at_ms(&self) -> i64 {
        self.started_at_ms.saturating_add(LIFE_MS)
    }

    fn is_followed(&self) -> bool {
        lock(&self.state).readers > 0
    }

    fn has_ended(&self, now_ms: i64) -> bool {
        let state = lock(&self.state);
        let is_left = state.readers == 0 && now_ms - state.left_at_ms > UNFOLLOWED_MS;
        now_ms >= self.expires_at_ms() || is_left
    }

    /// Milliseconds since it began, if no hit was seen so far.
    pub(crate) fn waiting_ms(&self, now_ms: i64) -> Option<i64> {
        (lock(&self.state).hits == 0).then_some(now_ms - self.started_at_ms)
    }

    /// Whether a browser asked for the pixel's script since it began.
    pub(crate) fn saw_script(&self) -> bool {
        self.script_asked_for.load(Ordering::Relaxed)
    }

    /// Follows the messages until the guard is dropped.
    pub(crate) fn follow(self: Arc<Self>, read: impl Fn() -> i64 + Send + 'static) -> Follower {
        lock(&self.state).readers += 1;
        let grown = self.grown.subscribe();
        Follower { test: self, grown, read: Box::new(read) }
    }

    /// The number of a new hit; `None` when the test has told about enough of them, or waits for better ones.
    fn begin_hit(&self, is_certain: bool) -> Option<u32> {
        let mut state = lock(&self.state);
        let is_stranger = state.has_certain && !is_certain && self.watches != Watches::Pixel;
        if state.hits >= HITS_MAX || is_stranger {
            return None;
        }
        state.has_certain |= is_certain;
        state.hits += 1;
        Some(state.hits)
    }

    fn tell(&self, stage: &LiveTestStage) {
        let mut state = lock(&self.state);
        let number = state.messages.len() + 1;
        state.messages.push(message("stage", Some(number), stage));
        self.grown.send_replace(number);
    }
}

/// One message of a stream of server-sent events; a reader who comes back names the last number that it saw.
pub(crate) fn message(name: &str, number: Option<usize>, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    let id = number.map(|number| format!("id: {number}\n")).unwrap_or_default();
    Bytes::from(format!("{id}event: {name}\ndata: {data}\n\n"))
}

/// Somebody who follows a test.
pub(crate) struct Follower {
    pub(crate) test: Arc<Test>,
    grown: watch::Receiver<usize>,
    /// Reads the time.
    read: Box<dyn Fn() -> i64 + Send>,
}

impl Follower {
    /// The messages from this place on; those before were seen.
    pub(crate) fn from(&self, place: usize) -> Vec<Bytes> {
        lock(&self.test.state).messages.iter().skip(place).cloned().collect()
    }

    /// Waits until there are more messages than `seen`.
    pub(crate) async fn wait_for_more(&mut self, seen: usize) {
        // The sender lives as long as the test, which is held here.
        let _ = self.grown.wait_for(|number| *number > seen).await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let now_ms = (self.read)();
        let mut state = lock(&self.test.state);
        state.readers = state.readers.saturating_sub(1);
        state.left_at_ms = now_ms;
    }
}

#[cfg(test)]
mod tests;
