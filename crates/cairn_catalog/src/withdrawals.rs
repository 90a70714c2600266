//! What a *no* took away, for the ledger beside the backups and back from it: forgotten memory, refusals about
//! mails, and those of senders that keep no record of ours.
//!
//! Purpose: what somebody withdrew stays withdrawn when an older catalog takes the place of this one. Keyed numbers only. That
//! a memory was forgotten is kept as long as any of its values could have lasted, a refusal about mails as its choice is.

use cairn_model::refusal::Refusal;
use cairn_model::{SiteId, VisitorId};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::{Catalog, CatalogError, MailChoices, refusals};

/// What was withdrawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Withdrawn {
    /// Everything that this holder had remembered: keyed hash of a browser's cookie or of a user id.
    Memory([u8; 32]),
    /// Being known by mails: keyed hash of the user id, and all that he said.
    Mails(u64, MailChoices),
    /// Being known as a sender without a record of ours: its keyed number, and by what it was said.
    Sender(VisitorId, u8),
}

/// A *no*.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Withdrawal {
    /// To which site.
    pub site_id: SiteId,
    /// What it took away.
    pub what: Withdrawn,
    /// When, Unix milliseconds.
    pub said_at_ms: i64,
}

impl Catalog {
    /// Every withdrawal that is on record.
    pub fn withdrawals(&self) -> Result<Vec<Withdrawal>, CatalogError> {
        self.connections.read("lists what was withdrawn", |connection| {
            let memory = |row: &Row<'_>| {
                let (site_id, what) = (SiteId(row.get(0)?), Withdrawn::Memory(row.get(1)?));
                Ok(Withdrawal { site_id, what, said_at_ms: row.get(2)? })
            };
            let mails = |row: &Row<'_>| {
                let choices = MailChoices { opens: row.get(2)?, clicks: row.get(3)? };
                let what = Withdrawn::Mails(row.get::<_, i64>(1)?.cast_unsigned(), choices);
                Ok(Withdrawal { site_id: SiteId(row.get(0)?), what, said_at_ms: row.get(4)? })
            };
            let mut statement = connection
                .prepare_cached("SELECT site_id, holder, forgotten_at_ms FROM memory_forgotten")?;
            let mut all: Vec<Withdrawal> =
                statement.query_map([], memory)?.collect::<rusqlite::Result<_>>()?;
            let mut statement = connection.prepare_cached(
                "SELECT site_id, user_key, opens, clicks, changed_at_ms FROM mail_choices
                 WHERE opens = 0 OR clicks = 0",
            )?;
            for refused in statement.query_map([], mails)? {
                all.push(refused?);
            }
            let of_sender = |refusal: Refusal| {
                let what = Withdrawn::Sender(refusal.sender, refusal.said_by?);
                Some(Withdrawal { site_id: refusal.site_id, what, said_at_ms: refusal.said_at_ms })
            };
            all.extend(refusals::all(connection)?.into_iter().filter_map(of_sender));
            Ok(all)
        })
    }

    /// Carries out withdrawals that another catalog had, as far as this one knows nothing as late. Returns how many took
    /// something away. A site that this catalog has not, or that was added later, is another one.
    pub fn take_withdrawals(&self, withdrawals: &[Withdrawal]) -> Result<usize, CatalogError> {
        let directory = self.directory().current();
        let is_of_ours = |withdrawal: &&Withdrawal| {
            let entry = directory.by_id(withdrawal.site_id);
            entry.is_some_and(|entry| entry.site.created_at_ms <= withdrawal.said_at_ms)
        };
        let doing = "takes withdrawals over";
        self.connections.write(doing, |transaction| {
            let mut taken = 0;
            for withdrawal in withdrawals.iter().filter(is_of_ours) {
                let took = take(transaction, withdrawal).map_err(CatalogError::during(doing))?;
                taken += usize::from(took);
            }
            Ok(taken)
        })
    }

    /// Ends every log-in and every link that lets somebody in once: those of an older catalog may have been ended since.
    pub fn end_log_ins(&self) -> Result<(), CatalogError> {
        let doing = "ends log-ins";
        self.connections.write(doing, |transaction| {
            transaction
                .execute_batch("DELETE FROM browser_sessions; DELETE FROM one_time_links;")
                .map_err(CatalogError::during(doing))
        })
    }
}

/// Notes that a holder was forgotten.
pub(crate) fn note_forgotten(
    transaction: &Transaction<'_>,
    site: SiteId,
    holder: &[u8; 32],
    now_ms: i64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO memory_forgotten (site_id, holder, forgotten_at_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET
                forgotten_at_ms = max(forgotten_at_ms, excluded.forgotten_at_ms)",
        )?
        .execute(params![site.0, holder, now_ms])?;
    Ok(())
}

fn take(transaction: &Transaction<'_>, withdrawal: &Withdrawal) -> rusqlite::Result<bool> {
    let Withdrawal { site_id, what, said_at_ms } = withdrawal;
    match what {
        Withdrawn::Memory(holder) => {
            let asked = params![site_id.0, holder, said_at_ms];
            let is_known: bool = transaction
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM memory_forgotten
                     WHERE site_id = ?1 AND holder = ?2 AND forgotten_at_ms >= ?3)",
                )?
                .query_row(asked, |row| row.get(0))?;
            if is_known {
                return Ok(false);
            }
            note_forgotten(transaction, *site_id, holder, *said_at_ms)?;
            let values = transaction
                .prepare_cached(
                    "DELETE FROM memory WHERE site_id = ?1 AND (holder = ?2 OR left_by = ?2)
                     AND changed_at_ms <= ?3",
                )?
                .execute(asked)?;
            let ties = transaction
                .prepare_cached(
                    "DELETE FROM memory_ties WHERE site_id = ?1 AND (browser = ?2 OR person = ?2)",
                )?
                .execute(params![site_id.0, holder])?;
            Ok(values + ties > 0)
        }
        Withdrawn::Sender(sender, said_by) => {
            let said = (*site_id, *sender, Some(*said_by), *said_at_ms);
            let (site_id, sender, said_by, said_at_ms) = said;
            refusals::record(transaction, &Refusal { site_id, sender, said_by, said_at_ms })
        }
        Withdrawn::Mails(user_key, choices) => {
            let user = user_key.cast_signed();
            let known: Option<i64> = transaction
                .prepare_cached(
                    "SELECT changed_at_ms FROM mail_choices WHERE site_id = ?1 AND user_key = ?2",
                )?
                .query_row(params![site_id.0, user], |row| row.get(0))
                .optional()?;
            if known.is_some_and(|known_ms| known_ms >= *said_at_ms) {
                return Ok(false);
            }
            crate::mail::write(transaction, *site_id, *user_key, *choices, *said_at_ms)?;
            Ok(true)
        }
    }
}
