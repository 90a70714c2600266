//! Saved segments: filters with a number, which a question names instead of repeating them.
//!
//! Guarantees: what is named is replaced before anything is parsed, so a segment means exactly what its filters mean
//! where it stands; filters of a segment that is asked for at the top level stand at the top level themselves. Filters
//! that were there keep their places, so that errors point at what the asker wrote.

use serde_json::{Value, json};

use crate::question::{FILTER_DEPTH_MAX, QuestionError};

/// Segments that one question may name.
pub const SEGMENTS_PER_QUESTION_MAX: usize = 10;

/// The subject of a filter by segment.
pub(super) const SEGMENT: &str = "segment";

/// A saved segment of a site.
#[derive(Clone, PartialEq, Debug)]
pub struct Segment {
    /// Its number.
    pub id: i64,
    /// Its filters, all of which hold; at least one.
    pub filters: Vec<Value>,
}

/// Whether filters name a segment, so that those of the site are needed.
pub fn names_segments(filters: &Value) -> bool {
    match filters {
        Value::Array(parts) if named(parts).is_some() => true,
        Value::Array(parts) => parts.iter().any(names_segments),
        _ => false,
    }
}

/// The filters of a question with those of the segments in their place.
pub fn expanded(filters: &Value, segments: &[Segment]) -> Result<Value, QuestionError> {
    let Value::Array(list) = filters else { return Ok(filters.clone()) };
    let mut expansion = Expansion { segments, left: SEGMENTS_PER_QUESTION_MAX };
    let (mut top, mut behind) = (Vec::with_capacity(list.len()), Vec::new());
    for (index, filter) in list.iter().enumerate() {
        let pointer = format!("#/filters/{index}");
        let chosen = match filter.as_array().and_then(|parts| named(parts)) {
            Some(clauses) => expansion.chosen(clauses, &pointer)?,
            None => Vec::new(),
        };
        match chosen.as_slice() {
            [] => top.push(expansion.within(filter, &pointer, FILTER_DEPTH_MAX)?),
            [only] => {
                top.extend(only.filters.first().cloned());
                behind.extend(only.filters.iter().skip(1).cloned());
            }
            several => top.push(either(several)),
        }
    }
    top.append(&mut behind);
    Ok(Value::Array(top))
}

/// The clauses of a filter by segment.
fn named(parts: &[Value]) -> Option<&Value> {
    match parts {
        [Value::String(operator), Value::String(subject), clauses]
            if operator == "is" && subject == SEGMENT =>
        {
            Some(clauses)
        }
        _ => None,
    }
}

fn all_of(segment: &Segment) -> Value {
    json!(["and", segment.filters])
}

fn either(segments: &[&Segment]) -> Value {
    match segments {
        [only] => all_of(only),
        several => json!(["or", several.iter().map(|segment| all_of(segment)).collect::<Vec<_>>()]),
    }
}

struct Expansion<'a> {
    segments: &'a [Segment],
    left: usize,
}

impl<'a> Expansion<'a> {
    fn chosen(
        &mut self,
        clauses: &Value,
        pointer: &str,
    ) -> Result<Vec<&'a Segment>, QuestionError> {
        let wrong = |why: String| QuestionError::at(pointer, why);
        let list = clauses.as_array().filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| wrong("segment takes a list of numbers".to_owned()))?;
        self.left = self.left.checked_sub(list.len()).ok_or_else(|| {
            wrong(format!("a question names at most {SEGMENTS_PER_QUESTION_MAX} segments"))
        })?;
        let find = |clause: &Value| {
            let id = clause.as_i64();
            let id = id.ok_or_else(|| wrong("segment takes numbers of segments".to_owned()))?;
            let found = self.segments.iter().find(|segment| segment.id == id);
            found.ok_or_else(|| wrong(format!("the site has no segment {id}")))
        };
        list.iter().map(find).collect()
    }

    /// A filter that is no segment itself, with the segments in it replaced. What has no filter's form stays as it is:
    /// parsing says what is wrong with it.
    fn within(
        &mut self,
        filter: &Value,
        pointer: &str,
        depth: usize,
    ) -> Result<Value, QuestionError> {
        let Some(parts) = filter.as_array().filter(|_| depth > 0) else {
            return Ok(filter.clone());
        };
        if let Some(clauses) = named(parts) {
            return Ok(either(&self.chosen(clauses, pointer)?));
        }
        match (parts.first().and_then(Value::as_str), parts.get(1..)) {
            (Some(operator @ ("and" | "or")), Some([Value::Array(members)])) => {
                let members: Result<Vec<_>, _> =
                    members.iter().map(|member| self.within(member, pointer, depth - 1)).collect();
                Ok(json!([operator, members?]))
            }
            (Some(operator @ ("not" | "has_done" | "has_not_done")), Some([member])) => {
                Ok(json!([operator, self.within(member, pointer, depth - 1)?]))
            }
            _ => Ok(filter.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str) -> Value {
        json!(["is", "event:page", [path]])
    }

    fn known() -> Vec<Segment> {
        let two = vec![page("/a"), json!(["is", "visit:country", ["DE"]])];
        vec![Segment { id: 1, filters: vec![page("/")] }, Segment { id: 7, filters: two }]
    }

    #[test]
    fn filters_of_one_segment_stand_where_it_stood_and_move_no_others() {
        let asked = json!([["is", "segment", [7]], page("/b"), ["is", "segment", [1]]]);
        assert!(names_segments(&asked));
        let found = expanded(&asked, &known()).unwrap();
        assert_eq!(
            found,
            json!([page("/a"), page("/b"), page("/"), ["is", "visit:country", ["DE"]]])
        );
    }

    #[test]
    fn several_are_alternatives_and_deeper_ones_are_one_filter() {
        let country = json!(["is", "visit:country", ["DE"]]);
        let either = json!(["or", [["and", [page("/")]], ["and", [page("/a"), country]]]]);
        let asked =
            json!([["is", "segment", [1, 7]], ["has_done", ["not", ["is", "segment", [1]]]]]);
        let found = expanded(&asked, &known()).unwrap();
        assert_eq!(found, json!([either, ["has_done", ["not", ["and", [page("/")]]]]]));
    }

    #[test]
    fn what_names_no_segment_of_the_site_is_refused_where_it_stands() {
        let cases = [
            (json!([page("/"), ["is", "segment", ["1"]]]), "#/filters/1", "numbers"),
            (json!([["is", "segment", [1.5]]]), "#/filters/0", "numbers"),
            (json!([["is", "segment", []]]), "#/filters/0", "list"),
            (json!([["is", "segment", 1]]), "#/filters/0", "list"),
            (json!([["not", ["is", "segment", [8]]]]), "#/filters/0", "no segment 8"),
            (json!([["is", "segment", [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]]]), "#/filters/0", "most"),
            (
                json!([["is", "segment", [1, 1, 1, 1, 1, 1]], ["is", "segment", [7, 7, 7, 7, 7]]]),
                "#/filters/1",
                "at most 10",
            ),
        ];
        for (asked, pointer, word) in cases {
            let error = expanded(&asked, &known()).unwrap_err();
            assert_eq!(error.field.as_deref(), Some(pointer), "{asked}");
            assert!(error.message.contains(word), "{asked}: {}", error.message);
        }
        let none = json!([page("/")]);
        assert!(!names_segments(&none));
        assert_eq!(expanded(&none, &[]).unwrap(), none);
    }
}
