//! Collection over real sockets: what clients of every kind are answered, and that each event that
//! came in is counted once.

mod bounds;
mod browsers;
mod client;
mod inputs;
mod running;
