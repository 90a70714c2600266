//! Attribution: `POST /api/v2/attribution` (docs/attribution.md).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use cairn_engine::report::attribution::attribution;
use serde_json::Value;
use utoipa::ToSchema;

use super::query::{failed, receive};
use crate::App;
use crate::auth::Caller;
use crate::error::ApiError;

/// What channels are to be credited for: exactly one of `goal` and `revenue`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that the engine reads")]
#[schema(as = Attribution)]
pub struct AttributionBody {
    /// Number or domain of the site.
    pub site_id: String,
    /// When conversions happened; as in a query.
    #[schema(value_type = Object, example = "30d")]
    pub date_range: Value,
    /// As in a query: which conversions count, and which people without one (docs/attribution.md).
    #[schema(value_type = Option<Vec<Object>>, nullable = false)]
    pub filters: Option<Value>,
    /// Name of a goal.
    #[schema(nullable = false, example = "Signup")]
    pub goal: Option<String>,
    /// Every order with an amount is a conversion: the first `purchase` of its `order_id`.
    #[schema(nullable = false)]
    pub revenue: Option<bool>,
    /// What tells channels apart: `visit:channel` (default), `visit:source`, or `visit:utm_source`, `_medium`, `_campaign`,
    /// `_content`, `_term`.
    #[schema(nullable = false, example = "visit:channel")]
    pub dimension: Option<String>,
    /// `last`, `last_non_direct`, `first`, `linear`, `time_decay`, `position_based`, `markov`, `shapley`; default: all.
    #[schema(nullable = false)]
    pub models: Option<Vec<String>>,
    /// How far conversions look back, 1 to 365 days; default 30.
    #[schema(nullable = false)]
    pub lookback_days: Option<u32>,
    /// Half-life of `time_decay`, 1 to 365 days; default 7.
    #[schema(nullable = false)]
    pub half_life_days: Option<u32>,
    /// Whether advertisements in view are touches: `true`, `false` (default), or `{"window_days": 1}` with 1 to 30.
    #[schema(value_type = Option<Object>, nullable = false)]
    pub view_through: Option<Value>,
    /// `limit` (1 to 1,000, default 20) and `offset` of the paths.
    #[schema(value_type = Option<Object>, nullable = false)]
    pub pagination: Option<Value>,
}

/// Channels by models, side by side.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the engine writes")]
pub struct AttributionAnswer {
    /// Channels, those first that the first model credits most.
    pub channels: Vec<AttributionChannel>,
    /// Everything together.
    pub totals: AttributionTotals,
    /// The models asked for.
    pub models: Vec<AttributionModel>,
    /// The paths of people, those first that converted most.
    pub paths: AttributionPaths,
    /// What was cut or put together, and from which size on.
    pub bounds: AttributionBounds,
    /// What was run, with defaults filled in.
    #[schema(value_type = Object)]
    pub query: Value,
}

/// An amount of money.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the engine writes")]
pub struct Money {
    /// In the currency's main unit.
    pub value: f64,
    /// ISO 4217 code.
    pub currency: String,
    /// In few letters.
    pub short: String,
    /// With cents.
    pub long: String,
}

/// A channel.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the engine writes")]
pub struct AttributionChannel {
    /// Its name; `(other)` stands for all beyond `bounds.channels_max`.
    pub channel: String,
    /// `visit`: people came by it; `view`: they had its advertisement in view.
    pub via: String,
    /// What each model credits it with, by the model's name.
    pub credits: BTreeMap<String, AttributionCredit>,
    /// The least and the most that any of these models says.
    pub range: AttributionRange,
    /// Conversions in which it was a touch.
    pub touched_conversions: u64,
    /// Those of them in which it was not the last one.
    pub assisted_conversions: u64,
}

/// What a model credits a channel with.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the engine writes")]
pub struct AttributionCredit {
    /// Conversions, with four decimals.
    pub conversions: f64,
    /// Their amounts.
    pub revenue: Money,
}

/// From the least to the most.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the engine writes")]
pub struct AttributionRange {
    /// Conversions: two numbers.
    pub conversions: Vec<f64>,
    /// Amounts: two of them.
    pub revenue: Vec<Money>,
}

/// Sums over all paths, cut ones included.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the engine writes")]
pub struct AttributionTotals {
    /// Conversions.
    pub conversions: u64,
    /// Their amounts in the currency of the answer.
    pub revenue: Money,
    /// People who came in the range and did not convert.
    pub people_without_conversion: u64,
    /// Conversions of anonymous visitors, whose paths begin at midnight.
    pub anonymous_conversions: u64,
    /// Conversions with an amount in another currency, which is not in `revenue`.
    pub other_currency_conversions: u64,
}

/// How a model's figures were found.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the engine writes")]
pub struct AttributionModel {
    /// Its name.
    pub model: String,
    /// Computed, not estimated from a sample.
    pub exact: bool,
    /// By which method.
    pub method: String,
}

/// A page of paths.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the engine writes")]
pub struct AttributionPaths {
    /// The paths.
    pub results: Vec<AttributionPath>,
    /// Paths on all pages.
    pub total: u64,
}

/// A path: the same touches in the same order.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the engine writes")]
pub struct AttributionPath {
    /// Its touches, earliest first.
    pub touches: Vec<AttributionTouch>,
    /// Conversions at its end.
    pub conversions: u64,
    /// Their amounts.
    pub revenue: Money,
    /// People who went it and did not convert.
    pub people_without_conversion: u64,
    /// Mean time from the first touch to the conversion; null without conversions.
    #[schema(required)]
    pub mean_hours: Option<f64>,
}

/// A touch of a path.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the engine writes")]
pub struct AttributionTouch {
    /// Name of the channel.
    pub channel: String,
    /// `visit` or `view`.
    pub via: String,
}

/// What was cut or put together.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the engine writes")]
pub struct AttributionBounds {
    /// Different paths that are told apart.
    pub paths_max: u32,
    /// Paths beyond them, which no model saw.
    pub paths_cut: u64,
    /// Their conversions.
    pub conversions_cut: u64,
    /// Their amounts.
    pub revenue_cut: Money,
    /// Touches of one path.
    pub touches_max: u32,
    /// Conversions whose path lost its earlier touches.
    pub conversions_shortened: u64,
    /// Channels that are told apart.
    pub channels_max: u32,
    /// Channels beyond them, put together as `(other)`.
    pub channels_merged: u32,
}

/// Credits the channels of a site with its conversions. A site that the caller may not see is answered with 401.
#[utoipa::path(post, path = "/api/v2/attribution", tag = "queries", request_body = AttributionBody,
    responses((status = 200, body = AttributionAnswer)))]
pub async fn ask(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let asked = receive(&app, &caller, request).await?;
    let held = Arc::clone(&app);
    let answer = super::with_store(&app, move |store| {
        attribution(store, asked.site(&held), &asked.about.currency, &asked.body, asked.now_ms)
    });
    answer.await?.map(Json).map_err(failed)
}
