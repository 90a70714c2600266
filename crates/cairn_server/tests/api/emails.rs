//! Mails: what preparing one gives, what it refuses, and what recipients say.

use cairn_model::SiteId;
use serde_json::{Value, json};

use crate::rig::{Answer, Rig};

struct Mailer {
    rig: Rig,
    site_id: String,
}

impl Mailer {
    async fn new() -> Self {
        let rig = Rig::new();
        let site_id = rig.site("shop.example").await;
        Mailer { rig, site_id }
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let path = format!("/api/v1/sites/{}/{path}", self.site_id);
        self.rig.post(&path, body).owner().send().await
    }

    async fn prepare(&self, body: &Value) -> Value {
        self.post("emails", body).await.ok(201)
    }
}

#[tokio::test]
async fn a_mail_gets_an_image_and_signed_links() {
    let mailer = Mailer::new().await;
    let html = "<html><body><p>Hallo</p><a href='https://shop.example/sale?x=1&amp;y=2'>Sale</a>\
                <a href='mailto:help@shop.example'>Help</a><a href='#top'>Top</a>\
                <a href='{{profile}}'>Profile</a><a href='https://shop.example/unsubscribe?u=7'>Stop</a>\
                <a data-cairn-untracked href='https://shop.example/imprint'>Imprint</a>\
                <a href='https://shop.example/agb'>AGB</a></body></html>";
    let body = json!({"campaign": "spring", "html": html, "expires_days": 1,
        "untracked": ["https://shop.example/agb"]});
    let mail = mailer.prepare(&body).await;
    assert_eq!((&mail["opens"], &mail["clicks"]), (&json!("aggregate"), &json!("aggregate")));
    assert_eq!(mail["expires_at"], "2026-11-23T10:00:00Z");
    assert_eq!(
        mail["left_alone"],
        json!({"as_asked": 2, "not_web": 2, "placeholder": 1, "unsubscribes": 1, "own": 0, "unreadable": 0})
    );
    let links = mail["links"].as_array().unwrap();
    assert_eq!(
        (links.len(), &links[0]["target"]),
        (1, &json!("https://shop.example/sale?x=1&y=2"))
    );
    let (link, open) = (links[0]["url"].as_str().unwrap(), mail["open_url"].as_str().unwrap());
    assert!(
        link.starts_with("http://stats.example/l/") && open.starts_with("http://stats.example/o/")
    );
    assert!(open.ends_with(".gif") && !open.contains('?'));
    let wanted = html.replace("'https://shop.example/sale?x=1&amp;y=2'", &format!("\"{link}\""));
    let image = format!(
        "<img src=\"{open}\" width=\"1\" height=\"1\" alt=\"\" \
         style=\"display:block;border:0;width:1px;height:1px\"></body>"
    );
    assert_eq!(mail["html"].as_str().unwrap(), wanted.replace("</body>", &image));
    // Prepared again, what was prepared stays, and every address is a new one.
    let mut body = body;
    body["html"] = mail["html"].clone();
    let again = mailer.prepare(&body).await;
    assert_eq!((&again["left_alone"]["own"], &again["links"]), (&json!(1), &json!([])));
    assert_ne!(again["open_url"], mail["open_url"]);
}

#[tokio::test]
async fn addresses_tell_nothing_about_their_recipient() {
    let mailer = Mailer::new().await;
    let html = "<a href=\"https://shop.example/\">x</a>";
    let mut sizes = Vec::new();
    for recipient in [
        json!(null),
        json!({"user_id": "anna@mail.example", "opens": "granted", "clicks": "granted"}),
        json!({"user_id": "b", "opens": "granted", "clicks": "granted"}),
    ] {
        let body = json!({"campaign": "spring", "html": html, "recipient": recipient});
        let mail = mailer.prepare(&body).await;
        let text = mail.to_string();
        assert!(!text.contains("anna") && !text.contains("spring"), "{text}");
        sizes.push((
            text.len() - mail["opens"].to_string().len() - mail["clicks"].to_string().len(),
            (),
        ));
    }
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
}

#[tokio::test]
async fn a_name_is_kept_only_with_a_yes() {
    let mailer = Mailer::new().await;
    let site_id: SiteId = mailer.site_id.parse().unwrap();
    let keys = mailer.rig.app.ingest.keys();
    let known = |user_id: &str| {
        let found = mailer.rig.app.catalog.person(site_id, keys.of_user(site_id, user_id)).unwrap();
        found.is_some()
    };
    for (recipient, opens, is_known) in [
        (json!({"user_id": "anna"}), "aggregate", false),
        (json!({"user_id": "anna", "opens": "denied"}), "aggregate", false),
        (json!({"user_id": "anna", "opens": "granted"}), "individual", true),
        (json!({"user_id": "anna"}), "individual", true),
    ] {
        let body = json!({"campaign": "spring", "recipient": recipient});
        let mail = mailer.prepare(&body).await;
        assert_eq!((&mail["opens"], known("anna")), (&json!(opens), is_known), "{recipient}");
        assert_eq!(mail["clicks"], "aggregate");
    }
    let said = mailer.post("emails/choices", &json!({"user_id": "anna", "opens": "denied"})).await;
    assert_eq!(said.ok(200), json!({"opens": "denied", "clicks": null}));
    let body = json!({"campaign": "spring", "recipient": {"user_id": "anna"}});
    assert_eq!(mailer.prepare(&body).await["opens"], "aggregate");
    // Whoever opted out of pixels gets a mail without any.
    mailer.post("opt-outs", &json!({"user_id": "ben"})).await.ok(204);
    let html = "<a href=\"https://shop.example/\">x</a>";
    let recipient = json!({"user_id": "ben", "opens": "granted", "clicks": "granted"});
    let body =
        json!({"campaign": "spring", "html": html, "recipient": recipient, "honeypot": true});
    let mail = mailer.prepare(&body).await;
    assert_eq!((&mail["open_url"], &mail["html"]), (&json!(null), &json!(html)));
    assert_eq!((&mail["opens"], known("ben")), (&json!("none"), false));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let mailer = Mailer::new().await;
    let web = mailer.post("pixels", &json!({"name": "Pages", "kind": "web"})).await.ok(201);
    let mails = mailer.post("pixels", &json!({"name": "Mails", "kind": "email"})).await.ok(201);
    mailer.prepare(&json!({"campaign": "spring", "pixel": mails["key"]})).await;
    for (body, status, field) in [
        (json!({}), 400, "campaign"),
        (json!({"campaign": "x".repeat(257)}), 422, "campaign"),
        (json!({"campaign": "a", "template": "x".repeat(257)}), 422, "template"),
        (json!({"campaign": "a", "html": 7}), 422, "html"),
        (json!({"campaign": "a", "html": "x".repeat(512 * 1024 + 1)}), 413, "html"),
        (json!({"campaign": "a", "html": "<a href='https://a.example'>".repeat(501)}), 422, "html"),
        (json!({"campaign": "a", "honeypot": true}), 400, "html"),
        (json!({"campaign": "a", "expires_days": 0}), 422, "expires_days"),
        (json!({"campaign": "a", "expires_days": 401}), 422, "expires_days"),
        (json!({"campaign": "a", "pixel": web["key"]}), 422, "pixel"),
        (json!({"campaign": "a", "recipient": {}}), 400, "recipient.user_id"),
        (
            json!({"campaign": "a", "recipient": {"user_id": "x".repeat(257)}}),
            422,
            "recipient.user_id",
        ),
        (
            json!({"campaign": "a", "recipient": {"user_id": "a", "opens": "yes"}}),
            422,
            "recipient.opens",
        ),
        (json!({"campaign": "a", "target": "https://evil.example"}), 400, "target"),
    ] {
        let answer = mailer.post("emails", &body).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]["field"]),
            (status, &json!(field)),
            "{}",
            answer.text
        );
    }
    let nothing = mailer.post("emails/choices", &json!({"user_id": "anna"})).await;
    nothing.is(400, "missing_field");
}

#[tokio::test]
async fn a_link_is_made_for_sound_targets_only() {
    let mailer = Mailer::new().await;
    let body =
        json!({"url": "HTTPS://Bücher.example/a b?x=1#y", "campaign": "poster", "expires_days": 2});
    let link = mailer.post("links", &body).await.ok(201);
    assert_eq!(link["target"], "https://xn--bcher-kva.example/a%20b?x=1#y");
    assert_eq!(link["expires_at"], "2026-11-24T10:00:00Z");
    assert!(link["url"].as_str().unwrap().starts_with("http://stats.example/l/"));
    for url in [
        "javascript:alert(1)",
        "//evil.example/",
        "/path",
        "data:text/html,x",
        "https://user@shop.example/",
        "ftp://shop.example/",
    ] {
        let answer = mailer.post("links", &json!({"url": url, "campaign": "poster"})).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]["field"]),
            (422, &json!("url"))
        );
    }
}
