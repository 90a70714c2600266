//! The question behind a list of stored events: which ones, and where the page begins.

use serde_json::{Value, json};

use crate::question::{Asking, Question, QuestionError};

/// Events of one page, unless asked otherwise.
pub const EVENTS_PER_PAGE: u32 = 100;
/// Most events of one page.
pub const EVENTS_PER_PAGE_MAX: u32 = 1_000;

/// Asks for stored events, newest first.
#[derive(Clone, PartialEq, Debug)]
pub struct EventsQuestion {
    question: Question,
    before_offset: Option<u64>,
    limit: u32,
}

impl EventsQuestion {
    /// Checks what was asked. `filters` are those of a query (`null` for none); `before_offset` is the offset of the last
    /// event of the page before; `date_range` is that of a query (`null` for all time).
    pub fn parse(
        filters: &Value,
        date_range: &Value,
        before_offset: Option<u64>,
        limit: Option<u32>,
        asking: &Asking<'_>,
    ) -> Result<EventsQuestion, QuestionError> {
        let all_time = json!(["0001-01-01T00:00:00Z", "9998-12-31T00:00:00Z"]);
        let body = json!({
            "site_id": "",
            "metrics": ["events"],
            "date_range": if date_range.is_null() { &all_time } else { date_range },
            "filters": if filters.is_null() { json!([]) } else { filters.clone() },
        });
        let limit = limit.unwrap_or(EVENTS_PER_PAGE);
        if !(1..=EVENTS_PER_PAGE_MAX).contains(&limit) {
            let why = format!("{limit} is no whole number from 1 to {EVENTS_PER_PAGE_MAX}");
            return Err(QuestionError::at("#/limit", why));
        }
        Ok(EventsQuestion { question: Question::parse(&body, asking)?, before_offset, limit })
    }

    /// The same for another page, of at most so many events.
    pub fn page(&self, before_offset: Option<u64>, limit: usize) -> EventsQuestion {
        let limit = u32::try_from(limit).unwrap_or(EVENTS_PER_PAGE_MAX);
        let limit = limit.clamp(1, EVENTS_PER_PAGE_MAX);
        EventsQuestion { question: self.question.clone(), before_offset, limit }
    }

    /// Site, range and filters.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Only events with a smaller offset.
    pub fn before_offset(&self) -> Option<u64> {
        self.before_offset
    }

    /// At most so many.
    pub fn limit(&self) -> u32 {
        self.limit
    }
}
