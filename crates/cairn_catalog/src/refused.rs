//! Of whom nothing is kept, in memory: opt-outs of each site, and erasures that are not over for good.
//!
//! Guarantees: what is on record is here before whoever recorded it is answered. It is changed in place, a number at a time:
//! with millions on record one more costs what the first did, and every directory in use knows of it. A site without any
//! costs a look at one pointer.

use std::array;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cairn_model::{SiteId, Subject};

use crate::{Catalog, ErasureId};

/// Parts of a site's set: while one of them grows, hits wait for a part of it only.
const PARTS: usize = 64;

pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Something of one site by numbers, in parts that are made with the first of them.
#[derive(Debug, Default)]
pub(crate) struct Parts<T>(OnceLock<Box<[RwLock<T>; PARTS]>>);

/// The numbers are keyed hashes: any of their bits spread them.
fn part(number: u64) -> usize {
    (number % PARTS as u64) as usize
}

impl<T: Default> Parts<T> {
    pub(crate) fn get(&self, number: u64) -> Option<&RwLock<T>> {
        self.0.get().map(|parts| &parts[part(number)])
    }

    pub(crate) fn get_or_make(&self, number: u64) -> &RwLock<T> {
        let parts = self.0.get_or_init(|| Box::new(array::from_fn(|_| RwLock::default())));
        &parts[part(number)]
    }
}

/// Opt-outs of one site. They only become more: they go with the site.
#[derive(Debug, Default)]
pub(crate) struct OptOutSet(Parts<HashSet<u64>>);

impl OptOutSet {
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.0.get(number).is_some_and(|part| read(part).contains(&number))
    }

    pub(crate) fn add(&self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            write(self.0.get_or_make(number)).insert(number);
        }
    }
}

/// The erasures that are not over for good: those that are not done, and those of which a hit may be under way.
#[derive(Debug, Default)]
pub(crate) struct OpenErasures {
    open: RwLock<Open>,
    /// Known without the lock, which whoever applies events would take for each of them.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Open {
    numbers: BTreeMap<ErasureId, (SiteId, Vec<u64>)>,
    /// How many of the erasures name a number.
    named: HashMap<(SiteId, u64), u32>,
}

impl Open {
    fn remove(&mut self, id: ErasureId) {
        let Some((site_id, numbers)) = self.numbers.remove(&id) else { return };
        for number in numbers {
            let Some(count) = self.named.get_mut(&(site_id, number)) else { continue };
            *count -= 1;
            if *count == 0 {
                self.named.remove(&(site_id, number));
            }
        }
    }
}

impl OpenErasures {
    fn change(&self, change: impl FnOnce(&mut Open)) {
        let mut open = write(&self.open);
        change(&mut open);
        self.count.store(open.numbers.len(), Ordering::Release);
    }

    pub(crate) fn add(&self, id: ErasureId, subject: &Subject) {
        let site_id = subject.site_id;
        let mut numbers: Vec<u64> = subject.identifiers().collect();
        numbers.sort_unstable();
        numbers.dedup();
        self.change(|open| {
            open.remove(id);
            for number in &numbers {
                *open.named.entry((site_id, *number)).or_default() += 1;
            }
            open.numbers.insert(id, (site_id, numbers));
        });
    }

    pub(crate) fn remove(&self, ids: &[ErasureId]) {
        self.change(|open| ids.iter().for_each(|id| open.remove(*id)));
    }

    /// With a site that is removed its erasures are.
    pub(crate) fn forget_site(&self, site_id: SiteId) {
        self.change(|open| {
            let of_site = open.numbers.iter().filter(|(_, (known, _))| *known == site_id);
            let ids: Vec<ErasureId> = of_site.map(|(id, _)| *id).collect();
            ids.into_iter().for_each(|id| open.remove(id));
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    pub(crate) fn ids(&self) -> Vec<ErasureId> {
        if self.is_empty() {
            return Vec::new();
        }
        read(&self.open).numbers.keys().copied().collect()
    }

    pub(crate) fn has(&self, id: ErasureId) -> bool {
        !self.is_empty() && read(&self.open).numbers.contains_key(&id)
    }

    pub(crate) fn names(&self, site_id: SiteId, visitor: u64, user_key: u64) -> bool {
        if self.is_empty() {
            return false;
        }
        let named = &read(&self.open).named;
        named.contains_key(&(site_id, visitor))
            || user_key != 0 && named.contains_key(&(site_id, user_key))
    }
}

/// How often something was put on record since the file was opened that copies of the catalog elsewhere have to follow. While
/// it says the same, there is nothing new to follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Departures {
    /// Opt-outs, and erasures, whose subjects are opted out as well.
    pub opt_outs: u64,
    /// Erasures and removed sites.
    pub erasures: u64,
    /// Forgotten memories, and refusals about mails and of senders.
    pub withdrawals: u64,
}

#[derive(Debug, Default)]
pub(crate) struct DepartureCounts {
    opt_outs: AtomicU64,
    erasures: AtomicU64,
    withdrawals: AtomicU64,
}

impl Catalog {
    /// Counts what copies of this catalog have to follow.
    pub fn departures(&self) -> Departures {
        Departures {
            opt_outs: self.departures.opt_outs.load(Ordering::Acquire),
            erasures: self.departures.erasures.load(Ordering::Acquire),
            withdrawals: self.departures.withdrawals.load(Ordering::Acquire),
        }
    }

    /// Opt-outs are on record.
    pub(crate) fn note_opted_out(&self, site_id: SiteId, numbers: impl IntoIterator<Item = u64>) {
        if let Some(entry) = self.directory.current().by_id(site_id) {
            entry.opt_out(numbers);
        }
        self.departures.opt_outs.fetch_add(1, Ordering::Release);
    }

    /// A withdrawal is on record.
    pub(crate) fn note_withdrawn(&self) {
        self.departures.withdrawals.fetch_add(1, Ordering::Release);
    }

    /// An erasure is on record, with its subject's opt-out.
    pub(crate) fn note_begun(&self, id: ErasureId, subject: &Subject) {
        self.erasures.add(id, subject);
        self.note_opted_out(subject.site_id, subject.identifiers());
        self.departures.erasures.fetch_add(1, Ordering::Release);
    }

    /// A site is removed.
    pub(crate) fn note_site_removed(&self, site_id: SiteId) {
        self.erasures.forget_site(site_id);
        self.departures.erasures.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::VisitorId;

    use super::*;

    const SITE: SiteId = SiteId(1);

    fn of(visitors: &[u64], users: &[u64]) -> Subject {
        let visitors = visitors.iter().copied().map(VisitorId).collect();
        Subject { site_id: SITE, visitors, users: users.to_vec(), ..Subject::default() }
    }

    #[test]
    fn a_number_is_named_until_the_last_erasure_of_it_is_over() {
        let erasures = OpenErasures::default();
        erasures.add(ErasureId(1), &of(&[7, 7], &[9]));
        erasures.add(ErasureId(2), &of(&[8], &[9]));
        erasures.add(ErasureId(2), &of(&[8], &[9]));
        let told = |visitor, user| erasures.names(SITE, visitor, user);
        assert!(told(7, 0) && told(8, 0) && told(1, 9) && !told(1, 0));
        assert!(!erasures.names(SiteId(2), 7, 9), "numbers mean nothing elsewhere");
        erasures.remove(&[ErasureId(2), ErasureId(5)]);
        assert!(told(1, 9) && told(7, 0) && !told(8, 0));
        assert!(erasures.has(ErasureId(1)) && !erasures.has(ErasureId(2)));
        erasures.forget_site(SiteId(2));
        assert_eq!(erasures.ids(), [ErasureId(1)]);
        erasures.forget_site(SITE);
        assert!(erasures.is_empty() && !told(7, 9));
    }

    #[test]
    fn a_site_without_opt_outs_takes_no_memory_for_them() {
        let opt_outs = OptOutSet::default();
        assert!(!opt_outs.contains(5) && opt_outs.0.get(5).is_none());
        opt_outs.add(0..1_000);
        assert!((0..1_000).all(|number| opt_outs.contains(number)));
        assert!(!opt_outs.contains(1_000) && !opt_outs.contains(u64::MAX));
    }
}
