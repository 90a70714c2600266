//! Builds the parts in order, and takes them down in reverse.
//!
//! Start: data directory, catalog, store, event ids, log, apply loop, listener. Stop: no new connections, open requests
//! end, the log makes everything durable, the apply loop applies it, the databases close.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use cairn_catalog::{CATALOG_FILE, Catalog, CatalogError, LinkPurpose};
use cairn_engine::apply::{ApplyError, ApplyHandle, ApplyLoop, ApplyOptions};
use cairn_engine::backup::{
    BACKUPS_DIRECTORY, BackupOptions, Backups, OpenStore, STORE_DIRECTORY, Sources,
};
use cairn_engine::ingest::Ingest;
use cairn_engine::ingest::visitor::IdentityKeys;
use cairn_engine::outcomes::OutcomeCounters;
use cairn_engine::rollup::RollingUp;
use cairn_engine::session::SessionOptions;
use cairn_enrich::Enricher;
use cairn_enrich::network::Network as AddressDatabases;
use cairn_log::{Log, LogOptions, Offset, RealDisk};
use cairn_model::retention::DataClass;
use cairn_server::collect::RateLimit;
use cairn_server::config::BOOTSTRAP_TOKEN_SIZE_BYTES_MIN;
use cairn_server::listen::{self, Bound, ListenOptions};
use cairn_server::{App, Network, Secret, ServerConfig};
use cairn_store::EventStore;
use cairn_store::duckdb::{DuckOptions, DuckStore};
use cairn_store::event_ids::EventIds;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Failure;
use crate::config::{Backup as BackupConfig, Config};
use crate::data_directory::DataDirectory;
use crate::{demo, money, outgoing};

/// Variable of the bearer token for scripted set-up.
const BOOTSTRAP_TOKEN: &str = "CAIRN_BOOTSTRAP_TOKEN";
/// A set-up link works this long.
const SETUP_LINK_AGE_MS: i64 = 24 * 60 * 60 * 1000;
/// Pause between two writes of the edge's outcome counts: what a crash may lose of them.
const COUNTERS_INTERVAL: Duration = Duration::from_secs(1);
/// Pause between two looks for memories that have expired: so long they are on disk at most, though nobody is told them.
const MEMORY_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Rounds of removal in one look; what is left waits for the next one.
const MEMORY_ROUNDS_MAX: usize = 100;

/// Pause between two publications of where the chains of receipts end; old receipts expire then, too.
const RECEIPTS_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Pause between two looks whether a backup is due, or has somebody who was erased, or is too old.
const BACKUP_INTERVAL: Duration = Duration::from_secs(5);

/// Everything that runs beneath the server.
pub struct Parts {
    _directory: DataDirectory,
    /// Copies of everything.
    pub backups: Arc<Backups>,
    /// Settings and people.
    pub catalog: Arc<Catalog>,
    /// Events.
    pub store: Arc<dyn EventStore>,
    /// The durable log.
    pub log: Log,
    /// The loop between the two.
    pub apply: ApplyHandle,
    apply_thread: JoinHandle<Result<(), ApplyError>>,
    /// From hits to events.
    pub ingest: Arc<Ingest>,
}

/// Runs the server until SIGTERM or SIGINT.
pub fn serve(config: &Config, demo: bool) -> Result<(), Failure> {
    let mut server = server_config(config)?;
    let parts = open(config)?;
    // The keys of anonymous visitors live in memory only: from here on they are others.
    parts.catalog.add_start(now_ms())?;
    take_rates(config, &parts.catalog);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if demo {
        runtime.block_on(prepare_demo(&parts, server.listen))?;
        server.demo_pixel_key = demo::pixel_key(&parts.catalog);
    }
    let bound = Bound::to(server.listen)?;
    server.listen = bound.address();
    let counters = Arc::new(OutcomeCounters::default());
    let outgoing = outgoing::open(config)?;
    let app = Arc::new(App {
        directory: parts.catalog.directory(),
        catalog: Arc::clone(&parts.catalog),
        store: Arc::clone(&parts.store),
        log: parts.log.clone(),
        apply: parts.apply.clone(),
        backups: Arc::clone(&parts.backups),
        ingest: Arc::clone(&parts.ingest),
        counters: Arc::clone(&counters),
        auth: cairn_server::auth::AuthState::new().map_err(|error| error.message)?,
        live_places: Default::default(),
        live_tests: Default::default(),
        limits: Default::default(),
        outgoing,
        requests: Default::default(),
        config: server.clone(),
        clock: cairn_server::system_clock(),
    });
    let router = cairn_server::api::router(Arc::clone(&app));
    let running = listen::serve(Arc::clone(&app), router, bound, listen_options(config, &server))?;
    cairn_store::duckdb::release_code_pages();
    // Heard before anybody knows that it runs: who stops it at once stops it in order.
    let signals = {
        let _inside = runtime.enter();
        stop_signals()
    };
    announce(&parts, &server, running.address(), demo)?;
    let backup_every_ms = i64::from(config.backup.every_hours) * 60 * 60 * 1000;
    let keeping = keep_backups(&parts.backups, backup_every_ms)?;
    let keeper = keeping.thread().clone();
    parts.apply.on_backups_wanted(move || keeper.unpark());
    let stop_rolling = Arc::new(AtomicBool::new(false));
    // Under the test clock events arrive in days of their own.
    let rolling = match server.test_clock {
        true => None,
        false => Some(roll_up(&parts, config.store.rollup_events_min, &stop_rolling)?),
    };
    let sending = runtime.spawn(outgoing::keep_sending(Arc::clone(&app)));
    runtime.block_on(run(&parts, &counters, server.test_clock, signals));
    // What is under way counts as an attempt, and is tried again after the next start.
    sending.abort();
    tracing::info!("stopping");
    stop_rolling.store(true, Ordering::Relaxed);
    if let Some(rolling) = rolling {
        rolling.thread().unpark();
        if rolling.join().is_err() {
            tracing::error!("the thread that sums up ended unexpectedly");
        }
    }
    parts.backups.stop();
    keeping.thread().unpark();
    if keeping.join().is_err() {
        tracing::error!("the thread of the backups ended unexpectedly");
    }
    // Live views never end by themselves, and stopping waits for open requests.
    app.live_places.end();
    drop(app);
    running.stop();
    write_counters(&parts, &counters);
    close(parts)
}

/// Until a signal comes: the counts of refused hits go to the catalog, expired anonymous keys are destroyed, receipts are
/// looked after, and what was to be remembered until now is removed.
async fn run(
    parts: &Parts,
    counters: &Arc<OutcomeCounters>,
    test_clock: bool,
    signals: Option<[Signal; 2]>,
) {
    let mut tick = tokio::time::interval(COUNTERS_INTERVAL);
    let mut receipts = tokio::time::interval(RECEIPTS_INTERVAL);
    let mut memory_tick = tokio::time::interval(MEMORY_INTERVAL);
    let stop = stopped(signals);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            _ = receipts.tick() => tend_receipts(&parts.catalog, test_clock),
            _ = tick.tick() => {
                write_counters(parts, counters);
                // Under the test clock requests live in days of their own.
                if !test_clock {
                    parts.ingest.anonymous_keys().destroy_expired(now_ms());
                }
            }
            // Under the test clock requests live in days of their own.
            _ = memory_tick.tick(), if !test_clock => expire_memory(parts).await,
        }
    }
}

/// Removes expired memories on a thread of its own, since there may be many; then also from the journal. What cannot be
/// removed now is not answered any more, and is tried again with the next tick.
async fn expire_memory(parts: &Parts) {
    let catalog = Arc::clone(&parts.catalog);
    let removed = tokio::task::spawn_blocking(move || {
        let mut removed = 0;
        for _ in 0..MEMORY_ROUNDS_MAX {
            match catalog.expire_memory(now_ms())? {
                0 => break,
                some => removed += some,
            }
        }
        catalog.note_retention(None, &[(DataClass::Memory, removed as u64)], now_ms())?;
        if removed > 0 {
            catalog.checkpoint()?;
        }
        Ok::<_, CatalogError>(removed)
    });
    match removed.await {
        Ok(Ok(0)) | Err(_) => {}
        Ok(Ok(removed)) => tracing::info!(removed, "expired memories are gone"),
        Ok(Err(error)) => tracing::warn!(%error, "expired memories wait for the catalog"),
    }
}

/// Makes a backup when one is due, erases in those that there are, and removes those that are too old, on a thread of its own.
/// What is under way when the server stops is broken off, and completed by the next start.
fn keep_backups(backups: &Arc<Backups>, every_ms: i64) -> std::io::Result<JoinHandle<()>> {
    let backups = Arc::clone(backups);
    let keep = move || {
        while !backups.is_stopping() {
            let now_ms = now_ms();
            if every_ms > 0 && backups.is_due(every_ms, now_ms) {
                // What became of it is in the log, and the API tells it.
                let _ = backups.make(now_ms);
            }
            backups.tend(now_ms);
            std::thread::park_timeout(BACKUP_INTERVAL);
        }
    };
    std::thread::Builder::new().name("backups".to_owned()).spawn(keep)
}

/// Sums up stretches of time that are over, on a thread of its own.
fn roll_up(
    parts: &Parts,
    events_min: u64,
    stop: &Arc<AtomicBool>,
) -> std::io::Result<JoinHandle<()>> {
    let (store, catalog) = (Arc::clone(&parts.store), Arc::clone(&parts.catalog));
    let rolling = RollingUp::new(store, catalog, events_min, Arc::clone(stop));
    std::thread::Builder::new().name("rollups".to_owned()).spawn(move || rolling.run(now_ms))
}

/// Brings the edge's counts to disk; what cannot be written now is kept for the next time.
fn write_counters(parts: &Parts, counters: &OutcomeCounters) {
    if let Err(error) = counters.store(&parts.catalog) {
        tracing::warn!(%error, "outcome counts wait for the catalog");
    }
}

/// Lets old receipts go, and says where the chains end: whoever keeps the log elsewhere can tell if they are changed.
fn tend_receipts(catalog: &Catalog, test_clock: bool) {
    // Under the test clock receipts have times of their own.
    let expired = if test_clock { Ok(0) } else { catalog.expire_receipts(now_ms()) };
    let told = expired.and_then(|removed| {
        if !test_clock {
            catalog.note_retention(None, &[(DataClass::Receipts, removed as u64)], now_ms())?;
        }
        catalog.receipt_heads()
    });
    match told {
        Err(error) => tracing::warn!(%error, "receipts are not looked after until tomorrow"),
        Ok(heads) => {
            for (site, head) in heads {
                let hash = cairn_catalog::hex(&head.hash);
                tracing::info!("receipts end at {site}:{}:{hash}", head.sequence);
            }
        }
    }
}

/// Opens the databases and starts the apply loop.
pub fn open(config: &Config) -> Result<Parts, Failure> {
    let directory = DataDirectory::take(&config.data.directory)?;
    let catalog = Arc::new(Catalog::open(&directory.join(CATALOG_FILE))?);
    let store = open_store(config, &directory, &catalog)?;
    let event_ids = Arc::new(EventIds::open(&directory.join("event-ids"), &*store)?);
    let watermark = store.watermark()?;
    let log = LogOptions {
        segment_size_bytes: config.log.segment_size_bytes,
        size_bytes_max: config.log.size_bytes_max,
        consumed_before: Offset(watermark.offset + 1),
        ..LogOptions::new(directory.join("log"))
    };
    let (log, recovery) = Log::open(log, Arc::new(RealDisk))?;
    tracing::info!(?recovery, stored = watermark.offset, "the log is open");
    let sessions = SessionOptions {
        timeout_minutes: config.sessions.timeout_minutes,
        in_memory_max: config.sessions.in_memory_max,
    };
    let rewrite_hours_max = config.privacy.erasure_rewrite_hours_max;
    let options = ApplyOptions {
        sessions,
        commit_interval: Duration::from_millis(config.apply.commit_interval_ms),
        checkpoint_interval: Duration::from_secs(config.apply.checkpoint_interval_seconds),
        // Under the test clock events arrive in days of their own.
        has_backups: true,
        is_retention_on: !config.server.test_clock,
        rewrite_wait_max: Duration::from_secs(rewrite_hours_max * 60 * 60),
        ..ApplyOptions::default()
    };
    let (apply_loop, apply) = ApplyLoop::open(
        log.clone(),
        Arc::clone(&store),
        Arc::clone(&catalog),
        Arc::clone(&event_ids),
        options,
        now_ms,
    )?;
    let sources = Sources {
        apply: apply.clone(),
        log: log.clone(),
        catalog: Arc::clone(&catalog),
        store: Arc::clone(&store),
        open_store: open_copy(config)?,
    };
    // Before the loop runs: it forgets removed sites when they are gone.
    let backups = Arc::new(Backups::open(backup_options(config), sources, now_ms())?);
    let apply_thread =
        std::thread::Builder::new().name("apply".to_owned()).spawn(move || apply_loop.run())?;
    let databases: Vec<PathBuf> =
        config.enrich.databases.iter().cloned().chain(directory.databases()).collect();
    let enricher = Arc::new(Enricher::new(AddressDatabases::open(&databases)?));
    let timeout_ms = sessions.reach_ms();
    let ingest = Ingest::new(enricher, catalog.master_secret(), timeout_ms).knowing(event_ids);
    let ingest = Arc::new(ingest);
    Ok(Parts { _directory: directory, backups, catalog, store, log, apply, apply_thread, ingest })
}

/// Where backups are: in a directory of their own, or with everything else.
pub fn backup_options(config: &Config) -> BackupOptions {
    let given = &config.backup.directory;
    let directory = match given.as_os_str().is_empty() {
        true => config.data.directory.join(BACKUPS_DIRECTORY),
        false => given.clone(),
    };
    let BackupConfig { count_max, age_days_max, erasure_rewrite_hours_max, .. } = config.backup;
    let rewrite_wait_max = Duration::from_secs(erasure_rewrite_hours_max * 60 * 60);
    BackupOptions { directory, count_max, age_days_max, rewrite_wait_max }
}

/// Opens the store of a backup beside the one that is served: to erase there takes the same memory.
pub fn open_copy(config: &Config) -> Result<OpenStore, Failure> {
    let memory_limit_mb = u32::try_from(config.store.memory_size_bytes_max / 1_000_000)?;
    Ok(Arc::new(move |directory| {
        let options = DuckOptions { memory_limit_mb, threads: 1, ..DuckOptions::default() };
        Ok(Arc::new(DuckStore::open(directory, options)?))
    }))
}

fn open_store(
    config: &Config,
    directory: &DataDirectory,
    catalog: &Catalog,
) -> Result<Arc<dyn EventStore>, Failure> {
    let keys = IdentityKeys::new(catalog.master_secret());
    let options = DuckOptions {
        memory_limit_mb: u32::try_from(config.store.memory_size_bytes_max / 1_000_000)?,
        threads: u32::try_from(threads(config.store.threads))?,
        event_key_of: Some(Arc::new(move |site, id| keys.of_event(site, id))),
        question_time_max: Duration::from_secs(config.store.question_seconds_max),
        ..DuckOptions::default()
    };
    Ok(Arc::new(DuckStore::open(&directory.join(STORE_DIRECTORY), options)?))
}

/// Takes everything down; what was acknowledged is in the store afterwards.
pub fn close(parts: Parts) -> Result<(), Failure> {
    parts.log.close();
    parts.apply.stop();
    match parts.apply_thread.join() {
        // Nothing is lost: the next start applies it.
        Ok(Err(error @ ApplyError::StoppedWhileFailing { .. })) => {
            tracing::warn!(%error, "stopped while a database failed");
        }
        Ok(applied) => applied?,
        Err(_) => {
            return Err("the apply loop panicked; what it did not apply waits in the log".into());
        }
    }
    tend_receipts(&parts.catalog, true);
    // Only its place would change: what the catalog holds is durable in its write-ahead file.
    if let Err(error) = parts.catalog.checkpoint() {
        tracing::warn!(%error, "the catalog keeps its write-ahead file");
    }
    Ok(())
}

/// Reads the rates that the configuration names. Reports are worth more than a file: a faulty one is told, and those that are
/// known stay.
fn take_rates(config: &Config, catalog: &Catalog) {
    let path = &config.money.rates;
    if path.as_os_str().is_empty() {
        return;
    }
    match money::take_rates(catalog, path, &config.money.rates_base) {
        Ok((stored, _)) => tracing::info!(added = stored.added, "exchange rates are read"),
        Err(error) => tracing::error!(%error, "no exchange rates are read"),
    }
}

/// What the server needs of the configuration, checked.
pub fn server_config(config: &Config) -> Result<ServerConfig, Failure> {
    let listen = resolve(&config.server.listen)?;
    let trusted = config.server.trusted_proxies.iter().map(|text| network(text));
    Ok(ServerConfig {
        listen,
        public_url: some(&config.server.public_url),
        admin_origin: some(&config.server.admin_origin),
        trusted_proxies: trusted.collect::<Result<_, _>>()?,
        test_clock: config.server.test_clock,
        bootstrap_token: bootstrap_token()?,
        privacy_default: config.privacy.settings(),
        threads: threads(config.server.threads),
        rate_age_days_max: config.money.rate_age_days_max,
        ..ServerConfig::default()
    })
}

fn listen_options(config: &Config, server: &ServerConfig) -> ListenOptions {
    ListenOptions {
        threads: server.threads,
        connections_max: config.server.connections_max,
        rate_limit: RateLimit {
            hits_per_minute_max: config.server.hits_per_minute_max,
            ..RateLimit::default()
        },
        ..ListenOptions::default()
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn threads(wanted: usize) -> usize {
    if wanted > 0 { wanted } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

/// An address to listen on; names are looked up once.
fn resolve(text: &str) -> Result<SocketAddr, Failure> {
    use std::net::ToSocketAddrs;
    let wrong = || format!("setting `server.listen`: \"{text}\" is no HOST:PORT");
    text.to_socket_addrs().map_err(|_| wrong())?.next().ok_or_else(|| wrong().into())
}

/// A proxy: an address, or a network as `10.0.0.0/8`.
fn network(text: &str) -> Result<Network, Failure> {
    let wrong = || format!("setting `server.trusted_proxies`: \"{text}\" is no address or network");
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix_bits = match bits {
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
        None => most,
    };
    Ok(Network { address, prefix_bits })
}

/// The token for scripted set-up, if there is one.
fn bootstrap_token() -> Result<Option<Secret>, Failure> {
    match std::env::var(BOOTSTRAP_TOKEN) {
        Err(_) => Ok(None),
        Ok(token) if token.len() >= BOOTSTRAP_TOKEN_SIZE_BYTES_MIN => Ok(Some(Secret::new(token))),
        Ok(_) => {
            let least = BOOTSTRAP_TOKEN_SIZE_BYTES_MIN;
            Err(format!("{BOOTSTRAP_TOKEN} is shorter than {least} characters").into())
        }
    }
}

/// The first lines: where the server listens, and what to open.
fn announce(
    parts: &Parts,
    server: &ServerConfig,
    address: SocketAddr,
    demo: bool,
) -> Result<(), Failure> {
    if server.admin_origin.is_some() && server.public_url.is_none() {
        tracing::warn!("server.public_url is empty: snippets name server.admin_origin");
    }
    let origin = server.dashboard_origin(address);
    crate::print(&format!("listening on http://{address}"))?;
    if demo {
        let link = demo::log_in_link(&parts.catalog, &origin, now_ms())?;
        crate::print(&format!("the dashboard:  {link}"))?;
        let shop = server.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        crate::print(&format!("the demo shop:  {shop}/demo/"))?;
    } else if parts.catalog.setup_needed()? {
        let now_ms = now_ms();
        let expires_at_ms = now_ms + SETUP_LINK_AGE_MS;
        let link =
            parts.catalog.add_one_time_link(LinkPurpose::Setup, None, expires_at_ms, now_ms)?;
        crate::print(&format!(
            "create the owner's account:  {origin}/setup?token={}",
            link.reveal()
        ))?;
    } else {
        crate::print(&format!("the dashboard:  {origin}/"))?;
    }
    Ok(())
}

async fn prepare_demo(parts: &Parts, listen: SocketAddr) -> Result<(), Failure> {
    let host = listen.ip().to_string();
    let parts = demo::Parts {
        catalog: &parts.catalog,
        ingest: &parts.ingest,
        log: &parts.log,
        apply: &parts.apply,
        host: &host,
        now_ms: now_ms(),
    };
    if let Some(truth) = demo::prepare(&parts).await? {
        tracing::info!(?truth, "the history is in the store");
    }
    Ok(())
}

/// Hears from now on when the process shall end. To be called inside a runtime. `None`: the system's own reaction ends the
/// process, and the log recovers at the next start.
fn stop_signals() -> Option<[Signal; 2]> {
    let hear = |kind| signal(kind).ok();
    Some([hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?])
}

/// Resolves when the process shall end.
async fn stopped(signals: Option<[Signal; 2]>) {
    match signals {
        Some([mut terminate, mut interrupt]) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        None => std::future::pending().await,
    }
}

/// Unix milliseconds.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
