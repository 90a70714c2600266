//! The domain: ingest steps, sessions, the apply loop and reports.

pub mod alert;
pub mod apply;
pub mod attribution;
pub mod backup;
pub mod identity;
pub mod ingest;
pub mod money;
pub mod outcomes;
pub mod record;
pub mod report;
pub mod rights;
pub mod rollup;
pub mod session;
pub mod token;
