//! Click identifiers that advertising platforms append to links.
//!
//! Names are compared without case, values are kept verbatim. A click id proves a paid click only
//! where the platform adds it to nothing else: `fbclid`, `igshid` and `srsltid` sit on unpaid links
//! too. Parameters that name a person (mail recipients) are never taken as click ids.

/// A click id as found in a page address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickId {
    /// Name of the parameter in its usual spelling (`gclid`, `ScCid`).
    pub kind: &'static str,
    /// Its value, verbatim: case matters to the platform.
    pub value: String,
}

/// What a click id says about where the visit came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClickKind {
    pub name: &'static str,
    /// Source as GA4 would name it, lower case.
    pub source: &'static str,
    /// Name shown for the source.
    pub label: &'static str,
    /// Medium that follows, empty where the id is no proof of a paid click.
    pub medium: &'static str,
    /// Whether the value is an identifier of the click, worth keeping.
    pub is_identifier: bool,
}

const fn kind(
    name: &'static str,
    source: &'static str,
    label: &'static str,
    medium: &'static str,
) -> ClickKind {
    ClickKind { name, source, label, medium, is_identifier: true }
}

/// In order of trust: where several ids are present, the first of this table counts.
pub(super) const CLICK_KINDS: &[ClickKind] = &[
    kind("gclid", "google", "Google", "cpc"),
    kind("gbraid", "google", "Google", "cpc"),
    kind("wbraid", "google", "Google", "cpc"),
    kind("dclid", "google", "Google", "display"),
    kind("msclkid", "bing", "Bing", "cpc"),
    kind("yclid", "yandex", "Yandex", "cpc"),
    kind("ttclid", "tiktok", "TikTok", "paid_social"),
    kind("twclid", "twitter", "Twitter", "paid_social"),
    kind("li_fat_id", "linkedin", "LinkedIn", "paid_social"),
    kind("epik", "pinterest", "Pinterest", "paid_social"),
    kind("ScCid", "snapchat", "Snapchat", "paid_social"),
    kind("rdt_cid", "reddit", "Reddit", "paid_social"),
    kind("qclid", "quora", "Quora", "paid_social"),
    kind("oppref", "openai", "OpenAI", "paid"),
    kind("irclickid", "impact", "Impact", "affiliate"),
    kind("fbclid", "facebook", "Facebook", ""),
    kind("igshid", "instagram", "Instagram", ""),
    kind("srsltid", "google", "Google", ""),
    ClickKind { is_identifier: false, ..kind("gclsrc", "google", "Google", "cpc") },
    ClickKind { is_identifier: false, ..kind("gad_source", "google", "Google", "cpc") },
    ClickKind { is_identifier: false, ..kind("gad_campaignid", "google", "Google", "cpc") },
    ClickKind { is_identifier: false, ..kind("_kx", "klaviyo", "Klaviyo", "email") },
    ClickKind { is_identifier: false, ..kind("mc_eid", "mailchimp", "Mailchimp", "email") },
    ClickKind { is_identifier: false, ..kind("mc_cid", "mailchimp", "Mailchimp", "email") },
    ClickKind { is_identifier: false, ..kind("_hsenc", "hubspot", "HubSpot", "email") },
    ClickKind { is_identifier: false, ..kind("mkt_tok", "marketo", "Marketo", "email") },
    ClickKind { is_identifier: false, ..kind("vero_id", "vero", "Vero", "email") },
    ClickKind { is_identifier: false, ..kind("ck_subscriber_id", "kit", "Kit", "email") },
];

/// The place of a parameter in the table, by its name in any case.
pub(super) fn rank_of(name: &str) -> Option<usize> {
    CLICK_KINDS.iter().position(|kind| kind.name.eq_ignore_ascii_case(name))
}
