//! Opens and clicks of mails: from a request with a signed token to a record.
//!
//! Guarantees: the same gate, enrichment and record as every hit. Whom an event is about comes from the token and the
//! permission on record, never from a cookie: so a click gives no browser to anybody, and a forwarded mail joins no two
//! people (cookies are read for one thing only, a *no*). Without the recipient's permission, and for machines, the event
//! holds campaign, template and link, and its visitor is the campaign. A recipient's token counts once as a person's and
//! once as a machine's within seven days: repeating it is a `duplicate`. A shared one counts so for each sender and day.

pub mod rewrite;

use std::borrow::Cow;

use cairn_catalog::SiteEntry;
use cairn_enrich::mail::{
    MailAct, MailFacts, MailSign, MailTraces, MailVerdict, SenderClass, judge,
};
use cairn_enrich::{Location, RequestKind};
use cairn_model::{Choice, Origin, Verdict};

use super::consent::{Said, SentConsent};
use super::cookies::Cookies;
use super::enrich::Arrival;
use super::fields::props_json;
use super::gate::{Decision, Signals, Standing, Voice, decide};
use super::off_site::OffSite;
use super::page::without_query;
use super::parsed::{Overrides, ParsedEvent};
use super::{Hit, Ingest, Rejection, dropped, identified, opted_out, privacy_at, text};
use crate::token::Claims;

#[cfg(test)]
mod tests;

/// Name of the event of an open.
pub const EMAIL_OPEN: &str = "email_open";
/// Name of the event of a click.
pub const EMAIL_CLICK: &str = "email_click";
/// Name of the event of a followed link that stands outside of mails.
pub const LINK_CLICK: &str = "link_click";

/// What the recipient said about being followed in mails, as on record when the hit comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailPermission {
    /// The mail names nobody, or its recipient is not known any more.
    Nobody,
    /// This user agreed.
    Granted(String),
    /// The recipient took the permission back: nothing is kept, not even a number.
    Withdrawn,
}

/// A fetched image or a followed link.
pub struct MailHit<'a> {
    /// Open or click.
    pub act: MailAct,
    /// What the token says.
    pub claims: &'a Claims,
    /// What its recipient agreed to.
    pub permission: &'a MailPermission,
    /// What the mail saw lately.
    pub traces: MailTraces,
}

/// What was found about an open or a click that may be kept.
#[derive(Clone, Debug)]
pub struct JudgedMail {
    /// Person or machine.
    pub verdict: MailVerdict,
    /// The event is the recipient's, by his permission.
    pub is_recipients: bool,
    decision: Decision,
    location: Location,
}

impl Ingest {
    /// Appends the record of an open or a click to `buffer`.
    pub fn take_mail(
        &self,
        hit: &Hit<'_>,
        site: &SiteEntry,
        mail: &MailHit<'_>,
        buffer: Vec<u8>,
    ) -> (Vec<u8>, Result<JudgedMail, Rejection>) {
        let judged = match self.judge_mail(hit, site, mail) {
            Ok(judged) => judged,
            Err(rejection) => return (buffer, Err(rejection)),
        };
        match self.write_mail(&Context { hit, site, mail }, &judged, buffer) {
            Ok(buffer) => (buffer, Ok(judged)),
            Err(rejection) => (Vec::new(), Err(rejection)),
        }
    }

    /// Verdict and permission alone; `Err`: nothing may be kept.
    pub fn judge_mail(
        &self,
        hit: &Hit<'_>,
        site: &SiteEntry,
        mail: &MailHit<'_>,
    ) -> Result<JudgedMail, Rejection> {
        let location = self.enricher.locate(&hit.address);
        let verdict = verdict(hit, mail, &location);
        let decision = self.mail_decision(hit, site, mail, &location)?;
        // A scanner is not the recipient.
        let is_recipients = matches!(mail.permission, MailPermission::Granted(_))
            && decision.verdict == Verdict::Full
            && verdict.class != SenderClass::Machine;
        let decision = match is_recipients {
            false => decision.anonymous(),
            true => decision,
        };
        Ok(JudgedMail { verdict, is_recipients, decision, location })
    }

    fn mail_decision(
        &self,
        hit: &Hit<'_>,
        site: &SiteEntry,
        mail: &MailHit<'_>,
        location: &Location,
    ) -> Result<Decision, Rejection> {
        let id = site.site.id;
        let cookies = Cookies::parse(hit.cookies, hit.received_at_ms);
        let of_cookie = cookies.id.map(|cookie| self.keys.of_cookie(id, &cookie));
        let browser_opted_out = self.has_opted_out(&cookies, site);
        let user_key = mail.claims.user_key();
        let recipient_opted_out = user_key != 0 && site.is_opted_out(user_key);
        if *mail.permission == MailPermission::Withdrawn {
            return Err(opted_out());
        }
        let recorded = self.recorded(&cookies, site, of_cookie, hit.received_at_ms);
        let browser_denies =
            recorded.choices[0].is_some_and(|recorded| recorded.choice == Choice::Denied);
        let granted = matches!(mail.permission, MailPermission::Granted(_)) && !browser_denies;
        let analytics = if granted { Choice::Granted } else { Choice::Denied };
        let signals = Signals {
            opted_out: browser_opted_out || recipient_opted_out,
            recorded,
            // The sender of the mail vouches for what its recipient said.
            sent: SentConsent::Choices([Some(analytics), None, None, None]),
            said: Said::Now,
            gpc: hit.gpc,
            standing: Standing::Own,
            voice: Voice::Server,
        };
        let decision = decide(&signals, &privacy_at(&site.site, location), location.region());
        match decision.verdict {
            Verdict::Drop => Err(dropped(&signals)),
            _ => Ok(decision),
        }
    }

    fn write_mail(
        &self,
        context: &Context<'_>,
        judged: &JudgedMail,
        buffer: Vec<u8>,
    ) -> Result<Vec<u8>, Rejection> {
        let Context { hit, site, mail } = context;
        let JudgedMail { verdict, is_recipients, decision, location } = judged;
        let user_id = match mail.permission {
            MailPermission::Granted(user_id) if *is_recipients => user_id,
            _ => "",
        };
        let id = site.site.id;
        let sender = match mail.claims.shared {
            true => self.sender_of_shared(hit, site, verdict),
            false => Some(0),
        };
        let parsed = parsed(hit, mail, verdict, user_id, sender);
        let visitor = match user_id {
            "" => {
                let class = verdict.class.name();
                self.visitor_of_campaign(id, "mail", class, &mail.claims.campaign)
            }
            user_id => identified(self.keys.of_named_visitor(id, user_id)),
        };
        // What is known of the place is the proxy's or the scanner's, unless a person came himself.
        let is_direct = verdict
            .signs
            .iter()
            .all(|sign| matches!(sign, MailSign::Browser | MailSign::MailProgram));
        let nowhere = Location::default();
        let mut agent = hit.agent;
        // No verdict of web traffic: see `cairn_enrich::mail`.
        agent.headers.kind = RequestKind::Server;
        let arrival = Arrival {
            site: &site.site,
            pixel_id: mail.claims.pixel_id,
            origin: Origin::OffSite,
            received_at_ms: hit.received_at_ms,
            agent,
            language: if is_direct { text::first_language(hit.accept_language) } else { "" },
            screen: "",
        };
        let off_site = OffSite {
            visitor,
            decision,
            arrival,
            location: if is_direct { location } else { &nowhere },
            overrides: overrides(mail, verdict),
            repetition: "this open or click was counted already",
        };
        self.write_off_site(parsed, &off_site, buffer)
    }
}

impl Ingest {
    /// What a sender is told from others by where a mail or link is everybody's: his anonymous number of the day, whose
    /// key lives in memory only. `None`: a proxy, behind which are many.
    fn sender_of_shared(
        &self,
        hit: &Hit<'_>,
        site: &SiteEntry,
        verdict: &MailVerdict,
    ) -> Option<u64> {
        let is_proxy = verdict.signs.iter().any(|sign| {
            use MailSign::{AppleRelay, GmailPrefetch, GmailProxy, YahooProxy};
            matches!(sign, AppleRelay | GmailPrefetch | GmailProxy | YahooProxy)
        });
        (!is_proxy).then(|| self.sender_of_day(hit, site).0)
    }
}

struct Context<'a> {
    hit: &'a Hit<'a>,
    site: &'a SiteEntry,
    mail: &'a MailHit<'a>,
}

fn verdict(hit: &Hit<'_>, mail: &MailHit<'_>, location: &Location) -> MailVerdict {
    judge(&MailFacts {
        act: mail.act,
        user_agent: hit.agent.user_agent,
        headers: hit.agent.headers,
        marks: location.carrier.marks,
        asn: location.carrier.asn,
        age_ms: hit.received_at_ms.saturating_sub(mail.claims.issued_at_ms),
        traces: mail.traces,
    })
}

/// `sender`: what a repetition is recognised by besides the token; `None` = every one counts.
fn parsed<'m>(
    hit: &Hit<'m>,
    mail: &MailHit<'m>,
    verdict: &MailVerdict,
    user_id: &'m str,
    sender: Option<u64>,
) -> ParsedEvent<'m> {
    let claims = mail.claims;
    let message = format!("{:032x}", u128::from_be_bytes(claims.message));
    let number = claims.link.as_ref().map_or(0, |link| link.number).to_string();
    let kind = if verdict.class == SenderClass::Machine { "machine" } else { "person" };
    let name = match mail.act {
        MailAct::Open => EMAIL_OPEN,
        MailAct::Click if claims.mail => EMAIL_CLICK,
        MailAct::Click => LINK_CLICK,
    };
    let mut props: Vec<(&str, Cow<'_, str>)> = vec![("campaign", claims.campaign.as_str().into())];
    if !claims.template.is_empty() {
        props.push(("template", claims.template.as_str().into()));
    }
    if let Some(link) = &claims.link {
        // The target's query may say who he is.
        let target = link.target.split('#').next().unwrap_or("");
        props.push(("link", without_query(target).into()));
        props.push(("link_number", number.as_str().into()));
    }
    if !user_id.is_empty() {
        props.push(("mail", message.as_str().into()));
    }
    props.push(("verdict", verdict.class.name().into()));
    props.push(("reasons", verdict.reasons().into()));
    let mut truncated = false;
    let props = props_json(props.into_iter(), &mut truncated);
    ParsedEvent {
        name: Cow::Borrowed(name),
        event_id: sender.map_or(Cow::Borrowed(""), |sender| {
            Cow::Owned(format!("{name} {message} {number} {kind} {sender:x}"))
        }),
        // A mail's is the webmail's address, if anything.
        referrer: Cow::Borrowed(if claims.mail { "" } else { hit.referer }),
        user_id: Cow::Borrowed(user_id),
        props: Cow::Owned(props),
        truncated,
        ..ParsedEvent::default()
    }
}

fn overrides<'m>(mail: &MailHit<'m>, verdict: &MailVerdict) -> Overrides<'m> {
    let none = || Cow::Borrowed("");
    let campaign = Cow::Borrowed(mail.claims.campaign.as_str());
    let bot = match (verdict.class, verdict.signs.first()) {
        (SenderClass::Machine, Some(sign)) => Cow::Owned(format!("mail:{}", sign.name())),
        _ => none(),
    };
    let medium = if mail.claims.mail { Cow::Borrowed("email") } else { none() };
    Overrides {
        source: mail.claims.mail.then_some(Cow::Borrowed("email")),
        utm: Some([none(), medium, campaign, none(), none()]),
        bot: Some(bot),
        ..Overrides::default()
    }
}
