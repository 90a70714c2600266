//! What consent managers write: TC strings (TCF 2.0 to 2.3), GPP strings with all their sections,
//! the US Privacy string, Google consent mode; and what they say about this product's purposes.
//!
//! Guarantees: pure functions without clock, disk or network; a text is understood as a whole or
//! refused with the reason, never in part; work and memory are bounded by [`STRING_SIZE_BYTES_MAX`].
//! It writes no strings: only registered consent managers may. It does not know who sent a string, or
//! what a site's policy is.

pub mod bits;
pub mod canada;
pub mod error;
pub mod gpp;
pub mod mode;
pub mod purposes;
pub mod tcf;
pub mod us;
pub mod us_privacy;
pub mod vendors;

pub use error::ConsentError;
pub use gpp::{Applicable, GppString, Section};
pub use mode::ConsentMode;
pub use purposes::{Answer, Answers};
pub use tcf::TcString;
pub use us::UsSection;
pub use us_privacy::UsPrivacy;
pub use vendors::VendorSet;

/// Longest string that is read; real ones have some hundred bytes.
pub const STRING_SIZE_BYTES_MAX: usize = 8 * 1024;
