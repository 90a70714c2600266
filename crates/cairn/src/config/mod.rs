//! Configuration: read once, checked, and handed on as decided values.
//!
//! Guarantees: `config.default.toml` names every key; an unknown key, a wrong type or an impossible value is an error that
//! names the key, where it was set and, for unknown ones, the nearest known key. Nothing else reads the environment.

mod layers;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use cairn_model::{PrivacySettings, site::GpcReach, site::Policy};
use cairn_server::Secret;
use serde::Deserialize;

pub use layers::{ConfigError, Layers, shown};

/// The defaults, which are also the reference.
pub const DEFAULTS: &str = include_str!("../../../../config.default.toml");

/// The whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// HTTP.
    pub server: Server,
    /// Files.
    pub data: Data,
    /// The durable log.
    pub log: Log,
    /// The event store.
    pub store: Store,
    /// The apply loop.
    pub apply: Apply,
    /// Visits.
    pub sessions: Sessions,
    /// Defaults of new sites.
    pub privacy: Privacy,
    /// Copies of everything.
    pub backup: Backup,
    /// Exchange rates.
    pub money: Money,
    /// What leaves the server.
    pub outgoing: Outgoing,
    /// The mail server.
    pub smtp: Smtp,
    /// Databases of addresses.
    pub enrich: Enrich,
    /// Diagnostics.
    pub logging: Logging,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// `HOST:PORT`.
    pub listen: String,
    /// Where browsers reach the server; empty: `admin_origin`, else from the request.
    pub public_url: String,
    /// The only origin of dashboard and API; empty: any.
    pub admin_origin: String,
    /// Proxies that are believed.
    pub trusted_proxies: Vec<String>,
    /// 0: one per core.
    pub threads: usize,
    /// Open connections.
    pub connections_max: usize,
    /// Per address network and pixel.
    pub hits_per_minute_max: u32,
    /// `Cairn-Now` is believed.
    pub test_clock: bool,
}

/// `[data]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Where everything is kept.
    pub directory: PathBuf,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// One file.
    pub segment_size_bytes: u64,
    /// All files.
    pub size_bytes_max: u64,
}

/// `[store]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Memory of the engine.
    pub memory_size_bytes_max: u64,
    /// 0: one per core.
    pub threads: usize,
    /// Longest that a question may take, in seconds.
    pub question_seconds_max: u64,
    /// Events from which a site's days are summed up.
    pub rollup_events_min: u64,
}

/// `[apply]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Pause between commits under load.
    pub commit_interval_ms: u64,
    /// Time between checkpoints.
    pub checkpoint_interval_seconds: u64,
}

/// `[sessions]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// Inactivity that still joins.
    pub timeout_minutes: i64,
    /// Visits in memory.
    pub in_memory_max: usize,
}

/// `[privacy]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// Policy of new sites.
    pub policy: Policy,
    /// Reach of Global Privacy Control on new sites.
    pub gpc: GpcReach,
    /// Longest time between an erasure and the rewriting of the store's file.
    pub erasure_rewrite_hours_max: u64,
}

impl Privacy {
    /// The settings that a new site starts with.
    pub fn settings(&self) -> PrivacySettings {
        PrivacySettings { policy: self.policy, gpc: self.gpc, ..PrivacySettings::default() }
    }
}

/// `[backup]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// Where they are; empty: within the data directory.
    pub directory: PathBuf,
    /// Time between two; 0: none are made by themselves.
    pub every_hours: u32,
    /// Most that are kept.
    pub count_max: usize,
    /// Longest that one is kept.
    pub age_days_max: u32,
    /// Longest time between an erasure and the rewriting of the backups.
    pub erasure_rewrite_hours_max: u64,
}

/// `[money]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// File with rates; empty: none.
    pub rates: PathBuf,
    /// ISO 4217 code of what they are against.
    pub rates_base: String,
    /// Days for which a rate is good.
    pub rate_age_days_max: u16,
}

/// `[outgoing]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outgoing {
    /// Networks that may be reached though they are private.
    pub networks_allowed: Vec<String>,
    /// `http://` may be asked.
    pub http_allowed: bool,
    /// File with certificate authorities; empty: none.
    pub authorities: PathBuf,
}

/// `[smtp]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// Its name; empty: none.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub security: MailSecurity,
    /// Name to log in with.
    pub username: String,
    /// The password that goes with it, which is never printed.
    #[serde(deserialize_with = "secret")]
    pub password: Secret,
    /// Whom mails are from.
    pub from: String,
    /// Networks that it may be in though they are private.
    pub networks_allowed: Vec<String>,
}

/// How the connection to the mail server is secured.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailSecurity {
    /// TLS before anything else is said.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// Not at all.
    None,
}

fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

/// `[enrich]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrich {
    /// Files, beside those in the data directory.
    pub databases: Vec<PathBuf>,
}

/// `[logging]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logging {
    /// Least severe level shown.
    pub level: Level,
}

/// Severity of diagnostics.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Failures.
    Error,
    /// And what will fail.
    Warn,
    /// And what happens.
    Info,
    /// And why.
    Debug,
    /// And everything.
    Trace,
}

impl Config {
    /// Decides from the layers, and checks what single values cannot say.
    pub fn from_layers(layers: &Layers) -> Result<Config, ConfigError> {
        let config: Config = layers.decide()?;
        let rewrite_hours = config.privacy.erasure_rewrite_hours_max;
        let backup_rewrite_hours = config.backup.erasure_rewrite_hours_max;
        let ranges: [(&str, u64, u64, u64); 13] = [
            ("log.segment_size_bytes", config.log.segment_size_bytes, 1 << 20, 1 << 30),
            (
                "log.size_bytes_max",
                config.log.size_bytes_max,
                4 * config.log.segment_size_bytes,
                1 << 44,
            ),
            ("store.memory_size_bytes_max", config.store.memory_size_bytes_max, 32 << 20, 1 << 44),
            ("store.question_seconds_max", config.store.question_seconds_max, 1, 3600),
            ("apply.commit_interval_ms", config.apply.commit_interval_ms, 1, 1500),
            ("sessions.timeout_minutes", config.sessions.timeout_minutes.max(0) as u64, 1, 475),
            ("backup.every_hours", config.backup.every_hours.into(), 0, 24 * 366),
            ("backup.count_max", config.backup.count_max as u64, 1, 1000),
            ("backup.age_days_max", config.backup.age_days_max.into(), 1, 10 * 366),
            ("money.rate_age_days_max", config.money.rate_age_days_max.into(), 0, 366),
            ("privacy.erasure_rewrite_hours_max", rewrite_hours, 0, 24 * 7),
            ("backup.erasure_rewrite_hours_max", backup_rewrite_hours, 0, 24 * 14),
            ("server.connections_max", config.server.connections_max as u64, 1, 1 << 20),
        ];
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(layers.impossible(key, format!("{least} to {most} is possible")));
            }
        }
        for (key, value) in [
            ("server.public_url", &config.server.public_url),
            ("server.admin_origin", &config.server.admin_origin),
        ] {
            let known =
                value.is_empty() || value.starts_with("https://") || value.starts_with("http://");
            if !known || value.ends_with('/') {
                let wanted =
                    "an origin like \"https://stats.example.com\", without a slash at the end";
                return Err(layers.impossible(key, format!("{wanted}, is possible")));
            }
        }
        Ok(config)
    }
}
