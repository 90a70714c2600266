//! Counts of tallies as columns of the events' side, and the metrics made of them.
//!
//! What is counted is defined in `cairn_model::question::tallies`; the naive store reads the same definitions, and random
//! questions hold the two together.

use cairn_model::question::Tally;
use cairn_model::question::tallies::{
    COST, COST_DECIMALS, Count, DECIMALS_MAX, DIGITS_MAX, Formula, HUMAN, LANDED_VERDICT, MACHINE,
    READ, READING, Scope, VERDICT, Whose,
};

use super::predicate::{Predicates, known_prop};
use super::rounded;
use super::statement::all_of;
use crate::plan::{Plan, Sides};
use crate::schema::ENGAGEMENT_CODE;

/// Columns `c0…`, one for each count of the plan.
pub(super) fn columns(plan: &Plan<'_>, predicates: &mut Predicates<'_>) -> Vec<String> {
    let counts = plan.counts.iter().enumerate();
    counts.map(|(index, count)| format!("{} AS c{index}", column(*count, predicates))).collect()
}

fn column(count: Count, predicates: &mut Predicates<'_>) -> String {
    match count {
        Count::Events(names, whose) => {
            let mut conditions = vec![predicates.named(names)];
            conditions.extend(judged(whose));
            format!("count(*) FILTER (WHERE {})", all_of(&conditions))
        }
        Count::HumanClicks(click) => {
            let human = judged(Whose::Humans).unwrap_or_default();
            let thought = known_prop(LANDED_VERDICT);
            let (clicks, landed) = (predicates.named(&[click]), predicates.landed(click));
            // A click that was a person's by itself is not counted again where it landed.
            format!(
                "count(*) FILTER (WHERE ({clicks} AND {human})
                    OR ({landed} AND coalesce({thought} <> '{HUMAN}', TRUE)))"
            )
        }
        Count::Visits(names) => {
            format!("count(DISTINCT session_id) FILTER (WHERE {})", predicates.named(names))
        }
        Count::Recipients(name) => {
            let mut conditions = vec![predicates.named(&[name]), "identified".to_owned()];
            conditions.extend(judged(Whose::NoMachines));
            format!("count(DISTINCT visitor_id) FILTER (WHERE {})", all_of(&conditions))
        }
        Count::SectionViews { read } => {
            let mut conditions = vec![predicates.in_scope(Scope::Sections)];
            if read {
                let reading = known_prop(READING);
                conditions.push(format!("coalesce({reading} = '{READ}', FALSE)"));
            }
            // Visit, page and section side by side, in one number of 128 bits.
            let view = "(session_id::UHUGEINT * 18446744073709551616::UHUGEINT
                + path::UHUGEINT * 4294967296::UHUGEINT + section_id::UHUGEINT)";
            format!("count(DISTINCT {view}) FILTER (WHERE {})", all_of(&conditions))
        }
        Count::SectionMs => {
            let section = predicates.in_scope(Scope::Sections);
            format!("coalesce(sum(section_visible_ms) FILTER (WHERE {section}), 0)")
        }
        Count::Loads => format!("count(*) FILTER (WHERE {})", predicates.in_scope(Scope::Vitals)),
        Count::Percentile(vital, percent) => {
            let value = number(&known_prop(vital.prop()), vital.decimals());
            let reports = format!("name = {ENGAGEMENT_CODE} AND session_id <> 0");
            let reports =
                all_of(&[reports].into_iter().chain(predicates.people_only()).collect::<Vec<_>>());
            format!("quantile_disc({value}, 0.{percent:02}) FILTER (WHERE {reports})")
        }
        Count::Cost => {
            let ads = predicates.named(Scope::Ads.names());
            let sum =
                format!("sum({}) FILTER (WHERE {ads})", number(&known_prop(COST), COST_DECIMALS));
            format!("TRY_CAST({sum} AS BIGINT)")
        }
    }
}

fn judged(whose: Whose) -> Option<String> {
    // NULL where there is none: then it depends on whether the event is marked as a bot's.
    let verdict = format!("nullif({}, '')", known_prop(VERDICT));
    Some(match whose {
        Whose::All => return None,
        Whose::Humans => format!("coalesce({verdict} = '{HUMAN}', FALSE)"),
        Whose::Machines => format!("coalesce({verdict} = '{MACHINE}', bot <> 0)"),
        Whose::NoMachines => format!("coalesce({verdict} <> '{MACHINE}', bot = 0)"),
    })
}

/// A text as a whole number of its last decimal, as `decimal` reads it.
pub(super) fn number(text: &str, decimals: u32) -> String {
    let number = format!("[0-9]{{1,{DIGITS_MAX}}}(\\.[0-9]{{1,{DECIMALS_MAX}}})?");
    let mut value = format!("TRY_CAST(split_part({text}, '.', 1) AS BIGINT)");
    if decimals > 0 {
        let fraction = format!("left(split_part({text}, '.', 2), {decimals})");
        value = format!(
            "{value} * {} + TRY_CAST(rpad({fraction}, {decimals}, '0') AS BIGINT)",
            10_i64.pow(decimals)
        );
    }
    format!("CASE WHEN regexp_full_match({text}, '{number}') THEN {value} END")
}

/// The metric in terms of the counts.
pub(super) fn metric(plan: &Plan<'_>, tally: Tally) -> String {
    let column = |count: Count| {
        let index = plan.counts.iter().position(|known| *known == count).unwrap_or_default();
        let is_number = !matches!(count, Count::Percentile(..) | Count::Cost);
        match plan.sides {
            // A row may come from the visits' side.
            Sides::Both if is_number => format!("coalesce(e.c{index}, 0)"),
            _ => format!("e.c{index}"),
        }
    };
    let divided = |part: String, whole: String, scale: i64| {
        format!("CASE WHEN {whole} > 0 THEN {} END", rounded(&part, &whole, scale))
    };
    match tally.formula() {
        Formula::Of(count) => column(count),
        Formula::Thousandth(count) => rounded(&column(count), "1000", 1),
        Formula::Ratio { part, whole, scale } => divided(column(part), column(whole), scale),
        Formula::Mean { part, whole, unit } => {
            divided(column(part), format!("({unit} * {})", column(whole)), 1)
        }
        Formula::Rest { part, whole, scale } => {
            let (part, whole) = (column(part), column(whole));
            divided(format!("({whole} - {part})"), whole, scale)
        }
    }
}
