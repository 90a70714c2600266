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
use crate::duckdb::texts::Wanted;
use crate::duckdb::write::uuid_text;
use crate::schema::{EVENT_TEXTS, TextField};

/// The columns that are read, up to the codes.
const FIRST: &str =
    "event_offset, session_id, visitor_id, identified, user_key, timestamp_ms, received_at_ms,
    pixel_id, imported, basis, event_uuid, event_id";
/// The columns after the codes.
const LAST: &str =
    "query, click_id, asn, value_minor, order_id, items, engagement_ms, scroll_percent,
    section_visible_ms, section_visible_percent, props, truncated";

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
    let select = select();
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
    with_texts(connection, question.site_id, events)
}

/// Selects what [`read_event`] reads.
fn select() -> String {
    let codes = EVENT_TEXTS.into_iter().map(|(column, _)| column);
    let codes: Vec<&str> = codes.chain(Attribute::ALL.into_iter().map(Attribute::column)).collect();
    format!("SELECT {FIRST}, {}, {LAST} FROM events", codes.join(", "))
}

/// Events of a site that fulfil a condition, newest first; those below `before` if it is given.
pub(in crate::duckdb) fn events_where(
    connection: &Connection,
    site_id: SiteId,
    condition: &str,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<StoredEvent>, DuckError> {
    let below = before.map_or_else(String::new, |before| format!("AND event_offset < {before}"));
    let select = select();
    let sql =
        format!("{select} WHERE {condition} {below} ORDER BY event_offset DESC LIMIT {limit}");
    let mut events = Vec::new();
    connection.query(&sql, &[])?.for_each(|row| {
        events.push(read_event(&Cells { row, next: 0.into() }, site_id)?);
        Ok::<(), DuckError>(())
    })?;
    with_texts(connection, site_id, events)
}

/// An event and the codes of its texts: [`EVENT_TEXTS`], then the visit's attributes.
type Coded = (StoredEvent, Vec<u32>);

/// Puts the texts in.
fn with_texts(
    connection: &Connection,
    site_id: SiteId,
    coded: Vec<Coded>,
) -> Result<Vec<StoredEvent>, DuckError> {
    let fields = || {
        let own = EVENT_TEXTS.into_iter().map(|(_, field)| field);
        own.chain(Attribute::ALL.into_iter().map(TextField::Visit))
    };
    let mut wanted = Wanted::default();
    for (_, codes) in &coded {
        fields().zip(codes).for_each(|(field, code)| wanted.insert(site_id.0, field, *code));
    }
    let texts = wanted.read(connection)?;
    let mut events = Vec::with_capacity(coded.len());
    for (mut stored, codes) in coded {
        let mut of_codes = fields()
            .zip(&codes)
            .map(|(field, code)| texts.get(site_id.0, field, *code).map(str::to_owned))
            .collect::<Result<Vec<String>, DuckError>>()?
            .into_iter()
            .map(Cow::Owned);
        put_texts(&mut stored.event, &mut of_codes);
        events.push(stored);
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

fn read_event(cells: &Cells<'_>, site_id: SiteId) -> Result<Coded, DuckError> {
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
    let uuid: Option<u128> = cells.optional()?;
    let other_id = cells.text()?;
    event.event_id = uuid.map_or(other_id, |uuid| Cow::Owned(uuid_text(uuid)));
    let mut codes = Vec::with_capacity(EVENT_TEXTS.len() + ATTRIBUTES);
    for _ in 0..EVENT_TEXTS.len() + ATTRIBUTES {
        codes.push(cells.next()?);
    }
    event.query = cells.text()?;
    event.click_id = cells.text()?;
    event.asn = cells.next()?;
    event.value_minor = cells.optional()?;
    event.order_id = cells.text()?;
    event.items = cells.text()?;
    event.engagement_ms = cells.optional()?;
    event.scroll_percent = cells.optional()?;
    event.section_visible_ms = cells.optional()?;
    event.section_visible_percent = cells.optional()?;
    event.props = cells.text()?;
    event.truncated = cells.next()?;
    Ok((StoredEvent { offset, session_id, event }, codes))
}

/// Texts in the order of [`EVENT_TEXTS`], then of `Attribute::ALL`.
fn put_texts(event: &mut Event<'static>, texts: &mut impl Iterator<Item = Cow<'static, str>>) {
    let places = [
        &mut event.name,
        &mut event.hostname,
        &mut event.path,
        &mut event.title,
        &mut event.click_id_kind,
        &mut event.organization,
        &mut event.network_marks,
        &mut event.screen,
        &mut event.language,
        &mut event.currency,
        &mut event.section_id,
        &mut event.referrer,
        &mut event.source,
        &mut event.medium,
        &mut event.channel,
        &mut event.utm_source,
        &mut event.utm_medium,
        &mut event.utm_campaign,
        &mut event.utm_content,
        &mut event.utm_term,
        &mut event.country,
        &mut event.region,
        &mut event.city,
        &mut event.browser,
        &mut event.browser_version,
        &mut event.os,
        &mut event.os_version,
        &mut event.device,
        &mut event.bot,
    ];
    places.into_iter().zip(texts).for_each(|(place, text)| *place = text);
}

fn basis(number: u8) -> Basis {
    Basis::ALL.get(usize::from(number)).copied().unwrap_or(Basis::Policy)
}

/// When the site's earliest event happened.
pub(in crate::duckdb) fn first_event_ms(
    connection: &Connection,
    site_id: SiteId,
) -> Result<Option<i64>, DuckError> {
    let sql = format!("SELECT min(timestamp_ms) FROM events WHERE site_id = {site_id}");
    connection.query(&sql, &[])?.first(|row| row.optional(0)).map(Option::flatten)
}
