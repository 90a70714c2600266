//! What the demonstration's owner made: a segment, a note about the week of the sale.

use cairn_catalog::Catalog;
use cairn_model::SiteId;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::json;

use crate::Failure;

/// Days since the sale of the history began.
const SALE_DAYS_AGO: i64 = 22;

/// Makes them for a site whose zone is `timezone`.
pub(super) fn make(
    catalog: &Catalog,
    site_id: SiteId,
    timezone: &str,
    now_ms: i64,
) -> Result<(), Failure> {
    let phones =
        [json!(["is", "visit:device", ["mobile"]]), json!(["is", "visit:country", ["DE"]])];
    catalog.add_segment(site_id, "Phones in Germany", &phones, now_ms)?;
    let today = Timestamp::from_millisecond(now_ms)?.to_zoned(TimeZone::get(timezone)?).date();
    let began = today.checked_sub(SALE_DAYS_AGO.days())?;
    catalog.annotate(site_id, &began.to_string(), "Autumn sale began", now_ms)?;
    Ok(())
}
