//! Which site a referrer or a `utm_source` belongs to: search, social, video, shopping, AI, mail.
//!
//! Hosts come from the Matomo list (CC0) and GA4's categories from dbt-ga4 (MIT), both shipped in
//! `data/`; mail services, apps, advertising networks and short names are listed here. A host in none
//! of them is an ordinary referral.

use std::collections::HashMap;

use super::address::{Parts, decoded, pairs};
use super::channel::Category;

const MATOMO: &str = include_str!("../../data/referrers_matomo.tsv");
const GA4: &str = include_str!("../../data/sources_ga4.tsv");

/// What a referring site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SiteKind {
    Search,
    Social,
    Ai,
    Mail,
    Ads,
    App,
}

/// A known referring site.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub kind: SiteKind,
    pub name: &'static str,
    keyword_parameters: &'static str,
    hides_keyword: bool,
    path: &'static str,
}

/// The tables, built once.
pub(super) struct Hosts {
    exact: HashMap<&'static str, Vec<Site>>,
    suffix: HashMap<&'static str, Site>,
    /// First label of hosts that exist under many countries (`google.{}`).
    countries: HashMap<&'static str, Vec<Site>>,
    categories: HashMap<&'static str, Category>,
}

/// Mail services, apps and advertising networks: kind, host (its subdomains included), name.
const OWN: &[(SiteKind, &str, &str)] = &[
    (SiteKind::Mail, "mail.google.com", "Gmail"),
    (SiteKind::Mail, "com.google.android.gm", "Gmail"),
    (SiteKind::Mail, "outlook.live.com", "Outlook.com"),
    (SiteKind::Mail, "outlook.office.com", "Outlook.com"),
    (SiteKind::Mail, "outlook.office365.com", "Outlook.com"),
    (SiteKind::Mail, "mail.live.com", "Outlook.com"),
    (SiteKind::Mail, "com.microsoft.office.outlook", "Outlook.com"),
    (SiteKind::Mail, "mail.yahoo.com", "Yahoo! Mail"),
    (SiteKind::Ads, "doubleclick.net", "Google"),
    (SiteKind::Ads, "googlesyndication.com", "Google"),
    (SiteKind::Ads, "googleadservices.com", "Google"),
    (SiteKind::Ads, "adsensecustomsearchads.com", "Google"),
];

impl Hosts {
    pub(super) fn new() -> Self {
        let mut hosts = Self {
            exact: HashMap::new(),
            suffix: HashMap::new(),
            countries: HashMap::new(),
            categories: HashMap::new(),
        };
        for line in lines(MATOMO) {
            let mut fields = line.split('\t');
            let mut next = || fields.next().unwrap_or("");
            let (kind, place, name, keyword_parameters, hides) =
                (next(), next(), next(), next(), next());
            let kind = match kind {
                "search" => SiteKind::Search,
                "social" => SiteKind::Social,
                _ => SiteKind::Ai,
            };
            let (host, path) = place.find('/').map_or((place, ""), |at| place.split_at(at));
            let hides_keyword = hides == "1";
            let site = Site { kind, name, keyword_parameters, hides_keyword, path };
            hosts.insert(host.strip_prefix("www.").unwrap_or(host), site);
        }
        for &(kind, host, name) in OWN {
            let site = Site { kind, name, keyword_parameters: "", hides_keyword: true, path: "" };
            hosts.suffix.insert(host, site);
        }
        for line in lines(GA4) {
            let Some((source, category)) = line.split_once('\t') else { continue };
            let category = match category {
                "search" => Category::Search,
                "social" => Category::Social,
                "video" => Category::Video,
                _ => Category::Shopping,
            };
            hosts.categories.insert(source, category);
        }
        hosts
    }

    fn insert(&mut self, host: &'static str, site: Site) {
        if let Some(label) = host.strip_suffix(".{}") {
            self.countries.entry(label).or_default().push(site);
        } else if let Some(parent) = host.strip_prefix("{}.") {
            self.suffix.entry(parent).or_insert(site);
        } else if site.kind == SiteKind::Search || !site.path.is_empty() {
            self.exact.entry(host).or_default().push(site);
        } else {
            self.suffix.insert(host, site);
        }
    }

    /// GA4's category of a source as it would be reported: a name or a host, lower case.
    pub(super) fn category(&self, source: &str) -> Option<Category> {
        self.categories.get(source).copied()
    }

    /// The known site of a referrer and the keyword it still carries.
    pub(super) fn site(&self, parts: &Parts<'_>) -> Option<(&Site, String)> {
        let host = parts.host.strip_prefix("www.").unwrap_or(&parts.host);
        let exact = self.exact.get(host).into_iter().flatten();
        let country = country_label(host).and_then(|label| self.countries.get(label));
        let candidates = exact.chain(country.into_iter().flatten());
        let best = candidates
            .filter(|site| parts.path.starts_with(site.path))
            .max_by_key(|site| site.path.len());
        let site = best.or_else(|| suffixes(host).find_map(|host| self.suffix.get(host)))?;
        let word = keyword(site, parts);
        let is_search = site.kind != SiteKind::Search || site.hides_keyword || word.is_some();
        (is_search || self.category(host) == Some(Category::Search))
            .then(|| (site, word.unwrap_or_default()))
    }
}

fn lines(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn keyword(site: &Site, parts: &Parts<'_>) -> Option<String> {
    let wanted = site.keyword_parameters.split(',').filter(|name| !name.is_empty());
    for name in wanted {
        let all = pairs(parts.query).chain(pairs(parts.fragment));
        let found = all.filter(|(key, value)| *key == name && !value.is_empty()).last();
        if let Some((_, value)) = found {
            return Some(decoded(value).trim().to_owned());
        }
    }
    None
}

/// A host and its parents: `a.b.c`, `b.c`, `c`.
fn suffixes(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(host), |host| host.split_once('.').map(|(_, rest)| rest))
}

/// `google` of `google.de`, `google.co.uk`, `google.com.hk`; everything before the country.
fn country_label(host: &str) -> Option<&str> {
    let (rest, last) = host.rsplit_once('.')?;
    let is_generic = matches!(last, "com" | "net" | "org" | "info" | "cat");
    if last.len() != 2 && !is_generic {
        return None;
    }
    match rest.rsplit_once('.') {
        Some((label, "co" | "com" | "net" | "org" | "or" | "ne")) => Some(label),
        _ => Some(rest),
    }
}
