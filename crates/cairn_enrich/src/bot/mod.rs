//! Whether a hit comes from a program, and the one reason that decided it.
//!
//! Bots are marked, never dropped. The agent decides first; then what the headers lack that a
//! browser of that kind always sends. A hosting network is a mark on the hit, never a verdict: people
//! use VPNs and office proxies. Mail image proxies fetch on behalf of a reader and are not bots.
//! It cannot know programs that imitate a browser completely.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

mod names;

use crate::agent::{AgentInfo, first_product, is_presentable};
use names::{INNOCENT, SIGNS};

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

/// What a word in a user agent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// A person is behind it: a mail proxy that fetches for a reader, a text browser.
    Person,
    /// A browser without a window.
    Headless,
    /// A library or tool.
    Library,
    /// A robot that says so.
    Declared,
}

/// The automaton over [`SIGNS`].
pub(crate) struct BotNames {
    automaton: Option<AhoCorasick>,
}

/// What the agent alone says, with the robot's own name where it has one.
pub(crate) struct AgentVerdict {
    pub verdict: BotVerdict,
    pub name: Option<String>,
}

impl BotNames {
    pub(crate) fn new() -> Self {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(SIGNS.iter().map(|(word, _)| bare(word)))
            .ok();
        Self { automaton }
    }

    /// The verdict from the agent alone; `browser` is the known browser it names, if any.
    pub(crate) fn judge(&self, user_agent: &str, browser: &str) -> AgentVerdict {
        let named = |name: String, word: &str| {
            let name = if is_presentable(&name, user_agent) { name } else { word.to_owned() };
            let verdict = BotVerdict::bot(&format!("declared:{name}"));
            AgentVerdict { verdict, name: Some(name) }
        };
        let plain = |reason| AgentVerdict { verdict: BotVerdict::bot(reason), name: None };
        if user_agent.is_empty() {
            return plain("missing_user_agent");
        }
        let lower = user_agent.to_ascii_lowercase();
        let names_browser = !browser.is_empty();
        match self.sign(user_agent, &lower) {
            Some((Sign::Person, ..)) => {
                return AgentVerdict { verdict: BotVerdict::human(), name: None };
            }
            Some((Sign::Headless, ..)) => return plain("headless"),
            Some((Sign::Library, ..)) => return plain("library"),
            Some((Sign::Declared, at, word)) => return named(name_at(user_agent, at), word),
            None => {}
        }
        if let Some(at) = contact(&lower, browser) {
            return named(name_before(user_agent, at), UNNAMED);
        }
        let strange = unknown_compatible(&lower, names_browser);
        if let Some(at) = strange.or_else(|| signature(&lower, browser)) {
            return named(name_at(user_agent, at), UNNAMED);
        }
        if is_no_browser(&lower, names_browser) {
            return plain("library");
        }
        AgentVerdict { verdict: BotVerdict::human(), name: None }
    }

    /// The strongest sign, where it stands, and its word.
    fn sign(&self, user_agent: &str, lower: &str) -> Option<(Sign, usize, &'static str)> {
        let model = device_model(lower);
        let mut best: Option<(Sign, usize, &str)> = None;
        for hit in self.automaton.as_ref()?.find_overlapping_iter(user_agent) {
            let (word, sign) = SIGNS[hit.pattern().as_usize()];
            if best.is_some_and(|(known, ..)| known as u8 <= sign as u8)
                || !stands(word, lower.as_bytes(), hit.start(), hit.end())
                || is_innocent(lower, hit.start())
                || sign == Sign::Declared
                    && model.contains(&hit.start())
                    && is_model_word(word, lower, hit.end())
                || word == "!whatsapp/" && lower.contains(" device/")
            {
                continue;
            }
            best = Some((sign, hit.start(), bare(word)));
        }
        best
    }
}

/// Whether a word that robots use may as well be part of a phone's name.
fn is_model_word(word: &str, lower: &str, end: usize) -> bool {
    !matches!(bare(word), "catchpoint" | "weblight") && lower.as_bytes().get(end) != Some(&b'/')
}

fn bare(word: &str) -> &str {
    let word = word.strip_prefix(['^', '!', '=']).unwrap_or(word);
    word.strip_suffix('$').unwrap_or(word)
}

fn stands(word: &str, text: &[u8], start: usize, end: usize) -> bool {
    let begins = match word.as_bytes()[0] {
        b'!' => start == 0,
        b'=' => start == 0 && end == text.len(),
        b'^' => start == 0 || !text[start - 1].is_ascii_alphanumeric(),
        _ => true,
    };
    let ends = !word.ends_with('$') || text.get(end).is_none_or(|b| !b.is_ascii_alphabetic());
    begins && ends
}

fn is_innocent(lower: &str, at: usize) -> bool {
    let start = lower[..at].rfind([' ', ';', '(', '/']).map_or(0, |before| before + 1);
    INNOCENT.iter().any(|word| lower[start..].starts_with(word))
}

/// Where the model of an Android phone stands: phones are called `M bot 54` and `Spider 8`.
fn device_model(lower: &str) -> std::ops::Range<usize> {
    let Some(start) = lower.find("android ") else { return 0..0 };
    let end = lower[start..].find(')').map_or(lower.len(), |end| start + end);
    if lower[start..end].contains("compatible") { 0..0 } else { start..end }
}

/// Where an address to write to begins: browsers carry none, robots are asked to. Old browsers were
/// branded with the site of whoever handed them out (`; SEARCHALOT.COM IE5`), never with a link.
fn contact(lower: &str, browser: &str) -> Option<usize> {
    const BRANDED: &[&str] =
        &["Internet Explorer", "Firefox", "Netscape", "MyIE2", "Maxthon", "Avant Browser", "Opera"];
    let is_branded = BRANDED.contains(&browser);
    let link = ["http://", "https://", "mailto:"].iter().find_map(|word| lower.find(word));
    let link = link.or_else(|| lower.find("www.").filter(|_| !is_branded));
    let mail = || {
        lower.match_indices('@').map(|(at, _)| at).find(|&at| {
            let domain = lower[at + 1..].split(|c: char| !is_host_character(c)).next();
            let before = lower.as_bytes().get(at.wrapping_sub(1));
            before.is_some_and(u8::is_ascii_alphanumeric)
                && domain.is_some_and(|domain| {
                    domain.starts_with(|c: char| c.is_ascii_alphabetic()) && domain.contains('.')
                })
        })
    };
    link.or_else(mail).or_else(|| host_name(lower).filter(|_| !is_branded))
}

fn is_host_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-')
}

/// A bare host name (`adbeat.com`), the signature of robots without manners. Apps that are named
/// after their site do not begin like a browser.
fn host_name(lower: &str) -> Option<usize> {
    const ENDINGS: &[&str] = &[
        "com", "net", "org", "io", "co", "ai", "ru", "app", "me", "info", "biz", "dev", "gy", "ly",
        "nu", "eu", "fr", "jp", "cn", "de", "uk", "tools", "cloud", "tech", "site", "online",
    ];
    if !lower.starts_with("mozilla/") {
        return None;
    }
    let mut start = 0;
    let parts = |c: char| !(is_host_character(c) || c == '_' || c == '@');
    // What parts two words may be a letter of several bytes.
    for piece in lower.split_inclusive(parts) {
        let word = piece.trim_end_matches(parts);
        let is_host = word.rsplit_once('.').is_some_and(|(name, ending)| {
            ENDINGS.contains(&ending)
                && name.len() >= 2
                && !name.contains('_')
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.split('.').count() <= 2
                && !name.starts_with("com.")
                && !name.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        });
        if is_host {
            return Some(start);
        }
        start += piece.len();
    }
    None
}

/// A product behind the last word of a desktop Chrome (`… Safari/537.36 Assetnote/1.0.0`): a robot
/// that signs. Brands that imitate Chrome's own four-part version are browsers.
fn signature(lower: &str, browser: &str) -> Option<usize> {
    let is_desktop = ["(windows nt ", "(macintosh; ", "(x11; "].iter().any(|system| {
        lower.strip_prefix("mozilla/5.0 ").is_some_and(|rest| rest.starts_with(system))
    });
    if browser != "Chrome" || !is_desktop || lower.contains("crkey") || lower.contains("tv") {
        return None;
    }
    let after = lower.rfind(" safari/")? + " safari/".len();
    let space = after + lower[after..].find([' ', ';', ','])?;
    let at = space + lower[space..].find(|c: char| c.is_ascii_alphabetic())?;
    let word = lower[at..].split([' ', ';']).next().unwrap_or("");
    let (name, version) = word.split_once('/').unwrap_or((word, ""));
    let is_branded = version.split('.').count() >= 4;
    let is_usual = matches!(name, "model" | "mms" | "core" | "coolita" | "electron" | "tesla");
    let is_usual = is_usual || name.contains("browser");
    (!is_branded && !is_usual && name.len() > 2).then_some(at)
}

/// `(compatible; Something)` without any browser known: where `Something` begins.
fn unknown_compatible(lower: &str, names_browser: bool) -> Option<usize> {
    if names_browser || !lower.starts_with("mozilla/") {
        return None;
    }
    let at = lower.find("compatible;")? + "compatible;".len();
    let rest = lower[at..].trim_start();
    let is_name = !rest.starts_with("u;") && !rest.starts_with(')');
    is_name.then(|| lower.len() - rest.len())
}

/// Agents without the words that every browser and most apps send: a system or an engine.
fn is_no_browser(lower: &str, names_browser: bool) -> bool {
    const SYSTEMS: &[&str] = &[
        "windows",
        "win32",
        "win64",
        "win9",
        "winnt",
        "mac",
        "linux",
        "x11",
        "android",
        "iphone",
        "ipad",
        "ipod",
        "ios",
        "cfnetwork",
        "darwin",
        "dalvik",
        "symbian",
        "blackberry",
        "midp",
        "tv",
        "playstation",
        "nintendo",
        "webos",
        "tizen",
        "kaios",
        "roku",
        "amiga",
        "gecko",
        "khtml",
        "webkit",
        "mobile",
        "phone",
        "os/2",
        "beos",
        "watch",
        "freebsd",
        "sunos",
        "player",
        "pod",
        "cast",
        "radio",
        "music",
        "audio",
        "app",
        "maui",
        "browser",
        "nokia",
        "samsung",
        "mot-",
        "motorola",
        "lg",
        "htc",
        "alcatel",
        "pantech",
        "sie-",
        "sony",
        "kwc",
        "sagem",
        "sharp",
        "philips",
        "panasonic",
        "sanyo",
        "zte",
        "huawei",
        "benq",
        "toshiba",
        "nec-",
        "kyocera",
        "amoi",
        "spice",
        "lenovo",
        "amazon;",
        "garmin",
        "sonos",
        "zune",
        "hulu",
        "stream",
        "vlc",
        "wap1",
        "citrix",
    ];
    !names_browser && !SYSTEMS.iter().any(|word| lower.contains(word))
}

/// The robot's name: what the agent begins with; for one in a browser's clothes what follows
/// `compatible;`, or else the product around the telling word.
fn name_at(user_agent: &str, at: usize) -> String {
    if let Some(name) = own_name(user_agent).or_else(|| compatible_name(user_agent)) {
        return name;
    }
    let is_inside = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '!' | ':');
    let before = &user_agent[..at];
    let start = before
        .char_indices()
        .rev()
        .take_while(|(_, c)| is_inside(*c))
        .last()
        .map_or(at, |(start, _)| start);
    let rest = &user_agent[start..];
    let end = rest.find(|c: char| !(is_inside(c) || c == '.')).unwrap_or(rest.len());
    tidy(&rest[..end])
}

/// The product named last before an address: `Foo/1.0` in `(Foo/1.0; +http://…`; or the host.
fn name_before(user_agent: &str, at: usize) -> String {
    if let Some(name) = own_name(user_agent).or_else(|| compatible_name(user_agent)) {
        return name;
    }
    let before = user_agent[..at].trim_end_matches(|c: char| !c.is_alphanumeric());
    let start = before.rfind([';', '(', ',', ')']).map_or(0, |at| at + 1);
    let name = before[start..].trim().split(['/', ' ']).next().unwrap_or("");
    if name.is_empty() || is_clothes(name) {
        let rest = &user_agent[at..];
        let rest = rest.split_once("//").map_or(rest, |(_, rest)| rest);
        return tidy(rest.split(['/', ' ', ')', ';', ',']).next().unwrap_or(""));
    }
    tidy(name)
}

/// What an agent that does not begin like a browser begins with.
fn own_name(user_agent: &str) -> Option<String> {
    let head = user_agent.get(..7).unwrap_or(user_agent);
    if head.eq_ignore_ascii_case("mozilla")
        || head.starts_with("Opera")
        || head.starts_with("DoCoMo")
    {
        return None;
    }
    product(user_agent)
}

/// The first product behind `compatible;` that is no browser and no system.
fn compatible_name(user_agent: &str) -> Option<String> {
    let lower = user_agent.to_ascii_lowercase();
    let start = lower.rfind("compatible;")? + "compatible;".len();
    let rest = user_agent.get(start..)?;
    let end = rest.find(')').unwrap_or(rest.len());
    rest[..end].split(';').map(str::trim).find(|part| !is_clothes(part)).and_then(product)
}

fn product(text: &str) -> Option<String> {
    let (name, _) = first_product(text)?;
    let end = [" http", " www.", " - "].iter().filter_map(|word| name.find(word)).min();
    let name = tidy(&name[..end.unwrap_or(name.len())]);
    (name != UNNAMED).then_some(name)
}

/// Words that a browser puts where robots put their names.
fn is_clothes(part: &str) -> bool {
    const CLOTHES: &[&str] = &[
        "msie",
        "windows",
        "linux",
        "x11",
        "macintosh",
        "android",
        "iphone",
        "mozilla",
        "khtml",
        "http",
        "+http",
        "+",
        ".net",
        "en",
        "compatible",
        "gecko",
        "applewebkit",
        "like ",
        "win",
    ];
    let part = part.to_ascii_lowercase();
    part.len() < 2 || CLOTHES.iter().any(|word| part.starts_with(word))
}

/// The name of a robot that has none, or none that may be kept.
const UNNAMED: &str = "unnamed";

/// At most 40 characters, never empty.
fn tidy(name: &str) -> String {
    let name: String = name.trim_matches(['.', '-', '_', ':']).chars().take(40).collect();
    if name.is_empty() { UNNAMED.to_owned() } else { name }
}

/// The verdict on a hit: its agent first, then its headers.
///
/// Headers are judged only where every browser of the kind sends them: a current Chrome over TLS has
/// `Sec-Fetch-*`, client hints and `Accept-Language` on every request; it counts as a program when it
/// lacks all three. Other browsers, old ones and requests without TLS are not judged by what is missing.
pub fn judge(info: &AgentInfo, headers: &HeaderFacts<'_>) -> BotVerdict {
    if headers.kind == RequestKind::Server {
        return BotVerdict::human();
    }
    if is_prefetch(headers.purpose) {
        return BotVerdict::bot("prefetch");
    }
    if info.bot.is_bot() || headers.kind == RequestKind::Import {
        return info.bot.clone();
    }
    if info.traits.hints_contradict {
        return BotVerdict::bot("contradictory_headers");
    }
    let is_bare = !headers.has_sec_fetch && !headers.has_accept_language && !info.traits.has_hints;
    if headers.secure && is_bare && info.traits.chromium_major >= FIRST_CHROMIUM_WITH_HINTS {
        return BotVerdict::bot("missing_headers");
    }
    BotVerdict::human()
}

/// Since version 89 Chrome sends client hints by default, `Sec-Fetch-*` since 76.
const FIRST_CHROMIUM_WITH_HINTS: u16 = 90;

fn is_prefetch(purpose: &str) -> bool {
    let purpose = purpose.as_bytes();
    [b"prefetch".as_slice(), b"prerender", b"preview"]
        .iter()
        .any(|word| purpose.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
}
