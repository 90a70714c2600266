//! Browser, operating system and kind of device, from the `User-Agent` header and the client hints.
//!
//! One pass of an Aho-Corasick automaton over the header finds every known word; the tables in
//! [`names`](self) decide between them by rank. Answers are kept in a bounded cache under a keyed
//! hash, so that no header is remembered. It knows what a client claims, not what it is: a browser
//! that names itself another one is counted as the other one.

mod detect;
mod device;
mod hints;
mod names;
mod system;
mod words;

use std::sync::Arc;

use crate::bot::{self, BotVerdict};
use crate::cache::{Cache, WAYS};
pub(crate) use detect::{first_product, is_presentable};
use words::Words;

/// Agents kept parsed at once; beyond it the least recently used of a set of eight gives way.
pub const CACHED_AGENTS: usize = CACHE_SETS * WAYS;
const CACHE_SETS: usize = 1280;
/// Bytes of a user agent that are looked at; longer ones are judged by their beginning.
pub const AGENT_BYTES_MAX: usize = 1024;

/// What a client says about itself. Unknown is the empty text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Name of the browser or, for other clients, of the app (`Chrome`, `Firefox`, `Instagram`).
    pub browser: Arc<str>,
    /// Major version, with the minor one where it is not zero (`126`, `17.4`).
    pub browser_version: Arc<str>,
    /// Name of the operating system (`Windows`, `macOS`, `Android`).
    pub os: Arc<str>,
    /// Version of the operating system as people name it (`11`, `14.5`, `XP`).
    pub os_version: Arc<str>,
    /// `desktop mobile tablet tv console wearable car speaker camera display`, lower case.
    pub device: Arc<str>,
}

/// Client-hint and related headers as they came; a missing header is the empty text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientHints<'a> {
    /// `Sec-CH-UA`.
    pub brands: &'a str,
    /// `Sec-CH-UA-Full-Version-List`, or the older `Sec-CH-UA-Full-Version`.
    pub full_versions: &'a str,
    /// `Sec-CH-UA-Mobile`: `?0` or `?1`.
    pub mobile: &'a str,
    /// `Sec-CH-UA-Platform`.
    pub platform: &'a str,
    /// `Sec-CH-UA-Platform-Version`.
    pub platform_version: &'a str,
    /// `Sec-CH-UA-Model`.
    pub model: &'a str,
    /// `Sec-CH-UA-Form-Factors`.
    pub form_factors: &'a str,
    /// `X-Requested-With`: the Android package around a web view.
    pub requested_with: &'a str,
}

/// Everything that depends on the agent alone, computed once and shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentInfo {
    /// Browser, system and device.
    pub agent: Agent,
    /// The verdict from the agent alone; headers may add to it.
    pub bot: BotVerdict,
    /// What the header checks need to know about this client.
    pub(crate) traits: AgentTraits,
}

/// What a client of this kind always sends, as far as header checks rely on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentTraits {
    /// Major version of Chromium if it claims to be Chromium itself (not a web view), else 0.
    pub chromium_major: u16,
    /// Client hints came with the request.
    pub has_hints: bool,
    /// The user agent and the client hints name different kinds of platform.
    pub hints_contradict: bool,
}

/// Parses user agents, with a bounded cache in front.
pub struct AgentParser {
    words: Words,
    cache: Cache<AgentInfo>,
    bots: bot::BotNames,
}

impl AgentParser {
    /// Builds the automata; takes some milliseconds, once.
    pub fn new() -> Self {
        Self { words: Words::new(), cache: Cache::new(CACHE_SETS), bots: bot::BotNames::new() }
    }

    /// What this user agent says, from the cache if it was seen lately.
    pub fn parse(&self, user_agent: &str, hints: &ClientHints<'_>) -> Arc<AgentInfo> {
        let key = self.cache.key([
            user_agent,
            hints.brands,
            hints.full_versions,
            hints.mobile,
            hints.platform,
            hints.platform_version,
            hints.model,
            hints.form_factors,
            hints.requested_with,
        ]);
        if let Some(known) = self.cache.get(key) {
            return known;
        }
        let info = Arc::new(self.parse_uncached(user_agent, hints));
        self.cache.put(key, Arc::clone(&info));
        info
    }

    /// The same without the cache, for benches and tests.
    pub fn parse_uncached(&self, user_agent: &str, hints: &ClientHints<'_>) -> AgentInfo {
        let user_agent = head(user_agent.trim(), AGENT_BYTES_MAX);
        let found = self.words.find(user_agent);
        let mut sketch = detect::sketch(user_agent, &found);
        hints::apply(&mut sketch, hints);
        let known = found.browser.map_or("", |word| names::BROWSERS[word.rank].1);
        let mut judged = self.bots.judge(user_agent, known);
        if hints.brands.contains("HeadlessChrome") {
            judged.verdict = BotVerdict::bot("headless");
        }
        let traits = hints::traits(user_agent, &sketch, hints);
        if let Some(name) = judged.name {
            sketch.browser = std::borrow::Cow::Owned(name);
            sketch.browser_version.clear();
        }
        AgentInfo { agent: sketch.into_agent(user_agent), bot: judged.verdict, traits }
    }
}

impl Default for AgentParser {
    fn default() -> Self {
        Self::new()
    }
}

/// The first `bytes` bytes of a text, cut at a character.
fn head(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
