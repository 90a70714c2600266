//! One message of Segment's API as an event.

use std::borrow::Cow;

use cairn_model::PixelKind;
use cairn_model::event::PAGE_VIEW;

use super::context::Context;
use super::properties::Properties;
use super::{Call, Field, missing, named, object, time};
use crate::ingest::fields::{id, not_a, text, traits};
use crate::ingest::json::{Kind, Raw, push_text};
use crate::ingest::parsed::{ParsedEvent, check_whole, event_name};
use crate::ingest::rejection::Rejection;

use super::super::Terms;

/// Reads a message. `common`: the context of its batch.
pub(super) fn read<'a>(
    call: Call,
    fields: &[Field<'a>],
    common: &[Field<'a>],
    sent_at_ms: Option<i64>,
    terms: &Terms<'_>,
) -> Result<ParsedEvent<'a>, Rejection> {
    let mut event = ParsedEvent {
        event_id: id_of(fields, "messageId")?,
        user_id: id_of(fields, "userId")?,
        timestamp_ms: happened_at_ms(fields, sent_at_ms, terms)?,
        ..ParsedEvent::default()
    };
    add_sender(&mut event, fields, terms)?;
    let context = Context::read(fields, common)?;
    let mut properties = match named(fields, "properties") {
        Some(value) if matches!(call, Call::Track | Call::Page | Call::Screen) => {
            Properties::read(object("properties", value)?)?
        }
        _ => Properties::default(),
    };
    match call {
        Call::Track => {
            let name = text("event", named(fields, "event").ok_or_else(|| missing("event"))?)?;
            properties.add_track(&mut event, name, terms)?;
        }
        Call::Page => {
            event.name = Cow::Borrowed(PAGE_VIEW);
            properties.add_page(&mut event, fields, "name")?;
        }
        Call::Screen => {
            event.name = Cow::Borrowed("screen_view");
            properties.add_page(&mut event, fields, "screen_name")?;
        }
        Call::Identify => {
            event.name = Cow::Borrowed("identify");
            if let Some(value) = named(fields, "traits").or(context.traits) {
                event.traits = traits(value, &mut event.truncated)?;
            }
        }
        Call::Group => {
            event.name = Cow::Borrowed("join_group");
            event.traits = company(fields, &mut event.truncated)?;
        }
        Call::Alias => {
            event.name = Cow::Borrowed("alias");
            event.traits = previous(fields)?;
        }
    }
    event.name = event_name(event.name)?;
    context.add_to(&mut event, &mut properties, terms)?;
    properties.finish(&mut event)?;
    check_whole(&event).map_err(|mut fault| {
        fault.field = Cow::Owned(format!("properties.{}", fault.field));
        fault
    })?;
    Ok(event)
}

fn id_of<'a>(fields: &[Field<'a>], name: &'static str) -> Result<Cow<'a, str>, Rejection> {
    named(fields, name).map_or(Ok(Cow::Borrowed("")), |value| id(name, value))
}

/// Who sent it. What a browser or an app says is its own name for itself; a server's `userId` is the
/// owner's word, and joins what his other systems report.
fn add_sender<'a>(
    event: &mut ParsedEvent<'a>,
    fields: &[Field<'a>],
    terms: &Terms<'_>,
) -> Result<(), Rejection> {
    let anonymous_id = id_of(fields, "anonymousId")?;
    if anonymous_id.is_empty() && event.user_id.is_empty() {
        return Err(Rejection::malformed("anonymousId", "missing; a message has it, or a userId"));
    }
    event.sender_id = match terms.kind {
        PixelKind::Server => anonymous_id,
        _ if anonymous_id.is_empty() => event.user_id.clone(),
        _ => anonymous_id,
    };
    Ok(())
}

/// When it happened, by our clock: the sender's clock is set right by what it showed when he sent.
fn happened_at_ms(
    fields: &[Field<'_>],
    sent_at_ms: Option<i64>,
    terms: &Terms<'_>,
) -> Result<Option<i64>, Rejection> {
    // RudderStack's SDKs send `originalTimestamp`, and `timestamp` only where the caller gave one.
    let happened_at_ms = match time(fields, "timestamp")? {
        Some(at_ms) => Some(at_ms),
        None => time(fields, "originalTimestamp")?,
    };
    let skew_ms =
        sent_at_ms.map_or(0, |sent_at_ms| terms.received_at_ms.saturating_sub(sent_at_ms));
    Ok(happened_at_ms.map(|at_ms| at_ms.saturating_add(skew_ms)))
}

/// A group is a company that the person belongs to: the trait `company` of `identify`.
fn company<'a>(fields: &[Field<'a>], truncated: &mut bool) -> Result<Cow<'a, str>, Rejection> {
    let group_id = id_of(fields, "groupId")?;
    if group_id.is_empty() {
        return Err(missing("groupId"));
    }
    let mut json = String::from("{\"company\":{\"id\":");
    push_text(&mut json, &group_id);
    if let Some(given) = named(fields, "traits") {
        for (name, value) in object("traits", given)? {
            if name == "id" || value.kind() == Kind::Null {
                continue;
            }
            json.push(',');
            push_text(&mut json, &name);
            json.push(':');
            json.push_str(value.0);
        }
    }
    json.push_str("}}");
    Ok(Cow::Owned(traits(Raw(&json), truncated)?.into_owned()))
}

/// The name that a person had before.
fn previous<'a>(fields: &[Field<'a>]) -> Result<Cow<'a, str>, Rejection> {
    let previous_id = id_of(fields, "previousId")?;
    if previous_id.is_empty() {
        return Err(missing("previousId"));
    }
    if named(fields, "userId").is_none() {
        return Err(missing("userId"));
    }
    let mut json = String::from("{\"previous_id\":");
    push_text(&mut json, &previous_id);
    json.push('}');
    Ok(Cow::Owned(json))
}

/// A text that may be of any scalar kind: names are numbers at times.
pub(super) fn label<'a>(field: &'static str, value: Raw<'a>) -> Result<Cow<'a, str>, Rejection> {
    value.scalar().ok_or_else(|| not_a(field, "text"))
}
