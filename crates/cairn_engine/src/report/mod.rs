//! Reports: from a query's body to its reply.
//!
//! Guarantees: a reply is made only from a checked question; errors name what is wrong in the asker's own words and
//! nothing of what is stored. It does not know HTTP, nor who may ask about which site.

mod accounts;
pub mod attribution;
mod comparison;
pub mod csv;
pub mod digest;
pub mod export;
pub mod lists;
mod money;
mod parquet;
pub mod paths;
mod reply;
pub mod shared;

pub use accounts::{Books, Prefetched};

use ::parquet::errors::ParquetError;
use cairn_model::SiteId;
use cairn_model::question::{Asking, Goal, Question, QuestionError};
use cairn_store::{EventStore, StoreError};
use serde_json::Value;

use accounts::Asker;

/// What a report needs to know about its site.
#[derive(Clone, Copy, Debug)]
pub struct ReportSite<'a> {
    /// The site.
    pub site_id: SiteId,
    /// IANA name of its zone.
    pub timezone: &'a str,
    /// Its goals.
    pub goals: &'a [Goal],
    /// When new anonymous visitors began because the process was restarted, Unix milliseconds, in order.
    pub restarts_ms: &'a [i64],
    /// Rates and costs; `None`: nothing may be asked about money.
    pub books: Option<Books<'a>>,
}

impl<'a> ReportSite<'a> {
    /// What checking a question needs to know of the site. The store is asked only where the range begins with its first event.
    fn asking(
        self,
        store: &dyn EventStore,
        date_range: &Value,
        now_ms: i64,
    ) -> Result<Asking<'a>, StoreError> {
        let ReportSite { site_id, timezone, goals, .. } = self;
        let first_event_ms = match Question::needs_first_event(date_range) {
            true => store.first_event_ms(site_id)?,
            false => None,
        };
        Ok(Asking { site_id, timezone, now_ms, first_event_ms, goals })
    }

    /// The site's currency, where money may be asked about.
    fn currency(&self) -> &'a str {
        self.books.map_or("", |books| books.currency)
    }
}

/// Why there is no reply.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// HTTP status that fits.
    pub status: u16,
    /// Stable code.
    pub code: &'static str,
    /// What may be shown.
    pub message: String,
    /// JSON pointer to the offending part.
    pub field: Option<String>,
}

impl From<QuestionError> for QueryError {
    fn from(error: QuestionError) -> Self {
        QueryError { status: 400, code: error.code, message: error.message, field: error.field }
    }
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        let (status, code, message) = match error {
            StoreError::TooExpensive { .. } => {
                (422, "too_expensive", format!("{error}; ask for a shorter range or fewer groups"))
            }
            _ => (503, "store_unavailable", "the event store cannot answer now".to_owned()),
        };
        QueryError { status, code, message, field: None }
    }
}

/// Writing a file: nothing of what it would have held is told.
impl From<ParquetError> for QueryError {
    fn from(_: ParquetError) -> Self {
        let message = "the file cannot be written".to_owned();
        QueryError { status: 503, code: "file_not_written", message, field: None }
    }
}

/// The site that a body names, by its id or domain.
pub fn site_id_of(body: &Value) -> Result<&str, QueryError> {
    match body.get("site_id").map(Value::as_str) {
        Some(Some(name)) if !name.is_empty() => Ok(name),
        Some(_) => Err(invalid("#/site_id: site_id has to be a site's id or domain", "#/site_id")),
        None => Err(invalid("required keys are missing: site_id", "#/site_id")),
    }
}

fn invalid(message: &str, field: &str) -> QueryError {
    let (code, message) = ("invalid_query", message.to_owned());
    QueryError { status: 400, code, message, field: Some(field.to_owned()) }
}

/// Answers a query: `results`, `meta` and `query`.
pub fn ask(
    store: &dyn EventStore,
    site: ReportSite<'_>,
    body: &Value,
    now_ms: i64,
) -> Result<Value, QueryError> {
    ask_after(&Prefetched::default(), store, site, body, now_ms)
}

/// The same, with what [`prefetch`] found.
pub fn ask_after(
    prefetched: &Prefetched,
    store: &dyn EventStore,
    site: ReportSite<'_>,
    body: &Value,
    now_ms: i64,
) -> Result<Value, QueryError> {
    let question = parsed(store, site, body, now_ms)?;
    let compared = comparison::answer(&Asker { store, site, prefetched }, &question)?;
    Ok(reply::reply(&question, &compared, site))
}

/// Asks for what several queries of one site need and the store counts together at much less than one after the other. Queries
/// that are wrong are left alone.
pub fn prefetch<'b>(
    store: &dyn EventStore,
    site: ReportSite<'_>,
    bodies: impl Iterator<Item = &'b Value>,
    now_ms: i64,
) -> Prefetched {
    let questions = bodies.filter_map(|body| parsed(store, site, body, now_ms).ok());
    let first = questions.flat_map(|question| comparison::asked_first(&question));
    Prefetched::of(store, first.collect())
}

/// Checks a query.
fn parsed(
    store: &dyn EventStore,
    site: ReportSite<'_>,
    body: &Value,
    now_ms: i64,
) -> Result<Question, QueryError> {
    let asking = site.asking(store, &body["date_range"], now_ms)?;
    Ok(Question::parse(body, &asking)?)
}
