//! Stored events, read back whole.

use std::borrow::Cow;

use cairn_model::question::EventsQuestion;
use cairn_model::session::{ATTRIBUTES, Attribute};
use cairn_model::{Basis, Event, Identification, Origin, PixelId, SiteId, VisitorId};

use super::predicate::{Predicates, Table};
use super::statement::all_of;
use super::within_time;
use crate::duckdb::connection::{Connection, FromCell, RowRef};
use crate::duckdb::error::DuckError;
use crate::duckdb::write::uuid_text;
use crate::{StoreError, StoredEvent};

/// The columns that are read, up to the visit's attributes.
const FIRST: &str =
    "event_offset, session_id, visitor_id, identified, user_key, timestamp_ms, received_at_ms,
    pixel_id, imported, basis, name, event_uuid, event_id, hostname, path, query, title";
/// The columns after the visit's attributes.
const LAST: &str = "click_id_kind, click_id, asn, organization, network_marks, screen, language, value_minor, currency,
    order_id, items, engagement_ms, scroll_percent, section_id, section_visible_ms, section_visible_percent,
    props, truncated";

/// A page of stored events, newest first.
pub(in crate::duckdb) fn events_page(
    connection: &Connection,
    asked: &EventsQuestion,
) -> Result<Vec<StoredEvent>, StoreError> {
    let question = asked.question();
    let mut predicates = Predicates::new(question);
    let mut conditions = predicates.stored_in_range();
    conditions.extend(predicates.conditions(&question.filters, Table::Events));
    if let Some(offset) = asked.before_offset() {
        conditions.push(format!("event_offset < {offset}"));
    }
    let attributes: Vec<&str> = Attribute::ALL.into_iter().map(Attribute::column).collect();
    let sql = format!(
        "SELECT {FIRST}, {}, {LAST} FROM events WHERE {} ORDER BY event_offset DESC LIMIT {}",
        attributes.join(", "),
        all_of(&conditions),
        asked.limit()
    );
    let values = predicates.parameters.values();
    let mut events = Vec::new();
    within_time(connection, || {
        connection.query(&sql, &values)?.for_each(|row| {
            events.push(read_event(&Cells { row, next: 0.into() }, question.site_id)?);
            Ok(())
        })
    })?;
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
) -> Result<Option<i64>, StoreError> {
    let sql = format!("SELECT min(timestamp_ms) FROM events WHERE site_id = {site_id}");
    let read = || connection.query(&sql, &[])?.first(|row| row.optional(0));
    read().map(Option::flatten).map_err(|error| error.while_it("looks for the first event"))
}
