//! Visits, read back whole.

use std::sync::Arc;

use cairn_model::session::{ATTRIBUTES, Attribute, Attributes};
use cairn_model::{Identification, Session, SiteId, VisitorId};

use super::Value;
use super::connection::{Connection, RowRef};
use super::error::DuckError;
use super::texts::Wanted;
use crate::schema::TextField;

/// The columns of `sessions`, in the order that [`read_session`] reads.
pub(super) const SESSION_COLUMNS: &str =
    "s.site_id, s.session_id, s.visitor_id, s.identified, s.session_key,
    s.started_at_ms, s.ended_at_ms, s.last_activity_ms, s.last_received_ms, s.pageviews, s.events,
    s.entry_hostname, s.entry_page, s.exit_hostname, s.exit_page,
    s.referrer, s.source, s.medium, s.channel,
    s.utm_source, s.utm_medium, s.utm_campaign, s.utm_content, s.utm_term,
    s.country, s.region, s.city, s.browser, s.browser_version, s.os, s.os_version, s.device, s.bot";

/// Host and path of entry and exit, and the attributes.
const SESSION_CODES: usize = 4 + ATTRIBUTES;

/// What the codes among them stand for.
fn session_fields() -> impl Iterator<Item = TextField> {
    let pages = [TextField::Hostname, TextField::Path, TextField::Hostname, TextField::Path];
    pages.into_iter().chain(Attribute::ALL.into_iter().map(TextField::Visit))
}

/// A visit without its texts, and their codes.
type CodedSession = (Session, [u32; SESSION_CODES]);

fn read_session(row: RowRef<'_>) -> Result<CodedSession, DuckError> {
    let mut codes = [0; SESSION_CODES];
    for (index, code) in codes.iter_mut().enumerate() {
        *code = row.get(11 + index)?;
    }
    let identified: bool = row.get(3)?;
    let session = Session {
        site_id: SiteId(row.get(0)?),
        session_id: row.get(1)?,
        visitor_id: VisitorId(row.get(2)?),
        identification: if identified {
            Identification::Identified
        } else {
            Identification::Anonymous
        },
        session_key: row.get(4)?,
        started_at_ms: row.get(5)?,
        ended_at_ms: row.get(6)?,
        last_activity_ms: row.get(7)?,
        last_received_ms: row.get(8)?,
        pageviews: row.get(9)?,
        events: row.get(10)?,
        entry_hostname: String::new(),
        entry_page: String::new(),
        exit_hostname: String::new(),
        exit_page: String::new(),
        attributes: Arc::default(),
    };
    Ok((session, codes))
}

/// Puts the texts into visits that were read.
fn with_texts(
    connection: &Connection,
    coded: Vec<CodedSession>,
) -> Result<Vec<Session>, DuckError> {
    let mut wanted = Wanted::default();
    for (session, codes) in &coded {
        for (field, code) in session_fields().zip(codes) {
            wanted.insert(session.site_id.0, field, *code);
        }
    }
    let decoded = wanted.read(connection)?;
    let mut sessions = Vec::with_capacity(coded.len());
    for (mut session, codes) in coded {
        let mut texts = [""; SESSION_CODES];
        for ((text, field), code) in texts.iter_mut().zip(session_fields()).zip(codes) {
            *text = decoded.get(session.site_id.0, field, code)?;
        }
        let [entry_hostname, entry_page, exit_hostname, exit_page, attributes @ ..] = texts;
        session.entry_hostname = entry_hostname.to_owned();
        session.entry_page = entry_page.to_owned();
        session.exit_hostname = exit_hostname.to_owned();
        session.exit_page = exit_page.to_owned();
        session.attributes = Arc::new(Attributes::new(attributes));
        sessions.push(session);
    }
    Ok(sessions)
}

/// The visits that a statement over [`SESSION_COLUMNS`] finds.
pub(super) fn read(
    connection: &Connection,
    sql: &str,
    parameters: &[Value<'_>],
) -> Result<Vec<Session>, DuckError> {
    let mut coded = Vec::new();
    connection.query(sql, parameters)?.for_each(|row| {
        coded.push(read_session(row)?);
        Ok::<(), DuckError>(())
    })?;
    with_texts(connection, coded)
}
