//! What a pixel's owner asks of the tracker in the browser.

use serde::{Deserialize, Serialize};

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
    /// The part of an address after # names a page.
    pub hash_routes: bool,
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
            hash_routes: false,
            download_extensions: Vec::new(),
            search_parameters: Vec::new(),
        }
    }
}

impl TrackerSettings {
    /// The parts by the names of their files, and whether they are asked for.
    pub fn parts(&self) -> [(&'static str, bool); 7] {
        [
            ("clicks", self.clicks),
            ("forms", self.forms),
            ("not_found", self.not_found),
            ("scroll", self.scroll),
            ("search", self.search),
            ("sections", self.sections),
            ("vitals", self.vitals),
        ]
    }
}
