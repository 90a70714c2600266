//! Values as the API writes them.

/// RFC 3339, UTC, with milliseconds where there are any.
pub fn instant(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .map_or_else(|_| String::from("1970-01-01T00:00:00Z"), |at| at.to_string())
}
