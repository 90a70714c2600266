//! What a choice calls for beside its hit: its receipt, and forgetting whoever takes permission back.
//!
//! Guarantees: the record of a choice is in the log before the events that rely on it, and is durable before the answer; a
//! *no* holds from the moment it is read, also where its receipt cannot be written. A hit without a choice costs nothing.

use std::sync::Arc;

use cairn_catalog::SiteEntry;
use cairn_engine::ingest::consent::SentConsent;
use cairn_engine::ingest::proof::Told;
use cairn_engine::ingest::{Admission, Heard, Ingest, Rejection};
use cairn_log::Append;
use cairn_model::{Choice, Purpose, VisitorId};

use super::Collector;
use super::handover::unavailable;

/// What is on its way to the disk of a choice: its receipt, and what it changes in what is kept of senders' last no. In a box:
/// few hits have one.
pub(super) struct Proof(Box<OnItsWay>);

struct OnItsWay {
    append: Append,
    site: Arc<SiteEntry>,
    /// Whose last word is kept with the site.
    senders: [Option<VisitorId>; 2],
}

impl Proof {
    /// Waits until it is durable; if it never is, the same word is kept when it comes again.
    pub async fn durable(self) -> Result<(), Rejection> {
        let OnItsWay { append, site, senders } = *self.0;
        let written = append.await;
        if written.is_err() {
            senders.into_iter().flatten().for_each(|sender| site.unwritten(sender));
        }
        written.map(drop).map_err(|error| unavailable(&error))
    }
}

/// The same of a word that an event brought. Its sender keeps no record: it is told apart from what comes again.
pub(super) struct ProofOfWord {
    proof: Proof,
    visitor: VisitorId,
}

impl ProofOfWord {
    /// Waits until it is durable; if it never is, the same word is proven when it comes again.
    pub async fn durable(self, ingest: &Ingest) -> Result<(), Rejection> {
        self.proof.durable().await.inspect_err(|_| ingest.unproven(self.visitor))
    }
}

/// Waits for a receipt, if there is one.
pub(super) async fn proven(proof: Option<Proof>) -> Result<(), Rejection> {
    match proof {
        None => Ok(()),
        Some(proof) => proof.durable().await,
    }
}

impl Collector {
    /// Hands the receipt of a request's choice to the log, and forgets what waits for a visitor who takes permission back.
    #[inline]
    pub(super) fn note_choice(&self, admission: &Admission<'_>, told: Told<'_>) -> Option<Proof> {
        if let Some(visitor) = admission.withdrawn() {
            self.forget(visitor);
        }
        let again = admission.permission_again();
        let sender = again.as_ref().map(|(sender, _)| *sender);
        let records = admission.receipt(told).into_iter().chain(again.map(|(_, record)| record));
        self.bring_to_disk(records.collect(), &admission.entry().site, [sender, None])
    }

    fn bring_to_disk(
        &self,
        records: Vec<Vec<u8>>,
        site: &Arc<SiteEntry>,
        senders: [Option<VisitorId>; 2],
    ) -> Option<Proof> {
        if records.is_empty() {
            return None;
        }
        let append = self.appender.append(records.iter().map(Vec::as_slice));
        Some(Proof(Box::new(OnItsWay { append, site: Arc::clone(site), senders })))
    }

    /// The same for a word that an event brought.
    pub(super) fn note_heard(&self, heard: Heard, site: &Arc<SiteEntry>) -> Option<ProofOfWord> {
        heard.withdrawn.into_iter().flatten().for_each(|visitor| self.forget(visitor));
        let senders = if heard.refusals.is_empty() { [None; 2] } else { heard.visitors };
        let records = heard.receipt.into_iter().chain(heard.refusals);
        let proof = self.bring_to_disk(records.collect(), site, senders)?;
        Some(ProofOfWord { proof, visitor: heard.visitor })
    }

    fn forget(&self, visitor: VisitorId) {
        let edge = &*self.edge;
        edge.recent_users.forget(visitor);
        edge.recipients_clicks.forget(visitor);
        edge.other_clicks.forget(visitor);
    }
}

/// Whether it takes everything back: that is done in the browser also where nothing can be written here.
pub(super) fn is_refusal(sent: &SentConsent) -> bool {
    let grants = |place| sent.answer(place).is_some_and(|answer| answer.choice == Choice::Granted);
    !matches!(sent, SentConsent::Nothing) && !(0..Purpose::ALL.len()).any(grants)
}
