//! Where a visit came from: source, medium, campaign, click id and GA4 channel.
//!
//! In this order: campaign parameters of the page address, click ids, the referring site. What a link
//! says explicitly wins over what is inferred. A referrer of the site itself, or of a payment
//! provider in the middle of a purchase, says nothing and counts as none. It cannot tell a link in
//! an app or a mail program, which sends no referrer, from a typed address: both are `Direct`.

mod address;
mod channel;
mod click_id;
mod hosts;

use std::borrow::Cow;
use std::sync::Arc;

pub use channel::{Category, channel_group};
pub use click_id::ClickId;

use address::{Parts, decoded, lower, normal_host, pairs, parts};
use click_id::CLICK_KINDS;
use hosts::{Hosts, SiteKind};

use crate::cache::Cache;

/// Bytes of one campaign value or click id that are kept.
pub const VALUE_BYTES_MAX: usize = 512;

/// What attribution looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct SourceFacts<'a> {
    /// Address of the page, with its query.
    pub url: &'a str,
    /// `document.referrer` or what the caller gave for it.
    pub referrer: &'a str,
    /// The site's domain and the others it lists; subdomains belong to them.
    pub own_hosts: &'a [String],
    /// Further hosts whose referrals are ignored (payment providers of the site's own).
    pub ignored_hosts: &'a [String],
}

/// Campaign parameters as they were in the address, decoded; empty where absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Utm {
    /// `utm_source` and its relatives.
    pub source: String,
    /// `utm_medium`.
    pub medium: String,
    /// `utm_campaign`.
    pub campaign: String,
    /// `utm_content`.
    pub content: String,
    /// `utm_term`.
    pub term: String,
}

/// Where a visit came from. A visit without any sign of its origin has the channel `Direct` and
/// is empty otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// Name of the source as shown (`Google`, `Facebook`, a host, or `utm_source` as given).
    pub source: Cow<'static, str>,
    /// Medium: `utm_medium`, or `organic social referral email ai-assistant cpc …` as inferred.
    pub medium: Cow<'static, str>,
    /// One of GA4's default channel groups.
    pub channel: &'static str,
    /// Host and path of the referrer, without scheme, `www.`, query and fragment.
    pub referrer: String,
    /// Campaign parameters as given.
    pub utm: Utm,
    /// The click id; for consented hits only.
    pub click_id: Option<ClickId>,
    /// What was searched for, where the referrer still says so; for consented hits only.
    pub keyword: String,
}

/// The tables behind attribution, with a bounded cache in front.
pub struct Sources {
    hosts: Hosts,
    cache: Cache<Attribution>,
}

/// Times [`crate::cache::WAYS`] attributions are remembered.
const CACHE_SETS: usize = 256;
/// Page queries and referrers up to this size are asked for again; longer ones hardly ever.
const CACHED_SIZE_BYTES_MAX: usize = 512;

/// What the page address says.
#[derive(Default)]
struct Campaign {
    utm: Utm,
    /// `source` or `ref`, which count only without `utm_source`.
    fallback: String,
    click_rank: Option<usize>,
    click_value: String,
}

impl Sources {
    /// Builds the tables; takes a millisecond, once.
    pub fn new() -> Self {
        Self { hosts: Hosts::new(), cache: Cache::new(CACHE_SETS) }
    }

    /// The GA4 category of a source, by name or host, in any case.
    pub fn category(&self, source: &str) -> Option<Category> {
        self.hosts.category(&source.trim().to_lowercase())
    }

    /// The GA4 channel of a source, medium and campaign.
    pub fn channel(&self, source: &str, medium: &str, campaign: &str) -> &'static str {
        channel_group(source, medium, campaign, self.category(source))
    }

    /// Where this hit came from, from the cache if the same was asked lately. Pages of a site differ by their
    /// paths, which do not matter here. What has a click id does not come again.
    pub fn attribute(&self, facts: &SourceFacts<'_>) -> Arc<Attribution> {
        let page = parts(facts.url);
        let (host, query) = page.as_ref().map_or(("", ""), |page| (&*page.host, page.query));
        if query.len() + facts.referrer.len() > CACHED_SIZE_BYTES_MAX {
            return Arc::new(self.attribute_uncached(facts, page.as_ref()));
        }
        let own = facts.own_hosts.iter().map(String::as_str);
        let ignored = facts.ignored_hosts.iter().map(String::as_str);
        let asked = [host, query, facts.referrer].into_iter();
        // No host is empty: it keeps the two lists apart.
        let key = self.cache.key(asked.chain(own).chain([""]).chain(ignored));
        if let Some(known) = self.cache.get(key) {
            return known;
        }
        let found = Arc::new(self.attribute_uncached(facts, page.as_ref()));
        if found.click_id.is_none() {
            self.cache.put(key, Arc::clone(&found));
        }
        found
    }

    fn attribute_uncached(&self, facts: &SourceFacts<'_>, page: Option<&Parts<'_>>) -> Attribution {
        let campaign = page.map(campaign_of).unwrap_or_default();
        let referrer =
            parts(facts.referrer).filter(|referrer| !self.is_ignored(referrer, page, facts));
        let mut found = Attribution {
            source: Cow::Borrowed(""),
            medium: Cow::Borrowed(""),
            channel: "Direct",
            referrer: referrer.as_ref().map(shown).unwrap_or_default(),
            utm: campaign.utm,
            click_id: None,
            keyword: String::new(),
        };
        if let Some(referrer) = &referrer {
            self.take_referrer(&mut found, referrer);
        }
        if let Some(rank) = campaign.click_rank {
            take_click(&mut found, rank, campaign.click_value);
        }
        self.take_campaign(&mut found);
        let raw = self.category(&found.utm.source).or_else(|| self.category(&found.source));
        found.channel = channel_group(&found.source, &found.medium, &found.utm.campaign, raw);
        found
    }

    fn take_referrer(&self, found: &mut Attribution, referrer: &Parts<'_>) {
        let host = referrer.host.strip_prefix("www.").unwrap_or(&referrer.host);
        let is_app = matches!(referrer.scheme.as_ref(), "android-app" | "ios-app");
        let Some(site) = self.hosts.site(referrer) else {
            found.source = Cow::Owned(host.to_owned());
            found.medium = Cow::Borrowed(if is_app { "app" } else { "referral" });
            return;
        };
        found.source = match site.name {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(host.to_owned()),
        };
        found.keyword = site.keyword;
        found.medium = Cow::Borrowed(match site.kind {
            SiteKind::Search => "organic",
            // GA4 keeps video sites apart from social networks.
            SiteKind::Social if self.category(&found.source) == Some(Category::Video) => "referral",
            SiteKind::Social => "social",
            SiteKind::Ai => "ai-assistant",
            SiteKind::Mail => "email",
            SiteKind::Ads if host.ends_with("doubleclick.net") => "display",
            SiteKind::Ads => "cpc",
            SiteKind::App => "app",
        });
    }

    /// What the link says explicitly wins over what was inferred.
    fn take_campaign(&self, found: &mut Attribution) {
        let given = found.utm.source.trim();
        if !given.is_empty() {
            let (stem, is_paid) = without_ads(given);
            let name = self.hosts.name(given).or_else(|| self.hosts.name(stem));
            let is_known_ad = is_paid && name.is_some() || given.eq_ignore_ascii_case("adwords");
            found.medium = Cow::Borrowed(match name {
                _ if is_known_ad => "paid",
                Some((_, SiteKind::Ai)) => "ai-assistant",
                Some((_, SiteKind::Mail)) => "email",
                _ => "",
            });
            found.source = match name {
                Some((name, _)) => Cow::Borrowed(name),
                None => Cow::Owned(given.to_owned()),
            };
        }
        if !found.utm.medium.is_empty() {
            found.medium = Cow::Owned(found.utm.medium.clone());
        }
    }

    fn is_ignored(
        &self,
        referrer: &Parts<'_>,
        page: Option<&Parts<'_>>,
        facts: &SourceFacts<'_>,
    ) -> bool {
        let host = referrer.host.as_ref();
        let is_own = |own: &str| match parts(own) {
            Some(own) => is_within(host, &own.host) && referrer.path.starts_with(own.path),
            None => normal_host(own).is_some_and(|own| is_within(host, &own)),
        };
        page.is_some_and(|page| is_within(host, page.host.as_ref()))
            || facts.own_hosts.iter().any(|own| match parts(own) {
                Some(own) => is_within(host, &own.host),
                None => is_own(own),
            })
            || facts.ignored_hosts.iter().any(|ignored| is_own(ignored))
            || self.hosts.is_payment(host)
    }
}

/// `fb-ads`, `google_ads`, `tiktokads`: the name without the ending, and whether it had one.
fn without_ads(source: &str) -> (&str, bool) {
    let lower = source.to_ascii_lowercase();
    for ending in ["-ads", "_ads", " ads", "-ad", "_ad", "ads", "ad"] {
        if lower.ends_with(ending) && lower.len() > ending.len() {
            return (&source[..source.len() - ending.len()], true);
        }
    }
    (source, false)
}

fn take_click(found: &mut Attribution, rank: usize, value: String) {
    let kind = &CLICK_KINDS[rank];
    let is_paid = !matches!(kind.medium, "social" | "organic" | "email");
    if is_paid || found.source.is_empty() || kind.medium == "email" {
        found.source = Cow::Borrowed(kind.label);
        found.medium = Cow::Borrowed(kind.medium);
    }
    if kind.is_identifier {
        found.click_id = Some(ClickId { kind: kind.name, value });
    }
}

impl Default for Sources {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a host is another one or a subdomain of it; `www.` of either does not count.
fn is_within(host: &str, parent: &str) -> bool {
    let host = host.strip_prefix("www.").unwrap_or(host);
    let parent = parent.strip_prefix("www.").unwrap_or(parent);
    host == parent || host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

fn shown(referrer: &Parts<'_>) -> String {
    let host = referrer.host.strip_prefix("www.").unwrap_or(&referrer.host);
    let path = referrer.path.trim_end_matches('/');
    format!("{host}{path}")
}

fn campaign_of(page: &Parts<'_>) -> Campaign {
    let mut campaign = Campaign::default();
    for (key, value) in pairs(page.query) {
        if value.is_empty() {
            continue;
        }
        let key = lower(key);
        if let Some(field) = utm_field(&mut campaign.utm, &key) {
            if field.is_empty() {
                *field = kept(value);
            }
        } else if matches!(key.as_ref(), "source" | "ref") {
            if campaign.fallback.is_empty() {
                campaign.fallback = kept(value);
            }
        } else {
            let best = campaign.click_rank.unwrap_or(usize::MAX);
            if let Some(rank) = click_id::rank_of(&key).filter(|&rank| rank < best) {
                campaign.click_rank = Some(rank);
                campaign.click_value = kept(value);
            }
        }
    }
    if campaign.utm.source.is_empty() {
        campaign.utm.source = std::mem::take(&mut campaign.fallback);
    }
    campaign
}

fn utm_field<'u>(utm: &'u mut Utm, key: &str) -> Option<&'u mut String> {
    let stem = ["utm_", "mtm_", "pk_", "matomo_", "piwik_"]
        .iter()
        .find_map(|prefix| key.strip_prefix(prefix));
    match stem {
        Some("source") => Some(&mut utm.source),
        Some("medium") => Some(&mut utm.medium),
        Some("campaign" | "cpn") => Some(&mut utm.campaign),
        Some("content") => Some(&mut utm.content),
        Some("term" | "keyword" | "kwd") => Some(&mut utm.term),
        _ => None,
    }
}

fn kept(value: &str) -> String {
    let mut value = decoded(value);
    if value.len() > VALUE_BYTES_MAX {
        let mut end = VALUE_BYTES_MAX;
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        value.truncate(end);
    }
    value
}
