//! The domain: ingest steps, sessions, the apply loop and reports.

pub mod session;
