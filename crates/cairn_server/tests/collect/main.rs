//! Collection over real sockets: what clients of every kind are answered, and that each event that
//! came in is counted once.

#![allow(clippy::unwrap_used)]

mod bounds;
mod browsers;
mod client;
mod formats;
mod inputs;
mod live_test;
mod mail;
mod running;
