//! What an owner and a visitor do, through the public interface.

use serde_json::{Value, json};

use crate::server::{AGENT, Server};

#[test]
fn a_pixel_turns_from_waiting_to_receiving() {
    let server = Server::start(&[]);
    let (site, key) = server.site("shop.test", &json!({"policy": "opt_out"}));
    let path = format!("/api/v1/sites/{site}/pixels/{key}");
    assert_eq!(server.api("GET", &path, &Value::Null).json()["status"], "waiting");
    let hit = format!("/p.gif?key={key}&url=https%3A%2F%2Fshop.test%2Fa%3Futm_source%3Dmail");
    let headers = [("user-agent", AGENT), ("accept-language", "en")];
    let answer = server.client().send("GET", &hit, &headers, b"").unwrap();
    assert_eq!((answer.status, answer.outcome(), answer.body.len()), (200, "accepted", 43));
    assert_eq!(server.outcomes(&site)["outcomes"]["accepted"], 1);
    let pixel = server.api("GET", &path, &Value::Null).json();
    assert_eq!((&pixel["status"], &pixel["events_24h"]), (&json!("receiving"), &json!(1)));
    let metrics = ["visitors", "visits", "pageviews", "bounce_rate"];
    assert_eq!(server.totals(&site, &metrics), [1, 1, 1, 100]);
}

#[test]
fn a_restart_keeps_everything() {
    let directory = tempfile::TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let (site, key) = server.site("shop.test", &json!({"policy": "opt_out"}));
    let mut client = server.client();
    for number in 0..50 {
        let hit = format!("/p.gif?key={key}&event_id=e{number}&url=https://shop.test/{number}");
        assert_eq!(client.send("GET", &hit, &[], b"").unwrap().outcome(), "accepted");
    }
    assert_eq!(server.stop(), Some(0));
    let server = Server::start_in(directory.path(), &[]).unwrap();
    assert_eq!(server.totals(&site, &["events"]), [50]);
    let hit = format!("/p.gif?key={key}&event_id=e7&url=https://shop.test/7");
    let again = server.client().send("GET", &hit, &[], b"").unwrap();
    assert_eq!(again.outcome(), "duplicate");
    assert_eq!(server.outcomes(&site)["outcomes"]["duplicate"], 1);
}

#[test]
fn two_processes_cannot_share_a_directory() {
    let directory = tempfile::TempDir::new().unwrap();
    let _first = Server::start_in(directory.path(), &[]).unwrap();
    let second = Server::start_in(directory.path(), &[]).err().unwrap();
    assert!(second.contains("in use by another process"), "{second}");
}

#[test]
fn a_short_bootstrap_token_is_refused() {
    let directory = tempfile::TempDir::new().unwrap();
    let refused =
        Server::start_in(directory.path(), &[("CAIRN_BOOTSTRAP_TOKEN", "short")]).err().unwrap();
    assert!(refused.contains("CAIRN_BOOTSTRAP_TOKEN") && refused.contains("32"), "{refused}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let refused = Server::start_in(&file.join("data"), &[]).err().unwrap();
    assert!(refused.contains("data directory"), "{refused}");
}
