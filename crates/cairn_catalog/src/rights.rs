//! Requests of people about themselves, with what was done about each.
//!
//! Purpose: answering in time, and proving it. Guarantees: the direct identifier of a request is there while it is open, and
//! is overwritten in the transaction that closes it, or that erases whom it names; then only keyed numbers remain, as long
//! as the class `requests` of [`cairn_model::retention`] says.
//! A closed request never opens again; of two that close it one fails. One to erase is closed with its
//! erasure.

use cairn_model::SiteId;
use cairn_model::rights::{Law, RequestKind};
use cairn_model::subject::Subject;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::sites::{read_json, require_room};
use crate::{Catalog, CatalogError, ErasureId, NewErasure, UserId, erasures};

/// Open requests of one site.
pub const OPEN_REQUESTS_PER_SITE_MAX: usize = 100_000;
/// Random bytes of a reference, each written as two digits.
const REFERENCE_SIZE_BYTES: usize = 8;

const COLUMNS: &str = "id, site_id, reference, kind, law, source, state, identifier_kind, \
     identifier, subject, erasure_id, received_at_ms, due_at_ms, extended, reason, closed_at_ms";

/// Who made a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestSource {
    /// The owner wrote it down for somebody.
    Owner,
    /// A visitor, on his page.
    Visitor,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestState {
    /// Nothing yet.
    Open,
    /// What it asks to be erased is being erased.
    Erasing,
    /// It was fulfilled.
    Done,
    /// It was refused, for a reason.
    Refused,
    /// Who made it took it back.
    Withdrawn,
}

impl RequestSource {
    const ALL: [RequestSource; 2] = [RequestSource::Owner, RequestSource::Visitor];

    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            RequestSource::Owner => "owner",
            RequestSource::Visitor => "visitor",
        }
    }
}

impl RequestState {
    /// Every state.
    pub const ALL: [RequestState; 5] = [
        RequestState::Open,
        RequestState::Erasing,
        RequestState::Done,
        RequestState::Refused,
        RequestState::Withdrawn,
    ];

    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            RequestState::Open => "open",
            RequestState::Erasing => "erasing",
            RequestState::Done => "done",
            RequestState::Refused => "refused",
            RequestState::Withdrawn => "withdrawn",
        }
    }
}

/// A request to be recorded.
#[derive(Clone, Debug)]
pub struct NewRequest {
    /// The site.
    pub site_id: SiteId,
    /// What is asked for.
    pub kind: RequestKind,
    /// Under which law.
    pub law: Law,
    /// Who made it.
    pub source: RequestSource,
    /// What kind of identifier it names: `user_id`, `email`, ….
    pub identifier_kind: String,
    /// The identifier itself; empty where the request is carried out at once.
    pub identifier: String,
    /// Whom it was found to be.
    pub subject: Subject,
    /// When it came, Unix milliseconds.
    pub received_at_ms: i64,
    /// From then on it is overdue.
    pub due_at_ms: i64,
}

/// A request.
#[derive(Clone, Debug)]
pub struct RightsRequest {
    /// Its number, which only the owner sees.
    pub id: i64,
    /// The site.
    pub site_id: SiteId,
    /// A random number that whoever asked is given: it names nobody.
    pub reference: String,
    /// What is asked for.
    pub kind: RequestKind,
    /// Under which law.
    pub law: Law,
    /// Who made it.
    pub source: RequestSource,
    /// What became of it.
    pub state: RequestState,
    /// What kind of identifier it names.
    pub identifier_kind: String,
    /// The identifier; empty once it is closed, or whom it names was erased.
    pub identifier: String,
    /// Whom it was found to be, as keyed numbers.
    pub subject: Subject,
    /// The erasure that fulfils it.
    pub erasure_id: Option<i64>,
    /// When it came, Unix milliseconds.
    pub received_at_ms: i64,
    /// From then on it is overdue.
    pub due_at_ms: i64,
    /// Its time was extended.
    pub extended: bool,
    /// Why it was refused, or its time extended.
    pub reason: String,
    /// When it was closed.
    pub closed_at_ms: Option<i64>,
}

/// Something that was done about a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Address of the account that did it; empty: the visitor, the instance itself, or an account that is gone.
    pub account: String,
    /// What: `received`, `exported`, `extended`, `refused`, ….
    pub step: String,
    /// The reason given, or what it came to.
    pub note: String,
}

/// Who does something, what, and when.
#[derive(Clone, Debug)]
pub struct NewStep {
    /// The account; `None`: the visitor or the instance itself.
    pub user: Option<UserId>,
    /// What is done.
    pub step: &'static str,
    /// The reason given, or what it came to.
    pub note: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

/// Which requests are wanted, and from where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestList {
    /// Those that wait, by the day they are due; behind this time and number.
    Waiting {
        /// Only those that are due at or before this instant.
        due_by_ms: i64,
        /// `due_at_ms` and number of the last of the page before.
        after: Option<(i64, i64)>,
    },
    /// All, or those in one state, the newest first; before this number.
    Newest {
        /// The state.
        state: Option<RequestState>,
        /// Number of the last of the page before.
        before: Option<i64>,
    },
}

impl Catalog {
    /// Records a request. Gives it as it is now.
    pub fn add_request(
        &self,
        new: &NewRequest,
        step: &NewStep,
    ) -> Result<RightsRequest, CatalogError> {
        let reference = reference()?;
        self.connections
            .write("records a request", |transaction| add(transaction, new, &reference, step))
    }

    /// Records a request together with the erasure that fulfils it: either both are there, or neither. Gives it as it is now.
    pub fn add_erasing_request(
        &self,
        new: &NewRequest,
        erasure: &NewErasure,
        [received, erasing]: [&NewStep; 2],
    ) -> Result<RightsRequest, CatalogError> {
        let reference = reference()?;
        let (begun, request) = self.connections.write("records a request", |transaction| {
            let request = add(transaction, new, &reference, received)?;
            let whose = (new.site_id, request.id);
            let begun = begin_erasure(transaction, whose, erasure, erasing)?;
            let found = find(transaction, new.site_id, request.id);
            let found = found.map_err(CatalogError::during("records a request"))?;
            Ok((begun, found.ok_or(CatalogError::Corrupt { what: "request" })?))
        })?;
        if let Some(id) = begun {
            self.note_begun(id, &erasure.subject);
        }
        Ok(request)
    }

    /// A request of the site.
    pub fn request(&self, site: SiteId, id: i64) -> Result<Option<RightsRequest>, CatalogError> {
        self.connections.read("looks for a request", |connection| find(connection, site, id))
    }

    /// The request with this reference.
    pub fn request_by_reference(
        &self,
        site: SiteId,
        reference: &str,
    ) -> Result<Option<RightsRequest>, CatalogError> {
        let sql =
            format!("SELECT {COLUMNS} FROM rights_requests WHERE site_id = ?1 AND reference = ?2");
        self.connections.read("looks for a request", |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_row(params![site.0, reference], read).optional()
        })
    }

    /// Requests of a site, at most `limit`.
    pub fn requests(
        &self,
        site: SiteId,
        list: RequestList,
        limit: usize,
    ) -> Result<Vec<RightsRequest>, CatalogError> {
        let select = format!("SELECT {COLUMNS} FROM rights_requests WHERE site_id = ?1");
        self.connections.read("lists requests", |connection| match list {
            RequestList::Waiting { due_by_ms, after } => {
                let (due, id) = after.unwrap_or((i64::MIN, 0));
                connection
                    .prepare_cached(&format!(
                        "{select} AND closed_at_ms IS NULL AND due_at_ms <= ?2
                         AND (due_at_ms, id) > (?3, ?4) ORDER BY due_at_ms, id LIMIT ?5"
                    ))?
                    .query_map(params![site.0, due_by_ms, due, id, limit], read)?
                    .collect()
            }
            RequestList::Newest { state, before } => {
                let state = state.map(RequestState::name);
                connection
                    .prepare_cached(&format!(
                        "{select} AND (?2 IS NULL OR state = ?2) AND id < ?3
                         ORDER BY id DESC LIMIT ?4"
                    ))?
                    .query_map(params![site.0, state, before.unwrap_or(i64::MAX), limit], read)?
                    .collect()
            }
        })
    }

    /// How many requests wait, and how many of them are overdue.
    pub fn waiting_requests(&self, site: SiteId, now_ms: i64) -> Result<(u64, u64), CatalogError> {
        self.connections.read("counts requests", |connection| {
            connection
                .prepare_cached(
                    "SELECT count(*), count(*) FILTER (WHERE due_at_ms <= ?2) FROM rights_requests
                     WHERE site_id = ?1 AND closed_at_ms IS NULL",
                )?
                .query_row(params![site.0, now_ms], |row| Ok((row.get(0)?, row.get(1)?)))
        })
    }

    /// What was done about a request, in order.
    pub fn steps(&self, id: i64) -> Result<Vec<Step>, CatalogError> {
        self.connections.read("reads what was done", |connection| {
            connection
                .prepare_cached(
                    "SELECT at_ms, coalesce(email, ''), step, note FROM rights_steps
                     LEFT JOIN users ON users.id = user_id WHERE request_id = ?1 ORDER BY number",
                )?
                .query_map([id], |row| {
                    Ok(Step {
                        at_ms: row.get(0)?,
                        account: row.get(1)?,
                        step: row.get(2)?,
                        note: row.get(3)?,
                    })
                })?
                .collect()
        })
    }

    /// Notes something that changes nothing about an open request, as an export.
    pub fn note_step(&self, id: i64, step: &NewStep) -> Result<(), CatalogError> {
        let doing = "notes what was done";
        self.connections.write(doing, |transaction| {
            note(transaction, id, step).map_err(CatalogError::during(doing))
        })
    }

    /// Extends the time of an open request, once. False: it is closed, or was extended before.
    pub fn extend_request(
        &self,
        site: SiteId,
        id: i64,
        due_at_ms: i64,
        step: &NewStep,
    ) -> Result<bool, CatalogError> {
        let doing = "extends the time of a request";
        self.connections.write(doing, |transaction| {
            let extended = |transaction: &Transaction<'_>| {
                let changed = transaction
                    .prepare_cached(
                        "UPDATE rights_requests SET extended = 1, due_at_ms = ?3, reason = ?4
                         WHERE site_id = ?1 AND id = ?2 AND state = 'open' AND extended = 0",
                    )?
                    .execute(params![site.0, id, due_at_ms, step.note])?;
                if changed > 0 {
                    note(transaction, id, step)?;
                }
                Ok(changed > 0)
            };
            extended(transaction).map_err(CatalogError::during(doing))
        })
    }

    /// Begins the erasure that fulfils an open request: from now on only keyed numbers of it remain. `None`: it is closed, or
    /// is being carried out already, and nothing was begun.
    pub fn begin_request_erasure(
        &self,
        site: SiteId,
        id: i64,
        erasure: &NewErasure,
        step: &NewStep,
    ) -> Result<Option<ErasureId>, CatalogError> {
        let begun = self.connections.write("begins to fulfil a request", |transaction| {
            begin_erasure(transaction, (site, id), erasure, step)
        })?;
        if let Some(id) = begun {
            self.note_begun(id, &erasure.subject);
        }
        Ok(begun)
    }

    /// Closes an open request for good. False: it was closed before, or is closed by its erasure.
    pub fn close_request(
        &self,
        site: SiteId,
        id: i64,
        state: RequestState,
        step: &NewStep,
    ) -> Result<bool, CatalogError> {
        let doing = "closes a request";
        let is_done = state == RequestState::Done;
        let closed = self.connections.write(doing, |transaction| {
            let closed = |transaction: &Transaction<'_>| {
                let changed = transaction
                    .prepare_cached(
                        "UPDATE rights_requests SET state = ?3, identifier = '', closed_at_ms = ?4,
                            reason = CASE WHEN ?5 THEN reason ELSE ?6 END
                         WHERE site_id = ?1 AND id = ?2 AND state = 'open'",
                    )?
                    .execute(params![site.0, id, state.name(), step.at_ms, is_done, step.note])?;
                if changed > 0 {
                    note(transaction, id, step)?;
                }
                Ok(changed > 0)
            };
            closed(transaction).map_err(CatalogError::during(doing))
        })?;
        if closed && let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the journal still holds who asked");
        }
        Ok(closed)
    }
}

/// Blanks the identifier of a site's requests, received until then, that were found to be about the subject, or that name
/// one of the names. Letters count alike. Returns how many.
pub(crate) fn blank_requests(
    transaction: &Transaction<'_>,
    subject: &Subject,
    names: &[String],
    received_until_ms: i64,
) -> rusqlite::Result<usize> {
    let mut statement = transaction.prepare_cached(
        "SELECT id, identifier, subject FROM rights_requests
         WHERE site_id = ?1 AND closed_at_ms IS NULL AND identifier <> '' AND received_at_ms <= ?2",
    )?;
    let named = |row: &Row<'_>| -> rusqlite::Result<Option<i64>> {
        let identifier: String = row.get(1)?;
        let about: Subject = read_json(row, 2)?;
        let is_theirs = names.iter().any(|name| name.eq_ignore_ascii_case(&identifier))
            || about.visitors.iter().any(|visitor| subject.visitors.contains(visitor))
            || about.users.iter().any(|user| subject.users.contains(user));
        Ok(is_theirs.then_some(row.get(0)?))
    };
    let found = statement.query_map(params![subject.site_id.0, received_until_ms], named)?;
    let found: Vec<Option<i64>> = found.collect::<rusqlite::Result<_>>()?;
    let mut blank =
        transaction.prepare_cached("UPDATE rights_requests SET identifier = '' WHERE id = ?1")?;
    let mut count = 0;
    for id in found.into_iter().flatten() {
        count += blank.execute([id])?;
    }
    Ok(count)
}

fn reference() -> Result<String, CatalogError> {
    let mut random = [0_u8; REFERENCE_SIZE_BYTES];
    getrandom::fill(&mut random).map_err(|_| CatalogError::Random)?;
    Ok(random.iter().map(|byte| format!("{byte:02X}")).collect())
}

fn add(
    transaction: &Transaction<'_>,
    new: &NewRequest,
    reference: &str,
    step: &NewStep,
) -> Result<RightsRequest, CatalogError> {
    let count = format!(
        "SELECT count(*) FROM rights_requests WHERE site_id = {} AND closed_at_ms IS NULL",
        new.site_id
    );
    require_room(transaction, &count, "open requests", OPEN_REQUESTS_PER_SITE_MAX)?;
    let recorded = || {
        transaction.execute(
            "INSERT INTO rights_requests (site_id, reference, kind, law, source, state,
                identifier_kind, identifier, subject, received_at_ms, due_at_ms, extended, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, 'open', ?6, ?7, ?8, ?9, ?10, 0, '')",
            params![
                new.site_id.0,
                reference,
                new.kind.name(),
                new.law.name(),
                new.source.name(),
                new.identifier_kind,
                new.identifier,
                serde_json::to_string(&new.subject).unwrap_or_default(),
                new.received_at_ms,
                new.due_at_ms
            ],
        )?;
        let id = transaction.last_insert_rowid();
        note(transaction, id, step)?;
        find(transaction, new.site_id, id)
    };
    let found = recorded().map_err(CatalogError::during("records a request"))?;
    found.ok_or(CatalogError::Corrupt { what: "request" })
}

fn begin_erasure(
    transaction: &Transaction<'_>,
    (site, id): (SiteId, i64),
    erasure: &NewErasure,
    step: &NewStep,
) -> Result<Option<ErasureId>, CatalogError> {
    let doing = "begins to fulfil a request";
    let subject = serde_json::to_string(&erasure.subject).unwrap_or_default();
    let fulfilled = || {
        let changed = transaction
            .prepare_cached(
                "UPDATE rights_requests SET state = 'erasing', subject = ?3, identifier = ''
                 WHERE site_id = ?1 AND id = ?2 AND state = 'open'",
            )?
            .execute(params![site.0, id, subject])?;
        if changed > 0 {
            note(transaction, id, step)?;
        }
        Ok(changed > 0)
    };
    if !fulfilled().map_err(CatalogError::during(doing))? {
        return Ok(None);
    }
    let erasure = NewErasure { request_id: Some(id), ..erasure.clone() };
    let begun = erasures::begin(transaction, &erasure, step.at_ms)?;
    transaction
        .prepare_cached("UPDATE rights_requests SET erasure_id = ?2 WHERE id = ?1")
        .and_then(|mut statement| statement.execute(params![id, begun.0]))
        .map_err(CatalogError::during(doing))?;
    Ok(Some(begun))
}

/// Closes the request that an erasure fulfils, in the transaction that says that it is done.
pub(crate) fn close_erased_request(
    transaction: &Transaction<'_>,
    erasure: ErasureId,
    at_ms: i64,
) -> rusqlite::Result<()> {
    let closed = transaction
        .prepare_cached(
            "UPDATE rights_requests SET state = 'done', closed_at_ms = ?2
             WHERE id = (SELECT request_id FROM erasures WHERE id = ?1)
                AND erasure_id = ?1 AND state = 'erasing' RETURNING id",
        )?
        .query_row(params![erasure.0, at_ms], |row| row.get(0))
        .optional()?;
    let step = NewStep { user: None, step: "done", note: String::new(), at_ms };
    closed.map_or(Ok(()), |id| note(transaction, id, &step))
}

fn find(connection: &Connection, site: SiteId, id: i64) -> rusqlite::Result<Option<RightsRequest>> {
    let sql = format!("SELECT {COLUMNS} FROM rights_requests WHERE site_id = ?1 AND id = ?2");
    connection.prepare_cached(&sql)?.query_row(params![site.0, id], read).optional()
}

fn note(transaction: &Transaction<'_>, id: i64, step: &NewStep) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO rights_steps (request_id, number, at_ms, user_id, step, note)
             VALUES (?1, (SELECT count(*) FROM rights_steps WHERE request_id = ?1), ?2, ?3, ?4, ?5)",
        )?
        .execute(params![id, step.at_ms, step.user.map(|user| user.0), step.step, step.note])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<RightsRequest> {
    let text = |column: usize| row.get::<_, String>(column);
    let unreadable = |column: usize| {
        rusqlite::Error::InvalidColumnType(column, String::new(), rusqlite::types::Type::Text)
    };
    let (source, state) = (text(5)?, text(6)?);
    Ok(RightsRequest {
        id: row.get(0)?,
        site_id: SiteId(row.get(1)?),
        reference: text(2)?,
        kind: RequestKind::from_name(&text(3)?).ok_or_else(|| unreadable(3))?,
        law: Law::from_name(&text(4)?).ok_or_else(|| unreadable(4))?,
        source: RequestSource::ALL
            .into_iter()
            .find(|known| known.name() == source)
            .ok_or_else(|| unreadable(5))?,
        state: RequestState::ALL
            .into_iter()
            .find(|known| known.name() == state)
            .ok_or_else(|| unreadable(6))?,
        identifier_kind: text(7)?,
        identifier: text(8)?,
        subject: read_json(row, 9)?,
        erasure_id: row.get(10)?,
        received_at_ms: row.get(11)?,
        due_at_ms: row.get(12)?,
        extended: row.get(13)?,
        reason: text(14)?,
        closed_at_ms: row.get(15)?,
    })
}
