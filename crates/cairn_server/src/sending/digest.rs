//! Digests: which are due, and how they look.
//!
//! Guarantees: a mail needs nothing from outside and runs nothing; whatever a site's pages are called is text in it.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use cairn_catalog::{Digest, Dispatch, NewDispatch, Sender};
use cairn_connect::Mail;
use cairn_engine::report::digest::{DigestFigure, DigestFigures, digest as gather};
use cairn_model::Site;
use cairn_model::digest::{self, Every, Period};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Outbound, ending, mail_key};
use crate::App;
use crate::api::query;
use crate::auth::blocking;
use crate::error::ApiError;
use crate::rights::html::escaped;

/// How a mail looks where its reader prefers dark colours: the only rules that cannot stand in the elements.
const DARK: &str = "@media (prefers-color-scheme:dark){.d-page{background:#161917!important}\
    .d-box{background:#1f2421!important}.d-text{color:#e7eae8!important}\
    .d-quiet{color:#a9b1ac!important}}";
const CELL: &str = "padding:6px 0;border-top:1px solid #9aa39d;font-size:14px";
const QUIET: &str = "color:#5c655f;font-size:13px";

/// A digest as a mail tells it, without what is about its reader.
#[derive(Clone)]
pub(crate) struct Written {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

/// Hours that a digest may be sent at.
pub(crate) fn is_hour() -> std::ops::RangeInclusive<i64> {
    0..=23
}

/// The zone of a site.
pub(crate) fn zone_of(site: &Site) -> TimeZone {
    TimeZone::get(&site.timezone).unwrap_or(TimeZone::UTC)
}

/// Notes the digests that are due, each once for each reader.
pub(super) async fn plan(app: &Arc<App>, now_ms: i64) -> Result<(), ApiError> {
    if app.outgoing.mailer.is_none() {
        return Ok(());
    }
    let digests = blocking(app, |catalog| catalog.digests(None)).await?;
    let directory = app.directory.current();
    let due = digests.iter().filter_map(|digest| {
        let zone = zone_of(&directory.by_id(digest.site_id)?.site);
        let (every, hour) = (digest.definition.every, digest.definition.hour);
        let (period, due_ms) = digest::due(every, hour, &zone, now_ms)?;
        // What was due before anybody asked for it is not owed.
        (due_ms >= digest.created_at_ms).then(|| dispatches(digest, period, &period.occasion()))
    });
    let due: Vec<NewDispatch> = due.flatten().collect();
    blocking(app, move |catalog| catalog.add_dispatches(&due, now_ms)).await.map(drop)
}

/// One for each reader.
pub(crate) fn dispatches(digest: &Digest, period: Period, occasion: &str) -> Vec<NewDispatch> {
    let content = json!({
        "every": period.every.name(),
        "first": period.first.to_string(),
        "last": period.last.to_string(),
    });
    let one = |email: &String| NewDispatch {
        site_id: digest.site_id,
        sender: Sender::Digest(digest.id),
        target: email.clone(),
        occasion: occasion.to_owned(),
        content: content.to_string(),
    };
    digest.readers().map(one).collect()
}

fn period(content: &str) -> Option<Period> {
    let told: Value = serde_json::from_str(content).ok()?;
    let day = |name: &str| told[name].as_str()?.parse::<Date>().ok();
    let every = Every::named(told["every"].as_str()?)?;
    Some(Period { every, first: day("first")?, last: day("last")? })
}

/// The mail of a dispatch. What it tells is gathered once for all readers.
pub(super) async fn mail(
    app: &Arc<App>,
    digest_id: i64,
    dispatch: &Dispatch,
    known: &mut HashMap<(i64, String), Written>,
    now_ms: i64,
) -> Result<Option<Outbound>, ApiError> {
    let Some(period) = period(&dispatch.what.content) else { return Ok(None) };
    let key = (digest_id, dispatch.what.content.clone());
    if !known.contains_key(&key) {
        let Some(written) = write(app, dispatch.what.site_id, period, now_ms).await? else {
            return Ok(None);
        };
        known.insert(key.clone(), written);
    }
    let Some(Written { subject, text, html }) = known.get(&key).cloned() else { return Ok(None) };
    let end = ending::url(app, dispatch.what.sender, &dispatch.what.target);
    let text = format!("{text}\nEnd these reports: {end}\n");
    let link = format!(
        "<p style=\"{QUIET}\"><a class=\"d-quiet\" style=\"color:#5c655f\" href=\"{}\">End these reports</a></p>",
        escaped(&end)
    );
    let html = html.replace("</main>", &format!("{link}</main>"));
    let (to, key) = (dispatch.what.target.clone(), mail_key(app, dispatch));
    Ok(Some(Outbound::Mail(Box::new(Mail { to, subject, text, html, key, unsubscribe_url: end }))))
}

/// Gathers a period of a site and puts it in words; `None`: the site is gone.
pub(crate) async fn write(
    app: &Arc<App>,
    site_id: cairn_model::SiteId,
    period: Period,
    now_ms: i64,
) -> Result<Option<Written>, ApiError> {
    let Some(entry) = app.directory.current().by_id(site_id) else { return Ok(None) };
    let asked = query::asked(app, &entry.site, Value::Null, now_ms).await?;
    let held = Arc::clone(app);
    let figures = crate::api::with_store(app, move |store| {
        gather(store, asked.site(&held), period, asked.now_ms)
    });
    let figures = figures.await?.map_err(query::failed)?;
    let link = format!("{}/sites/{site_id}", app.config.dashboard_origin(app.config.listen));
    Ok(Some(written(&entry.site.name, &figures, &link)))
}

fn title(period: &Period) -> String {
    let day = |date: Date| date.strftime("%-d %B %Y").to_string();
    match period.every {
        Every::Day => day(period.first),
        Every::Week => format!("{} to {}", day(period.first), day(period.last)),
        Every::Month => period.first.strftime("%B %Y").to_string(),
    }
}

fn written(site: &str, figures: &DigestFigures, link: &str) -> Written {
    let title = title(&figures.period);
    let site_shown = escaped(site);
    let mut text = format!("{site}: {title}\n\n");
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{site_shown}: {title}</title>\
         <style>{DARK}</style></head>\
         <body class=\"d-page\" style=\"margin:0;background:#f3f5f3;font-family:sans-serif\">\
         <main class=\"d-text\" style=\"max-width:600px;margin:0 auto;padding:24px 16px;color:#1c1f1d\">\
         <h1 style=\"margin:0;font-size:20px\">{site_shown}</h1>\
         <p class=\"d-quiet\" style=\"margin:4px 0 16px;{QUIET}\">{title}</p>\
         <table role=\"presentation\" width=\"100%\" style=\"border-collapse:collapse\">"
    );
    for pair in figures.figures.chunks(2) {
        html.push_str("<tr>");
        for figure in pair {
            let (name, value, change) = (name(figure.metric), shown(figure), change(figure));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}: {value} ({change})");
            let _ = write!(
                html,
                "<td width=\"50%\" class=\"d-box d-text\" style=\"padding:12px;background:#ffffff\">\
                 <div class=\"d-quiet\" style=\"{QUIET}\">{name}</div>\
                 <div style=\"font-size:24px\">{}</div>\
                 <div class=\"d-quiet\" style=\"{QUIET}\">{change}</div></td>",
                escaped(&value)
            );
        }
        html.push_str("</tr>");
    }
    html.push_str("</table>");
    for table in &figures.tables {
        let heading = name(table.dimension);
        let _ = write!(text, "\n{heading}\n");
        let _ = write!(
            html,
            "<h2 style=\"margin:24px 0 4px;font-size:16px\">{heading}</h2>\
             <table width=\"100%\" style=\"border-collapse:collapse\"><tr><th align=\"left\"></th>"
        );
        for metric in table.metrics {
            let _ = write!(
                html,
                "<th align=\"right\" class=\"d-quiet\" style=\"{QUIET}\">{}</th>",
                name(metric)
            );
        }
        html.push_str("</tr>");
        for (group, values) in &table.rows {
            let values: Vec<String> = values.iter().map(number).collect();
            let _ = writeln!(text, "  {group}: {}", values.join(", "));
            let _ = write!(
                html,
                "<tr><td style=\"{CELL};word-break:break-all\">{}</td>",
                escaped(group)
            );
            for value in values {
                let _ = write!(html, "<td align=\"right\" style=\"{CELL}\">{value}</td>");
            }
            html.push_str("</tr>");
        }
        html.push_str("</table>");
    }
    let _ = write!(text, "\nOpen the report: {link}\n");
    let _ = write!(
        html,
        "<p style=\"margin:24px 0 8px;font-size:14px\"><a class=\"d-text\" style=\"color:#1c1f1d\" \
         href=\"{}\">Open the report</a></p></main></body></html>",
        escaped(link)
    );
    Written { subject: format!("{site}: {title}"), text, html }
}

fn name(of: &str) -> &'static str {
    match of {
        "visitors" => "Visitors",
        "visits" => "Visits",
        "pageviews" => "Page views",
        "bounce_rate" => "Bounce rate",
        "visit_duration" => "Visit duration",
        "conversions" => "Conversions",
        "revenue" => "Revenue",
        "events" => "Times",
        "event:page" => "Top pages",
        "visit:source" => "Top sources",
        _ => "Goals",
    }
}

fn shown(figure: &DigestFigure) -> String {
    match (figure.metric, &figure.value) {
        (_, Value::Null) => "–".to_owned(),
        ("bounce_rate", value) => format!("{}%", number(value)),
        ("visit_duration", value) => {
            let seconds = value.as_u64().unwrap_or(0);
            format!("{}m {:02}s", seconds / 60, seconds % 60)
        }
        (_, Value::Object(amount)) => {
            amount.get("long").and_then(Value::as_str).unwrap_or("–").to_owned()
        }
        (_, value) => number(value),
    }
}

fn change(figure: &DigestFigure) -> String {
    match figure.change {
        None => "nothing to compare with".to_owned(),
        Some(0) => "as in the period before".to_owned(),
        Some(percent) if percent > 0 => format!("{percent}% more than before"),
        Some(percent) => format!("{}% less than before", percent.unsigned_abs()),
    }
}

/// A count with its digits in groups of three.
fn number(value: &Value) -> String {
    let Some(count) = value.as_u64() else {
        return if value.is_null() { "–".to_owned() } else { value.to_string() };
    };
    let digits = count.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use cairn_engine::report::digest::DigestTable;

    use super::*;

    fn figures() -> DigestFigures {
        let (first, last) = ("2026-11-16".parse().unwrap(), "2026-11-22".parse().unwrap());
        let figure = |metric, value, change| DigestFigure { metric, value, change };
        let table = DigestTable {
            dimension: "event:page",
            metrics: &["visitors", "pageviews"],
            rows: vec![(
                "/<img src=x onerror=alert(1)>\"".to_owned(),
                vec![json!(3), json!(1234567)],
            )],
        };
        DigestFigures {
            period: Period { every: Every::Week, first, last },
            figures: vec![
                figure("visitors", json!(12345), Some(-12)),
                figure("visit_duration", json!(125), Some(0)),
                figure("revenue", json!({"long": "€1,200.50"}), Some(7)),
                figure("bounce_rate", Value::Null, None),
            ],
            tables: vec![table],
        }
    }

    #[test]
    fn a_digest_says_the_same_in_text_and_html_and_runs_nothing() {
        let Written { subject, text, html } =
            written("Shop & <b>Co</b>", &figures(), "https://stats.example/sites/1");
        assert_eq!(subject, "Shop & <b>Co</b>: 16 November 2026 to 22 November 2026");
        for part in ["12,345", "12% less", "2m 05s", "€1,200.50", "7% more", "1,234,567"] {
            assert!(text.contains(part) && html.contains(part), "{part}: {text}");
        }
        assert!(html.contains("Shop &amp; &lt;b&gt;Co&lt;/b&gt;"));
        assert!(html.contains("/&lt;img src=x onerror=alert(1)&gt;&quot;"));
        for fetched in ["<img", "<b>", "<script", "<link", "url(", "@import", "src=\""] {
            assert!(!html.contains(fetched), "{fetched}");
        }
    }
}
