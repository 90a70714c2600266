//! The one table definition. Columns are in the order in which batches are written.
//!
//! Text that is missing is `''`, never NULL; numbers that are missing are NULL. Times are Unix milliseconds, UTC.

/// Version of this schema, kept in `meta`.
pub const VERSION: u32 = 1;

/// Statements that make an empty database.
pub const CREATE: &[&str] = &[
    // Events. `session_id` 0: an engagement event without an open visit. The columns from `referrer` to `bot` are the visit's.
    // `event_uuid` holds ids that are UUIDs in 16 bytes; `event_id` any other.
    // `event_key_only`: the keyed hash where there is no permission for the id itself (or '' / NULL where there was none).
    "CREATE TABLE IF NOT EXISTS events (
        site_id UINTEGER NOT NULL, event_offset UBIGINT NOT NULL, session_id UBIGINT NOT NULL,
        visitor_id UBIGINT NOT NULL, identified BOOLEAN NOT NULL, user_key UBIGINT NOT NULL,
        timestamp_ms BIGINT NOT NULL, received_at_ms BIGINT NOT NULL,
        pixel_id UINTEGER NOT NULL, imported BOOLEAN NOT NULL, basis UTINYINT NOT NULL,
        name VARCHAR NOT NULL, event_key UHUGEINT, event_uuid UHUGEINT, event_id VARCHAR NOT NULL,
        hostname VARCHAR NOT NULL, path VARCHAR NOT NULL, query VARCHAR NOT NULL, title VARCHAR NOT NULL,
        referrer VARCHAR NOT NULL, source VARCHAR NOT NULL, medium VARCHAR NOT NULL, channel VARCHAR NOT NULL,
        utm_source VARCHAR NOT NULL, utm_medium VARCHAR NOT NULL, utm_campaign VARCHAR NOT NULL,
        utm_content VARCHAR NOT NULL, utm_term VARCHAR NOT NULL,
        country VARCHAR NOT NULL, region VARCHAR NOT NULL, city VARCHAR NOT NULL,
        browser VARCHAR NOT NULL, browser_version VARCHAR NOT NULL, os VARCHAR NOT NULL, os_version VARCHAR NOT NULL,
        device VARCHAR NOT NULL, bot VARCHAR NOT NULL,
        click_id_kind VARCHAR NOT NULL, click_id VARCHAR NOT NULL,
        asn UINTEGER NOT NULL, organization VARCHAR NOT NULL, network_marks VARCHAR NOT NULL,
        screen VARCHAR NOT NULL, language VARCHAR NOT NULL,
        value_minor BIGINT, currency VARCHAR NOT NULL, order_id VARCHAR NOT NULL, items VARCHAR NOT NULL,
        engagement_ms UINTEGER, scroll_percent UTINYINT,
        section_id VARCHAR NOT NULL, section_visible_ms UINTEGER, section_visible_percent UTINYINT,
        props VARCHAR NOT NULL, truncated BOOLEAN NOT NULL)",
    // Visits, one row each; changing one deletes its row and writes a new one in the same commit.
    "CREATE TABLE IF NOT EXISTS sessions (
        site_id UINTEGER NOT NULL, session_id UBIGINT NOT NULL, visitor_id UBIGINT NOT NULL,
        identified BOOLEAN NOT NULL, session_key UBIGINT NOT NULL,
        started_at_ms BIGINT NOT NULL, ended_at_ms BIGINT NOT NULL,
        last_activity_ms BIGINT NOT NULL, last_received_ms BIGINT NOT NULL,
        pageviews UINTEGER NOT NULL, events UINTEGER NOT NULL,
        entry_hostname VARCHAR NOT NULL, entry_page VARCHAR NOT NULL,
        exit_hostname VARCHAR NOT NULL, exit_page VARCHAR NOT NULL,
        referrer VARCHAR NOT NULL, source VARCHAR NOT NULL, medium VARCHAR NOT NULL, channel VARCHAR NOT NULL,
        utm_source VARCHAR NOT NULL, utm_medium VARCHAR NOT NULL, utm_campaign VARCHAR NOT NULL,
        utm_content VARCHAR NOT NULL, utm_term VARCHAR NOT NULL,
        country VARCHAR NOT NULL, region VARCHAR NOT NULL, city VARCHAR NOT NULL,
        browser VARCHAR NOT NULL, browser_version VARCHAR NOT NULL, os VARCHAR NOT NULL, os_version VARCHAR NOT NULL,
        device VARCHAR NOT NULL, bot VARCHAR NOT NULL)",
    // Outcomes decided while applying, by hour; rows of one key add up.
    "CREATE TABLE IF NOT EXISTS outcomes (
        site_id UINTEGER NOT NULL, hour_ms BIGINT NOT NULL, outcome UTINYINT NOT NULL, count UBIGINT NOT NULL)",
    // One row: how far the log has been applied.
    "CREATE TABLE IF NOT EXISTS meta (schema_version UINTEGER NOT NULL, watermark UBIGINT NOT NULL, received_at_ms BIGINT NOT NULL)",
];
