//! What metrics, dimensions and operators mean, in words: the rows of the reference in docs/queries.md are made of these.
//!
//! Guarantees: a name of the language without its row does not compile.

use std::fmt::Write;

use crate::question::names::FIELDS;
use crate::question::{Dimension, Field, Metric, Money, Tally, TimeUnit, tallies::FirstProp};

/// What is told about a metric.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// What is counted, and divided by what.
    pub definition: String,
    /// Unit and decimals; empty: a whole number.
    pub unit: &'static str,
    /// What a question must have besides; empty: nothing.
    pub needs: &'static str,
}

fn row(definition: &str, unit: &'static str, needs: &'static str) -> Described {
    Described { definition: definition.to_owned(), unit, needs }
}

const VISIT_SIDE: &str = "no `event:` dimension but `event:page` alone";
const PER_MILLE: &str = "%, one decimal";
const COSTS: &str = "dimensions and filters that costs have (money.md)";
const GOAL: &str = "filter or dimension `event:goal`";

impl Metric {
    /// Its definition in words.
    pub fn described(self) -> Described {
        match self {
            Metric::Visitors => row("distinct visitors", "", ""),
            Metric::Visits => row("distinct visits", "", ""),
            Metric::Pageviews => row("page views", "", "no entry or exit dimension"),
            Metric::Events => row(
                "page views and custom events; never engagement",
                "",
                "no entry or exit dimension",
            ),
            Metric::ViewsPerVisit => row(
                "page views of the visits by visits; without visits 0",
                "two decimals",
                "no dimension, no filter on `event:page`",
            ),
            Metric::BounceRate => row(
                "visits with one page view or custom event by visits; without visits 0",
                "%, whole",
                VISIT_SIDE,
            ),
            Metric::VisitDuration => row(
                "mean from a visit's first event to its last; without visits 0",
                "seconds, whole",
                VISIT_SIDE,
            ),
            Metric::Percentage => {
                row("the row's visitors by the visitors of the whole question", PER_MILLE, "")
            }
            Metric::ConversionRate => row(
                "the row's visitors by those of the question without its filters on goals and properties",
                "%, two decimals",
                GOAL,
            ),
            Metric::GroupConversionRate => {
                row("the same, by those of the same group", "%, two decimals", GOAL)
            }
            Metric::ScrollDepth => row(
                "mean over visits of the deepest scroll; null without any",
                "%, whole",
                "dimension or top-level filter `event:page`",
            ),
            Metric::TimeOnPage => row(
                "engaged time by visits that engaged; null without any",
                "seconds, whole",
                "dimension or filter `event:page`",
            ),
            Metric::TotalRevenue => {
                row("sum of the amounts of revenue goals", "money", "revenue goals of one currency")
            }
            Metric::AverageRevenue => row(
                "the same by events that carry an amount; cut, not rounded",
                "money",
                "revenue goals of one currency",
            ),
            Metric::ExitRate => row(
                "visits that ended on the page by its page views",
                PER_MILLE,
                "exactly the dimension `visit:exit_page`, no filter on events",
            ),
            Metric::Tally(tally) => tally.described(),
            Metric::Money(money) => money.described(),
            // No question names what the store only counts.
            Metric::Sum(_) => row("", "", ""),
        }
    }
}

impl Money {
    /// Its definition in words.
    pub fn described(self) -> Described {
        const AMOUNT: &str = "money, four decimals";
        const RATIO: &str = "ratio, four decimals";
        match self {
            Money::Conversions => row(
                "events that convert a goal where goals are asked for, otherwise orders",
                "",
                "",
            ),
            Money::Orders => row("`purchase` events, each order once", "", ""),
            Money::Revenue => {
                row("amounts of these orders, at the rate of the order's day", AMOUNT, "")
            }
            Money::Refunds => {
                row("what of them was given back since, at the same rate", AMOUNT, "")
            }
            Money::NetRevenue => row("`revenue` less `refunds`", AMOUNT, ""),
            Money::AverageOrderValue => row("`revenue` by orders that have an amount", AMOUNT, ""),
            Money::Cost => row("what advertising cost", AMOUNT, COSTS),
            Money::CostClicks => row("clicks of the table of costs", "", COSTS),
            Money::CostImpressions => row("impressions of the table of costs", "", COSTS),
            Money::CostPerConversion => row("`cost` by `conversions`", AMOUNT, COSTS),
            Money::CostPerClick => row("`cost` by `cost_clicks`", AMOUNT, COSTS),
            Money::Roas => row("return on ad spend: `revenue` by `cost`", RATIO, COSTS),
            Money::Roi => row("`net_revenue` less `cost`, by `cost`", RATIO, COSTS),
        }
    }
}

impl Tally {
    /// Its definition in words.
    pub fn described(self) -> Described {
        match self {
            Tally::SectionViews => row(
                "distinct triples of visit, page and section: how often a section was seen",
                "",
                "",
            ),
            Tally::SectionTimeTotal => row("time in view, all together", "seconds, whole", ""),
            Tally::SectionTimeMean => {
                row("time in view by section views", "seconds, one decimal", "")
            }
            Tally::SectionReadRate => row(
                "section views with a report whose `props.reading` is `read`, by section views",
                PER_MILLE,
                "",
            ),
            Tally::FormStarts => row("events `form_start`", "", ""),
            Tally::FormLeaves => row("events `form_leave`", "", ""),
            Tally::FormSubmits => row("events `form_submit`", "", ""),
            Tally::FormCompletionRate => row(
                "visits with a `form_submit` by visits with a `form_start` or `form_submit`",
                PER_MILLE,
                "",
            ),
            Tally::FormAbandonmentRate => row("the rest of those visits", PER_MILLE, ""),
            Tally::VitalsSamples => row("page loads that told at least one vital", "", ""),
            Tally::Vital(vital, percent) => Described {
                definition: format!(
                    "{} that {percent} % of the page loads did not exceed",
                    vital.name()
                ),
                unit: if vital.decimals() == 0 { "milliseconds" } else { "score, four decimals" },
                needs: "",
            },
            Tally::EmailOpens => row("all `email_open`: raw", "", ""),
            Tally::EmailMachineOpens => row("those with verdict `machine`", "", ""),
            Tally::EmailHumanOpens => row("those with verdict `human`: confirmed", "", ""),
            Tally::EmailOpeners => row(
                "distinct recipients who may be told apart (identified visitors), machines left out",
                "",
                "",
            ),
            Tally::EmailClicks => row("all `email_click`: raw", "", ""),
            Tally::EmailMachineClicks => row("those with verdict `machine`", "", ""),
            Tally::EmailHumanClicks => row(
                "those with verdict `human`, and those of verdict `unknown` whose landing page ran the \
                 tracker (`click_landed`): confirmed",
                "",
                "",
            ),
            Tally::EmailClickers => row("as `email_openers`, of clicks", "", ""),
            Tally::EmailClickToOpenRate => {
                row("clicks by opens, machines left out of both", PER_MILLE, "")
            }
            Tally::LinkClicks => row("all `link_click`: raw", "", ""),
            Tally::LinkMachineClicks => row("those with verdict `machine`", "", ""),
            Tally::LinkHumanClicks => row("confirmed, as `email_human_clicks`", "", ""),
            Tally::AdImpressions => row("`ad_impression`, machines left out", "", ""),
            Tally::AdMachineImpressions => row("those with verdict `machine`", "", ""),
            Tally::AdViewableImpressions => {
                row("`ad_viewable` (half in view for one second), machines left out", "", "")
            }
            Tally::AdViewableRate => row("viewable impressions by impressions", PER_MILLE, ""),
            Tally::AdClicks => row("`ad_click`, machines left out", "", ""),
            Tally::AdMachineClicks => row("those with verdict `machine`", "", ""),
            Tally::AdClickThroughRate => row("clicks by impressions", "%, two decimals", ""),
            Tally::AdCost => row(
                "sum of `props.cost`, machines' included, for they are billed too",
                "money, nine decimals",
                "dimension `event:props:cost_currency`, or a top-level filter `is` on it with one currency",
            ),
        }
    }
}

impl Field {
    /// What its value is.
    pub fn meaning(self) -> &'static str {
        match self {
            Field::EntryPage => "path of the visit's first page view",
            Field::ExitPage => "path of the page view that arrived last",
            Field::EntryHostname => "host of the first page view",
            Field::ExitHostname => "host of the page view that arrived last",
            Field::Source => {
                "where the visit came from: a parameter of the link, or the referring site"
            }
            Field::Referrer => "host and path of the referring page",
            Field::Channel => "channel group (docs/channels.md)",
            Field::UtmSource => "`utm_source`",
            Field::UtmMedium => "`utm_medium`",
            Field::UtmCampaign => "`utm_campaign`",
            Field::UtmContent => "`utm_content`",
            Field::UtmTerm => "`utm_term`",
            Field::Country => "ISO 3166-1 code; `ZZ`: unknown",
            Field::CountryName => "country by its English name",
            Field::Region => "region as stored, an ISO 3166-2 code mostly",
            Field::RegionName => "region by name, where one is known",
            Field::City => "city as stored",
            Field::CityName => "city by name, where one is known",
            Field::Device => "`desktop`, `mobile`, `tablet`, …",
            Field::Browser => "browser",
            Field::BrowserVersion => "its version",
            Field::Os => "operating system",
            Field::OsVersion => "its version",
            Field::Bot => "`true` for what is known to be a bot, else `false`",
            Field::Identification => "`identified` or `anonymous`",
        }
    }
}

impl Dimension {
    /// What its value is.
    pub fn meaning(&self) -> &'static str {
        match self {
            Dimension::Time(TimeUnit::Hour) => "hour of the site's zone",
            Dimension::Time(TimeUnit::Day) => "day of the site's zone",
            Dimension::Time(TimeUnit::Week) => "week of the site's zone, from Monday on",
            Dimension::Time(TimeUnit::Month) => "month of the site's zone",
            Dimension::EventName => "name of the event; page views are `pageview`",
            Dimension::Page => "path of the page",
            Dimension::Hostname => "host of the page",
            Dimension::Goal => "goal that the event converts; one event may convert several",
            Dimension::Section => "the section that a report is about",
            Dimension::FirstProp(FirstProp::Form) => {
                "the first of the properties `form_id`, `form_name`, `form_destination` that is not empty"
            }
            Dimension::FirstProp(FirstProp::Element) => {
                "what was clicked: the first of `element_text`, `element_id`, `link_url`, `element` that is not empty"
            }
            Dimension::Prop(_) => "a property",
            Dimension::Visit(field) => field.meaning(),
        }
    }

    /// Every dimension with its names, own name first; `NAME` stands for that of a property.
    pub fn all() -> Vec<(Vec<&'static str>, Dimension)> {
        let time = [
            ("time:hour", TimeUnit::Hour),
            ("time:day", TimeUnit::Day),
            ("time:week", TimeUnit::Week),
            ("time:month", TimeUnit::Month),
        ];
        let mut all: Vec<(Vec<&'static str>, Dimension)> =
            time.into_iter().map(|(name, unit)| (vec![name], Dimension::Time(unit))).collect();
        all.extend([
            (vec!["event:name"], Dimension::EventName),
            (vec!["event:page"], Dimension::Page),
            (vec!["event:hostname"], Dimension::Hostname),
            (vec!["event:goal"], Dimension::Goal),
            (vec!["event:section"], Dimension::Section),
            (vec!["event:form"], Dimension::FirstProp(FirstProp::Form)),
            (vec!["event:element"], Dimension::FirstProp(FirstProp::Element)),
            (vec!["event:props:NAME"], Dimension::Prop("NAME".to_owned())),
        ]);
        for (name, field) in FIELDS {
            match all.iter_mut().find(|(_, known)| *known == Dimension::Visit(field)) {
                Some((names, _)) => names.push(name),
                None => all.push((vec![name], Dimension::Visit(field))),
            }
        }
        all
    }
}

/// The table of the metrics that are meant.
pub fn metrics_table(is_meant: impl Fn(Metric) -> bool) -> String {
    let mut text = "| metric | definition | unit | needs |\n|---|---|---|---|\n".to_owned();
    for metric in Metric::all().filter(|metric| is_meant(*metric)) {
        let Described { definition, unit, needs } = metric.described();
        // Writing to a text cannot fail.
        let _ = writeln!(text, "| `{}` | {definition} | {unit} | {needs} |", metric.name());
    }
    text
}

/// The table of the dimensions.
pub fn dimensions_table() -> String {
    let mut text = "| dimension | value | where it is missing |\n|---|---|---|\n".to_owned();
    text.push_str("| `time` | the one of the next four that fits the range: up to 48 hours, 40 days, 52 weeks, longer | |\n");
    for (names, dimension) in Dimension::all() {
        let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
        let missing = match (&dimension, dimension.missing_label()) {
            _ if dimension.leaves_out_missing() => "no row".to_owned(),
            (Dimension::Time(_) | Dimension::Goal, _) => "no row".to_owned(),
            (_, "") => "empty".to_owned(),
            (_, label) => format!("`{label}`"),
        };
        let _ = writeln!(text, "| {} | {} | {missing} |", names.join(", "), dimension.meaning());
    }
    text
}
