//! A visit: what a visitor did without a pause longer than the session timeout.
//!
//! Its attributes (source, place, device) are those of its first event and never change.

use crate::event::Identification;
use crate::ids::{SiteId, VisitorId};

/// One frozen attribute of a visit. The order is that of the store's columns.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Attribute {
    /// Referrer as host and path.
    Referrer,
    /// Source as shown; empty = direct.
    Source,
    /// GA4 medium.
    Medium,
    /// GA4 default channel group.
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
    /// ISO 3166-1 alpha-2 country.
    Country,
    /// Region.
    Region,
    /// City.
    City,
    /// Browser family.
    Browser,
    /// Browser version.
    BrowserVersion,
    /// Operating system.
    Os,
    /// Its version.
    OsVersion,
    /// Device type.
    Device,
    /// Why this is a bot; empty = a person.
    Bot,
}

/// Number of attributes.
pub const ATTRIBUTES: usize = 18;

impl Attribute {
    /// All, in the order of the store's columns.
    pub const ALL: [Attribute; ATTRIBUTES] = [
        Attribute::Referrer,
        Attribute::Source,
        Attribute::Medium,
        Attribute::Channel,
        Attribute::UtmSource,
        Attribute::UtmMedium,
        Attribute::UtmCampaign,
        Attribute::UtmContent,
        Attribute::UtmTerm,
        Attribute::Country,
        Attribute::Region,
        Attribute::City,
        Attribute::Browser,
        Attribute::BrowserVersion,
        Attribute::Os,
        Attribute::OsVersion,
        Attribute::Device,
        Attribute::Bot,
    ];

    /// The store's column.
    pub fn column(self) -> &'static str {
        [
            "referrer",
            "source",
            "medium",
            "channel",
            "utm_source",
            "utm_medium",
            "utm_campaign",
            "utm_content",
            "utm_term",
            "country",
            "region",
            "city",
            "browser",
            "browser_version",
            "os",
            "os_version",
            "device",
            "bot",
        ][self as usize]
    }
}

/// Attributes of a visit, taken from its first event: one allocation, since hundreds of thousands are kept in memory.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Attributes {
    text: Box<str>,
    /// Where each attribute ends in `text`.
    ends: [u16; ATTRIBUTES],
}

impl Attributes {
    /// Attributes from their texts, in the order of [`Attribute::ALL`]. A text is cut to
    /// [`crate::limits::TEXT_SIZE_BYTES_MAX`], which decoding has done already.
    pub fn new(texts: [&str; ATTRIBUTES]) -> Self {
        let mut text = String::with_capacity(texts.iter().map(|part| part.len()).sum());
        let mut ends = [0; ATTRIBUTES];
        for (part, end) in texts.iter().zip(&mut ends) {
            let mut size = part.len().min(crate::limits::TEXT_SIZE_BYTES_MAX);
            while !part.is_char_boundary(size) {
                size -= 1;
            }
            text.push_str(&part[..size]);
            // 18 texts of at most 2,048 bytes end below 2^16.
            *end = text.len() as u16;
        }
        Attributes { text: text.into_boxed_str(), ends }
    }

    /// Attributes as this event says them.
    pub fn of(event: &crate::Event<'_>) -> Self {
        Attributes::new(texts_of(event))
    }

    /// True when `event` says exactly these.
    pub fn are_of(&self, event: &crate::Event<'_>) -> bool {
        let texts = texts_of(event);
        Attribute::ALL.into_iter().zip(texts).all(|(attribute, text)| self.get(attribute) == text)
    }

    /// One attribute; empty = missing.
    pub fn get(&self, attribute: Attribute) -> &str {
        let index = attribute as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.text[start..self.ends[index] as usize]
    }
}

fn texts_of<'e>(event: &'e crate::Event<'_>) -> [&'e str; ATTRIBUTES] {
    [
        &event.referrer,
        &event.source,
        &event.medium,
        &event.channel,
        &event.utm_source,
        &event.utm_medium,
        &event.utm_campaign,
        &event.utm_content,
        &event.utm_term,
        &event.country,
        &event.region,
        &event.city,
        &event.browser,
        &event.browser_version,
        &event.os,
        &event.os_version,
        &event.device,
        &event.bot,
    ]
}

/// One visit, as the store keeps it.
#[derive(Clone, PartialEq, Debug)]
pub struct Session {
    /// The site.
    pub site_id: SiteId,
    /// The offset of its first event: unique, and rising with time of arrival.
    pub session_id: u64,
    /// The visitor.
    pub visitor_id: VisitorId,
    /// What kind of number `visitor_id` is.
    pub identification: Identification,
    /// The number that its events brought along (`Event::session_key`); 0 = derived here.
    pub session_key: u64,
    /// Time of its first event, Unix milliseconds.
    pub started_at_ms: i64,
    /// Time of its latest-arrived page view or custom event.
    pub ended_at_ms: i64,
    /// Latest activity of any kind, engagement included: what the timeout counts from.
    pub last_activity_ms: i64,
    /// Arrival of the latest event, by which idle visits leave the memory.
    pub last_received_ms: i64,
    /// Page views.
    pub pageviews: u32,
    /// Page views and custom events.
    pub events: u32,
    /// Host of the first page view; empty before there is one.
    pub entry_hostname: String,
    /// Path of the first page view.
    pub entry_page: String,
    /// Host of the page view that arrived last.
    pub exit_hostname: String,
    /// Path of the page view that arrived last.
    pub exit_page: String,
    /// Frozen attributes.
    pub attributes: std::sync::Arc<Attributes>,
}

impl Session {
    /// One page view or custom event and no second one.
    pub fn is_bounce(&self) -> bool {
        self.events == 1
    }

    /// Seconds between start and end, whichever came first.
    pub fn duration_s(&self) -> i64 {
        (self.ended_at_ms.div_euclid(1000) - self.started_at_ms.div_euclid(1000)).abs()
    }
}
