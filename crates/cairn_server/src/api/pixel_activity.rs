//! How much the pixels of a site reported, over time.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use http::HeaderMap;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Unit, Zoned};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::Parameters;
use super::show;
use crate::App;
use crate::auth::SiteAccess;
use crate::error::ApiError;

/// Hours of `24h`.
const HOURS: i64 = 24;
/// Days of `30d`.
const DAYS: i64 = 30;

/// Events of pixels over time, bots included.
#[derive(Serialize, ToSchema)]
pub struct PixelActivityBody {
    /// `24h` or `30d`.
    pub period: &'static str,
    /// When each hour or day begins in the site's time zone (RFC 3339); the last has not ended.
    pub starts: Vec<String>,
    /// Every pixel of the site.
    pub items: Vec<PixelEvents>,
}

/// Events of one pixel.
#[derive(Serialize, ToSchema)]
pub struct PixelEvents {
    /// Its key.
    pub key: String,
    /// Events that arrived in each hour or day.
    pub events: Vec<u64>,
}

/// Tells how many events of each pixel arrived in each of the last 24 hours or 30 days.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/pixels/activity", tag = "pixels",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("period" = Option<String>, Query, description = "`24h` (default) or `30d`")),
    responses((status = 200, body = PixelActivityBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<PixelActivityBody>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let period = match parameters.text("period")?.as_deref() {
        None | Some("24h") => "24h",
        Some("30d") => "30d",
        Some(_) => return Err(ApiError::invalid("period", "The period must be 24h or 30d.")),
    };
    parameters.finish()?;
    let zone = TimeZone::get(&access.site().timezone).unwrap_or(TimeZone::UTC);
    let starts_ms = starts(app.now_ms(&headers), zone, period);
    let starts = starts_ms.iter().map(|start| show::instant(*start)).collect();
    let (site_id, slots) = (access.site_id(), starts_ms.len());
    let counted = super::store(&app, move |store| store.pixel_counts(site_id, &starts_ms)).await?;
    let mut counted: HashMap<_, _> = counted.into_iter().collect();
    let items = access.entry().pixels.iter().map(|pixel| PixelEvents {
        key: pixel.key.clone(),
        events: counted.remove(&pixel.id).unwrap_or_else(|| vec![0; slots]),
    });
    Ok(Json(PixelActivityBody { period, starts, items: items.collect() }))
}

/// When the hours or days of a period begin, those of the site's clock.
fn starts(now_ms: i64, zone: TimeZone, period: &str) -> Vec<i64> {
    let now = Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone);
    let first_of = |back: i64| -> Option<Zoned> {
        if period == "24h" {
            // Hours are counted in time that passed: one that a clock shows twice is two.
            let hour = now
                .round(jiff::ZonedRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Trunc));
            return hour.ok()?.checked_sub(back.hours()).ok();
        }
        let date = now.date().checked_sub(back.days()).ok()?;
        date.to_datetime(Time::midnight()).to_zoned(now.time_zone().clone()).ok()
    };
    let slots = if period == "24h" { HOURS } else { DAYS };
    (0..slots).rev().filter_map(first_of).map(|at| at.timestamp().as_millisecond()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(now: &str, zone: &str, period: &str) -> Vec<String> {
        let now: Timestamp = now.parse().unwrap();
        let zone = TimeZone::get(zone).unwrap();
        starts(now.as_millisecond(), zone, period).into_iter().map(show::instant).collect()
    }

    #[test]
    fn hours_and_days_are_those_of_the_sites_clock() {
        let hours = shown("2026-11-22T10:10:00Z", "Asia/Kolkata", "24h");
        assert_eq!(hours.len(), 24);
        assert_eq!((&*hours[0], &*hours[23]), ("2026-11-21T10:30:00Z", "2026-11-22T09:30:00Z"));
        let days = shown("2026-11-22T10:10:00Z", "Europe/Berlin", "30d");
        assert_eq!(days.len(), 30);
        assert_eq!((&*days[0], &*days[29]), ("2026-10-23T22:00:00Z", "2026-11-21T23:00:00Z"));
        assert_eq!(days[1..3], ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"]);
    }
}
