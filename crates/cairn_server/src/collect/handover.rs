//! Between a record and its durability.
//!
//! Guarantees: events handed to the log get their outcome when the log's answer comes, also when the
//! client has gone away and nobody waits for the answer any more.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cairn_engine::ingest::Rejection;
use cairn_engine::outcomes::Received;
use cairn_log::{Append, LogError};
use cairn_model::{Outcome, SiteId};

use crate::App;

/// Resolves when the records are durable, or to why they are not.
pub struct Handover<'a> {
    app: &'a Arc<App>,
    append: Option<Append>,
    site: SiteId,
    events: usize,
    now_ms: i64,
    /// Offsets of the records, once they are durable.
    pub offsets: Range<u64>,
}

impl<'a> Handover<'a> {
    /// Takes over the events that are still open.
    pub fn new(
        app: &'a Arc<App>,
        append: Append,
        site: SiteId,
        received: Received<'_>,
        now_ms: i64,
    ) -> Self {
        let events = received.hand_over();
        Handover { app, append: Some(append), site, events, now_ms, offsets: 0..0 }
    }
}

impl Future for Handover<'_> {
    type Output = Result<(), Rejection>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(append) = &mut this.append else {
            return Poll::Ready(Err(unavailable(&LogError::Closed)));
        };
        let Poll::Ready(result) = Pin::new(append).poll(context) else { return Poll::Pending };
        this.append = None;
        if let Ok(offsets) = &result {
            this.offsets = offsets.clone();
        }
        Poll::Ready(settle(this.app, this.site, this.events, this.now_ms, result.map(drop)))
    }
}

impl Drop for Handover<'_> {
    fn drop(&mut self) {
        let Some(append) = self.append.take() else { return };
        let (app, site) = (Arc::clone(self.app), self.site);
        let (events, now_ms) = (self.events, self.now_ms);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let result = append.await.map(drop);
            let _ = settle(&app, site, events, now_ms, result);
        });
    }
}

fn settle(
    app: &App,
    site: SiteId,
    events: usize,
    now_ms: i64,
    result: Result<(), LogError>,
) -> Result<(), Rejection> {
    let counters = &app.counters;
    match result {
        Ok(()) => {
            counters.settle(site, Outcome::Accepted, events, now_ms);
            Ok(())
        }
        Err(error) => {
            let rejection = unavailable(&error);
            counters.settle(site, rejection.outcome, events, now_ms);
            Err(rejection)
        }
    }
}

/// What senders are told when the log cannot take an event.
pub fn unavailable(error: &LogError) -> Rejection {
    match error {
        LogError::TooLarge { .. } => {
            Rejection::new(Outcome::RejectedTooLarge, "the event is too large to be stored")
        }
        LogError::Busy => {
            Rejection::new(Outcome::UnavailableOverloaded, "more events than the disk can take")
        }
        _ => Rejection::new(
            Outcome::UnavailableLogFull,
            "the log is full or failing; nothing was kept",
        ),
    }
}
