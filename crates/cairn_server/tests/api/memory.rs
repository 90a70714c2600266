//! Memory as the owner's programs see it, the identity secret, and the cookie report.

use serde_json::json;

use crate::rig::Rig;

#[tokio::test]
async fn an_owner_remembers_for_his_people() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let path = format!("/api/v1/sites/{site}/memory");
    let body = json!({"user_id": "user-7", "remember": {"size": "M", "language": "de"}, "recall": ["size", "cart"]});
    let answer = rig.post(&path, &body).owner().send().await.ok(200);
    assert_eq!(answer, json!({"allowed": true, "memory": {"size": "M", "cart": null}}));
    let all = json!({"user_id": "user-7", "forget": ["size"], "recall": ["*"]});
    let answer = rig.post(&path, &all).owner().send().await.ok(200);
    assert_eq!(answer["memory"], json!({"language": "de"}));
    let other = json!({"user_id": "user-8", "recall": ["*"]});
    assert_eq!(rig.post(&path, &other).owner().send().await.ok(200)["memory"], json!({}));
    // What is remembered of somebody is not kept a second time, for repetitions.
    let once = || rig.post(&path, &all).owner().header("Idempotency-Key", "k").send();
    assert_eq!(once().await.ok(200)["memory"], json!({"language": "de"}));
    once().await.is(409, "idempotency_key_reused");
    let secret = json!({"user_id": "user-7", "remember": {"passwort": "x"}});
    let refused = rig.post(&path, &secret).owner().send().await;
    assert_eq!(refused.is(422, "invalid_value").json()["error"]["field"], "remember.passwort");
    // Whoever may not see the site gets nothing of it.
    let (_, stranger) = rig.tenant("other@example.com");
    rig.post(&path, &all).bearer(stranger.reveal()).send().await.is(404, "not_found");
    rig.post(&path, &all).send().await.is(401, "unauthorized");
    // An opt-out forgets, and nothing is remembered after it.
    let opt_out = format!("/api/v1/sites/{site}/opt-outs");
    rig.post(&opt_out, &json!({"user_id": "user-7"})).owner().send().await.ok(204);
    let number = rig.app.ingest.keys().of_remembered(site.parse().unwrap(), "user-7");
    let holder = cairn_catalog::MemoryHolder::Person(number);
    let kept = rig.app.catalog.recall(site.parse().unwrap(), holder, crate::rig::NOW_MS).unwrap();
    assert_eq!(kept, []);
    let answer = rig.post(&path, &body).owner().send().await.ok(200);
    assert_eq!(answer, json!({"allowed": false, "memory": {}}));
}

#[tokio::test]
async fn an_identity_secret_is_shown_once() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let path = format!("/api/v1/sites/{site}/identity-secret");
    let status = || async { rig.get(&path).owner().send().await.ok(200) };
    assert_eq!(status().await, json!({"made_at": null}));
    let nothing = json!({});
    let first = rig.post(&path, &nothing).owner().send().await.ok(201);
    assert!(first["secret"].as_str().unwrap().starts_with("ids_"));
    assert_eq!(first["made_at"], "2026-11-22T10:00:00Z");
    assert_eq!(status().await, json!({"made_at": "2026-11-22T10:00:00Z"}), "never again");
    let second = rig.post(&path, &nothing).owner().header("Idempotency-Key", "k").send().await;
    let second = second.ok(201);
    assert_ne!(first["secret"], second["secret"]);
    let again = rig.post(&path, &nothing).owner().header("Idempotency-Key", "k").send().await;
    assert_eq!(again.status, 409, "{}", again.text);
    let (_, stranger) = rig.tenant("other@example.com");
    rig.post(&path, &nothing).bearer(stranger.reveal()).send().await.is(404, "not_found");
    rig.call("DELETE", &path).owner().send().await.ok(204);
    rig.call("DELETE", &path).owner().send().await.is(404, "not_found");
    assert_eq!(status().await, json!({"made_at": null}));
}

#[tokio::test]
async fn the_cookie_report_follows_the_settings() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let path = format!("/api/v1/sites/{site}/cookies");
    let host = "stats.shop.example";
    let report = || async { rig.get(&path).host(host).owner().send().await.ok(200) };
    assert_eq!(report().await["cookies"], json!([]), "no pixel, no cookie");
    let pixel = json!({"name": "Shop", "kind": "web"});
    let pixels = format!("/api/v1/sites/{site}/pixels");
    let made = rig.post(&pixels, &pixel).owner().send().await.ok(201);
    let with = report().await;
    let names: Vec<_> =
        with["cookies"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["cairn_consent", "cairn_id", "cairn_memory", "cairn:KEY"]);
    assert_eq!(with["collector"], host);
    let pages =
        json!([{"host": "shop.example", "collector_is": "subdomain", "sets_cookies": true}]);
    assert_eq!(with["pages"], pages);
    assert_eq!(with["cookies"][1]["pixels"], json!(["Shop"]));
    assert_eq!(with["cookies"][1]["lifetime_days"], 395);
    assert!(with["markdown"].as_str().unwrap().contains("| `cairn_memory` | functional |"));
    let further = json!({"hosts": ["pay.example"]});
    let site_path = format!("/api/v1/sites/{site}");
    rig.call("PATCH", &site_path).owner().json(&further).send().await.ok(200);
    let elsewhere = |sets: bool| json!({"host": "pay.example", "collector_is": "elsewhere", "sets_cookies": sets});
    assert_eq!(report().await["pages"][1], elsewhere(false));
    assert_eq!(made["cross_site_cookies"], "none");
    let pixel = format!("{pixels}/{}", made["key"].as_str().unwrap());
    let change = |to: &'static str| {
        rig.call("PATCH", &pixel).owner().json(&json!({"cross_site_cookies": to}))
    };
    for chosen in ["partitioned", "third_party"] {
        assert_eq!(change(chosen).send().await.ok(200)["cross_site_cookies"], chosen);
        let found = report().await;
        assert_eq!(found["pages"][1], elsewhere(true));
        let attributes = found["cookies"][1]["attributes"].as_str().unwrap();
        assert_eq!(attributes.contains("Partitioned"), chosen == "partitioned", "{attributes}");
    }
    change("all").send().await.is(422, "invalid_value");
    let server = json!({"name": "S", "kind": "server", "cross_site_cookies": "partitioned"});
    rig.post(&pixels, &server).owner().send().await.is(422, "invalid_value");
}
