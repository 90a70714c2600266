//! What a site's pixels leave in browsers, generated from its settings: for the owner, and for his privacy policy.
//!
//! Guarantees: every name, purpose and lifetime is taken from what sets it. What browsers make of a lifetime is a table of
//! what their makers say (WebKit's tracking prevention, RFC 6265bis, CHIPS), not a measurement of this site's visitors: which
//! network the hosts are in is not looked up.

use std::fmt::Write;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use cairn_engine::ingest::cookies::{CONSENT_COOKIE, ID_COOKIE, MEMORY_COOKIE};
use cairn_engine::ingest::page::origin_host;
use cairn_model::limits::COOKIE_AGE_DAYS_MAX;
use cairn_model::memory::KINDS;
use cairn_model::{PixelKind, Purpose, Site};
use http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::auth::{Connection, SiteAccess};

/// Days that Safari leaves to what a host sets whose name or network is not the page's own.
const SAFARI_CAPPED_DAYS: u32 = 7;

/// What a site's pixels leave in browsers.
#[derive(Serialize, ToSchema)]
#[schema(as = CookieReport)]
pub struct ReportBody {
    /// The host that sets the cookies.
    #[schema(example = "stats.shop.example")]
    pub collector: String,
    /// Hosts of the site's pages, and how they stand to that host.
    pub pages: Vec<PagesBody>,
    /// Cookies, and what else is kept in browsers.
    pub cookies: Vec<CookieBody>,
    /// What `cairn_memory` may lead to, on the server.
    pub remembered: Vec<RememberedBody>,
    /// The same as text for a privacy policy.
    pub markdown: String,
}

/// Hosts of pages.
#[derive(Serialize, ToSchema, Clone)]
#[schema(as = CookiePages)]
pub struct PagesBody {
    /// A host; its subdomains belong to it where it is the site's domain.
    #[schema(example = "shop.example")]
    pub host: String,
    /// `own_host`, `subdomain` (of the page's host, or above it) or `elsewhere`.
    #[schema(example = "subdomain")]
    pub collector_is: &'static str,
    /// Whether any cookie is set there: elsewhere only where the site's settings say so.
    pub sets_cookies: bool,
}

/// A cookie, or an entry of the browser's storage.
#[derive(Serialize, ToSchema)]
#[schema(as = CookieEntry)]
pub struct CookieBody {
    /// Its name; `KEY` stands for the pixel's key.
    #[schema(example = "cairn_id")]
    pub name: &'static str,
    /// `cookie` or `local_storage`.
    pub kind: &'static str,
    /// Purpose whose permission it needs; `choice`: it holds the visitor's choice, and is set by it.
    #[schema(example = "analytics")]
    pub purpose: &'static str,
    /// What it holds.
    pub holds: &'static str,
    /// When it is set.
    pub set: &'static str,
    /// Days it is set for; null: until it was delivered.
    #[schema(required)]
    pub lifetime_days: Option<u32>,
    /// Its attributes on the site's own pages; empty: it is no cookie.
    pub attributes: &'static str,
    /// Names of the pixels that set it.
    pub pixels: Vec<String>,
    /// What becomes of the lifetime in browsers.
    pub practice: Vec<PracticeBody>,
}

/// What browsers make of it.
#[derive(Serialize, ToSchema)]
#[schema(as = CookiePractice)]
pub struct PracticeBody {
    /// Host of the pages.
    pub host: String,
    /// The browser.
    #[schema(example = "Safari")]
    pub browser: &'static str,
    /// Days it lives at least, as far as the browser decides that; 0: it may not be kept at all.
    pub days_min: u32,
    /// Days it lives at most.
    pub days_max: u32,
    /// Why.
    pub why: &'static str,
}

/// A kind of thing that is remembered.
#[derive(Serialize, ToSchema)]
#[schema(as = RememberedKind)]
pub struct RememberedBody {
    /// Its name; `*`: names of the site's own.
    pub name: &'static str,
    /// What it holds.
    pub holds: &'static str,
    /// Purpose whose permission it needs.
    pub purpose: &'static str,
    /// Days it is kept after its last change.
    pub lifetime_days: u32,
}

/// Where the collector stands, seen from a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    OwnHost,
    Subdomain,
    Elsewhere,
}

/// Tells what the site's pixels leave in browsers: names, purposes, lifetimes as set and in practice. Generated from the
/// site's settings and pixels; `markdown` is a text for its privacy policy.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}/cookies", tag = "sites",
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 200, body = ReportBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
) -> Json<ReportBody> {
    let https = connection.is_some_and(|Extension(connection)| connection.https);
    let origin = app.public_origin(&headers, https);
    let collector = origin_host(&origin).map_or_else(String::new, |host| host.to_string());
    let site = access.site();
    let pixels: Vec<(PixelKind, String)> =
        access.entry().pixels.iter().map(|pixel| (pixel.kind, pixel.name.clone())).collect();
    Json(report(site, &collector, &pixels))
}

fn report(site: &Site, collector: &str, pixels: &[(PixelKind, String)]) -> ReportBody {
    let places: Vec<(String, Place)> = std::iter::once(&site.domain)
        .chain(site.hosts.iter().filter(|host| **host != site.domain))
        .map(|host| (host.clone(), place(host, collector)))
        .collect();
    let chosen = site.privacy.cross_site_cookies;
    let pages = places
        .iter()
        .map(|(host, place)| PagesBody {
            host: host.clone(),
            collector_is: match place {
                Place::OwnHost => "own_host",
                Place::Subdomain => "subdomain",
                Place::Elsewhere => "elsewhere",
            },
            sets_cookies: *place != Place::Elsewhere || chosen,
        })
        .collect();
    let cookies = entries()
        .into_iter()
        .filter_map(|(mut entry, kinds)| {
            let of_kind = pixels.iter().filter(|(kind, _)| kinds.contains(kind));
            entry.pixels = of_kind.map(|(_, name)| name.clone()).collect();
            entry.practice = places
                .iter()
                .flat_map(|(host, place)| practice(&entry, host, *place, chosen))
                .collect();
            (!entry.pixels.is_empty() && !entry.practice.is_empty()).then_some(entry)
        })
        .collect();
    let remembered = KINDS
        .iter()
        .map(|kind| RememberedBody {
            name: kind.name,
            holds: kind.holds,
            purpose: kind.purpose.name(),
            lifetime_days: kind.lifetime_days,
        })
        .collect();
    let collector = collector.to_owned();
    let mut body = ReportBody { collector, pages, cookies, remembered, markdown: String::new() };
    body.markdown = markdown(&body);
    body
}

fn place(page: &str, collector: &str) -> Place {
    let is_below = |host: &str, above: &str| {
        host.strip_suffix(above).is_some_and(|before| before.ends_with('.'))
    };
    match () {
        () if page == collector => Place::OwnHost,
        () if is_below(collector, page) || is_below(page, collector) => Place::Subdomain,
        () => Place::Elsewhere,
    }
}

/// Everything that is left in a browser, and by pixels of which kinds.
fn entries() -> [(CookieBody, &'static [PixelKind]); 4] {
    let cookie = |name, purpose, holds, set, attributes| CookieBody {
        name,
        kind: "cookie",
        purpose,
        holds,
        set,
        lifetime_days: Some(COOKIE_AGE_DAYS_MAX),
        attributes,
        pixels: Vec::new(),
        practice: Vec::new(),
    };
    [
        (
            cookie(
                CONSENT_COOKIE,
                "choice",
                "the choice itself: each purpose with yes or no, and when; no identifier",
                "by a choice, yes or no",
                "SameSite=Lax; Secure on HTTPS",
            ),
            &[PixelKind::Web, PixelKind::Image],
        ),
        (
            cookie(
                ID_COOKIE,
                Purpose::Analytics.name(),
                "a random number by which the site sees that the browser comes back",
                "with permission for analytics; never prolonged",
                "HttpOnly; SameSite=Lax; Secure on HTTPS",
            ),
            &[PixelKind::Web, PixelKind::Image],
        ),
        (
            cookie(
                MEMORY_COOKIE,
                Purpose::Functional.name(),
                "a random number by which the site finds what the visitor had it remember",
                "with permission for functional, when something is remembered; set anew with each change",
                "HttpOnly; SameSite=Lax; Secure on HTTPS",
            ),
            &[PixelKind::Web],
        ),
        (
            CookieBody {
                kind: "local_storage",
                lifetime_days: None,
                ..cookie(
                    "cairn:KEY",
                    Purpose::Analytics.name(),
                    "reports of this page that could not be delivered",
                    "with permission for analytics, when the collector could not be reached; removed when it was",
                    "",
                )
            },
            &[PixelKind::Web],
        ),
    ]
}

fn practice(entry: &CookieBody, host: &str, place: Place, chosen: bool) -> Vec<PracticeBody> {
    let row = |browser, (days_min, days_max), why| PracticeBody {
        host: host.to_owned(),
        browser,
        days_min,
        days_max,
        why,
    };
    let whole = (COOKIE_AGE_DAYS_MAX, COOKIE_AGE_DAYS_MAX);
    let capped = (SAFARI_CAPPED_DAYS, COOKIE_AGE_DAYS_MAX);
    let maybe = (0, COOKIE_AGE_DAYS_MAX);
    let private = row("Private windows", (0, 1), "until the last of them is closed");
    let safari_capped = (0, SAFARI_CAPPED_DAYS);
    if entry.kind == "local_storage" {
        return vec![
            row("Chrome, Edge, Firefox", maybe, "until it was delivered"),
            row(
                "Safari",
                safari_capped,
                "at most 7 days of use without a click or key on the site",
            ),
            private,
        ];
    }
    match place {
        Place::Elsewhere if !chosen => Vec::new(),
        Place::OwnHost => vec![
            row("Chrome, Edge", whole, "as set; at most 400 days"),
            row("Firefox", whole, "as set; at most 400 days"),
            row("Safari", whole, "as set, since the page's own host sets it by HTTP"),
            private,
        ],
        Place::Subdomain => vec![
            row("Chrome, Edge", whole, "as set; at most 400 days"),
            row("Firefox", whole, "as set; at most 400 days"),
            row(
                "Safari",
                capped,
                "7 days where the collector's host is a CNAME to another domain, or in another network than the page's",
            ),
            private,
        ],
        Place::Elsewhere => vec![
            row("Chrome, Edge", whole, "partitioned: another one on each site; since version 114"),
            row(
                "Firefox",
                maybe,
                "partitioned, since version 141; before, and in strict mode, none",
            ),
            row("Safari", maybe, "partitioned, since version 26.2; before, none"),
            row("Private windows", (0, 1), "mostly none"),
        ],
    }
}

fn markdown(report: &ReportBody) -> String {
    let mut text = String::from("## Cookies\n\n");
    // Writing to a String cannot fail.
    if report.cookies.is_empty() {
        text.push_str("Our measurement sets no cookies and keeps nothing in your browser.\n");
        return text;
    }
    let _ = writeln!(
        text,
        "They are set by `{}`, none before you chose (or, where the law lets us, before you objected).\n\n\
         | name | what for | what it holds | when it is set | how long |\n|---|---|---|---|---|",
        report.collector
    );
    for entry in &report.cookies {
        let lifetime = match entry.lifetime_days {
            Some(days) => format!("{days} days"),
            None => "until it was delivered".to_owned(),
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {lifetime} |",
            entry.name, entry.purpose, entry.holds, entry.set
        );
    }
    text.push_str("\n### How long they live in practice\n\n| name | on | browser | days | why |\n|---|---|---|---|---|\n");
    for entry in &report.cookies {
        for practice in &entry.practice {
            let days = match (practice.days_min, practice.days_max) {
                (least, most) if least == most => most.to_string(),
                (0, most) => format!("up to {most}"),
                (least, most) => format!("{least} to {most}"),
            };
            let (host, browser, why) = (&practice.host, practice.browser, practice.why);
            let _ = writeln!(text, "| `{}` | {host} | {browser} | {days} | {why} |", entry.name);
        }
    }
    if report.cookies.iter().any(|entry| entry.name == MEMORY_COOKIE) {
        text.push_str("\n### What we remember for you, if you let us\n\n| what | holds | days after the last change |\n|---|---|---|\n");
        for kind in &report.remembered {
            let name = if kind.name == "*" { "other names" } else { kind.name };
            let _ = writeln!(text, "| {name} | {} | {} |", kind.holds, kind.lifetime_days);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_model::{PrivacySettings, SiteId};

    fn site(hosts: &[&str], cross_site_cookies: bool) -> Site {
        Site {
            asking: Default::default(),
            id: SiteId(1),
            name: "Shop".into(),
            domain: "shop.example".into(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            timezone: "UTC".into(),
            currency: "EUR".into(),
            privacy: PrivacySettings { cross_site_cookies, ..PrivacySettings::default() },
            created_at_ms: 0,
        }
    }

    fn pixels(kinds: &[PixelKind]) -> Vec<(PixelKind, String)> {
        kinds.iter().map(|kind| (*kind, format!("Our {}", kind.name()))).collect()
    }

    fn names(report: &ReportBody) -> Vec<&'static str> {
        report.cookies.iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn each_kind_of_pixel_leaves_what_it_leaves() {
        let of =
            |kinds: &[PixelKind]| names(&report(&site(&[], false), "shop.example", &pixels(kinds)));
        assert_eq!(of(&[PixelKind::Image]), ["cairn_consent", "cairn_id"]);
        let web = ["cairn_consent", "cairn_id", "cairn_memory", "cairn:KEY"];
        assert_eq!(of(&[PixelKind::Web]), web);
        let none = [PixelKind::Server, PixelKind::App, PixelKind::Email, PixelKind::Ad];
        assert!(of(&none).is_empty(), "{:?}", of(&none));
        let both =
            report(&site(&[], false), "shop.example", &pixels(&[PixelKind::Web, PixelKind::Image]));
        assert_eq!(both.cookies[1].pixels, ["Our web", "Our image"]);
        assert_eq!(both.cookies[2].pixels, ["Our web"]);
    }

    #[test]
    fn safari_and_the_settings_decide_how_long() {
        let safari = |collector: &str, chosen: bool, host: &str| {
            let report =
                report(&site(&["pay.example"], chosen), collector, &pixels(&[PixelKind::Web]));
            let id = report.cookies.into_iter().find(|entry| entry.name == ID_COOKIE);
            let rows = id.map(|id| id.practice).unwrap_or_default();
            let found = rows.into_iter().find(|row| row.host == host && row.browser == "Safari");
            found.map(|row| (row.days_min, row.days_max))
        };
        assert_eq!(safari("shop.example", false, "shop.example"), Some((395, 395)));
        assert_eq!(safari("stats.shop.example", false, "shop.example"), Some((7, 395)));
        assert_eq!(safari("stats.shop.example", false, "pay.example"), None, "no cookie at all");
        assert_eq!(safari("stats.shop.example", true, "pay.example"), Some((0, 395)));
        assert_eq!(safari("stats.other.example", false, "shop.example"), None);
        assert!(place("notshop.example", "shop.example") == Place::Elsewhere);
        let twice =
            report(&site(&["shop.example"], false), "shop.example", &pixels(&[PixelKind::Web]));
        assert_eq!(twice.pages.len(), 1, "a domain among the further hosts is no second one");
    }

    #[test]
    fn the_text_has_every_row() {
        let body = report(&site(&[], false), "stats.shop.example", &pixels(&[PixelKind::Web]));
        for wanted in
            ["`cairn_consent`", "`cairn_id`", "`cairn_memory`", "recently_seen", "7 to 395"]
        {
            assert!(body.markdown.contains(wanted), "{wanted}: {}", body.markdown);
        }
        let none = report(&site(&[], false), "stats.shop.example", &[]);
        assert!(none.markdown.contains("sets no cookies"));
    }
}
