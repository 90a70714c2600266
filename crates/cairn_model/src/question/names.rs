//! The names of the language: metrics and dimensions.

use crate::answer::Figure;
use crate::question::TimeUnit;
use crate::question::money::{Money, Sum};
use crate::question::tallies::{FirstProp, Tally};

/// A metric.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Metric {
    /// Distinct visitors.
    Visitors,
    /// Distinct visits.
    Visits,
    /// Page views.
    Pageviews,
    /// Page views and custom events.
    Events,
    /// Page views per visit, hundredths.
    ViewsPerVisit,
    /// Share of visits with one event only, whole percent.
    BounceRate,
    /// Mean duration of a visit, whole seconds.
    VisitDuration,
    /// Share of all visitors, tenths of a percent.
    Percentage,
    /// Share of all visitors that converted, hundredths of a percent.
    ConversionRate,
    /// Share of the group's visitors that converted, hundredths of a percent.
    GroupConversionRate,
    /// Mean of the deepest scroll, whole percent.
    ScrollDepth,
    /// Engaged seconds per visit that engaged.
    TimeOnPage,
    /// Sum of amounts.
    TotalRevenue,
    /// Mean amount.
    AverageRevenue,
    /// Visits that ended on the page per page view of it, tenths of a percent.
    ExitRate,
    /// Counted from what happened on a page, in a mail or with an ad.
    Tally(Tally),
    /// Of orders, refunds and costs.
    Money(Money),
    /// What a store counts for the former; nobody can ask for it by name.
    Sum(Sum),
}

impl Metric {
    /// Every metric but tallies, which are listed by themselves.
    const GENERAL: [Metric; 15] = [
        Metric::Visitors,
        Metric::Visits,
        Metric::Pageviews,
        Metric::Events,
        Metric::ViewsPerVisit,
        Metric::BounceRate,
        Metric::VisitDuration,
        Metric::Percentage,
        Metric::ConversionRate,
        Metric::GroupConversionRate,
        Metric::ScrollDepth,
        Metric::TimeOnPage,
        Metric::TotalRevenue,
        Metric::AverageRevenue,
        Metric::ExitRate,
    ];

    /// Its name in the language.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Visitors => "visitors",
            Metric::Visits => "visits",
            Metric::Pageviews => "pageviews",
            Metric::Events => "events",
            Metric::ViewsPerVisit => "views_per_visit",
            Metric::BounceRate => "bounce_rate",
            Metric::VisitDuration => "visit_duration",
            Metric::Percentage => "percentage",
            Metric::ConversionRate => "conversion_rate",
            Metric::GroupConversionRate => "group_conversion_rate",
            Metric::ScrollDepth => "scroll_depth",
            Metric::TimeOnPage => "time_on_page",
            Metric::TotalRevenue => "total_revenue",
            Metric::AverageRevenue => "average_revenue",
            Metric::ExitRate => "exit_rate",
            Metric::Tally(tally) => tally.name(),
            Metric::Money(money) => money.name(),
            Metric::Sum(_) => "",
        }
    }

    /// Every metric.
    pub fn all() -> impl Iterator<Item = Metric> {
        let tallies = Tally::all().map(|(_, tally)| Metric::Tally(tally));
        Metric::GENERAL.into_iter().chain(tallies).chain(Money::ALL.map(Metric::Money))
    }

    /// The metric of this name.
    pub fn named(name: &str) -> Option<Metric> {
        Metric::all().find(|metric| metric.name() == name)
    }

    /// The tally, where it is one.
    pub fn as_tally(self) -> Option<Tally> {
        match self {
            Metric::Tally(tally) => Some(tally),
            _ => None,
        }
    }

    /// What is counted of orders, where it is that.
    pub fn as_sum(self) -> Option<Sum> {
        match self {
            Metric::Sum(sum) => Some(sum),
            _ => None,
        }
    }

    /// It can be counted from events only.
    pub fn is_event_only(self) -> bool {
        match self {
            // What is made of costs alone is counted nowhere.
            Metric::Money(money) => !money.sums().is_empty(),
            _ => matches!(
                self,
                Metric::Pageviews
                    | Metric::Events
                    | Metric::ScrollDepth
                    | Metric::TimeOnPage
                    | Metric::TotalRevenue
                    | Metric::AverageRevenue
                    | Metric::Tally(_)
                    | Metric::Sum(_)
            ),
        }
    }

    /// It can be counted from visits only.
    pub fn is_visit_only(self) -> bool {
        matches!(
            self,
            Metric::BounceRate | Metric::VisitDuration | Metric::ViewsPerVisit | Metric::ExitRate
        )
    }

    /// An amount of money.
    pub fn is_revenue(self) -> bool {
        matches!(self, Metric::TotalRevenue | Metric::AverageRevenue)
    }

    /// Its figures are whole numbers, whatever is asked.
    pub fn is_whole(self) -> bool {
        match self {
            Metric::Tally(tally) => matches!(tally.figure(Some(0)), Figure::Whole(_)),
            Metric::Money(money) => money.is_count(),
            _ => !matches!(
                self,
                Metric::ViewsPerVisit
                    | Metric::Percentage
                    | Metric::ConversionRate
                    | Metric::GroupConversionRate
                    | Metric::TotalRevenue
                    | Metric::AverageRevenue
                    | Metric::ExitRate
            ),
        }
    }

    /// A share of visitors that converted.
    pub fn is_conversion(self) -> bool {
        matches!(self, Metric::ConversionRate | Metric::GroupConversionRate)
    }
}

/// A value that a visit has; events carry it too, except where the visit builds it up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Field {
    /// Path of the first page view.
    EntryPage,
    /// Path of the page view that arrived last.
    ExitPage,
    /// Host of the first page view.
    EntryHostname,
    /// Host of the page view that arrived last.
    ExitHostname,
    /// Source.
    Source,
    /// Referrer.
    Referrer,
    /// Channel group.
    Channel,
    /// `utm_source`.
    UtmSource,
    /// `utm_medium`.
    UtmMedium,
    /// `utm_campaign`.
    UtmCampaign,
    /// `utm_content`.
    UtmContent,
    /// `utm_term`.
    UtmTerm,
    /// Country code.
    Country,
    /// Country, by its English name.
    CountryName,
    /// Region as stored.
    Region,
    /// Region by name; as stored, where no name is known.
    RegionName,
    /// City as stored.
    City,
    /// City by name; as stored, where no name is known.
    CityName,
    /// Device type.
    Device,
    /// Browser.
    Browser,
    /// Its version.
    BrowserVersion,
    /// Operating system.
    Os,
    /// Its version.
    OsVersion,
    /// `true` for what is known to be a bot, else `false`.
    Bot,
    /// `identified` or `anonymous`.
    Identification,
}

/// Names of the visit fields; the first one of a field is its own, others are aliases.
pub(super) const FIELDS: [(&str, Field); 26] = [
    ("visit:entry_page", Field::EntryPage),
    ("visit:exit_page", Field::ExitPage),
    ("visit:entry_page_hostname", Field::EntryHostname),
    ("visit:exit_page_hostname", Field::ExitHostname),
    ("visit:source", Field::Source),
    ("visit:referrer", Field::Referrer),
    ("visit:channel", Field::Channel),
    ("visit:utm_source", Field::UtmSource),
    ("visit:utm_medium", Field::UtmMedium),
    ("visit:utm_campaign", Field::UtmCampaign),
    ("visit:utm_content", Field::UtmContent),
    ("visit:utm_term", Field::UtmTerm),
    ("visit:country", Field::Country),
    ("visit:country_name", Field::CountryName),
    ("visit:region", Field::Region),
    ("visit:region_name", Field::RegionName),
    ("visit:city", Field::City),
    ("visit:city_name", Field::CityName),
    ("visit:device", Field::Device),
    ("visit:screen", Field::Device),
    ("visit:browser", Field::Browser),
    ("visit:browser_version", Field::BrowserVersion),
    ("visit:os", Field::Os),
    ("visit:os_version", Field::OsVersion),
    ("visit:bot", Field::Bot),
    ("visit:identification", Field::Identification),
];

impl Field {
    /// Only the visit knows it.
    pub fn is_visit_only(self) -> bool {
        matches!(
            self,
            Field::EntryPage | Field::ExitPage | Field::EntryHostname | Field::ExitHostname
        )
    }

    /// What a missing value is called; empty = shown as stored.
    pub fn missing_label(self) -> &'static str {
        match self {
            Field::Source | Field::Referrer => "Direct / None",
            Field::Channel => "Direct",
            Field::UtmSource
            | Field::UtmMedium
            | Field::UtmCampaign
            | Field::UtmContent
            | Field::UtmTerm
            | Field::Device
            | Field::Browser
            | Field::BrowserVersion
            | Field::Os
            | Field::OsVersion => "(not set)",
            _ => "",
        }
    }

    /// Whether `is` and `is_not` take this clause for the missing value.
    pub fn clause_means_missing(self, clause: &str) -> bool {
        let utm = matches!(
            self,
            Field::UtmSource
                | Field::UtmMedium
                | Field::UtmCampaign
                | Field::UtmContent
                | Field::UtmTerm
        );
        match clause {
            "(not set)" => true,
            "Direct / None" => utm || matches!(self, Field::Source | Field::Referrer),
            _ => false,
        }
    }
}

/// What rows are grouped by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Dimension {
    /// Hours, days, weeks or months of the site's zone.
    Time(TimeUnit),
    /// Event name.
    EventName,
    /// Path of the page.
    Page,
    /// Host of the page.
    Hostname,
    /// Goal that the event converts.
    Goal,
    /// Section of a page that was reported.
    Section,
    /// The first of some properties.
    FirstProp(FirstProp),
    /// Value of an own property.
    Prop(String),
    /// Value of the visit.
    Visit(Field),
}

impl Dimension {
    /// The dimension of this name; `time` is not one of them, for its unit depends on the range.
    pub fn named(name: &str) -> Option<Dimension> {
        if let Some(key) = name.strip_prefix("event:props:") {
            return (!key.is_empty()).then(|| Dimension::Prop(key.to_owned()));
        }
        match name {
            "time:hour" => Some(Dimension::Time(TimeUnit::Hour)),
            "time:day" => Some(Dimension::Time(TimeUnit::Day)),
            "time:week" => Some(Dimension::Time(TimeUnit::Week)),
            "time:month" => Some(Dimension::Time(TimeUnit::Month)),
            "event:name" => Some(Dimension::EventName),
            "event:page" => Some(Dimension::Page),
            "event:hostname" => Some(Dimension::Hostname),
            "event:goal" => Some(Dimension::Goal),
            "event:section" => Some(Dimension::Section),
            "event:form" => Some(Dimension::FirstProp(FirstProp::Form)),
            "event:element" => Some(Dimension::FirstProp(FirstProp::Element)),
            _ => FIELDS
                .iter()
                .find(|(field_name, _)| *field_name == name)
                .map(|(_, field)| Dimension::Visit(*field)),
        }
    }

    /// Its name in the language.
    pub fn name(&self) -> String {
        match self {
            Dimension::Time(unit) => format!("time:{}", unit.name()),
            Dimension::EventName => "event:name".to_owned(),
            Dimension::Page => "event:page".to_owned(),
            Dimension::Hostname => "event:hostname".to_owned(),
            Dimension::Goal => "event:goal".to_owned(),
            Dimension::Section => "event:section".to_owned(),
            Dimension::FirstProp(FirstProp::Form) => "event:form".to_owned(),
            Dimension::FirstProp(FirstProp::Element) => "event:element".to_owned(),
            Dimension::Prop(key) => format!("event:props:{key}"),
            Dimension::Visit(field) => FIELDS
                .iter()
                .find(|(_, named)| named == field)
                .map_or_else(String::new, |(name, _)| (*name).to_owned()),
        }
    }

    /// Only events know it.
    pub fn is_event(&self) -> bool {
        !matches!(self, Dimension::Time(_) | Dimension::Visit(_))
    }

    /// Events without a value have no row.
    pub fn leaves_out_missing(&self) -> bool {
        matches!(self, Dimension::Section | Dimension::FirstProp(_))
    }

    /// Only visits know it.
    pub fn is_visit_only(&self) -> bool {
        matches!(self, Dimension::Visit(field) if field.is_visit_only())
    }

    /// What a missing value is called; empty = shown as stored.
    pub fn missing_label(&self) -> &'static str {
        match self {
            Dimension::Visit(field) => field.missing_label(),
            Dimension::Prop(_) => "(none)",
            _ => "",
        }
    }
}
