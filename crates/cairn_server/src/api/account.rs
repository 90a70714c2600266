//! First account, log-in and log-out of the dashboard.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use cairn_catalog::User;
use cairn_model::limits::ID_SIZE_BYTES_MAX;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{Fields, JsonBody};
use super::idempotency::Unrepeatable;
use crate::App;
use crate::auth::{
    self, Caller, Connection, Passwords, blocking, ended_session_cookie, origin_is_own,
    session_cookie,
};
use crate::error::{ApiError, Code};

/// An account.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserBody {
    /// Its number.
    pub id: String,
    /// Address it logs in with.
    pub email: String,
}

/// Who is logged in with this browser.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionBody {
    /// The account; null: nobody.
    #[schema(required)]
    pub user: Option<UserBody>,
    /// No account exists yet: the first one is made with the link that the server printed.
    pub setup_needed: bool,
    /// This is the demonstration.
    pub demo: bool,
}

/// Log-in: address and password, or the token of a one-time link.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct LogInBody {
    /// Address of the account.
    pub email: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// Token of a one-time link.
    pub token: Option<String>,
}

/// The first account.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct SetupBody {
    /// Token of the link that the server printed on its first start.
    pub token: String,
    /// Address to log in with.
    pub email: String,
    /// Password, at least 10 characters.
    #[schema(min_length = 10)]
    pub password: String,
}

/// Tells who is logged in. Needs no credential.
#[utoipa::path(get, path = "/api/v1/session", tag = "account", security(()),
    responses((status = 200, body = SessionBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Option<Extension<Caller>>,
) -> Result<Json<SessionBody>, ApiError> {
    let user = caller.as_ref().and_then(|caller| caller.user()).map(user_body);
    session_body(&app, user).await.map(Json)
}

/// Logs in and sets the session cookie. Needs no credential; attempts are limited.
#[utoipa::path(post, path = "/api/v1/session", tag = "account", security(()),
    request_body = LogInBody, responses((status = 201, body = SessionBody)))]
pub async fn log_in(
    State(app): State<Arc<App>>,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, ApiError> {
    require_own_origin(&app, &headers)?;
    let connection = connection.map(|found| found.0);
    let now_ms = app.now_ms(&headers);
    let user = if fields.has("token") {
        let token = fields.required_secret("token")?;
        fields.finish()?;
        log_in_by_link(&app, token, connection, now_ms).await?
    } else {
        let email = fields.required_text("email")?;
        let password = fields.required_secret("password")?;
        fields.take("token");
        fields.finish()?;
        log_in_by_password(&app, email, password, connection, now_ms).await?
    };
    begin_session(&app, user, connection, &headers, now_ms).await
}

/// Makes the first account with the link that the server printed, and logs it in.
#[utoipa::path(post, path = "/api/v1/setup", tag = "account", security(()),
    request_body = SetupBody, responses((status = 201, body = SessionBody)))]
pub async fn set_up(
    State(app): State<Arc<App>>,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, ApiError> {
    require_own_origin(&app, &headers)?;
    let connection = connection.map(|found| found.0);
    let now_ms = app.now_ms(&headers);
    let token = fields.required_secret("token")?;
    let email = email(&mut fields)?;
    let password = fields.required_secret("password")?;
    fields.finish()?;
    Passwords::check_length(&password)?;
    let attempt = app.auth.limiter.attempt(None, connection.map(|from| from.address));
    app.auth.limiter.begin(attempt, now_ms).map_err(too_many)?;
    let phc = app.auth.passwords.hash(password).await?;
    let made = blocking(&app, move |catalog| catalog.set_up(&token, &email, &phc, now_ms)).await?;
    let user = made.ok_or_else(link_invalid)?;
    app.auth.limiter.succeeded(attempt);
    tracing::info!("the first account was made");
    begin_session(&app, user, connection, &headers, now_ms).await
}

/// Logs out. Without a session nothing happens.
#[utoipa::path(delete, path = "/api/v1/session", tag = "account",
    responses((status = 204, description = "Nobody is logged in with this browser")))]
pub async fn log_out(
    State(app): State<Arc<App>>,
    connection: Option<Extension<Connection>>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let (Some(_), Some(token)) = (caller, auth::session_token(&headers)) {
        let token = token.to_owned();
        blocking(&app, move |catalog| catalog.end_browser_session(&token)).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = ended_session_cookie(is_https(&app, connection.map(|found| found.0))) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn log_in_by_password(
    app: &Arc<App>,
    email: String,
    password: String,
    connection: Option<Connection>,
    now_ms: i64,
) -> Result<User, ApiError> {
    let address = connection.map(|from| from.address);
    let attempt = app.auth.limiter.attempt(Some(&email), address);
    app.auth.limiter.begin(attempt, now_ms).map_err(too_many)?;
    let found = blocking(app, move |catalog| catalog.user_by_email(&email)).await?;
    let (user, phc) = found.map(|found| (found.user, found.password_phc)).unzip();
    let fits = app.auth.passwords.fits(password, phc).await?;
    let Some(user) = user.filter(|_| fits) else {
        return Err(ApiError::new(Code::LogInFailed, "Address or password is wrong."));
    };
    app.auth.limiter.succeeded(attempt);
    Ok(user)
}

async fn log_in_by_link(
    app: &Arc<App>,
    token: String,
    connection: Option<Connection>,
    now_ms: i64,
) -> Result<User, ApiError> {
    let attempt = app.auth.limiter.attempt(None, connection.map(|from| from.address));
    app.auth.limiter.begin(attempt, now_ms).map_err(too_many)?;
    let user = blocking(app, move |catalog| catalog.use_log_in_link(&token, now_ms)).await?;
    let user = user.ok_or_else(link_invalid)?;
    app.auth.limiter.succeeded(attempt);
    Ok(user)
}

async fn begin_session(
    app: &Arc<App>,
    user: User,
    connection: Option<Connection>,
    headers: &HeaderMap,
    now_ms: i64,
) -> Result<Response, ApiError> {
    let id = user.id;
    // A session that this browser had before ends: nobody can slip in a known one.
    let before = auth::session_token(headers).map(str::to_owned);
    let token = blocking(app, move |catalog| {
        if let Some(before) = before {
            catalog.end_browser_session(&before)?;
        }
        catalog.begin_browser_session(id, now_ms)
    })
    .await?;
    let body = session_body(app, Some(user_body(&user))).await?;
    let mut response = (StatusCode::CREATED, Unrepeatable, Json(body)).into_response();
    if let Some(cookie) = session_cookie(&token, is_https(app, connection)) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn session_body(app: &App, user: Option<UserBody>) -> Result<SessionBody, ApiError> {
    // Somebody who is logged in proves that there is an account.
    let setup_needed = user.is_none() && blocking(app, |catalog| catalog.setup_needed()).await?;
    Ok(SessionBody { user, setup_needed, demo: app.config.demo_pixel_key.is_some() })
}

fn user_body(user: &User) -> UserBody {
    UserBody { id: user.id.0.to_string(), email: user.email.clone() }
}

fn email(fields: &mut Fields) -> Result<String, ApiError> {
    let email = fields.required_text("email")?;
    let sound =
        email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if !sound || email.len() > ID_SIZE_BYTES_MAX || email.contains(char::is_whitespace) {
        return Err(ApiError::invalid("email", "The address must be an e-mail address."));
    }
    Ok(email)
}

fn is_https(app: &App, connection: Option<Connection>) -> bool {
    connection.is_some_and(|connection| connection.https) || app.admin_is_https()
}

fn require_own_origin(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    if origin_is_own(app, headers) {
        return Ok(());
    }
    Err(ApiError::new(Code::CrossSiteRequest, "The request did not come from the dashboard."))
}

pub(super) fn too_many(seconds: u64) -> ApiError {
    ApiError::new(Code::RateLimited, "Too many attempts to log in.").retry_after(seconds)
}

fn link_invalid() -> ApiError {
    ApiError::new(Code::LinkInvalid, "The link is not valid any more.")
}
