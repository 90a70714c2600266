//! The way out against real servers on loopback.
#![allow(clippy::unwrap_used)] // A test may fail anywhere, helpers included.

mod mails;
mod requests;
mod rig;
