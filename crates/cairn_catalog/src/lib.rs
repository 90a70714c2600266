//! Transactional state in SQLite: settings, accounts, people, receipts, outcomes of refused hits.
//!
//! Guarantees: what a method reports as done is on disk; of anything that lets someone in only a hash is stored;
//! direct identifiers of visitors are in the table `people` only (and in `memory`, where a site had an e-mail address
//! remembered for its log-in form), and deleted values are overwritten.
//! It does not know HTTP or the clock: callers pass the time. Every method blocks.
#![forbid(unsafe_code)]

mod accounts;
mod alerts;
mod annotations;
mod connection;
mod copying;
mod digests;
mod directory;
mod dispatches;
mod erasures;
mod error;
mod funnels;
mod goals;
mod idempotency;
mod identity;
mod mail;
mod memory;
mod migrations;
mod money;
mod opt_outs;
mod outcomes;
mod people;
mod receipts;
mod refusals;
mod refused;
mod removals;
mod retention;
mod rights;
mod secret;
mod segments;
mod shares;
mod sites;
mod starts;
mod tokens;
mod withdrawals;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub use accounts::{LinkPurpose, Role, User, UserId, UserWithPassword};
pub use alerts::{Alert, AlertState, NewAlert};
pub use annotations::Annotation;
pub use digests::{Digest, NewDigest};
pub use directory::{Directory, DirectoryCell, PixelEntry, SiteEntry};
pub use dispatches::{Dispatch, DispatchState, NewDispatch, Sender};
pub use erasures::{
    Counted, Erasure, ErasureId, ErasureReason, ErasureState, NewErasure, Place, SubjectCounts,
};
pub use error::CatalogError;
pub use funnels::{Funnel, FunnelStep, NewFunnel};
pub use goals::{Goal, GoalCondition, GoalTarget, NewGoal};
pub use idempotency::{Replay, StoredResponse};
pub use identity::IdentitySeed;
pub use mail::{MailChoices, Recipient};
pub use memory::{MemoryChange, MemoryHolder, Remembered};
pub use migrations::VERSION;
pub use money::{CostRange, KnownRates, Stored};
pub use opt_outs::OptOut;
pub use outcomes::EdgeOutcome;
pub use people::PersonChange;
pub use receipts::{
    ChainState, EntryKind, FINDINGS_MAX, Finding, GivenHead, HEADS_FILE, Hash, Head, KeptHead,
    NewReceipt, Permission, PermissionCounts, Problem, RECEIPT_AGE_DAYS_MAX, Receipt,
    ReceiptFilter, ReceiptOrder, VERSIONS_SHOWN_MAX, Verification, hex, parse_hex, verify_receipts,
};
pub use refused::Departures;
pub use removals::SiteRemoved;
pub use retention::RetentionRun;
pub use rights::{
    NewRequest, NewStep, OPEN_REQUESTS_PER_SITE_MAX, RequestList, RequestSource, RequestState,
    RightsRequest, Step,
};
pub use secret::{MasterSecret, Token};
pub use segments::Segment;
pub use shares::{NewShare, Share};
pub use sites::{NewPixel, NewSite};
pub use tokens::{ApiToken, NewApiToken};
pub use withdrawals::{Withdrawal, Withdrawn};

/// Name of the catalog's file in the data directory.
pub const CATALOG_FILE: &str = "catalog.sqlite";
/// Sites of one instance: all are held in memory.
pub const SITES_MAX: usize = 10_000;
/// Removed sites of which store or log may still hold something (8 bytes of memory each).
pub const REMOVED_SITES_MAX: usize = 100_000;
/// Pixels of one site.
pub const PIXELS_PER_SITE_MAX: usize = 1_000;
/// Goals of one site.
pub const GOALS_PER_SITE_MAX: usize = 1_000;
/// Funnels of one site.
pub const FUNNELS_PER_SITE_MAX: usize = 500;
/// Shared reports of one site.
pub const SHARES_PER_SITE_MAX: usize = 100;
/// Digests of one site.
pub const DIGESTS_PER_SITE_MAX: usize = 20;
/// Alerts of one site: all of them are looked at every minute.
pub const ALERTS_PER_SITE_MAX: usize = 20;
/// Segments of one site: all of them may be looked at for one question.
pub const SEGMENTS_PER_SITE_MAX: usize = 500;
/// Annotations of one site.
pub const ANNOTATIONS_PER_SITE_MAX: usize = 1_000;
/// Rows of costs of one site: a day of a campaign each.
pub const COSTS_PER_SITE_MAX: usize = 1_000_000;
/// Exchange rates of one instance: a day of a currency each.
pub const RATES_MAX: usize = 1_000_000;
/// API tokens of one instance.
pub const API_TOKENS_MAX: usize = 1_000;
/// Opt-outs on record per site (8 bytes of memory each).
pub const OPT_OUTS_PER_SITE_MAX: usize = 4_000_000;
/// Senders without a record of ours whose last no is kept, per site (some 20 bytes of memory each).
pub const SENDER_REFUSALS_PER_SITE_MAX: usize = 500_000;
/// Erasures that are not done, of all sites.
pub const ERASURES_OPEN_MAX: usize = 10_000;
/// The same with those that were done within the last hour, of which a hit may still be under way.
pub const ERASURES_WATCHED_MAX: usize = 40_000;
/// The visitors of one site take at most one part in so many of the room for open erasures: others have theirs.
pub const SITES_PART: usize = 4;
/// One part in so many of the room for erasures and opt-outs is the owner's: visitors cannot fill it.
pub const OWNERS_PART: usize = 4;
/// Erasures on record per site.
pub const ERASURES_PER_SITE_MAX: usize = 1_000_000;
/// Recipients of mails with a choice on record, per site.
pub const MAIL_CHOICES_PER_SITE_MAX: usize = 4_000_000;
/// Bytes of names and values remembered by one site, on disk.
pub const MEMORY_PER_SITE_SIZE_BYTES_MAX: i64 = 4 * 1024 * 1024 * 1024;
/// Answers kept for repeated requests with an idempotency key.
pub const IDEMPOTENCY_ENTRIES_MAX: usize = 10_000;
/// Bytes of those answers together; one alone may be larger.
pub const IDEMPOTENCY_SIZE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long they are kept.
pub const IDEMPOTENCY_AGE_MS_MAX: i64 = 24 * 60 * 60 * 1000;
/// Starts of the process on record, latest first kept.
pub const STARTS_MAX: usize = 1_000;
/// Life of a browser session after its last use.
pub const BROWSER_SESSION_AGE_MS_MAX: i64 = 30 * 24 * 60 * 60 * 1000;

/// The transactional database and the directory that is built from it.
pub struct Catalog {
    connections: connection::Connections,
    directory: Arc<DirectoryCell>,
    master_secret: MasterSecret,
    path: PathBuf,
    heads: Mutex<receipts::Heads>,
    erasures: Arc<refused::OpenErasures>,
    departures: refused::DepartureCounts,
}

impl Catalog {
    /// Opens or makes the file (mode 0600), brings its schema up to date and fills the directory.
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        let connections = connection::Connections::open(path)?;
        let master_secret =
            connections.write("makes its master secret", MasterSecret::load_or_make)?;
        let heads = Mutex::new(receipts::Heads::load(path)?);
        let (path, directory) = (path.to_owned(), Arc::default());
        let (erasures, departures) = Default::default();
        let catalog =
            Catalog { connections, directory, master_secret, path, heads, erasures, departures };
        catalog.load_open_erasures()?;
        catalog.rebuild_directory()?;
        Ok(catalog)
    }

    /// The secret from which the instance's keys are derived.
    pub fn master_secret(&self) -> &MasterSecret {
        &self.master_secret
    }

    /// Sites and pixels in memory, kept current by this catalog.
    pub fn directory(&self) -> Arc<DirectoryCell> {
        Arc::clone(&self.directory)
    }

    /// Moves the journal into the file and empties it, so that overwritten values are in neither. False: somebody reads
    /// what the journal holds, so that it is kept.
    pub fn checkpoint(&self) -> Result<bool, CatalogError> {
        self.connections.maintain("empties its journal", |connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                Ok(row.get::<_, i64>(0)? == 0)
            })
        })
    }

    /// Bytes of its file and its journal.
    pub fn size_bytes(&self) -> u64 {
        let size_of = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        size_of(&self.path) + size_of(&self.path.with_extension("sqlite-wal"))
    }

    /// Answers if the file can be read: a probe for readiness.
    pub fn ping(&self) -> Result<(), CatalogError> {
        self.connections.read("answers a probe", |connection| {
            connection.query_row("SELECT 1 FROM meta LIMIT 1", [], |_| Ok(()))
        })
    }
}
