//! Making a block from the rows of its stretch.
//!
//! Guarantees: it holds what the rows say at the moment of the connection's transaction, neither more nor less. Only columns
//! that are wanted are read.

use cairn_model::SiteId;
use cairn_model::session::{ATTRIBUTES, Attribute};
use foldhash::{HashMap, HashSet};

use super::Span;
use super::block::{
    ACTIVE, COLUMNS, CROSSES, Column, Crossing, IDENTIFIED, KNOWN, PART_COLUMNS, Slice, Wanted,
};
use crate::duckdb::connection::{Connection, RowRef};
use crate::duckdb::error::DuckError;
use crate::duckdb::query::ordinary_events;
use crate::duckdb::texts::joined;
use crate::schema::PAGE_VIEW_CODE;

const DAY_MS: i64 = 86_400_000;
/// Visits that are looked up at once.
const VISITS_AT_ONCE: usize = 10_000;

/// A visit as its row says.
#[derive(Clone, Copy)]
struct Visit {
    session_key: u64,
    visitor: u64,
    identified: bool,
    started_at_ms: i64,
    ended_at_ms: i64,
    /// From [`Column::Pageviews`] to the last attribute; 0 where not wanted.
    numbers: [u32; PART_COLUMNS],
}

/// A part being made.
struct Part {
    session_id: u64,
    visitor: u64,
    identified: bool,
    attributes: [u32; ATTRIBUTES],
    visit: Option<Visit>,
    /// Name, host, path, and how many.
    entries: Vec<[u32; 4]>,
}

/// Parts of some events, by visit.
#[derive(Default)]
struct Parts {
    all: Vec<Part>,
    /// By visit.
    visits: HashMap<u64, PartsOfVisit>,
    /// Parts after the first one, by visit and visitor.
    others: HashMap<(u64, u64), Vec<u32>>,
}

#[derive(Clone, Copy)]
struct PartsOfVisit {
    first: u32,
    count: u32,
}

/// What a block is made for.
pub(super) struct Making<'c> {
    pub connection: &'c Connection,
    pub site_id: SiteId,
    pub span: Span,
    /// Only visitors from the first to the last number.
    pub visitors: (u64, u64),
    pub wanted: Wanted,
    /// Visits are needed that were active, whether or not they have events in the stretch.
    pub with_visits: bool,
}

impl Making<'_> {
    /// The block, its parts in the order of their visitors.
    pub(super) fn block(&self) -> Result<Slice, DuckError> {
        let mut parts = Parts::default();
        if self.with_visits {
            self.add_active_visits(&mut parts)?;
        }
        if self.wanted.has_events() {
            self.add_events(&mut parts)?;
            if self.knows_visits() {
                self.add_visits_of_events(&mut parts)?;
            }
        }
        let crossing = self.crossing(&parts)?;
        Ok(self.slice(&parts, &crossing).sorted())
    }

    /// Otherwise each visit counts as one that others may know.
    fn knows_visits(&self) -> bool {
        self.with_visits || !self.visit_numbers().is_empty()
    }

    fn among_visitors(&self) -> String {
        match self.visitors {
            (0, u64::MAX) => String::new(),
            (first, last) => format!("AND visitor_id >= {first} AND visitor_id <= {last}"),
        }
    }

    /// Expressions of a visit's numbers, in the order of the columns.
    fn visit_numbers(&self) -> Vec<(usize, String)> {
        let mut named = vec![
            (Column::Pageviews, "pageviews".to_owned()),
            (Column::Events, "events".to_owned()),
            (Column::Seconds, seconds()),
            (Column::EntryHostname, "entry_hostname".to_owned()),
            (Column::EntryPage, "entry_page".to_owned()),
            (Column::ExitHostname, "exit_hostname".to_owned()),
            (Column::ExitPage, "exit_page".to_owned()),
        ];
        if self.with_visits {
            named.extend(attributes().map(|(column, name)| (column, name.to_owned())));
        }
        let wanted = named.into_iter().filter(|(column, _)| self.wanted.has(column.place()));
        wanted.map(|(column, sql)| (column.place(), sql)).collect()
    }

    fn visits(&self, condition: &str, mut each: impl FnMut(u64, Visit)) -> Result<(), DuckError> {
        let numbers = self.visit_numbers();
        let columns: String = numbers.iter().map(|(_, sql)| format!(", {sql}")).collect();
        let sql = format!(
            "SELECT session_id, visitor_id, identified, session_key, started_at_ms, ended_at_ms {columns}
             FROM sessions WHERE site_id = {} AND {condition}",
            self.site_id
        );
        self.connection.prepare(&sql)?.stream(&[])?.for_each(|row| {
            let mut visit = Visit {
                visitor: row.get(1)?,
                identified: row.get(2)?,
                session_key: row.get(3)?,
                started_at_ms: row.get(4)?,
                ended_at_ms: row.get(5)?,
                numbers: [0; PART_COLUMNS],
            };
            for (index, (place, _)) in numbers.iter().enumerate() {
                visit.numbers[*place] = row.get(6 + index)?;
            }
            each(row.get(0)?, visit);
            Ok::<(), DuckError>(())
        })
    }

    fn add_active_visits(&self, parts: &mut Parts) -> Result<(), DuckError> {
        let Span { from_ms, until_ms } = self.span;
        let active = format!("ended_at_ms >= {from_ms} AND started_at_ms < {until_ms}");
        // One that ended before it began is asked about by its two instants apart. With both in one statement the engine would
        // look at every visit there is.
        let odd = format!(
            "ended_at_ms < {until_ms} AND started_at_ms >= {from_ms} AND ended_at_ms < started_at_ms
             AND NOT ({active})"
        );
        for condition in [active, odd] {
            let condition = format!("{condition} {}", self.among_visitors());
            self.visits(&condition, |session_id, visit| {
                parts.add(Part::of_visit(session_id, visit));
            })?;
        }
        Ok(())
    }

    fn add_events(&self, parts: &mut Parts) -> Result<(), DuckError> {
        let Span { from_ms, until_ms } = self.span;
        let wanted: Vec<(Column, &str)> =
            attributes().filter(|(column, _)| self.wanted.has(column.place())).collect();
        let columns: String = wanted.iter().map(|(_, name)| format!(", {name}")).collect();
        let entry = |column: Column, name: &'static str| match self.wanted.has(column.place()) {
            true => name,
            false => "0::UINTEGER",
        };
        let sql = format!(
            "SELECT session_id, visitor_id, identified, name, {}, {} {columns} FROM events
             WHERE site_id = {} AND timestamp_ms >= {from_ms} AND timestamp_ms < {until_ms} {} AND {}",
            entry(Column::Hostname, "hostname"),
            entry(Column::Path, "path"),
            self.site_id,
            self.among_visitors(),
            ordinary_events(),
        );
        let rows = self.connection.prepare(&sql)?.stream(&[])?;
        rows.for_each(|row| {
            let mut codes = [0; ATTRIBUTES];
            for (index, (column, _)) in wanted.iter().enumerate() {
                if let Column::Attribute(place) = column {
                    codes[usize::from(*place)] = row.get(6 + index)?;
                }
            }
            self.add_event(parts, row, codes)
        })
    }

    fn add_event(
        &self,
        parts: &mut Parts,
        row: RowRef<'_>,
        attributes: [u32; ATTRIBUTES],
    ) -> Result<(), DuckError> {
        let (session_id, visitor, identified) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let part = parts.of_event(session_id, visitor, identified, attributes);
        let entry = [row.get(3)?, row.get(4)?, row.get(5)?];
        match part.entries.iter_mut().find(|known| known[..3] == entry) {
            Some(known) => known[3] += 1,
            None => part.entries.push([entry[0], entry[1], entry[2], 1]),
        }
        Ok(())
    }

    /// Visits of the events that were not active in the stretch, or were not asked for.
    fn add_visits_of_events(&self, parts: &mut Parts) -> Result<(), DuckError> {
        let mut unknown: Vec<u64> = Vec::new();
        for part in parts.all.iter().filter(|part| part.visit.is_none() && part.session_id != 0) {
            unknown.push(part.session_id);
        }
        unknown.sort_unstable();
        unknown.dedup();
        let mut found: HashMap<u64, Visit> = HashMap::default();
        for some in unknown.chunks(VISITS_AT_ONCE) {
            let (Some(first), Some(last)) = (some.first(), some.last()) else { continue };
            let list = joined(some.iter());
            let condition = format!(
                "session_id >= {first} AND session_id <= {last} AND session_id IN
                 (SELECT unnest(string_split('{list}', ','))::UBIGINT)"
            );
            self.visits(&condition, |session_id, visit| {
                found.insert(session_id, visit);
            })?;
        }
        for part in &mut parts.all {
            if part.visit.is_none() {
                part.visit = found.get(&part.session_id).copied();
            }
        }
        Ok(())
    }

    /// Visits with events of which some are not in the stretch.
    fn crossing(&self, parts: &Parts) -> Result<HashSet<u64>, DuckError> {
        let mut crossing = HashSet::default();
        if !self.wanted.has_events() || !self.knows_visits() {
            return Ok(crossing);
        }
        let Span { from_ms, until_ms } = self.span;
        // Between two events of a visit that follow one another lies less than a day, but where an import numbers its own.
        let sql = format!(
            "SELECT DISTINCT session_id FROM events WHERE site_id = {} AND timestamp_ms >= {}
             AND timestamp_ms < {} AND NOT (timestamp_ms >= {from_ms} AND timestamp_ms < {until_ms})",
            self.site_id,
            from_ms.saturating_sub(DAY_MS),
            until_ms.saturating_add(DAY_MS),
        );
        self.connection.prepare(&sql)?.stream(&[])?.for_each(|row| {
            let session_id: u64 = row.get(0)?;
            if parts.visits.contains_key(&session_id) {
                crossing.insert(session_id);
            }
            Ok::<(), DuckError>(())
        })?;
        Ok(crossing)
    }

    fn slice(&self, parts: &Parts, crossing: &HashSet<u64>) -> Slice {
        let mut slice = Slice::empty();
        let mut numbers: Vec<Vec<u32>> = vec![Vec::new(); COLUMNS];
        for part in &parts.all {
            let is_split = parts.visits.get(&part.session_id).is_some_and(|of| of.count > 1);
            let crosses = is_split
                || part.session_id == 0
                || crossing.contains(&part.session_id)
                || part.visit.is_none_or(|visit| visit.session_key != 0 || !visit.is_in(self.span));
            let flags = self.flags(part) | if crosses { CROSSES } else { 0 };
            if crosses {
                let visit = part.visit.map(|visit| (visit.started_at_ms, visit.ended_at_ms));
                let (started_at_ms, ended_at_ms) = visit.unwrap_or_default();
                let session_id = part.session_id;
                let part = slice.visitors.len() as u32;
                slice.crossing.push(Crossing { part, session_id, started_at_ms, ended_at_ms });
            }
            slice.visitors.push(part.visitor);
            let mut of_part = part.visit.map_or([0; PART_COLUMNS], |visit| visit.numbers);
            of_part[Column::Flags.place()] = flags;
            of_part[Column::Entries.place()] = part.entries.len() as u32;
            let (pageviews, events) = part.counted();
            of_part[Column::PartPageviews.place()] = pageviews;
            of_part[Column::PartEvents.place()] = events;
            for (place, attribute) in (0..).zip(part.attributes) {
                of_part[Column::Attribute(place).place()] = attribute;
            }
            for (place, number) in of_part.into_iter().enumerate() {
                numbers[place].push(number);
            }
            for (index, place) in (PART_COLUMNS..COLUMNS).enumerate() {
                numbers[place].extend(part.entries.iter().map(|entry| entry[index]));
            }
        }
        for (place, numbers) in numbers.into_iter().enumerate() {
            if self.wanted.has(place) {
                slice.columns[place] = numbers;
            }
        }
        slice
    }

    fn flags(&self, part: &Part) -> u32 {
        let mut flags = if part.identified { IDENTIFIED } else { 0 };
        if let Some(visit) = part.visit {
            flags |= KNOWN;
            // Events that differ from their visit are a part of their own beside the visit's.
            let is_of_visit = part.is_of(visit, &self.wanted);
            if self.with_visits && is_of_visit && visit.touches(self.span) {
                flags |= ACTIVE;
            }
        }
        flags
    }
}

/// Every attribute with the name of its column in both tables.
fn attributes() -> impl Iterator<Item = (Column, &'static str)> {
    (0..).zip(Attribute::ALL).map(|(place, one)| (Column::Attribute(place), one.column()))
}

/// The duration as questions count it: from second to second.
fn seconds() -> String {
    // Rounded down before 1970 as well.
    let second = |column: &str| format!("(({column} + 62135596800000000) // 1000)");
    let (start, end) = (second("started_at_ms"), second("ended_at_ms"));
    format!("least(abs({end} - {start}), 4294967295)::UINTEGER")
}

impl Visit {
    /// All of it lies in the stretch, and it ended after it began.
    fn is_in(&self, span: Span) -> bool {
        span.from_ms <= self.started_at_ms
            && self.started_at_ms <= self.ended_at_ms
            && self.ended_at_ms < span.until_ms
    }

    /// A question about some range might count it in this stretch.
    fn touches(&self, span: Span) -> bool {
        let (first, last) =
            (self.started_at_ms.min(self.ended_at_ms), self.started_at_ms.max(self.ended_at_ms));
        last >= span.from_ms && first < span.until_ms
    }
}

impl Part {
    fn of_visit(session_id: u64, visit: Visit) -> Part {
        let mut part = Part {
            session_id,
            visitor: visit.visitor,
            identified: visit.identified,
            attributes: [0; ATTRIBUTES],
            visit: Some(visit),
            entries: Vec::new(),
        };
        for (place, attribute) in (0..).zip(&mut part.attributes) {
            *attribute = visit.numbers[Column::Attribute(place).place()];
        }
        part
    }

    /// Page views, and all ordinary events.
    fn counted(&self) -> (u32, u32) {
        let counts = |entry: &[u32; 4]| match entry[0] {
            PAGE_VIEW_CODE => (entry[3], entry[3]),
            _ => (0, entry[3]),
        };
        let sum = |(views, all), entry| {
            let (more_views, more): (u32, u32) = counts(entry);
            (views + more_views, all + more)
        };
        self.entries.iter().fold((0, 0), sum)
    }

    fn is_of(&self, visit: Visit, wanted: &Wanted) -> bool {
        let same = |place: u8| {
            let column = Column::Attribute(place).place();
            !wanted.has(column) || self.attributes[usize::from(place)] == visit.numbers[column]
        };
        self.visitor == visit.visitor
            && self.identified == visit.identified
            && (0..ATTRIBUTES as u8).all(same)
    }

    fn is_like(&self, visitor: u64, identified: bool, attributes: &[u32; ATTRIBUTES]) -> bool {
        self.visitor == visitor && self.identified == identified && self.attributes == *attributes
    }
}

impl Parts {
    fn add(&mut self, part: Part) -> usize {
        let place = self.all.len() as u32;
        let of_visit = PartsOfVisit { first: place, count: 0 };
        let of_visit = self.visits.entry(part.session_id).or_insert(of_visit);
        of_visit.count += 1;
        if of_visit.count > 1 {
            self.others.entry((part.session_id, part.visitor)).or_default().push(place);
        }
        self.all.push(part);
        place as usize
    }

    /// The part that an event belongs to.
    fn of_event(
        &mut self,
        session_id: u64,
        visitor: u64,
        identified: bool,
        attributes: [u32; ATTRIBUTES],
    ) -> &mut Part {
        let first = self.visits.get(&session_id).map(|of_visit| of_visit.first);
        let is_like =
            |place: &u32| self.all[*place as usize].is_like(visitor, identified, &attributes);
        let others = || self.others.get(&(session_id, visitor))?.iter().copied().find(is_like);
        let found = first.filter(is_like).or_else(others);
        let place = match found {
            Some(place) => place as usize,
            None => {
                let visit = first.and_then(|first| self.all[first as usize].visit);
                let entries = Vec::new();
                self.add(Part { session_id, visitor, identified, attributes, visit, entries })
            }
        };
        &mut self.all[place]
    }
}
