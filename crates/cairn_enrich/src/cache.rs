//! A bounded, set-associative cache keyed by a keyed 128-bit hash of what was asked: the question itself is not kept.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// Entries that compete for a place with one another.
pub(super) const WAYS: usize = 8;

struct Slot<T> {
    key: u128,
    used: u32,
    value: Arc<T>,
}

struct Set<T> {
    slots: [Option<Slot<T>>; WAYS],
    clock: u32,
}

/// Maps a hashed question to its answer.
pub(super) struct Cache<T> {
    sets: Box<[Mutex<Set<T>>]>,
    secrets: [u64; 4],
}

impl<T> Cache<T> {
    /// A cache of `sets` times [`WAYS`] entries at most.
    pub(super) fn new(sets: usize) -> Self {
        let secret = || RandomState::new().build_hasher().finish() | 1;
        let set = || Mutex::new(Set { slots: std::array::from_fn(|_| None), clock: 0 });
        Self {
            sets: (0..sets).map(|_| set()).collect(),
            secrets: [secret(), secret(), secret(), secret()],
        }
    }

    /// The key of these texts, in this order, under this process's secrets.
    pub(super) fn key<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> u128 {
        let mut state = Mixer { low: self.secrets[0], high: self.secrets[1] };
        for text in texts {
            state.text(text, &self.secrets);
        }
        (u128::from(state.high) << 64) | u128::from(state.low)
    }

    pub(super) fn get(&self, key: u128) -> Option<Arc<T>> {
        let mut set = self.set(key).lock().unwrap_or_else(PoisonError::into_inner);
        set.clock = set.clock.wrapping_add(1);
        let now = set.clock;
        let slot = set.slots.iter_mut().flatten().find(|slot| slot.key == key)?;
        slot.used = now;
        Some(Arc::clone(&slot.value))
    }

    pub(super) fn put(&self, key: u128, value: Arc<T>) {
        let mut set = self.set(key).lock().unwrap_or_else(PoisonError::into_inner);
        let now = set.clock;
        let age = |slot: &Option<Slot<T>>| match slot {
            None => u32::MAX,
            Some(slot) => now.wrapping_sub(slot.used),
        };
        let same = set.slots.iter().position(|slot| matches!(slot, Some(slot) if slot.key == key));
        let place = same.or_else(|| (0..WAYS).max_by_key(|&index| age(&set.slots[index])));
        if let Some(place) = place {
            set.slots[place] = Some(Slot { key, used: now, value });
        }
    }

    fn set(&self, key: u128) -> &Mutex<Set<T>> {
        &self.sets[((key >> 64) as u64 % self.sets.len() as u64) as usize]
    }
}

/// Folded multiplication with secret factors: nobody outside can aim for a collision.
struct Mixer {
    low: u64,
    high: u64,
}

impl Mixer {
    fn text(&mut self, text: &str, secrets: &[u64; 4]) {
        let bytes = text.as_bytes();
        self.mix(bytes.len() as u64, secrets);
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0_u8; 8];
            word.copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word), secrets);
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut word = [0_u8; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.mix(u64::from_le_bytes(word), secrets);
        }
    }

    fn mix(&mut self, word: u64, secrets: &[u64; 4]) {
        self.low = fold(self.low ^ word, secrets[2]);
        self.high = fold(self.high.wrapping_add(word), secrets[3]) ^ self.low.rotate_left(23);
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_within_its_bound_and_tells_texts_apart() {
        let cache = Cache::<u32>::new(1280);
        let keys = [["ab", ""], ["a", "b"], ["", "ab"]].map(|texts| cache.key(texts));
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        for number in 0..50_000_u32 {
            cache.put(cache.key([number.to_string().as_str()]), Arc::new(number));
        }
        let last = cache.get(cache.key(["49999"]));
        assert_eq!(last.as_deref(), Some(&49_999));
        let kept = (0..50_000_u32)
            .filter(|number| cache.get(cache.key([number.to_string().as_str()])).is_some())
            .count();
        assert!(kept <= 1280 * WAYS && kept > 1280 * WAYS / 2, "{kept} kept");
    }

    #[test]
    fn the_entry_in_use_survives_newcomers() {
        let cache = Cache::<u32>::new(1280);
        let favourite = cache.key(["favourite"]);
        cache.put(favourite, Arc::new(7));
        for number in 0..100_000_u32 {
            cache.put(cache.key([number.to_string().as_str()]), Arc::new(number));
            assert!(cache.get(favourite).is_some(), "lost after {number} newcomers");
        }
    }
}
