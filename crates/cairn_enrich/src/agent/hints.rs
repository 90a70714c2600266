//! Client hints: what Chromium says apart from its frozen user agent.

use std::borrow::Cow;

use super::detect::Sketch;
use super::{AgentTraits, ClientHints};

pub(super) fn apply(sketch: &mut Sketch, hints: &ClientHints<'_>) {
    let platform = unquoted(hints.platform);
    if platform.eq_ignore_ascii_case("windows") {
        let major: u32 = major(unquoted(hints.platform_version));
        if sketch.os == "Windows" && major >= 13 {
            sketch.os = Cow::Borrowed("Windows");
            "11".clone_into(&mut sketch.os_version);
        }
    }
}

pub(super) fn traits(user_agent: &str, sketch: &Sketch, _hints: &ClientHints<'_>) -> AgentTraits {
    let mut traits = AgentTraits::default();
    if sketch.browser == "Chrome" && user_agent.starts_with("Mozilla/5.0 (") {
        traits.chromium_major = u16::try_from(major(&sketch.browser_version)).unwrap_or(0);
    }
    traits
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"')
}

fn major(version: &str) -> u32 {
    version.split('.').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
