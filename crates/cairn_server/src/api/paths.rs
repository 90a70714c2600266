//! Reports about ways: `POST /api/v2/funnel`, `/journeys` and `/retention` (docs/funnels.md).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use cairn_catalog::FunnelStep;
use cairn_engine::report::paths::{self, FunnelRequest, JourneyRequest, RetentionRequest, Scope};
use cairn_engine::report::{QueryError, ReportSite};
use cairn_model::question::funnel::INSTEAD_MAX;
use cairn_model::question::journey::{JOURNEY_STEPS_MAX, JOURNEY_TOP_MAX, JourneyDirection};
use cairn_model::question::{Goal, TimeUnit};
use cairn_store::EventStore;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{Fields, missing};
use super::funnels::{self, NewStep, read_step};
use super::query::{self, failed};
use crate::App;
use crate::auth::{Caller, blocking};
use crate::error::ApiError;

/// Places listed for those who dropped out, unless asked otherwise.
const INSTEAD_DEFAULT: i64 = 5;
/// Steps of journeys, and branches of a place, unless asked otherwise.
const JOURNEY_DEFAULT: (i64, i64) = (3, 5);

/// How far visitors get: a saved funnel, or steps.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct FunnelQuestionBody {
    /// Number or domain of the site.
    pub site_id: String,
    /// As in a query.
    #[schema(value_type = Object, example = "30d")]
    pub date_range: Value,
    /// As in a query; they choose the events that take part.
    #[schema(value_type = Option<Vec<Object>>)]
    pub filters: Option<Value>,
    /// Number of a saved funnel; instead of `steps`, `order` and `window_minutes`.
    pub funnel_id: Option<String>,
    /// 2 to 20 steps.
    pub steps: Option<Vec<NewStep>>,
    /// `ordered` (default), `any` or `strict` (nothing in between).
    pub order: Option<String>,
    /// Minutes from the first step to the last, 1 to 129600 (90 days); default: within the visit.
    pub window_minutes: Option<i64>,
    /// A dimension of queries: the funnel once more for each value, that of the first step's event.
    #[schema(example = "visit:device")]
    pub breakdown: Option<String>,
    /// How many places to list for those who dropped out at a step, 0 to 50; default 5.
    pub instead: Option<u32>,
}

/// How far visitors got.
#[derive(Serialize, ToSchema)]
pub struct FunnelAnswerBody {
    /// By step.
    pub steps: Vec<FunnelAnswerStep>,
    /// Visitors of the last step in percent of those of the first.
    #[schema(required)]
    pub conversion_rate: Option<f64>,
    /// By value of the breakdown: the 50 with most visitors.
    pub groups: Vec<FunnelAnswerGroup>,
    /// `exactness`, `group_count`, `anonymous_visitors`.
    #[schema(value_type = Object)]
    pub meta: Value,
    /// The range in instants, and the filters.
    #[schema(value_type = Object)]
    pub query: Value,
}

/// The same for one value of the breakdown.
#[derive(Serialize, ToSchema)]
pub struct FunnelAnswerGroup {
    /// The value.
    pub value: String,
    /// By step.
    pub steps: Vec<FunnelAnswerStep>,
}

/// Visitors who came to a step.
#[derive(Serialize, ToSchema)]
pub struct FunnelAnswerStep {
    /// Name of the step.
    pub name: String,
    /// How many.
    pub visitors: u64,
    /// In percent of the first step.
    #[schema(required)]
    pub share_of_first: Option<f64>,
    /// In percent of the step before.
    #[schema(required)]
    pub share_of_previous: Option<f64>,
    /// Those who did not come to the next step.
    pub dropped: u64,
    /// Median of the seconds from the step before.
    #[schema(required)]
    pub median_s: Option<i64>,
    /// What those did next; not for the last step.
    #[schema(nullable = false)]
    pub instead: Option<InsteadBody>,
}

/// What those did next who dropped out.
#[derive(Serialize, ToSchema)]
#[schema(as = Instead)]
pub struct InsteadBody {
    /// The next page or event, most visitors first.
    pub next: Vec<InsteadPlace>,
    /// Went elsewhere.
    pub others: u64,
    /// Did nothing more.
    pub left: u64,
}

/// A page or an event.
#[derive(Serialize, ToSchema)]
pub struct InsteadPlace {
    /// `page` or `event`.
    #[schema(example = "page")]
    pub kind: String,
    /// Path of the page, or name of the event.
    pub name: String,
    /// How many went there.
    pub visitors: u64,
}

/// Answers how far visitors get along the steps of a funnel.
#[utoipa::path(post, path = "/api/v2/funnel", tag = "queries", request_body = FunnelQuestionBody,
    responses((status = 200, body = FunnelAnswerBody)))]
pub async fn funnel(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let mut asked = Asked::receive(&app, &caller, request).await?;
    let fields = &mut asked.fields;
    let breakdown = fields.text("breakdown")?;
    let instead = fields.whole("instead", 0..=i64::from(INSTEAD_MAX))?.unwrap_or(INSTEAD_DEFAULT);
    let site_id = asked.received.about.site_id;
    let new = match fields.text("funnel_id")? {
        None => funnels::read(fields)?,
        Some(id) => {
            let unknown =
                || ApiError::invalid("funnel_id", "The site has no funnel of this number.");
            let id: i64 = id.parse().map_err(|_| unknown())?;
            let saved = blocking(&app, move |catalog| catalog.funnel(site_id, id)).await?;
            saved.ok_or_else(unknown)?.definition
        }
    };
    let request = FunnelRequest {
        funnel: funnels::as_asked(&app, site_id, new).await?,
        breakdown,
        instead: u32::try_from(instead).unwrap_or_default(),
    };
    asked.answer(&app, |store, site, scope| paths::funnel(store, site, scope, request)).await
}

/// Where visits go from a place, or come from.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct JourneyQuestionBody {
    /// Number or domain of the site.
    pub site_id: String,
    /// As in a query.
    #[schema(value_type = Object, example = "30d")]
    pub date_range: Value,
    /// As in a query; they choose the events that take part.
    #[schema(value_type = Option<Vec<Object>>)]
    pub filters: Option<Value>,
    /// Where journeys begin, or end.
    pub anchor: NewStep,
    /// `after` (default) or `before`.
    pub direction: Option<String>,
    /// How many steps to follow, 1 to 6; default 3.
    pub steps: Option<u32>,
    /// How many branches of each place, 1 to 20; default 5. At most 20,000 places at the last step.
    pub top: Option<u32>,
    /// A page or event that follows itself is one step; default true.
    pub collapse: Option<bool>,
}

/// The tree of journeys.
#[derive(Serialize, ToSchema)]
pub struct JourneyAnswerBody {
    /// Visits with the anchor.
    pub visits: u64,
    /// The most usual places of the first step. Each has `kind`, `name`, `visits`, and, before the last step, `next`,
    /// `others` and `ended` of its own.
    #[schema(value_type = Vec<Object>)]
    pub next: Vec<Value>,
    /// Visits that went elsewhere.
    pub others: u64,
    /// Visits that did nothing more (or nothing before).
    pub ended: u64,
    /// `exactness`.
    #[schema(value_type = Object)]
    pub meta: Value,
    /// The range in instants, and the filters.
    #[schema(value_type = Object)]
    pub query: Value,
}

/// Answers where visits went from a place, or came from.
#[utoipa::path(post, path = "/api/v2/journeys", tag = "queries", request_body = JourneyQuestionBody,
    responses((status = 200, body = JourneyAnswerBody)))]
pub async fn journeys(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let mut asked = Asked::receive(&app, &caller, request).await?;
    let fields = &mut asked.fields;
    let direction = match fields.text("direction")?.as_deref() {
        None | Some("after") => JourneyDirection::After,
        Some("before") => JourneyDirection::Before,
        Some(_) => {
            let message = "The direction must be after or before.";
            return Err(ApiError::invalid("direction", message));
        }
    };
    let (steps, top) = JOURNEY_DEFAULT;
    let steps = fields.whole("steps", 1..=i64::from(JOURNEY_STEPS_MAX))?.unwrap_or(steps);
    let top = fields.whole("top", 1..=i64::from(JOURNEY_TOP_MAX))?.unwrap_or(top);
    let is_collapsed = fields.boolean("collapse")?.unwrap_or(true);
    let anchor = goal(&app, &mut asked, "anchor").await?.ok_or_else(|| missing("anchor"))?;
    let request = JourneyRequest {
        anchor,
        direction,
        steps: u32::try_from(steps).unwrap_or(1),
        top: u32::try_from(top).unwrap_or(1),
        is_collapsed,
    };
    asked.answer(&app, |store, site, scope| paths::journeys(store, site, scope, request)).await
}

/// Who came back.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct RetentionQuestionBody {
    /// Number or domain of the site.
    pub site_id: String,
    /// As in a query; at most 62 periods.
    #[schema(value_type = Object, example = "91d")]
    pub date_range: Value,
    /// As in a query; they choose what counts as a start.
    #[schema(value_type = Option<Vec<Object>>)]
    pub filters: Option<Value>,
    /// `day`, `week` (default) or `month`, in the site's zone.
    pub period: Option<String>,
    /// What a start has to be; default: the first visit.
    pub start: Option<NewStep>,
    /// What counts as coming back; default: any visit.
    pub returning: Option<NewStep>,
}

/// Who came back, by the period of the start.
#[derive(Serialize, ToSchema)]
pub struct RetentionAnswerBody {
    /// Visitors by the period of their start.
    pub cohorts: Vec<Cohort>,
    /// New and returning visitors of each period.
    pub periods: Vec<RetentionPeriod>,
    /// `exactness`, `anonymous_visitors_left_out` with `anonymous_reason`, `last_period_is_complete`.
    #[schema(value_type = Object)]
    pub meta: Value,
    /// The range in instants, the period and the filters.
    #[schema(value_type = Object)]
    pub query: Value,
}

/// Visitors who started in one period.
#[derive(Serialize, ToSchema)]
pub struct Cohort {
    /// First day of the period.
    pub label: String,
    /// How many started.
    pub visitors: u64,
    /// How many came back in the next period, the one after it, and so on.
    pub returned: Vec<CohortReturn>,
}

/// Visitors of a cohort who came back in one period.
#[derive(Serialize, ToSchema)]
pub struct CohortReturn {
    /// How many.
    pub visitors: u64,
    /// In percent of the cohort.
    #[schema(required)]
    pub share: Option<f64>,
}

/// New and returning visitors of a period.
#[derive(Serialize, ToSchema)]
pub struct RetentionPeriod {
    /// First day of the period.
    pub label: String,
    /// Visitors who started in it.
    pub new: u64,
    /// Visitors who came back in it and had started before.
    pub returning: u64,
}

/// Answers who came back. Anonymous visitors are left out, and counted in `meta`.
#[utoipa::path(post, path = "/api/v2/retention", tag = "queries", request_body = RetentionQuestionBody,
    responses((status = 200, body = RetentionAnswerBody)))]
pub async fn retention(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let mut asked = Asked::receive(&app, &caller, request).await?;
    let unit = match asked.fields.text("period")?.as_deref() {
        Some("day") => TimeUnit::Day,
        None | Some("week") => TimeUnit::Week,
        Some("month") => TimeUnit::Month,
        Some(_) => {
            let message = "The period must be day, week or month.";
            return Err(ApiError::invalid("period", message));
        }
    };
    let start = goal(&app, &mut asked, "start").await?;
    let returning = goal(&app, &mut asked, "returning").await?;
    let request = RetentionRequest { unit, start, returning };
    asked.answer(&app, |store, site, scope| paths::retention(store, site, scope, request)).await
}

/// A goal or a condition in a field.
async fn goal(
    app: &Arc<App>,
    asked: &mut Asked,
    name: &'static str,
) -> Result<Option<Goal>, ApiError> {
    let Some(fields) = asked.fields.object(name)? else { return Ok(None) };
    let step: FunnelStep = read_step(fields)?;
    let mut goals = funnels::as_goals(app, asked.received.about.site_id, vec![step]).await?;
    Ok(goals.pop())
}

/// A question that is being read.
pub(super) struct Asked {
    pub(super) received: query::Asked,
    pub(super) fields: Fields,
    date_range: Value,
    filters: Value,
}

impl Asked {
    /// Reads site, range and filters.
    pub(super) async fn receive(
        app: &Arc<App>,
        caller: &Caller,
        request: Request,
    ) -> Result<Asked, ApiError> {
        let mut received = query::receive(app, caller, request).await?;
        let mut fields = Fields::new(received.body.take())?;
        fields.take("site_id");
        let date_range = fields.take("date_range").ok_or_else(|| missing("date_range"))?;
        let filters = fields.take("filters").unwrap_or_default();
        Ok(Asked { received, fields, date_range, filters })
    }

    /// Refuses fields that nobody asked for, and has the store answer.
    pub(super) async fn with_store<T: Send + 'static>(
        self,
        app: &Arc<App>,
        ask: impl FnOnce(&dyn EventStore, ReportSite<'_>, Scope<'_>) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let Asked { received, fields, date_range, filters } = self;
        fields.finish()?;
        let held = Arc::clone(app);
        super::with_store(app, move |store| {
            let now_ms = received.now_ms;
            let scope = Scope { date_range: &date_range, filters: &filters, now_ms };
            ask(store, received.site(&held), scope)
        })
        .await
    }

    async fn answer(
        self,
        app: &Arc<App>,
        ask: impl FnOnce(&dyn EventStore, ReportSite<'_>, Scope<'_>) -> Result<Value, QueryError>
        + Send
        + 'static,
    ) -> Result<Json<Value>, ApiError> {
        self.with_store(app, ask).await?.map(Json).map_err(failed)
    }
}
