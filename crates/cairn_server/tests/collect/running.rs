//! A server with everything behind it, in this process.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use cairn_catalog::{Catalog, NewPixel, NewSite};
use cairn_engine::apply::{ApplyError, ApplyLoop, ApplyOptions};
use cairn_engine::backup::{BackupOptions, Backups, Sources};
use cairn_engine::ingest::Ingest;
use cairn_engine::outcomes::{OutcomeCounters, Totals};
use cairn_engine::record;
use cairn_enrich::Enricher;
use cairn_enrich::network::Network as Databases;
use cairn_log::{Log, LogOptions, Offset, RealDisk};
use cairn_model::{CrossSiteCookies, Event, Outcome, PixelKind, Policy, PrivacySettings, SiteId};
use cairn_server::listen::{self, Bound, ListenOptions, Server};
use cairn_server::{App, Network, ServerConfig};
use cairn_store::EventStore;
use cairn_store::event_ids::EventIds;
use cairn_store::reference::ReferenceStore;
use tempfile::TempDir;

use crate::client::Client;

/// The time that every request is given unless it says otherwise.
pub const NOW_MS: i64 = 1_795_341_600_000;

pub struct Running {
    pub app: Arc<App>,
    server: Option<Server>,
    apply: Option<JoinHandle<Result<(), ApplyError>>>,
    /// The loop that applies waits for it.
    begin: Option<Sender<()>>,
    directory: TempDir,
}

/// A site's settings, and where it is.
pub struct Site {
    pub domain: &'static str,
    pub policy: Policy,
    pub cross_site_cookies: CrossSiteCookies,
    pub kind: PixelKind,
}

pub const SHOP: Site = Site {
    domain: "shop.example",
    policy: Policy::OptIn,
    cross_site_cookies: CrossSiteCookies::None,
    kind: PixelKind::Web,
};

impl Running {
    pub fn start() -> Running {
        Running::with(|_| {})
    }

    /// With other bounds.
    pub fn with(change: impl FnOnce(&mut ListenOptions)) -> Running {
        let mut running = Running::lagging(change);
        running.apply();
        running
    }

    /// Begins to apply what came in.
    pub fn apply(&mut self) {
        drop(self.begin.take());
    }

    /// One that takes hits and applies nothing yet.
    pub fn lagging(change: impl FnOnce(&mut ListenOptions)) -> Running {
        Running::open(TempDir::new().unwrap(), Arc::new(ReferenceStore::new()), change)
    }

    /// The process ends here, and another one begins.
    pub fn restarted(mut self) -> Running {
        self.stop();
        let store = Arc::clone(&self.app.store);
        let directory = std::mem::replace(&mut self.directory, TempDir::new().unwrap());
        drop(self);
        Running::open(directory, store, |_| {})
    }

    fn open(
        directory: TempDir,
        store: Arc<dyn EventStore>,
        change: impl FnOnce(&mut ListenOptions),
    ) -> Running {
        let path = |name: &str| directory.path().join(name);
        let catalog = Arc::new(Catalog::open(&path("catalog.sqlite")).unwrap());
        let ids = Arc::new(EventIds::open(&path("ids"), &*store).unwrap());
        let (log, _) = Log::open(LogOptions::new(path("log")), Arc::new(RealDisk)).unwrap();
        let (apply, handle) = ApplyLoop::open(
            log.clone(),
            Arc::clone(&store),
            Arc::clone(&catalog),
            Arc::clone(&ids),
            // Tests read the log, of which retention has it let go.
            ApplyOptions { is_retention_on: false, ..ApplyOptions::default() },
            || NOW_MS,
        )
        .unwrap();
        let enricher = Arc::new(Enricher::new(Databases::empty()));
        let ingest = Ingest::new(enricher, catalog.master_secret(), 31 * 60_000).knowing(ids);
        let loopback = Network { address: [127, 0, 0, 1].into(), prefix_bits: 8 };
        let copied = Arc::clone(&store);
        let sources = Sources {
            apply: handle.clone(),
            log: log.clone(),
            catalog: Arc::clone(&catalog),
            store: Arc::clone(&store),
            open_store: Arc::new(move |_| Ok(Arc::clone(&copied))),
        };
        let backups = BackupOptions {
            directory: path("backups"),
            count_max: 1,
            age_days_max: 1,
            rewrite_wait_max: Duration::ZERO,
        };
        let backups = Arc::new(Backups::open(backups, sources, NOW_MS).unwrap());
        let app = Arc::new(App {
            directory: catalog.directory(),
            catalog,
            store,
            log,
            apply: handle,
            backups,
            ingest: Arc::new(ingest),
            counters: Arc::new(OutcomeCounters::default()),
            auth: cairn_server::auth::AuthState::new().unwrap(),
            live_places: Default::default(),
            live_tests: Default::default(),
            limits: Default::default(),
            outgoing: Default::default(),
            requests: Default::default(),
            config: ServerConfig {
                test_clock: true,
                trusted_proxies: vec![loopback],
                ..ServerConfig::default()
            },
            clock: Arc::new(|| NOW_MS),
        });
        let bound = Bound::to(([127, 0, 0, 1], 0).into()).unwrap();
        let mut options = ListenOptions { threads: 2, ..ListenOptions::default() };
        change(&mut options);
        let router = cairn_server::api::router(Arc::clone(&app));
        let server = listen::serve(Arc::clone(&app), router, bound, options).unwrap();
        let (begin, begun) = std::sync::mpsc::channel::<()>();
        let apply = std::thread::spawn(move || {
            // Nothing is ever sent: it ends with its sender.
            let _ = begun.recv();
            apply.run()
        });
        Running { app, server: Some(server), apply: Some(apply), begin: Some(begin), directory }
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.server.as_ref().unwrap().address()
    }

    pub fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// A new site with one pixel: the pixel's key.
    pub fn site(&self, site: &Site) -> String {
        let new = NewSite {
            timezone: "Europe/Berlin".to_owned(),
            privacy: PrivacySettings { policy: site.policy, ..PrivacySettings::default() },
            ..NewSite::of(site.domain)
        };
        let made = self.app.catalog.add_site(&new, None, NOW_MS).unwrap();
        let pixel = NewPixel {
            site_id: made.id,
            name: "Pixel".to_owned(),
            kind: site.kind,
            url: String::new(),
            settings: Default::default(),
            cross_site_cookies: site.cross_site_cookies,
        };
        self.app.catalog.add_pixel(&pixel, NOW_MS).unwrap().key
    }

    /// Every event in the log, in order.
    pub fn events(&self) -> Vec<Event<'static>> {
        let mut reader = self.app.log.reader(Offset(1));
        let mut events = Vec::new();
        loop {
            let batch = reader.next_batch(1 << 20).unwrap();
            if batch.is_empty() {
                return events;
            }
            let is_event = |bytes| !record::is_choice(bytes) && !record::is_refusal(bytes);
            let records = batch.iter().filter(|(_, bytes)| is_event(bytes));
            events.extend(records.map(|(_, bytes)| {
                // Owned by way of a leak: the test's process is short.
                record::decode(Box::leak(bytes.to_vec().into_boxed_slice())).unwrap()
            }));
        }
    }

    /// Waits until everything acknowledged is in the store.
    pub fn wait_applied(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert!(runtime.block_on(self.app.wait_applied(Duration::from_secs(60))));
    }

    /// Waits until every erasure of a site is done.
    pub fn wait_erased(&self, site: SiteId) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for erasure in self.app.catalog.erasures(site, None, 100).unwrap() {
            let limit = Duration::from_secs(60);
            assert!(runtime.block_on(self.app.apply.wait_erased(erasure.id, limit)));
        }
    }

    /// Whether any file of the data directory has these bytes.
    pub fn files_hold(&self, text: &str) -> bool {
        let mut directories = vec![self.directory.path().to_owned()];
        let mut holds = false;
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let bytes = match std::fs::read(&path) {
                    Ok(bytes) => bytes,
                    // It was replaced by one that is read, too.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => panic!("{}: {error}", path.display()),
                };
                holds |= String::from_utf8_lossy(&bytes).contains(text);
            }
        }
        holds
    }

    pub fn last_event(&self) -> Event<'static> {
        self.events().pop().unwrap()
    }

    /// How many events ended this way.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.app.counters.totals().outcomes[outcome as usize]
    }

    /// Received = Σ outcomes, and the log holds what was accepted.
    pub fn assert_conserved(&self) -> Totals {
        let totals = self.app.counters.totals();
        assert_eq!(totals.received, totals.outcomes.iter().sum::<u64>(), "{totals:?}");
        assert_eq!(totals.unsettled, 0);
        let kept = self.events().len() as u64;
        assert_eq!(kept, self.count(Outcome::Accepted), "{totals:?}");
        totals
    }

    /// What the log takes from now on is not applied.
    pub fn stop_applying(&mut self) {
        self.app.apply.stop();
        self.apply.take().unwrap().join().unwrap().unwrap();
    }

    /// Stops the listener, as a signal does.
    pub fn stop_listening(&mut self) {
        self.server.take().unwrap().stop();
    }

    fn stop(&mut self) {
        drop((self.server.take(), self.begin.take()));
        self.app.log.close();
        self.app.apply.stop();
        let Some(apply) = self.apply.take() else { return };
        let ended = apply.join();
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits for something that another thread is about to do.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "never happened: {what}");
        std::thread::yield_now();
    }
}
