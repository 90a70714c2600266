//! Segment's HTTP tracking API, which RudderStack's SDKs speak too (docs/segment.md).
//!
//! Guarantees: the calls `track page screen identify group alias` and bodies of many; the write key
//! from basic authentication, the body or the address; fields of a batch hold for its messages
//! unless they say otherwise. What Cairn has no field for is a property, or is named in
//! docs/segment.md as left out.

mod commerce;
mod context;
mod message;
mod properties;
mod setup;

use std::borrow::Cow;

use cairn_model::limits::{
    FORMAT_BODY_SIZE_BYTES_MAX, FORMAT_EVENT_SIZE_BYTES_MAX, FORMAT_EVENTS_PER_BODY_MAX,
};

use super::{Events, Opened, Request, Terms};
use crate::ingest::envelope::BrokenEnvelope;
use crate::ingest::fields::{not_a, text};
use crate::ingest::json::{Kind, Raw, document};
use crate::ingest::parsed::ParsedEvent;
use crate::ingest::rejection::Rejection;
use crate::ingest::text::percent_decoded;
use crate::ingest::timestamp;

pub use commerce::{CALLED, Called};

/// A field of an object, value unread.
type Field<'a> = (Cow<'a, str>, Raw<'a>);
/// Fields of an object in their order.
type Fields<'a> = Vec<Field<'a>>;

/// What a message reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// Something that somebody did.
    Track,
    /// A page was seen.
    Page,
    /// A screen of an app was seen.
    Screen,
    /// Who somebody is.
    Identify,
    /// Whom somebody belongs to.
    Group,
    /// Two names of one person.
    Alias,
}

/// Names in `type` and in paths; the short ones are what Segment's browser library uses.
const CALLS: [(&str, &str, Call); 6] = [
    ("track", "t", Call::Track),
    ("page", "p", Call::Page),
    ("screen", "s", Call::Screen),
    ("identify", "i", Call::Identify),
    ("group", "g", Call::Group),
    ("alias", "a", Call::Alias),
];
/// Paths of many messages; `import` is what older mobile SDKs use.
const BATCHES: [&str; 3] = ["batch", "b", "import"];
/// Where the calls are found; RudderStack's browser SDK has a prefix for what it sends at the end.
const PREFIXES: [&str; 2] = ["/v1/", "/beacon/v1/"];

/// Context of a batch as a whole: every message pays for it.
const COMMON_SIZE_BYTES_MAX: usize = 4 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    One(Call),
    Many,
}

fn shape(path: &str) -> Option<Shape> {
    let name = PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix))?;
    if BATCHES.contains(&name) {
        return Some(Shape::Many);
    }
    let call = CALLS.iter().find(|(long, short, _)| name == *long || name == *short)?;
    Some(Shape::One(call.2))
}

/// Whether a path is one of the API's.
pub fn takes(path: &str) -> bool {
    shape(path).is_some() || setup::takes(path)
}

/// What a browser library is told before it sends; `None` where the path asks nothing.
pub fn setup(request: &Request<'_>, origin: &str) -> Option<String> {
    setup::answer(request, origin)
}

/// Reads the envelope of a request.
pub fn open<'a>(request: &Request<'a>) -> Result<Opened<'a>, BrokenEnvelope> {
    let shape = shape(request.path)
        .ok_or_else(|| Rejection::malformed("", "Segment's API has no such call"))?;
    if request.body.len() > FORMAT_BODY_SIZE_BYTES_MAX {
        return Err(Rejection::too_large("", "the body is over 512 KiB").into());
    }
    let fields = document(request.body)?;
    let messages = match shape {
        Shape::One(_) => Vec::new(),
        Shape::Many => {
            let list = named(&fields, "batch").ok_or_else(|| missing("batch"))?;
            list.elements().ok_or_else(|| not_a("batch", "JSON list of messages"))?
        }
    };
    let broken = |rejection| BrokenEnvelope { rejection, events: messages.len().max(1) };
    let (key, key_in_address) = write_key(request, &fields).map_err(broken)?;
    if shape == Shape::Many && messages.is_empty() {
        return Err(broken(Rejection::malformed("batch", "empty")));
    }
    if messages.len() > FORMAT_EVENTS_PER_BODY_MAX {
        return Err(broken(Rejection::too_large("batch", "more than 2500 messages")));
    }
    let sent_at_ms = time(&fields, "sentAt").map_err(broken)?;
    let events: Box<dyn Events<'a> + Send + Sync + 'a> = match shape {
        Shape::One(call) => Box::new(One { call, fields, size_bytes: request.body.len() }),
        Shape::Many => {
            let common = context_of(&fields).map_err(broken)?;
            Box::new(Many { messages, common, sent_at_ms })
        }
    };
    Ok(Opened { key, key_in_address, events })
}

/// The key: of the authentication, else of the body, else of the address.
fn write_key<'a>(
    request: &Request<'a>,
    fields: &[Field<'a>],
) -> Result<(Cow<'a, str>, bool), Rejection> {
    if !request.user_name.is_empty() {
        return Ok((Cow::Borrowed(request.user_name), false));
    }
    if let Some(value) = named(fields, "writeKey") {
        let key = text("writeKey", value)?;
        if !key.is_empty() {
            return Ok((key, false));
        }
    }
    let pairs = request.query.split('&').filter_map(|pair| pair.split_once('='));
    let sent = pairs.into_iter().find(|(name, _)| *name == "writeKey").map(|(_, value)| value);
    let key = sent.and_then(percent_decoded).unwrap_or_default();
    if key.is_empty() {
        let message = "missing: send it as the user name of basic authentication, or in the body";
        return Err(Rejection::malformed("writeKey", message));
    }
    Ok((key, true))
}

/// One message that is the body.
struct One<'a> {
    call: Call,
    fields: Fields<'a>,
    size_bytes: usize,
}

impl<'a> Events<'a> for One<'a> {
    fn count(&self) -> usize {
        1
    }

    fn event(&self, _: usize, terms: &Terms<'_>) -> Result<ParsedEvent<'a>, Rejection> {
        check_size(self.size_bytes)?;
        message::read(self.call, &self.fields, &[], time(&self.fields, "sentAt")?, terms)
    }
}

/// The messages of a batch.
struct Many<'a> {
    messages: Vec<Raw<'a>>,
    /// `context` of the batch.
    common: Fields<'a>,
    sent_at_ms: Option<i64>,
}

impl<'a> Events<'a> for Many<'a> {
    fn count(&self) -> usize {
        self.messages.len()
    }

    fn event(&self, index: usize, terms: &Terms<'_>) -> Result<ParsedEvent<'a>, Rejection> {
        let raw = self.messages.get(index).ok_or_else(|| missing("batch"))?;
        check_size(raw.0.len())?;
        let fields = raw.fields().ok_or_else(|| match raw.kind() {
            Kind::Object => Rejection::malformed("", "a field name is not valid text"),
            _ => Rejection::malformed("", "a message is a JSON object"),
        })?;
        let call = text("type", named(&fields, "type").ok_or_else(|| missing("type"))?)?;
        let known = CALLS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(&call));
        let (.., call) = *known.ok_or_else(|| {
            Rejection::malformed("type", "not one of track, page, screen, identify, group, alias")
        })?;
        // A message that was queued carries the time of its first attempt; the batch that of this one.
        let sent_at_ms = match self.sent_at_ms {
            Some(sent_at_ms) => Some(sent_at_ms),
            None => time(&fields, "sentAt")?,
        };
        message::read(call, &fields, &self.common, sent_at_ms, terms)
    }
}

fn check_size(size_bytes: usize) -> Result<(), Rejection> {
    if size_bytes > FORMAT_EVENT_SIZE_BYTES_MAX {
        return Err(Rejection::too_large("", "the message is over 32 KiB"));
    }
    Ok(())
}

/// The value of a field that is there and not `null`. Of a name given twice the last one counts, as
/// with every JSON parser that these SDKs were written against.
fn named<'a>(fields: &[Field<'a>], name: &str) -> Option<Raw<'a>> {
    let found = fields.iter().rev().find(|(known, _)| known == name);
    found.map(|(_, value)| *value).filter(|value| value.kind() != Kind::Null)
}

/// The parts that are used of a batch's context: they are read again for each message.
fn context_of<'a>(fields: &[Field<'a>]) -> Result<Fields<'a>, Rejection> {
    let Some(context) = named(fields, "context") else { return Ok(Vec::new()) };
    if context.0.len() > COMMON_SIZE_BYTES_MAX {
        return Err(Rejection::too_large("context", "a batch's own is over 4 KiB"));
    }
    let given = object("context", context)?;
    let known = |name: &&'static str| Some((Cow::Borrowed(*name), named(&given, name)?));
    Ok(context::PARTS.iter().filter_map(known).collect())
}

fn object<'a>(field: &'static str, value: Raw<'a>) -> Result<Fields<'a>, Rejection> {
    value.fields().ok_or_else(|| not_a(field, "JSON object"))
}

fn missing(field: &'static str) -> Rejection {
    Rejection::malformed(field, "missing")
}

/// A time by the sender's clock, Unix milliseconds.
fn time(fields: &[Field<'_>], name: &'static str) -> Result<Option<i64>, Rejection> {
    let Some(value) = named(fields, name) else { return Ok(None) };
    let text = value.scalar().ok_or_else(|| not_a(name, "text or number"))?;
    if text.is_empty() {
        return Ok(None);
    }
    let read = timestamp::parse(&text).or_else(|fault| match with_colon(&text) {
        Some(text) => timestamp::parse(&text),
        None => Err(fault),
    });
    read.map(Some).map_err(|mut fault| {
        fault.field = Cow::Borrowed(name);
        fault
    })
}

/// `+0200` as `+02:00`: ISO 8601 allows both.
fn with_colon(text: &str) -> Option<String> {
    let at = text.len().checked_sub(5)?;
    let (time, offset) = text.split_at_checked(at)?;
    let digits = offset.strip_prefix(['+', '-'])?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(format!("{time}{}:{}", &offset[..3], &offset[3..]))
}
