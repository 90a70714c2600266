//! From the words found to a sketch of the client.

use std::borrow::Cow;
use std::sync::Arc;

use super::names::BROWSERS;
use super::words::Found;
use super::{Agent, device, system};

/// An agent in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Sketch {
    pub browser: Cow<'static, str>,
    pub browser_version: String,
    pub os: Cow<'static, str>,
    pub os_version: String,
    pub device: &'static str,
}

impl Sketch {
    /// Names from the tables as they are; names that the client chose only if they can be shown.
    pub(super) fn into_agent(self, user_agent: &str) -> Agent {
        let browser = match &self.browser {
            Cow::Owned(name) if !is_presentable(name, user_agent) => "",
            name => name.as_ref(),
        };
        Agent {
            browser: Arc::from(browser),
            browser_version: Arc::from(short_version(&self.browser_version).as_str()),
            os: Arc::from(self.os.as_ref()),
            os_version: Arc::from(short_version(&self.os_version).as_str()),
            device: Arc::from(self.device),
        }
    }
}

/// Whether a name that a client chose for itself may be kept: short, not the whole user agent, and
/// without the digits of an identifier. What is kept of an agent must not tell one visitor from
/// another.
pub(crate) fn is_presentable(name: &str, user_agent: &str) -> bool {
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    name.chars().count() <= 32
        && digits <= 2
        && !name.contains('@')
        && !name.eq_ignore_ascii_case(user_agent.trim())
}

pub(super) fn sketch(user_agent: &str, found: &Found) -> Sketch {
    let mut sketch = Sketch::default();
    let lower = user_agent.to_ascii_lowercase();
    system::apply(&mut sketch, user_agent, &lower, found);
    if let Some(word) = found.browser {
        sketch.browser = Cow::Borrowed(BROWSERS[word.rank].1);
        sketch.browser_version = version_at(user_agent, word.end).to_owned();
    }
    refine(&mut sketch, user_agent, &lower);
    device::apply(&mut sketch, &lower);
    sketch
}

/// What follows from several words together.
fn refine(sketch: &mut Sketch, user_agent: &str, lower: &str) {
    match sketch.browser.as_ref() {
        "Chrome" | "Safari" | "Chromium" | "Firefox" | "" => {
            if let Some((name, version)) = unlisted(user_agent, lower) {
                sketch.browser = Cow::Owned(name);
                sketch.browser_version = version.to_owned();
                return;
            }
        }
        "Internet Explorer" => {
            sketch.browser_version = explorer_version(lower).to_owned();
            return;
        }
        _ => {}
    }
    match sketch.browser.as_ref() {
        "Safari" => safari(sketch, lower),
        "Chrome" if embedded(user_agent, lower).is_some() => {
            if let Some((name, version)) = embedded(user_agent, lower) {
                sketch.browser = Cow::Owned(name.to_owned());
                sketch.browser_version = version.to_owned();
            }
        }
        "Android Browser" => sketch.browser_version.clear(),
        "Yandex Browser" if lower.contains("(lite)") => {
            sketch.browser = Cow::Borrowed("Yandex Browser Lite");
        }
        "Chrome" if lower.contains("; wv)") || lower.contains("version/4.0 chrome/") => {
            sketch.browser = Cow::Borrowed("Chrome WebView");
        }
        "Opera" | "Opera Mobile" | "Opera Devices" if lower.starts_with("opera/") => {
            if let Some(version) = after(lower, "version/") {
                sketch.browser_version = version.to_owned();
            }
        }
        "" => fallback(sketch, user_agent, lower),
        _ => {}
    }
}

fn safari(sketch: &mut Sketch, lower: &str) {
    let version = after(lower, "version/").unwrap_or("").to_owned();
    if sketch.os == "Android" || sketch.os == "Fire OS" {
        // `Version/4.0` of every Android says nothing about the browser.
        sketch.browser = Cow::Borrowed("Android Browser");
        sketch.browser_version.clear();
    } else if sketch.os == "Tizen" {
        sketch.browser = Cow::Borrowed("Tizen Browser");
        sketch.browser_version = version;
    } else if sketch.os == "webOS" {
        let name = if lower.contains("tv") { "LG Browser" } else { "webOS Browser" };
        sketch.browser = Cow::Borrowed(name);
        sketch.browser_version = version;
    } else if !version.is_empty() {
        sketch.browser_version = version;
    } else {
        // What follows `Safari/` is the build of the engine, not a version anyone knows.
        sketch.browser_version.clear();
    }
}

/// Clients in which no word is known.
fn fallback(sketch: &mut Sketch, user_agent: &str, lower: &str) {
    let is_apple = matches!(sketch.os.as_ref(), "iOS" | "iPadOS");
    let is_model = ["iphone", "ipad", "ipod"].iter().any(|word| lower.starts_with(word));
    if let Some((name, version)) = tail_product(user_agent, lower) {
        sketch.browser = Cow::Owned(name.to_owned());
        sketch.browser_version = version.to_owned();
    } else if is_apple && (lower.contains("applewebkit") || is_model && !lower.contains('/')) {
        sketch.browser = Cow::Borrowed("Safari");
        sketch.browser_version = after(lower, "version/").unwrap_or("").to_owned();
    } else if is_android(sketch) && (lower.contains("applewebkit") || lower.contains("release/")) {
        sketch.browser = Cow::Borrowed("Android Browser");
    } else if lower.starts_with("mozilla/5.0") && lower.contains("gecko/") {
        sketch.browser = Cow::Borrowed("Mozilla");
        sketch.browser_version = after(lower, "rv:").unwrap_or("").to_owned();
    } else if let Some(rest) = lower.strip_prefix("mozilla/").filter(|_| is_netscape(lower)) {
        sketch.browser = Cow::Borrowed("Netscape");
        sketch.browser_version = version_at(rest, 0).to_owned();
    } else if is_android(sketch)
        && first_product(user_agent).is_none_or(|(name, _)| is_system(name))
    {
        sketch.browser = Cow::Borrowed("Android Browser");
    } else if let Some((name, version)) = first_product(user_agent) {
        sketch.browser = Cow::Owned(name.to_owned());
        sketch.browser_version = version.to_owned();
    }
}

fn is_android(sketch: &Sketch) -> bool {
    matches!(sketch.os.as_ref(), "Android" | "Fire OS")
}

/// `Mozilla/5.0 (…) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E302 Pandora/1902.1`: what an
/// app with a web view calls itself behind the engine's words.
fn tail_product<'u>(user_agent: &'u str, lower: &str) -> Option<(&'u str, &'u str)> {
    const ENGINE: &[&str] =
        &["mozilla", "applewebkit", "gecko", "mobile", "version", "safari", "khtml", "presto"];
    if !lower.starts_with("mozilla/5.0") {
        return None;
    }
    let start =
        lower.find("like gecko)").map_or("mozilla/5.0".len(), |at| at + "like gecko)".len());
    let tail = user_agent.get(start..)?;
    let tail = tail.split('(').next().unwrap_or(tail);
    tail.split(' ').find_map(|word| {
        let (name, version) = word.split_once('/')?;
        let is_engine = ENGINE.iter().any(|engine| name.eq_ignore_ascii_case(engine));
        let is_name =
            name.len() > 2 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let is_versioned = version.starts_with(|c: char| c.is_ascii_digit());
        (!is_engine && is_name && is_versioned).then(|| (name, version_at(version, 0)))
    })
}

/// Whether the first word of an agent names the system instead of the program.
fn is_system(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("android") || name.starts_with("linux") || name.starts_with(char::is_numeric)
}

/// Netscape up to 4.x called itself `Mozilla` and nothing else.
fn is_netscape(lower: &str) -> bool {
    let major = lower.as_bytes().get("mozilla/".len());
    matches!(major, Some(b'1'..=b'4')) && !lower.contains("compatible")
}

/// Internet Explorer by its engine, which compatibility mode does not hide.
fn explorer_version(lower: &str) -> &str {
    match after(lower, "trident/") {
        Some("4.0") => "8.0",
        Some("5.0") => "9.0",
        Some("6.0") => "10.0",
        Some("7.0" | "8.0") => "11.0",
        _ => after(lower, "msie ").or_else(|| after(lower, "rv:")).unwrap_or(""),
    }
}

/// An app with a desktop Chromium inside names itself between the engine's own words
/// (`Chrome/103.0.5060.141 CitizenFX/1.0`) or with Chrome's four-part version at the end.
fn embedded<'u>(user_agent: &'u str, lower: &str) -> Option<(&'u str, &'u str)> {
    const USUAL: &[&str] =
        &["chrome", "chromium", "safari", "version", "mobile", "electron", "crkey", "cef", "crios"];
    let is_desktop = ["(windows nt", "(macintosh", "(x11"].iter().any(|word| lower.contains(word));
    if !is_desktop || lower.contains("mobile") || lower.contains("tv") {
        return None;
    }
    let start = lower.find("like gecko)")? + "like gecko)".len();
    let safari = lower.find(" safari/").unwrap_or(lower.len());
    let mut at = start;
    for word in user_agent.get(start..)?.split(' ') {
        let (name, version) = word.split_once('/').unwrap_or((word, ""));
        let is_usual = USUAL.iter().any(|usual| name.eq_ignore_ascii_case(usual));
        let is_name = name.len() > 2 && name.bytes().all(|b| b.is_ascii_alphanumeric());
        let is_versioned = version.starts_with(|c: char| c.is_ascii_digit());
        let is_inside = at < safari || version.split('.').count() == 4;
        if !is_usual && is_name && is_versioned && is_inside {
            return Some((name, version));
        }
        at += word.len() + 1;
    }
    None
}

/// A product of an unlisted name that calls itself a browser: `FooBrowser/1.2`.
fn unlisted<'u>(user_agent: &'u str, lower: &str) -> Option<(String, &'u str)> {
    let slash =
        lower.match_indices("browser/").map(|(at, word)| at + word.len() - 1).find(|&at| {
            let start = word_start(lower, at);
            at - start > "browser".len()
        })?;
    let start = word_start(lower, slash);
    let name = user_agent.get(start..slash)?;
    let version = version_at(user_agent, slash + 1);
    let stem = name.get(..name.len() - "browser".len())?.trim_end_matches(['-', '_', '.']);
    (!version.is_empty() && stem.len() >= 2).then(|| (format!("{stem} Browser"), version))
}

fn word_start(text: &str, end: usize) -> usize {
    let is_inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let bytes = text.as_bytes();
    (0..end).rev().take_while(|&at| is_inside(bytes[at])).last().unwrap_or(end)
}

/// `Luminary/1.0.2 (…)`, `ESPN Radio 4.7.4`: the product an app names itself by, and its version.
pub(crate) fn first_product(user_agent: &str) -> Option<(&str, &str)> {
    let end = user_agent.find(['/', '(', ';', ',', '[', '<']).unwrap_or(user_agent.len());
    let head = user_agent.get(..end)?;
    let is_version = |word: &str| {
        word.trim_start_matches(['v', 'V']).starts_with(|c: char| c.is_ascii_digit())
            && !word.starts_with(char::is_whitespace)
    };
    let mut end = end;
    for (at, _) in head.match_indices(' ') {
        if at > 0
            && head.get(at + 1..).is_some_and(|rest| is_version(rest) || rest.starts_with('+'))
        {
            end = at;
            break;
        }
    }
    let name = user_agent.get(..end)?.trim().trim_matches(['"', '\'']);
    let is_name = name.chars().any(char::is_alphabetic)
        && name.len() <= 40
        && !name.eq_ignore_ascii_case("mozilla");
    is_name.then(|| (name, version_at(user_agent, end)))
}

/// The version behind the first occurrence of a word.
fn after<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let at = text.find(word)? + word.len();
    Some(version_at(text, at)).filter(|version| !version.is_empty())
}

/// The version written right after a word: digits and dots, perhaps behind one separator.
pub(super) fn version_at(text: &str, start: usize) -> &str {
    let rest = text.get(start..).unwrap_or("");
    let rest = rest.trim_start_matches(['/', ' ', ':', '-', '_', '(', 'v', 'V', '=']);
    let end =
        rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', '_'])
}

/// `126.0.6478.55` → `126`, `17_4_1` → `17.4`; long numbers are builds or worse and are left out.
fn short_version(version: &str) -> String {
    let mut parts = version.split(['.', '_']);
    let major = parts.next().unwrap_or("");
    if major.len() > 5 {
        return String::new();
    }
    match parts.next().filter(|minor| minor.len() <= 3) {
        Some(minor) if !minor.is_empty() && minor.bytes().any(|b| b != b'0') => {
            format!("{major}.{minor}")
        }
        _ => major.to_owned(),
    }
}
