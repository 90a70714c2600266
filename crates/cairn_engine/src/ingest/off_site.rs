//! The last steps of what happened away from the site: opens, impressions, clicks, and what landed.
//!
//! Guarantees: the gate, the enrichment and the record are those of every hit; what is stored already is no event; the
//! token's word about campaign and machine wins over what would be derived. Who may be known was decided before.

use cairn_catalog::SiteEntry;
use cairn_enrich::Location;
use cairn_model::{Identification, SiteId, VisitorId};

use super::enrich::{Arrival, apply_overrides, assemble, enrich};
use super::gate::{Decision, Visitor, consented};
use super::parsed::{Overrides, ParsedEvent};
use super::{Hit, Ingest, Rejection, opted_out, repeated};
use crate::record;

/// What an event is assembled from besides its own fields.
pub(super) struct OffSite<'a> {
    pub visitor: Visitor,
    pub decision: &'a Decision,
    pub arrival: Arrival<'a>,
    pub location: &'a Location,
    pub overrides: Overrides<'a>,
    /// What the sender of a repetition is told.
    pub repetition: &'static str,
}

impl Ingest {
    /// Appends the record to `buffer`.
    pub(super) fn write_off_site(
        &self,
        parsed: ParsedEvent<'_>,
        off_site: &OffSite<'_>,
        buffer: Vec<u8>,
    ) -> Result<Vec<u8>, Rejection> {
        let OffSite { visitor, decision, arrival, location, overrides, repetition } = off_site;
        let event = consented(parsed, decision, arrival.site.id, *visitor, &self.keys)
            .ok_or_else(opted_out)?;
        let (key, received_at_ms) = (event.event_key(), arrival.received_at_ms);
        if self.stored.as_ref().is_some_and(|stored| stored.contains(key, received_at_ms)) {
            return Err(repeated(repetition));
        }
        let found = enrich(&self.enricher, &event, arrival, location);
        let mut assembled = assemble(&event, &found, arrival);
        apply_overrides(&mut assembled, overrides, &self.keys, &self.enricher);
        record::encode(&assembled, buffer)
            .map_err(|_| Rejection::malformed("", "it cannot be stored"))
    }

    /// Whom an event is about that is nobody's: its campaign, people (`class`) told from machines.
    pub(super) fn visitor_of_campaign(
        &self,
        site: SiteId,
        kind: &str,
        class: &str,
        campaign: &str,
    ) -> Visitor {
        Visitor {
            id: self.keys.of_named_visitor(site, &format!("\0{kind} {class} {campaign}")),
            identification: Identification::Anonymous,
            previous: VisitorId(0),
        }
    }

    /// The sender's number of the day, whose key lives in memory only.
    pub(super) fn sender_of_day(&self, hit: &Hit<'_>, site: &SiteEntry) -> VisitorId {
        let (ip, agent) = (hit.address.ip(), hit.agent.user_agent);
        self.anonymous.number(site, hit.received_at_ms, ip, agent).current
    }
}
