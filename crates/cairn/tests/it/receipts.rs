//! Receipts from outside: the program's own verification, beside the server and after its files were changed.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{AGENT, Server};

fn verify(data: &Path, more: &[&str]) -> Output {
    let data = data.to_str().unwrap();
    let arguments = [&["verify-receipts", "--data", data], more].concat();
    Command::new(env!("CARGO_BIN_EXE_cairn")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn choose(server: &Server, key: &str, consent: &Value) {
    let body = json!({"key": key, "events": [], "consent": consent}).to_string();
    let headers = [("user-agent", AGENT), ("content-type", "application/json")];
    let answer = server.client().send("POST", "/e", &headers, body.as_bytes()).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
}

#[test]
fn receipts_verify_beside_the_server_and_after_kill_9_and_tampering_is_found() {
    let directory = TempDir::new().unwrap();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let (site, key) = server.site("receipts.test", &json!({"policy": "opt_in"}));
    let banner = json!({"choice": "analytics:granted", "signal": "banner",
                        "shown": {"version": "canary-version-7", "language": "en"}});
    choose(&server, &key, &banner);
    choose(&server, &key, &json!("analytics:denied"));
    let path = format!("/api/v1/sites/{site}/receipts");
    let list = server.api("GET", &path, &Value::Null).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert_eq!(list["items"][1]["version"], "canary-version-7");
    let end =
        server.api("GET", &format!("{path}/verification"), &Value::Null).json()["end"].clone();
    let beside = verify(directory.path(), &[]);
    assert!(beside.status.success(), "{}", text(&beside.stderr));
    let said = text(&beside.stdout);
    assert!(said.contains(&format!("2 receipts (0 expired), end {}", end.as_str().unwrap())));
    assert!(said.contains("sound: nothing was changed"));
    // Acknowledged, not yet in the chain when the process is killed.
    choose(&server, &key, &json!({"choice": "analytics:granted", "signal": "page"}));
    server.kill();
    let server = Server::start_in(directory.path(), &[]).unwrap();
    let list = server.api("GET", &path, &Value::Null).json();
    assert_eq!(
        list["items"].as_array().unwrap().len(),
        3,
        "an acknowledged choice has its receipt"
    );
    server.line_with(&format!("receipts end at {site}:"));
    // The end of the process empties the write-ahead file.
    assert_eq!(server.stop(), Some(0));

    // Somebody edits the file: the version of what was shown, in place.
    let catalog = directory.path().join("catalog.sqlite");
    let mut bytes = std::fs::read(&catalog).unwrap();
    let canary = b"canary-version-7";
    let at = bytes.windows(canary.len()).position(|window| window == canary).unwrap();
    bytes[at + canary.len() - 1] = b'8';
    std::fs::write(&catalog, bytes).unwrap();
    let given = ["--site", &site, "--head", end.as_str().unwrap()];
    let changed = verify(directory.path(), &given);
    let said = text(&changed.stdout);
    assert!(!changed.status.success(), "{said}");
    assert!(said.contains(&format!("site {site}, receipt 1: the entry does not hash")), "{said}");
    let wrong = verify(directory.path(), &["--head", "nothing"]);
    assert!(text(&wrong.stderr).contains("SITE:NUMBER:HASH"));
    let nowhere = verify(&directory.path().join("nowhere"), &[]);
    assert!(!nowhere.status.success() && text(&nowhere.stderr).contains("there is no catalog"));
}
