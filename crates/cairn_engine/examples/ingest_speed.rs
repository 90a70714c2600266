//! How long one hit takes from its query to its record, without HTTP and disk: by step, one thread.
//!
//! `cargo run --release -p cairn_engine --example ingest_speed`
#![allow(clippy::print_stdout)] // Printing is what it is for.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use cairn_catalog::{Catalog, NewPixel, NewSite, PixelEntry};
use cairn_engine::ingest::consent::SentConsent;
use cairn_engine::ingest::enrich::AgentFacts;
use cairn_engine::ingest::fields::{Sender, event};
use cairn_engine::ingest::formats::{Request, Terms, segment};
use cairn_engine::ingest::json::Raw;
use cairn_engine::ingest::{Common, Hit, Ingest, Telling, envelope, query};
use cairn_engine::record;
use cairn_enrich::network::Network;
use cairn_enrich::{Address, Enricher};
use cairn_model::PixelKind;

const ROUNDS: u32 = 200_000;
const NOW_MS: i64 = 1_795_341_600_000;
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const QUERY: &str = "key=px_0123456789abcdefghjk&event=page_view&title=Winter+boots\
    &url=https%3A%2F%2Fshop.example%2Fproducts%2Fwinter-boots%3Futm_source%3Dnewsletter%26utm_medium%3Demail\
    &event_id=5e3a4c1e-8d5b-4f0e-a9a7-2f6a1b3c4d5e&screen=1440x900&language=de-DE";
const BODY: &str = r#"{"key":"px_0123456789abcdefghjk","events":[{"event_id":"5e3a4c1e-8d5b-4f0e-a9a7-2f6a1b3c4d5e","timestamp":"2026-11-22T09:59:59.123Z","url":"https://shop.example/products/winter-boots?utm_source=newsletter&utm_medium=email","referrer":"https://www.google.com/","event":"page_view","title":"Winter boots"}],"screen":"1440x900","language":"de-DE","timezone":"Europe/Berlin"}"#;

const MESSAGE: &str = r#"{"timestamp":"2026-11-22T09:59:59.123Z","type":"track","event":"Product Added","userId":"u-123","anonymousId":"e14fe476-99af-4969-b379-7a860bbb2389","messageId":"ajs-next-1795360485187-99afe969-3379-4a86-8bbb-23897266d092","properties":{"product_id":"SKU-1","price":19.99,"quantity":2,"currency":"EUR"},"context":{"page":{"path":"/","referrer":"https://www.google.com/","search":"?utm_source=newsletter&utm_medium=email","title":"Winter boots","url":"https://shop.example/products/winter-boots?utm_source=newsletter&utm_medium=email"},"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36","locale":"de-DE","library":{"name":"analytics.js","version":"next-1.84.3"},"campaign":{"source":"newsletter","medium":"email"},"timezone":"UTC"},"sentAt":"2026-11-22T09:59:59.223Z"}"#;

fn main() {
    let directory = std::env::temp_dir().join(format!("cairn-ingest-speed-{}", std::process::id()));
    let result = run(&directory);
    let _ = std::fs::remove_dir_all(&directory);
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn run(directory: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(directory)?;
    let catalog = Catalog::open(&directory.join("catalog.sqlite"))?;
    let entry = shop(&catalog)?;
    let enricher = Arc::new(Enricher::new(Network::empty()));
    let ingest = Ingest::new(enricher, catalog.master_secret(), 31 * 60_000);
    let hit = Hit {
        address: Address::new("203.0.113.9".parse()?),
        agent: AgentFacts { user_agent: AGENT, ..AgentFacts::default() },
        accept_language: "de-DE,de;q=0.9",
        origin: "https://shop.example",
        referer: "https://shop.example/",
        cross_site: false,
        gpc: false,
        cookies: "",
        secure: true,
        received_at_ms: NOW_MS,
    };
    measure("decode the image's query", || {
        let _ = black_box(query::image(black_box(QUERY), ""));
    });
    measure("decode the body of one event", || {
        let Ok(envelope) = envelope::envelope(black_box(BODY).as_bytes()) else { return };
        let _ = black_box(event(Raw(envelope.events[0].0), Sender::Public));
    });
    measure("decode one of Segment's messages", || {
        let request = Request {
            path: "/v1/track",
            user_name: "px_0123456789abcdefghjk",
            body: black_box(MESSAGE).as_bytes(),
            ..Request::default()
        };
        let terms = Terms { kind: PixelKind::Web, currency: "EUR", received_at_ms: NOW_MS };
        let Ok(opened) = segment::open(&request) else { return };
        let _ = black_box(opened.events.event(0, &terms));
    });
    measure("judge (gate, anonymous)", || {
        black_box(ingest.admit(&hit, &entry, SentConsent::Nothing, Telling::default()));
    });
    let mut record = Vec::new();
    measure("query to record, all together", || {
        let Ok(read) = query::image(black_box(QUERY), "") else { return };
        let mut admission = ingest.admit(&hit, &entry, read.consent, Telling::default());
        let mut buffer = std::mem::take(&mut record);
        buffer.clear();
        record = admission.take(read.event, Common::default(), buffer).0;
    });
    measure("decode the record", || {
        let _ = black_box(record::decode(black_box(&record)));
    });
    println!("the record has {} bytes", record.len());
    Ok(())
}

fn shop(catalog: &Catalog) -> Result<Arc<PixelEntry>, Box<dyn std::error::Error>> {
    let site = NewSite { timezone: "Europe/Berlin".into(), ..NewSite::of("shop.example") };
    let site = catalog.add_site(&site, None, NOW_MS)?;
    let pixel = NewPixel {
        site_id: site.id,
        name: "Pages".into(),
        kind: PixelKind::Web,
        url: String::new(),
        settings: Default::default(),
        cross_site_cookies: Default::default(),
    };
    let key = catalog.add_pixel(&pixel, NOW_MS)?.key;
    catalog.directory().current().by_key(&key).ok_or_else(|| "the pixel is missing".into())
}

/// The best of several runs: what the code costs when the machine lets it.
fn measure(name: &str, mut step: impl FnMut()) {
    let mut best_ns = f64::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        for _ in 0..ROUNDS / 7 {
            step();
        }
        let each = start.elapsed().as_nanos() as f64 / f64::from(ROUNDS / 7);
        best_ns = best_ns.min(each);
    }
    println!("{name:32} {best_ns:7.0} ns");
}
