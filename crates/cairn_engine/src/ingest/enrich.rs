//! From a consented event to the event that is stored: what the sender's network, agent and
//! referrer tell is added, and the address is used up.
//!
//! Guarantees: the only maker of a live [`Event`]; what the gate withheld is not asked for again.
//! An import's own statements win over what would be derived.

use std::borrow::Cow;

use cairn_enrich::{Attribution, Enricher, Enrichment, HitFacts, Location, Marks, SourceFacts};
use cairn_model::{Event, Identification, Origin, PixelId, Site};

use super::gate::ConsentedEvent;
use super::page::without_query;
use super::parsed::{Overrides, Stated};
use super::visitor::IdentityKeys;

/// Where and when the event came in, and whom it speaks for.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    /// The site.
    pub site: &'a Site,
    /// The pixel; 0 for imports.
    pub pixel_id: PixelId,
    /// Live or import.
    pub origin: Origin,
    /// Arrival, Unix milliseconds.
    pub received_at_ms: i64,
    /// The visitor's agent and the headers, without the place.
    pub agent: AgentFacts<'a>,
    /// Language of the browser where the event names none.
    pub language: &'a str,
    /// Screen of the envelope where the event names none.
    pub screen: &'a str,
}

/// The part of a hit that its agent is recognised by.
#[derive(Clone, Copy, Default)]
pub struct AgentFacts<'a> {
    /// `User-Agent`.
    pub user_agent: &'a str,
    /// Client hints.
    pub hints: cairn_enrich::ClientHints<'a>,
    /// Presence of headers.
    pub headers: cairn_enrich::HeaderFacts<'a>,
}

/// Asks the enricher.
pub fn enrich(
    enricher: &Enricher,
    event: &ConsentedEvent<'_>,
    arrival: &Arrival<'_>,
    location: &Location,
) -> Enrichment {
    let parsed = event.parsed();
    let referrer = match event.visitor().identification {
        Identification::Identified => parsed.referrer.as_ref(),
        Identification::Anonymous => without_query(&parsed.referrer),
    };
    // Old data names referrers by host alone.
    let bare =
        arrival.origin == Origin::Import && !referrer.is_empty() && !referrer.contains("://");
    let referrer =
        if bare { Cow::Owned(format!("https://{referrer}")) } else { Cow::Borrowed(referrer) };
    let own_hosts;
    let own_hosts = if arrival.site.hosts.is_empty() {
        std::slice::from_ref(&arrival.site.domain)
    } else {
        own_hosts =
            [std::slice::from_ref(&arrival.site.domain), arrival.site.hosts.as_slice()].concat();
        own_hosts.as_slice()
    };
    enricher.enrich(&HitFacts {
        user_agent: arrival.agent.user_agent,
        hints: arrival.agent.hints,
        headers: arrival.agent.headers,
        location,
        source: SourceFacts {
            url: parsed.page.as_sent(),
            referrer: &referrer,
            own_hosts,
            ignored_hosts: &[],
        },
    })
}

/// Puts the event together; it borrows from all that was found.
pub fn assemble<'e>(
    consented: &'e ConsentedEvent<'_>,
    found: &'e Enrichment,
    arrival: &Arrival<'e>,
) -> Event<'e> {
    let parsed = consented.parsed();
    let visitor = consented.visitor();
    let timestamp_ms = parsed.timestamp_ms.unwrap_or(arrival.received_at_ms);
    let mut event = Event::bare(arrival.site.id, parsed.name.as_ref(), timestamp_ms);
    event.pixel_id = arrival.pixel_id;
    event.origin = arrival.origin;
    event.received_at_ms = arrival.received_at_ms;
    event.event_key = consented.event_key();
    event.event_id = borrowed(&parsed.event_id);
    event.visitor_id = visitor.id;
    event.identification = visitor.identification;
    event.previous_visitor_id = visitor.previous;
    event.user_key = consented.user_key();
    event.user_id = borrowed(&parsed.user_id);
    event.traits = borrowed(&parsed.traits);
    event.basis = consented.basis();
    event.hostname = Cow::Borrowed(parsed.page.hostname());
    event.path = Cow::Borrowed(consented.path());
    event.query = Cow::Borrowed(consented.query());
    event.title = borrowed(&parsed.title);
    event.screen = borrowed_or(&parsed.screen, arrival.screen);
    event.language = borrowed_or(&parsed.language, arrival.language);
    event.value_minor = parsed.value_minor;
    event.currency = Cow::Borrowed(parsed.currency);
    event.order_id = borrowed(&parsed.order_id);
    event.items = borrowed(&parsed.items);
    event.engagement_ms = parsed.engagement_ms;
    event.scroll_percent = parsed.scroll_percent;
    event.section_id = borrowed(&parsed.section_id);
    event.section_visible_ms = parsed.section_visible_ms;
    event.section_visible_percent = parsed.section_visible_percent;
    event.props = borrowed(&parsed.props);
    event.truncated = parsed.truncated;
    add_attribution(&mut event, &found.attribution, consented.keeps_click_id());
    add_sender(&mut event, found);
    event
}

fn borrowed(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

fn borrowed_or<'e>(text: &'e str, otherwise: &'e str) -> Cow<'e, str> {
    Cow::Borrowed(if text.is_empty() { otherwise } else { text })
}

fn add_attribution<'e>(event: &mut Event<'e>, found: &'e Attribution, keeps_click_id: bool) {
    event.referrer = Cow::Borrowed(&found.referrer);
    event.source = Cow::Borrowed(&found.source);
    event.medium = Cow::Borrowed(&found.medium);
    event.channel = Cow::Borrowed(found.channel);
    event.utm_source = Cow::Borrowed(&found.utm.source);
    event.utm_medium = Cow::Borrowed(&found.utm.medium);
    event.utm_campaign = Cow::Borrowed(&found.utm.campaign);
    event.utm_content = Cow::Borrowed(&found.utm.content);
    event.utm_term = Cow::Borrowed(&found.utm.term);
    if let Some(click_id) = found.click_id.as_ref().filter(|_| keeps_click_id) {
        event.click_id_kind = Cow::Borrowed(click_id.kind);
        event.click_id = Cow::Borrowed(&click_id.value);
    }
}

fn add_sender<'e>(event: &mut Event<'e>, found: &'e Enrichment) {
    let agent = &found.agent.agent;
    event.browser = Cow::Borrowed(&agent.browser);
    event.browser_version = Cow::Borrowed(&agent.browser_version);
    event.os = Cow::Borrowed(&agent.os);
    event.os_version = Cow::Borrowed(&agent.os_version);
    event.device = Cow::Borrowed(&agent.device);
    event.bot = Cow::Borrowed(found.bot.reason());
    let place = &found.location.place;
    event.country = Cow::Borrowed(place.country.as_str());
    event.region = Cow::Borrowed(&place.region);
    event.city = Cow::Borrowed(&place.city);
    let carrier = &found.location.carrier;
    event.asn = carrier.asn;
    event.organization = Cow::Borrowed(&carrier.organization);
    event.network_marks = marks_text(carrier.marks);
}

/// Marks as they are stored; nearly always one of the short ones.
fn marks_text(marks: Marks) -> Cow<'static, str> {
    let Marks { hosting, vpn, tor, proxy } = marks;
    match (hosting, vpn, tor, proxy) {
        (false, false, false, false) => Cow::Borrowed(""),
        (true, false, false, false) => Cow::Borrowed("hosting"),
        (true, true, false, false) => Cow::Borrowed("hosting,vpn"),
        _ => {
            let names = [(hosting, "hosting"), (vpn, "vpn"), (tor, "tor"), (proxy, "proxy")];
            let set: Vec<&str> =
                names.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)).collect();
            Cow::Owned(set.join(","))
        }
    }
}

/// Lets what a sender states of itself win: it is stated only where nothing else tells it.
pub fn apply_stated<'e>(
    event: &mut Event<'e>,
    stated: &'e Stated<'_>,
    found: &Enrichment,
    enricher: &Enricher,
) {
    let names_none = event.utm_source.is_empty()
        && event.utm_medium.is_empty()
        && event.utm_campaign.is_empty()
        // Not what may be kept of it: it names a campaign, whoever agrees to what.
        && found.attribution.click_id.is_none();
    let otherwise = stated.otherwise.as_ref().filter(|_| names_none);
    if let Some(utm) = stated.utm.as_ref().or(otherwise) {
        apply_utm(event, utm);
        let channel = enricher.channel(&event.source, &event.medium, &event.utm_campaign);
        event.channel = Cow::Borrowed(channel);
    }
    if let Some(device) = &stated.device {
        apply_device(event, device);
    }
}

fn apply_utm<'e>(event: &mut Event<'e>, utm: &'e [Cow<'_, str>; 5]) {
    let [source, medium, campaign, content, term] = utm;
    event.utm_source = borrowed(source);
    event.utm_medium = borrowed(medium);
    event.utm_campaign = borrowed(campaign);
    event.utm_content = borrowed(content);
    event.utm_term = borrowed(term);
    if !source.is_empty() {
        event.source = borrowed(source);
    }
    if !medium.is_empty() {
        event.medium = borrowed(medium);
    }
}

fn apply_device<'e>(event: &mut Event<'e>, device: &'e [Cow<'_, str>; 5]) {
    let [browser, browser_version, os, os_version, kind] = device;
    (event.browser, event.browser_version) = (borrowed(browser), borrowed(browser_version));
    (event.os, event.os_version) = (borrowed(os), borrowed(os_version));
    event.device = borrowed(kind);
}

/// Lets an import's statements win.
pub fn apply_overrides<'e>(
    event: &mut Event<'e>,
    overrides: &'e Overrides<'_>,
    keys: &IdentityKeys,
    enricher: &Enricher,
) {
    if !overrides.session_id.is_empty() {
        event.session_key = keys.of_named_session(event.site_id, &overrides.session_id);
    }
    if let Some(utm) = &overrides.utm {
        apply_utm(event, utm);
    }
    if let Some(source) = &overrides.source {
        event.source = borrowed(source);
    }
    if overrides.utm.is_some() || overrides.source.is_some() {
        let channel = enricher.channel(&event.source, &event.medium, &event.utm_campaign);
        event.channel = Cow::Borrowed(channel);
    }
    if let Some(channel) = &overrides.channel {
        event.channel = borrowed(channel);
    }
    if let Some([country, region, city]) = &overrides.geo {
        (event.country, event.region, event.city) =
            (borrowed(country), borrowed(region), borrowed(city));
    }
    if let Some(device) = &overrides.device {
        apply_device(event, device);
    }
    if let Some((asn, organization)) = &overrides.network {
        (event.asn, event.organization) = (*asn, borrowed(organization));
    }
    if let Some(bot) = &overrides.bot {
        event.bot = borrowed(bot);
    }
}
