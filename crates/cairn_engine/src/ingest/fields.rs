//! One canonical event from its JSON object (`POST /e`, import).
//!
//! Guarantees: the first fault is reported with its field; a value is never shown. Amounts are read
//! from the number's own digits. It knows which fields a kind of sender may use.

use std::borrow::Cow;

use cairn_enrich::Address;
use cairn_model::Currency;
use cairn_model::limits::{ITEMS_MAX, PROPS_MAX, TEXT_SIZE_BYTES_MAX};
use cairn_model::question::countries::country_code;

use super::json::{Kind, Raw, push_text, with_texts_cut};
use super::money;
use super::page::Page;
use super::parsed::{Context, ParsedEvent, check_email, check_whole, event_name};
use super::rejection::Rejection;
use super::text::{self, bounded, bounded_to, cut};
use super::timestamp;

/// Longest reason, browser or country that an import may state.
const LABEL_SIZE_BYTES_MAX: usize = 256;

/// Whose event it is, which decides the fields it may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// A browser, an app, a mail: anybody who knows the key.
    Public,
    /// The owner's server.
    Server,
    /// The owner's import.
    Import,
}

/// Reads one event.
pub fn event<'a>(raw: Raw<'a>, sender: Sender) -> Result<ParsedEvent<'a>, Rejection> {
    let fields = raw.fields().ok_or_else(|| match raw.kind() {
        Kind::Object => Rejection::malformed("", "a field name is not valid text"),
        _ => Rejection::malformed("", "an event is a JSON object"),
    })?;
    let mut event = ParsedEvent::default();
    let mut amount = (None, None);
    for (at, (name, value)) in fields.iter().enumerate() {
        if fields[..at].iter().any(|(earlier, _)| earlier == name) {
            let mut rejection = Rejection::malformed("", "given twice");
            rejection.field = Cow::Owned(cut(name, 64).to_owned());
            return Err(rejection);
        }
        if value.kind() == Kind::Null {
            check_known(name, sender)?;
            continue;
        }
        match name.as_ref() {
            "value" => amount.0 = Some(value.number().ok_or_else(|| not_a("value", "number"))?),
            "currency" => amount.1 = Some(text("currency", *value)?),
            _ => field(&mut event, name, *value, sender)?,
        }
    }
    if event.name.is_empty() {
        return Err(Rejection::malformed("event", "missing"));
    }
    set_amount(&mut event, amount.0.as_deref(), amount.1.as_deref())?;
    check_whole(&event)?;
    Ok(event)
}

/// Value and currency belong together: decimals depend on the currency.
pub fn set_amount(
    event: &mut ParsedEvent<'_>,
    value: Option<&str>,
    currency: Option<&str>,
) -> Result<(), Rejection> {
    let currency = match currency {
        None | Some("") => None,
        Some(code) => Some(
            Currency::from_code(code)
                .ok_or_else(|| Rejection::malformed("currency", "not an ISO 4217 code"))?,
        ),
    };
    let Some(value) = value else { return Ok(()) };
    let currency = currency
        .ok_or_else(|| Rejection::malformed("currency", "missing; value needs its currency"))?;
    event.value_minor = Some(money::minor_units("value", value, currency)?);
    event.currency = currency.code;
    Ok(())
}

fn check_known(name: &str, sender: Sender) -> Result<(), Rejection> {
    let known = matches!(
        name,
        "event"
            | "event_id"
            | "timestamp"
            | "url"
            | "referrer"
            | "title"
            | "user_id"
            | "traits"
            | "value"
            | "currency"
            | "order_id"
            | "items"
            | "engagement_ms"
            | "scroll_percent"
            | "section"
            | "props"
    );
    let import_only = matches!(
        name,
        "visitor_id"
            | "session_id"
            | "source"
            | "channel"
            | "utm"
            | "geo"
            | "device"
            | "network"
            | "bot"
            | "screen"
            | "language"
    );
    let allowed = known
        || (import_only && sender == Sender::Import)
        || (name == "context" && sender != Sender::Public);
    if allowed {
        return Ok(());
    }
    let mut rejection = Rejection::unknown_field(name);
    if import_only {
        rejection.message = Cow::Borrowed("only in imports");
    } else if name == "context" {
        rejection.message = Cow::Borrowed("only from server pixels and in imports");
    }
    Err(rejection)
}

fn field<'a>(
    event: &mut ParsedEvent<'a>,
    name: &str,
    value: Raw<'a>,
    sender: Sender,
) -> Result<(), Rejection> {
    check_known(name, sender)?;
    match name {
        "event" => event.name = event_name(text("event", value)?)?,
        "event_id" => event.event_id = id("event_id", value)?,
        "user_id" => event.user_id = id("user_id", value)?,
        "order_id" => event.order_id = id("order_id", value)?,
        "timestamp" => {
            let time = value.scalar().ok_or_else(|| not_a("timestamp", "text or number"))?;
            event.timestamp_ms = Some(timestamp::parse(&time)?);
        }
        "url" => {
            let url = bounded(text("url", value)?, &mut event.truncated);
            event.page = Page::parse("url", url)?;
        }
        "referrer" => {
            event.referrer = bounded(text("referrer", value)?, &mut event.truncated);
        }
        "title" => event.title = bounded(text("title", value)?, &mut event.truncated),
        "traits" => event.traits = traits(value, &mut event.truncated)?,
        "items" => event.items = items(value, &mut event.truncated)?,
        "props" => event.props = props(value, &mut event.truncated)?,
        "engagement_ms" => event.engagement_ms = Some(milliseconds("engagement_ms", value)?),
        "scroll_percent" => event.scroll_percent = Some(percent("scroll_percent", value)?),
        "section" => section(event, value)?,
        "screen" => event.screen = decoration(text("screen", value)?, text::screen),
        "language" => event.language = decoration(text("language", value)?, text::language),
        "context" => event.context = Some(context(value)?),
        _ => override_field(event, name, value)?,
    }
    Ok(())
}

/// A text that is kept if it looks right and left out otherwise.
pub(super) fn decoration<'a>(given: Cow<'a, str>, check: fn(&str) -> &str) -> Cow<'a, str> {
    match given {
        Cow::Borrowed(given) => Cow::Borrowed(check(given)),
        Cow::Owned(given) => Cow::Owned(check(&given).to_owned()),
    }
}

pub(super) fn not_a(field: &'static str, kind: &str) -> Rejection {
    Rejection::malformed(field, format!("not a {kind}"))
}

pub(super) fn text<'a>(field: &'static str, value: Raw<'a>) -> Result<Cow<'a, str>, Rejection> {
    if value.kind() != Kind::Text {
        return Err(not_a(field, "text"));
    }
    value.text().ok_or_else(|| Rejection::malformed(field, "not valid Unicode"))
}

/// Ids are often numbers in the sender's database.
pub(super) fn id<'a>(field: &'static str, value: Raw<'a>) -> Result<Cow<'a, str>, Rejection> {
    match value.kind() {
        Kind::Number => text::id(field, Cow::Borrowed(value.0)),
        _ => text::id(field, text(field, value)?),
    }
}

/// A count that may carry decimals (a browser's clock does); they are cut off.
fn whole_number(field: &'static str, value: Raw<'_>, most: u32) -> Result<u32, Rejection> {
    let number = value.number().ok_or_else(|| not_a(field, "number"))?;
    money::check_amount(field, &number)?;
    let number: f64 = number.parse().map_err(|_| not_a(field, "number"))?;
    if number > f64::from(most) {
        return Err(Rejection::malformed(field, format!("over {most}")));
    }
    // In range by the two checks above.
    Ok(number as u32)
}

fn milliseconds(field: &'static str, value: Raw<'_>) -> Result<u32, Rejection> {
    whole_number(field, value, u32::MAX)
}

fn percent(field: &'static str, value: Raw<'_>) -> Result<u8, Rejection> {
    Ok(u8::try_from(whole_number(field, value, 100)?).unwrap_or(100))
}

fn object<'a>(
    field: &'static str,
    value: Raw<'a>,
) -> Result<Vec<(Cow<'a, str>, Raw<'a>)>, Rejection> {
    value.fields().ok_or_else(|| not_a(field, "JSON object"))
}

fn section<'a>(event: &mut ParsedEvent<'a>, value: Raw<'a>) -> Result<(), Rejection> {
    for (name, value) in object("section", value)? {
        match name.as_ref() {
            _ if value.kind() == Kind::Null => {}
            "id" => {
                event.section_id = bounded(text("section.id", value)?, &mut event.truncated);
            }
            "visible_ms" => {
                event.section_visible_ms = Some(milliseconds("section.visible_ms", value)?);
            }
            "visible_percent" => {
                event.section_visible_percent = Some(percent("section.visible_percent", value)?);
            }
            other => return Err(Rejection::unknown_field("").at("section", other)),
        }
    }
    if event.section_id.is_empty() {
        return Err(Rejection::malformed("section.id", "missing"));
    }
    Ok(())
}

fn context<'a>(value: Raw<'a>) -> Result<Context<'a>, Rejection> {
    let mut context = Context::default();
    for (name, value) in object("context", value)? {
        match name.as_ref() {
            _ if value.kind() == Kind::Null => {}
            "ip" => {
                let address = text("context.ip", value)?.trim().parse().map_err(|_| {
                    Rejection::malformed("context.ip", "not an IPv4 or IPv6 address")
                })?;
                context.address = Some(Address::new(address));
            }
            "user_agent" => context.user_agent = text("context.user_agent", value)?,
            other => return Err(Rejection::unknown_field("").at("context", other)),
        }
    }
    Ok(context)
}

/// Own properties: texts; numbers and truth values become texts, `null` is absence.
fn props<'a>(value: Raw<'a>, truncated: &mut bool) -> Result<Cow<'a, str>, Rejection> {
    let mut given = object("props", value)?;
    let mut rewrite = false;
    given.retain(|(_, value)| {
        value.kind() != Kind::Null || {
            rewrite = true;
            false
        }
    });
    if given.len() > PROPS_MAX {
        return Err(Rejection::too_large("props", "more than 64 properties"));
    }
    for (at, (name, value)) in given.iter().enumerate() {
        if matches!(value.kind(), Kind::List | Kind::Object) {
            let fault = Rejection::malformed("", "nested; a property is a text or a number");
            return Err(fault.at("props", name));
        }
        if given[..at].iter().any(|(earlier, _)| earlier == name) {
            return Err(Rejection::malformed("", "given twice").at("props", name));
        }
        rewrite |= value.kind() != Kind::Text || too_long(name, *value);
        if value.scalar().is_none() {
            return Err(Rejection::malformed("", "not valid Unicode").at("props", name));
        }
    }
    if !rewrite {
        return Ok(Cow::Borrowed(if given.is_empty() { "" } else { value.0 }));
    }
    let pairs =
        given.iter().map(|(name, value)| (name.as_ref(), value.scalar().unwrap_or_default()));
    Ok(Cow::Owned(props_json(pairs, truncated)))
}

fn too_long(name: &str, value: Raw<'_>) -> bool {
    name.len() > TEXT_SIZE_BYTES_MAX || value.0.len() > TEXT_SIZE_BYTES_MAX
}

/// Properties as the JSON object that is stored; empty for none.
pub fn props_json<'p>(
    pairs: impl Iterator<Item = (&'p str, Cow<'p, str>)>,
    truncated: &mut bool,
) -> String {
    let mut json = String::new();
    for (name, value) in pairs {
        json.push(if json.is_empty() { '{' } else { ',' });
        push_text(&mut json, &bounded(Cow::Borrowed(name), truncated));
        json.push(':');
        push_text(&mut json, &bounded(value, truncated));
    }
    if !json.is_empty() {
        json.push('}');
    }
    json
}

pub(super) fn traits<'a>(value: Raw<'a>, truncated: &mut bool) -> Result<Cow<'a, str>, Rejection> {
    let given = object("traits", value)?;
    if !value.is_shallow() {
        return Err(Rejection::malformed("traits", "nested deeper than 16"));
    }
    for (name, value) in &given {
        if name.eq_ignore_ascii_case("email") && value.kind() != Kind::Null {
            check_email(&text("traits.email", *value)?)?;
        }
    }
    if given.is_empty() {
        return Ok(Cow::Borrowed(""));
    }
    // Also refuses lone surrogates, which a scan alone does not see.
    serde_json::from_str::<serde_json::Value>(value.0)
        .map_err(|_| Rejection::malformed("traits", "not valid JSON"))?;
    Ok(cut_or_borrowed(value, truncated))
}

fn cut_or_borrowed<'a>(value: Raw<'a>, truncated: &mut bool) -> Cow<'a, str> {
    match with_texts_cut(value) {
        Some(cut) => {
            *truncated = true;
            Cow::Owned(cut)
        }
        None => Cow::Borrowed(value.0),
    }
}

/// GA4 items: known numbers are amounts, everything else is text.
pub(super) fn items<'a>(value: Raw<'a>, truncated: &mut bool) -> Result<Cow<'a, str>, Rejection> {
    let list = value.elements().ok_or_else(|| not_a("items", "JSON list"))?;
    if list.len() > ITEMS_MAX {
        return Err(Rejection::too_large("items", "more than 200 items"));
    }
    let mut rewritten = String::new();
    for (at, item) in list.iter().enumerate() {
        let fields = item.fields().ok_or_else(|| not_a("items", "list of JSON objects"))?;
        let is_named = fields.iter().any(|(name, value)| {
            matches!(name.as_ref(), "item_id" | "item_name") && value.kind() != Kind::Null
        });
        if !is_named {
            return Err(Rejection::malformed("items.item_id", "missing"));
        }
        // They are compared with each other.
        if fields.len() > PROPS_MAX {
            return Err(Rejection::too_large("items", "an item with more than 64 fields"));
        }
        rewritten.push(if at == 0 { '[' } else { ',' });
        push_item(&mut rewritten, &fields, truncated)?;
    }
    if list.is_empty() {
        return Ok(Cow::Borrowed(""));
    }
    rewritten.push(']');
    Ok(Cow::Owned(rewritten))
}

fn push_item(
    json: &mut String,
    fields: &[(Cow<'_, str>, Raw<'_>)],
    truncated: &mut bool,
) -> Result<(), Rejection> {
    let mut opener = '{';
    for (at, (name, value)) in fields.iter().enumerate() {
        let fault = |message| Err(Rejection::malformed("", message).at("items", name));
        if fields[..at].iter().any(|(earlier, _)| earlier == name) {
            return fault("given twice");
        }
        if value.kind() == Kind::Null {
            continue;
        }
        let Some(scalar) = value.scalar() else {
            return fault("not a text or a number");
        };
        json.push(opener);
        opener = ',';
        push_text(json, &bounded(Cow::Borrowed(name), truncated));
        json.push(':');
        match name.as_ref() {
            "price" | "quantity" | "discount" | "index" => {
                money::check_amount("", &scalar).map_err(|fault| fault.at("items", name))?;
                push_number(json, &scalar);
            }
            _ => push_text(json, &bounded(scalar, truncated)),
        }
    }
    json.push('}');
    Ok(())
}

/// A number that a text may have held: JSON allows no leading zeros.
fn push_number(json: &mut String, number: &str) {
    let digits = number.trim_start_matches('-').trim_start_matches('0');
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        json.push('0');
    }
    json.push_str(digits);
}

fn override_field<'a>(
    event: &mut ParsedEvent<'a>,
    name: &str,
    value: Raw<'a>,
) -> Result<(), Rejection> {
    let mut truncated = event.truncated;
    let overrides = event.overrides.get_or_insert_with(Box::default);
    match name {
        "visitor_id" => overrides.visitor_id = id("visitor_id", value)?,
        "session_id" => overrides.session_id = id("session_id", value)?,
        "source" => overrides.source = Some(bounded(text("source", value)?, &mut truncated)),
        "channel" => overrides.channel = Some(bounded(text("channel", value)?, &mut truncated)),
        "utm" => {
            let names = ["source", "medium", "campaign", "content", "term"];
            overrides.utm = Some(labels("utm", value, names, &mut truncated)?);
        }
        "geo" => {
            let names = ["country", "region", "city"];
            let [country, region, city] = labels("geo", value, names, &mut truncated)?;
            overrides.geo = Some([Cow::Borrowed(country_of(&country)?), region, city]);
        }
        "device" => {
            let names = ["browser", "browser_version", "os", "os_version", "type"];
            overrides.device = Some(labels("device", value, names, &mut truncated)?);
        }
        "network" => {
            let [asn, organization] =
                labels("network", value, ["asn", "organization"], &mut truncated)?;
            let digits = asn.strip_prefix("AS").unwrap_or(&asn);
            let asn = if digits.is_empty() { Ok(0) } else { digits.parse() };
            let asn = asn.map_err(|_| not_a("network.asn", "AS number"))?;
            overrides.network = Some((asn, organization));
        }
        _ => overrides.bot = Some(bot(value)?),
    }
    event.truncated = truncated;
    Ok(())
}

/// Reports group, name and colour countries by their code, so nothing else may stand in its place.
fn country_of(given: &str) -> Result<&'static str, Rejection> {
    if given.is_empty() {
        return Ok("");
    }
    country_code(given).ok_or_else(|| {
        Rejection::malformed("geo.country", "not an ISO 3166-1 alpha-2 code such as DE")
    })
}

fn bot<'a>(value: Raw<'a>) -> Result<Cow<'a, str>, Rejection> {
    match value.0 {
        "true" => Ok(Cow::Borrowed("import")),
        "false" => Ok(Cow::Borrowed("")),
        _ => Ok(bounded_to(text("bot", value)?, LABEL_SIZE_BYTES_MAX, &mut false)),
    }
}

/// The named texts of an object, in the order of `names`; absent ones are empty.
fn labels<'a, const COUNT: usize>(
    field: &'static str,
    value: Raw<'a>,
    names: [&'static str; COUNT],
    truncated: &mut bool,
) -> Result<[Cow<'a, str>; COUNT], Rejection> {
    let mut found = [const { Cow::Borrowed("") }; COUNT];
    for (name, value) in object(field, value)? {
        let Some(place) = names.iter().position(|known| *known == name) else {
            return Err(Rejection::unknown_field("").at(field, &name));
        };
        if value.kind() == Kind::Null {
            continue;
        }
        let label = value
            .scalar()
            .ok_or_else(|| Rejection::malformed("", "not a text").at(field, &name))?;
        found[place] = bounded(label, truncated);
    }
    Ok(found)
}
