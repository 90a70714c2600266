//! Segment's API: what each message becomes, what is refused and how, and what the gate keeps of it.

use std::borrow::Cow;

use cairn_model::{Choice, Event, Identification, Outcome, PixelKind, Policy, PrivacySettings};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::decoders::json_value;
use super::{AGENT, NOW_MS, Shop, everything, hit};
use crate::ingest::consent::SentConsent;
use crate::ingest::formats::segment::CALLED;
use crate::ingest::formats::{FORMATS, Opened, Request, Terms, format_of};
use crate::ingest::parsed::ParsedEvent;
use crate::ingest::{Common, Hit, Rejection, Telling};
use crate::record;

fn terms(kind: PixelKind) -> Terms<'static> {
    Terms { kind, currency: "EUR", received_at_ms: NOW_MS }
}

fn open<'a>(path: &'a str, body: &'a [u8]) -> Result<Opened<'a>, Rejection> {
    let request = Request { path, user_name: "key", body, ..Request::default() };
    let format = format_of(path).unwrap();
    (format.open)(&request).map_err(|broken| broken.rejection)
}

/// What one message becomes, sent to a pixel of this kind.
fn read_by(
    kind: PixelKind,
    path: &str,
    message: &Value,
) -> Result<ParsedEvent<'static>, Rejection> {
    let body: &'static str = message.to_string().leak();
    let path: &'static str = path.to_owned().leak();
    open(path, body.as_bytes())?.events.event(0, &terms(kind))
}

fn read(path: &str, message: &Value) -> Result<ParsedEvent<'static>, Rejection> {
    read_by(PixelKind::Server, path, message)
}

fn track(event: &str, properties: Value) -> Result<ParsedEvent<'static>, Rejection> {
    read("/v1/track", &json!({"userId": "u", "event": event, "properties": properties}))
}

fn object(json: &str) -> Value {
    serde_json::from_str(if json.is_empty() { "{}" } else { json }).unwrap()
}

#[test]
fn every_path_of_the_api_is_taken_and_no_other() {
    for path in ["track", "page", "screen", "identify", "group", "alias", "batch", "import"] {
        assert_eq!(format_of(&format!("/v1/{path}")).unwrap().name, "segment", "{path}");
        assert!(format_of(&format!("/beacon/v1/{path}")).is_some(), "{path}");
    }
    for path in ["t", "p", "s", "i", "g", "a", "b"] {
        assert!(format_of(&format!("/v1/{path}")).is_some(), "{path}");
    }
    for path in ["/v1/", "/v1/tracks", "/v1/track/", "/v2/track", "/track", "/v1/Track", "/p.gif"] {
        assert!(format_of(path).is_none(), "{path}");
    }
    assert_eq!(FORMATS.len(), 1);
}

#[test]
fn a_track_becomes_an_event_with_its_fields() {
    let event = read(
        "/v1/track",
        &json!({
            "userId": 7, "anonymousId": "a-1", "event": "Order Completed", "messageId": "m-1",
            "timestamp": "2026-11-22T09:59:00.000Z", "sentAt": "2026-11-22T09:59:10.500+00:00",
            "properties": {
                "order_id": 4711, "revenue": 39.980000000000004, "total": "44.97", "currency": "usd",
                "products": [{"product_id": "SKU-1", "name": "Cup", "brand": "Own", "price": 19.99,
                    "quantity": 2, "position": 1, "tags": ["a"], "gone": null}],
            },
            "context": {
                "ip": "203.0.113.9, 10.0.0.1", "userAgent": AGENT, "locale": "de_CH",
                "page": {"url": "https://shop.example/p?x=1", "title": "Cup", "referrer": "$direct"},
                "screen": {"width": 411.4, "height": 915},
                "library": {"name": "analytics-python", "version": "2.4.0"},
                "app": {"name": "Shop", "version": "1.2"},
                "campaign": {"name": "spring", "source": "newsletter", "medium": "email"},
            },
        }),
    )
    .unwrap();
    assert_eq!((event.name.as_ref(), event.event_id.as_ref()), ("purchase", "m-1"));
    assert_eq!((event.user_id.as_ref(), event.sender_id.as_ref()), ("7", "a-1"));
    // Sent 10.5 seconds after it happened, received now.
    assert_eq!(event.timestamp_ms, Some(NOW_MS - 10_500));
    assert_eq!((event.value_minor, event.currency), (Some(3_998), "USD"));
    assert_eq!(event.order_id, "4711");
    let item = json!([{"item_id": "SKU-1", "item_name": "Cup", "item_brand": "Own", "price": 19.99,
        "quantity": 2, "index": 1, "tags": "[\"a\"]"}]);
    assert_eq!(object(&event.items), item);
    let props = json!({"total": "44.97", "app": "Shop 1.2", "library": "analytics-python 2.4.0"});
    assert_eq!(object(&event.props), props);
    let context = event.context.unwrap();
    assert_eq!(context.address.unwrap().ip().to_string(), "203.0.113.9");
    assert_eq!(context.user_agent, AGENT);
    assert_eq!((event.page.path(), event.title.as_ref()), ("/p", "Cup"));
    assert_eq!((event.referrer.as_ref(), event.language.as_ref()), ("", "de-CH"));
    assert_eq!(event.screen, "411x915");
    let utm = event.stated.unwrap().utm.unwrap();
    assert_eq!(utm.map(Cow::into_owned), ["newsletter", "email", "spring", "", ""]);
    assert!(!event.truncated);
}

#[test]
fn the_table_names_each_event_once() {
    let mut names: Vec<String> =
        CALLED.iter().flat_map(|row| row.segment).map(|name| name.to_lowercase()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for row in CALLED {
        for name in row.segment {
            let amount = json!({"order_id": "o", "total": 1, "product_id": "p"});
            let event = track(&name.to_uppercase(), amount).unwrap();
            assert_eq!(event.name, row.event, "{name}");
            assert_eq!(event.items.is_empty(), !row.is_product, "{name}");
        }
    }
}

#[test]
fn products_and_renamed_properties_are_called_as_in_ga4() {
    let event = track(
        "product added",
        json!({
            "cart_id": "c", "product_id": "P", "sku": "S", "category": "Cups", "name": "Cup",
            "variant": "blue", "price": "5.50", "quantity": 1, "url": "https://shop.example/p",
        }),
    );
    let event = event.unwrap();
    assert_eq!(event.name, "add_to_cart");
    let item = json!([{"item_id": "P", "sku": "S", "item_category": "Cups", "item_name": "Cup",
        "item_variant": "blue", "price": 5.50, "quantity": 1, "url": "https://shop.example/p"}]);
    assert_eq!(object(&event.items), item);
    assert_eq!(object(&event.props), json!({"cart_id": "c"}));
    let searched = track("Products Searched", json!({"query": "cups"})).unwrap();
    assert_eq!(
        (searched.name.as_ref(), object(&searched.props)),
        ("search", json!({"search_term": "cups"}))
    );
    let promotion = track("Promotion Clicked", json!({"promotion_id": "p", "name": "Spring"}));
    assert_eq!(
        object(&promotion.unwrap().props),
        json!({"promotion_id": "p", "promotion_name": "Spring"})
    );
    let by_sku =
        track("Order Completed", json!({"products": [{"sku": "S"}, {"name": "N"}, {}, 7]}));
    let by_sku = by_sku.unwrap();
    assert_eq!(object(&by_sku.items), json!([{"item_id": "S"}, {"item_name": "N"}]));
    assert!(by_sku.truncated, "two products that nothing names were left out");
    let other = track("Order Updated", json!({"products": [{"id": "S"}], "name": "n"})).unwrap();
    assert_eq!(
        (other.name.as_ref(), other.items.as_ref()),
        ("Order Updated", r#"[{"item_id":"S"}]"#)
    );
    assert_eq!(object(&other.props), json!({"name": "n"}));
    let names = track("Compared", json!({"products": ["a", "b"]})).unwrap();
    assert_eq!(object(&names.props), json!({"products": "[\"a\",\"b\"]"}));
    assert!(!names.truncated && names.items.is_empty());
    assert_eq!(track("Emptied", json!({"products": []})).unwrap().props, "");
}

#[test]
fn amounts_are_money_only_where_they_are_said_to_be() {
    for (event, properties, wanted) in [
        ("Order Completed", json!({"revenue": 10.005, "total": 12}), Some((1_001, "EUR"))),
        (
            "Order Completed",
            json!({"revenue": "", "subtotal": "8.5", "total": 12}),
            Some((850, "EUR")),
        ),
        ("Order Completed", json!({"total": 1200.5, "currency": "JPY"}), Some((1_201, "JPY"))),
        ("Order Completed", json!({"order_id": "o"}), None),
        ("Order Refunded", json!({"order_id": "o", "total": 3}), Some((300, "EUR"))),
        ("Slider Moved", json!({"value": 7}), None),
        ("Slider Moved", json!({"value": "far"}), None),
        ("Tip Given", json!({"value": 7, "currency": "EUR"}), Some((700, "EUR"))),
        ("Tip Given", json!({"revenue": 7}), Some((700, "EUR"))),
    ] {
        let read = track(event, properties.clone()).unwrap();
        let found = read.value_minor.map(|value| (value, read.currency));
        assert_eq!(found, wanted, "{event} {properties}");
    }
    let whole = track("Order Refunded", json!({"order_id": "o"})).unwrap();
    assert_eq!((whole.name.as_ref(), whole.order_id.as_ref()), ("order_cancelled", "o"));
}

#[test]
fn pages_and_screens_say_what_was_seen() {
    let page = read(
        "/v1/p",
        &json!({
            "anonymousId": "a", "name": "Home", "category": "Shop",
            "properties": {"url": "https://shop.example/?utm_source=mail", "path": "/", "search": "?e=x",
                "title": "Home", "referrer": "https://www.google.com/", "name": "Home", "plan": "pro",
                "initial_referrer": "https://shop.example/?token=secret"},
            "context": {"page": {"url": "https://other.example/", "title": "Other"},
                "campaign": {"source": "x"}},
        }),
    );
    let page = page.unwrap();
    assert_eq!((page.name.as_ref(), page.page.hostname()), ("page_view", "shop.example"));
    assert_eq!((page.title.as_ref(), page.referrer.as_ref()), ("Home", "https://www.google.com/"));
    assert_eq!(object(&page.props), json!({"name": "Home", "category": "Shop", "plan": "pro"}));
    assert!(page.stated.is_none(), "the address has a campaign of its own");
    let screen =
        read("/v1/screen", &json!({"userId": "u", "name": "Cart", "properties": {"n": 2}}));
    let screen = screen.unwrap();
    assert_eq!(
        (screen.name.as_ref(), object(&screen.props)),
        ("screen_view", json!({"screen_name": "Cart", "n": "2"}))
    );
}

#[test]
fn people_and_companies_are_traits() {
    let identify =
        json!({"userId": "u", "traits": {"email": "ada@example.com", "address": {"city": "x"}}});
    let event = read("/v1/identify", &identify).unwrap();
    assert_eq!(
        (event.name.as_ref(), object(&event.traits)),
        ("identify", identify["traits"].clone())
    );
    let elsewhere = json!({"userId": "u", "context": {"traits": {"plan": "pro"}}});
    let event = read("/v1/identify", &elsewhere).unwrap();
    assert_eq!(object(&event.traits), json!({"plan": "pro"}));
    let group =
        json!({"userId": "u", "groupId": 5, "traits": {"id": "x", "name": "Acme", "n": null}});
    let event = read("/v1/group", &group).unwrap();
    assert_eq!((event.name.as_ref(), event.props.as_ref()), ("join_group", ""));
    assert_eq!(object(&event.traits), json!({"company": {"id": "5", "name": "Acme"}}));
    let event = read("/v1/alias", &json!({"userId": "u", "previousId": "a"})).unwrap();
    assert_eq!(
        (event.name.as_ref(), object(&event.traits)),
        ("alias", json!({"previous_id": "a"}))
    );
}

#[test]
fn faults_name_the_field_as_it_was_sent() {
    use Outcome::{RejectedMalformed as Malformed, RejectedTooLarge as TooLarge};
    let message = |more: Value| {
        let mut message = json!({"userId": "u", "event": "e"});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    let long = "x".repeat(257);
    let fields = |count: i32| -> serde_json::Map<String, Value> {
        (0..count).map(|n| (format!("f{n}"), n.into())).collect()
    };
    let (many, too_many) = (fields(65), fields(129));
    let mut product = fields(64);
    product.insert("product_id".into(), "p".into());
    for (path, message, outcome, field) in [
        ("track", json!({"event": "e"}), Malformed, "anonymousId"),
        (
            "track",
            json!({"userId": null, "anonymousId": "", "event": "e"}),
            Malformed,
            "anonymousId",
        ),
        ("track", json!({"userId": "u"}), Malformed, "event"),
        ("track", json!({"userId": "u", "event": ""}), Malformed, "event"),
        ("track", json!({"userId": "u", "event": "x".repeat(65)}), TooLarge, "event"),
        ("track", json!({"userId": {}, "event": "e"}), Malformed, "userId"),
        ("track", message(json!({"userId": long})), TooLarge, "userId"),
        ("track", message(json!({"anonymousId": long})), TooLarge, "anonymousId"),
        ("track", message(json!({"messageId": long})), TooLarge, "messageId"),
        ("track", message(json!({"timestamp": "yesterday"})), Malformed, "timestamp"),
        ("track", message(json!({"originalTimestamp": []})), Malformed, "originalTimestamp"),
        ("track", message(json!({"sentAt": "2026-02-30T00:00:00Z"})), Malformed, "sentAt"),
        ("track", message(json!({"properties": [1]})), Malformed, "properties"),
        ("track", message(json!({"properties": many})), TooLarge, "properties"),
        ("track", message(json!({"properties": too_many})), TooLarge, "properties"),
        (
            "track",
            message(json!({"properties": {"products": [product]}})),
            TooLarge,
            "properties.products",
        ),
        (
            "track",
            message(json!({"properties": {"revenue": "ten"}})),
            Malformed,
            "properties.revenue",
        ),
        ("track", message(json!({"properties": {"revenue": -1}})), Malformed, "properties.revenue"),
        (
            "track",
            message(json!({"properties": {"revenue": 1, "currency": "euro"}})),
            Malformed,
            "properties.currency",
        ),
        (
            "track",
            message(json!({"properties": {"order_id": long}})),
            TooLarge,
            "properties.order_id",
        ),
        (
            "track",
            message(json!({"properties": {"products": [{"id": "p", "price": "cheap"}]}})),
            Malformed,
            "properties.products.price",
        ),
        (
            "track",
            message(json!({"event": "Order Refunded", "properties": {"total": 1}})),
            Malformed,
            "properties.order_id",
        ),
        (
            "track",
            message(
                json!({"event": "Order Refunded", "properties": {"order_id": "o", "total": 0}}),
            ),
            Malformed,
            "properties.value",
        ),
        ("track", message(json!({"context": 1})), Malformed, "context"),
        ("track", message(json!({"context": {"ip": "here"}})), Malformed, "context.ip"),
        (
            "track",
            message(json!({"context": {"page": {"url": "/p"}}})),
            Malformed,
            "context.page.url",
        ),
        ("track", message(json!({"context": {"consent": "maybe"}})), Malformed, "context.consent"),
        (
            "track",
            message(json!({"context": {"consent": {"categoryPreferences": {"Analytics": "yes"}}}})),
            Malformed,
            "context.consent.categoryPreferences.Analytics",
        ),
        (
            "page",
            json!({"userId": "u", "properties": {"url": "about:blank"}}),
            Malformed,
            "properties.url",
        ),
        ("identify", json!({"userId": "u", "traits": {"email": 5}}), Malformed, "traits.email"),
        ("group", json!({"userId": "u"}), Malformed, "groupId"),
        ("alias", json!({"userId": "u"}), Malformed, "previousId"),
        ("alias", json!({"anonymousId": "u", "previousId": "b"}), Malformed, "userId"),
        ("track", message(json!({"properties": {"a": "x".repeat(33_000)}})), TooLarge, ""),
    ] {
        let fault = read(&format!("/v1/{path}"), &message).err();
        let fault = fault.unwrap_or_else(|| panic!("{message} was taken"));
        assert_eq!((fault.outcome, fault.field.as_ref()), (outcome, field), "{path} {message}");
    }
}

#[test]
fn a_batch_shares_its_context_and_spoils_no_sibling() {
    let body = json!({
        "sentAt": "2026-11-22T10:00:00Z",
        "context": {"locale": "fr-FR", "library": {"name": "ours"}},
        "batch": [
            {"type": "track", "userId": "u", "event": "a", "sentAt": "2020-01-01T00:00:00Z",
                "originalTimestamp": "2026-11-22T09:59:59Z"},
            {"type": "page", "anonymousId": "b", "context": {"locale": "de"}},
            {"type": "dance", "userId": "u"},
            {"userId": "u"},
            7,
            {"type": "TRACK", "userId": "u", "event": "c", "timestamp": "2026-11-22T12:00:00+0200"},
        ],
    })
    .to_string();
    let opened = open("/v1/batch", body.as_bytes()).unwrap();
    assert_eq!((opened.key.as_ref(), opened.events.count()), ("key", 6));
    let read = |index| opened.events.event(index, &terms(PixelKind::Server));
    let first = read(0).unwrap();
    assert_eq!((first.name.as_ref(), first.language.as_ref()), ("a", "fr-FR"));
    assert_eq!(first.timestamp_ms, Some(NOW_MS - 1_000), "the batch's sentAt counts");
    assert_eq!(object(&first.props), json!({"library": "ours"}));
    assert_eq!(read(1).unwrap().language, "de");
    assert_eq!(read(2).unwrap_err().field, "type");
    assert_eq!(read(3).unwrap_err().field, "type");
    assert_eq!(read(4).unwrap_err().message, "a message is a JSON object");
    assert_eq!(read(5).unwrap().timestamp_ms, Some(NOW_MS));
}

#[test]
fn envelopes_are_refused_with_the_number_of_their_messages() {
    let open = |path, body: &str, user_name| {
        let request = Request { path, user_name, body: body.as_bytes(), ..Request::default() };
        (format_of(path).unwrap().open)(&request).err().unwrap()
    };
    let message = json!({"type": "track", "userId": "u", "event": "e"});
    let many = json!({"batch": vec![message.clone(); 2_501]}).to_string();
    let common = json!({"batch": [1, 2], "context": {"x": "x".repeat(4_096)}}).to_string();
    let large = json!({"batch": [{"x": "x".repeat(512 * 1024)}]}).to_string();
    for (body, user_name, outcome, field, events) in [
        (r#"{"batch":[]}"#, "k", Outcome::RejectedMalformed, "batch", 1),
        ("{}", "k", Outcome::RejectedMalformed, "batch", 1),
        (r#"{"batch":7}"#, "k", Outcome::RejectedMalformed, "batch", 1),
        (r#"{"batch":[1,2,3]}"#, "", Outcome::RejectedMalformed, "writeKey", 3),
        (r#"{"batch":[1,2],"sentAt":"x"}"#, "k", Outcome::RejectedMalformed, "sentAt", 2),
        (r#"{"batch":[1,2],"context":"x"}"#, "k", Outcome::RejectedMalformed, "context", 2),
        (&common, "k", Outcome::RejectedTooLarge, "context", 2),
        ("[", "k", Outcome::RejectedMalformed, "", 1),
        (&many, "k", Outcome::RejectedTooLarge, "batch", 2_501),
        (&large, "k", Outcome::RejectedTooLarge, "", 1),
    ] {
        let broken = open("/v1/batch", body, user_name);
        let found = (broken.rejection.outcome, broken.rejection.field.as_ref(), broken.events);
        assert_eq!(found, (outcome, field, events), "{}", &body[..body.len().min(60)]);
    }
}

#[test]
fn the_key_is_found_where_the_libraries_put_it() {
    for (user_name, body, query, key, in_address) in [
        ("basic", r#"{"writeKey":"body"}"#, "writeKey=query", "basic", false),
        ("", r#"{"writeKey":"body"}"#, "writeKey=query", "body", false),
        ("", r#"{"writeKey":""}"#, "a=b&writeKey=qu%2Dery", "qu-ery", true),
    ] {
        let request = Request { path: "/v1/t", query, user_name, body: body.as_bytes() };
        let opened = (format_of("/v1/t").unwrap().open)(&request).ok().unwrap();
        assert_eq!((opened.key.as_ref(), opened.key_in_address), (key, in_address));
    }
}

#[test]
fn consent_is_understood_in_each_of_its_shapes() {
    use Choice::{Denied, Granted};
    for (context, wanted) in [
        (
            json!({"consent": {"categoryPreferences": {"Analytics": true, "Advertising": false}}}),
            [Some(Granted), Some(Denied), None, None],
        ),
        (
            json!({"consent": {"categoryPreferences": {"C0001": true, "C0002": false, "C0003": true, "C0004": false}}}),
            [Some(Denied), Some(Denied), None, Some(Granted)],
        ),
        (
            json!({"consent": {"categoryPreferences": {"Marketing": true, "Targeting": false, "Ads": true}}}),
            [None, Some(Denied), None, None],
        ),
        (
            json!({"consent": "analytics:granted,ads:denied"}),
            [Some(Granted), Some(Denied), None, None],
        ),
        (
            json!({"consentManagement": {"provider": "custom", "allowedConsentIds": ["statistics"], "deniedConsentIds": ["marketing"]}}),
            [Some(Granted), Some(Denied), None, None],
        ),
        (json!({"consentManagement": {"allowedConsentIds": {"x": 1}}}), [None; 4]),
        (json!({"consent": {"categoryPreferences": {"Mystery": true}}}), [None; 4]),
    ] {
        let event = read("/v1/track", &json!({"userId": "u", "event": "e", "context": context}));
        let wanted = match wanted {
            [None, None, None, None] => SentConsent::Nothing,
            said => SentConsent::Choices(said),
        };
        assert_eq!(event.unwrap().consent, wanted, "{context}");
    }
}

#[test]
fn an_app_tells_its_device_and_a_browser_does_not() {
    let message = json!({"anonymousId": "a", "name": "Cart", "context": {
        "ip": "203.0.113.9", "userAgent": "claimed",
        "os": {"name": "iOS", "version": "19.1"},
        "device": {"type": "ios", "model": "iPad14,1", "advertisingId": "secret", "id": "secret"},
    }});
    let app = read_by(PixelKind::App, "/v1/screen", &message).unwrap();
    let context = app.context.unwrap();
    assert!(context.address.is_none(), "the connection's address counts");
    let device = app.stated.unwrap().device.unwrap();
    assert_eq!(device.map(Cow::into_owned), ["", "", "iOS", "19.1", "tablet"]);
    let web = read_by(PixelKind::Web, "/v1/screen", &message).unwrap();
    assert!(web.context.is_none() && web.stated.is_none());
    assert_eq!(web.sender_id, "a");
    let named = json!({"userId": "u", "name": "Cart"});
    assert_eq!(read_by(PixelKind::App, "/v1/s", &named).unwrap().sender_id, "u");
    assert_eq!(read_by(PixelKind::Server, "/v1/s", &named).unwrap().sender_id, "");
}

struct Kept {
    record: Vec<u8>,
    result: Result<(), Rejection>,
}

impl Kept {
    fn event(&self) -> Event<'_> {
        self.result.as_ref().unwrap();
        record::decode(&self.record).unwrap()
    }
}

/// Takes a message through the gate.
fn keep(shop: &Shop, hit: &Hit<'_>, message: &Value) -> Kept {
    let mut admission =
        shop.ingest.admit(hit, &shop.entry, SentConsent::Nothing, Telling::default());
    let parsed = read_by(shop.entry.pixel.kind, "/v1/track", message).unwrap();
    let (record, result) = admission.take(parsed, Common::default(), Vec::new());
    Kept { record, result }
}

fn shop(policy: Policy, kind: PixelKind) -> Shop {
    Shop::new(PrivacySettings { policy, ..PrivacySettings::default() }, kind)
}

#[test]
fn an_id_of_the_senders_own_makes_the_visitor() {
    let message = |id: &str, event: &str| json!({"anonymousId": id, "userId": "user-7", "event": event, "messageId": event});
    let web = shop(Policy::OptOut, PixelKind::Web);
    let first = keep(&web, &hit(), &message("device-1", "a"));
    let second = keep(&web, &hit(), &message("device-1", "b"));
    let other = keep(&web, &hit(), &message("device-2", "c"));
    assert_eq!(first.event().identification, Identification::Identified);
    assert_eq!(first.event().visitor_id, second.event().visitor_id);
    assert_ne!(first.event().visitor_id, other.event().visitor_id);
    let cookie = "cairn_id=00112233445566778899aabbccddeeff";
    let with_cookie = keep(&web, &Hit { cookies: cookie, ..hit() }, &message("device-1", "d"));
    assert_ne!(with_cookie.event().visitor_id, first.event().visitor_id, "the cookie's visitor");
    let keys = web.ingest.keys();
    let site = web.entry.site.site.id;
    assert_eq!(first.event().visitor_id, keys.of_sender(site, "device-1"));
    assert_ne!(keys.of_sender(site, "user-7"), keys.of_named_visitor(site, "user-7"));
    let server = shop(Policy::OptOut, PixelKind::Server);
    let no_origin = Hit { origin: "", ..hit() };
    let named = keep(&server, &no_origin, &json!({"userId": "user-7", "event": "e"}));
    let site = server.entry.site.site.id;
    let wanted = server.ingest.keys().of_named_visitor(site, "user-7");
    assert_eq!(named.event().visitor_id, wanted);
    let both = keep(&server, &no_origin, &message("device-1", "e"));
    assert_eq!(both.event().visitor_id, server.ingest.keys().of_sender(site, "device-1"));
}

const IDENTIFIERS: [&str; 9] =
    ["device-1", "user-7", "anna", "m-4711", "click-5", "203.0.113.9", "token-9", "acme-3", AGENT];

fn full_of_identifiers(consent: &Value) -> Value {
    json!({
        "anonymousId": "device-1", "userId": "user-7", "messageId": "m-4711",
        "event": "Product Added",
        "properties": {"product_id": "P", "url": "https://shop.example/p?token=token-9"},
        "context": {
            "ip": "203.0.113.9", "userAgent": AGENT, "groupId": "acme-3", "consent": consent,
            "traits": {"email": "anna@mail.example"},
            "page": {"url": "https://shop.example/p?email=anna&gclid=click-5&utm_source=mail",
                "search": "?email=anna", "referrer": "https://www.google.com/search?q=anna"},
            "device": {"id": "device-1", "advertisingId": "device-1", "token": "token-9"},
        },
    })
}

#[test]
fn without_permission_no_identifier_of_a_message_is_kept() {
    for kind in [PixelKind::Web, PixelKind::App, PixelKind::Server] {
        for (policy, consent) in
            [(Policy::OptIn, Value::Null), (Policy::OptOut, json!("analytics:denied"))]
        {
            let shop = shop(policy, kind);
            let origin = if kind == PixelKind::Web { "https://shop.example" } else { "" };
            let kept = keep(&shop, &Hit { origin, ..hit() }, &full_of_identifiers(&consent));
            let event = kept.event();
            assert_eq!(event.identification, Identification::Anonymous, "{kind:?}");
            assert_ne!(event.event_key, 0, "a repetition is still recognised");
            assert_eq!(event.query, "utm_source=mail");
            let text = everything(&event);
            for identifier in IDENTIFIERS {
                let is_in_record =
                    kept.record.windows(identifier.len()).any(|part| part == identifier.as_bytes());
                assert!(!is_in_record && !text.contains(identifier), "{kind:?}: {identifier}");
            }
        }
    }
}

#[test]
fn each_message_of_a_request_is_judged_by_its_own_consent() {
    let shop = shop(Policy::OptIn, PixelKind::Web);
    let hit = hit();
    let mut admission =
        shop.ingest.admit(&hit, &shop.entry, SentConsent::Nothing, Telling::default());
    let mut kinds = Vec::new();
    for consent in ["analytics:granted", "analytics:denied", "", "analytics:granted"] {
        let message = json!({"anonymousId": "a", "event": "e", "context": {"consent": consent}});
        let parsed = read_by(PixelKind::Web, "/v1/track", &message).unwrap();
        let (record, result) = admission.take(parsed, Common::default(), Vec::new());
        result.unwrap();
        kinds.push(record::decode(&record).unwrap().identification);
    }
    use Identification::{Anonymous, Identified};
    assert_eq!(kinds, [Identified, Anonymous, Anonymous, Identified]);
    let strict = self::shop(Policy::OptInStrict, PixelKind::Web);
    let denied =
        json!({"anonymousId": "a", "event": "e", "context": {"consent": "analytics:denied"}});
    let fault = keep(&strict, &hit, &denied).result.unwrap_err();
    assert_eq!(fault.outcome, Outcome::DroppedPolicy);
}

#[test]
fn an_opt_out_holds_for_users_and_for_the_senders_ids() {
    let mut shop = shop(Policy::OptOut, PixelKind::Web);
    let site = shop.entry.site.site.id;
    let keys = shop.ingest.keys();
    let hashes = [keys.of_user(site, "user-7"), keys.of_sender(site, "device-1").0];
    for hash in hashes {
        shop.catalog.add_opt_outs(site, &[hash], NOW_MS).unwrap();
    }
    shop.refresh();
    for message in [
        json!({"anonymousId": "other", "userId": "user-7", "event": "e"}),
        json!({"anonymousId": "device-1", "event": "e"}),
    ] {
        let fault = keep(&shop, &hit(), &message).result.unwrap_err();
        assert_eq!(fault.outcome, Outcome::DroppedOptedOut, "{message}");
    }
    assert!(keep(&shop, &hit(), &json!({"anonymousId": "x", "event": "e"})).result.is_ok());
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for path in ["/v1/track", "/v1/batch"] {
            let _ = open(path, &bytes);
        }
    }

    #[test]
    fn any_message_is_read_or_refused(
        values in proptest::collection::vec(json_value(), 3),
        own in "[a-zA-Z_]{1,12}",
        call in 0..6_usize,
    ) {
        let path = ["track", "page", "screen", "identify", "group", "alias"][call];
        let [a, b, c] = values.as_slice() else { unreachable!() };
        for field in ["properties", "context", "traits", "timestamp", "messageId", "event", "groupId",
            "previousId", "userId", "sentAt", "name"] {
            let body = format!(
                "{{\"anonymousId\":\"a\",\"event\":\"Order Completed\",\"{field}\":{a},\"context\":\
                 {{\"{own}\":{b},\"page\":{c},\"campaign\":{a},\"consent\":{b},\"os\":{c},\
                 \"screen\":{b}}},\"properties\":{{\"products\":[{a},{{\"id\":{b}}}],\"{own}\":{c},\
                 \"revenue\":{a}}}}}"
            );
            let path = format!("/v1/{path}");
            let Ok(opened) = open(&path, body.as_bytes()) else { continue };
            for kind in [PixelKind::Web, PixelKind::App, PixelKind::Server] {
                let Ok(event) = opened.events.event(0, &terms(kind)) else { continue };
                prop_assert!(!event.name.is_empty() && event.name.len() <= 64);
                for json in [&event.props, &event.items, &event.traits] {
                    prop_assert!(json.is_empty() || serde_json::from_str::<Value>(json).is_ok());
                }
                prop_assert_eq!(event.value_minor.is_some(), !event.currency.is_empty());
            }
        }
    }

    #[test]
    fn a_wrong_clock_changes_nothing(skew_ms in -10_000_000_000_i64..10_000_000_000, age_ms in 0..600_000_000_i64) {
        let body = json!({"userId": "u", "event": "e",
            "timestamp": NOW_MS + skew_ms - age_ms, "sentAt": NOW_MS + skew_ms});
        prop_assert_eq!(read("/v1/track", &body).unwrap().timestamp_ms, Some(NOW_MS - age_ms));
    }
}

#[test]
fn the_page_about_it_has_every_row_of_the_table() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/segment.md");
    let page = std::fs::read_to_string(page).unwrap();
    for row in CALLED {
        let line = page.lines().find(|line| line.contains(&format!("| `{}` |", row.event)));
        let line = line.unwrap_or_else(|| panic!("{} is missing", row.event));
        for name in row.segment {
            assert!(line.contains(name), "{name} is missing");
        }
        let is_like_the_one_above = line.contains("as above");
        for (from, to) in row.renames {
            let renamed = format!("`{from}` → `{to}`");
            assert!(is_like_the_one_above || line.contains(&renamed), "{renamed} is missing");
        }
    }
}
