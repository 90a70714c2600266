//! What a goal asks for: read from a body, checked, and as questions take it. Steps of funnels, anchors of journeys and what
//! counts as coming back are written in the same form.

use cairn_catalog::{GoalCondition, GoalTarget, NewGoal};
use cairn_engine::ingest::money::minor_units;
use cairn_model::Currency;
use cairn_model::limits::{EVENT_NAME_SIZE_BYTES_MAX, PROPS_MAX};
use cairn_model::question::goal::{CONDITION_VALUES_MAX, CONDITIONS_MAX};
use cairn_model::question::{Condition, Goal, Trigger};
use serde_json::Value;

use crate::api::body::{Fields, missing, wrong_type};
use crate::api::sites;
use crate::error::{ApiError, Code};

/// Longest time that a goal may ask for, seconds: a day.
const ENGAGED_S_MAX: i64 = 86_400;

/// Reads a definition that stands alone.
pub(crate) fn read(fields: Fields) -> Result<NewGoal, ApiError> {
    read_with(fields, |_, _| Ok(None))
}

/// Reads a definition and the target beside it. What is odd about single fields is found first.
pub(super) fn read_with(
    mut fields: Fields,
    target: impl FnOnce(&mut Fields, &str) -> Result<Option<GoalTarget>, ApiError>,
) -> Result<NewGoal, ApiError> {
    let mut goal = NewGoal {
        event_name: fields.text("event_name")?.unwrap_or_default(),
        page_path: fields.text("page_path")?.unwrap_or_default(),
        section: fields.text("section")?.unwrap_or_default(),
        display_name: fields.text("display_name")?.unwrap_or_default(),
        currency: sites::currency(&mut fields)?.unwrap_or_default(),
        custom_props: fields.text_map("custom_props", PROPS_MAX)?,
        ..NewGoal::default()
    };
    let engaged_s = fields.whole("engaged_s", 1..=ENGAGED_S_MAX)?;
    goal.engaged_s = engaged_s.and_then(|seconds| u32::try_from(seconds).ok());
    let threshold = fields.whole("scroll_threshold", 0..=100)?;
    goal.scroll_threshold = threshold.and_then(|depth| u8::try_from(depth).ok());
    goal.conditions = conditions(&mut fields)?;
    goal.value_minor_min = amount(&mut fields, "value_min", &goal.currency)?;
    goal.target = target(&mut fields, &goal.currency)?;
    let place = fields.path("");
    fields.finish()?;
    check(&goal).map_err(|error| match error.field {
        Some(field) => ApiError { field: Some(format!("{place}{field}")), ..error },
        None => error,
    })?;
    if goal.display_name.is_empty() {
        goal.display_name = name_of(&goal);
    }
    Ok(goal)
}

fn check(goal: &NewGoal) -> Result<(), ApiError> {
    let wrong = |field: &str, message: &str| Err(ApiError::invalid(field, message));
    let is_event = !goal.event_name.is_empty();
    let on_pages = goal.section.is_empty() && goal.engaged_s.is_none();
    let kinds = [is_event, !goal.section.is_empty(), goal.engaged_s.is_some()];
    let kinds = kinds.into_iter().filter(|kind| *kind).count()
        + usize::from(on_pages && !goal.page_path.is_empty());
    if kinds != 1 || (is_event && !goal.page_path.is_empty()) {
        let message = "A goal needs exactly one of event_name, page_path, section and engaged_s; \
            section and engaged_s may have a page_path besides.";
        return Err(ApiError::new(Code::MissingField, message).on("event_name"));
    }
    if goal.event_name.len() > EVENT_NAME_SIZE_BYTES_MAX {
        let message = format!("The name is longer than {EVENT_NAME_SIZE_BYTES_MAX} bytes.");
        return wrong("event_name", &message);
    }
    if !goal.page_path.is_empty() && !goal.page_path.starts_with(['/', '*']) {
        return wrong("page_path", "The path must begin with a slash.");
    }
    if !goal.currency.is_empty() && !is_event {
        return wrong("currency", "Only an event goal can have revenue.");
    }
    if goal.scroll_threshold.is_some() && (goal.page_path.is_empty() || !on_pages) {
        return wrong("scroll_threshold", "Only a page goal can have a depth.");
    }
    let is_report = goal.scroll_threshold.is_some() || !on_pages;
    if is_report && !(goal.custom_props.is_empty() && goal.conditions.is_empty()) {
        let message = "A goal with a depth, a section or a time cannot ask for properties.";
        return wrong("custom_props", message);
    }
    Ok(())
}

fn name_of(goal: &NewGoal) -> String {
    let path = &goal.page_path;
    match (goal.engaged_s, goal.scroll_threshold) {
        (Some(seconds), _) if path.is_empty() => format!("{seconds} s in a visit"),
        (Some(seconds), _) => format!("{seconds} s on {path}"),
        (None, Some(depth)) => format!("Scroll {depth} {path}"),
        _ if !goal.section.is_empty() => format!("Read {}", goal.section),
        _ if goal.event_name.is_empty() => format!("Visit {path}"),
        _ => goal.event_name.clone(),
    }
}

fn conditions(fields: &mut Fields) -> Result<Vec<GoalCondition>, ApiError> {
    let mut conditions = Vec::new();
    for mut one in fields.objects("conditions", CONDITIONS_MAX)?.unwrap_or_default() {
        let condition = GoalCondition {
            prop: one.required_text("prop")?,
            operator: one.required_text("operator")?,
            values: one.texts("values", CONDITION_VALUES_MAX)?.unwrap_or_default(),
        };
        let GoalCondition { prop, operator, values } = &condition;
        Condition::parse(prop, operator, values)
            .map_err(|why| ApiError::invalid(one.path("operator"), format!("{why}.")))?;
        one.finish()?;
        conditions.push(condition);
    }
    Ok(conditions)
}

/// An amount in the main unit of a currency, exact.
pub(super) fn amount(
    fields: &mut Fields,
    name: &'static str,
    currency: &str,
) -> Result<Option<i64>, ApiError> {
    let path = fields.path(name);
    let text = match fields.take(name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text,
        Some(_) => return Err(wrong_type(&path, "a decimal number")),
    };
    let currency =
        Currency::from_code(currency).ok_or_else(|| missing(&fields.path("currency")))?;
    let amount = minor_units(name, &text, currency);
    amount.map(Some).map_err(|why| ApiError::invalid(path, format!("{}.", why.message)))
}

/// A definition as questions take it.
pub(crate) fn question_goal(definition: NewGoal) -> Result<Goal, ApiError> {
    let any = |path: String| if path.is_empty() { "*".to_owned() } else { path };
    let path = definition.page_path;
    let trigger = match (definition.engaged_s, definition.scroll_threshold) {
        (Some(seconds), _) => Trigger::Engaged {
            path: Some(path).filter(|path| !path.is_empty()),
            time_ms: seconds.saturating_mul(1000),
        },
        (None, Some(threshold)) => Trigger::Scroll { path, threshold },
        _ if !definition.section.is_empty() => {
            Trigger::Section { section: definition.section, path: any(path) }
        }
        _ if definition.event_name.is_empty() => Trigger::Page(path),
        _ => Trigger::Event(definition.event_name),
    };
    let equal = definition.custom_props.iter();
    let mut conditions: Vec<Condition> =
        equal.map(|(key, value)| Condition::equals(key, value)).collect();
    for GoalCondition { prop, operator, values } in &definition.conditions {
        let condition = Condition::parse(prop, operator, values).map_err(|_| {
            ApiError::new(Code::Internal, "A condition of a goal cannot be read any more.")
        })?;
        conditions.push(condition);
    }
    Ok(Goal {
        name: definition.display_name,
        trigger,
        currency: definition.currency,
        conditions,
        value_minor_min: definition.value_minor_min,
    })
}
