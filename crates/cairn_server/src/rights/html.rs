//! What pages and files of HTML made here have in common.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A text as HTML shows it, inside elements and quoted attributes alike.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A point in time, to the minute, in the site's zone.
pub fn time(at_ms: i64, zone: &TimeZone) -> String {
    let Ok(at) = Timestamp::from_millisecond(at_ms) else { return String::new() };
    let shown = at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
    format!("<time datetime=\"{at}\">{shown}</time>")
}

/// A day, in the site's zone.
pub fn day(at_ms: i64, zone: &TimeZone) -> String {
    let at = Timestamp::from_millisecond(at_ms);
    at.map_or_else(|_| String::new(), |at| at.to_zoned(zone.clone()).date().to_string())
}

/// Rows of a list of terms; those without a value are left out. Both are HTML already.
pub fn terms(rows: &[(&str, String)]) -> String {
    let mut html = String::from("<dl>");
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a String cannot fail.
        let _ = write!(html, "<dt>{name}</dt><dd>{value}</dd>");
    }
    html.push_str("</dl>");
    html
}
