//! Purposes, choices, the verdict of the gate and what it relied on.

use serde::{Deserialize, Serialize};

use crate::site::Policy;

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
    /// Nothing was said: the site's policy for the region decided. Which one is not told: the event is from before that.
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
    /// Nothing was said: the policy `regional` decided.
    PolicyRegional,
    /// The same by `opt_in`.
    PolicyOptIn,
    /// The same by `opt_in_strict`.
    PolicyOptInStrict,
    /// The same by `opt_out`.
    PolicyOptOut,
    /// The same by `anonymous`.
    PolicyAnonymous,
}

impl Basis {
    /// All, in the order of their numbers in log and store: new ones come last.
    pub const ALL: [Basis; 12] = [
        Basis::Policy,
        Basis::RecordedChoice,
        Basis::SentChoice,
        Basis::Gpc,
        Basis::ForeignOrigin,
        Basis::OwnerAssertion,
        Basis::Server,
        Basis::PolicyRegional,
        Basis::PolicyOptIn,
        Basis::PolicyOptInStrict,
        Basis::PolicyOptOut,
        Basis::PolicyAnonymous,
    ];

    /// Nothing was said, and this policy decided.
    pub fn of_policy(policy: Policy) -> Self {
        match policy {
            Policy::Regional => Basis::PolicyRegional,
            Policy::OptIn => Basis::PolicyOptIn,
            Policy::OptInStrict => Basis::PolicyOptInStrict,
            Policy::OptOut => Basis::PolicyOptOut,
            Policy::Anonymous => Basis::PolicyAnonymous,
        }
    }

    /// Nothing was said: a policy decided.
    pub fn is_policy(self) -> bool {
        self == Basis::Policy || self.policy().is_some()
    }

    /// The policy that decided, if one did and it is known which.
    pub fn policy(self) -> Option<Policy> {
        match self {
            Basis::PolicyRegional => Some(Policy::Regional),
            Basis::PolicyOptIn => Some(Policy::OptIn),
            Basis::PolicyOptInStrict => Some(Policy::OptInStrict),
            Basis::PolicyOptOut => Some(Policy::OptOut),
            Basis::PolicyAnonymous => Some(Policy::Anonymous),
            _ => None,
        }
    }

    /// The stable name, as stored and exported.
    pub fn name(self) -> &'static str {
        match self {
            Basis::Policy
            | Basis::PolicyRegional
            | Basis::PolicyOptIn
            | Basis::PolicyOptInStrict
            | Basis::PolicyOptOut
            | Basis::PolicyAnonymous => "policy",
            Basis::RecordedChoice => "recorded_choice",
            Basis::SentChoice => "sent_choice",
            Basis::Gpc => "gpc",
            Basis::ForeignOrigin => "foreign_origin",
            Basis::OwnerAssertion => "owner_assertion",
            Basis::Server => "server",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_keep_their_numbers() {
        for (number, basis) in Basis::ALL.into_iter().enumerate() {
            assert_eq!(basis as usize, number);
        }
        for policy in [
            Policy::Regional,
            Policy::OptIn,
            Policy::OptInStrict,
            Policy::OptOut,
            Policy::Anonymous,
        ] {
            assert_eq!(Basis::of_policy(policy).policy(), Some(policy));
            assert_eq!(Basis::of_policy(policy).name(), "policy");
        }
    }
}
