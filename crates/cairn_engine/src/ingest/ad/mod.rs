//! Impressions, views and clicks of advertisements: from a request with a signed token to a record.
//!
//! Guarantees: the same gate, enrichment and record as every hit. What it cost, whose campaign it is and where a click
//! leads come from the token; the request only describes. An advertisement stands on somebody else's page, so its events
//! are nobody's unless the owner chose cookies across sites, the page is one of the listed, and analysis *and*
//! advertising were agreed to. Otherwise, and for machines, the visitor is the campaign. No cookie is given out.
//! The same impression of the same sender counts once a day.

pub mod macros;
pub mod request;

use std::borrow::Cow;

use cairn_catalog::SiteEntry;
use cairn_enrich::Location;
use cairn_enrich::ad::{AdFacts, AdTraces, AdVerdict, judge};
use cairn_enrich::mail::SenderClass;
use cairn_model::{CrossSiteCookies, Origin, Purpose, Verdict, VisitorId};

use super::consent::{Said, SentConsent};
use super::cookies::Cookies;
use super::enrich::Arrival;
use super::fields::props_json;
use super::gate::{Decision, Signals, Standing, Voice, decide};
use super::off_site::OffSite;
use super::page::without_query;
use super::parsed::{Overrides, ParsedEvent};
use super::word::Word;
use super::{Heard, Hit, Ingest, Rejection, dropped, identified, privacy_at, standing, text};
use crate::token::{AdClaims, Claims};
use request::AdRequest;

#[cfg(test)]
mod tests;

/// Name of the event of an impression.
pub const AD_IMPRESSION: &str = "ad_impression";
/// Name of the event of an advertisement that was in view: half of it for a second.
pub const AD_VIEWABLE: &str = "ad_viewable";
/// Name of the event of a click.
pub const AD_CLICK: &str = "ad_click";

/// What happened to an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdAct {
    /// Its image was fetched.
    Impression,
    /// Its script saw it in view.
    View,
    /// Its link was followed.
    Click,
}

impl AdAct {
    /// The event's name.
    pub fn event(self) -> &'static str {
        match self {
            AdAct::Impression => AD_IMPRESSION,
            AdAct::View => AD_VIEWABLE,
            AdAct::Click => AD_CLICK,
        }
    }
}

/// A fetched image or a followed link of an advertisement.
pub struct AdHit<'a> {
    /// What happened.
    pub act: AdAct,
    /// What the token says.
    pub claims: &'a Claims,
    /// What it says of advertisements.
    pub ad: &'a AdClaims,
    /// What the address says besides.
    pub request: &'a AdRequest<'a>,
    /// What its sender did with it lately; nothing for images.
    pub traces: AdTraces,
}

/// What was found about an advertisement's hit that may be kept.
#[derive(Clone, Debug)]
pub struct JudgedAd {
    /// Person or machine.
    pub verdict: AdVerdict,
    /// The browser, where permission lets it be known.
    pub visitor: Option<VisitorId>,
    decision: Decision,
}

impl Ingest {
    /// Appends the record of an advertisement's event to `buffer`.
    pub fn take_ad(
        &self,
        hit: &Hit<'_>,
        site: &SiteEntry,
        ad: &AdHit<'_>,
        buffer: Vec<u8>,
    ) -> (Vec<u8>, Result<JudgedAd, Rejection>) {
        let judged = match self.judge_ad(hit, site, ad) {
            Ok(judged) => judged,
            Err(rejection) => return (buffer, Err(rejection)),
        };
        match self.write_ad(hit, site, ad, &judged, buffer) {
            Ok(buffer) => (buffer, Ok(judged)),
            Err(rejection) => (Vec::new(), Err(rejection)),
        }
    }

    /// Verdict and permission alone; `Err`: nothing may be kept.
    pub fn judge_ad(
        &self,
        hit: &Hit<'_>,
        site: &SiteEntry,
        ad: &AdHit<'_>,
    ) -> Result<JudgedAd, Rejection> {
        let location = self.enricher.locate(&hit.address);
        let agent = &hit.agent;
        let verdict = judge(&AdFacts {
            is_click: ad.act == AdAct::Click,
            user_agent: agent.user_agent,
            bot: self.enricher.bot(agent.user_agent, &agent.hints, &agent.headers),
            headers: agent.headers,
            marks: location.carrier.marks,
            asn: location.carrier.asn,
            traces: ad.traces,
        });
        let (signals, of_cookie) = self.ad_signals(hit, site, ad);
        let decision = decide(&signals, &privacy_at(&site.site, &location), location.region());
        if decision.verdict == Verdict::Drop {
            return Err(dropped(&signals));
        }
        let may_know = decision.verdict == Verdict::Full
            && decision.grants(Purpose::Ads)
            && verdict.class != SenderClass::Machine;
        let visitor = of_cookie.filter(|_| may_know);
        let decision = match visitor {
            Some(_) => decision,
            None => decision.anonymous(),
        };
        Ok(JudgedAd { verdict, visitor, decision })
    }

    /// What bears on permission, and the visitor of the cookie that was sent.
    fn ad_signals(
        &self,
        hit: &Hit<'_>,
        site: &SiteEntry,
        ad: &AdHit<'_>,
    ) -> (Signals, Option<VisitorId>) {
        let id = site.site.id;
        let cookies = Cookies::parse(hit.cookies, hit.received_at_ms);
        let of_cookie = cookies.id.map(|cookie| self.keys.of_cookie(id, &cookie));
        let with_cookies = site.pixels.iter().any(|pixel| {
            pixel.id == ad.claims.pixel_id && pixel.cross_site_cookies != CrossSiteCookies::None
        });
        let standing = match standing(hit, &site.site, with_cookies).0 {
            // Nothing says that the page is the owner's.
            Standing::Own if !with_cookies => Standing::CrossSite,
            standing => standing,
        };
        let signals = Signals {
            opted_out: self.has_opted_out(&cookies, site),
            recorded: match standing {
                Standing::Own => self.recorded(&cookies, site, of_cookie, hit.received_at_ms),
                _ => Default::default(),
            },
            sent: ad.request.consent.at(hit.received_at_ms),
            said: Said::Now,
            gpc: hit.gpc,
            standing,
            voice: Voice::Browser,
        };
        (signals, of_cookie)
    }

    /// Notes the word that came with an advertisement's hit, where anything relies on it: its browser is known on the
    /// owner's own page. Elsewhere it is the page's word to its own partners about nobody whom this site could know.
    pub fn hear_ad(&self, hit: &Hit<'_>, site: &SiteEntry, ad: &AdHit<'_>) -> Option<Heard> {
        if ad.request.consent == SentConsent::Nothing || hit.cookies.is_empty() {
            return None;
        }
        let (signals, of_cookie) = self.ad_signals(hit, site, ad);
        if of_cookie.is_none() || signals.standing != Standing::Own || signals.opted_out {
            return None;
        }
        let location = self.enricher.locate(&hit.address);
        let privacy = privacy_at(&site.site, &location);
        let decision = decide(&signals, &privacy, location.region());
        // Whoever is not known to advertising is nobody here.
        let decision = match decision.grants(Purpose::Ads) {
            true => &decision,
            false => &decision.anonymous(),
        };
        let (signals, location) = (&signals, &location);
        Some(self.hear(&Word {
            hit,
            site,
            location,
            signals,
            decision,
            of_cookie,
            of_sender: None,
        }))
    }

    fn write_ad(
        &self,
        hit: &Hit<'_>,
        site: &SiteEntry,
        ad: &AdHit<'_>,
        judged: &JudgedAd,
        buffer: Vec<u8>,
    ) -> Result<Vec<u8>, Rejection> {
        let id = site.site.id;
        let class = judged.verdict.class;
        let of_campaign = || self.visitor_of_campaign(id, "ad", class.name(), &ad.claims.campaign);
        let visitor = judged.visitor.map_or_else(of_campaign, identified);
        let sender = judged.visitor.unwrap_or_else(|| self.sender_of_day(hit, site)).0;
        let parsed = parsed(hit, ad, &judged.verdict, sender);
        let is_person = class != SenderClass::Machine;
        let location = self.enricher.locate(&hit.address);
        let location = if is_person { location } else { Location::default() };
        let arrival = Arrival {
            site: &site.site,
            pixel_id: ad.claims.pixel_id,
            origin: Origin::OffSite,
            received_at_ms: hit.received_at_ms,
            agent: hit.agent,
            language: text::first_language(hit.accept_language),
            screen: "",
        };
        let off_site = OffSite {
            visitor,
            decision: &judged.decision,
            arrival,
            location: &location,
            overrides: overrides(ad, &judged.verdict),
            repetition: "this impression or click was counted already",
        };
        self.write_off_site(parsed, &off_site, buffer)
    }
}

/// The same impression has the same id: by the ad server's number or the cache buster, else by the second. `sender` is
/// the number that the event itself has, so that two people never have one, and nobody's other number stands in it.
fn impression_of(hit: &Hit<'_>, ad: &AdHit<'_>, verdict: &AdVerdict, sender: u64) -> String {
    let name = ad.act.event();
    let message = u128::from_be_bytes(ad.claims.message);
    let kind = if verdict.class == SenderClass::Machine { "machine" } else { "person" };
    match ad.request.impression() {
        "" => {
            let second = hit.received_at_ms.div_euclid(1000);
            format!("{name} {message:032x} {kind} {sender:x} at {second}")
        }
        number => format!("{name} {message:032x} {kind} {sender:x} {number}"),
    }
}

fn parsed<'m>(hit: &Hit<'m>, ad: &AdHit<'m>, verdict: &AdVerdict, sender: u64) -> ParsedEvent<'m> {
    let (claims, request) = (ad.ad, ad.request);
    let signed_or = |signed: &'m str, told: &'m str| if signed.is_empty() { told } else { signed };
    let costs = match ad.act {
        AdAct::Impression => !claims.costs_clicks,
        AdAct::View => false,
        AdAct::Click => claims.costs_clicks,
    };
    let link = ad.claims.link.as_ref().map_or("", |link| {
        // The target's query may say who he is.
        without_query(&link.target)
    });
    let reasons = verdict.reasons.join(",");
    let given = [
        ("campaign", ad.claims.campaign.as_str()),
        ("creative", signed_or(&claims.creative, &request.creative)),
        ("placement", signed_or(&claims.placement, &request.placement)),
        ("site", &request.site),
        ("price", &request.price),
        ("cost", if costs { &claims.cost } else { "" }),
        ("cost_currency", if costs { &claims.cost_currency } else { "" }),
        ("link", link),
        ("verdict", verdict.class.name()),
        ("reasons", &reasons),
    ];
    let mut truncated = false;
    let told = given.into_iter().filter(|(_, value)| !value.is_empty());
    let props = props_json(told.map(|(name, value)| (name, Cow::Borrowed(value))), &mut truncated);
    ParsedEvent {
        name: Cow::Borrowed(ad.act.event()),
        event_id: Cow::Owned(impression_of(hit, ad, verdict, sender)),
        referrer: Cow::Borrowed(hit.referer),
        props: Cow::Owned(props),
        truncated,
        ..ParsedEvent::default()
    }
}

fn overrides<'m>(ad: &AdHit<'m>, verdict: &AdVerdict) -> Overrides<'m> {
    let claims = ad.ad;
    let text = |text: &'m str| Cow::Borrowed(text);
    let bot = match (verdict.class, verdict.reasons.first()) {
        (SenderClass::Machine, Some(reason)) => Cow::Owned(format!("ad:{reason}")),
        _ => Cow::Borrowed(""),
    };
    Overrides {
        source: Some(text(&claims.source)),
        utm: Some([
            text(&claims.source),
            text(&claims.medium),
            text(&ad.claims.campaign),
            text(&claims.content),
            text(&claims.term),
        ]),
        bot: Some(bot),
        ..Overrides::default()
    }
}
