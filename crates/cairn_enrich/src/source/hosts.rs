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
    suffix: HashMap<&'static str, Vec<Site>>,
    /// Display names by their lower-case form, for campaign parameters.
    names: HashMap<String, (&'static str, SiteKind)>,
    /// First label of hosts that exist under many countries (`google.{}`).
    countries: HashMap<&'static str, Vec<Site>>,
    categories: HashMap<&'static str, Category>,
}

/// Mail services, apps, networks and AI assistants that the lists lack: kind, host (its subdomains
/// included) or Android package, name.
const OWN: &[(SiteKind, &str, &str)] = &[
    (SiteKind::Mail, "mail.google.com", "Gmail"),
    (SiteKind::Mail, "com.google.android.gm", "Gmail"),
    (SiteKind::Mail, "outlook.live.com", "Outlook.com"),
    (SiteKind::Mail, "outlook.office.com", "Outlook.com"),
    (SiteKind::Mail, "outlook.office365.com", "Outlook.com"),
    (SiteKind::Mail, "outlook.cloud.microsoft", "Outlook.com"),
    (SiteKind::Mail, "mail.live.com", "Outlook.com"),
    (SiteKind::Mail, "com.microsoft.office.outlook", "Outlook.com"),
    (SiteKind::Mail, "mail.yahoo.com", "Yahoo! Mail"),
    (SiteKind::Mail, "mail.yahoo.co.jp", "Yahoo! Japan Mail"),
    (SiteKind::Mail, "mail.proton.me", "Proton Mail"),
    (SiteKind::Mail, "mail.aol.com", "AOL Mail"),
    (SiteKind::Mail, "e.mail.ru", "Mail.ru"),
    (SiteKind::Mail, "mail.yandex.ru", "Yandex Mail"),
    (SiteKind::Mail, "mail.yandex.com", "Yandex Mail"),
    (SiteKind::Mail, "mail.zoho.com", "Zoho Mail"),
    (SiteKind::Mail, "app.fastmail.com", "Fastmail"),
    (SiteKind::Mail, "www.icloud.com/mail", "iCloud Mail"),
    (SiteKind::Mail, "mailchi.mp", "Mailchimp"),
    (SiteKind::Mail, "deref-1und1-02.de", "1und1"),
    (SiteKind::Mail, "rich-v01.bluewin.ch", "Bluewin"),
    (SiteKind::Mail, "rich-v02.bluewin.ch", "Bluewin"),
    (SiteKind::Mail, "deref-mail.com", "Mail.com"),
    (SiteKind::Mail, "3c-lxa.mail.com", "Mail.com"),
    (SiteKind::Mail, "3c.web.de", "Web.de"),
    (SiteKind::Mail, "3c-bap.web.de", "Web.de"),
    (SiteKind::Mail, "safelinks.protection.outlook.com", "Outlook.com"),
    (SiteKind::Mail, "urldefense.com", "Proofpoint"),
    (SiteKind::Mail, "urldefense.proofpoint.com", "Proofpoint"),
    (SiteKind::Mail, "linkprotect.cudasvc.com", "Barracuda"),
    (SiteKind::Mail, "secure-web.cisco.com", "Cisco Secure Email"),
    (SiteKind::Ads, "doubleclick.net", "Google"),
    (SiteKind::Ads, "googlesyndication.com", "Google"),
    (SiteKind::Ads, "googleadservices.com", "Google"),
    (SiteKind::Ads, "adsensecustomsearchads.com", "Google"),
    (SiteKind::Ads, "ads.google.com", "Google"),
    (SiteKind::Social, "lnk.bio", "Lnk.Bio"),
    (SiteKind::Social, "linktr.ee", "Linktree"),
    (SiteKind::Social, "redd.it", "reddit"),
    (SiteKind::Social, "pin.it", "Pinterest"),
    (SiteKind::Social, "fb.com", "Facebook"),
    (SiteKind::Social, "fb.watch", "Facebook"),
    (SiteKind::Social, "messenger.com", "Facebook Messenger"),
    (SiteKind::Social, "instagr.am", "Instagram"),
    (SiteKind::Social, "whatsapp.com", "WhatsApp"),
    (SiteKind::Social, "wa.me", "WhatsApp"),
    (SiteKind::Social, "t.me", "Telegram"),
    (SiteKind::Social, "telegram.org", "Telegram"),
    (SiteKind::Social, "telegram.me", "Telegram"),
    (SiteKind::Social, "vk.ru", "Vkontakte"),
    (SiteKind::Social, "ok.ru", "Odnoklassniki"),
    (SiteKind::Social, "line.me", "Line"),
    (SiteKind::Social, "lemmy.world", "Lemmy"),
    (SiteKind::Social, "quora.com", "Quora"),
    (SiteKind::Social, "medium.com", "Medium"),
    (SiteKind::Social, "xiaohongshu.com", "Xiaohongshu"),
    (SiteKind::Social, "zhihu.com", "Zhihu"),
    (SiteKind::Social, "nextdoor.com", "Nextdoor"),
    (SiteKind::Social, "com.facebook.katana", "Facebook"),
    (SiteKind::Social, "com.facebook.lite", "Facebook"),
    (SiteKind::Social, "com.facebook.orca", "Facebook Messenger"),
    (SiteKind::Social, "com.instagram.android", "Instagram"),
    (SiteKind::Social, "com.twitter.android", "Twitter"),
    (SiteKind::Social, "com.linkedin.android", "LinkedIn"),
    (SiteKind::Social, "com.pinterest", "Pinterest"),
    (SiteKind::Social, "com.tencent.mm", "WeChat"),
    (SiteKind::Social, "com.whatsapp", "WhatsApp"),
    (SiteKind::Social, "com.zhiliaoapp.musically", "TikTok"),
    (SiteKind::Social, "com.google.android.youtube", "YouTube"),
    (SiteKind::Social, "com.discord", "Discord"),
    (SiteKind::App, "com.slack", "Slack"),
    (SiteKind::App, "com.google.android.apps.docs", "Google Drive"),
    (SiteKind::App, "com.microsoft.teams", "Microsoft Teams"),
    (SiteKind::Ai, "character.ai", "Character.AI"),
    (SiteKind::Ai, "poe.com", "Poe"),
    (SiteKind::Ai, "phind.com", "Phind"),
    (SiteKind::Ai, "kimi.com", "Kimi"),
    (SiteKind::Ai, "doubao.com", "Doubao"),
    (SiteKind::Ai, "aistudio.google.com", "Google AI Studio"),
    (SiteKind::Ai, "huggingface.co/chat", "HuggingChat"),
    (SiteKind::Ai, "pi.ai", "Pi"),
    (SiteKind::Ai, "m365.cloud.microsoft", "Copilot"),
    (SiteKind::Ai, "copilot.cloud.microsoft", "Copilot"),
    (SiteKind::Ai, "edgeservices.bing.com", "Copilot"),
    (SiteKind::Ai, "bing.com/chat", "Copilot"),
    (SiteKind::Ai, "deepseek.com", "Deepseek"),
    (SiteKind::Ai, "mistral.ai", "Le Chat"),
    (SiteKind::Ai, "genspark.ai", "Genspark"),
    (SiteKind::Ai, "felo.ai", "Felo"),
    (SiteKind::Ai, "komo.ai", "Komo"),
    (SiteKind::Ai, "chat.z.ai", "Z.ai"),
    (SiteKind::Ai, "com.openai.chatgpt", "ChatGPT"),
    (SiteKind::Ai, "com.anthropic.claude", "Claude"),
    (SiteKind::Ai, "com.google.android.apps.bard", "Gemini"),
    (SiteKind::Ai, "ai.perplexity.app.android", "Perplexity"),
];

/// Mail services under the host of a provider that does other things too: host without its country,
/// name. Their mail pages are recognised by [`MAIL_LABELS`].
const MAIL_PROVIDERS: &[(&str, &str)] = &[
    ("gmx", "GMX"),
    ("ionos", "Ionos"),
    ("orange", "Orange Webmail"),
    ("infomaniak", "Infomaniak"),
    ("mail", "Mail.com"),
    ("t-online", "T-Online"),
    ("hispeed", "UPC"),
    ("vodafone", "Vodafone"),
    ("web", "Web.de"),
    ("bluewin", "Bluewin"),
    ("1und1", "1und1"),
    ("deref-gmx", "GMX"),
    ("deref-web", "Web.de"),
    ("deref-mail", "Mail.com"),
    ("free", "Free Webmail"),
    ("laposte", "La Poste"),
    ("libero", "Libero Mail"),
    ("comcast", "Xfinity Mail"),
];

/// How the host of a web mail page begins.
const MAIL_LABELS: &[&str] = &[
    "mail",
    "webmail",
    "email",
    "lightmailer",
    "deref-",
    "messagerie",
    "upcmail",
    "zimbra",
    "roundcube",
    "squirrelmail",
    "owa",
    "3c",
];

/// Names and abbreviations that campaigns use for well-known sources.
const ALIASES: &[(&str, &str)] = &[
    ("fb", "Facebook"),
    ("meta", "Facebook"),
    ("ig", "Instagram"),
    ("insta", "Instagram"),
    ("yt", "YouTube"),
    ("x", "Twitter"),
    ("tw", "Twitter"),
    ("li", "LinkedIn"),
    ("ddg", "DuckDuckGo"),
    ("adwords", "Google"),
    ("googleads", "Google"),
    ("chatgpt", "ChatGPT"),
    ("vk", "Vkontakte"),
    ("hn", "Hacker News"),
];

/// Payment providers that a purchase passes through: coming back from them is not a new visit.
const PAYMENT: &[&str] = &[
    "paypal.com",
    "checkout.stripe.com",
    "hooks.stripe.com",
    "js.stripe.com",
    "buy.stripe.com",
    "klarna.com",
    "adyen.com",
    "mollie.com",
    "sofort.com",
    "giropay.de",
    "worldpay.com",
    "authorize.net",
    "2checkout.com",
    "verifone.cloud",
    "pay.amazon.com",
    "pay.amazon.de",
    "pay.amazon.co.uk",
    "pay.google.com",
    "payments.google.com",
    "sagepay.com",
    "opayo.co.uk",
    "braintreegateway.com",
    "squareup.com",
    "checkout.com",
    "payu.com",
    "paytrail.com",
    "twint.ch",
    "datatrans.com",
    "saferpay.com",
    "computop-paygate.com",
    "unzer.com",
    "nets.eu",
    "bambora.com",
    "razorpay.com",
    "mercadopago.com",
    "pagseguro.uol.com.br",
    "arcot.com",
    "securesuite.net",
    "cardinalcommerce.com",
    "3dsecure.io",
];

impl Hosts {
    pub(super) fn new() -> Self {
        let mut hosts = Self {
            exact: HashMap::new(),
            suffix: HashMap::new(),
            names: HashMap::new(),
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
            hosts.names.entry(name.to_lowercase()).or_insert((name, kind));
            hosts.insert(host.strip_prefix("www.").unwrap_or(host), site);
        }
        for &(kind, place, name) in OWN {
            let (host, path) = place.find('/').map_or((place, ""), |at| place.split_at(at));
            let site = Site { kind, name, keyword_parameters: "", hides_keyword: true, path };
            hosts.names.entry(name.to_lowercase()).or_insert((name, kind));
            hosts.suffix.entry(host.strip_prefix("www.").unwrap_or(host)).or_default().push(site);
        }
        for (alias, name) in ALIASES {
            if let Some(&known) = hosts.names.get(&name.to_lowercase()) {
                hosts.names.insert((*alias).to_owned(), known);
            }
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
            self.suffix.entry(parent).or_default().push(site);
        } else if site.kind == SiteKind::Search {
            self.exact.entry(host).or_default().push(site);
        } else {
            self.suffix.entry(host).or_default().push(site);
        }
    }

    /// GA4's category of a source as it would be reported: a name or a host, lower case.
    pub(super) fn category(&self, source: &str) -> Option<Category> {
        let known = self.categories.get(source).copied();
        known.or_else(|| match self.names.get(source)?.1 {
            SiteKind::Search => Some(Category::Search),
            SiteKind::Social => Some(Category::Social),
            _ => None,
        })
    }

    /// The name shown for a campaign's source: of a known name, abbreviation or host.
    pub(super) fn name(&self, source: &str) -> Option<(&'static str, SiteKind)> {
        let source = source.trim().to_lowercase();
        if let Some(&known) = self.names.get(&source) {
            return Some(known);
        }
        if !source.contains('.') {
            return None;
        }
        let host = source.strip_prefix("www.").unwrap_or(&source);
        let by_suffix = || suffixes(host).find_map(|host| self.suffix.get(host));
        let country = || country_label(host).and_then(|label| self.countries.get(label));
        let lists = [by_suffix(), self.exact.get(host), country()];
        let mut sites = lists.into_iter().flatten().flatten().filter(|site| site.path.is_empty());
        sites.next().map(|site| (site.name, site.kind))
    }

    /// Whether a host belongs to a payment provider.
    pub(super) fn is_payment(&self, host: &str) -> bool {
        suffixes(host).any(|host| PAYMENT.contains(&host))
    }

    /// The known site of a referrer and the keyword it still carries. AI assistants come first: some
    /// live under the host of a search engine.
    pub(super) fn site(&self, parts: &Parts<'_>) -> Option<Found> {
        let host = parts.host.strip_prefix("www.").unwrap_or(&parts.host);
        let longest = |sites: &mut dyn Iterator<Item = &'_ Site>| -> Option<Site> {
            sites
                .filter(|site| parts.path.starts_with(site.path))
                .max_by_key(|site| site.path.len())
                .cloned()
        };
        let by_suffix =
            || suffixes(host).find_map(|host| longest(&mut self.suffix.get(host)?.iter()));
        let assistant = by_suffix().filter(|site| site.kind == SiteKind::Ai);
        let exact = self.exact.get(host).into_iter().flatten();
        let country = country_label(host).and_then(|label| self.countries.get(label));
        let site = assistant
            .or_else(|| longest(&mut exact.chain(country.into_iter().flatten())))
            .or_else(by_suffix);
        let Some(site) = site else {
            return mail_site(host).or_else(|| unlisted_search(host, parts));
        };
        let word = keyword(&site, parts);
        let is_sure = site.kind != SiteKind::Search || site.hides_keyword || word.is_some();
        let is_sure = is_sure || self.category(host) == Some(Category::Search);
        let name = google_part(&site, parts).unwrap_or(site.name);
        if is_sure {
            let keyword = word.unwrap_or_default();
            return Some(Found { kind: site.kind, name: Some(name), keyword });
        }
        // A network that also has a search (`www.facebook.com/?q=…`) is the network where nothing was searched.
        by_suffix().filter(|site| site.kind != SiteKind::Search).map(|site| Found {
            kind: site.kind,
            name: Some(site.name),
            keyword: String::new(),
        })
    }
}

/// A referring site as recognised; without a name of its own the host stands for it.
pub(super) struct Found {
    pub kind: SiteKind,
    pub name: Option<&'static str>,
    pub keyword: String,
}

/// Google's results for things and pictures have the address of its general ones.
fn google_part(site: &Site, parts: &Parts<'_>) -> Option<&'static str> {
    if site.name != "Google" {
        return None;
    }
    match pairs(parts.query).find(|(key, _)| *key == "tbm" || *key == "udm")?.1 {
        "shop" | "28" => Some("Google Shopping"),
        "isch" | "2" => Some("Google Images"),
        "vid" | "7" => Some("Google Video"),
        _ => None,
    }
}

/// A small search engine by its name and the question in its address (`dalesearch.example/?q=…`).
fn unlisted_search(host: &str, parts: &Parts<'_>) -> Option<Found> {
    let is_search = |label: &str| {
        !label.ends_with("research") && (label.starts_with("search") || label.ends_with("search"))
    };
    if !host.split('.').any(is_search) {
        return None;
    }
    let asked =
        |key: &str| matches!(key, "q" | "query" | "p" | "s" | "search" | "keyword" | "text");
    let (_, word) = pairs(parts.query).find(|(key, word)| asked(key) && !word.is_empty())?;
    Some(Found { kind: SiteKind::Search, name: None, keyword: decoded(word).trim().to_owned() })
}

/// Web mail by how its host begins (`webmail1.provider.example`).
fn mail_site(host: &str) -> Option<Found> {
    let (first, parent) = host.split_once('.')?;
    let name = suffixes(host).filter_map(country_label).find_map(|label| {
        MAIL_PROVIDERS.iter().find(|(provider, _)| *provider == label).map(|(_, name)| *name)
    });
    let begins = MAIL_LABELS.iter().any(|label| {
        first.strip_prefix(label).is_some_and(|rest| {
            label.ends_with('-')
                || rest.chars().all(|c| c.is_ascii_digit() || c == '-' || c == 'm')
                || rest == "business"
                || rest.starts_with('-')
        })
    });
    let is_own = first.starts_with("deref-") || parent.contains('.');
    (begins && is_own).then(|| Found { kind: SiteKind::Mail, name, keyword: String::new() })
}

fn lines(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn keyword(site: &Site, parts: &Parts<'_>) -> Option<String> {
    let wanted = site.keyword_parameters.split(',').filter(|name| !name.is_empty());
    for name in wanted {
        if let Some(pattern) = name.strip_prefix('@') {
            if let Some(word) = path_word(parts.path, pattern) {
                return Some(decoded(word).trim().to_owned());
            }
            continue;
        }
        let all = pairs(parts.query).chain(pairs(parts.fragment));
        let found = all.filter(|(key, value)| *key == name && !value.is_empty()).last();
        if let Some((_, value)) = found {
            return Some(decoded(value).trim().to_owned());
        }
    }
    None
}

/// The path segment behind a pattern: `/ws/results/*/` with `*` for any one segment.
fn path_word<'p>(path: &'p str, pattern: &str) -> Option<&'p str> {
    let (fixed, skips) = match pattern.split_once("*/") {
        Some((fixed, _)) => (fixed, true),
        None => (pattern, false),
    };
    let mut rest = &path[path.find(fixed)? + fixed.len()..];
    if skips {
        rest = rest.split_once('/')?.1;
    }
    rest.split('/').next().filter(|word| !word.is_empty())
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
