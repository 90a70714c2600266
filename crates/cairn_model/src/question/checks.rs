//! What goes together: the rules over a whole question, in one order that never changes.

use crate::question::{
    Asked, Dimension, Field, Filter, Metric, Operator, QuestionError, Tally, Test,
};

type Checked = Result<(), QuestionError>;

fn error(message: impl std::fmt::Display, field: &str) -> QuestionError {
    QuestionError {
        code: "invalid_query",
        message: message.to_string(),
        field: (!field.is_empty()).then(|| field.to_owned()),
    }
}

/// Whether the question speaks of bots itself, so that none are left out unasked.
pub(super) fn names_bots(filters: &[Filter], dimensions: &[Dimension]) -> bool {
    let bot = Dimension::Visit(Field::Bot);
    dimensions.contains(&bot)
        || filters.iter().any(|filter| filter.any_test(|test| test.subject == bot))
}

/// All rules.
pub(super) fn check(asked: &Asked) -> Checked {
    check_placement(asked)?;
    check_behavioural(asked)?;
    check_values(asked)?;
    check_metrics(asked)?;
    if asked.include.time_labels && asked.time_position().is_none() {
        return Err(error("include.time_labels needs a time dimension", "#/include/time_labels"));
    }
    Ok(())
}

fn is_prop(test: &Test) -> bool {
    matches!(test.subject, Dimension::Prop(_))
}

/// Filters that are not single tests.
fn nested(asked: &Asked) -> impl Iterator<Item = (usize, &Filter)> {
    asked.filters.iter().enumerate().filter(|(_, filter)| filter.as_test().is_none())
}

fn check_placement(asked: &Asked) -> Checked {
    for (index, filter) in nested(asked) {
        for (subject, name) in
            [(Dimension::Goal, "event:goal"), (Dimension::Hostname, "event:hostname")]
        {
            if filter.any_test(|test| test.subject == subject) {
                let pointer = format!("#/filters/{index}");
                return Err(error(
                    format!("{pointer}: {name} can be filtered at the top level only"),
                    &pointer,
                ));
            }
        }
    }
    let conversion = asked.metrics.iter().find(|metric| metric.is_conversion());
    if let Some(metric) = conversion {
        for (index, filter) in nested(asked) {
            if filter.any_test(is_prop) {
                let pointer = format!("#/filters/{index}");
                let name = metric.name();
                return Err(error(
                    format!(
                        "{pointer}: with {name}, event:props can be filtered at the top level only"
                    ),
                    &pointer,
                ));
            }
        }
    }
    Ok(())
}

fn behavioural<'a>(filter: &'a Filter, each: &mut dyn FnMut(&'a Filter, bool)) {
    match filter {
        Filter::Test(_) => {}
        Filter::And(members) | Filter::Or(members) => {
            members.iter().for_each(|member| behavioural(member, each));
        }
        Filter::Not(member) => behavioural(member, each),
        Filter::Done { negated, filter } => each(filter, *negated),
    }
}

fn check_behavioural(asked: &Asked) -> Checked {
    for (index, filter) in asked.filters.iter().enumerate() {
        let pointer = format!("#/filters/{index}");
        let mut wrong = None;
        behavioural(filter, &mut |inner, negated| {
            let name = if negated { "has_not_done" } else { "has_done" };
            let mut within = false;
            behavioural(inner, &mut |_, _| within = true);
            if within {
                wrong =
                    Some(format!("{pointer}: {name} cannot stand within has_done or has_not_done"));
            }
            if inner.any_test(|test| !test.subject.is_event()) {
                wrong = Some(format!("{pointer}: {name} takes event dimensions only"));
            }
        });
        if let Some(message) = wrong {
            return Err(error(message, &pointer));
        }
    }
    Ok(())
}

/// Every test, those within behavioural filters included.
fn every_test<'a>(filter: &'a Filter, each: &mut dyn FnMut(&'a Test)) {
    filter.for_each_test(each);
    behavioural(filter, &mut |inner, _| inner.for_each_test(each));
}

fn check_values(asked: &Asked) -> Checked {
    for (index, filter) in asked.filters.iter().enumerate() {
        let pointer = format!("#/filters/{index}");
        let mut wrong = None;
        every_test(filter, &mut |test| {
            let found = unknown_goal(asked, test).or_else(|| odd_value(test));
            wrong = wrong.take().or(found);
        });
        if let Some(message) = wrong {
            return Err(error(format!("{pointer}: {message}"), &pointer));
        }
    }
    Ok(())
}

fn unknown_goal(asked: &Asked, test: &Test) -> Option<String> {
    if test.subject != Dimension::Goal || test.operator != Operator::Is || !test.case_sensitive {
        return None;
    }
    let known = |clause: &&String| asked.goals.iter().any(|goal| goal.name == **clause);
    let unknown = test.clauses.iter().find(|clause| !known(clause))?;
    let shown: String = unknown.chars().take(256).collect();
    Some(format!("the site has no goal \"{shown}\""))
}

fn odd_value(test: &Test) -> Option<String> {
    if test.operator != Operator::Is {
        return None;
    }
    let Dimension::Visit(field) = test.subject else { return None };
    let (fits, what): (fn(&str) -> bool, &str) = match field {
        Field::Country => (
            |clause| clause.chars().count() == 2,
            "codes of two letters (visit:country_name takes names)",
        ),
        Field::Bot => (|clause| matches!(clause, "true" | "false"), "true and false"),
        Field::Identification => {
            (|clause| matches!(clause, "identified" | "anonymous"), "identified and anonymous")
        }
        _ => return None,
    };
    let odd = test.clauses.iter().any(|clause| !fits(clause));
    odd.then(|| format!("{} takes {what}", test.subject.name()))
}

fn check_metrics(asked: &Asked) -> Checked {
    for (index, metric) in asked.metrics.iter().enumerate() {
        if let Some(message) = misplaced(asked, *metric) {
            return Err(error(message, &format!("#/metrics/{index}")));
        }
    }
    Ok(())
}

fn misplaced(asked: &Asked, metric: Metric) -> Option<String> {
    let name = metric.name();
    let has = |dimension: Dimension| asked.dimensions.contains(&dimension);
    let page_at_top = asked
        .filters
        .iter()
        .filter_map(Filter::as_test)
        .any(|test| test.subject == Dimension::Page);
    let page_anywhere =
        asked.filters.iter().any(|filter| filter.any_test(|test| test.subject == Dimension::Page));
    let goal_filtered = asked.filters.iter().any(|filter| filter.as_goal_test().is_some());
    match metric {
        Metric::ConversionRate | Metric::GroupConversionRate
            if !goal_filtered && !has(Dimension::Goal) =>
        {
            return Some(format!(
                "{name} needs a filter on event:goal or the dimension event:goal"
            ));
        }
        Metric::ScrollDepth if !page_at_top && !has(Dimension::Page) => {
            return Some(format!(
                "{name} needs the dimension event:page or a top-level filter on event:page"
            ));
        }
        Metric::TimeOnPage if !page_anywhere && !has(Dimension::Page) => {
            return Some(format!(
                "{name} needs the dimension event:page or a filter on event:page"
            ));
        }
        Metric::ViewsPerVisit if page_anywhere => {
            return Some(format!("{name} does not go with a filter on event:page"));
        }
        Metric::ViewsPerVisit if !asked.dimensions.is_empty() => {
            return Some(format!("{name} does not go with dimensions"));
        }
        Metric::ExitRate if asked.dimensions != [Dimension::Visit(Field::ExitPage)] => {
            return Some(format!("{name} needs exactly the dimension visit:exit_page"));
        }
        Metric::ExitRate if asked.filters.iter().any(asks_about_events) => {
            return Some(format!("{name} does not go with filters on events"));
        }
        Metric::Tally(Tally::AdCost) if !asked.has_cost_currency() => {
            return Some(format!(
                "{name} needs the dimension event:props:cost_currency or a top-level filter \
                 \"is\" on it with one currency"
            ));
        }
        _ => {}
    }
    let event_dimensions: Vec<&Dimension> =
        asked.dimensions.iter().filter(|one| one.is_event()).collect();
    if metric.is_visit_only() && event_dimensions != [&Dimension::Page] {
        let dimension = event_dimensions.first()?;
        return Some(format!("{name} does not go with the dimension {}", dimension.name()));
    }
    if metric.is_event_only() {
        let dimension = asked.dimensions.iter().find(|one| one.is_visit_only())?;
        return Some(format!("{name} does not go with the dimension {}", dimension.name()));
    }
    None
}

fn asks_about_events(filter: &Filter) -> bool {
    let mut done = false;
    behavioural(filter, &mut |_, _| done = true);
    done || filter.needs_event()
}
