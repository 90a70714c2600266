//! The way out: every request and every mail that leaves the server goes through one guard.
//!
//! Guarantees: a connection is made only to an address that was checked, and to that very address; redirects are checked
//! as if they had been asked for; time, size and number of requests are bounded; errors name neither addresses, hosts nor
//! bodies, so that they may be logged. It does not know what is sent, nor to whom and why.
#![forbid(unsafe_code)]

mod address;
mod client;
mod error;
mod guard;
mod mail;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;

pub use address::{AddressClass, class_of};
pub use client::{Client, OutgoingRequest, OutgoingResponse};
pub use error::OutgoingError;
pub use guard::{Guard, OutgoingOptions, Resolve, Resolving, SystemResolver};
pub use mail::{Mail, MailSecurity, Mailer, SmtpOptions, is_mail_address};
