//! What a hit tells about its sender: browser, device, bot, place, network, source and channel.
//!
//! Every answer is a function of the hit and of tables held in memory: no input or output happens
//! while enriching, and nothing is remembered about a sender but his parsed user agent, under a
//! keyed hash. What is not known is the empty text. It does not know what may be kept of its
//! answers: that is the consent gate's to say.

pub mod ad;
pub mod address;
pub mod agent;
pub mod bot;
mod cache;
pub mod mail;
pub mod network;
pub mod region;
pub mod source;

use std::sync::Arc;

pub use address::Address;
pub use agent::{Agent, AgentInfo, AgentParser, ClientHints};
pub use bot::{BotVerdict, HeaderFacts, RequestKind};
pub use network::{Carrier, Location, Marks, Network, Place};
pub use region::{Country, Region, region_of};
pub use source::{Attribution, ClickId, SourceFacts, Sources, Utm};

/// Everything about a hit that enrichment looks at.
#[derive(Clone, Copy, Debug)]
pub struct HitFacts<'a> {
    /// `User-Agent` as it came (or the `context` of a server's event).
    pub user_agent: &'a str,
    /// Client hints as they came.
    pub hints: ClientHints<'a>,
    /// Presence of the headers that browsers always send.
    pub headers: HeaderFacts<'a>,
    /// Where the sender is, from [`Enricher::locate`].
    pub location: &'a Location,
    /// Page address, referrer and the site's own hosts.
    pub source: SourceFacts<'a>,
}

/// What enrichment found out.
#[derive(Clone, Debug)]
pub struct Enrichment {
    /// Browser, system and device, shared with the cache.
    pub agent: Arc<AgentInfo>,
    /// Human, or bot with its reason.
    pub bot: BotVerdict,
    /// Source, medium, channel, campaign, shared with the cache.
    pub attribution: Arc<Attribution>,
    /// Place and network.
    pub location: Location,
}

/// Holds the tables; shared by all threads.
pub struct Enricher {
    agents: AgentParser,
    sources: Sources,
    network: Network,
}

impl Enricher {
    /// Takes the opened databases (see [`Network::open`]); builds the other tables.
    pub fn new(network: Network) -> Self {
        Self { agents: AgentParser::new(), sources: Sources::new(), network }
    }

    /// Place and network of an address; ask before the consent gate, which needs the region.
    pub fn locate(&self, address: &Address) -> Location {
        self.network.locate(address.ip())
    }

    /// Parses a user agent alone.
    pub fn agent(&self, user_agent: &str, hints: &ClientHints<'_>) -> Arc<AgentInfo> {
        self.agents.parse(user_agent, hints)
    }

    /// The verdict of web traffic on an agent and its headers alone.
    pub fn bot(
        &self,
        user_agent: &str,
        hints: &ClientHints<'_>,
        headers: &HeaderFacts<'_>,
    ) -> BotVerdict {
        bot::judge(&self.agents.parse(user_agent, hints), headers)
    }

    /// Derives source, medium and channel alone.
    pub fn attribute(&self, facts: &SourceFacts<'_>) -> Arc<Attribution> {
        self.sources.attribute(facts)
    }

    /// The channel of a source, medium and campaign that an import states.
    pub fn channel(&self, source: &str, medium: &str, campaign: &str) -> &'static str {
        self.sources.channel(source, medium, campaign)
    }

    /// The databases in use, for their attribution and age.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Everything at once.
    pub fn enrich(&self, facts: &HitFacts<'_>) -> Enrichment {
        let agent = self.agents.parse(facts.user_agent, &facts.hints);
        let bot = bot::judge(&agent, &facts.headers);
        let attribution = self.sources.attribute(&facts.source);
        Enrichment { agent, bot, attribution, location: facts.location.clone() }
    }
}
