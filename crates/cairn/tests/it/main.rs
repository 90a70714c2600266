//! The program from outside: the real binary, real sockets, real files.

mod client;
mod command_line;
mod crash;
mod demo;
mod journeys;
mod real_input;
mod refusal;
mod server;
