//! What a pixel's script does in the browser, as the API shows and takes it.

use cairn_model::TrackerSettings;
use cairn_model::tracker::ConsentManager;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::Fields;
use crate::error::ApiError;

const EXTENSIONS_MAX: usize = 40;
const EXTENSION_SIZE_BYTES_MAX: usize = 10;
const PARAMETERS_MAX: usize = 20;
const PARAMETER_SIZE_BYTES_MAX: usize = 64;

/// What the script reports beyond page views, visible time and the page's own events.
#[derive(Serialize, ToSchema)]
#[schema(as = TrackerSettings)]
pub struct TrackerBody {
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
    /// Web vitals: LCP, INP, CLS, TTFB.
    pub vitals: bool,
    /// The banner asks visitors where the policy of their place needs it; the preference centre lets them change.
    pub banner: bool,
    /// Links to other domains of the site carry the visit there, with permission for analytics.
    pub links: bool,
    /// The part of an address after # names a page.
    pub hash_routes: bool,
    /// Consent managers of the page that are heard: `tcf`, `gpp`, `us_privacy`, `consent_mode`.
    #[schema(example = json!(["tcf", "consent_mode"]))]
    pub consent_managers: Vec<&'static str>,
    /// Endings of files that count as downloads; empty: a list of common ones.
    #[schema(example = json!(["pdf", "zip"]))]
    pub download_extensions: Vec<String>,
    /// Query parameters that hold what was searched for; empty: a list of common ones.
    #[schema(example = json!(["q"]))]
    pub search_parameters: Vec<String>,
}

/// Settings of the script to be changed; what is left out stays.
#[derive(ToSchema)]
#[schema(as = TrackerSettingsPatch)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct TrackerPatch {
    /// Clicks.
    pub clicks: Option<bool>,
    /// Forms.
    pub forms: Option<bool>,
    /// Pages that were not found.
    pub not_found: Option<bool>,
    /// How far down a page was seen; on for a new pixel, as the only part.
    pub scroll: Option<bool>,
    /// What was searched for on the site.
    pub search: Option<bool>,
    /// Sections.
    pub sections: Option<bool>,
    /// Web vitals.
    pub vitals: Option<bool>,
    /// Banner and preference centre.
    pub banner: Option<bool>,
    /// Links to other domains of the site carry the visit there.
    pub links: Option<bool>,
    /// The part of an address after # names a page.
    pub hash_routes: Option<bool>,
    /// Any of `tcf`, `gpp`, `us_privacy`, `consent_mode`; replaces the list.
    #[schema(max_items = 4)]
    pub consent_managers: Option<Vec<String>>,
    /// Endings of at most 10 letters or digits; replaces the list.
    #[schema(max_items = 40)]
    pub download_extensions: Option<Vec<String>>,
    /// Names of at most 64 bytes; replaces the list.
    #[schema(max_items = 20)]
    pub search_parameters: Option<Vec<String>>,
}

impl From<&TrackerSettings> for TrackerBody {
    fn from(settings: &TrackerSettings) -> Self {
        TrackerBody {
            clicks: settings.clicks,
            forms: settings.forms,
            not_found: settings.not_found,
            scroll: settings.scroll,
            search: settings.search,
            sections: settings.sections,
            vitals: settings.vitals,
            banner: settings.banner,
            links: settings.links,
            hash_routes: settings.hash_routes,
            consent_managers: settings.consent_managers.iter().map(|known| known.name()).collect(),
            download_extensions: settings.download_extensions.clone(),
            search_parameters: settings.search_parameters.clone(),
        }
    }
}

/// The settings with what the field `settings` changes of them.
pub(super) fn settings(
    fields: &mut Fields,
    mut settings: TrackerSettings,
) -> Result<TrackerSettings, ApiError> {
    let Some(mut inner) = fields.object("settings")? else { return Ok(settings) };
    for (name, value) in [
        ("clicks", &mut settings.clicks),
        ("forms", &mut settings.forms),
        ("not_found", &mut settings.not_found),
        ("scroll", &mut settings.scroll),
        ("search", &mut settings.search),
        ("sections", &mut settings.sections),
        ("vitals", &mut settings.vitals),
        ("banner", &mut settings.banner),
        ("links", &mut settings.links),
        ("hash_routes", &mut settings.hash_routes),
    ] {
        *value = inner.boolean(name)?.unwrap_or(*value);
    }
    if let Some(names) = inner.texts("consent_managers", ConsentManager::ALL.len())? {
        settings.consent_managers = managers(&names).ok_or_else(|| {
            let message = "Each entry must be one of tcf, gpp, us_privacy, consent_mode, once.";
            ApiError::invalid(inner.path("consent_managers"), message)
        })?;
    }
    if let Some(endings) = inner.texts("download_extensions", EXTENSIONS_MAX)? {
        settings.download_extensions =
            endings.iter().map(|ending| extension(ending)).collect::<Option<_>>().ok_or_else(
                || {
                    let message = "Endings of files have 1 to 10 letters or digits, such as pdf.";
                    ApiError::invalid(inner.path("download_extensions"), message)
                },
            )?;
    }
    if let Some(names) = inner.texts("search_parameters", PARAMETERS_MAX)? {
        if names.iter().any(|name| name.is_empty() || name.len() > PARAMETER_SIZE_BYTES_MAX) {
            let message = "Names of query parameters have 1 to 64 bytes.";
            return Err(ApiError::invalid(inner.path("search_parameters"), message));
        }
        settings.search_parameters = names;
    }
    inner.finish()?;
    Ok(settings)
}

fn managers(names: &[String]) -> Option<Vec<ConsentManager>> {
    let named = |name: &String| ConsentManager::ALL.into_iter().find(|known| known.name() == name);
    let mut managers = names.iter().map(named).collect::<Option<Vec<_>>>()?;
    managers.sort_unstable();
    managers.dedup();
    (managers.len() == names.len()).then_some(managers)
}

fn extension(text: &str) -> Option<String> {
    let ending = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
    let is_plain = ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let fits = (1..=EXTENSION_SIZE_BYTES_MAX).contains(&ending.len());
    (is_plain && fits).then_some(ending)
}
