//! From an event that passed the gate to its record: enrich, assemble, encode.
//!
//! Guarantees: what was not permitted is not there any more; nothing here can ask for it. It does not know who the visitor is.

use cairn_enrich::{Location, RequestKind};
use cairn_model::{Origin, PixelKind};

use super::enrich::{self, AgentFacts, Arrival};
use super::gate::{self, Voice};
use super::{Admission, Common, Rejection, parsed, text, visitor};
use crate::record;

/// An event that passed the gate, with what its enrichment needs.
pub(super) struct Prepared<'e> {
    pub event: gate::ConsentedEvent<'e>,
    pub location: Location,
    pub context: Option<parsed::Context<'e>>,
    pub common: Common<'e>,
}

impl Prepared<'_> {
    /// Enriches it and writes its record behind what the buffer holds.
    pub fn write(
        &self,
        admission: &Admission<'_>,
        buffer: Vec<u8>,
    ) -> (Vec<u8>, Result<(), Rejection>) {
        let hit = admission.hit;
        let from_browser = admission.signals.voice == Voice::Browser;
        let agent = match &self.context {
            None if from_browser => hit.agent,
            Some(context) => server_agent(&context.user_agent),
            None => server_agent(""),
        };
        let language = match self.common.language {
            "" if from_browser => text::first_language(hit.accept_language),
            language => language,
        };
        let arrival = Arrival {
            site: &admission.entry.site.site,
            pixel_id: admission.entry.pixel.id,
            origin: match admission.entry.pixel.kind {
                PixelKind::Email | PixelKind::Ad => Origin::OffSite,
                _ => Origin::Live,
            },
            received_at_ms: hit.received_at_ms,
            agent,
            language,
            screen: self.common.screen,
        };
        let enricher = &admission.ingest.enricher;
        let found = enrich::enrich(enricher, &self.event, &arrival, &self.location);
        let mut event = enrich::assemble(&self.event, &found, &arrival);
        if let Some(stated) = &self.event.parsed().stated {
            enrich::apply_stated(&mut event, stated, &found, enricher);
            if stated.own_visit {
                event.session_key = visitor::lone_visitor().0;
            }
        }
        let (buffer, written) = record::append(&event, buffer);
        (buffer, written.map_err(|_| Rejection::malformed("", "it cannot be stored")))
    }
}

/// A server's own agent says nothing about the visitor, and gets no verdict.
pub(super) fn server_agent(user_agent: &str) -> AgentFacts<'_> {
    let mut agent = AgentFacts { user_agent, ..AgentFacts::default() };
    agent.headers.kind = RequestKind::Server;
    agent
}
