//! What a choice calls for beside its hit: its receipt, and forgetting whoever takes permission back.
//!
//! Guarantees: the record of a choice is in the log before the events that rely on it, and is durable before the answer; a
//! *no* holds from the moment it is read, also where its receipt cannot be written. A hit without a choice costs nothing.

use cairn_engine::ingest::consent::SentConsent;
use cairn_engine::ingest::proof::Told;
use cairn_engine::ingest::{Admission, Heard, Ingest, Rejection};
use cairn_log::Append;
use cairn_model::{Choice, Purpose, VisitorId};

use super::Collector;
use super::handover::unavailable;

/// A receipt on its way to the disk. In a box: few hits have one.
pub(super) struct Proof(Box<Append>);

impl Proof {
    /// Waits until it is durable.
    pub async fn durable(self) -> Result<(), Rejection> {
        (*self.0).await.map(drop).map_err(|error| unavailable(&error))
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
        let record = admission.receipt(told)?;
        Some(Proof(Box::new(self.appender.append([record.as_slice()]))))
    }

    /// The same for a word that an event brought.
    pub(super) fn note_heard(&self, heard: &Heard) -> Option<ProofOfWord> {
        heard.withdrawn.into_iter().flatten().for_each(|visitor| self.forget(visitor));
        let record = heard.receipt.as_ref()?;
        let proof = Proof(Box::new(self.appender.append([record.as_slice()])));
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
