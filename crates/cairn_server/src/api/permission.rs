//! How often visitors give permission.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use cairn_catalog::{PermissionCounts, VERSIONS_SHOWN_MAX};
use cairn_model::Purpose;
use cairn_model::question::buckets::{Buckets, TimeUnit};
use cairn_model::question::{Asking, EventsQuestion};
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{self, Parameters};
use super::query;
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::{ApiError, Code};

/// How long the answer waits for choices that are still on their way to their chain.
const FRESHNESS_LIMIT: Duration = Duration::from_secs(2);
/// What the figures mean.
const DEFINITION: &str = "Counted are choices, not visitors: each receipt of the period counts once, on the day it was \
     made in the site's time zone. The rate of a purpose is granted / asked, where asked are the choices that say anything \
     about it. Visitors who never choose are not in it.";

/// How often permission was given.
#[derive(Serialize, ToSchema)]
#[schema(as = Permission)]
pub struct PermissionBody {
    /// What the figures mean.
    pub definition: &'static str,
    /// All of the period.
    pub total: Counts,
    /// By day in the site's time zone; days without a choice too.
    pub by_day: Vec<DayCounts>,
    /// By region, the most choices first: `eea`, `uk`, `switzerland`, a country's code, `unknown`.
    pub by_region: Vec<RegionCounts>,
    /// By version and language of what was shown, the most choices first; at most 50.
    pub by_version: Vec<VersionCounts>,
    /// There were more versions.
    pub has_more_versions: bool,
}

/// Choices.
#[derive(Serialize, ToSchema)]
pub struct Counts {
    /// Choices.
    pub choices: u64,
    /// Choices that say anything about a purpose.
    pub asked: BTreeMap<&'static str, u64>,
    /// Those that grant it.
    pub granted: BTreeMap<&'static str, u64>,
}

/// Choices of one day.
#[derive(Serialize, ToSchema)]
pub struct DayCounts {
    /// The day.
    #[schema(example = "2026-11-22")]
    pub date: String,
    /// Its choices.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Choices of one region.
#[derive(Serialize, ToSchema)]
pub struct RegionCounts {
    /// The region.
    pub region: String,
    /// Its choices.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Choices on one version of what was shown.
#[derive(Serialize, ToSchema)]
pub struct VersionCounts {
    /// The version; empty: not told.
    pub version: String,
    /// Its language; empty: not told.
    pub language: String,
    /// Its choices.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Counts {
    fn new(counts: &PermissionCounts) -> Self {
        let named =
            |numbers: [u64; 4]| Purpose::ALL.map(Purpose::name).into_iter().zip(numbers).collect();
        Counts {
            choices: counts.choices,
            asked: named(counts.asked),
            granted: named(counts.granted),
        }
    }
}

/// Tells how often permission was given, by day, region and version of what was shown.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/permission", tag = "privacy",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("date_range" = Option<String>, Query,
            description = "As in queries: a word such as `30d` (the default), or a JSON list of two dates"),
           ("region" = Option<String>, Query, description = "Only choices of this region"),
           ("version" = Option<String>, Query, description = "Only choices on this version")),
    responses((status = 200, body = PermissionBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<PermissionBody>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let date_range = parameters.text("date_range")?.unwrap_or_else(|| "30d".to_owned());
    let (region, version) = (parameters.text("region")?, parameters.text("version")?);
    parameters.finish()?;
    let buckets = days(&app, &access, &headers, &date_range)?;
    app.wait_applied(FRESHNESS_LIMIT).await;
    let (site_id, range) = (access.site_id(), buckets.range());
    let sums = blocking(&app, move |catalog| {
        let range = (range.from_ms(), range.until_ms());
        catalog.permission(site_id, range, region.as_deref(), version.as_deref())
    })
    .await?;
    let mut total = PermissionCounts::default();
    let mut by_day = vec![PermissionCounts::default(); buckets.labels().len()];
    for (at_ms, counts) in &sums.by_time {
        // The first quarter of an hour may begin before the range does.
        let at_ms = (*at_ms).max(range.from_ms());
        let place = usize::try_from(buckets.index_of(at_ms)).ok();
        if let Some(day) = place.and_then(|place| by_day.get_mut(place)) {
            day.add(counts);
        }
        total.add(counts);
    }
    let dated = buckets.labels().into_iter().zip(&by_day);
    let mut by_region: Vec<_> = sums.by_region.into_iter().collect();
    by_region.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.choices));
    let regions = by_region.into_iter();
    let versions = sums.by_version.into_iter();
    Ok(Json(PermissionBody {
        definition: DEFINITION,
        total: Counts::new(&total),
        by_day: dated
            .map(|(date, counts)| DayCounts { date, counts: Counts::new(counts) })
            .collect(),
        by_region: regions
            .map(|(region, counts)| RegionCounts { region, counts: Counts::new(&counts) })
            .collect(),
        has_more_versions: versions.len() > VERSIONS_SHOWN_MAX,
        by_version: versions
            .take(VERSIONS_SHOWN_MAX)
            .map(|((version, language), counts)| VersionCounts {
                version,
                language,
                counts: Counts::new(&counts),
            })
            .collect(),
    }))
}

/// The days that were asked for.
fn days(
    app: &App,
    access: &SiteAccess,
    headers: &HeaderMap,
    date_range: &str,
) -> Result<Buckets, ApiError> {
    let wrong = |message: String| ApiError::new(Code::MalformedRequest, message).on("date_range");
    let asked = match date_range.starts_with('[') {
        true => body::parse(date_range.as_bytes())
            .map_err(|error| wrong(format!("date_range: {}", error.message)))?,
        false => Value::String(date_range.to_owned()),
    };
    let site = access.site();
    let asking = Asking {
        site_id: site.id,
        timezone: &site.timezone,
        now_ms: app.now_ms(headers),
        first_event_ms: Some(site.created_at_ms),
        goals: &[],
    };
    let question = EventsQuestion::parse(&Value::Null, &asked, None, None, &asking)
        .map_err(query::rejected)?;
    Buckets::cut(TimeUnit::Day, question.question().range, &access.entry().zone)
        .ok_or_else(|| wrong("The range has too many days.".to_owned()))
}
