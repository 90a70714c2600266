//! The API: its route table, and what all routes share.
//!
//! Guarantees: [`routes`] is the one list of routes, and the OpenAPI document is made of the same list. Every route but
//! those of the log-in refuses callers without a valid credential.

mod account;
mod ads;
mod alerts;
mod annotations;
mod asking;
mod attribution;
mod backups;
pub(crate) mod body;
mod cookie_report;
mod costs;
mod digests;
mod emails;
pub(crate) mod events;
mod funnels;
mod goals;
mod idempotency;
mod identity;
mod import;
mod limits;
mod links;
mod lists;
pub(crate) mod live;
mod live_test;
mod memory;
mod opt_outs;
mod outcomes;
mod page;
mod paths;
mod permission;
mod pixel_activity;
mod pixels;
mod queries;
pub(crate) mod query;
mod query_export;
mod rates;
pub(crate) mod receipts;
mod retention;
mod rights;
mod segments;
mod shares;
pub(crate) mod show;
mod signed;
mod sites;
mod tokens;
mod tracker;
mod upload;
mod why;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use cairn_store::{EventStore, StoreError};
use http::{HeaderValue, header};
use tokio::sync::Semaphore;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{ApiError, Code};

use crate::collect::description::Formats;
use crate::{App, auth, openapi, ops};
pub use limits::CallLimits;
pub use live::LivePlaces;

/// Every route under `/api` but the description itself.
fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(openapi::Description::openapi())
        // The account
        .routes(routes!(account::show, account::log_in, account::log_out))
        .routes(routes!(account::set_up))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::remove))
        // The instance
        .routes(routes!(backups::list, backups::create))
        .routes(routes!(backups::remove))
        .routes(routes!(rates::list, rates::create, rates::remove))
        // Sites
        .routes(routes!(sites::list, sites::create))
        .routes(routes!(asking::places))
        .routes(routes!(sites::show, sites::change, sites::remove))
        // What belongs to a site
        .routes(routes!(pixels::list, pixels::create))
        .routes(routes!(pixels::show, pixels::change, pixels::remove))
        .routes(routes!(pixel_activity::show))
        .routes(routes!(live_test::create))
        .routes(routes!(live_test::stream))
        .routes(routes!(goals::list, goals::create))
        .routes(routes!(goals::remove))
        .routes(routes!(costs::list, costs::create, costs::remove))
        .routes(routes!(costs::import))
        .routes(routes!(goals::target::progress))
        .routes(routes!(funnels::list, funnels::create))
        .routes(routes!(funnels::show, funnels::change, funnels::remove))
        .routes(routes!(opt_outs::create))
        .routes(routes!(cookie_report::show))
        .routes(routes!(memory::ask))
        .routes(routes!(identity::show, identity::renew, identity::remove))
        .routes(routes!(emails::create))
        .routes(routes!(emails::choose))
        .routes(routes!(links::create))
        .routes(routes!(ads::create))
        // Events
        .routes(routes!(import::create))
        .routes(routes!(events::list))
        .routes(routes!(lists::visit_events))
        .routes(routes!(lists::visitor_events))
        .routes(routes!(lists::person_events))
        .routes(routes!(outcomes::show))
        .routes(routes!(live::stream))
        // Permission
        .routes(routes!(receipts::list))
        .routes(routes!(receipts::export))
        .routes(routes!(receipts::verify))
        .routes(routes!(permission::show))
        .routes(routes!(retention::show))
        // Rights of people
        .routes(routes!(rights::find::find))
        .routes(routes!(rights::requests::waiting))
        .routes(routes!(rights::requests::list, rights::requests::create))
        .routes(routes!(rights::requests::show))
        .routes(routes!(rights::requests::export))
        .routes(routes!(rights::requests::erase))
        .routes(routes!(rights::requests::extend))
        .routes(routes!(rights::requests::refuse))
        .routes(routes!(rights::requests::withdraw))
        .routes(routes!(rights::requests::done))
        // Reports
        .routes(routes!(query::ask))
        .routes(routes!(queries::ask))
        .routes(routes!(segments::list, segments::create))
        .routes(routes!(segments::change, segments::remove))
        .routes(routes!(annotations::list, annotations::create))
        .routes(routes!(annotations::change, annotations::remove))
        .routes(routes!(attribution::ask))
        .routes(routes!(paths::funnel))
        .routes(routes!(paths::journeys))
        .routes(routes!(paths::retention))
        .routes(routes!(lists::visits))
        .routes(routes!(lists::visitors))
        .routes(routes!(lists::people))
        .routes(routes!(digests::list, digests::create))
        .routes(routes!(digests::change, digests::remove))
        .routes(routes!(digests::preview))
        .routes(routes!(digests::send))
        .routes(routes!(alerts::list, alerts::create))
        .routes(routes!(alerts::change, alerts::remove))
        .routes(routes!(alerts::renew_secret))
        .routes(routes!(alerts::test))
        .routes(routes!(shares::list, shares::create))
        .routes(routes!(shares::remove))
        // With the link of a shared report instead of a log-in
        .routes(routes!(shares::about))
        .routes(routes!(shares::unlock))
        .routes(routes!(shares::ask))
}

/// The description of [`routes`], and of other products' formats.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = routes().split_for_parts().1;
    document.merge(Formats::openapi());
    openapi::complete(document)
}

/// Everything that is not collection: API, operations, dashboard, demo shop.
pub fn router(app: Arc<App>) -> Router {
    let trusted = auth::trusted_proxies(&app.config);
    let (api, _) = routes().split_for_parts();
    let api = api
        .layer(from_fn_with_state(Arc::clone(&app), idempotency::once))
        .layer(from_fn_with_state(Arc::clone(&app), auth::authenticate))
        .route("/api/openapi.json", axum::routing::get(description))
        .layer(from_fn(never_cached));
    api.merge(ops::routes())
        .merge(crate::sending::ending::routes())
        .fallback(ops::page_or_nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&app), ops::on_admin_origin_only))
        .layer(from_fn_with_state(trusted, auth::note_connection))
        .layer(from_fn_with_state(Arc::clone(&app), ops::guard))
        .with_state(app)
}

async fn description() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::json())
}

async fn wrong_method() -> ApiError {
    ApiError::new(Code::MethodNotAllowed, "This address has no such method.")
}

/// Answers of the API belong to one caller at one moment.
async fn never_cached(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Pieces of work that the store has at once. Others wait without a thread: those are needed for log-ins and mails, too.
static STORE_WORK: Semaphore = Semaphore::const_new(8);

/// Runs blocking work of the store off the async threads.
pub(crate) async fn with_store<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&dyn EventStore) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let broken_off = || ApiError::new(Code::Internal, "The store's work was broken off.");
    let place = STORE_WORK.acquire().await.map_err(|_| broken_off())?;
    let store = Arc::clone(&app.store);
    let done = tokio::task::spawn_blocking(move || {
        // Kept to the end of the work, which goes on also when nobody waits for its answer any more.
        let _place = place;
        work(&*store)
    });
    done.await.map_err(|_| broken_off())
}

/// The same for work that fails as the store does.
pub(crate) async fn store<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&dyn EventStore) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    Ok(with_store(app, work).await??)
}
