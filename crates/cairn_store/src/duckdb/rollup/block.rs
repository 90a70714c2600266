//! One stretch of time of one site, summed up: each visit once, with what it did in the stretch.
//!
//! A *part* is a visit's events in the stretch that share a visitor and attributes: nearly always all of them. Parts lie in
//! the order of their visitors, so that distinct visitors of many blocks are counted a few at a time. Numbers are codes of
//! texts, counts and seconds; a block of a file holds each column's different numbers once and small places instead.

use cairn_model::session::ATTRIBUTES;

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
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Slice {
    pub visitors: Vec<u64>,
    /// Empty where a column was not wanted.
    pub columns: Vec<Vec<u32>>,
    /// By part, the place of which is counted from the slice's first.
    pub crossing: Vec<Crossing>,
}

impl Slice {
    pub(super) fn empty() -> Slice {
        Slice { visitors: Vec::new(), columns: vec![Vec::new(); COLUMNS], crossing: Vec::new() }
    }

    pub(super) fn column(&self, column: Column) -> &[u32] {
        &self.columns[column.place()]
    }

    /// Adds parts of visitors that follow those it has.
    pub(super) fn append(&mut self, other: Slice) {
        let parts = self.visitors.len() as u32;
        self.visitors.extend(other.visitors);
        for (column, more) in self.columns.iter_mut().zip(other.columns) {
            column.extend(more);
        }
        let more = other.crossing.into_iter();
        self.crossing.extend(more.map(|one| Crossing { part: one.part + parts, ..one }));
    }

    /// The parts of some visitors, the first and the last of whom are given.
    pub(super) fn of_visitors(&self, (first, last): (u64, u64)) -> Slice {
        let from = self.visitors.partition_point(|visitor| *visitor < first);
        let to = self.visitors.partition_point(|visitor| *visitor <= last);
        let entries_in = |parts: std::ops::Range<usize>| -> usize {
            let entries = self.column(Column::Entries).get(parts).unwrap_or_default();
            entries.iter().map(|entries| *entries as usize).sum()
        };
        let first_entry = entries_in(0..from);
        let entries = first_entry..first_entry + entries_in(from..to);
        let columns = self.columns.iter().enumerate().map(|(place, column)| {
            let rows = if place < PART_COLUMNS { from..to } else { entries.clone() };
            column.get(rows).unwrap_or_default().to_vec()
        });
        let parts = from as u32..to as u32;
        let crossing = self.crossing.iter().filter(|one| parts.contains(&one.part));
        Slice {
            visitors: self.visitors[from..to].to_vec(),
            columns: columns.collect(),
            crossing: crossing
                .map(|one| Crossing { part: one.part - parts.start, ..*one })
                .collect(),
        }
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
