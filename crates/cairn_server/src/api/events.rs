//! Stored events, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use cairn_catalog::SiteEntry;
use cairn_model::currency::minor_unit_decimals;
use cairn_model::question::{Asking, EventsQuestion};
use cairn_model::session::{Attribute, Attributes};
use cairn_model::{Event, Identification, Origin};
use cairn_store::{StoreError, StoredEvent};
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::Parameters;
use super::page::{Page, PageRequest};
use super::why::{self, Why};
use super::{query, show};
use crate::App;
use crate::auth::SiteAccess;
use crate::error::{ApiError, Code};

/// JSON of the events of one page: a page that would be larger ends earlier, after one event at the least.
const PAGE_SIZE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Events that the store is asked for at once.
const EVENTS_PER_LOOK: usize = 50;

/// A stored event. Source, place and device are those of its visit. Texts that are missing are empty.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventBody {
    /// GA4 event name.
    #[schema(example = "page_view")]
    pub event: String,
    /// The sender's id; empty where there was none, or no permission to keep it.
    pub event_id: String,
    /// When it happened (RFC 3339).
    pub timestamp: String,
    /// When it arrived (RFC 3339).
    pub received_at: String,
    /// Key of the pixel that reported it; empty for imports and removed pixels.
    pub pixel_key: String,
    /// It came by import.
    pub imported: bool,
    /// What keeping it relied on.
    #[schema(example = "policy")]
    pub basis: String,
    /// Why it was kept, and in what way.
    pub why: Why,
    /// `identified` or `anonymous`.
    pub identification: String,
    /// The visitor's number on this site.
    pub visitor_id: String,
    /// The visit; empty: none.
    pub session_id: String,
    /// Address of the page.
    pub url: String,
    /// Host of the page.
    pub hostname: String,
    /// Path of the page.
    pub page: String,
    /// Title of the page.
    pub title: String,
    /// Referrer as host and path.
    pub referrer: String,
    /// Where the visit came from; empty: direct.
    pub source: String,
    /// GA4 medium.
    pub medium: String,
    /// GA4 default channel group.
    pub channel: String,
    /// Campaign.
    pub utm: Utm,
    /// Place.
    pub geo: Geo,
    /// Browser and device.
    pub device: Device,
    /// Network.
    pub network: Network,
    /// Why it counts as a bot's; empty: a person, as far as known.
    pub bot: String,
    /// Screen as `WIDTHxHEIGHT`.
    pub screen: String,
    /// BCP 47 language.
    pub language: String,
    /// Amount in the currency's main unit.
    #[schema(value_type = Option<f64>, required)]
    pub value: Option<Box<RawValue>>,
    /// ISO 4217 code; empty without an amount.
    pub currency: String,
    /// The order.
    pub order_id: String,
    /// GA4 items.
    #[schema(value_type = Vec<Object>)]
    pub items: Box<RawValue>,
    /// Time the page was visible and in use, milliseconds.
    #[schema(required)]
    pub engagement_ms: Option<u32>,
    /// Deepest scroll, 0 to 100.
    #[schema(required)]
    pub scroll_percent: Option<u8>,
    /// Section seen.
    #[schema(required)]
    pub section: Option<Section>,
    /// Own properties.
    #[schema(value_type = Object)]
    pub props: Box<RawValue>,
    /// A text was cut to its limit.
    pub truncated: bool,
}

/// Campaign parameters.
#[derive(Serialize, ToSchema)]
pub struct Utm {
    /// `utm_source`.
    pub source: String,
    /// `utm_medium`.
    pub medium: String,
    /// `utm_campaign`.
    pub campaign: String,
    /// `utm_content`.
    pub content: String,
    /// `utm_term`.
    pub term: String,
}

/// Place of a visitor.
#[derive(Serialize, ToSchema)]
pub struct Geo {
    /// ISO 3166-1 alpha-2 code.
    pub country: String,
    /// ISO 3166-2 code or name.
    pub region: String,
    /// GeoNames number or name.
    pub city: String,
}

/// Browser and device.
#[derive(Serialize, ToSchema)]
pub struct Device {
    /// Browser family.
    pub browser: String,
    /// Browser version.
    pub browser_version: String,
    /// Operating system.
    pub os: String,
    /// Its version.
    pub os_version: String,
    /// `desktop`, `mobile`, `tablet`, ….
    #[serde(rename = "type")]
    pub kind: String,
}

/// Network of a visitor.
#[derive(Serialize, ToSchema)]
pub struct Network {
    /// AS number; 0: unknown.
    pub asn: u32,
    /// The provider.
    pub organization: String,
    /// `hosting`, `vpn`, ….
    pub marks: Vec<String>,
}

/// Section of a page that was seen.
#[derive(Serialize, ToSchema)]
pub struct Section {
    /// Its id.
    pub id: String,
    /// Time in view, milliseconds.
    #[schema(required)]
    pub visible_ms: Option<u32>,
    /// Share in view, 0 to 100.
    #[schema(required)]
    pub visible_percent: Option<u8>,
}

/// Lists stored events, newest first. Bots are left out unless a filter names `visit:bot`.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/events", tag = "events",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("filters" = Option<String>, Query, description = "Filters as in queries, as JSON text"),
           ("date_range" = Option<String>, Query,
            description = "As in queries: a word such as `7d`, or a JSON list of two dates; default: all time"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100); of large events a page holds fewer, at most 4 MiB")),
    responses((status = 200, body = Page<EventBody>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<EventBody>>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    let mut filters =
        parameters.text("filters")?.map_or(Ok(Value::Null), |text| json(&text, "filters"))?;
    let date_range = match parameters.text("date_range")? {
        Some(text) if text.starts_with('[') => json(&text, "date_range")?,
        Some(text) => Value::String(text),
        None => Value::Null,
    };
    parameters.finish()?;
    let before = page.key(|text| text.parse::<u64>().ok())?;
    let site = access.site();
    query::expand_segments(&app, site.id, &mut filters).await?;
    let goals = query::goals(&app, site.id).await?;
    let asking = Asking {
        site_id: site.id,
        timezone: &site.timezone,
        now_ms: app.now_ms(&headers),
        first_event_ms: None,
        goals: &goals,
    };
    // Filters and range are found wrong here, and not for each look.
    let whole = EventsQuestion::parse(&filters, &date_range, None, None, &asking);
    let whole = whole.map_err(query::rejected)?;
    let ask = |before, wanted| {
        let (store, question) = (Arc::clone(&app.store), whole.page(before, wanted));
        move || store.events_page(&question)
    };
    cut_page(&app, &access, page.limit, before, ask).await.map(Json)
}

/// Cuts a page after so many events or bytes. The store is asked for a few at a time, because it holds what it reads.
pub(super) async fn cut_page<Look>(
    app: &Arc<App>,
    access: &SiteAccess,
    limit: usize,
    mut before: Option<u64>,
    ask: impl Fn(Option<u64>, usize) -> Look,
) -> Result<Page<EventBody>, ApiError>
where
    Look: FnOnce() -> Result<Vec<StoredEvent>, StoreError> + Send + 'static,
{
    let mut page = Page { items: Vec::new(), next: None };
    let mut size_bytes = 0;
    loop {
        // One more than the page holds tells whether there is another.
        let wanted = (limit + 1 - page.items.len()).min(EVENTS_PER_LOOK);
        let look = ask(before, wanted);
        let found = super::store(app, move |_| look()).await?;
        let is_end = found.len() < wanted;
        let relied = found.iter().map(|stored| why::relied_upon(&stored.event)).collect();
        let receipts = why::receipts_of(app, access, relied).await?;
        for (stored, receipt) in found.into_iter().zip(receipts) {
            let attributes = Attributes::of(&stored.event);
            let mut body =
                EventBody::new(access.entry(), stored.session_id, &stored.event, &attributes);
            body.why = body.why.relying_on(receipt.as_ref());
            size_bytes += serde_json::to_vec(&body).map_or(0, |json| json.len());
            let is_full = page.items.len() == limit || size_bytes > PAGE_SIZE_BYTES_MAX;
            if is_full && !page.items.is_empty() {
                page.next = before.map(|offset| offset.to_string());
                return Ok(page);
            }
            before = Some(stored.offset);
            page.items.push(body);
        }
        if is_end {
            return Ok(page);
        }
    }
}

fn json(text: &str, name: &str) -> Result<Value, ApiError> {
    super::body::parse(text.as_bytes()).map_err(|error| {
        ApiError::new(Code::MalformedRequest, format!("{name}: {}", error.message)).on(name)
    })
}

impl EventBody {
    /// An event with the attributes of its visit.
    pub fn new(site: &SiteEntry, session_id: u64, event: &Event<'_>, visit: &Attributes) -> Self {
        let visit = |attribute| visit.get(attribute).to_owned();
        let pixels = &site.pixels;
        let pixel = pixels.iter().find(|pixel| pixel.id == event.pixel_id);
        EventBody {
            event: event.name.to_string(),
            event_id: event.event_id.to_string(),
            timestamp: show::instant(event.timestamp_ms),
            received_at: show::instant(event.received_at_ms),
            pixel_key: pixel.map_or_else(String::new, |pixel| pixel.key.clone()),
            imported: event.origin == Origin::Import,
            basis: event.basis.name().to_owned(),
            why: Why::of(event),
            identification: match event.identification {
                Identification::Identified => "identified".to_owned(),
                Identification::Anonymous => "anonymous".to_owned(),
            },
            visitor_id: format!("{:016x}", event.visitor_id.0),
            session_id: if session_id == 0 { String::new() } else { session_id.to_string() },
            url: address(event),
            hostname: event.hostname.to_string(),
            page: event.path.to_string(),
            title: event.title.to_string(),
            referrer: visit(Attribute::Referrer),
            source: visit(Attribute::Source),
            medium: visit(Attribute::Medium),
            channel: visit(Attribute::Channel),
            utm: Utm {
                source: visit(Attribute::UtmSource),
                medium: visit(Attribute::UtmMedium),
                campaign: visit(Attribute::UtmCampaign),
                content: visit(Attribute::UtmContent),
                term: visit(Attribute::UtmTerm),
            },
            geo: Geo {
                country: visit(Attribute::Country),
                region: visit(Attribute::Region),
                city: visit(Attribute::City),
            },
            device: Device {
                browser: visit(Attribute::Browser),
                browser_version: visit(Attribute::BrowserVersion),
                os: visit(Attribute::Os),
                os_version: visit(Attribute::OsVersion),
                kind: visit(Attribute::Device),
            },
            network: Network {
                asn: event.asn,
                organization: event.organization.to_string(),
                marks: event
                    .network_marks
                    .split(',')
                    .filter(|mark| !mark.is_empty())
                    .map(str::to_owned)
                    .collect(),
            },
            bot: visit(Attribute::Bot),
            screen: event.screen.to_string(),
            language: event.language.to_string(),
            value: event.value_minor.and_then(|minor| amount(minor, &event.currency)),
            currency: event.currency.to_string(),
            order_id: event.order_id.to_string(),
            items: raw(&event.items, "[]"),
            engagement_ms: event.engagement_ms,
            scroll_percent: event.scroll_percent,
            section: section(event),
            props: raw(&event.props, "{}"),
            truncated: event.truncated,
        }
    }
}

fn section(event: &Event<'_>) -> Option<Section> {
    if event.section_id.is_empty() {
        return None;
    }
    Some(Section {
        id: event.section_id.to_string(),
        visible_ms: event.section_visible_ms,
        visible_percent: event.section_visible_percent,
    })
}

/// Address of the page; the scheme is not stored, and https is what sites use.
fn address(event: &Event<'_>) -> String {
    if event.hostname.is_empty() {
        return String::new();
    }
    let separator = if event.query.is_empty() { "" } else { "?" };
    format!("https://{}{}{separator}{}", event.hostname, event.path, event.query)
}

/// Stored JSON text, or what stands for none.
fn raw(text: &str, none: &'static str) -> Box<RawValue> {
    let text = if text.is_empty() { none } else { text };
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The amount in the main unit, exact: no float in between.
pub(super) fn amount(minor: i64, currency: &str) -> Option<Box<RawValue>> {
    let decimals = usize::try_from(minor_unit_decimals(currency)).unwrap_or(0);
    let sign = if minor < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = decimals + 1);
    let (whole, part) = digits.split_at(digits.len() - decimals);
    let point = if decimals == 0 { "" } else { "." };
    RawValue::from_string(format!("{sign}{whole}{point}{part}")).ok()
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn amounts_keep_every_cent() {
        let shown = |minor, code| amount(minor, code).unwrap().get().to_owned();
        assert_eq!(shown(5990, "EUR"), "59.90");
        assert_eq!(shown(5, "EUR"), "0.05");
        assert_eq!(shown(-1234, "KWD"), "-1.234");
        assert_eq!(shown(500, "JPY"), "500");
        assert_eq!(shown(9_007_199_254_740_993, "EUR"), "90071992547409.93");
    }
}
