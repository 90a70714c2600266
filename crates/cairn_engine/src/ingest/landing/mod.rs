//! Clicks that were followed by their landing page: proof that a browser ran the tracker there.
//!
//! Guarantees: one `click_landed` for a counted click, whoever lands how often. It stands beside the click, with the
//! click's visitor, so the visit of the browser that landed is not changed by it. A program's landing proves nothing.
//! Whether the browser becomes the recipient's is decided with [`recent::RecentClicks`] and by who is known already.

pub mod recent;

use std::borrow::Cow;

use cairn_catalog::PixelEntry;
use cairn_enrich::Location;
use cairn_model::event::CLICK_LANDED;
use cairn_model::{Identification, Origin, Verdict, VisitorId};

use super::ad::AD_CLICK;
use super::enrich::Arrival;
use super::fields::props_json;
use super::gate::{Decision, Visitor};
use super::mail::{EMAIL_CLICK, LINK_CLICK};
use super::off_site::OffSite;
use super::page::Page;
use super::parsed::{Overrides, ParsedEvent, Stated};
use super::{Admission, Hit, Ingest, Rejection, identified, server_agent};
use crate::token::click::{ClickClaims, ClickKind};
use recent::NamedUser;

impl ClickKind {
    /// Name of the click's event.
    pub fn event(self) -> &'static str {
        match self {
            ClickKind::Mail => EMAIL_CLICK,
            ClickKind::Link => LINK_CLICK,
            ClickKind::Ad => AD_CLICK,
        }
    }
}

/// A landing that was told whose click it is.
pub struct LandingHit<'a> {
    /// The click.
    pub claims: &'a ClickClaims,
    /// Its recipient, if he agrees to be known; empty = nobody in particular.
    pub user_id: &'a str,
    /// The landing page: scheme, host and path alone ([`place`]).
    pub page: &'a str,
    /// The visitor of the browser that landed, by its permission; `None` = not known.
    pub visitor: Option<VisitorId>,
    /// What was decided about the landing page's own event.
    pub decision: &'a Decision,
}

/// A conversion that names a click has its campaign, and its person where that was permitted: the recipient `user_id`, and
/// the browser. Whom the conversion names itself wins, and is given the click's browser only if he is that recipient.
/// Where the browser is not known, it is a visit of its own: what else is known of the person may have begun a visit from
/// elsewhere, whose campaign would hide the click's.
pub fn conversion<'a>(
    mut event: ParsedEvent<'a>,
    claims: &ClickClaims,
    user_id: &str,
) -> ParsedEvent<'a> {
    if event.user_id.is_empty() {
        event.user_id = Cow::Owned(user_id.to_owned());
    }
    if event.user_id == user_id {
        event.known_visitor = claims.visitor_id();
    }
    event.stated = Some(Box::new(Stated {
        utm: Some(claims.utm.clone().map(Cow::Owned)),
        own_visit: event.known_visitor == VisitorId(0),
        ..Stated::default()
    }));
    event
}

/// A page view that a click brought about has the click's campaign, unless its own address names one.
pub fn landed(event: &mut ParsedEvent<'_>, claims: &ClickClaims) {
    event.stated.get_or_insert_default().otherwise = Some(claims.utm.clone().map(Cow::Owned));
}

/// Where a page is: without log-in, port, query and fragment.
pub fn place(page: &Page<'_>) -> String {
    let scheme = page.as_sent().split_once("://").map_or("", |(scheme, _)| scheme);
    let path = page.path().split(['?', '#']).next().unwrap_or("");
    format!("{}://{}{path}", scheme.to_ascii_lowercase(), page.hostname())
}

impl Admission<'_> {
    /// A program, by what it says of itself: it lands for nobody.
    pub fn is_program(&self) -> bool {
        self.ingest.is_program(self.hit)
    }

    /// Whom an event names.
    pub fn names(&self, event: &ParsedEvent<'_>, so_far: NamedUser) -> NamedUser {
        let site = self.entry.site.site.id;
        match event.user_id.as_ref() {
            "" => so_far,
            user_id => so_far.and(self.ingest.keys.of_user(site, user_id)),
        }
    }
}

impl Ingest {
    fn is_program(&self, hit: &Hit<'_>) -> bool {
        let agent = &hit.agent;
        self.enricher.bot(agent.user_agent, &agent.hints, &agent.headers).is_bot()
    }

    /// Appends the record of a landing to `buffer`.
    pub fn take_landing(
        &self,
        hit: &Hit<'_>,
        entry: &PixelEntry,
        landing: &LandingHit<'_>,
        buffer: Vec<u8>,
    ) -> Result<Vec<u8>, Rejection> {
        let (claims, site) = (landing.claims, &entry.site.site);
        if self.is_program(hit) {
            return Err(Rejection::malformed("", "a program's landing proves nothing"));
        }
        let visitor = self.visitor_of_click(entry, landing);
        let decision = match visitor.identification {
            Identification::Identified => Decision { verdict: Verdict::Full, ..*landing.decision },
            Identification::Anonymous => landing.decision.anonymous(),
        };
        let arrival = Arrival {
            site,
            pixel_id: claims.pixel_id,
            origin: Origin::OffSite,
            received_at_ms: hit.received_at_ms,
            // Nothing of the browser that landed: it is on its own events.
            agent: server_agent(""),
            language: "",
            screen: "",
        };
        let [source, medium, campaign, content, term] = &claims.utm;
        let overrides = Overrides {
            source: Some(text(source)),
            utm: Some([text(source), text(medium), text(campaign), text(content), text(term)]),
            bot: Some(text("")),
            ..Overrides::default()
        };
        let off_site = OffSite {
            visitor,
            decision: &decision,
            arrival,
            location: &Location::default(),
            overrides,
            repetition: "this click has landed already",
        };
        self.write_off_site(parsed(landing), &off_site, buffer)
    }

    /// The visitor that the click's event has.
    fn visitor_of_click(&self, entry: &PixelEntry, landing: &LandingHit<'_>) -> Visitor {
        let (claims, site) = (landing.claims, entry.site.site.id);
        if !landing.user_id.is_empty() {
            return identified(self.keys.of_named_visitor(site, landing.user_id));
        }
        // Known at the click is not enough: the landing must permit it as well, in the same browser.
        let permits = landing.decision.verdict == Verdict::Full;
        if let Some(visitor) = landing.visitor.filter(|known| *known == claims.visitor_id())
            && permits
        {
            return identified(visitor);
        }
        let kind = if claims.kind == ClickKind::Ad { "ad" } else { "mail" };
        self.visitor_of_campaign(site, kind, verdict_of(claims), &claims.utm[2])
    }
}

fn text(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

fn verdict_of(claims: &ClickClaims) -> &'static str {
    if claims.was_human { "human" } else { "unknown" }
}

fn parsed<'m>(landing: &LandingHit<'m>) -> ParsedEvent<'m> {
    let claims = landing.claims;
    let number = match claims.kind {
        ClickKind::Mail => claims.link_number.to_string(),
        _ => String::new(),
    };
    let given = [
        ("click", claims.kind.event()),
        ("campaign", &claims.utm[2]),
        ("template", &claims.template),
        ("link", landing.page),
        ("creative", &claims.creative),
        ("placement", &claims.placement),
        ("link_number", &number),
        ("click_verdict", verdict_of(claims)),
        ("verdict", "human"),
        ("reasons", "landed"),
    ];
    let mut truncated = false;
    let told = given.into_iter().filter(|(_, value)| !value.is_empty());
    let props = props_json(told.map(|(name, value)| (name, Cow::Borrowed(value))), &mut truncated);
    let click = u128::from_be_bytes(claims.click);
    ParsedEvent {
        name: Cow::Borrowed(CLICK_LANDED),
        event_id: Cow::Owned(format!("{CLICK_LANDED} {click:032x}")),
        user_id: Cow::Borrowed(landing.user_id),
        props: Cow::Owned(props),
        truncated,
        ..ParsedEvent::default()
    }
}
