//! What goes out by itself: digests when they are due, alerts when something begins or ends.
//!
//! Guarantees: an attempt is on disk before it is made, so that there are never more than [`ATTEMPTS_MAX`], whatever crashes;
//! what was given up is told in the log once, without target or content. A round does a bounded amount of work.

mod alert;
mod digest;
pub(crate) mod ending;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use cairn_catalog::{Dispatch, DispatchState, Sender};
use cairn_connect::{Client, Mail, Mailer, OutgoingError};
use tokio::task::JoinSet;

pub(crate) use alert::{addressed, webhook_secret};
pub(crate) use digest::{Written, dispatches, is_hour, write, zone_of};

use crate::App;
use crate::auth::blocking;
use crate::error::ApiError;

/// The ways out; what is not configured is not there.
#[derive(Clone, Default)]
pub struct Outgoing {
    /// For webhooks.
    pub client: Option<Arc<Client>>,
    /// For mails.
    pub mailer: Option<Mailer>,
}

/// Attempts at one dispatch.
pub const ATTEMPTS_MAX: usize = 7;
/// Minutes from each attempt to the next one.
const PAUSES_MINUTES: [i64; ATTEMPTS_MAX] = [1, 5, 15, 60, 180, 360, 360];
/// Dispatches of one round.
const DISPATCHES_MAX: usize = 40;
/// For how long it is kept what became of a dispatch.
const SETTLED_AGE_MS_MAX: i64 = 100 * 24 * 60 * 60 * 1000;

/// Does what is due: notes digests, looks at alerts, sends what waits.
pub async fn round(app: &Arc<App>, now_ms: i64) {
    let planned = digest::plan(app, now_ms).await;
    let watched = alert::watch(app, now_ms).await;
    let sent = deliver(app, now_ms).await;
    let expired = blocking(app, move |catalog| {
        catalog.expire_dispatches(now_ms.saturating_sub(SETTLED_AGE_MS_MAX))
    });
    for result in [planned, watched, sent, expired.await.map(drop)] {
        if let Err(error) = result {
            tracing::warn!(error = error.message, "digests and alerts wait");
        }
    }
}

/// What is sent: one way or the other.
enum Outbound {
    Mail(Box<Mail>),
    Hook(Box<alert::Hook>),
}

/// The clock of a round: what is sent late in it is sent later.
#[derive(Clone, Copy)]
struct Clock {
    began: Instant,
    began_ms: i64,
}

impl Clock {
    fn now_ms(self) -> i64 {
        let passed_ms = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.began_ms.saturating_add(passed_ms)
    }
}

/// Sends what waits and is due. An attempt is on disk before anything of it is done, its mail written included.
pub(crate) async fn deliver(app: &Arc<App>, now_ms: i64) -> Result<(), ApiError> {
    let clock = Clock { began: Instant::now(), began_ms: now_ms };
    let due = blocking(app, move |catalog| catalog.due_dispatches(now_ms, DISPATCHES_MAX)).await?;
    let mut digests = HashMap::new();
    let mut running = JoinSet::new();
    for dispatch in due {
        if !begin(app, &dispatch, now_ms).await? {
            continue;
        }
        let made = match dispatch.what.sender {
            Sender::Digest(id) => digest::mail(app, id, &dispatch, &mut digests, now_ms).await,
            Sender::Alert(id) => alert::message(app, id, &dispatch).await,
        };
        // A report that cannot be made now waits like a server that does not answer.
        let made = made.map_err(|error| error.message);
        running.spawn(attempt(Arc::clone(app), dispatch, made, clock));
    }
    while let Some(done) = running.join_next().await {
        if let Ok(Err(error)) = done {
            tracing::warn!(error = error.message, "what became of a dispatch is not noted");
        }
    }
    Ok(())
}

/// Counts an attempt; false: somebody else makes it, or there were enough.
async fn begin(app: &Arc<App>, dispatch: &Dispatch, now_ms: i64) -> Result<bool, ApiError> {
    let (id, before) = (dispatch.id, dispatch.attempts);
    let Some(pause_minutes) = PAUSES_MINUTES.get(before as usize) else {
        // The last attempt ended with the server, and nobody knows how.
        let problem = "the server ended during the last attempt".to_owned();
        end(app, dispatch, DispatchState::GivenUp, problem, now_ms).await?;
        return Ok(false);
    };
    let next_at_ms = now_ms + pause_minutes * 60 * 1000;
    blocking(app, move |catalog| catalog.begin_dispatch(id, before, next_at_ms)).await
}

/// Makes an attempt that is counted.
async fn attempt(
    app: Arc<App>,
    dispatch: Dispatch,
    made: Result<Option<Outbound>, String>,
    clock: Clock,
) -> Result<(), ApiError> {
    let (is_for_good, problem) = match made {
        Ok(None) => (true, "there is no way to send it".to_owned()),
        Err(problem) => (false, problem),
        Ok(Some(outbound)) => match send(&app, outbound, clock).await {
            Ok(()) => {
                let (sent, no_problem) = (DispatchState::Sent, String::new());
                return end(&app, &dispatch, sent, no_problem, clock.now_ms()).await;
            }
            Err(error) => (!error.is_worth_repeating(), error.to_string()),
        },
    };
    let state = match is_for_good || dispatch.attempts as usize + 1 >= ATTEMPTS_MAX {
        true => DispatchState::GivenUp,
        false => DispatchState::Waiting,
    };
    end(&app, &dispatch, state, problem, clock.now_ms()).await
}

/// Notes how an attempt ended.
async fn end(
    app: &Arc<App>,
    dispatch: &Dispatch,
    state: DispatchState,
    problem: String,
    now_ms: i64,
) -> Result<(), ApiError> {
    let id = dispatch.id;
    if state == DispatchState::GivenUp {
        tracing::warn!(dispatch = id, sender = %dispatch.what.sender, problem, "given up to send");
    }
    blocking(app, move |catalog| catalog.end_dispatch(id, state, &problem, now_ms)).await
}

async fn send(app: &App, outbound: Outbound, clock: Clock) -> Result<(), OutgoingError> {
    let missing = OutgoingError::Unavailable { step: "no mail server is configured" };
    match outbound {
        Outbound::Mail(mail) => app.outgoing.mailer.as_ref().ok_or(missing)?.send(&mail).await,
        Outbound::Hook(hook) => {
            let client = app.outgoing.client.as_ref().ok_or(missing)?;
            // Signed with the time at which it goes out, which may be after others.
            let status = client.send_made(|| hook.signed(clock.now_ms())).await?.status;
            match status.as_u16() {
                200..=299 => Ok(()),
                408 | 429 | 500.. => {
                    Err(OutgoingError::Unavailable { step: "it answers that it cannot now" })
                }
                _ => {
                    Err(OutgoingError::Refused { reason: "it answers that it does not want this" })
                }
            }
        }
    }
}

/// What tells a mail from all others, the same in each attempt, so that a server that got it twice can tell.
fn mail_key(app: &App, dispatch: &Dispatch) -> String {
    let key = app.catalog.master_secret().derive("cairn 2026 mail message id");
    let hash = blake3::keyed_hash(&key, &dispatch.id.to_be_bytes());
    format!("cairn-{}", &hash.to_hex()[..32])
}
