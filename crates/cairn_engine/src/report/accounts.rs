//! Questions about money: what the store counted, the owner's costs beside it, and the metrics made of both.
//!
//! Guarantees: a cost is counted in one row, and in a row of its own where nobody came; what costs cannot answer is told and
//! not guessed; amounts without a rate are told apart. Costs join visits by the same texts; capitals are set right only where
//! the site's visits write a text in one way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cairn_catalog::{Catalog, CatalogError, CostRange};
use cairn_model::Cost;
use cairn_model::answer::{Answer, Figure, Key, Row, Unconverted};
use cairn_model::question::filters::folded;
use cairn_model::question::money::{Account, COST_FIELDS, Spent};
use cairn_model::question::range::{date_of, day_start_s};
use cairn_model::question::{Dimension, Field, Filter, Metric, Question, Range};
use cairn_model::rates::{Day, Pricing, Rates, date_of_day, day_of};
use cairn_model::session::Attribute;
use cairn_store::EventStore;
use jiff::tz::TimeZone;

use super::comparison::absent;
use super::{QueryError, ReportSite};
use crate::ingest::Ingest;

/// What questions about money need besides events.
#[derive(Clone, Copy)]
pub struct Books<'a> {
    /// Rates and costs.
    pub catalog: &'a Catalog,
    /// Tells which source and channel a cost's link would be.
    pub ingest: &'a Ingest,
    /// ISO 4217 code of the site's currency.
    pub currency: &'a str,
    /// Days for which a rate is good when no newer one is known.
    pub rate_age_days_max: u16,
}

impl std::fmt::Debug for Books<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Books").field("currency", &self.currency).finish_non_exhaustive()
    }
}

/// What is to be known about the money of an answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct MoneyNotes {
    /// Purchases that repeat an order.
    pub(super) repeated: u64,
    /// Refunds that changed no order.
    pub(super) unmatched_refunds: u64,
    /// Orders without a rate.
    pub(super) orders: Vec<Unconverted>,
    /// Costs without a rate: millionths, by currency.
    pub(super) costs: BTreeMap<String, i128>,
}

impl From<CatalogError> for QueryError {
    fn from(_: CatalogError) -> Self {
        let message = "rates and costs cannot be read now".to_owned();
        QueryError { status: 503, code: "store_unavailable", message, field: None }
    }
}

/// Answers that are there before they are asked for.
#[derive(Debug, Default)]
pub struct Prefetched(Vec<(Question, Answer)>);

impl Prefetched {
    /// Asks for what the store answers for several questions together; what it cannot is asked for later.
    pub(super) fn of(store: &dyn EventStore, questions: Vec<Question>) -> Prefetched {
        if questions.len() < 2 {
            return Prefetched::default();
        }
        // Whoever asks alone afterwards is told why it fails.
        let answers = store.ask_together(&questions).unwrap_or_default();
        let found = questions.into_iter().zip(answers);
        Prefetched(found.filter_map(|(question, answer)| Some((question, answer?))).collect())
    }

    fn find(&self, question: &Question) -> Option<&Answer> {
        self.0.iter().find(|(asked, _)| asked == question).map(|(_, answer)| answer)
    }
}

/// Answers questions, with or without money.
pub(super) struct Asker<'a> {
    pub(super) store: &'a dyn EventStore,
    pub(super) site: ReportSite<'a>,
    pub(super) prefetched: &'a Prefetched,
}

/// Costs by group.
#[derive(Default)]
struct Costs {
    groups: BTreeMap<Vec<Key>, Spent>,
    unconverted: BTreeMap<String, i128>,
}

pub(super) fn asks_for_money(question: &Question) -> bool {
    question.money().next().is_some()
}

impl Asker<'_> {
    /// Answers a question; the notes are there where it is about money.
    pub(super) fn ask(
        &self,
        question: &Question,
    ) -> Result<(Answer, Option<MoneyNotes>), QueryError> {
        if !asks_for_money(question) {
            return Ok((self.counted(question)?, None));
        }
        let Some(books) = self.site.books else {
            let message = "metrics of money are not part of this report".to_owned();
            return Err(QueryError { status: 400, code: "not_available", message, field: None });
        };
        let zone = TimeZone::get(self.site.timezone).unwrap_or(TimeZone::UTC);
        let currencies = self.store.currencies(question.site_id)?;
        let rates = self.rates(&books, &currencies, question.range, &zone)?;
        let pricing = Pricing::of(&rates, books.currency, &currencies, question.range, &zone);
        let inner = question.counted(Arc::new(pricing));
        let counted = match inner.metrics.is_empty() {
            true => nothing_counted(question),
            false => self.counted(&inner)?,
        };
        let costs = match question.money().any(|money| money.needs_cost()) {
            true if question.cost_problem().is_none() => {
                Some(self.costs(&books, question, &rates, &zone)?)
            }
            _ => None,
        };
        let stored = counted.notes.clone().unwrap_or_default();
        let notes = MoneyNotes {
            repeated: stored.repeated,
            unmatched_refunds: stored.unmatched_refunds,
            orders: stored.unconverted,
            costs: costs.as_ref().map(|costs| costs.unconverted.clone()).unwrap_or_default(),
        };
        let answer = assemble(question, &inner, counted, costs.map(|costs| costs.groups), &books);
        Ok((answer, Some(notes)))
    }

    /// What the store counts.
    fn counted(&self, question: &Question) -> Result<Answer, QueryError> {
        match self.prefetched.find(question) {
            Some(answer) => Ok(answer.clone()),
            None => Ok(self.store.ask(question)?),
        }
    }

    /// The rates that a range needs.
    fn rates(
        &self,
        books: &Books<'_>,
        currencies: &[String],
        range: Range,
        zone: &TimeZone,
    ) -> Result<Rates, QueryError> {
        let base = books.catalog.rates_base()?.unwrap_or_default();
        if base.is_empty() {
            return Ok(Rates::default());
        }
        let (first, last) = days_of(range, zone);
        let mut wanted = currencies.to_vec();
        wanted.push(books.currency.to_owned());
        let costs = CostRange { first, last, source: None };
        wanted.extend(books.catalog.cost_currencies(self.site.site_id, costs)?);
        wanted.sort_unstable();
        wanted.dedup();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let earliest = first.saturating_sub(Day::from(books.rate_age_days_max));
        let rates = books.catalog.rates(&wanted, earliest, last)?;
        Ok(Rates::new(&base, books.rate_age_days_max, rates))
    }

    /// The costs of a question, by group.
    fn costs(
        &self,
        books: &Books<'_>,
        question: &Question,
        rates: &Rates,
        zone: &TimeZone,
    ) -> Result<Costs, QueryError> {
        let (first, last) = days_of(question.range, zone);
        let range = CostRange { first, last, source: None };
        let mut reader = CostReader::new(books.ingest, question);
        books.catalog.each_cost(question.site_id, range, &mut |cost| reader.meet(&cost))?;
        for (field, texts) in reader.texts() {
            let Some(attribute) = attribute_of(field) else { continue };
            let known = self.store.spellings(question.site_id, attribute, &texts)?;
            reader.spell(field, known);
        }
        let mut costs = Costs::default();
        books.catalog.each_cost(question.site_id, range, &mut |cost| {
            let texts = reader.spelled(&cost);
            if !question.cost_filters().all(|filter| passes(filter, &texts)) {
                return;
            }
            let Some(keys) = keys_of(question, &texts, cost.day, zone) else { return };
            let Some(factor) = rates.factor_of_main(&cost.currency, books.currency, cost.day)
            else {
                *costs.unconverted.entry(cost.currency).or_default() += i128::from(cost.micros);
                return;
            };
            let micros = factor.apply(cost.micros);
            let spent = Spent {
                micros: i128::from(micros),
                clicks: cost.clicks,
                impressions: cost.impressions,
            };
            costs.groups.entry(keys).or_default().add(spent);
        })?;
        Ok(costs)
    }
}

/// First and last day of a range.
fn days_of(range: Range, zone: &TimeZone) -> (Day, Day) {
    let day = |second: i64| date_of(second, zone).map_or(0, day_of);
    (day(range.from_s), day(range.to_s))
}

/// Where costs alone are asked for, there is nothing to count.
fn nothing_counted(question: &Question) -> Answer {
    let mut answer = Answer::default();
    if question.dimensions.is_empty() {
        answer.rows.push(Row { keys: Vec::new(), figures: Vec::new() });
    }
    answer
}

fn attribute_of(field: Field) -> Option<Attribute> {
    Some(match field {
        Field::Source => Attribute::Source,
        Field::UtmSource => Attribute::UtmSource,
        Field::UtmMedium => Attribute::UtmMedium,
        Field::UtmCampaign => Attribute::UtmCampaign,
        Field::UtmContent => Attribute::UtmContent,
        Field::UtmTerm => Attribute::UtmTerm,
        // Channels are a list of ours: they are written in one way.
        _ => return None,
    })
}

/// What a cost says of each of [`COST_FIELDS`].
type Texts = [String; COST_FIELDS.len()];

/// From costs to the texts that visits of their links have.
struct CostReader<'a> {
    ingest: &'a Ingest,
    /// Fields that the question looks at.
    used: [bool; COST_FIELDS.len()],
    /// Texts met so far, and how visits write them.
    written: [HashMap<String, Option<String>>; COST_FIELDS.len()],
    /// Source and channel of a link with these three values.
    shown: HashMap<[String; 3], (String, String)>,
}

impl<'a> CostReader<'a> {
    fn new(ingest: &'a Ingest, question: &Question) -> Self {
        let used = COST_FIELDS.map(|field| {
            let dimension = Dimension::Visit(field);
            question.dimensions.contains(&dimension)
                || question
                    .cost_filters()
                    .any(|filter| filter.any_test(|test| test.subject == dimension))
        });
        CostReader { ingest, used, written: Default::default(), shown: HashMap::new() }
    }

    fn texts_of(&mut self, cost: &Cost) -> Texts {
        let (mut source, mut channel) = Default::default();
        if self.used[0] || self.used[1] {
            let link = [&cost.source, &cost.medium, &cost.campaign].map(String::clone);
            let ingest = self.ingest;
            let shown = self.shown.entry(link).or_insert_with_key(|[source, medium, campaign]| {
                ingest.source_of_link(source, medium, campaign)
            });
            (source, channel) = shown.clone();
        }
        let utm = [&cost.source, &cost.medium, &cost.campaign, &cost.content, &cost.term];
        let [first, second, third, fourth, fifth] = utm.map(String::clone);
        [source, channel, first, second, third, fourth, fifth]
    }

    fn meet(&mut self, cost: &Cost) {
        let texts = self.texts_of(cost);
        for ((text, written), used) in texts.into_iter().zip(&mut self.written).zip(self.used) {
            if used && !text.is_empty() {
                written.entry(text).or_insert(None);
            }
        }
    }

    /// Texts to be looked for, in small letters.
    fn texts(&self) -> Vec<(Field, Vec<String>)> {
        let fields = COST_FIELDS.into_iter().zip(&self.written);
        let some = fields.filter(|(_, written)| !written.is_empty());
        some.map(|(field, written)| {
            let texts: BTreeSet<String> = written.keys().map(|text| folded(text)).collect();
            (field, texts.into_iter().collect())
        })
        .collect()
    }

    /// Takes how visits write them: only where it is one way, and the text itself is not among them.
    fn spell(&mut self, field: Field, known: Vec<String>) {
        let Some(place) = COST_FIELDS.iter().position(|one| *one == field) else { return };
        let mut ways: HashMap<String, Vec<String>> = HashMap::new();
        for text in known {
            ways.entry(folded(&text)).or_default().push(text);
        }
        for (text, written) in &mut self.written[place] {
            *written = match ways.get(&folded(text)).map(Vec::as_slice) {
                Some([only]) => Some(only.clone()),
                _ => None,
            };
        }
    }

    fn spelled(&mut self, cost: &Cost) -> Texts {
        let mut texts = self.texts_of(cost);
        for (text, written) in texts.iter_mut().zip(&self.written) {
            if let Some(Some(known)) = written.get(text) {
                text.clone_from(known);
            }
        }
        texts
    }
}

fn text_of<'t>(dimension: &Dimension, texts: &'t Texts) -> Option<&'t str> {
    let Dimension::Visit(field) = dimension else { return None };
    let place = COST_FIELDS.iter().position(|one| one == field)?;
    texts.get(place).map(String::as_str)
}

fn passes(filter: &Filter, texts: &Texts) -> bool {
    match filter {
        Filter::Test(test) => text_of(&test.subject, texts).is_some_and(|text| test.accepts(text)),
        Filter::And(members) => members.iter().all(|member| passes(member, texts)),
        Filter::Or(members) => members.iter().any(|member| passes(member, texts)),
        Filter::Not(member) => !passes(member, texts),
        // A question with these has no costs.
        Filter::Done { .. } => false,
    }
}

fn keys_of(question: &Question, texts: &Texts, day: Day, zone: &TimeZone) -> Option<Vec<Key>> {
    let key = |dimension: &Dimension| match (dimension, &question.buckets) {
        (Dimension::Time(_), Some(buckets)) => {
            let start_s = day_start_s(date_of_day(day)?, zone)?;
            let index = buckets.index_of(start_s * 1000);
            (0..buckets.count()).contains(&index).then_some(Key::Bucket(index))
        }
        _ => Some(Key::Text(text_of(dimension, texts)?.to_owned())),
    };
    let keys: Vec<Key> = question.dimensions.iter().map(key).collect::<Option<_>>()?;
    let group = || keys.iter().filter(|key| !matches!(key, Key::Bucket(_)));
    let is_wanted = question
        .only_groups
        .as_ref()
        .is_none_or(|groups| groups.iter().any(|wanted| wanted.iter().eq(group())));
    is_wanted.then_some(keys)
}

/// Puts what was counted and what was spent side by side, makes the metrics of both, orders the rows and cuts the page.
fn assemble(
    question: &Question,
    inner: &Question,
    counted: Answer,
    costs: Option<BTreeMap<Vec<Key>, Spent>>,
    books: &Books<'_>,
) -> Answer {
    let has_costs = costs.is_some();
    let mut costs = costs.unwrap_or_default();
    let mut rows = Vec::with_capacity(counted.rows.len() + costs.len());
    for Row { keys, figures } in counted.rows {
        let spent = costs.remove(&keys).unwrap_or_default();
        rows.push(figured(question, inner, keys, &figures, has_costs.then_some(spent), books));
    }
    for (keys, spent) in costs {
        let nothing: Vec<Figure> = inner.metrics.iter().map(|metric| absent(*metric)).collect();
        rows.push(figured(question, inner, keys, &nothing, Some(spent), books));
    }
    rows.sort_by(|left, right| question.compare_rows(left, right));
    let total_rows = question.include.total_rows.then_some(rows.len() as u64);
    let mixed_identification = counted.mixed_identification;
    Answer { rows: question.cut_page(rows), total_rows, mixed_identification, notes: None }
}

/// One row of the question from one of the inner question.
fn figured(
    question: &Question,
    inner: &Question,
    keys: Vec<Key>,
    figures: &[Figure],
    spent: Option<Spent>,
    books: &Books<'_>,
) -> Row {
    let known = || inner.metrics.iter().zip(figures);
    let sums = known().filter_map(|(metric, figure)| Some((metric.as_sum()?, figure.raw()?)));
    let account = Account { sums: sums.collect(), spent, currency: books.currency };
    let figures = question.metrics.iter().map(|metric| match metric {
        Metric::Money(money) => money.figure(&account),
        other => known()
            .find(|(metric, _)| *metric == other)
            .map_or(Figure::Missing, |(_, figure)| *figure),
    });
    Row { figures: figures.collect(), keys }
}
