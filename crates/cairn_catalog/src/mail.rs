//! What recipients of mails said about being followed, and who they are.
//!
//! Guarantees: a choice is on record under a keyed hash only. The user id itself goes to `people`, and only with a yes;
//! of the same recipient the newest choice counts, for mails sent before it too.

use cairn_model::SiteId;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::sites::require_room;
use crate::{Catalog, CatalogError, MAIL_CHOICES_PER_SITE_MAX};

/// Choices of one recipient; `None` = he said nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MailChoices {
    /// Opens of his may be known as his.
    pub opens: Option<bool>,
    /// Clicks of his may be known as his.
    pub clicks: Option<bool>,
}

/// A recipient as he is on record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recipient {
    /// His user id; empty = not known, or erased.
    pub user_id: String,
    /// His choices.
    pub choices: MailChoices,
}

impl Catalog {
    /// Records what a recipient said now; what he says nothing about stays. Gives the choices as they are then.
    pub fn record_mail_choices(
        &self,
        site_id: SiteId,
        user_key: u64,
        user_id: &str,
        said: MailChoices,
        now_ms: i64,
    ) -> Result<MailChoices, CatalogError> {
        let doing = "records a choice about mails";
        let choices = self.connections.write(doing, |transaction| {
            let known =
                read(transaction, site_id, user_key).map_err(CatalogError::during(doing))?;
            let is_new = known.is_none();
            let known = known.unwrap_or_default();
            let choices = MailChoices {
                opens: said.opens.or(known.opens),
                clicks: said.clicks.or(known.clicks),
            };
            if choices == known && !grants(choices) {
                return Ok(choices);
            }
            if is_new {
                let count = format!("SELECT count(*) FROM mail_choices WHERE site_id = {site_id}");
                let bound = MAIL_CHOICES_PER_SITE_MAX;
                require_room(transaction, &count, "mail choices of a site", bound)?;
            }
            write(transaction, site_id, user_key, choices, now_ms)
                .and_then(|()| match grants(choices) {
                    true => write_person(transaction, site_id, user_key, user_id, now_ms),
                    false => Ok(()),
                })
                .map_err(CatalogError::during(doing))?;
            Ok(choices)
        })?;
        if [choices.opens, choices.clicks].contains(&Some(false)) {
            self.note_withdrawn();
        }
        Ok(choices)
    }

    /// The recipient behind a keyed hash.
    pub fn mail_recipient(
        &self,
        site_id: SiteId,
        user_key: u64,
    ) -> Result<Recipient, CatalogError> {
        self.connections.read("looks for a recipient", |connection| {
            let user_id = connection
                .prepare_cached("SELECT user_id FROM people WHERE site_id = ?1 AND user_key = ?2")?
                .query_row(params![site_id.0, user_key.cast_signed()], |row| row.get(0))
                .optional()?;
            let choices = connection
                .prepare_cached(SELECT)?
                .query_row(params![site_id.0, user_key.cast_signed()], read_choices)
                .optional()?;
            Ok(Recipient {
                user_id: user_id.unwrap_or_default(),
                choices: choices.unwrap_or_default(),
            })
        })
    }
}

const SELECT: &str = "SELECT opens, clicks FROM mail_choices WHERE site_id = ?1 AND user_key = ?2";

fn grants(choices: MailChoices) -> bool {
    choices.opens == Some(true) || choices.clicks == Some(true)
}

fn read(
    transaction: &Transaction<'_>,
    site_id: SiteId,
    user_key: u64,
) -> rusqlite::Result<Option<MailChoices>> {
    transaction
        .prepare_cached(SELECT)?
        .query_row(params![site_id.0, user_key.cast_signed()], read_choices)
        .optional()
}

fn read_choices(row: &rusqlite::Row<'_>) -> rusqlite::Result<MailChoices> {
    Ok(MailChoices { opens: row.get(0)?, clicks: row.get(1)? })
}

pub(crate) fn write(
    transaction: &Transaction<'_>,
    site_id: SiteId,
    user_key: u64,
    choices: MailChoices,
    now_ms: i64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO mail_choices (site_id, user_key, opens, clicks, changed_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET opens = excluded.opens, clicks = excluded.clicks,
                changed_at_ms = excluded.changed_at_ms
             WHERE opens IS NOT excluded.opens OR clicks IS NOT excluded.clicks",
        )?
        .execute(params![
            site_id.0,
            user_key.cast_signed(),
            choices.opens,
            choices.clicks,
            now_ms
        ])?;
    Ok(())
}

fn write_person(
    transaction: &Transaction<'_>,
    site_id: SiteId,
    user_key: u64,
    user_id: &str,
    now_ms: i64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO people (site_id, user_key, user_id, claimed_traits, first_seen_ms, last_seen_ms)
             VALUES (?1, ?2, ?3, '', ?4, ?4)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![site_id.0, user_key.cast_signed(), user_id, now_ms])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewSite;

    #[test]
    fn the_newest_choice_counts_and_a_name_needs_a_yes() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
        let site = NewSite::of("shop.example");
        let site = catalog.add_site(&site, None, 1).unwrap().id;
        let say = |opens, clicks, now_ms| {
            let said = MailChoices { opens, clicks };
            catalog.record_mail_choices(site, 9, "anna-1", said, now_ms).unwrap()
        };
        let known = || catalog.mail_recipient(site, 9).unwrap();
        assert_eq!(say(None, None, 1), MailChoices::default());
        assert_eq!(say(Some(false), None, 2).opens, Some(false));
        assert_eq!((known().user_id.as_str(), known().choices.opens), ("", Some(false)));
        let both = MailChoices { opens: Some(false), clicks: Some(true) };
        assert_eq!(say(None, Some(true), 3), both);
        assert_eq!(known(), Recipient { user_id: "anna-1".into(), choices: both });
        let neither = MailChoices { opens: Some(false), clicks: Some(false) };
        assert_eq!(say(None, Some(false), 4), neither);
        assert_eq!(known().choices, neither);
        assert_eq!(catalog.mail_recipient(SiteId(site.0 ^ 1), 9).unwrap(), Recipient::default());
    }
}
