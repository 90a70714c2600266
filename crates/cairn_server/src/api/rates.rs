//! Exchange rates that the owner of the instance provides.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use cairn_catalog::KnownRates;
use cairn_engine::money::{FILE_SIZE_BYTES_MAX, rates};
use cairn_model::Currency;
use cairn_model::limits::UPLOAD_PATIENCE_S;
use cairn_model::rates::date_of_day;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{Parameters, read_body_of};
use super::costs::file_place;
use crate::App;
use crate::auth::{Caller, blocking};
use crate::error::ApiError;

/// What rates are against, unless said otherwise: what the European Central Bank publishes.
const BASE: &str = "EUR";

/// The exchange rates that are known.
#[derive(Serialize, ToSchema)]
pub struct RateList {
    /// ISO 4217 code of what they are against; null: there are none.
    #[schema(required)]
    pub base: Option<String>,
    /// Days for which a rate is used when no newer one is known.
    pub age_days_max: u16,
    /// Currencies with rates, by code.
    pub currencies: Vec<CurrencyRates>,
}

/// The rates that are known of one currency.
#[derive(Serialize, ToSchema)]
pub struct CurrencyRates {
    /// ISO 4217 code.
    pub currency: String,
    /// Days with a rate.
    pub days: u64,
    /// The first of them.
    pub first_day: String,
    /// The last of them.
    pub last_day: String,
}

/// What a file of rates changed.
#[derive(Serialize, ToSchema)]
pub struct StoredRates {
    /// Rates that are new.
    pub added: usize,
    /// Rates that took the place of others.
    pub replaced: usize,
    /// Columns whose names are no currency of today: not read.
    pub skipped: Vec<String>,
}

/// Lists which exchange rates are known. Whoever may log in may see it.
#[utoipa::path(get, path = "/api/v1/instance/rates", tag = "costs",
    responses((status = 200, body = RateList)))]
pub async fn list(State(app): State<Arc<App>>, _: Caller) -> Result<Json<RateList>, ApiError> {
    let read =
        |catalog: &cairn_catalog::Catalog| Ok((catalog.rates_base()?, catalog.known_rates()?));
    let (base, known) = blocking(&app, read).await?;
    let currencies = known.into_iter().map(body).collect();
    Ok(Json(RateList { base, age_days_max: app.config.rate_age_days_max, currencies }))
}

/// Reads exchange rates from a file, whole or not at all: the published history of the European Central Bank
/// (`Date,USD,JPY,…`), or a list (`date,currency,rate`). A rate is units of the currency for one of the base; those that are
/// known already are replaced. For the owner of the instance.
#[utoipa::path(post, path = "/api/v1/instance/rates", tag = "costs",
    params(("base" = Option<String>, Query, description = "ISO 4217 code of what they are against; default EUR")),
    request_body(content = String, content_type = "text/csv"),
    responses((status = 200, body = StoredRates)))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Json<StoredRates>, ApiError> {
    caller.require_instance_owner(&app).await?;
    let mut parameters = Parameters::new(query.as_deref())?;
    let base = parameters.text("base")?.unwrap_or_else(|| BASE.to_owned());
    parameters.finish()?;
    let base = Currency::from_code(&base).ok_or_else(|| {
        ApiError::invalid("base", "The base must be an ISO 4217 code such as EUR.")
    })?;
    let _place = file_place().await?;
    let patience = Duration::from_secs(UPLOAD_PATIENCE_S);
    let bytes = read_body_of(request.into_body(), FILE_SIZE_BYTES_MAX, patience).await?;
    let text = String::from_utf8(bytes.to_vec())
        .map_err(|_| ApiError::invalid("body", "The file must be UTF-8."))?;
    let work = move |catalog: &cairn_catalog::Catalog| match rates::read(&text, base.code) {
        Ok(read) => {
            let stored = catalog.put_rates(base.code, &read.rates)?;
            Ok(Ok((stored, read.skipped)))
        }
        Err(faults) => Ok(Err(faults)),
    };
    let (stored, skipped) = blocking(&app, work).await?.map_err(|faults| {
        ApiError::invalid("body", format!("The file cannot be taken: {faults}."))
    })?;
    Ok(Json(StoredRates { added: stored.added, replaced: stored.replaced, skipped }))
}

/// Removes all exchange rates, so that others against another base may be put in. For the owner of the instance.
#[utoipa::path(delete, path = "/api/v1/instance/rates", tag = "costs",
    responses((status = 204, description = "They are gone")))]
pub async fn remove(State(app): State<Arc<App>>, caller: Caller) -> Result<StatusCode, ApiError> {
    caller.require_instance_owner(&app).await?;
    blocking(&app, |catalog| catalog.delete_rates()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn body(known: KnownRates) -> CurrencyRates {
    let date = |day| date_of_day(day).map_or_else(String::new, |date| date.to_string());
    CurrencyRates {
        currency: known.currency,
        days: known.days,
        first_day: date(known.first),
        last_day: date(known.last),
    }
}
