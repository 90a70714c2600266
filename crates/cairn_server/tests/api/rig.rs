//! A whole server without sockets: temporary catalog and log, the naive store, the real apply loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use cairn_catalog::{Catalog, NewApiToken, Token, User};
use cairn_engine::apply::{ApplyHandle, ApplyLoop, ApplyOptions};
use cairn_engine::backup::{BackupOptions, Backups, Sources};
use cairn_engine::ingest::Ingest;
use cairn_engine::record;
use cairn_enrich::Enricher;
use cairn_enrich::network::Network;
use cairn_log::{Log, LogOptions, RealDisk};
use cairn_model::Event;
use cairn_server::auth::AuthState;
use cairn_server::sending::Outgoing;
use cairn_server::{App, Secret, ServerConfig, api};
use cairn_store::EventStore;
use cairn_store::event_ids::EventIds;
use cairn_store::reference::ReferenceStore;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

pub const NOW_MS: i64 = 1_795_341_600_000;
pub const BOOTSTRAP: &str = "bootstrap-token-of-at-least-32-characters";

pub struct Rig {
    pub app: Arc<App>,
    pub clock: Arc<AtomicI64>,
    pub store: Arc<ReferenceStore>,
    router: Router,
    apply: ApplyHandle,
    waiting_loop: Option<ApplyLoop>,
    apply_thread: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or("").to_owned()
    }

    /// Checks status and error code.
    #[track_caller]
    pub fn is(&self, status: u16, code: &str) -> &Self {
        assert_eq!((self.status.as_u16(), self.code().as_str()), (status, code), "{}", self.text);
        self
    }

    #[track_caller]
    pub fn ok(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    pub fn cookie(&self) -> String {
        let cookie = self.headers[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

/// A request in the making.
pub struct Call<'r> {
    rig: &'r Rig,
    request: http::request::Builder,
    body: Option<Vec<u8>>,
}

impl Call<'_> {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Another host than that of the rig.
    pub fn host(mut self, host: &'static str) -> Self {
        let headers = self.request.headers_mut().unwrap();
        headers.insert(header::HOST, http::HeaderValue::from_static(host));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn owner(self) -> Self {
        self.bearer(BOOTSTRAP)
    }

    pub fn json(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string().into_bytes());
        self.header("content-type", "application/json")
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub fn request(self) -> Request<Body> {
        self.request_from([192, 0, 2, 9])
    }

    fn request_from(self, address: [u8; 4]) -> Request<Body> {
        let mut request = self.request.body(Body::from(self.body.unwrap_or_default())).unwrap();
        let peer = SocketAddr::from((address, 4711));
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    }

    pub async fn send(self) -> Answer {
        self.send_from([192, 0, 2, 9]).await
    }

    /// From another address than that of the rig.
    pub async fn send_from(self, address: [u8; 4]) -> Answer {
        let router = self.rig.router.clone();
        let response = router.oneshot(self.request_from(address)).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, text }
    }
}

impl Rig {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(configure: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut rig = Self::not_applying(configure);
        rig.start_applying();
        rig
    }

    /// Starts the apply loop.
    pub fn start_applying(&mut self) {
        let apply_loop = self.waiting_loop.take().unwrap();
        self.apply_thread = Some(std::thread::spawn(move || apply_loop.run().unwrap()));
    }

    /// With ways out.
    pub fn sending(outgoing: Outgoing) -> Self {
        let mut rig = Self::made(|_| {}, outgoing);
        rig.start_applying();
        rig
    }

    /// The log takes records, and nobody applies them yet.
    pub fn not_applying(configure: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::made(configure, Outgoing::default())
    }

    fn made(configure: impl FnOnce(&mut ServerConfig), outgoing: Outgoing) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Arc::new(Catalog::open(&directory.path().join("catalog.sqlite")).unwrap());
        let naive = Arc::new(ReferenceStore::new());
        let store: Arc<dyn EventStore> = Arc::clone(&naive) as Arc<dyn EventStore>;
        let event_ids = EventIds::open(&directory.path().join("event-ids"), &*store).unwrap();
        let options = LogOptions {
            segment_size_bytes: 1 << 20,
            batch_size_bytes_max: 512 << 10,
            record_size_bytes_max: 256 << 10,
            ..LogOptions::new(directory.path().join("log"))
        };
        let (log, _) = Log::open(options, Arc::new(RealDisk)).unwrap();
        let options =
            ApplyOptions { commit_interval: Duration::from_millis(5), ..ApplyOptions::default() };
        let (apply_loop, apply) = ApplyLoop::open(
            log.clone(),
            Arc::clone(&store),
            Arc::clone(&catalog),
            Arc::new(event_ids),
            options,
            || NOW_MS,
        )
        .unwrap();
        let enricher = Arc::new(Enricher::new(Network::empty()));
        let ingest = Ingest::new(enricher, catalog.master_secret(), 30 * 60 * 1000);
        let mut config = ServerConfig {
            bootstrap_token: Some(Secret::new(BOOTSTRAP.to_owned())),
            removal_patience: Duration::from_secs(60),
            ..ServerConfig::default()
        };
        configure(&mut config);
        // The naive store has no files: a copy of it is the store itself.
        let copied = Arc::clone(&store);
        let sources = Sources {
            apply: apply.clone(),
            log: log.clone(),
            catalog: Arc::clone(&catalog),
            store: Arc::clone(&store),
            open_store: Arc::new(move |_| Ok(Arc::clone(&copied))),
        };
        let backups = BackupOptions {
            directory: directory.path().join("backups"),
            count_max: 2,
            age_days_max: 30,
            rewrite_wait_max: Duration::ZERO,
        };
        let backups = Arc::new(Backups::open(backups, sources, NOW_MS).unwrap());
        let clock = Arc::new(AtomicI64::new(NOW_MS));
        let read = Arc::clone(&clock);
        let app = Arc::new(App {
            directory: catalog.directory(),
            catalog,
            store,
            log,
            apply: apply.clone(),
            backups,
            ingest: Arc::new(ingest),
            counters: Arc::default(),
            auth: AuthState::new().unwrap(),
            live_places: api::LivePlaces::default(),
            live_tests: Default::default(),
            limits: Default::default(),
            outgoing,
            requests: Default::default(),
            config,
            clock: Arc::new(move || read.load(Ordering::Relaxed)),
        });
        let router = api::router(Arc::clone(&app));
        Rig {
            app,
            clock,
            store: naive,
            router,
            apply,
            waiting_loop: Some(apply_loop),
            apply_thread: None,
            _directory: directory,
        }
    }

    pub fn router(&self) -> Router {
        self.router.clone()
    }

    pub fn call(&self, method: &str, path: &str) -> Call<'_> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request =
            Request::builder().method(method).uri(path).header(header::HOST, "stats.example");
        Call { rig: self, request, body: None }
    }

    pub fn get(&self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    pub fn post(&self, path: &str, body: &Value) -> Call<'_> {
        self.call("POST", path).json(body)
    }

    /// A site made with the bootstrap token; gives its number.
    pub async fn site(&self, domain: &str) -> String {
        let body = serde_json::json!({ "name": domain, "domain": domain });
        let site = self.post("/api/v1/sites", &body).owner().send().await.ok(201);
        site["id"].as_str().unwrap().to_owned()
    }

    /// A segment, an annotation, a digest and an alert of a site; each has the number 1 where it is the first.
    pub async fn notes(&self, site: &str) {
        let filters = serde_json::json!([["is", "visit:country", ["DE"]]]);
        let segment = serde_json::json!({"name": "x", "filters": filters});
        let annotation = serde_json::json!({"date": "2026-11-21", "note": "x"});
        let recipients = ["reader@example.com"];
        let digest = serde_json::json!({"every": "day", "recipients": recipients});
        let alert = serde_json::json!({"name": "x", "kind": "silence", "recipients": recipients});
        for (list, body) in [
            ("segments", segment),
            ("annotations", annotation),
            ("digests", digest),
            ("alerts", alert),
        ] {
            let path = format!("/api/v1/sites/{site}/{list}");
            self.post(&path, &body).owner().send().await.ok(201);
        }
    }

    /// An account of another tenant, with a token that has its rights.
    pub fn tenant(&self, email: &str) -> (User, Token) {
        let user = self.app.catalog.add_user(email, "no password fits", false, NOW_MS).unwrap();
        let new = NewApiToken { name: "script".to_owned(), user: Some(user.id), site_ids: None };
        let (_, token) = self.app.catalog.add_api_token(new, NOW_MS).unwrap();
        (user, token)
    }

    /// Puts an event into the log and waits until it is stored.
    pub async fn store(&self, event: &Event<'_>) {
        let offset = self.append(event).await;
        self.applied(offset).await;
    }

    /// Puts an event into the log; gives its offset.
    pub async fn append(&self, event: &Event<'_>) -> u64 {
        let record = record::encode(event, Vec::new()).unwrap();
        self.app.log.appender().append([&record[..]]).await.unwrap().start
    }

    /// Waits until the record at this offset is stored.
    pub async fn applied(&self, offset: u64) {
        let limit = Duration::from_secs(20);
        assert!(self.apply.wait_applied(offset, limit).await, "applied in time");
    }

    pub fn advance(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.apply.stop();
        self.app.log.close();
        if let Some(thread) = self.apply_thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the apply loop ended with an error");
        }
    }
}
