//! Filters as conditions on rows of `events` or `sessions`.
//!
//! A text is tested once, in the table of texts, and not in each row that has it.
//!
//! What a test means is defined by [`Test::accepts`]; these conditions agree with it, which random questions check.

use cairn_model::event::{CLICK_LANDED, OFF_SITE, PAGE_VIEW};
use cairn_model::question::countries::{COUNTRIES, country_name};
use cairn_model::question::filters::folded;
use cairn_model::question::tallies::{LANDED_CLICK, Scope, Vital};
use cairn_model::question::{
    Dimension, Engagement, Field, Filter, FirstProp, Operator, Question, Test,
};
use cairn_model::session::Attribute;

use super::orders::OrderNames;
use super::statement::{Parameters, all_of, not, one_of, truth};
use crate::duckdb::rollup::Rolled;
use crate::duckdb::texts::{coded, texts_of};
use crate::plan::Plan;
use crate::schema::{ENGAGEMENT_CODE, ORDINARY_CODES_FROM, PAGE_VIEW_CODE, TextField};

/// An event that belongs to no visit; of those that mails and ads have the names of, it happened away from the site.
const OFF_SITE_ROW: &str = "session_id = 0";

/// Which table a condition is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    Events,
    Visits,
}

/// Writes conditions for one question.
pub(super) struct Predicates<'q> {
    pub(super) question: &'q Question,
    pub(super) parameters: Parameters,
    /// Looked up where orders are counted.
    pub(super) order_names: OrderNames,
    /// Sides that were answered already.
    pub(super) rolled: Rolled,
}

/// Where a visit's value stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Its column, or an expression of columns.
    pub(super) sql: &'static str,
    /// What the column's codes stand for; `None`: the expression gives texts already.
    pub(super) texts: Option<TextField>,
}

/// The place of a visit's value; entries and exits are columns of `sessions` alone.
pub(super) fn place(field: Field) -> Place {
    let coded = |sql, texts| Place { sql, texts: Some(texts) };
    let of = |attribute: Attribute| coded(attribute.column(), TextField::Visit(attribute));
    let plain = |sql| Place { sql, texts: None };
    match field {
        Field::EntryPage => coded("entry_page", TextField::Path),
        Field::ExitPage => coded("exit_page", TextField::Path),
        Field::EntryHostname => coded("entry_hostname", TextField::Hostname),
        Field::ExitHostname => coded("exit_hostname", TextField::Hostname),
        Field::Source => of(Attribute::Source),
        Field::Referrer => of(Attribute::Referrer),
        Field::Channel => of(Attribute::Channel),
        Field::UtmSource => of(Attribute::UtmSource),
        Field::UtmMedium => of(Attribute::UtmMedium),
        Field::UtmCampaign => of(Attribute::UtmCampaign),
        Field::UtmContent => of(Attribute::UtmContent),
        Field::UtmTerm => of(Attribute::UtmTerm),
        Field::Country | Field::CountryName => of(Attribute::Country),
        Field::Region | Field::RegionName => of(Attribute::Region),
        Field::City | Field::CityName => of(Attribute::City),
        Field::Device => of(Attribute::Device),
        Field::Browser => of(Attribute::Browser),
        Field::BrowserVersion => of(Attribute::BrowserVersion),
        Field::Os => of(Attribute::Os),
        Field::OsVersion => of(Attribute::OsVersion),
        Field::Bot => plain("CASE WHEN bot = 0 THEN 'false' ELSE 'true' END"),
        Field::Identification => {
            plain("CASE WHEN identified THEN 'identified' ELSE 'anonymous' END")
        }
    }
}

/// The texts that a dimension's codes stand for, where it has codes.
pub(in crate::duckdb) fn dimension_texts(dimension: &Dimension) -> Option<TextField> {
    match dimension {
        Dimension::EventName => Some(TextField::Name),
        Dimension::Page => Some(TextField::Path),
        Dimension::Hostname => Some(TextField::Hostname),
        Dimension::Visit(field) => place(*field).texts,
        Dimension::Section => Some(TextField::SectionId),
        Dimension::Goal | Dimension::Prop(_) | Dimension::FirstProp(_) | Dimension::Time(_) => None,
    }
}

/// The value of a property that the language itself names (plain letters), NULL where the event does not have it.
pub(super) fn known_prop(key: &'static str) -> String {
    format!("CASE WHEN props = '' THEN NULL ELSE json_extract_string(props, '/{key}') END")
}

/// The first of some properties that is not empty; '' where the event has none of them.
pub(super) fn first_prop(first: FirstProp) -> String {
    let values: Vec<String> = first
        .props()
        .iter()
        .map(|key| format!("nullif(json_extract_string(props, '/{key}'), '')"))
        .collect();
    format!("CASE WHEN props = '' THEN '' ELSE coalesce({}, '') END", values.join(", "))
}

/// Which of the events that are not left out anyway are ordinary ones, with those that a question names besides.
pub(super) fn ordinary_condition(engagement: Engagement, off_site: bool) -> String {
    let ordinary = match off_site {
        // Events of these names that belong to a visit are a page's own.
        false => format!(
            "(name <> {ENGAGEMENT_CODE} AND (name >= {ORDINARY_CODES_FROM} OR session_id <> 0))"
        ),
        true => format!("name <> {ENGAGEMENT_CODE}"),
    };
    let reports = match engagement {
        Engagement::Hidden => return ordinary,
        Engagement::Sections => "section_id <> 0 AND session_id <> 0",
        Engagement::All => "session_id <> 0",
    };
    format!("({ordinary} OR (name = {ENGAGEMENT_CODE} AND {reports}))")
}

/// Which events are ordinary ones.
pub(in crate::duckdb) fn ordinary_events() -> String {
    ordinary_condition(Engagement::Hidden, false)
}

impl<'q> Predicates<'q> {
    pub(super) fn new(question: &'q Question) -> Self {
        let (parameters, order_names, rolled) = Default::default();
        Predicates { question, parameters, order_names, rolled }
    }

    fn list(&mut self, texts: &[String]) -> String {
        let bound: Vec<String> = texts.iter().map(|text| self.parameters.bind(text)).collect();
        bound.join(", ")
    }

    /// Whether a clause speaks of the text expression, negation left aside.
    fn hits(&mut self, test: &Test, text: &str) -> String {
        match &test.operator {
            Operator::Is => {
                let (mut clauses, mut text) = (test.stored_clauses(), text.to_owned());
                if !test.case_sensitive {
                    clauses = clauses.iter().map(|clause| folded(clause)).collect();
                    text = format!("lower({text})");
                }
                match clauses.as_slice() {
                    [] => truth(false),
                    [one] => format!("{text} = {}", self.parameters.bind(one)),
                    many => format!("{text} IN ({})", self.list(many)),
                }
            }
            Operator::Contains => {
                let mut conditions = Vec::new();
                for clause in &test.clauses {
                    conditions.push(if test.case_sensitive {
                        format!("contains({text}, {})", self.parameters.bind(clause))
                    } else {
                        let clause = self.parameters.bind(folded(clause));
                        format!("contains(lower({text}), {clause})")
                    });
                }
                one_of(&conditions)
            }
            Operator::Matches(patterns) => {
                let mut conditions = Vec::new();
                for pattern in patterns {
                    let pattern = self.parameters.bind(pattern.text());
                    conditions.push(format!("regexp_matches({text}, {pattern})"));
                }
                one_of(&conditions)
            }
        }
    }

    fn text_test(&mut self, test: &Test, text: &str) -> String {
        let hits = self.hits(test, text);
        if test.negated { not(&hits) } else { hits }
    }

    /// The same on a column of codes: the texts are looked through, and the rows with their codes pass.
    fn coded_test(&mut self, test: &Test, column: &str, field: TextField) -> String {
        let condition = self.text_test(test, "text");
        self.coded(column, field, &condition)
    }

    pub(super) fn coded(&self, column: &str, field: TextField, condition: &str) -> String {
        coded(column, self.question.site_id.0, field, condition)
    }

    /// Page views answer to two names, so whether they pass is known beforehand.
    fn name_test(&mut self, test: &Test) -> String {
        let others = self.coded_test(test, "name", TextField::Name);
        if test.accepts(PAGE_VIEW) {
            format!("(name = {PAGE_VIEW_CODE} OR {others})")
        } else {
            format!("(name <> {PAGE_VIEW_CODE} AND {others})")
        }
    }

    /// Country names are a table of this program: the test is decided per code, beforehand.
    fn country_name_test(&mut self, test: &Test) -> String {
        let quoted = |codes: &[&str]| {
            let codes: Vec<String> = codes.iter().map(|code| format!("'{code}'")).collect();
            codes.join(", ")
        };
        let known: Vec<&str> = COUNTRIES.iter().map(|(code, _)| *code).collect();
        let passing: Vec<&str> =
            known.iter().copied().filter(|code| test.accepts(country_name(code))).collect();
        let unknown = self.text_test(test, "text");
        let unknown = format!("(text NOT IN ({}) AND {unknown})", quoted(&known));
        let condition = if passing.is_empty() {
            unknown
        } else {
            format!("(text IN ({}) OR {unknown})", quoted(&passing))
        };
        self.coded("country", TextField::Visit(Attribute::Country), &condition)
    }

    /// A value that can only be one of two words.
    fn two_words(&mut self, test: &Test, words: [(&str, &str); 2]) -> String {
        let conditions: Vec<String> = words
            .into_iter()
            .filter(|(word, _)| test.accepts(word))
            .map(|(_, condition)| condition.to_owned())
            .collect();
        // Both: nothing to look at in each row.
        if conditions.len() == words.len() { truth(true) } else { one_of(&conditions) }
    }

    fn visit_test(&mut self, test: &Test, field: Field, table: Table) -> String {
        let Place { sql, texts } = place(field);
        match field {
            Field::Bot => self.two_words(test, [("false", "bot = 0"), ("true", "bot <> 0")]),
            Field::Identification => self
                .two_words(test, [("identified", "identified"), ("anonymous", "NOT identified")]),
            Field::CountryName => self.country_name_test(test),
            _ if field.is_visit_only() && table == Table::Events => {
                let condition = self.visit_test(test, field, Table::Visits);
                let site = self.question.site_id;
                format!(
                    "session_id IN (SELECT session_id FROM sessions
                        WHERE site_id = {site} AND {condition})"
                )
            }
            _ => match texts {
                Some(texts) => self.coded_test(test, sql, texts),
                None => self.text_test(test, sql),
            },
        }
    }

    /// The value of a property, NULL where the event does not have it.
    pub(super) fn prop(&mut self, key: &str) -> String {
        // A JSON pointer: every key can be written as one.
        let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        let pointer = self.parameters.bind(pointer);
        format!("CASE WHEN props = '' THEN NULL ELSE json_extract_string(props, {pointer}) END")
    }

    pub(super) fn prop_test(&mut self, test: &Test, key: &str) -> String {
        let value = format!("({})", self.prop(key));
        let absent = truth(test.accepts_prop(None));
        let present = self.text_test(test, &value);
        format!("(CASE WHEN {value} IS NULL THEN {absent} ELSE {present} END)")
    }

    fn goal_test(&mut self, test: &Test) -> String {
        let goals = self.question.goals.iter().filter(|goal| test.accepts(&goal.name));
        let conditions: Vec<String> = goals.map(|goal| self.converts(goal)).collect();
        one_of(&conditions)
    }

    fn has_done(&mut self, filter: &Filter, negated: bool) -> String {
        let mut conditions = self.stored_in_range();
        conditions.push(ordinary_condition(self.question.engagement_of(filter), false));
        conditions.push("session_id <> 0".to_owned());
        conditions.push(self.condition(filter, Table::Events));
        let not = if negated { "NOT " } else { "" };
        format!("session_id {not}IN (SELECT session_id FROM events WHERE {})", all_of(&conditions))
    }

    fn test(&mut self, test: &Test, table: Table) -> String {
        match &test.subject {
            Dimension::EventName => self.name_test(test),
            Dimension::Page => self.coded_test(test, "path", TextField::Path),
            Dimension::Hostname => self.coded_test(test, "hostname", TextField::Hostname),
            Dimension::Visit(field) => self.visit_test(test, *field, table),
            Dimension::Goal => self.goal_test(test),
            Dimension::Prop(key) => self.prop_test(test, key),
            Dimension::Section => self.coded_test(test, "section_id", TextField::SectionId),
            Dimension::FirstProp(first) => {
                let value = format!("({})", first_prop(*first));
                self.text_test(test, &value)
            }
            // Refused when the question was parsed.
            Dimension::Time(_) => truth(false),
        }
    }

    /// One filter as a condition.
    pub(super) fn condition(&mut self, filter: &Filter, table: Table) -> String {
        match filter {
            Filter::Test(test) => self.test(test, table),
            Filter::And(members) => format!("({})", all_of(&self.conditions(members, table))),
            Filter::Or(members) => one_of(&self.conditions(members, table)),
            Filter::Not(member) => not(&self.condition(member, table)),
            Filter::Done { negated, filter } => self.has_done(filter, *negated),
        }
    }

    /// Several filters as conditions.
    pub(super) fn conditions(&mut self, filters: &[Filter], table: Table) -> Vec<String> {
        filters.iter().map(|filter| self.condition(filter, table)).collect()
    }

    /// All stored events of the question's site and range, bots' included.
    pub(super) fn in_range(&self) -> Vec<String> {
        let (site, range) = (self.question.site_id, self.question.range);
        vec![
            format!("site_id = {site}"),
            format!("timestamp_ms >= {}", range.from_ms()),
            format!("timestamp_ms < {}", range.until_ms()),
        ]
    }

    /// All stored events of the question's site and range.
    pub(super) fn stored_in_range(&self) -> Vec<String> {
        let mut conditions = self.in_range();
        conditions.extend(self.people_only());
        conditions
    }

    /// Ordinary events, told from those that only tallies are about.
    pub(super) fn ordinary(&self, plan: &Plan<'_>) -> String {
        let ordinary = ordinary_condition(plan.engagement, plan.off_site);
        all_of(&self.people_only().into_iter().chain([ordinary]).collect::<Vec<_>>())
    }

    /// Whether an event has one of these names, as an expression that may stand anywhere.
    pub(super) fn named(&mut self, names: &[&str]) -> String {
        let texts = texts_of(self.question.site_id.0, TextField::Name);
        let mut conditions = Vec::new();
        for name in names {
            let name = self.parameters.bind(*name);
            conditions.push(format!("name = (SELECT code FROM {texts} WHERE text = {name})"));
        }
        let named = format!("coalesce({}, FALSE)", one_of(&conditions));
        match names.iter().all(|name| OFF_SITE.contains(name)) {
            true => format!("({named} AND {OFF_SITE_ROW})"),
            false => named,
        }
    }

    /// Whether an event says that a click of this name was followed by its landing page.
    pub(super) fn landed(&mut self, click: &str) -> String {
        let landed = self.named(&[CLICK_LANDED]);
        format!("({landed} AND coalesce({} = '{click}', FALSE))", known_prop(LANDED_CLICK))
    }

    /// Whether an event is of a kind that tallies are about.
    pub(super) fn in_scope(&mut self, scope: Scope) -> String {
        let mut conditions = match scope {
            Scope::Sections => vec![
                format!("name = {ENGAGEMENT_CODE}"),
                "section_id <> 0".to_owned(),
                "session_id <> 0".to_owned(),
            ],
            Scope::Vitals => {
                let told =
                    Vital::ALL.map(|vital| format!("{} IS NOT NULL", known_prop(vital.prop())));
                vec![
                    format!("name = {ENGAGEMENT_CODE}"),
                    "session_id <> 0".to_owned(),
                    "props <> ''".to_owned(),
                    one_of(&told),
                ]
            }
            _ => {
                let mut texts = Vec::new();
                for name in scope.names() {
                    texts.push(format!("text = {}", self.parameters.bind(*name)));
                }
                let named = self.coded("name", TextField::Name, &one_of(&texts));
                match scope.confirmed() {
                    Some(click) => vec![format!("({named} OR {})", self.landed(click))],
                    None => vec![named],
                }
            }
        };
        match scope.judges_machines() {
            true => conditions.push(OFF_SITE_ROW.to_owned()),
            false => conditions.extend(self.people_only()),
        }
        all_of(&conditions)
    }

    /// Rows of a question: ordinary events and those of its tallies, that pass the filters.
    pub(super) fn kept_rows(&mut self, plan: &Plan<'_>) -> String {
        let mut kinds = Vec::new();
        if plan.counts_ordinary {
            kinds.push(self.ordinary(plan));
        }
        for scope in &plan.scopes {
            kinds.push(self.in_scope(*scope));
        }
        if !plan.sums.is_empty() && !plan.counts_ordinary {
            let orders = ["is_order".to_owned()].into_iter().chain(self.people_only());
            kinds.push(all_of(&orders.collect::<Vec<_>>()));
        }
        let mut conditions = self.in_range();
        conditions.push(match kinds.as_slice() {
            [one] => one.clone(),
            many => format!("(({}))", many.join(") OR (")),
        });
        conditions.extend(self.conditions(&plan.filters, Table::Events));
        for dimension in &plan.question.dimensions {
            conditions.extend(self.has_value(dimension));
        }
        all_of(&conditions)
    }

    /// Where events without a value have no row: that this one has a value.
    pub(super) fn has_value(&self, dimension: &Dimension) -> Option<String> {
        match dimension {
            Dimension::Section => Some("section_id <> 0".to_owned()),
            Dimension::FirstProp(first) => Some(format!("({}) <> ''", first_prop(*first))),
            _ => None,
        }
    }

    /// Visits of the question's site that were active in its range, before its filters.
    pub(super) fn visits_in_range(&self) -> Vec<String> {
        let (site, range) = (self.question.site_id, self.question.range);
        let mut conditions = vec![
            format!("site_id = {site}"),
            format!("ended_at_ms >= {}", range.from_ms()),
            format!("started_at_ms < {}", range.until_ms()),
        ];
        conditions.extend(self.people_only());
        conditions
    }

    pub(super) fn people_only(&self) -> Option<String> {
        (!self.question.names_bots).then(|| "bot = 0".to_owned())
    }

    /// Events on the site that pass the filters.
    pub(super) fn kept_events(&mut self, filters: &[Filter], engagement: Engagement) -> String {
        self.kept_anywhere(filters, engagement, false)
    }

    /// The same, where asked with those that happened away from the site.
    pub(super) fn kept_anywhere(
        &mut self,
        filters: &[Filter],
        engagement: Engagement,
        off_site: bool,
    ) -> String {
        let mut conditions = self.stored_in_range();
        conditions.push(ordinary_condition(engagement, off_site));
        conditions.extend(self.conditions(filters, Table::Events));
        all_of(&conditions)
    }

    /// Visits that pass the filters on visits and have an event that passes all the others at once.
    pub(super) fn kept_visits(&mut self, filters: &[Filter], engagement: Engagement) -> String {
        let (of_events, of_visits): (Vec<Filter>, Vec<Filter>) =
            filters.iter().cloned().partition(Filter::needs_event);
        let mut conditions = self.visits_in_range();
        conditions.extend(self.conditions(&of_visits, Table::Visits));
        if !of_events.is_empty() {
            let events = self.kept_events(&of_events, engagement);
            conditions
                .push(format!("session_id IN (SELECT session_id FROM events WHERE {events})"));
        }
        all_of(&conditions)
    }
}
