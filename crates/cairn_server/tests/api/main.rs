//! The API over its router, with the real apply loop and no sockets.

#![allow(clippy::unwrap_used)]

mod access;
mod account;
mod attribution;
mod backups;
mod emails;
mod events;
mod import;
mod input;
mod memory;
mod money;
mod operations;
mod paths;
mod pixels;
mod queries;
mod receipts;
mod rig;
mod rights;
mod segments;
mod sending;
mod settings;
mod shares;
