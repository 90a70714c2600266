//! Backups: made, listed and removed. They are read where they are, not by way of the API.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use cairn_engine::apply::SnapshotError;
use cairn_engine::backup::{BackupError, Listed};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::show;
use crate::App;
use crate::auth::Caller;
use crate::error::{ApiError, Code};

/// How long a backup is waited for before it is answered as still being made.
const PATIENCE: Duration = Duration::from_secs(20);

/// A backup.
#[derive(Serialize, ToSchema)]
pub struct Backup {
    /// Its name, which is also that of its directory.
    pub id: String,
    /// When it was made (RFC 3339).
    #[schema(required)]
    pub created_at: Option<String>,
    /// Bytes of all its files.
    #[schema(required)]
    pub size_bytes: Option<u64>,
    /// The program that made it.
    #[schema(required)]
    pub program_version: Option<String>,
    /// Why it cannot be read; null: it can.
    #[schema(required)]
    pub problem: Option<String>,
}

/// All backups, and what is under way.
#[derive(Serialize, ToSchema)]
pub struct BackupList {
    /// The backups, latest first.
    pub items: Vec<Backup>,
    /// Where they are, on the server.
    pub directory: String,
    /// Since when one is being made (RFC 3339); null: none is.
    #[schema(required)]
    pub running_since: Option<String>,
    /// The last try, where it failed.
    #[schema(required)]
    pub last_failure: Option<BackupFailure>,
    /// Why the backups are not as they should be: somebody who was erased is still in one, or one is too old; null: they are.
    #[schema(required)]
    pub problem: Option<String>,
}

/// A try that failed.
#[derive(Serialize, ToSchema)]
pub struct BackupFailure {
    /// When (RFC 3339).
    pub at: String,
    /// Why.
    pub reason: String,
}

/// Lists the backups of this instance. For the owner of the instance.
#[utoipa::path(get, path = "/api/v1/instance/backups", tag = "instance",
    responses((status = 200, body = BackupList)))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<BackupList>, ApiError> {
    caller.require_instance_owner(&app).await?;
    let listed = with_backups(&app, |app| app.backups.list()).await?;
    let progress = app.backups.progress();
    Ok(Json(BackupList {
        items: listed.into_iter().map(body).collect(),
        problem: progress.problem,
        directory: app.backups.directory().display().to_string(),
        running_since: progress.running_since_ms.map(show::instant),
        last_failure: progress
            .last_failure
            .map(|(at_ms, reason)| BackupFailure { at: show::instant(at_ms), reason }),
    }))
}

/// Makes a backup beside collection: everything that was acknowledged before is in it. One that takes longer than twenty
/// seconds is answered with 202 and goes on; the list tells when it is there. For the owner of the instance.
#[utoipa::path(post, path = "/api/v1/instance/backups", tag = "instance",
    responses((status = 201, body = Backup), (status = 202, description = "It is still being made")))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Option<Backup>>), ApiError> {
    caller.require_instance_owner(&app).await?;
    let now_ms = app.now_ms(&headers);
    let (tell, told) = tokio::sync::oneshot::channel();
    // It goes on when nobody waits for it any more.
    let making = move || {
        let made = app.backups.make(now_ms);
        // The server may end as soon as this is told.
        drop(app);
        let _ = tell.send(made);
    };
    let broken_off = || ApiError::new(Code::Internal, "The backup was broken off.");
    let thread = std::thread::Builder::new().name("backup".to_owned());
    thread.spawn(making).map_err(|_| broken_off())?;
    match tokio::time::timeout(PATIENCE, told).await {
        Ok(Ok(made)) => Ok((StatusCode::CREATED, Json(Some(body(made.map_err(refusal)?))))),
        Ok(Err(_)) => Err(broken_off()),
        Err(_) => Ok((StatusCode::ACCEPTED, Json(None))),
    }
}

/// Removes a backup. For the owner of the instance.
#[utoipa::path(delete, path = "/api/v1/instance/backups/{backup_id}", tag = "instance",
    params(("backup_id" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone")))]
pub async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(backup_id): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.require_instance_owner(&app).await?;
    match with_backups(&app, move |app| app.backups.remove(&backup_id)).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found()),
    }
}

/// Runs work on the backups off the async threads.
async fn with_backups<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&App) -> Result<T, BackupError> + Send + 'static,
) -> Result<T, ApiError> {
    let app = Arc::clone(app);
    let done = tokio::task::spawn_blocking(move || work(&app)).await;
    let broken_off = |_| ApiError::new(Code::Internal, "The work on the backups was broken off.");
    done.map_err(broken_off)?.map_err(refusal)
}

fn refusal(error: BackupError) -> ApiError {
    match error {
        BackupError::Snapshot(SnapshotError::Busy) => {
            ApiError::new(Code::Conflict, "A backup is being made already.")
                .helped_by("Wait until the list shows that none is being made.")
        }
        error => ApiError::new(Code::Unavailable, format!("There is no backup: {error}."))
            .helped_by("The message says what is missing; then try again."),
    }
}

fn body(listed: Listed) -> Backup {
    let Listed { id, manifest } = listed;
    match manifest {
        Err(problem) => Backup {
            id,
            created_at: None,
            size_bytes: None,
            program_version: None,
            problem: Some(problem),
        },
        Ok(manifest) => Backup {
            id,
            created_at: Some(show::instant(manifest.made_at_ms)),
            size_bytes: Some(manifest.size_bytes()),
            program_version: Some(manifest.program_version),
            problem: None,
        },
    }
}
