//! What a sender says of his choice with each event: messages of other products' formats, and advertisements.
//!
//! Guarantees: such a word is proven when it is not what its visitor said last, and not when it is late behind a newer one;
//! a *no* to a purpose, of somebody who is known, holds for what he sends without a word on it from then on. These senders
//! keep no record of ours, so the last word of each is remembered: in memory, bounded, for a day or two, and what it says no
//! to with its site, on disk.
//! An event without a word costs nothing.

use std::sync::{Mutex, PoisonError};

use cairn_catalog::SiteEntry;
use cairn_enrich::Location;
use cairn_model::receipt::Answers;
use cairn_model::refusal::Refusal;
use cairn_model::{Choice, Verdict, VisitorId};

use super::consent::{Said, SentConsent};
use super::gate::{Decision, Signals, decide};
use super::halves::Halves;
use super::proof::{Proving, STRANGERS_MAX, Told};
use super::withdrawal::{Refused, Spoken};
use super::{Admission, Hit, Ingest, ParsedEvent, privacy_at};
use crate::record;

/// How long a last word is remembered, at least.
const WORDS_MS: i64 = 24 * 60 * 60 * 1000;
/// Visitors whose last words are remembered in one half (about 50 bytes each).
const VISITORS_MAX: usize = 32_768;

#[derive(Clone, Copy)]
struct LastWord {
    answers: Answers,
    at_ms: i64,
    is_proven: bool,
}

/// The last word of each sender. In memory only.
pub(super) struct LastWords(Mutex<Halves<VisitorId, LastWord>>);

impl Default for LastWords {
    fn default() -> Self {
        LastWords(Mutex::new(Halves::new(WORDS_MS, VISITORS_MAX)))
    }
}

impl LastWords {
    fn with<T>(&self, change: impl FnOnce(&mut Halves<VisitorId, LastWord>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A word, and what was made of it.
pub(super) struct Word<'w> {
    pub hit: &'w Hit<'w>,
    pub site: &'w SiteEntry,
    pub location: &'w Location,
    /// With the word, and what is on record.
    pub signals: &'w Signals,
    pub decision: &'w Decision,
    /// The visitor of the browser's cookie.
    pub of_cookie: Option<VisitorId>,
    /// The visitor by the sender's own name for itself.
    pub of_sender: Option<VisitorId>,
}

/// What a word calls for beside its event.
#[derive(Debug, Default)]
pub struct Heard {
    /// Its receipt, if it has one.
    pub receipt: Option<Vec<u8>>,
    /// Records of what it changes in what is kept of its sender's last no.
    pub refusals: Vec<Vec<u8>>,
    /// Whose word it is.
    pub visitor: VisitorId,
    /// Whose word it may be: of the cookie, and by the sender's own name for itself.
    pub visitors: [Option<VisitorId>; 2],
    /// Who takes permission back with it.
    pub withdrawn: [Option<VisitorId>; 2],
}

impl Word<'_> {
    fn visitors(&self) -> [Option<VisitorId>; 2] {
        [self.of_cookie, self.of_sender]
    }

    /// Whether its visitor is known without it.
    fn is_of_known(&self, last: Option<LastWord>) -> bool {
        let granted = |last: LastWord| last.answers[0] == Some(Choice::Granted);
        let silent = Signals { sent: SentConsent::Nothing, ..*self.signals };
        let privacy = privacy_at(&self.site.site, self.location);
        self.of_cookie.is_some()
            || last.is_some_and(granted)
            || decide(&silent, &privacy, self.location.region()).verdict == Verdict::Full
    }
}

impl Ingest {
    /// Notes a word: what it takes back or gives again, and its receipt.
    pub(super) fn hear(&self, word: &Word<'_>) -> Heard {
        let Some(visitor) = word.of_cookie.or(word.of_sender) else { return Heard::default() };
        let Signals { recorded, sent, said, .. } = word.signals;
        let now_ms = word.hit.received_at_ms;
        let at_ms = said.at_ms(now_ms);
        let last = self.last_words.with(|words| words.get(&visitor).copied());
        let mut heard = Heard { visitor, visitors: word.visitors(), ..Heard::default() };
        if last.is_some_and(|last| at_ms < last.at_ms) {
            return heard;
        }
        let is_of_known = word.is_of_known(last);
        if is_of_known && recorded.newest(sent, *said, 0) == Some((Choice::Denied, true)) {
            heard.withdrawn = word.visitors();
        }
        let visitors = || word.visitors().into_iter().flatten();
        let says_no = |it| self.withdrawal_of(word.site, it, now_ms).is_some();
        let spoken = match is_of_known
            || word.decision.verdict == Verdict::Full
            || visitors().any(says_no)
        {
            true => Spoken::of(word.signals),
            // What nobody known refuses, silence refuses too.
            false => Spoken::of(word.signals).allowing(),
        };
        visitors().for_each(|it| self.withdrawals.note(it, spoken, at_ms));
        heard.refusals = self.keep(word, spoken, at_ms);
        let answers = [0, 1, 2, 3].map(|place| Some(sent.answer(place)?.choice));
        let is_new = last.is_none_or(|last| last.answers != answers || !last.is_proven);
        let is_record_new = recorded.updated(sent, *said, false, now_ms).is_some();
        if is_new && is_record_new {
            heard.receipt = self.prove(
                &Proving {
                    hit: word.hit,
                    site: word.site,
                    location: word.location,
                    sent,
                    visitor: Some(visitor).filter(|_| word.decision.verdict == Verdict::Full),
                    is_alone: false,
                    is_stranger: word.of_cookie.is_none(),
                },
                Told::default(),
            );
        }
        let is_proven = !is_new || !is_record_new || heard.receipt.is_some();
        let word = LastWord { answers, at_ms, is_proven };
        self.last_words.with(|words| words.insert(visitor, word, now_ms));
        heard
    }

    /// Keeps with the site what a word says no and yes to, where that is something else than before. Gives the records to be
    /// written: at a change only, and of one address no more than receipts are.
    fn keep(&self, word: &Word<'_>, spoken: Spoken, at_ms: i64) -> Vec<Vec<u8>> {
        let (site_id, now_ms) = (word.site.site.id, word.hit.received_at_ms);
        let may_keep = |sender| {
            let key = ("refusal", site_id.0, word.hit.address.ip());
            spoken == spoken.allowing()
                || word.site.refusal_of(sender, now_ms).is_some()
                || self.choices.may_prove(key, STRANGERS_MAX, now_ms)
        };
        let kept = |sender| {
            if !may_keep(sender) {
                return None;
            }
            record::encode_refusal(&take_word(word.site, sender, spoken, at_ms)?).ok()
        };
        word.visitors().into_iter().flatten().filter_map(kept).collect()
    }

    /// The records of somebody's word could not be written: the same word is to be proven when it comes again.
    pub fn unproven(&self, visitor: VisitorId) {
        self.last_words.with(|words| {
            if let Some(last) = words.get_mut(&visitor) {
                last.is_proven = false;
            }
        });
    }
}

/// Has a site take a sender's word; gives what is to be written of it.
pub(super) fn take_word(
    site: &SiteEntry,
    sender: VisitorId,
    spoken: Spoken,
    at_ms: i64,
) -> Option<Refusal> {
    if spoken == Spoken::default() {
        return None;
    }
    let after = |known: Option<u8>| spoken.after(Refused::of_mark(known.unwrap_or(0))).mark();
    site.take_word(sender, at_ms, after)
}

/// What bears on an event beside what bears on its request.
pub(super) struct OwnWord {
    /// With the event's word and what its sender said before.
    pub signals: Signals,
    of_sender: Option<VisitorId>,
    is_told: bool,
}

impl Admission<'_> {
    /// An event's own word, or one that its sender said before; `None`: what bears on the request holds.
    pub(super) fn own_word(&self, parsed: &ParsedEvent<'_>) -> Option<OwnWord> {
        let is_told = parsed.consent != SentConsent::Nothing;
        if !is_told && parsed.sender_id.is_empty() {
            return None;
        }
        let names_itself = !parsed.sender_id.is_empty() && self.is_visitors();
        let of_sender = names_itself
            .then(|| self.ingest.keys.of_sender(self.entry.site.site.id, &parsed.sender_id));
        let now_ms = self.hit.received_at_ms;
        let of_site = |sender| self.ingest.withdrawal_of(&self.entry.site, sender, now_ms);
        let withdrawal = of_sender.and_then(of_site);
        if !is_told && withdrawal.is_none() {
            return None;
        }
        let mut signals = self.signals;
        if let Some((refused, at_ms)) = withdrawal {
            signals.recorded = signals.recorded.refusing(refused, at_ms);
        }
        if is_told {
            signals.sent = parsed.consent.at(now_ms);
            signals.said =
                parsed.timestamp_ms.map_or(Said::Now, |at_ms| Said::At(at_ms.min(now_ms)));
        }
        Some(OwnWord { signals, of_sender, is_told })
    }

    /// Notes the word of an event that was judged by it.
    pub(super) fn hear(&mut self, own: Option<&OwnWord>, location: &Location) {
        let Some(own) = own.filter(|own| own.is_told && self.is_visitors()) else { return };
        let heard = self.ingest.hear(&Word {
            hit: self.hit,
            site: &self.entry.site,
            location,
            signals: &own.signals,
            decision: &self.latest,
            of_cookie: self.cookie_visitor,
            of_sender: own.of_sender,
        });
        self.heard = Some(Box::new(heard));
    }

    /// What the word of the event that was taken last calls for.
    pub fn heard(&mut self) -> Option<Box<Heard>> {
        self.heard.take()
    }
}
