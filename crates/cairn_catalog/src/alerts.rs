//! Alerts: what is watched for, who is told, and whether it goes on.
//!
//! Guarantees: that an alert began or ended and the messages about it are written in one transaction, so that each is told
//! once. What is watched for is the caller's to know: here it is JSON.

use cairn_model::SiteId;
use rusqlite::{OptionalExtension, Row, params};

use crate::dispatches::{self, NewDispatch, Sender};
use crate::sites::{read_json, require_room};
use crate::{ALERTS_PER_SITE_MAX, Catalog, CatalogError};

/// An alert to be made; checked by the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAlert {
    /// Name shown.
    pub name: String,
    /// What is watched for, as JSON.
    pub rule: String,
    /// Mail addresses.
    pub recipients: Vec<String>,
    /// Where it is posted to; empty: nowhere.
    pub webhook_url: String,
}

/// Whether it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AlertState {
    /// Since when it goes on, Unix milliseconds; `None`: it does not.
    pub since_ms: Option<i64>,
    /// When it last began, Unix milliseconds.
    pub began_at_ms: Option<i64>,
    /// Up to when it has been looked at, Unix milliseconds.
    pub looked_at_ms: i64,
}

/// An alert.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alert {
    /// Its number.
    pub id: i64,
    /// The site that it watches.
    pub site_id: SiteId,
    /// What it watches for, and who is told.
    pub definition: NewAlert,
    /// Those of its recipients who ended it for themselves.
    pub ended: Vec<String>,
    /// How often the secret of its webhook was renewed.
    pub secret_renewals: u32,
    /// Whether it goes on.
    pub state: AlertState,
    /// Creation, Unix milliseconds.
    pub created_at_ms: i64,
}

impl Alert {
    /// Those who get its mails.
    pub fn readers(&self) -> impl Iterator<Item = &String> {
        self.definition.recipients.iter().filter(|email| !self.ended.contains(email))
    }
}

const COLUMNS: &str = "SELECT id, site_id, name, rule, recipients, webhook_url, since_ms, \
                       began_at_ms, looked_at_ms, created_at_ms, ended, secret_renewals FROM alerts";

impl Catalog {
    /// Makes an alert.
    pub fn add_alert(
        &self,
        site_id: SiteId,
        new: NewAlert,
        now_ms: i64,
    ) -> Result<Alert, CatalogError> {
        let doing = "makes an alert";
        let id = self.connections.write(doing, |transaction| {
            let count = format!("SELECT count(*) FROM alerts WHERE site_id = {site_id}");
            require_room(transaction, &count, "alerts of a site", ALERTS_PER_SITE_MAX)?;
            let recipients = serde_json::to_string(&new.recipients).unwrap_or_default();
            let values =
                params![site_id.0, new.name, new.rule, recipients, new.webhook_url, now_ms];
            let sql = "INSERT INTO alerts
                (site_id, name, rule, recipients, webhook_url, looked_at_ms, created_at_ms)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)";
            transaction.execute(sql, values).map_err(CatalogError::during(doing))?;
            Ok(transaction.last_insert_rowid())
        })?;
        let state = AlertState { looked_at_ms: now_ms, ..AlertState::default() };
        let (ended, secret_renewals) = (Vec::new(), 0);
        let definition = new;
        Ok(Alert { id, site_id, definition, ended, secret_renewals, state, created_at_ms: now_ms })
    }

    /// The alerts of a site, or of all, by rising number.
    pub fn alerts(&self, site_id: Option<SiteId>) -> Result<Vec<Alert>, CatalogError> {
        self.connections.read("lists alerts", |connection| {
            let sql = format!("{COLUMNS} WHERE ?1 IS NULL OR site_id = ?1 ORDER BY id");
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map([site_id.map(|site| site.0)], read)?.collect()
        })
    }

    /// An alert by its number.
    pub fn alert(&self, id: i64) -> Result<Option<Alert>, CatalogError> {
        self.connections.read("reads an alert", |connection| {
            let mut statement = connection.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?;
            statement.query_row([id], read).optional()
        })
    }

    /// Notes what a look at an alert found, with the messages that follow from it.
    pub fn note_alert(
        &self,
        id: i64,
        state: AlertState,
        told: &[NewDispatch],
    ) -> Result<(), CatalogError> {
        let doing = "notes the state of an alert";
        let AlertState { since_ms, began_at_ms, looked_at_ms } = state;
        self.connections.write(doing, |transaction| {
            let sql = "UPDATE alerts SET since_ms = ?2, began_at_ms = ?3, looked_at_ms = ?4
                       WHERE id = ?1";
            transaction
                .execute(sql, params![id, since_ms, began_at_ms, looked_at_ms])
                .map_err(CatalogError::during(doing))?;
            dispatches::insert(transaction, told, looked_at_ms, doing).map(drop)
        })
    }

    /// Changes an alert; what waits for whoever is not told any more goes. One that watches for something else begins where
    /// things stand now. False if the site has none with this number.
    pub fn change_alert(
        &self,
        site_id: SiteId,
        id: i64,
        new: &NewAlert,
        now_ms: i64,
    ) -> Result<bool, CatalogError> {
        let recipients = serde_json::to_string(&new.recipients).unwrap_or_default();
        let NewAlert { name, rule, webhook_url, .. } = new;
        let sql = "UPDATE alerts SET name = ?3, recipients = ?5, webhook_url = ?6,
                   since_ms = iif(rule = ?4, since_ms, NULL),
                   began_at_ms = iif(rule = ?4, began_at_ms, NULL),
                   looked_at_ms = iif(rule = ?4, looked_at_ms, ?7), rule = ?4
                   WHERE site_id = ?1 AND id = ?2";
        let values = params![site_id.0, id, name, rule, recipients, webhook_url, now_ms];
        self.change_sender("changes an alert", sql, values, Sender::Alert(id))
    }

    /// Gives the webhook of an alert another secret. False if the site has no alert with this number.
    pub fn renew_alert_secret(&self, site_id: SiteId, id: i64) -> Result<bool, CatalogError> {
        let doing = "renews the secret of a webhook";
        self.connections.write(doing, |transaction| {
            let sql = "UPDATE alerts SET secret_renewals = secret_renewals + 1
                       WHERE site_id = ?1 AND id = ?2";
            let renewed = transaction.execute(sql, params![site_id.0, id]);
            Ok(renewed.map_err(CatalogError::during(doing))? > 0)
        })
    }

    /// Removes an alert with what waits of it; false if the site has none with this number.
    pub fn delete_alert(&self, site_id: SiteId, id: i64) -> Result<bool, CatalogError> {
        let sql = "DELETE FROM alerts WHERE site_id = ?1 AND id = ?2";
        self.delete_sender("removes an alert", sql, site_id, id, Sender::Alert(id))
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Alert> {
    let definition = NewAlert {
        name: row.get(2)?,
        rule: row.get(3)?,
        recipients: read_json(row, 4)?,
        webhook_url: row.get(5)?,
    };
    let state =
        AlertState { since_ms: row.get(6)?, began_at_ms: row.get(7)?, looked_at_ms: row.get(8)? };
    Ok(Alert {
        id: row.get(0)?,
        site_id: SiteId(row.get(1)?),
        definition,
        ended: read_json(row, 10)?,
        secret_renewals: row.get(11)?,
        state,
        created_at_ms: row.get(9)?,
    })
}
