//! What each ad server calls its values, and the tag that is made for it (docs/ads.md).
//!
//! A macro that a server does not fill arrives as it stands here, which counts as missing. A click macro may stand before
//! our link and nowhere else.

/// An ad server and its macros.
pub(super) struct AdServer {
    /// Name in the API.
    pub name: &'static str,
    /// `utm_source` where the request names none.
    pub source: &'static str,
    /// What goes before the click link: the server counts the click and sends on.
    click_prefix: &'static str,
    /// Parameters of image and script with the macros that fill them.
    parameters: &'static Parameters,
    /// The same of what the visitor permits.
    privacy: &'static Parameters,
}

/// Parameters and their macros.
type Parameters = [(&'static str, &'static str)];

/// Privacy macros as most servers have them.
const PRIVACY: &Parameters = &[
    ("gdpr", "${GDPR}"),
    ("gdpr_consent", "${GDPR_CONSENT_0}"),
    ("gpp", "${GPP_STRING}"),
    ("gpp_sid", "${GPP_SID}"),
    ("us_privacy", "${US_PRIVACY}"),
];

/// Every ad server; the first is the default.
pub(super) static SERVERS: [AdServer; 8] = [
    AdServer {
        name: "generic",
        source: "ad",
        click_prefix: "{CLICKURL}",
        parameters: &[
            ("cb", "{CACHEBUSTER}"),
            ("creative", "{CREATIVE_ID}"),
            ("placement", "{PLACEMENT_ID}"),
            ("site", "{SITE}"),
        ],
        privacy: &[
            ("gdpr", "{GDPR}"),
            ("gdpr_consent", "{GDPR_CONSENT}"),
            ("gpp", "{GPP}"),
            ("gpp_sid", "{GPP_SID}"),
            ("us_privacy", "{US_PRIVACY}"),
        ],
    },
    AdServer {
        name: "google_ad_manager",
        source: "google_ad_manager",
        click_prefix: "%%CLICK_URL_UNESC%%",
        parameters: &[("cb", "%%CACHEBUSTER%%"), ("site", "%%SITE%%")],
        privacy: PRIVACY,
    },
    AdServer {
        name: "campaign_manager",
        source: "campaign_manager",
        click_prefix: "%c",
        parameters: &[
            ("cb", "%n"),
            ("creative", "%ecid!"),
            ("placement", "%epid!"),
            ("site", "%esid!"),
        ],
        privacy: PRIVACY,
    },
    AdServer {
        name: "display_video",
        source: "display_video",
        click_prefix: "${CLICK_URL}",
        parameters: &[
            ("cb", "${CACHEBUSTER}"),
            ("creative", "${CREATIVE_ID}"),
            ("placement", "${INSERTION_ORDER_ID}"),
            ("site", "${SOURCE_URL_ENC}"),
        ],
        privacy: PRIVACY,
    },
    AdServer {
        name: "xandr",
        source: "xandr",
        click_prefix: "${CLICK_URL}",
        parameters: &[
            ("cb", "${CACHEBUSTER}"),
            ("impid", "${AUCTION_ID}"),
            ("creative", "${CREATIVE_ID}"),
            ("placement", "${TAG_ID}"),
            ("site", "${REFERER_URL_ENC}"),
        ],
        privacy: PRIVACY,
    },
    AdServer {
        name: "the_trade_desk",
        source: "the_trade_desk",
        click_prefix: "%%TTD_CLK%%",
        parameters: &[("cb", "%%TTD_CACHEBUSTER%%"), ("site", "%%TTD_SITE%%")],
        privacy: PRIVACY,
    },
    AdServer {
        name: "amazon",
        source: "amazon",
        click_prefix: "{CLICKURL}",
        parameters: &[("cb", "{CACHEBUSTER}")],
        privacy: PRIVACY,
    },
    // A page's own: the tag works as it is.
    AdServer { name: "none", source: "ad", click_prefix: "", parameters: &[], privacy: &[] },
];

impl AdServer {
    /// The query of image and script, with its question mark where there is one. What the token says already is not asked
    /// for.
    pub(super) fn query(&self, wants_creative: bool, wants_placement: bool) -> String {
        let wanted = self.parameters.iter().chain(self.privacy).filter(|(name, _)| match *name {
            "creative" => wants_creative,
            "placement" => wants_placement,
            _ => true,
        });
        let pairs: Vec<_> = wanted.map(|(name, filled)| format!("{name}={filled}")).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

/// The parts of a tag.
pub(super) struct Tag<'a> {
    pub server: &'a AdServer,
    pub impression_url: &'a str,
    pub click_url: &'a str,
    pub viewable_script: &'a str,
}

impl Tag<'_> {
    /// The whole HTML. The block around it is what has to be in view.
    pub(super) fn html(&self) -> String {
        // Our addresses hold no quotation marks and no angle brackets: of all that HTML minds, only `&`.
        let attribute = |address: &str| address.replace('&', "&amp;");
        format!(
            "<div style=\"display:inline-block\">\n\
             <a href=\"{prefix}{click}\" target=\"_blank\" rel=\"noopener\"><!-- your image here --></a>\n\
             <img src=\"{image}\" width=\"1\" height=\"1\" alt=\"\" style=\"position:absolute;border:0\">\n\
             <script async src=\"{script}\"></script>\n\
             </div>",
            prefix = self.server.click_prefix,
            click = attribute(self.click_url),
            image = attribute(self.impression_url),
            script = attribute(self.viewable_script),
        )
    }
}
