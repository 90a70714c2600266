//! What is asked of a memory, whoever asks: a browser (`POST /m`), a server with a pixel's secret key, or the API.
//!
//! Guarantees: a request is read and checked as a whole before anything of it is done, and its faults name the field; what
//! is remembered is on disk before it is answered. Who may ask for whom is decided by the callers.

use cairn_catalog::{Catalog, CatalogError, MemoryChange, MemoryHolder};
use cairn_model::SiteId;
use cairn_model::limits::{ID_SIZE_BYTES_MAX, MEMORY_NAMES_MAX};
use cairn_model::memory::{MemoryFault, check_name, checked_value};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::body::{Fields, wrong_type};
use crate::error::{ApiError, Code};

/// The entry of `recall` that stands for everything.
const EVERYTHING: &str = "*";

/// What is remembered, as it was asked for.
#[derive(Serialize, ToSchema, Debug)]
#[schema(as = Memory)]
pub struct MemoryBody {
    /// `false`: the visitor (or, in silence, the site's policy) does not permit `functional`. Nothing was kept or read then.
    pub allowed: bool,
    /// The values asked for in `recall`, by name; null where nothing is remembered.
    #[schema(value_type = Object, example = json!({"size": "M", "cart": null}))]
    pub memory: Map<String, Value>,
}

impl MemoryBody {
    /// The answer where nothing may be kept.
    pub fn refused() -> Self {
        MemoryBody { allowed: false, memory: Map::new() }
    }
}

/// Changes and questions of one request.
pub struct Wanted {
    /// In this order, before anything is recalled.
    changes: Vec<MemoryChange>,
    /// Everything goes first.
    forgets_all: bool,
    recall: Vec<String>,
}

impl Wanted {
    /// Reads `remember`, `forget`, `forget_all` and `recall`.
    pub fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let mut changes = Vec::new();
        for name in names(fields, "forget")? {
            changes.push(MemoryChange { name, value: None });
        }
        match fields.take("remember") {
            None => {}
            Some(Value::Object(values)) if values.len() > MEMORY_NAMES_MAX => {
                let message = format!("There may be at most {MEMORY_NAMES_MAX} names.");
                return Err(ApiError::invalid("remember", message));
            }
            Some(Value::Object(values)) => {
                for (name, value) in values {
                    changes.push(change(name, &value)?);
                }
            }
            Some(_) => return Err(wrong_type("remember", "an object of values by name")),
        }
        let forgets_all = fields.boolean("forget_all")?.unwrap_or(false);
        Ok(Wanted { changes, forgets_all, recall: names(fields, "recall")? })
    }

    /// Whether a browser needs something to be known by.
    pub fn remembers(&self) -> bool {
        self.changes.iter().any(|change| change.value.is_some())
    }

    /// Whether anything is asked for at all.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.forgets_all && self.recall.is_empty()
    }

    /// Does it; `None`: nobody is known, so that nothing is remembered of him.
    pub fn run(
        &self,
        catalog: &Catalog,
        site: SiteId,
        holder: Option<MemoryHolder>,
        now_ms: i64,
    ) -> Result<MemoryBody, CatalogError> {
        let mut known = Vec::new();
        if let Some(holder) = holder {
            if self.forgets_all {
                catalog.forget_memory(site, holder, now_ms)?;
            }
            if !self.changes.is_empty() {
                catalog.remember(site, holder, &self.changes, now_ms)?;
            }
            if !self.recall.is_empty() {
                known = catalog.recall(site, holder, now_ms)?;
            }
        }
        let parsed = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
        let mut memory = Map::new();
        for name in self.recall.iter().filter(|name| *name != EVERYTHING) {
            memory.insert(name.clone(), Value::Null);
        }
        let wants_all = self.recall.iter().any(|name| name == EVERYTHING);
        for row in known {
            if wants_all || memory.contains_key(&row.name) {
                memory.insert(row.name, parsed(&row.value));
            }
        }
        Ok(MemoryBody { allowed: true, memory })
    }
}

/// A user id, as the owner's server names it.
pub fn user_id(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let Some(value) = fields.take("user_id") else { return Ok(None) };
    let path = fields.path("user_id");
    let id = value.as_str().ok_or_else(|| wrong_type(&path, "a text"))?;
    if id.is_empty() || id.len() > ID_SIZE_BYTES_MAX {
        let message = format!("The id must have 1 to {ID_SIZE_BYTES_MAX} bytes.");
        return Err(ApiError::invalid(path, message));
    }
    Ok(Some(id.to_owned()))
}

fn names(fields: &mut Fields, field: &'static str) -> Result<Vec<String>, ApiError> {
    let names = fields.texts(field, MEMORY_NAMES_MAX)?.unwrap_or_default();
    for (at, name) in names.iter().enumerate() {
        let is_everything = field == "recall" && name == EVERYTHING;
        if !is_everything && check_name(name) == Err(MemoryFault::Name) {
            return Err(told(format!("{field}[{at}]"), MemoryFault::Name));
        }
    }
    Ok(names)
}

fn change(name: String, value: &Value) -> Result<MemoryChange, ApiError> {
    if let Err(fault) = check_name(&name) {
        let is_form = fault == MemoryFault::Name;
        return Err(told(if is_form { "remember".to_owned() } else { path(&name) }, fault));
    }
    let value = match value {
        Value::Null => None,
        value => Some(checked_value(&name, value).map_err(|fault| told(path(&name), fault))?),
    };
    Ok(MemoryChange { name, value })
}

fn path(name: &str) -> String {
    format!("remember.{name}")
}

fn told(path: String, fault: MemoryFault) -> ApiError {
    match fault {
        MemoryFault::TooLarge => ApiError::new(Code::TooLarge, fault.to_string()).on(path),
        fault => ApiError::invalid(path, fault.to_string()),
    }
}
