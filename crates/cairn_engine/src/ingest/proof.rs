//! Which choices become receipts, and what a receipt says.
//!
//! Guarantees: a choice is proven when it differs from what the browser has on record, and when it was made deliberately
//! (a request of its own that says how); repeating it with every hit, or late behind a newer one, proves nothing more. Whoever refuses is not named: a
//! visitor is part of a receipt only where the choice grants a purpose that permits to know him. A hit without a choice
//! costs one comparison. It knows neither the chain nor the disk.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use cairn_catalog::SiteEntry;
use cairn_enrich::{Location, Region};
use cairn_model::receipt::{Answers, ChoiceMade};
use cairn_model::{Choice, PixelKind, Purpose, VisitorId};

use super::consent::{Said, SentConsent};
use super::gate::{Signals, Standing, Voice};
use super::halves::Halves;
use super::statement::{Shown, Signal};
use super::withdrawal::Spoken;
use super::word::take_word;
use super::{Admission, Hit, Ingest, privacy_at};
use crate::record;

/// Receipts of the same refusal, sent along with events, by one address and agent, while they are remembered.
pub const REFUSALS_MAX: u16 = 32;
/// Receipts of any same choice by one address and agent that show no cookie: many people may share an address.
pub(super) const STRANGERS_MAX: u16 = 600;
/// How long they are remembered, at least.
const CHOICES_MS: i64 = 10 * 60 * 1000;
/// Senders that are remembered in one half (about 20 bytes each).
const SENDERS_MAX: usize = 65_536;

/// How a choice was told.
#[derive(Clone, Copy, Default)]
pub struct Told<'a> {
    /// What was shown, if that was told.
    pub shown: Option<&'a Shown<'a>>,
    /// The signal, if that was told.
    pub signal: Option<Signal>,
}

/// Choices of senders that show no cookie, counted so that one of them cannot fill the disk. In memory only.
pub(super) struct RecentChoices {
    hasher: RandomState,
    choices: Mutex<Halves<u64, u16>>,
}

impl Default for RecentChoices {
    fn default() -> Self {
        let choices = Mutex::new(Halves::new(CHOICES_MS, SENDERS_MAX));
        RecentChoices { hasher: RandomState::default(), choices }
    }
}

impl RecentChoices {
    /// `most`: of this key, for the time that it is remembered.
    pub(super) fn may_prove(&self, key: impl Hash, most: u16, now_ms: i64) -> bool {
        let key = self.hasher.hash_one(key);
        let mut choices = self.choices.lock().unwrap_or_else(PoisonError::into_inner);
        choices.age(now_ms);
        let count = choices.entry(key);
        *count = count.saturating_add(1);
        *count <= most
    }
}

impl Admission<'_> {
    /// The record of the request's choice, if it is one to be proven.
    #[inline]
    pub fn receipt(&self, told: Told<'_>) -> Option<Vec<u8>> {
        match self.signals.sent {
            SentConsent::Nothing => None,
            _ => self.receipt_of(told),
        }
    }

    /// Who gives permission again whose no is kept with the site, as one that came with a message is, and the record of that:
    /// it holds from now on. To be asked once.
    pub fn permission_again(&self) -> Option<(VisitorId, Vec<u8>)> {
        let is_told = !matches!(self.signals.sent, SentConsent::Nothing);
        let sender = self.cookie_visitor.filter(|_| is_told)?;
        let spoken = Spoken::of(&self.signals).allowing();
        let at_ms = self.signals.said.at_ms(self.hit.received_at_ms);
        let word = take_word(&self.entry.site, sender, spoken, at_ms)?;
        Some((sender, record::encode_refusal(&word).ok()?))
    }

    fn receipt_of(&self, told: Told<'_>) -> Option<Vec<u8>> {
        // The banner was answered once, however often the page repeats it.
        let told = if self.is_repetition() { Told::default() } else { told };
        let is_deliberate = self.choice_alone
            && (told.shown.is_some() || told.signal.is_some())
            && self.says_the_newest();
        if !self.is_visitors() || !(is_deliberate || self.updated_record().is_some()) {
            return None;
        }
        let proving = Proving {
            hit: self.hit,
            site: &self.entry.site,
            location: &self.location,
            sent: &self.signals.sent,
            visitor: self.known_visitor().or(self.untried),
            is_alone: self.choice_alone,
            is_stranger: self.cookies.id.is_none() && self.cookies.consent.is_none(),
        };
        self.ingest.prove(&proving, told)
    }

    /// Whether what is said is a visitor's own word to this site. What stands in a mail or an advertisement has no visitor.
    pub(super) fn is_visitors(&self) -> bool {
        self.signals.voice == Voice::Browser
            && self.signals.standing != Standing::Foreign
            && !self.signals.opted_out
            && !matches!(self.entry.pixel.kind, PixelKind::Email | PixelKind::Ad)
    }

    pub(super) fn is_repetition(&self) -> bool {
        matches!(self.signals.said, Said::Repeated(_))
    }

    /// Whether anything that was sent goes before what is on record.
    fn says_the_newest(&self) -> bool {
        let Signals { recorded, sent, said, .. } = &self.signals;
        let mut newest = (0..Purpose::ALL.len()).map(|at| recorded.newest(sent, *said, at));
        newest.any(|newest| newest.is_some_and(|(_, was_sent)| was_sent))
    }

    /// The visitor who takes his permission back with this request.
    #[inline]
    pub fn withdrawn(&self) -> Option<VisitorId> {
        if matches!(self.signals.sent, SentConsent::Nothing) {
            return None;
        }
        let newest = self.newest_of_analytics();
        self.cookie_visitor.filter(|_| newest == Some((Choice::Denied, true)))
    }
}

/// A choice that is to be proven.
pub(super) struct Proving<'p> {
    pub hit: &'p Hit<'p>,
    pub site: &'p SiteEntry,
    pub location: &'p Location,
    pub sent: &'p SentConsent,
    /// Who may be known by it, if it grants what permits that.
    pub visitor: Option<VisitorId>,
    /// It came for itself, without events.
    pub is_alone: bool,
    /// Nothing but address and agent tells its sender from others.
    pub is_stranger: bool,
}

impl Proving<'_> {
    /// Whom the choice permits to know; 0 = nobody.
    fn subject(&self, answers: &Answers) -> VisitorId {
        let permits = |(purpose, answer): (&Purpose, &Option<Choice>)| {
            *purpose != Purpose::Functional && *answer == Some(Choice::Granted)
        };
        match Purpose::ALL.iter().zip(answers).any(permits) {
            true => self.visitor.unwrap_or(VisitorId(0)),
            false => VisitorId(0),
        }
    }
}

impl Ingest {
    /// The record of a choice; `None`: its sender had enough of them lately.
    pub(super) fn prove(&self, proving: &Proving<'_>, told: Told<'_>) -> Option<Vec<u8>> {
        let Proving { hit, sent, is_alone, .. } = proving;
        let answers = &[0, 1, 2, 3].map(|place| Some(sent.answer(place)?.choice));
        let subject = proving.subject(answers);
        let is_refusal_beside_events = subject == VisitorId(0) && !is_alone;
        if is_refusal_beside_events || proving.is_stranger {
            let most = if is_refusal_beside_events { REFUSALS_MAX } else { STRANGERS_MAX };
            let key = (self.sender_of_day(hit, proving.site), answers, is_alone);
            if !self.choices.may_prove(key, most, hit.received_at_ms) {
                return None;
            }
        }
        let shown = told.shown.cloned().unwrap_or_default();
        let (site, region) = (&proving.site.site, proving.location.region());
        let choice = ChoiceMade {
            site_id: site.id,
            at_ms: hit.received_at_ms,
            subject,
            answers: *answers,
            version: shown.version,
            language: shown.language,
            signal: told.signal.or_else(|| Signal::of(sent)).unwrap_or(Signal::Page).name().into(),
            region: region_name(&region).into(),
            policy: privacy_at(site, proving.location).policy.name().into(),
            gpc: hit.gpc,
        };
        record::encode_choice(&choice).ok()
    }
}

/// Where a visitor is, as the policy sees it.
fn region_name(region: &Region) -> &str {
    match region {
        Region::Eea => "eea",
        Region::Uk => "uk",
        Region::Switzerland => "switzerland",
        Region::Other(country) => country.as_str(),
        Region::Unknown => "unknown",
    }
}
