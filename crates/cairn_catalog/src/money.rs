//! Exchange rates of the instance and costs of sites, as their owners provided them.
//!
//! Guarantees: what is put in a second time replaces what is about the same, so that importing a file again changes nothing.
//! Nothing here is about a person; it is kept until its owner removes it, costs no longer than their site.

use cairn_model::rates::Day;
use cairn_model::{Cost, Rate, SiteId};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::{COSTS_PER_SITE_MAX, Catalog, CatalogError, RATES_MAX};

/// What a call changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stored {
    /// Rows that are new.
    pub added: usize,
    /// Rows that took the place of others.
    pub replaced: usize,
}

/// The rates that are known of one currency.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownRates {
    /// ISO 4217 code.
    pub currency: String,
    /// Days with a rate.
    pub days: u64,
    /// The first of them.
    pub first: Day,
    /// The last of them.
    pub last: Day,
}

/// Which costs are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CostRange<'a> {
    /// The first day.
    pub first: Day,
    /// The last day.
    pub last: Day,
    /// Only those of this source.
    pub source: Option<&'a str>,
}

/// Rows of a table, and as many as may be in it.
fn require_bound(
    transaction: &Transaction<'_>,
    count: &str,
    what: &'static str,
    limit: usize,
) -> Result<usize, CatalogError> {
    let rows: usize = transaction
        .query_row(count, [], |row| row.get(0))
        .map_err(CatalogError::during("counts rows"))?;
    match rows > limit {
        true => Err(CatalogError::LimitReached { what, limit }),
        false => Ok(rows),
    }
}

const COST_COLUMNS: &str =
    "day, source, medium, campaign, content, term, currency, cost_micros, impressions, clicks";

impl Catalog {
    /// Puts in rates against a base; those of a currency and day that are there are replaced. Refused while there are
    /// rates against another base.
    pub fn put_rates(&self, base: &str, rates: &[Rate]) -> Result<Stored, CatalogError> {
        const DOING: &str = "stores exchange rates";
        self.connections.write(DOING, |transaction| {
            let known: Option<String> = transaction
                .query_row("SELECT base FROM rates_base", [], |row| row.get(0))
                .optional()
                .map_err(CatalogError::during(DOING))?;
            match known {
                Some(known) if known != base => {
                    return Err(CatalogError::Conflict {
                        what: "a table of rates with another base",
                    });
                }
                Some(_) => {}
                None => {
                    let insert = "INSERT INTO rates_base (base) VALUES (?1)";
                    transaction.execute(insert, [base]).map_err(CatalogError::during(DOING))?;
                }
            }
            let count = "SELECT count(*) FROM rates";
            let before = require_bound(transaction, count, "exchange rates", RATES_MAX)?;
            let put = || -> rusqlite::Result<()> {
                let mut statement = transaction.prepare_cached(
                    "INSERT INTO rates (currency, day, units) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET units = excluded.units",
                )?;
                for rate in rates {
                    statement.execute(params![rate.currency, rate.day, rate.units])?;
                }
                Ok(())
            };
            put().map_err(CatalogError::during(DOING))?;
            let after = require_bound(transaction, count, "exchange rates", RATES_MAX)?;
            let added = after.saturating_sub(before);
            Ok(Stored { added, replaced: rates.len().saturating_sub(added) })
        })
    }

    /// What rates are against; `None`: there are none.
    pub fn rates_base(&self) -> Result<Option<String>, CatalogError> {
        self.connections.read("reads what rates are against", |connection| {
            let base = connection.query_row("SELECT base FROM rates_base", [], |row| row.get(0));
            base.optional()
        })
    }

    /// Rates of some currencies on some days.
    pub fn rates(
        &self,
        currencies: &[&str],
        first: Day,
        last: Day,
    ) -> Result<Vec<Rate>, CatalogError> {
        self.connections.read("reads exchange rates", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT day, units FROM rates WHERE currency = ?1 AND day BETWEEN ?2 AND ?3 ORDER BY day",
            )?;
            let mut rates = Vec::new();
            for currency in currencies {
                let rows = statement.query_map(params![currency, first, last], |row| {
                    let currency = (*currency).to_owned();
                    Ok(Rate { day: row.get(0)?, currency, units: row.get(1)? })
                })?;
                for rate in rows {
                    rates.push(rate?);
                }
            }
            Ok(rates)
        })
    }

    /// Which rates there are, by currency.
    pub fn known_rates(&self) -> Result<Vec<KnownRates>, CatalogError> {
        self.connections.read("lists exchange rates", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT currency, count(*), min(day), max(day) FROM rates GROUP BY currency ORDER BY currency",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(KnownRates {
                    currency: row.get(0)?,
                    days: row.get(1)?,
                    first: row.get(2)?,
                    last: row.get(3)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Removes all rates, and what they were against.
    pub fn delete_rates(&self) -> Result<usize, CatalogError> {
        let doing = "removes exchange rates";
        self.connections.write(doing, |transaction| {
            let removed = transaction
                .execute("DELETE FROM rates", [])
                .map_err(CatalogError::during(doing))?;
            transaction
                .execute("DELETE FROM rates_base", [])
                .map_err(CatalogError::during(doing))?;
            Ok(removed)
        })
    }

    /// Puts in costs of a site; those about the same day and campaign are replaced.
    pub fn put_costs(&self, site_id: SiteId, costs: &[Cost]) -> Result<Stored, CatalogError> {
        const DOING: &str = "stores costs";
        let count = format!("SELECT count(*) FROM costs WHERE site_id = {site_id}");
        self.connections.write(DOING, |transaction| {
            let bound = || {
                require_bound(transaction, &count, "rows of costs of a site", COSTS_PER_SITE_MAX)
            };
            let before = bound()?;
            let put = || -> rusqlite::Result<()> {
                let mut statement = transaction.prepare_cached(&format!(
                    "INSERT INTO costs (site_id, {COST_COLUMNS})
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                     ON CONFLICT DO UPDATE SET currency = excluded.currency, cost_micros = excluded.cost_micros,
                        impressions = excluded.impressions, clicks = excluded.clicks"
                ))?;
                for cost in costs {
                    statement.execute(params![
                        site_id.0,
                        cost.day,
                        cost.source,
                        cost.medium,
                        cost.campaign,
                        cost.content,
                        cost.term,
                        cost.currency,
                        cost.micros,
                        cost.impressions,
                        cost.clicks
                    ])?;
                }
                Ok(())
            };
            put().map_err(CatalogError::during(DOING))?;
            let added = bound()?.saturating_sub(before);
            Ok(Stored { added, replaced: costs.len().saturating_sub(added) })
        })
    }

    /// Calls `each` for costs of a site, by day. They may be many: nothing is collected here.
    pub fn each_cost(
        &self,
        site_id: SiteId,
        range: CostRange<'_>,
        each: &mut dyn FnMut(Cost),
    ) -> Result<(), CatalogError> {
        self.connections.read("reads costs", |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COST_COLUMNS} FROM costs
                 WHERE site_id = ?1 AND day BETWEEN ?2 AND ?3 AND (?4 IS NULL OR source = ?4)
                 ORDER BY day, source, medium, campaign, content, term"
            ))?;
            let asked = params![site_id.0, range.first, range.last, range.source];
            let mut rows = statement.query(asked)?;
            while let Some(row) = rows.next()? {
                each(read_cost(row)?);
            }
            Ok(())
        })
    }

    /// What the costs of a site were paid in.
    pub fn cost_currencies(
        &self,
        site_id: SiteId,
        range: CostRange<'_>,
    ) -> Result<Vec<String>, CatalogError> {
        self.connections.read("lists currencies of costs", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT DISTINCT currency FROM costs
                 WHERE site_id = ?1 AND day BETWEEN ?2 AND ?3 AND (?4 IS NULL OR source = ?4)",
            )?;
            let asked = params![site_id.0, range.first, range.last, range.source];
            statement.query_map(asked, |row| row.get(0))?.collect()
        })
    }

    /// Some costs of a site, the latest first.
    pub fn costs(
        &self,
        site_id: SiteId,
        range: CostRange<'_>,
        skipped: usize,
        limit: usize,
    ) -> Result<Vec<Cost>, CatalogError> {
        self.connections.read("lists costs", |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COST_COLUMNS} FROM costs
                 WHERE site_id = ?1 AND day BETWEEN ?2 AND ?3 AND (?4 IS NULL OR source = ?4)
                 ORDER BY day DESC, source, medium, campaign, content, term LIMIT ?6 OFFSET ?5"
            ))?;
            let asked = params![site_id.0, range.first, range.last, range.source, skipped, limit];
            statement.query_map(asked, read_cost)?.collect()
        })
    }

    /// Removes costs of a site; tells how many rows.
    pub fn delete_costs(
        &self,
        site_id: SiteId,
        range: CostRange<'_>,
    ) -> Result<usize, CatalogError> {
        let doing = "removes costs";
        self.connections.write(doing, |transaction| {
            transaction
                .execute(
                    "DELETE FROM costs
                     WHERE site_id = ?1 AND day BETWEEN ?2 AND ?3 AND (?4 IS NULL OR source = ?4)",
                    params![site_id.0, range.first, range.last, range.source],
                )
                .map_err(CatalogError::during(doing))
        })
    }
}

fn read_cost(row: &Row<'_>) -> rusqlite::Result<Cost> {
    Ok(Cost {
        day: row.get(0)?,
        source: row.get(1)?,
        medium: row.get(2)?,
        campaign: row.get(3)?,
        content: row.get(4)?,
        term: row.get(5)?,
        currency: row.get(6)?,
        micros: row.get(7)?,
        impressions: row.get(8)?,
        clicks: row.get(9)?,
    })
}
