//! "No" means no: nothing of a refused visitor is in any file, in any table, in any usual hash of it;
//! and the same search finds a visitor who agreed, so that it is known to search.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::search::{self, files};
use crate::server::Server;

const REFUSED: usize = 10_000;
/// How many of them are also met by way of Segment's API, twice.
const BY_SEGMENT: usize = 500;
/// Messages of each of them there.
const MESSAGES: usize = 4;

/// What one visitor could be recognised by.
pub struct Visitor {
    pub address: String,
    pub agent: String,
    pub cookie: String,
    pub email: String,
    pub user_id: String,
}

pub fn visitor(kind: &str, number: usize) -> Visitor {
    // Spread over the number's digits, so that no two share a long text.
    let mixed = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Visitor {
        address: format!(
            "2001:db8:{:x}:{:x}::{:x}",
            mixed >> 48,
            (mixed >> 32) & 0xFFFF,
            number + 1
        ),
        agent: format!(
            "Mozilla/5.0 (X11; Linux x86_64; {kind}-{mixed:016x}) Gecko/20100101 Firefox/145.0"
        ),
        cookie: format!("{mixed:016x}{:016x}", mixed.rotate_left(17)),
        email: format!("{kind}.{mixed:x}@mail.example"),
        user_id: format!("{kind}-user-{mixed:x}"),
    }
}

fn body(key: &str, visitor: &Visitor, consent: &str) -> String {
    json!({"key": key, "consent": consent, "events": [{
        "event": "page_view",
        "event_id": format!("page-{}", visitor.user_id),
        "url": format!("https://refusal.test/?email={}&gclid={}", visitor.email, visitor.cookie),
        "user_id": visitor.user_id,
        "traits": {"email": visitor.email},
    }]})
    .to_string()
}

fn send(server: &Server, key: &str, visitors: &[Visitor], consent: &str) {
    let mut client = server.client();
    for visitor in visitors {
        let cookie = format!("cairn_id={}", visitor.cookie);
        let headers = [
            ("x-forwarded-for", visitor.address.as_str()),
            ("user-agent", visitor.agent.as_str()),
            ("cookie", cookie.as_str()),
            ("origin", "https://refusal.test"),
            ("accept-language", "de-DE"),
        ];
        let answer =
            client.send("POST", "/e", &headers, body(key, visitor, consent).as_bytes()).unwrap();
        assert_eq!((answer.status, answer.outcome()), (202, "accepted"), "{}", answer.text());
    }
}

/// Everything that a message of Segment's API can say of a visitor, in every call that can say it.
fn messages(visitor: &Visitor, consent: &str, browser: bool) -> String {
    let Visitor { address, agent, cookie, email, user_id } = visitor;
    let context = json!({
        "ip": address, "userAgent": agent, "consent": consent, "groupId": user_id,
        "traits": {"email": email},
        "device": {"id": cookie, "advertisingId": cookie, "token": cookie},
        "page": {"url": format!("https://refusal.test/?email={email}&gclid={cookie}"),
            "search": format!("?email={email}"), "referrer": format!("https://a.test/?u={user_id}")},
    });
    let common = |kind: &str| {
        json!({"type": kind, "userId": user_id, "anonymousId": cookie, "context": context,
            "messageId": format!("{kind}-{browser}-{user_id}")})
    };
    let mut track = common("track");
    track["event"] = "Product Added".into();
    track["properties"] =
        json!({"product_id": "P", "url": format!("https://refusal.test/p?for={email}")});
    let mut identify = common("identify");
    identify["traits"] = json!({"email": email, "name": user_id});
    let mut group = common("group");
    (group["groupId"], group["traits"]) = (user_id.as_str().into(), json!({"email": email}));
    let mut alias = common("alias");
    alias["previousId"] = cookie.as_str().into();
    json!({"batch": [track, identify, group, alias]}).to_string()
}

/// The same visitors by way of Segment's API: from their browsers, or from the owner's server.
fn send_segment(server: &Server, key: &str, visitors: &[Visitor], consent: &str, browser: bool) {
    let mut client = server.client();
    let authorization = format!("Basic {}", BASE64_STANDARD.encode(format!("{key}:")));
    for visitor in visitors {
        let cookie = format!("cairn_id={}", visitor.cookie);
        let mut headers = vec![("authorization", authorization.as_str())];
        if browser {
            headers.extend([
                ("x-forwarded-for", visitor.address.as_str()),
                ("user-agent", visitor.agent.as_str()),
                ("cookie", cookie.as_str()),
                ("origin", "https://refusal.test"),
            ]);
        }
        let body = messages(visitor, consent, browser);
        let answer = client.send("POST", "/v1/batch", &headers, body.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.outcome()), (200, "accepted"), "{}", answer.text());
    }
}

/// Which visitors occur anywhere in the data directory, and where.
pub fn search(data: &Path, visitors: &[Visitor]) -> Vec<(usize, String)> {
    let texts = visitors.iter().map(|visitor| {
        let Visitor { address, agent, cookie, email, user_id } = visitor;
        vec![address.as_str(), agent, cookie, email, user_id]
    });
    search::search(data, &texts.collect::<Vec<_>>())
}

#[test]
fn nothing_of_a_refused_visitor_is_kept() {
    let directory = tempfile::TempDir::new().unwrap();
    let settings = [("CAIRN_SERVER__TRUSTED_PROXIES", "127.0.0.1")];
    let server = Server::start_in(directory.path(), &settings).unwrap();
    let (site, key) = server.site("refusal.test", &json!({"policy": "opt_in"}));
    let refused: Vec<Visitor> = (0..REFUSED).map(|number| visitor("refused", number)).collect();
    let canary = [visitor("canary", REFUSED)];
    send(&server, &key, &refused, "analytics:denied,ads:denied");
    send(&server, &key, &canary, "analytics:granted,ads:granted");
    let pixel = json!({"name": "Server", "kind": "server"});
    let pixel = server.api("POST", &format!("/api/v1/sites/{site}/pixels"), &pixel);
    let secret = pixel.json()["key"].as_str().unwrap().to_owned();
    let (denied, some) = ("analytics:denied,ads:denied", &refused[..BY_SEGMENT]);
    send_segment(&server, &key, some, denied, true);
    send_segment(&server, &secret, some, denied, false);
    send_segment(&server, &key, &canary, "analytics:granted,ads:granted", true);
    // Counted all the same: each address and agent is a visitor of today.
    let accepted = REFUSED + 1 + MESSAGES * (2 * BY_SEGMENT + 1);
    assert_eq!(server.outcomes(&site)["outcomes"]["accepted"], json!(accepted));
    let counted = server.totals(&site, &["visitors", "visits", "pageviews"]);
    assert_eq!(counted, [REFUSED as i64 + 1; 3]);
    assert_eq!(server.stop(), Some(0));

    let found = search(directory.path(), &canary);
    let places: Vec<&str> = found.iter().map(|(_, place)| place.as_str()).collect();
    assert!(places.iter().any(|place| place.contains("events of the store")), "{places:?}");
    assert!(places.iter().any(|place| place.contains("catalog")), "{places:?}");
    let found = search(directory.path(), &refused);
    println!("refusal: {REFUSED} refused visitors, {} places hold something of them", found.len());
    assert_eq!(found, []);
}

/// Recipients of mails in [`nothing_of_a_recipient_without_permission_is_kept`].
const RECIPIENTS: usize = 200;

/// A site with its pixels, and what its visitors are met by.
struct Shop<'s> {
    server: &'s Server,
    site: String,
    key: String,
    secret: String,
    /// Image and link of an advertisement.
    ad: [String; 2],
}

fn path_of(url: &serde_json::Value) -> String {
    let (_, path) = url.as_str().unwrap().split_once("://").unwrap();
    path[path.find('/').unwrap()..].to_owned()
}

/// A minute from now: a mail that is opened at once is opened by a machine.
fn later() -> String {
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    later.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis().to_string()
}

impl<'s> Shop<'s> {
    fn new(server: &'s Server) -> Self {
        let (site, key) = server.site("mail.test", &json!({"policy": "opt_out"}));
        let pixel = json!({"name": "Server", "kind": "server"});
        let pixel = server.api("POST", &format!("/api/v1/sites/{site}/pixels"), &pixel);
        let secret = pixel.json()["key"].as_str().unwrap().to_owned();
        let ad = json!({"campaign": "spring", "target": "https://mail.test/"});
        let ad = server.api("POST", &format!("/api/v1/sites/{site}/ads"), &ad).json();
        let image = path_of(&ad["impression_url"]);
        let image = image.split('?').next().unwrap().to_owned();
        let ad = [image, path_of(&ad["click_url"])];
        Shop { server, site, key, secret, ad }
    }

    /// What this visitor's browser is answered: (status, where it leads).
    fn get(&self, visitor: &Visitor, path: &str, referer: &str) -> (u16, String) {
        let cookie = format!("cairn_id={}", visitor.cookie);
        let later = later();
        let headers = [
            ("cairn-now", later.as_str()),
            ("x-forwarded-for", visitor.address.as_str()),
            ("user-agent", visitor.agent.as_str()),
            ("cookie", cookie.as_str()),
            ("accept-language", "de-DE"),
            ("referer", referer),
        ];
        let answer = self.server.client().send("GET", path, &headers, b"").unwrap();
        assert_eq!(answer.outcome(), "accepted", "{}", answer.text());
        (answer.status, answer.header("location").unwrap_or("").to_owned())
    }

    /// The page that a click led to is reported.
    fn land(&self, visitor: &Visitor, url: &str, consent: &str) {
        let url = url.replace('%', "%25").replace('&', "%26").replace('#', "%23");
        let path = format!("/p.gif?key={}&url={url}&consent=analytics:{consent}", self.key);
        assert_eq!(self.get(visitor, &path, "https://mail.test/").0, 200);
    }

    /// A mail for this recipient, opened, its link followed, its page reported: four events.
    fn mail(&self, recipient: &Visitor, said: &str, consent: &str) {
        let target = format!("https://mail.test/?email={}#{}", recipient.email, recipient.cookie);
        let mut person = json!({"user_id": recipient.user_id});
        if !said.is_empty() {
            (person["opens"], person["clicks"]) = (json!(said), json!(said));
        }
        let mail = json!({"campaign": "spring", "recipient": person,
            "html": format!("<a href=\"{target}\">x</a>")});
        let emails = format!("/api/v1/sites/{}/emails", self.site);
        let prepared = self.server.api("POST", &emails, &mail);
        assert_eq!(prepared.status, 201, "{}", prepared.text());
        let prepared = prepared.json();
        assert_eq!(self.get(recipient, &path_of(&prepared["open_url"]), "").0, 200);
        let (status, led) = self.get(recipient, &path_of(&prepared["links"][0]["url"]), "");
        let start = format!("https://mail.test/?email={}&cairn_click=", recipient.email);
        assert!(status == 302 && led.starts_with(&start), "{led}");
        self.land(recipient, &led, consent);
    }

    /// An advertisement, followed, shown and bought from: five events.
    fn advertisement(&self, visitor: &Visitor, consent: &str) {
        let Visitor { email, user_id, .. } = visitor;
        let [image, link] = &self.ad;
        let page = format!("https://news.test/?email={email}");
        let said = format!("{image}?cb=1&site=https%3A%2F%2Fnews.test%2F%3Fu%3D{user_id}");
        // At the same instant in the other order, it would be a machine's click.
        let (status, led) = self.get(visitor, link, &page);
        assert_eq!(status, 302);
        assert_eq!(self.get(visitor, &said, &page).0, 200);
        let (_, click_id) = led.split_once("cairn_click=").unwrap();
        self.land(visitor, &led, consent);
        let bought = format!(
            "key={}&user_id={user_id}&value=5&currency=EUR&click_id={click_id}&\
             url=https://mail.test/thanks?email={email}&consent=analytics:{consent}",
            self.secret
        );
        let later = later();
        let headers =
            [("cairn-now", &*later), ("content-type", "application/x-www-form-urlencoded")];
        let bought = bought.replace("?email", "%3Femail");
        let answer =
            self.server.client().send("POST", "/postback", &headers, bought.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.outcome()), (200, "accepted"), "{}", answer.text());
    }
}

#[test]
fn nothing_of_a_recipient_without_permission_is_kept() {
    let directory = tempfile::TempDir::new().unwrap();
    let settings =
        [("CAIRN_SERVER__TRUSTED_PROXIES", "127.0.0.1"), ("CAIRN_SERVER__TEST_CLOCK", "true")];
    let server = Server::start_in(directory.path(), &settings).unwrap();
    let shop = Shop::new(&server);
    let refused: Vec<Visitor> = (0..RECIPIENTS).map(|number| visitor("refused", number)).collect();
    let canary = [visitor("canary", RECIPIENTS)];
    for (number, recipient) in refused.iter().enumerate() {
        shop.mail(recipient, if number % 2 == 0 { "denied" } else { "" }, "denied");
        shop.advertisement(recipient, "denied");
    }
    shop.mail(&canary[0], "granted", "granted");
    shop.advertisement(&canary[0], "granted");
    let accepted = (4 + 5) * (RECIPIENTS + 1);
    assert_eq!(server.outcomes(&shop.site)["outcomes"]["accepted"], json!(accepted));
    let secret = shop.secret.clone();
    assert_eq!(server.stop(), Some(0));

    let found = search(directory.path(), &canary);
    assert!(found.iter().any(|(_, place)| place.contains("catalog")), "{found:?}");
    assert!(found.iter().any(|(_, place)| place.contains("events of the store")), "{found:?}");
    assert_eq!(search(directory.path(), &refused), []);
    let mut kept = BTreeMap::new();
    files(directory.path(), &mut kept);
    kept.retain(|_, bytes| bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
    let places: Vec<_> = kept.keys().filter(|place| !place.contains("catalog")).collect();
    assert!(places.is_empty(), "a server's key is in {places:?}");
}
