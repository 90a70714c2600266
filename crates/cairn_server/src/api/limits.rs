//! How often what costs much may be asked for: questions to shared reports, and mails that are sent now.
//!
//! Guarantees: fixed memory, as [`RateLimiter`] has it; a refusal says how long to wait.

use std::net::IpAddr;

use cairn_model::SiteId;

use crate::collect::RateLimiter;
use crate::error::{ApiError, Code};

/// Questions to one shared report from one network in a minute: its page asks seven when it opens.
const QUESTIONS_OF_A_NETWORK_PER_MINUTE_MAX: u32 = 120;
/// The same from everywhere.
const QUESTIONS_PER_MINUTE_MAX: u32 = 1_200;
/// Digests that are sent now and tests of alerts, of one site in an hour: each is up to 20 mails.
const SENDINGS_PER_HOUR_MAX: u32 = 10;

/// What is counted.
pub struct CallLimits {
    questions_of_networks: RateLimiter,
    questions: RateLimiter,
    sendings: RateLimiter,
}

impl Default for CallLimits {
    fn default() -> Self {
        CallLimits {
            questions_of_networks: RateLimiter::by_the_minute(
                QUESTIONS_OF_A_NETWORK_PER_MINUTE_MAX,
            ),
            questions: RateLimiter::by_the_minute(QUESTIONS_PER_MINUTE_MAX),
            sendings: RateLimiter::hourly(SENDINGS_PER_HOUR_MAX),
        }
    }
}

impl CallLimits {
    /// Counts a question to a shared report. A network that asks too often is told so before it counts for all.
    pub(super) fn question(&self, share_id: i64, address: Option<IpAddr>) -> Result<(), ApiError> {
        let key = share_id.to_string();
        let of_network = address.map_or(Ok(()), |ip| self.questions_of_networks.admits(&key, ip));
        let admitted = of_network.and_then(|()| self.questions.admits_from_anywhere(&key));
        admitted.map_err(|seconds| {
            let message = "This report is asked too often; wait a little.";
            ApiError::new(Code::RateLimited, message).retry_after(seconds)
        })
    }

    /// Counts something that is sent now.
    pub(super) fn sending(&self, site_id: SiteId) -> Result<(), ApiError> {
        self.sendings.admits_from_anywhere(&site_id.to_string()).map_err(|seconds| {
            let message = format!(
                "Digests and tests of alerts are sent by hand at most {SENDINGS_PER_HOUR_MAX} times an hour."
            );
            ApiError::new(Code::RateLimited, message).retry_after(seconds)
        })
    }
}
