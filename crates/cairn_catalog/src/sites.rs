//! Sites, pixels and opt-outs: what the directory is built from.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_model::retention::Retention;
use cairn_model::site::GpcReach;
use cairn_model::{
    Asking, CrossSiteCookies, Pixel, PixelId, PixelKind, Policy, PrivacySettings, Site, SiteId,
    TrackerSettings,
};
use rusqlite::{Connection, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::accounts::{Role, UserId, role_name};
use crate::error::is_unique_violation;
use crate::refusals;
use crate::refused::OptOutSet;
use crate::{
    Catalog, CatalogError, Directory, OPT_OUTS_PER_SITE_MAX, PIXELS_PER_SITE_MAX, SITES_MAX,
    SiteEntry, secret,
};

/// A site to be made; every text is checked by the caller.
#[derive(Clone, PartialEq, Debug)]
pub struct NewSite {
    /// Name shown.
    pub name: String,
    /// Domain in ASCII form, lower case.
    pub domain: String,
    /// Further listed origins' hosts.
    pub hosts: Vec<String>,
    /// IANA time zone.
    pub timezone: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Privacy settings.
    pub privacy: PrivacySettings,
    /// How its visitors are asked.
    pub asking: Asking,
}

impl NewSite {
    /// One with what holds where nothing was chosen: called by its domain, in UTC and euro.
    pub fn of(domain: impl Into<String>) -> Self {
        let domain = domain.into();
        NewSite {
            name: domain.clone(),
            domain,
            hosts: Vec::new(),
            timezone: "Etc/UTC".to_owned(),
            currency: "EUR".to_owned(),
            privacy: PrivacySettings::default(),
            asking: Asking::default(),
        }
    }
}

/// A pixel to be made.
#[derive(Clone, PartialEq, Debug)]
pub struct NewPixel {
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
    /// Cookies on the owner's pages of other sites.
    pub cross_site_cookies: CrossSiteCookies,
}

const DOMAIN_TAKEN: CatalogError = CatalogError::Conflict { what: "a site with this domain" };

impl Catalog {
    /// Makes a site with a random number. Without an owner it belongs to the instance's owners.
    pub fn add_site(
        &self,
        new: &NewSite,
        owner: Option<UserId>,
        now_ms: i64,
    ) -> Result<Site, CatalogError> {
        let site = self.connections.write("adds a site", |transaction| {
            require_room(transaction, "SELECT count(*) FROM sites", "sites", SITES_MAX)?;
            let site = insert_site(transaction, new, now_ms)?;
            add_members(transaction, site.id, owner)
                .map_err(CatalogError::during("adds a site's owner"))?;
            Ok(site)
        })?;
        self.rebuild_directory()?;
        Ok(site)
    }

    /// Replaces the settings of a site; false if there is none with this number.
    pub fn update_site(&self, site: &Site) -> Result<bool, CatalogError> {
        let changed = self.connections.write("changes a site", |transaction| {
            let changed = transaction.execute(
                "UPDATE sites SET name = ?2, domain = ?3, hosts = ?4, timezone = ?5, currency = ?6, privacy = ?7
                 WHERE id = ?1",
                params![
                    site.id.0, site.name, site.domain, hosts_text(&site.hosts), site.timezone,
                    site.currency, privacy_text(site.privacy, &site.asking)
                ],
            );
            match changed {
                Err(error) if is_unique_violation(&error) => Err(DOMAIN_TAKEN),
                other => other.map_err(CatalogError::during("changes a site")),
            }
        })?;
        self.rebuild_directory()?;
        Ok(changed > 0)
    }

    /// Makes a pixel with a random key.
    pub fn add_pixel(&self, new: &NewPixel, now_ms: i64) -> Result<Pixel, CatalogError> {
        let key = secret::pixel_key(new.kind == PixelKind::Server)?;
        let pixel = self.connections.write("adds a pixel", |transaction| {
            let count = format!("SELECT count(*) FROM pixels WHERE site_id = {}", new.site_id);
            require_room(transaction, &count, "pixels of a site", PIXELS_PER_SITE_MAX)?;
            transaction
                .execute(
                    "INSERT INTO pixels (key, site_id, name, kind, url, tracker_settings, cross_site_cookies, created_at_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    params![
                        key, new.site_id.0, new.name, new.kind.name(), new.url,
                        tracker_text(&new.settings), new.cross_site_cookies.name(), now_ms
                    ],
                )
                .map_err(CatalogError::during("adds a pixel"))?;
            let id = u32::try_from(transaction.last_insert_rowid())
                .map_err(|_| CatalogError::Corrupt { what: "pixel number" })?;
            Ok(Pixel {
                id: PixelId(id),
                key: key.clone(),
                site_id: new.site_id,
                name: new.name.clone(),
                kind: new.kind,
                url: new.url.clone(),
                settings: new.settings.clone(),
                cross_site_cookies: new.cross_site_cookies,
                created_at_ms: now_ms,
            })
        })?;
        self.rebuild_directory()?;
        Ok(pixel)
    }

    /// Changes name, place and settings of a pixel; false if the site has none with this key.
    pub fn update_pixel(&self, pixel: &Pixel) -> Result<bool, CatalogError> {
        let changed = self.connections.write("changes a pixel", |transaction| {
            transaction
                .execute(
                    "UPDATE pixels SET name = ?3, url = ?4, tracker_settings = ?5, cross_site_cookies = ?6
                     WHERE site_id = ?1 AND key = ?2",
                    params![
                        pixel.site_id.0,
                        pixel.key,
                        pixel.name,
                        pixel.url,
                        tracker_text(&pixel.settings),
                        pixel.cross_site_cookies.name()
                    ],
                )
                .map_err(CatalogError::during("changes a pixel"))
        })?;
        self.rebuild_directory()?;
        Ok(changed > 0)
    }

    /// Removes a pixel: its key is unknown from then on, its events stay.
    pub fn delete_pixel(&self, site_id: SiteId, key: &str) -> Result<bool, CatalogError> {
        let removed = self.connections.write("removes a pixel", |transaction| {
            transaction
                .execute(
                    "DELETE FROM pixels WHERE site_id = ?1 AND key = ?2",
                    params![site_id.0, key],
                )
                .map_err(CatalogError::during("removes a pixel"))
        })?;
        self.rebuild_directory()?;
        Ok(removed > 0)
    }

    /// Records opt-outs by the keyed hashes of identifiers, in one transaction. Recording one twice changes nothing.
    pub fn add_opt_outs(
        &self,
        site_id: SiteId,
        identifier_hashes: &[u64],
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        self.connections.write("records an opt-out", |transaction| {
            let count = format!("SELECT count(*) FROM opt_outs WHERE site_id = {site_id}");
            require_room(transaction, &count, "opt-outs of a site", OPT_OUTS_PER_SITE_MAX)?;
            insert_opt_outs(transaction, site_id, identifier_hashes.iter().copied(), now_ms)
                .map(|_| ())
                .map_err(CatalogError::during("records an opt-out"))
        })?;
        self.note_opted_out(site_id, identifier_hashes.iter().copied());
        Ok(())
    }

    pub(crate) fn rebuild_directory(&self) -> Result<(), CatalogError> {
        // The writer's lock is held while reading and replacing: of two changes the later one is seen last.
        self.connections.write("reads its sites", |transaction| {
            let entries = read_entries(transaction, &self.directory.current())
                .map_err(CatalogError::during("reads its sites"))?;
            let removed = crate::removals::read_removed(transaction)
                .map_err(CatalogError::during("reads its removed sites"))?;
            let erasures = Arc::clone(&self.erasures);
            self.directory.replace(Directory::new(entries, removed, erasures));
            Ok(())
        })
    }
}

/// Fails when `count` (a query for one number) is at `limit`.
pub(crate) fn require_room(
    transaction: &Transaction<'_>,
    count: &str,
    what: &'static str,
    limit: usize,
) -> Result<(), CatalogError> {
    let present: usize = transaction
        .query_row(count, [], |row| row.get(0))
        .map_err(CatalogError::during("counts what it holds"))?;
    if present >= limit {
        return Err(CatalogError::LimitReached { what, limit });
    }
    Ok(())
}

fn insert_site(
    transaction: &Transaction<'_>,
    new: &NewSite,
    now_ms: i64,
) -> Result<Site, CatalogError> {
    let doing = || CatalogError::during("adds a site");
    let taken: bool = transaction
        .query_row("SELECT EXISTS (SELECT 1 FROM sites WHERE domain = ?1)", [&new.domain], |row| {
            row.get(0)
        })
        .map_err(doing())?;
    if taken {
        return Err(DOMAIN_TAKEN);
    }
    loop {
        let id = secret::random_number()?;
        let inserted = transaction.execute(
            "INSERT OR IGNORE INTO sites (id, name, domain, hosts, timezone, currency, privacy, created_at_ms)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
             WHERE NOT EXISTS (SELECT 1 FROM removed_sites WHERE site_id = ?1)",
            params![
                id, new.name, new.domain, hosts_text(&new.hosts), new.timezone, new.currency,
                privacy_text(new.privacy, &new.asking), now_ms
            ],
        ).map_err(doing())?;
        if inserted > 0 {
            return Ok(Site {
                id: SiteId(id),
                name: new.name.clone(),
                domain: new.domain.clone(),
                hosts: new.hosts.clone(),
                timezone: new.timezone.clone(),
                currency: new.currency.clone(),
                privacy: new.privacy,
                asking: new.asking.clone(),
                created_at_ms: now_ms,
            });
        }
    }
}

fn add_members(
    transaction: &Transaction<'_>,
    site_id: SiteId,
    owner: Option<UserId>,
) -> rusqlite::Result<()> {
    let role = role_name(Role::Owner);
    match owner {
        Some(user) => transaction.execute(
            "INSERT INTO memberships (user_id, site_id, role) VALUES (?1, ?2, ?3)",
            params![user.0, site_id.0, role],
        )?,
        None => transaction.execute(
            "INSERT INTO memberships (user_id, site_id, role)
             SELECT id, ?1, ?2 FROM users WHERE instance_owner = 1",
            params![site_id.0, role],
        )?,
    };
    Ok(())
}

fn hosts_text(hosts: &[String]) -> String {
    serde_json::Value::from(hosts).to_string()
}

/// What the column `privacy` holds.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredPrivacy {
    policy: Policy,
    gpc: GpcReach,
    retention: Retention,
    asking: Asking,
}

fn privacy_text(privacy: PrivacySettings, asking: &Asking) -> String {
    let PrivacySettings { policy, gpc, retention } = privacy;
    let stored = StoredPrivacy { policy, gpc, retention, asking: asking.clone() };
    serde_json::to_string(&stored).unwrap_or_default()
}

fn tracker_text(settings: &TrackerSettings) -> String {
    serde_json::to_string(settings).unwrap_or_default()
}

/// `known`: the directory before this one, which has the opt-outs of its sites in memory.
fn read_entries(connection: &Connection, known: &Directory) -> rusqlite::Result<Vec<SiteEntry>> {
    let mut pixels: HashMap<u32, Vec<Pixel>> = HashMap::new();
    let mut statement = connection.prepare_cached(
        "SELECT id, key, site_id, name, kind, url, tracker_settings, created_at_ms, cross_site_cookies
         FROM pixels ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let pixel = read_pixel(row)?;
        pixels.entry(pixel.site_id.0).or_default().push(pixel);
    }
    let mut statement = connection.prepare_cached(
        "SELECT id, name, domain, hosts, timezone, currency, privacy, created_at_ms FROM sites",
    )?;
    let sites = statement.query_map([], read_site)?;
    sites
        .map(|site| {
            let site = site?;
            let pixels = pixels.remove(&site.id.0).unwrap_or_default();
            let (opt_outs, refusals) = match known.by_id(site.id) {
                Some(entry) => (entry.opt_outs(), entry.refusals()),
                None => {
                    let opt_outs = read_opt_outs(connection, site.id)?;
                    (Arc::new(opt_outs), Arc::new(refusals::of_site(connection, site.id)?))
                }
            };
            Ok(SiteEntry::new(site, pixels, opt_outs, refusals))
        })
        .collect()
}

fn read_opt_outs(connection: &Connection, site_id: SiteId) -> rusqlite::Result<OptOutSet> {
    let opt_outs = OptOutSet::default();
    let sql = "SELECT identifier_hash FROM opt_outs WHERE site_id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([site_id.0])?;
    while let Some(row) = rows.next()? {
        let hash: i64 = row.get(0)?;
        opt_outs.add([hash.cast_unsigned()]);
    }
    Ok(opt_outs)
}

/// Puts opt-outs on record; whoever commits it notes them in memory. Returns how many are new.
pub(crate) fn insert_opt_outs(
    transaction: &Transaction<'_>,
    site_id: SiteId,
    identifier_hashes: impl IntoIterator<Item = u64>,
    now_ms: i64,
) -> rusqlite::Result<usize> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR IGNORE INTO opt_outs (site_id, identifier_hash, recorded_at_ms)
         VALUES (?1, ?2, ?3)",
    )?;
    let mut added = 0;
    for hash in identifier_hashes {
        added += statement.execute(params![site_id.0, hash.cast_signed(), now_ms])?;
    }
    Ok(added)
}

fn read_site(row: &Row<'_>) -> rusqlite::Result<Site> {
    let StoredPrivacy { policy, gpc, retention, asking } = read_json(row, 6)?;
    Ok(Site {
        id: SiteId(row.get(0)?),
        name: row.get(1)?,
        domain: row.get(2)?,
        hosts: read_json(row, 3)?,
        timezone: row.get(4)?,
        currency: row.get(5)?,
        privacy: PrivacySettings { policy, gpc, retention },
        asking,
        created_at_ms: row.get(7)?,
    })
}

fn read_pixel(row: &Row<'_>) -> rusqlite::Result<Pixel> {
    let kind: String = row.get(4)?;
    let kind = PixelKind::ALL
        .into_iter()
        .find(|known| known.name() == kind)
        .ok_or_else(|| unreadable(4, "pixel kind"))?;
    let cookies: String = row.get(8)?;
    let cross_site_cookies = CrossSiteCookies::ALL
        .into_iter()
        .find(|known| known.name() == cookies)
        .ok_or_else(|| unreadable(8, "cookies of a pixel"))?;
    Ok(Pixel {
        id: PixelId(row.get(0)?),
        key: row.get(1)?,
        site_id: SiteId(row.get(2)?),
        name: row.get(3)?,
        kind,
        url: row.get(5)?,
        settings: read_json(row, 6)?,
        cross_site_cookies,
        created_at_ms: row.get(7)?,
    })
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

fn unreadable(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, what.to_owned(), rusqlite::types::Type::Text)
}
