//! Costs of advertising: listed, put in, read from a file, removed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use cairn_catalog::{CostRange, Stored};
use cairn_engine::money::costs::{self, CostColumn, DateOrder, Mapping, ReadCosts};
use cairn_engine::money::{FILE_SIZE_BYTES_MAX, Fault, Faults, decimal};
use cairn_model::limits::UPLOAD_PATIENCE_S;
use cairn_model::question::money::COST_DECIMALS;
use cairn_model::rates::{Day, date_of_day, day_of};
use cairn_model::{Cost, Currency};
use http::StatusCode;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::ToSchema;

use super::body::{Fields, JsonBody, Parameters, missing, parse, read_body_of, require_json};
use super::page::LIMIT_MAX;
use super::sites;
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::{ApiError, Code};

/// Rows of one call; a file may have more.
const COSTS_PER_CALL_MAX: usize = 5_000;
/// Rows shown of a file that is looked at before it is taken.
const PREVIEW_ROWS: usize = 10;
/// Files of costs or rates at work in this process: each is held in memory as a whole.
static FILE_PLACES: Semaphore = Semaphore::const_new(1);
/// A file within JSON may be larger by its escapes.
const BODY_SIZE_BYTES_MAX: usize = FILE_SIZE_BYTES_MAX + FILE_SIZE_BYTES_MAX / 4;

/// What one campaign cost on one day.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CostBody {
    /// The day, in the site's time zone.
    #[schema(example = "2026-11-22")]
    pub date: String,
    /// What was paid: a number of at most six decimals; as a text where it has more than fifteen digits.
    #[schema(value_type = f64, example = 12.5)]
    pub cost: Value,
    /// ISO 4217 code; default: the site's currency.
    #[serde(default)]
    #[schema(required = false)]
    pub currency: String,
    /// As `utm_source` of its links.
    #[serde(default)]
    #[schema(required = false, example = "google")]
    pub source: String,
    /// As `utm_medium`.
    #[serde(default)]
    #[schema(required = false, example = "cpc")]
    pub medium: String,
    /// As `utm_campaign`.
    #[serde(default)]
    #[schema(required = false)]
    pub campaign: String,
    /// As `utm_content`: the creative.
    #[serde(default)]
    #[schema(required = false)]
    pub content: String,
    /// As `utm_term`: the keyword.
    #[serde(default)]
    #[schema(required = false)]
    pub term: String,
    /// How often it was shown.
    #[serde(default)]
    #[schema(required = false)]
    pub impressions: i64,
    /// How often it was clicked.
    #[serde(default)]
    #[schema(required = false)]
    pub clicks: i64,
}

/// Costs of a site, the latest first.
#[derive(Serialize, ToSchema)]
pub struct CostList {
    /// The costs.
    pub items: Vec<CostBody>,
    /// Where the next page begins: hand it back as `after`. Null: this was the last page.
    #[schema(required)]
    pub next: Option<String>,
}

/// Costs to be put in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewCosts {
    /// At most 5,000. One about the same day, source, medium, campaign, content and term as a stored one replaces it.
    pub costs: Vec<CostBody>,
}

/// What a call changed.
#[derive(Serialize, ToSchema)]
pub struct StoredCosts {
    /// Rows that are new.
    pub added: usize,
    /// Rows that took the place of others.
    pub replaced: usize,
}

/// A file of costs to be read.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct CostFile {
    /// The file: CSV with names of columns, parted by commas, semicolons or tabs, at most 16 MiB.
    pub csv: String,
    /// The file's own names of the columns `date`, `cost`, `currency`, `source`, `medium`, `campaign`, `content`, `term`,
    /// `impressions` and `clicks`. Those that are not named are found by their usual names.
    pub columns: Option<BTreeMap<String, String>>,
    /// What holds for every row instead of a column, as `{"source": "google", "medium": "cpc"}`.
    pub fixed: Option<BTreeMap<String, String>>,
    /// What stands before decimals: `.` (default) or `,`.
    pub decimal_mark: Option<String>,
    /// `year_first` (default), `day_first` or `month_first`.
    pub date_order: Option<String>,
    /// ISO 4217 code of rows without a currency of their own; default: the site's.
    pub currency: Option<String>,
    /// Only tell what would be stored.
    pub preview: Option<bool>,
}

/// What a file of costs says.
#[derive(Serialize, ToSchema)]
pub struct CostFileRead {
    /// Whether it was stored; otherwise it was only looked at, or has faults.
    pub stored: bool,
    /// Rows that are new.
    pub added: usize,
    /// Rows that took the place of others.
    pub replaced: usize,
    /// Rows of the file.
    pub rows: usize,
    /// Days and campaigns that they are about.
    pub costs: usize,
    /// The file's names of columns.
    pub header: Vec<String>,
    /// Which of them tells what.
    pub columns: BTreeMap<String, String>,
    /// The first day.
    #[schema(required)]
    pub first_day: Option<String>,
    /// The last day.
    #[schema(required)]
    pub last_day: Option<String>,
    /// What was paid in all, by currency.
    #[schema(value_type = BTreeMap<String, f64>)]
    pub totals: BTreeMap<String, serde_json::Number>,
    /// The first rows, as they are or would be stored.
    pub first: Vec<CostBody>,
    /// What is wrong: the first twenty places. With any, nothing is stored.
    pub faults: Vec<FileFault>,
    /// How many places there are.
    pub fault_count: usize,
}

/// What is wrong at one place of a file.
#[derive(Serialize, ToSchema)]
pub struct FileFault {
    /// Number of the line, from 1; 0: the file as a whole.
    pub line: u64,
    /// Name of the column; empty: the line as a whole.
    pub column: String,
    /// What is wrong.
    pub message: String,
}

impl From<Fault> for FileFault {
    fn from(Fault { line, column, message }: Fault) -> Self {
        FileFault { line, column, message }
    }
}

/// Lists costs, the latest day first.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/costs", tag = "costs",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("from" = Option<String>, Query, description = "First day, as 2026-11-01"),
           ("to" = Option<String>, Query, description = "Last day"),
           ("source" = Option<String>, Query, description = "Only costs of this source"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 1000)")),
    responses((status = 200, body = CostList)))]
pub async fn list(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    RawQuery(query): RawQuery,
) -> Result<Json<CostList>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let chosen = Chosen::read(&mut parameters)?;
    let limit = parameters.whole("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_MAX);
    let skipped = parameters.whole("after", 0..=i64::from(u32::MAX))?.unwrap_or(0);
    parameters.finish()?;
    let (site_id, limit) = (access.site_id(), usize::try_from(limit).unwrap_or(1));
    let skipped = usize::try_from(skipped).unwrap_or(0);
    let costs =
        blocking(&app, move |catalog| catalog.costs(site_id, chosen.range(), skipped, limit + 1));
    let mut costs = costs.await?;
    let more = costs.len() > limit;
    costs.truncate(limit);
    let next = more.then(|| (skipped + limit).to_string());
    Ok(Json(CostList { items: costs.iter().map(body).collect(), next }))
}

/// Puts in costs. One about the same day, source, medium, campaign, content and term as a stored one replaces it.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/costs", tag = "costs",
    request_body = NewCosts,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 200, body = StoredCosts)))]
pub async fn create(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    JsonBody(mut fields): JsonBody,
) -> Result<Json<StoredCosts>, ApiError> {
    let list = fields.take("costs");
    fields.finish()?;
    let Value::Array(list) = list.ok_or_else(|| missing("costs"))? else {
        return Err(super::body::wrong_type("costs", "a list"));
    };
    if list.len() > COSTS_PER_CALL_MAX {
        let message = format!("There may be at most {COSTS_PER_CALL_MAX} entries.");
        return Err(ApiError::invalid("costs", message));
    }
    let currency = &access.site().currency;
    let read = list.into_iter().enumerate().map(|(index, value)| cost(index, value, currency));
    let costs: Vec<Cost> = read.collect::<Result<_, _>>()?;
    let site_id = access.site_id();
    let Stored { added, replaced } =
        blocking(&app, move |catalog| catalog.put_costs(site_id, &costs)).await?;
    Ok(Json(StoredCosts { added, replaced }))
}

/// Removes costs: those of the days and the source that are named; without any, all of the site.
#[utoipa::path(delete, path = "/api/v1/sites/{site_id}/costs", tag = "costs",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("from" = Option<String>, Query, description = "First day, as 2026-11-01"),
           ("to" = Option<String>, Query, description = "Last day"),
           ("source" = Option<String>, Query, description = "Only costs of this source")),
    responses((status = 204, description = "They are gone")))]
pub async fn remove(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let chosen = Chosen::read(&mut parameters)?;
    parameters.finish()?;
    let site_id = access.site_id();
    blocking(&app, move |catalog| catalog.delete_costs(site_id, chosen.range())).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads costs from a file, whole or not at all. Rows of the file about the same are added; the sums replace what is stored
/// about the same, so that reading a file again changes nothing. With faults, or with `preview`, nothing is stored.
#[utoipa::path(post, path = "/api/v1/sites/{site_id}/costs/import", tag = "costs",
    request_body = CostFile,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 200, body = CostFileRead)))]
pub async fn import(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    request: Request,
) -> Result<Json<CostFileRead>, ApiError> {
    require_json(request.headers())?;
    let _place = file_place().await?;
    let patience = Duration::from_secs(UPLOAD_PATIENCE_S);
    let bytes = read_body_of(request.into_body(), BODY_SIZE_BYTES_MAX, patience).await?;
    let mut fields = Fields::new(parse(&bytes)?)?;
    drop(bytes);
    let csv = fields.take("csv");
    let preview = fields.boolean("preview")?.unwrap_or(false);
    let mapping = mapping(&mut fields, &access.site().currency)?;
    fields.finish()?;
    let Some(Value::String(csv)) = csv else { return Err(missing("csv")) };
    let site_id = access.site_id();
    let work = move |catalog: &cairn_catalog::Catalog| {
        let read = costs::read(&csv, &mapping);
        let stored = match &read {
            Ok(read) if read.faults.count == 0 && !preview => {
                Some(catalog.put_costs(site_id, &read.costs)?)
            }
            _ => None,
        };
        Ok((read, stored))
    };
    let (read, stored) = blocking(&app, work).await?;
    let read = read.unwrap_or_else(|faults| ReadCosts { faults, ..ReadCosts::default() });
    Ok(Json(told(read, stored)))
}

/// Waits until a file may be read.
pub(super) async fn file_place() -> Result<SemaphorePermit<'static>, ApiError> {
    let broken_off = |_| ApiError::new(Code::Internal, "The reading of the file was broken off.");
    FILE_PLACES.acquire().await.map_err(broken_off)
}

/// What of the costs a call is about.
struct Chosen {
    first: Day,
    last: Day,
    source: Option<String>,
}

impl Chosen {
    fn read(parameters: &mut Parameters) -> Result<Chosen, ApiError> {
        let mut day = |name: &'static str| -> Result<Option<Day>, ApiError> {
            let Some(text) = parameters.text(name)? else { return Ok(None) };
            let date = text.parse::<Date>().map_err(|_| not_a_date(name))?;
            Ok(Some(day_of(date)))
        };
        let first = day("from")?.unwrap_or(Day::MIN);
        let last = day("to")?.unwrap_or(Day::MAX);
        Ok(Chosen { first, last, source: parameters.text("source")? })
    }

    fn range(&self) -> CostRange<'_> {
        CostRange { first: self.first, last: self.last, source: self.source.as_deref() }
    }
}

fn not_a_date(field: &str) -> ApiError {
    ApiError::invalid(field, "The date must be written as 2026-11-22.")
}

fn cost(index: usize, value: Value, currency: &str) -> Result<Cost, ApiError> {
    let path = |name: &str| format!("costs[{index}].{name}");
    let body: CostBody = serde_json::from_value(value).map_err(|error| {
        ApiError::new(Code::MalformedRequest, format!("costs[{index}] is not a cost: {error}."))
            .on(format!("costs[{index}]"))
    })?;
    let date: Date = body.date.parse().map_err(|_| not_a_date(&path("date")))?;
    let micros = micros(&body.cost)
        .map_err(|why| ApiError::invalid(path("cost"), format!("The cost is {why}.")))?;
    let code = if body.currency.is_empty() { currency } else { &body.currency };
    let known = Currency::from_code(code).ok_or_else(|| {
        let message = "The currency must be an ISO 4217 code such as EUR.";
        ApiError::invalid(path("currency"), message)
    })?;
    for (name, count) in [("impressions", body.impressions), ("clicks", body.clicks)] {
        if count < 0 {
            return Err(ApiError::invalid(path(name), "The number must be 0 or more."));
        }
    }
    let texts = [&body.source, &body.medium, &body.campaign, &body.content, &body.term];
    if texts.iter().any(|text| text.len() > costs::TEXT_SIZE_BYTES_MAX) {
        let message = format!("Texts have at most {} bytes.", costs::TEXT_SIZE_BYTES_MAX);
        return Err(ApiError::invalid(format!("costs[{index}]"), message));
    }
    let text = |text: &str| text.trim().to_owned();
    Ok(Cost {
        day: day_of(date),
        source: text(&body.source),
        medium: text(&body.medium),
        campaign: text(&body.campaign),
        content: text(&body.content),
        term: text(&body.term),
        currency: known.code.to_owned(),
        micros,
        impressions: body.impressions,
        clicks: body.clicks,
    })
}

fn micros(cost: &Value) -> Result<i64, &'static str> {
    /// Digits that a number of JSON keeps for certain.
    const DIGITS_MAX: usize = 15;
    let text = match (cost, cost.as_f64()) {
        (Value::String(text), _) => text.clone(),
        (Value::Number(_), Some(number)) => {
            let text = number.to_string();
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            if digits > DIGITS_MAX {
                return Err("too long for a number: send it as a text");
            }
            text
        }
        _ => return Err("not a number of 0 or more"),
    };
    decimal(&text, '.', COST_DECIMALS)
}

fn mapping(fields: &mut Fields, currency: &str) -> Result<Mapping, ApiError> {
    let (named, fixed) = (columns(fields, "columns")?, columns(fields, "fixed")?);
    let decimal_mark = match fields.text("decimal_mark")?.as_deref() {
        None | Some(".") => '.',
        Some(",") => ',',
        Some(_) => return Err(ApiError::invalid("decimal_mark", "There are \".\" and \",\".")),
    };
    let date_order = match fields.text("date_order")?.as_deref() {
        None | Some("year_first") => DateOrder::YearFirst,
        Some("day_first") => DateOrder::DayFirst,
        Some("month_first") => DateOrder::MonthFirst,
        Some(_) => {
            let message = "There are year_first, day_first and month_first.";
            return Err(ApiError::invalid("date_order", message));
        }
    };
    let currency = sites::currency(fields)?.unwrap_or_else(|| currency.to_owned());
    Ok(Mapping { columns: named, fixed, decimal_mark, date_order, currency })
}

fn columns(
    fields: &mut Fields,
    name: &'static str,
) -> Result<BTreeMap<CostColumn, String>, ApiError> {
    let named = fields.text_map(name, CostColumn::all().count())?.into_iter();
    let read = named.map(|(column, text)| {
        let known = CostColumn::named(&column).ok_or_else(|| {
            let names: Vec<&str> = CostColumn::all().map(CostColumn::name).collect();
            ApiError::invalid(name, format!("There are the columns {}.", names.join(", ")))
        })?;
        Ok((known, text))
    });
    read.collect()
}

fn amount(micros: i128) -> serde_json::Number {
    let (whole, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let text = format!("{whole}.{fraction:06}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.parse().unwrap_or_else(|_| 0.into())
}

fn date_text(day: Day) -> String {
    date_of_day(day).map_or_else(String::new, |date| date.to_string())
}

fn body(cost: &Cost) -> CostBody {
    CostBody {
        date: date_text(cost.day),
        cost: Value::Number(amount(cost.micros.into())),
        currency: cost.currency.clone(),
        source: cost.source.clone(),
        medium: cost.medium.clone(),
        campaign: cost.campaign.clone(),
        content: cost.content.clone(),
        term: cost.term.clone(),
        impressions: cost.impressions,
        clicks: cost.clicks,
    }
}

fn told(read: ReadCosts, stored: Option<Stored>) -> CostFileRead {
    let mut totals = BTreeMap::<String, i128>::new();
    for cost in &read.costs {
        *totals.entry(cost.currency.clone()).or_default() += i128::from(cost.micros);
    }
    let Faults { shown, count } = read.faults;
    let Stored { added, replaced } = stored.unwrap_or_default();
    CostFileRead {
        stored: stored.is_some(),
        added,
        replaced,
        rows: read.rows,
        costs: read.costs.len(),
        header: read.header,
        columns: read
            .columns
            .into_iter()
            .map(|(column, name)| (column.name().to_owned(), name))
            .collect(),
        first_day: read.costs.iter().map(|cost| cost.day).min().map(date_text),
        last_day: read.costs.iter().map(|cost| cost.day).max().map(date_text),
        totals: totals.into_iter().map(|(code, micros)| (code, amount(micros))).collect(),
        first: read.costs.iter().take(PREVIEW_ROWS).map(body).collect(),
        faults: shown.into_iter().map(FileFault::from).collect(),
        fault_count: count,
    }
}
