//! What goes out by itself, against a real mail server and a real receiver of posts.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::post;
use cairn_connect::testing::{MailServer, MailServerOptions, TakenMail};
use cairn_connect::{Client, Guard, MailSecurity, Mailer, OutgoingOptions, SmtpOptions};
use cairn_engine::identity::hmac_sha256;
use cairn_model::{Event, PixelId, SiteId};
use cairn_server::sending::{self, ATTEMPTS_MAX, Outgoing};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::rig::{NOW_MS, Rig};

const MINUTE_MS: i64 = 60 * 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

fn guard() -> Guard {
    Guard::new(OutgoingOptions {
        networks_allowed: vec!["127.0.0.1".parse().unwrap()],
        plain_http_allowed: true,
        ..OutgoingOptions::default()
    })
    .unwrap()
}

async fn mail_rig() -> (Rig, MailServer) {
    let server = MailServer::start(MailServerOptions::default()).await.unwrap();
    let smtp = SmtpOptions {
        host: "127.0.0.1".to_owned(),
        port: server.address.port(),
        security: MailSecurity::None,
        username: String::new(),
        password: String::new(),
        from: "stats@example.com".to_owned(),
    };
    let mailer = Some(Mailer::new(guard(), smtp).unwrap());
    let client = Some(Arc::new(Client::new(guard()).unwrap()));
    (Rig::sending(Outgoing { client, mailer }), server)
}

async fn views(rig: &Rig, site: &str, path: &str, times: &[&str]) {
    let lines = times.iter().enumerate().map(|(number, time)| {
        let url = format!("https://shop.example{path}");
        json!({"event": "page_view", "timestamp": time, "url": url, "title": "<b>bold</b>",
            "visitor_id": format!("{path}{time}{number}")})
        .to_string()
    });
    let body = lines.collect::<Vec<_>>().join("\n");
    rig.call("POST", &format!("/api/v1/sites/{site}/import"))
        .owner()
        .body(body)
        .send()
        .await
        .ok(200);
}

/// A hit of the site's own, which arrived just now.
async fn heard(rig: &Rig, site: &str, now_ms: i64) {
    let mut event = Event::bare(SiteId(site.parse().unwrap()), "page_view", now_ms);
    event.pixel_id = PixelId(1);
    rig.store(&event).await;
}

async fn make(rig: &Rig, site: &str, what: &str, body: Value) -> Value {
    rig.post(&format!("/api/v1/sites/{site}/{what}"), &body).owner().send().await.ok(201)
}

/// Who got how many, in order of arrival.
fn readers(mails: &[TakenMail]) -> Vec<&str> {
    mails.iter().map(|mail| mail.to.as_str()).collect()
}

/// A mail without the soft line breaks of its encoding.
fn plain(mail: &TakenMail) -> String {
    mail.data.replace("=\r\n", "").replace("=3D", "=")
}

#[tokio::test]
async fn a_digest_is_sent_once_for_each_period_and_made_up_once() {
    let (rig, server) = mail_rig().await;
    let site = rig.site("shop.example").await;
    views(&rig, &site, "/<script>", &["2026-11-21T09:00:00Z", "2026-11-21T10:00:00Z"]).await;
    let recipients = ["ann@example.com", "bob@example.com"];
    // It is 10:00 on 22 November in UTC.
    let digest = json!({"every": "day", "hour": 9, "recipients": recipients});
    let digest = make(&rig, &site, "digests", digest).await;
    sending::round(&rig.app, NOW_MS).await;
    assert_eq!(server.taken(), [], "what was due before is not owed");
    let next_ms = NOW_MS + DAY_MS;
    for _ in 0..3 {
        sending::round(&rig.app, next_ms).await;
    }
    let mut taken = server.taken();
    taken.sort_by(|left, right| left.to.cmp(&right.to));
    assert_eq!(readers(&taken), recipients);
    // Three days without a server: the last one is made up.
    sending::round(&rig.app, next_ms + 3 * DAY_MS).await;
    assert_eq!(server.taken().len(), 4);
    let list = rig.get(&format!("/api/v1/sites/{site}/digests")).owner().send().await.ok(200);
    let sent = list["items"][0]["dispatches"].as_array().unwrap();
    assert!(sent.iter().all(|sent| sent["state"] == "sent" && sent["attempts"] == 1), "{list}");
    let id = digest["id"].as_str().unwrap();
    let path = format!("/api/v1/sites/{site}/digests/{id}");
    let preview = rig.get(&format!("{path}/preview")).owner().send().await.ok(200);
    assert_eq!(preview["subject"], "shop.example: 21 November 2026");
    let html = preview["html"].as_str().unwrap();
    assert!(html.contains("/&lt;script&gt;") && !html.contains("<script"), "{html}");
    assert!(preview["text"].as_str().unwrap().contains("Visitors: 2"), "{preview}");
    let now = rig.post(&format!("{path}/dispatches"), &json!({})).owner().send().await.ok(200);
    assert_eq!(now["items"].as_array().unwrap().len(), 2);
    assert_eq!((&now["items"][0]["state"], server.taken().len()), (&json!("sent"), 6));
    let keys: std::collections::HashSet<String> = server
        .taken()
        .iter()
        .map(|mail| {
            mail.data.lines().find(|line| line.starts_with("Message-ID")).unwrap().to_owned()
        })
        .collect();
    assert_eq!(keys.len(), 6, "each mail is another one");
}

#[tokio::test]
async fn a_mail_that_is_not_taken_is_tried_again_a_few_times() {
    let (rig, server) = mail_rig().await;
    let site = rig.site("shop.example").await;
    let digest = json!({"every": "day", "hour": 9, "recipients": ["ann@example.com"]});
    make(&rig, &site, "digests", digest).await;
    server.answers("451 later");
    let mut now_ms = NOW_MS + DAY_MS;
    let path = format!("/api/v1/sites/{site}/digests");
    let sent = || async {
        let list = rig.get(&path).owner().send().await.ok(200);
        list["items"][0]["dispatches"].as_array().unwrap().last().unwrap().clone()
    };
    sending::round(&rig.app, now_ms).await;
    sending::round(&rig.app, now_ms).await;
    let waiting = sent().await;
    assert_eq!((&waiting["state"], &waiting["attempts"]), (&json!("waiting"), &json!(1)));
    assert!(waiting["problem"].as_str().unwrap().contains("later"), "{waiting}");
    for _ in 0..2 * ATTEMPTS_MAX {
        now_ms += 6 * HOUR_MS;
        sending::round(&rig.app, now_ms).await;
    }
    let given_up = sent().await;
    assert_eq!(
        (&given_up["state"], &given_up["attempts"]),
        (&json!("given_up"), &json!(ATTEMPTS_MAX))
    );
    server.answers("250 taken");
    sending::round(&rig.app, now_ms + 7 * HOUR_MS).await;
    assert!(sent().await["state"] == "given_up" && !server.taken().is_empty());
}

#[tokio::test]
async fn a_reader_ends_a_digest_for_himself() {
    let (rig, server) = mail_rig().await;
    let site = rig.site("shop.example").await;
    let recipients = ["ann@example.com", "bob@example.com"];
    let digest = json!({"every": "day", "hour": 9, "recipients": recipients});
    make(&rig, &site, "digests", digest).await;
    sending::round(&rig.app, NOW_MS + DAY_MS).await;
    let mails = server.taken();
    let ann = plain(mails.iter().find(|mail| mail.to == recipients[0]).unwrap());
    let link = unsubscribe_link(&ann);
    let path = &link[link.find("/unsubscribe").unwrap()..];
    let page = rig.get(path).send().await;
    assert!(page.status == 200 && page.text.contains("about shop.example"), "{}", page.text);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    sending::round(&rig.app, NOW_MS + 2 * DAY_MS).await;
    assert_eq!(server.taken().len(), 4, "looking ends nothing");
    let forged =
        rig.call("POST", &path.replace("token=digest-1-", "token=digest-1-0")).send().await;
    assert_eq!(forged.status, 200);
    let ended = rig.call("POST", path).body("List-Unsubscribe=One-Click").send().await;
    assert_eq!(ended.status, 200);
    sending::round(&rig.app, NOW_MS + 3 * DAY_MS).await;
    assert_eq!(readers(&server.taken()[4..]), ["bob@example.com"]);
    let list = rig.get(&format!("/api/v1/sites/{site}/digests")).owner().send().await.ok(200);
    let ended = |place: usize| list["items"][0]["recipients"][place]["ended"] == true;
    assert!(ended(0) && !ended(1), "{list}");
}

/// Where one click ends what a mail is of.
fn unsubscribe_link(mail: &str) -> String {
    let link = mail.split("List-Unsubscribe: <").nth(1).unwrap().split('>').next().unwrap();
    let link = link.replace("\r\n ", "").replace("\r\n", "");
    assert!(!link.contains("ann") && link.contains("/unsubscribe?token="), "{link}");
    link
}

#[tokio::test]
async fn a_reader_ends_an_alert_for_himself() {
    let (rig, server) = mail_rig().await;
    let site = rig.site("shop.example").await;
    let recipients = ["ann@example.com", "bob@example.com"];
    let alert = json!({"name": "x", "kind": "silence", "recipients": recipients});
    let alert = make(&rig, &site, "alerts", alert).await;
    let path = format!("/api/v1/sites/{site}/alerts/{}", alert["id"].as_str().unwrap());
    let test = async || {
        rig.advance(1);
        rig.post(&format!("{path}/dispatches"), &json!({})).owner().send().await.ok(200)
    };
    test().await;
    let mails = server.taken();
    let ann = plain(mails.iter().find(|mail| mail.to == recipients[0]).unwrap());
    assert!(ann.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"), "{ann}");
    let link = unsubscribe_link(&ann);
    let link = &link[link.find("/unsubscribe").unwrap()..];
    let page = rig.get(link).send().await;
    assert!(page.text.contains("no more of these messages about shop.example"), "{}", page.text);
    rig.call("POST", link).body("List-Unsubscribe=One-Click").send().await;
    test().await;
    assert_eq!(readers(&server.taken()[2..]), ["bob@example.com"]);
    // Who is named again gets none all the same, and the owner sees why.
    let again = rig.call("PATCH", &path).owner().json(&json!({"recipients": recipients}));
    let again = again.send().await.ok(200);
    assert_eq!(again["recipients"][0], json!({"email": "ann@example.com", "ended": true}));
    test().await;
    assert_eq!(server.taken().len(), 4);
}

#[tokio::test]
async fn digests_and_alerts_change_and_what_waits_for_others_goes() {
    let (rig, server) = mail_rig().await;
    let site = rig.site("shop.example").await;
    let digest = json!({"every": "day", "hour": 9,
        "recipients": ["ann@example.com", "bob@example.com"]});
    let digest = make(&rig, &site, "digests", digest).await;
    let patch = async |what: &str, made: &Value, change: Value| {
        let path = format!("/api/v1/sites/{site}/{what}/{}", made["id"].as_str().unwrap());
        rig.call("PATCH", &path).owner().json(&change).send().await
    };
    server.answers("451 later");
    sending::round(&rig.app, NOW_MS + DAY_MS).await;
    let change = json!({"every": "month", "recipients": ["bob@example.com", "eve@example.com"]});
    let changed = patch("digests", &digest, change).await.ok(200);
    assert_eq!((&changed["every"], &changed["hour"]), (&json!("month"), &json!(9)));
    let targets = changed["dispatches"].as_array().unwrap().iter().map(|one| &one["target"]);
    assert_eq!(targets.collect::<Vec<_>>(), ["bob@example.com"], "nobody waits for a mail in vain");
    patch("digests", &digest, json!({"recipients": []})).await.is(422, "invalid_value");
    patch("digests", &digest, json!({"hour": 24})).await.is(422, "invalid_value");
    patch("digests", &json!({"id": "99"}), json!({})).await.is(404, "not_found");
    server.answers("250 taken");
    sending::round(&rig.app, NOW_MS + DAY_MS + 2 * MINUTE_MS).await;
    assert_eq!(readers(&server.taken()), ["bob@example.com"]);

    let alert = json!({"name": "x", "kind": "drop", "percent": 40, "least": 7, "hours": 3,
        "pause_minutes": 5, "recipients": ["ann@example.com"]});
    let alert = make(&rig, &site, "alerts", alert).await;
    let changed = patch("alerts", &alert, json!({"name": "y", "metric": "events"})).await.ok(200);
    let rule = json!({"kind": "drop", "metric": "events", "percent": 40, "least": 7, "hours": 3,
        "minutes": null, "pause_minutes": 5});
    for (name, value) in rule.as_object().unwrap() {
        assert_eq!(changed["rule"].get(name).unwrap_or(&Value::Null), value, "{name}");
    }
    assert_eq!(changed["name"], "y");
    let silence = patch("alerts", &alert, json!({"kind": "silence"})).await.ok(200);
    let rule = &silence["rule"];
    assert_eq!((&rule["minutes"], &rule["pause_minutes"]), (&json!(60), &json!(5)));
    patch("alerts", &alert, json!({"recipients": []})).await.is(422, "invalid_value");
    patch("alerts", &alert, json!({"webhook_url": "http://10.0.0.1/"}))
        .await
        .is(422, "invalid_value");
    patch("alerts", &alert, json!({"kind": "drop", "percent": 101})).await.is(422, "invalid_value");
    patch("alerts", &alert, json!({"color": "red"})).await.is(400, "unknown_field");
}

#[tokio::test]
async fn an_alert_that_watches_for_something_else_begins_where_things_stand() {
    let (rig, server) = mail_rig().await;
    let site = rig.site("shop.example").await;
    let alert = json!({"name": "x", "kind": "silence", "minutes": 30,
        "recipients": ["ann@example.com"]});
    let alert = make(&rig, &site, "alerts", alert).await;
    heard(&rig, &site, NOW_MS).await;
    sending::round(&rig.app, NOW_MS + 30 * MINUTE_MS).await;
    assert_eq!(server.taken().len(), 1);
    let path = format!("/api/v1/sites/{site}/alerts/{}", alert["id"].as_str().unwrap());
    let patch = async |change: Value| rig.call("PATCH", &path).owner().json(&change).send().await;
    let renamed = patch(json!({"name": "y"})).await.ok(200);
    assert!(renamed["since"].is_string(), "another name ends nothing");
    let other = patch(json!({"minutes": 45})).await.ok(200);
    assert!(other["since"].is_null(), "{other}");
}

/// What a receiver of posts got: headers and body.
type Posts = Arc<Mutex<Vec<(HeaderMap, String)>>>;

#[tokio::test]
async fn a_post_that_is_tried_again_tells_its_own_time_under_the_secret_of_now() {
    let (rig, _server) = mail_rig().await;
    let site = rig.site("shop.example").await;
    let posts = Posts::default();
    let held = Arc::clone(&posts);
    let refuse_once = move |headers: HeaderMap, body: String| async move {
        let mut held = held.lock().unwrap();
        held.push((headers, body));
        if held.len() == 1 { http::StatusCode::SERVICE_UNAVAILABLE } else { http::StatusCode::OK }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/hook", post(refuse_once))).await.unwrap();
    });
    let alert = json!({"name": "x", "kind": "silence", "webhook_url": url});
    let alert = make(&rig, &site, "alerts", alert).await;
    let path = format!("/api/v1/sites/{site}/alerts/{}", alert["id"].as_str().unwrap());
    rig.post(&format!("{path}/dispatches"), &json!({})).owner().send().await.ok(200);
    let renewed = rig.post(&format!("{path}/secret"), &json!({})).owner().send().await.ok(200);
    assert_ne!(renewed["webhook_secret"], alert["webhook_secret"]);
    sending::round(&rig.app, NOW_MS + 2 * MINUTE_MS).await;
    let heard = posts.lock().unwrap().clone();
    assert_eq!(heard.len(), 2);
    let at_s = |place: usize| heard[place].0["cairn-timestamp"].to_str().unwrap().parse::<i64>();
    assert!(at_s(1).unwrap() >= at_s(0).unwrap() + 120, "each has the time of its attempt");
    assert_eq!(heard[0].0["cairn-delivery"], heard[1].0["cairn-delivery"]);
    for (place, secret) in [(0, &alert), (1, &renewed)] {
        let (headers, body) = &heard[place];
        let secret = secret["webhook_secret"].as_str().unwrap();
        let signed = format!("{}.{body}", at_s(place).unwrap());
        let wanted = cairn_catalog::hex(&hmac_sha256(secret.as_bytes(), signed.as_bytes()));
        assert_eq!(headers["cairn-signature"], format!("v1={wanted}"), "{place}");
    }
}

async fn receiver() -> (String, Posts) {
    let posts = Posts::default();
    let held = Arc::clone(&posts);
    let take = move |headers: HeaderMap, body: String| async move {
        held.lock().unwrap().push((headers, body));
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/hook", post(take))).await.unwrap();
    });
    (url, posts)
}

#[tokio::test]
async fn silence_is_told_by_mail_and_signed_post_and_so_is_its_end() {
    let (rig, server) = mail_rig().await;
    let site = rig.site("shop.example").await;
    let (url, posts) = receiver().await;
    let alert = json!({"name": "Quiet", "kind": "silence", "minutes": 30, "pause_minutes": 0,
        "recipients": ["ann@example.com"], "webhook_url": url});
    let alert = make(&rig, &site, "alerts", alert).await;
    sending::round(&rig.app, NOW_MS + DAY_MS).await;
    assert_eq!(posts.lock().unwrap().len(), 0, "a site that was never heard is not silent");
    heard(&rig, &site, NOW_MS).await;
    sending::round(&rig.app, NOW_MS + 29 * MINUTE_MS).await;
    assert_eq!(posts.lock().unwrap().len(), 0);
    for minutes in [30, 31, 45] {
        sending::round(&rig.app, NOW_MS + minutes * MINUTE_MS).await;
    }
    heard(&rig, &site, NOW_MS + 46 * MINUTE_MS).await;
    sending::round(&rig.app, NOW_MS + 47 * MINUTE_MS).await;
    let heard = posts.lock().unwrap().clone();
    let states: Vec<Value> = heard
        .iter()
        .map(|(_, body)| serde_json::from_str::<Value>(body).unwrap()["state"].clone())
        .collect();
    assert_eq!(states, ["began", "ended"]);
    let (headers, body) = &heard[0];
    let header = |name: &str| headers[name].to_str().unwrap();
    let secret = alert["webhook_secret"].as_str().unwrap();
    let signed = format!("{}.{body}", header("cairn-timestamp"));
    let signature = cairn_catalog::hex(&hmac_sha256(secret.as_bytes(), signed.as_bytes()));
    assert_eq!(header("cairn-signature"), format!("v1={signature}"));
    let told: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&told["value"], &told["alert"]["kind"]), (&json!(30), &json!("silence")));
    let mails = server.taken();
    assert_eq!(readers(&mails), ["ann@example.com", "ann@example.com"]);
    assert!(mails[0].data.contains("Quiet: silence") && mails[1].data.contains("Quiet: over"));
}

#[tokio::test]
async fn a_drop_is_told_against_the_same_hours_of_earlier_weeks() {
    let (rig, server) = mail_rig().await;
    let site = rig.site("shop.example").await;
    // 10:00 to 11:00 on Sundays, and one visitor this Sunday. It is 10:00 now.
    for week in ["2026-11-15", "2026-11-08", "2026-11-01"] {
        let times: Vec<String> = (10..40).map(|minute| format!("{week}T10:{minute}:00Z")).collect();
        let times: Vec<&str> = times.iter().map(String::as_str).collect();
        views(&rig, &site, &format!("/{week}"), &times).await;
    }
    let who = ["ann@example.com"];
    let drop = json!({"name": "Fewer", "kind": "drop", "percent": 50, "recipients": who});
    let spike = json!({"name": "More", "kind": "spike", "least": 1, "recipients": who});
    make(&rig, &site, "alerts", drop).await;
    make(&rig, &site, "alerts", spike).await;
    rig.advance(59 * MINUTE_MS);
    views(&rig, &site, "/now", &["2026-11-22T10:05:00Z"]).await;
    sending::round(&rig.app, NOW_MS + 59 * MINUTE_MS).await;
    assert_eq!(server.taken(), [], "the hour is not full");
    sending::round(&rig.app, NOW_MS + HOUR_MS).await;
    sending::round(&rig.app, NOW_MS + HOUR_MS + MINUTE_MS).await;
    let mails = server.taken();
    assert_eq!(mails.len(), 1, "{mails:?}");
    let text = plain(&mails[0]);
    assert!(text.contains("Fewer: drop") && text.contains("1 visitors"), "{text}");
    assert!(text.contains("earlier weeks: 30"), "{text}");
}

#[tokio::test]
async fn what_is_sent_by_hand_is_sent_ten_times_an_hour_for_one_site() {
    let (rig, server) = mail_rig().await;
    let (site, other) = (rig.site("shop.example").await, rig.site("other.example").await);
    let who = ["ann@example.com"];
    let daily = json!({"every": "day", "recipients": who});
    let quiet = json!({"name": "x", "kind": "silence", "recipients": who});
    let id = |made: Value| made["id"].as_str().unwrap().to_owned();
    let digest = id(make(&rig, &site, "digests", daily.clone()).await);
    let alert = id(make(&rig, &site, "alerts", quiet).await);
    let foreign = id(make(&rig, &other, "digests", daily).await);
    let send = async |site: &str, what: &str, id: &str| {
        let path = format!("/api/v1/sites/{site}/{what}/{id}/dispatches");
        rig.advance(1);
        rig.post(&path, &json!({})).owner().send().await
    };
    for _ in 0..5 {
        send(&site, "digests", &digest).await.ok(200);
        send(&site, "alerts", &alert).await.ok(200);
    }
    for (what, id) in [("digests", &digest), ("alerts", &alert)] {
        let refused = send(&site, what, id).await;
        let wait_s = refused.is(429, "rate_limited").headers["retry-after"].to_str().unwrap();
        assert!((1..=360).contains(&wait_s.parse::<u64>().unwrap()), "{wait_s}");
    }
    assert_eq!(server.taken().len(), 10, "nothing was sent beyond");
    send(&other, "digests", &foreign).await.ok(200);
}

#[tokio::test]
async fn tests_of_an_alert_reach_everybody_and_bad_targets_are_refused() {
    let (rig, server) = mail_rig().await;
    let site = rig.site("shop.example").await;
    let (url, posts) = receiver().await;
    let alert = json!({"name": "x", "kind": "silence", "recipients": ["ann@example.com"], "webhook_url": url});
    let alert = make(&rig, &site, "alerts", alert).await;
    let id = alert["id"].as_str().unwrap();
    let test = format!("/api/v1/sites/{site}/alerts/{id}/dispatches");
    let sent = rig.post(&test, &json!({})).owner().send().await.ok(200);
    let states = sent["items"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap());
    assert_eq!(states.collect::<Vec<_>>(), ["sent", "sent"]);
    assert_eq!((server.taken().len(), posts.lock().unwrap().len()), (1, 1));
    let path = format!("/api/v1/sites/{site}/alerts");
    for (target, field) in [
        (json!({"webhook_url": "http://10.0.0.1/"}), "webhook_url"),
        (json!({"webhook_url": "http://[::ffff:169.254.169.254]/"}), "webhook_url"),
        (json!({"webhook_url": "https://name:word@hooks.example/"}), "webhook_url"),
        (json!({"webhook_url": "file:///etc/passwd"}), "webhook_url"),
        (json!({"recipients": ["nobody"]}), "recipients[0]"),
        (json!({"recipients": ["a@b.example\nBcc: c@d.example"]}), "recipients[0]"),
        (json!({}), "recipients"),
        (json!({"recipients": ["a@b.example"], "minutes": 4}), "minutes"),
    ] {
        let mut body = target.clone();
        (body["name"], body["kind"]) = (json!("x"), json!("silence"));
        let refused = rig.post(&path, &body).owner().send().await;
        refused.is(422, "invalid_value");
        assert_eq!(refused.json()["error"]["field"], field, "{target}");
    }
}
