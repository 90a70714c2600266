//! Dispatches: what is to be mailed or posted, each once.
//!
//! Guarantees: of a sender, a target and an occasion there is one dispatch, whoever asks for it how often; an attempt is on
//! disk before it is made, so that no crash can make more of them than there may be.

use std::fmt;

use cairn_model::SiteId;
use rusqlite::{OptionalExtension, Row, ToSql, Transaction, params};

use crate::sites::read_json;
use crate::{Catalog, CatalogError};

/// What sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// The digest of this number.
    Digest(i64),
    /// The alert of this number.
    Alert(i64),
}

impl Sender {
    fn table(self) -> (&'static str, i64) {
        match self {
            Sender::Digest(id) => ("digests", id),
            Sender::Alert(id) => ("alerts", id),
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sender::Digest(id) => write!(formatter, "digest {id}"),
            Sender::Alert(id) => write!(formatter, "alert {id}"),
        }
    }
}

/// What is to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewDispatch {
    /// The site that it is about.
    pub site_id: SiteId,
    /// What sends it.
    pub sender: Sender,
    /// The mail address; empty: the alert's webhook.
    pub target: String,
    /// What makes it another one than the last.
    pub occasion: String,
    /// What it tells, as JSON.
    pub content: String,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DispatchState {
    /// It is to be tried, or tried again.
    Waiting,
    /// It was taken.
    Sent,
    /// It was not taken, and is not tried any more.
    GivenUp,
}

impl DispatchState {
    /// Its name in API and catalog.
    pub fn name(self) -> &'static str {
        match self {
            DispatchState::Waiting => "waiting",
            DispatchState::Sent => "sent",
            DispatchState::GivenUp => "given_up",
        }
    }

    fn named(name: &str) -> Self {
        let known = [DispatchState::Waiting, DispatchState::Sent];
        known.into_iter().find(|state| state.name() == name).unwrap_or(DispatchState::GivenUp)
    }
}

/// What is, or was, to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dispatch {
    /// Its number.
    pub id: i64,
    /// What it is.
    pub what: NewDispatch,
    /// What became of it.
    pub state: DispatchState,
    /// Attempts that were begun.
    pub attempts: u32,
    /// When it was settled, Unix milliseconds.
    pub settled_at_ms: Option<i64>,
    /// Why it is not sent; empty: no attempt failed.
    pub problem: String,
}

const COLUMNS: &str = "SELECT id, site_id, sender, target, occasion, content, state, attempts, \
                       settled_at_ms, problem FROM dispatches";

impl Catalog {
    /// Notes what is to be sent from now on; what was noted before stays as it is. Gives how many are new.
    pub fn add_dispatches(&self, new: &[NewDispatch], now_ms: i64) -> Result<usize, CatalogError> {
        let doing = "notes what is to be sent";
        self.connections.write(doing, |transaction| insert(transaction, new, now_ms, doing))
    }

    /// Those whose time has come, the oldest first.
    pub fn due_dispatches(&self, now_ms: i64, count: usize) -> Result<Vec<Dispatch>, CatalogError> {
        self.connections.read("looks for what is to be sent", |connection| {
            let sql = format!(
                "{COLUMNS} WHERE state = 'waiting' AND due_at_ms <= ?1 ORDER BY due_at_ms, id LIMIT {count}"
            );
            connection.prepare_cached(&sql)?.query_map([now_ms], read)?.collect()
        })
    }

    /// The last ones of a sender, the newest first.
    pub fn dispatches_of(
        &self,
        sender: Sender,
        count: usize,
    ) -> Result<Vec<Dispatch>, CatalogError> {
        self.connections.read("lists what was sent", |connection| {
            let sql = format!("{COLUMNS} WHERE sender = ?1 ORDER BY id DESC LIMIT {count}");
            connection.prepare_cached(&sql)?.query_map([sender.to_string()], read)?.collect()
        })
    }

    /// Begins the attempt after so many: it counts from now on, and if nothing more is heard of it, the next one is at
    /// `next_at_ms`. False: it does not wait any more, or somebody else has begun it.
    pub fn begin_dispatch(
        &self,
        id: i64,
        attempts: u32,
        next_at_ms: i64,
    ) -> Result<bool, CatalogError> {
        let sql = "UPDATE dispatches SET attempts = attempts + 1, due_at_ms = ?2
                   WHERE id = ?1 AND state = 'waiting' AND attempts = ?3";
        let doing = "begins to send";
        self.connections.write(doing, |transaction| {
            let begun = transaction.execute(sql, params![id, next_at_ms, attempts]);
            Ok(begun.map_err(CatalogError::during(doing))? > 0)
        })
    }

    /// Notes how an attempt ended; one that failed and is tried again stays `Waiting`.
    pub fn end_dispatch(
        &self,
        id: i64,
        state: DispatchState,
        problem: &str,
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let doing = "notes what became of a dispatch";
        let settled_at_ms = (state != DispatchState::Waiting).then_some(now_ms);
        self.connections.write(doing, |transaction| {
            let sql = "UPDATE dispatches SET state = ?2, problem = ?3, settled_at_ms = ?4
                       WHERE id = ?1 AND state = 'waiting'";
            let ended = transaction.execute(sql, params![id, state.name(), problem, settled_at_ms]);
            ended.map(drop).map_err(CatalogError::during(doing))
        })
    }

    /// Forgets what was settled before this time.
    pub fn expire_dispatches(&self, before_ms: i64) -> Result<usize, CatalogError> {
        let doing = "forgets what was sent";
        self.connections.write(doing, |transaction| {
            let sql = "DELETE FROM dispatches WHERE settled_at_ms < ?1";
            transaction.execute(sql, [before_ms]).map_err(CatalogError::during(doing))
        })
    }

    /// The site of a sender, and its recipients.
    pub fn recipients_of(
        &self,
        sender: Sender,
    ) -> Result<Option<(SiteId, Vec<String>)>, CatalogError> {
        let (table, id) = sender.table();
        self.connections.read("reads who gets something", |connection| {
            let sql = format!("SELECT site_id, recipients FROM {table} WHERE id = ?1");
            let read = |row: &Row<'_>| Ok((SiteId(row.get(0)?), read_json(row, 1)?));
            connection.prepare_cached(&sql)?.query_row([id], read).optional()
        })
    }

    /// A recipient ends what a sender sends him; what waits for him goes, too.
    pub fn end_for_recipient(&self, sender: Sender, email: &str) -> Result<(), CatalogError> {
        let doing = "ends what is sent to a recipient";
        let (table, id) = sender.table();
        self.connections.write(doing, |transaction| {
            let note = format!(
                "UPDATE {table} SET ended = json_insert(ended, '$[#]', ?2) WHERE id = ?1
                 AND NOT EXISTS (SELECT 1 FROM json_each(ended) WHERE value = ?2)"
            );
            let ended = transaction.execute(&note, params![id, email]).and_then(|_| {
                let rest = "DELETE FROM dispatches
                            WHERE sender = ?1 AND target = ?2 AND state = 'waiting'";
                transaction.execute(rest, params![sender.to_string(), email])
            });
            ended.map(drop).map_err(CatalogError::during(doing))
        })
    }

    /// Changes a sender by an `UPDATE` of its own; what waits for targets that it has no more goes.
    pub(crate) fn change_sender(
        &self,
        doing: &'static str,
        sql: &str,
        values: &[&dyn ToSql],
        sender: Sender,
    ) -> Result<bool, CatalogError> {
        let (table, id) = sender.table();
        let webhook = match sender {
            Sender::Digest(_) => "''",
            Sender::Alert(_) => "webhook_url",
        };
        let rest = format!(
            "DELETE FROM dispatches WHERE sender = ?1 AND state = 'waiting' AND NOT EXISTS (
                 SELECT 1 FROM {table} WHERE id = ?2 AND CASE target
                 WHEN '' THEN {webhook} <> ''
                 ELSE target IN (SELECT value FROM json_each(recipients)) END)"
        );
        self.connections.write(doing, |transaction| {
            let changed = transaction.execute(sql, values).and_then(|changed| {
                transaction.execute(&rest, params![sender.to_string(), id])?;
                Ok(changed)
            });
            Ok(changed.map_err(CatalogError::during(doing))? > 0)
        })
    }

    pub(crate) fn delete_sender(
        &self,
        doing: &'static str,
        sql: &str,
        site_id: SiteId,
        id: i64,
        sender: Sender,
    ) -> Result<bool, CatalogError> {
        self.connections.write(doing, |transaction| {
            let failed = CatalogError::during(doing);
            let removed = transaction.execute(sql, params![site_id.0, id]).and_then(|removed| {
                let rest = "DELETE FROM dispatches WHERE site_id = ?1 AND sender = ?2";
                transaction.execute(rest, params![site_id.0, sender.to_string()])?;
                Ok(removed)
            });
            Ok(removed.map_err(failed)? > 0)
        })
    }
}

pub(crate) fn insert(
    transaction: &Transaction<'_>,
    new: &[NewDispatch],
    now_ms: i64,
    doing: &'static str,
) -> Result<usize, CatalogError> {
    let sql = "INSERT INTO dispatches
        (site_id, sender, target, occasion, content, state, attempts, due_at_ms, problem)
        VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', 0, ?6, '') ON CONFLICT DO NOTHING";
    let inserted = new.iter().map(|dispatch| {
        let NewDispatch { site_id, sender, target, occasion, content } = dispatch;
        let values = params![site_id.0, sender.to_string(), target, occasion, content, now_ms];
        transaction.prepare_cached(sql)?.execute(values)
    });
    inserted.sum::<rusqlite::Result<usize>>().map_err(CatalogError::during(doing))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Dispatch> {
    let (sender, state): (String, String) = (row.get(2)?, row.get(6)?);
    let number = |rest: &str| rest.parse().unwrap_or_default();
    let sender = match sender.split_once(' ') {
        Some(("alert", rest)) => Sender::Alert(number(rest)),
        other => Sender::Digest(other.map_or(0, |(_, rest)| number(rest))),
    };
    let what = NewDispatch {
        site_id: SiteId(row.get(1)?),
        sender,
        target: row.get(3)?,
        occasion: row.get(4)?,
        content: row.get(5)?,
    };
    Ok(Dispatch {
        id: row.get(0)?,
        what,
        state: DispatchState::named(&state),
        attempts: row.get(7)?,
        settled_at_ms: row.get(8)?,
        problem: row.get(9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewSite;

    #[test]
    fn an_attempt_is_begun_by_one_alone() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
        let site_id = catalog.add_site(&NewSite::of("shop.example"), None, 0).unwrap().id;
        let new = NewDispatch {
            site_id,
            sender: Sender::Digest(1),
            target: "anna@shop.example".to_owned(),
            occasion: "now 1".to_owned(),
            content: "{}".to_owned(),
        };
        assert_eq!(catalog.add_dispatches(std::slice::from_ref(&new), 0).unwrap(), 1);
        assert_eq!(catalog.add_dispatches(&[new], 0).unwrap(), 0, "it is noted once");
        // Two that look at the same time find the same one, and one of them begins it.
        let id = catalog.due_dispatches(0, 9).unwrap()[0].id;
        assert!(catalog.begin_dispatch(id, 0, 60_000).unwrap());
        assert!(!catalog.begin_dispatch(id, 0, 60_000).unwrap());
        assert!(catalog.due_dispatches(59_999, 9).unwrap().is_empty());
        assert_eq!(catalog.due_dispatches(60_000, 9).unwrap()[0].attempts, 1);
        assert!(catalog.begin_dispatch(id, 1, 120_000).unwrap());
    }
}
