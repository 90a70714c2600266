//! The image pixel of pages without scripts, feeds and marketplaces: each field of the contract is sent and read back.

use cairn_model::{Event, Identification, PixelKind};

use crate::running::{NOW_MS, Running, SHOP, Site};

const OWN_PAGE: &str = "https://shop.example/p?utm_source=feed&size=m";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

/// Sends one query from this page with permission, and reads the event back.
fn sent(query: &str, referer: &str) -> Event<'static> {
    let running = Running::start();
    let key = running.site(&Site { kind: PixelKind::Image, ..SHOP });
    let target = format!("/p.gif?key={key}&{query}");
    let headers = [("Referer", referer), ("User-Agent", FIREFOX), ("Accept-Language", "fr-FR")];
    let answer = running.client().get(&target, &headers);
    assert_eq!((answer.status, answer.outcome(), answer.body.len()), (200, "accepted", 43));
    assert_eq!(answer.header("cairn-reason"), "");
    running.assert_conserved();
    running.last_event()
}

#[test]
fn each_field_is_read_back() {
    let address = "https%3A%2F%2Fshop.example%2Fq%3Fa%3D1";
    let time = NOW_MS - 60_000;
    type Read = fn(&Event<'_>) -> String;
    let fields: [(&str, Read, &str); 17] = [
        ("", |event| event.name.to_string(), "page_view"),
        ("", |event| format!("{}{}", event.hostname, event.path), "shop.example/p"),
        ("", |event| event.query.to_string(), "utm_source=feed&size=m"),
        ("event=purchase", |event| event.name.to_string(), "purchase"),
        (&format!("url={address}"), |event| format!("{}?{}", event.path, event.query), "/q?a=1"),
        (
            "referrer=https%3A%2F%2Fnews.example%2Fa",
            |event| event.referrer.to_string(),
            "news.example/a",
        ),
        ("title=Caf%C3%A9+7", |event| event.title.to_string(), "Café 7"),
        ("event_id=e-1", |event| event.event_id.to_string(), "e-1"),
        (&format!("timestamp={time}"), |event| event.timestamp_ms.to_string(), &time.to_string()),
        ("timestamp=2026-11-22T09:59:00Z", |event| event.timestamp_ms.to_string(), "1795341540000"),
        ("user_id=anna-1", |event| event.user_id.to_string(), "anna-1"),
        ("value=59.90&currency=EUR", |event| format!("{:?}", event.value_minor), "Some(5990)"),
        ("value=1&currency=jpy", |event| event.currency.to_string(), "JPY"),
        ("order_id=o-7", |event| event.order_id.to_string(), "o-7"),
        ("screen=1440x900", |event| event.screen.to_string(), "1440x900"),
        ("language=de-CH", |event| event.language.to_string(), "de-CH"),
        (
            "props[plan]=pro&props%5Bsize%5D=m",
            |event| event.props.to_string(),
            r#"{"plan":"pro","size":"m"}"#,
        ),
    ];
    for (query, read, wanted) in fields {
        let event = sent(&format!("{query}&consent=analytics:granted"), OWN_PAGE);
        assert_eq!(read(&event), wanted, "{query}");
        assert_eq!(event.identification, Identification::Identified, "consent is read: {query}");
    }
    assert_eq!(sent("", OWN_PAGE).language, "fr-FR", "without the field, the browser's");
}

#[test]
fn a_marketplaces_page_is_told_and_nobody_on_it() {
    let query = "event=purchase&event_id=e-1&user_id=anna-1&value=5&currency=EUR&order_id=o-7&\
                 title=T&props[a]=b&screen=1440x900&consent=analytics:granted";
    let event = sent(query, "https://market.example/item?user=anna&utm_source=market");
    assert_eq!(event.identification, Identification::Anonymous);
    assert_eq!((event.user_id.as_ref(), event.event_id.as_ref()), ("", ""));
    assert_eq!((event.hostname.as_ref(), event.path.as_ref()), ("market.example", "/item"));
    assert_eq!((event.query.as_ref(), event.order_id.as_ref()), ("utm_source=market", "o-7"));
    assert_eq!((event.value_minor, event.title.as_ref()), (Some(500), "T"));
    assert_eq!(event.props, r#"{"a":"b"}"#);
}
