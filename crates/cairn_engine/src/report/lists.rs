//! Lists of visits and of people: from what was asked to what the store has.

use cairn_model::question::ListQuestion;
use cairn_model::question::lists::LISTED_PER_PAGE_MAX;
use cairn_store::{EventStore, StoreError};

use super::paths::Scope;
use super::{QueryError, ReportSite};

/// Asks for a page after an entry (its time and number), and for one entry more, which tells that there is another page.
pub fn ask<T>(
    store: &dyn EventStore,
    site: ReportSite<'_>,
    scope: Scope<'_>,
    (before, limit): (Option<(i64, u64)>, u32),
    ask: impl FnOnce(&dyn EventStore, &ListQuestion) -> Result<T, StoreError>,
) -> Result<T, QueryError> {
    let asking = site.asking(store, scope.date_range, scope.now_ms)?;
    let limit = limit.min(LISTED_PER_PAGE_MAX) + 1;
    let question = ListQuestion::parse(scope.date_range, scope.filters, before, limit, &asking)?;
    Ok(ask(store, &question)?)
}
