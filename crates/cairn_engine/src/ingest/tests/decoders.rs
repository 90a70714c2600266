//! What each decoder takes and refuses, field by field, and that nothing makes it panic.

use cairn_model::Outcome;
use cairn_model::limits::BODY_SIZE_BYTES_MAX;
use proptest::prelude::*;

use crate::ingest::consent::SentConsent;
use crate::ingest::envelope::{envelope, unzipped};
use crate::ingest::fields::{Sender, event};
use crate::ingest::json::{Raw, document};
use crate::ingest::query;
use crate::ingest::rejection::Rejection;

fn read(json: &str, sender: Sender) -> Result<(), Rejection> {
    document(json.as_bytes())?;
    event(Raw(json), sender).map(drop)
}

/// Outcome and field of a refusal, `accepted` otherwise.
fn verdict(result: Result<(), Rejection>) -> String {
    match result {
        Ok(()) => "accepted".into(),
        Err(rejection) => {
            assert!(!rejection.message.is_empty());
            format!("{} {}", rejection.outcome.name(), rejection.field).trim().to_owned()
        }
    }
}

#[test]
fn events_one_field_at_a_time() {
    let long = |size: usize| "x".repeat(size);
    let many = |count: usize| {
        (0..count).map(|at| format!("\"p{at}\":\"v\"")).collect::<Vec<_>>().join(",")
    };
    let items = |count: usize| vec![r#"{"item_id":"a"}"#; count].join(",");
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    for (fields, wanted) in [
        (r#""title":null,"value":null,"props":null"#.to_owned(), "accepted"),
        (r#""foo":1"#.into(), "rejected:unknown_field foo"),
        (r#""foo":null"#.into(), "rejected:unknown_field foo"),
        (r#""visitor_id":"v""#.into(), "rejected:unknown_field visitor_id"),
        (r#""context":{"ip":"203.0.113.9"}"#.into(), "rejected:unknown_field context"),
        (r#""title":"a","title":"b""#.into(), "rejected:malformed title"),
        (r#""event_id":12"#.into(), "accepted"),
        (format!(r#""event_id":"{}""#, long(256)), "accepted"),
        (format!(r#""event_id":"{}""#, long(257)), "rejected:too_large event_id"),
        (format!(r#""user_id":"{}""#, long(257)), "rejected:too_large user_id"),
        (format!(r#""order_id":"{}""#, long(257)), "rejected:too_large order_id"),
        (format!(r#""title":"{}""#, long(9_000)), "accepted"),
        (r#""title":7"#.into(), "rejected:malformed title"),
        (r#""title":"\ud800""#.into(), "rejected:malformed title"),
        (r#""url":"shop.example/p""#.into(), "rejected:malformed url"),
        (format!(r#""url":"https://shop.example/{}""#, long(50_000)), "accepted"),
        (r#""timestamp":"2026-02-30T00:00:00Z""#.into(), "rejected:malformed timestamp"),
        (r#""timestamp":"1795341600000""#.into(), "accepted"),
        (r#""timestamp":1795341600000"#.into(), "accepted"),
        (r#""timestamp":1795341600000.5"#.into(), "rejected:malformed timestamp"),
        (r#""timestamp":99999999999999999999"#.into(), "rejected:malformed timestamp"),
        (r#""timestamp":{}"#.into(), "rejected:malformed timestamp"),
        (r#""value":59.90,"currency":"EUR""#.into(), "accepted"),
        (r#""value":"59.90","currency":"EUR""#.into(), "accepted"),
        (r#""currency":"EUR""#.into(), "accepted"),
        (r#""value":59.90"#.into(), "rejected:malformed currency"),
        (r#""value":59.905,"currency":"EUR""#.into(), "rejected:malformed value"),
        (r#""value":-1,"currency":"EUR""#.into(), "rejected:malformed value"),
        (r#""value":1e400,"currency":"EUR""#.into(), "rejected:malformed value"),
        (r#""value":true,"currency":"EUR""#.into(), "rejected:malformed value"),
        (r#""value":1,"currency":"EURO""#.into(), "rejected:malformed currency"),
        (r#""value":1,"currency":7"#.into(), "rejected:malformed currency"),
        (r#""engagement_ms":-1"#.into(), "rejected:malformed engagement_ms"),
        (r#""engagement_ms":12.7"#.into(), "accepted"),
        (r#""engagement_ms":4294967296"#.into(), "rejected:malformed engagement_ms"),
        (r#""engagement_ms":1e99"#.into(), "rejected:malformed engagement_ms"),
        (r#""scroll_percent":100"#.into(), "accepted"),
        (r#""scroll_percent":101"#.into(), "rejected:malformed scroll_percent"),
        (r#""section":{"id":"a","visible_ms":5,"visible_percent":50}"#.into(), "accepted"),
        (r#""section":{"visible_ms":5}"#.into(), "rejected:malformed section.id"),
        (r#""section":{"id":"a","x":1}"#.into(), "rejected:unknown_field section.x"),
        (r#""section":"a""#.into(), "rejected:malformed section"),
        (r#""props":{"a":"b","n":1,"t":true,"z":null}"#.into(), "accepted"),
        (r#""props":{"a":{"b":1}}"#.into(), "rejected:malformed props.a"),
        (r#""props":{"a":"b","a":"c"}"#.into(), "rejected:malformed props.a"),
        (r#""props":[1]"#.into(), "rejected:malformed props"),
        (format!(r#""props":{{"a":{deep}}}"#), "rejected:malformed props.a"),
        (format!(r#""props":{{{}}}"#, many(64)), "accepted"),
        (format!(r#""props":{{{}}}"#, many(65)), "rejected:too_large props"),
        (r#""items":[{"item_id":"a","price":59.90,"quantity":2}]"#.into(), "accepted"),
        (r#""items":[{"item_name":"a","brand":"b"}]"#.into(), "accepted"),
        (r#""items":[{"price":1}]"#.into(), "rejected:malformed items.item_id"),
        (r#""items":[{"item_id":"a","price":-1}]"#.into(), "rejected:malformed items.price"),
        (r#""items":[{"item_id":"a","price":"x"}]"#.into(), "rejected:malformed items.price"),
        (r#""items":[{"item_id":"a","q":[1]}]"#.into(), "rejected:malformed items.q"),
        (r#""items":[1]"#.into(), "rejected:malformed items"),
        (r#""items":{}"#.into(), "rejected:malformed items"),
        (format!(r#""items":[{}]"#, items(200)), "accepted"),
        (format!(r#""items":[{}]"#, items(201)), "rejected:too_large items"),
        (r#""traits":{"email":"a@b.example","address":{"city":"Bern"}}"#.into(), "accepted"),
        (format!(r#""traits":{{"email":"{}"}}"#, long(257)), "rejected:too_large traits.email"),
        (format!(r#""traits":{{"a":{deep}}}"#), "rejected:malformed traits"),
        (r#""traits":"a""#.into(), "rejected:malformed traits"),
        (r#""traits":{"a":"\udfff"}"#.into(), "rejected:malformed traits"),
    ] {
        let json = format!(r#"{{"event":"page_view",{fields}}}"#);
        let shown: String = fields.chars().take(80).collect();
        assert_eq!(verdict(read(&json, Sender::Public)), wanted, "{shown}");
    }
}

#[test]
fn names_and_refunds() {
    let long = format!(r#"{{"event":"{}"}}"#, "x".repeat(65));
    for (json, wanted) in [
        (r#"{"event":"404"}"#, "accepted"),
        (r#"{"event":""}"#, "rejected:malformed event"),
        (r#"{"url":"https://a.example/"}"#, "rejected:malformed event"),
        (long.as_str(), "rejected:too_large event"),
        (r#"{"event":"refund","value":5,"currency":"EUR","order_id":"7"}"#, "accepted"),
        (r#"{"event":"refund","value":5,"currency":"EUR"}"#, "rejected:malformed order_id"),
        (
            r#"{"event":"refund","value":0,"currency":"EUR","order_id":"7"}"#,
            "rejected:malformed value",
        ),
        (r#"{"event":"refund","order_id":"7"}"#, "rejected:malformed value"),
    ] {
        assert_eq!(verdict(read(json, Sender::Public)), wanted, "{json}");
    }
    for json in ["[]", "7", "\"page_view\"", "null"] {
        let outcome = event(Raw(json), Sender::Public).unwrap_err().outcome;
        assert_eq!(outcome, Outcome::RejectedMalformed, "{json}");
    }
}

#[test]
fn servers_and_imports_may_say_more() {
    let context = r#"{"event":"a","context":{"ip":"2001:db8::1","user_agent":"x"}}"#;
    assert_eq!(verdict(read(context, Sender::Server)), "accepted");
    let bad = r#"{"event":"a","context":{"ip":"300.1.1.1"}}"#;
    assert_eq!(verdict(read(bad, Sender::Server)), "rejected:malformed context.ip");
    let import = r#"{"event":"a","visitor_id":"v","session_id":7,"source":"S","channel":"C",
        "utm":{"source":"s"},"geo":{"country":"DE","city":2950159},
        "device":{"type":"mobile"},"network":{"asn":"AS64500","organization":"O"},"bot":false}"#;
    assert_eq!(verdict(read(import, Sender::Import)), "accepted");
    assert_eq!(verdict(read(import, Sender::Server)), "rejected:unknown_field visitor_id");
    for (field, wanted) in [
        (r#""utm":{"sauce":"s"}"#, "rejected:unknown_field utm.sauce"),
        (r#""geo":{"country":[]}"#, "rejected:malformed geo.country"),
        (r#""network":{"asn":"x"}"#, "rejected:malformed network.asn"),
    ] {
        let json = format!(r#"{{"event":"a",{field}}}"#);
        assert_eq!(verdict(read(&json, Sender::Import)), wanted);
    }
}

#[test]
fn texts_become_what_is_stored() {
    let json = r#"{"event":"purchase","value":59.9,"currency":"eur","url":"https://Shop.example/a b?x=1#y",
        "props":{"n":1.50,"t":true,"q":"\"x\"","z":null},
        "items":[{"item_id":7,"price":"007.50","quantity":2,"note":"\u00e4"}]}"#;
    let parsed = event(Raw(json), Sender::Public).unwrap();
    assert_eq!((parsed.value_minor, parsed.currency), (Some(5_990), "EUR"));
    assert_eq!(parsed.props, r#"{"n":"1.50","t":"true","q":"\"x\""}"#);
    assert_eq!(parsed.items, r#"[{"item_id":"7","price":7.50,"quantity":2,"note":"ä"}]"#);
    let items: serde_json::Value = serde_json::from_str(&parsed.items).unwrap();
    assert_eq!(items[0]["price"], 7.5);
    assert_eq!((parsed.page.hostname(), parsed.page.path()), ("shop.example", "/a b"));
    assert!(!parsed.truncated);
    let long = format!(r#"{{"event":"a","title":"{}"}}"#, "ä".repeat(1_100));
    let parsed = event(Raw(&long), Sender::Public).unwrap();
    assert!(parsed.truncated && parsed.title.len() == 2_048);
}

#[test]
fn envelopes() {
    let fault = |body: &str| {
        let broken = envelope(body.as_bytes()).unwrap_err();
        (verdict(Err(broken.rejection)), broken.events)
    };
    let ok = envelope(
        br#"{"key":"K","events":[{},7],"consent":"ads:denied","timezone":"Europe/Berlin"}"#,
    );
    let ok = ok.unwrap();
    assert_eq!((ok.key.as_ref(), ok.events.len()), ("K", 2));
    assert!(matches!(ok.consent, SentConsent::Choices(_)));
    let object = envelope(br#"{"key":"K","consent":{"analytics":"granted"}}"#).unwrap();
    assert!(object.events.is_empty());
    let many = format!(r#"{{"key":"K","events":[{}]}}"#, vec!["{}"; 101].join(","));
    for (body, wanted) in [
        (r#"{"events":[{},{}]}"#, ("rejected:malformed key", 2)),
        (r#"{"key":"","events":[{}]}"#, ("rejected:malformed key", 1)),
        (r#"{"key":7,"events":[{}]}"#, ("rejected:malformed key", 1)),
        (r#"{"key":"K","events":[]}"#, ("rejected:malformed events", 1)),
        (r#"{"key":"K","events":{}}"#, ("rejected:malformed events", 1)),
        (r#"{"key":"K"}"#, ("rejected:malformed events", 1)),
        (r#"{"key":"K","events":[{},{}],"foo":1}"#, ("rejected:unknown_field foo", 2)),
        (r#"{"key":"K","key":"L","events":[{}]}"#, ("rejected:malformed key", 1)),
        (r#"{"key":"K","events":[{}],"consent":"yes"}"#, ("rejected:malformed consent", 1)),
        (r#"{"key":"K","events":[{}],"consent":{"ads":1}}"#, ("rejected:malformed consent", 1)),
        (r#"{"key":"K","events":[{}"#, ("rejected:malformed", 1)),
        (many.as_str(), ("rejected:too_large events", 101)),
    ] {
        let found = fault(body);
        assert_eq!((found.0.as_str(), found.1), wanted, "{body}");
    }
    let big = format!(r#"{{"key":"K","events":["{}"]}}"#, "x".repeat(70_000));
    assert_eq!(fault(&big).0, "rejected:too_large");
}

#[test]
fn a_gzip_bomb_stops_at_the_limit() {
    use std::io::Write;
    let pack = |size: usize| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let block = vec![b' '; 1 << 20];
        for _ in 0..size.div_ceil(block.len()) {
            packer.write_all(&block[..size.min(block.len())]).unwrap();
        }
        packer.finish().unwrap()
    };
    assert_eq!(unzipped(&pack(1_000), BODY_SIZE_BYTES_MAX).unwrap().len(), 1_000);
    let bomb = pack(60 << 20);
    assert!(bomb.len() < 65_536, "it fits into a body");
    assert_eq!(
        unzipped(&bomb, BODY_SIZE_BYTES_MAX).unwrap_err().outcome,
        Outcome::RejectedTooLarge
    );
    assert_eq!(
        unzipped(b"no gzip", BODY_SIZE_BYTES_MAX).unwrap_err().outcome,
        Outcome::RejectedMalformed
    );
    let half = pack(1_000);
    assert!(unzipped(&half[..half.len() / 2], BODY_SIZE_BYTES_MAX).is_err());
}

#[test]
fn image_queries_one_parameter_at_a_time() {
    let long = "x".repeat(100_000);
    let id = "x".repeat(257);
    let props =
        |count: usize| (0..count).map(|at| format!("props[p{at}]=v")).collect::<Vec<_>>().join("&");
    for (query, wanted) in [
        ("", "accepted"),
        ("event=page_view&&_=123&cb=9", "accepted"),
        ("title=a+b%20%C3%BC", "accepted"),
        ("title=%FF", "rejected:malformed title"),
        ("title=%C3", "rejected:malformed title"),
        ("title=100%", "accepted"),
        ("title=a&title=b", "rejected:malformed title"),
        ("foo=1", "rejected:unknown_field foo"),
        ("traits=1", "rejected:unknown_field traits"),
        ("event=", "rejected:malformed event"),
        (&format!("event={}", "x".repeat(65)), "rejected:too_large event"),
        (&format!("event_id={id}"), "rejected:too_large event_id"),
        (&format!("url=https://a.example/{long}"), "accepted"),
        ("url=nonsense", "rejected:malformed url"),
        ("timestamp=1795341600000", "accepted"),
        ("timestamp=2026-11-22T10:00:00%2B01:00", "accepted"),
        ("timestamp=2026-13-01T00:00:00Z", "rejected:malformed timestamp"),
        ("value=1.50&currency=EUR", "accepted"),
        ("value=1.50", "rejected:malformed currency"),
        ("value=NaN&currency=EUR", "rejected:malformed value"),
        ("value=-1&currency=EUR", "rejected:malformed value"),
        ("props[plan]=pro&props%5Bn%5D=1", "accepted"),
        ("props[a]=1&props[a]=2", "rejected:malformed props.a"),
        ("props[a]=%FF", "rejected:malformed props.a"),
        ("props[a=1", "rejected:unknown_field props[a"),
        (&props(64), "accepted"),
        (&props(65), "rejected:too_large props"),
        ("consent=analytics:granted", "accepted"),
        ("consent=maybe", "rejected:malformed consent"),
        ("screen=huge&language=%3Cb%3E", "accepted"),
        ("event=refund&value=5&currency=EUR&order_id=7", "accepted"),
        ("event=refund&value=5&currency=EUR", "rejected:malformed order_id"),
    ] {
        let shown: String = query.chars().take(60).collect();
        assert_eq!(verdict(query::image(query, "").map(drop)), wanted, "{shown}");
    }
}

#[test]
fn an_image_takes_its_page_from_the_referer() {
    let read = query::image("props[plan]=pro", "https://shop.example/p?x=1").unwrap();
    assert_eq!((read.event.page.path(), read.event.props.as_ref()), ("/p", r#"{"plan":"pro"}"#));
    let read =
        query::image("url=https%3A%2F%2Fshop.example%2Fq", "https://shop.example/p").unwrap();
    assert_eq!(read.event.page.path(), "/q");
    assert_eq!(query::key("a=1&key=K%20").unwrap(), "K ");
    assert_eq!(query::key("a=1").unwrap(), "");
}

#[test]
fn a_parameter_that_was_cut_on_its_way_in_is_no_broken_utf8() {
    let cut = format!("title={}%C3", "%C3%BC".repeat(2_800));
    assert!(cut.len() > 16_000);
    let read = query::image(&cut, "").unwrap();
    assert!(read.event.truncated && read.event.title.starts_with("üüü"));
}

proptest! {
    #[test]
    fn any_query_is_read_or_refused(query in "\\PC{0,80}", more in "[a-z%&=+\\[\\]0-9A-F]{0,120}") {
        let _ = query::image(&query, &more);
        let _ = query::image(&more, &query);
        let _ = query::key(&more);
    }

    #[test]
    fn any_body_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = envelope(&bytes);
        let _ = unzipped(&bytes, BODY_SIZE_BYTES_MAX);
    }

    #[test]
    fn any_event_is_read_or_refused(json in json_value(), name in "[a-z_]{1,12}") {
        for sender in [Sender::Public, Sender::Server, Sender::Import] {
            let text = format!("{{\"event\":\"a\",\"{name}\":{json}}}");
            let _ = event(Raw(&text), sender);
            for field in ["props", "items", "traits", "section", "context", "utm", "value",
                "timestamp", "url", "engagement_ms", "network", "bot"] {
                let text = format!("{{\"event\":\"a\",\"{field}\":{json}}}");
                let _ = event(Raw(&text), sender);
            }
        }
    }
}

pub fn json_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?",
        "\\PC{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\ud800""#.to_owned()),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5)
                .prop_map(|list| format!("[{}]", list.join(","))),
            proptest::collection::vec(("[a-z_]{1,9}", inner), 0..5).prop_map(|pairs| {
                let pairs: Vec<String> =
                    pairs.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", pairs.join(","))
            }),
        ]
    })
}
