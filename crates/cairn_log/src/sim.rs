//! A machine whose disk lies as real ones do, for tests of everything that promises durability.
//!
//! It keeps two states: what the running system sees (the page cache) and what would be there after
//! a power loss. Guarantees: `sync_data` and `sync_directory` that succeed move everything to the
//! second state; anything else reaches it by chance, sector by sector, torn within sectors too, names
//! independently of each other. A sync that fails leaves the bytes visible and forgets that they
//! were never written, as Linux does. Handles from before a crash have no effect after it.
//!
//! Does not know: time. Chance comes from the seed only, but threads may ask for it in any order.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::disk::{Disk, DiskFile};
use crate::queue::lock;

const SECTOR_BYTES: usize = 512;

/// A seeded source of chance (SplitMix64), for the machine and the tests around it.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, or 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number().checked_rem(end).unwrap_or(0)
    }

    /// True in `thousandths` of 1000 cases.
    pub fn happens(&mut self, thousandths: u64) -> bool {
        self.below(1000) < thousandths
    }
}

/// What the disk does wrong from now on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Nothing can grow: `StorageFull`.
    pub full: bool,
    /// Nothing can change: `ReadOnlyFilesystem`.
    pub read_only: bool,
    /// Every write fails.
    pub writes_fail: bool,
    /// Every write panics: a defect of the program, not of the disk.
    pub writes_panic: bool,
    /// Every sync fails.
    pub syncs_fail: bool,
    /// This many of 1000 writes and syncs fail.
    pub failures_per_1000: u64,
    /// Syncs of files say they succeeded and do nothing: no log can be safe on such a disk.
    pub syncs_lie: bool,
}

#[derive(Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone)]
enum NameChange {
    Add(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

struct State {
    chance: Chance,
    life: u64,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    seen: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    pending: Vec<NameChange>,
    directories: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
    faults: Faults,
    syncs: u64,
}

/// A machine that can lose its power.
#[derive(Clone)]
pub struct Machine {
    state: Arc<Mutex<State>>,
}

impl Machine {
    /// A machine with an empty, healthy disk.
    pub fn new(seed: u64) -> Self {
        let state = State {
            chance: Chance::new(seed),
            life: 0,
            inodes: BTreeMap::new(),
            next_inode: 0,
            seen: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            directories: BTreeSet::new(),
            locked: BTreeSet::new(),
            faults: Faults::default(),
            syncs: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The disk as the process that runs now sees it.
    pub fn disk(&self) -> Arc<dyn Disk> {
        let life = lock(&self.state).life;
        Arc::new(SimDisk { state: Arc::clone(&self.state), life })
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        lock(&self.state).faults = faults;
    }

    /// How often files were synced successfully.
    pub fn syncs(&self) -> u64 {
        lock(&self.state).syncs
    }

    /// The process ends at once (`kill -9`); the system goes on, so what it saw stays visible.
    pub fn kill(&self) {
        let mut state = lock(&self.state);
        state.life += 1;
        state.locked.clear();
    }

    /// The power fails: what was not synced is kept or lost by chance.
    pub fn lose_power(&self) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        state.life += 1;
        state.locked.clear();
        for inode in state.inodes.values_mut() {
            for (position, bytes) in std::mem::take(&mut inode.pending) {
                tear(&mut state.chance, &mut inode.durable, position, &bytes);
            }
            inode.seen.clone_from(&inode.durable);
        }
        for change in std::mem::take(&mut state.pending) {
            if state.chance.happens(500) {
                change_name(&mut state.durable, &change);
            }
        }
        state.seen.clone_from(&state.durable);
        let live: BTreeSet<u64> = state.seen.values().copied().collect();
        state.inodes.retain(|number, _| live.contains(number));
    }

    /// Paths of all files that can be seen.
    pub fn files(&self) -> Vec<PathBuf> {
        lock(&self.state).seen.keys().cloned().collect()
    }

    /// What a file holds, as can be seen.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let state = lock(&self.state);
        let inode = state.seen.get(path)?;
        state.inodes.get(inode).map(|inode| inode.seen.clone())
    }

    /// Changes a file behind everybody's back: damage by hardware or hands.
    pub fn edit(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = lock(&self.state);
        let Some(inode) = state.seen.get(path).copied() else { return };
        if let Some(inode) = state.inodes.get_mut(&inode) {
            change(&mut inode.seen);
            inode.durable.clone_from(&inode.seen);
            inode.pending.clear();
        }
    }
}

fn put(bytes: &mut Vec<u8>, position: usize, content: &[u8]) {
    let end = position + content.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[position..end].copy_from_slice(content);
}

/// A write that was never synced: whole, not at all, or in parts, also within a sector.
fn tear(chance: &mut Chance, durable: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    match chance.below(4) {
        0 => {}
        1 => put(durable, position, bytes),
        2 => {
            let count = usize::try_from(chance.below(bytes.len() as u64 + 1)).unwrap_or(0);
            put(durable, position, &bytes[..count]);
        }
        _ => {
            let mut done = 0;
            while done < bytes.len() {
                let to_boundary = SECTOR_BYTES - (position + done) % SECTOR_BYTES;
                let count = to_boundary.min(bytes.len() - done);
                if chance.happens(500) {
                    put(durable, position + done, &bytes[done..done + count]);
                }
                done += count;
            }
        }
    }
}

fn change_name(names: &mut BTreeMap<PathBuf, u64>, change: &NameChange) {
    match change {
        NameChange::Add(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        NameChange::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        NameChange::Remove(path) => {
            names.remove(path);
        }
    }
}

struct SimDisk {
    state: Arc<Mutex<State>>,
    life: u64,
}

struct SimFile {
    state: Arc<Mutex<State>>,
    life: u64,
    inode: u64,
}

struct SimLock {
    state: Arc<Mutex<State>>,
    life: u64,
    directory: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if state.life == self.life {
            state.locked.remove(&self.directory);
        }
    }
}

impl State {
    fn alive(&self, life: u64) -> io::Result<()> {
        match self.life == life {
            true => Ok(()),
            false => Err(io::Error::other("the process was killed")),
        }
    }

    fn may_change(&mut self, life: u64) -> io::Result<()> {
        self.alive(life)?;
        match self.faults.read_only {
            true => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            false => Ok(()),
        }
    }

    fn change(&mut self, change: NameChange) {
        change_name(&mut self.seen, &change);
        self.pending.push(change);
    }

    fn fails_by_chance(&mut self) -> bool {
        let thousandths = self.faults.failures_per_1000;
        thousandths > 0 && self.chance.happens(thousandths)
    }
}

fn input_output() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl SimDisk {
    fn file(&self, inode: u64) -> Box<dyn DiskFile> {
        Box::new(SimFile { state: Arc::clone(&self.state), life: self.life, inode })
    }
}

impl Disk for SimDisk {
    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        if !state.directories.contains(directory) {
            state.may_change(self.life)?;
            state.directories.insert(directory.to_owned());
        }
        state.alive(self.life)
    }

    fn lock(&self, directory: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut state = lock(&self.state);
        state.alive(self.life)?;
        if !state.locked.insert(directory.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let directory = directory.to_owned();
        Ok(Box::new(SimLock { state: Arc::clone(&self.state), life: self.life, directory }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = lock(&self.state);
        state.alive(self.life)?;
        let inside = state.seen.keys().filter(|path| path.parent() == Some(directory));
        Ok(inside
            .filter_map(|path| path.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = lock(&self.state);
        state.may_change(self.life)?;
        match state.seen.get(path) {
            Some(inode) => Ok(self.file(*inode)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = lock(&self.state);
        state.may_change(self.life)?;
        if state.seen.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.next_inode += 1;
        let inode = state.next_inode;
        state.inodes.insert(inode, Inode::default());
        state.change(NameChange::Add(path.to_owned(), inode));
        Ok(self.file(inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.may_change(self.life)?;
        if !state.seen.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.may_change(self.life)?;
        if !state.seen.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.alive(self.life)?;
        if state.faults.syncs_fail || state.fails_by_chance() {
            return Err(input_output());
        }
        let state = &mut *state;
        for change in std::mem::take(&mut state.pending) {
            change_name(&mut state.durable, &change);
        }
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.may_change(self.life)?;
        let position = usize::try_from(position).map_err(io::Error::other)?;
        assert!(!state.faults.writes_panic, "the test asked for this panic");
        let fails = state.faults.writes_fail || state.fails_by_chance();
        let state = &mut *state;
        let inode =
            state.inodes.get_mut(&self.inode).ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        if state.faults.full && position + bytes.len() > inode.seen.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = match fails {
            true => &bytes[..usize::try_from(state.chance.below(bytes.len() as u64)).unwrap_or(0)],
            false => bytes,
        };
        put(&mut inode.seen, position, written);
        inode.pending.push((position, written.to_vec()));
        if fails { Err(input_output()) } else { Ok(()) }
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let state = lock(&self.state);
        state.alive(self.life)?;
        let position = usize::try_from(position).map_err(io::Error::other)?;
        let inode =
            state.inodes.get(&self.inode).ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        let rest = inode.seen.get(position..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.alive(self.life)?;
        if state.faults.syncs_lie {
            return Ok(());
        }
        let fails = state.faults.syncs_fail || state.fails_by_chance();
        let state = &mut *state;
        let inode =
            state.inodes.get_mut(&self.inode).ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        for (position, bytes) in std::mem::take(&mut inode.pending) {
            match fails {
                true => tear(&mut state.chance, &mut inode.durable, position, &bytes),
                false => put(&mut inode.durable, position, &bytes),
            }
        }
        if fails {
            return Err(input_output());
        }
        state.syncs += 1;
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let state = lock(&self.state);
        state.alive(self.life)?;
        let inode =
            state.inodes.get(&self.inode).ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        Ok(inode.seen.len() as u64)
    }
}
