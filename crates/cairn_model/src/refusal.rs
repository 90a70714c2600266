//! The last word of a sender that keeps no record of ours, as the log and the catalog have it: to which purposes it said
//! no. It names nobody: the sender is a keyed number.

use serde::{Deserialize, Serialize};

use crate::{SiteId, VisitorId};

/// Days for which a no holds after it was last said: as long as a browser's own record of it would.
pub const REFUSAL_AGE_DAYS_MAX: u32 = crate::limits::COOKIE_AGE_DAYS_MAX;

/// What a sender said no to, after its last word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// To which site.
    pub site_id: SiteId,
    /// Which sender: the visitor that its events would be of.
    pub sender: VisitorId,
    /// To which purposes it says no, and by what, as a number of whoever reads it; `None`: to nothing any more.
    pub said_by: Option<u8>,
    /// When, Unix milliseconds.
    pub said_at_ms: i64,
}
