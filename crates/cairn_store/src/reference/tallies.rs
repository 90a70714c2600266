//! Tallies by walking over everything: every event of a group is kept, and looked through for each figure.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::answer::{Figure, Key, rounded};
use cairn_model::event::{CLICK_LANDED, OFF_SITE};
use cairn_model::question::Tally;
use cairn_model::question::tallies::{
    COST, COST_DECIMALS, Count, Formula, HUMAN, LANDED_CLICK, LANDED_VERDICT, READ, READING, Scope,
    VERDICT, Vital, Whose, decimal, nearest_rank,
};
use cairn_model::session::Attribute;
use cairn_model::{Event, Identification};

use super::walk::{Thing, Walk, names_engagement, props_of};
use crate::Row;
use crate::plan::Plan;

/// Events that tallies are about, by group.
pub(super) struct Tallied {
    groups: BTreeMap<Vec<Key>, Vec<Row<'static>>>,
    shows_bots: bool,
}

impl Tallied {
    /// The events of the plan's scopes that pass its filters.
    pub(super) fn of(walk: &Walk<'_>, plan: &Plan<'_>) -> Tallied {
        let (question, shows_bots) = (plan.question, plan.question.names_bots);
        let mut groups: BTreeMap<Vec<Key>, Vec<Row<'static>>> = BTreeMap::new();
        if question.dimensions.is_empty() {
            groups.entry(Vec::new()).or_default();
        }
        for happening in &walk.everything {
            let thing = Thing::Event(*happening);
            let in_scope =
                plan.scopes.iter().any(|scope| is_in_scope(*scope, happening.row, shows_bots));
            if in_scope && plan.filters.iter().all(|filter| walk.passes(filter, thing)) {
                for keys in walk.keys(question, &question.dimensions, thing) {
                    groups.entry(keys).or_default().push(happening.row.clone());
                }
            }
        }
        Tallied { groups, shows_bots }
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Vec<Key>> {
        self.groups.keys()
    }

    pub(super) fn figure(&self, tally: Tally, keys: &Vec<Key>) -> Figure {
        let rows = self.groups.get(keys).map_or(&[][..], Vec::as_slice);
        let count = |count: Count| number(count, rows, self.shows_bots);
        let divided = |part: i64, whole: i64, scale: i64| {
            if whole == 0 { None } else { Some(rounded(part, whole, scale)) }
        };
        let raw = match tally.formula() {
            Formula::Of(Count::Percentile(vital, percent)) => {
                percentile(vital, percent, rows, self.shows_bots)
            }
            Formula::Of(Count::Cost) => cost(rows),
            Formula::Of(wanted) => Some(count(wanted)),
            Formula::Thousandth(wanted) => Some(rounded(count(wanted), 1000, 1)),
            Formula::Ratio { part, whole, scale } => divided(count(part), count(whole), scale),
            Formula::Mean { part, whole, unit } => divided(count(part), unit * count(whole), 1),
            Formula::Rest { part, whole, scale } => {
                divided(count(whole) - count(part), count(whole), scale)
            }
        };
        tally.figure(raw)
    }
}

fn prop(event: &Event<'_>, name: &str) -> String {
    props_of(event).get(name).cloned().unwrap_or_default()
}

fn is_bot(row: &Row<'_>) -> bool {
    !row.attributes.get(Attribute::Bot).is_empty()
}

fn is_in_scope(scope: Scope, row: &Row<'_>, shows_bots: bool) -> bool {
    let event = &row.event;
    if is_bot(row) && !shows_bots && !scope.judges_machines() {
        return false;
    }
    match scope {
        Scope::Sections => {
            names_engagement(event) && row.session_id != 0 && !event.section_id.is_empty()
        }
        Scope::Vitals => {
            let props = props_of(event);
            names_engagement(event)
                && row.session_id != 0
                && Vital::ALL.iter().any(|vital| props.contains_key(vital.prop()))
        }
        _ => {
            has_name(row, scope.names())
                || scope.confirmed().is_some_and(|click| landed(row, click))
        }
    }
}

fn landed(row: &Row<'_>, click: &str) -> bool {
    has_name(row, &[CLICK_LANDED]) && prop(&row.event, LANDED_CLICK) == click
}

/// Of the names that mails and ads have, only those of events away from the site.
fn has_name(row: &Row<'_>, names: &[&str]) -> bool {
    let name = &*row.event.name;
    names.contains(&name) && (row.session_id == 0 || !OFF_SITE.contains(&name))
}

fn number(count: Count, rows: &[Row<'_>], shows_bots: bool) -> i64 {
    let judged =
        |row: &&Row<'_>, whose: Whose| whose.includes(&prop(&row.event, VERDICT), is_bot(row));
    let named = |row: &&Row<'_>, names: &[&str]| has_name(row, names);
    let sections = || rows.iter().filter(|row| is_in_scope(Scope::Sections, row, shows_bots));
    let counted = match count {
        Count::Events(names, whose) => {
            rows.iter().filter(|row| named(row, names) && judged(row, whose)).count()
        }
        Count::HumanClicks(click) => {
            let is_human = |row: &&Row<'_>| match landed(row, click) {
                true => prop(&row.event, LANDED_VERDICT) != HUMAN,
                false => named(row, &[click]) && judged(row, Whose::Humans),
            };
            rows.iter().filter(is_human).count()
        }
        Count::Visits(names) => {
            let of_names = rows.iter().filter(|row| named(row, names));
            of_names.map(|row| row.session_id).collect::<BTreeSet<_>>().len()
        }
        Count::Recipients(name) => {
            let of_recipients = rows.iter().filter(|row| {
                named(row, &[name])
                    && judged(row, Whose::NoMachines)
                    && row.event.identification == Identification::Identified
            });
            of_recipients.map(|row| row.event.visitor_id.0).collect::<BTreeSet<_>>().len()
        }
        Count::SectionViews { read } => {
            let seen = sections().filter(|row| !read || prop(&row.event, READING) == READ);
            let views = seen.map(|row| (row.session_id, &row.event.path, &row.event.section_id));
            views.collect::<BTreeSet<_>>().len()
        }
        Count::SectionMs => {
            return sections()
                .map(|row| i64::from(row.event.section_visible_ms.unwrap_or_default()))
                .sum();
        }
        Count::Loads => {
            rows.iter().filter(|row| is_in_scope(Scope::Vitals, row, shows_bots)).count()
        }
        // No number of events: see `percentile` and `cost`.
        Count::Percentile(..) | Count::Cost => 0,
    };
    counted as i64
}

fn cost(rows: &[Row<'_>]) -> Option<i64> {
    let of_ads = rows.iter().filter(|row| is_in_scope(Scope::Ads, row, true));
    let costs: Vec<i128> = of_ads
        .filter_map(|row| decimal(&prop(&row.event, COST), COST_DECIMALS))
        .map(i128::from)
        .collect();
    if costs.is_empty() { None } else { i64::try_from(costs.iter().sum::<i128>()).ok() }
}

fn percentile(vital: Vital, percent: u8, rows: &[Row<'_>], shows_bots: bool) -> Option<i64> {
    let reports = rows.iter().filter(|row| is_in_scope(Scope::Vitals, row, shows_bots));
    let mut values: Vec<i64> =
        reports.filter_map(|row| vital.value(&prop(&row.event, vital.prop()))).collect();
    values.sort_unstable();
    values.get(nearest_rank(percent, values.len()).checked_sub(1)?).copied()
}
