//! Place and network of an address, from local database files. Nothing is asked over the wire.
//!
//! Any MMDB file (MaxMind's nested shape, or the flat one of DB-IP and IPinfo) and CSV files of
//! autonomous systems are taken; several may be given, the first that knows a field fills it. Where
//! no file knows, fields stay empty. Databases name the operator of a network and where it says its
//! customers are: neither is proof of who or where the visitor is.

mod forwarded;
mod marks;
mod mmdb;
mod ranges;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use forwarded::{ForwardedHeaders, Prefix, client_address};
pub use marks::Marks;

use crate::address::unmapped;
use crate::region::{Country, Region, region_of};
use mmdb::Database;
use ranges::SystemTable;

/// Where a network says its users are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 alpha-2, or unknown.
    pub country: Country,
    /// Region as the database has it: a code or a name; empty if unknown.
    pub region: Arc<str>,
    /// City in English; empty if unknown.
    pub city: Arc<str>,
}

/// Who operates the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carrier {
    /// Autonomous system number, 0 if unknown.
    pub asn: u32,
    /// Organisation behind it; empty if unknown.
    pub organization: Arc<str>,
    /// Hosting, VPN and the like.
    pub marks: Marks,
}

/// Place and carrier of one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// Where.
    pub place: Place,
    /// Through whom.
    pub carrier: Carrier,
}

impl Location {
    /// The consent region of the place.
    pub fn region(&self) -> Region {
        region_of(self.place.country, &self.place.region)
    }
}

/// A database file that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is no MMDB file or a damaged one.
    #[error("{path} is not a usable MMDB file: {reason}")]
    Mmdb {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A line of a CSV file is not `start,end,number,name`.
    #[error("{path}, line {line}: expected start,end,number,name")]
    Csv {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// The name ends neither in `.mmdb` nor in `.csv`.
    #[error("{path}: only .mmdb and .csv files are understood")]
    Kind {
        /// The file.
        path: PathBuf,
    },
}

/// The opened databases.
#[derive(Default)]
pub struct Network {
    databases: Vec<Database>,
    systems: SystemTable,
}

impl Network {
    /// No database: every field stays empty.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Opens database files, by their ending: `.mmdb` is mapped, `.csv` read into memory. The order
    /// is the order of trust. A missing file is an error here; leave out what does not exist.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self, NetworkError> {
        let mut network = Self::default();
        let mut tables = ranges::Builder::default();
        for path in paths {
            let path = path.as_ref();
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("mmdb") => network.databases.push(Database::open(path)?),
                Some("csv") => tables.read(path)?,
                _ => return Err(NetworkError::Kind { path: path.to_owned() }),
            }
        }
        network.systems = tables.finish();
        Ok(network)
    }

    /// Place and carrier of an address.
    pub fn locate(&self, ip: IpAddr) -> Location {
        let ip = unmapped(ip);
        let mut location = Location::default();
        for database in &self.databases {
            database.fill(ip, &mut location);
        }
        let carrier = &mut location.carrier;
        let listed = if carrier.asn == 0 { self.systems.lookup(ip) } else { None };
        let marks = match listed {
            Some((asn, name, marks)) => {
                carrier.asn = asn;
                carrier.organization = Arc::from(name);
                marks
            }
            None => Marks::of(carrier.asn, &carrier.organization),
        };
        carrier.marks = carrier.marks | marks;
        location
    }

    /// Bytes of memory that the tables read from CSV take (MMDB files are mapped, not read).
    pub fn memory_bytes(&self) -> usize {
        self.systems.memory_bytes()
    }
}
