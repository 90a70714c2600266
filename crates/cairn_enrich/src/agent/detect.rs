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
    pub(super) fn into_agent(self) -> Agent {
        Agent {
            browser: Arc::from(self.browser.as_ref()),
            browser_version: Arc::from(short_version(&self.browser_version).as_str()),
            os: Arc::from(self.os.as_ref()),
            os_version: Arc::from(short_version(&self.os_version).as_str()),
            device: Arc::from(self.device),
        }
    }
}

pub(super) fn sketch(user_agent: &str, found: &Found) -> Sketch {
    let mut sketch = Sketch::default();
    if let Some(word) = found.browser {
        sketch.browser = Cow::Borrowed(BROWSERS[word.rank].1);
        sketch.browser_version = version_at(user_agent, word.end).to_owned();
    }
    system::apply(&mut sketch, user_agent, found);
    device::apply(&mut sketch, user_agent);
    sketch
}

/// The version written right after a word: digits and dots, perhaps behind one separator.
pub(super) fn version_at(text: &str, start: usize) -> &str {
    let rest = text.get(start..).unwrap_or("");
    let rest = rest.trim_start_matches(['/', ' ', ':', '-', '_', '(', 'v', 'V', '=']);
    let end =
        rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', '_'])
}

/// `126.0.6478.55` → `126`, `17_4_1` → `17.4`.
fn short_version(version: &str) -> String {
    let mut parts = version.split(['.', '_']);
    let major = parts.next().unwrap_or("");
    match parts.next() {
        Some(minor) if !minor.is_empty() && minor.bytes().any(|b| b != b'0') => {
            format!("{major}.{minor}")
        }
        _ => major.to_owned(),
    }
}
