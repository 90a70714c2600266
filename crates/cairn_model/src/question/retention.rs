//! The question behind retention: who came back, by the period of the start, and its answer.
//!
//! A visitor *starts* with the first event ever that passes the filters (or, with a starting goal, converts it as well), and
//! belongs to the cohort of its period. The visitor *returned* in a later period with any event there (or a conversion of
//! the returning goal), whatever the filters say. Only identified visitors are counted: the numbers of anonymous ones change
//! every day, so that nobody can come back with one.

use serde_json::{Value, json};

use crate::question::funnel::parse_base;
use crate::question::{Asking, Buckets, Goal, Question, QuestionError, TimeUnit};

/// Periods of one question.
pub const PERIODS_MAX: i64 = 62;

/// Asks who came back.
#[derive(Clone, PartialEq, Debug)]
pub struct RetentionQuestion {
    question: Question,
    buckets: Buckets,
    start: Option<Goal>,
    returning: Option<Goal>,
}

impl RetentionQuestion {
    /// Checks what was asked: range and filters are those of a query.
    pub fn parse(
        date_range: &Value,
        filters: &Value,
        unit: TimeUnit,
        (start, returning): (Option<Goal>, Option<Goal>),
        asking: &Asking<'_>,
    ) -> Result<RetentionQuestion, QuestionError> {
        let dimension = format!("time:{}", unit.name());
        let asked = parse_base(date_range, &Value::Null, &[&dimension], asking)?;
        let buckets = asked.buckets.clone().filter(|buckets| buckets.count() <= PERIODS_MAX);
        let buckets = buckets.ok_or_else(|| {
            let why = format!("the range has more than {PERIODS_MAX} periods");
            QuestionError::at("#/date_range", why)
        })?;
        // Whoever started before the range is not new in it.
        let end = jiff::Timestamp::from_second(asked.range.to_s).unwrap_or(jiff::Timestamp::MAX);
        let ever = json!(["0001-01-01T00:00:00Z", end.to_string()]);
        let question = parse_base(&ever, filters, &[], asking)?;
        Ok(RetentionQuestion { question, buckets, start, returning })
    }

    /// Site and filters; its range is everything up to the end of the one asked for.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// The periods of the range.
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// What a start has to be besides, if anything.
    pub fn start(&self) -> Option<&Goal> {
        self.start.as_ref()
    }

    /// What counts as coming back; `None`: anything.
    pub fn returning(&self) -> Option<&Goal> {
        self.returning.as_ref()
    }
}

/// Who came back. All lists have one entry per period.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RetentionAnswer {
    /// Visitors who started in the period.
    pub sizes: Vec<u64>,
    /// Of each cohort: how many returned in the first period after it, the second, and so on to the end of the range.
    pub returned: Vec<Vec<u64>>,
    /// Visitors in the period who had started before it, before the range too.
    pub returning: Vec<u64>,
    /// Anonymous visitors of the range whose event would have been a start: they are left out.
    pub anonymous: u64,
}

impl RetentionAnswer {
    /// Nobody, in so many periods.
    pub fn empty(periods: i64) -> RetentionAnswer {
        let periods = usize::try_from(periods).unwrap_or_default();
        RetentionAnswer {
            sizes: vec![0; periods],
            returned: (0..periods).map(|cohort| vec![0; periods - 1 - cohort]).collect(),
            returning: vec![0; periods],
            anonymous: 0,
        }
    }
}
