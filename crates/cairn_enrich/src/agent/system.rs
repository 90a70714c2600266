//! The operating system and its version as people name it.

use std::borrow::Cow;

use super::detect::{Sketch, version_at};
use super::names::SYSTEMS;
use super::words::Found;

/// Windows NT kernel versions and the names they were sold under.
const WINDOWS: [(&str, &str); 12] = [
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
    ("4.10", "98"),
];

pub(super) fn apply(sketch: &mut Sketch, user_agent: &str, found: &Found) {
    let Some(word) = found.system else { return };
    let (_, name) = SYSTEMS[word.rank];
    sketch.os = Cow::Borrowed(name);
    let version = version_at(user_agent, word.end);
    sketch.os_version = match name {
        "Windows" => windows_name(version).to_owned(),
        _ => version.to_owned(),
    };
}

fn windows_name(kernel: &str) -> &str {
    WINDOWS.iter().find(|(number, _)| *number == kernel).map_or(kernel, |(_, name)| name)
}
