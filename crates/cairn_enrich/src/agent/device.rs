//! The kind of device: a class, never a model, since a model helps to tell people apart.

use super::detect::Sketch;

pub(super) fn apply(sketch: &mut Sketch, user_agent: &str) {
    let lower = user_agent.to_ascii_lowercase();
    sketch.device = match sketch.os.as_ref() {
        "iOS" | "Windows Phone" => "mobile",
        "iPadOS" => "tablet",
        "Android" if lower.contains("mobile") => "mobile",
        "Android" => "tablet",
        "" => "",
        _ => "desktop",
    };
}
