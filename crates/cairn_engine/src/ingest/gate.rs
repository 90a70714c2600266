//! The consent gate: the one place that decides what may be kept of a hit.
//!
//! Guarantees: [`decide`] is a pure function of signals, settings and region; a [`ConsentedEvent`]
//! is made only here, by [`consented`], and without permission it holds no identifier: no cookie,
//! address, user id, traits, click id, event id, and of the page's and its items' queries only `utm_*`.
//! It does not know where signals come from or what they are later used for.

use std::borrow::Cow;

use cairn_consent::purposes::Rule;
use cairn_enrich::Region;
use cairn_model::site::GpcReach;
use cairn_model::{Basis, Choice, Identification, Policy, PrivacySettings, Purpose, Verdict};
use cairn_model::{PixelKind, SiteId, VisitorId};

use super::consent::{RecordedConsent, Said, SentConsent};
use super::json::{Raw, push_text};
use super::page::{filtered_query, filtered_route};
use super::parsed::ParsedEvent;
use super::visitor::IdentityKeys;

/// Where the request came from, as far as the site's list of origins tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Standing {
    /// A listed origin, or none was named.
    Own,
    /// A listed origin on another site than the pixel's, and the owner chose no cookies there; or a fixed
    /// image of mails and advertisements.
    CrossSite,
    /// Any other origin.
    Foreign,
}

impl Standing {
    /// The same for what a pixel of this kind reports. A fixed image in a mail or an advertisement is on no page of the
    /// site, whatever its request fails to say: it counts, and knows nobody. Who is known is in signed tokens, with the
    /// permission for it.
    pub fn of_pixel(self, kind: PixelKind) -> Standing {
        match (self, kind) {
            (Standing::Own, PixelKind::Email | PixelKind::Ad) => Standing::CrossSite,
            (standing, _) => standing,
        }
    }
}

/// Who says what the visitor said.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Voice {
    /// The visitor's own browser.
    Browser,
    /// The owner's server, with the pixel's secret key.
    Server,
    /// The owner, importing.
    Owner,
}

/// Everything that bears on permission.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Signals {
    /// An opt-out or an erasure is on record.
    pub opted_out: bool,
    /// The choice kept in the browser.
    pub recorded: RecordedConsent,
    /// The choice sent with the hit.
    pub sent: SentConsent,
    /// When it was said.
    pub said: Said,
    /// `Sec-GPC: 1`.
    pub gpc: bool,
    /// Where the request came from.
    pub standing: Standing,
    /// Who speaks.
    pub voice: Voice,
}

/// What may be done, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// Granted purposes in the order of [`Purpose::ALL`]; none unless the verdict is full.
    pub granted: [bool; 4],
    /// What it relied on.
    pub basis: Basis,
    /// In words, for people.
    pub reason: &'static str,
}

impl Decision {
    /// The same for an event that is to be nobody's, whatever was permitted.
    pub fn anonymous(self) -> Self {
        Decision { verdict: Verdict::Anonymous, granted: [false; 4], ..self }
    }

    /// The same on another site, before the browser has shown that it keeps cookies there.
    pub fn awaiting_cookie(self) -> Self {
        let reason = "cross-site, before its cookie came back";
        Decision { basis: Basis::ForeignOrigin, reason, ..self.anonymous() }
    }

    /// Whether identifiers may be kept for this purpose.
    pub fn grants(&self, purpose: Purpose) -> bool {
        Purpose::ALL.iter().zip(self.granted).any(|(known, granted)| *known == purpose && granted)
    }
}

/// The rules of the contract, in its order.
pub fn decide(signals: &Signals, privacy: &PrivacySettings, region: Region) -> Decision {
    let anonymous = |basis, reason| Decision {
        verdict: Verdict::Anonymous,
        granted: [false; 4],
        basis,
        reason,
    };
    let drop = |basis, reason| Decision { verdict: Verdict::Drop, ..anonymous(basis, reason) };
    if signals.opted_out {
        return drop(Basis::RecordedChoice, "opt-out or erasure on record");
    }
    if signals.voice == Voice::Owner {
        return Decision {
            verdict: Verdict::Full,
            granted: [true; 4],
            basis: Basis::OwnerAssertion,
            reason: "the owner asserts permission",
        };
    }
    let answers = [0, 1, 2, 3].map(|place| answer(place, signals, privacy, region));
    let (analytics, basis, reason) = answers[0];
    if analytics == Choice::Denied {
        return match privacy.policy {
            Policy::OptInStrict => drop(basis, reason),
            _ => anonymous(basis, reason),
        };
    }
    match signals.standing {
        Standing::Own => Decision {
            verdict: Verdict::Full,
            granted: answers.map(|(choice, ..)| choice == Choice::Granted),
            basis,
            reason,
        },
        Standing::CrossSite => anonymous(Basis::ForeignOrigin, "cross-site without cookies"),
        Standing::Foreign => anonymous(Basis::ForeignOrigin, "origin that the site does not list"),
    }
}

/// Whether a site may remember something for a browser.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryPermission {
    /// By a choice, or by the policy where nothing was said.
    Granted,
    /// Nothing was said, and the policy keeps nothing then; or the request came from somewhere else. What was permitted
    /// before stays as it is.
    Silent,
    /// No: what is there goes.
    Denied,
}

/// The contract's `functional`, which stands by itself: memory needs no permission for anything else.
pub fn memory_permission(
    signals: &Signals,
    privacy: &PrivacySettings,
    region: Region,
) -> MemoryPermission {
    debug_assert_eq!(Purpose::ALL[3], Purpose::Functional);
    if signals.opted_out {
        return MemoryPermission::Denied;
    }
    if signals.standing != Standing::Own {
        return MemoryPermission::Silent;
    }
    match answer(3, signals, privacy, region) {
        (Choice::Granted, ..) => MemoryPermission::Granted,
        // The browser's signal keeps nothing, and takes nothing back: it is no word to this site.
        (Choice::Denied, Basis::Gpc, _) => MemoryPermission::Silent,
        (Choice::Denied, basis, _) if basis.is_policy() => MemoryPermission::Silent,
        (Choice::Denied, ..) => MemoryPermission::Denied,
    }
}

/// The answer for one purpose, given by its place in [`Purpose::ALL`].
fn answer(
    place: usize,
    signals: &Signals,
    privacy: &PrivacySettings,
    region: Region,
) -> (Choice, Basis, &'static str) {
    let recorded = signals.recorded.choices[place];
    let newest = signals.recorded.newest(&signals.sent, signals.said, place);
    let explicit = newest.map(|(choice, was_sent)| match was_sent {
        true => (choice, sent_basis(signals), sent_reason(&signals.sent, choice)),
        false if choice == Choice::Granted => (choice, Basis::RecordedChoice, "granted, on record"),
        false => (choice, Basis::RecordedChoice, "denied, on record"),
    });
    let gpc = signals.gpc || signals.sent.tells_gpc();
    if gpc && gpc_reaches(Purpose::ALL[place], privacy.gpc) {
        let denied = explicit.filter(|(choice, ..)| *choice == Choice::Denied);
        let overridden = recorded
            .is_some_and(|recorded| recorded.choice == Choice::Granted && recorded.under_gpc);
        if denied.is_none() && !overridden {
            return (Choice::Denied, Basis::Gpc, "Global Privacy Control");
        }
    }
    explicit.unwrap_or_else(|| by_policy(privacy.policy, region))
}

fn sent_basis(signals: &Signals) -> Basis {
    if signals.voice == Voice::Server { Basis::Server } else { Basis::SentChoice }
}

/// In words, by what a choice was sent.
fn sent_reason(sent: &SentConsent, choice: Choice) -> &'static str {
    let rule = match sent {
        SentConsent::Unreadable(_) => return "consent string that counts as no",
        SentConsent::Told(told) => told.answers.rule,
        _ => Rule::None,
    };
    match (rule, choice) {
        (Rule::None, Choice::Granted) => "granted with the hit",
        (Rule::None, Choice::Denied) => "denied with the hit",
        (Rule::TcfPublisher, Choice::Granted) => "granted by a TC string's publisher segment",
        (Rule::TcfPublisher, Choice::Denied) => "denied by a TC string's publisher segment",
        (Rule::TcfPurposes, Choice::Granted) => "granted by a TC string's purposes",
        (Rule::TcfPurposes, Choice::Denied) => "denied by a TC string's purposes",
        (Rule::Canada, Choice::Granted) => "granted by a Canadian GPP section",
        (Rule::Canada, Choice::Denied) => "denied by a Canadian GPP section",
        (Rule::UsPrivacy, _) => "objected to sale by a US Privacy string",
        (Rule::Us, _) => "objected to by a GPP section of the United States",
        (Rule::SeveralUs, _) => "objected to by strings of the United States",
        (Rule::ConsentMode, Choice::Granted) => "granted by Google consent mode",
        (Rule::ConsentMode, Choice::Denied) => "denied by Google consent mode",
        (Rule::Several, Choice::Granted) => "granted by all that was sent",
        (Rule::Several, Choice::Denied) => "denied by some of what was sent",
    }
}

fn gpc_reaches(purpose: Purpose, reach: GpcReach) -> bool {
    reach == GpcReach::All || purpose == Purpose::Ads
}

fn by_policy(policy: Policy, region: Region) -> (Choice, Basis, &'static str) {
    let (choice, reason) = match (policy, region) {
        (Policy::Regional, Region::Other(_)) => (Choice::Granted, "silence; opt-out region"),
        (Policy::Regional, Region::Unknown) => (Choice::Denied, "silence; region unknown"),
        (Policy::Regional, _) => (Choice::Denied, "silence; opt-in region"),
        (Policy::OptOut, _) => (Choice::Granted, "silence; policy opt_out"),
        (Policy::OptIn, _) => (Choice::Denied, "silence; policy opt_in"),
        (Policy::OptInStrict, _) => (Choice::Denied, "silence; policy opt_in_strict"),
        (Policy::Anonymous, _) => (Choice::Denied, "silence; policy anonymous"),
    };
    (choice, Basis::of_policy(policy), reason)
}

/// Who the visitor is, as the decision allows it to be known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visitor {
    /// The number.
    pub id: VisitorId,
    /// Its kind.
    pub identification: Identification,
    /// Yesterday's anonymous number; 0 = none.
    pub previous: VisitorId,
}

/// An event that may be stored. Its fields can be read but not put back.
pub struct ConsentedEvent<'a> {
    parsed: ParsedEvent<'a>,
    visitor: Visitor,
    basis: Basis,
    event_key: u128,
    user_key: u64,
    keeps_click_id: bool,
    /// Set where the query that may be kept is not the one that was sent.
    query: Option<String>,
    /// Set where the path that may be kept is not the one that was sent.
    path: Option<String>,
}

impl<'a> ConsentedEvent<'a> {
    /// What is left of the event.
    pub fn parsed(&self) -> &ParsedEvent<'a> {
        &self.parsed
    }

    /// The visitor.
    pub fn visitor(&self) -> Visitor {
        self.visitor
    }

    /// What keeping it relies on.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// Keyed hash of the event id; 0 = it had none.
    pub fn event_key(&self) -> u128 {
        self.event_key
    }

    /// Keyed hash of the user id; 0 = none.
    pub fn user_key(&self) -> u64 {
        self.user_key
    }

    /// Whether an advertiser's click id may be kept.
    pub fn keeps_click_id(&self) -> bool {
        self.keeps_click_id
    }

    /// The query that may be kept.
    pub fn query(&self) -> &str {
        self.query.as_deref().unwrap_or_else(|| self.parsed.page.raw_query())
    }

    /// The path that may be kept: a client-side route may have a query of its own.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_else(|| self.parsed.page.path())
    }
}

/// Applies a decision; `None` where nothing may be kept. This is the only maker of [`ConsentedEvent`].
pub fn consented<'a>(
    mut parsed: ParsedEvent<'a>,
    decision: &Decision,
    site: SiteId,
    visitor: Visitor,
    keys: &IdentityKeys,
) -> Option<ConsentedEvent<'a>> {
    let event_key =
        if parsed.event_id.is_empty() { 0 } else { keys.of_event(site, &parsed.event_id) };
    let keeps_click_id = match decision.verdict {
        Verdict::Drop => return None,
        Verdict::Full => decision.grants(Purpose::Ads),
        Verdict::Anonymous => {
            parsed.event_id = Cow::Borrowed("");
            parsed.user_id = Cow::Borrowed("");
            parsed.traits = Cow::Borrowed("");
            parsed.sender_id = Cow::Borrowed("");
            false
        }
    };
    let full = decision.verdict == Verdict::Full;
    let raw = parsed.page.raw_query();
    let keeps = |name: &str| match (full, keeps_click_id) {
        (false, _) => name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("utm_")),
        (true, false) => !is_click_id(name),
        (true, true) => true,
    };
    if let Some(items) = kept_items(&parsed.items, &keeps) {
        parsed.items = Cow::Owned(items);
    }
    let changed = |kept: Cow<'_, str>| match kept {
        Cow::Borrowed(_) => None,
        Cow::Owned(kept) => Some(kept),
    };
    let query = changed(filtered_query(raw, keeps));
    let may_name = visitor.identification == Identification::Identified;
    let path = changed(filtered_route(parsed.page.path(), |name| may_name && keeps(name)));
    let user_key = if parsed.user_id.is_empty() { 0 } else { keys.of_user(site, &parsed.user_id) };
    Some(ConsentedEvent {
        parsed,
        visitor,
        basis: decision.basis,
        event_key,
        user_key,
        keeps_click_id,
        query,
        path,
    })
}

/// Items whose addresses keep what the page's query may keep; `None` where nothing changes.
fn kept_items(items: &str, keeps: &impl Fn(&str) -> bool) -> Option<String> {
    if !items.contains(['?', '#']) {
        return None;
    }
    let mut json = String::with_capacity(items.len());
    for (at, item) in Raw(items).elements()?.into_iter().enumerate() {
        json.push(if at == 0 { '[' } else { ',' });
        for (at, (name, value)) in item.fields()?.into_iter().enumerate() {
            json.push(if at == 0 { '{' } else { ',' });
            push_text(&mut json, &name);
            json.push(':');
            match value.text() {
                Some(text) => push_text(&mut json, &kept_address(&text, keeps)),
                None => json.push_str(value.0),
            }
        }
        json.push('}');
    }
    json.push(']');
    Some(json)
}

/// An address without fragment and without the parameters that may not be kept; other text as it is.
fn kept_address<'t>(text: &'t str, keeps: &impl Fn(&str) -> bool) -> Cow<'t, str> {
    if !text.contains("://") && !text.starts_with(['/', '?', '#']) {
        return Cow::Borrowed(text);
    }
    let address = text.split('#').next().unwrap_or(text);
    let Some((place, query)) = address.split_once('?') else {
        return Cow::Borrowed(address);
    };
    match filtered_query(query, keeps).as_ref() {
        "" => Cow::Borrowed(place),
        query => Cow::Owned(format!("{place}?{query}")),
    }
}

/// Parameters by which advertisers recognise a click, as their documentation names them, in any case.
const CLICK_ID_PARAMETERS: [&str; 23] = [
    "gclid",
    "gbraid",
    "wbraid",
    "dclid",
    "gclsrc",
    "gad_source",
    "gad_campaignid",
    "msclkid",
    "yclid",
    "ttclid",
    "twclid",
    "li_fat_id",
    "epik",
    "sccid",
    "rdt_cid",
    "qclid",
    "oppref",
    "irclickid",
    "fbclid",
    "igshid",
    "srsltid",
    "vmcid",
    "_gl",
];

fn is_click_id(name: &str) -> bool {
    CLICK_ID_PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(name))
}
