//! Receipts of visitors' choices: listing, taking along, verifying.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use cairn_catalog::{Finding, Receipt, ReceiptFilter, ReceiptOrder, hex};
use cairn_engine::report::csv::cell;
use cairn_model::{Choice, Purpose};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::Parameters;
use super::page::{Page, PageRequest};
use super::show;
use crate::App;
use crate::auth::{SiteAccess, blocking};
use crate::error::{ApiError, Code};

/// How long an answer waits for choices that are still on their way to their chain.
const FRESHNESS_LIMIT: Duration = Duration::from_secs(2);
/// Tells where the next part of an export begins.
const NEXT: HeaderName = HeaderName::from_static("cairn-next");

/// One entry of a site's chain of receipts. What is missing is empty.
#[derive(Serialize, ToSchema)]
#[schema(as = Receipt)]
pub struct ReceiptBody {
    /// Its number in the chain; the first has 1.
    pub receipt: u64,
    /// When (RFC 3339).
    pub at: String,
    /// `choice`; `erasure`: persons were taken out of the entries in `erased`; `expired`: only time and hashes are left.
    pub kind: &'static str,
    /// `granted` or `denied` by purpose; purposes that nothing was said about are left out.
    pub choices: BTreeMap<&'static str, &'static str>,
    /// Version of the banner or page that was shown.
    pub version: String,
    /// Language in which it was shown.
    pub language: String,
    /// By what it was said: `banner`, `preference_centre`, `page`, `tcf`, ….
    pub signal: String,
    /// Where the visitor was, as the policy sees it: `eea`, `uk`, `switzerland`, a country's code, `unknown`.
    pub region: String,
    /// The site's policy in force.
    pub policy: String,
    /// The browser sent Global Privacy Control.
    pub gpc: bool,
    /// The visitor's number on this site; empty: the choice permits nobody to be known, or he was erased.
    pub visitor_id: String,
    /// What stays of the visitor when he is erased: tells nothing without a salt that goes with him. Hexadecimal.
    pub commitment: String,
    /// Entries out of which an erasure took the person.
    pub erased: Vec<u64>,
    /// Hash of the entry before, hexadecimal.
    pub previous_hash: String,
    /// Hash of what the entry says, hexadecimal.
    pub content_hash: String,
    /// Its own hash, hexadecimal.
    pub hash: String,
}

/// What a look at the whole chain came to.
#[derive(Serialize, ToSchema)]
pub struct ReceiptsVerification {
    /// Nothing was changed, removed, put in, moved or cut off, as far as the chain and its kept end tell.
    pub sound: bool,
    /// Entries of the chain.
    pub entries: u64,
    /// Those of them of which only time and hashes are left.
    pub expired: u64,
    /// The end of the chain, as `SITE:NUMBER:HASH`: keep it elsewhere, and `cairn verify-receipts --head` finds any
    /// change before it. Empty: there is no entry yet.
    pub end: String,
    /// What is wrong, at most 100.
    pub findings: Vec<ReceiptFinding>,
    /// Findings beyond those.
    pub more_findings: u64,
    /// When it was looked at (RFC 3339).
    pub verified_at: String,
}

/// One thing that is wrong with a chain.
#[derive(Serialize, ToSchema)]
pub struct ReceiptFinding {
    /// The entry at which it shows; 0: none in particular.
    pub receipt: u64,
    /// `changed`, `missing`, `cut_off`, ….
    pub problem: &'static str,
    /// In words.
    pub meaning: &'static str,
}

/// Lists receipts of visitors' choices, newest first.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/receipts", tag = "privacy",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("from" = Option<String>, Query, description = "From this instant on (RFC 3339 or Unix milliseconds)"),
           ("before" = Option<String>, Query, description = "Before this instant"),
           ("signal" = Option<String>, Query, description = "Only what was said by this signal, as `banner`"),
           ("choice" = Option<String>, Query, description = "Only what says this, as `analytics:granted`"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<ReceiptBody>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<ReceiptBody>>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    let filter = filter(&mut parameters)?;
    parameters.finish()?;
    let order = ReceiptOrder::NewestBefore(page.key(|text| text.parse().ok())?);
    let found = found(&app, &access, filter, order, page.limit).await?;
    let sequence = |receipt: &Receipt| receipt.sequence.to_string();
    Ok(Json(Page::cut(found.into_iter(), &page, sequence, ReceiptBody::new)))
}

/// Gives receipts as lines, in the order of the chain, with all that a verification elsewhere needs (`docs/receipts.md`).
/// The header `Cairn-Next` says where the next part begins: hand it back as `after`.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/receipts/export", tag = "privacy",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("format" = Option<String>, Query, description = "`ndjson` (default) or `csv`"),
           ("from" = Option<String>, Query, description = "From this instant on (RFC 3339 or Unix milliseconds)"),
           ("before" = Option<String>, Query, description = "Before this instant"),
           ("signal" = Option<String>, Query, description = "Only what was said by this signal, as `banner`"),
           ("choice" = Option<String>, Query, description = "Only what says this, as `analytics:granted`"),
           ("after" = Option<String>, Query, description = "`Cairn-Next` of the part before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, content_type = "application/x-ndjson", body = String)))]
pub async fn export(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    let filter = filter(&mut parameters)?;
    let is_csv = match parameters.text("format")?.as_deref() {
        None | Some("ndjson") => false,
        Some("csv") => true,
        Some(_) => return Err(wrong("format", "ndjson or csv")),
    };
    parameters.finish()?;
    let after = page.key(|text| text.parse().ok())?;
    let order = ReceiptOrder::OldestAfter(after.unwrap_or(0));
    let found = found(&app, &access, filter, order, page.limit).await?;
    let sequence = |receipt: &Receipt| receipt.sequence.to_string();
    let part = Page::cut(found.into_iter(), &page, sequence, ReceiptBody::new);
    let (content_type, text) = match is_csv {
        true => ("text/csv; charset=utf-8", csv(&part.items, after.is_none())),
        false => ("application/x-ndjson", ndjson(&part.items)),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let next = part.next.and_then(|next| HeaderValue::try_from(next).ok());
    headers.extend(next.map(|next| (NEXT, next)));
    Ok((headers, text).into_response())
}

/// Computes the chain of receipts again, and compares its end with the one that is kept beside it. Reads every entry.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/receipts/verification", tag = "privacy",
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 200, body = ReceiptsVerification)))]
pub async fn verify(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
) -> Result<Json<ReceiptsVerification>, ApiError> {
    app.wait_applied(FRESHNESS_LIMIT).await;
    let (site_id, now_ms) = (access.site_id(), app.now_ms(&headers));
    let verified = blocking(&app, move |catalog| catalog.verify_receipts(site_id, now_ms)).await?;
    let chain = verified.chains.first();
    let end = chain.map(|chain| chain.head).filter(|head| head.sequence > 0);
    Ok(Json(ReceiptsVerification {
        sound: verified.is_sound(),
        entries: chain.map_or(0, |chain| chain.entries),
        expired: chain.map_or(0, |chain| chain.expired),
        end: end.map_or_else(String::new, |head| {
            format!("{site_id}:{}:{}", head.sequence, hex(&head.hash))
        }),
        findings: verified.findings.iter().map(finding).collect(),
        more_findings: verified.more_findings,
        verified_at: show::instant(now_ms),
    }))
}

fn finding(found: &Finding) -> ReceiptFinding {
    ReceiptFinding {
        receipt: found.sequence,
        problem: found.problem.name(),
        meaning: found.problem.meaning(),
    }
}

/// One more than the page holds, which tells whether there is another.
async fn found(
    app: &Arc<App>,
    access: &SiteAccess,
    filter: ReceiptFilter,
    order: ReceiptOrder,
    limit: usize,
) -> Result<Vec<Receipt>, ApiError> {
    app.wait_applied(FRESHNESS_LIMIT).await;
    let site_id = access.site_id();
    blocking(app, move |catalog| catalog.receipts(site_id, &filter, order, limit + 1)).await
}

fn filter(parameters: &mut Parameters) -> Result<ReceiptFilter, ApiError> {
    let answer = match parameters.text("choice")? {
        None => None,
        Some(text) => Some(
            answer(&text).ok_or_else(|| wrong("choice", "PURPOSE:granted or PURPOSE:denied"))?,
        ),
    };
    Ok(ReceiptFilter {
        from_ms: parameters.instant_ms("from")?,
        before_ms: parameters.instant_ms("before")?,
        signal: parameters.text("signal")?,
        answer,
    })
}

fn answer(text: &str) -> Option<(Purpose, Choice)> {
    let (purpose, choice) = text.split_once(':')?;
    let purpose = Purpose::ALL.into_iter().find(|known| known.name() == purpose)?;
    let choice = [Choice::Granted, Choice::Denied].into_iter().find(|known| known.name() == choice);
    Some((purpose, choice?))
}

fn wrong(name: &'static str, wanted: &str) -> ApiError {
    ApiError::new(Code::MalformedRequest, format!("The parameter {name} must be {wanted}."))
        .on(name)
}

impl ReceiptBody {
    /// An entry as the API shows it.
    pub fn new(receipt: Receipt) -> Self {
        ReceiptBody {
            receipt: receipt.sequence,
            at: show::instant(receipt.at_ms),
            kind: receipt.kind.name(),
            choices: choices(&receipt),
            visitor_id: receipt.subject.map_or_else(String::new, |who| format!("{:016x}", who.0)),
            commitment: receipt.commitment.as_ref().map(hex).unwrap_or_default(),
            previous_hash: hex(&receipt.previous_hash),
            content_hash: hex(&receipt.content_hash),
            hash: hex(&receipt.hash),
            version: receipt.version,
            language: receipt.language,
            signal: receipt.signal,
            region: receipt.region,
            policy: receipt.policy,
            gpc: receipt.gpc,
            erased: receipt.erased,
        }
    }
}

/// What was said, by purpose.
pub fn choices(receipt: &Receipt) -> BTreeMap<&'static str, &'static str> {
    let answers = Purpose::ALL.iter().zip(receipt.answers);
    answers.filter_map(|(purpose, answer)| Some((purpose.name(), answer?.name()))).collect()
}

fn ndjson(items: &[ReceiptBody]) -> String {
    let lines = items.iter().filter_map(|item| serde_json::to_string(item).ok());
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

fn csv(items: &[ReceiptBody], with_names: bool) -> String {
    let names = "receipt,at,kind,analytics,ads,personalization,functional,version,language,signal,\
                 region,policy,gpc,visitor_id,commitment,erased,previous_hash,content_hash,hash\r\n";
    let mut text = if with_names { names.to_owned() } else { String::new() };
    for item in items {
        let said = |purpose: &Purpose| item.choices.get(purpose.name()).copied().unwrap_or("");
        let said = Purpose::ALL.each_ref().map(said);
        let erased: Vec<String> = item.erased.iter().map(u64::to_string).collect();
        let cells = [
            item.receipt.to_string(),
            item.at.clone(),
            item.kind.to_owned(),
            said[0].to_owned(),
            said[1].to_owned(),
            said[2].to_owned(),
            said[3].to_owned(),
            cell(&item.version),
            cell(&item.language),
            cell(&item.signal),
            cell(&item.region),
            item.policy.clone(),
            item.gpc.to_string(),
            item.visitor_id.clone(),
            item.commitment.clone(),
            erased.join(" "),
            item.previous_hash.clone(),
            item.content_hash.clone(),
            item.hash.clone(),
        ];
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}
