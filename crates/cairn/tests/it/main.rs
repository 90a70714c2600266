//! The program from outside: the real binary, real sockets, real files.

// Figures are what some of these tests print; helpers outside of test functions unwrap.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::expect_used)]

mod backup;
mod bad_input;
mod client;
mod command_line;
mod crash;
mod demo;
mod disk;
mod erasure;
mod journeys;
mod large_events;
mod money;
mod real_input;
mod receipts;
mod refusal;
mod search;
mod server;
