//! What visitors did, in order: the rows that funnels and journeys are made from.
//!
//! Guarantees: a visitor's (or visit's) moments come one after the other, by time and then by arrival; rows are read as they
//! are made, so that memory does not grow with them.

use std::collections::HashMap;

use cairn_model::question::funnel::{Waypoint, ranked};
use cairn_model::question::{Engagement, Goal, Question};

use super::predicate::{Predicates, Table, dimension_texts, ordinary_condition};
use super::sides::{event_key, joined_visits};
use super::statement::all_of;
use crate::duckdb::connection::Connection;
use crate::duckdb::error::DuckError;
use crate::duckdb::texts::{Decoded, Wanted, texts_of};
use crate::schema::{ENGAGEMENT_CODE, PAGE_VIEW_CODE, TextField};

/// A page by the code of its path, or an event by that of its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Spot(u32);

/// Marks names: codes of texts stay below it.
const NAME: u32 = 1 << 31;

impl Spot {
    fn of(name: u32, path: u32) -> Spot {
        if name == PAGE_VIEW_CODE { Spot(path) } else { Spot(name | NAME) }
    }

    fn place(self) -> (TextField, u32) {
        match self.0 & NAME {
            0 => (TextField::Path, self.0),
            _ => (TextField::Name, self.0 & !NAME),
        }
    }
}

/// Texts of spots.
pub(super) struct Spots {
    site_id: u32,
    texts: Decoded,
}

impl Spots {
    /// Reads the texts of these spots.
    pub(super) fn read(
        connection: &Connection,
        site_id: u32,
        spots: impl Iterator<Item = Spot>,
    ) -> Result<Spots, DuckError> {
        let mut wanted = Wanted::default();
        for (field, code) in spots.map(Spot::place) {
            wanted.insert(site_id, field, code);
        }
        Ok(Spots { site_id, texts: wanted.read(connection)? })
    }

    /// What a spot is.
    pub(super) fn waypoint(&self, spot: Spot) -> Result<Waypoint, DuckError> {
        let (field, code) = spot.place();
        let text = self.texts.get(self.site_id, field, code)?.to_owned();
        Ok(if field == TextField::Path { Waypoint::Page(text) } else { Waypoint::Event(text) })
    }

    /// The spots with the largest counts, and the sum of the others.
    pub(super) fn ranked(
        &self,
        counts: &HashMap<Spot, u64>,
        most: usize,
    ) -> Result<(Vec<(Waypoint, u64)>, u64), DuckError> {
        let named = counts.iter().map(|(spot, count)| Ok((self.waypoint(*spot)?, *count)));
        Ok(ranked(named.collect::<Result<_, DuckError>>()?, most))
    }
}

/// An event on somebody's way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'r> {
    pub(super) visitor_id: u64,
    pub(super) session_id: u64,
    pub(super) at_ms: i64,
    pub(super) offset: u64,
    pub(super) is_identified: bool,
    /// A page view or an event; no report of engagement that is here for a goal.
    pub(super) is_ordinary: bool,
    pub(super) spot: Spot,
    /// The goals that it converts, one bit each, the first the lowest.
    pub(super) goals: u32,
    /// Value of the dimension asked for.
    pub(super) group: &'r str,
}

/// Which moments are wanted.
pub(super) struct Moments<'q> {
    pub(super) question: &'q Question,
    /// At most 31. Whoever never converted the first one is left out.
    pub(super) goals: &'q [Goal],
    /// Leave out what converts none of them.
    pub(super) only_goals: bool,
    /// Part a visitor's moments by visit, and leave out those that belong to none.
    pub(super) by_visit: bool,
}

impl Moments<'_> {
    /// Calls `each` for every moment.
    pub(super) fn for_each(
        &self,
        connection: &Connection,
        mut each: impl FnMut(Moment<'_>) -> Result<(), DuckError>,
    ) -> Result<(), DuckError> {
        let mut predicates = Predicates::new(self.question);
        let sql = self.statement(&mut predicates);
        let is_grouped = !self.question.dimensions.is_empty();
        let values = predicates.parameters.values();
        let mut statement = connection.prepare(&sql)?;
        statement.stream(&values)?.for_each(|row| {
            let group = if is_grouped { row.get(9)? } else { "" };
            each(Moment {
                visitor_id: row.get(0)?,
                session_id: row.get(1)?,
                at_ms: row.get(2)?,
                offset: row.get(3)?,
                is_identified: row.get(4)?,
                is_ordinary: row.get(5)?,
                spot: Spot::of(row.get(6)?, row.get(7)?),
                goals: row.get(8)?,
                group,
            })
        })
    }

    fn statement(&self, predicates: &mut Predicates<'_>) -> String {
        let dimensions = &self.question.dimensions;
        let site = self.question.site_id;
        let visits = joined_visits(site, dimensions);
        let mut kept = predicates.stored_in_range();
        kept.extend(predicates.conditions(&self.question.filters, Table::Events));
        if self.by_visit {
            kept.push("session_id <> 0".to_owned());
        }
        let kept = all_of(&kept);
        let converted: Vec<String> =
            self.goals.iter().map(|goal| counting(&predicates.converts(goal))).collect();
        let bits = converted.iter().enumerate();
        let bits: Vec<String> = bits
            .map(|(index, converts)| format!("CASE WHEN {converts} THEN {} ELSE 0 END", 1 << index))
            .collect();
        let first = converted.first().map_or("TRUE", String::as_str);
        let ordinary = ordinary_condition(Engagement::Hidden, false);
        let (mut key, mut group, mut texts) = (String::new(), "", String::new());
        if let Some(dimension) = dimensions.first() {
            key = format!(", {} AS k", event_key(dimension, predicates));
            group = ", k";
            if let Some(field) = dimension_texts(dimension) {
                texts = format!("JOIN {} d ON d.code = k", texts_of(site.0, field));
                group = ", d.text";
            }
        }
        let unit = if self.by_visit { "session_id" } else { "visitor_id" };
        let parted = if self.by_visit { "session_id, " } else { "" };
        let shown = if self.only_goals { "goals <> 0" } else { "(ordinary OR goals <> 0)" };
        format!(
            "SELECT visitor_id, session_id, timestamp_ms, event_offset, identified, ordinary, name, path, goals{group}
             FROM (SELECT visitor_id, session_id, timestamp_ms, event_offset, identified, {ordinary} AS ordinary,
                          name, path, ({})::UINTEGER AS goals{key}
                   FROM events {visits} WHERE {kept}) {texts}
             WHERE {shown} AND {unit} IN (SELECT {unit} FROM events WHERE {kept} AND {first})
             ORDER BY visitor_id, {parted}timestamp_ms, event_offset",
            bits.join(" + ")
        )
    }
}

/// Reports of engagement count where they belong to a visit.
fn counting(converts: &str) -> String {
    format!("((name <> {ENGAGEMENT_CODE} OR session_id <> 0) AND {converts})")
}
