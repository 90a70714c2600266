//! Other products' wire formats: requests that an SDK sends which was made for somebody else's server.
//!
//! Guarantees: a format is a pure decoder. It turns a request into the same [`ParsedEvent`]s that
//! `POST /e` produces; gate, enrichment, log and outcomes do not know formats. To add one: a module
//! with an `open` function, and its row in [`FORMATS`].

pub mod segment;

use std::borrow::Cow;

use cairn_model::PixelKind;

use super::envelope::BrokenEnvelope;
use super::parsed::ParsedEvent;
use super::rejection::Rejection;

/// What a decoder sees of a request. Texts that are missing are empty.
#[derive(Clone, Copy, Default)]
pub struct Request<'a> {
    /// Path, with its leading slash.
    pub path: &'a str,
    /// Query, without `?`.
    pub query: &'a str,
    /// User name of HTTP's basic authentication.
    pub user_name: &'a str,
    /// Body, decompressed.
    pub body: &'a [u8],
}

/// What a decoder is told of the pixel whose key was sent.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// What the pixel is installed in: decides whose word counts about address and agent.
    pub kind: PixelKind,
    /// Currency of amounts that name none: the site's.
    pub currency: &'a str,
    /// Arrival, Unix milliseconds.
    pub received_at_ms: i64,
}

/// The events of a request, read one by one: a fault of one stays with it.
pub trait Events<'a> {
    /// How many there are.
    fn count(&self) -> usize;
    /// Reads one; `index` is below [`Self::count`].
    fn event(&self, index: usize, terms: &Terms<'_>) -> Result<ParsedEvent<'a>, Rejection>;
}

/// A readable request; its events are not yet read.
pub struct Opened<'a> {
    /// The pixel's key.
    pub key: Cow<'a, str>,
    /// The key stood in the address, where secrets must not be.
    pub key_in_address: bool,
    /// The events.
    pub events: Box<dyn Events<'a> + Send + Sync + 'a>,
}

/// One format.
pub struct Format {
    /// Its name.
    pub name: &'static str,
    /// Whether a path belongs to it.
    pub takes: fn(path: &str) -> bool,
    /// Reads the envelope of a request.
    pub open: for<'a> fn(&Request<'a>) -> Result<Opened<'a>, BrokenEnvelope>,
    /// The JSON that the format's SDKs ask for before they send; `origin`: where they reached us.
    pub setup: fn(request: &Request<'_>, origin: &str) -> Option<String>,
}

/// Every format.
pub static FORMATS: &[Format] = &[Format {
    name: "segment",
    takes: segment::takes,
    open: segment::open,
    setup: segment::setup,
}];

/// The format that a path belongs to.
pub fn format_of(path: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| (format.takes)(path))
}
