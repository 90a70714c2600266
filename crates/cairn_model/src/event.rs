//! The event: a consented, enriched fact. What the log carries and the store keeps.
//!
//! Text that is missing is the empty string; numbers that are missing say so by `Option`.
//! `Event` borrows from the log's buffer where it can, so that applying one copies nothing.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::consent::Basis;
use crate::ids::{PixelId, SiteId, VisitorId};

/// The name of page views.
pub const PAGE_VIEW: &str = "page_view";
/// The name of engagement reports: how a page was read, never shown as activity.
pub const ENGAGEMENT: &str = "engagement";

/// What happened in a mail, behind a tracked link or with an ad, before anybody came to the site: it makes no visit, and
/// figures about the site count it only where a question names it.
pub const OFF_SITE: [&str; 7] = [
    "email_open",
    "email_click",
    "link_click",
    "ad_impression",
    "ad_viewable",
    "ad_click",
    CLICK_LANDED,
];
/// The name of the proof that a click was followed by its landing page; it stands beside the click.
pub const CLICK_LANDED: &str = "click_landed";

/// Whether the visitor number is kept by permission, or is a passing anonymous number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Identification {
    /// Keyed hash of a first-party cookie, kept by permission.
    Identified,
    /// Hash under a key that lives in memory and changes at the site's midnight.
    Anonymous,
}

/// How the event came in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Origin {
    /// A hit on a pixel.
    Live,
    /// The owner's import.
    Import,
    /// The image or a link of a mail or an advertisement, or a pixel of such a kind.
    OffSite,
}

/// One event. Field groups follow the order in which the pipeline fills them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event<'a> {
    /// The site.
    pub site_id: SiteId,
    /// The pixel that reported it; 0 for imports.
    pub pixel_id: PixelId,
    /// How it came in.
    pub origin: Origin,
    /// Arrival, Unix milliseconds. Never decreases along the log.
    pub received_at_ms: i64,
    /// When it happened, Unix milliseconds.
    pub timestamp_ms: i64,
    /// GA4 event name, `page_view` for page views.
    #[serde(borrow)]
    pub name: Cow<'a, str>,

    /// Keyed hash of site and `event_id`, for recognising repetitions; 0 where the event had none.
    pub event_key: u128,
    /// The sender's id of the event; empty where there was none, or without permission.
    #[serde(borrow)]
    pub event_id: Cow<'a, str>,
    /// The visitor.
    pub visitor_id: VisitorId,
    /// What kind of number `visitor_id` is.
    pub identification: Identification,
    /// A second visitor number to look for when `visitor_id` has no open visit (yesterday's anonymous number); 0 = none.
    pub previous_visitor_id: VisitorId,
    /// Number of the visit where that is decided already: keyed hash of an import's `session_id`, or a passing number for an
    /// event that is a visit of its own; 0 = derive it.
    pub session_key: u64,
    /// Keyed hash of the user id, per site; 0 = none.
    pub user_key: u64,
    /// The user id itself; goes to the people table only, never to the event store.
    #[serde(borrow)]
    pub user_id: Cow<'a, str>,
    /// Traits as a JSON object; people table only.
    #[serde(borrow)]
    pub traits: Cow<'a, str>,
    /// What collecting it relied on.
    pub basis: Basis,

    /// Host of the page, lower case, in ASCII (punycode) form, without the port.
    #[serde(borrow)]
    pub hostname: Cow<'a, str>,
    /// Path of the page, with the leading slash.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Query of the page without `?`; without permission only its `utm_*` pairs.
    #[serde(borrow)]
    pub query: Cow<'a, str>,
    /// Title of the page.
    #[serde(borrow)]
    pub title: Cow<'a, str>,
    /// Referrer as host and path, without scheme, query and fragment.
    #[serde(borrow)]
    pub referrer: Cow<'a, str>,

    /// Where the visit came from, as shown (`Google`); empty = direct.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// GA4 medium (`organic`, `cpc`, `referral`, …).
    #[serde(borrow)]
    pub medium: Cow<'a, str>,
    /// GA4 default channel group.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// `utm_source`.
    #[serde(borrow)]
    pub utm_source: Cow<'a, str>,
    /// `utm_medium`.
    #[serde(borrow)]
    pub utm_medium: Cow<'a, str>,
    /// `utm_campaign`.
    #[serde(borrow)]
    pub utm_campaign: Cow<'a, str>,
    /// `utm_content`.
    #[serde(borrow)]
    pub utm_content: Cow<'a, str>,
    /// `utm_term`.
    #[serde(borrow)]
    pub utm_term: Cow<'a, str>,
    /// Name of the advertiser's click id parameter (`gclid`), with permission for ads.
    #[serde(borrow)]
    pub click_id_kind: Cow<'a, str>,
    /// Value of that parameter.
    #[serde(borrow)]
    pub click_id: Cow<'a, str>,

    /// ISO 3166-1 alpha-2 country.
    #[serde(borrow)]
    pub country: Cow<'a, str>,
    /// ISO 3166-2 region, or its name where the database has only that.
    #[serde(borrow)]
    pub region: Cow<'a, str>,
    /// GeoNames number of the city, or its name.
    #[serde(borrow)]
    pub city: Cow<'a, str>,
    /// AS number of the network; 0 = unknown.
    pub asn: u32,
    /// The network's organisation (the provider, not its customer).
    #[serde(borrow)]
    pub organization: Cow<'a, str>,
    /// Marks of the network, comma separated: `hosting`, `vpn`, `tor`, ….
    #[serde(borrow)]
    pub network_marks: Cow<'a, str>,

    /// Browser family.
    #[serde(borrow)]
    pub browser: Cow<'a, str>,
    /// Browser version.
    #[serde(borrow)]
    pub browser_version: Cow<'a, str>,
    /// Operating system.
    #[serde(borrow)]
    pub os: Cow<'a, str>,
    /// Its version.
    #[serde(borrow)]
    pub os_version: Cow<'a, str>,
    /// `desktop`, `mobile`, `tablet`, ….
    #[serde(borrow)]
    pub device: Cow<'a, str>,
    /// Why this is a bot; empty = a person, as far as known.
    #[serde(borrow)]
    pub bot: Cow<'a, str>,
    /// Screen as `WIDTHxHEIGHT`.
    #[serde(borrow)]
    pub screen: Cow<'a, str>,
    /// BCP 47 language.
    #[serde(borrow)]
    pub language: Cow<'a, str>,

    /// Amount in the currency's minor unit (cents).
    pub value_minor: Option<i64>,
    /// ISO 4217 code; empty without a value.
    #[serde(borrow)]
    pub currency: Cow<'a, str>,
    /// The order.
    #[serde(borrow)]
    pub order_id: Cow<'a, str>,
    /// GA4 `items` as a JSON array; empty = none.
    #[serde(borrow)]
    pub items: Cow<'a, str>,
    /// Time the page was visible and in use, milliseconds.
    pub engagement_ms: Option<u32>,
    /// Deepest scroll, 0 to 100.
    pub scroll_percent: Option<u8>,
    /// Section seen: its id; empty = none.
    #[serde(borrow)]
    pub section_id: Cow<'a, str>,
    /// Time the section was in view, milliseconds.
    pub section_visible_ms: Option<u32>,
    /// Share of the section that was in view, 0 to 100.
    pub section_visible_percent: Option<u8>,
    /// Own properties as a JSON object of strings; empty = none.
    #[serde(borrow)]
    pub props: Cow<'a, str>,
    /// A text was cut to its limit.
    pub truncated: bool,
}

impl Event<'_> {
    /// A page view.
    pub fn is_page_view(&self) -> bool {
        self.name == PAGE_VIEW
    }

    /// A report of how a page was read.
    pub fn is_engagement(&self) -> bool {
        self.name == ENGAGEMENT
    }

    /// It happened away from the site: see [`OFF_SITE`]. A page may have events of these names too, which are its own.
    pub fn is_off_site(&self) -> bool {
        match self.origin {
            Origin::Live => false,
            Origin::Import => OFF_SITE.contains(&self.name.as_ref()),
            Origin::OffSite => true,
        }
    }

    /// The same event, borrowing nothing.
    pub fn into_owned(self) -> Event<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        Event {
            site_id: self.site_id,
            pixel_id: self.pixel_id,
            origin: self.origin,
            received_at_ms: self.received_at_ms,
            timestamp_ms: self.timestamp_ms,
            name: own(self.name),
            event_key: self.event_key,
            event_id: own(self.event_id),
            visitor_id: self.visitor_id,
            identification: self.identification,
            previous_visitor_id: self.previous_visitor_id,
            session_key: self.session_key,
            user_key: self.user_key,
            user_id: own(self.user_id),
            traits: own(self.traits),
            basis: self.basis,
            hostname: own(self.hostname),
            path: own(self.path),
            query: own(self.query),
            title: own(self.title),
            referrer: own(self.referrer),
            source: own(self.source),
            medium: own(self.medium),
            channel: own(self.channel),
            utm_source: own(self.utm_source),
            utm_medium: own(self.utm_medium),
            utm_campaign: own(self.utm_campaign),
            utm_content: own(self.utm_content),
            utm_term: own(self.utm_term),
            click_id_kind: own(self.click_id_kind),
            click_id: own(self.click_id),
            country: own(self.country),
            region: own(self.region),
            city: own(self.city),
            asn: self.asn,
            organization: own(self.organization),
            network_marks: own(self.network_marks),
            browser: own(self.browser),
            browser_version: own(self.browser_version),
            os: own(self.os),
            os_version: own(self.os_version),
            device: own(self.device),
            bot: own(self.bot),
            screen: own(self.screen),
            language: own(self.language),
            value_minor: self.value_minor,
            currency: own(self.currency),
            order_id: own(self.order_id),
            items: own(self.items),
            engagement_ms: self.engagement_ms,
            scroll_percent: self.scroll_percent,
            section_id: own(self.section_id),
            section_visible_ms: self.section_visible_ms,
            section_visible_percent: self.section_visible_percent,
            props: own(self.props),
            truncated: self.truncated,
        }
    }
}

impl<'a> Event<'a> {
    /// An event with nothing but its place and time: every text empty, every number missing.
    pub fn bare(site_id: SiteId, name: impl Into<Cow<'a, str>>, timestamp_ms: i64) -> Self {
        let none = || Cow::Borrowed("");
        Event {
            site_id,
            pixel_id: PixelId(0),
            origin: Origin::Live,
            received_at_ms: timestamp_ms,
            timestamp_ms,
            name: name.into(),
            event_key: 0,
            event_id: none(),
            visitor_id: VisitorId(0),
            identification: Identification::Anonymous,
            previous_visitor_id: VisitorId(0),
            session_key: 0,
            user_key: 0,
            user_id: none(),
            traits: none(),
            basis: Basis::Policy,
            hostname: none(),
            path: none(),
            query: none(),
            title: none(),
            referrer: none(),
            source: none(),
            medium: none(),
            channel: none(),
            utm_source: none(),
            utm_medium: none(),
            utm_campaign: none(),
            utm_content: none(),
            utm_term: none(),
            click_id_kind: none(),
            click_id: none(),
            country: none(),
            region: none(),
            city: none(),
            asn: 0,
            organization: none(),
            network_marks: none(),
            browser: none(),
            browser_version: none(),
            os: none(),
            os_version: none(),
            device: none(),
            bot: none(),
            screen: none(),
            language: none(),
            value_minor: None,
            currency: none(),
            order_id: none(),
            items: none(),
            engagement_ms: None,
            scroll_percent: None,
            section_id: none(),
            section_visible_ms: None,
            section_visible_percent: None,
            props: none(),
            truncated: false,
        }
    }
}
