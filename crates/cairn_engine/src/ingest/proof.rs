//! Which choices become receipts, and what a receipt says.
//!
//! Guarantees: a choice is proven when it differs from what the browser has on record, and when it was made deliberately
//! (a request of its own that says how); repeating it with every hit, or late behind a newer one, proves nothing more. Whoever refuses is not named: a
//! visitor is part of a receipt only where the choice grants a purpose that permits to know him. A hit without a choice
//! costs one comparison. It knows neither the chain nor the disk.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use cairn_enrich::Region;
use cairn_model::receipt::{Answers, ChoiceMade};
use cairn_model::{Choice, Purpose, VisitorId};

use super::Admission;
use super::consent::{Said, SentConsent};
use super::gate::{Signals, Standing, Voice};
use super::halves::Halves;
use super::statement::{Shown, Signal};
use crate::record;

/// Receipts of the same refusal, sent along with events, by one address and agent, while they are remembered.
pub const REFUSALS_MAX: u16 = 32;
/// Receipts of any same choice by one address and agent that show no cookie: many people may share an address.
const STRANGERS_MAX: u16 = 600;
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
    fn may_prove(&self, key: impl Hash, most: u16, now_ms: i64) -> bool {
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

    fn receipt_of(&self, told: Told<'_>) -> Option<Vec<u8>> {
        let is_visitors = self.signals.voice == Voice::Browser
            && self.signals.standing != Standing::Foreign
            && !self.signals.opted_out;
        let now_ms = self.hit.received_at_ms;
        // The banner was answered once, however often the page repeats it.
        let told = if self.is_repetition() { Told::default() } else { told };
        let is_deliberate = self.choice_alone
            && (told.shown.is_some() || told.signal.is_some())
            && self.says_the_newest();
        if !is_visitors || !(is_deliberate || self.updated_record().is_some()) {
            return None;
        }
        let sent = &self.signals.sent;
        let answers = &[0, 1, 2, 3].map(|place| Some(sent.answer(place)?.choice));
        let subject = self.subject_of(answers);
        let is_refusal_beside_events = subject == VisitorId(0) && !self.choice_alone;
        let is_stranger = self.cookies.id.is_none() && self.cookies.consent.is_none();
        if is_refusal_beside_events || is_stranger {
            let most = if is_refusal_beside_events { REFUSALS_MAX } else { STRANGERS_MAX };
            let key = (self.sender(), answers, self.choice_alone);
            if !self.ingest.choices.may_prove(key, most, now_ms) {
                return None;
            }
        }
        let shown = told.shown.cloned().unwrap_or_default();
        let (site, region) = (&self.entry.site.site, self.location.region());
        let choice = ChoiceMade {
            site_id: site.id,
            at_ms: now_ms,
            subject,
            answers: *answers,
            version: shown.version,
            language: shown.language,
            signal: told.signal.or_else(|| Signal::of(sent)).unwrap_or(Signal::Page).name().into(),
            region: region_name(&region).into(),
            policy: self.privacy().policy.name().into(),
            gpc: self.signals.gpc,
        };
        record::encode_choice(&choice).ok()
    }

    fn is_repetition(&self) -> bool {
        matches!(self.signals.said, Said::Repeated(_))
    }

    /// Whether anything that was sent goes before what is on record.
    fn says_the_newest(&self) -> bool {
        let Signals { recorded, sent, said, .. } = &self.signals;
        let mut newest = (0..Purpose::ALL.len()).map(|at| recorded.newest(sent, *said, at));
        newest.any(|newest| newest.is_some_and(|(_, was_sent)| was_sent))
    }

    /// Whom the choice permits to know; 0 = nobody.
    fn subject_of(&self, answers: &Answers) -> VisitorId {
        let permits = |(purpose, answer): (&Purpose, &Option<Choice>)| {
            *purpose != Purpose::Functional && *answer == Some(Choice::Granted)
        };
        match Purpose::ALL.iter().zip(answers).any(permits) {
            true => self.known_visitor().or(self.untried).unwrap_or(VisitorId(0)),
            false => VisitorId(0),
        }
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
