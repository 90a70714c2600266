//! What a pixel's owner asks of the tracker in the browser.

use serde::{Deserialize, Serialize};

/// A way by which consent managers that a site has tell a page's scripts what the visitor chose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentManager {
    /// IAB Transparency and Consent Framework: `__tcfapi`.
    Tcf,
    /// IAB Global Privacy Platform: `__gpp`.
    Gpp,
    /// The older US Privacy string: `__uspapi`.
    UsPrivacy,
    /// Google consent mode: `gtag("consent", …)`.
    ConsentMode,
}

impl ConsentManager {
    /// Every way.
    pub const ALL: [ConsentManager; 4] = [
        ConsentManager::Tcf,
        ConsentManager::Gpp,
        ConsentManager::UsPrivacy,
        ConsentManager::ConsentMode,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            ConsentManager::Tcf => "tcf",
            ConsentManager::Gpp => "gpp",
            ConsentManager::UsPrivacy => "us_privacy",
            ConsentManager::ConsentMode => "consent_mode",
        }
    }
}

/// The parts of the tracker that a pixel's pages load, and what these are told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct TrackerSettings {
    /// Clicks on elements, links that lead away, downloads, mail and telephone links.
    pub clicks: bool,
    /// Forms: started, left at a field, submitted. Never what was typed.
    pub forms: bool,
    /// Pages that were not found.
    pub not_found: bool,
    /// How far down a page was seen.
    pub scroll: bool,
    /// What was searched for on the site.
    pub search: bool,
    /// Which sections of a page were seen, and for how long.
    pub sections: bool,
    /// How fast a page was for this visitor: LCP, INP, CLS, TTFB.
    pub vitals: bool,
    /// Ask visitors where the policy of their place needs it, and let them change their choice.
    pub banner: bool,
    /// Links to other domains of the site carry the visit there.
    pub links: bool,
    /// The part of an address after # names a page.
    pub hash_routes: bool,
    /// Consent managers that are heard; one that is not on the page says nothing.
    pub consent_managers: Vec<ConsentManager>,
    /// Endings of files that count as downloads, lower case, without the dot; empty = the tracker's own list.
    pub download_extensions: Vec<String>,
    /// Query parameters that hold what was searched for; empty = the tracker's own list.
    pub search_parameters: Vec<String>,
}

impl Default for TrackerSettings {
    fn default() -> Self {
        TrackerSettings {
            clicks: false,
            forms: false,
            not_found: false,
            // Reports have a column for it from the first day on.
            scroll: true,
            search: false,
            sections: false,
            vitals: false,
            banner: false,
            links: false,
            hash_routes: false,
            consent_managers: Vec::new(),
            download_extensions: Vec::new(),
            search_parameters: Vec::new(),
        }
    }
}

impl TrackerSettings {
    /// The parts by the names of their files, and whether they are asked for.
    pub fn parts(&self) -> [(&'static str, bool); 10] {
        [
            ("clicks", self.clicks),
            ("forms", self.forms),
            ("not_found", self.not_found),
            ("scroll", self.scroll),
            ("search", self.search),
            ("sections", self.sections),
            ("vitals", self.vitals),
            ("banner", self.banner),
            ("links", self.links),
            ("managers", !self.consent_managers.is_empty()),
        ]
    }
}
