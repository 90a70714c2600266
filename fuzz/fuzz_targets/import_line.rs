//! Import: any line becomes a record that reads back, or is refused.
#![no_main]

use std::sync::{Arc, OnceLock};

use cairn_catalog::{Catalog, NewPixel, NewSite, PixelEntry};
use cairn_engine::ingest::Ingest;
use cairn_engine::ingest::import::Importer;
use cairn_engine::record;
use cairn_enrich::Enricher;
use cairn_enrich::network::Network;
use cairn_model::PixelKind;
use libfuzzer_sys::fuzz_target;

const NOW_MS: i64 = 1_795_341_600_000;

fn shop() -> &'static (Ingest, Arc<PixelEntry>) {
    static SHOP: OnceLock<(Ingest, Arc<PixelEntry>)> = OnceLock::new();
    SHOP.get_or_init(|| {
        let directory = tempfile::TempDir::new().unwrap();
        let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
        let site = NewSite { timezone: "Europe/Berlin".into(), ..NewSite::of("shop.example") };
        let site = catalog.add_site(&site, None, NOW_MS).unwrap();
        let pixel = NewPixel {
            site_id: site.id,
            name: "Pages".into(),
            kind: PixelKind::Web,
            url: String::new(),
            settings: Default::default(),
            cross_site_cookies: Default::default(),
        };
        let key = catalog.add_pixel(&pixel, NOW_MS).unwrap().key;
        let entry = catalog.directory().current().by_key(&key).unwrap();
        let enricher = Arc::new(Enricher::new(Network::empty()));
        (Ingest::new(enricher, catalog.master_secret(), 1_860_000), entry)
    })
}

fuzz_target!(|data: &[u8]| {
    let (ingest, entry) = shop();
    let importer = Importer::new(ingest, &entry.site, NOW_MS);
    let (bytes, taken) = importer.line(1, data, Vec::new());
    if let Ok(true) = taken {
        let event = record::decode(&bytes).unwrap();
        assert!(!event.name.is_empty());
    }
});
