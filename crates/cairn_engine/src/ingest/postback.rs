//! Conversions that a server reports: `GET` and `POST /postback` (docs/postbacks.md).
//!
//! Guarantees: parameters are found by one table of names; case, `_` and `-` in a name say nothing. A macro that nobody
//! filled is a missing value. What cannot be read is refused with the name of the field, as it was sent. Without an
//! `event_id`, an order has one conversion of each name. A click id counts only if this server gave it out for this site.

use std::borrow::Cow;

use cairn_model::limits::{EVENT_NAME_SIZE_BYTES_MAX, ID_SIZE_BYTES_MAX, PROPS_MAX};

use super::ad::macros::is_missing;
use super::consent::{self, SentConsent};
use super::envelope::BrokenEnvelope;
use super::fields::{props_json, set_amount};
use super::formats::{Events, Terms};
use super::json::{Kind, document};
use super::page::Page;
use super::parsed::{ParsedEvent, check_whole, event_name};
use super::rejection::Rejection;
use super::text::{bounded, id, percent_decoded};
use super::timestamp;

/// Name of a conversion that names none.
pub const DEFAULT_EVENT: &str = "purchase";
/// Parameters of one postback, its properties included.
const PARAMETERS_MAX: usize = PROPS_MAX + 32;
/// Digits of a time that is in seconds: in milliseconds it would be in 1973 at the latest.
const SECONDS_DIGITS_MAX: usize = 11;

/// What a parameter is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Key,
    Event,
    OrderId,
    Value,
    Currency,
    ClickId,
    EventId,
    Timestamp,
    UserId,
    Consent,
    Url,
    Nothing,
}

/// Every field with its names, the first being its own; without `_` and `-`, in lower case.
const NAMES: [(Field, &[&str]); 12] = [
    (Field::Key, &["key", "apikey", "token", "secret", "securitytoken"]),
    (Field::Event, &["event", "eventname", "goal", "goalname", "action", "conversion"]),
    (
        Field::OrderId,
        &["orderid", "order", "transactionid", "transaction", "txid", "txnid", "tid", "saleid"],
    ),
    (
        Field::Value,
        &[
            "value",
            "payout",
            "amount",
            "sum",
            "revenue",
            "price",
            "total",
            "commission",
            "saleamount",
        ],
    ),
    (Field::Currency, &["currency", "currencycode", "cur", "ccy"]),
    (
        Field::ClickId,
        &["clickid", "click", "cid", "subid", "sub1", "affsub", "s2", "externalid", "cairnclick"],
    ),
    (Field::EventId, &["eventid", "conversionid", "actionid", "postbackid", "messageid"]),
    (
        Field::Timestamp,
        &["timestamp", "time", "ts", "date", "datetime", "eventtime", "conversiontime"],
    ),
    (Field::UserId, &["userid", "uid", "customerid"]),
    (Field::Consent, &["consent"]),
    (Field::Url, &["url", "landingpage", "pageurl"]),
    (Field::Nothing, &["cb", "rnd", "ord", "cachebuster"]),
];

impl Field {
    /// The field's own name.
    fn name(self) -> &'static str {
        match self {
            Field::Key => "key",
            Field::Event => "event",
            Field::OrderId => "order_id",
            Field::Value => "value",
            Field::Currency => "currency",
            Field::ClickId => "click_id",
            Field::EventId => "event_id",
            Field::Timestamp => "timestamp",
            Field::UserId => "user_id",
            Field::Consent => "consent",
            Field::Url => "url",
            Field::Nothing => "cb",
        }
    }

    fn of(name: &str) -> Option<Field> {
        let plain: String = name.chars().filter(|letter| !matches!(letter, '_' | '-')).collect();
        let plain = plain.to_ascii_lowercase();
        NAMES.iter().find(|(_, names)| names.contains(&plain.as_str())).map(|(field, _)| *field)
    }
}

/// One parameter that says something.
struct Given<'a> {
    field: Field,
    /// As it was sent.
    name: Cow<'a, str>,
    value: Cow<'a, str>,
}

/// A readable postback; its values are not yet checked.
pub struct Postback<'a> {
    given: Vec<Given<'a>>,
    props: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The pixel's key; empty = not among the parameters.
    pub key: Cow<'a, str>,
}

/// Reads the parameters of address and body. A body that begins with `{` is JSON, any other a form.
pub fn read<'a>(query: &'a str, body: &'a [u8]) -> Result<Postback<'a>, BrokenEnvelope> {
    let broken = |rejection| BrokenEnvelope { rejection, events: 1 };
    let mut postback = Postback { given: Vec::new(), props: Vec::new(), key: Cow::Borrowed("") };
    postback.form(query).map_err(broken)?;
    let body = std::str::from_utf8(body)
        .map_err(|_| broken(Rejection::malformed("", "the body is not UTF-8")))?;
    match body.trim_start().starts_with('{') {
        true => postback.json(body).map_err(broken)?,
        false => postback.form(body.trim_end()).map_err(broken)?,
    }
    Ok(postback)
}

impl<'a> Postback<'a> {
    fn form(&mut self, text: &'a str) -> Result<(), Rejection> {
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, raw) = pair.split_once('=').unwrap_or((pair, ""));
            let name = percent_decoded(name)
                .ok_or_else(|| Rejection::malformed("", "a name is not UTF-8"))?;
            if is_missing(raw) {
                self.add(name, Cow::Borrowed(""))?;
                continue;
            }
            let Some(value) = percent_decoded(raw) else {
                return Err(Rejection::malformed("", "not UTF-8").named(&name));
            };
            self.add(name, value)?;
        }
        Ok(())
    }

    fn json(&mut self, text: &'a str) -> Result<(), Rejection> {
        for (name, value) in document(text.as_bytes())? {
            match value.kind() {
                Kind::Null => continue,
                Kind::Object if name == "props" => {
                    let props = value.fields().unwrap_or_default();
                    for (name, value) in props {
                        let fault = Rejection::malformed("", "not a text or a number");
                        let scalar = value.scalar().ok_or_else(|| fault.at("props", &name))?;
                        self.add_prop(name, scalar)?;
                    }
                    continue;
                }
                _ => {}
            }
            let scalar = value
                .scalar()
                .ok_or_else(|| Rejection::malformed("", "not a text or a number").named(&name))?;
            let is_text = value.kind() == Kind::Text;
            let scalar = if is_text && is_missing(&scalar) { Cow::Borrowed("") } else { scalar };
            self.add(name, scalar)?;
        }
        Ok(())
    }

    fn add(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) -> Result<(), Rejection> {
        if self.given.len() + self.props.len() >= PARAMETERS_MAX {
            return Err(Rejection::too_large("", "too many parameters"));
        }
        let prop = name.strip_prefix("props[").and_then(|rest| rest.strip_suffix(']'));
        if let Some(prop) = prop {
            return self.add_prop(Cow::Owned(prop.to_owned()), value);
        }
        let Some(field) = Field::of(&name) else {
            let mut rejection = Rejection::unknown_field(&name);
            rejection.message = Cow::Borrowed("no such parameter; put your own in props[NAME]");
            return Err(rejection);
        };
        // A macro that nobody filled does not contradict another name of the same field.
        if value.is_empty() || field == Field::Nothing {
            return Ok(());
        }
        let earlier = match field {
            Field::Key => !self.key.is_empty(),
            _ => self.given.iter().any(|given| given.field == field),
        };
        if earlier {
            return Err(Rejection::malformed("", "given twice").named(&name));
        }
        match field {
            Field::Key => self.key = value,
            _ => self.given.push(Given { field, name, value }),
        }
        Ok(())
    }

    fn add_prop(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) -> Result<(), Rejection> {
        if value.is_empty() {
            return Ok(());
        }
        if self.props.len() == PROPS_MAX {
            return Err(Rejection::too_large("props", "more than 64 properties"));
        }
        if self.props.iter().any(|(earlier, _)| *earlier == name) {
            return Err(Rejection::malformed("", "given twice").at("props", &name));
        }
        self.props.push((name, value));
        Ok(())
    }

    fn get(&self, field: Field) -> Option<&str> {
        self.given.iter().find(|given| given.field == field).map(|given| given.value.as_ref())
    }

    /// The click id, as it was sent.
    pub fn click_id(&self) -> Option<&str> {
        self.get(Field::ClickId)
    }

    /// The person's id, as it was sent; empty = none.
    pub fn user_id(&self) -> &str {
        self.get(Field::UserId).unwrap_or("")
    }

    /// The refusal of the click id, by the name that it was sent under.
    pub fn refused_click_id(&self) -> Rejection {
        self.named(Rejection::malformed("click_id", "not a click id that was given out here"))
    }

    /// What the postback says of permission.
    pub fn consent(&self) -> Result<SentConsent, Rejection> {
        consent::parse(self.get(Field::Consent).unwrap_or(""))
    }

    /// A fault under the name that the field was sent under.
    fn named(&self, mut rejection: Rejection) -> Rejection {
        let sent = self.given.iter().find(|given| given.field.name() == rejection.field);
        if let Some(given) = sent {
            rejection = rejection.named(&given.name);
        }
        rejection
    }

    fn parsed(&self, terms: &Terms<'_>) -> Result<ParsedEvent<'a>, Rejection> {
        let owned = |field| Cow::Owned(self.get(field).unwrap_or("").to_owned());
        let mut event = ParsedEvent::default();
        let name = self.get(Field::Event).unwrap_or(DEFAULT_EVENT);
        event.name = event_name(Cow::Owned(name.to_owned()))?;
        event.order_id = id("order_id", owned(Field::OrderId))?;
        event.user_id = id("user_id", owned(Field::UserId))?;
        event.event_id = id("event_id", owned(Field::EventId))?;
        if event.event_id.is_empty() && !event.order_id.is_empty() {
            event.event_id = Cow::Owned(id_of_order(&event.name, &event.order_id));
        }
        if let Some(time) = self.get(Field::Timestamp) {
            event.timestamp_ms = Some(timestamp::checked(instant(time)?, terms.received_at_ms)?);
        }
        let url = bounded(owned(Field::Url), &mut event.truncated);
        event.page = Page::parse("url", url)?;
        let value = self.get(Field::Value);
        let currency = self.get(Field::Currency).unwrap_or(terms.currency);
        set_amount(&mut event, value, Some(currency))?;
        let props = self.props.iter().map(|(name, value)| (name.as_ref(), value.clone()));
        event.props = Cow::Owned(props_json(props, &mut event.truncated));
        check_whole(&event)?;
        Ok(event)
    }
}

impl<'a> Events<'a> for Postback<'a> {
    fn count(&self) -> usize {
        1
    }

    fn event(&self, _: usize, terms: &Terms<'_>) -> Result<ParsedEvent<'a>, Rejection> {
        self.parsed(terms).map_err(|rejection| self.named(rejection))
    }
}

/// The id of an order's one conversion of this name. A sender's own id is another unless he imitates it.
fn id_of_order(event: &str, order_id: &str) -> String {
    const { assert!(EVENT_NAME_SIZE_BYTES_MAX <= ID_SIZE_BYTES_MAX) };
    let whole = format!("order {event} {order_id}");
    if whole.len() <= ID_SIZE_BYTES_MAX {
        return whole;
    }
    format!("order {event} {}", blake3::hash(order_id.as_bytes()).to_hex())
}

/// As elsewhere, and Unix seconds, which ad networks send.
fn instant(text: &str) -> Result<i64, Rejection> {
    let is_seconds =
        text.len() <= SECONDS_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    let time = timestamp::parse(text)?;
    Ok(if is_seconds { time.saturating_mul(1000) } else { time })
}

#[cfg(test)]
mod tests {
    use cairn_model::PixelKind;
    use proptest::prelude::*;

    use super::*;

    const TERMS: Terms<'_> =
        Terms { kind: PixelKind::Server, currency: "EUR", received_at_ms: 1_795_341_600_000 };

    fn event(query: &str, body: &str) -> Result<ParsedEvent<'static>, Rejection> {
        // The text of a test's event may live for ever.
        let (query, body) = (query.to_owned().leak(), body.to_owned().leak());
        read(query, body.as_bytes()).map_err(|broken| broken.rejection)?.event(0, &TERMS)
    }

    #[test]
    fn every_name_of_the_table_is_read() {
        for (field, names) in NAMES {
            assert_eq!(Field::of(field.name()), Some(field));
            for name in names {
                assert_eq!(Field::of(name), Some(field), "{name}");
                assert_eq!(Field::of(&name.to_uppercase()), Some(field));
            }
        }
        let mut all: Vec<_> = NAMES.iter().flat_map(|(_, names)| *names).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "a name has one meaning");
    }

    #[test]
    fn forms_and_json_say_the_same() {
        let query = "transaction_id=o-1&payout=59.90&currency=usd&userId=anna&props[plan]=pro\
                     &timestamp=1795341000&conversion_id=e-1&goal=sign_up";
        let json = r#"{"transactionId": "o-1", "Amount": 59.90, "cur": "usd", "uid": "anna",
            "props": {"plan": "pro"}, "time": 1795341000, "event-id": "e-1", "event": "sign_up"}"#;
        for event in [event(query, ""), event("", query), event("", json)] {
            let event = event.unwrap();
            assert_eq!((event.name.as_ref(), event.event_id.as_ref()), ("sign_up", "e-1"));
            assert_eq!((event.order_id.as_ref(), event.user_id.as_ref()), ("o-1", "anna"));
            assert_eq!((event.value_minor, event.currency), (Some(5_990), "USD"));
            assert_eq!(event.timestamp_ms, Some(1_795_341_000_000));
            assert_eq!(event.props, "{\"plan\":\"pro\"}");
        }
    }

    #[test]
    fn what_is_missing_has_a_default() {
        let event = event("order_id=7&value=10&event={EVENT}&click_id=%7BCLICK%7D", "").unwrap();
        assert_eq!((event.name.as_ref(), event.currency), ("purchase", "EUR"));
        assert_eq!(event.event_id, "order purchase 7");
        let long = "x".repeat(256);
        let event = self::event(&format!("order_id={long}"), "").unwrap();
        assert!(event.event_id.len() <= ID_SIZE_BYTES_MAX);
        assert!(self::event("value=1", "").unwrap().event_id.is_empty());
    }

    #[test]
    fn faults_name_the_field_as_it_was_sent() {
        for (query, body, field) in [
            ("payout=abc", "", "payout"),
            ("sum=1.999", "", "sum"),
            ("value=1&cur=XXY", "", "cur"),
            ("time=yesterday", "", "time"),
            ("value=1&amount=2", "", "amount"),
            ("value=1", "value=2", "value"),
            ("colour=red", "", "colour"),
            ("", r#"{"value": [1]}"#, "value"),
            ("", r#"{"props": {"a": {}}}"#, "props.a"),
            ("", r#"{"value": 1"#, ""),
            ("", "{}x", ""),
            ("txid=%FF", "", "txid"),
            ("event=refund&value=1", "", "order_id"),
        ] {
            assert_eq!(event(query, body).unwrap_err().field, field, "{query} {body}");
        }
        let long = "x".repeat(257);
        assert_eq!(event(&format!("tid={long}"), "").unwrap_err().field, "tid");
        let many: String = (0..200).map(|at| format!("props[{at}]=1&")).collect();
        assert_eq!(event(&many, "").unwrap_err().field, "props");
    }

    proptest! {
        #[test]
        fn never_panics(query in "[a-z_=&%0-9\\[\\]{}$\\PC]{0,120}", body in "[{}\":,a-z0-9\\[\\]=&]{0,80}") {
            let _ = event(&query, &body);
        }
    }
}
