//! Autonomous systems by address range, from CSV files, as sorted arrays with shared names.
//!
//! Only the starts of ranges are held; a gap is a range of its own that belongs to nobody. IPv6 is
//! kept to its first 64 bits: no network is handed to a customer in smaller pieces than that.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::Path;

use super::NetworkError;
use crate::address::unmapped;

/// Index of the system that owns a gap: none.
const NOBODY: u32 = 0;

/// The finished table.
#[derive(Default)]
pub(super) struct SystemTable {
    starts4: Box<[u32]>,
    owners4: Box<[u32]>,
    starts6: Box<[u64]>,
    owners6: Box<[u32]>,
    systems: Box<[System]>,
    names: Box<str>,
}

/// An autonomous system: its number and where its name is.
#[derive(Clone, Copy)]
struct System {
    number: u32,
    name_start: u32,
    name_end: u32,
}

impl SystemTable {
    /// Number and name of the system that announces an address.
    pub(super) fn lookup(&self, ip: IpAddr) -> Option<(u32, &str)> {
        let owner = match ip {
            IpAddr::V4(ip) => owner(&self.starts4, &self.owners4, &u32::from(ip)),
            IpAddr::V6(ip) => owner(&self.starts6, &self.owners6, &((u128::from(ip) >> 64) as u64)),
        }?;
        let system = self.systems.get(owner as usize).filter(|_| owner != NOBODY)?;
        let name = self.names.get(system.name_start as usize..system.name_end as usize)?;
        Some((system.number, name))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.starts4)
            + size_of_val(&*self.owners4)
            + size_of_val(&*self.starts6)
            + size_of_val(&*self.owners6)
            + size_of_val(&*self.systems)
            + self.names.len()
    }
}

fn owner<T: Ord>(starts: &[T], owners: &[u32], key: &T) -> Option<u32> {
    let after = starts.partition_point(|start| start <= key);
    owners.get(after.checked_sub(1)?).copied()
}

/// Collects ranges from any number of files.
#[derive(Default)]
pub(super) struct Builder {
    ranges4: Vec<(u32, u32, u32)>,
    ranges6: Vec<(u64, u64, u32)>,
    systems: Vec<System>,
    index: HashMap<(u32, Box<str>), u32>,
    names: String,
}

impl Builder {
    /// Reads one file of `start,end,number,name` lines.
    pub(super) fn read(&mut self, path: &Path) -> Result<(), NetworkError> {
        let unreadable = |source| NetworkError::Read { path: path.to_owned(), source };
        let mut reader = BufReader::new(std::fs::File::open(path).map_err(unreadable)?);
        let mut line = String::new();
        for number in 1.. {
            line.clear();
            if reader.read_line(&mut line).map_err(unreadable)? == 0 {
                break;
            }
            let text = line.trim();
            let is_header = number == 1 && text.starts_with(|c: char| c.is_ascii_alphabetic());
            if text.is_empty() || is_header && !text.contains("::") {
                continue;
            }
            self.line(text)
                .ok_or_else(|| NetworkError::Csv { path: path.to_owned(), line: number })?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let mut fields = line.splitn(4, ',');
        let start = unmapped(fields.next()?.trim_matches('"').parse().ok()?);
        let end = unmapped(fields.next()?.trim_matches('"').parse().ok()?);
        let number = fields.next()?.trim_matches('"').trim_start_matches("AS").parse().ok()?;
        let name = fields.next().unwrap_or("").trim_matches('"');
        let owner = self.system(number, name);
        match (start, end) {
            (IpAddr::V4(start), IpAddr::V4(end)) => {
                self.ranges4.push((start.into(), end.into(), owner));
            }
            (IpAddr::V6(start), IpAddr::V6(end)) => {
                let upper = |ip| (u128::from(ip) >> 64) as u64;
                self.ranges6.push((upper(start), upper(end), owner));
            }
            _ => return None,
        }
        Some(())
    }

    fn system(&mut self, number: u32, name: &str) -> u32 {
        if self.systems.is_empty() {
            self.systems.push(System { number: 0, name_start: 0, name_end: 0 });
        }
        if let Some(&known) = self.index.get(&(number, Box::from(name))) {
            return known;
        }
        let name_start = self.names.len() as u32;
        self.names.push_str(&name.replace("\"\"", "\""));
        let name_end = self.names.len() as u32;
        let index = self.systems.len() as u32;
        self.systems.push(System { number, name_start, name_end });
        self.index.insert((number, Box::from(name)), index);
        index
    }

    pub(super) fn finish(self) -> SystemTable {
        let (starts4, owners4) = flatten(self.ranges4, |end| end.checked_add(1));
        let (starts6, owners6) = flatten(self.ranges6, |end| end.checked_add(1));
        SystemTable {
            starts4,
            owners4,
            starts6,
            owners6,
            systems: self.systems.into_boxed_slice(),
            names: self.names.into_boxed_str(),
        }
    }
}

/// Sorted ranges as starts and owners, neighbours of one owner joined, gaps belonging to nobody.
fn flatten<T: Ord + Copy>(
    mut ranges: Vec<(T, T, u32)>,
    after: impl Fn(T) -> Option<T>,
) -> (Box<[T]>, Box<[u32]>) {
    ranges.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    let mut starts = Vec::with_capacity(ranges.len());
    let mut owners = Vec::with_capacity(ranges.len());
    let mut free_from: Option<T> = None;
    let mut push = |start: T, owner: u32| {
        if owners.last() != Some(&owner) {
            starts.push(start);
            owners.push(owner);
        }
    };
    for (start, end, owner) in ranges {
        match free_from {
            Some(free) if start < free => {
                // Overlapping the range before: only what lies beyond it is new.
                if end < free {
                    continue;
                }
                push(free, owner);
            }
            Some(free) if free < start => {
                push(free, NOBODY);
                push(start, owner);
            }
            _ => push(start, owner),
        }
        match after(end) {
            Some(next) => free_from = Some(next),
            None => return (starts.into_boxed_slice(), owners.into_boxed_slice()),
        }
    }
    if let Some(free) = free_from {
        push(free, NOBODY);
    }
    (starts.into_boxed_slice(), owners.into_boxed_slice())
}
