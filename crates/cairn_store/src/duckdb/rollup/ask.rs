//! The sides of a question from rollups, as sub-queries that take the place of those that read rows.
//!
//! Guarantees: a side is answered whole or not at all; what no rollup covers is read from the rows and summed up on the way.
//! It answers groups of visits and of ordinary events by what both have codes for; goals, properties, engagement and money
//! are read from the rows.

use std::sync::atomic::Ordering;
use std::time::Instant;

use cairn_model::SiteId;
use cairn_model::question::countries::country_name;
use cairn_model::question::{
    Buckets, Dimension, Engagement, Field, Filter, Metric, Question, Test, TimeUnit,
};
use foldhash::HashMap;

use super::block::{Column, Wanted};
use super::build::Making;
use super::condition::{Condition, Grouping};
use super::file::Reader;
use super::fold::{Counts, Fold, GROUPS_MAX, Groups, Side};
use super::pass::Pass;
use super::{Block, RollupError, Rollups, Span, events_in, unreadable};
use crate::duckdb::connection::Connection;
use crate::duckdb::error::{DuckError, DuckErrorKind};
use crate::duckdb::query::{Parameters, dimension_texts};
use crate::duckdb::texts::texts_of;
use crate::plan::{Plan, Sides, Source};
use crate::schema::TextField;

/// Stretches between rollups that are read from the rows; with more of them, all is read from the rows.
const GAPS_MAX: usize = 16;
/// Events in all of these together; with more of them, all is read from the rows.
const GAP_EVENTS_MAX: u64 = 1_000_000;

/// What answering with rollups takes.
pub(in crate::duckdb) struct Rolling<'s> {
    pub rollups: &'s Rollups,
    pub threads: usize,
    pub deadline: Instant,
}

/// Sides that were answered.
#[derive(Default)]
pub(in crate::duckdb) struct Rolled {
    pub events: Option<String>,
    pub visits: Option<String>,
    /// Visitors of the whole question.
    pub total: Option<String>,
}

/// A question whose sides are asked for.
pub(in crate::duckdb) struct Asked<'a, 'q> {
    pub plan: &'a Plan<'q>,
    pub parameters: &'a mut Parameters,
}

impl Rolling<'_> {
    /// Answers those sides of questions that rollups can, in one pass. They are about one site and one range.
    pub(in crate::duckdb) fn sides(
        &self,
        connection: &Connection,
        asked: &mut [Asked<'_, '_>],
    ) -> Result<Vec<Rolled>, DuckError> {
        match self.counted(connection, asked) {
            Ok(Some(rolled)) => return Ok(rolled),
            Ok(None) => {}
            Err(RollupError::TooSlow) => {
                return Err(DuckError::new(DuckErrorKind::Interrupted, "its time is over"));
            }
            Err(RollupError::Rows(error)) => return Err(error),
            Err(RollupError::Damaged(path)) => self.rollups.forget_damaged(&path),
            // Something of the range is being changed: the rows know.
            Err(RollupError::Gone) => {}
            Err(RollupError::Broken) => {
                debug_assert!(false, "a thread that counts ended early");
            }
        }
        Ok(asked.iter().map(|_| Rolled::default()).collect())
    }

    /// The same; `None` where rollups are no help.
    fn counted(
        &self,
        connection: &Connection,
        asked: &mut [Asked<'_, '_>],
    ) -> Result<Option<Vec<Rolled>>, RollupError> {
        let Some(site_id) = asked.first().map(|one| one.plan.question.site_id) else {
            return Ok(None);
        };
        if !self.rollups.has_any(site_id) {
            return Ok(None);
        }
        let mut fields = HashMap::default();
        let mut folds = Folds::default();
        for (place, Asked { plan, .. }) in asked.iter().enumerate() {
            Asking { connection, plan, fields: &mut fields }.add_folds(place, &mut folds)?;
        }
        let questions: Vec<&Question> = asked.iter().map(|one| one.plan.question).collect();
        let counted: Vec<&Question> = folds.of.iter().map(|(place, _)| questions[*place]).collect();
        let Some(covered) = self.covered(connection, &counted)? else { return Ok(None) };
        let blocks = blocks(connection, site_id, &covered, &folds.folds)?;
        self.rollups.answered.fetch_add(folds.folds.len() as u64, Ordering::Relaxed);
        let Rolling { threads, deadline, .. } = *self;
        let pass = Pass { folds: &folds.folds, blocks: &blocks, threads, deadline };
        let mut rolled: Vec<Rolled> = asked.iter().map(|_| Rolled::default()).collect();
        for (groups, ((place, answers), fold)) in
            pass.count()?.into_iter().zip(folds.of.into_iter().zip(folds.folds))
        {
            let grouped = Grouped { groups, bases: fold.bases };
            rolled[place].put(answers, &grouped, &mut asked[place]);
        }
        Ok(Some(rolled))
    }

    /// The stretches that the questions' range is made of; `None` where rollups are no help.
    fn covered(
        &self,
        connection: &Connection,
        questions: &[&Question],
    ) -> Result<Option<Vec<Stretch>>, DuckError> {
        let Some(first) = questions.first() else { return Ok(None) };
        let watermark = connection.query("SELECT watermark FROM meta", &[])?;
        let watermark: u64 = watermark.first(|row| row.get(0))?.unwrap_or_default();
        let stretches = self.rollups.cover(questions, watermark);
        let gaps = || stretches.iter().filter(|stretch| stretch.path.is_none());
        if gaps().count() > GAPS_MAX || gaps().count() == stretches.len() {
            return Ok(None);
        }
        let mut events = 0;
        for gap in gaps() {
            events += events_in(connection, first.site_id, gap.span)?;
        }
        Ok((events <= GAP_EVENTS_MAX).then_some(stretches))
    }
}

impl Rolled {
    fn put(&mut self, answers: Answers, grouped: &Grouped, asked: &mut Asked<'_, '_>) {
        let dimensions = &asked.plan.question.dimensions;
        match answers {
            Answers::Visits => {
                self.visits = Some(grouped.sql(dimensions, &VISITS, asked.parameters));
            }
            Answers::Events => {
                self.events = Some(grouped.sql(dimensions, &EVENTS, asked.parameters));
            }
            Answers::Total => {
                let visitors =
                    grouped.groups.list().first().map_or(0, |(_, counts)| counts.visitors);
                self.total = Some(format!("SELECT {visitors}::BIGINT AS total"));
            }
        }
    }

    /// Nothing of a question is left to be read from the rows.
    pub(in crate::duckdb) fn is_whole(&self, plan: &Plan<'_>) -> bool {
        (self.visits.is_some() || !needs_visits(plan))
            && (self.events.is_some() || plan.sides == Sides::Visits)
            && (self.total.is_some() || !plan.asks(Metric::Percentage))
    }
}

fn needs_visits(plan: &Plan<'_>) -> bool {
    plan.sides == Sides::Visits || plan.counts_in(Source::Visits)
}

fn blocks(
    connection: &Connection,
    site_id: SiteId,
    covered: &[Stretch],
    folds: &[Fold<'_>],
) -> Result<Vec<Block>, RollupError> {
    let mut wanted = Wanted::default();
    folds.iter().for_each(|fold| fold.want(&mut wanted));
    let with_visits = folds.iter().any(|fold| fold.side == Side::Visits);
    let block = |Stretch { span, path }: &Stretch| match path {
        Some(path) => {
            let reader = Reader::open(path, &wanted);
            let reader = reader.map_err(|error| unreadable(error, path))?;
            Ok(Block::InFile { span: *span, path: path.clone(), reader })
        }
        None => {
            let (span, visitors) = (*span, (0, u64::MAX));
            let making = Making { connection, site_id, span, visitors, wanted, with_visits };
            Ok(Block::InMemory { span, slice: making.block()? })
        }
    };
    covered.iter().map(block).collect()
}

/// A part of a range, with its rollup where it has one.
struct Stretch {
    span: Span,
    path: Option<std::path::PathBuf>,
}

impl Rollups {
    /// Cuts the questions' range into rollups that say what is so as of `watermark`, and what lies between them; each in one
    /// bucket of every question.
    fn cover(&self, questions: &[&Question], watermark: u64) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        let Some(first) = questions.first() else { return stretches };
        let range = Span { from_ms: first.range.from_ms(), until_ms: first.range.until_ms() };
        let cuts: Vec<&Buckets> =
            questions.iter().filter_map(|question| question.buckets.as_ref()).collect();
        let bucket_of = |ms: i64| cuts.iter().map(|cut| cut.index_of(ms)).collect::<Vec<i64>>();
        let mut next_ms = range.from_ms;
        let gap = |from_ms: i64, until_ms: i64, stretches: &mut Vec<Stretch>| {
            let mut from_ms = from_ms;
            while from_ms < until_ms {
                let end_ms = end_of_bucket(from_ms, until_ms, &bucket_of);
                let span = Span { from_ms, until_ms: end_ms };
                stretches.push(Stretch { span, path: None });
                from_ms = end_ms;
                if stretches.len() > STRETCHES_MAX {
                    return;
                }
            }
        };
        let state = super::lock(&self.state);
        for (span, known) in state.of_site(first.site_id) {
            let is_usable = known.watermark <= watermark
                && span.from_ms >= next_ms
                && span.until_ms <= range.until_ms
                && bucket_of(span.from_ms) == bucket_of(span.until_ms - 1);
            if is_usable {
                gap(next_ms, span.from_ms, &mut stretches);
                let path = Some(self.path(first.site_id, span, &known));
                stretches.push(Stretch { span, path });
                next_ms = span.until_ms;
            }
        }
        gap(next_ms, range.until_ms, &mut stretches);
        stretches
    }
}

/// Most stretches that a range is cut into: hours of some years.
const STRETCHES_MAX: usize = 20_000;

/// The end of the bucket that an instant lies in, at most `until_ms`.
fn end_of_bucket(from_ms: i64, until_ms: i64, bucket_of: &dyn Fn(i64) -> Vec<i64>) -> i64 {
    let bucket = bucket_of(from_ms);
    // Of these two, the first lies in the bucket and the second after it.
    let (mut inside, mut after) = (from_ms, until_ms);
    if bucket_of(until_ms - 1) == bucket {
        return until_ms;
    }
    while after - inside > 1 {
        let middle = inside + (after - inside) / 2;
        match bucket_of(middle) == bucket {
            true => inside = middle,
            false => after = middle,
        }
    }
    after
}

/// The texts of a field: which codes there are, and what they say.
type Texts = Vec<(u32, String)>;

/// What a fold's counts are for.
#[derive(Clone, Copy)]
enum Answers {
    Visits,
    Events,
    Total,
}

/// What questions count: of which question, and what for.
#[derive(Default)]
struct Folds<'q> {
    of: Vec<(usize, Answers)>,
    folds: Vec<Fold<'q>>,
}

/// A side, counted.
struct Grouped {
    groups: Groups,
    /// Places of each dimension.
    bases: Vec<usize>,
}

/// How a question's sides are counted.
struct Asking<'a, 'q> {
    connection: &'a Connection,
    plan: &'a Plan<'q>,
    fields: &'a mut HashMap<TextField, Texts>,
}

/// How a side is grouped: by what, and how many places each has.
type GroupingOf = (Vec<Grouping>, Vec<usize>);

/// What a side has columns for.
struct Counted {
    name: &'static str,
    count: fn(&Counts) -> u64,
}

const EVENTS: [Counted; 4] = [
    Counted { name: "visitors", count: |counts| counts.visitors },
    Counted { name: "visits", count: |counts| counts.visits },
    Counted { name: "pageviews", count: |counts| counts.pageviews },
    Counted { name: "events", count: |counts| counts.events },
];
const VISITS: [Counted; 6] = [
    Counted { name: "visitors", count: |counts| counts.visitors },
    Counted { name: "visits", count: |counts| counts.visits },
    Counted { name: "bounces", count: |counts| counts.bounces },
    Counted { name: "bounce_visits", count: |counts| counts.bounce_visits },
    Counted { name: "seconds", count: |counts| counts.seconds },
    Counted { name: "visit_pageviews", count: |counts| counts.visit_pageviews },
];

impl<'q> Asking<'_, 'q> {
    /// Adds what the question counts, as far as rollups know it.
    fn add_folds(&mut self, place: usize, folds: &mut Folds<'q>) -> Result<(), RollupError> {
        let plan = self.plan;
        let dimensions = &plan.question.dimensions;
        if dimensions.contains(&Dimension::Time(TimeUnit::Hour)) || !is_of_ordinary_events(plan) {
            return Ok(());
        }
        let mut add = |answers: Answers, fold: Option<Fold<'q>>| {
            if let Some(fold) = fold {
                folds.of.push((place, answers));
                folds.folds.push(fold);
            }
        };
        if needs_visits(plan) {
            let mut fold = self.fold(Side::Visits, &plan.visit_filters, dimensions)?;
            if plan.asks(Metric::BounceRate) {
                fold = match self.conditions(&plan.bounce_filters, Side::Visits)? {
                    Some(bounce_conditions) => fold.map(|fold| Fold { bounce_conditions, ..fold }),
                    None => None,
                };
            }
            add(Answers::Visits, fold);
        }
        if plan.sides != Sides::Visits {
            add(Answers::Events, self.fold(Side::Events, &plan.filters, dimensions)?);
        }
        if plan.asks(Metric::Percentage) {
            let side = match plan.source(Metric::Visitors) {
                Source::Visits => Side::Visits,
                _ => Side::Events,
            };
            add(Answers::Total, self.fold(side, &plan.question.filters, &[])?);
        }
        Ok(())
    }

    /// How one side is counted; `None` where rollups do not know what is asked.
    fn fold(
        &mut self,
        side: Side,
        filters: &[Filter],
        dimensions: &[Dimension],
    ) -> Result<Option<Fold<'q>>, RollupError> {
        let question = self.plan.question;
        let Some((grouping, bases)) = self.grouping(side, dimensions)? else { return Ok(None) };
        let (of_events, of_visits): (Vec<Filter>, Vec<Filter>) =
            filters.iter().cloned().partition(Filter::needs_event);
        let Some(mut conditions) = self.conditions(&of_visits, side)? else { return Ok(None) };
        // What holds always need not be asked of every row.
        conditions.retain(|one| !matches!(one, Condition::All(all) if all.is_empty()));
        let Some(entry_conditions) = self.conditions(&of_events, side)? else { return Ok(None) };
        let by_entry = !entry_conditions.is_empty()
            || grouping
                .iter()
                .any(|how| matches!(how, Grouping::Code(column) if column.is_of_entries()));
        let buckets = question.buckets.as_ref().filter(|_| grouping.contains(&Grouping::Time));
        Ok(Some(Fold {
            side,
            people_only: !question.names_bots,
            conditions,
            entry_conditions,
            grouping,
            bases,
            bounce_conditions: Vec::new(),
            range_ms: (question.range.from_ms(), question.range.until_ms()),
            buckets,
            counts_visitors: counts_visitors(self.plan, side),
            counts_visits: self.plan.asks(Metric::Visits),
            counts_rows: question.metrics.iter().any(|metric| !is_about_visitors(metric)),
            with_seconds: self.plan.asks(Metric::VisitDuration),
            with_pageviews: self.plan.asks(Metric::ViewsPerVisit),
            with_bounces: self.plan.asks(Metric::BounceRate),
            by_entry,
        }))
    }

    fn grouping(
        &mut self,
        side: Side,
        dimensions: &[Dimension],
    ) -> Result<Option<GroupingOf>, RollupError> {
        let (mut grouping, mut bases) = (Vec::new(), Vec::new());
        let buckets = self.plan.question.buckets.as_ref();
        for dimension in dimensions {
            let (how, base) = match dimension {
                Dimension::Time(_) => {
                    (Grouping::Time, buckets.map_or(1, |buckets| buckets.count()) as usize)
                }
                Dimension::Visit(Field::Bot) => (Grouping::Bot, 2),
                Dimension::Visit(Field::Identification) => (Grouping::Identification, 2),
                // Visits are grouped by the page they began on.
                Dimension::Page if side == Side::Visits => {
                    let most = self.codes(TextField::Path)?;
                    (Grouping::Code(Column::EntryPage), most)
                }
                other => match column(other) {
                    Some((column, field)) if side == Side::Events || !column.is_of_entries() => {
                        (Grouping::Code(column), self.codes(field)?)
                    }
                    _ => return Ok(None),
                },
            };
            grouping.push(how);
            bases.push(base);
        }
        let groups = bases.iter().try_fold(1_usize, |all, base| all.checked_mul(*base));
        let is_small = groups.is_some_and(|groups| groups <= GROUPS_MAX);
        Ok(is_small.then_some((grouping, bases)))
    }

    /// Codes of a field are below this.
    fn codes(&mut self, field: TextField) -> Result<usize, RollupError> {
        let texts = texts_of(self.plan.question.site_id.0, field);
        let sql = format!("SELECT coalesce(max(code), 0) FROM {texts}");
        let most: Option<u32> = self.connection.query(&sql, &[])?.first(|row| row.get(0))?;
        Ok(most.unwrap_or_default() as usize + 1)
    }

    fn texts(&mut self, field: TextField) -> Result<&Texts, RollupError> {
        if !self.fields.contains_key(&field) {
            let sql =
                format!("SELECT code, text FROM {}", texts_of(self.plan.question.site_id.0, field));
            let mut texts = Vec::new();
            self.connection.query(&sql, &[])?.for_each(|row| {
                texts.push((row.get(0)?, row.get(1)?));
                Ok::<(), DuckError>(())
            })?;
            self.fields.insert(field, texts);
        }
        Ok(self.fields.entry(field).or_default())
    }

    fn conditions(
        &mut self,
        filters: &[Filter],
        side: Side,
    ) -> Result<Option<Vec<Condition>>, RollupError> {
        filters.iter().map(|filter| self.condition(filter, side)).collect()
    }

    /// A filter as a condition; `None` where blocks do not know what it speaks of.
    fn condition(&mut self, filter: &Filter, side: Side) -> Result<Option<Condition>, RollupError> {
        Ok(match filter {
            Filter::Test(test) => self.test(test, side)?,
            Filter::And(members) => self.conditions(members, side)?.map(Condition::All),
            Filter::Or(members) => self.conditions(members, side)?.map(Condition::Any),
            Filter::Not(member) => {
                self.condition(member, side)?.map(|inner| Condition::Not(Box::new(inner)))
            }
            Filter::Done { .. } => None,
        })
    }

    fn test(&mut self, test: &Test, side: Side) -> Result<Option<Condition>, RollupError> {
        let either = |first: Condition, second: Condition, words: [&str; 2]| {
            Some(match words.map(|word| test.accepts(word)) {
                [true, true] => Condition::All(Vec::new()),
                [true, false] => first,
                [false, true] => second,
                [false, false] => Condition::Any(Vec::new()),
            })
        };
        match &test.subject {
            Dimension::Visit(Field::Bot) => {
                let (person, bot) = (Condition::Bot(false), Condition::Bot(true));
                return Ok(either(person, bot, ["false", "true"]));
            }
            Dimension::Visit(Field::Identification) => {
                let (known, anonymous) =
                    (Condition::Identified(true), Condition::Identified(false));
                return Ok(either(known, anonymous, ["identified", "anonymous"]));
            }
            _ => {}
        }
        let Some((column, field)) = column(&test.subject) else { return Ok(None) };
        let mut passing = Vec::new();
        for (code, text) in self.texts(field)? {
            let code = *code as usize;
            passing.resize(passing.len().max(code + 1), false);
            passing[code] = match test.subject {
                Dimension::Visit(Field::CountryName) => test.accepts(country_name(text)),
                _ => test.accepts(text),
            };
        }
        let condition = Condition::Code(column, passing);
        let of_visit = side == Side::Events && test.subject.is_visit_only();
        Ok(Some(if of_visit { Condition::OfVisit(Box::new(condition)) } else { condition }))
    }
}

impl Grouped {
    /// The groups as a sub-query with the columns that the rows would give.
    fn sql(
        &self,
        dimensions: &[Dimension],
        counted: &[Counted],
        parameters: &mut Parameters,
    ) -> String {
        let groups = self.groups.list();
        if dimensions.is_empty() || groups.is_empty() {
            let counts = groups.first().map(|(_, counts)| *counts).unwrap_or_default();
            let counts = counted.iter().map(|one| ((one.count)(&counts), one.name));
            let counts = counts.map(|(count, name)| format!("{count}::BIGINT AS {name}"));
            let keys = dimensions.iter().enumerate();
            let keys = keys.map(|(index, one)| format!("{} AS k{index}", key(one, "0::BIGINT")));
            let none = if dimensions.is_empty() { "" } else { " WHERE FALSE" };
            return format!("SELECT {}{none}", keys.chain(counts).collect::<Vec<_>>().join(", "));
        }
        let mut list = |numbers: &mut dyn Iterator<Item = u64>| {
            let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
            let bound = parameters.bind(numbers.join(","));
            format!("unnest(string_split({bound}, ','))::BIGINT")
        };
        // A group's number has its last dimension's code in front, so to speak, of the one before.
        let mut columns = Vec::new();
        let mut below = 1;
        for (index, (dimension, base)) in dimensions.iter().zip(&self.bases).enumerate().rev() {
            let base = *base as u64;
            let code = |(group, _): &(u32, Counts)| u64::from(*group) / below % base;
            let keys = list(&mut groups.iter().map(code));
            columns.push(format!("{} AS k{index}", key(dimension, &keys)));
            below *= base;
        }
        for one in counted {
            let counts = list(&mut groups.iter().map(|(_, counts)| (one.count)(counts)));
            columns.push(format!("{counts} AS {}", one.name));
        }
        format!("SELECT {}", columns.join(", "))
    }
}

/// What rows would be grouped by, from a code.
fn key(dimension: &Dimension, code: &str) -> String {
    match dimension {
        Dimension::Visit(Field::Bot) => {
            format!("CASE {code} WHEN 0 THEN 'false' ELSE 'true' END")
        }
        Dimension::Visit(Field::Identification) => {
            format!("CASE {code} WHEN 0 THEN 'anonymous' ELSE 'identified' END")
        }
        _ => code.to_owned(),
    }
}

/// Where a dimension's codes are, and what they stand for.
fn column(dimension: &Dimension) -> Option<(Column, TextField)> {
    let field = dimension_texts(dimension)?;
    let column = match dimension {
        Dimension::EventName => Column::Name,
        Dimension::Page => Column::Path,
        Dimension::Hostname => Column::Hostname,
        Dimension::Visit(Field::EntryPage) => Column::EntryPage,
        Dimension::Visit(Field::ExitPage) => Column::ExitPage,
        Dimension::Visit(Field::EntryHostname) => Column::EntryHostname,
        Dimension::Visit(Field::ExitHostname) => Column::ExitHostname,
        Dimension::Visit(_) => match field {
            TextField::Visit(attribute) => Column::Attribute(attribute as u8),
            _ => return None,
        },
        _ => return None,
    };
    Some((column, field))
}

/// Whether a side has to tell visitors apart.
fn counts_visitors(plan: &Plan<'_>, side: Side) -> bool {
    let counts = |metric: &Metric| {
        is_about_visitors(metric)
            && (plan.source(*metric) == Source::Visits) == (side == Side::Visits)
    };
    plan.question.metrics.iter().any(counts)
}

fn is_about_visitors(metric: &Metric) -> bool {
    matches!(
        metric,
        Metric::Visitors
            | Metric::Percentage
            | Metric::ConversionRate
            | Metric::GroupConversionRate
    )
}

/// Nothing but visits and ordinary events is asked about.
fn is_of_ordinary_events(plan: &Plan<'_>) -> bool {
    let is_money =
        |metric: &Metric| matches!(metric, Metric::TotalRevenue | Metric::AverageRevenue);
    plan.scopes.is_empty()
        && plan.sums.is_empty()
        && !plan.off_site
        && !plan.off_site_filtered
        && plan.engagement == Engagement::Hidden
        && plan.engagement_without_goals == Engagement::Hidden
        && !plan.question.metrics.iter().any(is_money)
}
