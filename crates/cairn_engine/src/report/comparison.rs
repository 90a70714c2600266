//! Answers with the earlier range beside them.

use std::collections::{BTreeMap, HashMap};

use cairn_model::answer::{Answer, Figure, Key, Row};
use cairn_model::question::money::{Account, Spent};
use cairn_model::question::{Dimension, Metric, Question};

use super::QueryError;
use super::accounts::{Asker, MoneyNotes, asks_for_money};

/// A row and its counterpart of the earlier range.
pub(super) struct Pair {
    pub(super) row: Row,
    /// Present when a comparison was asked for.
    pub(super) earlier: Option<Vec<Figure>>,
}

/// An answer, possibly compared.
pub(super) struct Compared {
    pub(super) pairs: Vec<Pair>,
    pub(super) total_rows: Option<u64>,
    pub(super) mixed_identification: bool,
    /// There where the question is about money.
    pub(super) money: Option<MoneyNotes>,
}

/// What a group shows that is not there.
pub(super) fn absent(metric: Metric) -> Figure {
    match metric {
        Metric::Percentage => Figure::Tenths(0),
        Metric::ViewsPerVisit | Metric::ConversionRate | Metric::GroupConversionRate => {
            Figure::Hundredths(0)
        }
        Metric::VisitDuration
        | Metric::ExitRate
        | Metric::ScrollDepth
        | Metric::TimeOnPage
        | Metric::TotalRevenue
        | Metric::AverageRevenue => Figure::Missing,
        Metric::Tally(tally) => tally.nothing(),
        _ => Figure::Whole(0),
    }
}

fn absent_figures(question: &Question) -> Vec<Figure> {
    let spent = question.cost_problem().is_none().then(Spent::default);
    let nothing = Account { sums: BTreeMap::new(), spent, currency: "" };
    let figure = |metric: &Metric| match metric {
        Metric::Money(money) => money.figure(&nothing),
        other => absent(*other),
    };
    question.metrics.iter().map(figure).collect()
}

/// The values of all dimensions but time.
fn group_of(keys: &[Key]) -> Vec<Key> {
    keys.iter().filter(|key| !matches!(key, Key::Bucket(_))).cloned().collect()
}

fn is_by_time_alone(question: &Question) -> bool {
    matches!(question.dimensions.as_slice(), [Dimension::Time(_)])
}

/// The questions that [`answer`] asks the store, as far as they are known before any is answered.
pub(super) fn asked_first(question: &Question) -> Vec<Question> {
    if asks_for_money(question) {
        return Vec::new();
    }
    if question.include.comparison.is_none() {
        return vec![question.clone()];
    }
    let by_time_alone = is_by_time_alone(question);
    let own = if by_time_alone { question.with_all_rows() } else { question.clone() };
    // Other comparisons are about the groups of the answer.
    let has_no_groups = by_time_alone || question.dimensions.is_empty();
    let earlier = has_no_groups.then(|| question.compared(None)).flatten();
    std::iter::once(own).chain(earlier).collect()
}

/// Answers the question, and the comparison if there is one.
pub(super) fn answer(asker: &Asker<'_>, question: &Question) -> Result<Compared, QueryError> {
    if question.include.comparison.is_none() {
        let (Answer { rows, total_rows, mixed_identification, .. }, money) = asker.ask(question)?;
        let pairs = rows.into_iter().map(|row| Pair { row, earlier: None }).collect();
        return Ok(Compared { pairs, total_rows, mixed_identification, money });
    }
    let by_time_alone = is_by_time_alone(question);
    let (answer, money) =
        if by_time_alone { every_bucket(asker, question)? } else { asker.ask(question)? };
    let groups = (!by_time_alone && !question.dimensions.is_empty()).then(|| {
        let mut groups: Vec<Vec<Key>> = answer.rows.iter().map(|row| group_of(&row.keys)).collect();
        groups.sort();
        groups.dedup();
        groups
    });
    let mut earlier: HashMap<Vec<Key>, Vec<Figure>> = HashMap::new();
    if let Some(asked) = question.compared(groups).filter(|_| !answer.rows.is_empty()) {
        let (found, _) = asker.ask(&asked)?;
        earlier.extend(found.rows.into_iter().map(|row| (row.keys, row.figures)));
    }
    let mut pair = |row: Row| {
        let figures = earlier.remove(&row.keys).unwrap_or_else(|| absent_figures(question));
        Pair { row, earlier: Some(figures) }
    };
    Ok(Compared {
        pairs: answer.rows.into_iter().map(&mut pair).collect(),
        total_rows: answer.total_rows,
        mixed_identification: answer.mixed_identification,
        money,
    })
}

/// All buckets of the range, empty ones included, in the order and of the page asked for.
fn every_bucket(
    asker: &Asker<'_>,
    question: &Question,
) -> Result<(Answer, Option<MoneyNotes>), QueryError> {
    let (mut answer, notes) = asker.ask(&question.with_all_rows())?;
    let count = question.buckets.as_ref().map_or(0, |buckets| buckets.count());
    let mut known = vec![false; usize::try_from(count).unwrap_or_default()];
    for row in &answer.rows {
        if let Some(Key::Bucket(index)) = row.keys.first() {
            let place = usize::try_from(*index).ok().and_then(|index| known.get_mut(index));
            if let Some(place) = place {
                *place = true;
            }
        }
    }
    for (index, known) in (0..).zip(known) {
        if !known {
            let row = Row { keys: vec![Key::Bucket(index)], figures: absent_figures(question) };
            answer.rows.push(row);
        }
    }
    answer.rows.sort_by(|left, right| question.compare_rows(left, right));
    answer.total_rows = answer.total_rows.map(|_| answer.rows.len() as u64);
    answer.rows = question.cut_page(answer.rows);
    Ok((answer, notes))
}
