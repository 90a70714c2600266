//! What decoding makes of a hit: every field read and checked, nothing yet permitted.
//!
//! Guarantees: lengths, ranges and calendars are checked; the address hides itself. A
//! [`ParsedEvent`] can only be turned into something storable by the gate.

use std::borrow::Cow;
use std::fmt;

use cairn_enrich::Address;
use cairn_model::VisitorId;
use cairn_model::limits::{EVENT_NAME_SIZE_BYTES_MAX, ID_SIZE_BYTES_MAX};

use super::consent::SentConsent;
use super::page::Page;
use super::rejection::Rejection;

/// One event as its sender described it.
#[derive(Clone, Default)]
pub struct ParsedEvent<'a> {
    /// GA4 name; never empty.
    pub name: Cow<'a, str>,
    /// The sender's id of the event; empty = none.
    pub event_id: Cow<'a, str>,
    /// When it happened by the sender's clock, Unix milliseconds; `None` = on arrival.
    pub timestamp_ms: Option<i64>,
    /// Address of the page.
    pub page: Page<'a>,
    /// Address of the page before it, as sent.
    pub referrer: Cow<'a, str>,
    /// Title of the page.
    pub title: Cow<'a, str>,
    /// The sender's id of the person.
    pub user_id: Cow<'a, str>,
    /// Traits of the person as a JSON object.
    pub traits: Cow<'a, str>,
    /// Amount in minor units.
    pub value_minor: Option<i64>,
    /// Its currency; empty without a value.
    pub currency: &'static str,
    /// The order.
    pub order_id: Cow<'a, str>,
    /// Items as a JSON array; empty = none.
    pub items: Cow<'a, str>,
    /// Time in use, milliseconds.
    pub engagement_ms: Option<u32>,
    /// Deepest scroll, 0 to 100.
    pub scroll_percent: Option<u8>,
    /// Section seen.
    pub section_id: Cow<'a, str>,
    /// Time the section was in view, milliseconds.
    pub section_visible_ms: Option<u32>,
    /// Share of it that was in view, 0 to 100.
    pub section_visible_percent: Option<u8>,
    /// Own properties as a JSON object of texts; empty = none.
    pub props: Cow<'a, str>,
    /// `WIDTHxHEIGHT`.
    pub screen: Cow<'a, str>,
    /// BCP 47 language.
    pub language: Cow<'a, str>,
    /// Some text was cut.
    pub truncated: bool,
    /// Whom a server or an app speaks for; used up by enrichment.
    pub context: Option<Context<'a>>,
    /// The sender's own name for the browser or device, of formats that have one; never stored.
    pub sender_id: Cow<'a, str>,
    /// The visitor, where the server knows him by a click's permission; 0 = it does not.
    pub known_visitor: VisitorId,
    /// What the visitor said, of formats that say it with each event.
    pub consent: SentConsent,
    /// Campaign and device, of formats that state them.
    pub stated: Option<Box<Stated<'a>>>,
    /// What an import says instead of letting it be derived.
    pub overrides: Option<Box<Overrides<'a>>>,
}

/// The visitor's address and agent as the owner's server saw them. Never stored.
#[derive(Clone, Default)]
pub struct Context<'a> {
    /// The address.
    pub address: Option<Address>,
    /// The agent.
    pub user_agent: Cow<'a, str>,
}

/// What a sender states of itself where nothing else tells it.
#[derive(Clone, Default)]
pub struct Stated<'a> {
    /// `utm_source`, `_medium`, `_campaign`, `_content`, `_term`.
    pub utm: Option<[Cow<'a, str>; 5]>,
    /// The same of the click that led to the page; holds where the address names no campaign.
    pub otherwise: Option<[Cow<'a, str>; 5]>,
    /// Browser, its version, system, its version, device type.
    pub device: Option<[Cow<'a, str>; 5]>,
    /// It joins no visit, and no other event joins its own.
    pub own_visit: bool,
}

/// Import-only fields. `None` = derive it.
#[derive(Clone, Default)]
pub struct Overrides<'a> {
    /// The visitor, by the owner's own name for him.
    pub visitor_id: Cow<'a, str>,
    /// The visit, by the owner's own name for it.
    pub session_id: Cow<'a, str>,
    /// Source as shown.
    pub source: Option<Cow<'a, str>>,
    /// Channel group.
    pub channel: Option<Cow<'a, str>>,
    /// `utm_source`, `_medium`, `_campaign`, `_content`, `_term`.
    pub utm: Option<[Cow<'a, str>; 5]>,
    /// Country, region, city.
    pub geo: Option<[Cow<'a, str>; 3]>,
    /// Browser, its version, system, its version, device type.
    pub device: Option<[Cow<'a, str>; 5]>,
    /// AS number and organisation.
    pub network: Option<(u32, Cow<'a, str>)>,
    /// Reason for calling it a bot; empty = a person.
    pub bot: Option<Cow<'a, str>>,
}

/// Shows the name only: everything else may be about a person.
impl fmt::Debug for ParsedEvent<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ParsedEvent({})", self.name)
    }
}

/// Checks an event's name.
pub fn event_name(name: Cow<'_, str>) -> Result<Cow<'_, str>, Rejection> {
    if name.is_empty() {
        return Err(Rejection::malformed("event", "empty"));
    }
    if name.len() > EVENT_NAME_SIZE_BYTES_MAX {
        return Err(Rejection::too_large("event", "longer than 64 bytes"));
    }
    Ok(name)
}

/// Checks what only the event as a whole can tell.
pub fn check_whole(event: &ParsedEvent<'_>) -> Result<(), Rejection> {
    if event.name != "refund" {
        return Ok(());
    }
    if event.value_minor.is_none_or(|value| value <= 0) {
        return Err(Rejection::malformed("value", "a refund needs a positive value"));
    }
    if event.order_id.is_empty() {
        return Err(Rejection::malformed("order_id", "a refund needs the order it belongs to"));
    }
    Ok(())
}

/// Checks the e-mail of traits.
pub(super) fn check_email(email: &str) -> Result<(), Rejection> {
    if email.len() > ID_SIZE_BYTES_MAX {
        return Err(Rejection::too_large("traits.email", "longer than 256 bytes"));
    }
    Ok(())
}
