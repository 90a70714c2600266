//! Lists of visits, of visitors and of people, and what one of them did: `POST /api/v2/visits`, `/visitors` and `/people`
//! (docs/funnels.md).
//!
//! A person is here only where permission gave one: events without it carry no user, so that nobody is listed for them. A
//! visitor without permission is a number that is forgotten at midnight.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, Request, State};
use cairn_engine::report::lists;
use cairn_model::question::ListQuestion;
use cairn_model::question::lists::{
    LISTED_PER_PAGE, LISTED_PER_PAGE_MAX, PersonSummary, VisitConversions, VisitorSummary, Whose,
};
use cairn_model::session::Attribute;
use cairn_model::{Identification, Session, VisitorId};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::Parameters;
use super::events::{EventBody, amount, cut_page};
use super::page::{Page, PageRequest};
use super::paths::Asked;
use super::query::failed;
use super::show;
use crate::App;
use crate::auth::{Caller, SiteAccess, blocking};
use crate::error::ApiError;

/// Which visits, visitors or people are wanted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct ListQuestionBody {
    /// Number or domain of the site.
    pub site_id: String,
    /// As in a query.
    #[schema(value_type = Object, example = "7d")]
    pub date_range: Value,
    /// As in a query.
    #[schema(value_type = Option<Vec<Object>>)]
    pub filters: Option<Value>,
    /// `next` of the page before.
    pub after: Option<String>,
    /// Entries wanted, 1 to 200; default 50.
    pub limit: Option<u32>,
}

/// A visit.
#[derive(Serialize, ToSchema)]
#[schema(as = Visit)]
pub struct VisitBody {
    /// Its number, as `session_id` of its events.
    pub session_id: String,
    /// The visitor's number on this site; of an anonymous one it is forgotten at midnight.
    pub visitor_id: String,
    /// `identified` or `anonymous`.
    pub identification: String,
    /// When it began (RFC 3339).
    pub started_at: String,
    /// From its first event to its last, seconds.
    pub duration_s: i64,
    /// Page views.
    pub pageviews: u32,
    /// Page views and events.
    pub events: u32,
    /// Page that it began on; empty: none.
    pub entry_page: String,
    /// Page that it ended on.
    pub exit_page: String,
    /// Where it came from; empty: direct.
    pub source: String,
    /// GA4 default channel group.
    pub channel: String,
    /// Campaign.
    pub utm_campaign: String,
    /// ISO 3166-1 alpha-2 country.
    pub country: String,
    /// Region.
    pub region: String,
    /// City.
    pub city: String,
    /// Device type.
    pub device: String,
    /// Browser.
    pub browser: String,
    /// Operating system.
    pub os: String,
    /// Names of the goals that it converted in the range.
    pub goals: Vec<String>,
    /// Its orders in the range, each once.
    pub orders: u64,
    /// What they brought, without what was given back, by currency; orders without an amount add nothing.
    pub revenue: Vec<AmountBody>,
}

/// An amount of money.
#[derive(Serialize, ToSchema)]
#[schema(as = Amount)]
pub struct AmountBody {
    /// In the currency's main unit.
    #[schema(value_type = f64)]
    pub value: Box<RawValue>,
    /// ISO 4217 code.
    pub currency: String,
}

/// A visitor: a browser or device on this site, with or without permission to know it again.
#[derive(Serialize, ToSchema)]
#[schema(as = Visitor)]
pub struct VisitorBody {
    /// The visitor's number on this site; of an anonymous one it is forgotten at midnight.
    pub visitor_id: String,
    /// `identified` or `anonymous`.
    pub identification: String,
    /// Visits.
    pub visits: u64,
    /// Their page views.
    pub pageviews: u64,
    /// Their page views and events.
    pub events: u64,
    /// When the first of them began (RFC 3339).
    pub first_at: String,
    /// When the last of them ended.
    pub last_at: String,
    /// Where the latest visit came from; empty: direct.
    pub source: String,
    /// ISO 3166-1 alpha-2 country of the latest visit.
    pub country: String,
    /// Its city.
    pub city: String,
    /// Its device type.
    pub device: String,
    /// Its browser.
    pub browser: String,
    /// Its operating system.
    pub os: String,
}

/// A person: somebody who may be known by name.
#[derive(Serialize, ToSchema)]
#[schema(as = Person)]
pub struct PersonBody {
    /// Number of the person on this site.
    pub person_id: String,
    /// The site's own id of the user; empty: it is kept no more.
    pub user_id: String,
    /// What is claimed about the person (name, e-mail); not proven.
    #[schema(value_type = Object)]
    pub traits: Value,
    /// Browsers and devices in the range.
    pub visitors: u64,
    /// Visits in the range.
    pub visits: u64,
    /// Page views and events in the range.
    pub events: u64,
    /// First of them (RFC 3339).
    pub first_at: String,
    /// Last of them.
    pub last_at: String,
}

/// Lists visits, the latest first. Those that were active in the range and pass the filters, as visits do in queries.
#[utoipa::path(post, path = "/api/v2/visits", tag = "queries", request_body = ListQuestionBody,
    responses((status = 200, body = Page<VisitBody>)))]
pub async fn visits(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Json<Page<VisitBody>>, ApiError> {
    let (asked, page) = read(&app, &caller, request).await?;
    let limit = page.limit;
    let found = ask(&app, asked, &page, move |store, question| {
        let found = store.visits_page(question)?;
        let shown: Vec<u64> = found.iter().take(limit).map(|visit| visit.session_id).collect();
        let brought = store.visit_conversions(question, &shown)?;
        let goals = question.question().goals.iter().map(|goal| goal.name.clone());
        Ok((found, brought, goals.collect::<Vec<_>>()))
    });
    let (found, brought, goals) = found.await?;
    let next = next(&page, &found, |visit: &Session| (visit.started_at_ms, visit.session_id));
    let mut brought: BTreeMap<u64, VisitConversions> =
        brought.into_iter().map(|visit| (visit.session_id, visit)).collect();
    let body = |visit: Session| {
        let brought = brought.remove(&visit.session_id).unwrap_or_default();
        visit_body(visit, brought, &goals)
    };
    Ok(Json(Page { items: found.into_iter().take(limit).map(body).collect(), next }))
}

/// Lists visitors, those seen last first: browsers and devices with visits that pass, as visits do in queries.
#[utoipa::path(post, path = "/api/v2/visitors", tag = "queries", request_body = ListQuestionBody,
    responses((status = 200, body = Page<VisitorBody>)))]
pub async fn visitors(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Json<Page<VisitorBody>>, ApiError> {
    let (asked, page) = read(&app, &caller, request).await?;
    let found = ask(&app, asked, &page, |store, question| store.visitors_page(question)).await?;
    let place = |visitor: &VisitorSummary| (visitor.last_ms, visitor.last_visit.visitor_id.0);
    let next = next(&page, &found, place);
    Ok(Json(Page { items: found.into_iter().take(page.limit).map(visitor_body).collect(), next }))
}

/// Lists people, those seen last first: users whom events of the range name by permission.
#[utoipa::path(post, path = "/api/v2/people", tag = "queries", request_body = ListQuestionBody,
    responses((status = 200, body = Page<PersonBody>)))]
pub async fn people(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Json<Page<PersonBody>>, ApiError> {
    let (asked, page) = read(&app, &caller, request).await?;
    let site_id = asked.received.about.site_id;
    let found = ask(&app, asked, &page, |store, question| store.people_page(question)).await?;
    let next = next(&page, &found, |person: &PersonSummary| (person.last_ms, person.user_key));
    let shown: Vec<PersonSummary> = found.into_iter().take(page.limit).collect();
    let items = blocking(&app, move |catalog| {
        let named = |person: PersonSummary| {
            let known = catalog.person(site_id, person.user_key)?;
            Ok(person_body(person, known.unwrap_or_default()))
        };
        shown.into_iter().map(named).collect::<Result<Vec<_>, cairn_catalog::CatalogError>>()
    });
    Ok(Json(Page { items: items.await?, next }))
}

/// Lists what a visit did, the latest first.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/visits/{session_id}/events", tag = "events",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("session_id" = String, Path, description = "Number of the visit"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<EventBody>)))]
pub async fn visit_events(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, session_id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<EventBody>>, ApiError> {
    let session_id = session_id.parse().map_err(|_| ApiError::not_found())?;
    timeline(&app, &access, query.as_deref(), Whose::Visit(session_id)).await
}

/// Lists what a visitor did from the first visit on, the latest first.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/visitors/{visitor_id}/events", tag = "events",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("visitor_id" = String, Path, description = "Number of the visitor"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<EventBody>)))]
pub async fn visitor_events(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, visitor_id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<EventBody>>, ApiError> {
    let whose = Whose::Visitor(VisitorId(numbered(&visitor_id)?));
    timeline(&app, &access, query.as_deref(), whose).await
}

/// Lists what a person did, the latest first, on all browsers and devices.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/people/{person_id}/events", tag = "events",
    params(("site_id" = String, Path, description = "Number of the site"),
           ("person_id" = String, Path, description = "Number of the person"),
           ("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<EventBody>)))]
pub async fn person_events(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    Path((_, person_id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<EventBody>>, ApiError> {
    let whose = Whose::Person(numbered(&person_id)?);
    timeline(&app, &access, query.as_deref(), whose).await
}

/// The number of a visitor or person, as lists write it.
fn numbered(text: &str) -> Result<u64, ApiError> {
    u64::from_str_radix(text, 16).map_err(|_| ApiError::not_found())
}

async fn timeline(
    app: &Arc<App>,
    access: &SiteAccess,
    query: Option<&str>,
    whose: Whose,
) -> Result<Json<Page<EventBody>>, ApiError> {
    let mut parameters = Parameters::new(query)?;
    let page = PageRequest::read(&mut parameters)?;
    parameters.finish()?;
    let before = page.key(|text| text.parse::<u64>().ok())?;
    let site_id = access.site_id();
    let ask = |before, wanted| {
        let store = Arc::clone(&app.store);
        move || store.timeline(site_id, whose, before, wanted)
    };
    cut_page(app, access, page.limit, before, ask).await.map(Json)
}

/// Time and number of an entry, as a page's `next` has them.
fn cursor(text: &str) -> Option<(i64, u64)> {
    let (time, number) = text.split_once('_')?;
    Some((time.parse().ok()?, number.parse().ok()?))
}

async fn read(
    app: &Arc<App>,
    caller: &Caller,
    request: Request,
) -> Result<(Asked, PageRequest), ApiError> {
    let mut asked = Asked::receive(app, caller, request).await?;
    let after = asked.fields.text("after")?;
    let limits = 1..=i64::from(LISTED_PER_PAGE_MAX);
    let limit = asked.fields.whole("limit", limits)?.unwrap_or(i64::from(LISTED_PER_PAGE));
    let page = PageRequest { after, limit: usize::try_from(limit).unwrap_or(1) };
    Ok((asked, page))
}

/// One entry more than the page holds, if there is one.
async fn ask<T: Send + 'static>(
    app: &Arc<App>,
    asked: Asked,
    page: &PageRequest,
    ask: impl FnOnce(&dyn cairn_store::EventStore, &ListQuestion) -> Result<T, cairn_store::StoreError>
    + Send
    + 'static,
) -> Result<T, ApiError> {
    let before = page.key(cursor)?;
    let wanted = u32::try_from(page.limit).unwrap_or(1);
    let answer = asked.with_store(app, move |store, site, scope| {
        lists::ask(store, site, scope, (before, wanted), ask)
    });
    answer.await?.map_err(failed)
}

fn next<T>(page: &PageRequest, found: &[T], place: impl Fn(&T) -> (i64, u64)) -> Option<String> {
    let last = found.get(page.limit.checked_sub(1)?).filter(|_| found.len() > page.limit)?;
    let (time, number) = place(last);
    Some(format!("{time}_{number}"))
}

fn identification(visit: &Session) -> String {
    match visit.identification {
        Identification::Identified => "identified".to_owned(),
        Identification::Anonymous => "anonymous".to_owned(),
    }
}

fn visit_body(visit: Session, brought: VisitConversions, goals: &[String]) -> VisitBody {
    let named = brought.goals.iter().filter_map(|index| goals.get(*index).cloned());
    let sum = |(currency, minor): (String, i64)| {
        Some(AmountBody { value: amount(minor, &currency)?, currency })
    };
    let value = |attribute| visit.attributes.get(attribute).to_owned();
    VisitBody {
        session_id: visit.session_id.to_string(),
        visitor_id: format!("{:016x}", visit.visitor_id.0),
        identification: identification(&visit),
        started_at: show::instant(visit.started_at_ms),
        duration_s: visit.duration_s(),
        pageviews: visit.pageviews,
        events: visit.events,
        source: value(Attribute::Source),
        channel: value(Attribute::Channel),
        utm_campaign: value(Attribute::UtmCampaign),
        country: value(Attribute::Country),
        region: value(Attribute::Region),
        city: value(Attribute::City),
        device: value(Attribute::Device),
        browser: value(Attribute::Browser),
        os: value(Attribute::Os),
        entry_page: visit.entry_page,
        exit_page: visit.exit_page,
        goals: named.collect(),
        orders: brought.orders,
        revenue: brought.revenue.into_iter().filter_map(sum).collect(),
    }
}

fn visitor_body(visitor: VisitorSummary) -> VisitorBody {
    let visit = visitor.last_visit;
    let value = |attribute| visit.attributes.get(attribute).to_owned();
    VisitorBody {
        visitor_id: format!("{:016x}", visit.visitor_id.0),
        identification: identification(&visit),
        visits: visitor.visits,
        pageviews: visitor.pageviews,
        events: visitor.events,
        first_at: show::instant(visitor.first_ms),
        last_at: show::instant(visitor.last_ms),
        source: value(Attribute::Source),
        country: value(Attribute::Country),
        city: value(Attribute::City),
        device: value(Attribute::Device),
        browser: value(Attribute::Browser),
        os: value(Attribute::Os),
    }
}

fn person_body(person: PersonSummary, (user_id, traits): (String, String)) -> PersonBody {
    PersonBody {
        person_id: format!("{:016x}", person.user_key),
        user_id,
        traits: serde_json::from_str(&traits).unwrap_or_else(|_| serde_json::json!({})),
        visitors: person.visitors,
        visits: person.visits,
        events: person.events,
        first_at: show::instant(person.first_ms),
        last_at: show::instant(person.last_ms),
    }
}
