//! The body of `POST /e`.
//!
//! Guarantees: a fault of the envelope is one rejection with its position or field; a fault of one
//! event stays with that event. Bounded by the size of the body and the number of events.

use std::borrow::Cow;
use std::io::Read;

use cairn_model::limits::{BODY_SIZE_BYTES_MAX, EVENTS_PER_BODY_MAX};
use cairn_model::{Outcome, PixelKind};

use super::Telling;
use super::consent::SentConsent;
use super::fields::{Sender, decoration, event, not_a, text};
use super::formats::{Events, Terms};
use super::json::{Kind, Raw, document};
use super::parsed::ParsedEvent;
use super::rejection::Rejection;
use super::statement::{Shown, Signal, Statement, statement};
use super::text as texts;

/// A readable envelope; its events are not yet read.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// The pixel's key.
    pub key: Cow<'a, str>,
    /// The events, unread.
    pub events: Vec<Raw<'a>>,
    /// What the visitor said, if anything.
    pub consent: SentConsent,
    /// What he was shown when he said it, if that was told.
    pub shown: Option<Shown<'a>>,
    /// By what he said it, if that was told.
    pub signal: Option<Signal>,
    /// How it is told.
    pub telling: Telling,
    /// `WIDTHxHEIGHT`, for all events.
    pub screen: Cow<'a, str>,
    /// BCP 47 language, for all events.
    pub language: Cow<'a, str>,
}

/// An envelope that cannot be taken, with the number of events that go down with it.
#[derive(Debug)]
pub struct BrokenEnvelope {
    /// Why.
    pub rejection: Rejection,
    /// Events that were counted in it; 1 where they cannot be counted.
    pub events: usize,
}

impl From<Rejection> for BrokenEnvelope {
    fn from(rejection: Rejection) -> Self {
        BrokenEnvelope { rejection, events: 1 }
    }
}

/// Reads the envelope.
pub fn envelope(body: &[u8]) -> Result<Envelope<'_>, BrokenEnvelope> {
    if body.len() > BODY_SIZE_BYTES_MAX {
        return Err(Rejection::too_large("", "the body is over 64 KiB").into());
    }
    let fields = document(body)?;
    let mut events = Vec::new();
    if let Some((_, list)) = fields.iter().find(|(name, _)| name == "events") {
        events = list
            .elements()
            .ok_or_else(|| BrokenEnvelope::from(not_a("events", "JSON list of events")))?;
    }
    let count = events.len().max(1);
    let read = rest(&fields, events);
    read.map_err(|rejection| BrokenEnvelope { rejection, events: count })
}

fn rest<'a>(
    fields: &[(Cow<'a, str>, Raw<'a>)],
    events: Vec<Raw<'a>>,
) -> Result<Envelope<'a>, Rejection> {
    let mut envelope = Envelope {
        key: Cow::Borrowed(""),
        events,
        consent: SentConsent::Nothing,
        shown: None,
        signal: None,
        telling: Telling::default(),
        screen: Cow::Borrowed(""),
        language: Cow::Borrowed(""),
    };
    for (at, (name, value)) in fields.iter().enumerate() {
        if fields[..at].iter().any(|(earlier, _)| earlier == name) {
            let mut rejection = Rejection::malformed("", "given twice");
            rejection.field = Cow::Owned(texts::cut(name, 64).to_owned());
            return Err(rejection);
        }
        match name.as_ref() {
            "key" => envelope.key = text("key", *value)?,
            "events" => {}
            "consent" | "screen" | "language" | "timezone" if value.kind() == Kind::Null => {}
            "consent" => {
                let said = statement(*value)?;
                (envelope.consent, envelope.shown, envelope.signal) =
                    (said.sent, said.shown, said.signal);
                let Statement { age_ms, is_repeated, .. } = said;
                envelope.telling = Telling { age_ms, is_repeated, ..envelope.telling };
            }
            "screen" => envelope.screen = decoration(text("screen", *value)?, texts::screen),
            "language" => {
                envelope.language = decoration(text("language", *value)?, texts::language);
            }
            // Accepted for senders that know it; places come from the address.
            "timezone" => drop(text("timezone", *value)?),
            other => {
                let mut rejection = Rejection::unknown_field(other);
                rejection.message = Cow::Borrowed(
                    "no such field; an envelope has key, events, consent, screen, language, timezone",
                );
                return Err(rejection);
            }
        }
    }
    if envelope.key.is_empty() {
        return Err(Rejection::malformed("key", "missing"));
    }
    if envelope.events.len() > EVENTS_PER_BODY_MAX {
        return Err(Rejection::too_large("events", "more than 100 events"));
    }
    envelope.telling.alone = envelope.events.is_empty();
    if envelope.telling.alone && matches!(envelope.consent, SentConsent::Nothing) {
        return Err(Rejection::malformed("events", "empty, and there is no consent to record"));
    }
    Ok(envelope)
}

impl<'a> Events<'a> for Envelope<'a> {
    fn count(&self) -> usize {
        self.events.len()
    }

    fn event(&self, index: usize, terms: &Terms<'_>) -> Result<ParsedEvent<'a>, Rejection> {
        let sender = match terms.kind {
            PixelKind::Server => Sender::Server,
            _ => Sender::Public,
        };
        event(self.events[index], sender)
    }
}

/// The body behind `Content-Encoding: gzip`; reading stops at the limit, whatever it claims to hold.
pub fn unzipped(body: &[u8], size_bytes_max: usize) -> Result<Vec<u8>, Rejection> {
    let mut plain = Vec::with_capacity((body.len() * 4).min(size_bytes_max + 1));
    let limit = size_bytes_max as u64 + 1;
    flate2::read::MultiGzDecoder::new(body)
        .take(limit)
        .read_to_end(&mut plain)
        .map_err(|_| Rejection::malformed("", "Content-Encoding says gzip, but the body is not"))?;
    if plain.len() > size_bytes_max {
        let kib = size_bytes_max / 1024;
        let message = format!("the body is over {kib} KiB when decompressed");
        return Err(Rejection::too_large("", message));
    }
    Ok(plain)
}

/// The status code that answers a broken envelope.
pub fn status_of(outcome: Outcome) -> u16 {
    match outcome {
        Outcome::RejectedUnknownKey => 404,
        Outcome::RejectedTooLarge => 413,
        Outcome::RejectedRateLimited => 429,
        Outcome::UnavailableLogFull | Outcome::UnavailableOverloaded => 503,
        _ => 400,
    }
}
