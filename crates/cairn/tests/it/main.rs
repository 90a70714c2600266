//! The program from outside: the real binary, real sockets, real files.

mod client;
mod crash;
mod journeys;
mod real_input;
mod refusal;
mod server;
