//! Requests: where they go, where they do not, and when they end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cairn_connect::{Client, OutgoingError, OutgoingOptions, OutgoingRequest, OutgoingResponse};
use http::{HeaderMap, HeaderValue, Method};

use crate::rig::{HOST, Names, Says, Server, certificate, client, ok, options, redirect};

async fn get(client: &Client, url: &str) -> Result<OutgoingResponse, OutgoingError> {
    send(client, Method::GET, url, "").await
}

async fn send(
    client: &Client,
    method: Method,
    url: &str,
    body: &'static str,
) -> Result<OutgoingResponse, OutgoingError> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer word"));
    headers.insert("x-plain", HeaderValue::from_static("plain"));
    let mut signature = HeaderValue::from_static("signed");
    signature.set_sensitive(true);
    headers.insert("cairn-signature", signature);
    let body = Bytes::from_static(body.as_bytes());
    client.send(OutgoingRequest { method, url: url.to_owned(), headers, body }).await
}

fn home() -> Arc<Names> {
    Names::new(&[&["127.0.0.1"]])
}

#[track_caller]
fn is_refused(answer: &Result<OutgoingResponse, OutgoingError>, why: &str) {
    match answer {
        Err(OutgoingError::Refused { reason }) => assert!(reason.contains(why), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_asked_for_arrives_once_and_its_answer_comes_back() {
    let server = Server::start(ok("thanks")).await;
    let answer = send(&client(options(), &home()), Method::POST, &server.url(), "hello").await;
    let answer = answer.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"thanks"[..]));
    let heard = server.heard();
    let [request] = heard.as_slice() else { panic!("{heard:?}") };
    assert!(request.starts_with("POST /hook?secret=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {HOST}:{}\r\n", server.port)), "{request}");
    assert!(request.ends_with("\r\n\r\nhello"), "{request}");
}

#[tokio::test]
async fn a_name_of_which_one_address_is_private_is_not_connected_to() {
    let server = Server::start(ok("")).await;
    let nothing_allowed = OutgoingOptions { networks_allowed: Vec::new(), ..options() };
    for list in [
        &["127.0.0.1"][..],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["10.0.0.1"],
        &["169.254.169.254"],
        &["93.184.216.34", "127.0.0.1"],
        &["127.0.0.1", "93.184.216.34"],
    ] {
        let answer =
            get(&client(nothing_allowed.clone(), &Names::new(&[list])), &server.url()).await;
        is_refused(&answer, "open internet");
    }
    assert_eq!(server.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_the_checked_address_is_connected_to() {
    let server = Server::start(ok("first")).await;
    // Asked again, the name would lead elsewhere: that is how a check is got around.
    let names = Names::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let answer = get(&client(options(), &names), &server.url()).await.unwrap();
    assert_eq!((&answer.body[..], names.asked.load(Ordering::Relaxed)), (&b"first"[..], 1));
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_the_second_time_is_checked_the_second_time() {
    let server = Server::start(redirect(302, "/again")).await;
    let names = Names::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    is_refused(&get(&client(options(), &names), &server.url()).await, "open internet");
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn redirects_lead_nowhere_that_could_not_be_asked() {
    let nothing = options();
    for location in [
        "http://127.0.0.2/",
        "http://127.1.1.1/",
        "http://0x7f000002/",
        "http://2130706434/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "http://name:word@hooks.example/",
    ] {
        let server = Server::start(redirect(307, location)).await;
        let answer = get(&client(nothing.clone(), &home()), &server.url()).await;
        assert!(matches!(answer, Err(OutgoingError::Refused { .. })), "{location}: {answer:?}");
        assert_eq!(server.heard().len(), 1, "{location}");
    }
}

#[tokio::test]
async fn redirects_are_counted() {
    let server = Server::start(redirect(302, "/again")).await;
    is_refused(&get(&client(options(), &home()), &server.url()).await, "too often");
    assert_eq!(server.heard().len(), 1 + options().redirects_max);
}

#[tokio::test]
async fn credentials_and_bodies_stay_with_their_origin() {
    let other = Server::start(ok("")).await;
    let leads_there = redirect(302, &other.url());
    let first = Server::start(leads_there).await;
    get(&client(options(), &home()), &first.url()).await.unwrap();
    let heard = first.heard().concat();
    assert!(heard.contains("Bearer word") && heard.contains("signed"), "{heard}");
    let heard = other.heard().concat();
    assert!(heard.contains("x-plain: plain"), "{heard}");
    assert!(!heard.contains("Bearer word") && !heard.contains("signed"), "{heard}");

    let first = Server::start(redirect(307, &other.url())).await;
    let answer = send(&client(options(), &home()), Method::POST, &first.url(), "body").await;
    is_refused(&answer, "another origin");
    assert_eq!(other.heard().len(), 1);
}

#[tokio::test]
async fn a_redirect_that_asks_for_the_result_carries_no_body() {
    let server = Server::start(redirect(303, "/result")).await;
    is_refused(
        &send(&client(options(), &home()), Method::POST, &server.url(), "body").await,
        "too often",
    );
    let heard = server.heard();
    assert!(heard[0].starts_with("POST /hook") && heard[0].ends_with("body"), "{}", heard[0]);
    assert!(heard[1].starts_with("GET /result") && !heard[1].ends_with("body"), "{}", heard[1]);
}

#[tokio::test]
async fn who_is_slow_or_endless_is_given_up() {
    let silent = Server::start(Says::Nothing).await;
    let short = OutgoingOptions { time_max: Duration::from_millis(50), ..options() };
    let answer = get(&client(short.clone(), &home()), &silent.url()).await;
    assert_eq!(answer.unwrap_err(), OutgoingError::TooSlow);

    let endless = Server::start(Says::Endless).await;
    let answer = get(&client(options(), &home()), &endless.url()).await;
    let size_bytes_max = options().answer_size_bytes_max;
    assert_eq!(answer.unwrap_err(), OutgoingError::TooLarge { size_bytes_max });

    let head = format!("HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n", "x".repeat(200_000));
    let long_head = Server::start(Says::Text(head)).await;
    let answer = get(&client(options(), &home()), &long_head.url()).await;
    assert!(matches!(answer, Err(OutgoingError::Unavailable { .. })), "{answer:?}");
}

#[tokio::test]
async fn tls_asks_for_the_name_and_believes_known_authorities_only() {
    let (config, authority) = certificate(HOST);
    let server = Server::with(ok("secret"), Some(config)).await;
    let url = format!("https://{HOST}:{}/", server.port);
    let trusting =
        OutgoingOptions { authorities_pem: authority, plain_http_allowed: false, ..options() };
    let answer = get(&client(trusting.clone(), &home()), &url).await.unwrap();
    assert_eq!(&answer.body[..], b"secret");
    assert_eq!(*server.names.lock().unwrap(), [HOST]);

    let answer = get(&client(options(), &home()), &url).await;
    assert!(matches!(answer, Err(OutgoingError::Unavailable { .. })), "{answer:?}");
    let other_name = format!("https://other.example:{}/", server.port);
    let answer = get(&client(trusting.clone(), &home()), &other_name).await;
    assert!(matches!(answer, Err(OutgoingError::Unavailable { .. })), "{answer:?}");
    let plain = Server::start(ok("")).await;
    is_refused(&get(&client(trusting, &home()), &plain.url()).await, "no https");
    assert_eq!(plain.heard().len(), 0);
}

#[tokio::test]
async fn nobody_is_led_from_https_to_http() {
    let plain = Server::start(ok("")).await;
    let (config, authorities_pem) = certificate(HOST);
    let server = Server::with(redirect(302, &plain.url()), Some(config)).await;
    let trusting = OutgoingOptions { authorities_pem, ..options() };
    let url = format!("https://{HOST}:{}/", server.port);
    is_refused(&get(&client(trusting, &home()), &url).await, "from https to http");
    assert_eq!(plain.heard().len(), 0);
}

#[tokio::test]
async fn errors_repeat_nothing_of_the_target() {
    let silent = Server::start(Says::Nothing).await;
    let short = OutgoingOptions { time_max: Duration::from_millis(50), ..options() };
    for answer in [
        get(&client(short, &home()), &silent.url()).await,
        get(&client(options(), &Names::new(&[])), "http://name.example/secret").await,
        get(&client(options(), &Names::new(&[&["10.9.8.7"]])), "http://name.example/secret").await,
        get(&client(options(), &home()), "http://127.0.0.1:1/secret").await,
    ] {
        let text = format!("{0} {0:?}", answer.unwrap_err());
        for part in ["secret", "example", "10.9", "127.0"] {
            assert!(!text.contains(part), "{text}");
        }
    }
}
