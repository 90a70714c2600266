//! The ends of the chains, kept in a file beside the database: `SITE SINCE SEQUENCE HASH`, one line for each site.
//!
//! Guarantees: an end that was written once is replaced only by one whose chain still holds it, so a chain that was cut or
//! written anew stands out from then on, also when entries follow. The file is replaced as a whole and is on disk before an
//! append is reported as done. It cannot tell of somebody who writes this file as well: for that, an end must be kept
//! elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use cairn_model::SiteId;

use super::chain::{Head, hex, parse_hex};

/// Name of the file, in the directory of the catalog.
pub const HEADS_FILE: &str = "receipt-heads";

/// What is kept of one chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeptHead {
    /// Number of the last entry when keeping began; 0 = with the first. More: the file was lost once.
    pub since: u64,
    /// The end.
    pub head: Head,
}

/// The file and what it says.
pub(crate) struct Heads {
    path: PathBuf,
    kept: BTreeMap<u32, KeptHead>,
    /// Lines that cannot be read: evidence of a change, so they stay.
    unreadable: Vec<String>,
    /// Not on disk yet.
    is_new: bool,
}

impl Heads {
    /// Reads the file beside the catalog; one that is missing says nothing.
    pub fn load(catalog: &Path) -> io::Result<Self> {
        let path = catalog.with_file_name(HEADS_FILE);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let text = String::from_utf8_lossy(&bytes);
        let mut heads =
            Heads { path, kept: BTreeMap::new(), unreadable: Vec::new(), is_new: false };
        for line in text.lines() {
            match parse(line) {
                Some((site, kept)) if !heads.kept.contains_key(&site) => {
                    heads.kept.insert(site, kept);
                }
                _ => heads.unreadable.push(line.to_owned()),
            }
        }
        Ok(heads)
    }

    pub fn get(&self, site_id: SiteId) -> Option<KeptHead> {
        self.kept.get(&site_id.0).copied()
    }

    pub fn sites(&self) -> impl Iterator<Item = SiteId> {
        self.kept.keys().map(|site| SiteId(*site))
    }

    /// Lines that cannot be read.
    pub fn unreadable(&self) -> usize {
        self.unreadable.len()
    }

    /// Begins to keep the end of a chain, if that was not begun.
    pub fn begin(&mut self, site_id: SiteId, head: Head) {
        self.kept.entry(site_id.0).or_insert_with(|| {
            self.is_new = true;
            KeptHead { since: head.sequence, head }
        });
    }

    /// The chain goes on from the end that is kept.
    pub fn moved(&mut self, site_id: SiteId, head: Head) {
        if let Some(kept) = self.kept.get_mut(&site_id.0) {
            self.is_new |= kept.head != head;
            kept.head = head;
        }
    }

    /// The site is gone, and its chain with it.
    pub fn forget(&mut self, site_id: SiteId) {
        self.is_new |= self.kept.remove(&site_id.0).is_some();
    }

    /// Brings it to disk; nothing is done where nothing changed.
    pub fn save(&mut self) -> io::Result<()> {
        if !self.is_new {
            return Ok(());
        }
        let mut text = String::new();
        for (site, KeptHead { since, head }) in &self.kept {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{site} {since} {} {}", head.sequence, hex(&head.hash));
        }
        for line in &self.unreadable {
            let _ = writeln!(text, "{line}");
        }
        let next = self.path.with_extension("next");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&next)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, &self.path)?;
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        self.is_new = false;
        Ok(())
    }
}

fn parse(line: &str) -> Option<(u32, KeptHead)> {
    let mut words = line.split(' ');
    let site = words.next()?.parse().ok()?;
    let since = words.next()?.parse().ok()?;
    let sequence = words.next()?.parse().ok()?;
    let hash = parse_hex(words.next()?)?;
    words.next().is_none().then_some((site, KeptHead { since, head: Head { sequence, hash } }))
}
