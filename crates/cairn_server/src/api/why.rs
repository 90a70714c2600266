//! Why an event was kept: verdict, rule, and the receipt that it relied on.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_catalog::Receipt;
use cairn_model::{Basis, Event, Identification, Policy, VisitorId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{receipts, show};
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::ApiError;

/// Why an event was kept, and in what way.
#[derive(Serialize, ToSchema)]
pub struct Why {
    /// `full`: with the visitor's number; `anonymous`: counted without any identifier.
    #[schema(example = "full")]
    pub verdict: &'static str,
    /// The rule that decided; the same as `basis`.
    #[schema(example = "recorded_choice")]
    pub rule: &'static str,
    /// The same in words.
    pub explanation: &'static str,
    /// The site's policy that decided when the event was kept; empty: something else decided, or it is not known which.
    #[schema(example = "")]
    pub policy: &'static str,
    /// The receipt of the choice that it relied on. Null: it relied on none, the receipt names nobody (as that of a
    /// refusal) or is older than receipts, or this is the live view, which does not look.
    #[schema(required)]
    pub receipt: Option<ReceiptRelied>,
}

/// The receipt that an event relied on.
#[derive(Serialize, ToSchema)]
pub struct ReceiptRelied {
    /// Its number in the site's chain.
    pub receipt: u64,
    /// When the choice was made (RFC 3339).
    pub at: String,
    /// What was chosen, by purpose.
    pub choices: BTreeMap<&'static str, &'static str>,
    /// By what it was said.
    pub signal: String,
    /// Version of what was shown; empty: not told.
    pub version: String,
    /// Language in which it was shown; empty: not told.
    pub language: String,
}

impl Why {
    /// What the event says by itself.
    pub fn of(event: &Event<'_>) -> Self {
        Why {
            verdict: match event.identification {
                Identification::Identified => "full",
                Identification::Anonymous => "anonymous",
            },
            rule: event.basis.name(),
            explanation: explanation(event.basis, event.identification),
            policy: event.basis.policy().map_or("", Policy::name),
            receipt: None,
        }
    }

    /// The same with the receipt.
    pub fn relying_on(self, receipt: Option<&Receipt>) -> Self {
        let receipt = receipt.map(|receipt| ReceiptRelied {
            receipt: receipt.sequence,
            at: show::instant(receipt.at_ms),
            choices: receipts::choices(receipt),
            signal: receipt.signal.clone(),
            version: receipt.version.clone(),
            language: receipt.language.clone(),
        });
        Why { receipt, ..self }
    }
}

/// Whose receipt the event relied on, and by when it must have been there.
pub fn relied_upon(event: &Event<'_>) -> Option<(VisitorId, i64)> {
    let by_choice = matches!(event.basis, Basis::RecordedChoice | Basis::SentChoice);
    (by_choice && event.identification == Identification::Identified)
        .then_some((event.visitor_id, event.received_at_ms))
}

/// The receipts that events relied on, in their order.
pub async fn receipts_of(
    app: &Arc<App>,
    access: &SiteAccess,
    relied: Vec<Option<(VisitorId, i64)>>,
) -> Result<Vec<Option<Receipt>>, ApiError> {
    let asked: Vec<(VisitorId, i64)> = relied.iter().copied().flatten().collect();
    if asked.is_empty() {
        return Ok(relied.iter().map(|_| None).collect());
    }
    let site_id = access.site_id();
    let mut found = blocking(app, move |catalog| catalog.receipts_relied_on(site_id, &asked))
        .await?
        .into_iter();
    Ok(relied.iter().map(|relied| relied.and_then(|_| found.next().flatten())).collect())
}

fn explanation(basis: Basis, identification: Identification) -> &'static str {
    let is_known = identification == Identification::Identified;
    match (basis, is_known) {
        (Basis::RecordedChoice, true) => {
            "The visitor said yes earlier; the browser keeps the choice."
        }
        (Basis::RecordedChoice, false) => {
            "The visitor said no earlier; the browser keeps the choice, and nothing identifies the visitor."
        }
        (Basis::SentChoice, true) => "The visitor's yes came with the event.",
        (Basis::SentChoice, false) => {
            "The visitor's no came with the event; nothing identifies the visitor."
        }
        (Basis::Gpc, true) => {
            "The browser sent Global Privacy Control, and the visitor permits it all the same."
        }
        (Basis::Gpc, false) => {
            "The browser sent Global Privacy Control: nothing identifies the visitor."
        }
        (Basis::ForeignOrigin, _) => {
            "The request came from where the site has no cookies: nothing identifies the visitor."
        }
        (Basis::OwnerAssertion, _) => "The owner imported it and asserts permission.",
        (Basis::Server, true) => "The owner's server sent it and vouches for permission.",
        (Basis::Server, false) => {
            "The owner's server sent it without permission to identify the visitor."
        }
        // The policies.
        (_, true) => {
            "Nothing was said, and the site's policy permits identifiers in the visitor's region until a no."
        }
        (_, false) => {
            "Nothing was said, and the site's policy keeps no identifier in the visitor's region without a yes."
        }
    }
}
