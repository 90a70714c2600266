//! Reports: `POST /api/v2/query` (docs/queries.md).

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use cairn_engine::report::{self, Books, Prefetched, QueryError, ReportSite};
use cairn_model::question::segments::{self, Segment};
use cairn_model::question::{Goal, QuestionError};
use cairn_model::{Site, SiteId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{parse, read_body, require_json};
use super::goals::definition::question_goal;
use super::query_export as export;
use crate::App;
use crate::auth::{Caller, SiteAccess, blocking, site_access};
use crate::error::{ApiError, Code};

/// A question.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
#[schema(as = Query)]
pub struct QueryBody {
    /// Number or domain of the site.
    pub site_id: String,
    /// Columns wanted; docs/queries.md defines each.
    #[schema(example = json!(["visitors", "pageviews"]))]
    pub metrics: Vec<String>,
    /// `day`, `7d`, `28d`, `30d`, `91d`, `month`, `6mo`, `12mo`, `year`, `all`, or a list of two dates or instants.
    #[schema(value_type = Object, example = "7d")]
    pub date_range: Value,
    /// Grouping; docs/queries.md lists them.
    #[schema(example = json!(["visit:source"]))]
    pub dimensions: Option<Vec<String>>,
    /// Lists such as `["is", "visit:country", ["DE"]]`; `and`, `or`, `not` combine them.
    #[schema(value_type = Option<Vec<Object>>)]
    pub filters: Option<Value>,
    /// Lists such as `["visitors", "desc"]`.
    #[schema(value_type = Option<Vec<Object>>)]
    pub order_by: Option<Value>,
    /// `time_labels`, `total_rows`, `comparisons`.
    #[schema(value_type = Option<Object>)]
    pub include: Option<Value>,
    /// `limit` (at most 10,000) and `offset`.
    #[schema(value_type = Option<Object>)]
    pub pagination: Option<Value>,
}

/// An answer.
#[derive(Serialize, ToSchema)]
pub struct QueryAnswer {
    /// The rows.
    pub results: Vec<QueryRow>,
    /// Labels, totals and warnings that were asked for or apply.
    #[schema(value_type = QueryMeta)]
    pub meta: Value,
    /// What was run, with defaults filled in; posting it again gives the same rows.
    #[schema(value_type = Object)]
    pub query: Value,
}

/// What goes with an answer; of each entry only what was asked for or applies is there.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the engine writes")]
pub struct QueryMeta {
    /// Every label of the range, with `include.time_labels`.
    #[schema(nullable = false)]
    pub time_labels: Option<Vec<String>>,
    /// Rows before pagination, with `include.total_rows`.
    #[schema(nullable = false)]
    pub total_rows: Option<u64>,
    /// Always false, with `include.imports`: there are no imported aggregates.
    #[schema(nullable = false)]
    pub imports_included: Option<bool>,
    /// Why not: `no_imported_data`.
    #[schema(nullable = false)]
    pub imports_skip_reason: Option<String>,
    /// Of a question about money: `currency`; where there are any, `repeated_orders`, `unmatched_refunds`,
    /// `orders_not_converted` and `costs_not_converted`.
    #[schema(value_type = Option<Object>, nullable = false)]
    pub money: Option<Value>,
    /// Metrics that could not be computed, each with `code` and `warning`.
    #[schema(value_type = Option<Object>, nullable = false)]
    pub metric_warnings: Option<Value>,
    /// `mixed`: visitors hold identified ones, counted once, and anonymous ones, counted once a day.
    #[schema(nullable = false)]
    pub identification: Option<String>,
    /// Restarts of the server in the range (RFC 3339, UTC): anonymous visitors of such a day may count twice.
    #[schema(nullable = false, example = json!(["2026-11-22T10:00:00Z"]))]
    pub anonymous_restarts: Option<Vec<String>>,
}

/// A row: values stand in the order of the question's lists.
#[derive(Serialize, ToSchema)]
pub struct QueryRow {
    /// Values of the dimensions.
    pub dimensions: Vec<String>,
    /// Values of the metrics: numbers, null, or money as an object.
    #[schema(value_type = Vec<Object>)]
    pub metrics: Vec<Value>,
    /// The same group in the period compared with, with the change in percent.
    #[schema(value_type = Option<Object>, nullable = false)]
    pub comparison: Option<Value>,
}

/// Answers a question. A site that the caller may not see is answered with 401. As `text/csv`, `application/x-ndjson` or
/// `application/vnd.apache.parquet`, asked for by `format` or `Accept`, the answer is a file of all rows (docs/queries.md).
#[utoipa::path(post, path = "/api/v2/query", tag = "queries", request_body = QueryBody,
    params(("format" = Option<String>, Query, description = "`json` (default), `csv`, `ndjson` or `parquet`; files have all rows, unless the question has `pagination`")),
    responses((status = 200, body = QueryAnswer)))]
pub async fn ask(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(parameters): RawQuery,
    request: Request,
) -> Result<Response, ApiError> {
    let format = export::format(parameters.as_deref(), request.headers())?;
    let asked = receive(&app, &caller, request).await?;
    if let Some(format) = format {
        return export::stream(app, asked, format).await;
    }
    Ok(Json(asked.answer(&app).await?).into_response())
}

/// What answering questions about a site needs to know of it.
pub(crate) struct Surroundings {
    pub(super) site_id: SiteId,
    timezone: String,
    pub(super) currency: String,
    goals: Vec<Goal>,
    restarts_ms: Vec<i64>,
}

impl Surroundings {
    pub(super) async fn of(app: &App, site: &Site) -> Result<Surroundings, ApiError> {
        // A restart before the site existed parted no visitor of it.
        let created_at_ms = site.created_at_ms;
        let mut restarts_ms = blocking(app, |catalog| catalog.restarts_ms()).await?;
        restarts_ms.retain(|restart_ms| *restart_ms >= created_at_ms);
        Ok(Surroundings {
            site_id: site.id,
            timezone: site.timezone.clone(),
            currency: site.currency.clone(),
            goals: goals(app, site.id).await?,
            restarts_ms,
        })
    }
}

/// A question with all that answering it needs.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(super) about: Arc<Surroundings>,
    pub(super) body: Value,
    pub(crate) now_ms: i64,
}

impl Asked {
    /// Puts the filters of saved segments where the question names them.
    pub(super) async fn new(
        app: &Arc<App>,
        about: Arc<Surroundings>,
        mut body: Value,
        now_ms: i64,
    ) -> Result<Asked, ApiError> {
        if let Some(filters) = body.get_mut("filters") {
            expand_segments(app, about.site_id, filters).await?;
        }
        Ok(Asked { about, body, now_ms })
    }

    pub(crate) fn site<'a>(&'a self, app: &'a App) -> ReportSite<'a> {
        let about = &self.about;
        let books = Books {
            catalog: &app.catalog,
            ingest: &app.ingest,
            currency: &about.currency,
            rate_age_days_max: app.config.rate_age_days_max,
        };
        ReportSite {
            site_id: about.site_id,
            timezone: &about.timezone,
            goals: &about.goals,
            restarts_ms: &about.restarts_ms,
            books: Some(books),
        }
    }

    /// The answer as JSON.
    pub(super) async fn answer(self, app: &Arc<App>) -> Result<Value, ApiError> {
        self.answer_after(app, Arc::default()).await
    }

    /// The same, with what was found for several questions together.
    pub(super) async fn answer_after(
        self,
        app: &Arc<App>,
        prefetched: Arc<Prefetched>,
    ) -> Result<Value, ApiError> {
        let held = Arc::clone(app);
        let answer = super::with_store(app, move |store| {
            report::ask_after(&prefetched, store, self.site(&held), &self.body, self.now_ms)
        });
        answer.await?.map_err(failed)
    }
}

/// Reads a question and finds its site, which the caller has to be allowed to see.
pub(super) async fn receive(
    app: &Arc<App>,
    caller: &Caller,
    request: Request,
) -> Result<Asked, ApiError> {
    require_json(request.headers())?;
    let now_ms = app.now_ms(request.headers());
    let body = parse(&read_body(request).await?)?;
    if !body.is_object() {
        return Err(ApiError::new(Code::InvalidQuery, "The body must be a JSON object."));
    }
    let access = named_site(app, caller, &body).await?;
    let about = Surroundings::of(app, access.site()).await?;
    Asked::new(app, Arc::new(about), body, now_ms).await
}

/// A question about a site, with all that answering it needs; it names no segments.
pub(crate) async fn asked(
    app: &App,
    site: &Site,
    body: Value,
    now_ms: i64,
) -> Result<Asked, ApiError> {
    let about = Arc::new(Surroundings::of(app, site).await?);
    Ok(Asked { about, body, now_ms })
}

/// Puts the filters of the site's segments where filters name them.
pub(super) async fn expand_segments(
    app: &Arc<App>,
    site_id: SiteId,
    filters: &mut Value,
) -> Result<(), ApiError> {
    if !segments::names_segments(filters) {
        return Ok(());
    }
    let saved = blocking(app, move |catalog| catalog.segments(site_id)).await?;
    let saved: Vec<Segment> = saved
        .into_iter()
        .map(|segment| Segment { id: segment.id, filters: segment.filters })
        .collect();
    *filters = segments::expanded(filters, &saved).map_err(rejected)?;
    Ok(())
}

/// The site in a question's body. One that does not exist looks like one that the caller may not see.
pub(super) async fn named_site(
    app: &App,
    caller: &Caller,
    body: &Value,
) -> Result<SiteAccess, ApiError> {
    let name = report::site_id_of(body).map_err(failed)?;
    let directory = app.directory.current();
    let by_number = name.parse().ok().and_then(|id| directory.by_id(id));
    let entry = by_number.or_else(|| directory.by_domain(&name.to_lowercase()));
    let access = site_access(app, caller, entry).await?;
    access.ok_or_else(|| {
        ApiError::new(Code::Unauthorized, "There is no such site, or this caller may not see it.")
            .on("site_id")
    })
}

/// The goals of a site, as questions take them.
pub(super) async fn goals(app: &App, site_id: SiteId) -> Result<Vec<Goal>, ApiError> {
    let stored = blocking(app, move |catalog| catalog.goals(site_id)).await?;
    stored.into_iter().map(|goal| question_goal(goal.definition)).collect()
}

/// A refused question.
pub(super) fn rejected(error: QuestionError) -> ApiError {
    failed(QueryError::from(error))
}

pub(crate) fn failed(error: QueryError) -> ApiError {
    let code = match error.code {
        "too_expensive" => Code::TooExpensive,
        _ if error.status == 400 => Code::InvalidQuery,
        _ => Code::Unavailable,
    };
    ApiError { field: error.field, ..ApiError::new(code, error.message) }
}
