//! Stored events, read back whole.

use std::borrow::Cow;

use cairn_model::question::EventsQuestion;
use cairn_model::session::{ATTRIBUTES, Attribute};
use cairn_model::{Basis, Event, Identification, Origin, PixelId, SiteId, VisitorId};

use super::predicate::{Predicates, Table};
use super::statement::all_of;
use crate::StoredEvent;
use crate::duckdb::connection::{Connection, FromCell, RowRef};
use crate::duckdb::error::DuckError;
use crate::duckdb::write::uuid_text;

/// The columns that are read, up to the visit's attributes.
const FIRST: &str =
    "event_offset, session_id, visitor_id, identified, user_key, timestamp_ms, received_at_ms,
    pixel_id, imported, basis, name, event_uuid, event_id, hostname, path, query, title";
/// The columns after the visit's attributes.
const LAST: &str = "click_id_kind, click_id, asn, organization, network_marks, screen, language, value_minor, currency,
    order_id, items, engagement_ms, scroll_percent, section_id, section_visible_ms, section_visible_percent,
    props, truncated";

/// Offsets looked through first, and how much further each next look reaches: the newest events are found without
/// reading the old ones.
const FIRST_REACH: u64 = 4096;
const REACH_GROWTH: u64 = 8;

/// A page of stored events, newest first; none is newer than the watermark.
pub(in crate::duckdb) fn events_page(
    connection: &Connection,
    asked: &EventsQuestion,
    watermark: u64,
) -> Result<Vec<StoredEvent>, DuckError> {
    let question = asked.question();
    let mut predicates = Predicates::new(question);
    let mut conditions = predicates.stored_in_range();
    conditions.extend(predicates.conditions(&question.filters, Table::Events));
    let attributes: Vec<&str> = Attribute::ALL.into_iter().map(Attribute::column).collect();
    let select = format!("SELECT {FIRST}, {}, {LAST} FROM events", attributes.join(", "));
    let conditions = all_of(&conditions);
    let values = predicates.parameters.values();
    let limit = asked.limit() as usize;
    let mut events = Vec::new();
    let newest = watermark.saturating_add(1);
    let mut below = asked.before_offset().map_or(newest, |before| before.min(newest));
    let mut reach = FIRST_REACH;
    while below > 0 && events.len() < limit {
        let from = below.saturating_sub(reach);
        let sql = format!(
            "{select} WHERE {conditions} AND event_offset >= {from} AND event_offset < {below}
             ORDER BY event_offset DESC LIMIT {}",
            limit - events.len()
        );
        connection.query(&sql, &values)?.for_each(|row| {
            events.push(read_event(&Cells { row, next: 0.into() }, question.site_id)?);
            Ok::<(), DuckError>(())
        })?;
        below = from;
        reach = reach.saturating_mul(REACH_GROWTH);
    }
    Ok(events)
}

/// The cells of a row, one after the other.
struct Cells<'a> {
    row: RowRef<'a>,
    next: std::cell::Cell<usize>,
}

impl<'a> Cells<'a> {
    fn place(&self) -> usize {
        self.next.replace(self.next.get() + 1)
    }

    fn next<T: FromCell<'a>>(&self) -> Result<T, DuckError> {
        self.row.get(self.place())
    }

    fn optional<T: FromCell<'a>>(&self) -> Result<Option<T>, DuckError> {
        self.row.optional(self.place())
    }

    fn text(&self) -> Result<Cow<'static, str>, DuckError> {
        Ok(Cow::Owned(self.next::<String>()?))
    }
}

fn read_event(cells: &Cells<'_>, site_id: SiteId) -> Result<StoredEvent, DuckError> {
    let (offset, session_id) = (cells.next()?, cells.next()?);
    let mut event = Event::bare(site_id, "", 0);
    event.visitor_id = VisitorId(cells.next()?);
    event.identification = match cells.next::<bool>()? {
        true => Identification::Identified,
        false => Identification::Anonymous,
    };
    event.user_key = cells.next()?;
    event.timestamp_ms = cells.next()?;
    event.received_at_ms = cells.next()?;
    event.pixel_id = PixelId(cells.next()?);
    event.origin = if cells.next::<bool>()? { Origin::Import } else { Origin::Live };
    event.basis = basis(cells.next()?);
    event.name = cells.text()?;
    let uuid: Option<u128> = cells.optional()?;
    let other_id = cells.text()?;
    event.event_id = uuid.map_or(other_id, |uuid| Cow::Owned(uuid_text(uuid)));
    event.hostname = cells.text()?;
    event.path = cells.text()?;
    event.query = cells.text()?;
    event.title = cells.text()?;
    let mut attributes = [const { Cow::Borrowed("") }; ATTRIBUTES];
    for attribute in &mut attributes {
        *attribute = cells.text()?;
    }
    put_attributes(&mut event, attributes);
    event.click_id_kind = cells.text()?;
    event.click_id = cells.text()?;
    event.asn = cells.next()?;
    event.organization = cells.text()?;
    event.network_marks = cells.text()?;
    event.screen = cells.text()?;
    event.language = cells.text()?;
    event.value_minor = cells.optional()?;
    event.currency = cells.text()?;
    event.order_id = cells.text()?;
    event.items = cells.text()?;
    event.engagement_ms = cells.optional()?;
    event.scroll_percent = cells.optional()?;
    event.section_id = cells.text()?;
    event.section_visible_ms = cells.optional()?;
    event.section_visible_percent = cells.optional()?;
    event.props = cells.text()?;
    event.truncated = cells.next()?;
    Ok(StoredEvent { offset, session_id, event })
}

fn put_attributes(event: &mut Event<'static>, attributes: [Cow<'static, str>; ATTRIBUTES]) {
    // The order of `Attribute::ALL`.
    [
        event.referrer,
        event.source,
        event.medium,
        event.channel,
        event.utm_source,
        event.utm_medium,
        event.utm_campaign,
        event.utm_content,
        event.utm_term,
        event.country,
        event.region,
        event.city,
        event.browser,
        event.browser_version,
        event.os,
        event.os_version,
        event.device,
        event.bot,
    ] = attributes;
}

fn basis(number: u8) -> Basis {
    let stored = [
        Basis::RecordedChoice,
        Basis::SentChoice,
        Basis::Gpc,
        Basis::ForeignOrigin,
        Basis::OwnerAssertion,
        Basis::Server,
    ];
    stored.into_iter().find(|basis| *basis as u8 == number).unwrap_or(Basis::Policy)
}

/// When the site's earliest event happened.
pub(in crate::duckdb) fn first_event_ms(
    connection: &Connection,
    site_id: SiteId,
) -> Result<Option<i64>, DuckError> {
    let sql = format!("SELECT min(timestamp_ms) FROM events WHERE site_id = {site_id}");
    connection.query(&sql, &[])?.first(|row| row.optional(0)).map(Option::flatten)
}
