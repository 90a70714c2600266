//! The operating system and its version as people name it.

use std::borrow::Cow;

use super::detect::{Sketch, version_at};
use super::names::SYSTEMS;
use super::words::Found;

/// Windows NT kernel versions and the names they were sold under.
const WINDOWS: &[(&str, &str)] = &[
    ("10.0", "10"),
    ("6.4", "10"),
    ("6.3", "8.1"),
    ("6.2", "8"),
    ("6.1", "7"),
    ("6.0", "Vista"),
    ("5.2", "XP"),
    ("5.1", "XP"),
    ("5.01", "2000"),
    ("5.0", "2000"),
    ("4.0", "NT"),
    ("4.90", "ME"),
    ("4.10", "98"),
];

pub(super) fn apply(sketch: &mut Sketch, user_agent: &str, lower: &str, found: &Found) {
    let is_amazon = amazon_model(user_agent);
    let Some(word) = found.system else {
        if is_amazon {
            sketch.os = Cow::Borrowed("Fire OS");
        }
        return;
    };
    let (_, name) = SYSTEMS[word.rank];
    let version = version_at(user_agent, word.end);
    sketch.os = Cow::Borrowed(name);
    sketch.os_version = version.to_owned();
    match name {
        "Windows" => sketch.os_version = windows_version(lower, version).to_owned(),
        "iOS" | "iPadOS" => apple_mobile(sketch, lower),
        "Android" | "Linux" if is_amazon => sketch.os = Cow::Borrowed("Fire OS"),
        "macOS" if lower.contains("ppc") || lower.contains("powerpc") => {
            sketch.os_version.retain(|c| c.is_ascii_digit() || c == '.' || c == '_');
        }
        _ => {}
    }
}

/// Amazon's sticks (`AFTMM`) and tablets (`KFTT`) by their model codes, written in capitals.
fn amazon_model(user_agent: &str) -> bool {
    user_agent.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
        let is_code = |rest: &str| {
            (1..=12).contains(&rest.len())
                && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
                && rest.starts_with(|c: char| c.is_ascii_uppercase())
        };
        word.strip_prefix("AFT").is_some_and(is_code)
            || word.len() <= 7
                && word.strip_prefix("KF").is_some_and(|rest| {
                    rest.len() >= 2 && rest.bytes().all(|b| b.is_ascii_uppercase())
                })
    })
}

fn windows_version<'u>(lower: &'u str, version: &'u str) -> &'u str {
    if lower.contains("win 9x 4.90") || lower.contains("windows me") {
        return "ME";
    }
    if lower.contains("windows xp") {
        return "XP";
    }
    let known = WINDOWS.iter().find(|(number, _)| *number == version);
    known.map_or(version, |(_, name)| name)
}

/// iPads run iPadOS since version 13; programs of a Mac send the same `CFNetwork` words as iPhones.
fn apple_mobile(sketch: &mut Sketch, lower: &str) {
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let is_bare = !has(&["iphone", "ipad", "ipod", "ios"]);
    if is_bare && has(&["x86_64", "i386", "power%20macintosh", "(mac"]) {
        sketch.os = Cow::Borrowed("macOS");
        sketch.os_version.clear();
        return;
    }
    if is_bare {
        sketch.os_version.clear();
    }
    for word in ["cpu iphone os ", "cpu os ", "iphone os ", "ios/", "ios ", "iphone os,"] {
        let Some(at) = lower.find(word) else { continue };
        let version = version_at(lower, at + word.len());
        if !version.is_empty() {
            sketch.os_version = version.to_owned();
            break;
        }
    }
    let major: u32 =
        sketch.os_version.split(['.', '_']).next().and_then(|n| n.parse().ok()).unwrap_or(0);
    if sketch.os == "iPadOS" && major < 13 {
        sketch.os = Cow::Borrowed("iOS");
    } else if lower.contains("ipad") && major >= 13 {
        sketch.os = Cow::Borrowed("iPadOS");
    }
    let is_count = |word: &str| word.parse::<u32>().is_ok_and(|n| n > 60);
    if sketch.os_version.split(['.', '_']).next().is_some_and(is_count) {
        sketch.os_version.clear();
    }
}
