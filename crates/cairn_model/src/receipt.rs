//! A visitor's choice on its way to the chain of receipts, as the log carries it.
//!
//! Purpose of what it holds: proof of permission. It names a visitor only where the choice permits to know him; one that
//! permits nothing holds no number, no address and nothing else that tells one visitor from another.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::consent::{Choice, Purpose};
use crate::ids::{SiteId, VisitorId};

/// Answers in the order of [`Purpose::ALL`]; `None`: nothing was said about it.
pub type Answers = [Option<Choice>; 4];

/// What was chosen, in answer to what.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChoiceMade<'a> {
    /// The site.
    pub site_id: SiteId,
    /// Arrival, Unix milliseconds.
    pub at_ms: i64,
    /// The visitor whom the choice permits to know; 0 = it permits no identifier, and nobody is named.
    pub subject: VisitorId,
    /// What was chosen.
    pub answers: Answers,
    /// Version of the banner or page that was shown; empty = not told.
    #[serde(borrow)]
    pub version: Cow<'a, str>,
    /// BCP 47 language in which it was shown; empty = not told.
    #[serde(borrow)]
    pub language: Cow<'a, str>,
    /// By what it was said: `banner`, `page`, `tcf`, ….
    #[serde(borrow)]
    pub signal: Cow<'a, str>,
    /// Where the visitor was, as the policy sees it: `eea`, `uk`, `switzerland`, a country's code, or `unknown`.
    #[serde(borrow)]
    pub region: Cow<'a, str>,
    /// The site's policy in force.
    #[serde(borrow)]
    pub policy: Cow<'a, str>,
    /// The browser sent Global Privacy Control.
    pub gpc: bool,
}

impl ChoiceMade<'_> {
    /// The same choice, borrowing nothing.
    pub fn into_owned(self) -> ChoiceMade<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        ChoiceMade {
            site_id: self.site_id,
            at_ms: self.at_ms,
            subject: self.subject,
            answers: self.answers,
            version: own(self.version),
            language: own(self.language),
            signal: own(self.signal),
            region: own(self.region),
            policy: own(self.policy),
            gpc: self.gpc,
        }
    }
}

/// `analytics:granted,ads:denied`: what was said, in the order of [`Purpose::ALL`].
pub fn answers_text(answers: &Answers) -> String {
    let mut text = String::new();
    for (purpose, answer) in Purpose::ALL.iter().zip(answers) {
        let Some(answer) = answer else { continue };
        let comma = if text.is_empty() { "" } else { "," };
        text.extend([comma, purpose.name(), ":", answer.name()]);
    }
    text
}
