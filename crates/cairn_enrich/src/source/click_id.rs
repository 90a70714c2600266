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
    /// Name shown for the source.
    pub label: &'static str,
    /// Medium that follows; an unpaid one where the id is no proof of a paid click.
    pub medium: &'static str,
    /// Whether the value is an identifier of the click, worth keeping.
    pub is_identifier: bool,
}

const fn kind(name: &'static str, label: &'static str, medium: &'static str) -> ClickKind {
    ClickKind { name, label, medium, is_identifier: true }
}

/// In order of trust: where several ids are present, the first of this table counts.
pub(super) const CLICK_KINDS: &[ClickKind] = &[
    kind("gclid", "Google", "cpc"),
    kind("gbraid", "Google", "cpc"),
    kind("wbraid", "Google", "cpc"),
    kind("dclid", "Google", "display"),
    kind("msclkid", "Bing", "cpc"),
    kind("yclid", "Yandex", "cpc"),
    kind("ttclid", "TikTok", "paid_social"),
    kind("twclid", "Twitter", "paid_social"),
    kind("li_fat_id", "LinkedIn", "paid_social"),
    kind("epik", "Pinterest", "paid_social"),
    kind("ScCid", "Snapchat", "paid_social"),
    kind("rdt_cid", "Reddit", "paid_social"),
    kind("qclid", "Quora", "paid_social"),
    kind("oppref", "OpenAI", "paid"),
    kind("irclickid", "Impact", "affiliate"),
    kind("fbclid", "Facebook", "social"),
    kind("igshid", "Instagram", "social"),
    kind("srsltid", "Google Shopping", "organic"),
    ClickKind { is_identifier: false, ..kind("gclsrc", "Google", "cpc") },
    ClickKind { is_identifier: false, ..kind("gad_source", "Google", "cpc") },
    ClickKind { is_identifier: false, ..kind("gad_campaignid", "Google", "cpc") },
    ClickKind { is_identifier: false, ..kind("_kx", "Klaviyo", "email") },
    ClickKind { is_identifier: false, ..kind("mc_eid", "Mailchimp", "email") },
    ClickKind { is_identifier: false, ..kind("mc_cid", "Mailchimp", "email") },
    ClickKind { is_identifier: false, ..kind("_hsenc", "HubSpot", "email") },
    ClickKind { is_identifier: false, ..kind("mkt_tok", "Marketo", "email") },
    ClickKind { is_identifier: false, ..kind("vero_id", "Vero", "email") },
    ClickKind { is_identifier: false, ..kind("ck_subscriber_id", "Kit", "email") },
];

/// The place of a parameter in the table, by its name in any case.
pub(super) fn rank_of(name: &str) -> Option<usize> {
    CLICK_KINDS.iter().position(|kind| kind.name.eq_ignore_ascii_case(name))
}
