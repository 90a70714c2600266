//! Makes the demonstration in an empty data directory.

use std::time::Duration;

use cairn_catalog::{Catalog, LinkPurpose, NewPixel, NewSite};
use cairn_engine::apply::ApplyHandle;
use cairn_engine::ingest::Ingest;
use cairn_engine::ingest::import::Importer;
use cairn_engine::record;
use cairn_log::Log;
use cairn_model::{PixelKind, SiteId, TrackerSettings};

use super::choices::choices;
use super::costs::costs;
use super::{ARTICLES, SEED, SITE_NAME, Truth, objectives, owned, write};
use crate::Failure;

/// The owner of the demonstration; logs in by link only.
const OWNER: &str = "demo@cairn.example";
/// A hash that no password has.
const NO_PASSWORD: &str = "!";
/// Lines in one append.
const LINES_PER_APPEND: usize = 500;
/// A log-in link works this long.
const LINK_AGE_MS: i64 = 24 * 60 * 60 * 1000;
/// Longest wait until the history is in the store.
const APPLY_TIME_MAX: Duration = Duration::from_secs(120);

/// What the demonstration needs of the program.
pub struct Parts<'a> {
    /// Accounts and sites.
    pub catalog: &'a Catalog,
    /// Decoding and gate.
    pub ingest: &'a Ingest,
    /// Where records go.
    pub log: &'a Log,
    /// Tells when they are in the store.
    pub apply: &'a ApplyHandle,
    /// Host of the pages, as the browser will see it.
    pub host: &'a str,
    /// Now, Unix milliseconds.
    pub now_ms: i64,
}

/// The owner, the site, the pixel and the history, where they are not there yet. The truth of what was made now.
pub async fn prepare(parts: &Parts<'_>) -> Result<Option<Truth>, Failure> {
    let known = parts.catalog.directory().current().sites().next().is_some();
    if known {
        return Ok(None);
    }
    let owner = parts.catalog.add_user(OWNER, NO_PASSWORD, true, parts.now_ms)?;
    let site = NewSite {
        name: SITE_NAME.to_owned(),
        hosts: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        timezone: "Europe/Berlin".to_owned(),
        ..NewSite::of(parts.host)
    };
    let site = parts.catalog.add_site(&site, Some(owner.id), parts.now_ms)?;
    let pixel = NewPixel {
        site_id: site.id,
        name: "Shop".to_owned(),
        kind: PixelKind::Web,
        url: "/demo/".to_owned(),
        // What a shop's owner would want to see, but for what the shop reports by itself.
        cross_site_cookies: Default::default(),
        settings: TrackerSettings {
            not_found: true,
            search: true,
            sections: true,
            vitals: true,
            ..TrackerSettings::default()
        },
    };
    parts.catalog.add_pixel(&pixel, parts.now_ms)?;
    objectives::save(parts.catalog, site.id, parts.now_ms)?;
    owned::make(parts.catalog, site.id, &site.timezone, parts.now_ms)?;
    load_choices(parts, site.id).await?;
    let (costs, rates) = costs(SEED, parts.now_ms);
    parts.catalog.put_costs(site.id, &costs)?;
    parts.catalog.put_rates("EUR", &rates)?;
    Ok(Some(load_history(parts, site.id).await?))
}

/// A fresh link that logs the owner in.
pub fn log_in_link(catalog: &Catalog, origin: &str, now_ms: i64) -> Result<String, Failure> {
    let owner = catalog.user_by_email(OWNER)?.map(|found| found.user.id);
    let expires_at_ms = now_ms + LINK_AGE_MS;
    let link = catalog.add_one_time_link(LinkPurpose::LogIn, owner, expires_at_ms, now_ms)?;
    Ok(format!("{origin}/login?token={}", link.reveal()))
}

/// Key of the shop's pixel.
pub fn pixel_key(catalog: &Catalog) -> Option<String> {
    let directory = catalog.directory().current();
    let site = directory.sites().find(|site| site.site.name == SITE_NAME)?;
    site.pixels.first().map(|pixel| pixel.key.clone())
}

/// Sends what the visitors allowed the way of every choice.
async fn load_choices(parts: &Parts<'_>, site_id: SiteId) -> Result<(), Failure> {
    let appender = parts.log.appender();
    for choices in choices(SEED, site_id, parts.now_ms).chunks(LINES_PER_APPEND) {
        let records = choices.iter().map(record::encode_choice).collect::<Result<Vec<_>, _>>()?;
        appender.append(records.iter().map(Vec::as_slice)).await?;
    }
    Ok(())
}

/// Sends the history the way of every import.
async fn load_history(parts: &Parts<'_>, site_id: SiteId) -> Result<Truth, Failure> {
    let origin = format!("http://{}", parts.host);
    let (lines, truth) = write(SEED, parts.now_ms, &origin, ARTICLES);
    let directory = parts.catalog.directory().current();
    let site = directory.by_id(site_id).ok_or("the site that was just made is missing")?;
    let importer = Importer::new(parts.ingest, &site, parts.now_ms);
    let appender = parts.log.appender();
    let mut last = 0;
    for lines in lines.chunks(LINES_PER_APPEND) {
        let mut records = Vec::with_capacity(lines.len());
        for (_, line) in lines {
            // Without a call that could be repeated the number of a line is of no use.
            let (record, read) = importer.line(0, line.as_bytes(), Vec::new());
            read.map_err(|rejection| format!("a line of the history is refused: {rejection}"))?;
            records.push(record);
        }
        last = appender.append(records.iter().map(Vec::as_slice)).await?.end - 1;
    }
    if !parts.apply.wait_applied(last, APPLY_TIME_MAX).await {
        return Err("the history is not in the store after two minutes".into());
    }
    Ok(truth)
}
