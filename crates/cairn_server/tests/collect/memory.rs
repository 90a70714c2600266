//! What is remembered, for whom, and who gets nothing.

use cairn_engine::identity::IdentitySecret;
use cairn_engine::ingest::visitor::parse_cookie_id;
use cairn_model::{CrossSiteCookies, PixelKind, Policy, SiteId};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::{Answer, Client};
use crate::running::{NOW_MS, Running, SHOP, Site};

const OWN: (&str, &str) = ("Origin", "https://shop.example");
const YES: &str = "functional:granted";
const NO: &str = "functional:denied";
const NOW_S: i64 = NOW_MS / 1000;

/// A browser with its jar, on pages of one origin.
struct Browser {
    client: Client,
    key: String,
    origin: &'static str,
    memory: String,
}

impl Browser {
    fn new(running: &Running, key: &str) -> Browser {
        let origin = "https://shop.example";
        Browser { client: running.client(), key: key.to_owned(), origin, memory: String::new() }
    }

    /// A call with this browser's cookie and permission.
    fn call(&mut self, fields: Value) -> Answer {
        // As the tracker's part says it: the tracker itself has told it before.
        let said = json!({"functional": "granted", "repeated": true});
        let mut body = json!({"key": self.key, "consent": said});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let headers = [("Origin", self.origin), ("Cookie", &self.memory.clone())];
        let answer = self.client.request("POST", "/m", &headers, body.to_string().as_bytes());
        if let Some(cookie) = memory_cookie(&answer) {
            self.memory = cookie;
        }
        answer
    }

    fn remember(&mut self, name: &str, value: Value) {
        let answer = self.call(json!({"remember": {name: value}}));
        assert_eq!((answer.status, answer.json()["allowed"].clone()), (200, json!(true)));
    }

    fn recall(&mut self, name: &str) -> Value {
        let answer = self.call(json!({"recall": [name]}));
        assert_eq!(answer.status, 200, "{:?}", answer.json());
        answer.json()["memory"][name].clone()
    }

    fn identify(&mut self, user_id: &str, token: &str) -> Answer {
        self.call(json!({"identify": {"user_id": user_id, "token": token}}))
    }
}

/// `cairn_memory=…` of an answer that sets it, empty where it is taken back.
fn memory_cookie(answer: &Answer) -> Option<String> {
    let set = answer.all("set-cookie").into_iter().find(|set| set.starts_with("cairn_memory="))?;
    if set.contains("Max-Age=0") {
        return Some(String::new());
    }
    Some(set.split(';').next().unwrap().to_owned())
}

fn site_of(running: &Running, key: &str) -> SiteId {
    running.app.directory.current().by_key(key).unwrap().site.site.id
}

/// A new identity secret of the key's site.
fn secret(running: &Running, key: &str) -> String {
    let site = site_of(running, key);
    let seed = running.app.catalog.renew_identity_seed(site, NOW_MS).unwrap();
    let secret = IdentitySecret::derive(running.app.catalog.master_secret(), site, &seed.seed);
    secret.reveal().to_owned()
}

/// What a site's server does to sign: HMAC-SHA-256, written here once more by the RFC.
pub fn token(secret: &str, user_id: &str, expires_at_s: i64) -> String {
    let mut key = [0; 64];
    match secret.len() {
        0..=64 => key[..secret.len()].copy_from_slice(secret.as_bytes()),
        _ => key[..32].copy_from_slice(&Sha256::digest(secret)),
    }
    let message = format!("v1.{expires_at_s}.{user_id}");
    let inner = [&key.map(|byte| byte ^ 0x36)[..], message.as_bytes()].concat();
    let outer = [&key.map(|byte| byte ^ 0x5c)[..], &Sha256::digest(inner)[..]].concat();
    let digits: String = Sha256::digest(outer).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1.{expires_at_s}.{digits}")
}

#[test]
fn a_value_is_kept_for_its_browser_with_permission_for_it_alone() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut ada = Browser::new(&running, &key);
    let empty = ada.call(json!({"recall": ["size"]}));
    assert!(empty.all("set-cookie").is_empty(), "nothing is kept yet, so nothing is set");
    assert_eq!(empty.json(), json!({"allowed": true, "memory": {"size": null}}));
    let first = ada.call(json!({"remember": {"size": "M"}}));
    let set = first.all("set-cookie");
    assert!(set.len() == 1, "no cairn_id, no other: {set:?}");
    assert!(set[0].ends_with("; Max-Age=34128000; Path=/; HttpOnly; SameSite=Lax"), "{set:?}");
    assert_eq!(first.header("access-control-allow-credentials"), "true");
    assert_eq!(first.header("cache-control"), "no-store");
    let cart = json!([{"item_id": "tarn-2", "quantity": 2}]);
    ada.remember("cart", cart.clone());
    // Another connection with the same cookie, as after the browser was closed.
    let mut later = Browser { memory: ada.memory.clone(), ..Browser::new(&running, &key) };
    assert_eq!((later.recall("size"), later.recall("cart")), (json!("M"), cart));
    let all = later.call(json!({"recall": ["*"]})).json()["memory"].clone();
    assert_eq!(all.as_object().unwrap().len(), 2);
    later.remember("size", Value::Null);
    assert_eq!(later.recall("size"), Value::Null);
    assert_eq!(Browser::new(&running, &key).recall("cart"), Value::Null, "another browser");
    let other = running.site(&Site { domain: "two.example", ..SHOP });
    let mut elsewhere = Browser::new(&running, &other);
    (elsewhere.origin, elsewhere.memory) = ("https://two.example", later.memory.clone());
    assert_eq!(elsewhere.recall("cart"), Value::Null, "two sites share nothing");
    assert!(running.events().is_empty(), "no event came of it");
}

#[test]
fn the_part_that_remembers_lies_where_its_calls_go() {
    let running = Running::start();
    let part = running.client().get("/m", &[]);
    if part.status == 404 {
        eprintln!(
            "NOT RUN: the_part_that_remembers_lies_where_its_calls_go: tracker/dist/cairn is missing"
        );
        return;
    }
    assert_eq!((part.status, part.header("cache-control")), (200, "no-cache"));
    assert!(part.header("content-type").starts_with("text/javascript"));
    assert_eq!(part.header("access-control-allow-origin"), "*");
    let known = running.client().get("/m", &[("If-None-Match", part.header("etag"))]);
    assert_eq!((known.status, known.body.len()), (304, 0));
}

#[test]
fn nothing_is_kept_without_a_yes() {
    let running = Running::start();
    let key = running.site(&SHOP);
    for consent in
        ["", NO, "analytics:granted,ads:granted", "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA"]
    {
        let body = json!({"key": key, "consent": consent, "remember": {"bird": "kanarienvogel"},
                          "recall": ["bird"]});
        let answer = running.client().request("POST", "/m", &[OWN], body.to_string().as_bytes());
        assert_eq!(answer.json(), json!({"allowed": false, "memory": {}}), "{consent}");
        let set = answer.all("set-cookie");
        assert!(set.iter().all(|set| set.starts_with("cairn_consent=")), "the choice: {set:?}");
    }
    assert!(!running.files_hold("kanarienvogel"));
    let mut ada = Browser::new(&running, &key);
    ada.remember("bird", json!("kanarienvogel"));
    assert!(running.files_hold("kanarienvogel"), "the search finds what is there");
    // Global Privacy Control does not reach it, unless the site lets it; a policy of opt-out is a yes in silence.
    let open = running.site(&Site { domain: "open.example", policy: Policy::OptOut, ..SHOP });
    let body = json!({"key": open, "remember": {"size": "M"}}).to_string();
    let headers = [("Origin", "https://open.example"), ("Sec-GPC", "1")];
    let answer = running.client().request("POST", "/m", &headers, body.as_bytes());
    assert_eq!(answer.json()["allowed"], true);
}

#[test]
fn a_no_forgets_at_once_by_whatever_road_it_comes() {
    let running = Running::start();
    let key = running.site(&SHOP);
    for road in ["/m", "/e", "/p.gif", "on record"] {
        let mut ada = Browser::new(&running, &key);
        ada.remember("bird", json!("kanarienvogel"));
        assert!(running.files_hold("kanarienvogel"));
        let refused = format!("{}; cairn_consent=v1.functional=0.t=1795341600", ada.memory);
        let cookies = if road == "on record" { refused } else { ada.memory.clone() };
        let headers = [OWN, ("Cookie", &*cookies)];
        let mut client = running.client();
        let answer = match road {
            "on record" => client.get(&format!("/p.gif?key={key}"), &headers),
            "/p.gif" => client.get(&format!("/p.gif?key={key}&consent={NO}"), &headers),
            "/e" => client.post(
                &headers,
                json!({"key": key, "events": [], "consent": NO}).to_string().as_bytes(),
            ),
            _ => {
                let body = json!({"key": key, "consent": NO, "recall": ["bird"]}).to_string();
                client.request("POST", "/m", &headers, body.as_bytes())
            }
        };
        assert_eq!(memory_cookie(&answer).as_deref(), Some(""), "{road}");
        assert!(!running.files_hold("kanarienvogel"), "{road}");
        assert_eq!(ada.recall("bird"), Value::Null, "a later yes brings nothing back");
    }
    // Silence and other choices leave it alone.
    let mut ada = Browser::new(&running, &key);
    ada.remember("bird", json!("kanarienvogel"));
    let headers = [OWN, ("Cookie", &*ada.memory.clone())];
    for consent in ["", "analytics:denied"] {
        let body = json!({"key": key, "events": [{"event": "page_view"}], "consent": consent});
        let answer = running.client().post(&headers, body.to_string().as_bytes());
        assert_eq!((answer.status, memory_cookie(&answer)), (202, None));
    }
    assert_eq!(ada.recall("bird"), "kanarienvogel");
}

#[test]
fn other_origins_get_nothing_and_leave_nothing() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut ada = Browser::new(&running, &key);
    ada.remember("size", json!("M"));
    let body = json!({"key": key, "consent": YES, "remember": {"bird": "kanarienvogel"}, "recall": ["size"]});
    let body = body.to_string();
    for origin in [Some("https://evil.example"), Some("null"), None] {
        let mut headers = vec![("Cookie", &*ada.memory)];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        let answer = running.client().request("POST", "/m", &headers, body.as_bytes());
        assert_eq!(answer.status, 403, "{origin:?}");
        assert_eq!(answer.json()["error"]["code"], "origin_not_listed");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(answer.header("access-control-allow-credentials").is_empty());
        assert!(answer.all("set-cookie").is_empty());
        let text = String::from_utf8(answer.body).unwrap();
        assert!(!text.contains("\"M\"") && !running.files_hold("kanarienvogel"));
    }
    // A cross-site pixel has cookies only where the owner chose them.
    let headers = [OWN, ("Sec-Fetch-Site", "cross-site"), ("Cookie", &*ada.memory)];
    let answer = running.client().request("POST", "/m", &headers, body.as_bytes());
    assert_eq!(answer.json(), json!({"allowed": false, "memory": {}}));
    let chosen = running.site(&Site {
        domain: "two.example",
        cross_site_cookies: CrossSiteCookies::Partitioned,
        ..SHOP
    });
    let body = json!({"key": chosen, "consent": YES, "remember": {"size": "L"}}).to_string();
    let headers = [("Origin", "https://two.example"), ("Sec-Fetch-Site", "cross-site")];
    let answer = running.client().request("POST", "/m", &headers, body.as_bytes());
    assert!(answer.all("set-cookie")[0].ends_with("SameSite=None; Secure; Partitioned"));
}

#[test]
fn a_signed_identification_brings_the_memory_to_another_browser() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let secret = secret(&running, &key);
    let signed = token(&secret, "user-7", NOW_S + 600);
    let mut phone = Browser::new(&running, &key);
    phone.remember("size", json!("M"));
    phone.remember("cart", json!([{"item_id": "a", "quantity": 1}]));
    let before = phone.memory.clone();
    assert_eq!(phone.identify("user-7", &signed).status, 200);
    assert!(!phone.memory.is_empty() && phone.memory != before, "known by another number now");
    assert_eq!(phone.recall("size"), "M");
    let mut laptop = Browser::new(&running, &key);
    laptop.remember("cart", json!([{"item_id": "b", "quantity": 3}]));
    laptop.identify("user-7", &signed);
    let cart = json!([{"item_id": "b", "quantity": 3}, {"item_id": "a", "quantity": 1}]);
    assert_eq!((laptop.recall("size"), laptop.recall("cart")), (json!("M"), cart.clone()));
    assert_eq!(phone.recall("cart"), cart);
    let known = laptop.memory.clone();
    laptop.identify("user-7", &token(&secret, "user-7", NOW_S + 700));
    assert_eq!(laptop.memory, known, "who is known already keeps the number");
    let mut stale = Browser { memory: before, ..Browser::new(&running, &key) };
    assert_eq!(stale.recall("size"), Value::Null, "the number before opens nothing");
    laptop.call(json!({"sign_out": true}));
    assert_eq!(laptop.recall("size"), Value::Null);
    assert_eq!(phone.recall("size"), "M");
    // A person who says no on one browser is forgotten on all.
    phone.call(json!({"consent": NO, "recall": ["size"]}));
    laptop.identify("user-7", &signed);
    assert_eq!(laptop.recall("size"), Value::Null);
}

#[test]
fn a_stranger_who_knows_a_user_id_gets_nothing_and_changes_nothing() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let secret_of_shop = secret(&running, &key);
    let mut ada = Browser::new(&running, &key);
    ada.remember("size", json!("M"));
    ada.identify("user-7", &token(&secret_of_shop, "user-7", NOW_S + 600));
    let other = running.site(&Site { domain: "two.example", ..SHOP });
    let secret_of_other = secret(&running, &other);
    let replaced = secret(&running, &key);
    let forged = [
        String::new(),
        "v1".to_owned(),
        token(&replaced, "user-8", NOW_S + 600),
        token(&replaced, "user-7", NOW_S),
        token(&replaced, "user-7", NOW_S + 2 * 60 * 60),
        token(&secret_of_other, "user-7", NOW_S + 600),
        token(&secret_of_shop, "user-7", NOW_S + 600),
        token("", "user-7", NOW_S + 600),
    ];
    for forged in &forged {
        let mut stranger = Browser::new(&running, &key);
        stranger.remember("size", json!("XXL"));
        let answer = stranger.call(json!({
            "identify": {"user_id": "user-7", "token": forged},
            "remember": {"size": "XXS"}, "recall": ["size"]
        }));
        assert_eq!(answer.status, 401, "{forged}");
        assert_eq!(answer.json()["error"]["code"], "identity_token_invalid");
        assert_eq!(answer.json()["error"]["field"], "identify.token");
        assert!(answer.all("set-cookie").is_empty());
        assert_eq!(stranger.recall("size"), "XXL", "nothing of the call was done");
        assert_eq!(ada.recall("size"), "M");
    }
    // Without a token, with the id where a server gives it, and by an event: no.
    let mut stranger = Browser::new(&running, &key);
    let refused = stranger.call(json!({"identify": {"user_id": "user-7"}, "recall": ["size"]}));
    assert_eq!(
        (refused.status, &refused.json()["error"]["field"]),
        (400, &json!("identify.token"))
    );
    let refused = stranger.call(json!({"user_id": "user-7", "recall": ["size"]}));
    assert_eq!((refused.status, &refused.json()["error"]["field"]), (400, &json!("user_id")));
    let event = json!({"key": key, "consent": "analytics:granted,functional:granted",
                       "events": [{"event": "identify", "user_id": "user-7"}]});
    assert_eq!(stranger.client.post(&[OWN], event.to_string().as_bytes()).status, 202);
    assert_eq!(stranger.recall("size"), Value::Null);
    assert_eq!(ada.recall("size"), "M");
    // A site without a secret has nobody signed for.
    running.app.catalog.remove_identity_seed(site_of(&running, &key)).unwrap();
    let late = token(&replaced, "user-7", NOW_S + 600);
    assert_eq!(Browser::new(&running, &key).identify("user-7", &late).status, 401);
}

#[test]
fn passwords_and_wrong_values_are_refused_by_their_names() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut ada = Browser::new(&running, &key);
    for (fields, status, field) in [
        (json!({"remember": {"size": "M", "password": "x"}}), 422, "remember.password"),
        (json!({"remember": {"note": "Summer2026!"}}), 422, "remember.note"),
        (json!({"remember": {"preferences": {"userPin": 1}}}), 422, "remember.preferences"),
        (json!({"remember": {"email": "hunter2"}}), 422, "remember.email"),
        (json!({"remember": {"a b": 1}}), 422, "remember"),
        (json!({"remember": {"long": "x".repeat(9000)}}), 413, "remember.long"),
        (json!({"remember": []}), 400, "remember"),
        (json!({"recall": ["a b"]}), 422, "recall[0]"),
        (json!({"recall": "size"}), 400, "recall"),
        (json!({"consent": 1, "recall": ["size"]}), 400, "consent"),
        (json!({"recal": ["size"]}), 400, "recall"),
    ] {
        let answer = ada.call(fields.clone());
        let error = &answer.json()["error"];
        let is_unknown = error["code"] == "unknown_field";
        assert_eq!(answer.status, status, "{fields}: {error}");
        assert_eq!(error["field"], if is_unknown { "recal" } else { field }, "{fields}");
        let text = error.to_string();
        assert!(!text.contains("Summer") && !text.contains("hunter"), "never repeated: {text}");
    }
    assert_eq!(ada.recall("size"), Value::Null, "a refused call does nothing");
    let unknown = json!({"key": "px_none", "recall": ["size"]}).to_string();
    let answer = running.client().request("POST", "/m", &[OWN], unknown.as_bytes());
    assert_eq!((answer.status, answer.outcome()), (404, ""));
    let preflight = running.client().request("OPTIONS", "/m", &[OWN], b"");
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, OWN.1));
    assert_eq!(running.client().request("PUT", "/m", &[], b"").status, 405);
    assert_eq!(running.app.counters.totals().received, 0, "none of it is a hit");
}

#[test]
fn a_server_with_the_secret_key_speaks_for_its_people() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let site = site_of(&running, &key);
    let server = cairn_catalog::NewPixel {
        site_id: site,
        name: "Server".to_owned(),
        kind: PixelKind::Server,
        url: String::new(),
        settings: Default::default(),
        cross_site_cookies: Default::default(),
    };
    let sk = running.app.catalog.add_pixel(&server, NOW_MS).unwrap().key;
    let bearer = format!("Bearer {sk}");
    let ask = |fields: Value, headers: &[(&str, &str)]| {
        running.client().request("POST", "/m", headers, fields.to_string().as_bytes())
    };
    let auth = ("Authorization", bearer.as_str());
    let wanted = json!({"user_id": "user-7", "remember": {"size": "M"}, "recall": ["size"]});
    let answer = ask(wanted.clone(), &[auth]);
    assert_eq!(answer.json(), json!({"allowed": true, "memory": {"size": "M"}}));
    let mut in_body = wanted.clone();
    in_body["key"] = json!(sk);
    assert_eq!(ask(in_body.clone(), &[]).status, 200);
    let refused = ask(in_body, &[OWN]);
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (403, &json!("secret_in_browser"))
    );
    assert_eq!(ask(json!({"recall": ["size"]}), &[auth]).json()["error"]["field"], "user_id");
    let mut phone = Browser::new(&running, &key);
    phone.identify("user-7", &token(&secret(&running, &key), "user-7", NOW_S + 600));
    assert_eq!(phone.recall("size"), "M");
    // An opt-out on record ends it, for the server as for the browser.
    let number = running.app.ingest.keys().of_user(site, "user-7");
    running.app.catalog.add_opt_outs(site, &[number], NOW_MS).unwrap();
    assert_eq!(ask(wanted, &[auth]).json(), json!({"allowed": false, "memory": {}}));
    assert_eq!(phone.recall("size"), Value::Null);
    let body =
        phone.identify("user-7", &token(&secret(&running, &key), "user-7", NOW_S + 600)).json();
    assert_eq!(body["allowed"], false);
}

#[test]
fn a_flood_from_one_place_is_held_back() {
    let running = Running::with(|options| options.rate_limit.hits_per_minute_max = 3);
    let key = running.site(&SHOP);
    let body = json!({"key": key, "consent": YES, "recall": ["size"]}).to_string();
    let headers = [OWN, ("X-Forwarded-For", "203.0.113.9")];
    let mut client = running.client();
    let mut statuses = (0..4).map(|_| client.request("POST", "/m", &headers, body.as_bytes()));
    assert!(statuses.by_ref().take(3).all(|answer| answer.status == 200));
    let refused = statuses.next().unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (429, "5"));
}

#[test]
fn the_cookie_is_a_plain_random_number() {
    let running = Running::start();
    let key = running.site(&SHOP);
    let mut ada = Browser::new(&running, &key);
    ada.remember("size", json!("M"));
    let digits = ada.memory.split_once('=').unwrap().1.to_owned();
    assert!(parse_cookie_id(&digits).is_some());
    assert!(!running.files_hold(&digits), "only a keyed hash of it is kept");
    ada.memory = "cairn_memory=tampered".to_owned();
    assert_eq!(ada.recall("size"), Value::Null);
}

#[test]
fn one_place_cannot_begin_memories_without_end() {
    let running = Running::with(|options| options.rate_limit.new_memories_per_hour_max = 20);
    let key = running.site(&SHOP);
    let said = json!({"functional": "granted", "repeated": true});
    let body = json!({"key": key, "consent": said, "remember": {"size": "M"}}).to_string();
    let mut client = running.client();
    let mut remember = |place: &str, cookie: &str| {
        let headers = [OWN, ("X-Forwarded-For", place), ("Cookie", cookie)];
        client.request("POST", "/m", &headers, body.as_bytes())
    };
    let known = memory_cookie(&remember("203.0.113.9", "")).unwrap();
    // A number that somebody made up is a new browser's, too.
    let refused = (0..100).find_map(|made_up| {
        let answer = remember("203.0.113.9", &format!("cairn_memory={made_up:032x}"));
        (answer.status != 200)
            .then(|| (made_up, answer.status, answer.header("retry-after").to_owned()))
    });
    assert_eq!(refused, Some((19, 429, "60".to_owned())));
    assert_eq!(remember("203.0.113.9", "").status, 429);
    assert_eq!(remember("203.0.113.9", &known).status, 200, "it has something already");
    assert_eq!(remember("203.0.113.10", "").status, 200, "another place");
}
