//! Goals: what counts as a conversion.

use std::collections::BTreeMap;

use cairn_model::SiteId;
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

use crate::error::is_unique_violation;
use crate::sites::{read_json, require_room};
use crate::{Catalog, CatalogError, GOALS_PER_SITE_MAX};

/// What a property of the fulfilling event must be; checked by the caller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GoalCondition {
    /// The property.
    pub prop: String,
    /// How it is compared.
    pub operator: String,
    /// What it is compared with.
    pub values: Vec<String>,
}

/// What a goal is to reach, and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GoalTarget {
    /// So many conversions; `None`: an amount.
    pub conversions: Option<u64>,
    /// So much revenue, in the minor unit of the goal's currency.
    pub amount_minor: Option<i64>,
    /// First day, `YYYY-MM-DD` of the site's zone.
    pub from: String,
    /// Last day.
    pub until: String,
}

/// A goal to be made, or a condition of the same form; checked by the caller.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NewGoal {
    /// Name of the event that fulfils it.
    pub event_name: String,
    /// Path of the page that fulfils it, `*` and `**` being wildcards; of a section or a time, the pages that count.
    pub page_path: String,
    /// The section that is to be read, with wildcards.
    pub section: String,
    /// Seconds in view and in use that a visit is to reach, on one page where there is a path.
    pub engaged_s: Option<u32>,
    /// Name shown, unique on the site.
    pub display_name: String,
    /// ISO 4217 code of a revenue goal; empty = none.
    pub currency: String,
    /// Depth in percent that must be reached on the page.
    pub scroll_threshold: Option<u8>,
    /// Properties that the event must have.
    pub custom_props: BTreeMap<String, String>,
    /// What the event's properties must be besides.
    pub conditions: Vec<GoalCondition>,
    /// Smallest amount that fulfils it, in the currency's minor unit.
    pub value_minor_min: Option<i64>,
    /// What it is to reach, if anything.
    pub target: Option<GoalTarget>,
}

/// A goal.
#[derive(Clone, PartialEq, Debug)]
pub struct Goal {
    /// Its number.
    pub id: i64,
    /// What it asks for.
    pub definition: NewGoal,
    /// Creation, Unix milliseconds.
    pub created_at_ms: i64,
}

impl Catalog {
    /// Makes a goal.
    pub fn add_goal(
        &self,
        site_id: SiteId,
        new: NewGoal,
        now_ms: i64,
    ) -> Result<Goal, CatalogError> {
        let custom_props = serde_json::to_string(&new.custom_props).unwrap_or_default();
        let conditions = serde_json::to_string(&new.conditions).unwrap_or_default();
        let target = serde_json::to_string(&new.target).unwrap_or_default();
        let id = self.connections.write("adds a goal", |transaction| {
            let count = format!("SELECT count(*) FROM goals WHERE site_id = {site_id}");
            require_room(transaction, &count, "goals of a site", GOALS_PER_SITE_MAX)?;
            let inserted = transaction.execute(
                "INSERT INTO goals (site_id, event_name, page_path, display_name, currency, scroll_threshold,
                                    custom_props, created_at_ms, section, engaged_s, conditions, value_minor_min,
                                    target)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                params![
                    site_id.0, new.event_name, new.page_path, new.display_name, new.currency,
                    new.scroll_threshold, custom_props, now_ms, new.section, new.engaged_s,
                    conditions, new.value_minor_min, target
                ],
            );
            match inserted {
                Err(error) if is_unique_violation(&error) => {
                    Err(CatalogError::Conflict { what: "a goal with this display name" })
                }
                other => other
                    .map(|_| transaction.last_insert_rowid())
                    .map_err(CatalogError::during("adds a goal")),
            }
        })?;
        Ok(Goal { id, definition: new, created_at_ms: now_ms })
    }

    /// The goals of a site, by rising number.
    pub fn goals(&self, site_id: SiteId) -> Result<Vec<Goal>, CatalogError> {
        self.connections.read("lists goals", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, event_name, page_path, display_name, currency, scroll_threshold, custom_props,
                        created_at_ms, section, engaged_s, conditions, value_minor_min, target
                 FROM goals WHERE site_id = ?1 ORDER BY id",
            )?;
            statement.query_map([site_id.0], read_goal)?.collect()
        })
    }

    /// Removes a goal; false if the site has none with this number.
    pub fn delete_goal(&self, site_id: SiteId, id: i64) -> Result<bool, CatalogError> {
        let removed = self.connections.write("removes a goal", |transaction| {
            transaction
                .execute("DELETE FROM goals WHERE site_id = ?1 AND id = ?2", params![site_id.0, id])
                .map_err(CatalogError::during("removes a goal"))
        })?;
        Ok(removed > 0)
    }
}

fn read_goal(row: &Row<'_>) -> rusqlite::Result<Goal> {
    Ok(Goal {
        id: row.get(0)?,
        definition: NewGoal {
            event_name: row.get(1)?,
            page_path: row.get(2)?,
            display_name: row.get(3)?,
            currency: row.get(4)?,
            scroll_threshold: row.get(5)?,
            custom_props: read_json(row, 6)?,
            section: row.get(8)?,
            engaged_s: row.get(9)?,
            conditions: read_json(row, 10)?,
            value_minor_min: row.get(11)?,
            target: read_json(row, 12)?,
        },
        created_at_ms: row.get(7)?,
    })
}
