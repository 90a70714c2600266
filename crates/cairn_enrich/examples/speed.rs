//! Prints what enrichment costs: nanoseconds per operation, warm and cold, and memory.
//!
//! `cargo run --release -p cairn_enrich --example speed [database file…]`

// The figures are the output.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use cairn_enrich::{
    Address, AgentParser, ClientHints, Enricher, HeaderFacts, HitFacts, Network, RequestKind,
    SourceFacts,
};

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
];

const HINTS: ClientHints<'static> = ClientHints {
    brands: "\"Not/A)Brand\";v=\"8\", \"Chromium\";v=\"126\", \"Google Chrome\";v=\"126\"",
    full_versions: "",
    mobile: "?0",
    platform: "\"Windows\"",
    platform_version: "",
    model: "",
    form_factors: "",
    requested_with: "",
};

fn time(what: &str, rounds: u32, mut operation: impl FnMut(u32)) {
    let began = cpu_ns();
    for round in 0..rounds {
        operation(round);
    }
    let each = (cpu_ns() - began) / u64::from(rounds.max(1));
    println!("{what:<44} {each:>8} ns");
}

/// Processor time of this process, which other load does not distort; elsewhere wall time.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let told = stat.split_whitespace().next().and_then(|ns| ns.parse().ok());
    told.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| since.as_nanos() as u64)
    })
}

/// Resident memory of this process in KiB, where the system tells.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let before = resident_kib();
    let began = Instant::now();
    let parser = AgentParser::new();
    println!("agent parser built in {:?}, {} KiB", began.elapsed(), resident_kib() - before);
    let before = resident_kib();
    let began = Instant::now();
    let network = Network::open(&paths)?;
    println!("databases opened in {:?}, {} KiB", began.elapsed(), resident_kib() - before);
    let enricher = Enricher::new(network);

    time("user agent, cached", 2_000_000, |round| {
        black_box(parser.parse(black_box(AGENTS[round as usize % 4]), &HINTS));
    });
    time("user agent, not cached", 200_000, |round| {
        black_box(parser.parse_uncached(black_box(AGENTS[round as usize % 4]), &HINTS));
    });
    time("address", 500_000, |round| {
        let ip = std::net::Ipv4Addr::from(round.wrapping_mul(2_654_435_761));
        black_box(enricher.locate(&Address::new(ip.into())));
    });
    let own_hosts = vec!["shop.example".to_owned()];
    let location = enricher.locate(&Address::new("203.0.113.9".parse()?));
    let pages = [
        ("https://shop.example/p/7", "https://shop.example/"),
        ("https://shop.example/p/7?utm_source=mail&utm_medium=email&utm_campaign=spring", ""),
        ("https://shop.example/p/7?gclid=Cj0KCQjw", "https://www.google.com/"),
        ("https://shop.example/p/7", "https://some.blog.example/2026/11/a-post"),
    ];
    time("source and channel", 500_000, |round| {
        let (url, referrer) = pages[round as usize % 4];
        let facts = SourceFacts { url, referrer, own_hosts: &own_hosts, ignored_hosts: &[] };
        black_box(enricher.attribute(&facts));
    });
    time("whole hit, warm, address included", 500_000, |round| {
        let (url, referrer) = pages[round as usize % 4];
        let ip = std::net::Ipv4Addr::from(round.wrapping_mul(2_654_435_761));
        let location_now = enricher.locate(&Address::new(ip.into()));
        let facts = HitFacts {
            user_agent: AGENTS[round as usize % 4],
            hints: HINTS,
            headers: HeaderFacts {
                kind: RequestKind::Image,
                secure: true,
                has_accept_language: true,
                has_sec_fetch: true,
                purpose: "",
            },
            location: &location_now,
            source: SourceFacts { url, referrer, own_hosts: &own_hosts, ignored_hosts: &[] },
        };
        black_box(enricher.enrich(&facts));
    });
    black_box(location);
    println!("resident at the end: {} KiB", resident_kib());
    Ok(())
}
