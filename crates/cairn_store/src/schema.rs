//! The one table definition. Columns are in the order in which batches are written.
//!
//! Texts that repeat are stored once, in `texts`, and are numbers everywhere else: writing and grouping numbers costs a
//! fraction of what texts cost. Texts that seldom repeat (query strings, ids, properties) are columns of their own.
//! A missing text is `''`, whose code is 0; numbers that are missing are NULL. Times are Unix milliseconds, UTC.

use cairn_model::event::OFF_SITE;
use cairn_model::session::Attribute;

/// Version of this schema, kept in `meta`.
pub const VERSION: u32 = 3;

/// A set of texts with codes of its own. Columns that are compared with one another share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TextField {
    /// Event names. Those below [`OWN_CODES_FROM`] are known beforehand.
    Name,
    /// Hosts of pages, of entries and exits too.
    Hostname,
    /// Paths of pages, of entries and exits too.
    Path,
    /// Titles of pages.
    Title,
    /// An attribute of visits.
    Visit(Attribute),
    /// Kinds of click ids.
    ClickIdKind,
    /// Organisations behind networks.
    Organization,
    /// Marks of networks.
    NetworkMarks,
    /// Screen sizes.
    Screen,
    /// Languages of browsers.
    Language,
    /// Currencies.
    Currency,
    /// Sections of pages.
    SectionId,
}

impl TextField {
    /// Its number in `texts.field`, for ever.
    pub const fn number(self) -> u8 {
        match self {
            TextField::Name => 0,
            TextField::Hostname => 1,
            TextField::Path => 2,
            TextField::Title => 3,
            TextField::Visit(attribute) => 4 + attribute as u8,
            TextField::ClickIdKind => 22,
            TextField::Organization => 23,
            TextField::NetworkMarks => 24,
            TextField::Screen => 25,
            TextField::Language => 26,
            TextField::Currency => 27,
            TextField::SectionId => 28,
        }
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = TextField> {
        let others = EVENT_TEXTS.into_iter().map(|(_, field)| field);
        others.chain(Attribute::ALL.into_iter().map(TextField::Visit))
    }

    /// The field of a number.
    pub fn of_number(number: u8) -> Option<TextField> {
        TextField::all().find(|field| field.number() == number)
    }
}

/// The columns of codes that an event has of its own, in the order of the table, with what they stand for. Those of its
/// visit's attributes follow, in the order of [`Attribute::ALL`].
pub const EVENT_TEXTS: [(&str, TextField); 11] = [
    ("name", TextField::Name),
    ("hostname", TextField::Hostname),
    ("path", TextField::Path),
    ("title", TextField::Title),
    ("click_id_kind", TextField::ClickIdKind),
    ("organization", TextField::Organization),
    ("network_marks", TextField::NetworkMarks),
    ("screen", TextField::Screen),
    ("language", TextField::Language),
    ("currency", TextField::Currency),
    ("section_id", TextField::SectionId),
];

/// Code of the missing text, in every field.
pub const MISSING_CODE: u32 = 0;
/// Code of the event name `engagement`.
pub const ENGAGEMENT_CODE: u32 = 1;
/// Code of the first event name of [`OFF_SITE`]; the others follow.
pub const OFF_SITE_CODES_FROM: u32 = 2;
/// Names from here on are those of ordinary events: what happened on the site, and is no report of how it was read.
pub const ORDINARY_CODES_FROM: u32 = PAGE_VIEW_CODE;
/// Code of the event name `page_view`.
pub const PAGE_VIEW_CODE: u32 = OFF_SITE_CODES_FROM + OFF_SITE.len() as u32;
/// Codes from here on are given out to a site's own texts.
pub const OWN_CODES_FROM: u32 = 16;
/// Site number under which `texts` holds what all sites share: the codes below [`OWN_CODES_FROM`].
pub const SHARED_SITE: u32 = 0;

/// Statements that make an empty database.
pub const CREATE: &[&str] = &[
    // Repeated texts. A code belongs to one text of one field of one site, for ever; what a site's rows said goes with
    // the site. `text_hash` (FNV-1a, 64 bits) finds those of them that are not in memory.
    "CREATE TABLE IF NOT EXISTS texts (
        site_id UINTEGER NOT NULL, field UTINYINT NOT NULL, code UINTEGER NOT NULL,
        text_hash UBIGINT NOT NULL, text VARCHAR NOT NULL)",
    // Events. `session_id` 0: engagement without an open visit, or what happened away from the site. The columns from `referrer` to `bot` are the visit's.
    // `event_uuid` holds ids that are UUIDs in 16 bytes; `event_id` any other.
    // `event_key` only: the keyed hash where there is no permission for the id itself (or '' / NULL where there was none).
    "CREATE TABLE IF NOT EXISTS events (
        site_id UINTEGER NOT NULL, event_offset UBIGINT NOT NULL, session_id UBIGINT NOT NULL,
        visitor_id UBIGINT NOT NULL, identified BOOLEAN NOT NULL, user_key UBIGINT NOT NULL,
        timestamp_ms BIGINT NOT NULL, received_at_ms BIGINT NOT NULL,
        pixel_id UINTEGER NOT NULL, imported BOOLEAN NOT NULL, basis UTINYINT NOT NULL,
        event_key UHUGEINT, event_uuid UHUGEINT, event_id VARCHAR NOT NULL,
        name UINTEGER NOT NULL, hostname UINTEGER NOT NULL, path UINTEGER NOT NULL, title UINTEGER NOT NULL,
        click_id_kind UINTEGER NOT NULL, organization UINTEGER NOT NULL, network_marks UINTEGER NOT NULL,
        screen UINTEGER NOT NULL, language UINTEGER NOT NULL, currency UINTEGER NOT NULL, section_id UINTEGER NOT NULL,
        referrer UINTEGER NOT NULL, source UINTEGER NOT NULL, medium UINTEGER NOT NULL, channel UINTEGER NOT NULL,
        utm_source UINTEGER NOT NULL, utm_medium UINTEGER NOT NULL, utm_campaign UINTEGER NOT NULL,
        utm_content UINTEGER NOT NULL, utm_term UINTEGER NOT NULL,
        country UINTEGER NOT NULL, region UINTEGER NOT NULL, city UINTEGER NOT NULL,
        browser UINTEGER NOT NULL, browser_version UINTEGER NOT NULL, os UINTEGER NOT NULL, os_version UINTEGER NOT NULL,
        device UINTEGER NOT NULL, bot UINTEGER NOT NULL,
        query VARCHAR NOT NULL, click_id VARCHAR NOT NULL, asn UINTEGER NOT NULL,
        value_minor BIGINT, order_id VARCHAR NOT NULL, items VARCHAR NOT NULL,
        engagement_ms UINTEGER, scroll_percent UTINYINT,
        section_visible_ms UINTEGER, section_visible_percent UTINYINT,
        props VARCHAR NOT NULL, truncated BOOLEAN NOT NULL)",
    // Visits, one row each; changing one deletes its row and writes a new one in the same commit.
    "CREATE TABLE IF NOT EXISTS sessions (
        site_id UINTEGER NOT NULL, session_id UBIGINT NOT NULL, visitor_id UBIGINT NOT NULL,
        identified BOOLEAN NOT NULL, session_key UBIGINT NOT NULL,
        started_at_ms BIGINT NOT NULL, ended_at_ms BIGINT NOT NULL,
        last_activity_ms BIGINT NOT NULL, last_received_ms BIGINT NOT NULL,
        pageviews UINTEGER NOT NULL, events UINTEGER NOT NULL,
        entry_hostname UINTEGER NOT NULL, entry_page UINTEGER NOT NULL,
        exit_hostname UINTEGER NOT NULL, exit_page UINTEGER NOT NULL,
        referrer UINTEGER NOT NULL, source UINTEGER NOT NULL, medium UINTEGER NOT NULL, channel UINTEGER NOT NULL,
        utm_source UINTEGER NOT NULL, utm_medium UINTEGER NOT NULL, utm_campaign UINTEGER NOT NULL,
        utm_content UINTEGER NOT NULL, utm_term UINTEGER NOT NULL,
        country UINTEGER NOT NULL, region UINTEGER NOT NULL, city UINTEGER NOT NULL,
        browser UINTEGER NOT NULL, browser_version UINTEGER NOT NULL, os UINTEGER NOT NULL, os_version UINTEGER NOT NULL,
        device UINTEGER NOT NULL, bot UINTEGER NOT NULL)",
    // Outcomes decided while applying, by hour; rows of one key add up.
    "CREATE TABLE IF NOT EXISTS outcomes (
        site_id UINTEGER NOT NULL, hour_ms BIGINT NOT NULL, outcome UTINYINT NOT NULL, count UBIGINT NOT NULL)",
    // One row: how far the log has been applied.
    "CREATE TABLE IF NOT EXISTS meta (schema_version UINTEGER NOT NULL, watermark UBIGINT NOT NULL, received_at_ms BIGINT NOT NULL)",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_texts_have_numbers_of_their_own() {
        let mut numbers: Vec<u8> = TextField::all().map(TextField::number).collect();
        for (field, number) in TextField::all().zip(&numbers) {
            assert_eq!(TextField::of_number(*number), Some(field));
        }
        numbers.sort();
        assert_eq!(numbers, (0..29).collect::<Vec<u8>>());
        assert_eq!(TextField::of_number(29), None);
    }
}
