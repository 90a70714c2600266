//! What each pixel reported, over time, and how much of it was bots'.

use cairn_model::session::Attribute;
use cairn_model::{PixelId, SiteId};

use super::connection::Connection;
use super::error::DuckError;
use super::texts::texts_of;
use crate::PixelActivity;
use crate::schema::{MISSING_CODE, TextField};

/// When pixels reported; see [`crate::EventStore::pixel_activity`].
pub(super) fn activity(
    connection: &Connection,
    site_id: SiteId,
    since_ms: i64,
) -> Result<Vec<(PixelId, PixelActivity)>, DuckError> {
    let sql = "SELECT pixel_id, min(received_at_ms), max(received_at_ms),
            count(*) FILTER (WHERE received_at_ms >= ?)
        FROM events WHERE site_id = ? AND NOT imported GROUP BY pixel_id ORDER BY pixel_id";
    let mut activities = Vec::new();
    connection.query(sql, &[since_ms.into(), site_id.0.into()])?.for_each(|row| {
        let activity = PixelActivity {
            first_received_ms: row.optional(1)?,
            last_received_ms: row.optional(2)?,
            events_since: row.get(3)?,
        };
        activities.push((PixelId(row.get(0)?), activity));
        Ok::<(), DuckError>(())
    })?;
    Ok(activities)
}

/// Events of bots by reason; see [`crate::EventStore::bots_since`].
/// How many events a site has.
pub(super) fn count_events(connection: &Connection, site_id: SiteId) -> Result<u64, DuckError> {
    let sql = "SELECT count(*) FROM events WHERE site_id = ?";
    let counted = connection.query(sql, &[site_id.0.into()])?.first(|row| row.get(0))?;
    Ok(counted.unwrap_or_default())
}

pub(super) fn bots(
    connection: &Connection,
    site_id: SiteId,
    since_ms: i64,
) -> Result<Vec<(String, u64)>, DuckError> {
    let texts = texts_of(site_id.0, TextField::Visit(Attribute::Bot));
    let sql = format!(
        "SELECT t.text, e.events FROM (
            SELECT bot, count(*) AS events FROM events
            WHERE site_id = ? AND received_at_ms >= ? AND bot <> {MISSING_CODE} GROUP BY bot) e
         JOIN {texts} t ON t.code = e.bot ORDER BY t.text"
    );
    let mut reasons = Vec::new();
    connection.query(&sql, &[site_id.0.into(), since_ms.into()])?.for_each(|row| {
        reasons.push((row.get(0)?, row.get(1)?));
        Ok::<(), DuckError>(())
    })?;
    Ok(reasons)
}

/// Events of each pixel in each slot; see [`crate::EventStore::pixel_counts`].
pub(super) fn counts(
    connection: &Connection,
    site_id: SiteId,
    starts_ms: &[i64],
) -> Result<Vec<(PixelId, Vec<u64>)>, DuckError> {
    let Some(first) = starts_ms.first() else { return Ok(Vec::new()) };
    // Slots are seldom equally long (days in summer time), so each is named: newest first, the first that fits counts.
    let slots: String =
        starts_ms.iter().enumerate().rev().fold(String::new(), |sql, (slot, start)| {
            sql + &format!(" WHEN received_at_ms >= {start} THEN {slot}")
        });
    let sql = format!(
        "SELECT pixel_id, CASE{slots} END AS slot, count(*) FROM events
         WHERE site_id = ? AND NOT imported AND received_at_ms >= ? GROUP BY pixel_id, slot ORDER BY pixel_id"
    );
    let mut counts: Vec<(PixelId, Vec<u64>)> = Vec::new();
    connection.query(&sql, &[site_id.0.into(), (*first).into()])?.for_each(|row| {
        let (pixel, slot, events) = (PixelId(row.get(0)?), row.get::<i32>(1)?, row.get(2)?);
        if counts.last().is_none_or(|(last, _)| *last != pixel) {
            counts.push((pixel, vec![0; starts_ms.len()]));
        }
        let place = counts.last_mut().zip(usize::try_from(slot).ok());
        if let Some(count) = place.and_then(|((_, slots), slot)| slots.get_mut(slot)) {
            *count = events;
        }
        Ok::<(), DuckError>(())
    })?;
    Ok(counts)
}
