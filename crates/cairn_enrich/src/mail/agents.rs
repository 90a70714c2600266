//! Who fetches what is in a mail, by `User-Agent`, as providers of mail and makers of scanners document it.

/// Networks that Google's image proxy fetches from.
pub(super) const GOOGLE: [u32; 2] = [15169, 396982];
/// Networks of Yahoo and AOL.
pub(super) const YAHOO: [u32; 6] = [10310, 26101, 34010, 36646, 36647, 56173];

/// What fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetcher {
    GmailProxy,
    YahooProxy,
    GmailPrefetch,
    AppleRelay,
    SecurityScanner,
    LinkPreview,
    Program,
    MailProgram,
    Browser,
    Nameless,
    Odd,
}

/// Gmail's fetch ahead of the reader, to the letter.
const GMAIL_PREFETCH: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 \
                              (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 \
                              Mozilla/5.0";

/// Words, in lower case, with what they say; the first that is found decides.
const WORDS: &[(&str, Fetcher)] = &[
    ("googleimageproxy", Fetcher::GmailProxy),
    ("yahoomailproxy", Fetcher::YahooProxy),
    ("barracuda", Fetcher::SecurityScanner),
    ("proofpoint", Fetcher::SecurityScanner),
    ("mimecast", Fetcher::SecurityScanner),
    ("ciscosecureemail", Fetcher::SecurityScanner),
    ("ironport", Fetcher::SecurityScanner),
    ("tmes", Fetcher::SecurityScanner),
    ("trendmicro", Fetcher::SecurityScanner),
    ("fireeye", Fetcher::SecurityScanner),
    ("sophos", Fetcher::SecurityScanner),
    ("forcepoint", Fetcher::SecurityScanner),
    ("slackbot", Fetcher::LinkPreview),
    ("facebookexternalhit", Fetcher::LinkPreview),
    ("whatsapp", Fetcher::LinkPreview),
    ("bingpreview", Fetcher::LinkPreview),
    ("skypeuripreview", Fetcher::LinkPreview),
    ("linkedinbot", Fetcher::LinkPreview),
    ("twitterbot", Fetcher::LinkPreview),
    ("discordbot", Fetcher::LinkPreview),
    ("telegrambot", Fetcher::LinkPreview),
    ("headless", Fetcher::Program),
    ("phantomjs", Fetcher::Program),
    ("puppeteer", Fetcher::Program),
    ("playwright", Fetcher::Program),
    ("python", Fetcher::Program),
    ("curl/", Fetcher::Program),
    ("wget", Fetcher::Program),
    ("go-http-client", Fetcher::Program),
    ("java/", Fetcher::Program),
    ("apache-httpclient", Fetcher::Program),
    ("okhttp", Fetcher::Program),
    ("libwww", Fetcher::Program),
    ("node-fetch", Fetcher::Program),
    ("axios", Fetcher::Program),
    ("aiohttp", Fetcher::Program),
    ("ruby", Fetcher::Program),
    ("guzzle", Fetcher::Program),
    ("bot/", Fetcher::Program),
    ("bot;", Fetcher::Program),
    ("bot)", Fetcher::Program),
    ("crawler", Fetcher::Program),
    ("spider", Fetcher::Program),
    ("scanner", Fetcher::Program),
    ("ms-office", Fetcher::MailProgram),
    ("msoffice", Fetcher::MailProgram),
    ("microsoft outlook", Fetcher::MailProgram),
    ("thunderbird", Fetcher::MailProgram),
    ("airmail", Fetcher::MailProgram),
    ("k-9", Fetcher::MailProgram),
    ("evolution", Fetcher::MailProgram),
];

pub(super) fn fetcher(user_agent: &str) -> Fetcher {
    let agent = user_agent.trim();
    match agent {
        "" => return Fetcher::Nameless,
        "Mozilla/5.0" => return Fetcher::AppleRelay,
        GMAIL_PREFETCH => return Fetcher::GmailPrefetch,
        _ => {}
    }
    let lower = agent.to_ascii_lowercase();
    if let Some((_, fetcher)) = WORDS.iter().find(|(word, _)| lower.contains(word)) {
        return *fetcher;
    }
    // Without a version of its own, WebKit is a mail program's view (Apple Mail).
    let is_browser = ["chrome/", "crios/", "firefox/", "fxios/", "safari/", "edg/", "opr/"];
    if is_browser.iter().any(|word| lower.contains(word)) {
        return Fetcher::Browser;
    }
    if lower.starts_with("mozilla/5.0 (") && lower.contains("applewebkit/") {
        return Fetcher::MailProgram;
    }
    Fetcher::Odd
}
