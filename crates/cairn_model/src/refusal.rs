//! The last no of a sender that keeps no record of ours, as the log and the catalog have it. It names nobody: the sender is a
//! keyed number.

use serde::{Deserialize, Serialize};

use crate::{SiteId, VisitorId};

/// Days for which a no holds after it was last said: as long as a browser's own record of it would.
pub const REFUSAL_AGE_DAYS_MAX: u32 = crate::limits::COOKIE_AGE_DAYS_MAX;

/// What a sender said last of being known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// To which site.
    pub site_id: SiteId,
    /// Who: the visitor that its events would be of.
    pub sender: VisitorId,
    /// By what he said no, a number of whoever reads it; `None`: he gave permission again.
    pub said_by: Option<u8>,
    /// When, Unix milliseconds.
    pub said_at_ms: i64,
}
