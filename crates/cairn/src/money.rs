//! `cairn costs import` and `cairn rates import`: what an owner provides goes into the catalog, beside a running server or
//! without one.

use std::fmt::Write as _;
use std::path::Path;

use cairn_catalog::{CATALOG_FILE, Catalog, Stored};
use cairn_engine::money::costs::{self, CostColumn, DateOrder, Mapping, ReadCosts};
use cairn_engine::money::{FILE_SIZE_BYTES_MAX, rates};
use cairn_model::Currency;
use cairn_model::rates::date_of_day;

use crate::Failure;
use crate::cli::{ImportCosts, ImportRates};
use crate::erase::site;

/// Rows shown of a file that is looked at before it is taken.
const PREVIEW_ROWS: usize = 10;

fn catalog_in(directory: &Path) -> Result<Catalog, Failure> {
    let path = directory.join(CATALOG_FILE);
    if !path.is_file() {
        return Err(format!("there is no catalog in {}", directory.display()).into());
    }
    Ok(Catalog::open(&path)?)
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let size = std::fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?.len();
    if size > FILE_SIZE_BYTES_MAX as u64 {
        return Err(format!("{shown} is larger than {} MiB", FILE_SIZE_BYTES_MAX >> 20).into());
    }
    Ok(std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?)
}

fn currency(code: &str) -> Result<&'static str, Failure> {
    let known = Currency::from_code(code).map(|currency| currency.code);
    known.ok_or_else(|| format!("{code} is no ISO 4217 code such as EUR").into())
}

/// Puts the rates of a file into a catalog.
pub fn take_rates(catalog: &Catalog, path: &Path, base: &str) -> Result<(Stored, usize), Failure> {
    let base = currency(base)?;
    let read = rates::read(&text_of(path)?, base)
        .map_err(|faults| format!("{} cannot be taken: {faults}", path.display()))?;
    let stored = catalog.put_rates(base, &read.rates)?;
    Ok((stored, read.skipped.len()))
}

/// `cairn rates import`
pub fn import_rates(directory: &Path, asked: &ImportRates) -> Result<(), Failure> {
    let catalog = catalog_in(directory)?;
    let (Stored { added, replaced }, skipped) = take_rates(&catalog, &asked.file, &asked.base)?;
    let skipped = match skipped {
        0 => String::new(),
        columns => format!("; {columns} columns are no currency of today"),
    };
    Ok(crate::print(&format!("{added} rates are new, {replaced} were replaced{skipped}"))?)
}

/// `cairn costs import`
pub fn import_costs(directory: &Path, asked: &ImportCosts) -> Result<(), Failure> {
    let catalog = catalog_in(directory)?;
    let site_id = site(&catalog, &asked.site)?;
    let entry = catalog.directory().current().by_id(site_id);
    let site_currency = entry.map(|entry| entry.site.currency.clone()).unwrap_or_default();
    let mapping = mapping(asked, &site_currency)?;
    let read = costs::read(&text_of(&asked.file)?, &mapping)
        .map_err(|faults| format!("{} cannot be taken: {faults}", asked.file.display()))?;
    if asked.preview {
        return Ok(crate::print(preview(&read).trim_end())?);
    }
    if read.faults.count > 0 {
        return Err(format!("{} cannot be taken: {}", asked.file.display(), read.faults).into());
    }
    let Stored { added, replaced } = catalog.put_costs(site_id, &read.costs)?;
    let rows = read.rows;
    Ok(crate::print(&format!("{rows} rows: {added} costs are new, {replaced} were replaced"))?)
}

fn mapping(asked: &ImportCosts, site_currency: &str) -> Result<Mapping, Failure> {
    let named = |pairs: &[(String, String)]| -> Result<_, Failure> {
        let read = pairs.iter().map(|(column, text)| {
            let known = CostColumn::named(column).ok_or_else(|| {
                let names: Vec<&str> = CostColumn::all().map(CostColumn::name).collect();
                format!("there is no column {column}; there are {}", names.join(", "))
            })?;
            Ok((known, text.clone()))
        });
        read.collect()
    };
    let code = asked.currency.as_deref().unwrap_or(site_currency);
    Ok(Mapping {
        columns: named(&asked.column)?,
        fixed: named(&asked.fixed)?,
        decimal_mark: asked.decimal_mark,
        date_order: match (asked.day_first, asked.month_first) {
            (true, _) => DateOrder::DayFirst,
            (_, true) => DateOrder::MonthFirst,
            _ => DateOrder::YearFirst,
        },
        currency: currency(code)?.to_owned(),
    })
}

/// What would be stored.
fn preview(read: &ReadCosts) -> String {
    let mut text = format!("{} rows about {} days and campaigns\n", read.rows, read.costs.len());
    // Writing to a String cannot fail.
    for (column, name) in &read.columns {
        let _ = writeln!(text, "{} is the column \"{name}\"", column.name());
    }
    for cost in read.costs.iter().take(PREVIEW_ROWS) {
        let date = date_of_day(cost.day).map_or_else(String::new, |date| date.to_string());
        let (whole, fraction) = (cost.micros / 1_000_000, cost.micros % 1_000_000);
        let texts = cost.key().1.join(" / ");
        let _ = writeln!(
            text,
            "{date}  {whole}.{fraction:06} {}  {texts}  {} impressions, {} clicks",
            cost.currency, cost.impressions, cost.clicks
        );
    }
    if read.faults.count > 0 {
        let _ = writeln!(text, "it cannot be taken: {}", read.faults);
    }
    text
}
