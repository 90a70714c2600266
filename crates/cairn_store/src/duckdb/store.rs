//! [`DuckStore`]: the event store in one DuckDB file.
//!
//! Guarantees: one writer (a lock), readers with snapshots of their own, nothing visible before it is durable. When
//! the disk fails, the error is typed and the database is opened again before the next use.

mod erasing;
mod rolling;

use std::path::{Path, PathBuf};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::time::Duration;

use cairn_model::question::funnel::FunnelAnswer;
use cairn_model::question::journey::JourneyAnswer;
use cairn_model::question::lists::{PersonSummary, VisitConversions, VisitorSummary, Whose};
use cairn_model::question::retention::RetentionAnswer;
use cairn_model::question::{
    AttributionQuestion, EventsQuestion, FunnelQuestion, JourneyQuestion, ListQuestion, Question,
    RetentionQuestion,
};
use cairn_model::session::Attribute;
use cairn_model::touches::TouchPaths;
use cairn_model::{Answer, Outcome, PixelId, Session, SiteId, Subject, VisitorId};

use super::connection::{Connection, Database, DatabaseOptions};
use super::error::{DuckError, DuckErrorKind};
use super::rewrite::{self, Step};
use super::rollup::Rollups;
use super::sessions::{self, SESSION_COLUMNS};
use super::source::{self, Source};
use super::tables::prepare_schema;
use super::time_limit;
use super::turns::{Turn, Turns};
use super::write::{Writer, uuid_text};
use super::{erase, pixels, query};
use crate::{
    Batch, ErasedRows, ErasedSubjects, EventStore, FrozenFile, Limit, PixelActivity, Rewritten,
    SessionProbe, Span, StoreError, StoredEvent, SubjectSummary, UsersBrowsers, Watermark,
};

/// Computes `Event::event_key` from a site and an event's id.
pub type EventKeyOf = Arc<dyn Fn(SiteId, &str) -> u128 + Send + Sync>;

/// How the store is opened.
#[derive(Clone)]
pub struct DuckOptions {
    /// Most memory for DuckDB, in megabytes (10^6 bytes).
    pub memory_limit_mb: u32,
    /// Threads of DuckDB's own.
    pub threads: u32,
    /// Most bytes that questions may spill to disk, in megabytes.
    pub temp_size_mb_max: u32,
    /// Computes the key of an event that has an id. Given, such keys are not stored: 16 random bytes per event saved.
    pub event_key_of: Option<EventKeyOf>,
    /// Longest that answering one question may take.
    pub question_time_max: Duration,
    /// Events that one step of rewriting the file copies.
    pub rewrite_rows_per_step: u64,
}

impl Default for DuckOptions {
    fn default() -> Self {
        let DatabaseOptions { memory_limit_mb, threads, temp_size_mb_max, .. } =
            DatabaseOptions::default();
        DuckOptions {
            memory_limit_mb,
            threads,
            temp_size_mb_max,
            event_key_of: None,
            question_time_max: Duration::from_secs(30),
            rewrite_rows_per_step: rewrite::ROWS_PER_STEP,
        }
    }
}

/// Questions answered at once, where DuckDB has fewer threads; more of them wait. Each uses all threads anyway.
const QUESTIONS_AT_ONCE_MIN: usize = 2;
/// Connections reading at once, the apply loop's among them; more of them wait.
const READERS_MAX: usize = 8;
/// Idle connections kept for the next questions.
const READERS_IDLE_MAX: usize = 4;
/// Name of the database file within the store's directory.
pub(super) const FILE_NAME: &str = "events.duckdb";
/// Where questions put what does not fit into memory, within the store's directory.
const SPILLED: &str = "spilled";

/// The event store in one DuckDB file.
pub struct DuckStore {
    directory: PathBuf,
    options: DuckOptions,
    /// `None`: a failure made the database unusable; it is opened again by whoever needs it next.
    opened: RwLock<Option<Opened>>,
    watermark: Mutex<Watermark>,
    readers: Mutex<usize>,
    reader_left: Condvar,
    turns: Turns,
    /// Held while something is deleted, and while the file is rewritten.
    erasing: Mutex<()>,
    source: Source,
    rollups: Arc<Rollups>,
}

struct Opened {
    writer: Mutex<Writer>,
    idle: Mutex<Vec<Connection>>,
    database: Database,
}

/// A poisoned lock guards nothing half-done here: transactions are DuckDB's, and counters are only hints.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DuckStore {
    /// Opens or creates the store in a directory, which is made if it is missing.
    pub fn open(directory: &Path, options: DuckOptions) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory).map_err(|error| StoreError::Unavailable {
            doing: "makes its directory",
            cause: error.to_string(),
        })?;
        let rollups = Rollups::open(directory).map_err(|error| StoreError::Unavailable {
            doing: "looks for rollups",
            cause: error.to_string(),
        })?;
        let rollups = Arc::new(rollups);
        let (opened, watermark) = open_database(directory, &options, &rollups)?;
        // One connection stays free for the apply loop.
        let at_once_max = QUESTIONS_AT_ONCE_MIN.max(options.threads as usize).min(READERS_MAX - 1);
        let turns = Turns::new(at_once_max);
        Ok(DuckStore {
            directory: directory.to_owned(),
            options,
            opened: RwLock::new(Some(opened)),
            watermark: Mutex::new(watermark),
            readers: Mutex::new(0),
            reader_left: Condvar::new(),
            turns,
            erasing: Mutex::default(),
            source: Source::default(),
            rollups,
        })
    }

    /// Runs `ask` on a connection for reading, in one transaction: all that it asks is answered from one state. Waits when
    /// too many questions run at once.
    pub(crate) fn with_reader<T>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _place = self.place_for_reader();
        self.with_opened(|opened| {
            let idle = lock(&opened.idle).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => opened
                    .database
                    .connect()
                    .map_err(|error| error.while_it("opens a connection"))?,
            };
            // Without a transaction around them, preparing and running a statement see different states: when a
            // checkpoint came between, events as they were before it and a watermark of later.
            connection
                .run("BEGIN TRANSACTION READ ONLY")
                .map_err(|error| error.while_it("begins to read"))?;
            let answer = ask(&connection);
            // A connection whose transaction does not end is not used again.
            let ended = connection.run("ROLLBACK").is_ok();
            let mut idle = lock(&opened.idle);
            if ended && idle.len() < READERS_IDLE_MAX {
                idle.push(connection);
            }
            answer
        })
    }

    /// Answers on a connection for reading, within the time that a question may take. Questions share the memory: one for
    /// which its share does not suffice is asked again when it has all of it.
    pub(super) fn answer<T>(
        &self,
        doing: &'static str,
        read: impl Fn(&Connection) -> Result<T, DuckError>,
    ) -> Result<T, StoreError> {
        let limit = self.options.question_time_max;
        let attempt = |_turn: Turn<'_>| {
            self.with_reader(|connection| {
                time_limit::within(connection, limit, doing, || read(connection))
            })
        };
        match attempt(self.turns.beside_others()) {
            Err(StoreError::TooExpensive { limit: Limit::Memory }) => attempt(self.turns.alone()),
            answer => answer,
        }
    }

    fn place_for_reader(&self) -> ReaderPlace<'_> {
        let readers = lock(&self.readers);
        let mut readers = self
            .reader_left
            .wait_while(readers, |readers| *readers >= READERS_MAX)
            .unwrap_or_else(PoisonError::into_inner);
        *readers += 1;
        ReaderPlace { store: self }
    }

    /// Runs `use_it` on the open database, opening it again if a failure closed it.
    fn with_opened<T>(
        &self,
        use_it: impl FnOnce(&Opened) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let guard = self.opened_shared();
        if let Some(opened) = guard.as_ref() {
            return use_it(opened);
        }
        drop(guard);
        let mut guard = self.opened_alone();
        if guard.is_none() {
            let (opened, watermark) = open_database(&self.directory, &self.options, &self.rollups)?;
            *lock(&self.watermark) = watermark;
            *guard = Some(opened);
        }
        drop(guard);
        match self.opened_shared().as_ref() {
            Some(opened) => use_it(opened),
            None => Err(StoreError::Unavailable {
                doing: "opens again",
                cause: "it failed again at once".into(),
            }),
        }
    }

    fn opened_shared(&self) -> RwLockReadGuard<'_, Option<Opened>> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened_alone(&self) -> RwLockWriteGuard<'_, Option<Opened>> {
        self.opened.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `write` on the writing connection. After a failure of the disk the database is closed, so that the next use
    /// opens it afresh: DuckDB refuses everything once a commit could not be written.
    fn with_writer<T>(
        &self,
        doing: &'static str,
        write: impl FnOnce(&mut Writer) -> Result<T, DuckError>,
    ) -> Result<T, StoreError> {
        let mut broken = false;
        let result = self.with_opened(|opened| {
            write(&mut lock(&opened.writer)).map_err(|error| {
                broken = matches!(error.kind, DuckErrorKind::Fatal | DuckErrorKind::InputOutput);
                error.while_it(doing)
            })
        });
        if broken {
            *self.opened_alone() = None;
        }
        result
    }
}

/// Counts one running question.
struct ReaderPlace<'a> {
    store: &'a DuckStore,
}

impl Drop for ReaderPlace<'_> {
    fn drop(&mut self) {
        *lock(&self.store.readers) -= 1;
        self.store.reader_left.notify_one();
    }
}

fn open_database(
    directory: &Path,
    options: &DuckOptions,
    rollups: &Arc<Rollups>,
) -> Result<(Opened, Watermark), StoreError> {
    remove_spilled(directory).map_err(|error| StoreError::Unavailable {
        doing: "removes what an earlier process spilled",
        cause: error.to_string(),
    })?;
    let database_options = DatabaseOptions {
        memory_limit_mb: options.memory_limit_mb,
        threads: options.threads,
        temp_directory: Some(directory.join(SPILLED)),
        temp_size_mb_max: options.temp_size_mb_max,
        attachable_directory: Some(directory.join(rewrite::DIRECTORY)),
    };
    let database = Database::open(&directory.join(FILE_NAME), &database_options)
        .map_err(|error| error.while_it("opens its file"))?;
    let watermark = prepare_schema(&database)?;
    let writer = Writer::open(&database, options.event_key_of.is_some(), Arc::clone(rollups))
        .map_err(|error| error.while_it("prepares to write"))?;
    Ok((Opened { writer: Mutex::new(writer), idle: Mutex::default(), database }, watermark))
}

/// A process that was killed leaves rows there that no erasure would reach. Nobody has the database open.
fn remove_spilled(directory: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(directory.join(SPILLED)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

impl EventStore for DuckStore {
    fn watermark(&self) -> Result<Watermark, StoreError> {
        self.with_opened(|_| Ok(*lock(&self.watermark)))
    }

    fn commit(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let committed = self.with_writer("commits a batch", |writer| {
            let Watermark { offset: watermark, .. } = *lock(&self.watermark);
            let offset = batch.watermark.offset;
            if offset <= watermark {
                return Ok(Err(StoreError::NotAhead { offset, watermark }));
            }
            writer.commit(batch)?;
            *lock(&self.watermark) = batch.watermark;
            Ok(Ok(()))
        });
        match committed {
            Ok(answer) => answer,
            // A failing disk may have taken the batch all the same; what it holds decides.
            Err(_) if self.watermark().is_ok_and(|stored| stored == batch.watermark) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn sessions_near(
        &self,
        probes: &[SessionProbe],
        reach_ms: i64,
    ) -> Result<Vec<Session>, StoreError> {
        if probes.is_empty() {
            return Ok(Vec::new());
        }
        self.with_reader(|connection| {
            sessions::near(connection, probes, reach_ms)
                .map_err(|error| error.while_it("reads visits"))
        })
    }

    fn sessions_active_since(
        &self,
        received_ms: i64,
        visits_max: usize,
    ) -> Result<Vec<Session>, StoreError> {
        let sql = format!(
            "SELECT {SESSION_COLUMNS} FROM sessions s WHERE s.last_received_ms >= ?
             ORDER BY s.last_received_ms DESC LIMIT {visits_max}"
        );
        self.sessions_of(&sql, &[received_ms.into()])
    }

    fn event_keys_after(
        &self,
        offset: u64,
        each: &mut dyn FnMut(u64, u128, i64),
    ) -> Result<(), StoreError> {
        // Rows lie in the order in which they were written, which is that of their offsets.
        let sql = "SELECT event_offset, received_at_ms, event_key, event_uuid, event_id, site_id
            FROM events WHERE event_offset > ?
            AND (event_key IS NOT NULL OR event_uuid IS NOT NULL OR event_id <> '')";
        self.with_reader(|connection| {
            let mut read = || {
                let rows = connection.prepare(sql)?.stream(&[offset.into()])?;
                rows.for_each(|row| {
                    let key = match (row.optional::<u128>(2)?, &self.options.event_key_of) {
                        (Some(key), _) => key,
                        (None, None) => return Ok(()),
                        (None, Some(key_of)) => {
                            let site_id = SiteId(row.get(5)?);
                            match row.optional::<u128>(3)? {
                                Some(uuid) => key_of(site_id, &uuid_text(uuid)),
                                None => key_of(site_id, row.get(4)?),
                            }
                        }
                    };
                    each(row.get(0)?, key, row.get(1)?);
                    Ok(())
                })
            };
            read().map_err(|error: DuckError| error.while_it("reads the keys of events"))
        })
    }

    fn outcomes_since(
        &self,
        site_id: SiteId,
        since_ms: i64,
    ) -> Result<Vec<(Outcome, u64)>, StoreError> {
        let sql = "SELECT outcome, sum(count) FROM outcomes
            WHERE site_id = ? AND hour_ms >= ? GROUP BY outcome ORDER BY outcome";
        self.answer("reads the outcomes", |connection| {
            let mut sums = Vec::new();
            connection.query(sql, &[site_id.0.into(), since_ms.into()])?.for_each(|row| {
                // An outcome that this program does not know was written by a newer one.
                if let Some(outcome) = Outcome::ALL.get(row.get::<u8>(0)? as usize) {
                    sums.push((*outcome, row.get(1)?));
                }
                Ok::<(), DuckError>(())
            })?;
            Ok(sums)
        })
    }

    fn pixel_activity(
        &self,
        site_id: SiteId,
        since_ms: i64,
    ) -> Result<Vec<(PixelId, PixelActivity)>, StoreError> {
        self.answer("reads when pixels reported", |connection| {
            pixels::activity(connection, site_id, since_ms)
        })
    }

    fn pixel_counts(
        &self,
        site_id: SiteId,
        starts_ms: &[i64],
    ) -> Result<Vec<(PixelId, Vec<u64>)>, StoreError> {
        self.answer("counts events of pixels", |connection| {
            pixels::counts(connection, site_id, starts_ms)
        })
    }

    fn bots_since(&self, site_id: SiteId, since_ms: i64) -> Result<Vec<(String, u64)>, StoreError> {
        self.answer("counts events of bots", |connection| {
            pixels::bots(connection, site_id, since_ms)
        })
    }

    fn other_user_of(
        &self,
        site_id: SiteId,
        visitor_id: VisitorId,
        user_key: u64,
    ) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT min(user_key) FROM events
                   WHERE site_id = ? AND visitor_id = ? AND user_key NOT IN (0, ?)";
        let asked = [site_id.0.into(), visitor_id.0.into(), user_key.into()];
        self.answer("looks for a visitor's user", |connection| {
            let mut found = None;
            connection.query(sql, &asked)?.for_each(|row| {
                found = row.optional(0)?;
                Ok::<(), DuckError>(())
            })?;
            Ok(found)
        })
    }

    fn ask(&self, question: &Question) -> Result<Answer, StoreError> {
        self.answer("answers a question", |connection| {
            query::ask(connection, question, &self.rolling())
        })
    }

    fn ask_together(&self, questions: &[Question]) -> Result<Vec<Option<Answer>>, StoreError> {
        self.answer("answers questions", |connection| {
            query::ask_together(connection, questions, &self.rolling())
        })
    }

    fn roll_up(&self, site_id: SiteId, span: Span) -> Result<bool, StoreError> {
        self.sum_up(site_id, span)
    }

    fn count_events(&self, site_id: SiteId) -> Result<u64, StoreError> {
        self.answer("counts events", |connection| pixels::count_events(connection, site_id))
    }

    fn rolled_up(&self, site_id: SiteId) -> Vec<Span> {
        self.rollups.spans(site_id)
    }

    fn forget_rollups(&self, site_id: SiteId) -> Result<(), StoreError> {
        self.rollups.forget_site(site_id).map_err(|error| StoreError::Unavailable {
            doing: "removes rollups",
            cause: error.to_string(),
        })
    }

    fn funnel(&self, question: &FunnelQuestion) -> Result<FunnelAnswer, StoreError> {
        self.answer("answers a funnel", |connection| query::funnel(connection, question))
    }

    fn journeys(&self, question: &JourneyQuestion) -> Result<JourneyAnswer, StoreError> {
        self.answer("answers journeys", |connection| query::journeys(connection, question))
    }

    fn retention(&self, question: &RetentionQuestion) -> Result<RetentionAnswer, StoreError> {
        self.answer("answers retention", |connection| query::retention(connection, question))
    }

    fn touch_paths(&self, asked: &AttributionQuestion) -> Result<TouchPaths, StoreError> {
        self.answer("looks for paths", |connection| query::touch_paths(connection, asked))
    }

    fn currencies(&self, site_id: SiteId) -> Result<Vec<String>, StoreError> {
        self.answer("lists currencies", |connection| query::currencies(connection, site_id))
    }

    fn visits_page(&self, question: &ListQuestion) -> Result<Vec<Session>, StoreError> {
        self.answer("lists visits", |connection| query::visits_page(connection, question))
    }

    fn visit_conversions(
        &self,
        question: &ListQuestion,
        visits: &[u64],
    ) -> Result<Vec<VisitConversions>, StoreError> {
        self.answer("looks for conversions", |connection| {
            query::visit_conversions(connection, question, visits)
        })
    }

    fn visitors_page(&self, question: &ListQuestion) -> Result<Vec<VisitorSummary>, StoreError> {
        self.answer("lists visitors", |connection| query::visitors_page(connection, question))
    }

    fn people_page(&self, question: &ListQuestion) -> Result<Vec<PersonSummary>, StoreError> {
        self.answer("lists people", |connection| query::people_page(connection, question))
    }

    fn timeline(
        &self,
        site_id: SiteId,
        whose: Whose,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.answer("reads a timeline", |connection| {
            query::timeline(connection, site_id, whose, before, limit)
        })
    }

    fn spellings(
        &self,
        site_id: SiteId,
        attribute: Attribute,
        folded: &[String],
    ) -> Result<Vec<String>, StoreError> {
        self.answer("looks for spellings", |connection| {
            query::spellings(connection, site_id, attribute, folded)
        })
    }

    fn events_page(&self, question: &EventsQuestion) -> Result<Vec<StoredEvent>, StoreError> {
        let Watermark { offset, .. } = self.watermark()?;
        self.answer("reads a page of events", |connection| {
            query::events_page(connection, question, offset)
        })
    }

    fn first_event_ms(&self, site_id: SiteId) -> Result<Option<i64>, StoreError> {
        self.answer("looks for the start", |connection| query::first_event_ms(connection, site_id))
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.with_writer("makes a checkpoint", Writer::checkpoint)
    }

    fn freeze(&self) -> Result<Vec<FrozenFile>, StoreError> {
        let doing = "prepares to be copied";
        let frozen = self.with_writer(doing, |writer| {
            writer.checkpoint()?;
            Ok(self.source.frozen(&self.directory))
        })?;
        frozen.map_err(|error| StoreError::Unavailable { doing, cause: error.to_string() })
    }

    fn size_bytes(&self) -> u64 {
        source::size_bytes(&self.directory)
    }

    fn delete_site(&self, site_id: SiteId) -> Result<(), StoreError> {
        self.erasing("deletes a site", |writer| erase::site(writer, site_id))
    }

    fn visitors_of_user(
        &self,
        site_id: SiteId,
        user_key: u64,
        limit: usize,
    ) -> Result<Vec<VisitorId>, StoreError> {
        self.answer("looks for a user's visitors", |connection| {
            erase::visitors_of_user(connection, site_id, user_key, limit)
        })
    }

    fn users_of_visitor(
        &self,
        site_id: SiteId,
        visitor_id: VisitorId,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        self.answer("looks for a visitor's users", |connection| {
            erase::users_of_visitor(connection, site_id, visitor_id, limit)
        })
    }

    fn people_of_order(
        &self,
        site_id: SiteId,
        order_id: &str,
        limit: usize,
    ) -> Result<Vec<(VisitorId, u64)>, StoreError> {
        self.answer("looks for an order", |connection| {
            erase::people_of_order(connection, site_id, order_id, limit)
        })
    }

    fn subject_summary(&self, subject: &Subject) -> Result<SubjectSummary, StoreError> {
        self.answer("sums up a subject", |connection| erase::summary(connection, subject))
    }

    fn subject_events(
        &self,
        subject: &Subject,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.answer("reads a subject's events", |connection| {
            let condition = erase::of_subject(subject);
            query::events_where(connection, subject.site_id, &condition, before, limit)
        })
    }

    fn browsers_of_users(
        &self,
        subject: &Subject,
        limit: usize,
    ) -> Result<UsersBrowsers, StoreError> {
        self.answer("looks for browsers of users", |connection| {
            erase::browsers_of_users(connection, subject, limit)
        })
    }

    fn events_of_subjects(&self, subjects: &[Subject]) -> Result<Vec<u64>, StoreError> {
        self.answer("counts events of subjects", |connection| {
            erase::events_of_subjects(connection, subjects)
        })
    }

    fn erase_subjects(&self, subjects: &[Subject]) -> Result<ErasedSubjects, StoreError> {
        self.erasing("erases subjects", |writer| erase::subjects(writer, subjects))
    }

    fn erase_received_before(
        &self,
        site_id: SiteId,
        received_ms: i64,
        events_max: u64,
    ) -> Result<ErasedRows, StoreError> {
        self.erasing("removes old events", |writer| {
            erase::received_before(writer, site_id, received_ms, events_max)
        })
    }

    fn oldest_received_ms(&self, site_id: SiteId) -> Result<Option<i64>, StoreError> {
        self.answer("looks for the oldest event", |connection| {
            erase::oldest_received_ms(connection, site_id)
        })
    }

    fn erased_since_ms(&self) -> Option<i64> {
        rewrite::erased_since_ms(&self.directory)
    }

    fn rewrite_erased(&self) -> Result<Rewritten, StoreError> {
        let _turn = lock(&self.erasing);
        if self.erased_since_ms().is_none() {
            return Ok(Rewritten { is_complete: true, ..Rewritten::default() });
        }
        let step = self.with_writer("rewrites its file", |writer| {
            rewrite::step(writer, &self.directory, self.options.rewrite_rows_per_step)
        })?;
        match step {
            Step::More(rewritten) => Ok(rewritten),
            Step::Ready(ready) => self.replace_file(ready),
        }
    }
}

impl DuckStore {
    fn sessions_of(
        &self,
        sql: &str,
        parameters: &[super::Value<'_>],
    ) -> Result<Vec<Session>, StoreError> {
        self.with_reader(|connection| {
            sessions::read(connection, sql, parameters)
                .map_err(|error| error.while_it("reads visits"))
        })
    }
}
