//! HTTP: collection, API, log-in, OpenAPI, embedded tracker and dashboard. No SQL.
#![forbid(unsafe_code)]

pub mod config;

use std::sync::Arc;

use cairn_catalog::{Catalog, DirectoryCell};
use cairn_store::EventStore;
use http::HeaderMap;

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
    /// Settings of the server.
    pub config: ServerConfig,
    /// The time.
    pub clock: Clock,
}

impl App {
    /// The time of a request, Unix milliseconds. The header `Cairn-Now` (RFC 3339 or milliseconds) decides only under the test clock.
    pub fn now_ms(&self, headers: &HeaderMap) -> i64 {
        let told = self.config.test_clock.then(|| headers.get("cairn-now")).flatten();
        told.and_then(|value| parse_now(value.to_str().ok()?)).unwrap_or_else(|| (self.clock)())
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
