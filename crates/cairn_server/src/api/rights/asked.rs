//! One request of a site, as its address names it: what every call about one begins with and ends with.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use cairn_catalog::{Catalog, CatalogError, NewStep, RequestState, RightsRequest};
use cairn_engine::rights::find::Found;
use http::request::Parts;
use utoipa::{IntoParams, ToSchema};

use super::RightsRequestBody;
use super::find::{Identifier, found};
use crate::App;
use crate::api::body::JsonBody;
use crate::auth::{SiteAccess, blocking};
use crate::error::{ApiError, Code};
use crate::rights::with_erasure;

/// Bytes of a reason.
const REASON_SIZE_BYTES_MAX: usize = 1_000;

/// Where a request is.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes an address that `Asked` reads")]
pub struct RequestPath {
    /// Number of the site
    pub site_id: String,
    /// Number of the request
    pub request_id: String,
}

/// A request that the caller may see, and when he asked for it.
pub struct Asked {
    /// The program.
    pub app: Arc<App>,
    /// The caller's access to the site.
    pub access: SiteAccess,
    /// The request, as it was then.
    pub request: RightsRequest,
    /// The time of the call, Unix milliseconds.
    pub now_ms: i64,
}

/// One that is open.
pub struct Open(pub Asked);

/// Why.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Reason` reads")]
pub struct ReasonBody {
    /// The reason, as it was told to whoever asked; it stays on record, so let it name nobody.
    pub reason: String,
}

/// The reason in a body that has nothing else.
pub struct Reason(pub String);

impl FromRequestParts<Arc<App>> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let access = SiteAccess::from_request_parts(parts, app).await?;
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| ApiError::not_found())?;
        let told = params.iter().find(|(name, _)| *name == "request_id");
        let id = told.and_then(|(_, text)| text.parse().ok()).ok_or_else(ApiError::not_found)?;
        let request = read(app, &access, id).await?;
        let now_ms = app.now_ms(&parts.headers);
        Ok(Asked { app: Arc::clone(app), access, request, now_ms })
    }
}

impl FromRequestParts<Arc<App>> for Open {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let asked = Asked::from_request_parts(parts, app).await?;
        if asked.request.state == RequestState::Open { Ok(Open(asked)) } else { Err(closed()) }
    }
}

impl FromRequest<Arc<App>> for Reason {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let JsonBody(mut fields) = JsonBody::from_request(request, app).await?;
        let reason = fields.required_text("reason")?;
        if reason.len() > REASON_SIZE_BYTES_MAX {
            let message = format!("The reason is longer than {REASON_SIZE_BYTES_MAX} bytes.");
            return Err(ApiError::invalid("reason", message));
        }
        fields.finish()?;
        Ok(Reason(reason))
    }
}

async fn read(app: &App, access: &SiteAccess, id: i64) -> Result<RightsRequest, ApiError> {
    let site_id = access.site_id();
    let found = blocking(app, move |catalog| catalog.request(site_id, id)).await?;
    found.ok_or_else(ApiError::not_found)
}

/// Nothing can be done about it any more.
pub fn closed() -> ApiError {
    ApiError::new(Code::NotOpen, "This request is closed, or is being carried out.")
}

impl Asked {
    /// As it is on record now.
    pub async fn again(self) -> Result<Self, ApiError> {
        let request = read(&self.app, &self.access, self.request.id).await?;
        Ok(Asked { request, ..self })
    }

    /// The answer that shows it.
    pub async fn shown(self) -> Result<Json<RightsRequestBody>, ApiError> {
        let (request, erasure) = with_erasure(&self.app, self.request).await?;
        let id = request.id;
        let steps = blocking(&self.app, move |catalog| catalog.steps(id)).await?;
        let at = (&self.access.entry().zone, self.now_ms);
        Ok(Json(RightsRequestBody::new(request, erasure.as_ref(), steps, at)))
    }

    /// Whom it means: by its identifier, or, where that went with an erasure, by its keyed numbers.
    pub async fn found(&self) -> Result<Found, ApiError> {
        let request = &self.request;
        if request.identifier.is_empty() {
            return Ok(Found { subject: request.subject.clone(), ..Found::default() });
        }
        found(&self.app, &self.access, &Identifier::of(request)?).await
    }

    /// What the caller does about it.
    pub fn step(&self, step: &'static str, note: String) -> NewStep {
        NewStep { user: self.access.caller().user_id(), step, note, at_ms: self.now_ms }
    }

    /// Makes a change of an open one, which somebody else may have closed meanwhile.
    pub async fn changed(
        self,
        change: impl FnOnce(&Catalog) -> Result<bool, CatalogError> + Send + 'static,
    ) -> Result<Json<RightsRequestBody>, ApiError> {
        if !blocking(&self.app, change).await? {
            return Err(closed());
        }
        self.again().await?.shown().await
    }

    /// Closes an open one.
    pub async fn close(
        self,
        state: RequestState,
        name: &'static str,
        note: String,
    ) -> Result<Json<RightsRequestBody>, ApiError> {
        let (site_id, id, step) = (self.access.site_id(), self.request.id, self.step(name, note));
        self.changed(move |catalog| catalog.close_request(site_id, id, state, &step)).await
    }
}
