//! The question behind attribution: which conversions, and which touches before them count.
//!
//! Guarantees: made by parsing only, so the conversion exists, the dimension is a visit's source, and every window is in
//! its bounds. What a touch, a path and its end are is defined here and in [`crate::touches`]; stores agree with it.

use serde_json::{Map, Value, json};

use crate::question::funnel::parse_base;
use crate::question::parse::quoted;
use crate::question::tallies::AD_VIEWABLE;
use crate::question::{Asking, Dimension, Field, Goal, Question, QuestionError, Trigger};

/// Days that a conversion looks back, unless asked otherwise.
pub const LOOKBACK_DAYS: i64 = 30;
/// Most of them.
pub const LOOKBACK_DAYS_MAX: i64 = 365;
/// Days in which a touch loses half of its weight, unless asked otherwise.
pub const HALF_LIFE_DAYS: i64 = 7;
/// Most of them.
pub const HALF_LIFE_DAYS_MAX: i64 = 365;
/// Days for which an advertisement in view counts, unless asked otherwise.
pub const VIEW_WINDOW_DAYS: i64 = 1;
/// Most of them.
pub const VIEW_WINDOW_DAYS_MAX: i64 = 30;
/// Different paths that are told apart; the rarer ones are cut.
pub const PATHS_MAX: u32 = 20_000;
/// Touches of one path; the earlier ones are cut.
pub const TOUCHES_MAX: u32 = 50;
/// Name of the event that brings revenue.
pub const REVENUE_EVENT: &str = "purchase";
/// Name of the event of an advertisement that was in view.
pub const VIEW_EVENT: &str = AD_VIEWABLE;

const DAY_MS: i64 = 86_400_000;
const KEYS: [&str; 11] = [
    "site_id",
    "date_range",
    "filters",
    "goal",
    "revenue",
    "dimension",
    "models",
    "lookback_days",
    "half_life_days",
    "view_through",
    "pagination",
];
/// What touches may be told apart by.
pub const FIELDS: [Field; 7] = [
    Field::Channel,
    Field::Source,
    Field::UtmSource,
    Field::UtmMedium,
    Field::UtmCampaign,
    Field::UtmContent,
    Field::UtmTerm,
];

/// What is a conversion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// An event that converts this goal.
    Goal(Goal),
    /// An order with an amount of money, in whatever currency: the first purchase of its `order_id`. Other events say what
    /// something is worth, too: what was looked at, or put into a cart.
    Revenue,
}

impl Target {
    /// Converts at most once in a visit, by the first event that does: depth is reported again and again.
    pub fn is_once_per_visit(&self) -> bool {
        matches!(self, Target::Goal(goal) if matches!(goal.trigger, Trigger::Scroll { .. }))
    }
}

/// What is asked, besides site and range.
#[derive(Clone, PartialEq, Debug)]
pub struct Terms {
    /// What is a conversion.
    pub target: Target,
    /// What touches are told apart by: one of [`FIELDS`].
    pub field: Field,
    /// Currency of the amounts that are added; others count as conversions without an amount.
    pub currency: String,
    /// A visit counts that began less than this before the conversion.
    pub lookback_ms: i64,
    /// Time in which a touch loses half of its weight.
    pub half_life_ms: i64,
    /// An advertisement counts that was in view less than this before the conversion; `None`: none does.
    pub view_window_ms: Option<i64>,
    /// Different paths that are told apart.
    pub paths_max: u32,
    /// Touches of one path.
    pub touches_max: u32,
}

/// Asks for the paths of a site's people.
#[derive(Clone, PartialEq, Debug)]
pub struct AttributionQuestion {
    question: Question,
    terms: Terms,
}

impl AttributionQuestion {
    /// Checks a body. `site_currency` is that of amounts where the goal names none.
    pub fn parse(
        body: &Value,
        asking: &Asking<'_>,
        site_currency: &str,
    ) -> Result<AttributionQuestion, QuestionError> {
        let body = object(body)?;
        let target = target(body, asking.goals)?;
        let days = |key, usual, most| whole_days(body.get(key), &format!("#/{key}"), usual, most);
        let terms = Terms {
            field: field(body.get("dimension"))?,
            currency: currency_of(&target, site_currency),
            target,
            lookback_ms: days("lookback_days", LOOKBACK_DAYS, LOOKBACK_DAYS_MAX)? * DAY_MS,
            half_life_ms: days("half_life_days", HALF_LIFE_DAYS, HALF_LIFE_DAYS_MAX)? * DAY_MS,
            view_window_ms: view_window_ms(body.get("view_through"))?,
            paths_max: PATHS_MAX,
            touches_max: TOUCHES_MAX,
        };
        let range = body.get("date_range").unwrap_or(&Value::Null);
        let filters = body.get("filters").unwrap_or(&Value::Null);
        Ok(AttributionQuestion { question: parse_base(range, filters, &[], asking)?, terms })
    }

    /// Site, range and filters. A conversion counts if it passes them, a person without one if one of the visits in the range
    /// does; whoever converted is not without a conversion, whether it passes or not. Touches are all there.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Everything else.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The earliest instant at which anything could count.
    pub fn earliest_ms(&self) -> i64 {
        let window_ms = self.terms.lookback_ms.max(self.terms.view_window_ms.unwrap_or(0));
        self.question.range.from_ms().saturating_sub(window_ms)
    }

    /// The same with other bounds.
    pub fn bounded(mut self, paths_max: u32, touches_max: u32) -> AttributionQuestion {
        (self.terms.paths_max, self.terms.touches_max) = (paths_max.max(1), touches_max.max(1));
        self
    }

    /// What was run, in the form in which it may be asked again, but for models and page.
    pub fn echo(&self, body: &Value) -> Value {
        let days = |ms: i64| ms / DAY_MS;
        let terms = &self.terms;
        let mut echo = json!({
            "site_id": body.get("site_id"),
            "date_range": self.question.echo.get("date_range"),
            "filters": self.question.echo.get("filters"),
            "dimension": Dimension::Visit(terms.field).name(),
            "lookback_days": days(terms.lookback_ms),
            "half_life_days": days(terms.half_life_ms),
            "view_through": match terms.view_window_ms {
                Some(window_ms) => json!({"window_days": days(window_ms)}),
                None => json!(false),
            },
        });
        match &terms.target {
            Target::Goal(goal) => echo["goal"] = json!(goal.name),
            Target::Revenue => echo["revenue"] = json!(true),
        }
        echo
    }
}

/// Currency of the amounts: the goal's own, else the site's.
fn currency_of(target: &Target, site_currency: &str) -> String {
    match target {
        Target::Goal(goal) if !goal.currency.is_empty() => goal.currency.clone(),
        _ => site_currency.to_owned(),
    }
}

fn object(body: &Value) -> Result<&Map<String, Value>, QuestionError> {
    let Some(body) = body.as_object() else {
        return Err(QuestionError::at("#", "the body has to be one JSON object"));
    };
    if let Some(key) = body.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let shown = quoted(&Value::String(key.clone()));
        let place = key.chars().take(64).collect::<String>();
        let why = format!("there is no key {shown} here; there are {}", KEYS.join(", "));
        return Err(QuestionError::at(format!("#/{place}"), why));
    }
    Ok(body)
}

fn target(body: &Map<String, Value>, goals: &[Goal]) -> Result<Target, QuestionError> {
    let revenue = match body.get("revenue") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(revenue)) => *revenue,
        Some(other) => {
            let why = format!("{} is neither true nor false", quoted(other));
            return Err(QuestionError::at("#/revenue", why));
        }
    };
    match (body.get("goal").unwrap_or(&Value::Null), revenue) {
        (Value::Null, true) => Ok(Target::Revenue),
        (Value::String(name), false) => {
            let goal = goals.iter().find(|goal| goal.name == *name);
            let unknown = || {
                let shown: String = name.chars().take(256).collect();
                QuestionError::at("#/goal", format!("the site has no goal \"{shown}\""))
            };
            goal.cloned().map(Target::Goal).ok_or_else(unknown)
        }
        (Value::Null, false) | (Value::String(_), true) => {
            let why = "exactly one of goal (a name) and revenue (true) says what a conversion is";
            Err(QuestionError::at("#/goal", why))
        }
        (other, _) => {
            Err(QuestionError::at("#/goal", format!("{} is no goal's name", quoted(other))))
        }
    }
}

fn field(value: Option<&Value>) -> Result<Field, QuestionError> {
    let name = match value {
        None | Some(Value::Null) => return Ok(Field::Channel),
        Some(name) => name,
    };
    let named = name.as_str().and_then(Dimension::named);
    let known = FIELDS.into_iter().find(|field| named == Some(Dimension::Visit(*field)));
    known.ok_or_else(|| {
        let names = FIELDS.map(|field| Dimension::Visit(field).name()).join(", ");
        QuestionError::at("#/dimension", format!("{} is none of {names}", quoted(name)))
    })
}

fn whole_days(
    value: Option<&Value>,
    pointer: &str,
    usual: i64,
    most: i64,
) -> Result<i64, QuestionError> {
    let value = match value {
        None | Some(Value::Null) => return Ok(usual),
        Some(value) => value,
    };
    let days = value.as_i64().filter(|days| (1..=most).contains(days));
    days.ok_or_else(|| {
        let why = format!("{} is no whole number of days from 1 to {most}", quoted(value));
        QuestionError::at(pointer, why)
    })
}

fn view_window_ms(value: Option<&Value>) -> Result<Option<i64>, QuestionError> {
    let days = |value: Option<&Value>| {
        let pointer = "#/view_through/window_days";
        whole_days(value, pointer, VIEW_WINDOW_DAYS, VIEW_WINDOW_DAYS_MAX)
    };
    match value {
        None | Some(Value::Null | Value::Bool(false)) => Ok(None),
        Some(Value::Bool(true)) => Ok(Some(VIEW_WINDOW_DAYS * DAY_MS)),
        Some(Value::Object(asked)) if asked.keys().all(|key| key == "window_days") => {
            Ok(Some(days(asked.get("window_days"))? * DAY_MS))
        }
        Some(other) => {
            let why = format!(
                "{} is none of true, false and {{\"window_days\": {VIEW_WINDOW_DAYS}}}",
                quoted(other)
            );
            Err(QuestionError::at("#/view_through", why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SiteId;

    fn goal(name: &str, currency: &str) -> Goal {
        let goal = Goal::new(name.to_owned(), Trigger::Event(name.to_owned()));
        Goal { currency: currency.to_owned(), ..goal }
    }

    fn parse(body: Value) -> Result<AttributionQuestion, QuestionError> {
        let goals = [goal("Signup", ""), goal("Sale", "USD")];
        let asking = Asking {
            site_id: SiteId(1),
            timezone: "Europe/Berlin",
            now_ms: 1_795_341_600_000,
            first_event_ms: None,
            goals: &goals,
        };
        AttributionQuestion::parse(&body, &asking, "EUR")
    }

    #[test]
    fn what_is_left_out_has_its_usual_value() {
        let question = parse(json!({"date_range": "7d", "goal": "Signup"})).unwrap();
        let terms = question.terms();
        assert_eq!((terms.field, terms.currency.as_str()), (Field::Channel, "EUR"));
        assert_eq!((terms.lookback_ms, terms.half_life_ms), (30 * DAY_MS, 7 * DAY_MS));
        assert_eq!(terms.view_window_ms, None);
        let from_ms = question.question().range.from_ms();
        assert_eq!(question.earliest_ms(), from_ms - 30 * DAY_MS);
        let echo = question.echo(&json!({"site_id": "shop.example"}));
        assert_eq!(echo["view_through"], json!(false));
        assert_eq!(parse(echo).unwrap(), question);
        let sale = parse(json!({"date_range": "7d", "goal": "Sale", "view_through": true}));
        let sale = sale.unwrap();
        assert_eq!(sale.terms().currency, "USD");
        assert_eq!(sale.terms().view_window_ms, Some(DAY_MS));
        assert_eq!(parse(sale.echo(&Value::Null)).unwrap().terms(), sale.terms());
    }

    #[test]
    fn errors_point_at_what_is_wrong() {
        for (body, field) in [
            (json!([]), "#"),
            (json!({"goal": "Signup"}), "#/date_range"),
            (json!({"date_range": "7d"}), "#/goal"),
            (json!({"date_range": "7d", "goal": "Nothing"}), "#/goal"),
            (json!({"date_range": "7d", "goal": 7}), "#/goal"),
            (json!({"date_range": "7d", "goal": "Sale", "revenue": true}), "#/goal"),
            (json!({"date_range": "7d", "revenue": "yes"}), "#/revenue"),
            (json!({"date_range": "7d", "revenue": true, "goals": 1}), "#/goals"),
            (
                json!({"date_range": "7d", "revenue": true, "dimension": "event:page"}),
                "#/dimension",
            ),
            (json!({"date_range": "7d", "revenue": true, "lookback_days": 366}), "#/lookback_days"),
            (json!({"date_range": "7d", "revenue": true, "half_life_days": 0}), "#/half_life_days"),
            (json!({"date_range": "7d", "revenue": true, "view_through": "on"}), "#/view_through"),
            (
                json!({"date_range": "7d", "revenue": true, "view_through": {"window_days": 31}}),
                "#/view_through/window_days",
            ),
        ] {
            let error = parse(body.clone()).unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field), "{body}");
        }
    }
}
