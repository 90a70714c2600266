//! The command line.

use std::path::PathBuf;

use cairn_catalog::{GivenHead, Head, parse_hex};
use cairn_model::SiteId;
use clap::{Args, Parser, Subcommand};

/// First-party tracking that you run yourself.
#[derive(Parser, Debug)]
#[command(name = "cairn", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the server
    Serve(Run),
    /// Run the server with a small shop under /demo and sixty days of history; prints a log-in link
    Demo(Run),
    /// Print every setting, its value and where it came from, or say what is wrong with them
    CheckConfig(Run),
    /// Make a backup of everything; a running server is asked by its API, with the token in CAIRN_API_TOKEN
    Backup(Run),
    /// Put a backup into a data directory that no server uses
    Restore(Restore),
    /// Look for tampering in the receipts of visitors' choices; fails if there is any. May run beside the server
    VerifyReceipts(VerifyReceipts),
    /// Erase somebody from a data directory that no server holds, and print what was erased where
    Erase(Erase),
    /// Sum up anew what reports over long ranges are made from, in a data directory that no server holds
    Rebuild(Run),
    /// What advertising cost
    #[command(subcommand)]
    Costs(Costs),
    /// Exchange rates
    #[command(subcommand)]
    Rates(Rates),
    /// Print the OpenAPI document of the API
    Openapi,
    /// Print the version
    Version,
}

/// What running takes from the command line.
#[derive(Args, Clone, Debug, Default)]
pub struct Run {
    /// File with settings (every key is in config.default.toml)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of everything Cairn keeps [default: ./cairn-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address to listen on; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
}

/// What restoring takes from the command line.
#[derive(Args, Clone, Debug, Default)]
pub struct Restore {
    /// The backup, or a directory of backups, of which the latest is taken
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// File with settings (every key is in config.default.toml)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory that shall hold everything Cairn keeps [default: ./cairn-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Remove what the data directory holds; its backups stay
    #[arg(long)]
    pub replace: bool,
    /// Newest ledger of erasures, where the one beside the backup is not; a file, or the directory that has it
    #[arg(long, value_name = "PATH")]
    pub ledger: Option<PathBuf>,
}

/// What a verification takes from the command line.
#[derive(Args, Clone, Debug, Default)]
pub struct VerifyReceipts {
    /// File with settings (every key is in config.default.toml)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of everything Cairn keeps [default: ./cairn-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Only the chain of this site
    #[arg(long, value_name = "ID")]
    pub site: Option<SiteId>,
    /// An end of a chain that was kept elsewhere, as the log and the dashboard tell it; may be given several times
    #[arg(long, value_name = "SITE:NUMBER:HASH", value_parser = given_head)]
    pub head: Vec<GivenHead>,
}

/// What an erasure takes from the command line.
#[derive(Args, Clone, Debug, Default)]
#[command(group(clap::ArgGroup::new("who").required(true)))]
pub struct Erase {
    /// File with settings (every key is in config.default.toml)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of everything Cairn keeps [default: ./cairn-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The site, by its number or domain
    #[arg(long, value_name = "SITE")]
    pub site: String,
    /// A person by your own id
    #[arg(long, value_name = "ID", group = "who")]
    pub user_id: Option<String>,
    /// A person by e-mail address
    #[arg(long, value_name = "ADDRESS", group = "who")]
    pub email: Option<String>,
    /// A browser by the value of its cookie cairn_id
    #[arg(long, value_name = "DIGITS", group = "who")]
    pub cairn_id: Option<String>,
    /// A browser by its number, as the API shows it
    #[arg(long, value_name = "DIGITS", group = "who")]
    pub visitor: Option<String>,
    /// A browser or device by an id of the sender's making
    #[arg(long, value_name = "ID", group = "who")]
    pub anonymous_id: Option<String>,
    /// Whoever placed an order
    #[arg(long, value_name = "ID", group = "who")]
    pub order_id: Option<String>,
    /// Only print what was found
    #[arg(long)]
    pub preview: bool,
}

/// What can be done with costs.
#[derive(Subcommand, Debug)]
pub enum Costs {
    /// Read costs from a CSV file, whole or not at all; what is known about the same day and campaign is replaced. May run
    /// beside the server
    Import(ImportCosts),
}

/// What an import of costs takes from the command line.
#[derive(Args, Clone, Debug)]
pub struct ImportCosts {
    /// The file: CSV with names of columns
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The site, by its number or domain
    #[arg(long, value_name = "SITE")]
    pub site: String,
    /// The file's own name of a column, as date=Day; columns are date, cost, currency, source, medium, campaign, content,
    /// term, impressions and clicks, and are found by their usual names otherwise
    #[arg(long, value_name = "COLUMN=NAME", value_parser = pair)]
    pub column: Vec<(String, String)>,
    /// What holds for every row instead of a column, as source=google
    #[arg(long, value_name = "COLUMN=TEXT", value_parser = pair)]
    pub fixed: Vec<(String, String)>,
    /// Currency of rows without one of their own [default: the site's]
    #[arg(long, value_name = "CODE")]
    pub currency: Option<String>,
    /// What stands before decimals: a point or a comma
    #[arg(long, value_name = "MARK", default_value = ".", value_parser = mark)]
    pub decimal_mark: char,
    /// Dates are written as 31.1.2026
    #[arg(long, conflicts_with = "month_first")]
    pub day_first: bool,
    /// Dates are written as 1/31/2026
    #[arg(long)]
    pub month_first: bool,
    /// Only print what would be stored
    #[arg(long)]
    pub preview: bool,
    /// File with settings (every key is in config.default.toml)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of everything Cairn keeps [default: ./cairn-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// What can be done with exchange rates.
#[derive(Subcommand, Debug)]
pub enum Rates {
    /// Read daily exchange rates from a CSV file, whole or not at all: the history that the European Central Bank
    /// publishes, or lines of date,currency,rate. May run beside the server
    Import(ImportRates),
}

/// What an import of exchange rates takes from the command line.
#[derive(Args, Clone, Debug)]
pub struct ImportRates {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What the rates are against: units of each currency for one of this
    #[arg(long, value_name = "CODE", default_value = "EUR")]
    pub base: String,
    /// File with settings (every key is in config.default.toml)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of everything Cairn keeps [default: ./cairn-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let read = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    read.ok_or_else(|| "not NAME=VALUE, as date=Day".to_owned())
}

fn mark(text: &str) -> Result<char, String> {
    match text {
        "." => Ok('.'),
        "," => Ok(','),
        _ => Err("there are . and ,".to_owned()),
    }
}

fn given_head(text: &str) -> Result<GivenHead, String> {
    let read = || {
        let (site, end) = text.split_once(':')?;
        let (sequence, hash) = end.split_once(':')?;
        let head = Head { sequence: sequence.parse().ok()?, hash: parse_hex(hash)? };
        Some(GivenHead { site_id: site.parse().ok()?, head })
    };
    read().ok_or_else(|| "not SITE:NUMBER:HASH, as 7:42:9f86…".to_owned())
}
