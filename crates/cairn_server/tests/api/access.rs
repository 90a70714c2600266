//! Who sees what: walked over every route that the description knows.

use serde_json::{Value, json};

use crate::rig::{BOOTSTRAP, Rig};

/// Routes that answer without a credential.
const OPEN: [(&str, &str); 4] = [
    ("get", "/api/v1/session"),
    ("post", "/api/v1/session"),
    ("delete", "/api/v1/session"),
    ("post", "/api/v1/setup"),
];

struct Route {
    method: String,
    path: String,
}

/// The paths of the API; those of collection are not the router's.
fn api_paths(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().filter(|(path, _)| path.starts_with("/api/"))
}

fn routes(document: &Value) -> Vec<Route> {
    let all = api_paths(document).flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(|method| Route { method: method.clone(), path: path.clone() })
    });
    all.filter(|route| !OPEN.contains(&(&*route.method, &*route.path))).collect()
}

/// The path with what really exists in it.
fn filled(path: &str, ids: &[(&str, &str)]) -> String {
    let mut path = path.to_owned();
    for (name, value) in ids {
        path = path.replace(&format!("{{{name}}}"), value);
    }
    assert!(!path.contains('{'), "no value for a parameter of {path}");
    path
}

#[tokio::test]
async fn no_route_answers_without_a_credential_or_for_another_tenant() {
    let rig = Rig::new();
    let site = rig.site("shop.example").await;
    let base = format!("/api/v1/sites/{site}");
    let pixel = json!({"name": "Shop", "kind": "web"});
    let pixel = rig.post(&format!("{base}/pixels"), &pixel).owner().send().await.ok(201);
    let goal = json!({"event_name": "purchase"});
    let goal = rig.post(&format!("{base}/goals"), &goal).owner().send().await.ok(201);
    rig.notes(&site).await;
    let token = json!({"name": "script"});
    let token = rig.post("/api/v1/tokens", &token).owner().send().await.ok(201);
    let test = format!("{base}/pixels/{}/live-test", pixel["key"].as_str().unwrap());
    let test = rig.post(&test, &json!({})).owner().send().await.ok(201);
    let request = json!({"kind": "access", "user_id": "ada-7"});
    let request = rig.post(&format!("{base}/rights/requests"), &request).owner().send().await;
    let request = request.ok(201);
    let ids = [
        ("site_id", &*site),
        ("request_id", request["id"].as_str().unwrap()),
        ("code", test["code"].as_str().unwrap()),
        ("key", pixel["key"].as_str().unwrap()),
        ("goal_id", goal["id"].as_str().unwrap()),
        ("token_id", token["id"].as_str().unwrap()),
        ("share_id", "1"),
        ("digest_id", "1"),
        ("alert_id", "1"),
        ("funnel_id", "1"),
        ("segment_id", "1"),
        ("annotation_id", "1"),
        ("session_id", "1"),
        ("visitor_id", "1"),
        ("person_id", "1"),
        ("backup_id", "1"),
    ];
    let (_, stranger) = rig.tenant("stranger@other.example");
    let document = rig.get("/api/openapi.json").send().await.ok(200);
    let mut walked = 0;
    for route in routes(&document) {
        let path = filled(&route.path, &ids);
        let what = format!("{} {path}", route.method);
        let call = || {
            let call = rig.call(&route.method.to_uppercase(), &path);
            // Only what names the site in its body needs a sound one to get that far.
            let body =
                json!({"site_id": "shop.example", "metrics": ["visitors"], "date_range": "7d"});
            if route.path.starts_with("/api/v2") { call.json(&body) } else { call.json(&json!({})) }
        };
        let nobody = call().send().await;
        assert_eq!((nobody.status.as_u16(), &*nobody.code()), (401, "unauthorized"), "{what}");
        let unknown = call().bearer("cairn_0000000000000000000000000000000000000000").send().await;
        assert_eq!(unknown.status.as_u16(), 401, "{what} with an unknown token");
        if route.path.contains('{') || route.path.starts_with("/api/v2") {
            let wanted = match &*route.path {
                path if path.starts_with("/api/v2") => 401,
                // Nobody is told more by it than that he is not the instance's owner.
                path if path.starts_with("/api/v1/instance") => 403,
                _ => 404,
            };
            let other = call().bearer(stranger.reveal()).send().await;
            assert_eq!(other.status.as_u16(), wanted, "{what} by a stranger: {}", other.text);
            assert!(!other.text.contains("shop"), "{what} tells a stranger of the site");
        }
        walked += 1;
    }
    assert!(walked >= 20, "only {walked} routes were walked");
    // Nothing that the stranger tried took effect.
    rig.get(&base).owner().send().await.ok(200);
    let list = rig.get("/api/v1/sites").bearer(stranger.reveal()).send().await.ok(200);
    assert_eq!(list, json!({"items": [], "next": null}));
    let tokens = rig.get("/api/v1/tokens").bearer(stranger.reveal()).send().await.ok(200);
    assert_eq!(tokens["items"].as_array().unwrap().len(), 1, "only the stranger's own");
}

#[tokio::test]
async fn every_route_and_method_is_described_and_no_other_answers() {
    let rig = Rig::new();
    let document = rig.get("/api/openapi.json").send().await.ok(200);
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = Vec::new();
    for (path, item) in api_paths(&document) {
        let filled = path.replace("{site_id}", "1").replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let answer = rig.call(method, &filled).send().await;
            let is_described = item.get(method.to_lowercase()).is_some();
            let is_refused = answer.status.as_u16() == 405;
            assert_eq!(is_described, !is_refused, "{method} {path}: {}", answer.text);
            if is_refused {
                answer.is(405, "method_not_allowed");
                let allow = answer.headers["allow"].to_str().unwrap().to_lowercase();
                for known in item.as_object().unwrap().keys() {
                    assert!(allow.contains(known), "{path}: Allow is {allow}");
                }
            }
        }
        for operation in item.as_object().unwrap().values() {
            names.push(operation["operationId"].as_str().unwrap().to_owned());
            assert!(
                operation["summary"].is_string() && operation["responses"]["default"].is_object()
            );
        }
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "operation ids are unique");
    for path in ["/api", "/api/", "/api/v1/nothing", "/api/v1/sites/1/nothing", "/api/v3/query"] {
        rig.get(path).header("accept", "text/html").owner().send().await.is(404, "not_found");
    }
}

#[tokio::test]
async fn a_limited_token_sees_its_sites_only_and_makes_nothing_new() {
    let rig = Rig::new();
    let (mine, other) = (rig.site("mine.example").await, rig.site("other.example").await);
    let body = json!({"name": "limited", "site_ids": [mine]});
    let token = rig.post("/api/v1/tokens", &body).owner().send().await.ok(201);
    let secret = token["secret"].as_str().unwrap();
    let list = rig.get("/api/v1/sites").bearer(secret).send().await.ok(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["id"], mine);
    rig.get(&format!("/api/v1/sites/{other}")).bearer(secret).send().await.is(404, "not_found");
    let query = json!({"site_id": "other.example", "metrics": ["visitors"], "date_range": "7d"});
    rig.post("/api/v2/query", &query).bearer(secret).send().await.is(401, "unauthorized");
    let site = json!({"name": "New", "domain": "new.example"});
    rig.post("/api/v1/sites", &site).bearer(secret).send().await.is(403, "forbidden");
    rig.post("/api/v1/tokens", &json!({"name": "x"}))
        .bearer(secret)
        .send()
        .await
        .is(403, "forbidden");
    rig.call("DELETE", &format!("/api/v1/sites/{mine}"))
        .bearer(secret)
        .send()
        .await
        .is(403, "forbidden");
    let id = token["id"].as_str().unwrap();
    rig.call("DELETE", &format!("/api/v1/tokens/{id}")).owner().send().await.ok(204);
    rig.get("/api/v1/sites").bearer(secret).send().await.is(401, "unauthorized");
}

#[tokio::test]
async fn the_bootstrap_token_is_compared_whole() {
    let rig = Rig::new();
    rig.get("/api/v1/sites").bearer(BOOTSTRAP).send().await.ok(200);
    let short = &BOOTSTRAP[..BOOTSTRAP.len() - 1];
    for wrong in [short, &format!("{BOOTSTRAP}x"), ""] {
        rig.get("/api/v1/sites").bearer(wrong).send().await.is(401, "unauthorized");
    }
    rig.get("/api/v1/sites")
        .header("authorization", "Basic YTpi")
        .send()
        .await
        .is(401, "unauthorized");
    let without = Rig::with(|config| config.bootstrap_token = None);
    without.get("/api/v1/sites").bearer(BOOTSTRAP).send().await.is(401, "unauthorized");
}

#[tokio::test]
async fn with_an_admin_origin_dashboard_and_api_answer_only_there() {
    let rig = Rig::with(|config| config.admin_origin = Some("https://admin.example".to_owned()));
    for path in ["/", "/api/v1/session", "/api/openapi.json", "/login"] {
        let answer = rig.get(path).header("accept", "text/html").send().await;
        answer.is(404, "not_found");
    }
    rig.get("/healthz").send().await;
    rig.get("/api/v1/session").host("admin.example").send().await.ok(200);
}

#[tokio::test]
async fn snippets_name_an_address_that_works() {
    // The proxy that ends TLS is not a trusted one: the request does not tell the scheme.
    for (admin, public, host, named) in [
        (None, None, "stats.example", "http://stats.example"),
        (Some("https://admin.example"), None, "admin.example", "https://admin.example"),
        (
            Some("https://admin.example"),
            Some("https://stats.example"),
            "admin.example",
            "https://stats.example",
        ),
    ] {
        let rig = Rig::with(|config| {
            config.admin_origin = admin.map(str::to_owned);
            config.public_url = public.map(str::to_owned);
        });
        let post = async |path: &str, body| rig.post(path, &body).owner().host(host).send().await;
        let site = json!({"name": "Shop", "domain": "shop.example"});
        let site = post("/api/v1/sites", site).await.ok(201);
        let path = format!("/api/v1/sites/{}/pixels", site["id"].as_str().unwrap());
        for (kind, begins) in [("web", "src=\""), ("image", "src=\""), ("server", "POST ")] {
            let pixel = post(&path, json!({"name": kind, "kind": kind})).await.ok(201);
            let snippet = pixel["snippet"].as_str().unwrap();
            assert!(snippet.contains(&format!("{begins}{named}/")), "{snippet}");
        }
    }
}
