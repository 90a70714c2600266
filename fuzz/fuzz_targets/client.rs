//! Headers and addresses that say who comes and from where: forwarded addresses, user agent, client hints, page and
//! referrer. What a proxy was told never outweighs what the proxy itself says, and what is told of a client is bounded.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use cairn_enrich::ad::{self, AdFacts};
use cairn_enrich::mail::{self, MailFacts};
use cairn_enrich::network::{ForwardedHeaders, Prefix, client_address};
use cairn_enrich::source::VALUE_BYTES_MAX;
use cairn_enrich::{
    Attribution, ClientHints, Enricher, HeaderFacts, HitFacts, Location, Network, RequestKind,
    SourceFacts,
};
use libfuzzer_sys::fuzz_target;

static ENRICHER: LazyLock<Enricher> = LazyLock::new(|| Enricher::new(Network::empty()));
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 1));
const VISITOR: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
/// Bytes of a name or reason: nothing that is kept may be a whole header.
const NAME_SIZE_BYTES_MAX: usize = 200;

// A header a line; what is missing is empty.
fuzz_target!(|data: &str| {
    let mut lines = data.split('\n');
    let mut next = || lines.next().unwrap_or("");
    let user_agent = next();
    let (url, referrer) = (next(), next());
    forwarded(next());
    let hints = ClientHints {
        brands: next(),
        full_versions: next(),
        mobile: next(),
        platform: next(),
        platform_version: next(),
        model: next(),
        form_factors: next(),
        requested_with: next(),
    };
    let purpose = next();
    let own_hosts = [next().to_owned()];
    let source = SourceFacts { url, referrer, own_hosts: &own_hosts, ignored_hosts: &[] };
    agent(user_agent, hints, purpose, source);
    let attribution = ENRICHER.attribute(&source);
    assert_eq!(attribution, ENRICHER.attribute(&source), "the cache answers the same");
    attributed(&attribution);
    let _ = ENRICHER.channel(url, referrer, user_agent);
});

/// Whatever stands to the left, the address that the trusted proxy appended is the visitor's.
fn forwarded(told: &str) {
    let trusted = [Prefix::new(PROXY, 8)];
    for (forwarded, x_forwarded_for) in [(told, ""), ("", told)] {
        let headers = ForwardedHeaders { forwarded, x_forwarded_for };
        assert_eq!(client_address(PROXY, &headers, &[]), PROXY, "nobody is trusted");
        assert_eq!(client_address(VISITOR, &headers, &trusted), VISITOR, "he is not trusted");
        if let IpAddr::V6(six) = client_address(PROXY, &headers, &trusted) {
            assert!(six.to_ipv4_mapped().is_none());
        }
    }
    for proxies in ["", ", 10.2.2.2", ",10.2.2.2:80 , [::ffff:10.3.3.3]:99"] {
        let list = format!("{told}, 198.51.100.7{proxies}");
        let headers = ForwardedHeaders { forwarded: "", x_forwarded_for: &list };
        assert_eq!(client_address(PROXY, &headers, &trusted), VISITOR);
    }
    let list = format!("{told}, for=198.51.100.7;proto=https, for=\"10.2.2.2:80\"");
    let headers = ForwardedHeaders { forwarded: &list, x_forwarded_for: "192.0.2.1" };
    assert_eq!(client_address(PROXY, &headers, &trusted), VISITOR);
}

fn agent(user_agent: &str, hints: ClientHints<'_>, purpose: &str, source: SourceFacts<'_>) {
    let location = Location::default();
    let known = ENRICHER.agent(user_agent, &hints);
    assert_eq!(known, ENRICHER.agent(user_agent, &hints), "the cache answers the same");
    let agent = &known.agent;
    for name in [&agent.browser, &agent.browser_version, &agent.os, &agent.os_version] {
        assert!(name.len() <= NAME_SIZE_BYTES_MAX);
    }
    assert!(!agent.browser.contains('@'), "no address of a person");
    for kind in [RequestKind::Image, RequestKind::Script, RequestKind::Server, RequestKind::Import]
    {
        let headers = HeaderFacts { kind, secure: true, purpose, ..HeaderFacts::default() };
        let facts = HitFacts { user_agent, hints, headers, location: &location, source };
        let bot = ENRICHER.enrich(&facts).bot;
        assert!(bot.reason().len() <= NAME_SIZE_BYTES_MAX && !bot.reason().contains('@'));
        assert!(kind != RequestKind::Server || !bot.is_bot());
        let facts = MailFacts { user_agent, headers, ..MailFacts::default() };
        assert!(!mail::judge(&facts).reasons().is_empty());
        let facts = AdFacts { user_agent, bot, headers, ..AdFacts::default() };
        assert!(!ad::judge(&facts).reasons.is_empty());
    }
}

fn attributed(found: &Attribution) {
    let utm = &found.utm;
    for value in [&utm.source, &utm.medium, &utm.campaign, &utm.content, &utm.term] {
        assert!(value.len() <= VALUE_BYTES_MAX);
    }
    assert!(found.medium.len() <= VALUE_BYTES_MAX && !found.channel.is_empty());
    assert!(found.click_id.as_ref().is_none_or(|click| click.value.len() <= VALUE_BYTES_MAX));
    assert!(!found.referrer.contains(['?', '#']), "no query of another site");
}
