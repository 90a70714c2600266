//! The `context` of a message: page, sender, device, campaign, consent.
//!
//! Guarantees: only a server pixel's word counts about address and agent; only a server's or an
//! app's about system and device. Advertising ids, device ids and push tokens are never read.

use std::borrow::Cow;

use cairn_enrich::Address;
use cairn_model::{Choice, PixelKind, Purpose};

use super::super::Terms;
use super::message::label;
use super::properties::Properties;
use super::{Field, named, object};
use crate::ingest::consent::{self, SentConsent};
use crate::ingest::fields::{decoration, not_a, text};
use crate::ingest::json::{Kind, Raw};
use crate::ingest::page::Page;
use crate::ingest::parsed::{self, ParsedEvent, Stated};
use crate::ingest::rejection::Rejection;
use crate::ingest::text::{self, bounded};

/// Where an address stands that was not given with the properties.
const PAGE_URL: &str = "context.page.url";

/// Their names.
pub(super) const PARTS: [&str; 13] = [
    "traits",
    "page",
    "ip",
    "userAgent",
    "locale",
    "screen",
    "campaign",
    "os",
    "device",
    "app",
    "library",
    "consent",
    "consentManagement",
];

/// The parts of a context that are used, unread.
pub(super) struct Context<'a> {
    /// Traits of the person, where the message has none of its own.
    pub traits: Option<Raw<'a>>,
    page: Option<Raw<'a>>,
    ip: Option<Raw<'a>>,
    user_agent: Option<Raw<'a>>,
    locale: Option<Raw<'a>>,
    screen: Option<Raw<'a>>,
    campaign: Option<Raw<'a>>,
    os: Option<Raw<'a>>,
    device: Option<Raw<'a>>,
    app: Option<Raw<'a>>,
    library: Option<Raw<'a>>,
    consent: Option<Raw<'a>>,
    consent_management: Option<Raw<'a>>,
}

impl<'a> Context<'a> {
    /// Finds the parts; what the message says goes before what its batch says.
    pub fn read(fields: &[Field<'a>], common: &[Field<'a>]) -> Result<Self, Rejection> {
        let own = match named(fields, "context") {
            Some(value) => object("context", value)?,
            None => Vec::new(),
        };
        let [
            traits,
            page,
            ip,
            user_agent,
            locale,
            screen,
            campaign,
            os,
            device,
            app,
            library,
            consent,
            consent_management,
        ] = PARTS.map(|name| named(&own, name).or_else(|| named(common, name)));
        Ok(Context {
            traits,
            page,
            ip,
            user_agent,
            locale,
            screen,
            campaign,
            os,
            device,
            app,
            library,
            consent,
            consent_management,
        })
    }

    /// Adds everything to the event.
    pub fn add_to(
        &self,
        event: &mut ParsedEvent<'a>,
        properties: &mut Properties<'a>,
        terms: &Terms<'_>,
    ) -> Result<(), Rejection> {
        self.add_page(event)?;
        event.consent = self.consent()?;
        if let Some(locale) = self.locale {
            let tag = match text("context.locale", locale)? {
                tag if tag.contains('_') => Cow::Owned(tag.replace('_', "-")),
                tag => tag,
            };
            event.language = decoration(tag, text::language);
        }
        if let Some(screen) = self.screen {
            event.screen = Cow::Owned(pixels(&object("context.screen", screen)?));
        }
        if terms.kind == PixelKind::Server || terms.kind == PixelKind::App {
            event.context = Some(self.speaks_for(terms)?);
        }
        let device = self.device(terms)?;
        let utm = match event.page.raw_query().contains("utm_") {
            true => None,
            false => self.campaign(event)?,
        };
        if device.is_some() || utm.is_some() {
            event.stated = Some(Box::new(Stated { utm, device, ..Stated::default() }));
        }
        let library = name_and_version("context.library", self.library)?;
        let app = name_and_version("context.app", self.app)?;
        // RudderStack's browser library calls itself the app.
        if app != library {
            properties.add_own("app", app);
        }
        properties.add_own("library", library);
        Ok(())
    }

    fn add_page(&self, event: &mut ParsedEvent<'a>) -> Result<(), Rejection> {
        let Some(page) = self.page else { return Ok(()) };
        let page = object("context.page", page)?;
        let part = |name: &str, field: &'static str| {
            named(&page, name).map(|value| text(field, value)).transpose()
        };
        let url = part("url", PAGE_URL)?;
        if let Some(url) = url.filter(|_| event.page.as_sent().is_empty()) {
            event.page = Page::parse(PAGE_URL, bounded(url, &mut event.truncated))?;
        }
        let referrer = part("referrer", "context.page.referrer")?;
        if let Some(referrer) = referrer.filter(|_| event.referrer.is_empty()) {
            event.referrer = bounded(real_referrer(referrer), &mut event.truncated);
        }
        let title = part("title", "context.page.title")?;
        if let Some(title) = title.filter(|_| event.title.is_empty()) {
            event.title = bounded(title, &mut event.truncated);
        }
        Ok(())
    }

    /// The visitor's address and agent, as the owner's server or the app tells them.
    fn speaks_for(&self, terms: &Terms<'_>) -> Result<parsed::Context<'a>, Rejection> {
        let mut context = parsed::Context::default();
        if let Some(agent) = self.user_agent {
            context.user_agent = text("context.userAgent", agent)?;
        }
        if let Some(ip) = self.ip.filter(|_| terms.kind == PixelKind::Server) {
            let ip = text("context.ip", ip)?;
            // Servers pass on what a proxy told them: the first address is the visitor's.
            let ip = ip.split(',').next().unwrap_or("").trim();
            let no_address = || Rejection::malformed("context.ip", "not an IPv4 or IPv6 address");
            let address: Option<std::net::IpAddr> = match ip {
                "" => None,
                ip => Some(ip.parse().map_err(|_| no_address())?),
            };
            // `0.0.0.0` is how Segment's senders ask that none be recorded.
            let address = address.filter(|address| !address.is_unspecified());
            context.address = address.map(Address::new);
        }
        Ok(context)
    }

    /// System and device, where no agent tells them: `["", "", os, os_version, type]`.
    fn device(&self, terms: &Terms<'_>) -> Result<Option<[Cow<'a, str>; 5]>, Rejection> {
        let tells = match terms.kind {
            PixelKind::App => true,
            PixelKind::Server => self.user_agent.is_none(),
            _ => false,
        };
        if !tells || (self.os.is_none() && self.device.is_none()) {
            return Ok(None);
        }
        let mut found = [const { Cow::Borrowed("") }; 5];
        if let Some(os) = self.os {
            let os = object("context.os", os)?;
            for (place, name, field) in
                [(2, "name", "context.os.name"), (3, "version", "context.os.version")]
            {
                if let Some(value) = named(&os, name) {
                    found[place] = bounded(label(field, value)?, &mut false);
                }
            }
        }
        if let Some(device) = self.device {
            let device = object("context.device", device)?;
            let part = |name| named(&device, name).and_then(Raw::text).unwrap_or_default();
            found[4] = Cow::Borrowed(device_class(&part("type"), &part("model"), &found[2]));
        }
        Ok(Some(found))
    }

    /// The campaign in the order of `utm_source`, `_medium`, `_campaign`, `_content`, `_term`.
    fn campaign(
        &self,
        event: &mut ParsedEvent<'a>,
    ) -> Result<Option<[Cow<'a, str>; 5]>, Rejection> {
        let Some(campaign) = self.campaign else { return Ok(None) };
        let campaign = object("context.campaign", campaign)?;
        let mut utm = [const { Cow::Borrowed("") }; 5];
        let names = [
            ("source", "context.campaign.source"),
            ("medium", "context.campaign.medium"),
            ("name", "context.campaign.name"),
            ("content", "context.campaign.content"),
            ("term", "context.campaign.term"),
        ];
        for (place, (name, field)) in names.into_iter().enumerate() {
            if let Some(value) = named(&campaign, name) {
                utm[place] = bounded(label(field, value)?, &mut event.truncated);
            }
        }
        Ok(Some(utm).filter(|utm| utm.iter().any(|part| !part.is_empty())))
    }

    /// What the visitor said: Segment's and RudderStack's shapes, or Cairn's own text.
    fn consent(&self) -> Result<SentConsent, Rejection> {
        let fault = |mut fault: Rejection| {
            fault.field = Cow::Borrowed("context.consent");
            fault
        };
        let mut said = [None; 4];
        if let Some(value) = self.consent {
            if value.kind() == Kind::Text {
                return consent::parse(&text("context.consent", value)?).map_err(fault);
            }
            let preferences = named(&object("context.consent", value)?, "categoryPreferences");
            if let Some(preferences) = preferences {
                const FIELD: &str = "context.consent.categoryPreferences";
                for (category, choice) in object(FIELD, preferences)? {
                    match choice.0 {
                        "true" => say(&mut said, &category, Choice::Granted),
                        "false" => say(&mut said, &category, Choice::Denied),
                        _ if choice.kind() == Kind::Null => {}
                        _ => {
                            return Err(not_a(FIELD, "list of true and false").at(FIELD, &category));
                        }
                    }
                }
            }
        }
        if let Some(value) = self.consent_management {
            let management = object("context.consentManagement", value)?;
            let lists =
                [("allowedConsentIds", Choice::Granted), ("deniedConsentIds", Choice::Denied)];
            for (name, choice) in lists {
                // Some consent managers send objects of their own here: those are not understood.
                let ids = named(&management, name).and_then(Raw::elements).unwrap_or_default();
                for category in ids.into_iter().filter_map(Raw::text) {
                    say(&mut said, &category, choice);
                }
            }
        }
        Ok(match said.iter().any(Option::is_some) {
            true => SentConsent::Choices(said),
            false => SentConsent::Nothing,
        })
    }
}

/// Categories of consent managers by the purpose that they stand for, in lower case. `C0002` to
/// `C0004` are OneTrust's numbers. An unknown category says nothing.
const CATEGORIES: [(Purpose, &[&str]); 4] = [
    (
        Purpose::Analytics,
        &["analytics", "analytical", "statistics", "measurement", "performance", "c0002"],
    ),
    (Purpose::Ads, &["ads", "advertising", "marketing", "targeting", "advertisement", "c0004"]),
    (Purpose::Personalization, &["personalization", "personalisation"]),
    (Purpose::Functional, &["functional", "functionality", "preferences", "c0003"]),
];

/// Notes a choice. Where two categories stand for one purpose, a no wins.
fn say(said: &mut consent::Choices, category: &str, choice: Choice) {
    let category = category.trim();
    for (purpose, names) in CATEGORIES {
        if !names.iter().any(|name| name.eq_ignore_ascii_case(category)) {
            continue;
        }
        let place = Purpose::ALL.iter().position(|known| *known == purpose).unwrap_or(0);
        if said[place] != Some(Choice::Denied) {
            said[place] = Some(choice);
        }
    }
}

/// RudderStack says `$direct` where there is no referrer.
pub(super) fn real_referrer(referrer: Cow<'_, str>) -> Cow<'_, str> {
    if referrer == "$direct" { Cow::Borrowed("") } else { referrer }
}

/// `WIDTHxHEIGHT`, or nothing; mobile SDKs send decimals.
fn pixels(screen: &[Field<'_>]) -> String {
    let side = |name| {
        let value = named(screen, name).and_then(Raw::number).unwrap_or_default();
        value.split('.').next().unwrap_or("").to_owned()
    };
    text::screen(&format!("{}x{}", side("width"), side("height"))).to_owned()
}

/// `NAME VERSION`; empty where there is neither.
fn name_and_version<'a>(
    field: &'static str,
    value: Option<Raw<'a>>,
) -> Result<Cow<'a, str>, Rejection> {
    let Some(value) = value else { return Ok(Cow::Borrowed("")) };
    let fields = object(field, value)?;
    let part = |name| named(&fields, name).and_then(Raw::scalar).unwrap_or_default();
    let (name, version) = (part("name"), part("version"));
    let both = format!("{} {}", name.trim(), version.trim());
    Ok(Cow::Owned(both.trim().to_owned()))
}

/// The device's class in the words of reports.
fn device_class(kind: &str, model: &str, os: &str) -> &'static str {
    let begins = |text: &str, start: &str| {
        text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    let named = |name: &str| kind.eq_ignore_ascii_case(name) || os.eq_ignore_ascii_case(name);
    match () {
        () if begins(model, "iPad") || kind.eq_ignore_ascii_case("tablet") => "tablet",
        () if named("ipados") => "tablet",
        () if named("ios") || named("android") || kind.eq_ignore_ascii_case("mobile") => "mobile",
        () if named("tvos") => "tv",
        () if named("macos") || named("windows") || named("linux") => "desktop",
        () => "",
    }
}
