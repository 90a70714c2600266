//! From a hit to a record of the log: decode, gate, enrich, encode.
//!
//! Guarantees: a [`Hit`] becomes a record only through the consent gate; each step has one maker
//! (`fields`/`query` make [`ParsedEvent`], `gate` makes `ConsentedEvent`, `enrich` assembles the
//! event). No step does I/O or waits. It knows neither HTTP nor where records go.

pub mod ad;
pub mod consent;
pub mod cookies;
pub mod enrich;
pub mod envelope;
pub mod fields;
pub mod formats;
pub mod gate;
mod halves;
pub mod import;
pub mod json;
pub mod landing;
pub mod mail;
pub mod money;
mod off_site;
pub mod page;
pub mod parsed;
pub mod postback;
mod prepared;
pub mod proof;
pub mod query;
pub mod rejection;
mod standing;
pub mod statement;
pub mod text;
pub mod timestamp;
pub mod traces;
pub mod visitor;
mod withdrawal;
mod word;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use cairn_catalog::{MasterSecret, PixelEntry, SiteEntry};
use cairn_enrich::{Address, Enricher, Location, SourceFacts};
use cairn_model::{
    Choice, CrossSiteCookies, Identification, Outcome, PixelKind, Policy, PrivacySettings, Purpose,
    Site, Verdict, VisitorId,
};

use cairn_store::event_ids::EventIds;
pub use consent::Telling;
use consent::{RecordedConsent, SentConsent};
use cookies::{Cookies, Jar, must_forget};
use enrich::AgentFacts;
use gate::{
    Decision, MemoryPermission, Signals, Standing, Visitor, Voice, decide, memory_permission,
};
pub use parsed::ParsedEvent;
use prepared::{Prepared, server_agent};
use proof::RecentChoices;
pub use rejection::Rejection;
pub use standing::is_listed;
use standing::standing;
use visitor::{AnonymousKeys, CookieId, IdentityKeys};
use withdrawal::{Spoken, Withdrawals};
pub use word::Heard;
use word::LastWords;

/// What the edge knows of a request. Texts that are missing are empty.
#[derive(Clone)]
pub struct Hit<'a> {
    /// The visitor's address, forwarded ones from trusted proxies included.
    pub address: Address,
    /// Agent, client hints and presence of headers.
    pub agent: AgentFacts<'a>,
    /// `Accept-Language`.
    pub accept_language: &'a str,
    /// `Origin`.
    pub origin: &'a str,
    /// `Referer`.
    pub referer: &'a str,
    /// `Sec-Fetch-Site: cross-site`.
    pub cross_site: bool,
    /// `Sec-GPC: 1`, exactly.
    pub gpc: bool,
    /// `Cookie`.
    pub cookies: &'a str,
    /// It came by HTTPS, as the visitor saw it.
    pub secure: bool,
    /// Arrival, Unix milliseconds.
    pub received_at_ms: i64,
}

/// The pipeline's tables and keys; shared by all threads.
pub struct Ingest {
    enricher: Arc<Enricher>,
    keys: IdentityKeys,
    anonymous: AnonymousKeys,
    /// What is stored already, where it is known at once.
    stored: Option<Arc<EventIds>>,
    withdrawals: Withdrawals,
    choices: RecentChoices,
    last_words: LastWords,
}

impl Ingest {
    /// Derives the keys of what is kept; anonymous keys are drawn as visitors come.
    pub fn new(enricher: Arc<Enricher>, master: &MasterSecret, session_timeout_ms: i64) -> Self {
        Ingest {
            enricher,
            keys: IdentityKeys::new(master),
            anonymous: AnonymousKeys::new(session_timeout_ms),
            stored: None,
            withdrawals: Withdrawals::default(),
            choices: RecentChoices::default(),
            last_words: LastWords::default(),
        }
    }

    /// Recognises repetitions of what is stored at once; the others are found when they are applied.
    pub fn knowing(self, stored: Arc<EventIds>) -> Self {
        Ingest { stored: Some(stored), ..self }
    }

    /// The keys of anonymous numbers, to destroy expired ones on time.
    pub fn anonymous_keys(&self) -> &AnonymousKeys {
        &self.anonymous
    }

    /// Source and channel, as reports show them, of visits by a link with these values.
    pub fn source_of_link(&self, source: &str, medium: &str, campaign: &str) -> (String, String) {
        let mut link = url::form_urlencoded::Serializer::new("https://site.invalid/?".to_owned());
        let values = [("utm_source", source), ("utm_medium", medium), ("utm_campaign", campaign)];
        link.extend_pairs(values.into_iter().filter(|(_, value)| !value.is_empty()));
        let link = link.finish();
        let facts = SourceFacts { url: &link, ..SourceFacts::default() };
        let found = self.enricher.attribute(&facts);
        (found.source.to_string(), found.channel.to_owned())
    }

    /// The keys of what is kept.
    pub fn keys(&self) -> &IdentityKeys {
        &self.keys
    }

    /// Whether a browser's visitor opted out of pixels: by the word in its cookie or by what is on record. That holds wherever
    /// a cookie is shown, also where cookies serve nothing else.
    fn has_opted_out(&self, cookies: &Cookies, site: &SiteEntry) -> bool {
        let of_cookie = |id| self.keys.of_cookie(site.site.id, &id).0;
        cookies.consent.is_some_and(|record| record.opted_out)
            || cookies.id.is_some_and(|id| site.is_opted_out(of_cookie(id)))
    }

    /// The choice on record in a browser, unless its visitor took it back while the request was under way.
    fn recorded(
        &self,
        cookies: &Cookies,
        site: &SiteEntry,
        visitor: Option<VisitorId>,
        now_ms: i64,
    ) -> RecordedConsent {
        let recorded = cookies.consent.unwrap_or_default();
        match visitor.and_then(|visitor| self.withdrawal_of(site, visitor, now_ms)) {
            Some((refused, at_ms)) => recorded.refusing(refused, at_ms),
            None => recorded,
        }
    }

    /// Judges a request: what its events may be, and which cookies the answer sets.
    pub fn admit<'r>(
        &'r self,
        hit: &'r Hit<'r>,
        entry: &'r PixelEntry,
        sent: SentConsent,
        telling: Telling,
    ) -> Admission<'r> {
        let site = &entry.site.site;
        let voice = match entry.pixel.kind {
            PixelKind::Server => Voice::Server,
            _ => Voice::Browser,
        };
        let with_cookies = entry.pixel.cross_site_cookies != CrossSiteCookies::None;
        let (standing, listed_origin) = standing(hit, site, with_cookies);
        let standing = standing.of_pixel(entry.pixel.kind);
        let uses_cookies = voice == Voice::Browser && standing == Standing::Own;
        let sent_cookies = match voice {
            Voice::Browser => Cookies::parse(hit.cookies, hit.received_at_ms),
            _ => Cookies::default(),
        };
        let opted_out = self.has_opted_out(&sent_cookies, &entry.site);
        let cookies = if uses_cookies { sent_cookies } else { Cookies::default() };
        let cookie_visitor = cookies.id.map(|id| self.keys.of_cookie(site.id, &id));
        let now_ms = hit.received_at_ms;
        let recorded = self.recorded(&cookies, &entry.site, cookie_visitor, now_ms);
        let sent = sent.at(hit.received_at_ms);
        let said = telling.said(hit.received_at_ms);
        let signals = Signals { opted_out, recorded, sent, said, gpc: hit.gpc, standing, voice };
        let location = match voice {
            Voice::Browser => self.enricher.locate(&hit.address),
            _ => Location::default(),
        };
        let decision = decide(&signals, &privacy_at(site, &location), location.region());
        let mut admission = Admission {
            ingest: self,
            hit,
            entry,
            signals,
            decision,
            latest: decision,
            location,
            cookies,
            uses_cookies,
            choice_alone: telling.alone,
            listed_origin,
            cookie_visitor,
            visitor: cookie_visitor.map(identified),
            new_id: None,
            untried: None,
            seen: Vec::new(),
            heard: None,
        };
        admission.greet();
        admission.await_cookie();
        admission.note_withdrawal();
        admission
    }
}

/// A judged request.
pub struct Admission<'r> {
    ingest: &'r Ingest,
    hit: &'r Hit<'r>,
    entry: &'r PixelEntry,
    signals: Signals,
    decision: Decision,
    /// The decision for the event that was taken last.
    latest: Decision,
    location: Location,
    cookies: Cookies,
    uses_cookies: bool,
    choice_alone: bool,
    listed_origin: bool,
    /// The visitor of the cookie that was sent.
    cookie_visitor: Option<VisitorId>,
    /// The visitor, once known.
    visitor: Option<Visitor>,
    new_id: Option<CookieId>,
    /// Whose `new_id` is, as long as nobody can tell whether the browser keeps it.
    untried: Option<VisitorId>,
    /// Keys of the event ids taken so far.
    seen: Vec<u128>,
    /// What the last event's own word calls for.
    heard: Option<Box<Heard>>,
}

/// What belongs to all events of an envelope.
#[derive(Clone, Copy, Default)]
pub struct Common<'a> {
    /// `WIDTHxHEIGHT`.
    pub screen: &'a str,
    /// BCP 47 language.
    pub language: &'a str,
}

impl<'r> Admission<'r> {
    /// The decision for the request as a whole.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The request.
    pub fn hit(&self) -> &'r Hit<'r> {
        self.hit
    }

    /// Its pixel.
    pub fn entry(&self) -> &'r PixelEntry {
        self.entry
    }

    /// The browser's anonymous number of the day, whatever its permission.
    pub fn sender(&self) -> VisitorId {
        self.anonymous(&self.entry.site, self.hit.address.ip(), self.hit.agent.user_agent).id
    }

    /// The browser's visitor by permission; `None` = not known.
    pub fn known_visitor(&self) -> Option<VisitorId> {
        let visitor = self.visitor.filter(|_| self.decision.verdict == Verdict::Full)?;
        (visitor.identification == Identification::Identified).then_some(visitor.id)
    }

    /// The browser got its first id with this request: nothing is known of it yet.
    pub fn is_new(&self) -> bool {
        self.new_id.is_some()
    }

    /// The decision for the event that was taken last: an event may bring words of its own.
    pub fn latest_decision(&self) -> &Decision {
        &self.latest
    }

    /// The visitor of the cookie that was sent, whatever is permitted now: what is held of him is his to see and to erase.
    pub fn held_visitor(&self) -> Option<VisitorId> {
        self.cookie_visitor
    }

    /// Nothing may be kept of this browser's hits.
    pub fn is_opted_out(&self) -> bool {
        self.signals.opted_out
    }

    /// Whether cookies count for this request: pages elsewhere have none.
    pub fn uses_cookies(&self) -> bool {
        self.uses_cookies
    }

    /// Code of the country and name of its part where the visitor is, as his network tells; empty = unknown.
    pub fn place(&self) -> (&str, &str) {
        (self.location.place.country.as_str(), &self.location.place.region)
    }

    /// Whether the browser's cookie names the visitor: `Some(true)` if the answer sets it only now.
    pub fn cookie_of_visitor(&self) -> Option<bool> {
        match (&self.new_id, self.cookie_visitor) {
            (Some(_), _) => Some(true),
            (None, Some(_)) => Some(false),
            (None, None) => None,
        }
    }

    /// The browser's `cairn_id`, where cookies count.
    pub fn cookie_id(&self) -> Option<CookieId> {
        self.cookies.id
    }

    /// The request names an origin that the site lists: it is echoed, with credentials.
    pub fn has_listed_origin(&self) -> bool {
        self.listed_origin
    }

    /// The visitor is to be asked: silence means no where he is, an answer would be remembered, and none is on record.
    pub fn asks(&self) -> bool {
        self.uses_cookies
            && self.decision.basis.is_policy()
            && self.decision.verdict != Verdict::Full
            && self.privacy().policy != Policy::Anonymous
    }

    /// The site's settings with the owner's rule for where the visitor is.
    fn privacy(&self) -> PrivacySettings {
        privacy_at(&self.entry.site.site, &self.location)
    }

    /// The choice on record in this browser.
    pub fn recorded(&self) -> RecordedConsent {
        self.signals.recorded
    }

    /// What becomes of a request that tells a choice and no event.
    pub fn outcome_of_choice(&self) -> Outcome {
        match self.signals.opted_out {
            true => Outcome::DroppedOptedOut,
            false => Outcome::Consent,
        }
    }

    /// Gives a new visitor his id, or an anonymous one his number.
    fn greet(&mut self) {
        if self.signals.voice != Voice::Browser {
            self.visitor = None;
            return;
        }
        match self.decision.verdict {
            Verdict::Drop => {}
            Verdict::Full if self.visitor.is_some() => {}
            Verdict::Full => {
                self.new_id = visitor::new_cookie_id();
                let site = self.entry.site.site.id;
                self.visitor =
                    self.new_id.map(|id| identified(self.ingest.keys.of_cookie(site, &id)));
            }
            Verdict::Anonymous => self.visitor = None,
        }
    }

    /// On another site browsers may keep no cookies: whoever shows none yet is known from his next request on, and without
    /// cookies never, instead of anew with every request.
    fn await_cookie(&mut self) {
        if !self.hit.cross_site || self.new_id.is_none() {
            return;
        }
        self.untried = self.visitor.take().map(|visitor| visitor.id);
        self.decision = self.decision.awaiting_cookie();
        self.latest = self.decision;
    }

    /// Gives a browser that is nobody yet, and may be known, the id that it has on another domain of the site; false: it is
    /// somebody, or whoever has that id opted out or took permission back.
    pub fn adopt(&mut self, id: CookieId) -> bool {
        let site = self.entry.site.site.id;
        let visitor = self.ingest.keys.of_cookie(site, &id);
        let has_left = self.entry.site.is_opted_out(visitor.0)
            || self
                .ingest
                .withdrawal_of(&self.entry.site, visitor, self.hit.received_at_ms)
                .is_some();
        if self.new_id.is_none() || has_left {
            return false;
        }
        self.new_id = Some(id);
        match &mut self.untried {
            Some(untried) => *untried = visitor,
            None => self.visitor = Some(identified(visitor)),
        }
        true
    }

    /// Remembers to what a visitor says no, until he says yes to it.
    fn note_withdrawal(&self) {
        let Some(visitor) = self.cookie_visitor else { return };
        if matches!(self.signals.sent, SentConsent::Nothing) {
            return;
        }
        let at_ms = self.signals.said.at_ms(self.hit.received_at_ms);
        let spoken = Spoken::of(&self.signals).without_objections();
        self.ingest.withdrawals.note(visitor, spoken, at_ms);
    }

    /// The newest choice about analytics, and whether it was sent with the request.
    fn newest_of_analytics(&self) -> Option<(Choice, bool)> {
        let Signals { recorded, sent, said, .. } = &self.signals;
        recorded.newest(sent, *said, 0)
    }

    /// What the browser's record becomes by what was sent; `None`: that says nothing new.
    fn updated_record(&self) -> Option<RecordedConsent> {
        let under_gpc = self.signals.gpc && self.choice_alone && !self.is_repetition();
        let Signals { recorded, sent, said, .. } = &self.signals;
        recorded.updated(sent, *said, under_gpc, self.hit.received_at_ms)
    }

    /// The record that the browser is to have after it said something, where it shows another one: as changed, or as it was
    /// changed by an answer that did not reach it.
    fn record_to_set(&self) -> Option<RecordedConsent> {
        let is_told = !matches!(self.signals.sent, SentConsent::Nothing);
        let (recorded, shown) = (self.signals.recorded, self.cookies.consent.unwrap_or_default());
        let is_behind = is_told && recorded.cookie_value() != shown.cookie_value();
        self.updated_record().or_else(|| is_behind.then_some(recorded))
    }

    /// Turns one event into a record at the end of `buffer`; without one, what comes back is `buffer` as it was.
    pub fn take(
        &mut self,
        parsed: ParsedEvent<'_>,
        common: Common<'_>,
        buffer: Vec<u8>,
    ) -> (Vec<u8>, Result<(), Rejection>) {
        match self.prepare(parsed, common) {
            Ok(prepared) => prepared.write(self, buffer),
            Err(rejection) => (buffer, Err(rejection)),
        }
    }

    fn prepare<'e>(
        &mut self,
        mut parsed: ParsedEvent<'e>,
        common: Common<'e>,
    ) -> Result<Prepared<'e>, Rejection> {
        if let Some(timestamp_ms) = parsed.timestamp_ms {
            timestamp::checked(timestamp_ms, self.hit.received_at_ms)?;
        }
        let site = &self.entry.site;
        let context = parsed.context.take();
        let (mut decision, location) = match &context {
            Some(context) if self.signals.voice == Voice::Server => {
                let location = context.address.as_ref().map(|at| self.ingest.enricher.locate(at));
                let location = location.unwrap_or_default();
                let privacy = privacy_at(&site.site, &location);
                (decide(&self.signals, &privacy, location.region()), Cow::Owned(location))
            }
            _ => (self.decision, Cow::Borrowed(&self.location)),
        };
        let own = self.own_word(&parsed);
        if let Some(own) = &own {
            let privacy = privacy_at(&site.site, &location);
            decision = decide(&own.signals, &privacy, location.region());
        }
        self.latest = decision;
        if !parsed.user_id.is_empty() {
            let user_key = self.ingest.keys.of_user(site.site.id, &parsed.user_id);
            if site.is_opted_out(user_key) {
                return Err(opted_out());
            }
        }
        if !parsed.sender_id.is_empty() {
            let sender = self.ingest.keys.of_sender(site.site.id, &parsed.sender_id);
            if site.is_opted_out(sender.0) {
                return Err(opted_out());
            }
        }
        if parsed.known_visitor != VisitorId(0) && site.is_opted_out(parsed.known_visitor.0) {
            return Err(opted_out());
        }
        let location = location.into_owned();
        if decision.verdict == Verdict::Drop {
            self.hear(own.as_ref(), &location);
            return Err(dropped(&self.signals));
        }
        let visitor = self.visitor_of(&parsed, &decision, context.as_ref());
        let event = gate::consented(parsed, &decision, site.site.id, visitor, &self.ingest.keys)
            .ok_or_else(|| dropped(&self.signals))?;
        if event.event_key() != 0 {
            if self.seen.contains(&event.event_key()) {
                return Err(repeated("an earlier event of this body has this id"));
            }
            let stored = self.ingest.stored.as_ref();
            let received_at_ms = self.hit.received_at_ms;
            if stored.is_some_and(|stored| stored.contains(event.event_key(), received_at_ms)) {
                return Err(repeated("an event with this id is stored already"));
            }
            self.seen.push(event.event_key());
        }
        // Only now: a repetition says nothing again.
        self.hear(own.as_ref(), &location);
        Ok(Prepared { event, location, context, common })
    }

    fn visitor_of(
        &mut self,
        parsed: &ParsedEvent<'_>,
        decision: &Decision,
        context: Option<&parsed::Context<'_>>,
    ) -> Visitor {
        let site = &self.entry.site;
        let names_sender = !parsed.sender_id.is_empty();
        if self.signals.voice == Voice::Browser
            && (names_sender || parsed.consent != SentConsent::Nothing)
        {
            return self.visitor_of_own_word(parsed, decision);
        }
        if self.signals.voice == Voice::Browser {
            let ip = self.hit.address.ip();
            let agent = self.hit.agent.user_agent;
            let known = self.visitor;
            let visitor = known.unwrap_or_else(|| self.anonymous(site, ip, agent));
            self.visitor = Some(visitor);
            return visitor;
        }
        if decision.verdict == Verdict::Full && parsed.known_visitor != VisitorId(0) {
            // Before the user id: a person's browser has a visitor already, and one person is not two.
            return identified(parsed.known_visitor);
        }
        if decision.verdict == Verdict::Full && names_sender {
            return identified(self.ingest.keys.of_sender(site.site.id, &parsed.sender_id));
        }
        if decision.verdict == Verdict::Full && !parsed.user_id.is_empty() {
            return identified(self.ingest.keys.of_named_visitor(site.site.id, &parsed.user_id));
        }
        match context {
            Some(parsed::Context { address: Some(address), user_agent }) => {
                self.anonymous(site, address.ip(), user_agent)
            }
            _ => lone(),
        }
    }

    /// The visitor of an event that brings its own id or consent: such events of one request need not
    /// agree with each other.
    fn visitor_of_own_word(&self, parsed: &ParsedEvent<'_>, decision: &Decision) -> Visitor {
        let site = &self.entry.site;
        if decision.verdict != Verdict::Full {
            return self.anonymous(site, self.hit.address.ip(), self.hit.agent.user_agent);
        }
        match self.cookie_visitor {
            Some(visitor) => identified(visitor),
            None if parsed.sender_id.is_empty() => lone(),
            None => identified(self.ingest.keys.of_sender(site.site.id, &parsed.sender_id)),
        }
    }

    fn anonymous(&self, site: &SiteEntry, ip: IpAddr, agent: &str) -> Visitor {
        let now_ms = self.hit.received_at_ms;
        let number = self.ingest.anonymous.number(site, now_ms, ip, agent);
        Visitor {
            id: number.current,
            identification: Identification::Anonymous,
            previous: number.previous,
        }
    }

    /// Whether the site may remember something for this browser.
    pub fn memory_permission(&self) -> MemoryPermission {
        let region = self.location.region();
        memory_permission(&self.signals, &self.privacy(), region)
    }

    /// The browser's `cairn_memory`, where cookies count.
    pub fn memory_cookie(&self) -> Option<CookieId> {
        self.cookies.memory
    }

    /// `cairn_memory` of a browser whose visitor said no to it: what it stands for is to be forgotten before the request
    /// is answered. The answer takes the cookie back.
    pub fn withdrawn_memory(&self) -> Option<CookieId> {
        let memory = self.cookies.memory?;
        (self.memory_permission() == MemoryPermission::Denied).then_some(memory)
    }

    /// The `Set-Cookie` headers that take `cairn_memory` back from whoever has one and said no to it.
    pub fn forget_memory(&self) -> Vec<String> {
        match self.cookies.has_memory && self.memory_permission() == MemoryPermission::Denied {
            true => self.jar().forget_memory(),
            false => Vec::new(),
        }
    }

    /// How cookies are to be set for this request.
    pub fn jar(&self) -> Jar {
        Jar {
            secure: self.hit.secure,
            cross_site: self.hit.cross_site,
            kind: self.entry.pixel.cross_site_cookies,
        }
    }

    /// The same request, made for what is remembered: that gives nobody an id.
    pub fn for_memory(mut self) -> Self {
        if self.new_id.take().is_some() {
            self.visitor = None;
        }
        self
    }

    /// The `Set-Cookie` headers of the answer; mostly none.
    pub fn set_cookies(&self) -> Vec<String> {
        let mut headers = self.forget_memory();
        if !self.uses_cookies || self.signals.opted_out {
            return headers;
        }
        let jar = self.jar();
        if let Some(id) = &self.new_id {
            headers.push(jar.id(id));
        }
        let newest = self.newest_of_analytics();
        debug_assert_eq!(Purpose::ALL[0], Purpose::Analytics);
        let denied = newest.is_some_and(|(choice, _)| choice == Choice::Denied);
        if must_forget(&self.cookies, &self.decision, denied) {
            headers.extend(jar.forget_id());
        }
        if let Some(record) = self.record_to_set() {
            headers.push(jar.consent(&record));
        }
        headers
    }
}

fn identified(id: VisitorId) -> Visitor {
    Visitor { id, identification: Identification::Identified, previous: VisitorId(0) }
}

fn lone() -> Visitor {
    Visitor {
        id: visitor::lone_visitor(),
        identification: Identification::Anonymous,
        previous: VisitorId(0),
    }
}

fn repeated(message: &'static str) -> Rejection {
    let mut rejection = Rejection::new(Outcome::Duplicate, message);
    rejection.field = Cow::Borrowed("event_id");
    rejection
}

fn opted_out() -> Rejection {
    Rejection::new(Outcome::DroppedOptedOut, "an opt-out or an erasure is on record")
}

fn dropped(signals: &Signals) -> Rejection {
    if signals.opted_out {
        return opted_out();
    }
    Rejection::new(Outcome::DroppedPolicy, "the site keeps nothing without a yes")
}

/// What holds for a visitor at this place.
fn privacy_at(site: &Site, location: &Location) -> PrivacySettings {
    site.privacy_at(location.place.country.as_str(), &location.place.region)
}
