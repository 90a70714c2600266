//! From a JSON body to a question: structure first, then what goes together.

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::question::filter_parse::parse_filters;
use crate::question::{
    Asked, Asking, Buckets, Column, Comparison, ComparisonMode, DIMENSIONS_MAX, Dimension,
    Direction, Include, Metric, Order, Page, Question, QuestionError, ROWS_PER_PAGE_MAX, Range,
    TimeUnit, checks, range,
};

type Parsed<T> = Result<T, QuestionError>;

const KEYS: [&str; 8] = [
    "site_id",
    "metrics",
    "date_range",
    "dimensions",
    "filters",
    "order_by",
    "include",
    "pagination",
];

/// The asker's own words, short enough for an error text.
pub(super) fn quoted(value: &Value) -> String {
    const LETTERS_MAX: usize = 100;
    let text = value.to_string();
    match text.char_indices().nth(LETTERS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

impl Question {
    /// Whether a range is `all`, for which parsing needs the site's first event.
    pub fn needs_first_event(date_range: &Value) -> bool {
        date_range == "all"
    }

    /// Checks a body. The only way to make a question.
    pub fn parse(body: &Value, asking: &Asking<'_>) -> Result<Question, QuestionError> {
        let body = object(body)?;
        let zone = TimeZone::get(asking.timezone).map_err(|_| QuestionError {
            code: "invalid_site",
            message: "the site's time zone is not known".to_owned(),
            field: None,
        })?;
        let metrics = parse_metrics(body.get("metrics").unwrap_or(&Value::Null))?;
        let range = parse_range(body.get("date_range").unwrap_or(&Value::Null), asking, &zone)?;
        let unit = TimeUnit::fitting(range);
        let dimensions =
            body.get("dimensions").map_or(Ok(Vec::new()), |d| parse_dimensions(d, unit))?;
        let filters = body.get("filters").map_or(Ok(Vec::new()), parse_filters)?;
        let page = body
            .get("pagination")
            .map_or(Ok(Page { limit: Some(ROWS_PER_PAGE_MAX), offset: 0 }), parse_page)?;
        let order_names = body.get("order_by").map_or(Ok(Vec::new()), |o| parse_order(o, unit))?;
        let buckets = cut(&dimensions, range, &zone)?;
        let mut include = Include::default();
        if let Some(asked) = body.get("include") {
            include = parse_include(asked, range, &dimensions, asking, &zone)?;
        }
        let order_by = place_order(&order_names, &metrics, &dimensions)?;
        let compared = include.comparison.as_ref().map(|comparison| comparison.range);
        let whole_days =
            [Some(range), compared].into_iter().flatten().all(|one| one.days(&zone).is_some());
        let names_bots = checks::names_bots(&filters, &dimensions);
        let mut asked = Asked {
            site_id: asking.site_id,
            metrics,
            dimensions,
            filters,
            names_bots,
            range,
            whole_days,
            buckets,
            order_by,
            page,
            include,
            goals: asking.goals.to_vec(),
            only_groups: None,
            pricing: None,
            echo: Value::Null,
        };
        checks::check(&asked)?;
        asked.echo = echo(body, &asked, &zone);
        Ok(Question(asked))
    }
}

fn object(body: &Value) -> Parsed<&Map<String, Value>> {
    let Some(body) = body.as_object() else {
        return Err(QuestionError::at("#", "the body has to be one JSON object"));
    };
    let missing: Vec<&str> = ["site_id", "metrics", "date_range"]
        .into_iter()
        .filter(|key| !body.contains_key(*key))
        .collect();
    if !missing.is_empty() {
        return Err(QuestionError::at(
            "#",
            format!("required keys are missing: {}", missing.join(", ")),
        ));
    }
    if let Some(key) = body.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let shown = quoted(&Value::String(key.clone()));
        return Err(QuestionError::at(
            format!("#/{}", key.chars().take(64).collect::<String>()),
            format!("there is no key {shown} here; there are {}", KEYS.join(", ")),
        ));
    }
    Ok(body)
}

fn parse_metrics(value: &Value) -> Parsed<Vec<Metric>> {
    let list = value.as_array().filter(|list| !list.is_empty());
    let Some(list) = list else {
        return Err(QuestionError::at(
            "#/metrics",
            "metrics has to be a list of at least one metric",
        ));
    };
    let mut metrics = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let Some(metric) = item.as_str().and_then(Metric::named) else {
            let names: Vec<&str> = Metric::all().map(|metric| metric.name()).collect();
            return Err(QuestionError::at(
                format!("#/metrics/{index}"),
                format!("{} is no metric; there are {}", quoted(item), names.join(", ")),
            ));
        };
        if metrics.contains(&metric) {
            return Err(QuestionError::at(
                "#/metrics",
                format!("{} stands there twice", quoted(item)),
            ));
        }
        metrics.push(metric);
    }
    Ok(metrics)
}

fn dimension_named(name: &str, unit: TimeUnit) -> Option<Dimension> {
    if name == "time" { Some(Dimension::Time(unit)) } else { Dimension::named(name) }
}

fn parse_dimensions(value: &Value, unit: TimeUnit) -> Parsed<Vec<Dimension>> {
    let Some(list) = value.as_array() else {
        return Err(QuestionError::at("#/dimensions", "dimensions has to be a list"));
    };
    if list.len() > DIMENSIONS_MAX {
        return Err(QuestionError::at(
            "#/dimensions",
            format!("at most {DIMENSIONS_MAX} dimensions"),
        ));
    }
    let mut dimensions: Vec<Dimension> = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let Some(dimension) = item.as_str().and_then(|name| dimension_named(name, unit)) else {
            return Err(QuestionError::at(
                format!("#/dimensions/{index}"),
                format!("{} is no dimension", quoted(item)),
            ));
        };
        let second_time = matches!(dimension, Dimension::Time(_))
            && dimensions.iter().any(|other| matches!(other, Dimension::Time(_)));
        if second_time || dimensions.contains(&dimension) {
            return Err(QuestionError::at(
                "#/dimensions",
                format!("{} stands there twice", quoted(item)),
            ));
        }
        dimensions.push(dimension);
    }
    Ok(dimensions)
}

fn range_error(value: &Value, why: &str) -> QuestionError {
    QuestionError::at("#/date_range", format!("{} is no date_range: {why}", quoted(value)))
}

/// `YYYY-MM-DD` and nothing else.
fn parse_date(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 10
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if shaped { text.parse().ok() } else { None }
}

/// No place is a day or more away from UTC, in whatever notation.
const OFFSET_S_MAX: i32 = 24 * 3_600 - 1;

fn parse_instant(text: &str) -> Option<i64> {
    let offset = Pieces::parse(text).ok()?.to_numeric_offset();
    if offset.is_some_and(|offset| offset.seconds().abs() > OFFSET_S_MAX) {
        return None;
    }
    // Fractions of a second are cut: ranges are compared in whole seconds.
    text.parse::<Timestamp>().ok().map(|instant| instant.as_millisecond().div_euclid(1000))
}

/// `<n>d` and `<n>mo`.
fn parse_shorthand(text: &str, unit: &str, most: i32) -> Option<i32> {
    let digits = text.strip_suffix(unit)?;
    let plain =
        !digits.is_empty() && digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: i32 = if plain { digits.parse().ok()? } else { return None };
    (1..=most).contains(&number).then_some(number)
}

fn parse_range(value: &Value, asking: &Asking<'_>, zone: &TimeZone) -> Parsed<Range> {
    let range = match value {
        Value::String(word) => named_range(word, asking, zone),
        Value::Array(pair) => return range_of_pair(value, pair, zone),
        _ => None,
    };
    range.ok_or_else(|| {
        range_error(value, "use day, month, year, all, 1d to 5000d, 1mo to 100mo, two dates or two timestamps with zone")
    })
}

fn named_range(word: &str, asking: &Asking<'_>, zone: &TimeZone) -> Option<Range> {
    let today = range::date_of(asking.now_ms.div_euclid(1000), zone)?;
    let month = today.first_of_month();
    let (first, last) = match word {
        "day" => (today, today),
        "month" => (month, today.last_of_month()),
        "year" => (today.first_of_year(), today.last_of_year()),
        "all" => {
            let first =
                asking.first_event_ms.and_then(|ms| range::date_of(ms.div_euclid(1000), zone));
            (first.unwrap_or(today).min(today), today)
        }
        _ => match (parse_shorthand(word, "d", 5000), parse_shorthand(word, "mo", 100)) {
            (Some(days), _) => (today.checked_sub(days.days()).ok()?, today.yesterday().ok()?),
            (_, Some(months)) => {
                (month.checked_sub(months.months()).ok()?, month.yesterday().ok()?)
            }
            _ => return None,
        },
    };
    Range::of_days(first, last, zone)
}

fn range_of_pair(value: &Value, pair: &[Value], zone: &TimeZone) -> Parsed<Range> {
    let [Value::String(first), Value::String(second)] = pair else {
        return Err(range_error(value, "a list has two dates or two timestamps"));
    };
    let range = match (parse_date(first), parse_date(second)) {
        (Some(first), Some(last)) if first <= last => Range::of_days(first, last, zone),
        (Some(_), Some(_)) => return Err(range_error(value, "it ends before it starts")),
        _ => match (parse_instant(first), parse_instant(second)) {
            (Some(from_s), Some(to_s)) if from_s <= to_s => Some(Range { from_s, to_s }),
            (Some(_), Some(_)) => return Err(range_error(value, "it ends before it starts")),
            _ => None,
        },
    };
    range.ok_or_else(|| {
        range_error(value, "both have to be dates (2026-01-31), or both timestamps with zone (2026-01-31T00:00:00Z)")
    })
}

fn cut(dimensions: &[Dimension], range: Range, zone: &TimeZone) -> Parsed<Option<Buckets>> {
    for (index, dimension) in dimensions.iter().enumerate() {
        if let Dimension::Time(unit) = dimension {
            return Buckets::cut(*unit, range, zone).map(Some).ok_or_else(|| {
                QuestionError::at(
                    format!("#/dimensions/{index}"),
                    format!("the range has too many buckets of {}", dimension.name()),
                )
            });
        }
    }
    Ok(None)
}

/// What a sort key names, before it is known whether it is queried.
enum Named {
    Metric(Metric),
    Dimension(Dimension),
    Time,
}

struct OrderName {
    named: Named,
    shown: String,
    direction: Direction,
}

fn parse_order(value: &Value, unit: TimeUnit) -> Parsed<Vec<OrderName>> {
    let Some(list) = value.as_array() else {
        return Err(QuestionError::at("#/order_by", "order_by has to be a list"));
    };
    let mut order = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let Some([name, direction]) = item.as_array().map(Vec::as_slice) else {
            return Err(QuestionError::at(
                format!("#/order_by/{index}"),
                format!("{} is no pair of a name and asc or desc", quoted(item)),
            ));
        };
        let named = name.as_str().and_then(|name| {
            let metric = Metric::named(name).map(Named::Metric);
            if name == "time" { Some(Named::Time) } else { metric }
                .or_else(|| dimension_named(name, unit).map(Named::Dimension))
        });
        let Some(named) = named else {
            return Err(QuestionError::at(
                format!("#/order_by/{index}/0"),
                format!("{} is neither metric nor dimension", quoted(name)),
            ));
        };
        let direction = match direction.as_str() {
            Some("asc") => Direction::Ascending,
            Some("desc") => Direction::Descending,
            _ => {
                return Err(QuestionError::at(
                    format!("#/order_by/{index}/1"),
                    format!("{} is neither asc nor desc", quoted(direction)),
                ));
            }
        };
        order.push(OrderName { named, shown: quoted(name), direction });
    }
    Ok(order)
}

fn place_order(
    names: &[OrderName],
    metrics: &[Metric],
    dimensions: &[Dimension],
) -> Parsed<Vec<Order>> {
    let time = dimensions.iter().position(|dimension| matches!(dimension, Dimension::Time(_)));
    let mut order = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let column = match &name.named {
            Named::Time => time.map(Column::Dimension),
            Named::Metric(named) => {
                metrics.iter().position(|metric| metric == named).map(Column::Metric)
            }
            Named::Dimension(named) => {
                dimensions.iter().position(|one| one == named).map(Column::Dimension)
            }
        };
        let Some(column) = column else {
            return Err(QuestionError::at(
                format!("#/order_by/{index}"),
                format!(
                    "the order_by entry {} is not among the metrics and dimensions asked for",
                    name.shown
                ),
            ));
        };
        order.push(Order { column, direction: name.direction });
    }
    if order.is_empty() {
        if let Some(position) = time {
            order.push(Order {
                column: Column::Dimension(position),
                direction: Direction::Ascending,
            });
        }
        order.push(Order { column: Column::Metric(0), direction: Direction::Descending });
    }
    Ok(order)
}

fn parse_page(value: &Value) -> Parsed<Page> {
    let Some(object) = value.as_object() else {
        return Err(QuestionError::at("#/pagination", "pagination has to be an object"));
    };
    let mut page = Page { limit: Some(ROWS_PER_PAGE_MAX), offset: 0 };
    for (key, value) in object {
        match key.as_str() {
            "limit" => {
                let limit = value.as_u64().and_then(|limit| u32::try_from(limit).ok());
                page.limit = limit.filter(|limit| (1..=ROWS_PER_PAGE_MAX).contains(limit));
                if page.limit.is_none() {
                    return Err(QuestionError::at(
                        "#/pagination/limit",
                        format!(
                            "{} is no whole number from 1 to {ROWS_PER_PAGE_MAX}",
                            quoted(value)
                        ),
                    ));
                }
            }
            "offset" => {
                let offset = value.as_u64().filter(|offset| *offset <= u64::from(u32::MAX));
                page.offset = offset.ok_or_else(|| {
                    QuestionError::at(
                        "#/pagination/offset",
                        format!("{} is no whole number from 0", quoted(value)),
                    )
                })?;
            }
            _ => return Err(QuestionError::at("#/pagination", "there are limit and offset here")),
        }
    }
    Ok(page)
}

fn flag(value: &Value, pointer: &str) -> Parsed<bool> {
    value.as_bool().ok_or_else(|| {
        QuestionError::at(pointer, format!("{} is neither true nor false", quoted(value)))
    })
}

fn parse_include(
    value: &Value,
    range: Range,
    dimensions: &[Dimension],
    asking: &Asking<'_>,
    zone: &TimeZone,
) -> Parsed<Include> {
    let Some(object) = value.as_object() else {
        return Err(QuestionError::at("#/include", "include has to be an object"));
    };
    let mut include = Include::default();
    for (key, value) in object {
        match key.as_str() {
            "time_labels" => include.time_labels = flag(value, "#/include/time_labels")?,
            "total_rows" => include.total_rows = flag(value, "#/include/total_rows")?,
            "imports" => include.imports = flag(value, "#/include/imports")?,
            "comparisons" => {
                let (mode, range) = parse_comparison(value, range, asking, zone)?;
                let buckets = cut(dimensions, range, zone)?;
                include.comparison = Some(Comparison { mode, range, buckets });
            }
            _ => {
                return Err(QuestionError::at(
                    "#/include",
                    format!(
                        "there is no {}; there are time_labels, total_rows, imports, comparisons",
                        quoted(&json!(key))
                    ),
                ));
            }
        }
    }
    Ok(include)
}

fn parse_comparison(
    value: &Value,
    range: Range,
    asking: &Asking<'_>,
    zone: &TimeZone,
) -> Parsed<(ComparisonMode, Range)> {
    const POINTER: &str = "#/include/comparisons";
    let Some(object) = value.as_object() else {
        return Err(QuestionError::at(POINTER, "comparisons has to be an object"));
    };
    if let Some(key) = object
        .keys()
        .find(|key| !["mode", "match_day_of_week", "date_range"].contains(&key.as_str()))
    {
        return Err(QuestionError::at(
            POINTER,
            format!("there is no {} here", quoted(&json!(key))),
        ));
    }
    let mode = match object.get("mode").and_then(Value::as_str) {
        Some("previous_period") => ComparisonMode::PreviousPeriod,
        Some("year_over_year") => ComparisonMode::YearOverYear,
        Some("custom") => ComparisonMode::Custom,
        _ => {
            return Err(QuestionError::at(
                format!("{POINTER}/mode"),
                "mode has to be previous_period, year_over_year or custom",
            ));
        }
    };
    let same_weekday = object.get("match_day_of_week").map_or(Ok(false), |v| flag(v, POINTER))?;
    let dates = object.get("date_range");
    let compared = match (mode, dates) {
        (ComparisonMode::Custom, Some(pair @ Value::Array(list))) => {
            Some(range_of_pair(pair, list, zone)?)
        }
        (ComparisonMode::Custom, _) | (_, Some(_)) => {
            return Err(QuestionError::at(
                format!("{POINTER}/date_range"),
                "a date_range of two dates goes with the mode custom, and only with it",
            ));
        }
        (_, None) => earlier_range(mode, range, asking, zone),
    };
    let compared = match (compared, same_weekday) {
        (Some(found), true) => shifted_to_weekday(found, range, zone),
        (found, _) => found,
    };
    let compared = compared
        .ok_or_else(|| QuestionError::at(POINTER, "the earlier range lies outside the calendar"))?;
    Ok((mode, compared))
}

fn earlier_range(
    mode: ComparisonMode,
    range: Range,
    asking: &Asking<'_>,
    zone: &TimeZone,
) -> Option<Range> {
    let year = mode == ComparisonMode::YearOverYear;
    let Some((first, last)) = range.days(zone) else {
        let length_s = range.to_s - range.from_s + 1;
        let back_s = if year { 365 * 86_400 } else { length_s };
        return Some(Range { from_s: range.from_s - back_s, to_s: range.to_s - back_s });
    };
    let today = range::date_of(asking.now_ms.div_euclid(1000), zone)?;
    let last = if first <= today { last.min(today) } else { last };
    if year {
        let (first, last) = (first.checked_sub(1.year()).ok()?, last.checked_sub(1.year()).ok()?);
        return Range::of_days(first, last, zone);
    }
    let days = first.until(last).ok()?.get_days() + 1;
    Range::of_days(first.checked_sub(days.days()).ok()?, first.yesterday().ok()?, zone)
}

fn shifted_to_weekday(found: Range, asked: Range, zone: &TimeZone) -> Option<Range> {
    let (Some((first, last)), Some((wanted, _))) = (found.days(zone), asked.days(zone)) else {
        return Some(found);
    };
    let ahead = i32::from(first.weekday().until(wanted.weekday()));
    // The nearer one of the two, but never the asked range itself.
    let mut shift = if ahead > 3 { ahead - 7 } else { ahead };
    if first.checked_add(shift.days()).ok()? == wanted {
        shift -= 7;
    }
    let moved =
        |date: Date| date.checked_add(SignedDuration::from_hours(24 * i64::from(shift))).ok();
    Range::of_days(moved(first)?, moved(last)?, zone)
}

fn echo(body: &Map<String, Value>, asked: &Asked, zone: &TimeZone) -> Value {
    let instant = |second: i64| {
        let Ok(at) = Timestamp::from_second(second) else { return Value::Null };
        // Old local times are off by odd seconds, which the zone's notation would lose.
        if zone.to_offset(at).seconds() % 60 != 0 {
            return json!(at.to_string());
        }
        json!(at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    };
    let metrics: Vec<&str> = asked.metrics.iter().map(|metric| metric.name()).collect();
    let dimensions: Vec<String> = asked.dimensions.iter().map(Dimension::name).collect();
    let order: Vec<Value> = asked
        .order_by
        .iter()
        .map(|order| {
            let name = match order.column {
                Column::Metric(index) => json!(metrics.get(index)),
                Column::Dimension(index) => json!(dimensions.get(index)),
            };
            json!([name, if order.direction == Direction::Ascending { "asc" } else { "desc" }])
        })
        .collect();
    json!({
        "site_id": body.get("site_id"),
        "metrics": metrics,
        "date_range": [instant(asked.range.from_s), instant(asked.range.to_s)],
        "dimensions": dimensions,
        "filters": body.get("filters").cloned().unwrap_or_else(|| json!([])),
        "order_by": order,
        "include": body.get("include").cloned().unwrap_or_else(|| json!({})),
        "pagination": {"limit": asked.page.limit, "offset": asked.page.offset},
    })
}
