//! The ledger of withdrawals, beside the backups: what a *no* forgot does not come back with a restore.
//!
//! Guarantees: as of the ledger of opt-outs, with which it is brought up to date. It names nobody: its numbers are hashes under
//! keys of the instance. What it says is carried out in what is restored; in the backups themselves the values stay until those
//! are removed, or an erasure reaches them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use cairn_catalog::{Catalog, MailChoices, Withdrawal, Withdrawn, hex, parse_hex};
use cairn_model::{SiteId, VisitorId};

use super::BackupError;
use super::ledger::{Ledger, replace};
use super::making::make_private;

/// Name of the ledger of withdrawals, in the directory of the backups.
pub const WITHDRAWALS_FILE: &str = "withdrawals.ledger";

/// What a file of withdrawals says, by site and whom it is about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Withdrawals(BTreeMap<(SiteId, String), Withdrawal>);

impl Withdrawals {
    /// Reads a file; one that is missing is empty.
    pub fn read(path: &Path) -> Result<Withdrawals, BackupError> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(BackupError::disk("reads the ledger of withdrawals"))?,
        };
        let mut withdrawals = Withdrawals::default();
        for (line, number) in text.lines().zip(1..) {
            let withdrawal = parsed(line).ok_or_else(|| BackupError::Damaged {
                file: path.to_owned(),
                why: format!("line {number} is no withdrawal"),
            })?;
            withdrawals.join([withdrawal]);
        }
        Ok(withdrawals)
    }

    /// Adds what another one has; the latest word counts.
    pub fn join(&mut self, others: impl IntoIterator<Item = Withdrawal>) {
        for other in others {
            let whose = match other.what {
                Withdrawn::Memory(holder) => hex(&holder),
                Withdrawn::Mails(user_key, _) => format!("{user_key:016x}"),
                Withdrawn::Sender(sender, _) => format!("sender {:016x}", sender.0),
            };
            let known = self.0.entry((other.site_id, whose)).or_insert(other);
            if other.said_at_ms > known.said_at_ms {
                *known = other;
            }
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Withdrawal> {
        self.0.values().copied()
    }

    /// Takes out those to sites that were removed since.
    pub fn forget_removed(&mut self, ledger: &Ledger) {
        for (removed, asked_at_ms) in ledger.removed_sites() {
            self.0.retain(|(site_id, _), withdrawal| {
                *site_id != removed.id || withdrawal.said_at_ms > asked_at_ms
            });
        }
    }

    /// Writes them into a directory, as a whole; where there are none there is nothing to keep.
    pub fn keep_in(&self, directory: &Path) -> io::Result<()> {
        let path = directory.join(WITHDRAWALS_FILE);
        if self.0.is_empty() && !path.exists() {
            return Ok(());
        }
        make_private(directory)?;
        replace(&path, |file| {
            let mut file = BufWriter::new(file);
            for withdrawal in self.all() {
                writeln!(file, "{}", line_of(&withdrawal))?;
            }
            file.flush()
        })
    }

    /// Brings a file of them up to date with a catalog.
    pub fn follow(
        catalog: &Catalog,
        directory: &Path,
        removed: &Ledger,
    ) -> Result<(), BackupError> {
        let known = Withdrawals::read(&directory.join(WITHDRAWALS_FILE))?;
        let mut withdrawals = known.clone();
        // A sender's no has an end: a later yes, an erasure, its age. What is not on record any more is over.
        withdrawals.0.retain(|_, one| !matches!(one.what, Withdrawn::Sender(..)));
        withdrawals.join(catalog.withdrawals()?);
        withdrawals.forget_removed(removed);
        match withdrawals == known {
            true => Ok(()),
            false => withdrawals
                .keep_in(directory)
                .map_err(BackupError::disk("writes the ledger of withdrawals")),
        }
    }

    /// Carries them out in a copy of the catalog.
    pub fn carry_out(&self, catalog: &Catalog) -> Result<usize, BackupError> {
        let withdrawals: Vec<Withdrawal> = self.all().collect();
        Ok(catalog.take_withdrawals(&withdrawals)?)
    }
}

fn line_of(withdrawal: &Withdrawal) -> String {
    let Withdrawal { site_id, what, said_at_ms } = withdrawal;
    let word = |said: Option<bool>| said.map_or("-", |is_yes| if is_yes { "1" } else { "0" });
    match what {
        Withdrawn::Memory(holder) => format!("{site_id} memory {} {said_at_ms}", hex(holder)),
        Withdrawn::Mails(user_key, MailChoices { opens, clicks }) => {
            let (opens, clicks) = (word(*opens), word(*clicks));
            format!("{site_id} mails {user_key:016x} {said_at_ms} {opens} {clicks}")
        }
        Withdrawn::Sender(VisitorId(sender), said_by) => {
            format!("{site_id} sender {sender:016x} {said_at_ms} {said_by}")
        }
    }
}

fn parsed(line: &str) -> Option<Withdrawal> {
    let word = |text: &str| match text {
        "-" => Some(None),
        "0" => Some(Some(false)),
        "1" => Some(Some(true)),
        _ => None,
    };
    let parts: Vec<&str> = line.split(' ').collect();
    let (what, [site_id, said_at_ms]) = match parts[..] {
        [site_id, "memory", holder, at_ms] => {
            (Withdrawn::Memory(parse_hex(holder)?), [site_id, at_ms])
        }
        [site_id, "mails", user_key, at_ms, opens, clicks] => {
            let choices = MailChoices { opens: word(opens)?, clicks: word(clicks)? };
            let user_key = u64::from_str_radix(user_key, 16).ok()?;
            (Withdrawn::Mails(user_key, choices), [site_id, at_ms])
        }
        [site_id, "sender", sender, at_ms, said_by] => {
            let sender = VisitorId(u64::from_str_radix(sender, 16).ok()?);
            (Withdrawn::Sender(sender, said_by.parse().ok()?), [site_id, at_ms])
        }
        _ => return None,
    };
    let (site_id, said_at_ms) = (SiteId(site_id.parse().ok()?), said_at_ms.parse().ok()?);
    Some(Withdrawal { site_id, what, said_at_ms })
}
