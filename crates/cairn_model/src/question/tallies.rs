//! Metrics made of what happened on a page, in a mail or with an ad: each has one definition, written here once.
//!
//! Guarantees: whoever answers reads from here which events a metric counts, so two stores cannot count different ones.
//! Whether machines are counted is part of the definition, not of the question's default of leaving bots out.

use crate::answer::{Figure, Key};
use crate::question::{Asked, Dimension, Filter, Operator, Test};

/// Kinds of events that are counted together; what a question about one kind has to look at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// Reports of sections: engagement that names one.
    Sections,
    /// Reports of Web Vitals: engagement that tells at least one.
    Vitals,
    /// Forms started, left and submitted.
    Forms,
    /// Opens and clicks of mails.
    Mails,
    /// Followed links that stand outside of mails.
    Links,
    /// Impressions, viewable impressions and clicks of ads.
    Ads,
}

/// A form was begun.
pub const FORM_START: &str = "form_start";
/// A page was left with a form begun and not submitted.
pub const FORM_LEAVE: &str = "form_leave";
/// A form was submitted.
pub const FORM_SUBMIT: &str = "form_submit";
const EMAIL_OPEN: &str = "email_open";
const EMAIL_CLICK: &str = "email_click";
const LINK_CLICK: &str = "link_click";
const AD_IMPRESSION: &str = "ad_impression";
pub(super) const AD_VIEWABLE: &str = "ad_viewable";
const AD_CLICK: &str = "ad_click";
/// Property of [`crate::event::CLICK_LANDED`]: the name of the click's event.
pub const LANDED_CLICK: &str = "click";
/// Property of [`crate::event::CLICK_LANDED`]: what was thought of the click itself.
pub const LANDED_VERDICT: &str = "click_verdict";
/// Property with the verdict on person or machine.
pub const VERDICT: &str = "verdict";
/// The verdict on machines.
pub const MACHINE: &str = "machine";
/// The verdict on people.
pub const HUMAN: &str = "human";
/// Property that says whether a section was read.
pub const READING: &str = "reading";
/// Its value for a section that was in view long enough to be read.
pub const READ: &str = "read";

impl Scope {
    /// Names of its events; none: they are engagement.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Scope::Sections | Scope::Vitals => &[],
            Scope::Forms => &[FORM_START, FORM_LEAVE, FORM_SUBMIT],
            Scope::Mails => &[EMAIL_OPEN, EMAIL_CLICK],
            Scope::Links => &[LINK_CLICK],
            Scope::Ads => &[AD_IMPRESSION, AD_VIEWABLE, AD_CLICK],
        }
    }

    /// The clicks among its events, which [`crate::event::CLICK_LANDED`] confirms.
    pub fn confirmed(self) -> Option<&'static str> {
        match self {
            Scope::Mails => Some(EMAIL_CLICK),
            Scope::Links => Some(LINK_CLICK),
            _ => None,
        }
    }

    /// Its figures tell machines apart themselves, so that they are looked at even where bots are left out.
    pub fn judges_machines(self) -> bool {
        matches!(self, Scope::Mails | Scope::Links | Scope::Ads)
    }
}

/// Whose events are counted, by the property [`VERDICT`]; without one, as of fixed images, by the mark of bots.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Whose {
    /// Everybody's.
    All,
    /// Those that were shown to be a person's.
    Humans,
    /// Those that were shown to be a machine's.
    Machines,
    /// All but machines'.
    NoMachines,
}

impl Whose {
    /// Whether an event with this verdict (empty: none) is counted.
    pub fn includes(self, verdict: &str, is_bot: bool) -> bool {
        let is_machine = if verdict.is_empty() { is_bot } else { verdict == MACHINE };
        match self {
            Whose::All => true,
            Whose::Humans => verdict == HUMAN,
            Whose::Machines => is_machine,
            Whose::NoMachines => !is_machine,
        }
    }
}

/// A Web Vital, as one page load reported it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Vital {
    /// Largest Contentful Paint, milliseconds.
    Lcp,
    /// Interaction to Next Paint, milliseconds.
    Inp,
    /// Cumulative Layout Shift, a score.
    Cls,
    /// Time to First Byte, milliseconds.
    Ttfb,
}

impl Vital {
    /// All four.
    pub const ALL: [Vital; 4] = [Vital::Lcp, Vital::Inp, Vital::Cls, Vital::Ttfb];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Vital::Lcp => "Largest Contentful Paint",
            Vital::Inp => "Interaction to Next Paint",
            Vital::Cls => "Cumulative Layout Shift",
            Vital::Ttfb => "Time to First Byte",
        }
    }

    /// The property of the engagement event that tells it.
    pub fn prop(self) -> &'static str {
        match self {
            Vital::Lcp => "lcp_ms",
            Vital::Inp => "inp_ms",
            Vital::Cls => "cls",
            Vital::Ttfb => "ttfb_ms",
        }
    }

    /// Decimals that are kept: whole milliseconds, four decimals of a score.
    pub fn decimals(self) -> u32 {
        if self == Vital::Cls { 4 } else { 0 }
    }

    /// A reported value as a whole number of its last kept decimal.
    pub fn value(self, text: &str) -> Option<i64> {
        decimal(text, self.decimals())
    }
}

/// A number in plain decimal digits ([`DIGITS_MAX`] before the point, [`DECIMALS_MAX`] behind it at most) as a whole number
/// of its last kept decimal; what is smaller is cut. `None`: it is no such number. At most nine decimals can be kept.
pub fn decimal(text: &str, decimals: u32) -> Option<i64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(whole, DIGITS_MAX) || !fraction.is_none_or(|text| digits(text, DECIMALS_MAX)) {
        return None;
    }
    let kept = fraction.unwrap_or_default().bytes().chain(std::iter::repeat(b'0'));
    let all = whole.bytes().chain(kept.take(decimals as usize));
    Some(all.fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// Digits that a number in a property may have before the point.
pub const DIGITS_MAX: usize = 9;
/// Digits that it may have behind it.
pub const DECIMALS_MAX: usize = 18;
/// Property with what an impression or a click of an ad cost.
pub const COST: &str = "cost";
/// Property with the currency of that.
pub const COST_CURRENCY: &str = "cost_currency";
/// Decimals of a cost that are kept: a thousandth of a cent is a usual price of an impression.
pub const COST_DECIMALS: u32 = 9;

/// A raw count over the events of a scope.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Count {
    /// Events of one of these names.
    Events(&'static [&'static str], Whose),
    /// Clicks of this name that were shown to be a person's, by themselves or by their landing page.
    HumanClicks(&'static str),
    /// Distinct visits with an event of one of these names.
    Visits(&'static [&'static str]),
    /// Distinct recipients who may be told apart (identified visitors) with an event of this name, machines left out.
    Recipients(&'static str),
    /// Distinct triples of visit, page and section.
    SectionViews {
        /// Only those that were read.
        read: bool,
    },
    /// Milliseconds that sections were in view.
    SectionMs,
    /// Reports that tell at least one vital.
    Loads,
    /// The nearest rank of a vital's values: the smallest one that so many percent of them do not exceed.
    Percentile(Vital, u8),
    /// What ads cost, billionths of the currency's main unit; machines included, for they are billed too.
    Cost,
}

/// How a metric is made of counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Formula {
    /// The count itself.
    Of(Count),
    /// The count, a thousandth of it, rounded.
    Thousandth(Count),
    /// `scale * part / whole`, rounded half away from zero; missing where the whole is 0.
    Ratio {
        /// What is divided.
        part: Count,
        /// What it is divided by.
        whole: Count,
        /// Ten for each decimal, times a hundred for percent.
        scale: i64,
    },
    /// `part / whole` in units of so many, rounded; missing where the whole is 0.
    Mean {
        /// What is divided.
        part: Count,
        /// What it is divided by.
        whole: Count,
        /// How many of the part's make one of the result's.
        unit: i64,
    },
    /// As a ratio, of what is left of the whole.
    Rest {
        /// What is taken off.
        part: Count,
        /// What it is taken off, and divided by.
        whole: Count,
        /// As of a ratio.
        scale: i64,
    },
}

impl Formula {
    /// The counts that it needs.
    pub fn counts(self) -> impl Iterator<Item = Count> {
        let (first, second) = match self {
            Formula::Of(count) | Formula::Thousandth(count) => (count, None),
            Formula::Ratio { part, whole, .. }
            | Formula::Mean { part, whole, .. }
            | Formula::Rest { part, whole, .. } => (part, Some(whole)),
        };
        std::iter::once(first).chain(second)
    }
}

/// A metric made of counted events.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Tally {
    /// How often sections were seen: once for each visit, page and section.
    SectionViews,
    /// Seconds that sections were in view, all together.
    SectionTimeTotal,
    /// Seconds in view for each section view, tenths.
    SectionTimeMean,
    /// Share of the section views that were read, tenths of a percent.
    SectionReadRate,
    /// Forms begun.
    FormStarts,
    /// Pages left with a form begun and not submitted.
    FormLeaves,
    /// Forms submitted.
    FormSubmits,
    /// Share of the visits that began a form and submitted it, tenths of a percent.
    FormCompletionRate,
    /// Share of the visits that began a form and did not submit it, tenths of a percent.
    FormAbandonmentRate,
    /// Page loads that told vitals.
    VitalsSamples,
    /// A vital's value at a percentile.
    Vital(Vital, u8),
    /// Opens of mails, everybody's.
    EmailOpens,
    /// Opens by machines.
    EmailMachineOpens,
    /// Opens confirmed to be a person's.
    EmailHumanOpens,
    /// Recipients who opened.
    EmailOpeners,
    /// Clicks in mails, everybody's.
    EmailClicks,
    /// Clicks by machines.
    EmailMachineClicks,
    /// Clicks confirmed to be a person's.
    EmailHumanClicks,
    /// Recipients who clicked.
    EmailClickers,
    /// Clicks by opens, both without machines', tenths of a percent.
    EmailClickToOpenRate,
    /// Clicks on links outside of mails, everybody's.
    LinkClicks,
    /// Those by machines.
    LinkMachineClicks,
    /// Those confirmed to be a person's.
    LinkHumanClicks,
    /// Ads loaded, machines left out.
    AdImpressions,
    /// Ads loaded by machines.
    AdMachineImpressions,
    /// Ads of which half was in view for a second, machines left out.
    AdViewableImpressions,
    /// Share of the impressions that were viewable, tenths of a percent.
    AdViewableRate,
    /// Clicks on ads, machines left out.
    AdClicks,
    /// Clicks on ads by machines.
    AdMachineClicks,
    /// Clicks by impressions, hundredths of a percent.
    AdClickThroughRate,
    /// What impressions and clicks cost, in one currency.
    AdCost,
}

/// Percentiles that may be asked for.
const PERCENTILES: [u8; 3] = [50, 75, 95];

/// Names of the metrics but those of vitals.
const NAMES: [(&str, Tally); 30] = [
    ("section_views", Tally::SectionViews),
    ("section_time_total_s", Tally::SectionTimeTotal),
    ("section_time_mean_s", Tally::SectionTimeMean),
    ("section_read_rate", Tally::SectionReadRate),
    ("form_starts", Tally::FormStarts),
    ("form_leaves", Tally::FormLeaves),
    ("form_submits", Tally::FormSubmits),
    ("form_completion_rate", Tally::FormCompletionRate),
    ("form_abandonment_rate", Tally::FormAbandonmentRate),
    ("vitals_samples", Tally::VitalsSamples),
    ("email_opens", Tally::EmailOpens),
    ("email_machine_opens", Tally::EmailMachineOpens),
    ("email_human_opens", Tally::EmailHumanOpens),
    ("email_openers", Tally::EmailOpeners),
    ("email_clicks", Tally::EmailClicks),
    ("email_machine_clicks", Tally::EmailMachineClicks),
    ("email_human_clicks", Tally::EmailHumanClicks),
    ("email_clickers", Tally::EmailClickers),
    ("email_click_to_open_rate", Tally::EmailClickToOpenRate),
    ("link_clicks", Tally::LinkClicks),
    ("link_machine_clicks", Tally::LinkMachineClicks),
    ("link_human_clicks", Tally::LinkHumanClicks),
    ("ad_impressions", Tally::AdImpressions),
    ("ad_machine_impressions", Tally::AdMachineImpressions),
    ("ad_viewable_impressions", Tally::AdViewableImpressions),
    ("ad_viewable_rate", Tally::AdViewableRate),
    ("ad_clicks", Tally::AdClicks),
    ("ad_machine_clicks", Tally::AdMachineClicks),
    ("ad_click_through_rate", Tally::AdClickThroughRate),
    ("ad_cost", Tally::AdCost),
];

const VITALS: [[&str; 3]; 4] = [
    ["lcp_p50_ms", "lcp_p75_ms", "lcp_p95_ms"],
    ["inp_p50_ms", "inp_p75_ms", "inp_p95_ms"],
    ["cls_p50", "cls_p75", "cls_p95"],
    ["ttfb_p50_ms", "ttfb_p75_ms", "ttfb_p95_ms"],
];

/// In tenths of a percent.
const PER_MILLE: i64 = 1_000;

impl Tally {
    /// All of them, with their names in the language.
    pub fn all() -> impl Iterator<Item = (&'static str, Tally)> {
        let vitals = Vital::ALL.into_iter().zip(VITALS).flat_map(|(vital, names)| {
            let named = names.into_iter().zip(PERCENTILES);
            named.map(move |(name, percent)| (name, Tally::Vital(vital, percent)))
        });
        NAMES.into_iter().chain(vitals)
    }

    /// Its name in the language.
    pub fn name(self) -> &'static str {
        Tally::all().find(|(_, tally)| *tally == self).map_or("", |(name, _)| name)
    }

    /// The kind of events that it is about.
    pub fn scope(self) -> Scope {
        match self {
            Tally::SectionViews
            | Tally::SectionTimeTotal
            | Tally::SectionTimeMean
            | Tally::SectionReadRate => Scope::Sections,
            Tally::FormStarts
            | Tally::FormLeaves
            | Tally::FormSubmits
            | Tally::FormCompletionRate
            | Tally::FormAbandonmentRate => Scope::Forms,
            Tally::VitalsSamples | Tally::Vital(..) => Scope::Vitals,
            Tally::EmailOpens
            | Tally::EmailMachineOpens
            | Tally::EmailHumanOpens
            | Tally::EmailOpeners
            | Tally::EmailClicks
            | Tally::EmailMachineClicks
            | Tally::EmailHumanClicks
            | Tally::EmailClickers
            | Tally::EmailClickToOpenRate => Scope::Mails,
            Tally::LinkClicks | Tally::LinkMachineClicks | Tally::LinkHumanClicks => Scope::Links,
            Tally::AdImpressions
            | Tally::AdMachineImpressions
            | Tally::AdViewableImpressions
            | Tally::AdViewableRate
            | Tally::AdClicks
            | Tally::AdMachineClicks
            | Tally::AdClickThroughRate
            | Tally::AdCost => Scope::Ads,
        }
    }

    /// Its definition.
    pub fn formula(self) -> Formula {
        use Count::{Events, Recipients, SectionMs, Visits};
        use Formula::{Of, Ratio, Rest, Thousandth};
        use Whose::{All, Humans, Machines, NoMachines};
        let views = Count::SectionViews { read: false };
        let submitted = Visits(&[FORM_SUBMIT]);
        let begun = Visits(&[FORM_START, FORM_SUBMIT]);
        let impressions = Events(&[AD_IMPRESSION], NoMachines);
        match self {
            Tally::SectionViews => Of(views),
            Tally::SectionTimeTotal => Thousandth(SectionMs),
            Tally::SectionTimeMean => {
                // Milliseconds to tenths of a second.
                Formula::Mean { part: SectionMs, whole: views, unit: 100 }
            }
            Tally::SectionReadRate => {
                Ratio { part: Count::SectionViews { read: true }, whole: views, scale: PER_MILLE }
            }
            Tally::FormStarts => Of(Events(&[FORM_START], All)),
            Tally::FormLeaves => Of(Events(&[FORM_LEAVE], All)),
            Tally::FormSubmits => Of(Events(&[FORM_SUBMIT], All)),
            Tally::FormCompletionRate => Ratio { part: submitted, whole: begun, scale: PER_MILLE },
            Tally::FormAbandonmentRate => Rest { part: submitted, whole: begun, scale: PER_MILLE },
            Tally::VitalsSamples => Of(Count::Loads),
            Tally::Vital(vital, percent) => Of(Count::Percentile(vital, percent)),
            Tally::EmailOpens => Of(Events(&[EMAIL_OPEN], All)),
            Tally::EmailMachineOpens => Of(Events(&[EMAIL_OPEN], Machines)),
            Tally::EmailHumanOpens => Of(Events(&[EMAIL_OPEN], Humans)),
            Tally::EmailOpeners => Of(Recipients(EMAIL_OPEN)),
            Tally::EmailClicks => Of(Events(&[EMAIL_CLICK], All)),
            Tally::EmailMachineClicks => Of(Events(&[EMAIL_CLICK], Machines)),
            Tally::EmailHumanClicks => Of(Count::HumanClicks(EMAIL_CLICK)),
            Tally::EmailClickers => Of(Recipients(EMAIL_CLICK)),
            Tally::EmailClickToOpenRate => Ratio {
                part: Events(&[EMAIL_CLICK], NoMachines),
                whole: Events(&[EMAIL_OPEN], NoMachines),
                scale: PER_MILLE,
            },
            Tally::LinkClicks => Of(Events(&[LINK_CLICK], All)),
            Tally::LinkMachineClicks => Of(Events(&[LINK_CLICK], Machines)),
            Tally::LinkHumanClicks => Of(Count::HumanClicks(LINK_CLICK)),
            Tally::AdImpressions => Of(impressions),
            Tally::AdMachineImpressions => Of(Events(&[AD_IMPRESSION], Machines)),
            Tally::AdViewableImpressions => Of(Events(&[AD_VIEWABLE], NoMachines)),
            Tally::AdViewableRate => Ratio {
                part: Events(&[AD_VIEWABLE], NoMachines),
                whole: impressions,
                scale: PER_MILLE,
            },
            Tally::AdClicks => Of(Events(&[AD_CLICK], NoMachines)),
            Tally::AdMachineClicks => Of(Events(&[AD_CLICK], Machines)),
            Tally::AdClickThroughRate => Ratio {
                part: Events(&[AD_CLICK], NoMachines),
                whole: impressions,
                scale: 10 * PER_MILLE,
            },
            Tally::AdCost => Of(Count::Cost),
        }
    }

    /// A share of a whole: compared in points, not in percent of itself.
    pub fn is_share(self) -> bool {
        matches!(self.formula(), Formula::Ratio { .. } | Formula::Rest { .. })
    }

    /// The number with its unit.
    pub fn figure(self, raw: Option<i64>) -> Figure {
        let Some(raw) = raw else { return Figure::Missing };
        match self {
            Tally::AdClickThroughRate => Figure::Hundredths(raw),
            Tally::Vital(Vital::Cls, _) => Figure::TenThousandths(raw),
            Tally::SectionTimeMean => Figure::Tenths(raw),
            Tally::AdCost => Figure::Billionths(raw),
            _ if self.is_share() => Figure::Tenths(raw),
            _ => Figure::Whole(raw),
        }
    }

    /// What a group shows in which nothing of the kind happened.
    pub fn nothing(self) -> Figure {
        match self.formula() {
            Formula::Of(Count::Percentile(..) | Count::Cost)
            | Formula::Ratio { .. }
            | Formula::Mean { .. }
            | Formula::Rest { .. } => Figure::Missing,
            Formula::Of(_) | Formula::Thousandth(_) => Figure::Whole(0),
        }
    }
}

impl Asked {
    /// The currency that costs of a row are in: what the row or a top-level filter says. `None`: the question leaves it
    /// open, so that costs cannot be added up.
    pub fn cost_currency<'a>(&'a self, keys: &'a [Key]) -> Option<&'a str> {
        match self.dimensions.iter().position(is_cost_currency).and_then(|index| keys.get(index)) {
            Some(Key::Text(currency)) => Some(currency),
            _ => self.filters.iter().filter_map(Filter::as_test).find_map(one_currency),
        }
    }

    /// Whether every row is about costs in one currency.
    pub(super) fn has_cost_currency(&self) -> bool {
        self.dimensions.iter().any(is_cost_currency) || self.cost_currency(&[]).is_some()
    }
}

fn is_cost_currency(dimension: &Dimension) -> bool {
    matches!(dimension, Dimension::Prop(key) if key == COST_CURRENCY)
}

/// The only currency that a test lets through.
fn one_currency(test: &Test) -> Option<&str> {
    let is_exact = test.operator == Operator::Is && !test.negated && test.case_sensitive;
    match test.clauses.as_slice() {
        [one] if is_exact && is_cost_currency(&test.subject) => Some(one),
        _ => None,
    }
}

/// The position, from 1, of the nearest rank among so many sorted values.
pub fn nearest_rank(percent: u8, count: usize) -> usize {
    (usize::from(percent) * count).div_ceil(100).max(1)
}

/// The first of some properties that an event has, where one thing is named in several ways.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FirstProp {
    /// A form: by its id, its name, or where it leads.
    Form,
    /// What was clicked: by its words, its id, where it leads, or what it is.
    Element,
}

impl FirstProp {
    /// Properties, the first that is not empty counts.
    pub fn props(self) -> &'static [&'static str] {
        match self {
            FirstProp::Form => &["form_id", "form_name", "form_destination"],
            FirstProp::Element => &["element_text", "element_id", "link_url", "element"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tally_has_a_name_of_its_own() {
        let mut names: Vec<&str> = Tally::all().map(|(name, _)| name).collect();
        for (name, tally) in Tally::all() {
            assert_eq!(tally.name(), name);
        }
        assert_eq!(names.len(), 42);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 42);
    }

    #[test]
    fn vitals_are_read_exactly() {
        assert_eq!(Vital::Lcp.value("2500"), Some(2500));
        assert_eq!(Vital::Lcp.value("2500.9"), Some(2500));
        assert_eq!(Vital::Cls.value("0.1"), Some(1000));
        assert_eq!(Vital::Cls.value("0.12345"), Some(1234));
        assert_eq!(Vital::Cls.value("12"), Some(120_000));
        for odd in
            ["", ".5", "5.", "-1", "1e3", "+1", " 1", "1 ", "0x1", "1234567890", "NaN", "1.2.3"]
        {
            assert_eq!(Vital::Cls.value(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_nearest_rank_is_the_smallest_that_suffices() {
        assert_eq!([1, 2, 3, 4, 5, 100].map(|count| nearest_rank(75, count)), [1, 2, 3, 3, 4, 75]);
        assert_eq!([1, 2, 19, 20, 21].map(|count| nearest_rank(95, count)), [1, 2, 19, 19, 20]);
    }
}
