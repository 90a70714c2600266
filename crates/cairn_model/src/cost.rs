//! What advertising cost: one row of an owner's table.

use crate::rates::Day;

/// Cost of one campaign on one day. Its texts are those that its links carry (`utm_source`, …); none of them is about a person.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cost {
    /// The day, in the site's zone.
    pub day: Day,
    /// As `utm_source`.
    pub source: String,
    /// As `utm_medium`.
    pub medium: String,
    /// As `utm_campaign`.
    pub campaign: String,
    /// As `utm_content`: the creative.
    pub content: String,
    /// As `utm_term`: the keyword.
    pub term: String,
    /// ISO 4217 code of what was paid in.
    pub currency: String,
    /// Millionths of the currency's main unit; not negative.
    pub micros: i64,
    /// How often it was shown.
    pub impressions: i64,
    /// How often it was clicked.
    pub clicks: i64,
}

/// What a row is about; a later one about the same replaces it.
pub type CostKey<'a> = (Day, [&'a str; 5]);

impl Cost {
    /// What it is about.
    pub fn key(&self) -> CostKey<'_> {
        (self.day, [&self.source, &self.medium, &self.campaign, &self.content, &self.term])
    }
}
