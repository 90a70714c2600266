//! A bounded memory of what happened lately.
//!
//! Guarantees: an entry is remembered for one to two times the given span, and less only where more come than may be kept:
//! then the older half is forgotten early. It knows no clock: time comes with each call.

use std::collections::HashMap;
use std::hash::Hash;

/// Entries in two halves: when the young one has its age or its size, it becomes the old one, and the old one goes.
pub(super) struct Halves<K, V> {
    span_ms: i64,
    entries_max: usize,
    since_ms: i64,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq, V> Halves<K, V> {
    /// `entries_max`: of one half.
    pub fn new(span_ms: i64, entries_max: usize) -> Self {
        Halves { span_ms, entries_max, since_ms: 0, young: HashMap::new(), old: HashMap::new() }
    }

    /// Forgets what is too old now, or too much.
    pub fn age(&mut self, now_ms: i64) {
        let age_ms = now_ms.saturating_sub(self.since_ms);
        if age_ms < self.span_ms && self.young.len() < self.entries_max {
            return;
        }
        self.old = std::mem::take(&mut self.young);
        if age_ms >= 2 * self.span_ms {
            self.old.clear();
        }
        self.since_ms = now_ms;
    }

    pub fn insert(&mut self, key: K, value: V, now_ms: i64) {
        self.age(now_ms);
        self.young.insert(key, value);
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.young.get_mut(key).or_else(|| self.old.get_mut(key))
    }

    pub fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// Every entry, in no order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.young.values_mut().chain(self.old.values_mut())
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

impl<K: Hash + Eq, V: Default> Halves<K, V> {
    /// The entry, which is young from now on.
    pub fn entry(&mut self, key: K) -> &mut V {
        let old = &mut self.old;
        let known = old.remove(&key);
        self.young.entry(key).or_insert_with(|| known.unwrap_or_default())
    }
}
