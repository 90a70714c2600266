//! A statement being written: text of ours, values of the asker as parameters.
//!
//! Guarantees: no text that came from outside is ever part of the statement; it can only be bound.

use crate::duckdb::Value;

/// Statement text and its parameters, `$1` being the first.
#[derive(Debug, Default)]
pub(in crate::duckdb) struct Parameters {
    texts: Vec<String>,
}

impl Parameters {
    /// Binds a text; returns what stands for it in the statement.
    pub(in crate::duckdb) fn bind(&mut self, text: impl Into<String>) -> String {
        let text = text.into();
        let index = match self.texts.iter().position(|bound| *bound == text) {
            Some(index) => index,
            None => {
                self.texts.push(text);
                self.texts.len() - 1
            }
        };
        format!("${}", index + 1)
    }

    /// The values to run the statement with.
    pub(super) fn values(&self) -> Vec<Value<'_>> {
        self.texts.iter().map(|text| Value::Text(text)).collect()
    }
}

/// Conditions that all hold; `TRUE` for none.
pub(super) fn all_of(conditions: &[String]) -> String {
    if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") }
}

/// At least one of the conditions holds; `FALSE` for none.
pub(super) fn one_of(conditions: &[String]) -> String {
    if conditions.is_empty() {
        "FALSE".to_owned()
    } else {
        format!("({})", conditions.join(" OR "))
    }
}

/// A condition turned around.
pub(super) fn not(condition: &str) -> String {
    format!("NOT ({condition})")
}

/// A constant condition.
pub(super) fn truth(value: bool) -> String {
    if value { "TRUE" } else { "FALSE" }.to_owned()
}
