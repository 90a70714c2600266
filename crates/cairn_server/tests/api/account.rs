//! First account, log-in, session cookie and protection against foreign pages.

use cairn_catalog::{BROWSER_SESSION_AGE_MS_MAX, LinkPurpose};
use serde_json::json;

use crate::rig::{Answer, NOW_MS, Rig};

const EMAIL: &str = "owner@shop.example";
const PASSWORD: &str = "a long enough password";

fn setup_link(rig: &Rig) -> String {
    let link = rig.app.catalog.add_one_time_link(LinkPurpose::Setup, None, NOW_MS + 1000, NOW_MS);
    link.unwrap().reveal().to_owned()
}

async fn set_up(rig: &Rig) -> Answer {
    let body = json!({"token": setup_link(rig), "email": EMAIL, "password": PASSWORD});
    rig.post("/api/v1/setup", &body).send().await
}

#[tokio::test]
async fn the_first_account_is_made_once_and_owns_what_is_there() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let before = rig.get("/api/v1/session").send().await.ok(200);
    assert_eq!(before, json!({"user": null, "setup_needed": true, "demo": false}));
    let link = setup_link(&rig);
    let body =
        |token: &str, password| json!({"token": token, "email": EMAIL, "password": password});
    rig.post("/api/v1/setup", &body(&link, "too short")).send().await.is(422, "invalid_value");
    rig.post("/api/v1/setup", &body("wrong", PASSWORD)).send().await.is(401, "link_invalid");
    let made = rig.post("/api/v1/setup", &body(&link, PASSWORD)).send().await;
    let cookie = made.headers["set-cookie"].to_str().unwrap().to_owned();
    for part in ["cairn_session=", "; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age=2592000"]
    {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "over plain HTTP a secure cookie would be lost");
    let session = made.cookie();
    assert_eq!(made.ok(201)["user"]["email"], EMAIL);
    rig.post("/api/v1/setup", &body(&link, PASSWORD)).send().await.is(401, "link_invalid");
    let seen = rig.get(&format!("/api/v1/sites/{site}")).header("cookie", &session).send().await;
    assert_eq!(seen.ok(200)["domain"], "shop.example");
    let after = rig.get("/api/v1/session").header("cookie", &session).send().await.ok(200);
    assert_eq!(after["setup_needed"], false);
}

#[tokio::test]
async fn a_session_ends_at_log_out_and_after_30_idle_days() {
    let rig = Rig::new();
    let session = set_up(&rig).await.cookie();
    let who = async || {
        let answer = rig.get("/api/v1/session").header("cookie", &session).send().await;
        answer.ok(200)["user"]["email"].clone()
    };
    rig.advance(BROWSER_SESSION_AGE_MS_MAX - 1);
    assert_eq!(who().await, EMAIL);
    rig.advance(BROWSER_SESSION_AGE_MS_MAX - 1);
    assert_eq!(who().await, EMAIL, "its use renewed it");
    rig.advance(BROWSER_SESSION_AGE_MS_MAX + 1);
    assert!(who().await.is_null());
    let body = json!({"email": EMAIL, "password": PASSWORD});
    let second = rig.post("/api/v1/session", &body).send().await.cookie();
    let out = rig.call("DELETE", "/api/v1/session").header("cookie", &second);
    let out = out.header("cairn-request", "dashboard").send().await;
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    out.ok(204);
    rig.get("/api/v1/sites").header("cookie", &second).send().await.is(401, "unauthorized");
}

#[tokio::test]
async fn a_foreign_page_cannot_use_the_cookie_to_change_anything() {
    let rig = Rig::new();
    let session = set_up(&rig).await.cookie();
    let body = json!({"name": "Shop", "domain": "shop.example"});
    let call = || rig.post("/api/v1/sites", &body).header("cookie", &session);
    call().send().await.is(403, "cross_site_request");
    let foreign =
        call().header("cairn-request", "dashboard").header("origin", "https://evil.example");
    foreign.send().await.is(403, "cross_site_request");
    let null = call().header("cairn-request", "dashboard").header("origin", "null");
    null.send().await.is(403, "cross_site_request");
    let own = call().header("cairn-request", "dashboard").header("origin", "http://stats.example");
    own.send().await.ok(201);
    // Reading needs no header: a foreign page cannot see the answer.
    rig.get("/api/v1/sites").header("cookie", &session).send().await.ok(200);
    let log_in = json!({"email": EMAIL, "password": PASSWORD});
    let log_in = rig.post("/api/v1/session", &log_in).header("origin", "https://evil.example");
    log_in.send().await.is(403, "cross_site_request");
}

#[tokio::test]
async fn attempts_to_log_in_are_limited_and_tell_nothing() {
    let rig = Rig::new();
    set_up(&rig).await.ok(201);
    let attempt = |email: &str, password: &str| {
        let body = json!({"email": email, "password": password});
        rig.post("/api/v1/session", &body)
    };
    let wrong = attempt(EMAIL, "not the password").send().await;
    let unknown = attempt("nobody@shop.example", "not the password").send().await;
    wrong.is(401, "log_in_failed");
    assert_eq!(wrong.text, unknown.text, "an unknown account looks the same");
    for _ in 0..4 {
        attempt(EMAIL, "not the password").send().await.is(401, "log_in_failed");
    }
    let paused = attempt("OWNER@shop.example", PASSWORD).send().await;
    paused.is(429, "rate_limited");
    assert_eq!(paused.headers["retry-after"], "900");
    rig.advance(15 * 60 * 1000);
    attempt(EMAIL, PASSWORD).send().await.ok(201);
}

#[tokio::test]
async fn a_log_in_link_works_once_and_only_in_time() {
    let rig = Rig::new();
    let user = rig.app.catalog.add_user(EMAIL, "no password fits", true, NOW_MS).unwrap();
    let link = || {
        let purpose = LinkPurpose::LogIn;
        let link = rig.app.catalog.add_one_time_link(purpose, Some(user.id), NOW_MS + 1000, NOW_MS);
        json!({"token": link.unwrap().reveal()})
    };
    let (first, late) = (link(), link());
    assert_eq!(rig.post("/api/v1/session", &first).send().await.ok(201)["user"]["email"], EMAIL);
    rig.post("/api/v1/session", &first).send().await.is(401, "link_invalid");
    rig.advance(1000);
    rig.post("/api/v1/session", &late).send().await.is(401, "link_invalid");
}

#[tokio::test]
async fn behind_https_the_cookie_is_secure() {
    let rig = Rig::with(|config| config.public_url = Some("https://stats.example".to_owned()));
    let made = set_up(&rig).await;
    assert!(made.headers["set-cookie"].to_str().unwrap().ends_with("; Secure"));
    let proxy = cairn_server::Network { address: [192, 0, 2, 9].into(), prefix_bits: 32 };
    let rig = Rig::with(|config| config.trusted_proxies = vec![proxy]);
    let body = json!({"token": setup_link(&rig), "email": EMAIL, "password": PASSWORD});
    let made = rig.post("/api/v1/setup", &body).header("x-forwarded-proto", "https").send().await;
    assert!(made.headers["set-cookie"].to_str().unwrap().ends_with("; Secure"));
}
