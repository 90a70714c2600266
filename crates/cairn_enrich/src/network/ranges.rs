//! Autonomous systems by address range, from CSV files, as sorted arrays with shared names.
//!
//! Only the starts of ranges are held; a gap is a range of its own that belongs to nobody. IPv6 is
//! kept to its first 64 bits: no network is handed to a customer in smaller pieces than that.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use super::{Marks, NetworkError};
use crate::address::unmapped;

/// Index of the system that owns a gap: none.
const NOBODY: u32 = 0;

/// The finished table.
#[derive(Default)]
pub(super) struct SystemTable {
    starts4: Box<[u32]>,
    owners4: Box<[Owner]>,
    starts6: Box<[u64]>,
    owners6: Box<[Owner]>,
    systems: Box<[System]>,
    names: Box<str>,
}

/// Index of a system in three bytes: there are fewer than 16 million.
type Owner = [u8; 3];

/// An autonomous system: its number and where its name starts; the next one's start ends it.
#[derive(Clone, Copy)]
struct System {
    number: u32,
    name_start: u32,
    marks: Marks,
}

impl SystemTable {
    /// Number, name and marks of the system that announces an address.
    pub(super) fn lookup(&self, ip: IpAddr) -> Option<(u32, &str, Marks)> {
        let owner = match ip {
            IpAddr::V4(ip) => owner(&self.starts4, &self.owners4, &u32::from(ip)),
            IpAddr::V6(ip) => owner(&self.starts6, &self.owners6, &upper_half(ip)),
        };
        let owner = owner.filter(|&owner| owner != NOBODY)? as usize;
        let system = self.systems.get(owner)?;
        let end =
            self.systems.get(owner + 1).map_or(self.names.len(), |next| next.name_start as usize);
        let name = self.names.get(system.name_start as usize..end)?;
        Some((system.number, name, system.marks))
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

fn owner<T: Ord>(starts: &[T], owners: &[Owner], key: &T) -> Option<u32> {
    let after = starts.partition_point(|start| start <= key);
    let [a, b, c] = *owners.get(after.checked_sub(1)?)?;
    Some(u32::from_le_bytes([a, b, c, 0]))
}

fn upper_half(ip: Ipv6Addr) -> u64 {
    (u128::from(ip) >> 64) as u64
}

/// Collects ranges from any number of files.
#[derive(Default)]
pub(super) struct Builder {
    ranges4: Vec<(u32, u32, u32)>,
    ranges6: Vec<(u64, u64, u32)>,
    systems: Vec<System>,
    /// The system last seen under a number; a number with several names gets several systems.
    index: HashMap<u32, u32>,
    names: String,
}

impl Builder {
    /// Reads one file of `start,end,number,name` lines.
    pub(super) fn read(&mut self, path: &Path) -> Result<(), NetworkError> {
        let unreadable = |source| NetworkError::Read { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut reader = BufReader::with_capacity(1 << 18, file);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
                break;
            }
            let text = std::str::from_utf8(&line).unwrap_or("").trim();
            if line.trim_ascii().is_empty() {
                continue;
            }
            let is_header = number == 1 && !text.contains(['.', ':']);
            if !is_header && self.line(text).is_none() {
                return Err(NetworkError::Csv { path: path.to_owned(), line: number });
            }
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
                self.ranges6.push((upper_half(start), upper_half(end), owner));
            }
            _ => return None,
        }
        Some(())
    }

    fn system(&mut self, number: u32, name: &str) -> u32 {
        if self.systems.is_empty() {
            self.systems.push(System { number: 0, name_start: 0, marks: Marks::default() });
        }
        let name = if name.contains("\"\"") {
            Cow::Owned(name.replace("\"\"", "\""))
        } else {
            name.into()
        };
        let known = self.index.get(&number).copied();
        if let Some(known) = known.filter(|&known| self.name(known) == name) {
            return known;
        }
        let index = self.systems.len() as u32;
        let name_start = self.names.len() as u32;
        self.systems.push(System { number, name_start, marks: Marks::of(number, &name) });
        self.names.push_str(&name);
        self.index.insert(number, index);
        index
    }

    fn name(&self, index: u32) -> &str {
        let index = index as usize;
        let end =
            self.systems.get(index + 1).map_or(self.names.len(), |next| next.name_start as usize);
        &self.names[self.systems[index].name_start as usize..end]
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
) -> (Box<[T]>, Box<[Owner]>) {
    ranges.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    let mut starts = Vec::with_capacity(ranges.len());
    let mut owners = Vec::with_capacity(ranges.len());
    let mut free_from: Option<T> = None;
    let mut push = |start: T, owner: u32| {
        let [a, b, c, _] = owner.to_le_bytes();
        let owner = [a, b, c];
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
