//! `cairn backup` and `cairn restore`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use cairn_catalog::CATALOG_FILE;
use cairn_engine::backup::{Listed, Restored, Restoring};
use serde_json::Value;

use crate::Failure;
use crate::cli::Restore;
use crate::config::Config;
use crate::data_directory::{DataDirectory, DataDirectoryError};
use crate::wire;

/// Variables that may hold the credential for a running server; the first one that is set is used.
const TOKENS: [&str; 2] = ["CAIRN_API_TOKEN", "CAIRN_BOOTSTRAP_TOKEN"];
/// Where the API has its backups.
const PATH: &str = "/api/v1/instance/backups";
/// Longest wait for one answer: the server answers a call for a backup after twenty seconds at the latest.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);
/// Longest answer that is read, in bytes.
const ANSWER_SIZE_BYTES_MAX: u64 = 16 << 20;
/// Pause between two looks whether a backup that takes long is there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Makes a backup: of a stopped instance by opening everything as the server does, which applies what waits in the log; of
/// a running one by asking it.
pub fn make(config: &Config) -> Result<(), Failure> {
    let data = &config.data.directory;
    if !data.join(CATALOG_FILE).is_file() {
        return Err(format!("there is nothing to back up in {}", data.display()).into());
    }
    let parts = match wire::open(config) {
        Ok(parts) => parts,
        Err(error) => {
            let refusal = error.downcast_ref::<DataDirectoryError>();
            return match refusal {
                Some(DataDirectoryError::InUse { .. }) => ask(config),
                _ => Err(error),
            };
        }
    };
    let made = parts.backups.make(wire::now_ms());
    let directory = parts.backups.directory().to_owned();
    wire::close(parts)?;
    let Listed { id, manifest } = made?;
    tell(&directory.join(id).display().to_string(), manifest?.size_bytes())
}

fn tell(directory: &str, size_bytes: u64) -> Result<(), Failure> {
    Ok(crate::print(&format!("{directory}\n{size_bytes} bytes"))?)
}

/// Has the server that holds the data directory make a backup, and waits until it is whole.
fn ask(config: &Config) -> Result<(), Failure> {
    let (status, mut answer) = call(config, "POST")?;
    let mut list = call(config, "GET")?.1;
    while status == 202 && list["running_since"].is_string() {
        std::thread::park_timeout(LOOK_EVERY);
        list = call(config, "GET")?.1;
    }
    if status == 202 {
        if let Some(reason) = list["last_failure"]["reason"].as_str() {
            return Err(format!("the server made no backup: {reason}").into());
        }
        answer = list["items"][0].take();
    }
    let (id, directory) = (answer["id"].as_str(), list["directory"].as_str());
    let (Some(id), Some(directory)) = (id, directory) else {
        return Err("the server's answer names no backup".into());
    };
    tell(&format!("{directory}/{id}"), answer["size_bytes"].as_u64().unwrap_or(0))
}

/// One call of the running server's API.
fn call(config: &Config, method: &str) -> Result<(u16, Value), Failure> {
    let token = TOKENS.into_iter().find_map(|name| std::env::var(name).ok());
    let token = token.ok_or_else(|| {
        let names = TOKENS.join(" or ");
        format!("a server uses the data directory: put an owner's API token into {names}")
    })?;
    let server = wire::server_config(config)?;
    let origin = server.dashboard_origin(server.listen);
    let host = origin.split_once("://").map_or(origin.as_str(), |(_, host)| host);
    let failed = |error: std::io::Error| {
        format!(
            "a server uses the data directory, and does not answer at {}: {error}",
            server.listen
        )
    };
    let mut stream = TcpStream::connect(server.listen).map_err(failed)?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    let request = format!(
        "{method} {PATH} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_SIZE_BYTES_MAX).read_to_end(&mut answer).map_err(failed)?;
    let answer = String::from_utf8_lossy(&answer);
    let read = || {
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    };
    let (status, body): (u16, Value) = read().ok_or("the server's answer is not HTTP")?;
    match status {
        200..=299 => Ok((status, body)),
        _ => {
            let message = body["error"]["message"].as_str().unwrap_or("no reason given").to_owned();
            Err(format!("the server refused with {status}: {message}").into())
        }
    }
}

/// Puts a backup into a data directory.
pub fn restore(config: &Config, asked: &Restore) -> Result<(), Failure> {
    let directory = DataDirectory::take_to_restore(&config.data.directory)?;
    let Restore { from, replace, ledger, .. } = asked.clone();
    let data = directory.path().to_owned();
    let backups = wire::backup_options(config).directory;
    let asked = Restoring { from, data, backups, replace, ledger };
    let restored = cairn_engine::backup::restore(&asked, &wire::open_copy(config)?)?;
    let Restored { from, erased, opted_out, had_ledger, .. } = restored;
    let (from, into) = (from.display(), directory.path().display());
    crate::print(&format!("{from} is restored into {into}"))?;
    if !had_ledger {
        crate::print(
            "no ledger of erasures was found: if somebody was erased after the backup was made, \
             restore it again with --ledger",
        )?;
    }
    crate::print(&format!("erasures carried out in it: {erased}"))?;
    Ok(crate::print(&format!("opt-outs since then, on record in it: {opted_out}"))?)
}
