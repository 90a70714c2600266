//! Verdicts on whole hits, and what client hints add to a user agent.

// Helpers outside of test functions unwrap.
#![allow(clippy::unwrap_used)]

use cairn_enrich::{
    AgentParser, ClientHints, Enricher, HeaderFacts, HitFacts, Location, Network, RequestKind,
    SourceFacts,
};

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                      Chrome/126.0.0.0 Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/17.5 Safari/605.1.15";
const ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
                       Chrome/126.0.0.0 Mobile Safari/537.36";
const BRANDS: &str = "\"Not/A)Brand\";v=\"8\", \"Chromium\";v=\"126\", \"Google Chrome\";v=\"126\"";

fn verdict(user_agent: &str, hints: ClientHints<'_>, headers: HeaderFacts<'_>) -> String {
    let enricher = Enricher::new(Network::empty());
    let location = Location::default();
    let facts = HitFacts {
        user_agent,
        hints,
        headers,
        location: &location,
        source: SourceFacts::default(),
    };
    enricher.enrich(&facts).bot.reason().to_owned()
}

fn headers() -> HeaderFacts<'static> {
    HeaderFacts {
        secure: true,
        has_accept_language: true,
        has_sec_fetch: true,
        ..HeaderFacts::default()
    }
}

#[test]
fn headers_convict_only_a_chrome_that_sends_none() {
    let none = ClientHints::default();
    let bare = HeaderFacts { secure: true, ..HeaderFacts::default() };
    assert_eq!(verdict(CHROME, none, bare), "missing_headers");
    assert_eq!(verdict(ANDROID, none, bare), "missing_headers");
    assert_eq!(verdict(CHROME, none, HeaderFacts { secure: false, ..bare }), "");
    assert_eq!(verdict(CHROME, none, HeaderFacts { has_accept_language: true, ..bare }), "");
    assert_eq!(verdict(CHROME, none, HeaderFacts { has_sec_fetch: true, ..bare }), "");
    assert_eq!(verdict(CHROME, ClientHints { brands: BRANDS, ..none }, bare), "");
    let old = CHROME.replace("126", "49");
    let web_view = ANDROID.replace("K)", "K; wv)");
    for human in [FIREFOX, SAFARI, &old, &web_view] {
        assert_eq!(verdict(human, none, bare), "", "{human}");
    }
    assert_eq!(verdict(CHROME, none, HeaderFacts { kind: RequestKind::Import, ..bare }), "");
}

#[test]
fn prefetches_servers_and_contradictions() {
    let none = ClientHints::default();
    for purpose in ["prefetch", "prefetch;prerender", "Prefetch", "preview"] {
        assert_eq!(verdict(CHROME, none, HeaderFacts { purpose, ..headers() }), "prefetch");
    }
    let server = HeaderFacts { kind: RequestKind::Server, ..HeaderFacts::default() };
    assert_eq!(verdict("python-requests/2.32.0", none, server), "");
    assert_eq!(verdict("", none, server), "");
    assert_eq!(verdict("", none, headers()), "missing_user_agent");
    let of = |platform| ClientHints { brands: BRANDS, platform, ..none };
    assert_eq!(verdict(CHROME, of("\"Windows\""), headers()), "");
    assert_eq!(verdict(CHROME, of("\"macOS\""), headers()), "contradictory_headers");
    assert_eq!(verdict(FIREFOX, of("\"Linux\""), headers()), "contradictory_headers");
    let desktop_page = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                        Chrome/126.0.0.0 Safari/537.36";
    assert_eq!(verdict(desktop_page, of("\"Android\""), headers()), "");
    assert_eq!(verdict(desktop_page, of("\"Chrome OS\""), headers()), "");
    let headless = BRANDS.replace("Google Chrome", "HeadlessChrome");
    assert_eq!(verdict(CHROME, ClientHints { brands: &headless, ..none }, headers()), "headless");
}

#[test]
fn agents_of_mail_and_tools() {
    let of = |agent: &str| verdict(agent, ClientHints::default(), headers());
    for human in [
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
         Mobile/15E148",
        "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
        "Mozilla/5.0 (Linux; Android 8.0.0; CUBOT_P20) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/70.0.3538.110 Mobile Safari/537.36",
        "Lynx/2.8.9rel.1 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.6.5",
    ] {
        assert_eq!(of(human), "", "{human}");
    }
    for library in ["python-requests/2.32.0", "curl/8.5.0", "Go-http-client/2.0", "okhttp/4.12.0"] {
        assert_eq!(of(library), "library", "{library}");
    }
    let declared = [
        ("BarracudaCentral", "barracuda"),
        ("Mozilla/5.0 (compatible; BingPreview/1.0b)", "BingPreview"),
        (
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "facebookexternalhit",
        ),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Slackbot-LinkExpanding"),
        ("WhatsApp/2.23.20.0 A", "WhatsApp"),
        (
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; \
             +http://www.google.com/bot.html) Chrome/126.0.0.0 Safari/537.36",
            "Googlebot",
        ),
        (
            "Mozilla/5.0 AppleWebKit/537.36 (compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "GPTBot",
        ),
    ];
    for (agent, name) in declared {
        assert_eq!(of(agent), format!("declared:{name}"), "{agent}");
    }
    assert_eq!(of(&CHROME.replace("Chrome/", "HeadlessChrome/")), "headless");
    assert!(!of("\u{0}\u{ffff}🤖").is_empty());
    assert_eq!(of(&format!("{CHROME} {}", "é".repeat(100_000))), "");
}

#[test]
fn hints_refine_what_the_agent_freezes() {
    let parser = AgentParser::new();
    let told = |agent: &str, hints: ClientHints<'_>| {
        let got = parser.parse(agent, &hints).agent.clone();
        [got.browser, got.browser_version, got.os, got.os_version, got.device]
            .map(|text| text.to_string())
    };
    let none = ClientHints::default();
    assert_eq!(told(CHROME, none), ["Chrome", "126", "Windows", "10", "desktop"]);
    let eleven = ClientHints { platform: "\"Windows\"", platform_version: "\"15.0.0\"", ..none };
    assert_eq!(told(CHROME, eleven), ["Chrome", "126", "Windows", "11", "desktop"]);
    let ten = ClientHints { platform_version: "\"10.0.0\"", ..eleven };
    assert_eq!(told(CHROME, ten)[3], "10");
    let phone = ClientHints {
        brands: BRANDS,
        mobile: "?1",
        platform: "\"Android\"",
        platform_version: "\"14.0.0\"",
        ..none
    };
    assert_eq!(told(ANDROID, phone), ["Chrome", "126", "Android", "14", "mobile"]);
    let brave = ClientHints {
        brands: "\"Brave\";v=\"126\", \"Chromium\";v=\"126\", \"Not;A=Brand\";v=\"99\"",
        ..none
    };
    assert_eq!(told(CHROME, brave)[0], "Brave");
    let mac = ClientHints { platform: "\"macOS\"", platform_version: "\"14.5.0\"", ..none };
    let mac_chrome =
        CHROME.replace("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7");
    assert_eq!(told(&mac_chrome, mac)[2..4], ["macOS", "14.5"]);
    assert_eq!(told(SAFARI, none), ["Safari", "17.5", "macOS", "10.15", "desktop"]);
    assert_eq!(told(FIREFOX, none), ["Firefox", "128", "Linux", "", "desktop"]);
    assert_eq!(told(&format!("{CHROME} Edg/126.0.2592.87"), none)[..2], ["Edge", "126"]);
    let ipad = "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                Version/17.5 Mobile/15E148 Safari/604.1";
    assert_eq!(told(ipad, none), ["Safari", "17.5", "iPadOS", "17.5", "tablet"]);
}

/// A name that a client gives itself must not carry an identifier into the store.
#[test]
fn nothing_distinctive_of_an_agent_is_kept() {
    let parser = AgentParser::new();
    let secret = "canary-9f8e7d6c5b4a";
    for agent in [
        secret.to_owned(),
        format!("{secret}/1.0"),
        format!("{secret}bot/1.0 (+https://{secret}.example/)"),
        format!("{CHROME} {secret}"),
        format!("{CHROME} {secret}/12345678901.2"),
        format!("Mozilla/5.0 (compatible; {secret}/2.0; +http://x.example/{secret})"),
        format!(
            "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/1 {secret}/3"
        ),
        format!("{secret}@mail.example"),
        format!("{secret}Browser/4.5"),
    ] {
        let brands = format!("\"{secret}\";v=\"{secret}\"");
        for hints in [ClientHints::default(), ClientHints { brands: &brands, ..Default::default() }]
        {
            let got = format!("{:?}", parser.parse_uncached(&agent, &hints));
            assert!(!got.contains("9f8e"), "{agent}: {got}");
            assert!(!got.contains("12345678"), "{agent}: {got}");
        }
    }
}

#[test]
fn a_host_right_behind_a_letter_of_several_bytes_is_found_in_its_place() {
    let agent = "Mozilla/5.0 (4; Foo \u{45f}host.com";
    let info = AgentParser::new().parse_uncached(agent, &ClientHints::default());
    assert_eq!(info.bot.reason(), "declared:Foo");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]
    #[test]
    fn no_text_makes_enrichment_panic(
        agent in "\\PC{0,80}",
        word in proptest::sample::select(vec![
            "Chrome/", "Safari/", "compatible;", "bot", "http://", "@", "Android ", "like Gecko)",
            "Browser/", "Mozilla/5.0 (", "www.", "é.com", "YaBrowser/", "iPhone", "CFNetwork/1",
        ]),
        tail in "\\PC{0,40}",
        url in "(https?://)?\\PC{0,60}\\?(utm_source=|gclid=|%)\\PC{0,20}",
        brands in "(\"\\PC{0,8}\";v=\"\\PC{0,4}\"|\\PC){0,4}",
    ) {
        let enricher = shared();
        let location = Location::default();
        let agent = format!("{agent}{word}{tail}");
        let hints = ClientHints { brands: &brands, full_versions: &brands, ..ClientHints::default() };
        let source = SourceFacts { url: &url, referrer: &url, ..SourceFacts::default() };
        let facts = HitFacts { user_agent: &agent, hints, headers: headers(), location: &location, source };
        let got = enricher.enrich(&facts);
        proptest::prop_assert!(got.agent.agent.browser.len() <= 200);
        proptest::prop_assert!(got.bot.reason().len() <= 200);
    }
}

fn shared() -> &'static Enricher {
    static ENRICHER: std::sync::LazyLock<Enricher> =
        std::sync::LazyLock::new(|| Enricher::new(Network::empty()));
    &ENRICHER
}
