//! One stretch of time of one site, summed up: each visit once, with what it did in the stretch.
//!
//! A *part* is a visit's events in the stretch that share a visitor and attributes: nearly always all of them. Parts lie in
//! the order of their visitors, so that distinct visitors of many blocks are counted a few at a time. Numbers are codes of
//! texts, counts and seconds; a block of a file holds each column's different numbers once and small places instead.

use cairn_model::session::ATTRIBUTES;

use super::run::{Cursor, Run};

/// What a part knows, a number each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Column {
    /// Bits, below.
    Flags,
    /// The visit's page views, in all.
    Pageviews,
    /// The visit's page views and custom events, in all.
    Events,
    /// From the visit's start to its end.
    Seconds,
    EntryHostname,
    EntryPage,
    ExitHostname,
    ExitPage,
    /// An attribute, by its place in `Attribute::ALL`.
    Attribute(u8),
    /// The part's page views in the stretch.
    PartPageviews,
    /// The part's page views and custom events in the stretch.
    PartEvents,
    /// How many entries the part has.
    Entries,
    /// Of an entry: the events' name.
    Name,
    /// Of an entry: their host.
    Hostname,
    /// Of an entry: their path.
    Path,
    /// Of an entry: how many there are.
    Count,
}

/// The visit belongs to the stretch as the visits' side of a question sees it: it was active there.
pub(super) const ACTIVE: u32 = 1;
/// The visit is known: its entry and exit may be asked for.
pub(super) const KNOWN: u32 = 2;
/// The visitor was identified.
pub(super) const IDENTIFIED: u32 = 4;
/// Other stretches may hold something of the visit as well: [`Crossing`] tells which one it is.
pub(super) const CROSSES: u32 = 8;

const FIRST_ATTRIBUTE: usize = 8;
/// Columns with a number for each part; the others have one for each entry.
pub(super) const PART_COLUMNS: usize = FIRST_ATTRIBUTE + ATTRIBUTES + 3;
/// All columns.
pub(super) const COLUMNS: usize = PART_COLUMNS + 4;

impl Column {
    /// Its place in a block.
    pub(super) fn place(self) -> usize {
        match self {
            Column::Flags => 0,
            Column::Pageviews => 1,
            Column::Events => 2,
            Column::Seconds => 3,
            Column::EntryHostname => 4,
            Column::EntryPage => 5,
            Column::ExitHostname => 6,
            Column::ExitPage => 7,
            Column::Attribute(place) => FIRST_ATTRIBUTE + usize::from(place),
            Column::PartPageviews => PART_COLUMNS - 3,
            Column::PartEvents => PART_COLUMNS - 2,
            Column::Entries => PART_COLUMNS - 1,
            Column::Name => PART_COLUMNS,
            Column::Hostname => PART_COLUMNS + 1,
            Column::Path => PART_COLUMNS + 2,
            Column::Count => PART_COLUMNS + 3,
        }
    }

    pub(super) fn is_of_entries(self) -> bool {
        self.place() >= PART_COLUMNS
    }
}

/// Which columns are needed: a bit for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Wanted(u64);

impl Wanted {
    pub(super) fn all() -> Wanted {
        Wanted(u64::MAX)
    }

    pub(super) fn add(&mut self, column: Column) {
        self.0 |= 1 << column.place();
    }

    pub(super) fn has(&self, place: usize) -> bool {
        self.0 >> place & 1 == 1
    }

    /// Whether anything of the stretch's events is needed.
    pub(super) fn has_events(&self) -> bool {
        self.has(Column::Entries.place()) || self.has(Column::PartEvents.place())
    }
}

/// The visit of a part that other stretches may know as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Crossing {
    /// The part's place in the block.
    pub part: u32,
    /// 0: events that belong to no visit.
    pub session_id: u64,
    pub started_at_ms: i64,
    pub ended_at_ms: i64,
}

/// Some parts of a block, those of visitors that follow one another, with the columns that were wanted.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Slice {
    pub visitors: Vec<u64>,
    /// Empty where a column was not wanted.
    pub columns: Vec<Vec<u32>>,
    /// By part, the place of which is counted from the slice's first.
    pub crossing: Vec<Crossing>,
}

impl Default for Slice {
    fn default() -> Slice {
        Slice::empty()
    }
}

impl Slice {
    pub(super) fn empty() -> Slice {
        Slice { visitors: Vec::new(), columns: vec![Vec::new(); COLUMNS], crossing: Vec::new() }
    }

    /// Forgets its parts; there is room for as many.
    pub(super) fn clear(&mut self) {
        self.visitors.clear();
        self.columns.iter_mut().for_each(Vec::clear);
        self.crossing.clear();
    }

    pub(super) fn column(&self, column: Column) -> &[u32] {
        &self.columns[column.place()]
    }

    /// The same; `None` where it was not wanted.
    pub(super) fn wanted(&self, column: Column) -> Option<&[u32]> {
        Some(self.column(column)).filter(|numbers| !numbers.is_empty())
    }

    /// What other blocks know of this part's visit.
    #[inline]
    pub(super) fn crossing_of(&self, part: usize, flags: u32) -> Option<&Crossing> {
        if flags & CROSSES == 0 {
            return None;
        }
        let place = self.crossing.binary_search_by_key(&part, |one| one.part as usize);
        place.ok().map(|place| &self.crossing[place])
    }

    /// Adds parts after those it has.
    pub(super) fn append(&mut self, run: &Run<'_>) {
        let Run { slice, parts, entries, crossing, .. } = run;
        let before = self.visitors.len() as u32;
        self.visitors.extend_from_slice(slice.visitors.get(parts.clone()).unwrap_or_default());
        for (place, (column, more)) in self.columns.iter_mut().zip(&slice.columns).enumerate() {
            let rows = if place < PART_COLUMNS { parts } else { entries };
            column.extend_from_slice(more.get(rows.clone()).unwrap_or_default());
        }
        let first = parts.start as u32;
        let moved = |one: &Crossing| Crossing { part: one.part - first + before, ..*one };
        self.crossing.extend(crossing.iter().map(moved));
    }

    /// The parts of some visitors, the first and the last of whom are given, into what another slice had room for.
    pub(super) fn of_visitors(&self, (first, last): (u64, u64), some: &mut Slice) {
        let mut cursor = Cursor::new(self);
        cursor.run_until(first);
        let run = match last.checked_add(1) {
            Some(until) => cursor.run_until(until),
            None => cursor.rest(),
        };
        some.clear();
        some.append(&run);
    }

    /// The parts put in the order of their visitors.
    pub(super) fn sorted(self) -> Slice {
        let mut order: Vec<u32> = (0..self.visitors.len() as u32).collect();
        order.sort_by_key(|part| self.visitors[*part as usize]);
        let mut places = vec![0_u32; order.len()];
        for (place, part) in (0..).zip(&order) {
            places[*part as usize] = place;
        }
        let mut starts = Vec::with_capacity(order.len());
        let mut next = 0;
        for entries in self.column(Column::Entries) {
            starts.push(next);
            next += *entries as usize;
        }
        let columns = (0..COLUMNS).map(|place| {
            let from = &self.columns[place];
            if from.is_empty() {
                return Vec::new();
            }
            if place < PART_COLUMNS {
                return order.iter().map(|part| from[*part as usize]).collect();
            }
            let entries = self.column(Column::Entries);
            let of_part = |part: &u32| {
                let start = starts[*part as usize];
                &from[start..start + entries[*part as usize] as usize]
            };
            order.iter().flat_map(of_part).copied().collect()
        });
        let columns = columns.collect();
        let mut crossing: Vec<Crossing> = self
            .crossing
            .iter()
            .map(|crossing| Crossing { part: places[crossing.part as usize], ..*crossing })
            .collect();
        crossing.sort_by_key(|crossing| crossing.part);
        let visitors = order.iter().map(|part| self.visitors[*part as usize]).collect();
        Slice { visitors, columns, crossing }
    }
}
