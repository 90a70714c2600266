//! Collection over real sockets: what clients of every kind are answered, and that each event that
//! came in is counted once.

#![allow(clippy::unwrap_used)]

mod ads;
mod asking;
mod bounds;
mod browsers;
mod choices;
mod client;
mod crossings;
mod formats;
mod images;
mod inputs;
mod landings;
mod live_test;
mod mail;
mod memory;
mod postbacks;
mod rights;
mod running;
mod words;
