//! What became of the hits of a site.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use cairn_model::Outcome;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::Parameters;
use super::show;
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::ApiError;

const HOUR_MS: i64 = 60 * 60 * 1000;
/// How long the answer waits for hits that are still on their way to the store.
const FRESHNESS_LIMIT: Duration = Duration::from_secs(2);

/// Counts of what became of hits. `received` is their sum.
#[derive(Serialize, ToSchema)]
pub struct Outcomes {
    /// Start of the first hour counted (RFC 3339): counts are kept by the hour.
    pub since: String,
    /// All hits.
    pub received: u64,
    /// Hits by outcome; every outcome that there is has its entry.
    pub outcomes: BTreeMap<String, u64>,
    /// Accepted events of bots by the reason for calling them so; they are part of `accepted`.
    pub bots: BTreeMap<String, u64>,
}

/// The table of outcomes, as `docs/outcomes.md` holds it.
#[cfg(test)]
fn documentation() -> String {
    let mut text = String::from(
        "# Outcomes\n\nEach event that comes in ends in exactly one outcome. It is told in the header \
         `Cairn-Outcome` (`mixed` where the\nevents of one body ended differently) and counted in \
         `GET /api/v1/sites/{site_id}/outcomes` and `/metrics`.\n\
         This page is generated from `crates/cairn_model/src/outcome.rs`.\n\n\
         | outcome | meaning |\n|---|---|\n",
    );
    for outcome in Outcome::ALL {
        text.push_str(&format!("| `{}` | {} |\n", outcome.name(), outcome.meaning()));
    }
    text
}

/// Tells what became of the hits of a site: accepted, or why not. Bots included. Counts of accepted events are exact;
/// counts of rejections may lose the last second before a crash.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/outcomes", tag = "events",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("since" = Option<String>, Query,
            description = "RFC 3339 or Unix milliseconds, cut down to the hour; default: the beginning")),
    responses((status = 200, body = Outcomes)))]
pub async fn show(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    RawQuery(query): RawQuery,
) -> Result<Json<Outcomes>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let since_ms = parameters.instant_ms("since")?.unwrap_or(0).max(0);
    parameters.finish()?;
    let since_ms = since_ms - since_ms.rem_euclid(HOUR_MS);
    let site_id = access.site_id();
    app.wait_applied(FRESHNESS_LIMIT).await;
    // What the edge counted and did not store yet is stored now, so that one sum has all of it.
    let counters = Arc::clone(&app.counters);
    let edge = blocking(&app, move |catalog| {
        counters.store(catalog)?;
        catalog.outcomes_since(site_id, since_ms)
    })
    .await?;
    let (applied, bots) = super::store(&app, move |store| {
        Ok((store.outcomes_since(site_id, since_ms)?, store.bots_since(site_id, since_ms)?))
    })
    .await?;
    let mut outcomes: BTreeMap<String, u64> =
        Outcome::ALL.iter().map(|outcome| (outcome.name().to_owned(), 0)).collect();
    for (outcome, count) in edge.into_iter().chain(applied) {
        *outcomes.entry(outcome.name().to_owned()).or_default() += count;
    }
    Ok(Json(Outcomes {
        since: show::instant(since_ms),
        received: outcomes.values().sum(),
        outcomes,
        bots: bots.into_iter().collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_lists_every_outcome() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/outcomes.md");
        crate::openapi::assert_committed(path, &documentation());
        for outcome in Outcome::ALL {
            let meaning = outcome.meaning();
            assert!(meaning.ends_with('.') && documentation().contains(meaning), "{meaning}");
            let description = crate::openapi::json();
            assert!(description.contains(outcome.name()), "{} is described", outcome.name());
        }
    }
}
