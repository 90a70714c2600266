//! Visits, read back whole.

use std::sync::Arc;

use cairn_model::session::{ATTRIBUTES, Attribute, Attributes};
use cairn_model::{Identification, Session, SiteId, VisitorId};

use super::Value;
use super::connection::{Connection, RowRef};
use super::error::DuckError;
use super::texts::{Wanted, joined};
use crate::SessionProbe;
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

/// Visits that events of some visitors could belong to.
pub(super) fn near(
    connection: &Connection,
    probes: &[SessionProbe],
    reach_ms: i64,
) -> Result<Vec<Session>, DuckError> {
    // A visit asked for by its number may have been at any time.
    let times_of = |probe: &SessionProbe| match probe.session_key {
        0 => (probe.timestamp_ms, probe.timestamp_ms),
        _ => (i64::MIN, i64::MAX),
    };
    let earliest = probes.iter().map(|probe| times_of(probe).0).min().unwrap_or_default();
    let latest = probes.iter().map(|probe| times_of(probe).1).max().unwrap_or_default();
    let keys = joined(probes.iter().map(|probe| probe.session_key));
    let sites = joined(probes.iter().map(|probe| probe.site_id));
    let visitors = joined(probes.iter().map(|probe| probe.visitor_id));
    let times = joined(probes.iter().map(|probe| probe.timestamp_ms));
    // The first two conditions let DuckDB skip whole row groups; the join decides.
    let sql = format!(
            "WITH probes AS (
                SELECT unnest(string_split($1, ','))::UINTEGER AS site_id,
                       unnest(string_split($2, ','))::UBIGINT AS visitor_id,
                       unnest(string_split($3, ','))::BIGINT AS timestamp_ms,
                       unnest(string_split($7, ','))::UBIGINT AS session_key)
             SELECT {SESSION_COLUMNS} FROM sessions s
             WHERE s.last_activity_ms >= $4 AND least(s.started_at_ms, s.ended_at_ms) <= $5 AND EXISTS (
                SELECT 1 FROM probes p WHERE p.site_id = s.site_id AND p.visitor_id = s.visitor_id
                AND CASE p.session_key WHEN 0 THEN
                    p.timestamp_ms::HUGEINT >= least(s.started_at_ms, s.ended_at_ms)::HUGEINT - $6
                    AND p.timestamp_ms::HUGEINT <= s.last_activity_ms::HUGEINT + $6
                ELSE s.session_key = p.session_key END)"
        );
    read(
        connection,
        &sql,
        &[
            sites.as_str().into(),
            visitors.as_str().into(),
            times.as_str().into(),
            earliest.saturating_sub(reach_ms).into(),
            latest.saturating_add(reach_ms).into(),
            reach_ms.into(),
            keys.as_str().into(),
        ],
    )
}
