//! Bad input: each kind has its error, and none is a fault of the server.

use serde_json::{Value, json};

use crate::rig::Rig;

#[tokio::test]
async fn bodies_that_are_no_json_object_are_told_what_is_wrong() {
    let rig = Rig::new();
    let send = async |body: Vec<u8>| {
        let call = rig.call("POST", "/api/v1/sites").owner();
        call.header("content-type", "application/json; charset=utf-8").body(body).send().await
    };
    let broken = send(b"{\"name\": \"x\",\n \"domain\": }".to_vec()).await;
    broken.is(400, "malformed_json");
    let message = broken.json()["error"]["message"].to_string();
    assert!(message.contains("line 2, column 12"), "{message}");
    send(b"".to_vec()).await.is(400, "malformed_json");
    send(b"{\"name\": \"\xff\"}".to_vec()).await.is(400, "malformed_json");
    send(b"{\"name\": 1e999}".to_vec()).await.is(400, "malformed_json");
    send(b"[]".to_vec()).await.is(400, "malformed_request");
    send(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes())
        .await
        .is(400, "malformed_json");
    let mut large = b"{\"name\": \"".to_vec();
    large.resize(1024 * 1024 + 1, b'x');
    send(large).await.is(413, "too_large");
    let text = rig.call("POST", "/api/v1/sites").owner().body("name=x");
    text.header("content-type", "text/plain").send().await.is(415, "unsupported_media_type");
    rig.call("POST", "/api/v1/sites")
        .owner()
        .body("{}")
        .send()
        .await
        .is(415, "unsupported_media_type");
}

#[tokio::test]
async fn wrong_fields_of_a_site_are_named() {
    let rig = Rig::new();
    let sound = json!({"name": "Shop", "domain": "shop.example"});
    let cases = [
        (json!({"name": null}), 400, "missing_field", "name"),
        (json!({"domain": null}), 400, "missing_field", "domain"),
        (json!({"name": 7}), 400, "malformed_request", "name"),
        (json!({"name": "   "}), 422, "invalid_value", "name"),
        (json!({"name": "x".repeat(201)}), 422, "invalid_value", "name"),
        (json!({"name": "a\u{0}b"}), 422, "invalid_value", "name"),
        (json!({"domain": "not a host"}), 422, "invalid_value", "domain"),
        (json!({"domain": "x".repeat(100_000)}), 422, "invalid_value", "domain"),
        (json!({"hosts": "shop.example"}), 400, "malformed_request", "hosts"),
        (json!({"hosts": ["a.example", "b c"]}), 422, "invalid_value", "hosts[1]"),
        (json!({"timezone": "Mars/Olympus"}), 422, "invalid_value", "timezone"),
        (json!({"timezone": "../../etc/passwd"}), 422, "invalid_value", "timezone"),
        (json!({"currency": "EURO"}), 422, "invalid_value", "currency"),
        (json!({"privacy": []}), 400, "malformed_request", "privacy"),
        (json!({"privacy": {"policy": "none"}}), 422, "invalid_value", "privacy.policy"),
        (json!({"privacy": {"gcp": "all"}}), 400, "unknown_field", "privacy.gcp"),
        (
            json!({"privacy": {"cross_site_cookies": true}}),
            400,
            "unknown_field",
            "privacy.cross_site_cookies",
        ),
        (json!({"privacy": {"places": ["DE"]}}), 400, "malformed_request", "privacy.places"),
        (
            json!({"privacy": {"places": {"Germany": "opt_in"}}}),
            422,
            "invalid_value",
            "privacy.places.Germany",
        ),
        (
            json!({"privacy": {"places": {"DE": "never"}}}),
            422,
            "invalid_value",
            "privacy.places.DE",
        ),
        (
            json!({"privacy": {"places": {"de": "opt_in", "DE": "opt_out"}}}),
            422,
            "invalid_value",
            "privacy.places.DE",
        ),
        (
            json!({"privacy": {"notice": {"policy_url": "javascript:alert(1)"}}}),
            422,
            "invalid_value",
            "privacy.notice.policy_url",
        ),
        (
            json!({"privacy": {"notice": {"texts": {"en": {"headline": "x"}}}}}),
            422,
            "invalid_value",
            "privacy.notice.texts.en.headline",
        ),
        (
            json!({"privacy": {"notice": {"texts": {"en": {"title": "x".repeat(601)}}}}}),
            422,
            "invalid_value",
            "privacy.notice.texts.en.title",
        ),
        (
            json!({"privacy": {"notice": {"texts": {"it": {"title": "x"}}}}}),
            400,
            "unknown_field",
            "privacy.notice.texts.it",
        ),
        (json!({"colour": "red"}), 400, "unknown_field", "colour"),
    ];
    for (changes, status, code, field) in cases {
        let mut body = sound.clone();
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = rig.post("/api/v1/sites", &body).owner().send().await;
        answer.is(status, code);
        assert_eq!(answer.json()["error"]["field"], field);
        assert!(!answer.text.contains("passwd"), "values are not repeated");
    }
    assert_eq!(rig.get("/api/v1/sites").owner().send().await.ok(200)["items"], json!([]));
}

/// The fields that a described body has, also by what it is put together from.
fn described_fields<'d>(document: &'d Value, reference: &str) -> Vec<&'d str> {
    let schema = document.pointer(reference.trim_start_matches('#')).unwrap();
    let own = schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys());
    let mut fields: Vec<&str> = own.map(String::as_str).collect();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        match part["$ref"].as_str() {
            Some(reference) => fields.extend(described_fields(document, reference)),
            None => fields.extend(part["properties"].as_object().unwrap().keys().map(|it| &**it)),
        }
    }
    fields
}

#[tokio::test]
async fn the_description_of_each_body_lists_the_fields_that_are_read() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let pixel = json!({"name": "Shop", "kind": "web"});
    let pixel =
        rig.post(&format!("/api/v1/sites/{site}/pixels"), &pixel).owner().send().await.ok(201);
    rig.notes(&site).await;
    let share = json!({"name": "x"});
    let share =
        rig.post(&format!("/api/v1/sites/{site}/shares"), &share).owner().send().await.ok(201);
    let request = json!({"kind": "access", "user_id": "x"});
    let requests = format!("/api/v1/sites/{site}/rights/requests");
    let request = rig.post(&requests, &request).owner().send().await.ok(201);
    let document = rig.get("/api/openapi.json").send().await.ok(200);
    let mut checked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let content =
                &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let Some(schema) = content.as_str() else { continue };
            // Questions have errors of their own.
            let is_question = matches!(&**path, "/api/v2/query" | "/api/v2/attribution");
            if is_question || !path.starts_with("/api/") {
                continue;
            }
            let name = schema.rsplit('/').next().unwrap();
            let path = path
                .replace("{site_id}", &site)
                .replace("{key}", pixel["key"].as_str().unwrap())
                .replace("{request_id}", request["id"].as_str().unwrap())
                .replace("{funnel_id}", "1")
                .replace("{segment_id}", "1")
                .replace("{annotation_id}", "1")
                .replace("{digest_id}", "1")
                .replace("{alert_id}", "1");
            // Sound values for what is required, so that reading gets to the end and finds the odd one.
            let mut body = json!({"no_such_field": 1});
            for (field, value) in sound_values(name).as_object().unwrap() {
                body[field] = value.clone();
            }
            let call = rig.call(&method.to_uppercase(), &path).json(&body);
            let call = match path.starts_with("/api/v1/shared/") {
                true => call.bearer(share["token"].as_str().unwrap()),
                false => call.owner(),
            };
            let answer = call.send().await;
            answer.is(400, "unknown_field");
            assert_eq!(answer.json()["error"]["field"], "no_such_field", "{method} {path}");
            let help = answer.json()["error"]["help"].as_str().unwrap().to_owned();
            let known = help.trim_start_matches("Known fields: ").trim_end_matches('.');
            let mut known: Vec<_> = known.split(", ").collect();
            let mut described = described_fields(&document, schema);
            known.sort_unstable();
            described.sort_unstable();
            assert_eq!(known, described, "{method} {path}");
            checked += 1;
        }
    }
    assert!(checked >= 8, "only {checked} bodies were checked");
}

fn sound_values(schema: &str) -> Value {
    let step = json!({"condition": {"page_path": "/"}});
    match schema {
        "NewFunnelBody" => json!({"name": "x", "steps": [step, step]}),
        "FunnelQuestionBody" => {
            json!({"site_id": "shop.example", "date_range": "7d", "steps": [step, step]})
        }
        "JourneyQuestionBody" => {
            json!({"site_id": "shop.example", "date_range": "7d", "anchor": step})
        }
        "RetentionQuestionBody" | "ListQuestionBody" => {
            json!({"site_id": "shop.example", "date_range": "7d"})
        }
        "Queries" => json!({"site_id": "shop.example", "queries": []}),
        "NewSegmentBody" => {
            json!({"name": "x", "filters": [["is", "visit:country", ["DE"]]]})
        }
        "NewAnnotationBody" => json!({"date": "2026-11-21", "note": "x"}),
        "NewCosts" => {
            json!({"costs": [{"date": "2026-11-21", "cost": 1, "currency": "EUR", "source": "x"}]})
        }
        "CostFile" => json!({"csv": "date,cost,currency\n2026-11-21,1,EUR\n"}),
        "NewDigestBody" => json!({"every": "week", "recipients": ["a@b.example"]}),
        "NewAlertBody" => json!({"name": "x", "kind": "silence", "recipients": ["a@b.example"]}),
        "UnlockBody" => json!({"password": "x"}),
        "NewShareBody" => json!({"name": "x"}),
        "SharedQuery" => json!({"date_range": "7d"}),
        "NewSiteBody" => json!({"name": "x", "domain": "x.example"}),
        "NewPixelBody" => json!({"name": "x", "kind": "web"}),
        "NewTokenBody" => json!({"name": "x"}),
        "LogInBody" => json!({"email": "a@b.example", "password": "x"}),
        "NewEmailBody" => json!({"campaign": "x"}),
        "NewAdBody" => json!({"campaign": "x", "target": "https://a.example/"}),
        "NewLinkBody" => json!({"url": "https://a.example/", "campaign": "x"}),
        "RecipientBody" => json!({"user_id": "x", "opens": "granted"}),
        "FindBody" => json!({"user_id": "x"}),
        "NewRequestBody" => json!({"kind": "access", "user_id": "x"}),
        "ReasonBody" => json!({"reason": "x"}),
        "MemoryCallBody" => json!({"user_id": "x", "recall": ["x"]}),
        "SetupBody" => json!({"token": "x", "email": "a@b.example", "password": "x"}),
        _ => json!({}),
    }
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let cases = [
        ("limit=0", "malformed_request", "limit"),
        ("limit=1001", "malformed_request", "limit"),
        ("limit=x", "malformed_request", "limit"),
        ("limit=1&limit=2", "malformed_request", "limit"),
        ("after=x", "malformed_request", "after"),
        ("colour=red", "unknown_field", "colour"),
    ];
    for list in ["sites".to_owned(), format!("sites/{site}/pixels"), format!("sites/{site}/events")]
    {
        for (query, code, field) in cases {
            let answer = rig.get(&format!("/api/v1/{list}?{query}")).owner().send().await;
            answer.is(400, code);
            assert_eq!(answer.json()["error"]["field"], field, "{list}?{query}");
        }
    }
    for since in ["yesterday", "2026-02-30T00:00:00Z", "99999999999999999", "-1e5"] {
        let path = format!("/api/v1/sites/{site}/outcomes?since={since}");
        rig.get(&path).owner().send().await.is(400, "malformed_request");
    }
    for site in ["0", "-1", "4294967296", "shop.example", "%00", "..%2F1"] {
        rig.get(&format!("/api/v1/sites/{site}")).owner().send().await.is(404, "not_found");
    }
}
