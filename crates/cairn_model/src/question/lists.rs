//! The questions behind lists of visits, of visitors and of people, and what is told of each of them.

use serde_json::Value;

use crate::question::funnel::parse_base;
use crate::question::{Asking, Question, QuestionError};
use crate::{Session, VisitorId};

/// Entries of one page, unless asked otherwise.
pub const LISTED_PER_PAGE: u32 = 50;
/// Most entries of one page.
pub const LISTED_PER_PAGE_MAX: u32 = 200;

/// Asks for a page of visits, of visitors or of people, the latest first.
#[derive(Clone, PartialEq, Debug)]
pub struct ListQuestion {
    question: Question,
    before: Option<(i64, u64)>,
    limit: u32,
}

impl ListQuestion {
    /// Checks what was asked. Range and filters are those of a query; `before` are time and number of the last entry of the
    /// page before.
    pub fn parse(
        date_range: &Value,
        filters: &Value,
        before: Option<(i64, u64)>,
        limit: u32,
        asking: &Asking<'_>,
    ) -> Result<ListQuestion, QuestionError> {
        // One more than a page holds tells that there is another page.
        if !(1..=LISTED_PER_PAGE_MAX + 1).contains(&limit) {
            let why = format!("{limit} is no whole number from 1 to {LISTED_PER_PAGE_MAX}");
            return Err(QuestionError::at("#/limit", why));
        }
        let question = parse_base(date_range, filters, &[], asking)?;
        Ok(ListQuestion { question, before, limit })
    }

    /// Site, range and filters.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Only entries after this time and number, in the list's order.
    pub fn before(&self) -> Option<(i64, u64)> {
        self.before
    }

    /// At most so many.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }
}

/// A person in a range: somebody whom events name by permission.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PersonSummary {
    /// Keyed hash of the user id.
    pub user_key: u64,
    /// Browsers and devices.
    pub visitors: u64,
    /// Visits that these events belong to.
    pub visits: u64,
    /// Page views and events.
    pub events: u64,
    /// The first of them, Unix milliseconds.
    pub first_ms: i64,
    /// The last of them.
    pub last_ms: i64,
}

/// A visitor in a range: a browser or device, whether it may be known again or not.
#[derive(Clone, PartialEq, Debug)]
pub struct VisitorSummary {
    /// Visits that pass.
    pub visits: u64,
    /// Their page views.
    pub pageviews: u64,
    /// Their page views and events.
    pub events: u64,
    /// When the first of them began, Unix milliseconds.
    pub first_ms: i64,
    /// When the last of them ended.
    pub last_ms: i64,
    /// The one of them that arrived last.
    pub last_visit: Session,
}

/// What a visit brought in a range.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VisitConversions {
    /// The visit.
    pub session_id: u64,
    /// Goals of the site that it converted, by position.
    pub goals: Vec<usize>,
    /// Its orders, each once, also those without an amount.
    pub orders: u64,
    /// What they brought without what was given back: currency and minor units, by currency.
    pub revenue: Vec<(String, i64)>,
}

/// Whose events are told one after the other: an entry of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// A visit's.
    Visit(u64),
    /// A visitor's, from the first visit on.
    Visitor(VisitorId),
    /// Those that name a person, by the keyed hash of the user id.
    Person(u64),
}

impl Whose {
    /// The number; 0 is nobody's, though events have it where they have none.
    pub fn number(self) -> u64 {
        match self {
            Whose::Visit(number) | Whose::Person(number) => number,
            Whose::Visitor(visitor) => visitor.0,
        }
    }
}
