//! Whether an open or a click of a mail is a person's or a machine's.
//!
//! A pure function of what one request shows and of what its mail saw in the last seconds. It gives a class and every
//! sign that spoke for it. It is not the verdict on web traffic: there a mail provider's image proxy is odd, here it is
//! the ordinary sign of a reader.
//!
//! What it cannot know: who opened a mail that Apple's relay fetched ahead of time (class `unknown`, never a person), a
//! scanner that imitates a browser and takes its time, and the first links of a burst, which come before it is one.

use crate::bot::HeaderFacts;
use crate::network::Marks;

mod agents;

use agents::Fetcher;

/// A click this soon after the mail was prepared is no reader's (docs/email.md, `too_soon`).
pub const CLICK_AGE_MS_MIN: i64 = 10_000;
/// An open this soon is none either (under 2 s).
pub const OPEN_AGE_MS_MIN: i64 = 2_000;
/// Different links of one mail …
pub const BURST_LINKS_MIN: usize = 3;
/// … within this time are a scanner's.
pub const BURST_WINDOW_MS: i64 = 2_000;

/// What was done with a mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MailAct {
    /// Its image was fetched.
    #[default]
    Open,
    /// A link was followed.
    Click,
}

/// What the mail saw lately, this request included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailTraces {
    /// Different links followed within [`BURST_WINDOW_MS`].
    pub links: usize,
    /// The link that no person sees was followed, in this mail or by this sender.
    pub honeypot: bool,
    /// This link was asked for with `HEAD` before.
    pub head_before: bool,
}

/// Everything the verdict looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct MailFacts<'a> {
    /// Open or click.
    pub act: MailAct,
    /// `User-Agent` as it came.
    pub user_agent: &'a str,
    /// Presence of the headers that browsers send.
    pub headers: HeaderFacts<'a>,
    /// Marks of the sender's network.
    pub marks: Marks,
    /// Its AS number; 0 = not known.
    pub asn: u32,
    /// Time since the mail was prepared, milliseconds.
    pub age_ms: i64,
    /// What the mail saw lately.
    pub traces: MailTraces,
}

/// Whose open or click it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SenderClass {
    /// Everything speaks for a person.
    Human,
    /// Something shows a machine.
    Machine,
    /// Neither is shown.
    Unknown,
}

impl SenderClass {
    /// The stable name, as stored.
    pub fn name(self) -> &'static str {
        match self {
            SenderClass::Human => "human",
            SenderClass::Machine => "machine",
            SenderClass::Unknown => "unknown",
        }
    }
}

/// One thing that the verdict relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MailSign {
    /// A link that no person sees was followed.
    Honeypot,
    /// Three or more links within two seconds.
    Burst,
    /// The link was asked for with `HEAD` first.
    HeadBeforeGet,
    /// It came too soon after the mail was prepared.
    TooSoon,
    /// A mail security product names itself.
    SecurityScanner,
    /// A service that makes previews of links.
    LinkPreview,
    /// A program's library, a crawler, a browser without window.
    Program,
    /// Gmail's fetch ahead of the reader.
    GmailPrefetch,
    /// The request says that it is ahead of the reader.
    Prefetch,
    /// None of the headers that a browser sends when a link is followed.
    NoBrowserHeaders,
    /// A data centre, and not every header of a browser.
    HostedProgram,
    /// A link followed without any `User-Agent`.
    NoAgentClick,
    /// Apple's privacy relay: fetched whether or not the mail is read.
    AppleRelay,
    /// An image was fetched without any `User-Agent`.
    NoAgent,
    /// One of the headers that a browser sends is missing.
    IncompleteHeaders,
    /// A data centre, as VPNs and company proxies are.
    HostingNetwork,
    /// It has the agent of a provider's proxy, and comes from elsewhere or does what proxies do not.
    ProxyMismatch,
    /// An agent that is not known for reading mail.
    OddAgent,
    /// Gmail's image proxy, on behalf of a reader.
    GmailProxy,
    /// Yahoo's image proxy, on behalf of a reader.
    YahooProxy,
    /// A mail program.
    MailProgram,
    /// A browser.
    Browser,
}

impl MailSign {
    /// Every sign, in order.
    pub const ALL: [MailSign; 22] = [
        MailSign::Honeypot,
        MailSign::Burst,
        MailSign::HeadBeforeGet,
        MailSign::TooSoon,
        MailSign::SecurityScanner,
        MailSign::LinkPreview,
        MailSign::Program,
        MailSign::GmailPrefetch,
        MailSign::Prefetch,
        MailSign::NoBrowserHeaders,
        MailSign::HostedProgram,
        MailSign::NoAgentClick,
        MailSign::AppleRelay,
        MailSign::NoAgent,
        MailSign::IncompleteHeaders,
        MailSign::HostingNetwork,
        MailSign::ProxyMismatch,
        MailSign::OddAgent,
        MailSign::GmailProxy,
        MailSign::YahooProxy,
        MailSign::MailProgram,
        MailSign::Browser,
    ];

    /// The stable name, as stored.
    pub fn name(self) -> &'static str {
        match self {
            MailSign::Honeypot => "honeypot",
            MailSign::Burst => "burst",
            MailSign::HeadBeforeGet => "head_before_get",
            MailSign::TooSoon => "too_soon",
            MailSign::SecurityScanner => "security_scanner",
            MailSign::LinkPreview => "link_preview",
            MailSign::Program => "program",
            MailSign::GmailPrefetch => "gmail_prefetch",
            MailSign::Prefetch => "prefetch",
            MailSign::NoBrowserHeaders => "no_browser_headers",
            MailSign::HostedProgram => "hosted_program",
            MailSign::NoAgentClick => "no_agent_click",
            MailSign::AppleRelay => "apple_relay",
            MailSign::NoAgent => "no_agent",
            MailSign::IncompleteHeaders => "incomplete_headers",
            MailSign::HostingNetwork => "hosting_network",
            MailSign::ProxyMismatch => "proxy_mismatch",
            MailSign::OddAgent => "odd_agent",
            MailSign::GmailProxy => "gmail_proxy",
            MailSign::YahooProxy => "yahoo_proxy",
            MailSign::MailProgram => "mail_program",
            MailSign::Browser => "browser",
        }
    }

    /// What the sign alone says.
    pub fn class(self) -> SenderClass {
        if self <= MailSign::NoAgentClick {
            SenderClass::Machine
        } else if self <= MailSign::OddAgent {
            SenderClass::Unknown
        } else {
            SenderClass::Human
        }
    }
}

/// A class, and what it relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailVerdict {
    /// Whose it is.
    pub class: SenderClass,
    /// Every sign found, the decisive ones first; never empty.
    pub signs: Vec<MailSign>,
}

impl MailVerdict {
    /// The signs' names, separated by commas, as stored.
    pub fn reasons(&self) -> String {
        let names: Vec<&str> = self.signs.iter().map(|sign| sign.name()).collect();
        names.join(",")
    }
}

/// One sign of a machine makes a machine; without one, a doubt makes it unknown.
pub fn judge(facts: &MailFacts<'_>) -> MailVerdict {
    let fetcher = agents::fetcher(facts.user_agent);
    let mut signs = Vec::new();
    let mut add = |found: bool, sign: MailSign| {
        if found {
            signs.push(sign);
        }
    };
    let is_click = facts.act == MailAct::Click;
    add(facts.traces.honeypot, MailSign::Honeypot);
    add(facts.traces.links >= BURST_LINKS_MIN, MailSign::Burst);
    add(facts.traces.head_before, MailSign::HeadBeforeGet);
    let age_ms_min = if is_click { CLICK_AGE_MS_MIN } else { OPEN_AGE_MS_MIN };
    add(facts.age_ms < age_ms_min, MailSign::TooSoon);
    add(!facts.headers.purpose.is_empty(), MailSign::Prefetch);
    add(true, sign_of_agent(fetcher, facts));
    if is_click && matches!(fetcher, Fetcher::Browser | Fetcher::MailProgram) {
        let headers = facts.headers;
        // Browsers hide Sec-Fetch from addresses without encryption.
        let lacks_fetch = headers.secure && !headers.has_sec_fetch;
        let lacks_all = !headers.has_accept_language && !headers.has_sec_fetch;
        let lacks_any = !headers.has_accept_language || lacks_fetch;
        add(lacks_all, MailSign::NoBrowserHeaders);
        add(lacks_any && !lacks_all && !facts.marks.hosting, MailSign::IncompleteHeaders);
        add(lacks_any && facts.marks.hosting, MailSign::HostedProgram);
    }
    let is_proxy = matches!(fetcher, Fetcher::GmailProxy | Fetcher::YahooProxy);
    add(facts.marks.hosting && !is_proxy, MailSign::HostingNetwork);
    signs.sort_unstable();
    let class = signs.first().map_or(SenderClass::Unknown, |sign| sign.class());
    MailVerdict { class, signs }
}

/// Whether a mail provider's proxy or relay says that it fetches an image for a reader.
pub(crate) fn is_proxy_agent(user_agent: &str) -> bool {
    let fetcher = agents::fetcher(user_agent);
    matches!(fetcher, Fetcher::GmailProxy | Fetcher::YahooProxy | Fetcher::AppleRelay)
}

fn sign_of_agent(fetcher: Fetcher, facts: &MailFacts<'_>) -> MailSign {
    let is_click = facts.act == MailAct::Click;
    // A network that is not known contradicts nothing.
    let is_from = |numbers: &[u32]| facts.asn == 0 || numbers.contains(&facts.asn);
    match fetcher {
        Fetcher::GmailProxy if is_click || !is_from(&agents::GOOGLE) => MailSign::ProxyMismatch,
        Fetcher::GmailProxy => MailSign::GmailProxy,
        Fetcher::YahooProxy if is_click || !is_from(&agents::YAHOO) => MailSign::ProxyMismatch,
        Fetcher::YahooProxy => MailSign::YahooProxy,
        Fetcher::GmailPrefetch => MailSign::GmailPrefetch,
        // A relay fetches images; a bare agent that follows links is a program.
        Fetcher::AppleRelay if is_click => MailSign::Program,
        Fetcher::AppleRelay => MailSign::AppleRelay,
        Fetcher::SecurityScanner => MailSign::SecurityScanner,
        Fetcher::LinkPreview => MailSign::LinkPreview,
        Fetcher::Program => MailSign::Program,
        Fetcher::MailProgram => MailSign::MailProgram,
        Fetcher::Browser => MailSign::Browser,
        Fetcher::Nameless if is_click => MailSign::NoAgentClick,
        Fetcher::Nameless => MailSign::NoAgent,
        Fetcher::Odd => MailSign::OddAgent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_listed_once_in_order() {
        assert!(MailSign::ALL.is_sorted());
        let mut names: Vec<_> = MailSign::ALL.map(MailSign::name).into();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), MailSign::ALL.len());
    }

    #[test]
    fn the_decisive_sign_comes_first() {
        let facts = MailFacts {
            act: MailAct::Click,
            user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
            age_ms: CLICK_AGE_MS_MIN,
            traces: MailTraces { links: BURST_LINKS_MIN, ..MailTraces::default() },
            ..MailFacts::default()
        };
        let verdict = judge(&facts);
        assert_eq!(verdict.class, SenderClass::Machine);
        assert_eq!(verdict.reasons(), "burst,no_browser_headers,browser");
    }

    #[test]
    fn thresholds_are_where_they_are_said_to_be() {
        let class = |act, age_ms, links| {
            let headers = HeaderFacts {
                has_accept_language: true,
                has_sec_fetch: true,
                ..HeaderFacts::default()
            };
            let user_agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 \
                              (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
            let traces = MailTraces { links, ..MailTraces::default() };
            judge(&MailFacts { act, user_agent, headers, age_ms, traces, ..MailFacts::default() })
                .class
        };
        assert_eq!(class(MailAct::Click, CLICK_AGE_MS_MIN - 1, 1), SenderClass::Machine);
        assert_eq!(class(MailAct::Click, CLICK_AGE_MS_MIN, 1), SenderClass::Human);
        assert_eq!(class(MailAct::Open, OPEN_AGE_MS_MIN - 1, 0), SenderClass::Machine);
        assert_eq!(class(MailAct::Open, OPEN_AGE_MS_MIN, 0), SenderClass::Human);
        assert_eq!(class(MailAct::Click, 60_000, BURST_LINKS_MIN - 1), SenderClass::Human);
        assert_eq!(class(MailAct::Click, 60_000, BURST_LINKS_MIN), SenderClass::Machine);
    }
}
