//! Tests of the pipeline as a whole, and of what only tables can show.

mod consent_table;
mod decoders;
mod permissions;
mod pipeline;
mod privacy_page;
mod proofs;
mod segment;
mod segment_captures;
mod visitors;

use std::sync::Arc;

use cairn_catalog::{Catalog, NewPixel, NewSite, PixelEntry};
use cairn_enrich::network::Network;
use cairn_enrich::{Address, Enricher};
use cairn_model::{CrossSiteCookies, Event, PixelKind, PrivacySettings};
use tempfile::TempDir;

use super::enrich::AgentFacts;
use super::{Hit, Ingest};

pub const NOW_MS: i64 = 1_795_341_600_000;
pub const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
pub const TIMEOUT_MS: i64 = 31 * 60 * 1000;

/// A site with one pixel, in a catalog of its own.
pub struct Shop {
    pub catalog: Catalog,
    pub ingest: Ingest,
    pub entry: Arc<PixelEntry>,
    _directory: TempDir,
}

impl Shop {
    pub fn new(privacy: PrivacySettings, kind: PixelKind) -> Self {
        let directory = TempDir::new().unwrap();
        let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
        let site = NewSite {
            hosts: vec!["partner.example".into()],
            timezone: "Europe/Berlin".into(),
            privacy,
            ..NewSite::of("shop.example")
        };
        let site = catalog.add_site(&site, None, NOW_MS).unwrap();
        let pixel = NewPixel {
            site_id: site.id,
            name: "Pages".into(),
            kind,
            url: String::new(),
            settings: Default::default(),
            cross_site_cookies: Default::default(),
        };
        let key = catalog.add_pixel(&pixel, NOW_MS).unwrap().key;
        let entry = catalog.directory().current().by_key(&key).unwrap();
        let enricher = Arc::new(Enricher::new(Network::empty()));
        let ingest = Ingest::new(enricher, catalog.master_secret(), TIMEOUT_MS);
        Shop { catalog, ingest, entry, _directory: directory }
    }

    /// The same with cookies on the owner's pages of other sites.
    pub fn with_cookies(mut self, kind: CrossSiteCookies) -> Self {
        let mut pixel = self.entry.pixel.clone();
        pixel.cross_site_cookies = kind;
        assert!(self.catalog.update_pixel(&pixel).unwrap());
        self.refresh();
        self
    }

    /// The pixel as it is after a change of settings.
    pub fn refresh(&mut self) {
        let key = &self.entry.pixel.key;
        let entry = self.catalog.directory().current().by_key(key).unwrap();
        self.entry = entry;
    }
}

pub fn hit<'a>() -> Hit<'a> {
    Hit {
        address: Address::new("203.0.113.9".parse().unwrap()),
        agent: AgentFacts { user_agent: AGENT, ..AgentFacts::default() },
        accept_language: "de-CH,de;q=0.9",
        origin: "https://shop.example",
        referer: "",
        cross_site: false,
        gpc: false,
        cookies: "",
        secure: true,
        received_at_ms: NOW_MS,
    }
}

/// Every text of an event in one, to look for what must not be there.
pub fn everything(event: &Event<'_>) -> String {
    serde_json::to_string(event).unwrap()
}
