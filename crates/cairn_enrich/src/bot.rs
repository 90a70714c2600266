//! Whether a hit comes from a program, and the one reason that decided it.
//!
//! Bots are marked, never dropped. The agent decides first; then what the headers lack that a
//! browser of that kind always sends. A hosting network is a mark on the hit, never a verdict: people
//! use VPNs and office proxies. Mail image proxies fetch on behalf of a reader and are not bots.
//! It cannot know programs that imitate a browser completely.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::agent::{AgentInfo, ClientHints};

/// A human, or a bot with its reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BotVerdict(Option<Arc<str>>);

impl BotVerdict {
    /// No sign of a program.
    pub fn human() -> Self {
        Self(None)
    }

    /// A bot, for this reason.
    pub fn bot(reason: &str) -> Self {
        Self(Some(Arc::from(reason)))
    }

    /// Whether this is a bot.
    pub fn is_bot(&self) -> bool {
        self.0.is_some()
    }

    /// The reason, the empty text for a human (as it is stored).
    pub fn reason(&self) -> &str {
        self.0.as_deref().unwrap_or("")
    }
}

/// How a request came about, as far as it decides which headers a browser sends with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestKind {
    /// An image, as from `GET /p.gif`.
    #[default]
    Image,
    /// A script's `fetch` or `sendBeacon`, as for `POST /e`.
    Script,
    /// A server of the customer's: its own agent says nothing about the visitor.
    Server,
    /// A line of an import: there are no headers to judge.
    Import,
}

/// Which headers a request carried; the verdict needs their presence, not their content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderFacts<'a> {
    /// How the request came about.
    pub kind: RequestKind,
    /// Whether it came over TLS, as seen by the visitor (a trusted proxy's word included).
    pub secure: bool,
    /// `Accept-Language` is there and not empty.
    pub has_accept_language: bool,
    /// Any `Sec-Fetch-*` header is there.
    pub has_sec_fetch: bool,
    /// `Sec-Purpose`, or else `Purpose`, `X-Purpose`, `X-Moz`; empty if none is there.
    pub purpose: &'a str,
}

/// Names of programs that declare themselves.
pub(crate) struct BotNames {
    automaton: Option<AhoCorasick>,
}

const NAMES: &[&str] = &["bot", "crawler", "spider", "slurp"];

impl BotNames {
    pub(crate) fn new() -> Self {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(NAMES)
            .ok();
        Self { automaton }
    }

    /// The verdict from the agent alone.
    pub(crate) fn judge(&self, user_agent: &str, _hints: &ClientHints<'_>) -> BotVerdict {
        if user_agent.is_empty() {
            return BotVerdict::bot("missing_user_agent");
        }
        let hit = self.automaton.as_ref().and_then(|automaton| automaton.find(user_agent));
        match hit {
            Some(hit) => BotVerdict::bot(&format!("declared:{}", NAMES[hit.pattern().as_usize()])),
            None => BotVerdict::human(),
        }
    }
}

/// The verdict on a hit: its agent first, then its headers.
pub fn judge(info: &AgentInfo, headers: &HeaderFacts<'_>) -> BotVerdict {
    if headers.kind == RequestKind::Server {
        return BotVerdict::human();
    }
    if is_prefetch(headers.purpose) {
        return BotVerdict::bot("prefetch");
    }
    info.bot.clone()
}

fn is_prefetch(purpose: &str) -> bool {
    let purpose = purpose.as_bytes();
    [b"prefetch".as_slice(), b"prerender", b"preview"]
        .iter()
        .any(|word| purpose.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
}
