//! What a live test tells of one stage of a hit.

use cairn_engine::ingest::Rejection;
use cairn_engine::ingest::gate::Decision;
use cairn_model::{Event, Outcome, Purpose, Verdict};
use serde::Serialize;
use utoipa::ToSchema;

/// One stage of a hit: `received`, `permission`, `recognised`, `stored`, in this order; after one that was not passed come no
/// more. Fields of other stages are left out.
#[derive(Serialize, ToSchema, Default, Clone, Debug, PartialEq)]
pub struct LiveTestStage {
    /// Number of the hit within the test, from 1.
    pub hit: u32,
    /// `received`, `permission`, `recognised` or `stored`.
    pub stage: &'static str,
    /// Whether the hit came past it.
    pub passed: bool,
    /// `received`: name of the event; left out where it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// `received`: how it came: `script`, `image`, `direct` (without a browser) or `signed` (mails, links, ads).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub road: Option<&'static str>,
    /// `received`: host of the page that sent it, as its browser tells; left out where nothing was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// `received`: whose key it brought: `this` pixel's, that of an `other` of the site, of an `other_site`, or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'static str>,
    /// `received`: it carried the test's code; otherwise it may be somebody else's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certain: Option<bool>,
    /// Why it came no further: its outcome (docs/outcomes.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// In words, what decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// `permission`: `full`, `anonymous` or `drop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<&'static str>,
    /// `permission`: which rule decided: `policy` `recorded_choice` `sent_choice` `gpc` `foreign_origin` `server`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<&'static str>,
    /// `permission`: purposes that are granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted: Option<Vec<&'static str>>,
    /// `recognised`: `known` by its cookie, `new` (it gets one now), `named` by an id that was sent, or `anonymous`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visitor: Option<&'static str>,
    /// `recognised`: browser, as recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub browser: Option<String>,
    /// `recognised`: operating system, as recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// `recognised`: type of device, as recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// `recognised`: country, as recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// `recognised`: why it is taken for a bot, which reports leave out; left out for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot: Option<String>,
    /// `stored`: milliseconds from its arrival until reports could see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
}

fn told(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl LiveTestStage {
    fn new(hit: u32, stage: &'static str) -> Self {
        LiveTestStage { hit, stage, passed: true, ..LiveTestStage::default() }
    }

    pub(super) fn received(hit: u32) -> Self {
        Self::new(hit, "received")
    }

    pub(super) fn permission(hit: u32, decision: &Decision) -> Self {
        let granted = Purpose::ALL.into_iter().filter(|purpose| decision.grants(*purpose));
        LiveTestStage {
            passed: decision.verdict != Verdict::Drop,
            verdict: Some(match decision.verdict {
                Verdict::Full => "full",
                Verdict::Anonymous => "anonymous",
                Verdict::Drop => "drop",
            }),
            basis: Some(decision.basis.name()),
            granted: Some(granted.map(Purpose::name).collect()),
            reason: told(decision.reason),
            ..Self::new(hit, "permission")
        }
    }

    pub(super) fn recognised(hit: u32, visitor: &'static str, event: &Event<'_>) -> Self {
        LiveTestStage {
            visitor: Some(visitor),
            browser: told(&event.browser),
            os: told(&event.os),
            device: told(&event.device),
            country: told(&event.country),
            bot: told(&event.bot),
            ..Self::new(hit, "recognised")
        }
    }

    pub(super) fn stored(hit: u32, after_ms: u64) -> Self {
        LiveTestStage { after_ms: Some(after_ms), ..Self::new(hit, "stored") }
    }

    pub(super) fn not_stored(hit: u32, outcome: Outcome) -> Self {
        let stage = Self::new(hit, "stored");
        LiveTestStage { passed: false, outcome: Some(outcome.name()), ..stage }
    }

    /// The store is behind: it will be stored, and nobody waits for it any longer.
    pub(super) fn delayed(hit: u32, after_ms: u64) -> Self {
        LiveTestStage { passed: false, ..Self::stored(hit, after_ms) }
    }

    /// A refusal, at the stage that refused.
    pub(super) fn refused_with(mut self, rejection: &Rejection) -> Self {
        self.passed = false;
        self.outcome = Some(rejection.outcome.name());
        self.reason = told(&rejection.message);
        self.field = told(&rejection.field);
        self
    }

    pub(super) fn dropped(hit: u32) -> Self {
        LiveTestStage { verdict: Some("drop"), ..Self::new(hit, "permission") }
    }
}
