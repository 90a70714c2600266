//! The query of `GET /p.gif`.
//!
//! Guarantees: what cannot be read exactly is refused by name, never guessed. Texts are borrowed
//! from the request as long as they need no decoding.

use std::borrow::Cow;

use cairn_model::event::PAGE_VIEW;
use cairn_model::limits::PROPS_MAX;
use memchr::memchr;

use super::ad::macros::is_missing;
use super::consent::{self, SentConsent, Strings};
use super::fields::{decoration, props_json, set_amount};
use super::page::Page;
use super::parsed::{ParsedEvent, check_whole, event_name};
use super::rejection::Rejection;
use super::text::{self, bounded, percent_decoded};
use super::timestamp;

/// Parameters that keep caches from answering; what they hold is ignored.
const CACHE_BREAKERS: [&str; 4] = ["_", "cb", "ord", "rnd"];

/// What an image request says.
#[derive(Debug)]
pub struct ImageQuery<'a> {
    /// The event.
    pub event: ParsedEvent<'a>,
    /// What the visitor said, if anything.
    pub consent: SentConsent,
}

#[derive(Default)]
struct Found<'a> {
    name: Option<Cow<'a, str>>,
    value: Option<Cow<'a, str>>,
    currency: Option<Cow<'a, str>>,
    url: Option<Cow<'a, str>>,
    props: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Strings of consent managers, where any came.
    strings: Option<Box<Strings<'a>>>,
    /// One bit for each known parameter that was given.
    seen: u32,
}

/// The key of an image request: it names the site that a fault of the rest is counted for.
pub fn key(query: &str) -> Result<Cow<'_, str>, Rejection> {
    for pair in pairs(query) {
        if let Some(value) = pair.strip_prefix("key=") {
            return percent_decoded(value).ok_or_else(|| not_utf8("key"));
        }
    }
    Ok(Cow::Borrowed(""))
}

/// What stands between the `&` of a query.
fn pairs(query: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(query);
    std::iter::from_fn(move || {
        let text = rest?;
        let (pair, after) =
            parted(text, b'&').map_or((text, None), |(pair, rest)| (pair, Some(rest)));
        rest = after;
        Some(pair)
    })
}

/// A text before and behind the first of this ASCII character; every hit's query is searched often.
fn parted(text: &str, mark: u8) -> Option<(&str, &str)> {
    let at = memchr(mark, text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}

/// Reads an image request; `referer` is the header of that name.
pub fn image<'a>(query: &'a str, referer: &'a str) -> Result<ImageQuery<'a>, Rejection> {
    let mut event = ParsedEvent::default();
    let mut consent = SentConsent::Nothing;
    let mut found = Found::default();
    for pair in pairs(query).filter(|pair| !pair.is_empty()) {
        let (name, value) = parted(pair, b'=').unwrap_or((pair, ""));
        parameter(&mut event, &mut consent, &mut found, name, value)?;
    }
    if let Some(strings) = &found.strings {
        consent = consent.with_strings(strings);
    }
    event.name = event_name(found.name.unwrap_or(Cow::Borrowed(PAGE_VIEW)))?;
    let url = match found.url {
        Some(url) => bounded(url, &mut event.truncated),
        None => bounded(Cow::Borrowed(referer), &mut event.truncated),
    };
    event.page = Page::parse("url", url)?;
    set_amount(&mut event, found.value.as_deref(), found.currency.as_deref())?;
    if !found.props.is_empty() {
        let pairs = found.props.iter().map(|(name, value)| (name.as_ref(), value.clone()));
        event.props = Cow::Owned(props_json(pairs, &mut event.truncated));
    }
    check_whole(&event)?;
    Ok(ImageQuery { event, consent })
}

const NAMES: [&str; 20] = [
    "key",
    "event",
    "url",
    "referrer",
    "title",
    "event_id",
    "timestamp",
    "user_id",
    "value",
    "currency",
    "order_id",
    "consent",
    "screen",
    "language",
    "_",
    "gdpr",
    "gdpr_consent",
    "gpp",
    "gpp_sid",
    "us_privacy",
];

fn parameter<'a>(
    event: &mut ParsedEvent<'a>,
    consent: &mut SentConsent,
    found: &mut Found<'a>,
    name: &'a str,
    value: &'a str,
) -> Result<(), Rejection> {
    let name =
        percent_decoded(name).ok_or_else(|| Rejection::malformed("", "a name is not UTF-8"))?;
    let Some(place) = NAMES.iter().position(|known| *known == name) else {
        return own_parameter(found, name, value);
    };
    let field = NAMES[place];
    if found.seen & 1 << place != 0 && field != "_" {
        return Err(Rejection::malformed(field, "given twice"));
    }
    found.seen |= 1 << place;
    let raw = value;
    let value = percent_decoded(value).ok_or_else(|| not_utf8(field))?;
    match field {
        "event" => found.name = Some(value),
        "url" => found.url = Some(value),
        "referrer" => event.referrer = bounded(value, &mut event.truncated),
        "title" => event.title = bounded(value, &mut event.truncated),
        "event_id" => event.event_id = text::id(field, value)?,
        "user_id" => event.user_id = text::id(field, value)?,
        "order_id" => event.order_id = text::id(field, value)?,
        "timestamp" if value.is_empty() => {}
        "timestamp" => event.timestamp_ms = Some(timestamp::parse(&value)?),
        "value" => found.value = Some(value).filter(|value| !value.is_empty()),
        "currency" => found.currency = Some(value),
        "consent" => *consent = consent::parse(&value)?,
        "screen" => event.screen = decoration(value, text::screen),
        "language" => event.language = decoration(value, text::language),
        "key" | "_" => {}
        // What ad servers fill in; a macro that nobody filled says nothing.
        _ if is_missing(raw) => {}
        string => {
            found.strings.get_or_insert_default().set(string, value);
        }
    }
    Ok(())
}

/// `props[NAME]`, or a parameter that does not exist.
fn own_parameter<'a>(
    found: &mut Found<'a>,
    name: Cow<'a, str>,
    value: &'a str,
) -> Result<(), Rejection> {
    let own = name.strip_prefix("props[").and_then(|rest| rest.strip_suffix(']'));
    let Some(own) = own else {
        if CACHE_BREAKERS.contains(&name.as_ref()) {
            return Ok(());
        }
        let mut rejection = Rejection::unknown_field(&name);
        rejection.message = Cow::Borrowed("no such parameter; put your own in props[NAME]");
        return Err(rejection);
    };
    if found.props.len() == PROPS_MAX {
        return Err(Rejection::too_large("props", "more than 64 properties"));
    }
    let fault = |message| Rejection::malformed("", message).at("props", own);
    let value = percent_decoded(value).ok_or_else(|| fault("not UTF-8"))?;
    if found.props.iter().any(|(earlier, _)| earlier == own) {
        return Err(fault("given twice"));
    }
    found.props.push((Cow::Owned(own.to_owned()), value));
    Ok(())
}

fn not_utf8(field: &'static str) -> Rejection {
    Rejection::malformed(field, "not UTF-8 behind its percent signs")
}
