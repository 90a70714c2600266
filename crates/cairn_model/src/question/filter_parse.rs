//! From JSON to filters. Every error points at the top-level filter and says which part of it is wrong.

use serde_json::{Value, json};

use crate::question::parse::quoted;
use crate::question::segments::SEGMENT;
use crate::question::{
    CLAUSES_MAX, Dimension, FILTER_DEPTH_MAX, FILTERS_MAX, Field, Filter, Operator, Pattern,
    QuestionError, Test,
};

struct Place {
    pointer: String,
    left: usize,
}

impl Place {
    fn error(&self, why: impl std::fmt::Display) -> QuestionError {
        QuestionError::at(self.pointer.clone(), why)
    }
}

/// The list of top-level filters.
pub(super) fn parse_filters(value: &Value) -> Result<Vec<Filter>, QuestionError> {
    let Some(list) = value.as_array() else {
        return Err(QuestionError::at("#/filters", "filters has to be a list"));
    };
    let mut place = Place { pointer: String::new(), left: FILTERS_MAX };
    let mut filters = Vec::new();
    for (index, item) in list.iter().enumerate() {
        place.pointer = format!("#/filters/{index}");
        filters.push(parse_filter(item, &mut place, FILTER_DEPTH_MAX)?);
    }
    Ok(filters)
}

fn parse_filter(value: &Value, place: &mut Place, depth: usize) -> Result<Filter, QuestionError> {
    let Some(parts) = value.as_array() else {
        return Err(place.error(format!("{} is no filter", quoted(value))));
    };
    if depth == 0 || place.left == 0 {
        return Err(place.error(format!(
            "filters nest at most {FILTER_DEPTH_MAX} deep, and there are at most {FILTERS_MAX}"
        )));
    }
    place.left -= 1;
    let Some(operator) = parts.first().and_then(Value::as_str) else {
        return Err(place.error(format!("{} does not begin with an operator", quoted(value))));
    };
    match (operator, parts.get(1..).unwrap_or_default()) {
        ("and", [Value::Array(members)]) if !members.is_empty() => {
            Ok(Filter::And(parse_members(members, place, depth)?))
        }
        ("or", [Value::Array(members)]) if !members.is_empty() => {
            Ok(Filter::Or(parse_members(members, place, depth)?))
        }
        ("not", [member]) => Ok(Filter::Not(Box::new(parse_filter(member, place, depth - 1)?))),
        ("has_done" | "has_not_done", [member]) => {
            let filter = Box::new(parse_filter(member, place, depth - 1)?);
            Ok(Filter::Done { negated: operator == "has_not_done", filter })
        }
        ("and" | "or", _) => {
            Err(place.error(format!("{operator} takes one list of at least one filter")))
        }
        ("not" | "has_done" | "has_not_done", _) => {
            Err(place.error(format!("{operator} takes exactly one filter")))
        }
        (_, rest) => parse_test(operator, rest, place),
    }
}

fn parse_members(
    members: &[Value],
    place: &mut Place,
    depth: usize,
) -> Result<Vec<Filter>, QuestionError> {
    members.iter().map(|member| parse_filter(member, place, depth - 1)).collect()
}

fn parse_test(operator: &str, rest: &[Value], place: &Place) -> Result<Filter, QuestionError> {
    const OPERATORS: [&str; 6] =
        ["is", "is_not", "contains", "contains_not", "matches", "matches_not"];
    if !OPERATORS.contains(&operator) {
        let shown = quoted(&json!(operator));
        return Err(place
            .error(format!("there is no operator {shown}; there are {}", OPERATORS.join(", "))));
    }
    let (subject, clauses, option) = match rest {
        [subject, clauses] => (subject, clauses, None),
        [subject, clauses, option] => (subject, clauses, Some(option)),
        _ => return Err(place.error(format!("{operator} takes a dimension and a list of clauses"))),
    };
    let subject = parse_subject(operator, subject, place)?;
    let (base, negated) = match operator.strip_suffix("_not") {
        Some(base) => (base, true),
        None => (operator, false),
    };
    if subject == Dimension::Goal && (negated || base == "matches") {
        return Err(place.error(format!("event:goal takes is and contains, not {operator}")));
    }
    let clauses = parse_clauses(&subject, clauses, place)?;
    let case_sensitive = match option {
        None => true,
        Some(_) if base == "matches" => {
            return Err(place
                .error(format!("{operator} takes no fourth element; write (?i) in the pattern")));
        }
        Some(option) => parse_case(option, place)?,
    };
    let operator = match base {
        "is" => Operator::Is,
        "contains" => Operator::Contains,
        _ => Operator::Matches(parse_patterns(&clauses, place)?),
    };
    Ok(Filter::Test(Test { subject, operator, negated, clauses, case_sensitive }))
}

fn parse_subject(operator: &str, value: &Value, place: &Place) -> Result<Dimension, QuestionError> {
    let subject = match value.as_str() {
        // Well-formed ones were replaced before.
        Some(SEGMENT) => {
            let why = "segment takes the operator is, a list of numbers and nothing else";
            return Err(place.error(format!("{why}, not {operator}")));
        }
        Some(name) => Dimension::named(name),
        None => None,
    };
    match subject {
        Some(Dimension::Time(_)) => {
            Err(place.error(format!("{} cannot be filtered", quoted(value))))
        }
        Some(subject) => Ok(subject),
        None => Err(place.error(format!("{} is no dimension", quoted(value)))),
    }
}

fn parse_clauses(
    subject: &Dimension,
    value: &Value,
    place: &Place,
) -> Result<Vec<String>, QuestionError> {
    let Some(list) = value.as_array() else {
        return Err(place.error(format!("the clauses have to be a list, not {}", quoted(value))));
    };
    if list.len() > CLAUSES_MAX {
        return Err(place.error(format!("a filter has at most {CLAUSES_MAX} clauses")));
    }
    let numbers = list.iter().filter(|item| item.is_number()).count();
    let takes_numbers = *subject == Dimension::Visit(Field::City);
    if numbers > 0 && !(takes_numbers && numbers == list.len()) {
        return Err(place.error(format!("the clauses of {} have to be texts", subject.name())));
    }
    list.iter()
        .map(|item| match item {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(place.error(format!("{} is no clause", quoted(item)))),
        })
        .collect()
}

fn parse_case(option: &Value, place: &Place) -> Result<bool, QuestionError> {
    let object =
        option.as_object().filter(|object| object.keys().all(|key| key == "case_sensitive"));
    let flag = object.map(|object| object.get("case_sensitive").map_or(Some(true), Value::as_bool));
    match flag {
        Some(Some(flag)) => Ok(flag),
        _ => Err(place.error("the fourth element has to be {\"case_sensitive\": true or false}")),
    }
}

fn parse_patterns(clauses: &[String], place: &Place) -> Result<Vec<Pattern>, QuestionError> {
    clauses
        .iter()
        .map(|clause| {
            Pattern::parse(clause).map_err(|why| {
                place.error(format!("{} is no pattern: {why}", quoted(&json!(clause))))
            })
        })
        .collect()
}
