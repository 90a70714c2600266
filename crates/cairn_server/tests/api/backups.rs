//! Backups by way of the API.

use cairn_model::{Event, SiteId};
use serde_json::json;
use tower::ServiceExt;

use crate::rig::{NOW_MS, Rig};

const BACKUPS: &str = "/api/v1/instance/backups";

#[tokio::test]
async fn backups_are_made_listed_and_removed() {
    let rig = Rig::new();
    let offset = rig.append(&Event::bare(SiteId(1), "page_view", NOW_MS)).await;
    let made = rig.call("POST", BACKUPS).owner().send().await.ok(201);
    // The record was durable when it was asked for, so it is applied.
    assert!(rig.app.apply.watermark().offset >= offset);
    let id = made["id"].as_str().unwrap().to_owned();
    rig.advance(1_000);
    rig.call("POST", BACKUPS).owner().send().await.ok(201);
    let list = rig.get(BACKUPS).owner().send().await.ok(200);
    assert_eq!(list["items"][1], made, "the latest comes first");
    assert_eq!((&list["running_since"], &list["last_failure"]), (&json!(null), &json!(null)));
    rig.call("DELETE", &format!("{BACKUPS}/{id}")).owner().send().await.ok(204);
    rig.call("DELETE", &format!("{BACKUPS}/{id}")).owner().send().await.is(404, "not_found");
    rig.call("DELETE", &format!("{BACKUPS}/..")).owner().send().await.is(404, "not_found");
    assert_eq!(rig.get(BACKUPS).owner().send().await.ok(200)["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn backups_are_for_those_who_may_do_everything() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let limited = json!({"name": "Reports", "site_ids": [site]});
    let limited = rig.post("/api/v1/tokens", &limited).owner().send().await.ok(201);
    let limited = limited["secret"].as_str().unwrap().to_owned();
    let (_, tenant) = rig.tenant("tenant@mail.example");
    for token in [&limited, tenant.reveal()] {
        for (method, path) in [("GET", ""), ("POST", ""), ("DELETE", "/any")] {
            let path = format!("{BACKUPS}{path}");
            rig.call(method, &path).bearer(token).send().await.is(403, "forbidden");
        }
    }
    rig.get(BACKUPS).send().await.is(401, "unauthorized");
    assert_eq!(rig.get(BACKUPS).owner().send().await.ok(200)["items"], json!([]));
}

#[tokio::test]
async fn one_backup_is_made_at_a_time() {
    let mut rig = Rig::not_applying(|_| {});
    rig.append(&Event::bare(SiteId(1), "page_view", NOW_MS)).await;
    // It waits for the record, which nobody applies yet.
    let request = rig.call("POST", BACKUPS).owner().request();
    let first = tokio::spawn(rig.router().oneshot(request));
    while rig.app.backups.progress().running_since_ms.is_none() {
        tokio::task::yield_now().await;
    }
    rig.call("POST", BACKUPS).owner().send().await.is(409, "conflict");
    let list = rig.get(BACKUPS).owner().send().await.ok(200);
    assert_eq!((&list["items"], list["running_since"].is_string()), (&json!([]), true));
    rig.start_applying();
    assert_eq!(first.await.unwrap().unwrap().status(), 201);
    let list = rig.get(BACKUPS).owner().send().await.ok(200);
    assert_eq!(
        (list["items"].as_array().unwrap().len(), &list["running_since"]),
        (1, &json!(null))
    );
}

#[tokio::test]
async fn a_failure_is_told_until_a_backup_succeeds() {
    let rig = Rig::new();
    let directory = rig.app.backups.directory().to_owned();
    std::fs::write(&directory, "a file where the directory should be").unwrap();
    rig.call("POST", BACKUPS).owner().send().await.is(503, "unavailable");
    std::fs::remove_file(&directory).unwrap();
    let list = rig.get(BACKUPS).owner().send().await.ok(200);
    let reason = list["last_failure"]["reason"].as_str().unwrap();
    assert!(reason.contains("makes the directory of backups"), "{reason}");
    rig.call("POST", BACKUPS).owner().send().await.ok(201);
    let list = rig.get(BACKUPS).owner().send().await.ok(200);
    assert_eq!(list["last_failure"], json!(null));
}

#[tokio::test]
async fn backups_are_due_and_go_by_their_age() {
    let rig = Rig::new();
    let backups = &rig.app.backups;
    let hour_ms = 60 * 60 * 1000;
    assert!(backups.is_due(24 * hour_ms, NOW_MS), "there is none");
    rig.call("POST", BACKUPS).owner().send().await.ok(201);
    assert!(!backups.is_due(24 * hour_ms, NOW_MS + 24 * hour_ms - 1));
    assert!(backups.is_due(24 * hour_ms, NOW_MS + 24 * hour_ms));
    let days_ms = 30 * 24 * hour_ms;
    backups.tend(NOW_MS + days_ms);
    assert_eq!(backups.list().unwrap().len(), 1, "thirty days to the instant");
    // A try that failed is repeated after a pause.
    let directory = backups.directory().to_owned();
    let aside = directory.with_extension("aside");
    std::fs::rename(&directory, &aside).unwrap();
    std::fs::write(&directory, "in the way").unwrap();
    let failed_at_ms = NOW_MS + days_ms;
    assert!(backups.make(failed_at_ms).is_err());
    std::fs::remove_file(&directory).unwrap();
    std::fs::rename(&aside, &directory).unwrap();
    assert!(!backups.is_due(hour_ms, failed_at_ms + 15 * 60 * 1000 - 1));
    assert!(backups.is_due(hour_ms, failed_at_ms + 15 * 60 * 1000));
    backups.tend(NOW_MS + days_ms + 1);
    assert!(backups.list().unwrap().is_empty());
}
