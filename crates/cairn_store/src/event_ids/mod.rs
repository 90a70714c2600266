//! Which events are stored already: recognises repetitions for seven days.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use crate::{EventStore, StoreError};

/// The keys of stored events.
pub struct EventIds {
    keys: RwLock<HashMap<u128, i64>>,
}

impl EventIds {
    /// Reads what the store has.
    pub fn open(_directory: &Path, store: &dyn EventStore) -> Result<EventIds, StoreError> {
        let mut keys = HashMap::new();
        store.event_keys_after(0, &mut |_, key, received_at_ms| {
            keys.insert(key, received_at_ms);
        })?;
        Ok(EventIds { keys: RwLock::new(keys) })
    }

    /// True when an event with this key is stored.
    pub fn contains(&self, key: u128, _received_at_ms: i64) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).contains_key(&key)
    }

    /// Adds the keys of a committed batch: key, offset, arrival.
    pub fn insert_committed(&self, committed: &[(u128, u64, i64)]) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.extend(committed.iter().map(|(key, _, received_at_ms)| (*key, *received_at_ms)));
    }
}
