//! The program from outside: the real binary, real sockets, real files.

mod bad_input;
mod client;
mod command_line;
mod crash;
mod demo;
mod disk;
mod journeys;
mod real_input;
mod refusal;
mod server;
