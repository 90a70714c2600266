//! Sites: make, list, show, change, remove.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use cairn_catalog::{NewSite, SiteEntry};
use cairn_engine::ingest::page::normal_host;
use cairn_model::site::GpcReach;
use cairn_model::{Asking, Currency, Policy, PrivacySettings, Site, SiteId};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::asking::{self, AskingBody, NoticePatch};
use super::body::{Fields, JsonBody, Parameters};
use super::page::{Page, PageRequest};
use super::retention::{self, RetentionChoiceBody, RetentionPatch};
use super::show;
use crate::App;
use crate::auth::{Caller, SiteAccess, blocking};
use crate::error::ApiError;

/// Bytes of a name shown.
pub(super) const NAME_SIZE_BYTES_MAX: usize = 200;
/// Further hosts of a site.
const HOSTS_MAX: usize = 100;

/// Privacy settings of a site.
#[derive(Serialize, ToSchema)]
pub struct PrivacyBody {
    /// What holds where a visitor said nothing.
    #[schema(
        example = "regional",
        pattern = "^(regional|opt_in|opt_in_strict|opt_out|anonymous)$"
    )]
    pub policy: String,
    /// What Global Privacy Control denies: `ads` (with sale and any forwarding), or `all` purposes.
    #[schema(example = "ads", pattern = "^(ads|all)$")]
    pub gpc: String,
    /// Days for which data is kept, where the site chose them. See `GET /api/v1/sites/{site_id}/retention`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionChoiceBody>,
    /// How visitors are asked.
    #[serde(flatten)]
    pub asking: AskingBody,
}

/// A site.
#[derive(Serialize, ToSchema)]
#[schema(as = Site)]
pub struct SiteBody {
    /// Its number.
    #[schema(example = "2834571122")]
    pub id: String,
    /// Name shown.
    pub name: String,
    /// Domain, lower case, international names in ASCII form.
    #[schema(example = "shop.example")]
    pub domain: String,
    /// Further hosts whose pages belong to it (its subdomains do anyway).
    pub hosts: Vec<String>,
    /// IANA time zone in which its days begin.
    #[schema(example = "Europe/Berlin")]
    pub timezone: String,
    /// ISO 4217 code for reports.
    #[schema(example = "EUR")]
    pub currency: String,
    /// Privacy settings.
    pub privacy: PrivacyBody,
    /// When it was made (RFC 3339, UTC).
    pub created_at: String,
}

/// A site to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct NewSiteBody {
    /// Name shown.
    #[schema(max_length = 200)]
    pub name: String,
    /// Domain or address of the site; kept as the host in lower-case ASCII form. Unique.
    pub domain: String,
    /// Further hosts whose pages belong to it.
    pub hosts: Option<Vec<String>>,
    /// IANA time zone; default `Etc/UTC`.
    pub timezone: Option<String>,
    /// ISO 4217 code; default `EUR`.
    pub currency: Option<String>,
    /// Privacy settings; the server's defaults where left out.
    pub privacy: Option<PrivacyPatch>,
}

/// Changes of a site; what is left out stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct SitePatch {
    /// Name shown.
    pub name: Option<String>,
    /// Domain.
    pub domain: Option<String>,
    /// Further hosts; replaces the list.
    pub hosts: Option<Vec<String>>,
    /// IANA time zone.
    pub timezone: Option<String>,
    /// ISO 4217 code.
    pub currency: Option<String>,
    /// Privacy settings; what is left out stays.
    pub privacy: Option<PrivacyPatch>,
}

/// Privacy settings to be set.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
pub struct PrivacyPatch {
    /// `regional`, `opt_in`, `opt_in_strict`, `opt_out` or `anonymous`.
    pub policy: Option<String>,
    /// `ads` or `all`.
    pub gpc: Option<String>,
    /// Days for which data is kept.
    pub retention: Option<RetentionPatch>,
    /// Place → policy that holds there instead; replaces all rules. See `GET /api/v1/places`.
    #[schema(example = json!({"DE": "opt_in_strict", "CA-QC": "opt_in"}))]
    pub places: Option<BTreeMap<String, String>>,
    /// The words of banner, preference centre and opt-out page.
    pub notice: Option<NoticePatch>,
}

/// Lists the sites that the caller may see, by time of creation.
#[utoipa::path(get, path = "/api/v1/sites", tag = "sites",
    params(("after" = Option<String>, Query, description = "`next` of the page before"),
           ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000 (default 100)")),
    responses((status = 200, body = Page<SiteBody>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<SiteBody>>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let page = PageRequest::read(&mut parameters)?;
    parameters.finish()?;
    let after = page.key(|text| {
        let (created, id) = text.split_once('.')?;
        Some((created.parse::<i64>().ok()?, SiteId(id.parse().ok()?)))
    })?;
    let visible = caller.visible_sites(&app).await?;
    let directory = app.directory.current();
    let order = |entry: &Arc<SiteEntry>| (entry.site.created_at_ms, entry.site.id);
    let mut entries: Vec<_> = directory
        .sites()
        .filter(|entry| visible.as_ref().is_none_or(|ids| ids.contains(&entry.site.id)))
        .filter(|entry| after.is_none_or(|after| order(entry) > after))
        .collect();
    entries.sort_unstable_by_key(|entry| order(entry));
    let key = |entry: &&Arc<SiteEntry>| {
        let (created, id) = order(entry);
        format!("{created}.{id}")
    };
    Ok(Json(Page::cut(entries.into_iter(), &page, key, |entry| body(&entry.site))))
}

/// Makes a site.
#[utoipa::path(post, path = "/api/v1/sites", tag = "sites", request_body = NewSiteBody,
    responses((status = 201, body = SiteBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(mut fields): JsonBody,
) -> Result<(StatusCode, Json<SiteBody>), ApiError> {
    caller.require_unlimited()?;
    let name = name(&mut fields)?.ok_or_else(|| super::body::missing("name"))?;
    let domain = domain(&mut fields)?.ok_or_else(|| super::body::missing("domain"))?;
    let privacy_default = app.config.privacy_default;
    let mut new = NewSite { name, privacy: privacy_default, ..NewSite::of(domain) };
    new.hosts = hosts(&mut fields)?.unwrap_or(new.hosts);
    new.timezone = timezone(&mut fields)?.unwrap_or(new.timezone);
    new.currency = currency(&mut fields)?.unwrap_or(new.currency);
    privacy(&mut fields, &mut new.privacy, &mut new.asking)?;
    fields.finish()?;
    let (owner, now_ms) = (caller.user_id(), app.now_ms(&headers));
    let site = blocking(&app, move |catalog| catalog.add_site(&new, owner, now_ms)).await?;
    Ok((StatusCode::CREATED, Json(body(&site))))
}

/// Shows a site.
#[utoipa::path(get, path = "/api/v1/sites/{site_id}", tag = "sites",
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 200, body = SiteBody)))]
pub async fn show(access: SiteAccess) -> Json<SiteBody> {
    Json(body(access.site()))
}

/// Changes a site; what is left out stays.
#[utoipa::path(patch, path = "/api/v1/sites/{site_id}", tag = "sites", request_body = SitePatch,
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 200, body = SiteBody)))]
pub async fn change(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    JsonBody(mut fields): JsonBody,
) -> Result<Json<SiteBody>, ApiError> {
    let mut site = access.site().clone();
    site.name = name(&mut fields)?.unwrap_or(site.name);
    site.domain = domain(&mut fields)?.unwrap_or(site.domain);
    site.hosts = hosts(&mut fields)?.unwrap_or(site.hosts);
    site.timezone = timezone(&mut fields)?.unwrap_or(site.timezone);
    site.currency = currency(&mut fields)?.unwrap_or(site.currency);
    privacy(&mut fields, &mut site.privacy, &mut site.asking)?;
    fields.finish()?;
    let changed = site.clone();
    if !blocking(&app, move |catalog| catalog.update_site(&changed)).await? {
        return Err(ApiError::not_found());
    }
    Ok(Json(body(&site)))
}

/// A removal that is not complete.
#[derive(Serialize, ToSchema)]
pub struct RemovalBody {
    /// Always `removing`.
    #[schema(example = "removing")]
    pub status: &'static str,
}

/// Removes a site with its pixels, goals, people and events. This cannot be undone. Whatever the answer, nothing of it is
/// shown or collected any more; 202 tells that its last events are still to be removed, as the store fails or lags.
/// This is tried until it is done, also after a restart. The bytes of its rows leave
/// the store's file when that is rewritten, at most `privacy.erasure_rewrite_hours_max` later.
#[utoipa::path(delete, path = "/api/v1/sites/{site_id}", tag = "sites",
    params(("site_id" = String, Path, description = "Number of the site")),
    responses((status = 204, description = "It is gone"),
              (status = 202, body = RemovalBody, description = "It is gone but for events that are being removed")))]
pub async fn remove(
    State(app): State<Arc<App>>,
    access: SiteAccess,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    access.caller().require_unlimited()?;
    let (site_id, now_ms) = (access.site_id(), app.now_ms(&headers));
    if !blocking(&app, move |catalog| catalog.delete_site(site_id, now_ms)).await? {
        return Err(ApiError::not_found());
    }
    // The catalog has it on record: the rest happens also when nobody waits for it.
    Ok(match app.apply.wait_removed(site_id, app.config.removal_patience).await {
        true => StatusCode::NO_CONTENT.into_response(),
        false => (StatusCode::ACCEPTED, Json(RemovalBody { status: "removing" })).into_response(),
    })
}

pub(super) fn body(site: &Site) -> SiteBody {
    SiteBody {
        id: site.id.to_string(),
        name: site.name.clone(),
        domain: site.domain.clone(),
        hosts: site.hosts.clone(),
        timezone: site.timezone.clone(),
        currency: site.currency.clone(),
        privacy: PrivacyBody {
            policy: named(&POLICIES, site.privacy.policy),
            gpc: named(&GPC_REACHES, site.privacy.gpc),
            retention: RetentionChoiceBody::of(site.privacy.retention),
            asking: AskingBody::from(&site.asking),
        },
        created_at: show::instant(site.created_at_ms),
    }
}

pub(super) const POLICIES: [(&str, Policy); 5] = [
    ("regional", Policy::Regional),
    ("opt_in", Policy::OptIn),
    ("opt_in_strict", Policy::OptInStrict),
    ("opt_out", Policy::OptOut),
    ("anonymous", Policy::Anonymous),
];
const GPC_REACHES: [(&str, GpcReach); 2] = [("ads", GpcReach::Ads), ("all", GpcReach::All)];

pub(super) fn named<T: PartialEq + Copy>(names: &[(&str, T)], value: T) -> String {
    let found = names.iter().find(|(_, known)| *known == value);
    found.map_or_else(String::new, |(name, _)| (*name).to_owned())
}

pub(super) fn choice<T: Copy>(
    fields: &mut Fields,
    name: &'static str,
    names: &[(&str, T)],
) -> Result<Option<T>, ApiError> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    let found = names.iter().find(|(known, _)| *known == text).map(|(_, value)| *value);
    found.map(Some).ok_or_else(|| {
        let known: Vec<_> = names.iter().map(|(known, _)| *known).collect();
        ApiError::invalid(
            fields.path(name),
            format!("The value must be one of: {}.", known.join(", ")),
        )
    })
}

pub(super) fn name(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    if !fields.has("name") {
        fields.text("name")?;
        return Ok(None);
    }
    let name = fields.required_text("name")?;
    if name.len() > NAME_SIZE_BYTES_MAX {
        let message = format!("The name is longer than {NAME_SIZE_BYTES_MAX} bytes.");
        return Err(ApiError::invalid("name", message));
    }
    Ok(Some(name))
}

fn domain(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let Some(text) = fields.text("domain")? else { return Ok(None) };
    let host = host_of(&text).ok_or_else(|| {
        ApiError::invalid("domain", "The domain must be a host name such as shop.example.")
    })?;
    Ok(Some(host))
}

fn hosts(fields: &mut Fields) -> Result<Option<Vec<String>>, ApiError> {
    let Some(texts) = fields.texts("hosts", HOSTS_MAX)? else { return Ok(None) };
    let hosts = texts.iter().enumerate().map(|(index, text)| {
        host_of(text).ok_or_else(|| {
            ApiError::invalid(format!("hosts[{index}]"), "The entry must be a host name.")
        })
    });
    hosts.collect::<Result<_, _>>().map(Some)
}

/// People paste what the address bar shows: of a whole address only the host counts.
fn host_of(text: &str) -> Option<String> {
    let rest = match text.split_once("://") {
        None => text,
        Some(("http" | "https", rest)) => rest.split(['/', '?', '#']).next().unwrap_or(""),
        Some(_) => return None,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let port = rest.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let host = match port {
        Some((host, _)) if !host.contains(':') || host.ends_with(']') => host,
        _ => rest,
    };
    normal_host(host)
}

fn timezone(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let Some(text) = fields.text("timezone")? else { return Ok(None) };
    let zone = jiff::tz::TimeZone::get(&text).ok();
    let name = zone.as_ref().and_then(|zone| zone.iana_name()).map(str::to_owned);
    name.map(Some).ok_or_else(|| {
        ApiError::invalid("timezone", "The time zone must be an IANA name such as Europe/Berlin.")
    })
}

pub(super) fn currency(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let Some(text) = fields.text("currency")? else { return Ok(None) };
    let currency = Currency::from_code(&text).ok_or_else(|| {
        ApiError::invalid("currency", "The currency must be an ISO 4217 code such as EUR.")
    })?;
    Ok(Some(currency.code.to_owned()))
}

/// Changes what the field `privacy` says of it.
fn privacy(
    fields: &mut Fields,
    settings: &mut PrivacySettings,
    asking: &mut Asking,
) -> Result<(), ApiError> {
    let Some(mut inner) = fields.object("privacy")? else { return Ok(()) };
    settings.policy = choice(&mut inner, "policy", &POLICIES)?.unwrap_or(settings.policy);
    settings.gpc = choice(&mut inner, "gpc", &GPC_REACHES)?.unwrap_or(settings.gpc);
    retention::change(&mut inner, &mut settings.retention)?;
    asking::change(&mut inner, asking)?;
    inner.finish()
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn a_pasted_address_becomes_its_host() {
        for (pasted, host) in [
            ("Shop.Example", "shop.example"),
            ("https://shop.example/a?b", "shop.example"),
            ("http://shop.example:8080/", "shop.example"),
            ("shop.example:8080", "shop.example"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(host_of(pasted).as_deref(), Some(host), "{pasted}");
        }
        for wrong in
            ["", "shop example", "ftp://shop.example", "shop.example/path", "a..b", "https://"]
        {
            assert_eq!(host_of(wrong), None, "{wrong}");
        }
    }
}
