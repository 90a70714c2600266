//! Lists: keyset pages.

use serde::Serialize;
use utoipa::ToSchema;

use super::body::Parameters;
use crate::error::{ApiError, Code};

/// Entries of one page, unless asked for otherwise.
const LIMIT_DEFAULT: i64 = 100;
/// Entries of one page at most.
pub const LIMIT_MAX: i64 = 1000;

/// One page of a list.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Where the next page begins: hand it back as `after`. Null: this was the last page.
    #[schema(required)]
    pub next: Option<String>,
}

/// Where a page begins and how long it is.
pub struct PageRequest {
    /// Key of the last entry of the page before.
    pub after: Option<String>,
    /// Entries wanted.
    pub limit: usize,
}

impl PageRequest {
    /// Reads `after` and `limit`.
    pub fn read(parameters: &mut Parameters) -> Result<Self, ApiError> {
        let limit = parameters.whole("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
        Ok(PageRequest {
            after: parameters.text("after")?,
            limit: usize::try_from(limit).unwrap_or(1),
        })
    }

    /// The key in `after`, read by `parse`.
    pub fn key<K>(&self, parse: impl FnOnce(&str) -> Option<K>) -> Result<Option<K>, ApiError> {
        let Some(after) = &self.after else { return Ok(None) };
        parse(after).map(Some).ok_or_else(|| {
            let message = "The parameter after must be the `next` of a page of this list.";
            ApiError::new(Code::MalformedRequest, message).on("after")
        })
    }
}

impl<T> Page<T> {
    /// Cuts a page from entries that come in order after `after`.
    pub fn cut<S>(
        mut entries: impl Iterator<Item = S>,
        request: &PageRequest,
        key: impl Fn(&S) -> String,
        show: impl Fn(S) -> T,
    ) -> Self {
        let mut items = Vec::new();
        let mut last = None;
        for entry in entries.by_ref().take(request.limit) {
            last = Some(key(&entry));
            items.push(show(entry));
        }
        let next = if entries.next().is_some() { last } else { None };
        Page { items, next }
    }
}
