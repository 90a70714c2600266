//! The executable: command line, configuration, wiring, start and stop.
//!
//! It has no logic of its own: it reads the configuration once, builds the parts in order, and takes them down in
//! reverse. The first line on standard output is `listening on http://HOST:PORT`.
#![forbid(unsafe_code)]

mod backup;
mod cli;
mod config;
mod data_directory;
mod demo;
mod erase;
mod money;
mod outgoing;
mod rebuild;
mod verify;
mod wire;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, Costs, Erase, Rates, Restore, Run, VerifyReceipts};
use config::{Config, ConfigError, Layers, shown};

/// Any reason to end with a failure; printed once, here.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where even this cannot be written the exit code has to do.
            let _ = writeln!(std::io::stderr(), "cairn: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(run) => serve(&run, false),
        Command::Demo(run) => serve(&run, true),
        Command::CheckConfig(run) => check_config(&run),
        Command::Backup(run) => backup::make(&config_of(&run)?),
        Command::Restore(asked) => restore(&asked),
        Command::VerifyReceipts(asked) => verify_receipts(&asked),
        Command::Erase(asked) => erase(&asked),
        Command::Rebuild(run) => rebuild(&run),
        Command::Costs(Costs::Import(asked)) => {
            money::import_costs(&data_of(&asked.config, &asked.data)?, &asked)
        }
        Command::Rates(Rates::Import(asked)) => {
            money::import_rates(&data_of(&asked.config, &asked.data)?, &asked)
        }
        Command::Openapi => Ok(print(cairn_server::openapi::json())?),
        Command::Version => Ok(print(concat!("cairn ", env!("CARGO_PKG_VERSION")))?),
    }
}

/// The configuration of a command that works on a data directory.
fn config_of(run: &Run) -> Result<Config, Failure> {
    Ok(Config::from_layers(&layers(run)?)?)
}

/// The data directory of a command.
fn data_of(config: &Option<PathBuf>, data: &Option<PathBuf>) -> Result<PathBuf, Failure> {
    let run = Run { config: config.clone(), data: data.clone(), listen: None };
    Ok(config_of(&run)?.data.directory)
}

fn serve(run: &Run, demo: bool) -> Result<(), Failure> {
    let config = config_of(run)?;
    log_to_standard_error(config.logging.level);
    wire::serve(&config, demo)
}

fn check_config(run: &Run) -> Result<(), Failure> {
    let layers = layers(run)?;
    let config = Config::from_layers(&layers)?;
    wire::server_config(&config)?;
    outgoing::open(&config)?;
    let mut text = String::new();
    for (key, value, origin) in layers.iter() {
        let value = if key == "smtp.password" { "***".to_owned() } else { shown(value) };
        text.push_str(&format!("{key} = {value}    # {origin}\n"));
    }
    Ok(print(text.trim_end())?)
}

fn restore(asked: &Restore) -> Result<(), Failure> {
    let run = Run { config: asked.config.clone(), data: asked.data.clone(), listen: None };
    backup::restore(&config_of(&run)?, asked)
}

fn verify_receipts(asked: &VerifyReceipts) -> Result<(), Failure> {
    let run = Run { config: asked.config.clone(), data: asked.data.clone(), listen: None };
    let config = config_of(&run)?;
    verify::run(&config.data.directory, asked, wire::now_ms())
}

fn erase(asked: &Erase) -> Result<(), Failure> {
    let run = Run { config: asked.config.clone(), data: asked.data.clone(), listen: None };
    let config = config_of(&run)?;
    log_to_standard_error(config.logging.level);
    erase::run(&config, asked)
}

fn rebuild(run: &Run) -> Result<(), Failure> {
    let config = config_of(run)?;
    log_to_standard_error(config.logging.level);
    rebuild::run(&config)
}

/// Defaults, then the file, the environment and the command line.
fn layers(run: &Run) -> Result<Layers, ConfigError> {
    let mut layers = Layers::new(config::DEFAULTS)?;
    if let Some(path) = &run.config {
        layers.add_file(path)?;
    }
    // A name or value that is not Unicode cannot be a setting of ours.
    let readable = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    layers.add_environment(readable)?;
    if let Some(directory) = &run.data {
        let directory = directory.to_string_lossy().into_owned();
        layers.add_flag("--data", "data.directory", directory)?;
    }
    if let Some(listen) = &run.listen {
        layers.add_flag("--listen", "server.listen", listen.clone())?;
    }
    Ok(layers)
}

fn log_to_standard_error(level: config::Level) {
    use tracing::level_filters::LevelFilter;
    let filter = match level {
        config::Level::Error => LevelFilter::ERROR,
        config::Level::Warn => LevelFilter::WARN,
        config::Level::Info => LevelFilter::INFO,
        config::Level::Debug => LevelFilter::DEBUG,
        config::Level::Trace => LevelFilter::TRACE,
    };
    // What cannot be logged is left out: told on a standard error that fails itself (a file on a full disk), it would
    // end the thread that logs.
    tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_max_level(filter)
        .with_writer(std::io::stderr)
        .compact()
        .init();
}

/// Prints to standard output; a reader that went away is no failure.
fn print(text: &str) -> std::io::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}
