//! Who is calling, and what they may see.
//!
//! Guarantees: a [`Caller`] is made only here, from a valid credential; a [`SiteAccess`] only by [`site_access`], from a
//! caller who may see the site. Handlers that touch a site take one as proof. Credentials are never logged.

mod cookie;
mod limiter;
mod password;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::extract::{ConnectInfo, FromRequestParts, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cairn_catalog::{ApiToken, Catalog, CatalogError, Role, SiteEntry, User, UserId};
use cairn_enrich::RequestKind;
use cairn_enrich::network::Prefix;
use cairn_model::{Site, SiteId};
use http::request::Parts;
use http::{HeaderMap, Method, header};
use subtle::ConstantTimeEq;

pub(crate) use cookie::session_token;
pub use cookie::{SESSION_COOKIE, ended_session_cookie, session_cookie};
pub use limiter::LogInLimiter;
pub use password::{PASSWORD_LENGTH_MIN, Passwords};

use crate::collect::request::Head;
use crate::error::{ApiError, Code};
use crate::{App, ServerConfig};

/// What authentication keeps in memory.
pub struct AuthState {
    /// Hashing of passwords.
    pub passwords: Passwords,
    /// Failed log-ins.
    pub limiter: LogInLimiter,
    /// Idempotency keys whose first request is being answered.
    pub(crate) keys_in_use: Mutex<HashSet<[u8; 32]>>,
}

impl AuthState {
    /// Draws the keys of this process.
    pub fn new() -> Result<Self, ApiError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)
            .map_err(|_| ApiError::new(Code::Unavailable, "The random source failed."))?;
        Ok(AuthState {
            passwords: Passwords::new()?,
            limiter: LogInLimiter::new(key),
            keys_in_use: Mutex::default(),
        })
    }
}

/// What is known of the connection that a request came in on.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The caller's address, as trusted proxies tell it.
    pub address: IpAddr,
    /// The caller speaks HTTPS (to us, or to a trusted proxy).
    pub https: bool,
}

/// The proxies whose word about the caller is taken.
pub(crate) fn trusted_proxies(config: &ServerConfig) -> Arc<[Prefix]> {
    let networks = config.trusted_proxies.iter();
    let parsed = networks
        .filter_map(|network| format!("{}/{}", network.address, network.prefix_bits).parse().ok());
    parsed.collect()
}

/// Notes address and scheme of the caller, as the listener and trusted proxies tell them.
pub(crate) async fn note_connection(
    State(trusted): State<Arc<[Prefix]>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    if let Some(peer) = peer {
        let connection = {
            let head = Head::read(request.headers());
            let hit = head.hit(peer, &trusted, RequestKind::Server, 0);
            Connection { address: hit.address.ip(), https: hit.secure }
        };
        request.extensions_mut().insert(connection);
    }
    next.run(request).await
}

/// What tokens of shared reports begin with.
const SHARE_PREFIX: &str = "share_";

/// Somebody with a valid credential.
#[derive(Clone, Debug)]
pub struct Caller(Who);

#[derive(Clone, Debug)]
enum Who {
    Bootstrap,
    Session(User),
    Token(ApiToken),
}

impl Caller {
    /// The account that acts; `None`: the instance itself.
    pub fn user_id(&self) -> Option<UserId> {
        match &self.0 {
            Who::Bootstrap => None,
            Who::Session(user) => Some(user.id),
            Who::Token(token) => token.user,
        }
    }

    /// The account, where it is logged in with a browser.
    pub fn user(&self) -> Option<&User> {
        if let Who::Session(user) = &self.0 { Some(user) } else { None }
    }

    /// Refuses tokens that are limited to some sites.
    pub fn require_unlimited(&self) -> Result<(), ApiError> {
        match &self.0 {
            Who::Token(ApiToken { site_ids: Some(_), .. }) => Err(ApiError::new(
                Code::Forbidden,
                "This token is limited to some sites and may not do this.",
            )),
            _ => Ok(()),
        }
    }

    /// Refuses everybody but whose the instance is: tokens that are limited to some sites, and accounts that have some
    /// sites only.
    pub async fn require_instance_owner(&self, app: &App) -> Result<(), ApiError> {
        self.require_unlimited()?;
        let owns = match self.user_id() {
            None => true,
            Some(user) => blocking(app, move |catalog| catalog.is_instance_owner(user)).await?,
        };
        let refused =
            || ApiError::new(Code::Forbidden, "Only the owner of the instance may do this.");
        if owns { Ok(()) } else { Err(refused()) }
    }

    /// Tells callers apart, for keys that each chooses alone.
    pub(crate) fn scope(&self) -> String {
        match &self.0 {
            Who::Bootstrap => "bootstrap".to_owned(),
            Who::Session(user) => format!("user {}", user.id.0),
            Who::Token(token) => format!("token {}", token.id),
        }
    }

    /// The numbers of the sites that the caller sees; `None`: all.
    pub async fn visible_sites(&self, app: &App) -> Result<Option<HashSet<SiteId>>, ApiError> {
        let own = match self.user_id() {
            None => None,
            Some(user) => Some(blocking(app, move |catalog| catalog.site_ids(user)).await?),
        };
        let limit = match &self.0 {
            Who::Token(token) => token.site_ids.clone(),
            _ => None,
        };
        Ok(match (own, limit) {
            (None, None) => None,
            (Some(sites), None) | (None, Some(sites)) => Some(sites.into_iter().collect()),
            (Some(own), Some(limit)) => {
                Some(own.into_iter().filter(|site| limit.contains(site)).collect())
            }
        })
    }
}

/// Proof that the caller may see this site.
#[derive(Clone)]
pub struct SiteAccess {
    entry: Arc<SiteEntry>,
    caller: Caller,
}

impl SiteAccess {
    /// The site.
    pub fn site(&self) -> &Site {
        &self.entry.site
    }

    /// The site with its pixels.
    pub fn entry(&self) -> &SiteEntry {
        &self.entry
    }

    /// The same, to be kept beyond the request.
    pub fn shared_entry(&self) -> Arc<SiteEntry> {
        Arc::clone(&self.entry)
    }

    /// Its number.
    pub fn site_id(&self) -> SiteId {
        self.entry.site.id
    }

    /// Who asked.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

/// The one place that decides who sees which site. `None`: the site does not exist for this caller.
pub async fn site_access(
    app: &App,
    caller: &Caller,
    entry: Option<Arc<SiteEntry>>,
) -> Result<Option<SiteAccess>, ApiError> {
    let Some(entry) = entry else { return Ok(None) };
    let site_id = entry.site.id;
    if let Who::Token(ApiToken { site_ids: Some(sites), .. }) = &caller.0
        && !sites.contains(&site_id)
    {
        return Ok(None);
    }
    let allowed = match caller.user_id() {
        None => true,
        Some(user) => {
            let role = blocking(app, move |catalog| catalog.role(user, site_id)).await?;
            role == Some(Role::Owner)
        }
    };
    Ok(allowed.then(|| SiteAccess { entry, caller: caller.clone() }))
}

/// Runs blocking work of the catalog off the async threads.
pub async fn blocking<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&Catalog) -> Result<T, CatalogError> + Send + 'static,
) -> Result<T, ApiError> {
    let catalog = Arc::clone(&app.catalog);
    let done = tokio::task::spawn_blocking(move || work(&catalog)).await;
    Ok(done.map_err(|_| ApiError::new(Code::Internal, "The catalog's work was broken off."))??)
}

/// Reads the credential of a request and leaves the caller in its extensions. A credential that is not valid ends the
/// request here; none at all is for the handler to judge.
pub async fn authenticate(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    match identify(&app, request.method(), request.headers()).await {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
        }
        Ok(None) => {}
        Err(error) => return error.into_response(),
    }
    next.run(request).await
}

async fn identify(
    app: &Arc<App>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Caller>, ApiError> {
    let now_ms = app.now_ms(headers);
    if let Some(token) = bearer_token(headers)? {
        let token = token.to_owned();
        // The link of a shared report: its routes look it up themselves, for all others the caller is nobody.
        if token.starts_with(SHARE_PREFIX) {
            return Ok(None);
        }
        if is_bootstrap(app, &token) {
            tracing::info!(%method, "the bootstrap token was used");
            return Ok(Some(Caller(Who::Bootstrap)));
        }
        let token = blocking(app, move |catalog| catalog.api_token(&token)).await?;
        return token
            .map(|token| Some(Caller(Who::Token(token))))
            .ok_or_else(ApiError::unauthorized);
    }
    let Some(session) = cookie::session_token(headers) else { return Ok(None) };
    let session = session.to_owned();
    let user = blocking(app, move |catalog| catalog.browser_session(&session, now_ms)).await?;
    let Some(user) = user else { return Ok(None) };
    if !method.is_safe() {
        require_own_page(app, headers)?;
    }
    Ok(Some(Caller(Who::Session(user))))
}

/// The token of a request that has one.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let told = value.to_str().ok().and_then(|value| value.split_once(' '));
    let token = told.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map(|(_, token)| Some(token.trim())).ok_or_else(ApiError::unauthorized)
}

/// Compares hashes in constant time, so that time tells nothing of length or content.
fn is_bootstrap(app: &App, token: &str) -> bool {
    let Some(secret) = &app.config.bootstrap_token else { return false };
    let (given, wanted) =
        (blake3::hash(token.as_bytes()), blake3::hash(secret.reveal().as_bytes()));
    given.as_bytes().ct_eq(wanted.as_bytes()).into()
}

/// A change made with the browser's cookie must come from the dashboard's own pages.
fn require_own_page(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let marked = headers.get("cairn-request").is_some_and(|value| value == "dashboard");
    if marked && origin_is_own(app, headers) {
        return Ok(());
    }
    Err(ApiError::new(Code::CrossSiteRequest, "The request did not come from the dashboard."))
}

/// Whether the `Origin` header, if there is one, names this server.
pub(crate) fn origin_is_own(app: &App, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let config = &app.config;
    let configured = config.admin_origin.iter().chain(&config.public_url);
    if configured.into_iter().any(|own| own.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    config.admin_origin.is_none()
        && matches!((authority, host), (Some(a), Some(h)) if a.eq_ignore_ascii_case(h))
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(ApiError::unauthorized)
    }
}

impl FromRequestParts<Arc<App>> for SiteAccess {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| ApiError::not_found())?;
        let told = params.iter().find(|(name, _)| *name == "site_id").map(|(_, value)| value);
        let site_id = told.and_then(|text| text.parse().ok()).ok_or_else(ApiError::not_found)?;
        let entry = app.directory.current().by_id(site_id);
        site_access(app, &caller, entry).await?.ok_or_else(ApiError::not_found)
    }
}
