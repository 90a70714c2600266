//! The collecting paths: `GET /p.gif`, `POST /e`, `POST /m`, `GET /cairn.js` and its parts, mails' and advertisements'
//! `GET /o/TOKEN.gif`, `GET /i/TOKEN.gif` and `GET /l/TOKEN`, postbacks, and other products' formats; what asks
//! visitors and honours their answers: `GET /consent.json`, `GET /.well-known/gpc.json`, `/opt-out`; links between own
//! domains: `POST /link.json`; and `/privacy`, where visitors see what is known about them.
//!
//! Guarantees: a hit is answered as accepted only after its record is on disk; every event that came
//! in is counted under exactly one outcome; an image is always answered with the image. Rules about
//! what may be kept are not here but in the engine's gate.

mod ad;
mod answer;
mod asking;
mod choice;
mod crossing;
mod delivery;
pub(crate) mod description;
mod events;
mod formats;
mod handover;
mod image;
mod landing;
mod limiter;
mod mail;
mod memory;
mod opt_out;
pub(crate) mod page;
mod postback;
mod privacy;
mod privacy_page;
pub(crate) mod request;
mod script;

use std::sync::Arc;

use cairn_engine::ingest::Rejection;
use cairn_engine::ingest::landing::recent::{RecentClicks, RecentUsers};
use cairn_engine::ingest::traces::RecentTraces;
use cairn_engine::token::TokenKeys;
use cairn_engine::token::click::ClickClaims;
use cairn_engine::token::crossing::Crossings;
use cairn_enrich::network::Prefix;
use cairn_log::Appender;
use cairn_model::Outcome;

pub(crate) use answer::{
    Answer, image_without_service, overloaded, overloaded_image, routed, without_service,
    wrong_method,
};
pub(crate) use limiter::network;
pub use limiter::{RateLimit, RateLimiter};
use script::Tracker;

use crate::App;
use crate::rights::VisitorsExports;

/// What the collecting paths of all threads share.
pub(crate) struct Edge {
    pub(crate) app: Arc<App>,
    /// Proxies whose forwarding headers are believed.
    trusted_proxies: Vec<Prefix>,
    limiter: RateLimiter,
    /// Of calls that remember and recall: each costs more than a hit.
    memory_limiter: RateLimiter,
    /// Of looks at what is held: each reads the store.
    rights_limiter: RateLimiter,
    /// Of visitors' erasures.
    erasure_limiter: RateLimiter,
    /// Visitors' exports that are being sent.
    exports: VisitorsExports,
    /// Of browsers that have something remembered for the first time.
    memory_holders: RateLimiter,
    tracker: Option<Tracker>,
    tokens: TokenKeys,
    recent_mail: RecentTraces,
    /// Advertisements apart: they are so many that they would push mails out.
    recent_ads: RecentTraces,
    /// Clicks of recipients who agreed to be known.
    recipients_clicks: RecentClicks,
    /// All others: they cannot push those out.
    other_clicks: RecentClicks,
    /// Whose browsers became lately.
    recent_users: RecentUsers,
    /// Links between a site's domains that were followed.
    crossings: Crossings,
}

impl Edge {
    pub(crate) fn new(app: Arc<App>, rate_limit: RateLimit) -> Self {
        let networks = &app.config.trusted_proxies;
        let trusted_proxies = networks
            .iter()
            .map(|network| Prefix::new(network.address, network.prefix_bits))
            .collect();
        Edge {
            trusted_proxies,
            limiter: RateLimiter::new(rate_limit),
            memory_limiter: RateLimiter::new(memory::rate_limit(rate_limit)),
            rights_limiter: RateLimiter::new(privacy::rate_limit(rate_limit)),
            erasure_limiter: RateLimiter::hourly(rate_limit.erasures_per_hour_max),
            exports: VisitorsExports::default(),
            memory_holders: RateLimiter::hourly(rate_limit.new_memories_per_hour_max),
            tracker: Tracker::embedded(),
            tokens: TokenKeys::new(app.catalog.master_secret()),
            recent_mail: RecentTraces::default(),
            recent_ads: RecentTraces::default(),
            recipients_clicks: RecentClicks::default(),
            other_clicks: RecentClicks::default(),
            recent_users: RecentUsers::default(),
            crossings: Crossings::since((app.clock)()),
            app,
        }
    }
}

impl Edge {
    /// Takes an erased subject out of what is kept in memory here, for as long as this edge is there.
    pub(crate) fn forget_erased(self: &Arc<Self>) {
        let edge = Arc::downgrade(self);
        self.app.apply.on_erasure(move |subject| {
            let Some(edge) = edge.upgrade() else { return };
            for visitor in &subject.visitors {
                edge.recent_users.forget(*visitor);
                edge.recipients_clicks.forget(*visitor);
                edge.other_clicks.forget(*visitor);
            }
        });
    }

    fn clicks_like(&self, click: &ClickClaims) -> &RecentClicks {
        if click.user_key() == 0 { &self.other_clicks } else { &self.recipients_clicks }
    }
}

/// One listener thread's share of the collecting paths.
pub(crate) struct Collector {
    edge: Arc<Edge>,
    appender: Appender,
}

impl Collector {
    /// To be made inside the thread's runtime, which passes on the log's wakes.
    pub(crate) fn new(edge: Arc<Edge>) -> Self {
        let appender = edge.app.log.appender();
        Collector { edge, appender }
    }
}

fn unknown_key() -> Rejection {
    let mut rejection = Rejection::new(Outcome::RejectedUnknownKey, "no pixel has this key");
    rejection.field = "key".into();
    rejection
}

fn rate_limited() -> Rejection {
    Rejection::new(Outcome::RejectedRateLimited, "too many hits from one place with this key")
}

/// A server pixel's key is a secret; addresses end up in logs, histories and `Referer` headers.
fn secret_in_address() -> Rejection {
    let message =
        "this key is a server's secret and was sent in an address; make a new one and use POST /e";
    let mut rejection = Rejection::new(Outcome::RejectedOrigin, message);
    rejection.field = "key".into();
    rejection
}

/// A server pixel's key is a secret; in a browser it is one no more.
fn used_in_browser() -> Rejection {
    let message = "this key is a server's secret and was sent by a browser; make a new one";
    let mut rejection = Rejection::new(Outcome::RejectedOrigin, message);
    rejection.field = "key".into();
    rejection
}
