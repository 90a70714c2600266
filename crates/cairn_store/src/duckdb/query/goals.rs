//! Goals as conditions on rows of `events`.
//!
//! What a condition means is defined by [`Condition::accepts`]; these conditions agree with it, which random questions check.

use cairn_model::question::goal::NUMBER_DECIMALS;
use cairn_model::question::tallies::{READ, READING};
use cairn_model::question::{Condition, Dimension, Goal, Trigger};

use super::predicate::{Predicates, known_prop};
use super::statement::{all_of, truth};
use super::tallies::number;
use crate::duckdb::texts::texts_of;
use crate::schema::{ENGAGEMENT_CODE, PAGE_VIEW_CODE, TextField};

impl Predicates<'_> {
    /// A text that fits a pattern in which `*` stands for any run of characters.
    fn fits(&mut self, column: &str, field: TextField, pattern: &str) -> String {
        let escaped = pattern.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let pattern = self.parameters.bind(escaped.replace('*', "%"));
        self.coded(column, field, &format!("text LIKE {pattern} ESCAPE '\\'"))
    }

    fn path_fits(&mut self, pattern: &str) -> String {
        self.fits("path", TextField::Path, pattern)
    }

    /// Whether an event converts a goal.
    pub(super) fn converts(&mut self, goal: &Goal) -> String {
        let engagement = || format!("name = {ENGAGEMENT_CODE}");
        let mut conditions = match &goal.trigger {
            Trigger::Event(name) => {
                let is_it = format!("text = {}", self.parameters.bind(name));
                vec![
                    self.coded("name", TextField::Name, &is_it),
                    format!("name <> {ENGAGEMENT_CODE}"),
                ]
            }
            Trigger::Page(path) => vec![format!("name = {PAGE_VIEW_CODE}"), self.path_fits(path)],
            Trigger::Scroll { path, threshold } => vec![
                engagement(),
                format!("coalesce(scroll_percent BETWEEN {threshold} AND 100, FALSE)"),
                self.path_fits(path),
            ],
            Trigger::Section { section, path } => vec![
                engagement(),
                "section_id <> 0".to_owned(),
                self.fits("section_id", TextField::SectionId, section),
                self.path_fits(path),
                format!("coalesce({} = '{READ}', FALSE)", known_prop(READING)),
            ],
            Trigger::Engaged { path, time_ms } => {
                vec![engagement(), self.engaged(path.as_deref(), *time_ms)]
            }
        };
        for condition in &goal.conditions {
            conditions.push(self.goal_condition(condition));
        }
        if let Some(least) = goal.value_minor_min {
            let texts = texts_of(self.question.site_id.0, TextField::Currency);
            let code = self.parameters.bind(&goal.currency);
            conditions.push(format!(
                "coalesce(value_minor >= {least}
                    AND currency = (SELECT code FROM {texts} WHERE text = {code}), FALSE)"
            ));
        }
        format!("({})", all_of(&conditions))
    }

    fn goal_condition(&mut self, condition: &Condition) -> String {
        match condition {
            Condition::Text(test) => match &test.subject {
                Dimension::Prop(key) => self.prop_test(test, key),
                _ => truth(false),
            },
            Condition::Number { key, above, than } => {
                let number = number(&format!("({})", self.prop(key)), NUMBER_DECIMALS);
                let sign = if *above { '>' } else { '<' };
                format!("coalesce(({number}) {sign} {than}, FALSE)")
            }
        }
    }

    /// The reports with which a visit's time reaches a bound: on one page, or on all of them.
    fn engaged(&mut self, path: Option<&str>, time_ms: u32) -> String {
        let mut conditions = self.stored_in_range();
        conditions.push(format!("name = {ENGAGEMENT_CODE}"));
        conditions.push("session_id <> 0 AND engagement_ms > 0".to_owned());
        conditions.extend(path.map(|path| self.path_fits(path)));
        let of_page = if path.is_some() { ", path" } else { "" };
        format!(
            "event_offset IN (SELECT event_offset FROM (
                SELECT event_offset, engagement_ms, sum(engagement_ms) OVER (
                    PARTITION BY session_id{of_page} ORDER BY timestamp_ms, event_offset
                    ROWS UNBOUNDED PRECEDING) AS reached
                FROM events WHERE {})
                WHERE reached >= {time_ms} AND reached - engagement_ms < {time_ms})",
            all_of(&conditions)
        )
    }
}
