//! What every hit needs to know of sites and pixels, in memory.
//!
//! Guarantees: the settings in a [`Directory`] never change; a change of settings makes a new one, which hits that begin later
//! see. Of whom nothing is kept is known to all of them at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use cairn_model::{Pixel, PixelId, Site, SiteId, VisitorId};
use jiff::tz::TimeZone;

use crate::ErasureId;
use crate::refusals::RefusalSet;
use crate::refused::{OpenErasures, OptOutSet};

/// A site with what belongs to it.
#[derive(Debug)]
pub struct SiteEntry {
    /// Its settings.
    pub site: Site,
    /// Its time zone, ready for use.
    pub zone: TimeZone,
    /// Its pixels, by rising number.
    pub pixels: Vec<Pixel>,
    opt_outs: Arc<OptOutSet>,
    pub(crate) refusals: Arc<RefusalSet>,
}

impl SiteEntry {
    pub(crate) fn new(
        site: Site,
        pixels: Vec<Pixel>,
        opt_outs: Arc<OptOutSet>,
        refusals: Arc<RefusalSet>,
    ) -> Self {
        // A zone that this machine's database no longer has is read as UTC rather than losing the site.
        let zone = TimeZone::get(&site.timezone).unwrap_or(TimeZone::UTC);
        SiteEntry { site, zone, pixels, opt_outs, refusals }
    }

    /// Whether an opt-out or an erasure is on record for this keyed hash of an identifier.
    pub fn is_opted_out(&self, identifier_hash: u64) -> bool {
        self.opt_outs.contains(identifier_hash)
    }

    pub(crate) fn opt_out(&self, numbers: impl IntoIterator<Item = u64>) {
        self.opt_outs.add(numbers);
    }

    /// For the entry that takes the place of this one.
    pub(crate) fn opt_outs(&self) -> Arc<OptOutSet> {
        Arc::clone(&self.opt_outs)
    }
}

/// A pixel with its site.
#[derive(Debug)]
pub struct PixelEntry {
    /// The pixel.
    pub pixel: Pixel,
    /// Its site.
    pub site: Arc<SiteEntry>,
}

/// All sites and pixels at one moment.
#[derive(Debug, Default)]
pub struct Directory {
    by_key: HashMap<String, Arc<PixelEntry>>,
    by_id: HashMap<SiteId, Arc<SiteEntry>>,
    by_domain: HashMap<String, Arc<SiteEntry>>,
    removed: HashSet<SiteId>,
    erasures: Arc<OpenErasures>,
}

impl Directory {
    pub(crate) fn new(
        entries: Vec<SiteEntry>,
        removed: HashSet<SiteId>,
        erasures: Arc<OpenErasures>,
    ) -> Self {
        let mut directory = Directory { removed, erasures, ..Directory::default() };
        for entry in entries {
            let entry = Arc::new(entry);
            for pixel in &entry.pixels {
                let found = PixelEntry { pixel: pixel.clone(), site: Arc::clone(&entry) };
                directory.by_key.insert(pixel.key.clone(), Arc::new(found));
            }
            directory.by_domain.insert(entry.site.domain.clone(), Arc::clone(&entry));
            directory.by_id.insert(entry.site.id, entry);
        }
        directory
    }

    /// The pixel with this key.
    pub fn by_key(&self, key: &str) -> Option<Arc<PixelEntry>> {
        self.by_key.get(key).cloned()
    }

    /// The site with this number.
    pub fn by_id(&self, id: SiteId) -> Option<Arc<SiteEntry>> {
        self.by_id.get(&id).cloned()
    }

    /// The site with this domain (ASCII form, lower case).
    pub fn by_domain(&self, domain: &str) -> Option<Arc<SiteEntry>> {
        self.by_domain.get(domain).cloned()
    }

    /// The pixel of this site with this number.
    pub fn pixel(&self, site_id: SiteId, pixel_id: PixelId) -> Option<&Pixel> {
        self.by_id.get(&site_id)?.pixels.iter().find(|pixel| pixel.id == pixel_id)
    }

    /// Whether an opt-out is on record; false for a site that does not exist.
    pub fn is_opted_out(&self, site_id: SiteId, identifier_hash: u64) -> bool {
        self.by_id.get(&site_id).is_some_and(|entry| entry.is_opted_out(identifier_hash))
    }

    /// Whether the site was removed, and what store and log hold of it is not known to be gone.
    pub fn is_removed(&self, id: SiteId) -> bool {
        self.removed.contains(&id)
    }

    /// The sites of which [`Directory::is_removed`] tells.
    pub fn removed_sites(&self) -> &HashSet<SiteId> {
        &self.removed
    }

    /// The erasures that are not over for good, by rising number.
    pub fn open_erasures(&self) -> Vec<ErasureId> {
        self.erasures.ids()
    }

    /// Whether this erasure is one of them.
    pub fn is_erasure_open(&self, id: ErasureId) -> bool {
        self.erasures.has(id)
    }

    /// Whether an event of this visitor and user (0 = none) that comes now was under way when its erasure began.
    pub fn is_erased(&self, site_id: SiteId, visitor_id: VisitorId, user_key: u64) -> bool {
        self.erasures.names(site_id, visitor_id.0, user_key)
    }

    /// Every site, in no particular order.
    pub fn sites(&self) -> impl Iterator<Item = &Arc<SiteEntry>> {
        self.by_id.values()
    }
}

/// The current directory. Reading takes an uncontended lock for the time of one counter's increment.
#[derive(Debug, Default)]
pub struct DirectoryCell(RwLock<Arc<Directory>>);

impl DirectoryCell {
    /// The directory as it is now.
    pub fn current(&self) -> Arc<Directory> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, directory: Directory) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
    }
}
