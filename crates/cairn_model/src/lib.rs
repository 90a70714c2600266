//! The vocabulary of Cairn: ids, event, consent, outcome, session, limits.
//!
//! Guarantees: plain values. This crate does no I/O, reads no clock and draws no random numbers, so everything
//! built from it can be replayed. It does not know HTTP, SQL or files. Read it first.
#![forbid(unsafe_code)]

pub mod answer;
pub mod consent;
pub mod cost;
pub mod currency;
pub mod digest;
pub mod event;
pub mod ids;
pub mod jurisdiction;
pub mod limits;
pub mod memory;
pub mod notice;
pub mod outcome;
pub mod question;
pub mod rates;
pub mod receipt;
pub mod refusal;
pub mod retention;
pub mod rights;
pub mod session;
pub mod site;
pub mod subject;
pub mod touches;
pub mod tracker;

pub use answer::Answer;
pub use consent::{Basis, Choice, Purpose, Verdict};
pub use cost::Cost;
pub use currency::Currency;
pub use event::{Event, Identification, Origin};
pub use ids::{PixelId, SiteId, VisitorId};
pub use jurisdiction::PlaceRule;
pub use notice::Notice;
pub use outcome::Outcome;
pub use question::Question;
pub use rates::{Pricing, Rate, Rates};
pub use session::Session;
pub use site::{Asking, CrossSiteCookies, Pixel, PixelKind, Policy, PrivacySettings, Site};
pub use subject::Subject;
pub use tracker::TrackerSettings;
