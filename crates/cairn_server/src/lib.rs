//! HTTP: collection, API, log-in, OpenAPI, embedded tracker and dashboard. No SQL.
//!
//! Guarantees: who may see a site is decided in one function (`auth::site_access`); every error has a code of one table
//! (`error`); no answer or log line holds a visitor's address, identifier or URL query that the caller did not ask for.
#![forbid(unsafe_code)]

pub mod api;
pub mod assets;
pub mod auth;
pub mod collect;
pub mod config;
pub mod error;
pub mod listen;
pub mod live_test;
mod memory;
pub mod openapi;
pub mod ops;
mod rights;
pub mod sending;

use std::sync::Arc;
use std::time::Duration;

use cairn_catalog::{Catalog, DirectoryCell};
use cairn_engine::apply::ApplyHandle;
use cairn_engine::backup::Backups;
use cairn_engine::ingest::Ingest;
use cairn_engine::outcomes::OutcomeCounters;
use cairn_log::Log;
use cairn_store::EventStore;
use http::{HeaderMap, header};

pub use config::{Network, Secret, ServerConfig};

/// Reads the time: Unix milliseconds, UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Everything that requests share.
pub struct App {
    /// Settings, accounts, people.
    pub catalog: Arc<Catalog>,
    /// Sites and pixels in memory.
    pub directory: Arc<DirectoryCell>,
    /// Events.
    pub store: Arc<dyn EventStore>,
    /// The road to the store.
    pub log: Log,
    /// The loop that goes down that road.
    pub apply: ApplyHandle,
    /// Copies of everything.
    pub backups: Arc<Backups>,
    /// The steps from a hit to a record.
    pub ingest: Arc<Ingest>,
    /// What became of hits, as far as the edge decides it.
    pub counters: Arc<OutcomeCounters>,
    /// Passwords, log-in attempts.
    pub auth: auth::AuthState,
    /// Places for open live views.
    pub live_places: api::LivePlaces,
    /// Live tests that run.
    pub live_tests: live_test::LiveTests,
    /// How often what costs much was asked for.
    pub limits: api::CallLimits,
    /// The ways out.
    pub outgoing: sending::Outgoing,
    /// Requests and faults, for `/metrics`.
    pub requests: ops::RequestCounters,
    /// Settings of the server.
    pub config: ServerConfig,
    /// The time.
    pub clock: Clock,
}

impl App {
    /// The time of a request, Unix milliseconds. The header `Cairn-Now` (RFC 3339 or milliseconds) decides only under
    /// the test clock.
    pub fn now_ms(&self, headers: &HeaderMap) -> i64 {
        let told = self.config.test_clock.then(|| headers.get("cairn-now")).flatten();
        told.and_then(|value| parse_now(value.to_str().ok()?)).unwrap_or_else(|| (self.clock)())
    }

    /// Origin to put into snippets: the configured one, or that of the request.
    pub fn public_origin(&self, headers: &HeaderMap, https: bool) -> String {
        if let Some(origin) = self.config.snippet_origin() {
            return origin.to_owned();
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        // The host goes into HTML: whatever no host name holds is refused.
        let sound = |host: &&str| {
            host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte))
        };
        let listen = self.config.listen.to_string();
        let host = host.filter(sound).unwrap_or(&listen);
        format!("{}://{host}", if https { "https" } else { "http" })
    }

    /// Whether the dashboard is reached by HTTPS, as configured.
    pub fn admin_is_https(&self) -> bool {
        let config = &self.config;
        let url = config.admin_origin.as_ref().or(config.public_url.as_ref());
        url.is_some_and(|url| url.starts_with("https://"))
    }

    /// Waits until what is durable now is in the store; false when the limit passed first.
    pub async fn wait_applied(&self, limit: Duration) -> bool {
        let last = self.log.durable_end().0.saturating_sub(1);
        self.apply.wait_applied(last, limit).await
    }
}

fn parse_now(text: &str) -> Option<i64> {
    let instant = || text.parse::<jiff::Timestamp>().ok().map(|at| at.as_millisecond());
    text.parse().ok().or_else(instant)
}

/// The machine's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| jiff::Timestamp::now().as_millisecond())
}
