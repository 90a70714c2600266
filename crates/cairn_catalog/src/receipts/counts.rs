//! How often permission is given: sums over receipts.

use std::collections::BTreeMap;

use cairn_model::{Purpose, SiteId};
use rusqlite::{Row, params};

use crate::{Catalog, CatalogError};

/// Versions that are told apart; the choices on others are in the sums only.
pub const VERSIONS_SHOWN_MAX: usize = 50;
/// Instants of one sum are cut to this: every time zone's midnight is a multiple of it.
const QUARTER_HOUR_MS: i64 = 15 * 60 * 1000;

/// Choices that were made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PermissionCounts {
    /// Choices.
    pub choices: u64,
    /// Those that said anything about a purpose, in the order of [`Purpose::ALL`].
    pub asked: [u64; 4],
    /// Those that granted it.
    pub granted: [u64; 4],
}

impl PermissionCounts {
    /// Adds others.
    pub fn add(&mut self, others: &PermissionCounts) {
        self.choices += others.choices;
        for place in 0..Purpose::ALL.len() {
            self.asked[place] += others.asked[place];
            self.granted[place] += others.granted[place];
        }
    }
}

/// Choices of a site in some time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Permission {
    /// By quarter of an hour, Unix milliseconds.
    pub by_time: Vec<(i64, PermissionCounts)>,
    /// By region.
    pub by_region: BTreeMap<String, PermissionCounts>,
    /// By version and language of what was shown; the [`VERSIONS_SHOWN_MAX`] that most answered, and one more if there is one.
    pub by_version: Vec<((String, String), PermissionCounts)>,
}

const COUNTS: &str = "count(*), count(analytics), count(ads), count(personalization), \
     count(functional), total(analytics), total(ads), total(personalization), total(functional)";
const CHOICES: &str = "FROM receipts WHERE site_id = ?1 AND kind = 'choice' AND at_ms >= ?2 \
     AND at_ms < ?3 AND (?4 IS NULL OR region = ?4) AND (?5 IS NULL OR version = ?5)";

fn counts(row: &Row<'_>, at: usize) -> rusqlite::Result<PermissionCounts> {
    let number = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.cast_unsigned());
    let mut counts = PermissionCounts { choices: number(at)?, ..PermissionCounts::default() };
    for place in 0..Purpose::ALL.len() {
        counts.asked[place] = number(at + 1 + place)?;
        // A sum of zeros and ones: far from where a float loses one.
        counts.granted[place] = row.get::<_, f64>(at + 5 + place)? as u64;
    }
    Ok(counts)
}

impl Catalog {
    /// Sums the choices of a site from one instant until before another, of one region or version, or of all.
    pub fn permission(
        &self,
        site_id: SiteId,
        (from_ms, before_ms): (i64, i64),
        region: Option<&str>,
        version: Option<&str>,
    ) -> Result<Permission, CatalogError> {
        self.connections.read("sums receipts", |connection| {
            let asked = params![site_id.0, from_ms, before_ms, region, version];
            let by_time = format!(
                "SELECT at_ms / {QUARTER_HOUR_MS} AS quarter, {COUNTS} {CHOICES} GROUP BY quarter"
            );
            let by_time = connection
                .prepare_cached(&by_time)?
                .query_map(asked, |row| {
                    Ok((row.get::<_, i64>(0)? * QUARTER_HOUR_MS, counts(row, 1)?))
                })?
                .collect::<rusqlite::Result<_>>()?;
            let by_region = format!("SELECT region, {COUNTS} {CHOICES} GROUP BY region");
            let by_region = connection
                .prepare_cached(&by_region)?
                .query_map(asked, |row| Ok((row.get(0)?, counts(row, 1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let by_version = format!(
                "SELECT version, language, {COUNTS} {CHOICES} GROUP BY version, language
                 ORDER BY count(*) DESC, version, language LIMIT {}",
                VERSIONS_SHOWN_MAX + 1
            );
            let by_version = connection
                .prepare_cached(&by_version)?
                .query_map(asked, |row| Ok(((row.get(0)?, row.get(1)?), counts(row, 2)?)))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Permission { by_time, by_region, by_version })
        })
    }
}
