//! GA4's default channel group: twenty rules, the first that matches decides.
//!
//! Exactly the published order, case-insensitive. It takes the raw source, medium and campaign; lists
//! of sources come from [`super::hosts`]. A hit without source, medium and campaign is `Direct`.

/// What kind of site a source is, as GA4's lists sort them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Search engines.
    Search,
    /// Social networks and forums.
    Social,
    /// Video sites.
    Video,
    /// Marketplaces and price comparison.
    Shopping,
}

/// The channel of a source, medium and campaign, given the category of the source.
pub fn channel_group(
    source: &str,
    medium: &str,
    campaign: &str,
    category: Option<Category>,
) -> &'static str {
    let source = source.trim().to_lowercase();
    let medium = medium.trim().to_lowercase();
    let campaign = campaign.trim().to_lowercase();
    if is_direct(&source, &medium, &campaign) {
        return "Direct";
    }
    if campaign.contains("cross-network") {
        return "Cross-network";
    }
    let shopping = category == Some(Category::Shopping) || is_shopping_campaign(&campaign);
    if is_paid(&medium) {
        return paid(&medium, shopping, category);
    }
    if matches!(medium.as_str(), "display" | "banner" | "expandable" | "interstitial" | "cpm") {
        return "Display";
    }
    organic(&source, &medium, shopping, category)
}

fn is_direct(source: &str, medium: &str, campaign: &str) -> bool {
    match source {
        "(direct)" => matches!(medium, "(none)" | "(not set)" | ""),
        "" => medium.is_empty() && campaign.is_empty(),
        _ => false,
    }
}

fn paid(medium: &str, shopping: bool, category: Option<Category>) -> &'static str {
    match category {
        _ if shopping => "Paid Shopping",
        Some(Category::Search) => "Paid Search",
        Some(Category::Social) => "Paid Social",
        Some(Category::Video) => "Paid Video",
        _ if medium == "cpm" => "Display",
        _ => "Paid Other",
    }
}

fn organic(source: &str, medium: &str, shopping: bool, category: Option<Category>) -> &'static str {
    const SOCIAL: [&str; 6] =
        ["social", "social-network", "social-media", "sm", "social network", "social media"];
    let is_mail = |text| matches!(text, "email" | "e-mail" | "e_mail" | "e mail");
    match category {
        _ if shopping => "Organic Shopping",
        Some(Category::Social) => "Organic Social",
        _ if SOCIAL.contains(&medium) => "Organic Social",
        Some(Category::Video) => "Organic Video",
        _ if medium.contains("video") => "Organic Video",
        Some(Category::Search) => "Organic Search",
        _ if medium == "organic" => "Organic Search",
        _ if medium == "ai-assistant" => "AI Assistant",
        _ if is_mail(source) || is_mail(medium) => "Email",
        _ if medium == "affiliate" => "Affiliates",
        _ if matches!(medium, "referral" | "app" | "link") => "Referral",
        _ if medium == "audio" => "Audio",
        _ if source == "sms" || medium == "sms" => "SMS",
        _ if source == "firebase"
            || medium.ends_with("push")
            || medium.contains("mobile")
            || medium.contains("notification") =>
        {
            "Mobile Push Notifications"
        }
        _ => "Unassigned",
    }
}

/// `^(.*cp.*|ppc|retargeting|paid.*)$`
pub(super) fn is_paid(medium: &str) -> bool {
    medium.contains("cp")
        || medium == "ppc"
        || medium == "retargeting"
        || medium.starts_with("paid")
}

/// `^(.*(([^a-df-z]|^)shop|shopping).*)$`: the letter e may stand before `shop`, others may not.
fn is_shopping_campaign(campaign: &str) -> bool {
    campaign.contains("shopping")
        || campaign.match_indices("shop").any(|(start, _)| {
            let before = campaign[..start].chars().next_back();
            before.is_none_or(|c| !matches!(c, 'a'..='d' | 'f'..='z'))
        })
}
