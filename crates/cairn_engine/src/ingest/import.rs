//! The owner's import: one canonical event a line.
//!
//! Guarantees: a bad line is refused alone, with its number; lines keep their order. What the owner
//! states wins over what would be derived; his assertion of permission is the basis that is stored,
//! and opt-outs and erasures on record still hold.

use cairn_catalog::SiteEntry;
use cairn_enrich::{Location, RequestKind};
use cairn_model::limits::{FUTURE_MS_MAX, IMPORT_LINE_SIZE_BYTES_MAX};
use cairn_model::{Origin, PixelId, Verdict};

use super::consent::{RecordedConsent, Said, SentConsent};
use super::enrich::{AgentFacts, Arrival, apply_overrides, assemble, enrich};
use super::fields::{Sender, event};
use super::gate::{Signals, Standing, Visitor, Voice, consented, decide};
use super::json::Raw;
use super::parsed::{Context, ParsedEvent};
use super::rejection::Rejection;
use super::{Ingest, identified, lone, opted_out, timestamp};
use crate::record;

/// Reads the lines of one import call.
pub struct Importer<'i> {
    ingest: &'i Ingest,
    site: &'i SiteEntry,
    received_at_ms: i64,
    /// What the call and its body are known by, where its caller may repeat it.
    call: Option<[u8; 32]>,
}

/// A line that was read, whom it speaks for, and who he is.
type Checked<'l> = (ParsedEvent<'l>, Option<Context<'l>>, Visitor);

impl<'i> Importer<'i> {
    /// An import into a site, begun at this time.
    pub fn new(ingest: &'i Ingest, site: &'i SiteEntry, received_at_ms: i64) -> Self {
        Importer { ingest, site, received_at_ms, call: None }
    }

    /// Lines without an event id get one of the call and their number, so that repeating the call after a crash counts
    /// none of them twice. `call` must be another one for another body: its lines are other events.
    #[must_use]
    pub fn of_call(self, call: Option<[u8; 32]>) -> Self {
        Importer { call, ..self }
    }

    /// Appends the record of the line of this number (from 1), without its line end, to `buffer`. An empty line is
    /// nothing.
    pub fn line(
        &self,
        number: u64,
        line: &[u8],
        buffer: Vec<u8>,
    ) -> (Vec<u8>, Result<bool, Rejection>) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(u8::is_ascii_whitespace) {
            return (buffer, Ok(false));
        }
        match self.parse(line).and_then(|parsed| self.check(parsed)) {
            Ok(checked) => match self.write(number, checked, buffer) {
                Ok(buffer) => (buffer, Ok(true)),
                Err(rejection) => (Vec::new(), Err(rejection)),
            },
            Err(rejection) => (buffer, Err(rejection)),
        }
    }

    fn parse<'l>(&self, line: &'l [u8]) -> Result<ParsedEvent<'l>, Rejection> {
        if line.len() > IMPORT_LINE_SIZE_BYTES_MAX {
            return Err(Rejection::too_large("", "the line is over 64 KiB"));
        }
        let text = std::str::from_utf8(line).map_err(|fault| {
            let column = fault.valid_up_to() + 1;
            Rejection::malformed("", format!("broken UTF-8 at column {column}"))
        })?;
        let raw: &serde_json::value::RawValue = serde_json::from_str(text).map_err(|fault| {
            let what = fault.to_string();
            let what = what.split(" at line ").next().unwrap_or("");
            Rejection::malformed("", format!("broken JSON at column {}: {what}", fault.column()))
        })?;
        event(Raw(raw.get()), Sender::Import)
    }

    fn check<'l>(&self, mut parsed: ParsedEvent<'l>) -> Result<Checked<'l>, Rejection> {
        let latest_ms = self.received_at_ms.saturating_add(FUTURE_MS_MAX);
        if parsed.timestamp_ms.is_some_and(|timestamp_ms| timestamp_ms > latest_ms) {
            return Err(timestamp::in_future());
        }
        let keys = &self.ingest.keys;
        let site = self.site.site.id;
        let context = parsed.context.take();
        let named = parsed.overrides.as_ref().map_or("", |given| given.visitor_id.as_ref());
        let visitor = match &context {
            _ if !named.is_empty() => identified(keys.of_named_visitor(site, named)),
            Some(context) => {
                let address = context.address.as_ref().map(|address| address.ip());
                identified(keys.of_context(site, address, &context.user_agent))
            }
            None if !parsed.user_id.is_empty() => {
                identified(keys.of_named_visitor(site, &parsed.user_id))
            }
            None => lone(),
        };
        let user_key =
            if parsed.user_id.is_empty() { 0 } else { keys.of_user(site, &parsed.user_id) };
        // An export of events names visitors by their numbers; those of the opted out and erased are nobody's any more.
        let exported = number_of(named).unwrap_or(0);
        if [visitor.id.0, user_key, exported].into_iter().any(|it| self.site.is_opted_out(it)) {
            return Err(opted_out());
        }
        Ok((parsed, context, visitor))
    }

    fn write(
        &self,
        number: u64,
        (mut parsed, context, visitor): Checked<'_>,
        buffer: Vec<u8>,
    ) -> Result<Vec<u8>, Rejection> {
        let site = &self.site.site;
        let signals = Signals {
            opted_out: false,
            recorded: RecordedConsent::default(),
            sent: SentConsent::Nothing,
            said: Said::Now,
            gpc: false,
            standing: Standing::Own,
            voice: Voice::Owner,
        };
        let mut location = Location::default();
        let mut agent = AgentFacts::default();
        // Without a context there is nothing to judge.
        agent.headers.kind = RequestKind::Server;
        if let Some(context) = &context {
            agent.user_agent = &context.user_agent;
            agent.headers.kind = RequestKind::Import;
            if let Some(address) = &context.address {
                location = self.ingest.enricher.locate(address);
            }
        }
        let decision = decide(&signals, &site.privacy, location.region());
        debug_assert_eq!(decision.verdict, Verdict::Full);
        let overrides = parsed.overrides.take();
        let event = consented(parsed, &decision, site.id, visitor, &self.ingest.keys)
            .ok_or_else(opted_out)?;
        let arrival = Arrival {
            site,
            pixel_id: PixelId(0),
            origin: Origin::Import,
            received_at_ms: self.received_at_ms,
            agent,
            language: "",
            screen: "",
        };
        let found = enrich(&self.ingest.enricher, &event, &arrival, &location);
        let mut assembled = assemble(&event, &found, &arrival);
        if let (0, Some(call)) = (assembled.event_key, &self.call) {
            assembled.event_key = self.ingest.keys.of_import_line(site.id, call, number);
        }
        if let Some(overrides) = &overrides {
            apply_overrides(&mut assembled, overrides, &self.ingest.keys, &self.ingest.enricher);
        }
        record::encode(&assembled, buffer)
            .map_err(|_| Rejection::malformed("", "it cannot be stored"))
    }
}

/// A visitor's number, as events of the API have it.
fn number_of(name: &str) -> Option<u64> {
    let is_number = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then(|| u64::from_str_radix(name, 16).ok()).flatten()
}
