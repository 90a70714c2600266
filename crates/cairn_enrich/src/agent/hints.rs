//! Client hints: what Chromium says apart from its frozen user agent.
//!
//! Brands that Chromium invents to keep servers honest (`Not;A=Brand`) are ignored. Hints refine the
//! user agent where it is frozen; where both name different systems the hit is suspicious.

use std::borrow::Cow;

use super::detect::Sketch;
use super::{AgentTraits, ClientHints};

/// Brands and the names reported for them; others are reported as they call themselves.
const BRANDS: &[(&str, &str)] = &[
    ("Google Chrome", "Chrome"),
    ("Microsoft Edge", "Edge"),
    ("Microsoft Edge WebView2", "Edge WebView"),
    ("Android WebView", "Chrome WebView"),
    ("HeadlessChrome", "Headless Chrome"),
    ("YaBrowser", "Yandex Browser"),
    ("Yandex", "Yandex Browser"),
    ("HuaweiBrowser", "Huawei Browser"),
    ("MiuiBrowser", "Mi Browser"),
    ("XiaoMiBrowser", "Mi Browser"),
    ("OperaMobile", "Opera Mobile"),
    ("Opera GX", "Opera GX"),
    ("NAVER Whale", "Whale"),
    ("CocCoc", "Coc Coc"),
    ("Avast", "Avast Secure Browser"),
    ("AVG", "AVG Secure Browser"),
    ("Norton", "Norton Private Browser"),
    ("CCleaner", "CCleaner"),
    ("DuckDuckGo", "DuckDuckGo"),
    ("EcosiaBrowser", "Ecosia"),
    ("360 Secure", "360 Secure Browser"),
];

/// Android packages of browsers, as web views send them in `X-Requested-With`.
const PACKAGES: &[(&str, &str)] = &[
    ("com.duckduckgo.mobile.android", "DuckDuckGo"),
    ("com.sec.android.app.sbrowser", "Samsung Internet"),
    ("com.mi.globalbrowser", "Mi Browser"),
    ("com.huawei.browser", "Huawei Browser"),
    ("com.heytap.browser", "HeyTapBrowser"),
    ("com.vivo.browser", "vivo Browser"),
    ("com.opera.mini.native", "Opera Mini"),
    ("com.opera.browser", "Opera Mobile"),
    ("com.opera.touch", "Opera Touch"),
    ("com.opera.gx", "Opera GX"),
    ("com.transsion.phoenix", "Phoenix Browser"),
    ("com.talpa.hibrowser", "Hi Browser"),
    ("com.cloudmosa.puffin", "Puffin"),
    ("com.cloudmosa.puffinfree", "Puffin"),
    ("com.aloha.browser", "Aloha Browser"),
    ("com.alohamobile.browser", "Aloha Browser"),
    ("mobi.mgeek.tunnybrowser", "Dolphin"),
    ("com.ucmobile.intl", "UC Browser"),
    ("com.uc.browser.en", "UC Browser Mini"),
    ("com.yandex.browser", "Yandex Browser"),
    ("com.yandex.searchapp", "Yandex Browser"),
    ("com.ecosia.android", "Ecosia"),
    ("com.brave.browser", "Brave"),
    ("com.vivaldi.browser", "Vivaldi"),
    ("com.tcl.browser", "BrowseHere"),
    ("com.phlox.tvwebbrowser", "TV Bro"),
    ("com.seraphic.openinet.pre", "Open Browser"),
    ("com.facebook.katana", "Facebook"),
    ("com.facebook.orca", "Facebook Messenger"),
    ("com.instagram.android", "Instagram"),
    ("com.snapchat.android", "Snapchat"),
    ("com.twitter.android", "Twitter"),
    ("com.tencent.mm", "WeChat"),
    ("com.whatsapp", "WhatsApp"),
    ("org.telegram.messenger", "Telegram"),
    ("com.zhiliaoapp.musically", "TikTok"),
    ("com.pinterest", "Pinterest"),
    ("com.linkedin.android", "LinkedIn"),
    ("com.reddit.frontpage", "Reddit"),
    ("com.viber.voip", "Viber"),
    ("jp.naver.line.android", "Line"),
    ("com.google.android.googlequicksearchbox", "Google App"),
    ("com.google.android.gm", "Gmail"),
];

pub(super) fn apply(sketch: &mut Sketch, hints: &ClientHints<'_>) {
    apply_brand(sketch, hints);
    apply_package(sketch, hints.requested_with.trim());
    apply_platform(sketch, hints);
    apply_form(sketch, hints);
}

fn apply_brand(sketch: &mut Sketch, hints: &ClientHints<'_>) {
    let is_plain = matches!(
        sketch.browser.as_ref(),
        "" | "Chrome" | "Chromium" | "Chrome WebView" | "Safari" | "Edge" | "Opera"
    );
    let Some(brand) = brand_of(hints.full_versions).or_else(|| brand_of(hints.brands)) else {
        return;
    };
    let full = brand_of(hints.full_versions).map(|full| full.version);
    let whole = unquoted(hints.full_versions);
    let alone = Some(whole).filter(|text| text.starts_with(|c: char| c.is_ascii_digit()));
    let name = BRANDS.iter().find(|(own, _)| *own == brand.name).map(|(_, name)| *name);
    if !is_plain {
        return;
    }
    let name = match name {
        Some(name) => Cow::Borrowed(name),
        None if brand.name == "Chromium" && !sketch.browser.is_empty() => return,
        None => Cow::Owned(brand.name.to_owned()),
    };
    let is_same = name == sketch.browser;
    sketch.browser = name;
    let version = full.or(alone).unwrap_or(brand.version);
    if !is_same || !version.is_empty() {
        sketch.browser_version = version.to_owned();
    }
}

struct Brand<'a> {
    name: &'a str,
    version: &'a str,
}

/// The brand that says most: not invented, and not `Chromium` if there is another one.
fn brand_of(list: &str) -> Option<Brand<'_>> {
    let mut best: Option<Brand<'_>> = None;
    for brand in brands(list) {
        let letters: String = brand.name.chars().filter(char::is_ascii_alphabetic).collect();
        let letters = letters.to_ascii_lowercase();
        if letters.is_empty() || letters.contains("not") && letters.contains("brand") {
            continue;
        }
        let is_better = match &best {
            None => true,
            Some(best) => matches!(best.name, "Chromium" | "Google Chrome"),
        };
        if is_better && (brand.name != "Chromium" || best.is_none()) {
            best = Some(brand);
        }
    }
    best
}

/// `"A";v="1", "B";v="2"`: names may contain commas and semicolons, never a bare quote.
fn brands(list: &str) -> impl Iterator<Item = Brand<'_>> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.find('"')? + 1;
        let length = rest[start..].find('"')?;
        let name = &rest[start..start + length];
        let tail = &rest[start + length + 1..];
        let Some(after) = tail.trim_start().strip_prefix(";v=\"") else {
            rest = tail;
            return Some(Brand { name, version: "" });
        };
        let end = after.find('"')?;
        rest = &after[end + 1..];
        Some(Brand { name, version: &after[..end] })
    })
}

fn apply_package(sketch: &mut Sketch, package: &str) {
    if package.is_empty() || package.eq_ignore_ascii_case("XMLHttpRequest") {
        return;
    }
    let package = package.to_ascii_lowercase();
    let Some((_, name)) = PACKAGES.iter().find(|(own, _)| *own == package) else { return };
    if sketch.os.is_empty() {
        sketch.os = Cow::Borrowed("Android");
    }
    if matches!(sketch.browser.as_ref(), "" | "Chrome WebView" | "Chrome" | "Android Browser") {
        sketch.browser = Cow::Borrowed(name);
        sketch.browser_version.clear();
    }
}

fn apply_platform(sketch: &mut Sketch, hints: &ClientHints<'_>) {
    let version = unquoted(hints.platform_version);
    let Some(platform) = platform_name(hints.platform) else { return };
    let is_frozen = match platform {
        "Android" => matches!(sketch.os.as_ref(), "" | "Android" | "Linux"),
        "Linux" => sketch.os.is_empty(),
        _ => sketch.os.is_empty() || sketch.os == platform,
    };
    if !is_frozen {
        return;
    }
    sketch.os = Cow::Borrowed(platform);
    let version = match platform {
        "Windows" => windows(version),
        "Linux" => "",
        _ => version,
    };
    if !version.is_empty() {
        sketch.os_version = version.to_owned();
    }
}

/// Windows by the version of its API contract: 13 and above is Windows 11.
fn windows(version: &str) -> &'static str {
    match (major(version), version) {
        (_, "") => "",
        (13.., _) => "11",
        (1..=12, _) => "10",
        (0, "0.3" | "0.3.0") => "8.1",
        (0, "0.2" | "0.2.0") => "8",
        (0, "0.1" | "0.1.0") => "7",
        _ => "",
    }
}

fn platform_name(platform: &str) -> Option<&'static str> {
    match unquoted(platform).to_ascii_lowercase().as_str() {
        "windows" => Some("Windows"),
        "macos" | "mac os x" => Some("macOS"),
        "linux" => Some("Linux"),
        "android" => Some("Android"),
        "chrome os" | "chromium os" => Some("Chrome OS"),
        "ios" => Some("iOS"),
        _ => None,
    }
}

fn apply_form(sketch: &mut Sketch, hints: &ClientHints<'_>) {
    let forms = hints.form_factors.to_ascii_lowercase();
    let form = [
        ("tv", "tv"),
        ("watch", "wearable"),
        ("xr", "wearable"),
        ("automotive", "car"),
        ("tablet", "tablet"),
        ("mobile", "mobile"),
        ("desktop", "desktop"),
    ];
    if let Some((_, device)) = form.iter().find(|(word, _)| forms.contains(word)) {
        sketch.device = device;
    } else if hints.mobile.trim() == "?1" && matches!(sketch.device, "desktop" | "") {
        sketch.device = "mobile";
    } else if sketch.device.is_empty() && !sketch.os.is_empty() {
        sketch.device = if sketch.os == "Android" { "mobile" } else { "desktop" };
    }
}

/// What the header checks need to know.
pub(super) fn traits(user_agent: &str, sketch: &Sketch, hints: &ClientHints<'_>) -> AgentTraits {
    let is_desktop_or_phone = user_agent.starts_with("Mozilla/5.0 (Windows NT ")
        || user_agent.starts_with("Mozilla/5.0 (Macintosh; Intel Mac OS X ")
        || user_agent.starts_with("Mozilla/5.0 (X11; ")
        || user_agent.starts_with("Mozilla/5.0 (Linux; Android ");
    let mut traits = AgentTraits::default();
    if sketch.browser == "Chrome" && is_desktop_or_phone && user_agent.contains(" Chrome/") {
        traits.chromium_major = u16::try_from(major(&sketch.browser_version)).unwrap_or(0);
    }
    traits.has_hints = !hints.brands.is_empty() || !hints.platform.is_empty();
    traits.hints_contradict = contradict(user_agent, hints);
    traits
}

/// Hints that no browser sends together with this user agent. Phones that ask for the desktop page
/// and Chrome OS, which calls itself several names, are not contradictions.
fn contradict(user_agent: &str, hints: &ClientHints<'_>) -> bool {
    if !hints.brands.is_empty() && user_agent.contains(" Gecko/") && user_agent.contains(" rv:") {
        return true;
    }
    let Some(platform) = platform_name(hints.platform) else { return false };
    let claims = [
        ("(Windows NT", "Windows"),
        ("(Macintosh", "macOS"),
        ("Android", "Android"),
        ("CrOS", "Chrome OS"),
        ("(X11; Linux", "Linux"),
    ];
    let Some((_, claim)) = claims.iter().find(|(word, _)| user_agent.contains(word)) else {
        return false;
    };
    let is_loose = |name: &str| matches!(name, "Linux" | "Android" | "Chrome OS" | "iOS");
    *claim != platform && !(is_loose(claim) && is_loose(platform))
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"')
}

fn major(version: &str) -> u32 {
    version.split('.').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
