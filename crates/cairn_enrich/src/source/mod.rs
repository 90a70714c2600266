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

pub use channel::{Category, channel_group};
pub use click_id::ClickId;

use address::{Parts, decoded, lower, normal_host, pairs, parts};
use click_id::CLICK_KINDS;
use hosts::{Hosts, SiteKind};

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

/// The tables behind attribution.
pub struct Sources {
    hosts: Hosts,
}

/// What the page address says.
#[derive(Default)]
struct Campaign {
    utm: Utm,
    click_rank: Option<usize>,
    click_value: String,
}

impl Sources {
    /// Builds the tables; takes a millisecond, once.
    pub fn new() -> Self {
        Self { hosts: Hosts::new() }
    }

    /// The GA4 category of a source, by name or host, in any case.
    pub fn category(&self, source: &str) -> Option<Category> {
        self.hosts.category(&source.trim().to_lowercase())
    }

    /// The GA4 channel of a source, medium and campaign.
    pub fn channel(&self, source: &str, medium: &str, campaign: &str) -> &'static str {
        channel_group(source, medium, campaign, self.category(source))
    }

    /// Where this hit came from.
    pub fn attribute(&self, facts: &SourceFacts<'_>) -> Attribution {
        let page = parts(facts.url);
        let campaign = page.as_ref().map(campaign_of).unwrap_or_default();
        let referrer = parts(facts.referrer)
            .filter(|referrer| !self.is_ignored(referrer, page.as_ref(), facts));
        let mut found = Attribution {
            source: Cow::Borrowed(""),
            medium: Cow::Borrowed(""),
            channel: "Direct",
            referrer: referrer.as_ref().map(shown).unwrap_or_default(),
            utm: campaign.utm.clone(),
            click_id: None,
            keyword: String::new(),
        };
        if let Some(referrer) = &referrer {
            self.from_referrer(&mut found, referrer);
        }
        if !found.utm.source.is_empty() {
            found.source = Cow::Owned(found.utm.source.clone());
            found.medium = Cow::Borrowed("");
        }
        if !found.utm.medium.is_empty() {
            found.medium = Cow::Owned(found.utm.medium.clone());
        }
        if let Some(rank) = campaign.click_rank {
            let kind = &CLICK_KINDS[rank];
            if found.utm.source.is_empty() && !kind.medium.is_empty() {
                found.source = Cow::Borrowed(kind.label);
                found.medium = Cow::Borrowed(kind.medium);
            }
            if kind.is_identifier {
                found.click_id = Some(ClickId { kind: kind.name, value: campaign.click_value });
            }
        }
        found.channel = self.channel(&found.source, &found.medium, &found.utm.campaign);
        found
    }

    fn from_referrer(&self, found: &mut Attribution, referrer: &Parts<'_>) {
        let Some((site, keyword)) = self.hosts.site(referrer) else {
            let host = referrer.host.strip_prefix("www.").unwrap_or(&referrer.host);
            found.source = Cow::Owned(host.to_owned());
            found.medium = Cow::Borrowed("referral");
            return;
        };
        found.source = Cow::Borrowed(site.name);
        found.keyword = keyword;
        found.medium = Cow::Borrowed(match site.kind {
            SiteKind::Search => "organic",
            SiteKind::Social => "social",
            SiteKind::Ai => "ai-assistant",
            SiteKind::Mail => "email",
            SiteKind::Ads => "cpc",
            SiteKind::App => "app",
        });
    }

    fn is_ignored(
        &self,
        referrer: &Parts<'_>,
        page: Option<&Parts<'_>>,
        facts: &SourceFacts<'_>,
    ) -> bool {
        let host = referrer.host.as_ref();
        page.is_some_and(|page| is_within(host, page.host.as_ref()))
            || facts
                .own_hosts
                .iter()
                .chain(facts.ignored_hosts)
                .any(|own| normal_host(own).is_some_and(|own| is_within(host, &own)))
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
        } else if let Some(rank) = click_id::rank_of(&key) {
            if campaign.click_rank.is_none_or(|best| rank < best) {
                campaign.click_rank = Some(rank);
                campaign.click_value = kept(value);
            }
        }
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
        _ if key == "source" || key == "ref" => Some(&mut utm.source),
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
