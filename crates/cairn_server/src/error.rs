//! Errors as callers see them: one table of stable codes, one JSON shape.
//!
//! Guarantees: every error answer of the API and of collection is built here; nothing internal is in it.

use axum::Json;
use axum::response::{IntoResponse, Response};
use cairn_catalog::CatalogError;
use cairn_engine::rights::find::FindError;
use cairn_store::StoreError;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! codes {
    ($($name:ident $code:literal $status:ident $help:literal)*) => {
        /// A stable error code. The name is part of the public contract.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code {
            $(#[doc = $help] $name,)*
        }

        impl Code {
            /// Every code, as documented in `docs/errors.md`.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => $code,)* }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> StatusCode {
                match self { $(Code::$name => StatusCode::$status,)* }
            }

            /// What to do about it, in one sentence.
            pub fn help(self) -> &'static str {
                match self { $(Code::$name => $help,)* }
            }
        }
    };
}

codes! {
    MalformedJson "malformed_json" BAD_REQUEST "Send one valid JSON value; the message names line and column of the fault."
    MalformedRequest "malformed_request" BAD_REQUEST "A parameter or field has the wrong form; compare it with the OpenAPI document at /api/openapi.json."
    UnknownField "unknown_field" BAD_REQUEST "Remove the field, or put your own data in `props` where the call takes events."
    MissingField "missing_field" BAD_REQUEST "Add the field that is named."
    InvalidQuery "invalid_query" BAD_REQUEST "The question cannot be answered as asked; the message says which part."
    Unauthorized "unauthorized" UNAUTHORIZED "Send a valid API token as `Authorization: Bearer TOKEN`, or log in; the token must be allowed to see the site."
    PasswordNeeded "password_needed" UNAUTHORIZED "Send the password of the shared report to `POST /api/v1/shared/key`, and its answer as `Cairn-Share-Key`."
    LogInFailed "log_in_failed" UNAUTHORIZED "Address and password do not belong together. After several attempts there is a pause."
    LinkInvalid "link_invalid" UNAUTHORIZED "The link was used or has expired. Restart the server, or run it with the same data, to get a new one."
    IdentityTokenInvalid "identity_token_invalid" UNAUTHORIZED "Have the site's server sign the user id anew with the site's identity secret; docs/memory.md shows how."
    Forbidden "forbidden" FORBIDDEN "This token may see it but not do this; use a token of the owner that is not limited to sites."
    CrossSiteRequest "cross_site_request" FORBIDDEN "Changes made with the browser's session need the header `Cairn-Request: dashboard` and must come from the dashboard's own origin."
    OriginNotListed "origin_not_listed" FORBIDDEN "Memory works on the site's own pages: its domain, its subdomains, and the hosts added in the site's settings."
    SecretInBrowser "secret_in_browser" FORBIDDEN "The key of a server pixel is a secret and was sent by a browser; make a new one, and use the key of a web pixel in pages."
    NotFound "not_found" NOT_FOUND "There is nothing here, or this caller may not see it."
    UnknownKey "unknown_key" NOT_FOUND "No pixel has this key. Copy the snippet again from the Pixels page."
    TooSlow "too_slow" REQUEST_TIMEOUT "The body came too slowly; send less at once, or from a faster line."
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The header `Allow` lists the methods that work here."
    Conflict "conflict" CONFLICT "Something with this name exists already."
    NotOpen "not_open" CONFLICT "The request is closed, is being carried out, or cannot be answered in this way; `state`, `kind` and `extendable` of the request tell."
    LimitReached "limit_reached" CONFLICT "The list is full; remove something first."
    IdempotencyKeyReused "idempotency_key_reused" CONFLICT "This Idempotency-Key came with another request; use a new key for each new request."
    ImportedInPart "imported_in_part" CONFLICT "The first request with this Idempotency-Key failed after a part of its lines was taken; send the others, as the message counts them, with a new key."
    IdempotencyKeyInUse "idempotency_key_in_use" CONFLICT "The first request with this Idempotency-Key is still being answered; repeat it in a moment."
    TooLarge "too_large" PAYLOAD_TOO_LARGE "Send less at once; the message names the limit."
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "Send `Content-Type: application/json`."
    InvalidValue "invalid_value" UNPROCESSABLE_ENTITY "The field was understood, but its value is not allowed; the message says what is."
    RateLimited "rate_limited" TOO_MANY_REQUESTS "Wait as long as the header `Retry-After` says."
    HeadTooLarge "head_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE "Send fewer or shorter headers, or a shorter address."
    Unavailable "unavailable" SERVICE_UNAVAILABLE "Nothing was kept of this request; repeat it after `Retry-After`."
    LogFull "log_full" SERVICE_UNAVAILABLE "The disk or the log is full; nothing was kept. Free some space; it recovers by itself."
    Overloaded "overloaded" SERVICE_UNAVAILABLE "Too many requests at once; nothing was kept. Repeat after `Retry-After`."
    TooExpensive "too_expensive" UNPROCESSABLE_ENTITY "The question reached its limit of time or memory; ask for a shorter range or fewer dimensions."
    Internal "internal" INTERNAL_SERVER_ERROR "A fault of the server. Its log has the details under the id in the message."
}

/// Seconds that a caller is asked to wait when nothing better is known.
const RETRY_AFTER_S: u64 = 2;

/// An error answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiError {
    /// The code, which decides the status.
    pub code: Code,
    /// What happened, in one sentence without personal data.
    pub message: String,
    /// The field or parameter at fault.
    pub field: Option<String>,
    /// What to do, where it is more exact than the code's own help.
    pub help: Option<String>,
    /// Seconds to wait, sent as `Retry-After`.
    pub retry_after_s: Option<u64>,
}

impl ApiError {
    /// An error with a message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let waits = matches!(
            code.status(),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        );
        ApiError {
            code,
            message: message.into(),
            field: None,
            help: None,
            retry_after_s: waits.then_some(RETRY_AFTER_S),
        }
    }

    /// The value of a field is not allowed.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        ApiError::new(Code::InvalidValue, message).on(field)
    }

    /// Nothing is here for this caller.
    pub fn not_found() -> Self {
        ApiError::new(Code::NotFound, "There is nothing here.")
    }

    /// Nobody is logged in, or not somebody who may see this.
    pub fn unauthorized() -> Self {
        ApiError::new(Code::Unauthorized, "A valid token or session is needed.")
    }

    /// Names the field at fault.
    #[must_use]
    pub fn on(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Replaces the code's own help.
    #[must_use]
    pub fn helped_by(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The JSON body.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                code: self.code.name().to_owned(),
                message: self.message.clone(),
                field: self.field.clone(),
                help: Some(self.help.clone().unwrap_or_else(|| self.code.help().to_owned())),
            },
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// Body of every error answer.
#[derive(Serialize, ToSchema, Debug)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Serialize, ToSchema, Debug)]
pub struct ErrorDetail {
    /// Stable code, see docs/errors.md.
    #[schema(example = "invalid_value")]
    pub code: String,
    /// What happened.
    pub message: String,
    /// The field or parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub help: Option<String>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.code.status(), Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code.status() == StatusCode::UNAUTHORIZED {
            // A name no browser knows: it shows no password window of its own.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Conflict { what } => {
                ApiError::new(Code::Conflict, format!("There is {what} already."))
            }
            CatalogError::LimitReached { what, limit } => {
                ApiError::new(Code::LimitReached, format!("There may be at most {limit} {what}."))
            }
            other => {
                tracing::error!(error = &other as &dyn std::error::Error, "the catalog failed");
                ApiError::new(Code::Unavailable, "The settings cannot be read or written now.")
            }
        }
    }
}

impl From<FindError> for ApiError {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Store(error) => error.into(),
            FindError::Catalog(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if let StoreError::TooExpensive { limit } = error {
            return ApiError::new(
                Code::TooExpensive,
                format!("The question was stopped at {limit}."),
            );
        }
        tracing::error!(error = &error as &dyn std::error::Error, "the event store failed");
        ApiError::new(Code::Unavailable, "The events cannot be read now.")
    }
}

/// The table of codes, as `docs/errors.md` holds it.
pub fn documentation() -> String {
    let mut text = String::from(
        "# Errors\n\nEvery error answer is `{\"error\": {\"code\", \"message\", \"field\"?, \"help\"?}}`. \
         `code` is stable; messages may change.\n429 and 503 carry `Retry-After` in seconds. \
         This page is generated from `crates/cairn_server/src/error.rs`.\n\n\
         | status | code | what to do |\n|---|---|---|\n",
    );
    for code in Code::ALL {
        let row = format!("| {} | `{}` | {} |\n", code.status().as_u16(), code.name(), code.help());
        text.push_str(&row);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_lists_every_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
        crate::openapi::assert_committed(path, &documentation());
    }

    #[test]
    fn codes_are_unique() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
