//! Purposes, choices, the verdict of the gate and what it relied on.

use serde::{Deserialize, Serialize};

/// What data may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Measuring this site, with an identifier.
    Analytics,
    /// Advertising, audiences and any forwarding.
    Ads,
    /// Content chosen for the person.
    Personalization,
    /// Remembering what the visitor asked to be remembered.
    Functional,
}

impl Purpose {
    /// All purposes, in the order of the contract.
    pub const ALL: [Purpose; 4] =
        [Purpose::Analytics, Purpose::Ads, Purpose::Personalization, Purpose::Functional];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Analytics => "analytics",
            Purpose::Ads => "ads",
            Purpose::Personalization => "personalization",
            Purpose::Functional => "functional",
        }
    }
}

/// What the visitor said about one purpose.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// Yes.
    Granted,
    /// No.
    Denied,
}

impl Choice {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Choice::Granted => "granted",
            Choice::Denied => "denied",
        }
    }
}

/// What may be done with a hit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// Identifiers may be kept, for the granted purposes.
    Full,
    /// Counted without any identifier.
    Anonymous,
    /// Not kept at all.
    Drop,
}

/// What keeping an event relied on. Stored with every event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Basis {
    /// Nothing was said: the site's policy for the region decided.
    Policy,
    /// The choice kept in the browser (`cairn_consent`).
    RecordedChoice,
    /// The choice sent with the hit.
    SentChoice,
    /// Global Privacy Control decided.
    Gpc,
    /// The request came from an origin that is not the site's: anonymous.
    ForeignOrigin,
    /// The owner asserts permission (import).
    OwnerAssertion,
    /// A server pixel: the sender vouches.
    Server,
}

impl Basis {
    /// The stable name, as stored and exported.
    pub fn name(self) -> &'static str {
        match self {
            Basis::Policy => "policy",
            Basis::RecordedChoice => "recorded_choice",
            Basis::SentChoice => "sent_choice",
            Basis::Gpc => "gpc",
            Basis::ForeignOrigin => "foreign_origin",
            Basis::OwnerAssertion => "owner_assertion",
            Basis::Server => "server",
        }
    }
}
