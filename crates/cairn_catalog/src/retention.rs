//! What is too old goes, some at a time; and what each run removed is on record, to be shown.
//!
//! Guarantees: nothing goes that is younger than its rule says. The catalog does not know the store's events: whoever
//! removes those notes it here.

use cairn_model::SiteId;
use cairn_model::retention::{DataClass, Retention};
use rusqlite::{OptionalExtension, params};

use crate::{Catalog, CatalogError, IDEMPOTENCY_AGE_MS_MAX};

/// Entries that one step removes of one class: the lock is not held for long.
const EXPIRED_PER_STEP: usize = 1_000;
/// The site under which runs are on record that concern the whole instance.
const INSTANCE: SiteId = SiteId(0);

/// The last run for one class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetentionRun {
    /// When, Unix milliseconds.
    pub ran_at_ms: i64,
    /// How many entries it removed.
    pub removed: u64,
}

/// What is removed here: the class, the table, the time it is counted by, and a further condition.
const EXPIRING: [(DataClass, &str, &str, &str); 5] = [
    (DataClass::People, "people", "last_seen_ms", "TRUE"),
    (DataClass::MailChoices, "mail_choices", "changed_at_ms", "TRUE"),
    (DataClass::Refusals, "refusals", "said_at_ms", "TRUE"),
    (DataClass::Erasures, "erasures", "asked_at_ms", "state = 'done' AND is_watched = 0"),
    (DataClass::Requests, "rights_requests", "closed_at_ms", "closed_at_ms IS NOT NULL"),
];

/// The table and column of the oldest entry that is held; of a class of the whole instance, without a site.
fn oldest(class: DataClass) -> Option<(&'static str, &'static str, bool)> {
    match class {
        DataClass::People => Some(("people", "first_seen_ms", true)),
        DataClass::MailChoices => Some(("mail_choices", "changed_at_ms", true)),
        DataClass::Memory => Some(("memory", "changed_at_ms", true)),
        DataClass::Receipts => Some(("receipts", "at_ms", true)),
        DataClass::OptOuts => Some(("opt_outs", "recorded_at_ms", true)),
        DataClass::Refusals => Some(("refusals", "said_at_ms", true)),
        DataClass::Erasures => Some(("erasures", "asked_at_ms", true)),
        DataClass::Requests => Some(("rights_requests", "received_at_ms", true)),
        DataClass::Outcomes => Some(("edge_outcomes", "hour_ms", true)),
        DataClass::Answers => Some(("idempotency", "created_at_ms", false)),
        DataClass::LogIns => Some(("browser_sessions", "created_at_ms", false)),
        DataClass::Events | DataClass::EventIds => None,
    }
}

impl Catalog {
    /// Removes what a site holds of these classes for too long, some at a time; gives how much of each. Ask again until it
    /// is nothing.
    pub fn expire_site(
        &self,
        site_id: SiteId,
        retention: &Retention,
        now_ms: i64,
    ) -> Result<Vec<(DataClass, u64)>, CatalogError> {
        self.connections.write("removes what is too old", |transaction| {
            let mut removed = Vec::new();
            for (class, table, time, condition) in EXPIRING {
                let Some(cutoff_ms) = retention.cutoff_ms(class, now_ms) else { continue };
                let sql = format!(
                    "DELETE FROM {table} WHERE site_id = ?1 AND {time} < ?2 AND {condition}
                     AND ({time}) IN (SELECT {time} FROM {table} WHERE site_id = ?1 AND {time} < ?2
                        AND {condition} ORDER BY {time} LIMIT {EXPIRED_PER_STEP})"
                );
                let count = transaction
                    .prepare_cached(&sql)
                    .and_then(|mut delete| delete.execute(params![site_id.0, cutoff_ms]))
                    .map_err(CatalogError::during("removes what is too old"))?;
                removed.push((class, count as u64));
            }
            Ok(removed)
        })
    }

    /// Removes what the instance keeps for too long: answers and log-ins. Both are few.
    pub fn expire_instance(&self, now_ms: i64) -> Result<Vec<(DataClass, u64)>, CatalogError> {
        let doing = "removes what is too old";
        self.connections.write(doing, |transaction| {
            let run = |sql: &str, before_ms: i64| {
                let count = transaction.execute(sql, [before_ms]);
                count.map(|count| count as u64).map_err(CatalogError::during(doing))
            };
            let answers_ms = now_ms.saturating_sub(IDEMPOTENCY_AGE_MS_MAX);
            let answers = run("DELETE FROM idempotency WHERE created_at_ms <= ?1", answers_ms)?;
            let log_ins = run("DELETE FROM browser_sessions WHERE expires_at_ms <= ?1", now_ms)?;
            let links = run("DELETE FROM one_time_links WHERE expires_at_ms <= ?1", now_ms)?;
            Ok(vec![(DataClass::Answers, answers), (DataClass::LogIns, log_ins + links)])
        })
    }

    /// Notes that a run for a site ended, and what it removed. `None`: for the instance.
    pub fn note_retention(
        &self,
        site_id: Option<SiteId>,
        removed: &[(DataClass, u64)],
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let doing = "notes what was removed";
        self.connections.write(doing, |transaction| {
            for (class, count) in removed {
                let count = i64::try_from(*count).unwrap_or(i64::MAX);
                transaction
                    .prepare_cached(
                        "INSERT INTO retention_runs (site_id, class, ran_at_ms, removed)
                         SELECT ?1, ?2, ?3, ?4
                         WHERE NOT EXISTS (SELECT 1 FROM removed_sites WHERE site_id = ?1)
                         ON CONFLICT DO UPDATE SET ran_at_ms = excluded.ran_at_ms,
                            removed = excluded.removed",
                    )
                    .and_then(|mut insert| {
                        let site_id = site_id.unwrap_or(INSTANCE);
                        insert.execute(params![site_id.0, class.rule().name, now_ms, count])
                    })
                    .map_err(CatalogError::during(doing))?;
            }
            Ok(())
        })
    }

    /// The last run for a class that concerned the site.
    pub fn retention_run(
        &self,
        site_id: SiteId,
        class: DataClass,
    ) -> Result<Option<RetentionRun>, CatalogError> {
        self.connections.read("reads what was removed", |connection| {
            connection
                .prepare_cached(
                    "SELECT ran_at_ms, removed FROM retention_runs
                     WHERE site_id IN (?1, ?2) AND class = ?3 ORDER BY site_id DESC LIMIT 1",
                )?
                .query_row(params![site_id.0, INSTANCE.0, class.rule().name], |row| {
                    let removed = row.get::<_, i64>(1)?.cast_unsigned();
                    Ok(RetentionRun { ran_at_ms: row.get(0)?, removed })
                })
                .optional()
        })
    }

    /// When the oldest entry of a class came that the catalog holds of a site.
    pub fn oldest_held_ms(
        &self,
        site_id: SiteId,
        class: DataClass,
    ) -> Result<Option<i64>, CatalogError> {
        let Some((table, time, is_of_site)) = oldest(class) else { return Ok(None) };
        let sql = match is_of_site {
            true => format!("SELECT min({time}) FROM {table} WHERE site_id = ?1"),
            false => format!("SELECT min({time}) FROM {table} WHERE ?1 = ?1"),
        };
        self.connections.read("looks for the oldest entry", |connection| {
            connection.prepare_cached(&sql)?.query_row([site_id.0], |row| row.get(0))
        })
    }
}
