//! The program from outside: the real binary, real sockets, real files.

mod client;
mod crash;
mod journeys;
mod refusal;
mod server;
