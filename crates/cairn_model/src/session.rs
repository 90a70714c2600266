//! A visit: what a visitor did without a pause longer than the session timeout.
//!
//! Its attributes (source, place, device) are those of its first event and never change (QUERY.md 2.3).

use crate::event::Identification;
use crate::ids::{SiteId, VisitorId};

/// Attributes of a visit, taken from its first event.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Attributes {
    /// Referrer as host and path.
    pub referrer: String,
    /// Source as shown; empty = direct.
    pub source: String,
    /// GA4 medium.
    pub medium: String,
    /// GA4 default channel group.
    pub channel: String,
    /// `utm_source`.
    pub utm_source: String,
    /// `utm_medium`.
    pub utm_medium: String,
    /// `utm_campaign`.
    pub utm_campaign: String,
    /// `utm_content`.
    pub utm_content: String,
    /// `utm_term`.
    pub utm_term: String,
    /// ISO 3166-1 alpha-2 country.
    pub country: String,
    /// Region.
    pub region: String,
    /// City.
    pub city: String,
    /// Browser family.
    pub browser: String,
    /// Browser version.
    pub browser_version: String,
    /// Operating system.
    pub os: String,
    /// Its version.
    pub os_version: String,
    /// Device type.
    pub device: String,
    /// Why this is a bot; empty = a person.
    pub bot: String,
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
    /// The import's own session number (`Event::session_key`); 0 = derived here.
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
