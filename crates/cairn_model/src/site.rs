//! Sites and their pixels, as the pipeline needs them.

use serde::{Deserialize, Serialize};

use crate::ids::{PixelId, SiteId};
use crate::jurisdiction::{PlaceRule, ruled};
use crate::notice::Notice;
use crate::retention::Retention;
use crate::tracker::TrackerSettings;

/// What decides where a visitor said nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Opt-in in the EEA, UK, Switzerland and where the region is unknown; opt-out elsewhere.
    #[default]
    Regional,
    /// Identifiers only after a yes.
    OptIn,
    /// Nothing at all before a yes, and nothing after a no.
    OptInStrict,
    /// Identifiers until a no.
    OptOut,
    /// Never identifiers.
    Anonymous,
}

impl Policy {
    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Regional => "regional",
            Policy::OptIn => "opt_in",
            Policy::OptInStrict => "opt_in_strict",
            Policy::OptOut => "opt_out",
            Policy::Anonymous => "anonymous",
        }
    }
}

/// How far Global Privacy Control reaches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpcReach {
    /// It denies ads, sale and forwarding.
    #[default]
    Ads,
    /// It denies every purpose.
    All,
}

/// A site's privacy settings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrivacySettings {
    /// Where nothing was said.
    pub policy: Policy,
    /// Reach of `Sec-GPC`.
    pub gpc: GpcReach,
    /// Cookies on cross-site pixels (`SameSite=None; Secure; Partitioned`).
    pub cross_site_cookies: bool,
    /// How long data is kept, where the site chose that.
    pub retention: Retention,
}

/// How visitors of a site are asked, where that differs from the product's own way.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Asking {
    /// Places with a policy of their own.
    pub places: Vec<PlaceRule>,
    /// The words.
    pub notice: Notice,
}

/// A site.
#[derive(Clone, PartialEq, Debug)]
pub struct Site {
    /// Its number.
    pub id: SiteId,
    /// Name shown.
    pub name: String,
    /// Domain in ASCII form, lower case.
    pub domain: String,
    /// Further listed origins' hosts.
    pub hosts: Vec<String>,
    /// IANA time zone.
    pub timezone: String,
    /// ISO 4217 code for reports.
    pub currency: String,
    /// Privacy settings.
    pub privacy: PrivacySettings,
    /// How its visitors are asked.
    pub asking: Asking,
    /// Creation, Unix milliseconds.
    pub created_at_ms: i64,
}

impl Site {
    /// What holds for a visitor in this place (two letters, and its part as its database names it; empty = unknown).
    pub fn privacy_at(&self, country: &str, part: &str) -> PrivacySettings {
        match ruled(&self.asking.places, country, part) {
            Some(policy) => PrivacySettings { policy, ..self.privacy },
            None => self.privacy,
        }
    }
}

/// What a pixel is installed in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelKind {
    /// Script in a page.
    Web,
    /// Image in a page.
    Image,
    /// Image in a mail.
    Email,
    /// Image in an advertisement.
    Ad,
    /// The owner's server; its key is secret.
    Server,
    /// A phone application.
    App,
}

impl PixelKind {
    /// Every kind.
    pub const ALL: [PixelKind; 6] = [
        PixelKind::Web,
        PixelKind::Image,
        PixelKind::Email,
        PixelKind::Ad,
        PixelKind::Server,
        PixelKind::App,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            PixelKind::Web => "web",
            PixelKind::Image => "image",
            PixelKind::Email => "email",
            PixelKind::Ad => "ad",
            PixelKind::Server => "server",
            PixelKind::App => "app",
        }
    }
}

/// A managed pixel: one data source.
#[derive(Clone, PartialEq, Debug)]
pub struct Pixel {
    /// Its number.
    pub id: PixelId,
    /// Its public name; secret for server pixels.
    pub key: String,
    /// The site it reports to.
    pub site_id: SiteId,
    /// Name shown.
    pub name: String,
    /// What it is installed in.
    pub kind: PixelKind,
    /// Where it is installed.
    pub url: String,
    /// What its script does in the browser.
    pub settings: TrackerSettings,
    /// Creation, Unix milliseconds.
    pub created_at_ms: i64,
}
