//! The owner's side of people's rights: finding somebody, and answering his requests in time.
//!
//! Guarantees: an identifier comes in the body and stands in no address, log or kept answer. What a request was about is
//! gone when it is closed; what was done stays, under keyed numbers.

pub mod find;
pub mod requests;

mod answers;
mod asked;

use answers::{RightsRequestBody, WaitingRequests};
