//! The plan: which side of the data answers a question, before any backend writes a statement.
//!
//! Guarantees: every backend reads its sides, filters and sources from here, so they cannot differ in what they count.
//! It does not know SQL. The rules are QUERY.md 2.5, 3.2, 3.3 and 5.6.

use cairn_model::question::tallies::{Count, Scope};
use cairn_model::question::{Dimension, Engagement, Field, Filter, Metric, Question, Sum, Tally};

/// Where rows come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sides {
    /// From events alone.
    Events,
    /// From visits alone.
    Visits,
    /// Rows from events, the visits' metrics joined to them by group.
    Both,
}

/// Where one metric is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Page views and custom events.
    Events,
    /// Visits.
    Visits,
    /// Engagement events.
    Engagement,
}

/// A question with everything decided that does not depend on the backend.
#[derive(Clone, Debug)]
pub struct Plan<'q> {
    /// The question.
    pub question: &'q Question,
    /// Where its rows come from.
    pub sides: Sides,
    /// The question's filters and those that its grouping adds.
    pub filters: Vec<Filter>,
    /// The same for the visits' side: pages read as entry pages where rows are pages.
    pub visit_filters: Vec<Filter>,
    /// Bounces are those of visits that pass these (page filters read as entry page filters).
    pub bounce_filters: Vec<Filter>,
    /// Engagement events that may match: a goal that they convert, or a section, is asked for.
    pub engagement: Engagement,
    /// The same where goals are left aside.
    pub engagement_without_goals: Engagement,
    /// The question names what happened away from the site: such events are counted like others.
    pub off_site: bool,
    /// One of its filters does: then they take part in the total.
    pub off_site_filtered: bool,
    /// Kinds of events that tallies are about, each once.
    pub scopes: Vec<Scope>,
    /// What is counted for the tallies, each once.
    pub counts: Vec<Count>,
    /// Ordinary events have rows: something besides tallies and orders is counted from them.
    pub counts_ordinary: bool,
    /// What is counted of orders.
    pub sums: Vec<Sum>,
    /// Conversions are events that convert a goal, not orders.
    pub converts_goals: bool,
}

/// Groupings that a hostname filter carries over to the entry hostname.
fn follows_entry_host(dimension: &Dimension) -> bool {
    matches!(
        dimension,
        Dimension::Visit(
            Field::Source
                | Field::Referrer
                | Field::UtmSource
                | Field::UtmMedium
                | Field::UtmCampaign
                | Field::UtmContent
                | Field::UtmTerm
                | Field::EntryPage
        )
    )
}

fn hostname_additions(question: &Question) -> Vec<Filter> {
    let entry = question.dimensions.iter().any(follows_entry_host);
    let exit = question.dimensions.contains(&Dimension::Visit(Field::ExitPage));
    let hosts = question
        .filters
        .iter()
        .filter(|filter| filter.as_test().is_some_and(|test| test.subject == Dimension::Hostname));
    let mut additions = Vec::new();
    for filter in hosts {
        for (wanted, field) in [(entry, Field::EntryHostname), (exit, Field::ExitHostname)] {
            if wanted {
                additions.push(filter.replacing(&Dimension::Hostname, &Dimension::Visit(field)));
            }
        }
    }
    additions
}

fn choose(question: &Question, filters: &[Filter]) -> Sides {
    let metrics = &question.metrics;
    let dimensions = &question.dimensions;
    let event_metric = metrics.iter().any(|metric| metric.is_event_only());
    let event_dimension = dimensions.iter().any(Dimension::is_event);
    let event_filter = filters.iter().any(Filter::needs_event);
    let visit_metric = metrics.iter().any(|metric| metric.is_visit_only());
    let visit_dimension = dimensions.iter().any(Dimension::is_visit_only);
    let visit_filter = filters.iter().any(Filter::needs_visit);
    if !event_metric && !event_dimension && !event_filter {
        return Sides::Visits;
    }
    if !visit_metric && !visit_dimension && !visit_filter {
        return Sides::Events;
    }
    if !event_metric && !event_dimension {
        return Sides::Visits;
    }
    if !visit_metric && !visit_dimension { Sides::Events } else { Sides::Both }
}

impl<'q> Plan<'q> {
    /// The plan of a question.
    pub fn of(question: &'q Question) -> Plan<'q> {
        let mut filters = question.filters.clone();
        filters.extend(hostname_additions(question));
        let sides = choose(question, &filters);
        let entry_page = Dimension::Visit(Field::EntryPage);
        let by_page = question.dimensions.contains(&Dimension::Page);
        let as_entry = |filter: &Filter| filter.replacing(&Dimension::Page, &entry_page);
        let visit_filters =
            if by_page { filters.iter().map(as_entry).collect() } else { filters.clone() };
        let page_test =
            |filter: &&Filter| filter.as_test().is_some_and(|test| test.subject == Dimension::Page);
        let bounce_filters = if by_page {
            Vec::new()
        } else {
            question.filters.iter().filter(page_test).map(as_entry).collect()
        };
        let engagement_without_goals = match question.dimensions.contains(&Dimension::Section) {
            true => Engagement::Sections,
            false => sections_filtered(question),
        };
        let engagement = match asks_for_engagement_goal(question) {
            true => Engagement::All,
            false => engagement_without_goals,
        };
        let mut plan = Plan {
            question,
            sides,
            filters,
            visit_filters,
            bounce_filters,
            engagement,
            engagement_without_goals,
            off_site: question.names_off_site(),
            off_site_filtered: question.filters_off_site(),
            scopes: Vec::new(),
            counts: Vec::new(),
            counts_ordinary: false,
            sums: Vec::new(),
            converts_goals: question.converts_goals(),
        };
        plan.take_tallies();
        plan
    }

    fn take_tallies(&mut self) {
        for tally in self.tallies() {
            if !self.scopes.contains(&tally.scope()) {
                self.scopes.push(tally.scope());
            }
            for count in tally.formula().counts() {
                if !self.counts.contains(&count) {
                    self.counts.push(count);
                }
            }
        }
        let metrics = &self.question.metrics;
        self.sums = metrics.iter().filter_map(|metric| metric.as_sum()).collect();
        // Where rows tell of more than orders, groups without orders have rows as well.
        let others = |metric: &Metric| match metric {
            Metric::Tally(_) => false,
            Metric::Sum(sum) => self.counts_goals(*sum),
            _ => !self.sums.is_empty() || self.source(*metric) == Source::Events,
        };
        self.counts_ordinary =
            (self.scopes.is_empty() && self.sums.is_empty()) || metrics.iter().any(others);
    }

    /// Whether this is counted from events that convert a goal, and not from orders.
    pub fn counts_goals(&self, sum: Sum) -> bool {
        sum == Sum::Conversions && self.converts_goals
    }

    fn tallies(&self) -> Vec<Tally> {
        self.question.metrics.iter().filter_map(|metric| metric.as_tally()).collect()
    }

    /// Where a metric is counted. Shares are counted where visitors are.
    pub fn source(&self, metric: Metric) -> Source {
        match metric {
            Metric::ScrollDepth | Metric::TimeOnPage => Source::Engagement,
            _ if metric.is_event_only() => Source::Events,
            _ if metric.is_visit_only() => Source::Visits,
            _ if self.sides == Sides::Visits => Source::Visits,
            _ => Source::Events,
        }
    }

    /// Whether a metric is counted there.
    pub fn counts_in(&self, source: Source) -> bool {
        self.question.metrics.iter().any(|metric| self.source(*metric) == source)
    }

    /// Filters that decide whose visitors a conversion rate divides by: all but those on goals and properties.
    pub fn without_conversion_filters(filters: &[Filter]) -> Vec<Filter> {
        let about_conversion = |filter: &&Filter| {
            let subject = filter.as_test().map(|test| &test.subject);
            !matches!(subject, Some(Dimension::Goal | Dimension::Prop(_)))
        };
        filters.iter().filter(about_conversion).cloned().collect()
    }

    /// Filters that decide which page views an exit rate divides by: all but those on the exit page.
    pub fn without_exit_filters(filters: &[Filter]) -> Vec<Filter> {
        let exit_page = Dimension::Visit(Field::ExitPage);
        let about_exit =
            |filter: &&Filter| filter.as_test().is_none_or(|test| test.subject != exit_page);
        filters.iter().filter(about_exit).cloned().collect()
    }

    /// Engagement events that take part in the total: all only when every row of it converts.
    pub fn total_engagement(&self) -> Engagement {
        match self.engagement == Engagement::All && self.question.goals_filtered().is_some() {
            true => Engagement::All,
            false => sections_filtered(self.question),
        }
    }

    /// Engagement events that take part where it is asked who might have converted.
    pub fn total_engagement_without_goals(&self) -> Engagement {
        sections_filtered(self.question)
    }

    /// Goals that rows may be about, by position.
    pub fn goals(&self) -> Vec<usize> {
        let all = || (0..self.question.goals.len()).collect();
        self.question.goals_filtered().unwrap_or_else(all)
    }

    /// Whether a metric is asked for.
    pub fn asks(&self, metric: Metric) -> bool {
        self.question.metrics.contains(&metric)
    }

    /// Filters that decide whether a range mixes identified and anonymous visitors: whatever else is asked, the range is
    /// what the reply speaks of.
    pub fn identification_filters(&self) -> Vec<Filter> {
        let identification = Dimension::Visit(Field::Identification);
        let about_it =
            |filter: &&Filter| filter.as_test().is_some_and(|test| test.subject == identification);
        self.question.filters.iter().filter(about_it).cloned().collect()
    }

    /// Whether the reply should say so when the range mixes identified and anonymous visitors.
    pub fn watches_identification(&self) -> bool {
        let counts_visitors = |metric: &Metric| {
            matches!(
                metric,
                Metric::Visitors
                    | Metric::Percentage
                    | Metric::ConversionRate
                    | Metric::GroupConversionRate
            )
        };
        self.question.metrics.iter().any(counts_visitors)
    }
}

/// Reports of sections take part where a filter names `event:section`.
fn sections_filtered(question: &Question) -> Engagement {
    let names = |filter: &Filter| filter.any_test(|test| test.subject == Dimension::Section);
    match question.filters.iter().any(names) {
        true => Engagement::Sections,
        false => Engagement::Hidden,
    }
}

/// Whether the question speaks of goals at the level of rows, and engagement events convert one of them.
fn asks_for_engagement_goal(question: &Question) -> bool {
    let by_engagement =
        |index: &usize| question.goals.get(*index).is_some_and(|goal| goal.trigger.is_engagement());
    match question.goals_filtered() {
        Some(selected) => selected.iter().any(by_engagement),
        None if question.dimensions.contains(&Dimension::Goal) => {
            (0..question.goals.len()).any(|index| by_engagement(&index))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::SiteId;
    use cairn_model::question::Asking;
    use serde_json::{Value, json};

    use super::*;

    fn sides(metrics: Value, dimensions: Value, filters: Value) -> Sides {
        let asking = Asking {
            site_id: SiteId(1),
            timezone: "Etc/UTC",
            now_ms: 0,
            first_event_ms: None,
            goals: &[],
        };
        let body = json!({
            "site_id": "s", "date_range": "day", "metrics": metrics, "dimensions": dimensions, "filters": filters,
        });
        let question = Question::parse(&body, &asking).expect("a question");
        Plan::of(&question).sides
    }

    #[test]
    fn sides_follow_what_is_asked() {
        let none = || json!([]);
        let page = || json!([["is", "event:page", ["/"]]]);
        let entry = || json!([["is", "visit:entry_page", ["/"]]]);
        assert_eq!(sides(json!(["visitors"]), none(), none()), Sides::Visits);
        assert_eq!(sides(json!(["visitors"]), json!(["time:day"]), none()), Sides::Visits);
        assert_eq!(sides(json!(["visitors", "pageviews"]), none(), none()), Sides::Events);
        assert_eq!(sides(json!(["visitors"]), none(), page()), Sides::Events);
        assert_eq!(sides(json!(["bounce_rate"]), none(), page()), Sides::Visits);
        assert_eq!(sides(json!(["visitors"]), json!(["visit:exit_page"]), page()), Sides::Visits);
        assert_eq!(sides(json!(["pageviews"]), none(), entry()), Sides::Events);
        assert_eq!(sides(json!(["pageviews", "bounce_rate"]), none(), none()), Sides::Both);
        assert_eq!(sides(json!(["bounce_rate"]), json!(["event:page"]), none()), Sides::Both);
        let host = json!([["is", "event:hostname", ["a"]]]);
        assert_eq!(sides(json!(["visitors"]), json!(["visit:source"]), host), Sides::Visits);
    }
}
